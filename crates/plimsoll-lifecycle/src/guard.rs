//! What stands before a service: the policies of the admission stage, in their order.
//!
//! One [`GuardShared`] per service for all threads, one [`Guard`] per service and thread, one
//! [`GuardControl`] per service on the control thread. Gateway and simulator hold the same.

use std::sync::Arc;

use plimsoll_core::Instant;
use plimsoll_measure::Cause;
use plimsoll_policy::{
    AdmissionControl, AdmissionLocal, AdmissionMemory, AdmissionParameters, AdmissionShared,
    Admitted, Arriving, Finished, LimitChange, LimitReason, QueueEvent, Refusal, RefusalReason,
    Ticket,
};

use crate::Asked;

/// What a service's guard is set to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GuardParameters {
    /// Limit and queue.
    pub admission: AdmissionParameters,
}

/// What all threads share of one service's guard.
#[derive(Debug)]
pub struct GuardShared {
    /// Limit and queues.
    pub admission: Arc<AdmissionShared>,
}

impl GuardShared {
    /// For `threads` data-plane threads.
    pub fn new(threads: usize, parameters: &GuardParameters) -> Self {
        Self {
            admission: Arc::new(AdmissionShared::new(threads, &parameters.admission)),
        }
    }
}

/// One thread's half.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<GuardShared>,
    admission: AdmissionLocal,
}

impl Guard {
    /// The half of `thread`.
    pub fn new(shared: Arc<GuardShared>, thread: usize, parameters: &GuardParameters) -> Self {
        Self {
            admission: AdmissionLocal::new(
                Arc::clone(&shared.admission),
                thread,
                &parameters.admission,
            ),
            shared,
        }
    }

    /// Takes over other parameters, as after a reload; who waits goes on waiting.
    pub fn set_parameters(&mut self, parameters: &GuardParameters) {
        self.admission.set_parameters(&parameters.admission);
    }

    /// What all threads share.
    pub fn shared(&self) -> &Arc<GuardShared> {
        &self.shared
    }

    /// A call asks for a permit.
    pub fn ask(
        &mut self,
        now: Instant,
        request: &Arriving,
        events: &mut Vec<QueueEvent>,
    ) -> (Asked, Option<Refusal>) {
        match self.admission.arrive(now, request, events) {
            Admitted::Go => (Asked::Go, None),
            Admitted::Wait(ticket) => (Asked::Wait(ticket), None),
            Admitted::Refuse(refusal) => {
                (Asked::Refuse(refusal_cause(refusal.reason)), Some(refusal))
            }
        }
    }

    /// A call that waited goes by itself. Says whether it still waited.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.admission.leave(ticket)
    }

    /// A permit comes back.
    pub fn finish(&mut self, now: Instant, finished: &Finished, events: &mut Vec<QueueEvent>) {
        self.admission.finish(now, finished, events);
    }

    /// Gives free permits to who goes next.
    pub fn dispatch(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        self.admission.dispatch(now, events);
    }

    /// Drops what has waited too long.
    pub fn expire(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        self.admission.expire(now, events);
    }

    /// When [`Guard::expire`] may have something to do.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.admission.next_expiry()
    }
}

/// The cause of a call that is refused.
pub fn refusal_cause(reason: RefusalReason) -> Cause {
    match reason {
        RefusalReason::OverCapacity | RefusalReason::QueueFull => Cause::Shed,
        RefusalReason::QueueTimeout => Cause::QueueTimeout,
        RefusalReason::Deadline => Cause::Deadline,
    }
}

/// The control thread's half.
#[derive(Debug)]
pub struct GuardControl {
    admission: AdmissionControl,
}

impl GuardControl {
    /// Begins with what the parameters say, or with what was `kept` over a restart; publishes it.
    pub fn new(
        parameters: &GuardParameters,
        kept: Option<&AdmissionMemory>,
        shared: &GuardShared,
        now: Instant,
    ) -> Self {
        let admission = AdmissionControl::new(&parameters.admission, kept, now);
        admission.begin(kept, &shared.admission);
        Self { admission }
    }

    /// Takes over other parameters; what was learnt stays.
    pub fn set_parameters(&mut self, parameters: &GuardParameters, shared: &GuardShared) {
        self.admission
            .set_parameters(&parameters.admission, &shared.admission);
    }

    /// Each 10 ms. After a change, threads with waiting calls are to be woken.
    pub fn tick(&mut self, now: Instant, shared: &GuardShared) -> Option<LimitChange> {
        self.admission.tick(now, &shared.admission)
    }

    /// Why the limit is what it is.
    pub fn limit_reason(&self) -> LimitReason {
        self.admission.reason()
    }

    /// Whether the latency objective is assumed.
    pub fn assumes_objective(&self) -> bool {
        self.admission.assumes_objective()
    }

    /// What is worth keeping over a restart.
    pub fn memory(&self, shared: &GuardShared) -> AdmissionMemory {
        self.admission.memory(&shared.admission)
    }
}
