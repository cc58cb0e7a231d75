//! What any store does. One suite of tests for all of them: `tests/it/suite.rs`.

use std::collections::BTreeMap;
use std::io;

use plimsoll_core::Timestamp;

use crate::history::{Additions, Bucket, Stretch};
use crate::identity::{Head, IdentityError};
use crate::record::{Entry, Record};

/// A store: the journal, the state, the history.
///
/// What is said to be written survives the process and the machine's power; what an error is given for is not there.
pub trait Store: Send {
    /// Writes entries at the end of this writer's chain, all or none.
    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Record>, StoreError>;

    /// The last record of this writer.
    fn last(&mut self) -> Result<Option<Record>, StoreError>;

    /// The writers that there are.
    fn writers(&mut self) -> Result<Vec<String>, StoreError>;

    /// The sequence of a writer's last record; 0 if there is none.
    fn end(&mut self, writer: &str) -> Result<u64, StoreError>;

    /// The records of a writer after a place, in order; at most `count`.
    fn chain(&mut self, writer: &str, after: u64, count: usize) -> Result<Vec<Record>, StoreError>;

    /// The latest records of all writers that pass, or the earliest; oldest first.
    fn list(&mut self, filter: &Filter) -> Result<Vec<Record>, StoreError>;

    /// Forgets what this writer wrote before `before`, but never the last record. `sign` is given the last of what is
    /// forgotten; what it signs is kept in its place. Says how many were forgotten.
    fn forget(
        &mut self,
        before: Timestamp,
        sign: &dyn Fn(&Record) -> Head,
    ) -> Result<u64, StoreError>;

    /// What was signed in the place of records of a writer that were forgotten.
    fn checkpoint(&mut self, writer: &str) -> Result<Option<Head>, StoreError>;

    /// A value of the state, with its version.
    fn value(&mut self, key: &str) -> Result<Option<Kept>, StoreError>;

    /// All values whose key begins with `prefix`, by key.
    fn values(&mut self, prefix: &str) -> Result<Vec<(String, Kept)>, StoreError>;

    /// Writes a value if its version is still `expected` (0: there is none yet). Gives the new version, or `None` if
    /// somebody else was first. `None` as value deletes it, and its next version goes on from there.
    fn compare_and_set(
        &mut self,
        key: &str,
        expected: u64,
        value: Option<&[u8]>,
    ) -> Result<Option<u64>, StoreError>;

    /// Writes a record and a value of the state, both or neither: nothing is set that the journal does not tell of. `value`
    /// is given the record; without one the value is deleted. Gives record and version, or `None` if the version was not
    /// `expected` any more, and then nothing is written.
    fn append_and_set(
        &mut self,
        entry: &Entry,
        key: &str,
        expected: u64,
        value: &dyn Fn(&Record) -> Option<Vec<u8>>,
    ) -> Result<Option<(Record, u64)>, StoreError>;

    /// Adds to the history: all of it or none.
    fn add_history(&mut self, additions: &Additions) -> Result<(), StoreError>;

    /// The buckets of a series with a resolution that begin in `from..until`, in seconds since the epoch: those in which
    /// anything was observed, whether or not the series counted anything.
    fn history(
        &mut self,
        series: &str,
        resolution: u32,
        from: u64,
        until: u64,
    ) -> Result<Vec<Bucket>, StoreError> {
        let number = self.series()?.get(series).copied();
        let mut buckets = Vec::new();
        self.visit_history(resolution, from, until, &mut |stretch| {
            let amount = number.and_then(|number| stretch.amounts.get(&number));
            buckets.push(Bucket {
                resolution,
                start: stretch.start,
                observed_millis: stretch.observed_millis,
                amount: amount.copied().unwrap_or_default(),
            });
        })?;
        Ok(buckets)
    }

    /// Visits what all series counted, in the order of time.
    fn visit_history(
        &mut self,
        resolution: u32,
        from: u64,
        until: u64,
        visit: &mut dyn FnMut(Stretch<'_>),
    ) -> Result<(), StoreError>;

    /// The numbers of all series of the history, by name.
    fn series(&mut self) -> Result<BTreeMap<String, u32>, StoreError>;

    /// Forgets what is more than is kept of each resolution up to `now`, in seconds since the epoch, the oldest first: see
    /// [`crate::RESOLUTIONS`]. What a clock that was wrong has left beyond it is bounded apart, and pushes nothing out.
    fn thin_history(&mut self, now: u64) -> Result<u64, StoreError>;
}

/// Which records are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<String>,
    /// About this, or a part of it: `service/a` is about `service/a/endpoint/b` too.
    pub subject: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// With this in its `text`, its subject or its kind, however it is written.
    pub text: Option<String>,
    /// Before this one, in the order in which they are listed.
    pub before: Option<Cursor>,
    /// At this place of its writer's chain.
    pub sequence: Option<u64>,
    /// The outcome, or the end, of what stands at this place.
    pub cites: Option<u64>,
    /// At most so many; the latest, unless `earliest`.
    pub count: usize,
    /// The first of those that pass, and not the latest.
    pub earliest: bool,
}

/// A record's place in the order in which records are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When it happened.
    pub at: Timestamp,
    /// Whose it is.
    pub writer: String,
    /// Its place in that chain.
    pub sequence: u64,
}

impl Cursor {
    /// The place of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            at: record.entry.at,
            writer: record.writer.clone(),
            sequence: record.sequence,
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, sequence) = (self.at.as_nanos(), self.sequence);
        write!(f, "{at}-{sequence}-{}", self.writer)
    }
}

impl std::str::FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let place = number().zip(number());
        let (at, sequence) = place.ok_or("expected a place that was given before")?;
        Ok(Self {
            at: Timestamp::from_nanos(at),
            writer: parts.next().unwrap_or_default().to_owned(),
            sequence,
        })
    }
}

/// A value of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Grows by one with each write, from 1.
    pub version: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// A store can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file can't be made or used.
    #[error("using the store {path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database says no: a full disk, a file that may not be written, damage. What was asked for is not done;
    /// trying later may help.
    #[error("writing to or reading from the store")]
    Database(#[from] rusqlite::Error),
    /// The file was made by a newer version.
    #[error("the store {path} has the form {found}; this version knows {known} and older")]
    Newer {
        /// The file.
        path: String,
        /// The form that was found.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The file has no tables: whoever makes it has not come so far. There is nothing to read.
    #[error("the store {path} has nothing in it yet")]
    Empty {
        /// The file.
        path: String,
    },
    /// The file was moved away, deleted or replaced. Opened again, a new one is begun.
    #[error("the store {path} is not the file any more that was opened")]
    Moved {
        /// The file.
        path: String,
    },
    /// The key of the writer can't be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An entry is too large, or what is stored is not what could have been written.
    #[error("{0}")]
    Invalid(String),
}

impl StoreError {
    /// Whether the database itself is damaged.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let Self::Database(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(DatabaseCorrupt | NotADatabase)
        )
    }

    /// Whether it stays so until the store is opened again: the file was moved away, or is damaged, or was opened
    /// when it could only be read. A full disk and a lock go away by themselves.
    pub(crate) fn outlasts_the_connection(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
        match self {
            Self::Moved { .. } => true,
            Self::Database(error) => {
                let code = error.sqlite_error_code();
                self.is_damage() || matches!(code, Some(ReadOnly | CannotOpen))
            }
            _ => false,
        }
    }
}
