//! What the governor knows that is worth more than a restart: who was called, and the evidence so far.
//!
//! A page at five requests an hour takes a day of evidence, and the bar that it has to pass is learnt over weeks. What was
//! moved is not remembered: a service that burns is found again within seconds, and one that does not should not
//! begin with requests refused.
//! Units: seconds of the governor's clock, so that has to be the calendar.

use std::collections::BTreeMap;

use plimsoll_core::Ratio;
use serde::{Deserialize, Serialize};

use crate::pager::Pager;

/// See the module's docs. By service and objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory(pub(crate) BTreeMap<String, BTreeMap<String, Remembered>>);

/// What is known of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// With another one it is of no use.
    pub(crate) target: Ratio,
    pub(crate) pager: Pager,
}

impl Remembered {
    /// A target may have lost its last digit on its way through a store.
    pub(crate) fn is_for(&self, target: Ratio) -> bool {
        (self.target.get() - target.get()).abs() < 1e-12
    }
}
