//! What the governor is told each second.

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
