//! Messages that go from one queue to another: dead letters, and the way back.
//!
//! What is moved is written anew, and its record says what it replaces: so that it is in one of both whenever the power goes. Between two
//! locks it is in neither, and no image may be taken (`State::between`).

use std::time::Duration;

use plimsoll_policy::queue::{Arriving, Handle, Millis};

use super::message::id_of;
use super::operate::RECEIVE_MAX;
use super::{DeadReason, Definition, Durable, Engine, EngineEvent, Head, Refused, State};
use crate::log::{self, Published};

impl Engine {
    /// A message is a dead letter: it goes to the queue of those, with what is known of it.
    pub(super) fn bury(&self, queue: u32, handle: Handle, attempts: u32, why: &str) {
        let bytes = self.read(handle);
        let mut guard = self.lock();
        let state = &mut *guard;
        state.between -= 1;
        let now = self.now(state);
        let Some(entry) = state.queues.get(&queue) else {
            return state.count(handle, false);
        };
        let name = entry.definition.name.clone();
        let to = entry.definition.dead_letters();
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = format!("a message of {name} can't be read for now: {error}");
                return self.put_back(state, queue, handle, None, why);
            }
        };
        let Some(message) = log::read_published(&bytes, self.salt32()) else {
            self.append_settled(state, queue, handle);
            let (slot, offset, _) = log::place_of(handle);
            return state.events.push(EngineEvent::Lost(format!(
                "a dead letter of {name} can't be read: segment {slot} at {offset}"
            )));
        };
        let target = match state.names.get(&to) {
            _ if to == name => Err(Refused::Invalid("they go to their own queue".to_owned())),
            Some(number) => Ok(*number),
            None => {
                let mut definition = Definition::new(&to, now);
                definition.settings.attempts_max = 0;
                definition.settings.retention = Duration::from_hours(14 * 24);
                self.define_in(state, definition)
            }
        };
        let target = target.and_then(|it| self.has_room(state).map(|()| it));
        let target = match target {
            Ok(target) => target,
            Err(refused) => {
                let why = format!("a dead letter of {name} stays where it is for now: {refused}");
                return self.put_back(state, queue, handle, Some(&message), why);
            }
        };
        let mut head = Head::read(message.head);
        let id = id_of(self.id_salt, message.id);
        head.dead = Some(DeadReason {
            queue: name.clone(),
            attempts,
            at: now.0,
            why: why.to_owned(),
            id: id.clone(),
        });
        let text = head.write();
        let moved = Published {
            due: Millis(0),
            dedup: None,
            replaces: Some((queue, handle)),
            head: &text,
            ..message
        };
        self.append_published(state, target, &moved);
        if let Some(entry) = state.entry(queue) {
            entry.counts.dead += 1;
        }
        state.events.push(EngineEvent::Dead {
            queue: name,
            to,
            id,
            attempts,
        });
    }

    /// A message that was taken from its queue stays where it is, and is tried again after the longest wait.
    fn put_back(
        &self,
        state: &mut State,
        queue: u32,
        handle: Handle,
        message: Option<&Published<'_>>,
        why: String,
    ) {
        let now = self.now(state);
        let Some(entry) = state.queues.get_mut(&queue) else {
            return state.count(handle, false);
        };
        let due = now + entry.definition.settings.backoff_max;
        let arriving = Arriving {
            handle,
            at: message.map_or(now, |it| it.at),
            due,
            priority: message.map_or(0, |it| it.priority),
            tenant: message.map_or(0, |it| it.tenant),
            group: message.and_then(|it| it.group),
            dedup: None,
        };
        entry.queue.on_published(now, arriving);
        self.append_returned(state, queue, handle, 0, due);
        state.events.push(EngineEvent::Lost(why));
    }

    /// Moves messages that are ready from one queue to another; without one, dead letters back to where they came from. Says how
    /// many. What comes from nowhere that is still there goes to the end of where it is.
    ///
    /// # Errors
    /// There is no such queue.
    pub fn redrive(
        &self,
        from: &str,
        to: Option<&str>,
        max: usize,
    ) -> Result<(usize, Durable), Refused> {
        let mut handles = Vec::new();
        let (source, target) = {
            let mut state = self.lock();
            let state = &mut *state;
            let source = self.number(state, from)?;
            let target = to.map(|it| self.number(state, it)).transpose()?;
            self.has_room(state)?;
            let now = self.now(state);
            if let Some(entry) = state.entry(source) {
                entry
                    .queue
                    .take_ready(now, max.min(RECEIVE_MAX), &mut handles);
            }
            state.between += handles.len();
            (source, target)
        };
        let read: Vec<_> = handles.iter().map(|it| (*it, self.read(*it))).collect();
        let mut state = self.lock();
        let state = &mut *state;
        state.between -= handles.len();
        let is_over = self.can_write(state);
        let now = self.now(state);
        for (handle, bytes) in &read {
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(error) => {
                    let why = format!("a message of {from} can't be read for now: {error}");
                    self.put_back(state, source, *handle, None, why);
                    continue;
                }
            };
            let Some(message) = log::read_published(bytes, self.salt32()) else {
                self.append_settled(state, source, *handle);
                let text = format!("a message of {from} can't be read");
                state.events.push(EngineEvent::Lost(text));
                continue;
            };
            let mut head = Head::read(message.head);
            let of = head.dead.as_ref();
            let of = of.and_then(|it| state.names.get(&it.queue)).copied();
            let target = target.or(of);
            if target.is_some() {
                head.dead = None;
            }
            let target = target.unwrap_or(source);
            let text = head.write();
            // It begins anew, or it would be too old at once.
            let moved = Published {
                at: now,
                due: Millis(0),
                dedup: None,
                replaces: Some((source, *handle)),
                head: &text,
                ..message
            };
            self.append_published(state, target, &moved);
        }
        is_over?;
        Ok((read.len(), state.tell()))
    }
}
