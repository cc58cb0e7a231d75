//! One request from its head to its last byte: chooses an endpoint, sends, waits, streams the answer back.
//!
//! Drives `plimsoll-lifecycle`, which decides; this file has the sockets and timers. Invariant: whatever
//! happens, also when the future is dropped or panics, the call is settled once ([`Exchange`]'s drop).

mod attempt;
mod cached;
mod collapsed;
mod fallback;
mod mirror;
mod race;
mod relay;
mod renewal;
mod variant;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use plimsoll_core::{Instant, Mode, ServiceId, never};
use plimsoll_http1::{Framing, Name, RequestHead, ResponseHead};
use plimsoll_lifecycle::{Again, Arrival, Attempt, AttemptEnd, Call, Counter, Verdict};
use plimsoll_measure::Cause;
use plimsoll_policy::retry::Failure;
use plimsoll_policy::{KeyHash, Refusal, Ticket};
use plimsoll_upstream::{ConnectError, Endpoint, Http1Connection};

use self::cached::{FromDisk, Instead};
use self::collapsed::Collapsed;
use self::fallback::First;
use crate::access;
use crate::admission::Ended;
use crate::answer::{self, Keep};
use crate::cache::{CacheResult, Caching, Lead};
use crate::heads::Facts;
use crate::peer::Peer;
use crate::plan::ServicePlan;
use crate::protocol::{ClientConnection, HttpRequest, RateFields};
use crate::refusal::Answer;
use crate::thread::{Thread, ThreadEffects, ThreadPlan};
use crate::timer::Timer;
use crate::transfer::Transfer;

/// What is left of a refused request's body is read and thrown away up to this size: less than a new connection
/// costs both sides.
const SKIPPED_MAX: u64 = 64 * 1024;

/// What a request's exchange says to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It can carry another request, once what is left of this one's body was skipped.
    Keep,
    /// It is to be closed, once what was written has arrived.
    Close,
    /// It is of no use any more: cut it.
    Cut,
}

/// A request on its way. Dropping it settles the call and writes its line.
pub(crate) struct Exchange<'a> {
    pub(crate) thread: &'a Rc<Thread>,
    pub(crate) plan: Rc<ThreadPlan>,
    pub(crate) head: &'a RequestHead,
    pub(crate) call: Call<ThreadEffects>,
    pub(crate) facts: Facts,
    pub(crate) status: u16,
    /// The short word for why Plimsoll answered by itself.
    pub(crate) reason: Option<&'static str>,
    /// Of the answer's head. One for all attempts together; what comes of the client's body moves it.
    deadline: Instant,
    /// When the last of the client's body came.
    body_at: Instant,
    /// When the caller's own patience ends, where that is shorter than the route's.
    patience_ends: Option<Instant>,
    /// The tenant's key, if it is to be proven by a good answer.
    unlisted_key: Option<KeyHash>,
    /// What the answer says of the rates that the request was held to.
    rate_fields: Option<Box<RateFields>>,
    /// What its route's cache says of it; `None` where the route has none.
    caching: Option<Box<Caching>>,
    /// Its client went, and it goes on for others.
    left: Cell<bool>,
    /// While another service stands in: the call that it does so for.
    first: Option<Box<First>>,
    /// What its cache did for it, if it is given something stored or another service stands in.
    cached: Cell<Option<CacheResult>>,
}

/// What came of one attempt.
enum Tried {
    /// An answer's head.
    Head {
        up: Peer,
        sent_at: Instant,
        /// Where it came from, if not from the endpoint that was tried: a hedge won.
        other: Option<Arc<Endpoint>>,
    },
    /// A kept connection was closed before the service saw the request.
    Stale(Verdict),
    /// The service failed it.
    Failed(Verdict),
    /// The request can't go on; it is to be answered with this.
    Answer(Answer),
    /// The client went.
    Gone,
}

/// What came of waiting for a permit.
enum Waited {
    Permit,
    Refused(Refusal),
    /// The client went.
    Gone,
}

/// Body bytes so far.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) up: Cell<u64>,
    pub(crate) down: Cell<u64>,
}

