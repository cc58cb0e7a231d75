//! What is kept in the state folder and, for where that is lost, in the store too: which of both has to be brought up to date.

use std::collections::BTreeMap;

use plimsoll_store::{Store, StoreError};

/// See the module's docs.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// There was no file: the store may know more.
    unknown: bool,
    /// The store may have something else, since so many changes.
    unwritten: Option<u64>,
    changes: u64,
}

/// What is to be done with the store.
pub(super) enum Matching {
    /// What it has is to be read.
    Read,
    /// What is known is to be written, as of so many changes.
    Write(u64),
}

impl Mirror {
    pub(super) fn new(has_file: bool) -> Self {
        Self {
            unknown: !has_file,
            unwritten: has_file.then_some(0),
            changes: 0,
        }
    }

    pub(super) fn on_change(&mut self) {
        self.changes += 1;
    }

    /// The store could not take a change.
    pub(super) fn on_lost(&mut self) {
        self.unwritten = Some(self.changes);
    }

    /// What the store has was read; says whether that is news.
    pub(super) fn on_read(&mut self) -> bool {
        let was_unknown = std::mem::take(&mut self.unknown);
        if was_unknown {
            self.on_change();
            self.on_lost();
        }
        was_unknown
    }

    /// All that was known after so many changes was written.
    pub(super) fn on_written(&mut self, changes: u64) {
        if self.changes == changes {
            self.unwritten = None;
        }
    }

    pub(super) fn matching(&self, store_works: bool) -> Option<Matching> {
        match self.unknown {
            true => Some(Matching::Read),
            false => {
                (self.unwritten.is_some() && store_works).then_some(Matching::Write(self.changes))
            }
        }
    }
}

/// Makes the store have these values under a prefix, and no others.
pub(super) fn write_all(
    store: &mut dyn Store,
    prefix: &str,
    wanted: &BTreeMap<String, Vec<u8>>,
) -> Result<(), StoreError> {
    for (key, kept) in store.values(prefix)? {
        if !wanted.contains_key(&key) {
            store.compare_and_set(&key, kept.version, None)?;
        }
    }
    for (key, value) in wanted {
        let kept = store.value(key)?;
        let version = kept.as_ref().map_or(0, |kept| kept.version);
        if kept.is_none_or(|kept| kept.value != *value) {
            store.compare_and_set(key, version, Some(value))?;
        }
    }
    Ok(())
}
