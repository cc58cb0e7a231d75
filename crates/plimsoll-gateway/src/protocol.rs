//! HTTP's side of a call's first stages: whom to believe, which route, who calls.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use plimsoll_config::RateBy;
use plimsoll_core::{Class, Mode, RouteId, ServiceId};
use plimsoll_http1::{Authority, Name, RequestHead, TargetForm};
use plimsoll_lifecycle::{Bounds, Counter, Identity, Protocol, Routed};
use plimsoll_measure::Cause;
use plimsoll_policy::cache::Lookup;
use plimsoll_policy::{
    Charge, GrpcTimeout, KeyHash, PlimsollDeadline, TenantId, push_rate_limit,
    push_rate_limit_policy, retry_after_seconds,
};
use smallvec::SmallVec;

use crate::answer::is_grpc;
use crate::cache::Caching;
use crate::dimming::{self, Dimmed};
use crate::fallback::FallbackPlan;
use crate::flagged::Flagged;
use crate::forwarded;
use crate::heads::{self, Facts};
use crate::plan::{Plan, RoutePlan};
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
    /// What goes last when not all fits.
    pub(crate) class: Class,
    /// The caller's patience is shorter than the route's, and nobody vouches for it.
    pub(crate) impatient: bool,
    /// The tenant's key, if it is to be proven by a good answer.
    pub(crate) unlisted_key: Option<KeyHash>,
    /// `RateLimit-Policy` and `RateLimit`, for the answer.
    pub(crate) rate_fields: Option<Box<RateFields>>,
    /// What its route's cache says of it.
    pub(crate) caching: Option<Box<Caching>>,
    /// Features of its service that are dimmed for whoever asks.
    dimmed: Dimmed,
    /// What is answered as its route is one of them.
    instead: Option<Answer>,
    /// What flags say of whoever asks, once that was asked for.
    flagged: OnceCell<Flagged>,
}

/// What an answer says of the rates that its request was held to (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Default)]
pub(crate) struct RateFields {
    pub(crate) policy: String,
    pub(crate) left: String,
}

impl<'a> HttpRequest<'a> {
    pub(crate) fn new(
        thread: &'a Thread,
        plan: &'a Rc<ThreadPlan>,
        connection: &'a ClientConnection,
        head: &'a RequestHead,
    ) -> Self {
        Self {
            thread,
            plan,
            connection,
            head,
            trusted: false,
            answer: None,
            max_forwards: None,
            class: Class::default(),
            impatient: false,
            unlisted_key: None,
            rate_fields: None,
            caching: None,
            dimmed: Dimmed::default(),
            instead: None,
            flagged: OnceCell::new(),
        }
    }
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
            class: self.class,
            grpc: is_grpc(self.head) && self.named(heads::GRPC_TIMEOUT).is_some(),
            no_retry: self.trusted && self.named(heads::NO_RETRY).is_some(),
            retries: false,
            impatient: self.impatient,
            dimmed: self.dimmed,
            fills: (self.caching.as_ref()).is_some_and(|caching| caching.fills()),
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

    fn named(&self, name: &str) -> Option<&[u8]> {
        self.head.fields.get_named(name.as_bytes())
    }

    /// The class that a trusted caller gives, or the route's.
    fn class_of(&self, route: Class) -> Class {
        let given = self.named(heads::CLASS).filter(|_| self.trusted);
        given
            .and_then(|given| {
                Class::ALL
                    .into_iter()
                    .find(|class| given.eq_ignore_ascii_case(class.name().as_bytes()))
            })
            .unwrap_or(route)
    }

    /// Shortens what the route allows to what the caller waits for.
    fn shorten(&mut self, bounds: &mut Bounds, usual: Duration) {
        let caller = self
            .named(heads::DEADLINE)
            .filter(|_| self.trusted)
            .and_then(PlimsollDeadline::parse)
            .map(|deadline| deadline.0);
        let grpc = self
            .named(heads::GRPC_TIMEOUT)
            .filter(|_| is_grpc(self.head))
            .and_then(GrpcTimeout::parse)
            .map(|timeout| timeout.0);
        let own = bounds.head;
        bounds.head = own.min(caller.unwrap_or(own)).min(grpc.unwrap_or(own));
        // A caller that gives the service less than it usually takes loses by its own impatience. One that gives it
        // enough shows what any other would: a service that hangs must not hide behind the timeouts of its callers.
        self.impatient = !self.trusted && bounds.head < own && bounds.head < usual;
    }

