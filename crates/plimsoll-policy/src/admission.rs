//! Admission: who gets a permit at once, who waits for one, and who is refused.
//!
//! One limit per service over all threads ([`AdmissionShared`] holds it in one atomic word), and a queue on
//! each thread ([`AdmissionLocal`]). Classes go in strict priority; within a class tenants share by start-time
//! fair queueing (P. Goyal et al., 1996): what deficit round robin gives on one thread, with tags that threads
//! can compare; within a tenant it is first in, first out. A wait is predicted on arrival and bounded by what
//! still fits the latency objective; on overflow the oldest request of the tenant furthest over its share is
//! dropped: it is the one that can't succeed any more.
//!
//! Units: durations; seconds and requests per second inside. Invariants: permits in use never exceed the limit
//! that was in force when they were taken, but for those that were lent and are taken again; every permit comes back
//! once; the number of waiting requests is bounded; a freed permit is never left unused while a request waits ([`AdmissionLocal::dispatch`]).
//! Elsewhere: how the limit is found (`limiter`); timers and wakers (the shells).

mod control;
mod local;
mod places;
mod shared;

#[cfg(test)]
mod tests;

pub use control::{AdmissionControl, AdmissionMemory};
pub use local::{AdmissionLocal, Ticket};
pub use shared::AdmissionShared;

use std::time::Duration;

use plimsoll_core::{Class, Instant, Mode};

/// Route groups whose latencies are kept apart, so that a slow route does not hide a fast one.
pub const GROUPS: usize = 8;
/// One bit per group.
const ALL_GROUPS: u32 = (1 << GROUPS) - 1;

/// How the limit is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimiterKind {
    /// By `limiter`.
    Adaptive,
    /// Given.
    Fixed(u32),
    /// There is none; nothing waits.
    Off,
}

/// How long a request may wait for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueWait {
    /// As long as the answer still fits the objective.
    Objective,
    /// Four times the median service time, within 10-50 ms.
    Auto,
    /// At most this.
    Fixed(Duration),
}

/// What a service's admission is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdmissionParameters {
    /// How the limit is found.
    pub limiter: LimiterKind,
    /// The limit never exceeds this.
    pub limit_max: u32,
    /// The limit to begin with.
    pub start: u32,
    /// Whether it acts.
    pub mode: Mode,
    /// The latency objective; `None` = one is assumed.
    pub objective: Option<Duration>,
    /// How long a call may take at most; an assumed objective is at most half of it.
    pub deadline: Duration,
    /// How long a request may wait.
    pub wait: QueueWait,
    /// How many may wait, over all threads.
    pub requests_max: u32,
    /// The bulkhead's bound on those that wait; `None` = only `requests_max` counts.
    pub pending_max: Option<u32>,
    /// Stands for which routes are in which group: where it changes, what is known of groups is forgotten.
    pub groups: u64,
}

impl Default for AdmissionParameters {
    fn default() -> Self {
        Self {
            limiter: LimiterKind::Adaptive,
            limit_max: 1_000,
            start: 20,
            mode: Mode::Enforce,
            objective: None,
            deadline: Duration::from_secs(30),
            wait: QueueWait::Auto,
            requests_max: 1_024,
            pending_max: None,
            groups: 0,
        }
    }
}

/// A request that asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arriving {
    /// What goes first when not all fits.
    pub class: Class,
    /// Who fairness is kept between.
    pub tenant: u64,
    /// The tenant's weight; 1 is usual.
    pub weight: f32,
    /// The route's group, below [`GROUPS`].
    pub group: u8,
    /// What is left of the request's deadline.
    pub time_left: Duration,
}

/// The answer to [`AdmissionLocal::arrive`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Admitted {
    /// It has a permit.
    Go,
    /// It waits; a [`QueueEvent`] tells how that ends.
    Wait(Ticket),
    /// It is refused.
    Refuse(Refusal),
}

/// Why a request gets no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// Its predicted wait is too long, or others of its tenant were preferred.
    OverCapacity,
    /// It waited too long.
    QueueTimeout,
    /// As many wait as may.
    QueueFull,
    /// As many wait as the bulkhead allows.
    PendingFull,
    /// What is left of its deadline does not suffice.
    Deadline,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// When it may be worth asking again.
    pub retry_after: Duration,
}

/// What became of a request that waited, or what a thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueEvent {
    /// It has a permit now.
    Go(Ticket),
    /// It is refused after all.
    Refused(Ticket, Refusal),
    /// This thread has the head that goes next: it is to call [`AdmissionLocal::dispatch`].
    Wake(usize),
}

/// How a call that had a permit ended, as far as the service's capacity is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It was answered, also with a refusal of the client's own making (4xx).
    Success,
    /// The service failed it.
    Failed,
    /// It was given up at its deadline.
    TimedOut,
    /// The client went: it says nothing about the service.
    Cancelled,
}

/// A permit that comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// As it arrived.
    pub class: Class,
    /// As it arrived.
    pub tenant: u64,
    /// As it arrived.
    pub weight: f32,
    /// As it arrived.
    pub group: u8,
    /// When the permit was taken.
    pub started: Instant,
    /// When the service was through with it.
    pub ended: Instant,
    /// How long it took to the head of its answer, if there was one.
    pub head_after: Option<Duration>,
    /// How the call ended.
    pub end: Completion,
}
