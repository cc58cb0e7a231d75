//! Coalescing: one request to the origin for all that want the same at the same time.
//!
//! A fetch is a task of its own. Who asked first is its leader, who asks while it runs waits. Whoever leaves, it goes on: its
//! answer is stored, or is there for the next. An answer that is not for all goes to the leader alone; the others
//! are let go at once and each asks by himself, and for a while nobody waits for that key again: else each would wait
//! for the one before. (Unless its status says that this passes.) A fetch that fails is not tried again by all who waited.
//! Of these fetches it is known whether something made them invalid meanwhile.
//!
//! Units: keys are told apart by [`CacheRequest::has_credentials`](super::CacheRequest::has_credentials) and by what a known
//! `Vary` adds, else those wait together who can't share.
//! Invariants: of a key, one fetch at a time has waiters to come, and another begins only after it has answered, is late or
//! was made invalid; who waits is released once, at the latest after `wait_max` and `end_max`; what began before a key was
//! made invalid is not stored after that; every map has a bound.
//! Elsewhere: sending and streaming (gateway); whether an answer may be shared ([`Stored::judge`](super::Stored::judge)).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll_core::{Instant, never};

/// Bounds of coalescing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalesceParameters {
    /// Fetches at a time, all keys together. Who finds none free goes alone.
    pub fetches_max: usize,
    /// Who wait at a time, all keys together, leaders not counted. The same.
    pub waiters_max: usize,
    /// How long one waits for a fetch's answer before he goes alone.
    pub wait_max: Duration,
    /// How long a fetch that is late, or whose answer has begun, is still known.
    pub end_max: Duration,
    /// How long nobody waits for a key whose answer was not for all.
    pub unshared_for: Duration,
    /// How many such keys are remembered; the one that is to be forgotten first makes room.
    pub unshared_max: usize,
    /// How many of those who waited for a fetch that failed go alone; the others get its failure.
    pub alone_max: usize,
}

impl Default for CoalesceParameters {
    fn default() -> Self {
        Self {
            // A fetch takes a permit of its service, of which there are hundreds.
            fetches_max: 1_024,
            // A waiting connection costs some KiB.
            waiters_max: 16 * 1_024,
            // Who waits this long has noticed; an origin as slow as that gains nothing from being spared one request.
            wait_max: Duration::from_secs(5),
            end_max: Duration::from_secs(60),
            // Long beside a burst, short beside the time in which an origin is changed.
            unshared_for: Duration::from_secs(60),
            unshared_max: 4_096,
            // Enough to get past a failure of one endpoint, few beside what an ailing service carries.
            alone_max: 4,
        }
    }
}

/// A fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(u64);

/// Who waits for a fetch's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId {
    fetch: FetchId,
    number: u64,
}

impl WaiterId {
    /// What is waited for.
    pub const fn fetch(self) -> FetchId {
        self.fetch
    }
}

/// What a request that may be shared is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Join {
    /// Begin the fetch, and wait for it as this one.
    Lead(WaiterId),
    /// Wait for it as this one.
    Wait(WaiterId),
    /// Its answer has begun to come: take it from where it is stored.
    Follow(FetchId),
    /// Ask the origin by itself. If its answer is stored, then by what else tells that nothing has made it invalid.
    Alone(AloneReason),
}

/// Why a request doesn't wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AloneReason {
    /// An answer of this key was not for all, not long ago.
    Unshared,
    /// There are as many fetches or waiters as there may be.
    Full,
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its head has come, and it may be stored: all who wait can be answered.
    Shareable,
    /// Its head has come, and it may not be stored.
    Unshareable {
        /// The next one will hardly be another: see [`is_passing`](super::is_passing).
        lasts: bool,
    },
    /// It failed, by its status too ([`is_failure`](super::is_failure)), or was given up before its head came. Who
    /// then asked by himself, one by one, would keep an origin down that is ailing.
    Failed {
        /// Whether a stale answer may be served to all.
        stale: bool,
    },
}

