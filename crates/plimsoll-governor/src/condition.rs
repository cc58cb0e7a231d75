//! Conditions: how a service stands against its objectives, with hysteresis.
//!
//! What acts has to know within seconds, what calls a person must not be wrong more than once a year. So there are two
//! judgements. This one looks at the last minute: it burns if the last ten seconds and the last minute do, and if that
//! would hardly ever be seen at a burn of 1.0. The other is `pager`.
//! Source: windows in pairs after *The Site Reliability Workbook* (2018), chapter 5; the bound on chance is that of
//! H. Chernoff, Annals of Mathematical Statistics 23 (1952).
//! Units: burn rates are budgets spent per budget granted; seconds.

use plimsoll_core::Ratio;
use plimsoll_measure::{Condition, Counts, Tally};
use serde::{Deserialize, Serialize};

use crate::recent::Recent;

/// At this rate a month's budget is gone in ten days.
const BURNING: f64 = 3.0;
/// At this rate an hour spends 2 % of a month's budget.
const SEVERE: f64 = 14.4;
/// Where a target is so low that a burn would need nearly all requests to be bad, half of them are as severe.
const BAD_SHARE_MAX: f64 = 0.5;
/// The natural logarithm of how much likelier what was seen must be than at a burn of 1.0: a chance of one in a million.
const EVIDENCE: f64 = 14.0;
/// Failures within one second may have one cause, and be one event.
const BAD_SECONDS_MIN: usize = 3;
/// It must burn over both spans.
const SHORT: usize = 10;
const LONG: usize = 60;
/// It has ended when it burnt at less than half of the rate that it is named for,
const ENDED_BELOW: f64 = 0.5;
/// over so many seconds,
const ENDED_SPAN: usize = 30;
/// for so many in a row.
const ENDED_FOR: u32 = 30;

/// How fast a budget burns now.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Burn {
    /// Not faster than it may, or it can't be told.
    #[default]
    No,
    /// At three times what it may, or more.
    Burning,
    /// At 14.4 times, or more.
    Severe,
}

impl Burn {
    const ALL: [Self; 2] = [Self::Severe, Self::Burning];

    /// The condition that it makes.
    pub const fn condition(self) -> Condition {
        match self {
            Self::No => Condition::Healthy,
            Self::Burning => Condition::Burning,
            Self::Severe => Condition::Severe,
        }
    }

    /// From which share of bad requests on it is this.
    pub(crate) fn threshold(self, target: Ratio) -> f64 {
        let rate = match self {
            Self::No => 0.0,
            Self::Burning => BURNING,
            Self::Severe => SEVERE,
        };
        (rate * target.complement().get()).min(BAD_SHARE_MAX)
    }
}

/// Watches how fast one objective burns, of all its requests or of what the service did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    burn: Burn,
    /// For how many seconds it has looked as if it had ended.
    ended: u32,
}

impl Watch {
    pub(crate) fn burn(self) -> Burn {
        self.burn
    }

    /// A second is over. `of` says which requests count.
    pub(crate) fn on_second(
        &mut self,
        target: Ratio,
        recent: &Recent,
        of: impl Fn(Counts) -> Tally,
    ) {
        let (short, long) = (of(recent.over(SHORT)), of(recent.over(LONG)));
        let bad_seconds = recent.count(LONG, |counts| of(counts).bad > 0);
        let is = |burn: &Burn| {
            let threshold = burn.threshold(target);
            share(short) >= threshold && share(long) >= threshold
        };
        let certain =
            bad_seconds >= BAD_SECONDS_MIN && evidence(long, target.complement().get()) >= EVIDENCE;
        let now = Burn::ALL.into_iter().find(|burn| certain && is(burn));
        let now = now.unwrap_or_default();
        if now >= self.burn {
            *self = Self {
                burn: now,
                ended: 0,
            };
            return;
        }
        let lately = share(of(recent.over(ENDED_SPAN)));
        let goes_on = |burn: &Burn| lately >= ENDED_BELOW * burn.threshold(target);
        let left = Burn::ALL.into_iter().find(goes_on).unwrap_or_default();
        self.ended = if left < self.burn { self.ended + 1 } else { 0 };
        if self.ended >= ENDED_FOR {
            *self = Self {
                burn: left.max(now),
                ended: 0,
            };
        }
    }
}

