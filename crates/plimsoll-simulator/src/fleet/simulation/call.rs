//! Calls are driven: attempts, answers, failures, retries, ends; and who waits gets what they leave.
//!
//! The counterpart of `plimsoll-gateway`, `exchange.rs`.

use std::rc::Rc;
use std::time::Duration;

use plimsoll_core::{Instant, ServiceId};
use plimsoll_lifecycle::{Again, Attempt, AttemptEnd, Verdict, refusal_cause};
use plimsoll_measure::{Cause, Outcome};
use plimsoll_policy::QueueEvent;
use plimsoll_policy::retry::Failure;

use super::calls::Progress;
use super::{Request, Simulation, Try, TryState};
use crate::agenda::{Nanos, Work};
use crate::fleet::clients::nanos;
use crate::fleet::event::{Event, RequestId};
use crate::fleet::gateway::WAKE;
use crate::fleet::thread::Thread;

/// Timers of the shells are this coarse.
const TIMER: Nanos = 1_000_000;
/// What a request is answered with that fails at an endpoint.
const FAILED: u16 = 500;

impl Simulation {
    /// A request, if it is still under way.
    pub(super) fn request(&mut self, id: RequestId) -> Option<&mut Request> {
        let request = self.requests.get_mut(id.place)?;
        (request.generation == id.generation).then_some(request)
    }

    /// Where it is, if it is still under way.
    pub(super) fn home(&mut self, id: RequestId) -> Option<(Rc<Thread>, ServiceId)> {
        let request = self.request(id)?;
        let thread = Rc::clone(&request.call.effects().thread);
        Some((thread, request.service))
    }

