//! Goal: the simulator says of the demo's phases what the real gateway did.
//!
//! Method: `scenarios/demo.toml`, beside what `plimsoll demo --seed 7 --json` measured. With
//! `PLIMSOLL_WRITE_REFERENCE=1` the comparison is written to the docs.

use std::fmt::Write as _;
use std::time::Duration;

use plimsoll_measure::{Cause, Histogram};

use super::*;

const INTRODUCTION: &str = "\
# Calibration: the simulator against the real gateway

`plimsoll demo` puts a real gateway before a real shop on one machine, and beside it the same shop behind a plain proxy. Its phases
are also a scenario, `scenarios/demo.toml`. Here are both: in each pair of columns, what `plimsoll demo --seed 7 --json` measured
comes first (release build, 2 cores of an AMD EPYC, 2026-11-26, one run), then what five seeds of the simulation give. P99
is of what was answered or given up, which the clients do after 2 s.

| phase | policies | good, % | off, points | refused, % | P99, ms |
|---|---|---|---|---|---|
";
const CONCLUSION: &str = "
The share of good answers is within a tenth of what was measured, or within two points where little is good; a test keeps it so.

What is not the same:

- In the slow dependency, all requests of the catalogue take as long as they do on average; in the demo a third of them waits.
- When it was measured, the plain proxy still passed over an endpoint that had just failed. Now it takes plain turns, as the
  simulated one does.
- The plain proxy's `refused` is left out: without policies it can only refuse what it has no room for itself.
- The CPU of gateway and shop is not simulated. In a debug build the same demo cannot carry its flash sale at all.
- Clients of the demo reach a gateway over a real network stack; the simulated network takes no time.

Measure again: `plimsoll demo --seed 7 --json`, `plimsoll simulate scenarios/demo.toml --seeds 5`.
";

/// What became of requests in a phase: shares of those offered, and P99 in milliseconds of what was answered or given up.
#[derive(Clone, Copy, Debug)]
struct Figures {
    good: f64,
    refused: f64,
    p99: f64,
}

const fn figures(good: f64, refused: f64, p99: f64) -> Figures {
    Figures { good, refused, p99 }
}

/// By phase: without, then with Plimsoll.
#[rustfmt::skip]
const MEASURED: [(&str, [Figures; 2]); 10] = [
    ("calm", [figures(1.0000, 0.0000, 107.0), figures(1.0000, 0.0000, 105.0)]),
    ("flash sale", [figures(0.0024, 0.0000, 2000.0), figures(0.0930, 0.9043, 339.0)]),
    ("flood", [figures(0.0000, 0.0000, 2000.0), figures(0.8189, 0.1811, 167.0)]),
    ("capacity to 40%", [figures(0.0000, 0.0000, 2000.0), figures(0.4884, 0.3805, 374.0)]),
    ("slow dependency", [figures(0.2400, 0.0000, 2000.0), figures(0.2495, 0.6973, 2000.0)]),
    ("frozen endpoint", [figures(0.8981, 0.0000, 2000.0), figures(0.9960, 0.0000, 144.0)]),
    ("slow endpoint", [figures(0.9031, 0.0000, 2000.0), figures(0.9925, 0.0000, 156.0)]),
    ("failing endpoint", [figures(0.8444, 0.0000, 816.0), figures(0.9950, 0.0000, 160.0)]),
    ("crashed endpoint", [figures(0.9725, 0.0000, 122.0), figures(1.0000, 0.0000, 146.0)]),
    ("recovery", [figures(0.3498, 0.0000, 2000.0), figures(0.9608, 0.0385, 128.0)]),
];
/// How far the share of good answers may be off: a tenth, or so much of what is offered.
const OFF_RELATIVE: f64 = 0.1;
const OFF_OF_OFFERED: f64 = 0.02;
/// When clients of the demo give up.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn the_demo_is_simulated_as_it_was_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/demo.toml");
    let given = read_scenario(&path, Run::ByRequest).unwrap();
    let settings = settings(&given.scenario, &[]).unwrap();
    // Several seeds: phases of a few seconds are noisy.
    let runs = run_all(&given.scenario, &[], &settings, 5, 0);
    let mut table = String::from(INTRODUCTION);
    let mut wrong = Vec::new();
    for (phase, measured) in MEASURED {
        let row = |arm: usize| simulated(&given.scenario, &runs[arm], phase);
        let (without, with) = (row(1), row(0));
        for (name, measured, simulated) in [
            ("none", measured[0], without),
            ("plimsoll", measured[1], with),
        ] {
            let off = (simulated.good - measured.good).abs();
            let _always = writeln!(
                table,
                "| {phase} | {name} | {:.1} / {:.1} | {:+.1} | {:.1} / {:.1} | {:.0} / {:.0} |",
                100.0 * measured.good,
                100.0 * simulated.good,
                100.0 * (simulated.good - measured.good),
                100.0 * measured.refused,
                100.0 * simulated.refused,
                measured.p99,
                simulated.p99,
            );
            let may = OFF_OF_OFFERED.max(OFF_RELATIVE * measured.good);
            // Where nobody came, the share is no number.
            if off.is_nan() || off > may {
                wrong.push(format!("{phase}, {name}: {measured:?}, {simulated:?}"));
            }
        }
    }
    table.push_str(CONCLUSION);
    if std::env::var_os("PLIMSOLL_WRITE_REFERENCE").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/calibration.md"
        );
        std::fs::write(path, table).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All phases of a name, over all seeds, without the client that floods.
fn simulated(scenario: &Scenario, ledgers: &[Ledger], name: &str) -> Figures {
    let mut all = plimsoll_simulator::fleet::Cell::default();
    for (phase, _) in scenario
        .phases
        .iter()
        .enumerate()
        .filter(|(_, it)| it.name.starts_with(name))
    {
        for (workload, _) in scenario
            .workloads
            .iter()
            .enumerate()
            .filter(|(_, it)| !it.name.ends_with("-flood"))
        {
            for ledger in ledgers {
                all.merge(ledger.cell(phase, workload).unwrap());
            }
        }
    }
    let sum = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let mut latencies: Histogram = all.latencies.clone();
    latencies.record_many(PATIENCE, all.causes[Cause::ClientGone.index()]);
    let p99 = latencies.quantile(0.99).unwrap_or_default();
    Figures {
        good: sum(&all.good) / sum(&all.users),
        refused: sum(&all.refused) / sum(&all.requests),
        p99: p99.as_secs_f64() * 1e3,
    }
}
