//! The data plane with sockets: real services behind it, real clients before it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod mirror;
mod rollout;
mod running;