pub(crate) fn share(tally: Tally) -> f64 {
    tally.bad_share().map_or(0.0, Ratio::get)
}

/// How much likelier the share that was seen makes it than `budget` does: the natural logarithm; zero where fewer were bad.
fn evidence(tally: Tally, budget: f64) -> f64 {
    let seen = share(tally);
    if seen <= budget {
        return 0.0;
    }
    let budget = budget.max(1e-12);
    let of_good = match tally.good {
        0 => 0.0,
        good => good as f64 * libm::log((1.0 - seen) / (1.0 - budget)),
    };
    tally.bad as f64 * libm::log(seen / budget) + of_good
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng as _, SeedableRng as _};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    struct World {
        target: Ratio,
        recent: Recent,
        watch: Watch,
        second: u64,
    }

    impl World {
        fn new(target: f64) -> Self {
            Self {
                target: Ratio::try_from(target).unwrap(),
                recent: Recent::default(),
                watch: Watch::default(),
                second: 0,
            }
        }

        fn second(&mut self, good: u64, bad: u64) -> Burn {
            let counts = Counts {
                good,
                bad,
                bad_service: bad,
            };
            self.recent.add(self.second, counts);
            self.second += 1;
            self.watch
                .on_second(self.target, &self.recent, Counts::budget);
            self.watch.burn()
        }

        fn seconds(&mut self, seconds: u64, good: u64, bad: u64) -> Burn {
            (0..seconds)
                .map(|_| self.second(good, bad))
                .last()
                .unwrap_or_default()
        }
    }

    #[test]
    fn an_outage_is_severe_within_three_seconds_and_over_a_minute_after_it_ended() {
        let mut world = World::new(0.999);
        assert_eq!(world.seconds(120, 100, 0), Burn::No);
        assert_eq!(
            world.seconds(2, 0, 100),
            Burn::No,
            "two seconds may be one event"
        );
        assert_eq!(world.seconds(1, 0, 100), Burn::Severe);
        assert_eq!(world.seconds(58, 100, 0), Burn::Severe);
        assert_eq!(world.seconds(4, 100, 0), Burn::No);
    }

    #[test]
    fn a_burn_that_gets_slower_is_burning_before_it_is_over() {
        let mut world = World::new(0.99);
        assert_eq!(world.seconds(60, 50, 50), Burn::Severe);
        // 4 %: four times the budget, and less than half of what severe is.
        assert_eq!(world.seconds(120, 96, 4), Burn::Burning);
        assert_eq!(world.seconds(600, 96, 4), Burn::Burning);
        assert_eq!(world.seconds(120, 100, 0), Burn::No);
    }

    #[test]
    fn between_the_bounds_it_stays_what_it_is() {
        let mut world = World::new(0.99);
        assert_eq!(world.seconds(300, 98, 2), Burn::No, "2 % from below");
        assert_eq!(world.seconds(60, 95, 5), Burn::Burning);
        assert_eq!(world.seconds(600, 98, 2), Burn::Burning, "2 % from above");
    }

    #[test]
    fn a_few_requests_say_nothing() {
        let mut world = World::new(0.99);
        for _ in 0..20 {
            assert_eq!(world.second(0, 1), Burn::No, "three a minute, all bad");
            assert_eq!(world.seconds(19, 0, 0), Burn::No);
        }
    }

    #[test]
    fn a_low_target_is_severe_when_half_is_bad() {
        let mut world = World::new(0.9);
        assert_eq!(world.seconds(60, 60, 40), Burn::Burning);
        assert_eq!(world.seconds(60, 40, 60), Burn::Severe);
    }

    #[test]
    fn at_a_burn_of_one_there_is_no_false_alarm_in_a_month_of_seconds() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut unit = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut alarms = 0;
        for target in [0.9, 0.99, 0.999] {
            let mut world = World::new(target);
            for _ in 0..300_000 {
                let bad = (0..5).filter(|_| unit() < 1.0 - target).count() as u64;
                alarms += u32::from(world.second(5 - bad, bad) > Burn::No);
            }
        }
        assert_eq!(alarms, 0);
    }
}
