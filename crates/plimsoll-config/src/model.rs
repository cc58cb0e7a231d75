//! The validated configuration: what the rest of Plimsoll is given.
//!
//! Every value here is valid because it exists: names refer to something, bounds are above zero,
//! durations are durations. Maps are ordered by name, so that two runs see the same order.

mod flags;
mod freeze;
mod notify;
mod protect;
mod queue;
mod rollout;
mod tenant;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_core::{Class, Mode, Ratio};
use plimsoll_measure::{Maintenance, Period};

use crate::page::{PageError, Template, read_page};
use crate::pattern::{HostPattern, PathPattern};

pub use flags::*;
pub use freeze::*;
pub use notify::*;
pub use protect::*;
pub use queue::*;
pub use rollout::*;
pub use tenant::*;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where state is kept; `None` = the default for this user (decided by the binary).
    pub state_path: Option<PathBuf>,
    /// The HTTP data plane.
    pub gateway: Gateway,
    /// Where `/metrics`, `/livez`, `/readyz` are served.
    pub ops_listen: SocketAddr,
    /// Where people and the control API are served.
    pub console_listen: SocketAddr,
    /// How long records of the journal are kept.
    pub journal_keep: Duration,
    /// What watches the objectives.
    pub governor: Governor,
    /// Maintenance windows by name.
    pub maintenances: BTreeMap<String, Maintenance>,
    /// Journeys by name.
    pub journeys: BTreeMap<String, Journey>,
    /// Rollouts by name; no two of one service.
    pub rollouts: BTreeMap<String, Rollout>,
    /// Flags for the code of services.
    pub flags: Flags,
    /// What needs the approval of others, by name.
    pub approvals: Vec<plimsoll_policy::approval::Rule>,
    /// Times in which nothing risky is changed, by name.
    pub freezes: BTreeMap<String, Freeze>,
    /// How queues are kept; `None`: there are none. There if any is in `queue`.
    pub queues: Option<Queues>,
    /// Queues by name; clients may make others if [`Queues::create`] says so.
    pub queue: BTreeMap<String, QueueConfig>,
    /// Who is called, by name.
    pub notifiers: BTreeMap<String, Notifier>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Tenants by name.
    pub tenants: BTreeMap<String, Tenant>,
    /// Routes in the order of the file. Names are unique (generated as `route-N` where not given).
    pub routes: Vec<Route>,
}

/// `[journey.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Journey {
    /// Who is asked about it.
    pub owner: Option<String>,
    /// The services that it needs: each exists, and has the objective, for the same period as the others; at least one.
    pub services: Vec<String>,
    /// The name of that objective.
    pub objective: String,
    /// The share of journeys that must succeed.
    pub target: Ratio,
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Listeners; at least one.
    pub listen: Vec<Listener>,
    /// Peers whose `Forwarded`, class, deadline and `Plimsoll-*` fields are believed.
    pub trusted: Vec<Network>,
    /// Over all services: `Observe` makes every policy decide and not act.
    pub mode: Mode,
    /// How long what is in flight may take after TERM.
    pub drain: Duration,
    /// Data plane threads; `None` = one per core.
    pub threads: Option<usize>,
    /// Bounds on what a peer controls.
    pub limits: Limits,
    /// Where stored answers are.
    pub cache: CacheStore,
    /// The access log.
    pub log: AccessLog,
}

/// Where the answers of routes with `cache` are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStore {
    /// The bytes of all in memory.
    pub memory_max: u64,
    /// The bytes of all on disk; `None` = none are.
    pub disk_max: Option<u64>,
}

/// One listening address.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificates by SNI; the first is the default. Empty = cleartext.
    pub tls: Vec<Certificate>,
    /// The peer starts with a PROXY protocol header (v1 or v2).
    pub proxy_protocol: bool,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// An address range, as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: std::net::IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` is inside. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        use std::net::IpAddr::{V4, V6};
        match (self.address, address.to_canonical()) {
            (V4(net), V4(ip)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            (V6(net), V6(ip)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                net.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// `[gateway.limits]`: bounds on what a peer controls. Units: bytes, counts, durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// A request or response head (431).
    pub header_bytes_max: usize,
    /// Fields in a head (431).
    pub headers_max: usize,
    /// A request target (414).
    pub uri_bytes_max: usize,
    /// A request body (413); `None` = unlimited (bodies stream, they are never held whole).
    pub body_bytes_max: Option<u64>,
    /// From the first byte of a head to its end (408).
    pub head_time_max: Duration,
    /// Between requests on a kept connection.
    pub idle_time_max: Duration,
    /// Downstream connections in all.
    pub connections_max: usize,
    /// Downstream connections from one address; `None` = unlimited.
    pub connections_per_address_max: Option<usize>,
    /// HTTP/2 streams per connection.
    pub streams_max: u32,
    /// What Plimsoll itself may use; `None` = unlimited.
    pub memory_max: Option<u64>,
}

/// `[gateway.log]`
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where it goes.
    pub to: LogTarget,
    /// The share of good and fast requests that is logged.
    pub sample: Ratio,
    /// From when on a request counts as slow, and is always logged.
    pub slow: Duration,
    /// Header names (lower case) whose values are never written.
    pub redact: Vec<String>,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// A file, appended to, reopened on reload.
    File(PathBuf),
}

/// Where people read what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runbook {
    /// A page that a browser opens: with `http://` or `https://`.
    Url(String),
    /// A file in Markdown.
    File(PathBuf),
}

