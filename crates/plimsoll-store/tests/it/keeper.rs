//! Goal: whoever writes never waits, nothing that was said to be durable is lost, and a loss leaves a gap.
//!
//! Method: a real store that is locked by another connection, as a full disk would refuse it.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use plimsoll_core::Timestamp;
use plimsoll_store::{Change, Keeper, NotChanged, Record, SqliteStore, Store};

use crate::{NOW, entry, open};

const LONG: Duration = Duration::from_secs(20);

fn keeper(path: &Path) -> Keeper {
    let path = path.to_owned();
    let open = move || Ok(Box::new(SqliteStore::open(&path, "a", NOW)?.0) as Box<dyn Store>);
    Keeper::new(open, || NOW).unwrap()
}

/// Holds the file, so that nobody else can write.
fn hold(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(LONG).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_was_said_to_be_durable_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let keeper = keeper(&path);
    keeper.append(entry(1, "decision", "x"));
    let record = keeper
        .append_and_tell(entry(2, "change", "x"))
        .wait(LONG)
        .unwrap();
    assert_eq!(record.sequence, 2);
    assert_eq!(open(&path, "b").chain("a", 0, 9).unwrap().len(), 2);
    assert_eq!(keeper.view().last, Some((2, record.hash.to_string())));
    // Other work comes after what was asked for before it.
    let (send, receive) = std::sync::mpsc::channel();
    keeper.append(entry(3, "decision", "x"));
    assert!(keeper.ask(move |store| {
        let last = store.last()?;
        send.send(last.map(|it| it.sequence)).unwrap();
        Ok(())
    }));
    assert_eq!(receive.recv_timeout(LONG).unwrap(), Some(3));
}

#[test]
fn while_the_store_fails_records_wait_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let keeper = keeper(&path);
    let held = hold(&path);
    let told = keeper.append_and_tell(entry(1, "decision", "x"));
    keeper.append(entry(2, "decision", "x"));
    let error = told.wait(LONG).unwrap_err();
    assert!(error.contains("waits in memory"), "{error}");
    until("it says that the store fails", || {
        let view = keeper.view();
        view.failing.is_some() && view.waiting == 2
    });
    drop(held);
    until("it writes what waited", || keeper.view().waiting == 0);
    let records = open(&path, "b").chain("a", 0, 9).unwrap();
    let at: Vec<u64> = records.iter().map(|it| it.entry.at.as_seconds()).collect();
    assert_eq!(at, [1, 2]);
    assert_eq!((keeper.view().failing, keeper.view().lost), (None, 0));
}

/// Asks for a change, and waits for what became of it.
fn change(keeper: &Keeper, at: u64, expected: Option<u64>) -> Result<(Record, u64), NotChanged> {
    let (send, receive) = std::sync::mpsc::channel();
    let change = Change {
        entry: entry(at, "change", "x"),
        key: "k".to_owned(),
        expected,
        value: Box::new(|record| Some(vec![record.sequence as u8])),
    };
    keeper.change(change, move |said| send.send(said).unwrap());
    receive.recv_timeout(LONG).unwrap()
}

#[test]
fn a_change_is_durable_with_its_record_or_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let keeper = keeper(&path);
    keeper.append(entry(1, "decision", "x"));
    let (record, version) = change(&keeper, 2, Some(0)).unwrap();
    assert_eq!((record.sequence, version), (2, 1));
    assert_eq!(keeper.view().last, Some((2, record.hash.to_string())));
    assert_eq!(change(&keeper, 3, Some(7)), Err(NotChanged::Conflict));
    assert_eq!(change(&keeper, 3, None).unwrap().1, 2);
    let held = hold(&path);
    keeper.append(entry(4, "decision", "x"));
    let failed = change(&keeper, 5, None);
    assert!(matches!(failed, Err(NotChanged::Failed(_))), "{failed:?}");
    drop(held);
    until("it writes what waited", || keeper.view().waiting == 0);
    let (record, _) = change(&keeper, 6, None).unwrap();
    assert_eq!(record.sequence, 5, "what was not made left no record");
    let kept = open(&path, "b").value("k").unwrap().unwrap();
    assert_eq!((kept.version, kept.value), (3, vec![5]));
}

