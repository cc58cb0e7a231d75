//! Goal: Plimsoll does what its issue and docs promise, as the people who run it see it.
//!
//! Method: the real program as child processes, real peers (hyper, curl, nginx, tonic, tungstenite), and
//! services that misbehave on purpose. Each module opens with its own goal and method.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod access;
mod apply;
mod approvals;
mod browser;
mod budgets;
mod cache;
mod cache_purge;
mod cache_rules;
mod child;
mod command_line;
mod console_actions;
mod console_harm;
mod console_incident;
mod console_pages;
mod console_reach;
mod degrade_brownout;
mod degrade_fallback;
mod demo;
mod explain;
mod figures;
mod flags;
mod flags_gateway;
mod flags_managed;
mod forward;
mod governor;
mod hedge;
mod hostile;
mod incident;
mod journal;
mod large;
mod load;
mod notify;
mod overlay;
mod protection;
mod queue;
mod reload;
mod report;
mod rollout;
mod rollout_split;
mod script;
mod shutdown;
mod slo;
mod tls;
mod tunnel;
mod upgrade;
