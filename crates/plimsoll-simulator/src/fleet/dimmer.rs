//! How much optional content a gateway leaves out, each second, below what its governor allows.
//!
//! The counterpart of the process's `governing/dimming.rs`. Here the service's latency objective is what it is steered by,
//! whichever the step was taken for.

use std::time::Duration;

use plimsoll_core::{Instant, Ratio};
use plimsoll_measure::{Histogram, ObjectiveSpec, Sli};
use plimsoll_policy::{BrownoutControl, BrownoutParameters, BrownoutReading, BrownoutShared};

/// So many parts of the content are dimmed one after the other.
pub(super) const FEATURES: usize = 4;

#[derive(Debug)]
pub(super) struct Dimmer {
    control: BrownoutControl,
    /// The target of the latency objective.
    target: Option<Ratio>,
    unread: Histogram,
}

impl Dimmer {
    pub(super) fn new(specs: &[ObjectiveSpec]) -> Self {
        let of_all = specs.iter().filter(|it| it.classes.is_empty());
        let mut of_latency = of_all.filter_map(|it| match it.sli {
            Sli::Latency { below } => Some((it.target, below)),
            Sli::Availability => None,
        });
        let followed = of_latency.next();
        let parameters = BrownoutParameters {
            features: FEATURES,
            below: followed.map_or(Duration::MAX, |(_, below)| below),
        };
        Self {
            control: BrownoutControl::new(parameters, Instant::ORIGIN),
            target: followed.map(|(target, _)| target),
            unread: Histogram::default(),
        }
    }

    pub(super) fn on_second(
        &mut self,
        now: Instant,
        ceiling: Ratio,
        latencies: &Histogram,
        shared: &BrownoutShared,
    ) {
        self.control.set_ceiling(ceiling);
        self.unread.merge(latencies);
        let Some(target) = self.target else {
            self.control.dim_to_ceiling(shared);
            return;
        };
        let latency = self.unread.quantile(target.get());
        let reading = BrownoutReading {
            completions: self.unread.count(),
            latency: latency.unwrap_or_default(),
        };
        if self.control.tick(now, &reading, shared) {
            self.unread = Histogram::default();
        }
    }
}
