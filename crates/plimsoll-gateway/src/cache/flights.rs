//! Fetches in progress: one request to a service for all who want the same at the same time, on whatever thread.
//!
//! Who leads, waits or goes alone is decided by `plimsoll_policy::cache::coalesce`; here is who is told, and how. A waiter is
//! told once the head has come whether the answer may be for it, and then waits until all of it is stored.
//! Invariant: a fetch that was begun is over when its [`Lead`] is dropped. Locks are held for a decision and an insertion
//! into the store, never while somebody waits; only misses of routes that store come here.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_core::Instant;
use plimsoll_measure::Cause;
use plimsoll_policy::cache::coalesce::{
    Answer as Outcome, CoalesceParameters, Coalescer, FetchId, Join, Release, WaiterId,
};
use plimsoll_policy::cache::key::CacheKey;
use plimsoll_policy::cache::{CacheParameters, CacheRequest, HeadFields, Stored};
use plimsoll_upstream::Clock;
use tokio::sync::{oneshot, watch};

use super::Answer;
use crate::thread::{Shared, Thread};

/// Keys are spread over so many tables: a table's lock is held for microseconds.
const SHARDS: usize = 8;

/// What is fetched: a key, whether the request says who asks, and what is known that answers differ by.
pub(crate) type FlightKey = Box<[u8]>;

/// All fetches in progress.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// How long one waits for a head, and then for the rest.
    pub(crate) wait_max: Duration,
}

#[derive(Debug)]
struct Shard {
    coalescer: Coalescer<FlightKey>,
    waiters: HashMap<WaiterId, oneshot::Sender<Told>>,
    /// Of those whose answer is coming.
    coming: HashMap<FetchId, Coming>,
}

#[derive(Debug)]
struct Coming {
    head: Arc<Head>,
    whole: watch::Sender<Option<Arc<Answer>>>,
}

/// A head that has come, and may be for others.
#[derive(Debug)]
struct Head {
    stored: Stored,
    /// What the answer differs by, as the request that fetches it has it.
    variant: Option<Box<[u8]>>,
}

/// What a waiter is told.
#[derive(Debug)]
enum Told {
    Follow(Following),
    Failed(Cause),
    Alone,
}

/// An answer that is coming, and may be for others.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    head: Arc<Head>,
    whole: watch::Receiver<Option<Arc<Answer>>>,
    /// The head had come before the request did.
    late: bool,
}

/// What came of waiting for another request's fetch.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// This answer.
    Answer(Arc<Answer>),
    /// It failed for this cause.
    Failed(Cause),
    /// Its answer is not for this request.
    NotForThis,
    /// Its answer was broken off, or not stored after all.
    BrokenOff,
}

/// What a request is to do that may be answered together with others.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Fetch, for all of them.
    Lead(Lead),
    /// Wait for another one's fetch.
    Wait(Waiting),
    /// Ask by itself.
    Alone,
}

impl Flights {
    /// None in progress.
    pub(crate) fn new() -> Self {
        let parameters = CoalesceParameters::default();
        let shard = |_| {
            Mutex::new(Shard {
                coalescer: Coalescer::new(parameters),
                waiters: HashMap::new(),
                coming: HashMap::new(),
            })
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: RandomState::new(),
            wait_max: parameters.wait_max,
        }
    }

    /// A key's place, the same for all that is fetched for it.
    fn place(&self, key: &CacheKey) -> usize {
        self.hasher.hash_one(key.as_bytes()) as usize % SHARDS
    }

    fn lock(&self, place: usize) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(place)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same of all keys that are meant. It looks at all that is being fetched.
    pub(crate) fn purge(&self, is_meant: impl Fn(&[u8]) -> bool) {
        for place in 0..SHARDS {
            if let Some(mut shard) = self.lock(place) {
                shard.coalescer.on_purged(|key| is_meant(key));
            }
        }
    }

    /// What is stored under a key was made invalid: nobody waits any more for what is being fetched.
    pub(crate) fn invalidate(&self, key: &CacheKey) {
        if let Some(mut shard) = self.lock(self.place(key)) {
            shard.coalescer.on_purged(|it| is_of(it, key.as_bytes()));
        }
    }
}

/// Whether it is fetched for a key. No key has a line feed in its path, which is its last part.
fn is_of(flight: &[u8], key: &[u8]) -> bool {
    flight.strip_prefix(key).and_then(<[u8]>::first) == Some(&b'\n')
}

/// What a request that wants this asks for together with others.
pub(super) fn flight_key(key: &CacheKey, credentials: bool, variant: Option<&[u8]>) -> FlightKey {
    let credentials: &[u8] = if credentials { b"\n1" } else { b"\n0" };
    let variant = variant.unwrap_or_default();
    [key.as_bytes(), credentials, variant].concat().into()
}

