//! Goal: what can't be answered in time is refused at once, and a caller's own impatience counts against nobody.

use std::time::Duration;

use super::station::{Act, Station};
use super::*;
use crate::child::Service;
use crate::load::Offer;

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
    let ask = |from| ask_from(from, plimsoll.address(), "GET", "/delay/2000", fields, "").0;
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
    let ask = |path, fields| ask_from(STRANGER, plimsoll.address(), "GET", path, fields, "").0;
    assert_eq!(ask("/", ""), 200);
    assert_eq!(ask("/delay/5000", fields), 504);
    let text = settled(&plimsoll, 2);
    assert_eq!(caused(&text, "timeout"), 1);
    assert_eq!(bad(&text), 1);
}
