//! What an objective counted in the last seconds.

use std::collections::VecDeque;

use plimsoll_measure::Counts;
use serde::{Deserialize, Serialize};

/// How many seconds are kept.
pub(crate) const SECONDS: usize = 60;

/// A ring of seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    /// The newest is at the back; (good, bad, bad of the service).
    seconds: VecDeque<(u64, u64, u64)>,
    /// The second that the newest is of.
    newest: u64,
}

impl Recent {
    /// What a second brought. Seconds that were left out brought nothing; one that is given again is added to.
    pub(crate) fn add(&mut self, second: u64, counts: Counts) {
        let passed = second.saturating_sub(self.newest).min(SECONDS as u64);
        let missing = if self.seconds.is_empty() { 1 } else { passed };
        for _ in 0..missing {
            if self.seconds.len() == SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back((0, 0, 0));
        }
        self.newest = self.newest.max(second);
        if let Some((good, bad, bad_service)) = self.seconds.back_mut() {
            *good += counts.good;
            *bad += counts.bad;
            *bad_service += counts.bad_service;
        }
    }

    /// The sum over the last `seconds`.
    pub(crate) fn over(&self, seconds: usize) -> Counts {
        let mut sum = Counts::default();
        for counts in self.last(seconds) {
            sum += counts;
        }
        sum
    }

    /// In how many of the last `seconds` something passes.
    pub(crate) fn count(&self, seconds: usize, passes: impl Fn(Counts) -> bool) -> usize {
        self.last(seconds).filter(|counts| passes(*counts)).count()
    }

    fn last(&self, seconds: usize) -> impl Iterator<Item = Counts> {
        self.seconds
            .iter()
            .rev()
            .take(seconds)
            .map(|&(good, bad, bad_service)| Counts {
                good,
                bad,
                bad_service,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Counts {
        Counts {
            good: 1,
            bad: 2,
            bad_service: 1,
        }
    }

    #[test]
    fn seconds_that_are_left_out_brought_nothing() {
        let mut recent = Recent::default();
        recent.add(10, one());
        recent.add(13, one());
        recent.add(13, one());
        assert_eq!(recent.over(1).bad, 4);
        assert_eq!(recent.over(3).bad, 4);
        assert_eq!(recent.over(4).bad, 6);
        assert_eq!(recent.count(60, |it| it.bad > 0), 2);
    }

    #[test]
    fn a_jump_of_time_empties_it_and_no_more() {
        let mut recent = Recent::default();
        recent.add(10, one());
        recent.add(u64::MAX, one());
        assert_eq!(recent.over(SECONDS), one());
        recent.add(5, one());
        assert_eq!(recent.over(1).good, 2, "backwards is now");
    }
}
