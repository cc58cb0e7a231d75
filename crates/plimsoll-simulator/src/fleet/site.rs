//! An endpoint of a service, with what goes wrong at it.

use plimsoll_config::scenario::{FaultKind, ScenarioService, TimeSpread, Work};

use crate::agenda::{Agenda, NEVER, Nanos};
use crate::fleet::event::Event;
use crate::random::Spread;
use crate::service::{Cache, Server, Service};
use crate::station::Station;

/// An endpoint.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) station: Station,
    healthy: Service,
    /// What goes wrong now, by the position of the fault.
    faults: Vec<(u32, FaultKind)>,
    /// For when [`Event::Shared`] is noted.
    noted: Nanos,
}

impl Site {
    pub(super) fn new(healthy: Service, seed: u64) -> Self {
        Self {
            station: Station::new(&healthy, seed),
            healthy,
            faults: Vec::new(),
            noted: NEVER,
        }
    }

    /// Whether its connections are refused.
    pub(super) fn is_gone(&self) -> bool {
        let gone = |fault: &(u32, FaultKind)| fault.1 == FaultKind::Crash;
        self.faults.iter().any(gone)
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
        self.faults.push((fault, kind));
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
            FaultKind::Slow(_) | FaultKind::Errors(_) | FaultKind::Capacity(_) => Vec::new(),
        };
        self.station.change(now, &self.service(), agenda);
        lost
    }

    /// A fault ends.
    pub(super) fn end(&mut self, now: Nanos, fault: u32, agenda: &mut Agenda<Event>) {
        self.faults.retain(|(other, _)| *other != fault);
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
        self.station.take_shared(now)
    }

    fn service(&self) -> Service {
        let mut service = self.healthy;
        for (_, fault) in &self.faults {
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
                | (FaultKind::Crash | FaultKind::Freeze | FaultKind::Cold, _) => (),
            }
        }
        service
    }
}

/// What an endpoint of a service is like while nothing goes wrong.
pub(crate) fn healthy(service: &ScenarioService) -> Service {
    let mean = service.time.as_secs_f64() * 1e3;
    match service.work {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_add_up_and_go_one_by_one() {
        let mut agenda = Agenda::default();
        let mut site = Site::new(Service::pool(8, 20.0, Spread::Exponential), 1);
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
        assert!(!site.is_gone());
    }
}
