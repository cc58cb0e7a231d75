//! Which actuator of one service moves: of all next steps the least harmful first, one at a time, and back in reverse.
//!
//! A step that refuses more than fails can't win, and is not taken. One that is taken is given its time to show what it
//! does. If it did not help, or cost more than it saved, it is taken back and left
//! alone for a while, the longer the more often that was so. When what it is made for has stopped, steps are taken back
//! one by one; if one was missed, the next time it stays for twice as long. What goes on for long is looked at again: a
//! step is taken back, and goes up again only if it helps. So a burn that comes with each return is met ever more rarely:
//! for any actuator, moves within a time grow with its logarithm only.
//! Units: seconds; shares in `0.0..=1.0`.

use std::collections::BTreeMap;

use plimsoll_core::Class;
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
/// Another budget burns faster for a step if not more than this share of its rate now was there before: five seconds vary.
const FASTER: f64 = 0.8;
/// A step that refuses less than this share of the requests more than the one before refuses nobody.
const REFUSED_MIN: f64 = 0.01;
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
const REVIEW: u64 = 120;
/// But not while it still goes up: so long after the last step.
const CLIMBS: u64 = 30;

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
    /// What was last looked at again, and when its last step so far was taken back.
    #[serde(default)]
    reviewed: Option<(Actuator, u64)>,
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
    /// The step before those that have neither helped nor cost anybody an answer: something else goes before the next one.
    #[serde(default)]
    untold: Option<u8>,
}

/// A step whose effect is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    actuator: Actuator,
    /// The step before: those in between refused nobody.
    from: u8,
    /// The place of the objective that it is judged by.
    objective: usize,
    /// The share of failures before it.
    before: f64,
    /// The burn of each objective before it, refusals included.
    all_before: Vec<f64>,
    /// The share of requests that the shed level refused before it.
    refused: f64,
    began: u64,
}

/// What a move is decided on.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    pub(crate) second: u64,
    /// How fast the service's own failures burn the budget.
    pub(crate) burn: Burn,
    /// Each objective.
    pub(crate) objectives: Vec<Lately>,
    /// The place of the one that burns worst by what the service does.
    pub(crate) worst: usize,
    /// From which share on each actuator may be moved, in the order of [`Actuator::ALL`].
    pub(crate) thresholds: [f64; Actuator::ALL.len()],
    pub(crate) demand: Demand,
    /// Another service is to be moved.
    pub(crate) deferred: bool,
    /// Nothing that is decided is done.
    pub(crate) observes: bool,
}

/// What an objective counted over the last [`NOW`] seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lately {
    /// The share of the service's own failures.
    pub(crate) bad_share: f64,
    /// Among so many.
    pub(crate) requests: u64,
    /// How fast the budget burns, refusals included.
    pub(crate) all_burn: f64,
    /// Whether that is fast enough to count as burning.
    pub(crate) all_burns: bool,
    /// From which share on it still burns.
    pub(crate) threshold: f64,
    /// Whether it asks for answers in time.
    pub(crate) is_timed: bool,
    /// Whether it counts requests of each class.
    pub(crate) classes: [bool; Class::ALL.len()],
}

impl Situation {
    fn at(&self, objective: usize) -> Lately {
        self.objectives.get(objective).copied().unwrap_or_default()
    }

    /// The objective that is worked on.
    fn worst(&self) -> Lately {
        self.at(self.worst)
    }

    /// The share that a step refuses of what an objective counts and was let in at the step before.
    fn cost(&self, actuator: Actuator, step: u8, objective: usize) -> f64 {
        let before = actuator.refuses(step.saturating_sub(1), &self.demand);
        let after = actuator.refuses(step, &self.demand);
        let shares = before.into_iter().zip(after);
        let counted = self.at(objective).classes.into_iter();
        let (mut refused, mut all) = (0.0, 0);
        for (((before, after), let_in), is_counted) in shares.zip(self.demand.let_in).zip(counted) {
            if is_counted && before < 1.0 {
                refused += (after - before) / (1.0 - before) * let_in as f64;
                all += let_in;
            }
        }
        refused / all.max(1) as f64
    }

