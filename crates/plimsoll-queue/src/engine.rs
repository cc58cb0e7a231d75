//! The engine: queues, and the log that keeps them.
//!
//! Whoever asks appends records to the batch that comes next, and waits for it where it must be durable. One thread writes
//! batches, one after the other: what comes while one is written goes with the next. What publishes is seen only once it is
//! durable; what settles, leases and returns is done at once, and said once it is durable. A lease is written with the next
//! batch, and waits for none: if it is lost, the message is delivered again.
//!
//! An *image* is all that is known but bodies, at one place of the log. It begins anew what the log says from there on, and lets
//! segments be used again that nothing alive is in and that stand before it. It is taken together with a batch, under one lock,
//! and holds what was done at once of that batch; which is replayed upon it, and changes nothing the second time.

mod commit;
mod definition;
mod image;
mod message;
mod moves;
mod open;
mod operate;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_policy::queue::{Arriving, Handle, Millis, Queue};
use tokio::sync::{Notify, oneshot};

use crate::disk::Disk;
use crate::log::{Batch, Log, LogLost, LogOptions, Record};

pub use definition::{Definition, Settings};
pub use message::{DeadReason, Head, Message, Receipt, Received};
pub use open::OpenError;
pub use operate::Taken;
pub use view::{DiskView, EngineView, QueueCounts, QueueView};

/// How much may wait to be written: beyond it whoever publishes is asked to come again.
const PENDING_MAX: usize = 8 << 20;
/// How often an image is taken at least, in bytes of the log.
const IMAGE_EVERY: u64 = 64 << 20;
/// And in its own size.
const IMAGE_TIMES: u64 = 4;

/// Fewer segments than this are no log.
const SLOTS_MIN: u32 = 6;
/// Free segments that only what settles messages may use.
const RESERVE: usize = 1;
/// Free segments that are kept ready.
const READY: usize = 3;
/// How large a new log's segments are.
const SEGMENT_BYTES: u64 = 16 << 20;
/// What a message may grow by when it becomes a dead letter.
const DEAD_BYTES: usize = 4 << 10;

/// How the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// How large a segment of a new log is: at most 32 MiB, a multiple of 4 KiB.
    pub segment_bytes: u64,
    /// How much room it may take, in bytes: all segments, and an image.
    pub disk_max: u64,
    /// Whether each batch is synced before it is acknowledged; else `interval` may be lost with the power.
    pub durability: Durability,
    /// For what is drawn by chance.
    pub seed: u64,
}

/// When what was acknowledged is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before it is acknowledged.
    #[default]
    Sync,
    /// This long after it at most.
    Interval(Duration),
}

impl EngineOptions {
    fn log(&self) -> LogOptions {
        LogOptions {
            segment_bytes: self.segment_bytes,
        }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            disk_max: 10 << 30,
            durability: Durability::Sync,
            seed: 0,
        }
    }
}

/// What did not become durable: nobody knows whether it is there after a restart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk failed; nothing is taken any more until a restart.
    #[error("the disk of the queues failed: {0}")]
    Disk(Arc<str>),
    /// Another engine goes on with the log, or none.
    #[error("the queues are being closed")]
    Closed,
}

/// Why nothing came of what was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no queue of this name.
    #[error("there is no queue `{0}`")]
    NoQueue(String),
    /// The message, or the queue, can't be so.
    #[error("{0}")]
    Invalid(String),
    /// There is no room in the queue or on the disk; whoever asks may come again.
    #[error("{0}")]
    Full(String),
    /// The receipt is of no lease that is on: it ran out, or was settled.
    #[error("the receipt is of no lease that is on: it ran out, or the message was settled")]
    NotLeased,
    /// See [`CommitError`].
    #[error(transparent)]
    NotDurable(#[from] CommitError),
}

/// Told once it is durable.
type Told = Result<(), CommitError>;

/// What becomes durable with a batch.
#[derive(Debug)]
#[must_use]
pub struct Durable(oneshot::Receiver<Told>);

impl Durable {
    /// Waits for it.
    ///
    /// # Errors
    /// It is not, or nobody knows.
    pub async fn wait(self) -> Told {
        self.0.await.unwrap_or(Err(CommitError::Closed))
    }

    /// `None`: it is not known yet.
    #[cfg(test)]
    pub(crate) fn now(&mut self) -> Option<Told> {
        self.0.try_recv().ok()
    }
}

/// What is done once a record is durable.
enum Then {
    /// The message that begins at this offset of the batch is there.
    Publish {
        queue: u32,
        offset: usize,
        room: usize,
        arriving: Arriving,
        /// What it replaces: what was there is not any more.
        replaces: Option<Handle>,
    },
    /// A message is gone.
    Settled(Handle),
    Purged(u32),
    Removed(u32),
    Tell(oneshot::Sender<Told>),
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// What had been written can't be read any more.
    Lost(String),
    /// A message went to the dead letters of a queue.
    Dead {
        /// Of which queue.
        queue: String,
        /// Where it is now.
        to: String,
        /// The message.
        id: String,
        /// After how many attempts.
        attempts: u32,
    },
    /// The disk failed.
    Failed(String),
    /// There is no room for more messages; those that are there go on.
    DiskFull(String),
}

/// A queue that there is.
struct Entry {
    definition: Definition,
    queue: Queue,
    /// Those who wait for a message.
    ready: Arc<Notify>,
    counts: QueueCounts,
}

