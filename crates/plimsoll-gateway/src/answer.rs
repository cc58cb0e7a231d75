//! Heads that go to a client: a service's answer, or one of Plimsoll's own.

use bytes::Bytes;
use http::HeaderMap;
use plimsoll_config::Rewrite;
use plimsoll_http1::{
    Fields, Framing, RequestHead, ResponseHead, Version, write_content_length, write_field,
    write_head_end, write_status_line,
};

use crate::cache::is_surrogate_key;
use crate::heads;
use crate::peer::{Peer, PeerError, Sending, append};
use crate::protocol::RateFields;
use crate::refusal::Answer;

/// Whether a client's connection can carry another request after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Alive,
    Close,
}

/// What Plimsoll says in an answer that it did not make.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Added<'a> {
    /// Of the rates that the request was held to.
    pub(crate) rates: Option<&'a RateFields>,
    /// Of what the cache did.
    pub(crate) cache_status: Option<&'a str>,
    /// Why this answer was given.
    pub(crate) decision: Option<&'a str>,
    /// Nobody may store it: another service's answer stands in for the one that was asked for, or features are left out.
    pub(crate) no_store: bool,
}

impl Added<'_> {
    fn emit(&self, mut emit: impl FnMut(&[u8], &[u8])) {
        rate_fields(self.rates, &mut emit);
        if let Some(status) = self.cache_status {
            emit(b"Cache-Status", status.as_bytes());
        }
        if let Some(decision) = self.decision {
            emit(b"Plimsoll-Decision", decision.as_bytes());
        }
        if self.no_store {
            emit(b"Cache-Control", b"no-store");
        }
    }

    /// Whether a field of the service's is passed on.
    fn passes(&self, name: &[u8]) -> bool {
        // `CDN-Cache-Control` and others of its kind too (RFC 9213).
        let targeted = || {
            let at = name.len().checked_sub(b"cache-control".len());
            at.and_then(|at| name.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(b"cache-control"))
        };
        // It is for its cache, and not for clients.
        if self.cache_status.is_some() && is_surrogate_key(name) {
            return false;
        }
        let others: [&[u8]; 2] = [b"expires", b"surrogate-control"];
        !self.no_store
            || !(targeted() || others.iter().any(|other| name.eq_ignore_ascii_case(other)))
    }
}

/// Gives a client the head of its answer. Returns whether its connection lives on.
pub(crate) fn send_head(
    down: &mut Peer,
    request: &RequestHead,
    response: &ResponseHead,
    rewrite: Option<&Rewrite>,
    added: Added<'_>,
    from_http2: bool,
    keep: Keep,
) -> Result<Keep, PeerError> {
    let to_head_request = request.method() == b"HEAD";
    // The length that is announced is the service's, also where no body follows (HEAD, 304).
    let announced = match response.framing() {
        _ if no_body(response.status()) && response.status() != 304 => None,
        Framing::Length(length) => Some(length),
        Framing::None if to_head_request || response.status() == 304 => response
            .fields
            .get(plimsoll_http1::Name::ContentLength)
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()),
        Framing::None if from_http2 && !no_body(response.status()) => Some(0),
        _ => None,
    };
    match down {
        Peer::Http1(peer) => {
            let (sending, keep) = match (response.framing(), request.version()) {
                (Framing::None, _) => (Sending::None, keep),
                (Framing::Length(length), _) => (Sending::Length(length), keep),
                (Framing::Chunked | Framing::UntilClose, Version::Http11) => {
                    (Sending::Chunked, keep)
                }
                (Framing::Chunked | Framing::UntilClose, Version::Http10) => {
                    (Sending::UntilClose, Keep::Close)
                }
            };
            let sending = if to_head_request || no_body(response.status()) {
                Sending::None
            } else {
                sending
            };
            peer.sending = sending;
            let out = peer.out.head();
            write_status_line(out, response.status(), response.reason());
            heads::response_fields(response, rewrite, from_http2, |name, value| {
                if added.passes(name) {
                    write_field(out, name, value);
                }
            });
            added.emit(|name, value| write_field(out, name, value));
            if let Some(length) = announced {
                write_content_length(out, length);
            } else if sending == Sending::Chunked {
                write_field(out, b"Transfer-Encoding", b"chunked");
            }
            write_connection(out, request, keep);
            write_head_end(out);
            Ok(keep)
        }
        Peer::Http2(peer) => {
            let mut head = http::Response::new(());
            *head.status_mut() = http::StatusCode::from_u16(response.status())
                .map_err(|_| PeerError::Malformed("status".to_owned()))?;
            let fields = head.headers_mut();
            fields.reserve(response.fields.len() + 2);
            heads::response_fields(response, rewrite, from_http2, |name, value| {
                if added.passes(name) {
                    append(fields, name, value);
                }
            });
            added.emit(|name, value| append(fields, name, value));
            if let Some(length) = announced {
                fields.insert(http::header::CONTENT_LENGTH, length.into());
            }
            let ends = response.framing() == Framing::None;
            let Some(respond) = &mut peer.respond else {
                return Err(PeerError::Closed);
            };
            let send = respond
                .send_response(head, ends)
                .map_err(|error| PeerError::from_h2(&error))?;
            peer.send = Some(send);
            peer.ended = ends;
            Ok(Keep::Alive)
        }
        Peer::Nobody => Ok(Keep::Close),
    }
}

