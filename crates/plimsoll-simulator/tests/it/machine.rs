//! Goal: memory, pauses, starts, loss and partitions do what their models say, each by itself against its closed form.
//!
//! Method: services so plain that it is known what comes of them, without policies; then with them.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Scenario, parse};
use plimsoll_lifecycle::GuardParameters;
use plimsoll_measure::Cause;
use plimsoll_policy::Method;
use plimsoll_simulator::fleet::{Cell, Ledger, Protection, Simulation};

use crate::fleet::{off, protected};

/// A service with these keys under this load for ten seconds, and nobody loses patience.
fn plain(service: &str, rate: u32, faults: &str) -> Scenario {
    let text = format!(
        r#"
        gateways = 2
        [service.shop]
        {service}
        [workload.people]
        rate = "{rate}/s"
        patience = "1m"
        [[phase]]
        name = "all"
        lasts = "10s"
        {faults}"#
    );
    parse(&text).unwrap()
}

fn run(scenario: &Scenario, protection: Protection) -> Ledger {
    let mut simulation = Simulation::new(scenario, &[protection], 1);
    simulation.record();
    while simulation.advance(Duration::from_secs(1)) {}
    simulation.finish()
}

fn of(cell: &Cell, cause: Cause) -> u64 {
    cell.causes[cause.index()]
}

/// How requests ended with this cause, by the second in which they did.
fn by_second(ledger: &Ledger, cause: Cause) -> Vec<u64> {
    let seconds = ledger.timeline().unwrap().seconds().iter();
    seconds.map(|it| of(&it.cells[0], cause)).collect()
}

fn mean_ms(cell: &Cell) -> f64 {
    cell.latencies.sum_nanos() as f64 / cell.latencies.count() as f64 / 1e6
}

#[test]
fn lost_messages_make_requests_late_by_their_closed_form_and_none_vanishes() {
    let loss = r#"
        [[fault]]
        kind = "loss"
        share = "5%"
        at = "0s"
        lasts = "10s""#;
    let service = "workers = 1000\ntime = \"20ms\"\nspread = \"constant\"";
    let ledger = run(&plain(service, 4_000, loss), off());
    let cell = ledger.cell(0, 0).unwrap();
    assert_eq!(of(cell, Cause::Answered), cell.requests.iter().sum::<u64>());
    // 200 ms * 5 % / (1 - 2 * 5 %), for the request and for its answer.
    let expected = 20.0 + 2.0 * 200.0 * 0.05 / 0.9;
    let mean = mean_ms(cell);
    assert!((mean / expected - 1.0).abs() < 0.05, "{mean}, {expected}");
    // 90.25 % are not late at all.
    let on_time = cell.latencies.quantile(0.9).unwrap();
    assert!(on_time < Duration::from_millis(21), "{on_time:?}");
}

#[test]
fn an_endpoint_refuses_for_as_long_as_it_takes_to_start() {
    let crash = r#"
        [[fault]]
        kind = "crash"
        at = "2s"
        lasts = "1s""#;
    let service = "workers = 9\ntime = \"10ms\"\nspread = \"constant\"\nstart = \"3s\"";
    let ledger = run(&plain(service, 100, crash), off());
    let refused = by_second(&ledger, Cause::Connect);
    let answered = by_second(&ledger, Cause::Answered);
    for second in 0..10 {
        let gone = (2..6).contains(&second);
        // A refusal takes 0.2 ms: one may be counted in the second after.
        assert_eq!(refused[second] > 5, gone, "{refused:?}");
        assert_eq!(answered[second] == 0, gone, "{answered:?}");
    }
}

#[test]
fn an_endpoint_without_memory_for_what_it_holds_is_killed_with_all_of_it() {
    // It can do half of what comes: 101 are there after half a second.
    let service = r#"
        workers = 4
        time = "20ms"
        spread = "constant"
        memory = { each = "1MiB", limit = "100MiB" }
        start = "1s""#;
    let ledger = run(&plain(service, 400, ""), off());
    let cell = ledger.cell(0, 0).unwrap();
    let reset = of(cell, Cause::Reset);
    assert_eq!(reset % 101, 0, "{reset}");
    // It lives for half a second and is gone for one, again and again.
    let kills = reset / 101;
    assert!((6..=8).contains(&kills), "{kills}");
    let refused = of(cell, Cause::Connect) as f64 / 400.0;
    assert!((refused - kills as f64).abs() < 0.6, "{refused} s, {kills}");
}

#[test]
fn a_partition_cuts_off_the_first_gateways_and_no_others() {
    let partition = r#"
        [[fault]]
        kind = "partition"
        gateways = 1
        at = "2s"
        lasts = "5s""#;
    let service = "endpoints = 4\nworkers = 9\ntime = \"10ms\"";
    let mut protection = off();
    protection.connect = Duration::from_millis(900);
    let ledger = run(&plain(service, 200, partition), protection);
    let cell = ledger.cell(0, 0).unwrap();
    let [cut_off, all] = [of(cell, Cause::Connect), cell.requests.iter().sum::<u64>()];
    // Half of the requests of five of ten seconds.
    assert!(
        (cut_off as f64 / all as f64 - 0.25).abs() < 0.03,
        "{cut_off}, {all}"
    );
    let late = by_second(&ledger, Cause::Connect);
    assert!(
        late[..2].iter().chain(&late[8..]).all(|it| *it == 0),
        "{late:?}"
    );
}

