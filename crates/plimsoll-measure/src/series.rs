//! Counters of one service, route or endpoint, written by the data plane without a lock.
//!
//! Each thread has a shard of its own and is the only one to write it: a count is a relaxed load and a
//! store. Whoever reads adds the shards up; a reading may miss what a thread is just writing, never what it
//! wrote before, so totals never go backwards.
//! Units: latencies to the end of the SLI; bytes of bodies.
//! Elsewhere: names across reloads (`registry`), history (`window`), requests in flight (the data plane).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use plimsoll_core::{Class, never};

use crate::histogram::{AtomicHistogram, Histogram, atomic_add};
use crate::objective::{Counts, ObjectiveSpec, Sli};
use crate::outcome::{Cause, Origin, Outcome};

/// How a request ended: what every counter is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its class.
    pub class: Class,
    /// Its one cause.
    pub cause: Cause,
    /// From arrival to the end of the latency SLI.
    pub latency: Duration,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// Which of the service's objectives its route is in: a bit each, by their position. [`Record::ALL`]: in all.
    pub objectives: u32,
}

impl Record {
    /// In every objective.
    pub const ALL: u32 = u32::MAX;
}

/// The counters of one service, route or endpoint.
#[derive(Debug)]
pub struct Series {
    /// A thread's shard comes into being with its first record: a series without traffic costs next to
    /// nothing.
    shards: Box<[OnceLock<Box<Shard>>]>,
    objectives: Vec<ObjectiveSpec>,
}

impl Series {
    /// Counters for `threads` data-plane threads. Only services have objectives.
    pub fn new(threads: usize, objectives: Vec<ObjectiveSpec>) -> Self {
        Self {
            shards: (0..threads.max(1)).map(|_| OnceLock::new()).collect(),
            objectives,
        }
    }

    /// Counts a request. `thread` is the caller's own number, and only it uses that number.
    #[inline]
    pub fn record(&self, thread: usize, record: &Record) {
        let Some(shard) = self.shards.get(thread) else {
            never!(thread >= self.shards.len());
            return;
        };
        shard
            .get_or_init(|| Box::new(Shard::new(&self.objectives)))
            .record(record);
    }

    /// The objectives that this series counts for.
    pub fn objectives(&self) -> &[ObjectiveSpec] {
        &self.objectives
    }

    /// Adds up what all threads counted so far.
    pub fn read(&self) -> Totals {
        let mut totals = Totals::new(self.objectives.len());
        self.read_into(&mut totals);
        totals
    }

    /// Adds what all threads counted so far to `totals`; objectives by their position.
    pub fn read_into(&self, totals: &mut Totals) {
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            shard.read_into(totals);
        }
    }
}

/// What one thread counts. Aligned so that no two shards share a cache line, nor a pair that is fetched
/// together.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    counts: [[AtomicU64; Cause::COUNT]; Class::ALL.len()],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    objectives: Box<[ObjectiveCounter]>,
    latency: AtomicHistogram,
}

/// An objective's own counters: its threshold is exact, not that of a bucket.
#[derive(Debug)]
struct ObjectiveCounter {
    sli: Sli,
    /// A bit for each class that is in it.
    classes: u8,
    good: AtomicU64,
    bad: AtomicU64,
    bad_service: AtomicU64,
}

impl ObjectiveCounter {
    fn new(spec: &ObjectiveSpec) -> Self {
        let bit = |class: &Class| 1_u8 << class.index();
        let named = spec.classes.iter().fold(0, |bits, class| bits | bit(class));
        Self {
            sli: spec.sli,
            classes: if named == 0 { u8::MAX } else { named },
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            bad_service: AtomicU64::new(0),
        }
    }
}

impl Shard {
    fn new(objectives: &[ObjectiveSpec]) -> Self {
        Self {
            counts: [const { [const { AtomicU64::new(0) }; Cause::COUNT] }; Class::ALL.len()],
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            objectives: objectives.iter().map(ObjectiveCounter::new).collect(),
            latency: AtomicHistogram::default(),
        }
    }

