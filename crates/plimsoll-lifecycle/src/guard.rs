//! What stands before a service: the policies of the admission stage, in their order.
//!
//! One [`GuardShared`] per service for all threads, one [`Guard`] per service and thread, one
//! [`GuardControl`] per service on the control thread. Gateway and simulator hold the same.

mod counters;
#[cfg(test)]
mod permit_tests;
mod steps;

pub use counters::{Counter, GuardCounters};
pub use steps::{SHED_STEPS, Steps};

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Instant, Mode};
use plimsoll_measure::{Cause, Origin, Outcome};
use plimsoll_policy::retry::{Failure, Question, WhyNot, decide, unbudgeted};
use plimsoll_policy::{
    AdmissionControl, AdmissionLocal, AdmissionMemory, AdmissionParameters, AdmissionShared,
    Admitted, Arriving, BrownoutShared, BulkheadParameters, BulkheadShared, Finished, HedgeControl,
    HedgeParameters, HedgeQuestion, HedgeShared, LimitChange, LimitReason, QueueEvent, Refusal,
    RefusalReason, RetryControl, RetryDecision, RetryParameters, RetryRules, RetryShared,
    ThrottleControl, ThrottleParameters, ThrottleShared, Ticket,
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
    /// When a second attempt is made beside one that takes long, and how many.
    pub hedge: HedgeParameters,
    /// Whether that is done.
    pub hedge_mode: Mode,
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
            hedge: HedgeParameters::default(),
            hedge_mode: Mode::Off,
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
    /// The budget that retries would have of which it is only counted that they would be made.
    pub retry_observed: RetryShared,
    /// When a second attempt is made.
    pub hedge: HedgeShared,
    /// The budget of second attempts; that of retries is another.
    pub hedge_budget: RetryShared,
    /// How much is thrown.
    pub throttle: ThrottleShared,
    /// What the service holds.
    pub bulkhead: Arc<BulkheadShared>,
    /// What the governor has moved.
    pub steps: Steps,
    /// Which optional features are dimmed.
    pub brownout: BrownoutShared,
    /// What the policies did, and what they would have done.
    pub counters: GuardCounters,
}

