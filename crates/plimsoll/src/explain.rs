//! `plimsoll explain`: what became of one request, and why.
//!
//! From the line that the running process has of it, and from what its journal says was decided about the service just
//! before. The line's keys: `docs/reference/access-log.md`.

use plimsoll_core::Timestamp;
use plimsoll_store::{Filter, Record};
use plimsoll_upstream::Clock;
use serde_json::{Map, Value};

use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, report, say};
use crate::journal::{self, Since};
use crate::status::look::{Look, Tone, clean};

/// How far back decisions are shown, in seconds.
const BEFORE: u64 = 600;
/// How many of them.
const RECORDS_MAX: usize = 10;

/// Prints what is known of a request.
pub(crate) fn explain(target: &Target, id: &str, json: bool) -> Exit {
    let text = match client::request_line(target, id) {
        Ok(text) => text,
        Err(ClientError::Refused(why) | ClientError::Forbidden(why)) => {
            say(&format!("error: {why}"));
            return Exit::Refused;
        }
        Err(error) => {
            report(&error);
            return Exit::Unreachable;
        }
    };
    if json {
        crate::cli::print(&(text + "\n"));
        return Exit::Done;
    }
    let Ok(Value::Object(line)) = serde_json::from_str(&text) else {
        say("error: the answer of the process can't be read");
        return Exit::Failed;
    };
    // Of another machine's process there is no journal here.
    let records = match &target.url {
        None => decided_before(target, &line),
        Some(_) => Vec::new(),
    };
    crate::cli::print(&rendered(&line, &records, Look::of_stdout()));
    Exit::Done
}

/// What was decided about the request's service just before it ended.
fn decided_before(target: &Target, line: &Map<String, Value>) -> Vec<Record> {
    let (Some(service), Some(ended)) = (
        text(line, "service"),
        text(line, "time").and_then(|it| it.parse::<Since>().ok()),
    ) else {
        return Vec::new();
    };
    let ended = ended.as_of(Clock::new().timestamp());
    let filter = Filter {
        kind: None,
        subject: Some(format!("service/{service}")),
        since: Some(Timestamp::from_seconds(
            ended.as_seconds().saturating_sub(BEFORE),
        )),
        until: Some(ended),
        count: RECORDS_MAX,
        ..Filter::default()
    };
    // An explanation without it is still one.
    journal::read(target.state.as_deref(), &filter).unwrap_or_default()
}

fn text<'a>(line: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    line.get(key)?.as_str()
}

fn rendered(line: &Map<String, Value>, records: &[Record], look: Look) -> String {
    let get = |key| text(line, key).map(clean);
    let number = |key: &str| line.get(key).and_then(Value::as_f64);
    let mut out = String::new();
    let mut say = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    let cause = get("cause").unwrap_or_default();
    let status = number("status").unwrap_or(0.0);
    let answered = if status > 0.0 {
        format!("{status}, {cause}")
    } else {
        format!("no answer, {cause}")
    };
    let head = format!(
        "{} {}{}: {answered}",
        get("method").unwrap_or_default(),
        get("host").unwrap_or_default(),
        get("path").unwrap_or_default(),
    );
    say(&look.paint(Tone::Strong, &look.text(&head)));
    for keys in [
        ["service", "version", "route", "class"].as_slice(),
        &["tenant", "client", "protocol"],
        &["time", "id", "trace_id"],
    ] {
        let pairs = keys
            .iter()
            .filter_map(|key| Some(format!("{key} {}", get(key)?)));
        let pairs: Vec<String> = pairs.collect();
        if !pairs.is_empty() {
            say(&format!("  {}", look.text(&pairs.join("  "))));
        }
    }
    say("");
    for step in steps(line) {
        say(&format!("  {}", look.text(&step)));
    }
    if let Some(in_flight) = number("in_flight") {
        let limit =
            number("limit").map_or_else(|| "no limit".to_owned(), |it| format!("limit {it}"));
        let waiting = number("waiting").unwrap_or(0.0);
        say(&format!(
            "  at the service then: {in_flight} in flight, {limit}, {waiting} waited"
        ));
    }
    if let Some(share) = number("sample") {
        say(&format!(
            "  one of {:.0} that went well: the others were not recorded",
            1.0 / share
        ));
    }
    if !records.is_empty() {
        say("\nAbout the service in the ten minutes before:");
        for record in records {
            out.push_str(&journal::line(record, look));
        }
    }
    out
}

