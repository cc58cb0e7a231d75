//! A run without single requests: what is expected of each second, for days and months.
//!
//! The same scenario as the [`fleet`](crate::fleet)'s. Requests are flows: so many a second come, so many are refused, so many
//! are answered in time, by closed forms of queueing theory (`latency`, `station`) in place of what each policy does
//! to each request. Judgement is not a model: the counts of each second go through the objectives, budgets and burn
//! pages that production's do (`budget`).
//!
//! What it can't know: how long it takes to find a limit or an ill endpoint (both are known at once), noise
//! (it gives expectations), and what depends on single requests. `tests/it/fluid.rs` says how far it is off, scenario
//! by scenario.

mod budget;
mod demand;
mod endpoints;
mod give;
mod govern;
mod latency;
mod law;
mod retries;
mod run;
mod station;
mod sums;

pub use budget::{BudgetPoint, BurnAlarm, Judgement};
pub use run::{Fluid, FluidError, FluidSecond};
