//! Goal: what only observes refuses nothing, and counts what it would have refused.

use std::time::Duration;

use super::arrivals::{Arrivals, Sent};
use super::overload::{CAPACITY, station};
use super::*;

/// Offers twice the capacity for three seconds. The service works off what is left.
fn overload(plimsoll: &Plimsoll) -> Vec<Sent> {
    let load = Arrivals::to(plimsoll.address(), CAPACITY * 2).start();
    load.wait_begun(u64::from(CAPACITY) * 2 * 3);
    load.stop()
}

#[track_caller]
fn assert_nothing_is_refused(plimsoll: &Plimsoll, sent: &[Sent]) -> String {
    for it in sent {
        assert_eq!(it.status, 200, "{}", it.answer);
    }
    let text = settled(plimsoll, sent.len() as u64);
    assert_eq!(caused(&text, "answered"), sent.len() as u64);
    // Or it was no overload.
    assert!(sent.iter().any(|it| it.took > Duration::from_millis(500)));
    text
}

#[test]
fn a_plimsoll_that_observes_refuses_nothing_and_counts_what_it_would_have() {
    let service = station();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&["--observe"]);
    let sent = overload(&plimsoll);
    assert_nothing_is_refused(&plimsoll, &sent);
    wait_until("it is counted", || {
        protected(&metrics(&plimsoll), &["mode=\"observe\""]).is_none_or(|count| count > 0)
    });
}

#[test]
fn a_limiter_that_observes_refuses_nothing() {
    let service = station();
    let more = "[service.app.protect]\nlimiter = { mode = \"observe\" }\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let sent = overload(&plimsoll);
    assert_nothing_is_refused(&plimsoll, &sent);
}

#[test]
fn protections_that_are_off_do_and_count_nothing() {
    let service = station();
    let more = "[service.app.protect]\nmode = \"off\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let sent = overload(&plimsoll);
    let text = assert_nothing_is_refused(&plimsoll, &sent);
    assert_eq!(protected(&text, &["mode=\"observe\""]).unwrap_or(0), 0);
}
