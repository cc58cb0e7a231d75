//! An incident with the records of its time, for whoever tells it: the command line, and the process for its console.
//!
//! Of a long one not all records are read: those of its beginning and the latest are, since the first say why it began and
//! what was done first, and the last how it stands. What is left out between them is known by its times.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::{Incident, Incidents};
use plimsoll_store::{Filter, Record};

use super::tell;

/// How long before its beginning a story begins.
const BEFORE: Duration = Duration::from_secs(900);
/// How long after its end it is told on: outcomes are measured later.
const AFTER: Duration = Duration::from_secs(300);
/// Estimates of when it began that are looked for by themselves: one at the call and one a minute later, of each objective.
const ONSETS: usize = 8;

/// An incident, all others, and the records of its time, the oldest first.
pub(crate) struct Story<'a> {
    pub(super) incident: &'a Incident,
    pub(super) known: &'a Incidents,
    pub(crate) records: Vec<Record>,
    /// Between which times there are more, in the journal only.
    pub(crate) left_out: Vec<(Timestamp, Timestamp)>,
}

impl<'a> Story<'a> {
    /// The records of an incident's time; about each of what they may be about at most `count` of the latest, and as many again
    /// of its beginning. Of what people did about it, also those of later.
    ///
    /// # Errors
    /// As `list` has them.
    pub(crate) fn read<E>(
        incident: &'a Incident,
        known: &'a Incidents,
        count: usize,
        mut list: impl FnMut(&Filter) -> Result<Vec<Record>, E>,
    ) -> Result<Self, E> {
        let began = incident.began.unwrap_or(incident.called);
        let time = Filter {
            since: Some(began.min(incident.called).before(BEFORE)),
            until: incident.ended.map(|ended| ended + AFTER),
            count,
            ..Filter::default()
        };
        let about = |subject: String| Filter {
            subject: Some(subject),
            ..time.clone()
        };
        let filters = [
            about(format!("service/{}", incident.service)),
            about("configuration".to_owned()),
            Filter {
                kind: Some("process".to_owned()),
                ..time.clone()
            },
            Filter {
                until: None,
                ..about(incident.subject())
            },
        ];
        let (mut records, mut left_out) = (Vec::new(), Vec::new());
        for filter in filters {
            let latest = list(&filter)?;
            if latest.len() >= count {
                records.extend(beginning(
                    incident,
                    &filter,
                    &latest,
                    &mut left_out,
                    &mut list,
                )?);
            }
            records.extend(latest);
        }
        records.retain(|record| incident.has(&record.entry.kind, &record.entry.subject));
        records.sort_by_cached_key(order);
        records.dedup_by_key(|it| (it.writer.clone(), it.sequence));
        left_out.sort_unstable();
        Ok(Self {
            incident,
            known,
            records,
            left_out,
        })
    }

    /// A draft of the post-incident review, in Markdown.
    pub(crate) fn review(&self, now: Timestamp) -> String {
        tell::review(self, now)
    }
}

fn order(it: &Record) -> (Timestamp, String, u64) {
    (it.entry.at, it.writer.clone(), it.sequence)
}

