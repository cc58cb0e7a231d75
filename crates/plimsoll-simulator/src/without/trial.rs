//! Incidents whose truth is known: run by request with Plimsoll, which is what is recorded, and without.
//!
//! A trial is its kind and its seed. Elsewhere: threads, tables, the file (`examples/without.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_config::scenario::{
    ClassShares, ClientRetry, Fault, FaultKind, Phase, PhaseRate, Scenario, ScenarioService,
    Source, TimeSpread, Work, Workload,
};
use plimsoll_measure::Courses;
use plimsoll_policy::Method;

use super::{Asked, Unknown, Without, bad, without};
use crate::fleet::{BEGIN, Simulation};
use crate::random::Stream;
use crate::search::{Draw, Range, Setting, millis, percent, seconds};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Somewhat more comes than can be carried.
    Overload,
    /// Several times as much comes, for a short time.
    Surge,
    /// All endpoints become slow.
    SlowDependency,
    /// Workers are lost at all endpoints.
    LostCapacity,
    /// An endpoint fails a share of its requests.
    FailingEndpoint,
    /// An endpoint accepts and does not answer.
    FrozenEndpoint,
    /// An endpoint becomes slow.
    SlowEndpoint,
    /// An endpoint is gone.
    CrashedEndpoint,
    /// Workers are lost, and clients try again.
    RetryStorm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Overload,
        Self::Surge,
        Self::SlowDependency,
        Self::LostCapacity,
        Self::FailingEndpoint,
        Self::FrozenEndpoint,
        Self::SlowEndpoint,
        Self::CrashedEndpoint,
        Self::RetryStorm,
    ];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::Surge => "surge",
            Self::SlowDependency => "slow dependency",
            Self::LostCapacity => "lost capacity",
            Self::FailingEndpoint => "failing endpoint",
            Self::FrozenEndpoint => "frozen endpoint",
            Self::SlowEndpoint => "slow endpoint",
            Self::CrashedEndpoint => "crashed endpoint",
            Self::RetryStorm => "retry storm",
        }
    }
}

/// A trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What goes wrong.
    pub kind: Kind,
    /// Its seed.
    pub seed: u64,
    /// What happens.
    pub scenario: Scenario,
    /// What is asked.
    pub asked: Asked,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// What went wrong.
    pub kind: Kind,
    /// Its seed.
    pub seed: u64,
    /// What was said.
    pub said: Result<Without, Unknown>,
    /// The truth: of the requests that came, as many as without Plimsoll were bad.
    pub truth: f64,
}

impl Tried {
    /// Whether the interval holds the truth; `None`: nothing was said.
    pub fn holds(&self) -> Option<bool> {
        let said = self.said.ok()?;
        Some((said.least as f64 - 0.5..=said.most as f64 + 0.5).contains(&self.truth))
    }

    /// How far the estimate is off, of the truth; `None`: nothing was said.
    pub fn error(&self) -> Option<f64> {
        let said = self.said.ok()?;
        Some((said.without as f64 - self.truth).abs() / self.truth.max(1.0))
    }

    /// Half of the interval, of its middle; `None`: nothing was said.
    pub fn half_width(&self) -> Option<f64> {
        let said = self.said.ok()?;
        Some((said.most - said.least) as f64 / (said.most + said.least).max(1) as f64)
    }
}

const NAME: &str = "shop";

