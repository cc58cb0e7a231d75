//! What calls at one endpoint showed: the last ten seconds, and what is usual for it.
//!
//! Units: latencies fall into buckets of powers of two nanoseconds, so that counting one is a shift and an
//! addition; a quantile read from them is right within a factor of 1.42. Invariants: a call is in the window
//! or in the history, never in both, so that an incident is not compared with itself; no counter goes below
//! zero. Elsewhere: what the figures mean (`breaker`, `ejection`).

use std::time::Duration;

use plimsoll_core::Instant;

use super::shared::Taken;

/// From 131 µs (bucket 0 is what is faster) to 34 s (bucket 19 is what is slower), each twice the one below.
pub(super) const BUCKETS: usize = 20;
/// The first bucket ends at two to the power of this plus one, in nanoseconds.
const BUCKET_SHIFT: u32 = 16;
/// A window is ten slots of a second: long enough for twenty calls at a low rate, short beside an outage.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);
/// The window's length.
pub(super) const WINDOW: Duration = Duration::from_secs(SLOTS as u64);
/// After this many seconds with calls, half of the history is forgotten: long beside an incident that is
/// fixed quickly, short beside a day, since what is usual changes with releases.
const HISTORY_HALF_LIFE: f64 = 300.0;
/// After this many calls, half of the recent share is forgotten: as quick as the shortest row that counts.
const RECENT_CALLS: f64 = 5.0;
/// With fewer calls than this, nothing is known about what is usual.
const HISTORY_MIN: f64 = 50.0;

/// The bucket of a latency.
pub(super) fn bucket(latency: Duration) -> usize {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1);
    (nanos.ilog2().saturating_sub(BUCKET_SHIFT) as usize).min(BUCKETS - 1)
}

/// Where a bucket begins, in seconds.
fn bucket_start(index: usize) -> f64 {
    match index {
        0 => 0.0,
        _ => (1_u64 << (index as u32 + BUCKET_SHIFT)) as f64 / 1e9,
    }
}

/// The quantile `q` of latencies in buckets: geometric within a bucket, since buckets are.
fn quantile(buckets: &[f64; BUCKETS], q: f64) -> Option<Duration> {
    let total = buckets.iter().sum::<f64>();
    if total <= 0.0 {
        return None;
    }
    let mut rank = q * total;
    for (index, &count) in buckets.iter().enumerate() {
        if rank <= count && count > 0.0 {
            let share = rank / count;
            let seconds = match index {
                0 => bucket_start(1) * share,
                _ => bucket_start(index) * libm::exp2(share),
            };
            return Some(Duration::from_secs_f64(seconds));
        }
        rank -= count;
    }
    Some(Duration::from_secs_f64(bucket_start(BUCKETS - 1)))
}

/// Calls by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answered, by latency.
    pub(super) buckets: [u32; BUCKETS],
    /// Failed: an answer that says so, or a connection that broke.
    pub(super) failed: u32,
    /// Not answered in time.
    pub(super) timed_out: u32,
    /// Answered that it has too much to do.
    pub(super) busy: u32,
}

impl Counts {
    pub(super) fn answered(&self) -> u32 {
        self.buckets
            .iter()
            .fold(0, |sum: u32, &count| sum.saturating_add(count))
    }

    pub(super) fn failures(&self) -> u32 {
        self.failed.saturating_add(self.timed_out)
    }

    /// All of them. One that was busy is a call that did not fail.
    pub(super) fn calls(&self) -> u32 {
        self.answered()
            .saturating_add(self.failures())
            .saturating_add(self.busy)
    }

    /// The share of failures; 0 without a call.
    pub(super) fn failure_share(&self) -> f64 {
        f64::from(self.failures()) / f64::from(self.calls().max(1))
    }

    /// Answers that took at least this long for certain: those whose bucket begins there or later.
    pub(super) fn slower_than(&self, limit: Duration) -> u32 {
        let limit = limit.as_secs_f64();
        let slow = self
            .buckets
            .iter()
            .enumerate()
            .filter(|&(index, _)| bucket_start(index) >= limit);
        slow.fold(0, |sum: u32, (_, &count)| sum.saturating_add(count))
    }

    pub(super) fn median(&self) -> Option<Duration> {
        quantile(&self.buckets.map(f64::from), 0.5)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.combine(other, u32::saturating_add);
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        self.combine(other, u32::saturating_sub);
    }

    fn combine(&mut self, other: &Self, with: impl Fn(u32, u32) -> u32) {
        for (own, &other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own = with(*own, other);
        }
        self.failed = with(self.failed, other.failed);
        self.timed_out = with(self.timed_out, other.timed_out);
        self.busy = with(self.busy, other.busy);
    }
}

