//! An exchange whose service can't answer: giving its route's page, or asking another service.

use plimsoll_core::{Instant, never};
use plimsoll_http1::ResponseHead;
use plimsoll_lifecycle::{Arrival, Bounds, Call};
use plimsoll_measure::{Cause, Outcome};
use plimsoll_policy::GROUPS;
use plimsoll_policy::cache::is_failure;

use std::cell::LazyCell;
use std::rc::Rc;
use std::time::Duration;

use super::{Exchange, Served, Waited, answered};
use crate::dimming::{self, Dimmed};
use crate::fallback::{FallbackPlan, Values, is_read, stands_in_for};
use crate::peer::Peer;
use crate::plan::ServicePlan;
use crate::refusal::Answer;
use crate::thread::ThreadEffects;
use crate::timer::Timer;

/// What another service gets at the least: the first has often used up all the time there was, and its client has
/// waited for that anyway.
const HEAD_MIN: Duration = Duration::from_secs(1);

/// The call that another service stands in for.
pub(super) struct First {
    call: Call<ThreadEffects>,
    /// Why its service could not answer.
    cause: Cause,
}

impl Exchange<'_> {
    /// What the request's route answers where its service can't, if this request may get it.
    fn fallback(&self) -> Option<&FallbackPlan> {
        let route = self.plan.plan.route(self.call.settlement().route?)?;
        route.fallback.as_deref().filter(|it| it.is_for(self.head))
    }

    /// What is to be answered in place of an answer of the service's that says that it failed; `None`: it is passed on.
    pub(super) fn in_place_of(
        &mut self,
        response: &ResponseHead,
        sent_at: Instant,
    ) -> Option<Answer> {
        // What a service says of a change that failed, nobody knows better.
        let stands_in = is_read(self.head) && self.fallback().is_some();
        if !is_failure(response.status()) || !(stands_in || self.first.is_some()) {
            return None;
        }
        self.call.on_head(self.thread.clock.now());
        let end = answered(&self.call, sent_at, response);
        self.call.end_attempt(end);
        let retry_after = super::retry_after(response).map(|after| after.as_secs());
        Some(Answer::of_status(response.status(), retry_after))
    }

    /// The page in place of this answer of Plimsoll's own, if there is one.
    pub(super) fn page_for(&self, answer: &Answer) -> Option<Answer> {
        let Some(FallbackPlan::Pages(pages)) =
            self.fallback().filter(|_| stands_in_for(answer.cause))
        else {
            return None;
        };
        let service = self.call.settlement().service;
        let service = service.and_then(|id| self.plan.plan.service(id));
        let values = Values {
            // It is visible ASCII.
            request_id: std::str::from_utf8(&self.facts.request_id).unwrap_or_default(),
            service: service.map_or("", |service| service.name.as_str()),
        };
        pages.answer(self.head, answer, values, self.rewrite())
    }

    /// Asks the service that stands in for one that can't answer, if there is one and there is time. `Err`: that is to be
    /// answered.
    pub(super) async fn ask_another(
        &mut self,
        down: &mut Peer,
        mut answer: Answer,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Result<Served, Answer> {
        // For a client that has left, no other service does anything.
        let fallback =
            (self.fallback()).filter(|_| stands_in_for(answer.cause) && !self.left.get());
        let Some(FallbackPlan::Service(id)) = fallback else {
            return Err(answer);
        };
        let (id, plan) = (*id, Rc::clone(&self.plan));
        let now = self.thread.clock.now();
        let Some(service) = plan.plan.service(id).filter(|_| !self.is_given_up(now)) else {
            return Err(answer);
        };
        self.call.on_stand_in(now, answer.cause);
        let own = self.call.bounds();
        let passed = now - self.call.settlement().arrived;
        let head = service.bounds.head.min(self.time_left().max(HEAD_MIN));
        let bounds = Bounds {
            head,
            total: own.total.map(|total| total.saturating_sub(passed)),
            ..service.bounds
        };
        let effects = self.call.effects().stand_in();
        // Its calls are apart from those of its own routes.
        let group = u8::try_from(GROUPS - 1).unwrap_or(0);
        let (call, arrival) = self.call.stand_in(effects, now, id, group, bounds);
        self.first = Some(Box::new(First {
            call: std::mem::replace(&mut self.call, call),
            cause: answer.cause,
        }));
        self.reason = Some(answer.reason);
        self.deadline = self.deadline_within(now + head);
        // What is stored was looked for already, and what comes is nothing of that kind.
        let caching = self.caching.take();
        self.cached.set(caching.map(|caching| caching.result()));
        self.facts.fills = false;
        self.facts.dimmed = self.left_out(service);
        let arrived = match arrival {
            Arrival::Proceed(_) => Ok(()),
            Arrival::Wait(service, ticket) => {
                match self.wait_for_permit(down, service, ticket, timer).await {
                    Waited::Permit => Ok(()),
                    Waited::Refused(refusal) => Err(Answer::of_refusal(&refusal)),
                    Waited::Gone => return Ok(self.gone()),
                }
            }
            Arrival::Answer(cause) => {
                // It is of no use to anybody; the next one must not find it.
                let _said = self.refusal();
                Err(Answer::of_cause(cause))
            }
        };
        let served = match arrived {
            Ok(()) => self.attempt(down, service, response, timer).await,
            Err(refusal) => Err(refusal),
        };
        match served {
            Ok(served) => {
                self.end_stand_in();
                Ok(served)
            }
            Err(failure) => {
                self.call.settle(self.thread.clock.now(), failure.cause);
                if let Some(first) = self.first.take() {
                    self.call = first.call;
                }
                // Left out though nothing stands in: that is a refusal.
                if answer.cause == Cause::Dimmed {
                    answer.cause = Cause::Shed;
                }
                Err(answer)
            }
        }
    }

    /// What is left out of the service for whoever asks.
    fn left_out(&self, service: &ServicePlan) -> Dimmed {
        let (plan, fields) = (&self.plan.plan, &self.head.fields);
        let route = self.call.settlement().route.and_then(|id| plan.route(id));
        let tenant_header = route.and_then(|route| route.tenant_header.as_deref());
        let dimmed = Dimmed::of(service, || {
            dimming::user(plan, service, tenant_header, fields, self.facts.client)
        });
        let flagged = LazyCell::new(|| self.thread.flagged(plan, fields));
        dimmed.and(Dimmed::switched_off(service, |flag| flagged.is_off(flag)))
    }

    /// What `Plimsoll-Decision` says of an answer of a service that stands in.
    pub(super) fn stand_in_decision(&self) -> Option<String> {
        let word = match self.first.as_ref()?.cause {
            Cause::Dimmed => Cause::Dimmed,
            _ => Cause::Fallback,
        };
        let id = String::from_utf8_lossy(&self.facts.request_id);
        let reason = self.reason.unwrap_or_default();
        Some(format!("{}; reason={reason}; id=\"{id}\"", word.name()))
    }

    /// The service that stood in has answered, or its call was dropped: the call that it stood in for is settled.
    pub(super) fn end_stand_in(&mut self) {
        let Some(first) = self.first.take() else {
            return;
        };
        if !self.call.is_settled() {
            self.call.abandon();
        }
        let other = std::mem::replace(&mut self.call, first.call);
        never!(!other.is_settled());
        let settlement = *other.settlement();
        let bytes = self.bytes();
        bytes.up.set(other.effects().bytes.up.get());
        bytes.down.set(other.effects().bytes.down.get());
        let cause = match settlement.cause.outcome() {
            Outcome::Good if first.cause == Cause::Dimmed => Cause::Dimmed,
            Outcome::Good => Cause::Fallback,
            Outcome::Bad if first.cause == Cause::Dimmed => Cause::Shed,
            Outcome::Bad => first.cause,
            Outcome::Excluded => settlement.cause,
        };
        self.call.settle(settlement.ended, cause);
    }
}
