//! The log: records in batches, batches in segments, segments used again.
//!
//! A batch is what is made durable at once (group commit). It begins at a block of its own, so that what is durable is never
//! written again, and is followed by the next one; where one does not fit, the log goes on in another segment. Segments are
//! written in full before they are used, so that a sync changes no metadata: more than twice as fast as a file that grows.
//!
//! What a handle says: the slot of the segment, where in it, and how much room the record takes.

mod batch;
mod record;
mod scan;

pub(crate) use batch::Batch;
pub(crate) use record::{Published, Record, UNIT, What, read_published};
pub(crate) use scan::{Log, LogLost, LogOptions, Place, WriteError};

use plimsoll_policy::queue::Handle;

/// Bits of a handle: what room its record takes, and where in the segment it begins, in units.
const SIZE_BITS: u32 = 17;
const OFFSET_BITS: u32 = 20;
/// How many slots there can be: what is left of 63 bits.
pub(crate) const SLOTS_MAX: u32 = 1 << (63 - SIZE_BITS - OFFSET_BITS);
/// How large a segment may be: 32 MiB.
#[cfg(test)]
pub(crate) const SEGMENT_MAX: u64 = (UNIT as u64) << OFFSET_BITS;
/// How large a record may be: just under 4 MiB.
pub(crate) const RECORD_MAX: usize = UNIT * ((1 << SIZE_BITS) - 1);

/// Where the bytes of a record are.
pub(crate) fn handle(slot: u32, offset: u64, room: usize) -> Handle {
    let unit = UNIT as u64;
    let (offset, size) = (offset / unit, room as u64 / unit);
    Handle(u64::from(slot) << (SIZE_BITS + OFFSET_BITS) | offset << SIZE_BITS | size)
}

/// Slot, offset in bytes, and room in bytes.
pub(crate) fn place_of(handle: Handle) -> (u32, u64, usize) {
    let unit = UNIT as u64;
    let size = handle.0 & ((1 << SIZE_BITS) - 1);
    let offset = handle.0 >> SIZE_BITS & ((1 << OFFSET_BITS) - 1);
    let slot = u32::try_from(handle.0 >> (SIZE_BITS + OFFSET_BITS)).unwrap_or(u32::MAX);
    (
        slot,
        offset * unit,
        usize::try_from(size * unit).unwrap_or(usize::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_where_its_record_is_and_is_below_two_to_the_63() {
        for (slot, offset, room) in [
            (0, 0, UNIT),
            (SLOTS_MAX - 1, SEGMENT_MAX - UNIT as u64, RECORD_MAX),
            (7, 4_096, 1_184),
        ] {
            let handle = handle(slot, offset, room);
            assert_eq!(place_of(handle), (slot, offset, room));
            assert!(handle.0 < 1 << 63);
            assert_eq!(handle.bytes(), room as u64);
        }
    }
}
