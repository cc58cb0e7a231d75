//! Goal: protections do in the running program what they promise, and each request is counted once.
//!
//! Method: services with a known number of places and a known time ([`station`]), load that does not wait for
//! answers ([`arrivals`]), callers from two addresses of this machine, one trusted and one not. Bounds leave room
//! for a slow machine: what the figures are is for `bench/overload`, not for here.

#![expect(clippy::disallowed_methods, reason = "real processes are waited for")]

mod arrivals;
mod bad_input;
mod bulkhead;
mod classes;
mod connections;
mod deadlines;
mod endpoints;
mod limiter;
mod observe;
mod overload;
mod rate;
mod retries;
mod slow_clients;
mod state;
mod station;
mod tenants;

use std::net::{Ipv4Addr, SocketAddr};

use crate::child::{Home, Plimsoll, ask_from, config, get, metric, wait_until};

/// A caller that is believed where [`TRUST`] is configured.
const TRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// One that is not.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// For `[gateway]`.
const TRUST: &str = "trusted = [\"127.0.0.1/32\"]";

/// A Plimsoll before these endpoints; `more` goes on with the route `all`.
fn before(endpoints: &[SocketAddr], gateway: &str, more: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    home.write(&config(endpoints, gateway, more));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

/// All metrics.
fn metrics(plimsoll: &Plimsoll) -> String {
    get(plimsoll.ops(), "/metrics").1
}

/// Requests that ended with this cause.
fn caused(text: &str, cause: &str) -> u64 {
    metric(
        text,
        "plimsoll_requests_total",
        &[&format!("cause=\"{cause}\"")],
    ) as u64
}

/// Requests that count against the objectives.
fn bad(text: &str) -> u64 {
    metric(text, "plimsoll_requests_total", &["outcome=\"bad\""]) as u64
}

/// What protections did or would have done; `None` where this Plimsoll does not say.
fn protected(text: &str, labels: &[&str]) -> Option<u64> {
    text.contains("plimsoll_protection_total")
        .then(|| metric(text, "plimsoll_protection_total", labels) as u64)
}

/// Waits until as many requests are counted as were sent, and says all metrics. There are never more.
#[track_caller]
fn settled(plimsoll: &Plimsoll, requests: u64) -> String {
    let mut text = String::new();
    let counted = |text: &str| metric(text, "plimsoll_requests_total", &[]) as u64;
    wait_until("all requests are counted", || {
        text = metrics(plimsoll);
        counted(&text) >= requests
    });
    assert_eq!(counted(&text), requests, "each is counted once");
    text
}

/// The value of a field of a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n\r\n").next()?.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field
            .eq_ignore_ascii_case(name)
            .then_some(value.trim_matches(' '))
    })
}

/// A refusal explains itself: `word; reason=REASON; ...; id="..."`, and problem details that say the same.
#[track_caller]
fn assert_explained(answer: &str, status: u16, word: &str, reason: &str) {
    let decision = field(answer, "plimsoll-decision").unwrap_or_else(|| panic!("{answer}"));
    let mut parts = decision.split("; ");
    assert_eq!(parts.next(), Some(word), "{decision}");
    let parameters: std::collections::BTreeMap<_, _> =
        parts.filter_map(|part| part.split_once('=')).collect();
    assert_eq!(parameters.get("reason"), Some(&reason), "{decision}");
    assert_eq!(
        parameters.get("retry").copied(),
        field(answer, "retry-after"),
        "{answer}"
    );
    let id = parameters.get("id").unwrap_or_else(|| panic!("{decision}"));
    assert!(
        id.len() > 2 && id.starts_with('"') && id.ends_with('"'),
        "{decision}"
    );
    assert_eq!(
        field(answer, "content-type"),
        Some("application/problem+json")
    );
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status, "{body}");
    assert_eq!(problem["reason"], reason, "{body}");
    assert_eq!(problem["id"], id.trim_matches('"'), "{body}");
}

/// A `GET /` from this address.
fn get_from(from: Ipv4Addr, plimsoll: &Plimsoll, fields: &str) -> (u16, String) {
    ask_from(from, plimsoll.address(), "GET", "/", fields, "")
}
