//! A disk in memory that loses power: what was not synced may be there, lost or torn, sector by sector and in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Disk;

/// What is written whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct State {
    /// What is on disk for certain.
    durable: BTreeMap<u32, Vec<u8>>,
    /// What programs see.
    seen: BTreeMap<u32, Vec<u8>>,
    /// What was written since the last sync of a segment.
    unsynced: BTreeMap<u32, Vec<(usize, Vec<u8>)>>,
    files: BTreeMap<String, Vec<u8>>,
    /// How many more operations there are until the power goes.
    left: Option<u32>,
    segments_max: usize,
    random: Option<Xoshiro256PlusPlus>,
}

/// See the module's docs.
#[derive(Debug, Default)]
pub(crate) struct Simulated(Mutex<State>);

impl Simulated {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(State {
            segments_max: usize::MAX,
            random: Some(Xoshiro256PlusPlus::seed_from_u64(seed)),
            ..State::default()
        }))
    }

    /// The power goes after so many more operations; each after it fails.
    pub(crate) fn fail_after(&self, operations: u32) {
        self.0.lock().unwrap().left = Some(operations);
    }

    /// No room for more segments than so many.
    pub(crate) fn full_at(&self, segments: usize) {
        self.0.lock().unwrap().segments_max = segments;
    }

    /// The power is back.
    pub(crate) fn restart(&self) {
        let mut state = self.0.lock().unwrap();
        let state = &mut *state;
        let random = state.random.as_mut().unwrap();
        for (slot, writes) in std::mem::take(&mut state.unsynced) {
            let durable = state.durable.get_mut(&slot).unwrap();
            // A disk may keep all, nothing, or some sectors of what it was given.
            let keeps = random.next_u32() % 4;
            for (offset, bytes) in writes {
                for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                    let kept = match keeps {
                        0 => false,
                        1 => true,
                        _ => random.next_u32().is_multiple_of(2),
                    };
                    if kept {
                        let at = offset + index * SECTOR;
                        durable[at..at + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
        state.seen = state.durable.clone();
        state.left = None;
    }

    /// Flips a bit of what is on disk.
    pub(crate) fn flip(&self, slot: u32, offset: usize, bit: u8) {
        let mut state = self.0.lock().unwrap();
        state.durable.get_mut(&slot).unwrap()[offset] ^= 1 << bit;
        let flipped = state.durable[&slot][offset];
        state.seen.get_mut(&slot).unwrap()[offset] = flipped;
    }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for Simulated {
    fn slots(&self) -> io::Result<Vec<u32>> {
        Ok(self.0.lock().unwrap().seen.keys().copied().collect())
    }

    fn create(&self, slot: u32, bytes: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        if state.seen.len() >= state.segments_max {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let zeros = vec![0; usize::try_from(bytes).unwrap()];
        state.durable.insert(slot, zeros.clone());
        state.seen.insert(slot, zeros);
        Ok(())
    }

    fn write(&self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        // What was being written when the power went is torn as anything else is.
        let on = state.operate();
        let at = usize::try_from(offset).unwrap();
        assert!(at.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR));
        let seen = state.seen.get_mut(&slot).unwrap();
        seen[at..at + bytes.len()].copy_from_slice(bytes);
        state
            .unsynced
            .entry(slot)
            .or_default()
            .push((at, bytes.to_vec()));
        on
    }

    fn sync(&self, slot: u32) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        state.unsynced.remove(&slot);
        let seen = state.seen[&slot].clone();
        state.durable.insert(slot, seen);
        Ok(())
    }

    fn read(&self, slot: u32, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let at = usize::try_from(offset).unwrap();
        let seen = state.seen.get(&slot).ok_or(io::ErrorKind::NotFound)?;
        let from = seen
            .get(at..at + into.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        state.files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&self, slot: u32) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate()?;
        state.seen.remove(&slot);
        state.durable.remove(&slot);
        state.unsynced.remove(&slot);
        Ok(())
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().files.get(name).cloned())
    }
}
