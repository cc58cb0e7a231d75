//! What `status`, `top` and the console show: one consistent picture of one moment.
//!
//! The field names are an interface (`/api/v1/status`, `status --json`): they change only together with
//! [`SCHEMA`]. An unknown is `null`, never zero. Units are in the names; shares are `0.0..=1.0`; times are
//! RFC 3339 in UTC.

mod approval;
mod cache;
mod freeze;
mod governed;
mod journal;
mod journey;
mod mark;
mod notifier;
mod overlay;
mod protection;
mod queues;
mod rollout;
mod suspect;
pub mod wire;

use std::time::Duration;

use plimsoll_core::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::figure;
use crate::incident::IncidentView;
use crate::objective::Forecast;
use crate::outcome::{Cause, Origin, Outcome};
use crate::period::Calendar;

pub use approval::ApprovalView;
pub use cache::{CacheDiskView, CacheStoreView, CacheView};
pub use freeze::FreezeView;
pub use governed::{
    BrownoutView, ChangeView, GovernedView, MovedView, OnsetView, PageDelayView, SplitView,
};
pub use journal::{JournalView, StoreFailure};
pub use journey::{JourneyView, StepView};
pub use mark::Mark;
pub use notifier::{NotifierFailure, NotifierView};
pub use overlay::OverlayView;
pub use protection::{
    ActionView, ClassView, DOES_NOT_FIT, ProtectionView, REFUSALS, RefusedView, refusing_policy,
};
pub use queues::{QueueView, QueuesDiskView, QueuesView};
pub use rollout::{
    ArmView, RolloutEvidenceView, RolloutPointView, RolloutPriceView, RolloutRunView, RolloutState,
    RolloutStepView, RolloutView,
};
pub use suspect::{EvidenceKind, EvidenceView, SidesView, Strength, SuspectKind, SuspectView};

/// The version of the field names.
pub const SCHEMA: u32 = 1;

/// One moment of one Plimsoll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of the field names: [`SCHEMA`].
    pub schema: u32,
    /// Of the program.
    pub version: String,
    /// The name of this process among others.
    pub instance: String,
    /// When it was taken.
    #[serde(with = "wire")]
    pub now: Timestamp,
    /// How long the process has been up.
    pub uptime_seconds: f64,
    /// Over all services.
    pub mode: Mode,
    /// The configuration in force.
    pub config: ConfigView,
    /// What someone should look at, in sentences.
    pub warnings: Vec<String>,
    /// Downstream connections now.
    pub connections: u64,
    /// What is stored of answers; `null` where nothing is.
    #[serde(default)]
    pub cache: Option<CacheStoreView>,
    /// By name.
    pub services: Vec<ServiceView>,
    /// By name.
    #[serde(default)]
    pub journeys: Vec<JourneyView>,
    /// What people have set for a while, by service and what is set.
    #[serde(default)]
    pub overlay: Vec<OverlayView>,
    /// What waits for the approval of others, the oldest first.
    #[serde(default)]
    pub approvals: Vec<ApprovalView>,
    /// Of which services nothing risky is changed now, or would not be.
    #[serde(default)]
    pub freezes: Vec<FreezeView>,
    /// What had no route: malformed requests, unknown hosts and paths.
    pub unrouted: TrafficView,
    /// The newest first.
    pub recent_events: Vec<EventView>,
    /// The journal and its store; `null` where that is not known.
    #[serde(default)]
    pub journal: Option<JournalView>,
    /// Those who are called, by name.
    #[serde(default)]
    pub notifiers: Vec<NotifierView>,
    /// What people were called for and has not ended, by service.
    #[serde(default)]
    pub incidents: Vec<IncidentView>,
    /// Durable queues; `null` where none are configured.
    #[serde(default)]
    pub queues: Option<QueuesView>,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    /// The file; `null` where there is none (`run --to`).
    pub path: Option<String>,
    /// Of the file's content, hexadecimal.
    pub hash: String,
    /// When it came into force.
    #[serde(with = "wire")]
    pub loaded_at: Timestamp,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// Who is asked about it.
    pub owner: Option<String>,
    /// 1 is the most important.
    pub tier: u8,
    /// Names of the services that it depends on.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Of its protections.
    pub mode: Mode,
    /// Requests in flight now; `null` where it is not known.
    pub in_flight: Option<u64>,
    /// Whether no endpoint is healthy, so that all are used.
    pub serving_to_all: bool,
    /// How the governor sees it; `null` where nothing is governed.
    #[serde(default)]
    pub governed: Option<GovernedView>,
    /// The maintenance window that it is in; `null`: none.
    #[serde(default)]
    pub maintenance: Option<MaintenanceView>,
    /// How its protections stand; `null` where that is not known.
    pub protection: Option<ProtectionView>,
    /// What the cache of its routes did; `null` where none has one.
    #[serde(default)]
    pub cache: Option<CacheView>,
    /// Other versions of it, by name.
    #[serde(default)]
    pub versions: Vec<VersionView>,
    /// Its requests.
    pub traffic: TrafficView,
    /// In the order of the configuration.
    pub objectives: Vec<ObjectiveView>,
    /// In the order of the configuration.
    pub endpoints: Vec<EndpointView>,
    /// In the order of the configuration.
    pub routes: Vec<RouteView>,
}

