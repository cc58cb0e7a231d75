//! Goal: a budget goes on over restarts, changes and clocks that step: nothing is counted twice, and nothing is missing.
//!
//! Method: a store that keeps what a real one keeps, in a map; processes that end and begin beside it.

use std::collections::BTreeMap;

use plimsoll_core::{Class, Ratio};

use super::*;
use crate::objective::{Sli, Tally};
use crate::outcome::Cause;
use crate::period::{Calendar, Period};
use crate::series::{Record, Series};
use crate::snapshot::ObjectiveView;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// A Thursday.
const THE_DAY: (u64, u64, u64) = (2026, 11, 26);

type Tallies = BTreeMap<Arc<str>, Tally>;

/// What a store keeps.
#[derive(Default)]
struct Kept {
    stretches: BTreeMap<(u32, u64), (Duration, Tallies)>,
    versions: Option<Versions>,
}

impl Kept {
    fn on_second(&mut self, second: &Second) {
        for resolution in [1, 10, 60, 3_600] {
            let start = second.at - second.at % u64::from(resolution);
            let (observed, tallies) = self.stretches.entry((resolution, start)).or_default();
            *observed += second.observed;
            for (series, counts) in &second.counts {
                *tallies.entry(Arc::clone(series)).or_default() += counts.budget();
            }
        }
    }

    fn load(&self, loading: &mut Loading) {
        loading.set_versions(self.versions.clone().unwrap_or_default());
        let places: Vec<String> = loading.series().map(str::to_owned).collect();
        for wanted in loading.wanted() {
            let resolution = wanted.resolution;
            let range = (resolution, wanted.from)..(resolution, wanted.until);
            for ((_, start), (observed, tallies)) in self.stretches.range(range) {
                let placed = places.iter().enumerate();
                let placed =
                    placed.filter_map(|(place, name)| Some((place, *tallies.get(name.as_str())?)));
                loading.on_stretch(resolution, *start, *observed, placed);
            }
        }
    }
}

/// A process beside a store.
struct Process<'a> {
    kept: &'a mut Kept,
    registry: Arc<Registry>,
    series: Arc<Series>,
    measure: Measure,
    now: Instant,
    /// Of the system's clock.
    timestamp: Timestamp,
    said: Vec<String>,
}

impl<'a> Process<'a> {
    fn start(kept: &'a mut Kept, timestamp: Timestamp, objective: ObjectiveSpec) -> Self {
        let registry = Arc::new(Registry::new(1, 10));
        let series = registry.service("shop", std::slice::from_ref(&objective));
        // Its clock began somewhere else.
        let now = Instant::from_nanos(timestamp.as_nanos() % 1_000_003);
        let measure = Measure::new(Arc::clone(&registry), layout(objective), now);
        let mut process = Self {
            kept,
            registry,
            series,
            measure,
            now,
            timestamp,
            said: Vec::new(),
        };
        process.measure.follow_calendar(now, timestamp);
        process.measure.tick(now);
        let layout = process.measure.layout.clone();
        assert_eq!(process.measure.set_layout(layout), []);
        process.load();
        process
    }

    fn load(&mut self) {
        let mut loading = self.measure.load();
        self.kept.load(&mut loading);
        self.adopt(loading);
    }

    fn adopt(&mut self, loading: Loading) {
        let changes = self.measure.adopt(loading).unwrap();
        self.say(&changes);
    }

    fn say(&mut self, changes: &[VersionChange]) {
        self.said.extend(changes.iter().map(ToString::to_string));
        self.kept.versions = Some(self.measure.versions().clone());
    }

    fn reload(&mut self, objective: ObjectiveSpec) {
        self.series = self
            .registry
            .service("shop", std::slice::from_ref(&objective));
        let changes = self.measure.set_layout(layout(objective));
        self.say(&changes);
    }

    fn seconds(&mut self, seconds: u64, good: u64, bad: u64) {
        for _ in 0..seconds {
            (0..good).for_each(|_| self.series.record(0, &ended(Cause::Answered)));
            (0..bad).for_each(|_| self.series.record(0, &ended(Cause::Reset)));
            self.now += SECOND;
            self.timestamp = self.timestamp + SECOND;
            self.measure.follow_calendar(self.now, self.timestamp);
            self.measure.tick(self.now);
            self.kept.on_second(self.measure.second());
        }
    }

