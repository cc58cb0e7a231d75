//! A stored answer as a file: what was known of it when it was written, its fields, its body.
//!
//! Format, little-endian: [`MAGIC`]; length of the head `u32`, of the body `u64`; checksums of both `u64`; the head; the body. The
//! head has the key, the fields of requests that it is for (the secondary key), seconds since 1970 when it was written and its age
//! then `u64`, status `u16`, whether it came over HTTP/2 `u8`, and its fields. Whatever has a length has it in front, `u32`.
//! A file that was cut, or whose pages were lost with the machine's power, has another checksum, and is none.

use std::time::Duration;

use bytes::Bytes;
use plimsoll_core::Timestamp;
use plimsoll_http1::Fields;

const MAGIC: &[u8; 8] = b"plimcac1";
/// What stands before the head.
pub(super) const PREFIX_BYTES: usize = 8 + 4 + 8 + 8 + 8;
/// More than a head with all its fields can take: what is longer is no head of ours.
const HEAD_BYTES_MAX: u32 = 1024 * 1024;

/// What a file says but for the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) key: Box<[u8]>,
    pub(super) secondary: Box<[u8]>,
    pub(super) written: Timestamp,
    pub(super) age: Duration,
    pub(super) status: u16,
    pub(super) http2: bool,
    pub(super) fields: Fields,
}

/// What stands before the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) head_bytes: usize,
    pub(super) body_bytes: u64,
    head_sum: u64,
    body_sum: u64,
}

/// A whole file.
pub(super) fn encode(head: &Head, body: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(512);
    put(&mut written, &head.key);
    put(&mut written, &head.secondary);
    written.extend(head.written.as_seconds().to_le_bytes());
    written.extend(head.age.as_secs().to_le_bytes());
    written.extend(head.status.to_le_bytes());
    written.push(u8::from(head.http2));
    for field in head.fields.iter() {
        put(&mut written, field.name);
        put(&mut written, field.value);
    }
    let mut file = Vec::with_capacity(PREFIX_BYTES + written.len() + body.len());
    file.extend(MAGIC);
    file.extend(
        u32::try_from(written.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    file.extend((body.len() as u64).to_le_bytes());
    file.extend(checksum(&written).to_le_bytes());
    file.extend(checksum(body).to_le_bytes());
    file.extend(written);
    file.extend(body);
    file
}

fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend(bytes);
}

impl Prefix {
    /// Reads it; `None`: this is no such file.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes.strip_prefix(MAGIC)?);
        let head_bytes = u32::from_le_bytes(rest.take()?);
        let prefix = Self {
            head_bytes: usize::try_from(head_bytes).ok()?,
            body_bytes: u64::from_le_bytes(rest.take()?),
            head_sum: u64::from_le_bytes(rest.take()?),
            body_sum: u64::from_le_bytes(rest.take()?),
        };
        (head_bytes <= HEAD_BYTES_MAX).then_some(prefix)
    }

    /// How long the file is.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        let head = u64::try_from(PREFIX_BYTES.checked_add(self.head_bytes)?).ok()?;
        head.checked_add(self.body_bytes)
    }

    /// Reads the head; `None`: it is damaged.
    pub(super) fn head(&self, bytes: &[u8]) -> Option<Head> {
        if bytes.len() != self.head_bytes || checksum(bytes) != self.head_sum {
            return None;
        }
        let mut rest = Reader(bytes);
        let (key, secondary) = (rest.piece()?.into(), rest.piece()?.into());
        let written = Timestamp::from_seconds(u64::from_le_bytes(rest.take()?));
        let age = Duration::from_secs(u64::from_le_bytes(rest.take()?));
        let status = u16::from_le_bytes(rest.take()?);
        let [http2] = rest.take()?;
        let mut fields = Fields::new();
        while !rest.0.is_empty() {
            let (name, value) = (rest.piece()?, rest.piece()?);
            fields.push(name, value);
        }
        Some(Head {
            key,
            secondary,
            written,
            age,
            status,
            http2: http2 != 0,
            fields,
        })
    }
}

/// Reads a whole file; `None`: it is damaged.
pub(super) fn decode(file: Bytes) -> Option<(Head, Bytes)> {
    let prefix = Prefix::read(&file)?;
    let body_at = PREFIX_BYTES.checked_add(prefix.head_bytes)?;
    let head = prefix.head(file.get(PREFIX_BYTES..body_at)?)?;
    let body = file.slice(body_at..);
    (body.len() as u64 == prefix.body_bytes && checksum(&body) == prefix.body_sum)
        .then_some((head, body))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(self.take()?)).ok()?;
        let (piece, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(piece)
    }
}

/// Finds what a disk does to a file, not what an attacker does: who can write here can do worse. FNV-1a over words of eight bytes
/// instead of one (Fowler, Noll, Vo), with a rotation so that high bits reach low ones.
fn checksum(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    let mut add = |word: u64| sum = (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        add(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    add(u64::from_le_bytes(last));
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> Head {
        let mut fields = Fields::new();
        fields.push(b"ETag", b"\"a\"");
        fields.push(b"X-Empty", b"");
        Head {
            key: b"app\nhttp\na\n/".as_slice().into(),
            secondary: b"accept-language:de\n".as_slice().into(),
            written: Timestamp::from_seconds(1_795_737_600),
            age: Duration::from_secs(7),
            status: 200,
            http2: true,
            fields,
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        for body in [b"".as_slice(), b"body", &[7; 1_000]] {
            let file = encode(&head(), body);
            let (read, found) = decode(file.into()).unwrap();
            assert_eq!(&*found, body);
            assert_eq!(format!("{read:?}"), format!("{:?}", head()));
        }
    }

    #[test]
    fn a_file_that_was_cut_or_lost_a_page_is_none() {
        let file = encode(&head(), &[7; 9_000]);
        for length in 0..file.len() {
            assert!(decode(file[..length].to_vec().into()).is_none(), "{length}");
        }
        let mut lost = file;
        lost[4_096..8_192].fill(0);
        assert!(decode(lost.into()).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode([MAGIC, &*bytes].concat().into());
            let _ = decode(bytes.into());
        }

        #[test]
        fn a_flipped_bit_is_found(at in 0_usize..4_000, bit in 0..8_u32) {
            let mut file = encode(&head(), &[7; 3_900]);
            let at = at % file.len();
            file[at] ^= 1 << bit;
            prop_assert!(decode(file.into()).is_none());
        }
    }
}
