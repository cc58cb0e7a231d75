//! A request that wants what another one is fetching: it waits for that, and takes no permit of the service meanwhile.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use plimsoll_core::{Instant, never};
use plimsoll_measure::Cause;
use plimsoll_policy::cache::status::CacheStatus;

use super::Exchange;
use super::cached::{Given, written};
use crate::cache::{self, CacheResult, Fetched, View, Waiting};
use crate::peer::Peer;
use crate::refusal::Answer;
use crate::timer::Timer;

/// What a request that waited does.
pub(super) enum Collapsed {
    /// It is given this.
    Give(Box<Given>),
    /// It is answered with this.
    Answer(Answer),
    /// It asks by itself.
    Alone,
    /// Its client went.
    Gone,
}

impl Exchange<'_> {
    /// Waits for what another request fetches. If that is broken off in the midst, one of those who waited fetches it for
    /// the others, once: all of them at once would be a burst on a service that ails.
    pub(super) async fn wait_for_fetch(
        &mut self,
        down: &mut Peer,
        waiting: Waiting,
        timer: &mut Timer,
    ) -> Collapsed {
        let mut fetched = self.wait_once(down, waiting, timer).await;
        if matches!(fetched, Some(Fetched::BrokenOff)) && self.thread.clock.now() < self.deadline {
            let (thread, fields) = (self.thread, &self.head.fields);
            let Some(caching) = self.caching.as_deref_mut() else {
                return Collapsed::Alone;
            };
            if caching.joins(thread, fields) {
                fetched = match (caching.waiting.take(), &caching.found) {
                    (Some(waiting), _) => self.wait_once(down, waiting, timer).await,
                    (None, Some(answer)) => Some(Fetched::Answer(Arc::clone(answer))),
                    (None, None) => fetched,
                };
            }
        }
        self.collapse(fetched)
    }

    /// Waits for a head, and then for the rest, each as long as coalescing lets it, and no longer than its own deadline.
    /// `None`: the client went.
    async fn wait_once(
        &self,
        down: &mut Peer,
        mut waiting: Waiting,
        timer: &mut Timer,
    ) -> Option<Fetched> {
        let (wait_max, clock) = (self.thread.shared.flights.wait_max, self.thread.clock);
        let joined = clock.now();
        let until = Cell::new(joined + wait_max);
        let Some(caching) = self.caching.as_deref() else {
            never!(self.caching.is_none());
            return Some(Fetched::NotForThis);
        };
        // Whoever is not told any more leaves, when `waiting` ends.
        let mut fetching = pin!(async {
            let following = match waiting.head().await {
                Ok(following) => following,
                Err(fetched) => return fetched,
            };
            until.set(clock.now() + wait_max);
            let (request, parameters) = (&caching.request, &caching.parameters);
            match following.is_for(request, &View(&self.head.fields), parameters, joined) {
                true => following.whole().await,
                false => Fetched::NotForThis,
            }
        });
        poll_fn(|cx| {
            if let Poll::Ready(fetched) = fetching.as_mut().poll(cx) {
                return Poll::Ready(Some(fetched));
            }
            if down.poll_gone(cx).is_ready() {
                return Poll::Ready(None);
            }
            let end = until.get().min(self.deadline);
            timer.poll_at(cx, end).map(|()| Some(Fetched::NotForThis))
        })
        .await
    }

    fn collapse(&mut self, fetched: Option<Fetched>) -> Collapsed {
        let now = self.thread.clock.now();
        match fetched {
            None => Collapsed::Gone,
            Some(Fetched::Answer(answer)) => Collapsed::Give(Box::new(self.collapsed(answer, now))),
            Some(Fetched::Failed(cause)) => Collapsed::Answer(Answer::of_fetch(cause)),
            Some(Fetched::NotForThis | Fetched::BrokenOff) if now >= self.deadline => {
                Collapsed::Answer(Answer::of_fetch(Cause::Timeout))
            }
            Some(Fetched::NotForThis | Fetched::BrokenOff) => {
                let store = &self.thread.shared.cache;
                if let Some(caching) = self.caching.as_deref_mut() {
                    caching.epoch = store.epoch(&caching.key);
                }
                Collapsed::Alone
            }
        }
    }

    fn collapsed(&self, answer: Arc<cache::Answer>, now: Instant) -> Given {
        let fetch = self.caching.as_deref().and_then(cache::Caching::fetch);
        let status = match fetch {
            Some(fetch) => CacheStatus::Forwarded {
                why: fetch.why,
                status: None,
                ttl: Some(answer.stored.seconds_left(now)),
                stored: false,
                collapsed: true,
                detail: None,
            },
            None => CacheStatus::Hit {
                ttl: answer.stored.seconds_left(now),
                detail: None,
            },
        };
        Given {
            cache_status: written(&status),
            answer,
            stale: None,
            cause: Cause::Cached,
            result: if fetch.is_some() {
                CacheResult::Collapsed
            } else {
                CacheResult::Hit
            },
        }
    }
}
