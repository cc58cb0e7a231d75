//! The governor in the running process: what it is told each second, and how its decisions reach the data plane.

mod changed;
mod contributions;
mod dimming;
mod looking;
mod onset;
mod outcomes;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_config::{Config, Route, RouteAction, Service};
use plimsoll_console::notify::Matter;
use plimsoll_core::{Instant, Mode, Timestamp};
use plimsoll_gateway::{GuardView, ServiceShared, mode_of, objective_specs};
use plimsoll_governor::{
    Actuator, Change, ChangeKind, Decided, Decision, Degradable, Dose, Governor, Look, Memory,
    Meter, ObjectiveSignals, Onsets, Parameters, Part, Scope, ServiceParameters, ServiceSignals,
    ServiceState, Signals, Standing, What,
};
use plimsoll_lifecycle::Counter;
use plimsoll_measure::{
    Condition, GovernedView, Latest, Measure, MovedView, ObjectiveSpec, OnsetView, PageDelayView,
    Sli, Urgency,
};
use plimsoll_store::{Appended, Hash};
use serde_json::{Value, json};

use crate::notifying::OpenCall;
use crate::overlay::Held;
pub(crate) use changed::configuration as configuration_changed;
pub(crate) use contributions::Contributions;
use dimming::Dimming;
pub(crate) use looking::{look, parts};
pub(crate) use onset::{how_long_before, sentence, suspected};
pub(crate) use outcomes::Outcome;
use outcomes::Outcomes;

/// Burn rates that it is stated for how soon somebody would be called.
const STATED: [f64; 3] = [2.0, 6.0, 14.4];

/// A basis that is larger is left out of the journal: the rest of a record has the other half of what one may have.
const BASIS_BYTES_MAX: usize = plimsoll_store::BODY_BYTES_MAX / 2;

/// The governor, and what it is told by.
pub(crate) struct Governing {
    governor: Governor,
    /// What people hold, by service.
    held: BTreeMap<String, Held>,
    onsets: Onsets,
    outcomes: Outcomes,
    dimming: Dimming,
    meters: BTreeMap<String, Meter>,
    ticked: Instant,
}

impl Governing {
    pub(crate) fn new(config: &Config) -> Self {
        let mut dimming = Dimming::default();
        dimming.apply(config);
        Self {
            dimming,
            governor: Governor::new(parameters(config, &BTreeMap::new())),
            held: BTreeMap::new(),
            onsets: Onsets::default(),
            outcomes: Outcomes::default(),
            meters: BTreeMap::new(),
            ticked: Instant::ORIGIN,
        }
    }

    /// Another configuration is in force.
    pub(crate) fn apply(&mut self, config: &Config) {
        self.governor.set_parameters(parameters(config, &self.held));
        self.dimming.apply(config);
        let services = &config.services;
        self.meters.retain(|name, _| services.contains_key(name));
        let there = |service: &str, objective: &str| {
            let service = services.get(service);
            service.is_some_and(|it| it.objectives.contains_key(objective))
        };
        self.onsets.retain(there);
        self.outcomes.retain(there);
    }

    /// What people hold from now on: the data plane hears of it at once.
    pub(crate) fn hold(
        &mut self,
        config: &Config,
        held: BTreeMap<String, Held>,
        shared: &BTreeMap<String, Arc<ServiceShared>>,
    ) {
        if self.held == held {
            return;
        }
        self.held = held;
        self.governor.set_parameters(parameters(config, &self.held));
        for (name, shared) in shared {
            self.publish(name, shared);
        }
    }

    /// What is worth keeping for a successor.
    pub(crate) fn memory(&self) -> Memory {
        self.governor.memory()
    }

    /// Goes on from what a predecessor kept.
    pub(crate) fn recall(&mut self, memory: &Memory) {
        self.governor.recall(memory);
    }

    /// An objective counts something else by now: what is known of it is forgotten.
    pub(crate) fn on_objective_anew(&mut self, service: &str, objective: &str) {
        self.governor.forget_objective(service, objective);
        let is_it = |of: &str, name: &str| of == service && name == objective;
        self.onsets.retain(|of, name| !is_it(of, name));
    }

