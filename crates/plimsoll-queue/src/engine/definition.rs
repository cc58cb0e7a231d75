//! What a queue is.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_policy::queue::{Millis, QueueParameters};
use serde::{Deserialize, Serialize};

/// How long a name may be.
pub(crate) const NAME_MAX: usize = 80;
/// What the names of ordered queues end with, by SQS's convention.
pub(crate) const ORDERED: &str = ".fifo";
/// What the name of a queue of dead letters ends with that nobody asked for.
const DEAD: &str = "-dead";

/// A queue, as it is kept in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// 1 to 80 letters, digits, `_` and `-`; `.fifo` at the end: see [`Definition::is_ordered`].
    pub name: String,
    /// How it delivers.
    pub settings: Settings,
    /// What else protocols want to have kept, and give back as it is.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What people stick to it.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether the configuration describes it.
    #[serde(default)]
    pub of_file: bool,
    /// When it was made.
    pub created: u64,
    /// When it was last changed.
    pub changed: u64,
}

/// How a queue delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// For how long a message is out before it is given to somebody else: 30 s.
    pub lease: Duration,
    /// After so many attempts a message is a dead letter; 0: never. 5.
    pub attempts_max: u32,
    /// The shortest of the longest waits between attempts: 1 s.
    pub backoff_min: Duration,
    /// The longest wait between attempts: 5 min.
    pub backoff_max: Duration,
    /// What is older than this goes: 4 days.
    pub retention: Duration,
    /// What is delivered later, unless the message says otherwise: at once.
    pub delay: Duration,
    /// For how long whoever receives waits for a message, unless they say otherwise: not at all.
    pub wait: Duration,
    /// The same key within this time is the same message: 5 min.
    pub dedup_window: Duration,
    /// Without a key, the same body is the same message.
    pub dedup_by_body: bool,
    /// What waits so long goes before what has one more priority: 1 min.
    pub raise_after: Duration,
    /// Where dead letters go; `None`: to a queue that is made for them.
    pub dead_letters: Option<String>,
    /// How many messages there may be: a hundred million.
    pub messages_max: u64,
    /// How many bytes they may take: all that there is.
    pub bytes_max: u64,
    /// How large a message may be, with its attributes: 1 MiB.
    pub message_bytes_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let it = QueueParameters::default();
        Self {
            lease: it.lease,
            attempts_max: it.attempts_max,
            backoff_min: it.backoff_min,
            backoff_max: it.backoff_max,
            retention: it.retention,
            delay: Duration::ZERO,
            wait: Duration::ZERO,
            dedup_window: it.dedup_window,
            dedup_by_body: false,
            raise_after: it.raise_after,
            dead_letters: None,
            messages_max: 100_000_000,
            bytes_max: u64::MAX,
            message_bytes_max: 1 << 20,
        }
    }
}

impl Definition {
    /// A queue with what is usual.
    pub fn new(name: &str, now: Millis) -> Self {
        Self {
            name: name.to_owned(),
            settings: Settings::default(),
            attributes: BTreeMap::new(),
            tags: BTreeMap::new(),
            of_file: false,
            created: now.0,
            changed: now.0,
        }
    }

    /// Whether every message is of a group, and has a key by which it is the same: SQS's FIFO.
    pub fn is_ordered(&self) -> bool {
        self.name.ends_with(ORDERED)
    }

    /// Whether a queue may be called so.
    pub fn is_name(name: &str) -> bool {
        let stem = name.strip_suffix(ORDERED).unwrap_or(name);
        let is_letter = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
        !stem.is_empty() && name.len() <= NAME_MAX && stem.chars().all(is_letter)
    }

    /// Where its dead letters go.
    pub fn dead_letters(&self) -> String {
        match &self.settings.dead_letters {
            Some(name) => name.clone(),
            None => {
                let (stem, end) = match self.name.strip_suffix(ORDERED) {
                    Some(stem) => (stem, ORDERED),
                    None => (self.name.as_str(), ""),
                };
                let room = NAME_MAX - DEAD.len() - end.len();
                let name = format!("{}{DEAD}{end}", stem.get(..room).unwrap_or(stem));
                if name == self.name {
                    format!("dead{end}")
                } else {
                    name
                }
            }
        }
    }

    pub(super) fn parameters(&self) -> QueueParameters {
        let it = &self.settings;
        QueueParameters {
            lease: it.lease,
            attempts_max: it.attempts_max,
            backoff_min: it.backoff_min,
            backoff_max: it.backoff_max,
            retention: it.retention,
            dedup_window: it.dedup_window,
            raise_after: it.raise_after,
            messages_max: it.messages_max,
            bytes_max: it.bytes_max,
            ..QueueParameters::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_protocol_can_say() {
        for name in ["a", "orders", "orders.fifo", "A-b_9", &"a".repeat(80)] {
            assert!(Definition::is_name(name), "{name}");
        }
        for name in ["", ".fifo", "a/b", "a.b", "ü", "a b", &"a".repeat(81)] {
            assert!(!Definition::is_name(name), "{name}");
        }
    }

    #[test]
    fn dead_letters_of_every_queue_have_a_queue_that_may_be_called_so() {
        let long = "a".repeat(80);
        for (name, dead) in [
            ("orders", "orders-dead"),
            ("orders.fifo", "orders-dead.fifo"),
            (&long, &format!("{}-dead", "a".repeat(75))),
        ] {
            let found = Definition::new(name, Millis(0)).dead_letters();
            assert_eq!(found, dead);
            assert!(Definition::is_name(&found));
        }
    }
}
