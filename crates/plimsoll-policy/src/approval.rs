//! Approvals: which actions need that others agree, and the life of a request for that.
//!
//! A person is a name: whoever has two tokens of one name is one person, and whoever asks is never one of those who agree.
//! Invariant: what needs so many persons begins once at most, and only while so many others agree to exactly it who may.
//! Elsewhere: who may (`plimsoll-console/src/access.rs`), what is done then and where it is kept (`plimsoll/src/process/approvals.rs`).

mod request;
mod rule;

use serde::{Deserialize, Serialize};

pub use request::{Approval, Objection, Request, State, Wanted};
pub use rule::{Action, Needed, PERSONS_MAX, Rule, Touched, needed};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Another configuration is to be in force.
    Config,
    /// A flag is to be changed.
    Flag,
    /// A rollout is to begin or go on.
    Rollout,
    /// Services are to be frozen, or not any more.
    Freeze,
    /// A service is to do less for a while.
    Degrade,
    /// A step of a runbook that changes something.
    Runbook,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Config,
        Self::Flag,
        Self::Rollout,
        Self::Freeze,
        Self::Degrade,
        Self::Runbook,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Flag => "flag",
            Self::Rollout => "rollout",
            Self::Freeze => "freeze",
            Self::Degrade => "degrade",
            Self::Runbook => "runbook",
        }
    }
}
