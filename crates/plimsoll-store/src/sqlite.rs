//! The store on a disk: SQLite, one file, with a write-ahead log that is synced at each commit.
//!
//! A file that is damaged is moved aside and kept, and a new one is begun: see [`Damage`].

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, TransactionBehavior};

use crate::history::{self, Additions, Amount, RESOLUTIONS, Stretch};
use crate::identity::Head;
use crate::record::{BODY_BYTES_MAX, Entry, Hash, Record};
use crate::store::{Filter, Kept, Store, StoreError};

/// The form of the tables.
const FORM: i64 = 2;
/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(2);
const TABLES: &str = "
CREATE TABLE journal (
    writer TEXT NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    cites INTEGER, body BLOB NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL,
    PRIMARY KEY (writer, sequence)
) WITHOUT ROWID;
CREATE INDEX journal_at ON journal (at);
CREATE TABLE checkpoint (writer TEXT PRIMARY KEY, head TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB) WITHOUT ROWID;
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
";
/// All series of a stretch of time are one row: see the history's docs. In form 1 nothing wrote a history.
const HISTORY: &str = "
DROP TABLE IF EXISTS history;
CREATE TABLE history (
    resolution INTEGER NOT NULL, start INTEGER NOT NULL, observed INTEGER NOT NULL, amounts BLOB NOT NULL,
    UNIQUE (resolution, start)
);
";
const LAST: &str = "WHERE writer = ? ORDER BY sequence DESC LIMIT 1";
const COLUMNS: &str = "writer, sequence, at, kind, subject, cites, body, previous, hash";

/// See the module's docs.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    writer: String,
    path: PathBuf,
    /// Device and number of the file that is open.
    file: Option<(u64, u64)>,
    /// Which its write-ahead log is, once there is one.
    log: Cell<Option<(u64, u64)>>,
    /// The numbers of series that were written.
    numbers: HashMap<Arc<str>, u32>,
}

/// A store was damaged. What could be read of it is in the file that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where the damaged file is now.
    pub kept: PathBuf,
    /// What was found.
    pub reason: String,
}

impl SqliteStore {
    /// Opens a file, or makes it. `now` names what is moved aside.
    pub fn open(
        path: &Path,
        writer: &str,
        now: Timestamp,
    ) -> Result<(Self, Option<Damage>), StoreError> {
        match Self::open_whole(path, writer) {
            Ok(store) => Ok((store, None)),
            Err(error) if error.is_damage() => {
                let kept = move_aside(path, now)?;
                let reason = match error {
                    StoreError::Database(error) => error.to_string(),
                    other => other.to_string(),
                };
                let store = Self::open_whole(path, writer)?;
                Ok((store, Some(Damage { kept, reason })))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a file for reading only, whoever writes it.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        if known_form(&connection, path)? == 0 {
            let path = path.display().to_string();
            return Err(StoreError::Empty { path });
        }
        Ok(Self::on(connection, "", path))
    }

    /// From here on, all that is read is of one moment, whatever is written and forgotten meanwhile.
    pub fn hold(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    fn open_whole(path: &Path, writer: &str) -> Result<Self, StoreError> {
        // SQLite would make it for everyone. Where this fails, it says why. It is closed before SQLite opens it: closing any
        // handle of a file takes all locks of the process from it (fcntl(2)), and with them SQLite's.
        drop(
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path),
        );
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let form = known_form(&connection, path)?;
        let found: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if found != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(code, Some(found)).into());
        }
        if form < FORM {
            let tables = if form == 0 { TABLES } else { "" };
            let begun = format!(
                "BEGIN IMMEDIATE; {tables} {HISTORY} PRAGMA user_version = {FORM}; COMMIT;"
            );
            connection.execute_batch(&begun)?;
        }
        Ok(Self::on(connection, writer, path))
    }

    fn on(connection: Connection, writer: &str, path: &Path) -> Self {
        Self {
            connection,
            writer: writer.to_owned(),
            path: path.to_owned(),
            file: identity_of(path),
            log: Cell::new(None),
            numbers: HashMap::new(),
        }
    }

