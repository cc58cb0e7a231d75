//! Policies: pure state machines that decide on one thing each.
//!
//! Each is told the time and returns what to do; none opens a socket, starts a thread or reads a clock.
//! What several threads share is split in two: a `Shared` half of atomics that the data plane reads and
//! counts into, and a `Control` half that one thread ticks and that publishes into `Shared`.

mod admission;
pub mod approval;
mod balance;
mod brownout;
mod bulkhead;
pub mod cache;
mod change_watch;
pub mod deadline;
mod endpoint;
pub mod flag;
pub mod hedge;
mod limiter;
#[cfg(all(test, loom))]
mod loom_tests;
pub mod queue;
mod rate_limit;
pub mod retry;
pub mod rollout;
mod self_protection;
mod sync;
mod tenant;
pub mod throttle;

pub use admission::{
    AdmissionControl, AdmissionLocal, AdmissionMemory, AdmissionParameters, AdmissionShared,
    Admitted, Arriving, Completion, Finished, GROUPS, LimiterKind, QueueEvent, QueueWait, Refusal,
    RefusalReason, Ticket,
};
pub use balance::{Balancer, Candidate, Choice, Method, Ring, hash_key};
pub use brownout::{BrownoutControl, BrownoutParameters, BrownoutReading, BrownoutShared};
pub use bulkhead::{BulkheadKind, BulkheadParameters, BulkheadPlace, BulkheadShared};
pub use change_watch::{ChangeWatch, Suffering, WatchBatch, WatchEvidence};
pub use deadline::{GrpcTimeout, PlimsollDeadline};
pub use endpoint::{
    DownCause, EndKind, Ended, EndpointControl, EndpointParameters, EndpointShared, Look, Peer,
    PeerControl, Reason, Transition, Verdict, Would, parked,
};
pub use hedge::{
    HedgeAfter, HedgeControl, HedgeParameters, HedgeQuestion, HedgeShared, HedgeWhyNot,
};
pub use limiter::{LimitChange, Reason as LimitReason};
pub use rate_limit::{
    Charge, NotARateLimit, RateDecision, RateLimit, RateTable, RateVerdict, push_rate_limit,
    push_rate_limit_policy, retry_after_seconds,
};
pub use retry::{
    RetryControl, RetryDecision, RetryGrant, RetryOn, RetryParameters, RetryRules, RetryShared,
};
pub use self_protection::{SelfCause, SelfControl, SelfLevel, SelfReadings, SelfShared, Used};
pub use tenant::{
    ConfiguredTenant, Identified, KeyHash, KnownTenants, NotAWeight, Salt, TenantId, Weight,
};
pub use throttle::{ThrottleControl, ThrottleParameters, ThrottleShared};
