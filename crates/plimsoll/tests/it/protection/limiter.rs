//! Goal: a limit that is given holds, and one that is switched off is none.

use std::time::Duration;

use super::station::Station;
use super::*;
use crate::load::Offer;

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
