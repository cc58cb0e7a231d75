//! Goal: a route with `cache` answers from memory what its service lets a shared cache answer, stands in for a service
//! that fails, and never gives one user what was meant for another.
//!
//! Method: services that answer byte by byte as a test says, and count what they are asked. What RFC 9111 says case by
//! case is tested where it is decided, in `plimsoll-policy`.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::access::curl;
use crate::child::{Home, Plimsoll, ask, config, get, metric, wait_until};
use crate::journal::is;
use crate::script::{Link, Script};

/// A Plimsoll before this service, whose only route has these keys of `cache`.
fn before(service: &Script, cache: &str) -> (Home, Plimsoll) {
    before_with(service, "", &format!("cache = {{ {cache} }}\n"))
}

fn before_with(service: &Script, gateway: &str, more: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    home.write(&config(&[service.address], gateway, more));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

/// Answers with these fields, and with the number of the request as the body.
pub(crate) fn numbered(fields: &'static str) -> Script {
    let requests = AtomicUsize::new(0);
    Script::start(move |_, link| {
        while link.head().is_some() {
            let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
            answer(link, fields, &number.to_string());
        }
    })
}

fn answer(link: &mut Link, fields: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
    link.send(text.as_bytes());
}

/// Asks for `/`, and expects this body.
#[track_caller]
pub(crate) fn check(plimsoll: &Plimsoll, fields: &str, body: &str) -> String {
    let (status, answer) = ask(plimsoll.address(), "GET", "/", fields);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    answer
}

#[track_caller]
fn assert_has(answer: &str, line: &str) {
    assert!(answer.contains(&format!("\r\n{line}")), "{line}: {answer}");
}

fn caused(plimsoll: &Plimsoll, cause: &str) -> u64 {
    let text = get(plimsoll.ops(), "/metrics").1;
    let label = format!("cause=\"{cause}\"");
    metric(&text, "plimsoll_requests_total", &[&label]) as u64
}

/// Nothing tells that a request waits for another one's fetch, or that who asked has left. After this, each thread has
/// taken up what came before.
fn let_all_be_taken_up(plimsoll: &Plimsoll) {
    for _ in 0..40 {
        ask(plimsoll.address(), "OPTIONS", "*", "");
    }
}

pub(crate) const FRESH: &str = "Cache-Control: max-age=600\r\n";

/// A service that is held up by `/slow` until it is told to go on, and says `good` to all.
fn held_up(fields: &'static str) -> (Script, Arc<AtomicBool>) {
    let holds = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&holds);
    let service = Script::start(move |_, link| {
        while let Some(head) = link.head() {
            if head.starts_with("GET /slow") {
                told.store(true, Ordering::SeqCst);
                wait_until("it may answer", || !told.load(Ordering::SeqCst));
            }
            answer(link, fields, "good");
        }
    });
    (service, holds)
}

/// Asks for what holds the service up.
fn keep_busy(plimsoll: &Plimsoll, holds: &AtomicBool) -> Link {
    let mut slow = Link::connect(plimsoll.address());
    slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the service is busy", || holds.load(Ordering::SeqCst));
    slow
}

#[test]
fn what_is_fresh_is_answered_without_the_service() {
    let service = numbered(FRESH);
    let (_home, plimsoll) = before(&service, "");
    let first = check(&plimsoll, "", "1");
    assert_has(
        &first,
        "Cache-Status: plimsoll;fwd=uri-miss;ttl=600;stored\r\n",
    );
    let second = check(&plimsoll, "", "1");
    assert_has(&second, "Cache-Status: plimsoll;hit;ttl=");
    assert_has(&second, "Age: ");
    assert_eq!(service.heads().len(), 1);
    let (status, head) = ask(plimsoll.address(), "HEAD", "/", "");
    assert_eq!(status, 200);
    assert_has(&head, "Content-Length: 1\r\n");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(
        service.heads().len(),
        1,
        "HEAD is answered by what GET stored"
    );
    wait_until("each is counted", || caused(&plimsoll, "cached") == 2);
    assert_eq!(caused(&plimsoll, "answered"), 1);
    let by_result = |result: &str| {
        let text = get(plimsoll.ops(), "/metrics").1;
        let label = format!("result=\"{result}\"");
        metric(&text, "plimsoll_cache_requests_total", &[&label]) as u64
    };
    wait_until("by what the cache did, too", || by_result("hit") == 2);
    assert_eq!((by_result("miss"), by_result("bypass")), (1, 0));
    wait_until("what is stored is told", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_cache_entries", &[]) == 1.0
            && metric(&text, "plimsoll_cache_bytes", &[]) > 0.0
    });
}

#[test]
fn a_route_without_cache_stores_nothing_and_says_nothing() {
    let service = numbered(FRESH);
    let (_home, plimsoll) = before_with(&service, "", "");
    check(&plimsoll, "", "1");
    let second = check(&plimsoll, "", "2");
    assert!(!second.contains("Cache-Status"), "{second}");
}

