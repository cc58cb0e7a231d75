//! How requests are moved to another version of a service: which, how fast, and what is counted.

use std::collections::BTreeSet;
use std::time::Duration;

use plimsoll_measure::Cause;
use plimsoll_policy::rollout::{ArmCounts, Weight};

use crate::running::{Running, Service, wait_until};

const BY_USER: &str = "by = { header = \"x-user\" }";

/// Which of so many users get the new version.
fn moved(running: &Running, users: u32) -> BTreeSet<u32> {
    let is_moved = |user: &u32| {
        let answer = running.get(&format!("X-User: {user}\r\n"));
        assert_eq!(answer.status, 200);
        answer.body == "canary"
    };
    (0..users).filter(is_moved).collect()
}

fn counts(running: &Running) -> (ArmCounts, ArmCounts) {
    let total = running.rollout().counts().total();
    (total.stable, total.canary)
}

#[test]
fn a_weight_acts_on_all_threads_at_once_and_whoever_is_moved_stays_moved() {
    let (stable, canary) = (Service::start("stable"), Service::start("canary"));
    let running = Running::start(&[&stable], &[&canary], ["", "", BY_USER]);
    assert!(moved(&running, 50).is_empty(), "it has not begun");
    running.rollout().set_weight(Weight::of_parts(2_000));
    let few = moved(&running, 200);
    assert!((15..70).contains(&few.len()), "{few:?}");
    assert_eq!(moved(&running, 200), few, "each gets the same again");
    running.rollout().set_weight(Weight::of_parts(6_000));
    let many = moved(&running, 200);
    assert!((80..160).contains(&many.len()), "{many:?}");
    assert!(many.is_superset(&few));
    running.rollout().set_weight(Weight::of_parts(10_000));
    assert_eq!(moved(&running, 50).len(), 50);
    running.rollout().set_weight(Weight::of_parts(0));
    assert!(
        moved(&running, 50).is_empty(),
        "back, with the next request"
    );
    let (at_stable, at_canary) = counts(&running);
    assert_eq!(at_stable.requests as usize, stable.count());
    assert_eq!(at_canary.requests as usize, canary.count());
    assert_eq!((at_stable.bad, at_canary.bad), (0, 0));
}

#[test]
fn who_chooses_the_version_gets_it_and_is_no_evidence() {
    let (stable, canary) = (Service::start("stable"), Service::start("canary"));
    let header = "header = { name = \"x-canary\", value = \"1\" }";
    let running = Running::start(&[&stable], &[&canary], ["", "", header]);
    canary.answer_with(500);
    assert_eq!(running.get("X-Canary: 1\r\n").body, "canary");
    assert_eq!(running.get("X-Canary: 2\r\n").body, "stable");
    let counts = running.rollout().counts();
    assert_eq!((counts.chosen, counts.bad_clients), (1, 0));
    assert_eq!(counts.total().canary, ArmCounts::default());
    assert_eq!(counts.total().stable.requests, 1);
}