/// Serves one request.
pub(crate) async fn serve(
    thread: &Rc<Thread>,
    connection: &ClientConnection,
    down: &mut Peer,
    head: &RequestHead,
    arrived: Instant,
    timer: &mut Timer,
    response: &mut ResponseHead,
) -> Served {
    let plan = thread.plan();
    let effects = ThreadEffects::new(thread, &plan).of(head);
    let mut call = Call::arrive(effects, arrived);
    let mut request = HttpRequest::new(thread, &plan, connection, head);
    let began = thread.clock.now();
    let mut arrival = call.admit(began, &mut request);
    let facts = request.facts(down.is_http2());
    let answer = request.answer.take();
    let mut exchange = Exchange {
        thread,
        plan: Rc::clone(&plan),
        head,
        facts,
        status: 0,
        reason: None,
        deadline: began,
        body_at: began,
        patience_ends: None,
        unlisted_key: request.unlisted_key,
        rate_fields: request.rate_fields.take(),
        caching: request.caching.take(),
        left: Cell::new(false),
        first: None,
        cached: Cell::new(None),
        call,
    };
    exchange.begin_deadline(began);
    let on_disk = (exchange.caching.as_deref_mut()).and_then(|caching| caching.on_disk.take());
    if let Some(on_disk) = on_disk {
        match Box::pin(exchange.take_from_disk(on_disk, timer)).await {
            FromDisk::Stored => (),
            FromDisk::Ask => arrival = exchange.call.go_alone(thread.clock.now()),
        }
    }
    let waiting = (exchange.caching.as_deref_mut()).and_then(|caching| caching.waiting.take());
    if let Some(waiting) = waiting {
        let wait = exchange.wait_for_fetch(down, waiting, timer);
        match Box::pin(wait).await {
            Collapsed::Give(given) => return Box::pin(exchange.give(down, *given, timer)).await,
            Collapsed::Answer(answer) => {
                return exchange.answer(down, answer, response, timer).await;
            }
            Collapsed::Alone => arrival = exchange.call.go_alone(thread.clock.now()),
            Collapsed::Gone => return exchange.gone(),
        }
    }
    match exchange.ask(arrival, answer, down, response, timer).await {
        Ok(served) => served,
        Err(answer) => exchange.answer(down, answer, response, timer).await,
    }
}

/// Counts a request that is too malformed to be answered.
pub(crate) fn count_malformed(thread: &Rc<Thread>, arrived: Instant) {
    let effects = ThreadEffects::new(thread, &thread.plan());
    Call::arrive(effects, arrived).settle(thread.clock.now(), Cause::BadRequest);
}

