//! A batch: records that are made durable together.

use super::record::{self, Record, u32_at, u64_at};

/// Where a batch may begin. What is durable is never written again, not even with the same bytes: a disk may lose a block
/// that it was writing when the power went.
pub(crate) const BLOCK: usize = 4_096;
/// What stands before the records: magic, checksum, number, length of the records, how many there are, mark.
pub(crate) const HEADER: usize = 32;

const MAGIC: u32 = u32::from_le_bytes(*b"PLQ1");

/// Records that come.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    records: u32,
    mark: u32,
}

impl Batch {
    /// An empty one; `mark`: no other that is still to be found has it.
    pub(crate) fn new(mark: u32) -> Self {
        Self {
            bytes: vec![0; HEADER],
            records: 0,
            mark,
        }
    }

    /// An empty one that comes after it.
    pub(crate) fn next(&self) -> Self {
        Self::new(self.mark.wrapping_add(1))
    }

    /// Where in the batch the record begins, and what room it takes.
    pub(crate) fn append(&mut self, salt: u32, record: &Record<'_>) -> (usize, usize) {
        let begin = self.bytes.len();
        self.records = self.records.saturating_add(1);
        (
            begin,
            record::append(&mut self.bytes, salt, self.mark, record),
        )
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How long it is by now.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes to write, whole blocks.
    pub(crate) fn seal(&mut self, salt: u32, number: u64) -> &[u8] {
        let length = self.bytes.len() - HEADER;
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        let mut header = Vec::with_capacity(HEADER);
        header.extend(number.to_le_bytes());
        header.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        header.extend(self.records.to_le_bytes());
        header.extend(self.mark.to_le_bytes());
        header.extend([0; 4]);
        let checked = crc32c::crc32c_append(salt, &header);
        let words = [MAGIC.to_le_bytes(), checked.to_le_bytes()];
        let whole = words.iter().flatten().chain(&header);
        for (place, byte) in self.bytes.iter_mut().zip(whole) {
            *place = *byte;
        }
        &self.bytes
    }

    /// It was not written: as if it had not been sealed.
    pub(crate) fn unseal(&mut self) {
        let length = u32_at(&self.bytes, 16).and_then(|it| usize::try_from(it).ok());
        self.bytes.truncate(HEADER + length.unwrap_or(0));
    }
}

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    /// Of the records, in bytes.
    pub(super) length: usize,
    pub(super) records: u32,
    pub(super) mark: u32,
}

impl Head {
    /// `None`: no batch begins here.
    pub(super) fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let whole = bytes.get(..HEADER)?;
        let checked = crc32c::crc32c_append(salt, whole.get(8..)?);
        if u32_at(whole, 0)? != MAGIC || u32_at(whole, 4)? != checked {
            return None;
        }
        Some(Self {
            number: u64_at(whole, 8)?,
            length: usize::try_from(u32_at(whole, 16)?).ok()?,
            records: u32_at(whole, 20)?,
            mark: u32_at(whole, 24)?,
        })
    }
}
