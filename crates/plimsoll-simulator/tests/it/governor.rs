//! Goal: the governor of a run is that of the process: it is told what happens, and what it moves has its effect.
//!
//! It makes goodput no worse than none does, and does not oscillate.
//!
//! Method: small scenarios, by request and as flows, with a governor that acts, one that only observes, and none. Random days
//! with one and without.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_config::scenario::{Run, Scenario, parse_for, write};
use plimsoll_core::{Mode, Ratio};
use plimsoll_governor::{Actuator, Parameters, ServiceParameters};
use plimsoll_lifecycle::GuardParameters;
use plimsoll_measure::{ObjectiveSpec, Sli};
use plimsoll_policy::retry::RetryOn;
use plimsoll_simulator::days::{Compared, LOSS_MAX, Part, at_capacity, compare_day, compare_hour};
use plimsoll_simulator::fleet::{Ledger, Protection, Simulation};
use plimsoll_simulator::fluid::Fluid;
use plimsoll_simulator::{Governed, Noted};

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
        let mut steps = std::collections::BTreeMap::new();
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
    let moves = at_capacity(86_400);
    let [first, .., last] = moves[..] else {
        panic!("{moves:?}");
    };
    assert!((4..=40).contains(&first), "{moves:?}");
    assert!(last <= 6 && last < first, "{moves:?}");
}