struct State {
    batch: Batch,
    thens: Vec<Then>,
    /// Batches that are full, and how large they are together.
    full: VecDeque<(Batch, Vec<Then>)>,
    full_bytes: usize,
    batch_max: usize,
    /// Somebody waits for the batch.
    urgent: bool,
    /// There is something to write.
    wake: Arc<Condvar>,
    queues: BTreeMap<u32, Entry>,
    names: HashMap<String, u32>,
    next_queue: u32,
    next_id: u64,
    clock: Millis,
    /// What the system's time was, and how far the log's is ahead of it.
    wall: Millis,
    ahead: Duration,
    /// How many messages are in each segment, by slot.
    live: Vec<u32>,
    /// The segments in use, in the order of the log.
    order: VecDeque<u32>,
    /// Segments that can be used.
    free: VecDeque<u32>,
    slots: u32,
    /// Slots that there is no segment for: there was no room.
    unmade: Vec<u32>,
    slots_max: u32,
    /// There was no room for another segment, and when it is tried again.
    no_room: bool,
    try_again: Millis,
    /// Keys of messages that are not durable yet, by queue.
    arriving_keys: HashMap<(u32, u128), u64>,
    /// Messages that are on their way from one queue to another, and in neither: no image may be taken.
    between: usize,
    failed: Option<Arc<str>>,
    events: Vec<EngineEvent>,
    /// Bytes of the log since the last image, and how large that is.
    since_image: u64,
    image_bytes: u64,
    image_on: bool,
    /// One that is to be written: by whoever has the time.
    taken: Option<image::Image>,
    /// There is no room otherwise.
    wants_image: bool,
    closing: bool,
}

/// See the module's docs.
pub struct Engine {
    options: EngineOptions,
    disk: Arc<dyn Disk>,
    salt: u64,
    clock: Box<dyn Fn() -> Millis + Send + Sync>,
    state: Mutex<State>,
    log: Mutex<Log>,
    wake: Arc<Condvar>,
    /// What is in the names of messages.
    id_salt: u64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn salt32(&self) -> u32 {
        salt32(self.salt)
    }

    /// The log's own time: it never goes back.
    fn now(&self, state: &mut State) -> Millis {
        let wall = (self.clock)();
        // Where the system's time is set back, the log's goes on.
        state.ahead += state.wall.since(wall);
        state.wall = wall;
        state.clock = state.clock.max(wall + state.ahead);
        state.clock
    }
}

/// The part of the salt that checksums begin with.
fn salt32(salt: u64) -> u32 {
    let [a, b, c, d, ..] = salt.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl State {
    fn append(&mut self, salt: u32, record: &Record<'_>) -> (usize, usize) {
        if self.batch.len() + record.room_max() > self.batch_max && !self.batch.is_empty() {
            let next = self.batch.next();
            let full = std::mem::replace(&mut self.batch, next);
            self.full_bytes += full.len();
            self.full.push_back((full, std::mem::take(&mut self.thens)));
            self.hurry();
        }
        self.batch.append(salt, record)
    }

    /// Whether all that was done is durable, or comes with the batch that is next.
    fn is_whole(&self) -> bool {
        self.batch.is_empty() && self.full.is_empty() && self.between == 0
    }

    /// How much waits to be written.
    fn pending(&self) -> usize {
        self.full_bytes + self.batch.len()
    }

    /// Tells whoever waits once all that was appended is durable.
    fn tell(&mut self) -> Durable {
        let (tell, told) = oneshot::channel();
        self.thens.push(Then::Tell(tell));
        self.hurry();
        Durable(told)
    }

    /// What there is is written now.
    fn hurry(&mut self) {
        if !self.urgent {
            self.urgent = true;
            self.wake.notify_one();
        }
    }

    /// Whether there is a segment that nothing alive is in, and that an image would let go of.
    fn can_reclaim(&self) -> bool {
        let mut used = self.order.iter().rev().skip(1);
        used.any(|slot| {
            let index = usize::try_from(*slot).unwrap_or(usize::MAX);
            self.live.get(index).copied().unwrap_or(0) == 0
        })
    }

    /// How many segments there are.
    fn made(&self) -> u32 {
        self.slots - u32::try_from(self.unmade.len()).unwrap_or(0)
    }

    fn entry(&mut self, queue: u32) -> Option<&mut Entry> {
        self.queues.get_mut(&queue)
    }

    /// One message more, or fewer, in a segment.
    fn count(&mut self, handle: Handle, more: bool) {
        let index = usize::try_from(crate::log::place_of(handle).0).unwrap_or(usize::MAX);
        if self.live.len() <= index && more {
            self.live.resize(index + 1, 0);
        }
        if let Some(live) = self.live.get_mut(index) {
            *live = if more {
                *live + 1
            } else {
                live.saturating_sub(1)
            };
        }
    }

    fn lose(&mut self, lost: &LogLost) {
        self.events.push(EngineEvent::Lost(format!(
            "segment {} at {}: {} ({} bytes)",
            lost.slot, lost.offset, lost.why, lost.bytes
        )));
    }
}

/// What a queue draws by chance.
fn seed_of(seed: u64, queue: u32) -> u64 {
    seed ^ u64::from(queue).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// How many segments there may be.
fn slots_max(options: &EngineOptions) -> u32 {
    let slots = options.disk_max / options.segment_bytes.max(1);
    u32::try_from(slots)
        .unwrap_or(u32::MAX)
        .clamp(SLOTS_MIN, crate::log::SLOTS_MAX)
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}
