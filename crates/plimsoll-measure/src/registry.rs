//! Which series there are: found by name, so that what comes back after a reload finds its counters.
//!
//! An objective that counts something else than before starts its counters again; all other totals go on and never
//! go backwards. Only the control plane uses the registry: it may lock.
//! Bound: `series_max`; what does not fit is counted in one series called `other`.

use std::collections::BTreeMap;
use std::sync::atomic::{Ordering::Acquire, fence};
use std::sync::{Arc, Mutex, PoisonError};

use crate::objective::{Counts, ObjectiveSpec};
use crate::series::{Series, Totals};

/// The usual bound on series.
pub const SERIES_MAX: usize = 10_000;

/// What a series counts. Names are those of the configuration, so there are as many as it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeriesKey {
    /// All of a service.
    Service(String),
    /// A route; the service is empty where the route itself answers.
    Route {
        /// The service that it leads to.
        service: String,
        /// The route.
        route: String,
    },
    /// An endpoint of a service.
    Endpoint {
        /// The service.
        service: String,
        /// The endpoint, as `http://host:port`.
        endpoint: String,
    },
    /// What no route was found for: malformed requests, unknown hosts and paths.
    Unrouted,
    /// What did not fit in the bound.
    Other,
}

/// All series by name, over all reloads since the process started.
#[derive(Debug)]
pub struct Registry {
    threads: usize,
    series_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<SeriesKey, Entry>,
    overflowed: u64,
}

/// One name: what it counted under former objectives, and what counts now.
#[derive(Debug)]
struct Entry {
    /// Of series that nobody writes any more, but for their objectives.
    retired: Totals,
    /// Each objective that there ever was, as it was last.
    versions: BTreeMap<String, Version>,
    /// The last is the one in force; those before may still be written by requests that began before.
    live: Vec<Generation>,
}

#[derive(Debug)]
struct Version {
    /// Another number for each time that it counts something else; counters go on while it is the same.
    counting: u32,
    spec: ObjectiveSpec,
    /// What series counted for it that nobody writes any more.
    retired: Counts,
}

/// A series, and the numbers of what its objectives count.
#[derive(Debug)]
struct Generation {
    series: Arc<Series>,
    counting: Vec<u32>,
}

/// What a name counted so far.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The name.
    pub key: SeriesKey,
    /// Over all versions; `objectives` are those of the version in force, see [`Reading::objectives`].
    pub totals: Totals,
    /// The objectives in force, in the order of `totals.objectives`. The number beside each changes when it counts something
    /// else: then its counters began again.
    pub objectives: Vec<(ObjectiveSpec, u32)>,
}

impl Registry {
    /// Data-plane threads that count.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// For `threads` data-plane threads and at most `series_max` names.
    pub fn new(threads: usize, series_max: usize) -> Self {
        Self {
            threads,
            series_max,
            inner: Mutex::default(),
        }
    }

    /// The series of a service.
    pub fn service(&self, service: &str, objectives: &[ObjectiveSpec]) -> Arc<Series> {
        self.series(SeriesKey::Service(service.to_owned()), objectives)
    }

    /// The series of a route; `service` is empty where the route itself answers.
    pub fn route(&self, service: &str, route: &str) -> Arc<Series> {
        self.series(
            SeriesKey::Route {
                service: service.to_owned(),
                route: route.to_owned(),
            },
            &[],
        )
    }

    /// The series of an endpoint.
    pub fn endpoint(&self, service: &str, endpoint: &str) -> Arc<Series> {
        self.series(
            SeriesKey::Endpoint {
                service: service.to_owned(),
                endpoint: endpoint.to_owned(),
            },
            &[],
        )
    }

    /// The series of what no route was found for.
    pub fn unrouted(&self) -> Arc<Series> {
        self.series(SeriesKey::Unrouted, &[])
    }

    /// The series of `key`, made if there is none yet.
    pub fn series(&self, key: SeriesKey, objectives: &[ObjectiveSpec]) -> Arc<Series> {
        let mut inner = self.inner();
        // The two fixed names always fit, so that nothing is ever left uncounted.
        let fits = matches!(key, SeriesKey::Unrouted | SeriesKey::Other)
            || inner.entries.len() < self.series_max
            || inner.entries.contains_key(&key);
        let (key, objectives) = if fits {
            (key, objectives)
        } else {
            inner.overflowed += 1;
            (SeriesKey::Other, &[] as &[ObjectiveSpec])
        };
        inner
            .entries
            .entry(key)
            .or_insert_with(Entry::new)
            .series(self.threads, objectives)
    }