impl Trial {
    /// Draws one. `size` is about what the service carries in a second.
    pub fn draw(kind: Kind, seed: u64, size: Range) -> Self {
        let mut draw = Draw(Stream::new(seed, kind.name()));
        let endpoints = 2 + draw.0.below(4) as usize;
        let time = draw.logarithmic(Range(0.005, 0.060));
        let wanted = draw.logarithmic(size);
        let fewest = match kind {
            // Some are to be left.
            Kind::LostCapacity | Kind::RetryStorm => 4.0,
            _ => 1.0,
        };
        let workers = libm::round(wanted * time / endpoints as f64).max(fewest);
        let capacity = workers * endpoints as f64 / time;
        let spread = match draw.0.below(3) {
            0 => TimeSpread::Exponential,
            _ => TimeSpread::Lognormal(draw.even(Range(0.2, 1.0))),
        };
        let objective = draw.logarithmic(Range(8.0, 25.0)) * time;
        let load = draw.even(Range(0.4, 0.85)) * capacity;
        let before = 60 + draw.0.below(60);
        let trouble = draw.logarithmic(Range(25.0, 240.0)) as u32;
        let after = 60 + draw.0.below(60);
        let high = match kind {
            Kind::Overload => draw.even(Range(1.05, 2.0)) * capacity,
            Kind::Surge => draw.even(Range(2.0, 5.0)) * capacity,
            _ => load,
        };
        let room = capacity / load;
        let fault = match kind {
            Kind::Overload | Kind::Surge => None,
            Kind::SlowDependency => Some((FaultKind::Slow(room * draw.even(Range(1.1, 4.0))), 0)),
            Kind::LostCapacity | Kind::RetryStorm => {
                let share = draw.even(Range(0.3, 0.9)) / room;
                Some((FaultKind::Capacity(share), 0))
            }
            Kind::FailingEndpoint => {
                Some((FaultKind::Errors(percent(draw.even(Range(0.2, 1.0)))), 1))
            }
            Kind::FrozenEndpoint => Some((FaultKind::Freeze, 1)),
            Kind::SlowEndpoint => Some((FaultKind::Slow(draw.logarithmic(Range(6.0, 40.0))), 1)),
            Kind::CrashedEndpoint => Some((FaultKind::Crash, 1)),
        };
        let faults = fault.map(|(kind, count)| Fault {
            service: 0,
            after: 0,
            endpoints: if count == 0 { endpoints } else { count },
            at: seconds(before),
            lasts: seconds(trouble),
            kind,
        });
        let patience = (objective * draw.logarithmic(Range(1.5, 10.0))).max(0.5);
        let attempts = match kind {
            Kind::RetryStorm => 2 + draw.0.below(3) as u8,
            _ => 1,
        };
        let phase = |lasts: u32, rate: f64| Phase {
            name: String::new(),
            lasts: seconds(lasts),
            rates: vec![PhaseRate::even(rate)],
            users: vec![0],
        };
        let scenario = Scenario {
            about: None,
            gateways: 1,
            threads: 1 + draw.0.below(2) as usize,
            services: vec![ScenarioService {
                name: NAME.to_owned(),
                endpoints,
                work: Work::Workers {
                    workers: workers as u32,
                    spread,
                },
                time: millis(time),
                objective: millis(objective),
                cancels: draw.0.chance(0.5),
                cache: None,
                memory: None,
                start: None,
                calls: Vec::new(),
            }],
            workloads: vec![Workload {
                name: "clients".to_owned(),
                service: 0,
                source: Source::Rate(load),
                patience: millis(patience),
                retry: ClientRetry {
                    attempts,
                    pause: millis(draw.logarithmic(Range(0.1, 2.0))),
                },
                classes: ClassShares {
                    critical: 0.2,
                    sheddable: 0.3,
                },
                tenants: 1 + draw.0.below(20),
                zipf: 1.0,
            }],
            phases: vec![
                phase(before, load),
                phase(trouble, high),
                phase(after, load),
            ],
            faults: faults.into_iter().collect(),
        };
        let begins = BEGIN + u64::from(before);
        let asked = Asked {
            from: begins - u64::from(draw.0.below(20)),
            until: begins + u64::from(trouble) + 10 + u64::from(draw.0.below(after - 20)),
            late: millis(objective),
        };
        Self {
            kind,
            seed,
            scenario,
            asked,
        }
    }

    /// Runs both arms.
    pub fn run(&self) -> Tried {
        let (with, without_it) = (self.courses(true), self.courses(false));
        let said = without(&with, NAME, &self.asked);
        Tried {
            kind: self.kind,
            seed: self.seed,
            said,
            truth: self.truth(&with, &without_it),
        }
    }

    /// What the process remembers of an arm.
    pub fn courses(&self, protects: bool) -> Courses {
        let mut protections = Setting { retries: false }.protections(&self.scenario);
        if !protects {
            for protection in &mut protections {
                *protection = super::fit::off(protection.clone());
                protection.method = Method::RoundRobin;
            }
        }
        let mut simulation = Simulation::new(&self.scenario, &protections, self.seed);
        simulation.remember(&self.scenario);
        while simulation.advance(Duration::from_secs(60)) {}
        simulation.courses()
    }

    /// By steps: the share that was bad without, of what came with.
    fn truth(&self, with: &Courses, without: &Courses) -> f64 {
        let of = |courses| {
            let parts = super::part::parts(courses, NAME).into_iter();
            parts
                .map(|part| (part.step.start, part))
                .collect::<BTreeMap<_, _>>()
        };
        let (with, without) = (of(with), of(without));
        let late = self.asked.late;
        let bad = with.iter().filter_map(|(start, part)| {
            let other = without.get(start)?;
            let share = bad(&other.step, late) / other.came(late).max(1.0);
            let (begin, end) = (part.step.start.max(self.asked.from), part.end());
            let within = end.min(self.asked.until).saturating_sub(begin);
            let within = within as f64 / part.seconds as f64;
            Some(within * part.came(late) * share.min(1.0))
        });
        bad.sum()
    }
}
