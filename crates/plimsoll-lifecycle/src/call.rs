//! The state machine of one call.
//!
//! Invariants: a call that arrived is settled exactly once; each service permit and each endpoint's in-flight
//! count is given back exactly once for each time that it was taken; attempts never exceed
//! [`Bounds::attempts_max`], or two where one of them is a hedge.
//! Elsewhere: the second attempt beside the first (`second`); a client that is waited for (`client`); how a protocol
//! finds its route ([`Protocol`], in the shell), how an endpoint is chosen (`plimsoll-policy`), sockets and timers
//! (the shells).

mod client;
mod second;

pub use second::Which;

use std::time::Duration;

use plimsoll_core::{Class, EndpointId, Instant, RouteId, ServiceId, never};
use plimsoll_measure::Cause;
use plimsoll_policy::retry::{Failure, Question};
use plimsoll_policy::rollout::split::Variant;
use plimsoll_policy::{Arriving, Completion, Finished, HedgeQuestion, RetryDecision, Ticket};

use self::client::Client;
use self::second::Second;
use crate::Stage;

/// How many endpoints a call remembers as tried; more attempts than this are not allowed by configuration.
const TRIED_MAX: usize = 8;

/// What only the protocol knows. Called in the order of [`Stage`], each at most once.
pub trait Protocol {
    /// Whether the peer's own claims are believed.
    fn trust(&mut self) -> bool;
    /// Finds the route.
    fn route(&mut self, trusted: bool) -> Routed;
    /// Who calls, how much it matters, and how long it may take.
    fn identify(&mut self, route: RouteId, trusted: bool) -> Identity;
    /// Whether its service is not asked because it is degraded: the call would change something and the service is
    /// read-only, or it is for a feature that is dimmed for whoever asks.
    fn degrade(&mut self, service: ServiceId) -> Option<Cause>;
    /// Whether a declared rate refuses it.
    fn rate_limit(&mut self, route: RouteId, identity: &Identity) -> Option<Cause>;
    /// Whether a stored answer is given, so that its service is not asked.
    fn cache(&mut self, route: RouteId) -> Option<Cause>;
}

/// What routing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// To this service.
    Service {
        /// The route that matched.
        route: RouteId,
        /// Where it leads.
        service: ServiceId,
    },
    /// Answered without a service.
    Local {
        /// The route that matched, if one did.
        route: Option<RouteId>,
        /// [`Cause::Local`], or why the call is refused.
        cause: Cause,
    },
}

/// What identification found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identity {
    /// What goes last when not all fits.
    pub class: Class,
    /// A keyed hash of the caller that fairness is kept between.
    pub tenant: u64,
    /// The tenant's weight; 1 is usual.
    pub weight: f32,
    /// The route's group: latencies of one group are not mistaken for those of another.
    pub group: u8,
    /// The bounds of this call.
    pub bounds: Bounds,
}

/// Bounds of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the last byte of the request to the response's head.
    pub head: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
    /// From arrival to the last byte.
    pub total: Option<Duration>,
    /// Tries in all, the first included; at least 1.
    pub attempts_max: u32,
}

/// Whether the call goes on to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Arrival {
    /// To this service: ask [`Call::next_attempt`].
    Proceed(ServiceId),
    /// It waits for a permit of this service: tell [`Call::on_permit`] or [`Call::on_refused`] how that ended.
    Wait(ServiceId, Ticket),
    /// Answer now, with this cause; then [`Call::settle`].
    Answer(Cause),
}

/// What to try next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Attempt {
    /// This endpoint. It counts as in flight until [`Call::end_attempt`], or the call's end.
    Try(EndpointId),
    /// Nothing is left to try: answer with this cause, then [`Call::settle`].
    GiveUp(Cause),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// No connection was made; nothing was sent.
    ConnectFailed,
    /// A kept connection turned out to be closed before the service saw the request.
    Stale,
    /// A response head came.
    Answered {
        /// From the attempt's start to the head.
        head_after: Duration,
        /// The status.
        status: u16,
        /// It says that it is full, and when to come back: 503 with `Retry-After`.
        busy: bool,
    },
    /// The service broke off, timed out, or broke the protocol.
    Failed {
        /// How.
        cause: Cause,
        /// From the attempt's start.
        after: Duration,
    },
    /// The call was dropped.
    Cancelled,
}

/// What is known of a request when one asks whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Doing it twice does what doing it once does.
    pub idempotent: bool,
    /// All that was taken of its body can be sent again.
    pub replayable: bool,
    /// A trusted caller retries itself.
    pub forbidden: bool,
    /// The call's own.
    pub deadline: Instant,
}

/// What may be done after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Ask [`Call::next_attempt`] again, after this time.
    Retry {
        /// Zero = at once.
        after: Duration,
    },
    /// Answer with this cause, then settle.
    GiveUp(Cause),
}

/// One call's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settlement {
    /// When it arrived.
    pub arrived: Instant,
    /// When the latency that counts for the objective ended: the last byte the service wrote, or the head
    /// for streams.
    pub ended: Instant,
    /// When the response head came.
    pub head_at: Option<Instant>,
    /// Why it ended as it did.
    pub cause: Cause,
    /// What would have been the cause if nothing had stood in for the service.
    pub instead_of: Option<Cause>,
    /// Its class.
    pub class: Class,
    /// Its route, if one matched.
    pub route: Option<RouteId>,
    /// Its service, if it reached one.
    pub service: Option<ServiceId>,
    /// Which version it was sent to, while its service is rolled out.
    pub variant: Option<Variant>,
    /// The endpoint of the last attempt; where two were made at once, of the one that was left at the end.
    pub endpoint: Option<EndpointId>,
    /// How many attempts were made, a hedge included.
    pub attempts: u32,
    /// How long it waited for a permit.
    pub waited: Duration,
}

impl Settlement {
    /// What the objective sees.
    pub fn latency(&self) -> Duration {
        self.ended - self.arrived
    }

