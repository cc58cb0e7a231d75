//! What a service can do while the same faults are in force: the bound that goodput is judged against.
//!
//! Source: a pool is M/M/c/K, with as many places as can be answered within half of the objective; shared work is at
//! its best where N. Gunther's Universal Scalability Law, with answers late by exponential times, says. Both leave
//! out what gateways do not know of each other, and what Plimsoll needs to learn: the share that is asked for leaves
//! room for it. Where no honest bound is known there is none.
//! Units: requests per second; seconds.

use plimsoll_config::scenario::{FaultKind, ScenarioService, TimeSpread, Work};

/// The part of the objective that answers may use; the rest is for waiting.
pub(super) const SHARE: f64 = 0.5;
/// How long Plimsoll lets wait at least.
const WAIT: f64 = 0.010;
/// Where fewer answers take at most that part where nothing waits, what waits behind a long one is late, too: no closed
/// form says how much.
const IN_TIME_MIN: f64 = 0.95;
/// An endpoint that fails this often is to be out while others don't: a breaker opens, and peers are clear, at a half.
const ERRORS_OUT: f64 = 0.6;
/// A fault that leaves less than this of a service leaves nothing to judge.
const CAPACITY_MIN: f64 = 20.0;

/// A service as a loss system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Possible {
    /// Requests that are worked on at once.
    servers: f64,
    /// What each of them does in a second.
    rate: f64,
    /// Requests that are there at once.
    places: f64,
    /// The share of answers that are good and in time.
    pub(super) good: f64,
}

impl Possible {
    /// Of a service with these faults, each with the number of endpoints that it is at.
    pub(super) fn new(service: &ScenarioService, faults: &[(usize, FaultKind)]) -> Option<Self> {
        let all: Vec<State> = (0..service.endpoints)
            .map(|endpoint| State::of(faults.iter().filter(|fault| endpoint < fault.0)))
            .collect();
        let able = all.iter().filter(|it| !it.gone);
        let first = *able.clone().next()?;
        // What all endpoints do alike is what the service is; else those that are ill should be out.
        let alike = able.clone().all(|it| it.is_as_ill_as(&first));
        let counted = able.clone().filter(|it| alike || !it.is_ill());
        let ill = able.clone().filter(|it| !alike && it.is_ill()).count();
        let count = able.clone().count();
        // Judgement holds out at most half.
        if first.frozen && alike || ill > count / 2 {
            return None;
        }
        let failing = if alike {
            first.errors
        } else {
            // An endpoint that fails a little is not taken out.
            let stay = able.filter(|it| it.errors < ERRORS_OUT);
            let stay: Vec<f64> = stay.map(|it| it.errors).collect();
            stay.iter().sum::<f64>() / stay.len().max(1) as f64
        };
        let slowed = if alike { first.slow } else { 1.0 };
        let left: f64 = counted.map(|it| it.workers(service)).sum();
        let possible = Self::healthy(service, left, slowed, 1.0 - failing);
        let pool = matches!(service.work, Work::Workers { .. });
        if pool && possible.good < IN_TIME_MIN * (1.0 - failing) {
            return None;
        }
        (possible.servers * possible.rate >= CAPACITY_MIN).then_some(possible)
    }

    /// Of so many workers, or so many endpoints of shared work.
    fn healthy(service: &ScenarioService, left: f64, slowed: f64, good: f64) -> Self {
        let time = service.time.as_secs_f64() * slowed;
        let objective = service.objective.as_secs_f64();
        match service.work {
            Work::Workers { spread, .. } => Self {
                servers: left,
                rate: 1.0 / time,
                places: libm::floor(left + left * objective * SHARE / time),
                good: good * within(spread, time, objective * SHARE),
            },
            Work::Shared {
                contention,
                crosstalk,
            } => {
                let answer =
                    |n: f64| time * (1.0 + contention * (n - 1.0) + crosstalk * n * (n - 1.0));
                let in_time = |n: f64| 1.0 - libm::exp(-objective * SHARE / answer(n));
                let per_second = |n: f64| n / answer(n) * in_time(n);
                let mut best = 1.0;
                for n in 1..200 {
                    if per_second(f64::from(n)) > per_second(best) {
                        best = f64::from(n);
                    }
                }
                let servers = left * best;
                Self {
                    servers,
                    rate: 1.0 / answer(best),
                    places: libm::floor(servers + servers / answer(best) * WAIT),
                    good: good * in_time(best),
                }
            }
        }
    }

    /// All that it can answer.
    pub(super) fn capacity(&self) -> f64 {
        self.servers * self.rate
    }

    /// Good answers per second where so much is asked for: M/M/c/K.
    pub(super) fn goodput(&self, offered: f64) -> f64 {
        let (mut term, mut sum) = (1.0, 1.0);
        for n in 1..=self.places as u32 {
            term *= offered / (f64::from(n).min(self.servers) * self.rate);
            sum += term;
            if sum > 1e100 {
                (term, sum) = (term / sum, 1.0);
            }
        }
        offered * (1.0 - term / sum) * self.good
    }
}

/// What is wrong with one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    gone: bool,
    frozen: bool,
    slow: f64,
    errors: f64,
    left: f64,
}

