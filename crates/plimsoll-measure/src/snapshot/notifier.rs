//! How those are who are called.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire;

/// A notifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifierView {
    /// Its name.
    pub name: String,
    /// What it sends: `webhook`, `alertmanager`, ...
    pub kind: String,
    /// Messages that arrived since the process started.
    pub delivered_total: u64,
    /// Attempts that failed and were or are made again.
    pub failed_total: u64,
    /// Messages that the receiver refused for good.
    pub refused_total: u64,
    /// Messages that were given up after hours.
    pub given_up_total: u64,
    /// What waits to be told.
    pub waiting: u64,
    /// How it fails; `null` while it works or nothing was sent yet.
    pub failing: Option<NotifierFailure>,
}

/// How a notifier fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifierFailure {
    /// Since when.
    #[serde(with = "wire")]
    pub since: Timestamp,
    /// What happened.
    pub why: String,
    /// What to do about it.
    pub help: String,
}

impl NotifierView {
    /// What someone should look at, while it fails.
    pub fn warning(&self) -> Option<String> {
        let failing = self.failing.as_ref()?;
        let waits = match self.waiting {
            0 => String::new(),
            waiting => format!(", {waiting} to be told"),
        };
        Some(format!(
            "notifier {} fails: {}; {} (since {}{waits})",
            self.name,
            failing.why,
            failing.help,
            failing.since.to_rfc3339(),
        ))
    }
}
