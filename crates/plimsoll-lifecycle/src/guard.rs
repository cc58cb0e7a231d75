//! What stands before a service: the policies of the admission stage, in their order.
//!
//! One [`GuardShared`] per service for all threads, one [`Guard`] per service and thread, one
//! [`GuardControl`] per service on the control thread. Gateway and simulator hold the same.

mod counters;

pub use counters::{Counter, GuardCounters};

use std::sync::Arc;

use plimsoll_core::{Class, Instant, Mode};
use plimsoll_measure::{Cause, Origin, Outcome};
use plimsoll_policy::retry::{Question, WhyNot, decide, unbudgeted, would};
use plimsoll_policy::{
    AdmissionControl, AdmissionLocal, AdmissionMemory, AdmissionParameters, AdmissionShared,
    Admitted, Arriving, BulkheadKind, BulkheadParameters, BulkheadShared, Finished, LimitChange,
    LimitReason, QueueEvent, Refusal, RefusalReason, RetryControl, RetryDecision, RetryParameters,
    RetryRules, RetryShared, ThrottleControl, ThrottleParameters, ThrottleShared, Ticket,
};

use crate::Asked;

/// What a service's guard is set to.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardParameters {
    /// Limit and queue.
    pub admission: AdmissionParameters,
    /// How often, how soon and how many are tried again.
    pub retry: RetryParameters,
    /// Failures that are tried again.
    pub retried: RetryRules,
    /// Failures of which it is only counted that they would be.
    pub retry_observed: RetryRules,
    /// Whether a share of the calls is thrown while the service refuses or fails many.
    pub throttle: Mode,
    /// Bounds on what the service can hold.
    pub bulkhead: BulkheadParameters,
}

impl Default for GuardParameters {
    fn default() -> Self {
        Self {
            admission: AdmissionParameters::default(),
            retry: RetryParameters::default(),
            retried: RetryRules::default(),
            retry_observed: RetryRules::from_iter([]),
            throttle: Mode::Off,
            bulkhead: BulkheadParameters::default(),
        }
    }
}

/// What all threads share of one service's guard.
#[derive(Debug)]
pub struct GuardShared {
    /// Limit and queues.
    pub admission: Arc<AdmissionShared>,
    /// The budget of retries.
    pub retry: RetryShared,
    /// How much is thrown.
    pub throttle: ThrottleShared,
    /// What the service holds.
    pub bulkhead: BulkheadShared,
    /// What the policies did, and what they would have done.
    pub counters: GuardCounters,
}

impl GuardShared {
    /// For `threads` data-plane threads.
    pub fn new(threads: usize, parameters: &GuardParameters) -> Self {
        Self {
            admission: Arc::new(AdmissionShared::new(threads, &parameters.admission)),
            retry: RetryShared::new(parameters.retry.grant()),
            throttle: ThrottleShared::new(threads),
            bulkhead: BulkheadShared::new(parameters.bulkhead),
            counters: GuardCounters::default(),
        }
    }
}

/// One thread's half.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<GuardShared>,
    thread: usize,
    parameters: Arc<GuardParameters>,
    admission: AdmissionLocal,
}

impl Guard {
    /// The half of `thread`.
    pub fn new(shared: Arc<GuardShared>, thread: usize, parameters: &Arc<GuardParameters>) -> Self {
        Self {
            admission: AdmissionLocal::new(
                Arc::clone(&shared.admission),
                thread,
                &parameters.admission,
            ),
            shared,
            thread,
            parameters: Arc::clone(parameters),
        }
    }

    /// Takes over other parameters, as after a reload; who waits goes on waiting.
    pub fn set_parameters(&mut self, parameters: &Arc<GuardParameters>) {
        self.admission.set_parameters(&parameters.admission);
        self.parameters = Arc::clone(parameters);
    }

    /// What all threads share.
    pub fn shared(&self) -> &Arc<GuardShared> {
        &self.shared
    }

