//! Cells a and b: more than fits, and what matters among it.

use super::{Cell, Scenario, TAIL, Timing, range, readings};
use crate::arrivals::Stream;
use crate::load::{End, Request, Script};
use crate::peer::Shape;
use crate::plan::CAPACITY;
use crate::tally::Part;

/// Of the capacity, constant.
const CRITICAL: f64 = 0.3;

pub(super) fn plain(timing: &Timing) -> Cell {
    Cell {
        title: "Plain overload",
        note: "Goodput is in percent of what is possible: the smaller of load and capacity. \"first\" is the time after the \
               step from half the capacity; all else is of the window after it. Refused: 429, 5xx, or closed \
               without an answer.",
        columns: vec![
            range("goodput %", 1),
            range("goodput first %", 1),
            range("P50 ms", 1),
            range("P99 ms", 1),
            range("refused %", 2),
            range("given up %", 2),
            range("CPU s/s", 2),
        ],
        scenarios: [0.5, 0.8, 1.5, 3.0, 10.0]
            .map(|load| plain_at(*timing, load))
            .into(),
        repeats: 1,
        addresses: false,
    }
}

fn plain_at(timing: Timing, load: f64) -> Scenario {
    let (settling, window) = (timing.settling(), timing.window());
    let rates = [(0, 0.5 * CAPACITY), (settling.0, load * CAPACITY)];
    Scenario {
        name: format!("{load}x"),
        quick: [0.8, 3.0, 10.0].contains(&load),
        shape: Shape::default(),
        endpoints: 1,
        script: Script {
            streams: vec![Stream::from_addresses(1, 8, "/").at(&rates)],
            events: readings(&[window.0, window.1]),
            length: window.1 + TAIL,
        },
        judge: Box::new(move |seen| {
            let part = Part::all(seen, window);
            vec![
                part.goodput(CAPACITY),
                Part::all(seen, settling).goodput(CAPACITY),
                part.latency(0.5),
                part.latency(0.99),
                part.share(Request::is_refused),
                part.share(|request| matches!(request.end, End::GivenUp | End::Unsent)),
                seen.between(window)
                    .map(|between| between.cpu / between.seconds),
            ]
        }),
    }
}

pub(super) fn critical(timing: &Timing) -> Cell {
    Cell {
        title: "Critical requests among others",
        note: "0.3 of the capacity to `/critical` all the time, beside so much of the capacity to other paths. nginx has a \
               bulkhead for each (tuned), HAProxy priorities in its queue (tuned), Plimsoll `class = \"critical\"`. \"goodput\" is of \
               both, in percent of the capacity.",
        columns: vec![
            range("critical good %", 2),
            range("critical good first %", 2),
            range("critical P50 ms", 1),
            range("critical P99 ms", 1),
            range("others good/s", 0),
            range("goodput %", 1),
        ],
        scenarios: [1.5, 3.0, 10.0]
            .map(|load| critical_beside(*timing, load))
            .into(),
        repeats: 1,
        addresses: false,
    }
}

fn critical_beside(timing: Timing, load: f64) -> Scenario {
    let (settling, window) = (timing.settling(), timing.window());
    let critical = [(0, CRITICAL * CAPACITY)];
    let others = [(0, 0.2 * CAPACITY), (settling.0, load * CAPACITY)];
    Scenario {
        name: format!("others {load}x"),
        quick: load == 3.0,
        shape: Shape {
            classes: true,
            keys: false,
        },
        endpoints: 1,
        script: Script {
            streams: vec![
                Stream::from_addresses(1, 8, "/critical").at(&critical),
                Stream::from_addresses(3, 8, "/other").at(&others),
            ],
            events: readings(&[window.0, window.1]),
            length: window.1 + TAIL,
        },
        judge: Box::new(move |seen| {
            let critical = Part::of(seen, window, |stream| stream == 0);
            let others = Part::of(seen, window, |stream| stream == 1);
            let first = Part::of(seen, settling, |stream| stream == 0);
            vec![
                critical.share(Request::is_good),
                first.share(Request::is_good),
                critical.latency(0.5),
                critical.latency(0.99),
                Some(others.count(Request::is_good) / window.seconds()),
                Part::all(seen, window).goodput(CAPACITY),
            ]
        }),
    }
}