/// Requests of a service, a route or an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrafficView {
    /// Since the process started.
    pub requests_total: u64,
    /// Over the last 10 s; `null` where nothing was observed yet.
    pub requests_per_second: Option<f64>,
    /// The share of bad among good and bad, over the last minute (55 to 60 s); `null` without traffic.
    pub bad_share: Option<f64>,
    /// What was not good over the last minute, by cause; the most frequent first.
    pub errors: Vec<ErrorView>,
    /// Over the last minute.
    pub latency: LatencyView,
}

impl TrafficView {
    /// Over the last minute: how many were bad, and of how many; `None` where none was.
    pub fn bad_of(&self) -> Option<(u64, u64)> {
        let share = self.bad_share.filter(|share| *share > 0.0)?;
        let bad = self.errors.iter().filter(|it| it.outcome == Outcome::Bad);
        let bad: u64 = bad.map(|it| it.count).sum();
        (bad > 0).then(|| (bad, (bad as f64 / share).round() as u64))
    }
}

/// Requests that were not good, with one cause, over the last minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorView {
    /// The cause.
    pub cause: Cause,
    /// `bad`, or `excluded` from the SLI.
    pub outcome: Outcome,
    /// Who it is attributed to.
    pub origin: Origin,
    /// How many.
    pub count: u64,
    /// Of all requests.
    pub share: f64,
}

/// Latency of all requests over the last minute; `null` without traffic. Right to 2.2 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyView {
    /// Half are faster.
    pub p50_seconds: Option<f64>,
    /// 95 % are faster.
    pub p95_seconds: Option<f64>,
    /// 99 % are faster.
    pub p99_seconds: Option<f64>,
    /// 99.9 % are faster.
    pub p999_seconds: Option<f64>,
}

/// An objective of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveView {
    /// Unique within the service.
    pub name: String,
    /// `availability` or `latency`.
    pub kind: String,
    /// The threshold of a latency objective.
    pub below_seconds: Option<f64>,
    /// The share that must be good.
    pub target: f64,
    /// How long the period is: a rolling one, or the one of the calendar that is on.
    pub period_seconds: f64,
    /// The period, if it is one of the calendar; `null` for a rolling one.
    #[serde(default)]
    pub calendar: Option<CalendarView>,
    /// How much of the period was observed.
    pub observed_seconds: f64,
    /// From 1; another with each change of what it is.
    pub version: u32,
    /// Good requests over the period.
    pub good: u64,
    /// Bad requests over the period.
    pub bad: u64,
    /// The share of the period's budget that is left, if what was not observed yet is like what was, but good: below zero it
    /// is overspent; `null` without traffic.
    pub budget_left: Option<f64>,
    /// How many more requests may be bad if no others come.
    pub bad_left: i64,
    /// When the budget will be gone at the burn rate of the last hour.
    pub forecast: Forecast,
    /// Burn rates, over the shortest window first.
    pub burn: Vec<BurnView>,
}

