//! A shared HTTP cache: what may be stored, what may be used again, and who fetches. Decisions only: what is stored
//! where, and for how long it fits, is the gateway's.
//!
//! Sources: RFC 9111 (HTTP caching), RFC 9110 (conditions, ranges), RFC 5861 (stale answers), RFC 8246 (`immutable`),
//! RFC 9211 (`Cache-Status`), RFC 9213 (targeted fields); J. Kettle, "Practical Web Cache Poisoning" (2018) and "Web
//! Cache Entanglement" (2020); H. Nguyen, L. Lo Iacono and H. Federrath, "Your Cache Has Fallen" (CCS 2019).
//! Units: ages and lifetimes are `Duration`; what comes from the wire is in whole seconds. Age goes by the monotonic
//! clock: a calendar that is set back makes no answer young.
//! Invariants: what is not understood is not stored; of two readings the more restrictive one counts; nothing that an
//! origin meant for one user is stored; what is not in the key is not sent to the origin ([`key`]).
//!
//! In the order of use: [`CacheRequest`] and [`key::CacheKey`] of what a client sends; [`look_up`]; where that says to
//! fetch, [`coalesce::Coalescer`]; with the answer, [`Stored::judge`], or [`Stored::freshen`] for a 304; what goes out by
//! [`conditional`], [`range`] and [`status::CacheStatus`]; after an unsafe request [`invalidation`].

pub mod coalesce;
pub mod conditional;
mod date;
mod directives;
mod entity_tag;
mod fields;
mod freshness;
pub mod invalidation;
pub mod key;
mod lookup;
pub mod range;
mod request;
pub mod status;
mod stored;
mod targeted;
mod update;
mod vary;

pub use directives::{RequestDirectives, ResponseDirectives};
pub use entity_tag::EntityTag;
pub use fields::HeadFields;
pub use freshness::{Lifetime, LifetimeBy, Received};
pub use lookup::{Fetch, ForwardReason, Found, Lookup, is_failure, is_passing, look_up};
pub use request::{CacheRequest, MethodClass};
pub use stored::{NotStored, Stored};
pub use update::{Freshened, Merged};
pub use vary::Vary;

use std::time::Duration;

/// How a route's cache decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheParameters {
    /// The longest that an answer is fresh whose origin doesn't say for how long; zero = not at all.
    pub heuristic_max: Duration,
    /// How long an answer that something isn't there is fresh, where its origin doesn't say; zero = not at all.
    pub negative: Duration,
    /// How long past its freshness an answer may be served where the origin fails or is spared, unless it forbids that.
    pub stale: Duration,
    /// How long past its freshness an answer may be served while a new one is fetched, unless the origin says
    /// otherwise.
    pub stale_while_revalidate: Duration,
    /// The longest body that is stored, in bytes.
    pub body_bytes_max: u64,
    /// What to do with answers that set cookies.
    pub set_cookie: SetCookie,
    /// Whether a request's `Cookie` counts as a proof of who asks, like `Authorization`: its answer is stored, and it
    /// gets a stored one, only if the origin says that the answer is for all.
    pub cookies_are_credentials: bool,
    /// Whether a client may have the origin asked though a fresh answer is stored, by `no-cache`, `max-age` or `Pragma`.
    /// These are advice (RFC 9111 section 5.2.1), and any client could send its load to the origin by them.
    pub heed_clients: bool,
}

/// What to do with answers that set cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetCookie {
    /// Not to store them: what goes with a cookie is mostly one user's.
    Refuse,
    /// To store them without it.
    StoreWithout,
}

impl Default for CacheParameters {
    fn default() -> Self {
        Self {
            // A tenth of an answer's age is a guess: no wrong one lasts longer than people wait for a page to be right.
            heuristic_max: Duration::from_secs(300),
            negative: Duration::ZERO,
            stale: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            // Pages, scripts and pictures, not films.
            body_bytes_max: 8 * 1024 * 1024,
            set_cookie: SetCookie::Refuse,
            cookies_are_credentials: true,
            heed_clients: false,
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