    /// What only still counts as severe, since it was a minute ago, is not met with what is for severe burns.
    fn is_enough_for(&self, actuator: Actuator) -> bool {
        let threshold = self.thresholds.get(actuator as usize);
        threshold.is_some_and(|threshold| self.worst().bad_share >= threshold / 2.0)
    }

    /// The share of requests that the shed level refuses.
    fn refused(&self) -> f64 {
        self.demand.governed as f64 / self.demand.requests.max(1) as f64
    }
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

    /// What is moved, with its step.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (Actuator, u8)> {
        let moved = self.moved.iter().filter(|(_, moved)| moved.step > 0);
        moved.map(|(actuator, moved)| (*actuator, moved.step))
    }

    /// Whether it was said that nothing which may be moved can help, in the burn that goes on, and nothing is.
    pub(crate) fn is_helpless(&self) -> bool {
        self.helpless && self.moved().next().is_none()
    }

    /// Objectives are others: a trial of before can't be judged by them.
    pub(crate) fn forget_trial(&mut self) {
        self.trial = None;
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
        if let Some(trial) = self.trial.take() {
            return self.judge(trial, now, may);
        }
        if second < self.next {
            return None;
        }
        if let Some(step) = self.step_back(second).or_else(|| self.review(now)) {
            return Some(step);
        }
        let burns_for = second - self.burns_since?;
        let worst = now.worst();
        let goes_on = worst.bad_share >= worst.threshold / 2.0;
        if now.deferred || !goes_on || burns_for < PATIENCE {
            return None;
        }
        // What is only observed has no effect, so there is nothing to say about what comes after it.
        if now.observes && self.moved.values().any(|moved| moved.step > 0) {
            return None;
        }
        let able = self.able(now, may);
        if able.is_empty() {
            let said = std::mem::replace(&mut self.helpless, true);
            return (!said).then_some(Step::Helpless);
        }
        let next = able.into_iter().find(|it| now.is_enough_for(*it))?;
        Some(self.step_up(next, now))
    }

    /// What could go up by a step and help, the least harmful first.
    fn able(&self, now: &Situation, may: impl Fn(Actuator) -> bool) -> Vec<Actuator> {
        let worst = now.worst();
        let can = |&actuator: &Actuator| {
            let moved = self.moved.get(&actuator).copied().unwrap_or_default();
            may(actuator)
                && moved.step < actuator.steps()
                && now.second >= moved.barred_until
                && actuator.applies(now.demand, worst.is_timed)
                && now.cost(actuator, moved.step + 1, now.worst) < worst.bad_share
        };
        let mut able: Vec<Actuator> = Actuator::ALL.into_iter().filter(can).collect();
        able.sort_by_key(|actuator| actuator.harm(self.step(*actuator) + 1));
        able
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
        let from = moved.untold.take().unwrap_or(moved.step);
        self.next = now.second + actuator.settle();
        let bad_share = now.worst().bad_share;
        self.trial = (!now.observes).then(|| Trial {
            actuator,
            from,
            objective: now.worst,
            before: bad_share,
            all_before: now.objectives.iter().map(|it| it.all_burn).collect(),
            refused: now.refused(),
            began: now.second,
        });
        self.set(actuator, to, Because::Burns { bad_share })
    }

    /// Whether a step has helped, once that can be told.
    fn judge(
        &mut self,
        trial: Trial,
        now: &Situation,
        may: impl Fn(Actuator) -> bool,
    ) -> Option<Step> {
        let lasts = now.second - trial.began;
        let lately = now.at(trial.objective);
        if lasts < trial.actuator.settle()
            || (lately.requests < TRIAL_REQUESTS && lasts < TRIAL_MAX)
        {
            self.trial = Some(trial);
            return None;
        }
        let bad_share = lately.bad_share;
        let mut fewer = bad_share <= HELPED * trial.before || bad_share < lately.threshold / 2.0;
        let refuses_nobody = matches!(trial.actuator, Actuator::Stale | Actuator::Brownout);
        if refuses_nobody {
            // What it takes away from the service is room for others: fewer of them are refused by limiter and queue, while those
            // that are let in are as late as before.
            let before = trial.all_before.get(trial.objective).copied();
            fewer |= before.is_some_and(|before| lately.all_burn <= HELPED * before);
        }
        // What is refused in place of what would have failed is no gain, and what would not have failed is a loss.
        let faster = |(place, (lately, before)): (usize, (&Lately, &f64))| match place {
            // What Plimsoll refuses varies from second to second, and this does not add to it.
            _ if place == trial.objective && refuses_nobody && fewer => false,
            _ if place == trial.objective && !refuses_nobody => lately.all_burn > *before,
            _ => lately.all_burns && FASTER * lately.all_burn > *before,
        };
        let each = || now.objectives.iter().zip(&trial.all_before).enumerate();
        let helped = fewer && !each().any(faster);
        let mut able = self.able(now, may).into_iter();
        let first = able.find(|it| now.is_enough_for(*it) && !now.deferred);
        let moved = self.moved.entry(trial.actuator).or_default();
        if helped || moved.step == 0 {
            moved.failed = 0;
            return None;
        }
        let next = (moved.step < trial.actuator.steps()).then_some(moved.step + 1);
        let next = next.filter(|to| now.cost(trial.actuator, *to, trial.objective) < bad_share);
        let because = match trial.actuator {
            // It goes on to what refuses somebody: the share is of ten seconds, in all of which the step was in force.
            Actuator::Shed if now.refused() < trial.refused + REFUSED_MIN => {
                Some(Because::NobodyRefused { bad_share })
            }
            // A service that is asked for more than it carries is as slow with a little less to do: what costs nobody an answer
            // goes on until it is enough.
            Actuator::Brownout if !each().any(faster) => Some(Because::TooLittle { bad_share }),
            _ => None,
        };
        if let Some((to, because)) = next.zip(because) {
            let actuator = trial.actuator;
            if first != Some(actuator) {
                // Something else does less harm, or nothing may go up now. This one is not known to do nothing.
                moved.untold = Some(trial.from);
                return None;
            }
            moved.rose = now.second;
            let began = now.second;
            self.trial = Some(Trial { began, ..trial });
            return Some(self.set(actuator, to, because));
        }
        let barred = BARRED.saturating_mul(1 << moved.failed.min(10));
        moved.barred_until = now.second + barred.min(BARRED_MAX);
        moved.failed += 1;
        self.next = now.second + trial.actuator.settle();
        let because = Because::NoEffect {
            before: trial.before,
            bad_share,
        };
        Some(self.set(trial.actuator, trial.from, because))
    }

    fn step_back(&mut self, second: u64) -> Option<Step> {
        let is_over = |actuator, moved: &Moved| {
            let hold = HOLD.saturating_mul(1 << moved.missed.min(10)).min(HOLD_MAX);
            // All steps of a brownout would be back before a slow burn shows again. What is refused does not wait so long.
            let returned = moved.returned.filter(|_| actuator == Actuator::Brownout);
            let since = moved.calm_since.map(|calm| calm.max(returned.unwrap_or(0)));
            since.is_some_and(|since| second - since >= hold)
        };
        let actuator = self.most_harmful(is_over)?;
        Some(self.give_back(actuator, second, Because::Ended))
    }

    /// What burns on for long may burn for another reason than at first.
    fn review(&mut self, now: &Situation) -> Option<Step> {
        let second = now.second;
        let rose = self.moved.values().filter(|moved| moved.step > 0);
        let rose = rose.map(|moved| moved.rose).max()?;
        if second - rose < CLIMBS {
            return None;
        }
        let is_due = |_, moved: &Moved| {
            let review = REVIEW.saturating_mul(1 << moved.missed.min(10));
            moved.calm_since.is_none() && second - moved.rose >= review.min(BARRED_MAX)
        };
        let due = self.most_harmful(is_due).filter(|_| !now.observes)?;
        // One after the other: what was looked at may go up again before all that acts is gone.
        if let Some((last, at)) = self.reviewed
            && last != due
            && second - at < CLIMBS
        {
            return None;
        }
        self.reviewed = Some((due, second));
        let because = Because::Review {
            bad_share: now.worst().bad_share,
        };
        if let Some(moved) = self.moved.get_mut(&due)
            && due == Actuator::Brownout
        {
            // It costs nobody an answer to look at one step at a time; what is refused is not to stay for that long.
            moved.rose = second;
        }
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
        let moved = self.moved.iter();
        moved
            .filter(|(actuator, moved)| moved.step > 0 && passes(**actuator, moved))
            .max_by_key(|(actuator, moved)| actuator.harm(moved.step))
            .map(|(actuator, _)| *actuator)
    }

    fn set(&mut self, actuator: Actuator, to: u8, because: Because) -> Step {
        let moved = self.moved.entry(actuator).or_default();
        let from = std::mem::replace(&mut moved.step, to);
        if to < from {
            moved.untold = None;
        }
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
    use crate::actuator::Degradable;

    /// A service whose share of failures follows from how far its actuators are moved.
    struct World {
        ladder: Ladder,
        second: u64,
        moves: Vec<(u64, Actuator, u8)>,
        helpless: u32,
        observes: bool,
        /// What each step of shedding refuses beyond what would be refused anyhow, as a share of all.
        refused: [f64; 5],
        /// How many of the requests each step refuses.
        governed: [u64; 5],
        /// How many are of each class, and which the objective counts.
        classes: [u64; 3],
        counted: [bool; 3],
        /// How many of them would change something.
        writes: [u64; 3],
        /// How many could have a stale answer, and which share is refused of all while they do not.
        stale: u64,
        relieved: f64,
        degradable: Degradable,
    }

    const ALL_DEGRADABLE: Degradable = Degradable {
        stale: true,
        brownout: true,
        read_only: true,
    };

    impl World {
        fn new() -> Self {
            Self {
                ladder: Ladder::default(),
                second: 0,
                moves: Vec::new(),
                helpless: 0,
                observes: false,
                refused: [0.0; 5],
                governed: [0, 100, 200, 300, 400],
                classes: [0; 3],
                counted: [true; 3],
                writes: [0; 3],
                stale: 0,
                relieved: 0.0,
                degradable: Degradable::default(),
            }
        }

        fn seconds(&mut self, seconds: u64, bad_share: impl Fn(&Ladder) -> f64) {
            for _ in 0..seconds {
                self.second += 1;
                let bad_share = bad_share(&self.ladder);
                let shed = usize::from(self.ladder.step(Actuator::Shed));
                let relieved = match self.ladder.step(Actuator::Stale) {
                    0 => self.relieved,
                    _ => 0.0,
                };
                let situation = Situation {
                    second: self.second,
                    burn: if bad_share >= 0.03 {
                        Burn::Severe
                    } else {
                        Burn::No
                    },
                    objectives: vec![Lately {
                        bad_share,
                        requests: 1_000,
                        all_burn: bad_share + self.refused[shed] + relieved,
                        all_burns: bad_share >= 0.03,
                        threshold: 0.03,
                        is_timed: true,
                        classes: self.counted,
                    }],
                    worst: 0,
                    thresholds: [0.03; Actuator::ALL.len()],
                    demand: Demand {
                        requests: 1_000,
                        retries: 100,
                        governed: self.governed[shed],
                        let_in: self.let_in(shed),
                        writes: self.writes,
                        stale: match self.ladder.step(Actuator::Stale) {
                            0 => self.stale,
                            _ => 0,
                        },
                        at_limit: true,
                        ..Demand::default()
                    },
                    deferred: false,
                    observes: self.observes,
                };
                let can = self.degradable;
                let may = |it| situation.burn > Burn::No && can.has(it);
                match self.ladder.on_second(&situation, |it| can.has(it), may) {
                    Some(Step::Move { actuator, to, .. }) => {
                        self.moves.push((self.second, actuator, to));
                    }
                    Some(Step::Helpless) => self.helpless += 1,
                    None => (),
                }
            }
        }

        /// What such a step lets in.
        fn let_in(&self, shed: usize) -> [u64; 3] {
            let mut let_in = self.classes;
            let refuses = Actuator::Shed.refuses(shed as u8, &Demand::default());
            for (let_in, share) in let_in.iter_mut().zip(refuses) {
                *let_in = (*let_in as f64 * (1.0 - share)) as u64;
            }
            let_in
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
    fn a_step_that_refuses_nobody_is_followed_by_one_that_does() {
        use Actuator::{Retry, Shed};
        let mut world = World::new();
        // All of it is of class standard.
        world.governed = [0, 0, 0, 500, 1_000];
        let cured = |ladder: &Ladder| if ladder.step(Shed) < 3 { 0.4 } else { 0.0 };
        world.seconds(120, cured);
        let up = [(Retry, 1), (Retry, 0), (Shed, 1), (Shed, 2), (Shed, 3)];
        assert_eq!(world.steps()[..5], up, "{:?}", world.moves);
        // Where that does not help either, what refused nobody goes back with it.
        let mut world = World::new();
        world.governed = [0, 0, 0, 500, 1_000];
        world.seconds(120, |_| 0.4);
        assert_eq!(world.steps()[5..], [(Shed, 0)], "{:?}", world.moves);
        assert_eq!(world.steps()[..5], up);
        // And where nobody is refused at all, that is the end of it.
        let mut world = World::new();
        world.governed = [0; 5];
        world.seconds(140, |_| 0.4);
        assert_eq!(world.steps()[5..], [(Shed, 4), (Shed, 0)]);
    }

    #[test]
    fn what_does_less_harm_goes_before_the_step_after_one_that_refuses_nobody() {
        use Actuator::{ReadOnly, Retry, Shed};
        let world = || {
            let mut world = World::new();
            world.degradable.read_only = true;
            // All of it is of class standard, and a tenth would change something.
            world.governed = [0, 0, 0, 500, 1_000];
            (world.classes, world.writes) = ([0, 1_000, 0], [0, 100, 0]);
            world
        };
        let before_standard = [(Retry, 1), (Retry, 0), (Shed, 1), (Shed, 2), (ReadOnly, 1)];
        let mut cured = world();
        cured.seconds(150, |ladder| match ladder.step(ReadOnly) {
            0 => 0.7,
            _ => 0.1,
        });
        assert_eq!(cured.steps()[..5], before_standard, "{:?}", cured.moves);
        assert!(!cured.steps().contains(&(Shed, 3)), "{:?}", cured.moves);
        // Where it does not help, half of class standard is next; what refused nobody goes back with that.
        let mut helpless = world();
        helpless.seconds(150, |_| 0.7);
        let steps = helpless.steps();
        assert_eq!(steps[..5], before_standard, "{:?}", helpless.moves);
        let after = [(ReadOnly, 0), (Shed, 3), (Shed, 0)];
        assert_eq!(steps[5..], after, "{:?}", helpless.moves);
    }

    #[test]
    fn nothing_goes_on_while_another_service_is_to_be_moved_or_it_may_not() {
        use Actuator::Shed;
        let climbs = |deferred, may_go_on: bool| {
            let mut situation = Situation {
                second: 0,
                burn: Burn::Severe,
                objectives: vec![Lately {
                    bad_share: 0.4,
                    requests: 1_000,
                    all_burn: 0.4,
                    all_burns: true,
                    threshold: 0.03,
                    is_timed: false,
                    classes: [true; 3],
                }],
                worst: 0,
                thresholds: [0.03; Actuator::ALL.len()],
                demand: Demand {
                    requests: 1_000,
                    at_limit: true,
                    ..Demand::default()
                },
                deferred: false,
                observes: false,
            };
            let mut ladder = Ladder::default();
            let mut most = 0;
            for second in 0..60 {
                situation.second = second;
                situation.deferred = deferred && second >= 10;
                let may = |it| it == Shed && (may_go_on || second < 10);
                _ = ladder.on_second(&situation, |_| true, may);
                most = most.max(ladder.step(Shed));
            }
            most
        };
        assert_eq!(climbs(false, true), 4);
        assert_eq!(climbs(true, true), 1);
        assert_eq!(climbs(false, false), 1);
    }

    #[test]
    fn a_step_is_judged_by_the_objective_that_it_was_made_for_and_by_each_that_burns() {
        let lately = |bad_share, all_burn| Lately {
            bad_share,
            requests: 1_000,
            all_burn,
            all_burns: all_burn >= 3.0,
            threshold: 0.03,
            is_timed: false,
            classes: [true; 3],
        };
        let judged = |before: [Lately; 2], after: [Lately; 2], worst_after| {
            let mut situation = Situation {
                second: 0,
                burn: Burn::Severe,
                objectives: before.into(),
                worst: 0,
                thresholds: [0.03; Actuator::ALL.len()],
                demand: Demand {
                    requests: 1_000,
                    retries: 100,
                    ..Demand::default()
                },
                deferred: false,
                observes: false,
            };
            let mut ladder = Ladder::default();
            for second in 0..40 {
                situation.second = second;
                let may = |it| it == Actuator::Retry;
                _ = ladder.on_second(&situation, |_| true, may);
                if ladder.step(Actuator::Retry) == 1 {
                    situation.objectives = after.into();
                    situation.worst = worst_after;
                }
            }
            ladder.step(Actuator::Retry)
        };
        let (bad, half) = (lately(0.4, 40.0), lately(0.2, 20.0));
        let calm = lately(0.0, 0.0);
        assert_eq!(judged([bad, calm], [half, calm], 0), 1);
        // It did nothing, and another is worst by now, of which less fails.
        assert_eq!(judged([bad, calm], [bad, lately(0.1, 50.0)], 1), 0);
        // It helped, while another is worst by now that was as bad before.
        assert_eq!(
            judged([bad, lately(0.35, 35.0)], [half, lately(0.35, 35.0)], 1),
            1
        );
        // What it saves here it costs there.
        assert_eq!(
            judged([bad, lately(0.01, 1.0)], [half, lately(0.04, 4.0)], 0),
            0
        );
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
    fn a_step_that_refuses_more_than_fails_is_not_taken() {
        use Actuator::{Retry, Shed};
        let mut world = World::new();
        // A tenth is of class sheddable, the rest of class standard.
        world.classes = [0, 900, 100];
        let cured = |ladder: &Ladder| if ladder.step(Shed) == 0 { 0.04 } else { 0.0 };
        world.seconds(60, |_| 0.04);
        // Half of a tenth is more than is to be won.
        assert_eq!(world.steps(), [(Retry, 1), (Retry, 0)]);
        assert_eq!(world.helpless, 1);
        world.seconds(60, |_| 0.06);
        assert_eq!(world.steps()[2..], [(Shed, 1), (Shed, 0)]);
        // The second half, too, is less than what fails; half of class standard is not.
        let mut world = World::new();
        world.classes = [0, 900, 100];
        world.seconds(120, |ladder| {
            0.3 * f64::from(0.7_f32.powi(ladder.step(Shed).into()))
        });
        assert_eq!(world.ladder.step(Shed), 2, "{:?}", world.moves);
        // What the objective does not count is no cost to it.
        let mut world = World::new();
        world.classes = [0, 900, 100];
        world.counted = [true, true, false];
        world.seconds(60, cured);
        assert_eq!(world.steps()[2..], [(Shed, 1), (Shed, 0)]);
    }

    #[test]
    fn all_that_refuses_nobody_and_what_can_be_done_without_goes_before_class_standard() {
        use Actuator::{Brownout, ReadOnly, Retry, Shed, Stale};
        let mut world = World::new();
        world.degradable = ALL_DEGRADABLE;
        world.stale = 300;
        world.classes = [200, 760, 40];
        world.writes = [10, 10, 0];
        // Each step takes a quarter of what is left; little is refused for it, until half of class standard would be more
        // than fails.
        let overloaded = |ladder: &Ladder| {
            let steps: u8 = ladder.moved().map(|(_, step)| step).sum();
            f64::from(0.74_f32.powi(steps.into()))
        };
        world.seconds(150, overloaded);
        let up = [
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
        assert_eq!(world.steps(), up, "{:?}", world.moves);
        // Back in reverse: no step goes while one that does more harm is there.
        world.moves.clear();
        world.seconds(600, |_| 0.0);
        let back = world.steps();
        let harm: Vec<u8> = back.iter().map(|(it, to)| it.harm(to + 1)).collect();
        assert!(
            harm.len() == 9 && harm.is_sorted_by(|a, b| a > b),
            "{back:?}"
        );
        assert!(world.ladder.moved().next().is_none(), "{back:?}");
    }

    #[test]
    fn an_overload_that_a_brownout_meets_refuses_nobody() {
        use Actuator::{Brownout, Retry};
        let mut world = World::new();
        world.degradable.brownout = true;
        // With less left out it is as slow as with nothing left out.
        let slow = |ladder: &Ladder| if ladder.step(Brownout) < 3 { 0.3 } else { 0.01 };
        world.seconds(120, slow);
        let expected = [
            (Retry, 1),
            (Retry, 0),
            (Brownout, 1),
            (Brownout, 2),
            (Brownout, 3),
        ];
        assert_eq!(world.steps()[..5], expected, "{:?}", world.moves);
        let others = |world: &World| world.steps().iter().any(|(it, _)| *it > Brownout);
        assert!(!others(&world), "{:?}", world.moves);
        // It comes back, and is missed, ever more rarely.
        world.seconds(86_400, slow);
        let late = world.moves.iter().filter(|(at, ..)| *at > 43_200).count();
        assert!(late <= 40 && !others(&world), "{late} {:?}", world.moves);
    }

    #[test]
    fn a_brownout_that_was_missed_comes_back_step_by_step_ever_more_slowly() {
        use Actuator::Brownout;
        let mut world = World::new();
        world.degradable.brownout = true;
        // It takes a minute until it shows that a step is missed.
        let mut missing = 0;
        for _ in 0..4 * 3_600 {
            let needs = world.ladder.step(Brownout) < 3;
            missing = if needs { missing + 1 } else { 0 };
            world.seconds(1, |_| if missing > 60 { 0.3 } else { 0.0 });
        }
        let hours = [0, 1, 2, 3].map(|hour| {
            let within = hour * 3_600..(hour + 1) * 3_600;
            let moves = world.moves.iter();
            moves.filter(|(at, ..)| within.contains(at)).count()
        });
        assert!(hours[0] <= 40 && hours[3] <= 10, "{hours:?}");
    }

    #[test]
    fn a_brownout_is_looked_at_one_step_at_a_time() {
        use Actuator::Brownout;
        let mut world = World::new();
        world.degradable.brownout = true;
        let eased = |ladder: &Ladder| if ladder.step(Brownout) < 4 { 0.3 } else { 0.05 };
        world.seconds(100, eased);
        assert_eq!(world.ladder.step(Brownout), 4, "{:?}", world.moves);
        world.moves.clear();
        world.seconds(900, eased);
        let mut of_it = world.steps();
        of_it.retain(|(actuator, _)| *actuator == Brownout);
        assert!(of_it.len() >= 4, "{:?}", world.moves);
        let turns = [(Brownout, 3), (Brownout, 4)];
        assert!(of_it.iter().all(|it| turns.contains(it)), "{of_it:?}");
    }

    #[test]
    fn what_acts_in_a_long_overload_is_looked_at_one_after_the_other() {
        use Actuator::{Brownout, ReadOnly, Retry, Shed, Stale};
        let mut world = World::new();
        world.degradable = ALL_DEGRADABLE;
        world.stale = 300;
        world.classes = [200, 760, 40];
        world.writes = [10, 10, 0];
        let overloaded = |ladder: &Ladder| {
            let steps: u8 = ladder.moved().map(|(_, step)| step).sum();
            f64::from(0.74_f32.powi(steps.into()))
        };
        world.seconds(150, overloaded);
        assert_eq!(world.ladder.moved().count(), 5, "{:?}", world.moves);
        world.moves.clear();
        for _ in 0..2 * 3_600 {
            world.seconds(1, overloaded);
            let acts = world.ladder.moved().count();
            assert!(acts >= 4, "{acts} at {} s: {:?}", world.second, world.moves);
        }
        let moved = |it: &Actuator| world.moves.iter().any(|(_, of, _)| of == it);
        let looked_at = [Retry, Stale, Brownout, Shed, ReadOnly].iter().all(moved);
        assert!(looked_at, "{:?}", world.moves);
    }

    #[test]
    fn a_brownout_that_does_not_help_is_over_in_a_minute() {
        use Actuator::{Brownout, Retry, Shed};
        let mut world = World::new();
        world.degradable.brownout = true;
        world.seconds(180, |_| 0.3);
        let expected = [
            (Retry, 1),
            (Retry, 0),
            (Brownout, 1),
            (Brownout, 2),
            (Brownout, 3),
            (Brownout, 4),
            (Brownout, 0),
            (Shed, 1),
            (Shed, 0),
        ];
        assert_eq!(world.steps(), expected, "{:?}", world.moves);
        // And one that makes it worse, with its first step.
        let mut world = World::new();
        world.degradable.brownout = true;
        world.seconds(
            70,
            |ladder| if ladder.step(Brownout) == 0 { 0.3 } else { 0.5 },
        );
        let expected = [
            (Retry, 1),
            (Retry, 0),
            (Brownout, 1),
            (Brownout, 0),
            (Shed, 1),
        ];
        assert_eq!(world.steps()[..5], expected, "{:?}", world.moves);
    }

    #[test]
    fn what_refuses_nobody_stays_where_fewer_are_refused_for_it() {
        use Actuator::{Retry, Stale};
        let stays = |relieved| {
            let mut world = World::new();
            world.degradable.stale = true;
            (world.stale, world.relieved) = (300, relieved);
            // What is let in is as late as before.
            world.seconds(45, |_| 0.1);
            assert_eq!(world.steps()[..3], [(Retry, 1), (Retry, 0), (Stale, 1)]);
            world.ladder.step(Stale) == 1
        };
        assert!(stays(0.05));
        assert!(!stays(0.01), "a tenth less is nothing");
    }

    #[test]
    fn writes_are_refused_only_where_more_fails_than_that_costs() {
        use Actuator::{ReadOnly, Shed};
        let taken = |writes| {
            let mut world = World::new();
            world.degradable.read_only = true;
            world.classes = [300, 700, 0];
            world.writes = writes;
            // Shedding what is sheddable does nothing: there is none.
            world.governed = [0; 5];
            world.seconds(400, |ladder| {
                if ladder.step(ReadOnly) == 0 {
                    0.2
                } else {
                    0.05
                }
            });
            world.ladder.step(ReadOnly) == 1 || world.steps().contains(&(ReadOnly, 1))
        };
        assert!(taken([30, 100, 0]));
        assert!(!taken([130, 100, 0]), "which costs as much as fails");
        assert!(!taken([0, 0, 0]), "nothing to refuse");
        assert!(Shed.harm(2) < ReadOnly.harm(1) && ReadOnly.harm(1) < Shed.harm(3));
    }

    #[test]
    fn what_may_not_be_given_up_any_more_is_taken_back() {
        use Actuator::Stale;
        let mut world = World::new();
        world.degradable = ALL_DEGRADABLE;
        world.stale = 300;
        let helps = |ladder: &Ladder| if ladder.step(Stale) == 0 { 0.3 } else { 0.0 };
        world.seconds(45, helps);
        assert_eq!(world.ladder.step(Stale), 1, "{:?}", world.moves);
        world.degradable.stale = false;
        world.seconds(1, helps);
        assert_eq!(world.steps().last(), Some(&(Stale, 0)));
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
            stale: bool, brownout: bool, read_only: bool,
        ) {
            let mut world = World::new();
            world.degradable = Degradable { stale, brownout, read_only };
            (world.stale, world.classes, world.writes) = (300, [200, 500, 300], [10; 3]);
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
