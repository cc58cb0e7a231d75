//! The history of budgets in the running process: what is counted goes to the store each second, and what was kept comes
//! back when a process begins.
//!
//! Nothing here waits for the disk: the store's thread does. While the store fails, budgets go on in memory, and what is to
//! be kept waits, with less detail the longer it takes. What is read takes the place of what is known only if it is as
//! much.
//! Elsewhere: how what was kept becomes a budget (`plimsoll-measure`), how it is kept (`plimsoll-store`).

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_governor::Memory;
use plimsoll_measure::{
    Counts, LatencyOf, Learnt, LearntStretch, Loading, Measure, Second, VersionChange, Versions,
};
use plimsoll_store::{Addition, Additions, Amount, RESOLUTIONS, Store, StoreError};
use serde::de::DeserializeOwned;

use crate::journal::Journal;
use crate::state::StateFolder;

/// The keys of the store's state: the versions of objectives, what the governor remembers.
const VERSIONS: &str = "objectives";
const GOVERNOR: &str = "governor";
/// How many stretches of each resolution wait at most while the store fails: a minute of seconds, a week of hours; some 40 MB for
/// a thousand busy objectives. All that is counted is in its hour, so only detail is lost before that.
const WAITING: [(u32, usize); 4] = [(1, 60), (10, 60), (60, 120), (3_600, 168)];
/// Where nothing is counted, that it was observed is written so often, in ticks.
const IDLE_EVERY: u64 = 10;
/// How often what is more than is kept is forgotten, in ticks.
const THIN_EVERY: u64 = 60;
/// How long a start waits for its history. After that the process serves, and budgets come later.
const START_TIME_MAX: Duration = Duration::from_secs(2);
/// When it is tried again to read it.
const AGAIN: u64 = 5;
/// What the governor learnt since the start is worth more than what it is to remember, after so many ticks.
const REMEMBERED_MAX: u64 = 60;
/// Ticks after a take-over at which it is read again: the predecessor counts until it has drained.
const AFTER_UPGRADE: [u64; 3] = [10, 60, 300];

/// See the module's docs.
#[derive(Debug)]
pub(crate) struct Budgets {
    waiting: Arc<Mutex<Waiting>>,
    ticks: u64,
    /// Ticks at which history is read.
    load_at: BTreeSet<u64>,
    loading: Option<Receiver<Read>>,
    /// Whether what was kept is known.
    loaded: bool,
}

/// What was read.
#[derive(Debug)]
struct Read {
    loading: Loading,
    /// Only the first time.
    memory: Option<Memory>,
}

/// What a tick has to say.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Objectives that turn out to have another version than was kept.
    pub(crate) changes: Vec<VersionChange>,
    /// What the governor is to remember.
    pub(crate) memory: Option<Memory>,
}

/// What waits for the store.
#[derive(Debug, Default)]
struct Waiting {
    additions: Additions,
    /// The versions of objectives, if they are others than what is kept.
    versions: Option<Vec<u8>>,
    /// What the governor remembers.
    memory: Option<Vec<u8>>,
    /// What an earlier version left, and where.
    learnt: Option<(Additions, PathBuf)>,
}

impl Budgets {
    /// Reads what was kept, and waits for it a moment.
    pub(crate) fn begin(
        state: &StateFolder,
        upgrade: bool,
        measure: &mut Measure,
        journal: &Journal,
    ) -> (Self, Told) {
        let learnt = state
            .learnt()
            .map(|(learnt, path)| (taken_over(learnt), path));
        let waiting = Waiting {
            learnt,
            ..Waiting::default()
        };
        let mut budgets = Self {
            waiting: Arc::new(Mutex::new(waiting)),
            ticks: 0,
            load_at: BTreeSet::new(),
            loading: None,
            loaded: false,
        };
        if upgrade {
            budgets.load_at.extend(AFTER_UPGRADE);
        }
        budgets.load(measure, journal);
        let loading = budgets.loading.take();
        let loaded = loading.map(|it| (it.recv_timeout(START_TIME_MAX), it));
        let told = match loaded {
            Some((Ok(read), _)) => budgets.adopt(read, measure),
            Some((Err(RecvTimeoutError::Timeout), it)) => {
                budgets.loading = Some(it);
                Told::default()
            }
            _ => {
                budgets.load_at.insert(AGAIN);
                Told::default()
            }
        };
        (budgets, told)
    }

