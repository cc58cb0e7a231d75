//! Where the tenants of one class stand in its order: a table of places, shared by all threads.
//!
//! A tenant stands at the first of a few places from where its hash points to (open addressing with linear
//! probing, bounded) that is its own or free. So two tenants share a place, and with it a share, only where all
//! of these are taken by others: one in a few hundred would otherwise share the place of whoever floods, and
//! have next to nothing.
//!
//! Units: tags in [`COST`] per request of weight 1. Invariants: a place belongs to one tenant for as long as any
//! of it waits; the sum of the weights is of those who wait. Elsewhere: who waits in which order (`local`).

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use plimsoll_core::never;

const PLACES: usize = if cfg!(loom) { 2 } else { 512 };
/// So many places are looked at. With a fifth of all taken, all of these are in one of 400,000 cases.
const PROBES: usize = if cfg!(loom) { 2 } else { 8 };
/// One request's cost at weight 1, in the fixed point of the tags.
pub(super) const COST: f32 = 1_024.0;
/// A tenant is charged at most so many requests ahead of its class: a debt of the morning is no reason to wait in the
/// evening.
const DEBT_MAX: u64 = 256 * COST as u64;

/// Which place is a tenant's, for as long as any of it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u16);

/// The places of one class.
#[derive(Debug)]
pub(super) struct Places {
    places: Box<[State]>,
    /// The sum of the weights of tenants that wait, in thousandths. Below zero (it wraps) only for as long as a
    /// thread has counted that one waits and has not yet added its weight.
    weights: AtomicU32,
    virtual_time: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    word: AtomicU64,
    /// The tag at which what its owner was served ends.
    finish: AtomicU64,
}

/// A place's word: whose it is, the weight that was added to the class's sum, and how many wait. In one word, so
/// that who takes a place has it alone, and what is taken off the sum is what was added, whoever leaves last and
/// whatever its weight.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    /// 24 bits of the tenant's hash, never 0; 0 = nobody's yet.
    owner: u32,
    /// In thousandths: 20 bits.
    weight: u32,
    /// 20 bits: more than may wait.
    waiting: u32,
}

const FIELD: u32 = 20;
const FIELD_MAX: u32 = (1 << FIELD) - 1;

impl Word {
    fn read(word: u64) -> Self {
        Self {
            owner: (word >> (2 * FIELD)) as u32,
            weight: (word >> FIELD) as u32 & FIELD_MAX,
            waiting: word as u32 & FIELD_MAX,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.owner) << (2 * FIELD)
            | u64::from(self.weight & FIELD_MAX) << FIELD
            | u64::from(self.waiting & FIELD_MAX)
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| State::default()).collect(),
            weights: AtomicU32::new(0),
            virtual_time: AtomicU64::new(0),
        }
    }
}

impl Places {
    /// How many of a tenant wait, over all threads.
    pub(super) fn waiting(&self, tenant: u64) -> u32 {
        let (_, word) = self.choose(tenant);
        word.waiting
    }

    /// How many wait in a place.
    pub(super) fn waiting_in(&self, place: Place) -> u32 {
        self.state(place)
            .map_or(0, |state| Word::read(state.word.load(Relaxed)).waiting)
    }

    /// The sum of the weights of the tenants that wait; with the one that is about to.
    pub(super) fn weights_with(&self, tenant: u64, weight: f32) -> f64 {
        let sum = self.weights.load(Relaxed).cast_signed().max(0);
        let joining = if self.waiting(tenant) == 0 {
            weight
        } else {
            0.0
        };
        f64::from(sum) / 1_000.0 + f64::from(joining)
    }

    /// The tag at which the next request of a place's tenant would start.
    pub(super) fn tag(&self, place: Place) -> u64 {
        self.state(place)
            .map_or(0, |state| state.finish.load(Relaxed))
    }

