//! Whether an answer may be stored (RFC 9111 section 3), and what is known of one that is.

use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};

use super::directives::ResponseDirectives;
use super::entity_tag::EntityTag;
use super::fields::{HeadFields, has, single};
use super::freshness::{
    Dates, Lifetime, Received, initial_age, is_heuristically_cacheable, lifetime,
};
use super::request::{CacheRequest, MethodClass};
use super::vary::Vary;
use super::{CacheParameters, SetCookie, targeted};

/// Fields of one connection or one exchange, never stored (RFC 9111 section 3.1), and those that each answer from the
/// store has anew. Those that `Connection` names are left out by whoever reads it.
const NEVER_STORED: [&str; 11] = [
    "age",
    "cache-status",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Why an answer is not stored. In the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// Only what answers `GET` is.
    Method,
    /// The request has a body, which is not in the key.
    RequestBody,
    /// The request says `no-store`.
    RequestNoStore,
    /// It is not known what its status asks of a cache, or it is a part, an interim answer or a failure.
    Status,
    /// The answer says `no-store`.
    NoStore,
    /// The answer is for one user.
    Private,
    /// It sets cookies.
    SetCookie,
    /// The request says who asks, and the answer does not say that it is for all.
    Credentials,
    /// It differs by what no cache can see.
    Vary,
    /// Its body is longer than may be.
    Size,
    /// It would be of no use: never fresh, nothing to validate it by, and not to be served stale.
    NoUse,
}

impl NotStored {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Method,
        Self::RequestBody,
        Self::RequestNoStore,
        Self::Status,
        Self::NoStore,
        Self::Private,
        Self::SetCookie,
        Self::Credentials,
        Self::Vary,
        Self::Size,
        Self::NoUse,
    ];

    /// The word in metrics, logs and `Cache-Status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestBody => "request-body",
            Self::RequestNoStore => "request-no-store",
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::SetCookie => "set-cookie",
            Self::Credentials => "credentials",
            Self::Vary => "vary",
            Self::Size => "size",
            Self::NoUse => "no-use",
        }
    }
}

/// What is known of a stored answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub(super) status: u16,
    pub(super) directives: ResponseDirectives,
    pub(super) lifetime: Lifetime,
    pub(super) received: Received,
    pub(super) date: Timestamp,
    pub(super) last_modified: Option<Timestamp>,
    /// As sent: what validates it.
    last_modified_value: Option<Box<[u8]>>,
    entity_tag_value: Option<Box<[u8]>>,
    initial_age: Duration,
    vary: Vary,
    without_cookies: bool,
}

impl Stored {
    /// Judges an answer by its head. It may be stored once its body has come whole: one that was cut short is not
    /// (RFC 9111 section 3.3), nor one that turns out longer than `body_bytes_max`. `body_bytes`: the length of its
    /// body, if the head says so.
    pub fn judge(
        request: &CacheRequest,
        status: u16,
        head: &impl HeadFields,
        body_bytes: Option<u64>,
        received: Received,
        parameters: &CacheParameters,
    ) -> Result<Self, NotStored> {
        let targeted = targeted::read(head);
        let is_targeted = targeted.is_some();
        let directives = targeted.unwrap_or_else(|| ResponseDirectives::read(head));
        let dates = Dates::read(head, &received, is_targeted);
        let valid_tag = single(head, "etag").filter(|value| EntityTag::parse(value).is_some());
        let valid_date = single(head, "last-modified").filter(|_| dates.last_modified.is_some());
        let stored = Self {
            status,
            lifetime: lifetime(status, &directives, &dates, parameters),
            initial_age: initial_age(head, &dates, &received),
            received,
            date: dates.date,
            last_modified: dates.last_modified,
            last_modified_value: valid_date.map(Into::into),
            entity_tag_value: valid_tag.map(Into::into),
            vary: Vary::read(head),
            without_cookies: parameters.set_cookie == SetCookie::StoreWithout,
            directives,
        };
        let sets_cookies = has(head, "set-cookie") && !stored.withholds(b"set-cookie");
        match stored.refusal(request, sets_cookies, body_bytes, parameters) {
            Some(reason) => Err(reason),
            None => Ok(stored),
        }
    }

