//! Which actuator of one service moves: the least harmful first, one step at a time, and back in reverse.
//!
//! A step is given its time to show what it does. If it did not help, or cost more than it saved, it is taken back and left
//! alone for a while, the longer the more often that was so. When what it is made for has stopped, steps are taken back
//! one by one; if one was missed, the next time it stays for twice as long. What goes on for long is looked at again: a
//! step is taken back, and goes up again only if it helps. So a burn that comes with each return is met ever more rarely:
//! for any actuator, moves within a time grow with its logarithm only.
//! Units: seconds; shares in `0.0..=1.0`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::actuator::Actuator;
use crate::condition::Burn;
use crate::decision::Because;
use crate::signals::Demand;

/// What counts as now, in seconds: what a step is judged by.
pub(crate) const NOW: usize = 5;
/// What is seen in the first seconds of a trouble is less than it is: nothing is compared with that.
const PATIENCE: u64 = 5;
/// A step has helped if not more than this share of the failures is left.
pub(crate) const HELPED: f64 = 0.8;
/// Fewer requests don't tell whether it has.
const TRIAL_REQUESTS: u64 = 20;
/// But a trial does not last longer.
const TRIAL_MAX: u64 = 60;
/// How long the end of a burn is waited for between two steps back, at first.
const HOLD: u64 = 15;
/// And at most.
const HOLD_MAX: u64 = 3_600;
/// What burns again so soon after a step back has missed it.
const MISSED_WITHIN: u64 = 300;
/// How long a step that did not help is left alone, at first.
const BARRED: u64 = 600;
/// And at most.
const BARRED_MAX: u64 = 4 * 3_600;
/// How long a step that helped stays before it is looked at again, at first: what it helped against may have gone, and
/// something else have come that it does not help against.
const REVIEW: u64 = 600;

/// The actuators of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ladder {
    moved: BTreeMap<Actuator, Moved>,
    /// Nothing moves before.
    next: u64,
    trial: Option<Trial>,
    /// Since when it burns.
    burns_since: Option<u64>,
    /// That nothing is left was said.
    helpless: bool,
}

/// How an actuator stands, and what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moved {
    step: u8,
    /// When it was last moved up.
    rose: u64,
    /// Since when there is nothing that it is made for.
    calm_since: Option<u64>,
    /// When a step was last taken back because the burn had stopped, or to look at it again.
    returned: Option<u64>,
    /// How often in a row that was too early.
    missed: u32,
    barred_until: u64,
    /// How often in a row it did not help.
    failed: u32,
}

/// A step whose effect is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    actuator: Actuator,
    /// The share of failures before it.
    before: f64,
    /// The burn before it, refusals included.
    all_before: f64,
    began: u64,
}

/// What a move is decided on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) second: u64,
    /// How fast the service's own failures burn the budget.
    pub(crate) burn: Burn,
    /// The share of them over the last [`NOW`] seconds.
    pub(crate) bad_share: f64,
    /// Among so many.
    pub(crate) requests: u64,
    /// How fast the budget that stands worst burns over the same time, refusals included.
    pub(crate) all_burn: f64,
    /// From which share on it still burns.
    pub(crate) threshold: f64,
    /// From which share on each actuator may be moved, in the order of harm.
    pub(crate) thresholds: [f64; Actuator::ALL.len()],
    pub(crate) demand: Demand,
    /// Another service is to be moved.
    pub(crate) deferred: bool,
    /// Nothing that is decided is done.
    pub(crate) observes: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Move {
        actuator: Actuator,
        from: u8,
        to: u8,
        because: Because,
    },
    Helpless,
}

impl Ladder {
    /// How far an actuator is moved.
    pub(crate) fn step(&self, actuator: Actuator) -> u8 {
        self.moved.get(&actuator).map_or(0, |moved| moved.step)
    }

