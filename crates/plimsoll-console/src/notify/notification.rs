//! What somebody is told.

use plimsoll_core::Timestamp;
use plimsoll_measure::{Urgency, wire};
use serde::{Deserialize, Serialize};

/// A text that is longer is cut: mail and chat show no more, and memory is bounded.
const TEXT_CHARS_MAX: usize = 1_000;

/// Whether something began or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is so.
    Firing,
    /// It was so.
    Resolved,
    /// Nothing happened: somebody tries whether this arrives.
    Test,
}

/// What somebody is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matter {
    /// A budget burns.
    Page,
    /// Requests stay away.
    Absence,
    /// Something waits for the approval of others.
    Approval,
    /// Something was done without the approval that it needs.
    BreakGlass,
}

/// One thing that somebody is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Whether it began or has ended.
    pub stage: Stage,
    /// What it is about.
    pub matter: Matter,
    /// How soon somebody is to look.
    pub urgency: Urgency,
    /// How soon it was said to be before, if this is louder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency_before: Option<Urgency>,
    /// The service.
    pub service: String,
    /// Its owner.
    pub owner: Option<String>,
    /// The objective.
    pub objective: String,
    /// The name of the process among others.
    pub instance: String,
    /// What it is, in a few words.
    pub title: String,
    /// The same, with its evidence.
    pub text: String,
    /// Where people read what to do.
    #[serde(default)]
    pub runbook: Option<String>,
    /// Where people look.
    #[serde(default)]
    pub url: Option<String>,
    /// When it began, if that is known.
    #[serde(with = "wire::optional", default)]
    pub since: Option<Timestamp>,
    /// When it was said.
    #[serde(with = "wire")]
    pub at: Timestamp,
}

impl Stage {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

impl Matter {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Absence => "absence",
            Self::Approval => "approval",
            Self::BreakGlass => "break-glass",
        }
    }
}

/// The word for how soon somebody is to look.
pub(crate) const fn urgency(of: Urgency) -> &'static str {
    match of {
        Urgency::Page => "page",
        Urgency::Ticket => "ticket",
    }
}

impl Notification {
    /// What begins and ends with the same key is the same, whatever becomes of the process in between.
    pub fn key(&self) -> String {
        let matter = match self.stage {
            Stage::Test => "test",
            _ => self.matter.name(),
        };
        key(&self.service, &self.objective, matter)
    }

    /// The key as receivers have it, who may hear of the same from more than one Plimsoll: one of them does not end what
    /// another began.
    pub fn key_of_instance(&self) -> String {
        format!("{}@{}", self.key(), self.instance)
    }

    /// What a receiver tells events apart by: `page.firing`.
    pub fn event(&self) -> String {
        match self.stage {
            Stage::Test => "test".to_owned(),
            stage => format!("{}.{}", self.matter.name(), stage.name()),
        }
    }

    /// Without what a terminal, a mail or a chat would act on; not longer than they show.
    pub fn cleaned(mut self) -> Self {
        for text in [&mut self.title, &mut self.text] {
            *text = clean(text);
        }
        self
    }

    /// That nothing happened, for whoever tries whether this arrives.
    pub fn test(instance: &str, by: &str, url: Option<String>, at: Timestamp) -> Self {
        Self {
            stage: Stage::Test,
            matter: Matter::Page,
            urgency: Urgency::Ticket,
            urgency_before: None,
            service: "plimsoll".to_owned(),
            owner: None,
            objective: "notify".to_owned(),
            instance: instance.to_owned(),
            title: "a test of Plimsoll's notifications".to_owned(),
            text: format!("{by} tries whether this arrives: nothing is to be done"),
            runbook: None,
            url,
            since: Some(at),
            at,
        }
        .cleaned()
    }
}

/// The key of what a service and an objective are called for.
pub fn key(service: &str, objective: &str, matter: &str) -> String {
    format!("plimsoll/{service}/{objective}/{matter}")
}

/// A text without control characters, cut where it is long.
pub(crate) fn clean(text: &str) -> String {
    let visible = |char: char| if char.is_control() { ' ' } else { char };
    let mut cut: String = text.chars().take(TEXT_CHARS_MAX).map(visible).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A page of a service, said at a second.
    pub(crate) fn page(service: &str, stage: Stage, second: u64) -> Notification {
        let at = Timestamp::from_seconds(1_795_615_852 + second);
        Notification {
            stage,
            matter: Matter::Page,
            urgency: Urgency::Page,
            urgency_before: None,
            service: service.to_owned(),
            owner: Some("payments".to_owned()),
            objective: "availability".to_owned(),
            instance: "edge-1".to_owned(),
            title: format!("{service} burns its budget"),
            text: "page: a burn of 14.4 or more".to_owned(),
            runbook: Some("https://wiki.example/checkout".to_owned()),
            url: Some("http://127.0.0.1:7676/".to_owned()),
            since: Some(Timestamp::from_seconds(1_795_615_852)),
            at,
        }
    }

    #[test]
    fn what_ends_has_the_key_of_what_began() {
        let began = page("a", Stage::Firing, 0);
        let ended = page("a", Stage::Resolved, 9);
        assert_eq!(began.key(), "plimsoll/a/availability/page");
        assert_eq!(began.key(), ended.key());
        assert_ne!(began.event(), ended.event());
    }

    #[test]
    fn of_two_plimsolls_before_one_service_neither_ends_what_the_other_began() {
        let one = page("a", Stage::Firing, 0);
        let mut other = page("a", Stage::Resolved, 9);
        assert_eq!(one.key_of_instance(), other.key_of_instance());
        other.instance = "edge-2".to_owned();
        assert_ne!(one.key_of_instance(), other.key_of_instance());
    }

    #[test]
    fn what_is_told_has_no_control_characters_and_an_end() {
        let mut hostile = page("a", Stage::Firing, 0);
        hostile.title = "a\r\nBcc: b\x1b[2J".to_owned();
        hostile.text = "é".repeat(2_000);
        let cleaned = hostile.cleaned();
        assert_eq!(cleaned.title, "a  Bcc: b [2J");
        assert_eq!(cleaned.text.chars().count(), 1_001);
    }
}
