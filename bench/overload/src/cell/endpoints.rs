//! Cell e: one of three endpoints is in trouble for a while; the two others could carry everything.

use super::{Cell, Scenario, Timing, range};
use crate::arrivals::Stream;
use crate::load::{Event, Request, Script, Seen};
use crate::peer::Shape;
use crate::plan::{CAPACITY, SERVICE_TIME};
use crate::station::Mode;
use crate::tally::{Part, Span, recovery};

const ENDPOINTS: usize = 3;
/// Of the capacity of all three.
const LOAD: f64 = 0.5;
const RECOVERED: f64 = 0.95;
const SLOWER: u32 = 10;
const SECOND: u64 = 1_000_000;

pub(super) fn cell(timing: &Timing) -> Cell {
    let scenarios = [
        (
            "freezes",
            Event::Mode(0, Mode::Frozen),
            Event::Mode(0, Mode::Serving),
        ),
        (
            "10x slow",
            Event::ServiceTime(0, SERVICE_TIME * SLOWER),
            Event::ServiceTime(0, SERVICE_TIME),
        ),
        (
            "fails at once",
            Event::Mode(0, Mode::Failing),
            Event::Mode(0, Mode::Serving),
        ),
    ];
    Cell {
        title: "One of three endpoints in trouble",
        note: "Half the capacity of all three is offered, spread by the proxy; the two others could carry it. Good is in percent of the load. A frozen \
               endpoint keeps its connections, and works off afterwards what has come in. \"recovered\": seconds after the end of the cause from which \
               each bin of 500 ms has at least 95 % good; never = not before the end. Attempts are what arrived at the services, per \
               request of a client, during the trouble and after it.",
        columns: vec![
            range("during: good %", 1),
            range("during: from 2 s on %", 1),
            range("after: good %", 1),
            range("after: recovered s", 1),
            range("attempts during", 2),
            range("attempts after", 2),
        ],
        scenarios: scenarios
            .map(|(name, begin, end)| scenario(*timing, name, begin, end))
            .into(),
        repeats: 1,
        addresses: false,
    }
}

fn scenario(timing: Timing, name: &str, trouble: Event, cure: Event) -> Scenario {
    let begin = timing.lead + timing.settle;
    let back = begin + timing.steady + 2 * SECOND;
    let end = back + timing.steady + if timing.quick { 3 } else { 7 } * SECOND;
    let (during, after) = (Span(begin, back), Span(back, end));
    let rate = LOAD * CAPACITY * ENDPOINTS as f64;
    Scenario {
        name: name.to_owned(),
        quick: name == "freezes",
        shape: Shape::default(),
        endpoints: ENDPOINTS,
        script: Script {
            streams: vec![Stream::from_addresses(1, 8, "/").at(&[(0, rate)])],
            events: vec![
                (begin, Event::Read),
                (begin, trouble),
                (back, Event::Read),
                (back, cure),
                (end, Event::Read),
            ],
            length: end,
        },
        judge: Box::new(move |seen| {
            let good = |span| Part::all(seen, span).share(Request::is_good);
            vec![
                good(during),
                good(Span(begin + 2 * SECOND, back)),
                good(after),
                (!seen.requests.is_empty())
                    .then(|| recovery(seen, after, f64::INFINITY, RECOVERED)),
                attempts(seen, during),
                attempts(seen, after),
            ]
        }),
    }
}

fn attempts(seen: &Seen, span: Span) -> Option<f64> {
    let sent = Part::all(seen, span).count(|_| true);
    seen.between(span).map(|between| between.received / sent)
}
