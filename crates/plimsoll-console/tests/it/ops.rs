//! Goal: machines get what they ask for, without a token, and nothing else is there.

use std::sync::atomic::Ordering;

use crate::world::Server;

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let server = Server::ops();
    let (status, answer) = server.send("GET /metrics", &[]);
    assert_eq!(status, 200);
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("plimsoll_never_total 0\n"), "{answer}");
    let (_, answer) = server.send(
        "GET /metrics",
        &["Accept: application/openmetrics-text; version=1.0.0"],
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[test]
fn readiness_follows_the_process_and_says_why_not() {
    let server = Server::ops();
    assert_eq!(server.send("GET /livez", &[]).0, 200);
    assert_eq!(server.send("GET /readyz", &[]).0, 200);
    server.process.not_ready.store(true, Ordering::Relaxed);
    let (status, answer) = server.send("GET /readyz", &[]);
    assert_eq!(status, 503);
    assert!(answer.ends_with("draining\n"), "{answer}");
    assert_eq!(server.send("GET /livez", &[]).0, 200);
}

#[test]
fn nothing_can_be_changed_here() {
    let server = Server::ops();
    assert_eq!(
        server.send("POST /api/v1/reload", &["Content-Length: 0"]).0,
        404
    );
    assert_eq!(server.send("GET /api/v1/status", &[]).0, 404);
    assert_eq!(server.send("POST /metrics", &["Content-Length: 0"]).0, 405);
    assert_eq!(server.process.reloads.load(Ordering::Relaxed), 0);
}
