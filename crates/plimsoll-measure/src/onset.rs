//! When a change began: profile likelihood over counters of a second each.
//!
//! Before the onset a share `q` of requests was bad, after it a share `r > q`. For each second the likelihood that it
//! is the onset is that of all that came since, with the `r` that fits it best; the onset is where it is largest, and
//! what is nearly as likely is the interval. Where failures come in bursts, seconds are counted, not failures.
//! Units: whole seconds, natural logarithms.

mod watch;

use std::ops::RangeInclusive;

use crate::objective::Tally;

pub use watch::{Ago, OnsetWatch, Rise};

/// What is within so much of the largest log-likelihood belongs to the interval. Covers 92 % to 98 %.
const WITHIN: f64 = 3.0;
/// From so much variance for each failure on, failures come in bursts.
const BURSTS: f64 = 1.5;
/// What the share of before is taken for where traffic has a daily course.
const DIURNAL: f64 = 1.5;
/// Where more seconds than this share had a bad request before, that a second has one says too little.
const BAD_SECONDS_MAX: f64 = 0.5;

/// When a change began.
#[derive(Clone, Debug, PartialEq)]
pub struct Onset {
    /// The likeliest second, counted from the first that was given.
    pub second: usize,
    /// The seconds that are nearly as likely.
    pub interval: RangeInclusive<usize>,
    /// The largest log-likelihood ratio.
    pub log_likelihood: f64,
}

/// What was bad in the time before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Of requests.
    pub requests: f64,
    /// Of the seconds that had requests: those in which one was bad.
    pub seconds: f64,
}

/// The share of bad ones, of requests or of seconds, of the time before, somewhat above what was counted: the less was seen, the more.
pub fn usual_share(before: Tally, diurnal: bool) -> f64 {
    let share = (before.bad as f64 + 0.5) / (before.total() as f64 + 1.0);
    let share = share * (1.0 + 1.0 / libm::sqrt(before.bad as f64 + 1.0));
    (if diurnal { share * DIURNAL } else { share }).min(1.0)
}

/// The onset in `seconds`, the last of which is now, if `usual` was bad before it. `None`: nothing says that more is bad
/// now.
pub fn onset(seconds: &[Tally], usual: Usual) -> Option<Onset> {
    let onset = likeliest(seconds.iter().copied(), usual.requests)?;
    if usual.seconds > BAD_SECONDS_MAX || !come_in_bursts(seconds, onset.second) {
        return Some(onset);
    }
    // Where no more seconds are bad than before, but more is in them, that is the onset.
    likeliest(seconds.iter().map(|it| marked(*it)), usual.seconds).or(Some(onset))
}

/// The second itself: good or bad, or neither where nothing came.
fn marked(second: Tally) -> Tally {
    Tally {
        good: u64::from(second.total() > 0 && second.bad == 0),
        bad: second.bad.min(1),
    }
}

fn likeliest(
    seconds: impl DoubleEndedIterator<Item = Tally> + ExactSizeIterator,
    usual: f64,
) -> Option<Onset> {
    let mut since = Tally::default();
    let mut likelihoods: Vec<(usize, f64)> = Vec::with_capacity(seconds.len());
    for (index, second) in seconds.enumerate().rev() {
        since += second;
        let (bad, good) = (since.bad as f64, since.good as f64);
        let share = bad / (bad + good);
        // Where nothing came yet there is no share, and it is not greater.
        if share > usual {
            let of_good = match since.good {
                0 => 0.0,
                _ => good * libm::log((1.0 - share) / (1.0 - usual)),
            };
            likelihoods.push((index, bad * libm::log(share / usual) + of_good));
        }
    }
    let best = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    let &(second, log_likelihood) = likelihoods.iter().max_by(best)?;
    let near = likelihoods.iter();
    let near = near.filter(|(_, likelihood)| *likelihood > log_likelihood - WITHIN);
    let (last, first) = near.fold((0, usize::MAX), |(last, first), (index, _)| {
        (last.max(*index), first.min(*index))
    });
    Some(Onset {
        second,
        interval: first..=last,
        log_likelihood,
    })
}

/// Whether the counts of seconds vary more than chance does, on either side of the onset; the change itself is not to
/// count.
fn come_in_bursts(seconds: &[Tally], onset: usize) -> bool {
    let sides = seconds.split_at_checked(onset);
    let (mut off, mut expected) = (0.0, 0.0);
    for side in sides
        .into_iter()
        .flat_map(|(before, after)| [before, after])
    {
        let bad = side.iter().map(|it| it.bad as f64);
        let sum: f64 = bad.clone().sum();
        let mean = sum / side.len().max(1) as f64;
        off += bad.map(|bad| (bad - mean) * (bad - mean)).sum::<f64>();
        expected += sum;
    }
    off > BURSTS * expected
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng as _, SeedableRng as _};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn the_onset_follows_the_test_vector() {
        let bad = [0, 0, 1, 0, 0, 0, 0, 2, 1, 3, 2, 4];
        let seconds = bad.map(|bad| Tally {
            good: 100 - bad,
            bad,
        });
        let onset = onset(&seconds, usual(0.001)).unwrap();
        assert_eq!((onset.second, onset.interval), (7, 6..=7));
        assert!((onset.log_likelihood / 26.770_056 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn where_nothing_changed_there_is_no_onset() {
        let clean = [Tally { good: 100, bad: 0 }; 60];
        let before = Tally {
            good: 360_000,
            bad: 0,
        };
        assert_eq!(onset(&clean, usual(usual_share(before, false))), None);
        assert_eq!(onset(&[], usual(0.1)), None);
        assert_eq!(onset(&[Tally::default(); 5], usual(0.1)), None);
    }

    #[test]
    fn all_that_fails_is_found_to_the_second() {
        let mut seconds = vec![Tally { good: 10, bad: 0 }; 100];
        seconds.extend([Tally { good: 0, bad: 10 }; 20]);
        let before = Tally {
            good: 36_000,
            bad: 3,
        };
        let usual = usual(usual_share(before, true));
        assert_eq!(onset(&seconds, usual).unwrap().second, 100);
    }

    /// Failures that come one by one.
    fn usual(share: f64) -> Usual {
        Usual {
            requests: share,
            seconds: (100.0 * share).min(1.0),
        }
    }

    #[test]
    fn the_interval_covers_the_onset_and_the_error_is_small() {
        let (mut covered, mut errors) = (0, Vec::new());
        for seed in 0..200 {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut unit = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            let mut second = |share: f64| {
                let bad = (0..100).filter(|_| unit() < share).count() as u64;
                Tally {
                    good: 100 - bad,
                    bad,
                }
            };
            let mut before = Tally::default();
            for _ in 0..3_600 {
                before += second(0.001);
            }
            let mut seconds: Vec<Tally> = (0..600).map(|_| second(0.001)).collect();
            seconds.extend((0..60).map(|_| second(0.02)));
            let onset = onset(&seconds, usual(usual_share(before, false))).unwrap();
            covered += usize::from(onset.interval.contains(&600));
            errors.push(onset.second.abs_diff(600));
        }
        errors.sort_unstable();
        assert!(covered >= 180, "{covered}");
        assert!(errors[190] <= 3, "P95 {}", errors[190]);
    }
}