/// The last ten seconds.
#[derive(Clone, Debug)]
struct Window {
    slots: [Counts; SLOTS],
    /// The slot that is being filled.
    current: usize,
    /// When it began.
    since: Instant,
    total: Counts,
    /// The median of what was answered: asked for more often than it changes.
    median: Option<Duration>,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            slots: [Counts::default(); SLOTS],
            current: 0,
            since: now,
            total: Counts::default(),
            median: None,
        }
    }

    /// Moves on to the slot of `now`; what falls out goes to `expired`.
    fn advance(&mut self, now: Instant, mut expired: impl FnMut(&Counts)) {
        for _ in 0..SLOTS {
            if now.since(self.since) < SLOT {
                return;
            }
            self.since += SLOT;
            self.current = (self.current + 1) % SLOTS;
            if let Some(slot) = self.slots.get_mut(self.current) {
                let old = std::mem::take(slot);
                if old != Counts::default() {
                    expired(&old);
                    self.total.subtract(&old);
                    self.median = self.total.median();
                }
            }
        }
        // The clock went on by more than the whole window: it is empty. Slots still begin when they would have, so
        // that it does not matter how often one looks.
        let slots = now.since(self.since).as_nanos() / SLOT.as_nanos();
        self.since += SLOT.saturating_mul(slots as u32);
    }

    fn add(&mut self, counts: &Counts) {
        if let Some(slot) = self.slots.get_mut(self.current) {
            slot.add(counts);
            self.total.add(counts);
            self.median = self.total.median();
        }
    }
}

/// With fewer calls than this before a row of failures, nothing is expected: two or three may fail by chance.
const EXPECTED_CALLS_MIN: u32 = 10;

/// What is usual: counts that fade.
#[derive(Clone, Debug, Default)]
struct History {
    buckets: [f64; BUCKETS],
    failures: f64,
    calls: f64,
}

impl History {
    /// Takes over a second. One without calls teaches nothing, and nothing is forgotten for it.
    fn learn(&mut self, counts: &Counts) {
        let calls = counts.calls();
        if calls == 0 {
            return;
        }
        let keep = libm::exp2(-1.0 / HISTORY_HALF_LIFE);
        for (own, &other) in self.buckets.iter_mut().zip(&counts.buckets) {
            *own = *own * keep + f64::from(other);
        }
        self.failures = self.failures * keep + f64::from(counts.failures());
        self.calls = self.calls * keep + f64::from(calls);
    }

    fn is_known(&self) -> bool {
        self.calls >= HISTORY_MIN
    }
}

/// Attempts that were begun and of which none was answered, nor any other since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    /// When the first of them was seen.
    pub(super) since: Instant,
    /// How many.
    pub(super) begun: u32,
}

/// What calls at one endpoint showed.
#[derive(Clone, Debug)]
pub(super) struct Record {
    window: Window,
    history: History,
    /// Failures with no success between.
    row: u32,
    /// The share of failures among about the last ten calls.
    recent: f64,
    silence: Option<Silence>,
    heard_last: Option<Instant>,
    begun_total: u16,
}

