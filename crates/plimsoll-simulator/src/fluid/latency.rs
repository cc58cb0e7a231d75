//! How long answers take at a load, and the share that comes in time.
//!
//! Source: M/M/c by A. K. Erlang (1917); waits with other service times after A. Allen and J. Cunneen (Allen,
//! *Probability, Statistics and Queueing Theory*, 2nd ed. 1990, 5.3): the mean wait is that of exponential times, times half of
//! one plus the squared coefficient of variation. Units: seconds.

use plimsoll_config::scenario::TimeSpread;
use plimsoll_measure::SLOTS;

/// How many parts the time of service is cut into: twentieths up to the ninth tenth, then ever finer.
const TAIL: [(f64, f64, usize); 4] = [
    (0.0, 0.9, 18),
    (0.9, 0.99, 9),
    (0.99, 0.999, 9),
    (0.999, 1.0, 10),
];
/// Waits are cut into so many parts for the histogram.
const WAITS: usize = 8;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wait {
    /// A worker: with this probability, for an exponential time with this mean.
    Worker { probability: f64, mean: f64 },
    /// A permit: evenly between two times.
    Permit { least: f64, most: f64 },
}

/// How long the work takes.
#[derive(Clone, Debug)]
pub(super) struct ServiceTime {
    /// Times relative to the mean, each with its share of requests.
    points: Vec<(f64, f64)>,
}

/// What becomes of answers.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// The share that comes within the objective.
    pub(super) in_time: f64,
    /// The share that comes before the client hangs up.
    pub(super) answered: f64,
    /// The mean latency of all.
    pub(super) mean: f64,
    /// Of those that are answered: slot of the histogram and share of all.
    pub(super) slots: Vec<(usize, f64)>,
}

/// What is asked of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Question {
    /// What everyone waits for first.
    pub(super) shift: f64,
    pub(super) wait: Wait,
    /// The mean time of service.
    pub(super) mean: f64,
    pub(super) objective: f64,
    pub(super) patience: f64,
}

impl ServiceTime {
    pub(super) fn new(spread: TimeSpread) -> Self {
        let cuts = TAIL.iter().flat_map(|&(from, to, parts)| {
            let width = (to - from) / parts as f64;
            (0..parts).map(move |part| (from + (part as f64 + 0.5) * width, width))
        });
        let points = match spread {
            TimeSpread::Constant => vec![(1.0, 1.0)],
            // Nine of ten are short: their mean and that of the tenth, ten times as long, is 1.
            TimeSpread::Bimodal => vec![(1.0 / 1.9, 0.9), (10.0 / 1.9, 0.1)],
            TimeSpread::Exponential => cuts
                .map(|(q, share)| (-libm::log(1.0 - q), share))
                .collect(),
            TimeSpread::Lognormal(cv) => {
                let sigma = libm::sqrt(libm::log(1.0 + cv * cv));
                let at = |q| libm::exp(sigma * normal_quantile(q) - sigma * sigma / 2.0);
                cuts.map(|(q, share)| (at(q), share)).collect()
            }
        };
        Self { points }
    }

    pub(super) fn profile(&self, asked: &Question) -> Profile {
        let mut profile = Profile {
            in_time: 0.0,
            answered: 0.0,
            mean: 0.0,
            slots: Vec::new(),
        };
        if asked.shift >= asked.patience.max(asked.objective) {
            // Nobody is there any more, and all that is left to say is for how long.
            profile.mean = asked.shift + asked.mean;
            return profile;
        }
        let mut slots = [0.0; SLOTS];
        for &(relative, share) in &self.points {
            let first = asked.shift + relative * asked.mean;
            profile.in_time += share * asked.wait.within(asked.objective - first);
            profile.answered += share * asked.wait.within(asked.patience - first);
            for (waited, part) in asked.wait.parts() {
                let latency = first + waited;
                profile.mean += share * part * latency;
                if latency <= asked.patience
                    && let Some(slot) =
                        slots.get_mut(plimsoll_measure::slot_of((latency * 1e9) as u64))
                {
                    *slot += share * part;
                }
            }
        }
        profile.in_time = profile.in_time.min(profile.answered);
        let there = slots.iter().copied().enumerate();
        profile.slots = there.filter(|(_, share)| *share > 0.0).collect();
        profile
    }
}

impl Wait {
    /// That for one of `workers`, who are busy for a share `busy` of their time.
    pub(super) fn for_worker(workers: f64, busy: f64, mean: f64, spread: TimeSpread) -> Self {
        let busy = busy.clamp(0.0, 0.995);
        let squared = match spread {
            TimeSpread::Constant => 0.0,
            TimeSpread::Exponential => 1.0,
            TimeSpread::Lognormal(cv) => cv * cv,
            // (0.9 + 0.1 * 100) / 1.9^2 - 1
            TimeSpread::Bimodal => 10.9 / 3.61 - 1.0,
        };
        Self::Worker {
            probability: erlang_c(workers, busy),
            mean: (1.0 + squared) / 2.0 * mean / (workers * (1.0 - busy)),
        }
    }

