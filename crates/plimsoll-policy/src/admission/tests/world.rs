//! A model of a service's admission beside the real one: it counts by itself, and compares after each step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Instant};

use super::super::{
    AdmissionControl, AdmissionLocal, AdmissionParameters, AdmissionShared, Admitted, Arriving,
    Completion, Finished, GROUPS, LimiterKind, QueueEvent, Refusal, Ticket,
};

/// A request that waits, as the model knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) thread: usize,
    pub(super) ticket: Ticket,
    pub(super) request: Arriving,
    pub(super) since: Instant,
    /// In the order of arrival over all threads.
    pub(super) order: u64,
}

/// A request that has a permit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) thread: usize,
    pub(super) request: Arriving,
    pub(super) since: Instant,
    /// The service waits for its client.
    pub(super) rests: bool,
}

/// How a request ended its wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Went,
    Refused(Refusal),
}

/// N halves, a control half, and what the shell does between them.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) shared: Arc<AdmissionShared>,
    pub(super) locals: Vec<AdmissionLocal>,
    pub(super) control: AdmissionControl,
    pub(super) parameters: AdmissionParameters,
    pub(super) waiting: Vec<Waits>,
    pub(super) running: Vec<Runs>,
    /// Those whose permits were lent.
    pub(super) lent: Vec<Runs>,
    /// Wake-ups that were asked for and not delivered.
    pub(super) wakes: VecDeque<usize>,
    /// What became of requests since this was last emptied.
    pub(super) fates: Vec<(Arriving, Fate)>,
    events: Vec<QueueEvent>,
    order: u64,
}

impl World {
    pub(super) fn new(threads: usize, parameters: AdmissionParameters) -> Self {
        let shared = Arc::new(AdmissionShared::new(threads, &parameters));
        let now = Instant::from_nanos(1_000_000_000);
        let control = AdmissionControl::new(&parameters, None, now);
        control.begin(None, &shared);
        let local = |thread| AdmissionLocal::new(Arc::clone(&shared), thread, &parameters);
        Self {
            now,
            locals: (0..threads).map(local).collect(),
            shared,
            control,
            parameters,
            waiting: Vec::new(),
            running: Vec::new(),
            lent: Vec::new(),
            wakes: VecDeque::new(),
            fates: Vec::new(),
            events: Vec::new(),
            order: 0,
        }
    }

    pub(super) fn arrive(&mut self, thread: usize, request: Arriving) -> Admitted {
        let waited = self.waiting.len();
        let admitted = self.locals[thread].arrive(self.now, &request, &mut self.events);
        self.order += 1;
        match admitted {
            Admitted::Go => {
                assert_eq!(waited, 0, "nobody passes those who wait");
                self.starts(thread, request);
            }
            Admitted::Wait(ticket) => self.waiting.push(Waits {
                thread,
                ticket,
                request,
                since: self.now,
                order: self.order,
            }),
            Admitted::Refuse(refusal) => self.fates.push((request, Fate::Refused(refusal))),
        }
        self.after(thread);
        admitted
    }

    /// One that runs is through.
    pub(super) fn finish(&mut self, index: usize, end: Completion) {
        if self.running[index].rests {
            self.resume(index);
        }
        let Runs {
            thread,
            request,
            since,
            ..
        } = self.running.remove(index);
        let finished = Finished {
            class: request.class,
            tenant: request.tenant,
            weight: request.weight,
            group: request.group,
            started: since,
            ended: self.now,
            head_after: Some(self.now - since),
            end,
        };
        self.locals[thread].finish(self.now, &finished, &mut self.events);
        self.after(thread);
    }

    /// The service waits for the client of one that runs, from now on or no longer.
    pub(super) fn rest(&mut self, index: usize) {
        let runs = &mut self.running[index];
        runs.rests = true;
        self.locals[runs.thread].rest(self.now, runs.request.group);
    }

    pub(super) fn resume(&mut self, index: usize) {
        let runs = &mut self.running[index];
        runs.rests = false;
        self.locals[runs.thread].resume(self.now, runs.request.group);
    }

    /// The permit of one that rests goes to others.
    pub(super) fn lend(&mut self, index: usize) {
        let lent = self.running.remove(index);
        self.lent.push(lent);
        self.locals[lent.thread].lend(self.now, &mut self.events);
        self.after(lent.thread);
    }

    /// The client of one whose permit was lent is through: it runs again, whatever the limit.
    pub(super) fn take_again(&mut self, index: usize) {
        let mut again = self.lent.remove(index);
        again.rests = false;
        self.locals[again.thread].take_again(self.now, again.request.group);
        self.running.push(again);
        self.after(again.thread);
    }

    /// One that waits goes by itself.
    pub(super) fn leave(&mut self, index: usize) {
        let gone = self.waiting.remove(index);
        let local = &mut self.locals[gone.thread];
        assert!(local.leave(gone.ticket), "it waited");
        assert!(!local.leave(gone.ticket), "it waited once");
        self.after(gone.thread);
    }

    /// A wake-up comes through; the others stay on their way.
    pub(super) fn deliver(&mut self, index: usize) {
        if let Some(thread) = self.wakes.remove(index) {
            self.dispatch(thread);
        }
    }

    pub(super) fn dispatch(&mut self, thread: usize) {
        self.locals[thread].dispatch(self.now, &mut self.events);
        self.after(thread);
    }

