//! Latency histogram: base-2 exponential buckets, mergeable without loss.
//!
//! Source: OpenTelemetry data model, "ExponentialHistogram", scale 4: bucket `i` holds the values in
//! `(2^(i/16), 2^((i+1)/16)]` seconds, so there are 16 buckets to a doubling.
//! Units: nanoseconds in, seconds in the bucket bounds.
//! Error: a quantile is the geometric middle of the bucket that holds the exact nearest-rank quantile, so
//! it is off by at most [`QUANTILE_ERROR`] (2.2 %) between 1 us and 10 min. What is shorter or longer goes
//! to an end bucket of its own, and is reported as the bound that it passed.
//! Elsewhere: counting from the data plane (`atomic`), recent history (`window`).

mod atomic;
mod layout;
mod sparse;

use std::time::Duration;

pub use atomic::AtomicHistogram;
pub(crate) use atomic::add as atomic_add;
pub(crate) use layout::slot_at_power_of_two;
pub use layout::{SCALE, SLOTS, slot_of, upper_nanos};
pub use sparse::SparseHistogram;

/// The largest relative error of a quantile: half a bucket, `2^(1/32) - 1`.
pub const QUANTILE_ERROR: f64 = 0.021_898;

/// A histogram of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; SLOTS]>,
    sum_nanos: u128,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// With nothing in it.
    pub fn new() -> Self {
        Self {
            counts: Box::new([0; SLOTS]),
            sum_nanos: 0,
        }
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Counts one latency so many times.
    pub fn record_many(&mut self, latency: Duration, times: u64) {
        let nanos = nanos_of(latency);
        if let Some(count) = self.counts.get_mut(slot_of(nanos)) {
            *count += times;
        }
        self.sum_nanos += u128::from(nanos) * u128::from(times);
    }

    /// Adds all of `other`: the same as having recorded its values here.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
        self.sum_nanos += other.sum_nanos;
    }

    /// What was recorded since `earlier`, which must be a former state of this histogram; a bucket that
    /// would be negative is empty.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delta = Self::new();
        for ((slot, now), then) in delta
            .counts
            .iter_mut()
            .zip(self.counts.iter())
            .zip(earlier.counts.iter())
        {
            *slot = now.saturating_sub(*then);
        }
        delta.sum_nanos = self.sum_nanos.saturating_sub(earlier.sum_nanos);
        delta
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values, in nanoseconds.
    pub fn sum_nanos(&self) -> u128 {
        self.sum_nanos
    }

    /// The sum of all values, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// How many values were shorter than the range.
    pub fn below_range(&self) -> u64 {
        self.counts.first().copied().unwrap_or(0)
    }

    /// How many values were longer than the range.
    pub fn above_range(&self) -> u64 {
        self.counts.last().copied().unwrap_or(0)
    }

    /// The counts, the shortest bucket first; the ends hold what is outside the range.
    pub fn counts(&self) -> &[u64; SLOTS] {
        &self.counts
    }

    /// How many values are in the slots up to `slot` and in it.
    pub fn cumulative(&self, slot: usize) -> u64 {
        self.counts.iter().take(slot + 1).sum()
    }

    /// The value that a share `q` of all values does not exceed (nearest rank); `None` where there are none.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = rank_of(q, count);
        let mut seen = 0;
        for (slot, in_slot) in self.counts.iter().enumerate() {
            seen += in_slot;
            if seen >= rank {
                return Some(Duration::from_nanos(layout::middle_nanos(slot)));
            }
        }
        None
    }

    pub(crate) fn add_to_slot(&mut self, slot: usize, count: u64) {
        if let Some(mine) = self.counts.get_mut(slot) {
            *mine += count;
        }
    }

    pub(crate) fn add_to_sum(&mut self, nanos: u128) {
        self.sum_nanos += nanos;
    }
}

