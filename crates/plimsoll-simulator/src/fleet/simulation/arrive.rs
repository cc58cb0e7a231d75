//! Clients come, lose patience, and come again.

use std::rc::Rc;

use plimsoll_core::{RouteId, ServiceId};
use plimsoll_lifecycle::{Arrival, Call, Identity};
use plimsoll_measure::Cause;
use plimsoll_policy::retry::Failure;

use super::{Request, Simulation};
use crate::agenda::{NEVER, Nanos};
use crate::fleet::clients::User;
use crate::fleet::event::{Event, RequestId};
use crate::fleet::population::Member;
use crate::fleet::senders::Sender;
use crate::fleet::thread::{Asking, ThreadEffects};
use crate::governing::GivesUp;

impl Simulation {
    pub(super) fn begin_phase(&mut self, now: Nanos, phase: usize) {
        (self.phase, self.phase_began) = (phase, now);
        if let Some(lasts) = self.phases.get(phase) {
            let next = Event::Phase {
                phase: phase as u32 + 1,
            };
            self.agenda.note(now + lasts, next);
        }
        for workload in 0..self.crowds.len() {
            self.change_load(now, workload as u16);
            if phase < self.phases.len() {
                self.change_population(now, phase, workload as u16);
            }
        }
    }

    /// A population grows or shrinks.
    fn change_population(&mut self, now: Nanos, phase: usize, workload: u16) {
        let crowd = &mut self.crowds[usize::from(workload)];
        let Some(habits) = &mut crowd.habits else {
            return;
        };
        let (newcomers, go) = habits.change(phase);
        habits.send_away(go, workload, &mut self.members);
        for _ in 0..newcomers.count {
            // Its cell is that of each thing it wants.
            let user = crowd.user(0);
            let member = self.members.insert(Member { user, goes: false });
            if let Some(habits) = &mut crowd.habits {
                let wait = match newcomers.think {
                    true => habits.thought(),
                    false => habits.way(),
                };
                self.agenda.note(now + wait, Event::Want { member });
            }
        }
    }

    /// One of a population has thought of something.
    pub(super) fn on_want(&mut self, now: Nanos, id: u32) {
        let Some(member) = self.members.get_mut(id).copied() else {
            return;
        };
        if member.goes {
            self.members.remove(id);
        } else if self.phase < self.phases.len() {
            let workload = usize::from(member.user.sender);
            let user = User {
                cell: self.ledger.borrow().position(self.phase, workload),
                member: Some(id),
                ..member.user
            };
            self.send(now, user);
        }
    }

    /// One of a population has got what it wanted, or will not get it.
    pub(super) fn on_rest(&mut self, now: Nanos, id: u32, failed: bool) {
        let Some(member) = self.members.get_mut(id).copied() else {
            return;
        };
        let crowd = &mut self.crowds[usize::from(member.user.sender)];
        let Some(habits) = &mut crowd.habits else {
            return;
        };
        if member.goes || failed && habits.leaves(&member) {
            self.members.remove(id);
        } else {
            let thought = habits.thought();
            self.agenda.note(now + thought, Event::Want { member: id });
        }
    }

    pub(super) fn change_load(&mut self, now: Nanos, workload: u16) {
        let lasts = self.phases.get(self.phase).copied().unwrap_or(NEVER);
        let crowd = &mut self.crowds[usize::from(workload)];
        let changes = crowd.change(self.phase, now - self.phase_began, lasts);
        let version = crowd.version;
        if changes < lasts {
            let at = self.phase_began + changes;
            self.agenda.note(at, Event::Load { workload, version });
        }
        if let Some(at) = crowd.next(now) {
            self.agenda.note(at, Event::Arrive { workload, version });
        }
    }

