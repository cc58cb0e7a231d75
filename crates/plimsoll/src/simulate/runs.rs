//! Runs of each arm with each seed, as many at once as the machine has cores and their memory allows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plimsoll_config::scenario::{MEMORY_MAX, Scenario};
use plimsoll_simulator::fleet::{Ledger, Simulation};

use super::Setting;
use super::progress::Progress;
use super::replay::Replay;

/// How much of virtual time passes between two looks at the progress.
const STEP: Duration = Duration::from_millis(500);
/// Bytes of what became of one workload in one phase, or in one step of a timeline: mostly a histogram.
const CELL: u64 = 9_000;
/// Cells of all timelines of a page, at most: they take less than a gigabyte.
const CELLS_MAX: u64 = 100_000;

/// Which runs there are of each arm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeds {
    /// The seed of the first; the others have those after it.
    pub(super) first: u64,
    pub(super) count: u64,
    /// Of so many of them it is kept when things happen.
    pub(super) drawn: u64,
    /// What a run may need, in bytes.
    pub(super) memory: f64,
}

/// Runs them all with the seeds from 1 on, where each is known to be small.
pub(super) fn run_all(
    scenario: &Scenario,
    replays: &[Replay],
    arms: &[Setting],
    count: u64,
    drawn: u64,
) -> Vec<Vec<Ledger>> {
    let seeds = Seeds {
        first: 1,
        count,
        drawn,
        memory: 0.0,
    };
    run_seeds(scenario, replays, arms, &seeds).unwrap_or_default()
}

/// Runs them all. What comes of it depends neither on how many cores there are nor on their memory. Refused if what is
/// known of them at the end would not fit.
pub(super) fn run_seeds(
    scenario: &Scenario,
    replays: &[Replay],
    arms: &[Setting],
    seeds: &Seeds,
) -> Result<Vec<Vec<Ledger>>, String> {
    let runs = arms.len() as u64 * seeds.count;
    let cells = (scenario.phases.len() * scenario.senders().len()) as u64;
    let results = runs as f64 * (cells * CELL) as f64;
    if results > MEMORY_MAX {
        return Err(format!(
            "the results of {runs} runs, of each workload and call in each phase, may need {:.1} GiB of memory; try fewer `--seeds`, at most {}",
            results / f64::from(1 << 30),
            (MEMORY_MAX / (cells * CELL) as f64) as u64 / arms.len().max(1) as u64
        ));
    }
    let jobs: Vec<(usize, u64)> = (0..seeds.count)
        .flat_map(|run| (0..arms.len()).map(move |arm| (arm, run)))
        .collect();
    let done: Vec<Mutex<Option<Ledger>>> = jobs.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let steps = jobs.len() as u64 * (scenario.lasts().as_millis() / STEP.as_millis()) as u64;
    let progress = Progress::new("simulating", steps);
    let step = timeline_step(scenario, arms.len() as u64 * seeds.drawn.min(seeds.count));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((&(arm, run), result)) = jobs.get(index).zip(done.get(index)) else {
                return;
            };
            let setting = arms.get(arm);
            let protections = setting.map(|it| it.protections.as_slice());
            let seed = seeds.first.wrapping_add(run);
            let mut simulation = Simulation::new(scenario, protections.unwrap_or_default(), seed);
            if let Some(governed) = setting.and_then(|it| it.governed.as_ref()) {
                simulation.govern(governed);
            }
            if run < seeds.drawn {
                simulation.record_every(step);
            }
            for replay in replays {
                simulation.replay(replay.workload, Arc::clone(&replay.requests));
            }
            while simulation.advance(STEP) {
                progress.step();
            }
            let ledger = simulation.finish();
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_once(cores, seeds.memory).min(jobs.len()) {
            scope.spawn(work);
        }
    });
    progress.end();
    let mut by_arm: Vec<Vec<Ledger>> = arms.iter().map(|_| Vec::new()).collect();
    for (&(arm, _), result) in jobs.iter().zip(done) {
        let ledger = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let (Some(ledgers), Some(ledger)) = (by_arm.get_mut(arm), ledger) {
            ledgers.push(ledger);
        }
    }
    Ok(by_arm)
}

/// How many runs go on at once that need so many bytes each.
fn at_once(cores: usize, memory: f64) -> usize {
    let fit = (MEMORY_MAX / memory.max(1.0)) as usize;
    fit.min(cores).max(1)
}

/// How many seconds a step of a timeline has, for so many timelines in all.
fn timeline_step(scenario: &Scenario, timelines: u64) -> u32 {
    // Who waits when the last phase ends does so for no longer than it is patient.
    let patience = scenario.workloads.iter().map(|it| it.patience).max();
    let lasts = (scenario.lasts() + patience.unwrap_or_default()).as_secs() + 1;
    let columns = timelines.max(1) * scenario.senders().len().max(1) as u64;
    let steps_max = (CELLS_MAX / columns).max(1);
    u32::try_from(lasts.div_ceil(steps_max)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use plimsoll_config::scenario::parse;

    use super::*;

    fn scenario(lasts: &str) -> Scenario {
        let text = format!(
            "[service.shop]\nworkers = 1\ntime = \"10ms\"\n[workload.people]\nrate = \"20/s\"\npatience = \"1s\"\n\
             [[phase]]\nname = \"all\"\nlasts = \"{lasts}\"\n"
        );
        parse(&text).unwrap()
    }

    #[test]
    fn what_does_not_fit_at_once_goes_one_after_the_other() {
        assert_eq!([0.0, 1e6].map(|memory| at_once(4, memory)), [4, 4]);
        assert_eq!(at_once(4, MEMORY_MAX / 2.5), 2);
        assert_eq!(at_once(4, MEMORY_MAX), 1);
    }

    #[test]
    fn long_timelines_have_longer_steps() {
        let step = |lasts, timelines| timeline_step(&scenario(lasts), timelines);
        assert_eq!([step("6h", 2), step("60s", 30)], [1, 1]);
        assert_eq!([step("6h", 20), step("100d", 2)], [5, 173]);
    }

    #[test]
    fn more_results_than_fit_are_refused_with_how_many_would() {
        let mut many = scenario("1s");
        let phase = many.phases[0].clone();
        many.phases = vec![phase; 100_000];
        let settings = super::super::settings(&many, &[]).unwrap();
        let seeds = Seeds {
            first: 1,
            count: 1_000,
            drawn: 0,
            memory: 0.0,
        };
        let error = run_seeds(&many, &[], &settings, &seeds).unwrap_err();
        assert!(
            error.contains("1676.4 GiB") && error.ends_with("at most 4"),
            "{error}"
        );
    }

    #[test]
    fn a_run_depends_on_its_seed_and_not_on_which_it_is() {
        let scenario = scenario("5s");
        let settings = super::super::settings(&scenario, &[]).unwrap();
        let run = |first, count| {
            let seeds = Seeds {
                first,
                count,
                drawn: 0,
                memory: 0.0,
            };
            run_seeds(&scenario, &[], &settings, &seeds).unwrap()
        };
        let (all, last) = (run(1, 3), run(3, 1));
        assert_eq!(all[0][2], last[0][0]);
        assert_ne!(all[0][1], last[0][0]);
    }
}
