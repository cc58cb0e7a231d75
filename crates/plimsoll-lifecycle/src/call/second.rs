//! The second attempt of a call, beside the first (a hedge).
//!
//! In this order: the delay is over without a head; another endpoint is chosen; policy, permit and budget are asked,
//! the budget last, since what was taken of it is spent; the attempt counts at its endpoint. From then on each of the
//! two has a permit of its own, and one of them ends first ([`Call::end_one`]): it fails, or the other's head
//! came and it is cancelled. Its endpoint is told, then its permit goes back. What is left goes on as if it had been
//! alone, whichever it is, so retries, the head and the settlement need to know nothing of it.
//!
//! Source and policy: `plimsoll-policy`, `hedge`. Invariants: a call is hedged at most once, and only beside its first
//! attempt; the two are at different endpoints.

use plimsoll_core::{EndpointId, Instant, ServiceId, never};
use plimsoll_measure::Cause;
use plimsoll_policy::{Completion, HedgeQuestion};

use super::{Again, AttemptEnd, Call, Effects, Permit};

/// One of two attempts in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that began first.
    First,
    /// The hedge.
    Second,
}

/// A second attempt in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Second {
    endpoint: EndpointId,
    /// When it began, and got its permit.
    started: Instant,
}

impl<E: Effects> Call<E> {
    /// The call may be hedged: how long its first attempt takes is observed.
    pub fn watch_first(&mut self) {
        self.watched = true;
    }

    /// The first attempt has no head after the delay: makes a second one beside it, if that may be. `choose` is given
    /// the endpoint of the first, and picks another.
    pub fn hedge(
        &mut self,
        now: Instant,
        again: Again,
        choose: impl FnOnce(&[EndpointId]) -> Option<EndpointId>,
    ) -> Option<EndpointId> {
        let (service, first) = (self.settlement.service?, self.settlement.endpoint?);
        let alone = self.in_flight && self.second.is_none() && self.settlement.attempts == 1;
        let waits = matches!(self.permit, Permit::Held(_)) && self.settlement.head_at.is_none();
        if !alone || !waits || self.awaits_client() {
            return None;
        }
        let endpoint = choose(&[first]).filter(|endpoint| *endpoint != first)?;
        let question = HedgeQuestion {
            idempotent: again.idempotent,
            replayable: again.replayable,
            forbidden: again.forbidden,
            attempts_in_flight: 1,
            time_left: again.deadline - now,
        };
        let unused = self.finished(now, now, Completion::Cancelled);
        if !self.effects.hedge(service, &question, &unused) {
            return None;
        }
        self.second = Some(Second {
            endpoint,
            started: now,
        });
        self.settlement.attempts += 1;
        self.effects.start_attempt(service, endpoint);
        Some(endpoint)
    }

    /// One of the two attempts in flight is over, and the other goes on: it failed, or ([`AttemptEnd::Cancelled`])
    /// the other was quicker.
    pub fn end_one(&mut self, now: Instant, which: Which, end: AttemptEnd) {
        let (Some(second), Some(service)) = (self.second.take(), self.settlement.service) else {
            never!(self.second.is_none());
            return;
        };
        let completion = completion(end);
        match which {
            Which::First => {
                self.remember_tried();
                self.end_attempt(end);
                self.return_permit(now, completion);
                self.permit = Permit::Held(second.started);
                self.in_flight = true;
                self.hedged = true;
                self.attempt_started = second.started;
                self.settlement.endpoint = Some(second.endpoint);
            }
            Which::Second => {
                self.effects.end_attempt(service, second.endpoint, end);
                let finished = self.finished(second.started, now, completion);
                self.effects.return_permit(service, &finished);
            }
        }
    }

    /// Observes the first attempt as it ends. One that is cancelled counts with the time until then; a failure that
    /// came fast says nothing of how long an answer takes.
    pub(super) fn observe_first(&mut self, service: ServiceId, end: AttemptEnd) {
        if !self.watched || end == AttemptEnd::Stale {
            return;
        }
        self.watched = false;
        let observed = match end {
            AttemptEnd::Answered { status, .. } => status < 500,
            AttemptEnd::Failed { cause, .. } => cause == Cause::Timeout,
            AttemptEnd::Cancelled => true,
            AttemptEnd::ConnectFailed | AttemptEnd::Stale => false,
        };
        if observed {
            let until = self.settlement.head_at;
            let until = until.unwrap_or_else(|| self.effects.now());
            self.effects
                .observe_first(service, until - self.attempt_started);
        }
    }
}