    /// What it says about the service, whatever its client got.
    pub fn cause_at_the_service(&self) -> Cause {
        self.instead_of.unwrap_or(self.cause)
    }
}

/// The answer to a call that asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Asked {
    /// It has one.
    Go,
    /// It waits.
    Wait(Ticket),
    /// It gets none, for this cause.
    Refuse(Cause),
}

/// Where a call stands with its permit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Permit {
    /// It has none.
    None,
    /// It waits for one.
    Waiting(Ticket),
    /// It has one since then; what its client was waited for is left out, as if it had been given later.
    Held(Instant),
    /// It had one since then, which others have as long as its client is waited for.
    Lent(Instant),
    /// It went back.
    Returned,
}

/// What a call does to the world; the shell (or the simulator) applies it.
pub trait Effects {
    /// The time now. Only used where a call is dropped or cancelled, which nobody announces.
    fn now(&self) -> Instant;
    /// A call asks for a permit of this service.
    fn ask(&self, service: ServiceId, request: &Arriving) -> Asked;
    /// A call that waited goes without a permit; one that it was given at this moment comes back with this.
    fn leave_queue(&self, service: ServiceId, ticket: Ticket, unused: &Finished);
    /// A permit comes back.
    fn return_permit(&self, service: ServiceId, finished: &Finished);
    /// The time of a permit that is held is the client's from now on, or the service's again. The latter comes before
    /// [`Effects::return_permit`]; in place of it comes [`Effects::lend_permit`].
    fn rest_permit(&self, service: ServiceId, group: u8, rests: bool);
    /// A permit goes to others, though the call goes on.
    fn lend_permit(&self, service: ServiceId);
    /// A call whose permit was lent has one again, whatever the limit; its time is the service's.
    fn take_again(&self, service: ServiceId, group: u8);
    /// A call's first attempt begins.
    fn begin_attempts(&self, service: ServiceId);
    /// Whether an attempt that failed is made again.
    fn retry(&self, service: ServiceId, question: &Question) -> RetryDecision;
    /// Whether a second attempt is made beside the first. If so, it has a permit and its share of the budget; a
    /// permit that was taken in vain comes back with `unused`.
    fn hedge(&self, service: ServiceId, question: &HedgeQuestion, unused: &Finished) -> bool;
    /// The answer of a second attempt is the one that is passed on.
    fn hedge_won(&self, service: ServiceId);
    /// A first attempt of a call that may be hedged took this long to its head, or was given up after it.
    fn observe_first(&self, service: ServiceId, latency: Duration);
    /// An attempt is in flight at this endpoint. Attempts of one call that are in flight at once are at different
    /// endpoints.
    fn start_attempt(&self, service: ServiceId, endpoint: EndpointId);
    /// It waits for its client, or no longer does. The latter comes before [`Effects::end_attempt`].
    fn rest_attempt(&self, service: ServiceId, endpoint: EndpointId, rests: bool);
    /// It no longer is, and this is how it went.
    fn end_attempt(&self, service: ServiceId, endpoint: EndpointId, end: AttemptEnd);
    /// Why a call that was dropped without a settlement ended: the client went, or we are shutting down.
    fn abandoned(&self) -> Cause;
    /// The one record of the call.
    fn settle(&self, settlement: &Settlement);
}

/// One call. Dropping it before [`Call::settle`] settles it as [`Effects::abandoned`], or as
/// [`Cause::Panic`] while its thread panics.
#[derive(Debug)]
pub struct Call<E: Effects> {
    effects: E,
    stage: Stage,
    settlement: Settlement,
    bounds: Bounds,
    tenant: u64,
    weight: f32,
    group: u8,
    permit: Permit,
    client: Client,
    /// What the service took to the head.
    head_took: Duration,
    in_flight: bool,
    attempt_started: Instant,
    /// The second attempt, while both are in flight.
    second: Option<Second>,
    /// The attempt in flight began as the second one.
    hedged: bool,
    /// How long the first attempt takes is still to be observed.
    watched: bool,
    tried: [EndpointId; TRIED_MAX],
    tried_count: usize,
    /// The request can no longer be sent again: a part of its body is gone.
    consumed: bool,
    stale_retried: bool,
    last_failure: Cause,
    settled: bool,
}

impl<E: Effects> Call<E> {
    /// A call whose first byte came at `now`.
    pub fn arrive(effects: E, now: Instant) -> Self {
        Self {
            effects,
            stage: Stage::Trust,
            settlement: Settlement {
                arrived: now,
                ended: now,
                head_at: None,
                cause: Cause::ClientGone,
                instead_of: None,
                class: Class::default(),
                route: None,
                service: None,
                variant: None,
                endpoint: None,
                attempts: 0,
                waited: Duration::ZERO,
            },
            bounds: Bounds {
                head: Duration::MAX,
                idle: Duration::MAX,
                total: None,
                attempts_max: 1,
            },
            tenant: 0,
            weight: 1.0,
            group: 0,
            permit: Permit::None,
            client: Client::new(now),
            head_took: Duration::ZERO,
            in_flight: false,
            attempt_started: now,
            second: None,
            hedged: false,
            watched: false,
            tried: [EndpointId(u32::MAX); TRIED_MAX],
            tried_count: 0,
            consumed: false,
            stale_retried: false,
            last_failure: Cause::NoEndpoint,
            settled: false,
        }
    }

    /// Runs the stages up to a permit. `now` is later than the arrival by what reading the request took.
    pub fn admit(&mut self, now: Instant, protocol: &mut impl Protocol) -> Arrival {
        let trusted = protocol.trust();
        self.enter(Stage::Route);
        let (route, service) = match protocol.route(trusted) {
            Routed::Service { route, service } => (route, service),
            Routed::Local { route, cause } => {
                self.settlement.route = route;
                return Arrival::Answer(cause);
            }
        };
        self.settlement.route = Some(route);
        self.settlement.service = Some(service);
        self.enter(Stage::Identify);
        let identity = protocol.identify(route, trusted);
        self.settlement.class = identity.class;
        self.bounds = identity.bounds;
        (self.tenant, self.weight, self.group) = (identity.tenant, identity.weight, identity.group);
        self.enter(Stage::Degrade);
        if let Some(cause) = protocol.degrade(service) {
            return Arrival::Answer(cause);
        }
        self.enter(Stage::RateLimit);
        if let Some(cause) = protocol.rate_limit(route, &identity) {
            return Arrival::Answer(cause);
        }
        self.enter(Stage::Cache);
        if let Some(cause) = protocol.cache(route) {
            return Arrival::Answer(cause);
        }
        // Contract, defer: nothing fills these stages yet.
        self.ask(now, service)
    }