impl Record {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window: Window::new(now),
            history: History::default(),
            row: 0,
            recent: 0.0,
            silence: None,
            heard_last: None,
            begun_total: 0,
        }
    }

    /// Takes over what was counted since the last call. `learn`: what leaves the window is usual.
    pub(super) fn observe(&mut self, now: Instant, taken: &Taken, learn: bool) {
        let Self {
            window, history, ..
        } = self;
        window.advance(now, |slot| {
            if learn {
                history.learn(slot);
            }
        });
        let calls = taken.counts.calls();
        if calls > 0 {
            window.add(&taken.counts);
            let keep = libm::exp2(-f64::from(calls) / RECENT_CALLS);
            self.recent = self.recent * keep + taken.counts.failure_share() * (1.0 - keep);
        }
        if taken.counts.answered() > 0 || taken.counts.busy > 0 {
            // The order within a tick is not known: doubt serves.
            self.row = 0;
        } else {
            self.row = self.row.saturating_add(taken.counts.failures());
        }
        // Fewer than before: some wait for their client now.
        let begun = taken
            .begun_total
            .wrapping_sub(self.begun_total)
            .cast_signed();
        self.begun_total = taken.begun_total;
        if taken.heard {
            self.heard_last = Some(now);
        }
        if taken.heard || taken.working == 0 {
            self.silence = None;
        } else if begun > 0 {
            let silence = self.silence.get_or_insert(Silence {
                since: now,
                begun: 0,
            });
            silence.begun = silence.begun.saturating_add(begun.unsigned_abs().into());
        } else if let Some(silence) = &mut self.silence {
            silence.begun = silence.begun.saturating_sub(begun.unsigned_abs().into());
        }
    }

    /// The window begins anew, and what was in it is not learnt: it belongs to an incident.
    pub(super) fn forget(&mut self, now: Instant) {
        self.window = Window::new(now);
        self.row = 0;
        self.recent = 0.0;
        self.silence = None;
    }

    /// The last ten seconds.
    pub(super) fn window(&self) -> &Counts {
        &self.window.total
    }

    /// The median of its answers.
    pub(super) fn window_median(&self) -> Option<Duration> {
        self.window.median
    }

    /// When the window next loses a call; `None` if it has none.
    pub(super) fn window_changes(&self) -> Option<Instant> {
        let Window {
            slots,
            current,
            since,
            ..
        } = &self.window;
        let from_the_oldest = (1..=SLOTS).map(|step| (current + step) % SLOTS);
        let mut used = from_the_oldest.map(|index| {
            let slot = slots.get(index);
            slot.is_some_and(|slot| *slot != Counts::default())
        });
        let oldest = used.position(|used| used)?;
        Some(*since + SLOT * (oldest as u32 + 1))
    }

    /// Failures in a row.
    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// The share of failures among about the last ten calls.
    pub(super) fn recent_failure_share(&self) -> f64 {
        self.recent
    }

    pub(super) fn silence(&self) -> Option<Silence> {
        self.silence
    }

    pub(super) fn heard_last(&self) -> Option<Instant> {
        self.heard_last
    }

    /// The share of calls that usually fails, if that is known.
    pub(super) fn failure_share_usual(&self) -> Option<f64> {
        self.history
            .is_known()
            .then(|| (self.history.failures / self.history.calls).min(1.0))
    }

    /// The share of failures to expect: what is usual, or else what the window had before the row of failures
    /// that it ends with. An endpoint that has failed often from its first call on is not known for ten seconds.
    pub(super) fn failure_share_expected(&self) -> f64 {
        let window = self.window();
        self.failure_share_usual().unwrap_or_else(|| {
            let failures = window.failures().saturating_sub(self.row);
            let calls = window.calls().saturating_sub(self.row);
            if calls < EXPECTED_CALLS_MIN {
                return 0.0;
            }
            f64::from(failures) / f64::from(calls)
        })
    }

    /// The median that is usual, if that is known.
    pub(super) fn median_usual(&self) -> Option<Duration> {
        self.usual(0.5)
    }

    /// What 99 of 100 answers usually take at most, if that is known.
    pub(super) fn p99_usual(&self) -> Option<Duration> {
        self.usual(0.99)
    }

    fn usual(&self, q: f64) -> Option<Duration> {
        if !self.history.is_known() {
            return None;
        }
        quantile(&self.history.buckets, q)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn a_latency_is_read_back_within_a_factor_of_1_42() {
        for micros in [200, 900, 5_000, 40_000, 850_000, 7_000_000] {
            let latency = Duration::from_micros(micros);
            let mut counts = Counts::default();
            counts.buckets[bucket(latency)] = 9;
            let ratio = counts.median().unwrap().as_secs_f64() / latency.as_secs_f64();
            assert!((0.70..1.42).contains(&ratio), "{micros}: {ratio}");
        }
    }

    #[test]
    fn the_extremes_have_a_bucket() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn only_what_left_the_window_is_history() {
        let mut record = Record::new(START);
        record.observe(START, &answers(60), true);
        assert_eq!(record.failure_share_usual(), None);
        assert_eq!(record.window().calls(), 60);
        record.observe(START + WINDOW, &Taken::default(), true);
        assert_eq!(record.window().calls(), 0);
        assert_eq!(record.failure_share_usual(), Some(0.0));
        assert!(record.median_usual().is_some());
    }

    #[test]
    fn what_is_forgotten_is_not_learnt() {
        let mut record = Record::new(START);
        record.observe(START, &answers(60), true);
        record.forget(START);
        record.observe(START + WINDOW * 2, &Taken::default(), true);
        assert_eq!(record.failure_share_usual(), None);
    }

    #[test]
    fn silence_begins_with_an_attempt_and_ends_with_an_answer() {
        let mut record = Record::new(START);
        let mut taken = Taken {
            working: 4,
            ..Taken::default()
        };
        record.observe(START, &taken, true);
        assert_eq!(record.silence(), None, "a long download is not silence");
        taken.begun_total = 2;
        record.observe(START + SLOT, &taken, true);
        record.observe(START + SLOT * 2, &taken, true);
        let silence = Silence {
            since: START + SLOT,
            begun: 2,
        };
        assert_eq!(record.silence(), Some(silence));
        taken.begun_total = 1;
        record.observe(START + SLOT * 2, &taken, true);
        let begun = record.silence().map(|silence| silence.begun);
        assert_eq!(begun, Some(1), "one waits for its client");
        taken.heard = true;
        record.observe(START + SLOT * 3, &taken, true);
        assert_eq!(record.silence(), None);
    }

    proptest! {
        /// Safety: the window's total is the sum of its slots, whatever the clock does.
        #[test]
        fn the_total_is_the_sum_of_the_slots(events in vec((0_u64..15_000, 0_u32..20, 0_u32..20), 0..100)) {
            let mut record = Record::new(START);
            let mut now = START;
            for (wait, answered, failed) in events {
                now += Duration::from_millis(wait);
                let mut taken = answers(answered);
                taken.counts.failed = failed;
                record.observe(now, &taken, true);
                let mut sum = Counts::default();
                record.window.slots.iter().for_each(|slot| sum.add(slot));
                prop_assert_eq!(sum, record.window.total);
                prop_assert!(now.since(record.window.since) < SLOT);
            }
        }
    }

    fn answers(count: u32) -> Taken {
        let mut taken = Taken::default();
        taken.counts.buckets[7] = count;
        taken.heard = count > 0;
        taken
    }
}
