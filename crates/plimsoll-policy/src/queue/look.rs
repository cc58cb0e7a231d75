//! Looking at a queue without changing it: figures, what stands where, what it costs.

use std::collections::HashSet;

use super::group::{Group, Waiting};
use super::lane::{Lane, LaneKey, Next};
use super::line::Place;
use super::message::{Lease, Message, Note};
use super::{Handle, Millis, Queue};

/// A queue in figures.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Messages that wait for a receiver, with those that wait behind another of their group.
    pub ready: u64,
    /// Messages that are not due yet, as published or after a backoff.
    pub delayed: u64,
    /// Messages that are leased.
    pub in_flight: u64,
    /// Room in the log of all of them.
    pub bytes: u64,
    /// When the oldest ready one was published, by the fronts of lanes and groups.
    pub oldest: Option<Millis>,
    /// Groups with messages.
    pub groups: u64,
    /// Groups of which messages wait that cannot be delivered.
    pub groups_blocked: u64,
    /// Tenants with something to deliver.
    pub tenants: u64,
    /// Nothing is delivered.
    pub paused: bool,
    /// Deduplication keys remembered.
    pub dedup_keys: u64,
}

/// Which messages to look at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that wait for a receiver.
    Ready,
    /// Those that are not due yet.
    Delayed,
    /// Those that a receiver has.
    Leased,
}

/// A message as it was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// Where it is.
    pub handle: Handle,
    /// When it was published.
    pub at: Millis,
    /// From when on it may be delivered; for a leased one the end of its lease.
    pub due: Millis,
    /// Deliveries so far.
    pub attempts: u32,
    /// Its group.
    pub group: Option<u128>,
}

impl Peeked {
    fn new(message: &Message, due: Millis) -> Self {
        Self {
            handle: message.handle,
            at: message.at,
            due,
            attempts: message.attempts,
            group: message.group(),
        }
    }
}

impl Queue {
    /// What it holds, in figures. Takes a pass over lanes and groups, not over messages.
    pub fn figures(&self, now: Millis) -> QueueFigures {
        let in_flight = self.leases.len() as u64;
        let delayed = (self.delayed.len() + self.backoffs.len()) as u64;
        let lanes = self.lanes.iter().filter_map(|(_, lane)| lane.oldest());
        // The order does not matter to a least one and to a count.
        let lines = self.groups.values().filter(|group| group.backoff.is_none());
        let heads = lines.filter_map(|group| group.line.front().map(|head| head.at));
        let blocked = |group: &&Group| group.turn.is_none() && !group.line.is_empty();
        let tenants: HashSet<_> = self.lanes.iter().map(|(key, _)| key.tenant).collect();
        QueueFigures {
            ready: self.messages.saturating_sub(in_flight + delayed),
            delayed,
            in_flight,
            bytes: self.bytes,
            oldest: lanes.chain(heads).min().filter(|&at| at <= now),
            groups: self.groups.len() as u64,
            groups_blocked: self.groups.values().filter(blocked).count() as u64,
            tenants: tenants.len() as u64,
            paused: self.paused,
            dedup_keys: self.dedup.len() as u64,
        }
    }

    /// Up to `max` messages after the first `skip`, roughly in the order in which they would go: priority by priority,
    /// tenants in turns, and of each group its head; after all that the others of groups.
    pub fn peek(&self, which: Which, skip: usize, max: usize) -> Vec<Peeked> {
        match which {
            Which::Ready => self.peek_ready(skip, max),
            Which::Delayed => {
                let delayed = self.delayed.iter();
                let delayed = delayed.map(|(&(due, _), message)| Peeked::new(message, due));
                let heads = self.backoffs.iter().filter_map(|&(due, name)| {
                    let head = self.groups.get(&name)?.line.front()?;
                    Some(Peeked::new(&head.message(name), due))
                });
                delayed.chain(heads).skip(skip).take(max).collect()
            }
            Which::Leased => {
                let leases = self.lease_ends.iter();
                let leases = leases.filter_map(|(_, handle)| self.leases.get(handle));
                let leases = leases.map(|lease| Peeked::new(&lease.message, lease.until));
                leases.skip(skip).take(max).collect()
            }
        }
    }

