//! One thread's known tenants: which keys count as tenants of their own.
//!
//! A key that the configuration does not list is proven by the service itself: it gave a good answer to a
//! request with that key twice, at least [`PROOF_TIME`] apart. An address holds at most [`PROVEN_PER_ADDRESS`]
//! proven keys, so a caller whose every key gets good answers has that many shares and his address's, no more.
//!
//! One per thread and not shared: no lock, at the price that a key is proven on each thread that meets it; until
//! then that thread counts it as its address's. A table of fixed size: a key can be in one set of eight only.
//! A candidate never takes a proven key's place until that had no good answer for [`AGE_MAX`], and an address
//! has at most one candidate in a set, so that its flood of keys leaves the candidates of others alone.
//! Invariant: only good answers write; what a caller sends, by itself, changes nothing here.

use std::net::IpAddr;
use std::time::Duration;

use plimsoll_core::Instant;

use super::{ConfiguredTenant, Identified, KeyHash, Salt, TenantId, Weight};

const WAYS: usize = 8;
/// Between the two good answers: a key that is made up for a request, and its retries, are over by then.
const PROOF_TIME: Duration = Duration::from_secs(1);
/// A household or an office behind one address has a few keys; a flood has thousands.
const PROVEN_PER_ADDRESS: usize = 8;
/// A proven key with no good answer for this long may be replaced: a deploy or an outage of the service is over
/// by then, mostly, and a key that was withdrawn is gone.
const AGE_MAX: Duration = Duration::from_secs(600);

/// The keys that one thread knows.
#[derive(Debug)]
pub struct KnownTenants {
    salt: Salt,
    /// Sorted by key.
    configured: Box<[ConfiguredTenant]>,
    sets: Box<[[Entry; WAYS]]>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: KeyHash,
    /// Who it was proven by, or is a candidate of.
    address: TenantId,
    /// Of a candidate: the first good answer. Of a proven key: the last.
    at: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Candidate,
    Proven,
}

const EMPTY: Entry = Entry {
    key: KeyHash(0),
    address: TenantId(0),
    at: Instant::ORIGIN,
    state: State::Empty,
};

impl KnownTenants {
    /// How many keys are remembered where nothing else is said: 128 KiB a thread.
    pub const ENTRIES_MAX: usize = 4_096;

    /// Knows what is configured, and will remember at most `entries_max` keys (at least eight).
    pub fn new(salt: Salt, configured: &[ConfiguredTenant], entries_max: usize) -> Self {
        let mut known = Self {
            salt,
            configured: Box::default(),
            sets: vec![[EMPTY; WAYS]; (entries_max / WAYS).max(1)].into(),
        };
        known.set_configured(configured);
        known
    }

    /// Takes over a new list, as after a reload; what was proven stays.
    pub fn set_configured(&mut self, configured: &[ConfiguredTenant]) {
        self.configured = configured.into();
        self.configured.sort_by_key(|tenant| tenant.key);
    }

