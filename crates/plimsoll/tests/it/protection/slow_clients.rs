//! Goal: clients that send or read slowly hold nobody's permit, and pausing is no way around the limit.
//!
//! Method: raw clients that stop half-way, before a service that needs the whole body, and works while a gate is shut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::station::{Act, Station};
use super::*;
use crate::script::{Link, Script};

/// A starting limit of 20 is filled twice.
const SLOW: u64 = 40;
/// What is opened at once: below the limit, so that a slow machine is not taken for a service that stalls.
const AT_ONCE: u64 = 10;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// More than all buffers between a service and a client hold.
const LARGE: usize = 64 << 20;

#[test]
fn clients_that_stop_half_way_through_their_bodies_cost_nobody_a_permit() {
    let service = service(&Arc::new(Gate::open()));
    let (_home, plimsoll) = before(&[service.address], "", "");
    let limit = limit(&plimsoll);
    let slow = open(&plimsoll, SLOW, AT_ONCE, HALF);
    assert_unharmed(&plimsoll, limit);

    // Whoever goes on is answered.
    for mut link in slow {
        link.send(b"half");
        assert!(link.head().unwrap().starts_with("HTTP/1.1 200"));
    }
    let text = settled(&plimsoll, SLOW + NORMAL);
    assert_eq!(caused(&text, "answered"), SLOW + NORMAL);
}

#[test]
fn clients_that_do_not_read_their_answers_cost_nobody_a_permit() {
    let service = service(&Arc::new(Gate::open()));
    let (_home, plimsoll) = before(&[service.address], "", "");
    let limit = limit(&plimsoll);
    let slow = open(
        &plimsoll,
        SLOW,
        AT_ONCE,
        "GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_unharmed(&plimsoll, limit);

    let mut slow = slow.into_iter();
    let mut reads = slow.next().unwrap();
    assert!(reads.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(reads.skip(LARGE as u64), LARGE as u64, "it is all there");
    drop(slow);
    let text = settled(&plimsoll, SLOW + NORMAL);
    assert_eq!(caused(&text, "client-gone"), SLOW - 1);
}

#[test]
fn calls_whose_clients_paused_are_in_flight_again_once_the_service_works_on_them() {
    const PAUSED: u64 = 6;
    let gate = Arc::new(Gate::shut());
    let service = service(&gate);
    let more = "[service.app.protect]\nlimiter = 2\nqueue = \"0s\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let mut paused = open(&plimsoll, PAUSED, 2, HALF);
    wait_until("none holds a permit", || {
        in_flight(&metrics(&plimsoll)) == 0
    });
    for link in &mut paused {
        link.send(b"half");
    }
    wait_until("the service works on all of them", || {
        gate.present.load(Ordering::SeqCst) == PAUSED as u32
    });
    wait_until("they are in flight", || {
        in_flight(&metrics(&plimsoll)) == PAUSED
    });
    let refused = get(plimsoll.address(), "/");
    assert_eq!(refused.0, 503, "over the limit nobody is let in");

    gate.open.store(true, Ordering::SeqCst);
    for mut link in paused {
        assert!(link.head().unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    settled(&plimsoll, PAUSED + 2);
    wait_until("all permits are back", || {
        in_flight(&metrics(&plimsoll)) == 0
    });
}

#[test]
fn a_client_with_a_body_that_leaves_while_it_waits_for_a_permit_is_noticed() {
    let service = Station::start(1, Duration::from_millis(5));
    service.set(Act::Freeze);
    let more = "deadline = \"25s\"\n[service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"20s\"\n\
                [service.app.protect]\nlimiter = 1\nqueue = \"15s\"\n";
    let (_home, plimsoll) = before(&[service.address], "", more);
    let mut held = Link::connect(plimsoll.address());
    held.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it is at the service", || service.present() == 1);
    let waiting = || {
        let text = metrics(&plimsoll);
        metric(&text, "plimsoll_queue_requests", &[]) as u64
    };

    let mut leaves = Link::connect(plimsoll.address());
    leaves.send(HALF.as_bytes());
    wait_until("it waits", || waiting() == 1);
    drop(leaves);
    wait_until("it is noticed", || {
        caused(&metrics(&plimsoll), "client-gone") == 1 && waiting() == 0
    });

    let leave = half_over_http2(plimsoll.address());
    wait_until("it waits", || waiting() == 1);
    leave.send(()).unwrap();
    wait_until("it is noticed", || {
        caused(&metrics(&plimsoll), "client-gone") == 2 && waiting() == 0
    });
    assert_eq!(service.requests(), 1, "neither came to the service");
}

#[test]
fn clients_that_wait_to_be_told_to_send_their_bodies_are_told_and_cost_nobody_a_permit() {
    // It never says that they may.
    let service = service(&Arc::new(Gate::open()));
    let (_home, plimsoll) = before(&[service.address], "", "");
    let limit = limit(&plimsoll);
    let expects = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n";
    let slow = open(&plimsoll, AT_ONCE, AT_ONCE, expects);
    assert_unharmed(&plimsoll, limit);

    for mut link in slow {
        let told = link.head().unwrap();
        assert!(told.starts_with("HTTP/1.1 100"), "{told}");
        link.send(b"halfhalf");
        assert!(link.head().unwrap().starts_with("HTTP/1.1 200"));
    }
    let text = settled(&plimsoll, AT_ONCE + NORMAL);
    assert_eq!(caused(&text, "answered"), AT_ONCE + NORMAL);
}

#[test]
fn a_client_whose_body_does_not_come_is_told_that_its_connection_ends() {
    let service = service(&Arc::new(Gate::open()));
    let (_home, plimsoll) = before(&[service.address], "", "deadline = { idle = \"500ms\" }\n");
    let mut link = Link::connect(plimsoll.address());
    link.send(HALF.as_bytes());
    let head = link.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
}

/// Half of what it announces.
const HALF: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf";
/// How many others are served meanwhile.
const NORMAL: u64 = 20;

/// Others are served at once, and the limit is what it was.
#[track_caller]
fn assert_unharmed(plimsoll: &Plimsoll, limit: u64) {
    for _ in 0..NORMAL {
        let asked = Instant::now();
        let (status, answer) = get(plimsoll.address(), "/");
        assert_eq!(status, 200, "{answer}");
        assert!(asked.elapsed() < Duration::from_secs(2), "at once");
    }
    wait_until("no permit is held", || in_flight(&metrics(plimsoll)) == 0);
    let now = self::limit(plimsoll);
    assert!(now >= limit, "it was {limit}, and is {now}");
}

/// Opens so many connections that send this and stop, until none of them holds a permit.
#[track_caller]
fn open(plimsoll: &Plimsoll, count: u64, at_once: u64, request: &str) -> Vec<Link> {
    let mut links = Vec::new();
    while (links.len() as u64) < count {
        for _ in 0..at_once {
            let mut link = Link::connect(plimsoll.address());
            link.send(request.as_bytes());
            links.push(link);
        }
        wait_until("their permits are lent", || {
            let text = metrics(plimsoll);
            let lent = protected(&text, &["policy=\"limiter\"", "outcome=\"slow-client\""]);
            lent == Some(links.len() as u64)
        });
    }
    links
}

/// Half a body on an HTTP/2 stream that is reset once that is asked for.
fn half_over_http2(address: SocketAddr) -> tokio::sync::oneshot::Sender<()> {
    let (leave, leaves) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            let request = http::Request::post("http://a/").body(()).unwrap();
            let (_answer, mut body) = client.send_request(request, false).unwrap();
            body.send_data("half".into(), false).unwrap();
            leaves.await.unwrap();
            body.send_reset(h2::Reason::CANCEL);
            drop((client, body));
            let _closed = connection.await;
        });
    });
    leave
}

