//! Queues: how all of them are kept, who may speak to them, and what each of them is set to.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Secret};
use crate::access_keys::{AccessKeysError, read_access_keys};

/// `[queues]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Where the HTTP API and the SQS protocol are served; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Where messages are kept; `None`: `queues` in the state folder.
    pub folder: Option<PathBuf>,
    /// The bytes that all together may have on disk.
    pub disk_max: u64,
    /// When what was sent is on disk.
    pub durability: QueueDurability,
    /// Whether clients may make, change and remove queues that are not in the file.
    pub create: bool,
    /// One of which a client of the HTTP API must have; empty: none.
    pub tokens: Vec<Secret>,
    /// What clients of the SQS protocol sign with; `None`: signatures are not asked for.
    pub keys: Option<AccessKeys>,
    /// The region that ARNs say: 1 to 64 letters, digits and `-`.
    pub region: String,
    /// What URLs of queues begin with, without a slash at the end; `None`: `http://` and `listen`.
    pub url: Option<String>,
}

/// When what was sent is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueDurability {
    /// Before it is acknowledged.
    #[default]
    Sync,
    /// At most 50 ms after it is acknowledged.
    Interval,
}

/// The access keys of clients. Its `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeys {
    /// Their file.
    pub path: PathBuf,
    /// Id -> secret, which is [`Secret::Plain`]; empty until [`Config::read_access_keys`].
    pub secrets: BTreeMap<String, Secret>,
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever mistakes the order in the file has secrets in the place of ids.
        f.debug_struct("AccessKeys")
            .field("path", &self.path)
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

/// `[queue.NAME]`. The name has 1 to 80 letters, digits, `_` and `-`; it may end in `.fifo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Who is asked about it.
    pub owner: Option<String>,
    /// How long a received message is hidden from others.
    pub lease: Duration,
    /// After so many deliveries a message that comes back is a dead letter; 0: never.
    pub attempts_max: u32,
    /// The longest wait after the first attempt.
    pub backoff_min: Duration,
    /// The longest wait after any attempt: not shorter than `backoff_min`.
    pub backoff_max: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// How long a message is held back at first; shorter than `retention`.
    pub delay: Duration,
    /// How long whoever receives waits for a message.
    pub wait: Duration,
    /// For how long a key is remembered; zero: not at all.
    pub dedup_window: Duration,
    /// Whether messages without a key are the same where their bodies are.
    pub dedup_by_body: bool,
    /// What has waited so long counts as one priority higher; zero: never.
    pub raise_after: Duration,
    /// Where dead letters go: a queue of the file, and no cycle; `None`: a queue that is made for them.
    pub dead_letters: Option<String>,
    /// The messages that it may have, at least one.
    pub messages_max: u64,
    /// The bytes that they may take, at least `message_max`; `None`: what the disk has.
    pub bytes_max: Option<u64>,
    /// The bytes of one message, with its attributes.
    pub message_max: u64,
}

impl QueueConfig {
    /// The longest name, the end `.fifo` included: as SQS has it.
    pub const NAME_MAX: usize = 80;
}

impl Config {
    /// Reads the access keys of queues from their file, if there is one.
    ///
    /// # Errors
    /// They can't be read; [`check_files`](crate::check_files) says so with the line that names the file.
    pub fn read_access_keys(&mut self) -> Result<(), (PathBuf, AccessKeysError)> {
        if let Some(keys) = self.queues.as_mut().and_then(|it| it.keys.as_mut()) {
            keys.secrets =
                read_access_keys(&keys.path).map_err(|error| (keys.path.clone(), error))?;
        }
        Ok(())
    }
}