#[test]
fn parts_and_conditions_are_answered_from_the_store() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n0123456789",
    );
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "0123456789");
    let (status, part) = ask(plimsoll.address(), "GET", "/", "Range: bytes=2-4\r\n");
    assert_eq!(status, 206, "{part}");
    assert!(
        part.starts_with("HTTP/1.1 206 Partial Content\r\n"),
        "{part}"
    );
    assert_has(&part, "Content-Range: bytes 2-4/10\r\n");
    assert!(part.ends_with("\r\n\r\n234"), "{part}");
    let (status, beyond) = ask(plimsoll.address(), "GET", "/", "Range: bytes=10-\r\n");
    assert_eq!(status, 416, "{beyond}");
    assert_has(&beyond, "Content-Range: bytes */10\r\n");
    let (status, same) = ask(plimsoll.address(), "GET", "/", "If-None-Match: \"a\"\r\n");
    assert_eq!(status, 304, "{same}");
    assert_has(&same, "ETag: \"a\"\r\n");
    assert_eq!(service.heads().len(), 1);
}

#[test]
fn what_is_meant_for_one_user_is_never_given_to_another() {
    let (session, token) = ("Cookie: session=1\r\n", "Authorization: Bearer 1\r\n");
    for (answers, asks) in [
        (
            "Cache-Control: max-age=600\r\nSet-Cookie: session=1\r\n",
            "",
        ),
        ("Cache-Control: max-age=600, private\r\n", ""),
        ("Cache-Control: max-age=600, no-store\r\n", ""),
        ("Cache-Control: max-age=600\r\nVary: *\r\n", ""),
        (
            "Cache-Control: max-age=600\r\nVary: X-Forwarded-For\r\n",
            "",
        ),
        ("Cache-Control: max-age=600\r\n", session),
        ("Cache-Control: max-age=600\r\n", token),
    ] {
        let service = numbered(answers);
        let (_home, plimsoll) = before(&service, "");
        check(&plimsoll, asks, "1");
        check(&plimsoll, "", "2");
        let again = check(&plimsoll, asks, "3");
        assert!(!again.contains(";hit"), "{answers}: {again}");
    }
}

#[test]
fn answers_are_given_to_requests_that_agree_in_what_they_vary_by() {
    let service = numbered("Cache-Control: max-age=600\r\nVary: Accept-Language\r\n");
    let (_home, plimsoll) = before(&service, "");
    let (german, french) = ("Accept-Language: de\r\n", "Accept-Language: fr\r\n");
    check(&plimsoll, german, "1");
    let other = check(&plimsoll, french, "2");
    assert_has(&other, "Cache-Status: plimsoll;fwd=vary-miss");
    check(&plimsoll, german, "1");
    check(&plimsoll, french, "2");
}

#[test]
fn what_is_not_in_the_key_does_not_reach_the_service() {
    let service = numbered(FRESH);
    let (_home, plimsoll) = before(&service, "query = { only = \"page\" }");
    let (_, first) = ask(
        plimsoll.address(),
        "GET",
        "/?utm=evil&page=1",
        "X-Forwarded-Host: evil.example\r\nX-Host: evil.example\r\nX-Original-URL: /evil\r\n",
    );
    assert!(first.ends_with("\r\n\r\n1"), "{first}");
    let (_, second) = ask(plimsoll.address(), "GET", "/?page=1&utm=2", "");
    assert!(second.ends_with("\r\n\r\n1"), "{second}");
    let heads = service.heads();
    assert!(
        heads[0].starts_with("GET /?page=1 HTTP/1.1"),
        "{}",
        heads[0]
    );
    assert!(!heads[0].contains("evil"), "{}", heads[0]);
}

#[test]
fn a_body_that_is_broken_off_is_not_stored() {
    let service = Script::start(|number, link| {
        while link.head().is_some() {
            if number == 0 {
                link.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 10\r\n\r\n01234");
                return;
            }
            answer(link, FRESH, "whole");
        }
    });
    let (_home, plimsoll) = before(&service, "");
    let _broken = ask(plimsoll.address(), "GET", "/", "");
    check(&plimsoll, "", "whole");
    check(&plimsoll, "", "whole");
    assert_eq!(service.heads().len(), 2);
}

#[test]
fn what_is_too_long_passes_through() {
    const LONG: usize = 100_000;
    let service = Script::start(|_, link| {
        while link.head().is_some() {
            let fields = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n";
            link.send(format!("{fields}{LONG:x}\r\n{}\r\n0\r\n\r\n", "#".repeat(LONG)).as_bytes());
        }
    });
    let (_home, plimsoll) = before(&service, "bytes_max = \"64KiB\"");
    for asked in 1..=2 {
        let (_, answer) = get(plimsoll.address(), "/");
        assert!(answer.len() > LONG, "{}", answer.len());
        assert_eq!(service.heads().len(), asked);
    }
    let (_home, plimsoll) = before(&service, "");
    for _ in 0..2 {
        let (_, answer) = get(plimsoll.address(), "/");
        assert_eq!(answer.matches("#").count(), LONG);
    }
    assert_eq!(service.heads().len(), 3, "a chunked body is stored");
}

#[test]
fn a_stale_answer_is_asked_about_and_given_again() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            if head.contains("If-None-Match: \"a\"") {
                link.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nCache-Control: max-age=600\r\nX-New: 1\r\n\r\n");
            } else {
                answer(link, "ETag: \"a\"\r\nCache-Control: max-age=0\r\n", "body");
            }
        }
    });
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "body");
    let validated = check(&plimsoll, "", "body");
    assert_has(
        &validated,
        "Cache-Status: plimsoll;fwd=stale;fwd-status=304;ttl=600;stored\r\n",
    );
    assert_has(&validated, "X-New: 1\r\n");
    let hit = check(&plimsoll, "", "body");
    assert_has(&hit, "Cache-Status: plimsoll;hit;");
    assert_eq!(service.heads().len(), 2);
}

