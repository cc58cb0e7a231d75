//! What is stored and was given though stale is fetched anew, with nobody who waits for it: as `sheddable`, so that it takes
//! nothing from requests, and only if the service's guard lets it.

use std::cell::Cell;
use std::rc::Rc;

use plimsoll_core::{Class, RouteId, ServiceId};
use plimsoll_http1::{Name, RequestHead, ResponseHead};
use plimsoll_lifecycle::{Arrival, Bounds, Call, Identity, Protocol, Routed};
use plimsoll_measure::Cause;
use plimsoll_policy::cache::Vary;

use super::{Exchange, Waited};
use crate::cache::{Answer, Caching};
use crate::dimming::Dimmed;
use crate::heads::Facts;
use crate::peer::Peer;
use crate::thread::{Thread, ThreadEffects, ThreadPlan};
use crate::timer::Timer;

/// A renewal: where it goes, and as what.
struct Renewal {
    route: RouteId,
    service: ServiceId,
    bounds: Bounds,
    group: u8,
}

impl Protocol for Renewal {
    fn trust(&mut self) -> bool {
        false
    }

    fn route(&mut self, _trusted: bool) -> Routed {
        Routed::Service {
            route: self.route,
            service: self.service,
        }
    }

    fn identify(&mut self, _route: RouteId, _trusted: bool) -> Identity {
        Identity {
            class: Class::Sheddable,
            tenant: 0,
            weight: 1.0,
            group: self.group,
            bounds: self.bounds,
        }
    }

    fn degrade(&mut self, _service: ServiceId) -> Option<Cause> {
        None
    }

    fn rate_limit(&mut self, _route: RouteId, _identity: &Identity) -> Option<Cause> {
        None
    }

    fn cache(&mut self, _route: RouteId) -> Option<Cause> {
        None
    }
}

impl Exchange<'_> {
    /// Begins to renew what was found stored.
    pub(super) fn renew(&self, caching: &Caching, answer: &Answer) {
        let settlement = self.call.settlement();
        let (Some(route), Some(service)) = (settlement.route, settlement.service) else {
            return;
        };
        let Some(plan) = self.plan.plan.route(route) else {
            return;
        };
        let Some(head) = self.renewal_head(answer) else {
            return;
        };
        let Some(caching) = caching.renewal(self.thread, &head) else {
            return;
        };
        let renewal = Renewal {
            route,
            service,
            bounds: plan.bounds,
            group: plan.group,
        };
        let facts = Facts {
            class: Class::Sheddable,
            max_forwards: None,
            tracestate: false,
            http2: false,
            grpc: false,
            no_retry: false,
            impatient: false,
            fills: true,
            // What is stored is whole.
            dimmed: Dimmed::default(),
            ..self.facts.clone()
        };
        let (thread, plan) = (Rc::clone(self.thread), Rc::clone(&self.plan));
        tokio::task::spawn_local(async move {
            run(&thread, plan, renewal, &head, facts, caching).await;
        });
    }

    /// A `GET` for the same, without the client's own fields but for those that the answer differs by, and what the key has.
    fn renewal_head(&self, answer: &Answer) -> Option<RequestHead> {
        let mut head = RequestHead::new();
        head.set_from_parts(b"GET", self.head.path_and_query())
            .ok()?;
        head.fields
            .push(b"Host", self.head.authority().unwrap_or_default());
        let Vary::Fields(names) = answer.stored.vary() else {
            return None;
        };
        let is_kept = |name: &[u8], known| {
            let names = names.iter().any(|it| it.eq_ignore_ascii_case(name));
            let told = matches!(known, Name::XForwardedProto | Name::XForwardedHost);
            (names && known != Name::Host) || (told && self.facts.trusted)
        };
        for field in self.head.fields.iter() {
            if is_kept(field.name, field.known) {
                head.fields.push(field.name, field.value);
            }
        }
        Some(head)
    }
}

async fn run(
    thread: &Rc<Thread>,
    plan: Rc<ThreadPlan>,
    mut renewal: Renewal,
    head: &RequestHead,
    facts: Facts,
    caching: Caching,
) {
    let now = thread.clock.now();
    let mut effects = ThreadEffects::new(thread, &plan);
    effects.renews = true;
    let mut call = Call::arrive(effects, now);
    let arrival = call.admit(now, &mut renewal);
    let mut exchange = Exchange {
        thread,
        plan: Rc::clone(&plan),
        head,
        facts,
        status: 0,
        reason: None,
        deadline: now,
        body_at: now,
        patience_ends: None,
        unlisted_key: None,
        rate_fields: None,
        caching: Some(Box::new(caching)),
        left: Cell::new(false),
        first: None,
        cached: Cell::new(None),
        call,
    };
    exchange.begin_deadline(now);
    let (mut nobody, mut timer) = (Peer::Nobody, Timer::new(thread.clock));
    let refused = match arrival {
        Arrival::Proceed(_) => None,
        Arrival::Wait(service, ticket) => {
            let wait = exchange.wait_for_permit(&mut nobody, service, ticket, &mut timer);
            match wait.await {
                Waited::Permit => None,
                Waited::Refused(refusal) => Some(plimsoll_lifecycle::refusal_cause(refusal.reason)),
                Waited::Gone => Some(Cause::ClientGone),
            }
        }
        Arrival::Answer(cause) => Some(cause),
    };
    let service = plan.plan.service(renewal.service);
    match (refused, service) {
        (None, Some(service)) => {
            let mut response = ResponseHead::new();
            let attempt = exchange.attempt(&mut nobody, service, &mut response, &mut timer);
            // What came of it is in the store, or nowhere.
            if let Err(answer) = attempt.await {
                exchange.fail_fetch(answer.cause);
                exchange.settle(thread.clock.now(), answer.cause);
            }
        }
        (cause, _) => {
            let cause = cause.unwrap_or(Cause::NoEndpoint);
            exchange.fail_fetch(cause);
            exchange.call.settle(thread.clock.now(), cause);
        }
    }
}