    /// SQLite goes on in a file that was moved away, where nobody would find what it writes; and in a write-ahead log that was.
    pub fn check_place(&self) -> Result<(), StoreError> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let log = identity_of(Path::new(&log));
        let is_there = self.log.get().is_none_or(|known| log == Some(known));
        if is_there && identity_of(&self.path) == self.file {
            // It is made with the first change.
            self.log.set(log);
            return Ok(());
        }
        let path = self.path.display().to_string();
        Err(StoreError::Moved { path })
    }

    fn records(&self, rest: &str, values: &[&dyn ToSql]) -> Result<Vec<Record>, StoreError> {
        records(&self.connection, rest, values)
    }
}

fn records(
    connection: &Connection,
    rest: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<Record>, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM journal {rest}");
    let mut statement = connection.prepare_cached(&text)?;
    let records = statement.query_map(values, record)?;
    Ok(records.collect::<Result<_, _>>()?)
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn known_form(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form > FORM {
        return Err(StoreError::Newer {
            path: path.display().to_string(),
            found: form,
            known: FORM,
        });
    }
    Ok(form)
}

impl Store for SqliteStore {
    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Record>, StoreError> {
        check_size(entries)?;
        self.check_place()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let records = append_in(&transaction, &self.writer, entries)?;
        transaction.commit()?;
        Ok(records)
    }

    fn last(&mut self) -> Result<Option<Record>, StoreError> {
        Ok(self.records(LAST, &[&self.writer])?.pop())
    }

    fn writers(&mut self) -> Result<Vec<String>, StoreError> {
        // From one to the next by the index: `DISTINCT` would read every record.
        let text = "WITH RECURSIVE found (writer) AS (
                SELECT min(writer) FROM journal UNION ALL
                SELECT (SELECT min(writer) FROM journal WHERE writer > found.writer) FROM found WHERE writer IS NOT NULL
            ) SELECT writer FROM found WHERE writer IS NOT NULL";
        let mut statement = self.connection.prepare_cached(text)?;
        let writers = statement.query_map((), |row| row.get(0))?;
        Ok(writers.collect::<Result<_, _>>()?)
    }

    fn end(&mut self, writer: &str) -> Result<u64, StoreError> {
        let text = "SELECT coalesce(max(sequence), 0) FROM journal WHERE writer = ?";
        let end = self
            .connection
            .query_row(text, [writer], |row| natural(row, 0))?;
        Ok(end)
    }

    fn chain(&mut self, writer: &str, after: u64, count: usize) -> Result<Vec<Record>, StoreError> {
        let rest = "WHERE writer = ? AND sequence > ? ORDER BY sequence LIMIT ?";
        self.records(rest, &[&writer, &whole(after), &whole(count as u64)])
    }

    fn list(&mut self, filter: &Filter) -> Result<Vec<Record>, StoreError> {
        let part = filter.subject.as_ref().map(|subject| format!("{subject}/"));
        let before = filter.before.as_ref();
        let order = match filter.earliest {
            true => "ORDER BY at, writer, sequence LIMIT ?6",
            false => "ORDER BY at DESC, writer DESC, sequence DESC LIMIT ?6",
        };
        let rest = "WHERE at >= ?1 AND at <= ?2 AND (?3 IS NULL OR kind = ?3)
            AND (?4 IS NULL OR subject = ?4 OR substr(subject, 1, length(?5)) = ?5)
            AND (?7 IS NULL OR instr(lower(subject), ?7) > 0 OR instr(lower(kind), ?7) > 0
                OR (json_valid(CAST(body AS TEXT))
                    AND instr(lower(json_extract(CAST(body AS TEXT), '$.text')), ?7) > 0))
            AND (?8 IS NULL OR (at, writer, sequence) < (?8, ?9, ?10))
            AND (?11 IS NULL OR sequence = ?11) AND (?12 IS NULL OR cites = ?12)";
        let mut records = self.records(
            &format!("{rest} {order}"),
            &[
                &filter.since.map_or(0, |at| whole(at.as_nanos())),
                &filter.until.map_or(i64::MAX, |at| whole(at.as_nanos())),
                &filter.kind,
                &filter.subject,
                &part,
                &whole(filter.count as u64),
                &filter.text.as_ref().map(|text| text.to_ascii_lowercase()),
                &before.map(|it| whole(it.at.as_nanos())),
                &before.map(|it| &it.writer),
                &before.map(|it| whole(it.sequence)),
                &filter.sequence.map(whole),
                &filter.cites.map(whole),
            ],
        )?;
        if !filter.earliest {
            records.reverse();
        }
        Ok(records)
    }

    fn forget(
        &mut self,
        before: Timestamp,
        sign: &dyn Fn(&Record) -> Head,
    ) -> Result<u64, StoreError> {
        let Some(last) = self.last()? else {
            return Ok(0);
        };
        // Where the clock was set back, what is older may come later: only what is at the beginning goes.
        let rest = "WHERE writer = ? AND sequence < (
            SELECT min(sequence) FROM journal WHERE writer = ? AND (at >= ? OR sequence = ?)
        ) ORDER BY sequence DESC LIMIT 1";
        let known = [&self.writer, &self.writer];
        let (before, end) = (whole(before.as_nanos()), whole(last.sequence));
        let Some(oldest) = self
            .records(rest, &[known[0], known[1], &before, &end])?
            .pop()
        else {
            return Ok(0);
        };
        let head = serde_json::to_string(&sign(&oldest))
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let kept = "INSERT INTO checkpoint (writer, head) VALUES (?, ?)
            ON CONFLICT (writer) DO UPDATE SET head = excluded.head";
        transaction.execute(kept, (&self.writer, head))?;
        let gone = "DELETE FROM journal WHERE writer = ? AND sequence <= ?";
        let gone = transaction.execute(gone, (&self.writer, whole(oldest.sequence)))?;
        transaction.commit()?;
        Ok(gone as u64)
    }

    fn checkpoint(&mut self, writer: &str) -> Result<Option<Head>, StoreError> {
        let text = "SELECT head FROM checkpoint WHERE writer = ?";
        let head: Option<String> = self
            .connection
            .query_row(text, [writer], |row| row.get(0))
            .optional()?;
        head.map(|head| serde_json::from_str(&head))
            .transpose()
            .map_err(|error| StoreError::Invalid(format!("the checkpoint of {writer}: {error}")))
    }

    fn value(&mut self, key: &str) -> Result<Option<Kept>, StoreError> {
        let text = "SELECT version, value FROM state WHERE key = ? AND value IS NOT NULL";
        let kept = self.connection.query_row(text, [key], |row| {
            Ok(Kept {
                version: natural(row, 0)?,
                value: row.get(1)?,
            })
        });
        Ok(kept.optional()?)
    }

    fn values(&mut self, prefix: &str) -> Result<Vec<(String, Kept)>, StoreError> {
        let text = "SELECT key, version, value FROM state
            WHERE substr(key, 1, length(?1)) = ?1 AND value IS NOT NULL ORDER BY key";
        let mut statement = self.connection.prepare_cached(text)?;
        let values = statement.query_map([prefix], |row| {
            let version = natural(row, 1)?;
            let value = row.get(2)?;
            Ok((row.get(0)?, Kept { version, value }))
        })?;
        Ok(values.collect::<Result<_, _>>()?)
    }

    fn compare_and_set(
        &mut self,
        key: &str,
        expected: u64,
        value: Option<&[u8]>,
    ) -> Result<Option<u64>, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = set_in(&transaction, key, expected, value)?;
        transaction.commit()?;
        Ok(version)
    }

    fn append_and_set(
        &mut self,
        entry: &Entry,
        key: &str,
        expected: u64,
        value: &dyn Fn(&Record) -> Option<Vec<u8>>,
    ) -> Result<Option<(Record, u64)>, StoreError> {
        check_size(std::slice::from_ref(entry))?;
        self.check_place()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = append_in(&transaction, &self.writer, std::slice::from_ref(entry))?.pop();
        let Some(record) = written else {
            return Ok(None);
        };
        // Dropped without a commit, the record is not there either.
        let Some(version) = set_in(&transaction, key, expected, value(&record).as_deref())? else {
            return Ok(None);
        };
        transaction.commit()?;
        Ok(Some((record, version)))
    }

    fn add_history(&mut self, additions: &Additions) -> Result<(), StoreError> {
        self.check_place()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut numbers = HashMap::new();
        for ((resolution, start), addition) in additions {
            let text = "SELECT observed, amounts FROM history WHERE resolution = ? AND start = ?";
            let there: Option<(u64, Vec<u8>)> = transaction
                .prepare_cached(text)?
                .query_row((resolution, whole(*start)), |row| {
                    Ok((natural(row, 0)?, row.get(1)?))
                })
                .optional()?;
            let (observed, row) = there.unwrap_or_default();
            let mut amounts = amounts_of(*resolution, *start, &row);
            for (series, amount) in &addition.amounts {
                let number = match (self.numbers.get(series), numbers.get(series)) {
                    (Some(number), _) | (None, Some(number)) => *number,
                    (None, None) => {
                        let number = number_of(&transaction, series)?;
                        numbers.insert(Arc::clone(series), number);
                        number
                    }
                };
                history::add(&mut amounts, number, amount);
            }
            let observed = observed.saturating_add(addition.observed_millis);
            let text =
                "INSERT INTO history (resolution, start, observed, amounts) VALUES (?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET observed = excluded.observed, amounts = excluded.amounts";
            let row = history::encode(&amounts);
            let values = (resolution, whole(*start), whole(observed), row);
            transaction.prepare_cached(text)?.execute(values)?;
        }
        transaction.commit()?;
        self.numbers.extend(numbers);
        Ok(())
    }

    fn visit_history(
        &mut self,
        resolution: u32,
        from: u64,
        until: u64,
        visit: &mut dyn FnMut(Stretch<'_>),
    ) -> Result<(), StoreError> {
        let text = "SELECT start, observed, amounts FROM history
            WHERE resolution = ? AND start >= ? AND start < ? ORDER BY start";
        let mut statement = self.connection.prepare_cached(text)?;
        let mut rows = statement.query((resolution, whole(from), whole(until)))?;
        while let Some(row) = rows.next()? {
            let start = natural(row, 0)?;
            let amounts = amounts_of(resolution, start, &row.get::<_, Vec<u8>>(2)?);
            visit(Stretch {
                start,
                observed_millis: natural(row, 1)?,
                amounts: &amounts,
            });
        }
        Ok(())
    }

    fn series(&mut self) -> Result<BTreeMap<String, u32>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT name, id FROM series")?;
        let series = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(series.collect::<Result<_, _>>()?)
    }

    fn thin_history(&mut self, now: u64) -> Result<u64, StoreError> {
        // The furthest from now goes first, on either side.
        let up_to_now =
            "DELETE FROM history WHERE resolution = ?1 AND start < (SELECT start FROM history
            WHERE resolution = ?1 AND start <= ?3 ORDER BY start DESC LIMIT 1 OFFSET ?2)";
        let beyond =
            "DELETE FROM history WHERE resolution = ?1 AND start > (SELECT start FROM history
            WHERE resolution = ?1 AND start > ?3 ORDER BY start LIMIT 1 OFFSET ?2)";
        let mut gone = 0;
        for (resolution, kept) in RESOLUTIONS {
            for text in [up_to_now, beyond] {
                let of = (resolution, whole(kept - 1), whole(now));
                gone += self.connection.execute(text, of)?;
            }
        }
        Ok(gone as u64)
    }
}

