//! Versions of services, and how requests are moved to them.

use std::time::Duration;

use plimsoll_core::{Mode, Ratio};

use super::Endpoint;

/// `[service.NAME.version.VERSION]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// At least one; none that the service or another version of it has.
    pub endpoints: Vec<Endpoint>,
}

/// `[rollout.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// A service that there is; it has no other rollout.
    pub service: String,
    /// A version of it, or what is moved in its place, in words.
    pub version: String,
    /// The variant that users are moved to, in place of a version.
    pub flag: Option<FlagVariant>,
    /// What goes to the version.
    pub kind: RolloutKind,
    /// At least one; weights rise.
    pub steps: Vec<RolloutStep>,
    /// What decides which version a request goes to.
    pub by: SplitBy,
    /// Requests with this header, of this value, go to the version at any weight.
    pub header: Option<(String, String)>,
    /// Whether requests that would change something are copied, too.
    pub mirror_unsafe: bool,
    /// The part of the error budget that the version may spend.
    pub price: Ratio,
    /// How often a version that is no worse may be taken back.
    pub alpha: Ratio,
    /// How many times as many bad answers are put up with.
    pub tolerate: f64,
    /// For how long answers are collected before they are judged.
    pub batch: Duration,
    /// How long the version gets nothing after the first strike.
    pub cooldown: Duration,
    /// How long it waits for enough requests.
    pub hold_max: Duration,
    /// Whether it acts.
    pub mode: Mode,
}

/// A variant of a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagVariant {
    /// The flag.
    pub key: String,
    /// The variant.
    pub variant: String,
}

impl FlagVariant {
    /// In words: `new-cart=on`.
    pub fn name(&self) -> String {
        format!("{}={}", self.key, self.variant)
    }
}

/// What goes to a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutKind {
    /// A growing share of requests.
    #[default]
    Canary,
    /// All at once.
    BlueGreen,
    /// Copies.
    Mirror,
}

impl RolloutKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::Mirror => "mirror",
        }
    }
}

/// A step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RolloutStep {
    /// The share of requests.
    pub weight: Ratio,
    /// For how long at least.
    pub lasts: Duration,
    /// Whether a person has to let it begin.
    pub gate: bool,
}

/// What decides which version a request goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SplitBy {
    /// The client's address.
    #[default]
    Client,
    /// The tenant's key.
    Tenant,
    /// Each request is drawn anew.
    Request,
    /// The value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
}
