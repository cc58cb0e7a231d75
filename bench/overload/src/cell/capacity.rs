//! Cell c: the service becomes four times as slow for a while, under a load that it could just carry before.

use super::{Cell, Column, Scenario, Show, TAIL, Timing};
use crate::arrivals::Stream;
use crate::load::{Event, Script};
use crate::peer::Shape;
use crate::plan::{CAPACITY, SERVICE_TIME};
use crate::tally::{Part, Span, recovery};

/// Of the full capacity, offered all the time.
const LOAD: f64 = 0.8;
const SLOWER: u32 = 4;
/// In one bin the quarter serves 200 requests in batches of 8: one batch more or less is 4 %.
const ADAPTED: f64 = 0.90;
/// Afterwards all could be good.
const RECOVERED: f64 = 0.95;
const SECOND: u64 = 1_000_000;

pub(super) fn cell(timing: &Timing, repeats: usize) -> Cell {
    let tail = |name, digits| Column {
        name,
        digits,
        show: Show::Tail,
    };
    Cell {
        title: "The capacity falls to a quarter and comes back",
        note: "0.8 of the full capacity is offered all the time. Median / 95 % / largest over the repeats. Goodput while it is low is \
               in percent of the low capacity, afterwards of the load. \"adapted\": seconds after the fall from which each bin of \
               500 ms has at least 90 % of the low capacity; \"recovered\": seconds after the return from which each has at \
               least 95 % of the load; 0 = never below, never = not before the end.",
        columns: vec![
            tail("low: goodput %", 1),
            tail("low: from 2 s on %", 1),
            tail("low: adapted s", 1),
            tail("low: P50 ms", 0),
            tail("after: goodput %", 1),
            tail("after: recovered s", 1),
        ],
        scenarios: vec![scenario(*timing)],
        repeats,
        addresses: false,
    }
}

fn scenario(timing: Timing) -> Scenario {
    let low = CAPACITY / f64::from(SLOWER);
    let fall = timing.lead + timing.settle;
    let back = fall + timing.steady + 2 * SECOND;
    let end = back + timing.steady + 3 * SECOND;
    Scenario {
        name: "a quarter".to_owned(),
        quick: true,
        shape: Shape::default(),
        endpoints: 1,
        script: Script {
            streams: vec![Stream::from_addresses(1, 8, "/").at(&[(0, LOAD * CAPACITY)])],
            events: vec![
                (fall, Event::Read),
                (fall, Event::ServiceTime(0, SERVICE_TIME * SLOWER)),
                (back, Event::ServiceTime(0, SERVICE_TIME)),
                (end, Event::Read),
            ],
            length: end,
        },
        judge: Box::new(move |seen| {
            let (lower, after) = (Span(fall, back), Span(back, end));
            // What waits when the capacity comes back is served by more than the low one.
            let until = back - TAIL;
            let some = !seen.requests.is_empty();
            vec![
                Part::all(seen, Span(fall, until)).goodput(low),
                Part::all(seen, Span(fall + 2 * SECOND, until)).goodput(low),
                some.then(|| recovery(seen, lower, low, ADAPTED)),
                Part::all(seen, lower).latency(0.5),
                Part::all(seen, after).goodput(CAPACITY),
                some.then(|| recovery(seen, after, CAPACITY, RECOVERED)),
            ]
        }),
    }
}