#[test]
fn what_was_under_way_is_answered_when_the_partition_has_ended() {
    let partition = r#"
        [[fault]]
        kind = "partition"
        at = "1900ms"
        lasts = "9s""#;
    let service = "workers = 999\ntime = \"2s\"\nspread = \"constant\"";
    let ledger = run(&plain(service, 100, partition), off());
    // Answers of 2 s to 3.9 s are sent again after 0.2 s, 0.4 s, ..., 6.4 s: after 12.6 s in all they are heard.
    let cell = ledger.cell(0, 0).unwrap();
    let [first, last] = [0.01, 1.0].map(|it| cell.latencies.quantile(it).unwrap().as_secs_f64());
    assert!(
        (first / 14.6 - 1.0).abs() < 0.03 && (last / 14.6 - 1.0).abs() < 0.03,
        "{first}, {last}"
    );
    assert!(of(cell, Cause::Answered) > 150);
}

#[test]
fn a_connection_is_made_once_it_can_be_if_the_deadline_is_not_over() {
    let partition = r#"
        [[fault]]
        kind = "partition"
        at = "0s"
        lasts = "10s""#;
    let service = "workers = 99\ntime = \"1ms\"\nspread = \"constant\"";
    let mut protection = off();
    protection.connect = Duration::from_secs(2);
    let ledger = run(&plain(service, 100, partition), protection);
    let cell = ledger.cell(0, 0).unwrap();
    // Tried again after one second: those of the last.
    let answered = of(cell, Cause::Answered);
    assert_eq!(
        answered + of(cell, Cause::Connect),
        cell.requests.iter().sum::<u64>()
    );
    assert!((80..120).contains(&answered), "{answered}");
    assert!((mean_ms(cell) - 1_001.0).abs() < 1.0, "{}", mean_ms(cell));
}

const ALL: &str = r#"
        [[fault]]
        kind = "crash"
        endpoints = 2
        at = "2s"
        lasts = "1s"
        [[fault]]
        kind = "partition"
        gateways = 1
        endpoints = 3
        at = "1s"
        lasts = "4s"
        [[fault]]
        kind = "freeze"
        endpoints = 1
        after = 3
        at = "3s"
        lasts = "2s"
        [[fault]]
        kind = "loss"
        share = "20%"
        at = "3s"
        lasts = "4s""#;

#[test]
fn all_of_it_at_once_is_the_same_each_time_and_every_request_ends_once() {
    for work in [
        "workers = 4",
        "crosstalk = 0.001",
        "workers = 4\ncancels = true",
    ] {
        let service = format!(
            r#"
            endpoints = 4
            {work}
            time = "20ms"
            memory = {{ each = "1MiB", limit = "40MiB", pause = "30ms" }}
            start = {{ takes = "500ms", times = 4, warm = 100 }}"#
        );
        let mut scenario = plain(&service, 900, ALL);
        scenario.workloads[0].patience = Duration::from_secs(1);
        for protection in [protected(), off()] {
            let ledger = run(&scenario, protection.clone());
            assert_eq!(ledger, run(&scenario, protection));
            let cell = ledger.cell(0, 0).unwrap();
            let ended = cell.causes.iter().sum::<u64>();
            assert_eq!(ended, cell.requests.iter().sum::<u64>());
            assert!(of(cell, Cause::Reset) > 0, "{work}");
        }
    }
}

#[test]
fn many_permits_that_become_free_at_once_are_passed_on_one_by_one() {
    // What waits when all endpoints crash under a surge is handed on by threads that wake each other.
    let crash = r#"
        [[fault]]
        kind = "crash"
        at = "5s"
        lasts = "2s""#;
    let service = "endpoints = 6\nworkers = 16\ntime = \"20ms\"\nobjective = \"500ms\"";
    let mut scenario = plain(service, 9_000, crash);
    scenario.workloads[0].patience = Duration::from_secs(2);
    for seed in 1..=5 {
        let mut protection = protected();
        let mut guard = GuardParameters::clone(&protection.guard);
        guard.admission.objective = Some(scenario.services[0].objective);
        protection.guard = Arc::new(guard);
        let mut simulation = Simulation::new(&scenario, &[protection], seed);
        while simulation.advance(Duration::from_secs(1)) {}
        let ledger = simulation.finish();
        assert!(of(ledger.cell(0, 0).unwrap(), Cause::Connect) > 0);
    }
}

#[test]
fn a_gateway_that_is_cut_off_from_some_endpoints_uses_the_others_and_comes_back() {
    let partition = r#"
        [[fault]]
        kind = "partition"
        gateways = 1
        endpoints = 2
        at = "2s"
        lasts = "3s""#;
    let service = "endpoints = 4\nworkers = 8\ntime = \"10ms\"";
    let good = |protection| {
        let ledger = run(&plain(service, 400, partition), protection);
        let cell = ledger.cell(0, 0).unwrap();
        cell.good.iter().sum::<u64>() as f64 / cell.users.iter().sum::<u64>() as f64
    };
    let mut in_turn = off();
    in_turn.method = Method::RoundRobin;
    let [with, without] = [good(protected()), good(in_turn)];
    // In turn, a quarter of what comes in three of ten seconds goes where it is not heard.
    assert!((0.91..0.94).contains(&without), "{without}");
    assert!(with > 0.99, "{with}");
}
