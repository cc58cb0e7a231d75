//! Whole numbers by chance.

use crate::random::Stream;

/// From this mean on the number of arrivals is rounded from a normal distribution.
const NORMAL_FROM: f64 = 30.0;

/// How many arrivals there are, if `mean` are expected.
pub(super) fn arrivals(mean: f64, random: &mut Stream) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if mean >= NORMAL_FROM {
        let number = mean + libm::sqrt(mean) * random.normal();
        return libm::round(number.max(0.0)) as u64;
    }
    // Gaps between arrivals, until the time is over.
    let (mut passed, mut number) = (random.exponential(1.0), 0);
    while passed < mean {
        number += 1;
        passed += random.exponential(1.0);
    }
    number
}

/// How many of `n` come true, if each does with probability `p`: exact, by the gaps between those that do.
pub(super) fn of(n: u64, p: f64, random: &mut Stream) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - of(n, 1.0 - p, random);
    }
    let gap = 1.0 / libm::log1p(-p);
    let (mut place, mut number) = (0.0, 0);
    loop {
        place += libm::floor(libm::log(random.unit()) * gap) + 1.0;
        if place > n as f64 {
            return number;
        }
        number += 1;
    }
}

/// A size from 1 on with this mean.
pub(super) fn size(mean: f64, random: &mut Stream) -> u64 {
    if mean <= 1.0 {
        return 1;
    }
    let gap = 1.0 / libm::log1p(-1.0 / mean);
    libm::floor(libm::log(random.unit()) * gap) as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mean: f64, variance: f64, mut draw: impl FnMut(&mut Stream) -> u64) {
        let mut random = Stream::new(1, "draw");
        let draws: Vec<f64> = (0..40_000).map(|_| draw(&mut random) as f64).collect();
        let measured = draws.iter().sum::<f64>() / draws.len() as f64;
        let off = draws.iter().map(|it| (it - measured) * (it - measured));
        let spread = off.sum::<f64>() / draws.len() as f64;
        let error = 4.0 * (variance / draws.len() as f64).sqrt();
        assert!((measured - mean).abs() < error, "{measured} for {mean}");
        assert!(
            (spread / variance - 1.0).abs() < 0.05,
            "{spread} for {variance}"
        );
    }

    #[test]
    fn draws_have_the_mean_and_the_variance_of_their_distribution() {
        check(5.0, 5.0, |random| arrivals(5.0, random));
        check(400.0, 400.0, |random| arrivals(400.0, random));
        check(2.0, 1.996, |random| of(1_000, 0.002, random));
        check(70.0, 21.0, |random| of(100, 0.7, random));
        check(3.0, 6.0, |random| size(3.0, random));
        let mut random = Stream::new(1, "draw");
        assert_eq!(of(7, 1.0, &mut random), 7);
        assert_eq!(of(7, 0.0, &mut random), 0);
        assert_eq!(size(1.0, &mut random), 1);
    }
}
