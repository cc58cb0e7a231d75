//! The governor over all services.

use std::collections::BTreeMap;

use plimsoll_core::{Class, Instant, Mode, Ratio, never};
use plimsoll_measure::Condition;
use serde::{Deserialize, Serialize};

use crate::actuator::{Actuator, Degradable};
use crate::basis::{Basis, Decided};
use crate::blame::{Suspect, root_of};
use crate::condition::Burn;
use crate::decision::Decision;
use crate::memory::Memory;
use crate::service::ServiceState;
use crate::signals::{ServiceSignals, Signals};

/// What the governor is set to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// By name.
    pub services: BTreeMap<String, ServiceParameters>,
    /// What may be moved. None: each actuator from the burn on that it is made for.
    pub rules: Vec<Rule>,
}

/// What it knows of a service beforehand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceParameters {
    /// 1 is the most important.
    pub tier: u8,
    /// Whether decisions are acted on.
    pub mode: Mode,
    /// Names and targets.
    pub objectives: Vec<(String, Ratio)>,
    /// Which classes each of them counts; none named, or nothing known of it: all.
    #[serde(default)]
    pub classes: Vec<Vec<Class>>,
    /// Which of them ask for answers in time; nothing known of it: none.
    #[serde(default)]
    pub timed: Vec<bool>,
    /// Names of services that it can't do without.
    pub depends_on: Vec<String>,
    /// What of it can be given up.
    #[serde(default)]
    pub degradable: Degradable,
}

impl ServiceParameters {
    /// Whether an objective asks for answers in time.
    pub(crate) fn is_timed(&self, objective: usize) -> bool {
        self.timed.get(objective).copied().unwrap_or_default()
    }

    /// Whether an objective counts requests of each class.
    pub(crate) fn counted(&self, objective: usize) -> [bool; Class::ALL.len()] {
        let named = self.classes.get(objective).map_or(&[][..], Vec::as_slice);
        Class::ALL.map(|class| named.is_empty() || named.contains(&class))
    }
}

/// What may be moved, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// From this condition on.
    pub condition: Condition,
    /// For services of this tier; `None`: of all.
    pub tier: Option<u8>,
    /// What may be moved.
    pub may: Vec<Actuator>,
}

/// Whether an actuator may be moved for a service that burns so fast and stands so.
pub(crate) fn may(
    rules: &[Rule],
    actuator: Actuator,
    service: &ServiceParameters,
    burn: Burn,
    condition: Condition,
) -> bool {
    if service.mode == Mode::Off || !service.degradable.has(actuator) {
        return false;
    }
    if rules.is_empty() {
        return burn >= actuator.from();
    }
    // That a budget is used up says nothing of now: it must burn as well, and by what the service does.
    let stands = match burn {
        Burn::No => return false,
        _ if condition == Condition::Exhausted => condition,
        _ => burn.condition(),
    };
    rules.iter().any(|rule| {
        rule.may.contains(&actuator) && rule.applies_to(service) && stands >= rule.condition
    })
}

/// Whether an actuator may be moved for a service at all.
pub(crate) fn may_ever(rules: &[Rule], actuator: Actuator, service: &ServiceParameters) -> bool {
    let named = |rule: &Rule| rule.may.contains(&actuator) && rule.applies_to(service);
    service.mode != Mode::Off
        && service.degradable.has(actuator)
        && (rules.is_empty() || rules.iter().any(named))
}

impl Rule {
    fn applies_to(&self, service: &ServiceParameters) -> bool {
        self.tier.is_none_or(|tier| tier == service.tier)
    }
}

/// See the crate's docs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Governor {
    parameters: Parameters,
    services: BTreeMap<String, ServiceState>,
}