    pub(super) fn on_arrival(&mut self, now: Nanos, workload: u16, version: u32) {
        let cell = self
            .ledger
            .borrow()
            .position(self.phase, usize::from(workload));
        let crowd = &mut self.crowds[usize::from(workload)];
        if crowd.version != version {
            return;
        }
        let user = crowd.user(cell);
        if let Some(at) = crowd.next(now) {
            self.agenda.note(at, Event::Arrive { workload, version });
        }
        self.send(now, user);
    }

    /// A user sends a request, to any thread of any gateway.
    pub(super) fn send(&mut self, now: Nanos, user: User) {
        let thread = self.routing.below(self.threads.len() as u32);
        self.send_to(now, user, thread);
    }

    /// A request is sent to a thread.
    pub(super) fn send_to(&mut self, now: Nanos, user: User, thread: u32) -> RequestId {
        self.ledger
            .borrow_mut()
            .sent(now, user.cell, user.class, user.tries == 0);
        let thread = Rc::clone(&self.threads[thread as usize]);
        let sender = usize::from(user.sender);
        let Sender {
            service,
            group,
            patience,
        } = self.senders[sender];
        let bounds = self.services[service].protection.bounds;
        let service_id = ServiceId(service as u32);
        let (writes, stale) = self.can_give(service);
        let mut asking = Asking {
            route: RouteId(u32::from(user.sender)),
            service: service_id,
            identity: Identity {
                class: user.class,
                tenant: user.tenant,
                weight: 1.0,
                group,
                bounds,
            },
            writes,
            stale,
            guard: thread.shared(service_id).filter(|_| writes || stale),
        };
        let effects = ThreadEffects::new(&thread, user.cell, writes);
        let mut call = Call::arrive(effects, thread.now());
        let arrival = call.admit(thread.now(), &mut asking);
        let head = bounds.total.map_or(bounds.head, |it| it.min(bounds.head));
        let deadline = thread.now() + head;
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let place = self.requests.insert(Request {
            call,
            user,
            service: service_id,
            generation,
            deadline,
            attempt: None,
        });
        let id = RequestId { place, generation };
        // Whichever comes first: of the other nothing would come.
        if now.saturating_add(patience) <= deadline.as_nanos() {
            self.patience[sender].push_back((now + patience, id));
        } else {
            self.deadlines[service].push_back((deadline.as_nanos(), id));
        }
        match arrival {
            Arrival::Proceed(_) => self.attempt(now, place),
            Arrival::Wait(service, ticket) => thread.wait(service, ticket, place),
            Arrival::Answer(cause) => self.settle(now, place, cause),
        }
        self.listen_to(now, &thread, service_id);
        id
    }

    /// Whether a request would change something, and whether there is a stale answer for one that would not.
    fn can_give(&mut self, service: usize) -> (bool, bool) {
        let GivesUp { stale, writes, .. } = self.services[service].gives_up;
        let is_write = writes > 0.0 && self.giving.chance(writes);
        let is_stale = stale > 0.0 && self.giving.chance(stale);
        (is_write, is_stale && !is_write)
    }

    /// The first of those that lose patience, or whose deadline passes, and in which queue it is.
    pub(super) fn next_timer(&self) -> Option<(Nanos, usize)> {
        let queues = self.patience.iter().chain(self.deadlines.iter());
        let firsts = queues.zip(0..);
        firsts
            .filter_map(|(queue, index)| Some((queue.front()?.0, index)))
            .min()
    }

    pub(super) fn time_out(&mut self, now: Nanos, queue: usize) {
        let senders = self.patience.len();
        let patience = queue < senders;
        let queue = match patience {
            true => &mut self.patience[queue],
            false => &mut self.deadlines[queue - senders],
        };
        let Some((_, id)) = queue.pop_front() else {
            return;
        };
        let Some((thread, service)) = self.home(id) else {
            return;
        };
        if patience {
            self.settle(now, id.place, Cause::ClientGone);
        } else {
            self.fail(now, id.place, Cause::Timeout, Failure::Timeout);
        }
        self.listen_to(now, &thread, service);
    }
}
