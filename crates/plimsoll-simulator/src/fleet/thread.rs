//! One data-plane thread of a gateway: its halves of the policies, and what a call does to the world.
//!
//! The counterpart of `plimsoll-gateway`, `thread.rs` and `admission.rs`. What a policy says of other calls of the
//! thread is kept until the simulation has an ear for it ([`Thread::take_events`]).

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{EndpointId, Instant, RouteId, ServiceId, never};
use plimsoll_lifecycle::{
    Asked, AttemptEnd, Counter, Effects, Guard, GuardParameters, GuardShared, Identity, Protocol,
    Routed, Settlement, report_attempt_end,
};
use plimsoll_measure::{Cause, REFUSALS};
use plimsoll_policy::retry::{Question, WhyNot};
use plimsoll_policy::{
    Arriving, Balancer, EndpointShared, Finished, HedgeQuestion, QueueEvent, RetryDecision, Ticket,
};

use crate::agenda::{NEVER, Nanos};
use crate::fleet::gateway::Counts;
use crate::fleet::ledger::Ledger;
use crate::fleet::memory::Shared;
use crate::fleet::views::Views;
use crate::random::Stream;
use crate::waiting::Waiting;

/// A thread.
#[derive(Debug)]
pub(super) struct Thread {
    clock: Rc<Cell<Nanos>>,
    ledger: Rc<RefCell<Ledger>>,
    /// Among all threads of all gateways.
    pub(super) index: u32,
    /// The index of its gateway's first thread.
    pub(super) first: u32,
    random: RefCell<Stream>,
    services: Vec<ThreadService>,
    /// Where it counts for its gateway's governor, if there is one.
    counts: OnceCell<Counts>,
    /// Where it says what became of each request, if anybody wants to hear it.
    settled: OnceCell<Settled>,
    /// Where it counts for what its process remembers, if that is wanted.
    memory: OnceCell<Shared>,
}

/// What became of requests, and nobody has heard yet.
pub(super) type Settled = Rc<RefCell<Vec<Settlement>>>;

/// A thread's halves of one service's policies.
#[derive(Debug)]
pub(super) struct ThreadService {
    guard: RefCell<Guard>,
    balancer: RefCell<Balancer>,
    endpoints: Rc<Views>,
    objective: Duration,
    /// What the policy said, and nobody has heard yet.
    events: RefCell<Vec<QueueEvent>>,
    waiting: RefCell<Waiting>,
    /// When expiry is looked at next.
    expiry: Cell<Nanos>,
}

impl ThreadService {
    pub(super) fn new(
        shared: &Arc<GuardShared>,
        thread: usize,
        parameters: &Arc<GuardParameters>,
        balancer: Balancer,
        endpoints: &Rc<Views>,
        objective: Duration,
    ) -> Self {
        Self {
            guard: RefCell::new(Guard::new(Arc::clone(shared), thread, parameters)),
            balancer: RefCell::new(balancer),
            endpoints: Rc::clone(endpoints),
            objective,
            events: RefCell::default(),
            waiting: RefCell::default(),
            expiry: Cell::new(NEVER),
        }
    }
}

impl Thread {
    pub(super) fn new(
        clock: &Rc<Cell<Nanos>>,
        ledger: &Rc<RefCell<Ledger>>,
        index: u32,
        first: u32,
        random: Stream,
        services: Vec<ThreadService>,
    ) -> Self {
        Self {
            clock: Rc::clone(clock),
            ledger: Rc::clone(ledger),
            index,
            first,
            random: RefCell::new(random),
            services,
            counts: OnceCell::new(),
            settled: OnceCell::new(),
            memory: OnceCell::new(),
        }
    }

    /// From now on it counts for what its process remembers.
    pub(super) fn remember(&self, memory: Shared) {
        never!(self.memory.set(memory).is_err());
    }

    /// From now on it counts for a governor.
    pub(super) fn count(&self, counts: Counts) {
        never!(self.counts.set(counts).is_err());
    }

