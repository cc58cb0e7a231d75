//! Where all threads keep the meters of all keys: a table of fixed size, a lock per shard.
//!
//! This is the one lock of the data plane that DESIGN.md allows. It is held for the scan of one set of
//! [`WAYS`] entries and a few sums: no allocation, no division, no call out. Nothing is held across two shards.
//!
//! Set-associative, like a processor's cache: a key can be in one set only. A new key takes the way of its set
//! whose meter will be full first: one that is full already loses nothing by it. A meter that would refuse one
//! unit now keeps its way. Where all ways of a set are such, the newcomer counts against the shard's overflow
//! meter of its limit: all newcomers there are as one key.
//!
//! What a flood of keys gains: nothing. A key that is over its limit stays over it; flooded sets make newcomers
//! share one key's rate. To have a meter forgotten that is part spent, others must spend as many new keys as
//! the table has entries, and each of those had a rate of its own anyway. What a flood costs: a new key in a
//! set whose ways are all over their limits may be refused though it did nothing, and a part spent meter may
//! be full again early. With `entries_max` at twice the busy keys, 1 set in 50 is that crowded.
//! Elsewhere: the salted hash of a key (`tenant`).

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_core::Instant;

use super::{Meter, RateDecision, RateLimit, RateVerdict};

/// Entries of a set. Eight have room for a set's keys with 98 % where the table is half full (Poisson, mean 4),
/// and are three cache lines.
const WAYS: usize = 8;
/// Locks: with 16 threads that do nothing else, two meet in one of 64 now and then, for a tenth of a microsecond.
const SHARDS_MAX: usize = 64;
/// How far threads' readings of the clock may lie apart. Time does not go back for less: else two threads that
/// disagree would refill a meter by turns. Beyond it the clock was set back, and the meters go with it.
const SKEW_MAX: Duration = Duration::from_millis(250);

/// One thing to charge for a request.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// Whose: a salted hash, so that nobody outside can aim at a set.
    pub key: u64,
    /// Which limit of the configuration it is; the same key under two limits has two meters.
    pub index: u32,
    /// The limit itself.
    pub limit: &'a RateLimit,
    /// How many units.
    pub cost: u32,
}

/// The meters of all keys under all limits.
pub struct RateTable {
    shards: Box<[Shard]>,
    sets_per_shard: usize,
}

/// Aligned so that two locks are never in one cache line, nor in two that are fetched as a pair.
#[repr(align(128))]
struct Shard(Mutex<Meters>);

struct Meters {
    /// The latest time seen, in nanoseconds.
    now: u64,
    /// Newcomers that found no room, by limit alone.
    overflow: Set,
    sets: Box<[Set]>,
}

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Set([Way; WAYS]);

/// An empty way is a meter that has been full since the clock's origin.
#[derive(Clone, Copy, Default)]
struct Way {
    tag: u64,
    meter: Meter,
    /// From when one unit is allowed: later than now = it is limiting.
    open_at: u64,
}

/// Which set, and which tag in it.
#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    set: usize,
    tag: u64,
}

/// A meter as it was found or left, and the shard's time.
struct Reading {
    now: u64,
    meter: Meter,
    allowed: bool,
}

impl RateTable {
    /// What is kept where nothing else is said: 65,536 keys, 1.6 MB.
    pub const ENTRIES_MAX: usize = 65_536;

