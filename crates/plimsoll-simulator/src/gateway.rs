//! The gateway in the simulation: threads with their halves of the admission policy, and the control thread.
//!
//! The policy is the one of production. What the shells do there is done here: a request's ticket is kept while
//! it waits, a wake-up of another thread takes a moment, expiry is looked at when it is due, and the control
//! half is ticked. Units: nanoseconds.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Instant, Mode};
use plimsoll_policy::{
    AdmissionControl, AdmissionLocal, AdmissionParameters, AdmissionShared, Admitted, Arriving,
    Completion, Finished, LimitChange, LimiterKind, QueueEvent, QueueWait, Ticket,
};

use crate::agenda::{Agenda, Event, NEVER, Nanos};
use crate::arena::{Arena, Request, Stage};
use crate::scenario::Scenario;
use crate::waiting::Waiting;

/// How long it takes to wake another thread.
const WAKE: Nanos = 20_000;
/// Timers of the shells are this coarse.
const TIMER: Nanos = 1_000_000;

/// What decides in a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How the limit is found.
    pub limiter: LimiterKind,
    /// How long a request may wait.
    pub wait: QueueWait,
    /// Every so many-th permit is never given back: a negative control.
    pub leaks: Option<u32>,
}

impl Policy {
    /// What Plimsoll does, with waits as long as the objective allows.
    pub const ADAPTIVE: Self = Self::of(LimiterKind::Adaptive);

    /// With this limiter.
    pub const fn of(limiter: LimiterKind) -> Self {
        Self {
            limiter,
            wait: QueueWait::Objective,
            leaks: None,
        }
    }
}

/// What became of a request at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// It has its permit and goes to the service.
    Started(u32),
    /// It is refused.
    Refused(u32),
}

#[derive(Debug)]
struct Thread {
    local: AdmissionLocal,
    /// Looked up, never iterated over.
    waiting: Waiting,
    /// When its expiry is looked at next.
    expiry: Nanos,
}

/// The gateway in the simulation.
#[derive(Debug)]
pub(crate) struct Gateway {
    threads: Vec<Thread>,
    shared: Arc<AdmissionShared>,
    control: AdmissionControl,
    deadline: Duration,
    leaks: Option<u32>,
    finished: u32,
    /// Emptied by each use; kept for its room.
    events: Vec<QueueEvent>,
}

