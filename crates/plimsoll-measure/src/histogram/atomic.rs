//! The histogram that one data-plane thread writes and others read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Histogram, SLOTS, nanos_of, slot_of};

/// A histogram with one writer: a count is a load and a store, without a lock or a locked instruction.
///
/// Two threads that write at once lose counts; nothing else breaks.
#[derive(Debug)]
pub struct AtomicHistogram {
    counts: [AtomicU64; SLOTS],
    /// Whole microseconds; as nanoseconds, 10,000 requests in flight would overflow it within a month.
    sum_micros: AtomicU64,
    /// What is not yet a whole microsecond. Only the writer uses it.
    sum_rest_nanos: AtomicU64,
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; SLOTS],
            sum_micros: AtomicU64::new(0),
            sum_rest_nanos: AtomicU64::new(0),
        }
    }
}

impl AtomicHistogram {
    /// Counts one latency. Only ever called by the one writing thread.
    #[inline]
    pub fn record(&self, latency: Duration) {
        let nanos = nanos_of(latency);
        if let Some(count) = self.counts.get(slot_of(nanos)) {
            add(count, 1);
        }
        let rest = self.sum_rest_nanos.load(Relaxed).saturating_add(nanos);
        self.sum_rest_nanos.store(rest % 1_000, Relaxed);
        add(&self.sum_micros, rest / 1_000);
    }

    /// Adds what was counted so far to `histogram`. The sum leaves out what is not yet a whole microsecond.
    pub fn read_into(&self, histogram: &mut Histogram) {
        for (slot, count) in self.counts.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                histogram.add_to_slot(slot, count);
            }
        }
        histogram.add_to_sum(u128::from(self.sum_micros.load(Relaxed)) * 1_000);
    }
}

/// Adds as the only writer.
#[inline]
pub(crate) fn add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_the_plain_one_that_recorded_the_same() {
        let atomic = AtomicHistogram::default();
        let mut plain = Histogram::new();
        for nanos in (0..2_000_000_000_u64).step_by(7_654_321) {
            atomic.record(Duration::from_nanos(nanos));
            plain.record(Duration::from_nanos(nanos));
        }
        let mut read = Histogram::new();
        atomic.read_into(&mut read);
        assert_eq!(read.counts(), plain.counts());
        assert_eq!(read.sum_nanos(), plain.sum_nanos() / 1_000 * 1_000);
    }
}
