//! Latencies counted by one thread, in buckets whose bounds grow with the latency.
//!
//! Each octave from 64 us to 134 s is cut into eight equal parts, so a bucket is 7 to 13 % wide and its number
//! is found with shifts alone. What is below or above counts in the first or the last bucket.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// 2^6 = 64 us, where the first octave begins.
const OCTAVE_FIRST: u32 = 6;
/// 2^27 us = 134 s, where the last one ends.
const OCTAVE_END: u32 = 27;
/// 2^3 = 8 parts of an octave.
const PARTS_LOG2: u32 = 3;
/// How many buckets there are: 168, or 672 bytes per thread.
pub(super) const BUCKETS: usize = ((OCTAVE_END - OCTAVE_FIRST) << PARTS_LOG2) as usize;

/// One thread's counts since it started; they wrap, and only differences are read.
///
/// Aligned to a cache line, so that threads do not slow each other.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct ThreadCounts([AtomicU32; BUCKETS]);

impl Default for ThreadCounts {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl ThreadCounts {
    pub(super) fn add(&self, latency: Duration) {
        if let Some(count) = self.0.get(bucket(latency)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|count| count.load(Ordering::Relaxed))
    }
}

fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let micros = micros.clamp(1 << OCTAVE_FIRST, (1 << OCTAVE_END) - 1);
    let octave = micros.ilog2();
    // The three bits below the highest one.
    let part = (micros >> (octave - PARTS_LOG2)) & ((1 << PARTS_LOG2) - 1);
    (((octave - OCTAVE_FIRST) << PARTS_LOG2) as usize) + part as usize
}

/// Where a bucket begins; the end of the last one for `BUCKETS`.
pub(super) fn bound(bucket: usize) -> Duration {
    let octave = OCTAVE_FIRST + (bucket >> PARTS_LOG2) as u32;
    let parts = (1 << PARTS_LOG2) + (bucket as u64 & ((1 << PARTS_LOG2) - 1));
    Duration::from_micros(parts << (octave - PARTS_LOG2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_grow_by_at_most_an_eighth() {
        for bucket in 0..BUCKETS {
            let growth = bound(bucket + 1).as_secs_f64() / bound(bucket).as_secs_f64();
            assert!((1.06..=1.126).contains(&growth), "{bucket}: {growth}");
        }
        assert_eq!(bound(0), Duration::from_micros(64));
        assert_eq!(bound(BUCKETS), Duration::from_micros(1 << 27));
    }

    #[test]
    fn what_is_outside_counts_at_the_ends() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn a_latency_lies_in_its_bucket(nanos in 64_000_u64..134_217_728_000) {
            let latency = Duration::from_nanos(nanos);
            let bucket = bucket(latency);
            prop_assert!(bound(bucket) <= latency);
            prop_assert!(latency < bound(bucket + 1));
        }
    }
}
