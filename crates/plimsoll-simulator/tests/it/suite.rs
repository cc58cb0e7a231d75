//! What every change of limiter or admission has to pass.
//!
//! Method: fixed seeds, waits as long as the objective allows; thresholds as in `plimsoll_simulator::suite`.

use plimsoll_simulator::suite::Suite;
use plimsoll_simulator::{Policy, Record, Run, Second, scenarios, simulate};

use crate::parallel;

/// Seed of the everyday run.
const SEED: u64 = 1;

/// Of each group of scenarios at least one; those in which threads matter most.
const TEN: [&str; 10] = [
    "init_1000",
    "steps_exp",
    "steps_tight",
    "bursts",
    "dep_slow_over",
    "hang_30",
    "capacity_over",
    "usl_knee_moves",
    "low_rate",
    "priority",
];

#[track_caller]
fn check(suite: &Suite, threads: usize) {
    let report = parallel::run(suite, threads, &Policy::ADAPTIVE, &[SEED]);
    let failures = report.failures();
    assert!(failures.is_empty(), "{failures:#?}\n{}", report.table());
}

#[test]
fn all_short_scenarios_reach_the_oracle_at_two_threads() {
    check(&Suite::of(parallel::short()), 2);
}

#[test]
fn ten_scenarios_reach_the_oracle_at_one_thread() {
    check(&Suite::of(parallel::named(&TEN)), 1);
}

#[test]
fn ten_scenarios_reach_the_oracle_at_sixteen_threads() {
    check(&Suite::of(parallel::named(&TEN)), 16);
}

fn counted(record: &Record, warm_up: u32, of: fn(&Second) -> u32) -> f64 {
    let counted = record.seconds.iter().skip(warm_up as usize);
    counted.map(|second| f64::from(of(second))).sum()
}

#[test]
fn one_tenant_with_ten_times_the_capacity_does_not_harm_the_others() {
    let scenario = scenarios::flood();
    for threads in [1, 2, 16] {
        let run = Run {
            threads,
            seed: SEED,
            uneven: false,
        };
        let record = simulate(&scenario, &Policy::ADAPTIVE, run);
        let offered = counted(&record, scenario.warm_up, |it| it.offered_legitimate);
        let good = counted(&record, scenario.warm_up, |it| it.good_legitimate);
        let share = good / offered;
        assert!(share >= 0.99, "{threads} threads: {share:.4} good");
    }
}

#[test]
fn a_slow_route_does_not_get_the_fast_one_refused() {
    let scenario = scenarios::slow_route();
    for threads in [1, 2, 16] {
        let run = Run {
            threads,
            seed: SEED,
            uneven: false,
        };
        let record = simulate(&scenario, &Policy::ADAPTIVE, run);
        let offered = counted(&record, scenario.warm_up, Second::offered_sum);
        let refused = counted(&record, scenario.warm_up, |it| it.refused);
        let share = refused / offered;
        assert!(share < 0.001, "{threads} threads: {share:.4} refused");
    }
}

#[test]
fn a_quarter_of_the_capacity_is_used_two_seconds_after_the_rest_is_gone() {
    let scenario = scenarios::quarter();
    let (fall, low) = (20, 400.0);
    for threads in [1, 2, 16] {
        for seed in 1..=4 {
            let run = Run {
                threads,
                seed,
                uneven: false,
            };
            let record = simulate(&scenario, &Policy::ADAPTIVE, run);
            let seconds = record.seconds.iter().skip(fall + 2).take(6);
            let good: u32 = seconds.map(Second::good_sum).sum();
            let share = f64::from(good) / (6.0 * low);
            assert!(
                share >= 0.9,
                "{threads} threads, seed {seed}: {share:.3} of it"
            );
        }
    }
}
