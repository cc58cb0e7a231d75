//! Messages in order of arrival at 12 bytes each: chunks of parallel arrays, of which full ones never move.
//!
//! Invariants: the first entry, if any, is live; `live` counts those that are not gone; an entry's index counts
//! all that were ever pushed before it, so that it holds until the run is made anew.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Handle, Millis};

/// Entries of a chunk: 12 KiB, so that what a chunk costs beside them is below a tenth of a byte for each.
pub(super) const CHUNK: usize = 1024;
/// Stands for a handle that was taken out of the middle. No handle: those are below 2^63.
const GONE: u64 = u64::MAX;
/// A chunk's times lie up to 24 days before and after its first one; a time beyond that opens another chunk.
const BEFORE: u64 = 1 << 31;

/// What becomes of an entry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Keep,
    Remove,
    Replace(Handle),
}

/// Up to [`CHUNK`] entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    base: u64,
    handles: Vec<u64>,
    offsets: Vec<u32>,
}

impl Chunk {
    /// False if it has no room for this time.
    pub(super) fn push(&mut self, handle: Handle, at: Millis) -> bool {
        if self.handles.is_empty() {
            self.base = at.0.saturating_sub(BEFORE);
        }
        let offset = at.0.checked_sub(self.base).map(u32::try_from);
        let Some(Ok(offset)) = offset else {
            return false;
        };
        if self.handles.len() >= CHUNK {
            return false;
        }
        self.handles.push(handle.0);
        self.offsets.push(offset);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn handles(&self) -> &[u64] {
        &self.handles
    }

    pub(super) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    pub(super) fn clear(&mut self) {
        self.handles.clear();
        self.offsets.clear();
    }

    /// The entry, `None` inside for one that is gone.
    fn get(&self, index: usize) -> Option<Option<(Handle, Millis)>> {
        let handle = *self.handles.get(index)?;
        let offset = *self.offsets.get(index)?;
        Some((handle != GONE).then(|| (Handle(handle), Millis(self.base + u64::from(offset)))))
    }

    fn iter(&self) -> impl Iterator<Item = Option<(Handle, Millis)>> {
        let entries = self.handles.iter().zip(&self.offsets);
        entries.map(|(&handle, &offset)| {
            (handle != GONE).then(|| (Handle(handle), Millis(self.base + u64::from(offset))))
        })
    }

    fn heap_bytes(&self) -> usize {
        self.handles.capacity() * size_of::<u64>() + self.offsets.capacity() * size_of::<u32>()
    }
}

/// Chunks in order, the last of them open.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    full: VecDeque<Arc<Chunk>>,
    tail: Chunk,
    /// Entries of the first chunk that are taken already.
    head: usize,
    /// Index of the first entry.
    start: u64,
    /// Index of the next entry.
    end: u64,
    live: usize,
}

impl Run {
    pub(super) fn push(&mut self, handle: Handle, at: Millis) {
        if self.tail.len() >= CHUNK || !self.tail.push(handle, at) {
            let mut sealed = std::mem::take(&mut self.tail);
            sealed.handles.shrink_to_fit();
            sealed.offsets.shrink_to_fit();
            self.full.push_back(Arc::new(sealed));
            self.tail.push(handle, at);
        }
        self.end += 1;
        self.live += 1;
    }

    pub(super) fn first(&self) -> Option<(Handle, Millis)> {
        self.first_chunk().get(self.head).flatten()
    }

    pub(super) fn pop(&mut self) -> Option<(Handle, Millis)> {
        let first = self.first()?;
        self.live -= 1;
        self.step();
        self.trim();
        Some(first)
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Index of the first entry.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Index that the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Live entries with their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Handle, Millis)> {
        let chunks = self.full.iter().map(Arc::as_ref);
        let entries = chunks.chain([&self.tail]).flat_map(Chunk::iter);
        let indexed = (self.start..).zip(entries.skip(self.head));
        indexed.filter_map(|(index, entry)| entry.map(|(handle, at)| (index, handle, at)))
    }

    /// Asks once for each live entry. A chunk in which nothing changes stays shared.
    pub(super) fn edit(&mut self, mut edit: impl FnMut(Handle, Millis) -> Edit) {
        let mut skip = self.head;
        let mut gone = 0;
        let mut ask = |chunk: &Chunk, edits: &mut Vec<(usize, u64)>| {
            edits.clear();
            for (index, entry) in chunk.iter().enumerate().skip(std::mem::take(&mut skip)) {
                let Some((handle, at)) = entry else { continue };
                match edit(handle, at) {
                    Edit::Keep => {}
                    Edit::Remove => {
                        gone += 1;
                        edits.push((index, GONE));
                    }
                    Edit::Replace(new) => edits.push((index, new.0)),
                }
            }
        };
        let mut edits = Vec::new();
        for chunk in &mut self.full {
            ask(chunk, &mut edits);
            if !edits.is_empty() {
                apply(Arc::make_mut(chunk), &edits);
            }
        }
        ask(&self.tail, &mut edits);
        apply(&mut self.tail, &edits);
        self.live -= gone;
        self.trim();
    }

    /// More of it is gone than is there: worth to be made anew.
    pub(super) fn is_sparse(&self) -> bool {
        self.end - self.start > 2 * self.live as u64 + CHUNK as u64
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = self.full.iter();
        let chunks: usize = chunks
            .map(|chunk| chunk.heap_bytes() + size_of::<Chunk>() + 2 * size_of::<usize>())
            .sum();
        chunks + self.full.capacity() * size_of::<usize>() + self.tail.heap_bytes()
    }

    fn first_chunk(&self) -> &Chunk {
        self.full.front().map_or(&self.tail, Arc::as_ref)
    }

    /// Past the first entry, whatever it is.
    fn step(&mut self) {
        self.head += 1;
        self.start += 1;
        if self.head < self.first_chunk().len() {
            return;
        }
        self.head = 0;
        if self.full.pop_front().is_none() {
            self.tail.clear();
        }
    }

    /// To the first live entry.
    fn trim(&mut self) {
        while let Some(None) = self.first_chunk().get(self.head) {
            self.step();
        }
    }
}

fn apply(chunk: &mut Chunk, edits: &[(usize, u64)]) {
    for &(index, handle) in edits {
        if let Some(place) = chunk.handles.get_mut(index) {
            *place = handle;
        }
    }
}