    fn objective(&self) -> ObjectiveView {
        let snapshot = self.measure.snapshot(self.timestamp, &Inputs::default());
        snapshot.services[0].objectives[0].clone()
    }

    fn counted(&self) -> (u64, u64) {
        let objective = self.objective();
        (objective.good, objective.bad)
    }
}

fn layout(objective: ObjectiveSpec) -> Layout {
    Layout {
        services: vec![ServiceLayout {
            name: "shop".to_owned(),
            objectives: vec![objective],
            ..ServiceLayout::default()
        }],
        ..Layout::default()
    }
}

fn ended(cause: Cause) -> Record {
    Record {
        class: Class::Standard,
        cause,
        latency: Duration::from_millis(1),
        bytes_in: 0,
        bytes_out: 0,
        objectives: Record::ALL,
    }
}

fn over(period: Period) -> ObjectiveSpec {
    ObjectiveSpec {
        name: "availability".to_owned(),
        sli: Sli::Availability,
        target: Ratio::try_from(0.99).unwrap(),
        period,
        classes: Vec::new(),
        routes: Vec::new(),
    }
}

fn days(days: u64) -> ObjectiveSpec {
    over(Period::Rolling(Duration::from_secs(days * DAY)))
}

fn at(hour: u64, second: u64) -> Timestamp {
    let (year, month, day) = THE_DAY;
    let midnight = Timestamp::of_date(year, month, day);
    midnight + Duration::from_secs(hour * HOUR + second)
}

#[test]
fn a_budget_goes_on_after_a_restart_and_knows_that_it_was_away() {
    let mut kept = Kept::default();
    let mut first = Process::start(&mut kept, at(9, 0), days(28));
    first.seconds(4_000, 9, 1);
    let before = first.objective();
    drop(first);
    // Ten minutes later, in another process.
    let mut next = Process::start(&mut kept, at(9, 4_600), days(28));
    assert_eq!(next.said, [] as [&str; 0]);
    let after = next.objective();
    assert_eq!((after.good, after.bad), (before.good, before.bad));
    assert_eq!(after.observed_seconds, before.observed_seconds);
    assert_eq!(after.budget_left, before.budget_left);
    // The last five minutes were not observed, the last hour in part.
    let burn = |window: &str| {
        let burn = after.burn.iter().find(|it| it.window == window).unwrap();
        (burn.rate, burn.observed_seconds)
    };
    assert_eq!(burn("5m"), (None, 0.0));
    let (rate, observed) = burn("1h");
    assert!((rate.unwrap() - 10.0).abs() < 1e-9);
    assert!((2_990.0..=3_010.0).contains(&observed), "{observed}");
    next.seconds(100, 9, 1);
    assert_eq!(next.counted(), (36_900, 4_100));
}

#[test]
fn after_many_restarts_all_that_was_counted_is_there_once() {
    let mut kept = Kept::default();
    let mut counted = 0;
    let mut now = at(8, 17);
    for process in 0..40 {
        let mut running = Process::start(&mut kept, now, days(28));
        let seconds = 7 + process * 13;
        running.seconds(seconds, 1, 0);
        counted += seconds;
        assert_eq!(running.counted(), (counted, 0), "{process}");
        now = running.timestamp + Duration::from_millis(700 * process);
    }
}

#[test]
fn what_comes_while_history_is_read_is_counted_once() {
    let mut kept = Kept::default();
    let mut first = Process::start(&mut kept, at(9, 0), days(28));
    first.seconds(600, 9, 1);
    drop(first);
    let mut next = Process::start(&mut kept, at(9, 700), days(28));
    next.seconds(50, 3, 0);
    let mut loading = next.measure.load();
    next.kept.load(&mut loading);
    next.seconds(20, 3, 0);
    // What is read later has what came meanwhile: it is not asked for.
    next.kept.load(&mut next.measure.load());
    next.seconds(20, 3, 0);
    next.adopt(loading);
    assert_eq!(next.counted(), (5_400 + 210 + 60, 600));
}

#[test]
fn a_store_that_knows_less_than_the_process_is_not_believed() {
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, at(9, 0), days(28));
    process.seconds(600, 9, 1);
    process.kept.stretches.clear();
    process.load();
    assert_eq!(process.counted(), (5_400, 600));
}

