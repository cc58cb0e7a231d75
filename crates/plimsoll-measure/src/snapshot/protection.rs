//! What protections do to the requests of a service, and what they would do while they only observe.
//!
//! A refusal that is enforced ends a request, so it is counted by its cause; everything else that a policy
//! does, and all that it would do, is an [`ActionView`].
//! Words: *refused* is each cause of [`REFUSALS`], *shed* the one of them that says what did not fit.

use plimsoll_core::{Class, Mode};
use serde::{Deserialize, Serialize};

use crate::outcome::Cause;

/// The causes of requests that a protection refused.
pub const REFUSALS: [Cause; 8] = [
    Cause::Shed,
    Cause::QueueTimeout,
    Cause::Deadline,
    Cause::ReadOnly,
    Cause::Throttled,
    Cause::Bulkhead,
    Cause::RateLimited,
    Cause::Overloaded,
];

/// Those of [`REFUSALS`] that say that more was asked of the service than fits. The others speak of one client, of a
/// request that had no time left, of a service that fails, of a bound somebody set, or of Plimsoll itself: less of the
/// service's traffic is no help there.
pub const DOES_NOT_FIT: [Cause; 2] = [Cause::Shed, Cause::QueueTimeout];

/// The policy that refuses with a cause of [`REFUSALS`], as its key in the configuration is called.
pub const fn refusing_policy(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Shed => Some("limiter"),
        Cause::QueueTimeout => Some("queue"),
        Cause::Deadline => Some("deadline"),
        Cause::ReadOnly => Some("degrade"),
        Cause::Throttled => Some("throttle"),
        Cause::Bulkhead => Some("bulkhead"),
        Cause::RateLimited => Some("rate"),
        Cause::Overloaded => Some("gateway"),
        _ => None,
    }
}

/// How the protections of a service stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProtectionView {
    /// Of the limiter and its queue; while it is `observe`, the limit is what would hold.
    pub mode: Mode,
    /// How many requests may be in flight; `null` where there is no limit.
    pub limit: Option<u32>,
    /// What the limit never exceeds; `null` where nothing moves it.
    pub limit_max: Option<u32>,
    /// Why the limit is what it is: `start`, `hold`, `grow`, `shrink`, `over the line`, `not ours`,
    /// `timeouts`, `stall`, or `fixed`; `null` without a limit.
    pub limit_reason: Option<String>,
    /// Permits in use now.
    pub in_flight: u64,
    /// How long a request may be predicted to wait; `null` where none waits.
    pub wait_max_seconds: Option<f64>,
    /// The latency that is worked for; `null` where it is not known.
    pub objective_seconds: Option<f64>,
    /// Whether that is assumed, for want of a declared one.
    pub objective_assumed: bool,
    /// Refused over the last 10 s; `null` where nothing was observed yet.
    pub refused_per_second: Option<f64>,
    /// All classes, the highest first.
    pub classes: Vec<ClassView>,
    /// What was refused since the start, by class and cause; none that is zero.
    pub refused: Vec<RefusedView>,
    /// What policies in mode `enforce` did besides refusing, since the start.
    pub did: Vec<ActionView>,
    /// What policies in mode `observe` would have done, since the start. A policy that observes is there even
    /// while it counted nothing.
    pub would: Vec<ActionView>,
}

/// A class of a service's requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassView {
    /// Which.
    pub class: Class,
    /// Requests that wait now.
    pub queued: u64,
    /// Requests over the last minute.
    pub requests: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// The share of them that were refused; `null` without requests.
    pub refused_share: Option<f64>,
}

/// Requests of one class that were refused with one cause.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedView {
    /// Their class.
    pub class: Class,
    /// Their cause.
    pub cause: Cause,
    /// Over the last minute.
    pub count: u64,
    /// Since the start.
    pub total: u64,
}

/// What a policy did, or would have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionView {
    /// As its key in the configuration is called.
    pub policy: String,
    /// What it did, as in "it would have ...": `shed`, `retried`, `ejected`.
    pub outcome: String,
    /// To requests of this class; `null` where class plays no part.
    pub class: Option<Class>,
    /// How often, since the start.
    pub count: u64,
    /// Of the service's requests since the start; `null` where something else is counted than requests, and
    /// without requests.
    pub share: Option<f64>,
    /// How many requests ended better by it, or would have; `null` where that can't be told.
    pub saved: Option<u64>,
}

impl ProtectionView {
    /// Requests that wait now, over all classes.
    pub fn queued(&self) -> u64 {
        self.classes.iter().map(|class| class.queued).sum()
    }

    /// Whether a limit is in force.
    pub fn limits(&self) -> bool {
        self.mode == Mode::Enforce && self.limit.is_some()
    }

    /// How many requests of a class each cause of [`REFUSALS`] ended since the start, zeros included.
    pub fn refused_of(&self, class: Class) -> [(Cause, u64); REFUSALS.len()] {
        REFUSALS.map(|cause| {
            let mut refused = self.refused.iter();
            let found = refused.find(|refused| refused.class == class && refused.cause == cause);
            (cause, found.map_or(0, |refused| refused.total))
        })
    }

    /// What was refused over the last minute.
    pub fn refused_lately(&self) -> u64 {
        self.classes.iter().map(|class| class.refused).sum()
    }

    /// What was refused since the start.
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().map(|refused| refused.total).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_and_nothing_else_has_a_policy() {
        for cause in Cause::ALL {
            assert_eq!(
                refusing_policy(*cause).is_some(),
                REFUSALS.contains(cause),
                "{}",
                cause.name()
            );
        }
    }
}
