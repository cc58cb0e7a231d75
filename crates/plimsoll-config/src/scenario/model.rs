//! A scenario that was checked: what the simulator is given.
//!
//! Every value here is valid because it exists: services and workloads that are referred to are there, shares
//! add up, times lie within the run. Services and workloads are in the order of their names.

use std::time::Duration;

/// Workloads, the services they go to, and what goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is about, in a sentence.
    pub about: Option<String>,
    /// How many gateways stand before the services; they know nothing of each other.
    pub gateways: usize,
    /// Data plane threads of each.
    pub threads: usize,
    /// The services; at least one.
    pub services: Vec<ScenarioService>,
    /// Who sends; at least one.
    pub workloads: Vec<Workload>,
    /// Parts of the run, one after the other; at least one.
    pub phases: Vec<Phase>,
    /// What goes wrong, in the order of the file.
    pub faults: Vec<Fault>,
}

impl Scenario {
    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        self.phases.iter().map(|phase| phase.lasts).sum()
    }
}

/// A service, and what each of its endpoints is like.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioService {
    /// Its name.
    pub name: String,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// How each works.
    pub work: Work,
    /// The mean time that a request takes an endpoint that does nothing else.
    pub time: Duration,
    /// An answer within this is a good one.
    pub objective: Duration,
}

/// How an endpoint works on requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Workers that take requests from one queue, first in, first out.
    Workers {
        /// How many.
        workers: u32,
        /// How the time spreads.
        spread: TimeSpread,
    },
    /// All requests at once, each the slower the more there are: N. Gunther's Universal Scalability Law.
    Shared {
        /// What waits for what others hold: the law's alpha.
        contention: f64,
        /// What grows with each pair of requests: the law's beta.
        crosstalk: f64,
    },
}

/// How times spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeSpread {
    /// All the same.
    Constant,
    /// Exponential.
    Exponential,
    /// Lognormal with this coefficient of variation.
    Lognormal(f64),
    /// Nine of ten are of one length, the tenth ten times as long.
    Bimodal,
}

/// Clients of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// The service that it goes to, by its position.
    pub service: usize,
    /// New requests per second, unless a phase says otherwise: Poisson, whatever is answered.
    pub rate: f64,
    /// When a client hangs up.
    pub patience: Duration,
    /// Whether it comes again then, or after a failure.
    pub retry: ClientRetry,
    /// How much its requests matter.
    pub classes: ClassShares,
    /// How many tenants they are of.
    pub tenants: u32,
    /// How unlike these are: the `n`-th sends in proportion to `n` to the power of minus this (Zipf).
    pub zipf: f64,
}

/// What a client does whose request failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientRetry {
    /// Tries in all, the first included.
    pub attempts: u8,
    /// The mean pause before the next, exponential.
    pub pause: Duration,
}

/// Shares of requests by class; the rest is `standard`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassShares {
    /// What goes last when not all fits.
    pub critical: f64,
    /// What goes first.
    pub sheddable: f64,
}

/// A part of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// What tables call it.
    pub name: String,
    /// How long it lasts.
    pub lasts: Duration,
    /// What each workload sends, by its position.
    pub rates: Vec<PhaseRate>,
}

/// New requests per second of a workload over a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseRate {
    /// At its beginning.
    pub from: f64,
    /// At its end, in a straight line.
    pub to: f64,
    /// On top of a rate that is even.
    pub burst: Option<Burst>,
}

/// Times of a higher rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The rate then.
    pub peak: f64,
    /// How long it is so...
    pub lasts: Duration,
    /// ...at the end of each such time.
    pub every: Duration,
}

/// What goes wrong, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The service, by its position.
    pub service: usize,
    /// The first so many of its endpoints.
    pub endpoints: usize,
    /// Since the run's beginning.
    pub at: Duration,
    /// How long.
    pub lasts: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// Requests take this many times as long.
    Slow(f64),
    /// This share of requests is answered with 500, at once.
    Errors(f64),
    /// It is gone: connections break, and new ones are refused.
    Crash,
    /// It accepts, and works on nothing.
    Freeze,
    /// This share of its workers is left, rounded up.
    Capacity(f64),
}
