//! Of which services nothing risky is changed.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire;

/// A freeze that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeView {
    /// `all` or the service where a person set it, else `freeze.NAME` of the configuration, or `governor.SERVICE`.
    pub name: String,
    /// Which services.
    pub services: Vec<String>,
    /// Whether it is of all services.
    pub all: bool,
    /// Who: a person, `configuration` or `governor`.
    pub by: String,
    /// And why.
    pub why: String,
    /// Since when; `null` where that is not known.
    #[serde(with = "wire::optional")]
    pub since: Option<Timestamp>,
    /// Until when; `null`: until the budget is not exhausted any more.
    #[serde(with = "wire::optional")]
    pub until: Option<Timestamp>,
    /// Whether it refuses what is risky; else it says that it would.
    pub acts: bool,
    /// The sequence of its record in the journal; `null` where there is none yet.
    pub journal: Option<u64>,
}

impl FreezeView {
    /// Whether a service is frozen by it, or would be.
    pub fn covers(&self, service: &str) -> bool {
        self.all || self.services.iter().any(|it| it == service)
    }

    /// Who, until when and why, in one sentence.
    pub fn sentence(&self) -> String {
        let Self { by, why, .. } = self;
        let frozen = if self.acts {
            "frozen"
        } else {
            "would be frozen"
        };
        let until = match self.until {
            Some(until) => {
                let until = until.to_rfc3339().replace('T', " ");
                format!("until {} UTC", until.get(..16).unwrap_or_default())
            }
            None => "until its budget is not exhausted any more".to_owned(),
        };
        format!("{frozen} by {by} {until}: {why}")
    }
}
