//! How services did over longer than memory has, for the pages that draw it: from the history in the store, read when
//! somebody looks, and kept for a minute, since no more than that is added to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_console::{Past, PastView, Problem};
use plimsoll_core::Timestamp;
use plimsoll_measure::{CauseGroup, Sli, Step};
use plimsoll_store::{Amount, SqliteStore, Store as _, StoreError};

use crate::exit::with_causes;
use crate::water::Kept;

/// How long what was read is shown again.
const FRESH: Duration = Duration::from_secs(60);
/// What is kept at most: 112 steps each, some 25 kB.
const KEPT_MAX: usize = 64;

/// When it was read, and what.
type Read = (Timestamp, Arc<PastView>);

/// What was read lately.
#[derive(Debug)]
pub(crate) struct Pasts {
    path: PathBuf,
    /// What is measured now.
    pub(crate) measured: ArcSwap<Vec<Kept>>,
    read: Mutex<BTreeMap<(String, Past), Read>>,
}

impl Pasts {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            measured: ArcSwap::default(),
            read: Mutex::default(),
        }
    }

    /// Of a service. Of several who ask at once, one reads and the others wait for it.
    pub(crate) fn of(
        &self,
        service: &str,
        past: Past,
        now: Timestamp,
    ) -> Result<Arc<PastView>, Problem> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (service.to_owned(), past);
        if let Some((at, known)) = read.get(&key)
            && now.since(*at) < FRESH
        {
            return Ok(Arc::clone(known));
        }
        let measured = self.measured.load();
        let view = match objective(&measured, service) {
            None => PastView::default(),
            Some(kept) => PastView {
                objective: Some(kept.spec.name.clone()),
                steps: steps(&self.path, &kept.series, past, now).map_err(|error| {
                    Problem::unavailable(format!("the store: {}", with_causes(&error)))
                })?,
            },
        };
        let view = Arc::new(view);
        if read.len() >= KEPT_MAX {
            read.clear();
        }
        read.insert(key, (now, Arc::clone(&view)));
        Ok(view)
    }
}

/// The one that says most of a service: of all its requests, and whether they were good rather than fast.
fn objective<'a>(measured: &'a [Kept], service: &str) -> Option<&'a Kept> {
    let mine = measured.iter().filter(|it| it.service == service);
    mine.min_by_key(|it| {
        let is_part = !it.spec.classes.is_empty() || !it.spec.routes.is_empty();
        (is_part, it.spec.sli != Sli::Availability)
    })
}

fn steps(path: &Path, series: &str, past: Past, now: Timestamp) -> Result<Vec<Step>, StoreError> {
    // Minutes are kept for three days, hours for more than a year.
    let resolution = match past {
        Past::SixHours | Past::Day => 60,
        Past::FourWeeks => 3_600,
    };
    let mut store = SqliteStore::open_to_read(path)?;
    let number = store.series()?.get(series).copied();
    let from = (now.as_seconds() / past.step() + 1).saturating_sub(past.points()) * past.step();
    let mut steps: Vec<Step> = Vec::new();
    store.visit_history(resolution, from, now.as_seconds() + 1, &mut |stretch| {
        let amount = number.and_then(|number| stretch.amounts.get(&number));
        let start = stretch.start - stretch.start % past.step();
        if steps.last().is_none_or(|it| it.start != start) {
            steps.push(Step {
                start,
                ..Step::default()
            });
        }
        if let Some(step) = steps.last_mut() {
            let observed = Duration::from_millis(stretch.observed_millis);
            add(step, observed, amount.copied().unwrap_or_default());
        }
    })?;
    Ok(steps)
}

