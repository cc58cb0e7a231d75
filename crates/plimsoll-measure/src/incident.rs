//! Incidents: people were called about a service, and what they did about it.
//!
//! An incident begins with the first call about a service and ends when all its calls have ended, or when somebody resolves
//! it. All of it is in the journal: calls and their ends as decisions, what people do as records of kind [`KIND`] about
//! `incident/ID`. So it outlives the process, and nobody changes it unseen.
//! Its id is the place of its first call in the journal.
//! Elsewhere: how records become incidents ([`Incidents`]); who is called (`plimsoll-governor`).

mod fold;

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::snapshot::wire;

pub use fold::{Attention, IncidentRecord, Incidents, Refusal};

/// The kind of the records of what people do about incidents.
pub const KIND: &str = "incident";
/// What their subjects begin with; the id follows.
pub const SUBJECT: &str = "incident/";
/// What people may do about one incident: more belongs elsewhere, and memory is bounded.
pub const ACTS_MAX: usize = 200;
/// Calls of one incident that are kept; the first and the latest.
const CALLS_MAX: usize = 64;

/// People were called about a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The place of the first call in the journal.
    pub id: u64,
    /// About which service.
    pub service: String,
    /// When somebody was first called.
    #[serde(with = "wire")]
    pub called: Timestamp,
    /// When the last call had ended, or somebody resolved it; `null`: it is open.
    #[serde(with = "wire::optional")]
    pub ended: Option<Timestamp>,
    /// What for.
    pub calls: Vec<IncidentCall>,
    /// The share of the budget that was left at the first call and at the end, of the objective of the first call.
    pub budget_left: (Option<f64>, Option<f64>),
    /// When it began to burn, where that was found.
    #[serde(with = "wire::optional")]
    pub began: Option<Timestamp>,
    /// What was changed shortly before it began, the likeliest of all.
    pub suspect: Option<String>,
    /// Who works on it; `null`: nobody said so.
    pub acknowledged: Option<Acknowledged>,
    /// Whom it was handed over to; `null`: it is with the owner of the service.
    pub handed_over_to: Option<String>,
    /// Nobody is told of it before; `null`, or past: they are.
    #[serde(with = "wire::optional")]
    pub silenced_until: Option<Timestamp>,
    /// The incident that it belongs to, by the same cause.
    pub group: Option<u64>,
    /// Who ended it; `null`: it is open, or ended by itself.
    pub resolved: Option<Resolved>,
    /// All that people did about it, the oldest first.
    pub acts: Vec<Act>,
}

/// Somebody was called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentCall {
    /// The objective; of traffic that stays away, too.
    pub objective: String,
    /// `page`, `ticket` or `absent`.
    pub urgency: String,
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// When that had ended; `null`: it goes on.
    #[serde(with = "wire::optional")]
    pub ended: Option<Timestamp>,
}

/// Somebody works on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// Since when.
    #[serde(with = "wire")]
    pub at: Timestamp,
}

/// Somebody ended it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// What somebody did about an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The place of its record in the journal; `null` while that waits.
    pub record: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What can be done about an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Deed {
    /// Somebody works on it.
    Acknowledge,
    /// Others work on it from now on.
    HandOver {
        /// An owner or a team.
        to: String,
        /// Why, if that was said.
        why: Option<String>,
    },
    /// Something that others should know.
    Note {
        /// In their words.
        note: String,
    },
    /// It is over, whatever is still open.
    Resolve {
        /// Why.
        why: String,
    },
    /// It belongs to another incident: the cause is the same.
    Group {
        /// The other one.
        into: u64,
        /// Why, if that was said.
        why: Option<String>,
    },
    /// Nobody is told of it for a while.
    Silence {
        /// Until then.
        #[serde(with = "wire")]
        until: Timestamp,
        /// Why.
        why: String,
    },
}

