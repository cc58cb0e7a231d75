//! Goal: whole calls through gateways are simulated the same each time, none is lost, and faults do what they say.
//!
//! Method: small scenarios as a user writes them, with Plimsoll's defaults and with everything off.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Scenario, parse};
use plimsoll_core::Mode;
use plimsoll_lifecycle::{Bounds, GuardParameters};
use plimsoll_measure::Cause;
use plimsoll_policy::retry::RetryOn;
use plimsoll_policy::{EndpointParameters, LimiterKind, Method};
use plimsoll_simulator::fleet::{Cell, Ledger, Protection, Simulation};

/// Two gateways before four endpoints at 60 % of what these can do, with all that can go wrong after five seconds.
fn shop(faults: &str) -> Scenario {
    let text = format!(
        r#"
        gateways = 2
        [service.shop]
        endpoints = 4
        workers = 4
        time = "20ms"
        [workload.people]
        rate = "480/s"
        patience = "1s"
        retry = 3
        classes = {{ critical = "20%", sheddable = "20%" }}
        tenants = 20
        zipf = 1
        [[phase]]
        name = "before"
        lasts = "5s"
        [[phase]]
        name = "during"
        lasts = "5s"
        [[phase]]
        name = "after"
        lasts = "10s"
        {faults}"#
    );
    parse(&text).unwrap()
}

const ALL_FAULTS: &str = r#"
        [[fault]]
        kind = "crash"
        endpoints = 2
        at = "5s"
        lasts = "3s"
        [[fault]]
        kind = "crash"
        endpoints = 1
        at = "6s"
        lasts = "3s"
        [[fault]]
        kind = "freeze"
        endpoints = 3
        at = "5500ms"
        lasts = "1s"
        [[fault]]
        kind = "errors"
        share = "30%"
        at = "6s"
        lasts = "2s"
        [[fault]]
        kind = "slow"
        times = 4
        at = "7s"
        lasts = "2s"
        [[fault]]
        kind = "capacity"
        share = "50%"
        at = "7s"
        lasts = "3s"
        "#;

pub(crate) fn protected() -> Protection {
    let mut guard = GuardParameters::default();
    guard.admission.objective = Some(Duration::from_millis(250));
    Protection {
        guard: Arc::new(guard),
        endpoint: EndpointParameters::default(),
        method: Method::LeastLoaded,
        heeds_health: true,
        bounds: Bounds {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: None,
            attempts_max: 2,
        },
        connect: Duration::from_secs(1),
    }
}

pub(crate) fn off() -> Protection {
    let mut guard = GuardParameters {
        retried: [].into_iter().collect(),
        ..GuardParameters::default()
    };
    guard.admission.limiter = LimiterKind::Off;
    guard.admission.mode = Mode::Off;
    let mut off = protected();
    off.guard = Arc::new(guard);
    off.endpoint.breaker = Mode::Off;
    off.endpoint.ejection = Mode::Off;
    off.heeds_health = false;
    off.bounds.attempts_max = 1;
    off
}

pub(crate) fn run(scenario: &Scenario, protection: Protection, seed: u64) -> (Ledger, u64) {
    let mut simulation = Simulation::new(scenario, &[protection], seed);
    while simulation.advance(Duration::from_secs(1)) {}
    let events = simulation.events();
    (simulation.finish(), events)
}

fn good(cell: &Cell) -> f64 {
    cell.good.iter().sum::<u64>() as f64 / cell.users.iter().sum::<u64>() as f64
}

#[test]
fn the_same_scenario_and_seed_are_the_same_run_to_the_last_event() {
    let scenario = shop(ALL_FAULTS);
    for protection in [protected(), off()] {
        let first = run(&scenario, protection.clone(), 7);
        assert_eq!(first, run(&scenario, protection.clone(), 7));
        assert_ne!(first, run(&scenario, protection, 8));
    }
}

#[test]
fn every_request_ends_once_whatever_goes_wrong() {
    let scenario = shop(ALL_FAULTS);
    let mut retries = protected();
    let mut guard = GuardParameters::clone(&retries.guard);
    let on = [RetryOn::Connect, RetryOn::Reset, RetryOn::Status(500)];
    guard.retried = on.into_iter().collect();
    guard.throttle = Mode::Enforce;
    retries.guard = Arc::new(guard);
    retries.bounds.attempts_max = 3;
    // A deadline before the clients' patience.
    let mut hurried = off();
    hurried.bounds.head = Duration::from_millis(300);
    for protection in [protected(), retries, hurried, off()] {
        // That every permit came back is asserted by the run itself.
        let (ledger, _) = run(&scenario, protection, 3);
        for cell in ledger.cells() {
            let sum = |counts: &[u64]| counts.iter().sum::<u64>();
            assert_eq!(sum(&cell.requests), sum(&cell.causes));
            assert!(sum(&cell.good) <= sum(&cell.users));
            assert!(sum(&cell.users) <= sum(&cell.requests));
            assert!(sum(&cell.users) > 2_000);
        }
    }
}

