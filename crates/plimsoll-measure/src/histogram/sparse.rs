//! A histogram of a short time, in the memory of the few buckets it uses.

use super::{Histogram, SLOTS};

/// Non-empty slots and their counts, ascending. At most [`SLOTS`] of them, eight bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseHistogram {
    counts: Vec<(u16, u32)>,
    sum_nanos: u128,
}

impl SparseHistogram {
    /// What was recorded between two states of one histogram.
    pub fn between(earlier: &Histogram, later: &Histogram) -> Self {
        let mut counts: Vec<(u16, u32)> = earlier
            .counts()
            .iter()
            .zip(later.counts())
            .enumerate()
            .filter(|(_, (then, now))| now > then)
            .map(|(slot, (then, now))| (slot as u16, u32::try_from(now - then).unwrap_or(u32::MAX)))
            .collect();
        // To the size it has: most of them are kept as they are.
        counts.shrink_to_fit();
        Self {
            counts,
            sum_nanos: later.sum_nanos().saturating_sub(earlier.sum_nanos()),
        }
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The sum of all of it, in seconds.
    pub fn seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// Adds all of it to `histogram`.
    pub fn add_to(&self, histogram: &mut Histogram) {
        for (slot, count) in &self.counts {
            histogram.add_to_slot(usize::from(*slot), u64::from(*count));
        }
        histogram.add_to_sum(self.sum_nanos);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            self.sum_nanos += other.sum_nanos;
            return;
        }
        let mut merged = Vec::with_capacity((self.counts.len() + other.counts.len()).min(SLOTS));
        let (mut mine, mut theirs) = (
            self.counts.iter().peekable(),
            other.counts.iter().peekable(),
        );
        loop {
            match (mine.peek().copied(), theirs.peek().copied()) {
                (Some((slot, a)), Some((other_slot, b))) if slot == other_slot => {
                    merged.push((*slot, a.saturating_add(*b)));
                    mine.next();
                    theirs.next();
                }
                (Some(left), Some(right)) if left.0 < right.0 => {
                    merged.push(*left);
                    mine.next();
                }
                (_, Some(right)) => {
                    merged.push(*right);
                    theirs.next();
                }
                (Some(left), None) => {
                    merged.push(*left);
                    mine.next();
                }
                (None, None) => break,
            }
        }
        merged.shrink_to_fit();
        self.counts = merged;
        self.sum_nanos += other.sum_nanos;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn differences_merge_back_to_the_whole(
            first in vec(any::<u32>(), 0..40),
            second in vec(any::<u32>(), 0..40),
        ) {
            let start = Histogram::new();
            let middle = recorded(&start, &first);
            let end = recorded(&middle, &second);
            let mut merged = SparseHistogram::between(&start, &middle);
            merged.merge(&SparseHistogram::between(&middle, &end));
            prop_assert_eq!(&merged, &SparseHistogram::between(&start, &end));
            let mut plain = Histogram::new();
            merged.add_to(&mut plain);
            prop_assert_eq!(&plain, &end);
            prop_assert_eq!(merged.seconds(), plain.sum_nanos() as f64 / 1e9);
        }
    }

    fn recorded(histogram: &Histogram, values: &[u32]) -> Histogram {
        let mut histogram = histogram.clone();
        for nanos in values {
            histogram.record(Duration::from_nanos(u64::from(*nanos) * 100));
        }
        histogram
    }
}
