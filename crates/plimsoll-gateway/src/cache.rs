//! The HTTP cache of routes that ask for it: in memory, shared by all threads.
//!
//! `plimsoll_policy::cache` decides what may be stored, given and asked; here it is kept and found ([`Store`]), and a
//! request has what was decided on it ([`Caching`]). The exchange does the rest (`exchange/cached.rs`).
//! Invariant: a request of a route without `cache` neither allocates nor locks anything here.

mod answer;
mod counters;
mod disk;
mod fields;
mod fill;
mod flights;
mod purge;
mod store;
mod told;

use std::borrow::Cow;
use std::sync::Arc;

use plimsoll_core::Instant;
use plimsoll_http1::{Fields, Framing, Name, RequestHead};
use plimsoll_policy::cache::invalidation::{Target, invalidated};
use plimsoll_policy::cache::key::CacheKey;
use plimsoll_policy::cache::{
    CacheParameters, CacheRequest, Fetch, ForwardReason, Lookup, look_up,
};

pub(crate) use answer::{Answer, Updated};
pub use counters::CacheCounts;
pub(crate) use counters::{CacheCounters, CacheResult};
pub use disk::DiskStats;
pub(crate) use disk::{Disk, Found as OnDisk};
pub(crate) use fields::View;
pub(crate) use fill::{FULL, Fill, store as store_answer};
pub(crate) use flights::{Fetched, Flights, Lead, Turn, Waiting};
pub use purge::{Purge, PurgeUrl};
pub(crate) use purge::{Purging, is_surrogate_key};
pub use store::CacheStats;
pub(crate) use store::{Epoch, Found, Store};

use crate::plan::{CachePlan, Plan, ServicePlan};
use crate::thread::{Shared, Thread};

/// Our name in `Cache-Status`.
pub(crate) const NAME: &str = "plimsoll";

/// What was decided on a request of a route that stores answers.
#[derive(Debug)]
pub(crate) struct Caching {
    pub(crate) key: CacheKey,
    pub(crate) request: CacheRequest,
    pub(crate) parameters: CacheParameters,
    pub(crate) lookup: Lookup,
    /// What is stored, if that is for this request.
    pub(crate) found: Option<Arc<Answer>>,
    /// What the service is sent of path and query, where that is not what the client sent.
    pub(crate) target: Option<Box<[u8]>>,
    /// What is stored must not have become invalid since.
    pub(crate) epoch: Epoch,
    /// What it fetches is for others too.
    pub(crate) lead: Option<Lead>,
    /// Another one fetches what it wants.
    pub(crate) waiting: Option<Waiting>,
    /// Memory has nothing for it, and the disk has.
    pub(crate) on_disk: Option<OnDisk>,
}

impl Caching {
    /// Looks up what is stored for a request.
    pub(crate) fn new(
        store: &Store,
        cache: &CachePlan,
        head: &RequestHead,
        tls: bool,
        trusted: bool,
        now: Instant,
    ) -> Self {
        let body = !matches!(head.framing(), Framing::None | Framing::Length(0));
        let view = View(&head.fields);
        let request = CacheRequest::read(head.method(), &view, body);
        let target = cache.rules.path_and_query(head.path_and_query());
        let key = key(cache, head, tls, trusted, &target);
        let epoch = store.epoch(&key);
        let found = store.find(&key, &view);
        let lookup = look_up(&request, found.as_policy(), &cache.parameters, now);
        let on_disk = match lookup {
            Lookup::Fetch(fetch) if fetch.is_miss() => store.on_disk(&key, &view),
            _ => None,
        };
        Self {
            target: match target {
                Cow::Borrowed(sent) if sent.len() == head.path_and_query().len() => None,
                target => Some(target.into()),
            },
            key,
            request,
            parameters: cache.parameters,
            lookup,
            found: match found {
                Found::Answer(answer) if answer.stored.is_for(&request, &cache.parameters) => {
                    Some(answer)
                }
                _ => None,
            },
            epoch,
            lead: None,
            waiting: None,
            on_disk,
        }
    }