/// What the end of one of two attempts says about the service's capacity.
fn completion(end: AttemptEnd) -> Completion {
    match end {
        AttemptEnd::Failed {
            cause: Cause::Timeout,
            ..
        } => Completion::TimedOut,
        AttemptEnd::Answered { status, .. } if status < 500 => Completion::Success,
        AttemptEnd::Answered { .. } | AttemptEnd::Failed { .. } | AttemptEnd::ConnectFailed => {
            Completion::Failed
        }
        AttemptEnd::Stale | AttemptEnd::Cancelled => Completion::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_core::RouteId;

    use super::super::tests::{SAFE, Shared, admitted};
    use super::super::{Attempt, Verdict};
    use super::*;

    const FIRST: EndpointId = EndpointId(1);
    const OTHER: EndpointId = EndpointId(2);
    const ANSWERED: AttemptEnd = AttemptEnd::Answered {
        head_after: Duration::ZERO,
        status: 200,
        busy: false,
    };

    #[test]
    fn the_quicker_answer_wins_and_the_other_attempt_is_cancelled() {
        for (loser, winner, won) in [(Which::First, OTHER, 1), (Which::Second, FIRST, 0)] {
            let world = Shared::default();
            let mut call = hedged(&world);
            assert_eq!(world.borrow().permits, 2);
            assert_eq!(world.borrow().at, [FIRST, OTHER]);
            call.end_one(at(60), loser, AttemptEnd::Cancelled);
            assert_eq!(world.borrow().at, [winner]);
            assert_eq!(world.borrow().completions, [Completion::Cancelled]);
            call.on_head(at(60));
            call.end_attempt(ANSWERED);
            call.settle(at(61), Cause::Answered);
            let world = world.borrow();
            assert_eq!((world.permits, world.in_flight, world.won), (0, 0, won));
            assert_eq!(
                world.completions,
                [Completion::Cancelled, Completion::Success]
            );
            let settled = world.settlements[0];
            assert_eq!(settled.endpoint, Some(winner));
            assert_eq!((settled.attempts, settled.route), (2, Some(RouteId(0))));
        }
    }

    #[test]
    fn a_failure_of_one_leaves_the_other_and_a_failure_of_both_is_retried_elsewhere() {
        let world = Shared::default();
        let mut call = hedged_of(&world, 3);
        call.end_one(at(55), Which::First, AttemptEnd::ConnectFailed);
        assert_eq!(world.borrow().completions, [Completion::Failed]);
        let verdict = call.on_connect_failed(at(60), SAFE);
        assert!(matches!(verdict, Verdict::Retry { .. }));
        let third = call.next_attempt(at(60), |tried| {
            assert_eq!(tried, [FIRST, OTHER]);
            Some(EndpointId(3))
        });
        assert_eq!(third, Attempt::Try(EndpointId(3)));
        call.on_head(at(61));
        call.settle(at(62), Cause::Answered);
        assert_eq!(world.borrow().won, 0, "its answer is not a hedge's");
        assert_eq!(world.borrow().settlements[0].attempts, 3);
    }

    #[test]
    fn a_call_is_hedged_once_beside_its_first_attempt_and_at_another_endpoint() {
        let world = Shared::default();
        let mut call = admitted(&world, 3);
        assert_eq!(call.hedge(at(0), SAFE, |_| Some(OTHER)), None, "none yet");
        let _ = call.next_attempt(at(0), |_| Some(FIRST));
        assert_eq!(call.hedge(at(50), SAFE, |_| None), None, "no other");
        assert_eq!(call.hedge(at(50), SAFE, |_| Some(FIRST)), None, "the same");
        assert_eq!(world.borrow().permits, 1, "none of them took a permit");
        assert_eq!(call.hedge(at(50), SAFE, |_| Some(OTHER)), Some(OTHER));
        let third = Some(EndpointId(3));
        assert_eq!(call.hedge(at(50), SAFE, |_| third), None, "two are enough");
        call.end_one(at(55), Which::Second, AttemptEnd::Stale);
        assert_eq!(call.hedge(at(60), SAFE, |_| third), None, "one was made");
    }

    #[test]
    fn first_attempts_are_observed_once_and_fast_failures_are_not() {
        let observed = |end: fn(&mut Call<Shared>)| {
            let world = Shared::default();
            let mut call = hedged(&world);
            end(&mut call);
            drop(call);
            world.borrow().observed.clone()
        };
        let won = observed(|call| {
            call.end_one(at(60), Which::Second, AttemptEnd::Cancelled);
            call.on_head(at(60));
            call.end_attempt(ANSWERED);
        });
        assert_eq!(won, [Duration::from_nanos(60)]);
        // The world's own clock says 99 where nobody else does.
        let lost = observed(|call| call.end_one(at(60), Which::First, AttemptEnd::Cancelled));
        assert_eq!(lost, [Duration::from_nanos(99)]);
        let failed = observed(|call| call.end_one(at(60), Which::First, AttemptEnd::ConnectFailed));
        assert_eq!(failed, []);
        assert_eq!(observed(|_| ()), [Duration::from_nanos(99)]);
    }

    #[test]
    fn a_call_that_is_dropped_gives_both_attempts_back() {
        let world = Shared::default();
        drop(hedged(&world));
        let world = world.borrow();
        assert_eq!((world.permits, world.in_flight), (0, 0));
        assert_eq!(world.ends, [AttemptEnd::Cancelled; 2]);
        assert_eq!(world.settlements.len(), 1);
    }

    fn hedged(world: &Shared) -> Call<Shared> {
        hedged_of(world, 1)
    }

    fn hedged_of(world: &Shared, attempts_max: u32) -> Call<Shared> {
        let mut call = admitted(world, attempts_max);
        call.watch_first();
        assert_eq!(
            call.next_attempt(at(0), |_| Some(FIRST)),
            Attempt::Try(FIRST)
        );
        assert_eq!(call.hedge(at(50), SAFE, |_| Some(OTHER)), Some(OTHER));
        call
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }
}
