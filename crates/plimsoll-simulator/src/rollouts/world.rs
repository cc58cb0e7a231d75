//! What two versions of a service do, and how much worse one of them is, if it is.

use plimsoll_policy::rollout::{ArmCounts, Arms, RUNGS};

use crate::random::Stream;
use crate::rollouts::draw;

/// The share of the traffic that the one odd route has, where there are more.
const ODD_SHARE: f64 = 0.014;
/// What stable passes of each rung: the complements of the ladder's quantiles; and how far out they are, in standard deviations of
/// the logarithm.
const RUNGS_AT: [f64; RUNGS] = [0.0, 0.674_490, 1.281_552, 1.644_854, 2.326_348, 3.090_232];
/// The logarithm of latency has this standard deviation for stable, around a median of 50 ms; the objective is 500 ms, which 0.2 %
/// of stable's requests pass: between the last two rungs.
const SIGMA: f64 = 0.8;
const OBJECTIVE_AT: f64 = 2.878_231;
/// Ups and downs of the drift, in seconds.
const DRIFT_PERIOD: f64 = 1_200.0;

/// How the rate of errors goes, for both versions alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// Always the same.
    Even,
    /// Up and down by 90 %, within 20 minutes.
    Drift,
    /// For two minutes at some time, 50 times as many.
    Burst,
    /// Three times as many from some time on, and as before from another.
    Steps,
}

/// One instance of either version has a bad time now and then. The canary is one instance at a weight of 5 %, stable is 19.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glitch {
    /// How often, for each instance.
    pub per_hour: f64,
    /// How long.
    pub seconds: f64,
    /// The share that is bad in that time.
    pub bad: f64,
}

/// What is worse in the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// How many times as many requests are bad.
    pub times: f64,
    /// How many more, as a share of all.
    pub plus: f64,
    /// How many more of the odd route.
    pub plus_odd: f64,
}

impl Change {
    /// Nothing.
    pub const NONE: Self = Self {
        times: 1.0,
        plus: 0.0,
        plus_odd: 0.0,
    };
}

/// The latencies of the canary, beside a lognormal stable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// All take so many times as long.
    pub times: f64,
    /// The standard deviation of the logarithm, beside 0.8.
    pub sigma: f64,
    /// So many of them take eight times as long.
    pub slow_mode: f64,
}

impl Shape {
    /// The same as stable's.
    pub const SAME: Self = Self {
        times: 1.0,
        sigma: SIGMA,
        slow_mode: 0.0,
    };

    /// The share that takes longer than what is `at` standard deviations above stable's median.
    fn above(&self, at: f64) -> f64 {
        let passes = |times: f64| {
            let above = (SIGMA * at - libm::log(times)) / self.sigma;
            0.5 * libm::erfc(above * std::f64::consts::FRAC_1_SQRT_2)
        };
        (1.0 - self.slow_mode) * passes(self.times) + self.slow_mode * passes(8.0 * self.times)
    }
}

/// See the module's docs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// Requests a second, of both versions together.
    pub per_second: f64,
    /// The share that is bad in stable.
    pub base: f64,
    /// See there.
    pub course: Course,
    /// How many bad requests come from one cause, in the mean.
    pub cluster: f64,
    /// How many routes there are; of more than one the first is the odd one, with 1.4 % of the traffic.
    pub routes: usize,
    /// How many more are bad of the odd route in both versions.
    pub odd: f64,
    /// See there.
    pub glitch: Option<Glitch>,
    /// See there.
    pub change: Change,
    /// The canary's latencies; `None`: nobody looks at latencies.
    pub shape: Option<Shape>,
}

impl World {
    /// Two versions that are alike, and errors that don't depend on each other.
    pub const fn alike(per_second: f64, base: f64) -> Self {
        Self {
            per_second,
            base,
            course: Course::Even,
            cluster: 1.0,
            routes: 1,
            odd: 0.0,
            glitch: None,
            change: Change::NONE,
            shape: None,
        }
    }
}

/// A world as it goes: what both arms have counted so far.
#[derive(Clone, Debug)]
pub struct Traffic {
    world: World,
    random: Stream,
    /// Where in its course it begins, as a share of it.
    phase: f64,
    clock: f64,
    arms: Vec<Arms>,
    /// Until when the canary's one instance, and one of stable's, have a bad time.
    glitches: [f64; 2],
    clients: u64,
    first_bad: Option<f64>,
}

impl Traffic {
    /// A world with a seed.
    pub fn new(world: World, seed: u64) -> Self {
        let mut random = Stream::new(seed, "rollout");
        Self {
            phase: random.unit(),
            random,
            clock: 0.0,
            arms: vec![Arms::default(); world.routes.max(1)],
            glitches: [0.0; 2],
            clients: 0,
            first_bad: None,
            world,
        }
    }

    /// What both arms have counted, by route.
    pub fn arms(&self) -> &[Arms] {
        &self.arms
    }

    /// Over all routes.
    pub fn all(&self) -> Arms {
        let mut all = Arms::default();
        for route in &self.arms {
            all.add(route);
        }
        all
    }