    /// This was on disk: decides again.
    pub(crate) fn restore(&mut self, answer: Answer, store: &Store, fields: &Fields, now: Instant) {
        // Whatever was purged or changed while it was read.
        if store.epoch(&self.key) != self.epoch
            || !answer.stored.is_for(&self.request, &self.parameters)
        {
            return;
        }
        // What came meanwhile is newer.
        let found = match store.find(&self.key, &View(fields)) {
            Found::Answer(newer) => Found::Answer(newer),
            Found::Nothing | Found::OtherVariants => {
                let answer = Arc::new(answer);
                let own = Arc::clone(&answer);
                store.keep(&self.key, &View(fields), self.epoch, own);
                Found::Answer(answer)
            }
        };
        let Found::Answer(answer) = &found else {
            return;
        };
        if !answer.stored.is_for(&self.request, &self.parameters) {
            return;
        }
        let answer = Arc::clone(answer);
        self.lookup = look_up(&self.request, found.as_policy(), &self.parameters, now);
        self.found = Some(answer);
    }

    /// Whether another one fetches what it wants: then it waits. Else it may be the one that fetches.
    pub(crate) fn joins(&mut self, thread: &Thread, fields: &Fields) -> bool {
        let (view, store) = (View(fields), &thread.shared.cache);
        let credentials = self.request.has_credentials(&self.parameters);
        let flight = store.flight(&self.key, &view, credentials);
        match flights::join(thread, &self.key, &flight) {
            Turn::Wait(waiting) => self.waiting = Some(waiting),
            Turn::Lead(lead) => self.lead(lead, store, &view, thread.clock.now()),
            Turn::Alone => (),
        }
        self.waiting.is_some() || self.lookup == Lookup::Fresh
    }

    /// Another one may have fetched it between the look and the lead.
    fn lead(&mut self, mut lead: Lead, store: &Store, view: &View<'_>, now: Instant) {
        self.epoch = store.epoch(&self.key);
        let found = store.find(&self.key, view);
        let lookup = look_up(&self.request, found.as_policy(), &self.parameters, now);
        match found {
            Found::Answer(answer) if lookup == Lookup::Fresh => {
                lead.begin(&answer.stored, view);
                lead.finish(&answer, || ());
                (self.lookup, self.found) = (lookup, Some(answer));
            }
            _ => self.lead = Some(lead),
        }
    }

    /// Nothing that the service answers is for others: it is asked for less than the whole. What is stored is whole, and
    /// may be given.
    pub(crate) fn pass_through(&mut self) {
        self.on_disk = None;
        if let Lookup::Fetch(fetch) = &self.lookup {
            self.lookup = Lookup::Fetch(Fetch {
                fill: false,
                validate: false,
                ..*fetch
            });
        }
    }

    /// What goes to the service, if anything does.
    pub(crate) fn fetch(&self) -> Option<&Fetch> {
        match &self.lookup {
            Lookup::Fetch(fetch) => Some(fetch),
            Lookup::StaleWhileRevalidate(_) | Lookup::Fresh | Lookup::Stale | Lookup::NotCached => {
                None
            }
        }
    }

    /// Whether what the service answers may be stored, and it is so asked for it.
    pub(crate) fn fills(&self) -> bool {
        self.fetch().is_some_and(|fetch| fetch.fill)
    }

    /// What the cache does for the request if nothing stored is given.
    pub(crate) fn result(&self) -> CacheResult {
        match self.fetch().map(|fetch| fetch.why) {
            Some(ForwardReason::Bypass | ForwardReason::Method) => CacheResult::Bypass,
            _ => CacheResult::Miss,
        }
    }

    /// The stored answer that the service is asked about.
    pub(crate) fn validates(&self) -> Option<&Arc<Answer>> {
        self.found
            .as_ref()
            .filter(|_| self.fetch().is_some_and(|fetch| fetch.validate))
    }

