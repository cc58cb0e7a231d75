//! `plimsoll journal`: reads the database of a state folder, whether a process runs on it or not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use plimsoll_core::Timestamp;
use plimsoll_measure::Incidents;
use plimsoll_store::{Break, Filter, Head, Record, SqliteStore, Store, StoreError, verify};
use plimsoll_upstream::Clock;

use super::line::line;
use super::since::Since;
use crate::exit::{Exit, report, say, with_causes};
use crate::incidents;
use crate::state::StateFolder;
use crate::status::look::Look;

/// How many records are read at once.
const PAGE: usize = 1_000;
/// How often whoever follows looks for new ones.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How many breaks are shown.
const BREAKS_SHOWN_MAX: usize = 20;
/// A file of heads: more than 100,000 of them.
const HEADS_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// The latest records: what changed, what was decided.
    #[command(after_help = "\
Examples:
  plimsoll journal list
  plimsoll journal list --kind change --since 1d
  plimsoll journal list --subject service/checkout --count 10 --json")]
    List {
        #[command(flatten)]
        which: Which,
        /// At most so many; the latest.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        count: u32,
    },
    /// The latest records, and then each new one as it is written.
    #[command(after_help = "\
Examples:
  plimsoll journal follow
  plimsoll journal follow --subject service/checkout --json")]
    Follow {
        #[command(flatten)]
        which: Which,
        /// How many of those that are there.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
        count: u32,
    },
    /// Whether the journal is what was written: nothing changed, left out, put in or cut off.
    #[command(after_help = "\
Examples:
  plimsoll journal verify
  plimsoll journal verify --head kept-elsewhere.head
  journalctl -u plimsoll | plimsoll journal verify --head -

Each minute in which something was written, the last record is signed: in `journal.head` of the
state folder, and in Plimsoll's log. Kept elsewhere, such a head shows that the end was cut off,
or that all was written anew.

Exit codes: 0 it is whole, 1 it is not, 2 it can't be read.")]
    Verify {
        #[command(flatten)]
        place: Place,
        /// Heads that were kept: a file, or `-` for standard input. One to a line; a log has them too.
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
    },
    /// All records as CloudEvents, one JSON object to a line, in the order of the chain.
    #[command(after_help = "\
Example:
  plimsoll journal export --since 2026-11-01 > november.jsonl")]
    Export {
        #[command(flatten)]
        place: Place,
        /// Not before: how long ago, as 1h, or a time.
        #[arg(long, value_name = "WHEN")]
        since: Option<Since>,
    },
}

/// Where the journal is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The state folder of the process.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

impl Place {
    /// The latest records that pass, the oldest first.
    pub(crate) fn list(&self, filter: &Filter) -> Result<Vec<Record>, ReadError> {
        Open::at(self)?.read(|store| store.list(filter))
    }

    /// What people were called for, not before a time.
    pub(crate) fn incidents(&self, since: Timestamp) -> Result<Incidents, ReadError> {
        Open::at(self)?.read(|store| incidents::all(store, since))
    }
}

/// Which records, and how they are shown.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    place: Place,
    /// Of this kind: process, change, refusal, endpoint, decision, ...
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// About this or a part of it, as service/checkout.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Not before: how long ago, as 90s, 15m, 1h or 7d, or a time in UTC.
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// As CloudEvents, one JSON object to a line.
    #[arg(long)]
    json: bool,
}

/// The journal can't be read, or its reader has gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(
        "there is no journal in {folder}: no Plimsoll ran there yet; name its state folder with --state"
    )]
    Absent { folder: PathBuf },
    #[error("reading the journal {path}")]
    Store {
        path: PathBuf,
        #[source]
        source: StoreError,
    },
    #[error("reading the heads of {file}")]
    Heads {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{file} has no head: expected a line as {{\"writer\":\"...\",\"sequence\":1,...}}, as in journal.head"
    )]
    NoHead { file: PathBuf },
    /// Nobody reads what we print.
    #[error("printing")]
    Gone(#[source] io::Error),
}

pub(crate) fn journal(command: &JournalCommand) -> Exit {
    reading(|| match command {
        JournalCommand::List { which, count } => list(which, *count),
        JournalCommand::Follow { which, count } => follow(which, *count),
        JournalCommand::Verify { place, head } => verified(place, head.as_deref()),
        JournalCommand::Export { place, since } => export(place, *since),
    })
}

/// Runs a command that reads the journal, and reports why it can't.
pub(crate) fn reading(read: impl FnOnce() -> Result<Exit, ReadError>) -> Exit {
    match read() {
        Ok(exit) => exit,
        Err(ReadError::Gone(_)) => Exit::Done,
        Err(error) => {
            report(&error);
            Exit::Failed
        }
    }
}

/// A journal that is open.
struct Open {
    store: SqliteStore,
    folder: StateFolder,
}

impl Open {
    fn at(place: &Place) -> Result<Self, ReadError> {
        let folder = StateFolder::locate(place.state.as_deref());
        let path = folder.store();
        if !path.exists() {
            let folder = folder.path().to_owned();
            return Err(ReadError::Absent { folder });
        }
        let store = SqliteStore::open_to_read(&path);
        let store = store.map_err(|source| ReadError::Store { path, source })?;
        Ok(Self { store, folder })
    }

    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError>,
    ) -> Result<T, ReadError> {
        read(&mut self.store).map_err(|source| ReadError::Store {
            path: self.folder.store(),
            source,
        })
    }
}