    /// How often a message that is leased was delivered; 0: it is not leased.
    pub fn attempts_of(&self, handle: Handle) -> u32 {
        self.leases.get(&handle).map_or(0, |it| it.message.attempts)
    }

    /// Up to `max` handles of messages that are not leased, for which this holds.
    pub fn in_places(&self, is_there: impl Fn(Handle) -> bool, max: usize) -> Vec<Handle> {
        let lanes = self.lanes.iter().flat_map(|(_, lane)| lane_handles(lane));
        let names = self.group_names();
        let groups = names.iter().filter_map(|name| self.groups.get(name));
        let lines = groups.flat_map(|group| group.line.iter().map(|waiting| waiting.handle));
        let delayed = self.delayed.values().map(|message| message.handle);
        let all = lanes.chain(lines).chain(delayed);
        all.filter(|&handle| is_there(handle)).take(max).collect()
    }

    /// What it takes of memory beside itself; trees by an estimate.
    pub fn heap_bytes(&self) -> usize {
        // A B-tree's nodes are two thirds full on the average.
        let tree = |entries: usize, size: usize| entries * size * 3 / 2;
        let lines = self.groups.values();
        let lines: usize = lines
            .map(|group| group.line.capacity() * size_of::<Waiting>())
            .sum();
        self.lanes.heap_bytes()
            + self.notes.capacity() * (size_of::<(Handle, Note)>() + 1)
            + self.groups.capacity() * (size_of::<(u128, Group)>() + 1)
            + lines
            + self.leases.capacity() * (size_of::<(Handle, Lease)>() + 1)
            + tree(self.lease_ends.len(), size_of::<(Millis, Handle)>())
            + tree(self.delayed.len(), size_of::<((Millis, u64), Message)>())
            + tree(self.delayed_too_long.len(), 24)
            + tree(self.backoffs.len(), size_of::<(Millis, u128)>())
            + tree(self.bounds.len(), size_of::<(Millis, Place)>())
            + tree(self.paused_groups.len(), size_of::<u128>())
            + self.dedup.heap_bytes()
    }

    fn peek_ready(&self, skip: usize, max: usize) -> Vec<Peeked> {
        let mut found = Vec::new();
        let mut left = skip;
        let mut take = |peeked: Peeked| {
            if left > 0 {
                left -= 1;
            } else if found.len() < max {
                found.push(peeked);
            }
            found.len() < max
        };
        for lanes in self.lanes.by_priority() {
            let mut lanes: Vec<_> = lanes
                .into_iter()
                .map(|(key, lane)| (key, lane.iter()))
                .collect();
            while !lanes.is_empty() {
                let mut go_on = true;
                lanes.retain_mut(|(key, lane)| {
                    let next = lane.next();
                    let peeked = next.and_then(|next| self.peek_next(*key, next));
                    if go_on && let Some(peeked) = peeked {
                        go_on = take(peeked);
                    }
                    next.is_some()
                });
                if !go_on {
                    return found;
                }
            }
        }
        for name in self.group_names() {
            let Some(group) = self.groups.get(&name) else {
                continue;
            };
            let ahead = usize::from(group.turn.is_some() || group.backoff.is_some());
            for waiting in group.line.iter().skip(ahead) {
                let message = waiting.message(name);
                if !take(Peeked::new(&message, message.since)) {
                    return found;
                }
            }
        }
        found
    }

    fn peek_next(&self, key: LaneKey, next: Next) -> Option<Peeked> {
        let message = match next {
            Next::Message(handle, at) => {
                let note = self.notes_of(handle, at);
                Message {
                    handle,
                    at,
                    since: note.since,
                    tenant: key.tenant,
                    group: None,
                    attempts: note.attempts,
                    priority: key.priority,
                }
            }
            Next::Group(name) => self.groups.get(&name)?.line.front()?.message(name),
        };
        Some(Peeked::new(&message, message.since))
    }
}

fn lane_handles(lane: &Lane) -> impl Iterator<Item = Handle> {
    let returned = lane.returned().iter().map(|&(handle, _)| handle);
    returned.chain(lane.run().iter().map(|(_, handle, _)| handle))
}
