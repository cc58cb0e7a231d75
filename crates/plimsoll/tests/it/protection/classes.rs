//! Goal: a request's class and deadline come from the route, or from a caller that is trusted, and go on to the
//! service.

use super::*;
use crate::script::Script;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const ROUTES: &str = "deadline = \"20s\"\n[[route]]\nname = \"buy\"\npath = \"/buy\"\nservice = \"app\"\nclass = \"critical\"\n\
                      [[route]]\nname = \"report\"\npath = \"/report\"\nservice = \"app\"\nclass = \"sheddable\"\n";

fn last(service: &Script) -> String {
    service.heads().last().unwrap().clone()
}

#[test]
fn a_route_gives_its_requests_their_class() {
    let service = Script::answering(OK);
    let (_home, plimsoll) = before(&[service.address], "", ROUTES);
    for (path, class) in [
        ("/buy", "critical"),
        ("/report", "sheddable"),
        ("/", "standard"),
    ] {
        assert_eq!(get(plimsoll.address(), path).0, 200);
        assert_eq!(field(&last(&service), "plimsoll-class"), Some(class));
    }
    let text = settled(&plimsoll, 3);
    for class in ["critical", "sheddable", "standard"] {
        let labels = [&*format!("class=\"{class}\""), "cause=\"answered\""];
        assert_eq!(metric(&text, "plimsoll_requests_total", &labels), 1.0);
    }
}

#[test]
fn a_class_is_believed_from_a_trusted_peer_only() {
    let service = Script::answering(OK);
    let (_home, plimsoll) = before(&[service.address], TRUST, ROUTES);
    let ask = |from, path| {
        let fields = "Plimsoll-Class: critical\r\n";
        ask_from(from, plimsoll.address(), "GET", path, fields, "").0
    };
    assert_eq!(ask(TRUSTED, "/report"), 200);
    assert_eq!(field(&last(&service), "plimsoll-class"), Some("critical"));
    assert_eq!(ask(STRANGER, "/report"), 200);
    assert_eq!(field(&last(&service), "plimsoll-class"), Some("sheddable"));
    assert_eq!(
        last(&service)
            .to_ascii_lowercase()
            .matches("plimsoll-class")
            .count(),
        1,
        "the claim is not passed on beside"
    );
    let text = settled(&plimsoll, 2);
    let labels = ["class=\"critical\"", "cause=\"answered\""];
    assert_eq!(metric(&text, "plimsoll_requests_total", &labels), 1.0);
}

#[test]
fn the_time_that_is_left_goes_on_to_the_service() {
    let service = Script::answering(OK);
    let (_home, plimsoll) = before(&[service.address], TRUST, ROUTES);
    let left = |from, fields: &str| -> u64 {
        assert_eq!(get_from(from, &plimsoll, fields).0, 200);
        let head = last(&service);
        field(&head, "plimsoll-deadline").unwrap().parse().unwrap()
    };
    let of_route = 10_000..=20_000;
    assert!(of_route.contains(&left(STRANGER, "")));
    assert!(of_route.contains(&left(STRANGER, "Plimsoll-Deadline: 5000\r\n")));
    assert!((1..=5_000).contains(&left(TRUSTED, "Plimsoll-Deadline: 5000\r\n")));
    // A caller can only shorten it.
    assert!(of_route.contains(&left(TRUSTED, "Plimsoll-Deadline: 500000\r\n")));
}

#[test]
fn a_grpc_timeout_goes_on_reduced_whoever_sent_it() {
    let service = Script::answering(OK);
    let more = format!("{ROUTES}[defaults]\nprotocol = \"http1\"\n");
    let (_home, plimsoll) = before(&[service.address], "", &more);
    for (given, most) in [("5S", 5_000_000), ("7500m", 7_500_000), ("1H", 20_000_000)] {
        let fields = format!("Content-Type: application/grpc\r\ngrpc-timeout: {given}\r\n");
        let (status, answer) = ask_from(STRANGER, plimsoll.address(), "POST", "/", &fields, "");
        assert_eq!(status, 200, "{answer}");
        let head = last(&service);
        assert_eq!(
            head.to_ascii_lowercase().matches("grpc-timeout").count(),
            1,
            "{head}"
        );
        let micros = micros(field(&head, "grpc-timeout").unwrap());
        assert!((1..most).contains(&micros), "{given} became {micros} us");
    }
}

fn micros(timeout: &str) -> u64 {
    let (value, unit) = timeout.split_at(timeout.len() - 1);
    let value: u64 = value.parse().unwrap();
    match unit {
        "n" => value / 1_000,
        "u" => value,
        "m" => value * 1_000,
        "S" => value * 1_000_000,
        _ => panic!("{timeout}"),
    }
}