fn check_size(entries: &[Entry]) -> Result<(), StoreError> {
    let Some(entry) = entries.iter().find(|it| it.body.len() > BODY_BYTES_MAX) else {
        return Ok(());
    };
    let (bytes, kind) = (entry.body.len(), &entry.kind);
    let text = format!("a {kind} of {bytes} bytes; at most {BODY_BYTES_MAX} fit");
    Err(StoreError::Invalid(text))
}

fn append_in(
    transaction: &Connection,
    writer: &str,
    entries: &[Entry],
) -> Result<Vec<Record>, StoreError> {
    // Read under the lock: while a process takes over from another, both write this chain.
    let last = records(transaction, LAST, &[&writer])?.pop();
    let (mut sequence, mut previous) = match &last {
        Some(record) => (record.sequence, record.hash),
        None => (0, Hash::ZERO),
    };
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        sequence += 1;
        let record = Record::following(writer, sequence, previous, entry.clone());
        previous = record.hash;
        let text = format!("INSERT INTO journal ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)");
        transaction.prepare_cached(&text)?.execute((
            &record.writer,
            whole(sequence),
            whole(entry.at.as_nanos()),
            &entry.kind,
            &entry.subject,
            entry.cites.map(whole),
            &entry.body,
            &record.previous.as_bytes()[..],
            &record.hash.as_bytes()[..],
        ))?;
        records.push(record);
    }
    Ok(records)
}

