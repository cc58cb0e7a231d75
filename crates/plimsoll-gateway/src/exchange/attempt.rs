//! Getting a connection, and sending the request's head on it.

use std::future::Future;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use plimsoll_config::Rewrite;
use plimsoll_core::Instant;
use plimsoll_http1::{
    Framing, write_content_length, write_field, write_head_end, write_request_line,
};
use plimsoll_upstream::{Checkout, ConnectError, Endpoint, Wanted};

use super::Exchange;
use crate::answer::is_grpc;
use crate::dimming::BROWNOUT;
use crate::heads::{self, Hop};
use crate::peer::{Http1Peer, Http2Peer, Outgoing, Peer, Sending, append};
use crate::protocol::upgrade;
use crate::thread::Thread;
use crate::timer::Timer;
use crate::transfer::Transfer;

/// Where the service has as many connections as it may, other threads are asked to close one that idles. They do so
/// within a turn of their loops: how often we look, and how often before the request is refused.
const ROOM_STEP: Duration = Duration::from_millis(1);
const ROOM_ASKED_MAX: u32 = 8;

/// What came of asking for a connection.
pub(super) enum Connecting {
    Ready(Checkout),
    Failed(ConnectError),
    /// The deadline passed.
    Late,
    /// The client went.
    Gone,
}

/// Why a request was not sent. Nothing of it was.
pub(super) enum Unsent {
    /// The connection was closed.
    Closed,
    /// HTTP/2 can't carry it.
    Malformed,
}

