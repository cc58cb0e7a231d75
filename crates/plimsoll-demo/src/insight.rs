//! What the right arm says about itself while it runs, line by line. What it did in the end is read from its journal.

use std::net::SocketAddr;
use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::Snapshot;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::journal::shorten;
use crate::report::Event;

/// How often it is asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// Notes what is new in snapshots that come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Insight {
    /// In order of time.
    pub(crate) events: Vec<Event>,
    /// How the protections of its services stand now.
    pub(crate) guards: Vec<Guard>,
    seen: Option<Timestamp>,
    /// When the last snapshot was taken, in seconds since the first phase began and by the right arm's clock.
    last: Option<(f64, Timestamp)>,
}

/// What the right arm says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) snapshot: Snapshot,
    pub(crate) guards: Vec<Guard>,
}

/// The protections of one service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) service: String,
    /// `None` = there is none, or it is not said.
    pub(crate) limit: Option<u32>,
    pub(crate) in_flight: Option<u64>,
    /// Requests that wait, over all classes.
    pub(crate) queued: u64,
}

/// Of the answer, what [`Guard`] is made from. Read on its own, so that a Plimsoll that says less is still understood.
#[derive(Deserialize)]
struct Guards {
    services: Vec<GuardedService>,
}

#[derive(Deserialize)]
struct GuardedService {
    name: String,
    protection: Option<Protection>,
}

#[derive(Deserialize)]
struct Protection {
    limit: Option<u32>,
    in_flight: Option<u64>,
    #[serde(default)]
    classes: Vec<ClassQueue>,
}

#[derive(Deserialize)]
struct ClassQueue {
    #[serde(default)]
    queued: u64,
}

fn guards(body: &str) -> Vec<Guard> {
    let guards: Option<Guards> = serde_json::from_str(body).ok();
    let services = guards.map(|guards| guards.services).unwrap_or_default();
    let guard = |service: GuardedService| {
        let protection = service.protection?;
        Some(Guard {
            service: service.name,
            limit: protection.limit,
            in_flight: protection.in_flight,
            queued: protection.classes.iter().map(|class| class.queued).sum(),
        })
    };
    services.into_iter().filter_map(guard).collect()
}

impl Insight {
    /// A snapshot was taken `at` seconds after the first phase began. What happened before that phase is
    /// not part of the story.
    ///
    /// Gives how many of [`Self::events`] are new.
    pub(crate) fn on_snapshot(&mut self, at: f64, snapshot: &Snapshot) -> usize {
        let before = self.events.len();
        self.last = Some((at, snapshot.now));
        let mut newest = self.seen;
        for event in snapshot.recent_events.iter().rev() {
            if self.seen.is_some_and(|seen| event.at <= seen) {
                continue;
            }
            newest = newest.max(Some(event.at));
            // Its clock and ours need not agree; its ages are its own.
            let at = at - snapshot.now.since(event.at).as_secs_f64();
            if at >= 0.0 {
                self.events.push(Event {
                    at,
                    service: event.service.clone().unwrap_or_default(),
                    what: shorten(&event.text),
                });
            }
        }
        self.seen = newest;
        self.events.len() - before
    }

    /// When something happened by the right arm's clock, in seconds since the first phase began.
    pub(crate) fn when(&self, then: Timestamp) -> f64 {
        let Some((at, now)) = self.last else {
            return 0.0;
        };
        let seconds = |at: Timestamp| at.as_nanos() as f64 / 1e9;
        at + seconds(then) - seconds(now)
    }
}

/// Asks the console at `address`; `None` where it does not answer, which is no reason to stop.
pub(crate) async fn ask(address: SocketAddr) -> Option<Answer> {
    let answer = tokio::time::timeout(INTERVAL, read(address)).await.ok()??;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body)?;
    Some(Answer {
        snapshot: serde_json::from_str(body).ok()?,
        guards: guards(body),
    })
}

async fn read(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request =
        format!("GET /api/v1/status HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_noted_once_and_with_the_demos_time() {
        let mut insight = Insight::default();
        insight.on_snapshot(0.5, &snapshot(100, &[(99, "before the load")]));
        insight.on_snapshot(
            10.0,
            &snapshot(110, &[(108, "endpoint out"), (99, "before the load")]),
        );
        insight.on_snapshot(
            11.0,
            &snapshot(111, &[(108, "endpoint out"), (99, "before the load")]),
        );
        let [event] = insight.events.as_slice() else {
            panic!("{:?}", insight.events)
        };
        assert_eq!((event.at, event.what.as_str()), (8.0, "endpoint out"));
    }

    #[test]
    fn protections_are_read_where_the_answer_has_them() {
        let body = r#"{ "services": [ { "name": "a" }, { "name": "b", "protection": null },
            { "name": "c", "protection": { "limit": 12, "in_flight": 11,
                "classes": [{ "class": "critical", "queued": 1 }, { "queued": 2 }] } } ] }"#;
        let guard = Guard {
            service: "c".to_owned(),
            limit: Some(12),
            in_flight: Some(11),
            queued: 3,
        };
        assert_eq!(guards(body), [guard]);
        assert_eq!(guards("{}"), []);
    }

    fn snapshot(now: u64, events: &[(u64, &str)]) -> Snapshot {
        let time = |seconds| Timestamp::from_seconds(seconds).to_rfc3339();
        let events: Vec<_> = events
            .iter()
            .map(|(at, text)| serde_json::json!({ "at": time(*at), "service": "catalog", "text": text }))
            .collect();
        let value = serde_json::json!({
            "schema": 1, "version": "0", "instance": "demo", "now": time(now), "uptime_seconds": 1.0,
            "mode": "enforce", "config": { "path": null, "hash": "", "loaded_at": time(0) },
            "warnings": [], "connections": 0, "services": [], "recent_events": events,
            "unrouted": { "requests_total": 0, "requests_per_second": null, "bad_share": null, "errors": [],
                "latency": { "p50_seconds": null, "p95_seconds": null, "p99_seconds": null, "p999_seconds": null } },
        });
        serde_json::from_value(value).unwrap()
    }
}
