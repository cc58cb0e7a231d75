//! Histograms, windows, outcomes, objectives and error-budget arithmetic.

mod outcome;

pub use outcome::{Cause, Origin, Outcome, grpc_status_is_bad};
