//! What a scenario is: phases of load on a service, and who sends it.
//!
//! Units: load in multiples of the nominal capacity, which is that of the first phase's service; times in
//! seconds or milliseconds as named. Elsewhere: the 52 scenarios themselves (`scenarios`).

use crate::agenda::{NEVER, Nanos, SECOND};
use crate::service::Service;

/// How load goes over a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// The same all the time.
    Steady(f64),
    /// `base`, and `peak` for the first `lasts` milliseconds of each `every`.
    Bursts {
        /// Between bursts.
        base: f64,
        /// In a burst.
        peak: f64,
        /// Milliseconds of a burst.
        lasts: u32,
        /// Milliseconds from one burst to the next.
        every: u32,
    },
    /// From one to the other in a straight line.
    Ramp {
        /// At the phase's start.
        from: f64,
        /// At its end.
        to: f64,
    },
}

/// Steps in which a ramp goes.
const RAMP_STEP: Nanos = SECOND / 10;

impl Load {
    /// The load at a time after the phase's start, and until when, as times since that start.
    pub(crate) fn at(self, into: Nanos, lasts: Nanos) -> (f64, Nanos) {
        match self {
            Self::Steady(load) => (load, NEVER),
            Self::Bursts {
                base,
                peak,
                lasts,
                every,
            } => {
                let every = Nanos::from(every.max(1)) * 1_000_000;
                let (began, burst) = (into / every * every, Nanos::from(lasts) * 1_000_000);
                // The burst comes last: a phase begins as it would go on without one.
                if into - began < every - burst {
                    (base, began + every - burst)
                } else {
                    (peak, began + every)
                }
            }
            Self::Ramp { from, to } => {
                let part = (into as f64 / lasts.max(1) as f64).min(1.0);
                (from + part * (to - from), into + RAMP_STEP)
            }
        }
    }

    /// The mean over a phase.
    pub fn mean(self) -> f64 {
        match self {
            Self::Steady(load) => load,
            Self::Bursts {
                base,
                peak,
                lasts,
                every,
            } => base + (peak - base) * f64::from(lasts) / f64::from(every),
            Self::Ramp { from, to } => (from + to) / 2.0,
        }
    }
}

/// A part of a scenario in which nothing changes but what its load says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// How long it lasts.
    pub seconds: u32,
    /// What is sent.
    pub load: Load,
    /// What it is sent to.
    pub service: Service,
    /// Whether nothing must be refused.
    pub healthy: bool,
}

/// Who sends requests besides the usual one tenant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flood {
    /// The share of all requests that one tenant sends.
    pub share: f64,
    /// Between how many tenants the rest is divided.
    pub others: u32,
}

/// A workload on a service, with its faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// The latency objective in milliseconds.
    pub objective: u32,
    /// When clients give up, in milliseconds: twice the objective if nothing else is said. Where it is less than
    /// the objective, clients hang up without the gateway's knowing when.
    pub patience: u32,
    /// The limit to begin with.
    pub start: u32,
    /// The shares of critical, standard and sheddable requests.
    pub classes: [f64; 3],
    /// How often a client tries again.
    pub retries: u8,
    /// The share of requests that belong to the slow route group 1.
    pub slow_share: f64,
    /// More than one tenant.
    pub flood: Option<Flood>,
    /// Seconds of each phase that are not counted.
    pub warm_up: u32,
    /// Lasts 20 minutes or more of virtual time: not for every day.
    pub long: bool,
    /// Its phases in order.
    pub phases: Vec<Phase>,
}

impl Scenario {
    /// With an objective of 250 ms and everything else as usual.
    pub fn new(name: &'static str, phases: Vec<Phase>) -> Self {
        Self {
            name,
            objective: 250,
            patience: 500,
            start: 20,
            classes: [0.1, 0.6, 0.3],
            retries: 0,
            slow_share: 0.0,
            flood: None,
            warm_up: 5,
            long: false,
            phases,
        }
    }

    /// With another objective, in milliseconds.
    #[must_use]
    pub fn objective(mut self, milliseconds: u32) -> Self {
        self.objective = milliseconds;
        self.patience = 2 * milliseconds;
        self
    }

    /// With another limit to begin with.
    #[must_use]
    pub fn start(mut self, limit: u32) -> Self {
        self.start = limit;
        self
    }

    /// Counts only after this many seconds of each phase.
    #[must_use]
    pub fn warm_up(mut self, seconds: u32) -> Self {
        self.warm_up = seconds;
        self
    }

    /// Not for every day.
    #[must_use]
    pub fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Requests per second at a load of 1.
    pub fn nominal(&self) -> f64 {
        self.phases
            .first()
            .map_or(1.0, |phase| phase.service.capacity())
    }

    /// How long it lasts.
    pub fn seconds(&self) -> u32 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }

    /// One of its phases alone, for as long as is said.
    pub(crate) fn isolated(&self, phase: &Phase, seconds: u32) -> Self {
        // The load is put as requests per second over this phase's own capacity.
        let scale = self.nominal() / phase.service.capacity();
        let load = match phase.load {
            Load::Steady(load) => Load::Steady(load * scale),
            Load::Bursts {
                base,
                peak,
                lasts,
                every,
            } => Load::Bursts {
                base: base * scale,
                peak: peak * scale,
                lasts,
                every,
            },
            Load::Ramp { from, to } => Load::Ramp {
                from: from * scale,
                to: to * scale,
            },
        };
        Self {
            phases: vec![Phase {
                seconds,
                load,
                ..*phase
            }],
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_at_the_end_of_each_period() {
        let load = Load::Bursts {
            base: 0.7,
            peak: 5.0,
            lasts: 5_000,
            every: 20_000,
        };
        assert_eq!(load.at(0, NEVER), (0.7, 15 * SECOND));
        assert_eq!(load.at(15 * SECOND, NEVER), (5.0, 20 * SECOND));
        assert_eq!(load.at(20 * SECOND, NEVER), (0.7, 35 * SECOND));
        assert!((load.mean() - 1.775).abs() < 1e-9);
    }
}
