//! Where the log goes on, and what it says from a place on.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use plimsoll_policy::queue::Handle;

use super::batch::{BLOCK, Batch, HEADER, Head};
use super::record::{self, Record, UNIT, What};
use super::{RECORD_MAX, handle};
use crate::disk::Disk;

/// How large segments are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// In bytes: a multiple of a block, and room for the largest record.
    pub(crate) segment_bytes: u64,
}

impl LogOptions {
    /// How large a batch may be: it fits into a segment.
    pub(crate) fn batch_max(self) -> usize {
        usize::try_from(self.segment_bytes).unwrap_or(usize::MAX)
    }

    /// How large a record may be.
    pub(crate) fn record_max(self) -> usize {
        (self.batch_max() / 4).min(RECORD_MAX)
    }
}

/// Where a batch goes, and its number: one more than that of the batch before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) offset: u64,
    pub(crate) number: u64,
}

/// Writes batches, one after the other.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    salt: u32,
    /// Where the next one goes; `None`: nothing was written.
    place: Option<Place>,
}

/// A batch that is not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no segment to go on in: nothing was written, and it may be tried again.
    NoRoom(io::Error),
    /// Nobody knows what is on disk.
    Disk(io::Error),
}

/// Something that can't be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLost {
    pub(crate) slot: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) why: &'static str,
}

/// What there is from a place on.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where the next batch goes; `None`: there is no log yet.
    pub(crate) end: Option<Place>,
    /// The slots that were read, in order.
    pub(crate) slots: Vec<u32>,
    /// What had been written and can't be read any more.
    pub(crate) lost: Vec<LogLost>,
    /// Whether the last batch was not written whole: it was not acknowledged.
    pub(crate) torn: bool,
}

impl Log {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        salt: u32,
        place: Option<Place>,
    ) -> Self {
        Self {
            disk,
            options,
            salt,
            place,
        }
    }

    /// Where the next batch goes.
    pub(crate) fn place(&self) -> Option<Place> {
        self.place
    }

    /// Writes a batch, and syncs it if asked to. Says where it begins. `next` gives the slot of a segment to go on in.
    ///
    /// After [`WriteError::Disk`] nobody knows what is on disk: nothing more may be written.
    pub(crate) fn write(
        &mut self,
        batch: &mut Batch,
        syncs: bool,
        next: impl FnOnce() -> io::Result<u32>,
    ) -> Result<Place, WriteError> {
        let number = self.place.map_or(1, |it| it.number);
        let bytes = batch.seal(self.salt, number);
        let length = bytes.len() as u64;
        let fits = |place: &Place| place.offset + length <= self.options.segment_bytes;
        let place = match self.place.filter(fits) {
            Some(place) => place,
            None => {
                // Nobody comes back to it.
                if !syncs {
                    self.sync().map_err(WriteError::Disk)?;
                }
                let slot = next().map_err(WriteError::NoRoom)?;
                Place {
                    slot,
                    offset: 0,
                    number,
                }
            }
        };
        let written = self.disk.write(place.slot, place.offset, bytes);
        written.map_err(WriteError::Disk)?;
        if syncs {
            self.disk.sync(place.slot).map_err(WriteError::Disk)?;
        }
        self.place = Some(Place {
            offset: place.offset + length,
            number: number + 1,
            ..place
        });
        Ok(place)
    }

    /// Syncs what was written without.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.place.map_or(Ok(()), |it| self.disk.sync(it.slot))
    }

    /// Reads all that was written from a place on; without one, from the first batch that there is.
    pub(crate) fn scan(
        disk: &dyn Disk,
        options: LogOptions,
        salt: u32,
        from: Option<Place>,
        mut on_record: impl FnMut(Handle, &Record<'_>),
    ) -> io::Result<Found> {
        let size = usize::try_from(options.segment_bytes).map_err(io::Error::other)?;
        let mut segment = vec![0; size];
        // By the number of the first batch that can be read: in which slot it is, and where.
        let mut firsts = BTreeMap::new();
        for slot in disk.slots()? {
            let mut header = [0; HEADER];
            disk.read(slot, 0, &mut header)?;
            if let Some(head) = Head::read(&header, salt) {
                firsts.insert(head.number, (slot, 0));
                continue;
            }
            disk.read(slot, 0, &mut segment)?;
            if let Some((offset, number)) = later(&segment, salt, 0, u64::MAX) {
                firsts.insert(number, (slot, offset as u64));
            }
        }
        let latest = firsts.last_key_value().map_or(0, |(number, _)| *number);
        let first = firsts.iter().next();
        let first = first.map(|(number, (slot, offset))| Place {
            slot: *slot,
            offset: *offset,
            number: *number,
        });
        let mut found = Found::default();
        let Some(mut place) = from.or(first) else {
            return Ok(found);
        };
        loop {
            disk.read(place.slot, 0, &mut segment)?;
            if found.slots.last() != Some(&place.slot) {
                found.slots.push(place.slot);
            }
            walk(
                &segment,
                (salt, latest),
                &mut place,
                &mut found,
                &mut on_record,
            );
            // The next batch is the first of another segment; or something is damaged, and it is a later one.
            let next = firsts.range(place.number..).next();
            let next = next.filter(|(_, (slot, _))| *slot != place.slot);
            let Some((&number, &(slot, offset))) = next else {
                break;
            };
            if number != place.number || offset > 0 {
                found.lost.push(LogLost {
                    slot: place.slot,
                    offset: place.offset,
                    bytes: options.segment_bytes.saturating_sub(place.offset),
                    why: "batches are missing",
                });
            }
            place = Place {
                slot,
                offset,
                number,
            };
        }
        found.end = Some(place);
        Ok(found)
    }
}

