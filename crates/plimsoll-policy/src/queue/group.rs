//! A group's line: messages that are delivered one at a time, in order.

use std::collections::VecDeque;

use super::lane::LaneKey;
use super::message::Message;
use super::{Handle, Millis};

/// A message in a group's line.
#[derive(Copy, Clone, Debug)]
pub(super) struct Waiting {
    pub(super) handle: Handle,
    pub(super) at: Millis,
    pub(super) since: Millis,
    pub(super) tenant: u64,
    pub(super) attempts: u32,
    pub(super) priority: u8,
}

impl Waiting {
    pub(super) fn new(message: &Message) -> Self {
        Self {
            handle: message.handle,
            at: message.at,
            since: message.since,
            tenant: message.tenant,
            attempts: message.attempts,
            priority: message.priority,
        }
    }

    pub(super) fn message(&self, group: u128) -> Message {
        Message {
            handle: self.handle,
            at: self.at,
            since: self.since,
            tenant: self.tenant,
            group: Some(group.into()),
            attempts: self.attempts,
            priority: self.priority,
        }
    }

    pub(super) fn lane(&self) -> LaneKey {
        LaneKey {
            priority: self.priority,
            tenant: self.tenant,
        }
    }
}

/// A group that has messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// What is not leased, in order; a head that came back is first again.
    pub(super) line: VecDeque<Waiting>,
    /// One at most, unless the log says otherwise.
    pub(super) leased: u32,
    /// Until when a head that came back waits.
    pub(super) backoff: Option<Millis>,
    /// The lane in which its turn stands.
    pub(super) turn: Option<LaneKey>,
    /// What the index of what expires next has for this group.
    pub(super) bound: Option<Millis>,
}
