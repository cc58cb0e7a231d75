//! What the process of a gateway would remember of a run: the courses of its services, from the pieces that production has.
//!
//! The counterpart of `plimsoll`'s `process.rs`. Units: seconds since [`BEGIN`].

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use plimsoll_lifecycle::{Settlement, held_for};
use plimsoll_measure::{
    CauseCounts, Courses, Held, Histogram, Record, Series, SparseHistogram, Standing, TurnsWatch,
};
use plimsoll_policy::Verdict;

use super::timeline::Level;

/// The second at which a run begins.
pub const BEGIN: u64 = 1_000_000;

/// What was counted since the last second, and what is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    services: Vec<Service>,
    courses: Courses,
}

/// Where threads count.
pub(super) type Shared = Rc<RefCell<Memory>>;

#[derive(Debug)]
struct Service {
    name: String,
    all: Counted,
    endpoints: Vec<Counted>,
    turns: TurnsWatch,
}

#[derive(Debug)]
struct Counted {
    series: Series,
    causes: CauseCounts,
    latency: Histogram,
}

impl Memory {
    /// Of services, with how many endpoints each has.
    pub(super) fn new<'a>(services: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let service = |(name, endpoints): (&str, usize)| Service {
            name: name.to_owned(),
            all: Counted::new(),
            endpoints: (0..endpoints).map(|_| Counted::new()).collect(),
            turns: TurnsWatch::default(),
        };
        Self {
            services: services.map(service).collect(),
            courses: Courses::default(),
        }
    }

    /// A call ended.
    pub(super) fn settle(&self, settlement: &Settlement) {
        let service = settlement.service.map(|id| id.index());
        let Some(service) = service.and_then(|index| self.services.get(index)) else {
            return;
        };
        let record = Record {
            class: settlement.class,
            cause: settlement.cause,
            latency: settlement.latency(),
            bytes_in: 0,
            bytes_out: 0,
            objectives: Record::ALL,
        };
        service.all.series.record(0, &record);
        let endpoint = settlement.endpoint.map(|id| id.index());
        if let Some(endpoint) = endpoint.and_then(|index| service.endpoints.get(index)) {
            endpoint.series.record(0, &record);
        }
    }

    /// The second is over that ends `at`, since the run's beginning.
    pub(super) fn on_second(
        &mut self,
        at: u64,
        levels: impl Iterator<Item = Level>,
        verdicts: impl Iterator<Item = (usize, usize, Verdict)>,
    ) {
        let mut held: Vec<Vec<Held>> = self
            .services
            .iter()
            .map(|service| vec![Held::In; service.endpoints.len()])
            .collect();
        for (service, endpoint, verdict) in verdicts {
            let place = held.get_mut(service).and_then(|it| it.get_mut(endpoint));
            if let Some(place) = place {
                *place = held_for(verdict.cause());
            }
        }
        for ((service, held), level) in self.services.iter_mut().zip(held).zip(levels) {
            for (index, (endpoint, held)) in service.endpoints.iter_mut().zip(held).enumerate() {
                let (causes, latency) = endpoint.since();
                let name = index.to_string();
                service.turns.on_second(&name, held, &causes, &latency);
            }
            let (causes, latency) = service.all.since();
            let standing = Standing {
                limit: level.limit.map(|limit| limit as u32),
                in_flight: level.in_flight as u32,
                queued: level.waiting as u32,
                turns: service.turns.turns(),
                // Whoever is asked what it remembers is a fleet with its policies.
                acts: true,
            };
            let second = Duration::from_secs(1);
            self.courses.on_second(
                &service.name,
                BEGIN + at,
                second,
                &causes,
                &latency,
                standing,
            );
        }
    }

    /// What is remembered.
    pub(super) fn courses(&mut self) -> Courses {
        std::mem::take(&mut self.courses)
    }
}

impl Counted {
    fn new() -> Self {
        Self {
            series: Series::new(1, Vec::new()),
            causes: CauseCounts::default(),
            latency: Histogram::new(),
        }
    }

    /// What came since this was last asked.
    fn since(&mut self) -> (CauseCounts, SparseHistogram) {
        let totals = self.series.read();
        let all = totals.causes();
        let causes = all.since(&self.causes);
        let latency = SparseHistogram::between(&self.latency, &totals.latency);
        (self.causes, self.latency) = (all, totals.latency);
        (causes, latency)
    }
}
