//! An HTTP/2 stream as one end of an exchange.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use plimsoll_http1::{
    Fields, Framing, RequestError, RequestHead, ResponseError, ResponseHead, is_forbidden_trailer,
};
use plimsoll_upstream::StreamPlace;

use super::{HeadFault, PeerError, Piece};

/// A stream: of a client (with `respond`), or of a service (without).
#[derive(Debug)]
pub(crate) struct Http2Peer {
    /// What the peer sends; `None` before a service's head, or if there is no body.
    pub(crate) receive: Option<RecvStream>,
    /// What we send; `None` before our head.
    pub(crate) send: Option<SendStream<Bytes>>,
    /// Where the answer to a client goes.
    pub(crate) respond: Option<SendResponse<Bytes>>,
    /// Where the head of a service's answer comes from.
    pub(crate) response: Option<ResponseFuture>,
    /// The place on a service's connection, taken until the stream is over.
    _place: Option<StreamPlace>,
    received_all: bool,
    /// The body that we send has ended.
    pub(crate) ended: bool,
    /// How much room was asked for.
    reserved: bool,
}

/// Room that is asked for before a piece is taken from the other end.
const ROOM: usize = 16 * 1024;

impl Http2Peer {
    /// A stream to a service, whose request's head was sent.
    pub(crate) fn service(
        response: ResponseFuture,
        send: Option<SendStream<Bytes>>,
        place: StreamPlace,
    ) -> Self {
        Self {
            receive: None,
            send,
            respond: None,
            response: Some(response),
            _place: Some(place),
            received_all: false,
            ended: false,
            reserved: false,
        }
    }

    pub(crate) fn client(receive: RecvStream, respond: SendResponse<Bytes>) -> Self {
        let receive = (!receive.is_end_stream()).then_some(receive);
        Self {
            receive,
            send: None,
            respond: Some(respond),
            response: None,
            _place: None,
            received_all: false,
            ended: false,
            reserved: false,
        }
    }

    /// The head of the service's answer. An error says whether the service can't have acted on the request.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadFault>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(HeadFault::Closed));
        };
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                self.response = None;
                if let Err(error) = head_from_response(&response, head) {
                    return Poll::Ready(Err(HeadFault::Malformed(error.to_string())));
                }
                let receive = response.into_body();
                self.receive = (!receive.is_end_stream()).then_some(receive);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                let unprocessed = error.is_remote()
                    && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
                Poll::Ready(Err(match PeerError::from_h2(&error) {
                    _ if unprocessed => HeadFault::Unprocessed,
                    PeerError::Malformed(why) => HeadFault::Malformed(why),
                    PeerError::Closed => HeadFault::Closed,
                }))
            }
        }
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, PeerError>> {
        let Some(receive) = &mut self.receive else {
            return Poll::Ready(Ok(Piece::End(None)));
        };
        if !self.received_all {
            match ready!(receive.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Room is given back as the piece moves on: the next one is only taken when the other
                    // end is ready, so a slow reader slows the sender down.
                    let _ = receive.flow_control().release_capacity(data.len());
                    return Poll::Ready(Ok(Piece::Data(data)));
                }
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    self.received_all = true;
                    return Poll::Ready(Err(PeerError::Closed));
                }
                Some(Err(error)) => return Poll::Ready(Err(PeerError::from_h2(&error))),
                None => self.received_all = true,
            }
        }
        match ready!(receive.poll_trailers(cx)) {
            Ok(trailers) => {
                let trailers = trailers.map(|map| Box::new(trailers_from_map(&map)));
                self.receive = None;
                Poll::Ready(Ok(Piece::End(trailers)))
            }
            Err(error) => Poll::Ready(Err(PeerError::from_h2(&error))),
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        let Some(send) = &mut self.send else {
            return Poll::Ready(Ok(()));
        };
        if !self.reserved {
            send.reserve_capacity(ROOM);
            self.reserved = true;
        }
        while send.capacity() == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => (),
                Some(Err(error)) => return Poll::Ready(Err(PeerError::from_h2(&error))),
                None => return Poll::Ready(Err(PeerError::Closed)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The piece may be larger than the room: the rest waits in the stream, at most one piece.
    pub(super) fn push(&mut self, data: Bytes) -> Result<(), PeerError> {
        self.reserved = false;
        match &mut self.send {
            Some(send) => send
                .send_data(data, false)
                .map_err(|error| PeerError::from_h2(&error)),
            None => Ok(()),
        }
    }

    pub(super) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), PeerError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let Some(mut send) = self.send.take() else {
            return Ok(());
        };
        let result = match trailers {
            Some(trailers) => send.send_trailers(fields_into_map(trailers)),
            None => send.send_data(Bytes::new(), true),
        };
        // The stream is kept: dropping it would not lose what was sent, but a reset has to be seen.
        self.send = Some(send);
        result.map_err(|error| PeerError::from_h2(&error))
    }

    /// The connection's own task writes; nothing waits here.
    #[expect(
        clippy::unused_self,
        clippy::needless_pass_by_ref_mut,
        reason = "the shape of its HTTP/1.1 twin"
    )]
    pub(super) fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(send) = &mut self.send {
            return send.poll_reset(cx).map(|_| ());
        }
        match &mut self.respond {
            Some(respond) => respond.poll_reset(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }

    /// Ends the stream at once.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(send) = &mut self.send {
            send.send_reset(reason);
        } else if let Some(respond) = &mut self.respond {
            respond.send_reset(reason);
        }
    }
}