    /// Makes the next attempt of a request that has its permit.
    pub(super) fn attempt(&mut self, now: Nanos, place: u32) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let thread = Rc::clone(&request.call.effects().thread);
        let service = request.service;
        let attempt = request
            .call
            .next_attempt(thread.now(), |tried| thread.choose(service, tried));
        let endpoint = match attempt {
            Attempt::Try(endpoint) => endpoint,
            Attempt::GiveUp(cause) => return self.settle(now, place, cause),
        };
        let site = self.services[service.index()].first + endpoint.index();
        let id = self.attempts.insert(Try {
            request: RequestId {
                place,
                generation: request.generation,
            },
            user: request.user,
            service: service.index() as u16,
            site: site as u32,
            progress: Progress::default(),
            started: now,
            state: TryState::Sent,
        });
        request.attempt = Some(id);
        self.send_out(now, id, site, &thread, service);
    }

    pub(super) fn on_work(&mut self, now: Nanos, work: Work) {
        let (Work::Served(id) | Work::Answered(id) | Work::Failed(id)) = work;
        let Some(attempt) = self.attempts.get_mut(id) else {
            return;
        };
        if attempt.state == TryState::Lost {
            self.attempts.remove(id);
            return;
        }
        let station = &mut self.sites[attempt.site as usize].station;
        match work {
            Work::Served(_) | Work::Failed(_) if station.put_off(now, work, &mut self.agenda) => (),
            Work::Served(_) => self.go_on(now, id),
            Work::Answered(_) => self.reply(now, id, true),
            Work::Failed(_) => self.reply(now, id, false),
        }
    }

    /// The answer of an attempt is at its gateway.
    pub(super) fn on_answer(&mut self, now: Nanos, id: u32, good: bool) {
        let Some(attempt) = self.attempts.remove(id) else {
            return;
        };
        let Some((thread, service)) = self.home_of_attempt(id, attempt) else {
            return;
        };
        let place = attempt.request.place;
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        request.attempt = None;
        let at = thread.now();
        let end = AttemptEnd::Answered {
            head_after: Duration::from_nanos(now - attempt.started),
            status: if good { 200 } else { FAILED },
            busy: false,
        };
        if let Some(endpoint) = request.call.settlement().endpoint
            && let Some(endpoint) = thread.endpoint(service, endpoint)
        {
            endpoint.on_head();
        }
        let failure = Failure::Status {
            status: FAILED,
            retry_after: None,
            decision: false,
        };
        let verdict = match good {
            true => Verdict::GiveUp(Cause::Answered),
            false => {
                let again = request.again();
                let cause = Cause::UpstreamStatus;
                request.call.on_attempt_failed(at, cause, failure, again)
            }
        };
        match verdict {
            Verdict::Retry { after } => {
                request.call.end_attempt(end);
                self.agenda
                    .note(now + nanos(after), Event::Retry(attempt.request));
            }
            Verdict::GiveUp(cause) => {
                request.call.on_head(at);
                request.call.end_attempt(end);
                self.settle(now, place, cause);
            }
        }
        self.listen_to(now, &thread, service);
    }

    /// The connection of an attempt was refused, or the gateway's deadline for it is over.
    pub(super) fn on_refused(&mut self, now: Nanos, id: u32) {
        let Some(attempt) = self.attempts.remove(id) else {
            return;
        };
        let place = attempt.request.place;
        let Some((thread, service)) = self.home_of_attempt(id, attempt) else {
            return;
        };
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        request.attempt = None;
        if let Some(endpoint) = request.call.settlement().endpoint
            && let Some(endpoint) = thread.endpoint(service, endpoint)
        {
            endpoint.on_connect_failure();
        }
        let again = request.again();
        let verdict = request.call.on_connect_failed(thread.now(), again);
        self.follow(now, attempt.request, verdict);
        self.listen_to(now, &thread, service);
    }

    /// Where the request of an attempt is, if it still waits for this one.
    pub(super) fn home_of_attempt(
        &mut self,
        id: u32,
        attempt: Try,
    ) -> Option<(Rc<Thread>, ServiceId)> {
        let request = self.request(attempt.request)?;
        let waits = request.attempt == Some(id);
        waits.then(|| self.home(attempt.request)).flatten()
    }

    /// Nobody waits for an attempt any more.
    fn give_up(&mut self, now: Nanos, attempt: Option<u32>) {
        let sent = attempt.and_then(|id| Some((id, self.attempts.get_mut(id)?)));
        if let Some((id, attempt)) = sent
            && attempt.state == TryState::Sent
        {
            let site = attempt.site as usize;
            let (station, waits) = (&mut self.sites[site].station, attempt.progress.waits);
            if station.cancel(id) {
                self.attempts.remove(id);
            } else if let (true, Some(call)) = (station.cancels(), waits) {
                self.agenda.note(now, Event::HangUp(call));
            }
        }
    }

    /// The attempt in flight fails without an answer.
    pub(super) fn fail(&mut self, now: Nanos, place: u32, cause: Cause, failure: Failure) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let attempt = request.attempt.take();
        let at = request.call.effects().thread.now();
        request.call.on_failed(at, cause);
        let again = request.again();
        let verdict = request.call.on_attempt_failed(at, cause, failure, again);
        let id = RequestId {
            place,
            generation: request.generation,
        };
        self.give_up(now, attempt);
        self.follow(now, id, verdict);
    }

    pub(super) fn follow(&mut self, now: Nanos, id: RequestId, verdict: Verdict) {
        match verdict {
            Verdict::Retry { after } => {
                self.agenda.note(now + nanos(after), Event::Retry(id));
            }
            Verdict::GiveUp(cause) => self.settle(now, id.place, cause),
        }
    }

    /// A request ends; who did not get an answer may come again.
    pub(super) fn settle(&mut self, now: Nanos, place: u32, cause: Cause) {
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        request.call.settle(Instant::from_nanos(now), cause);
        let (user, attempt) = (request.user, request.attempt);
        self.requests.clear(place);
        self.give_up(now, attempt);
        let good = cause.outcome() == Outcome::Good;
        if let Some(attempt) = user.caller {
            self.agenda.note(now, Event::Called { attempt, good });
        } else if !good
            && let Some((user, pause)) = self.crowds[usize::from(user.sender)].returns(&user)
        {
            let user = self.users.insert(user);
            self.agenda.note(now + pause, Event::Again { user });
        } else if let Some(member) = user.member {
            self.on_rest(now, member, !good);
        }
    }

    /// Does what a thread's policy has said of those that wait there, until it says no more.
    pub(super) fn listen_to(&mut self, now: Nanos, thread: &Rc<Thread>, service: ServiceId) {
        let mut heard = std::mem::take(&mut self.heard);
        loop {
            thread.take_events(service, &mut heard);
            if heard.is_empty() {
                break;
            }
            for event in heard.drain(..) {
                self.obey(now, thread, service, event);
            }
        }
        self.heard = heard;
        let gateway = thread.first as usize * self.gateways.len() / self.threads.len();
        self.gateways[gateway].check(now, service.index());
        if let Some(at) = thread.note_expiry(service, now + TIMER) {
            let (thread, service) = (thread.index, service.index() as u16);
            self.agenda.note(at, Event::Expire { thread, service });
        }
    }

    pub(super) fn obey(
        &mut self,
        now: Nanos,
        thread: &Rc<Thread>,
        service: ServiceId,
        event: QueueEvent,
    ) {
        let (QueueEvent::Go(ticket) | QueueEvent::Refused(ticket, _)) = event else {
            if let QueueEvent::Wake(other) = event {
                self.wake(now, thread.first + other as u32, service.index());
            }
            return;
        };
        let place = thread.take_waiting(service, ticket);
        assert!(place.is_some(), "{ticket:?} is one of this thread's");
        let Some(place) = place else {
            return;
        };
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        if let QueueEvent::Refused(_, refusal) = event {
            request.call.on_refused(thread.now());
            self.settle(now, place, refusal_cause(refusal.reason));
        } else {
            request.call.on_permit(thread.now());
            self.attempt(now, place);
        }
    }

    pub(super) fn wake(&mut self, now: Nanos, thread: u32, service: usize) {
        let service = service as u16;
        self.agenda
            .note(now + WAKE, Event::Wake { thread, service });
    }
}

impl Request {
    /// What the life cycle asks before it tries again: requests are such that twice is the same as once.
    pub(super) fn again(&self) -> Again {
        Again {
            idempotent: true,
            replayable: true,
            forbidden: false,
            deadline: self.deadline,
        }
    }
}
