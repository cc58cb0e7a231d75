//! What keeps requests from an endpoint, told to whoever follows its requests: policies and measures do not know each other.

use plimsoll_measure::Held;
use plimsoll_policy::DownCause;

/// How an endpoint stands that is down because of this; `None`: it is up.
pub const fn held_for(cause: Option<DownCause>) -> Held {
    match cause {
        None => Held::In,
        Some(DownCause::Checks | DownCause::Connect) => Held::Gone,
        Some(DownCause::Breaker | DownCause::Ejection) => Held::Judged,
    }
}