/// The 1-based nearest rank of a share `q` of `count` values.
pub(crate) fn rank_of(q: f64, count: u64) -> u64 {
    // The product of a decimal share and a count may come out a hair above the whole number it means:
    // 0.07 * 100 is 7.000000000000001, and its rank is 7.
    let exact = q.clamp(0.0, 1.0) * count as f64;
    let rank = libm::ceil(exact - exact * 1e-12) as u64;
    rank.clamp(1, count)
}

/// Nanoseconds, at most 584 years of them.
pub(crate) const fn nanos_of(latency: Duration) -> u64 {
    latency
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(latency.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    #[test]
    fn what_is_outside_the_range_is_counted_as_such() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_micros(1));
        histogram.record(Duration::from_secs(600));
        histogram.record(Duration::from_secs(3_600));
        histogram.record(Duration::MAX);
        assert_eq!(histogram.below_range(), 1);
        assert_eq!(histogram.above_range(), 2);
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn a_decimal_share_means_the_rank_that_a_person_would_count() {
        assert_eq!(rank_of(0.07, 100), 7);
        assert_eq!(rank_of(0.99, 100), 99);
        assert_eq!(rank_of(0.999, 1_000), 999);
        assert_eq!(rank_of(0.999, 1_001), 1_000);
        assert_eq!(rank_of(0.0, 10), 1);
        assert_eq!(rank_of(1.0, 10), 10);
        assert_eq!(rank_of(0.5, 1), 1);
    }

    #[test]
    fn quantiles_agree_with_hdrhistogram_within_the_sum_of_both_errors() {
        use rand_core::Rng;
        let mut rng =
            <rand_xoshiro::Xoshiro256PlusPlus as rand_core::SeedableRng>::seed_from_u64(7);
        let mut ours = Histogram::new();
        let mut theirs =
            hdrhistogram::Histogram::<u64>::new_with_bounds(1, 600_000_000_000, 3).unwrap();
        for _ in 0..50_000 {
            // Log-uniform over 1 us to 100 s.
            let share = rng.next_u64() as f64 / u64::MAX as f64;
            let nanos = libm::exp2(10.0 + share * 26.5) as u64;
            ours.record(Duration::from_nanos(nanos));
            theirs.record(nanos).unwrap();
        }
        for q in [0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999] {
            let ours = ours.quantile(q).unwrap().as_nanos() as f64;
            let theirs = theirs.value_at_quantile(q) as f64;
            assert!(
                (ours / theirs - 1.0).abs() < QUANTILE_ERROR + 0.001,
                "{q}: {ours} against {theirs}"
            );
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error_of_the_exact_ones(
            values in vec(1_000_u64..600_000_000_000, 1..300),
            q in 0.0_f64..=1.0,
        ) {
            check_quantile(values, q)?;
        }

        #[test]
        fn short_latencies_keep_the_stated_error(
            values in vec(1_000_u64..100_000, 1..300),
            q in 0.0_f64..=1.0,
        ) {
            check_quantile(values, q)?;
        }

        #[test]
        fn merging_is_the_same_as_recording_everything_in_one(
            left in vec(any::<u64>(), 0..100),
            right in vec(any::<u64>(), 0..100),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            let all: Vec<u64> = left.iter().chain(&right).copied().collect();
            prop_assert_eq!(&merged, &of(&all));
            prop_assert_eq!(merged.since(&of(&left)), of(&right));
        }
    }

    fn check_quantile(mut values: Vec<u64>, q: f64) -> Result<(), TestCaseError> {
        let histogram = of(&values);
        values.sort_unstable();
        let exact = values[rank_of(q, values.len() as u64) as usize - 1] as f64;
        let estimate = histogram
            .quantile(q)
            .map_or(0.0, |value| value.as_nanos() as f64);
        // Bucket bounds and the answer are whole nanoseconds: at most one more.
        prop_assert!(
            (estimate - exact).abs() <= exact * QUANTILE_ERROR + 1.0,
            "{estimate} for {exact}"
        );
        Ok(())
    }

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for nanos in values {
            histogram.record(Duration::from_nanos(*nanos));
        }
        histogram
    }
}