    /// Somebody resolved what is called for: the governor has it open no more, and calls anew if it burns on or again. An
    /// absence stays, until requests come.
    pub(crate) fn dismiss(&mut self, call: &OpenCall) {
        if call.matter == Matter::Page {
            self.governor.dismiss_page(&call.service, &call.objective);
        }
    }

    /// Something was changed, which may be why a service burns.
    pub(crate) fn on_change(&mut self, change: Change) {
        self.onsets.on_change(change);
    }

    /// Something was moved, if it is done: what burns after it may be why, or because of it.
    pub(crate) fn on_moved(&mut self, at: Timestamp, decision: &Decision) {
        if let (
            What::Move {
                actuator, from, to, ..
            },
            Mode::Enforce,
        ) = (&decision.what, decision.mode)
        {
            let service = &decision.service;
            let dose = Dose {
                name: format!("{} of {service}", actuator.name()),
                from: f64::from(*from),
                to: f64::from(*to),
            };
            self.onsets.on_change(Change {
                kind: ChangeKind::Decided,
                dose: Some(dose),
                ..Change::made(at, Scope::service(service), actuator.says(*to))
            });
        }
    }

    /// A minute is over: `parts` says what it brought to the parts of a service, as one of its objectives judges it.
    pub(crate) fn on_minute(&mut self, parts: impl Fn(&str, &str) -> Vec<Part>) {
        let second = self.second();
        for (service, parameters) in &self.governor.parameters().services {
            for (objective, _) in &parameters.objectives {
                let parts = || parts(service, objective);
                self.onsets.on_minute(service, objective, second, parts);
            }
        }
    }

    /// When burns began that somebody was called for: what there is to say of them now.
    pub(crate) fn onsets(
        &mut self,
        now: Timestamp,
        look: impl Fn(&str, &str) -> Look,
    ) -> Vec<(String, OnsetView)> {
        let second = self.second();
        self.onsets.due(second, now, &self.governor, look)
    }

    /// A decision is written as `record`. Says what came of what it is the end of.
    pub(crate) fn on_written(&mut self, decision: &Decision, record: Appended) -> Option<Outcome> {
        let second = self.second();
        self.outcomes.on_decision(second, decision, record)
    }

    fn second(&self) -> u64 {
        self.ticked.as_nanos() / 1_000_000_000
    }

    /// A second is over: judges what `measure` counted with its last tick, and moves what is decided.
    pub(crate) fn tick(
        &mut self,
        measure: &Measure,
        guards: &BTreeMap<String, GuardView>,
        shared: &BTreeMap<String, Arc<ServiceShared>>,
    ) -> (Vec<Decided>, Vec<Outcome>) {
        // By the calendar: what is remembered was by another monotonic clock.
        let now = measure.budget_now();
        self.ticked = now;
        let services = measure
            .latest()
            .map(|(name, latest)| self.signals(name, &latest, guards.get(name)));
        let signals = Signals {
            services: services.collect(),
        };
        let decided = self.governor.on_tick(now, &signals);
        self.watch_onsets(&signals, &decided);
        for decision in decided.iter().flat_map(|it| &it.decisions) {
            self.dimming.on_decision(decision);
        }
        for (name, shared) in shared {
            self.publish(name, shared);
        }
        let dimmed = self.dim(measure, shared);
        let services = &self.governor.parameters().services;
        let place = |service: &str, objective: &str| {
            let mut objectives = services.get(service)?.objectives.iter();
            objectives.position(|(name, _)| name == objective)
        };
        let second = self.second();
        let mut outcomes = self.outcomes.on_second(second, &signals, place);
        outcomes.extend(dimmed);
        (decided, outcomes)
    }

