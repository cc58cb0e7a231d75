//! Cell d: one caller sends far more than fits, beside eight that behave.

use super::{Cell, Scenario, TAIL, Timing, range, readings};
use crate::arrivals::{Key, Stream};
use crate::load::{Request, Script};
use crate::peer::Shape;
use crate::plan::CAPACITY;
use crate::tally::Part;

/// Requests per second of each of the eight; together 30 % of the capacity.
const EACH: f64 = 60.0;
const ABUSE: f64 = 10.0;

pub(super) fn cell(timing: &Timing) -> Cell {
    Cell {
        title: "One address sends ten times the capacity",
        note: "Eight addresses with 60 requests/s each, and one with 16,000. Nothing is said of addresses to any proxy but the rows \
               that end in -address, whose operator knows what one address may need. In the second scenario each of the eight has a key of its own in \
               `x-api-key`, the ninth another one with each request, and Plimsoll is told that this header names the tenant.",
        columns: vec![
            range("eight good %", 2),
            range("eight good first %", 2),
            range("eight P50 ms", 1),
            range("eight P99 ms", 1),
            range("ninth good/s", 0),
            range("goodput %", 1),
        ],
        scenarios: vec![scenario(*timing, false), scenario(*timing, true)],
        repeats: 1,
        addresses: true,
    }
}

fn scenario(timing: Timing, keys: bool) -> Scenario {
    let (settling, window) = (timing.settling(), timing.window());
    let key = |key| if keys { key } else { Key::None };
    let abuse = [(0, 0.2 * CAPACITY), (settling.0, ABUSE * CAPACITY)];
    let eight = Stream::from_addresses(1, 8, "/").at(&[(0, 8.0 * EACH)]);
    let ninth = Stream::from_addresses(2, 1, "/").at(&abuse);
    Scenario {
        name: if keys { "random keys" } else { "no keys" }.to_owned(),
        quick: true,
        shape: Shape {
            classes: false,
            keys,
        },
        endpoints: 1,
        script: Script {
            streams: vec![
                eight.with_key(key(Key::OfAddress)),
                ninth.with_key(key(Key::Random)),
            ],
            events: readings(&[window.0, window.1]),
            length: window.1 + TAIL,
        },
        judge: Box::new(move |seen| {
            let eight = Part::of(seen, window, |stream| stream == 0);
            let ninth = Part::of(seen, window, |stream| stream == 1);
            vec![
                eight.share(Request::is_good),
                Part::of(seen, settling, |stream| stream == 0).share(Request::is_good),
                eight.latency(0.5),
                eight.latency(0.99),
                Some(ninth.count(Request::is_good) / window.seconds()),
                Part::all(seen, window).goodput(CAPACITY),
            ]
        }),
    }
}
