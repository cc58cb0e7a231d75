//! Endpoints of a service, in groups to which the same happens, and which of them a gateway with policies uses.

use std::collections::VecDeque;

use plimsoll_config::scenario::FaultKind;

/// From so many failures on, more than the best endpoint has, an endpoint is not used while others are: one counts as a
/// second of latency to the balancer, and from ten points on ejection holds it out, too. Measured in per-request runs: with
/// 5 to 100 % at one of four, 99.8 % are good.
const FAILS_MORE: f64 = 0.02;
/// So much longer than at the fastest endpoint is slow, if it is also this much more in seconds: the bar of ejection.
const SLOWER: (f64, f64) = (5.0, 0.020);

/// Endpoints to which the same happens.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) size: f64,
    /// Among the service's endpoints.
    pub(super) first: usize,
    /// Requests that are there, those that nobody waits for included unless these are dropped.
    pub(super) backlog: f64,
    /// The same by when they came, where what nobody waits for is dropped.
    pub(super) waiting: VecDeque<(f64, f64)>,
    /// How many requests its caches have seen since they were empty, for each endpoint.
    pub(super) cached: f64,
    /// The same since they were started, and when they are there again.
    pub(super) begun: f64,
    pub(super) back: f64,
    pub(super) faults: Vec<(usize, FaultKind, f64)>,
}

impl Group {
    /// So many come now, and `most` can be worked on: gives how many are. What waits longer than `stays` is dropped.
    pub(super) fn work(&mut self, now: f64, comes: f64, most: f64, stays: Option<f64>) -> f64 {
        let Some(stays) = stays else {
            let there = self.backlog + comes;
            self.backlog = (there - most).max(0.0);
            return there.min(most);
        };
        self.waiting.push_back((now, comes));
        let mut left = most;
        while let Some((came, there)) = self.waiting.front_mut() {
            if *came + stays > now {
                let worked = there.min(left);
                *there -= worked;
                left -= worked;
                if *there > 0.0 {
                    break;
                }
            }
            self.waiting.pop_front();
        }
        self.backlog = self.waiting.iter().map(|(_, there)| there).sum();
        most - left
    }
}

/// What a group can do now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Able {
    /// Requests a second.
    pub(super) capacity: f64,
    pub(super) workers: f64,
    pub(super) mean: f64,
    /// The share that fails at once, and takes no work.
    pub(super) errors: f64,
    pub(super) gone: bool,
    pub(super) frozen_until: Option<f64>,
}

/// Which share of each group is used: none of those that are down or frozen, and those that do much worse than the best only
/// as far as judgement may not hold them out, which is at most half of what is not down. The worst are held out first.
pub(super) fn used(sizes: &[f64], able: &[Able]) -> Vec<f64> {
    let is_there = |it: &Able| !it.gone && it.frozen_until.is_none() && it.capacity > 0.0;
    let mut used: Vec<f64> = able.iter().map(|it| f64::from(is_there(it))).collect();
    let errors = least(able, &used, |it| it.errors);
    let mean = least(able, &used, |it| it.mean);
    let is_ill = |it: &Able| {
        let is_slow = it.mean >= SLOWER.0 * mean && it.mean >= mean + SLOWER.1;
        it.errors >= errors + FAILS_MORE || is_slow
    };
    let sum = |holds: &dyn Fn(&Able) -> bool| {
        let pairs = sizes.iter().zip(able);
        pairs
            .filter(|(_, it)| holds(it))
            .map(|(size, _)| size)
            .sum::<f64>()
    };
    let up = sum(&|it| !it.gone);
    let hangs = sum(&|it| !it.gone && !is_there(it));
    let mut may = (libm::floor(up / 2.0) - hangs).max(0.0);
    let all = used.iter_mut().zip(able).zip(sizes);
    let mut ill: Vec<_> = all
        .filter(|((used, it), _)| **used > 0.0 && is_ill(it))
        .collect();
    ill.sort_by(|((_, a), _), ((_, b), _)| {
        let errors = b.errors.total_cmp(&a.errors);
        errors.then(b.mean.total_cmp(&a.mean))
    });
    for ((used, _), size) in ill {
        let out = size.min(may);
        *used = 1.0 - out / size;
        may -= out;
    }
    used
}

/// The least of a figure, of those that are used.
pub(super) fn least(able: &[Able], used: &[f64], of: impl Fn(&Able) -> f64) -> f64 {
    let pairs = able.iter().zip(used).filter(|(_, used)| **used > 0.0);
    let least = pairs.map(|(it, _)| of(it)).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Able = Able {
        capacity: 100.0,
        workers: 2.0,
        mean: 0.020,
        errors: 0.0,
        gone: false,
        frozen_until: None,
    };

    #[track_caller]
    fn check(able: &[(f64, Able)], expected: &[f64]) {
        let sizes: Vec<f64> = able.iter().map(|(size, _)| *size).collect();
        let able: Vec<Able> = able.iter().map(|(_, able)| *able).collect();
        assert_eq!(used(&sizes, &able), expected);
    }

    #[test]
    fn what_does_worse_than_others_is_held_out_up_to_a_half() {
        let fails = |errors| Able { errors, ..WELL };
        let slow = Able { mean: 0.1, ..WELL };
        let gone = Able { gone: true, ..WELL };
        let frozen = Able {
            frozen_until: Some(9.0),
            ..WELL
        };
        check(&[(1.0, fails(0.3)), (3.0, WELL)], &[0.0, 1.0]);
        check(&[(1.0, slow), (3.0, WELL)], &[0.0, 1.0]);
        // What all do alike is nobody's fault.
        check(&[(1.0, fails(0.3)), (3.0, fails(0.3))], &[1.0, 1.0]);
        // Two of four may be out: the worst first, and those that hang are among them.
        let three = [(1.0, slow), (2.0, fails(0.3)), (1.0, WELL)];
        check(&three, &[1.0, 0.0, 1.0]);
        check(&[(4.0, fails(0.3)), (1.0, WELL)], &[0.5, 1.0]);
        let hangs = [(1.0, frozen), (2.0, fails(0.3)), (1.0, WELL)];
        check(&hangs, &[0.0, 0.5, 1.0]);
        // What is down is no part of it.
        let two = [(2.0, gone), (1.0, fails(0.3)), (1.0, WELL)];
        check(&two, &[0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_nobody_waits_for_is_dropped_and_the_rest_is_there_for_who_comes_next() {
        let mut group = Group {
            size: 1.0,
            first: 0,
            backlog: 0.0,
            waiting: VecDeque::new(),
            cached: 0.0,
            begun: 0.0,
            back: 0.0,
            faults: Vec::new(),
        };
        // Ten a second, of which one is worked on; then nobody comes.
        for second in 0..10 {
            let worked = group.work(f64::from(second), 10.0, 1.0, Some(3.0));
            assert_eq!(worked, 1.0);
        }
        // Of the last three seconds.
        assert!((27.0..=30.0).contains(&group.backlog), "{}", group.backlog);
        assert_eq!(group.work(10.0, 0.0, 15.0, Some(3.0)), 15.0);
        assert_eq!(group.work(12.0, 0.0, 15.0, Some(3.0)), 0.0);
        assert_eq!(group.backlog, 0.0);
    }
}
