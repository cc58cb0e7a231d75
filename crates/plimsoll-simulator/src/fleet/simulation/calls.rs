//! What an endpoint calls before it answers, and what becomes of it then.
//!
//! A call goes through the gateways as a user's request does. The end of one is an event of its own, at the same time, so
//! that nothing of a gateway is asked while it is being told something.

use plimsoll_measure::Cause;

use super::{Simulation, TryState};
use crate::agenda::{Nanos, Work};
use crate::fleet::clients::User;
use crate::fleet::event::RequestId;

/// How far an endpoint is with an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// How many of its service's calls are behind it.
    calls: u16,
    /// How often the next of them was made, and where it is counted.
    tries: u8,
    cell: u32,
    /// Where the call is that it waits for.
    pub(super) waits: Option<RequestId>,
    /// Whether a call has failed.
    failed: bool,
}

impl Simulation {
    /// An endpoint is through with its own work on an attempt, or with a call for it: it makes the next call, and when
    /// none is left it answers.
    pub(super) fn go_on(&mut self, now: Nanos, id: u32) {
        let Some(attempt) = self.attempts.get_mut(id).copied() else {
            return;
        };
        let site = attempt.site as usize;
        let mut progress = attempt.progress;
        // Who knows that nobody waits makes no call.
        let goes_on = !progress.failed
            && (!self.sites[site].station.cancels() || self.home_of_attempt(id, attempt).is_some());
        let service = usize::from(attempt.service);
        while goes_on
            && let Some(call) = self.services[service]
                .calls
                .get(usize::from(progress.calls))
                .copied()
        {
            if progress.tries > 0 || self.needs.chance(call.share) {
                return self.call(now, id, call.sender);
            }
            progress.calls += 1;
            if let Some(attempt) = self.attempts.get_mut(id) {
                attempt.progress = progress;
            }
        }
        self.sites[site].station.leave(now, &mut self.agenda);
        self.reply(now, id, !progress.failed);
    }

    /// An endpoint makes the call that is next for an attempt.
    fn call(&mut self, now: Nanos, id: u32, sender: u16) {
        // As a user, in the phase in which it is first sent. What comes after the last phase is in that.
        let phase = self.phase.min(self.phases.len().saturating_sub(1));
        let cell = self.ledger.borrow().position(phase, usize::from(sender));
        let Some(attempt) = self.attempts.get_mut(id) else {
            return;
        };
        let progress = &mut attempt.progress;
        if progress.tries == 0 {
            progress.cell = cell;
        }
        let (tries, cell) = (progress.tries, progress.cell);
        progress.tries += 1;
        let User { class, tenant, .. } = attempt.user;
        let thread = self.call_routing.below(self.threads.len() as u32);
        let call = User {
            sender,
            class,
            tenant,
            tries,
            cell,
            member: None,
            caller: Some(id),
        };
        let waits = self.send_to(now, call, thread);
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.progress.waits = Some(waits);
        }
    }

    /// A call has ended that an endpoint made for an attempt.
    pub(super) fn on_called(&mut self, now: Nanos, id: u32, good: bool) {
        let Some(attempt) = self.attempts.get_mut(id) else {
            return;
        };
        if attempt.state == TryState::Lost {
            self.attempts.remove(id);
            return;
        }
        let site = attempt.site as usize;
        let progress = &mut attempt.progress;
        progress.waits = None;
        let calls = &self.services[usize::from(attempt.service)].calls;
        let attempts = calls
            .get(usize::from(progress.calls))
            .map_or(0, |call| call.attempts);
        if good {
            (progress.calls, progress.tries) = (progress.calls + 1, 0);
        } else if progress.tries >= attempts {
            progress.failed = true;
        }
        match self.sites[site].station.thaws(now, id) {
            Some(thaws) => self.agenda.note(thaws, Work::Served(id)),
            None => self.go_on(now, id),
        }
    }

    /// An endpoint hangs up on a call.
    pub(super) fn hang_up(&mut self, now: Nanos, id: RequestId) {
        if let Some((thread, service)) = self.home(id) {
            self.settle(now, id.place, Cause::ClientGone);
            self.listen_to(now, &thread, service);
        }
    }
}
