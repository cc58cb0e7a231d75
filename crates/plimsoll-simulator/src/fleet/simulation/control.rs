//! The control threads' turns, and faults that begin and end.

use std::collections::BTreeSet;
use std::ops::Range;

use plimsoll_config::scenario::{Fault, FaultKind};
use plimsoll_core::Instant;
use plimsoll_measure::Cause;
use plimsoll_policy::retry::Failure;

use super::{HEALTH_TICK, Service, Simulation, TICK, Try, TryState};
use crate::agenda::{Nanos, SECOND};
use crate::fleet::clients::nanos;
use crate::fleet::event::Event;
use crate::fleet::timeline::Level;

impl Simulation {
    pub(super) fn tick(&mut self, now: Nanos, gateway: u32) {
        let threads = (self.threads.len() / self.gateways.len()) as u32;
        let mut woken = Vec::new();
        self.gateways[gateway as usize].tick(Instant::from_nanos(now), |thread, service| {
            woken.push((gateway * threads + thread as u32, service));
        });
        for (thread, service) in woken {
            self.wake(now, thread, service);
        }
        self.agenda.note(now + TICK, Event::Tick { gateway });
    }

    pub(super) fn watch(&mut self, now: Nanos, gateway: u32) {
        let (services, sites) = (&self.services, &self.sites);
        let position = gateway as usize;
        self.gateways[position].watch(Instant::from_nanos(now), |service, endpoint| {
            let site = &sites[services[service].first + endpoint];
            !site.is_gone(now) && !site.is_cut_off(now, position)
        });
        let next = now + HEALTH_TICK;
        self.agenda.note(next, Event::Health { gateway });
    }

    /// A second of a governor is over.
    pub(super) fn decide(&mut self, now: Nanos, gateway: u32) {
        let mut ledger = self.ledger.borrow_mut();
        let decisions = ledger.decisions_mut();
        self.gateways[gateway as usize].decide(Instant::from_nanos(now), gateway, decisions);
        drop(ledger);
        for service in 0..self.services.len() {
            let Service {
                first, gives_up, ..
            } = self.services[service];
            if gives_up.optional == 0.0 {
                continue;
            }
            // Each gateway has its own level. Requests come evenly over them, and each takes the mean less.
            let dimmed = self.gateways.iter().map(|it| it.dimmed(service));
            let dimmed = dimmed.sum::<f64>() / self.gateways.len() as f64;
            for site in first..first + self.endpoints_of(service) {
                self.sites[site]
                    .station
                    .lean(1.0 - gives_up.optional * dimmed);
            }
        }
        self.agenda.note(now + SECOND, Event::Govern { gateway });
    }

    fn endpoints_of(&self, service: usize) -> usize {
        let services = self.services.len();
        let end = match service + 1 < services {
            true => self.services[service + 1].first,
            false => self.sites.len(),
        };
        end - self.services[service].first
    }

    /// A step of the timeline is over: keeps where all guards are.
    pub(super) fn sample(&mut self, now: Nanos) {
        let mut levels = vec![Level::none(); self.services.len()];
        for gateway in self.gateways.iter() {
            for (level, of_gateway) in levels.iter_mut().zip(gateway.levels()) {
                level.add(&of_gateway);
            }
        }
        self.ledger.borrow_mut().sample(now, levels);
        self.agenda.note(now + self.sampled, Event::Sample);
    }

    /// A second is over of what the first gateway's process remembers.
    pub(super) fn on_second(&mut self, now: Nanos) {
        if let Some(memory) = &self.memory {
            let gateway = &self.gateways[0];
            let (levels, verdicts) = (gateway.levels(), gateway.verdicts());
            memory
                .borrow_mut()
                .on_second(now / SECOND, levels, verdicts);
        }
        self.agenda.note(now + SECOND, Event::Remember);
    }

    pub(super) fn begin_fault(&mut self, now: Nanos, index: u32) {
        let fault = self.faults[index as usize].clone();
        let mut unheard = BTreeSet::new();
        for site in self.sites_of(&fault) {
            let lasts = nanos(fault.lasts);
            let place = &mut self.sites[site as usize];
            unheard.extend(place.begin(now, index, fault.kind, lasts, &mut self.agenda));
            place.watch(site, &mut self.agenda);
        }
        if fault.kind == FaultKind::Crash {
            self.crash(now, self.sites_of(&fault), &unheard);
        }
    }

    pub(super) fn end_fault(&mut self, now: Nanos, index: u32) {
        let fault = self.faults[index as usize].clone();
        for site in self.sites_of(&fault) {
            self.sites[site as usize].end(now, index, &mut self.agenda);
            self.sites[site as usize].watch(site, &mut self.agenda);
        }
    }

    /// An endpoint needs more memory than there is.
    pub(super) fn kill(&mut self, now: Nanos, site: u32) {
        let place = &mut self.sites[site as usize];
        if place.station.is_over() {
            let unheard = place.kill(now).into_iter().collect();
            place.watch(site, &mut self.agenda);
            self.crash(now, site..site + 1, &unheard);
        }
    }

    pub(super) fn sites_of(&self, fault: &Fault) -> Range<u32> {
        let first = self.services[fault.service].first as u32;
        let first = first + fault.after as u32;
        first..first + fault.endpoints as u32
    }

    /// Connections of all that these endpoints had break; of `unheard` no event is noted.
    fn crash(&mut self, now: Nanos, sites: Range<u32>, unheard: &BTreeSet<u32>) {
        let had = self.attempts.iter().filter(|(_, attempt)| {
            sites.contains(&attempt.site) && attempt.state == TryState::Sent
        });
        let had: Vec<(u32, Try)> = had.map(|(id, attempt)| (id, *attempt)).collect();
        for (id, attempt) in had {
            let waits = self.home_of_attempt(id, attempt);
            if unheard.contains(&id) {
                self.attempts.remove(id);
            } else if let Some(attempt) = self.attempts.get_mut(id) {
                attempt.state = TryState::Lost;
                if let Some(call) = attempt.progress.waits {
                    self.agenda.note(now, Event::HangUp(call));
                }
            }
            let cut_off = waits.as_ref().is_some_and(|(thread, _)| {
                let gateway = self.gateway_of(thread);
                self.sites[attempt.site as usize].is_cut_off(now, gateway)
            });
            if cut_off && let Some(request) = self.request(attempt.request) {
                // It waits for what nobody will send.
                request.attempt = None;
            } else if let Some((thread, service)) = waits {
                self.fail(now, attempt.request.place, Cause::Reset, Failure::Reset);
                self.listen_to(now, &thread, service);
            }
        }
    }
}
