//! The machine: what happens to a queue and to the messages in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use plimsoll_core::never;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::dedup::Dedup;
use super::group::{Group, Waiting};
use super::handle::whole_millis;
use super::lane::{LaneKey, Lanes, Next};
use super::{Handle, Millis, NotLeased, QueueFull, QueueParameters};

/// Priorities are `0..PRIORITIES`; the greatest goes first.
pub const PRIORITIES: u8 = 10;
/// What one call takes over of each kind that is due. The rest is due still: `next_timeout` says so.
pub(super) const WORK_MAX: usize = 1_000;

/// A message that became durable.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Arriving {
    /// Where it is.
    pub handle: Handle,
    /// When it was published: now, as the log has it.
    pub at: Millis,
    /// From when on it may be delivered; what is not later than now is at once.
    pub due: Millis,
    /// Below [`PRIORITIES`]; what is above counts as the highest.
    pub priority: u8,
    /// Whose it is.
    pub tenant: u64,
    /// Messages of one group are delivered in order, one at a time.
    pub group: Option<u128>,
    /// The key by which a second publication of the same is known.
    pub dedup: Option<u128>,
}

/// A message that is leased to its receiver.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is.
    pub handle: Handle,
    /// How many times it was delivered, with this one.
    pub attempt: u32,
    /// What the receiver names to settle it; random, not zero.
    pub token: u32,
    /// When the lease ends.
    pub until: Millis,
    /// Its group.
    pub group: Option<u128>,
}

/// What became of a message that its receiver gave back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Nacked {
    /// It is ready again from `due` on.
    Returned {
        /// From when on.
        due: Millis,
        /// Deliveries so far.
        attempts: u32,
    },
    /// It had all its attempts and is not in this queue any more.
    Dead {
        /// Deliveries.
        attempts: u32,
    },
}

/// What time did to a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum QueueEvent {
    /// Its lease ran out, and it is ready again from `due` on.
    Returned {
        /// Where it is.
        handle: Handle,
        /// Deliveries so far.
        attempts: u32,
        /// From when on.
        due: Millis,
    },
    /// Its lease ran out and it had all its attempts: it is not in this queue any more.
    Dead {
        /// Where it is.
        handle: Handle,
        /// Deliveries.
        attempts: u32,
    },
    /// It was kept for as long as the queue keeps any, and is not in it any more.
    Expired {
        /// Where it is.
        handle: Handle,
    },
}

/// A group's name in two words, so that it takes no room for alignment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupName(u64, u64);

impl From<u128> for GroupName {
    fn from(name: u128) -> Self {
        Self((name >> 64) as u64, name as u64)
    }
}

impl From<GroupName> for u128 {
    fn from(name: GroupName) -> Self {
        (Self::from(name.0) << 64) | Self::from(name.1)
    }
}

/// All that is known of a message, where it does not stand in a lane.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) handle: Handle,
    /// When it was published.
    pub(super) at: Millis,
    /// When it became ready for the first time.
    pub(super) since: Millis,
    pub(super) tenant: u64,
    pub(super) group: Option<GroupName>,
    pub(super) attempts: u32,
    pub(super) priority: u8,
}

impl Message {
    pub(super) fn lane(&self) -> LaneKey {
        LaneKey {
            priority: self.priority,
            tenant: self.tenant,
        }
    }

    pub(super) fn group(&self) -> Option<u128> {
        self.group.map(u128::from)
    }
}

/// What a message in a lane has beside its handle and time, if anything.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) attempts: u32,
    pub(super) since: Millis,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Lease {
    pub(super) message: Message,
    pub(super) token: u32,
    pub(super) until: Millis,
}

/// Where something may expire.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Lane(LaneKey),
    Group(u128),
}

/// One durable queue.
#[derive(Debug)]
pub struct Queue {
    pub(super) parameters: QueueParameters,
    pub(super) random: Xoshiro256PlusPlus,
    /// In all states.
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) lanes: Lanes,
    pub(super) notes: HashMap<Handle, Note>,
    pub(super) groups: HashMap<u128, Group>,
    pub(super) leases: HashMap<Handle, Lease>,
    pub(super) lease_ends: BTreeSet<(Millis, Handle)>,
    /// By when they are due, then in the order in which they came.
    pub(super) delayed: BTreeMap<(Millis, u64), Message>,
    pub(super) delayed_count: u64,
    /// Of the delayed those that expire before they are due, by their age.
    pub(super) delayed_too_long: BTreeSet<(Millis, Millis, u64)>,
    /// Groups whose head came back and waits.
    pub(super) backoffs: BTreeSet<(Millis, u128)>,
    /// Each lane and group with messages once, at an age that none at its front exceeds.
    pub(super) bounds: BTreeSet<(Millis, Place)>,
    pub(super) dedup: Dedup,
    pub(super) paused: bool,
    pub(super) paused_groups: BTreeSet<u128>,
}

