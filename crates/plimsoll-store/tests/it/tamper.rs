//! Goal: whatever is done to a journal afterwards is found, and its writer's own forgetting is not taken for it.
//!
//! Method: the file is changed behind the store's back, with SQL.

use plimsoll_core::Timestamp;
use plimsoll_store::{Break, Head, Identity, Record, Store, verify};
use tempfile::TempDir;

use crate::{entry, open};

struct Journal {
    folder: TempDir,
    identity: Identity,
    records: Vec<Record>,
    head: Head,
}

/// Twelve records, of which the head of the tenth was signed.
fn journal() -> Journal {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::at(&folder.path().join("key")).unwrap();
    let mut store = open(&folder.path().join("store.db"), identity.writer());
    let entries: Vec<_> = (1..=12).map(|at| entry(at, "decision", "x")).collect();
    let records = store.append(&entries).unwrap();
    let head = identity.sign(10, records[9].hash, records[9].entry.at);
    Journal {
        folder,
        identity,
        records,
        head,
    }
}

impl Journal {
    fn verify_after(&self, sql: &str) -> Vec<Break> {
        let path = self.folder.path().join("store.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        let mut store = open(&path, self.identity.writer());
        let report = verify(&mut store, std::slice::from_ref(&self.head)).unwrap();
        report.breaks
    }

    fn writer(&self) -> String {
        self.identity.writer().to_owned()
    }
}

#[test]
fn what_was_written_is_verified() {
    assert_eq!(journal().verify_after(""), []);
}

#[test]
fn a_changed_record_is_found() {
    let journal = journal();
    let writer = journal.writer();
    let sql = "UPDATE journal SET body = x'7b7d' WHERE sequence = 4";
    assert_eq!(
        journal.verify_after(sql),
        [Break::Changed {
            writer,
            sequence: 4
        }]
    );
}

#[test]
fn a_record_that_was_left_out_is_found() {
    let journal = journal();
    let breaks = journal.verify_after("DELETE FROM journal WHERE sequence IN (5, 6)");
    let (writer, from, to) = (journal.writer(), 5, 6);
    assert_eq!(breaks, [Break::Missing { writer, from, to }]);
}

#[test]
fn a_beginning_that_was_cut_is_found() {
    let journal = journal();
    let breaks = journal.verify_after("DELETE FROM journal WHERE sequence < 4");
    let (writer, from, to) = (journal.writer(), 1, 3);
    assert_eq!(breaks, [Break::Missing { writer, from, to }]);
}

#[test]
fn an_end_that_was_cut_is_found_by_a_head_that_was_kept() {
    let journal = journal();
    let breaks = journal.verify_after("DELETE FROM journal WHERE sequence > 8");
    let (writer, at) = (journal.writer(), journal.head.at.clone());
    let cut = Break::CutOff {
        writer,
        last: 8,
        sequence: 10,
        at,
    };
    assert_eq!(breaks, [cut]);
}

#[test]
fn a_journal_that_is_gone_is_found_by_a_head_that_was_kept() {
    let breaks = journal().verify_after("DELETE FROM journal");
    assert!(
        matches!(breaks[..], [Break::CutOff { last: 0, .. }]),
        "{breaks:?}"
    );
}

#[test]
fn a_chain_that_was_computed_anew_is_found_by_a_head_that_was_kept() {
    let journal = journal();
    let mut sql = String::new();
    let mut previous = journal.records[2].hash;
    for record in &journal.records[3..] {
        let mut entry = record.entry.clone();
        entry.body = b"{}".to_vec();
        let forged = Record::following(&record.writer, record.sequence, previous, entry);
        previous = forged.hash;
        sql.push_str(&format!(
            "UPDATE journal SET body = x'7b7d', previous = x'{}', hash = x'{}' WHERE sequence = {};",
            forged.previous, forged.hash, forged.sequence
        ));
    }
    let breaks = journal.verify_after(&sql);
    let (writer, at) = (journal.writer(), journal.head.at.clone());
    let rewritten = Break::Rewritten {
        writer,
        sequence: 10,
        at,
    };
    assert_eq!(breaks, [rewritten]);
}

#[test]
fn forgetting_is_no_break_unless_its_checkpoint_was_forged() {
    let journal = journal();
    let path = journal.folder.path().join("store.db");
    let mut store = open(&path, journal.identity.writer());
    let sign = |record: &Record| {
        journal
            .identity
            .sign(record.sequence, record.hash, record.entry.at)
    };
    assert_eq!(
        store.forget(Timestamp::from_seconds(12), &sign).unwrap(),
        11
    );
    assert_eq!(journal.verify_after(""), []);
    let breaks = journal.verify_after("UPDATE checkpoint SET head = replace(head, ':11,', ':9,')");
    assert!(matches!(breaks[0], Break::Head { .. }), "{breaks:?}");
}
