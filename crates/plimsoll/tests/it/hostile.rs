//! Goal: what a client or a service does wrong is answered clearly, counted under its cause, and hurts nobody
//! else.
//!
//! Method: raw sockets that break the rules on purpose, on both sides.

use std::net::SocketAddr;

use crate::child::{Home, Plimsoll, config, get, metric, wait_until};
use crate::script::{Link, Script};

fn before(service: SocketAddr, gateway: &str, more: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    home.write(&config(&[service], gateway, more));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

/// The same with one thread: what one request leaves in its pool, the next finds.
fn before_one_thread(service: SocketAddr) -> (Home, Plimsoll) {
    let home = Home::new();
    home.write(&config(&[service], "", "").replace("threads = 2", "threads = 1"));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

fn counted(plimsoll: &Plimsoll, cause: &str) -> f64 {
    let metrics = get(plimsoll.ops(), "/metrics").1;
    metric(
        &metrics,
        "plimsoll_requests_total",
        &[&format!("cause=\"{cause}\"")],
    )
}

fn all(plimsoll: &Plimsoll) -> f64 {
    metric(
        &get(plimsoll.ops(), "/metrics").1,
        "plimsoll_requests_total",
        &[],
    )
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_request_that_could_be_read_in_two_ways_is_refused_and_never_passed_on() {
    let service = Script::answering(OK);
    let (_home, plimsoll) = before(service.address, "", "");
    let requests: &[&[u8]] = &[
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a/../admin HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a/%2e%2e/admin HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ];
    for request in requests {
        let mut client = Link::connect(plimsoll.address());
        client.send(request);
        let answer = client.head().unwrap_or_default();
        let shown = request.escape_ascii();
        assert!(answer.starts_with("HTTP/1.1 400"), "{shown}: {answer}");
        assert!(
            answer.contains("Plimsoll-Decision: refused; reason="),
            "{shown}: {answer}"
        );
        assert!(
            answer.contains("application/problem+json"),
            "{shown}: {answer}"
        );
    }
    assert_eq!(service.heads().len(), 0);
    assert_eq!(counted(&plimsoll, "bad-request"), requests.len() as f64);
}

#[test]
fn each_limit_on_a_client_has_its_status() {
    let service = Script::start(|_, link| {
        while link.head().is_some() {
            link.skip(1 << 20);
        }
    });
    let gateway = "limits = { head_time_max = \"300ms\", body_bytes_max = \"1KiB\" }";
    let more = "[service.app.protect]\ndeadline = { idle = \"400ms\" }\n";
    let (_home, plimsoll) = before(service.address, gateway, more);
    let long = |length| "x".repeat(length);
    let chunk = format!("800\r\n{}\r\n", long(0x800));
    for (request, status) in [
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(9000)),
            414,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(40_000)),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(101)
            ),
            431,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n".to_owned(),
            413,
        ),
        (
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
            413,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: slo".to_owned(), 408),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc".to_owned(),
            408,
        ),
    ] {
        let mut client = Link::connect(plimsoll.address());
        client.send(request.as_bytes());
        let answer = client.head().unwrap_or_default();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {answer}"
        );
    }
    assert_eq!(counted(&plimsoll, "request-limit"), 7.0);
}

#[test]
fn what_is_no_forwarding_is_answered_here() {
    let service = Script::answering(OK);
    let (_home, plimsoll) = before(service.address, "", "");
    for (request, status) in [
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\n\r\n",
            417,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
            200,
        ),
    ] {
        let mut client = Link::connect(plimsoll.address());
        client.send(request.as_bytes());
        let answer = client.head().unwrap_or_default();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
    }
    assert_eq!(service.heads().len(), 0);
}

#[test]
fn what_a_service_does_wrong_is_told_apart() {
    let more = "[service.app.protect]\ndeadline = \"300ms\"\n";
    for (status, cause, answer) in [
        (502, "bad-response", &b"garbage\r\n\r\n"[..]),
        (
            502,
            "bad-response",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            502,
            "bad-response",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        ),
        (
            502,
            "bad-response",
            b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        ),
        (
            502,
            "bad-response",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        ),
        (502, "reset", b""),
        (502, "reset", b"HTTP/1.1 200 OK\r\nConte"),
    ] {
        let service = Script::start(move |_, link| {
            link.head();
            link.send(answer);
        });
        let (_home, plimsoll) = before(service.address, "", more);
        let (got, said) = get(plimsoll.address(), "/");
        assert_eq!(got, status, "{}: {said}", answer.escape_ascii());
        assert!(
            said.contains(&format!("Plimsoll-Decision: failed; reason={cause}")),
            "{said}"
        );
        assert_eq!(counted(&plimsoll, cause), 1.0);
        assert_eq!(all(&plimsoll), 1.0);
    }
    let silent = Script::start(|_, link| {
        link.head();
        link.head();
    });
    let (_home, plimsoll) = before(silent.address, "", more);
    assert_eq!(get(plimsoll.address(), "/").0, 504);
    assert_eq!(counted(&plimsoll, "timeout"), 1.0);
}

