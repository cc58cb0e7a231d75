//! Goal: an incident is worked on from the page to the review: who works on it, what they noted, to whom it went and how it
//! ended is there for whoever looks later, whatever became of the process; and who was called hears of it.
//!
//! Method: a service that fails; the command line acknowledges, notes, hands over and resolves, with a kill in between; two
//! receivers write down what they were told.

use std::process::Output;

use serde_json::Value;

use crate::access::curl;
use crate::child::{Home, get, wait_until};
use crate::journal::is;
use crate::notify::{Hook, OK, Patient, STRICT, burns};

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What was said where nothing was done.
#[track_caller]
fn refused(home: &Home, args: &[&str]) -> String {
    let output = home.ask(&[&["incident"], args].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub(crate) fn incidents(home: &Home) -> Vec<Value> {
    let listed = home.ask(&["incident", "list", "--json"]).stdout;
    let listed = String::from_utf8(listed).unwrap();
    let lines = listed.lines();
    lines.map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[test]
fn an_incident_is_worked_on_from_page_to_review_and_a_kill_forgets_nothing() {
    let patient = Patient::start();
    let (mine, theirs) = (Hook::answering(OK), Hook::answering(OK));
    let notifiers = [
        mine.notifier("mine", "webhook", "owners = \"payments\""),
        theirs.notifier("theirs", "webhook", "owners = \"search\""),
    ];
    let search = "[service.search]\nowner = \"search\"\nendpoints = [\"http://127.0.0.1:9\"]\n[[route]]\nname = \"search\"\npath = \"/search\"\nservice = \"search\"\n";
    let home = Home::new();
    home.write(&patient.config(STRICT, &format!("{search}{}", notifiers.concat())));
    let mut plimsoll = home.run(&[]);
    let load = burns(&plimsoll);
    wait_until("somebody is called", || {
        mine.of("page.firing").len() == 1 && !incidents(&home).is_empty()
    });
    let id = incidents(&home)[0]["id"].to_string();
    let path = format!("/api/v1/incidents/{id}");
    let shown = |console| {
        let (status, text) = get(console, &path);
        let body = text.split_once("\r\n\r\n").unwrap().1;
        (status == 200).then(|| serde_json::from_str::<Value>(body).unwrap())
    };
    wait_until("the process knows it", || {
        shown(plimsoll.console()).is_some()
    });
    let does = |args: &[&str]| done(&home.ask(&[&["incident"], args].concat()));

    let said = does(&["ack", &id]);
    let acknowledged = home.wait_for_record("ack", is("incident", "state-folder acknowledged it"));
    assert_eq!(acknowledged["subject"], format!("incident/{id}"));
    assert_eq!(acknowledged["cites"], *id);
    let number = acknowledged["sequence"].as_str().unwrap();
    assert!(said.trim_end().ends_with(&format!("#{number}")), "{said}");
    let said = refused(&home, &["ack", &id]);
    assert!(
        said.contains("acknowledged already, by state-folder at"),
        "{said}"
    );
    does(&["note", &id, "<img src=x> | lock waits"]);
    for (args, part) in [
        (["note", &id, "a\x1b[2J"], "control characters"),
        (["note", &id, &"x".repeat(2_001)], "has 2001 characters"),
        (["note", "9999999", "x"], "there is no incident #9999999"),
        (["group", &id, &id], "it is the same"),
    ] {
        let said = refused(&home, &args);
        assert!(said.contains(part), "{said}");
    }
    let token = home.token(&["sam", "--role", "operator", "--owner", "search"]);
    let json = [
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"note":"x"}"#,
    ];
    let (status, answer) = curl(&plimsoll, "POST", &format!("{path}/note"), &token, &json);
    assert_eq!(status, 403, "{answer}");

    let changed = does(&["hand-over", &id, "search", "--why", "their index", "--json"]);
    let changed: Value = serde_json::from_str(&changed).unwrap();
    assert!(changed["journal"].is_u64(), "{changed}");
    wait_until("the others are called", || {
        theirs.of("page.firing").len() == 1 && mine.of("page.resolved").len() == 1
    });
    let passed_on = mine.of("page.resolved")[0].json();
    assert!(
        passed_on.to_string().contains("handed over to search"),
        "{passed_on}"
    );

    let before = shown(plimsoll.console()).unwrap();
    assert_eq!(before["acts"].as_array().unwrap().len(), 3, "{before}");
    wait_until("it is kept what they know", || {
        let told = is("notice", "told theirs: page.firing");
        home.records().iter().any(told)
    });
    plimsoll.process.kill().unwrap();
    plimsoll.ended();
    load.stop();
    let plimsoll = home.run(&[]);
    let load = burns(&plimsoll);
    wait_until("it is known again", || shown(plimsoll.console()).is_some());
    let after = shown(plimsoll.console()).unwrap();
    for key in [
        "acts",
        "handed_over_to",
        "acknowledged",
        "called",
        "service",
    ] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["handed_over_to"], "search");
    assert_eq!(theirs.of("page.firing").len(), 1, "nothing is told twice");

    let said = does(&["resolve", &id, "--why", "a drill"]);
    assert!(said.contains("it burns on"), "{said}");
    wait_until("they hear that it has ended", || {
        theirs.of("page.resolved").len() == 1
    });
    let said = refused(&home, &["resolve", &id, "--why", "again"]);
    assert!(
        said.contains("has ended: state-folder resolved it: a drill"),
        "{said}"
    );
    let known = &incidents(&home)[0];
    assert_eq!(known["resolved"]["why"], "a drill", "{known}");
    let review = does(&["review", &id]);
    for text in [
        "state-folder noted: \\<img src=x\\> \\| lock waits",
        "state-folder handed it over to search: their index",
        "| resolved | by state-folder: a drill |",
    ] {
        assert!(review.contains(text), "{text} is not in {review}");
    }
    assert!(does(&["show", &id]).contains("people  "), "shown");
    assert_eq!(home.verify(&[]).0, 0);
    load.stop();
}