#[test]
fn a_304_about_another_answer_is_not_believed() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            if head.contains("If-None-Match") {
                link.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n");
            } else {
                answer(link, "ETag: \"a\"\r\nCache-Control: max-age=0\r\n", "body");
            }
        }
    });
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "body");
    check(&plimsoll, "", "body");
    assert_eq!(service.heads().len(), 3, "it was asked for the whole");
}

#[test]
fn a_change_takes_out_what_it_changed() {
    let service = numbered(FRESH);
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "1");
    let (status, _) = ask(plimsoll.address(), "POST", "/", "Content-Length: 0\r\n");
    assert_eq!(status, 200);
    check(&plimsoll, "", "3");
    check(&plimsoll, "", "3");
}

/// A service that stops answering well once it is told to.
fn failing(fields: &'static str, failure: &'static [u8]) -> (Script, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            if !told.load(Ordering::SeqCst) {
                answer(link, fields, "good");
            } else if failure.is_empty() {
                return;
            } else {
                link.send(failure);
            }
        }
    });
    (service, fails)
}

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsick";

#[test]
fn a_stale_answer_stands_in_for_a_service_that_fails() {
    for (failure, reason) in [(UNAVAILABLE, "upstream-5xx"), (b"", "reset")] {
        let (service, fails) = failing("Cache-Control: max-age=0\r\n", failure);
        let (_home, plimsoll) = before(&service, "stale = \"1h\"");
        check(&plimsoll, "", "good");
        fails.store(true, Ordering::SeqCst);
        let stale = check(&plimsoll, "", "good");
        assert_has(
            &stale,
            &format!("Plimsoll-Decision: stale; reason={reason}; id=\""),
        );
        assert!(stale.contains(&format!(";detail={reason}\r\n")), "{stale}");
        assert_has(&stale, "Age: ");
        wait_until("it is counted", || caused(&plimsoll, "stale") == 1);
        fails.store(false, Ordering::SeqCst);
        let good = check(&plimsoll, "", "good");
        assert_has(&good, "Cache-Status: plimsoll;fwd=stale;");
    }
}

#[test]
fn an_answer_that_forbids_it_is_not_given_stale() {
    let (service, fails) = failing(
        "Cache-Control: max-age=0, must-revalidate\r\nETag: \"a\"\r\n",
        UNAVAILABLE,
    );
    let (_home, plimsoll) = before(&service, "stale = \"1h\"");
    check(&plimsoll, "", "good");
    fails.store(true, Ordering::SeqCst);
    let (status, answer) = get(plimsoll.address(), "/");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.ends_with("sick"), "{answer}");
}

#[test]
fn a_request_that_is_refused_gets_a_stale_answer() {
    let (service, holds) = held_up("Cache-Control: max-age=0\r\n");
    let more = "cache = { stale = \"1h\" }\n[service.app.protect]\nlimiter = 1\nqueue = { wait = \"10ms\" }\n";
    let (_home, plimsoll) = before_with(&service, "", more);
    check(&plimsoll, "", "good");
    let mut slow = keep_busy(&plimsoll, &holds);
    let stale = check(&plimsoll, "", "good");
    assert_has(
        &stale,
        "Plimsoll-Decision: stale; reason=queue-timeout; id=\"",
    );
    let (status, refused) = get(plimsoll.address(), "/never-asked");
    assert_eq!(status, 503, "{refused}");
    holds.store(false, Ordering::SeqCst);
    assert!(slow.head().is_some());
}

/// A service that holds each answer back until it may go, and what it was asked.
fn held(fields: &'static str, body: &'static str) -> (Script, Arc<AtomicBool>) {
    let may_go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&may_go);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            wait_until("it may answer", || told.load(Ordering::SeqCst));
            answer(link, fields, body);
        }
    });
    (service, may_go)
}

/// Clients that have sent a request for `/` each, and get no answer yet.
fn asking(plimsoll: &Plimsoll, count: usize, fields: &str) -> Vec<Link> {
    let ask = |_| {
        let mut link = Link::connect(plimsoll.address());
        let host = plimsoll.address();
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        link.send(head.as_bytes());
        link
    };
    (0..count).map(ask).collect()
}

#[test]
fn many_who_want_the_same_at_once_have_the_service_asked_once() {
    const CLIENTS: usize = 200;
    let (service, may_go) = held(FRESH, "one");
    let (_home, plimsoll) = before(&service, "");
    let clients = asking(&plimsoll, CLIENTS, "");
    wait_until("all are there", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_connections", &[]) as usize >= CLIENTS
    });
    wait_until("one asks", || !service.heads().is_empty());
    may_go.store(true, Ordering::SeqCst);
    let mut collapsed = 0;
    for mut client in clients {
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("\r\n\r\none"), "{answer}");
        collapsed += usize::from(answer.contains(";collapsed\r\n"));
    }
    assert_eq!(service.heads().len(), 1);
    assert!(collapsed > 0, "somebody waited for another one's answer");
    wait_until("each is counted", || {
        caused(&plimsoll, "cached") + caused(&plimsoll, "answered") == CLIENTS as u64
    });
    assert_eq!(caused(&plimsoll, "answered"), 1);
}

