//! Records: one thing that happened to a queue, in bytes.
//!
//! Each is checked by itself (CRC-32C, after Castagnoli 1993), so that a bit that flipped costs one record. The check begins with the
//! log's salt: what somebody published can't be taken for a record. All integers are little-endian; each record begins at a
//! multiple of [`UNIT`] bytes.

use plimsoll_policy::queue::{Handle, Millis};

/// What records are aligned to.
pub(crate) const UNIT: usize = 32;
/// Length, checksum, kind, flags, attempts, queue, mark; and room for what comes later.
const COMMON: usize = 24;
/// What a published message has before its head.
const PUBLISHED: usize = COMMON + 104;

const HAS_GROUP: u8 = 1;
const HAS_DEDUP: u8 = 1 << 1;
const REPLACES: u8 = 1 << 2;
const RELOCATES: u8 = 1 << 3;

/// One thing that happened to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// By its number.
    pub(crate) queue: u32,
    pub(crate) what: What<'a>,
}

impl Record<'_> {
    /// What room it takes at most.
    pub(crate) fn room_max(&self) -> usize {
        match &self.what {
            What::Published(it) => it.room(),
            What::Defined(text) => (COMMON + text.len()).next_multiple_of(UNIT),
            _ => 2 * UNIT,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Published(Published<'a>),
    /// It is gone: acknowledged, or too old.
    Settled(Handle),
    Leased {
        handle: Handle,
        attempts: u16,
        token: u32,
        until: Millis,
    },
    Returned {
        handle: Handle,
        attempts: u16,
        due: Millis,
    },
    /// All that was not leased is gone.
    Purged,
    Paused(bool),
    GroupPaused(u128, bool),
    /// The queue is this, as JSON.
    Defined(&'a [u8]),
    /// There is no such queue any more.
    Removed,
}

/// A message, and what is to be known of it without looking into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published<'a> {
    pub(crate) id: u64,
    pub(crate) at: Millis,
    pub(crate) due: Millis,
    pub(crate) priority: u8,
    pub(crate) tenant: u64,
    pub(crate) group: Option<u128>,
    pub(crate) dedup: Option<u128>,
    /// It was there before, and is here instead: of which queue, and where.
    pub(crate) replaces: Option<(u32, Handle)>,
    /// It keeps its place in its queue.
    pub(crate) relocates: bool,
    /// What goes with the body, as JSON; may be empty.
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Published<'_> {
    /// What room its record takes.
    pub(crate) fn room(&self) -> usize {
        (PUBLISHED + self.head.len() + self.body.len()).next_multiple_of(UNIT)
    }
}

/// Appends a record of the batch with this mark; says what room it takes.
pub(crate) fn append(out: &mut Vec<u8>, salt: u32, mark: u32, record: &Record<'_>) -> usize {
    let begin = out.len();
    let (kind, flags, attempts) = match &record.what {
        What::Published(it) => {
            let mut flags = 0;
            for (bit, is) in [
                (HAS_GROUP, it.group.is_some()),
                (HAS_DEDUP, it.dedup.is_some()),
                (REPLACES, it.replaces.is_some()),
                (RELOCATES, it.relocates),
            ] {
                flags |= if is { bit } else { 0 };
            }
            (1, flags, u16::from(it.priority))
        }
        What::Settled(_) => (2, 0, 0),
        What::Leased { attempts, .. } => (3, 0, *attempts),
        What::Returned { attempts, .. } => (4, 0, *attempts),
        What::Purged => (5, 0, 0),
        What::Paused(is) => (6, u8::from(*is), 0),
        What::GroupPaused(_, is) => (7, u8::from(*is), 0),
        What::Defined(_) => (8, 0, 0),
        What::Removed => (9, 0, 0),
    };
    out.extend([0; 8]);
    out.extend([kind, flags]);
    out.extend(attempts.to_le_bytes());
    out.extend(record.queue.to_le_bytes());
    out.extend(mark.to_le_bytes());
    out.extend([0; 4]);
    match &record.what {
        What::Published(it) => {
            out.extend(it.id.to_le_bytes());
            out.extend(it.at.0.to_le_bytes());
            out.extend(it.due.0.to_le_bytes());
            out.extend(it.tenant.to_le_bytes());
            out.extend(it.group.unwrap_or_default().to_le_bytes());
            out.extend(it.dedup.unwrap_or_default().to_le_bytes());
            let (queue, handle) = it.replaces.unwrap_or((0, Handle(0)));
            out.extend(handle.0.to_le_bytes());
            out.extend(queue.to_le_bytes());
            out.extend(u32_of(it.head.len()).to_le_bytes());
            // Room for what comes later.
            out.extend([0; 24]);
            out.extend(it.head);
            out.extend(it.body);
        }
        What::Settled(handle) => out.extend(handle.0.to_le_bytes()),
        What::Leased {
            handle,
            token,
            until,
            ..
        } => {
            out.extend(handle.0.to_le_bytes());
            out.extend(until.0.to_le_bytes());
            out.extend(token.to_le_bytes());
        }
        What::Returned { handle, due, .. } => {
            out.extend(handle.0.to_le_bytes());
            out.extend(due.0.to_le_bytes());
        }
        What::GroupPaused(group, _) => out.extend(group.to_le_bytes()),
        What::Defined(text) => out.extend(*text),
        What::Purged | What::Paused(_) | What::Removed => (),
    }
    let length = out.len() - begin;
    let checked = out.get(begin + 8..).unwrap_or_default();
    let checked = crc32c::crc32c_append(salt, checked);
    let mut fill = |at: usize, word: u32| {
        if let Some(place) = out.get_mut(begin + at..begin + at + 4) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    };
    fill(0, u32_of(length));
    fill(4, checked);
    let room = length.next_multiple_of(UNIT);
    out.resize(begin + room, 0);
    room
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read<'a> {
    pub(crate) record: Record<'a>,
    /// The mark of its batch: where a batch was not written whole, what stands in its place is of others that were there before.
    pub(crate) mark: u32,
    /// What room it takes.
    pub(crate) room: usize,
}

/// The record that these bytes begin with. `None`: they are none, or something has changed in them.
pub(crate) fn read(bytes: &[u8], salt: u32) -> Option<Read<'_>> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let whole = bytes.get(..length).filter(|it| it.len() >= COMMON)?;
    if crc32c::crc32c_append(salt, whole.get(8..)?) != u32_at(whole, 4)? {
        return None;
    }
    let (kind, flags) = (*whole.get(8)?, *whole.get(9)?);
    let attempts = u16::from_le_bytes(array(whole, 10)?);
    let handle = || Some(Handle(u64_at(whole, COMMON)?));
    let what = match kind {
        1 => {
            let head = usize::try_from(u32_at(whole, COMMON + 76)?).ok()?;
            let rest = whole.get(PUBLISHED..)?;
            let has = |bit: u8| flags & bit != 0;
            let (head, body) = rest.split_at_checked(head)?;
            let group = u128::from_le_bytes(array(whole, COMMON + 32)?);
            let dedup = u128::from_le_bytes(array(whole, COMMON + 48)?);
            let replaced = (
                u32_at(whole, COMMON + 72)?,
                Handle(u64_at(whole, COMMON + 64)?),
            );
            What::Published(Published {
                id: u64_at(whole, COMMON)?,
                at: Millis(u64_at(whole, COMMON + 8)?),
                due: Millis(u64_at(whole, COMMON + 16)?),
                tenant: u64_at(whole, COMMON + 24)?,
                priority: u8::try_from(attempts).ok()?,
                group: has(HAS_GROUP).then_some(group),
                dedup: has(HAS_DEDUP).then_some(dedup),
                replaces: has(REPLACES).then_some(replaced),
                relocates: has(RELOCATES),
                head,
                body,
            })
        }
        2 => What::Settled(handle()?),
        3 => What::Leased {
            handle: handle()?,
            attempts,
            until: Millis(u64_at(whole, COMMON + 8)?),
            token: u32_at(whole, COMMON + 16)?,
        },
        4 => What::Returned {
            handle: handle()?,
            attempts,
            due: Millis(u64_at(whole, COMMON + 8)?),
        },
        5 => What::Purged,
        6 => What::Paused(flags != 0),
        7 => What::GroupPaused(u128::from_le_bytes(array(whole, COMMON)?), flags != 0),
        8 => What::Defined(whole.get(COMMON..)?),
        9 => What::Removed,
        _ => return None,
    };
    let queue = u32_at(whole, 12)?;
    Some(Read {
        record: Record { queue, what },
        mark: u32_at(whole, 16)?,
        room: length.next_multiple_of(UNIT),
    })
}

/// The message that these bytes are.
pub(crate) fn read_published(bytes: &[u8], salt: u32) -> Option<Published<'_>> {
    match read(bytes, salt)?.record.what {
        What::Published(it) => Some(it),
        _ => None,
    }
}

fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<What<'static>> {
        let handle = Handle(7 << 40);
        vec![
            What::Published(Published {
                body: b"x",
                ..Published::default()
            }),
            What::Published(Published {
                id: u64::MAX,
                at: Millis(1),
                due: Millis(2),
                priority: 9,
                tenant: 3,
                group: Some(u128::MAX),
                dedup: Some(4),
                replaces: Some((5, handle)),
                relocates: true,
                head: b"{}",
                body: &[0xFF; 1_000],
            }),
            What::Settled(handle),
            What::Leased {
                handle,
                attempts: 2,
                token: 77,
                until: Millis(9),
            },
            What::Returned {
                handle,
                attempts: 3,
                due: Millis(8),
            },
            What::Purged,
            What::Paused(true),
            What::GroupPaused(6, false),
            What::Defined(b"{\"name\":\"a\"}"),
            What::Removed,
        ]
    }

    #[test]
    fn what_is_written_is_read_and_a_bit_that_flips_is_noticed() {
        for what in all() {
            let record = Record { queue: 12, what };
            let mut bytes = Vec::new();
            let room = append(&mut bytes, 5, 3, &record);
            assert_eq!((bytes.len(), room % UNIT), (room, 0));
            if let What::Published(it) = &record.what {
                assert_eq!(it.room(), room);
            }
            let read_again = read(&bytes, 5).unwrap();
            assert_eq!(
                (&read_again.record, read_again.mark, read_again.room),
                (&record, 3, room)
            );
            assert_eq!(read(&bytes, 6), None);
            let length = u32_at(&bytes, 0).unwrap() as usize;
            for bit in 0..length * 8 {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(&other, 5), None, "bit {bit} of {record:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn rubbish_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(read(&bytes, 5), None);
        }
    }
}