fn add(step: &mut Step, observed: Duration, amount: Amount) {
    step.observed += observed;
    step.requests += amount.good + amount.bad;
    step.good += amount.good;
    step.bad += amount.bad;
    for (group, count) in CauseGroup::ALL.into_iter().zip(&mut step.causes) {
        *count += match group {
            CauseGroup::Answered => amount.bad_service,
            CauseGroup::Refused => amount.bad.saturating_sub(amount.bad_service),
            _ => 0,
        };
    }
    if let Some((p50, p99)) = amount.latency {
        let micros = |it: u32| Some(Duration::from_micros(it.into()));
        step.p50 = step.p50.max(micros(p50));
        step.p99 = step.p99.max(micros(p99));
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Ratio;
    use plimsoll_measure::{ObjectiveSpec, Period};
    use plimsoll_store::{Addition, Additions};

    use super::*;

    fn kept(name: &str, sli: Sli, routes: &[&str]) -> Kept {
        Kept {
            service: "shop".to_owned(),
            spec: ObjectiveSpec {
                name: name.to_owned(),
                sli,
                target: Ratio::of(99, 100).unwrap(),
                period: Period::Rolling(Duration::from_secs(28 * 86_400)),
                classes: Vec::new(),
                routes: routes.iter().map(|it| (*it).to_owned()).collect(),
            },
            series: format!("shop/{name}"),
        }
    }

    fn latency() -> Sli {
        Sli::Latency {
            below: Duration::from_millis(100),
        }
    }

    #[test]
    fn what_says_most_of_a_service_is_drawn() {
        let all = [
            kept("pay", Sli::Availability, &["pay"]),
            kept("fast", latency(), &[]),
            kept("availability", Sli::Availability, &[]),
        ];
        let found = |measured: &[Kept], service| {
            objective(measured, service).map(|it| it.spec.name.clone())
        };
        assert_eq!(found(&all, "shop").as_deref(), Some("availability"));
        assert_eq!(found(&all[..2], "shop").as_deref(), Some("fast"));
        assert_eq!(found(&all[..1], "shop").as_deref(), Some("pay"));
        assert_eq!(found(&all, "other"), None);
    }

    #[test]
    fn minutes_become_steps_and_what_nobody_saw_is_no_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let now = Timestamp::from_seconds(1_800_000_000);
        let (mut store, _) = SqliteStore::open(&path, "test", now).unwrap();
        let mut additions = Additions::new();
        // Ten minutes that end an hour ago, of which the last is bad.
        for minute in 0..10 {
            let start = now.as_seconds() - 3_600 - 600 + 60 * minute;
            let amount = Amount {
                good: 50,
                bad: if minute == 9 { 10 } else { 0 },
                bad_service: if minute == 9 { 4 } else { 0 },
                latency: Some((1_000, if minute == 9 { 90_000 } else { 2_000 })),
            };
            let addition = Addition {
                observed_millis: 60_000,
                amounts: [("shop/availability".into(), amount)].into(),
            };
            additions.insert((60, start), addition);
        }
        store.add_history(&additions).unwrap();
        drop(store);
        let pasts = Pasts::new(path);
        pasts
            .measured
            .store(Arc::new(vec![kept("availability", Sli::Availability, &[])]));
        let view = pasts.of("shop", Past::SixHours, now).unwrap();
        assert_eq!(view.objective.as_deref(), Some("availability"));
        let seen: Vec<_> = view.steps.iter().map(|it| (it.requests, it.bad)).collect();
        assert_eq!(seen, [(250, 0), (260, 10)]);
        let last = view.steps.last().unwrap();
        assert_eq!(last.of_cause(CauseGroup::Answered), 4);
        assert_eq!(last.of_cause(CauseGroup::Refused), 6);
        let p99 = last.p99.unwrap().as_secs_f64();
        assert!((p99 - 0.09).abs() < 0.004, "{p99}");
        // Shown again for a minute, whatever became of the file.
        std::fs::remove_file(&pasts.path).unwrap();
        assert!(pasts.of("shop", Past::SixHours, now).is_ok());
        let later = Timestamp::from_seconds(now.as_seconds() + 61);
        let problem = pasts.of("shop", Past::SixHours, later).unwrap_err();
        assert!(problem.to_string().contains("the store"), "{problem}");
    }
}
