//! One call (an HTTP request, a message, a query) from its arrival to its settlement.
//!
//! The one piece that gateway, queue dispatch, Postgres proxy and simulator all drive: it keeps the order of
//! the [stages](Stage), owns outcomes, deadlines and permits, and settles each call exactly once, also
//! when the call is dropped half-way or its task panics. It does no I/O: the shell tells it what happened,
//! and it says what to do next.

mod attempt_end;
mod call;
mod guard;
mod held;
mod stage;

pub use attempt_end::report_attempt_end;
pub use call::{
    Again, Arrival, Asked, Attempt, AttemptEnd, Bounds, Call, Effects, Identity, Protocol, Routed,
    Settlement, Verdict, Which,
};
pub use guard::{
    Counter, Guard, GuardControl, GuardCounters, GuardParameters, GuardShared, SHED_STEPS, Steps,
    refusal_cause,
};
pub use held::held_for;
pub use stage::Stage;
