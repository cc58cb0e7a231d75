//! Graded throttling of a service as a whole: what it would refuse or fail anyway is not sent in the first place.
//!
//! Source: Google, *Site Reliability Engineering* (2016), "Handling Overload", client-side throttling:
//! `p = max(0, (requests - K * accepts) / (requests + 1))`, with two changes (see `control`): requests count when
//! they are answered, and `p` is also bounded by the share of answers that were failures, so that it is zero as
//! soon as the window holds none. Refusing costs a service too: with K = 2 it is sent about twice what it accepts.
//! Units: shares of requests, in `0.0..=1.0`.
//! Invariants: no class is throttled by more than `share_max`, so that there are always probes; a higher class is
//! throttled only if all lower ones are throttled by `share_max`.
//! Elsewhere: how much fits (limiter, admission); single endpoints (`endpoint`); what counts as a failure
//! (`plimsoll-measure`, outcomes).

mod control;

pub use control::{ThrottleControl, ThrottleParameters};

use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_core::Class;

const CLASSES: usize = Class::ALL.len();
/// 2^64: what a share of one is in the units of a random word.
const WORD: f64 = 18_446_744_073_709_551_616.0;

/// What became of the requests of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    throttled: u64,
    accepts: u64,
    failures: u64,
}

/// One class's counts on one thread, since it started.
#[derive(Debug, Default)]
struct ClassCounts {
    throttled: AtomicU64,
    accepts: AtomicU64,
    failures: AtomicU64,
}

/// One thread's counts. Aligned, so that threads do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ThreadCounts([ClassCounts; CLASSES]);

/// What all threads share: the share in force for each class, and what each thread counts.
#[derive(Debug)]
pub struct ThrottleShared {
    /// By class: a random word below this is throttled.
    thresholds: [AtomicU64; CLASSES],
    threads: Box<[ThreadCounts]>,
}

impl ThrottleShared {
    /// For so many threads. Throttles nothing until the control half says so.
    pub fn new(threads: usize) -> Self {
        Self {
            thresholds: Default::default(),
            threads: (0..threads).map(|_| ThreadCounts::default()).collect(),
        }
    }

    /// Whether a request is sent. `random` is uniform over all of `u64`. Counts nothing: what follows does, by
    /// [`ThrottleShared::on_throttled`] or [`ThrottleShared::on_answer`].
    pub fn admits(&self, class: Class, random: u64) -> bool {
        random >= self.threshold(class)
    }

    /// A request was refused for [`ThrottleShared::admits`]. Not where that is only observed: then it is sent, and
    /// its answer counts.
    pub fn on_throttled(&self, thread: usize, class: Class) {
        if let Some(counts) = self.counts(thread, class) {
            counts.throttled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An attempt was answered. `accepted` is false for the service's own refusals and failures: what is bad and of
    /// the service's origin. What Plimsoll refused, or a client gave up, is not an answer and is not counted.
    pub fn on_answer(&self, thread: usize, class: Class, accepted: bool) {
        if let Some(counts) = self.counts(thread, class) {
            let count = if accepted {
                &counts.accepts
            } else {
                &counts.failures
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The share of a class that is throttled now.
    pub fn share(&self, class: Class) -> f64 {
        self.threshold(class) as f64 / WORD
    }

    fn threshold(&self, class: Class) -> u64 {
        self.thresholds
            .get(class.index())
            .map_or(0, |threshold| threshold.load(Ordering::Relaxed))
    }

    /// `None` for a thread that was not announced: its requests are missing, no more.
    fn counts(&self, thread: usize, class: Class) -> Option<&ClassCounts> {
        self.threads.get(thread)?.0.get(class.index())
    }

    /// What all threads counted since they started, by class.
    fn totals(&self) -> [Counts; CLASSES] {
        let mut totals = [Counts::default(); CLASSES];
        for thread in &self.threads {
            for (total, counts) in totals.iter_mut().zip(&thread.0) {
                total.throttled += counts.throttled.load(Ordering::Relaxed);
                total.accepts += counts.accepts.load(Ordering::Relaxed);
                total.failures += counts.failures.load(Ordering::Relaxed);
            }
        }
        totals
    }

    fn publish(&self, shares: [f64; CLASSES]) {
        for (threshold, share) in self.thresholds.iter().zip(shares) {
            // The cast saturates.
            threshold.store((share * WORD) as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_word_below_the_share_is_throttled() {
        let shared = ThrottleShared::new(1);
        shared.publish([0.0, 0.25, 0.9]);
        assert!(shared.admits(Class::Critical, 0));
        assert!(!shared.admits(Class::Standard, (1 << 62) - 1));
        assert!(shared.admits(Class::Standard, 1 << 62));
        assert!(!shared.admits(Class::Sheddable, u64::MAX / 100 * 89));
        assert!(shared.admits(Class::Sheddable, u64::MAX / 100 * 91));
        assert!((shared.share(Class::Sheddable) - 0.9).abs() < 1e-9);
    }

    #[test]
    fn a_new_one_admits_all() {
        let shared = ThrottleShared::new(0);
        assert!(Class::ALL.iter().all(|class| shared.admits(*class, 0)));
    }

    #[test]
    fn threads_count_apart_and_add_up() {
        let shared = ThrottleShared::new(2);
        shared.on_answer(0, Class::Critical, true);
        shared.on_answer(1, Class::Critical, true);
        shared.on_answer(1, Class::Critical, false);
        shared.on_throttled(0, Class::Sheddable);
        shared.on_throttled(2, Class::Sheddable);
        let expected = |throttled, accepts, failures| Counts {
            throttled,
            accepts,
            failures,
        };
        assert_eq!(
            shared.totals(),
            [expected(0, 2, 1), expected(0, 0, 0), expected(1, 0, 0)]
        );
    }
}
