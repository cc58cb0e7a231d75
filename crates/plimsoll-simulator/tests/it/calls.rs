//! Goal: services that call each other do what is said of them: workers wait, failures pass up, and no call is lost.
//!
//! Method: a shop that calls orders, which call the stock, at constant times, so that counts are known beforehand.

use std::time::Duration;

use plimsoll_config::scenario::{Scenario, parse};
use plimsoll_measure::Cause;
use plimsoll_simulator::fleet::{Cell, Ledger, Protection, Simulation};
use plimsoll_simulator::fluid::{Fluid, FluidError};

use crate::fleet::{off, protected};

/// Rows of the ledger: the workload, and the calls by their callers' names.
const PEOPLE: usize = 0;
const TO_STOCK: usize = 1;
const TO_ORDERS: usize = 2;

/// A shop of four workers that takes 10 ms of its own, before orders that take 40 ms. Lines for the shop and for orders,
/// and what else there is.
fn scenario(shop: &str, orders: &str, people: &str, rest: &str) -> Scenario {
    // What is worked on at once has no spread.
    let spread = match shop.contains("crosstalk") {
        true => "",
        false => "spread = \"constant\"",
    };
    let text = format!(
        r#"
        gateways = 2
        [service.shop]
        time = "10ms"
        {spread}
        {shop}
        [service.orders]
        workers = 64
        endpoints = 2
        time = "40ms"
        spread = "constant"
        {orders}
        [service.stock]
        workers = 64
        time = "5ms"
        [workload.people]
        service = "shop"
        classes = {{ critical = "20%", sheddable = "20%" }}
        {people}
        [[phase]]
        name = "first"
        lasts = "10s"
        [[phase]]
        name = "second"
        lasts = "10s"
        {rest}"#
    );
    parse(&text).unwrap()
}

fn run(scenario: &Scenario, protection: &Protection, seed: u64) -> (Ledger, u64) {
    let protections = vec![protection.clone(); scenario.services.len()];
    let mut simulation = Simulation::new(scenario, &protections, seed);
    simulation.record();
    while simulation.advance(Duration::from_secs(1)) {}
    let events = simulation.events();
    (simulation.finish(), events)
}

