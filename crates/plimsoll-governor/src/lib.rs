//! The governor: judges each service against its objectives, moves the least harmful actuator that may stop the burn,
//! and steps back once it has stopped.
//!
//! Pure: [`Governor::on_tick`] is told the time and what a second brought, and says what was decided. It keeps no
//! clock, and its state serialises, so that each decision can be made again from what it was made of.

mod actuator;
mod basis;
mod blame;
mod condition;
mod decision;
mod governor;
mod ladder;
mod memory;
mod onsets;
mod pager;
mod recent;
mod service;
mod signals;
mod suspects;

pub use actuator::{Actuator, Degradable};
pub use basis::{Basis, Decided};
pub use condition::Burn;
pub use decision::{Because, Decision, Evidence, Span, What};
pub use governor::{Governor, Parameters, Rule, ServiceParameters};
pub use memory::Memory;
pub use onsets::{Change, ChangeKind, Dose, Look, Onsets, Part, PartKind, Place, Scope};
pub use pager::{Absence, Page};
pub use plimsoll_measure::Condition;
pub use service::ServiceState;
pub use signals::{Demand, Meter, ObjectiveSignals, ServiceSignals, Signals, Standing};
