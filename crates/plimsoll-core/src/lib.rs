//! What every part of Plimsoll shares: points in time, ratios, identifiers, invariants.
//!
//! Pure: nothing here reads a clock, a socket or a random number. A shell reads the clock and passes
//! `now` down, so that what runs in the simulator is what runs in production.

mod cookie;
mod id;
mod invariant;
mod ratio;
mod time;

pub use cookie::{is_session_cookie, session_cookie};
pub use id::{Class, EndpointId, Mode, RouteId, ServiceId};
pub use invariant::{never_count, record_never};
pub use ratio::{NotARatio, Ratio};
pub use time::{Instant, Timestamp};