/// Who is released, and to what. In the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Release {
    /// Get the answer. Of those who are not the leader, each whom it does not fit after all goes alone:
    /// [`Stored::is_for`](super::Stored::is_for) and its `Vary` say so. The same holds for who follows.
    pub serve: Vec<WaiterId>,
    /// Get the stale one.
    pub stale: Vec<WaiterId>,
    /// Get the failure: the leader what came, the others an answer of the gateway's own, as what came may be for one.
    pub fail: Vec<WaiterId>,
    /// Ask the origin, each by himself.
    pub alone: Vec<WaiterId>,
    /// The answer is for nobody: end it.
    pub cancel: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Others may wait for its head.
    Open,
    /// Its head is late: nobody new waits for it.
    Late,
    /// Its head has come and is for all.
    Shared,
}

#[derive(Clone, Debug)]
struct Fetch<K> {
    key: K,
    state: State,
    /// When the state ends by itself.
    until: Instant,
    /// `None`: it has left, or there was none.
    leader: Option<u64>,
    waiters: BTreeSet<u64>,
    /// Nothing newer of its key is known.
    is_newest: bool,
}

impl<K> Fetch<K> {
    fn is_joinable(&self, now: Instant) -> bool {
        self.state != State::Late && now < self.until
    }
}

/// The fetches in progress.
#[derive(Clone, Debug)]
pub struct Coalescer<K> {
    parameters: CoalesceParameters,
    fetches: BTreeMap<FetchId, Fetch<K>>,
    /// The newest of each key.
    by_key: BTreeMap<K, FetchId>,
    timeouts: BTreeSet<(Instant, FetchId)>,
    /// Keys that nobody waits for, and until when.
    unshared: BTreeMap<K, Instant>,
    unshared_order: BTreeSet<(Instant, K)>,
    /// Over all fetches, leaders not counted.
    waiting: usize,
    next: u64,
}

impl<K: Ord + Clone> Coalescer<K> {
    /// Nothing in progress.
    pub const fn new(parameters: CoalesceParameters) -> Self {
        Self {
            parameters,
            fetches: BTreeMap::new(),
            by_key: BTreeMap::new(),
            timeouts: BTreeSet::new(),
            unshared: BTreeMap::new(),
            unshared_order: BTreeSet::new(),
            waiting: 0,
            next: 0,
        }
    }

    /// Fetches in progress.
    pub fn fetches(&self) -> usize {
        self.fetches.len()
    }

    /// Who wait, leaders not counted.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether anybody but its leader waits for a fetch's head.
    pub fn has_waiters(&self, id: FetchId) -> bool {
        let fetch = self.fetches.get(&id);
        fetch.is_some_and(|fetch| !fetch.waiters.is_empty())
    }

    /// A request wants a key that is to be fetched.
    pub fn on_request(&mut self, now: Instant, key: &K) -> Join {
        if self.is_unshared(now, key) {
            return Join::Alone(AloneReason::Unshared);
        }
        let number = self.number();
        if let Some((id, fetch)) = self.joinable(now, key) {
            if fetch.state == State::Shared {
                return Join::Follow(id);
            }
            if self.waiting >= self.parameters.waiters_max {
                return Join::Alone(AloneReason::Full);
            }
            if let Some(fetch) = self.fetches.get_mut(&id) {
                fetch.waiters.insert(number);
                self.waiting += 1;
            }
            return Join::Wait(WaiterId { fetch: id, number });
        }
        match self.begin(now, key, Some(number)) {
            Some(fetch) => Join::Lead(WaiterId { fetch, number }),
            None => Join::Alone(AloneReason::Full),
        }
    }

    /// A stale answer of a key was served: `Some` if a new one is to be fetched, which nobody waits for. So it may be one
    /// that is not for all; how often that is tried is the caller's to bound.
    #[must_use]
    pub fn on_background(&mut self, now: Instant, key: &K) -> Option<FetchId> {
        if self.joinable(now, key).is_some() {
            return None;
        }
        self.begin(now, key, None)
    }