#[test]
fn an_answer_for_one_user_releases_the_others_at_once_to_ask_by_themselves() {
    const CLIENTS: usize = 20;
    for fields in [
        "Cache-Control: private, max-age=600\r\n",
        "Cache-Control: no-cache\r\nETag: \"a\"\r\n",
        "Cache-Control: max-age=0, must-revalidate\r\nETag: \"a\"\r\n",
    ] {
        let gate = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&gate);
        let service = Script::start(move |number, link| {
            while link.head().is_some() {
                // All but the first are held until all of them are here: nobody waits for another.
                let needed = if number == 0 { 1 } else { CLIENTS };
                let body = told.fetch_add(1, Ordering::SeqCst).to_string();
                wait_until("they are here", || told.load(Ordering::SeqCst) >= needed);
                answer(link, fields, &body);
            }
        });
        let (_home, plimsoll) = before(&service, "");
        let mut bodies: Vec<_> = asking(&plimsoll, CLIENTS, "")
            .into_iter()
            .map(|mut client| client.rest().rsplit("\r\n").next().unwrap().to_owned())
            .collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(
            bodies.len(),
            CLIENTS,
            "each has an answer of its own: {fields}"
        );
    }
}

#[test]
fn who_asks_and_leaves_does_not_take_the_answer_from_those_who_wait() {
    let (service, may_go) = held(FRESH, "kept");
    let (_home, plimsoll) = before(&service, "");
    let leader = asking(&plimsoll, 1, "");
    wait_until("it is asked", || service.heads().len() == 1);
    let waiting = asking(&plimsoll, 3, "");
    wait_until("all are there", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_connections", &[]) as usize >= 4
    });
    let_all_be_taken_up(&plimsoll);
    drop(leader);
    let_all_be_taken_up(&plimsoll);
    may_go.store(true, Ordering::SeqCst);
    for mut client in waiting {
        assert!(client.rest().ends_with("\r\n\r\nkept"));
    }
    check(&plimsoll, "", "kept");
    assert_eq!(service.heads().len(), 1);
    wait_until("who left is counted as that", || {
        caused(&plimsoll, "client-gone") == 1
    });
}

#[test]
fn who_asks_and_leaves_while_nobody_waits_for_it_leaves_its_place_in_the_queue() {
    let (service, holds) = held_up(FRESH);
    let more = "cache = {}\n[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"10m\"\n\
                [service.app.protect]\nlimiter = 1\ndeadline = { head = \"10m\" }\nqueue = { wait = \"5m\" }\n";
    let (_home, plimsoll) = before_with(&service, "", more);
    let mut slow = keep_busy(&plimsoll, &holds);
    let queued = || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_queue_requests", &[])
    };
    let leader = asking(&plimsoll, 1, "");
    wait_until("it is queued", || queued() == 1.0);
    drop(leader);
    wait_until("it has left", || queued() == 0.0);
    holds.store(false, Ordering::SeqCst);
    assert!(slow.head().is_some());
    wait_until("it is counted", || caused(&plimsoll, "client-gone") == 1);
    assert_eq!(service.heads().len(), 1);
}

#[test]
fn a_client_that_leaves_in_the_midst_of_an_answer_or_reads_slowly_does_not_keep_it_from_others() {
    const LENGTH: usize = 4 * 1024 * 1024;
    for leaves in [true, false] {
        let may_end = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&may_end);
        let service = Script::start(move |_, link| {
            while link.head().is_some() {
                let head = format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: {LENGTH}\r\n\r\n");
                link.send(head.as_bytes());
                link.send(&vec![b'#'; LENGTH / 2]);
                wait_until("it may end", || told.load(Ordering::SeqCst));
                link.send(&vec![b'#'; LENGTH / 2]);
            }
        });
        let (_home, plimsoll) = before(&service, "");
        let mut first = asking(&plimsoll, 1, "").remove(0);
        assert!(first.head().is_some());
        // It reads no more than the head.
        let slow = (!leaves).then_some(first);
        let mut waiting = asking(&plimsoll, 2, "");
        may_end.store(true, Ordering::SeqCst);
        for client in &mut waiting {
            assert!(client.head().is_some());
            assert_eq!(client.skip(LENGTH as u64), LENGTH as u64);
        }
        if let Some(mut slow) = slow {
            assert_eq!(slow.skip(LENGTH as u64), LENGTH as u64);
        }
        assert_eq!(service.heads().len(), 1, "leaves: {leaves}");
    }
}

#[test]
fn an_answer_that_is_broken_off_is_fetched_once_more_for_all_who_waited() {
    const CLIENTS: usize = 20;
    let breaks = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&breaks);
    let service = Script::start(move |number, link| {
        while link.head().is_some() {
            if number == 0 {
                let head = format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 5\r\n\r\nwh");
                link.send(head.as_bytes());
                wait_until("it may break off", || told.load(Ordering::SeqCst));
                return;
            }
            answer(link, FRESH, "whole");
        }
    });
    let (_home, plimsoll) = before(&service, "");
    let mut first = asking(&plimsoll, 1, "").remove(0);
    assert!(first.head().is_some());
    let others = asking(&plimsoll, CLIENTS, "");
    wait_until("all are there", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_connections", &[]) as usize > CLIENTS
    });
    breaks.store(true, Ordering::SeqCst);
    assert_eq!(first.rest(), "wh");
    for mut client in others {
        assert!(client.rest().ends_with("\r\n\r\nwhole"));
    }
    assert_eq!(service.heads().len(), 2);
}

