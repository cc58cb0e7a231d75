//! Confidence intervals of a mean, from few values.
//!
//! Sources: Student, "The probable error of a mean" (Biometrika 1908); the distribution by the regularized
//! incomplete beta function, NIST Digital Library of Mathematical Functions 8.17(i) and its continued fraction
//! 8.17.22, which is evaluated with the method of W. Lentz (Applied Optics 1976).
//! Elsewhere: which values belong together. Differences of runs with the same seed are one value each (common random
//! numbers), so what the seed does to both is not in the interval.

/// The mean of values, and where the mean of more such values would be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanInterval {
    /// The mean.
    pub mean: f64,
    /// Half of the interval's width.
    pub half_width: f64,
}

impl MeanInterval {
    /// That of independent values, which covers the true mean with probability `confidence`, in `0.0..1.0`. `None`
    /// for fewer than two values, or where one is no number.
    pub fn of(values: &[f64], confidence: f64) -> Option<Self> {
        if values.len() < 2 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum();
        let error = libm::sqrt(squares / (count - 1.0) / count);
        let half_width = error * student_t_quantile(0.5 + confidence / 2.0, count - 1.0);
        Some(Self { mean, half_width })
    }

    /// Its lower end.
    pub fn low(&self) -> f64 {
        self.mean - self.half_width
    }

    /// Its upper end.
    pub fn high(&self) -> f64 {
        self.mean + self.half_width
    }

    /// Whether 0 is in it: then the values show no difference.
    pub fn covers_zero(&self) -> bool {
        self.low() <= 0.0 && self.high() >= 0.0
    }
}

/// What Student's t with so many degrees of freedom is below with probability `p`, for `p` in `0.5..1.0`.
pub fn student_t_quantile(p: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_t(high, degrees) < p && high < 1e9 {
        high *= 2.0;
    }
    // To the last bit that matters, and for as long at most.
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if student_t(middle, degrees) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The probability that Student's t is below `t`, which is not negative.
fn student_t(t: f64, degrees: f64) -> f64 {
    let x = degrees / (degrees + t * t);
    1.0 - 0.5 * incomplete_beta(0.5 * degrees, 0.5, x)
}

/// The regularized incomplete beta function.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges quickly on this side, and the function is symmetric.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let log_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = libm::exp(a * libm::log(x) + b * libm::log(1.0 - x) - log_beta) / a;
    front / continued_fraction(a, b, x)
}

/// 1 + d1 / (1 + d2 / (1 + ...)), of DLMF 8.17.22.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    /// In place of a 0 that would be divided by.
    const TINY: f64 = 1e-300;
    let not_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut upper, mut lower) = (1.0, 1.0, 0.0);
    for n in 1..=300_u32 {
        let m = f64::from(n / 2);
        let d = if n % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        lower = 1.0 / not_zero(1.0 + d * lower);
        upper = not_zero(1.0 + d / upper);
        let change = upper * lower;
        value *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn quantiles_are_those_of_the_printed_tables() {
        // As in any table of the distribution, to its three places.
        for (p, degrees, printed) in [
            (0.975, 1.0, 12.706),
            (0.975, 2.0, 4.303),
            (0.975, 4.0, 2.776),
            (0.975, 9.0, 2.262),
            (0.975, 30.0, 2.042),
            (0.975, 100.0, 1.984),
            (0.90, 5.0, 1.476),
            (0.95, 9.0, 1.833),
            (0.995, 3.0, 5.841),
            (0.999, 10.0, 4.144),
        ] {
            let quantile = student_t_quantile(p, degrees);
            assert!(
                (quantile - printed).abs() < 6e-4,
                "{p} {degrees}: {quantile}"
            );
        }
        // With one degree it is Cauchy's distribution, with two it has a closed form.
        assert!((student_t(1.0, 1.0) - 0.75).abs() < 1e-12);
        assert!((student_t(1.0, 2.0) - (0.5 + 0.5 / 3.0_f64.sqrt())).abs() < 1e-12);
        assert!((student_t(0.0, 7.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_mean_of_one_value_has_no_interval() {
        assert_eq!(MeanInterval::of(&[], 0.95), None);
        assert_eq!(MeanInterval::of(&[1.0], 0.95), None);
        assert_eq!(MeanInterval::of(&[1.0, f64::NAN], 0.95), None);
    }

    #[test]
    fn values_that_are_all_the_same_have_no_width() {
        let interval = MeanInterval::of(&[0.25; 4], 0.95).unwrap();
        assert_eq!((interval.low(), interval.high()), (0.25, 0.25));
        assert!(!interval.covers_zero());
        assert!(MeanInterval::of(&[0.0; 4], 0.95).unwrap().covers_zero());
    }

    /// The claim itself: of many intervals from few values, about so many cover the truth.
    #[test]
    fn as_many_intervals_cover_the_truth_as_they_say() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut unit = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        // The sum of twelve is close to normal, with mean 6 and variance 1.
        let mut normal = || (0..12).map(|_| unit()).sum::<f64>() - 6.0;
        let covers = (0..4_000).filter(|_| {
            let values: Vec<f64> = (0..5).map(|_| normal()).collect();
            MeanInterval::of(&values, 0.95).unwrap().covers_zero()
        });
        // 3,800 are expected, with a standard deviation of 14.
        let covered = covers.count();
        assert!((3_740..=3_860).contains(&covered), "{covered}");
    }
}
