//! Rollouts whose truth is known: versions that are no worse, and versions that are, judged by the machine of production and,
//! beside it, by fixed thresholds and by Mann and Whitney's test.
//!
//! Counts are drawn for each interval and arm, not requests: an hour of rollout takes a fraction of a millisecond. How many
//! requests there are in an interval may be rounded from a normal distribution, as every judge takes that as given; how many are bad of them is exact.

mod draw;
mod peers;
mod trial;
mod world;

pub use peers::{Binomial, Fixed, MannWhitney};
pub use trial::{Trial, by_peers, by_plimsoll};
pub use world::{Change, Course, Glitch, Shape, Traffic, World};
