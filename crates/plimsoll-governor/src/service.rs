//! What the governor knows of one service.

use std::collections::{BTreeMap, VecDeque};

use plimsoll_core::{Mode, Ratio};
use plimsoll_measure::{Condition, Counts, Tally};
use serde::{Deserialize, Serialize};

use crate::actuator::Actuator;
use crate::condition::{Burn, Watch, share};
use crate::decision::{Because, Evidence, Span, What};
use crate::governor::{Rule, ServiceParameters, may, may_ever};
use crate::ladder::{Ladder, Lately, NOW, Situation, Step};
use crate::memory::Remembered;
use crate::pager::{Call, Page, Pager};
use crate::recent::Recent;
use crate::signals::{Demand, ObjectiveSignals, ServiceSignals};

/// The spans that evidence is given over, in seconds.
const SPANS: [usize; 3] = [10, 30, 60];
/// Over so many seconds it is looked at what is asked for.
const DEMAND_SECONDS: usize = 10;
/// A budget that was exhausted is not any more once so much of it is back.
const RECOVERED: f64 = 0.01;

/// The state of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    condition: Condition,
    /// The second in which it became so.
    since: u64,
    objectives: Vec<Objective>,
    demands: VecDeque<Demand>,
    ladder: Ladder,
    /// The service that it burns because of, while it does.
    deferred: Option<String>,
    /// What was moved under another mode and is not any more, with its step; still to be said.
    #[serde(default)]
    dropped: BTreeMap<Actuator, u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Objective {
    recent: Recent,
    /// Of all that the budget counts.
    all: Watch,
    /// Of what the service did.
    service: Watch,
    pager: Pager,
    exhausted: bool,
    budget_left: Option<f64>,
}

impl ServiceState {
    /// How the service stands.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// The second of the governor's clock since which it stands so.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// How far an actuator is moved, in steps.
    pub fn step(&self, actuator: Actuator) -> u8 {
        self.ladder.step(actuator)
    }

    /// How long a burn at `burn` lasts before somebody is called, in seconds, for the objective at a place. `None`: it
    /// is not known, or nobody is.
    pub fn page_delay(&self, objective: usize, burn: f64) -> Option<f64> {
        self.objectives.get(objective)?.pager.delay(burn)
    }

    /// Whether somebody was called for the objective at a place, and it has not ended.
    pub fn is_paged(&self, objective: usize) -> bool {
        self.open_page(objective).is_some()
    }

    /// What somebody was called for about the objective at a place, while it has not ended.
    pub fn open_page(&self, objective: usize) -> Option<&Page> {
        self.objectives.get(objective)?.pager.open()
    }

    /// Whether requests that the objective at a place is about stay away.
    pub fn is_absent(&self, objective: usize) -> bool {
        let objective = self.objectives.get(objective);
        objective.is_some_and(|objective| objective.pager.is_absent())
    }

    /// The service that this one burns because of.
    pub fn deferred(&self) -> Option<&str> {
        self.deferred.as_deref()
    }

    /// How fast the service's own failures burn a budget.
    pub(crate) fn burn(&self) -> Burn {
        let burns = self.objectives.iter().map(|it| it.service.burn());
        burns.max().unwrap_or_default()
    }

    /// The share of its own failures over the last seconds, and that with what was refused, each by the objective that shows
    /// most, if any burns.
    pub(crate) fn burning_shares(&self) -> Option<(f64, f64)> {
        let burning = || {
            let objectives = self.objectives.iter();
            objectives.filter(|it| it.service.burn() > Burn::No)
        };
        let most = |of: fn(&Counts) -> Tally| {
            let shares = burning().map(|it| share(of(&it.recent.over(DEMAND_SECONDS))));
            shares.max_by(f64::total_cmp)
        };
        Some((
            most(|counts| counts.service())?,
            most(|counts| counts.budget())?,
        ))
    }

    /// Whether nothing that may be moved can help.
    pub(crate) fn is_helpless(&self) -> bool {
        self.ladder.is_helpless()
    }

    /// Judges what a second brought.
    pub(crate) fn on_signals(
        &mut self,
        second: u64,
        parameters: &ServiceParameters,
        signals: &ServiceSignals,
        decide: &mut impl FnMut(What, Option<Evidence>),
    ) {
        let targets = &parameters.objectives;
        self.objectives.truncate(targets.len());
        for (_, target) in targets.iter().skip(self.objectives.len()) {
            self.objectives.push(Objective::new(*target));
        }
        if self.demands.len() == DEMAND_SECONDS {
            self.demands.pop_front();
        }
        self.demands.push_back(signals.demand);
        let is_maintained = signals.is_maintained;
        let each = self.objectives.iter_mut().zip(targets);
        for ((objective, (name, target)), signals) in each.zip(&signals.objectives) {
            for call in objective
                .on_second(second, *target, signals, is_maintained)
                .into_iter()
                .flatten()
            {
                let what = match call {
                    Call::Page(page) => What::Page(page),
                    Call::Resolved => What::Resolved,
                    Call::Absent(absence) => What::Absent(absence),
                    Call::Returned => What::Returned,
                };
                decide(what, Some(objective.evidence(name, *target)));
            }
        }
        let conditions = self.objectives.iter().map(|it| it.condition(second));
        let to = conditions.max().unwrap_or_default();
        if to != self.condition {
            let from = std::mem::replace(&mut self.condition, to);
            self.since = second;
            decide(What::Condition { from, to }, self.evidence(second, targets));
        }
    }

