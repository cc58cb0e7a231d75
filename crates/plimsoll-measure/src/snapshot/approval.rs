//! What waits for the approval of others, and what came of it.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire;

/// A request for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Its number.
    pub id: u64,
    /// `config`, `flag`, `rollout`, `freeze`, `degrade` or `runbook`.
    pub kind: String,
    /// What it is about: a service, a flag, the configuration.
    pub subject: String,
    /// What would be done, in a sentence.
    pub says: String,
    /// The same in detail, a line each.
    pub effect: Vec<String>,
    /// Services that it touches.
    pub services: Vec<String>,
    /// Who wants it.
    pub by: String,
    /// And why; `null` where they did not say.
    pub why: Option<String>,
    /// How many others have to approve it.
    pub persons: u8,
    /// How many are missing now.
    pub missing: u8,
    /// Who approved it; those who may not any more do not count.
    pub approved_by: Vec<String>,
    /// The rules that ask for it.
    pub rules: Vec<String>,
    /// A hash of all that it would do: what is approved is this and nothing else.
    pub content: String,
    /// `waiting`, `begun`, `done`, `failed`, `refused`, `withdrawn`, `expired` or `broken`.
    pub state: String,
    /// The same in words, with who and why.
    pub came: String,
    /// Since when.
    #[serde(with = "wire")]
    pub since: Timestamp,
    /// It waits until then at most.
    #[serde(with = "wire")]
    pub until: Timestamp,
    /// Since when it stands so.
    #[serde(with = "wire")]
    pub changed: Timestamp,
    /// The sequence of its record in the journal; `null` while that waits.
    pub journal: Option<u64>,
}

impl ApprovalView {
    /// What it needs, in words.
    pub fn needs(&self) -> String {
        let plural = if self.persons == 1 { "" } else { "s" };
        let rules = self.rules.join(", ");
        let of = match (self.missing, self.persons) {
            (missing, persons) if missing == persons => format!("{persons}"),
            (missing, persons) => format!("{missing} more of {persons}"),
        };
        format!("{of} person{plural} other than {} (rule {rules})", self.by)
    }
}
