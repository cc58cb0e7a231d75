//! What is asked of queues.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_policy::queue::{
    Arriving, Delivery, Handle, Millis, Nacked, PRIORITIES, Queue, QueueEvent, QueueFigures, Which,
};
use tokio::sync::Notify;

use super::message::{id_of, key_of, short_key_of};
use super::{
    CommitError, DEAD_BYTES, Definition, Durable, Engine, EngineEvent, Entry, Head, Message,
    PENDING_MAX, QueueCounts, RESERVE, Receipt, Received, Refused, State, Then, seed_of,
};
use crate::log::{self, Published, Record, What};

/// How many messages are delivered at once.
pub(super) const RECEIVE_MAX: usize = 100;
/// How many queues there may be.
const QUEUES_MAX: usize = 10_000;
/// How long a message may be out, or wait.
const TIME_MAX: Duration = Duration::from_hours(12);
/// What a head may take beside the body.
const HEAD_MAX: usize = 256 << 10;

/// A message that was taken in.
#[derive(Debug)]
#[must_use]
pub struct Taken {
    /// What it is called; that of the first one, where it is the same.
    pub id: String,
    /// In order of publication, over all queues.
    pub sequence: u64,
    /// It is there once this is.
    pub durable: Durable,
}

impl Engine {
    /// Makes a queue, or gives it other settings.
    ///
    /// # Errors
    /// It can't be called so, or there are too many.
    pub fn define(&self, definition: Definition) -> Result<Durable, Refused> {
        let mut state = self.lock();
        let state = &mut *state;
        self.can_write(state)?;
        self.define_in(state, definition)?;
        Ok(state.tell())
    }

    pub(super) fn define_in(
        &self,
        state: &mut State,
        mut definition: Definition,
    ) -> Result<u32, Refused> {
        let name = definition.name.clone();
        if !Definition::is_name(&name) {
            return Err(Refused::Invalid(format!(
                "`{name}` is no name of a queue: 1 to 80 letters, digits, `_` and `-`, and `.fifo` at the end for an ordered one"
            )));
        }
        let known = state.names.get(&name).copied();
        if known.is_none() && state.queues.len() >= QUEUES_MAX {
            return Err(Refused::Full(format!(
                "there are {QUEUES_MAX} queues already"
            )));
        }
        if let Some(dead) = &definition.settings.dead_letters
            && !Definition::is_name(dead)
        {
            return Err(Refused::Invalid(format!(
                "`{dead}`, where dead letters go, is no name of a queue"
            )));
        }
        let now = self.now(state);
        let number = known.unwrap_or(state.next_queue);
        definition.changed = now.0;
        let text =
            serde_json::to_vec(&definition).map_err(|error| Refused::Invalid(error.to_string()))?;
        match state.queues.get_mut(&number) {
            Some(entry) => {
                entry.queue.set_parameters(definition.parameters());
                entry.definition = definition;
            }
            None => {
                state.next_queue = number + 1;
                let queue = Queue::new(definition.parameters(), seed_of(self.options.seed, number));
                state.names.insert(name, number);
                state.queues.insert(number, Entry::new(definition, queue));
            }
        }
        state.append(
            self.salt32(),
            &Record {
                queue: number,
                what: What::Defined(&text),
            },
        );
        Ok(number)
    }