    /// A second is over. `ever` says what may be moved at all, `may` what may be moved further now.
    pub(crate) fn on_second(
        &mut self,
        now: &Situation,
        ever: impl Fn(Actuator) -> bool,
        may: impl Fn(Actuator) -> bool,
    ) -> Option<Step> {
        let second = now.second;
        if now.burn > Burn::No {
            self.burns_since.get_or_insert(second);
        } else {
            self.burns_since = None;
            self.helpless = false;
        }
        for (actuator, moved) in &mut self.moved {
            match may(*actuator) {
                true => moved.calm_since = None,
                false => _ = moved.calm_since.get_or_insert(second),
            }
        }
        if let Some(forbidden) = self.most_harmful(|actuator, _| !ever(actuator)) {
            self.trial = None;
            return Some(self.set(forbidden, 0, Because::Forbidden));
        }
        if let Some(trial) = self.trial {
            return self.judge(trial, now);
        }
        if second < self.next {
            return None;
        }
        if let Some(step) = self.step_back(second).or_else(|| self.review(now)) {
            return Some(step);
        }
        let burns_for = second - self.burns_since?;
        let goes_on = now.bad_share >= now.threshold / 2.0;
        if now.deferred || !goes_on || burns_for < PATIENCE {
            return None;
        }
        // What is only observed has no effect, so there is nothing to say about what comes after it.
        if now.observes && self.moved.values().any(|moved| moved.step > 0) {
            return None;
        }
        let can = |&actuator: &Actuator| {
            let moved = self.moved.get(&actuator).copied().unwrap_or_default();
            may(actuator)
                && moved.step < actuator.steps()
                && second >= moved.barred_until
                && actuator.applies(now.demand)
        };
        // What only still counts as severe, since it was a minute ago, is not met with what is for severe burns.
        let enough = |actuator: &Actuator| {
            let threshold = now.thresholds.get(*actuator as usize);
            threshold.is_some_and(|threshold| now.bad_share >= threshold / 2.0)
        };
        let mut able = Actuator::ALL.into_iter().filter(can).peekable();
        if able.peek().is_none() {
            let said = std::mem::replace(&mut self.helpless, true);
            return (!said).then_some(Step::Helpless);
        }
        let next = able.find(enough)?;
        Some(self.step_up(next, now))
    }

    fn step_up(&mut self, actuator: Actuator, now: &Situation) -> Step {
        let moved = self.moved.entry(actuator).or_default();
        if let Some(returned) = moved.returned.take() {
            let since = now.second - returned;
            if since < MISSED_WITHIN {
                moved.missed += 1;
            } else if since > HOLD_MAX {
                moved.missed = 0;
            }
        }
        moved.rose = now.second;
        let to = moved.step + 1;
        self.next = now.second + actuator.settle();
        self.trial = (!now.observes).then_some(Trial {
            actuator,
            before: now.bad_share,
            all_before: now.all_burn,
            began: now.second,
        });
        self.set(
            actuator,
            to,
            Because::Burns {
                bad_share: now.bad_share,
            },
        )
    }

    /// Whether a step has helped, once that can be told.
    fn judge(&mut self, trial: Trial, now: &Situation) -> Option<Step> {
        let lasts = now.second - trial.began;
        if lasts < trial.actuator.settle() || (now.requests < TRIAL_REQUESTS && lasts < TRIAL_MAX) {
            return None;
        }
        self.trial = None;
        let fewer = now.bad_share <= HELPED * trial.before || now.bad_share < now.threshold / 2.0;
        // What is refused in place of what would have failed is no gain, and what would not have failed is a loss.
        let helped = fewer && now.all_burn <= trial.all_before;
        let moved = self.moved.entry(trial.actuator).or_default();
        if helped || moved.step == 0 {
            moved.failed = 0;
            return None;
        }
        let barred = BARRED.saturating_mul(1 << moved.failed.min(10));
        moved.barred_until = now.second + barred.min(BARRED_MAX);
        moved.failed += 1;
        let to = moved.step - 1;
        self.next = now.second + trial.actuator.settle();
        let because = Because::NoEffect {
            before: trial.before,
            bad_share: now.bad_share,
        };
        Some(self.set(trial.actuator, to, because))
    }

    fn step_back(&mut self, second: u64) -> Option<Step> {
        let is_over = |_, moved: &Moved| {
            let hold = HOLD.saturating_mul(1 << moved.missed.min(10)).min(HOLD_MAX);
            moved.calm_since.is_some_and(|since| second - since >= hold)
        };
        let actuator = self.most_harmful(is_over)?;
        Some(self.give_back(actuator, second, Because::Ended))
    }

