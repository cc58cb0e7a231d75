//! What the governor is told each second.

use plimsoll_measure::Tally;
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
}

/// What a second brought to one objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveSignals {
    /// Requests that ended in this second.
    pub counts: Counts,
    /// The share of the period's budget that is left; below zero it is overspent; `None` without traffic.
    pub budget_left: Option<f64>,
}

/// Requests within an SLI. All but what the service did wrong is Plimsoll's doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Good ones.
    pub good: u64,
    /// Bad ones, whoever they are attributed to.
    pub bad: u64,
    /// Those of the bad ones that are attributed to the service.
    pub bad_service: u64,
}

impl Counts {
    /// What the budget counts.
    pub const fn budget(self) -> Tally {
        Tally {
            good: self.good,
            bad: self.bad,
        }
    }

    /// What the service did: refusals are left out.
    pub const fn service(self) -> Tally {
        Tally {
            good: self.good,
            bad: self.bad_service,
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.bad_service = self.bad_service.saturating_add(other.bad_service);
    }
}

/// What was asked of a service in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Requests that ended, whatever became of them.
    pub requests: u64,
    /// Attempts that were made again after one that failed.
    pub retries: u64,
    /// Attempts that were made beside one that took long.
    pub hedges: u64,
    /// Requests that Plimsoll refused since not all fits.
    pub refused: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Whether as many are in flight as the limit lets in.
    pub at_limit: bool,
}

impl Demand {
    /// Whether more is asked for than fits.
    pub const fn exceeds(self) -> bool {
        self.refused > 0 || self.waiting > 0 || self.at_limit
    }
}
