//! An exchange whose route stores answers: giving what is stored, asking whether it is still good, storing what comes.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use plimsoll_config::Rewrite;
use plimsoll_core::{Instant, never};
use plimsoll_http1::ResponseHead;
use plimsoll_lifecycle::AttemptEnd;
use plimsoll_measure::Cause;
use plimsoll_policy::cache::invalidation::invalidates;
use plimsoll_policy::cache::status::CacheStatus;
use plimsoll_policy::cache::{
    Fetch, ForwardReason, Lookup, MethodClass, Received, is_failure, is_passing,
};

use super::{Exchange, Served, answered, is_event_stream};
use crate::answer::{self, Added, Keep};
use crate::cache::{self, CacheResult, Caching, FULL, Fill, Lead, NAME, OnDisk, Updated, View};
use crate::fallback::stands_in_for;
use crate::heads;
use crate::peer::Peer;
use crate::refusal::{self, Answer};
use crate::timer::Timer;
use crate::transfer::Transfer;

/// How much of a stored body a client is given at once: as much as is read at once of one that comes.
const PIECE: usize = 64 * 1024;

/// A stored answer that a client is to be given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) answer: Arc<cache::Answer>,
    pub(super) cache_status: String,
    /// Why it is given though stale, and what it stands in for.
    pub(super) stale: Option<(&'static str, Cause)>,
    pub(super) cause: Cause,
    pub(super) result: CacheResult,
}

/// What the store has to do with an answer of the service.
pub(super) enum Instead {
    /// Nothing: it is passed on.
    No,
    /// This is given.
    Give(Box<Given>),
    /// What the service was asked about is not what it knows: it is to be asked for the whole.
    AskAgain,
}

/// What came of an answer that is on disk.
pub(super) enum FromDisk {
    /// It is given, or what another one fetches is.
    Stored,
    /// It is stale, or no good: the service is asked.
    Ask,
}

/// How long a disk is waited for: one that is well takes a hundredth of it.
const DISK_WAIT: Duration = Duration::from_millis(200);

