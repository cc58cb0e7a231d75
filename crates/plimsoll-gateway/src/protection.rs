//! The control thread's half of all guards: ticks them, wakes threads, and says how they stand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Instant};
use plimsoll_lifecycle::GuardControl;
use plimsoll_policy::{AdmissionMemory, LimitReason};

use crate::plan::{Plan, ServiceShared};
use crate::thread::Shared;

/// How often [`Protection::tick`] is to be called.
pub const PROTECTION_TICK: Duration = Duration::from_millis(10);

/// The control halves of all services' guards.
#[derive(Debug)]
pub struct Protection {
    shared: Arc<Shared>,
    services: BTreeMap<String, Controlled>,
}

#[derive(Debug)]
struct Controlled {
    shared: Arc<ServiceShared>,
    control: GuardControl,
}

/// How a service's guard stands.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

impl Protection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            services: BTreeMap::new(),
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
            let controlled = Controlled {
                shared: Arc::clone(&service.shared),
                control,
            };
            services.insert(service.name.clone(), controlled);
        }
        self.services = services;
    }

    /// Merges what the threads counted, and publishes what is decided.
    pub fn tick(&mut self, now: Instant) {
        for service in self.services.values_mut() {
            let guard = &service.shared.guard;
            if service.control.tick(now, guard).is_some() {
                for thread in guard.admission.threads_waiting() {
                    self.shared.wake(thread);
                }
            }
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