    /// How much optional content is left out, below the governor's step.
    fn dim(
        &mut self,
        measure: &Measure,
        shared: &BTreeMap<String, Arc<ServiceShared>>,
    ) -> Vec<Outcome> {
        let mut over = Vec::new();
        for (name, causes, latency) in measure.ended() {
            let Some(shared) = shared.get(name) else {
                continue;
            };
            let step = self.governor.enforced(name, Actuator::Brownout);
            let ceiling = Actuator::dimmed_max(step);
            let (dimming, brownout) = (&mut self.dimming, &shared.guard.brownout);
            over.extend(dimming.on_second(name, ceiling, (causes, latency), brownout));
        }
        over
    }

    fn watch_onsets(&mut self, signals: &Signals, decided: &[Decided]) {
        let second = self.second();
        for service in &signals.services {
            let Some(parameters) = self.governor.parameters().services.get(&service.name) else {
                continue;
            };
            for ((objective, _), signals) in parameters.objectives.iter().zip(&service.objectives) {
                let tally = signals.counts.budget();
                self.onsets
                    .on_second(&service.name, objective, second, tally);
            }
        }
        for decision in decided.iter().flat_map(|it| &it.decisions) {
            let Some(evidence) = &decision.evidence else {
                continue;
            };
            let (service, objective) = (&decision.service, &evidence.objective);
            match decision.what {
                What::Page(_) => {
                    self.onsets
                        .on_page(service, objective, evidence.target, second);
                }
                What::Resolved => {
                    self.onsets.on_resolved(service, objective);
                }
                _ => (),
            }
        }
    }

    fn signals(
        &mut self,
        name: &str,
        latest: &Latest,
        guard: Option<&GuardView>,
    ) -> ServiceSignals {
        let count = |counter: Counter| {
            let counters = guard.map_or(&[] as &[_], |guard| guard.counters.as_slice());
            let counted = counters.iter().find(|(it, _)| *it == counter);
            counted.map_or(0, |(_, count)| *count)
        };
        let standing = Standing {
            retries: count(Counter::Retry),
            hedges: count(Counter::Hedge),
            governed: count(Counter::Governed),
            stale: count(Counter::WouldSpare),
            writes: guard.map(|guard| guard.writes).unwrap_or_default(),
            waiting: guard.map_or(0, |guard| guard.queued.iter().copied().map(u64::from).sum()),
            in_flight: guard.map_or(0, |guard| u64::from(guard.in_flight)),
            limit: guard.and_then(|guard| guard.limit.map(u64::from)),
        };
        let meter = self.meters.entry(name.to_owned()).or_default();
        let objective = |&(counts, budget_left)| ObjectiveSignals {
            counts,
            budget_left,
        };
        ServiceSignals {
            name: name.to_owned(),
            objectives: latest.objectives.iter().map(objective).collect(),
            demand: meter.on_second(latest.requests, latest.refused, latest.let_in, standing),
            is_maintained: latest.is_maintained,
        }
    }

    /// Written each second, whatever was decided: what the data plane does is what the governor believes, and at least
    /// what people hold.
    fn publish(&self, name: &str, shared: &ServiceShared) {
        let steps = &shared.guard.steps;
        let step = |actuator| self.governor.enforced(name, actuator);
        let held = self.held.get(name).copied().unwrap_or_default();
        steps.set_hedge(step(Actuator::Hedge).max(held.hedge));
        steps.set_retry(step(Actuator::Retry).max(held.retry));
        steps.set_stale(step(Actuator::Stale));
        steps.set_shed(step(Actuator::Shed).max(held.shed));
        steps.set_read_only(held.read_only || step(Actuator::ReadOnly) > 0);
        let dimmed = self.dimming.held(name, held.brownout);
        shared.guard.brownout.set_floor(dimmed);
    }

