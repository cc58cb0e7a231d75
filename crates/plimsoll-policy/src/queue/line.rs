//! Lines: where a message stands, who is next, and what a change of one place means for the others.

use std::collections::BTreeSet;

use plimsoll_core::never;

use super::group::Waiting;
use super::handle::whole_millis;
use super::lane::{LaneKey, Next};
use super::message::{Lease, Message, Note};
use super::{Handle, Millis, NotLeased, Queue};

/// Where something may expire.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Lane(LaneKey),
    Group(u128),
}

impl Queue {
    /// Leases a message that is in no other place.
    pub(super) fn hold(&mut self, message: Message, token: u32, until: Millis) {
        if let Some(name) = message.group() {
            self.groups.entry(name).or_default().leased += 1;
            self.settle_group(name, false);
        }
        let handle = message.handle;
        self.lease_ends.insert((until, handle));
        let lease = Lease {
            message,
            token,
            until,
        };
        let other = self.leases.insert(handle, lease);
        never!(other.is_some());
    }

    /// Ends a lease. The message is in no place then, and its group does not go on before it is settled.
    pub(super) fn let_go(
        &mut self,
        handle: Handle,
        token: Option<u32>,
    ) -> Result<Message, NotLeased> {
        let lease = self.leases.get(&handle).ok_or(NotLeased)?;
        if token.is_some_and(|token| token != lease.token) {
            return Err(NotLeased);
        }
        let (message, until) = (lease.message, lease.until);
        self.leases.remove(&handle);
        self.lease_ends.remove(&(until, handle));
        if let Some(name) = message.group()
            && let Some(group) = self.groups.get_mut(&name)
        {
            group.leased = group.leased.saturating_sub(1);
        }
        Ok(message)
    }

