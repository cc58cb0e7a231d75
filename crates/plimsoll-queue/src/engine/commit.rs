//! Batches are written, what they say is done, and segments that nothing alive is in are used again.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use plimsoll_core::never;
use plimsoll_policy::queue::{Arriving, Handle, Which};

use super::image::Image;
use super::operate::wake;
use super::{
    CommitError, Durability, Engine, EngineEvent, IMAGE_EVERY, IMAGE_TIMES, State, Then, full,
};
use crate::log::{self, Place};

/// How long records wait that nobody waits for.
const LAZY_MAX: Duration = Duration::from_millis(50);

impl Engine {
    /// Writes batches until it is closed: for a thread of its own.
    pub fn run(&self) {
        let mut unsynced = false;
        loop {
            let (closing, lazy) = {
                let state = self.lock();
                let waits = |it: &mut State| !it.urgent && !it.closing;
                let waited = self.wake.wait_timeout_while(state, LAZY_MAX, waits);
                let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                (state.closing, !state.urgent)
            };
            let wrote = self.commit();
            if let Durability::Interval(_) = self.options.durability {
                unsynced |= wrote;
                if unsynced && (lazy || closing) {
                    unsynced = false;
                    self.sync();
                }
            }
            if closing && !wrote {
                return self.take_image();
            }
        }
    }

