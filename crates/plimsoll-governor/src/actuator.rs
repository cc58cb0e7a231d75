//! What the governor may move, and what each costs.

use plimsoll_core::Class;
use serde::{Deserialize, Serialize};

use crate::condition::Burn;
use crate::signals::Demand;

/// Something that the governor may move, the least harmful first. Each has steps; at zero it does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actuator {
    /// Second attempts beside slow ones are not made: some answers are slower, the service has less to do.
    Hedge,
    /// Failed attempts are not made again: some users see a failure that another attempt would have hidden.
    Retry,
    /// Requests are refused by class, in four steps: half of `sheddable`, all of it, and half of `standard`, all of it.
    /// `critical` never is.
    Shed,
}

impl Actuator {
    /// The least harmful first.
    pub const ALL: [Self; 3] = [Self::Hedge, Self::Retry, Self::Shed];

    /// Its id in config, metrics and the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hedge => "hedge",
            Self::Retry => "retry",
            Self::Shed => "shed",
        }
    }

    /// How much harm a step does to users, against the other actuators: only the order means anything.
    pub const fn harm(self) -> u8 {
        match self {
            Self::Hedge => 10,
            Self::Retry => 20,
            Self::Shed => 60,
        }
    }

    /// Its last step.
    pub const fn steps(self) -> u8 {
        match self {
            Self::Hedge | Self::Retry => 1,
            Self::Shed => 4,
        }
    }

    /// How long a step takes to show what it does, in seconds: until what was under way has ended, and ten seconds have
    /// been counted.
    pub const fn settle(self) -> u64 {
        match self {
            Self::Hedge | Self::Retry => 12,
            Self::Shed => 15,
        }
    }

    /// How fast it must burn, unless a rule says otherwise.
    pub const fn from(self) -> Burn {
        match self {
            Self::Hedge | Self::Retry => Burn::Burning,
            Self::Shed => Burn::Severe,
        }
    }

    /// Whether moving it can help, by what is asked of the service: there must be something to take away.
    pub const fn applies(self, demand: Demand) -> bool {
        match self {
            Self::Hedge => demand.hedges * 100 > demand.requests,
            Self::Retry => demand.retries * 100 > demand.requests,
            // A service that fails whatever its load is not helped by less of it.
            Self::Shed => demand.exceeds(),
        }
    }

    /// The share of the requests of each class that a step refuses.
    pub fn refuses(self, step: u8) -> [f64; Class::ALL.len()] {
        let (standard, sheddable) = match (self, step) {
            (Self::Hedge | Self::Retry, _) | (Self::Shed, 0) => (0.0, 0.0),
            (Self::Shed, 1) => (0.0, 0.5),
            (Self::Shed, 2) => (0.0, 1.0),
            (Self::Shed, 3) => (0.5, 1.0),
            (Self::Shed, _) => (1.0, 1.0),
        };
        Class::ALL.map(|class| match class {
            Class::Critical => 0.0,
            Class::Standard => standard,
            Class::Sheddable => sheddable,
        })
    }

    /// What a step is, in words.
    pub const fn says(self, step: u8) -> &'static str {
        match (self, step) {
            (Self::Hedge, 0) => "second attempts are made again",
            (Self::Hedge, _) => "no second attempts",
            (Self::Retry, 0) => "failed attempts are made again as configured",
            (Self::Retry, _) => "no retries",
            (Self::Shed, 0) => "no class is refused",
            (Self::Shed, 1) => "half of class sheddable is refused",
            (Self::Shed, 2) => "class sheddable is refused",
            (Self::Shed, 3) => "class sheddable and half of standard are refused",
            (Self::Shed, _) => "only class critical is let in",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_by_harm() {
        assert!(Actuator::ALL.is_sorted_by_key(|it| it.harm()));
        assert!(Actuator::ALL.is_sorted());
    }

    #[test]
    fn what_has_nothing_to_take_away_is_not_moved() {
        let quiet = Demand {
            requests: 1_000,
            retries: 10,
            ..Demand::default()
        };
        assert!(Actuator::ALL.iter().all(|it| !it.applies(quiet)));
        let retried = Demand {
            retries: 11,
            ..quiet
        };
        assert!(Actuator::Retry.applies(retried));
        let full = Demand {
            at_limit: true,
            ..quiet
        };
        assert!(Actuator::Shed.applies(full));
    }
}
