//! What people may do about a rollout: what is asked for, and whether it can be.
//!
//! Elsewhere: whether it can be done now (`plimsoll_policy::rollout`).

use std::fmt;
use std::ops::Not;
use std::str::FromStr;

use plimsoll_measure::RolloutView;
use serde::{Deserialize, Serialize};

use crate::approval::Exempt;
use crate::overlay::why_of;
use crate::problem::Problem;
use crate::wire::shown;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolloutVerb {
    /// It begins, at its first step.
    Start,
    /// The version keeps what it has, and gets no more.
    Pause,
    /// It goes on from where it was paused; after a strike, sooner than by itself.
    Resume,
    /// The next step is taken now, whatever holds it but a freeze: that is how a gate is opened.
    Advance,
    /// Back to the step before, and paused there.
    StepBack,
    /// The version gets all, whatever is known.
    Promote,
    /// The version gets nothing from now on.
    Abort,
}

impl RolloutVerb {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Advance,
        Self::StepBack,
        Self::Promote,
        Self::Abort,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Advance => "advance",
            Self::StepBack => "step-back",
            Self::Promote => "promote",
            Self::Abort => "abort",
        }
    }

    /// What somebody did, in the journal.
    pub const fn past(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Pause => "paused",
            Self::Resume => "let go on",
            Self::Advance => "took the next step of",
            Self::StepBack => "took back a step of",
            Self::Promote => "promoted",
            Self::Abort => "aborted",
        }
    }
}

impl fmt::Display for RolloutVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RolloutVerb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let verb = Self::ALL.into_iter().find(|verb| verb.name() == text);
        verb.ok_or_else(|| {
            let text = shown(text);
            format!(
                "`{text}` can't be done about a rollout; expected start, pause, resume, advance, step-back, promote or abort"
            )
        })
    }
}

/// All rollouts of the configuration, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RolloutList {
    /// All of them.
    pub rollouts: Vec<RolloutView>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutWanted {
    /// The reason: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The `revision` that whoever asks has seen: if it is another by now, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether it is a fix: no freeze is in its way.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub fix: bool,
    /// Whether it is done without the approval that it needs.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub break_glass: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutDeed {
    /// What.
    pub verb: RolloutVerb,
    /// The reason.
    pub why: String,
    /// Only if its revision is this.
    pub revision: Option<u64>,
    /// What it is let past.
    pub exempt: Exempt,
}

impl RolloutWanted {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// What was expected instead.
    pub(crate) fn check(self, verb: RolloutVerb) -> Result<RolloutDeed, Problem> {
        Ok(RolloutDeed {
            verb,
            why: why_of(self.why)?,
            revision: self.revision,
            exempt: Exempt {
                is_fix: self.fix,
                breaks_glass: self.break_glass,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_read_as_it_is_written_and_needs_a_reason() {
        for verb in RolloutVerb::ALL {
            assert_eq!(verb.name().parse(), Ok(verb));
            assert!(RolloutWanted::default().check(verb).is_err());
        }
        assert!("undo".parse::<RolloutVerb>().is_err());
    }
}