    fn refusal(
        &self,
        request: &CacheRequest,
        sets_cookies: bool,
        body_bytes: Option<u64>,
        parameters: &CacheParameters,
    ) -> Option<NotStored> {
        let directives = &self.directives;
        let refused = |reason, refused: bool| refused.then_some(reason);
        // "If the response directive `must-understand` is present, and the cache understands the status, `no-store` is to
        // be ignored" (section 5.2.2.3). Statuses that are not understood are not stored anyway.
        let no_store = directives.no_store && !directives.must_understand;
        refused(NotStored::Method, request.method != MethodClass::Get)
            .or(refused(NotStored::RequestBody, request.body))
            .or(refused(
                NotStored::RequestNoStore,
                request.directives.no_store,
            ))
            .or(refused(NotStored::Status, !is_understood(self.status)))
            .or(refused(NotStored::NoStore, no_store))
            .or(refused(NotStored::Private, directives.private))
            .or(refused(NotStored::SetCookie, sets_cookies))
            .or(refused(
                NotStored::Credentials,
                !self.is_for(request, parameters),
            ))
            .or(refused(NotStored::Vary, self.vary == Vary::Unknown))
            .or(refused(
                NotStored::Size,
                body_bytes > Some(parameters.body_bytes_max),
            ))
            .or(refused(NotStored::NoUse, !self.is_of_use(parameters)))
    }

    /// Whether a request may have it, as far as that depends on who asks. RFC 9111 section 3.5 asks this only before an
    /// answer to a request with `Authorization` is stored. It is asked before one is used, too: what an origin gives
    /// to anyone need not be what it gives to somebody it knows.
    pub fn is_for(&self, request: &CacheRequest, parameters: &CacheParameters) -> bool {
        let directives = &self.directives;
        let for_all = directives.public || directives.s_maxage.is_some();
        let authorized = for_all || directives.must_revalidate;
        (!request.authorization || authorized)
            && (!request.cookie || !parameters.cookies_are_credentials || for_all)
    }

    /// Section 3, last item: explicit freshness, `public`, or a status that may be stored by itself; and something in it.
    fn is_of_use(&self, parameters: &CacheParameters) -> bool {
        let allowed = self.lifetime.by.is_explicit()
            || self.directives.public
            || is_heuristically_cacheable(self.status);
        let validates = self.entity_tag_value.is_some() || self.last_modified_value.is_some();
        let is_fresh = self.lifetime.time > self.initial_age && !self.directives.no_cache;
        let stale = self
            .stale_max(parameters)
            .max(self.revalidating_max(parameters));
        allowed && (is_fresh || validates || stale > Duration::ZERO)
    }

    /// Its status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What it says of its use.
    pub const fn directives(&self) -> &ResponseDirectives {
        &self.directives
    }

    /// How long it is fresh.
    pub const fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// When it came, or was last found to be still good.
    pub const fn received(&self) -> Received {
        self.received
    }