    fn within(self, time: f64) -> f64 {
        if time < 0.0 {
            return 0.0;
        }
        match self {
            Self::Worker { probability, mean } => 1.0 - probability * libm::exp(-time / mean),
            Self::Permit { least, most } => ((time - least) / (most - least)).clamp(0.0, 1.0),
        }
    }

    fn parts(self) -> impl Iterator<Item = (f64, f64)> {
        let middle = |part: usize| (part as f64 + 0.5) / WAITS as f64;
        let at_once = match self {
            Self::Worker { probability, .. } => 1.0 - probability,
            Self::Permit { .. } => 0.0,
        };
        let part = (1.0 - at_once) / WAITS as f64;
        let waits = (0..WAITS).map(move |index| match self {
            Self::Worker { mean, .. } => (-mean * libm::log(1.0 - middle(index)), part),
            Self::Permit { least, most } => (least + middle(index) * (most - least), part),
        });
        std::iter::once((0.0, at_once)).chain(waits)
    }
}

/// The probability that all of `workers` are busy, who are for a share `busy` of their time (Erlang's C).
fn erlang_c(workers: f64, busy: f64) -> f64 {
    let count = libm::round(workers).clamp(1.0, 100_000.0) as u32;
    let offered = busy * f64::from(count);
    // Erlang's B by its recursion, which neither overflows nor cancels.
    let blocked = (1..=count).fold(1.0, |blocked, n| {
        let arriving = offered * blocked;
        arriving / (f64::from(n) + arriving)
    });
    blocked / (1.0 - busy * (1.0 - blocked))
}

/// By bisection: exact enough for anything, and only asked for once for each service.
fn normal_quantile(q: f64) -> f64 {
    let below = |z: f64| libm::erfc(-z / std::f64::consts::SQRT_2) / 2.0;
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) < q {
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

    #[test]
    fn waiting_follows_the_closed_forms() {
        // One worker: P(wait) = busy. Two at a half: 1/3.
        assert!((erlang_c(1.0, 0.7) - 0.7).abs() < 1e-12);
        assert!((erlang_c(2.0, 0.5) - 1.0 / 3.0).abs() < 1e-12);
        assert!(erlang_c(5_000.0, 0.5) < 1e-9);
    }

    #[test]
    fn times_have_the_mean_that_was_asked_for_and_the_right_tail() {
        assert!((normal_quantile(0.975) - 1.959_964).abs() < 1e-6);
        let mean = |spread| -> f64 {
            let time = ServiceTime::new(spread);
            time.points.iter().map(|(at, share)| at * share).sum()
        };
        assert!((mean(TimeSpread::Exponential) - 1.0).abs() < 0.005);
        assert!((mean(TimeSpread::Lognormal(0.5)) - 1.0).abs() < 0.005);
        assert!((mean(TimeSpread::Bimodal) - 1.0).abs() < 1e-12);
        assert_eq!(mean(TimeSpread::Constant), 1.0);
    }

    #[test]
    fn a_single_worker_answers_as_mm1_does() {
        // Latency of M/M/1 is exponential with mean 1 / (mu - lambda): here 20 ms / (1 - 0.5) = 40 ms.
        let time = ServiceTime::new(TimeSpread::Exponential);
        let profile = time.profile(&Question {
            shift: 0.0,
            wait: Wait::for_worker(1.0, 0.5, 0.020, TimeSpread::Exponential),
            mean: 0.020,
            objective: 0.100,
            patience: 0.400,
        });
        assert!((profile.in_time - (1.0 - libm::exp(-2.5))).abs() < 0.003);
        assert!((profile.answered - (1.0 - libm::exp(-10.0))).abs() < 0.001);
        assert!((profile.mean - 0.040).abs() < 0.002);
        let shares: f64 = profile.slots.iter().map(|(_, share)| share).sum();
        assert!((shares - profile.answered).abs() < 0.01);
    }

    #[test]
    fn what_everyone_waits_for_comes_first() {
        let time = ServiceTime::new(TimeSpread::Constant);
        let profile = |shift| {
            time.profile(&Question {
                shift,
                wait: Wait::Permit {
                    least: 0.0,
                    most: 0.1,
                },
                mean: 0.020,
                objective: 0.25,
                patience: 1.0,
            })
        };
        assert_eq!(profile(0.1).in_time, 1.0);
        assert!((profile(0.18).in_time - 0.5).abs() < 1e-9);
        assert_eq!((profile(0.5).in_time, profile(0.5).answered), (0.0, 1.0));
        assert_eq!(profile(2.0).answered, 0.0);
    }
}
