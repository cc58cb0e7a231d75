//! Which failures are retried.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made: nothing was sent.
    Connect,
    /// An answer whose status says so.
    Status {
        /// The status.
        status: u16,
        /// When the service asks to be tried again (RFC 9110 section 10.2.3), from now.
        retry_after: Option<Duration>,
        /// It carries a `Plimsoll-Decision`: another Plimsoll nearer to the service refused.
        decision: bool,
    },
    /// The connection broke before the answer.
    Reset,
    /// No answer in the time an attempt has.
    Timeout,
}

/// A kind of failure that may be retried: a word of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryOn {
    /// `connect`: [`Failure::Connect`].
    Connect,
    /// `reset`: [`Failure::Reset`].
    Reset,
    /// `502`, `503`, ...: [`Failure::Status`]. `504` also stands for [`Failure::Timeout`], which has no word of its
    /// own: it is what the client sees of it.
    Status(u16),
}

/// The status that stands for an answer that did not come (RFC 9110 section 15.6.5).
const GATEWAY_TIMEOUT: u16 = 504;

impl FromStr for RetryOn {
    type Err = NotARetryOn;

    /// Statuses are those of errors, 400 to 599: a success is never tried again.
    fn from_str(word: &str) -> Result<Self, NotARetryOn> {
        match word {
            "connect" => Ok(Self::Connect),
            "reset" => Ok(Self::Reset),
            // The length keeps out `+503` and `0503`, which the number's own parser takes.
            _ if word.len() == 3 => match word.parse() {
                Ok(status @ 400..=599) => Ok(Self::Status(status)),
                _ => Err(NotARetryOn),
            },
            _ => Err(NotARetryOn),
        }
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => formatter.write_str("connect"),
            Self::Reset => formatter.write_str("reset"),
            Self::Status(status) => write!(formatter, "{status}"),
        }
    }
}

/// The word names no failure that can be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARetryOn;

impl fmt::Display for NotARetryOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`connect`, `reset` or a status from 400 to 599 was expected")
    }
}

impl std::error::Error for NotARetryOn {}

/// The failures that are retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRules {
    /// Any of these.
    pub on: BTreeSet<RetryOn>,
}

impl RetryRules {
    /// Whether they name this failure.
    pub fn allows(&self, failure: Failure) -> bool {
        self.on.contains(&match failure {
            Failure::Connect => RetryOn::Connect,
            Failure::Reset => RetryOn::Reset,
            Failure::Status { status, .. } => RetryOn::Status(status),
            Failure::Timeout => RetryOn::Status(GATEWAY_TIMEOUT),
        })
    }
}

impl Default for RetryRules {
    /// Connect failures: the one failure after which nothing was sent for certain.
    fn default() -> Self {
        Self::from_iter([RetryOn::Connect])
    }
}

impl FromIterator<RetryOn> for RetryRules {
    fn from_iter<I: IntoIterator<Item = RetryOn>>(on: I) -> Self {
        Self {
            on: on.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written_alike() {
        for word in ["connect", "reset", "400", "429", "502", "599"] {
            assert_eq!(
                word.parse::<RetryOn>().map(|on| on.to_string()).as_deref(),
                Ok(word)
            );
        }
        for word in [
            "", "Connect", "200", "399", "600", "+50", "0503", "5xx", "timeout",
        ] {
            assert_eq!(word.parse::<RetryOn>(), Err(NotARetryOn), "{word}");
        }
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        let rules: RetryRules = [RetryOn::Reset, RetryOn::Status(502)].into_iter().collect();
        assert!(rules.allows(Failure::Reset));
        assert!(rules.allows(status(502)));
        assert!(!rules.allows(status(503)));
        assert!(!rules.allows(Failure::Connect));
        assert!(!rules.allows(Failure::Timeout));
        assert!(RetryRules::default().allows(Failure::Connect));
        assert!(!RetryRules::default().allows(Failure::Reset));
    }

    #[test]
    fn no_answer_in_time_counts_as_the_504_that_the_client_sees() {
        assert!(RetryRules::from_iter([RetryOn::Status(504)]).allows(Failure::Timeout));
    }

    fn status(status: u16) -> Failure {
        Failure::Status {
            status,
            retry_after: None,
            decision: false,
        }
    }
}
