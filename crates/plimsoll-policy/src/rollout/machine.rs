//! The state machine of a rollout: it is told what was counted, and says how much traffic the new version gets.
//!
//! It has a clock of its own, the sum of the times between ticks: what a calendar jumps, and a time in which nobody ticked,
//! make no step longer or shorter by more than [`TICK_MAX`]. A strike comes before everything else: no freeze, no pause and no
//! gate delays it.
//! Invariants: the weight grows by a step that was granted, by a person, or back to what it was after a cool-down; a rollout that was
//! rolled back has weight 0 for ever; every hold ends in a step, a rollback or a question to a person.

use std::time::Duration;

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rollout::counts::{ArmCounts, Arms, Observed, Pair, ROUTES_MAX, Trials, Weight};
use crate::rollout::course::{Course, Point};
use crate::rollout::event::{
    Command, Event, Figures, Hold, Outcome, Person, Phase, Reason, Refused, What,
};
use crate::rollout::parameters::{Kind, NotARollout, Parameters, Step};
use crate::rollout::price::{BOUND_ALPHA, Question, excess, lower};
use crate::rollout::verdict::{Judge, Scores};

/// A longer time between two ticks counts as this much.
pub const TICK_MAX: Duration = Duration::from_secs(10);
/// The evidence beside which the price stops a rollout.
const PRICE_EVIDENCE: f64 = 3.0;

/// See the module's docs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub(super) parameters: Parameters,
    /// The last tick, and its own clock then.
    last: Timestamp,
    clock: Duration,
    state: State,
    /// A person has stopped it where it is.
    pub(super) paused: Option<Person>,
    pub(super) struck: bool,
    pub(super) judge: Judge,
    /// What was counted at the last tick, by route.
    seen: Option<Vec<Arms>>,
    /// What stable did while it had traffic, and before.
    stable: ArmCounts,
    /// What was bad too much in former steps, and the errors when this step began.
    excess_before: f64,
    errors_before: Pair,
    bad_clients: u32,
    /// Since when, by its own clock.
    down_since: Option<Duration>,
    burns_since: Option<Duration>,
    frozen: bool,
    pub(super) course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// At a step, or before the first one.
    At {
        step: Option<usize>,
        since: Duration,
        hold: Option<Held>,
    },
    CoolingDown {
        step: usize,
        until: Duration,
    },
    Finished {
        outcome: Outcome,
        reason: Reason,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    why: Hold,
    since: Duration,
    asked: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// Which step, from 0; the number of steps: it is promoted.
    pub step: usize,
    /// How much traffic the canary gets then.
    pub weight: Weight,
    /// In how long at the soonest.
    pub at_soonest: Duration,
    /// Whether a person has to let it.
    pub gate: bool,
}

impl Rollout {
    /// Begins with no traffic; the first tick may take the first step.
    pub fn new(parameters: Parameters, now: Timestamp) -> Result<Self, NotARollout> {
        parameters.check()?;
        Ok(Self {
            stable: parameters.before,
            judge: Judge::new(0, &parameters.judging),
            parameters,
            last: now,
            clock: Duration::ZERO,
            state: State::At {
                step: None,
                since: Duration::ZERO,
                hold: None,
            },
            paused: None,
            struck: false,
            seen: None,
            excess_before: 0.0,
            errors_before: Pair::default(),
            bad_clients: 0,
            down_since: None,
            burns_since: None,
            frozen: false,
            course: Course::default(),
        })
    }

    /// The process that counts began anew, and its counts with it: the time since the last tick is not counted.
    pub fn on_restart(&mut self, now: Timestamp) {
        self.last = now;
        self.seen = self.seen.as_ref().map(|it| vec![Arms::default(); it.len()]);
        self.bad_clients = 0;
    }

    /// What it was told to do.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How much traffic the new version gets now.
    pub fn weight(&self) -> Weight {
        match self.state {
            State::At { step, .. } => step.map_or(Weight::NONE, |step| self.weight_of(step)),
            State::CoolingDown { .. } => Weight::NONE,
            State::Finished { outcome, .. } => match outcome {
                Outcome::Promoted => Weight::ALL,
                Outcome::RolledBack | Outcome::Passed => Weight::NONE,
            },
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Finished { .. } => Phase::Finished,
            State::CoolingDown { .. } => Phase::CoolingDown,
            State::At { .. } if self.paused.is_some() => Phase::Paused,
            State::At { hold: Some(_), .. } => Phase::Held,
            State::At { hold: None, .. } => Phase::Running,
        }
    }

