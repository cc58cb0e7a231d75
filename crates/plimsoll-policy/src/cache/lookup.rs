//! The decision on a request: from the store, or from the origin, and what then (RFC 9111 section 4).

use plimsoll_core::Instant;

use super::CacheParameters;
use super::request::{CacheRequest, MethodClass};
use super::stored::Stored;

/// What the store has for a key.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// Answers, for requests with other fields.
    OtherVariants,
    /// This.
    Stored(&'a Stored),
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Lookup {
    /// Answer from the store.
    Fresh,
    /// Answer from the store, and fetch a new one that nobody waits for: a `GET` without the client's own fields.
    StaleWhileRevalidate(Fetch),
    /// The same without fetching: the client wants what is stored, or nothing (section 5.2.1.7).
    Stale,
    /// Ask the origin.
    Fetch(Fetch),
    /// Answer 504: the client wants what is stored, or nothing (section 5.2.1.7).
    NotCached,
}

/// A request to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Why there.
    pub why: ForwardReason,
    /// Whether its answer may be stored, and others may wait for it. Then the client's conditions and `Range` are left
    /// out ([`FIELDS`](super::conditional::FIELDS)), and are judged on the answer; else the request goes on as it is.
    pub fill: bool,
    /// Whether it asks by [`Stored::conditions`].
    pub validate: bool,
    /// Until when the stored answer may stand in for one that failed ([`is_failure`], or none came) or that admission
    /// refused to ask for.
    pub stale_until: Option<Instant>,
}

impl Fetch {
    /// Whether it goes there because nothing is stored for it.
    pub const fn is_miss(&self) -> bool {
        matches!(self.why, ForwardReason::UriMiss | ForwardReason::VaryMiss)
    }
}

/// Why a request goes to the origin (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardReason {
    /// The cache is not for such requests.
    Bypass,
    /// The method's meaning asks for it.
    Method,
    /// Nothing is stored.
    UriMiss,
    /// What is stored is for other requests.
    VaryMiss,
    /// What is stored is fresh, and the client asks for more.
    Request,
    /// What is stored is stale, or may not be used without asking.
    Stale,
}

impl ForwardReason {
    /// The word in `Cache-Status`, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// Decides.
pub fn look_up(
    request: &CacheRequest,
    found: Found<'_>,
    parameters: &CacheParameters,
    now: Instant,
) -> Lookup {
    let lookup = decide(request, found, parameters, now);
    match lookup {
        Lookup::Fetch(_) if request.directives.only_if_cached => Lookup::NotCached,
        Lookup::StaleWhileRevalidate(_) if request.directives.only_if_cached => Lookup::Stale,
        other => other,
    }
}

fn decide(
    request: &CacheRequest,
    found: Found<'_>,
    parameters: &CacheParameters,
    now: Instant,
) -> Lookup {
    let pass = |why| {
        Lookup::Fetch(Fetch {
            why,
            fill: false,
            validate: false,
            stale_until: None,
        })
    };
    if !matches!(request.method, MethodClass::Get | MethodClass::Head) {
        return pass(ForwardReason::Method);
    }
    if request.body || request.precondition || request.upgrade {
        return pass(ForwardReason::Bypass);
    }
    let is_get = request.method == MethodClass::Get;
    let fill = is_get && !request.directives.no_store;
    let miss = |why| {
        Lookup::Fetch(Fetch {
            why,
            // Without the whole answer a part would be all that comes, and all that is asked for.
            fill: fill && !request.range,
            validate: false,
            stale_until: None,
        })
    };
    let stored = match found {
        Found::Nothing => return miss(ForwardReason::UriMiss),
        Found::OtherVariants => return miss(ForwardReason::VaryMiss),
        Found::Stored(stored) if !stored.is_for(request, parameters) => {
            return miss(ForwardReason::Bypass);
        }
        Found::Stored(stored) => stored,
    };
    let fresh = stored.is_fresh(now);
    let asks = parameters.heed_clients && client_asks(request, stored, now);
    if fresh && !stored.directives.no_cache && !asks {
        return Lookup::Fresh;
    }
    let why = match fresh && !stored.directives.no_cache {
        true => ForwardReason::Request,
        false => ForwardReason::Stale,
    };
    let fetch = Fetch {
        why,
        fill,
        validate: fill && stored.conditions().next().is_some(),
        stale_until: stored.stale_until(parameters).filter(|&until| now < until),
    };
    // Whether or not clients are heeded where something is fresh: who says that much gets nothing stale without need.
    let insists = request.directives.no_cache || request.directives.no_store;
    let refuses = insists || asks || stored.directives.no_cache;
    if !refuses && now < stored.while_revalidating_until(parameters) {
        return Lookup::StaleWhileRevalidate(Fetch {
            // Also for `HEAD`: what is fetched is `GET`'s.
            fill: true,
            validate: stored.conditions().next().is_some(),
            ..fetch
        });
    }
    Lookup::Fetch(fetch)
}

/// Whether the client wants the origin asked (section 5.2.1). An answer that doesn't change while it is fresh is as good
/// as a new one, unless the client insists (RFC 8246 section 2).
fn client_asks(request: &CacheRequest, stored: &Stored, now: Instant) -> bool {
    let directives = &request.directives;
    let too_old = directives
        .max_age
        .is_some_and(|max_age| stored.age(now) > max_age || max_age.is_zero());
    directives.no_cache || (too_old && !(stored.directives.immutable && stored.is_fresh(now)))
}

/// Whether a status says that the origin failed, so that a stale answer may stand in for it (RFC 5861 section 4).
pub const fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Whether a status says that another answer is to be expected soon: the origin failed, or had too much to do.
pub const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=599)
}
