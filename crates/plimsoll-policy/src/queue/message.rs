//! Messages: as they come, as they are delivered, what becomes of them, and how they are kept meanwhile.

use super::lane::LaneKey;
use super::{Handle, Millis};

/// Priorities are `0..PRIORITIES`; the greatest goes first.
pub const PRIORITIES: u8 = 10;

/// A message that became durable.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// Where it is.
    pub handle: Handle,
    /// When it was published: now, as the log has it.
    pub at: Millis,
    /// From when on it may be delivered; what is not later than now is at once.
    pub due: Millis,
    /// Below [`PRIORITIES`]; what is above counts as the highest.
    pub priority: u8,
    /// Whose it is.
    pub tenant: u64,
    /// Messages of one group are delivered in order, one at a time.
    pub group: Option<u128>,
    /// The key by which a second publication of the same is known.
    pub dedup: Option<u128>,
}

/// A message that is leased to its receiver.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is.
    pub handle: Handle,
    /// How many times it was delivered, with this one.
    pub attempt: u32,
    /// What the receiver names to settle it; random, not zero.
    pub token: u32,
    /// When the lease ends.
    pub until: Millis,
    /// Its group.
    pub group: Option<u128>,
}

/// What became of a message that its receiver gave back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Nacked {
    /// It is ready again from `due` on.
    Returned {
        /// From when on.
        due: Millis,
        /// Deliveries so far.
        attempts: u32,
    },
    /// It had all its attempts and is not in this queue any more.
    Dead {
        /// Deliveries.
        attempts: u32,
    },
}

/// What time did to a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum QueueEvent {
    /// Its lease ran out, and it is ready again from `due` on.
    Returned {
        /// Where it is.
        handle: Handle,
        /// Deliveries so far.
        attempts: u32,
        /// From when on.
        due: Millis,
    },
    /// Its lease ran out and it had all its attempts: it is not in this queue any more.
    Dead {
        /// Where it is.
        handle: Handle,
        /// Deliveries.
        attempts: u32,
    },
    /// It was kept for as long as the queue keeps any, and is not in it any more.
    Expired {
        /// Where it is.
        handle: Handle,
    },
}

/// A group's name in two words, so that it takes no room for alignment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupName(u64, u64);

impl From<u128> for GroupName {
    fn from(name: u128) -> Self {
        Self((name >> 64) as u64, name as u64)
    }
}

impl From<GroupName> for u128 {
    fn from(name: GroupName) -> Self {
        (Self::from(name.0) << 64) | Self::from(name.1)
    }
}

/// All that is known of a message, where it does not stand in a lane.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) handle: Handle,
    /// When it was published.
    pub(super) at: Millis,
    /// When it became ready for the first time.
    pub(super) since: Millis,
    pub(super) tenant: u64,
    pub(super) group: Option<GroupName>,
    pub(super) attempts: u32,
    pub(super) priority: u8,
}

impl Message {
    pub(super) fn lane(&self) -> LaneKey {
        LaneKey {
            priority: self.priority,
            tenant: self.tenant,
        }
    }

    pub(super) fn group(&self) -> Option<u128> {
        self.group.map(u128::from)
    }
}

/// What a message in a lane has beside its handle and time, if anything.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) attempts: u32,
    pub(super) since: Millis,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Lease {
    pub(super) message: Message,
    pub(super) token: u32,
    pub(super) until: Millis,
}