impl Governor {
    /// Knows nothing yet, and has moved nothing.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            services: BTreeMap::new(),
        }
    }

    /// Takes over other parameters. What is known stays with the names; what may not be moved any more is taken back
    /// with the next tick, and so is what was moved under another mode.
    pub fn set_parameters(&mut self, parameters: Parameters) {
        let before = std::mem::replace(&mut self.parameters, parameters);
        let now = &self.parameters.services;
        self.services.retain(|name, _| now.contains_key(name));
        for (name, state) in &mut self.services {
            let (Some(was), Some(is)) = (before.services.get(name), now.get(name)) else {
                continue;
            };
            let place = |place: usize| {
                let wanted = is.objectives.get(place)?;
                was.objectives.iter().position(|it| it == wanted)
            };
            state.keep_objectives(place, &is.objectives);
            if was.mode != is.mode {
                state.drop_moves();
            }
        }
    }

    /// What an objective counts is something else by now, though its name and its target may be the same: what is known of
    /// it is forgotten.
    pub fn forget_objective(&mut self, service: &str, objective: &str) {
        if let Some((place, target)) = self.place(service, objective)
            && let Some(state) = self.services.get_mut(service)
        {
            state.forget_objective(place, target);
        }
    }

    /// Somebody says that what was called for about an objective is over. Nothing is decided by that. If it burns on for
    /// minutes, burns again or gets worse, somebody is called anew.
    pub fn dismiss_page(&mut self, service: &str, objective: &str) {
        if let Some((place, _)) = self.place(service, objective)
            && let Some(state) = self.services.get_mut(service)
        {
            state.dismiss_page(place);
        }
    }

    /// The place of an objective, and its target.
    fn place(&self, service: &str, objective: &str) -> Option<(usize, Ratio)> {
        let objectives = &self.parameters.services.get(service)?.objectives;
        let place = objectives.iter().position(|(name, _)| name == objective)?;
        Some((place, objectives.get(place)?.1))
    }

    /// A second is over: at `now`, with what it brought. What was decided is in the order of the services' names.
    pub fn on_tick(&mut self, now: Instant, signals: &Signals) -> Vec<Decided> {
        let second = now.as_nanos() / 1_000_000_000;
        let by_name: BTreeMap<&str, &ServiceSignals> = signals
            .services
            .iter()
            .map(|service| (service.name.as_str(), service))
            .collect();
        never!(by_name.len() != signals.services.len());
        let parameters = &self.parameters;
        let mut ticks = Vec::with_capacity(parameters.services.len());
        for (name, service) in &parameters.services {
            let state = self.services.entry(name.clone()).or_default();
            let before = state.clone();
            let signals = by_name.get(name.as_str()).copied();
            let mut made = Vec::new();
            if let Some(signals) = signals {
                state.on_signals(second, service, signals, &mut |what, evidence| {
                    made.push((what, evidence));
                });
            }
            ticks.push((name, service, before, signals, made));
        }
        let blames = self.blames();
        let mut decided = Vec::new();
        for (name, service, before, signals, mut made) in ticks {
            let because_of = blames.get(name).map(String::as_str);
            let Some(state) = self.services.get_mut(name) else {
                continue;
            };
            let rules = &parameters.rules;
            state.act(second, service, rules, because_of, &mut |what, evidence| {
                made.push((what, evidence));
            });
            if made.is_empty() {
                continue;
            }
            let decision = |(what, evidence)| Decision {
                service: name.clone(),
                mode: service.mode,
                what,
                evidence,
            };
            decided.push(Decided {
                decisions: made.into_iter().map(decision).collect(),
                basis: Basis {
                    now_nanos: now.as_nanos(),
                    service: name.clone(),
                    parameters: service.clone(),
                    rules: rules.clone(),
                    state: before,
                    signals: signals.cloned(),
                    because_of: because_of.map(str::to_owned),
                },
            });
        }
        decided
    }

    /// Which services burn because of which.
    fn blames(&self) -> BTreeMap<String, String> {
        let suspects = self
            .parameters
            .services
            .iter()
            .filter_map(|(name, service)| {
                let state = self.services.get(name)?;
                let (bad_share, all_share) = state.burning_shares()?;
                let suspect = Suspect {
                    bad_share,
                    all_share,
                    mode: service.mode,
                    is_helpless: state.is_helpless(),
                    blames: state.deferred(),
                    depends_on: &service.depends_on,
                };
                Some((name.as_str(), suspect))
            });
        let suspects: BTreeMap<&str, Suspect<'_>> = suspects.collect();
        let names = suspects.keys();
        let root = |name: &&str| Some(((*name).to_owned(), root_of(name, &suspects)?.to_owned()));
        names.filter_map(root).collect()
    }

    /// What is worth keeping for a successor.
    pub fn memory(&self) -> Memory {
        let of = |(name, state): (&String, &ServiceState)| {
            let service = self.parameters.services.get(name)?;
            Some((name.clone(), state.memory(&service.objectives)))
        };
        Memory(self.services.iter().filter_map(of).collect())
    }

    /// Goes on from what a predecessor knew, of objectives that are still the same. What was learnt since the start is left
    /// out where there is something.
    pub fn recall(&mut self, memory: &Memory) {
        for (name, service) in &self.parameters.services {
            if let Some(remembered) = memory.0.get(name) {
                let state = self.services.entry(name.clone()).or_default();
                state.recall(&service.objectives, remembered);
            }
        }
    }

    /// What is known of a service.
    pub fn service(&self, name: &str) -> Option<&ServiceState> {
        self.services.get(name)
    }

    /// How far an actuator of a service is to be moved: not at all where decisions are not acted on.
    pub fn enforced(&self, name: &str, actuator: Actuator) -> u8 {
        let parameters = self.parameters.services.get(name);
        let enforces = parameters.is_some_and(|it| it.mode == Mode::Enforce);
        let state = self.services.get(name).filter(|_| enforces);
        state.map_or(0, |state| state.step(actuator))
    }

    /// What it is set to.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::Counts;

    use super::*;
    use crate::decision::What;
    use crate::signals::{Demand, ObjectiveSignals};

    struct World {
        governor: Governor,
        second: u64,
        said: Vec<(u64, Decision)>,
        is_maintained: bool,
    }

    /// What a second brings to a service: good, bad by itself, refused.
    type Brought = (u64, u64, u64);

    impl World {
        fn new(services: &[(&str, &[&str])]) -> Self {
            let services = services.iter().map(|(name, depends_on)| {
                let service = ServiceParameters {
                    tier: 1,
                    mode: Mode::Enforce,
                    objectives: vec![("availability".to_owned(), Ratio::try_from(0.99).unwrap())],
                    depends_on: depends_on.iter().map(|it| (*it).to_owned()).collect(),
                    ..ServiceParameters::default()
                };
                ((*name).to_owned(), service)
            });
            let parameters = Parameters {
                services: services.collect(),
                rules: Vec::new(),
            };
            Self {
                governor: Governor::new(parameters),
                second: 0,
                said: Vec::new(),
                is_maintained: false,
            }
        }

        fn seconds(&mut self, seconds: u64, brought: impl Fn(&Self, &str) -> Brought) {
            for _ in 0..seconds {
                self.second += 1;
                let signals = self.signals(&brought);
                let now = Instant::from_nanos(self.second * 1_000_000_000);
                for decided in self.governor.on_tick(now, &signals) {
                    let again = serde_json::to_string(&decided.basis).unwrap();
                    assert!(again.len() < 16_384, "{} bytes", again.len());
                    let again: Basis = serde_json::from_str(&again).unwrap();
                    assert_eq!(again.decide(), decided.decisions);
                    let decisions = decided.decisions.into_iter();
                    self.said.extend(decisions.map(|it| (self.second, it)));
                }
            }
        }

        fn signals(&self, brought: &impl Fn(&Self, &str) -> Brought) -> Signals {
            let names = self.governor.parameters.services.keys();
            let services = names.map(|name| {
                let (good, bad, refused) = brought(self, name);
                ServiceSignals {
                    name: name.clone(),
                    objectives: vec![ObjectiveSignals {
                        counts: Counts {
                            good,
                            bad: bad + refused,
                            bad_service: bad,
                        },
                        budget_left: Some(0.5),
                    }],
                    demand: Demand {
                        requests: good + bad + refused,
                        let_in: [0, good + bad, 0],
                        writes: [0, 2, 0],
                        retries: bad,
                        stale: 30 * u64::from(self.step(name, Actuator::Stale) == 0),
                        refused,
                        governed: match self.step(name, Actuator::Shed) {
                            0 => 0,
                            _ => refused,
                        },
                        at_limit: refused > 0,
                        ..Demand::default()
                    },
                    is_maintained: self.is_maintained,
                }
            });
            Signals {
                services: services.collect(),
            }
        }

        fn step(&self, name: &str, actuator: Actuator) -> u8 {
            self.governor
                .service(name)
                .map_or(0, |state| state.step(actuator))
        }

        fn moves(&self, name: &str) -> usize {
            let is_move = |what: &What| matches!(what, What::Move { .. });
            let said = self.said.iter();
            said.filter(|(_, it)| it.service == name && is_move(&it.what))
                .count()
        }
    }

    #[test]
    fn what_plimsoll_refuses_never_moves_what_refuses_more() {
        let mut world = World::new(&[("a", &[])]);
        world.seconds(60, |_, _| (100, 0, 0));
        world.seconds(3_600, |_, _| (100, 0, 100));
        assert_eq!(world.moves("a"), 0, "{:?}", world.said);
        let state = world.governor.service("a").unwrap();
        assert_eq!(state.condition(), Condition::Severe, "yet it is said");
        assert!(state.is_paged(0), "and somebody is called");
    }

    #[test]
    fn at_capacity_for_ever_the_shed_level_converges() {
        let mut world = World::new(&[("a", &[])]);
        // 200 are offered and 120 can be served; what is let in beyond that fails. Half are sheddable, half of the
        // rest standard.
        let offered = 200.0;
        let at_capacity = |world: &World, _: &str| {
            let refused = match world.step("a", Actuator::Shed) {
                0 => 0.0,
                1 => 0.25,
                2 => 0.5,
                3 => 0.625,
                _ => 0.75,
            } * offered;
            let let_in: f64 = offered - refused;
            let bad = (let_in - 120.0).max(0.0) + if let_in > 120.0 { 30.0 } else { 0.0 };
            ((let_in - bad) as u64, bad as u64, refused as u64)
        };
        world.seconds(4 * 3_600, at_capacity);
        let before = world.moves("a");
        world.seconds(4 * 3_600, at_capacity);
        let later = world.moves("a") - before;
        assert!(before <= 60, "{before} moves in four hours");
        assert!(later <= 20, "{later} in the next four");
    }

    #[test]
    fn what_a_service_can_give_up_is_moved_and_decided_again_from_what_is_kept_of_it() {
        let mut world = World::new(&[("a", &[])]);
        let mut parameters = world.governor.parameters.clone();
        let service = parameters.services.get_mut("a").unwrap();
        service.degradable = Degradable {
            stale: true,
            brownout: true,
            read_only: true,
        };
        world.governor.set_parameters(parameters);
        world.seconds(60, |_, _| (100, 0, 0));
        // Each step takes a third of what fails.
        world.seconds(200, |world, name| {
            let steps: u8 = Actuator::ALL.iter().map(|it| world.step(name, *it)).sum();
            let bad = (900.0 * 0.66_f64.powi(steps.into())) as u64;
            (1_000 - bad, bad, 5)
        });
        let moved: Vec<Actuator> = Actuator::ALL
            .into_iter()
            .filter(|it| world.step("a", *it) > 0)
            .collect();
        for actuator in [Actuator::Retry, Actuator::Stale, Actuator::Brownout] {
            assert!(moved.contains(&actuator), "{:?}", world.said);
        }
        // `seconds` has made each decision again from its basis.
        let dimmed = |it: &Decision| it.to_string().contains("optional content");
        assert!(world.said.iter().any(|(_, it)| dimmed(it)));
        // Its owner changes his mind.
        let mut parameters = world.governor.parameters.clone();
        let service = parameters.services.get_mut("a").unwrap();
        service.degradable = Degradable::default();
        world.governor.set_parameters(parameters);
        world.seconds(6, |_, _| (500, 500, 5));
        let given_up = [Actuator::Stale, Actuator::Brownout, Actuator::ReadOnly];
        assert_eq!(given_up.map(|it| world.step("a", it)), [0; 3]);
    }

    #[test]
    fn a_dependency_that_burns_is_where_it_is_decided() {
        let services: [(&str, &[&str]); 3] = [
            ("shop", &["orders"]),
            ("orders", &["stock"]),
            ("stock", &[]),
        ];
        let mut world = World::new(&services);
        world.seconds(60, |_, _| (100, 0, 0));
        world.seconds(60, |_, _| (60, 40, 5));
        assert!(world.moves("stock") > 0);
        assert_eq!(world.moves("shop") + world.moves("orders"), 0);
        for name in ["shop", "orders"] {
            let defers: Vec<_> = world
                .said
                .iter()
                .filter(|(_, it)| it.service == name && it.what.name() == "defer")
                .collect();
            assert_eq!(defers.len(), 1, "{defers:?}");
            assert!(
                defers
                    .iter()
                    .all(|(_, it)| it.to_string().contains("stock"))
            );
        }
        // In a circle nobody is behind it.
        let circle: [(&str, &[&str]); 2] = [("a", &["b"]), ("b", &["a"])];
        let mut world = World::new(&circle);
        world.seconds(60, |_, _| (60, 40, 5));
        assert!(world.moves("a") > 0 && world.moves("b") > 0);
    }

    #[test]
    fn who_burns_much_more_than_a_dependency_acts_for_itself() {
        let mut world = World::new(&[("shop", &["stock"]), ("stock", &[])]);
        world.seconds(60, |_, _| (1_000, 0, 0));
        world.seconds(60, |_, name| match name {
            "shop" => (600, 400, 50),
            _ => (920, 80, 50),
        });
        assert!(world.moves("shop") > 0);
        assert!(world.said.iter().all(|(_, it)| it.what.name() != "defer"));
    }

    #[test]
    fn what_a_change_of_mode_takes_back_is_said() {
        let mut world = World::new(&[("a", &[])]);
        world.seconds(60, |_, _| (100, 0, 0));
        let moved = |world: &World| Actuator::ALL.map(|it| world.step("a", it));
        while moved(&world) == [0; Actuator::ALL.len()] {
            assert!(world.second < 200, "{:?}", world.said);
            world.seconds(1, |_, _| (50, 50, 5));
        }
        let before = moved(&world);
        let mut parameters = world.governor.parameters.clone();
        parameters.services.get_mut("a").unwrap().mode = Mode::Observe;
        world.governor.set_parameters(parameters);
        let begun = world.said.len();
        world.seconds(1, |_, _| (100, 0, 0));
        let mut said = [0; Actuator::ALL.len()];
        for (_, decision) in &world.said[begun..] {
            if let What::Move {
                actuator, from, to, ..
            } = decision.what
            {
                assert_eq!(to, 0);
                said[actuator as usize] = from;
            }
        }
        assert_eq!((said, moved(&world)), (before, [0; Actuator::ALL.len()]));
        world.seconds(1, |_, _| (100, 0, 0));
        let moves = world.said[begun..].iter();
        let moves = moves.filter(|(_, it)| it.what.name() == "move").count();
        assert_eq!(moves, before.iter().filter(|it| **it > 0).count());
    }

    #[test]
    fn a_move_cites_the_objective_that_it_is_made_for() {
        let mut world = World::new(&[("a", &[])]);
        let mut parameters = world.governor.parameters.clone();
        let target = Ratio::try_from(0.99).unwrap();
        let service = parameters.services.get_mut("a").unwrap();
        service.objectives.push(("latency".to_owned(), target));
        world.governor.set_parameters(parameters);
        let mut moves = 0;
        for second in 1..120 {
            let bad = if second > 60 { 50 } else { 0 };
            let signals = |bad, budget_left| ObjectiveSignals {
                counts: Counts {
                    good: 100 - bad,
                    bad,
                    bad_service: bad,
                },
                budget_left: Some(budget_left),
            };
            let service = ServiceSignals {
                name: "a".to_owned(),
                objectives: vec![signals(bad, 0.5), signals(0, -0.2)],
                demand: Demand {
                    requests: 100,
                    retries: bad,
                    ..Demand::default()
                },
                is_maintained: false,
            };
            let signals = Signals {
                services: vec![service],
            };
            let now = Instant::from_nanos(second * 1_000_000_000);
            for decision in world
                .governor
                .on_tick(now, &signals)
                .iter()
                .flat_map(|it| &it.decisions)
                .filter(|it| matches!(it.what, What::Move { .. } | What::Helpless))
            {
                moves += 1;
                let evidence = decision.evidence.as_ref().unwrap();
                assert_eq!(evidence.objective, "availability", "{decision}");
            }
        }
        assert!(moves > 0);
    }

    #[test]
    fn a_governor_goes_on_where_one_that_was_kept_left_off() {
        let mut world = World::new(&[("a", &[])]);
        world.seconds(60, |_, _| (100, 0, 0));
        let burns = |_: &World, _: &str| (50, 50, 5);
        for _ in 0..90 {
            let before = serde_json::to_string(&world.governor).unwrap();
            let signals = world.signals(&burns);
            world.seconds(1, burns);
            let mut again: Governor = serde_json::from_str(&before).unwrap();
            let now = Instant::from_nanos(world.second * 1_000_000_000);
            let _decided = again.on_tick(now, &signals);
            assert_eq!(again, world.governor);
        }
    }

    #[test]
    fn rules_say_what_may_be_moved_and_other_parameters_take_it_back() {
        let mut world = World::new(&[("a", &[]), ("b", &[])]);
        let mut parameters = world.governor.parameters.clone();
        parameters.services.get_mut("b").unwrap().tier = 3;
        parameters.rules = vec![Rule {
            name: "shed-tier-3".to_owned(),
            condition: Condition::Severe,
            tier: Some(3),
            may: vec![Actuator::Shed],
        }];
        world.governor.set_parameters(parameters.clone());
        world.seconds(60, |_, _| (100, 0, 0));
        let burns = |_: &World, _: &str| (50, 50, 5);
        world.seconds(20, burns);
        assert_eq!(world.moves("a"), 0);
        assert_eq!(world.step("b", Actuator::Shed), 1);
        parameters.rules.clear();
        parameters.rules.push(Rule {
            name: "nothing".to_owned(),
            condition: Condition::Burning,
            tier: None,
            may: Vec::new(),
        });
        world.governor.set_parameters(parameters);
        world.seconds(1, burns);
        assert_eq!(world.step("b", Actuator::Shed), 0);
    }

    #[test]
    fn under_maintenance_nobody_is_called_and_what_was_moved_is_taken_back() {
        let mut world = World::new(&[("a", &[])]);
        world.seconds(3_600, |_, _| (100, 0, 0));
        world.seconds(30, |_, _| (50, 50, 5));
        assert!(world.moves("a") > 0);
        world.is_maintained = true;
        let before = world.said.len();
        // Its objectives count nothing.
        world.seconds(3_000, |_, _| (0, 0, 0));
        for (_, decision) in &world.said[before..] {
            let name = decision.what.name();
            assert!(["condition", "move"].contains(&name), "{decision}");
        }
        assert_eq!(world.step("a", Actuator::Shed), 0);
        world.is_maintained = false;
        let before = world.said.len();
        world.seconds(600, |_, _| (100, 0, 0));
        let late = world.said[before..]
            .iter()
            .filter(|(_, it)| it.what.name() == "page");
        assert_eq!(late.count(), 0);
    }

    #[test]
    fn of_objectives_only_the_one_that_changed_begins_anew() {
        let mut world = World::new(&[("a", &[])]);
        let objectives = |targets: [f64; 3]| -> Vec<_> {
            let names = ["x", "y", "z"].into_iter();
            let pair =
                |(name, target): (&str, f64)| (name.to_owned(), Ratio::try_from(target).unwrap());
            names.zip(targets).map(pair).collect()
        };
        let mut parameters = world.governor.parameters.clone();
        let set = |parameters: &mut Parameters, targets| {
            parameters.services.get_mut("a").unwrap().objectives = objectives(targets);
        };
        set(&mut parameters, [0.99, 0.99, 0.99]);
        world.governor.set_parameters(parameters.clone());
        let bad = ObjectiveSignals {
            counts: Counts {
                good: 50,
                bad: 50,
                bad_service: 50,
            },
            budget_left: Some(0.5),
        };
        for second in 1..600 {
            let service = ServiceSignals {
                name: "a".to_owned(),
                objectives: vec![bad; 3],
                demand: Demand::default(),
                is_maintained: false,
            };
            let signals = Signals {
                services: vec![service],
            };
            world
                .governor
                .on_tick(Instant::from_nanos(second * 1_000_000_000), &signals);
        }
        let paged = |world: &World| {
            let state = world.governor.service("a").unwrap();
            [0, 1, 2].map(|place| state.is_paged(place))
        };
        assert_eq!(paged(&world), [true; 3]);
        set(&mut parameters, [0.99, 0.98, 0.99]);
        world.governor.set_parameters(parameters);
        assert_eq!(paged(&world), [true, false, true]);
        world.governor.forget_objective("a", "z");
        assert_eq!(paged(&world), [true, false, false]);
    }

    #[test]
    fn a_successor_knows_who_was_called_and_goes_on_learning_but_begins_with_nothing_moved() {
        let mut world = World::new(&[("a", &[])]);
        world.seconds(3_600, |_, _| (100, 0, 0));
        world.seconds(300, |_, _| (50, 50, 5));
        assert!(world.governor.service("a").unwrap().is_paged(0) && world.moves("a") > 0);
        let text = serde_json::to_string(&world.governor.memory()).unwrap();
        assert!(text.len() < 4_096, "{}", text.len());
        let memory: Memory = serde_json::from_str(&text).unwrap();

        let mut next = World::new(&[("a", &[])]);
        next.governor.recall(&memory);
        next.second = world.second + 60;
        next.seconds(1, |_, _| (50, 50, 5));
        let state = next.governor.service("a").unwrap();
        assert!(state.is_paged(0));
        let delay = |world: &World| world.governor.service("a").unwrap().page_delay(0, 6.0);
        assert!((delay(&next).unwrap() / delay(&world).unwrap() - 1.0).abs() < 0.05);
        assert_eq!(next.moves("a"), 0);
        // Nobody is called again for the same, and it ends as it would have.
        next.seconds(600, |_, _| (50, 50, 5));
        next.seconds(2 * 3_600, |_, _| (1_000, 0, 0));
        let said = |what: &str| {
            next.said
                .iter()
                .filter(|(_, it)| it.what.name() == what)
                .count()
        };
        assert_eq!((said("page"), said("resolved")), (0, 1), "{:?}", next.said);

        let mut other = World::new(&[("a", &[])]);
        let mut parameters = other.governor.parameters.clone();
        parameters.services.get_mut("a").unwrap().objectives[0].1 = Ratio::try_from(0.9).unwrap();
        other.governor.set_parameters(parameters);
        other.governor.recall(&memory);
        assert!(!other.governor.service("a").unwrap().is_paged(0));
    }

    #[test]
    fn conditions_follow_what_comes_and_each_change_is_said_with_its_evidence() {
        let mut world = World::new(&[("a", &[])]);
        world.seconds(30, |_, _| (0, 0, 0));
        world.seconds(60, |_, _| (100, 0, 0));
        world.seconds(100, |_, _| (0, 100, 0));
        world.seconds(2 * 3_600, |_, _| (100, 0, 0));
        let changes: Vec<_> = world
            .said
            .iter()
            .filter_map(|(_, it)| match &it.what {
                What::Condition { to, .. } => {
                    let evidence = it.evidence.as_ref().unwrap();
                    assert_eq!(evidence.spans.len(), 3);
                    Some(*to)
                }
                _ => None,
            })
            .collect();
        use Condition::{Burning, Healthy, Severe};
        assert_eq!(changes, [Healthy, Burning, Severe, Burning, Healthy]);
        let (_, severe) = world
            .said
            .iter()
            .find(|(_, it)| it.to_string().starts_with("severe"))
            .unwrap();
        assert_eq!(
            severe.to_string(),
            "severe, was burning (availability, 90.0x over 10 s, 30.0x over 30 s, 15.0x over 60 s, 50 % of the budget left)"
        );
    }

    #[test]
    fn a_thousand_services_are_judged_in_memory_that_is_bounded() {
        let names: Vec<String> = (0..1_000).map(|it| format!("service-{it}")).collect();
        let services: Vec<(&str, &[&str])> = names
            .iter()
            .map(|it| (it.as_str(), &[] as &[&str]))
            .collect();
        let mut world = World::new(&services);
        world.seconds(90, |_, _| (100, 1, 0));
        let bytes = serde_json::to_string(&world.governor).unwrap().len();
        assert!(bytes < 8_000_000, "{bytes}");
    }
}
