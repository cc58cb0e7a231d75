//! Goal: what burns a budget is said within seconds, with its evidence; retries end where the governor may end them,
//! and go on where it only observes. What is optional is left out where answers are late.
//!
//! Method: a service that fails a known share of its requests, and clients that don't stop asking.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::child::{Home, Plimsoll, config, get, metric, wait_until};
use crate::load::Offer;
use crate::script::{Link, Script};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n";

/// Fails two of five.
pub(crate) fn failing() -> Script {
    let number = AtomicU64::new(0);
    Script::start(move |_, link: &mut Link| {
        while link.head().is_some() {
            #[expect(clippy::disallowed_methods, reason = "a service takes its time")]
            std::thread::sleep(Duration::from_millis(5));
            let number = number.fetch_add(1, Ordering::SeqCst);
            link.send(if number % 5 < 2 { BAD_GATEWAY } else { OK });
        }
    })
}

fn governed(services: &[Script; 2], mode: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    let more = format!(
        "[service.app.protect]\nretry = {{ on = [\"502\"], attempts = 2, budget = \"100%\" }}\n\
         breaker = {{ mode = \"off\" }}\nejection = {{ mode = \"off\" }}\n\
         [service.app.objective.availability]\ntarget = \"99%\"\n{mode}"
    );
    let addresses = services.each_ref().map(|it| it.address);
    home.write(&config(&addresses, "", &more));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

fn step(plimsoll: &Plimsoll, mode: &str) -> f64 {
    let text = get(plimsoll.ops(), "/metrics").1;
    let mode = format!("mode=\"{mode}\"");
    metric(
        &text,
        "plimsoll_governor_step",
        &["actuator=\"retry\"", &mode],
    )
}

fn retries(plimsoll: &Plimsoll) -> f64 {
    let text = get(plimsoll.ops(), "/metrics").1;
    let labels = [
        "policy=\"retry\"",
        "outcome=\"retried\"",
        "mode=\"enforce\"",
    ];
    metric(&text, "plimsoll_protection_total", &labels)
}

#[test]
fn retries_end_where_a_burn_is_to_be_stopped() {
    let services = [failing(), failing()];
    let (home, plimsoll) = governed(&services, "[governor]\nmode = \"enforce\"\n");
    let load = Offer::to(plimsoll.address(), 4).start();
    wait_until("the service is severe", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_condition", &["condition=\"severe\""]) == 1.0
    });
    wait_until("retries are off", || step(&plimsoll, "enforce") == 1.0);
    let before = retries(&plimsoll);
    let answered = load.answered();
    wait_until("more came", || load.answered() > answered + 200);
    // One that had been decided may still have been counted.
    assert!(retries(&plimsoll) <= before + 2.0);
    let status = home.ask(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    for text in [
        "severe for",
        "moved: no retries",
        "no retries: ",
        "availability",
    ] {
        assert!(status.contains(text), "{text:?} is not in\n{status}");
    }
    wait_until("what came of it is journaled", || {
        !journaled(&home, "outcome").is_empty()
    });
    let [decisions, outcomes] = ["decision", "outcome"].map(|kind| journaled(&home, kind));
    let [outcome, ..] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    let decision = decisions
        .iter()
        .find(|it| it["sequence"] == outcome["cites"]);
    let decision = &decision.expect("it cites a decision")["data"]["decision"];
    assert_eq!(decision["actuator"], "retry", "{decision}");
    let before = &outcome["data"]["before"];
    assert!(before["bad_service"].as_u64() > Some(0), "{outcome}");
    let worse = decisions
        .iter()
        .find(|it| it["data"]["decision"]["to"] == "severe");
    let contributions = &worse.expect("it was severe")["data"]["contributions"];
    assert_eq!(contributions["causes"][0]["cause"], "upstream-5xx");
    load.stop();
}

/// Each answer takes five times as long as it may.
fn slow() -> Script {
    Script::start(|_, link: &mut Link| {
        while link.head().is_some() {
            #[expect(clippy::disallowed_methods, reason = "a service takes its time")]
            std::thread::sleep(Duration::from_millis(100));
            link.send(OK);
        }
    })
}

#[test]
fn what_is_optional_is_left_out_where_answers_are_late() {
    let services = [slow(), slow()];
    let home = Home::new();
    let more = "[service.app.degrade]\nbrownout = [\"recommendations\", \"reviews\"]\n\
                [service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"20ms\"\n\
                [governor]\nmode = \"enforce\"\n";
    let addresses = services.each_ref().map(|it| it.address);
    home.write(&config(&addresses, "", more));
    let plimsoll = home.run(&[]);
    let level = || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_brownout_level", &["service=\"app\""])
    };
    assert_eq!(level(), 0.0);
    let load = Offer::to(plimsoll.address(), 8).start();
    // A quarter of two features is the first step, and that much is left out, since it is late by far.
    wait_until("half of the first feature is left out", || level() >= 0.5);
    let status = home.ask(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("of the optional content"), "{status}");
    assert!(status.contains("of 2: recommendations for"), "{status}");
    // People take it back, and what came of it is one record.
    let why = ["--for", "1h", "--why", "a test"];
    let off = home.ask(&[["governor", "mode", "app", "off"].as_slice(), &why].concat());
    assert!(off.status.success(), "{off:?}");
    wait_until("nothing is left out", || level() == 0.0);
    let over = || {
        let mut outcomes = journaled(&home, "outcome");
        outcomes.retain(|it| !it["data"]["brownout"].is_null());
        outcomes
    };
    wait_until("what came of it is journaled", || !over().is_empty());
    let [over] = over().try_into().expect("one record");
    let course = &over["data"]["brownout"];
    assert!(course["level_max"].as_f64() >= Some(0.5), "{over}");
    load.stop();
}

/// The records of a kind, as events.
fn journaled(home: &Home, kind: &str) -> Vec<Value> {
    let kind = format!("plimsoll.{kind}");
    let mut events = home.records();
    events.retain(|it| it["type"] == kind.as_str());
    events
}

#[test]
fn what_is_only_observed_is_said_and_not_done() {
    let services = [failing(), failing()];
    let (home, plimsoll) = governed(&services, "");
    let load = Offer::to(plimsoll.address(), 4).start();
    wait_until("retries would be off", || step(&plimsoll, "observe") == 1.0);
    let before = retries(&plimsoll);
    wait_until("retries go on", || retries(&plimsoll) > before + 10.0);
    let status = home.ask(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("would be: no retries"), "{status}");
    load.stop();
}