    /// Whether what was kept is known, and the governor was told what it is to remember.
    pub(crate) const fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Keeps what `measure` counted with its last tick.
    pub(crate) fn tick(&mut self, measure: &mut Measure, journal: &Journal) -> Told {
        self.ticks += 1;
        let counted = self.take(measure.second());
        if let Some(loading) = self.loading.take() {
            match loading.recv_timeout(Duration::ZERO) {
                Ok(read) => return self.adopt(read, measure),
                // What is written before the names of series are known would be under the wrong ones.
                Err(RecvTimeoutError::Timeout) => self.loading = Some(loading),
                Err(RecvTimeoutError::Disconnected) => {
                    self.load_at.insert(self.ticks + AGAIN);
                }
            }
            return Told::default();
        }
        if self.load_at.first().is_some_and(|at| *at <= self.ticks) {
            self.load_at.retain(|at| *at > self.ticks);
            self.load(measure, journal);
            return Told::default();
        }
        if counted || self.ticks.is_multiple_of(IDLE_EVERY) || self.lock().has_state() {
            self.write(journal);
        }
        if self.ticks.is_multiple_of(THIN_EVERY) {
            // Where it was not even asked, it is asked the next time.
            let now = measure.budget_now().as_nanos() / 1_000_000_000;
            journal.ask(move |store| store.thin_history(now).map(|_| ()));
        }
        Told::default()
    }

    /// Another configuration is in force: of what is known in memory, the rest is read.
    pub(crate) fn on_versions(&mut self, measure: &Measure, changes: &[VersionChange]) {
        if !self.loaded {
            return;
        }
        self.keep_versions(measure);
        if changes.iter().any(|change| !change.anew) {
            self.load_at.insert(self.ticks + 1);
        }
    }

    /// Has kept what the governor remembers, with the next that is written.
    pub(crate) fn keep_memory(&self, memory: &Memory) {
        self.lock().memory = serde_json::to_vec(memory).ok();
    }

    /// The process ends: writes what there is.
    pub(crate) fn end(&mut self, measure: &Measure, journal: &Journal) {
        self.take(measure.second());
        let latencies = measure.last_latencies();
        add_latencies(&mut self.lock().additions, &latencies);
        self.write(journal);
    }