    /// A table of at most `entries_max` keys, at least eight; all the memory it will ever use.
    pub fn new(entries_max: usize) -> Self {
        let sets = (entries_max / WAYS).max(1);
        let shards = sets.min(SHARDS_MAX);
        let sets_per_shard = sets / shards;
        let shard = || {
            Shard(Mutex::new(Meters {
                now: 0,
                overflow: Set::default(),
                sets: vec![Set::default(); sets_per_shard].into(),
            }))
        };
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            sets_per_shard,
        }
    }

    /// The bytes it uses, now and always.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.shards.len() * (size_of::<Shard>() + self.sets_per_shard * size_of::<Set>())
    }

    /// Charges one key under one limit, if that allows it.
    ///
    /// `now` must come from one monotonic clock on all threads; readings up to a quarter of a second apart do
    /// no harm. If the clock goes back further, the meters go back with it: no key waits longer for that.
    pub fn check(&self, now: Instant, charge: &Charge<'_>) -> RateDecision {
        self.visit(now, charge, true)
    }

    /// Charges a request under all of its limits, or under none: `true` if all allow it.
    ///
    /// `decisions` is cleared and gets one for each charge, in their order; a list that is kept saves the
    /// allocation. All are looked at first, then charged. Between the two another thread may take what was
    /// left: then what was charged is given back, and for that instant others saw it as spent. Never is more
    /// allowed than a limit allows.
    pub fn check_all(
        &self,
        now: Instant,
        charges: &[Charge<'_>],
        decisions: &mut Vec<RateDecision>,
    ) -> bool {
        decisions.clear();
        if let [charge] = charges {
            let decision = self.check(now, charge);
            decisions.push(decision);
            return decision.is_allowed();
        }
        decisions.extend(charges.iter().map(|charge| self.look(now, charge)));
        if !decisions.iter().all(RateDecision::is_allowed) {
            return false;
        }
        for (done, charge) in charges.iter().enumerate() {
            let decision = self.check(now, charge);
            if !decision.is_allowed() {
                for charged in charges.iter().take(done) {
                    self.refund(charged);
                }
                decisions.clear();
                decisions.extend(charges.iter().map(|charge| self.look(now, charge)));
                if let Some(late) = decisions.get_mut(done) {
                    *late = decision;
                }
                return false;
            }
            if let Some(slot) = decisions.get_mut(done) {
                *slot = decision;
            }
        }
        true
    }

    /// What [`RateTable::check`] would say, without charging: for `observe`, and for showing what is left.
    pub fn look(&self, now: Instant, charge: &Charge<'_>) -> RateDecision {
        self.visit(now, charge, false)
    }

    fn visit(&self, now: Instant, charge: &Charge<'_>, commit: bool) -> RateDecision {
        let &Charge { limit, cost, .. } = charge;
        // What can never be allowed must not take a way.
        let possible = cost <= limit.burst();
        let commit = commit && possible && cost > 0;
        let place = self.place(charge.key, charge.index);
        let reading = match self.lock(place.shard) {
            Some(mut meters) => meters.visit(now.as_nanos(), place, charge, commit),
            None => Reading::fresh(now.as_nanos(), limit, cost),
        };
        // The divisions are made when the lock is free again.
        let verdict = if !possible {
            RateVerdict::Impossible
        } else if reading.allowed {
            RateVerdict::Allowed
        } else {
            let open_at = Instant::from_nanos(reading.meter.open_at(limit, cost));
            RateVerdict::Refused {
                retry_after: open_at.since(now),
            }
        };
        RateDecision {
            verdict,
            burst: limit.burst(),
            remaining: reading.meter.remaining(reading.now, limit),
            reset_after: Instant::from_nanos(reading.meter.0)
                .since(now.max(Instant::from_nanos(reading.now))),
        }
    }

    fn refund(&self, charge: &Charge<'_>) {
        let place = self.place(charge.key, charge.index);
        if let Some(mut meters) = self.lock(place.shard) {
            meters.refund(place, charge);
        }
    }

    fn place(&self, key: u64, index: u32) -> Place {
        let tag = mix(key ^ mix(u64::from(index)));
        // The high half picks the shard and the low half the set, each by its share of the range.
        Place {
            shard: scale(tag >> 32, self.shards.len()),
            set: scale(tag & u64::from(u32::MAX), self.sets_per_shard),
            tag,
        }
    }

    /// A panic elsewhere while it was held leaves meters that are each still valid.
    fn lock(&self, shard: usize) -> Option<MutexGuard<'_, Meters>> {
        let shard = self.shards.get(shard)?;
        Some(shard.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for RateTable {
    /// Its size only: the content is thousands of hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateTable")
            .field("shards", &self.shards.len())
            .field("sets_per_shard", &self.sets_per_shard)
            .finish_non_exhaustive()
    }
}

impl Meters {
    fn visit(&mut self, now: u64, place: Place, charge: &Charge<'_>, commit: bool) -> Reading {
        let now = self.advance(now);
        let limit = charge.limit;
        let overflow_tag = overflow_tag(charge.index);
        let set = self.sets.get_mut(place.set);
        let way = match set.and_then(|set| set.way(place.tag, now)) {
            Some(way) => Some((way, place.tag)),
            None => (self.overflow.way(overflow_tag, now)).map(|way| (way, overflow_tag)),
        };
        let Some((way, tag)) = way else {
            // More limits overflow here at once than the overflow has ways: as if its meter were spent.
            let spent = Meter(now.saturating_add(limit.fill_nanos()));
            return Reading {
                now,
                meter: spent,
                allowed: charge.cost == 0,
            };
        };
        let known = if way.tag == tag { way.meter } else { Meter(0) };
        let meter = known.at(now, limit);
        let charged = meter.charge(now, limit, charge.cost);
        let after = charged.unwrap_or(meter);
        if commit {
            *way = Way {
                tag,
                meter: after,
                open_at: after.open_at(limit, 1),
            };
        }
        Reading {
            now,
            meter: after,
            allowed: charged.is_some(),
        }
    }

    fn refund(&mut self, place: Place, charge: &Charge<'_>) {
        let set = self.sets.get_mut(place.set);
        let way = match set.and_then(|set| set.find(place.tag)) {
            Some(way) => Some(way),
            None => self.overflow.find(overflow_tag(charge.index)),
        };
        // Forgotten already: a meter that is full needs nothing back.
        if let Some(way) = way {
            way.meter = way.meter.refund(charge.limit, charge.cost);
            way.open_at = way.meter.open_at(charge.limit, 1);
        }
    }

    /// The shard's time: it goes on, or back with a clock that was set back.
    fn advance(&mut self, now: u64) -> u64 {
        let back = self.now.saturating_sub(now);
        if u128::from(back) > SKEW_MAX.as_nanos() {
            // Rare, and the only long hold: a microsecond for a thousand entries.
            self.overflow.go_back(back);
            self.sets.iter_mut().for_each(|set| set.go_back(back));
            self.now = now;
        }
        self.now = self.now.max(now);
        self.now
    }
}

impl Set {
    fn find(&mut self, tag: u64) -> Option<&mut Way> {
        self.0.iter_mut().find(|way| way.tag == tag)
    }

    /// The way of `tag`, or the one that it may take; `None` if all others are limiting.
    fn way(&mut self, tag: u64, now: u64) -> Option<&mut Way> {
        let found = self.0.iter().position(|way| way.tag == tag);
        let index = found.or_else(|| {
            let open = self.0.iter().enumerate();
            open.filter(|(_, way)| way.open_at <= now)
                .min_by_key(|(_, way)| way.meter)
                .map(|(index, _)| index)
        })?;
        self.0.get_mut(index)
    }

    fn go_back(&mut self, nanos: u64) {
        for way in &mut self.0 {
            way.meter = Meter(way.meter.0.saturating_sub(nanos));
            way.open_at = way.open_at.saturating_sub(nanos);
        }
    }
}

impl Reading {
    /// Of a key that was quiet.
    fn fresh(now: u64, limit: &RateLimit, cost: u32) -> Self {
        let full = Meter(now);
        let charged = full.charge(now, limit, cost);
        Self {
            now,
            meter: charged.unwrap_or(full),
            allowed: charged.is_some(),
        }
    }
}

/// All keys of a limit that found no room count as one.
fn overflow_tag(index: u32) -> u64 {
    mix(u64::from(index) | 1 << 32)
}

/// Where `value`, of 32 bits, falls if their range is cut into `parts`.
fn scale(value: u64, parts: usize) -> usize {
    ((u128::from(value) * parts as u128) >> 32) as usize
}

/// The finalizer of SplitMix64 (S. Vigna): every bit of the input reaches every bit of the output.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
