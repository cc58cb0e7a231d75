//! The data plane's half of endpoint health: what all threads share about an endpoint, without a lock.
//!
//! Invariants: an outcome whose attempt began before the last transition is not counted (an outcome that is
//! being counted at the very moment of a transition may be); a probe is claimed at most as often as it was
//! granted; nothing in flight never becomes less than nothing. Elsewhere: what is decided on it (`control`).

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core::never;

use super::record::{BUCKETS, Counts, bucket};
use super::{UP, Verdict};

/// How an attempt ended, as far as it says something about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// Answered, by what the service means by an answer (1xx to 4xx, say).
    Answered,
    /// Answered by an error of its own (5xx), or the connection broke.
    Failed,
    /// Not answered in time.
    Timeout,
    /// Answered that it has too much to do (503 with `Retry-After`): the limiter's business.
    Busy,
}

/// An attempt that ended. Connections that could not be made and attempts that were given up because the
/// client went are none: see [`EndpointShared::on_connect_failure`] and [`EndpointShared::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub kind: EndKind,
    /// Until the head of the answer; only looked at for [`EndKind::Answered`].
    pub latency: Duration,
    /// What [`EndpointShared::begin`] returned.
    pub generation: u32,
}

/// What was counted since the last call of [`EndpointShared::take`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) counts: Counts,
    /// Something was answered, by an attempt of whatever generation.
    pub(super) heard: bool,
    /// Attempts in flight that wait for the endpoint: see [`EndpointShared::working`].
    pub(super) working: u32,
    /// Attempts that came to wait for it since the beginning, without those that now wait for their client; wraps.
    pub(super) begun_total: u16,
    /// Probes that were granted and not claimed.
    pub(super) probes_left: u32,
}

/// What all threads share about an endpoint: read and counted into without a lock.
///
/// Two cache lines, aligned, so that two endpoints that are busy on two threads do not slow each other.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct EndpointShared {
    verdict: AtomicU64,
    /// Three counts in one word, so that they fit each other: attempts in flight (24 bits), above them those of
    /// them that wait for their client (24 bits), above those the ones that were begun (16 bits, wrapping).
    attempts: AtomicU64,
    generation: AtomicU32,
    probes: AtomicU32,
    connect_failures: AtomicU32,
    connect_successes: AtomicU32,
    failed: AtomicU32,
    timed_out: AtomicU32,
    busy: AtomicU32,
    heard: AtomicBool,
    suspect: AtomicBool,
    answered: [AtomicU32; BUCKETS],
}

/// Sixteen million attempts at one endpoint do not fit the machine.
const IN_FLIGHT: u64 = (1 << 24) - 1;
const RESTING_ONE: u64 = 1 << 24;
const BEGUN_SHIFT: u32 = 48;
const BEGUN_ONE: u64 = 1 << BEGUN_SHIFT;