    /// The bytes that the table of keys uses, now and always; the configured list comes on top.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.sets.len() * size_of::<[Entry; WAYS]>()
    }

    /// Who a request counts for. `key` is what it sent, if a key is configured; an empty one is none.
    pub fn identify(&self, key: Option<&[u8]>, address: IpAddr) -> Identified {
        let key = key.filter(|key| !key.is_empty());
        let by_address = Identified {
            tenant: self.salt.address(address),
            weight: Weight::DEFAULT,
            name: None,
            unlisted_key: None,
        };
        let Some(key) = key.map(|key| self.salt.key(key)) else {
            return by_address;
        };
        if let Some(tenant) = self.configured(key) {
            return Identified {
                tenant: tenant.tenant,
                weight: tenant.weight,
                name: Some(tenant.name),
                unlisted_key: None,
            };
        }
        let proven = self.set(key).is_some_and(|set| {
            set.iter()
                .any(|entry| entry.state == State::Proven && entry.key == key)
        });
        Identified {
            tenant: if proven {
                TenantId(key.0)
            } else {
                by_address.tenant
            },
            unlisted_key: Some(key),
            ..by_address
        }
    }

    /// The service gave a good answer (not 401, 403 or 5xx) to a request with this key, from this address.
    pub fn on_good_answer(&mut self, now: Instant, key: KeyHash, address: IpAddr) {
        if self.configured(key).is_some() {
            return;
        }
        let address = self.salt.address(address);
        let found = self
            .set_mut(key)
            .and_then(|set| set.iter_mut().find(|entry| entry.is_of(key)));
        let Some(entry) = found else {
            self.add_candidate(now, key, address);
            return;
        };
        match entry.state {
            // The latest, even by a clock that was set back: else it might never age.
            State::Proven => entry.at = now,
            State::Candidate if now < entry.at => entry.at = now,
            State::Candidate if now.since(entry.at) >= PROOF_TIME => {
                // Whatever comes of it, the next try is a second away: it searches the whole table.
                entry.at = now;
                if self.has_room(now, address)
                    && let Some(set) = self.set_mut(key)
                    && let Some(entry) = set.iter_mut().find(|entry| entry.is_of(key))
                {
                    entry.state = State::Proven;
                    entry.address = address;
                }
            }
            State::Candidate | State::Empty => {}
        }
    }

    /// Whether an address may prove another key; makes room by one of its own that has aged.
    fn has_room(&mut self, now: Instant, address: TenantId) -> bool {
        let mut held = 0;
        let mut aged = None;
        for entry in self.sets.as_flattened_mut() {
            if entry.state == State::Proven && entry.address == address {
                held += 1;
                if entry.is_aged(now) {
                    aged = Some(entry);
                }
            }
        }
        if held < PROVEN_PER_ADDRESS {
            return true;
        }
        aged.map(|entry| *entry = EMPTY).is_some()
    }

    /// Remembers a key's first good answer: in an empty place, in that of another candidate of the same address,
    /// of an aged key, or of the oldest candidate. In a set of proven keys it is not remembered.
    fn add_candidate(&mut self, now: Instant, key: KeyHash, address: TenantId) {
        let Some(set) = self.set_mut(key) else {
            return;
        };
        let victim = set
            .iter_mut()
            .filter_map(|entry| {
                let rank = match entry.state {
                    State::Candidate if entry.address == address => 0,
                    State::Empty => 1,
                    State::Proven if entry.is_aged(now) => 2,
                    State::Candidate => 3,
                    State::Proven => return None,
                };
                Some(((rank, entry.at), entry))
            })
            .min_by_key(|&(order, _)| order);
        if let Some((_, entry)) = victim {
            *entry = Entry {
                key,
                address,
                at: now,
                state: State::Candidate,
            };
        }
    }

    fn configured(&self, key: KeyHash) -> Option<&ConfiguredTenant> {
        let found = self
            .configured
            .binary_search_by_key(&key, |known| known.key);
        self.configured.get(found.ok()?)
    }

    fn set(&self, key: KeyHash) -> Option<&[Entry; WAYS]> {
        self.sets.get(self.index(key))
    }

    fn set_mut(&mut self, key: KeyHash) -> Option<&mut [Entry; WAYS]> {
        self.sets.get_mut(self.index(key))
    }

    fn index(&self, key: KeyHash) -> usize {
        ((u128::from(key.0) * self.sets.len() as u128) >> 64) as usize
    }
}

impl Entry {
    fn is_of(&self, key: KeyHash) -> bool {
        self.state != State::Empty && self.key == key
    }

    /// A time to come is from before the clock was set back: of an age that nobody knows.
    fn is_aged(&self, now: Instant) -> bool {
        now.since(self.at) >= AGE_MAX || self.at.since(now) >= AGE_MAX
    }
}

#[cfg(test)]
mod tests;
