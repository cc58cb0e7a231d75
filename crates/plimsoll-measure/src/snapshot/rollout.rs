//! How a rollout stands: what `plimsoll rollout status` and the console show.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire;

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutView {
    /// As the configuration names it.
    pub name: String,
    /// Whose requests are split.
    pub service: String,
    /// Who is asked about it.
    pub owner: Option<String>,
    /// The version that is tried.
    pub version: String,
    /// `canary`, `blue-green` or `mirror`.
    pub kind: String,
    /// What keeps a request on its side, in words.
    pub by: String,
    /// Where it is.
    pub state: RolloutState,
    /// What that means and what comes next, in sentences.
    pub says: String,
    /// The share of requests that the version gets, `0.0..=1.0`.
    pub weight: f64,
    /// Grows with each change; who changes something names it, so that two who act at once are told.
    pub revision: u64,
    /// Its steps, in their order.
    pub steps: Vec<RolloutStepView>,
    /// The step that it is at; `None` before the first.
    pub step: Option<usize>,
    /// Of the run that is on or was the last; `null` where there was none.
    pub run: Option<RolloutRunView>,
}

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// It is described, and not begun.
    Idle,
    /// The version gets its share, and is judged.
    Running,
    /// The version gets nothing for a while: what it did was too bad to be chance, once.
    Struck,
    /// It gets what it had and not more: what is known does not allow the next step, or something forbids it.
    Held,
    /// A person must say how it goes on.
    Asking,
    /// A person stopped it for a while.
    Paused,
    /// The version has all.
    Promoted,
    /// The version was bad, and gets nothing.
    RolledBack,
    /// A person, or what happened to the service, ended it: the version gets nothing.
    Aborted,
}

impl RolloutState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Idle,
        Self::Running,
        Self::Struck,
        Self::Held,
        Self::Asking,
        Self::Paused,
        Self::Promoted,
        Self::RolledBack,
        Self::Aborted,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Struck => "struck",
            Self::Held => "held",
            Self::Asking => "asking",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Aborted => "aborted",
        }
    }

    /// Whether it goes on.
    pub const fn is_on(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Struck | Self::Held | Self::Asking | Self::Paused
        )
    }
}

/// A step of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutStepView {
    /// The share of requests that the version gets, `0.0..=1.0`.
    pub weight: f64,
    /// At least so long.
    pub seconds: f64,
    /// Whether a person must allow it.
    pub gate: bool,
    /// When it began; `null`: not yet, or not in this run.
    #[serde(with = "wire::optional")]
    pub began: Option<Timestamp>,
}

/// One run of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutRunView {
    /// When it began.
    #[serde(with = "wire")]
    pub began: Timestamp,
    /// When it ended; `null`: it is on.
    #[serde(with = "wire::optional")]
    pub ended: Option<Timestamp>,
    /// Who began it.
    pub by: String,
    /// Why.
    pub why: String,
    /// The number of its first record in the journal; `null` until that is written.
    pub journal: Option<u64>,
    /// How often what the version did was too bad to be chance.
    pub strikes: u32,
    /// At how many it is rolled back.
    pub strikes_max: u32,
    /// What is known, by what was looked at.
    pub evidence: Vec<RolloutEvidenceView>,
    /// What the version spent of the budget; `null` without an objective.
    pub price: Option<RolloutPriceView>,
    /// What happened on each side since it began.
    pub stable: ArmView,
    /// The same of the version.
    pub canary: ArmView,
    /// How the evidence grew, the oldest first.
    pub course: Vec<RolloutPointView>,
}

/// What is known of one thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutEvidenceView {
    /// What: `harm`, which decides; of it `errors` and `slow`; and `latency`, which asks a person.
    pub of: String,
    /// The evidence that the version is worse: 1 is none, and it strikes at `strikes_at`.
    pub e: f64,
    /// Where it strikes; `null`: alone it does not.
    pub strikes_at: Option<f64>,
    /// The version's rate over the other's is surely not below; `null`: not known yet.
    pub ratio_least: Option<f64>,
    /// Nor above.
    pub ratio_most: Option<f64>,
}

impl RolloutEvidenceView {
    /// How the version's rate is to the other's, in words; `None`: that is not known.
    pub fn ratio(&self) -> Option<String> {
        match (self.ratio_least, self.ratio_most) {
            (None, None) => None,
            (Some(least), None) => Some(format!("at least {least:.1} times the other's")),
            (None, Some(most)) => Some(format!("at most {most:.1} times the other's")),
            (Some(least), Some(most)) => Some(format!("{least:.1} to {most:.1} times the other's")),
        }
    }
}

/// What a version spent of the budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutPriceView {
    /// As a share of the period's budget.
    pub spent: f64,
    /// Where it is stopped.
    pub limit: f64,
    /// The requests that are expected in a period, by which that is reckoned.
    pub requests: f64,
    /// The period.
    pub period_seconds: f64,
    /// The worst share of bad answers that goes with what came; `null` where that is not known.
    pub worst: Option<f64>,
    /// About so many more good answers allow the next step; `null`: it is allowed, or there is none.
    pub more: Option<f64>,
}

/// What happened on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmView {
    /// Requests that were judged.
    pub requests: u64,
    /// Those that its service failed at, at the first attempt.
    pub bad: u64,
    /// Those slower than the objective.
    pub slow: u64,
    /// How many endpoints serve; `null` where that is not known.
    pub up: Option<u32>,
    /// How many there are.
    pub endpoints: u32,
}

/// The evidence at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutPointView {
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// The share of requests that the version had.
    pub weight: f64,
    /// The evidence that it is worse.
    pub e: f64,
    /// The evidence that its latencies have another shape.
    pub ladder: f64,
    /// The share of the period's budget that it has cost.
    pub spent: f64,
}
