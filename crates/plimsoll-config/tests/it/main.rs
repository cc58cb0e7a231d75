//! The crate as its users see it: whole files in, a model or diagnostics out.

mod degrade;
mod difference;
mod files;
mod flags;
mod golden;
mod model;
mod notify;
mod properties;
mod protect;
mod queues;
mod rollout;
mod scenario;
mod schema;
mod tenants;