    /// Takes a queue away, with all that is in it.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn remove(&self, name: &str) -> Result<Durable, Refused> {
        let mut state = self.lock();
        let state = &mut *state;
        let number = self.number(state, name)?;
        self.can_write(state)?;
        state.names.remove(name);
        let record = Record {
            queue: number,
            what: What::Removed,
        };
        state.append(self.salt32(), &record);
        // What is in it lets go of its segments once that is durable.
        state.thens.push(Then::Removed(number));
        Ok(state.tell())
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// There is no such queue, no room, or it can't be so.
    pub fn publish(&self, name: &str, message: &Message) -> Result<Taken, Refused> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let number = self.number(state, name)?;
        let now = self.now(state);
        self.has_room(state)?;
        let salt = self.id_salt;
        let Some(entry) = state.queues.get(&number) else {
            return Err(Refused::NoQueue(name.to_owned()));
        };
        let settings = &entry.definition.settings;
        let Message {
            body,
            head,
            delay,
            priority,
            tenant,
        } = message;
        let text = head.write();
        let max = usize::try_from(settings.message_bytes_max).unwrap_or(usize::MAX);
        if body.len() > max || text.len() > HEAD_MAX {
            return Err(Refused::Invalid(format!(
                "the message has {} bytes: at most {max} are taken, and {HEAD_MAX} beside it",
                body.len()
            )));
        }
        if *priority >= PRIORITIES {
            return Err(Refused::Invalid(format!(
                "priority {priority}: expected 0 to {}",
                PRIORITIES - 1
            )));
        }
        let group = head.group.as_deref().map(|it| key_of(it.as_bytes()));
        let dedup = match &head.dedup {
            Some(key) => Some(key_of(key.as_bytes())),
            None if settings.dedup_by_body => Some(key_of(body)),
            None => None,
        };
        if let Some(key) = dedup {
            let arriving = state.arriving_keys.get(&(number, key)).copied();
            let known = entry.queue.duplicate_of(now, key);
            let first = arriving.or_else(|| known.map(|it| self.number_of(it, key).unwrap_or(0)));
            if let Some(sequence) = first {
                if let Some(entry) = state.entry(number) {
                    entry.counts.duplicates += 1;
                }
                return Ok(Taken {
                    id: id_of(salt, sequence),
                    sequence,
                    durable: state.tell(),
                });
            }
        }
        let delay = delay.unwrap_or(settings.delay);
        if delay > entry.definition.settings.retention {
            return Err(Refused::Invalid(
                "the delay is longer than messages are kept".to_owned(),
            ));
        }
        let id = state.next_id;
        let published = Published {
            id,
            at: now,
            due: if delay.is_zero() {
                Millis(0)
            } else {
                now + delay
            },
            priority: *priority,
            tenant: tenant
                .as_deref()
                .map_or(0, |it| short_key_of(it.as_bytes())),
            group,
            dedup,
            head: &text,
            body,
            ..Published::default()
        };
        let room = published.room();
        if room + DEAD_BYTES > self.options.log().record_max() {
            return Err(Refused::Invalid(format!("the message takes {room} bytes")));
        }
        let fits = entry.queue.admit(room as u64);
        fits.and_then(|()| group.map_or(Ok(()), |group| entry.queue.admit_group(group)))
            .map_err(|it| Refused::Full(it.to_string()))?;
        state.next_id += 1;
        if let Some(key) = dedup {
            state.arriving_keys.insert((number, key), id);
        }
        self.append_published(state, number, &published);
        Ok(Taken {
            id: id_of(salt, id),
            sequence: id,
            durable: state.tell(),
        })
    }

    /// A message comes with the next batch.
    pub(super) fn append_published(
        &self,
        state: &mut State,
        queue: u32,
        published: &Published<'_>,
    ) {
        let arriving = Arriving {
            handle: Handle(0),
            at: published.at,
            due: published.due,
            priority: published.priority,
            tenant: published.tenant,
            group: published.group,
            dedup: published.dedup,
        };
        let what = What::Published(published.clone());
        let (offset, room) = state.append(self.salt32(), &Record { queue, what });
        state.thens.push(Then::Publish {
            queue,
            offset,
            room,
            arriving,
            replaces: published.replaces.map(|(_, handle)| handle),
        });
    }

    /// Delivers messages, to whoever asks: at most so many. Each is leased for as long as is asked for, or as the queue says.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn receive(
        &self,
        name: &str,
        wanted: usize,
        lease: Option<Duration>,
    ) -> Result<Vec<Received>, Refused> {
        let (number, now, deliveries) = {
            let mut state = self.lock();
            let state = &mut *state;
            let number = self.number(state, name)?;
            let now = self.now(state);
            let mut deliveries = Vec::new();
            let wanted = wanted.min(RECEIVE_MAX);
            if let Some(entry) = state.entry(number) {
                let lease = lease.map(|it| it.min(TIME_MAX));
                entry.queue.receive(now, wanted, lease, &mut deliveries);
                entry.counts.delivered += deliveries.len() as u64;
            }
            for it in &deliveries {
                let what = What::Leased {
                    handle: it.handle,
                    attempts: u16::try_from(it.attempt).unwrap_or(u16::MAX),
                    token: it.token,
                    until: it.until,
                };
                let queue = number;
                state.append(self.salt32(), &Record { queue, what });
            }
            (number, now, deliveries)
        };
        let mut received = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match self.received(number, &delivery) {
                Ok(Some(it)) => received.push(it),
                Ok(None) => self.give_up(number, now, delivery.handle, delivery.token),
                // It is there still: it comes again when its lease is over.
                Err(error) => self.tell_unread(name, &error),
            }
        }
        Ok(received)
    }

    /// `None`: what is there has changed, or is another.
    fn received(&self, queue: u32, delivery: &Delivery) -> io::Result<Option<Received>> {
        let Delivery {
            handle,
            attempt,
            token,
            until,
            ..
        } = *delivery;
        let bytes = self.read(handle)?;
        let Some(message) = log::read_published(&bytes, self.salt32()) else {
            return Ok(None);
        };
        let receipt = Receipt {
            queue,
            handle,
            token,
        };
        let head = Head::read(message.head);
        Ok(Some(Received {
            id: id_of(self.id_salt, message.id),
            receipt,
            attempt,
            at: message.at,
            until,
            sequence: message.id,
            head,
            body: message.body.to_vec(),
        }))
    }

    /// The bytes of a record.
    pub(super) fn read(&self, handle: Handle) -> io::Result<Vec<u8>> {
        let (slot, offset, room) = log::place_of(handle);
        let mut bytes = vec![0; room];
        self.disk.read(slot, offset, &mut bytes)?;
        Ok(bytes)
    }

    fn tell_unread(&self, name: &str, error: &io::Error) {
        let text = format!("a message of {name} can't be read for now: {error}");
        self.lock().events.push(EngineEvent::Lost(text));
    }

    /// The number of the message with this key that is there, or was; 0 is nobody's.
    fn number_of(&self, handle: Handle, key: u128) -> Option<u64> {
        let bytes = self.read(handle).ok()?;
        let message = log::read_published(&bytes, self.salt32())?;
        (message.dedup == Some(key)).then_some(message.id)
    }

    /// A message can't be read any more: it is in nobody's way.
    fn give_up(&self, number: u32, now: Millis, handle: Handle, token: u32) {
        let mut state = self.lock();
        let Some(entry) = state.entry(number) else {
            return;
        };
        let name = entry.definition.name.clone();
        if entry.queue.on_ack(now, handle, token).is_ok() {
            wake(entry);
            self.append_settled(&mut state, number, handle);
        }
        let (slot, offset, _) = log::place_of(handle);
        state.events.push(EngineEvent::Lost(format!(
            "a message of {name} can't be read: segment {slot} at {offset}"
        )));
    }

    pub(super) fn append_settled(&self, state: &mut State, queue: u32, handle: Handle) {
        let what = What::Settled(handle);
        state.append(self.salt32(), &Record { queue, what });
        state.thens.push(Then::Settled(handle));
    }

    /// A message is done with: once that is durable, nobody gets it again.
    ///
    /// # Errors
    /// Its lease ran out, or it was settled.
    pub fn ack(&self, receipt: Receipt) -> Result<Durable, Refused> {
        let Receipt {
            queue,
            handle,
            token,
        } = receipt;
        let mut state = self.lock();
        let state = &mut *state;
        self.can_write(state)?;
        let now = self.now(state);
        let entry = state.entry(queue).ok_or(Refused::NotLeased)?;
        let done = entry.queue.on_ack(now, handle, token);
        done.map_err(|_| Refused::NotLeased)?;
        entry.counts.acknowledged += 1;
        wake(entry);
        self.append_settled(state, queue, handle);
        Ok(state.tell())
    }

    /// A message was not done: it is delivered again after this time, or after a wait that grows with each attempt.
    ///
    /// # Errors
    /// Its lease ran out, or it was settled.
    pub fn nack(&self, receipt: Receipt, delay: Option<Duration>) -> Result<(), Refused> {
        let Receipt {
            queue,
            handle,
            token,
        } = receipt;
        let mut state = self.lock();
        let now = self.now(&mut state);
        let entry = state.entry(queue).ok_or(Refused::NotLeased)?;
        let delay = delay.map(|it| it.min(TIME_MAX));
        let nacked = entry.queue.on_nack(now, handle, token, delay);
        match nacked.map_err(|_| Refused::NotLeased)? {
            Nacked::Returned { due, attempts } => {
                entry.counts.returned += 1;
                wake(entry);
                self.append_returned(&mut state, queue, handle, attempts, due);
            }
            Nacked::Dead { attempts } => {
                state.between += 1;
                drop(state);
                self.bury(queue, handle, attempts, "it was given back too often");
            }
        }
        Ok(())
    }

    pub(super) fn append_returned(
        &self,
        state: &mut State,
        queue: u32,
        handle: Handle,
        attempts: u32,
        due: Millis,
    ) {
        let what = What::Returned {
            handle,
            attempts: u16::try_from(attempts).unwrap_or(u16::MAX),
            due,
        };
        state.append(self.salt32(), &Record { queue, what });
    }

    /// A message is out for this long from now on; zero: it is delivered again at once.
    ///
    /// # Errors
    /// Its lease ran out, or it was settled.
    pub fn extend(&self, receipt: Receipt, lease: Duration) -> Result<(), Refused> {
        let Receipt {
            queue,
            handle,
            token,
        } = receipt;
        let mut state = self.lock();
        let now = self.now(&mut state);
        let entry = state.entry(queue).ok_or(Refused::NotLeased)?;
        let lease = lease.min(TIME_MAX);
        let extended = entry.queue.on_extend(now, handle, token, lease);
        let until = extended.map_err(|_| Refused::NotLeased)?;
        let attempts = entry.queue.attempts_of(handle);
        let what = What::Leased {
            handle,
            attempts: u16::try_from(attempts).unwrap_or(u16::MAX),
            token,
            until,
        };
        state.append(self.salt32(), &Record { queue, what });
        drop(state);
        if lease.is_zero() {
            let _next = self.tick();
        }
        Ok(())
    }

    /// Takes all messages of a queue away that nobody has.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn purge(&self, name: &str) -> Result<Durable, Refused> {
        let mut state = self.lock();
        let state = &mut *state;
        let queue = self.number(state, name)?;
        self.can_write(state)?;
        let what = What::Purged;
        state.append(self.salt32(), &Record { queue, what });
        state.thens.push(Then::Purged(queue));
        Ok(state.tell())
    }

    /// Delivers nothing of a queue for now, or goes on.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn pause(&self, name: &str, paused: bool) -> Result<Durable, Refused> {
        let mut state = self.lock();
        let state = &mut *state;
        let queue = self.number(state, name)?;
        self.can_write(state)?;
        if let Some(entry) = state.entry(queue) {
            entry.queue.pause(paused);
            wake(entry);
        }
        let what = What::Paused(paused);
        state.append(self.salt32(), &Record { queue, what });
        Ok(state.tell())
    }

    /// What time has brought: leases that ran out, delays that are over, messages that are too old. Says when it is due again.
    pub fn tick(&self) -> Option<Millis> {
        let mut dead = Vec::new();
        let next = {
            let mut state = self.lock();
            let state = &mut *state;
            let now = self.now(state);
            let mut all = Vec::new();
            let mut next = None;
            for (number, entry) in &mut state.queues {
                let mut events = Vec::new();
                entry.queue.on_tick(now, &mut events);
                for event in &events {
                    match event {
                        QueueEvent::Returned { .. } => entry.counts.returned += 1,
                        QueueEvent::Expired { .. } => entry.counts.expired += 1,
                        // Counted once it is where dead letters go.
                        QueueEvent::Dead { .. } => (),
                    }
                }
                wake(entry);
                let due = entry.queue.next_timeout();
                next = [next, due].into_iter().flatten().min();
                all.extend(events.into_iter().map(|it| (*number, it)));
            }
            for (queue, event) in all {
                match event {
                    QueueEvent::Returned {
                        handle,
                        attempts,
                        due,
                    } => self.append_returned(state, queue, handle, attempts, due),
                    QueueEvent::Expired { handle } => self.append_settled(state, queue, handle),
                    QueueEvent::Dead { handle, attempts } => dead.push((queue, handle, attempts)),
                }
            }
            state.between += dead.len();
            next
        };
        for (queue, handle, attempts) in dead {
            self.bury(queue, handle, attempts, "nobody was done with it in time");
        }
        next
    }

    /// The system's time, which may go back.
    pub fn wall(&self) -> Millis {
        (self.clock)()
    }

    /// The log's own time.
    pub fn clock(&self) -> Millis {
        self.now(&mut self.lock())
    }

    /// Messages as they are, without a lease.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn peek(
        &self,
        name: &str,
        which: Which,
        skip: usize,
        max: usize,
    ) -> Result<Vec<Received>, Refused> {
        let (number, peeked) = {
            let mut state = self.lock();
            let state = &mut *state;
            let number = self.number(state, name)?;
            let entry = state.entry(number);
            let peeked = entry.map(|it| it.queue.peek(which, skip, max.min(RECEIVE_MAX)));
            (number, peeked.unwrap_or_default())
        };
        let received = peeked.iter().filter_map(|it| {
            let delivery = Delivery {
                handle: it.handle,
                attempt: it.attempts,
                token: 0,
                until: it.due,
                group: it.group,
            };
            self.received(number, &delivery).ok().flatten()
        });
        Ok(received.collect())
    }

    /// What a queue is, and how it stands.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn look(&self, name: &str) -> Result<(Definition, QueueFigures), Refused> {
        let mut state = self.lock();
        let state = &mut *state;
        let number = self.number(state, name)?;
        let now = self.now(state);
        let entry = state.entry(number);
        let entry = entry.ok_or_else(|| Refused::NoQueue(name.to_owned()))?;
        Ok((entry.definition.clone(), entry.queue.figures(now)))
    }

    /// The names of all queues, in order.
    pub fn names(&self) -> Vec<String> {
        let state = self.lock();
        let mut names: Vec<String> = state.names.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Is told when a queue may have something ready.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn ready(&self, name: &str) -> Result<Arc<Notify>, Refused> {
        let mut state = self.lock();
        let number = self.number(&state, name)?;
        let entry = state.entry(number);
        entry
            .map(|it| Arc::clone(&it.ready))
            .ok_or_else(|| Refused::NoQueue(name.to_owned()))
    }

    /// Which queue a receipt is of.
    pub fn queue_of(&self, receipt: Receipt) -> Option<String> {
        let mut state = self.lock();
        Some(state.entry(receipt.queue)?.definition.name.clone())
    }

    /// What people should know since this was last asked.
    pub fn events(&self) -> Vec<EngineEvent> {
        std::mem::take(&mut self.lock().events)
    }

    pub(super) fn number(&self, state: &State, name: &str) -> Result<u32, Refused> {
        let number = state.names.get(name).copied();
        number.ok_or_else(|| Refused::NoQueue(name.to_owned()))
    }

    pub(super) fn can_write(&self, state: &State) -> Result<(), Refused> {
        match (&state.failed, state.closing) {
            (Some(why), _) => Err(CommitError::Disk(Arc::clone(why)).into()),
            (None, true) => Err(CommitError::Closed.into()),
            (None, false) => Ok(()),
        }
    }

    /// Whether there is room for more messages; what settles them has some in reserve.
    pub(super) fn has_room(&self, state: &State) -> Result<(), Refused> {
        self.can_write(state)?;
        if state.pending() > PENDING_MAX.min(state.batch_max / 4) {
            return Err(Refused::Full(
                "more comes than the disk takes: come again in a moment".to_owned(),
            ));
        }
        if state.free.len() <= RESERVE {
            return Err(Refused::Full(
                "there is no room on the disk for more messages: let consumers catch up, purge, or raise queues.disk_max"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

impl Entry {
    pub(super) fn new(definition: Definition, queue: Queue) -> Self {
        Self {
            definition,
            queue,
            ready: Arc::new(Notify::new()),
            counts: QueueCounts::default(),
        }
    }
}

/// Whoever waits looks again.
pub(super) fn wake(entry: &Entry) {
    if entry.queue.has_ready() {
        entry.ready.notify_waiters();
    }
}