    /// Moves what is to be moved. `because_of` burns too, and this service depends on it.
    pub(crate) fn act(
        &mut self,
        second: u64,
        service: &ServiceParameters,
        rules: &[Rule],
        because_of: Option<&str>,
        decide: &mut impl FnMut(What, Option<Evidence>),
    ) {
        for (actuator, from) in std::mem::take(&mut self.dropped) {
            let what = What::Move {
                actuator,
                from,
                to: 0,
                because: Because::OtherMode,
            };
            decide(what, None);
        }
        let burn = self.burn();
        // What burns worst by the service's doing is what is worked on.
        let objectives = || self.objectives.iter().zip(&service.objectives);
        let worst = objectives().enumerate();
        let worst = worst.max_by(|(_, (a, (_, of_a))), (_, (b, (_, of_b)))| {
            let rate = |objective: &Objective, target: Ratio| {
                let lately = objective.recent.over(DEMAND_SECONDS).service();
                lately.burn_rate(target).unwrap_or(0.0)
            };
            let of =
                |objective: &Objective, target| (objective.service.burn(), rate(objective, target));
            let (a, b) = (of(a, *of_a), of(b, *of_b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let Some((worst, (objective, (name, target)))) = worst else {
            return;
        };
        let evidence = objective.evidence(name, *target);
        let deferred = because_of.filter(|_| burn > Burn::No);
        if let Some(to) = deferred.filter(|to| self.deferred.as_deref() != Some(to)) {
            let what = What::Defer { to: to.to_owned() };
            decide(what, Some(evidence.clone()));
        }
        let lately =
            |(place, (objective, (_, target))): (usize, (&Objective, &(String, Ratio)))| {
                let counts = objective.recent.over(NOW);
                let threshold = Burn::Burning.threshold(*target);
                Lately {
                    bad_share: share(counts.service()),
                    requests: counts.service().total(),
                    all_burn: counts.budget().burn_rate(*target).unwrap_or(0.0),
                    all_burns: share(counts.budget()) >= threshold,
                    threshold,
                    is_timed: service.is_timed(place),
                    classes: service.counted(place),
                }
            };
        let condition = self.condition;
        let may_at = |actuator, burn| may(rules, actuator, service, burn, condition);
        let thresholds = Actuator::ALL.map(|actuator| {
            let from = match may_at(actuator, Burn::Burning) {
                true => Burn::Burning,
                false => Burn::Severe,
            };
            from.threshold(*target)
        });
        let situation = Situation {
            second,
            burn,
            objectives: objectives().enumerate().map(lately).collect(),
            worst,
            thresholds,
            demand: self.demand(),
            deferred: deferred.is_some(),
            observes: service.mode != Mode::Enforce,
        };
        self.deferred = deferred.map(str::to_owned);
        let step = self.ladder.on_second(
            &situation,
            |actuator| may_ever(rules, actuator, service),
            |actuator| may_at(actuator, burn),
        );
        match step {
            Some(Step::Move {
                actuator,
                from,
                to,
                because,
            }) => {
                let what = What::Move {
                    actuator,
                    from,
                    to,
                    because,
                };
                decide(what, Some(evidence));
            }
            Some(Step::Helpless) => decide(What::Helpless, Some(evidence)),
            None => (),
        }
    }

    /// The parameters are others: what is known of objectives that are not the same is forgotten. `before` gives the
    /// place that each of the `targets` had.
    pub(crate) fn keep_objectives(
        &mut self,
        before: impl Fn(usize) -> Option<usize>,
        targets: &[(String, Ratio)],
    ) {
        let same = (0..targets.len().max(self.objectives.len())).all(|it| before(it) == Some(it));
        if !same {
            self.ladder.forget_trial();
        }
        let known = std::mem::take(&mut self.objectives);
        let mut known: Vec<Option<Objective>> = known.into_iter().map(Some).collect();
        for (place, (_, target)) in targets.iter().enumerate() {
            let kept = before(place).and_then(|place| known.get_mut(place)?.take());
            let objective = kept.unwrap_or_else(|| Objective::new(*target));
            self.objectives.push(objective);
        }
    }

    /// The objective at a place means something else by now: what is known of it is forgotten.
    pub(crate) fn forget_objective(&mut self, place: usize, target: Ratio) {
        if let Some(objective) = self.objectives.get_mut(place) {
            *objective = Objective::new(target);
            self.ladder.forget_trial();
        }
    }

    /// Somebody says that what was called for about the objective at a place is over.
    pub(crate) fn dismiss_page(&mut self, place: usize) {
        if let Some(objective) = self.objectives.get_mut(place) {
            objective.pager.dismiss();
        }
    }

    /// What is worth keeping of each objective, by name.
    pub(crate) fn memory(&self, targets: &[(String, Ratio)]) -> BTreeMap<String, Remembered> {
        let objectives = self.objectives.iter().zip(targets);
        let remembered = |(objective, (name, target)): (&Objective, &(String, Ratio))| {
            let pager = objective.pager.clone();
            let target = *target;
            (name.clone(), Remembered { target, pager })
        };
        objectives.map(remembered).collect()
    }

    /// Goes on from what was kept, of objectives that are the same.
    pub(crate) fn recall(
        &mut self,
        targets: &[(String, Ratio)],
        remembered: &BTreeMap<String, Remembered>,
    ) {
        let missing = targets.iter().skip(self.objectives.len());
        let missing = missing.map(|(_, target)| Objective::new(*target));
        self.objectives.extend(missing);
        for (objective, (name, target)) in self.objectives.iter_mut().zip(targets) {
            if let Some(remembered) = remembered.get(name).filter(|it| it.is_for(*target)) {
                objective.pager = remembered.pager.clone();
            }
        }
    }

    /// The mode is another: what was moved is not any more, and is said so with the next second.
    pub(crate) fn drop_moves(&mut self) {
        let moved: Vec<_> = self.ladder.moved().collect();
        self.ladder = Ladder::default();
        for (actuator, step) in moved {
            self.dropped.entry(actuator).or_insert(step);
        }
        self.deferred = None;
    }

    fn demand(&self) -> Demand {
        let mut sum = Demand::default();
        for demand in &self.demands {
            sum.requests += demand.requests;
            for (sum, count) in sum.let_in.iter_mut().zip(demand.let_in) {
                *sum += count;
            }
            sum.retries += demand.retries;
            for (sum, count) in sum.writes.iter_mut().zip(demand.writes) {
                *sum += count;
            }
            sum.hedges += demand.hedges;
            sum.stale += demand.stale;
            sum.refused += demand.refused;
            sum.governed += demand.governed;
        }
        // In most of the seconds: one moment says nothing.
        let most = |is: fn(&Demand) -> bool| {
            2 * self.demands.iter().filter(|it| is(it)).count() > self.demands.len()
        };
        sum.at_limit = most(|demand| demand.at_limit);
        sum.waiting = u64::from(most(|demand| demand.waiting > 0));
        sum
    }

    fn evidence(&self, second: u64, targets: &[(String, Ratio)]) -> Option<Evidence> {
        let all = self.objectives.iter().zip(targets);
        let (objective, (name, target)) =
            all.max_by_key(|(objective, _)| (objective.condition(second), objective.all.burn()))?;
        Some(objective.evidence(name, *target))
    }
}

impl Objective {
    fn new(target: Ratio) -> Self {
        Self {
            recent: Recent::default(),
            all: Watch::default(),
            service: Watch::default(),
            pager: Pager::new(target),
            exhausted: false,
            budget_left: None,
        }
    }

    fn on_second(
        &mut self,
        second: u64,
        target: Ratio,
        signals: &ObjectiveSignals,
        is_maintained: bool,
    ) -> [Option<Call>; 2] {
        self.recent.add(second, signals.counts);
        self.all.on_second(target, &self.recent, Counts::budget);
        self.service
            .on_second(target, &self.recent, Counts::service);
        self.budget_left = signals.budget_left;
        self.exhausted = match signals.budget_left {
            Some(left) if self.exhausted => left < RECOVERED,
            Some(left) => left <= 0.0,
            None => false,
        };
        // What is not counted is not absent, and a page does not end by it.
        if is_maintained {
            return [None, None];
        }
        self.pager
            .on_second(second, target, signals.counts.budget())
    }

    fn condition(&self, second: u64) -> Condition {
        let paged = self.pager.open().map(|_| Condition::Burning);
        if self.exhausted {
            return Condition::Exhausted;
        }
        if !self.pager.knows(second) {
            return Condition::Unknown;
        }
        paged.unwrap_or_default().max(self.all.burn().condition())
    }

    fn evidence(&self, name: &str, target: Ratio) -> Evidence {
        let span = |seconds: usize| Span {
            seconds: seconds as u64,
            counts: self.recent.over(seconds),
        };
        Evidence {
            objective: name.to_owned(),
            target,
            budget_left: self.budget_left,
            spans: SPANS.map(span).to_vec(),
        }
    }
}
