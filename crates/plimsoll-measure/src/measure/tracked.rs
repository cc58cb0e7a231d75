//! The history of one series: what it counted lately, and over the periods of its objectives.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Instant, Ratio, Timestamp};

use super::history::LatencyOf;
use super::protection::ClassCounts;
use super::versions::Versions;
use crate::histogram::{Histogram, SparseHistogram};
use crate::objective::{Counts, ObjectiveSpec, Sli, Tally, forecast};
use crate::outcome::Outcome;
use crate::period::{Now, Period};
use crate::registry::{Reading, SeriesKey};
use crate::series::CauseCounts;
use crate::snapshot::{BurnView, CalendarView, ErrorView, LatencyView, ObjectiveView, TrafficView};
use crate::window::{Amount, RECENT_LEVELS, Sum, Window, objective_levels};

/// The windows that burn rates are given over.
pub const BURN_WINDOWS: [(&str, Duration); 7] = [
    ("5m", Duration::from_secs(300)),
    ("30m", Duration::from_secs(1_800)),
    ("1h", Duration::from_secs(3_600)),
    ("2h", Duration::from_secs(7_200)),
    ("6h", Duration::from_secs(21_600)),
    ("1d", Duration::from_secs(86_400)),
    ("3d", Duration::from_secs(259_200)),
];

pub(super) const RATE_WINDOW: Duration = Duration::from_secs(10);
pub(super) const TRAFFIC_WINDOW: Duration = Duration::from_secs(60);
/// A target of 100 % burns infinitely fast, which JSON cannot say: a number that is as good.
pub(super) const BURN_RATE_MAX: f64 = 1e9;

/// The history of one series.
#[derive(Debug)]
pub(super) struct Tracked {
    causes: CauseCounts,
    /// What came with the last tick.
    pub(super) latest: CauseCounts,
    /// Those that Plimsoll did not refuse, by class; only of a service.
    pub(super) let_in: [u64; Class::ALL.len()],
    /// How long what came with the last tick took; only of a service or an endpoint.
    pub(super) latest_latency: SparseHistogram,
    /// Only of a service.
    pub(super) classes: ClassCounts,
    latency: Histogram,
    pub(super) recent: Window<Option<Box<Recent>>>,
    /// Of a service with objectives: the minute and the hour that are on.
    stretches: [Stretch; 2],
    pub(super) objectives: Vec<TrackedObjective>,
}

/// A stretch of the calendar whose latency is kept.
#[derive(Debug)]
struct Stretch {
    /// In seconds.
    resolution: u32,
    /// In seconds since the epoch.
    start: u64,
    latency: SparseHistogram,
}

/// What came within one slot of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    pub(super) causes: CauseCounts,
    /// Only of a service: routes and endpoints, of which there are more, do without the memory.
    classes: Option<Box<ClassCounts>>,
    pub(super) latency: SparseHistogram,
}

/// The history of an objective, for as long as it counts the same.
#[derive(Debug)]
pub(super) struct TrackedObjective {
    pub(super) spec: ObjectiveSpec,
    /// What it counts is kept under this name.
    pub(super) series: Arc<str>,
    counting: u32,
    counts: Counts,
    /// What came with the last tick.
    pub(super) latest: Counts,
    pub(super) window: Window<Tally>,
}

impl Amount for Recent {
    fn add(&mut self, other: &Self) {
        self.causes += other.causes;
        self.classes.add(&other.classes);
        self.latency.merge(&other.latency);
    }
}

impl Tracked {
    pub(super) fn new() -> Self {
        Self {
            causes: CauseCounts::default(),
            latest: CauseCounts::default(),
            let_in: [0; Class::ALL.len()],
            latest_latency: SparseHistogram::default(),
            classes: ClassCounts::default(),
            latency: Histogram::new(),
            recent: Window::new(&RECENT_LEVELS),
            stretches: [60, 3_600].map(|resolution| Stretch {
                resolution,
                start: 0,
                latency: SparseHistogram::default(),
            }),
            objectives: Vec::new(),
        }
    }

