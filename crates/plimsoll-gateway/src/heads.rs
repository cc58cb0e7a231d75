//! What changes in a head on its way through: hop-by-hop fields go, Plimsoll's own are added, a route's
//! rewrites are applied.
//!
//! Sources: RFC 9110 section 7.6 (what a proxy must do), RFC 9113 section 8.2.2 (what HTTP/2 can't carry).

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use plimsoll_config::Rewrite;
use plimsoll_core::Class;
use plimsoll_http1::{Field, Fields, Name, RequestHead, ResponseHead};
use plimsoll_policy::GrpcTimeout;
use plimsoll_policy::cache::conditional::FIELDS;
use plimsoll_policy::cache::key::is_unkeyed;

use crate::cookies::{self, Kept};
use crate::dimming::{BROWNOUT, Dimmed};
use crate::forwarded;
use crate::trace::{RequestId, TraceContext};

/// Our name in `Via` (RFC 9110 section 7.6.3).
const VIA: &[u8] = b"plimsoll";

/// What is known about a request beside its head.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Whether the peer's own claims are believed.
    pub(crate) trusted: bool,
    /// The address that the connection comes from.
    pub(crate) peer: IpAddr,
    /// The address of the client: the peer, or who is behind it if it is trusted.
    pub(crate) client: IpAddr,
    /// Whether the client's connection is encrypted.
    pub(crate) tls: bool,
    /// Identifies the request in logs and answers; visible ASCII.
    pub(crate) request_id: RequestId,
    /// The trace that it belongs to, with us as the parent.
    pub(crate) trace: TraceContext,
    /// Whether the inbound `tracestate` belongs to it.
    pub(crate) tracestate: bool,
    /// The value of `Max-Forwards` to send, where it counts.
    pub(crate) max_forwards: Option<u64>,
    /// HTTP/2 on the client's side.
    pub(crate) http2: bool,
    /// What goes last when not all fits: passed on to the service.
    pub(crate) class: Class,
    /// A gRPC call, whose `grpc-timeout` is passed on reduced.
    pub(crate) grpc: bool,
    /// A trusted caller makes its own retries: none are made here.
    pub(crate) no_retry: bool,
    /// Retries are made here: who comes after is asked to make none.
    pub(crate) retries: bool,
    /// The caller's own patience is shorter than the route's, and nobody vouches for it.
    pub(crate) impatient: bool,
    /// Features of its service that are dimmed for whoever asks.
    pub(crate) dimmed: Dimmed,
    /// The answer may be stored for others: what is not in its key is not sent, nor what asks for a part of it.
    pub(crate) fills: bool,
}