    /// Asks the meters of the route's rates. What is refused is not charged.
    fn meter(&mut self, route: &RoutePlan, tenant: TenantId) -> Result<(), Answer> {
        let salt = &self.plan().salt;
        let address = salt.address(self.client());
        let mut charges: SmallVec<[Charge<'_>; 4]> = SmallVec::new();
        let mut refused_softly = 0;
        let now = self.thread.clock.now();
        let rates = &self.thread.shared.rates;
        for rate in &route.rates {
            let cost = rate.cost.as_ref().map_or(1, |(header, max)| {
                let given = self
                    .named(header)
                    .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u32>().ok());
                given.unwrap_or(1).clamp(1, *max)
            });
            let charge = Charge {
                key: match rate.by {
                    RateBy::Tenant => tenant.0,
                    RateBy::Address => address.0,
                    RateBy::Route => 0,
                },
                index: rate.index,
                limit: &rate.limit,
                cost,
            };
            if rate.mode == Mode::Enforce {
                charges.push(charge);
            } else if !rates.check(now, &charge).is_allowed() {
                refused_softly += 1;
            }
        }
        let mut decisions = Vec::with_capacity(charges.len());
        let allowed = rates.check_all(now, &charges, &mut decisions);
        let mut fields = RateFields::default();
        let mut wait = Duration::ZERO;
        let enforced = route.rates.iter().filter(|it| it.mode == Mode::Enforce);
        for (rate, decision) in enforced.zip(&decisions) {
            push_rate_limit_policy(&mut fields.policy, &rate.name, &rate.limit);
            push_rate_limit(&mut fields.left, &rate.name, decision);
            wait = wait.max(decision.retry_after().unwrap_or_default());
        }
        if !decisions.is_empty() {
            self.rate_fields = Some(Box::new(fields));
        }
        if refused_softly > 0
            && let Some(service) = route.service.and_then(|id| self.plan().service(id))
        {
            service.shared.guard.counters.add(Counter::WouldRateLimit);
        }
        if allowed {
            return Ok(());
        }
        let detail = "More was asked for than the declared rate allows.";
        let mut answer = Answer::refuse(429, Cause::RateLimited, "rate", detail);
        answer.retry_after = Some(retry_after_seconds(wait));
        Err(answer)
    }

    /// Finds out what is left out for whoever asks.
    fn dim(&mut self, route: &RoutePlan) {
        let plan = Rc::clone(self.plan);
        let Some(service) = route.service.and_then(|id| plan.plan.service(id)) else {
            return;
        };
        let fields = &self.head.fields;
        let left_out = Dimmed::of(service, || {
            let tenant_header = route.tenant_header.as_deref();
            dimming::user(&plan.plan, service, tenant_header, fields, self.client())
        });
        let switched_off = Dimmed::switched_off(service, |flag| self.flagged().is_off(flag));
        self.dimmed = left_out.and(switched_off);
        let Some(feature) = route.feature else {
            return;
        };
        let may_have = |fallback: &FallbackPlan| fallback.is_for(self.head);
        let has_fallback = route.fallback.as_deref().is_some_and(may_have);
        self.instead = match (switched_off.has(feature), left_out.has(feature)) {
            (true, _) if has_fallback => Some(Answer::dimmed("flag")),
            (true, _) => Some(Answer::switched_off()),
            // What its fallback is not for goes to the service.
            (false, true) if has_fallback => Some(Answer::dimmed("brownout")),
            _ => None,
        };
    }

    /// What flags say of whoever asks.
    fn flagged(&self) -> &Flagged {
        self.flagged
            .get_or_init(|| self.thread.flagged(self.plan(), &self.head.fields))
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
        Answer::local(redirect.status).with("location", format!("{scheme}://{host}{path}"))
    }
}

/// The protocol that a request asks to change to, if that is tunnelled. `h2c` is not: it would let a second
/// request through that nobody has read (RFC 9113 dropped it).
pub(crate) fn upgrade(head: &RequestHead) -> Option<&[u8]> {
    head.upgrade()
        .filter(|protocol| !protocol.eq_ignore_ascii_case(b"h2c"))
}

/// Whether a request changes nothing, by its method (RFC 9110 section 9.2.1). Of what goes through a tunnel nobody knows.
pub(crate) fn is_safe(head: &RequestHead) -> bool {
    matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE") && upgrade(head).is_none()
}

