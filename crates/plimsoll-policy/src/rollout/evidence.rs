//! Evidence that the canary does worse: bets on its share of what is bad, batch by batch.
//!
//! If both versions are alike, the canary has that share of all bad events that it has of all requests, in the mean and
//! whatever the rate of errors, however it drifts and even if all of a batch's errors are one burst. So who bets that its share is
//! larger wins nothing in the mean; what a player with a capital of 1 would have by now is the evidence `e`.
//! Were the versions alike, it would ever reach 100 in one of a hundred rollouts at most, however often one looks
//! (J. Ville, 1939). Source: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting"
//! (JRSS B, 2024). Eight players stake each a fixed part of what they have; `e` is their mean.
//! Invariant: a batch is closed by counts of requests and by time, never by what was bad in it; else the mean would not hold.
//! Units: natural logarithms of capital.

use serde::{Deserialize, Serialize};

use crate::rollout::counts::Pair;

/// The part of the capital that each player stakes: small ones win where the change is small, large ones where few
/// events say much.
const STAKES: [f64; 8] = [0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.75, 0.95];
/// Logarithms of capital stay within this on either side: `exp` of it is a number that JSON can write.
const LOG_MAX: f64 = 600.0;

/// Eight players and what they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bets {
    log_capital: [f64; STAKES.len()],
}

impl Bets {
    /// That the canary's bad events are more than `tolerate` times as likely as stable's.
    pub fn on_worse(&mut self, batch: &Pair, tolerate: f64) {
        if let Some((fair, seen)) = batch.shares() {
            self.settle(seen, tolerated(fair, tolerate));
        }
    }

    /// That they are less than `tolerate` times as likely.
    pub fn on_better(&mut self, batch: &Pair, tolerate: f64) {
        if let Some((fair, seen)) = batch.shares() {
            self.settle(1.0 - seen, 1.0 - tolerated(fair, tolerate));
        }
    }

    /// That more is bad than a share known from before: for where there is nothing to compare with at the same time.
    pub fn on_more_than(&mut self, bad_share: f64, known: f64) {
        self.settle(bad_share, known);
    }

    /// The evidence: 1 says nothing, and 1,000 what would be seen by chance in one of a thousand rollouts.
    pub fn evidence(&self) -> f64 {
        let sum: f64 = self.log_capital.iter().map(|it| libm::exp(*it)).sum();
        sum / STAKES.len() as f64
    }

    /// A bet pays `seen / fair` for each 1 that was staked: 1 in the mean where `fair` is right.
    fn settle(&mut self, seen: f64, fair: f64) {
        let pays = seen / fair;
        // Where no share is fair there is nothing to bet on.
        if !pays.is_finite() || pays < 0.0 {
            return;
        }
        for (log_capital, stake) in self.log_capital.iter_mut().zip(STAKES) {
            let grown = *log_capital + libm::log((1.0 - stake) + stake * pays);
            *log_capital = grown.clamp(-LOG_MAX, LOG_MAX);
        }
    }
}

/// The share of bad events that is fair where the canary's may be `tolerate` times as likely.
fn tolerated(fair: f64, tolerate: f64) -> f64 {
    tolerate * fair / (tolerate * fair + 1.0 - fair)
}

/// How many batches are kept to say between what the ratio of the rates is; when there are more, neighbours are joined.
const KEPT_MAX: usize = 256;
/// The ratios that are looked at.
const RATIO_MIN: f64 = 0.1;
const RATIO_MAX: f64 = 1_000.0;

/// The batches so far, for how many times as likely the canary's bad events are as stable's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    batches: Vec<Pair>,
    /// How many batches each of these is.
    joined: u32,
    /// Of the last one: how many are in it already.
    in_last: u32,
}

/// Between what a ratio is, with a confidence that holds at every moment. `None`: there is no bound on that side between 0.1
/// and 1,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RatioInterval {
    /// It is at least this.
    pub low: Option<f64>,
    /// It is at most this.
    pub high: Option<f64>,
}

impl Ratios {
    /// Keeps a batch, if it says anything.
    pub fn on_batch(&mut self, batch: &Pair) {
        if batch.shares().is_none() {
            return;
        }
        self.joined = self.joined.max(1);
        match self.batches.last_mut() {
            Some(last) if self.in_last < self.joined => {
                last.add(batch);
                self.in_last += 1;
            }
            _ => {
                if self.batches.len() >= KEPT_MAX {
                    self.join();
                }
                self.batches.push(*batch);
                self.in_last = 1;
            }
        }
    }

    /// The interval that covers the ratio at all times with probability `1 - alpha`.
    pub fn interval(&self, alpha: f64) -> RatioInterval {
        let enough = 2.0 / alpha;
        let worse = |ratio: f64| self.evidence(ratio, Bets::on_worse) >= enough;
        let better = |ratio: f64| self.evidence(ratio, Bets::on_better) >= enough;
        RatioInterval {
            low: worse(RATIO_MIN).then(|| boundary(worse)),
            high: better(RATIO_MAX).then(|| boundary(|ratio| !better(ratio))),
        }
    }

    fn evidence(&self, ratio: f64, bet: fn(&mut Bets, &Pair, f64)) -> f64 {
        let mut bets = Bets::default();
        for batch in &self.batches {
            bet(&mut bets, batch, ratio);
        }
        bets.evidence()
    }

