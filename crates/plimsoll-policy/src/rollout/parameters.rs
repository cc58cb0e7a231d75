//! What a rollout is to do: its steps, and how it is judged.

use std::fmt;
use std::time::Duration;

use plimsoll_core::Ratio;
use serde::{Deserialize, Serialize};

use crate::rollout::counts::{ArmCounts, RUNGS, Weight};
use crate::rollout::price::Price;

/// No rollout has more steps.
pub const STEPS_MAX: usize = 64;
/// Slower than this many requests a second, a route gets more time for a batch.
const RARE_PER_SECOND: f64 = 0.1;
/// And this many times as much.
const RARE_TIMES: u32 = 10;

/// What both versions get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A growing share of the traffic goes to the new version.
    Canary,
    /// None of it, then all: from then on it is compared with what stable did before.
    BlueGreen,
    /// Copies go to the new version, and its answers to nobody: it is judged, and hurts nobody.
    Mirror,
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How much of the traffic the new version gets.
    pub weight: Weight,
    /// For how long at least.
    pub at_least: Duration,
    /// A person has to let it begin.
    pub gate: bool,
}

/// When a batch is closed: by time and by numbers of requests, never by what was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batching {
    /// It is at least so long.
    pub age: Duration,
    /// It is closed after so long, however few requests it has; ten times that where they are rarer than one in ten seconds.
    pub age_max: Duration,
    /// Before that, both arms have at least so many requests.
    pub requests_min: u64,
}

impl Batching {
    /// As it was simulated: ten seconds, at most a minute, five requests each.
    pub const DEFAULT: Self = Self {
        age: Duration::from_secs(10),
        age_max: Duration::from_secs(60),
        requests_min: 5,
    };

    pub(super) fn is_full(&self, age: Duration, canary: u64, stable: u64) -> bool {
        let enough = canary >= self.requests_min && stable >= self.requests_min;
        if age < self.age_max {
            return enough && age >= self.age;
        }
        let requests = canary.saturating_add(stable) as f64;
        let rare = requests < RARE_PER_SECOND * age.as_secs_f64();
        enough || !rare || age >= self.age_max.saturating_mul(RARE_TIMES)
    }
}

/// How the new version is judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judging {
    /// A version that is no worse is rolled back in at most this share of rollouts.
    pub alpha: f64,
    /// How many times as often as stable's its requests may be bad; 1 is no worse at all.
    pub tolerate: f64,
    /// See there.
    pub batch: Batching,
    /// Whether there is a latency objective, by which `slow` is counted.
    pub latency_objective: bool,
    /// How many rungs the ladder of latencies has; zero for none.
    pub rungs: u8,
    /// Whether common rungs are judged by their exact variance: sooner, and less sure.
    pub exact_variance: bool,
}

impl Judging {
    /// The evidence that is a strike: two of them by chance are as rare as `alpha` says.
    pub fn strike_at(&self) -> f64 {
        1.0 / libm::sqrt(self.alpha)
    }

    /// The evidence of a ladder that asks a person.
    pub fn ask_at(&self) -> f64 {
        1.0 / self.alpha
    }
}

/// See the module's docs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// See there.
    pub kind: Kind,
    /// In order. After the last the new version is promoted.
    pub steps: Vec<Step>,
    /// A person has to let it be promoted.
    pub gate_at_end: bool,
    /// See there.
    pub judging: Judging,
    /// How long the new version gets nothing after the first strike.
    pub cooldown: Duration,
    /// What it may cost.
    pub price: Price,
    /// How long a step that is due may be held until a person is asked.
    pub hold_max: Duration,
    /// How long all of the canary's endpoints may be down until it is rolled back.
    pub canary_down_max: Duration,
    /// How long the service may burn while the new version has traffic, until it is rolled back; `None`: it is only held.
    pub burns_max: Option<Duration>,
    /// What stable did in the hour before, for where it is not there to be compared with; nothing where that is not known.
    pub before: ArmCounts,
}

