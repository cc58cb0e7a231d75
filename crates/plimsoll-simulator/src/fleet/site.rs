//! An endpoint of a service, with what goes wrong at it.

use plimsoll_config::scenario::{FaultKind, ScenarioService, Start, TimeSpread, Work};

use crate::agenda::{Agenda, NEVER, Nanos};
use crate::fleet::clients::nanos;
use crate::fleet::event::Event;
use crate::fleet::network::{RESEND, RESEND_FIRST, arrival};
use crate::random::{Spread, Stream};
use crate::service::{Cache, Memory, Server, Service, Warming};
use crate::station::Station;

/// An endpoint.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) station: Station,
    healthy: Service,
    /// What goes wrong now, by the position of the fault, and until when.
    faults: Vec<(u32, FaultKind, Nanos)>,
    /// How long it takes to start, and when it is there again that is starting.
    takes: Nanos,
    back: Nanos,
    losses: Stream,
    /// For when [`Event::Shared`] is noted.
    noted: Nanos,
}

impl Site {
    pub(super) fn new(healthy: Service, start: Option<&Start>, seed: u64) -> Self {
        Self {
            takes: start.map_or(0, |start| nanos(start.takes)),
            back: 0,
            losses: Stream::new(seed, "losses"),
            station: Station::new(&healthy, seed),
            healthy,
            faults: Vec::new(),
            noted: NEVER,
        }
    }

    /// Whether its connections are refused.
    pub(super) fn is_gone(&self, now: Nanos) -> bool {
        now < self.back || self.faults.iter().any(|it| it.1 == FaultKind::Crash)
    }

    /// Whether this gateway hears nothing of it.
    pub(super) fn is_cut_off(&self, now: Nanos, gateway: usize) -> bool {
        let cut = |&(_, kind, ends): &(u32, FaultKind, Nanos)| {
            now < ends && matches!(kind, FaultKind::Partition(gateways) if gateway < gateways)
        };
        self.faults.iter().any(cut)
    }

    /// When a message is there that is sent now, to it or from it.
    pub(super) fn message(&mut self, now: Nanos, gateway: usize) -> Nanos {
        let (faults, losses) = (&self.faults, &mut self.losses);
        arrival(now, RESEND, |at| {
            faults.iter().all(|&(_, kind, ends)| match kind {
                FaultKind::Loss(share) => at >= ends || !losses.chance(share),
                FaultKind::Partition(gateways) => at >= ends || gateway >= gateways,
                _ => true,
            })
        })
    }

    /// When a connection is made that a gateway asks for that hears nothing of it now.
    pub(super) fn connected(&self, now: Nanos, gateway: usize) -> Nanos {
        arrival(now, RESEND_FIRST, |at| !self.is_cut_off(at, gateway))
    }

    /// It is killed, and starts again: gives what [`Site::begin`] does.
    pub(super) fn kill(&mut self, now: Nanos) -> Vec<u32> {
        self.back = now.saturating_add(self.takes);
        self.station.crash(now)
    }

    /// A fault begins, and ends after this time. Gives the attempts that it takes with it of which nothing more will
    /// be heard; of others an event is noted.
    pub(super) fn begin(
        &mut self,
        now: Nanos,
        fault: u32,
        kind: FaultKind,
        lasts: Nanos,
        agenda: &mut Agenda<Event>,
    ) -> Vec<u32> {
        self.faults.push((fault, kind, now.saturating_add(lasts)));
        let lost = match kind {
            FaultKind::Crash => self.station.crash(now),
            FaultKind::Freeze => {
                self.station.freeze(now, lasts);
                Vec::new()
            }
            FaultKind::Cold => {
                self.station.cool();
                Vec::new()
            }
            FaultKind::Slow(_)
            | FaultKind::Errors(_)
            | FaultKind::Capacity(_)
            | FaultKind::Loss(_)
            | FaultKind::Partition(_) => Vec::new(),
        };
        self.station.change(now, &self.service(), agenda);
        lost
    }

