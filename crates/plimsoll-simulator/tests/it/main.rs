//! Limiter and admission over the scenarios: what is required of them, and what has to fail it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod controls;
mod kernel;
mod oracles;
mod parallel;
mod soak;
mod suite;