/// What Plimsoll says to the next Plimsoll, or to a service that reads it; believed from trusted peers only.
pub(crate) const CLASS: &str = "Plimsoll-Class";
/// The time that is left, in milliseconds.
pub(crate) const DEADLINE: &str = "Plimsoll-Deadline";
/// Whoever sends this makes its own retries.
pub(crate) const NO_RETRY: &str = "Plimsoll-No-Retry";
/// The request is a copy of one that somebody else answers.
pub(crate) const MIRROR: &str = "Plimsoll-Mirror";
/// The time that is left of a gRPC call (gRPC over HTTP/2).
pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// What the hop to the service speaks, as far as fields depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Calls `emit` with each field of the request as it goes to the service, without framing, `Connection`
/// and `Upgrade`, which belong to the connection.
pub(crate) fn request_fields(
    head: &RequestHead,
    facts: &Facts,
    rewrite: Option<&Rewrite>,
    authority: &[u8],
    speaks: Hop,
    left: Duration,
    mut emit: impl FnMut(&[u8], &[u8]),
) {
    let fields = &head.fields;
    if speaks == Hop::Http1 {
        emit(b"Host", authority);
    }
    let lists_others = connection_lists_others(fields);
    for field in fields.iter() {
        let pass = match field.known {
            Name::Host
            | Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::ContentLength
            | Name::Te
            | Name::Upgrade
            | Name::Http2Settings
            | Name::Via
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedProto
            | Name::Forwarded
            | Name::XRequestId
            | Name::Traceparent
            | Name::MaxForwards => false,
            Name::Expect => speaks == Hop::Http1,
            Name::XForwardedPort => facts.trusted && !facts.fills,
            Name::Range => !facts.fills,
            Name::Plimsoll => facts.trusted && !is_said_anew(field.name),
            Name::Tracestate => facts.tracestate,
            Name::GrpcTimeout => !facts.grpc,
            Name::Other if facts.fills && is_withheld_from_fills(field.name) => false,
            Name::Other if facts.trusted => !dashed(field.name).is_some_and(|it| is_said_anew(&it)),
            Name::Other => !looks_like_ours(field.name),
            _ => true,
        };
        if !pass
            || (lists_others && fields.lists_in_connection(field.name))
            || is_replaced(rewrite, &field)
        {
            continue;
        }
        let kept = match field.known {
            Name::Cookie => cookies::kept(field.value),
            _ => Kept::Whole,
        };
        match kept {
            Kept::Whole => emit(field.name, field.value),
            Kept::Part(value) => emit(field.name, &value),
            Kept::Nothing => (),
        }
    }
    // Only "trailers" means anything beyond one hop (RFC 9110 section 10.1.4).
    if fields.contains_token(Name::Te, b"trailers") {
        emit(b"TE", b"trailers");
    }
    let hop = forwarded::Hop {
        peer: facts.peer,
        scheme: if facts.tls { "https" } else { "http" },
        host: head.authority(),
    };
    forwarded::emit_all(fields, facts.trusted, facts.fills, &hop, &mut emit);
    emit(b"X-Request-Id", &facts.request_id);
    emit(b"traceparent", &facts.trace.to_value());
    emit_via(fields, if facts.http2 { b"2 " } else { b"1.1 " }, &mut emit);
    emit(CLASS.as_bytes(), facts.class.name().as_bytes());
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    emit(
        DEADLINE.as_bytes(),
        itoa::Buffer::new().format(millis).as_bytes(),
    );
    // Whoever retries first does so alone, however many are between it and the service.
    if facts.retries || facts.no_retry {
        emit(NO_RETRY.as_bytes(), b"1");
    }
    if facts.grpc {
        emit(
            GRPC_TIMEOUT.as_bytes(),
            GrpcTimeout(left).to_string().as_bytes(),
        );
    }
    if let Some(max_forwards) = facts.max_forwards {
        emit(b"Max-Forwards", max_forwards.to_string().as_bytes());
    }
    if let Some(rewrite) = rewrite {
        for (name, value) in rewrite.request_set.iter().chain(&rewrite.request_add) {
            emit(name.as_bytes(), value.as_bytes());
        }
    }
}

/// Whether a field of Plimsoll's is not passed on, since its value changes on the way.
fn is_said_anew(name: &[u8]) -> bool {
    [CLASS, DEADLINE, NO_RETRY, BROWNOUT]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

/// `X_Forwarded_For`: some services read `_` as `-`, and would take it for a field of ours.
fn looks_like_ours(name: &[u8]) -> bool {
    dashed(name).is_some_and(|name| Name::recognise(&name) != Name::Other)
}

/// Whether a request whose answer may be stored goes without a field.
fn is_withheld_from_fills(name: &[u8]) -> bool {
    let is = |name: &[u8]| {
        let is_condition = |field: &str| field.as_bytes().eq_ignore_ascii_case(name);
        is_unkeyed(name) || FIELDS.into_iter().any(is_condition)
    };
    is(name) || dashed(name).is_some_and(|name| is(&name))
}

/// With `-` for each `_`, if there is one.
fn dashed(name: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'_', name)?;
    let dash = |&byte: &u8| if byte == b'_' { b'-' } else { byte };
    Some(name.iter().map(dash).collect())
}