impl Parameters {
    /// A canary with the defaults, for an availability objective of 99.9 % in 30 days.
    pub fn canary() -> Self {
        let step = |percent: u16, minutes: u64| Step {
            weight: Weight::of_parts(100 * percent),
            at_least: Duration::from_secs(60 * minutes),
            gate: false,
        };
        Self {
            kind: Kind::Canary,
            steps: vec![
                step(1, 5),
                step(5, 10),
                step(20, 20),
                step(50, 20),
                step(100, 60),
            ],
            gate_at_end: false,
            judging: Judging {
                alpha: 0.01,
                tolerate: 1.0,
                batch: Batching::DEFAULT,
                latency_objective: false,
                rungs: 0,
                exact_variance: false,
            },
            cooldown: Duration::from_secs(120),
            price: Price {
                limit: Ratio::of(2, 100).unwrap_or_default(),
                target: Ratio::of(999, 1_000).unwrap_or_default(),
                period: Duration::from_secs(30 * 86_400),
                requests: 0.0,
            },
            hold_max: Duration::from_secs(86_400),
            canary_down_max: Duration::from_secs(120),
            burns_max: None,
            before: ArmCounts::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), NotARollout> {
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return Err(NotARollout::Steps(self.steps.len()));
        }
        let falls = |(index, two): (usize, &[Step])| match two {
            [first, second] if second.weight < first.weight => Some(index + 2),
            _ => None,
        };
        if let Some(step) = self.steps.windows(2).enumerate().find_map(falls) {
            return Err(NotARollout::Falls(step));
        }
        let Judging {
            alpha, tolerate, ..
        } = self.judging;
        if !(alpha > 0.0 && alpha <= 0.25) {
            return Err(NotARollout::Alpha(alpha));
        }
        if !(1.0..=100.0).contains(&tolerate) {
            return Err(NotARollout::Tolerate(tolerate));
        }
        if self.judging.batch.age.is_zero() || self.judging.batch.age_max < self.judging.batch.age {
            return Err(NotARollout::Batch(self.judging.batch));
        }
        if usize::from(self.judging.rungs) > RUNGS {
            return Err(NotARollout::Rungs(self.judging.rungs));
        }
        if !(self.price.requests >= 0.0 && self.price.requests.is_finite()) {
            return Err(NotARollout::Requests(self.price.requests));
        }
        Ok(())
    }
}

/// These parameters make no rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NotARollout {
    /// None, or more than 64.
    Steps(usize),
    /// This one, from 1, has less traffic than the one before.
    Falls(usize),
    /// Not above 0, or above a quarter.
    Alpha(f64),
    /// Below 1, or above 100.
    Tolerate(f64),
    /// No time, or less at most than at least.
    Batch(Batching),
    /// More than six.
    Rungs(u8),
    /// Not a number of requests.
    Requests(f64),
}

impl fmt::Display for NotARollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => {
                write!(f, "a rollout has 1 to {STEPS_MAX} steps, not {steps}")
            }
            Self::Falls(step) => {
                write!(f, "step {step} has less traffic than the one before it")
            }
            Self::Alpha(alpha) => write!(
                f,
                "the share of false rollbacks is above 0 and at most 0.25, not {alpha}"
            ),
            Self::Tolerate(ratio) => {
                write!(f, "a tolerated ratio is between 1 and 100, not {ratio}")
            }
            Self::Batch(batch) => write!(
                f,
                "a batch takes time, and at most {:?} is less than at least {:?}",
                batch.age_max, batch.age
            ),
            Self::Rungs(rungs) => write!(f, "a ladder has at most {RUNGS} rungs, not {rungs}"),
            Self::Requests(requests) => {
                write!(f, "{requests} is no number of requests in a period")
            }
        }
    }
}

impl std::error::Error for NotARollout {}
