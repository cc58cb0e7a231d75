//! What a queue is set to, and how it says no.

use std::time::Duration;

/// What a queue is set to. May change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueParameters {
    /// How long a delivered message is hidden from others where the receiver asks for nothing else.
    pub lease: Duration,
    /// Deliveries after which a message that comes back is dead; 0 for never.
    pub attempts_max: u32,
    /// The upper end of the backoff after the first attempt; it doubles with each.
    pub backoff_min: Duration,
    /// The most that the upper end of the backoff grows to.
    pub backoff_max: Duration,
    /// How long a message is kept, counted from its publication.
    pub retention: Duration,
    /// How long a deduplication key is remembered, counted from the publication.
    pub dedup_window: Duration,
    /// A message that has waited this long counts as one priority higher, and so on for each further such time.
    /// Zero: priorities are strict.
    pub raise_after: Duration,
    /// Messages in all states together.
    pub messages_max: u64,
    /// Room in the log of all of them together.
    pub bytes_max: u64,
    /// Leases at once.
    pub in_flight_max: u32,
    /// Deduplication keys remembered; beyond it the oldest is forgotten.
    pub dedup_max: u32,
    /// Groups with messages at once, and paused groups.
    pub groups_max: u32,
}

impl Default for QueueParameters {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            attempts_max: 5,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(5),
            retention: Duration::from_hours(4 * 24),
            dedup_window: Duration::from_mins(5),
            raise_after: Duration::from_mins(1),
            messages_max: 10_000_000,
            bytes_max: 64 << 30,
            in_flight_max: 120_000,
            dedup_max: 1_000_000,
            groups_max: 100_000,
        }
    }
}

/// Why nothing more fits. The publisher may try again once messages were settled.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFull {
    /// As many messages as it may have.
    #[error("the queue has its {max} messages")]
    Messages {
        /// `messages_max`.
        max: u64,
    },
    /// The message would take it over its room.
    #[error("the queue has no room left of its {max} bytes")]
    Bytes {
        /// `bytes_max`.
        max: u64,
    },
    /// As many groups as it may have, and this would be one more.
    #[error("the queue has its {max} groups")]
    Groups {
        /// `groups_max`.
        max: u32,
    },
}

/// The message is not leased under this token: it was settled, or its lease ran out and was returned.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not leased under this token")]
pub struct NotLeased;
