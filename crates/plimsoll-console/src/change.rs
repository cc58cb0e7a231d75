//! Another configuration, under guard: what is planned, what is applied, what was in force. As JSON, as in `wire`.

use std::ops::Not;
use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::wire;
use serde::{Deserialize, Serialize};

use crate::approval::{How, HowWanted};
use crate::length;
use crate::overlay::why_of;
use crate::problem::Problem;
use crate::wire::shown;

/// How large a configuration may be that is sent to be planned.
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 20;
/// How long a change is watched at most: an hour.
const WATCH_MAX: Duration = Duration::from_secs(3_600);
/// The shortest watch in which anything can be found.
const WATCH_MIN: Duration = Duration::from_secs(30);
/// How long a change is watched unless somebody says otherwise.
pub(crate) const WATCH: Duration = Duration::from_secs(300);

/// What is to be held against what is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanWanted {
    /// The text of a file; without it the process reads its own again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What a file would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePlan {
    /// SHA-256 over what is in force and what would be: what is approved, and what `apply` is told.
    pub hash: String,
    /// The file that the process runs with.
    pub file: String,
    /// SHA-256 of the text in force.
    pub before: String,
    /// SHA-256 of the text that would be.
    pub after: String,
    /// What is different, in the order of the reference.
    pub changes: Vec<PlannedChange>,
    /// The highest risk of them: `none`, `low` or `high`.
    pub risk: String,
    /// Who must agree before it may be applied; empty: nobody.
    pub approvals: Vec<String>,
    /// Why this file was set aside, where it was.
    pub set_aside: Option<String>,
}

/// One thing that would be different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// The service that it is about; `null`: none alone.
    pub service: Option<String>,
    /// What has the key, as `route buy`; empty: the file.
    pub thing: String,
    /// The key from there on; empty: the thing itself.
    pub key: String,
    /// `added`, `removed` or `changed`.
    pub kind: String,
    /// The value before, as the file would say it; of a list, what is gone.
    pub before: Option<String>,
    /// The value after; of a list, what is new.
    pub after: Option<String>,
    /// `none`, `low` or `high`.
    pub risk: String,
    /// What may go wrong, in words.
    pub why: String,
}

/// What is to be applied: exactly what was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyWanted {
    /// The hash of the plan.
    pub plan: String,
    /// The reason: up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For how long services are watched, as `5m`; `0s`: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
    /// Whether it is a fix: no freeze is in its way.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub fix: bool,
    /// Whether it is done without the approval that it needs.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub break_glass: bool,
}

/// Which configuration is to be in force again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackWanted {
    /// Its number; without it, the one before that in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The reason: up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is applied, read and within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applying {
    /// The hash of the plan.
    pub plan: String,
    /// The reason, if one was given, and what it is let past.
    pub how: How,
    /// For how long services are watched; zero: not at all.
    pub watch: Duration,
}

impl ApplyWanted {
    /// Refuses what can't be.
    pub(crate) fn check(self) -> Result<Applying, Problem> {
        let watch = match &self.watch {
            None => WATCH,
            Some(text) => read_watch(text)?,
        };
        Ok(Applying {
            plan: self.plan,
            how: HowWanted {
                fix: self.fix,
                break_glass: self.break_glass,
                why: self.why,
            }
            .check()?,
            watch,
        })
    }
}

impl RollbackWanted {
    /// Refuses what can't be.
    pub(crate) fn check(self) -> Result<Self, Problem> {
        Ok(Self {
            number: self.number,
            why: reason(self.why)?,
        })
    }
}

fn reason(why: Option<String>) -> Result<Option<String>, Problem> {
    match why {
        None => Ok(None),
        some => why_of(some).map(Some),
    }
}

fn read_watch(text: &str) -> Result<Duration, Problem> {
    let watch = match text {
        "0s" | "0" => Some(Duration::ZERO),
        text => length::parse(text),
    };
    match watch {
        Some(watch) if watch.is_zero() || (WATCH_MIN..=WATCH_MAX).contains(&watch) => Ok(watch),
        Some(_) => Err(Problem::invalid(
            "a change is watched for 30s to 1h, or for 0s: not at all",
        )),
        None => Err(Problem::invalid(format!(
            "`{}` is no length of time; expected one as 90s, 5m or 1h",
            shown(text)
        ))),
    }
}

/// The configurations that were in force, as far as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configurations {
    /// The latest first.
    pub configurations: Vec<KeptConfiguration>,
    /// The watch that is on, or the last that ended; `null`: none since the process started.
    pub watch: Option<WatchView>,
    /// Why the file on disk is not what is in force; `null`: as far as is known, it is.
    pub set_aside: Option<String>,
}

/// A configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConfiguration {
    /// Counted from 1; none is given twice.
    pub number: u64,
    /// When it came into force.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// Who brought it.
    pub by: String,
    /// Why, if somebody said so.
    pub why: Option<String>,
    /// `start`, `reload`, `apply`, `rollback` or `return`.
    pub how: String,
    /// The hash of its plan, where it was applied.
    pub plan: Option<String>,
    /// Of its text.
    pub sha256: String,
    /// How long its text is, in bytes.
    pub bytes: u64,
    /// Whether it is the one in force.
    pub in_force: bool,
}

/// A configuration that was in force, with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationText {
    /// What is known of it.
    pub configuration: KeptConfiguration,
    /// Its text, without what may be secret.
    pub text: String,
}

/// A change that is or was watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchView {
    /// The hash of the plan.
    pub plan: String,
    /// Who applied it.
    pub by: String,
    /// Since when.
    #[serde(with = "wire")]
    pub since: Timestamp,
    /// Until when.
    #[serde(with = "wire")]
    pub until: Timestamp,
    /// The services that are watched: those that the change is about.
    pub services: Vec<String>,
    /// `watching`, `kept`, `returned`, `failed` (it should have returned and could not) or `superseded`.
    pub state: String,
    /// What was seen, in words.
    pub evidence: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn watch(text: &str, expected: Result<u64, &str>) {
        let wanted = ApplyWanted {
            watch: Some(text.to_owned()),
            ..ApplyWanted::default()
        };
        let found = wanted.check().map(|it| it.watch.as_secs());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(problem), Err(part)) => assert!(problem.to_string().contains(part), "{problem}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_watch_is_long_enough_to_find_something_and_ends() {
        watch("5m", Ok(300));
        watch("0s", Ok(0));
        watch("29s", Err("30s to 1h"));
        watch("2h", Err("30s to 1h"));
        watch("soon", Err("`soon` is no length"));
        assert_eq!(ApplyWanted::default().check().unwrap().watch, WATCH);
    }
}
