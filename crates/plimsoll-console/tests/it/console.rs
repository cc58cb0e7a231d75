//! Goal: people on loopback read freely; a change needs the token; pages of other sites get nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_console::Turns;
use plimsoll_measure::Snapshot;

use crate::world::{PAYMENTS, Server, TOKEN, VIEWER};

const LOOPBACK: &str = "127.0.0.1:0";

#[test]
fn the_page_comes_with_a_policy_that_allows_our_own_files_only() {
    let server = Server::console(LOOPBACK);
    let (status, answer) = server.send("GET /", &[]);
    assert_eq!(status, 200);
    let policy =
        "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';";
    for expected in [
        policy,
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "made-up",
    ] {
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    assert!(!answer.contains("unsafe"), "{answer}");
    let files: Vec<&str> = answer
        .split(['"', '\''])
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let (status, answer) = server.send(&format!("GET {file}"), &[]);
        assert_eq!(status, 200, "{file}");
        assert!(answer.contains("max-age=31536000, immutable"), "{answer}");
        let kinds = ["text/css", "text/javascript", "image/svg+xml"];
        assert!(
            kinds
                .iter()
                .any(|kind| answer.contains(&format!("content-type: {kind}"))),
            "{answer}"
        );
    }
    assert_eq!(server.send("GET /assets/console-0.css", &[]).0, 404);
}

#[test]
fn a_browser_that_shows_a_text_finds_the_icon_by_itself() {
    for listen in [LOOPBACK, "0.0.0.0:0"] {
        let server = Server::console(listen);
        let (status, answer) = server.send("GET /favicon.ico", &[]);
        assert_eq!(status, 200, "{listen}");
        assert!(answer.contains("content-type: image/svg+xml"), "{answer}");
        assert!(answer.contains("<svg"), "{answer}");
    }
}