    /// What someone should look at. `ahead`: how far the clock of budgets is before the system's.
    pub(crate) fn warnings(&self, ahead: Duration) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.loaded {
            let text =
                "the history of budgets is not read yet: they are of the time since the start";
            warnings.push(text.to_owned());
        }
        if ahead >= Duration::from_secs(60) {
            let ahead = plimsoll_measure::figure::duration(ahead.as_secs_f64());
            warnings.push(format!(
                "the system's clock was set back: budgets go on {ahead} ahead of it until the next start"
            ));
        }
        warnings
    }

    /// Adds what a tick brought to what waits. Says whether anything was counted.
    fn take(&self, second: &Second) -> bool {
        let mut waiting = self.lock();
        let amounts = || {
            let counts = second.counts.iter();
            counts.map(|(series, counts)| (Arc::clone(series), amount(*counts)))
        };
        for (resolution, _) in RESOLUTIONS {
            let start = second.at - second.at % u64::from(resolution);
            let addition = Addition {
                observed_millis: u64::try_from(second.observed.as_millis()).unwrap_or(0),
                amounts: amounts().collect(),
            };
            waiting.add((resolution, start), addition);
        }
        add_latencies(&mut waiting.additions, &second.latencies);
        waiting.bound();
        !second.counts.is_empty()
    }

    fn load(&mut self, measure: &mut Measure, journal: &Journal) {
        let loading = measure.load();
        let (waiting, known) = (Arc::clone(&self.waiting), self.loaded);
        let (tell, told) = sync_channel(1);
        if journal.ask(move |store| read(store, &waiting, loading, known, &tell)) {
            self.loading = Some(told);
        } else {
            self.load_at.insert(self.ticks + AGAIN);
        }
    }

    fn adopt(&mut self, read: Read, measure: &mut Measure) -> Told {
        self.lock().rename(read.loading.renamed());
        let Some(changes) = measure.adopt(read.loading) else {
            self.load_at.insert(self.ticks + 1);
            return Told::default();
        };
        if !self.loaded || !changes.is_empty() {
            self.loaded = true;
            self.keep_versions(measure);
        }
        let memory = read.memory.filter(|_| self.ticks < REMEMBERED_MAX);
        Told { changes, memory }
    }

    fn keep_versions(&self, measure: &Measure) {
        self.lock().versions = serde_json::to_vec(measure.versions()).ok();
    }

    /// Has written what waits.
    pub(crate) fn write(&self, journal: &Journal) {
        let waiting = Arc::clone(&self.waiting);
        // Where it was not even asked, what waits is written with the next.
        journal.ask(move |store| write(store, &waiting));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

impl Waiting {
    fn has_state(&self) -> bool {
        self.versions.is_some() || self.memory.is_some()
    }

    fn add(&mut self, stretch: (u32, u64), addition: Addition) {
        self.additions.entry(stretch).or_default().add(addition);
    }

    /// The oldest of each resolution go first.
    fn bound(&mut self) {
        for (resolution, most) in WAITING {
            let range = || (resolution, 0)..=(resolution, u64::MAX);
            while self.additions.range(range()).count() > most {
                let Some((oldest, _)) = self.additions.range(range()).next() else {
                    break;
                };
                let oldest = *oldest;
                self.additions.remove(&oldest);
            }
        }
    }

    fn rename(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        for addition in self.additions.values_mut() {
            for (before, now) in renamed {
                if let Some(amount) = addition.amounts.remove(before) {
                    let amounts = [(Arc::clone(now), amount)].into();
                    addition.add(Addition {
                        observed_millis: 0,
                        amounts,
                    });
                }
            }
        }
    }
}

/// Writes what waits; what could not be written waits on.
fn write(store: &mut dyn Store, waiting: &Mutex<Waiting>) -> Result<(), StoreError> {
    let additions = std::mem::take(&mut lock(waiting).additions);
    if !additions.is_empty()
        && let Err(error) = store.add_history(&additions)
    {
        let mut waiting = lock(waiting);
        for (stretch, addition) in additions {
            waiting.add(stretch, addition);
        }
        waiting.bound();
        return Err(error);
    }
    write_value(store, VERSIONS, waiting, |waiting| &mut waiting.versions)?;
    write_value(store, GOVERNOR, waiting, |waiting| &mut waiting.memory)
}

/// Writes a value that waits; where that fails it waits on, if no other has come meanwhile.
fn write_value(
    store: &mut dyn Store,
    key: &str,
    waiting: &Mutex<Waiting>,
    place: impl Fn(&mut Waiting) -> &mut Option<Vec<u8>>,
) -> Result<(), StoreError> {
    let Some(value) = place(&mut lock(waiting)).take() else {
        return Ok(());
    };
    let written = set(store, key, &value);
    if written.is_err() {
        place(&mut lock(waiting)).get_or_insert(value);
    }
    written
}

/// A value of the state; `None` too where this version can't read it.
fn value<T: DeserializeOwned>(store: &mut dyn Store, key: &str) -> Result<Option<T>, StoreError> {
    let kept = store.value(key)?;
    Ok(kept.and_then(|kept| serde_json::from_slice(&kept.value).ok()))
}

/// Writes a value over whatever is there.
fn set(store: &mut dyn Store, key: &str, value: &[u8]) -> Result<(), StoreError> {
    loop {
        let there = store.value(key)?;
        let version = match &there {
            Some(kept) if kept.value == value => return Ok(()),
            Some(kept) => kept.version,
            None => 0,
        };
        if store.compare_and_set(key, version, Some(value))?.is_some() {
            return Ok(());
        }
    }
}

/// Writes what waits, and reads all of it that is still of use. `known`: the versions are known, and may be newer than those
/// that are kept.
fn read(
    store: &mut dyn Store,
    waiting: &Mutex<Waiting>,
    mut loading: Loading,
    known: bool,
    tell: &SyncSender<Read>,
) -> Result<(), StoreError> {
    let mut memory = None;
    if !known {
        let versions: Option<Versions> = value(store, VERSIONS)?;
        loading.set_versions(versions.unwrap_or_default());
        memory = value(store, GOVERNOR)?;
    }
    take_over_learnt(store, waiting)?;
    lock(waiting).rename(loading.renamed());
    write(store, waiting)?;
    let numbers = store.series()?;
    let places = loading.series().zip(0..);
    let places: HashMap<u32, usize> = places
        .filter_map(|(series, place)| Some((*numbers.get(series)?, place)))
        .collect();
    for wanted in loading.wanted() {
        let (resolution, from) = (wanted.resolution, wanted.from);
        store.visit_history(resolution, from, wanted.until, &mut |stretch| {
            let observed = Duration::from_millis(stretch.observed_millis);
            let amounts = stretch.amounts.iter();
            let counted = amounts.filter_map(|(number, amount)| {
                let counts = Counts {
                    good: amount.good,
                    bad: amount.bad,
                    bad_service: amount.bad_service,
                };
                Some((*places.get(number)?, counts.budget()))
            });
            loading.on_stretch(resolution, stretch.start, observed, counted);
        })?;
    }
    // Where nobody waits any more, it is asked for again.
    let _nobody = tell.send(Read { loading, memory });
    Ok(())
}

/// The file of an earlier version is taken over once, into a store that has no history yet.
fn take_over_learnt(store: &mut dyn Store, waiting: &Mutex<Waiting>) -> Result<(), StoreError> {
    let Some((additions, path)) = lock(waiting).learnt.take() else {
        return Ok(());
    };
    let is_first = store.series().map(|series| series.is_empty());
    let taken = is_first.and_then(|is_first| match is_first {
        true => store.add_history(&additions),
        false => Ok(()),
    });
    match taken {
        Ok(()) => {
            tracing::info!(file = %path.display(), "the history of budgets was taken over into the store");
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "what was taken over can't be removed");
            }
            Ok(())
        }
        Err(error) => {
            lock(waiting).learnt = Some((additions, path));
            Err(error)
        }
    }
}

