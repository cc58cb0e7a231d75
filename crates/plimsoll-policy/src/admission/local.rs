//! One thread's half: its queues, and the decisions on arrival, on return of a permit and with time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Instant, Mode, never};

use super::places::{COST, Place};
use super::shared::AdmissionShared;
use super::{
    AdmissionParameters, Admitted, Arriving, Completion, Finished, LimiterKind, QueueEvent,
    Refusal, RefusalReason,
};

/// The part of the budget that each class may use of it: who goes first waits longest rather than not at all.
const BUDGET_SHARE: [f64; Class::ALL.len()] = [1.0, 0.9, 0.7];
/// Another thread's head is preferred to an own one of the same class and share only if it is this much older:
/// waking a thread costs more than it is worth below.
const OLDER: Duration = Duration::from_millis(5);
/// A call is charged for at most this many mean calls.
const EXCESS_MAX: f32 = 100.0;
/// Answers per second from which the median is one of now.
const RATE_KNOWN: f64 = 1.0;
/// Empty queues that are kept for the next tenants.
const SPARE_MAX: usize = 64;

/// A request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    class: Class,
    tenant: u64,
    serial: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    serial: u64,
    group: u8,
    since: Instant,
    /// Its deadline.
    by: Instant,
}

/// The requests of one tenant that wait, the oldest first. Never empty.
#[derive(Debug)]
struct TenantQueue {
    tenant: u64,
    place: Place,
    weight: f32,
    waiting: VecDeque<Waiting>,
}

/// One thread's half of a service's admission. See the module's docs.
#[derive(Debug)]
pub struct AdmissionLocal {
    shared: Arc<AdmissionShared>,
    thread: usize,
    enforces: bool,
    limited: bool,
    requests_max: u32,
    pending_max: Option<u32>,
    classes: [Vec<TenantQueue>; Class::ALL.len()],
    spare: Vec<VecDeque<Waiting>>,
    serial: u64,
}

impl AdmissionLocal {
    /// The half of `thread`, whose number only the caller uses.
    pub fn new(
        shared: Arc<AdmissionShared>,
        thread: usize,
        parameters: &AdmissionParameters,
    ) -> Self {
        assert!(thread < shared.threads(), "each thread has a slot");
        Self {
            shared,
            thread,
            enforces: parameters.mode == Mode::Enforce,
            limited: parameters.limiter != LimiterKind::Off,
            requests_max: parameters.requests_max,
            pending_max: parameters.pending_max,
            classes: Default::default(),
            spare: Vec::new(),
            serial: 0,
        }
    }

    /// Takes over other parameters, as after a reload; who waits goes on waiting.
    pub fn set_parameters(&mut self, parameters: &AdmissionParameters) {
        self.enforces = parameters.mode == Mode::Enforce;
        self.limited = parameters.limiter != LimiterKind::Off;
        self.requests_max = parameters.requests_max;
        self.pending_max = parameters.pending_max;
    }

    /// What all threads share.
    pub fn shared(&self) -> &Arc<AdmissionShared> {
        &self.shared
    }