fn limit(plimsoll: &Plimsoll) -> u64 {
    metric(&metrics(plimsoll), "plimsoll_limit", &[]) as u64
}

fn in_flight(text: &str) -> u64 {
    metric(text, "plimsoll_in_flight", &[]) as u64
}

/// What the service waits for before it answers a body that is complete.
struct Gate {
    open: AtomicBool,
    present: AtomicU32,
}

impl Gate {
    fn open() -> Self {
        Self {
            open: AtomicBool::new(true),
            present: AtomicU32::new(0),
        }
    }

    fn shut() -> Self {
        let gate = Self::open();
        gate.open.store(false, Ordering::SeqCst);
        gate
    }

    fn pass(&self) {
        self.present.fetch_add(1, Ordering::SeqCst);
        wait_until("the gate opens", || self.open.load(Ordering::SeqCst));
        self.present.fetch_sub(1, Ordering::SeqCst);
    }
}

fn service(gate: &Arc<Gate>) -> Script {
    let gate = Arc::clone(gate);
    Script::start(move |_, link| {
        while let Some(head) = link.head() {
            if head.starts_with("POST") {
                if link.take(8).len() < 8 {
                    return;
                }
                gate.pass();
            }
            if head.starts_with("GET /large") {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                link.send(head.as_bytes());
                link.send(&vec![0; LARGE]);
            } else {
                link.send(OK);
            }
        }
    })
}
