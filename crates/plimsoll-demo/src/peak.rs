//! The most that came in any second, from a count that is looked at a few times a second.

use std::collections::VecDeque;
use std::time::Duration;

/// Looks closer together than this are not a second.
const SECOND: Duration = Duration::from_millis(950);

/// A rate's highest value.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    /// Looks of the last second, and the one before it.
    looks: VecDeque<(Duration, u64)>,
    most: f64,
}

impl Peak {
    /// So many had come before what counts begins: without it, what comes in its first moments would be in no second.
    pub(crate) fn before(&mut self, at: Duration, count: u64) {
        self.looks.push_back((at, count));
        self.forget(at);
    }

    /// So many came since the beginning, `at` this time.
    pub(crate) fn on_count(&mut self, at: Duration, count: u64) {
        self.before(at, count);
        let Some((then, before)) = self.looks.front() else {
            return;
        };
        let past = at.saturating_sub(*then);
        if past >= SECOND {
            let rate = count.saturating_sub(*before) as f64 / past.as_secs_f64();
            self.most = self.most.max(rate);
        }
    }

    fn forget(&mut self, at: Duration) {
        while self
            .looks
            .get(1)
            .is_some_and(|(then, _)| at.saturating_sub(*then) >= SECOND)
        {
            self.looks.pop_front();
        }
    }

    /// Per second; zero before a second was seen.
    pub(crate) fn most(&self) -> f64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_a_whole_second_and_not_of_what_came_in_a_part_of_one() {
        let mut peak = Peak::default();
        for (quarter, count) in [0, 100, 100, 100, 100, 110, 120, 130, 140]
            .into_iter()
            .enumerate()
        {
            peak.on_count(Duration::from_millis(250 * quarter as u64), count);
        }
        assert_eq!(peak.most(), 100.0);
        let mut short = Peak::default();
        short.on_count(Duration::ZERO, 0);
        short.on_count(Duration::from_millis(500), 1_000);
        assert_eq!(short.most(), 0.0);
    }

    #[test]
    fn what_comes_in_the_first_moments_counts_and_what_came_before_does_not() {
        let mut peak = Peak::default();
        for (quarter, count) in [0, 900, 900, 900, 900, 900, 900].into_iter().enumerate() {
            peak.before(Duration::from_millis(250 * quarter as u64), count);
        }
        assert_eq!(peak.most(), 0.0);
        for (quarter, count) in [(7, 1_100), (8, 1_110), (9, 1_120), (10, 1_130)] {
            peak.on_count(Duration::from_millis(250 * quarter), count);
        }
        assert_eq!(peak.most(), 230.0);
    }
}
