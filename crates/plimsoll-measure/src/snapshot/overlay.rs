//! What people set at run time, for a while.

use plimsoll_core::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

use super::wire;

/// A setting of one service that is in force until a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayView {
    /// Of this setting and no other.
    pub id: String,
    /// Of which service.
    pub service: String,
    /// `shed`, `no-retries`, `no-hedges` or `governor-mode`.
    pub verb: String,
    /// How far it is moved, in steps; `null` where there is one only.
    pub level: Option<u8>,
    /// Which mode; `null` where none is set.
    pub mode: Option<Mode>,
    /// What that is, in words.
    pub says: String,
    /// Who set it.
    pub by: String,
    /// And why.
    pub why: String,
    /// From when on.
    #[serde(with = "wire")]
    pub since: Timestamp,
    /// It ends by itself then.
    #[serde(with = "wire")]
    pub until: Timestamp,
    /// The sequence of its record in the journal; `null` while that waits.
    pub journal: Option<u64>,
}

impl OverlayView {
    /// What is set, by whom, until when and why, in one sentence.
    pub fn sentence(&self) -> String {
        let Self { says, by, why, .. } = self;
        let until = self.until.to_rfc3339().replace('T', " ");
        let until = until.get(..16).unwrap_or_default();
        format!("{says}, set by {by} until {until} UTC: {why}")
    }
}
