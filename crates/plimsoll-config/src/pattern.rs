//! Host and path patterns of routes, and how specific they are.
//!
//! Elsewhere: which of many routes a request takes (`plimsoll-gateway`'s router).

mod host;
mod path;

pub use host::{HostPattern, HostPatternError};
pub use path::{PathPattern, PathPatternError, Segment, normal_form, path_segments};
