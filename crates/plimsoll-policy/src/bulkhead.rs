//! Bulkheads: bounds per service, so that one that is stuck cannot use up the gateway.
//!
//! Two kinds of places: connections to the service, and streams, which go on after their permit went back. What is
//! in flight is the limiter's to bound, and what waits is the queue's (`admission`).
//! Source: M. Nygard, *Release It!*, 2nd ed. (2018), "Bulkheads".
//! Units: counts. Invariants: a bound is exact over all threads, at every moment; a count is never negative; a
//! place is left once, however its holder ends ([`BulkheadPlace`]).
//! Elsewhere: what a refusal looks like (`plimsoll-lifecycle`); connections of clients (`self_protection`).

use std::ops::Deref;
// Of a hint, whose order loom need not look into.
use std::sync::atomic::AtomicBool;

use plimsoll_core::never;

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BulkheadKind {
    /// Connections to the service.
    Connections,
    /// Upgraded connections, event streams and the like.
    Streams,
}

impl BulkheadKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Connections, Self::Streams];

    /// The word in config, metrics and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Streams => "streams",
        }
    }
}

/// The bounds of a service; `None` = unbounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BulkheadParameters {
    /// Connections to the service.
    pub connections_max: Option<u32>,
    /// Streams.
    pub streams_max: Option<u32>,
}

/// What all threads share about the bounds of a service.
#[derive(Debug)]
pub struct BulkheadShared {
    connections: Bound,
    streams: Bound,
    /// Somebody found no place for a connection: whoever holds an idle one is to close it.
    room_wanted: AtomicBool,
}

/// One count and its bound. Aligned to a cache line: kinds are busy at different times on different threads.
#[derive(Debug)]
#[repr(align(64))]
struct Bound {
    taken: AtomicU32,
    max: AtomicU32,
    refused: AtomicU64,
}

/// A count that is not reached: four billion sockets do not exist.
const UNBOUNDED: u32 = u32::MAX;

impl BulkheadShared {
    /// With nothing taken.
    pub fn new(parameters: BulkheadParameters) -> Self {
        let bound = |max: Option<u32>| Bound {
            taken: AtomicU32::new(0),
            max: AtomicU32::new(max.unwrap_or(UNBOUNDED)),
            refused: AtomicU64::new(0),
        };
        Self {
            connections: bound(parameters.connections_max),
            streams: bound(parameters.streams_max),
            room_wanted: AtomicBool::new(false),
        }
    }

    /// Asks whoever holds an idle connection to close it; says whether nobody had asked already. One is closed for
    /// all who ask at once: who finds its place taken asks again.
    pub fn want_room(&self) -> bool {
        !self.room_wanted.swap(true, Ordering::Relaxed)
    }

    /// Whether somebody asked. Whoever is told so closes a connection, or asks in their stead.
    #[must_use]
    pub fn take_room_wanted(&self) -> bool {
        // A plain load first: it is asked for each connection that becomes idle.
        self.room_wanted.load(Ordering::Relaxed) && self.room_wanted.swap(false, Ordering::Relaxed)
    }

    /// Takes over new bounds, as after a reload. Whoever is in stays: below a bound that was lowered, nobody
    /// enters until enough have left.
    pub fn set_parameters(&self, parameters: BulkheadParameters) {
        for (kind, max) in [
            (BulkheadKind::Connections, parameters.connections_max),
            (BulkheadKind::Streams, parameters.streams_max),
        ] {
            (self.bound(kind).max).store(max.unwrap_or(UNBOUNDED), Ordering::Relaxed);
        }
    }

    /// Takes a place if there is one; [`BulkheadShared::leave`] must follow exactly once. See [`BulkheadPlace`].
    #[must_use]
    pub fn try_enter(&self, kind: BulkheadKind) -> bool {
        let bound = self.bound(kind);
        let max = bound.max.load(Ordering::Relaxed);
        // Compare and exchange, not add and undo: between those two, others would be refused a place that is free.
        let entered = bound
            .taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max).then(|| taken + 1)
            })
            .is_ok();
        if !entered {
            bound.refused.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// Gives a place back.
    pub fn leave(&self, kind: BulkheadKind) {
        let left =
            self.bound(kind)
                .taken
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                    taken.checked_sub(1)
                });
        // A place that nobody took: the count stays at zero.
        let _ = never!(left.is_err());
    }

    /// How many places are taken, over all threads.
    pub fn taken(&self, kind: BulkheadKind) -> u32 {
        self.bound(kind).taken.load(Ordering::Relaxed)
    }

    /// The bound in force.
    pub fn max(&self, kind: BulkheadKind) -> Option<u32> {
        let max = self.bound(kind).max.load(Ordering::Relaxed);
        (max != UNBOUNDED).then_some(max)
    }

    /// How often the bound was reached, since the start.
    pub fn refused(&self, kind: BulkheadKind) -> u64 {
        self.bound(kind).refused.load(Ordering::Relaxed)
    }

    const fn bound(&self, kind: BulkheadKind) -> &Bound {
        match kind {
            BulkheadKind::Connections => &self.connections,
            BulkheadKind::Streams => &self.streams,
        }
    }
}

