//! Goal: what a service may hold open or waiting is bounded, and what is above the bound says so.

use std::time::Duration;

use super::station::{Act, Station};
use super::*;
use crate::script::{Link, Script};

#[test]
fn the_third_of_two_event_streams_is_refused_until_one_ends() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            if head.starts_with("GET /plain") {
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata:\n\r\n");
            // Open until the other side closes.
            link.rest();
        }
    });
    let more = "[service.app.protect]\nbulkhead = { streams_max = 2 }\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let open = || {
        let mut link = Link::connect(plimsoll.address());
        link.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = link.head().unwrap();
        (head, link)
    };
    let (first, one) = open();
    let (second, mut two) = open();
    for head in [&first, &second] {
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    assert!(two.until(b"data:\n").is_some(), "it flows");
    let (status, answer) = get(plimsoll.address(), "/events");
    assert_eq!(status, 503, "{answer}");
    assert_explained(&answer, 503, "refused", "bulkhead");
    assert_eq!(
        get(plimsoll.address(), "/plain").0,
        200,
        "other requests are served"
    );
    wait_until("it is counted", || {
        caused(&metrics(&plimsoll), "bulkhead") == 1
    });

    drop(one);
    wait_until("there is room for another", || {
        open().0.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn a_connection_that_idles_on_one_thread_makes_room_for_one_of_another() {
    const REQUESTS: usize = 40;
    let services =
        [(); 2].map(|()| Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let more = "[service.app.protect]\nbulkhead = { connections_max = 1 }\n";
    let endpoints = services.each_ref().map(|it| it.address);
    let (_home, plimsoll) = before(&endpoints, "", more);
    // Each comes to either of two threads, and goes to either of two endpoints.
    let answered = (0..REQUESTS).filter(|_| get(plimsoll.address(), "/").0 == 200);
    let answered = answered.count();
    // Where the machine is too busy for the other thread to act within milliseconds, one may be refused.
    assert!(answered >= REQUESTS - 4, "{answered} of {REQUESTS}");
}

#[test]
fn as_many_requests_wait_as_may() {
    let service = Station::start(1, Duration::from_millis(5));
    service.set(Act::Freeze);
    let more = "deadline = \"10s\"\n[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"20s\"\n\
                [service.app.protect]\nlimiter = 1\nqueue = \"15s\"\nbulkhead = { pending_max = 1 }\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let ask = || {
        let mut link = Link::connect(plimsoll.address());
        link.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        link
    };
    let _held = ask();
    wait_until("it is at the service", || service.present() == 1);
    // Of several at once, one waits; the others need not.
    let links: Vec<_> = (0..4).map(|_| ask()).collect();
    wait_until("three are refused", || {
        caused(&metrics(&plimsoll), "bulkhead") == 3
    });
    assert_eq!(service.requests(), 1, "the fourth waits");
    drop(links);
    wait_until("it went", || {
        caused(&metrics(&plimsoll), "client-gone") == 1
    });
}
