//! The demo: one shop behind a plain proxy and the same shop behind Plimsoll, under the same load.
//!
//! [`run`] starts six processes of which it is one: a load generator that offers the same arrivals to
//! both arms, and for each arm a shop and the proxy in front of it. The generator and the shops are this
//! same program, started as `demo-part`: see [`run_part`]. They talk JSON lines over standard input and
//! output, and end when their input ends, so that nothing outlives the demo, whatever ended it.
//!
//! Invariant: the two arms differ in the proxy and in nothing else: same seed, same arrivals, same work. Where a bad version comes
//! they differ in how it does, too.
//! Figures are what clients saw, from the *intended* send time; nothing is taken from a proxy's own count.

#![cfg_attr(test, allow(clippy::float_cmp))]

// What happens, and to what: pure.
mod arrivals;
mod catalogue;
mod deploy;
mod options;
mod plan;

// The processes.
mod arm;
mod child;
mod clock;
mod cpu;
mod insight;
mod interrupt;
mod journal;
mod limits;
mod load;
mod message;
mod part;
mod peak;
mod proxy;
mod rollout;
mod shop;

// What came of it.
mod conclusion;
mod report;
mod table;
mod verdict;

// The one that brings it all together.
mod director;
mod plain;
mod screen;

pub use director::run;
pub use options::{Against, DemoOptions, Length, Scene};
pub use part::run_part;
pub use plan::PhaseKind;
pub use report::{
    ArmFigures, DeployFigures, KindFigures, OriginFigures, PhaseFigures, Report, UserFigures,
};
pub use verdict::{Comparison, Finding, contradictions, verdict};
