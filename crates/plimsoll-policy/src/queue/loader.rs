//! Makes a queue of an image and of what the log says after it.
//!
//! A message that stands in a lane, a line or is delayed is not looked for when the log says something of it: what became of it is
//! noted, and one pass over the queue applies all notes. That pass comes at the end, when there are as many notes as messages, and
//! when a handle is used again of which a note is still to be applied: so a note never meets another message than its own. The log
//! uses handles again by whole segments, so there is about one such pass for each time that it comes round.

use std::collections::HashMap;
use std::time::Duration;

use super::message::Message;
use super::run::Edit;
use super::{Arriving, Handle, Millis, NotAnImage, Queue, QueueParameters, image};

/// Notes that are always worth to be kept: 5 MB.
const NOTES_MIN: usize = 65_536;

/// What became of a message since the last pass.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Became {
    /// It stands where it stood.
    Same,
    Settled,
    Leased {
        attempts: u32,
        token: u32,
        until: Millis,
    },
    Returned {
        attempts: u32,
        due: Millis,
    },
}

#[derive(Copy, Clone, Debug)]
struct Change {
    /// Where the log has the message by now.
    moved_to: Handle,
    became: Became,
}

/// A queue that is being read. Records about messages that it does not know are ignored.
///
/// A publication of a handle that is known is another message: the earlier one must have been settled, and is if it is leased.
#[derive(Debug)]
pub struct QueueLoader {
    queue: Queue,
    /// By the handle that stands in the queue.
    changes: HashMap<Handle, Change>,
    /// Where the log has a message by now: the handle that stands in the queue.
    moved: HashMap<Handle, Handle>,
}

impl Default for QueueLoader {
    fn default() -> Self {
        Self::new()
    }
}

impl QueueLoader {
    /// Of nothing. Keys that the records bring are kept until the end, up to a million of them.
    pub fn new() -> Self {
        let parameters = QueueParameters {
            dedup_window: Duration::MAX,
            ..QueueParameters::default()
        };
        Self::of(Queue::new(parameters, 0))
    }

    /// Of an image.
    pub fn from_image(bytes: &[u8], parameters: &QueueParameters) -> Result<Self, NotAnImage> {
        image::decode(bytes, parameters).map(Self::of)
    }

    fn of(queue: Queue) -> Self {
        Self {
            queue,
            changes: HashMap::new(),
            moved: HashMap::new(),
        }
    }

    /// A message was published.
    pub fn on_published(&mut self, arriving: Arriving) {
        self.free(arriving.handle);
        self.settle_leased(arriving.handle);
        self.queue.promote(arriving.at, usize::MAX);
        self.queue.on_published(arriving.at, arriving);
    }

    /// A message was delivered, or its lease was extended.
    pub fn on_leased(&mut self, handle: Handle, attempts: u32, token: u32, until: Millis) {
        if let Ok(mut message) = self.queue.let_go(handle, None) {
            message.attempts = attempts;
            self.queue.hold(message, token, until);
            return;
        }
        self.note(
            handle,
            Became::Leased {
                attempts,
                token,
                until,
            },
        );
    }

    /// A message was acknowledged, expired, is dead or was moved to another queue.
    pub fn on_settled(&mut self, handle: Handle) {
        if !self.settle_leased(handle) {
            self.note(handle, Became::Settled);
        }
    }

    /// A message came back, to be ready from `due` on.
    pub fn on_returned(&mut self, handle: Handle, attempts: u32, due: Millis) {
        if let Ok(mut message) = self.queue.let_go(handle, None) {
            message.attempts = attempts;
            self.give_back(message, due);
            return;
        }
        self.note(handle, Became::Returned { attempts, due });
    }

    /// Everything that was not leased was taken away.
    pub fn on_purged(&mut self) {
        self.apply();
        self.queue.purge();
    }

    /// The queue was paused, or goes on.
    pub fn on_paused(&mut self, paused: bool) {
        self.queue.pause(paused);
    }