    /// A call that was to be answered from the store, by what another one fetches, is not: it asks for a permit.
    pub fn go_alone(&mut self, now: Instant) -> Arrival {
        match self.settlement.service {
            Some(service) => self.ask(now, service),
            None => {
                never!(self.settlement.service.is_none());
                Arrival::Answer(Cause::NoEndpoint)
            }
        }
    }

    fn ask(&mut self, now: Instant, service: ServiceId) -> Arrival {
        self.enter(Stage::Admit);
        let asked = self.effects.ask(service, &self.arriving(now));
        match asked {
            Asked::Go => {
                self.permit = Permit::Held(now);
                Arrival::Proceed(service)
            }
            Asked::Wait(ticket) => {
                self.permit = Permit::Waiting(ticket);
                Arrival::Wait(service, ticket)
            }
            Asked::Refuse(cause) => Arrival::Answer(cause),
        }
    }

    fn arriving(&self, now: Instant) -> Arriving {
        let total = self.bounds.total.map_or(Duration::MAX, |total| {
            total.saturating_sub(now - self.settlement.arrived)
        });
        Arriving {
            class: self.settlement.class,
            tenant: self.tenant,
            weight: self.weight,
            group: self.group,
            time_left: self.bounds.head.min(total),
        }
    }

    /// The permit that it waited for is there.
    pub fn on_permit(&mut self, now: Instant) {
        if never!(!matches!(self.permit, Permit::Waiting(_))) {
            return;
        }
        self.permit = Permit::Held(now);
        self.settlement.waited = now - self.settlement.arrived;
    }

    /// There will be no permit: it is to be answered, then settled.
    pub fn on_refused(&mut self, now: Instant) {
        if never!(!matches!(self.permit, Permit::Waiting(_))) {
            return;
        }
        self.permit = Permit::None;
        self.settlement.waited = now - self.settlement.arrived;
    }

    /// Its service is rolled out, and it is sent to this version. Attempts may yet end elsewhere, where none of the version
    /// is left to try.
    pub fn on_variant(&mut self, variant: Variant) {
        self.enter(Stage::Variant);
        self.settlement.variant = Some(variant);
    }

    /// What to try next. `choose` is given the endpoints that were tried, and picks another.
    pub fn next_attempt(
        &mut self,
        now: Instant,
        mut choose: impl FnMut(&[EndpointId]) -> Option<EndpointId>,
    ) -> Attempt {
        let Some(service) = self.settlement.service else {
            never!(self.settlement.service.is_none());
            return Attempt::GiveUp(Cause::NoEndpoint);
        };
        if self.settlement.attempts >= self.bounds.attempts_max {
            return Attempt::GiveUp(self.last_failure);
        }
        self.enter(if self.settlement.attempts == 0 {
            Stage::Endpoint
        } else {
            Stage::Retry
        });
        let tried = self.tried.get(..self.tried_count).unwrap_or_default();
        // Another endpoint; where there is none, one that answered is asked again, one that can't be reached not.
        let reachable = !matches!(self.last_failure, Cause::Connect | Cause::NoEndpoint);
        let endpoint = match choose(tried) {
            None if reachable => choose(&[]),
            found => found,
        };
        let Some(endpoint) = endpoint else {
            return Attempt::GiveUp(self.last_failure);
        };
        self.begin(now, service, endpoint);
        Attempt::Try(endpoint)
    }

    /// The same endpoint again, after [`AttemptEnd::Stale`]; the first kept connection said nothing about
    /// the endpoint. Does not count as an attempt.
    pub fn again(&mut self, now: Instant) -> Attempt {
        let (Some(service), Some(endpoint)) = (self.settlement.service, self.settlement.endpoint)
        else {
            never!(self.settlement.endpoint.is_none());
            return Attempt::GiveUp(Cause::NoEndpoint);
        };
        self.settlement.attempts = self.settlement.attempts.saturating_sub(1);
        self.begin(now, service, endpoint);
        Attempt::Try(endpoint)
    }

    fn begin(&mut self, now: Instant, service: ServiceId, endpoint: EndpointId) {
        never!(self.in_flight);
        self.begin_client(now);
        if self.settlement.attempts == 0 && !self.stale_retried {
            self.effects.begin_attempts(service);
        }
        self.effects.start_attempt(service, endpoint);
        self.in_flight = true;
        self.hedged = false;
        self.attempt_started = now;
        self.settlement.endpoint = Some(endpoint);
        self.settlement.attempts += 1;
    }

    /// The connection could not be made: nothing was sent, so another endpoint may be tried.
    pub fn on_connect_failed(&mut self, now: Instant, again: Again) -> Verdict {
        self.end_attempt(AttemptEnd::ConnectFailed);
        self.on_attempt_failed(now, Cause::Connect, Failure::Connect, again)
    }

    /// The service failed the attempt, or answered with a status that may be tried again; `end` says how. The
    /// attempt is over only if the answer is to try again.
    pub fn on_attempt_failed(
        &mut self,
        now: Instant,
        cause: Cause,
        failure: Failure,
        again: Again,
    ) -> Verdict {
        self.last_failure = cause;
        let Some(service) = self.settlement.service else {
            return Verdict::GiveUp(cause);
        };
        if self.settlement.attempts >= self.bounds.attempts_max {
            return Verdict::GiveUp(cause);
        }
        let question = Question {
            idempotent: again.idempotent,
            replayable: again.replayable,
            attempts: self.settlement.attempts,
            failure,
            forbidden: again.forbidden,
            time_left: again.deadline - now,
        };
        match self.effects.retry(service, &question) {
            RetryDecision::Retry { after } => {
                self.remember_tried();
                Verdict::Retry { after }
            }
            RetryDecision::GiveUp(_) => Verdict::GiveUp(cause),
        }
    }

