//! Endpoint health: one state machine decides whether an endpoint is chosen.
//!
//! Four inputs. Facts: active checks, and connect failures that the data plane sees. Judgement: the breaker,
//! that compares calls with the endpoint's own history, and ejection, that compares them with its peers'. An
//! endpoint is up while no input holds it down. Coming up, it starts slowly: its weight rises in a line from
//! 10 % to 100 %. Units: counts are in a row. Invariants: a state that waits has a deadline
//! ([`EndpointControl::next_timeout`]); an endpoint that is down by connect failures or breaker is probed again
//! after at most `backoff_max`; judgement holds out at most half of a service's endpoints (`peers`).
//! Elsewhere: sockets and timers of checks and probes (`plimsoll-upstream`); the choice (`balance`).

mod shared;

mod control;
mod parameters;
mod peers;

mod breaker;
mod checks;
mod connect;
mod ejection;

mod reason;
mod record;

#[cfg(test)]
mod scenarios;

pub use control::{EndpointControl, Transition, Would};
pub use parameters::EndpointParameters;
pub use peers::{Look, Peer, PeerControl};
pub use reason::Reason;
pub use shared::{EndKind, Ended, EndpointShared, parked};

use std::time::Duration;

use plimsoll_core::Instant;

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
    /// Calls fail, crawl or hang, compared with its own history.
    Breaker,
    /// Calls fail or take long, compared with its peers'.
    Ejection,
}

impl DownCause {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Connect => "connect",
            Self::Breaker => "breaker",
            Self::Ejection => "ejection",
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
    /// Only for the few attempts that show whether it works again: see [`EndpointShared::try_probe`].
    HalfOpen,
    /// Only if every endpoint is down.
    Down(DownCause),
}

impl Verdict {
    /// Whether it is up.
    #[inline]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// What holds it down, if it is not up. Half-open, that is the breaker.
    pub const fn cause(self) -> Option<DownCause> {
        match self {
            Self::Up { .. } => None,
            Self::HalfOpen => Some(DownCause::Breaker),
            Self::Down(cause) => Some(cause),
        }
    }

    /// The share of a full load that it is to be given: 0.1 to 1.0 while up, 0 while not.
    pub fn weight(self, now: Instant) -> f64 {
        match self {
            Self::Up { slow_start: None } => 1.0,
            Self::Up {
                slow_start: Some(start),
            } => {
                let done = now.since(start).as_secs_f64() / SLOW_START.as_secs_f64();
                (SLOW_START_WEIGHT + (1.0 - SLOW_START_WEIGHT) * done).min(1.0)
            }
            Self::HalfOpen | Self::Down(_) => 0.0,
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
            Self::Down(DownCause::Breaker) => DOWN_BREAKER,
            Self::Down(DownCause::Ejection) => DOWN_EJECTION,
            Self::HalfOpen => HALF_OPEN,
        }
    }

    #[inline]
    fn unpack(word: u64) -> Self {
        match word & KIND_MASK {
            DOWN_CHECKS => Self::Down(DownCause::Checks),
            DOWN_CONNECT => Self::Down(DownCause::Connect),
            DOWN_BREAKER => Self::Down(DownCause::Breaker),
            DOWN_EJECTION => Self::Down(DownCause::Ejection),
            HALF_OPEN => Self::HalfOpen,
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
const DOWN_BREAKER: u64 = 3;
const DOWN_EJECTION: u64 = 4;
const HALF_OPEN: u64 = 5;

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
            Verdict::Down(DownCause::Breaker),
            Verdict::Down(DownCause::Ejection),
            Verdict::HalfOpen,
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
}
