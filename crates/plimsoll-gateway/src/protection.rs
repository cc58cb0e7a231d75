//! The control thread's half of all guards: ticks them, wakes threads, and says how they stand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core::{Class, Instant};
use plimsoll_lifecycle::{Counter, GuardControl, GuardCounters};
use plimsoll_policy::{
    AdmissionMemory, Candidate as _, LimitReason, SelfControl, SelfReadings, Used,
};
use plimsoll_upstream::Cluster;

use crate::plan::{Plan, ServiceShared};
use crate::thread::Shared;

/// How often [`Protection::tick`] is to be called.
pub const PROTECTION_TICK: Duration = Duration::from_millis(10);

/// In ticks: how often Plimsoll looks at itself.
const OWN_EVERY: u64 = 25;

/// The control halves of all services' guards.
#[derive(Debug)]
pub struct Protection {
    shared: Arc<Shared>,
    services: BTreeMap<String, Controlled>,
    own: SelfControl,
    ticks: u64,
}

#[derive(Debug)]
struct Controlled {
    shared: Arc<ServiceShared>,
    cluster: Arc<Cluster>,
    control: GuardControl,
}

/// How a service's guard stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardView {
    /// The limit; `None` = there is none.
    pub limit: Option<u32>,
    /// Why it is what it is.
    pub reason: LimitReason,
    /// Permits in use.
    pub in_flight: u32,
    /// Calls that wait, by class.
    pub queued: [u32; Class::ALL.len()],
    /// The longest that a call may be predicted to wait.
    pub wait_max: Duration,
    /// The latency that is worked for.
    pub objective: Duration,
    /// Whether it is assumed.
    pub objective_assumed: bool,
    /// Calls that would have been refused, by class, while nothing is enforced.
    pub would_refuse: [u64; Class::ALL.len()],
    /// ...and those that would then have been answered in time.
    pub would_save: [u64; Class::ALL.len()],
    /// What the other policies did, or would have done.
    pub counters: Vec<(Counter, u64)>,
    /// Requests that would change something and were not refused, by class.
    pub writes: [u64; Class::ALL.len()],
}

impl Protection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            services: BTreeMap::new(),
            own: SelfControl::new(),
            ticks: 0,
        }
    }

    /// Follows a plan. `kept` is what was worth keeping over a restart, by service.
    pub fn apply(&mut self, plan: &Plan, kept: &BTreeMap<String, AdmissionMemory>, now: Instant) {
        let mut services = BTreeMap::new();
        for service in &plan.services {
            let guard = &service.shared.guard;
            let control = match self.services.remove(&service.name) {
                Some(known) if Arc::ptr_eq(&known.shared, &service.shared) => {
                    let mut control = known.control;
                    control.set_parameters(&service.guard, guard);
                    control
                }
                _ => GuardControl::new(&service.guard, kept.get(&service.name), guard, now),
            };
            // The limit may have grown.
            for thread in guard.admission.threads_waiting() {
                self.shared.wake(thread);
            }
            let controlled = Controlled {
                shared: Arc::clone(&service.shared),
                cluster: Arc::clone(&service.cluster),
                control,
            };
            services.insert(service.name.clone(), controlled);
        }
        self.services = services;
    }

    /// Merges what the threads counted, and publishes what is decided.
    pub fn tick(&mut self, now: Instant) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(OWN_EVERY) {
            self.watch_own(now);
        }
        for service in self.services.values_mut() {
            let endpoints = service.cluster.endpoints.iter();
            let parked = plimsoll_policy::parked(endpoints.map(|it| it.shared()));
            service.control.park(parked);
            let guard = &service.shared.guard;
            if service.control.tick(now, guard).is_some() {
                for thread in guard.admission.threads_waiting() {
                    self.shared.wake(thread);
                }
            }
        }
    }

    /// Looks at Plimsoll's own memory, connections and timers.
    fn watch_own(&mut self, now: Instant) {
        let plan = self.shared.plan.load();
        let limits = &plan.config.gateway.limits;
        let memory = limits.memory_max.and_then(|max| {
            Some(Used {
                used: resident_bytes()?,
                max,
            })
        });
        let connections = Used {
            used: self.shared.connections.load(Ordering::Relaxed) as u64,
            max: limits.connections_max as u64,
        };
        let readings = SelfReadings {
            memory,
            connections: Some(connections),
            lag: Some(self.shared.lag()),
        };
        let before = self.own.level();
        let level = self.own.tick(now, &readings, &self.shared.protection);
        if level != before {
            let cause = self.own.cause();
            tracing::warn!(
                ?before,
                ?level,
                ?cause,
                "Plimsoll itself is near its bounds, or no longer is"
            );
        }
    }

    /// How the guards stand, by service.
    pub fn views(&self) -> BTreeMap<String, GuardView> {
        let view = |service: &Controlled| {
            let admission = &service.shared.guard.admission;
            GuardView {
                limit: admission.limit(),
                reason: service.control.limit_reason(),
                in_flight: admission.in_flight(),
                queued: Class::ALL.map(|class| admission.queued_of(class)),
                wait_max: admission.wait_max(),
                objective: admission.objective(),
                objective_assumed: service.control.assumes_objective(),
                would_refuse: Class::ALL.map(|class| admission.would_refuse(class)),
                would_save: Class::ALL.map(|class| admission.would_save(class)),
                counters: counters(&service.shared.guard.counters),
                writes: service.shared.guard.counters.writes(),
            }
        };
        self.services
            .iter()
            .map(|(name, service)| (name.clone(), view(service)))
            .collect()
    }

    /// What is worth keeping over a restart, by service.
    pub fn memories(&self) -> BTreeMap<String, AdmissionMemory> {
        let memory = |service: &Controlled| service.control.memory(&service.shared.guard);
        self.services
            .iter()
            .map(|(name, service)| (name.clone(), memory(service)))
            .collect()
    }
}

fn counters(counters: &GuardCounters) -> Vec<(Counter, u64)> {
    Counter::ALL
        .iter()
        .map(|counter| (*counter, counters.get(*counter)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// What Linux says that this process holds of memory.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
