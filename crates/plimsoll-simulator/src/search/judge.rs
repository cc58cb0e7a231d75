//! What must always hold, and whether it did.
//!
//! Each bound says from what on a violation is worth a person's time. Noise is allowed for: what is counted is a sample,
//! and its standard deviation is about the root of its count.

use std::any::Any;
use std::fmt;
use std::ops::Range;

use plimsoll_config::scenario::{Scenario, Source, Workload};
use plimsoll_core::Class;

use super::Setting;
use super::possible::Possible;
use super::segments::{Segment, segments};
use crate::fleet::{Cell, Ledger, Second, Timeline};

/// Good answers, of what is possible. The requirement of the suite for each of its phases.
const GOODPUT_MIN: f64 = 0.9;
/// Critical users that get a good answer, where all of them together ask for less than the part below.
const CRITICAL_MIN: f64 = 0.9;
/// Of what a service can do: more than it is not judged, since retries of clients come on top.
const CRITICAL_LOAD_MAX: f64 = 0.5;
/// From this share of what a service can do on, several gateways before it are not judged.
const ALONE_MIN: f64 = 0.8;
/// Fewer say too little.
const USERS_MIN: f64 = 50.0;
/// Standard deviations that are noise: one in 30,000 is more.
const DEVIATIONS: f64 = 4.0;
/// How far good answers may swing around their mean beyond noise, as a part of it.
const SWING_MAX: f64 = 0.15;

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The run ends, and no assertion of policies or simulation fails.
    Sound,
    /// Requests are the sum of their causes, users have at most one good answer, and seconds add up to phases.
    Accounting,
    /// Retries stay within their budget.
    RetryBudget,
    /// Of what is possible, 0.9 is reached five seconds after a change.
    Goodput,
    /// ...and fifteen seconds after the trouble is over.
    Recovery,
    /// Critical requests that fit are answered.
    Critical,
    /// Under an even load, answers come evenly.
    Steady,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sound,
        Self::Accounting,
        Self::RetryBudget,
        Self::Goodput,
        Self::Recovery,
        Self::Critical,
        Self::Steady,
    ];

    /// The word in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Accounting => "accounting",
            Self::RetryBudget => "retry-budget",
            Self::Goodput => "goodput",
            Self::Recovery => "recovery",
            Self::Critical => "critical",
            Self::Steady => "steady",
        }
    }
}

/// Something did not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// What.
    pub invariant: Invariant,
    /// Where and when, in words.
    pub at: String,
    /// What was measured...
    pub measured: f64,
    /// ...and its bound.
    pub bound: f64,
}

impl Violation {
    /// How far beyond its bound it is, as a part of that.
    pub(super) fn beyond(&self) -> f64 {
        (self.measured - self.bound).abs() / self.bound.max(f64::MIN_POSITIVE)
    }

    pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self {
            invariant: Invariant::Sound,
            at: text.unwrap_or("it panicked").to_owned(),
            measured: 0.0,
            bound: 0.0,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (invariant, at) = (self.invariant.name(), &self.at);
        match self.invariant {
            Invariant::Sound | Invariant::Accounting => write!(formatter, "{invariant}: {at}"),
            _ => write!(
                formatter,
                "{invariant}: {at}: {:.3}, bound {:.3}",
                self.measured, self.bound
            ),
        }
    }
}

/// Says what did not hold in a run that kept its timeline.
pub fn judge(scenario: &Scenario, setting: Setting, ledger: &Ledger) -> Vec<Violation> {
    let mut violations = Vec::new();
    let Some(timeline) = ledger.timeline() else {
        return violations;
    };
    accounting(ledger, timeline, &mut violations);
    for service in 0..scenario.services.len() {
        let run = Run {
            scenario,
            service,
            seconds: timeline.seconds(),
        };
        run.retry_budget(setting, &mut violations);
        for segment in segments(scenario) {
            run.judge(&segment, &mut violations);
        }
    }
    violations.sort_by_key(|violation| violation.invariant);
    violations
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

fn accounting(ledger: &Ledger, timeline: &Timeline, violations: &mut Vec<Violation>) {
    let mut wrong = |what: &str, measured: u64, bound: u64| {
        violations.push(Violation {
            invariant: Invariant::Accounting,
            at: format!("{what}: {measured} and {bound}"),
            measured: measured as f64,
            bound: bound as f64,
        });
    };
    let mut by_phase = Cell::default();
    for cell in ledger.cells() {
        by_phase.merge(cell);
        let (requests, causes) = (sum(&cell.requests), sum(&cell.causes));
        if requests != causes {
            wrong("requests and causes", requests, causes);
        }
        for (users, good) in cell.users.iter().zip(&cell.good) {
            if good > users {
                wrong("good answers and users", *good, *users);
            }
        }
    }
    let mut by_second = Cell::default();
    for second in timeline.seconds() {
        second.cells.iter().for_each(|cell| by_second.merge(cell));
    }
    if by_phase != by_second {
        let (phases, seconds) = (sum(&by_phase.requests), sum(&by_second.requests));
        wrong("phases and seconds", phases, seconds);
    }
}

/// One service in a run.
struct Run<'a> {
    scenario: &'a Scenario,
    service: usize,
    seconds: &'a [Second],
}

