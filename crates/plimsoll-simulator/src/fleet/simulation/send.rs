//! Attempts on their way to endpoints, and answers on their way back.

use std::rc::Rc;

use plimsoll_core::ServiceId;

use super::{Simulation, TryState};
use crate::agenda::Nanos;
use crate::fleet::clients::nanos;
use crate::fleet::event::Event;
use crate::fleet::thread::Thread;

/// How long a connection takes that is refused: a round trip in a data centre.
const REFUSAL: Nanos = 200_000;

impl Simulation {
    /// The position of a thread's gateway.
    pub(super) fn gateway_of(&self, thread: &Thread) -> usize {
        thread.first as usize / (self.threads.len() / self.gateways.len())
    }

    /// An attempt leaves its gateway.
    pub(super) fn send_out(
        &mut self,
        now: Nanos,
        id: u32,
        site: usize,
        thread: &Rc<Thread>,
        service: ServiceId,
    ) {
        let gateway = self.gateway_of(thread);
        let place = &mut self.sites[site];
        if place.is_cut_off(now, gateway) {
            let connect = nanos(self.services[service.index()].protection.connect);
            let deadline = now.saturating_add(connect);
            let at = place.connected(now, gateway);
            if at < deadline {
                self.agenda.note(at, Event::Deliver { attempt: id });
            } else {
                self.refuse(id, deadline);
            }
        } else if place.is_gone(now) {
            self.refuse(id, now + REFUSAL);
        } else {
            let at = place.message(now, gateway);
            if at > now {
                self.agenda.note(at, Event::Deliver { attempt: id });
            } else {
                self.enter(now, id, site);
            }
        }
    }

    fn refuse(&mut self, id: u32, at: Nanos) {
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.state = TryState::Refused;
            self.agenda.note(at, Event::Refused { attempt: id });
        }
    }

    fn enter(&mut self, now: Nanos, id: u32, site: usize) {
        let place = &mut self.sites[site];
        let kept = place.station.enter(now, id, 0, &mut self.agenda);
        assert!(kept, "no request hangs without a reason");
        place.watch(site as u32, &mut self.agenda);
        if place.station.is_over() {
            let site = site as u32;
            self.agenda.note(now, Event::Kill { site });
        }
    }

    /// An attempt that was late on its way is there.
    pub(super) fn on_delivered(&mut self, now: Nanos, id: u32) {
        let Some(attempt) = self.attempts.get_mut(id).map(|it| *it) else {
            return;
        };
        let site = attempt.site as usize;
        let dropped =
            self.sites[site].station.cancels() && self.home_of_attempt(id, attempt).is_none();
        if attempt.state == TryState::Lost || dropped {
            self.attempts.remove(id);
        } else if self.sites[site].is_gone(now) {
            self.refuse(id, now + REFUSAL);
        } else {
            self.enter(now, id, site);
        }
    }

    /// An endpoint answers an attempt.
    pub(super) fn reply(&mut self, now: Nanos, id: u32, good: bool) {
        let Some(attempt) = self.attempts.get_mut(id).map(|it| *it) else {
            return;
        };
        let at = match self.home_of_attempt(id, attempt) {
            Some((thread, _)) => {
                let gateway = self.gateway_of(&thread);
                self.sites[attempt.site as usize].message(now, gateway)
            }
            None => now,
        };
        if at > now {
            self.agenda.note(at, Event::Reply { attempt: id, good });
        } else {
            self.on_answer(now, id, good);
        }
    }

    /// An answer that was late on its way is there.
    pub(super) fn on_reply(&mut self, now: Nanos, id: u32, good: bool) {
        match self.attempts.get_mut(id) {
            Some(attempt) if attempt.state == TryState::Lost => {
                self.attempts.remove(id);
            }
            _ => self.on_answer(now, id, good),
        }
    }
}
