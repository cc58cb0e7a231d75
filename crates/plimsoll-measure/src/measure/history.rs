//! What outlives the process: what each objective counted, second by second, and what becomes of it in the next one.
//!
//! A budget over 28 days that starts again with every restart would be worth nothing. [`Second`] is what is to be kept;
//! [`Loading`] makes windows of what was kept, in resolutions that fall with age.
//! What is loaded is whole up to one moment. What is counted after that, while it is read, is added again from a list:
//! nothing is there twice, and nothing is missing. Latency and traffic windows are minutes long and start again.
//! Elsewhere: the store (`plimsoll-store`), who asks it and when (the binary).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};

use super::Layout;
use super::tracked::TrackedObjective;
use super::versions::{VersionChange, Versions};
use crate::objective::{Counts, ObjectiveSpec, Sli, Tally};
use crate::window::{Window, objective_levels};

/// So many seconds are counted again at most while something is loaded; later than that it is of no use.
const REPLAY_MAX: usize = 600;
/// What was loaded is older than what is known by less than this: the time between a count and its being kept.
const BEHIND: Duration = Duration::from_secs(5);

/// What a tick brought that is to be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// Seconds since the epoch.
    pub at: u64,
    /// How long was observed.
    pub observed: Duration,
    /// What was counted, by series; only what is not nothing.
    pub counts: Vec<(Arc<str>, Counts)>,
    /// The latency of stretches of time that are over, or not quite.
    pub latencies: Vec<LatencyOf>,
}

/// How long the requests of a service took in one stretch of time: those that this process saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatencyOf {
    /// The series of one of its objectives.
    pub series: Arc<str>,
    /// How long the stretch is, in seconds.
    pub resolution: u32,
    /// When it begins, in seconds since the epoch.
    pub start: u64,
    /// Half were faster.
    pub p50: Duration,
    /// 99 % were faster.
    pub p99: Duration,
}

/// The name under which what an objective counts is kept: another one for each thing that it may count, and for each time
/// that it begins anew to count it. `since`: when it began; the epoch if it was never something else.
pub fn series_name(service: &str, spec: &ObjectiveSpec, since: Timestamp) -> Arc<str> {
    let mut what = String::new();
    match spec.sli {
        Sli::Availability => what.push_str("availability"),
        Sli::Latency { below } => {
            let _fits = write!(what, "latency {}", below.as_nanos());
        }
    }
    for class in &spec.classes {
        let _fits = write!(what, " class {}", class.name());
    }
    for route in &spec.routes {
        let _fits = write!(what, " route {route}");
    }
    // FNV-1a: it tells apart, and need not withstand anybody.
    let hash = what.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    match since.as_seconds() {
        0 => format!("{service}/{}/{hash:016x}", spec.name).into(),
        since => format!("{service}/{}/{hash:016x}/{since}", spec.name).into(),
    }
}

/// What is to be read of one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// In seconds.
    pub resolution: u32,
    /// The first beginning, in seconds since the epoch.
    pub from: u64,
    /// Before this one.
    pub until: u64,
}

/// The resolutions that rings are made of: the step of the ring, and that of what is kept.
fn source_of(step: Duration) -> u32 {
    match step.as_secs() {
        ..10 => 1,
        10..60 => 10,
        60..3_600 => 60,
        _ => 3_600,
    }
}

/// Windows that are made of what was kept.
#[derive(Debug)]
pub struct Loading {
    /// By the clock of budgets: all that came until then is kept.
    at: Instant,
    layout: Layout,
    versions: Versions,
    changes: Vec<VersionChange>,
    renamed: Vec<(Arc<str>, Arc<str>)>,
    windows: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    service: String,
    spec: ObjectiveSpec,
    series: Arc<str>,
    /// In seconds since the epoch.
    counted_since: u64,
    /// The steps of the window's rings, and the resolutions that they are made of.
    steps: Vec<(Duration, u32)>,
    window: Window<Tally>,
}

impl Loading {
    /// Of all objectives, as of `at` by the clock of budgets.
    pub(super) fn new(layout: Layout, versions: Versions, at: Instant) -> Self {
        let mut loading = Self {
            at,
            layout,
            versions,
            changes: Vec::new(),
            renamed: Vec::new(),
            windows: Vec::new(),
        };
        loading.make();
        loading
    }

    /// What was kept is of these versions. To be said before anything is read.
    pub fn set_versions(&mut self, kept: Versions) {
        if !kept.is_empty() {
            self.versions = kept;
        }
        let at = Timestamp::from_nanos(self.at.as_nanos());
        self.changes = self.versions.follow(&self.layout, at);
        let before = std::mem::take(&mut self.windows);
        self.make();
        let names = before.iter().zip(&self.windows);
        let names = names.map(|(before, now)| (&before.series, &now.series));
        let renamed = names.filter(|(before, now)| before != now);
        self.renamed = renamed
            .map(|(before, now)| (Arc::clone(before), Arc::clone(now)))
            .collect();
    }