impl Runbook {
    /// Where others find it: a file is only here.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Url(url) => Some(url),
            Self::File(_) => None,
        }
    }
}

/// `[service.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Who is asked about it.
    pub owner: Option<String>,
    /// Where people read what to do.
    pub runbook: Option<Runbook>,
    /// 1 is the most important.
    pub tier: u8,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// Other versions of it, by name.
    pub versions: BTreeMap<String, Version>,
    /// How TLS endpoints are checked.
    pub tls: UpstreamTls,
    /// Which HTTP its endpoints speak.
    pub protocol: UpstreamProtocol,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// Active checks; `None` = only what requests show.
    pub health: Option<Health>,
    /// Availability and latency objectives by name.
    pub objectives: BTreeMap<String, Objective>,
    /// Names of services that it can't do without.
    pub depends_on: Vec<String>,
    /// Protections.
    pub protect: Protect,
    /// What it gives up before it fails.
    pub degrade: Degrade,
    /// Whether the governor freezes it while its budget is exhausted.
    pub freeze: bool,
}

impl Service {
    /// Its own endpoints, then those of its other versions.
    pub fn all_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let versions = self.versions.values().flat_map(|it| &it.endpoints);
        self.endpoints.iter().chain(versions)
    }
}

/// What a service gives up before it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degrade {
    /// What is answered while it is read-only.
    pub read_only: ReadOnly,
    /// How long past its freshness a stored answer is given, on routes that don't say.
    pub stale: Duration,
    /// Features that may be dimmed, the first to be dimmed first. At most [`Degrade::FEATURES_MAX`], each once.
    pub brownout: Vec<String>,
    /// Features that a flag switches: feature -> flag. They need not be among those of `brownout`.
    pub switches: BTreeMap<String, String>,
}

impl Degrade {
    /// More than anybody can put in an order; and what a service is told of them stays one short header.
    pub const FEATURES_MAX: usize = 32;

    /// All features: those of `brownout`, in their order, and those that only a flag switches.
    pub fn features(&self) -> impl Iterator<Item = &String> {
        let switched = self.switches.keys();
        let further = switched.filter(|it| !self.brownout.contains(it));
        self.brownout.iter().chain(further)
    }
}

/// What a request is answered that would change something of a service that is read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOnly {
    /// 4xx or 5xx.
    pub status: u16,
    /// When it may be worth asking again.
    pub retry_after: Duration,
    /// Whether the governor may make it so.
    pub governor: bool,
}

/// One address of a service: `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A name or an address literal (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// `[service.NAME.tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of accepted authorities; `None` = the system's.
    pub ca: Option<PathBuf>,
    /// The name to ask for and check; `None` = the endpoint's host.
    pub server_name: Option<String>,
    /// Our own certificate, where the service asks for one.
    pub client: Option<Certificate>,
}

/// Which HTTP a service's endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// Over TLS what ALPN agrees on; in cleartext HTTP/2 for gRPC and HTTP/1.1 for all else.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in cleartext with prior knowledge.
    Http2,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The better of two by peak-EWMA latency and requests in flight.
    #[default]
    LeastLoaded,
    /// Each in turn.
    RoundRobin,
    /// By a key, with bounded load.
    ConsistentHash(HashKey),
}

/// What `consistent-hash` hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Address,
    /// The value of this header (lower case); the client's address where it is absent.
    Header(String),
    /// The path.
    Path,
}

/// `[service.NAME] health = { ... }`
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// What is asked.
    pub check: HealthCheck,
    /// Between two checks of one endpoint.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Failures in a row that take an endpoint out.
    pub failures_max: u32,
    /// Successes in a row that bring it back.
    pub successes_min: u32,
}

/// What an active check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// `GET path`; 200-399 is healthy.
    Http {
        /// The path.
        path: String,
    },
    /// A connection is made.
    Tcp,
    /// `grpc.health.v1.Health/Check`; `SERVING` is healthy.
    Grpc {
        /// The service name asked for; empty = the server as a whole.
        service: String,
    },
}

/// `[governor]`
#[derive(Clone, Debug, PartialEq)]
pub struct Governor {
    /// Whether it moves what it decides to.
    pub mode: Mode,
    /// What may be moved; none: each actuator from the burn on that it is made for.
    pub rules: Vec<plimsoll_governor::Rule>,
    /// Multi-window alerts for other tools.
    pub pairs: Vec<plimsoll_measure::BurnPair>,
}