#[test]
fn what_does_not_fit_is_lost_counted_and_leaves_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let keeper = keeper(&path);
    let held = hold(&path);
    let begun = Instant::now();
    for at in 0..20_000 {
        keeper.append(entry(at, "decision", "x"));
    }
    // None of them waited for the store, which waits two seconds for the lock.
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(held);
    let more = Cell::new(0);
    until("it writes what waited", || {
        keeper.append(entry(50_000, "decision", "x"));
        more.set(more.get() + 1);
        let view = keeper.view();
        view.waiting == 0 && view.last.is_some()
    });
    drop(keeper);
    let mut store = open(&path, "b");
    let records = store.chain("a", 0, 100_000).unwrap();
    let lost = |it: &Record| -> u64 {
        let body: serde_json::Value = serde_json::from_slice(&it.entry.body).unwrap();
        body["lost"].as_u64().unwrap()
    };
    let gaps: u64 = records
        .iter()
        .filter(|it| it.entry.kind == "gap")
        .map(lost)
        .sum();
    let kept = records.iter().filter(|it| it.entry.subject == "x").count() as u64;
    assert!(gaps > 10_000, "{gaps}");
    assert_eq!(gaps + kept, 20_000 + more.get());
    assert_eq!(plimsoll_store::verify(&mut store, &[]).unwrap().breaks, []);
}

#[test]
fn an_entry_that_is_too_large_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let keeper = keeper(&path);
    let mut large = entry(1, "decision", "x");
    large.body = vec![b' '; 70_000];
    let error = keeper.append_and_tell(large).wait(LONG).unwrap_err();
    assert!(error.contains("lost"), "{error}");
    let record = keeper
        .append_and_tell(entry(2, "decision", "x"))
        .wait(LONG)
        .unwrap();
    assert_eq!(record.entry.at, Timestamp::from_seconds(2));
    assert_eq!(keeper.view().lost, 1);
}

#[test]
fn a_store_that_cannot_be_opened_is_opened_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let path = later.join("store.db");
    let keeper = keeper(&path);
    let error = keeper
        .append_and_tell(entry(1, "decision", "x"))
        .wait(LONG)
        .unwrap_err();
    assert!(error.contains("waits in memory"), "{error}");
    let view = keeper.view();
    assert!(!view.open && view.failing.is_some(), "{view:?}");
    std::fs::create_dir(&later).unwrap();
    until("it is written", || keeper.view().last.is_some());
    let view = keeper.view();
    assert_eq!((view.written, view.waiting, view.open), (1, 0, true));
    assert_eq!(view.failing, None);
}

#[test]
fn a_file_that_is_moved_away_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let keeper = keeper(&path);
    let append = |at| {
        keeper
            .append_and_tell(entry(at, "decision", "x"))
            .wait(LONG)
    };
    append(1).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let name = |base: &str| folder.path().join(format!("{base}{suffix}"));
        std::fs::rename(name("store.db"), name("away.db")).unwrap();
    }
    append(2).unwrap_err();
    until("it is written", || keeper.view().waiting == 0);
    let records = open(&path, "b").chain("a", 0, 9).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].entry.at, Timestamp::from_seconds(2));
}

#[test]
fn two_that_write_one_chain_at_once_keep_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let both = [keeper(&path), keeper(&path)];
    for at in 0..200 {
        for keeper in &both {
            keeper.append(entry(at, "decision", "x"));
        }
    }
    drop(both);
    let mut store = open(&path, "a");
    assert_eq!(store.chain("a", 0, 1_000).unwrap().len(), 400);
    assert_eq!(plimsoll_store::verify(&mut store, &[]).unwrap().breaks, []);
}

#[test]
fn a_store_that_does_not_answer_fails_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let seconds = Arc::new(AtomicU64::new(1_000));
    let open = move || Ok(Box::new(SqliteStore::open(&path, "a", NOW)?.0) as Box<dyn Store>);
    let clock = Arc::clone(&seconds);
    let clock = move || Timestamp::from_seconds(clock.load(Ordering::Relaxed));
    let keeper = Keeper::new(open, clock).unwrap();
    until("it is open", || keeper.view().open);
    let release = hang(&keeper);
    keeper.append(entry(1, "decision", "x"));
    keeper.append(entry(2, "decision", "x"));
    until("both wait", || keeper.view().waiting == 2);
    seconds.fetch_add(4, Ordering::Relaxed);
    assert_eq!(keeper.view().failing, None);
    seconds.fetch_add(2, Ordering::Relaxed);
    let since = Timestamp::from_seconds(1_000);
    let failing = Some((since, "it does not answer".to_owned()));
    until("it fails", || keeper.view().failing == failing);
    // Once it answers, it works again, and what waited is written.
    drop(release);
    until("it writes what waited", || keeper.view().written == 2);
    assert_eq!((keeper.view().failing, keeper.view().waiting), (None, 0));

    let release = hang(&keeper);
    let begun = Instant::now();
    drop(keeper);
    assert!(
        begun.elapsed() < LONG,
        "the end of the process waits for the disk"
    );
    drop(release);
}

/// As a call to a disk that hangs: it comes back when what is given here is dropped.
fn hang(keeper: &Keeper) -> Sender<()> {
    let (release, hung) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    assert!(keeper.ask(move |_store| {
        begin.send(()).unwrap();
        let _released = hung.recv();
        Ok(())
    }));
    begun.recv_timeout(LONG).unwrap();
    release
}
