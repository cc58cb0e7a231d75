//! The machine: what happens to a queue and to the messages in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::dedup::Dedup;
use super::group::Group;
use super::handle::whole_millis;
use super::lane::Lanes;
use super::line::Place;
use super::message::{GroupName, Lease, Message, Note};
use super::{
    Arriving, Delivery, Handle, Millis, Nacked, NotLeased, PRIORITIES, QueueEvent, QueueFull,
    QueueParameters,
};

/// What one call takes over of each kind that is due. The rest is due still: `next_timeout` says so.
pub(super) const WORK_MAX: usize = 1_000;

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
