//! A gateway: what its threads share, and the control thread's halves of the policies.
//!
//! The counterpart of `plimsoll-gateway`, `protection.rs`, and of `plimsoll-upstream`, `health.rs`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::Instant;
use plimsoll_governor::{Actuator, Standing};
use plimsoll_lifecycle::{Bounds, Counter, GuardControl, GuardParameters, GuardShared};
use plimsoll_policy::{Balancer, EndpointParameters, Method, Verdict};

use crate::agenda::{NEVER, Nanos};
use crate::fleet::dimmer::{Dimmer, FEATURES};
use crate::fleet::timeline::Level;
use crate::fleet::views::{Views, Watch};
use crate::governing::{Counting, Decisions, Governed, Governing};
use crate::random::Stream;

/// How long it takes to wake another thread.
pub(super) const WAKE: Nanos = 20_000;
/// No permit is free for longer while a request waits. Where many become free at once, as when endpoints break connections, there
/// is a wake-up for each that waits, since threads pass them on to each other.
const IDLE_MAX: Nanos = 1_000_000;

/// What Plimsoll is set to for a service.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Its guard.
    pub guard: Arc<GuardParameters>,
    /// When its endpoints are taken out.
    pub endpoint: EndpointParameters,
    /// How an endpoint is chosen.
    pub method: Method,
    /// Whether that one is not chosen that is out.
    pub heeds_health: bool,
    /// Bounds of each call.
    pub bounds: Bounds,
    /// How long making a connection may take.
    pub connect: Duration,
}

/// A gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    services: Vec<Service>,
    governor: Option<(Governing, Counts)>,
}

/// What the objectives of each service counted in this second.
pub(super) type Counts = Rc<RefCell<Vec<Counting>>>;

/// A service before which it stands.
#[derive(Debug)]
struct Service {
    shared: Arc<GuardShared>,
    control: GuardControl,
    watch: Watch,
    /// Until when a permit may be free while a request waits, as seen after each event.
    idle_until: Nanos,
    /// What moves how much optional content is left out, where it has any.
    dimmer: Option<Dimmer>,
}

impl Gateway {
    /// Before services with these many endpoints.
    pub(super) fn new(
        threads: usize,
        services: &[(usize, &Protection)],
        random: &mut Stream,
    ) -> Self {
        let service = |&(endpoints, protection): &(usize, &Protection)| {
            let shared = Arc::new(GuardShared::new(threads, &protection.guard));
            let seeds = (0..endpoints).map(|_| random.bits()).collect();
            Service {
                control: GuardControl::new(&protection.guard, None, &shared, Instant::ORIGIN),
                shared,
                watch: Watch::new(protection.endpoint, seeds),
                idle_until: NEVER,
                dimmer: None,
            }
        };
        Self {
            services: services.iter().map(service).collect(),
            governor: None,
        }
    }

    /// From now on it has a governor. Gives where its threads count what it is told by.
    pub(super) fn govern(&mut self, governed: &Governed) -> Counts {
        let counts = Rc::new(RefCell::new(Counting::all(governed)));
        for (index, service) in self.services.iter_mut().enumerate() {
            if governed.gives_up(index).optional > 0.0 {
                let specs = governed.services.get(index);
                service.dimmer = Some(Dimmer::new(
                    specs.map_or(&[], |(_, specs)| specs.as_slice()),
                ));
            }
        }
        self.governor = Some((Governing::new(governed), Rc::clone(&counts)));
        counts
    }

    /// A second is over: the governor decides, and moves what it may.
    pub(super) fn decide(&mut self, now: Instant, gateway: u32, decisions: &mut Decisions) {
        let Some((governor, counts)) = &mut self.governor else {
            return;
        };
        let services = &self.services;
        let standing = |index: usize| services.get(index).map(Service::standing);
        let standing = |index| standing(index).unwrap_or_default();
        governor.tick(now, gateway, &mut counts.borrow_mut(), standing, decisions);
        let mut counts = counts.borrow_mut();
        for (index, service) in self.services.iter_mut().enumerate() {
            let counting = counts.get_mut(index);
            if let Some((dimmer, counting)) = service.dimmer.as_mut().zip(counting) {
                let ceiling = Actuator::dimmed_max(governor.step(index, Actuator::Brownout));
                let latencies = counting.take_latencies();
                dimmer.on_second(now, ceiling, &latencies, &service.shared.brownout);
            }
            let steps = &service.shared.steps;
            steps.set_hedge(governor.step(index, Actuator::Hedge));
            steps.set_retry(governor.step(index, Actuator::Retry));
            steps.set_stale(governor.step(index, Actuator::Stale));
            steps.set_shed(governor.step(index, Actuator::Shed));
            steps.set_read_only(governor.step(index, Actuator::ReadOnly) > 0);
        }
    }