    /// What burns on for long may burn for another reason than at first.
    fn review(&mut self, now: &Situation) -> Option<Step> {
        let second = now.second;
        let is_due = |_, moved: &Moved| {
            let review = REVIEW.saturating_mul(1 << moved.missed.min(10));
            moved.calm_since.is_none() && second - moved.rose >= review.min(BARRED_MAX)
        };
        let due = self.most_harmful(is_due).filter(|_| !now.observes)?;
        let because = Because::Review {
            bad_share: now.bad_share,
        };
        Some(self.give_back(due, second, because))
    }

    fn give_back(&mut self, actuator: Actuator, second: u64, because: Because) -> Step {
        let moved = self.moved.entry(actuator).or_default();
        moved.returned = Some(second);
        let to = moved.step - 1;
        self.next = second + actuator.settle().max(HOLD);
        self.set(actuator, to, because)
    }

    fn most_harmful(&self, passes: impl Fn(Actuator, &Moved) -> bool) -> Option<Actuator> {
        let moved = self.moved.iter().rev();
        moved
            .filter(|(actuator, moved)| moved.step > 0 && passes(**actuator, moved))
            .map(|(actuator, _)| *actuator)
            .next()
    }

    fn set(&mut self, actuator: Actuator, to: u8, because: Because) -> Step {
        let moved = self.moved.entry(actuator).or_default();
        let from = std::mem::replace(&mut moved.step, to);
        Step::Move {
            actuator,
            from,
            to,
            because,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A service whose share of failures follows from how far its actuators are moved.
    struct World {
        ladder: Ladder,
        second: u64,
        moves: Vec<(u64, Actuator, u8)>,
        helpless: u32,
        observes: bool,
        /// What each step of shedding refuses beyond what would be refused anyhow, as a share of all.
        refused: [f64; 5],
    }

    impl World {
        fn new() -> Self {
            Self {
                ladder: Ladder::default(),
                second: 0,
                moves: Vec::new(),
                helpless: 0,
                observes: false,
                refused: [0.0; 5],
            }
        }

        fn seconds(&mut self, seconds: u64, bad_share: impl Fn(&Ladder) -> f64) {
            for _ in 0..seconds {
                self.second += 1;
                let bad_share = bad_share(&self.ladder);
                let situation = Situation {
                    second: self.second,
                    burn: if bad_share >= 0.03 {
                        Burn::Severe
                    } else {
                        Burn::No
                    },
                    bad_share,
                    requests: 1_000,
                    all_burn: bad_share
                        + self.refused[usize::from(self.ladder.step(Actuator::Shed))],
                    threshold: 0.03,
                    thresholds: [0.03; 3],
                    demand: Demand {
                        requests: 1_000,
                        retries: 100,
                        at_limit: true,
                        ..Demand::default()
                    },
                    deferred: false,
                    observes: self.observes,
                };
                let may = |_| situation.burn > Burn::No;
                match self.ladder.on_second(&situation, |_| true, may) {
                    Some(Step::Move { actuator, to, .. }) => {
                        self.moves.push((self.second, actuator, to));
                    }
                    Some(Step::Helpless) => self.helpless += 1,
                    None => (),
                }
            }
        }

        fn steps(&self) -> Vec<(Actuator, u8)> {
            let step = |(_, actuator, to): &(u64, Actuator, u8)| (*actuator, *to);
            self.moves.iter().map(step).collect()
        }
    }

    #[test]
    fn it_goes_up_by_harm_as_far_as_it_helps_and_back_in_reverse() {
        use Actuator::{Retry, Shed};
        let mut world = World::new();
        // Each step takes 40 % of what is left.
        let overloaded = |ladder: &Ladder| {
            let steps = ladder.step(Retry) + ladder.step(Shed);
            0.2 * f64::from(0.6_f32.powi(i32::from(steps)))
        };
        world.seconds(60, overloaded);
        assert_eq!(
            world.steps(),
            [(Retry, 1), (Shed, 1), (Shed, 2), (Shed, 3)],
            "{:?}",
            world.moves
        );
        let apart = |pair: &[(u64, Actuator, u8)]| pair[1].0 - pair[0].0 >= 12;
        assert!(world.moves.windows(2).all(apart), "{:?}", world.moves);
        world.moves.clear();
        world.seconds(300, |_| 0.0);
        assert_eq!(world.steps(), [(Shed, 2), (Shed, 1), (Shed, 0), (Retry, 0)]);
        assert!(world.moves.windows(2).all(apart), "{:?}", world.moves);
    }

    #[test]
    fn what_does_not_help_is_taken_back_and_left_alone() {
        use Actuator::{Retry, Shed};
        let mut world = World::new();
        world.seconds(300, |_| 0.3);
        assert_eq!(
            world.steps(),
            [(Retry, 1), (Retry, 0), (Shed, 1), (Shed, 0)]
        );
        assert_eq!(world.helpless, 1, "which is said once");
        world.seconds(86_400, |_| 0.3);
        assert!(world.moves.len() < 80, "{}", world.moves.len());
        assert_eq!(world.helpless, 1);
    }

    #[test]
    fn a_burn_that_comes_with_each_return_is_met_ever_more_rarely() {
        let mut world = World::new();
        // Without the step it burns, with it it does not.
        let needs_it = |ladder: &Ladder| match ladder.step(Actuator::Retry) {
            0 => 0.2,
            _ => 0.0,
        };
        world.seconds(86_400, needs_it);
        let late = world.moves.iter().filter(|(at, ..)| *at > 43_200).count();
        assert!(world.moves.len() <= 70, "{}", world.moves.len());
        assert!(late <= 26, "{late} moves in half a day");
    }

    #[test]
    fn what_costs_more_than_it_saves_is_taken_back() {
        use Actuator::{Retry, Shed};
        let mut world = World::new();
        world.refused = [0.0, 0.1, 0.2, 0.4, 0.6];
        // Each step takes 30 % of the failures: at the third, that is less than is refused for it.
        let lessens = |ladder: &Ladder| 0.5 * f64::from(0.7_f32.powi(ladder.step(Shed).into()));
        world.seconds(120, lessens);
        let expected = [
            (Retry, 1),
            (Retry, 0),
            (Shed, 1),
            (Shed, 2),
            (Shed, 3),
            (Shed, 2),
        ];
        assert_eq!(world.steps(), expected, "{:?}", world.moves);
    }

    #[test]
    fn what_burns_on_for_another_reason_is_not_met_as_before() {
        use Actuator::{Retry, Shed};
        let mut world = World::new();
        // It helps against what comes first.
        world.seconds(45, |ladder| match ladder.step(Shed) {
            0 => 0.4,
            _ => 0.1,
        });
        assert_eq!(world.ladder.step(Shed), 1, "{:?}", world.moves);
        world.moves.clear();
        world.seconds(6 * 3_600, |_| 0.1);
        assert_eq!(world.ladder.step(Shed), 0, "{:?}", world.moves);
        assert!(world.moves.len() < 40, "{:?}", world.moves);
        // What goes on to help stays, but for a look now and then.
        let mut world = World::new();
        let helps = |ladder: &Ladder| match ladder.step(Retry) {
            0 => 0.4,
            _ => 0.1,
        };
        world.seconds(60, helps);
        let mut without = 0;
        for _ in 0..6 * 3_600 {
            world.seconds(1, helps);
            without += u32::from(world.ladder.step(Retry) == 0);
        }
        assert!((1..=120).contains(&without), "{without} s");
    }

    #[test]
    fn what_is_only_observed_is_one_step() {
        let mut world = World::new();
        world.observes = true;
        world.seconds(600, |_| 0.3);
        assert_eq!(world.steps(), [(Actuator::Retry, 1)]);
        world.seconds(100, |_| 0.0);
        assert_eq!(world.steps().last(), Some(&(Actuator::Retry, 0)));
    }

    proptest! {
        #[test]
        fn whatever_comes_there_are_few_moves_and_all_go_back(
            shares in prop::collection::vec((1_u64..200, 0.0_f64..0.5), 1..60),
        ) {
            let mut world = World::new();
            for (seconds, share) in shares {
                world.seconds(seconds, |_| share);
            }
            let moves = world.moves.len() as u64;
            prop_assert!(moves <= world.second / 12 + 1);
            world.seconds(5 * HOLD_MAX, |_| 0.0);
            prop_assert!(Actuator::ALL.iter().all(|it| world.ladder.step(*it) == 0));
        }
    }
}