#[test]
fn a_request_that_another_service_answers_is_a_miss_and_one_whose_client_left_asks_none() {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            wait_until("it may fail", || told.load(Ordering::SeqCst));
            link.send(UNAVAILABLE);
        }
    });
    let lite = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlite");
    let more = format!(
        "cache = {{}}\nfallback = {{ service = \"lite\" }}\n[service.lite]\nendpoints = [\"http://{}\"]\n",
        lite.address
    );
    let (_home, plimsoll) = before_with(&service, "", &more);
    let leader = asking(&plimsoll, 1, "");
    wait_until("it is asked", || service.heads().len() == 1);
    let mut other = asking(&plimsoll, 1, "").remove(0);
    wait_until("both are there", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_connections", &[]) as usize >= 2
    });
    let_all_be_taken_up(&plimsoll);
    drop(leader);
    wait_until("the first has gone", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_connections", &[]) as usize <= 1
    });
    fails.store(true, Ordering::SeqCst);
    assert!(other.rest().ends_with("lite"));
    wait_until("both are counted", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(
            &text,
            "plimsoll_cache_requests_total",
            &["result=\"miss\"", "service=\"app\""],
        ) == 2.0
    });
    assert_eq!(lite.heads().len(), 1);
}

#[test]
fn those_who_wait_for_what_fails_get_what_is_stale_or_a_refusal_and_few_ask_again() {
    const CLIENTS: usize = 30;
    let fails = Arc::new(AtomicBool::new(false));
    let (may_go, told) = (Arc::new(AtomicBool::new(true)), Arc::clone(&fails));
    let gate = Arc::clone(&may_go);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            wait_until("it may answer", || gate.load(Ordering::SeqCst));
            match told.load(Ordering::SeqCst) {
                false => answer(link, "Cache-Control: max-age=0\r\n", "good"),
                true => link.send(UNAVAILABLE),
            }
        }
    });
    for (stale, expected) in [("1h", "good"), ("0s", "")] {
        fails.store(false, Ordering::SeqCst);
        let (_home, plimsoll) = before(&service, &format!("stale = \"{stale}\""));
        if !expected.is_empty() {
            check(&plimsoll, "", "good");
        }
        fails.store(true, Ordering::SeqCst);
        may_go.store(false, Ordering::SeqCst);
        let before = service.heads().len();
        let clients = asking(&plimsoll, CLIENTS, "");
        wait_until("all are there", || {
            let text = get(plimsoll.ops(), "/metrics").1;
            metric(&text, "plimsoll_connections", &[]) as usize >= CLIENTS
        });
        wait_until("one asks", || service.heads().len() > before);
        may_go.store(true, Ordering::SeqCst);
        for mut client in clients {
            let answer = client.rest();
            match expected {
                "" => assert!(answer.starts_with("HTTP/1.1 503"), "{answer}"),
                body => assert!(answer.ends_with(body), "{answer}"),
            }
        }
        // One, and the few that try by themselves; who came after that leads anew.
        let asked = service.heads().len() - before;
        assert!(asked <= CLIENTS / 2, "{stale}: {asked}");
    }
}

/// Too much being stored at once says nothing of an answer: the next one is fetched once for all again.
#[test]
fn an_answer_that_finds_no_room_is_waited_for_again() {
    const CLIENTS: usize = 20;
    let (may_end, may_go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(true)),
    );
    for chunked in [false, true] {
        may_end.store(false, Ordering::SeqCst);
        let (end, go) = (Arc::clone(&may_end), Arc::clone(&may_go));
        let service = Script::start(move |_, link| {
            while let Some(head) = link.head() {
                if head.starts_with("GET /large") {
                    let length = 1024 * 1024;
                    let head =
                        format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: {length}\r\n\r\n");
                    link.send(head.as_bytes());
                    wait_until("it may end", || end.load(Ordering::SeqCst));
                    link.send(&vec![b'#'; length]);
                    continue;
                }
                wait_until("it may answer", || go.load(Ordering::SeqCst));
                match chunked {
                    true => link.send(format!("HTTP/1.1 200 OK\r\n{FRESH}Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n").as_bytes()),
                    false => answer(link, FRESH, "one"),
                }
            }
        });
        let gateway = "[gateway.cache]\nmemory_max = \"1MiB\"\n";
        let (_home, plimsoll) = before_with(&service, gateway, "cache = {}\n");
        let mut large = Link::connect(plimsoll.address());
        large.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(large.head().is_some());
        let (_, passed) = get(plimsoll.address(), "/");
        assert!(passed.contains("one"), "{passed}");
        assert_eq!(passed.contains("detail=full"), !chunked, "{passed}");
        may_end.store(true, Ordering::SeqCst);
        assert_eq!(large.skip(1024 * 1024), 1024 * 1024);
        wait_until("there is room", || {
            let text = get(plimsoll.ops(), "/metrics").1;
            metric(&text, "plimsoll_cache_filling_bytes", &[]) == 0.0
        });
        may_go.store(false, Ordering::SeqCst);
        let asked = service.heads().len();
        let clients = asking(&plimsoll, CLIENTS, "");
        wait_until("all are there", || {
            let text = get(plimsoll.ops(), "/metrics").1;
            metric(&text, "plimsoll_connections", &[]) as usize >= CLIENTS
        });
        wait_until("one asks", || service.heads().len() > asked);
        may_go.store(true, Ordering::SeqCst);
        for mut client in clients {
            assert!(client.rest().contains("one"));
        }
        assert_eq!(service.heads().len(), asked + 1, "chunked: {chunked}");
    }
}

