//! Batches are written, what they say is done, and segments that nothing alive is in are used again.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use plimsoll_core::never;
use plimsoll_policy::queue::{Arriving, Handle, Which};

use super::image::Image;
use super::operate::wake;
use super::{
    CommitError, Durability, Engine, EngineEvent, IMAGE_EVERY, IMAGE_TIMES, READY, State, Then,
    full,
};
use crate::log::{self, Place, WriteError};

/// How long it is until a segment is tried to be made again, after there was no room.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long records wait that nobody waits for.
const LAZY_MAX: Duration = Duration::from_millis(50);

impl Engine {
    /// Writes batches until it is closed: for a thread of its own.
    pub fn run(&self) {
        let mut synced = self.wall();
        let mut unsynced = false;
        loop {
            let closing = {
                let state = self.lock();
                let waits = |it: &mut State| !it.urgent && !it.closing;
                let waited = self.wake.wait_timeout_while(state, LAZY_MAX, waits);
                let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                state.closing
            };
            let wrote = self.commit();
            if let Durability::Interval(interval) = self.options.durability {
                unsynced |= wrote;
                let now = self.wall();
                if unsynced && (closing || now.since(synced) >= interval || now < synced) {
                    (unsynced, synced) = (false, now);
                    self.sync();
                }
            }
            if closing && !wrote {
                let taken = self.lock().taken.take();
                if let Some(image) = taken {
                    let _told_where_not = self.keep(image);
                }
                self.take_image();
                let mut state = self.lock();
                let left = std::mem::take(&mut state.thens);
                drop(state);
                return self.refuse(left, &CommitError::Closed);
            }
        }
    }