    /// How a service is seen. `now` is the time of the last tick.
    pub(crate) fn view(&self, name: &str, now: Timestamp) -> Option<GovernedView> {
        let parameters = self.governor.parameters().services.get(name)?;
        let state = self.governor.service(name)?;
        let objectives = || parameters.objectives.iter().zip(0..);
        let moved = |actuator: Actuator| {
            let step = state.step(actuator);
            (step > 0).then(|| MovedView {
                actuator: actuator.name().to_owned(),
                step,
                says: actuator.says(step).to_owned(),
            })
        };
        let delays = objectives().flat_map(|((objective, _), place)| {
            STATED.map(|burn| PageDelayView {
                objective: objective.clone(),
                burn,
                seconds: state.page_delay(place, burn).map(f64::round),
            })
        });
        Some(GovernedView {
            condition: state.condition(),
            since: self.since(state, now),
            mode: parameters.mode,
            because_of: state.deferred().map(str::to_owned),
            paged: objectives()
                .filter(|(_, place)| state.is_paged(*place))
                .map(|((objective, _), _)| objective.clone())
                .collect(),
            moved: Actuator::ALL.into_iter().filter_map(moved).collect(),
            brownout: self.dimming.view(name),
            onsets: self.onsets.of(name),
            page_delays: delays.collect(),
        })
    }

    /// What somebody is called for and has not ended, of services whose governor is not off.
    pub(crate) fn open_calls(&self) -> Vec<OpenCall> {
        let mut calls = Vec::new();
        for (name, parameters) in &self.governor.parameters().services {
            let Some(state) = self.governor.service(name) else {
                continue;
            };
            if parameters.mode == Mode::Off {
                continue;
            }
            for (place, (objective, _)) in parameters.objectives.iter().enumerate() {
                let mut call = |matter, urgency| {
                    calls.push(OpenCall {
                        service: name.clone(),
                        objective: objective.clone(),
                        matter,
                        urgency,
                    });
                };
                if let Some(page) = state.open_page(place) {
                    call(Matter::Page, page.urgency);
                }
                if state.is_absent(place) {
                    call(Matter::Absence, Urgency::Page);
                }
            }
        }
        calls
    }

    fn since(&self, state: &ServiceState, now: Timestamp) -> Option<Timestamp> {
        let since = state.since();
        let ago = self.second().saturating_sub(since);
        (since > 0).then(|| Timestamp::from_seconds(now.as_seconds().saturating_sub(ago)))
    }
}

/// What the journal keeps of decisions, by subject. The first record of a tick has the basis, from which all of them can be
/// made again; each has its digest. Of what stands worse than before it says where the failures are.
pub(crate) fn records(
    decided: &Decided,
    contributions: Option<&Contributions>,
) -> Vec<(String, Value)> {
    let basis = serde_json::to_string(&decided.basis).unwrap_or_default();
    let digest = Hash::of(basis.as_bytes()).to_string();
    let record = |(place, decision): (usize, &Decision)| {
        let mut body = json!({
            "text": text(decision, contributions),
            "decision": decision,
            "basis_sha256": digest,
        });
        if let Some(body) = body.as_object_mut().filter(|_| place == 0) {
            // Of a service with very many objectives it would not fit, and the decision would be lost with it.
            match basis.len() <= BASIS_BYTES_MAX {
                true => body.insert("basis".to_owned(), json!(decided.basis)),
                false => body.insert("basis_left_out".to_owned(), json!(basis.len())),
            };
        }
        if let (Some(body), true) = (body.as_object_mut(), is_worse(&decision.what)) {
            body.insert("contributions".to_owned(), json!(contributions));
        }
        (format!("service/{}", decision.service), body)
    };
    decided.decisions.iter().enumerate().map(record).collect()
}

/// A decision in words, with where the failures are if it says that there are any.
pub(crate) fn text(decision: &Decision, contributions: Option<&Contributions>) -> String {
    let contributions = contributions.filter(|_| is_worse(&decision.what));
    match contributions.and_then(Contributions::sentence) {
        Some(sentence) => format!("{decision}; {sentence}"),
        None => decision.to_string(),
    }
}

fn is_worse(what: &What) -> bool {
    match what {
        What::Condition { from, to } => to > from && *to > Condition::Healthy,
        What::Page(_) | What::Helpless => true,
        _ => false,
    }
}

