//! What happens when: the phases, their load and their fault.
//!
//! Each trouble is followed by some seconds of recovery, which are counted together as one kind: what a
//! trouble leaves behind is then not charged to the next.
//! Units: loads are multiples of the shop's capacity.

use std::time::Duration;

use plimsoll_core::Class;
use serde::{Deserialize, Serialize};

use crate::catalogue::{self, CATALOGUE};
use crate::deploy::{self, Deploy, Faulty};
use crate::message::Fault;
use crate::options::{Length, Scene};

/// What a phase is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// An ordinary day.
    Calm,
    /// Many times more than the shop carries.
    FlashSale,
    /// One client sends several times what the shop carries, on top of an ordinary day.
    Flood,
    /// Everything takes longer, so that an ordinary day is more than the shop carries.
    LessCapacity,
    /// Recommendations, which pages wait for, answer late.
    SlowDependency,
    /// One endpoint of the catalogue takes requests and answers none.
    FrozenEndpoint,
    /// One endpoint of the catalogue takes ten times as long.
    SlowEndpoint,
    /// One endpoint of the catalogue fails all it is asked, at once.
    FailingEndpoint,
    /// One endpoint of the catalogue is gone.
    CrashedEndpoint,
    /// All endpoints of the catalogue are gone.
    OriginDown,
    /// A version of the catalogue that fails part of what it is asked comes to users.
    BadDeploy,
    /// Everything is repaired; what waits is worked off.
    Recovery,
}

impl PhaseKind {
    /// All kinds, in the order of tables; [`PhaseKind::index`] counts in this order.
    pub const ALL: [Self; 12] = [
        Self::Calm,
        Self::FlashSale,
        Self::Flood,
        Self::LessCapacity,
        Self::SlowDependency,
        Self::FrozenEndpoint,
        Self::SlowEndpoint,
        Self::FailingEndpoint,
        Self::CrashedEndpoint,
        Self::OriginDown,
        Self::BadDeploy,
        Self::Recovery,
    ];

    /// The position in [`PhaseKind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The endpoints that have a fault in both arms. Where it is one, a different one each time: what a proxy remembers of
    /// one is not carried into the next phase.
    pub(crate) const fn faults(self) -> &'static [Faulty] {
        match self {
            Self::FrozenEndpoint => &[(0, 2, Fault::Frozen)],
            Self::SlowEndpoint => &[(0, 3, Fault::Slow)],
            Self::FailingEndpoint => &[(0, 0, Fault::Failing)],
            Self::CrashedEndpoint => &[(0, 1, Fault::Crashed)],
            Self::OriginDown => &[
                (0, 0, Fault::Crashed),
                (0, 1, Fault::Crashed),
                (0, 2, Fault::Crashed),
                (0, 3, Fault::Crashed),
            ],
            _ => &[],
        }
    }

    /// The words in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::FlashSale => "flash sale",
            Self::Flood => "one floods",
            Self::LessCapacity => "capacity to 40%",
            Self::SlowDependency => "slow dependency",
            Self::FrozenEndpoint => "frozen endpoint",
            Self::SlowEndpoint => "slow endpoint",
            Self::FailingEndpoint => "failing endpoint",
            Self::CrashedEndpoint => "crashed endpoint",
            Self::OriginDown => "catalogue gone",
            Self::BadDeploy => "bad version",
            Self::Recovery => "recovery",
        }
    }
}

/// What a request does, where that makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// Its answer may be stored.
    Read,
    /// It changes something.
    Write,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) kind: PhaseKind,
    pub(crate) length: Duration,
    /// All classes together.
    pub(crate) load: f64,
    /// What one client sends on top.
    pub(crate) flood: f64,
    /// Reads of the catalogue that all clients send on top.
    pub(crate) reads: f64,
}

impl Phase {
    /// Its name, with the load where that is what it is about.
    pub(crate) fn title(&self, ascii: bool) -> String {
        let times = if ascii { "x" } else { "×" };
        match self.kind {
            PhaseKind::FlashSale => format!("{} {}{times}", self.kind.name(), round(self.load)),
            PhaseKind::Flood => format!("{} {}{times}", self.kind.name(), round(self.flood)),
            _ => self.kind.name().to_owned(),
        }
    }
}