#[test]
fn a_timeline_has_all_that_the_ledger_has_and_changes_nothing() {
    let scenario = shop(ALL_FAULTS);
    let mut simulation = Simulation::new(&scenario, &[protected()], 3);
    simulation.record();
    while simulation.advance(Duration::from_millis(300)) {}
    let mut with = simulation.finish();
    let timeline = with.take_timeline().unwrap();
    let (without, _) = run(&scenario, protected(), 3);
    assert_eq!(with, without);
    let sum = |cells: &mut dyn Iterator<Item = &Cell>| {
        cells.fold(Cell::default(), |mut all, cell| {
            all.merge(cell);
            all
        })
    };
    let seconds = timeline.seconds();
    let by_second = sum(&mut seconds.iter().flat_map(|second| &second.cells));
    assert_eq!(by_second, sum(&mut with.cells().iter()));
    // Faults begin after five seconds: what fails then is not noted earlier.
    let failed = |second: usize| seconds[second].cells[0].causes[Cause::UpstreamStatus.index()];
    assert_eq!((0..5).map(failed).sum::<u64>(), 0);
    assert!(failed(6) > 50, "{}", failed(6));
    for second in &seconds[..20] {
        let level = second.levels[0];
        assert!(level.in_flight <= level.limit.unwrap_or(u64::MAX) + 64);
        assert!(level.waiting < 1_000);
    }
}

#[test]
fn a_run_that_is_cut_short_settles_what_is_under_way() {
    let scenario = shop("");
    let mut simulation = Simulation::new(&scenario, &[protected()], 1);
    assert!(simulation.advance(Duration::from_secs(3)));
    assert_eq!(simulation.elapsed(), Duration::from_secs(3));
    let ledger = simulation.finish();
    let cell = ledger.cell(0, 0).unwrap();
    let ended = cell.causes.iter().sum::<u64>();
    assert_eq!(cell.requests.iter().sum::<u64>(), ended);
    assert!(cell.causes[Cause::ClientGone.index()] > 0);
}

#[test]
fn who_pauses_when_the_run_ends_is_counted_as_cut() {
    // All that come fail at once, and would come again after the end.
    let text = r#"
        [service.shop]
        workers = 4
        time = "20ms"
        [workload.people]
        rate = "50/s"
        retry = { attempts = 2, pause = "1h" }
        [[phase]]
        name = "all"
        lasts = "5s"
        [[fault]]
        kind = "crash"
        at = "0s"
        lasts = "5s""#;
    let (ledger, _) = run(&parse(text).unwrap(), off(), 1);
    let users: u64 = ledger.cells()[0].users.iter().sum();
    // One in 720 pauses for less than those five seconds.
    assert!(users > 200 && users - ledger.users_cut() < 4, "{users}");
    let mut both = ledger.clone();
    both.merge(&ledger);
    assert_eq!(both.users_cut(), 2 * ledger.users_cut());
    assert_eq!(run(&shop(""), protected(), 1).0.users_cut(), 0);
}

#[test]
fn a_timeline_of_longer_steps_has_the_same_in_fewer_of_them() {
    let record = |seconds| {
        let mut simulation = Simulation::new(&shop(ALL_FAULTS), &[protected()], 1);
        simulation.record_every(seconds);
        while simulation.advance(Duration::from_secs(60)) {}
        simulation.finish().take_timeline().unwrap()
    };
    let (fine, coarse) = (record(1), record(5));
    assert_eq!((fine.step(), coarse.step()), (1, 5));
    for (index, step) in coarse.seconds().iter().enumerate() {
        let mut sum = Cell::default();
        let mut fine = fine.seconds().iter().skip(5 * index).take(5);
        fine.clone().for_each(|second| sum.merge(&second.cells[0]));
        assert_eq!(step.cells[0], sum);
        // Levels are those at its end.
        assert_eq!(
            Some(&step.levels),
            fine.next_back().map(|second| &second.levels)
        );
    }
    assert_eq!(coarse.seconds().len(), fine.seconds().len().div_ceil(5));
}

#[test]
fn without_faults_nothing_is_refused_below_capacity() {
    let (ledger, _) = run(&shop(""), protected(), 1);
    for cell in ledger.cells() {
        assert_eq!(cell.refused, [0; 3]);
        assert!(good(cell) > 0.999, "{}", good(cell));
        // A queue of four workers for each endpoint, at 60 %: little more than the 20 ms of the work itself.
        let median = cell.latencies.quantile(0.5).unwrap();
        assert!((10..25).contains(&median.as_millis()), "{median:?}");
    }
}

#[test]
fn an_endpoint_that_is_gone_is_left_out_and_taken_back() {
    let crash = r#"
        [[fault]]
        kind = "crash"
        endpoints = 1
        at = "5s"
        lasts = "5s""#;
    let (with, _) = run(&shop(crash), protected(), 1);
    let (without, _) = run(&shop(crash), off(), 1);
    let during = |ledger: &Ledger| ledger.cell(1, 0).unwrap().clone();
    let failed = |ledger: &Ledger| during(ledger).causes[Cause::Connect.index()];
    assert_eq!(failed(&with), 0);
    // Few, since balancing alone prefers what does not fail.
    assert!(failed(&without) > 5, "{}", failed(&without));
    assert!(good(&during(&with)) > 0.99, "{}", good(&during(&with)));
    assert!(good(with.cell(2, 0).unwrap()) > 0.999);
}

#[test]
fn clients_come_again_as_often_as_they_may() {
    let errors = r#"
        [[fault]]
        kind = "errors"
        share = "100%"
        at = "0s"
        lasts = "20s""#;
    let (ledger, _) = run(&shop(errors), off(), 1);
    let cell = ledger.cell(0, 0).unwrap();
    let (users, requests) = (
        cell.users.iter().sum::<u64>(),
        cell.requests.iter().sum::<u64>(),
    );
    assert_eq!(
        (requests, cell.attempts, good(cell)),
        (3 * users, 3 * users, 0.0)
    );
}