/// The number of the first batch after this one that begins in these blocks, and where; at most `most` after it.
fn later(blocks: &[u8], salt: u32, number: u64, most: u64) -> Option<(usize, u64)> {
    let blocks = blocks.chunks(BLOCK).enumerate();
    let mut heads = blocks.filter_map(|(index, block)| Some((index, Head::read(block, salt)?)));
    let range = number.saturating_add(1)..=number.saturating_add(most);
    let (index, head) = heads.find(|(_, head)| range.contains(&head.number))?;
    Some((index * BLOCK, head.number))
}

/// Reads the batches of a segment from a place on, and leaves the place behind the last one. `latest`: the number of the latest batch
/// that a segment begins with.
fn walk(
    segment: &[u8],
    (salt, latest): (u32, u64),
    place: &mut Place,
    found: &mut Found,
    on_record: &mut impl FnMut(Handle, &Record<'_>),
) {
    loop {
        let begin = usize::try_from(place.offset).unwrap_or(usize::MAX);
        let rest = segment.get(begin..).unwrap_or_default();
        let head = Head::read(rest, salt).filter(|it| it.number == place.number);
        let Some(head) = head else {
            let Some((skipped, number)) =
                later(rest, salt, place.number, (segment.len() / BLOCK) as u64)
            else {
                return;
            };
            found.lost.push(LogLost {
                slot: place.slot,
                offset: place.offset,
                bytes: skipped as u64,
                why: "a batch can't be read",
            });
            place.offset += skipped as u64;
            place.number = number;
            continue;
        };
        let records = rest.split_at(rest.len().min(HEADER + head.length)).0;
        let length = (HEADER + head.length).next_multiple_of(BLOCK);
        let after = rest.get(length..).unwrap_or_default();
        let next_here =
            || later(after, salt, head.number, (segment.len() / BLOCK) as u64).is_some();
        let (mut at, mut count, mut bad) = (HEADER, 0, 0);
        while at < records.len() && count < head.records {
            let read = records.get(at..).and_then(|it| record::read(it, salt));
            match read.filter(|it| it.mark == head.mark) {
                Some(read) => {
                    let offset = place.offset + at as u64;
                    // Of a batch that was not written whole nobody was told. What settles a message must not stand where what was
                    // settled before it is lost, for a group would lose its order; what was published may.
                    let counts = bad == 0
                        || matches!(read.record.what, What::Published(_))
                        || latest > head.number
                        || next_here();
                    if counts {
                        on_record(handle(place.slot, offset, read.room), &read.record);
                    }
                    count += 1;
                    at += read.room;
                }
                None => {
                    bad += UNIT;
                    at += UNIT;
                }
            }
        }
        match count < head.records {
            true if latest <= head.number && !next_here() => found.torn = true,
            true => found.lost.push(LogLost {
                slot: place.slot,
                offset: place.offset,
                bytes: bad as u64,
                why: "records can't be read",
            }),
            false => (),
        }
        place.offset += length as u64;
        place.number += 1;
    }
}