/// The whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) phases: Vec<Phase>,
    /// Load before the first phase, which nothing is counted of: connections are made, caches filled.
    pub(crate) warm_up: Duration,
    /// Which scene it is.
    pub(crate) scene: Scene,
    /// What a slow dependency adds.
    pub(crate) slow: Duration,
    /// How fast a bad version comes, where that is what the scene is about.
    pub(crate) deploy: Option<Deploy>,
}

/// Critical requests come at this load in every phase: people who pay do not come ten times as often.
pub(crate) const CRITICAL_LOAD: f64 = 0.3;
/// Of what is not critical, this share is standard; the rest is sheddable.
pub(crate) const STANDARD_SHARE: f64 = 2.0 / 3.0;
/// An ordinary day.
const CALM_LOAD: f64 = 0.6;
/// What one client sends that floods.
pub(crate) const FLOOD_LOAD: f64 = 5.0;
/// What those send on top who come back when the catalogue does: with the reads of an ordinary day, two and a half times
/// what it carries.
const RETURNING_LOAD: f64 = 0.8;
/// How long a client waits before it gives up and cancels.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// An answer later than this is not a good one: the latency objective of the demo.
pub(crate) const GOOD_WITHIN: Duration = Duration::from_millis(250);
/// The share of requests that must be good.
pub(crate) const TARGET: f64 = 0.99;
/// What the budget is for.
pub(crate) const PERIOD: Duration = Duration::from_secs(3_600);

impl Plan {
    /// The plan of a scene of `length`, with a flash sale of at most `load_max`.
    pub(crate) fn new(scene: Scene, length: Length, load_max: f64) -> Self {
        use PhaseKind::{
            BadDeploy, Calm, CrashedEndpoint, FailingEndpoint, FlashSale, Flood, FrozenEndpoint,
            LessCapacity, OriginDown, Recovery, SlowDependency, SlowEndpoint,
        };
        // Recovery is long enough for what waits in the plain arm to be worked off or given up.
        let phases: &[(PhaseKind, f64)] = match (scene, length) {
            (Scene::SlowDependency, Length::Full) => {
                &[(Calm, 15.0), (SlowDependency, 60.0), (Recovery, 75.0)]
            }
            (Scene::SlowDependency, Length::Short) => {
                &[(Calm, 5.0), (SlowDependency, 20.0), (Recovery, 5.0)]
            }
            (Scene::OriginDown, Length::Full) => {
                &[(Calm, 20.0), (OriginDown, 20.0), (Recovery, 10.0)]
            }
            (Scene::OriginDown, Length::Short) => {
                &[(Calm, 6.0), (OriginDown, 6.0), (Recovery, 3.0)]
            }
            (Scene::BadDeploy, Length::Full) => {
                &[(Calm, 15.0), (BadDeploy, 60.0), (Recovery, 10.0)]
            }
            (Scene::BadDeploy, Length::Short) => &[(Calm, 5.0), (BadDeploy, 30.0), (Recovery, 3.0)],
            (Scene::Day, Length::Full) => &[
                (Calm, 5.0),
                (FlashSale, 10.0),
                (Recovery, 3.0),
                (Flood, 6.0),
                (Recovery, 3.0),
                (LessCapacity, 6.0),
                (Recovery, 3.0),
                (SlowDependency, 6.0),
                (Recovery, 4.0),
                (FrozenEndpoint, 5.0),
                (Recovery, 2.0),
                (SlowEndpoint, 4.0),
                (Recovery, 1.5),
                (FailingEndpoint, 4.0),
                (Recovery, 0.5),
                (CrashedEndpoint, 4.0),
                (Recovery, 0.5),
            ],
            (Scene::Day, Length::Short) => &[
                (Calm, 1.5),
                (FlashSale, 4.0),
                (Recovery, 1.5),
                (Flood, 4.0),
                (Recovery, 1.5),
                (LessCapacity, 5.0),
                (Recovery, 1.5),
                (SlowDependency, 1.5),
                (Recovery, 2.5),
                (FrozenEndpoint, 4.0),
                (Recovery, 2.0),
                (SlowEndpoint, 3.0),
                (Recovery, 1.0),
                (FailingEndpoint, 3.0),
                (Recovery, 0.5),
                (CrashedEndpoint, 4.0),
                (Recovery, 0.5),
            ],
        };
        let (flash, flood, warm_up) = match length {
            Length::Full => (10.0, FLOOD_LOAD, 3.0),
            // Overloads too, and within a debug build's reach.
            Length::Short => (2.0, 1.5, 1.0),
        };
        let phase = |&(kind, seconds): &(PhaseKind, f64)| Phase {
            kind,
            length: Duration::from_secs_f64(seconds),
            load: if kind == FlashSale {
                f64::min(flash, load_max)
            } else {
                CALM_LOAD
            },
            flood: if kind == Flood {
                f64::min(flood, (load_max - CALM_LOAD).max(0.0))
            } else {
                0.0
            },
            reads: if scene == Scene::OriginDown && kind == Recovery {
                RETURNING_LOAD
            } else {
                0.0
            },
        };
        Self {
            phases: phases.iter().map(phase).collect(),
            warm_up: Duration::from_secs_f64(warm_up),
            scene,
            slow: match scene {
                Scene::Day | Scene::OriginDown | Scene::BadDeploy => catalogue::SLOW_TIME,
                Scene::SlowDependency => catalogue::SLOWER_TIME,
            },
            deploy: (scene == Scene::BadDeploy).then(|| Deploy::new(length)),
        }
    }

