//! Waiting for a permit: who waits on this thread, and who is woken.
//!
//! What is decided is decided by `plimsoll_lifecycle::Guard`; here are wakers and timers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_core::{Class, Instant, never};
use plimsoll_lifecycle::{Asked, Guard, GuardParameters, GuardShared};
use plimsoll_measure::Cause;
use plimsoll_policy::retry::Question;
use plimsoll_policy::{
    Arriving, Finished, HedgeQuestion, QueueEvent, Refusal, RetryDecision, Ticket,
};

use crate::thread::Thread;

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Go,
    Refused(Refusal),
}

/// A request that waits.
#[derive(Debug, Default)]
struct Waiter {
    ended: Cell<Option<Ended>>,
    waker: RefCell<Option<Waker>>,
}

/// One thread's guard of a service, with those who wait at it.
#[derive(Debug)]
pub(crate) struct ThreadGuard {
    pub(crate) shared: Arc<GuardShared>,
    guard: RefCell<Guard>,
    waiters: RefCell<HashMap<Ticket, Waiter>>,
    events: RefCell<Vec<QueueEvent>>,
    /// Of the last refusal, for the answer that follows at once.
    refusal: Cell<Option<Refusal>>,
}

impl ThreadGuard {
    pub(crate) fn new(
        shared: &Arc<GuardShared>,
        thread: usize,
        parameters: &Arc<GuardParameters>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            guard: RefCell::new(Guard::new(Arc::clone(shared), thread, parameters)),
            waiters: RefCell::default(),
            events: RefCell::default(),
            refusal: Cell::new(None),
        }
    }

    pub(crate) fn set_parameters(&self, parameters: &Arc<GuardParameters>) {
        self.guard.borrow_mut().set_parameters(parameters);
    }

    /// A request asks for a permit.
    pub(crate) fn ask(&self, thread: &Thread, now: Instant, request: &Arriving) -> Asked {
        let mut events = self.events.take();
        let random = thread.random();
        let (asked, refusal) = self
            .guard
            .borrow_mut()
            .ask(now, request, random, &mut events);
        self.refusal.set(refusal);
        if let Asked::Wait(ticket) = asked {
            self.waiters.borrow_mut().insert(ticket, Waiter::default());
        }
        self.apply(thread, events);
        asked
    }

    /// The refusal that [`ThreadGuard::ask`] spoke of.
    pub(crate) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Ready once waiting has ended.
    pub(crate) fn poll_ended(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut waiters = self.waiters.borrow_mut();
        let Some(waiter) = waiters.get(&ticket) else {
            never!(!waiters.contains_key(&ticket));
            return Poll::Ready(Ended::Go);
        };
        if let Some(ended) = waiter.ended.get() {
            waiters.remove(&ticket);
            return Poll::Ready(ended);
        }
        let mut waker = waiter.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether a request waits here.
    pub(crate) fn has_waiters(&self) -> bool {
        !self.waiters.borrow().is_empty()
    }

    /// A request that waited goes. A permit that it was just given goes back.
    pub(crate) fn leave(&self, thread: &Thread, ticket: Ticket, unused: &Finished) {
        let waiter = self.waiters.borrow_mut().remove(&ticket);
        let waited = self.guard.borrow_mut().leave(ticket);
        let granted = waiter.is_some_and(|waiter| waiter.ended.get() == Some(Ended::Go));
        if !waited && granted {
            self.finish(thread, unused);
        }
    }

    /// A permit comes back.
    pub(crate) fn finish(&self, thread: &Thread, finished: &Finished) {
        let now = thread.clock.now();
        let mut events = self.events.take();
        self.guard.borrow_mut().finish(now, finished, &mut events);
        self.apply(thread, events);
    }

    /// The time of a permit that is held is the client's from now on, or the service's again.
    pub(crate) fn rest(&self, thread: &Thread, group: u8, rests: bool) {
        let now = thread.clock.now();
        let mut guard = self.guard.borrow_mut();
        match rests {
            true => guard.rest(now, group),
            false => guard.resume(now, group),
        }
    }

    /// A permit goes to others, though its call goes on.
    pub(crate) fn lend(&self, thread: &Thread) {
        let now = thread.clock.now();
        let mut events = self.events.take();
        self.guard.borrow_mut().lend(now, &mut events);
        self.apply(thread, events);
    }

    /// A call whose permit was lent has one again, whatever the limit.
    pub(crate) fn take_again(&self, thread: &Thread, group: u8) {
        let now = thread.clock.now();
        self.guard.borrow_mut().take_again(now, group);
    }

    /// Whether an attempt that failed is made again.
    pub(crate) fn retry(&self, question: &Question, random: u64) -> RetryDecision {
        self.guard.borrow().retry(question, random)
    }

    /// A call's first attempt begins.
    pub(crate) fn on_first_attempt(&self) {
        self.guard.borrow().on_first_attempt();
    }

    /// Whether hedging is asked for, if only to be observed.
    pub(crate) fn hedges(&self) -> bool {
        self.guard.borrow().hedges()
    }

    /// How long a first attempt may take before a second one is made.
    pub(crate) fn hedge_delay(&self) -> Option<Duration> {
        self.guard.borrow().hedge_delay()
    }

    /// Whether a second attempt is made beside the first.
    pub(crate) fn hedge(
        &self,
        thread: &Thread,
        question: &HedgeQuestion,
        unused: &Finished,
    ) -> bool {
        let now = thread.clock.now();
        let mut events = self.events.take();
        let hedged = self
            .guard
            .borrow_mut()
            .hedge(now, question, unused, &mut events);
        self.apply(thread, events);
        hedged
    }

    /// The answer of a second attempt is the one that is passed on.
    pub(crate) fn on_hedge_won(&self) {
        self.guard.borrow().on_hedge_won();
    }

    /// A first attempt took this long.
    pub(crate) fn observe_first(&self, latency: Duration) {
        self.guard.borrow().observe_first(latency);
    }

    /// A call ended.
    pub(crate) fn on_settled(&self, class: Class, cause: Cause) {
        self.guard.borrow().on_settled(class, cause);
    }

    /// Gives free permits to who goes next.
    pub(crate) fn dispatch(&self, thread: &Thread) {
        // Also if nobody waits here any more: the wake-up is then for the next thread.
        let mut events = self.events.take();
        self.guard
            .borrow_mut()
            .dispatch(thread.clock.now(), &mut events);
        self.apply(thread, events);
    }

    /// Drops what has waited too long.
    pub(crate) fn expire(&self, thread: &Thread, now: Instant) {
        let mut events = self.events.take();
        self.guard.borrow_mut().expire(now, &mut events);
        self.apply(thread, events);
    }

    /// When [`ThreadGuard::expire`] may have something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.guard.borrow().next_expiry()
    }

    fn apply(&self, thread: &Thread, mut events: Vec<QueueEvent>) {
        for event in events.drain(..) {
            match event {
                QueueEvent::Go(ticket) => self.end(ticket, Ended::Go),
                QueueEvent::Refused(ticket, refusal) => self.end(ticket, Ended::Refused(refusal)),
                QueueEvent::Wake(other) => thread.shared.wake(other),
            }
        }
        self.events.replace(events);
    }

    fn end(&self, ticket: Ticket, ended: Ended) {
        let waiters = self.waiters.borrow();
        let Some(waiter) = waiters.get(&ticket) else {
            never!(!waiters.contains_key(&ticket));
            return;
        };
        waiter.ended.set(Some(ended));
        if let Some(waker) = waiter.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Gives permits that other threads freed to those who wait here, and closes idle connections for those who find no
/// place for theirs. Runs for as long as the thread.
pub(crate) async fn dispatch_when_woken(thread: Rc<Thread>) {
    let shared = Arc::clone(&thread.shared);
    loop {
        shared.woken(thread.index).await;
        thread.pools.make_room();
        let plan = thread.plan();
        for guard in plan.all_guards() {
            guard.dispatch(&thread);
        }
    }
}

/// Measures how late this thread's timers are. Runs for as long as the thread.
pub(crate) async fn watch_lag(thread: Rc<Thread>) {
    const EVERY: Duration = Duration::from_millis(100);
    loop {
        let due = thread.clock.now() + EVERY;
        tokio::time::sleep(EVERY).await;
        // The runtime's timers are right to the millisecond.
        thread
            .shared
            .set_lag(thread.index, thread.clock.now() - due);
    }
}