impl Which {
    fn filter(&self, count: usize) -> Filter {
        Filter {
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            since: self
                .since
                .map(|since| since.as_of(Clock::new().timestamp())),
            until: None,
            count,
            ..Filter::default()
        }
    }

    /// Whether a record that is new is asked for; it is not older than `--since`.
    fn asks_for(&self, record: &Record) -> bool {
        let entry = &record.entry;
        let about = |subject: &String| {
            let rest = entry.subject.strip_prefix(subject);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.kind.as_ref().is_none_or(|kind| *kind == entry.kind)
            && self.subject.as_ref().is_none_or(about)
    }

    fn show(&self, records: &[Record], out: &mut impl Write) -> Result<(), ReadError> {
        let look = Look::of_stdout();
        for record in records {
            let shown = match self.json {
                true => event(record),
                false => line(record, look),
            };
            out.write_all(shown.as_bytes()).map_err(ReadError::Gone)?;
        }
        out.flush().map_err(ReadError::Gone)
    }
}

fn event(record: &Record) -> String {
    format!("{}\n", record.to_cloudevent())
}

/// The latest records that pass, of the journal in a state folder; `None` if there is none that can be read.
pub(crate) fn read(state: Option<&Path>, filter: &Filter) -> Option<Vec<Record>> {
    let place = Place {
        state: state.map(Path::to_owned),
    };
    place.list(filter).ok()
}

fn list(which: &Which, count: u32) -> Result<Exit, ReadError> {
    let filter = which.filter(count as usize);
    let records = which.place.list(&filter)?;
    which.show(&records, &mut BufWriter::new(io::stdout().lock()))?;
    if records.is_empty() && !which.json {
        say("no record is like that");
    }
    Ok(Exit::Done)
}

fn follow(which: &Which, count: u32) -> Result<Exit, ReadError> {
    let mut open = Open::at(&which.place)?;
    let mut out = BufWriter::new(io::stdout().lock());
    // Where each chain ends first: what is written meanwhile is new then, and not shown twice.
    let mut ends = BTreeMap::new();
    for writer in open.read(|store| store.writers())? {
        let end = open.read(|store| store.end(&writer))?;
        ends.insert(writer, end);
    }
    let mut filter = which.filter(count as usize);
    filter.until = Some(Clock::new().timestamp());
    let mut records = open.read(|store| store.list(&filter))?;
    records.retain(|it| ends.get(&it.writer).is_some_and(|end| it.sequence <= *end));
    which.show(&records, &mut out)?;
    loop {
        #[expect(
            clippy::disallowed_methods,
            reason = "nobody tells another process of a commit"
        )]
        std::thread::sleep(FOLLOW_EVERY);
        // A damaged database is moved aside and begun anew.
        if open.store.check_place().is_err() {
            match Open::at(&which.place) {
                Ok(anew) => open = anew,
                Err(_) => continue,
            }
            ends.clear();
        }
        let mut new = Vec::new();
        for writer in open.read(|store| store.writers())? {
            let after = ends.get(&writer).copied().unwrap_or(0);
            let page = open.read(|store| store.chain(&writer, after, PAGE))?;
            if let Some(last) = page.last() {
                ends.insert(writer, last.sequence);
            }
            new.extend(page);
        }
        new.sort_by_key(|it: &Record| (it.entry.at, it.sequence));
        new.retain(|it| which.asks_for(it));
        which.show(&new, &mut out)?;
    }
}

fn export(place: &Place, since: Option<Since>) -> Result<Exit, ReadError> {
    let since = since.map(|since| since.as_of(Clock::new().timestamp()));
    let mut open = Open::at(place)?;
    open.read(SqliteStore::hold)?;
    let mut out = BufWriter::new(io::stdout().lock());
    for writer in open.read(|store| store.writers())? {
        let mut after = 0;
        loop {
            let page = open.read(|store| store.chain(&writer, after, PAGE))?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.sequence;
            for record in page {
                if since.is_none_or(|since| record.entry.at >= since) {
                    let line = event(&record);
                    out.write_all(line.as_bytes()).map_err(ReadError::Gone)?;
                }
            }
        }
    }
    out.flush().map_err(ReadError::Gone)?;
    Ok(Exit::Done)
}