fn taken_over(learnt: Learnt) -> Additions {
    let addition = |it: LearntStretch| {
        let counts = it.counts.into_iter();
        Addition {
            observed_millis: u64::try_from(it.observed.as_millis()).unwrap_or(0),
            amounts: counts.map(|(series, it)| (series, amount(it))).collect(),
        }
    };
    let stretches = learnt.stretches().into_iter();
    stretches
        .map(|(stretch, it)| (stretch, addition(it)))
        .collect()
}

fn add_latencies(additions: &mut Additions, latencies: &[LatencyOf]) {
    let micros = |latency: Duration| u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
    for of in latencies {
        let amount = Amount {
            latency: Some((micros(of.p50), micros(of.p99))),
            ..Amount::default()
        };
        let addition = Addition {
            observed_millis: 0,
            amounts: [(Arc::clone(&of.series), amount)].into(),
        };
        let stretch = (of.resolution, of.start);
        additions.entry(stretch).or_default().add(addition);
    }
}

fn amount(counts: Counts) -> Amount {
    Amount {
        good: counts.good,
        bad: counts.bad,
        bad_service: counts.bad_service,
        latency: None,
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Timestamp;
    use plimsoll_store::SqliteStore;

    use super::*;

    fn budgets() -> Budgets {
        Budgets {
            waiting: Arc::default(),
            ticks: 0,
            load_at: BTreeSet::new(),
            loading: None,
            loaded: true,
        }
    }

    fn second(at: u64, good: u64) -> Second {
        let counts = Counts {
            good,
            ..Counts::default()
        };
        Second {
            at,
            observed: Duration::from_secs(1),
            counts: vec![("shop/availability".into(), counts)],
            latencies: Vec::new(),
        }
    }

    fn good(store: &mut SqliteStore, resolution: u32) -> u64 {
        let buckets = store.history("shop/availability", resolution, 0, u64::MAX);
        buckets.unwrap().iter().map(|it| it.amount.good).sum()
    }

    #[test]
    fn what_could_not_be_written_is_written_later_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plimsoll.db");
        let open = || {
            SqliteStore::open(&path, "a", Timestamp::default())
                .unwrap()
                .0
        };
        let budgets = budgets();
        let mut store = open();
        budgets.take(&second(7_000, 5));
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        write(&mut store, &budgets.waiting).unwrap_err();
        budgets.take(&second(7_001, 6));
        let mut store = open();
        write(&mut store, &budgets.waiting).unwrap();
        assert_eq!([1, 10, 60, 3_600].map(|it| good(&mut store, it)), [11; 4]);
        write(&mut store, &budgets.waiting).unwrap();
        assert_eq!(good(&mut store, 3_600), 11);
    }

    #[test]
    fn while_the_store_fails_detail_is_lost_first_and_memory_is_bounded() {
        let budgets = budgets();
        for at in 0..40_000 {
            budgets.take(&second(at, 1));
        }
        let waiting = budgets.lock();
        for (resolution, most) in WAITING {
            let parts = waiting
                .additions
                .range((resolution, 0)..(resolution + 1, 0));
            let all: Vec<u64> = parts
                .flat_map(|(_, addition)| addition.amounts.values())
                .map(|amount| amount.good)
                .collect();
            assert!(all.len() <= most);
            if resolution == 3_600 {
                assert_eq!(all.iter().sum::<u64>(), 40_000);
            }
        }
    }

    #[test]
    fn a_value_is_written_over_whatever_is_there_and_not_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plimsoll.db");
        let (mut store, _) = SqliteStore::open(&path, "a", Timestamp::default()).unwrap();
        set(&mut store, "x", b"1").unwrap();
        set(&mut store, "x", b"2").unwrap();
        set(&mut store, "x", b"2").unwrap();
        let kept = store.value("x").unwrap().unwrap();
        assert_eq!((kept.version, kept.value.as_slice()), (2, &b"2"[..]));
    }
}