    /// A message that is in no place is gone for good.
    pub(super) fn forget(&mut self, message: Message) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(message.handle.bytes());
        if let Some(name) = message.group() {
            self.settle_group(name, false);
        }
    }

    /// A message that was leased waits until `due`, before all others of its kind.
    pub(super) fn give_back(&mut self, now: Millis, message: Message, due: Millis) {
        let Some(name) = message.group() else {
            if due > now {
                self.delay(due, message);
            } else {
                self.line_up(message);
            }
            return;
        };
        let group = self.groups.entry(name).or_default();
        group.line.push_front(Waiting::new(&message));
        if due > now {
            // Two only if the log had two of a group leased.
            if let Some(other) = group.backoff.replace(due) {
                self.backoffs.remove(&(other, name));
            }
            self.backoffs.insert((due, name));
        }
        self.settle_group(name, true);
    }

    pub(super) fn delay(&mut self, due: Millis, message: Message) {
        let count = self.delayed_count;
        self.delayed_count += 1;
        if due > message.at + self.parameters.retention {
            self.delayed_too_long.insert((message.at, due, count));
        }
        self.delayed.insert((due, count), message);
    }

    /// Puts a message that may go where it stands in line: at the front if it was delivered before.
    pub(super) fn line_up(&mut self, message: Message) {
        if let Some(name) = message.group() {
            let group = self.groups.entry(name).or_default();
            group.line.push_back(Waiting::new(&message));
            self.settle_group(name, false);
            return;
        }
        let (handle, at, key) = (message.handle, message.at, message.lane());
        if message.attempts > 0 || message.since != at {
            let note = Note {
                attempts: message.attempts,
                since: message.since,
            };
            self.notes.insert(handle, note);
        }
        let lane = self.lanes.get_or_new(key);
        if message.attempts > 0 {
            lane.push_returned(handle, at);
        } else {
            lane.push(handle, at);
        }
        self.settle_lane(key);
    }

    /// Puts what is due by now in line, up to `max` messages and `max` groups.
    pub(super) fn promote(&mut self, now: Millis, max: usize) {
        for _ in 0..max {
            let Some(first) = self.delayed.first_entry() else {
                break;
            };
            let (due, count) = *first.key();
            if due > now {
                break;
            }
            let message = first.remove();
            self.delayed_too_long.remove(&(message.at, due, count));
            self.line_up(message);
        }
        for _ in 0..max {
            let Some(&(due, name)) = self.backoffs.first() else {
                break;
            };
            if due > now {
                break;
            }
            self.backoffs.pop_first();
            if let Some(group) = self.groups.get_mut(&name) {
                group.backoff = None;
            }
            self.settle_group(name, true);
        }
    }

    /// Makes a group's turn stand where it has to after a change; a group without messages is forgotten.
    pub(super) fn settle_group(&mut self, name: u128, first: bool) {
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        let blocked =
            group.leased > 0 || group.backoff.is_some() || self.paused_groups.contains(&name);
        let head = group.line.front().copied();
        let wanted = head.filter(|_| !blocked).map(|head| head.lane());
        let before = std::mem::replace(&mut group.turn, wanted);
        if head.is_none() && group.leased == 0 {
            let group = self.groups.remove(&name);
            if let Some(bound) = group.and_then(|group| group.bound) {
                self.bounds.remove(&(bound, Place::Group(name)));
            }
        } else {
            let oldest = head.map(|head| head.at);
            rebound(
                &mut self.bounds,
                &mut group.bound,
                oldest,
                Place::Group(name),
            );
        }
        if before == wanted {
            return;
        }
        if let Some(key) = before {
            if let Some(lane) = self.lanes.get_mut(key) {
                lane.remove_turn(name);
            }
            self.settle_lane(key);
        }
        if let Some(key) = wanted {
            let lane = self.lanes.get_or_new(key);
            if first {
                lane.push_turn_first(name);
            } else {
                lane.push_turn(name);
            }
            self.settle_lane(key);
        }
    }

    /// After a change of a lane: an empty one is forgotten.
    pub(super) fn settle_lane(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        if !lane.is_empty() {
            let oldest = lane.oldest();
            rebound(&mut self.bounds, &mut lane.bound, oldest, Place::Lane(key));
            return;
        }
        if let Some(bound) = lane.bound {
            self.bounds.remove(&(bound, Place::Lane(key)));
        }
        self.lanes.remove(key);
    }

    /// Takes the next message out of its line.
    pub(super) fn take_next(&mut self, now: Millis) -> Option<Message> {
        let key = self.choose(now)?;
        let next = self.lanes.pop(key)?;
        self.settle_lane(key);
        match next {
            Next::Message(handle, at) => {
                let note = self.notes_of(handle, at);
                if !self.notes.is_empty() {
                    self.notes.remove(&handle);
                }
                Some(Message {
                    handle,
                    at,
                    since: note.since,
                    tenant: key.tenant,
                    group: None,
                    attempts: note.attempts,
                    priority: key.priority,
                })
            }
            Next::Group(name) => {
                let group = self.groups.get_mut(&name)?;
                group.turn = None;
                let head = group.line.pop_front()?;
                Some(head.message(name))
            }
        }
    }

    /// The lane that gives the next message.
    fn choose(&self, now: Millis) -> Option<LaneKey> {
        let raise_after = whole_millis(self.parameters.raise_after);
        let mut best: Option<(u64, LaneKey)> = None;
        for (key, next) in self.lanes.candidates() {
            let since = match next {
                Next::Message(handle, at) => self.notes_of(handle, at).since,
                Next::Group(name) => {
                    let head = self.groups.get(&name).and_then(|group| group.line.front());
                    head.map_or(now, |head| head.since)
                }
            };
            let raised = whole_millis(now.since(since)).checked_div(raise_after);
            let rank = u64::from(key.priority).saturating_add(raised.unwrap_or(0));
            // The higher priority comes first, and keeps its place among equals.
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, key));
            }
        }
        best.map(|(_, key)| key)
    }

    pub(super) fn notes_of(&self, handle: Handle, at: Millis) -> Note {
        let plain = Note {
            attempts: 0,
            since: at,
        };
        if self.notes.is_empty() {
            return plain;
        }
        self.notes.get(&handle).copied().unwrap_or(plain)
    }
}

/// Lowers what the index has for a place to the age of what stands there now. A bound that is too low stays: it costs
/// one look at the place when it is reached.
fn rebound(
    bounds: &mut BTreeSet<(Millis, Place)>,
    bound: &mut Option<Millis>,
    oldest: Option<Millis>,
    place: Place,
) {
    let Some(oldest) = oldest else {
        return;
    };
    match *bound {
        Some(known) if known <= oldest => return,
        Some(known) => drop(bounds.remove(&(known, place))),
        None => {}
    }
    bounds.insert((oldest, place));
    *bound = Some(oldest);
}