/// The path without its query.
pub(crate) fn path_of(path_and_query: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    path_and_query.get(..end).unwrap_or_default()
}

fn options_answer() -> Answer {
    let methods = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
    Answer::local(200).with("allow", methods.to_owned())
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
        let header = |name: &str| head.fields.get_named(name.as_bytes());
        let flag = |id: RouteId| {
            let wanted = self.plan().route(id).and_then(|it| it.flag.as_ref());
            wanted.is_some_and(|wanted| self.flagged().has(wanted))
        };
        let router = &self.plan().router;
        let found = router.find(host, path, head.method(), header, flag);
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
        let plan = Rc::clone(self.plan);
        let Some(route) = plan.plan.route(route) else {
            return Identity {
                class: Class::default(),
                tenant: 0,
                weight: 1.0,
                group: 0,
                bounds: Bounds {
                    head: Duration::from_secs(30),
                    idle: Duration::from_secs(60),
                    total: None,
                    attempts_max: 1,
                },
            };
        };
        self.class = self.class_of(route.class);
        let mut bounds = route.bounds;
        let usual = route
            .service
            .and_then(|id| plan.plan.service(id))
            .map_or(Duration::ZERO, |service| {
                service.shared.guard.admission.usual()
            });
        self.shorten(&mut bounds, usual);
        self.dim(route);
        let key = route
            .tenant_header
            .as_ref()
            .and_then(|name| self.named(name));
        let known = self.thread.tenants.borrow().identify(key, self.client());
        self.unlisted_key = known.unlisted_key;
        Identity {
            class: self.class,
            tenant: known.tenant.0,
            weight: known.weight.get(),
            group: route.group,
            bounds,
        }
    }

    fn degrade(&mut self, service: ServiceId) -> Option<Cause> {
        if let Some(answer) = self.instead.take() {
            let cause = answer.cause;
            self.answer = Some(answer);
            return Some(cause);
        }
        let service = self.plan().service(service)?;
        if is_safe(self.head) || !service.shared.guard.steps.is_read_only() {
            return None;
        }
        let answer = Answer::read_only(&service.read_only);
        let cause = answer.cause;
        self.answer = Some(answer);
        Some(cause)
    }

    fn rate_limit(&mut self, route: RouteId, identity: &Identity) -> Option<Cause> {
        let plan = Rc::clone(self.plan);
        let route = plan.plan.route(route).filter(|it| !it.rates.is_empty())?;
        match self.meter(route, TenantId(identity.tenant)) {
            Ok(()) => None,
            Err(answer) => {
                let cause = answer.cause;
                self.answer = Some(answer);
                Some(cause)
            }
        }
    }

    fn cache(&mut self, route: RouteId) -> Option<Cause> {
        let plan = Rc::clone(self.plan);
        let route = plan.plan.route(route)?;
        let cache = route.cache.as_deref()?;
        let service = route.service.and_then(|id| plan.plan.service(id));
        let now = self.thread.clock.now();
        let mut caching = Caching::new(
            &self.thread.shared.cache,
            cache,
            self.head,
            self.connection.tls,
            self.trusted,
            now,
        );
        if !self.dimmed.is_empty() {
            caching.pass_through();
        }
        let guard = service.map(|service| &service.shared.guard);
        // Also where the service is not spared: the governor has to know whether that would be of use.
        let could = caching.spares(now);
        let spared = could && guard.is_some_and(|guard| guard.steps.spares());
        let lookup = caching.lookup;
        let cause = match lookup {
            Lookup::Fresh => Some(Cause::Cached),
            Lookup::Stale | Lookup::StaleWhileRevalidate(_) => Some(Cause::Stale),
            Lookup::Fetch(_) if spared => Some(Cause::Stale),
            Lookup::NotCached => {
                self.answer = Some(Answer::local(504));
                Some(Cause::Local)
            }
            Lookup::Fetch(_) if caching.on_disk.is_some() => Some(Cause::Cached),
            Lookup::Fetch(fetch) if fetch.fill && caching.joins(self.thread, &self.head.fields) => {
                Some(Cause::Cached)
            }
            Lookup::Fetch(_) => None,
        };
        if let Some(guard) = guard.filter(|_| could && cause.is_none()) {
            guard.counters.add(Counter::WouldSpare);
        }
        self.caching = Some(Box::new(caching));
        cause
    }
}
