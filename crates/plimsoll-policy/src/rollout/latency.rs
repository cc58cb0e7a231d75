//! Latency as a ladder of counts: how many requests were slower than each of a few edges.
//!
//! The edges are stable's own quantiles, of the hour before, and they don't move while the rollout lasts. Each rung is judged as
//! errors are. So a shift of the median, a longer tail, more variance and a second mode are all seen, which no single quantile
//! and no comparison of ranks does.
//! Source of the exact variance: that of a hypergeometric draw; of its mixture: H. Robbins (1970), with a normal prior on one
//! side. Of the band: S. Howard and A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
//! best-arm identification" (Bernoulli, 2022).

use std::time::Duration;

use plimsoll_measure::{Histogram, slot_of, upper_nanos};
use serde::{Deserialize, Serialize};

use crate::rollout::counts::{Pair, RUNGS};

/// The quantiles of stable that the rungs are nearest to.
const QUANTILES: [f64; RUNGS] = [0.50, 0.75, 0.90, 0.95, 0.99, 0.999];
/// Fewer requests than this say too little of a tail.
const REQUESTS_MIN: u64 = 1_000;

/// The edges of the rungs, the fastest first; equal ones are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    edges: Vec<Duration>,
}

impl Ladder {
    /// From what stable did in the hour before; without rungs where that was too little.
    pub fn of(stable: &Histogram) -> Self {
        let mut edges: Vec<Duration> = Vec::new();
        if stable.count() >= REQUESTS_MIN {
            let at = |quantile: f64| {
                let slot = slot_of(u64::try_from(stable.quantile(quantile)?.as_nanos()).ok()?);
                Some(Duration::from_nanos(upper_nanos(slot)))
            };
            edges.extend(QUANTILES.into_iter().filter_map(at));
            edges.dedup();
        }
        Self { edges }
    }

    /// The edges: a request is counted for a rung if it took longer than this.
    pub fn edges(&self) -> &[Duration] {
        &self.edges
    }
}

/// For rungs that many requests pass: how many more of them were the canary's than chance gives, against the exact variance. About
/// twice as fast as bets, and true only in the limit of many batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// The excess of the canary's slow requests.
    excess: f64,
    /// Its variance, were both versions alike.
    variance: f64,
    seen: u64,
    slow: u64,
}

impl Mixture {
    /// The precision of the prior.
    const PRIOR: f64 = 0.1;
    /// Where fewer are slow than this share, or the variance is smaller, the limit is far.
    const SLOW_MIN: f64 = 0.2;
    const VARIANCE_MIN: f64 = 10.0;

    /// Adds a batch.
    pub fn on_batch(&mut self, batch: &Pair) {
        let (n_c, n_s) = (batch.canary.requests as f64, batch.stable.requests as f64);
        let n = n_c + n_s;
        if n_c < 1.0 || n_s < 1.0 {
            return;
        }
        let x = batch.canary.bad as f64 + batch.stable.bad as f64;
        self.excess += batch.canary.bad as f64 - n_c / n * x;
        self.variance += x * (n - x) * n_c * n_s / (n * n * (n - 1.0));
        self.seen = self.seen.saturating_add(n as u64);
        self.slow = self.slow.saturating_add(x as u64);
    }

    /// The evidence; `None` where the limit is far.
    pub fn evidence(&self) -> Option<f64> {
        let many = self.slow as f64 > Self::SLOW_MIN * self.seen as f64;
        (many && self.variance >= Self::VARIANCE_MIN).then(|| self.value())
    }

    fn value(&self) -> f64 {
        let spread = 1.0 + Self::PRIOR * self.variance;
        let q = self.excess * libm::sqrt(Self::PRIOR / spread);
        // Beyond this the exponential has no number; nothing is decided there any more.
        let q = q.clamp(-30.0, 30.0);
        2.0 / libm::sqrt(spread) * libm::exp(0.5 * q * q) * normal_below(q)
    }
}

/// The probability that a standard normal number is below `q`.
fn normal_below(q: f64) -> f64 {
    0.5 * libm::erfc(-q * std::f64::consts::FRAC_1_SQRT_2)
}

/// By how much the share of requests below any latency may be off, at all latencies and at all times, with confidence
/// `1 - alpha`, after `requests` requests.
pub fn band_radius(requests: u64, alpha: f64) -> f64 {
    // Below three the iterated logarithm is negative; a share is off by all of it at most.
    let n = requests as f64;
    if requests < 3 {
        return 1.0;
    }
    let iterated = libm::log(libm::log(std::f64::consts::E * n));
    let radius = 0.85 * libm::sqrt((iterated + 0.8 * libm::log(1_612.0 / alpha)) / n);
    radius.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::counts::Trials;

    #[track_caller]
    fn close(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() < 1e-6, "{value}, {expected}");
    }

    #[test]
    fn the_mixture_follows_the_test_vectors() {
        let value = |excess: f64, variance: f64| {
            let mixture = Mixture {
                excess,
                variance,
                ..Mixture::default()
            };
            mixture.value()
        };
        // Printed to six places.
        close(value(5.0, 10.0), 2.293_933);
        close(value(30.0, 100.0), 35.980_991);
        assert!((value(-10.0, 100.0) - 0.161_675).abs() < 0.51e-6);
        close(value(60.0, 400.0), 25.155_625);
        let mut mixture = Mixture::default();
        mixture.on_batch(&Pair {
            canary: Trials::new(50, 0),
            stable: Trials::new(950, 300),
        });
        close(mixture.variance, 9.984_985);
    }

    #[test]
    fn the_band_follows_the_test_vectors() {
        // Printed to six places.
        assert!((band_radius(100, 0.05) - 0.269_176).abs() < 0.51e-6);
        assert!((band_radius(10_000, 0.005) - 0.030_016).abs() < 0.51e-6);
        assert_eq!(band_radius(0, 0.05), 1.0);
    }

    #[test]
    fn rungs_are_stables_quantiles_and_equal_ones_are_one() {
        let mut stable = Histogram::new();
        assert!(Ladder::of(&stable).edges().is_empty());
        // A long tail: the quantile q is 1 / (1 - q) milliseconds.
        for rank in 1..=10_000 {
            stable.record(Duration::from_secs(10) / rank);
        }
        let ladder = Ladder::of(&stable);
        assert_eq!(ladder.edges().len(), RUNGS);
        for (edge, quantile) in ladder.edges().iter().zip(QUANTILES) {
            let ratio = edge.as_secs_f64() / (0.001 / (1.0 - quantile));
            assert!((0.9..1.1).contains(&ratio), "{edge:?} for {quantile}");
        }
        let mut same = Histogram::new();
        same.record_many(Duration::from_millis(20), 5_000);
        assert_eq!(Ladder::of(&same).edges().len(), 1);
    }

    #[test]
    fn rungs_that_few_pass_are_left_to_bets() {
        let mut mixture = Mixture::default();
        for _ in 0..1_000 {
            mixture.on_batch(&Pair {
                canary: Trials::new(50, 5),
                stable: Trials::new(950, 95),
            });
        }
        assert_eq!(mixture.evidence(), None);
    }
}
