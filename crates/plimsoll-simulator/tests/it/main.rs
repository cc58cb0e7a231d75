//! Limiter and admission over the scenarios: what is required of them, and what has to fail it. Whole calls before
//! services, as a user's scenario describes them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly"
)]

mod calls;
mod causes;
mod controls;
mod fleet;
mod fluid;
mod governor;
mod kernel;
mod loads;
mod machine;
mod oracles;
mod parallel;
mod scale;
mod search;
mod soak;
mod suite;
