//! What is on disk, by key: where to find it, and what goes when room is needed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use plimsoll_policy::cache::Vary;

use super::super::purge::Purging;

/// What an entry is counted as beside its file.
const ENTRY_BYTES: u64 = 512;
/// What a file takes on disk is a multiple of this.
const BLOCK_BYTES: u64 = 4_096;
/// Answers under one key: a service that has more is not kept in step with on disk.
const VARIANTS_MAX: usize = 64;
/// Keys that are remembered as removed while the folder is read; beyond that, what was not read yet is not taken over.
const REMOVED_MAX: usize = 65_536;
/// What was taken out and is still in the order, before the order is tidied.
const GONE_MAX: usize = 1_024;

/// What is in the folder, or will be.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashMap<Box<[u8]>, Slot>,
    /// Which is looked at next when room is needed.
    order: VecDeque<(u64, Box<[u8]>)>,
    bytes: u64,
    /// Files that are there, or will be.
    count: usize,
    hasher: RandomState,
    /// While the folder is read: what must not be taken over from it.
    removed: Option<Removed>,
}

/// What was taken out while the folder was read.
#[derive(Debug)]
enum Removed {
    Keys(HashSet<Box<[u8]>>),
    /// More than is remembered, or what can't be told of a name: all.
    All,
}

/// The answers of a key, and by what they differ.
#[derive(Debug)]
struct Slot {
    vary: Vary,
    files: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    secondary: Box<[u8]>,
    /// Hashes of the keys that the service gave it.
    surrogates: Box<[u64]>,
    number: u64,
    /// `None`: it is not written yet.
    bytes: Option<u64>,
    used: bool,
}

/// Which requests a file is for, and what it is taken out by.
pub(super) struct Asked<'a> {
    pub(super) key: &'a [u8],
    pub(super) vary: &'a Vary,
    pub(super) secondary: &'a [u8],
    pub(super) surrogates: &'a [Box<[u8]>],
}

impl Index {
    /// Of a folder that is still to be read.
    pub(super) fn unread() -> Self {
        Self {
            removed: Some(Removed::Keys(HashSet::new())),
            ..Self::default()
        }
    }

    /// The folder was read.
    pub(super) fn end_reading(&mut self) {
        self.removed = None;
    }

    /// Whether a file that is found in the folder must not be taken over.
    pub(super) fn was_removed(&self, key: &[u8]) -> bool {
        match &self.removed {
            None => false,
            Some(Removed::Keys(keys)) => keys.contains(key),
            Some(Removed::All) => true,
        }
    }

    /// Puts a file in, which is there (with its length) or is to be written. What was put in with a later number stands before
    /// it. Gives which files are to be deleted, itself perhaps.
    pub(super) fn add(&mut self, asked: &Asked<'_>, number: u64, bytes: Option<u64>) -> Vec<u64> {
        let surrogates = asked.surrogates.iter().map(|it| self.hasher.hash_one(it));
        let surrogates = surrogates.collect();
        let mut gone = Vec::new();
        if let Some(slot) = self.slots.get(asked.key) {
            let is_same = slot.vary == *asked.vary;
            let before = slot
                .files
                .iter()
                .find(|it| *it.secondary == *asked.secondary);
            let is_older = |it: &Entry| it.number > number;
            let full = is_same && before.is_none() && slot.files.len() >= VARIANTS_MAX;
            let late = match is_same {
                true => before.is_some_and(is_older),
                false => slot.files.iter().any(is_older),
            };
            if full || late {
                return vec![number];
            }
            match before.filter(|_| is_same).map(|it| it.number) {
                Some(before) => gone.extend(self.forget(asked.key, before)),
                None if !is_same => gone = self.take(asked.key),
                None => (),
            }
        }
        let slot = self.slots.entry(asked.key.into()).or_insert_with(|| Slot {
            vary: asked.vary.clone(),
            files: Vec::new(),
        });
        let entry = Entry {
            secondary: asked.secondary.into(),
            surrogates,
            number,
            bytes,
            used: false,
        };
        self.bytes += entry.takes();
        self.count += 1;
        self.order.push_back((number, asked.key.into()));
        slot.files.push(entry);
        gone
    }

