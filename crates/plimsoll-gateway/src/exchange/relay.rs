//! Waiting for the service's head, then streaming both ways until both are done.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use plimsoll_core::Instant;
use plimsoll_http1::{Framing, Name, ResponseHead};
use plimsoll_lifecycle::{AttemptEnd, Counter};
use plimsoll_measure::{Cause, grpc_status_is_bad};
use plimsoll_policy::{BulkheadKind, BulkheadPlace, BulkheadShared, Completion};
use plimsoll_upstream::Endpoint;

use super::{Exchange, Served, answered, is_event_stream};
use crate::admission::ThreadGuard;
use crate::answer::{self, Added, Keep, is_grpc, is_grpc_type};
use crate::peer::{HeadFault, Peer, PeerError, Sending};
use crate::protocol::upgrade;
use crate::refusal::Answer;
use crate::timer::Timer;
use crate::transfer::{Transfer, TransferError};

/// From when on a gRPC call of unknown kind counts as a stream.
const STREAM_AFTER: Duration = Duration::from_secs(10);

/// How long a client that asked to be told to go on with its body waits for the service's word. Many services never
/// say it, and what a client does in that case, after about as long (curl: 1 s), is to go on.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);

/// Interim answers (1xx) before the head; more are a service that has lost its way.
pub(super) const INTERIM_MAX: u32 = 16;

/// What came of waiting for a head.
pub(super) enum Waited {
    /// It is there.
    Head,
    /// The service can't have acted on the request, or (not `certain`) had closed a kept connection.
    Unseen { certain: bool },
    /// The service failed.
    Failed(Cause, String),
    /// The client's own request can't go on.
    Refused(Answer),
    /// The client went.
    Gone,
}

/// A stream's place among those of its service.
type Place = BulkheadPlace<Arc<BulkheadShared>>;

/// How streaming ended.
enum Ended {
    Complete,
    /// It became a stream, and there are as many as may be.
    NoPlace,
    Service(Cause),
    ClientGone,
    Stalled,
    /// The client's body was cut or malformed after the answer had begun.
    ClientBroke,
}