/// Whoever waited for the one that was refused is judged by itself.
#[test]
fn a_request_that_is_refused_does_not_have_those_refused_that_wait_for_what_it_asked_for() {
    const CLIENTS: usize = 12;
    let (service, holds) = held_up(FRESH);
    let more = "cache = {}\n[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"30s\"\n\
                [service.app.protect]\nlimiter = 1\nqueue = { wait = \"3s\" }\n";
    let (_home, plimsoll) = before_with(&service, "", more);
    let _slow = keep_busy(&plimsoll, &holds);
    let mut first = asking(&plimsoll, 1, "").remove(0);
    wait_until("the first is queued", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_queue_requests", &[]) == 1.0
    });
    let others = asking(&plimsoll, CLIENTS, "");
    let refused = first.rest();
    assert!(refused.contains("reason=queue-timeout"), "{refused}");
    holds.store(false, Ordering::SeqCst);
    for mut client in others {
        let answer = client.rest();
        assert!(answer.ends_with("\r\n\r\ngood"), "{answer}");
    }
}

/// Stale at once, and good for use while a new one is fetched.
const REVALIDATED: &str = "Cache-Control: max-age=0, stale-while-revalidate=600\r\nETag: \"a\"\r\n";

#[test]
fn what_is_stale_is_given_at_once_and_renewed_with_nobody_waiting() {
    let service = numbered(REVALIDATED);
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "1");
    let stale = check(&plimsoll, "X-Mine: 1\r\n", "1");
    assert_has(&stale, "Cache-Status: plimsoll;hit;ttl=");
    assert_has(
        &stale,
        "Plimsoll-Decision: stale; reason=revalidating; id=\"",
    );
    wait_until("it is asked", || service.heads().len() == 2);
    let renewal = &service.heads()[1];
    assert!(renewal.starts_with("GET / HTTP/1.1\r\n"), "{renewal}");
    assert!(renewal.contains("If-None-Match: \"a\"\r\n"), "{renewal}");
    assert!(!renewal.contains("X-Mine"), "{renewal}");
    wait_until("the new one is stored", || {
        let (_, answer) = ask(plimsoll.address(), "HEAD", "/", "");
        let (_, only) = ask(
            plimsoll.address(),
            "GET",
            "/",
            "Cache-Control: only-if-cached\r\n",
        );
        assert!(answer.contains(";hit;"), "{answer}");
        !only.ends_with("\r\n\r\n1")
    });
    let heads = service.heads();
    assert!(heads.iter().all(|head| head.starts_with("GET ")));
    assert_eq!(caused(&plimsoll, "answered"), 1, "a renewal is no request");
}

#[test]
fn what_its_service_lets_be_stale_beside_s_maxage_is_renewed_too() {
    let service =
        numbered("Cache-Control: s-maxage=0, stale-while-revalidate=600\r\nETag: \"a\"\r\n");
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "1");
    let stale = check(&plimsoll, "", "1");
    assert_has(
        &stale,
        "Plimsoll-Decision: stale; reason=revalidating; id=\"",
    );
    wait_until("it is renewed", || service.heads().len() == 2);
}

#[test]
fn a_renewal_that_fails_leaves_what_is_stored() {
    let (service, fails) = failing(REVALIDATED, UNAVAILABLE);
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "good");
    fails.store(true, Ordering::SeqCst);
    check(&plimsoll, "", "good");
    wait_until("it is asked", || service.heads().len() == 2);
    check(&plimsoll, "", "good");
    // Not each time that it is given.
    check(&plimsoll, "", "good");
    assert!(service.heads().len() <= 3);
    assert_eq!(caused(&plimsoll, "upstream-5xx"), 0);
}

#[test]
fn routes_take_over_for_how_long_their_service_may_be_stale() {
    let (service, fails) = failing("Cache-Control: max-age=0\r\n", UNAVAILABLE);
    let degrade = "[service.app.degrade]\nstale = \"1h\"\n";
    for (cache, status) in [("", 200), ("stale = \"0s\"", 503)] {
        fails.store(false, Ordering::SeqCst);
        let more = format!("cache = {{ {cache} }}\n{degrade}");
        let (_home, plimsoll) = before_with(&service, "", &more);
        check(&plimsoll, "", "good");
        fails.store(true, Ordering::SeqCst);
        assert_eq!(get(plimsoll.address(), "/").0, status, "{cache}");
    }
}

#[test]
fn who_wants_what_is_stored_or_nothing_never_has_the_service_asked() {
    for fields in [REVALIDATED, "Cache-Control: max-age=0\r\nETag: \"a\"\r\n"] {
        let service = numbered(fields);
        let (_home, plimsoll) = before(&service, "");
        check(&plimsoll, "", "1");
        for method in ["GET", "HEAD"] {
            let only = "Cache-Control: only-if-cached\r\n";
            let (status, answer) = ask(plimsoll.address(), method, "/", only);
            let expected = if fields == REVALIDATED { 200 } else { 504 };
            assert_eq!(status, expected, "{answer}");
        }
        assert_eq!(service.heads().len(), 1, "{fields}");
    }
}

#[test]
fn who_wants_nothing_old_gets_nothing_stale() {
    let service = numbered(REVALIDATED);
    let (_home, plimsoll) = before(&service, "");
    check(&plimsoll, "", "1");
    check(&plimsoll, "Cache-Control: no-store\r\n", "2");
    check(&plimsoll, "Cache-Control: no-cache\r\n", "3");
}

