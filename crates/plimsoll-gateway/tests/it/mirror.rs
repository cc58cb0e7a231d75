//! Copies of requests for another version of a service: what is copied, and that nobody notices.

use std::time::Duration;

use plimsoll_policy::rollout::{ArmCounts, Weight};

use crate::running::{Running, Service, wait_until};

fn mirror(stable: &Service, canary: &Service, rollout: &str) -> Running {
    let rollout = format!("kind = \"mirror\"\nby = \"request\"\n{rollout}");
    let running = Running::start(&[stable], &[canary], ["", "", &rollout]);
    running.rollout().set_weight(Weight::of_parts(10_000));
    running
}

fn canary(running: &Running) -> ArmCounts {
    running.rollout().counts().total().canary
}

#[test]
fn a_copy_is_what_was_asked_and_says_that_it_is_one() {
    let (stable, copied) = (Service::start("stable"), Service::start("copied"));
    let running = mirror(&stable, &copied, "");
    let answer = running.get("Authorization: Bearer a\r\nPlimsoll-Mirror: ?0\r\n");
    assert_eq!(answer.body, "stable");
    wait_until("the copy has come", || canary(&running).requests == 1);
    let (asked, copy) = (&stable.seen()[0], &copied.seen()[0]);
    assert!(copy.starts_with("GET /a HTTP/1.1\r\n"), "{copy}");
    assert!(copy.contains("Authorization: Bearer a\r\n"), "{copy}");
    assert_eq!(copy.matches("Plimsoll-Mirror").count(), 1, "{copy}");
    assert!(copy.contains("Plimsoll-Mirror: ?1\r\n"), "{copy}");
    assert!(!asked.contains("Plimsoll-Mirror"), "{asked}");
    let counts = running.rollout().counts();
    assert_eq!((counts.copies, counts.left_out), (1, 0));
    assert_eq!(counts.total().stable.requests, 1);
}

#[test]
fn what_a_copy_comes_to_is_counted_and_no_client_sees_it() {
    let (stable, copied) = (Service::start("stable"), Service::start("copied"));
    let running = mirror(&stable, &copied, "");
    copied.answer_with(500);
    for _ in 0..5 {
        assert_eq!(running.get("").status, 200);
    }
    wait_until("the copies are judged", || canary(&running).requests == 5);
    assert_eq!(canary(&running).bad, 5);
    assert_eq!(running.ended(plimsoll_measure::Cause::Answered), 5);
    assert_eq!(running.ended(plimsoll_measure::Cause::UpstreamStatus), 0);
}

#[test]
fn copies_that_hang_delay_nothing_and_are_bounded() {
    let (stable, copied) = (Service::start("stable"), Service::start("copied"));
    let running = mirror(&stable, &copied, "");
    copied.hang();
    for _ in 0..100 {
        assert_eq!(running.get("").status, 200);
    }
    let counts = running.rollout().counts();
    assert_eq!((counts.copies, counts.left_out), (64, 36));
    assert_eq!(counts.total().stable.requests, 100);
}

#[test]
fn what_would_change_something_is_copied_only_if_asked_for_and_if_it_is_short() {
    let (stable, copied) = (Service::start("stable"), Service::start("copied"));
    let running = mirror(&stable, &copied, "");
    assert_eq!(running.ask("POST", "", "pay").status, 200);
    assert_eq!(running.get("").status, 200);
    wait_until("the other is copied", || copied.count() == 1);
    assert!(copied.seen()[0].starts_with("GET "));
    assert_eq!(
        running.rollout().counts().total().stable.requests,
        1,
        "like with like"
    );
    drop(running);

    let (stable, copied) = (Service::start("stable"), Service::start("copied"));
    let running = mirror(&stable, &copied, "mirror_unsafe = true");
    let long = "x".repeat(70_000);
    assert_eq!(running.ask("POST", "", &long).status, 200);
    assert_eq!(running.rollout().counts().left_out, 1);
    assert_eq!(running.ask("POST", "", "pay").status, 200);
    wait_until("it is copied", || canary(&running).requests == 1);
    assert_eq!(copied.count(), 1);
    let copy = &copied.seen()[0];
    assert!(
        copy.starts_with("POST ") && copy.ends_with("\r\n\r\npay"),
        "{copy}"
    );
    assert!(stable.seen()[1].ends_with("\r\n\r\npay"));
}

#[test]
fn a_copy_that_nobody_takes_is_no_failure_of_the_request() {
    let stable = Service::start("stable");
    let mut gone = Service::start("gone");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    gone.port = listener.local_addr().unwrap().port();
    drop(listener);
    let running = mirror(&stable, &gone, "");
    assert_eq!(running.get("").status, 200);
    wait_until("it is known", || canary(&running).bad == 1);
    // Copies come after, and are no reason to wait.
    stable.answer_after(Duration::from_millis(1));
    assert_eq!(running.get("").body, "stable");
}