    /// How often a name did not fit, and was counted in `other`.
    pub fn overflowed(&self) -> u64 {
        self.inner().overflowed
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.inner().entries.len()
    }

    /// Whether nothing was asked for yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a name counted so far.
    pub fn read_one(&self, key: &SeriesKey) -> Option<Reading> {
        self.inner().entries.get(key).map(|entry| entry.read(key))
    }

    /// What every name counted so far, ordered by name.
    pub fn read(&self) -> Vec<Reading> {
        self.inner()
            .entries
            .iter()
            .map(|(key, entry)| entry.read(key))
            .collect()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Counters stay valid whatever the thread that panicked was doing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            retired: Totals::new(0),
            versions: BTreeMap::new(),
            live: Vec::new(),
        }
    }

    fn series(&mut self, threads: usize, objectives: &[ObjectiveSpec]) -> Arc<Series> {
        self.retire();
        if let Some(generation) = self.live.last()
            && generation.series.objectives() == objectives
        {
            return Arc::clone(&generation.series);
        }
        let counting = objectives.iter().map(|spec| self.counting(spec)).collect();
        let series = Arc::new(Series::new(threads, objectives.to_vec()));
        self.live.push(Generation {
            series: Arc::clone(&series),
            counting,
        });
        series
    }

    /// The number of what the objective counts now. If that is something else than before, even what it once was, its
    /// counters start again; with another target or period they go on.
    fn counting(&mut self, spec: &ObjectiveSpec) -> u32 {
        let first = || Version {
            counting: 1,
            spec: spec.clone(),
            retired: Counts::default(),
        };
        let version = self.versions.entry(spec.name.clone()).or_insert_with(first);
        if !version.spec.counts_the_same_as(spec) {
            *version = Version {
                counting: version.counting + 1,
                ..first()
            };
        }
        version.spec = spec.clone();
        version.counting
    }

    /// Takes over what nobody but us holds any more.
    fn retire(&mut self) {
        let Some(in_force) = self.live.pop() else {
            return;
        };
        let (gone, mut kept): (Vec<_>, Vec<_>) = self
            .live
            .drain(..)
            .partition(|generation| Arc::strong_count(&generation.series) == 1);
        // What the last holder wrote before it let go is seen from here on.
        fence(Acquire);
        kept.push(in_force);
        self.live = kept;
        for generation in gone {
            let totals = generation.series.read();
            self.retired.merge_counts(&totals);
            for (spec, version) in self.versions.iter_mut() {
                version.retired += generation.tally(&totals, spec, version.counting);
            }
        }
    }

    fn read(&self, key: &SeriesKey) -> Reading {
        let mut totals = self.retired.clone();
        let specs = self
            .live
            .last()
            .map_or(&[] as &[ObjectiveSpec], |generation| {
                generation.series.objectives()
            });
        let versions: Vec<&Version> = specs
            .iter()
            .filter_map(|spec| self.versions.get(&spec.name))
            .collect();
        totals.objectives = versions.iter().map(|version| version.retired).collect();
        for generation in &self.live {
            let reading = generation.series.read();
            totals.merge_counts(&reading);
            for (version, tally) in versions.iter().zip(&mut totals.objectives) {
                *tally += generation.tally(&reading, &version.spec.name, version.counting);
            }
        }
        let objectives = versions
            .iter()
            .map(|version| (version.spec.clone(), version.counting))
            .collect();
        Reading {
            key: key.clone(),
            totals,
            objectives,
        }
    }
}