/// What happened, in order.
fn steps(line: &Map<String, Value>) -> Vec<String> {
    let get = |key| text(line, key).map(clean);
    let seconds = |key: &str| line.get(key).and_then(Value::as_f64);
    let mut steps = Vec::new();
    if let Some(waited) = seconds("waited_seconds") {
        steps.push(format!("waited {} for its turn", time(waited)));
    }
    let failed = line.get("failed").and_then(Value::as_array);
    for attempt in failed.into_iter().flatten().filter_map(Value::as_object) {
        let endpoint = text(attempt, "endpoint").map_or_else(|| "an endpoint".to_owned(), clean);
        let end = text(attempt, "end").map(clean).unwrap_or_default();
        let status = attempt.get("status").and_then(Value::as_u64);
        let status = status.map_or_else(String::new, |it| format!(" {it}"));
        let after = attempt.get("after_seconds").and_then(Value::as_f64);
        let after = after.map_or_else(String::new, |it| format!(" after {}", time(it)));
        steps.push(format!("{endpoint} failed: {end}{status}{after}"));
    }
    let reason = get("reason").filter(|it| it != "local");
    if let Some(reason) = &reason {
        let why = why(reason);
        let why = if why.is_empty() { reason } else { why };
        steps.push(format!("Plimsoll answered by itself: {why}"));
    } else if let Some(endpoint) = get("endpoint") {
        let head = seconds("head_seconds");
        let head = head.map_or_else(String::new, |it| format!(", its head after {}", time(it)));
        steps.push(format!("answered by {endpoint}{head}"));
    }
    let attempts = line.get("attempts").and_then(Value::as_u64).unwrap_or(0);
    if let Some(duration) = seconds("duration_seconds") {
        let plural = if attempts == 1 { "" } else { "s" };
        steps.push(format!(
            "over after {}, {attempts} attempt{plural}",
            time(duration)
        ));
    }
    steps
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", 1e3 * seconds)
    } else {
        format!("{seconds:.2} s")
    }
}

/// The reasons that are not clear by themselves.
fn why(reason: &str) -> &'static str {
    match reason {
        "governor" => {
            "the governor, or somebody, has moved shedding, and its class is refused (journal list)"
        }
        "over-capacity" => {
            "more asks for the service than it can carry; its wait would have been too long, or others went before it"
        }
        "queue-full" => "as many waited as may",
        "pending-full" => "as many waited as protect.bulkhead allows",
        "queue-timeout" => "its turn did not come for as long as an answer could still be of use",
        "deadline" => "what was left of its deadline does not suffice for the service",
        "throttled" => "the service fails so much that a share is not sent to it",
        "bulkhead" => "a bound of protect.bulkhead was reached",
        "overloaded" => "Plimsoll itself is at its bounds",
        "connect" => "no endpoint could be connected to",
        "timeout" => "no answer's head came within the deadline",
        "no-endpoint" => "the service has no endpoint that can be addressed",
        "no-route" => "no route matches",
        "rate-limited" => "the rate that its route declares was exceeded",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let line: Map<String, Value> = serde_json::from_str(line).unwrap();
        assert_eq!(rendered(&line, &[], Look::plain(80)), expected);
    }

    #[test]
    fn what_was_refused_says_why_and_what_was_tried_says_where() {
        check(
            r#"{"time":"2026-11-26T10:00:00.000Z","id":"ab","method":"GET","host":"shop","path":"/cart","status":503,
                "cause":"shed","service":"shop","class":"sheddable","reason":"governor","attempts":0,
                "in_flight":20,"limit":20,"waiting":3,"duration_seconds":0.000021}"#,
            "GET shop/cart: 503, shed\n  service shop  class sheddable\n  time 2026-11-26T10:00:00.000Z  id ab\n\n\
             \x20 Plimsoll answered by itself: the governor, or somebody, has moved shedding, and its class is refused (journal list)\n\
             \x20 over after 0.0 ms, 0 attempts\n  at the service then: 20 in flight, limit 20, 3 waited\n",
        );
        check(
            r#"{"method":"GET","path":"/","status":200,"cause":"answered","service":"shop","version":"v2","endpoint":"http://b","attempts":2,
                "waited_seconds":0.012,"failed":[{"endpoint":"http://a","end":"upstream-5xx","status":502,"after_seconds":0.004}],
                "head_seconds":0.03,"duration_seconds":1.5,"sample":0.01}"#,
            "GET /: 200, answered\n  service shop  version v2\n\n  waited 12.0 ms for its turn\n\
             \x20 http://a failed: upstream-5xx 502 after 4.0 ms\n  answered by http://b, its head after 30.0 ms\n\
             \x20 over after 1.50 s, 2 attempts\n  one of 100 that went well: the others were not recorded\n",
        );
    }
}
