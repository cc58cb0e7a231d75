//! What is sent to the control API and comes from it, as JSON. Field names are an interface: they are added to, none
//! changes its meaning within `v1`.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::wire;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Role;
use crate::length;
use crate::problem::Problem;

/// How long a name is at most, in bytes: of a token or an owner.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// How many owners a token has at most.
const OWNERS_MAX: usize = 64;
/// How long a token is valid at most: what outlives that is forgotten by everybody.
const TOKEN_LENGTH_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Something was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What, in a sentence.
    pub message: String,
    /// The sequence of its record in the journal, which is durable; `null` where it has none yet.
    pub journal: Option<u64>,
    /// What someone should know of how it was done; `null` if all is well.
    pub warning: Option<String>,
    /// Nothing is changed yet: it waits for the approval of others, as the request of this number; `null` where it is done.
    #[serde(default)]
    pub approval: Option<u64>,
}

/// Which records of the journal are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalQuery {
    /// Of this kind.
    pub kind: Option<String>,
    /// About this or a part of it.
    pub subject: Option<String>,
    /// Not before: how long ago, or a time.
    pub since: Option<String>,
    /// Not after: how long ago, or a time.
    pub until: Option<String>,
    /// With this in its text, its subject or its kind.
    pub text: Option<String>,
    /// Before the place that an answer gave as `next`.
    pub before: Option<String>,
    /// At this place of its writer's chain.
    pub sequence: Option<u64>,
    /// What came of the one at this place.
    pub cites: Option<u64>,
    /// At most so many; the latest.
    pub count: Option<u32>,
}

/// Records of the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Records {
    /// As CloudEvents, the oldest first.
    pub records: Vec<Value>,
    /// Where there are more before them: what to ask for as `before`.
    #[serde(default)]
    pub next: Option<String>,
}

/// What the journal has of an incident's time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentRecords {
    /// As CloudEvents, the oldest first.
    pub records: Vec<Value>,
    /// Between which times there are more of them: those of the beginning and the latest are here.
    pub left_out: Vec<(Timestamp, Timestamp)>,
}

/// Of which time is asked what it would have been without Plimsoll.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithoutQuery {
    /// From when on: how long ago, or a time.
    pub from: String,
    /// Until when, in the same way; without it until now.
    pub until: Option<String>,
}

/// What a time would have been without Plimsoll: an estimate, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WithoutPlimsoll {
    /// The service.
    pub service: String,
    /// From when on.
    #[serde(with = "wire")]
    pub from: Timestamp,
    /// Until when.
    #[serde(with = "wire")]
    pub until: Timestamp,
    /// `null`: it can't be told.
    pub estimate: Option<Estimate>,
    /// Why it can't be told; `null` where it can.
    pub unknown: Option<String>,
}

/// Of the requests that came, those that would have been bad: failed, or later than the objective for latency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// How many came.
    pub requests: u64,
    /// Those that were bad.
    pub bad: u64,
    /// Those that would have been.
    pub without: u64,
    /// At least so many.
    pub least: u64,
    /// At most so many.
    pub most: u64,
}

/// The tokens that people have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// By name.
    pub tokens: Vec<TokenView>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Whose services it may change; empty: all.
    pub owners: Vec<String>,
    /// When it was made.
    #[serde(with = "wire")]
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it ends; `null`: when it is revoked.
    #[serde(with = "wire::optional")]
    pub expires_at: Option<Timestamp>,
    /// Whether that time has passed.
    pub expired: bool,
}

/// Whom to try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TryWanted {
    /// A notifier, as the configuration names it; without it all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What came of a test of notifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// By name.
    pub targets: Vec<TargetTried>,
}

/// What came of a test of one notifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetTried {
    /// Its name.
    pub name: String,
    /// What it sends.
    pub kind: String,
    /// Whether the receiver took it.
    pub arrived: bool,
    /// How long it took.
    pub seconds: f64,
    /// Why it did not arrive.
    pub why: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// A token was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// What is sent as `Authorization: Bearer`. It is told this once.
    pub secret: String,
    /// The token.
    pub token: TokenView,
    /// The sequence of its record in the journal.
    pub journal: u64,
}

/// A token that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenWanted {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Whose services it may change; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// How long it is valid, as `90d`; without it until it is revoked.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
}

impl TokenWanted {
    /// Refuses what can't be. Gives how long it is valid.
    pub(crate) fn check(&self) -> Result<Option<Duration>, Problem> {
        let name = &self.name;
        if !is_name(name) {
            return Err(Problem::invalid(format!(
                "`{}` is no name for a token: expected 1 to {NAME_BYTES_MAX} letters, digits or . _ - @",
                shown(name)
            )));
        }
        if self.owners.len() > OWNERS_MAX {
            let text = format!("a token has at most {OWNERS_MAX} owners");
            return Err(Problem::invalid(text));
        }
        if let Some(owner) = self.owners.iter().find(|owner| !is_owner(owner)) {
            return Err(Problem::invalid(format!(
                "`{}` is no owner: expected what a service has as `owner`",
                shown(owner)
            )));
        }
        let Some(text) = &self.lasts else {
            return Ok(None);
        };
        let lasts = length::parse(text).ok_or_else(|| {
            let text = shown(text);
            Problem::invalid(format!(
                "`{text}` is no length of time; expected one as 90s, 10m, 2h or 7d"
            ))
        })?;
        if lasts > TOKEN_LENGTH_MAX {
            return Err(Problem::invalid(
                "a token is valid for at most 3650d; without `for` it is until it is revoked",
            ));
        }
        Ok(Some(lasts))
    }
}

/// What a service may have as its owner.
pub(crate) fn is_owner(owner: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&owner.len()) && !owner.chars().any(char::is_control)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// What somebody sent, short and without what a terminal would act on.
pub(crate) fn shown(text: &str) -> String {
    let visible = |char: char| if char.is_control() { '?' } else { char };
    text.chars().take(NAME_BYTES_MAX).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, owners: &[&str], lasts: Option<&str>, part: &str) {
        let wanted = TokenWanted {
            name: name.to_owned(),
            role: Role::Viewer,
            owners: owners.iter().map(|it| (*it).to_owned()).collect(),
            lasts: lasts.map(str::to_owned),
        };
        let said = match wanted.check() {
            Ok(lasts) => format!("{lasts:?}"),
            Err(problem) => problem.to_string(),
        };
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn what_can_be_no_token_is_refused_with_what_was_expected() {
        refused("ana@example.org", &["payments"], Some("90d"), "7776000s");
        refused("ana", &[], None, "None");
        refused("", &[], None, "is no name");
        refused("a b", &[], None, "letters, digits");
        refused(&"a".repeat(65), &[], None, "1 to 64");
        refused("a\x1b", &[], None, "`a?`");
        refused("ana", &[""], None, "is no owner");
        refused("ana", &["a"; 65], None, "at most 64 owners");
        refused("ana", &[], Some("soon"), "`soon` is no length");
        refused("ana", &[], Some("3651d"), "at most 3650d");
    }
}
