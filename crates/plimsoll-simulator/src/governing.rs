//! The governor in a run: what it is told each second, what it says, and how far it has moved what it may move.
//!
//! The counterpart of the process's `governing.rs`: the same governor with the same signals. What they are counted from is
//! the run's; a shell has a registry for it.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::{Class, Instant, Ratio};
use plimsoll_governor::{
    Actuator, Governor, Meter, ObjectiveSignals, Parameters, ServiceSignals, Signals, Standing,
    What,
};
use plimsoll_measure::{
    Cause, Counts, DOES_NOT_FIT, Histogram, ObjectiveSpec, Origin, Outcome, REFUSALS, Tally,
    Window, objective_levels,
};

/// So many decisions of a run are kept; all are counted.
const NOTED_MAX: usize = 10_000;

/// What the governor is set to for the services of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Governed {
    /// As a process would be given them.
    pub parameters: Parameters,
    /// Of each service of the scenario, in the same order: its name, and its objectives in the order of the parameters'.
    /// A scenario has no routes, so each is of all of them.
    pub services: Vec<(String, Vec<ObjectiveSpec>)>,
    /// What can be given up of services, by name; of others, nothing. What of it may be is for the parameters to say.
    pub gives_up: BTreeMap<String, GivesUp>,
}

/// What can be given up of a service in a run. Shares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GivesUp {
    /// Of the requests that change nothing, for which there is a stale answer.
    pub stale: f64,
    /// Of the service's work, that is for optional content.
    pub optional: f64,
    /// Of all requests, that would change something.
    pub writes: f64,
}

impl Governed {
    /// What can be given up of the service at a position.
    pub(crate) fn gives_up(&self, service: usize) -> GivesUp {
        let name = self.services.get(service).map(|(name, _)| name);
        let of = name.and_then(|name| self.gives_up.get(name));
        of.copied().unwrap_or_default()
    }
}

/// What was decided in a run, by one governor or by those of all gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// How many decisions there were.
    pub count: u64,
    /// How many of them moved something, or would have.
    pub moves: u64,
    /// The first of them, in the order of time.
    pub noted: Vec<Noted>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Since the beginning of the run.
    pub at: Duration,
    /// The gateway that decided, from 0.
    pub gateway: u32,
    /// The service.
    pub service: String,
    /// What was decided: its word, as in the journal.
    pub what: &'static str,
    /// What was moved, from which step to which.
    pub moved: Option<(Actuator, u8, u8)>,
    /// Why it was moved: its word, as in the journal.
    pub because: Option<&'static str>,
    /// As a person reads it.
    pub text: String,
}

impl Decisions {
    /// Adds those of another run: they are counted. What is noted stays that of the first.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.moves += other.moves;
    }
}

/// Counts for the objectives of a service.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    specs: Vec<ObjectiveSpec>,
    counts: Vec<Counts>,
    requests: u64,
    let_in: [u64; Class::ALL.len()],
    refused: u64,
    /// How long what Plimsoll did not refuse took, where somebody wants to know.
    latencies: Option<Histogram>,
}

impl Counting {
    /// Of each service, with nothing in them.
    pub(crate) fn all(governed: &Governed) -> Vec<Self> {
        let services = governed.services.iter().enumerate();
        let counting = |(index, (_, specs)): (usize, &(String, Vec<ObjectiveSpec>))| {
            let dims = governed.gives_up(index).optional > 0.0;
            Self {
                latencies: dims.then(Histogram::default),
                ..Self::new(specs)
            }
        };
        services.map(counting).collect()
    }

    fn new(specs: &[ObjectiveSpec]) -> Self {
        Self {
            specs: specs.to_vec(),
            counts: vec![Counts::default(); specs.len()],
            requests: 0,
            let_in: [0; Class::ALL.len()],
            refused: 0,
            latencies: None,
        }
    }