fn verified(place: &Place, given: Option<&Path>) -> Result<Exit, ReadError> {
    let mut open = Open::at(place)?;
    let beside = open.folder.journal_head();
    let mut heads = match beside.exists() {
        true => heads_of(&beside)?,
        false => Vec::new(),
    };
    if let Some(given) = given {
        heads.extend(heads_of(given)?);
    }
    open.read(SqliteStore::hold)?;
    let report = match verify(&mut open.store, &heads) {
        Ok(report) => report,
        Err(error) if error.is_damage() => {
            let why = with_causes(&error);
            say(&format!("broken: the database itself is damaged: {why}"));
            say("  At the next start it is moved aside and kept, and a new one is begun.");
            return Ok(Exit::Refused);
        }
        Err(source) => {
            let path = open.folder.store();
            return Err(ReadError::Store { path, source });
        }
    };
    let mut said = String::new();
    for writer in open.read(|store| store.writers())? {
        let first = open.read(|store| store.chain(&writer, 0, 1))?;
        let end = open.read(|store| store.end(&writer))?;
        if let Some(first) = first.first() {
            let (from, at) = (first.sequence, shown(first.entry.at));
            said.push_str(&format!(
                "chain {writer}: #{from} to #{end}, from {at} on\n"
            ));
        }
        if let Some(checkpoint) = open.read(|store| store.checkpoint(&writer))? {
            let Head { sequence, at, .. } = checkpoint;
            said.push_str(&format!(
                "  up to #{sequence} forgotten as too old, under a checkpoint signed at {at}\n"
            ));
        }
    }
    let (count, kept) = (report.records, heads.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if report.breaks.is_empty() {
        said.push_str(&format!(
            "whole: {count} record{} as written; {kept} signed head{} fit{}\n",
            plural(usize::try_from(count).unwrap_or(usize::MAX)),
            plural(kept),
            if kept == 1 { "s" } else { "" },
        ));
        if kept == 0 {
            said.push_str("  Without a head that was kept, a cut end does not show: see --head.\n");
        }
        crate::cli::print(&said);
        return Ok(Exit::Done);
    }
    crate::cli::print(&said);
    for broken in report.breaks.iter().take(BREAKS_SHOWN_MAX) {
        say(&format!("broken: {broken}"));
        say(&format!("  {}", meaning(broken)));
    }
    if let Some(more) = report.breaks.len().checked_sub(BREAKS_SHOWN_MAX)
        && more > 0
    {
        say(&format!("and {more} more"));
    }
    Ok(Exit::Refused)
}

fn shown(at: Timestamp) -> String {
    at.to_rfc3339()
}

/// What to make of it.
fn meaning(broken: &Break) -> &'static str {
    match broken {
        Break::Changed { .. } => {
            "Somebody changed it after it was written; those before it can be trusted."
        }
        Break::DoesNotFollow { .. } => {
            "It, or the one before it, was put in or computed anew; those before can be trusted."
        }
        Break::Missing { .. } => {
            "They were deleted without a signed checkpoint: this is not the journal's own forgetting."
        }
        Break::CutOff { .. } => {
            "What came last was deleted, or an older copy was put in its place."
        }
        Break::Rewritten { .. } => {
            "The chain was computed anew by somebody: nothing from there back can be trusted."
        }
        Break::Head { .. } => {
            "The head or checkpoint was changed or made by somebody else: what it would show is unknown."
        }
    }
}

/// The heads in a file: one to a line, alone or at the end of a line of a log.
fn heads_of(file: &Path) -> Result<Vec<Head>, ReadError> {
    let failed = |source| ReadError::Heads {
        file: file.to_owned(),
        source,
    };
    let mut text = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin()
            .lock()
            .take(HEADS_BYTES_MAX + 1)
            .read_to_end(&mut text),
        false => {
            File::open(file).and_then(|file| file.take(HEADS_BYTES_MAX + 1).read_to_end(&mut text))
        }
    };
    if read.map_err(failed)? as u64 > HEADS_BYTES_MAX {
        let why = format!("it has more than {} MiB", HEADS_BYTES_MAX >> 20);
        return Err(failed(io::Error::other(why)));
    }
    let text = String::from_utf8_lossy(&text);
    let mut heads = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some((_, rest)) = line.split_once("{\"writer\":") else {
            continue;
        };
        let json = format!("{{\"writer\":{rest}");
        // What follows a head on its line is not of interest.
        let head = serde_json::Deserializer::from_str(&json).into_iter().next();
        match head {
            Some(Ok(head)) => heads.push(head),
            Some(Err(error)) => {
                let why = format!("line {number} is no head: {error}");
                return Err(failed(io::Error::other(why)));
            }
            None => (),
        }
    }
    if heads.is_empty() {
        let file = file.to_owned();
        return Err(ReadError::NoHead { file });
    }
    Ok(heads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_alone_and_in_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("heads");
        let head = r#"{"writer":"w","sequence":7,"hash":"h","at":"a","key":"k","signature":"s"}"#;
        let text = format!("2026 INFO serving\n{head}\n2026 INFO journal head head={head} more\n");
        std::fs::write(&file, text).unwrap();
        let heads = heads_of(&file).unwrap();
        assert_eq!(heads.len(), 2);
        assert!(heads.iter().all(|it| it.sequence == 7));
        std::fs::write(&file, "{\"writer\":1}").unwrap();
        let error = with_causes(&heads_of(&file).unwrap_err());
        assert!(error.contains("line 1 is no head"), "{error}");
    }
}
