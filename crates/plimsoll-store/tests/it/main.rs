//! The store, with a real disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod damage;
mod keeper;
mod suite;
mod tamper;

use std::path::Path;

use plimsoll_core::Timestamp;
use plimsoll_store::{Entry, SqliteStore};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn open(path: &Path, writer: &str) -> SqliteStore {
    let (store, damage) = SqliteStore::open(path, writer, NOW).unwrap();
    assert_eq!(damage, None);
    store
}

fn entry(seconds: u64, kind: &str, subject: &str) -> Entry {
    Entry {
        at: Timestamp::from_seconds(seconds),
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        cites: None,
        body: format!("{{\"at\":{seconds}}}").into_bytes(),
    }
}
