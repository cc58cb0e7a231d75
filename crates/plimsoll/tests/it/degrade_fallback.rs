//! Goal: a service that can't answer still leaves its users something true: its route's page, or another service's answer;
//! and nobody is told that something was done that was not.
//!
//! Method: an origin that is killed, services that fail as a test says, a client that reads every byte.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::child::{
    Home, Plimsoll, TIME_MAX, ask, config, free_address, get, metric, program, wait_until,
};
use crate::notify::python;
use crate::script::Script;

/// A real origin, which ends with this.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Origin {
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_at(free_address(), home)
    }

    pub(crate) fn start_at(address: SocketAddr, home: &Home) -> Self {
        let port = address.port().to_string();
        let mut python = Command::new(python());
        python.args(["-m", "http.server", &port, "--bind", "127.0.0.1"]);
        python.current_dir(home.path(""));
        python.stdout(Stdio::null()).stderr(Stdio::null());
        let process = python.spawn().unwrap();
        let origin = Self { address, process };
        wait_until("the origin listens", || {
            std::net::TcpStream::connect(address).is_ok()
        });
        origin
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

const HTML: &str = "<p>No recommendations for now.";
const JSON: &str =
    r#"{"items": [], "why": "{{reason}}", "of": "{{service}}", "id": "{{request_id}}"}"#;

/// A Plimsoll before this service, whose only route has these lines; its pages are beside the configuration.
fn before(service: SocketAddr, lines: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    std::fs::write(home.path("a.html"), HTML).unwrap();
    std::fs::write(home.path("a.json"), JSON).unwrap();
    let judged =
        "[service.app.protect]\nbreaker = { mode = \"off\" }\nejection = { mode = \"off\" }\n";
    home.write(&config(&[service], "", &format!("{lines}\n{judged}")));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

fn count(plimsoll: &Plimsoll, labels: &[&str]) -> u64 {
    let text = get(plimsoll.ops(), "/metrics").1;
    metric(&text, "plimsoll_requests_total", labels) as u64
}

#[track_caller]
fn assert_counted(plimsoll: &Plimsoll, cause: &str, requests: u64) {
    let label = format!("cause=\"{cause}\"");
    let service = "service=\"app\"";
    let mut counted = 0;
    wait_until(&format!("{requests} of {cause}"), || {
        counted = count(plimsoll, &[service, &label]);
        counted >= requests
    });
    assert_eq!(counted, requests, "{cause}");
}

#[track_caller]
fn assert_has(answer: &str, line: &str) {
    assert!(
        answer
            .to_ascii_lowercase()
            .contains(&format!("\r\n{}", line.to_ascii_lowercase())),
        "{line}: {answer}"
    );
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn a_page_stands_in_for_an_origin_that_was_killed() {
    let home = Home::new();
    std::fs::write(home.path("index.html"), "welcome").unwrap();
    let mut origin = Origin::start(&home);
    let (_home, plimsoll) = before(
        origin.address,
        "fallback = { json = \"a.json\", html = \"a.html\", status = 200 }",
    );
    let (status, answer) = get(plimsoll.address(), "/index.html");
    assert_eq!((status, body(&answer)), (200, "welcome"));
    origin.kill();

    let (status, answer) = ask(plimsoll.address(), "GET", "/", "Accept: text/html\r\n");
    assert_eq!((status, body(&answer)), (200, HTML));
    assert_has(&answer, "Content-Type: text/html; charset=utf-8\r\n");
    assert_has(&answer, "Cache-Control: no-store\r\n");
    assert_has(
        &answer,
        "Plimsoll-Decision: fallback; reason=connect; id=\"",
    );
    assert_has(&answer, &format!("Content-Length: {}\r\n", HTML.len()));
    assert!(!answer.to_ascii_lowercase().contains("retry-after"));

    let fields = "Accept: application/json\r\nX-Request-Id: \"},x\r\n";
    let (status, answer) = ask(plimsoll.address(), "GET", "/", fields);
    assert_eq!(status, 200);
    let read: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(
        (&read["why"], &read["of"]),
        (&"connect".into(), &"app".into())
    );
    assert_has(&answer, "Content-Type: application/json\r\n");
    let id = read["id"].as_str().unwrap();
    assert!(answer.contains(&format!("id=\"{id}\"")), "{answer}");

    let (status, answer) = ask(plimsoll.address(), "HEAD", "/", "Accept: text/html\r\n");
    assert_eq!((status, body(&answer)), (200, ""));
    assert_has(&answer, &format!("Content-Length: {}\r\n", HTML.len()));

    // Who wanted something done is told that it was not.
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let (status, answer) = ask(plimsoll.address(), method, "/", "Content-Length: 0\r\n");
        assert_eq!(status, 502, "{answer}");
        assert_has(&answer, "Content-Type: application/problem+json\r\n");
    }
    assert_counted(&plimsoll, "fallback", 3);
    assert_counted(&plimsoll, "connect", 4);
    let good = count(&plimsoll, &["service=\"app\"", "outcome=\"good\""]);
    assert_eq!(good, 4, "the answer and three pages");
}

#[test]
fn http2_gets_pages_too() {
    let (_home, plimsoll) = before(
        free_address(),
        "fallback = { html = \"a.html\", status = 200 }",
    );
    let url = format!("http://{}/", plimsoll.address());
    for method in ["GET", "HEAD"] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "--http2-prior-knowledge", "--max-time", "30"]);
        if method == "HEAD" {
            curl.arg("-I");
        }
        let output = curl.arg(&url).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.starts_with("HTTP/2 200"), "{answer}");
        assert_has(&answer, "content-type: text/html; charset=utf-8\r\n");
        assert_has(&answer, "cache-control: no-store\r\n");
        assert_has(
            &answer,
            "plimsoll-decision: fallback; reason=connect; id=\"",
        );
        let expected = if method == "GET" { HTML } else { "" };
        assert_eq!(body(&answer), expected);
    }
}

