//! Goal: `TERM` loses no request that had begun, and ends in bounded time.
//!
//! Method: `TERM` under a load that counts strictly; connections by hand for what is to be seen in detail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use crate::child::{Home, Plimsoll, Service, TIME_MAX, config, get, wait_until};
use crate::load::Offer;

#[test]
fn every_request_that_had_begun_is_answered() {
    let mut requests = 0;
    for http2 in [false, true, false, true] {
        let service = Service::start();
        let home = Home::new();
        home.write(&config(&[service.address], "drain = \"20s\"", ""));
        let mut plimsoll = home.run(&[]);
        let paths = vec!["/".into(), "/delay/20".into()];
        let load = Offer {
            paths,
            http2,
            ..Offer::to(plimsoll.address(), 16)
        }
        .start();
        wait_until("requests go", || load.answered() >= 200);
        plimsoll.terminate();
        assert!(plimsoll.ended().success());
        let tally = load.wait();
        tally.assert_all_ok();
        // Each client was told to go elsewhere, and nobody listens any more.
        assert_eq!(tally.refused, 16);
        requests += tally.total();
    }
    println!("{requests} requests over 4 ends, none failed");
}

#[test]
fn an_answer_while_draining_closes_the_connection_and_ready_says_no() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "drain = \"20s\"", ""));
    let mut plimsoll = home.run(&[]);
    assert_eq!(get(plimsoll.ops(), "/livez").0, 200);
    assert_eq!(get(plimsoll.ops(), "/readyz").0, 200);
    let mut stream = TcpStream::connect(plimsoll.address()).unwrap();
    stream.set_read_timeout(Some(TIME_MAX)).unwrap();
    // Its first byte has arrived, its last comes while we drain.
    let slow = b"GET /delay/300 HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(slow).unwrap();
    wait_until("it is at the service", || service.requests() == 1);
    let address = plimsoll.address();
    plimsoll.terminate();
    wait_until("nobody listens", || TcpStream::connect(address).is_err());
    let (status, answer) = get(plimsoll.ops(), "/readyz");
    assert_eq!(status, 503);
    assert!(answer.contains("draining"), "{answer}");
    assert_eq!(get(plimsoll.ops(), "/livez").0, 200);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
    assert!(plimsoll.ended().success());
}

#[test]
fn a_long_stream_is_cut_at_the_end_of_drain_and_counted_as_draining() {
    let (_home, mut plimsoll, mut stream) = streaming("1s");
    plimsoll.terminate();
    let mut rest = Vec::new();
    let _cut = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it must not look complete");
    assert!(plimsoll.ended().success());
    let mut log = String::new();
    plimsoll
        .process
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(log.contains("\"cause\":\"draining\""), "{log}");
}

#[test]
fn a_second_term_cuts_at_once() {
    let (_home, mut plimsoll, mut stream) = streaming("10m");
    plimsoll.terminate();
    plimsoll.wait_for("draining");
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    let _cut = stream.read_to_end(&mut Vec::new());
    let mut log = String::new();
    plimsoll
        .process
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(log.contains("\"cause\":\"draining\""), "{log}");
}

#[test]
fn a_silent_connection_does_not_hold_the_end_up() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "drain = \"10m\"", ""));
    let mut plimsoll = home.run(&[]);
    let _silent = TcpStream::connect(plimsoll.address()).unwrap();
    let idle = TcpStream::connect(plimsoll.address()).unwrap();
    (&idle)
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    wait_until("it was served", || service.requests() == 1);
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
}

/// A process and a client in the middle of a body that has no end.
fn streaming(drain: &str) -> (Home, Plimsoll, BufReader<TcpStream>) {
    let service = Service::start();
    let home = Home::new();
    let file = home.write(&config(
        &[service.address],
        &format!("drain = \"{drain}\""),
        "",
    ));
    let mut command = home.command(&["run", "--config", &file]);
    command.stdout(Stdio::piped());
    let plimsoll = Plimsoll::start(command);
    let mut stream = TcpStream::connect(plimsoll.address()).unwrap();
    stream.set_read_timeout(Some(TIME_MAX)).unwrap();
    stream
        .write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("hello") {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    (home, plimsoll, stream)
}
