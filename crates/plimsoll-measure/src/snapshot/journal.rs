//! How the journal and its store are.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire;

/// The journal and its store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// Whether the store is open.
    pub open: bool,
    /// Records that were written since the process started.
    pub records_total: u64,
    /// Records that wait in memory for the store.
    pub waiting: u64,
    /// Records that were lost since the process started, because they did not fit into memory.
    pub lost_total: u64,
    /// How the store fails; `null` while it works.
    pub failure: Option<StoreFailure>,
    /// The sequence of the last record that this process wrote; `null` before the first.
    pub last_sequence: Option<u64>,
}

/// How the store fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFailure {
    /// Since when.
    #[serde(with = "wire")]
    pub since: Timestamp,
    /// What it says.
    pub why: String,
}
