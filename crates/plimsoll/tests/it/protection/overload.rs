//! Goal: a service that is asked for several times what it can carry keeps working at its capacity, and what
//! matters most gets through.

use std::time::Duration;

use super::arrivals::{Arrivals, share_good};
use super::station::Station;
use super::*;
use crate::load::Offer;

const CRITICAL: &str =
    "[[route]]\nname = \"buy\"\npath = \"/buy\"\nservice = \"app\"\nclass = \"critical\"\n";
/// Of [`station`]; timers make it a little less. Low, so that a slow machine and a debug build carry many times it.
pub(super) const CAPACITY: u32 = 100;
/// How long the limiter is given to find its limit.
pub(super) const WARM_UP: Duration = Duration::from_secs(5);
/// Within which an answer is good. Without a limit it would take many seconds; the figures for 250 ms are those of
/// `bench/overload`, on a machine of its own.
pub(super) const IN_TIME: Duration = Duration::from_secs(1);

pub(super) fn station() -> Station {
    Station::start(4, Duration::from_millis(40))
}

/// What a load saw that the machine could carry. Where Plimsoll was given no processor for so long that it had to
/// protect itself, what it did says nothing about the service's protection: once more.
pub(super) fn unstarved<T>(mut run: impl FnMut() -> (Plimsoll, T)) -> (Plimsoll, T) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..3 {
        let (plimsoll, seen) = run();
        if !plimsoll.said().contains("near its bounds") {
            return (plimsoll, seen);
        }
    }
    panic!("the machine is too slow for this load");
}

#[test]
fn at_five_times_the_capacity_critical_requests_get_through_and_each_refusal_explains_itself() {
    let (plimsoll, (service, _home, rest, critical)) = unstarved(|| {
        let service = station();
        let (home, plimsoll) = before(&[service.address], "", CRITICAL);
        let rest = Arrivals::to(plimsoll.address(), CAPACITY * 47 / 10).start();
        let mut critical = Arrivals::to(plimsoll.address(), CAPACITY * 3 / 10);
        critical.path = "/buy";
        let critical = critical.start();
        critical.wait_begun(u64::from(CAPACITY) * 3 / 10 * 9);
        let (rest, critical) = (rest.stop(), critical.stop());
        (plimsoll, (service, home, rest, critical))
    });

    let late = |it: &&arrivals::Sent| it.at > WARM_UP;
    let share = share_good(critical.iter().filter(late), IN_TIME);
    assert!(share >= 0.95, "{share} of the critical requests were good");
    let answered = rest.iter().chain(&critical).filter(late);
    let good = answered.filter(|it| it.status == 200).count();
    assert!(
        good as f64 >= 0.6 * 4.0 * f64::from(CAPACITY),
        "{good} good answers in four seconds"
    );

    let mut over_capacity = 0;
    for refused in rest.iter().chain(&critical).filter(|it| it.status != 200) {
        assert_eq!(refused.status, 503, "{}", refused.answer);
        let retry: u64 = field(&refused.answer, "retry-after")
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&retry));
        let reasons = ["over-capacity", "queue-timeout", "queue-full"];
        let said = field(&refused.answer, "plimsoll-decision").unwrap();
        let reason = reasons
            .into_iter()
            .find(|it| said.contains(&format!("; reason={it};")))
            .unwrap_or_else(|| panic!("{said}"));
        assert_explained(&refused.answer, 503, "shed", reason);
        over_capacity += u32::from(reason == "over-capacity");
    }
    assert!(over_capacity > 0, "nothing was refused");

    let all = rest.len() + critical.len();
    let text = settled(&plimsoll, all as u64);
    let answered = rest.iter().chain(&critical).filter(|it| it.status == 200);
    assert_eq!(caused(&text, "answered"), answered.count() as u64);
    assert_eq!(service.requests(), caused(&text, "answered"));

    let healthy = Offer::to(plimsoll.address(), 2).run(100);
    healthy.assert_all_ok();
}

#[test]
fn a_load_below_the_capacity_is_not_refused_from_the_first_request_on() {
    let service = station();
    let (_home, plimsoll) = before(&[service.address], "", "");
    Offer::to(plimsoll.address(), 3).run(150).assert_all_ok();
    let text = settled(&plimsoll, 450);
    assert_eq!(bad(&text), 0);
}