impl Exchange<'_> {
    /// Sends the body and waits for the answer's head.
    pub(super) async fn wait(
        &mut self,
        down: &mut Peer,
        up: &mut Peer,
        upload: &mut Transfer,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Waited {
        let idle = self.call.bounds().idle;
        let is_head = self.head.method() == b"HEAD";
        let mut broken = false;
        // When the client is told to go on, if the service does not say it (RFC 9110 section 10.1.1). `None` once it
        // was told, or goes on by itself.
        let mut continue_at = (self.head.expect_continue() && upload.awaits_first())
            .then(|| self.thread.clock.now() + CONTINUE_AFTER.min(self.time_left() / 2));
        let mut interim = 0;
        poll_fn(|cx| {
            if !upload.flushed && !broken {
                let before = (upload.bytes, upload.has_all());
                match upload.poll(down, up, cx) {
                    Poll::Ready(Ok(())) | Poll::Pending => (),
                    Poll::Ready(Err(TransferError::To)) => broken = true,
                    Poll::Ready(Err(error)) => return Poll::Ready(upload_failed(&error)),
                }
                if (upload.bytes, upload.has_all()) != before {
                    self.on_body();
                    continue_at = None;
                    self.bytes().up.set(upload.bytes);
                    if !upload.is_replayable() {
                        self.call.on_body_consumed();
                    }
                }
            } else if upload.ended
                && let Poll::Ready(Err(_)) = up.poll_flush(cx)
            {
                broken = true;
            }
            loop {
                match up.poll_head(cx, is_head, &self.plan.plan.head_limits, response) {
                    Poll::Ready(Ok(())) if response.is_interim() => {
                        if response.status() == 101 {
                            return Poll::Ready(Waited::Head);
                        }
                        interim += 1;
                        if interim > INTERIM_MAX {
                            let why = "interim answers without end".to_owned();
                            return Poll::Ready(Waited::Failed(Cause::BadResponse, why));
                        }
                        let is_continue = response.status() == 100;
                        if !is_continue || continue_at.is_some() {
                            if is_continue {
                                continue_at = None;
                                self.on_body();
                            }
                            answer::send_interim(down, self.head, response);
                            if let Poll::Ready(Err(_)) = down.poll_flush(cx) {
                                return Poll::Ready(Waited::Gone);
                            }
                        }
                    }
                    Poll::Ready(Ok(())) => return Poll::Ready(Waited::Head),
                    Poll::Ready(Err(HeadFault::Unprocessed)) => {
                        return Poll::Ready(Waited::Unseen { certain: true });
                    }
                    Poll::Ready(Err(HeadFault::Stale)) => {
                        return Poll::Ready(Waited::Unseen { certain: false });
                    }
                    Poll::Ready(Err(HeadFault::Closed)) => {
                        let why = "closed before the head".to_owned();
                        return Poll::Ready(Waited::Failed(Cause::Reset, why));
                    }
                    Poll::Ready(Err(HeadFault::Malformed(why))) => {
                        return Poll::Ready(Waited::Failed(Cause::BadResponse, why));
                    }
                    Poll::Pending => break,
                }
            }
            if upload.ended && down.poll_gone(cx).is_ready() && !self.outlives(down, false) {
                return Poll::Ready(Waited::Gone);
            }
            if let Some(at) = continue_at.filter(|_| !broken) {
                // Over HTTP/2 the service is not asked.
                if !up.is_http2() {
                    ready!(self.poll_deadline(cx, at, false, timer));
                }
                continue_at = None;
                self.on_body();
                let _known = response.set_from_parts(100);
                answer::send_interim(down, self.head, response);
                if let Poll::Ready(Err(_)) = down.poll_flush(cx) {
                    return Poll::Ready(Waited::Gone);
                }
            }
            // A client that waits to be told to continue owes nothing yet.
            let uploading = !upload.has_all() && !broken && continue_at.is_none();
            let deadline = if uploading {
                self.deadline_within(self.body_at + idle)
            } else {
                self.deadline
            };
            let awaits_client = uploading && upload.starved && up.is_flushed();
            ready!(self.poll_deadline(cx, deadline, awaits_client, timer));
            Poll::Ready(if uploading && upload.starved {
                let detail = "The request's body did not arrive in time.";
                let answer = Answer::refuse(408, Cause::RequestLimit, "body-timeout", detail);
                Waited::Refused(answer)
            } else {
                Waited::Failed(Cause::Timeout, "no head in time".to_owned())
            })
        })
        .await
    }

    /// Ready once `deadline` has passed. Until then the call is told whom it waits for.
    fn poll_deadline(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Instant,
        awaits_client: bool,
        timer: &mut Timer,
    ) -> Poll<()> {
        loop {
            if awaits_client || self.call.awaits_client() {
                let now = self.thread.clock.now();
                self.call.on_client(now, awaits_client);
            }
            let lend_at = self.call.client_timeout();
            let next = lend_at.map_or(deadline, |at| at.min(deadline));
            ready!(timer.poll_at(cx, next));
            if next == deadline {
                return Poll::Ready(());
            }
        }
    }

    /// The guard of the call's service.
    pub(super) fn guard(&self) -> Option<Rc<ThreadGuard>> {
        let service = self.call.settlement().service?;
        self.plan.guards.get(service.index()).cloned()
    }

    /// A place for a stream of the service, if there is one.
    fn place(&self) -> Option<Place> {
        let guard = self.guard()?;
        let bulkhead = Arc::clone(&guard.shared.bulkhead);
        let place = Place::try_enter(bulkhead, BulkheadKind::Streams);
        if place.is_none() {
            guard.shared.counters.add(Counter::StreamsFull);
        }
        place
    }

    /// Streams the answer to the client, and settles.
    #[expect(
        clippy::too_many_arguments,
        reason = "an exchange's two ends and what is known of them"
    )]
    pub(super) async fn relay(
        &mut self,
        down: &mut Peer,
        mut up: Peer,
        mut upload: Transfer,
        response: &ResponseHead,
        endpoint: &Arc<Endpoint>,
        sent_at: Instant,
        timer: &mut Timer,
    ) -> Result<Served, Answer> {
        let head_at = self.thread.clock.now();
        self.call.on_head(head_at);
        self.status = response.status();
        if response.status() == 101 {
            return self.upgrade(down, up, response, sent_at, timer).await;
        }
        if let Peer::Http1(peer) = &mut up {
            peer.expect_body(response.framing());
        }
        let keep = if upload.ended {
            self.keep()
        } else {
            Keep::Close
        };
        let stream = is_event_stream(response);
        // Both sides have to say so: a client's word alone would make failures of a plain service's good answers.
        let grpc = is_grpc(self.head) && is_grpc_type(&response.fields);
        let place = stream.then(|| self.place()).flatten();
        if stream && place.is_none() {
            drop(up);
            self.call.end_attempt(AttemptEnd::Cancelled);
            return Err(Answer::of_cause(Cause::Bulkhead));
        }
        self.invalidate(response);
        let (mut fill, cache_status) = self.begin_fill(response, sent_at, head_at);
        if fill.is_none() && matches!(down, Peer::Nobody) {
            // Neither a client nor the store is there for the rest.
            let end = answered(&self.call, sent_at, response);
            self.call.end_attempt(end);
            self.settle(head_at, judge(response, &Transfer::default(), false));
            return Ok(Served::Cut);
        }
        let from_http2 = up.is_http2();
        let decision = self.stand_in_decision();
        let rewrite = self.rewrite();
        let added = Added {
            rates: self.rate_fields.as_deref(),
            cache_status: cache_status.as_deref(),
            decision: decision.as_deref(),
            no_store: self.first.is_some() || !self.facts.dimmed.is_empty(),
        };
        let sent = answer::send_head(down, self.head, response, rewrite, added, from_http2, keep);
        let keep = match sent {
            Ok(keep) => keep,
            Err(_) if self.outlives(down, fill.is_some()) => Keep::Close,
            Err(_) => return Ok(self.gone()),
        };
        if stream {
            self.call.on_stream(head_at);
        }
        let mut download = match response.framing() {
            Framing::None => Transfer {
                ended: true,
                source_ended: true,
                ..Transfer::default()
            },
            _ => Transfer::default(),
        };
        if fill.is_some() {
            download.keep_ahead(self.stored_bytes_max());
        }
        let mut streaming = Streaming {
            ended_at: None,
            progressed_at: head_at,
            stream_from: grpc.then(|| head_at + STREAM_AFTER),
            upload_broken: false,
            place,
        };
        // What a client got that has left meanwhile.
        let mut taken = self.left.get().then_some(0);
        let ended = poll_fn(|cx| {
            loop {
                let polled = self.poll_streams(
                    cx,
                    down,
                    &mut up,
                    &mut upload,
                    &mut download,
                    &mut streaming,
                    timer,
                );
                self.poll_fill(&mut fill, response, from_http2, &mut download);
                if fill.is_none() && !download.source_ended && matches!(down, Peer::Nobody) {
                    return Poll::Ready(Ended::ClientGone);
                }
                let gone = matches!(polled, Poll::Ready(Ended::ClientGone));
                if !gone || self.left.get() || !self.outlives(down, fill.is_some()) {
                    return polled;
                }
                taken = Some(download.given);
            }
        })
        .await;
        drop(fill);
        self.bytes().down.set(taken.unwrap_or(download.given));
        let became_stream = stream || (grpc && streaming.stream_from.is_none());
        let ended_at = if became_stream {
            head_at
        } else {
            streaming
                .ended_at
                .unwrap_or_else(|| self.thread.clock.now())
        };
        let cause = match ended {
            Ended::Complete => judge(response, &download, grpc),
            Ended::Service(cause) => cause,
            Ended::NoPlace => Cause::Bulkhead,
            Ended::Stalled => Cause::Stalled,
            Ended::ClientGone | Ended::ClientBroke => Cause::ClientGone,
        };
        let end = answered(&self.call, sent_at, response);
        self.call.end_attempt(end);
        self.settle(ended_at, cause);
        Ok(match ended {
            Ended::Complete => {
                if upload.flushed
                    && !streaming.upload_broken
                    && response.keep_alive()
                    && response.framing() != Framing::UntilClose
                {
                    self.give_back(endpoint, up);
                }
                match keep {
                    _ if self.left.get() => Served::Cut,
                    Keep::Alive if upload.ended => Served::Keep,
                    _ => Served::Close,
                }
            }
            Ended::NoPlace => {
                // So that the service stops before the client has read what is left.
                drop(up);
                match answer::end_grpc_full(down) {
                    Ok(()) => self.flush(down, Keep::Close, timer).await,
                    Err(_) => Served::Cut,
                }
            }
            _ => {
                if let Peer::Http2(peer) = down {
                    peer.reset(h2::Reason::INTERNAL_ERROR);
                }
                Served::Cut
            }
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an exchange's two ends and what is known of them"
    )]
    fn poll_streams(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Peer,
        up: &mut Peer,
        upload: &mut Transfer,
        download: &mut Transfer,
        streaming: &mut Streaming,
        timer: &mut Timer,
    ) -> Poll<Ended> {
        let before = download.bytes + download.given + upload.bytes;
        let result = download.poll(up, down, cx);
        if download.source_ended && streaming.ended_at.is_none() {
            let now = self.thread.clock.now();
            streaming.ended_at = Some(now);
            // What the client has not read yet does not keep the service busy.
            self.call.return_permit(now, completion(self.status));
        }
        match result {
            Poll::Ready(Ok(())) => return Poll::Ready(Ended::Complete),
            Poll::Ready(Err(TransferError::From(PeerError::Closed))) => {
                return Poll::Ready(Ended::Service(Cause::Reset));
            }
            Poll::Ready(Err(TransferError::From(PeerError::Malformed(why)))) => {
                tracing::debug!(why, "the service's body is malformed");
                return Poll::Ready(Ended::Service(Cause::BadResponse));
            }
            Poll::Ready(Err(TransferError::To | TransferError::TooLong)) => {
                return Poll::Ready(Ended::ClientGone);
            }
            Poll::Pending => (),
        }
        if !upload.flushed && !streaming.upload_broken {
            match upload.poll(down, up, cx) {
                Poll::Ready(Ok(())) | Poll::Pending => (),
                Poll::Ready(Err(TransferError::To)) => streaming.upload_broken = true,
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::ClientBroke),
            }
            self.bytes().up.set(upload.bytes);
        }
        if upload.ended && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Ended::ClientGone);
        }
        let now = self.thread.clock.now();
        if download.bytes + download.given + upload.bytes > before {
            streaming.progressed_at = now;
        }
        let owes = !upload.ended && !streaming.upload_broken && upload.starved;
        let awaits_client = !download.starved || (owes && up.is_flushed());
        let idle = self.deadline_total(streaming.progressed_at + self.call.bounds().idle);
        if let Some(from) = streaming.stream_from.filter(|from| *from <= idle) {
            ready!(self.poll_deadline(cx, from, awaits_client, timer));
            streaming.stream_from = None;
            self.call.on_stream(self.thread.clock.now());
            streaming.place = self.place();
            if streaming.place.is_none() {
                return Poll::Ready(Ended::NoPlace);
            }
        }
        ready!(self.poll_deadline(cx, idle, awaits_client, timer));
        // Who is it that stands still? A client that does not read is not the service's fault.
        // Nor, in a stream, is a service that waits for the client.
        let both = owes && self.call.has_returned_permit();
        let service = download.starved && !both;
        Poll::Ready(if service {
            Ended::Stalled
        } else {
            Ended::ClientGone
        })
    }

    /// `101 Switching Protocols`: from here on bytes are passed both ways until both ends have closed.
    async fn upgrade(
        &mut self,
        down: &mut Peer,
        mut up: Peer,
        response: &ResponseHead,
        sent_at: Instant,
        timer: &mut Timer,
    ) -> Result<Served, Answer> {
        let now = self.thread.clock.now();
        let asked = upgrade(self.head);
        let agreed = response.fields.get(Name::Upgrade);
        let (Peer::Http1(client), Peer::Http1(service), Some(protocol), true) =
            (&mut *down, &mut up, agreed, asked.is_some())
        else {
            // It changes to what nobody asked for: what follows can't be read.
            self.call.on_failed(now, Cause::BadResponse);
            return Err(Answer::of_cause(Cause::BadResponse));
        };
        let Some(_place) = self.place() else {
            self.call.end_attempt(AttemptEnd::Cancelled);
            drop(up);
            return Err(Answer::of_cause(Cause::Bulkhead));
        };
        let out = client.out.head();
        plimsoll_http1::write_status_line(out, 101, response.reason());
        crate::heads::response_fields(response, None, false, |name, value| {
            plimsoll_http1::write_field(out, name, value);
        });
        plimsoll_http1::write_field(out, b"Connection", b"Upgrade");
        plimsoll_http1::write_field(out, b"Upgrade", protocol);
        plimsoll_http1::write_head_end(out);
        for peer in [client, service] {
            peer.expect_body(Framing::UntilClose);
            peer.sending = Sending::UntilClose;
        }
        self.call.on_stream(now);
        let idle = self.call.bounds().idle;
        let (mut upload, mut download) = (Transfer::default(), Transfer::default());
        let (mut up_shut, mut down_shut) = (false, false);
        let mut progressed_at = now;
        poll_fn(|cx| {
            let before = upload.bytes + download.bytes;
            let one = poll_tunnel(&mut upload, down, &mut up, &mut up_shut, cx);
            let other = poll_tunnel(&mut download, &mut up, down, &mut down_shut, cx);
            if one.is_err() || other.is_err() {
                return Poll::Ready(());
            }
            if up_shut && down_shut {
                return Poll::Ready(());
            }
            if upload.bytes + download.bytes > before {
                progressed_at = self.thread.clock.now();
            }
            let deadline = self.deadline_total(progressed_at + idle);
            timer.poll_at(cx, deadline)
        })
        .await;
        self.bytes().up.set(upload.bytes);
        self.bytes().down.set(download.bytes);
        let end = answered(&self.call, sent_at, response);
        self.call.end_attempt(end);
        self.call.settle(now, Cause::Answered);
        Ok(Served::Cut)
    }
}

