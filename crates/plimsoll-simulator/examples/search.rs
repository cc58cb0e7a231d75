//! Searches for bad days, and says which invariants were violated, how often.
//!
//! ```text
//! cargo run --release -p plimsoll-simulator --example search -- [--runs N] [--seed S] [--skip SEED]...
//!     [--until-found] [--shrink] [--trace]
//! ```
//!
//! The cases are those with seeds S to S + N - 1. `--until-found` stops at the first that fails. `plimsoll simulate
//! --search` is the same for users.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_measure::Cause;
use plimsoll_simulator::fleet::Cell;
use plimsoll_simulator::search::{Verdict, run};

fn main() -> ExitCode {
    let (mut runs, mut seed) = (100, 1);
    let (mut until_found, mut shrink, mut trace) = (false, false, false);
    let mut skipped = BTreeSet::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |into: &mut u64| {
            let number = arguments.next().and_then(|text| text.parse().ok());
            number.map(|number| *into = number).is_some()
        };
        let flag = |into: &mut bool| {
            *into = true;
            true
        };
        let known = match argument.as_str() {
            "--runs" => number(&mut runs),
            "--seed" => number(&mut seed),
            "--skip" => {
                let mut skip = 0;
                let known = number(&mut skip);
                skipped.insert(skip);
                known
            }
            "--until-found" => flag(&mut until_found),
            "--trace" => flag(&mut trace),
            "--shrink" => flag(&mut shrink),
            _ => false,
        };
        if !known {
            eprintln!("what is {argument}? See the example's head");
            return ExitCode::from(2);
        }
    }
    std::panic::set_hook(Box::new(|_| ()));
    let failed = search(seed, runs, &skipped, until_found);
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for verdict in &failed {
        println!("seed {}: run {}", verdict.seed, verdict.seed - seed + 1);
        for violation in &verdict.violations {
            println!("  {violation}");
        }
        let mut names: Vec<_> = verdict.violations.iter().map(|it| it.invariant).collect();
        names.dedup();
        for name in names {
            *counts.entry(name).or_default() += 1;
        }
        let mut shown = verdict.clone();
        if shrink {
            shown = shown.shrunk();
            for violation in &shown.violations {
                println!("  shrunk: {violation}");
            }
        }
        if shrink || trace {
            println!("{:?}", shown.setting);
            println!("{}", plimsoll_config::scenario::write(&shown.scenario));
        }
        if trace {
            seconds(&shown);
        }
    }
    println!("{} of {runs} cases failed", failed.len());
    for (invariant, count) in counts {
        println!("{}: {count}", invariant.name());
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// The cases that failed, in the order of their seeds; with `until_found`, the first of them.
fn search(seed: u64, runs: u64, skipped: &BTreeSet<u64>, until_found: bool) -> Vec<Verdict> {
    let (next, found) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs || (until_found && run > found.load(Ordering::Relaxed)) {
                return;
            }
            if skipped.contains(&(seed + run)) {
                continue;
            }
            let verdict = Verdict::of(seed + run);
            if !verdict.violations.is_empty() {
                found.fetch_min(run, Ordering::Relaxed);
                if let Ok(mut failed) = failed.lock() {
                    failed.push(verdict);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_by_key(|verdict: &Verdict| verdict.seed);
    if until_found {
        failed.truncate(1);
    }
    failed
}

/// Each second of each service.
fn seconds(verdict: &Verdict) {
    let scenario = &verdict.scenario;
    let ledger = run(scenario, verdict.setting, verdict.seed);
    let seconds = ledger.timeline().map(|it| it.seconds()).unwrap_or_default();
    for (index, second) in seconds.iter().enumerate() {
        for (position, service) in scenario.services.iter().enumerate() {
            let mut cell = Cell::default();
            for (workload, of) in scenario.workloads.iter().zip(&second.cells) {
                if workload.service == position {
                    cell.merge(of);
                }
            }
            let causes = Cause::ALL.iter().zip(cell.causes);
            let causes = causes.filter(|(_, count)| *count > 0);
            let causes: Vec<String> = causes
                .map(|(cause, count)| format!("{} {count}", cause.name()))
                .collect();
            println!(
                "{index:3} {}: users {:?} requests {:?} good {:?} refused {:?} attempts {} p50 {:?} {:?} | {}",
                service.name,
                cell.users,
                cell.requests,
                cell.good,
                cell.refused,
                cell.attempts,
                cell.latencies.quantile(0.5).unwrap_or_default(),
                second.levels.get(position),
                causes.join(", "),
            );
        }
    }
}
