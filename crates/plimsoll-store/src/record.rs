//! A record of the journal, and the chain.
//!
//! The hash of a record covers all of it and the hash of the one before, so that nothing before the last can be
//! changed, left out or put in without a trace. Each writer has a chain of its own, which begins at sequence 1.
//! Source: S. Haber, W. Stornetta, "How to time-stamp a digital document" (J. Cryptology 3, 1991).

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use plimsoll_core::Timestamp;
use serde_json::{Value, json};

/// The most bytes that the body of a record may have.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// What it is: `decision`, `change`, `outcome`, `gap`, ...
    pub kind: String,
    /// What it is about: `service/checkout`.
    pub subject: String,
    /// The sequence of the record whose outcome, or whose end, this is.
    pub cites: Option<u64>,
    /// JSON, at most [`BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose chain it is in.
    pub writer: String,
    /// Its place there, from 1.
    pub sequence: u64,
    /// The hash of the record before; of the first: [`Hash::ZERO`].
    pub previous: Hash,
    /// Its own.
    pub hash: Hash,
    /// What it says.
    pub entry: Entry,
}

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Before the first record.
    pub const ZERO: Self = Self([0; 32]);

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Self::try_from(context.finish().as_ref()).unwrap_or(Self::ZERO)
    }

    /// From 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = bytes_of_hex(text)?;
        bytes.try_into().ok().map(Self)
    }
}

/// The bytes that two hex digits each stand for.
pub(crate) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let digits: Vec<u32> = text.as_bytes().iter().map(digit).collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| {
            (pair.len() == 2).then(|| pair.iter().fold(0, |byte, it| byte << 4 | *it as u8))
        })
        .collect()
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Record {
    /// The record that follows the one with `previous` at the next place.
    pub fn following(writer: &str, sequence: u64, previous: Hash, entry: Entry) -> Self {
        let mut record = Self {
            writer: writer.to_owned(),
            sequence,
            previous,
            hash: Hash::ZERO,
            entry,
        };
        record.hash = record.computed();
        record
    }

    /// What its hash must be.
    pub fn computed(&self) -> Hash {
        let mut context = Context::new(&SHA256);
        let mut field = |bytes: &[u8]| {
            // The length first: two records whose fields run together differently are different.
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        let entry = &self.entry;
        field(b"plimsoll journal 1");
        field(self.previous.as_bytes());
        field(self.writer.as_bytes());
        field(&self.sequence.to_be_bytes());
        field(&entry.at.as_nanos().to_be_bytes());
        field(entry.kind.as_bytes());
        field(entry.subject.as_bytes());
        field(&entry.cites.unwrap_or(0).to_be_bytes());
        field(&entry.body);
        let digest = context.finish();
        Hash::try_from(digest.as_ref()).unwrap_or(Hash::ZERO)
    }

    /// As an event of CloudEvents 1.0.2 in structured JSON. What makes it part of the chain are the extension
    /// attributes `sequence`, `previoushash` and `hash`.
    pub fn to_cloudevent(&self) -> Value {
        let entry = &self.entry;
        let data = serde_json::from_slice(&entry.body).unwrap_or(Value::Null);
        let mut event = json!({
            "specversion": "1.0",
            "id": format!("{}/{}", self.writer, self.sequence),
            "source": format!("/plimsoll/{}", self.writer),
            "type": format!("plimsoll.{}", entry.kind),
            "subject": entry.subject,
            "time": entry.at.to_rfc3339(),
            "datacontenttype": "application/json",
            "sequence": self.sequence.to_string(),
            "previoushash": self.previous.to_string(),
            "hash": self.hash.to_string(),
            "data": data,
        });
        if let (Some(cites), Some(event)) = (entry.cites, event.as_object_mut()) {
            event.insert("cites".to_owned(), cites.to_string().into());
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let entry = Entry {
            at: Timestamp::from_seconds(1_700_000_000),
            kind: "decision".to_owned(),
            subject: "service/checkout".to_owned(),
            cites: Some(3),
            body: br#"{"to":1}"#.to_vec(),
        };
        Record::following("a", 7, Hash::ZERO, entry)
    }

    #[test]
    fn any_change_changes_the_hash() {
        let whole = record();
        let changes: [fn(&mut Record); 8] = [
            |it| it.writer.push('b'),
            |it| it.sequence += 1,
            |it| it.previous = Hash([1; 32]),
            |it| it.entry.at = Timestamp::from_seconds(1),
            |it| it.entry.kind = "decisio".to_owned(),
            |it| it.entry.subject.insert(0, 'n'),
            |it| it.entry.cites = None,
            |it| it.entry.body.push(b' '),
        ];
        for change in changes {
            let mut changed = whole.clone();
            change(&mut changed);
            assert_ne!(changed.computed(), whole.hash);
        }
        assert_eq!(whole.computed(), whole.hash);
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = record().hash;
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Hash::from_hex("ab"), None);
        assert_eq!(Hash::from_hex(&"g".repeat(64)), None);
    }

    #[test]
    fn an_event_has_the_attributes_that_the_specification_asks_for() {
        let event = record().to_cloudevent();
        for attribute in ["specversion", "id", "source", "type"] {
            assert!(event[attribute].is_string(), "{event}");
        }
        assert_eq!(event["time"], "2023-11-14T22:13:20.000Z");
        assert_eq!(event["data"]["to"], 1);
        let is_plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_lowercase());
        assert!(event.as_object().unwrap().keys().all(is_plain), "{event}");
    }
}