impl State {
    fn of<'a>(faults: impl Iterator<Item = &'a (usize, FaultKind)>) -> Self {
        let mut state = Self {
            gone: false,
            frozen: false,
            slow: 1.0,
            errors: 0.0,
            left: 1.0,
        };
        for (_, kind) in faults {
            match kind {
                FaultKind::Slow(times) => state.slow *= times,
                FaultKind::Errors(share) => {
                    state.errors = 1.0 - (1.0 - state.errors) * (1.0 - share);
                }
                FaultKind::Crash => state.gone = true,
                FaultKind::Freeze => state.frozen = true,
                FaultKind::Capacity(share) => state.left *= share,
                // No case has a cache, and none is drawn with the others.
                FaultKind::Cold | FaultKind::Loss(_) | FaultKind::Partition(_) => (),
            }
        }
        state
    }

    fn is_ill(&self) -> bool {
        self.frozen || self.slow != 1.0 || self.errors != 0.0
    }

    fn is_as_ill_as(&self, other: &Self) -> bool {
        (self.frozen, self.slow, self.errors) == (other.frozen, other.slow, other.errors)
    }

    fn workers(&self, service: &ScenarioService) -> f64 {
        match service.work {
            Work::Workers { workers, .. } => libm::ceil(f64::from(workers) * self.left),
            Work::Shared { .. } => 1.0,
        }
    }
}

/// The share of times with this mean that are at most `limit`.
pub(super) fn within(spread: TimeSpread, mean: f64, limit: f64) -> f64 {
    match spread {
        TimeSpread::Constant => f64::from(u8::from(mean <= limit)),
        TimeSpread::Exponential => 1.0 - libm::exp(-limit / mean),
        TimeSpread::Lognormal(cv) => {
            let variance = libm::log1p(cv * cv);
            let normal = (libm::log(limit / mean) + variance / 2.0) / libm::sqrt(variance);
            0.5 * libm::erfc(-normal / std::f64::consts::SQRT_2)
        }
        // One of ten takes ten times as long as the others.
        TimeSpread::Bimodal => {
            let short = mean / 1.9;
            0.9 * f64::from(u8::from(short <= limit))
                + 0.1 * f64::from(u8::from(10.0 * short <= limit))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pool() -> ScenarioService {
        ScenarioService {
            name: "pool".into(),
            endpoints: 4,
            work: Work::Workers {
                workers: 2,
                spread: TimeSpread::Exponential,
            },
            time: Duration::from_millis(20),
            objective: Duration::from_millis(400),
            cancels: false,
            cache: None,
            calls: Vec::new(),
            memory: None,
            start: None,
        }
    }

    #[test]
    fn a_pool_answers_what_is_asked_for_up_to_what_its_workers_can() {
        let possible = Possible::new(&pool(), &[]).unwrap();
        assert_eq!(possible.capacity(), 400.0);
        assert!((possible.goodput(100.0) - 100.0).abs() < 0.1);
        assert!((possible.goodput(4_000.0) - 400.0).abs() < 0.1);
        // Erlang: M/M/1/1 at its capacity loses half.
        let one = Possible {
            servers: 1.0,
            rate: 10.0,
            places: 1.0,
            good: 1.0,
        };
        assert_eq!(one.goodput(10.0), 5.0);
    }

    #[test]
    fn a_fault_takes_what_it_is_at_or_slows_all() {
        let of = |faults: &[_]| Possible::new(&pool(), faults);
        let capacity = |faults: &[_]| of(faults).map(|it| it.capacity());
        assert_eq!(capacity(&[(1, FaultKind::Crash)]), Some(300.0));
        assert_eq!(capacity(&[(2, FaultKind::Freeze)]), Some(200.0));
        assert_eq!(capacity(&[(4, FaultKind::Slow(2.0))]), Some(200.0));
        assert_eq!(capacity(&[(4, FaultKind::Capacity(0.5))]), Some(200.0));
        let errors = of(&[(4, FaultKind::Errors(0.5))]).unwrap();
        assert!((errors.goodput(100.0) - 50.0).abs() < 0.1);
        // One that fails most of the time is out, one that fails a little is not.
        let broken = of(&[(1, FaultKind::Errors(0.8))]).unwrap();
        assert_eq!((broken.capacity(), broken.good > 0.99), (300.0, true));
        let failing = of(&[(1, FaultKind::Errors(0.4))]).unwrap();
        assert!((failing.good - 0.9).abs() < 0.01);
        // All of it, or more than may be held out: nothing is known.
        assert_eq!(capacity(&[(4, FaultKind::Crash)]), None);
        assert_eq!(capacity(&[(4, FaultKind::Freeze)]), None);
        assert_eq!(capacity(&[(3, FaultKind::Freeze)]), None);
    }

    #[test]
    fn times_are_within_a_limit_as_their_laws_say() {
        assert!((within(TimeSpread::Exponential, 1.0, 1.0) - 0.632_12).abs() < 1e-4);
        // The median of a lognormal is its mean over sqrt(1 + cv^2).
        let median = 1.0 / libm::sqrt(2.0);
        assert!((within(TimeSpread::Lognormal(1.0), 1.0, median) - 0.5).abs() < 1e-9);
        assert_eq!(within(TimeSpread::Constant, 1.0, 0.9), 0.0);
        assert_eq!(within(TimeSpread::Bimodal, 1.9, 9.0), 0.9);
    }
}