impl Default for EndpointShared {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointShared {
    /// Up, with its full share and nothing in flight.
    pub const fn new() -> Self {
        Self {
            verdict: AtomicU64::new(UP),
            attempts: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            probes: AtomicU32::new(0),
            connect_failures: AtomicU32::new(0),
            connect_successes: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            timed_out: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            heard: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            answered: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    /// The verdict in force.
    #[inline]
    pub fn verdict(&self) -> Verdict {
        // Whoever sees a verdict sees its generation and its probes.
        Verdict::unpack(self.verdict.load(Ordering::Acquire))
    }

    /// Attempts in flight, over all threads.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        in_flight(self.attempts.load(Ordering::Relaxed))
    }

    /// Those of them that wait for the endpoint, and not for their client.
    #[inline]
    pub fn working(&self) -> u32 {
        working(self.attempts.load(Ordering::Relaxed))
    }

    /// An attempt in flight waits for its client from now on, or no longer does: until then, that nothing comes of it
    /// says nothing about the endpoint. It is told in turns, the end before [`EndpointShared::end`].
    pub fn rest(&self, rests: bool) {
        // It begins when the endpoint has something to do.
        let change = RESTING_ONE.wrapping_sub(BEGUN_ONE);
        let change = match rests {
            true => change,
            false => change.wrapping_neg(),
        };
        self.attempts.fetch_add(change, Ordering::Relaxed);
    }

    /// Counts an attempt as in flight; [`EndpointShared::end`] must follow exactly once.
    /// Returns the generation that belongs in [`Ended`].
    pub fn begin(&self) -> u32 {
        self.attempts.fetch_add(BEGUN_ONE | 1, Ordering::Relaxed);
        self.generation()
    }

    /// Counts an attempt that began as over.
    pub fn end(&self) {
        let before = self.attempts.fetch_sub(1, Ordering::Relaxed);
        if never!(in_flight(before) == 0) {
            // Undo the wrap, so that one bug does not make the endpoint look busy for ever.
            self.attempts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes with each transition: tells attempts before it from those after it.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// The head of an answer is there: the endpoint is alive, however long the body takes.
    pub fn on_head(&self) {
        // Read first: under load it is true nearly always, and the line stays shared.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.is_suspect() {
            self.suspect.store(false, Ordering::Relaxed);
        }
    }

    /// It has answered nothing for longer than it usually takes, while another endpoint answered: until something is
    /// heard of it, one attempt at a time finds out.
    #[inline]
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// For the control thread.
    pub(crate) fn suspect(&self, suspect: bool) {
        if self.is_suspect() != suspect {
            self.suspect.store(suspect, Ordering::Relaxed);
        }
    }

    /// An attempt ended and says something about the endpoint. Besides [`EndpointShared::end`], not instead.
    pub fn on_attempt_end(&self, ended: Ended) {
        if ended.kind != EndKind::Timeout {
            self.on_head();
        }
        if ended.generation != self.generation() {
            return;
        }
        let counter = match ended.kind {
            EndKind::Answered => self.answered.get(bucket(ended.latency)),
            EndKind::Failed => Some(&self.failed),
            EndKind::Timeout => Some(&self.timed_out),
            EndKind::Busy => Some(&self.busy),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Claims one of the few probes of an endpoint that is half-open; whoever gets it sends it an attempt.
    pub fn try_probe(&self) -> bool {
        self.probes
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }

    /// A connection could not be made.
    pub fn on_connect_failure(&self) {
        self.connect_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was made.
    pub fn on_connect_success(&self) {
        self.connect_successes.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted since the last call: connect failures and successes. For the control thread.
    pub fn take_connects(&self) -> (u32, u32) {
        (take(&self.connect_failures), take(&self.connect_successes))
    }

    /// Puts a verdict in force. For the control thread.
    pub fn publish(&self, verdict: Verdict) {
        self.verdict.store(verdict.pack(), Ordering::Release);
    }

    /// What was counted since the last call. For the control thread.
    pub(super) fn take(&self) -> Taken {
        let attempts = self.attempts.load(Ordering::Relaxed);
        Taken {
            counts: Counts {
                buckets: array::from_fn(|index| self.answered.get(index).map_or(0, take)),
                failed: take(&self.failed),
                timed_out: take(&self.timed_out),
                busy: take(&self.busy),
            },
            heard: self.heard.load(Ordering::Relaxed) && self.heard.swap(false, Ordering::Relaxed),
            working: working(attempts),
            begun_total: (attempts >> BEGUN_SHIFT) as u16,
            probes_left: self.probes.load(Ordering::Relaxed),
        }
    }

    /// Puts another kind of verdict in force: outcomes of attempts before it no longer count, and neither
    /// do probes that were left over.
    pub(crate) fn transit(&self, verdict: Verdict) {
        self.generation.fetch_add(1, Ordering::Release);
        self.probes.store(0, Ordering::Relaxed);
        self.publish(verdict);
    }

    /// Lets this many more probes through.
    pub(crate) fn grant(&self, probes: u32) {
        self.probes.fetch_add(probes, Ordering::Relaxed);
    }
}

/// Attempts that hang at those of a service's endpoints that have fallen silent. One that waits for its client has
/// lent its permit by itself, or will, and a stream has none.
pub fn parked<'a>(endpoints: impl Iterator<Item = &'a EndpointShared>) -> u32 {
    endpoints
        .filter(|it| it.is_suspect())
        .fold(0, |sum: u32, it| sum.saturating_add(it.working()))
}

#[inline]
fn in_flight(attempts: u64) -> u32 {
    (attempts & IN_FLIGHT) as u32
}

#[inline]
fn working(attempts: u64) -> u32 {
    let resting = (attempts / RESTING_ONE) & IN_FLIGHT;
    in_flight(attempts).saturating_sub(resting as u32)
}

/// Most counters are zero at most ticks: reading one leaves its line where it is.
fn take(counter: &AtomicU32) -> u32 {
    match counter.load(Ordering::Relaxed) {
        0 => 0,
        _ => counter.swap(0, Ordering::Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::DownCause;

    #[test]
    fn it_fits_two_cache_lines() {
        assert_eq!(size_of::<EndpointShared>(), 128);
    }

    #[test]
    fn an_attempt_that_ended_is_not_in_flight() {
        let shared = EndpointShared::new();
        let _first = shared.begin();
        let _second = shared.begin();
        assert_eq!(shared.in_flight(), 2);
        shared.end();
        assert_eq!(shared.in_flight(), 1);
        shared.end();
        assert_eq!(shared.in_flight(), 0);
        assert_eq!(shared.take().begun_total, 2);
    }

    #[test]
    fn an_attempt_that_waits_for_its_client_is_in_flight_and_does_not_wait_for_the_endpoint() {
        let shared = EndpointShared::new();
        let _first = shared.begin();
        let _second = shared.begin();
        let seen = || {
            let taken = shared.take();
            let counts = (shared.in_flight(), shared.working());
            (counts, taken.working, taken.begun_total)
        };
        shared.rest(true);
        assert_eq!(seen(), ((2, 1), 1, 1));
        shared.rest(true);
        assert_eq!(seen(), ((2, 0), 0, 0));
        shared.rest(false);
        shared.end();
        assert_eq!(seen(), ((1, 0), 0, 1));
        shared.rest(false);
        assert_eq!(seen(), ((1, 1), 1, 2));
        shared.end();
        assert_eq!(seen(), ((0, 0), 0, 2));
    }

    #[test]
    fn counters_are_taken_once() {
        let shared = EndpointShared::new();
        shared.on_connect_failure();
        shared.on_connect_failure();
        shared.on_connect_success();
        assert_eq!(shared.take_connects(), (2, 1));
        assert_eq!(shared.take_connects(), (0, 0));
        for kind in [
            EndKind::Answered,
            EndKind::Failed,
            EndKind::Timeout,
            EndKind::Busy,
        ] {
            end(&shared, kind, shared.generation());
        }
        let taken = shared.take();
        assert_eq!(taken.counts.calls(), 4);
        assert_eq!(taken.counts.failures(), 2);
        assert!(taken.heard);
        assert_eq!(shared.take(), Taken::default());
    }

    #[test]
    fn an_outcome_from_before_a_transition_is_ignored() {
        let shared = EndpointShared::new();
        let generation = shared.begin();
        shared.transit(Verdict::Down(DownCause::Breaker));
        end(&shared, EndKind::Failed, generation);
        let taken = shared.take();
        assert_eq!(taken.counts, Counts::default());
        assert!(taken.heard, "but it shows that the endpoint is alive");
        end(&shared, EndKind::Failed, shared.generation());
        assert_eq!(shared.take().counts.failed, 1);
    }

    #[test]
    fn a_timeout_is_no_sign_of_life() {
        let shared = EndpointShared::new();
        end(&shared, EndKind::Timeout, shared.generation());
        assert!(!shared.take().heard);
    }

    #[test]
    fn probes_are_claimed_as_often_as_they_were_granted_and_end_with_the_state() {
        let shared = EndpointShared::new();
        assert!(!shared.try_probe());
        shared.transit(Verdict::HalfOpen);
        shared.grant(2);
        assert!(shared.try_probe());
        assert!(shared.try_probe());
        assert!(!shared.try_probe());
        shared.grant(1);
        shared.transit(Verdict::Up { slow_start: None });
        assert!(!shared.try_probe());
    }

    #[test]
    fn threads_that_race_for_probes_get_no_more_than_there_are() {
        let shared = EndpointShared::new();
        shared.grant(100);
        let claimed = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while shared.try_probe() {
                        claimed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(claimed.into_inner(), 100);
    }

    fn end(shared: &EndpointShared, kind: EndKind, generation: u32) {
        shared.on_attempt_end(Ended {
            kind,
            latency: Duration::from_millis(5),
            generation,
        });
    }
}
