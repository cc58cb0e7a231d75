//! `learnt.json`: how budgets outlived the process before the store kept their history. It is read once, and taken over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Ratio, Timestamp};
use serde::Deserialize;

use super::history::series_name;
use crate::objective::{Counts, ObjectiveSpec, Sli, Tally};
use crate::period::Period;

/// The only version of the form that there was.
const SCHEMA: u32 = 1;
const HOUR: u64 = 3_600;

/// What an earlier version left.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Learnt {
    schema: u32,
    at: Timestamp,
    objectives: Vec<ObjectiveHistory>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct ObjectiveHistory {
    service: String,
    objective: Spec,
    rings: Vec<Ring>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Spec {
    name: String,
    sli: Sli,
    target: Ratio,
    period: Duration,
    #[serde(default)]
    classes: Vec<Class>,
    #[serde(default)]
    routes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Ring {
    step_nanos: u64,
    /// How many steps ago it began, how long of it was observed in nanoseconds, and what.
    slots: Vec<(u64, u64, Tally)>,
}

/// What was counted in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearntStretch {
    /// How long of it was observed.
    pub observed: Duration,
    /// By the name of the series.
    pub counts: BTreeMap<Arc<str>, Counts>,
}

impl Learnt {
    /// By resolution and beginning, both in seconds: how long was observed, and what was counted.
    pub fn stretches(self) -> BTreeMap<(u32, u64), LearntStretch> {
        let mut all = BTreeMap::<_, LearntStretch>::new();
        if self.schema != SCHEMA {
            return all;
        }
        for history in self.objectives {
            let Spec {
                name,
                sli,
                target,
                period,
                classes,
                routes,
            } = history.objective;
            let period = Period::Rolling(period);
            let spec = ObjectiveSpec {
                name,
                sli,
                target,
                period,
                classes,
                routes,
            };
            let series = series_name(&history.service, &spec, Timestamp::default());
            let mut own = BTreeMap::<(u32, u64), (Duration, Tally)>::new();
            for ring in &history.rings {
                ring.add_to(&mut own, self.at.as_seconds(), None);
            }
            if let Some(coarsest) = history.rings.iter().max_by_key(|it| it.step_nanos)
                && coarsest.step() < HOUR
            {
                coarsest.add_to(&mut own, self.at.as_seconds(), Some(HOUR));
            }
            for (stretch, (observed, tally)) in own {
                let stretch = all.entry(stretch).or_default();
                stretch.observed = observed.max(stretch.observed);
                if tally.total() > 0 {
                    // Who the bad ones were attributed to was not kept: most are the service's.
                    let (good, bad) = (tally.good, tally.bad);
                    let all = Counts {
                        good,
                        bad,
                        bad_service: bad,
                    };
                    *stretch.counts.entry(Arc::clone(&series)).or_default() += all;
                }
            }
        }
        all
    }
}

impl Ring {
    /// In seconds.
    fn step(&self) -> u64 {
        (self.step_nanos / 1_000_000_000).max(1)
    }

    /// Adds its slots, in the resolution that is kept of its step, or in another one.
    fn add_to(
        &self,
        own: &mut BTreeMap<(u32, u64), (Duration, Tally)>,
        at: u64,
        resolution: Option<u64>,
    ) {
        let step = self.step();
        let resolution = resolution.unwrap_or(match step {
            ..10 => 1,
            10..60 => 10,
            60..HOUR => 60,
            _ => HOUR,
        });
        for (age, observed_nanos, tally) in &self.slots {
            let start = at.saturating_sub(age.saturating_mul(step));
            // A slot that is longer than what is kept is spread over it: all that was counted is in the first part.
            let parts = step.div_ceil(resolution).min(24);
            for part in 0..parts {
                let start = start + part * resolution;
                let key = (resolution as u32, start - start % resolution);
                let (observed, sum) = own.entry(key).or_default();
                *observed += Duration::from_nanos(observed_nanos / parts);
                if part == 0 {
                    *sum += *tally;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_left_is_read_by_its_age() {
        let text = r#"{"schema":1,"at":1000000000000000,"objectives":[
            {"service":"shop","objective":{"name":"availability","sli":"availability","target":0.99,"period":{"secs":259200,"nanos":0}},
             "rings":[{"step_nanos":1000000000,"slots":[[0,1000000000,{"good":9,"bad":1}],[3,1000000000,{"good":5,"bad":0}]]},
                      {"step_nanos":120000000000,"slots":[[0,60000000000,{"good":14,"bad":1}],[100,120000000000,{"good":80,"bad":20}]]}]}]}"#;
        let learnt: Learnt = serde_json::from_str(text).unwrap();
        let stretches = learnt.stretches();
        let of = |resolution, start| {
            let stretch = stretches.get(&(resolution, start)).unwrap();
            let sum = stretch
                .counts
                .values()
                .fold((0, 0), |(good, bad), it| (good + it.good, bad + it.bad));
            (stretch.observed.as_secs(), sum)
        };
        assert_eq!(of(1, 1_000_000), (1, (9, 1)));
        assert_eq!(of(1, 999_997), (1, (5, 0)));
        // 120 s are spread over two minutes.
        assert_eq!(of(60, 999_960), (30, (14, 1)));
        assert_eq!(of(60, 1_000_020), (30, (0, 0)));
        assert_eq!(of(60, 987_960), (60, (80, 20)));
        // Where no ring had hours, they are made of what there is.
        assert_eq!(of(3_600, 997_200), (60, (14, 1)));
        assert_eq!(of(3_600, 986_400), (120, (80, 20)));
        assert_eq!(stretches.len(), 8);
    }
}
