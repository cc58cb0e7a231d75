//! One rollout by one judge.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_policy::rollout::{Arms, Hold, Observed, Outcome, Parameters, Phase, Rollout, What};

use crate::rollouts::peers::{Binomial, Fixed, MannWhitney};
use crate::rollouts::world::{Traffic, World};

/// Peers look at counts in intervals of this many seconds.
const INTERVAL: f64 = 10.0;
/// The evidence that ends what the binomial process judges.
const BINOMIAL_AT: f64 = 100.0;

/// How it went. Times are in seconds from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trial {
    /// When it was rolled back.
    pub stopped: Option<f64>,
    /// When it got no traffic for the first time.
    pub struck: Option<f64>,
    /// When a person was asked because of latencies.
    pub asked: Option<f64>,
    /// When it was promoted.
    pub promoted: Option<f64>,
    /// Since when the canary had bad answers.
    pub first_bad: Option<f64>,
    /// Requests of the canary.
    pub requests: u64,
    /// Bad ones of them.
    pub bad: u64,
    /// The weight that it had last while it had any.
    pub weight: f64,
}

/// By the state machine of production, for at most so many seconds, with ticks of `interval` seconds (ten at most).
pub fn by_plimsoll(
    world: World,
    seed: u64,
    parameters: Parameters,
    seconds: f64,
    interval: f64,
) -> Trial {
    let mut traffic = Traffic::new(world, seed);
    let mut trial = Trial::default();
    let mut now = Timestamp::from_seconds(1_700_000_000);
    let Ok(mut rollout) = Rollout::new(parameters, now) else {
        return trial;
    };
    let mut passed = 0.0;
    loop {
        let observed = Observed {
            routes: traffic.arms(),
            bad_clients: traffic.bad_clients(),
            service_burns: false,
            frozen: false,
            canary_up: true,
        };
        for event in rollout.tick(now, &observed) {
            match event.what {
                What::Struck => trial.struck = trial.struck.or(Some(passed)),
                What::Asked { why: Hold::Latency } => {
                    trial.asked = trial.asked.or(Some(passed));
                }
                What::Finished {
                    outcome: Outcome::RolledBack,
                    ..
                } => {
                    trial.stopped = Some(passed);
                    trial.struck = trial.struck.or(Some(passed));
                }
                What::Finished { .. } => trial.promoted = Some(passed),
                _ => (),
            }
        }
        if rollout.phase() == Phase::Finished || passed >= seconds {
            break;
        }
        let weight = rollout.weight().share();
        if weight > 0.0 {
            trial.weight = weight;
        }
        traffic.go_on(interval, weight);
        passed += interval;
        now = now + Duration::from_secs_f64(interval);
    }
    let canary = traffic.all().canary;
    trial.first_bad = traffic.first_bad();
    trial.requests = canary.requests;
    trial.bad = canary.bad;
    trial
}

/// By thresholds as Flagger and Argo Rollouts have them, by Mann and Whitney's test, and by the binomial process, in this order; all at this
/// weight, for at most so many seconds.
pub fn by_peers(world: World, seed: u64, weight: f64, seconds: f64) -> [Trial; 4] {
    let mut traffic = Traffic::new(world, seed);
    let mut trials = [Trial::default(); 4];
    let (mut flagger, mut argo) = (Fixed::new(5), Fixed::new(1));
    let (mut mann_whitney, mut binomial) = (MannWhitney::default(), Binomial::default());
    let (mut passed, mut minute, mut batch) = (0.0, Arms::default(), Arms::default());
    while passed < seconds && trials.iter().any(|it| it.stopped.is_none()) {
        traffic.go_on(INTERVAL, weight);
        passed += INTERVAL;
        let all = traffic.all();
        let last = std::mem::replace(&mut batch, all);
        let mut stops = [false; 4];
        stops[3] = binomial.on_batch(&all.since(&last)) >= BINOMIAL_AT;
        if passed % 60.0 == 0.0 {
            let before = std::mem::replace(&mut minute, all);
            let came = all.since(&before);
            // Where latencies are looked at, that is P99 below the objective.
            let looked_at = match world.shape {
                Some(_) => came.canary.slow(),
                None => came.canary.errors(),
            };
            stops[0] = flagger.on_minute(looked_at);
            stops[1] = argo.on_minute(looked_at);
            stops[2] = trials[2].stopped.is_none() && mann_whitney.on_minute(&came);
        }
        for (trial, stops) in trials.iter_mut().zip(stops) {
            if trial.stopped.is_none() {
                trial.requests = all.canary.requests;
                trial.bad = all.canary.bad;
                trial.weight = weight;
                trial.stopped = stops.then_some(passed);
                trial.first_bad = traffic.first_bad();
            }
        }
    }
    trials
}

