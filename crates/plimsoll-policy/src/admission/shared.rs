//! What all threads share about one service's limit and queues.

use std::time::Duration;

use plimsoll_core::{Class, Instant, never};

use super::places::{Place, Places};
use super::{AdmissionParameters, Completion, Finished, GROUPS, LimiterKind};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

/// The step of the quantile estimates.
const QUANTILE_STEP: f64 = 0.02;
/// A call that has less time left than nine of ten calls of its group take is refused at once.
const QUICK: f64 = 0.1;

/// A number that is written and read whole.
#[derive(Debug, Default)]
pub(super) struct AtomicF64(AtomicU64);

impl AtomicF64 {
    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    pub(super) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// What one thread counts for one route group. Only that thread writes it.
#[derive(Debug, Default)]
struct GroupCounters {
    completions: AtomicU64,
    good: AtomicU64,
    ok: AtomicU64,
    timeouts: AtomicU64,
    /// Calls that have a permit and that the service is waited for.
    in_flight: AtomicU32,
    /// Request-nanoseconds up to `at`.
    integral: AtomicU64,
    at: AtomicU64,
    /// What calls took that were not given up, in nanoseconds.
    answers: AtomicU64,
}

/// One thread's own part. Aligned so that no two share a cache line, nor a pair that is fetched together.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    /// The head that goes next: class in the upper bits, the tenant's tag below; [`NO_HEAD`] = none waits.
    head: AtomicU64,
    /// Since when it waits, in nanoseconds.
    head_since: AtomicU64,
    arrivals: [AtomicU64; Class::ALL.len()],
    groups: [GroupCounters; GROUPS],
}

pub(super) const NO_HEAD: u64 = u64::MAX;
const CLASS_SHIFT: u32 = 62;

impl Default for Slot {
    fn default() -> Self {
        Self {
            head: AtomicU64::new(NO_HEAD),
            head_since: AtomicU64::new(0),
            arrivals: Default::default(),
            groups: Default::default(),
        }
    }
}

/// Numbers that the control thread publishes for the threads' decisions.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Completions per second.
    pub(super) rate: AtomicF64,
    /// Arrivals per second of each class.
    pub(super) arrivals: [AtomicF64; Class::ALL.len()],
    /// The latency objective, in seconds.
    pub(super) theta: AtomicF64,
    /// The longest wait, in seconds.
    pub(super) wait_max: AtomicF64,
    /// The mean service time, in seconds; zero = unknown.
    pub(super) mean: AtomicF64,
    /// Whether a queue stands: 0 or 1. A wait that is given holds for bursts too: then it always does.
    pub(super) standing: AtomicU32,
    /// Bit by group: whether it can meet the objective at all.
    pub(super) fitting: AtomicU32,
}

/// One service's limit and queues, as all threads share them.
#[derive(Debug)]
pub struct AdmissionShared {
    /// The limit above, what is in flight below: 32 bits each.
    word: AtomicU64,
    /// How many wait, over all threads and classes.
    waiting: AtomicU32,
    /// Places of the queue that are taken: by whoever waits, and by whoever is about to.
    reserved: AtomicU32,
    queued: [AtomicU32; Class::ALL.len()],
    places: [Places; Class::ALL.len()],
    slots: Box<[Slot]>,
    pub(super) published: Published,
    p50: AtomicF64,
    p90: AtomicF64,
    /// By group: the time to the head that a tenth of its calls stay under, in seconds; 0 = not known.
    quick: [AtomicF64; GROUPS],
    /// While nothing is enforced: what would be in flight or wait, ...
    would_hold: AtomicU32,
    /// ...requests that would have been refused...
    would_refuse: [AtomicU64; Class::ALL.len()],
    /// ...and those that ended too late while more was in flight than would have been let in.
    late: [AtomicU64; Class::ALL.len()],
}

/// What is counted of one route group, over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct GroupReading {
    pub(super) completions: u64,
    pub(super) good: u64,
    pub(super) ok: u64,
    pub(super) timeouts: u64,
    /// Now: calls that the service is waited for.
    pub(super) in_flight: u32,
    pub(super) in_flight_seconds: f64,
    pub(super) answer_seconds: f64,
}

