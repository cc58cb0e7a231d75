//! The figures of a run: what clients saw, by arm and phase.
//!
//! Units: seconds; shares are of a whole. Definitions are in the fields' comments, and the table's footer
//! repeats them for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::options::Scene;
use crate::plan::{PATIENCE, PERIOD, PhaseKind, TARGET};

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What happened.
    #[serde(default)]
    pub scene: Scene,
    /// What the arrivals were drawn from.
    pub seed: u64,
    /// What each arm's proxy is, the plain one first.
    pub proxies: [String; 2],
    /// The phases, in the order of each arm's figures.
    pub phases: Vec<PhaseReport>,
    /// Figures without and with.
    pub arms: [ArmFigures; 2],
    /// CPU time of all processes of the demo per second, over the run; 1.0 is one core.
    pub cpu: Option<f64>,
    /// The same in the busiest phase.
    pub cpu_max: Option<f64>,
    /// Why the figures mean nothing; empty = they do mean something.
    pub void: Vec<String>,
    /// Somebody pressed a key that changed what happened: the phases are not what their names say.
    pub interactive: bool,
    /// What was made smaller than planned, and why.
    pub notes: Vec<String>,
    /// What the right arm did, in order of time, by its journal.
    pub events: Vec<Event>,
    /// What came to the service that was gone, once it was back.
    #[serde(default)]
    pub origin: Option<OriginFigures>,
    /// How a bad version came to users, and what became of it.
    #[serde(default)]
    pub deploy: Option<DeployFigures>,
    /// What checking that journal said; `None` where the right arm has none that could be read.
    #[serde(default)]
    pub journal: Option<String>,
}

/// How a run is asked for.
pub(crate) fn command(scene: Scene, seed: u64) -> String {
    match scene {
        Scene::Day => format!("plimsoll demo --seed {seed}"),
        scene => format!("plimsoll demo {} --seed {seed}", scene.name()),
    }
}

/// One kind of phase of a run, the same for both arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// What it is about.
    pub kind: PhaseKind,
    /// As tables call it.
    pub title: String,
    /// How long it lasted; zero where the run ended before it.
    pub seconds: f64,
    /// The 99th percentile of how late the generator sent.
    pub lag_p99: f64,
}

/// Something that the right arm did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since the first phase began.
    pub at: f64,
    /// To which service.
    pub service: String,
    /// What, in words.
    pub what: String,
}

/// What one arm's clients saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmFigures {
    /// By phase, by *intended* send time.
    pub phases: Vec<PhaseFigures>,
}

/// What one arm's clients saw of one phase. Every request offered is counted under exactly one of
/// `good`, `late`, `failed`, `refused` and `gave_up`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseFigures {
    /// Requests sent.
    pub offered: u64,
    /// Answered well within 250 ms.
    pub good: u64,
    /// Answered well, later than that.
    pub late: u64,
    /// 5xx, or the connection was lost.
    pub failed: u64,
    /// Refused by the proxy with a reason (503 or 429 with `Plimsoll-Decision`, or a plain 429).
    pub refused: u64,
    /// Nothing within 2 s: the client left.
    pub gave_up: u64,
    /// What the client that floods sent on top; in no other figure here.
    pub flood: u64,
    /// `offered`, `good` and `refused` by class, in the order critical, standard, sheddable.
    pub classes: [ClassFigures; 3],
    /// Requests whose answers may be stored, where the scene is about that.
    #[serde(default)]
    pub reads: KindFigures,
    /// Requests that change something, where the scene is about that.
    #[serde(default)]
    pub writes: KindFigures,
    /// Who asked the service that a bad version is of, where the scene is about that.
    #[serde(default)]
    pub users: UserFigures,
    /// The median of all that was answered well or given up (which counts as 2 s).
    pub latency_p50: Option<f64>,
    /// The 99th percentile of the same.
    pub latency_p99: Option<f64>,
}

/// One class's share of [`PhaseFigures`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Requests sent.
    pub offered: u64,
    /// Answered well within 250 ms.
    pub good: u64,
    /// Refused by the proxy.
    pub refused: u64,
}

/// The share of one kind of requests in [`PhaseFigures`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindFigures {
    /// Requests sent.
    pub offered: u64,
    /// Answered well within 250 ms.
    pub good: u64,
    /// Of these, with what was stored, past its time.
    pub stale: u64,
    /// Not answered well, however late: failed, refused, or the client left.
    #[serde(default)]
    pub lost: u64,
    /// Of these, where the proxy gave a reason.
    pub told: u64,
}

/// What reached a service that was gone, as it counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OriginFigures {
    /// Requests per second that it carries.
    pub capacity: f64,
    /// The most in any second of the recovery, without and with.
    pub most: [f64; 2],
    /// Whether each proxy can say that it answered with what was stored, or why it did not answer.
    #[serde(default)]
    pub tells: [bool; 2],
}