#[test]
fn another_target_or_period_is_recomputed_and_another_sli_begins_anew() {
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, at(9, 0), days(7));
    process.seconds(2 * HOUR, 99, 1);
    let left = process.objective().budget_left.unwrap();
    let stricter = ObjectiveSpec {
        target: Ratio::try_from(0.999).unwrap(),
        ..days(7)
    };
    process.reload(stricter);
    process.seconds(1, 99, 1);
    let objective = process.objective();
    assert_eq!((objective.version, objective.bad), (2, 2 * HOUR + 1));
    let spent = (1.0 - objective.budget_left.unwrap()) / (1.0 - left);
    assert!((spent - 10.0).abs() < 0.01, "{spent}");
    // Longer than what is in memory: the rest is in the store. First as a restart would find it, then as a reload.
    process.reload(days(1));
    process.seconds(1, 99, 1);
    let counted = process.counted();
    process.load();
    assert_eq!(process.counted(), counted);
    process.reload(days(90));
    process.seconds(1, 99, 1);
    process.load();
    assert_eq!(process.counted(), (99 * (2 * HOUR + 3), 2 * HOUR + 3));

    let only_critical = ObjectiveSpec {
        classes: vec![Class::Critical],
        ..days(90)
    };
    process.reload(only_critical.clone());
    process.seconds(1, 99, 1);
    assert_eq!(process.counted(), (0, 0));
    assert_eq!(process.said.len(), 4, "{:?}", process.said);
    assert!(process.said[3].ends_with("its budget begins anew"));
    // And back: what it once counted is not what it promised since.
    process.reload(days(90));
    process.seconds(5, 99, 1);
    process.load();
    let counted = process.counted();
    assert_eq!(counted, (495, 5));
    let timestamp = process.timestamp;
    drop(process);
    let next = Process::start(&mut kept, timestamp + SECOND, days(90));
    assert_eq!((next.counted(), next.objective().version), (counted, 6));
}

#[test]
fn a_change_that_was_made_while_nothing_ran_is_found() {
    let mut kept = Kept::default();
    let mut first = Process::start(&mut kept, at(9, 0), days(7));
    first.seconds(100, 9, 1);
    drop(first);
    let looser = ObjectiveSpec {
        target: Ratio::try_from(0.9).unwrap(),
        ..days(7)
    };
    let next = Process::start(&mut kept, at(9, 200), looser);
    assert_eq!(
        next.said,
        [
            "objective availability is version 2 (target changed): its budget is recomputed from the same counts"
        ]
    );
    assert_eq!(next.counted(), (900, 100));
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_twice() {
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, at(9, 0), days(28));
    process.seconds(1_000, 9, 1);
    process.timestamp = at(8, 0);
    process.seconds(1_000, 9, 1);
    assert_eq!(process.counted(), (18_000, 2_000));
    assert_eq!(process.objective().observed_seconds, 2_000.0);
    let longest = |kept: &Kept| {
        let longest = kept.stretches.iter();
        let seconds = longest.filter(|((resolution, _), _)| *resolution == 1);
        seconds.map(|(_, (observed, _))| *observed).max()
    };
    assert_eq!(longest(process.kept), Some(SECOND));
    // A process that begins before what was kept counts it once that time has come again.
    drop(process);
    let mut next = Process::start(&mut kept, at(8, 1_000), days(28));
    assert_eq!(next.counted(), (0, 0));
    next.seconds(10, 9, 1);
    assert_eq!(next.counted(), (90, 10));
    drop(next);
    let later = Process::start(&mut kept, at(10, 0), days(28));
    assert_eq!(later.counted(), (18_090, 2_010));
}

#[test]
fn a_clock_that_is_set_forward_leaves_a_gap_and_no_spike() {
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, at(9, 0), days(28));
    process.seconds(600, 9, 1);
    process.timestamp = at(20, 0);
    process.seconds(300, 9, 1);
    let objective = process.objective();
    assert_eq!((objective.good, objective.bad), (8_100, 900));
    assert_eq!(objective.observed_seconds, 900.0);
    let hour = objective.burn.iter().find(|it| it.window == "1h").unwrap();
    assert_eq!(hour.observed_seconds, 300.0);
    assert!((hour.rate.unwrap() - 10.0).abs() < 1e-9);
    drop(process);
    let next = Process::start(&mut kept, at(20, 400), days(28));
    assert_eq!(next.counted(), (8_100, 900));
    assert_eq!(next.objective().observed_seconds, 900.0);
}