    /// One more of a tenant waits, of which none waits on the caller's thread.
    pub(super) fn enter(&self, tenant: u64, weight: f32) -> Place {
        let (place, before) = self.take(tenant, |word| Word {
            weight: if word.waiting == 0 {
                thousandths(weight)
            } else {
                word.weight
            },
            waiting: word.waiting + 1,
            ..word
        });
        if before.waiting == 0 {
            if let Some(state) = self.state(place) {
                let now = self.virtual_time.load(Relaxed);
                state.finish.fetch_max(now, Relaxed);
            }
            self.weights.fetch_add(thousandths(weight), Relaxed);
        }
        place
    }

    /// One more waits where others of its tenant wait on the caller's thread.
    pub(super) fn enter_again(&self, place: Place) {
        if let Some(state) = self.state(place) {
            let before = state.word.fetch_add(1, Relaxed);
            never!(Word::read(before).waiting == 0);
        }
    }

    /// One less waits.
    pub(super) fn leave(&self, place: Place) {
        let Some(state) = self.state(place) else {
            return;
        };
        let before = state.word.fetch_update(Relaxed, Relaxed, |word| {
            let word = Word::read(word);
            (word.waiting > 0).then(|| {
                let waiting = word.waiting - 1;
                let weight = if waiting == 0 { 0 } else { word.weight };
                let left = Word {
                    weight,
                    waiting,
                    ..word
                };
                left.pack()
            })
        });
        never!(before.is_err());
        if let Some(last) = before.ok().map(Word::read).filter(|it| it.waiting == 1) {
            self.weights.fetch_sub(last.weight, Relaxed);
        }
    }

    /// A request gets a permit: its tenant's next one starts later by one cost over its weight.
    pub(super) fn serve(&self, place: Place, weight: f32) {
        if let Some(state) = self.state(place) {
            let cost = (COST / weight.max(0.01)) as u64;
            let start = state.finish.fetch_add(cost, Relaxed);
            self.virtual_time.fetch_max(start, Relaxed);
        }
    }

    /// Charges what a call took of the service over what a mean one takes: a share of the limit is a share of
    /// its permits' time. `excess` in mean calls.
    pub(super) fn charge(&self, tenant: u64, weight: f32, excess: f32) {
        if excess <= 0.0 {
            return;
        }
        let (place, _) = self.take(tenant, |word| word);
        if let Some(state) = self.state(place) {
            let cost = (COST * excess / weight.max(0.01)) as u64;
            let most = self.virtual_time.load(Relaxed) + DEBT_MAX;
            let _enough = state.finish.fetch_update(Relaxed, Relaxed, |finish| {
                (finish < most).then(|| (finish + cost).min(most))
            });
        }
    }

    fn state(&self, place: Place) -> Option<&State> {
        self.places.get(usize::from(place.0))
    }

    /// The place that a tenant has or would get, and what it holds for it: its own; else a free one, of those
    /// the one whose owner was served least, since that one has least to remember; else another's.
    fn choose(&self, tenant: u64) -> (Place, Word) {
        let owner = owner(tenant);
        let nobody = Word {
            owner,
            weight: 0,
            waiting: 0,
        };
        let mut free: Option<(u64, Place)> = None;
        let mut first = None;
        for probe in 0..PROBES {
            let index = (tenant as usize).wrapping_add(probe) % PLACES;
            let Some(state) = self.places.get(index) else {
                continue;
            };
            let place = Place(index as u16);
            let word = Word::read(state.word.load(Relaxed));
            if word.owner == owner {
                return (place, word);
            }
            if word.waiting == 0 {
                let finish = state.finish.load(Relaxed);
                if free.is_none_or(|(least, _)| finish < least) {
                    free = Some((finish, place));
                }
            }
            first = first.or(Some((place, word)));
        }
        match free {
            Some((_, place)) => (place, nobody),
            None => first.unwrap_or((Place(0), nobody)),
        }
    }

