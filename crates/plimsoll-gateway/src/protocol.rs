//! HTTP's side of a call's first stages: whom to believe, which route, who calls.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use plimsoll_core::RouteId;
use plimsoll_http1::{Authority, Name, RequestHead, TargetForm};
use plimsoll_lifecycle::{Bounds, Identity, Protocol, Routed};
use plimsoll_measure::Cause;

use crate::forwarded;
use crate::heads::{self, Facts};
use crate::plan::Plan;
use crate::refusal::Answer;
use crate::router::{Match, path_is_ambiguous};
use crate::thread::{Thread, ThreadPlan};
use crate::trace::{self, RequestId, TraceContext};

/// How often a request may come through Plimsoll before it counts as a loop.
const HOPS_MAX: usize = 8;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// Where it comes from; behind a PROXY protocol header, what that says.
    pub(crate) peer: SocketAddr,
    /// Whether the peer may be one that is believed: not if it is only what an untrusted one's PROXY protocol
    /// header says.
    pub(crate) may_be_trusted: bool,
    /// Whether it is encrypted.
    pub(crate) tls: bool,
}

/// A request and what the stages find out about it.
pub(crate) struct HttpRequest<'a> {
    pub(crate) thread: &'a Thread,
    pub(crate) plan: &'a Rc<ThreadPlan>,
    pub(crate) connection: &'a ClientConnection,
    pub(crate) head: &'a RequestHead,
    pub(crate) trusted: bool,
    /// What is answered if it goes to no service.
    pub(crate) answer: Option<Answer>,
    pub(crate) max_forwards: Option<u64>,
}

impl HttpRequest<'_> {
    fn plan(&self) -> &Plan {
        &self.plan.plan
    }

    /// What is known once the stages have run.
    pub(crate) fn facts(&self, http2: bool) -> Facts {
        let fields = &self.head.fields;
        let peer = self.connection.peer.ip();
        let given = fields
            .get(Name::XRequestId)
            .filter(|id| self.trusted && trace::is_request_id(id));
        let request_id = match given {
            Some(id) => RequestId::from_slice(id),
            None => RequestId::from(trace::request_id(self.random_u128())),
        };
        let inbound = TraceContext::of(fields);
        let span = self.thread.random().max(1);
        Facts {
            trusted: self.trusted,
            peer,
            client: self.client(),
            tls: self.connection.tls,
            request_id,
            trace: match inbound {
                Some(inbound) => inbound.child(span),
                None => TraceContext::start(self.random_u128().max(1), span, false),
            },
            tracestate: inbound.is_some()
                && fields.get(Name::Tracestate).is_some()
                && trace::tracestate_can_pass(fields),
            max_forwards: self.max_forwards,
            http2,
        }
    }

    /// The address of the client: the peer, or who is behind it if it is trusted.
    fn client(&self) -> IpAddr {
        let peer = self.connection.peer.ip();
        if self.trusted {
            let trusted = &self.plan().config.gateway.trusted;
            forwarded::client_address(peer, &self.head.fields, trusted)
        } else {
            peer
        }
    }

    /// One client: an IPv4 address, or an IPv6 network of 64 bits, since whoever has one has all of it.
    fn address_key(&self) -> u64 {
        match self.client() {
            IpAddr::V4(address) => plimsoll_policy::hash_key(&address.octets()),
            IpAddr::V6(address) => {
                let network = address.octets();
                plimsoll_policy::hash_key(network.get(..8).unwrap_or_default())
            }
        }
    }

    fn random_u128(&self) -> u128 {
        u128::from(self.thread.random()) << 64 | u128::from(self.thread.random())
    }

    fn refuse(&mut self, route: Option<RouteId>, answer: Answer) -> Routed {
        let cause = answer.cause;
        self.answer = Some(answer);
        Routed::Local { route, cause }
    }

    fn check(&mut self) -> Result<(), Answer> {
        let head = self.head;
        if head.method() == b"CONNECT" || head.form() == TargetForm::Authority {
            let detail = "CONNECT is not served here: Plimsoll is no forward proxy.";
            return Err(Answer::refuse(501, Cause::BadRequest, "connect", detail));
        }
        if let Some(value) = head.fields.get(Name::MaxForwards)
            && matches!(head.method(), b"OPTIONS" | b"TRACE")
        {
            // RFC 9110 section 7.6.2: at zero we are the final recipient.
            match std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
            {
                Some(0) => return Err(options_answer()),
                Some(hops) => self.max_forwards = Some(hops - 1),
                None => {
                    let detail = "Max-Forwards is not a number.";
                    return Err(Answer::refuse(
                        400,
                        Cause::BadRequest,
                        "max-forwards",
                        detail,
                    ));
                }
            }
        }
        if head.form() == TargetForm::Asterisk {
            return Err(options_answer());
        }
        let expected = head.fields.get(Name::Expect);
        if expected.is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
            let detail = "Only `100-continue` can be expected here.";
            return Err(Answer::refuse(417, Cause::BadRequest, "expect", detail));
        }
        if heads::via_count(&head.fields) >= HOPS_MAX {
            let detail =
                "The request has come through Plimsoll again and again: a route leads back to it.";
            return Err(Answer::refuse(508, Cause::BadRequest, "loop", detail));
        }
        // HTTP/1 heads were refused by the codec; an HTTP/2 head comes whole.
        let limits = &self.plan().head_limits;
        if head.target().len() > limits.uri_bytes_max {
            let detail = "The request's target is longer than is allowed.";
            return Err(Answer::refuse(
                414,
                Cause::RequestLimit,
                "target-too-long",
                detail,
            ));
        }
        if head.fields.len() > limits.headers_max {
            let detail = "The request has more fields than are allowed.";
            return Err(Answer::refuse(
                431,
                Cause::RequestLimit,
                "too-many-fields",
                detail,
            ));
        }
        let path = path_of(head.path_and_query());
        if path_is_ambiguous(path) {
            let detail = "The path has dot segments, which could be read in two ways.";
            return Err(Answer::refuse(400, Cause::BadRequest, "path", detail));
        }
        let limits = &self.plan().config.gateway.limits;
        if let (plimsoll_http1::Framing::Length(length), Some(max)) =
            (head.framing(), limits.body_bytes_max)
            && length > max
        {
            let detail = "The request's body is longer than is allowed.";
            return Err(Answer::refuse(
                413,
                Cause::RequestLimit,
                "body-too-large",
                detail,
            ));
        }
        Ok(())
    }

    fn redirect(&self, redirect: &plimsoll_config::Redirect) -> Answer {
        let scheme = redirect
            .scheme
            .as_deref()
            .unwrap_or(if self.connection.tls { "https" } else { "http" });
        let authority = self.head.authority().unwrap_or_default();
        let host = match &redirect.host {
            Some(host) => host.clone(),
            None => Authority::parse(authority)
                .map(|authority| String::from_utf8_lossy(authority.host).into_owned())
                .unwrap_or_default(),
        };
        let path = match &redirect.path {
            Some(path) => path.clone(),
            None => String::from_utf8_lossy(self.head.path_and_query()).into_owned(),
        };
        Answer::local(
            redirect.status,
            vec![("location", format!("{scheme}://{host}{path}"))],
        )
    }
}