    /// The number of a file that is there for these requests; it counts as used.
    pub(super) fn find(
        &mut self,
        key: &[u8],
        secondary: impl FnOnce(&Vary) -> Option<Box<[u8]>>,
    ) -> Option<u64> {
        let slot = self.slots.get_mut(key)?;
        let secondary = secondary(&slot.vary)?;
        let entry = slot.files.iter_mut().find(|it| it.secondary == secondary)?;
        entry.bytes?;
        entry.used = true;
        Some(entry.number)
    }

    fn entry(&mut self, key: &[u8], number: u64) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(key)?;
        slot.files.iter_mut().find(|it| it.number == number)
    }

    /// Whether it is wanted.
    pub(super) fn has(&mut self, key: &[u8], number: u64) -> bool {
        self.entry(key, number).is_some()
    }

    /// It is there now. Says whether it is still wanted.
    pub(super) fn on_written(&mut self, key: &[u8], number: u64, bytes: u64) -> bool {
        let Some(entry) = self.entry(key, number) else {
            return false;
        };
        let before = entry.takes();
        entry.bytes = Some(bytes);
        let after = entry.takes();
        self.bytes = self.bytes - before + after;
        true
    }

    /// Takes one out; gives it, if it was there.
    pub(super) fn forget(&mut self, key: &[u8], number: u64) -> Option<u64> {
        let slot = self.slots.get_mut(key)?;
        let at = slot.files.iter().position(|it| it.number == number)?;
        let entry = slot.files.swap_remove(at);
        if slot.files.is_empty() {
            self.slots.remove(key);
        }
        self.bytes -= entry.takes();
        self.count -= 1;
        Some(number)
    }

    fn take(&mut self, key: &[u8]) -> Vec<u64> {
        let Some(slot) = self.slots.remove(key) else {
            return Vec::new();
        };
        self.bytes -= slot.files.iter().map(Entry::takes).sum::<u64>();
        self.count -= slot.files.len();
        slot.files.iter().map(|it| it.number).collect()
    }

    /// Takes out what is under a key, for whatever requests.
    pub(super) fn remove(&mut self, key: &[u8]) -> Vec<u64> {
        if let Some(Removed::Keys(keys)) = &mut self.removed {
            keys.insert(key.into());
            if keys.len() > REMOVED_MAX {
                self.removed = Some(Removed::All);
            }
        }
        self.take(key)
    }

    /// Takes out what is meant. Of what was not read yet it is not known whether it is meant.
    pub(super) fn purge(&mut self, purging: &Purging<'_>) -> Vec<u64> {
        if self.removed.is_some() {
            self.removed = Some(Removed::All);
        }
        let surrogate = purging.surrogate().map(|key| self.hasher.hash_one(key));
        let mut gone = Vec::new();
        for (key, slot) in self.slots.iter().filter(|(key, _)| purging.is_meant(key)) {
            let takes = |it: &&Entry| surrogate.is_none_or(|key| it.surrogates.contains(&key));
            let files = slot.files.iter().filter(takes);
            gone.extend(files.map(|it| (key.clone(), it.number)));
        }
        let gone = gone.iter();
        gone.filter_map(|(key, number)| self.forget(key, *number))
            .collect()
    }

    /// Takes out what must go for so many bytes and files at most.
    pub(super) fn make_room(&mut self, bytes_max: u64, count_max: usize) -> Vec<u64> {
        let mut gone = Vec::new();
        loop {
            let is_full = self.bytes > bytes_max || self.count > count_max;
            // What was taken out otherwise leaves its place in the order.
            if !is_full && self.order.len() <= 2 * self.count + GONE_MAX {
                return gone;
            }
            let Some((number, key)) = self.order.pop_front() else {
                return gone;
            };
            let Some(entry) = self.entry(&key, number) else {
                continue;
            };
            match std::mem::take(&mut entry.used) || !is_full {
                true => self.order.push_back((number, key)),
                false => gone.extend(self.forget(&key, number)),
            }
        }
    }

    /// Bytes of files, and of what is known of them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Entry {
    fn takes(&self) -> u64 {
        let blocks = self.bytes.map_or(0, |bytes| bytes.div_ceil(BLOCK_BYTES));
        ENTRY_BYTES + blocks * BLOCK_BYTES
    }
}