/// Of both phases.
fn of(ledger: &Ledger, sender: usize) -> Cell {
    let mut all = Cell::default();
    for phase in 0..2 {
        all.merge(ledger.cell(phase, sender).unwrap());
    }
    all
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

fn ended(cell: &Cell, cause: Cause) -> u64 {
    cell.causes[cause.index()]
}

#[track_caller]
fn check(measured: f64, expected: f64, tolerance: f64) {
    let off_by = (measured / expected - 1.0).abs();
    assert!(off_by < tolerance, "{measured}, not {expected}");
}

const CHAIN: &str = "calls = { orders = { attempts = 2, timeout = \"200ms\" } }";
const CALM: &str = "rate = \"100/s\"";
const TROUBLE: &str = r#"
        [[fault]]
        kind = "crash"
        service = "shop"
        endpoints = 1
        at = "5s"
        lasts = "2s"
        [[fault]]
        kind = "crash"
        service = "orders"
        endpoints = 1
        at = "6s"
        lasts = "2s"
        [[fault]]
        kind = "freeze"
        service = "shop"
        at = "9s"
        lasts = "1s"
        [[fault]]
        kind = "freeze"
        service = "stock"
        at = "11s"
        lasts = "1s"
        [[fault]]
        kind = "errors"
        service = "stock"
        share = "30%"
        at = "13s"
        lasts = "2s"
        "#;

#[test]
fn every_call_ends_once_whatever_goes_wrong() {
    for shop in [
        "endpoints = 2\nworkers = 8",
        "endpoints = 2\nworkers = 8\ncancels = true",
        "endpoints = 2\ncrosstalk = 0.001",
    ] {
        let shop = format!("{shop}\n{CHAIN}");
        let people = "rate = \"150/s\"\nretry = 2\npatience = \"300ms\"";
        let scenario = scenario(&shop, "calls = { stock = \"50%\" }", people, TROUBLE);
        for protection in [protected(), off()] {
            // That every permit came back is asserted by the run itself.
            let (mut ledger, events) = run(&scenario, &protection, 3);
            for cell in ledger.cells() {
                assert_eq!(sum(&cell.requests), sum(&cell.causes));
                assert!(sum(&cell.good) <= sum(&cell.users));
                assert!(sum(&cell.users) <= sum(&cell.requests));
                assert!(sum(&cell.users) > 400, "{cell:?}");
            }
            let by_cell = [PEOPLE, TO_STOCK, TO_ORDERS].map(|sender| of(&ledger, sender));
            let timeline = ledger.take_timeline().unwrap();
            let by_second = [PEOPLE, TO_STOCK, TO_ORDERS].map(|sender| {
                let mut all = Cell::default();
                for second in timeline.seconds() {
                    all.merge(&second.cells[sender]);
                }
                all
            });
            assert_eq!(by_cell, by_second);
            let again = |seed| {
                let (mut ledger, events) = run(&scenario, &protection, seed);
                let timeline = ledger.take_timeline().unwrap();
                (ledger, timeline, events)
            };
            assert!((ledger, timeline, events) == again(3), "the same seed");
            assert!(again(3) != again(4), "another seed");
        }
    }
}

#[test]
fn calls_are_as_many_as_needed_and_of_the_class_of_their_users() {
    let shop = format!("workers = 16\n{CHAIN}");
    let scenario = scenario(&shop, "calls = { stock = \"50%\" }", CALM, "");
    let (ledger, _) = run(&scenario, &protected(), 1);
    let [people, to_stock, to_orders] = [PEOPLE, TO_STOCK, TO_ORDERS].map(|it| of(&ledger, it));
    assert_eq!(people.users, to_orders.users);
    assert_eq!(people.good, to_orders.good);
    assert!(people.users.iter().all(|users| *users > 300));
    check(
        sum(&to_stock.users) as f64,
        sum(&people.users) as f64 / 2.0,
        0.08,
    );
    // The shop's own work, that of orders, and for half of them that of the stock.
    let fastest = people.latencies.quantile(0.01).unwrap();
    assert!((49..53).contains(&fastest.as_millis()), "{fastest:?}");
    let users: u64 = ledger.cells_of_users().map(|cell| sum(&cell.users)).sum();
    assert_eq!(users, sum(&people.users));
}

#[test]
fn calls_of_one_service_are_made_one_after_the_other() {
    let shop = "workers = 16\ncalls = { orders = \"100%\", stock = \"50%\" }";
    let (ledger, _) = run(&scenario(shop, "", CALM, ""), &off(), 1);
    let [people, to_orders, to_stock] = [0, 1, 2].map(|sender| of(&ledger, sender));
    assert_eq!(people.users, to_orders.users);
    let half = sum(&people.users) as f64 / 2.0;
    check(sum(&to_stock.users) as f64, half, 0.08);
    // Those who need no stock take 10 + 40 ms; the others wait for both.
    let slow = people.latencies.quantile(0.9).unwrap();
    assert!((55..70).contains(&slow.as_millis()), "{slow:?}");
}

#[test]
fn a_crash_breaks_the_calls_that_are_under_way() {
    let crash = "[[fault]]\nkind = \"crash\"\nservice = \"shop\"\nat = \"5s\"\nlasts = \"1s\"";
    let shop = "workers = 64\ncalls = { orders = {} }";
    let (ledger, _) = run(&scenario(shop, "", CALM, crash), &off(), 1);
    let seconds = ledger.timeline().unwrap().seconds();
    let broken = |second: usize| ended(&seconds[second].cells[1], Cause::ClientGone);
    // A hundred a second, 40 ms each.
    assert!((1..12).contains(&broken(5)), "{}", broken(5));
    assert_eq!((0..20).map(broken).sum::<u64>(), broken(5));
}

#[test]
fn workers_are_held_by_what_they_call() {
    // Four workers, each held for 10 + 40 ms: 80 a second of 200, and 400 without the call.
    let people = "rate = \"200/s\"\npatience = \"500ms\"";
    for (calls, rate) in [("calls = { orders = {} }", 80.0), ("", 200.0)] {
        let scenario = scenario(&format!("workers = 4\n{calls}"), "", people, "");
        let (ledger, _) = run(&scenario, &off(), 1);
        let seconds = &ledger.timeline().unwrap().seconds()[1..20];
        // Whether or not anybody still waits: given up are those that the shop works on too late.
        let answered: u64 = match calls {
            "" => seconds
                .iter()
                .map(|it| ended(&it.cells[PEOPLE], Cause::Answered))
                .sum(),
            _ => seconds
                .iter()
                .map(|it| ended(&it.cells[1], Cause::Answered))
                .sum(),
        };
        check(answered as f64 / 19.0, rate, 0.05);
    }
}

#[test]
fn a_failure_passes_up_and_a_call_is_tried_as_often_as_it_may_be() {
    let errors = "[[fault]]\nkind = \"errors\"\nservice = \"orders\"\nshare = \"100%\"\nat = \"0s\"\nlasts = \"20s\"";
    let shop = "workers = 16\ncalls = { orders = { share = \"30%\", attempts = 3 } }";
    let (ledger, _) = run(&scenario(shop, "", CALM, errors), &off(), 1);
    let (people, calls) = (of(&ledger, PEOPLE), of(&ledger, 1));
    let failed = ended(&people, Cause::UpstreamStatus);
    check(failed as f64 / sum(&people.users) as f64, 0.3, 0.08);
    assert_eq!(failed, sum(&calls.users));
    assert_eq!(sum(&calls.requests), 3 * failed);
    assert_eq!(ended(&calls, Cause::UpstreamStatus), 3 * failed);
    assert_eq!(sum(&people.good), sum(&people.users) - failed);
}

#[test]
fn a_call_that_takes_too_long_is_given_up_and_the_answer_is_a_failure() {
    let freeze = "[[fault]]\nkind = \"freeze\"\nservice = \"orders\"\nat = \"0s\"\nlasts = \"20s\"";
    let shop = "workers = 64\ncalls = { orders = { share = \"100%\", timeout = \"100ms\" } }";
    let people = "rate = \"100/s\"\npatience = \"150ms\"";
    let (ledger, _) = run(&scenario(shop, "", people, freeze), &off(), 1);
    let (people, calls) = (of(&ledger, PEOPLE), of(&ledger, 1));
    let users = sum(&people.users);
    // Within the users' patience, after the calls' timeout.
    assert_eq!(ended(&people, Cause::UpstreamStatus), users);
    assert_eq!(ended(&calls, Cause::ClientGone), users);
}

#[test]
fn an_endpoint_that_is_frozen_does_not_answer_when_its_call_comes_back() {
    let freeze = "[[fault]]\nkind = \"freeze\"\nservice = \"shop\"\nat = \"5s\"\nlasts = \"1s\"";
    let shop = "workers = 300\ncalls = { orders = {} }";
    let (ledger, _) = run(&scenario(shop, "", CALM, freeze), &off(), 1);
    let seconds = ledger.timeline().unwrap().seconds();
    let answered = |sender: usize| {
        [4, 5, 6].map(|second: usize| ended(&seconds[second].cells[sender], Cause::Answered))
    };
    let [before, during, after] = answered(PEOPLE);
    assert!(
        before > 80 && during == 0 && after > 150,
        "{:?}",
        answered(PEOPLE)
    );
    // Calls that were under way did come back.
    assert!((1..10).contains(&answered(1)[1]), "{:?}", answered(1));
}

#[test]
fn a_fluid_run_refuses_calls() {
    let scenario = scenario("workers = 4\ncalls = { orders = {} }", "", CALM, "");
    let protections = [protected(), protected(), protected()];
    let refused = Fluid::new(&scenario, &protections, &[]).unwrap_err();
    assert_eq!(refused, FluidError::Calls("shop".to_owned()));
}

#[test]
fn only_who_cancels_hangs_up_on_what_it_calls() {
    let slow = "[[fault]]\nkind = \"slow\"\nservice = \"orders\"\ntimes = 100\nat = \"0s\"\nlasts = \"20s\"";
    let people = "rate = \"100/s\"\npatience = \"50ms\"";
    let under_way = |cancels: bool| {
        let shop = format!("workers = 1000\ncancels = {cancels}\ncalls = {{ orders = {{}} }}");
        let scenario = scenario(&shop, "", people, slow);
        let mut simulation = Simulation::new(&scenario, &[off(), off(), off()], 1);
        simulation.advance(Duration::from_secs(15));
        simulation.under_way()
    };
    // Five users are there at a time; each call waits as long as these, or for its timeout of a second.
    assert!(under_way(true) < 25, "{}", under_way(true));
    assert!(
        (80..140).contains(&under_way(false)),
        "{}",
        under_way(false)
    );
}