/// What the governor is set to, by the configuration and by what people hold.
pub(crate) fn parameters(config: &Config, held: &BTreeMap<String, Held>) -> Parameters {
    let services = config.services.iter().map(|(name, service)| {
        let mode = held.get(name).and_then(|held| held.mode);
        let specs = objective_specs(service);
        let parameters = ServiceParameters {
            tier: service.tier,
            mode: mode_of(config, service, mode.unwrap_or(config.governor.mode)),
            classes: specs.iter().map(|it| it.classes.clone()).collect(),
            timed: specs.iter().map(is_timed).collect(),
            objectives: specs.into_iter().map(|it| (it.name, it.target)).collect(),
            depends_on: service.depends_on.clone(),
            degradable: degradable(config, name, service),
        };
        (name.clone(), parameters)
    });
    Parameters {
        services: services.collect(),
        rules: config.governor.rules.clone(),
    }
}

fn is_timed(spec: &ObjectiveSpec) -> bool {
    matches!(spec.sli, Sli::Latency { .. })
}

/// What of a service can be given up, by its configuration.
fn degradable(config: &Config, name: &str, service: &Service) -> Degradable {
    let mine = |route: &&Route| matches!(&route.action, RouteAction::Service(it) if it == name);
    let routes = config.routes.iter().filter(mine);
    let mut caches = routes.filter_map(|route| route.cache.as_ref());
    Degradable {
        stale: caches.any(|cache| !cache.stale.unwrap_or(service.degrade.stale).is_zero()),
        brownout: !service.degrade.brownout.is_empty(),
        read_only: service.degrade.read_only.governor,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_governor::{Basis, Demand};
    use plimsoll_measure::Counts;

    use super::*;

    #[test]
    fn the_data_plane_has_the_steps_that_the_governor_moves() {
        let steps = plimsoll_lifecycle::SHED_STEPS;
        assert_eq!(Actuator::Shed.steps(), steps);
    }

    #[test]
    fn a_decision_can_be_made_again_from_what_the_journal_keeps() {
        let config = Config::for_target("http://127.0.0.1:1", None, None, None).unwrap();
        let mut parameters = parameters(&config, &BTreeMap::new());
        let (name, service) = parameters.services.iter_mut().next().unwrap();
        let target = plimsoll_core::Ratio::of(99, 100).unwrap();
        service.objectives = vec![("availability".to_owned(), target)];
        let name = name.clone();
        let mut governor = Governor::new(parameters);
        let mut kept = 0;
        for second in 1..60 {
            let counts = Counts {
                good: 50,
                bad: 50,
                bad_service: 50,
            };
            let signals = Signals {
                services: vec![ServiceSignals {
                    name: name.clone(),
                    objectives: vec![ObjectiveSignals {
                        counts,
                        budget_left: Some(0.9),
                    }],
                    demand: Demand {
                        requests: 100,
                        retries: 50,
                        ..Demand::default()
                    },
                    is_maintained: false,
                }],
            };
            let now = Instant::from_nanos(second * 1_000_000_000);
            for decided in governor.on_tick(now, &signals) {
                let records = records(&decided, None);
                let (_, first) = &records[0];
                let text = first.to_string();
                assert!(
                    text.len() < plimsoll_store::BODY_BYTES_MAX / 2,
                    "{}",
                    text.len()
                );
                let read: Value = serde_json::from_str(&text).unwrap();
                let basis: Basis = serde_json::from_value(read["basis"].clone()).unwrap();
                let again: Vec<Value> = basis.decide().iter().map(|it| json!(it)).collect();
                let journaled: Vec<&Value> =
                    records.iter().map(|(_, body)| &body["decision"]).collect();
                assert_eq!(again.iter().collect::<Vec<_>>(), journaled);
                let digest = Hash::of(serde_json::to_string(&basis).unwrap().as_bytes());
                assert_eq!(read["basis_sha256"], digest.to_string());
                kept += records.len();
            }
        }
        assert!(kept >= 3, "{kept}");
    }
}
