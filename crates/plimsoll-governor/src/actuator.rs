//! What the governor may move, and what each costs.

use plimsoll_core::{Class, Ratio};
use serde::{Deserialize, Serialize};

use crate::condition::Burn;
use crate::signals::Demand;

/// Something that the governor may move, by the harm of its first step. Each has steps; at zero it does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actuator {
    /// Second attempts beside slow ones are not made: some answers are slower, the service has less to do.
    Hedge,
    /// Failed attempts are not made again: some users see a failure that another attempt would have hidden.
    Retry,
    /// What is stored and stale is given without asking the service: some users see what was true a while ago.
    Stale,
    /// Optional content is left out, up to a quarter of it with each step: pages have less on them.
    Brownout,
    /// Requests are refused by class, in four steps: half of `sheddable`, all of it, and half of `standard`, all of it.
    /// `critical` never is.
    Shed,
    /// What would change something is refused, `critical` too: users can read, and not act.
    ReadOnly,
}

/// What of a service can be given up, beside what any has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degradable {
    /// Answers are stored, and may be given past their freshness.
    pub stale: bool,
    /// It has optional content that can be left out.
    pub brownout: bool,
    /// Its owner lets the governor refuse what would change something.
    pub read_only: bool,
}

impl Degradable {
    /// Whether there is something to be moved.
    pub const fn has(self, actuator: Actuator) -> bool {
        match actuator {
            Actuator::Hedge | Actuator::Retry | Actuator::Shed => true,
            Actuator::Stale => self.stale,
            Actuator::Brownout => self.brownout,
            Actuator::ReadOnly => self.read_only,
        }
    }
}

impl Actuator {
    /// By the harm of the first step, the least harmful first.
    pub const ALL: [Self; 6] = [
        Self::Hedge,
        Self::Retry,
        Self::Stale,
        Self::Brownout,
        Self::Shed,
        Self::ReadOnly,
    ];

