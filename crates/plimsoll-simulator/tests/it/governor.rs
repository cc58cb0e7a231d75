//! Goal: the governor of a run is that of the process: it is told what happens, and what it moves has its effect.
//!
//! It makes goodput no worse than none does, and does not oscillate.
//!
//! Method: small scenarios, by request and as flows, with a governor that acts, one that only observes, and none. Random days
//! with one and without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_config::scenario::{Run, Scenario, parse_for, write};
use plimsoll_core::{Mode, Ratio};
use plimsoll_governor::{Actuator, Degradable, Parameters, ServiceParameters};
use plimsoll_lifecycle::GuardParameters;
use plimsoll_measure::{ObjectiveSpec, Sli};
use plimsoll_policy::retry::RetryOn;
use plimsoll_simulator::days::{Compared, LOSS_MAX, Part, at_capacity, compare_day, compare_hour};
use plimsoll_simulator::fleet::{Ledger, Protection, Simulation};
use plimsoll_simulator::fluid::Fluid;
use plimsoll_simulator::{GivesUp, Governed, Noted};

use crate::fleet::protected;

const MONTH: Duration = Duration::from_secs(28 * 86_400);

/// For 99 % of all requests, in time; the second service, if there is one, is what the first depends on.
pub(crate) fn governed(scenario: &Scenario, mode: Mode) -> Governed {
    let names: Vec<String> = scenario.services.iter().map(|it| it.name.clone()).collect();
    let spec = |below| ObjectiveSpec {
        name: "latency".to_owned(),
        sli: Sli::Latency { below },
        target: Ratio::of(99, 100).unwrap(),
        period: plimsoll_measure::Period::Rolling(MONTH),
        classes: Vec::new(),
        routes: Vec::new(),
    };
    let services = scenario.services.iter();
    let services = services.map(|it| (it.name.clone(), vec![spec(it.objective)]));
    let services: Vec<_> = services.collect();
    let parameters = services.iter().enumerate().map(|(index, (name, specs))| {
        let service = ServiceParameters {
            tier: 1,
            mode,
            objectives: specs
                .iter()
                .map(|it| (it.name.clone(), it.target))
                .collect(),
            depends_on: names.get(index + 1).into_iter().cloned().collect(),
            ..ServiceParameters::default()
        };
        (name.clone(), service)
    });
    Governed {
        parameters: Parameters {
            services: parameters.collect(),
            rules: Vec::new(),
        },
        services,
        gives_up: BTreeMap::new(),
    }
}

/// Plimsoll's defaults, with retries of what was answered with 500.
fn protections(scenario: &Scenario) -> Vec<Protection> {
    let services = scenario.services.iter();
    let of = services.map(|service| {
        let mut protection = protected();
        let mut guard = GuardParameters::clone(&protection.guard);
        guard.admission.objective = Some(service.objective);
        let on = [RetryOn::Connect, RetryOn::Status(500)];
        guard.retried = on.into_iter().collect();
        guard.retry.attempts_max = 3;
        protection.bounds.attempts_max = 3;
        protection.guard = Arc::new(guard);
        protection
    });
    of.collect()
}

fn by_request(scenario: &Scenario, mode: Option<Mode>) -> Ledger {
    let mut simulation = Simulation::new(scenario, &protections(scenario), 1);
    if let Some(mode) = mode {
        simulation.govern(&governed(scenario, mode));
    }
    while simulation.advance(Duration::from_secs(10)) {}
    simulation.finish()
}

fn as_flows(scenario: &Scenario, mode: Option<Mode>) -> Ledger {
    let objectives: Vec<_> = scenario
        .services
        .iter()
        .map(|_| (Ratio::of(99, 100).unwrap(), MONTH))
        .collect();
    let mut fluid = Fluid::new(scenario, &protections(scenario), &objectives).unwrap();
    if let Some(mode) = mode {
        fluid.govern(&governed(scenario, mode));
    }
    while fluid.advance().is_some() {}
    fluid.ledger()
}

