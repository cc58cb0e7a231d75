//! What holds of admission whatever comes: with one to four threads whose turns are drawn, and as numbers where a
//! share or a bound is promised.
//!
//! The threads' halves run in one thread of the machine, in any order between calls; orders within a call are
//! loom's ([`orders`], under `--cfg loom`).

#[cfg(not(loom))]
mod cases;
#[cfg(not(loom))]
mod control;
#[cfg(not(loom))]
mod load;
#[cfg(loom)]
mod orders;
#[cfg(not(loom))]
mod properties;
#[cfg(not(loom))]
mod world;

use std::time::Duration;

use plimsoll_core::Class;

use super::{AdmissionParameters, Arriving, LimiterKind};

/// A request of the usual kind.
fn request(class: Class, tenant: u64) -> Arriving {
    Arriving {
        class,
        tenant,
        weight: 1.0,
        group: 0,
        time_left: Duration::from_secs(30),
    }
}

/// A limit that stays.
fn fixed(limit: u32) -> AdmissionParameters {
    AdmissionParameters {
        limiter: LimiterKind::Fixed(limit),
        ..AdmissionParameters::default()
    }
}
