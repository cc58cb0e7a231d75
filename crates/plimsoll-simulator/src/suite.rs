//! The suite: scenarios, run and scored, with what is required of a policy.
//!
//! Source of the thresholds: the project's requirement for limiter and admission. Elsewhere: scenarios, oracles.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::gateway::Policy;
use crate::scenario::Scenario;
use crate::score::Score;
use crate::simulation::{Run, simulate};

/// Every phase reaches this share of its oracle.
pub const PHASE_MIN: f64 = 0.9;
/// The mean over scenarios, changes from phase to phase included.
pub const MEAN_MIN: f64 = 0.97;
/// The worst scenario, changes from phase to phase included.
pub const WORST_MIN: f64 = 0.87;
/// At most this share is refused where nothing must be.
pub const HEALTHY_REFUSED_MAX: f64 = 0.001;
/// So few in a phase are not held against it: at 24 requests per second one is already that share, and in a burst
/// beyond the capacity one or two can't be in time.
const HEALTHY_REFUSED_FEW: f64 = 2.0;

/// Scenarios to run.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Which.
    pub scenarios: Vec<Scenario>,
    /// Whether one gateway thread gets nine of ten requests.
    pub uneven: bool,
}

impl Suite {
    /// With requests spread evenly.
    pub const fn of(scenarios: Vec<Scenario>) -> Self {
        Self {
            scenarios,
            uneven: false,
        }
    }

    /// Runs each scenario with each seed.
    pub fn run(&self, threads: usize, policy: &Policy, seeds: &[u64]) -> Report {
        let mut scores = Vec::new();
        for scenario in &self.scenarios {
            for &seed in seeds {
                let run = Run {
                    threads,
                    seed,
                    uneven: self.uneven,
                };
                let record = simulate(scenario, policy, run);
                scores.push(Score::new(scenario, run, &record));
            }
        }
        Report { scores }
    }
}

/// What a suite gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Each run.
    pub scores: Vec<Score>,
}

impl Report {
    /// The mean over runs.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.scores.iter().map(|score| score.whole).sum();
        sum / self.scores.len().max(1) as f64
    }

    /// The worst run.
    pub fn worst(&self) -> f64 {
        let all = self.scores.iter().map(|score| score.whole);
        all.fold(f64::INFINITY, f64::min)
    }

    /// What single runs miss: a line for each.
    pub fn misses(&self) -> Vec<String> {
        let mut misses = self.run_misses();
        for score in &self.scores {
            for (index, phase) in score.phases.iter().enumerate() {
                if let Some(ratio) = phase.ratio().filter(|&ratio| ratio < PHASE_MIN) {
                    let what = format!("phase {index}: {ratio:.3} of the oracle");
                    misses.push(miss(score, &what));
                }
            }
        }
        misses
    }

    /// What runs and their mean miss.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.misses();
        failures.extend(self.mean_miss());
        failures
    }

    /// What single runs miss beside single phases.
    fn run_misses(&self) -> Vec<String> {
        let mut misses = Vec::new();
        for score in &self.scores {
            if score.whole < WORST_MIN {
                let what = format!("{:.3} of the oracle as a whole", score.whole);
                misses.push(miss(score, &what));
            }
            for (index, phase) in score.phases.iter().enumerate() {
                if phase.healthy
                    && phase.refused >= HEALTHY_REFUSED_MAX
                    && phase.refused_count > HEALTHY_REFUSED_FEW
                {
                    let percent = 100.0 * phase.refused;
                    misses.push(miss(
                        score,
                        &format!("phase {index}: {percent:.2} % refused"),
                    ));
                }
            }
        }
        misses
    }

    fn mean_miss(&self) -> Option<String> {
        let mean = self.mean();
        (mean < MEAN_MIN).then(|| format!("mean of the suite: {mean:.3}"))
    }

    /// What is missed over several seeds: a phase below its threshold in the mean over them, or in one of them
    /// below that for a scenario as a whole. A phase of one run is a sample of a few hundred answers at the
    /// smallest rates; its mean is what the policy does.
    pub fn failures_over_seeds(&self) -> Vec<String> {
        let mut phases: BTreeMap<(&str, usize, usize), Vec<f64>> = BTreeMap::new();
        for score in &self.scores {
            for (index, phase) in score.phases.iter().enumerate() {
                let key = (score.name, score.run.threads, index);
                phases.entry(key).or_default().extend(phase.ratio());
            }
        }
        let mut failures = self.run_misses();
        failures.extend(self.mean_miss());
        for ((name, threads, index), ratios) in phases.iter().filter(|(_, of)| !of.is_empty()) {
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            if mean < PHASE_MIN || least < WORST_MIN {
                failures.push(format!(
                    "{name} (threads {threads}): phase {index}: {mean:.3} of the oracle, at least {least:.3}"
                ));
            }
        }
        failures
    }

    /// Adds another report's runs.
    pub fn extend(&mut self, other: Self) {
        self.scores.extend(other.scores);
    }

    /// A table in Markdown: a row for each run, and one for all.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| scenario | whole | phases, share of the oracle | p99/objective | critical ok | recovery s | healthy refused | reversals/min |\n\
             |---|--:|---|--:|--:|--:|--:|--:|\n",
        );
        for score in &self.scores {
            let phases: Vec<String> = score
                .phases
                .iter()
                .map(|phase| {
                    phase
                        .ratio()
                        .map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
                })
                .collect();
            let recovery = score.recovery();
            let refused = score.healthy_refused();
            // Writing to a string does not fail.
            let _always = writeln!(
                table,
                "| {} | {:.3} | {} | {:.2} | {:.3} | {} | {} | {:.1} |",
                score.name,
                score.whole,
                phases.join(" "),
                score.p99(),
                score.critical_ok(),
                recovery.map_or("never".to_owned(), |seconds| format!("{seconds:.0}")),
                refused.map_or(String::new(), |share| format!("{:.2} %", 100.0 * share)),
                score.reversals,
            );
        }
        let count = self.scores.len().max(1) as f64;
        let mean = |of: fn(&Score) -> f64| self.scores.iter().map(of).sum::<f64>() / count;
        let _always = writeln!(
            table,
            "| **{} runs** | **{:.3}**, worst {:.3} | worst phase, mean {:.3} | {:.2} | {:.3} | | {:.2} % | {:.1} |",
            self.scores.len(),
            self.mean(),
            self.worst(),
            mean(Score::worst_phase),
            mean(Score::p99),
            mean(Score::critical_ok),
            100.0
                * self
                    .scores
                    .iter()
                    .filter_map(Score::healthy_refused)
                    .fold(0.0, f64::max),
            mean(|score| score.reversals),
        );
        table
    }
}

fn miss(score: &Score, what: &str) -> String {
    let Run { threads, seed, .. } = score.run;
    format!("{} (threads {threads}, seed {seed}): {what}", score.name)
}