/// Two gateways before a service that answers a third of all with errors for a minute.
fn errs() -> Scenario {
    let text = r#"
        gateways = 2
        [service.shop]
        endpoints = 4
        workers = 4
        time = "20ms"
        [workload.people]
        rate = "400/s"
        patience = "1s"
        classes = { critical = "20%", sheddable = "40%" }
        [[phase]]
        name = "before"
        lasts = "30s"
        [[phase]]
        name = "during"
        lasts = "60s"
        [[phase]]
        name = "after"
        lasts = "150s"
        [[fault]]
        kind = "errors"
        share = "33%"
        at = "30s"
        lasts = "60s""#;
    parse_for(text, Run::ByRequest).unwrap()
}

fn moves(ledger: &Ledger) -> Vec<&Noted> {
    let noted = ledger.decisions().unwrap().noted.iter();
    noted.filter(|it| it.moved.is_some()).collect()
}

#[test]
fn one_that_only_observes_changes_nothing_and_says_what_it_would_do() {
    let scenario = errs();
    for run in [by_request, as_flows] {
        let (observes, none) = (run(&scenario, Some(Mode::Observe)), run(&scenario, None));
        assert_eq!(observes.cells(), none.cells());
        let moves = moves(&observes);
        assert!(!moves.is_empty());
        assert!(
            moves.iter().all(|it| it.text.starts_with("would be: ")),
            "{moves:?}"
        );
    }
}

#[test]
fn what_it_moves_has_its_effect_in_both_runs() {
    let scenario = errs();
    for run in [by_request, as_flows] {
        let (acts, none) = (run(&scenario, Some(Mode::Enforce)), run(&scenario, None));
        let moves = moves(&acts);
        let first = moves[0];
        assert_eq!(first.moved, Some((Actuator::Retry, 0, 1)), "{moves:?}");
        assert!((35..50).contains(&first.at.as_secs()), "{moves:?}");
        let again = |ledger: &Ledger| {
            let cell = ledger.cell(1, 0).unwrap();
            cell.attempts as f64 / cell.requests.iter().sum::<u64>() as f64
        };
        let [with, without] = [again(&acts), again(&none)];
        // Not by much: what the budget of retries is not spent on meanwhile is spent later.
        assert!(with < without - 0.002, "{with}, {without}: {moves:?}");
        // All is back in the end.
        let mut steps = BTreeMap::new();
        for noted in &moves {
            let (actuator, _, to) = noted.moved.unwrap();
            steps.insert((noted.gateway, actuator), to);
        }
        assert!(steps.values().all(|step| *step == 0), "{moves:?}");
    }
}

#[test]
fn both_runs_decide_alike() {
    let scenario = errs();
    let first = |ledger: &Ledger| {
        let decisions = moves(ledger);
        let mine = decisions.iter().filter(|it| it.gateway == 0);
        mine.map(|it| it.moved.unwrap()).collect::<Vec<_>>()
    };
    let [by_request, as_flows] =
        [by_request, as_flows].map(|run| first(&run(&scenario, Some(Mode::Enforce))));
    assert_eq!(by_request, as_flows);
}

/// A service that is asked for a third more than it carries, for ten minutes. One answer in ten takes five times as long as
/// the mean: in time where it waits for nothing, and late where it does.
fn overloaded() -> Scenario {
    let text = r#"
        gateways = 2
        [service.shop]
        endpoints = 2
        workers = 8
        time = "25ms"
        spread = "bimodal"
        objective = "155ms"
        [workload.people]
        rate = "350/s"
        patience = "1s"
        classes = { critical = "20%", sheddable = "10%" }
        [[phase]]
        name = "before"
        lasts = "60s"
        rate = { people = "350/s" }
        [[phase]]
        name = "begins"
        lasts = "150s"
        rate = { people = "850/s" }
        [[phase]]
        name = "goes on"
        lasts = "450s"
        rate = { people = "850/s" }
        [[phase]]
        name = "after"
        lasts = "1200s"
        rate = { people = "350/s" }"#;
    parse_for(text, Run::ByRequest).unwrap()
}

