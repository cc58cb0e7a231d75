//! Goal: what the two servers answer to real connections, and above all what they refuse.
//!
//! Method: each test starts a server on a free loopback port and talks HTTP/1.1 to it by hand, so that what
//! is sent is exactly what is meant.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails ends the test"
)]

mod actions;
mod console;
mod deeds;
mod openapi;
mod ops;
mod requests;
mod server;
mod world;
