//! All that is known but bodies, at one place of the log.

use plimsoll_policy::queue::{Millis, QueueImage};

use super::State;
use crate::log::Place;

/// Where it is kept, twice.
pub(super) const FILES: [&str; 2] = ["image", "image.copy"];
const MAGIC: &[u8; 4] = b"PLI1";

/// See the module's docs.
pub(super) struct Image {
    pub(super) place: Place,
    salt: u64,
    clock: Millis,
    next_id: u64,
    next_queue: u32,
    /// By number: what it is, as JSON, and what is in it.
    queues: Vec<(u32, Vec<u8>, QueueImage)>,
}

/// What was read of one.
pub(super) struct ImageRead {
    pub(super) place: Place,
    pub(super) clock: Millis,
    pub(super) next_id: u64,
    pub(super) next_queue: u32,
    pub(super) queues: Vec<(u32, Vec<u8>, Vec<u8>)>,
}

impl Image {
    /// What is known now; `place`: where the batch goes that comes next.
    pub(super) fn take(state: &mut State, place: Place, salt: u64) -> Self {
        state.image_on = true;
        state.wants_image = false;
        state.since_image = 0;
        let queues = state.queues.iter().map(|(number, entry)| {
            let text = serde_json::to_vec(&entry.definition).unwrap_or_default();
            (*number, text, entry.queue.image())
        });
        Self {
            place,
            salt,
            clock: state.clock,
            next_id: state.next_id,
            next_queue: state.next_queue,
            queues: queues.collect(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(MAGIC);
        out.extend([0; 4]);
        out.extend(self.salt.to_le_bytes());
        out.extend(self.place.slot.to_le_bytes());
        out.extend(self.next_queue.to_le_bytes());
        for word in [
            self.place.offset,
            self.place.number,
            self.clock.0,
            self.next_id,
        ] {
            out.extend(word.to_le_bytes());
        }
        out.extend((self.queues.len() as u64).to_le_bytes());
        for (number, text, image) in &self.queues {
            out.extend(number.to_le_bytes());
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text);
            let at = out.len();
            out.extend([0; 8]);
            image.encode(&mut out);
            let length = (out.len() - at - 8) as u64;
            if let Some(place) = out.get_mut(at..at + 8) {
                place.copy_from_slice(&length.to_le_bytes());
            }
        }
        let checked = crc32c::crc32c(out.get(8..).unwrap_or_default());
        if let Some(place) = out.get_mut(4..8) {
            place.copy_from_slice(&checked.to_le_bytes());
        }
        out
    }
}

impl ImageRead {
    /// `None`: it is damaged, or of another log.
    pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (checked, rest) = rest.split_first_chunk::<4>()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*checked) {
            return None;
        }
        let mut rest = rest;
        if number(&mut rest)? != salt {
            return None;
        }
        let slot = small(&mut rest)?;
        let next_queue = small(&mut rest)?;
        let (offset, batch) = (number(&mut rest)?, number(&mut rest)?);
        let (clock, next_id) = (Millis(number(&mut rest)?), number(&mut rest)?);
        let count = number(&mut rest)?;
        let mut queues = Vec::new();
        for _ in 0..count {
            let queue = small(&mut rest)?;
            let text = part(&mut rest)?.to_vec();
            queues.push((queue, text, part(&mut rest)?.to_vec()));
        }
        Some(Self {
            place: Place {
                slot,
                offset,
                number: batch,
            },
            clock,
            next_id,
            next_queue,
            queues,
        })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (word, left) = rest.split_first_chunk::<8>()?;
    *rest = left;
    Some(u64::from_le_bytes(*word))
}

fn small(rest: &mut &[u8]) -> Option<u32> {
    let (word, left) = rest.split_first_chunk::<4>()?;
    *rest = left;
    Some(u32::from_le_bytes(*word))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (part, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(part)
}