impl Exchange<'_> {
    /// Goes on from where the call has come to: `Err` with what is to be answered in place of a service.
    async fn ask(
        &mut self,
        arrival: Arrival,
        answer: Option<Answer>,
        down: &mut Peer,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Result<Served, Answer> {
        let service = match arrival {
            Arrival::Proceed(service) => service,
            Arrival::Wait(service, ticket) => {
                match self.wait_for_permit(down, service, ticket, timer).await {
                    Waited::Permit => service,
                    Waited::Refused(refusal) => {
                        return Err(Answer::of_refusal(&refusal));
                    }
                    Waited::Gone => return Ok(self.gone()),
                }
            }
            Arrival::Answer(Cause::Cached | Cause::Stale) => {
                return self.answer_stored(down, timer).await;
            }
            Arrival::Answer(cause) => {
                let refusal = self.refusal();
                let answer = answer.unwrap_or_else(|| match refusal {
                    Some(refusal) => Answer::of_refusal(&refusal),
                    None => Answer::of_cause(cause),
                });
                return Err(answer);
            }
        };
        let plan = Rc::clone(&self.plan);
        let Some(service) = plan.plan.service(service) else {
            return Err(Answer::of_cause(Cause::NoEndpoint));
        };
        #[cfg(test)]
        tests::panic_if_asked(self.head);
        self.attempt(down, service, response, timer).await
    }

    /// Tries endpoints until one has answered, or nothing is left to try.
    async fn attempt(
        &mut self,
        down: &mut Peer,
        service: &ServicePlan,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Result<Served, Answer> {
        let plan = Rc::clone(&self.plan);
        let hedgeable = self.is_hedgeable();
        let hedges = service.guard.hedge_mode == Mode::Enforce && hedgeable;
        self.facts.retries = service.keep_bytes_max > 0 || hedges;
        let key = self.hash_key(service);
        let mut copies = false;
        if let Some(rollout) = service.rollout.as_deref() {
            copies = self.choose_variant(rollout);
        }
        let mut upload = match self.head.framing() {
            Framing::None => Transfer::done(),
            _ => Transfer {
                bytes_max: plan.plan.config.gateway.limits.body_bytes_max,
                ..Transfer::default()
            },
        };
        if self.is_idempotent() {
            upload.keep(service.keep_bytes_max);
        }
        // With a body, the copy waits for that.
        copies = copies && self.copy_at_once(service, &mut upload);
        if hedgeable {
            self.call.watch_first();
        }
        let mut again = false;
        loop {
            let attempt = if again {
                self.call.again(self.thread.clock.now())
            } else {
                self.choose(key)
            };
            let endpoint = match attempt {
                Attempt::Try(id) => service.cluster.endpoints.get(id.index()),
                Attempt::GiveUp(cause) => return Err(Answer::of_cause(cause)),
            };
            let Some(endpoint) = endpoint else {
                return Err(Answer::of_cause(Cause::NoEndpoint));
            };
            // Beside a retry there is no hedge: one attempt more was made already.
            let tried = if hedgeable && self.call.settlement().attempts == 1 {
                // Boxed, so that requests without hedging do not carry the room for two attempts.
                Box::pin(self.race(
                    service, endpoint, again, key, down, &upload, response, timer,
                ))
                .await
            } else {
                self.try_endpoint(endpoint, again, down, &mut upload, response, timer)
                    .await
            };
            let (verdict, answer) = match tried {
                Tried::Head { up, sent_at, other } => {
                    let endpoint = other.as_ref().unwrap_or(endpoint);
                    if std::mem::take(&mut copies) {
                        self.copy_with_body(service, &upload);
                    }
                    let verdict = self.on_head(response, &upload, sent_at);
                    let Some(Verdict::Retry { after }) = verdict else {
                        match self.instead_of(response, sent_at) {
                            Instead::No => {
                                if let Some(answer) = self.in_place_of(response, sent_at) {
                                    return Err(answer);
                                }
                                return self
                                    .relay(down, up, upload, response, endpoint, sent_at, timer)
                                    .await;
                            }
                            Instead::Give(given) => {
                                if upload.flushed
                                    && response.keep_alive()
                                    && response.framing() == Framing::None
                                {
                                    self.give_back(endpoint, up);
                                }
                                return Ok(Box::pin(self.give(down, *given, timer)).await);
                            }
                            Instead::AskAgain => {
                                again = true;
                                continue;
                            }
                        }
                    };
                    (Verdict::Retry { after }, None)
                }
                Tried::Stale(verdict) => {
                    again = verdict != Verdict::GiveUp(Cause::Reset);
                    (verdict, None)
                }
                Tried::Failed(verdict) => {
                    again = false;
                    (verdict, None)
                }
                Tried::Answer(answer) => (Verdict::GiveUp(answer.cause), Some(answer)),
                Tried::Gone => return Ok(self.gone()),
            };
            match verdict {
                Verdict::GiveUp(cause) => {
                    return Err(answer.unwrap_or_else(|| Answer::of_cause(cause)));
                }
                Verdict::Retry { after } => {
                    upload.rewind();
                    if !after.is_zero() && !self.pause(after, down, &upload, timer).await {
                        return Ok(self.gone());
                    }
                }
            }
        }
    }

    /// The endpoint to try next.
    fn choose(&mut self, key: Option<u64>) -> Attempt {
        let now = self.thread.clock.now();
        let (thread, plan) = (self.thread, Rc::clone(&self.plan));
        let settlement = self.call.settlement();
        let (service, variant) = (settlement.service, settlement.variant);
        self.call.next_attempt(now, |tried| {
            let choice = plan.choose(service?, variant, now, key, tried)?;
            if choice.panic {
                thread
                    .shared
                    .panics
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Some(choice.endpoint)
        })
    }

    /// One attempt, up to the answer's head.
    async fn try_endpoint(
        &mut self,
        endpoint: &Arc<Endpoint>,
        again: bool,
        down: &mut Peer,
        upload: &mut Transfer,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Tried {
        let checkout = match self
            .checkout(endpoint, again, down, upload, self.deadline, timer)
            .await
        {
            attempt::Connecting::Ready(checkout) => checkout,
            attempt::Connecting::Failed(ConnectError::Full { .. }) => return self.full(),
            attempt::Connecting::Failed(error) => {
                tracing::debug!(%error, endpoint = %endpoint.name, "connecting failed");
                let now = self.thread.clock.now();
                let again = self.again(upload);
                return Tried::Failed(self.call.on_connect_failed(now, again));
            }
            attempt::Connecting::Late => return self.late(),
            attempt::Connecting::Gone => return Tried::Gone,
        };
        let sent_at = self.thread.clock.now();
        let mut up = match self.send(endpoint, checkout) {
            Ok(up) => up,
            Err(attempt::Unsent::Closed) => {
                return Tried::Stale(self.call.on_stale(sent_at, true));
            }
            Err(attempt::Unsent::Malformed) => {
                self.call.end_attempt(AttemptEnd::Cancelled);
                return Tried::Answer(Answer::of_cause(Cause::BadRequest));
            }
        };
        match self.wait(down, &mut up, upload, response, timer).await {
            relay::Waited::Head => {
                endpoint.shared.on_head();
                let other = None;
                Tried::Head { up, sent_at, other }
            }
            relay::Waited::Unseen { certain } => {
                let safe = certain || self.is_idempotent();
                let now = self.thread.clock.now();
                Tried::Stale(self.call.on_stale(now, safe))
            }
            relay::Waited::Failed(cause, why) => {
                tracing::debug!(cause = cause.name(), why, endpoint = %endpoint.name, "the attempt failed");
                self.failed(cause, upload)
            }
            relay::Waited::Refused(answer) => Tried::Answer(answer),
            relay::Waited::Gone => Tried::Gone,
        }
    }

    /// The service has as many connections as it may: nothing is wrong with the endpoint, and another one of the
    /// same service is as full.
    fn full(&mut self) -> Tried {
        self.call.end_attempt(AttemptEnd::Cancelled);
        if let Some(guard) = self.guard() {
            guard.shared.counters.add(Counter::ConnectionsFull);
        }
        Tried::Answer(Answer::of_cause(Cause::Bulkhead))
    }

    /// The deadline passed, and with it the time for another attempt.
    fn late(&mut self) -> Tried {
        let now = self.thread.clock.now();
        if self.is_given_up(now) {
            // As if its caller had gone: that says nothing about the endpoint.
            self.call.end_attempt(AttemptEnd::Cancelled);
        } else {
            self.call.on_failed(now, Cause::Timeout);
        }
        Tried::Failed(Verdict::GiveUp(Cause::Timeout))
    }

    /// Whether it is its caller's own patience that has ended, and not the service's time.
    fn is_given_up(&self, now: Instant) -> bool {
        self.facts.impatient && self.patience_ends.is_some_and(|end| now >= end)
    }

    /// The service failed the attempt that is left.
    fn failed(&mut self, cause: Cause, upload: &Transfer) -> Tried {
        let now = self.thread.clock.now();
        if cause == Cause::Timeout && self.is_given_up(now) {
            return self.late();
        }
        self.call.on_failed(now, cause);
        let failure = match cause {
            Cause::Reset => Failure::Reset,
            Cause::Timeout => Failure::Timeout,
            _ => return Tried::Failed(Verdict::GiveUp(cause)),
        };
        let again = self.again(upload);
        Tried::Failed(self.call.on_attempt_failed(now, cause, failure, again))
    }

    /// Whether an answer is a failure that is tried again rather than passed on.
    fn on_head(
        &mut self,
        response: &ResponseHead,
        upload: &Transfer,
        sent_at: Instant,
    ) -> Option<Verdict> {
        let status = response.status();
        if status < 500 {
            return None;
        }
        let now = self.thread.clock.now();
        let failure = Failure::Status {
            status,
            retry_after: retry_after(response),
            decision: response.fields.get_named(b"plimsoll-decision").is_some(),
        };
        let again = self.again(upload);
        let verdict = self
            .call
            .on_attempt_failed(now, Cause::UpstreamStatus, failure, again);
        if let Verdict::Retry { .. } = verdict {
            self.call.end_attempt(AttemptEnd::Answered {
                head_after: now - sent_at,
                status,
                busy: is_busy(response),
            });
        }
        Some(verdict)
    }

    fn again(&self, upload: &Transfer) -> Again {
        Again {
            idempotent: self.is_idempotent(),
            replayable: upload.is_replayable(),
            forbidden: self.facts.no_retry,
            deadline: self.deadline,
        }
    }

    /// Waits before the next attempt. Says whether the client is still there.
    async fn pause(
        &self,
        after: Duration,
        down: &mut Peer,
        upload: &Transfer,
        timer: &mut Timer,
    ) -> bool {
        let until = self.thread.clock.now() + after;
        let all_taken = upload.has_all();
        poll_fn(|cx| {
            if all_taken && down.poll_gone(cx).is_ready() && !self.outlives(down, false) {
                return Poll::Ready(false);
            }
            timer.poll_at(cx, until).map(|()| true)
        })
        .await
    }

    /// Body bytes so far.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.call.effects().bytes
    }

    /// Whether doing it twice does what doing it once does (RFC 9110 section 9.2.2).
    fn is_idempotent(&self) -> bool {
        let safe = matches!(
            self.head.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        );
        // The service tells a second one by its key (draft-ietf-httpapi-idempotency-key-header).
        safe || self.head.fields.get_named(b"idempotency-key").is_some()
    }

    /// Why admission refused the call, if it just did.
    fn refusal(&self) -> Option<Refusal> {
        let service = self.call.settlement().service?;
        self.plan.guards.get(service.index())?.take_refusal()
    }

    /// Waits for a permit, for as long as the queue lets it.
    async fn wait_for_permit(
        &mut self,
        down: &mut Peer,
        service: ServiceId,
        ticket: Ticket,
        timer: &mut Timer,
    ) -> Waited {
        let Some(guard) = self.plan.guards.get(service.index()) else {
            never!(self.plan.guards.len() <= service.index());
            return Waited::Gone;
        };
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = guard.poll_ended(ticket, cx) {
                    return Poll::Ready(Some(ended));
                }
                if down.poll_gone(cx).is_ready() && !self.outlives(down, false) {
                    return Poll::Ready(None);
                }
                let Some(expiry) = guard.next_expiry() else {
                    return Poll::Pending;
                };
                if timer.poll_at(cx, expiry).is_pending() {
                    return Poll::Pending;
                }
                guard.expire(self.thread, self.thread.clock.now());
            }
        })
        .await;
        let now = self.thread.clock.now();
        match ended {
            Some(Ended::Go) => {
                self.call.on_permit(now);
                Waited::Permit
            }
            Some(Ended::Refused(refusal)) => {
                self.call.on_refused(now);
                Waited::Refused(refusal)
            }
            None => Waited::Gone,
        }
    }

    /// The client went away. Whether what it has asked for is fetched all the same: for others who wait, or since what has
    /// begun to come is being stored. Bounded by what is fetched and stored at once, and by the call's own deadlines.
    fn outlives(&self, down: &mut Peer, fills: bool) -> bool {
        let lead = (self.caching.as_deref()).and_then(|caching| caching.lead.as_ref());
        let is_awaited = fills || lead.is_some_and(Lead::has_waiters);
        if !is_awaited || self.thread.is_draining() {
            return false;
        }
        *down = Peer::Nobody;
        self.left.set(true);
        true
    }

    /// Settles the call. A client that left has seen nothing of its end, which yet says something of the service.
    fn settle(&mut self, ended: Instant, cause: Cause) {
        if self.left.get() {
            self.call.on_stand_in(ended, cause);
            self.call.settle(ended, Cause::ClientGone);
        } else {
            self.call.settle(ended, cause);
        }
    }

    /// The client went away: nothing is to be answered.
    fn gone(&mut self) -> Served {
        let now = self.thread.clock.now();
        self.call.settle(now, Cause::ClientGone);
        Served::Cut
    }

    /// Whether a kept connection can carry another request, as far as is known before the answer.
    fn keep(&self) -> Keep {
        if self.head.keep_alive() && !self.thread.is_draining() {
            Keep::Alive
        } else {
            Keep::Close
        }
    }

    /// Answers without the service: with what is stored and stale, or with a fallback, if one of these may stand in.
    async fn answer(
        &mut self,
        down: &mut Peer,
        answer: Answer,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Served {
        self.fail_fetch(answer.cause);
        if let Some(given) = self.stale_for(&answer) {
            return Box::pin(self.give(down, given, timer)).await;
        }
        // Boxed, so that requests whose service answers do not carry the room for another one's.
        match Box::pin(self.ask_another(down, answer, response, timer)).await {
            Ok(served) => served,
            Err(answer) => match self.page_for(&answer) {
                Some(page) => {
                    self.call.on_stand_in(self.thread.clock.now(), answer.cause);
                    self.say(down, page, timer).await
                }
                None => self.say(down, answer, timer).await,
            },
        }
    }

    /// Gives an answer of Plimsoll's own, and settles.
    async fn say(&mut self, down: &mut Peer, answer: Answer, timer: &mut Timer) -> Served {
        // What is left of the request's body would be read as the next request: it is skipped, if that is little.
        let skipped = match self.head.framing() {
            Framing::None => true,
            // A client that is waited for in vain, or waits to be told to send it, sends none.
            Framing::Length(length) => {
                length <= SKIPPED_MAX && answer.status != 408 && !self.head.expect_continue()
            }
            Framing::Chunked | Framing::UntilClose => false,
        };
        let keep = if skipped { self.keep() } else { Keep::Close };
        self.status = answer.status;
        self.reason = Some(answer.reason);
        let rates = self.rate_fields.as_deref();
        let sent = answer::send_own(
            down,
            self.head,
            &answer,
            &self.facts.request_id,
            rates,
            keep,
        );
        let now = self.thread.clock.now();
        let cause = match answer.cause {
            // Whoever asked has something that is of use.
            _ if answer.page.is_some() && answer.status < 500 && answer.cause != Cause::Dimmed => {
                Cause::Fallback
            }
            // Its own patience was at an end, as if it had gone: callers don't spend budgets.
            Cause::Timeout | Cause::Deadline | Cause::QueueTimeout if self.facts.impatient => {
                Cause::ClientGone
            }
            cause => cause,
        };
        self.settle(now, cause);
        match sent {
            Ok(_) if self.left.get() => Served::Cut,
            Ok(keep) => self.flush(down, keep, timer).await,
            Err(_) => Served::Cut,
        }
    }

    /// Writes what is left to the client, within the idle time.
    async fn flush(&self, down: &mut Peer, keep: Keep, timer: &mut Timer) -> Served {
        let deadline = self.thread.clock.now() + self.plan.plan.config.gateway.limits.idle_time_max;
        let flushed = poll_fn(|cx| {
            if let Poll::Ready(result) = down.poll_flush(cx) {
                return Poll::Ready(result.is_ok());
            }
            timer.poll_at(cx, deadline).map(|()| false)
        })
        .await;
        match (flushed, keep) {
            (true, Keep::Alive) => Served::Keep,
            (true, Keep::Close) => Served::Close,
            (false, _) => Served::Cut,
        }
    }

    fn hash_key(&self, service: &ServicePlan) -> Option<u64> {
        use plimsoll_config::HashKey;
        let client = || match self.facts.client {
            std::net::IpAddr::V4(address) => plimsoll_policy::hash_key(&address.octets()),
            std::net::IpAddr::V6(address) => plimsoll_policy::hash_key(&address.octets()),
        };
        Some(match service.hash_key.as_ref()? {
            HashKey::Address => client(),
            HashKey::Path => {
                plimsoll_policy::hash_key(crate::protocol::path_of(self.head.path_and_query()))
            }
            HashKey::Header(name) => self
                .head
                .fields
                .get_named(name.as_bytes())
                .map_or_else(client, plimsoll_policy::hash_key),
        })
    }

    /// Gives a connection back, if it can carry another request.
    fn give_back(&self, endpoint: &Arc<Endpoint>, up: Peer) {
        if let Peer::Http1(peer) = up
            && peer.buf.is_empty()
            && !peer.eof
            && peer.out.is_empty()
        {
            self.thread.put_buffer(peer.out.into_buffer());
            let connection = Http1Connection {
                io: peer.io,
                buf: peer.buf,
                reused: true,
            };
            self.thread.pools.give_back(endpoint, connection);
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.end_stand_in();
        if !self.call.is_settled() {
            // The future was dropped: the call knows what that means.
            self.call.abandon();
        }
        if self.call.effects().renews || self.call.effects().mirrors {
            return;
        }
        self.count_cached();
        if let Some(key) = self.unlisted_key
            && self.call.settlement().cause == Cause::Answered
            && !matches!(self.status, 401 | 403)
        {
            let now = self.thread.clock.now();
            let mut tenants = self.thread.tenants.borrow_mut();
            tenants.on_good_answer(now, key, self.facts.client);
        }
        access::write(self);
    }
}

/// Whether an answer is a stream: its permit and its latency end at its head.
fn is_event_stream(response: &ResponseHead) -> bool {
    response
        .fields
        .get(Name::ContentType)
        .is_some_and(|value| value.starts_with(b"text/event-stream"))
}

/// How an attempt that was answered ended.
fn answered(call: &Call<ThreadEffects>, sent_at: Instant, response: &ResponseHead) -> AttemptEnd {
    AttemptEnd::Answered {
        head_after: call.head_after(sent_at),
        status: response.status(),
        busy: is_busy(response),
    }
}

/// Whether the service says that it is full, and when to come back.
fn is_busy(response: &ResponseHead) -> bool {
    response.status() == 503 && retry_after(response).is_some()
}

/// `Retry-After` in seconds; a date is taken for a while that no attempt waits for.
fn retry_after(response: &ResponseHead) -> Option<Duration> {
    let value = response.fields.get_named(b"retry-after")?;
    let seconds = std::str::from_utf8(value).ok()?.trim().parse();
    Some(Duration::from_secs(seconds.unwrap_or(3_600)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use plimsoll_config::LogTarget;
    use plimsoll_http1::RequestHead;
    use plimsoll_measure::{Cause, Registry};
    use plimsoll_upstream::{Clock, ClusterConfig, Clusters, EndpointConfig};

    use crate::{AccessLogWriter, Gateway, Plan, ServiceShared, bind};

    /// Stands for the bug that nobody has found yet.
    pub(super) fn panic_if_asked(head: &RequestHead) {
        assert!(
            head.fields.get_named(b"x-panic").is_none(),
            "asked to panic"
        );
    }

    fn ask(address: SocketAddr, field: &str) -> String {
        ask_by("GET", address, field)
    }

    fn ask_by(method: &str, address: SocketAddr, field: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        // A connection that is cut has said all that it will.
        let _cut = stream.read_to_string(&mut answer);
        answer
    }

    /// A gateway before a service that answers each request with this.
    struct Running {
        gateway: Gateway,
        address: SocketAddr,
        registry: Registry,
        shared: BTreeMap<String, Arc<ServiceShared>>,
        /// How often the service was asked.
        asked: Arc<AtomicUsize>,
    }

    impl Running {
        fn start(answer: &'static str, route: &str) -> Self {
            let service = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = service.local_addr().unwrap().port();
            let asked = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&asked);
            std::thread::spawn(move || {
                for stream in service.incoming() {
                    let (mut stream, counted) = (stream.unwrap(), Arc::clone(&counted));
                    std::thread::spawn(move || {
                        let mut head = [0; 1024];
                        while stream.read(&mut head).is_ok_and(|count| count > 0) {
                            counted.fetch_add(1, Ordering::SeqCst);
                            stream.write_all(answer.as_bytes()).unwrap();
                        }
                    });
                }
            });
            let text = format!(
                "[gateway]\nlisten = [\"127.0.0.1:0\"]\nthreads = 1\n[service.app]\nendpoints = [\"http://127.0.0.1:{port}\"]\n\
                 [[route]]\nservice = \"app\"\n{route}"
            );
            let (config, _) = plimsoll_config::parse(&text, "test.toml").unwrap();
            let clusters = Clusters::new()
                .update(vec![ClusterConfig {
                    name: "app".to_owned(),
                    endpoints: vec![EndpointConfig::new("127.0.0.1", port)],
                    versions: Vec::new(),
                    balance: plimsoll_upstream::Balance::default(),
                    parameters: plimsoll_policy::EndpointParameters::default(),
                    health: None,
                }])
                .unwrap();
            let registry = Registry::new(1, 100);
            let mut shared = BTreeMap::new();
            let plan = Arc::new(Plan::new(
                Arc::new(config),
                &clusters,
                &registry,
                &mut shared,
                plimsoll_policy::Salt::new(1, 2),
            ));
            let log = AccessLogWriter::start(&LogTarget::Off).unwrap();
            let mut gateway = Gateway::start(
                Arc::clone(&plan),
                1,
                Clock::new(),
                &log.sender(),
                1,
                std::path::Path::new(""),
            )
            .unwrap();
            let bound = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
            let address = bound.address;
            gateway.apply(plan, vec![bound]).unwrap();
            Self {
                gateway,
                address,
                registry,
                shared,
                asked,
            }
        }
    }

    #[test]
    fn a_panic_costs_one_request() {
        let mut running = Running::start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "");
        let address = running.address;
        assert!(ask(address, "").ends_with("ok"));
        assert_eq!(ask(address, "X-Panic: 1\r\n"), "", "its connection is gone");
        assert!(ask(address, "").ends_with("ok"), "and nothing else");
        let readings = running.registry.read();
        let causes = readings
            .iter()
            .find(|it| it.key == plimsoll_measure::SeriesKey::Service("app".to_owned()))
            .unwrap()
            .totals
            .causes();
        assert_eq!(causes.count(Cause::Panic), 1);
        assert_eq!(causes.total(), 3);
        assert_eq!(running.shared["app"].in_flight(), 0);
        running.gateway.drain(Duration::from_secs(5), false);
    }

    #[test]
    fn a_service_that_is_spared_is_not_asked_for_what_is_stored_unless_that_is_forbidden() {
        let given = |fields: &str, route: &str| {
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
            let mut running = Running::start(answer.leak(), route);
            assert!(ask(running.address, "").ends_with("ok"));
            running.shared["app"].guard.steps.set_stale(1);
            let answers: Vec<_> = (0..3).map(|_| ask(running.address, "")).collect();
            assert!(answers.iter().all(|answer| answer.ends_with("ok")));
            let spared = |answer: &&String| {
                answer.contains("\r\nPlimsoll-Decision: stale; reason=spared; id=\"")
            };
            let counts = (
                answers.iter().filter(spared).count(),
                running.asked.load(Ordering::SeqCst),
            );
            running.gateway.drain(Duration::from_secs(5), false);
            counts
        };
        let stale = "cache = { stale = \"1h\" }\n";
        // What has just come is not renewed at once.
        assert_eq!(given("Cache-Control: max-age=0\r\n", stale), (3, 1));
        let tag = "ETag: \"a\"\r\n";
        for forbids in [
            "must-revalidate, max-age=0",
            "no-cache",
            "s-maxage=0",
            "max-age=0, stale-if-error=0",
        ] {
            let fields = format!("Cache-Control: {forbids}\r\n{tag}");
            assert_eq!(given(&fields, stale), (0, 4), "{forbids}");
        }
        let for_errors = "Cache-Control: max-age=0, stale-if-error=60\r\n";
        assert_eq!(given(for_errors, "cache = {}\n"), (0, 4));
    }

    #[test]
    fn what_the_governor_could_have_given_up_is_counted() {
        let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nContent-Length: 2\r\n\r\nok";
        let mut running = Running::start(answer, "cache = { stale = \"1h\" }\n");
        let guard = &running.shared["app"].guard;
        let counted = || guard.counters.get(plimsoll_lifecycle::Counter::WouldSpare);
        for expected in [0, 1, 2] {
            assert!(ask(running.address, "").ends_with("ok"));
            assert_eq!(counted(), expected, "at first there is nothing stored");
        }
        guard.steps.set_stale(1);
        assert!(ask(running.address, "").ends_with("ok"));
        assert_eq!(counted(), 2, "it is given");
        // What would change something counts where it is not refused.
        let post = "Content-Length: 0\r\n";
        assert_eq!(guard.counters.writes(), [0; 3]);
        assert!(ask_by("POST", running.address, post).ends_with("ok"));
        assert_eq!(guard.counters.writes(), [0, 1, 0]);
        guard.steps.set_read_only(true);
        assert!(ask_by("POST", running.address, post).contains(" 503 "));
        assert_eq!(guard.counters.writes(), [0, 1, 0]);
        running.gateway.drain(Duration::from_secs(5), false);
    }
}