/// An open incident in short: what every page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// The place of the first call in the journal.
    pub id: u64,
    /// About which service.
    pub service: String,
    /// When somebody was first called.
    #[serde(with = "wire")]
    pub called: Timestamp,
    /// Who works on it; `null`: nobody said so.
    pub acknowledged_by: Option<String>,
    /// The incident that it belongs to.
    pub group: Option<u64>,
    /// What was changed shortly before it began, the likeliest of all.
    pub suspect: Option<String>,
}

impl Deed {
    /// The word for it, as in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::HandOver { .. } => "hand-over",
            Self::Note { .. } => "note",
            Self::Resolve { .. } => "resolve",
            Self::Group { .. } => "group",
            Self::Silence { .. } => "silence",
        }
    }
}

impl Act {
    /// What was done, as a sentence goes on after the name of who did it.
    pub fn says(&self) -> String {
        let because =
            |why: &Option<String>| why.as_ref().map_or(String::new(), |it| format!(": {it}"));
        match &self.deed {
            Deed::Acknowledge => "acknowledged it".to_owned(),
            Deed::HandOver { to, why } => format!("handed it over to {to}{}", because(why)),
            Deed::Note { note } => format!("noted: {}", note.replace('\n', " ")),
            Deed::Resolve { why } => format!("resolved it: {why}"),
            Deed::Group { into, why } => format!("said that it belongs to #{into}{}", because(why)),
            Deed::Silence { until, why } => format!("silenced it until {}: {why}", minute(*until)),
        }
    }

    /// The body of its record in the journal.
    pub fn body(&self, incident: &Incident) -> Value {
        let text = format!("{} {}", self.by, self.says());
        let mut body = json!(self.deed);
        if let Some(body) = body.as_object_mut() {
            body.insert("text".to_owned(), text.into());
            body.insert("by".to_owned(), self.by.clone().into());
            body.insert("service".to_owned(), incident.service.clone().into());
        }
        body
    }
}

/// A time to the minute, in UTC.
fn minute(at: Timestamp) -> String {
    let text = at.to_rfc3339().replace('T', " ");
    format!("{} UTC", text.get(..16).unwrap_or_default())
}

impl IncidentCall {
    /// Whether requests stay away, as against a budget that burns.
    pub fn is_absence(&self) -> bool {
        self.urgency == "absent"
    }
}

impl Incident {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether nobody is told of it now.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        self.silenced_until.is_some_and(|until| now < until)
    }

    /// Whether it can have begun then. What turned worse after the first call is another matter, as that requests were refused
    /// on purpose.
    pub fn may_have_begun(&self, at: Timestamp) -> bool {
        at <= self.called
    }

    /// What its record is about.
    pub fn subject(&self) -> String {
        format!("{SUBJECT}{}", self.id)
    }

    /// The objectives that it is about, in words.
    pub fn about(&self) -> String {
        let call = |it: &IncidentCall| match it.is_absence() {
            true => format!("{} (no requests)", it.objective),
            false => format!("{} ({})", it.objective, it.urgency),
        };
        let calls: Vec<String> = self.calls.iter().map(call).collect();
        calls.join(", ")
    }

    /// Whether a record of this kind and subject belongs to its story: it is about itself, its service, or all of them.
    pub fn has(&self, kind: &str, subject: &str) -> bool {
        if let Some(id) = subject.strip_prefix(SUBJECT) {
            return id.parse() == Ok(self.id);
        }
        match service_of(subject) {
            Some(service) => service == self.service,
            None => subject == "configuration" || kind == "process",
        }
    }

    /// The same in short.
    pub fn view(&self) -> IncidentView {
        IncidentView {
            id: self.id,
            service: self.service.clone(),
            called: self.called,
            acknowledged_by: self.acknowledged.as_ref().map(|it| it.by.clone()),
            group: self.group,
            suspect: self.suspect.clone(),
        }
    }
}

/// The service that a record with this subject is about.
pub fn service_of(subject: &str) -> Option<&str> {
    subject.strip_prefix("service/")?.split('/').next()
}