    /// Whether what is stored and stale is given at once, since its service is spared.
    pub(crate) fn spares(&self, now: Instant) -> bool {
        let (Some(fetch), Some(answer)) = (self.fetch(), &self.found) else {
            return false;
        };
        let until = answer.stored.spared_until(&self.parameters);
        fetch.why == ForwardReason::Stale && until.is_some_and(|until| now < until)
    }

    /// The same for a `GET` that nobody waits for, which renews what is stored; `None` if that is going on already.
    pub(crate) fn renewal(&self, thread: &Thread, head: &RequestHead) -> Option<Self> {
        let (view, store) = (View(&head.fields), &thread.shared.cache);
        let request = CacheRequest::read(head.method(), &view, false);
        let flight = store.flight(&self.key, &view, request.has_credentials(&self.parameters));
        let epoch = store.epoch(&self.key);
        let lead = flights::lead_unasked(thread, &self.key, &flight)?;
        let found = self.found.clone()?;
        let validate = found.stored.conditions().next().is_some();
        Some(Self {
            key: self.key.clone(),
            request,
            parameters: self.parameters,
            lookup: Lookup::Fetch(Fetch {
                why: ForwardReason::Stale,
                fill: true,
                validate,
                // Nobody is there to be given it.
                stale_until: None,
            }),
            found: Some(found),
            target: self.target.clone(),
            epoch,
            lead: Some(lead),
            waiting: None,
            on_disk: None,
        })
    }

    /// The stored answer that may stand in for one that failed.
    pub(crate) fn stale(&self, now: Instant) -> Option<&Arc<Answer>> {
        let until = self.fetch()?.stale_until?;
        self.found.as_ref().filter(|_| now < until)
    }
}

/// The key of a request. A trusted peer's word on scheme and host is what the service is told, and so a part of it
/// (`told`).
fn key(
    cache: &CachePlan,
    head: &RequestHead,
    tls: bool,
    trusted: bool,
    path_and_query: &[u8],
) -> CacheKey {
    let said = |name| head.fields.get(name).filter(|_| trusted);
    let (proto, host) = (said(Name::XForwardedProto), said(Name::XForwardedHost));
    let space = told::space(&cache.space, proto, host);
    let authority = head.authority().unwrap_or_default();
    CacheKey::new(&space, tls, authority, path_and_query)
}

/// A request may have changed what is stored: takes that out, for all routes of its service (RFC 9111 section 4.4).
pub(crate) fn invalidate(
    shared: &Shared,
    plan: &Plan,
    service: &ServicePlan,
    head: &RequestHead,
    (tls, trusted): (bool, bool),
    answer: &View<'_>,
) {
    let (store, flights) = (&shared.cache, &shared.flights);
    let target = Target {
        scheme: if tls { "https" } else { "http" },
        authority: head.authority().unwrap_or_default(),
        path_and_query: head.path_and_query(),
    };
    for path in invalidated(&target, answer) {
        let routes = service.cached.iter().filter_map(|id| plan.route(*id));
        for cache in routes.filter_map(|route| route.cache.as_deref()) {
            let path = cache.rules.path_and_query(&path);
            let key = key(cache, head, tls, trusted, &path);
            store.invalidate(&key);
            flights.invalidate(&key);
        }
    }
}

/// Takes out what somebody says is wrong; says how many answers there were.
pub(crate) fn purge(shared: &Shared, plan: &Plan, service: &str, what: &Purge) -> u64 {
    let services = plan.services.iter().filter(|it| it.name == service);
    let routes = services.flat_map(|service| &service.cached);
    let caches = routes.filter_map(|id| plan.route(*id)?.cache.as_deref());
    let purging = Purging::new(service, what, caches.map(|cache| &cache.rules));
    // In this order: what comes to be stored after the look is of no epoch of now.
    shared.cache.end_epochs();
    shared.flights.purge(|key| purging.is_meant(key));
    shared.cache.purge(&purging)
}
