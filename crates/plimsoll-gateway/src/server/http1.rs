//! A client's HTTP/1.1 connection: request after request, until one side has enough.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use plimsoll_core::Instant;
use plimsoll_http1::{RequestError, RequestHead, ResponseHead, parse_request};
use plimsoll_lifecycle::Call;
use plimsoll_measure::Cause;
use plimsoll_upstream::Io;

use super::patience::Patience;
use crate::answer::{self, Keep};
use crate::exchange::{self, Served};
use crate::peer::{Http1Peer, Peer, Piece};
use crate::protocol::ClientConnection;
use crate::refusal::Answer;
use crate::thread::{Thread, ThreadEffects};
use crate::timer::Timer;

/// How long an idle connection keeps its read buffer: a busy one gets its next request within it.
const WARM: Duration = Duration::from_secs(1);
/// How long, and how much, we read on after our last byte: closing at once would reset the connection
/// and could take the answer with it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Why there is no next request.
enum NoRequest {
    /// The client closed, or idled too long: nothing is owed.
    Over,
    /// The request can't be read: it is answered, and the connection closed.
    Refused { arrived: Instant, answer: Answer },
}

pub(super) async fn serve(
    thread: &Rc<Thread>,
    connection: &ClientConnection,
    io: Io,
    buf: BytesMut,
    mut timer: Timer,
) {
    let mut peer = Peer::Http1(Http1Peer::new(io, buf));
    let (mut head, mut response) = (RequestHead::new(), ResponseHead::new());
    loop {
        let arrived = match next_request(thread, &mut peer, &mut head, &mut timer).await {
            Ok(arrived) => arrived,
            Err(NoRequest::Over) => return,
            Err(NoRequest::Refused { arrived, answer }) => {
                refuse(thread, &mut peer, arrived, &answer, &mut timer).await;
                linger(thread, &mut peer, &mut timer).await;
                return;
            }
        };
        if let Peer::Http1(peer) = &mut peer {
            peer.expect_body(head.framing());
        }
        match exchange::serve(
            thread,
            connection,
            &mut peer,
            &head,
            arrived,
            &mut timer,
            &mut response,
        )
        .await
        {
            Served::Keep if skip_body(thread, &mut peer, &mut timer).await => (),
            Served::Keep | Served::Close => {
                linger(thread, &mut peer, &mut timer).await;
                return;
            }
            Served::Cut => return,
        }
    }
}

/// Reads the next request's head; says when its first byte came.
async fn next_request(
    thread: &Thread,
    peer: &mut Peer,
    head: &mut RequestHead,
    timer: &mut Timer,
) -> Result<Instant, NoRequest> {
    let Peer::Http1(peer) = peer else {
        return Err(NoRequest::Over);
    };
    let plan = thread.plan();
    let limits = &plan.plan.config.gateway.limits;
    let head_limits = &plan.plan.head_limits;
    head.clear();
    let mut now = thread.clock.now();
    let mut patience = Patience::new(now, limits.idle_time_max);
    let warm_until = now + WARM;
    let mut arrived = (!peer.buf.is_empty()).then_some(now);
    let mut drained = std::pin::pin!(thread.drain.notified());
    poll_fn(|cx| {
        loop {
            if let Some(arrived) = arrived {
                match parse_request(&mut peer.buf, head_limits, head) {
                    Ok(true) => return Poll::Ready(Ok(arrived)),
                    Ok(false) => (),
                    Err(error) => {
                        let answer = unreadable(&error);
                        return Poll::Ready(Err(NoRequest::Refused { arrived, answer }));
                    }
                }
            }
            match peer.poll_fill(cx) {
                Poll::Ready(Ok(0)) if arrived.is_some() && !peer.buf.is_empty() => {
                    // Half a head, then the end: not worth an answer, worth a count.
                    let detail = "The connection was closed within the request's head.";
                    let answer = Answer::refuse(400, Cause::ClientGone, "head-cut", detail);
                    let arrived = arrived.unwrap_or(now);
                    return Poll::Ready(Err(NoRequest::Refused { arrived, answer }));
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoRequest::Over)),
                Poll::Ready(Ok(_)) => {
                    if arrived.is_none() {
                        now = thread.clock.now();
                        arrived = Some(now);
                    }
                }
                Poll::Pending => {
                    if let Some(arrived) = arrived {
                        return timer.poll_at(cx, arrived + limits.head_time_max).map(|()| {
                            let detail = "The request's head did not arrive in time.";
                            let answer =
                                Answer::refuse(408, Cause::RequestLimit, "head-timeout", detail);
                            Err(NoRequest::Refused { arrived, answer })
                        });
                    }
                    let _told = drained.as_mut().poll(cx);
                    let draining = thread.draining_since();
                    if !peer.holds_buffer() || patience.until(thread, draining) < warm_until {
                        let over = patience.poll(cx, thread, draining, timer);
                        return over.map(|()| Err(NoRequest::Over));
                    }
                    ready!(timer.poll_at(cx, warm_until));
                    // A connection that idles for long holds no buffer.
                    peer.rest();
                }
            }
        }
    })
    .await
}

