//! Incidents as they stand in the store: read whole, as the command line does and a process that begins, and then what was
//! written since.
//!
//! Nobody who looks at a page reads the journal: the process keeps what it read ([`Register`]), and goes on from there.
//! Elsewhere: how records become incidents (`plimsoll-measure/src/incident`); what people do about them (`process/incidents.rs`).

use std::path::Path;
use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::{IncidentRecord, Incidents};
use plimsoll_store::{Cursor, Filter, Record, SqliteStore, Store, StoreError};

/// How far back incidents are looked for.
pub(crate) const REACH: Duration = Duration::from_secs(28 * 86_400);
/// How many records are read at once.
const PAGE: usize = 500;
/// How many records of a kind are looked through.
const RECORDS_MAX: usize = 100_000;
/// How many records are gone on with at once; the rest is for the next time.
const TAIL_MAX: usize = 4_096;
/// What decisions say that incidents are made of.
const CALLS: [&[u8]; 4] = [
    br#""what":"page""#,
    br#""what":"absent""#,
    br#""what":"resolved""#,
    br#""what":"returned""#,
];

/// What the running process knows of incidents.
#[derive(Debug, Default)]
pub(crate) struct Register {
    /// `None`: it is not read yet.
    known: Option<Known>,
    /// Somebody reads.
    is_reading: bool,
}

/// Incidents as of a place in this process's chain.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) incidents: Incidents,
    seen: u64,
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    After(u64),
}

/// What was read.
#[derive(Debug)]
pub(crate) enum Read {
    All(Known),
    After(Vec<Record>),
}

impl Register {
    /// What people were called for; `None`: it is not read yet.
    pub(crate) fn incidents(&self) -> Option<&Incidents> {
        self.known.as_ref().map(|it| &it.incidents)
    }

    pub(crate) fn incidents_mut(&mut self) -> Option<&mut Incidents> {
        self.known.as_mut().map(|it| &mut it.incidents)
    }

    /// What is to be read now, where the chain ends at `last`; then [`Self::on_read`] is to be called.
    pub(crate) fn begin_to_read(&mut self, last: Option<u64>) -> Option<Wanted> {
        let wanted = match (&self.known, last) {
            _ if self.is_reading => None,
            (None, _) => Some(Wanted::All),
            (Some(known), Some(last)) if last > known.seen => Some(Wanted::After(known.seen)),
            // The store was begun anew.
            (Some(known), Some(last)) if last < known.seen => Some(Wanted::All),
            _ => None,
        };
        self.is_reading |= wanted.is_some();
        wanted
    }

    /// It was read; `None`: it can't be, and is tried again. Says whether anything is otherwise.
    pub(crate) fn on_read(&mut self, read: Option<Read>) -> bool {
        self.is_reading = false;
        match (read, &mut self.known) {
            (Some(Read::All(known)), _) => {
                self.known = Some(known);
                true
            }
            (Some(Read::After(records)), Some(known)) => {
                let mut changes = false;
                for record in &records {
                    known.seen = known.seen.max(record.sequence);
                    changes |= known.incidents.on_record(of(record));
                }
                changes
            }
            _ => false,
        }
    }
}

/// Reads what is wanted of `writer`'s chain, or of all.
pub(crate) fn read(
    path: &Path,
    writer: &str,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Read, StoreError> {
    let mut store = SqliteStore::open_to_read(path)?;
    Ok(match wanted {
        Wanted::After(seen) => Read::After(store.chain(writer, seen, TAIL_MAX)?),
        Wanted::All => {
            // Of one moment: what is written meanwhile is read after it.
            store.hold()?;
            let seen = store.end(writer)?;
            let incidents = all(&mut store, now.before(REACH))?;
            Read::All(Known { incidents, seen })
        }
    })
}

/// All incidents that the journal tells of, not before `since`.
pub(crate) fn all(store: &mut dyn Store, since: Timestamp) -> Result<Incidents, StoreError> {
    let mut records = Vec::new();
    for kind in Incidents::KINDS {
        let mut filter = Filter {
            kind: Some(kind.to_owned()),
            since: Some(since),
            count: PAGE,
            ..Filter::default()
        };
        for _ in 0..RECORDS_MAX / PAGE {
            let mut page = store.list(&filter)?;
            let is_last = page.len() < PAGE;
            filter.before = page.first().map(Cursor::of);
            page.retain(says_something);
            records.extend(page);
            if is_last {
                break;
            }
        }
    }
    records.sort_by_key(|it| (it.entry.at, it.sequence));
    Ok(Incidents::of(records.iter().map(of)))
}

/// Most decisions call nobody: they need not stay in memory.
fn says_something(record: &Record) -> bool {
    let body = record.entry.body.as_slice();
    let has = |words: &&[u8]| body.windows(words.len()).any(|part| part == *words);
    record.entry.kind != "decision" || CALLS.iter().any(has)
}

fn of(record: &Record) -> IncidentRecord<'_> {
    IncidentRecord {
        sequence: record.sequence,
        at: record.entry.at,
        kind: &record.entry.kind,
        subject: &record.entry.subject,
        body: &record.entry.body,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_governor::{Decision, What};
    use plimsoll_store::{Entry, Hash};
    use serde_json::json;

    use super::*;

    fn record(sequence: u64, what: &What) -> Record {
        let decision = Decision {
            service: "shop".to_owned(),
            mode: plimsoll_core::Mode::Enforce,
            what: what.clone(),
            evidence: None,
        };
        let entry = Entry {
            at: Timestamp::from_seconds(1_795_615_852 + sequence),
            kind: "decision".to_owned(),
            subject: "service/shop".to_owned(),
            cites: None,
            body: json!({ "decision": decision }).to_string().into_bytes(),
        };
        Record::following("a", sequence, Hash::ZERO, entry)
    }

    #[test]
    fn what_ends_a_call_is_kept_and_what_calls_nobody_is_not() {
        assert!(says_something(&record(1, &What::Resolved)));
        assert!(says_something(&record(1, &What::Returned)));
        assert!(!says_something(&record(1, &What::Helpless)));
    }

    #[test]
    fn what_was_read_is_gone_on_with_and_a_store_that_is_begun_anew_is_read_anew() {
        let mut register = Register::default();
        assert_eq!(register.begin_to_read(None), Some(Wanted::All));
        assert_eq!(register.begin_to_read(None), None, "somebody does");
        assert!(!register.on_read(None));
        assert_eq!(register.begin_to_read(Some(7)), Some(Wanted::All));
        let known = Known {
            incidents: Incidents::default(),
            seen: 7,
        };
        assert!(register.on_read(Some(Read::All(known))));
        assert_eq!(register.begin_to_read(Some(7)), None);
        assert_eq!(register.begin_to_read(Some(9)), Some(Wanted::After(7)));
        let nothing_new = Read::After(vec![record(8, &What::Helpless), record(9, &What::Helpless)]);
        assert!(!register.on_read(Some(nothing_new)));
        assert_eq!(register.begin_to_read(Some(9)), None);
        assert_eq!(register.begin_to_read(Some(3)), Some(Wanted::All));
    }
}