impl GuardShared {
    /// For `threads` data-plane threads.
    pub fn new(threads: usize, parameters: &GuardParameters) -> Self {
        Self {
            admission: Arc::new(AdmissionShared::new(threads, &parameters.admission)),
            retry: RetryShared::new(parameters.retry.grant()),
            retry_observed: RetryShared::new(parameters.retry.grant()),
            hedge: HedgeShared::new(threads, &parameters.hedge),
            hedge_budget: RetryShared::new(parameters.hedge.grant()),
            throttle: ThrottleShared::new(threads),
            bulkhead: Arc::new(BulkheadShared::new(parameters.bulkhead)),
            steps: Steps::default(),
            brownout: BrownoutShared::new(),
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

    /// A call asks for a permit: the governor's shed level first, then throttle, then the bulkhead, then limit and queue. `random` is uniform.
    pub fn ask(
        &mut self,
        now: Instant,
        request: &Arriving,
        random: u64,
        events: &mut Vec<QueueEvent>,
    ) -> (Asked, Option<Refusal>) {
        let counters = &self.shared.counters;
        if self.shared.steps.sheds(request.class, random) {
            counters.add(Counter::Governed);
            return (Asked::Refuse(Cause::Shed), None);
        }
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
        match self.admission.arrive(now, request, events) {
            Admitted::Go => (Asked::Go, None),
            Admitted::Wait(ticket) => (Asked::Wait(ticket), None),
            Admitted::Refuse(refusal) => {
                if refusal.reason == RefusalReason::PendingFull {
                    counters.add(Counter::PendingFull);
                }
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

    /// The service waits for a call's client, which keeps its permit. See [`AdmissionLocal::rest`].
    pub fn rest(&mut self, now: Instant, group: u8) {
        self.admission.rest(now, group);
    }

    /// The service works on a call again that kept its permit.
    pub fn resume(&mut self, now: Instant, group: u8) {
        self.admission.resume(now, group);
    }

    /// The permit of a call that rests goes to others. See [`AdmissionLocal::lend`].
    pub fn lend(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        if self.admission.acts() {
            self.shared.counters.add(Counter::Lent);
        }
        self.admission.lend(now, events);
    }

    /// The service works on a call again whose permit was lent: it has one, whatever the limit.
    pub fn take_again(&mut self, now: Instant, group: u8) {
        self.admission.take_again(now, group);
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

    /// The first attempt of a call begins: it earns its share of the budgets of retries and of hedges.
    pub fn on_first_attempt(&self) {
        self.shared.retry.on_request();
        if !self.parameters.retry_observed.on.is_empty() {
            self.shared.retry_observed.on_request();
        }
        if self.parameters.hedge_mode != Mode::Off {
            self.shared.hedge_budget.on_request();
        }
    }

    /// How long a first attempt may take before a second one is made; `None` = none is, or it is not known yet.
    pub fn hedge_delay(&self) -> Option<Duration> {
        match self.parameters.hedge_mode {
            Mode::Off => None,
            Mode::Enforce | Mode::Observe => self.shared.hedge.delay(),
        }
    }

    /// Whether hedging is asked for, if only to be observed.
    pub fn hedges(&self) -> bool {
        self.parameters.hedge_mode != Mode::Off
    }

    /// Whether a second attempt is made beside the first: where it may be, if a permit is free and nobody waits for
    /// it, and the budget has a token left. The token comes last, since one that was taken is spent; a permit that
    /// was taken in vain goes back with `unused`.
    pub fn hedge(
        &mut self,
        now: Instant,
        question: &HedgeQuestion,
        unused: &Finished,
        events: &mut Vec<QueueEvent>,
    ) -> bool {
        let (hedge, budget) = (&self.shared.hedge, &self.shared.hedge_budget);
        // Looked at first, so that a service that is slow as a whole does not have permits taken and given back.
        let wanted = self.hedges() && self.shared.steps.hedges();
        if !wanted || hedge.would_hedge(question, budget).is_err() {
            return false;
        }
        if self.parameters.hedge_mode == Mode::Observe {
            // The budget is spent as it would be, so that what is counted is what would be done.
            if self.admission.has_second() && hedge.may_hedge(question, budget).is_ok() {
                self.shared.counters.add(Counter::WouldHedge);
            }
            return false;
        }
        if !self.admission.try_take_second(now, unused.group) {
            return false;
        }
        let may = hedge.may_hedge(question, budget).is_ok();
        if may {
            self.shared.counters.add(Counter::Hedge);
        } else {
            self.admission.finish(now, unused, events);
        }
        may
    }

    /// The answer of a second attempt is the one that is passed on.
    pub fn on_hedge_won(&self) {
        self.shared.counters.add(Counter::HedgeWon);
    }

    /// A first attempt of a call that may be hedged took this long.
    pub fn observe_first(&self, latency: Duration) {
        if self.hedges() {
            self.shared.hedge.observe(self.thread, latency);
        }
    }

    /// Whether an attempt that failed is tried again. `random` is uniform.
    pub fn retry(&self, question: &Question, random: u64) -> RetryDecision {
        let counters = &self.shared.counters;
        let parameters = &self.parameters;
        let by = |rules, budget| match question.failure {
            // Nothing was sent: another endpoint gets what it would have got, and the budget is for what services
            // are sent twice.
            Failure::Connect => unbudgeted(question, rules, &parameters.retry, random),
            _ => decide(question, rules, &parameters.retry, budget, random),
        };
        // What was not sent costs the service nothing: that is tried elsewhere whatever the governor says.
        let governed = !self.shared.steps.retries() && question.failure != Failure::Connect;
        let decision = if governed {
            match unbudgeted(question, &parameters.retried, &parameters.retry, random) {
                RetryDecision::Retry { .. } => RetryDecision::GiveUp(WhyNot::Governed),
                not => not,
            }
        } else {
            by(&parameters.retried, &self.shared.retry)
        };
        match decision {
            RetryDecision::Retry { .. } => counters.add(Counter::Retry),
            RetryDecision::GiveUp(WhyNot::NotConfigured) => {
                let would = by(&parameters.retry_observed, &self.shared.retry_observed);
                if let RetryDecision::Retry { .. } = would {
                    counters.add(Counter::WouldRetry);
                }
            }
            RetryDecision::GiveUp(WhyNot::Governed) => counters.add(Counter::RetryGoverned),
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
}

/// The cause of a call that is refused.
pub fn refusal_cause(reason: RefusalReason) -> Cause {
    match reason {
        RefusalReason::OverCapacity | RefusalReason::QueueFull => Cause::Shed,
        RefusalReason::PendingFull => Cause::Bulkhead,
        RefusalReason::QueueTimeout => Cause::QueueTimeout,
        RefusalReason::Deadline => Cause::Deadline,
    }
}

/// The control thread's half.
#[derive(Debug)]
pub struct GuardControl {
    admission: AdmissionControl,
    retry: RetryControl,
    retry_observed: RetryControl,
    hedge: HedgeControl,
    hedge_budget: RetryControl,
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
            retry_observed: RetryControl::new(
                parameters.retry.grant(),
                now,
                &shared.retry_observed,
            ),
            hedge: HedgeControl::new(parameters.hedge, now, &shared.hedge),
            hedge_budget: RetryControl::new(parameters.hedge.grant(), now, &shared.hedge_budget),
            throttle: ThrottleControl::new(ThrottleParameters::default(), now, &shared.throttle),
        }
    }

    /// Takes over other parameters; what was learnt stays.
    pub fn set_parameters(&mut self, parameters: &GuardParameters, shared: &GuardShared) {
        self.admission
            .set_parameters(&parameters.admission, &shared.admission);
        self.retry.set_grant(parameters.retry.grant());
        self.retry_observed.set_grant(parameters.retry.grant());
        self.hedge.set_parameters(parameters.hedge);
        self.hedge_budget.set_grant(parameters.hedge.grant());
        shared.bulkhead.set_parameters(parameters.bulkhead);
    }

    /// How many calls hang at endpoints that have fallen silent. See [`AdmissionControl::park`].
    pub fn park(&mut self, calls: u32) {
        self.admission.park(calls);
    }

    /// Each 10 ms. After a change, threads with waiting calls are to be woken.
    pub fn tick(&mut self, now: Instant, shared: &GuardShared) -> Option<LimitChange> {
        self.retry.tick(now, &shared.retry);
        self.retry_observed.tick(now, &shared.retry_observed);
        self.hedge.tick(now, &shared.hedge);
        self.hedge_budget.tick(now, &shared.hedge_budget);
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

#[cfg(test)]
mod tests {
    use plimsoll_core::Ratio;
    use plimsoll_policy::{Completion, HedgeAfter, LimiterKind};

    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn a_second_attempt_has_a_permit_of_its_own_and_spends_the_budget_of_hedges() {
        let (mut guard, mut events) = (guard(Mode::Enforce, 4, 0.5), Vec::new());
        let shared = Arc::clone(guard.shared());
        assert_eq!(guard.hedge_delay(), Some(Duration::from_millis(50)));
        assert_eq!(ask(&mut guard), Asked::Go);
        guard.on_first_attempt();
        assert!(!hedge(&mut guard), "half a token is none");
        assert_eq!(shared.admission.in_flight(), 1, "and takes no permit");
        guard.on_first_attempt();
        let retries = shared.retry.tokens();
        assert!(hedge(&mut guard));
        assert_eq!(shared.admission.in_flight(), 2);
        assert_eq!(shared.counters.get(Counter::Hedge), 1);
        assert_eq!(
            shared.retry.tokens(),
            retries,
            "which is not that of retries"
        );
        assert!(!hedge(&mut guard), "the token is spent");
        for _ in 0..2 {
            guard.finish(START, &unused(), &mut events);
        }
        assert_eq!(shared.admission.in_flight(), 0);
    }

    #[test]
    fn without_a_free_permit_there_is_no_second_attempt_and_no_token_is_spent() {
        let mut guard = guard(Mode::Enforce, 1, 1.0);
        guard.on_first_attempt();
        assert_eq!(ask(&mut guard), Asked::Go);
        assert!(!hedge(&mut guard));
        let shared = guard.shared();
        assert_eq!(shared.admission.in_flight(), 1);
        assert!(shared.hedge_budget.has_token());
        assert_eq!(shared.counters.get(Counter::Hedge), 0);
    }

    #[test]
    fn what_is_observed_is_counted_within_the_budget_and_takes_no_permit() {
        let mut guard = guard(Mode::Observe, 4, 1.0);
        assert_eq!(ask(&mut guard), Asked::Go);
        guard.on_first_attempt();
        assert!(!hedge(&mut guard) && !hedge(&mut guard));
        let shared = guard.shared();
        assert_eq!(shared.counters.get(Counter::WouldHedge), 1);
        assert_eq!(shared.counters.get(Counter::Hedge), 0);
        assert_eq!(shared.admission.in_flight(), 1);
    }

    #[test]
    fn off_means_off() {
        let mut guard = guard(Mode::Off, 4, 1.0);
        guard.on_first_attempt();
        assert_eq!(guard.hedge_delay(), None);
        assert!(!guard.hedges() && !hedge(&mut guard));
        assert!(!guard.shared().hedge_budget.has_token());
    }

    #[test]
    fn the_delay_is_learnt_from_first_attempts_and_follows_a_reload() {
        let mut parameters = parameters(Mode::Enforce, 4, 1.0);
        parameters.hedge.after = HedgeAfter::Quantile(Ratio::of(95, 100).unwrap());
        let shared = Arc::new(GuardShared::new(1, &parameters));
        let mut control = GuardControl::new(&parameters, None, &shared, START);
        let guard = Guard::new(Arc::clone(&shared), 0, &Arc::new(parameters.clone()));
        assert_eq!(guard.hedge_delay(), None, "nothing is known");
        for _ in 0..200 {
            guard.observe_first(Duration::from_millis(20));
        }
        let _ = control.tick(START + Duration::from_secs(1), &shared);
        let delay = guard.hedge_delay().unwrap();
        assert!((18..=24).contains(&delay.as_millis()), "{delay:?}");
        parameters.hedge.after = HedgeAfter::Time(Duration::from_millis(7));
        control.set_parameters(&parameters, &shared);
        let _ = control.tick(START + Duration::from_secs(2), &shared);
        assert_eq!(guard.hedge_delay(), Some(Duration::from_millis(7)));
    }

    fn guard(mode: Mode, limit: u32, budget: f64) -> Guard {
        let parameters = parameters(mode, limit, budget);
        let shared = Arc::new(GuardShared::new(1, &parameters));
        let _control = GuardControl::new(&parameters, None, &shared, START);
        Guard::new(shared, 0, &Arc::new(parameters))
    }

    fn parameters(mode: Mode, limit: u32, budget: f64) -> GuardParameters {
        GuardParameters {
            admission: AdmissionParameters {
                limiter: LimiterKind::Fixed(limit),
                ..AdmissionParameters::default()
            },
            hedge: HedgeParameters {
                after: HedgeAfter::Time(Duration::from_millis(50)),
                budget: Ratio::try_from(budget).unwrap(),
                ..HedgeParameters::default()
            },
            hedge_mode: mode,
            ..GuardParameters::default()
        }
    }

    fn ask(guard: &mut Guard) -> Asked {
        let arriving = Arriving {
            class: Class::default(),
            tenant: 0,
            weight: 1.0,
            group: 0,
            time_left: Duration::from_secs(1),
        };
        guard.ask(START, &arriving, 0, &mut Vec::new()).0
    }

    fn hedge(guard: &mut Guard) -> bool {
        let question = HedgeQuestion {
            idempotent: true,
            replayable: true,
            forbidden: false,
            attempts_in_flight: 1,
            time_left: Duration::from_secs(1),
        };
        guard.hedge(START, &question, &unused(), &mut Vec::new())
    }

    fn unused() -> Finished {
        Finished {
            class: Class::default(),
            tenant: 0,
            weight: 1.0,
            group: 0,
            started: START,
            ended: START,
            head_after: None,
            end: Completion::Cancelled,
        }
    }
}