    /// Clients with a bad answer of the canary: one for each cause.
    pub fn bad_clients(&self) -> u32 {
        self.clients.min(64) as u32
    }

    /// When it began, in seconds, if anything of the canary was bad; to the interval.
    pub fn first_bad(&self) -> Option<f64> {
        self.first_bad
    }

    /// So many seconds more, of which the canary has this share.
    pub fn go_on(&mut self, seconds: f64, weight: f64) {
        let rate = self.world.base * self.times();
        let glitch = self.glitch(seconds);
        let routes = self.arms.len();
        for route in 0..routes {
            let share = match (routes, route) {
                (1, _) => 1.0,
                (_, 0) => ODD_SHARE,
                _ => (1.0 - ODD_SHARE) / (routes - 1) as f64,
            };
            let odd = if route == 0 { self.world.odd } else { 0.0 };
            let mean = self.world.per_second * seconds * share;
            let change = self.world.change;
            let plus_odd = if route == 0 { change.plus_odd } else { 0.0 };
            let canary = rate * change.times + change.plus + plus_odd + odd + glitch[0];
            let (canary, clients) = self.arm(mean * weight, canary, self.world.shape);
            let same = self.world.shape.map(|_| Shape::SAME);
            let (stable, _) = self.arm(mean * (1.0 - weight), rate + odd + glitch[1], same);
            self.clients = self.clients.saturating_add(clients);
            if canary.bad > 0 && self.first_bad.is_none() {
                self.first_bad = Some(self.clock);
            }
            if let Some(arms) = self.arms.get_mut(route) {
                arms.add(&Arms { stable, canary });
            }
        }
        self.clock += seconds;
    }

    fn arm(&mut self, mean: f64, bad: f64, shape: Option<Shape>) -> (ArmCounts, u64) {
        let requests = draw::arrivals(mean, &mut self.random);
        let causes = draw::of(
            requests,
            (bad / self.world.cluster).min(1.0),
            &mut self.random,
        );
        let bad = if self.world.cluster > 1.0 {
            let sizes = (0..causes).map(|_| draw::size(self.world.cluster, &mut self.random));
            sizes.sum::<u64>().min(requests)
        } else {
            causes
        };
        let mut counts = ArmCounts {
            requests,
            bad,
            ..ArmCounts::default()
        };
        if let Some(shape) = shape {
            self.latencies(&mut counts, &shape);
        }
        (counts, causes)
    }

    /// Each rung is passed by some of those that passed the one below.
    fn latencies(&mut self, counts: &mut ArmCounts, shape: &Shape) {
        let (mut passed, mut passed_at) = (counts.requests, 1.0);
        for (slower, at) in counts.slower.iter_mut().zip(RUNGS_AT) {
            let above = shape.above(at);
            if passed_at > 0.0 {
                passed = draw::of(passed, above / passed_at, &mut self.random);
            }
            passed_at = above;
            *slower = passed;
        }
        let [.., before, last] = counts.slower;
        let [.., before_at, last_at] = RUNGS_AT;
        let between = shape.above(before_at) - shape.above(last_at);
        let slow = (shape.above(OBJECTIVE_AT) - shape.above(last_at)) / between;
        counts.slow = last + draw::of(before - last, slow, &mut self.random);
    }

    /// How many times as many are bad now, in both versions.
    fn times(&self) -> f64 {
        let at = self.clock;
        match self.world.course {
            Course::Even => 1.0,
            Course::Drift => {
                let turns = at / DRIFT_PERIOD + self.phase;
                1.0 + 0.9 * libm::sin(std::f64::consts::TAU * turns)
            }
            Course::Burst => {
                let from = self.phase * 3_480.0;
                if (from..from + 120.0).contains(&at) {
                    50.0
                } else {
                    1.0
                }
            }
            Course::Steps => {
                let from = self.phase * 2_400.0;
                if (from..from + 1_200.0).contains(&at) {
                    3.0
                } else {
                    1.0
                }
            }
        }
    }

    /// The additional share that is bad in this interval, of the canary and of stable.
    fn glitch(&mut self, seconds: f64) -> [f64; 2] {
        let Some(glitch) = self.world.glitch else {
            return [0.0; 2];
        };
        let instances = [1.0, 19.0];
        let now = self.clock;
        let mut bad = [0.0; 2];
        for ((until, bad), instances) in self.glitches.iter_mut().zip(&mut bad).zip(instances) {
            if *until <= now {
                let chance = glitch.per_hour * instances * seconds / 3_600.0;
                if self.random.chance(chance) {
                    // It begins within the interval.
                    let begins = now + seconds * self.random.unit();
                    *until = begins + glitch.seconds;
                    let within = now + seconds - begins;
                    *bad = glitch.bad * within.min(glitch.seconds) / seconds / instances;
                }
            } else {
                let within = (*until - now).min(seconds);
                *bad = glitch.bad * within / seconds / instances;
            }
        }
        bad
    }
}
