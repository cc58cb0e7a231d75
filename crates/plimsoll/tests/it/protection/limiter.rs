//! Goal: a limit that is given holds, and one that is switched off is none.

use std::time::Duration;

use super::station::{Act, Station};
use super::*;
use crate::load::Offer;
use crate::script::Link;

const PATIENT: &str = "[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"20s\"\n";

fn station() -> Station {
    Station::start(100, Duration::from_millis(20))
}

#[test]
fn a_fixed_limit_is_never_exceeded_and_who_may_wait_is_served() {
    let service = station();
    let more =
        format!("{PATIENT}[service.app.protect]\nlimiter = 2\nqueue = {{ wait = \"15s\" }}\n");
    let (_home, plimsoll) = before(&[service.address], "", &more);
    Offer::to(plimsoll.address(), 20).run(15).assert_all_ok();
    assert_eq!(service.present_most(), 2);
    let text = settled(&plimsoll, 300);
    assert_eq!(caused(&text, "answered"), 300);
}

#[test]
fn where_nothing_may_wait_what_is_above_a_fixed_limit_is_refused_at_once() {
    let service = Station::start(100, Duration::from_millis(200));
    let more = "[service.app.protect]\nlimiter = 2\nqueue = \"0s\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let tally = Offer::to(plimsoll.address(), 20).run(15);
    assert!(
        tally.status(503) > 0 && tally.status(200) > 0,
        "{:?}",
        tally.answered
    );
    assert_eq!(tally.total(), 300, "{:?}", tally.failed);
    assert!(service.present_most() <= 2, "{}", service.present_most());
    let text = settled(&plimsoll, 300);
    assert_eq!(
        caused(&text, "shed") + caused(&text, "queue-timeout"),
        tally.status(503)
    );
}

#[test]
fn a_limiter_that_is_off_and_protections_that_are_off_limit_nothing() {
    for more in [
        "[service.app.protect]\nlimiter = \"off\"\n",
        "[service.app.protect]\nmode = \"off\"\nlimiter = 2\n",
    ] {
        let service = Station::start(100, Duration::from_millis(200));
        let (_home, plimsoll) = before(&[service.address], "", more);
        let load = Offer::to(plimsoll.address(), 40).start();
        wait_until("all are at the service", || service.present() == 40);
        load.stop().assert_all_ok();
    }
}

#[test]
fn a_refused_upload_costs_no_connection_unless_it_is_large() {
    let service = Station::start(1, Duration::from_millis(5));
    service.set(Act::Freeze);
    let more = "[service.app.protect]\nlimiter = 1\nqueue = \"0s\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let mut holds = Link::connect(plimsoll.address());
    holds.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the permit is taken", || service.present() == 1);

    let mut link = Link::connect(plimsoll.address());
    for _ in 0..3 {
        link.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
        assert_eq!(refused(&mut link), None);
        // The rest comes after the answer.
        link.send(b"56789");
    }
    link.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n01234");
    assert_eq!(refused(&mut link).as_deref(), Some("close"));
    assert_eq!(link.rest(), "");
}

#[test]
fn who_waits_at_a_service_that_a_reload_removes_still_gets_a_permit() {
    // Enough that both threads have some.
    const WAITING: usize = 12;
    let service = Station::start(1, Duration::from_millis(5));
    service.set(Act::Freeze);
    let more = "deadline = \"25s\"\n[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"20s\"\n\
                [service.app.protect]\nlimiter = 1\nqueue = \"15s\"\n";
    let (home, plimsoll) = before(&[service.address], "", more);
    let ask = || {
        let mut link = Link::connect(plimsoll.address());
        link.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        link
    };
    let mut links = vec![ask()];
    wait_until("it is at the service", || service.present() == 1);
    links.extend((0..WAITING).map(|_| ask()));
    wait_until("the others wait", || {
        metric(&metrics(&plimsoll), "plimsoll_queue_requests", &[]) as usize == WAITING
    });
    home.write(&config(&[service.address], "", more).replace("app", "other"));
    let output = home.ask(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    service.set(Act::Answer);
    for mut link in links {
        let head = link.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

/// Reads an answer that refuses; what it says of the connection.
#[track_caller]
fn refused(link: &mut Link) -> Option<String> {
    let head = link.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    let length = field(&head, "content-length").unwrap().parse().unwrap();
    assert_eq!(link.skip(length), length);
    field(&head, "connection").map(str::to_owned)
}
