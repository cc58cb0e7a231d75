//! A bad version of the catalogue, and how it comes to users: to one endpoint after the other on the left, as a rollout
//! on the right.
//!
//! The version is the same in both arms: it fails the same requests, at once, and is well otherwise. So no health check sees it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue::{CATALOGUE, SERVICES, mix};
use crate::message::Fault;
use crate::options::Length;

/// An endpoint that is not well, as its service's place and its own, and what is wrong with it.
pub(crate) type Faulty = (usize, usize, Fault);

/// What the version is called.
pub(crate) const VERSION: &str = "v2";
/// What its rollout is called.
pub(crate) const ROLLOUT: &str = "catalog-v2";
/// Why it is begun.
pub(crate) const WHY: &str = "release 2";
/// The share of users that its first step gives it, in percent.
pub(crate) const FIRST_STEP: u32 = 5;
/// Of what it is asked, it fails this share.
pub(crate) const FAILS: f64 = 0.3;
/// The header that says which user asks.
pub(crate) const USER_HEADER: &str = "x-user";
/// Users of the catalogue: so many that one in twenty of them is about one in twenty of the requests.
pub(crate) const USERS: u64 = 2_000;

/// How fast it goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deploy {
    /// Between two endpoints of the rolling deploy.
    pub(crate) every: Duration,
    /// For how long the rollout collects answers before it judges them.
    pub(crate) batch: Duration,
    /// How long the version gets nothing before it is tried once more.
    pub(crate) cooldown: Duration,
}

impl Deploy {
    /// That of a run of `length`.
    pub(crate) const fn new(length: Length) -> Self {
        let (every, batch, cooldown) = match length {
            Length::Full => (10, 2, 8),
            Length::Short => (5, 1, 3),
        };
        Self {
            every: Duration::from_secs(every),
            batch: Duration::from_secs(batch),
            cooldown: Duration::from_secs(cooldown),
        }
    }

    /// How many endpoints the rolling deploy has given the version to, so long after it began.
    pub(crate) fn replaced(&self, since: Duration) -> usize {
        let steps = since.as_nanos() / self.every.as_nanos().max(1);
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        steps.saturating_add(1).min(endpoints())
    }
}

/// Where the rolling deploy has put the version, at so many endpoints.
pub(crate) fn rolling(replaced: usize) -> Vec<Faulty> {
    let replaced = 0..replaced.min(endpoints());
    replaced
        .map(|place| (CATALOGUE, place, Fault::Bad))
        .collect()
}

/// Where the rollout finds it: at the endpoint that the catalogue has spare.
pub(crate) fn spare() -> Vec<Faulty> {
    vec![(CATALOGUE, endpoints(), Fault::Bad)]
}

/// The endpoints that the catalogue serves from.
pub(crate) fn endpoints() -> usize {
    SERVICES.get(CATALOGUE).map_or(0, |model| model.endpoints)
}

/// Which user sends request `number`.
pub(crate) fn user(seed: u64, number: u64) -> u64 {
    mix(mix(seed ^ 0x75_73_65_72) ^ number) % USERS
}

/// Whether the version fails request `number`: as its users and their work, it is the same in both arms.
pub(crate) fn fails(seed: u64, number: u64) -> bool {
    let share = (mix(mix(seed ^ 0x66_61_69_6c) ^ number) >> 11) as f64 / (1u64 << 53) as f64;
    share < FAILS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolling_deploy_takes_one_endpoint_after_the_other_and_ends_with_all() {
        let deploy = Deploy::new(Length::Full);
        let replaced = |seconds| deploy.replaced(Duration::from_secs(seconds));
        assert_eq!([0, 9, 10, 29, 30, 59].map(replaced), [1, 1, 2, 3, 4, 4]);
        assert_eq!(rolling(2), [(0, 0, Fault::Bad), (0, 1, Fault::Bad)]);
        assert_eq!(rolling(9).len(), 4);
        assert!(!rolling(4).contains(&spare()[0]), "it is nobody's yet");
    }

    #[test]
    fn the_version_fails_its_share_whoever_asks() {
        let near = |count: usize, of: usize| {
            let share = count as f64 / of as f64;
            assert!((share / FAILS - 1.0).abs() < 0.1, "{share}");
        };
        near((0..10_000).filter(|it| fails(7, *it)).count(), 10_000);
        // Neither are the same users hurt all the time, nor those of the same work.
        let few: Vec<u64> = (0..200_000).filter(|it| user(7, *it) < 100).collect();
        near(few.iter().filter(|it| fails(7, **it)).count(), few.len());
    }

    #[test]
    fn users_ask_about_equally_often() {
        let mut asked = vec![0_u32; USERS as usize];
        for number in 0..200_000 {
            asked[user(7, number) as usize] += 1;
        }
        assert!(asked.iter().all(|it| (50..=150).contains(it)));
    }
}