    /// A group was paused, or goes on.
    pub fn on_group_paused(&mut self, group: u128, paused: bool) {
        self.queue.pause_group(group, paused);
    }

    /// A message was moved within the log.
    pub fn on_relocated(&mut self, old: Handle, new: Handle) {
        if old == new {
            return;
        }
        self.free(new);
        if let Some(lease) = self.queue.leases.get(&old).copied() {
            self.settle_leased(old);
            self.settle_leased(new);
            let mut message = lease.message;
            message.handle = new;
            self.queue.count(new);
            self.queue.hold(message, lease.token, lease.until);
            return;
        }
        let Some(standing) = self.standing(old) else {
            return;
        };
        self.moved.remove(&old);
        self.moved.insert(new, standing);
        let change = self.changes.entry(standing).or_insert(Change {
            moved_to: new,
            became: Became::Same,
        });
        change.moved_to = new;
        self.apply_if_many();
    }

    /// All was read: the queue, at `now`. Leases stand with their tokens and ends; what is due by now is ready.
    pub fn finish(mut self, parameters: QueueParameters, seed: u64, now: Millis) -> Queue {
        self.apply();
        let mut queue = self.queue;
        queue.set_parameters(parameters);
        queue.seed(seed);
        queue.promote(now, usize::MAX);
        queue.prune_dedup(now);
        queue
    }

    /// The handle under which a message stands in the queue, by where the log has it; `None` if it was moved away.
    fn standing(&self, handle: Handle) -> Option<Handle> {
        if let Some(&standing) = self.moved.get(&handle) {
            return Some(standing);
        }
        let change = self.changes.get(&handle);
        let is_there = change.is_none_or(|change| change.moved_to == handle);
        is_there.then_some(handle)
    }

    fn note(&mut self, handle: Handle, became: Became) {
        let Some(standing) = self.standing(handle) else {
            return;
        };
        let change = self.changes.entry(standing).or_insert(Change {
            moved_to: handle,
            became,
        });
        // What is settled stays so: a message that comes under its handle makes for a pass first.
        if change.became != Became::Settled {
            change.became = became;
        }
        self.apply_if_many();
    }

    fn settle_leased(&mut self, handle: Handle) -> bool {
        let Ok(message) = self.queue.let_go(handle, None) else {
            return false;
        };
        self.queue.forget(message);
        true
    }

    /// Before a handle comes to mean another message: no note may stand under it.
    fn free(&mut self, handle: Handle) {
        if self.changes.contains_key(&handle) || self.moved.contains_key(&handle) {
            self.apply();
        }
    }

    fn apply_if_many(&mut self) {
        let messages = usize::try_from(self.queue.messages).unwrap_or(usize::MAX);
        if self.changes.len() >= messages.max(NOTES_MIN) {
            self.apply();
        }
    }

    /// One pass over the queue.
    fn apply(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        self.moved = HashMap::new();
        let changes = std::mem::take(&mut self.changes);
        let taken = self.queue.edit(|handle| match changes.get(&handle) {
            None => Edit::Keep,
            Some(change) if change.became != Became::Same => Edit::Remove,
            Some(change) if change.moved_to == handle => Edit::Keep,
            Some(change) => Edit::Replace(change.moved_to),
        });
        for mut message in taken {
            let Some(change) = changes.get(&message.handle) else {
                continue;
            };
            message.handle = change.moved_to;
            match change.became {
                Became::Same | Became::Settled => {}
                Became::Leased {
                    attempts,
                    token,
                    until,
                } => {
                    message.attempts = attempts;
                    self.settle_leased(message.handle);
                    self.queue.count(message.handle);
                    self.queue.hold(message, token, until);
                }
                Became::Returned { attempts, due } => {
                    message.attempts = attempts;
                    self.queue.count(message.handle);
                    self.give_back(message, due);
                }
            }
        }
    }

    /// Whether it is due by now is seen at the end, and when a message comes after it.
    fn give_back(&mut self, message: Message, due: Millis) {
        self.queue.give_back(Millis(0), message, due);
    }
}