/// The users of one service in [`PhaseFigures`], and what they asked it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserFigures {
    /// Users who asked at all.
    pub asked: u64,
    /// Of these, users who got an error.
    pub hurt: u64,
    /// Requests sent.
    pub requests: u64,
    /// Of these, what failed: 5xx, or the connection was lost.
    pub failed: u64,
    /// Of these, what was refused, or not answered before the client left.
    pub unanswered: u64,
    /// The share that failed of what was to be sent in the worst second.
    pub worst_second: f64,
}

/// How a bad version came to users, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeployFigures {
    /// Of what it is asked, the version fails this share.
    pub fails: f64,
    /// Between two endpoints of the rolling deploy.
    pub every_seconds: f64,
    /// For how long the rollout collected answers before it judged them.
    pub batch_seconds: f64,
    /// How long the version got nothing after the first strike, before it was tried once more.
    pub cooldown_seconds: f64,
    /// Requests that the version got, without and with.
    pub requests: [u64; 2],
    /// When it first got nothing again, in seconds since it first got its share; `None` where it never came to that, or the right arm does not say.
    pub stopped_at: Option<f64>,
    /// When it was undone, likewise.
    pub undone_at: Option<f64>,
}

impl ClassFigures {
    /// The share that was not good; zero where nothing was offered.
    pub fn bad_share(&self) -> f64 {
        share(self.offered.saturating_sub(self.good), self.offered)
    }

    /// The share that was refused; zero where nothing was offered.
    pub fn refused_share(&self) -> f64 {
        share(self.refused, self.offered)
    }
}

impl PhaseFigures {
    /// The share that was not good; zero where nothing was offered.
    pub fn bad_share(&self) -> f64 {
        share(self.offered.saturating_sub(self.good), self.offered)
    }

    /// What the critical class saw.
    pub fn critical(&self) -> ClassFigures {
        self.classes.first().copied().unwrap_or_default()
    }

    /// Good answers per second.
    pub fn goodput(&self, seconds: f64) -> Option<f64> {
        (seconds > 0.0).then(|| self.good as f64 / seconds)
    }

    /// The share of the hour's budget that `seconds` of this spend, each second of the hour weighing the same.
    pub fn budget_spent(&self, seconds: f64) -> f64 {
        budget_spent(self.bad_share(), seconds)
    }
}

impl Report {
    /// How to run it again.
    pub(crate) fn command(&self) -> String {
        command(self.scene, self.seed)
    }

    /// Seconds of load.
    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }

    /// Requests offered to one arm.
    pub fn offered(&self) -> u64 {
        let [first, _] = &self.arms;
        first.phases.iter().map(|figures| figures.offered).sum()
    }

    /// The phases with their figures without and with.
    pub fn rows(&self) -> impl Iterator<Item = (&PhaseReport, &PhaseFigures, &PhaseFigures)> {
        let [without, with] = &self.arms;
        self.phases
            .iter()
            .zip(&without.phases)
            .zip(&with.phases)
            .map(|((phase, a), b)| (phase, a, b))
    }

    /// The share of the hour's budget that each arm has spent.
    pub fn budget_spent(&self) -> [f64; 2] {
        let mut spent = [0.0; 2];
        let [without, with] = &mut spent;
        for (phase, a, b) in self.rows() {
            *without += a.budget_spent(phase.seconds);
            *with += b.budget_spent(phase.seconds);
        }
        spent
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The share of the period's budget that `seconds` with `bad_share` spend.
pub(crate) fn budget_spent(bad_share: f64, seconds: f64) -> f64 {
    bad_share * seconds / (PERIOD.as_secs_f64() * (1.0 - TARGET))
}

/// The value that `share` of `sorted` (microseconds) do not exceed, by nearest rank; in seconds.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).map(|micros| f64::from(*micros) / 1e6)
}

/// A latency in microseconds, as figures keep it.
pub(crate) fn micros(latency: Duration) -> u32 {
    u32::try_from(latency.min(PATIENCE).as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_nearest_rank() {
        let sorted: Vec<u32> = (1..=100).map(|n| n * 1_000_000).collect();
        assert_eq!(quantile(&sorted, 0.5), Some(50.0));
        assert_eq!(quantile(&sorted, 0.99), Some(99.0));
        assert_eq!(quantile(&sorted, 1.0), Some(100.0));
        assert_eq!(quantile(&[7_000_000], 0.01), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn thirty_six_bad_seconds_spend_the_hour() {
        let all_bad = PhaseFigures {
            offered: 100,
            ..PhaseFigures::default()
        };
        assert!((all_bad.budget_spent(36.0) - 1.0).abs() < 1e-9);
        let half = PhaseFigures {
            offered: 100,
            good: 50,
            ..PhaseFigures::default()
        };
        assert!((half.budget_spent(18.0) - 0.25).abs() < 1e-9);
        assert_eq!(PhaseFigures::default().budget_spent(18.0), 0.0);
    }
}