    /// From now on it says what becomes of each request.
    pub(super) fn tell(&self, settled: Settled) {
        never!(self.settled.set(settled).is_err());
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.get())
    }

    /// What all threads share of what stands before a service.
    pub(super) fn shared(&self, id: ServiceId) -> Option<Arc<GuardShared>> {
        let guard = self.service(id)?.guard.borrow();
        Some(Arc::clone(guard.shared()))
    }

    fn service(&self, id: ServiceId) -> Option<&ThreadService> {
        self.services.get(id.index())
    }

    /// A request waits.
    pub(super) fn wait(&self, service: ServiceId, ticket: Ticket, place: u32) {
        if let Some(service) = self.service(service) {
            service.waiting.borrow_mut().insert(ticket, place);
        }
    }

    /// The request that waited with this ticket, and no longer does.
    pub(super) fn take_waiting(&self, service: ServiceId, ticket: Ticket) -> Option<u32> {
        let service = self.service(service)?;
        service.waiting.borrow_mut().remove(&ticket)
    }

    /// Moves what the policy of a service has said into `events`, which is empty.
    pub(super) fn take_events(&self, service: ServiceId, events: &mut Vec<QueueEvent>) {
        if let Some(service) = self.service(service) {
            std::mem::swap(&mut *service.events.borrow_mut(), events);
        }
    }

    /// Where the next attempt goes.
    pub(super) fn choose(&self, service: ServiceId, tried: &[EndpointId]) -> Option<EndpointId> {
        let service = self.service(service)?;
        let mut balancer = service.balancer.borrow_mut();
        let endpoints = &service.endpoints;
        let choice = balancer.choose_knowing(
            self.now(),
            endpoints.all(),
            None,
            tried,
            endpoints.half_open(),
        )?;
        Some(choice.endpoint)
    }

    /// What a gateway knows of an endpoint at which an attempt is in flight.
    pub(super) fn endpoint(&self, service: ServiceId, id: EndpointId) -> Option<&EndpointShared> {
        self.service(service)?.endpoints.get(id.index())
    }

    /// Gives free permits to who goes next.
    pub(super) fn dispatch(&self, id: ServiceId) {
        self.guard(id, |guard, events| guard.dispatch(self.now(), events));
    }

    /// Drops what has waited too long.
    pub(super) fn expire(&self, id: ServiceId) {
        if let Some(service) = self.service(id) {
            service.expiry.set(NEVER);
        }
        self.guard(id, |guard, events| guard.expire(self.now(), events));
    }

    /// When expiry is to be looked at, if that is to be noted: not before `earliest`, since timers are coarse.
    pub(super) fn note_expiry(&self, id: ServiceId, earliest: Nanos) -> Option<Nanos> {
        let service = self.service(id)?;
        if service.expiry.get() != NEVER || service.waiting.borrow().is_empty() {
            return None;
        }
        let at = service.guard.borrow().next_expiry()?;
        let at = at.as_nanos().max(earliest);
        service.expiry.set(at);
        Some(at)
    }

    fn count_for_governor(&self, settlement: &Settlement) {
        let Some((counts, id)) = self.counts.get().zip(settlement.service) else {
            return;
        };
        if let Some(counting) = counts.borrow_mut().get_mut(id.index()) {
            counting.add(settlement.class, settlement.cause, settlement.latency());
        }
    }

    fn guard<R>(
        &self,
        service: ServiceId,
        ask: impl FnOnce(&mut Guard, &mut Vec<QueueEvent>) -> R,
    ) -> Option<R> {
        let service = self.service(service)?;
        let mut guard = service.guard.borrow_mut();
        Some(ask(&mut guard, &mut service.events.borrow_mut()))
    }
}

/// Applies what a call does.
#[derive(Debug)]
pub(super) struct ThreadEffects {
    pub(super) thread: Rc<Thread>,
    /// Where the call is counted.
    cell: u32,
    /// Whether the request would change something.
    writes: bool,
    /// Of the attempt in flight: what comes of one from before a change says nothing. Without hedges there is one
    /// at most.
    generation: Cell<u32>,
}

impl ThreadEffects {
    pub(super) fn new(thread: &Rc<Thread>, cell: u32, writes: bool) -> Self {
        Self {
            thread: Rc::clone(thread),
            cell,
            writes,
            generation: Cell::new(0),
        }
    }
}

impl Effects for ThreadEffects {
    fn now(&self) -> Instant {
        self.thread.now()
    }

    fn ask(&self, service: ServiceId, request: &Arriving) -> Asked {
        let random = self.thread.random.borrow_mut().bits();
        let now = self.now();
        let asked = self.thread.guard(service, |guard, events| {
            guard.ask(now, request, random, events).0
        });
        asked.unwrap_or(Asked::Go)
    }

    fn leave_queue(&self, service: ServiceId, ticket: Ticket, _: &Finished) {
        let known = self.thread.take_waiting(service, ticket);
        let waited = self.thread.guard(service, |guard, _| guard.leave(ticket));
        // What a policy gives is heard at once, so that nothing was given in vain. While a simulation is dropped since
        // another assertion failed, nobody hears it.
        assert!(
            std::thread::panicking() || known.is_some() && waited == Some(true),
            "who leaves the queue was in it"
        );
    }

