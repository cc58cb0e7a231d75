//! What came to a series within the last minute as one SLI judges it, and how it was bad.
//!
//! Endpoints and routes have no objectives of their own: what is late is read from their histogram, right to its
//! buckets.

use std::time::Duration;

use plimsoll_core::Instant;

use super::tracked::{TRAFFIC_WINDOW, Tracked};
use super::{Measure, SeriesKey};
use crate::histogram::{Histogram, slot_of};
use crate::objective::{Sli, Tally};
use crate::outcome::{Cause, Outcome};
use crate::series::CauseCounts;
use crate::snapshot::REFUSALS;

/// Causes that a request waits long for.
const WAITED: [Cause; 2] = [Cause::Timeout, Cause::Stalled];

/// Requests, and how those that are bad are so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// All in the SLI.
    pub tally: Tally,
    /// Bad ones that were answered with an error, or not at all.
    pub failed: u64,
    /// Bad ones that came late, or were given up for it.
    pub late: u64,
    /// Bad ones that Plimsoll refused.
    pub refused: u64,
}

impl Measure {
    /// What came to a series within the last minute, as `sli` judges it; of a service all of it, whatever the objective is
    /// about.
    pub fn judged(&self, key: &SeriesKey, sli: &Sli) -> Judged {
        let tracked = self.tracked.get(key);
        tracked.map_or_else(Judged::default, |it| it.judged(self.ticked, sli))
    }
}

impl Tracked {
    fn judged(&self, now: Instant, sli: &Sli) -> Judged {
        let mut causes = CauseCounts::default();
        let mut latency = Histogram::new();
        let below = match sli {
            Sli::Latency { below } => Some(*below),
            Sli::Availability => None,
        };
        self.recent.each(now, TRAFFIC_WINDOW, |recent| {
            if let Some(recent) = recent {
                causes += recent.causes;
                if below.is_some() {
                    recent.latency.add_to(&mut latency);
                }
            }
        });
        Judged::of(&causes, &latency, below)
    }
}

impl Judged {
    fn of(causes: &CauseCounts, latency: &Histogram, below: Option<Duration>) -> Self {
        let sum = |of: &[Cause]| of.iter().map(|it| causes.with_cause(*it)).sum::<u64>();
        let bad = causes.with_outcome(Outcome::Bad);
        let refused: u64 = REFUSALS
            .iter()
            .filter(|it| it.outcome() == Outcome::Bad)
            .map(|it| causes.with_cause(*it))
            .sum();
        let waited = sum(&WAITED);
        // What waited in vain is in the histogram, too.
        let slow = below.map_or(0, |below| {
            let nanos = u64::try_from(below.as_nanos()).unwrap_or(u64::MAX);
            let slow = latency.count() - latency.cumulative(slot_of(nanos));
            slow.saturating_sub(waited + causes.with_cause(Cause::QueueTimeout))
        });
        let slow = slow.min(causes.with_outcome(Outcome::Good));
        Self {
            tally: Tally {
                good: causes.with_outcome(Outcome::Good) - slow,
                bad: bad + slow,
            },
            failed: bad.saturating_sub(refused + waited),
            late: waited + slow,
            refused,
        }
    }
}

impl std::ops::AddAssign for Judged {
    fn add_assign(&mut self, other: Self) {
        self.tally += other.tally;
        self.failed += other.failed;
        self.late += other.late;
        self.refused += other.refused;
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Class;

    use super::*;
    use crate::series::{Record, Series};

    #[test]
    fn what_is_late_is_bad_once_and_each_bad_one_is_so_in_one_way() {
        let series = Series::new(1, Vec::new());
        for (cause, millis, count) in [
            (Cause::Answered, 10, 70),
            (Cause::Answered, 900, 20),
            (Cause::UpstreamStatus, 10, 3),
            (Cause::Timeout, 30_000, 2),
            (Cause::Shed, 0, 4),
            (Cause::QueueTimeout, 800, 1),
        ] {
            let record = Record {
                class: Class::Standard,
                cause,
                latency: Duration::from_millis(millis),
                bytes_in: 0,
                bytes_out: 0,
                objectives: Record::ALL,
            };
            (0..count).for_each(|_| series.record(0, &record));
        }
        let totals = series.read();
        let (causes, latency) = (totals.causes(), totals.latency);
        let below = Some(Duration::from_millis(300));
        assert_eq!(
            Judged::of(&causes, &latency, below),
            Judged {
                tally: Tally { good: 70, bad: 30 },
                failed: 3,
                late: 22,
                refused: 5,
            }
        );
        let availability = Judged::of(&causes, &Histogram::new(), None);
        assert_eq!(availability.tally, Tally { good: 90, bad: 10 });
        assert_eq!(availability.late, 2);
    }
}
