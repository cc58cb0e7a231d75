//! Requests that no route leads to a service, beside all others: what shows where a route is gone.
//!
//! They are no service's, so no objective counts them. Steps are as long as those of services, and kept for as long.

use std::collections::VecDeque;

use plimsoll_measure::StepLength;
use plimsoll_policy::WatchBatch;

/// Ten minutes.
const STEPS_MAX: usize = 120;

/// See the module's docs.
#[derive(Debug, Default)]
pub(crate) struct Unrouted {
    /// When each began, the oldest first.
    done: VecDeque<(u64, WatchBatch)>,
    open: (u64, WatchBatch),
}

impl Unrouted {
    /// What came with the second that ends at `at`: to services, and to none.
    pub(crate) fn on_second(&mut self, at: u64, served: u64, unrouted: u64) {
        let start = at - at % StepLength::Short.seconds();
        // Time that runs backwards stays in the step that is on.
        if start > self.open.0 {
            if self.open.0 > 0 {
                if self.done.len() == STEPS_MAX {
                    self.done.pop_front();
                }
                self.done.push_back(self.open);
            }
            self.open = (start, WatchBatch::default());
        }
        let batch = &mut self.open.1;
        batch.requests += served + unrouted;
        batch.bad += unrouted;
    }

    /// Steps that are over and began at `from` or later, the oldest first.
    pub(crate) fn ended_since(&self, from: u64) -> impl Iterator<Item = (u64, WatchBatch)> {
        let done = self.done.iter().copied();
        done.filter(move |(start, _)| *start >= from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_of_five_seconds_and_the_one_that_is_on_is_not_given() {
        let mut unrouted = Unrouted::default();
        for at in 1_003..1_012 {
            unrouted.on_second(at, 9, 1);
        }
        let batch = |requests, bad| WatchBatch { requests, bad };
        let ended: Vec<_> = unrouted.ended_since(0).collect();
        assert_eq!(ended, [(1_000, batch(20, 2)), (1_005, batch(50, 5))]);
        assert_eq!(unrouted.ended_since(1_001).count(), 1);
        for at in 1_012..9_000 {
            unrouted.on_second(at, 0, 0);
        }
        assert_eq!(unrouted.ended_since(0).count(), STEPS_MAX);
    }
}