impl AsRef<Self> for BulkheadShared {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// A place that is taken until this is dropped, however that comes about.
#[derive(Debug)]
#[must_use = "the place is given back as soon as this is dropped"]
pub struct BulkheadPlace<S: Deref<Target: AsRef<BulkheadShared>>> {
    shared: S,
    kind: BulkheadKind,
}

impl<S: Deref<Target: AsRef<BulkheadShared>>> BulkheadPlace<S> {
    /// Takes a place of what `shared` leads to (an `Arc` of it, or a reference); `None` if there is none.
    pub fn try_enter(shared: S, kind: BulkheadKind) -> Option<Self> {
        let entered = AsRef::<BulkheadShared>::as_ref(&*shared).try_enter(kind);
        entered.then(|| Self { shared, kind })
    }
}

impl<S: Deref<Target: AsRef<BulkheadShared>>> Drop for BulkheadPlace<S> {
    fn drop(&mut self) {
        AsRef::<BulkheadShared>::as_ref(&*self.shared).leave(self.kind);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KIND: BulkheadKind = BulkheadKind::Streams;

    #[test]
    fn a_full_bulkhead_refuses_until_someone_leaves() {
        let shared = streams(Some(2));
        assert!(shared.try_enter(KIND) && shared.try_enter(KIND));
        assert!(!shared.try_enter(KIND));
        assert_eq!((shared.taken(KIND), shared.refused(KIND)), (2, 1));
        shared.leave(KIND);
        assert!(shared.try_enter(KIND));
    }

    #[test]
    fn what_has_no_bound_refuses_nobody() {
        let shared = streams(None);
        assert_eq!(shared.max(KIND), None);
        for _ in 0..100_000 {
            assert!(shared.try_enter(KIND));
        }
    }

    #[test]
    fn room_is_made_once_for_all_who_ask_at_once() {
        let shared = streams(None);
        assert!(!shared.take_room_wanted());
        assert!(shared.want_room());
        assert!(!shared.want_room());
        assert!(shared.take_room_wanted());
        assert!(!shared.take_room_wanted());
    }

    #[test]
    fn kinds_do_not_count_against_each_other() {
        let shared = BulkheadShared::new(BulkheadParameters {
            connections_max: Some(1),
            streams_max: Some(1),
        });
        for kind in BulkheadKind::ALL {
            assert!(shared.try_enter(kind), "{}", kind.name());
            assert!(!shared.try_enter(kind), "{}", kind.name());
        }
    }

    #[test]
    fn under_a_lowered_bound_nobody_enters_until_enough_have_left() {
        let shared = streams(Some(3));
        assert!((0..3).all(|_| shared.try_enter(KIND)));
        shared.set_parameters(BulkheadParameters {
            streams_max: Some(1),
            ..BulkheadParameters::default()
        });
        for _ in 0..3 {
            assert!(!shared.try_enter(KIND));
            shared.leave(KIND);
        }
        assert!(shared.try_enter(KIND));
        shared.set_parameters(BulkheadParameters::default());
        assert!(shared.try_enter(KIND));
    }

    #[test]
    fn a_dropped_place_is_free_also_after_a_panic() {
        let shared = Arc::new(streams(Some(1)));
        let place = BulkheadPlace::try_enter(Arc::clone(&shared), KIND);
        assert!(BulkheadPlace::try_enter(&*shared, KIND).is_none());
        let panicked = std::panic::catch_unwind(move || {
            let _place = place;
            panic!("the request's handler");
        });
        assert!(panicked.is_err());
        assert!(BulkheadPlace::try_enter(&*shared, KIND).is_some());
        assert_eq!(shared.taken(KIND), 0);
    }

    #[test]
    #[should_panic(expected = "an invariant does not hold")]
    fn a_place_that_nobody_took_cannot_be_left() {
        streams(Some(1)).leave(KIND);
    }

    #[test]
    fn threads_together_are_never_over_the_bound() {
        let shared = streams(Some(3));
        let inside = AtomicU32::new(0);
        let entered: u32 = std::thread::scope(|scope| {
            let worker = || {
                let mut entered = 0;
                for _ in 0..20_000 {
                    if let Some(_place) = BulkheadPlace::try_enter(&shared, KIND) {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        assert!(shared.taken(KIND) <= 3);
                        entered += 1;
                        std::hint::spin_loop();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                }
                entered
            };
            let threads = (0..8).map(|_| scope.spawn(worker)).collect::<Vec<_>>();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(shared.taken(KIND), 0);
        assert_eq!(u64::from(entered) + shared.refused(KIND), 8 * 20_000);
    }

    proptest! {
        /// Safety: the count is what a plain counter says, whatever comes.
        #[test]
        fn the_count_is_exact(max in 0_u32..6, events in vec(any::<bool>(), 0..200)) {
            let shared = streams(Some(max));
            let mut inside = 0;
            for enter in events {
                if enter {
                    let entered = shared.try_enter(KIND);
                    prop_assert_eq!(entered, inside < max);
                    inside += u32::from(entered);
                } else if inside > 0 {
                    shared.leave(KIND);
                    inside -= 1;
                }
                prop_assert_eq!(shared.taken(KIND), inside);
            }
        }
    }

    fn streams(streams_max: Option<u32>) -> BulkheadShared {
        BulkheadShared::new(BulkheadParameters {
            streams_max,
            ..BulkheadParameters::default()
        })
    }
}
