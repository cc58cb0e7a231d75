//! A record as one line for people.

use plimsoll_core::Timestamp;
use plimsoll_store::Record;
use serde_json::Value;

use crate::status::look::{Look, Tone, clean};

/// How many columns a subject has before what is said of it, so that most lines stand below each other.
const SUBJECT_COLUMNS: usize = 24;

/// When, about what, what, and which record it is. A record is never cut: what it says may be needed.
pub(crate) fn line(record: &Record, look: Look) -> String {
    let entry = &record.entry;
    let at = second(entry.at);
    let subject = clean(&entry.subject);
    let what = clean(&said(&entry.kind, &entry.body));
    let cites = entry.cites.map(|cites| format!(", of #{cites}"));
    let number = format!("#{}{}", record.sequence, cites.unwrap_or_default());
    let subject = format!("{subject:<SUBJECT_COLUMNS$}");
    let number = look.paint(Tone::Quiet, &number);
    format!(
        "{at}  {}  {}  {number}\n",
        look.text(&subject),
        look.text(&what)
    )
}

/// A time to the second, as people read it, in UTC.
pub(crate) fn second(at: Timestamp) -> String {
    let text = at.to_rfc3339().replace('T', " ");
    text.get(..19).unwrap_or_default().to_owned()
}

/// The record's own words, or all that it holds.
pub(crate) fn said(kind: &str, body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(body)) => match body.get("text") {
            Some(Value::String(text)) => text.clone(),
            _ => {
                let pairs = body.iter().map(|(key, value)| match value {
                    Value::String(text) => format!(" {key}={text}"),
                    other => format!(" {key}={other}"),
                });
                format!("{kind}{}", pairs.collect::<String>())
            }
        },
        _ => format!("{kind}, which can't be read"),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_store::{Entry, Hash};

    use super::*;

    #[track_caller]
    fn check(subject: &str, cites: Option<u64>, body: &str, expected: &str) {
        let entry = Entry {
            at: Timestamp::from_seconds(1_795_615_852),
            kind: "gap".to_owned(),
            subject: subject.to_owned(),
            cites,
            body: body.as_bytes().to_vec(),
        };
        let record = Record::following("a", 7, Hash::ZERO, entry);
        assert_eq!(line(&record, Look::plain(80)), expected);
    }

    #[test]
    fn a_record_is_one_line() {
        check(
            "service/checkout",
            None,
            r#"{"text":"shed standard 8 → 4%","to":0.04}"#,
            "2026-11-25 14:10:52  service/checkout          shed standard 8 → 4%  #7\n",
        );
        check(
            "journal",
            Some(3),
            r#"{"lost":2,"from":"x"}"#,
            "2026-11-25 14:10:52  journal                   gap from=x lost=2  #7, of #3\n",
        );
        // Nothing that a terminal would act on, and no second line.
        check(
            "a\x1b[2J",
            None,
            r#"{"text":"one\ntwo"}"#,
            "2026-11-25 14:10:52  a?[2J                     one?two  #7\n",
        );
        check(
            "x",
            None,
            "no JSON",
            "2026-11-25 14:10:52  x                         gap, which can't be read  #7\n",
        );
    }
}