    /// `budget_now` is the same moment by the clock of budgets. Of a service that is maintained nothing counts for its
    /// objectives, and the time is not observed. Latencies of stretches that are over are added to `latencies`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a tick knows, and two things that it fills"
    )]
    pub(super) fn on_reading(
        &mut self,
        now: Instant,
        budget_now: Instant,
        observed: Duration,
        reading: Reading,
        is_maintained: bool,
        versions: &Versions,
        latencies: &mut Vec<LatencyOf>,
    ) {
        let causes = reading.totals.causes();
        let delta = causes.since(&self.causes);
        let latency = SparseHistogram::between(&self.latency, &reading.totals.latency);
        let classes = matches!(reading.key, SeriesKey::Service(_)).then(|| {
            let classes = ClassCounts::of(&reading.totals);
            let delta = classes.since(&self.classes);
            self.classes = classes;
            self.let_in = delta.let_in();
            Box::new(delta)
        });
        if matches!(
            reading.key,
            SeriesKey::Service(_) | SeriesKey::Endpoint { .. }
        ) {
            self.latest_latency.clone_from(&latency);
        }
        if !reading.objectives.is_empty() {
            let second = budget_now.as_nanos() / 1_000_000_000;
            latencies.extend(self.on_latency(second, &latency));
        }
        let any = delta.total() > 0 || !latency.is_empty();
        self.recent.add(
            now,
            observed,
            &any.then(|| {
                Box::new(Recent {
                    causes: delta,
                    classes,
                    latency,
                })
            }),
        );
        self.causes = causes;
        self.latest = delta;

        self.objectives.retain(|tracked| {
            let mut all = reading.objectives.iter();
            all.any(|(spec, counting)| tracked.is(spec, *counting))
        });
        for ((spec, counting), counts) in reading.objectives.iter().zip(&reading.totals.objectives)
        {
            let known = self
                .objectives
                .iter_mut()
                .find(|tracked| tracked.is(spec, *counting));
            if let Some(tracked) = known {
                tracked.judge_by(spec);
                tracked.on_counts(budget_now, observed, *counts, is_maintained);
            } else if let SeriesKey::Service(service) = &reading.key {
                let at = Timestamp::from_nanos(budget_now.as_nanos());
                let series = versions.series_name(service, spec, at);
                let mut tracked = TrackedObjective::new(spec, *counting, series);
                tracked.on_counts(budget_now, observed, *counts, is_maintained);
                self.objectives.push(tracked);
            }
        }
        self.latency = reading.totals.latency;
    }

    /// What there is to keep of latency: of stretches that end before `second`, and with each minute of the hour so far.
    fn on_latency(&mut self, second: u64, latency: &SparseHistogram) -> Vec<LatencyOf> {
        let minute = second - second % 60;
        let [of_minute, _] = &self.stretches;
        let kept = match of_minute.start == minute {
            true => Vec::new(),
            false => self.latencies(),
        };
        for stretch in &mut self.stretches {
            let start = second - second % u64::from(stretch.resolution);
            if stretch.start != start {
                stretch.start = start;
                stretch.latency = SparseHistogram::default();
            }
            stretch.latency.merge(latency);
        }
        kept
    }

    /// The latency of the minute and the hour that are on.
    pub(super) fn latencies(&self) -> Vec<LatencyOf> {
        let each = self.stretches.iter().filter_map(|stretch| {
            let mut histogram = Histogram::new();
            stretch.latency.add_to(&mut histogram);
            let quantiles = (histogram.quantile(0.5)?, histogram.quantile(0.99)?);
            Some((stretch, quantiles))
        });
        let each: Vec<_> = each.collect();
        let objectives = self.objectives.iter();
        let latencies = objectives.flat_map(|objective| {
            each.iter().map(|(stretch, (p50, p99))| LatencyOf {
                series: Arc::clone(&objective.series),
                resolution: stretch.resolution,
                start: stretch.start,
                p50: *p50,
                p99: *p99,
            })
        });
        latencies.collect()
    }

    /// Requests by class over the last `span`, and how much of it was observed.
    pub(super) fn classes_over(&self, now: Instant, span: Duration) -> (ClassCounts, Duration) {
        let mut sum = ClassCounts::default();
        let observed = self.recent.each(now, span, |recent| {
            if let Some(classes) = recent.as_ref().and_then(|recent| recent.classes.as_ref()) {
                sum.add(classes);
            }
        });
        (sum, observed)
    }

    pub(super) fn traffic(&self, now: Instant) -> TrafficView {
        let mut causes = CauseCounts::default();
        let mut latency = Histogram::new();
        self.recent.each(now, TRAFFIC_WINDOW, |recent| {
            if let Some(recent) = recent {
                causes += recent.causes;
                recent.latency.add_to(&mut latency);
            }
        });
        let mut lately = 0;
        let observed = self.recent.each(now, RATE_WINDOW, |recent| {
            lately += recent.as_ref().map_or(0, |recent| recent.causes.total());
        });
        let total = causes.total();
        let mut errors: Vec<ErrorView> = causes
            .iter()
            .filter(|(cause, count)| *count > 0 && cause.outcome() != Outcome::Good)
            .map(|(cause, count)| ErrorView {
                cause,
                outcome: cause.outcome(),
                origin: cause.origin(),
                count,
                share: count as f64 / total as f64,
            })
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        let tally = Tally {
            good: causes.with_outcome(Outcome::Good),
            bad: causes.with_outcome(Outcome::Bad),
        };
        TrafficView {
            requests_total: self.causes.total(),
            requests_per_second: (!observed.is_zero())
                .then(|| lately as f64 / observed.as_secs_f64()),
            bad_share: tally.bad_share().map(Ratio::get),
            errors,
            latency: LatencyView::of(&latency),
        }
    }
}