fn is_replaced(rewrite: Option<&Rewrite>, field: &Field<'_>) -> bool {
    let Some(rewrite) = rewrite else { return false };
    let is = |name: &String| name.as_bytes().eq_ignore_ascii_case(field.name);
    rewrite.request_remove.iter().any(is) || rewrite.request_set.iter().any(|(name, _)| is(name))
}

/// Whether `Connection` names fields beside its usual words.
fn connection_lists_others(fields: &Fields) -> bool {
    fields.get_all(Name::Connection).any(|value| {
        !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close")
    })
}

fn emit_via(fields: &Fields, version: &[u8], emit: &mut impl FnMut(&[u8], &[u8])) {
    let mut via = [0; 16];
    let own = version.len() + VIA.len();
    if let (Some(first), true) = (via.get_mut(..version.len()), own <= 16) {
        first.copy_from_slice(version);
    }
    if let Some(second) = via.get_mut(version.len()..own) {
        second.copy_from_slice(VIA);
    }
    let via = via.get(..own).unwrap_or_default();
    if fields.get(Name::Via).is_none() {
        emit(b"Via", via);
        return;
    }
    let mut chain = Vec::new();
    for value in fields.get_all(Name::Via) {
        chain.extend_from_slice(value);
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(via);
    emit(b"Via", &chain);
}

/// How often a request has come through here: a loop shows as our own name in `Via` again and again.
pub(crate) fn via_count(fields: &Fields) -> usize {
    fields
        .get_all(Name::Via)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .filter(|hop| hop.trim_ascii().ends_with(VIA))
        .count()
}

/// The fields of a response that do not belong to its connection.
pub(crate) fn through_the_hop(fields: &Fields) -> impl Iterator<Item = Field<'_>> {
    let lists_others = connection_lists_others(fields);
    fields.iter().filter(move |field| {
        let listed = lists_others && fields.lists_in_connection(field.name);
        !is_of_the_hop(field.known) && !listed
    })
}

/// Whether a response's field belongs to its connection.
fn is_of_the_hop(name: Name) -> bool {
    matches!(
        name,
        Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::ContentLength
            | Name::Upgrade
            | Name::Te
    )
}

/// Calls `emit` with each field of the response as it goes to the client, without framing.
pub(crate) fn response_fields(
    head: &ResponseHead,
    rewrite: Option<&Rewrite>,
    http2: bool,
    mut emit: impl FnMut(&[u8], &[u8]),
) {
    let fields = &head.fields;
    for field in through_the_hop(fields).filter(|field| field.known != Name::Via) {
        let replaced = rewrite.is_some_and(|rewrite| {
            let is = |name: &String| name.as_bytes().eq_ignore_ascii_case(field.name);
            rewrite.response_remove.iter().any(is)
                || rewrite.response_set.iter().any(|(name, _)| is(name))
        });
        if !replaced {
            emit(field.name, field.value);
        }
    }
    emit_via(fields, if http2 { b"2 " } else { b"1.1 " }, &mut emit);
    if let Some(rewrite) = rewrite {
        for (name, value) in rewrite.response_set.iter().chain(&rewrite.response_add) {
            emit(name.as_bytes(), value.as_bytes());
        }
    }
}

