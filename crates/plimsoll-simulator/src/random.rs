//! Seeded random numbers: one named stream per purpose, so that a change in one place leaves the others'
//! numbers as they were.
//!
//! Units: nanoseconds out of every `draw`. Logarithms and exponentials come from `libm`: the same everywhere.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    generator: Xoshiro256PlusPlus,
    /// The second normal number of the last pair.
    spare: Option<f64>,
}

impl Stream {
    /// The stream called `name` of the run with this seed.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo): names far apart, whatever the seed.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self {
            generator: Xoshiro256PlusPlus::seed_from_u64(seed ^ hash),
            spare: None,
        }
    }

    /// Uniform in `(0, 1]`: its logarithm is finite.
    pub(crate) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        ((self.generator.next_u64() >> 11) + 1) as f64 * STEP
    }

    /// True in this share of all cases.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() <= share
    }

    /// Uniform below `n`; zero for zero.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let wide = u64::from(self.generator.next_u64() as u32) * u64::from(n);
        (wide >> 32) as u32
    }

    /// Uniform over all of `u64`.
    pub(crate) fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Exponential with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.unit())
    }

    /// Lognormal with this mean and coefficient of variation.
    pub(crate) fn lognormal(&mut self, mean: f64, cv: f64) -> f64 {
        let variance = libm::log1p(cv * cv);
        mean * libm::exp(libm::sqrt(variance) * self.normal() - variance / 2.0)
    }

    /// Standard normal, two at a time (G. Box, M. Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
        let angle = std::f64::consts::TAU * self.unit();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}

/// How times spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// All the same.
    Constant,
    /// Exponential.
    Exponential,
    /// Lognormal with this coefficient of variation.
    Lognormal(f64),
    /// Nine of ten calls are of one length, the tenth ten times as long.
    Bimodal,
}

/// The share of long calls, and how many times longer they are.
const BIMODAL: (f64, f64) = (0.1, 10.0);

impl Spread {
    /// A time with this mean; both in nanoseconds.
    pub(crate) fn draw(self, mean: f64, random: &mut Stream) -> u64 {
        let nanos = match self {
            Self::Constant => mean,
            Self::Exponential => random.exponential(mean),
            Self::Lognormal(cv) => random.lognormal(mean, cv),
            Self::Bimodal => {
                let (share, times) = BIMODAL;
                let short = mean / (1.0 - share + share * times);
                if random.chance(share) {
                    short * times
                } else {
                    short
                }
            }
        };
        nanos as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spread: Spread, cv: f64) {
        let mut random = Stream::new(1, "test");
        let draws: Vec<f64> = (0..200_000)
            .map(|_| spread.draw(20e6, &mut random) as f64)
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let square = draws
            .iter()
            .map(|it| (it - mean) * (it - mean))
            .sum::<f64>();
        let measured = (square / draws.len() as f64).sqrt() / mean;
        assert!((mean / 20e6 - 1.0).abs() < 0.02, "mean {mean}");
        assert!((measured - cv).abs() < 0.1, "cv {measured}");
    }

    #[test]
    fn draws_have_the_mean_and_the_spread_that_are_asked_for() {
        check(Spread::Constant, 0.0);
        check(Spread::Exponential, 1.0);
        check(Spread::Lognormal(0.5), 0.5);
        check(Spread::Lognormal(1.5), 1.5);
        // Variance of 1 (90 %) and 10 (10 %) around 1.9: 7.29.
        check(Spread::Bimodal, 2.7 / 1.9);
    }

    #[test]
    fn a_stream_is_named_by_seed_and_purpose() {
        let first = |seed, name: &str| Stream::new(seed, name).unit();
        assert_eq!(first(1, "arrivals"), first(1, "arrivals"));
        assert_ne!(first(1, "arrivals"), first(2, "arrivals"));
        assert_ne!(first(1, "arrivals"), first(1, "service"));
    }
}