    /// A fault ends.
    pub(super) fn end(&mut self, now: Nanos, fault: u32, agenda: &mut Agenda<Event>) {
        let is_crash = |it: &(u32, FaultKind, Nanos)| it.0 == fault && it.1 == FaultKind::Crash;
        if self.faults.iter().any(is_crash) {
            self.back = now.saturating_add(self.takes);
        }
        self.faults.retain(|(other, ..)| *other != fault);
        self.station.change(now, &self.service(), agenda);
    }

    /// Notes when an attempt is done of those that are worked on at once, if that is not noted yet.
    pub(super) fn watch(&mut self, site: u32, agenda: &mut Agenda<Event>) {
        let at = self.station.shared_done();
        if at != self.noted {
            self.noted = at;
            if at != NEVER {
                agenda.note(at, Event::Shared { site });
            }
        }
    }

    /// An attempt that is done now, of those that are worked on at once.
    pub(super) fn take_shared(&mut self, now: Nanos) -> Option<u32> {
        if self.station.shared_done() > now {
            return None;
        }
        self.noted = NEVER;
        let id = self.station.take_shared(now)?;
        self.station.stay();
        Some(id)
    }

    fn service(&self) -> Service {
        let mut service = self.healthy;
        for (_, fault, _) in &self.faults {
            match (fault, &mut service.server) {
                (
                    FaultKind::Slow(times),
                    Server::Pool { mean, .. } | Server::Shared { mean, .. },
                ) => {
                    *mean *= times;
                }
                (FaultKind::Errors(share), _) => {
                    service.failing = 1.0 - (1.0 - service.failing) * (1.0 - share);
                }
                (FaultKind::Capacity(share), Server::Pool { workers, .. }) => {
                    *workers = libm::ceil(f64::from(*workers) * share) as u32;
                }
                (FaultKind::Capacity(_), Server::Shared { .. })
                | (FaultKind::Crash | FaultKind::Freeze | FaultKind::Cold, _)
                | (FaultKind::Loss(_) | FaultKind::Partition(_), _) => (),
            }
        }
        service
    }
}

/// What an endpoint of a service is like while nothing goes wrong.
pub(crate) fn healthy(service: &ScenarioService) -> Service {
    let mean = service.time.as_secs_f64() * 1e3;
    let memory = service.memory.map(|memory| Memory {
        each: memory.each,
        limit: memory.limit,
        pause: nanos(memory.pause),
    });
    let warming = service.start.map(|start| Warming {
        times: start.times,
        warm: f64::from(start.warm),
    });
    let server = match service.work {
        Work::Workers { workers, spread } => {
            let spread = match spread {
                TimeSpread::Constant => Spread::Constant,
                TimeSpread::Exponential => Spread::Exponential,
                TimeSpread::Lognormal(cv) => Spread::Lognormal(cv),
                TimeSpread::Bimodal => Spread::Bimodal,
            };
            let cache = service.cache.map(|cache| Cache {
                hit: cache.hit,
                miss: cache.miss.as_secs_f64() * 1e3,
                fill: f64::from(cache.fill),
            });
            Service {
                cancels: service.cancels,
                cache,
                ..Service::pool(workers, mean, spread)
            }
        }
        Work::Shared {
            contention,
            crosstalk,
        } => Service {
            server: Server::Shared {
                mean,
                alpha: contention,
                beta: crosstalk,
            },
            ..Service::shared(crosstalk)
        },
    };
    Service {
        memory,
        warming,
        ..server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up_and_go_one_by_one() {
        let mut agenda = Agenda::default();
        let mut site = Site::new(Service::pool(8, 20.0, Spread::Exponential), None, 1);
        let mut begin = |site: &mut Site, fault, kind| {
            let lost = site.begin(0, fault, kind, 0, &mut agenda);
            assert!(lost.is_empty());
        };
        begin(&mut site, 0, FaultKind::Slow(3.0));
        begin(&mut site, 1, FaultKind::Capacity(0.3));
        begin(&mut site, 2, FaultKind::Errors(0.5));
        let Server::Pool { workers, mean, .. } = site.service().server else {
            panic!("it was a pool");
        };
        assert_eq!((workers, mean, site.service().failing), (3, 60.0, 0.5));
        site.end(0, 0, &mut agenda);
        site.end(0, 1, &mut agenda);
        assert_eq!(site.service().capacity(), site.healthy.capacity());
        assert!(!site.is_gone(0));
    }
}