    #[inline]
    fn record(&self, record: &Record) {
        if let Some(count) = self
            .counts
            .get(record.class.index())
            .and_then(|causes| causes.get(record.cause.index()))
        {
            atomic_add(count, 1);
        }
        let outcome = record.cause.outcome();
        let class = 1_u8 << record.class.index();
        for (place, objective) in self.objectives.iter().enumerate() {
            if objective.classes & class == 0 || record.objectives >> (place & 31) & 1 == 0 {
                continue;
            }
            match objective.sli.judge(outcome, record.latency) {
                Outcome::Good => atomic_add(&objective.good, 1),
                Outcome::Bad => {
                    atomic_add(&objective.bad, 1);
                    if record.cause.origin() != Origin::Plimsoll {
                        atomic_add(&objective.bad_service, 1);
                    }
                }
                Outcome::Excluded => (),
            }
        }
        atomic_add(&self.bytes_in, record.bytes_in);
        atomic_add(&self.bytes_out, record.bytes_out);
        self.latency.record(record.latency);
    }

    fn read_into(&self, totals: &mut Totals) {
        for (causes, total) in self.counts.iter().zip(totals.counts.iter_mut()) {
            for (count, total) in causes.iter().zip(total.iter_mut()) {
                *total += count.load(Relaxed);
            }
        }
        totals.bytes_in += self.bytes_in.load(Relaxed);
        totals.bytes_out += self.bytes_out.load(Relaxed);
        for (counter, tally) in self.objectives.iter().zip(totals.objectives.iter_mut()) {
            *tally += Counts {
                good: counter.good.load(Relaxed),
                bad: counter.bad.load(Relaxed),
                bad_service: counter.bad_service.load(Relaxed),
            };
        }
        self.latency.read_into(&mut totals.latency);
    }
}

/// What was counted so far, over all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    counts: [[u64; Cause::COUNT]; Class::ALL.len()],
    /// Body bytes from clients.
    pub bytes_in: u64,
    /// Body bytes to clients.
    pub bytes_out: u64,
    /// By the position of the objective.
    pub objectives: Vec<Counts>,
    /// Latencies of all requests.
    pub latency: Histogram,
}

impl Totals {
    /// Nothing, for this many objectives.
    pub fn new(objectives: usize) -> Self {
        Self {
            counts: [[0; Cause::COUNT]; Class::ALL.len()],
            bytes_in: 0,
            bytes_out: 0,
            objectives: vec![Counts::default(); objectives],
            latency: Histogram::new(),
        }
    }

    /// Requests of a class with a cause.
    pub fn count(&self, class: Class, cause: Cause) -> u64 {
        self.counts
            .get(class.index())
            .and_then(|causes| causes.get(cause.index()))
            .copied()
            .unwrap_or(0)
    }

    /// Requests by cause, over all classes.
    pub fn causes(&self) -> CauseCounts {
        let mut causes = CauseCounts::default();
        for class in &self.counts {
            causes += CauseCounts(*class);
        }
        causes
    }

