//! Goal: what only observes refuses nothing, and counts what it would have refused.

use std::time::Duration;

use serde_json::Value;

use super::arrivals::{Arrivals, Sent};
use super::overload::{CAPACITY, station};
use super::station::{Act, Station};
use super::*;
use crate::script::Script;

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

#[test]
fn an_endpoint_that_would_be_taken_out_is_counted_with_what_failed_there_meanwhile() {
    let stations = [(); 3].map(|()| Station::start(100, Duration::from_millis(5)));
    let endpoints = stations.each_ref().map(|it| it.address);
    // In turn: by load, the one that fails would hardly be asked, and nothing would be saved.
    let more = "[service.app.protect]\nbreaker = \"observe\"\nejection = \"observe\"\n\
                [defaults]\nbalance = \"round-robin\"\n";
    let (home, plimsoll) = before(&endpoints, "", more);
    let load = Arrivals::to(plimsoll.address(), 150).start();
    wait_until("each has answered", || {
        stations.iter().all(|it| it.requests() > 50)
    });
    stations[0].set(Act::Fail);
    let ejected = || -> Vec<(u64, u64)> {
        let status: Value =
            serde_json::from_slice(&home.ask(&["status", "--json"]).stdout).unwrap();
        let would = status["services"][0]["protection"]["would"]
            .as_array()
            .unwrap()
            .clone();
        let ejected = would.iter().filter(|it| it["outcome"] == "ejected");
        ejected
            .map(|it| (it["count"].as_u64().unwrap(), it["saved"].as_u64().unwrap()))
            .collect()
    };
    wait_until("it would have been taken out", || {
        ejected()
            .iter()
            .any(|(count, saved)| *count > 0 && *saved > 0)
    });
    let text = String::from_utf8(home.ask(&["status", "--would"]).stdout).unwrap();
    assert!(
        text.contains("ejected") && text.contains("saving"),
        "{text}"
    );
    let up = metric(&metrics(&plimsoll), "plimsoll_endpoint_up", &[]);
    assert_eq!(up, 3.0, "it only observes");
    load.stop();
}

#[test]
fn retries_that_would_be_made_are_counted_within_their_budget() {
    let service = Script::answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let more = "[service.app.protect]\nretry = { on = [\"502\"], floor = \"1/s\" }\n";
    let home = Home::new();
    home.write(&config(&[service.address], "", more));
    let plimsoll = home.run(&["--observe"]);
    let requests = 200;
    for _ in 0..requests {
        assert_eq!(get(plimsoll.address(), "/").0, 502);
    }
    assert_eq!(service.heads().len(), requests, "none was made");
    let would = || {
        protected(
            &metrics(&plimsoll),
            &["policy=\"retry\"", "mode=\"observe\""],
        )
    };
    wait_until("it is counted", || would().is_some_and(|count| count > 0));
    // A tenth, and what the floor grants meanwhile and at the start.
    let would = would().unwrap();
    assert!(would <= 100, "{would} of {requests}");
}