#[test]
fn a_client_that_wants_what_is_stored_or_nothing_gets_that() {
    let service = numbered(FRESH);
    let (_home, plimsoll) = before(&service, "");
    let only = "Cache-Control: only-if-cached\r\n";
    let (status, _) = ask(plimsoll.address(), "GET", "/", only);
    assert_eq!(status, 504);
    assert_eq!(service.heads().len(), 0);
    check(&plimsoll, "", "1");
    check(&plimsoll, only, "1");
}

/// Stored on disk, and started again. The host is the same before and after, whatever port is listened on.
#[test]
fn what_is_stored_on_disk_outlives_a_restart_and_what_was_changed_does_not() {
    let service = numbered(FRESH);
    let home = Home::new();
    let gateway = "[gateway.cache]\ndisk_max = \"16MiB\"\n";
    home.write(&config(
        &[service.address],
        gateway,
        "cache = { stale = \"1h\" }\n",
    ));
    let asked = |plimsoll: &Plimsoll, method: &str, path: &str| {
        let mut link = Link::connect(plimsoll.address());
        let fields = "Host: shop\r\nContent-Length: 0\r\nConnection: close";
        link.send(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes());
        link.rest()
    };
    let plimsoll = home.run(&[]);
    assert!(asked(&plimsoll, "GET", "/").ends_with("\r\n\r\n1"));
    assert!(asked(&plimsoll, "GET", "/other").ends_with("\r\n\r\n2"));
    let folder = home.path("state/cache");
    let files = |count: usize| {
        wait_until("it is on disk, or no longer", || {
            let is_answer =
                |path: &std::path::Path| path.extension().is_some_and(|it| it == "answer");
            std::fs::read_dir(&folder).is_ok_and(|files| {
                let paths = files.map(|file| file.unwrap().path());
                paths.filter(|path| is_answer(path)).count() == count
            })
        });
    };
    files(2);
    assert!(asked(&plimsoll, "POST", "/other").ends_with("\r\n\r\n3"));
    files(1);
    // However it ends.
    plimsoll.signal(rustix::process::Signal::KILL);
    drop(plimsoll);
    let plimsoll = home.run(&[]);
    // The folder is read while requests are served already.
    let restored = || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_cache_disk_bytes", &[]) > 0.0
    };
    wait_until("the folder was read", restored);
    let first = asked(&plimsoll, "GET", "/");
    assert!(first.contains("Cache-Status: plimsoll;hit"), "{first}");
    assert!(first.ends_with("\r\n\r\n1"), "{first}");
    let other = asked(&plimsoll, "GET", "/other");
    assert!(other.contains("fwd=uri-miss"), "{other}");
    assert!(other.ends_with("\r\n\r\n4"), "{other}");
    wait_until("it is counted", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        let read = ["result=\"read\""];
        metric(&text, "plimsoll_cache_disk_answers_total", &read) == 1.0
    });
}

/// What is read from disk changes the decision: a part was asked for, and now the whole is, to be stored.
#[test]
fn what_is_not_in_the_key_does_not_reach_the_service_where_something_stale_is_on_disk() {
    let service = numbered("Cache-Control: max-age=0\r\nETag: \"a\"\r\n");
    let home = Home::new();
    let gateway = "[gateway.cache]\ndisk_max = \"16MiB\"\n";
    let cache = "cache = { stale = \"1h\", query = { only = \"page\" } }\n";
    home.write(&config(&[service.address], gateway, cache));
    let plimsoll = home.run(&[]);
    // The host is in the key, and the port is another one each time.
    let asked = |plimsoll: &Plimsoll, rest: &str| {
        let mut link = Link::connect(plimsoll.address());
        link.send(format!("GET {rest}Host: a\r\nConnection: close\r\n\r\n").as_bytes());
        link.rest()
    };
    let first = asked(&plimsoll, "/?page=1 HTTP/1.1\r\n");
    assert!(first.ends_with("\r\n\r\n1"), "{first}");
    wait_until("it is on disk", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_cache_disk_bytes", &[]) > 0.0
    });
    plimsoll.signal(rustix::process::Signal::KILL);
    drop(plimsoll);
    let plimsoll = home.run(&[]);
    wait_until("what is on disk was read", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_cache_disk_bytes", &[]) > 0.0
    });
    let part = "/?page=1&utm=evil HTTP/1.1\r\nRange: bytes=0-\r\nX-Original-URL: /evil\r\nX-Host: evil.example\r\n";
    let part = asked(&plimsoll, part);
    assert!(part.contains("fwd=stale"), "it was on disk: {part}");
    let heads = service.heads();
    let sent = heads.last().unwrap();
    assert!(sent.starts_with("GET /?page=1 HTTP/1.1"), "{sent}");
    assert!(!sent.contains("evil") && !sent.contains("Range"), "{sent}");
    assert!(sent.contains("If-None-Match: \"a\"\r\n"), "{sent}");
}

