//! How well a run did, phase by phase, against the oracle.
//!
//! Units: shares, unless named otherwise. Elsewhere: the thresholds (`suite`).

use plimsoll_core::Class;

use crate::oracle::{self, Oracle};
use crate::record::{Record, Second};
use crate::scenario::{Phase, Scenario};
use crate::simulation::Run;

/// Good answers that a figure of recovery is taken over, if a second has fewer.
const RECOVERY_GOOD: f64 = 100.0;
/// Recovered is who reaches this share of the oracle.
const RECOVERED: f64 = 0.9;

/// How well one phase went.
#[derive(Clone, Copy, Debug)]
pub struct PhaseScore {
    /// What it is measured against.
    pub oracle: Oracle,
    /// Good answers per second in what is counted; `None` if nothing is.
    pub good: Option<f64>,
    /// The 99th percentile of latency as a share of the objective; zero without answers.
    pub p99: f64,
    /// Refused of all requests in what is counted.
    pub refused: f64,
    /// Requests refused in what is counted.
    pub refused_count: f64,
    /// Critical requests that were answered within the objective; `None` if there were none.
    pub critical_ok: Option<f64>,
    /// Seconds until the oracle was reached; `None` = never.
    pub recovery: Option<f64>,
    /// Whether nothing must be refused.
    pub healthy: bool,
}

impl PhaseScore {
    /// Good answers over the oracle's; `None` where there are none to be had, or nothing is counted.
    pub fn ratio(&self) -> Option<f64> {
        let good = self.good?;
        (self.oracle.good > 0.0).then(|| good / self.oracle.good)
    }
}

/// How well one run went.
#[derive(Clone, Debug)]
pub struct Score {
    /// The scenario.
    pub name: &'static str,
    /// How it was run.
    pub run: Run,
    /// Good answers over the oracle's, from the first second to the last: moves from phase to phase included.
    pub whole: f64,
    /// Its phases.
    pub phases: Vec<PhaseScore>,
    /// Times per minute that the limit turned round by more than a quarter.
    pub reversals: f64,
    /// Requests that were sent.
    pub requests: u64,
}

impl Score {
    /// Scores a run.
    ///
    /// # Panics
    ///
    /// If the scenario's oracles are not known.
    pub fn new(scenario: &Scenario, run: Run, record: &Record) -> Self {
        let mut seconds = record.seconds.as_slice();
        let mut phases = Vec::new();
        let (mut good, mut possible) = (0.0, 0.0);
        for (index, phase) in scenario.phases.iter().enumerate() {
            let oracle = oracle::known(scenario, index);
            assert!(oracle.is_some(), "{} {index} has no oracle", scenario.name);
            let Some(oracle) = oracle else { continue };
            let (of_phase, rest) = seconds.split_at((phase.seconds as usize).min(seconds.len()));
            seconds = rest;
            good += of_phase
                .iter()
                .map(|it| f64::from(it.good_sum()))
                .sum::<f64>();
            possible += oracle.good * f64::from(phase.seconds);
            let p99 = record.latencies.get(index);
            phases.push(PhaseScore {
                p99: p99.map_or(0.0, |latencies| latencies.quantile(0.99)),
                ..score_phase(phase, scenario.warm_up, oracle, of_phase)
            });
        }
        Self {
            name: scenario.name,
            run,
            whole: good / possible.max(1.0),
            phases,
            reversals: record.reversals_per_minute(),
            requests: record.requests,
        }
    }

    /// The worst phase of those in which there is something to be had.
    pub fn worst_phase(&self) -> f64 {
        let ratios = self.phases.iter().filter_map(PhaseScore::ratio);
        ratios.fold(f64::INFINITY, f64::min)
    }

    /// The largest share refused in a phase that is healthy.
    pub fn healthy_refused(&self) -> Option<f64> {
        let healthy = self.phases.iter().filter(|phase| phase.healthy);
        healthy.map(|phase| phase.refused).reduce(f64::max)
    }

    /// The largest 99th percentile of phases in which there is something to be had.
    pub fn p99(&self) -> f64 {
        let some = self.phases.iter().filter(|phase| phase.oracle.good > 0.0);
        some.map(|phase| phase.p99).fold(0.0, f64::max)
    }

    /// The mean share of critical requests that were answered within the objective.
    pub fn critical_ok(&self) -> f64 {
        let some = self.phases.iter().filter(|phase| phase.oracle.good > 0.0);
        let shares: Vec<f64> = some.filter_map(|phase| phase.critical_ok).collect();
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }

    /// The longest time until a phase's oracle was reached; `None` = never in one.
    pub fn recovery(&self) -> Option<f64> {
        let some = self.phases.iter().filter(|phase| phase.oracle.good > 0.0);
        some.map(|phase| phase.recovery)
            .try_fold(0.0, |longest: f64, recovery| Some(longest.max(recovery?)))
    }
}

fn score_phase(phase: &Phase, warm_up: u32, oracle: Oracle, seconds: &[Second]) -> PhaseScore {
    let counted = seconds.get(warm_up as usize..).unwrap_or_default();
    let sum = |of: fn(&Second) -> u32| counted.iter().map(|it| f64::from(of(it))).sum::<f64>();
    let (offered, good) = (sum(Second::offered_sum), sum(Second::good_sum));
    let critical = Class::Critical.index();
    let of_critical = |counts: fn(&Second) -> &[u32; 3]| {
        let count = |it| f64::from(counts(it).get(critical).copied().unwrap_or(0));
        counted.iter().map(count).sum::<f64>()
    };
    let (critical_offered, critical_good) =
        (of_critical(|it| &it.offered), of_critical(|it| &it.good));
    PhaseScore {
        oracle,
        good: (!counted.is_empty()).then(|| good / counted.len() as f64),
        p99: 0.0,
        refused: sum(|it| it.refused) / offered.max(1.0),
        refused_count: sum(|it| it.refused),
        // Answers to the requests of the seconds before may make it a little more than all.
        critical_ok: (critical_offered > 0.0).then(|| (critical_good / critical_offered).min(1.0)),
        recovery: recovery(oracle, seconds),
        healthy: phase.healthy,
    }
}

/// The first second from which on as many good answers came as the oracle's limit gives, nearly.
fn recovery(oracle: Oracle, seconds: &[Second]) -> Option<f64> {
    let window = (RECOVERY_GOOD / oracle.good.max(0.1)).ceil().max(1.0) as usize;
    let wanted = RECOVERED * oracle.good * window as f64;
    let reached = |window: &[Second]| {
        let good: u32 = window.iter().map(Second::good_sum).sum();
        f64::from(good) >= wanted
    };
    let first = seconds.windows(window).position(reached)?;
    Some(first as f64)
}