    /// Nothing is taken any more; what was is written, and an image. [`Engine::run`] ends.
    pub fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_all();
    }

    pub(crate) fn sync(&self) {
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
                None if state.batch.is_empty() => {
                    // All before is durable: whoever waits for nothing more is told so.
                    let thens = std::mem::take(&mut state.thens);
                    let (failed, wants_image) = (state.failed.clone(), state.wants_image);
                    drop((state, log));
                    match failed {
                        Some(why) => self.refuse(thens, &CommitError::Disk(why)),
                        None => tell_all(tells(thens)),
                    }
                    if wants_image {
                        self.take_image();
                    }
                    return false;
                }
                None => {
                    let next = state.batch.next();
                    let batch = std::mem::replace(&mut state.batch, next);
                    (batch, std::mem::take(&mut state.thens))
                }
            };
            if let Some(why) = state.failed.clone() {
                drop(state);
                self.refuse(thens, &CommitError::Disk(why));
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
        let place = match log.write(&mut batch, syncs, || self.next_slot()) {
            Ok(place) => place,
            Err(WriteError::NoRoom(error)) => {
                let mut state = self.lock();
                if !state.no_room {
                    let text = format!("no room for what settles messages: {error}");
                    state.events.push(EngineEvent::DiskFull(text));
                }
                state.no_room = true;
                if image.is_some() {
                    state.image_on = false;
                }
                batch.unseal();
                state.full_bytes += batch.len();
                state.full.push_front((batch, thens));
                drop(state);
                self.settle_without_log(log.place());
                return false;
            }
            Err(WriteError::Disk(error)) => {
                self.fail(&mut self.lock(), &error);
                self.refuse(thens, &CommitError::Disk(error.to_string().into()));
                return true;
            }
        };
        let told = {
            let mut state = self.lock();
            state.since_image += batch.len() as u64;
            self.apply_all(&mut state, place, thens)
        };
        tell_all(told);
        if image.is_some()
            && !syncs
            && let Err(error) = log.sync()
        {
            self.fail(&mut self.lock(), &error);
            return true;
        }
        if image.is_some() {
            self.lock().taken = image;
        }
        true
    }

    /// The log has no room left, not even for what settles messages. An image is as durable as the log: where no message is on its way,
    /// all that waits is in it.
    fn settle_without_log(&self, place: Option<Place>) {
        let (image, waiting) = {
            let mut state = self.lock();
            let thens = state.full.iter().flat_map(|(_, thens)| thens);
            let mut thens = thens.chain(&state.thens);
            let on_the_way = |it: &Then| matches!(it, Then::Publish { .. });
            if state.between > 0 || state.image_on || thens.any(on_the_way) {
                return;
            }
            let Some(place) = place else {
                return;
            };
            let full = std::mem::take(&mut state.full);
            let mut waiting: Vec<Then> = full.into_iter().flat_map(|(_, thens)| thens).collect();
            waiting.append(&mut state.thens);
            state.full_bytes = 0;
            state.batch = state.batch.next();
            // Purges and removals are done now, for they are to be in it.
            let told = self.apply_all(&mut state, place, waiting);
            (Image::take(&mut state, place, self.salt), told)
        };
        match self.keep(image) {
            true => tell_all(waiting),
            false => {
                let why = CommitError::Disk("there is no room on it".into());
                for tell in waiting {
                    let _nobody_waits = tell.send(Err(why.clone()));
                }
            }
        }
    }

    /// What a batch says is done; says who is to be told.
    fn apply_all(&self, state: &mut State, place: Place, thens: Vec<Then>) -> Vec<Tell> {
        let mut told = Vec::new();
        for then in thens {
            match then {
                Then::Tell(tell) => told.push(tell),
                other => self.apply(state, place, other),
            }
        }
        told
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
                // What comes from another queue was published before.
                entry.counts.published += u64::from(replaces.is_none());
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
    fn refuse(&self, thens: Vec<Then>, why: &CommitError) {
        for then in thens {
            match then {
                Then::Tell(tell) => {
                    let _nobody_waits = tell.send(Err(why.clone()));
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
            let free = state.free.pop_front();
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

    /// Has segments ready before they are needed, and writes an image that was taken: neither holds up the log. To be called often, by
    /// one thread.
    pub fn prepare(&self) {
        let taken = self.lock().taken.take();
        if let Some(image) = taken {
            let _told_where_not = self.keep(image);
        }
        loop {
            let (wants, may) = {
                let mut state = self.lock();
                let now = self.now(&mut state);
                let wants = state.failed.is_none() && state.free.len() < READY;
                let may = state.made() < state.slots_max;
                if wants && (!may || state.no_room) {
                    // What is done with may take room only because it is not known to be.
                    state.wants_image |= state.can_reclaim();
                }
                if state.no_room && now < state.try_again {
                    return;
                }
                state.try_again = now + TRY_AGAIN;
                (wants, may)
            };
            if !wants || !may {
                return;
            }
            match self.create() {
                Ok(slot) => {
                    let mut state = self.lock();
                    state.free.push_back(slot);
                    state.no_room = false;
                }
                Err(error) => {
                    let mut state = self.lock();
                    state.wants_image |= state.can_reclaim();
                    let text = format!("no room for another segment: {error}");
                    state.events.push(EngineEvent::DiskFull(text));
                    return;
                }
            }
        }
    }

    /// An image is on disk, and what is before it is not needed any more. Says whether it is.
    pub(super) fn keep(&self, image: Image) -> bool {
        let place = image.place;
        let bytes = image.encode();
        let kept = self.put(&bytes);
        let mut state = self.lock();
        state.image_on = false;
        match kept {
            Ok(()) => {
                state.image_bytes = bytes.len() as u64;
                self.reclaim(&mut state, place);
                true
            }
            Err(error) => {
                // What there was stays; the log is only longer to read.
                let text = format!("what is known of the queues can't be kept: {error}");
                state.events.push(EngineEvent::DiskFull(text));
                false
            }
        }
    }

    /// Twice, so that one may be damaged. Where there is no room, a free segment makes some.
    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        for name in super::image::FILES {
            let put = self.disk.put(name, bytes);
            match put {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    let free = self.lock().free.pop_back();
                    let slot = free.ok_or(error)?;
                    self.disk.remove(slot)?;
                    self.lock().unmade.push(slot);
                    self.disk.put(name, bytes)?;
                }
                other => other?,
            }
        }
        Ok(())
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
                true => state.free.push_back(slot),
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
            state.wants_image = false;
            log.place().map(|it| Image::take(&mut state, it, self.salt))
        };
        if self.options.durability != Durability::Sync
            && let Err(error) = log.sync()
        {
            let mut state = self.lock();
            state.image_on = false;
            return self.fail(&mut state, &error);
        }
        drop(log);
        if let Some(image) = image {
            self.keep(image);
        }
    }
}

type Tell = tokio::sync::oneshot::Sender<super::Told>;

fn tells(thens: Vec<Then>) -> Vec<Tell> {
    let tells = thens.into_iter().filter_map(|it| match it {
        Then::Tell(tell) => Some(tell),
        _ => None,
    });
    tells.collect()
}

fn tell_all(tells: Vec<Tell>) {
    for tell in tells {
        let _nobody_waits = tell.send(Ok(()));
    }
}

/// All that a queue has.
pub(super) fn handles(queue: &plimsoll_policy::queue::Queue) -> Vec<Handle> {
    let mut handles = queue.in_places(|_| true, usize::MAX);
    let leased = queue.peek(Which::Leased, 0, usize::MAX);
    handles.extend(leased.iter().map(|it| it.handle));
    handles
}