    /// How long what ended in this second took.
    pub(crate) fn take_latencies(&mut self) -> Histogram {
        self.latencies
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// A request ended.
    pub(crate) fn add(&mut self, class: Class, cause: Cause, latency: Duration) {
        self.requests += 1;
        if let Some(let_in) = self.let_in.get_mut(class.index()) {
            *let_in += u64::from(!REFUSALS.contains(&cause));
        }
        self.refused += u64::from(DOES_NOT_FIT.contains(&cause));
        let latencies = self.latencies.as_mut();
        if let Some(latencies) = latencies.filter(|_| !REFUSALS.contains(&cause)) {
            latencies.record(latency);
        }
        for (spec, counts) in self.specs.iter().zip(&mut self.counts) {
            if !spec.classes.is_empty() && !spec.classes.contains(&class) {
                continue;
            }
            match spec.sli.judge(cause.outcome(), latency) {
                Outcome::Good => counts.good += 1,
                Outcome::Bad => {
                    counts.bad += 1;
                    counts.bad_service += u64::from(cause.origin() == Origin::Service);
                }
                Outcome::Excluded => (),
            }
        }
    }

    /// What a second brought, in place of single requests.
    pub(crate) fn set(
        &mut self,
        requests: u64,
        refused: u64,
        let_in: [u64; Class::ALL.len()],
        counts: impl Iterator<Item = Counts>,
    ) {
        (self.requests, self.refused, self.let_in) = (requests, refused, let_in);
        for (place, counts) in self.counts.iter_mut().zip(counts) {
            *place = counts;
        }
    }

    pub(crate) fn specs(&self) -> &[ObjectiveSpec] {
        &self.specs
    }
}

/// A governor over the services of a scenario.
#[derive(Debug)]
pub(crate) struct Governing {
    governor: Governor,
    services: Vec<Service>,
}

#[derive(Debug)]
struct Service {
    name: String,
    windows: Vec<(Window<Tally>, Ratio, Duration)>,
    meter: Meter,
}

impl Governing {
    pub(crate) fn new(governed: &Governed) -> Self {
        let service = |(name, specs): &(String, Vec<ObjectiveSpec>)| Service {
            name: name.clone(),
            windows: specs
                .iter()
                .map(|it| {
                    let period = it.period.longest();
                    let window = Window::new(&objective_levels(period));
                    (window, it.target, period)
                })
                .collect(),
            meter: Meter::default(),
        };
        Self {
            governor: Governor::new(governed.parameters.clone()),
            services: governed.services.iter().map(service).collect(),
        }
    }

    /// A second is over. Takes what was counted of each service; `standing` says how its guard stands.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        gateway: u32,
        counted: &mut [Counting],
        standing: impl Fn(usize) -> Standing,
        decisions: &mut Decisions,
    ) {
        let pairs = self.services.iter_mut().zip(counted).enumerate();
        let services = pairs
            .map(|(index, (service, counting))| service.signals(now, counting, standing(index)))
            .collect();
        for decided in self.governor.on_tick(now, &Signals { services }) {
            for decision in decided.decisions {
                let (moved, because) = match decision.what {
                    What::Move {
                        actuator,
                        from,
                        to,
                        because,
                    } => (Some((actuator, from, to)), Some(because.name())),
                    _ => (None, None),
                };
                decisions.count += 1;
                decisions.moves += u64::from(moved.is_some());
                if decisions.noted.len() < NOTED_MAX {
                    decisions.noted.push(Noted {
                        at: Duration::from_nanos(now.as_nanos()),
                        gateway,
                        what: decision.what.name(),
                        moved,
                        because,
                        text: decision.to_string(),
                        service: decision.service,
                    });
                }
            }
        }
    }

    /// The governor itself.
    pub(crate) fn governor(&self) -> &Governor {
        &self.governor
    }

    /// How far an actuator of a service is to be moved.
    pub(crate) fn step(&self, service: usize, actuator: Actuator) -> u8 {
        let service = self.services.get(service);
        service.map_or(0, |it| self.governor.enforced(&it.name, actuator))
    }
}

impl Service {
    /// Takes what was counted.
    fn signals(
        &mut self,
        now: Instant,
        counting: &mut Counting,
        standing: Standing,
    ) -> ServiceSignals {
        let requests = std::mem::take(&mut counting.requests);
        let refused = std::mem::take(&mut counting.refused);
        let let_in = std::mem::take(&mut counting.let_in);
        let each = self.windows.iter_mut().zip(&mut counting.counts);
        let objectives = each.map(|((window, target, period), counts)| {
            let counts = std::mem::take(counts);
            // What came in the second before `now`.
            let second = Instant::from_nanos(now.as_nanos().saturating_sub(1));
            window.add(second, Duration::from_secs(1), &counts.budget());
            let sum = window.sum(second, *period);
            let spent = sum.amount.burn_rate(*target);
            // Of the time that was not observed it is taken that all of it is good.
            let observed = (sum.observed.as_secs_f64() / period.as_secs_f64()).min(1.0);
            ObjectiveSignals {
                counts,
                budget_left: spent.map(|spent| 1.0 - spent * observed),
            }
        });
        ServiceSignals {
            name: self.name.clone(),
            objectives: objectives.collect(),
            demand: self.meter.on_second(requests, refused, let_in, standing),
            is_maintained: false,
        }
    }
}