    /// Who waited has gone. The fetch goes on.
    pub fn on_leave(&mut self, waiter: WaiterId) {
        if let Some(fetch) = self.fetches.get_mut(&waiter.fetch) {
            if fetch.leader == Some(waiter.number) {
                fetch.leader = None;
            }
            if fetch.waiters.remove(&waiter.number) {
                self.waiting -= 1;
            }
        }
    }

    /// A fetch was answered. One that is not known any more has nobody waiting for it.
    pub fn on_answer(&mut self, now: Instant, id: FetchId, answer: Answer) -> Release {
        let mut release = Release::default();
        match self.fetches.get(&id) {
            None => {
                release.cancel = matches!(answer, Answer::Unshareable { .. });
                return release;
            }
            Some(fetch) if never!(fetch.state == State::Shared) => return release,
            Some(_) => {}
        }
        let (leader, waiters) = self.take_waiters(id);
        match answer {
            Answer::Shareable => {
                release.serve = leader.into_iter().chain(waiters).collect();
                self.enter(now, id, State::Shared);
            }
            Answer::Unshareable { lasts } => {
                release.cancel = leader.is_none();
                release.serve = leader.into_iter().collect();
                release.alone = waiters;
                if let Some(fetch) = self.remove(id)
                    && lasts
                {
                    self.remember_unshared(now, fetch.key);
                }
            }
            Answer::Failed { stale } => {
                self.remove(id);
                if stale {
                    release.stale = leader.into_iter().chain(waiters).collect();
                } else {
                    let alone = waiters.len().min(self.parameters.alone_max);
                    release.fail = leader.into_iter().collect();
                    release
                        .fail
                        .extend(waiters.get(alone..).unwrap_or_default());
                    release.alone = waiters;
                    release.alone.truncate(alone);
                }
            }
        }
        release
    }

    /// The answer of a fetch that was [`Answer::Shareable`] is over; `whole`: it was not cut short. `true` if it is to be
    /// stored.
    #[must_use]
    pub fn on_end(&mut self, id: FetchId, whole: bool) -> bool {
        let state = self.fetches.get(&id).map(|fetch| fetch.state);
        // Then it is as if it had failed; whoever waits is released in time.
        if never!(matches!(state, Some(State::Open | State::Late))) {
            return false;
        }
        self.remove(id)
            .is_some_and(|fetch| whole && fetch.is_newest)
    }

    /// The answer of a fetch that was [`Answer::Shareable`] turned out not to be one that is stored, as by its length. The
    /// next one will hardly be another.
    pub fn on_unstorable(&mut self, now: Instant, id: FetchId) {
        let state = self.fetches.get(&id).map(|fetch| fetch.state);
        if never!(matches!(state, Some(State::Open | State::Late))) {
            return;
        }
        if let Some(fetch) = self.remove(id) {
            self.remember_unshared(now, fetch.key);
        }
    }

    /// What is stored of a key was made invalid. Who waits has asked before, and gets what comes; it is not stored, and
    /// nobody waits for it from now on.
    pub fn on_invalidated(&mut self, key: &K) {
        if let Some(fetch) = self
            .by_key
            .remove(key)
            .and_then(|id| self.fetches.get_mut(&id))
        {
            fetch.is_newest = false;
        }
    }

    /// The same of all keys for which `is_purged` holds. It looks at all that is in progress.
    pub fn on_purged(&mut self, mut is_purged: impl FnMut(&K) -> bool) {
        let fetches = &mut self.fetches;
        self.by_key.retain(|key, id| {
            let purged = is_purged(key);
            if let (true, Some(fetch)) = (purged, fetches.get_mut(id)) {
                fetch.is_newest = false;
            }
            !purged
        });
    }