    /// How it ended, and why; `None` while it has not.
    pub fn outcome(&self) -> Option<(Outcome, Reason)> {
        match self.state {
            State::Finished { outcome, reason } => Some((outcome, reason)),
            _ => None,
        }
    }

    /// Why the step that is due is not taken, and whether a person was asked.
    pub fn hold(&self) -> Option<(Hold, bool)> {
        match self.state {
            State::At {
                hold: Some(held), ..
            } => Some((held.why, held.asked)),
            _ => None,
        }
    }

    /// The step it is at, from 0; `None` before the first and at the end.
    pub fn step(&self) -> Option<usize> {
        match self.state {
            State::At { step, .. } => step,
            State::CoolingDown { step, .. } => Some(step),
            State::Finished { .. } => None,
        }
    }

    /// What comes next, if nothing holds it; `None` when it is over.
    pub fn next_step(&self) -> Option<NextStep> {
        let (step, weight, at_soonest, gate) = match self.state {
            State::Finished { .. } => return None,
            State::CoolingDown { step, until } => (
                step,
                self.weight_of(step),
                until.saturating_sub(self.clock),
                false,
            ),
            State::At { step, since, .. } => {
                let next = step.map_or(0, |step| step + 1);
                let lasts = step.and_then(|step| self.step_of(step));
                let lasts = lasts.map_or(Duration::ZERO, |it| it.at_least);
                let at_soonest = (since + lasts).saturating_sub(self.clock);
                let of = self.step_of(next);
                let gate = of.map_or(self.parameters.gate_at_end, |it| it.gate);
                let weight = of.map_or(self.weight_at_end(), |it| it.weight);
                (next, weight, at_soonest, gate)
            }
        };
        Some(NextStep {
            step,
            weight,
            at_soonest,
            gate,
        })
    }

    /// How long it was at it, by its own clock.
    pub fn elapsed(&self) -> Duration {
        self.clock
    }

    /// Takes in what was counted up to now. Called each 100 ms to a second.
    pub fn tick(&mut self, now: Timestamp, observed: &Observed<'_>) -> Vec<Event> {
        let elapsed = now.since(self.last).min(TICK_MAX);
        self.last = now;
        let mut events = Vec::new();
        if self.outcome().is_some() {
            return events;
        }
        self.clock += elapsed;
        self.on_inputs(observed);
        let closed = self.on_counts(elapsed, observed.routes);
        if let State::At {
            step: Some(step), ..
        } = self.state
        {
            if let Some(reason) = self.reason_to_end() {
                self.finish(&mut events, Outcome::RolledBack, reason, None);
            } else if self.is_strike() {
                self.strike(&mut events, step);
            }
        }
        self.go_on(&mut events);
        if closed || !events.is_empty() {
            let point = self.point();
            self.course.push(point);
        }
        events
    }

    /// What a person asks for.
    pub fn on_command(
        &mut self,
        now: Timestamp,
        command: Command,
        by: Person,
    ) -> Result<Vec<Event>, Refused> {
        self.last = self.last.max(now);
        let mut events = Vec::new();
        let goes_up = matches!(
            command,
            Command::Advance | Command::Promote | Command::Resume
        );
        match (command, self.state) {
            // What was promoted can be taken back at any time.
            (
                Command::Abort,
                State::Finished {
                    outcome: Outcome::Promoted,
                    ..
                },
            ) => self.finish(&mut events, Outcome::RolledBack, Reason::Person, Some(by)),
            (_, State::Finished { .. }) => return Err(Refused::Finished),
            (Command::Abort, _) => {
                self.finish(&mut events, Outcome::RolledBack, Reason::Person, Some(by));
            }
            (Command::Pause, _) => {
                if self.paused.is_some() {
                    return Err(Refused::PausedAlready);
                }
                self.paused = Some(by.clone());
                self.note(&mut events, What::Paused { by }, self.weight());
            }
            (Command::StepBack, State::At { step, .. }) => {
                let step = step.ok_or(Refused::NothingBefore)?;
                self.paused = Some(by.clone());
                self.enter(step.checked_sub(1));
                let before = self.weight_of(step);
                self.note(&mut events, What::SteppedBack { by }, before);
            }
            (Command::Resume, State::At { .. }) => {
                if self.paused.take().is_none() {
                    return Err(Refused::NotPaused);
                }
                self.note(&mut events, What::Unpaused { by }, self.weight());
            }
            _ if goes_up && self.frozen => return Err(Refused::Frozen),
            (Command::Resume, State::CoolingDown { step, .. }) => {
                self.paused = None;
                self.resume(&mut events, step, Some(by));
            }
            (Command::Advance, State::At { step, .. }) => {
                self.paused = None;
                // Whoever lets it go on has seen what it was held for.
                self.judge.forget_ladder(&self.parameters.judging);
                self.take_step(&mut events, step.map_or(0, |it| it + 1), Some(by));
            }
            (Command::Promote, _) => {
                let outcome = self.outcome_at_end();
                self.finish(&mut events, outcome, Reason::Person, Some(by));
            }
            (Command::StepBack | Command::Advance, State::CoolingDown { .. }) => {
                return Err(Refused::CoolingDown);
            }
        }
        Ok(events)
    }