    /// What a request of a class does at a service; `None` where the scene is not about that.
    pub(crate) fn kind_of(&self, service: usize, class: Class) -> Option<RequestKind> {
        let routes = catalogue::SERVICES.get(service)?.routes;
        let route = routes.get(class.index())?;
        match self.scene {
            Scene::OriginDown if route.is_stored => Some(RequestKind::Read),
            Scene::OriginDown if service == CATALOGUE => Some(RequestKind::Write),
            _ => None,
        }
    }

    /// Which user sends request `number` to a service; `None` where the scene is not about users of that.
    pub(crate) fn user_of(&self, service: usize, seed: u64, number: u64) -> Option<u64> {
        let has_users = self.deploy.is_some() && service == CATALOGUE;
        has_users.then(|| deploy::user(seed, number))
    }

    /// Whether there is a phase of this kind.
    pub(crate) fn has(&self, kind: PhaseKind) -> bool {
        self.phases.iter().any(|phase| phase.kind == kind)
    }

    /// How phases of `kind` are called, with the load where that is what they are about.
    pub(crate) fn title(&self, kind: PhaseKind, ascii: bool) -> String {
        let phase = self.phases.iter().find(|phase| phase.kind == kind);
        phase.map_or_else(|| kind.name().to_owned(), |phase| phase.title(ascii))
    }

    /// All phases, without the warm-up.
    pub(crate) fn length(&self) -> Duration {
        self.phases.iter().map(|phase| phase.length).sum()
    }

    /// The most requests that can be pending in one arm: all that arrive until the first give up.
    pub(crate) fn pending_max(load: f64) -> f64 {
        load * catalogue::capacity() * PATIENCE.as_secs_f64()
    }
}

fn round(load: f64) -> String {
    if (load - load.round()).abs() < 0.05 {
        format!("{load:.0}")
    } else {
        format!("{load:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_plan_is_about_a_minute_of_load_and_ten_times_the_capacity() {
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        assert_eq!(plan.length(), Duration::from_secs_f64(67.5));
        assert_eq!(plan.phases[1].title(false), "flash sale 10×");
        assert!((Plan::pending_max(10.0) - 8_000.0).abs() < 10.0);
    }

    #[test]
    fn a_smaller_bound_shrinks_the_flash_sale_and_its_title_says_so() {
        let plan = Plan::new(Scene::Day, Length::Full, 4.25);
        assert_eq!(plan.phases[1].title(true), "flash sale 4.2x");
        assert_eq!(plan.phases[0].load, CALM_LOAD);
    }

    #[test]
    fn every_trouble_comes_once_and_is_followed_by_recovery() {
        for length in [Length::Full, Length::Short] {
            let plan = Plan::new(Scene::Day, length, 10.0);
            for kind in PhaseKind::ALL {
                let count = plan
                    .phases
                    .iter()
                    .filter(|phase| phase.kind == kind)
                    .count();
                let expected = match kind {
                    PhaseKind::Recovery => 8,
                    PhaseKind::OriginDown | PhaseKind::BadDeploy => 0,
                    _ => 1,
                };
                assert_eq!(count, expected, "{kind:?}");
            }
            for pair in plan.phases.windows(2).skip(1) {
                let recoveries = pair
                    .iter()
                    .filter(|phase| phase.kind == PhaseKind::Recovery);
                assert_eq!(recoveries.count(), 1, "{pair:?}");
            }
            assert_eq!(
                PhaseKind::ALL.map(PhaseKind::index),
                std::array::from_fn(|n| n)
            );
        }
    }
}
