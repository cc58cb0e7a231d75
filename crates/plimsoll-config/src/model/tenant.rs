//! Tenants, and the rates that routes hold them to.

use std::fmt;
use std::path::PathBuf;

use plimsoll_core::Mode;

/// `[tenant.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Values of a route's tenant header that are this tenant; at least one.
    pub keys: Vec<Secret>,
    /// Its share beside tenants of weight 1, in `0.01..=100.0`.
    pub weight: f32,
}

/// A value that may be secret, and where it comes from. Its `Debug` never shows a value.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// As it stands in the file; never empty.
    Plain(String),
    /// The value of this environment variable.
    Env(String),
    /// The content of this file, without spaces and line ends around it.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Plain(..)"),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// One entry of `rate = [...]`
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// Unique in its route, letters, digits, `-` and `_` (generated as `rate-N` where not given).
    pub name: String,
    /// Requests per second in the long run; above zero, at least one in a day.
    pub per_second: f64,
    /// Requests at once after a rest, at least one.
    pub burst: u32,
    /// What each has a rate of its own.
    pub by: RateBy,
    /// What a request counts as; `None` = one.
    pub cost: Option<Cost>,
    /// Whether it acts.
    pub mode: Mode,
}

/// What each has a rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateBy {
    /// Each tenant.
    Tenant,
    /// Each client address.
    Address,
    /// The route: all its requests together.
    Route,
}

/// `cost = { header, max }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The header with the number of requests that this one counts as (lower case).
    pub header: String,
    /// A larger number counts as this; at least one, at most the burst.
    pub max: u32,
}
