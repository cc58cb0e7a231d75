//! The outcome table: every call ends with exactly one cause, and the cause says who it counts against.
//!
//! Source: the table "Outcomes" of the design; the budget counts what is bad with origin `Service` or
//! `Plimsoll`. Invariant: the sum over causes equals the number of calls.

use serde::{Deserialize, Serialize};

/// Who a call's end is attributed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The service answered, or failed to.
    Service,
    /// Plimsoll refused or failed.
    Plimsoll,
    /// The client: not in the SLI, but counted.
    Client,
}

impl Origin {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Plimsoll => "plimsoll",
            Self::Client => "client",
        }
    }
}

/// What a call's end says to an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Counts as good.
    Good,
    /// Counts as bad.
    Bad,
    /// Not in the SLI.
    Excluded,
}

impl Outcome {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Excluded => "excluded",
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $outcome:ident, $origin:ident;)*) => {
        /// Why a call ended as it did. Exactly one for each call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Cause {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Cause {
            /// All causes; [`Cause::index`] counts in this order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The word in metrics, logs and pages.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What it says to an objective.
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$variant => Outcome::$outcome),* }
            }

            /// Who it is attributed to.
            pub const fn origin(self) -> Origin {
                match self { $(Self::$variant => Origin::$origin),* }
            }
        }
    };
}

causes! {
    /// The service answered with 1xx-4xx.
    Answered = "answered", Good, Service;
    /// Plimsoll answered by configuration: a redirect, `OPTIONS *`, `Max-Forwards: 0`.
    Local = "local", Excluded, Plimsoll;
    /// Answered from the store, with what is fresh.
    Cached = "cached", Good, Plimsoll;
    /// Answered from the store, with what is stale: its service failed, or was spared.
    Stale = "stale", Good, Plimsoll;
    /// Answered by a fallback of its route, with a status below 500: its service failed, or was spared.
    Fallback = "fallback", Good, Plimsoll;
    /// Answered by the fallback of a route whose feature is dimmed for the user.
    Dimmed = "dimmed", Good, Plimsoll;
    /// The service answered with 5xx.
    UpstreamStatus = "upstream-5xx", Bad, Service;
    /// The service answered with a gRPC status that counts as its failure.
    GrpcStatus = "grpc-status", Bad, Service;
    /// No response head within the deadline.
    Timeout = "timeout", Bad, Service;
    /// The exchange stood still, or its total time ran out, after the response's head.
    Stalled = "stalled", Bad, Service;
    /// No endpoint could be connected to.
    Connect = "connect", Bad, Service;
    /// The service closed or reset the connection before the response was complete.
    Reset = "reset", Bad, Service;
    /// The service's response broke HTTP, or could be read in two ways.
    BadResponse = "bad-response", Bad, Service;
    /// The service has no endpoint that can be addressed.
    NoEndpoint = "no-endpoint", Bad, Plimsoll;
    /// More asks for the service than it can carry: the request was refused at once, or gave way to another.
    Shed = "shed", Bad, Plimsoll;
    /// It waited for a permit for as long as an answer could still be in time.
    QueueTimeout = "queue-timeout", Bad, Plimsoll;
    /// What is left of its deadline does not suffice for the service.
    Deadline = "deadline", Bad, Plimsoll;
    /// Its service is read-only, and the request would change something.
    ReadOnly = "read-only", Bad, Plimsoll;
    /// The service refuses or fails so much that a share of its requests is not sent.
    Throttled = "throttled", Bad, Plimsoll;
    /// A bound of `protect.bulkhead` was reached.
    Bulkhead = "bulkhead", Bad, Plimsoll;
    /// Plimsoll's own bound was reached (connections, streams, memory).
    Overloaded = "overloaded", Bad, Plimsoll;
    /// Plimsoll is shutting down, and cut a stream or a tunnel at the end of `drain`.
    Draining = "draining", Bad, Plimsoll;
    /// A bug: the request's task panicked.
    Panic = "panic", Bad, Plimsoll;
    /// The client went away, or broke off its own request's body.
    ClientGone = "client-gone", Excluded, Client;
    /// The request broke HTTP, or could be read in two ways (400).
    BadRequest = "bad-request", Excluded, Client;
    /// A limit on what a client may send was reached (408, 413, 414, 431).
    RequestLimit = "request-limit", Excluded, Client;
    /// A declared rate was exceeded (429).
    RateLimited = "rate-limited", Excluded, Client;
    /// No route matches (404, 405, 421).
    NoRoute = "no-route", Excluded, Client;
}

impl Cause {
    /// The position in [`Cause::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Whether a gRPC status counts as the service's failure.
///
/// Source: gRPC status codes. Counted: DEADLINE_EXCEEDED (4), RESOURCE_EXHAUSTED is not (a declared
/// refusal), UNKNOWN (2), UNIMPLEMENTED is not (the caller's mistake), INTERNAL (13), UNAVAILABLE (14),
/// DATA_LOSS (15).
pub const fn grpc_status_is_bad(status: u32) -> bool {
    matches!(status, 2 | 4 | 13 | 14 | 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_name_and_place() {
        let mut names = std::collections::BTreeSet::new();
        for (place, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(cause.index(), place);
            assert!(names.insert(cause.name()), "{} is used twice", cause.name());
        }
    }

    #[test]
    fn what_the_client_did_never_spends_budget() {
        for cause in Cause::ALL {
            if cause.origin() == Origin::Client {
                assert_eq!(cause.outcome(), Outcome::Excluded, "{}", cause.name());
            }
        }
    }
}