#[test]
fn a_page_without_a_status_is_a_kinder_503_and_counts_as_what_went_wrong() {
    let (_home, plimsoll) = before(free_address(), "fallback = { html = \"a.html\" }");
    for method in ["GET", "POST"] {
        let (status, answer) = ask(plimsoll.address(), method, "/", "Content-Length: 0\r\n");
        assert_eq!((status, body(&answer)), (503, HTML));
        assert_has(&answer, "Retry-After: 5\r\n");
    }
    assert_counted(&plimsoll, "connect", 2);
    assert_eq!(count(&plimsoll, &["cause=\"fallback\""]), 0);
}

#[test]
fn what_a_service_says_of_a_change_that_failed_is_passed_on() {
    let service = Script::answering(b"HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\nhalf");
    let (_home, plimsoll) = before(service.address, "fallback = { html = \"a.html\" }");
    let (status, answer) = ask(plimsoll.address(), "POST", "/", "Content-Length: 0\r\n");
    assert_eq!((status, body(&answer)), (503, "half"));
    assert_eq!(body(&get(plimsoll.address(), "/").1), HTML);
}

#[test]
fn what_the_service_says_and_what_clients_do_wrong_is_passed_on() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            let status = head.split(['/', ' ']).nth(2).unwrap().to_owned();
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 4\r\n\r\nsaid");
            link.send(answer.as_bytes());
        }
    });
    let (_home, plimsoll) = before(
        service.address,
        "rate = [{ limit = \"1/h\", burst = 9 }]\nfallback = { html = \"a.html\", status = 200 }",
    );
    for (path, expected) in [
        ("/200", "said"),
        ("/404", "said"),
        ("/429", "said"),
        ("/501", "said"),
        ("/500", HTML),
        ("/502", HTML),
        ("/503", HTML),
        ("/504", HTML),
    ] {
        let (_, answer) = get(plimsoll.address(), path);
        assert_eq!(body(&answer), expected, "{path}");
    }
    let (status, answer) = ask(plimsoll.address(), "POST", "/500", "Content-Length: 0\r\n");
    assert_eq!((status, body(&answer)), (500, "said"));
    let (status, answer) = get(plimsoll.address(), "/500");
    assert_eq!(status, 429, "{answer}");
    assert_has(&answer, "Content-Type: application/problem+json\r\n");
    assert_counted(&plimsoll, "fallback", 4);
}

