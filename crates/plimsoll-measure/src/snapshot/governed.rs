//! How the governor sees a service, and what it has moved.

use plimsoll_core::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

use super::{SuspectView, wire};
use crate::condition::Condition;

/// How the governor sees a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GovernedView {
    /// How it stands.
    pub condition: Condition,
    /// Since when; `null` where it was never otherwise.
    #[serde(with = "wire::optional")]
    pub since: Option<Timestamp>,
    /// Whether what is decided is done.
    pub mode: Mode,
    /// The service that it burns because of, where that is the one to look at.
    pub because_of: Option<String>,
    /// Names of the objectives that somebody was called for, until that has ended.
    pub paged: Vec<String>,
    /// What is moved, or would be; the least harmful first.
    pub moved: Vec<MovedView>,
    /// How much of its optional content is left out; `null` where it has none.
    #[serde(default)]
    pub brownout: Option<BrownoutView>,
    /// When that began for which somebody was called, and what may be behind it.
    #[serde(default)]
    pub onsets: Vec<OnsetView>,
    /// How soon somebody would be called.
    pub page_delays: Vec<PageDelayView>,
}

/// An actuator that is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedView {
    /// Its id.
    pub actuator: String,
    /// How far, in steps.
    pub step: u8,
    /// What that is, in words.
    pub says: String,
}

/// How much of a service's optional content is left out, by the governor or by people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrownoutView {
    /// In features: at 1.25 the first is dimmed for all, and the second for a quarter of users.
    pub level: f64,
    /// How many there are.
    pub features: u64,
    /// The same, in words.
    pub says: String,
}

/// How long a burn lasts before somebody is called, at the traffic of the last hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageDelayView {
    /// Of which objective.
    pub objective: String,
    /// The burn rate.
    pub burn: f64,
    /// About so long; `null`: nobody is called, or there was no traffic.
    pub seconds: Option<f64>,
}

/// When a burn began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnsetView {
    /// Of which objective.
    pub objective: String,
    /// The likeliest second.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// Hardly earlier.
    #[serde(with = "wire")]
    pub earliest: Timestamp,
    /// Hardly later.
    #[serde(with = "wire")]
    pub latest: Timestamp,
    /// What was changed before it, the likeliest cause first.
    pub changes: Vec<ChangeView>,
    /// Where the failures of the last minute are; what has more than its part comes first.
    pub split: Vec<SplitView>,
    /// What may have caused it, the likeliest first: changes, and what else is otherwise than before.
    #[serde(default)]
    pub suspects: Vec<SuspectView>,
    /// What was looked at and is even, in sentences.
    #[serde(default)]
    pub even: Vec<String>,
    /// What could not be looked at, and why, in sentences.
    #[serde(default)]
    pub unseen: Vec<String>,
}

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeView {
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// Whether it is as near to the onset as can be told.
    pub within: bool,
    /// How long before the likeliest second of the onset.
    pub seconds_before: i64,
}

/// The part that an endpoint, a route or a tenant has in the failures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitView {
    /// `endpoint`, `route` or `tenant`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of all failures.
    pub of_bad: f64,
    /// Of all requests.
    pub of_requests: f64,
}
