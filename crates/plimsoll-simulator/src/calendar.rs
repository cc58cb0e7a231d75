//! Things noted for moments of virtual time, and given out in their order.
//!
//! A calendar queue (R. Brown, "Calendar Queues", 1988): what is near lies unsorted in slots of time, and a slot is
//! put in order when its time comes. So an event costs about the same whether a hundred are noted or a million.
//! Units: nanoseconds since the run's start. Invariant: events of one moment come in the order in which they
//! were noted, so that a run is the same each time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::agenda::{NEVER, Nanos};

/// A slot is two to the power of this long, in nanoseconds: 131 µs. At a million events in a second, that is about
/// as many as fit the fastest cache; at a thousand, most slots are empty and cost a bit.
const SLOT_SHIFT: u32 = 17;
/// How many slots there are: 0.5 s, more than nearly all that is noted lies ahead. What is later waits in a heap.
const SLOTS: usize = 4_096;
/// Room of a spent slot is kept for others up to so many events: a crowd of one moment must not hold its memory
/// for ever.
const ROOM_KEPT: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    /// The time, and below it the order in which it was noted: one comparison for both.
    key: u128,
    event: E,
}

impl<E> Entry<E> {
    fn at(&self) -> Nanos {
        (self.key >> 64) as Nanos
    }

    /// The slot of time that it is in, counted from the beginning of the run.
    fn slot(&self) -> u64 {
        self.at() >> SLOT_SHIFT
    }
}

impl<E> Ord for Entry<E> {
    /// The earliest is the greatest: `BinaryHeap` gives out the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

/// Events in the order in which they happen.
///
/// Invariants: what is in `now` is before what is in `near`, and that before what is in `far`; `now` is empty only
/// if all of it is.
#[derive(Debug)]
pub struct Calendar<E> {
    /// Up to and with the slot `current`.
    now: BinaryHeap<Entry<E>>,
    current: u64,
    /// The slots after it, each at its number modulo [`SLOTS`].
    near: Vec<Vec<Entry<E>>>,
    /// Which of these have something.
    filled: Box<[u64; SLOTS / 64]>,
    /// What is later.
    far: BinaryHeap<Entry<E>>,
    /// Room that slots have left behind.
    spare: Vec<Vec<Entry<E>>>,
    sequence: u64,
}

impl<E> Default for Calendar<E> {
    fn default() -> Self {
        Self {
            now: BinaryHeap::new(),
            current: 0,
            near: (0..SLOTS).map(|_| Vec::new()).collect(),
            filled: Box::new([0; SLOTS / 64]),
            far: BinaryHeap::new(),
            spare: Vec::new(),
            sequence: 0,
        }
    }
}

impl<E> Calendar<E> {
    /// Notes an event, at nanoseconds since the run's start.
    pub fn note(&mut self, at: Nanos, event: impl Into<E>) {
        self.sequence += 1;
        let entry = Entry {
            key: u128::from(at) << 64 | u128::from(self.sequence),
            event: event.into(),
        };
        if self.now.is_empty() {
            // Nothing is noted at all, so that any slot may be the current one.
            self.current = entry.slot();
        }
        self.place(entry);
    }

    /// When the next event is, in nanoseconds since the run's start; the largest number without one.
    pub fn next(&self) -> Nanos {
        self.now.peek().map_or(NEVER, Entry::at)
    }

    /// Takes the next event.
    pub fn take(&mut self) -> Option<E> {
        let entry = self.now.pop()?;
        if self.now.is_empty() {
            self.turn();
        }
        Some(entry.event)
    }

    fn place(&mut self, entry: Entry<E>) {
        let slot = entry.slot();
        if slot <= self.current {
            self.now.push(entry);
        } else if slot - self.current < SLOTS as u64 {
            let index = slot as usize % SLOTS;
            let (Some(near), Some(filled)) =
                (self.near.get_mut(index), self.filled.get_mut(index / 64))
            else {
                return;
            };
            if near.capacity() == 0
                && let Some(room) = self.spare.pop()
            {
                *near = room;
            }
            near.push(entry);
            *filled |= 1 << (index % 64);
        } else {
            self.far.push(entry);
        }
    }

    /// Goes on to the next slot that has something.
    fn turn(&mut self) {
        let far = self.far.peek().map_or(u64::MAX, Entry::slot);
        let near = self.next_filled().unwrap_or(u64::MAX);
        let next = near.min(far);
        if next == u64::MAX && self.far.is_empty() {
            return;
        }
        self.current = next;
        if near == next {
            let index = next as usize % SLOTS;
            if let (Some(near), Some(filled)) =
                (self.near.get_mut(index), self.filled.get_mut(index / 64))
            {
                *filled &= !(1 << (index % 64));
                let ordered = BinaryHeap::from(std::mem::take(near));
                let spent = std::mem::replace(&mut self.now, ordered).into_vec();
                if (1..=ROOM_KEPT).contains(&spent.capacity()) && self.spare.len() < SLOTS {
                    self.spare.push(spent);
                }
            }
        }
        let comes_near = |first: &PeekMut<'_, Entry<E>>| first.slot() - next < SLOTS as u64;
        while let Some(entry) = self.far.peek_mut().filter(comes_near).map(PeekMut::pop) {
            self.place(entry);
        }
    }

    /// The first slot after the current one that has something.
    fn next_filled(&self) -> Option<u64> {
        const WORDS: usize = SLOTS / 64;
        let from = (self.current + 1) as usize % SLOTS;
        // The word of the first slot is looked at twice: from there on at first, and up to there at last.
        (0..=WORDS).find_map(|step| {
            let index = (from / 64 + step) % WORDS;
            let mut word = *self.filled.get(index)?;
            let low = (1_u64 << (from % 64)) - 1;
            match step {
                0 => word &= !low,
                WORDS => word &= low,
                _ => (),
            }
            if word == 0 {
                return None;
            }
            let slot = index * 64 + word.trailing_zeros() as usize;
            let ahead = (slot + SLOTS - from) % SLOTS;
            Some(self.current + 1 + ahead as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Now, soon, in another slot, beyond all slots, at the end of time.
    fn any_delay() -> impl Strategy<Value = Nanos> {
        let slots = SLOTS as u64;
        prop_oneof![
            Just(0),
            0..1_000_u64,
            (0..2 * slots).prop_map(|slot| slot << SLOT_SHIFT),
            (0..(4 * slots) << SLOT_SHIFT),
            Just(Nanos::MAX),
        ]
    }

    proptest! {
        /// Against the plainest queue there is. What is noted is never in the past.
        #[test]
        fn whatever_is_noted_comes_in_order(steps in vec(prop_oneof![any_delay().prop_map(Some), Just(None)], 0..400)) {
            let mut calendar: Calendar<u32> = Calendar::default();
            let mut plain: Vec<(Nanos, u32)> = Vec::new();
            let (mut now, mut noted) = (0_u64, 0_u32);
            for step in steps.into_iter().chain(std::iter::repeat_n(None, 400)) {
                if let Some(delay) = step {
                    let at = now.saturating_add(delay);
                    calendar.note(at, noted);
                    plain.push((at, noted));
                    noted += 1;
                } else if let Some(&first) = plain.iter().min() {
                    prop_assert_eq!(calendar.next(), first.0);
                    prop_assert_eq!(calendar.take(), Some(first.1));
                    plain.retain(|other| *other != first);
                    now = first.0;
                } else {
                    prop_assert_eq!((calendar.next(), calendar.take()), (Nanos::MAX, None));
                }
            }
        }
    }
}
