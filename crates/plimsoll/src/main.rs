//! The Plimsoll program: command line, wiring, the real clock and random seed.
//!
//! Here the shells meet. The main thread is the control thread: it ticks what is measured, checks health,
//! resolves names, serves the console, takes signals and reloads. The data plane's threads
//! (`plimsoll-gateway`) never wait for it.

mod access;
mod approval;
mod approvals;
mod asked;
mod budgets;
mod cache;
mod cli;
mod client;
mod configuration;
mod degrade;
mod descriptors;
mod exit;
mod explain;
mod flags;
mod freeze;
mod freezes;
mod governing;
mod incident;
mod incidents;
mod journal;
mod kept;
mod launch;
mod notify;
mod notifying;
mod overlay;
mod past;
mod plan;
mod planning;
mod process;
mod queues;
mod rollout;
mod rollouts;
mod simulate;
mod slo;
mod state;
mod status;
mod systemd;
mod token;
mod top;
mod touching;
mod upgrade;
mod view;
mod watching;
mod water;
mod wiring;
mod without;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