    /// Its id in config, metrics and the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hedge => "hedge",
            Self::Retry => "retry",
            Self::Stale => "stale",
            Self::Brownout => "brownout",
            Self::Shed => "shed",
            Self::ReadOnly => "read-only",
        }
    }

    /// How much harm a step does to users, against those of all actuators: only the order means anything. To refuse
    /// what its sender can do without is less than to let nobody act, and that is less than to refuse what most users ask.
    pub const fn harm(self, step: u8) -> u8 {
        match (self, step) {
            (_, 0) => 0,
            (Self::Hedge, _) => 10,
            (Self::Retry, _) => 20,
            (Self::Stale, _) => 30,
            (Self::Brownout, 1) => 40,
            (Self::Brownout, 2) => 42,
            (Self::Brownout, 3) => 44,
            (Self::Brownout, _) => 46,
            (Self::Shed, 1) => 50,
            (Self::Shed, 2) => 55,
            (Self::ReadOnly, _) => 65,
            (Self::Shed, 3) => 70,
            (Self::Shed, _) => 80,
        }
    }

    /// Its last step.
    pub const fn steps(self) -> u8 {
        match self {
            Self::Hedge | Self::Retry | Self::Stale | Self::ReadOnly => 1,
            Self::Brownout | Self::Shed => 4,
        }
    }

    /// How long a step takes to show what it does, in seconds: until what was under way has ended, and ten seconds have
    /// been counted.
    pub const fn settle(self) -> u64 {
        match self {
            Self::Hedge | Self::Retry | Self::Stale => 12,
            Self::Brownout | Self::Shed | Self::ReadOnly => 15,
        }
    }

    /// How fast it must burn, unless a rule says otherwise.
    pub const fn from(self) -> Burn {
        match self {
            Self::Hedge | Self::Retry | Self::Stale | Self::Brownout => Burn::Burning,
            Self::Shed | Self::ReadOnly => Burn::Severe,
        }
    }

    /// Whether moving it can help, by what is asked of the service: there must be something to take away. `is_late` says that
    /// what fails is to be in time.
    pub fn applies(self, demand: Demand, is_late: bool) -> bool {
        match self {
            Self::Hedge => demand.hedges * 100 > demand.requests,
            Self::Retry => demand.retries * 100 > demand.requests,
            Self::Stale => demand.stale * 100 > demand.requests,
            Self::Brownout => is_late || demand.exceeds(),
            // A service that fails whatever its load is not helped by less of it.
            Self::Shed => demand.exceeds(),
            Self::ReadOnly => {
                let writes: u64 = demand.writes.iter().sum();
                demand.exceeds() && writes * 100 > demand.requests
            }
        }
    }

    /// The share of the requests of each class that a step refuses. What a class's requests would do is taken from what is
    /// let in of it now.
    pub fn refuses(self, step: u8, demand: &Demand) -> [f64; Class::ALL.len()] {
        if self == Self::ReadOnly && step > 0 {
            let mut shares = [0.0; Class::ALL.len()];
            let each = demand.writes.into_iter().zip(demand.let_in);
            for (share, (writes, let_in)) in shares.iter_mut().zip(each) {
                *share = (writes as f64 / let_in.max(1) as f64).min(1.0);
            }
            return shares;
        }
        let (standard, sheddable) = match (self, step) {
            (Self::Shed, 1) => (0.0, 0.5),
            (Self::Shed, 2) => (0.0, 1.0),
            (Self::Shed, 3) => (0.5, 1.0),
            (Self::Shed, 4..) => (1.0, 1.0),
            _ => (0.0, 0.0),
        };
        Class::ALL.map(|class| match class {
            Class::Critical => 0.0,
            Class::Standard => standard,
            Class::Sheddable => sheddable,
        })
    }

    /// The part of the optional content that a step of `brownout` lets be left out.
    pub fn dimmed_max(step: u8) -> Ratio {
        let steps = Self::Brownout.steps();
        Ratio::of(step.min(steps).into(), steps.into()).unwrap_or(Ratio::ONE)
    }

    /// What a step is, in words.
    pub const fn says(self, step: u8) -> &'static str {
        match (self, step) {
            (Self::Hedge, 0) => "second attempts are made again",
            (Self::Hedge, _) => "no second attempts",
            (Self::Retry, 0) => "failed attempts are made again as configured",
            (Self::Retry, _) => "no retries",
            (Self::Stale, 0) => "what is stale is asked for again",
            (Self::Stale, _) => "stale answers are given without asking",
            (Self::Brownout, 0) => "all optional content is there",
            (Self::Brownout, 1) => "up to a quarter of the optional content is left out",
            (Self::Brownout, 2) => "up to half of the optional content is left out",
            (Self::Brownout, 3) => "up to three quarters of the optional content are left out",
            (Self::Brownout, _) => "all of the optional content may be left out",
            (Self::Shed, 0) => "no class is refused",
            (Self::Shed, 1) => "half of class sheddable is refused",
            (Self::Shed, 2) => "class sheddable is refused",
            (Self::Shed, 3) => "class sheddable and half of standard are refused",
            (Self::Shed, _) => "only class critical is let in",
            (Self::ReadOnly, 0) => "what would change something is let in",
            (Self::ReadOnly, _) => "only what changes nothing is let in",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_by_harm_and_no_two_steps_do_the_same() {
        assert!(Actuator::ALL.is_sorted_by_key(|it| it.harm(1)));
        assert!(Actuator::ALL.is_sorted());
        let all = Actuator::ALL.into_iter();
        let steps = all.flat_map(|it| (1..=it.steps()).map(move |step| (it.harm(step), it, step)));
        let mut steps: Vec<_> = steps.collect();
        steps.sort_unstable();
        assert!(steps.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let order: Vec<_> = steps.iter().map(|(_, it, step)| (*it, *step)).collect();
        use Actuator::{Brownout, Hedge, ReadOnly, Retry, Shed, Stale};
        let before_standard = [
            (Hedge, 1),
            (Retry, 1),
            (Stale, 1),
            (Brownout, 1),
            (Brownout, 2),
            (Brownout, 3),
            (Brownout, 4),
            (Shed, 1),
            (Shed, 2),
            (ReadOnly, 1),
        ];
        assert_eq!(order[..10], before_standard);
        assert_eq!(order[10..], [(Shed, 3), (Shed, 4)]);
    }

    #[test]
    fn what_has_nothing_to_take_away_is_not_moved() {
        let quiet = Demand {
            requests: 1_000,
            retries: 10,
            stale: 10,
            writes: [0, 10, 0],
            ..Demand::default()
        };
        assert!(Actuator::ALL.iter().all(|it| !it.applies(quiet, false)));
        let moved = |demand, is_late| -> Vec<_> {
            let all = Actuator::ALL.into_iter();
            all.filter(|it| it.applies(demand, is_late)).collect()
        };
        let more = Demand {
            retries: 11,
            stale: 11,
            ..quiet
        };
        assert_eq!(moved(more, false), [Actuator::Retry, Actuator::Stale]);
        assert_eq!(moved(quiet, true), [Actuator::Brownout]);
        let full = Demand {
            at_limit: true,
            ..quiet
        };
        assert_eq!(moved(full, false), [Actuator::Brownout, Actuator::Shed]);
        let writes = Demand {
            writes: [1, 10, 0],
            ..full
        };
        assert!(Actuator::ReadOnly.applies(writes, false));
    }

    #[test]
    fn read_only_refuses_what_would_change_something_of_every_class() {
        let demand = Demand {
            let_in: [100, 200, 0],
            writes: [50, 20, 0],
            ..Demand::default()
        };
        assert_eq!(Actuator::ReadOnly.refuses(0, &demand), [0.0; 3]);
        assert_eq!(Actuator::ReadOnly.refuses(1, &demand), [0.5, 0.1, 0.0]);
        for kind in [Actuator::Stale, Actuator::Brownout] {
            assert_eq!(kind.refuses(kind.steps(), &demand), [0.0; 3]);
        }
    }
}
