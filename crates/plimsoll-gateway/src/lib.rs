//! The HTTP data plane: listeners, routing, forwarding.
//!
//! One current-thread runtime per core, each with listeners of its own (`SO_REUSEPORT`), pools of its own
//! and counters of its own. A request is parsed once, driven through `plimsoll-lifecycle`, and streamed both
//! ways with bounded memory. Nothing here waits for the control plane: threads read an immutable
//! [`Plan`] that is swapped whole.

mod access;
mod admission;
mod answer;
mod cache;
mod cookies;
mod dimming;
mod exchange;
mod fallback;
mod flagged;
mod forwarded;
mod gateway;
mod heads;
mod listener;
mod log;
mod peer;
mod plan;
mod protection;
mod protocol;
mod proxy_protocol;
mod refusal;
mod rollout;
mod router;
mod server;
mod thread;
mod timer;
mod tls;
mod trace;
mod transfer;

pub use cache::{CacheCounts, CacheStats, DiskStats, Purge, PurgeUrl};
pub use gateway::{Gateway, GatewayError, GatewayStats};
pub use listener::{BindError, BoundListener, bind};
pub use log::{AccessLogError, AccessLogSender, AccessLogWriter, TenantTally};
pub use plan::{
    CachePlan, Plan, RoutePlan, ServicePlan, ServiceShared, call_bounds, enforces,
    guard_parameters, mode_of, objective_specs,
};
pub use protection::{GuardView, PROTECTION_TICK, Protection};
pub use rollout::{RolloutCounts, RolloutPlan, RolloutShared, RouteArms};
pub use router::{Match, Router, path_is_ambiguous};
pub use tls::ServerTlsError;