    /// A request asks for a permit. `events` gets what becomes of others that wait.
    pub fn arrive(
        &mut self,
        now: Instant,
        request: &Arriving,
        events: &mut Vec<QueueEvent>,
    ) -> Admitted {
        self.shared.count_arrival(self.thread, request.class);
        if !self.acts() {
            let _was_free = self.shared.take_anyway();
            if self.observes() {
                let rate = self.rate_left_to(request.class);
                let budget = self.shared.budget();
                self.shared.count_would_be(request.class, rate, budget);
            }
            self.shared.count_start(self.thread, request.group, now);
            return Admitted::Go;
        }
        if self.is_hopeless(request) {
            return refuse(RefusalReason::Deadline, 0.0);
        }
        if self.shared.waiting() == 0 && self.shared.try_take() {
            self.shared.count_start(self.thread, request.group, now);
            return Admitted::Go;
        }
        let wait = self.predicted_wait(request);
        let service = self.shared.quick_seconds(request.group);
        if wait + service > request.time_left.as_secs_f64() {
            return refuse(RefusalReason::Deadline, wait);
        }
        let budget = self.shared.budget();
        let share = self.budget_share(request.class);
        let full = !self.shared.try_reserve(self.places(request.class));
        if full || budget <= 0.0 || wait > budget * share {
            let reason = match full {
                true if self.pending_binds() => RefusalReason::PendingFull,
                true => RefusalReason::QueueFull,
                false => RefusalReason::OverCapacity,
            };
            let refusal = Refusal {
                reason,
                retry_after: seconds((wait - budget).max(0.0)),
            };
            let below = self.lowest_below(request.class).filter(|_| full);
            let class = below.unwrap_or(request.class);
            // Within a class nobody gives way to a tenant that is further over its share than itself.
            let places = self.shared.places(request.class);
            let own = over(places.waiting(request.tenant), request.weight);
            if full {
                // The place of the one that is dropped: held before that one leaves, so that no other thread
                // takes it between.
                self.shared.reserve_next();
            }
            let place = self.furthest_over(class).filter(|place| {
                let queue = self
                    .classes
                    .get(class.index())
                    .and_then(|it| it.get(*place));
                queue.is_some_and(|queue| {
                    class != request.class
                        || queue.tenant == request.tenant
                        || self.over(class, queue) > own
                })
            });
            let dropped = place.and_then(|place| self.drop_oldest(class, place));
            let Some(dropped) = dropped else {
                self.shared.give_reserved();
                return Admitted::Refuse(refusal);
            };
            events.push(QueueEvent::Refused(dropped, refusal));
        }
        let ticket = self.enqueue(now, request);
        self.evict_beyond_the_line(events);
        self.publish_head();
        self.dispatch(now, events);
        Admitted::Wait(ticket)
    }

    /// Whether a request that has a permit would get a second one, for an attempt beside its first.
    pub fn has_second(&self) -> bool {
        !self.acts() || (self.shared.waiting() == 0 && self.shared.has_free())
    }

    /// Whether it is only counted what would be refused.
    fn observes(&self) -> bool {
        !self.enforces && self.limited
    }

    /// Whether anything is refused or has to wait.
    pub fn acts(&self) -> bool {
        self.enforces && self.limited
    }

    /// Takes a second permit for a request that has one: only if one is free and nobody waits for it, since the
    /// attempt is one that need not be made. It counts and comes back like any other
    /// ([`AdmissionLocal::finish`]); it is no arrival, since nobody asked for more.
    #[must_use]
    pub fn try_take_second(&mut self, now: Instant, group: u8) -> bool {
        let taken = if self.acts() {
            self.shared.waiting() == 0 && self.shared.try_take()
        } else {
            let _was_free = self.shared.take_anyway();
            true
        };
        if taken {
            self.shared.count_start(self.thread, group, now);
        }
        taken
    }

    /// The service waits for a call's client from now on: the call keeps its permit, but its time is not the
    /// service's. [`AdmissionLocal::resume`] or [`AdmissionLocal::lend`] must follow before the call ends.
    pub fn rest(&mut self, now: Instant, group: u8) {
        self.shared.count_rest(self.thread, group, now);
    }

    /// The service works on a call again that kept its permit.
    pub fn resume(&mut self, now: Instant, group: u8) {
        self.shared.count_start(self.thread, group, now);
    }

    /// The permit of a call that rests goes to others. It is no end: nothing is learnt of it.
    pub fn lend(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        self.shared.put_back();
        if self.shared.waiting() > 0 {
            self.dispatch(now, events);
        }
    }

    /// The service works on a call again whose permit was lent: it has one at once, if need be over the limit, since
    /// what the service works on is in flight, whatever is allowed.
    pub fn take_again(&mut self, now: Instant, group: u8) {
        let _was_free = self.shared.take_anyway();
        self.shared.count_start(self.thread, group, now);
    }

