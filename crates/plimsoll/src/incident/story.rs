//! An incident with the records of its time, for whoever tells it: the command line, and the process for its console.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::{Incident, Incidents};
use plimsoll_store::{Filter, Record};

use super::tell;

/// How long before the call a story begins.
const BEFORE: Duration = Duration::from_secs(900);
/// How long after its end it is told on: outcomes are measured later.
const AFTER: Duration = Duration::from_secs(300);

/// An incident, all others, and the records of its time, the oldest first.
pub(crate) struct Story<'a> {
    pub(super) incident: &'a Incident,
    pub(super) known: &'a Incidents,
    pub(super) records: Vec<Record>,
    /// Older ones are in the journal only.
    pub(super) is_cut: bool,
}

impl<'a> Story<'a> {
    /// The records of an incident's time, at most so many about each of what they may be about; of what people did about it,
    /// also those of later.
    ///
    /// # Errors
    /// As `list` has them.
    pub(crate) fn read<E>(
        incident: &'a Incident,
        known: &'a Incidents,
        count: usize,
        mut list: impl FnMut(&Filter) -> Result<Vec<Record>, E>,
    ) -> Result<Self, E> {
        let time = Filter {
            since: Some(incident.called.before(BEFORE)),
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
        let (mut records, mut is_cut) = (Vec::new(), false);
        for filter in filters {
            let more = list(&filter)?;
            is_cut |= more.len() >= count;
            records.extend(more);
        }
        records.retain(|record| incident.has(&record.entry.kind, &record.entry.subject));
        let order = |it: &Record| (it.entry.at, it.writer.clone(), it.sequence);
        records.sort_by_cached_key(order);
        records.dedup_by_key(|it| (it.writer.clone(), it.sequence));
        Ok(Self {
            incident,
            known,
            records,
            is_cut,
        })
    }

    /// A draft of the post-incident review, in Markdown.
    pub(crate) fn review(&self, now: Timestamp) -> String {
        tell::review(self, now)
    }
}