impl AdmissionShared {
    /// For `threads` data-plane threads.
    pub fn new(threads: usize, parameters: &AdmissionParameters) -> Self {
        let limit = match parameters.limiter {
            LimiterKind::Adaptive => parameters.start.clamp(2, parameters.limit_max.max(2)),
            LimiterKind::Fixed(limit) => limit,
            LimiterKind::Off => u32::MAX,
        };
        let published = Published::default();
        published.theta.set(
            parameters
                .objective
                .unwrap_or(super::control::THETA_UNKNOWN)
                .as_secs_f64(),
        );
        published.wait_max.set(f64::MAX);
        published.fitting.store(super::ALL_GROUPS, Relaxed);
        Self {
            word: AtomicU64::new(u64::from(limit) << 32),
            waiting: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            queued: Default::default(),
            places: Default::default(),
            slots: (0..threads.max(1)).map(|_| Slot::default()).collect(),
            published,
            p50: AtomicF64::default(),
            p90: AtomicF64::default(),
            quick: Default::default(),
            would_hold: AtomicU32::new(0),
            would_refuse: Default::default(),
            late: Default::default(),
        }
    }

    /// The limit in force; `None` = there is none.
    pub fn limit(&self) -> Option<u32> {
        Some((self.word.load(Relaxed) >> 32) as u32).filter(|&limit| limit != u32::MAX)
    }

    /// Permits in use.
    pub fn in_flight(&self) -> u32 {
        self.word.load(Relaxed) as u32
    }

