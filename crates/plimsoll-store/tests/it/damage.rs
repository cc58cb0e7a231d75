//! Goal: a store that is damaged, may not be written, or is of a newer version: said, kept, and never in the way.
//!
//! Method: files with rubbish in them; a process that is killed while it writes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

use plimsoll_store::{SqliteStore, Store, StoreError, verify};

use crate::{NOW, entry, open};

#[test]
fn a_file_that_is_no_database_is_kept_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, "this was somebody's shopping list ".repeat(200)).unwrap();
    let (mut store, damage) = SqliteStore::open(&path, "a", NOW).unwrap();
    let damage = damage.unwrap();
    assert_eq!(
        damage.kept,
        folder.path().join("store.db.damaged-1790000000")
    );
    assert!(
        fs::read_to_string(&damage.kept)
            .unwrap()
            .starts_with("this was")
    );
    assert!(!damage.reason.is_empty());
    store.append(&[entry(1, "decision", "x")]).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Without its locks, another process that opens and closes the file takes its write-ahead log away, and with it what was said
/// to be durable.
#[test]
fn a_store_that_was_just_made_holds_its_locks_as_one_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let held = || {
        let inodes = ["", "-shm"].map(|suffix| {
            let file = folder.path().join(format!("store.db{suffix}"));
            fs::metadata(file).unwrap().ino()
        });
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let ours = |line: &&str| inodes.iter().any(|it| line.contains(&format!(":{it} ")));
        locks.lines().filter(ours).count()
    };
    let new = open(&path, "a");
    let of_new = held();
    drop(new);
    let _again = open(&path, "a");
    assert!(held() > 0);
    assert_eq!(of_new, held());
}

#[test]
fn a_write_ahead_log_that_was_taken_away_is_not_written_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path, "a");
    for at in 1..=2 {
        store.append(&[entry(at, "decision", "x")]).unwrap();
    }
    fs::remove_file(folder.path().join("store.db-wal")).unwrap();
    let refused = store.append(&[entry(3, "decision", "x")]);
    assert!(
        matches!(refused, Err(StoreError::Moved { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_page_of_rubbish_is_found_when_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path, "a");
    for round in 0..50 {
        let entries: Vec<_> = (0..20)
            .map(|at| entry(round * 20 + at, "decision", "x"))
            .collect();
        store.append(&entries).unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let (mut store, damage) = SqliteStore::open(&path, "a", NOW).unwrap();
    assert!(damage.is_some());
    assert_eq!(store.last().unwrap(), None);
}

#[test]
fn a_store_of_the_first_form_gets_a_history_and_keeps_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    open(&path, "a")
        .append(&[entry(1, "decision", "x")])
        .unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let first = "DROP TABLE history; PRAGMA user_version = 1;
        CREATE TABLE history (resolution INTEGER, series INTEGER, start INTEGER, good INTEGER);";
    connection.execute_batch(first).unwrap();
    drop(connection);
    let mut store = open(&path, "a");
    assert_eq!(store.last().unwrap().unwrap().sequence, 1);
    assert_eq!(store.history("x", 1, 0, 9).unwrap(), []);
}

#[test]
fn a_row_of_rubbish_is_left_out_and_stands_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path, "a");
    let addition = || plimsoll_store::Addition {
        observed_millis: 1_000,
        amounts: [(
            "x".into(),
            plimsoll_store::Amount {
                good: 5,
                ..Default::default()
            },
        )]
        .into(),
    };
    store
        .add_history(&[((60, 0), addition()), ((60, 60), addition())].into())
        .unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let rubbish = "UPDATE history SET amounts = x'ffffff' WHERE start = 0";
    connection.execute(rubbish, ()).unwrap();
    store.add_history(&[((60, 60), addition())].into()).unwrap();
    let good = |store: &mut SqliteStore| -> Vec<u64> {
        let buckets = store.history("x", 60, 0, 120).unwrap();
        buckets.iter().map(|it| it.amount.good).collect()
    };
    assert_eq!(good(&mut store), [0, 10]);
    store.add_history(&[((60, 0), addition())].into()).unwrap();
    assert_eq!(good(&mut store), [5, 10]);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path, "a"));
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteStore::open(&path, "a", NOW).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 99,
                known: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_empty_file_has_nothing_to_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = SqliteStore::open_to_read(file.path()).unwrap_err();
    assert!(matches!(error, StoreError::Empty { .. }), "{error}");
}

#[test]
fn a_folder_that_may_not_be_written_is_an_error_and_not_a_loss() {
    // Whoever may do everything may write there too.
    let unwritable = std::path::Path::new("/proc/plimsoll.db");
    assert!(matches!(
        SqliteStore::open(unwritable, "a", NOW),
        Err(StoreError::Database(_))
    ));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    open(&path, "a")
        .append(&[entry(1, "decision", "x")])
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let mut reader = SqliteStore::open_to_read(&path).unwrap();
    assert_eq!(reader.chain("a", 0, 9).unwrap().len(), 1);
    assert!(reader.append(&[entry(2, "decision", "x")]).is_err());
    assert_eq!(verify(&mut reader, &[]).unwrap().breaks, []);
}

/// Where the process that is to be killed writes.
const PLACE: &str = "PLIMSOLL_TEST_STORE";

/// Not a test by itself: what the next one starts and kills.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(PLACE) else {
        return;
    };
    let mut store = open(path.as_ref(), "a");
    for at in 0..1_000_000 {
        let records = store.append(&[entry(at, "decision", "x")]).unwrap();
        println!("durable {}", records[0].sequence);
    }
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acknowledged = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "damage::writes_until_it_is_killed",
                "--nocapture",
            ])
            .env(PLACE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines {
            let line = line.unwrap();
            // Beside it, the test harness speaks.
            if let Some((_, sequence)) = line.split_once("durable ") {
                acknowledged = sequence.parse().unwrap();
                if acknowledged >= 60 * round {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut store = open(&path, "a");
        let last = store.last().unwrap().unwrap().sequence;
        assert!(last >= acknowledged, "{last} of {acknowledged}");
        assert_eq!(verify(&mut store, &[]).unwrap().breaks, []);
    }
    assert!(acknowledged >= 180);
}