#[test]
fn a_reload_reads_pages_again_and_keeps_them_where_one_is_wrong() {
    let (home, plimsoll) = before(free_address(), "fallback = { html = \"a.html\" }");
    assert_eq!(body(&get(plimsoll.address(), "/").1), HTML);
    std::fs::write(home.path("a.html"), "<p>Later: {{retry_after}} s").unwrap();
    assert_eq!(
        body(&get(plimsoll.address(), "/").1),
        HTML,
        "it is read once"
    );
    plimsoll.signal(rustix::process::Signal::HUP);
    wait_until("the new page is given", || {
        body(&get(plimsoll.address(), "/").1) == "<p>Later: 5 s"
    });
    std::fs::write(home.path("a.html"), "{{secret}}").unwrap();
    let file = home.path("plimsoll.toml").display().to_string();
    let checked = program().args(["check", &file]).output().unwrap();
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(said.contains("`{{secret}}` stands for nothing"), "{said}");
    plimsoll.signal(rustix::process::Signal::HUP);
    plimsoll.wait_for("stands for nothing");
    assert_eq!(body(&get(plimsoll.address(), "/").1), "<p>Later: 5 s");
}

#[test]
fn what_is_stored_comes_before_a_page() {
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = std::sync::Arc::clone(&fails);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            if told.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            link.send(
                b"HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nContent-Length: 4\r\n\r\ngood",
            );
        }
    });
    let (_home, plimsoll) = before(
        service.address,
        "cache = { stale = \"1h\" }\nfallback = { html = \"a.html\", status = 200 }",
    );
    assert_eq!(body(&get(plimsoll.address(), "/").1), "good");
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let (_, answer) = get(plimsoll.address(), "/");
    assert_eq!(body(&answer), "good");
    assert_has(&answer, "Plimsoll-Decision: stale; ");
    assert_eq!(body(&get(plimsoll.address(), "/other").1), HTML);
}

/// Two services, the second of which stands in for the first.
fn with_another(first: SocketAddr, second: SocketAddr, more: &str) -> (Home, Plimsoll) {
    let lines = format!(
        "{more}\nfallback = {{ service = \"lite\" }}\n[service.lite]\nendpoints = [\"http://{second}\"]\n[service.lite.protect]\nbreaker = {{ mode = \"off\" }}\nejection = {{ mode = \"off\" }}\n"
    );
    before(first, &lines)
}

/// What the endpoint of the second one was asked.
fn at_lite(plimsoll: &Plimsoll, outcome: &str) -> u64 {
    let text = get(plimsoll.ops(), "/metrics").1;
    let labels = ["service=\"lite\"", &format!("outcome=\"{outcome}\"")];
    metric(&text, "plimsoll_endpoint_requests_total", &labels) as u64
}

const LITE: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nCDN-Cache-Control: max-age=600\r\nExpires: Thu, 01 Dec 2033 16:00:00 GMT\r\nX-Lite: 1\r\nContent-Length: 4\r\n\r\nlite";

