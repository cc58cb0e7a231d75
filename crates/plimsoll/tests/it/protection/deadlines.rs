//! Goal: what can't be answered in time is refused at once, and a caller's own impatience counts against nobody.

use std::time::{Duration, Instant};

use super::station::{Act, Station};
use super::*;
use crate::child::Service;
use crate::load::Offer;
use crate::script::{Link, Script};

/// One request at a time, and room to wait for it.
const ONE: &str = "[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"10s\"\n\
                   [service.app.protect]\nlimiter = 1\nqueue = { wait = \"5s\" }\n";

#[test]
fn a_request_whose_deadline_passes_in_the_queue_is_refused_and_never_sent() {
    let service = Station::start(1, Duration::from_millis(300));
    let (_home, plimsoll) = before(&[service.address], TRUST, ONE);
    // What a request takes is known after a few.
    Offer::to(plimsoll.address(), 1).run(6).assert_all_ok();
    let load = Offer::to(plimsoll.address(), 2).start();
    let mut refused = 0;
    for _ in 0..10 {
        let before = service.requests();
        wait_until("the service is busy", || {
            service.present() == 1 && service.requests() > before
        });
        let (status, answer) = get_from(TRUSTED, &plimsoll, "Plimsoll-Deadline: 100\r\n");
        assert_eq!(status, 504, "{answer}");
        assert_explained(&answer, 504, "refused", "deadline");
        refused += 1;
    }
    let tally = load.stop();
    tally.assert_all_ok();
    let text = settled(&plimsoll, 6 + refused + tally.total());
    assert_eq!(caused(&text, "deadline"), refused);
    assert_eq!(service.requests(), 6 + tally.total());
}

#[test]
fn a_request_that_cannot_be_answered_in_time_is_refused_though_the_service_is_free() {
    let service = Station::start(8, Duration::from_millis(300));
    let (_home, plimsoll) = before(&[service.address], TRUST, "");
    Offer::to(plimsoll.address(), 4).run(10).assert_all_ok();
    let sent = service.requests();
    let (status, answer) = get_from(TRUSTED, &plimsoll, "Plimsoll-Deadline: 20\r\n");
    assert_eq!(status, 504, "{answer}");
    assert_explained(&answer, 504, "refused", "deadline");
    assert_eq!(service.requests(), sent, "it was not sent");
}

#[test]
fn no_time_left_is_refused_and_does_not_count_as_the_services_failure() {
    let service = Station::start(8, Duration::from_millis(5));
    let (_home, plimsoll) = before(&[service.address], TRUST, "");
    let (status, answer) = get_from(TRUSTED, &plimsoll, "Plimsoll-Deadline: 0\r\n");
    assert_eq!(status, 504, "{answer}");
    assert_explained(&answer, 504, "refused", "deadline");
    let text = settled(&plimsoll, 1);
    assert_eq!(caused(&text, "timeout"), 0, "the service was not at fault");
    assert_eq!(service.requests(), 0, "it was not sent");
}

#[test]
fn a_service_that_does_not_answer_by_the_callers_deadline_times_out() {
    let service = Station::start(1, Duration::from_millis(5));
    service.set(Act::Freeze);
    let (_home, plimsoll) = before(&[service.address], TRUST, "");
    let (status, answer) = get_from(TRUSTED, &plimsoll, "Plimsoll-Deadline: 200\r\n");
    assert_eq!(status, 504, "{answer}");
    let text = settled(&plimsoll, 1);
    assert_eq!(caused(&text, "timeout"), 1);
    wait_until("the work for it is cancelled", || service.present() == 0);
}

#[test]
fn a_strangers_short_grpc_timeout_counts_as_gone_and_not_as_bad() {
    let service = Service::start();
    let more = "[defaults]\nprotocol = \"http1\"\n";
    let (_home, plimsoll) = before(&[service.address], TRUST, more);
    let fields = "Content-Type: application/grpc\r\ngrpc-timeout: 20m\r\n";
    let ask = |from| ask_from(from, plimsoll.address(), "POST", "/delay/2000", fields, "").0;
    // What is usual: a fifth of a second.
    assert_eq!(
        ask_from(STRANGER, plimsoll.address(), "GET", "/delay/200", "", "").0,
        200
    );
    assert_eq!(ask(STRANGER), 504);
    let text = settled(&plimsoll, 2);
    assert_eq!(caused(&text, "client-gone"), 1);
    assert_eq!(bad(&text), 0);
    // Who is trusted vouches for it.
    assert_eq!(ask(TRUSTED), 504);
    let text = settled(&plimsoll, 3);
    assert_eq!(bad(&text), 1);
}

