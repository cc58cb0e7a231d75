//! Flags: where they come from, and who may ask for them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use plimsoll_policy::flag::FractionalVersion;

use super::{Secret, SplitBy};

/// `[flags]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Where they come from.
    pub source: FlagSource,
    /// Where OFREP is served; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// One of which a client must have; empty: none.
    pub tokens: Vec<Secret>,
    /// Origins of pages that may ask from a browser; `*`: all.
    pub origins: Vec<String>,
    /// How `fractional` splits.
    pub fractional: FractionalVersion,
    /// Which header or cookie of a request has the targeting key, where the gateway goes by flags; `None`: it has none.
    pub user: Option<SplitBy>,
    /// What more is known of a request there: attribute -> header (lower case).
    pub attributes: BTreeMap<String, String>,
}

/// Where flags come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagSource {
    /// There are none.
    None,
    /// This file.
    File(PathBuf),
    /// What people made of them with `plimsoll flag`.
    Managed,
}