    /// A call asks for a permit: throttle first, then the bulkhead, then limit and queue. `random` is uniform.
    pub fn ask(
        &mut self,
        now: Instant,
        request: &Arriving,
        random: u64,
        events: &mut Vec<QueueEvent>,
    ) -> (Asked, Option<Refusal>) {
        let counters = &self.shared.counters;
        if self.parameters.throttle != Mode::Off
            && !self.shared.throttle.admits(request.class, random)
        {
            if self.parameters.throttle == Mode::Enforce {
                self.shared
                    .throttle
                    .on_throttled(self.thread, request.class);
                return (Asked::Refuse(Cause::Throttled), None);
            }
            counters.add(Counter::WouldThrottle);
        }
        let pending_max = self.shared.bulkhead.max(BulkheadKind::Pending);
        if pending_max.is_some_and(|max| self.shared.admission.queued() >= max) {
            counters.add(Counter::PendingFull);
            return (Asked::Refuse(Cause::Bulkhead), None);
        }
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

    /// The first attempt of a call begins: it earns its share of the retry budget.
    pub fn on_first_attempt(&self) {
        self.shared.retry.on_request();
    }

    /// Whether an attempt that failed is tried again. `random` is uniform.
    pub fn retry(&self, question: &Question, random: u64) -> RetryDecision {
        let counters = &self.shared.counters;
        let (parameters, shared) = (&self.parameters, &self.shared.retry);
        let decision = if question.failure == plimsoll_policy::retry::Failure::Connect {
            // Nothing was sent: another endpoint gets what it would have got, and the budget is for what services
            // are sent twice.
            unbudgeted(question, &parameters.retried, &parameters.retry, random)
        } else {
            decide(
                question,
                &parameters.retried,
                &parameters.retry,
                shared,
                random,
            )
        };
        match decision {
            RetryDecision::Retry { .. } => counters.add(Counter::Retry),
            RetryDecision::GiveUp(WhyNot::NotConfigured) => {
                let would = would(
                    question,
                    &parameters.retry_observed,
                    &parameters.retry,
                    shared,
                    random,
                );
                if let RetryDecision::Retry { .. } = would {
                    counters.add(Counter::WouldRetry);
                }
            }
            RetryDecision::GiveUp(WhyNot::Budget) => counters.add(Counter::RetryOverBudget),
            RetryDecision::GiveUp(_) => (),
        }
        decision
    }

    /// A call ended: what it says about the service as a whole.
    pub fn on_settled(&self, class: Class, cause: Cause) {
        if self.parameters.throttle != Mode::Off && cause.origin() == Origin::Service {
            let accepted = cause.outcome() == Outcome::Good;
            self.shared.throttle.on_answer(self.thread, class, accepted);
        }
    }

    /// Whether a response may go on as a stream.
    pub fn may_stream(&self) -> bool {
        let may = self.shared.bulkhead.try_enter(BulkheadKind::Streams);
        if !may {
            self.shared.counters.add(Counter::StreamsFull);
        }
        may
    }

    /// A stream ended.
    pub fn on_stream_ended(&self) {
        self.shared.bulkhead.leave(BulkheadKind::Streams);
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
    retry: RetryControl,
    throttle: ThrottleControl,
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
        Self {
            admission,
            retry: RetryControl::new(parameters.retry.grant(), now, &shared.retry),
            throttle: ThrottleControl::new(ThrottleParameters::default(), now, &shared.throttle),
        }
    }

    /// Takes over other parameters; what was learnt stays.
    pub fn set_parameters(&mut self, parameters: &GuardParameters, shared: &GuardShared) {
        self.admission
            .set_parameters(&parameters.admission, &shared.admission);
        self.retry.set_grant(parameters.retry.grant());
        shared.bulkhead.set_parameters(parameters.bulkhead);
    }

    /// Each 10 ms. After a change, threads with waiting calls are to be woken.
    pub fn tick(&mut self, now: Instant, shared: &GuardShared) -> Option<LimitChange> {
        self.retry.tick(now, &shared.retry);
        self.throttle.tick(now, &shared.throttle);
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