    /// A request that waits goes by itself. Says whether it still waited.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let Some(queues) = self.classes.get_mut(ticket.class.index()) else {
            return false;
        };
        let Some(place) = queues
            .iter()
            .position(|queue| queue.tenant == ticket.tenant)
        else {
            return false;
        };
        let Some(queue) = queues.get_mut(place) else {
            return false;
        };
        let Some(index) = queue
            .waiting
            .iter()
            .position(|it| it.serial == ticket.serial)
        else {
            return false;
        };
        queue.waiting.remove(index);
        self.after_removal(ticket.class, place);
        self.publish_head();
        true
    }

    /// A permit comes back.
    pub fn finish(&mut self, now: Instant, finished: &Finished, events: &mut Vec<QueueEvent>) {
        let took = finished.ended - finished.started;
        let end = match finished.end {
            // A client that gave up after the objective had passed says what a timeout says.
            Completion::Cancelled if took > self.shared.objective() => Completion::TimedOut,
            end => end,
        };
        self.shared.count_end(self.thread, finished, now, took, end);
        if self.observes() {
            self.shared.count_would_end();
            if took > self.shared.objective() {
                self.shared.count_late(finished.class);
            }
        }
        let waiting = self.shared.waiting() > 0;
        if waiting {
            let mean = self.shared.published.mean.get();
            if mean > 0.0 {
                // For as long as it held its permit, however it ended: who hangs up pays as well.
                let held = now.since(finished.started).as_secs_f64();
                let excess = (held / mean - 1.0) as f32;
                self.shared.places(finished.class).charge(
                    finished.tenant,
                    finished.weight,
                    excess.min(EXCESS_MAX),
                );
            }
        }
        self.shared.put_back();
        if waiting || self.shared.waiting() > 0 {
            self.dispatch(now, events);
        }
    }

    /// Gives free permits to who goes next, here or on another thread. To be called when woken, too.
    pub fn dispatch(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        while self.shared.waiting() > 0 && self.shared.has_free() {
            let Some(next) = self.next_thread() else {
                return;
            };
            if next != self.thread {
                events.push(QueueEvent::Wake(next));
                return;
            }
            self.drop_too_old(now, events);
            let Some((class, place)) = self.next_queue() else {
                self.publish_head();
                continue;
            };
            if !self.shared.try_take() {
                break;
            }
            self.serve(now, class, place, events);
            self.publish_head();
        }
    }

    /// Drops what has waited too long.
    pub fn expire(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        self.drop_too_old(now, events);
        self.publish_head();
    }

    /// When [`AdmissionLocal::expire`] may have something to do.
    pub fn next_expiry(&self) -> Option<Instant> {
        let age_max = self.shared.age_max();
        let heads = self
            .classes
            .iter()
            .flatten()
            .filter_map(|queue| queue.waiting.front());
        heads.map(|head| (head.since + age_max).min(head.by)).min()
    }

    /// How many wait here.
    pub fn queued(&self) -> usize {
        self.classes
            .iter()
            .flatten()
            .map(|queue| queue.waiting.len())
            .sum()
    }

    /// Less is left of its deadline than nine of ten calls of its own group take: the service as a whole says
    /// nothing about a quick route of it. Without answers in the last moments nothing is known: a service that was
    /// slow once is not locked out for ever.
    fn is_hopeless(&self, request: &Arriving) -> bool {
        let left = request.time_left.as_secs_f64();
        let known = self.shared.published.rate.get() >= RATE_KNOWN;
        left <= 0.0 || (known && self.shared.quick_seconds(request.group) > left)
    }

    fn budget_share(&self, class: Class) -> f64 {
        if !self.shared.stands() {
            return 1.0;
        }
        BUDGET_SHARE.get(class.index()).copied().unwrap_or(1.0)
    }

    /// How many may wait before the queue is full for a class. What waits on other threads can't be dropped from
    /// here: the places between two classes' bounds are there for the higher one.
    fn places(&self, class: Class) -> u32 {
        let share = BUDGET_SHARE.get(class.index()).copied().unwrap_or(1.0);
        let places = (f64::from(self.requests_max) * share) as u32;
        let places = places.max(self.requests_max.min(1));
        places.min(self.pending_max.unwrap_or(u32::MAX))
    }

    /// Whether the bulkhead's bound is below the queue's own.
    fn pending_binds(&self) -> bool {
        self.pending_max.is_some_and(|it| it < self.requests_max)
    }

    /// The lowest class below this one of which a request waits here.
    fn lowest_below(&self, class: Class) -> Option<Class> {
        let below = Class::ALL.into_iter().skip(class.index() + 1);
        below.rev().find(|class| {
            self.classes
                .get(class.index())
                .is_some_and(|it| !it.is_empty())
        })
    }

    /// What strict priority leaves to a class, in requests per second; never zero.
    fn rate_left_to(&self, class: Class) -> f64 {
        let rate = self.shared.capacity();
        // A burst is over soon: what came in its last moments will not go on coming.
        if !self.shared.stands() {
            return rate.max(1e-3);
        }
        let before: f64 = self
            .shared
            .published
            .arrivals
            .iter()
            .take(class.index())
            .map(super::shared::AtomicF64::get)
            .sum();
        (rate - before).max(0.05 * rate).max(1e-3)
    }

    /// How long a request would wait, in seconds: for the classes before it, and for its tenant's share of the
    /// rate that is left to its class.
    fn predicted_wait(&self, request: &Arriving) -> f64 {
        let rate = self.rate_left_to(request.class);
        let (before, _) = self.shared.queued_up_to(request.class);
        let places = self.shared.places(request.class);
        let own = f64::from(places.waiting(request.tenant));
        let weights = places.weights_with(request.tenant, request.weight);
        let share = (f64::from(request.weight) / weights.max(1e-3)).min(1.0);
        before / rate + own / (rate * share)
    }

    /// Lets it wait, in the place that was reserved for it.
    fn enqueue(&mut self, now: Instant, request: &Arriving) -> Ticket {
        self.serial += 1;
        let waiting = Waiting {
            serial: self.serial,
            group: request.group,
            since: now,
            by: now + request.time_left,
        };
        if let Some(queues) = self.classes.get_mut(request.class.index()) {
            let places = self.shared.places(request.class);
            match queues
                .iter_mut()
                .find(|queue| queue.tenant == request.tenant)
            {
                Some(queue) => {
                    queue.waiting.push_back(waiting);
                    places.enter_again(queue.place);
                }
                None => {
                    let mut fresh = self.spare.pop().unwrap_or_default();
                    fresh.push_back(waiting);
                    queues.push(TenantQueue {
                        tenant: request.tenant,
                        place: places.enter(request.tenant, request.weight),
                        weight: request.weight,
                        waiting: fresh,
                    });
                }
            }
        }
        self.shared.enter_queue(request.class);
        Ticket {
            class: request.class,
            tenant: request.tenant,
            serial: self.serial,
        }
    }

    /// More than can be answered within the objective waits: the newest of the lowest class goes, of the tenant
    /// furthest over its share.
    fn evict_beyond_the_line(&mut self, events: &mut Vec<QueueEvent>) {
        let theta = self.shared.published.theta.get();
        if f64::from(self.shared.waiting()) <= self.shared.capacity() * theta {
            return;
        }
        let lowest = Class::ALL.into_iter().rev().find(|class| {
            self.classes
                .get(class.index())
                .is_some_and(|it| !it.is_empty())
        });
        let Some(class) = lowest else { return };
        let newest = self.furthest_over(class);
        let Some(place) = newest else { return };
        let Some(queue) = self
            .classes
            .get_mut(class.index())
            .and_then(|it| it.get_mut(place))
        else {
            return;
        };
        if let Some(evicted) = queue.waiting.pop_back() {
            let ticket = Ticket {
                class,
                tenant: queue.tenant,
                serial: evicted.serial,
            };
            self.after_removal(class, place);
            let refusal = Refusal {
                reason: RefusalReason::OverCapacity,
                retry_after: seconds(theta),
            };
            events.push(QueueEvent::Refused(ticket, refusal));
        }
    }

    /// The queue here whose tenant has the most waiting for its weight.
    fn furthest_over(&self, class: Class) -> Option<usize> {
        let queues = self.classes.get(class.index())?;
        let over = |queue: &TenantQueue| self.over(class, queue);
        let most = queues
            .iter()
            .enumerate()
            .max_by(|(_, one), (_, other)| over(one).total_cmp(&over(other)));
        most.map(|(place, _)| place)
    }

    /// How much of a queue's tenant waits for its weight, over all threads.
    fn over(&self, class: Class, queue: &TenantQueue) -> f64 {
        let waiting = self.shared.places(class).waiting_in(queue.place);
        over(waiting, queue.weight)
    }

    fn drop_oldest(&mut self, class: Class, place: usize) -> Option<Ticket> {
        let queue = self.classes.get_mut(class.index())?.get_mut(place)?;
        let oldest = queue.waiting.pop_front()?;
        let ticket = Ticket {
            class,
            tenant: queue.tenant,
            serial: oldest.serial,
        };
        self.after_removal(class, place);
        Some(ticket)
    }

    /// Keeps counts and queues in step after one request was taken out of a queue.
    fn after_removal(&mut self, class: Class, place: usize) {
        let Some(queues) = self.classes.get_mut(class.index()) else {
            return;
        };
        let Some(queue) = queues.get(place) else {
            return;
        };
        let (stands, empty) = (queue.place, queue.waiting.is_empty());
        if empty {
            let queue = queues.swap_remove(place);
            if self.spare.len() < SPARE_MAX {
                self.spare.push(queue.waiting);
            }
        }
        self.shared.leave_queue(class, stands);
    }

    fn drop_too_old(&mut self, now: Instant, events: &mut Vec<QueueEvent>) {
        let age_max = self.shared.age_max();
        for class in Class::ALL {
            let mut place = 0;
            while let Some(queue) = self.classes.get(class.index()).and_then(|it| it.get(place)) {
                let late = queue
                    .waiting
                    .front()
                    .is_some_and(|head| now - head.since >= age_max || now >= head.by);
                if !late {
                    place += 1;
                    continue;
                }
                if let Some(ticket) = self.drop_oldest(class, place) {
                    let refusal = Refusal {
                        reason: RefusalReason::QueueTimeout,
                        retry_after: age_max,
                    };
                    events.push(QueueEvent::Refused(ticket, refusal));
                }
            }
        }
    }

    /// The tenant that goes next: of the highest class, the one whose share starts first.
    fn next_queue(&self) -> Option<(Class, usize)> {
        let class = Class::ALL.into_iter().find(|class| {
            self.classes
                .get(class.index())
                .is_some_and(|it| !it.is_empty())
        })?;
        let queues = self.classes.get(class.index())?;
        let order = |queue: &TenantQueue| {
            let since = queue.waiting.front().map(|head| head.since);
            (self.shared.places(class).tag(queue.place), since)
        };
        let first = queues
            .iter()
            .enumerate()
            .min_by_key(|(_, queue)| order(queue));
        first.map(|(place, _)| (class, place))
    }

    fn serve(&mut self, now: Instant, class: Class, place: usize, events: &mut Vec<QueueEvent>) {
        let queue = self
            .classes
            .get_mut(class.index())
            .and_then(|it| it.get_mut(place));
        let Some((queue, served)) = queue.and_then(|it| {
            let served = it.waiting.pop_front()?;
            Some((it, served))
        }) else {
            never!(true);
            self.shared.put_back();
            return;
        };
        let tenant = queue.tenant;
        self.shared.places(class).serve(queue.place, queue.weight);
        self.after_removal(class, place);
        self.shared.count_start(self.thread, served.group, now);
        events.push(QueueEvent::Go(Ticket {
            class,
            tenant,
            serial: served.serial,
        }));
    }

    fn publish_head(&self) {
        let head = self.next_queue().and_then(|(class, place)| {
            let queue = self.classes.get(class.index())?.get(place)?;
            let since = queue.waiting.front()?.since;
            Some((class, self.shared.places(class).tag(queue.place), since))
        });
        self.shared.set_head(self.thread, head);
    }

    /// The thread whose head goes next; this one where it makes little difference.
    fn next_thread(&self) -> Option<usize> {
        let heads = (0..self.shared.threads())
            .filter_map(|thread| self.shared.head(thread).map(|head| (head, thread)));
        // The first of all, in an order without tolerance. That one then finds nobody before itself: an order with
        // tolerance is no order, and three threads may each find that the next one goes first.
        let (first, thread) = heads.min()?;
        match self.shared.head(self.thread) {
            Some(own) if !goes_before(first, own) => Some(self.thread),
            _ => Some(thread),
        }
    }
}

/// Whether one head goes before another: by class, then by its tenant's share, then by age, each only if the
/// difference is worth a wake-up.
fn goes_before(one: (u64, u64), other: (u64, u64)) -> bool {
    let (class, tag) = (one.0 >> 62, one.0 << 2);
    let (other_class, other_tag) = (other.0 >> 62, other.0 << 2);
    if class != other_class {
        return class < other_class;
    }
    let tolerance = (COST as u64) << 2;
    if tag.abs_diff(other_tag) > tolerance {
        return tag < other_tag;
    }
    let older = u64::try_from(OLDER.as_nanos()).unwrap_or(u64::MAX);
    one.1.saturating_add(older) < other.1
}

fn refuse(reason: RefusalReason, wait: f64) -> Admitted {
    Admitted::Refuse(Refusal {
        reason,
        retry_after: seconds(wait),
    })
}

fn over(waiting: u32, weight: f32) -> f64 {
    f64::from(waiting) / f64::from(weight.max(0.01))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