#[cfg(test)]
mod tests {
    use plimsoll_policy::rollout::{Step, Weight};

    use super::*;
    use crate::rollouts::world::{Change, Course};

    const RUNS: u64 = 2_000;

    /// An hour at 5 %.
    fn an_hour() -> Parameters {
        let mut parameters = Parameters::canary();
        parameters.steps = vec![Step {
            weight: Weight::of_parts(500),
            at_least: Duration::from_secs(86_400),
            gate: false,
        }];
        parameters
    }

    fn stopped(world: World) -> usize {
        let stops = |seed: &u64| {
            let trial = by_plimsoll(world, *seed, an_hour(), 3_600.0, 10.0);
            trial.stopped.is_some()
        };
        (0..RUNS).filter(stops).count()
    }

    #[test]
    fn versions_that_are_alike_are_rolled_back_in_one_of_a_hundred_at_most() {
        let alike = World::alike(100.0, 0.001);
        assert!(stopped(alike) <= 20);
        let clustered = World {
            cluster: 10.0,
            ..alike
        };
        assert!(stopped(clustered) <= 20);
        let bad_minutes = World {
            course: Course::Burst,
            ..alike
        };
        assert!(stopped(bad_minutes) <= 20);
    }

    #[test]
    fn the_binomial_process_fails_where_errors_come_in_clusters() {
        let clustered = World {
            cluster: 10.0,
            ..World::alike(100.0, 0.001)
        };
        let stops = |seed: &u64| {
            let [.., binomial] = by_peers(clustered, *seed, 0.05, 3_600.0);
            binomial.stopped.is_some()
        };
        let stopped = (0..RUNS / 4).filter(stops).count();
        // A hundred times what it promises.
        assert!(stopped > 100, "{stopped}");
    }

    #[test]
    fn five_times_as_many_errors_are_found_within_the_hour() {
        let worse = World {
            change: Change {
                times: 5.0,
                ..Change::NONE
            },
            ..World::alike(100.0, 0.001)
        };
        let found = stopped(worse);
        assert!(found as f64 >= 0.99 * RUNS as f64, "{found}");
    }

    /// Of 500 rollouts: in how many +10 points had no traffic within 40 s of their first bad answer. All are rolled back.
    fn soon(parameters: &Parameters) -> usize {
        let worse = World {
            change: Change {
                plus: 0.1,
                ..Change::NONE
            },
            ..World::alike(100.0, 0.001)
        };
        let is_soon = |seed: &u64| {
            let trial = by_plimsoll(worse, *seed, parameters.clone(), 900.0, 1.0);
            assert!(trial.stopped.is_some(), "seed {seed}: {trial:?}");
            let delay = trial.struck.zip(trial.first_bad);
            delay.is_some_and(|(struck, bad)| struck - bad <= 40.0)
        };
        (0..500).filter(is_soon).count()
    }

    #[test]
    fn ten_points_more_errors_get_no_traffic_within_40_s_of_the_first_bad_answer() {
        // At 5 % there are five requests a second.
        let soon_at_5 = soon(&an_hour());
        assert!(soon_at_5 >= 495, "{soon_at_5}");
        // The first step has one. A strike needs three bad answers, and in 40 s two more come with a probability of 91 %.
        let soon_at_1 = soon(&Parameters::canary());
        assert!(soon_at_1 >= 435, "{soon_at_1}");
    }
}