/// A request wants what may be fetched for others too.
pub(crate) fn join(thread: &Thread, key: &CacheKey, flight: &FlightKey) -> Turn {
    let (shared, now) = (&thread.shared, thread.clock.now());
    let place = shared.flights.place(key);
    let Some(mut shard) = shared.flights.lock(place) else {
        return Turn::Alone;
    };
    let expired = shard.coalescer.on_timeout(now);
    let told = shard.told(expired, Cause::Timeout);
    let turn = match shard.coalescer.on_request(now, flight) {
        Join::Lead(waiter) => Turn::Lead(Lead::new(thread, place, waiter.fetch())),
        Join::Wait(waiter) => {
            let (sender, told) = oneshot::channel();
            shard.waiters.insert(waiter, sender);
            Turn::Wait(Waiting {
                shared: Arc::clone(shared),
                place,
                waiter: Some(waiter),
                told: Some(told),
                following: None,
            })
        }
        Join::Follow(fetch) => match shard.coming.get(&fetch) {
            Some(coming) => Turn::Wait(Waiting {
                shared: Arc::clone(shared),
                place,
                waiter: None,
                told: None,
                following: Some(coming.following(true)),
            }),
            None => Turn::Alone,
        },
        Join::Alone(_) => Turn::Alone,
    };
    drop(shard);
    tell(told);
    turn
}

/// What is stored and stale is to be renewed, with nobody who waits for it: `None` if that is going on already.
pub(crate) fn lead_unasked(thread: &Thread, key: &CacheKey, flight: &FlightKey) -> Option<Lead> {
    let (shared, now) = (&thread.shared, thread.clock.now());
    let place = shared.flights.place(key);
    let mut shard = shared.flights.lock(place)?;
    let expired = shard.coalescer.on_timeout(now);
    let told = shard.told(expired, Cause::Timeout);
    let fetch = shard.coalescer.on_background(now, flight);
    drop(shard);
    tell(told);
    fetch.map(|fetch| Lead::new(thread, place, fetch))
}

type Telling = Vec<(oneshot::Sender<Told>, Told)>;

/// Outside of the lock: it wakes other threads.
fn tell(all: Telling) {
    for (waiter, told) in all {
        // Who has gone meanwhile needs not know.
        let _gone = waiter.send(told);
    }
}

impl Shard {
    /// Those who are released, and to what.
    fn told(&mut self, release: Release, cause: Cause) -> Telling {
        let mut told = Telling::new();
        let mut add = |waiters: &mut HashMap<_, oneshot::Sender<Told>>,
                       ids: Vec<_>,
                       what: &dyn Fn() -> Told| {
            for id in ids {
                // A leader is in none of these: it has what came.
                if let Some(waiter) = waiters.remove(&id) {
                    told.push((waiter, what()));
                }
            }
        };
        let fetch = release.serve.first().map(|id| id.fetch());
        let coming = fetch.and_then(|fetch| self.coming.get(&fetch));
        let served = || coming.map_or(Told::Alone, |coming| Told::Follow(coming.following(false)));
        add(&mut self.waiters, release.serve, &served);
        add(&mut self.waiters, release.stale, &|| Told::Failed(cause));
        add(&mut self.waiters, release.fail, &|| Told::Failed(cause));
        add(&mut self.waiters, release.alone, &|| Told::Alone);
        told
    }
}

impl Coming {
    fn following(&self, late: bool) -> Following {
        Following {
            head: Arc::clone(&self.head),
            whole: self.whole.subscribe(),
            late,
        }
    }
}

/// A fetch, for as long as it has not been answered whole. Dropped before, it lets go who waits.
#[derive(Debug)]
pub(crate) struct Lead {
    shared: Arc<Shared>,
    place: usize,
    fetch: FetchId,
    clock: Clock,
    /// Its head has come, and may be for others.
    coming: bool,
    over: bool,
}

impl Lead {
    fn new(thread: &Thread, place: usize, fetch: FetchId) -> Self {
        Self {
            shared: Arc::clone(&thread.shared),
            place,
            fetch,
            clock: thread.clock,
            coming: false,
            over: false,
        }
    }

    /// Its head has come, and may be stored: others may have it. `request`: the one that was sent.
    pub(crate) fn begin(&mut self, stored: &Stored, request: &impl HeadFields) {
        let Some(mut shard) = self.shared.flights.lock(self.place) else {
            return;
        };
        let head = Head {
            variant: stored.vary().key(request),
            stored: stored.clone(),
        };
        let coming = Coming {
            head: Arc::new(head),
            whole: watch::Sender::new(None),
        };
        self.coming = true;
        // In this order, since who is released is told of it.
        shard.coming.insert(self.fetch, coming);
        let release = self.answered(&mut shard, Outcome::Shareable);
        let told = shard.told(release, Cause::Answered);
        drop(shard);
        tell(told);
    }