impl Gateway {
    pub(crate) fn new(scenario: &Scenario, policy: &Policy, threads: usize) -> Self {
        // What the gateway knows of. Clients that hang up before it do not say so in advance.
        let deadline = scenario.patience.max(2 * scenario.objective);
        let deadline = Duration::from_millis(u64::from(deadline));
        let parameters = AdmissionParameters {
            limiter: policy.limiter,
            limit_max: 1_000,
            start: scenario.start,
            mode: Mode::Enforce,
            objective: Some(Duration::from_millis(u64::from(scenario.objective))),
            deadline,
            wait: policy.wait,
            requests_max: 1_024,
            pending_max: None,
            groups: 0,
        };
        let shared = Arc::new(AdmissionShared::new(threads, &parameters));
        let control = AdmissionControl::new(&parameters, None, Instant::ORIGIN);
        control.begin(None, &shared);
        let thread = |index| Thread {
            local: AdmissionLocal::new(Arc::clone(&shared), index, &parameters),
            waiting: Waiting::default(),
            expiry: NEVER,
        };
        Self {
            threads: (0..threads).map(thread).collect(),
            shared: Arc::clone(&shared),
            control,
            deadline,
            leaks: policy.leaks,
            finished: 0,
            events: Vec::new(),
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.shared.limit().unwrap_or(u32::MAX)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.shared.in_flight()
    }

    pub(crate) fn queued(&self) -> u32 {
        self.shared.queued()
    }

    /// A request comes. `happenings` gets what becomes of it now, and of others because of it.
    pub(crate) fn arrive(
        &mut self,
        now: Nanos,
        id: u32,
        arena: &mut Arena,
        agenda: &mut Agenda,
        happenings: &mut Vec<Happening>,
    ) {
        let request = *arena.at(id);
        let index = usize::from(request.thread);
        let Some(thread) = self.threads.get_mut(index) else {
            return;
        };
        let arriving = Arriving {
            class: request.class,
            tenant: u64::from(request.tenant),
            weight: 1.0,
            group: request.group,
            time_left: self.deadline,
        };
        match thread
            .local
            .arrive(Instant::from_nanos(now), &arriving, &mut self.events)
        {
            Admitted::Go => happenings.push(Happening::Started(id)),
            Admitted::Refuse(_) => happenings.push(Happening::Refused(id)),
            Admitted::Wait(ticket) => {
                thread.waiting.insert(ticket, id);
                arena.at(id).stage = Stage::Waiting(ticket);
            }
        }
        self.after(now, index, agenda, happenings);
    }

    /// A request is answered, has failed, or is given up: its permit comes back.
    pub(crate) fn finish(
        &mut self,
        now: Nanos,
        request: &Request,
        end: Completion,
        agenda: &mut Agenda,
        happenings: &mut Vec<Happening>,
    ) {
        self.finished = self.finished.wrapping_add(1);
        if self
            .leaks
            .is_some_and(|every| self.finished.is_multiple_of(every))
        {
            return;
        }
        let index = usize::from(request.thread);
        let Some(thread) = self.threads.get_mut(index) else {
            return;
        };
        let finished = Finished {
            class: request.class,
            tenant: u64::from(request.tenant),
            weight: 1.0,
            group: request.group,
            started: Instant::from_nanos(request.started),
            ended: Instant::from_nanos(now),
            head_after: (end == Completion::Success)
                .then(|| Duration::from_nanos(now - request.started)),
            end,
        };
        thread
            .local
            .finish(Instant::from_nanos(now), &finished, &mut self.events);
        self.after(now, index, agenda, happenings);
    }

    /// A client goes while its request waits.
    pub(crate) fn leave(&mut self, request: &Request, ticket: Ticket) {
        if let Some(thread) = self.threads.get_mut(usize::from(request.thread)) {
            let waited = thread.local.leave(ticket);
            assert!(waited, "a request that waits has its place in the queue");
            thread.waiting.remove(&ticket);
        }
    }

    /// A thread was woken.
    pub(crate) fn woken(
        &mut self,
        now: Nanos,
        index: usize,
        agenda: &mut Agenda,
        happenings: &mut Vec<Happening>,
    ) {
        if let Some(thread) = self.threads.get_mut(index) {
            thread
                .local
                .dispatch(Instant::from_nanos(now), &mut self.events);
            self.after(now, index, agenda, happenings);
        }
    }

    /// A thread's timer.
    pub(crate) fn expire(
        &mut self,
        now: Nanos,
        index: usize,
        agenda: &mut Agenda,
        happenings: &mut Vec<Happening>,
    ) {
        if let Some(thread) = self.threads.get_mut(index) {
            thread.expiry = NEVER;
            thread
                .local
                .expire(Instant::from_nanos(now), &mut self.events);
            self.after(now, index, agenda, happenings);
        }
    }

    /// The control thread's turn.
    pub(crate) fn tick(&mut self, now: Nanos, agenda: &mut Agenda) -> Option<LimitChange> {
        let change = self.control.tick(Instant::from_nanos(now), &self.shared)?;
        for thread in self.shared.threads_waiting() {
            agenda.note(now + WAKE, Event::Wake(thread as u32));
        }
        Some(change)
    }

    /// Does what the policy asks for after a call to a thread's half.
    fn after(
        &mut self,
        now: Nanos,
        index: usize,
        agenda: &mut Agenda,
        happenings: &mut Vec<Happening>,
    ) {
        let Some(thread) = self.threads.get_mut(index) else {
            return;
        };
        for event in self.events.drain(..) {
            let (ticket, happening): (_, fn(u32) -> Happening) = match event {
                QueueEvent::Go(ticket) => (ticket, Happening::Started),
                QueueEvent::Refused(ticket, _) => (ticket, Happening::Refused),
                QueueEvent::Wake(other) => {
                    agenda.note(now + WAKE, Event::Wake(other as u32));
                    continue;
                }
            };
            let id = thread.waiting.remove(&ticket);
            assert!(id.is_some(), "{ticket:?} is one of this thread's");
            happenings.extend(id.map(happening));
        }
        if thread.expiry == NEVER
            && !thread.waiting.is_empty()
            && let Some(at) = thread.local.next_expiry()
        {
            thread.expiry = at.as_nanos().max(now + TIMER);
            agenda.note(thread.expiry, Event::Expire(index as u32));
        }
    }
}