#[test]
fn a_retry_stays_with_the_version_and_does_not_hide_what_the_first_attempt_came_to() {
    let stable = Service::start("stable");
    let (good, bad) = (Service::start("canary"), Service::start("bad"));
    bad.answer_with(502);
    let app = "protect.retry = { mode = \"enforce\", on = [\"502\"], attempts = 2, budget = \"100%\", floor = \"1000/s\" }";
    let running = Running::start(&[&stable], &[&good, &bad], [app, "", BY_USER]);
    running.rollout().set_weight(Weight::of_parts(10_000));
    for user in 0..40 {
        let answer = running.get(&format!("X-User: {user}\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "canary"));
    }
    assert_eq!(stable.count(), 0);
    assert!(bad.count() > 0, "it is asked in turn");
    let (_, canary) = counts(&running);
    assert_eq!((canary.requests, canary.bad), (40, bad.count() as u64));
    assert_eq!(
        running.ended(Cause::Answered),
        40,
        "no client saw any of it"
    );
}

#[test]
fn where_the_version_has_nobody_left_the_service_itself_is_asked() {
    let stable = Service::start("stable");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let app = "protect.retry = { budget = \"100%\", floor = \"1000/s\" }";
    let mut lost = Service::start("lost");
    lost.port = gone.local_addr().unwrap().port();
    drop(gone);
    let running = Running::start(&[&stable], &[&lost], [app, "", BY_USER]);
    running.rollout().set_weight(Weight::of_parts(10_000));
    for user in 0..20 {
        let answer = running.get(&format!("X-User: {user}\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "stable"));
    }
    // Nobody was hurt, and yet it is known.
    let (at_stable, at_canary) = counts(&running);
    assert_eq!((at_canary.requests, at_canary.bad), (20, 20));
    assert_eq!(at_stable.requests, 0, "it was not the first choice");
}

#[test]
fn while_the_version_is_down_its_users_are_served_and_are_evidence_for_neither() {
    let (stable, canary) = (Service::start("stable"), Service::start("canary"));
    let running = Running::start(&[&stable], &[&canary], ["", "", BY_USER]);
    running.rollout().set_weight(Weight::ALL);
    running.set_canary_up(false);
    for user in 0..10 {
        let answer = running.get(&format!("X-User: {user}\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (200, "stable"));
    }
    let counted = running.rollout().counts();
    assert_eq!((counted.instead, canary.count()), (10, 0));
    assert_eq!(counts(&running), Default::default());
    running.set_canary_up(true);
    assert_eq!(running.get("").body, "canary");
    assert_eq!(counts(&running).1.requests, 1);
}

#[test]
fn a_second_attempt_beside_the_first_is_at_the_same_version_or_not_made() {
    let app = "protect.hedge = { mode = \"enforce\", after = \"20ms\", budget = \"100%\" }";
    let stable = Service::start("stable");
    let (slow, quick) = (Service::start("slow"), Service::start("quick"));
    slow.answer_after(Duration::from_millis(300));
    let running = Running::start(&[&stable], &[&slow], [app, "", ""]);
    running.rollout().set_weight(Weight::ALL);
    assert_eq!(running.get("").body, "slow");
    assert_eq!(stable.count(), 0, "it has no other endpoint");
    drop(running);
    let running = Running::start(&[&stable], &[&slow, &quick], [app, "", ""]);
    running.rollout().set_weight(Weight::ALL);
    wait_until("a hedge has won", || {
        let before = slow.count();
        running.get("").body == "quick" && slow.count() > before
    });
    assert_eq!(stable.count(), 0);
    let (at_stable, at_canary) = counts(&running);
    assert_eq!((at_stable.requests, at_canary.bad), (0, 0));
}

#[test]
fn bad_and_slow_answers_are_counted_by_arm_and_route() {
    let (stable, canary) = (Service::start("stable"), Service::start("canary"));
    let app = "objective.latency = { target = \"99%\", below = \"50ms\" }";
    let running = Running::start(&[&stable], &[&canary], [app, "", BY_USER]);
    let rollout = running.rollout();
    let edges = [0, 20, 60, 5_000, 6_000, 7_000];
    rollout.set_edges(&edges.map(Duration::from_millis));
    rollout.set_weight(Weight::of_parts(10_000));
    canary.answer_after(Duration::from_millis(100));
    for user in 0..3 {
        assert_eq!(running.get(&format!("X-User: {user}\r\n")).status, 200);
    }
    canary.answer_after(Duration::ZERO);
    canary.answer_with(503);
    for user in 0..4 {
        assert_eq!(running.get(&format!("X-User: {user}\r\n")).status, 503);
    }
    canary.answer_with(404);
    assert_eq!(running.get("X-User: 1\r\n").status, 404);
    let counts = rollout.counts();
    let [route] = &counts.routes[..] else {
        panic!("{counts:?}");
    };
    assert_eq!(route.route, "all");
    assert_eq!((route.arms.canary.requests, route.arms.canary.bad), (8, 4));
    assert!((3..=4).contains(&route.arms.canary.slow), "{counts:?}");
    let slower = route.arms.canary.slower;
    assert_eq!((slower[0], slower[3]), (4, 0), "none of the bad ones");
    assert!(
        (3..=4).contains(&slower[1]) && (3..=4).contains(&slower[2]),
        "{slower:?}"
    );
    assert_eq!(counts.bad_clients, 1);
}

#[test]
fn what_a_version_on_trial_answers_is_not_given_to_others() {
    let fields = "Cache-Control: max-age=600\r\n";
    let stable = Service::with_fields("stable", fields);
    let canary = Service::with_fields("canary", fields);
    let running = Running::start(
        &[&stable],
        &[&canary],
        ["", "cache = {}", "by = \"request\""],
    );
    running.rollout().set_weight(Weight::of_parts(9_999));
    for _ in 0..3 {
        assert_eq!(running.get("").body, "canary");
    }
    assert_eq!(canary.count(), 3, "none of them was stored");
    running.rollout().set_weight(Weight::of_parts(0));
    assert_eq!(running.get("").body, "stable");
    running.rollout().set_weight(Weight::of_parts(9_999));
    // What is stored is the service's, and good for all.
    assert_eq!(running.get("").body, "stable");
    assert_eq!((stable.count(), canary.count()), (1, 3));
}

#[test]
fn once_all_is_moved_what_the_version_answers_is_stored() {
    let fields = "Cache-Control: max-age=600\r\n";
    let stable = Service::with_fields("stable", fields);
    let canary = Service::with_fields("canary", fields);
    let running = Running::start(&[&stable], &[&canary], ["", "cache = {}", ""]);
    running.rollout().set_weight(Weight::of_parts(10_000));
    wait_until("it is stored", || {
        assert_eq!(running.get("").body, "canary");
        running.ended(Cause::Cached) > 0
    });
    assert_eq!(stable.count(), 0);
}
