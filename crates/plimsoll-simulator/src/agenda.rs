//! What is to happen in a run, and its order.
//!
//! Units: nanoseconds since the run's start.

use crate::calendar::Calendar;

/// Nanoseconds since the run's start.
pub type Nanos = u64;
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

/// Events in the order in which they happen.
pub(crate) type Agenda<E = Event> = Calendar<E>;

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