fn no_body(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

fn write_connection(out: &mut Vec<u8>, request: &RequestHead, keep: Keep) {
    match (keep, request.version()) {
        (Keep::Close, _) => write_field(out, b"Connection", b"close"),
        (Keep::Alive, Version::Http10) => write_field(out, b"Connection", b"keep-alive"),
        (Keep::Alive, Version::Http11) => (),
    }
}

/// Passes an interim answer on, to a client that can read one.
pub(crate) fn send_interim(down: &mut Peer, request: &RequestHead, response: &ResponseHead) {
    match down {
        Peer::Http1(peer) => {
            if request.version() == Version::Http10 {
                return;
            }
            let out = peer.out.head();
            write_status_line(out, response.status(), response.reason());
            heads::response_fields(response, None, false, |name, value| {
                write_field(out, name, value)
            });
            write_head_end(out);
        }
        Peer::Http2(peer) => {
            let mut head = http::Response::new(());
            let Ok(status) = http::StatusCode::from_u16(response.status()) else {
                return;
            };
            *head.status_mut() = status;
            for field in response.fields.iter() {
                append(head.headers_mut(), field.name, field.value);
            }
            if let Some(respond) = &mut peer.respond {
                // A client that has gone shows elsewhere.
                let _gone = respond.send_informational(head);
            }
        }
        Peer::Nobody => (),
    }
}

/// Gives a client an answer of Plimsoll's own, head and body.
pub(crate) fn send_own(
    down: &mut Peer,
    request: &RequestHead,
    answer: &Answer,
    request_id: &[u8],
    rates: Option<&RateFields>,
    keep: Keep,
) -> Result<Keep, PeerError> {
    let grpc = is_grpc(request);
    // It is visible ASCII.
    let request_id = std::str::from_utf8(request_id).unwrap_or_default();
    let body = answer.body(request_id);
    let decision = answer.decision(request_id);
    match down {
        Peer::Http1(peer) => {
            let out = peer.out.head();
            write_status_line(
                out,
                answer.status,
                plimsoll_http1::reason_phrase(answer.status).as_bytes(),
            );
            if !body.is_empty() {
                write_field(out, b"Content-Type", answer.content_type().as_bytes());
            }
            for (name, value) in &answer.fields {
                write_field(out, name.as_bytes(), value.as_bytes());
            }
            rate_fields(rates, |name, value| write_field(out, name, value));
            if let Some(seconds) = answer.retry_after {
                let mut number = itoa::Buffer::new();
                write_field(out, b"Retry-After", number.format(seconds).as_bytes());
            }
            write_field(out, b"Plimsoll-Decision", decision.as_bytes());
            if answer.status != 204 {
                write_content_length(out, body.len() as u64);
            }
            write_connection(out, request, keep);
            write_head_end(out);
            peer.sending = Sending::Done;
            if request.method() != b"HEAD" && !body.is_empty() {
                peer.out.push(body);
            }
            Ok(keep)
        }
        Peer::Http2(peer) => {
            let mut head = http::Response::new(());
            let fields: &mut HeaderMap = head.headers_mut();
            append(fields, b"plimsoll-decision", decision.as_bytes());
            rate_fields(rates, |name, value| {
                append(fields, name, value);
            });
            if let Some(seconds) = answer.retry_after {
                fields.insert(http::header::RETRY_AFTER, seconds.into());
            }
            for (name, value) in &answer.fields {
                append(fields, name.as_bytes(), value.as_bytes());
            }
            let body = if grpc {
                // A gRPC client reads the status from its own fields; the answer is "trailers only".
                append(fields, b"content-type", b"application/grpc");
                append(
                    fields,
                    b"grpc-status",
                    grpc_status(answer.status).as_bytes(),
                );
                append(
                    fields,
                    b"grpc-message",
                    answer.detail.replace('%', "%25").as_bytes(),
                );
                Bytes::new()
            } else {
                *head.status_mut() = http::StatusCode::from_u16(answer.status)
                    .map_err(|_| PeerError::Malformed("status".to_owned()))?;
                let fields = head.headers_mut();
                if !body.is_empty() {
                    append(fields, b"content-type", answer.content_type().as_bytes());
                }
                fields.insert(http::header::CONTENT_LENGTH, body.len().into());
                body
            };
            let ends = body.is_empty() || request.method() == b"HEAD";
            let Some(respond) = &mut peer.respond else {
                return Err(PeerError::Closed);
            };
            let mut send = respond
                .send_response(head, ends)
                .map_err(|error| PeerError::from_h2(&error))?;
            if !ends {
                send.send_data(body, true)
                    .map_err(|error| PeerError::from_h2(&error))?;
            }
            Ok(Keep::Alive)
        }
        Peer::Nobody => Ok(Keep::Close),
    }
}

/// Ends a gRPC answer whose body is under way, since its service has as many streams as it may.
pub(crate) fn end_grpc_full(down: &mut Peer) -> Result<(), PeerError> {
    let mut trailers = Fields::default();
    // RESOURCE_EXHAUSTED, and not UNAVAILABLE: some of the answer was read, so it is not to be tried again unseen.
    trailers.push(b"grpc-status", b"8");
    trailers.push(
        b"grpc-message",
        b"The service has as many streams as it may.",
    );
    down.finish(Some(&trailers))
}

/// What an answer says of the rates that its request was held to.
fn rate_fields(rates: Option<&RateFields>, mut emit: impl FnMut(&[u8], &[u8])) {
    if let Some(rates) = rates {
        emit(b"ratelimit-policy", rates.policy.as_bytes());
        emit(b"ratelimit", rates.left.as_bytes());
    }
}

/// Whether a request is a gRPC call (gRPC over HTTP/2, "Requests").
pub(crate) fn is_grpc(request: &RequestHead) -> bool {
    request.method() == b"POST" && is_grpc_type(&request.fields)
}

/// Whether a body is gRPC, in whatever encoding: `application/grpc`, `application/grpc+proto`. Not
/// `application/grpc-web`, which has its status in the body.
pub(crate) fn is_grpc_type(fields: &Fields) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let parts = fields
        .get(plimsoll_http1::Name::ContentType)
        .and_then(|value| value.split_at_checked(GRPC.len()));
    parts.is_some_and(|(kind, rest)| {
        kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
    })
}