    /// The endpoint of the attempt counts as tried.
    fn remember_tried(&mut self) {
        if let (Some(endpoint), Some(slot)) = (
            self.settlement.endpoint,
            self.tried.get_mut(self.tried_count),
        ) {
            *slot = endpoint;
            self.tried_count += 1;
        }
    }

    /// A part of the request's body was taken from the client: it can't be sent a second time.
    pub fn on_body_consumed(&mut self) {
        self.consumed = true;
    }

    /// A kept connection was closed before a byte of the response came.
    ///
    /// `idempotent`: the service can't have acted on it, or doing the request twice does what doing it once does (RFC 9110 section 9.2.2).
    pub fn on_stale(&mut self, now: Instant, idempotent: bool) -> Verdict {
        if idempotent && !self.consumed && !self.stale_retried {
            self.stale_retried = true;
            self.end_attempt(AttemptEnd::Stale);
            Verdict::Retry {
                after: Duration::ZERO,
            }
        } else {
            self.on_failed(now, Cause::Reset);
            Verdict::GiveUp(Cause::Reset)
        }
    }

    /// The service failed the attempt.
    pub fn on_failed(&mut self, now: Instant, cause: Cause) {
        let after = self.attempt_age(now);
        self.end_attempt(AttemptEnd::Failed { cause, after });
    }

    /// The response's head came. The endpoint still counts as in flight until the call ends.
    pub fn on_head(&mut self, now: Instant) {
        self.settlement.head_at = Some(now);
        self.note_head(now);
        if let (true, Some(service)) = (self.hedged, self.settlement.service) {
            self.effects.hedge_won(service);
        }
    }

    /// How long the current attempt has run.
    pub fn attempt_age(&self, now: Instant) -> Duration {
        now - self.attempt_started
    }

    /// The attempt is over; its place at the endpoint is free.
    pub fn end_attempt(&mut self, end: AttemptEnd) {
        if !self.in_flight {
            return;
        }
        self.in_flight = false;
        self.wake_attempt();
        if let (Some(service), Some(endpoint)) = (self.settlement.service, self.settlement.endpoint)
        {
            self.observe_first(service, end);
            self.effects.end_attempt(service, endpoint, end);
        }
    }

    /// The permit goes back before the call's end, once the service has written its last byte. One that is lent is not
    /// taken again for that. Streams: see [`Call::on_stream`].
    pub fn return_permit(&mut self, now: Instant, end: Completion) {
        if let Permit::Held(_) = self.permit {
            self.resume(now);
        }
        let Permit::Held(started) = self.permit else {
            if let Permit::Lent(_) = self.permit {
                self.permit = Permit::Returned;
            }
            return;
        };
        self.permit = Permit::Returned;
        let Some(service) = self.settlement.service else {
            return;
        };
        let finished = self.finished(started, now, end);
        self.effects.return_permit(service, &finished);
    }

    /// What the client gets, if it still is there, is not what its service came to: a stale answer or a fallback stands in,
    /// or it has left. The attempt is over, and the permit goes back with what that says of the service.
    pub fn on_stand_in(&mut self, now: Instant, instead_of: Cause) {
        self.enter(Stage::Fallback);
        self.settlement.instead_of = Some(instead_of);
        self.end_attempt(AttemptEnd::Cancelled);
        let (through, end) = self.completion(now, instead_of);
        self.return_permit(through, end);
    }

    /// The call that goes to another service in this one's place, with its caller and its class.
    pub fn stand_in(
        &self,
        effects: E,
        now: Instant,
        service: ServiceId,
        group: u8,
        bounds: Bounds,
    ) -> (Self, Arrival) {
        let mut call = Self::arrive(effects, now);
        call.settlement.route = self.settlement.route;
        call.settlement.service = Some(service);
        call.settlement.class = self.settlement.class;
        (call.tenant, call.weight, call.group) = (self.tenant, self.weight, group);
        call.bounds = bounds;
        let arrival = call.ask(now, service);
        (call, arrival)
    }

    /// A call with a copy of this one's request, beside it: it has no permit, and what comes of it is not this one's.
    pub fn copy(&self, effects: E, now: Instant, bounds: Bounds) -> Self {
        let mut call = Self::arrive(effects, now);
        call.settlement.route = self.settlement.route;
        call.settlement.service = self.settlement.service;
        call.settlement.class = self.settlement.class;
        call.bounds = bounds;
        call
    }

    fn finished(&self, started: Instant, ended: Instant, end: Completion) -> Finished {
        Finished {
            class: self.settlement.class,
            tenant: self.tenant,
            weight: self.weight,
            group: self.group,
            started,
            ended,
            head_after: self.settlement.head_at.map(|_| self.head_took),
            end,
        }
    }

    /// Whether the permit went back already, or is lent.
    pub fn has_returned_permit(&self) -> bool {
        !matches!(self.permit, Permit::Held(_))
    }

    /// Ends the call. `ended` is when the latency that counts ended.
    pub fn settle(&mut self, ended: Instant, cause: Cause) {
        if never!(self.settled) {
            return;
        }
        self.enter(Stage::Settle);
        self.settled = true;
        self.settlement.ended = ended;
        self.settlement.cause = cause;
        if self.second.is_some() {
            self.end_one(ended, Which::Second, AttemptEnd::Cancelled);
        }
        if let Permit::Held(_) = self.permit {
            self.resume(ended);
        }
        self.end_attempt(AttemptEnd::Cancelled);
        if let (Permit::Waiting(ticket), Some(service)) = (self.permit, self.settlement.service) {
            self.permit = Permit::None;
            let now = self.effects.now();
            let unused = self.finished(now, now, Completion::Cancelled);
            self.effects.leave_queue(service, ticket, &unused);
        }
        let (through, end) = self.completion(ended, cause);
        self.return_permit(through, end);
        self.effects.settle(&self.settlement);
    }