impl Run<'_> {
    fn judge(&self, segment: &Segment, violations: &mut Vec<Violation>) {
        let Some(service) = self.scenario.services.get(self.service) else {
            return;
        };
        let Some(possible) = Possible::new(service, &segment.faults(self.service)) else {
            return;
        };
        let range = segment.from..segment.to;
        let at = format!(
            "{}, seconds {} to {}",
            service.name, segment.from, segment.to
        );
        let mut violated = |invariant, measured: f64, bound: f64| {
            violations.push(Violation {
                invariant,
                at: at.clone(),
                measured,
                bound,
            });
        };
        let demand = segment.demand(self.scenario, self.service, self.closed(range.clone()));
        if demand.is_empty() {
            return;
        }
        let nominal: f64 = demand.iter().sum::<f64>() / demand.len().max(1) as f64;
        // Gateways do not know of each other. Where more is asked for than there is, each sees that it answers more if it
        // lets in more, at the cost of the others, and that its own cuts help nobody: known, and in `search.md`.
        if self.scenario.gateways > 1 && nominal > ALONE_MIN * possible.capacity() {
            return;
        }
        let can = mean_goodput(&possible, &demand);
        let counted = self.cell(range.clone());
        let (users, good) = (sum(&counted.users) as f64, sum(&counted.good) as f64);
        if users >= USERS_MIN {
            let expected = users * can / nominal;
            let bound = GOODPUT_MIN * (expected - DEVIATIONS * libm::sqrt(expected)) / expected;
            let invariant = match segment.recovered {
                true => Invariant::Recovery,
                false => Invariant::Goodput,
            };
            if good / expected < bound {
                violated(invariant, good / expected, bound);
            }
        }
        let of = |counts: &[u64; Class::ALL.len()]| {
            let critical = counts.get(Class::Critical.index());
            critical.copied().unwrap_or(0) as f64
        };
        let (users, good) = (of(&counted.users), of(&counted.good));
        let offered = users / range.len() as f64;
        if users >= USERS_MIN && offered < CRITICAL_LOAD_MAX * possible.capacity() {
            let expected = users * possible.good;
            let bound = CRITICAL_MIN * (expected - DEVIATIONS * libm::sqrt(expected)) / expected;
            if good / expected < bound {
                violated(Invariant::Critical, good / expected, bound);
            }
        }
        if segment.is_even(self.scenario, self.service) && range.len() >= 8 {
            let swing = self.swing(range);
            if swing > SWING_MAX {
                violated(Invariant::Steady, swing, SWING_MAX);
            }
        }
    }

    /// How far good answers swing around their mean, beyond what counts at random do: over pairs of seconds.
    fn swing(&self, range: Range<usize>) -> f64 {
        let pairs: Vec<f64> = (range.start..range.end - 1)
            .step_by(2)
            .map(|second| sum(&self.cell(second..second + 2).good) as f64)
            .collect();
        let mean = pairs.iter().sum::<f64>() / pairs.len() as f64;
        let variance = pairs
            .iter()
            .map(|it| (it - mean) * (it - mean))
            .sum::<f64>()
            / (pairs.len() as f64 - 1.0);
        // The variance of a count at random is its mean; that of a sample of it spreads, too.
        let noise = mean * (1.0 + DEVIATIONS * libm::sqrt(2.0 / (pairs.len() as f64 - 1.0)));
        libm::sqrt((variance - noise).max(0.0)) / mean.max(1.0)
    }

    fn retry_budget(&self, setting: Setting, violations: &mut Vec<Violation>) {
        let Some(protection) = setting
            .protections(self.scenario)
            .into_iter()
            .nth(self.service)
        else {
            return;
        };
        // Connections that are refused are tried elsewhere without a budget: nothing was sent.
        let faults = self.scenario.faults.iter();
        let refuses = |kind| matches!(kind, plimsoll_config::scenario::FaultKind::Crash);
        let refused = faults
            .clone()
            .any(|it| it.service == self.service && refuses(it.kind));
        if refused {
            return;
        }
        let all = self.cell(0..self.seconds.len());
        let refused: u64 = sum(&all.refused);
        let first = sum(&all.requests).saturating_sub(refused) as f64;
        let retry = protection.guard.retry;
        let floor = retry.floor_per_second * self.seconds.len() as f64 + retry.grant().burst();
        let floor = floor * self.scenario.gateways as f64;
        let (attempts, bound) = (
            all.attempts as f64,
            first * (1.0 + retry.budget.get()) + floor,
        );
        if attempts > bound {
            let service = self.scenario.services.get(self.service);
            violations.push(Violation {
                invariant: Invariant::RetryBudget,
                at: format!(
                    "{}, attempts at endpoints for {first} first ones",
                    service.map_or("", |it| it.name.as_str())
                ),
                measured: attempts,
                bound,
            });
        }
    }

    /// What populations of the service asked for over some seconds, in new users per second.
    fn closed(&self, range: Range<usize>) -> f64 {
        let seconds = range.len().max(1) as f64;
        let closed = |workload: &Workload| matches!(workload.source, Source::Users(_));
        sum(&self.cell_of(range, closed).users) as f64 / seconds
    }

    /// All workloads of the service over some seconds.
    fn cell(&self, range: Range<usize>) -> Cell {
        self.cell_of(range, |_| true)
    }

    fn cell_of(&self, range: Range<usize>, counts: impl Fn(&Workload) -> bool) -> Cell {
        let mut all = Cell::default();
        for second in self.seconds.get(range).unwrap_or_default() {
            for (workload, cell) in self.scenario.workloads.iter().zip(&second.cells) {
                if workload.service == self.service && counts(workload) {
                    all.merge(cell);
                }
            }
        }
        all
    }
}

fn mean_goodput(possible: &Possible, demand: &[f64]) -> f64 {
    let mut known: Option<(f64, f64)> = None;
    let mut all = 0.0;
    for &offered in demand {
        let good = match known {
            Some((same, good)) if same == offered => good,
            _ => possible.goodput(offered),
        };
        known = Some((offered, good));
        all += good;
    }
    all / demand.len().max(1) as f64
}
