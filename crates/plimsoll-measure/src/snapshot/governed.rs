//! How the governor sees a service, and what it has moved.

use plimsoll_core::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

use super::wire;
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
