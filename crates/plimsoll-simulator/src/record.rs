//! What a run is remembered by: a row of counts for each second, latencies for each phase, the limit's moves.
//!
//! Invariant: what is counted needs no allocation but one row a second.

use plimsoll_core::Class;
use plimsoll_policy::LimitChange;

use crate::agenda::Nanos;

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Requests that came, by class.
    pub offered: [u32; Class::ALL.len()],
    /// Answers within the objective, by class.
    pub good: [u32; Class::ALL.len()],
    /// Answers that came too late, but before the client gave up.
    pub late: u32,
    /// Answers that were failures.
    pub failed: u32,
    /// Requests that got no permit.
    pub refused: u32,
    /// Requests that were given up.
    pub timed_out: u32,
    /// Of `offered`, those of tenants that don't flood.
    pub offered_legitimate: u32,
    /// Of `good`, those of tenants that don't flood.
    pub good_legitimate: u32,
    /// The limit at its end.
    pub limit: u32,
    /// In flight at its end.
    pub in_flight: u32,
    /// Waiting at its end.
    pub queued: u32,
}

impl Second {
    /// Requests that came.
    pub fn offered_sum(&self) -> u32 {
        self.offered.iter().sum()
    }

    /// Answers within the objective.
    pub fn good_sum(&self) -> u32 {
        self.good.iter().sum()
    }
}

/// Latencies, in hundredths of the objective; the last is twice the objective or more.
const BUCKETS: usize = 201;

/// How latencies of answers spread, relative to the objective.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: [u64; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }
}

impl Latencies {
    pub(crate) fn add(&mut self, latency: Nanos, objective: Nanos) {
        let bucket = (latency * 100 / objective.max(1)).min(BUCKETS as u64 - 1);
        if let Some(count) = self.counts.get_mut(bucket as usize) {
            *count += 1;
        }
    }

    /// The quantile as a share of the objective, not below the truth; zero without any.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all as f64 * quantile) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen > wanted {
                return (bucket + 1) as f64 / 100.0;
            }
        }
        0.0
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Each second.
    pub seconds: Vec<Second>,
    /// Latencies of answers in what is counted of each phase.
    pub latencies: Vec<Latencies>,
    /// The limit's moves.
    pub changes: Vec<LimitChange>,
    /// The limit at the start.
    pub limit: u32,
    /// Requests that were sent.
    pub requests: u64,
}

impl Record {
    /// Times per minute that the limit turned round by more than a quarter.
    pub fn reversals_per_minute(&self) -> f64 {
        let minutes = self.seconds.len() as f64 / 60.0;
        if minutes == 0.0 {
            return 0.0;
        }
        let (mut low, mut high) = (f64::from(self.limit), f64::from(self.limit));
        let (mut direction, mut reversals) = (0, 0_u32);
        for change in &self.changes {
            let limit = f64::from(change.to);
            low = low.min(limit);
            high = high.max(limit);
            if direction >= 0 && limit < high / 1.25 {
                reversals += u32::from(direction > 0);
                (direction, low) = (-1, limit);
            } else if direction <= 0 && limit > low * 1.25 {
                reversals += u32::from(direction < 0);
                (direction, high) = (1, limit);
            }
        }
        f64::from(reversals) / minutes
    }

    pub(crate) fn close_second(&mut self, open: &mut Second) {
        self.seconds.push(*open);
        *open = Second::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::Instant;
    use plimsoll_policy::LimitReason;

    #[test]
    fn only_turns_of_more_than_a_quarter_are_reversals() {
        let mut record = Record {
            limit: 100,
            seconds: vec![Second::default(); 60],
            ..Record::default()
        };
        for to in [110, 90, 110, 90, 130, 100, 101, 160, 40, 45, 30, 38] {
            record.changes.push(LimitChange {
                at: Instant::ORIGIN,
                from: 0,
                to,
                reason: LimitReason::Hold,
            });
        }
        // Up by 130 (from 90), down by 100, up by 160, down by 40, up by 38 (from 30): four turns.
        assert_eq!(record.reversals_per_minute(), 4.0);
    }

    #[test]
    fn quantiles_are_shares_of_the_objective() {
        let mut latencies = Latencies::default();
        for percent in 0..100 {
            latencies.add(percent, 100);
        }
        assert_eq!(latencies.quantile(0.99), 1.0);
        assert_eq!(latencies.quantile(0.5), 0.51);
    }
}
