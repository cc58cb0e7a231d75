//! Runs a suite on as many cores as there are: the simulator itself has no threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_simulator::suite::{Report, Suite};
use plimsoll_simulator::{Policy, Scenario};

/// As `Suite::run`, with the runs in the same order.
pub(crate) fn run(suite: &Suite, threads: usize, policy: &Policy, seeds: &[u64]) -> Report {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Report)>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = suite.scenarios.get(index) else {
                return;
            };
            let alone = Suite {
                scenarios: vec![scenario.clone()],
                ..*suite
            };
            let report = alone.run(threads, policy, seeds);
            done.lock().unwrap().push((index, report));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    let mut all = Report::default();
    for (_, report) in done {
        all.extend(report);
    }
    all
}

/// The scenarios that do not take 20 minutes of virtual time.
pub(crate) fn short() -> Vec<Scenario> {
    let mut all = plimsoll_simulator::scenarios::all();
    all.retain(|scenario| !scenario.long);
    all
}

/// The scenarios of these names.
pub(crate) fn named(names: &[&str]) -> Vec<Scenario> {
    let find = |name: &&str| plimsoll_simulator::scenarios::named(name).unwrap();
    names.iter().map(find).collect()
}
