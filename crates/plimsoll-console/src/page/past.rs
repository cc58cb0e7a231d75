//! What is drawn over longer than memory has: from the history in the store, where less is told apart.

use plimsoll_measure::Step;

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Past {
    /// In steps of five minutes.
    SixHours,
    /// In steps of fifteen minutes.
    Day,
    /// In steps of six hours.
    FourWeeks,
}

impl Past {
    /// The length of a step, in seconds.
    pub const fn step(self) -> u64 {
        match self {
            Self::SixHours => 300,
            Self::Day => 900,
            Self::FourWeeks => 21_600,
        }
    }

    /// How many steps.
    pub const fn points(self) -> u64 {
        match self {
            Self::SixHours => 72,
            Self::Day => 96,
            Self::FourWeeks => 112,
        }
    }
}

/// How a service did, as one of its objectives counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastView {
    /// Which one; `None`: it has none, so nothing is kept of it.
    pub objective: Option<String>,
    /// The oldest first; none where nothing was observed. Of their causes only two are told apart: what the service did
    /// (`answered`) and what Plimsoll refused. Latencies are the highest of the minutes or hours in them; no rows, no standing.
    pub steps: Vec<Step>,
}