/// Copies trailers, without those that belong into a head (RFC 9110 section 6.5.1).
pub(crate) fn trailers_from_map(map: &HeaderMap) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        // Here they are dropped and not refused: a gRPC answer would be lost for one odd field.
        if !is_forbidden_trailer(name.as_str().as_bytes()) {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    fields
}

fn copy_map(map: &HeaderMap, fields: &mut Fields) {
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Builds a header map; a field that HTTP/2 can't carry is left out (our own codec let none through).
pub(crate) fn fields_into_map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter() {
        append(&mut map, field.name, field.value);
    }
    map
}

/// Adds a field. `HeaderName::from_bytes` takes any case and makes it lower.
pub(crate) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

/// A request's head over HTTP/2, in the form that the rest of the gateway reads.
///
/// `:authority` becomes `Host`, in front (RFC 9113 section 8.3.1); cookies that were split are joined (section
/// 8.2.3).
pub(crate) fn head_from_request(
    request: &http::Request<RecvStream>,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    head.set_from_parts(request.method().as_str().as_bytes(), target.as_bytes())?;
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority {
        head.fields.push(b"host", authority.as_bytes());
    }
    let mut cookies = 0;
    for (name, value) in request.headers() {
        if name == http::header::HOST && authority.is_some() {
            continue;
        }
        if name == http::header::COOKIE {
            cookies += 1;
            continue;
        }
        head.fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    if cookies > 0 {
        let mut joined = Vec::new();
        for value in request.headers().get_all(http::header::COOKIE) {
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(value.as_bytes());
        }
        head.fields.push(b"cookie", &joined);
    }
    let expect = request.headers().get(http::header::EXPECT);
    head.set_expect_continue(
        expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
    );
    head.set_framing(if request.body().is_end_stream() {
        Framing::None
    } else {
        match length(request.headers()) {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        }
    });
    Ok(())
}

/// A response's head over HTTP/2, in the form that the rest of the gateway reads.
pub(crate) fn head_from_response(
    response: &http::Response<RecvStream>,
    head: &mut ResponseHead,
) -> Result<(), ResponseError> {
    head.set_from_parts(response.status().as_u16())?;
    copy_map(response.headers(), &mut head.fields);
    head.set_framing(if response.body().is_end_stream() {
        Framing::None
    } else {
        match length(response.headers()) {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        }
    });
    Ok(())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
