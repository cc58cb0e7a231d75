//! Flags for the code of services: a set in force, and OFREP for whoever asks.
//!
//! A shell. What a flag is for somebody is decided in `plimsoll_policy::flag`; here are the set that is in force
//! ([`FlagStore`]), the file it may come from, and the server, on a thread of its own ([`FlagService`]): neither the data plane
//! nor the console waits for those who ask for flags, nor they for them.
//!
//! Source: the OpenFeature Remote Evaluation Protocol, 0.3.
//! Invariants: the set in force is valid and swapped whole; what a client sends is bounded in size and time, and so is how
//! many are connected.
//! Elsewhere: who may change flags, and the record of it (the binary, `plimsoll-console`).

mod answer;
mod connection;
mod file;
mod guard;
mod ofrep;
mod service;
mod store;

pub use file::FlagFile;
pub use service::{FlagEvent, FlagService, FlagServiceOptions, OfrepOptions};
pub use store::{Counts, FlagStore, Served};