/// Path and query as the service sees them.
pub(crate) fn target<'a>(sent: &'a [u8], rewrite: Option<&Rewrite>) -> Cow<'a, [u8]> {
    let Some(prefix) = rewrite.and_then(|rewrite| rewrite.strip_prefix.as_deref()) else {
        return Cow::Borrowed(sent);
    };
    let prefix = prefix.trim_end_matches('/').as_bytes();
    match sent.strip_prefix(prefix) {
        Some(rest) if rest.first() == Some(&b'/') => Cow::Borrowed(rest),
        Some(rest) if rest.is_empty() || rest.first() == Some(&b'?') => {
            let mut path = vec![b'/'];
            path.extend_from_slice(rest);
            Cow::Owned(path)
        }
        _ => Cow::Borrowed(sent),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use plimsoll_http1::{HeadLimits, parse_request};

    use super::*;

    fn parse(text: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let limits = HeadLimits {
            head_bytes_max: 8192,
            headers_max: 64,
            uri_bytes_max: 2048,
        };
        assert!(parse_request(&mut BytesMut::from(text), &limits, &mut head).unwrap());
        head
    }

    fn facts(trusted: bool) -> Facts {
        Facts {
            trusted,
            peer: [192, 0, 2, 1].into(),
            client: [192, 0, 2, 1].into(),
            tls: false,
            request_id: RequestId::from_slice(b"id"),
            trace: TraceContext::start(1, 2, false),
            tracestate: false,
            max_forwards: None,
            http2: false,
            class: Class::Standard,
            grpc: false,
            no_retry: false,
            retries: false,
            impatient: false,
            dimmed: Dimmed::default(),
            fills: false,
        }
    }

    fn forwarded(head: &RequestHead, facts: &Facts, rewrite: Option<&Rewrite>) -> String {
        let mut lines = String::new();
        let left = Duration::from_millis(1_500);
        request_fields(
            head,
            facts,
            rewrite,
            b"shop",
            Hop::Http1,
            left,
            |name, value| {
                lines.push_str(&String::from_utf8_lossy(name));
                lines.push_str(": ");
                lines.push_str(&String::from_utf8_lossy(value));
                lines.push('\n');
            },
        );
        lines
    }

    #[test]
    fn no_service_gets_the_session_of_the_console() {
        for trusted in [false, true] {
            let head = parse(
                "GET / HTTP/1.1\r\nHost: shop\r\nCookie: a=1; plimsoll-7676=secret; b=2\r\n\
                 cookie: plimsoll-7676=secret\r\nCookie: c=3\r\n\r\n",
            );
            let lines = forwarded(&head, &facts(trusted), None);
            assert!(!lines.contains("secret"), "{lines}");
            assert!(lines.contains("Cookie: a=1; b=2\nCookie: c=3\n"), "{lines}");
        }
    }

    #[test]
    fn fields_that_belong_to_one_hop_stay_there() {
        let head = parse(
            "GET / HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
             TE: trailers, gzip\r\nX-Mine: 2\r\n\r\n",
        );
        let lines = forwarded(&head, &facts(false), None);
        assert!(
            !lines.contains("X-Hop") && !lines.contains("Keep-Alive"),
            "{lines}"
        );
        assert!(
            lines.contains("X-Mine: 2\n") && lines.contains("TE: trailers\n"),
            "{lines}"
        );
    }

    #[test]
    fn claims_of_an_untrusted_peer_are_replaced() {
        let head = parse(
            "GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 10.0.0.9\r\nForwarded: for=10.0.0.9\r\n\
             X-Forwarded-Proto: https\r\nPlimsoll-Class: critical\r\nX-Request-Id: mine\r\n\r\n",
        );
        let lines = forwarded(&head, &facts(false), None);
        assert!(lines.contains("X-Forwarded-For: 192.0.2.1\n"), "{lines}");
        assert!(lines.contains("X-Forwarded-Proto: http\n"), "{lines}");
        assert!(
            !lines.contains("10.0.0.9") && !lines.contains("critical"),
            "{lines}"
        );

        let lines = forwarded(&head, &facts(true), None);
        assert!(
            lines.contains("X-Forwarded-For: 10.0.0.9, 192.0.2.1\n"),
            "{lines}"
        );
        assert!(lines.contains("X-Forwarded-Proto: https\n"), "{lines}");
        assert!(
            lines.contains("Plimsoll-Class: standard\nPlimsoll-Deadline: 1500\n"),
            "what was decided here, not what came: {lines}"
        );
    }

    #[test]
    fn what_is_not_in_the_key_is_not_sent_where_the_answer_may_be_stored() {
        let head = parse(
            "GET / HTTP/1.1\r\nHost: shop\r\nX-Host: evil\r\nX_Original_URL: /admin\r\nX-Forwarded-Host: evil\r\n\
             Range: bytes=0-1\r\nIf-None-Match: \"a\"\r\nX-Mine: 1\r\n\r\n",
        );
        let facts = |fills| Facts {
            fills,
            ..facts(false)
        };
        let lines = forwarded(&head, &facts(true), None);
        assert!(lines.contains("X-Mine: 1\n"), "{lines}");
        for gone in ["evil", "/admin", "Range", "If-None-Match"] {
            assert!(!lines.contains(gone), "{gone}: {lines}");
        }
        let lines = forwarded(&head, &facts(false), None);
        assert!(
            lines.contains("X-Host: evil\n") && lines.contains("Range: bytes=0-1\n"),
            "{lines}"
        );
    }

    #[test]
    fn of_what_a_trusted_peer_forwards_nothing_is_sent_that_is_not_in_the_key() {
        let head = parse(
            "GET / HTTP/1.1\r\nHost: shop\r\nForwarded: for=10.0.0.9;host=evil;proto=https\r\n\r\n",
        );
        let own = "Forwarded: for=192.0.2.1;host=shop;proto=http\n";
        for fills in [true, false] {
            let facts = Facts {
                fills,
                ..facts(true)
            };
            let lines = forwarded(&head, &facts, None);
            assert_eq!(lines.contains("evil"), !fills, "{lines}");
            assert_eq!(lines.contains(own), fills, "{lines}");
        }
    }

    #[test]
    fn a_rewrite_sets_adds_and_removes() {
        let head = parse("GET /api/x?y HTTP/1.1\r\nHost: shop\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
        let rewrite = Rewrite {
            strip_prefix: Some("/api".to_owned()),
            request_set: vec![("a".to_owned(), "9".to_owned())],
            request_add: vec![("c".to_owned(), "4".to_owned())],
            request_remove: vec!["b".to_owned()],
            ..Rewrite::default()
        };
        let lines = forwarded(&head, &facts(false), Some(&rewrite));
        assert!(!lines.contains("A: 1") && lines.contains("a: 9"), "{lines}");
        assert!(
            lines.contains("C: 3") && lines.contains("c: 4") && !lines.contains("B: 2"),
            "{lines}"
        );
        assert_eq!(
            target(head.path_and_query(), Some(&rewrite)).as_ref(),
            b"/x?y"
        );
        let head = parse("GET /api?y HTTP/1.1\r\nHost: shop\r\n\r\n");
        assert_eq!(
            target(head.path_and_query(), Some(&rewrite)).as_ref(),
            b"/?y"
        );
        let head = parse("GET /apiary HTTP/1.1\r\nHost: shop\r\n\r\n");
        assert_eq!(
            target(head.path_and_query(), Some(&rewrite)).as_ref(),
            b"/apiary"
        );
    }

    #[test]
    fn nobody_else_says_what_is_dimmed() {
        let sent = "GET / HTTP/1.1\r\nHost: a\r\nPlimsoll-Brownout: reviews\r\nplimsoll_brownout: maps\r\nPlimsoll-Class: critical\r\n\r\n";
        for trusted in [false, true] {
            let mut names = Vec::new();
            request_fields(
                &parse(sent),
                &facts(trusted),
                None,
                b"a",
                Hop::Http1,
                Duration::from_secs(1),
                |name, _| names.push(String::from_utf8_lossy(name).to_ascii_lowercase()),
            );
            let said = names.iter().any(|name| name.contains("brownout"));
            assert!(!said, "{trusted}: {names:?}");
        }
    }
}