    /// Makes room: two and two become one. A batch of two is a batch, too: when they are joined depends on time only.
    fn join(&mut self) {
        let joined = self.batches.chunks(2).filter_map(|two| {
            let (first, rest) = two.split_first()?;
            let mut both = *first;
            for other in rest {
                both.add(other);
            }
            Some(both)
        });
        self.batches = joined.collect();
        self.joined = self.joined.saturating_mul(2);
    }
}

/// The last ratio for which `holds`; it holds for the smallest one, and from some ratio on it doesn't.
fn boundary(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (RATIO_MIN, RATIO_MAX);
    // The logarithm of the range halves each time: to about a part in 10^9.
    for _ in 0..34 {
        let middle = libm::sqrt(low * high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::counts::Trials;

    fn pair((n_c, n_s, x_c, x_s): (u64, u64, u64, u64)) -> Pair {
        Pair {
            canary: Trials::new(n_c, x_c),
            stable: Trials::new(n_s, x_s),
        }
    }

    const SIX: [(u64, u64, u64, u64); 6] = [
        (50, 950, 0, 1),
        (48, 952, 1, 1),
        (51, 949, 2, 1),
        (50, 950, 0, 0),
        (49, 951, 3, 2),
        (50, 950, 1, 0),
    ];

    #[track_caller]
    fn close(value: f64, expected: f64) {
        // To a millionth, or to the six places that are printed.
        let off = (value - expected).abs();
        assert!(off < (1e-6 * expected).max(0.51e-6), "{value}, {expected}");
    }

    #[track_caller]
    fn check(bet: fn(&mut Bets, &Pair, f64), tolerate: f64, expected: [f64; 6]) {
        let mut bets = Bets::default();
        for (batch, expected) in SIX.into_iter().zip(expected) {
            bet(&mut bets, &pair(batch), tolerate);
            close(bets.evidence(), expected);
        }
    }

    #[test]
    fn evidence_follows_the_test_vectors_batch_by_batch() {
        let at_1 = [
            0.638_750,
            1.817_599,
            9.472_339,
            9.472_339,
            63.251_571,
            799.295_036,
        ];
        check(Bets::on_worse, 1.0, at_1);
        let at_2 = [
            0.638_750, 1.196_878, 3.345_803, 3.345_803, 11.414_828, 72.027_172,
        ];
        check(Bets::on_worse, 2.0, at_2);
        let better_than_5 = [
            1.095_066, 0.936_746, 0.753_700, 0.753_700, 0.653_722, 0.508_736,
        ];
        check(Bets::on_better, 5.0, better_than_5);
    }

    #[test]
    fn one_burst_counts_once_however_large_it_is() {
        let mut bets = Bets::default();
        bets.on_worse(&pair((50, 950, 40, 0)), 1.0);
        close(bets.evidence(), 7.863_750);
    }

    #[test]
    fn evidence_for_and_against_follows_the_test_vectors() {
        let (mut worse, mut better, mut better_than_2) =
            (Bets::default(), Bets::default(), Bets::default());
        let batches = [[(200, 800, 2, 8); 10], [(200, 800, 0, 10); 10]];
        for batch in batches.into_iter().flatten() {
            worse.on_worse(&pair(batch), 1.0);
            better.on_better(&pair(batch), 1.5);
            better_than_2.on_better(&pair(batch), 2.0);
        }
        close(worse.evidence(), 0.264_037);
        close(better.evidence(), 12.123_669);
        close(better_than_2.evidence(), 52.182_404);
    }

    #[test]
    fn the_interval_of_the_ratio_follows_the_test_vectors() {
        let interval = |batches: &[(u64, u64, u64, u64)]| {
            let mut ratios = Ratios::default();
            for batch in batches {
                ratios.on_batch(&pair(*batch));
            }
            let interval = ratios.interval(0.05);
            (interval.low.unwrap(), interval.high.unwrap())
        };
        let (low, high) = interval(&SIX);
        close(low, 2.403_255);
        close(high, 206.911_468);
        let (low, high) = interval(&[(50, 950, 5, 20); 20]);
        close(low, 3.386_555);
        close(high, 12.399_504);
    }

    #[test]
    fn without_events_there_is_no_bound() {
        assert_eq!(Ratios::default().interval(0.05), RatioInterval::default());
    }

    #[test]
    fn long_rollouts_keep_a_bounded_number_of_batches_and_nothing_is_lost() {
        let mut ratios = Ratios::default();
        for _ in 0..10_000 {
            ratios.on_batch(&pair((50, 950, 1, 19)));
        }
        assert!(ratios.batches.len() <= KEPT_MAX);
        let bad: u64 = ratios.batches.iter().map(|it| it.canary.bad).sum();
        assert_eq!(bad, 10_000);
        let interval = ratios.interval(0.05);
        assert!(interval.low.unwrap() < 1.0 && interval.high.unwrap() > 1.0);
    }

    #[test]
    fn nothing_at_all_and_absurd_counts_make_no_evidence_that_is_no_number() {
        let mut bets = Bets::default();
        for batch in [
            (0, 0, 0, 0),
            (0, 5, 0, 5),
            (5, 0, 5, 0),
            (u64::MAX, 1, u64::MAX, 0),
            (1, u64::MAX, 1, 0),
        ] {
            for _ in 0..1_000 {
                bets.on_worse(&pair(batch), 1.0);
                bets.on_better(&pair(batch), 1.0);
            }
            bets.on_more_than(0.5, 0.0);
            bets.on_more_than(1.0, 1e-300);
        }
        assert!(bets.evidence().is_finite() && bets.evidence() >= 0.0);
    }
}