    pub(super) fn expire(&mut self, thread: usize) {
        self.locals[thread].expire(self.now, &mut self.events);
        self.after(thread);
    }

    /// The control thread's turn, with the wake-ups that a change asks for.
    pub(super) fn tick(&mut self) {
        let change = self.control.tick(self.now, &self.shared);
        if change.is_some() {
            self.wakes.extend(self.shared.threads_waiting());
        }
        self.after(0);
    }

    /// Another fixed limit is put in force, as by a reload.
    pub(super) fn set_limit(&mut self, limit: u32) {
        self.parameters.limiter = LimiterKind::Fixed(limit);
        self.control.set_parameters(&self.parameters, &self.shared);
        for local in &mut self.locals {
            local.set_parameters(&self.parameters);
        }
        self.wakes.extend(self.shared.threads_waiting());
        self.after(0);
    }

    /// Delivers wake-ups until none is on its way.
    pub(super) fn deliver_all(&mut self) {
        // Each wake-up gives at least one permit, or finds that another thread goes first.
        let enough = 10 + 4 * (self.waiting.len() + self.wakes.len()) * self.locals.len();
        for _ in 0..enough {
            if self.wakes.is_empty() {
                return;
            }
            self.deliver(0);
        }
        panic!("threads wake each other for ever: {:?}", self.wakes);
    }

    /// Lets time pass without a turn for anyone.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn starts(&mut self, thread: usize, request: Arriving) {
        self.running.push(Runs {
            thread,
            request,
            since: self.now,
            rests: false,
        });
        // The model's own count: each permit is checked at the moment it is taken.
        let limit = self.shared.limit().map_or(usize::MAX, |it| it as usize);
        assert!(self.running.len() <= limit, "more than {limit} in flight");
    }

    /// Follows the events of a call to `thread`'s half, then compares.
    fn after(&mut self, thread: usize) {
        for event in std::mem::take(&mut self.events) {
            match event {
                QueueEvent::Go(ticket) => {
                    let waited = self.end_wait(thread, ticket);
                    self.check_order(&waited);
                    self.fates.push((waited.request, Fate::Went));
                    self.starts(thread, waited.request);
                }
                QueueEvent::Refused(ticket, refusal) => {
                    let waited = self.end_wait(thread, ticket);
                    self.fates.push((waited.request, Fate::Refused(refusal)));
                }
                QueueEvent::Wake(other) => {
                    assert_ne!(other, thread, "a thread does not wake itself");
                    self.wakes.push_back(other);
                }
            }
        }
        self.compare();
    }

    /// A ticket ends once, and on its own thread.
    fn end_wait(&mut self, thread: usize, ticket: Ticket) -> Waits {
        let place = self
            .waiting
            .iter()
            .position(|it| it.thread == thread && it.ticket == ticket);
        self.waiting.remove(place.expect("it waits on this thread"))
    }

    /// Who goes first on a thread: the highest class, and within a tenant of it the oldest.
    fn check_order(&self, first: &Waits) {
        assert!(
            self.now < first.since + first.request.time_left,
            "it is too late for {first:?}"
        );
        for other in self.waiting.iter().filter(|it| it.thread == first.thread) {
            assert!(
                first.request.class.index() <= other.request.class.index(),
                "{first:?} passed {other:?}"
            );
            let same = (first.request.class, first.request.tenant)
                == (other.request.class, other.request.tenant);
            assert!(
                !same || first.order < other.order,
                "{first:?} passed {other:?} of its own tenant"
            );
        }
    }

    fn compare(&self) {
        let shared = &self.shared;
        assert_eq!(shared.in_flight() as usize, self.running.len());
        assert_eq!(shared.queued() as usize, self.waiting.len());
        for class in Class::ALL {
            let queued = self.waiting.iter().filter(|it| it.request.class == class);
            assert_eq!(shared.queued_of(class) as usize, queued.count());
        }
        for (thread, local) in self.locals.iter().enumerate() {
            let queued = self.waiting.iter().filter(|it| it.thread == thread).count();
            assert_eq!(local.queued(), queued);
            assert_eq!(local.next_expiry().is_some(), queued > 0);
            assert_eq!(shared.head(thread).is_some(), queued > 0);
        }
        let most = self.parameters.pending_max.unwrap_or(u32::MAX);
        let most = most.min(self.parameters.requests_max);
        assert!(self.waiting.len() <= most as usize);
        assert!(
            self.waiting.is_empty() || !shared.has_free() || !self.wakes.is_empty(),
            "a permit is free, one waits, and nobody is on the way to it"
        );
    }

    /// What must be so when nobody waits: nothing is left of those who did.
    pub(super) fn check_idle(&self) {
        assert!(self.waiting.is_empty() && self.running.is_empty());
        let busy = |at| {
            let groups = (0..GROUPS).map(|group| self.shared.read_group(group, at));
            groups.map(|it| it.in_flight_seconds).sum::<f64>()
        };
        let later = self.now + Duration::from_secs(100);
        assert!(busy(later) - busy(self.now) < 1e-6, "nothing is at work");
        for class in Class::ALL {
            assert_eq!(self.shared.queued_up_to(class), (0.0, 0.0));
            let alone = self.shared.places(class).weights_with(u64::MAX, 1.0);
            assert!(
                (alone - 1.0).abs() < 1e-6,
                "{} of weight waits though nobody does",
                alone - 1.0
            );
        }
    }
}
