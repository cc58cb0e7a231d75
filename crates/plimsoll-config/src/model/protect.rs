//! `[service.NAME.protect]`: what protects a service and its callers.

use std::time::Duration;

use plimsoll_core::{Mode, Ratio};

/// `[service.NAME.protect]`
#[derive(Clone, Debug, PartialEq)]
pub struct Protect {
    /// Of all protections of this service.
    pub mode: Mode,
    /// Bounds in time.
    pub deadline: Deadline,
    /// How many attempts are in flight at once.
    pub limiter: Limiter,
    /// What waits for the limiter.
    pub queue: Queue,
    /// Bounds on what one service can hold of the gateway.
    pub bulkhead: Bulkhead,
    /// Retries.
    pub retry: Retry,
    /// Second attempts beside slow ones.
    pub hedge: Hedge,
    /// Endpoints judged against their own history.
    pub breaker: Breaker,
    /// Endpoints judged against their peers.
    pub ejection: Ejection,
    /// Graded refusal while the service as a whole fails.
    pub throttle: Throttle,
    /// Idle connections kept per endpoint and thread.
    pub idle_connections_max: usize,
    /// How long a kept upstream connection may idle.
    pub idle_connection_time_max: Duration,
    /// How long a connection may take to be made.
    pub connect_time_max: Duration,
}

/// `deadline = { head, idle, total }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// From the last byte of the request to the response's head; while its body comes, `idle` holds.
    pub head: Duration,
    /// Without a byte in either direction, after the head.
    pub idle: Duration,
    /// From arrival to the last byte; `None` = unlimited.
    pub total: Option<Duration>,
}

/// `limiter = { kind, max, limit, mode }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limiter {
    /// Whether it acts; `kind = "off"` in the file is `Off` here.
    pub mode: Mode,
    /// Where the limit comes from.
    pub kind: LimiterKind,
    /// The limit never goes above. At least the fixed limit, at most 100 000.
    pub max: u32,
}

/// Where a service's limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimiterKind {
    /// From what requests show.
    Adaptive,
    /// This many attempts in flight, at least one.
    Fixed(u32),
}

/// `queue = { wait, requests_max }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How long a request may wait.
    pub wait: QueueWait,
    /// Requests that wait at once, at least one.
    pub requests_max: u32,
}

/// How long a request may wait for the limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueWait {
    /// Four times the median service time, within 10 to 50 ms.
    Auto,
    /// As long as the answer still fits the latency objective.
    Objective,
    /// This long, where it still fits the objective; zero = nothing waits.
    Fixed(Duration),
}

/// `bulkhead = { connections_max, pending_max, streams_max }`; `None` = unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulkhead {
    /// Connections to all endpoints of the service.
    pub connections_max: Option<u32>,
    /// Requests that wait for a connection.
    pub pending_max: Option<u32>,
    /// Long exchanges at once: upgrades, event streams, gRPC streams. They hold no permit of the limiter.
    pub streams_max: Option<u32>,
}

/// `retry = { mode, attempts, on, budget, floor, body_bytes_max }`
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Whether they are made.
    pub mode: Mode,
    /// Tries in all, the first included.
    pub attempts: u32,
    /// What is tried again, each once.
    pub on: Vec<RetryOn>,
    /// What is decided and counted, and not tried again.
    pub observed: Vec<RetryOn>,
    /// The share of requests that retries may come to.
    pub budget: Ratio,
    /// Retries per second that are possible whatever the budget.
    pub floor_per_second: f64,
    /// A request with a larger body is not tried again once a byte of it was sent.
    pub body_bytes_max: u64,
}

/// What a request is tried again on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryOn {
    /// The connection could not be made: nothing was sent.
    Connect,
    /// The connection broke before an answer.
    Reset,
    /// An answer with this status: 502, 503 or 504.
    Status(u16),
}

/// `hedge = { mode, after, budget }`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// Off unless the file asks for it.
    pub mode: Mode,
    /// When a second attempt starts.
    pub after: HedgeAfter,
    /// The share of requests that second attempts may come to.
    pub budget: Ratio,
}

/// How long an attempt may take before a second one starts beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HedgeAfter {
    /// This quantile of the service's own latency.
    Quantile(Ratio),
    /// This long.
    Time(Duration),
}

/// `breaker = { mode }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Whether it acts.
    pub mode: Mode,
}

/// `ejection = { mode }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Whether it acts.
    pub mode: Mode,
}

/// `throttle = { mode }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Whether it acts.
    pub mode: Mode,
}