#[test]
fn to_search_for_a_request_waits_for_the_share_of_the_pages() {
    // Of next to nothing: what the first one took is paid for in minutes.
    let server = Server::console_within(LOOPBACK, Turns::new(1e-8, Duration::ZERO));
    let asked = "GET /api/v1/requests/known";
    assert_eq!(server.send(asked, &[]).0, 200);
    let mut stream = server.connect();
    let head = format!("{asked} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let waits = std::io::Read::read(&mut stream, &mut [0; 64]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    // What needs none of it goes on.
    assert_eq!(server.send("GET /api/v1/status", &[]).0, 200);
}

#[test]
fn whoever_watches_is_sent_what_changed_and_that_all_goes_on() {
    let server = Server::console(LOOPBACK);
    let mut stream = server.connect();
    std::io::Write::write_all(
        &mut stream,
        b"GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .unwrap();
    let mut said = String::new();
    // The second message comes by itself, without the sections that are as they were.
    while said.matches("event: now").count() < 2 {
        let mut piece = [0; 4096];
        let count = std::io::Read::read(&mut stream, &mut piece).unwrap();
        assert!(count > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(said.contains("content-type: text/event-stream"), "{said}");
    assert!(
        said.contains("event: section\ndata: strip\ndata: <section"),
        "{said}"
    );
    assert_eq!(said.matches("data: strip").count(), 1, "{said}");
    for page in ["/nothing", "/api/v1/status", "http://%00", ""] {
        let (status, _) = server.send(&format!("GET /events?page={page}"), &[]);
        assert_eq!(status, 400, "{page}");
    }
}

#[test]
fn those_who_watch_the_same_page_share_what_is_drawn_of_it() {
    let server = Server::console(LOOPBACK);
    let watch = |page: &str, tokens: &[&str]| {
        let mut watching: Vec<_> = tokens.iter().map(|_| server.connect()).collect();
        for (stream, token) in watching.iter_mut().zip(tokens) {
            let who = match *token {
                "" => String::new(),
                token => format!("Authorization: Bearer {token}\r\n"),
            };
            let request =
                format!("GET /events?page={page} HTTP/1.1\r\nHost: localhost\r\n{who}\r\n");
            std::io::Write::write_all(stream, request.as_bytes()).unwrap();
        }
        for stream in &mut watching {
            let mut said = String::new();
            while !said.contains("event: section") {
                let mut piece = [0; 4096];
                let count = std::io::Read::read(stream, &mut piece).unwrap();
                assert!(count > 0, "{said}");
                said.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        }
        server.process.drawn.swap(0, Ordering::Relaxed)
    };
    let many = [["", VIEWER, PAYMENTS, TOKEN, ""]; 4].concat();
    assert_eq!(watch("/", &many), 1, "nothing is offered on it");
    // What can be done is offered on this one: to two of them, to each what they may.
    assert_eq!(watch("/services/checkout", &many), 3);
    // A page that is asked for is another drawing.
    assert_eq!(server.send("GET /?find=shop", &[]).0, 200);
    assert_eq!(server.process.drawn.load(Ordering::Relaxed), 1);
}

#[test]
fn only_so_many_watch_at_once() {
    let server = Server::console(LOOPBACK);
    let mut watching = Vec::new();
    let refused = loop {
        let mut stream = server.connect();
        std::io::Write::write_all(
            &mut stream,
            b"GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .unwrap();
        let mut piece = [0; 4096];
        let count = std::io::Read::read(&mut stream, &mut piece).unwrap();
        let said = String::from_utf8_lossy(&piece[..count]).into_owned();
        if !said.starts_with("HTTP/1.1 200") {
            break said;
        }
        watching.push(stream);
        assert!(watching.len() < 100);
    };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert_eq!(watching.len(), 64);
    // A place that somebody leaves is for others.
    drop(watching);
    for _ in 0..600 {
        let mut stream = server.connect();
        std::io::Write::write_all(
            &mut stream,
            b"GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .unwrap();
        let mut piece = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut piece).unwrap();
        if piece.ends_with(b"200") {
            return;
        }
    }
    panic!("no place was left");
}

#[test]
fn a_script_reads_with_the_token_as_a_password_and_changes_nothing_with_it() {
    let server = Server::console("0.0.0.0:0");
    // `x:a-token-that-only-reads`, and `x:a-token-for-the-tests-only`.
    let viewer = "Authorization: Basic eDphLXRva2VuLXRoYXQtb25seS1yZWFkcw==";
    let admin = "Authorization: Basic eDphLXRva2VuLWZvci10aGUtdGVzdHMtb25seQ==";
    let (status, answer) = server.send("GET /", &["Accept: text/html", viewer]);
    assert_eq!(status, 200);
    assert!(answer.contains(" · viewer<"), "{answer}");
    let reload = server.send("POST /api/v1/reload", &["Content-Length: 0", admin]);
    assert_eq!(reload.0, 401);
    assert_eq!(server.process.reloads.load(Ordering::Relaxed), 0);
}

#[test]
fn the_status_is_a_snapshot() {
    let server = Server::console(LOOPBACK);
    let (status, answer) = server.send("GET /api/v1/status", &[]);
    assert_eq!(status, 200);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let snapshot: Snapshot = serde_json::from_str(body).unwrap();
    assert_eq!(snapshot.instance, "made-up");
}

#[test]
fn a_reload_needs_the_token() {
    let server = Server::console(LOOPBACK);
    let reloads = || server.process.reloads.load(Ordering::Relaxed);
    let (status, answer) = server.send("POST /api/v1/reload", &["Content-Length: 0"]);
    assert_eq!(status, 401);
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let wrong = server.send(
        "POST /api/v1/reload",
        &["Content-Length: 0", "Authorization: Bearer wrong"],
    );
    assert_eq!(wrong.0, 401);
    assert_eq!(reloads(), 0);

    let token = format!("Authorization: Bearer {TOKEN}");
    let (status, answer) = server.send("POST /api/v1/reload", &["Content-Length: 0", &token]);
    assert_eq!(status, 200);
    let body = r#"{"message":"2 services","journal":7,"warning":null,"approval":null}"#;
    assert!(answer.ends_with(body), "{answer}");
    assert_eq!(reloads(), 1);
    assert_eq!(server.send("GET /api/v1/reload", &[&token]).0, 405);
}

#[test]
fn a_refused_configuration_is_said_to_whoever_asked() {
    let server = Server::console(LOOPBACK);
    server.process.invalid.store(true, Ordering::Relaxed);
    let token = format!("Authorization: Bearer {TOKEN}");
    let (status, answer) = server.send("POST /api/v1/reload", &["Content-Length: 0", &token]);
    assert_eq!(status, 422);
    assert!(answer.contains("line 3: no such service"), "{answer}");
}

#[test]
fn a_name_that_another_site_may_own_gets_nothing() {
    let server = Server::console(LOOPBACK);
    for path in ["/", "/api/v1/status", "/metrics"] {
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
    let (status, _) = server.send(
        "POST /api/v1/reload",
        &["Content-Length: 0", &token, origin],
    );
    assert_eq!(status, 403);
    assert_eq!(server.process.reloads.load(Ordering::Relaxed), 0);
}

#[test]
fn off_loopback_even_reading_needs_the_token_and_there_are_no_metrics() {
    let server = Server::console("0.0.0.0:0");
    let token = format!("Authorization: Bearer {TOKEN}");
    for path in [
        "/",
        "/api/v1/status",
        "/services/checkout",
        "/events?page=/x",
    ] {
        assert_eq!(server.send(&format!("GET {path}"), &[]).0, 401, "{path}");
        let status = server.send(&format!("GET {path}"), &[&token]).0;
        assert_ne!(status, 401, "{path}");
    }
    assert_eq!(server.send("GET /metrics", &[&token]).0, 404);
}

#[test]
fn tokens_are_for_who_may_see_them_even_on_loopback() {
    let server = Server::console(LOOPBACK);
    let get = |token: &str| {
        let token = format!("Authorization: Bearer {token}");
        server.send("GET /api/v1/tokens", &[&token])
    };
    assert_eq!(server.send("GET /api/v1/tokens", &[]).0, 401);
    assert_eq!(get("wrong").0, 401);
    let (status, answer) = get(VIEWER);
    assert_eq!(status, 403);
    assert!(
        answer.contains("this needs the role admin; vi has viewer"),
        "{answer}"
    );
    assert_eq!(get(PAYMENTS).0, 403);
    let (status, answer) = get(TOKEN);
    assert_eq!(status, 200);
    assert!(answer.contains("\"role\":\"viewer\""), "{answer}");
}

#[test]
fn roles_and_owners_decide_on_changes() {
    let server = Server::console(LOOPBACK);
    let reload = |token: &str| server.send_json("POST /api/v1/reload", token, "");
    let (status, answer) = reload(VIEWER);
    assert_eq!(status, 403);
    assert!(answer.contains("needs the role operator"), "{answer}");
    let (status, answer) = reload(PAYMENTS);
    assert_eq!(status, 403);
    assert!(answer.contains("a token for all owners"), "{answer}");
    assert_eq!(server.process.reloads.load(Ordering::Relaxed), 0);
    let create = |token: &str| {
        let wanted = r#"{"name":"bo","role":"viewer"}"#;
        server.send_json("POST /api/v1/tokens", token, wanted).0
    };
    assert_eq!([VIEWER, PAYMENTS, TOKEN].map(create), [403, 403, 201]);
    let revoke = |name: &str, token: &str| {
        let line = format!("DELETE /api/v1/tokens/{name}");
        server.send_json(&line, token, "").0
    };
    assert_eq!(revoke("vi", PAYMENTS), 403);
    assert_eq!(revoke("vi", TOKEN), 200);
    assert_eq!(revoke("nobody", TOKEN), 404);
}

#[test]
fn a_rollout_is_driven_by_who_covers_the_owner_of_its_service() {
    let server = Server::console(LOOPBACK);
    let roll = |name: &str, verb: &str, token: &str| {
        let line = format!("POST /api/v1/rollouts/{name}/{verb}");
        server.send_json(&line, token, r#"{"why":"release 2","revision":3}"#)
    };
    let (status, answer) = roll("shop-v2", "start", PAYMENTS);
    assert_eq!(status, 200);
    assert!(
        answer.contains("pat start shop-v2 Some(3) release 2"),
        "{answer}"
    );
    assert_eq!(roll("shop-v2", "abort", VIEWER).0, 403);
    assert_eq!(roll("shop-v2", "abort", "wrong").0, 401);
    assert_eq!(roll("shop-v2", "undo", TOKEN).0, 404);
    assert_eq!(
        [VIEWER, TOKEN].map(|it| roll("shop-v3", "start", it).0),
        [403, 404]
    );
}

#[test]
fn an_incident_is_worked_on_by_who_covers_the_owner_of_its_service() {
    let server = Server::console(LOOPBACK);
    let note = |id: &str, token: &str| {
        let line = format!("POST /api/v1/incidents/{id}/note");
        server.send_json(&line, token, r#"{"note":"lock waits"}"#)
    };
    let (status, answer) = note("1", PAYMENTS);
    assert_eq!(status, 200);
    assert!(answer.contains("pat 1 note"), "{answer}");
    // That of the mail has no owner.
    assert_eq!([PAYMENTS, TOKEN].map(|it| note("2", it).0), [403, 200]);
    assert_eq!(note("1", VIEWER).0, 403);
    assert_eq!(note("1", "wrong").0, 401);
    assert_eq!([VIEWER, TOKEN].map(|it| note("9", it).0), [403, 404]);
    let hostile = "%3Cscript%3E%0d%0aX:1";
    let (status, answer) = note(hostile, TOKEN);
    assert_eq!(status, 404);
    assert!(answer.contains("is no incident"), "{answer}");
    let post = |what: &str, body: &str| {
        let line = format!("POST /api/v1/incidents/1/{what}");
        server.send_json(&line, TOKEN, body).0
    };
    assert_eq!(post("delete", "{}"), 404);
    assert_eq!(post("note", "{}"), 422);
    assert_eq!(post("note", r#"{"note":"x","by":"eve"}"#), 400);
    assert_eq!(post("note", &"x".repeat(70_000)), 413);
}

#[test]
fn a_service_is_changed_by_who_covers_its_owner() {
    let server = Server::console(LOOPBACK);
    let set = |service: &str, token: &str| {
        let line = format!("PUT /api/v1/overlay/{service}/shed");
        let wanted = r#"{"level":2,"for":"10m","why":"it melts"}"#;
        server.send_json(&line, token, wanted)
    };
    let (status, answer) = set("checkout", PAYMENTS);
    assert_eq!(status, 200);
    assert!(
        answer.contains("pat checkout shed Some(2) it melts"),
        "{answer}"
    );
    assert_eq!(set("checkout", TOKEN).0, 200);
    assert_eq!(set("mail", TOKEN).0, 200);
    let (status, answer) = set("mail", PAYMENTS);
    assert_eq!(status, 403);
    assert!(answer.contains("mail has no owner"), "{answer}");
    assert_eq!(set("checkout", VIEWER).0, 403);
    assert_eq!(set("checkout", "wrong").0, 401);
    // Whoever may change nothing is not told what there is.
    assert_eq!(
        [VIEWER, TOKEN].map(|token| set("nothing", token).0),
        [403, 404]
    );
    let end = |path: &str, token: &str| {
        let line = format!("DELETE /api/v1/overlay/{path}");
        server.send_json(&line, token, "").0
    };
    assert_eq!(end("checkout/no-retries", PAYMENTS), 200);
    assert_eq!(end("mail/no-retries", PAYMENTS), 403);
    assert_eq!(end("checkout/stop", PAYMENTS), 404);
    let wrong = server.send_json("PUT /api/v1/overlay/mail/shed", TOKEN, r#"{"level":9}"#);
    assert_eq!(wrong.0, 422);
    assert!(wrong.1.contains("`9` is no level of shed"), "{wrong:?}");
}

#[test]
fn a_body_that_cannot_be_read_is_refused_with_the_reason() {
    let server = Server::console(LOOPBACK);
    let refused = |body: &str, status: u16, part: &str| {
        let answer = server.send_json("POST /api/v1/tokens", TOKEN, body);
        assert_eq!(answer.0, status, "{answer:?}");
        assert!(answer.1.contains(part), "{answer:?}");
        assert!(answer.1.contains("application/problem+json"), "{answer:?}");
    };
    refused("", 400, "the body can't be read");
    refused(r#"{"name":"bo"}"#, 400, "missing field `role`");
    refused(r#"{"name":"bo","role":"root"}"#, 400, "unknown variant");
    refused(
        r#"{"name":"bo","role":"viewer","owner":"x"}"#,
        400,
        "unknown field `owner`",
    );
    refused(r#"{"name":"b o","role":"viewer"}"#, 422, "is no name");
    refused(
        &format!(r#"{{"name":"{}"}}"#, "a".repeat(70_000)),
        413,
        "too large",
    );
    let token = format!("Authorization: Bearer {TOKEN}");
    let plain = ["Content-Length: 0", "Content-Type: text/plain", &token];
    assert_eq!(server.send("POST /api/v1/tokens", &plain).0, 415);
    for query in ["count=0", "count=501", "count=x", "subjekt=x"] {
        let (status, answer) = server.send(&format!("GET /api/v1/journal?{query}"), &[]);
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let (status, answer) = server.send("GET /api/v1/journal?subject=service/a", &[]);
    assert_eq!(status, 200);
    assert!(answer.contains("service/a"), "{answer}");
}