/// Asks for `/` over HTTP/2.
fn over_http2(plimsoll: &Plimsoll, more: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-i", "--http2-prior-knowledge", "--max-time", "60"])
        .args(more)
        .arg(format!("http://{}/", plimsoll.address()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn over_http2_what_is_stored_is_answered_whole_in_parts_and_by_conditions() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n0123456789",
    );
    let (_home, plimsoll) = before(&service, "");
    let miss = over_http2(&plimsoll, &[]);
    assert!(miss.starts_with("HTTP/2 200"), "{miss}");
    assert_has(
        &miss,
        "cache-status: plimsoll;fwd=uri-miss;ttl=600;stored\r\n",
    );
    assert!(miss.ends_with("\r\n\r\n0123456789"), "{miss}");
    let hit = over_http2(&plimsoll, &[]);
    assert_has(&hit, "cache-status: plimsoll;hit;ttl=");
    assert_has(&hit, "content-length: 10\r\n");
    assert!(hit.ends_with("\r\n\r\n0123456789"), "{hit}");
    let head = over_http2(&plimsoll, &["--head"]);
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    assert_has(&head, "content-length: 10\r\n");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let part = over_http2(&plimsoll, &["-r", "2-4"]);
    assert!(part.starts_with("HTTP/2 206"), "{part}");
    assert_has(&part, "content-range: bytes 2-4/10\r\n");
    assert!(part.ends_with("\r\n\r\n234"), "{part}");
    let same = over_http2(&plimsoll, &["-H", "If-None-Match: \"a\""]);
    assert!(same.starts_with("HTTP/2 304"), "{same}");
    assert_has(&same, "etag: \"a\"\r\n");
    // What came for a client of HTTP/2 is for one of HTTP/1.1 too.
    check(&plimsoll, "", "0123456789");
    assert_eq!(service.heads().len(), 1);
}

/// A purge, and what it says.
pub(crate) fn purge(home: &Home, args: &[&str]) -> (bool, String) {
    let output = home.ask(&[&["cache", "purge"], args, &["--why", "it is wrong"]].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn what_is_purged_is_asked_for_again_and_who_did_it_is_recorded() {
    let requests = AtomicUsize::new(0);
    let service = Script::start(move |_, link| {
        while let Some(head) = link.head() {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let number = requests.fetch_add(1, Ordering::SeqCst);
            let fields = format!(
                "{FRESH}Surrogate-Key: all page{}\r\n",
                path.replace('/', "-")
            );
            answer(link, &fields, &format!("{path} {number}"));
        }
    });
    let (home, plimsoll) = before(&service, "");
    let paths = ["/a", "/a/b", "/c"];
    let host = format!("http://{}", plimsoll.address());
    let bodies = || {
        paths.map(|path| {
            let (_, answer) = get(plimsoll.address(), path);
            assert!(!answer.contains("Surrogate-Key"), "{answer}");
            answer.rsplit("\r\n").next().unwrap().to_owned()
        })
    };
    let mut before = bodies();
    assert_eq!(bodies(), before, "they are stored");
    let (url, prefix) = (format!("{host}/a"), format!("{host}/a"));
    for (args, gone) in [
        (vec![url.as_str()], [true, false, false]),
        (vec!["--prefix", &prefix], [true, true, false]),
        (vec!["--key", "page-c"], [false, false, true]),
        (vec!["--key", "all"], [true, true, true]),
        (vec!["--service", "app"], [true, true, true]),
        (vec!["--key", "nobody"], [false, false, false]),
    ] {
        let (done, said) = purge(&home, &args);
        assert!(done && said.contains("#"), "{said}");
        let after = bodies();
        let changed = [0, 1, 2].map(|place| after[place] != before[place]);
        assert_eq!(changed, gone, "{args:?}: {said}");
        before = after;
    }
    for args in [&["nonsense"][..], &["--service", "nobody"], &[]] {
        let (done, said) = purge(&home, args);
        assert!(!done, "{args:?}: {said}");
    }
    let record = home.wait_for_record("the purge", is("change", "purged all with the key page-c"));
    assert!(record.to_string().contains("it is wrong"), "{record}");
}

#[test]
fn only_who_may_change_a_service_takes_out_what_is_stored_of_it() {
    let service = numbered(FRESH);
    let home = Home::new();
    let text = config(&[service.address], "", "cache = {}\n");
    home.write(&text.replace("[service.app]\n", "[service.app]\nowner = \"payments\"\n"));
    let plimsoll = home.run(&[]);
    check(&plimsoll, "", "1");
    let payments = home.token(&["pat", "--role", "operator", "--owner", "payments"]);
    let search = home.token(&["sam", "--role", "operator", "--owner", "search"]);
    let viewer = home.token(&["vic", "--role", "viewer"]);
    let json = ["-H", "Content-Type: application/json", "-d"];
    let ask = |token: &str, wanted: &str| {
        let args = [&json[..], &[wanted]].concat();
        curl(&plimsoll, "POST", "/api/v1/cache/app/purge", token, &args).0
    };
    let all = r#"{"all":true,"why":"it is wrong"}"#;
    assert_eq!((ask(&search, all), ask(&viewer, all)), (403, 403));
    check(&plimsoll, "", "1");
    for wanted in ["{}", r#"{"all":true}"#, r#"{"url":"/x","why":"x"}"#] {
        assert_eq!(ask(&payments, wanted), 422, "{wanted}");
    }
    assert_eq!(ask(&payments, all), 200);
    check(&plimsoll, "", "2");
}

#[test]
fn what_is_being_fetched_while_it_is_purged_is_given_and_not_stored() {
    let (service, may_go) = held(FRESH, "old");
    let (home, plimsoll) = before(&service, "");
    let mut client = asking(&plimsoll, 1, "").remove(0);
    wait_until("it is asked", || service.heads().len() == 1);
    assert!(purge(&home, &["--service", "app"]).0);
    may_go.store(true, Ordering::SeqCst);
    assert!(client.rest().ends_with("\r\n\r\nold"));
    check(&plimsoll, "", "old");
    assert_eq!(service.heads().len(), 2);
}