impl Exchange<'_> {
    /// A connection to `endpoint`; a new one if `fresh`.
    pub(super) async fn checkout(
        &self,
        endpoint: &Arc<Endpoint>,
        fresh: bool,
        down: &mut Peer,
        upload: &Transfer,
        deadline: Instant,
        timer: &mut Timer,
    ) -> Connecting {
        let mut checkout = pin!(connection(self.thread, endpoint, self.wanted(), fresh));
        poll_fn(|cx| {
            if let Poll::Ready(result) = checkout.as_mut().poll(cx) {
                return Poll::Ready(match result {
                    Ok(checkout) => Connecting::Ready(checkout),
                    Err(error) => Connecting::Failed(error),
                });
            }
            if upload.ended && down.poll_gone(cx).is_ready() && !self.outlives(down, false) {
                return Poll::Ready(Connecting::Gone);
            }
            timer.poll_at(cx, deadline).map(|()| Connecting::Late)
        })
        .await
    }

    /// What the request needs of a connection.
    pub(super) fn wanted(&self) -> Wanted {
        if upgrade(self.head).is_some() {
            Wanted::Http1
        } else {
            Wanted::Auto {
                grpc: is_grpc(self.head),
            }
        }
    }

    /// `at`, or the end of the call's whole time if that comes first.
    pub(super) fn deadline_total(&self, at: Instant) -> Instant {
        match self.call.bounds().total {
            Some(total) => at.min(self.call.settlement().arrived + total),
            None => at,
        }
    }

    /// The time for the answer's head begins.
    pub(super) fn begin_deadline(&mut self, now: Instant) {
        let head = self.call.bounds().head;
        let route = self.call.settlement().route;
        let own = route.and_then(|id| self.plan.plan.route(id));
        self.patience_ends = own
            .filter(|route| head < route.bounds.head)
            .map(|_| now + head);
        self.body_at = now;
        self.deadline = self.deadline_within(now + head);
    }

    /// More of the client's body came, or its end, or it was told to begin with it: the service is not late while it
    /// gets one. What is sent to it a second time is no such thing, and nobody lengthens what the caller is ready to wait.
    pub(super) fn on_body(&mut self) {
        self.body_at = self.thread.clock.now();
        self.deadline = self.deadline_within(self.body_at + self.call.bounds().head);
    }

    /// `at`, or what comes first of the ends of the call's whole time and of its caller's patience.
    pub(super) fn deadline_within(&self, at: Instant) -> Instant {
        let at = self.deadline_total(at);
        self.patience_ends.map_or(at, |end| at.min(end))
    }

    /// What is left until the call's deadline.
    pub(super) fn time_left(&self) -> Duration {
        self.deadline - self.thread.clock.now()
    }

    pub(super) fn rewrite(&self) -> Option<&Rewrite> {
        let route = self.call.settlement().route?;
        self.plan.plan.route(route)?.rewrite.as_deref()
    }

    /// The `Host` (or `:authority`) that the service is sent: the client's own, unless a rewrite says
    /// otherwise.
    fn authority<'b>(&'b self, endpoint: &'b Endpoint) -> &'b [u8] {
        if let Some(host) = self.rewrite().and_then(|rewrite| rewrite.host.as_deref()) {
            return host.as_bytes();
        }
        self.head
            .authority()
            .unwrap_or(endpoint.authority.as_bytes())
    }

    /// Puts the request's head on a connection.
    pub(super) fn send(&self, endpoint: &Endpoint, checkout: Checkout) -> Result<Peer, Unsent> {
        match checkout {
            Checkout::Http1(connection) => {
                let mut peer = Http1Peer::new(connection.io, connection.buf);
                peer.reused = connection.reused;
                peer.out = Outgoing::reusing(self.thread.take_buffer());
                self.write_http1(endpoint, &mut peer);
                Ok(Peer::Http1(peer))
            }
            Checkout::Http2(mut connection) => {
                let ends = self.head.framing() == Framing::None;
                let request = self.http2_request(endpoint).ok_or(Unsent::Malformed)?;
                let (response, send) = connection
                    .send
                    .send_request(request, ends)
                    .map_err(|_| Unsent::Closed)?;
                Ok(Peer::Http2(Http2Peer::service(
                    response,
                    (!ends).then_some(send),
                    connection.place,
                )))
            }
        }
    }

    /// Calls `emit` with what only a copy of a request has. What a trusted peer's copy says so is passed on.
    fn copied(&self, mut emit: impl FnMut(&[u8], &[u8])) {
        let said = self.facts.trusted && self.head.fields.get_named(b"plimsoll-mirror").is_some();
        if self.call.effects().mirrors && !said {
            emit(heads::MIRROR.as_bytes(), b"?1");
        }
    }

    /// Calls `emit` with what the service is told of features that are dimmed.
    fn dimmed(&self, mut emit: impl FnMut(&[u8], &[u8])) {
        let service = self.call.settlement().service;
        let service = service.and_then(|id| self.plan.plan.service(id));
        if let Some(list) = service.and_then(|it| self.facts.dimmed.list(&it.features)) {
            emit(BROWNOUT.as_bytes(), list.as_bytes());
        }
    }

    fn write_http1(&self, endpoint: &Endpoint, peer: &mut Http1Peer) {
        let out = peer.out.head();
        let rewrite = self.rewrite();
        write_request_line(out, self.head.method(), &self.target(rewrite));
        heads::request_fields(
            self.head,
            &self.facts,
            rewrite,
            self.authority(endpoint),
            Hop::Http1,
            self.time_left(),
            |name, value| write_field(out, name, value),
        );
        self.conditions(|name, value| write_field(out, name, value));
        self.dimmed(|name, value| write_field(out, name, value));
        self.copied(|name, value| write_field(out, name, value));
        peer.sending = match self.head.framing() {
            Framing::None => Sending::None,
            Framing::Length(length) => {
                write_content_length(out, length);
                Sending::Length(length)
            }
            Framing::Chunked | Framing::UntilClose => {
                write_field(out, b"Transfer-Encoding", b"chunked");
                Sending::Chunked
            }
        };
        if self.head.framing() == Framing::None
            && matches!(self.head.method(), b"POST" | b"PUT" | b"PATCH")
        {
            write_content_length(out, 0);
        }
        if let Some(protocol) = upgrade(self.head) {
            write_field(out, b"Connection", b"Upgrade");
            write_field(out, b"Upgrade", protocol);
        }
        write_head_end(out);
    }

    fn http2_request(&self, endpoint: &Endpoint) -> Option<http::Request<()>> {
        let rewrite = self.rewrite();
        let target = self.target(rewrite);
        let scheme = if endpoint.config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let uri = http::Uri::builder()
            .scheme(scheme)
            .authority(self.authority(endpoint))
            .path_and_query(&*target)
            .build()
            .ok()?;
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::from_bytes(self.head.method()).ok()?;
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_2;
        let fields = request.headers_mut();
        fields.reserve(self.head.fields.len() + 8);
        heads::request_fields(
            self.head,
            &self.facts,
            rewrite,
            b"",
            Hop::Http2,
            self.time_left(),
            |name, value| {
                append(fields, name, value);
            },
        );
        self.conditions(|name, value| append(fields, name, value));
        self.dimmed(|name, value| append(fields, name, value));
        self.copied(|name, value| append(fields, name, value));
        if let Framing::Length(length) = self.head.framing() {
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        Some(request)
    }
}

/// A connection to `endpoint`; a new one if `fresh`.
pub(super) async fn connection(
    thread: &Thread,
    endpoint: &Arc<Endpoint>,
    wanted: Wanted,
    fresh: bool,
) -> Result<Checkout, ConnectError> {
    let mut asked = 0;
    loop {
        match thread.pools.checkout(endpoint, wanted).await {
            // Those that were kept are as old as the one that had gone stale.
            Ok(Checkout::Http1(connection)) if fresh && connection.reused => drop(connection),
            Err(ConnectError::Full { .. }) if asked < ROOM_ASKED_MAX => {
                asked += 1;
                // At least once for each: the one who asked before may have found nobody.
                if endpoint.want_room() || asked == 1 {
                    thread.shared.wake_others(thread.index);
                }
                tokio::time::sleep(ROOM_STEP).await;
            }
            result => return result,
        }
    }
}
