//! The governor of a fluid run: one for all gateways, since all see the same shares.
//!
//! What is expected of each second is counted as whole requests; what is left of one is kept for the next second. Units:
//! requests, as shares of one too.

use plimsoll_core::{Class, Instant};
use plimsoll_governor::{Actuator, Standing};
use plimsoll_measure::{Counts, ObjectiveSpec, Sli, upper_nanos};

use super::demand::{Sent, of_class};
use super::give::Steps;
use super::station::{Outcome, Station};
use crate::agenda::{Nanos, SECOND};
use crate::governing::{Counting, Decisions, Governed, Governing};

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Govern {
    governing: Governing,
    counted: Vec<Counting>,
    /// By service.
    expected: Vec<Expected>,
    decisions: Decisions,
}

#[derive(Debug)]
struct Expected {
    requests: f64,
    let_in: [f64; Class::ALL.len()],
    refused: f64,
    /// These only grow.
    governed: f64,
    retries: f64,
    asked: f64,
    writes: [f64; Class::ALL.len()],
    /// Of each objective: good, bad by the service, bad by refusal.
    objectives: Vec<(ObjectiveSpec, [f64; 3])>,
}

impl Govern {
    pub(super) fn new(governed: &Governed) -> Self {
        let counted = Counting::all(governed);
        let expected = counted.iter().map(|counting| Expected {
            requests: 0.0,
            let_in: [0.0; Class::ALL.len()],
            refused: 0.0,
            governed: 0.0,
            retries: 0.0,
            asked: 0.0,
            writes: [0.0; Class::ALL.len()],
            objectives: counting
                .specs()
                .iter()
                .map(|spec| (spec.clone(), [0.0; 3]))
                .collect(),
        });
        Self {
            expected: expected.collect(),
            governing: Governing::new(governed),
            counted,
            decisions: Decisions::default(),
        }
    }

    /// What becomes of a workload's requests in a step.
    pub(super) fn count(
        &mut self,
        service: usize,
        objective: f64,
        sent: &[Sent],
        outcomes: &[Outcome; Class::ALL.len()],
    ) {
        let Some(expected) = self.expected.get_mut(service) else {
            return;
        };
        for (class, outcome) in Class::ALL.into_iter().zip(outcomes) {
            let requests = of_class(sent, class.index());
            expected.requests += requests;
            if let Some(let_in) = expected.let_in.get_mut(class.index()) {
                *let_in += requests * (1.0 - outcome.refused);
            }
            if let Some(writes) = expected.writes.get_mut(class.index()) {
                *writes += requests * outcome.writes;
            }
            // What is read-only says nothing of what fits.
            expected.refused += requests * (outcome.refused - outcome.read_only);
            expected.asked += requests * outcome.asked;
            expected.governed += requests * outcome.governed;
            expected.retries += requests * outcome.again;
            for (spec, [good, bad, refused]) in &mut expected.objectives {
                if !spec.classes.is_empty() && !spec.classes.contains(&class) {
                    continue;
                }
                let in_time = match spec.sli {
                    Sli::Availability => outcome.answered,
                    Sli::Latency { below } if below.as_secs_f64() == objective => outcome.in_time,
                    Sli::Latency { below } => outcome.within(below.as_nanos() as u64),
                };
                *good += requests * in_time;
                *bad += requests * (outcome.failed() + outcome.answered - in_time);
                *refused += requests * outcome.refused;
            }
        }
    }

    /// A second is over: decides, and moves.
    pub(super) fn on_second(&mut self, now: Nanos, stations: &mut [Station]) {
        let now = Instant::from_nanos(now.div_ceil(SECOND) * SECOND);
        for (counting, expected) in self.counted.iter_mut().zip(&mut self.expected) {
            let requests = whole(&mut expected.requests);
            let let_in = expected.let_in.each_mut().map(whole);
            let refused = whole(&mut expected.refused);
            let objectives = expected.objectives.iter_mut();
            let counts = objectives.map(|(_, [good, bad, refused])| {
                let (good, bad_service, refused) = (whole(good), whole(bad), whole(refused));
                Counts {
                    good,
                    bad: bad_service + refused,
                    bad_service,
                }
            });
            counting.set(requests, refused, let_in, counts);
        }
        let (expected, known) = (&self.expected, &*stations);
        let standing = |index: usize| {
            let full = known.get(index).is_some_and(Station::is_full);
            expected
                .get(index)
                .map_or_else(Standing::default, |it| Standing {
                    retries: it.retries as u64,
                    hedges: 0,
                    governed: it.governed as u64,
                    stale: it.asked as u64,
                    writes: it.writes.map(|writes| writes as u64),
                    waiting: u64::from(full),
                    in_flight: u64::from(full),
                    limit: Some(1),
                })
        };
        let decisions = &mut self.decisions;
        self.governing
            .tick(now, 0, &mut self.counted, standing, decisions);
        for (index, station) in stations.iter_mut().enumerate() {
            let step = |actuator| self.governing.step(index, actuator);
            station.govern(Steps {
                no_retries: step(Actuator::Retry) > 0,
                spares: step(Actuator::Stale) > 0,
                dimmed: Actuator::dimmed_max(step(Actuator::Brownout)).get(),
                shed: step(Actuator::Shed),
                read_only: step(Actuator::ReadOnly) > 0,
            });
        }
    }

    pub(super) fn decisions(&self) -> &Decisions {
        &self.decisions
    }
}

/// Takes whole ones.
fn whole(sum: &mut f64) -> u64 {
    // What adds up to a whole one may be a rounding error short of it.
    let whole = (*sum + 1e-9) as u64;
    *sum = (*sum - whole as f64).max(0.0);
    whole
}

impl Outcome {
    /// The share that the service failed.
    fn failed(&self) -> f64 {
        self.errors + self.connect
    }

    /// The share that is answered within this time, to the histogram's resolution.
    fn within(&self, nanos: u64) -> f64 {
        let parts = self.profiles.iter().map(|(profile, share)| {
            let slots = profile.slots.iter();
            let in_time = slots.filter(|(slot, _)| upper_nanos(*slot) <= nanos);
            share * in_time.map(|(_, of_it)| of_it).sum::<f64>()
        });
        parts.sum()
    }

    /// So much is let in by the governor's shed level, the rest is refused.
    pub(super) fn shed(&mut self, let_in: f64) {
        self.governed = 1.0 - let_in;
        self.refused = self.governed + let_in * self.refused;
        self.scale(let_in);
    }

    /// The same of so much less, but for what is refused.
    pub(super) fn scale(&mut self, part: f64) {
        for share in [
            &mut self.errors,
            &mut self.connect,
            &mut self.gone,
            &mut self.in_time,
            &mut self.answered,
            &mut self.again,
        ] {
            *share *= part;
        }
        for (_, share) in &mut self.profiles {
            *share *= part;
        }
    }
}
