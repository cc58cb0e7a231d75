//! Why judgement took an endpoint out or let it back, in words for a person.

use std::fmt;
use std::time::Duration;

use super::record::WINDOW;

/// Why an endpoint went out by judgement, or came back. Displays as words for a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// Breaker: too many calls failed.
    FailureShare {
        /// Calls that failed in the window.
        failed: u32,
        /// Calls in the window.
        calls: u32,
        /// The share that usually fails.
        usual: f64,
    },
    /// Breaker: that many calls failed with no success between.
    FailuresInARow {
        /// How many.
        failed: u32,
    },
    /// Breaker: nearly all answers are much slower than usual.
    Slow {
        /// Slow answers in the window.
        slow: u32,
        /// Answers in the window.
        answers: u32,
        /// From when on an answer is slow.
        limit: Duration,
        /// The usual median.
        usual: Duration,
    },
    /// Breaker: attempts hang, and none is answered.
    Silent {
        /// Attempts begun since the last answer.
        attempts: u32,
        /// How long nothing was answered.
        time: Duration,
    },
    /// Breaker: probes succeeded.
    ProbesSucceeded {
        /// How many.
        probes: u32,
    },
    /// Ejection: more calls fail than at its peers.
    PeersFailLess {
        /// The share of calls that fails here.
        own: f64,
        /// The median of the peers' shares.
        peers: f64,
    },
    /// Ejection: answers are slower than its peers'.
    PeersAreFaster {
        /// The median here.
        own: Duration,
        /// The median of the peers' medians.
        peers: Duration,
    },
    /// Ejection: its time is over.
    EjectionOver {
        /// How long it was out.
        time: Duration,
    },
    /// Too many others are down: judgement may not hold this one out as well.
    Needed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FailureShare {
                failed,
                calls,
                usual,
            } => write!(
                f,
                "{failed} of {calls} calls failed in the last {} s, usually {}",
                WINDOW.as_secs(),
                Percent(usual)
            ),
            Self::FailuresInARow { failed } => write!(f, "{failed} calls in a row failed"),
            Self::Slow {
                slow,
                answers,
                limit,
                usual,
            } => write!(
                f,
                "{slow} of {answers} answers took over {}, the usual median is {}",
                Time(limit),
                Time(usual)
            ),
            Self::Silent { attempts, time } => write!(
                f,
                "none of the last {attempts} attempts was answered in {}",
                Time(time)
            ),
            Self::ProbesSucceeded { probes } => write!(f, "{probes} probes succeeded"),
            Self::PeersFailLess { own, peers } => write!(
                f,
                "{} of calls failed, {} at its peers",
                Percent(own),
                Percent(peers)
            ),
            Self::PeersAreFaster { own, peers } => {
                write!(f, "median {}, its peers {}", Time(own), Time(peers))
            }
            Self::EjectionOver { time } => write!(f, "it was out for {}", Time(time)),
            Self::Needed => f.write_str("too many others are down"),
        }
    }
}

/// A share in whole per cent; what is above nothing is never shown as nothing.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0.0 && self.0 < 0.01 {
            return f.write_str("under 1 %");
        }
        write!(f, "{:.0} %", self.0 * 100.0)
    }
}

/// A time to about two digits.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 10.0 {
            write!(f, "{seconds:.0} s")
        } else if seconds >= 1.0 {
            write!(f, "{seconds:.1} s")
        } else if seconds >= 0.001 {
            write!(f, "{:.0} ms", seconds * 1e3)
        } else {
            write!(f, "{:.0} µs", seconds * 1e6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_for_a_person() {
        check(
            Reason::FailureShare {
                failed: 12,
                calls: 20,
                usual: 0.012,
            },
            "12 of 20 calls failed in the last 10 s, usually 1 %",
        );
        check(
            Reason::PeersAreFaster {
                own: Duration::from_millis(850),
                peers: Duration::from_micros(40_100),
            },
            "median 850 ms, its peers 40 ms",
        );
        check(
            Reason::Slow {
                slow: 18,
                answers: 20,
                limit: Duration::from_secs(1),
                usual: Duration::from_micros(700),
            },
            "18 of 20 answers took over 1.0 s, the usual median is 700 µs",
        );
        check(
            Reason::Silent {
                attempts: 14,
                time: Duration::from_millis(2_025),
            },
            "none of the last 14 attempts was answered in 2.0 s",
        );
        check(
            Reason::PeersFailLess {
                own: 0.38,
                peers: 0.002,
            },
            "38 % of calls failed, under 1 % at its peers",
        );
    }

    #[track_caller]
    fn check(reason: Reason, expected: &str) {
        assert_eq!(reason.to_string(), expected);
    }
}
