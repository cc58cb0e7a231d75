//! How durable queues stand.

use serde::{Deserialize, Serialize};

/// All durable queues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueuesView {
    /// Whether they are open, and their disk works.
    pub up: bool,
    /// What they take on disk; `null` while they are not open.
    pub disk: Option<QueuesDiskView>,
    /// By name; where there are too many, those with the most messages.
    pub queues: Vec<QueueView>,
    /// How many queues are not among them.
    pub left_out: u64,
}

/// The room of all durable queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuesDiskView {
    /// What their log and what is known of it take.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// Segments of the log that are in use.
    pub segments_used: u64,
    /// Segments that can be used.
    pub segments_free: u64,
    /// No more messages are taken: there is no room.
    pub full: bool,
    /// Why nothing is taken any more until a restart; `null` where all is well.
    pub failure: Option<String>,
}

/// A durable queue. Totals are since the queues were opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Whether another queue's dead letters go there.
    pub dead_letters: bool,
    /// Whether it delivers nothing for now.
    pub paused: bool,
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Messages that are not due yet.
    pub delayed: u64,
    /// Messages that a consumer has.
    pub in_flight: u64,
    /// What its messages take in the log.
    pub bytes: u64,
    /// How long ago the oldest ready message was published; `null` where none is.
    pub oldest_age_seconds: Option<f64>,
    /// Messages that were published and are on disk.
    pub published_total: u64,
    /// Publications of what was there already.
    pub duplicates_total: u64,
    /// Deliveries: a message counts with each attempt.
    pub delivered_total: u64,
    /// Messages that a consumer was done with.
    pub acknowledged_total: u64,
    /// Messages that were given back, or whose lease ran out.
    pub returned_total: u64,
    /// Messages that became dead letters.
    pub dead_letters_total: u64,
    /// Messages that were older than the queue keeps any.
    pub expired_total: u64,
}

impl QueueView {
    /// Messages in all states.
    pub const fn messages(&self) -> u64 {
        self.ready + self.delayed + self.in_flight
    }
}

impl QueuesView {
    /// What someone should look at.
    pub fn warning(&self) -> Option<String> {
        let disk = self.disk.as_ref()?;
        match &disk.failure {
            Some(why) => Some(format!(
                "queues take nothing any more until a restart: {why}"
            )),
            None if disk.full => Some(
                "queues are full and take no more messages: let consumers catch up, purge, or raise queues.disk_max"
                    .to_owned(),
            ),
            None => None,
        }
    }
}
