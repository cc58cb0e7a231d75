//! How much a sample is like a law.

use plimsoll_config::scenario::TimeSpread;

use super::Logged;

/// What a constant's coefficient of variation is at most: what is left is the clock's.
const CONSTANT_MAX: f64 = 0.02;

/// How far a sample is from a law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The largest difference of the two distribution functions (Kolmogorov, Smirnov).
    pub distance: f64,
    /// What it would exceed by chance once in twenty times if the law were true: 1.36 over the square root of the
    /// size. A law whose parameters were fitted to the sample is expected to be closer than that.
    pub by_chance: f64,
    /// How many values the sample has, where all count the same.
    pub size: f64,
}

/// Values with what they count, in the order of the values.
#[derive(Debug)]
pub(super) struct Sample(Vec<(f64, f64)>);

impl Sample {
    pub(super) fn new(mut values: Vec<(f64, f64)>) -> Self {
        values.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        Self(values)
    }

    fn sum(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.0
            .iter()
            .map(|(value, weight)| weight * of(*value))
            .sum()
    }

    /// How many values of the same weight say as much (L. Kish, 1965).
    pub(super) fn size(&self) -> f64 {
        let squares: f64 = self.0.iter().map(|(_, weight)| weight * weight).sum();
        let all = self.sum(|_| 1.0);
        if squares > 0.0 {
            all * all / squares
        } else {
            0.0
        }
    }

    pub(super) fn mean_and_cv(&self) -> Option<(f64, f64)> {
        let all = self.sum(|_| 1.0);
        if all <= 0.0 {
            return None;
        }
        let mean = self.sum(|it| it) / all;
        let variance = self.sum(|it| (it - mean) * (it - mean)) / all;
        (mean > 0.0).then(|| (mean, libm::sqrt(variance) / mean))
    }

    /// P50, P90 and P99.
    pub(super) fn quantiles(&self) -> Option<[f64; 3]> {
        let all = self.sum(|_| 1.0);
        (all > 0.0).then(|| {
            [0.5, 0.9, 0.99].map(|q| {
                let mut below = 0.0;
                let mut values = self.0.iter();
                let found = values.find(|(_, weight)| {
                    below += weight;
                    below >= q * all
                });
                found.or(self.0.last()).map_or(0.0, |(value, _)| *value)
            })
        })
    }

    /// How far it is from a law with this distribution function.
    pub(super) fn distance(&self, law: impl Fn(f64) -> f64) -> Option<Match> {
        let (all, size) = (self.sum(|_| 1.0), self.size());
        if size < 1.0 {
            return None;
        }
        let (mut below, mut distance) = (0.0, 0.0_f64);
        for (value, weight) in &self.0 {
            let expected = law(*value);
            let before = below / all;
            below += weight;
            distance = distance
                .max((expected - before).abs())
                .max((below / all - expected).abs());
        }
        Some(Match {
            distance,
            by_chance: 1.36 / libm::sqrt(size),
            size,
        })
    }

    /// Which of the laws that a scenario can have it is like, and how far it is from that.
    pub(super) fn law(&self, mean: f64, cv: f64) -> (TimeSpread, Option<Match>) {
        if cv < CONSTANT_MAX {
            // A step against steps: the distance would say nothing.
            return (TimeSpread::Constant, None);
        }
        let exponential = self.distance(|it| 1.0 - libm::exp(-it / mean));
        // By the logarithms: a few of the longest do not decide on it.
        let (middle, deviation) = self.logarithms();
        let spread = libm::sqrt(libm::expm1(deviation * deviation)).clamp(0.01, 10.0);
        let root = std::f64::consts::SQRT_2 * deviation;
        let lognormal =
            self.distance(|it| 0.5 * (1.0 + libm::erf((libm::log(it.max(1e-12)) - middle) / root)));
        match (exponential, lognormal) {
            (Some(first), Some(second)) if first.distance <= second.distance => {
                (TimeSpread::Exponential, exponential)
            }
            (_, Some(_)) => (TimeSpread::Lognormal(super::rounded(spread, 3)), lognormal),
            _ => (TimeSpread::Exponential, exponential),
        }
    }

    /// Mean and standard deviation of the logarithms.
    fn logarithms(&self) -> (f64, f64) {
        let log = |it: f64| libm::log(it.max(1e-12));
        let all = self.sum(|_| 1.0);
        let mean = self.sum(log) / all;
        let variance = self.sum(|it| (log(it) - mean) * (log(it) - mean)) / all;
        (mean, libm::sqrt(variance))
    }
}

/// How unlike a Poisson process arrivals are, in the order of time, with the rate of each part. A part of a Poisson
/// process that is drawn at random is one, too, so that a sample says as much.
pub(super) fn arrivals(requests: &[Logged], counts: &[(u64, f64)], part: u64) -> Option<Match> {
    let gap = |pair: &[Logged]| match pair {
        // A gap from one part to the next has no one rate.
        [first, second] if first.at / part == second.at / part => {
            let (count, _) = counts.get((first.at / part) as usize)?;
            Some((
                (second.at - first.at) as f64 * *count as f64 / part as f64,
                1.0,
            ))
        }
        _ => None,
    };
    let gaps = Sample::new(requests.windows(2).filter_map(gap).collect());
    gaps.distance(|it| 1.0 - libm::exp(-it))
}
