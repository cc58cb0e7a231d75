//! The memory of an endpoint, and the time that stands still while garbage is collected.
//!
//! Each request takes `each` bytes when it comes and holds them until it is through; what those that are through held is garbage.
//! Once all is full, nothing is worked on for `pause`, and the garbage is gone; if what is held alone is too much, the process is
//! killed. So at `rate` requests a second, with `held` bytes held, it stands still for a share of
//! `pause * rate * each / (limit - held)`: the fuller, the more often.
//! Source: R. Jones, A. Hosking, E. Moss, *The Garbage Collection Handbook*, 2nd ed. (2023): the cost of tracing collectors that
//! stop the world. Units: bytes, nanoseconds.

use std::collections::BTreeMap;

use crate::agenda::Nanos;
use crate::service::Memory;

/// See the module's docs.
#[derive(Debug, Default)]
pub(super) struct Heap {
    /// What is held, and garbage.
    used: u64,
    /// More is held than there is.
    over: bool,
    /// All pauses so far, and when the last one is over.
    stood: Nanos,
    until: Nanos,
    /// When workers are through with what they have, by a clock that stands still in pauses.
    due: BTreeMap<u32, Nanos>,
}

impl Heap {
    /// A request comes.
    pub(super) fn take(&mut self, memory: &Memory) {
        self.used = self.used.saturating_add(memory.each);
    }

    /// Garbage is collected if all is full; so many requests hold theirs.
    pub(super) fn collect(&mut self, now: Nanos, memory: &Memory, held: usize) {
        if self.used > memory.limit {
            self.used = memory.each.saturating_mul(held as u64);
            self.over = self.used > memory.limit;
            self.stood += memory.pause;
            self.until = self.until.max(now) + memory.pause;
        }
    }

    /// Whether the process is to be killed.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// When the pause is over.
    pub(super) fn until(&self) -> Nanos {
        self.until
    }

    /// A worker begins with a request that takes so long. Says when it is through if there is no pause any more.
    pub(super) fn begin(&mut self, from: Nanos, id: u32, takes: Nanos) -> Nanos {
        let through = from.max(self.until) + takes;
        self.due.insert(id, through - self.stood);
        through
    }

    /// A worker would be through. If there were pauses, says when it is, as far as is known.
    pub(super) fn owes(&mut self, now: Nanos, id: u32) -> Option<Nanos> {
        let due = *self.due.get(&id)?;
        if due <= now.max(self.until) - self.stood {
            self.due.remove(&id);
            return None;
        }
        Some(due + self.stood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agenda::{Agenda, Event, SECOND, Work};
    use crate::random::Spread;
    use crate::service::{Server, Service, Warming};
    use crate::station::Station;
    use crate::station::tests::throughput;

    /// Room for 108 requests.
    const MEMORY: Memory = Memory {
        each: 1 << 20,
        limit: 108 << 20,
        pause: 50_000_000,
    };

    #[test]
    fn it_stands_still_for_the_share_of_time_that_the_closed_form_says() {
        // So many requests are held that a pause comes after each 101, and after each 9.
        for (held, between) in [(8, 101.0), (100, 9.0)] {
            let pool = Service::pool(8, 20.0, Spread::Exponential);
            let shared = Service {
                server: Server::Shared {
                    mean: 20.0,
                    alpha: 0.0,
                    beta: 1e-3,
                },
                ..pool
            };
            let speed = 1.0 / (1.0 + 1e-3 * f64::from(held) * f64::from(held - 1));
            for (service, rate) in [(pool, 400.0), (shared, f64::from(held) / 0.020 * speed)] {
                let with = Service {
                    memory: Some(MEMORY),
                    ..service
                };
                let expected = between / (between / rate + 0.050);
                let measured = throughput(&with, held, 60);
                assert!(
                    (measured / expected - 1.0).abs() < 0.03,
                    "{measured}, {expected}"
                );
            }
        }
    }

    #[test]
    fn a_pause_makes_all_that_is_worked_on_later_and_nothing_is_lost() {
        let service = Service {
            memory: Some(Memory {
                limit: 3 << 20,
                ..MEMORY
            }),
            ..Service::pool(2, 100.0, Spread::Constant)
        };
        let mut agenda: Agenda = Agenda::default();
        let mut station = Station::new(&service, 1);
        let mut done = Vec::new();
        let mut comes = [0, 10, 101, 120].iter().map(|at| at * 1_000_000).zip(0..);
        let mut next = comes.next();
        loop {
            match next {
                Some((at, id)) if at < agenda.next() => {
                    station.enter(at, id, 0, &mut agenda);
                    next = comes.next();
                }
                _ => {
                    let at = agenda.next();
                    let Some(Event::Work(Work::Served(id))) = agenda.take() else {
                        break;
                    };
                    if station.served(at, id, &mut agenda) {
                        done.push((id, at / 1_000_000));
                    }
                }
            }
        }
        // The fourth finds the memory full of one that was answered: its pause is from 120 ms to 170 ms.
        assert_eq!(done, [(0, 100), (1, 110), (2, 251), (3, 270)]);
        assert!(!station.is_over());
    }

    #[test]
    fn one_more_than_fits_is_too_much() {
        for service in [
            Service::pool(2, 20.0, Spread::Constant),
            Service::shared(1e-3),
        ] {
            let service = Service {
                memory: Some(MEMORY),
                ..service
            };
            let mut agenda: Agenda = Agenda::default();
            let mut station = Station::new(&service, 1);
            for id in 0..108 {
                station.enter(0, id, 0, &mut agenda);
                assert!(!station.is_over());
            }
            station.enter(0, 108, 0, &mut agenda);
            assert!(station.is_over());
            station.crash(0);
            assert!(!station.is_over());
        }
    }

    #[test]
    fn what_has_been_worked_on_and_waits_for_a_call_holds_its_memory() {
        let service = Service {
            memory: Some(Memory {
                limit: 1 << 20,
                ..MEMORY
            }),
            ..Service::shared(1e-3)
        };
        for leaves in [true, false] {
            let mut agenda: Agenda = Agenda::default();
            let mut station = Station::new(&service, 1);
            station.enter(0, 0, 0, &mut agenda);
            let done = station.shared_done();
            assert_eq!(station.take_shared(done), Some(0));
            station.stay();
            if leaves {
                station.leave(done, &mut agenda);
            }
            station.enter(done, 1, 0, &mut agenda);
            assert_eq!(station.is_over(), !leaves);
        }
    }

    #[test]
    fn a_process_that_was_started_gets_faster_with_what_it_does() {
        let service = Service {
            warming: Some(Warming {
                times: 4.0,
                warm: 100.0,
            }),
            ..Service::pool(1, 10.0, Spread::Constant)
        };
        let mut agenda: Agenda = Agenda::default();
        let mut station = Station::new(&service, 1);
        let mut took = |station: &mut Station, at| {
            station.enter(at, 0, 0, &mut agenda);
            let through = agenda.next();
            agenda.take();
            station.served(through, 0, &mut agenda);
            (through - at) as f64 / 1e6
        };
        // It is warm when a run begins.
        assert_eq!(took(&mut station, 0), 10.0);
        station.crash(SECOND);
        for n in 0..300 {
            let expected = 10.0 * (1.0 + 3.0 * (-f64::from(n) / 100.0).exp());
            let measured = took(&mut station, 2 * SECOND);
            assert!((measured - expected).abs() < 1e-3, "{measured}, {expected}");
        }
    }
}
