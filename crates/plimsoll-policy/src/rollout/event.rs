//! What happens in a rollout, with the figures that a journal keeps of it.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rollout::counts::{Arms, Weight};
use crate::rollout::verdict::Scores;

/// Where a rollout is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A step is in progress.
    Running,
    /// A step is due and can't be taken, or must not.
    Held,
    /// A person has stopped it where it is; it is judged all the same.
    Paused,
    /// There was a strike: the canary gets nothing for a while.
    CoolingDown,
    /// Over: see the outcome.
    Finished,
}

/// Why a step that is due is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// A person has to let it.
    Gate,
    /// Changes are frozen.
    Frozen,
    /// The service as a whole burns.
    ServiceBurns,
    /// No endpoint of the canary can be called.
    CanaryDown,
    /// Latencies have another shape, and no objective is hurt: a person has to look.
    Latency,
    /// The canary had too few requests to say that the step would do no harm. Neither a pass nor a failure.
    NotEnoughTraffic,
    /// The rate that it has, or what it has cost already, leaves no room for the step: no number of clean requests would.
    NoRoom,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The new version has all of the traffic.
    Promoted,
    /// It has none.
    RolledBack,
    /// Of a mirror: the new version is no worse, as far as copies show.
    Passed,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Every step was taken.
    Steps,
    /// The second strike.
    Strikes,
    /// It had cost as much as it may.
    Price,
    /// Its endpoints were down for too long.
    CanaryDown,
    /// The service burned for too long.
    ServiceBurns,
    /// A person said so.
    Person,
}

/// Who asked for something, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// What a person may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Stay at this step.
    Pause,
    /// Go on; also ends a cool-down.
    Resume,
    /// Take the next step now, whatever holds it but a freeze; after the last one: promote.
    Advance,
    /// All traffic to the new version, now.
    Promote,
    /// None.
    Abort,
    /// Back to the step before, and stay there.
    StepBack,
}

/// Why a person's command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// The rollout is over.
    Finished,
    /// Changes are frozen, and this would give the new version more.
    Frozen,
    /// It is paused already.
    PausedAlready,
    /// It is neither paused nor cooling down.
    NotPaused,
    /// While it cools down there is no step to take or to go back from.
    CoolingDown,
    /// There is no step before the first.
    NothingBefore,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Finished => "the rollout is over",
            Self::Frozen => "changes are frozen, and this would give the new version more traffic",
            Self::PausedAlready => "the rollout is paused already",
            Self::NotPaused => "the rollout is neither paused nor cooling down",
            Self::CoolingDown => "the rollout cools down after a strike: resume or abort it",
            Self::NothingBefore => "the rollout has not begun its first step",
        })
    }
}

impl std::error::Error for Refused {}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum What {
    /// A step was taken, from 0: granted, or as a person said.
    Stepped {
        /// Which one.
        step: usize,
        /// Who said so, if somebody did.
        by: Option<Person>,
    },
    /// A step is due and is not taken.
    Held {
        /// Why.
        why: Hold,
    },
    /// A person is needed now: at a gate, for latencies of another shape, or as it was held for long.
    Asked {
        /// Why it is held.
        why: Hold,
    },
    /// The first strike: the canary gets nothing for a while.
    Struck,
    /// The cool-down is over, and the canary gets again what it had.
    Resumed {
        /// Who ended it early, if somebody did.
        by: Option<Person>,
    },
    /// A person stopped it where it is.
    Paused {
        /// Who.
        by: Person,
    },
    /// A person lets it go on.
    Unpaused {
        /// Who.
        by: Person,
    },
    /// A person took it back by a step, and it stays there.
    SteppedBack {
        /// Who.
        by: Person,
    },
    /// It is over.
    Finished {
        /// How.
        outcome: Outcome,
        /// Why.
        reason: Reason,
        /// Who said so, if somebody did.
        by: Option<Person>,
    },
}

/// All that was known when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Batches that were closed, and those that spoke against the canary.
    pub batches: u32,
    /// See there.
    pub worse_batches: u32,
    /// What both arms did, in closed batches.
    pub arms: Arms,
    /// How much says that the canary does worse.
    pub scores: Scores,
    /// The route with the most evidence in errors, in the order in which routes are told; and its evidence.
    pub worst_route: Option<(usize, f64)>,
    /// Different clients with bad answers, as far as they are counted.
    pub bad_clients: u32,
    /// The share of the period's budget that it has cost.
    pub spent: f64,
    /// By how much more than stable's the canary's rate of bad answers may plausibly be, at worst.
    pub worst_rate: f64,
}

/// Something that happened, for the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// How much traffic the canary had.
    pub weight_before: Weight,
    /// How much it has now.
    pub weight_after: Weight,
    /// What was known.
    pub figures: Figures,
}
