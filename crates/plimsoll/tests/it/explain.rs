//! Goal: whoever is given a request's id learns what became of it, also where no access log is written.

use serde_json::Value;

use crate::child::{Home, Service, ask, config, free_address, wait_until};

#[test]
fn a_request_that_failed_is_explained() {
    let home = Home::new();
    let down = free_address();
    home.write(&config(&[down], "[gateway.log]\nto = \"off\"\n", ""));
    let plimsoll = home.run(&[]);
    let (status, answer) = ask(plimsoll.address(), "GET", "/cart?card=4242", "");
    assert_eq!(status, 502, "{answer}");
    let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let id = problem["id"].as_str().unwrap();
    let mut said = String::new();
    wait_until("it is recorded", || {
        let output = home.ask(&["explain", id]);
        said = String::from_utf8(output.stdout).unwrap();
        output.status.success()
    });
    let failed = format!("http://{down} failed: connect");
    for text in [
        "/cart: 502, connect",
        "service app",
        &failed,
        "no endpoint could be connected to",
        "1 attempt",
    ] {
        assert!(said.contains(text), "{text:?} is not in\n{said}");
    }
    assert!(!said.contains("4242"), "{said}");
    let json = home.ask(&["explain", id, "--json"]).stdout;
    let line: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        (&line["id"], &line["cause"]),
        (&problem["id"], &"connect".into())
    );
    let trace = line["trace_id"].as_str().unwrap();
    assert!(home.ask(&["explain", trace]).status.success());
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let home = Home::new();
    let service = Service::start();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    for (id, why) in [
        ("0123456789abcdef", "this request is not known"),
        ("../status", "is no request's id"),
    ] {
        let output = home.ask(&["explain", id]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    }
    drop(plimsoll);
    assert_eq!(home.ask(&["explain", "ab"]).status.code(), Some(3));
}