#[test]
fn another_service_answers_for_one_that_fails() {
    let failing = Script::answering(b"HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nsick");
    let lite = Script::answering(LITE);
    let rewrite = "rewrite = { strip_prefix = \"/api\" }";
    let (_home, plimsoll) = with_another(failing.address, lite.address, rewrite);
    let (status, answer) = ask(plimsoll.address(), "GET", "/api/x?y=1", "X-Own: 7\r\n");
    assert_eq!((status, body(&answer)), (200, "lite"));
    assert_has(
        &answer,
        "Plimsoll-Decision: fallback; reason=upstream-5xx; id=\"",
    );
    assert_has(&answer, "X-Lite: 1\r\n");
    let lower = answer.to_ascii_lowercase();
    assert_eq!(lower.matches("cache-control").count(), 1, "{answer}");
    assert_has(&answer, "Cache-Control: no-store\r\n");
    assert!(!lower.contains("expires"), "{answer}");
    let heads = lite.heads();
    assert!(heads[0].starts_with("GET /x?y=1 "), "{heads:?}");
    assert!(heads[0].contains("X-Own: 7\r\n"), "{heads:?}");

    // What may change something goes to nobody else, and neither does what has a body.
    let (status, answer) = ask(plimsoll.address(), "POST", "/", "Content-Length: 0\r\n");
    assert_eq!((status, body(&answer)), (500, "sick"));
    assert_eq!(lite.heads().len(), 1);

    // Each service counts what it was asked; the route counts its requests once.
    assert_counted(&plimsoll, "fallback", 1);
    assert_counted(&plimsoll, "upstream-5xx", 1);
    wait_until("it is counted", || at_lite(&plimsoll, "good") == 1);
    assert_eq!(count(&plimsoll, &[]), 2);
}

#[test]
fn a_service_that_takes_too_long_leaves_another_time_to_answer() {
    let hangs = Script::start(|_, link| while link.head().is_some() {});
    let lite = Script::answering(LITE);
    let (_home, plimsoll) = with_another(hangs.address, lite.address, "deadline = \"200ms\"");
    let (status, answer) = get(plimsoll.address(), "/");
    assert_eq!((status, body(&answer)), (200, "lite"));
    assert_has(
        &answer,
        "Plimsoll-Decision: fallback; reason=timeout; id=\"",
    );
}

#[test]
fn where_both_fail_the_first_one_s_failure_is_told_and_nobody_is_asked_twice() {
    let failing = Script::answering(b"HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nsick");
    let worse = Script::answering(b"HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nworse");
    let (_home, plimsoll) = with_another(failing.address, worse.address, "");
    let (status, answer) = get(plimsoll.address(), "/");
    assert_eq!(status, 500, "{answer}");
    assert_has(&answer, "Content-Type: application/problem+json\r\n");
    assert_has(
        &answer,
        "Plimsoll-Decision: refused; reason=upstream-5xx; id=\"",
    );
    assert_eq!((failing.heads().len(), worse.heads().len()), (1, 1));
    assert_counted(&plimsoll, "upstream-5xx", 1);
    wait_until("it is counted", || at_lite(&plimsoll, "bad") == 1);
    assert_eq!(count(&plimsoll, &["cause=\"fallback\""]), 0);

    let (_home, plimsoll) = with_another(free_address(), free_address(), "");
    let (status, answer) = get(plimsoll.address(), "/");
    assert_eq!(status, 502, "{answer}");
    assert_has(&answer, "Plimsoll-Decision: failed; reason=connect; id=\"");
}

#[test]
fn a_client_that_leaves_while_another_service_answers_is_counted_once() {
    let lite = Script::start(|_, link| {
        while link.head().is_some() {
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegins");
        }
    });
    let (_home, plimsoll) = with_another(free_address(), lite.address, "");
    let mut client = crate::script::Link::connect(plimsoll.address());
    client.stream.set_read_timeout(Some(TIME_MAX)).unwrap();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.until(b"begins").is_some());
    drop(client);
    assert_counted(&plimsoll, "client-gone", 1);
    let text = get(plimsoll.ops(), "/metrics").1;
    let in_flight = metric(&text, "plimsoll_in_flight", &[]);
    assert_eq!(in_flight, 0.0, "{text}");
}