fn unreadable(error: &RequestError) -> Answer {
    let status = error.status();
    let cause = if matches!(status, 413 | 414 | 431) {
        Cause::RequestLimit
    } else {
        Cause::BadRequest
    };
    Answer::refuse(
        status,
        cause,
        error.reason(),
        format!("The request can't be read: {error}."),
    )
}

/// Answers a request that has no head to speak of, and counts it.
async fn refuse(
    thread: &Rc<Thread>,
    peer: &mut Peer,
    arrived: Instant,
    answer: &Answer,
    timer: &mut Timer,
) {
    let effects = ThreadEffects::new(thread, &thread.plan());
    let mut call = Call::arrive(effects, arrived);
    let id =
        crate::trace::request_id(u128::from(thread.random()) << 64 | u128::from(thread.random()));
    let head = RequestHead::new();
    let sent = answer::send_own(peer, &head, answer, &id, None, Keep::Close);
    call.settle(thread.clock.now(), answer.cause);
    if sent.is_err() {
        return;
    }
    let deadline = thread.clock.now() + LINGER;
    poll_fn(|cx| {
        if peer.poll_flush(cx).is_ready() {
            return Poll::Ready(());
        }
        timer.poll_at(cx, deadline)
    })
    .await;
}

/// Takes what is left of a refused request's body off the connection, which the exchange found to be little. Says
/// whether the next request can be read.
async fn skip_body(thread: &Thread, peer: &mut Peer, timer: &mut Timer) -> bool {
    let Peer::Http1(peer) = peer else {
        return false;
    };
    if peer.decoder.is_done() {
        return true;
    }
    let deadline = thread.clock.now() + LINGER;
    poll_fn(|cx| {
        loop {
            match peer.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data(_))) => (),
                Poll::Ready(Ok(Piece::End(_))) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return timer.poll_at(cx, deadline).map(|()| false),
            }
        }
    })
    .await
}

/// Closes our side, and reads on for a moment, so that our last bytes are not lost to a reset.
async fn linger(thread: &Thread, peer: &mut Peer, timer: &mut Timer) {
    let Peer::Http1(peer) = peer else { return };
    let deadline = thread.clock.now() + LINGER;
    let mut shut = false;
    let mut read = peer.buf.len();
    peer.buf.clear();
    poll_fn(|cx| {
        if !shut && peer.io.poll_shutdown(cx).is_ready() {
            shut = true;
        }
        loop {
            match peer.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => {
                    read += count;
                    peer.buf.clear();
                    if read > LINGER_BYTES {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => return timer.poll_at(cx, deadline),
            }
        }
    })
    .await;
}
