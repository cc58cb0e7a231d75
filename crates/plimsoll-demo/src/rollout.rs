//! The right arm's rollout: begun by the command that a person would give, and read from the journal.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::deploy::{ROLLOUT, WHY};

/// Begins it at the Plimsoll whose state folder this is; returns when that has answered. An error is what it said.
pub(crate) fn begin(program: &Path, state: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(["rollout", "start", ROLLOUT, "--why", WHY, "--state"]);
    match command.arg(state).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What became of the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It gets its share, or more.
    Stepped,
    /// It gets nothing for a while.
    Struck,
    /// It gets nothing any more.
    Undone,
}

/// Of a record, what says that.
#[derive(Deserialize)]
struct Decided {
    rollout: String,
    event: Happened,
}

#[derive(Deserialize)]
struct Happened {
    what: What,
}

#[derive(Deserialize)]
struct What {
    kind: String,
    #[serde(default)]
    outcome: Option<String>,
}

/// What a record's data says became of the version, if that is what it is about.
pub(crate) fn turn(data: &serde_json::Value) -> Option<Turn> {
    let decided = Decided::deserialize(data).ok()?;
    let What { kind, outcome } = decided.event.what;
    match (kind.as_str(), outcome.as_deref()) {
        _ if decided.rollout != ROLLOUT => None,
        ("stepped", _) => Some(Turn::Stepped),
        ("struck", _) => Some(Turn::Struck),
        ("finished", Some("rolled-back")) => Some(Turn::Undone),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(rollout: &str, what: Value, expected: Option<Turn>) {
        let data = json!({ "text": "...", "rollout": rollout, "event": { "what": what } });
        assert_eq!(turn(&data), expected);
    }

    #[test]
    fn its_steps_a_strike_and_its_end_are_what_became_of_it() {
        check(ROLLOUT, json!({ "kind": "struck" }), Some(Turn::Struck));
        let undone = json!({ "kind": "finished", "outcome": "rolled-back", "reason": "strikes" });
        check(ROLLOUT, undone.clone(), Some(Turn::Undone));
        check("another", undone, None);
        let promoted = json!({ "kind": "finished", "outcome": "promoted", "reason": "steps" });
        check(ROLLOUT, promoted, None);
        let stepped = json!({ "kind": "stepped", "step": 0 });
        check(ROLLOUT, stepped, Some(Turn::Stepped));
        check(ROLLOUT, json!({ "kind": "held", "why": "gate" }), None);
        assert_eq!(turn(&json!({ "text": "no retries" })), None);
    }
}
