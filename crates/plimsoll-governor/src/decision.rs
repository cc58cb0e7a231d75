//! What was decided, and on which evidence.

use plimsoll_core::{Mode, Ratio};
use plimsoll_measure::{Condition, Counts, Urgency};
use serde::{Deserialize, Serialize};

use crate::actuator::Actuator;
use crate::ladder::HELPED;
use crate::pager::{Absence, Page};

/// A decision about one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The service.
    pub service: String,
    /// Whether it is done, or would be.
    pub mode: Mode,
    /// What was decided.
    #[serde(flatten)]
    pub what: What,
    /// What it was decided on; `None` where an objective plays no part.
    pub evidence: Option<Evidence>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// The service stands otherwise than before.
    Condition {
        /// How it stood.
        from: Condition,
        /// How it stands.
        to: Condition,
    },
    /// An actuator is moved.
    Move {
        /// Which.
        actuator: Actuator,
        /// Its step before.
        from: u8,
        /// Its step now.
        to: u8,
        /// Why.
        because: Because,
    },
    /// The service burns because another does that it depends on: what is to be done is done there.
    Defer {
        /// The other one.
        to: String,
    },
    /// It goes on burning, and nothing is left that may be moved and could help.
    Helpless,
    /// Somebody is called.
    Page(Page),
    /// What somebody was called for has ended.
    Resolved,
    /// Requests stay away.
    Absent(Absence),
    /// They come again.
    Returned,
}

impl What {
    /// Its word, as in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Condition { .. } => "condition",
            Self::Move { .. } => "move",
            Self::Defer { .. } => "defer",
            Self::Helpless => "helpless",
            Self::Page(_) => "page",
            Self::Resolved => "resolved",
            Self::Absent(_) => "absent",
            Self::Returned => "returned",
        }
    }
}

/// Why an actuator is moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Because {
    /// The service's own failures burn the budget.
    Burns {
        /// The share of bad ones among those that were let in, over the last five seconds.
        bad_share: f64,
    },
    /// The step before did not help, or cost more than it saved, so it is taken back.
    NoEffect {
        /// The share before that step.
        before: f64,
        /// The share with it.
        bad_share: f64,
    },
    /// The step before refused nobody, since nothing of that class comes.
    NobodyRefused {
        /// The share of bad ones among those that were let in.
        bad_share: f64,
    },
    /// The step before was not enough, and cost nobody an answer.
    TooLittle {
        /// The share of bad ones among those that were let in.
        bad_share: f64,
    },
    /// What it is made for has stopped.
    Ended,
    /// It has burnt on for long, maybe for another reason: whether the step still helps shows without it.
    Review {
        /// The share of bad ones with it.
        bad_share: f64,
    },
    /// It may not be moved any more: the configuration has changed.
    Forbidden,
    /// The service's mode has changed: what was moved under the other one is not any more.
    OtherMode,
}

/// What a decision rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The objective that stands worst.
    pub objective: String,
    /// Its target.
    pub target: Ratio,
    /// The share of the period's budget that is left.
    pub budget_left: Option<f64>,
    /// The shortest first.
    pub spans: Vec<Span>,
}

/// What came over a span of time that ends with the decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// How long it is.
    pub seconds: u64,
    /// What came.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Evidence {
    /// The burn rate of a span, of all or of what the service did; `None` without traffic.
    pub fn burn(&self, span: &Span) -> Option<f64> {
        span.counts.budget().burn_rate(self.target)
    }
}

impl Because {
    /// Its word, as in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Burns { .. } => "burns",
            Self::NoEffect { .. } => "no-effect",
            Self::NobodyRefused { .. } => "nobody-refused",
            Self::TooLittle { .. } => "too-little",
            Self::Ended => "ended",
            Self::Review { .. } => "review",
            Self::Forbidden => "forbidden",
            Self::OtherMode => "other-mode",
        }
    }
}

impl std::fmt::Display for Decision {
    /// A sentence, as a person reads it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let would = if self.mode == Mode::Enforce {
            ""
        } else {
            "would be: "
        };
        match &self.what {
            What::Condition { from, to } => {
                write!(f, "{}, was {}", to.name(), from.name())?;
            }
            What::Move {
                actuator,
                to,
                because,
                ..
            } => {
                write!(f, "{would}{}", actuator.says(*to))?;
                match because {
                    Because::Burns { bad_share } => {
                        write!(f, ": {:.1} % of what is let in fails", 100.0 * bad_share)?;
                    }
                    Because::NoEffect { before, bad_share } => write!(
                        f,
                        ": it {}, {:.1} % failed before and {:.1} % with it",
                        match *bad_share <= HELPED * before {
                            true => "cost more than it saved",
                            false => "did not help",
                        },
                        100.0 * before,
                        100.0 * bad_share
                    )?,
                    Because::NobodyRefused { bad_share } => write!(
                        f,
                        ": the step before refused nobody, {:.1} % of what is let in fails",
                        100.0 * bad_share
                    )?,
                    Because::TooLittle { bad_share } => write!(
                        f,
                        ": the step before was not enough, {:.1} % of what is let in fails",
                        100.0 * bad_share
                    )?,
                    Because::Ended => write!(f, ": the burn has stopped")?,
                    Because::Review { bad_share } => write!(
                        f,
                        ": to see whether it still helps, {:.1} % fails with it",
                        100.0 * bad_share
                    )?,
                    Because::Forbidden => write!(f, ": the configuration has changed")?,
                    Because::OtherMode => write!(f, ": the governor's mode has changed")?,
                }
            }
            What::Defer { to } => write!(f, "burns because {to} does: decided there")?,
            What::Helpless => write!(f, "goes on burning, and nothing that may be moved can help")?,
            What::Page(page) => write!(
                f,
                "{}: a burn of {} or more",
                match page.urgency {
                    Urgency::Page => "page",
                    Urgency::Ticket => "ticket",
                },
                page.burn
            )?,
            What::Resolved => write!(f, "within its budget again for an hour")?,
            What::Absent(absence) => write!(
                f,
                "page: no request for {} s, {:.0} were to be expected",
                absence.seconds, absence.expected
            )?,
            What::Returned => write!(f, "requests come again")?,
        }
        let Some(evidence) = &self.evidence else {
            return Ok(());
        };
        write!(f, " ({}", evidence.objective)?;
        for span in &evidence.spans {
            if let Some(burn) = evidence.burn(span) {
                write!(f, ", {burn:.1}x over {} s", span.seconds)?;
            }
        }
        if let Some(left) = evidence.budget_left {
            write!(f, ", {:.0} % of the budget left", 100.0 * left)?;
        }
        write!(f, ")")
    }
}
