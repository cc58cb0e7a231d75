//! What the right arm did, by its own journal, once that was found whole.

use std::path::Path;
use std::process::Command;

use plimsoll_measure::EventView;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::report::Event;
use crate::rollout::{self, Turn};

/// The right arm's journal of a run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Journal {
    /// In order of time.
    pub(crate) events: Vec<Event>,
    /// What became of a version, likewise, in seconds since the first phase began.
    pub(crate) turns: Vec<(f64, Turn)>,
    /// What checking it said; `None`: it could not be read.
    pub(crate) verified: Option<String>,
    /// Why it is not to be believed.
    pub(crate) broken: Option<String>,
}

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    r#type: String,
    subject: String,
    time: Value,
    data: Value,
}

/// Reads the journal in a state folder. `when` gives the seconds since the first phase began.
pub(crate) fn read(program: &Path, state: &Path, when: impl Fn(&EventView) -> f64) -> Journal {
    let run = |verb: &str| {
        let mut command = Command::new(program);
        command.args(["journal", verb, "--state"]).arg(state);
        command.output()
    };
    let mut journal = Journal::default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match run("verify") {
        Ok(output) if output.status.success() => {
            let said = text(output.stdout);
            let line = said.lines().find(|line| line.starts_with("whole: "));
            journal.verified = line.map(str::to_owned);
        }
        Ok(output) => journal.broken = Some(text(output.stderr).trim().to_owned()),
        Err(error) => journal.broken = Some(error.to_string()),
    }
    if journal.verified.is_some()
        && let Ok(output) = run("export")
    {
        let export = text(output.stdout);
        for line in export.lines() {
            let Ok(record) = serde_json::from_str::<Record>(line) else {
                continue;
            };
            let Some(event) = event(&record, &when) else {
                continue;
            };
            let turn = rollout::turn(&record.data);
            journal.turns.extend(turn.map(|turn| (event.at, turn)));
            journal.events.push(event);
        }
    }
    journal
}

/// What one record says that belongs to the story: of endpoints, of decisions, and of who began a rollout.
fn event(record: &Record, when: impl Fn(&EventView) -> f64) -> Option<Event> {
    let mut subject = record.subject.splitn(4, '/');
    let service = subject.next().filter(|it| *it == "service")?;
    let service = subject.next().unwrap_or(service).to_owned();
    let text = record.data.get("text")?.as_str()?;
    let what = match record.r#type.as_str() {
        "plimsoll.endpoint" => {
            let endpoint = subject.nth(1)?;
            shorten(&format!("endpoint {endpoint} is {text}"))
        }
        "plimsoll.decision" => shorten(text),
        "plimsoll.change" if record.data.get("rollout").is_some() => shorten(text),
        _ => return None,
    };
    let at = json!({ "at": record.time, "service": service, "text": what });
    let view: EventView = serde_json::from_value(at).ok()?;
    let at = when(&view);
    // What happened before the first phase is not part of the story.
    (at >= 0.0).then_some(Event { at, service, what })
}

/// What happened and the innermost reason. The way between them, and the figures of a decision, are for logs, not for a list
/// of one line each.
pub(crate) fn shorten(text: &str) -> String {
    // `(availability, 14.0x over 10 s, ...)`
    let text = match text.split_once("x over ") {
        Some((before, _)) => before.rsplit_once(" (").map_or(text, |(before, _)| before),
        None => text,
    };
    // `(evidence 12.9; 9 of 30 bad, ...)`
    let text = text.split_once(" (evidence ").map_or(text, |(it, _)| it);
    let (what, reason) = text.split_once(": ").unwrap_or((text, ""));
    let reason = reason.rsplit(": ").next().unwrap_or_default();
    let reason = reason
        .split_once(" (os error")
        .map_or(reason, |(reason, _)| reason);
    let what = what.replace("http://", "");
    if reason.is_empty() {
        what
    } else {
        format!("{what}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Timestamp;

    use super::*;

    #[track_caller]
    fn check(kind: &str, subject: &str, text: &str, expected: Option<(&str, &str)>) {
        let line = json!({
            "type": format!("plimsoll.{kind}"), "subject": subject, "time": "2026-11-26T10:00:05.000Z",
            "data": { "text": text }, "sequence": "1",
        });
        let began = Timestamp::from_seconds(1_795_687_200);
        let when = |event: &EventView| event.at.since(began).as_secs_f64();
        let record: Record = serde_json::from_value(line).unwrap();
        let found = event(&record, when);
        let found = found.as_ref();
        let said = found.map(|it| (it.service.as_str(), it.what.as_str()));
        assert_eq!(said, expected);
        assert!(found.is_none_or(|it| it.at == 5.0), "{found:?}");
    }

    #[test]
    fn endpoints_and_decisions_are_the_story() {
        check(
            "endpoint",
            "service/catalog/endpoint/http://a:1",
            "down: connecting to http://a:1 (a:1): Connection refused (os error 111)",
            Some(("catalog", "endpoint a:1 is down: Connection refused")),
        );
        check(
            "decision",
            "service/checkout",
            "no retries: 14.3 % of what is let in fails (availability, 14.0x over 10 s, 100 % of the budget left)",
            Some(("checkout", "no retries: 14.3 % of what is let in fails")),
        );
        let struck = "v2 of catalog gets nothing for a while, after 5.0 %: what it did was too bad to be chance \
             (evidence 12.9; 9 of 30 bad, else 0 of 570 bad; it cost 2.6 % of the budget)";
        let said = "v2 of catalog gets nothing for a while, after 5.0 %: what it did was too bad to be chance";
        let rollout = "service/catalog/rollout/catalog-v2";
        check("decision", rollout, struck, Some(("catalog", said)));
        check("process", "process", "started", None);
        check("outcome", "service/checkout", "no retries: better", None);
    }

    #[test]
    fn a_line_keeps_what_happened_and_the_innermost_reason() {
        let text = "endpoint http://a:1 is down: connecting to http://a:1 (a:1): Connection refused (os error 111)";
        assert_eq!(shorten(text), "endpoint a:1 is down: Connection refused");
        assert_eq!(shorten("endpoint http://a:1 is up"), "endpoint a:1 is up");
        let text = "page: a burn of 6 or more (availability, 14.0x over 10 s); 99 % of the failures are shed";
        assert_eq!(shorten(text), "page: a burn of 6 or more");
    }
}
