//! One TOML file to a validated model, with diagnostics that point at the line.

mod model;
mod pattern;

pub use model::*;
pub use pattern::{HostPattern, PathPattern, Segment};