fn set_in(
    transaction: &Connection,
    key: &str,
    expected: u64,
    value: Option<&[u8]>,
) -> Result<Option<u64>, StoreError> {
    let text = "SELECT version, value IS NOT NULL FROM state WHERE key = ?";
    let there: Option<(u64, bool)> = transaction
        .query_row(text, [key], |row| Ok((natural(row, 0)?, row.get(1)?)))
        .optional()?;
    let (version, is_there) = there.unwrap_or((0, false));
    // Of one that was deleted, the version is known to nobody who did not see it.
    let fits = expected == version || (expected == 0 && !is_there);
    if !fits {
        return Ok(None);
    }
    let next = version + 1;
    let text = "INSERT INTO state (key, version, value) VALUES (?, ?, ?)
        ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value";
    transaction.execute(text, (key, whole(next), value))?;
    Ok(Some(next))
}

/// A row that somebody else made is as good as none: what comes later must not wait for it.
fn amounts_of(resolution: u32, start: u64, row: &[u8]) -> BTreeMap<u32, Amount> {
    history::decode(row).unwrap_or_else(|| {
        tracing::warn!(
            resolution,
            start,
            "a row of the history can't be read and is left out"
        );
        BTreeMap::new()
    })
}

/// The number of a series; given to it if it has none.
fn number_of(connection: &Connection, series: &str) -> Result<u32, StoreError> {
    connection
        .prepare_cached("INSERT INTO series (name) VALUES (?) ON CONFLICT DO NOTHING")?
        .execute([series])?;
    let number = connection
        .prepare_cached("SELECT id FROM series WHERE name = ?")?
        .query_row([series], |row| row.get(0))?;
    Ok(number)
}

/// SQLite's whole numbers have a sign; none of ours comes near the end.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let hash = |column: usize| {
        let bytes: Vec<u8> = row.get(column)?;
        // One of another length is no hash, and verifying says so.
        Ok::<_, rusqlite::Error>(Hash::try_from(bytes.as_slice()).unwrap_or(Hash::ZERO))
    };
    let cites: Option<i64> = row.get(5)?;
    Ok(Record {
        writer: row.get(0)?,
        sequence: natural(row, 1)?,
        previous: hash(7)?,
        hash: hash(8)?,
        entry: Entry {
            at: Timestamp::from_nanos(natural(row, 2)?),
            kind: row.get(3)?,
            subject: row.get(4)?,
            cites: cites.and_then(|cites| u64::try_from(cites).ok()),
            body: row.get(6)?,
        },
    })
}

/// Moves the file, and the log beside it, to a name with the time.
fn move_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let suffixed = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let kept = suffixed(path, &format!(".damaged-{}", now.as_seconds()));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (suffixed(path, suffix), suffixed(&kept, suffix));
        match fs::rename(&from, &to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                let path = from.display().to_string();
                return Err(StoreError::Io { path, source });
            }
            _ => (),
        }
    }
    Ok(kept)
}