/// The records of an incident's beginning, where `latest` are not all: the last before it, the first since, and what was found of
/// when it began. What is not there either goes into `left_out`.
fn beginning<E>(
    incident: &Incident,
    filter: &Filter,
    latest: &[Record],
    left_out: &mut Vec<(Timestamp, Timestamp)>,
    list: &mut impl FnMut(&Filter) -> Result<Vec<Record>, E>,
) -> Result<Vec<Record>, E> {
    let began = incident.began.unwrap_or(incident.called);
    let (before_max, since_max) = (filter.count.div_ceil(4), filter.count.div_ceil(2));
    let before = list(&Filter {
        until: Some(began),
        count: before_max,
        ..filter.clone()
    })?;
    let since = list(&Filter {
        since: Some(began),
        count: since_max,
        earliest: true,
        ..filter.clone()
    })?;
    // Among records of a kind there are no others.
    let onsets = match &filter.kind {
        Some(_) => Vec::new(),
        None => list(&Filter {
            kind: Some("onset".to_owned()),
            since: Some(incident.called),
            count: ONSETS,
            earliest: true,
            ..filter.clone()
        })?,
    };
    if let (Some(first), Some(from)) = (before.first(), filter.since)
        && before.len() >= before_max
    {
        left_out.push((from, first.entry.at));
    }
    if let (Some(last), Some(first)) = (since.last(), latest.first())
        && since.len() >= since_max
        && order(last) < order(first)
    {
        left_out.push((last.entry.at, first.entry.at));
    }
    let mut records = before;
    records.extend(since);
    records.extend(onsets);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use plimsoll_measure::IncidentRecord;
    use plimsoll_store::{Entry, Hash};
    use serde_json::json;

    use super::*;

    const CALLED: u64 = 1_795_615_852;

    fn record(sequence: u64, at: u64, kind: &str, body: &serde_json::Value) -> Record {
        let entry = Entry {
            at: Timestamp::from_seconds(at),
            kind: kind.to_owned(),
            subject: "service/shop".to_owned(),
            cites: None,
            body: body.to_string().into_bytes(),
        };
        Record::following("a", sequence, Hash::ZERO, entry)
    }

    /// Noise every ten seconds from a quarter of an hour before the call to a day after it; the call, what was found of its
    /// beginning, and the first step in the midst of it.
    fn journal() -> Vec<Record> {
        let mut all: Vec<(u64, &str, serde_json::Value)> = (0..8_700)
            .map(|place| (CALLED - 1_000 + 10 * place, "endpoint", json!({})))
            .collect();
        let page = json!({ "decision": { "what": "page", "urgency": "page", "evidence": { "objective": "latency", "budget_left": 0.5 } } });
        let found = json!({ "onset": { "objective": "latency", "at": Timestamp::from_seconds(CALLED - 60).to_rfc3339(), "changes": [] } });
        all.extend([
            (
                CALLED - 20,
                "decision",
                json!({ "decision": { "what": "move" } }),
            ),
            (CALLED, "decision", page),
            (CALLED + 5, "onset", found),
        ]);
        all.sort_by_key(|(at, ..)| *at);
        let numbered = (1..).zip(all);
        numbered
            .map(|(sequence, (at, kind, body))| record(sequence, at, kind, &body))
            .collect()
    }

    fn known(records: &[Record]) -> Incidents {
        Incidents::of(records.iter().map(|it| IncidentRecord {
            sequence: it.sequence,
            at: it.entry.at,
            kind: &it.entry.kind,
            subject: &it.entry.subject,
            body: &it.entry.body,
        }))
    }

    /// As the store has it.
    fn list(records: &[Record], filter: &Filter) -> Result<Vec<Record>, Infallible> {
        let passes = |it: &&Record| {
            let entry = &it.entry;
            let is = |wanted: &Option<String>, has: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == has)
            };
            is(&filter.kind, &entry.kind)
                && is(&filter.subject, &entry.subject)
                && filter.since.is_none_or(|since| entry.at >= since)
                && filter.until.is_none_or(|until| entry.at <= until)
        };
        let mut found: Vec<Record> = records.iter().filter(passes).cloned().collect();
        match filter.earliest {
            true => found.truncate(filter.count),
            false => drop(found.drain(..found.len().saturating_sub(filter.count))),
        }
        Ok(found)
    }

    #[test]
    fn a_long_one_keeps_its_beginning_and_its_end_and_says_what_is_left_out() {
        let journal = journal();
        let known = known(&journal);
        let incident = known.open().next().unwrap();
        let story = Story::read(incident, &known, 300, |it| list(&journal, it)).unwrap();
        let has = |kind: &str, word: &str| {
            story.records.iter().any(|it| {
                it.entry.kind == kind && String::from_utf8_lossy(&it.entry.body).contains(word)
            })
        };
        assert!(has("decision", "page"), "the first call");
        assert!(has("decision", "move"), "the first step");
        assert!(has("onset", "latency"), "when it began");
        let (first, last) = (&journal[0], &journal[journal.len() - 1]);
        assert_eq!(story.records.last(), Some(last));
        assert!(story.records.len() < 600, "{}", story.records.len());
        // Nothing is missing but between those times.
        let [before, middle] = story.left_out[..] else {
            panic!("{:?}", story.left_out);
        };
        assert!(before.0 > first.entry.at && before.1 < incident.called);
        assert!(middle.0 > incident.called && middle.1 < last.entry.at);
        let is_left_out = |it: &Record| {
            let at = it.entry.at;
            at < before.1 || (at > middle.0 && at < middle.1)
        };
        for record in &journal {
            let is_there = story.records.contains(record);
            assert_eq!(is_there, !is_left_out(record), "{:?}", record.entry.at);
        }
    }

    #[test]
    fn of_a_short_one_nothing_is_left_out() {
        let journal = journal();
        let known = known(&journal);
        let incident = known.open().next().unwrap();
        for count in [8_000, 100_000] {
            let story = Story::read(incident, &known, count, |it| list(&journal, it)).unwrap();
            assert!(story.left_out.is_empty(), "{:?}", story.left_out);
            let mut twice = story.records.clone();
            twice.dedup();
            assert_eq!(twice.len(), story.records.len());
        }
    }
}