    /// What the next step asks of the canary; `None` where it asks nothing, or there is none.
    pub(super) fn question(&self) -> Option<Question> {
        let State::At { step, .. } = self.state else {
            return None;
        };
        self.question_for(step.map_or(0, |it| it + 1))
    }

    /// All that is known now.
    pub fn figures(&self) -> Figures {
        let canary = self.judge.closed().canary.errors();
        Figures {
            batches: self.judge.batches(),
            worse_batches: self.judge.worse_batches(),
            arms: *self.judge.closed(),
            scores: self.scores(),
            worst_route: self.judge.worst_route(),
            bad_clients: self.bad_clients,
            spent: self.spent(),
            worst_rate: self
                .question_of(canary, Weight::ALL, Duration::ZERO)
                .worst(),
        }
    }

    /// No freeze is in the way of the next command, until the next tick says so again.
    pub fn unfreeze(&mut self) {
        self.frozen = false;
    }

    pub(super) fn scores(&self) -> Scores {
        self.judge.scores()
    }

    fn on_inputs(&mut self, observed: &Observed<'_>) {
        let clock = self.clock;
        let since = |is: bool, since: Option<Duration>| is.then(|| since.unwrap_or(clock));
        self.down_since = since(!observed.canary_up, self.down_since);
        self.burns_since = since(observed.service_burns, self.burns_since);
        self.frozen = observed.frozen;
        self.bad_clients = observed.bad_clients;
    }

    /// Gives the judge what came since the last tick; true if it closed a batch.
    fn on_counts(&mut self, elapsed: Duration, routes: &[Arms]) -> bool {
        let routes = routes.get(..ROUTES_MAX + 1).unwrap_or(routes);
        let Some(seen) = &mut self.seen else {
            self.judge = Judge::new(routes.len(), &self.parameters.judging);
            self.seen = Some(routes.to_vec());
            return false;
        };
        seen.resize(routes.len().max(seen.len()), Arms::default());
        let mut all = Arms::default();
        // What was counted becomes what came, in place; then the counts are kept.
        for (route, before) in routes.iter().zip(seen.iter_mut()) {
            *before = route.since(before);
            all.add(before);
        }
        let came = seen.iter().take(routes.len()).copied();
        let weight = match self.state {
            State::At {
                step: Some(step), ..
            } => self.parameters.steps.get(step).map(|it| it.weight),
            _ => None,
        };
        let weight = weight.unwrap_or(Weight::NONE);
        // Without weight the canary has only what was on its way, or was sent to it by hand: that is not judged.
        let closed = weight > Weight::NONE
            && self
                .judge
                .on_time(elapsed, &all, came, &self.parameters.judging);
        if weight < Weight::ALL || self.parameters.kind == Kind::Mirror {
            self.stable.add(&all.stable);
        }
        for (route, kept) in routes.iter().zip(seen.iter_mut()) {
            *kept = *route;
        }
        closed
    }

    fn reason_to_end(&self) -> Option<Reason> {
        let lasts = |since: Option<Duration>| Some(self.clock.saturating_sub(since?));
        if lasts(self.down_since).is_some_and(|it| it >= self.parameters.canary_down_max) {
            return Some(Reason::CanaryDown);
        }
        let burns_max = self.parameters.burns_max;
        if lasts(self.burns_since).is_some_and(|it| burns_max.is_some_and(|max| it >= max)) {
            return Some(Reason::ServiceBurns);
        }
        // Copies cost nothing.
        let costs = self.parameters.kind != Kind::Mirror
            && self.spent() >= self.parameters.price.limit.get()
            && self.judge.was_often_worse()
            && self.scores().unbroken >= PRICE_EVIDENCE;
        costs.then_some(Reason::Price)
    }