    fn return_permit(&self, service: ServiceId, finished: &Finished) {
        let now = self.now();
        self.thread
            .guard(service, |guard, events| guard.finish(now, finished, events));
    }

    fn rest_permit(&self, service: ServiceId, group: u8, rests: bool) {
        let now = self.now();
        self.thread.guard(service, |guard, _| match rests {
            true => guard.rest(now, group),
            false => guard.resume(now, group),
        });
    }

    fn lend_permit(&self, service: ServiceId) {
        let now = self.now();
        self.thread
            .guard(service, |guard, events| guard.lend(now, events));
    }

    fn take_again(&self, service: ServiceId, group: u8) {
        let now = self.now();
        self.thread
            .guard(service, |guard, _| guard.take_again(now, group));
    }

    fn begin_attempts(&self, service: ServiceId) {
        self.thread
            .guard(service, |guard, _| guard.on_first_attempt());
    }

    fn retry(&self, service: ServiceId, question: &Question) -> RetryDecision {
        let random = self.thread.random.borrow_mut().bits();
        self.thread
            .guard(service, |guard, _| guard.retry(question, random))
            .unwrap_or(RetryDecision::GiveUp(WhyNot::NotConfigured))
    }

    fn hedge(&self, _: ServiceId, _: &HedgeQuestion, _: &Finished) -> bool {
        false
    }

    fn hedge_won(&self, _: ServiceId) {
        never!(true);
    }

    fn observe_first(&self, service: ServiceId, latency: Duration) {
        self.thread
            .guard(service, |guard, _| guard.observe_first(latency));
    }

    fn start_attempt(&self, service: ServiceId, id: EndpointId) {
        let service = self.thread.service(service);
        if let Some(generation) = service.and_then(|it| it.endpoints.begin(id.index())) {
            self.generation.set(generation);
        }
    }

    fn rest_attempt(&self, service: ServiceId, id: EndpointId, rests: bool) {
        if let Some(endpoint) = self.thread.endpoint(service, id) {
            endpoint.rest(rests);
        }
    }

    fn end_attempt(&self, id: ServiceId, endpoint: EndpointId, end: AttemptEnd) {
        let Some(service) = self.thread.service(id) else {
            return;
        };
        if let Some(shared) = service.endpoints.get(endpoint.index()) {
            shared.end();
            let mut balancer = service.balancer.borrow_mut();
            let generation = self.generation.get();
            report_attempt_end(self.now(), endpoint, shared, &mut balancer, generation, end);
        }
    }

    fn abandoned(&self) -> Cause {
        Cause::ClientGone
    }

    fn settle(&self, settlement: &Settlement) {
        let service = settlement.service.and_then(|id| self.thread.service(id));
        if let Some(service) = service {
            let guard = service.guard.borrow();
            guard.on_settled(settlement.class, settlement.cause);
            if self.writes && !REFUSALS.contains(&settlement.cause) {
                guard.shared().counters.add_write(settlement.class);
            }
            self.thread.count_for_governor(settlement);
            if let Some(settled) = self.thread.settled.get() {
                settled.borrow_mut().push(*settlement);
            }
            if let Some(memory) = self.thread.memory.get() {
                memory.borrow().settle(settlement);
            }
            let mut ledger = self.thread.ledger.borrow_mut();
            let now = self.thread.clock.get();
            ledger.settled(now, self.cell, settlement, service.objective);
        }
    }
}

/// What the life cycle asks of a request's protocol.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) route: RouteId,
    pub(super) service: ServiceId,
    pub(super) identity: Identity,
    /// Whether it would change something, and whether there is a stale answer for it.
    pub(super) writes: bool,
    pub(super) stale: bool,
    pub(super) guard: Option<Arc<GuardShared>>,
}

impl Protocol for Asking {
    fn degrade(&mut self, _: ServiceId) -> Option<Cause> {
        let guard = self.guard.as_ref()?;
        (self.writes && guard.steps.is_read_only()).then_some(Cause::ReadOnly)
    }

    fn trust(&mut self) -> bool {
        false
    }

    fn route(&mut self, _: bool) -> Routed {
        Routed::Service {
            route: self.route,
            service: self.service,
        }
    }

    fn identify(&mut self, _: RouteId, _: bool) -> Identity {
        self.identity
    }

    fn rate_limit(&mut self, _: RouteId, _: &Identity) -> Option<Cause> {
        None
    }

    fn cache(&mut self, _: RouteId) -> Option<Cause> {
        let guard = self.guard.as_ref().filter(|_| self.stale)?;
        if guard.steps.spares() {
            return Some(Cause::Stale);
        }
        guard.counters.add(Counter::WouldSpare);
        None
    }
}
