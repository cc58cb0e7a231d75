//! How budgets were spent over their periods, for the pages that draw it: from the history in the store.
//!
//! Read once a minute on a thread of its own. Where it can't be read, pages show the last that was, and then nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use plimsoll_console::Water;
use plimsoll_core::Timestamp;
use plimsoll_measure::{ObjectiveSpec, Tally};
use plimsoll_store::{SqliteStore, Store as _, StoreError};

/// Points over a period.
const POINTS: usize = 112;
/// The resolutions that are read, in seconds, and how far back each is kept at most.
const MINUTES: (u32, u64) = (60, 72 * 3_600);
const HOURS: (u32, u64) = (3_600, 400 * 86_400);

/// An objective, and the name under which what it counts is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) service: String,
    pub(crate) spec: ObjectiveSpec,
    pub(crate) series: String,
}

/// What one stretch counted, for as long as it was observed.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    start: u64,
    observed: f64,
    tally: Tally,
}

/// Reads what is kept.
pub(crate) fn read(path: &Path, kept: &[Kept], now: Timestamp) -> Result<Water, StoreError> {
    let mut store = SqliteStore::open_to_read(path)?;
    let numbers = store.series()?;
    let mut water = BTreeMap::new();
    // Periods of up to a day and a half are drawn from minutes, longer ones from hours.
    for (resolution, reach) in [MINUTES, HOURS] {
        let of_it = |it: &&Kept| is_short(&it.spec) == (resolution == MINUTES.0);
        let wanted: Vec<&Kept> = kept.iter().filter(of_it).collect();
        let longest = wanted.iter().map(|it| it.spec.period.longest().as_secs());
        let Some(longest) = longest.max() else {
            continue;
        };
        let from = now.as_seconds().saturating_sub(reach.min(2 * longest));
        let places = wanted.iter().map(|it| numbers.get(it.series.as_str()));
        let places: Vec<Option<u32>> = places.map(Option::<&u32>::copied).collect();
        let mut counted = vec![Vec::new(); wanted.len()];
        store.visit_history(resolution, from, now.as_seconds() + 1, &mut |stretch| {
            for (number, all) in places.iter().zip(&mut counted) {
                let amount = number.and_then(|number| stretch.amounts.get(&number));
                let amount = amount.copied().unwrap_or_default();
                all.push(Counted {
                    start: stretch.start,
                    observed: stretch.observed_millis as f64 / 1e3,
                    tally: Tally {
                        good: amount.good,
                        bad: amount.bad,
                    },
                });
            }
        })?;
        for (it, counted) in wanted.into_iter().zip(counted) {
            let key = (it.service.clone(), it.spec.name.clone());
            water.insert(key, spent(&it.spec, &counted, now));
        }
    }
    Ok(Water(water))
}

fn is_short(spec: &ObjectiveSpec) -> bool {
    spec.period.longest() <= Duration::from_secs(36 * 3_600)
}

/// The share of the budget that was spent at each point of the period, as it was reckoned then.
fn spent(spec: &ObjectiveSpec, counted: &[Counted], now: Timestamp) -> Vec<Option<f64>> {
    let length = spec.period.at(now).length.as_secs_f64();
    let first = now.as_seconds() as f64 - length;
    let step = length / POINTS as f64;
    let at = |place: usize| first + step * (place + 1) as f64;
    // Both ends of the window only move forward.
    let (mut sum, mut observed) = (Tally::default(), 0.0);
    let (mut head, mut tail) = (0, 0);
    let point = |place: usize| {
        let until = at(place);
        let period = spec
            .period
            .at(Timestamp::from_seconds(until.max(0.0) as u64));
        let from = until - period.elapsed.as_secs_f64();
        while let Some(next) = counted.get(head).filter(|it| (it.start as f64) < until) {
            sum = Tally {
                good: sum.good + next.tally.good,
                bad: sum.bad + next.tally.bad,
            };
            observed += next.observed;
            head += 1;
        }
        while let Some(last) = counted
            .get(tail)
            .filter(|it| tail < head && (it.start as f64) < from)
        {
            sum = sum.since(last.tally);
            observed -= last.observed;
            tail += 1;
        }
        let rate = sum.burn_rate(spec.target)?;
        let share = observed / period.length.as_secs_f64();
        (rate.is_finite() && head > tail).then(|| rate * share.clamp(0.0, 1.0))
    };
    (0..POINTS).map(point).collect()
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Ratio;
    use plimsoll_measure::{Period, Sli};

    use super::*;

    fn spec(days: u64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: "availability".to_owned(),
            sli: Sli::Availability,
            target: Ratio::of(99, 100).unwrap(),
            period: Period::Rolling(Duration::from_secs(days * 86_400)),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }

    #[test]
    fn water_rises_with_what_is_bad_and_falls_when_that_leaves_the_period() {
        let hour = |at: u64, bad: u64| Counted {
            start: at * 3_600,
            observed: 3_600.0,
            tally: Tally {
                good: 1_000 - bad,
                bad,
            },
        };
        let days = 28;
        // One bad day at the beginning, one in the middle of the last period.
        let counted: Vec<Counted> = (0..2 * days * 24)
            .map(|at| {
                hour(
                    at,
                    if at < 24 || (42 * 24..43 * 24).contains(&at) {
                        100
                    } else {
                        0
                    },
                )
            })
            .collect();
        let now = Timestamp::from_seconds(2 * days * 86_400);
        let spent = spent(&spec(days), &counted, now);
        assert_eq!(spent.len(), POINTS);
        let known: Vec<f64> = spent.iter().flatten().copied().collect();
        assert_eq!(known.len(), POINTS);
        // A day of ten times the budget, in 28 days.
        let day = 10.0 / 28.0;
        assert!((known[POINTS - 1] - day).abs() < 0.02, "{known:?}");
        assert!(known[40] < 0.02, "the first bad day has left: {known:?}");
        assert!(known.iter().all(|it| (0.0..1.0).contains(it)), "{known:?}");
    }

    #[test]
    fn what_was_not_observed_is_not_known() {
        let spent = spent(&spec(28), &[], Timestamp::from_seconds(90 * 86_400));
        assert!(spent.iter().all(Option::is_none));
        let late = Counted {
            start: 89 * 86_400,
            observed: 3_600.0,
            tally: Tally { good: 10, bad: 0 },
        };
        let spent = super::spent(&spec(28), &[late], Timestamp::from_seconds(90 * 86_400));
        assert_eq!(spent.iter().flatten().count(), 4, "{spent:?}");
    }
}
