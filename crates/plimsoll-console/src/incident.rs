//! What people may do about an incident: what is asked for, and whether it can be.
//!
//! The command line sends what it was given as it is, so that whoever asks with either hears the same.
//! Elsewhere: whether it can be done now (`plimsoll_measure::incident`).

use std::fmt;
use std::str::FromStr;

use plimsoll_core::Timestamp;
use plimsoll_measure::{Deed, Incident};
use serde::{Deserialize, Serialize};

use crate::overlay::{length_of, why_of};
use crate::problem::Problem;
use crate::wire::{is_owner, shown};

/// How many characters a note has at most.
pub const NOTE_MAX: usize = 2_000;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeedVerb {
    /// Somebody works on it.
    Acknowledge,
    /// Others do from now on.
    HandOver,
    /// Something that others should know.
    Note,
    /// It is over.
    Resolve,
    /// It belongs to another.
    Group,
    /// Nobody is told of it for a while.
    Silence,
}

impl DeedVerb {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Acknowledge,
        Self::HandOver,
        Self::Note,
        Self::Resolve,
        Self::Group,
        Self::Silence,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::HandOver => "hand-over",
            Self::Note => "note",
            Self::Resolve => "resolve",
            Self::Group => "group",
            Self::Silence => "silence",
        }
    }
}

impl fmt::Display for DeedVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DeedVerb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let verb = Self::ALL.into_iter().find(|verb| verb.name() == text);
        verb.ok_or_else(|| {
            let text = shown(text);
            format!(
                "`{text}` can't be done about an incident; expected acknowledge, hand-over, note, resolve, group or silence"
            )
        })
    }
}

/// Incidents: those that are open, by service, then those that have ended, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentList {
    /// All that are known.
    pub incidents: Vec<Incident>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeedWanted {
    /// Of handing over: an owner or a team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of a note: 1 to [`NOTE_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Of grouping: the incident that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<u64>,
    /// Of silence: how long, as `30m`; at most `7d`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// The reason: 1 to 500 characters. Needed to resolve and to silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl DeedWanted {
    /// Refuses what can't be.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn check(self, verb: DeedVerb, now: Timestamp) -> Result<Deed, Problem> {
        let Self {
            to,
            note,
            into,
            lasts,
            why,
        } = self;
        let given = [
            ("to", to.is_some(), verb == DeedVerb::HandOver),
            ("note", note.is_some(), verb == DeedVerb::Note),
            ("into", into.is_some(), verb == DeedVerb::Group),
            ("for", lasts.is_some(), verb == DeedVerb::Silence),
            (
                "why",
                why.is_some(),
                !matches!(verb, DeedVerb::Acknowledge | DeedVerb::Note),
            ),
        ];
        if let Some((name, ..)) = given.iter().find(|(_, is, may)| *is && !may) {
            return Err(Problem::invalid(format!("{verb} has no `{name}`")));
        }
        let maybe = |why: Option<String>| why.map(|why| why_of(Some(why))).transpose();
        Ok(match verb {
            DeedVerb::Acknowledge => Deed::Acknowledge,
            DeedVerb::HandOver => Deed::HandOver {
                to: to_of(to)?,
                why: maybe(why)?,
            },
            DeedVerb::Note => Deed::Note {
                note: note_of(note)?,
            },
            DeedVerb::Resolve => Deed::Resolve { why: why_of(why)? },
            DeedVerb::Group => Deed::Group {
                into: into.ok_or_else(|| {
                    Problem::invalid("say to which incident it belongs (`into`): its number")
                })?,
                why: maybe(why)?,
            },
            DeedVerb::Silence => Deed::Silence {
                until: now + length_of(lasts.as_deref())?,
                why: why_of(why)?,
            },
        })
    }
}

fn to_of(to: Option<String>) -> Result<String, Problem> {
    let to = to.unwrap_or_default();
    let to = to.trim();
    if !is_owner(to) {
        return Err(Problem::invalid(format!(
            "`{}` is no owner (`to`): expected the name of an owner or a team",
            shown(to)
        )));
    }
    Ok(to.to_owned())
}

fn note_of(note: Option<String>) -> Result<String, Problem> {
    let note = note.unwrap_or_default().replace("\r\n", "\n");
    let note = note.trim();
    if note.is_empty() {
        return Err(Problem::invalid("say what is to be noted (`note`)"));
    }
    let length = note.chars().count();
    if length > NOTE_MAX {
        return Err(Problem::invalid(format!(
            "the note has {length} characters; at most {NOTE_MAX} are kept"
        )));
    }
    if note.chars().any(|it| it.is_control() && it != '\n') {
        return Err(Problem::invalid(
            "the note has control characters: expected lines of text",
        ));
    }
    Ok(note.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_615_852);

    fn asked(verb: &str, wanted: &Value) -> Result<Deed, String> {
        let wanted: DeedWanted = serde_json::from_value(wanted.clone()).unwrap();
        let verb: DeedVerb = verb.parse()?;
        wanted.check(verb, NOW).map_err(|it| it.to_string())
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let is = |verb: &str, wanted: &Value, deed: Deed| {
            assert_eq!(asked(verb, wanted), Ok(deed), "{verb}");
        };
        is("acknowledge", &json!({}), Deed::Acknowledge);
        is(
            "note",
            &json!({ "note": " lock waits\r\non v2 " }),
            Deed::Note {
                note: "lock waits\non v2".to_owned(),
            },
        );
        is(
            "silence",
            &json!({ "for": "30m", "why": "known" }),
            Deed::Silence {
                until: NOW + Duration::from_secs(1_800),
                why: "known".to_owned(),
            },
        );
        is(
            "group",
            &json!({ "into": 7 }),
            Deed::Group { into: 7, why: None },
        );
        is(
            "hand-over",
            &json!({ "to": "supply", "why": "their table" }),
            Deed::HandOver {
                to: "supply".to_owned(),
                why: Some("their table".to_owned()),
            },
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_was_expected() {
        #[track_caller]
        fn refused(verb: &str, wanted: &Value, part: &str) {
            let said = asked(verb, wanted).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
        refused("delete", &json!({}), "`delete` can't be done");
        refused("acknowledge", &json!({ "why": "x" }), "has no `why`");
        refused(
            "note",
            &json!({ "note": "x", "to": "y" }),
            "note has no `to`",
        );
        refused("note", &json!({ "note": " " }), "say what is to be noted");
        let long = "é".repeat(NOTE_MAX + 1);
        refused("note", &json!({ "note": long }), "has 2001 characters");
        refused("note", &json!({ "note": "\x1b[2J" }), "control characters");
        refused("hand-over", &json!({}), "is no owner (`to`)");
        refused("hand-over", &json!({ "to": "a\nb" }), "`a?b` is no owner");
        refused("resolve", &json!({}), "say why");
        refused("group", &json!({}), "say to which incident");
        refused("silence", &json!({ "why": "x" }), "say for how long");
        refused("silence", &json!({ "why": "x", "for": "8d" }), "at most 7d");
    }
}
