//! How a service stands against its objectives: what the governor says, and everything else shows.

use serde::{Deserialize, Serialize};

/// How a service stands. The worse is the greater.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Nothing came for an hour, or never: nothing can be said.
    #[default]
    Unknown,
    /// Within its budget.
    Healthy,
    /// At this rate the budget is gone long before the period's end.
    Burning,
    /// At this rate it is gone within two days.
    Severe,
    /// Nothing is left of a budget.
    Exhausted,
}

impl Condition {
    /// All of them, the worse the later.
    pub const ALL: [Self; 5] = [
        Self::Unknown,
        Self::Healthy,
        Self::Burning,
        Self::Severe,
        Self::Exhausted,
    ];

    /// The word in metrics, pages and the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Burning => "burning",
            Self::Severe => "severe",
            Self::Exhausted => "exhausted",
        }
    }
}
