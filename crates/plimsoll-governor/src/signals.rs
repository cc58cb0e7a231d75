//! What the governor is told each second.

use plimsoll_core::Class;
use plimsoll_measure::Counts;
use serde::{Deserialize, Serialize};

/// What a second brought to all services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Each service at most once.
    pub services: Vec<ServiceSignals>,
}

/// What a second brought to one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceSignals {
    /// Its name.
    pub name: String,
    /// In the order of its objectives.
    pub objectives: Vec<ObjectiveSignals>,
    /// What was asked of it.
    pub demand: Demand,
    /// Whether it is in a maintenance window: nobody is called, and its objectives counted nothing.
    #[serde(default)]
    pub is_maintained: bool,
}

/// What a second brought to one objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveSignals {
    /// Requests that ended in this second.
    pub counts: Counts,
    /// The share of the period's budget that is left; below zero it is overspent; `None` without traffic.
    pub budget_left: Option<f64>,
}

/// What was asked of a service in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Requests that ended, whatever became of them.
    pub requests: u64,
    /// Those that Plimsoll did not refuse, by class. Not in what was kept by versions that did not know it.
    #[serde(default)]
    pub let_in: [u64; Class::ALL.len()],
    /// Those of them that would change something. Not in what was kept by versions that did not know it.
    #[serde(default)]
    pub writes: [u64; Class::ALL.len()],
    /// Attempts that were made again after one that failed.
    pub retries: u64,
    /// Attempts that were made beside one that took long.
    pub hedges: u64,
    /// Requests that the service was asked for though there was a stale answer that might have been given.
    #[serde(default)]
    pub stale: u64,
    /// Requests that Plimsoll refused since not all fits, other than by the governor's shed level.
    pub refused: u64,
    /// Requests that the shed level refused.
    #[serde(default)]
    pub governed: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Whether as many are in flight as the limit lets in.
    pub at_limit: bool,
}

/// How a service's guard stands, with counters that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Attempts that were made again.
    pub retries: u64,
    /// Attempts that were made beside another.
    pub hedges: u64,
    /// Requests that the governor's own shed level refused.
    pub governed: u64,
    /// Requests that the service was asked for though there was a stale answer that might have been given.
    pub stale: u64,
    /// Requests that would change something and were not refused, by class.
    pub writes: [u64; Class::ALL.len()],
    /// Requests that wait.
    pub waiting: u64,
    /// Requests that have a permit.
    pub in_flight: u64,
    /// How many may; `None`: as many as come.
    pub limit: Option<u64>,
}

/// Makes of counters what a second brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    before: Option<Standing>,
}

impl Meter {
    /// A second is over in which so many requests ended, and so many of them were refused since not all fits. What its own
    /// shed level refuses is no sign for the governor that not all fits. The first second has no retries: how many there were
    /// before it is not known.
    pub fn on_second(
        &mut self,
        requests: u64,
        refused: u64,
        let_in: [u64; Class::ALL.len()],
        now: Standing,
    ) -> Demand {
        let before = self.before.replace(now).unwrap_or(now);
        let governed = now.governed.saturating_sub(before.governed);
        Demand {
            requests,
            let_in,
            retries: now.retries.saturating_sub(before.retries),
            hedges: now.hedges.saturating_sub(before.hedges),
            stale: now.stale.saturating_sub(before.stale),
            writes: std::array::from_fn(|class| {
                let of = |standing: &Standing| standing.writes.get(class).copied();
                of(&now)
                    .zip(of(&before))
                    .map_or(0, |(now, before)| now.saturating_sub(before))
            }),
            refused: refused.saturating_sub(governed),
            governed,
            waiting: now.waiting,
            at_limit: now.limit.is_some_and(|limit| now.in_flight >= limit),
        }
    }
}

impl Demand {
    /// Whether more is asked for than fits.
    pub const fn exceeds(self) -> bool {
        self.refused > 0 || self.waiting > 0 || self.at_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_refuses_itself_is_no_sign_that_not_all_fits() {
        let mut meter = Meter::default();
        let begun = Standing {
            retries: 7,
            governed: 100,
            limit: Some(10),
            ..Standing::default()
        };
        let first = meter.on_second(50, 0, [0, 50, 0], begun);
        assert_eq!((first.retries, first.exceeds()), (0, false));
        let sheds = Standing {
            retries: 9,
            governed: 120,
            ..begun
        };
        let second = meter.on_second(50, 20, [0, 50, 0], sheds);
        assert_eq!((second.retries, second.refused), (2, 0));
        assert_eq!(second.governed, 20);
        assert!(!second.exceeds());
        let full = Standing {
            in_flight: 10,
            ..sheds
        };
        assert!(meter.on_second(50, 0, [0, 50, 0], full).exceeds());
        assert!(meter.on_second(50, 1, [0, 50, 0], sheds).exceeds());
    }
}