#[test]
fn a_service_that_hangs_does_not_hide_behind_its_callers_timeouts() {
    let service = Service::start();
    let more = "[defaults]\nprotocol = \"http1\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let fields = "Content-Type: application/grpc\r\ngrpc-timeout: 900m\r\n";
    let ask = |path, fields| ask_from(STRANGER, plimsoll.address(), "POST", path, fields, "").0;
    assert_eq!(ask("/", ""), 200);
    assert_eq!(ask("/delay/5000", fields), 504);
    let text = settled(&plimsoll, 2);
    assert_eq!(caused(&text, "timeout"), 1);
    assert_eq!(bad(&text), 1);
}

#[test]
fn a_strangers_impatience_is_not_held_against_the_endpoint() {
    // More than the failures in a row that open the breaker.
    const CALLS: u64 = 30;
    let services = [Service::start(), Service::start()];
    let endpoints = services.each_ref().map(|it| it.address);
    let more = "[[route]]\npath = \"/delay/200\"\nservice = \"app\"\n[defaults]\nprotocol = \"http1\"\nbalance = { kind = \"consistent-hash\", by = { header = \"x-key\" } }\n";
    let (_home, plimsoll) = before(&endpoints, "", more);
    let ask = |method, path: &str, fields: &str| {
        let fields = format!("X-Key: a\r\n{fields}");
        ask_from(STRANGER, plimsoll.address(), method, path, &fields, "").0
    };
    // What is usual for the service. Of the other route nothing is known: its calls are not refused as hopeless.
    for _ in 0..3 {
        assert_eq!(ask("GET", "/delay/200", ""), 200);
    }
    let asked = || services.iter().map(Service::requests).sum::<u64>();
    let warm = asked();
    let impatient = "Content-Type: application/grpc\r\ngrpc-timeout: 50m\r\n";
    for _ in 0..CALLS {
        assert_eq!(ask("POST", "/delay/2000", impatient), 504);
        let up = metric(&metrics(&plimsoll), "plimsoll_endpoint_up", &[]);
        assert_eq!(up, 2.0);
    }
    assert_eq!(asked() - warm, CALLS, "all were sent");
    let text = settled(&plimsoll, warm + CALLS);
    assert_eq!(caused(&text, "client-gone"), CALLS);
    assert_eq!(bad(&text), 0);
}

/// What is broken off is tried again, whatever the budget.
const ON_RESET: &str =
    "[service.app.protect.retry]\non = [\"connect\", \"reset\"]\nattempts = 2\nfloor = \"100/s\"\n";

#[test]
fn a_body_that_is_sent_again_gets_no_time_beyond_its_callers_deadline() {
    let service = Script::start(|number, link| {
        if link.head().is_some() && link.take(5) == b"hello" {
            if number == 0 {
                std::thread::sleep(Duration::from_millis(1_500));
            } else {
                // Until the other side has enough.
                link.rest();
            }
        }
    });
    let (_home, plimsoll) = before(&[service.address], TRUST, ON_RESET);
    let fields = "Plimsoll-Deadline: 2000\r\nContent-Length: 5\r\n";
    let asked = Instant::now();
    let (status, answer) = ask_from(TRUSTED, plimsoll.address(), "PUT", "/", fields, "hello");
    assert_eq!(status, 504, "{answer}");
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(service.heads().len(), 2, "it was tried again");
}

#[test]
fn a_body_that_took_longer_than_the_deadline_can_still_be_sent_again() {
    let service = Script::start(|number, link| {
        if link.head().is_some() && link.take(8).len() == 8 && number > 0 {
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            link.rest();
        }
    });
    let more = format!("deadline = \"1s\"\n{ON_RESET}");
    let (_home, plimsoll) = before(&[service.address], "", &more);
    let mut link = Link::connect(plimsoll.address());
    link.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for piece in [b"ab", b"cd", b"ef", b"gh"] {
        std::thread::sleep(Duration::from_millis(400));
        link.send(piece);
    }
    let head = link.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(service.heads().len(), 2);
}
