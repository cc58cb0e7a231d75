//! Goal: people on loopback read freely; a change needs the token; pages of other sites get nothing.

use std::sync::atomic::Ordering;

use plimsoll_measure::Snapshot;

use crate::world::{Server, TOKEN};

const LOOPBACK: &str = "127.0.0.1:0";

#[test]
fn the_page_comes_with_a_policy_that_allows_no_script() {
    let server = Server::console(LOOPBACK);
    let (status, answer) = server.send("GET /", &[]);
    assert_eq!(status, 200);
    assert!(
        answer.contains("content-security-policy: default-src 'none'; style-src 'self'"),
        "{answer}"
    );
    assert!(
        answer.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    assert!(answer.contains("made-up"), "{answer}");
    for style in ["/tokens.css", "/console.css", "/page.css"] {
        let (status, answer) = server.send(&format!("GET {style}"), &[]);
        assert_eq!(status, 200, "{style}");
        assert!(answer.contains("content-type: text/css"), "{answer}");
    }
}

#[test]
fn the_status_is_a_snapshot() {
    let server = Server::console(LOOPBACK);
    let (status, answer) = server.send("GET /api/status", &[]);
    assert_eq!(status, 200);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let snapshot: Snapshot = serde_json::from_str(body).unwrap();
    assert_eq!(snapshot.instance, "made-up");
}

#[test]
fn a_reload_needs_the_token() {
    let server = Server::console(LOOPBACK);
    let reloads = || server.process.reloads.load(Ordering::Relaxed);
    let (status, answer) = server.send("POST /api/reload", &["Content-Length: 0"]);
    assert_eq!(status, 401);
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let wrong = server.send(
        "POST /api/reload",
        &["Content-Length: 0", "Authorization: Bearer wrong"],
    );
    assert_eq!(wrong.0, 401);
    assert_eq!(reloads(), 0);

    let token = format!("Authorization: Bearer {TOKEN}");
    let (status, answer) = server.send("POST /api/reload", &["Content-Length: 0", &token]);
    assert_eq!(status, 200);
    assert!(answer.ends_with("{\"message\":\"2 services\"}"), "{answer}");
    assert_eq!(reloads(), 1);
    assert_eq!(server.send("GET /api/reload", &[&token]).0, 405);
}

#[test]
fn a_refused_configuration_is_said_to_whoever_asked() {
    let server = Server::console(LOOPBACK);
    server.process.invalid.store(true, Ordering::Relaxed);
    let token = format!("Authorization: Bearer {TOKEN}");
    let (status, answer) = server.send("POST /api/reload", &["Content-Length: 0", &token]);
    assert_eq!(status, 422);
    assert!(answer.contains("line 3: no such service"), "{answer}");
}

#[test]
fn a_name_that_another_site_may_own_gets_nothing() {
    let server = Server::console(LOOPBACK);
    for path in ["/", "/api/status", "/metrics"] {
        let (status, answer) = server.send(&format!("GET {path}"), &["Host: evil.example"]);
        assert_eq!(status, 421);
        assert!(!answer.contains("made-up"), "{answer}");
    }
    assert_eq!(server.send("GET /", &["Host: ops.example:7676"]).0, 200);
}

#[test]
fn a_page_of_another_site_changes_nothing_even_with_the_token() {
    let server = Server::console(LOOPBACK);
    let token = format!("Authorization: Bearer {TOKEN}");
    let origin = "Origin: http://evil.example";
    let (status, _) = server.send("POST /api/reload", &["Content-Length: 0", &token, origin]);
    assert_eq!(status, 403);
    assert_eq!(server.process.reloads.load(Ordering::Relaxed), 0);
}

#[test]
fn off_loopback_even_reading_needs_the_token_and_there_are_no_metrics() {
    let server = Server::console("0.0.0.0:0");
    let token = format!("Authorization: Bearer {TOKEN}");
    for path in ["/", "/api/status", "/tokens.css"] {
        assert_eq!(server.send(&format!("GET {path}"), &[]).0, 401, "{path}");
        assert_eq!(
            server.send(&format!("GET {path}"), &[&token]).0,
            200,
            "{path}"
        );
    }
    assert_eq!(server.send("GET /metrics", &[&token]).0, 404);
}
