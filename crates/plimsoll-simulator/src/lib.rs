//! The simulator: virtual time, workload, service and fault models around the pure crates of production.
//!
//! It has no clock, no threads and no input or output of its own. Gateway threads are simulated ones: each has
//! its own half of a policy, and hears from others with a delay, as in production.
//!
//! Two engines share their models of services: the suite judges limiter and queue alone against oracles; the
//! [`fleet`] drives whole calls through gateways, as a user's scenario describes them. For days and months the same
//! scenario has a [`fluid`] run: expectations for each second in place of requests.

mod agenda;
mod arena;
mod calendar;
pub mod days;
pub mod fit;
pub mod fleet;
pub mod fluid;
mod gateway;
mod governing;
pub mod incidents;
pub mod oracle;
mod random;
mod record;
pub mod rollouts;
mod scenario;
pub mod scenarios;
mod score;
pub mod search;
mod service;
mod simulation;
mod station;
pub mod suite;
mod waiting;
pub mod without;

pub use agenda::Nanos;
pub use calendar::Calendar;
pub use gateway::Policy;
pub use governing::{Decisions, GivesUp, Governed, Noted};
pub use random::Spread;
pub use record::{Latencies, Record, Second};
pub use scenario::{Flood, Load, Phase, Scenario};
pub use score::{PhaseScore, Score};
pub use service::{Dependency, Server, Service};
pub use simulation::{Run, simulate};
