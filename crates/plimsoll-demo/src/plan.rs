//! What happens when: the phases, their load and their fault.
//!
//! Each trouble is followed by some seconds of recovery, which are counted together as one kind: what a
//! trouble leaves behind is then not charged to the next.
//! Units: loads are multiples of the shop's capacity.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::options::Length;

/// What a phase is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// An ordinary day.
    Calm,
    /// Many times more than the shop carries.
    FlashSale,
    /// Recommendations, which pages wait for, answer late.
    SlowDependency,
    /// One endpoint of the catalogue is gone.
    CrashedEndpoint,
    /// Everything is repaired; what waits is worked off.
    Recovery,
}

impl PhaseKind {
    /// All kinds, in the order of tables; [`PhaseKind::index`] counts in this order.
    pub const ALL: [Self; 5] = [
        Self::Calm,
        Self::FlashSale,
        Self::SlowDependency,
        Self::CrashedEndpoint,
        Self::Recovery,
    ];

    /// The position in [`PhaseKind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The words in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::FlashSale => "flash sale",
            Self::SlowDependency => "slow dependency",
            Self::CrashedEndpoint => "crashed endpoint",
            Self::Recovery => "recovery",
        }
    }
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) kind: PhaseKind,
    pub(crate) length: Duration,
    /// All classes together.
    pub(crate) load: f64,
}

impl Phase {
    /// Its name, with the load where that is what it is about.
    pub(crate) fn title(&self, ascii: bool) -> String {
        let times = if ascii { "x" } else { "×" };
        match self.kind {
            PhaseKind::FlashSale => format!("{} {}{times}", self.kind.name(), round(self.load)),
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
}

/// Critical requests come at this load in every phase: people who pay do not come ten times as often.
pub(crate) const CRITICAL_LOAD: f64 = 0.3;
/// Of what is not critical, this share is standard; the rest is sheddable.
pub(crate) const STANDARD_SHARE: f64 = 2.0 / 3.0;
/// An ordinary day.
const CALM_LOAD: f64 = 0.6;
/// How long a client waits before it gives up and cancels.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// An answer later than this is not a good one: the latency objective of the demo.
pub(crate) const GOOD_WITHIN: Duration = Duration::from_millis(250);
/// The share of requests that must be good.
pub(crate) const TARGET: f64 = 0.99;
/// What the budget is for.
pub(crate) const PERIOD: Duration = Duration::from_secs(3_600);

impl Plan {
    /// The plan of `length`, with a flash sale of at most `load_max`.
    pub(crate) fn new(length: Length, load_max: f64) -> Self {
        let (flash, seconds, warm_up) = match length {
            Length::Full => (10.0, [8.0, 18.0, 6.0, 14.0, 6.0, 10.0, 2.0], 3.0),
            // 1.5 times the capacity is an overload too, and within a debug build's reach.
            Length::Short => (1.5, [1.5, 1.5, 2.5, 1.5, 4.0, 3.0, 0.5], 1.0),
        };
        let kinds = [
            PhaseKind::Calm,
            PhaseKind::FlashSale,
            PhaseKind::Recovery,
            PhaseKind::SlowDependency,
            PhaseKind::Recovery,
            PhaseKind::CrashedEndpoint,
            PhaseKind::Recovery,
        ];
        let phase = |(kind, seconds)| Phase {
            kind,
            length: Duration::from_secs_f64(seconds),
            load: if kind == PhaseKind::FlashSale {
                f64::min(flash, load_max)
            } else {
                CALM_LOAD
            },
        };
        Self {
            phases: kinds.into_iter().zip(seconds).map(phase).collect(),
            warm_up: Duration::from_secs_f64(warm_up),
        }
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
    fn the_full_plan_is_a_minute_of_load_and_ten_times_the_capacity() {
        let plan = Plan::new(Length::Full, 10.0);
        assert_eq!(plan.length(), Duration::from_secs(64));
        assert_eq!(plan.phases[1].title(false), "flash sale 10×");
        assert!((Plan::pending_max(10.0) - 8_000.0).abs() < 10.0);
    }

    #[test]
    fn a_smaller_bound_shrinks_the_flash_sale_and_its_title_says_so() {
        let plan = Plan::new(Length::Full, 4.25);
        assert_eq!(plan.phases[1].title(true), "flash sale 4.2x");
        assert_eq!(plan.phases[0].load, CALM_LOAD);
    }
}
