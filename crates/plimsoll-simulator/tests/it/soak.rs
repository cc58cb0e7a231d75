//! `cargo xtask soak limiter`: the whole suite, long runs included, and its controls. Its output is a page.
//!
//! Method: fixed seeds, and one that nobody has tuned for; it is printed, and `PLIMSOLL_SEED` repeats it.

use std::hash::{BuildHasher, RandomState};

use plimsoll_policy::{LimiterKind, QueueWait};
use plimsoll_simulator::suite::{Report, Suite};
use plimsoll_simulator::{Policy, scenarios};

use crate::{controls, parallel};

/// Seeds that limiter and admission may be tuned with.
const SEEDS: [u64; 3] = [1, 2, 3];
/// What sixteen threads may lose against one.
const THREADS_LOSS_MAX: f64 = 0.02;

pub(crate) fn fresh_seed() -> u64 {
    let given = std::env::var("PLIMSOLL_SEED").ok();
    given.map_or_else(
        || RandomState::new().hash_one("a fresh seed"),
        |seed| seed.parse().unwrap(),
    )
}

/// Prints a table, and what single runs miss.
fn show(title: &str, report: &Report) {
    println!("\n## {title}\n\n{}", report.table());
    show_misses(report);
}

/// The last row of a table.
fn summary(title: &str, report: &Report) {
    let table = report.table();
    println!("- {title}: {}", table.lines().last().unwrap());
}

fn show_misses(report: &Report) {
    for failure in &report.failures() {
        println!("- below in this run: {failure}");
    }
}

#[test]
#[ignore = "minutes: `cargo xtask soak limiter`"]
fn limiter_passes_the_whole_suite() {
    let suite = Suite::of(scenarios::all());
    let fresh = fresh_seed();
    println!(
        "# Limiter and admission over {} scenarios\n\nFresh seed: {fresh}",
        suite.scenarios.len()
    );
    let mut judged = Report::default();
    let mut means = Vec::new();
    for threads in [1, 2, 16] {
        let report = parallel::run(&suite, threads, &Policy::ADAPTIVE, &SEEDS[..1]);
        show(&format!("{threads} threads, seed {}", SEEDS[0]), &report);
        means.push(report.mean());
        judged.extend(report);
        for seed in SEEDS[1..].iter().copied().chain([fresh]) {
            let report = parallel::run(&suite, threads, &Policy::ADAPTIVE, &[seed]);
            summary(&format!("{threads} threads, seed {seed}"), &report);
            show_misses(&report);
            judged.extend(report);
        }
    }
    let loss = means[0] - means[2];
    println!("\nSixteen threads against one: {:+.3}", -loss);
    let uneven = Suite {
        uneven: true,
        ..suite
    };
    for threads in [2, 16] {
        let report = parallel::run(&uneven, threads, &Policy::ADAPTIVE, &SEEDS[..1]);
        // Shown, not judged.
        summary(
            &format!("{threads} threads, one with nine of ten requests"),
            &report,
        );
    }
    let failures = judged.failures_over_seeds();
    println!("\nMissed: {}", failures.len());
    for failure in &failures {
        println!("- {failure}");
    }
    assert!(loss <= THREADS_LOSS_MAX, "{loss}");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
#[ignore = "a minute: `cargo xtask soak limiter`"]
fn limiter_with_short_waits_is_better_than_none_and_than_a_frozen_one() {
    let suite = Suite::of(parallel::short());
    let mean = |limiter, wait| {
        let policy = Policy {
            wait,
            ..Policy::of(limiter)
        };
        let report = parallel::run(&suite, 2, &policy, &SEEDS[..1]);
        summary(&format!("{limiter:?}, wait {wait:?}"), &report);
        report.mean()
    };
    let auto = mean(LimiterKind::Adaptive, QueueWait::Auto);
    let longest = mean(LimiterKind::Adaptive, QueueWait::Objective);
    let none = mean(LimiterKind::Off, QueueWait::Objective);
    let frozen = mean(LimiterKind::Fixed(20), QueueWait::Objective);
    println!(
        "\nWaits of 10-50 ms cost {:.3} of the goodput.",
        longest - auto
    );
    assert!(auto > none && auto > frozen, "{auto} {none} {frozen}");
}

#[test]
#[ignore = "a minute: `cargo xtask soak limiter`"]
fn limiter_suite_fails_its_controls() {
    println!("\n## Controls\n");
    controls::all();
}