    /// When [`Coalescer::on_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timeouts.first().map(|(at, _)| *at)
    }

    /// Lets go who have waited long enough: they are `alone`. A late fetch goes on, and its leader waits on for it.
    pub fn on_timeout(&mut self, now: Instant) -> Release {
        let mut release = Release::default();
        while let Some(&(at, id)) = self.timeouts.first()
            && at <= now
        {
            match self.fetches.get(&id).map(|fetch| fetch.state) {
                Some(State::Open) => {
                    let (leader, waiters) = self.take_waiters(id);
                    release.alone.extend(waiters);
                    if let Some(fetch) = self.fetches.get_mut(&id) {
                        fetch.leader = leader.map(|leader| leader.number);
                    }
                    self.enter(now, id, State::Late);
                }
                Some(State::Late | State::Shared) => {
                    release.alone.extend(self.take_waiters(id).0);
                    self.remove(id);
                }
                None => {
                    self.timeouts.remove(&(at, id));
                }
            }
        }
        release
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn joinable(&self, now: Instant, key: &K) -> Option<(FetchId, &Fetch<K>)> {
        let id = *self.by_key.get(key)?;
        let fetch = self.fetches.get(&id)?;
        fetch.is_joinable(now).then_some((id, fetch))
    }

    fn begin(&mut self, now: Instant, key: &K, leader: Option<u64>) -> Option<FetchId> {
        if self.fetches.len() >= self.parameters.fetches_max {
            return None;
        }
        // One that is late or too long is older than what comes now.
        self.on_invalidated(key);
        let id = FetchId(self.number());
        let until = now + self.parameters.wait_max;
        let fetch = Fetch {
            key: key.clone(),
            state: State::Open,
            until,
            leader,
            waiters: BTreeSet::new(),
            is_newest: true,
        };
        self.fetches.insert(id, fetch);
        self.by_key.insert(key.clone(), id);
        self.timeouts.insert((until, id));
        Some(id)
    }

    fn enter(&mut self, now: Instant, id: FetchId, state: State) {
        if let Some(fetch) = self.fetches.get_mut(&id) {
            self.timeouts.remove(&(fetch.until, id));
            fetch.state = state;
            fetch.until = now + self.parameters.end_max;
            self.timeouts.insert((fetch.until, id));
        }
    }

    fn take_waiters(&mut self, id: FetchId) -> (Option<WaiterId>, Vec<WaiterId>) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return (None, Vec::new());
        };
        let waiter = |number| WaiterId { fetch: id, number };
        let waiters = std::mem::take(&mut fetch.waiters);
        self.waiting -= waiters.len();
        let leader = fetch.leader.take().map(waiter);
        (leader, waiters.into_iter().map(waiter).collect())
    }

    fn remove(&mut self, id: FetchId) -> Option<Fetch<K>> {
        let fetch = self.fetches.remove(&id)?;
        self.timeouts.remove(&(fetch.until, id));
        if fetch.is_newest {
            self.by_key.remove(&fetch.key);
        }
        Some(fetch)
    }

    fn is_unshared(&mut self, now: Instant, key: &K) -> bool {
        let Some(&until) = self.unshared.get(key) else {
            return false;
        };
        if now < until {
            return true;
        }
        self.forget_unshared(until, key);
        false
    }

    fn remember_unshared(&mut self, now: Instant, key: K) {
        if let Some(&until) = self.unshared.get(&key) {
            self.forget_unshared(until, &key);
        }
        if self.unshared.len() >= self.parameters.unshared_max
            && let Some((_, first)) = self.unshared_order.pop_first()
        {
            self.unshared.remove(&first);
        }
        if self.unshared.len() < self.parameters.unshared_max {
            let until = now + self.parameters.unshared_for;
            self.unshared_order.insert((until, key.clone()));
            self.unshared.insert(key, until);
        }
    }

    fn forget_unshared(&mut self, until: Instant, key: &K) {
        self.unshared.remove(key);
        self.unshared_order.remove(&(until, key.clone()));
    }
}

#[cfg(test)]
mod tests;