/// With a target of 99.5 %, and what can be given up.
fn giving(scenario: &Scenario, gives_up: GivesUp, read_only: bool) -> Governed {
    let mut governed = governed(scenario, Mode::Enforce);
    let target = Ratio::of(995, 1_000).unwrap();
    for (name, specs) in &mut governed.services {
        specs.iter_mut().for_each(|it| it.target = target);
        let service = governed.parameters.services.get_mut(name).unwrap();
        service.objectives.iter_mut().for_each(|it| it.1 = target);
        service.timed = vec![true];
        service.degradable = Degradable {
            stale: gives_up.stale > 0.0,
            brownout: gives_up.optional > 0.0,
            read_only,
        };
        governed.gives_up.insert(name.clone(), gives_up);
    }
    governed
}

fn run_by_request(scenario: &Scenario, governed: &Governed) -> Ledger {
    let mut simulation = Simulation::new(scenario, &protections(scenario), 1);
    simulation.govern(governed);
    while simulation.advance(Duration::from_secs(10)) {}
    simulation.finish()
}

fn run_as_flows(scenario: &Scenario, governed: &Governed) -> Ledger {
    let objectives = [(Ratio::of(995, 1_000).unwrap(), MONTH)];
    let mut fluid = Fluid::new(scenario, &protections(scenario), &objectives).unwrap();
    fluid.govern(governed);
    while fluid.advance().is_some() {}
    fluid.ledger()
}

type RunIt = fn(&Scenario, &Governed) -> Ledger;
const BOTH: [RunIt; 2] = [run_by_request, run_as_flows];

fn actuators(ledger: &Ledger) -> BTreeSet<Actuator> {
    let moves = moves(ledger);
    moves.iter().map(|it| it.moved.unwrap().0).collect()
}

/// The share of a phase's requests that are good.
fn good(ledger: &Ledger, phase: usize) -> f64 {
    let cell = ledger.cell(phase, 0).unwrap();
    cell.good.iter().sum::<u64>() as f64 / cell.requests.iter().sum::<u64>() as f64
}

#[track_caller]
fn all_is_back(ledger: &Ledger) {
    let mut steps = BTreeMap::new();
    for noted in moves(ledger) {
        let (actuator, _, to) = noted.moved.unwrap();
        steps.insert((noted.gateway, actuator), to);
    }
    let moves = moves(ledger);
    assert!(steps.values().all(|step| *step == 0), "{moves:#?}");
}

#[test]
fn an_overload_that_can_be_met_without_refusing_anybody_is() {
    let scenario = overloaded();
    let stale = GivesUp {
        stale: 0.4,
        writes: 0.1,
        ..GivesUp::default()
    };
    let optional = GivesUp {
        optional: 0.5,
        writes: 0.1,
        ..GivesUp::default()
    };
    for run in BOTH {
        let nothing = run(&scenario, &giving(&scenario, GivesUp::default(), true));
        assert!(actuators(&nothing).contains(&Actuator::Shed));
        for (gives_up, meets) in [(stale, Actuator::Stale), (optional, Actuator::Brownout)] {
            let ledger = run(&scenario, &giving(&scenario, gives_up, true));
            let moved = actuators(&ledger);
            assert_eq!(moved, BTreeSet::from([meets]), "{:#?}", moves(&ledger));
            let [with, without] = [&ledger, &nothing].map(|it| good(it, 2));
            assert!(with > without + 0.1, "{with}, {without}");
            all_is_back(&ledger);
        }
    }
}

/// By request the level is moved by the latency objective, below the governor's step: it leaves out what must be, and comes
/// back by itself.
#[test]
fn a_brownout_keeps_answers_in_time_and_leaves_out_no_more_than_it_must() {
    let scenario = overloaded();
    let gives_up = GivesUp {
        optional: 0.5,
        ..GivesUp::default()
    };
    let ledger = run_by_request(&scenario, &giving(&scenario, gives_up, false));
    let [before, on, after] = [0, 2, 3].map(|phase| good(&ledger, phase));
    println!("{before} {on} {after}");
    assert!(before > 0.999 && on > 0.9, "{before}, {on}");
    assert!(after > 0.99, "{after}");
}