    /// The call was dropped half-way: settles it as what the effects say that means.
    pub fn abandon(&mut self) {
        let cause = if std::thread::panicking() {
            Cause::Panic
        } else {
            self.effects.abandoned()
        };
        self.settle(self.effects.now(), cause);
    }

    /// Whether [`Call::settle`] was called.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// What applies the call's effects.
    pub fn effects(&self) -> &E {
        &self.effects
    }

    /// What is known of the call so far; final once settled.
    pub fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// Whose it is, as its protocol said; 0 before that.
    pub fn tenant(&self) -> u64 {
        self.tenant
    }

    /// The bounds of this call.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// What the end says about the service's capacity, and when the service was through with the call.
    fn completion(&self, ended: Instant, cause: Cause) -> (Instant, Completion) {
        match (cause, self.settlement.head_at, self.permit) {
            // It had answered: that a client leaves in the midst of a download is not the service's doing.
            (Cause::ClientGone, Some(_), Permit::Held(started)) => {
                (started + self.head_took, Completion::Success)
            }
            // A client that waited in vain: how long, decides what that says.
            (Cause::ClientGone, _, _) => (ended, Completion::Cancelled),
            (_, _, Permit::Held(started)) if completion(cause) == Completion::Cancelled => {
                (started, Completion::Cancelled)
            }
            _ => (ended, completion(cause)),
        }
    }

    fn enter(&mut self, stage: Stage) {
        // A retry goes back from the attempt to the choice of an endpoint; nothing else goes back.
        never!(stage < self.stage && self.stage != Stage::Retry);
        self.stage = stage;
    }
}

/// What a call's end says about the service's capacity, if nothing was answered before it.
fn completion(cause: Cause) -> Completion {
    match cause {
        Cause::Answered => Completion::Success,
        Cause::Timeout | Cause::Stalled => Completion::TimedOut,
        Cause::UpstreamStatus
        | Cause::GrpcStatus
        | Cause::Connect
        | Cause::Reset
        | Cause::BadResponse => Completion::Failed,
        _ => Completion::Cancelled,
    }
}