#[test]
fn a_month_ends_at_its_end_and_its_budget_is_whole_again() {
    let month = || over(Period::Calendar(Calendar::Month));
    let eve = Timestamp::of_date(2026, 11, 30) + Duration::from_secs(23 * HOUR);
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, eve, month());
    process.seconds(HOUR - 1, 9, 1);
    let objective = process.objective();
    let calendar = objective.calendar.clone().unwrap();
    assert_eq!(calendar.ends, Timestamp::of_date(2026, 12, 1));
    assert_eq!(objective.period_seconds, 30.0 * 86_400.0);
    assert_eq!((objective.good, objective.bad), (9 * (HOUR - 1), HOUR - 1));
    // An hour at a burn of 10, of 720.
    let left = objective.budget_left.unwrap();
    assert!((left - (1.0 - 10.0 / 720.0)).abs() < 1e-4, "{left}");
    // What is counted with the first second of the month belongs to it; the hour burns on.
    process.seconds(1, 9, 1);
    let objective = process.objective();
    assert_eq!((objective.good, objective.bad), (9, 1));
    assert_eq!(
        objective.calendar.unwrap().ends,
        Timestamp::of_date(2027, 1, 1)
    );
    let rate = process.objective().burn_over("1h").unwrap();
    assert!((rate - 10.0).abs() < 1e-9);
    process.seconds(2 * HOUR, 9, 1);
    let counted = process.counted();
    assert_eq!(counted, (9 * (2 * HOUR + 1), 2 * HOUR + 1));
    // The same after a restart.
    let timestamp = process.timestamp;
    drop(process);
    let next = Process::start(&mut kept, timestamp + SECOND, month());
    assert_eq!(next.counted(), counted);
}

#[test]
fn what_happens_in_a_maintenance_window_is_counted_and_not_held_against_anybody() {
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, at(9, 0), days(28));
    process.seconds(100, 9, 1);
    let window = Maintenance {
        services: vec!["shop".to_owned()],
        begins: crate::Begins::Once(at(9, 120)),
        lasts: Duration::from_secs(60),
    };
    process
        .measure
        .plan_maintenance([("upgrade".to_owned(), window)].into());
    process.seconds(19, 9, 1);
    assert_eq!(process.measure.maintenance_changes(), []);
    process.seconds(1, 0, 10);
    let [began] = process.measure.maintenance_changes().try_into().unwrap();
    assert_eq!(
        (began.name.as_str(), began.until),
        ("upgrade", Some(at(9, 180)))
    );
    process.seconds(59, 0, 10);
    let snapshot = process
        .measure
        .snapshot(process.timestamp, &Inputs::default());
    assert_eq!(
        snapshot.services[0].maintenance.as_ref().unwrap().until,
        at(9, 180)
    );
    assert_eq!(snapshot.services[0].traffic.bad_share, Some(1.0));
    let objective = &snapshot.services[0].objectives[0];
    assert_eq!((objective.good, objective.bad), (9 * 119, 119));
    assert_eq!(objective.observed_seconds, 119.0);
    let (_, latest) = process.measure.latest().next().unwrap();
    assert!(latest.is_maintained && latest.requests == 10);
    assert_eq!(latest.objectives[0].0, Counts::default());
    process.seconds(1, 9, 1);
    assert_eq!(process.measure.maintenance_changes()[0].until, None);
    assert_eq!(process.counted(), (9 * 120, 120));
    let timestamp = process.timestamp;
    drop(process);
    let next = Process::start(&mut kept, timestamp, days(28));
    assert_eq!(next.counted(), (9 * 120, 120));
}

#[test]
fn the_latency_of_minutes_and_hours_is_kept() {
    let mut kept = Kept::default();
    let mut process = Process::start(&mut kept, at(9, 0), days(28));
    let mut latencies = Vec::new();
    for _ in 0..130 {
        process.seconds(1, 10, 0);
        latencies.extend(process.measure.second().latencies.clone());
    }
    let kept: Vec<_> = latencies
        .iter()
        .map(|it| (it.resolution, it.start))
        .collect();
    let nine = at(9, 0).as_seconds();
    assert_eq!(
        kept,
        [
            (60, nine),
            (HOUR as u32, nine),
            (60, nine + 60),
            (HOUR as u32, nine)
        ]
    );
    assert!(
        latencies
            .iter()
            .all(|it| it.p50 <= it.p99 && it.p99.as_micros().abs_diff(1_000) < 30)
    );
}
