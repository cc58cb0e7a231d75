//! Messages, as they are given and received.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use plimsoll_policy::queue::{Handle, Millis};
use serde::{Deserialize, Serialize};

/// A message that is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Any bytes.
    pub body: Vec<u8>,
    /// What goes with it.
    pub head: Head,
    /// It is not delivered before; `None`: as the queue says.
    pub delay: Option<Duration>,
    /// 0 to 9; 9 goes first.
    pub priority: u8,
    /// Tenants take turns.
    pub tenant: Option<String>,
}

/// What goes with a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Messages of one group are delivered one after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The same key is the same message, for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedup: Option<String>,
    /// The media type of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// By name: the type, and the value; binary ones in base64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, (String, String)>,
    /// What was published by the SQS protocol and is given back as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Why it is among dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<DeadReason>,
}

impl Head {
    /// As it is kept: nothing, where there is nothing to say.
    pub(super) fn write(&self) -> Vec<u8> {
        match *self == Self::default() {
            true => Vec::new(),
            // Texts by names of text: there is nothing in it that JSON has no form for.
            false => serde_json::to_vec(self).unwrap_or_default(),
        }
    }

    /// As it was kept.
    pub(super) fn read(text: &[u8]) -> Self {
        match text {
            [] => Self::default(),
            text => serde_json::from_slice(text).unwrap_or_default(),
        }
    }
}

/// Why a message is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadReason {
    /// The queue that it was in.
    pub queue: String,
    /// How often it was delivered there.
    pub attempts: u32,
    /// When it was given up, in milliseconds since the epoch.
    pub at: u64,
    /// In words.
    pub why: String,
    /// What it was called there.
    pub id: String,
}

/// A message that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it is called: a UUID.
    pub id: String,
    /// What settles it.
    pub receipt: Receipt,
    /// The first is 1.
    pub attempt: u32,
    /// When it was published.
    pub at: Millis,
    /// When it is given to somebody else.
    pub until: Millis,
    /// In order of publication, over all queues.
    pub sequence: u64,
    /// What goes with the body.
    pub head: Head,
    /// The body.
    pub body: Vec<u8>,
}

/// What settles a message, and who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) queue: u32,
    pub(super) handle: Handle,
    pub(super) token: u32,
}

/// How long a receipt is in letters.
const RECEIPT: usize = 32;

impl fmt::Display for Receipt {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{:08x}{:016x}{:08x}",
            self.queue, self.handle.0, self.token
        )
    }
}

impl Receipt {
    /// `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != RECEIPT || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        let (queue, rest) = text.split_at_checked(8)?;
        let (handle, token) = rest.split_at_checked(16)?;
        Some(Self {
            queue: u32::from_str_radix(queue, 16).ok()?,
            handle: Handle(u64::from_str_radix(handle, 16).ok()?),
            token: u32::from_str_radix(token, 16).ok()?,
        })
    }
}

/// What messages are called: a UUID of a form of our own (RFC 9562 section 5.8), of the log and the number in it.
pub(super) fn id_of(salt: u64, number: u64) -> String {
    let mut bytes = (u128::from(salt) << 64 | u128::from(number)).to_be_bytes();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0F | 0x80;
    *variant = *variant & 0x3F | 0x80;
    let hex = bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts = parts.map(|it| hex.get(it).unwrap_or_default().to_owned());
    parts.join("-")
}

/// What stands for a text where memory counts: two texts don't have the same, whoever chooses them.
pub(super) fn key_of(text: &[u8]) -> u128 {
    let digest = digest::digest(&digest::SHA256, text);
    let half = digest.as_ref().get(..16).and_then(|it| it.try_into().ok());
    u128::from_le_bytes(half.unwrap_or_default())
}

/// The same in short, where two that have the same do no harm.
pub(super) fn short_key_of(text: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = key_of(text).to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_nothing_else_is_one() {
        let receipt = Receipt {
            queue: 3,
            handle: Handle(u64::MAX >> 1),
            token: 9,
        };
        let text = receipt.to_string();
        assert_eq!(Receipt::parse(&text), Some(receipt));
        for other in [
            "",
            "zz",
            &text[1..],
            &format!("{text}0"),
            &text.replace('0', "+"),
        ] {
            assert_eq!(Receipt::parse(other), None, "{other}");
        }
    }

    #[test]
    fn ids_are_uuids_and_differ_by_number() {
        let id = id_of(0x0123_4567_89AB_CDEF, 1);
        assert_eq!(id, "01234567-89ab-8def-8000-000000000001");
        assert_ne!(id, id_of(0x0123_4567_89AB_CDEF, 2));
    }
}
