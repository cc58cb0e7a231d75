//! Cell f: what a refusal costs the proxy.

use super::{Cell, Scenario, TAIL, Timing, range, readings};
use crate::arrivals::Stream;
use crate::load::{Request, Script};
use crate::peer::Shape;
use crate::plan::CAPACITY;
use crate::tally::{Part, Span};

const MORE: f64 = 10.0;

pub(super) fn cell(timing: &Timing) -> Cell {
    Cell {
        title: "CPU time per refusal",
        note: "The same process serves the capacity, then ten times as much. CPU time of the second window less that of the first, over the refusals of \
               the second less those of the first. No figure where fewer than half of those that do not fit are refused.",
        columns: vec![
            range("CPU s/s at 1x", 3),
            range("CPU s/s at 10x", 3),
            range("refused/s at 1x", 0),
            range("refused/s at 10x", 0),
            range("us per refusal", 1),
            range("goodput at 10x %", 1),
        ],
        scenarios: vec![scenario(*timing)],
        repeats: 1,
        addresses: false,
    }
}

fn scenario(timing: Timing) -> Scenario {
    let window = timing.window();
    let from = window.1 + timing.settle;
    let more = Span(from, from + timing.steady);
    let rates = [
        (0, 0.5 * CAPACITY),
        (timing.lead, CAPACITY),
        (window.1, MORE * CAPACITY),
    ];
    Scenario {
        name: "1x, then 10x".to_owned(),
        quick: true,
        shape: Shape::default(),
        endpoints: 1,
        script: Script {
            streams: vec![Stream::from_addresses(1, 8, "/").at(&rates)],
            events: readings(&[window.0, window.1, more.0, more.1]),
            length: more.1 + TAIL,
        },
        judge: Box::new(move |seen| {
            let cpu = |span| {
                seen.between(span)
                    .map(|between| between.cpu / between.seconds)
            };
            let refused =
                |span: Span| Part::all(seen, span).count(Request::is_refused) / span.seconds();
            let (refused_before, refused_after) = (refused(window), refused(more));
            let difference = refused_after - refused_before;
            let each = cpu(window)
                .zip(cpu(more))
                .filter(|_| refused_after > 0.5 * (MORE - 1.0) * CAPACITY)
                .map(|(before, after)| (after - before) * 1e6 / difference);
            vec![
                cpu(window),
                cpu(more),
                Some(refused_before),
                Some(refused_after),
                each,
                Part::all(seen, more).goodput(CAPACITY),
            ]
        }),
    }
}