    /// All requests: by construction the sum over causes.
    pub fn requests(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Adds all but the objectives of `other`.
    pub(crate) fn merge_counts(&mut self, other: &Self) {
        for (mine, theirs) in self
            .counts
            .iter_mut()
            .flatten()
            .zip(other.counts.iter().flatten())
        {
            *mine += theirs;
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.latency.merge(&other.latency);
    }
}

/// Requests by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseCounts([u64; Cause::COUNT]);

impl CauseCounts {
    /// Requests with this cause.
    pub fn count(&self, cause: Cause) -> u64 {
        self.0.get(cause.index()).copied().unwrap_or(0)
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Requests whose cause has this outcome.
    pub fn with_cause(&self, cause: Cause) -> u64 {
        self.0.get(cause.index()).copied().unwrap_or(0)
    }

    /// Requests with an outcome.
    pub fn with_outcome(&self, outcome: Outcome) -> u64 {
        self.iter()
            .filter(|(cause, _)| cause.outcome() == outcome)
            .map(|(_, count)| count)
            .sum()
    }

    /// Causes and their counts, in the order of [`Cause::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.iter().copied().zip(self.0.iter().copied())
    }

    /// What came on top of `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delta = *self;
        for (count, then) in delta.0.iter_mut().zip(&earlier.0) {
            *count = count.saturating_sub(*then);
        }
        delta
    }
}

impl std::ops::AddAssign for CauseCounts {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Ratio;

    use super::*;
    use crate::period::Period;
    fn record(cause: Cause, millis: u64) -> Record {
        Record {
            class: Class::Standard,
            cause,
            latency: Duration::from_millis(millis),
            bytes_in: 1,
            bytes_out: 10,
            objectives: Record::ALL,
        }
    }

    fn latency_below(millis: u64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: "latency".to_owned(),
            sli: Sli::Latency {
                below: Duration::from_millis(millis),
            },
            target: Ratio::ONE,
            period: Period::Rolling(Duration::from_secs(3_600)),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }

    #[test]
    fn the_sum_over_causes_is_the_number_of_requests() {
        let series = Series::new(2, Vec::new());
        for (count, cause) in Cause::ALL.iter().enumerate() {
            for thread in 0..2 {
                (0..=count).for_each(|_| series.record(thread, &record(*cause, 1)));
            }
        }
        let totals = series.read();
        let expected: u64 = (1..=Cause::COUNT as u64).sum::<u64>() * 2;
        assert_eq!(totals.requests(), expected);
        assert_eq!(totals.causes().total(), expected);
        assert_eq!(totals.latency.count(), expected);
        assert_eq!(totals.bytes_out, expected * 10);
    }

    #[test]
    fn thresholds_are_exact_where_buckets_are_not() {
        let series = Series::new(1, vec![latency_below(100)]);
        let mut slow = record(Cause::Answered, 100);
        series.record(0, &slow);
        slow.latency += Duration::from_nanos(1);
        series.record(0, &slow);
        series.record(0, &record(Cause::Reset, 1));
        series.record(0, &record(Cause::ClientGone, 1));
        series.record(0, &record(Cause::Shed, 1));
        let counted = Counts {
            good: 1,
            bad: 3,
            bad_service: 2,
        };
        assert_eq!(series.read().objectives, [counted]);
    }

    #[test]
    fn an_objective_counts_only_the_classes_and_routes_that_it_names() {
        let critical = ObjectiveSpec {
            classes: vec![Class::Critical],
            ..latency_below(100)
        };
        let series = Series::new(1, vec![critical, latency_below(100)]);
        let standard = record(Cause::Answered, 1);
        let critical = Record {
            class: Class::Critical,
            ..standard
        };
        for record in [standard, critical] {
            series.record(0, &record);
            let elsewhere = Record {
                objectives: 0b01,
                ..record
            };
            series.record(0, &elsewhere);
        }
        let good: Vec<u64> = series.read().objectives.iter().map(|it| it.good).collect();
        assert_eq!(good, [2, 2]);
    }

    #[test]
    fn threads_that_write_at_once_lose_nothing() {
        let series = Series::new(4, vec![latency_below(5)]);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let series = &series;
                scope.spawn(move || {
                    for millis in 0..10_000 {
                        series.record(thread, &record(Cause::Answered, millis % 10));
                    }
                });
            }
        });
        let totals = series.read();
        assert_eq!(totals.requests(), 40_000);
        assert_eq!(
            totals.objectives,
            [Counts {
                good: 24_000,
                bad: 16_000,
                bad_service: 16_000
            }]
        );
    }
}
