//! Upstream over real sockets on free ports of this machine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod bulkhead;
mod health;
mod pool;
mod resolve;
mod support;
mod tls;
