//! The history of one series: what it counted lately, and over the periods of its objectives.

use std::time::Duration;

use plimsoll_core::{Instant, Ratio, Timestamp};

use super::history::Restored;
use super::protection::ClassCounts;
use crate::histogram::{Histogram, SparseHistogram};
use crate::objective::{Counts, ObjectiveSpec, Sli, Tally, forecast};
use crate::outcome::Outcome;
use crate::registry::{Reading, SeriesKey};
use crate::series::CauseCounts;
use crate::snapshot::{BurnView, ErrorView, LatencyView, ObjectiveView, TrafficView};
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
const BURN_RATE_MAX: f64 = 1e9;

/// The history of one series.
#[derive(Debug)]
pub(super) struct Tracked {
    causes: CauseCounts,
    /// What came with the last tick.
    pub(super) latest: CauseCounts,
    /// Only of a service.
    pub(super) classes: ClassCounts,
    latency: Histogram,
    recent: Window<Option<Box<Recent>>>,
    pub(super) objectives: Vec<TrackedObjective>,
}

/// What came within one slot of a window.
#[derive(Clone, Debug, Default)]
struct Recent {
    causes: CauseCounts,
    /// Only of a service: routes and endpoints, of which there are more, do without the memory.
    classes: Option<Box<ClassCounts>>,
    latency: SparseHistogram,
}

/// The history of one version of an objective.
#[derive(Debug)]
pub(super) struct TrackedObjective {
    pub(super) spec: ObjectiveSpec,
    pub(super) version: u32,
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
            classes: ClassCounts::default(),
            latency: Histogram::new(),
            recent: Window::new(&RECENT_LEVELS),
            objectives: Vec::new(),
        }
    }

    pub(super) fn on_reading(
        &mut self,
        now: Instant,
        observed: Duration,
        reading: Reading,
        restored: &mut Restored,
    ) {
        let causes = reading.totals.causes();
        let delta = causes.since(&self.causes);
        let latency = SparseHistogram::between(&self.latency, &reading.totals.latency);
        let classes = matches!(reading.key, SeriesKey::Service(_)).then(|| {
            let classes = ClassCounts::of(&reading.totals);
            let delta = classes.since(&self.classes);
            self.classes = classes;
            Box::new(delta)
        });
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
            reading
                .objectives
                .iter()
                .any(|(spec, version)| tracked.is(spec, *version))
        });
        for ((spec, version), counts) in reading.objectives.iter().zip(&reading.totals.objectives) {
            let known = self
                .objectives
                .iter_mut()
                .find(|tracked| tracked.is(spec, *version));
            if let Some(tracked) = known {
                tracked.on_counts(now, observed, *counts);
            } else {
                let mut tracked = TrackedObjective::new(spec, *version);
                restored.give(&reading.key, spec, now, &mut tracked.window);
                tracked.on_counts(now, observed, *counts);
                self.objectives.push(tracked);
            }
        }
        self.latency = reading.totals.latency;
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
    pub(super) fn new(spec: &ObjectiveSpec, version: u32) -> Self {
        let window = Window::new(&objective_levels(spec.period));
        Self {
            spec: spec.clone(),
            version,
            counts: Counts::default(),
            latest: Counts::default(),
            window,
        }
    }

    fn is(&self, spec: &ObjectiveSpec, version: u32) -> bool {
        self.version == version && self.spec == *spec
    }

    fn on_counts(&mut self, now: Instant, observed: Duration, counts: Counts) {
        self.latest = counts.since(self.counts);
        self.window.add(now, observed, &self.latest.budget());
        self.counts = counts;
    }

    /// The share of the period's budget that is left; `None` without traffic.
    pub(super) fn budget_left(&self, now: Instant) -> Option<f64> {
        self.left_of(&self.window.sum(now, self.spec.period))
    }

    /// Of the time that was not observed yet it is taken that it has as many requests, and that all are good: a minute
    /// at a burn of 24 is no more than a minute's share of the period.
    fn left_of(&self, period: &Sum<Tally>) -> Option<f64> {
        let observed = period.observed.as_secs_f64() / self.spec.period.as_secs_f64();
        let spent = period.amount.burn_rate(self.spec.target)?;
        Some((1.0 - spent * observed.min(1.0)).max(-BURN_RATE_MAX))
    }

    pub(super) fn view(&self, now: Instant, timestamp: Timestamp) -> ObjectiveView {
        let spec = &self.spec;
        let period = self.window.sum(now, spec.period);
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
        let budget_left = self.left_of(&period);
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
            period_seconds: spec.period.as_secs_f64(),
            observed_seconds: period.observed.min(spec.period).as_secs_f64(),
            version: self.version,
            good: period.amount.good,
            bad: period.amount.bad,
            budget_left,
            bad_left: period.amount.bad_left(spec.target),
            forecast: forecast(budget_left, hour, spec.period, timestamp),
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