impl Queue {
    /// An empty queue. The seed is for tokens and jitter.
    pub fn new(parameters: QueueParameters, seed: u64) -> Self {
        Self {
            parameters,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            messages: 0,
            bytes: 0,
            lanes: Lanes::default(),
            notes: HashMap::new(),
            groups: HashMap::new(),
            leases: HashMap::new(),
            lease_ends: BTreeSet::new(),
            delayed: BTreeMap::new(),
            delayed_count: 0,
            delayed_too_long: BTreeSet::new(),
            backoffs: BTreeSet::new(),
            bounds: BTreeSet::new(),
            dedup: Dedup::default(),
            paused: false,
            paused_groups: BTreeSet::new(),
        }
    }

    /// Takes effect at once, except that a running lease and a running backoff keep their ends.
    pub fn set_parameters(&mut self, parameters: QueueParameters) {
        self.parameters = parameters;
        self.index_delayed_too_long();
    }

    /// What it is set to.
    pub fn parameters(&self) -> &QueueParameters {
        &self.parameters
    }

    /// Whether one more message of so many bytes fits; asked before anything is written.
    pub fn admit(&self, bytes: u64) -> Result<(), QueueFull> {
        let parameters = &self.parameters;
        if self.messages >= parameters.messages_max {
            let max = parameters.messages_max;
            return Err(QueueFull::Messages { max });
        }
        if self.bytes.saturating_add(bytes) > parameters.bytes_max {
            let max = parameters.bytes_max;
            return Err(QueueFull::Bytes { max });
        }
        Ok(())
    }

    /// Whether a message of this group would not make one group too many; asked before anything is written. Groups of
    /// which all messages are delayed do not count yet.
    pub fn admit_group(&self, group: u128) -> Result<(), QueueFull> {
        let max = self.parameters.groups_max;
        if self.groups.len() < max as usize || self.groups.contains_key(&group) {
            return Ok(());
        }
        Err(QueueFull::Groups { max })
    }

    /// The handle that the message with this key was published under within the window, if any; asked before anything
    /// is written. The message may have been settled or moved within the log since.
    pub fn duplicate_of(&self, now: Millis, key: u128) -> Option<Handle> {
        self.dedup.get(now, self.parameters.dedup_window, key)
    }

    /// A message is durable. The limits are not asked again: what was written is there.
    pub fn on_published(&mut self, now: Millis, arriving: Arriving) {
        // What is due before this one stands before it.
        self.promote(now, WORK_MAX);
        let Arriving {
            handle, at, due, ..
        } = arriving;
        if let Some(key) = arriving.dedup {
            self.dedup.insert(key, handle, at);
        }
        self.prune_dedup(now);
        self.count(handle);
        let message = Message {
            handle,
            at,
            since: at.max(due),
            tenant: arriving.tenant,
            group: arriving.group.map(GroupName::from),
            attempts: 0,
            priority: arriving.priority.min(PRIORITIES - 1),
        };
        if due > now {
            self.delay(due, message);
        } else {
            self.line_up(message);
        }
    }

    /// Leases up to `wanted` messages to who asks, `lease` long or as long as the queue's own.
    pub fn receive(
        &mut self,
        now: Millis,
        wanted: usize,
        lease: Option<Duration>,
        out: &mut Vec<Delivery>,
    ) {
        self.promote(now, WORK_MAX);
        if self.paused {
            return;
        }
        let until = now + lease.unwrap_or(self.parameters.lease);
        for _ in 0..wanted {
            if self.leases.len() >= self.parameters.in_flight_max as usize {
                return;
            }
            let Some(mut message) = self.take_next(now) else {
                return;
            };
            message.attempts = message.attempts.saturating_add(1);
            // Zero would be no token.
            let token = ((self.random.next_u64() >> 32) as u32).max(1);
            self.hold(message, token, until);
            out.push(Delivery {
                handle: message.handle,
                attempt: message.attempts,
                token,
                until,
                group: message.group(),
            });
        }
    }

    /// A receiver is done with a message: it is gone. Also if the lease is over, while nobody else has it.
    pub fn on_ack(&mut self, _now: Millis, handle: Handle, token: u32) -> Result<(), NotLeased> {
        let message = self.let_go(handle, Some(token))?;
        self.forget(message);
        Ok(())
    }

    /// A receiver gives a message back: to be ready again after `delay`, or after a backoff with full jitter.
    pub fn on_nack(
        &mut self,
        now: Millis,
        handle: Handle,
        token: u32,
        delay: Option<Duration>,
    ) -> Result<Nacked, NotLeased> {
        let message = self.let_go(handle, Some(token))?;
        let attempts = message.attempts;
        if self.is_dead(attempts) {
            self.forget(message);
            return Ok(Nacked::Dead { attempts });
        }
        let due = match delay {
            Some(delay) => now + delay,
            None => Millis(now.0.saturating_add(self.backoff(attempts))),
        };
        self.give_back(now, message, due);
        Ok(Nacked::Returned { due, attempts })
    }