/// One direction of a tunnel; its end is passed on, so that either side may close first.
fn poll_tunnel(
    transfer: &mut Transfer,
    from: &mut Peer,
    to: &mut Peer,
    shut: &mut bool,
    cx: &mut Context<'_>,
) -> Result<(), TransferError> {
    if *shut {
        return Ok(());
    }
    if let Poll::Ready(result) = transfer.poll(from, to, cx) {
        result?;
        if let Peer::Http1(to) = to
            && to.io.poll_shutdown(cx).is_ready()
        {
            *shut = true;
        }
    }
    Ok(())
}

struct Streaming {
    ended_at: Option<Instant>,
    progressed_at: Instant,
    stream_from: Option<Instant>,
    upload_broken: bool,
    /// Taken for as long as it streams.
    place: Option<Place>,
}

fn upload_failed(error: &TransferError) -> Waited {
    match error {
        TransferError::TooLong => {
            let detail = "The request's body is longer than is allowed.";
            Waited::Refused(Answer::refuse(
                413,
                Cause::RequestLimit,
                "body-too-large",
                detail,
            ))
        }
        TransferError::From(PeerError::Malformed(why)) => Waited::Refused(Answer::refuse(
            400,
            Cause::BadRequest,
            "body",
            format!("The request's body is malformed: {why}."),
        )),
        TransferError::From(PeerError::Closed) | TransferError::To => Waited::Gone,
    }
}

/// The cause of a call that was answered whole.
pub(super) fn judge(response: &ResponseHead, download: &Transfer, grpc: bool) -> Cause {
    if grpc {
        let status = download
            .trailers
            .as_ref()
            .and_then(|trailers| trailers.get(Name::GrpcStatus))
            .or_else(|| response.fields.get(Name::GrpcStatus))
            .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u32>().ok());
        return match status {
            Some(status) if grpc_status_is_bad(status) => Cause::GrpcStatus,
            Some(_) => Cause::Answered,
            // An answer without a status is a failure (gRPC over HTTP/2, "Responses").
            None if response.status() == 200 => Cause::GrpcStatus,
            None if response.status() >= 500 => Cause::UpstreamStatus,
            None => Cause::Answered,
        };
    }
    if response.status() >= 500 {
        Cause::UpstreamStatus
    } else {
        Cause::Answered
    }
}

/// What a status says about the service's capacity.
fn completion(status: u16) -> Completion {
    if status < 500 {
        Completion::Success
    } else {
        Completion::Failed
    }
}