    /// The part of the optional content of a service that is left out.
    pub(super) fn dimmed(&self, service: usize) -> f64 {
        let service = self.services.get(service);
        let dims = service.filter(|it| it.dimmer.is_some());
        dims.map_or(0.0, |it| it.shared.brownout.level() / FEATURES as f64)
    }

    /// What its threads share of each service.
    pub(super) fn shared(&self) -> impl Iterator<Item = (&Arc<GuardShared>, &Rc<Views>)> {
        let services = self.services.iter();
        services.map(|service| (&service.shared, service.watch.views()))
    }

    /// Ticks the guards. Says which threads are to be woken, with the service.
    pub(super) fn tick(&mut self, now: Instant, mut wake: impl FnMut(usize, usize)) {
        for (index, service) in self.services.iter_mut().enumerate() {
            service.control.park(service.watch.parked());
            if service.control.tick(now, &service.shared).is_some() {
                for thread in service.shared.admission.threads_waiting() {
                    wake(thread, index);
                }
            }
        }
    }

    /// Ticks the view of endpoints. `connects` says whether an endpoint, by service and position, accepts
    /// connections.
    pub(super) fn watch(&mut self, now: Instant, connects: impl Fn(usize, usize) -> bool) {
        for (index, service) in self.services.iter_mut().enumerate() {
            service
                .watch
                .tick(now, |endpoint| connects(index, endpoint));
        }
    }

    /// Something was done to a service's guard: a freed permit is not left unused while a request waits.
    pub(super) fn check(&mut self, now: Nanos, service: usize) {
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        let admission = &service.shared.admission;
        let free = |limit| admission.in_flight() < limit;
        if admission.queued() == 0 || !admission.limit().is_some_and(free) {
            service.idle_until = NEVER;
            return;
        }
        let wake_ups = WAKE * admission.queued() as Nanos;
        service.idle_until = service.idle_until.min(now + wake_ups + IDLE_MAX);
        assert!(
            now <= service.idle_until,
            "a permit is free while a request waits"
        );
    }

    /// Where the guard of each service is.
    pub(super) fn levels(&self) -> impl Iterator<Item = Level> {
        self.services.iter().map(|service| {
            let admission = &service.shared.admission;
            Level {
                limit: admission.limit().map(u64::from),
                in_flight: u64::from(admission.in_flight()),
                waiting: u64::from(admission.queued()),
            }
        })
    }

    /// What is in force for each endpoint that was ever used, by service and position.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (usize, usize, Verdict)> {
        let services = self.services.iter().enumerate();
        services.flat_map(|(index, service)| {
            let verdicts = service.watch.verdicts();
            verdicts.map(move |(endpoint, verdict)| (index, endpoint, verdict))
        })
    }

    /// Permits that are in use, and attempts in flight.
    pub(super) fn in_use(&self) -> u64 {
        let of = |service: &Service| {
            u64::from(service.shared.admission.in_flight()) + service.watch.in_flight()
        };
        self.services.iter().map(of).sum()
    }
}

impl Service {
    fn standing(&self) -> Standing {
        let (admission, counters) = (&self.shared.admission, &self.shared.counters);
        Standing {
            retries: counters.get(Counter::Retry),
            hedges: counters.get(Counter::Hedge),
            governed: counters.get(Counter::Governed),
            stale: counters.get(Counter::WouldSpare),
            writes: counters.writes(),
            waiting: u64::from(admission.queued()),
            in_flight: u64::from(admission.in_flight()),
            limit: admission.limit().map(u64::from),
        }
    }
}

/// A thread's balancer.
pub(super) fn balancer(protection: &Protection, endpoints: usize, seed: u64) -> Balancer {
    let balancer = Balancer::new(protection.method.clone(), endpoints, seed);
    if protection.heeds_health {
        balancer
    } else {
        balancer.without_health()
    }
}