impl TrackedObjective {
    /// What it counts is kept as `series`.
    pub(super) fn new(spec: &ObjectiveSpec, counting: u32, series: Arc<str>) -> Self {
        let window = Window::new(&objective_levels(spec.period.longest()));
        Self {
            spec: spec.clone(),
            series,
            counting,
            counts: Counts::default(),
            latest: Counts::default(),
            window,
        }
    }

    fn is(&self, spec: &ObjectiveSpec, counting: u32) -> bool {
        self.counting == counting && self.spec.name == spec.name
    }

    /// The target or the period may be another: the budget is recomputed from what was counted.
    fn judge_by(&mut self, spec: &ObjectiveSpec) {
        if self.spec.period != spec.period {
            let levels = objective_levels(spec.period.longest());
            self.window = self.window.with_levels(&levels);
        }
        if self.spec != *spec {
            self.spec = spec.clone();
        }
    }

    fn on_counts(&mut self, now: Instant, observed: Duration, counts: Counts, is_maintained: bool) {
        self.latest = match is_maintained {
            true => Counts::default(),
            false => counts.since(self.counts),
        };
        if !is_maintained {
            self.window.add(now, observed, &self.latest.budget());
        }
        self.counts = counts;
    }

    /// The share of the period's budget that is left; `None` without traffic. `now` is by the clock of budgets.
    pub(super) fn budget_left(&self, now: Instant) -> Option<f64> {
        let (period, sum) = self.period(now);
        self.left_of(period, &sum)
    }

    /// The period as it is now, and what came in it so far.
    fn period(&self, now: Instant) -> (Now, Sum<Tally>) {
        let period = self.spec.period.at(Timestamp::from_nanos(now.as_nanos()));
        let span = match period.ends {
            None => period.elapsed,
            // At the edge of a slot, that slot has begun.
            Some(_) => period.elapsed + Duration::from_nanos(1),
        };
        (period, self.window.sum(now, span))
    }

    /// Of the time that was not observed yet it is taken that it has as many requests, and that all are good: a minute
    /// at a burn of 24 is no more than a minute's share of the period.
    fn left_of(&self, period: Now, sum: &Sum<Tally>) -> Option<f64> {
        let observed = sum.observed.as_secs_f64() / period.length.as_secs_f64();
        let spent = sum.amount.burn_rate(self.spec.target)?;
        Some((1.0 - spent * observed.min(1.0)).max(-BURN_RATE_MAX))
    }

    /// `now` is by the clock of budgets.
    pub(super) fn view(&self, now: Instant, version: u32) -> ObjectiveView {
        let spec = &self.spec;
        let (length, period) = self.period(now);
        let burn: Vec<BurnView> = BURN_WINDOWS
            .iter()
            .map(|(name, span)| {
                let sum = self.window.sum(now, *span);
                BurnView {
                    window: (*name).to_owned(),
                    rate: sum
                        .amount
                        .burn_rate(spec.target)
                        .map(|rate| rate.min(BURN_RATE_MAX)),
                    observed_seconds: sum.observed.min(*span).as_secs_f64(),
                }
            })
            .collect();
        let budget_left = self.left_of(length, &period);
        let hour = burn
            .iter()
            .find(|burn| burn.window == "1h")
            .and_then(|burn| burn.rate);
        ObjectiveView {
            name: spec.name.clone(),
            kind: spec.sli.name().to_owned(),
            below_seconds: match spec.sli {
                Sli::Availability => None,
                Sli::Latency { below } => Some(below.as_secs_f64()),
            },
            target: spec.target.get(),
            period_seconds: length.length.as_secs_f64(),
            calendar: match (spec.period, length.ends) {
                (Period::Calendar(calendar), Some(ends)) => Some(CalendarView { calendar, ends }),
                _ => None,
            },
            observed_seconds: period.observed.min(length.length).as_secs_f64(),
            version,
            good: period.amount.good,
            bad: period.amount.bad,
            budget_left,
            bad_left: period.amount.bad_left(spec.target),
            forecast: forecast(
                budget_left,
                hour,
                length,
                Timestamp::from_nanos(now.as_nanos()),
            ),
            burn,
        }
    }
}

impl LatencyView {
    fn of(histogram: &Histogram) -> Self {
        let quantile = |q| histogram.quantile(q).map(|latency| latency.as_secs_f64());
        Self {
            p50_seconds: quantile(0.5),
            p95_seconds: quantile(0.95),
            p99_seconds: quantile(0.99),
            p999_seconds: quantile(0.999),
        }
    }
}