    /// A receiver asks for its lease to end `lease` from now, and gets the new end. With zero the lease is over: the
    /// next tick, which is due at once, returns the message as any whose lease ran out, with no attempt counted for it.
    pub fn on_extend(
        &mut self,
        now: Millis,
        handle: Handle,
        token: u32,
        lease: Duration,
    ) -> Result<Millis, NotLeased> {
        let held = self.leases.get_mut(&handle).ok_or(NotLeased)?;
        if held.token != token {
            return Err(NotLeased);
        }
        self.lease_ends.remove(&(held.until, handle));
        held.until = now + lease;
        self.lease_ends.insert((held.until, handle));
        Ok(held.until)
    }

    /// Leases that ran out, delays that are over, retention: up to 1,000 of each, then [`Queue::next_timeout`] is not
    /// later than now.
    pub fn on_tick(&mut self, now: Millis, events: &mut Vec<QueueEvent>) {
        self.end_leases(now, events);
        self.promote(now, WORK_MAX);
        self.expire(now, events);
        self.prune_dedup(now);
    }

    /// When the next tick may have something to do; `None` while nothing is pending.
    pub fn next_timeout(&self) -> Option<Millis> {
        let lease = self.lease_ends.first().map(|&(until, _)| until);
        let delayed = self.delayed.first_key_value().map(|(&(due, _), _)| due);
        let backoff = self.backoffs.first().map(|&(due, _)| due);
        let all = [lease, delayed, backoff, self.next_expiry()];
        let next = all.into_iter().flatten().min()?;
        (next < Millis::NEVER).then_some(next)
    }

    /// Takes away everything that is not leased, and says how much that was. What is leased stays until it is settled.
    pub fn purge(&mut self) -> u64 {
        let before = self.messages;
        self.lanes.clear();
        self.notes.clear();
        self.delayed.clear();
        self.delayed_too_long.clear();
        self.backoffs.clear();
        self.bounds.clear();
        self.groups.retain(|_, group| group.leased > 0);
        for group in self.groups.values_mut() {
            *group = Group {
                leased: group.leased,
                ..Group::default()
            };
        }
        self.messages = self.leases.len() as u64;
        self.bytes = self.leases.keys().map(|handle| handle.bytes()).sum();
        before - self.messages
    }

    /// While paused nothing is delivered; all else goes on.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// While a group is paused nothing of it is delivered. False if as many groups are paused as may be.
    pub fn pause_group(&mut self, group: u128, paused: bool) -> bool {
        if !paused {
            self.paused_groups.remove(&group);
        } else if self.paused_groups.len() < self.parameters.groups_max as usize
            || self.paused_groups.contains(&group)
        {
            self.paused_groups.insert(group);
        } else {
            return false;
        }
        self.settle_group(group, false);
        true
    }

    /// Takes up to `max` ready messages out of the queue in the order in which they would be delivered, for another
    /// queue. Also while the queue is paused, but not what is blocked in a group.
    pub fn take_ready(&mut self, now: Millis, max: usize, out: &mut Vec<Handle>) {
        self.promote(now, WORK_MAX);
        for _ in 0..max {
            let Some(message) = self.take_next(now) else {
                return;
            };
            out.push(message.handle);
            self.forget(message);
        }
    }

    /// Whether something could be delivered now.
    pub fn has_ready(&self) -> bool {
        !self.paused
            && !self.lanes.is_empty()
            && self.leases.len() < self.parameters.in_flight_max as usize
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random = Xoshiro256PlusPlus::seed_from_u64(seed);
    }

    pub(super) fn prune_dedup(&mut self, now: Millis) {
        let (window, max) = (self.parameters.dedup_window, self.parameters.dedup_max);
        self.dedup.prune(now, window, max);
    }

    pub(super) fn is_dead(&self, attempts: u32) -> bool {
        self.parameters.attempts_max > 0 && attempts >= self.parameters.attempts_max
    }

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
    fn take_next(&mut self, now: Millis) -> Option<Message> {
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

    fn end_leases(&mut self, now: Millis, events: &mut Vec<QueueEvent>) {
        for _ in 0..WORK_MAX {
            let Some(&(until, handle)) = self.lease_ends.first() else {
                return;
            };
            if until > now {
                return;
            }
            let Ok(message) = self.let_go(handle, None) else {
                self.lease_ends.pop_first();
                continue;
            };
            let attempts = message.attempts;
            if self.is_dead(attempts) {
                self.forget(message);
                events.push(QueueEvent::Dead { handle, attempts });
            } else {
                self.give_back(now, message, now);
                events.push(QueueEvent::Returned {
                    handle,
                    attempts,
                    due: now,
                });
            }
        }
    }

    /// Full jitter: uniform up to an end that doubles with each attempt, in milliseconds.
    fn backoff(&mut self, attempts: u32) -> u64 {
        let doubled = 1_u64.checked_shl(attempts.saturating_sub(1));
        let min = whole_millis(self.parameters.backoff_min);
        let end = min.saturating_mul(doubled.unwrap_or(u64::MAX));
        let end = end.min(whole_millis(self.parameters.backoff_max));
        let values = u128::from(end) + 1;
        ((u128::from(self.random.next_u64()) * values) >> 64) as u64
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
