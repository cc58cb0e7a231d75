//! Which keys were published lately.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Handle, Millis};

/// Keys with the message that had them, and when that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Dedup {
    keys: HashMap<u128, (Handle, Millis)>,
    /// Oldest first. A key that came again has a stale entry here, which its time tells.
    order: VecDeque<(Millis, u128)>,
}

impl Dedup {
    pub(super) fn get(&self, now: Millis, window: Duration, key: u128) -> Option<Handle> {
        let &(handle, at) = self.keys.get(&key)?;
        (now < at + window).then_some(handle)
    }

    pub(super) fn insert(&mut self, key: u128, handle: Handle, at: Millis) {
        self.keys.insert(key, (handle, at));
        self.order.push_back((at, key));
    }

    /// Forgets what is over, and the oldest of what is too many.
    pub(super) fn prune(&mut self, now: Millis, window: Duration, keys_max: u32) {
        while let Some(&(at, key)) = self.order.front() {
            if self.order.len() <= keys_max as usize && now < at + window {
                return;
            }
            self.order.pop_front();
            if self.keys.get(&key).is_some_and(|&(_, known)| known == at) {
                self.keys.remove(&key);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Each key once, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, Handle, Millis)> {
        self.order.iter().filter_map(|&(at, key)| {
            let &(handle, known) = self.keys.get(&key)?;
            (known == at).then_some((key, handle, at))
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.keys.capacity() * (size_of::<(u128, (Handle, Millis))>() + 1)
            + self.order.capacity() * size_of::<(Millis, u128)>()
    }
}
