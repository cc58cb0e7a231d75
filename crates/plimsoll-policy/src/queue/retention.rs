//! Retention: what is older than the queue keeps messages, and is not leased, expires.

use super::line::Place;
use super::machine::WORK_MAX;
use super::{Millis, Queue, QueueEvent};

impl Queue {
    /// When the first may have to go. For a lane or a group the time may be that of a message that has left since.
    pub(super) fn next_expiry(&self) -> Option<Millis> {
        let bound = self.bounds.first().map(|&(at, _)| at);
        let delayed = self.delayed_too_long.first().map(|&(at, ..)| at);
        let oldest = bound.into_iter().chain(delayed).min()?;
        Some(oldest + self.parameters.retention)
    }

    pub(super) fn expire(&mut self, now: Millis, events: &mut Vec<QueueEvent>) {
        let limit = now - self.parameters.retention;
        // Also where the retention is longer than the time since the epoch.
        if limit + self.parameters.retention > now {
            return;
        }
        let mut left = WORK_MAX;
        while left > 0
            && let Some(&(at, due, count)) = self.delayed_too_long.first()
            && at <= limit
        {
            left -= 1;
            self.delayed_too_long.pop_first();
            if let Some(message) = self.delayed.remove(&(due, count)) {
                self.forget(message);
                let handle = message.handle;
                events.push(QueueEvent::Expired { handle });
            }
        }
        while left > 0
            && let Some(&(at, place)) = self.bounds.first()
            && at <= limit
        {
            // A look at a place where nothing is too old counts as well: it is work.
            left -= 1;
            self.bounds.pop_first();
            match place {
                Place::Lane(_) => self.expire_lane(limit, place, &mut left, events),
                Place::Group(name) => self.expire_group(limit, name, &mut left, events),
            }
        }
    }

    fn expire_lane(
        &mut self,
        limit: Millis,
        place: Place,
        left: &mut usize,
        events: &mut Vec<QueueEvent>,
    ) {
        let Place::Lane(key) = place else { return };
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        lane.bound = None;
        while *left > 0
            && let Some(handle) = lane.pop_not_younger(limit)
        {
            *left -= 1;
            self.notes.remove(&handle);
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(handle.bytes());
            events.push(QueueEvent::Expired { handle });
        }
        self.settle_lane(key);
    }

    fn expire_group(
        &mut self,
        limit: Millis,
        name: u128,
        left: &mut usize,
        events: &mut Vec<QueueEvent>,
    ) {
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        group.bound = None;
        while *left > 0
            && let Some(head) = group.line.pop_front_if(|head| head.at <= limit)
        {
            *left -= 1;
            // Only the head waits out a backoff.
            if let Some(due) = group.backoff.take() {
                self.backoffs.remove(&(due, name));
            }
            let handle = head.handle;
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(handle.bytes());
            events.push(QueueEvent::Expired { handle });
        }
        self.settle_group(name, false);
    }

    /// Finds anew which of the delayed expire before they are due.
    pub(super) fn index_delayed_too_long(&mut self) {
        let retention = self.parameters.retention;
        let delayed = self.delayed.iter();
        let too_long = delayed.filter(|((due, _), message)| *due > message.at + retention);
        let too_long = too_long.map(|(&(due, count), message)| (message.at, due, count));
        self.delayed_too_long = too_long.collect();
    }
}
