//! What happens when, in virtual time.
//!
//! Units: nanoseconds since the run's start. Invariant: events of one moment come in the order in which they
//! were noted, so that a run is the same each time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Nanoseconds since the run's start.
pub(crate) type Nanos = u64;
/// Never.
pub(crate) const NEVER: Nanos = u64::MAX;
/// A second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// What a service notes for itself. A request is what the service was given for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A worker is through with a request.
    Served(u32),
    /// The answer of a request is there.
    Answered(u32),
    /// A request fails.
    Failed(u32),
}

/// What is to happen in a run of the suite. A request is its place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// At the service.
    Work(Work),
    /// A gateway thread was woken.
    Wake(u32),
    /// Heads of a gateway thread's queue may be too old.
    Expire(u32),
    /// A client tries again: who it is, packed by the workload.
    Again(u32),
}

impl From<Work> for Event {
    fn from(work: Work) -> Self {
        Self::Work(work)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    at: Nanos,
    sequence: u64,
    event: E,
}

impl<E> Ord for Entry<E> {
    /// The earliest is the greatest: `BinaryHeap` gives out the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

/// Events in the order in which they happen.
#[derive(Debug)]
pub(crate) struct Agenda<E = Event> {
    entries: BinaryHeap<Entry<E>>,
    sequence: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            entries: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl<E> Agenda<E> {
    /// Notes an event.
    pub(crate) fn note(&mut self, at: Nanos, event: impl Into<E>) {
        self.sequence += 1;
        self.entries.push(Entry {
            at,
            sequence: self.sequence,
            event: event.into(),
        });
    }

    /// When the next event is; [`NEVER`] without one.
    pub(crate) fn next(&self) -> Nanos {
        self.entries.peek().map_or(NEVER, |entry| entry.at)
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self) -> Option<E> {
        self.entries.pop().map(|entry| entry.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_noted() {
        let mut agenda: Agenda = Agenda::default();
        agenda.note(7, Event::Wake(1));
        agenda.note(5, Event::Wake(2));
        agenda.note(7, Event::Wake(3));
        agenda.note(5, Event::Wake(4));
        let order: Vec<_> = std::iter::from_fn(|| agenda.take()).collect();
        assert_eq!(order, [2, 4, 1, 3].map(Event::Wake));
        assert_eq!(agenda.next(), NEVER);
    }
}
