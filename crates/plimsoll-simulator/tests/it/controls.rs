//! Negative controls: policies that must not pass. A suite that they pass would prove nothing.
//!
//! Method: a limit that never moves fails wherever the limits that do lie elsewhere; the everyday run tries one
//! scenario for each control, the long one all.

use plimsoll_policy::LimiterKind;
use plimsoll_simulator::suite::{Report, Suite};
use plimsoll_simulator::{Policy, Scenario, oracle};

use crate::parallel;

/// A limit this many times outside of what gives 95 % of the oracle misses 90 % of it, too.
const MARGIN: f64 = 1.35;

pub(crate) const ALWAYS_MIN: Policy = Policy::of(LimiterKind::Fixed(2));
pub(crate) const ALWAYS_MAX: Policy = Policy::of(LimiterKind::Fixed(1_000));
pub(crate) const FROZEN: Policy = Policy::of(LimiterKind::Fixed(20));
pub(crate) const NO_LIMIT: Policy = Policy::of(LimiterKind::Off);
const LEAKING: Policy = Policy {
    leaks: Some(500),
    ..Policy::ADAPTIVE
};

/// Whether a fixed limit has to fail a scenario by what is known of its phases.
fn has_to_fail(scenario: &Scenario, limit: u32) -> bool {
    let mut phases = scenario.phases.iter().enumerate();
    phases.any(|(index, phase)| {
        let oracle = oracle::known(scenario, index).unwrap();
        let (low, high) = oracle.range;
        let outside = f64::from(limit) * MARGIN < f64::from(low)
            || f64::from(limit) > MARGIN * f64::from(high);
        phase.seconds > scenario.warm_up && oracle.good > 0.0 && outside
    })
}

/// Runs a control where it has to fail, and says where it passed all the same.
fn passed(scenarios: Vec<Scenario>, policy: &Policy, limit: u32) -> (usize, Vec<&'static str>) {
    let mut suite = Suite::of(scenarios);
    suite.scenarios.retain(|it| has_to_fail(it, limit));
    let report = parallel::run(&suite, 2, policy, &[1]);
    let passes = |score: &&plimsoll_simulator::Score| {
        let alone = Report {
            scores: vec![(*score).clone()],
        };
        alone.misses().is_empty()
    };
    let passed = report.scores.iter().filter(passes).map(|it| it.name);
    (suite.scenarios.len(), passed.collect())
}

#[track_caller]
fn check(name: &str, policy: &Policy, limit: u32) {
    let (tried, passed) = passed(parallel::named(&[name]), policy, limit);
    assert_eq!((tried, passed), (1, vec![]));
}

#[test]
fn the_smallest_limit_fails_where_more_is_needed() {
    check("steady_0.5", &ALWAYS_MIN, 2);
}

#[test]
fn the_largest_limit_fails_under_overload() {
    check("capacity_over", &ALWAYS_MAX, 1_000);
}

#[test]
fn no_limit_fails_under_overload() {
    check("capacity_over", &NO_LIMIT, 1_000);
}

#[test]
fn a_frozen_limit_fails_where_another_is_needed() {
    check("dep_slow_over", &FROZEN, 20);
}

#[test]
fn a_leak_of_permits_fails_in_the_long_run() {
    let suite = Suite::of(parallel::named(&["hour_1.1"]));
    let report = suite.run(2, &LEAKING, &[1]);
    assert!(!report.misses().is_empty(), "{}", report.table());
}

/// All controls over all short scenarios; the table says how they did.
pub(crate) fn all() {
    for (name, policy, limit, least) in [
        ("AlwaysMin", ALWAYS_MIN, 2, 40),
        ("AlwaysMax", ALWAYS_MAX, 1_000, 30),
        ("NoLimit", NO_LIMIT, 1_000, 30),
        ("FrozenLimit", FROZEN, 20, 10),
    ] {
        let (tried, passed) = passed(parallel::short(), &policy, limit);
        println!("{name}: has to fail {tried} scenarios, and passed {passed:?} of them");
        assert!(tried >= least && passed.is_empty(), "{name}");
    }
}