    /// Requests that wait.
    pub fn queued(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// Requests of a class that wait.
    pub fn queued_of(&self, class: Class) -> u32 {
        self.queued
            .get(class.index())
            .map_or(0, |it| it.load(Relaxed))
    }

    /// The median service time, once one is known.
    pub fn median(&self) -> Option<Duration> {
        let median = self.p50.get();
        (median > 0.0).then(|| Duration::from_secs_f64(median))
    }

    /// The latency objective that holds, declared or assumed.
    pub fn objective(&self) -> Duration {
        Duration::try_from_secs_f64(self.published.theta.get()).unwrap_or_default()
    }

    /// The longest that a request may be predicted to wait.
    pub fn wait_max(&self) -> Duration {
        Duration::try_from_secs_f64(self.budget()).unwrap_or(Duration::MAX)
    }

    /// Requests of a class that would have been refused while nothing was enforced.
    pub fn would_refuse(&self, class: Class) -> u64 {
        self.would_refuse
            .get(class.index())
            .map_or(0, |it| it.load(Relaxed))
    }

    /// Requests of a class that would have been answered in time if others had been refused, while nothing was
    /// enforced: those that were late, or given up, while more was in flight than the limit, less those that would
    /// themselves have been refused. An estimate.
    pub fn would_save(&self, class: Class) -> u64 {
        let late = self.late.get(class.index());
        late.map_or(0, |late| late.load(Relaxed))
            .saturating_sub(self.would_refuse(class))
    }

    /// A request that is let in since nothing is enforced: counts whether it would have been. `rate` of what comes
    /// back, and the `budget` of its wait.
    ///
    /// What comes back would come back all the same, as fast as the service works, and who would be refused takes no
    /// place: so it is a queue before a server of that rate, and not what is in flight now, which grows without bound.
    pub(super) fn count_would_be(&self, class: Class, rate: f64, budget: f64) {
        let Some(limit) = self.limit() else { return };
        let most = self.in_flight();
        let entered = self.would_hold.fetch_update(Relaxed, Relaxed, |held| {
            let held = held.min(most);
            let waits = f64::from(held.saturating_sub(limit)) / rate;
            (waits <= budget).then(|| held + 1)
        });
        if let (Err(_), Some(count)) = (entered, self.would_refuse.get(class.index())) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// A call came back that was let in since nothing is enforced.
    pub(super) fn count_would_end(&self) {
        let _empty = self
            .would_hold
            .fetch_update(Relaxed, Relaxed, |held| held.checked_sub(1));
    }

    /// Counts a call that came back too late while nothing was enforced.
    pub(super) fn count_late(&self, class: Class) {
        let over = self.limit().is_some_and(|limit| self.in_flight() > limit);
        if let Some(late) = self.late.get(class.index()).filter(|_| over) {
            late.fetch_add(1, Relaxed);
        }
    }

    /// Threads whose queues are not empty: they are to dispatch after the limit has grown.
    pub fn threads_waiting(&self) -> impl Iterator<Item = usize> {
        let waits = |slot: &Slot| slot.head.load(SeqCst) != NO_HEAD;
        self.slots
            .iter()
            .enumerate()
            .filter_map(move |(thread, slot)| waits(slot).then_some(thread))
    }

    pub(super) fn threads(&self) -> usize {
        self.slots.len()
    }

    /// Takes a permit if one is free.
    pub(super) fn try_take(&self) -> bool {
        let taken = self.word.fetch_update(SeqCst, Relaxed, |word| {
            ((word as u32) < (word >> 32) as u32).then_some(word + 1)
        });
        taken.is_ok()
    }

    /// Takes a permit even where none is left: while nothing is enforced, or for a call that had one. Says whether one
    /// was free.
    pub(super) fn take_anyway(&self) -> bool {
        let before = self.word.fetch_add(1, SeqCst);
        (before as u32) < (before >> 32) as u32
    }

    /// Gives a permit back.
    pub(super) fn put_back(&self) {
        let done = self
            .word
            .fetch_update(SeqCst, Relaxed, |word| (word as u32 > 0).then(|| word - 1));
        never!(done.is_err());
    }

    pub(super) fn has_free(&self) -> bool {
        let word = self.word.load(SeqCst);
        (word as u32) < (word >> 32) as u32
    }

    /// Puts a limit in force. For the control thread.
    pub(super) fn set_limit(&self, limit: u32) {
        let _always = self.word.fetch_update(SeqCst, Relaxed, |word| {
            Some(u64::from(limit) << 32 | word & u64::from(u32::MAX))
        });
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// How many wait in this class and in those before it.
    pub(super) fn queued_up_to(&self, class: Class) -> (f64, f64) {
        let mut before = 0.0;
        for other in Class::ALL {
            let queued = f64::from(self.queued_of(other));
            if other == class {
                return (before, queued);
            }
            before += queued;
        }
        (before, 0.0)
    }

    /// Where the tenants of a class stand.
    pub(super) fn places(&self, class: Class) -> &Places {
        let [critical, standard, sheddable] = &self.places;
        match class {
            Class::Critical => critical,
            Class::Standard => standard,
            Class::Sheddable => sheddable,
        }
    }

    /// A request has begun to wait: its tenant's place knows already.
    pub(super) fn enter_queue(&self, class: Class) {
        if let Some(queued) = self.queued.get(class.index()) {
            queued.fetch_add(1, Relaxed);
        }
        // After everything that another thread needs to find it: it may free a permit at this moment.
        self.waiting.fetch_add(1, SeqCst);
    }

    /// Takes a place of the queue if fewer than `places` are taken; the bound is exact over all threads. It comes
    /// back with [`AdmissionShared::leave_queue`] or [`AdmissionShared::give_reserved`].
    #[must_use]
    pub(super) fn try_reserve(&self, places: u32) -> bool {
        self.reserved
            .try_update(Relaxed, Relaxed, |taken| {
                (taken < places).then(|| taken + 1)
            })
            .is_ok()
    }

    /// Holds the place of one that is about to leave it.
    pub(super) fn reserve_next(&self) {
        self.reserved.fetch_add(1, Relaxed);
    }

    /// Gives a place back that nobody waited in.
    pub(super) fn give_reserved(&self) {
        let before = self.reserved.fetch_sub(1, Relaxed);
        let _ = never!(before == 0);
    }

    /// It no longer waits.
    pub(super) fn leave_queue(&self, class: Class, place: Place) {
        self.places(class).leave(place);
        if let Some(queued) = self.queued.get(class.index()) {
            queued.fetch_sub(1, Relaxed);
        }
        self.waiting.fetch_sub(1, SeqCst);
        self.give_reserved();
    }

    /// Makes known which request of `thread` goes next.
    pub(super) fn set_head(&self, thread: usize, head: Option<(Class, u64, Instant)>) {
        let Some(slot) = self.slots.get(thread) else {
            never!(thread >= self.slots.len());
            return;
        };
        match head {
            Some((class, tag, since)) => {
                slot.head_since.store(since.as_nanos(), Relaxed);
                let tag = tag & (u64::MAX >> (64 - CLASS_SHIFT));
                slot.head
                    .store((class.index() as u64) << CLASS_SHIFT | tag, SeqCst);
            }
            None => slot.head.store(NO_HEAD, SeqCst),
        }
    }

    /// The head of `thread`, as [`AdmissionShared::set_head`] made it known: a word to compare by, and since
    /// when it waits.
    pub(super) fn head(&self, thread: usize) -> Option<(u64, u64)> {
        let slot = self.slots.get(thread)?;
        let head = slot.head.load(SeqCst);
        (head != NO_HEAD).then(|| (head, slot.head_since.load(Relaxed)))
    }

    /// How many requests per second come back while all permits are in use (Little's law), or as many as do if
    /// those are more. Without a measurement nothing is known to be too much.
    pub(super) fn capacity(&self) -> f64 {
        let mean = self.published.mean.get();
        if mean <= 0.0 {
            return f64::MAX;
        }
        let limit = f64::from(self.limit().unwrap_or(u32::MAX));
        (limit / mean).max(self.published.rate.get())
    }

    /// Whether a queue stands, and is no burst.
    pub(super) fn stands(&self) -> bool {
        self.published.standing.load(Relaxed) != 0
    }

    /// The longest predicted wait that is allowed, in seconds.
    pub(super) fn budget(&self) -> f64 {
        let theta = self.published.theta.get();
        if !self.stands() {
            return (theta - self.p50.get()).max(0.2 * theta);
        }
        let fits = (0.9 * theta - self.p90.get()).clamp(0.15 * theta, 0.9 * theta);
        fits.min(self.published.wait_max.get())
    }

    /// A request that has waited longer can't succeed any more.
    pub(super) fn age_max(&self) -> Duration {
        let theta = self.published.theta.get();
        let fits = (theta - self.p50.get()).max(0.2 * theta);
        let allowed = if self.stands() {
            fits.min(2.0 * self.published.wait_max.get())
        } else {
            fits
        };
        Duration::try_from_secs_f64(allowed).unwrap_or(Duration::MAX)
    }

    pub(super) fn median_seconds(&self) -> f64 {
        self.p50.get()
    }

    /// What a call of this group takes at least to its head, but for the quickest tenth, in seconds; 0 = not known.
    pub(super) fn quick_seconds(&self, group: u8) -> f64 {
        self.quick
            .get(usize::from(group))
            .map_or(0.0, AtomicF64::get)
    }

    /// Nothing is known of how quick a group is any more.
    pub(super) fn forget_quick(&self, group: usize) {
        if let Some(quick) = self.quick.get(group).filter(|quick| quick.get() > 0.0) {
            quick.set(0.0);
        }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn set_quick(&self, group: usize, seconds: f64) {
        if let Some(quick) = self.quick.get(group) {
            quick.set(seconds);
        }
    }

    pub(super) fn set_quantiles(&self, p50: f64, p90: f64) {
        self.p50.set(p50);
        self.p90.set(p90);
    }

    /// What nine of ten calls take at most; zero = not known.
    pub fn usual(&self) -> Duration {
        Duration::from_secs_f64(self.p90.get())
    }

    pub(super) fn quantiles(&self) -> (f64, f64) {
        (self.p50.get(), self.p90.get())
    }

    /// Counts a request that asks for a permit.
    pub(super) fn count_arrival(&self, thread: usize, class: Class) {
        let slot = self.slots.get(thread);
        if let Some(count) = slot.and_then(|slot| slot.arrivals.get(class.index())) {
            add(count, 1);
        }
    }

    /// Counts that the service works on one call more.
    pub(super) fn count_start(&self, thread: usize, group: u8, now: Instant) {
        if let Some(counters) = self.counters(thread, group) {
            counters.advance(now);
            counters
                .in_flight
                .store(counters.in_flight.load(Relaxed) + 1, Relaxed);
        }
    }

    /// Counts that the service works on one call less, which has not ended.
    pub(super) fn count_rest(&self, thread: usize, group: u8, now: Instant) {
        if let Some(counters) = self.counters(thread, group) {
            counters.stop_one(now);
        }
    }

    /// Counts a call that ended with a permit.
    pub(super) fn count_end(
        &self,
        thread: usize,
        finished: &Finished,
        now: Instant,
        took: Duration,
        end: Completion,
    ) {
        let group = finished.group;
        let Some(counters) = self.counters(thread, group) else {
            return;
        };
        counters.stop_one(now);
        if matches!(end, Completion::Success | Completion::Failed) {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            add(&counters.answers, nanos);
        }
        match end {
            Completion::Success => {
                let seconds = took.as_secs_f64();
                add(&counters.completions, 1);
                add(&counters.ok, 1);
                if seconds <= self.published.theta.get() {
                    add(&counters.good, 1);
                }
                if let (Some(quick), Some(head_after)) =
                    (self.quick.get(usize::from(group)), finished.head_after)
                {
                    follow(quick, head_after.as_secs_f64(), QUICK);
                }
                if self.published.fitting.load(Relaxed) & (1 << group) != 0 {
                    follow(&self.p50, seconds, 0.5);
                    follow(&self.p90, seconds, 0.9);
                }
            }
            Completion::Failed => add(&counters.completions, 1),
            Completion::TimedOut => {
                add(&counters.completions, 1);
                add(&counters.timeouts, 1);
            }
            Completion::Cancelled => (),
        }
    }

    fn counters(&self, thread: usize, group: u8) -> Option<&GroupCounters> {
        self.slots.get(thread)?.groups.get(usize::from(group))
    }

    /// Arrivals of a class so far, over all threads.
    pub(super) fn read_arrivals(&self, class: Class) -> u64 {
        self.slots
            .iter()
            .filter_map(|slot| slot.arrivals.get(class.index()))
            .map(|count| count.load(Relaxed))
            .sum()
    }

    /// What was counted of a group so far, over all threads.
    pub(super) fn read_group(&self, group: usize, now: Instant) -> GroupReading {
        let mut sum = GroupReading::default();
        for counters in self.slots.iter().filter_map(|slot| slot.groups.get(group)) {
            sum.completions += counters.completions.load(Relaxed);
            sum.good += counters.good.load(Relaxed);
            sum.ok += counters.ok.load(Relaxed);
            sum.timeouts += counters.timeouts.load(Relaxed);
            let since = now.since(Instant::from_nanos(counters.at.load(Relaxed)));
            let in_flight = counters.in_flight.load(Relaxed);
            sum.in_flight += in_flight;
            let nanos = counters.integral.load(Relaxed) as f64
                + f64::from(in_flight) * since.as_nanos() as f64;
            sum.in_flight_seconds += nanos / 1e9;
            sum.answer_seconds += counters.answers.load(Relaxed) as f64 / 1e9;
        }
        sum
    }
}

impl GroupCounters {
    /// Adds what was in flight up to `now`.
    fn advance(&self, now: Instant) {
        let since = now.since(Instant::from_nanos(self.at.load(Relaxed)));
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let more = nanos.saturating_mul(u64::from(self.in_flight.load(Relaxed)));
        add(&self.integral, more);
        self.at.store(now.as_nanos(), Relaxed);
    }

    /// One less is in flight from now on.
    fn stop_one(&self, now: Instant) {
        self.advance(now);
        let in_flight = self.in_flight.load(Relaxed);
        if !never!(in_flight == 0) {
            self.in_flight.store(in_flight - 1, Relaxed);
        }
    }
}

/// Adds to a counter that only the caller's thread writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// Moves a quantile's estimate towards an observation (stochastic approximation, H. Robbins and S. Monro,
/// 1951). Threads may overwrite each other's step: one lost is noise.
fn follow(estimate: &AtomicF64, observed: f64, quantile: f64) {
    let before = estimate.get();
    let after = if before <= 0.0 {
        observed
    } else if observed > before {
        before * (1.0 + QUANTILE_STEP * quantile)
    } else {
        before * (1.0 - QUANTILE_STEP * (1.0 - quantile))
    };
    estimate.set(after.max(1e-6));
}