#[test]
fn what_is_given_up_goes_by_harm_and_comes_back() {
    let text = write(&overloaded()).replace("850/s", "1150/s");
    let scenario = parse_for(&text, Run::ByRequest).unwrap();
    // Each helps, and none is enough by itself.
    let gives_up = GivesUp {
        stale: 0.25,
        optional: 0.25,
        writes: 0.05,
    };
    let nothing = run_as_flows(&scenario, &giving(&scenario, GivesUp::default(), true));
    for run in BOTH {
        let ledger = run(&scenario, &giving(&scenario, gives_up, true));
        let mut first = BTreeMap::<u32, Vec<Actuator>>::new();
        for noted in moves(&ledger) {
            println!("{:?} {} {}", noted.at, noted.gateway, noted.text);
            let (actuator, _, to) = noted.moved.unwrap();
            assert!(actuator.harm(to) < Actuator::Shed.harm(3), "{noted:?}");
            let first = first.entry(noted.gateway).or_default();
            if !first.contains(&actuator) {
                first.push(actuator);
            }
        }
        for first in first.values() {
            assert!(first.is_sorted(), "{first:?}");
            assert_eq!(first[..2], [Actuator::Stale, Actuator::Brownout]);
        }
        let [with, without] = [&ledger, &nothing].map(|it| good(it, 2));
        println!("{with} {without}");
        assert!(with > without + 0.1, "{with}, {without}");
        all_is_back(&ledger);
    }
}

/// All seeds, on all cores.
fn compared(
    seeds: impl Iterator<Item = u64> + Send,
    compare: impl Fn(u64) -> Option<Compared> + Sync,
) -> Vec<Compared> {
    let (seeds, done) = (Mutex::new(seeds), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else {
                        return;
                    };
                    let compared = compare(seed).unwrap();
                    done.lock().unwrap().push(compared);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[track_caller]
fn keep(all: &[Compared], loss_max: f64) {
    if let Some(bad) = all.iter().find(|it| !it.keeps(loss_max)) {
        let moves = bad.noted.iter().filter(|it| it.moved.is_some());
        let moves: Vec<_> = moves.map(|it| (it.at, &it.service, &it.text)).collect();
        println!("{}", write(&bad.scenario));
        panic!("seed {}: {:?}, {moves:#?}", bad.seed, bad.change);
    }
}

/// `cargo xtask soak governor` has a thousand whole days, and fifty hours.
#[test]
fn bad_days_are_not_worse_with_a_governor() {
    let all = compared(1..=25, |seed| compare_day(seed, 4 * 3_600));
    keep(&all, LOSS_MAX);
    let sheds = all.iter().filter(|it| Part::Refusing.has(it)).count();
    assert!(sheds >= 5, "{sheds} say something of shedding");
    // By request, chance adds to it.
    let all = compared(1..=4, |seed| Some(compare_hour(seed, 300, 1)));
    keep(&all, 4.0 * LOSS_MAX);
}

/// In one the shed level went up while a freeze ended, and stayed for the rest of the day, since what was let in burnt the
/// budget a little; in the other, retries stayed off, and the load grew.
#[test]
fn days_that_were_worse_once_are_not_any_more() {
    let all = compared([9, 31].into_iter(), |seed| compare_day(seed, 86_400));
    keep(&all, 0.001);
}

#[test]
fn at_capacity_for_ever_the_shed_level_converges() {
    let moves = at_capacity(86_400, false);
    let [first, .., last] = moves[..] else {
        panic!("{moves:?}");
    };
    assert!((4..=40).contains(&first), "{moves:?}");
    assert!(last <= 6 && last < first, "{moves:?}");
    // With more that can be moved there are more moves, and they become as rare.
    let moves = at_capacity(86_400, true);
    println!("{moves:?}");
    let [first, .., last] = moves[..] else {
        panic!("{moves:?}");
    };
    assert!(first > 4 && last < first / 2, "{moves:?}");
}