impl Generation {
    /// What was counted for an objective while it counted what has this number.
    fn tally(&self, totals: &Totals, name: &str, counting: u32) -> Counts {
        let counted = self
            .series
            .objectives()
            .iter()
            .zip(&self.counting)
            .zip(&totals.objectives);
        counted
            .filter(|((spec, number), _)| spec.name == name && **number == counting)
            .fold(Counts::default(), |mut sum, (_, tally)| {
                sum += *tally;
                sum
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_core::{Class, Ratio};

    use super::*;
    use crate::objective::Sli;
    use crate::outcome::Cause;
    use crate::period::Period;
    use crate::series::Record;

    #[test]
    fn what_comes_back_after_a_reload_finds_its_counters() {
        let registry = Registry::new(1, 10);
        one(&registry.route("shop", "all"), Cause::Answered);
        let _other = registry.route("shop", "cart");
        one(&registry.route("shop", "all"), Cause::Reset);
        assert_eq!(requests(&registry, &route("shop", "all")), 2);
    }

    #[test]
    fn an_objective_that_counts_something_else_starts_again_and_the_others_go_on() {
        let registry = Registry::new(1, 10);
        let before = registry.service("shop", &[availability(0.99), latency(50)]);
        one(&before, Cause::Answered);
        let after = registry.service("shop", &[availability(0.999), latency(100)]);
        // A request that began before the reload ends after it.
        one(&before, Cause::Reset);
        one(&after, Cause::Answered);
        drop(before);
        for _ in 0..2 {
            let reading = registry
                .read_one(&SeriesKey::Service("shop".to_owned()))
                .unwrap();
            assert_eq!(reading.totals.requests(), 3);
            // Another target judges the same counts; another threshold counts something else.
            assert_eq!(reading.totals.objectives, [counts(2, 1), counts(1, 0)]);
            let versions: Vec<u32> = reading
                .objectives
                .iter()
                .map(|(_, version)| *version)
                .collect();
            assert_eq!(versions, [1, 2]);
            // The next reload retires the series that nobody writes any more: nothing changes by it.
            let _same = registry.service("shop", &[availability(0.999), latency(100)]);
        }
    }

    #[test]
    fn an_objective_that_goes_back_to_what_it_was_starts_again() {
        let registry = Registry::new(1, 10);
        one(&registry.service("shop", &[latency(100)]), Cause::Reset);
        one(&registry.service("shop", &[latency(50)]), Cause::Reset);
        let third = registry.service("shop", &[latency(100)]);
        one(&third, Cause::Answered);
        let reading = registry
            .read_one(&SeriesKey::Service("shop".to_owned()))
            .unwrap();
        assert_eq!(reading.totals.requests(), 3);
        assert_eq!(reading.totals.objectives, [counts(1, 0)]);
        assert_eq!(
            reading.objectives.first().map(|(_, version)| *version),
            Some(3)
        );
    }

    #[test]
    fn what_does_not_fit_is_counted_together_and_said_so() {
        let registry = Registry::new(1, 2);
        for name in ["a", "b", "c", "d"] {
            one(&registry.route("shop", name), Cause::Answered);
        }
        assert_eq!(requests(&registry, &SeriesKey::Other), 2);
        assert_eq!(registry.overflowed(), 2);
        assert_eq!(
            registry
                .read()
                .iter()
                .map(|reading| reading.totals.requests())
                .sum::<u64>(),
            4
        );
    }

    fn one(series: &Series, cause: Cause) {
        let latency = Duration::from_millis(1);
        series.record(
            0,
            &Record {
                class: Class::Standard,
                cause,
                latency,
                bytes_in: 0,
                bytes_out: 0,
                objectives: Record::ALL,
            },
        );
    }

    fn route(service: &str, route: &str) -> SeriesKey {
        SeriesKey::Route {
            service: service.to_owned(),
            route: route.to_owned(),
        }
    }

    fn requests(registry: &Registry, key: &SeriesKey) -> u64 {
        registry
            .read_one(key)
            .map_or(0, |reading| reading.totals.requests())
    }

    fn availability(target: f64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: "availability".to_owned(),
            sli: Sli::Availability,
            target: Ratio::try_from(target).unwrap(),
            period: Period::Rolling(Duration::from_secs(3_600)),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }

    fn latency(millis: u64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: "latency".to_owned(),
            sli: Sli::Latency {
                below: Duration::from_millis(millis),
            },
            target: Ratio::ONE,
            period: Period::Rolling(Duration::from_secs(3_600)),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// All bad ones by the service.
    fn counts(good: u64, bad: u64) -> Counts {
        Counts {
            good,
            bad,
            bad_service: bad,
        }
    }
}
