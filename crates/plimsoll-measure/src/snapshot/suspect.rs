//! What may have caused a burn, ranked, with the evidence for and against.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire;

/// Something that may have caused a burn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuspectView {
    /// From 1: the likeliest.
    pub rank: u32,
    /// What it is.
    pub kind: SuspectKind,
    /// In words.
    pub what: String,
    /// How likely it is the cause.
    pub strength: Strength,
    /// The rank of the suspect that it is rather an effect of; only with `follows`.
    pub follows: Option<u32>,
    /// When it was changed, or began; `null` where that is not known.
    #[serde(with = "wire::optional")]
    pub at: Option<Timestamp>,
    /// Where the failures are, held against what it is about.
    pub split: Option<SidesView>,
    /// The evidence in sentences: at most one of each kind, those that say something.
    pub evidence: Vec<EvidenceView>,
}

/// What a suspect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuspectKind {
    /// Somebody changed something.
    Change,
    /// Endpoints went away or came.
    EndpointSet,
    /// A service that this one depends on burns, too.
    Dependency,
    /// More is asked for than before.
    Surge,
    /// One tenant asks for more than before, or is one whose requests fail.
    Tenant,
    /// Some endpoints fail, or are late.
    Endpoint,
    /// Requests of some routes fail, or are late.
    Route,
    /// The service itself, everywhere alike.
    Service,
    /// What Plimsoll did.
    Decision,
}

impl SuspectKind {
    /// The word in JSON and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::EndpointSet => "endpoint-set",
            Self::Dependency => "dependency",
            Self::Surge => "surge",
            Self::Tenant => "tenant",
            Self::Endpoint => "endpoint",
            Self::Route => "route",
            Self::Service => "service",
            Self::Decision => "decision",
        }
    }

    /// Whether something was done, at some time, in place of something that stands otherwise.
    pub const fn is_act(self) -> bool {
        matches!(self, Self::Change | Self::EndpointSet | Self::Decision)
    }
}

/// How likely a suspect is the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The evidence agrees, and nothing else comes near.
    VeryLikely,
    /// More speaks for it than against it.
    Possible,
    /// More speaks against it.
    Unlikely,
    /// It is rather an effect of another one.
    Follows,
}

impl Strength {
    /// In words; `follows` has the rank of the other one beside it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VeryLikely => "very likely",
            Self::Possible => "possible",
            Self::Unlikely => "unlikely",
            Self::Follows => "follows",
        }
    }
}

/// Bad requests within what a suspect is about, and outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidesView {
    /// Bad requests inside.
    pub inside_bad: u64,
    /// All requests inside.
    pub inside: u64,
    /// Bad requests outside.
    pub outside_bad: u64,
    /// All requests outside.
    pub outside: u64,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// Of which kind.
    pub kind: EvidenceKind,
    /// Whether it speaks for the suspect.
    pub supports: bool,
    /// In words.
    pub says: String,
}

/// Kinds of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// Where the failures are.
    Split,
    /// How near it is to the onset.
    Time,
    /// Whether the failures follow its size.
    Dose,
    /// Whether it is on the way of the requests that fail.
    Path,
}

impl EvidenceKind {
    /// The word in JSON and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Time => "time",
            Self::Dose => "dose",
            Self::Path => "path",
        }
    }
}

impl SuspectView {
    /// Its strength in words: `follows 1` with the rank of what it follows.
    pub fn word(&self) -> String {
        match self.follows {
            Some(rank) => format!("{} {rank}", self.strength.name()),
            None => self.strength.name().to_owned(),
        }
    }
}