impl Exchange<'_> {
    /// Reads what is stored on disk for a request, and decides on it again.
    pub(super) async fn take_from_disk(&mut self, on_disk: OnDisk, timer: &mut Timer) -> FromDisk {
        let clock = self.thread.clock;
        let (now, date) = (clock.now(), clock.timestamp());
        let Some(parameters) = self.caching.as_deref().map(|caching| caching.parameters) else {
            never!(true);
            return FromDisk::Ask;
        };
        let mut reading = tokio::task::spawn_blocking(move || on_disk.read(&parameters, now, date));
        let end = (now + DISK_WAIT).min(self.deadline);
        let answer = poll_fn(|cx| match Pin::new(&mut reading).poll(cx) {
            Poll::Ready(read) => Poll::Ready(read.ok().flatten()),
            Poll::Pending => timer.poll_at(cx, end).map(|()| None),
        })
        .await;
        let (thread, fields) = (self.thread, &self.head.fields);
        let service = self.call.settlement().service;
        let service = service.and_then(|id| self.plan.plan.service(id));
        let spares = service.is_some_and(|it| it.shared.guard.steps.spares());
        let Some(caching) = self.caching.as_deref_mut() else {
            return FromDisk::Ask;
        };
        if let Some(answer) = answer {
            caching.restore(answer, &thread.shared.cache, fields, clock.now());
        }
        // What may be stored now is asked for without what is not in its key.
        self.facts.fills = caching.fills();
        let lookup = caching.lookup;
        match lookup {
            Lookup::Fresh | Lookup::Stale | Lookup::StaleWhileRevalidate(_) => FromDisk::Stored,
            Lookup::Fetch(_) if spares && caching.spares(clock.now()) => FromDisk::Stored,
            Lookup::Fetch(fetch) if fetch.fill && caching.joins(thread, fields) => FromDisk::Stored,
            _ => FromDisk::Ask,
        }
    }

    /// Path and query as the service sees them.
    pub(super) fn target(&self, rewrite: Option<&Rewrite>) -> Cow<'_, [u8]> {
        let own = self
            .caching
            .as_deref()
            .filter(|_| self.facts.fills)
            .and_then(|caching| caching.target.as_deref());
        heads::target(own.unwrap_or(self.head.path_and_query()), rewrite)
    }

    /// Calls `emit` with the fields that ask whether the stored answer is still good.
    pub(super) fn conditions(&self, mut emit: impl FnMut(&[u8], &[u8])) {
        let validated = self.caching.as_deref().and_then(Caching::validates);
        for (name, value) in validated.into_iter().flat_map(|it| it.stored.conditions()) {
            emit(name.as_bytes(), value);
        }
    }

    /// The longest body that is stored.
    pub(super) fn stored_bytes_max(&self) -> u64 {
        let caching = self.caching.as_deref();
        caching.map_or(0, |caching| caching.parameters.body_bytes_max)
    }

    /// Answers with what is stored: fresh, or stale where that is given without asking the service.
    pub(super) async fn answer_stored(
        &mut self,
        down: &mut Peer,
        timer: &mut Timer,
    ) -> Result<Served, Answer> {
        let Some((caching, answer)) =
            (self.caching.as_deref()).and_then(|it| Some((it, it.found.clone()?)))
        else {
            never!(true);
            return Err(Answer::of_cause(Cause::NoEndpoint));
        };
        let now = self.thread.clock.now();
        let stale = match caching.lookup {
            Lookup::StaleWhileRevalidate(_) => Some("revalidating"),
            Lookup::Stale => Some("only-if-cached"),
            Lookup::Fetch(_) => Some("spared"),
            Lookup::Fresh | Lookup::NotCached => None,
        };
        let spared = matches!(caching.lookup, Lookup::Fetch(_));
        if (spared || matches!(caching.lookup, Lookup::StaleWhileRevalidate(_)))
            && answer.begins_renewal(now, spared)
        {
            self.renew(caching, &answer);
        }
        let status = CacheStatus::Hit {
            ttl: answer.stored.seconds_left(now),
            detail: stale,
        };
        let given = Given {
            cache_status: written(&status),
            answer,
            stale: stale.map(|reason| (reason, Cause::Stale)),
            cause: stale.map_or(Cause::Cached, |_| Cause::Stale),
            result: stale.map_or(CacheResult::Hit, |_| CacheResult::Stale),
        };
        Ok(self.give(down, given, timer).await)
    }

    /// What is stored and stale, if it may stand in for this answer of Plimsoll's own.
    pub(super) fn stale_for(&self, answer: &Answer) -> Option<Given> {
        let caching = self
            .caching
            .as_deref()
            .filter(|_| stands_in_for(answer.cause))?;
        self.stale(caching, answer.reason, answer.cause)
    }

    fn stale(&self, caching: &Caching, reason: &'static str, of: Cause) -> Option<Given> {
        let now = self.thread.clock.now();
        let answer = Arc::clone(caching.stale(now)?);
        let status = CacheStatus::Hit {
            ttl: answer.stored.seconds_left(now),
            detail: Some(reason),
        };
        Some(Given {
            cache_status: written(&status),
            answer,
            stale: Some((reason, of)),
            cause: Cause::Stale,
            result: CacheResult::Stale,
        })
    }

    /// What it fetches for others has failed. Only what its service did is told to those who wait: what else ended it was
    /// said of this request alone.
    pub(super) fn fail_fetch(&mut self, cause: Cause) {
        let caching = self.caching.as_deref_mut();
        let Some(lead) = caching.and_then(|caching| caching.lead.take()) else {
            return;
        };
        let of_service = match cause {
            // Else it was less patient than those who wait.
            Cause::Timeout => self.patience_ends.is_none(),
            Cause::UpstreamStatus
            | Cause::Connect
            | Cause::Reset
            | Cause::BadResponse
            | Cause::NoEndpoint => true,
            _ => false,
        };
        match of_service {
            true => lead.fail(cause),
            false => lead.release(false),
        }
    }

    /// Whether a stored answer is given in place of the service's, which it has found good or failed to replace.
    pub(super) fn instead_of(&mut self, response: &ResponseHead, sent_at: Instant) -> Instead {
        if is_failure(response.status()) {
            self.fail_fetch(Cause::UpstreamStatus);
        }
        let lead = match response.status() {
            304 => self.caching.as_deref_mut().and_then(|it| it.lead.take()),
            _ => None,
        };
        let Some(caching) = self.caching.as_deref() else {
            return Instead::No;
        };
        let given = if is_failure(response.status()) {
            self.stale(caching, Cause::UpstreamStatus.name(), Cause::UpstreamStatus)
        } else if response.status() == 304
            && let Some(asked) = caching.validates()
        {
            let received = self.received(sent_at, self.thread.clock.now());
            let store = &self.thread.shared.cache;
            match asked.updated(caching, response, received) {
                Updated::Good(answer) => {
                    let (shared, view) = (&self.thread.shared, View(&self.head.fields));
                    let for_waiters = answer.stored.is_for_waiters(received.at);
                    let lead = lead.and_then(|mut lead| match for_waiters {
                        true => {
                            lead.begin(&answer.stored, &view);
                            Some(lead)
                        }
                        false => {
                            lead.release(true);
                            None
                        }
                    });
                    cache::store_answer(shared, lead, caching, &view, Arc::clone(&answer));
                    Some(self.validated(answer, true))
                }
                Updated::Once => {
                    let answer = Arc::clone(asked);
                    store.invalidate(&caching.key);
                    if let Some(lead) = lead {
                        lead.release(true);
                    }
                    Some(self.validated(answer, false))
                }
                Updated::Other => {
                    store.invalidate(&caching.key);
                    self.ask_for_the_whole(lead);
                    self.call.end_attempt(AttemptEnd::Answered {
                        head_after: received.at - sent_at,
                        status: response.status(),
                        busy: false,
                    });
                    return Instead::AskAgain;
                }
            }
        } else {
            None
        };
        let Some(given) = given else {
            return Instead::No;
        };
        self.call.on_head(self.thread.clock.now());
        let end = answered(&self.call, sent_at, response);
        self.call.end_attempt(end);
        Instead::Give(Box::new(given))
    }

    fn validated(&self, answer: Arc<cache::Answer>, stored: bool) -> Given {
        let status = CacheStatus::Forwarded {
            why: ForwardReason::Stale,
            status: Some(304),
            ttl: Some(answer.stored.seconds_left(self.thread.clock.now())),
            stored,
            collapsed: false,
            detail: None,
        };
        Given {
            cache_status: written(&status),
            answer,
            stale: None,
            cause: Cause::Answered,
            result: CacheResult::Revalidated,
        }
    }

    fn ask_for_the_whole(&mut self, lead: Option<Lead>) {
        let store = &self.thread.shared.cache;
        if let Some(caching) = self.caching.as_deref_mut()
            && let Some(fetch) = caching.fetch().copied()
        {
            caching.found = None;
            caching.lead = lead;
            caching.epoch = store.epoch(&caching.key);
            caching.lookup = Lookup::Fetch(Fetch {
                validate: false,
                stale_until: None,
                ..fetch
            });
        }
    }

    fn received(&self, requested: Instant, at: Instant) -> Received {
        Received {
            requested,
            at,
            date: self.thread.clock.timestamp(),
        }
    }

    /// Gives a client a stored answer, and settles.
    pub(super) async fn give(
        &mut self,
        down: &mut Peer,
        given: Given,
        timer: &mut Timer,
    ) -> Served {
        let now = self.thread.clock.now();
        let (reply, body) = given.answer.reply(self.head, now);
        let decision = given.stale.map(|(reason, _)| {
            let id = String::from_utf8_lossy(&self.facts.request_id);
            refusal::decision("stale", reason, None, &id)
        });
        self.cached.set(Some(given.result));
        self.status = reply.status();
        self.reason = given.stale.map(|(reason, _)| reason);
        if !self.left.get() {
            self.bytes().down.set(body.len() as u64);
        }
        let added = Added {
            rates: self.rate_fields.as_deref(),
            cache_status: Some(&given.cache_status),
            decision: decision.as_deref(),
            no_store: false,
        };
        let sent = answer::send_head(
            down,
            self.head,
            &reply,
            self.rewrite(),
            added,
            given.answer.http2,
            self.keep(),
        );
        if let Some((_, instead_of)) = given.stale {
            self.call.on_stand_in(now, instead_of);
        }
        self.settle(now, given.cause);
        match sent {
            Ok(_) if self.left.get() => Served::Cut,
            Ok(keep) => self.give_body(down, body, keep, timer).await,
            Err(_) => Served::Cut,
        }
    }

    async fn give_body(
        &self,
        down: &mut Peer,
        mut body: Bytes,
        keep: Keep,
        timer: &mut Timer,
    ) -> Served {
        let idle = self.call.bounds().idle;
        let mut until = self.thread.clock.now() + idle;
        let given = poll_fn(|cx| {
            while !body.is_empty() {
                match down.poll_ready(cx) {
                    Poll::Ready(Ok(())) => (),
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => return timer.poll_at(cx, until).map(|()| false),
                }
                if down.push(body.split_to(body.len().min(PIECE))).is_err() {
                    return Poll::Ready(false);
                }
                until = self.thread.clock.now() + idle;
            }
            Poll::Ready(down.finish(None).is_ok())
        })
        .await;
        if given {
            return self.flush(down, keep, timer).await;
        }
        if let Peer::Http2(peer) = down {
            peer.reset(h2::Reason::INTERNAL_ERROR);
        }
        Served::Cut
    }

    /// Begins to store an answer, if it may be; and says of it what the cache does.
    pub(super) fn begin_fill(
        &mut self,
        response: &ResponseHead,
        sent_at: Instant,
        head_at: Instant,
    ) -> (Option<Fill>, Option<String>) {
        let received = self.received(sent_at, head_at);
        let lead = self.caching.as_deref_mut().and_then(|it| it.lead.take());
        let Some((caching, fetch)) = self
            .caching
            .as_deref()
            .and_then(|caching| Some((caching, caching.fetch()?)))
        else {
            return (None, None);
        };
        // Only what was asked for as such: else fields that are not in the key have had their say.
        let mut fill = match fetch.fill && self.facts.fills && !is_event_stream(response) {
            false => None,
            true => Some(Fill::begin(
                &self.thread.shared,
                caching,
                response,
                received,
            )),
        };
        match (&mut fill, lead) {
            (Some(Ok(fill)), Some(lead)) if fill.stored().is_for_waiters(head_at) => {
                fill.leads(lead, &View(&self.head.fields));
            }
            (Some(Err(FULL)), Some(lead)) => lead.release(false),
            (_, Some(lead)) => lead.release(!is_passing(response.status())),
            (_, None) => (),
        }
        let stored = fill.as_ref().and_then(|fill| fill.as_ref().ok());
        let status = CacheStatus::Forwarded {
            why: fetch.why,
            status: None,
            ttl: stored.map(|fill| fill.stored().seconds_left(head_at)),
            stored: stored.is_some(),
            collapsed: false,
            detail: fill.as_ref().and_then(|fill| fill.as_ref().err().copied()),
        };
        let status = written(&status);
        (fill.and_then(Result::ok), Some(status))
    }

    /// Stores what has come, once it is whole, however far the client has come. `fill`: `None` once there is nothing to
    /// store any more. What is held for a slow client counts as long as it is held.
    pub(super) fn poll_fill(
        &self,
        fill: &mut Option<Fill>,
        response: &ResponseHead,
        from_http2: bool,
        download: &mut Transfer,
    ) {
        let Some(filling) = fill else { return };
        let has_room = filling.reserve(download.kept_bytes());
        if !has_room {
            download.forget();
        }
        if !download.is_replayable() {
            filling.give_up(has_room);
            if !download.holds() {
                *fill = None;
            }
            return;
        }
        let (Some(caching), Some(pieces)) = (self.caching.as_deref(), download.whole()) else {
            return;
        };
        if let Some(filling) = fill.take() {
            let view = View(&self.head.fields);
            let body = filling.finish(caching, &view, response, from_http2, pieces);
            download.replace(&body);
        }
    }

    /// Counts what the cache did for the request.
    pub(super) fn count_cached(&self) {
        let not_given = || self.caching.as_deref().map(Caching::result);
        let Some(result) = self.cached.get().or_else(not_given) else {
            return;
        };
        let service = self.call.settlement().service;
        if let Some(service) = service.and_then(|id| self.plan.plan.service(id)) {
            service.shared.cache.add(self.thread.index, result);
        }
    }

    /// Takes out of the store what the request may have changed.
    pub(super) fn invalidate(&self, response: &ResponseHead) {
        let plan = &self.plan.plan;
        let service = self.call.settlement().service;
        let Some(service) = service
            .and_then(|id| plan.service(id))
            .filter(|service| !service.cached.is_empty())
        else {
            return;
        };
        if invalidates(MethodClass::of(self.head.method()), response.status()) {
            cache::invalidate(
                &self.thread.shared,
                plan,
                service,
                self.head,
                (self.facts.tls, self.facts.trusted),
                &View(&response.fields),
            );
        }
    }
}

pub(super) fn written(status: &CacheStatus<'_>) -> String {
    let mut value = String::new();
    status.push(&mut value, NAME);
    value
}
