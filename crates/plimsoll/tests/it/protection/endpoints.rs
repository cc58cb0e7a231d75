//! Goal: an endpoint that fails, or falls silent, loses its requests within seconds and gets them back; a service's
//! only endpoint never does.

use std::time::{Duration, Instant};

use super::arrivals::{Arrivals, Sent};
use super::station::{Act, Station};
use super::*;
use crate::load::Offer;

/// Requests per second.
const RATE: u32 = 150;
const DEADLINE: &str = "deadline = \"15s\"\n";

fn three(millis: u64) -> [Station; 3] {
    [(); 3].map(|()| Station::start(100, Duration::from_millis(millis)))
}

/// Whether an endpoint gets requests, as far as is said.
fn is_up(plimsoll: &Plimsoll, station: &Station) -> bool {
    let endpoint = format!("endpoint=\"http://{}\"", station.address);
    let text = metrics(plimsoll);
    assert!(text.contains(&endpoint), "{text}");
    metric(&text, "plimsoll_endpoint_up", &[&endpoint]) > 0.0
}

#[test]
fn an_endpoint_that_fails_at_once_loses_its_requests() {
    let stations = three(5);
    let endpoints = stations.each_ref().map(|it| it.address);
    let (_home, plimsoll) = before(&endpoints, "", DEADLINE);
    let load = Arrivals::to(plimsoll.address(), RATE).start();
    wait_until("each has answered", || {
        stations.iter().all(|it| it.requests() > 50)
    });

    // Whether the balancing avoids it or it is taken out: it gets next to nothing after a while.
    stations[0].set(Act::Fail);
    let failing_from = load.begun();
    load.wait_begun(failing_from + 3 * u64::from(RATE));
    let seen = stations[0].requests();
    load.wait_begun(failing_from + 6 * u64::from(RATE));
    let after = stations[0].requests() - seen;
    assert!(
        after * 10 <= 3 * u64::from(RATE),
        "{after} of {} requests still went to it",
        3 * RATE
    );
    for it in load.stop() {
        assert!([200, 500].contains(&it.status), "{}", it.answer);
    }
}

#[test]
fn an_endpoint_that_falls_silent_loses_its_requests() {
    // Long enough that several are there at once: it takes three that hang.
    let stations = three(60);
    let endpoints = stations.each_ref().map(|it| it.address);
    let (_home, plimsoll) = before(&endpoints, "", DEADLINE);
    let load = Arrivals::to(plimsoll.address(), RATE).start();
    // What is usual is known of what is more than ten seconds old.
    load.wait_begun(u64::from(RATE) * 13);

    stations[0].set(Act::Freeze);
    let began = Instant::now();
    // Out, once three hang; suspect, and sent one at a time, if fewer did when that was noticed.
    let mut mark = (load.begun(), stations[0].requests());
    wait_until("it gets no more", || {
        let (begun, seen) = (load.begun(), stations[0].requests());
        let second = begun - mark.0 >= u64::from(RATE);
        let quiet = second && seen - mark.1 <= 2;
        if second {
            mark = (begun, seen);
        }
        quiet || !is_up(&plimsoll, &stations[0])
    });
    let out_after = began.elapsed();
    let (out_from, seen) = (load.begun(), stations[0].requests());
    load.wait_begun(out_from + 3 * u64::from(RATE));
    let while_out = stations[0].requests() - seen;
    stations[0].set(Act::Answer);

    let mut sent = load.stop();
    sent.sort_by_key(|it| it.at);
    let after = &sent[out_from as usize..];
    let is_held = |it: &&Sent| it.status != 200 || it.took > Duration::from_secs(2);
    let held = after.iter().filter(is_held).count();
    // What hung there until it was noticed, and those that looked whether it was well again.
    let all = sent.iter().filter(is_held).count();
    assert!(all <= 40, "{all} of {} were held or refused", sent.len());
    assert!(out_after < Duration::from_secs(8), "{out_after:?}");
    assert!(while_out <= 10, "{while_out} requests while it was out");
    assert!(
        held * 50 <= after.len(),
        "{held} of {} were held or refused after it was out",
        after.len()
    );
}

#[test]
fn an_endpoint_that_is_well_again_gets_its_requests_back() {
    std::thread::scope(|scope| {
        for (act, millis) in [(Act::Fail, 5), (Act::Freeze, 60)] {
            scope.spawn(move || gets_its_requests_back(act, millis));
        }
    });
}

fn gets_its_requests_back(act: Act, millis: u64) {
    let stations = three(millis);
    let endpoints = stations.each_ref().map(|it| it.address);
    let (_home, plimsoll) = before(&endpoints, "", DEADLINE);
    let load = Arrivals::to(plimsoll.address(), RATE).start();
    load.wait_begun(u64::from(RATE) * 13);
    stations[0].set(act);
    load.wait_begun(u64::from(RATE) * 19);
    stations[0].set(Act::Answer);
    load.wait_begun(u64::from(RATE) * 29);
    let seen = stations[0].requests();
    load.wait_begun(u64::from(RATE) * 31);
    let back = stations[0].requests() - seen;
    load.stop();
    // A third would be 100.
    assert!(
        back >= 30,
        "{act:?}: {back} of {} requests, ten seconds after it was well again",
        2 * RATE
    );
}

#[test]
fn the_only_endpoint_is_never_taken_out() {
    let station = Station::start(100, Duration::from_millis(5));
    let (_home, plimsoll) = before(&[station.address], "", DEADLINE);
    station.set(Act::Fail);
    let tally = Offer::to(plimsoll.address(), 4).run(100);
    assert_eq!(
        tally.status(500),
        400,
        "{:?} {:?}",
        tally.answered,
        tally.failed
    );
    assert_eq!(station.requests(), 400, "each was sent");
    station.set(Act::Answer);
    Offer::to(plimsoll.address(), 4).run(25).assert_all_ok();
}
