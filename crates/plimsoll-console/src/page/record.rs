//! A record of the journal, as pages show it.

use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::incident::SUBJECT;
use plimsoll_measure::wire;
use serde_json::Value;

use super::parts::service_path;

/// What a CloudEvent of the journal says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) writer: String,
    pub(super) sequence: u64,
    pub(super) at: Timestamp,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) cites: Option<u64>,
    /// In words.
    pub(super) text: String,
    pub(super) body: Value,
    pub(super) hash: String,
    pub(super) previous: String,
}

impl Record {
    /// `None`: that is no record.
    pub(super) fn of(event: &Value) -> Option<Self> {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let number = |key: &str| text(key)?.parse::<u64>().ok();
        let body = event.get("data").cloned().unwrap_or_default();
        let said = body.get("text").and_then(Value::as_str);
        let kind = text("type")?.trim_start_matches("plimsoll.").to_owned();
        let said = said.map_or_else(|| kind.clone(), str::to_owned);
        Some(Self {
            writer: text("source")?.rsplit('/').next()?.to_owned(),
            sequence: number("sequence")?,
            at: wire::deserialize(event.get("time")?).ok()?,
            subject: text("subject")?.to_owned(),
            cites: number("cites"),
            text: said,
            hash: text("hash").unwrap_or_default().to_owned(),
            previous: text("previoushash").unwrap_or_default().to_owned(),
            kind,
            body,
        })
    }

    /// All that can be read, the oldest first.
    pub(super) fn all(events: &[Value]) -> Vec<Self> {
        events.iter().filter_map(Self::of).collect()
    }

    /// The service that it is about.
    pub(super) fn service(&self) -> Option<&str> {
        self.subject.strip_prefix("service/")?.split('/').next()
    }

    /// The incident that it is about.
    fn incident(&self) -> Option<u64> {
        self.subject.strip_prefix(SUBJECT)?.parse().ok()
    }

    /// Where it is shown.
    pub(super) fn path(&self) -> String {
        format!(
            "/decisions/{}?writer={}",
            self.sequence,
            super::parts::segment(&self.writer)
        )
    }

    /// What was decided: `condition`, `move`, `page`, ...
    pub(super) fn what(&self) -> Option<&str> {
        self.body.get("decision")?.get("what")?.as_str()
    }

    /// A word of the decision, as where it moved from and to.
    pub(super) fn decided(&self, key: &str) -> Option<&str> {
        self.body.get("decision")?.get(key)?.as_str()
    }

    /// Whether it was decided and not done.
    pub(super) fn is_would(&self) -> bool {
        self.decided("mode").is_some_and(|mode| mode != "enforce")
    }

    /// Of an outcome: the share that failed before and after.
    pub(super) fn before_and_after(&self) -> Option<(f64, f64)> {
        let share = |key: &str| {
            let counts = self.body.get(key)?;
            let count = |key: &str| counts.get(key).and_then(Value::as_f64);
            let (good, bad) = (count("good")?, count("bad_service")?);
            (good + bad > 0.0).then(|| bad / (good + bad))
        };
        Some((share("before")?, share("after")?))
    }

    /// What it is about, with a link where that has a page.
    pub(super) fn about(&self) -> Markup {
        html! {
            @match self.service() {
                Some(service) => {
                    a href=(service_path(service)) { (service) }
                    @if let Some(rest) = self.subject.strip_prefix("service/").and_then(|it| it.strip_prefix(service)).filter(|it| !it.is_empty()) {
                        span.q { (rest) }
                    }
                }
                None => {
                    @match self.incident() {
                        Some(id) => { a href={ "/incidents/" (id) } { "incident #" (id) } }
                        None => (self.subject),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_read_from_its_event_and_what_is_none_is_left_out() {
        let event = json!({
            "type": "plimsoll.outcome", "source": "/plimsoll/abc", "sequence": "7", "cites": "3",
            "time": "2026-11-25T14:10:52.000Z", "subject": "service/a/endpoint/b",
            "data": { "text": "it helped", "before": { "good": 1, "bad": 9, "bad_service": 3 }, "after": { "good": 4, "bad": 0, "bad_service": 0 } },
        });
        let record = Record::of(&event).unwrap();
        assert_eq!(
            (record.sequence, record.cites, record.service()),
            (7, Some(3), Some("a"))
        );
        assert_eq!(record.before_and_after(), Some((0.75, 0.0)));
        assert_eq!(record.path(), "/decisions/7?writer=abc");
        assert_eq!(record.at, Timestamp::from_seconds(1_795_615_852));
        assert_eq!(
            Record::all(&[json!({ "type": "x" }), event, json!(1)]).len(),
            1
        );
    }
}
