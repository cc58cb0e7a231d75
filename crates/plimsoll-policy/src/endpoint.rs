//! Endpoint health: one state machine decides whether an endpoint is chosen.
//!
//! Inputs are active checks and the connect failures that the data plane sees. An endpoint is up while
//! no input holds it down. Coming up, it starts slowly: its weight rises in a line from 10 % to 100 %.
//! Units: counts are in a row. Invariants: a state that waits has a deadline ([`EndpointControl::next_timeout`]);
//! an endpoint that is down by connect failures is probed again after at most `backoff_max`.
//! Elsewhere: sockets and timers of checks and probes (`plimsoll-upstream`); the choice (`balance`).

mod control;

pub use control::{EndpointControl, EndpointParameters, Transition};

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core::{Instant, never};

/// How long an endpoint that came up takes to its full share: long enough to fill caches and pools, and
/// short beside the minutes an incident lasts.
pub(crate) const SLOW_START: Duration = Duration::from_secs(10);
/// The share at the beginning of a slow start: enough to measure it by.
const SLOW_START_WEIGHT: f64 = 0.1;

/// What holds an endpoint down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownCause {
    /// Active checks failed.
    Checks,
    /// Connections could not be made.
    Connect,
}

impl DownCause {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Connect => "connect",
        }
    }
}

/// Whether an endpoint is to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Up {
        /// When it came up, if that was recent; `None` = it has its full share.
        slow_start: Option<Instant>,
    },
    /// Only if every endpoint is down.
    Down(DownCause),
}

impl Verdict {
    /// Whether it is up.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// The share of a full load that it is to be given: 0.1 to 1.0 while up, 0 while down.
    pub fn weight(self, now: Instant) -> f64 {
        match self {
            Self::Up { slow_start: None } => 1.0,
            Self::Up {
                slow_start: Some(start),
            } => {
                let done = now.since(start).as_secs_f64() / SLOW_START.as_secs_f64();
                (SLOW_START_WEIGHT + (1.0 - SLOW_START_WEIGHT) * done).min(1.0)
            }
            Self::Down(_) => 0.0,
        }
    }

    /// Packs it into a word: three bits for the kind, 61 for nanoseconds (73 years after the origin).
    fn pack(self) -> u64 {
        match self {
            Self::Up { slow_start: None } => UP,
            // An instant of zero means "full share"; a nanosecond later changes nothing.
            Self::Up {
                slow_start: Some(start),
            } => UP | (start.as_nanos().clamp(1, NANOS_MAX) << KIND_BITS),
            Self::Down(DownCause::Checks) => DOWN_CHECKS,
            Self::Down(DownCause::Connect) => DOWN_CONNECT,
        }
    }

    fn unpack(word: u64) -> Self {
        match word & KIND_MASK {
            DOWN_CHECKS => Self::Down(DownCause::Checks),
            DOWN_CONNECT => Self::Down(DownCause::Connect),
            _ => match word >> KIND_BITS {
                0 => Self::Up { slow_start: None },
                nanos => Self::Up {
                    slow_start: Some(Instant::from_nanos(nanos)),
                },
            },
        }
    }
}

const KIND_BITS: u32 = 3;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
const NANOS_MAX: u64 = u64::MAX >> KIND_BITS;
const UP: u64 = 0;
const DOWN_CHECKS: u64 = 1;
const DOWN_CONNECT: u64 = 2;

/// What all threads share about an endpoint: read and counted into without a lock.
///
/// Aligned to a cache line, so that two endpoints that are busy on two threads do not slow each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct EndpointShared {
    verdict: AtomicU64,
    in_flight: AtomicU32,
    connect_failures: AtomicU32,
    connect_successes: AtomicU32,
}

impl EndpointShared {
    /// Up, with its full share and nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// The verdict in force.
    pub fn verdict(&self) -> Verdict {
        Verdict::unpack(self.verdict.load(Ordering::Relaxed))
    }

    /// Attempts in flight, over all threads.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts an attempt as in flight; [`EndpointShared::end`] must follow exactly once. See [`InFlight`].
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt that began as over.
    pub fn end(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if never!(before == 0) {
            // Undo the wrap, so that one bug does not make the endpoint look busy for ever.
            self.in_flight.fetch_add(1, Ordering::Relaxed);
        }
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
        (
            self.connect_failures.swap(0, Ordering::Relaxed),
            self.connect_successes.swap(0, Ordering::Relaxed),
        )
    }

    /// Puts a verdict in force. For the control thread.
    pub fn publish(&self, verdict: Verdict) {
        self.verdict.store(verdict.pack(), Ordering::Relaxed);
    }
}

/// An attempt in flight: counted from [`InFlight::begin`] until it is dropped, however that comes about.
#[derive(Debug)]
#[must_use = "the attempt counts as over as soon as this is dropped"]
pub struct InFlight<S: std::ops::Deref<Target: AsRef<EndpointShared>>>(S);

impl<S: std::ops::Deref<Target: AsRef<EndpointShared>>> InFlight<S> {
    /// Counts an attempt at the endpoint that `shared` leads to (an `Arc` of it, or a reference).
    pub fn begin(shared: S) -> Self {
        AsRef::<EndpointShared>::as_ref(&*shared).begin();
        Self(shared)
    }
}

impl<S: std::ops::Deref<Target: AsRef<EndpointShared>>> Drop for InFlight<S> {
    fn drop(&mut self) {
        AsRef::<EndpointShared>::as_ref(&*self.0).end();
    }
}

impl AsRef<EndpointShared> for EndpointShared {
    fn as_ref(&self) -> &EndpointShared {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_the_word_it_is_packed_into() {
        for verdict in [
            Verdict::Up { slow_start: None },
            Verdict::Up {
                slow_start: Some(Instant::from_nanos(1)),
            },
            Verdict::Up {
                slow_start: Some(Instant::from_nanos(NANOS_MAX)),
            },
            Verdict::Down(DownCause::Checks),
            Verdict::Down(DownCause::Connect),
        ] {
            assert_eq!(Verdict::unpack(verdict.pack()), verdict);
        }
    }

    #[test]
    fn the_weight_rises_in_a_line_from_a_tenth_to_all() {
        let start = Instant::from_nanos(1_000_000_000);
        let verdict = Verdict::Up {
            slow_start: Some(start),
        };
        assert!((verdict.weight(start) - 0.1).abs() < 1e-9);
        assert!((verdict.weight(start + SLOW_START / 2) - 0.55).abs() < 1e-9);
        assert_eq!(verdict.weight(start + SLOW_START * 2), 1.0);
        assert_eq!(Verdict::Down(DownCause::Checks).weight(start), 0.0);
    }

    #[test]
    fn a_dropped_attempt_is_not_in_flight() {
        let shared = EndpointShared::new();
        let first = InFlight::begin(&shared);
        let second = InFlight::begin(&shared);
        assert_eq!(shared.in_flight(), 2);
        drop(first);
        assert_eq!(shared.in_flight(), 1);
        drop(second);
        assert_eq!(shared.in_flight(), 0);
    }

    #[test]
    fn counters_are_taken_once() {
        let shared = EndpointShared::new();
        shared.on_connect_failure();
        shared.on_connect_failure();
        shared.on_connect_success();
        assert_eq!(shared.take_connects(), (2, 1));
        assert_eq!(shared.take_connects(), (0, 0));
    }
}