    /// Nothing is taken any more; what was is written, and an image. [`Engine::run`] ends.
    pub fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_all();
    }

    fn sync(&self) {
        let log = self.log.lock();
        let synced = log.unwrap_or_else(PoisonError::into_inner).sync();
        if let Err(error) = synced {
            self.fail(&mut self.lock(), &error);
        }
    }

    /// Writes what there is as one batch. Says whether there was anything.
    pub(crate) fn commit(&self) -> bool {
        let log = self.log.lock();
        let mut log = log.unwrap_or_else(PoisonError::into_inner);
        let (mut batch, thens, image) = {
            let mut state = self.lock();
            state.urgent = false;
            let (batch, thens) = match state.full.pop_front() {
                Some((batch, thens)) => {
                    state.full_bytes -= batch.len();
                    state.urgent = true;
                    (batch, thens)
                }
                None if state.batch.is_empty() => return false,
                None => {
                    let next = state.batch.next();
                    let batch = std::mem::replace(&mut state.batch, next);
                    (batch, std::mem::take(&mut state.thens))
                }
            };
            if state.failed.is_some() {
                drop(state);
                self.refuse(thens);
                return true;
            }
            let due = state.since_image >= self.image_every(&state) || state.wants_image;
            // What was done at once must all be in the batch that is written with it.
            let due = due && !state.image_on && state.is_whole();
            let image = due.then(|| log.place()).flatten();
            let image = image.map(|place| Image::take(&mut state, place, self.salt));
            (batch, thens, image)
        };
        let syncs = self.options.durability == Durability::Sync;
        let written = log.write(&mut batch, syncs, || self.next_slot());
        let place = match written {
            Ok(place) => place,
            Err(error) => {
                let full = error.kind() == io::ErrorKind::StorageFull;
                let mut state = self.lock();
                if full {
                    state.no_room = true;
                    let text = "no room for what settles messages: they will be delivered again";
                    state.events.push(EngineEvent::DiskFull(text.to_owned()));
                } else {
                    self.fail(&mut state, &error);
                }
                drop(state);
                self.refuse(thens);
                return true;
            }
        };
        let mut tells = Vec::new();
        {
            let mut state = self.lock();
            let state = &mut *state;
            state.since_image += batch.len() as u64;
            for then in thens {
                match then {
                    Then::Tell(tell) => tells.push(tell),
                    other => self.apply(state, place, other),
                }
            }
        }
        for tell in tells {
            let _nobody_waits = tell.send(Ok(()));
        }
        drop(log);
        if let Some(image) = image {
            self.keep(image);
        }
        true
    }

    fn apply(&self, state: &mut State, place: Place, then: Then) {
        match then {
            Then::Publish {
                queue,
                offset,
                room,
                arriving,
                replaces,
            } => {
                let handle = log::handle(place.slot, place.offset + offset as u64, room);
                let now = self.now(state);
                if let Some(old) = replaces {
                    state.count(old, false);
                }
                if let Some(key) = arriving.dedup {
                    state.arriving_keys.remove(&(queue, key));
                }
                // A queue that is removed meanwhile takes what came for it along.
                let Some(entry) = state.queues.get_mut(&queue) else {
                    return;
                };
                entry
                    .queue
                    .on_published(now, Arriving { handle, ..arriving });
                if entry.queue.has_ready() {
                    entry.ready.notify_one();
                }
                state.count(handle, true);
            }
            Then::Settled(handle) => state.count(handle, false),
            Then::Purged(queue) => {
                let Some(entry) = state.queues.get_mut(&queue) else {
                    return;
                };
                let handles = entry.queue.in_places(|_| true, usize::MAX);
                let _count = entry.queue.purge();
                for handle in handles {
                    state.count(handle, false);
                }
            }
            Then::Removed(queue) => {
                let Some(entry) = state.queues.remove(&queue) else {
                    return;
                };
                for handle in handles(&entry.queue) {
                    state.count(handle, false);
                }
                wake(&entry);
                entry.ready.notify_waiters();
            }
            Then::Tell(_) => {
                let _handled_by_the_caller = never!(true);
            }
        }
    }

    /// Nobody is told that it is durable.
    fn refuse(&self, thens: Vec<Then>) {
        let why = self.lock().failed.clone();
        let error = why.map_or_else(
            || CommitError::Disk("there is no room on it".into()),
            CommitError::Disk,
        );
        for then in thens {
            match then {
                Then::Tell(tell) => {
                    let _nobody_waits = tell.send(Err(error.clone()));
                }
                Then::Publish {
                    queue, arriving, ..
                } => {
                    if let Some(key) = arriving.dedup {
                        self.lock().arriving_keys.remove(&(queue, key));
                    }
                }
                Then::Settled(_) | Then::Purged(_) | Then::Removed(_) => (),
            }
        }
    }

    /// After an error nobody knows what is on disk: nothing more is written.
    fn fail(&self, state: &mut State, error: &io::Error) {
        let why: Arc<str> = error.to_string().into();
        state.events.push(EngineEvent::Failed(why.to_string()));
        state.failed = Some(why);
    }

    /// The segment that the log goes on in.
    fn next_slot(&self) -> io::Result<u32> {
        let free = {
            let mut state = self.lock();
            let free = state.free.pop();
            if let Some(slot) = free {
                state.order.push_back(slot);
            }
            free
        };
        match free {
            Some(slot) => Ok(slot),
            None => {
                let slot = self.create()?;
                self.lock().order.push_back(slot);
                Ok(slot)
            }
        }
    }

    /// Makes another segment.
    fn create(&self) -> io::Result<u32> {
        let slot = {
            let mut state = self.lock();
            if state.made() >= state.slots_max {
                return Err(full());
            }
            let unmade = state.unmade.pop();
            unmade.unwrap_or_else(|| {
                state.slots += 1;
                state.slots - 1
            })
        };
        let made = self.disk.create(slot, self.options.segment_bytes);
        if made.is_err() {
            let mut state = self.lock();
            state.unmade.push(slot);
            state.no_room = true;
        }
        made.map(|()| slot)
    }

    /// After how many bytes of the log an image is taken: seldom where it is large, and before the log has no room.
    fn image_every(&self, state: &State) -> u64 {
        let segment = self.options.segment_bytes;
        let room = u64::from(state.slots_max) * segment / 4;
        let usual = IMAGE_EVERY.max(state.image_bytes.saturating_mul(IMAGE_TIMES));
        usual.min(room).max(segment)
    }

    /// Has a segment ready before it is needed; to be called now and then, by one thread.
    pub fn prepare(&self) {
        let wants = {
            let mut state = self.lock();
            state.no_room = false;
            let wants = state.failed.is_none() && state.free.is_empty();
            (wants, state.made() < state.slots_max)
        };
        match wants {
            (false, _) => return,
            (true, false) => return self.want_image(),
            (true, true) => (),
        }
        match self.create() {
            Ok(slot) => self.lock().free.push(slot),
            Err(error) => {
                let text = format!("no room for another segment: {error}");
                self.lock().events.push(EngineEvent::DiskFull(text));
                self.want_image();
            }
        }
    }

    /// What is done with may take room only because it is not known to be: with the next batch it will be.
    fn want_image(&self) {
        self.lock().wants_image = true;
    }

    /// An image is on disk, and what is before it is not needed any more.
    pub(super) fn keep(&self, image: Image) {
        let place = image.place;
        let bytes = image.encode();
        let kept = self.disk.put(super::image::FILE, &bytes);
        let mut state = self.lock();
        state.image_on = false;
        match kept {
            Ok(()) => {
                state.image_bytes = bytes.len() as u64;
                self.reclaim(&mut state, place);
            }
            Err(error) => {
                // What there was stays; the log is only longer to read.
                let text = format!("what is known of the queues can't be kept: {error}");
                state.events.push(EngineEvent::DiskFull(text));
            }
        }
    }

    /// Segments before this place that nothing alive is in can be used again.
    fn reclaim(&self, state: &mut State, place: Place) {
        let mut kept = std::collections::VecDeque::with_capacity(state.order.len());
        let mut is_before = true;
        while let Some(slot) = state.order.pop_front() {
            is_before &= slot != place.slot;
            let index = usize::try_from(slot).unwrap_or(usize::MAX);
            let live = state.live.get(index).copied().unwrap_or(0);
            match is_before && live == 0 {
                true => state.free.push(slot),
                false => kept.push_back(slot),
            }
        }
        state.order = kept;
    }

    /// Takes an image now, if something was written since the last.
    pub(crate) fn take_image(&self) {
        let log = self.log.lock();
        let log = log.unwrap_or_else(PoisonError::into_inner);
        let image = {
            let mut state = self.lock();
            if state.failed.is_some() || state.image_on || !state.is_whole() {
                return;
            }
            log.place().map(|it| Image::take(&mut state, it, self.salt))
        };
        drop(log);
        if let Some(image) = image {
            self.keep(image);
        }
    }
}

/// All that a queue has.
pub(super) fn handles(queue: &plimsoll_policy::queue::Queue) -> Vec<Handle> {
    let mut handles = queue.in_places(|_| true, usize::MAX);
    let leased = queue.peek(Which::Leased, 0, usize::MAX);
    handles.extend(leased.iter().map(|it| it.handle));
    handles
}