/// The gRPC status that stands for an HTTP one. Source: gRPC's "HTTP to gRPC Status Code Mapping".
const fn grpc_status(status: u16) -> &'static str {
    match status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 | 405 | 501 => "12",
        413 | 414 | 431 => "8",
        504 => "4",
        429 | 502 | 503 => "14",
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use plimsoll_http1::{HeadLimits, RequestHead, parse_request};

    use super::is_grpc;

    #[test]
    fn only_a_post_of_a_grpc_body_is_a_grpc_call() {
        for (expected, method, kind) in [
            (true, "POST", "application/grpc"),
            (true, "POST", "Application/gRPC"),
            (true, "POST", "application/grpc+proto"),
            (true, "POST", "application/grpc;charset=utf-8"),
            (false, "GET", "application/grpc"),
            (false, "POST", "application/grpc-web"),
            (false, "POST", "application/grpc-web+proto"),
            (false, "POST", "application/grpcs"),
            (false, "POST", "application/json"),
            (false, "POST", "app"),
        ] {
            let text = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n\r\n");
            let mut buf = BytesMut::from(text.as_str());
            let mut head = RequestHead::new();
            assert!(parse_request(&mut buf, &HeadLimits::default(), &mut head).unwrap());
            assert_eq!(is_grpc(&head), expected, "{method} {kind}");
        }
    }
}