    /// Whether others wait for its head.
    pub(crate) fn has_waiters(&self) -> bool {
        let shard = self.shared.flights.lock(self.place);
        shard.is_some_and(|shard| shard.coalescer.has_waiters(self.fetch))
    }

    /// All of it has come: `store` puts it into the store, unless it has become invalid.
    pub(crate) fn finish(mut self, answer: &Arc<Answer>, store: impl FnOnce()) {
        self.over = true;
        let Some(mut shard) = self.shared.flights.lock(self.place) else {
            return;
        };
        // Both under the lock: who finds neither it in the store nor the fetch would fetch once more.
        if shard.coalescer.on_end(self.fetch, true) {
            store();
        }
        let coming = shard.coming.remove(&self.fetch);
        drop(shard);
        if let Some(coming) = coming {
            coming.whole.send_replace(Some(Arc::clone(answer)));
        }
    }

    /// Its answer is for the one who asked only. `lasts`: so will be the next one.
    pub(crate) fn release(mut self, lasts: bool) {
        self.end(Outcome::Unshareable { lasts }, Cause::Answered);
    }

    /// What is coming is not stored after all: it is too long, as the next one will be.
    pub(crate) fn give_up(mut self) {
        self.over = true;
        if let Some(mut shard) = self.shared.flights.lock(self.place) {
            let now = self.clock.now();
            shard.coalescer.on_unstorable(now, self.fetch);
            // Whoever follows finds out by its end.
            shard.coming.remove(&self.fetch);
        }
    }

    /// It failed.
    pub(crate) fn fail(mut self, cause: Cause) {
        self.end(Outcome::Failed { stale: false }, cause);
    }

    /// Who waits is told, and looks by itself for something stale that stands in.
    fn end(&mut self, outcome: Outcome, cause: Cause) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let Some(mut shard) = self.shared.flights.lock(self.place) else {
            return;
        };
        let told = if self.coming {
            let _not_whole = shard.coalescer.on_end(self.fetch, false);
            // Whoever follows finds out by its end.
            shard.coming.remove(&self.fetch);
            Telling::new()
        } else {
            let release = self.answered(&mut shard, outcome);
            shard.told(release, cause)
        };
        drop(shard);
        tell(told);
    }

    fn answered(&self, shard: &mut Shard, outcome: Outcome) -> Release {
        let now = self.clock.now();
        shard.coalescer.on_answer(now, self.fetch, outcome)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Its service has not failed: its client has gone, Plimsoll ends, or there was a panic.
        self.end(Outcome::Unshareable { lasts: false }, Cause::Answered);
    }
}

/// A request that waits for another one's fetch. Dropping it leaves; the fetch goes on.
#[derive(Debug)]
pub(crate) struct Waiting {
    shared: Arc<Shared>,
    place: usize,
    /// `None` once it was told.
    waiter: Option<WaiterId>,
    told: Option<oneshot::Receiver<Told>>,
    following: Option<Following>,
}

impl Waiting {
    /// Waits for the head. `Err`: there is nothing to wait for.
    pub(crate) async fn head(&mut self) -> Result<Following, Fetched> {
        if let Some(following) = self.following.take() {
            return Ok(following);
        }
        let told = match &mut self.told {
            Some(told) => told.await,
            None => return Err(Fetched::NotForThis),
        };
        self.waiter = None;
        match told {
            Ok(Told::Follow(following)) => Ok(following),
            Ok(Told::Failed(cause)) => Err(Fetched::Failed(cause)),
            Ok(Told::Alone) | Err(_) => Err(Fetched::NotForThis),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter
            && let Some(mut shard) = self.shared.flights.lock(self.place)
        {
            shard.waiters.remove(&waiter);
            shard.coalescer.on_leave(waiter);
        }
    }
}

impl Following {
    /// Whether the answer is for this request. One that came when the head was there already is as any other that finds
    /// something stored: it must be fresh then.
    pub(crate) fn is_for(
        &self,
        request: &CacheRequest,
        fields: &impl HeadFields,
        parameters: &CacheParameters,
        joined: Instant,
    ) -> bool {
        let stored = &self.head.stored;
        let fits = !self.late || (stored.is_fresh(joined) && !stored.directives().no_cache);
        let variant = stored.vary().key(fields);
        fits && stored.is_for(request, parameters)
            && variant.is_some()
            && variant == self.head.variant
    }

    /// Waits until all of it is stored.
    pub(crate) async fn whole(mut self) -> Fetched {
        match self.whole.wait_for(Option::is_some).await {
            Ok(answer) => match &*answer {
                Some(answer) => Fetched::Answer(Arc::clone(answer)),
                None => Fetched::BrokenOff,
            },
            Err(_) => Fetched::BrokenOff,
        }
    }
}
