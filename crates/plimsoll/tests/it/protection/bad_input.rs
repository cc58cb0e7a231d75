//! Goal: whatever a caller writes into the fields that protections read, its request is served as if it had not.

use super::*;
use crate::child::Service;

const ABSURD: &[&str] = &[
    "Plimsoll-Deadline: 99999999999999999999",
    "Plimsoll-Deadline: 340282366920938463463374607431768211456",
    "Plimsoll-Deadline: -1",
    "Plimsoll-Deadline: +5",
    "Plimsoll-Deadline: abc",
    "Plimsoll-Deadline: ",
    "Plimsoll-Deadline: 1e3",
    "Plimsoll-Deadline: 0.001",
    "grpc-timeout: 999999999H",
    "grpc-timeout: 99999999H",
    "grpc-timeout: -1S",
    "grpc-timeout: S",
    "grpc-timeout: 5",
    "grpc-timeout: 5X",
    "grpc-timeout: ",
    "Plimsoll-Class: root",
    "Plimsoll-Class: ",
    "Plimsoll-Class: critical, sheddable",
    "Plimsoll-Class: \u{e9}",
    "Plimsoll-No-Retry: never",
    "Plimsoll-No-Retry: ",
    "Plimsoll-Decision: shed; reason=over-capacity; id=\"a\"",
    "Plimsoll-Tenant: everyone",
    "Idempotency-Key: ",
    "X-Api-Key: ",
    "X-Api-Key: \u{e9}\u{e9}",
    "X-Cost: 99999999999999999999",
    "X-Cost: -1",
    "Retry-After: 1",
];

#[test]
fn absurd_fields_never_fail_a_request_whoever_sends_them() {
    let service = Service::start();
    let more = "tenant = \"x-api-key\"\nrate = [{ limit = \"1000000/s\", cost = { header = \"x-cost\", max = 10 } }]\n\
                [service.app.protect]\nretry = { on = [\"connect\", \"502\", \"503\"], attempts = 2 }\n[defaults]\nprotocol = \"http1\"\n";
    let (_home, mut plimsoll) = before(&[service.address], TRUST, more);
    let mut sent = 0;
    for from in [TRUSTED, STRANGER] {
        for content in ["", "Content-Type: application/grpc\r\n"] {
            for absurd in ABSURD {
                let fields = format!("{content}{absurd}\r\n");
                let (status, answer) = get_from(from, &plimsoll, &fields);
                assert_eq!(status, 200, "{from} {absurd:?}: {answer}");
                sent += 1;
            }
            let long = format!(
                "{content}X-Api-Key: {}\r\nPlimsoll-Class: {}\r\n",
                "k".repeat(4_000),
                "c".repeat(4_000)
            );
            assert_eq!(get_from(from, &plimsoll, &long).0, 200, "{from}");
            sent += 1;
        }
    }
    let text = settled(&plimsoll, sent);
    assert_eq!(caused(&text, "answered"), sent);
    assert_eq!(service.requests(), sent);
    plimsoll.assert_runs();
    assert!(!plimsoll.said().contains("panicked"), "{}", plimsoll.said());
}

#[test]
fn a_field_that_is_there_twice_never_fails_a_request() {
    let service = Service::start();
    let (_home, plimsoll) = before(&[service.address], TRUST, "");
    for fields in [
        "Plimsoll-Deadline: 5000\r\nPlimsoll-Deadline: 4000\r\n",
        "Plimsoll-Class: critical\r\nPlimsoll-Class: root\r\n",
        "Plimsoll-No-Retry: 1\r\nPlimsoll-No-Retry: 0\r\n",
    ] {
        for from in [TRUSTED, STRANGER] {
            assert_eq!(
                get_from(from, &plimsoll, fields).0,
                200,
                "{from} {fields:?}"
            );
        }
    }
}

#[test]
fn a_client_that_says_grpc_to_a_plain_service_makes_no_failures_of_its_answers() {
    let service = Service::start();
    let more = "[defaults]\nprotocol = \"http1\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let mut sent = 0;
    for method in ["GET", "POST"] {
        for kind in ["grpc", "grpc+proto", "grpc-web", "grpc-web+proto"] {
            let fields = format!("Content-Type: application/{kind}\r\n");
            let (status, answer) = ask_from(STRANGER, plimsoll.address(), method, "/", &fields, "");
            assert_eq!(status, 200, "{method} {kind}: {answer}");
            sent += 1;
        }
    }
    let text = settled(&plimsoll, sent);
    assert_eq!(caused(&text, "answered"), sent);
    assert_eq!(bad(&text), 0);
}