    fn is_strike(&self) -> bool {
        self.scores().harm >= self.parameters.judging.strike_at()
            && self.judge.is_more_than_one(self.bad_clients)
    }

    fn strike(&mut self, events: &mut Vec<Event>, step: usize) {
        if self.struck {
            self.finish(events, Outcome::RolledBack, Reason::Strikes, None);
            return;
        }
        let before = self.weight();
        self.struck = true;
        self.state = State::CoolingDown {
            step,
            until: self.clock + self.parameters.cooldown,
        };
        // The figures are those that led to it.
        self.note(events, What::Struck, before);
        // The evidence that it was, before it is forgotten.
        let point = self.point();
        self.course.push(point);
        self.settle_excess();
        self.judge.begin_anew(&self.parameters.judging);
    }

    fn go_on(&mut self, events: &mut Vec<Event>) {
        match self.state {
            State::Finished { .. } => (),
            State::CoolingDown { step, until } => {
                let may = self.paused.is_none() && self.obstacle_outside().is_none();
                if may && self.clock >= until {
                    self.resume(events, step, None);
                }
            }
            State::At { step, since, hold } => {
                let lasts = step.and_then(|step| self.step_of(step));
                let lasts = lasts.map_or(Duration::ZERO, |it| it.at_least);
                let due = self.clock.saturating_sub(since) >= lasts;
                let next = step.map_or(0, |it| it + 1);
                let why = if self.paused.is_some() {
                    None
                } else if self.scores().ladder >= self.parameters.judging.ask_at() {
                    Some(Hold::Latency)
                } else if due {
                    let why = self.obstacle(next);
                    if why.is_none() {
                        return self.take_step(events, next, None);
                    }
                    why
                } else {
                    None
                };
                self.set_hold(events, step, since, hold, why);
            }
        }
    }

    fn set_hold(
        &mut self,
        events: &mut Vec<Event>,
        step: Option<usize>,
        since: Duration,
        was: Option<Held>,
        why: Option<Hold>,
    ) {
        let mut hold = why.map(|why| Held {
            why,
            since: was.map_or(self.clock, |it| it.since),
            asked: was.is_some_and(|it| it.asked && it.why == why),
        });
        let weight = self.weight();
        let mut ask = None;
        if let Some(held) = &mut hold {
            let long = self.clock.saturating_sub(held.since) >= self.parameters.hold_max;
            let at_once = matches!(held.why, Hold::Gate | Hold::Latency);
            if !held.asked && (long || at_once) {
                held.asked = true;
                ask = Some(held.why);
            }
        }
        self.state = State::At { step, since, hold };
        if let Some(why) = why.filter(|why| was.is_none_or(|it| it.why != *why)) {
            self.note(events, What::Held { why }, weight);
        }
        if let Some(why) = ask {
            self.note(events, What::Asked { why }, weight);
        }
    }

    /// What keeps the next step from being taken.
    fn obstacle(&self, next: usize) -> Option<Hold> {
        if let Some(outside) = self.obstacle_outside() {
            return Some(outside);
        }
        let gate = self.step_of(next);
        if gate.map_or(self.parameters.gate_at_end, |it| it.gate) {
            return Some(Hold::Gate);
        }
        let question = self.question_for(next)?;
        if question.is_granted() {
            None
        } else if question.clean_requests_more().is_some() {
            Some(Hold::NotEnoughTraffic)
        } else {
            Some(Hold::NoRoom)
        }
    }

    /// What keeps any version from getting more.
    fn obstacle_outside(&self) -> Option<Hold> {
        if self.frozen {
            Some(Hold::Frozen)
        } else if self.burns_since.is_some() {
            Some(Hold::ServiceBurns)
        } else if self.down_since.is_some() {
            Some(Hold::CanaryDown)
        } else {
            None
        }
    }

    /// What has to be plausible before a step; promotion is a step with all of the traffic, as long as the last one.
    fn question_for(&self, step: usize) -> Option<Question> {
        // Copies harm nobody. And without traffic nothing gets known: the first step is taken as whoever started it said.
        let asks_nothing = self.parameters.kind == Kind::Mirror || self.weight() == Weight::NONE;
        let (weight, lasts) = match self.step_of(step) {
            Some(_) if asks_nothing => return None,
            Some(step) => (step.weight, step.at_least),
            None => (Weight::ALL, self.parameters.steps.last()?.at_least),
        };
        Some(self.question_of(self.judge.closed().canary.errors(), weight, lasts))
    }

