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

    /// All that sends requests: the workloads, then the calls of each service. Tables have a row for each.
    pub fn senders(&self) -> Vec<Sender> {
        let workloads = self.workloads.iter().map(|workload| Sender {
            name: workload.name.clone(),
            service: workload.service,
        });
        let calls = self.services.iter().flat_map(|caller| {
            let sender = |call: &Call| {
                let callee = self.services.get(call.service)?;
                Some(Sender {
                    name: format!("{} \u{2192} {}", caller.name, callee.name),
                    service: call.service,
                })
            };
            caller.calls.iter().filter_map(sender)
        });
        workloads.chain(calls).collect()
    }
}

/// A workload, or the calls of one service to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The workload's name; `caller → callee` for calls.
    pub name: String,
    /// The service that it sends to, by its position.
    pub service: usize,
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
    /// Whether its endpoints drop what waits there and whose client has gone.
    pub cancels: bool,
    /// What each of its endpoints keeps of its answers. Only where there are workers.
    pub cache: Option<Cache>,
    /// What requests need of the memory of each of its endpoints.
    pub memory: Option<Memory>,
    /// How each of its endpoints starts again.
    pub start: Option<Start>,
    /// What its endpoints call after their own work, one after the other. Never itself, by whatever way.
    pub calls: Vec<Call>,
}

/// Calls to another service, before an answer is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// The service that is called, by its position.
    pub service: usize,
    /// The share of requests that need it.
    pub share: f64,
    /// When the caller hangs up.
    pub timeout: Duration,
    /// Tries in all; the next one comes at once.
    pub attempts: u8,
}

/// Memory of an endpoint. What answered requests held is garbage until it is collected, which is when all is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What a request holds until it is answered, in bytes.
    pub each: u64,
    /// What there is, in bytes: an endpoint that needs more is killed.
    pub limit: u64,
    /// How long nothing is worked on while garbage is collected.
    pub pause: Duration,
}

/// How an endpoint starts again after a crash or a kill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// How long it refuses connections.
    pub takes: Duration,
    /// How many times as long the first request takes then.
    pub times: f64,
    /// After so many requests, 63 % of what was to get faster has.
    pub warm: u32,
}

/// Answers that an endpoint keeps: who finds one is through sooner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cache {
    /// The share of requests that find one, once it is warm.
    pub hit: f64,
    /// The mean time that the others take longer, exponential.
    pub miss: Duration,
    /// After so many requests, 63 % of what it will hold is there.
    pub fill: u32,
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
    /// What makes it send.
    pub source: Source,
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

/// What makes a workload send.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// New requests per second, unless a phase says otherwise: Poisson, whatever is answered.
    Rate(f64),
    /// A population: each waits for its answer.
    Users(Population),
    /// What came to a real gateway.
    Replay(Replay),
}

/// Users of whom each thinks, sends, waits for its answer, and thinks again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// How many there are, unless a phase says otherwise.
    pub users: u32,
    /// The mean time that one thinks, exponential.
    pub think: Duration,
    /// The share that leaves for good after the last of its tries failed, unless that was of class `sheddable`.
    pub leaves: f64,
}

/// Requests of an access log.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The log, from the scenario's folder.
    pub log: String,
    /// How many times as fast they come.
    pub speed: f64,
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
    /// What each workload sends, by its position; nothing of those without a rate.
    pub rates: Vec<PhaseRate>,
    /// How many users each workload has, by its position; none of those without a population.
    pub users: Vec<u32>,
}

/// New requests per second of a workload over a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseRate {
    /// At its beginning.
    pub from: f64,
    /// At its end, in a straight line.
    pub to: f64,
    /// What it does beside that, if these two are the same.
    pub shape: Option<Shape>,
}

impl PhaseRate {
    /// The same all the time.
    pub fn even(rate: f64) -> Self {
        Self {
            from: rate,
            to: rate,
            shape: None,
        }
    }

    /// Its bursts, if it has any.
    pub fn burst(&self) -> Option<Burst> {
        match self.shape {
            Some(Shape::Bursts(burst)) => Some(burst),
            _ => None,
        }
    }
}

/// What an even rate does on top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// It is higher at times.
    Bursts(Burst),
    /// It goes up and down, as over a day.
    Wave(Wave),
    /// A flash crowd comes and goes.
    Crowd(FlashCrowd),
}

/// A sine around a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wave {
    /// How far it goes, as a share of the mean.
    pub swing: f64,
    /// How long it is.
    pub period: Duration,
    /// When it is highest, since the run's beginning.
    pub peak_at: Duration,
}

/// A crowd that grows in proportion to itself and then goes, from a phase's beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlashCrowd {
    /// The highest rate.
    pub peak: f64,
    /// When it is reached, since the phase's beginning.
    pub rise: Duration,
    /// The time in which what is left of it falls to 37 %.
    pub decay: Duration,
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
    /// How many of its endpoints come before those that it is at.
    pub after: usize,
    /// At how many.
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
    /// Its cache is emptied when it begins.
    Cold,
    /// This share of messages between gateways and it is lost, and sent again.
    Loss(f64),
    /// The first so many gateways hear nothing of it, and it nothing of them.
    Partition(usize),
}