    /// Which requests it is for.
    pub const fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Its entity tag.
    pub fn entity_tag(&self) -> Option<EntityTag<'_>> {
        EntityTag::parse(self.entity_tag_value.as_deref()?)
    }

    /// Its `Last-Modified`, as sent.
    pub(super) fn last_modified_value(&self) -> Option<&[u8]> {
        self.last_modified_value.as_deref()
    }

    /// Whether a field of the answer is not to be stored. `name` in whatever case.
    pub fn withholds(&self, name: &[u8]) -> bool {
        let is = |other: &[u8]| other.eq_ignore_ascii_case(name);
        NEVER_STORED.iter().any(|never| is(never.as_bytes()))
            || (self.without_cookies && is(b"set-cookie"))
            || self.directives.withheld.iter().any(|withheld| is(withheld))
    }

    /// How old it is (section 4.2.3): in whole seconds, what `Age` says.
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age.saturating_add(now.since(self.received.at))
    }

    /// Until when it is fresh; what is stale from the beginning, until when it came.
    pub fn fresh_until(&self) -> Instant {
        self.received.at + self.lifetime.time.saturating_sub(self.initial_age)
    }

    /// Whether it is fresh.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until()
    }

    /// What is left of its freshness in whole seconds, negative once it is stale: `ttl` of `Cache-Status`.
    pub fn seconds_left(&self, now: Instant) -> i64 {
        let signed = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        signed(self.lifetime.time) - signed(self.age(now))
    }

    /// The fields that ask the origin whether it is still good (section 4.3.1).
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let tag = self.entity_tag_value.as_deref();
        let date = self.last_modified_value.as_deref();
        (tag.map(|tag| ("If-None-Match", tag)).into_iter())
            .chain(date.map(|date| ("If-Modified-Since", date)))
    }

    /// Until when it may answer in place of an origin that fails or is to be spared (section 4.2.4); `None`: never.
    ///
    /// `s-maxage` by itself forbids that (section 5.2.2.10). Beside a word of the origin that allows it, in so many
    /// seconds, the word counts: such a pair means nothing else.
    pub fn stale_until(&self, parameters: &CacheParameters) -> Option<Instant> {
        if self.directives.no_cache {
            return None;
        }
        let late = self.initial_age.saturating_sub(self.lifetime.time);
        let left = self.stale_max(parameters).saturating_sub(late);
        Some(self.fresh_until() + left)
    }

    /// Until when it may answer though nothing has failed, so that its origin is spared: as configured, where the origin
    /// does not forbid it. What the origin allows for failures alone (`stale-if-error`) does not count here.
    pub fn spared_until(&self, parameters: &CacheParameters) -> Option<Instant> {
        let until = self.stale_until(parameters)?;
        let late = self.initial_age.saturating_sub(self.lifetime.time);
        let configured = self.fresh_until() + parameters.stale.saturating_sub(late);
        Some(until.min(configured))
    }

    /// Whether it may answer those who asked while it was fetched: they are other requests (section 4), so not where each
    /// use needs the origin's word. `s-maxage` asks for that, unless the origin allows use of what is stale beside it
    /// ([`Stored::stale_until`]).
    pub fn is_for_waiters(&self, now: Instant) -> bool {
        let directives = &self.directives;
        let allows = |stale: Option<Duration>| stale.is_some_and(|it| !it.is_zero());
        let allows_stale =
            allows(directives.stale_while_revalidate) || allows(directives.stale_if_error);
        let revalidates = directives.must_revalidate
            || directives.proxy_revalidate
            || (directives.s_maxage.is_some() && !allows_stale);
        !directives.no_cache && (self.is_fresh(now) || !revalidates)
    }

    /// When it came.
    pub const fn received_at(&self) -> Instant {
        self.received.at
    }

    /// How long past its freshness it may answer while a new one is fetched.
    pub(super) fn while_revalidating_until(&self, parameters: &CacheParameters) -> Instant {
        let late = self.initial_age.saturating_sub(self.lifetime.time);
        self.fresh_until() + self.revalidating_max(parameters).saturating_sub(late)
    }

    fn revalidating_max(&self, parameters: &CacheParameters) -> Duration {
        self.allowance(
            self.directives.stale_while_revalidate,
            parameters.stale_while_revalidate,
            |origin, _| origin,
        )
    }

    fn stale_max(&self, parameters: &CacheParameters) -> Duration {
        self.allowance(
            self.directives.stale_if_error,
            parameters.stale,
            Duration::max,
        )
    }

    /// How long past its freshness it may be used, of what the origin says and what is configured. An origin's zero is
    /// a refusal.
    fn allowance(
        &self,
        origin: Option<Duration>,
        configured: Duration,
        both: impl FnOnce(Duration, Duration) -> Duration,
    ) -> Duration {
        let directives = &self.directives;
        if directives.no_cache || directives.must_revalidate || directives.proxy_revalidate {
            return Duration::ZERO;
        }
        match origin {
            Some(Duration::ZERO) => Duration::ZERO,
            Some(origin) if directives.s_maxage.is_some() => origin,
            Some(origin) => both(origin, configured),
            None if directives.s_maxage.is_some() => Duration::ZERO,
            None => configured,
        }
    }
}

/// Final statuses whose answers are stored: those of which it is known what they ask of a cache. No failure but 501 is
/// among them: what is stored would outlast it.
const fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 302 | 303 | 307 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}