impl<E: Effects> Drop for Call<E> {
    fn drop(&mut self) {
        if !self.settled {
            self.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use plimsoll_policy::retry::WhyNot;
    use proptest::prelude::*;

    use super::*;

    pub(super) const SAFE: Again = Again {
        idempotent: true,
        replayable: true,
        forbidden: false,
        deadline: Instant::NEVER,
    };
    const AT_ONCE: Verdict = Verdict::Retry {
        after: Duration::ZERO,
    };

    #[derive(Debug, Default)]
    pub(super) struct World {
        pub(super) permits: i64,
        pub(super) in_flight: i64,
        /// Permits whose time is the service's.
        pub(super) at_work: i64,
        pub(super) lent: u32,
        pub(super) settlements: Vec<Settlement>,
        pub(super) ends: Vec<AttemptEnd>,
        /// Endpoints at which an attempt is in flight.
        pub(super) at: Vec<EndpointId>,
        /// Of those, the ones whose attempts wait for their client.
        pub(super) resting: Vec<EndpointId>,
        /// What permits came back with.
        pub(super) completions: Vec<Completion>,
        pub(super) took: Vec<Duration>,
        pub(super) observed: Vec<Duration>,
        pub(super) won: u32,
    }

    pub(super) type Shared = Rc<RefCell<World>>;

    impl Effects for Shared {
        fn now(&self) -> Instant {
            Instant::from_nanos(99)
        }
        fn ask(&self, _: ServiceId, _: &Arriving) -> Asked {
            let mut world = self.borrow_mut();
            world.permits += 1;
            world.at_work += 1;
            Asked::Go
        }
        fn leave_queue(&self, _: ServiceId, _: Ticket, _: &Finished) {}
        fn return_permit(&self, _: ServiceId, finished: &Finished) {
            let mut world = self.borrow_mut();
            world.permits -= 1;
            world.at_work -= 1;
            world.completions.push(finished.end);
            world.took.push(finished.ended - finished.started);
        }
        fn rest_permit(&self, _: ServiceId, _: u8, rests: bool) {
            self.borrow_mut().at_work += if rests { -1 } else { 1 };
        }
        fn lend_permit(&self, _: ServiceId) {
            let mut world = self.borrow_mut();
            world.permits -= 1;
            world.lent += 1;
        }
        fn take_again(&self, _: ServiceId, _: u8) {
            let mut world = self.borrow_mut();
            world.permits += 1;
            world.at_work += 1;
        }
        fn begin_attempts(&self, _: ServiceId) {}
        fn hedge(&self, _: ServiceId, _: &HedgeQuestion, _: &Finished) -> bool {
            let mut world = self.borrow_mut();
            world.permits += 1;
            world.at_work += 1;
            true
        }
        fn hedge_won(&self, _: ServiceId) {
            self.borrow_mut().won += 1;
        }
        fn observe_first(&self, _: ServiceId, latency: Duration) {
            self.borrow_mut().observed.push(latency);
        }
        fn retry(&self, _: ServiceId, question: &Question) -> RetryDecision {
            if question.replayable {
                RetryDecision::Retry {
                    after: Duration::ZERO,
                }
            } else {
                RetryDecision::GiveUp(WhyNot::NotReplayable)
            }
        }
        fn start_attempt(&self, _: ServiceId, endpoint: EndpointId) {
            let mut world = self.borrow_mut();
            assert!(!world.at.contains(&endpoint), "each at another endpoint");
            world.at.push(endpoint);
            world.in_flight += 1;
        }
        fn rest_attempt(&self, _: ServiceId, endpoint: EndpointId, rests: bool) {
            let mut world = self.borrow_mut();
            assert!(world.at.contains(&endpoint), "it is in flight there");
            let place = world.resting.iter().position(|it| *it == endpoint);
            assert_eq!(place.is_none(), rests, "it is told in turns");
            match place {
                Some(place) => _ = world.resting.remove(place),
                None => world.resting.push(endpoint),
            }
        }
        fn end_attempt(&self, _: ServiceId, endpoint: EndpointId, end: AttemptEnd) {
            let mut world = self.borrow_mut();
            assert!(!world.resting.contains(&endpoint), "it no longer rests");
            let place = world.at.iter().position(|it| *it == endpoint);
            world.at.remove(place.expect("it was in flight there"));
            world.in_flight -= 1;
            world.ends.push(end);
        }
        fn abandoned(&self) -> Cause {
            Cause::ClientGone
        }
        fn settle(&self, settlement: &Settlement) {
            self.borrow_mut().settlements.push(*settlement);
        }
    }

    /// A protocol that routes everything to service 0 and records the order it was asked in.
    struct Scripted {
        asked: Vec<Stage>,
        attempts_max: u32,
        refuse: Option<Cause>,
        cached: Option<Cause>,
    }

    impl Protocol for Scripted {
        fn trust(&mut self) -> bool {
            self.asked.push(Stage::Trust);
            false
        }
        fn route(&mut self, _: bool) -> Routed {
            self.asked.push(Stage::Route);
            match self.refuse {
                Some(cause) => Routed::Local { route: None, cause },
                None => Routed::Service {
                    route: RouteId(0),
                    service: ServiceId(0),
                },
            }
        }
        fn identify(&mut self, _: RouteId, _: bool) -> Identity {
            self.asked.push(Stage::Identify);
            Identity {
                class: Class::Critical,
                tenant: 0,
                weight: 1.0,
                group: 0,
                bounds: Bounds {
                    head: Duration::from_secs(1),
                    idle: Duration::from_secs(1),
                    total: None,
                    attempts_max: self.attempts_max,
                },
            }
        }
        fn degrade(&mut self, _: ServiceId) -> Option<Cause> {
            self.asked.push(Stage::Degrade);
            None
        }
        fn rate_limit(&mut self, _: RouteId, _: &Identity) -> Option<Cause> {
            self.asked.push(Stage::RateLimit);
            None
        }
        fn cache(&mut self, _: RouteId) -> Option<Cause> {
            self.asked.push(Stage::Cache);
            self.cached
        }
    }

    pub(super) fn admitted(world: &Shared, attempts_max: u32) -> Call<Shared> {
        let mut call = Call::arrive(world.clone(), Instant::ORIGIN);
        let mut protocol = Scripted {
            asked: Vec::new(),
            attempts_max,
            refuse: None,
            cached: None,
        };
        assert_eq!(
            call.admit(Instant::ORIGIN, &mut protocol),
            Arrival::Proceed(ServiceId(0))
        );
        call
    }

    #[test]
    fn the_protocol_is_asked_in_the_order_of_the_stages() {
        let world = Shared::default();
        let mut call = Call::arrive(world.clone(), Instant::ORIGIN);
        let mut protocol = Scripted {
            asked: Vec::new(),
            attempts_max: 1,
            refuse: None,
            cached: None,
        };
        let _ = call.admit(Instant::ORIGIN, &mut protocol);
        assert_eq!(
            protocol.asked,
            [
                Stage::Trust,
                Stage::Route,
                Stage::Identify,
                Stage::Degrade,
                Stage::RateLimit,
                Stage::Cache
            ]
        );
    }

    #[test]
    fn a_client_that_leaves_does_not_make_a_service_that_answered_late() {
        let at = |millis| Instant::ORIGIN + Duration::from_millis(millis);
        let ended = |head: Option<u64>, cause| {
            let world = Shared::default();
            let mut call = admitted(&world, 1);
            if let Some(millis) = head {
                call.on_head(at(millis));
            }
            call.settle(at(5_000), cause);
            drop(call);
            let world = world.borrow();
            (world.completions[0], world.took[0].as_millis())
        };
        let answered = ended(Some(20), Cause::ClientGone);
        assert_eq!(answered, (Completion::Success, 20));
        let in_vain = ended(None, Cause::ClientGone);
        assert_eq!(in_vain, (Completion::Cancelled, 5_000));
        let sent_slowly = ended(None, Cause::RequestLimit);
        assert_eq!(sent_slowly, (Completion::Cancelled, 0));
    }

    #[test]
    fn a_refused_call_takes_no_permit() {
        let world = Shared::default();
        let mut call = Call::arrive(world.clone(), Instant::ORIGIN);
        let mut protocol = Scripted {
            asked: Vec::new(),
            attempts_max: 1,
            refuse: Some(Cause::NoRoute),
            cached: None,
        };
        assert_eq!(
            call.admit(Instant::ORIGIN, &mut protocol),
            Arrival::Answer(Cause::NoRoute)
        );
        assert_eq!(world.borrow().permits, 0);
        call.settle(Instant::from_nanos(5), Cause::NoRoute);
        drop(call);
        assert_eq!(world.borrow().settlements.len(), 1);
    }

    #[test]
    fn a_call_that_is_answered_from_the_store_takes_no_permit() {
        let world = Shared::default();
        let mut call = Call::arrive(world.clone(), Instant::ORIGIN);
        let mut protocol = Scripted {
            asked: Vec::new(),
            attempts_max: 1,
            refuse: None,
            cached: Some(Cause::Cached),
        };
        assert_eq!(
            call.admit(Instant::ORIGIN, &mut protocol),
            Arrival::Answer(Cause::Cached)
        );
        assert_eq!(world.borrow().permits, 0);
        call.settle(Instant::from_nanos(5), Cause::Cached);
        drop(call);
        assert_eq!(world.borrow().settlements[0].service, Some(ServiceId(0)));
    }

    #[test]
    fn a_call_that_waited_for_the_store_in_vain_asks_for_a_permit_then() {
        let world = Shared::default();
        let mut call = Call::arrive(world.clone(), Instant::ORIGIN);
        let mut protocol = Scripted {
            asked: Vec::new(),
            attempts_max: 1,
            refuse: None,
            cached: Some(Cause::Cached),
        };
        let _ = call.admit(Instant::ORIGIN, &mut protocol);
        let later = Instant::from_nanos(5);
        assert_eq!(call.go_alone(later), Arrival::Proceed(ServiceId(0)));
        assert_eq!(world.borrow().permits, 1);
        call.settle(Instant::from_nanos(9), Cause::Answered);
        drop(call);
        assert_eq!(world.borrow().permits, 0);
        assert_eq!(world.borrow().settlements[0].latency().as_nanos(), 9);
    }

    #[test]
    fn a_stale_answer_does_not_hide_from_the_limiter_that_the_service_failed() {
        let world = Shared::default();
        let mut call = admitted(&world, 1);
        call.on_stand_in(Instant::from_nanos(5), Cause::Timeout);
        call.settle(Instant::from_nanos(5), Cause::Stale);
        drop(call);
        assert_eq!(world.borrow().completions, [Completion::TimedOut]);
        let settlement = world.borrow().settlements[0];
        assert_eq!(settlement.cause, Cause::Stale);
        assert_eq!(settlement.cause_at_the_service(), Cause::Timeout);
    }

    #[test]
    fn a_call_that_another_service_stands_in_for_holds_no_permit_and_each_is_settled_once() {
        let world = Shared::default();
        let mut call = admitted(&world, 1);
        let tried = call.next_attempt(Instant::ORIGIN, |_| Some(EndpointId(3)));
        assert_eq!(tried, Attempt::Try(EndpointId(3)));
        let now = Instant::from_nanos(5);
        call.on_failed(now, Cause::Reset);
        call.on_stand_in(now, Cause::Reset);
        assert_eq!(world.borrow().permits, 0);
        let bounds = call.bounds();
        let (mut other, arrival) = call.stand_in(world.clone(), now, ServiceId(7), 1, bounds);
        assert_eq!(arrival, Arrival::Proceed(ServiceId(7)));
        assert_eq!(world.borrow().permits, 1);
        assert_eq!(other.tenant(), call.tenant());
        other.settle(now, Cause::Answered);
        call.settle(now, Cause::Fallback);
        drop((other, call));
        let world = world.borrow();
        assert_eq!((world.permits, world.in_flight), (0, 0));
        assert_eq!(world.completions, [Completion::Failed, Completion::Success]);
        let causes = |it: &Settlement| (it.cause, it.cause_at_the_service());
        assert_eq!(
            world.settlements.iter().map(causes).collect::<Vec<_>>(),
            [
                (Cause::Answered, Cause::Answered),
                (Cause::Fallback, Cause::Reset)
            ]
        );
    }

    #[test]
    fn a_copy_has_no_permit_and_its_end_is_its_own() {
        let world = Shared::default();
        let mut call = admitted(&world, 3);
        let now = Instant::from_nanos(5);
        let bounds = Bounds {
            attempts_max: 1,
            ..call.bounds()
        };
        let mut copy = call.copy(world.clone(), now, bounds);
        copy.on_variant(Variant {
            arm: plimsoll_policy::rollout::split::Arm::Canary,
            judged: true,
        });
        let tried = copy.next_attempt(now, |_| Some(EndpointId(3)));
        assert_eq!(tried, Attempt::Try(EndpointId(3)));
        assert_eq!(world.borrow().permits, 1, "the call's");
        copy.on_failed(now, Cause::Reset);
        let again = copy.on_attempt_failed(now, Cause::Reset, Failure::Reset, SAFE);
        assert_eq!(again, Verdict::GiveUp(Cause::Reset));
        copy.settle(now, Cause::Reset);
        call.settle(now, Cause::Answered);
        drop((copy, call));
        let world = world.borrow();
        assert_eq!((world.permits, world.in_flight), (0, 0));
        assert_eq!(world.completions, [Completion::Success]);
        let causes = world.settlements.iter().map(|it| (it.cause, it.service));
        let service = Some(ServiceId(0));
        let expected = [(Cause::Reset, service), (Cause::Answered, service)];
        assert!(causes.eq(expected));
    }

    #[test]
    fn a_connect_failure_is_retried_at_another_endpoint() {
        let world = Shared::default();
        let mut call = admitted(&world, 2);
        assert_eq!(
            call.next_attempt(Instant::ORIGIN, |_| Some(EndpointId(3))),
            Attempt::Try(EndpointId(3))
        );
        assert_eq!(call.on_connect_failed(Instant::ORIGIN, SAFE), AT_ONCE);
        let next = call.next_attempt(Instant::ORIGIN, |tried| {
            assert_eq!(tried, [EndpointId(3)]);
            Some(EndpointId(4))
        });
        assert_eq!(next, Attempt::Try(EndpointId(4)));
        assert_eq!(
            call.on_connect_failed(Instant::ORIGIN, SAFE),
            Verdict::GiveUp(Cause::Connect)
        );
        call.settle(Instant::from_nanos(5), Cause::Connect);
        assert_eq!(world.borrow().settlements[0].attempts, 2);
    }

    #[test]
    fn without_an_endpoint_the_cause_is_plimsolls_own() {
        let world = Shared::default();
        let mut call = admitted(&world, 2);
        assert_eq!(
            call.next_attempt(Instant::ORIGIN, |_| None),
            Attempt::GiveUp(Cause::NoEndpoint)
        );
    }

    #[test]
    fn a_stale_connection_is_retried_once_and_only_where_that_is_safe() {
        let world = Shared::default();
        let mut call = admitted(&world, 1);
        let _ = call.next_attempt(Instant::ORIGIN, |_| Some(EndpointId(0)));
        assert_eq!(call.on_stale(Instant::ORIGIN, true), AT_ONCE);
        assert_eq!(call.again(Instant::ORIGIN), Attempt::Try(EndpointId(0)));
        assert_eq!(
            call.on_stale(Instant::ORIGIN, true),
            Verdict::GiveUp(Cause::Reset)
        );

        let mut call = admitted(&world, 1);
        let _ = call.next_attempt(Instant::ORIGIN, |_| Some(EndpointId(0)));
        assert_eq!(
            call.on_stale(Instant::ORIGIN, false),
            Verdict::GiveUp(Cause::Reset)
        );

        let mut call = admitted(&world, 1);
        let _ = call.next_attempt(Instant::ORIGIN, |_| Some(EndpointId(0)));
        call.on_body_consumed();
        assert_eq!(
            call.on_stale(Instant::ORIGIN, true),
            Verdict::GiveUp(Cause::Reset)
        );
    }

    #[test]
    fn a_panic_is_settled_as_one() {
        let world = Shared::default();
        let inside = std::panic::AssertUnwindSafe(world.clone());
        let result = std::panic::catch_unwind(move || {
            let mut call = admitted(&inside, 1);
            let _ = call.next_attempt(Instant::ORIGIN, |_| Some(EndpointId(0)));
            std::panic::resume_unwind(Box::new("the request's task"));
        });
        assert!(result.is_err());
        let world = world.borrow();
        assert_eq!(world.settlements.len(), 1);
        assert_eq!(world.settlements[0].cause, Cause::Panic);
        assert_eq!((world.permits, world.in_flight), (0, 0));
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Next(u32),
        ConnectFailed,
        Consumed,
        Stale(bool),
        Failed,
        Hedge(u32),
        EndOne(Which, AttemptEnd),
        Head,
        ReturnPermit,
        /// Whether the client is waited for, so many milliseconds later.
        Client(bool, u64),
        Stream,
        Settle,
    }

    fn any_end() -> impl Strategy<Value = AttemptEnd> {
        let after = Duration::from_millis(1);
        prop_oneof![
            Just(AttemptEnd::Cancelled),
            Just(AttemptEnd::ConnectFailed),
            Just(AttemptEnd::Stale),
            Just(AttemptEnd::Failed {
                cause: Cause::Timeout,
                after
            }),
            Just(AttemptEnd::Answered {
                head_after: after,
                status: 503,
                busy: true
            }),
        ]
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..5u32).prop_map(Event::Next),
            3 => Just(Event::ConnectFailed),
            1 => Just(Event::Consumed),
            2 => any::<bool>().prop_map(Event::Stale),
            1 => Just(Event::Failed),
            3 => (0..5u32).prop_map(Event::Hedge),
            2 => (prop_oneof![Just(Which::First), Just(Which::Second)], any_end())
                .prop_map(|(which, end)| Event::EndOne(which, end)),
            2 => Just(Event::Head),
            1 => Just(Event::ReturnPermit),
            8 => (any::<bool>(), 0..300_u64).prop_map(|(awaited, later)| Event::Client(awaited, later)),
            1 => Just(Event::Stream),
            1 => Just(Event::Settle),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_a_call_is_settled_once_and_every_permit_comes_back(
            events in proptest::collection::vec(any_event(), 0..24),
            attempts_max in 1..6u32,
        ) {
            let world = Shared::default();
            let mut call = admitted(&world, attempts_max);
            call.watch_first();
            let mut hedges = 0;
            let mut now = Instant::ORIGIN;
            for event in events {
                let two = world.borrow().in_flight == 2;
                // With two in flight one of them ends before anything else is said, or the call does.
                let flying = world.borrow().in_flight == 1;
                match event {
                    Event::Hedge(endpoint) => {
                        let hedged = call.hedge(now, SAFE, |tried| {
                            Some(EndpointId(endpoint)).filter(|id| !tried.contains(id))
                        });
                        hedges += u32::from(hedged.is_some());
                    }
                    Event::EndOne(which, end) if two => call.end_one(now, which, end),
                    Event::Next(endpoint) if !flying && !two => {
                        let _ = call.next_attempt(now, |tried| {
                            Some(EndpointId(endpoint)).filter(|id| !tried.contains(id))
                        });
                    }
                    Event::ConnectFailed if flying => { let _ = call.on_connect_failed(now, SAFE); }
                    Event::Consumed => call.on_body_consumed(),
                    Event::Stale(idempotent)
                        if flying && call.on_stale(now, idempotent) == AT_ONCE =>
                    {
                        let _ = call.again(now);
                    }
                    Event::Failed if flying => call.on_failed(now, Cause::Timeout),
                    Event::Head if flying => call.on_head(now),
                    Event::ReturnPermit if !two => call.return_permit(now, Completion::Success),
                    Event::Client(awaited, later) => {
                        now += Duration::from_millis(later);
                        call.on_client(now, awaited);
                        prop_assert!(call.client_timeout().is_none_or(|at| at > now));
                    }
                    Event::Stream if flying => call.on_stream(now),
                    Event::Settle => { call.settle(now, Cause::Answered); break; }
                    _ => (),
                }
                let seen = world.borrow();
                prop_assert!((0..=2).contains(&seen.in_flight));
                prop_assert!((0..=2).contains(&seen.permits));
                // A second attempt has a permit of its own, and nobody waits for the client beside it.
                prop_assert!(seen.in_flight < 2 || (seen.permits == 2 && seen.at_work == 2));
                prop_assert!((0..=seen.permits).contains(&seen.at_work));
                prop_assert!(seen.resting.is_empty() || seen.in_flight > 0);
            }
            drop(call);
            let world = world.borrow();
            prop_assert_eq!(world.settlements.len(), 1);
            prop_assert_eq!(world.permits, 0);
            prop_assert_eq!(world.at_work, 0);
            prop_assert_eq!(world.in_flight, 0);
            prop_assert!(world.resting.is_empty());
            prop_assert!(hedges <= 1 && world.observed.len() <= 1);
            prop_assert!(world.settlements[0].attempts <= attempts_max.max(1 + hedges));
        }
    }
}
