//! Goal: whatever is done to the console or to its store, requests pass, and what was acknowledged is there afterwards.
//!
//! Method: a real Plimsoll under a load that counts strictly, while many ask for pages without end, watch and never read,
//! send heads without end, or hold the store; the control thread's own time is read meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::child::{Home, Plimsoll, Service, config, get, metric, wait_until};
use crate::journal::is;
use crate::load::Offer;

const SERVICES: usize = 12;
/// Each gets its page, and none waits for longer than a client of the load does: all of them have a tenth of a core.
const FLOOD: usize = 16;

fn started(service: &Service, home: &Home) -> Plimsoll {
    let more: String = (0..SERVICES)
        .map(|number| {
            format!(
                "[service.s{number}]\nowner = \"team\"\nendpoints = [\"http://{}\"]\n\
                 [service.s{number}.objective.availability]\ntarget = \"99%\"\n\
                 [[route]]\nname = \"s{number}\"\npath = \"/s{number}/*\"\nservice = \"s{number}\"\n",
                service.address
            )
        })
        .collect();
    home.write(&config(&[service.address], "", &more));
    home.run(&[])
}

/// Sends the beginning of something, which is kept.
fn begin(console: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(console).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// When the control thread last made a picture of everything: its second.
fn second(ops: SocketAddr, console: SocketAddr) -> String {
    assert_eq!(get(ops, "/livez").0, 200);
    let (_, text) = get(console, "/api/v1/status");
    let now = text.split("\"now\":\"").nth(1).unwrap();
    now.get(..19).unwrap().to_owned()
}

#[test]
fn a_flooded_console_fails_no_request_and_the_control_thread_goes_on() {
    let (service, home) = (Service::start(), Home::new());
    let plimsoll = started(&service, &home);
    let (console, ops) = (plimsoll.console(), plimsoll.ops());
    let load = Offer::to(plimsoll.address(), 4).start();
    let flood = Offer {
        paths: (0..SERVICES)
            .flat_map(|number| {
                [
                    format!("/services/s{number}"),
                    format!("/?find=s{number}"),
                    // What is read for the API takes its share of the same, each question a new one.
                    format!("/api/v1/journal?count=500&text=s{number}"),
                    format!("/api/v1/services/s{number}/without?from=30m"),
                ]
            })
            .collect(),
        ..Offer::to(console, FLOOD)
    };
    let flood = flood.start();
    let watching: Vec<TcpStream> = (0..64)
        .map(|_| {
            begin(
                console,
                "GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            )
        })
        .collect();
    let mut slow: Vec<TcpStream> = (0..64)
        .map(|_| begin(console, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "))
        .collect();
    let (passed, mut seconds) = (load.answered(), std::collections::BTreeSet::new());
    wait_until(
        "the flood, requests and the control thread have gone on",
        || {
            for stream in &mut slow {
                // Whoever is too slow is cut off.
                let _cut_off = stream.write_all(b"a");
            }
            seconds.insert(second(ops, console));
            seconds.len() > 4 && flood.answered() > 32 && load.answered() > passed + 100
        },
    );
    let passed = load.stop();
    passed.assert_all_ok();
    let shown = flood.stop();
    // Late, but shown: nothing is refused where to wait costs as little.
    shown.assert_all_ok();
    drop((watching, slow));
    wait_until("the console is there for others", || {
        get(console, "/").0 == 200
    });
    let (_, metrics) = get(ops, "/metrics");
    assert!(metric(&metrics, "plimsoll_never_total", &[]) == 0.0);
}

#[test]
fn while_the_store_is_locked_requests_pass_decisions_wait_and_the_page_says_so() {
    let (service, home) = (Service::start(), Home::new());
    let plimsoll = started(&service, &home);
    home.wait_for_record("the start is recorded", is("process", "started"));
    let load = Offer::to(plimsoll.address(), 4).start();
    let lock = rusqlite::Connection::open(home.database()).unwrap();
    lock.busy_timeout(Duration::from_secs(30)).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();

    let said: Vec<String> = (0..3)
        .map(|number| {
            let why = format!("while it was locked, {number}");
            let name = format!("s{number}");
            let set = home.ask(&["degrade", &name, "shed", "1", "--for", "1h", "--why", &why]);
            let said = [set.stdout, set.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            // In force at once, and it is said that its record waits.
            assert!(set.status.success(), "{said}");
            assert!(said.contains("not recorded yet"), "{said}");
            why
        })
        .collect();
    wait_until("the page says it", || {
        let (status, page) = get(plimsoll.console(), "/");
        status == 200 && page.contains("the store fails since") && page.contains("wait in memory")
    });
    for page in ["/services/s1", "/decisions", "/topology", "/configuration"] {
        let (status, text) = get(plimsoll.console(), page);
        assert!(status == 200 || status == 503, "{page}: {text}");
        assert!(text.contains("<h1"), "{page}: {text}");
    }
    let (_, text) = get(plimsoll.console(), "/api/v1/status");
    assert!(text.contains("the store fails since"), "{text}");
    let passed = load.answered();
    wait_until("requests pass all the while", || {
        load.answered() > passed + 100
    });

    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    for why in &said {
        let recorded = |it: &serde_json::Value| it.to_string().contains(why.as_str());
        home.wait_for_record("what was acknowledged is recorded", recorded);
    }
    wait_until("the page is calm again", || {
        !get(plimsoll.console(), "/")
            .1
            .contains("the store fails since")
    });
    load.stop().assert_all_ok();
    assert_eq!(home.verify(&[]).0, 0);
    let records = home.records();
    assert!(
        records.iter().all(|it| it["type"] != "plimsoll.gap"),
        "{records:?}"
    );
}

#[test]
fn a_connection_that_says_nothing_of_use_ends() {
    let (service, home) = (Service::start(), Home::new());
    let plimsoll = started(&service, &home);
    let mut stream = begin(
        plimsoll.console(),
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    );
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut answer = Vec::new();
    // Until the server ends it: a reset is an end, too.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