    fn question_of(&self, canary: Trials, weight: Weight, lasts: Duration) -> Question {
        let spent = match self.parameters.kind {
            Kind::Mirror => 0.0,
            Kind::Canary | Kind::BlueGreen => self.spent(),
        };
        Question {
            canary,
            stable_at_least: lower(self.stable.errors(), BOUND_ALPHA),
            weight,
            lasts,
            room: self.parameters.price.room(spent),
        }
    }

    /// The share of the period's budget that the canary has cost.
    pub(super) fn spent(&self) -> f64 {
        let excess = self.excess_before + self.excess_of_step();
        self.parameters.price.spent(excess)
    }

    fn excess_of_step(&self) -> f64 {
        let errors = self.judge.closed().errors();
        let since = |now: Trials, then: Trials| {
            let requests = now.requests.saturating_sub(then.requests);
            Trials::new(requests, now.bad.saturating_sub(then.bad))
        };
        let canary = since(errors.canary, self.errors_before.canary);
        let beside = since(errors.stable, self.errors_before.stable).rate();
        let beside = beside.filter(|_| self.weight() < Weight::ALL);
        let rate = beside.or(self.stable.errors().rate()).unwrap_or(0.0);
        excess(canary, rate)
    }

    /// A step's excess is reckoned with stable's rate in that step.
    fn settle_excess(&mut self) {
        self.excess_before += self.excess_of_step();
        self.errors_before = self.judge.closed().errors();
    }

    fn take_step(&mut self, events: &mut Vec<Event>, next: usize, by: Option<Person>) {
        if self.step_of(next).is_none() {
            let outcome = self.outcome_at_end();
            let reason = by.as_ref().map_or(Reason::Steps, |_| Reason::Person);
            return self.finish(events, outcome, reason, by);
        }
        let before = self.weight();
        self.enter(Some(next));
        self.note(events, What::Stepped { step: next, by }, before);
    }

    fn resume(&mut self, events: &mut Vec<Event>, step: usize, by: Option<Person>) {
        let before = self.weight();
        self.judge.begin_anew(&self.parameters.judging);
        self.enter(Some(step));
        self.note(events, What::Resumed { by }, before);
    }

    /// Every change of the weight goes through here: a batch has one weight only.
    fn enter(&mut self, step: Option<usize>) {
        self.settle_excess();
        self.judge.close(&self.parameters.judging);
        self.state = State::At {
            step,
            since: self.clock,
            hold: None,
        };
        if self.weight() == Weight::ALL && self.parameters.kind != Kind::Mirror {
            self.judge.without_stable(&self.stable);
        } else {
            self.judge.with_stable();
        }
    }

    fn finish(
        &mut self,
        events: &mut Vec<Event>,
        outcome: Outcome,
        reason: Reason,
        by: Option<Person>,
    ) {
        let before = self.weight();
        let figures = self.figures();
        self.state = State::Finished { outcome, reason };
        self.paused = None;
        events.push(Event {
            at: self.last,
            what: What::Finished {
                outcome,
                reason,
                by,
            },
            weight_before: before,
            weight_after: self.weight(),
            figures,
        });
    }

    fn note(&self, events: &mut Vec<Event>, what: What, weight_before: Weight) {
        events.push(Event {
            at: self.last,
            what,
            weight_before,
            weight_after: self.weight(),
            figures: self.figures(),
        });
    }

    fn outcome_at_end(&self) -> Outcome {
        match self.parameters.kind {
            Kind::Mirror => Outcome::Passed,
            Kind::Canary | Kind::BlueGreen => Outcome::Promoted,
        }
    }

    fn weight_at_end(&self) -> Weight {
        match self.parameters.kind {
            Kind::Mirror => Weight::NONE,
            Kind::Canary | Kind::BlueGreen => Weight::ALL,
        }
    }

    fn step_of(&self, step: usize) -> Option<Step> {
        self.parameters.steps.get(step).copied()
    }

    fn weight_of(&self, step: usize) -> Weight {
        self.step_of(step).map_or(Weight::NONE, |it| it.weight)
    }

    fn point(&self) -> Point {
        let scores = self.scores();
        Point {
            at: self.last,
            weight: self.weight(),
            harm: scores.harm,
            ladder: scores.ladder,
            spent: self.spent(),
        }
    }
}
