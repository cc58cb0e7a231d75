//! Gateways before services, as a scenario file describes them.
//!
//! Every request is a `plimsoll_lifecycle::Call`, the one that production drives: it asks the same guards for
//! permits, waits in the same queues, is sent where the same balancers and the same health of endpoints send
//! it, and is tried again under the same budget. What the shell does in production is done here, without
//! sockets: a call's effects (`thread`), the ticks of the control thread (`gateway`), and all that waits for a
//! time (`simulation`). What is outside of Plimsoll is a model: clients (`clients`) and endpoints (`site`), which may call
//! other services, through the gateways, before they answer (`simulation/calls`).
//!
//! Not in it: hedges, declared rates, active checks, Plimsoll's own protection, slow clients, bodies. The network (`network`)
//! takes no time unless a fault is in it.

pub(crate) mod clients;
mod dimmer;
mod event;
mod gateway;
mod known;
mod ledger;
mod memory;
mod network;
mod population;
pub(crate) mod rate;
mod senders;
mod simulation;
mod site;
mod slab;
mod thread;
mod timeline;
mod views;

pub use clients::Recorded;
pub use gateway::Protection;
pub use ledger::{Cell, Ledger};
pub use memory::BEGIN;
pub use simulation::Simulation;
pub(crate) use site::healthy;
pub use timeline::{Level, Second, Timeline};