/// A maintenance window that is on: nothing counts for objectives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceView {
    /// Its name.
    pub name: String,
    /// When it ends.
    #[serde(with = "wire")]
    pub until: Timestamp,
}

/// A period of the calendar, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarView {
    /// `week`, `month` or `quarter`.
    pub calendar: Calendar,
    /// When the budget is whole again.
    #[serde(with = "wire")]
    pub ends: Timestamp,
}

impl ObjectiveView {
    /// What the budget is for, in a word: `28d`, or `month`.
    pub fn period(&self) -> String {
        self.calendar.as_ref().map_or_else(
            || figure::duration(self.period_seconds),
            |calendar| calendar.calendar.name().to_owned(),
        )
    }

    /// The burn rate over a window, as `1h`; `None` where it is unknown.
    pub fn burn_over(&self, window: &str) -> Option<f64> {
        self.burn
            .iter()
            .find(|burn| burn.window == window)
            .and_then(|burn| burn.rate)
    }
}

/// A burn rate over one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnView {
    /// `5m`, `30m`, `1h`, `2h`, `6h`, `1d` or `3d`.
    pub window: String,
    /// Budget spent per budget granted, over what was observed of the window; `null` without traffic.
    pub rate: Option<f64>,
    /// How much of the window was observed.
    pub observed_seconds: f64,
}

/// Another version of a service, at endpoints of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionView {
    /// Its name.
    pub name: String,
    /// The rollout by which it gets requests; `null`: it gets none.
    pub rollout: Option<String>,
    /// `canary`, `blue-green`, or `mirror`: then it gets copies.
    pub kind: Option<String>,
    /// The share of requests that goes to it now.
    pub weight: f64,
    /// Requests of it that the service itself served, since none of its endpoints was up.
    pub instead: u64,
}

/// An endpoint of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointView {
    /// `http://host:port`.
    pub name: String,
    /// The other version of the service that it is of; `null`: it is the service's own.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether it gets requests.
    pub state: EndpointState,
    /// Since when it is in that state; `null` where it is not known.
    #[serde(with = "wire::optional")]
    pub since: Option<Timestamp>,
    /// Attempts in flight now; `null` where it is not known.
    pub in_flight: Option<u64>,
    /// Its attempts.
    pub traffic: TrafficView,
}

/// Whether an endpoint gets requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// It does.
    Up,
    /// It does, slowly more after it came back.
    SlowStart,
    /// One probe decides.
    HalfOpen,
    /// It does not.
    Down,
    /// Nothing said anything about it yet.
    #[default]
    Unknown,
}

impl EndpointState {
    /// The word in metrics and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::SlowStart => "slow-start",
            Self::HalfOpen => "half-open",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// Whether requests go there by choice: also while nothing speaks against it.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Up | Self::SlowStart | Self::Unknown)
    }
}

/// A route that leads to a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    /// Its name.
    pub name: String,
    /// Requests in flight now; `null` where it is not known.
    pub in_flight: Option<u64>,
    /// Its requests.
    pub traffic: TrafficView,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventView {
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
    /// Which service it is about; `null` for the process as a whole.
    pub service: Option<String>,
    /// What, in a few words.
    pub text: String,
}

impl Snapshot {
    /// How long the process has been up.
    pub fn uptime(&self) -> Duration {
        Duration::try_from_secs_f64(self.uptime_seconds).unwrap_or_default()
    }
}