/// The protocol that a request asks to change to, if that is tunnelled. `h2c` is not: it would let a second
/// request through that nobody has read (RFC 9113 dropped it).
pub(crate) fn upgrade(head: &RequestHead) -> Option<&[u8]> {
    head.upgrade()
        .filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"))
}

/// The path without its query.
pub(crate) fn path_of(path_and_query: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    path_and_query.get(..end).unwrap_or_default()
}

fn options_answer() -> Answer {
    Answer::local(
        200,
        vec![(
            "allow",
            "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS".to_owned(),
        )],
    )
}

impl Protocol for HttpRequest<'_> {
    fn trust(&mut self) -> bool {
        let address = self.connection.peer.ip();
        self.trusted = self.connection.may_be_trusted
            && forwarded::is_trusted(address, &self.plan().config.gateway.trusted);
        self.trusted
    }

    fn route(&mut self, _trusted: bool) -> Routed {
        if let Err(answer) = self.check() {
            return self.refuse(None, answer);
        }
        let head = self.head;
        let host = head.authority().unwrap_or_default();
        let path = path_of(head.path_and_query());
        let found = self.plan().router.find(host, path, head.method(), |name| {
            head.fields.get_named(name.as_bytes())
        });
        let id = match found {
            Match::Found(id) => id,
            Match::NotFound => {
                let detail = "No route matches the host and path of this request.";
                return self.refuse(
                    None,
                    Answer::refuse(404, Cause::NoRoute, "no-route", detail),
                );
            }
            Match::MethodNotAllowed(allowed) => {
                let detail = "No route for this path takes this method.";
                let answer = Answer::refuse(405, Cause::NoRoute, "method", detail)
                    .with("allow", allowed.join(", "));
                return self.refuse(None, answer);
            }
        };
        let Some(route) = self.plan().route(id) else {
            let detail = "No route matches.";
            return self.refuse(
                None,
                Answer::refuse(404, Cause::NoRoute, "no-route", detail),
            );
        };
        match (&route.redirect, route.service) {
            (Some(redirect), _) => {
                let answer = self.redirect(redirect);
                self.refuse(Some(id), answer)
            }
            (None, Some(service)) => Routed::Service { route: id, service },
            (None, None) => {
                let answer = Answer::of_cause(Cause::NoEndpoint);
                self.refuse(Some(id), answer)
            }
        }
    }

    fn identify(&mut self, route: RouteId, _trusted: bool) -> Identity {
        let Some(plan) = self.plan().route(route) else {
            return Identity {
                class: plimsoll_core::Class::default(),
                tenant: 0,
                weight: 1.0,
                group: 0,
                bounds: Bounds {
                    head: std::time::Duration::from_secs(30),
                    idle: std::time::Duration::from_secs(60),
                    total: None,
                    attempts_max: 1,
                },
            };
        };
        let tenant = plan
            .tenant_header
            .as_ref()
            .and_then(|name| self.head.fields.get_named(name.as_bytes()))
            .map_or_else(|| self.address_key(), plimsoll_policy::hash_key);
        Identity {
            class: plan.class,
            tenant,
            weight: 1.0,
            group: plan.group,
            bounds: plan.bounds,
        }
    }

    fn rate_limit(&mut self, _route: RouteId, _identity: &Identity) -> Option<Cause> {
        None
    }
}