/// `[service.NAME.objective.OBJECTIVE]`
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// What is good.
    pub kind: ObjectiveKind,
    /// The share that must be good.
    pub target: Ratio,
    /// What the budget is for.
    pub period: Period,
    /// Only requests of these routes; empty = all.
    pub routes: Vec<String>,
    /// Only requests of these classes; empty = all.
    pub classes: Vec<Class>,
}

/// What an objective counts as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectiveKind {
    /// The outcome is good.
    Availability,
    /// The outcome is good and came within `below`.
    Latency {
        /// The threshold.
        below: Duration,
    },
}

/// `[[route]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Unique.
    pub name: String,
    /// Which hosts.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
    /// Which methods; empty = all.
    pub methods: Vec<String>,
    /// Header (lower case) -> exact value, or `None` for "present".
    pub headers: BTreeMap<String, Option<String>>,
    /// The variant of a flag that whoever asks must have.
    pub flag: Option<FlagVariant>,
    /// What is done with a match.
    pub action: RouteAction,
    /// Its class.
    pub class: Class,
    /// A header that names the tenant (lower case).
    pub tenant_header: Option<String>,
    /// What callers may ask for; none = any number. Names are unique.
    pub rate: Vec<Rate>,
    /// Overrides of the service's deadline.
    pub deadline: DeadlineOverride,
    /// Changes to the request on its way to the service.
    pub rewrite: Rewrite,
    /// How its answers are stored; `None` = not at all.
    pub cache: Option<Cache>,
    /// What is answered where its service can't; `None` = problem details.
    pub fallback: Option<Fallback>,
    /// The feature of its service that it is; it has a fallback then, which is an answer.
    pub feature: Option<String>,
}

/// `fallback = { ... }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// A page.
    Page {
        /// What there is to choose from by `Accept`, the first where nothing else decides. At least one, one of a kind.
        pages: Vec<FallbackPage>,
        /// `None` = 503.
        status: Option<u16>,
    },
    /// The answer of this service.
    Service(String),
}

/// A page of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackPage {
    /// Its file.
    pub path: PathBuf,
    /// What is in it; empty until [`Config::read_pages`].
    pub template: Template,
}

impl Config {
    /// Reads the pages of all routes.
    ///
    /// # Errors
    /// One of them can't be given; [`check_files`](crate::check_files) says so with its line.
    pub fn read_pages(&mut self) -> Result<(), (PathBuf, PageError)> {
        for route in &mut self.routes {
            if let Some(Fallback::Page { pages, .. }) = &mut route.fallback {
                for page in pages {
                    page.template = read_page(&page.path, page.template.kind())
                        .map_err(|error| (page.path.clone(), error))?;
                }
            }
        }
        Ok(())
    }
}

/// `cache = { ... }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The longest body that is stored.
    pub bytes_max: u64,
    /// How long past its freshness an answer stands in for one that failed; `None` = as long as the service says.
    pub stale: Option<Duration>,
    /// How long an answer that something isn't there is fresh, where it doesn't say.
    pub negative: Duration,
    /// The longest that an answer is fresh that doesn't say how long.
    pub heuristic_max: Duration,
    /// Which parameters of the query count.
    pub query: CacheQuery,
    /// Whether their order is made the same.
    pub query_sorted: bool,
    /// Whether answers that set cookies are stored, without that.
    pub strips_set_cookie: bool,
}

/// Which parameters of a query count; a name that ends in `*` stands for all that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheQuery {
    /// All.
    All,
    /// These and no others.
    Only(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// Send it to this service.
    Service(String),
    /// Answer with a redirect.
    Redirect(Redirect),
}

/// `redirect = { to, status }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Scheme to go to; `None` = the request's.
    pub scheme: Option<String>,
    /// Host (and port) to go to; `None` = the request's host without its port.
    pub host: Option<String>,
    /// Path to go to; `None` = the request's path and query.
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Parts of a deadline that a route sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadlineOverride {
    /// See [`Deadline::head`].
    pub head: Option<Duration>,
    /// See [`Deadline::idle`].
    pub idle: Option<Duration>,
    /// See [`Deadline::total`].
    pub total: Option<Duration>,
}

/// `rewrite = { ... }`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Taken off the front of the path.
    pub strip_prefix: Option<String>,
    /// The `Host` sent; `None` = as the client sent it.
    pub host: Option<String>,
    /// Request headers set (name in lower case, value), replacing those of the client.
    pub request_set: Vec<(String, String)>,
    /// Request headers added.
    pub request_add: Vec<(String, String)>,
    /// Request headers removed (lower case).
    pub request_remove: Vec<String>,
    /// Response headers set.
    pub response_set: Vec<(String, String)>,
    /// Response headers added.
    pub response_add: Vec<(String, String)>,
    /// Response headers removed (lower case).
    pub response_remove: Vec<String>,
}