#[test]
fn a_change_to_http2_is_not_tunnelled() {
    let service = Script::answering(OK);
    let (_home, plimsoll) = before(service.address, "", "");
    let fields =
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n";
    let mut client = Link::connect(plimsoll.address());
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    let head = service.heads()[0].to_lowercase();
    assert!(
        !head.contains("upgrade") && !head.contains("http2-settings"),
        "{head}"
    );
}

#[test]
fn interim_answers_without_end_are_a_failure() {
    let service = Script::start(|_, link| {
        link.head();
        link.send(&b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40));
        link.head();
    });
    let (_home, plimsoll) = before(service.address, "", "");
    let said = get(plimsoll.address(), "/").1;
    assert!(said.contains("HTTP/1.1 502"), "{said}");
    assert_eq!(counted(&plimsoll, "bad-response"), 1.0);
}

#[test]
fn a_service_that_hangs_is_to_blame_also_where_the_client_waits_to_continue() {
    let service = Script::start(|_, link| {
        link.head();
        link.head();
    });
    let more = "[service.app.protect]\ndeadline = \"300ms\"\n";
    let (_home, plimsoll) = before(service.address, "", more);
    let mut client = Link::connect(plimsoll.address());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    // The service says nothing, so the client is told to go on.
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
    client.send(b"hello");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 504"));
    assert_eq!(counted(&plimsoll, "timeout"), 1.0);
}

#[test]
fn a_client_that_does_not_read_is_not_the_fault_of_the_service() {
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
        link.send(&vec![0; 50_000_000]);
        link.head();
    });
    let more = "[service.app.protect]\ndeadline = { idle = \"500ms\" }\n";
    let (_home, plimsoll) = before(service.address, "", more);
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    wait_until("it is cut", || counted(&plimsoll, "client-gone") == 1.0);
    assert_eq!(counted(&plimsoll, "stalled"), 0.0);
}

#[test]
fn a_body_that_is_cut_is_cut_for_the_client_too() {
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    });
    let (_home, plimsoll) = before(service.address, "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let all = client.rest();
    assert!(
        all.contains("hello") && !all.ends_with("0\r\n\r\n"),
        "{all}"
    );
    wait_until("it is counted", || counted(&plimsoll, "reset") == 1.0);
}

#[test]
fn bytes_after_an_answer_never_reach_another_client() {
    // The answer is longer than it says: what follows would be the next client's answer.
    let service = Script::start(|_, link| {
        while link.head().is_some() {
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
        }
    });
    let (_home, plimsoll) = before_one_thread(service.address);
    for _ in 0..20 {
        let answer = get(plimsoll.address(), "/").1;
        assert!(!answer.contains("secret"), "{answer}");
    }
}

#[test]
fn floods_of_http2_frames_leave_the_process_well() {
    let service = Script::answering(OK);
    let (_home, mut plimsoll) = before(service.address, "", "");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    // `:method GET`, `:scheme http`, `:path /` by index, `:authority a` as a literal.
    let block = b"\x82\x86\x84\x41\x01a";
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    };
    let mut rapid_reset = Link::connect(plimsoll.address());
    rapid_reset.send(preface);
    for stream in (1..20_001).step_by(2) {
        let mut pair = frame(1, 5, stream, block);
        pair.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
        rapid_reset.send(&pair);
    }
    let mut continuation = Link::connect(plimsoll.address());
    continuation.send(preface);
    continuation.send(&frame(1, 1, 1, block));
    for _ in 0..100_000 {
        continuation.send(&frame(9, 0, 1, b"\x40\x01x\x01y"));
    }
    // Both are closed by us; a third client is served as ever.
    continuation.rest();
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    plimsoll.assert_runs();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", plimsoll.process.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 100 << 10, "the peak was {peak} KiB");
}