    fn make(&mut self) {
        let now = Timestamp::from_nanos(self.at.as_nanos());
        let made = |service: &str, spec: &ObjectiveSpec| {
            let since = self.versions.counted_since(service, spec, now);
            let window = Window::new(&objective_levels(spec.period.longest()));
            Made {
                service: service.to_owned(),
                spec: spec.clone(),
                series: series_name(service, spec, since),
                counted_since: since.as_seconds(),
                steps: window.steps().map(|step| (step, source_of(step))).collect(),
                window,
            }
        };
        let services = self.layout.services.iter();
        let windows = services.flat_map(|service| {
            let objectives = service.objectives.iter();
            objectives.map(|spec| made(&service.name, spec))
        });
        self.windows = windows.collect();
    }

    /// Which series go by another name than before the versions were known, and that name: what was counted until
    /// [`super::Measure::adopt`] is to be kept under it.
    pub fn renamed(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.renamed
    }

    /// The versions that are in force, and which objectives have another one than was kept.
    pub(super) fn take_versions(&mut self) -> (Versions, Vec<VersionChange>) {
        let changes = std::mem::take(&mut self.changes);
        (std::mem::take(&mut self.versions), changes)
    }

    /// The series that it is about, each at its place.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.windows.iter().map(|made| &*made.series)
    }

    /// What is to be read, each in the order of time.
    pub fn wanted(&self) -> Vec<Wanted> {
        let now = self.at.as_nanos() / 1_000_000_000;
        let mut reaches = BTreeMap::<u32, u64>::new();
        for made in &self.windows {
            for (step, resolution) in &made.steps {
                let reach = reaches.entry(*resolution).or_default();
                *reach = (*reach).max(made.window.reach(*step).as_secs());
            }
        }
        let each = reaches.into_iter().map(|(resolution, reach)| Wanted {
            resolution,
            from: (now + 1).saturating_sub(reach),
            until: now + 1,
        });
        each.collect()
    }

    /// What was kept of a stretch of time: how long of it was observed, and what the series at their places counted.
    pub fn on_stretch(
        &mut self,
        resolution: u32,
        start: u64,
        observed: Duration,
        counted: impl Iterator<Item = (usize, Tally)>,
    ) {
        let mut tallies = vec![Tally::default(); self.windows.len()];
        for (place, tally) in counted {
            if let Some(sum) = tallies.get_mut(place) {
                *sum += tally;
            }
        }
        let at = Instant::from_nanos(start.saturating_mul(1_000_000_000));
        let end = start.saturating_add(u64::from(resolution));
        if at > self.at {
            return;
        }
        for (made, tally) in self.windows.iter_mut().zip(tallies) {
            // What was counted before is of something else.
            let counting = Duration::from_secs(end.saturating_sub(made.counted_since));
            let observed = observed
                .min(Duration::from_secs(resolution.into()))
                .min(counting);
            if observed.is_zero() {
                continue;
            }
            for (step, _) in made
                .steps
                .iter()
                .filter(|(_, source)| *source == resolution)
            {
                made.window.fill(*step, at, observed, &tally);
            }
        }
    }
}

/// What is counted while something is loaded.
#[derive(Debug, Default)]
pub(super) struct Replay(Vec<(Instant, Duration, BTreeMap<Arc<str>, Tally>)>);

impl Replay {
    /// A tick is over. Says whether it is still of use.
    pub(super) fn on_tick(&mut self, now: Instant, second: &Second) -> bool {
        let counts = second.counts.iter();
        let tallies = counts.map(|(series, counts)| (Arc::clone(series), counts.budget()));
        self.0.push((now, second.observed, tallies.collect()));
        self.0.len() <= REPLAY_MAX
    }

    /// Gives an objective the window that was made for it, and what came since. One that knows less than what is known is
    /// left out: it is of a store that was begun anew meanwhile.
    pub(super) fn give(
        &self,
        loading: &mut Loading,
        service: &str,
        tracked: &mut TrackedObjective,
    ) {
        let mut now = loading.at;
        let mut all = loading.windows.iter_mut();
        let spec = &tracked.spec;
        let is = |made: &&mut Made| {
            let same = made.service == service && made.spec.name == spec.name;
            same && made.spec.period == spec.period && made.spec.counts_the_same_as(spec)
        };
        let Some(made) = all.find(is) else {
            return;
        };
        let window = &mut made.window;
        for (at, observed, tallies) in &self.0 {
            let tally = tallies.get(&tracked.series).copied().unwrap_or_default();
            window.add(*at, *observed, &tally);
            now = *at;
        }
        let reach = tracked.spec.period.longest();
        let (kept, known) = (window.sum(now, reach), tracked.window.sum(now, reach));
        if kept.observed + BEHIND >= known.observed {
            std::mem::swap(&mut tracked.window, window);
        }
        tracked.series = Arc::clone(&made.series);
    }
}