    /// Changes the word of a tenant's place, which becomes its own if it was free. Says what was there before;
    /// the count of a place that was another's is 0.
    fn take(&self, tenant: u64, change: impl Fn(Word) -> Word) -> (Place, Word) {
        let owner = owner(tenant);
        // Each miss is another thread's success, at a place that is looked at once more at most.
        for _ in 0..=PROBES {
            let (place, chosen) = self.choose(tenant);
            let shares = chosen.owner != owner;
            let Some(state) = self.state(place) else {
                break;
            };
            let mut fresh = false;
            let before = state.word.fetch_update(Relaxed, Relaxed, |word| {
                let word = Word::read(word);
                fresh = word.owner != owner && word.waiting == 0;
                let kept = if fresh { owner } else { word.owner };
                // Another has taken it since it was chosen: it is to be chosen anew.
                let may = fresh || shares || word.owner == owner;
                may.then(|| {
                    change(Word {
                        owner: kept,
                        ..word
                    })
                    .pack()
                })
            });
            if let Ok(before) = before {
                if fresh {
                    // What it was charged with before was another's.
                    let now = self.virtual_time.load(Relaxed);
                    state.finish.store(now, Relaxed);
                }
                return (place, Word::read(before));
            }
        }
        // Others were quicker each time: it shares where its hash points to.
        let place = Place((tenant as usize % PLACES) as u16);
        let before = self.state(place).and_then(|state| {
            let changed = state.word.fetch_update(Relaxed, Relaxed, |word| {
                Some(change(Word::read(word)).pack())
            });
            changed.ok()
        });
        (place, Word::read(before.unwrap_or_default()))
    }
}

/// What is kept of a tenant's hash beside its place. Mixed (Fibonacci hashing), since tenants that share a place
/// have the lower bits in common.
fn owner(tenant: u64) -> u32 {
    let mixed = tenant.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 40) as u32).max(1)
}

fn thousandths(weight: f32) -> u32 {
    (weight.clamp(0.001, 1_000.0) * 1_000.0) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn tenants_whose_hashes_point_to_one_place_have_one_each() {
        let places = Places::default();
        let tenants: Vec<u64> = (0..PROBES as u64)
            .map(|it| 7 + it * PLACES as u64)
            .collect();
        let mut taken: Vec<u16> = tenants
            .iter()
            .map(|&tenant| places.enter(tenant, 1.0).0)
            .collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), PROBES);
        assert!(tenants.iter().all(|&tenant| places.waiting(tenant) == 1));
    }

    #[test]
    fn one_more_than_there_are_places_shares_and_all_return_to_nothing() {
        let places = Places::default();
        let tenants = (0..=PROBES as u64).map(|it| 7 + it * PLACES as u64);
        let entered: Vec<Place> = tenants
            .enumerate()
            .map(|(index, tenant)| places.enter(tenant, 1.0 + index as f32))
            .collect();
        assert_eq!(entered.first(), entered.last());
        assert_eq!(entered.first().map(|&it| places.waiting_in(it)), Some(2));
        for place in entered {
            places.leave(place);
        }
        assert_eq!(places.weights_with(u64::MAX, 1.0), 1.0);
    }

    #[test]
    fn a_place_is_kept_while_nobody_waits_and_what_was_charged_goes_with_it() {
        let places = Places::default();
        let place = places.enter(7, 1.0);
        places.serve(place, 1.0);
        places.leave(place);
        assert_eq!(places.enter(7, 1.0), place);
        assert!(places.tag(place) >= COST as u64);
        // Another tenant that is led to the same place gets one that was never served.
        let other = places.enter(7 + PLACES as u64, 1.0);
        assert_ne!(other, place);
        assert_eq!(places.tag(other), 0);
    }

    #[test]
    fn whoever_takes_over_a_place_begins_where_the_class_is() {
        let places = Places::default();
        for tenant in 0..PROBES as u64 {
            places.charge(7 + tenant * PLACES as u64, 1.0, 50.0);
        }
        let place = places.enter(7 + 100 * PLACES as u64, 1.0);
        assert_eq!(places.tag(place), 0);
    }

    #[test]
    fn a_word_is_read_as_it_was_packed() {
        let word = Word {
            owner: (1 << 24) - 1,
            weight: thousandths(1_000.0),
            waiting: 1_000_000,
        };
        assert!(Word::read(word.pack()) == word);
    }
}
