//! The control thread's half: merges what the threads counted, finds the limit, publishes.

use std::time::Duration;

use plimsoll_core::{Class, Instant, Mode};

use super::shared::{AdmissionShared, GroupReading};
use super::{ALL_GROUPS, AdmissionParameters, GROUPS, LimiterKind, QueueWait};
use crate::limiter::{Counts, LimitChange, LimiterControl, Reading, Reason};

/// The objective as long as nothing is declared and nothing is known.
pub(super) const THETA_UNKNOWN: Duration = Duration::from_millis(250);
/// An assumed objective is this many medians, since a service's 95th to 99th percentile is a few medians.
const THETA_MEDIANS: f64 = 8.0;
/// It is never below this: a client does not notice less.
const THETA_MIN: f64 = 0.05;
/// It follows the median only if it is off by this share: each change recounts what is good.
const THETA_TOLERANCE: f64 = 0.25;
/// Time constant of rates.
const RATE_TIME: f64 = 0.5;
/// How much of a known median each window adds.
const MEDIAN_STEP: f64 = 0.1;
/// `wait = "auto"`: this many medians, within these bounds.
const WAIT_MEDIANS: f64 = 4.0;
const WAIT_BOUNDS: (f64, f64) = (0.010, 0.050);
/// Only a queue that stands is bounded by `queue.wait`: one that has not been empty for this many ticks. A burst
/// is let through as far as its answers fit the objective. (After the queue management of K. Nichols and
/// V. Jacobson, "Controlling Queue Delay", 2012.)
const STANDING_TICKS: u32 = 20;
/// It no longer stands after this many ticks without one who waits.
const EMPTY_TICKS: u32 = 10;
/// Time constant of the mean service time.
const MEAN_TIME: f64 = 0.2;
/// What is known of how quick a group is, is kept for so long after the last call of it that came back.
const QUICK_KEPT: Duration = Duration::from_secs(5);
/// A quarter second after the last completion a rate is still one.
const COMPLETIONS_MIN: u64 = 5;

/// What is worth keeping over a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdmissionMemory {
    /// The limit without its dither.
    pub limit: u32,
    /// The median service time of windows in which the limit did not bind, in seconds; zero = unknown.
    pub median_unbound: f64,
    /// The median and the 90th percentile of service time, in seconds; zero = unknown.
    pub quantiles: (f64, f64),
}

/// The control half. See the module's docs.
#[derive(Clone, Debug)]
pub struct AdmissionControl {
    parameters: AdmissionParameters,
    limiter: LimiterControl,
    at: Instant,
    arrivals: [u64; Class::ALL.len()],
    completions: u64,
    rate: f64,
    arrival_rates: [f64; Class::ALL.len()],
    median_unbound: f64,
    theta: f64,
    groups: [Group; GROUPS],
    window: Window,
    /// Sums that fade with [`MEAN_TIME`]: request-seconds and completions.
    held: f64,
    completed: f64,
    held_seen: f64,
    waiting_ticks: u32,
    empty_ticks: u32,
    standing: bool,
    /// The route groups that were counted last.
    fitting: u32,
    /// Calls that hang at endpoints that have fallen silent...
    parked: u32,
    /// ...from the next tick on...
    parked_next: u32,
    /// What the fitting groups had in flight over time, without those, in request-seconds.
    working_seconds: f64,
    /// Nothing was read yet.
    fresh: bool,
}

/// What is known of one route group.
#[derive(Clone, Copy, Debug)]
struct Group {
    base: GroupReading,
    /// Mean service time, in seconds; zero = unknown.
    latency: f64,
    /// At the last tick.
    seen: GroupReading,
    /// When a call of it came back last.
    heard: Instant,
}

impl Group {
    fn new(now: Instant) -> Self {
        Self {
            base: GroupReading::default(),
            latency: 0.0,
            seen: GroupReading::default(),
            heard: now,
        }
    }
}

/// Half a second or more of what the groups did.
#[derive(Clone, Copy, Debug)]
struct Window {
    opened: Instant,
    bound: bool,
}

impl AdmissionControl {
    /// Begins with what `parameters` say, or with what was `kept`.
    pub fn new(
        parameters: &AdmissionParameters,
        kept: Option<&AdmissionMemory>,
        now: Instant,
    ) -> Self {
        let mut limiter = LimiterControl::new(parameters.start, parameters.limit_max);
        if let Some(kept) = kept {
            limiter.resume(kept.limit);
        }
        let mut control = Self {
            parameters: *parameters,
            limiter,
            at: now,
            arrivals: [0; Class::ALL.len()],
            completions: 0,
            rate: 0.0,
            arrival_rates: [0.0; Class::ALL.len()],
            median_unbound: kept.map_or(0.0, |kept| kept.median_unbound),
            theta: 0.0,
            groups: [Group::new(now); GROUPS],
            window: Window {
                opened: now,
                bound: false,
            },
            held: 0.0,
            completed: 0.0,
            held_seen: 0.0,
            waiting_ticks: 0,
            empty_ticks: 0,
            standing: false,
            fitting: ALL_GROUPS,
            parked: 0,
            parked_next: 0,
            working_seconds: 0.0,
            fresh: true,
        };
        control.theta = control.wanted_theta();
        control
    }

    /// Publishes what holds before the first tick: limit, objective, what was kept.
    pub fn begin(&self, kept: Option<&AdmissionMemory>, shared: &AdmissionShared) {
        if let Some(kept) = kept {
            shared.set_quantiles(kept.quantiles.0, kept.quantiles.1);
        }
        shared.published.theta.set(self.theta);
        self.publish_limit(shared);
        self.publish_wait(shared);
    }

    /// Takes over other parameters, as after a reload; what was learnt stays.
    pub fn set_parameters(&mut self, parameters: &AdmissionParameters, shared: &AdmissionShared) {
        if self.parameters.groups != parameters.groups {
            // What is known of a group is of routes that another one has now.
            for (index, group) in self.groups.iter_mut().enumerate() {
                group.latency = 0.0;
                shared.forget_quick(index);
            }
            self.publish_fitting(shared);
        }
        self.parameters = *parameters;
        self.limiter.set_max(parameters.limit_max);
        self.theta = self.wanted_theta();
        shared.published.theta.set(self.theta);
        self.publish_limit(shared);
        self.publish_wait(shared);
    }

    /// What is worth keeping.
    pub fn memory(&self, shared: &AdmissionShared) -> AdmissionMemory {
        AdmissionMemory {
            limit: self.limiter.settled_limit(),
            median_unbound: self.median_unbound,
            quantiles: shared.quantiles(),
        }
    }

    /// Why the limit is what it is.
    pub fn reason(&self) -> Reason {
        self.limiter.reason()
    }

    /// Whether the objective is assumed.
    pub fn assumes_objective(&self) -> bool {
        self.parameters.objective.is_none()
    }

    /// How many calls hang at endpoints that have fallen silent, from the next tick on: others get their permits
    /// instead, as long as the limit is found and not given; but never more than twice the limit are in use.
    pub fn park(&mut self, calls: u32) {
        self.parked_next = calls;
    }

    /// Each 10-50 ms. After a change, threads whose queues are not empty are to be woken.
    pub fn tick(&mut self, now: Instant, shared: &AdmissionShared) -> Option<LimitChange> {
        let seconds = (now - self.at).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        self.at = now;
        let parked_before = std::mem::replace(&mut self.parked, self.parked_next);
        let mut readings = [GroupReading::default(); GROUPS];
        for (group, reading) in readings.iter_mut().enumerate() {
            *reading = shared.read_group(group, now);
        }
        if std::mem::take(&mut self.fresh) {
            self.begin_from(&readings, shared);
        }
        self.forget_silent_groups(now, &readings, shared);
        self.update_rates(seconds, &readings, shared);
        self.watch_queue(shared);
        let full = shared.waiting() > 0 || !shared.has_free();
        self.window.bound |= full;
        if (now - self.window.opened).as_secs_f64() >= 0.5 {
            self.update_groups(now, &readings, shared);
        }
        self.publish_wait(shared);
        let fitting = shared
            .published
            .fitting
            .load(crate::sync::atomic::Ordering::Relaxed);
        let in_flight_seconds = self.work(seconds, fitting, &readings, parked_before);
        if self.parameters.limiter != LimiterKind::Adaptive {
            return None;
        }
        if std::mem::replace(&mut self.fitting, fitting) != fitting {
            self.limiter.begin_anew();
        }
        let mut counts = Counts {
            in_flight_seconds,
            ..Counts::default()
        };
        for (group, reading) in readings.iter().enumerate() {
            if fitting & (1 << group) != 0 {
                counts.completions += reading.completions;
                counts.good += reading.good;
                counts.ok += reading.ok;
                counts.timeouts += reading.timeouts;
                counts.answer_seconds += reading.answer_seconds;
            }
        }
        if self.parameters.mode != Mode::Enforce {
            // Nothing is held back, so no window says what holding back would do: the line alone is the estimate.
            let line = self.rate * crate::limiter::SHARE * self.theta;
            let start = f64::from(self.parameters.start);
            let most = f64::from(self.parameters.limit_max);
            shared.set_limit(line.max(start).min(most) as u32);
            return None;
        }
        let in_flight: u32 = readings.iter().map(|it| it.in_flight).sum();
        let from = self.limiter.limit();
        let moved = self.limiter.tick(
            now,
            &Reading {
                counts,
                in_flight: in_flight.saturating_sub(self.parked),
                full,
                theta: Duration::try_from_secs_f64(self.theta).unwrap_or_default(),
            },
        );
        let to = self.limiter.limit();
        if (!moved || from == to) && self.parked == parked_before {
            return None;
        }
        self.publish_limit(shared);
        Some(LimitChange {
            at: now,
            from,
            to,
            reason: self.limiter.reason(),
        })
    }

    /// What was counted before, by another control half, is the base of what comes.
    fn begin_from(&mut self, readings: &[GroupReading; GROUPS], shared: &AdmissionShared) {
        for (group, reading) in self.groups.iter_mut().zip(readings) {
            (group.base, group.seen, group.heard) = (*reading, *reading, self.at);
        }
        self.completions = readings.iter().map(|it| it.completions).sum();
        self.held_seen = readings.iter().map(|it| it.in_flight_seconds).sum();
        self.arrivals = Class::ALL.map(|class| shared.read_arrivals(class));
    }

    /// A group of which nothing came back for a while is one of which nothing is known: else the calls that are refused
    /// for what is known would never show that it changed.
    fn forget_silent_groups(
        &mut self,
        now: Instant,
        readings: &[GroupReading; GROUPS],
        shared: &AdmissionShared,
    ) {
        for (index, (group, reading)) in self.groups.iter_mut().zip(readings).enumerate() {
            if reading.completions != group.seen.completions {
                group.heard = now;
            } else if now - group.heard >= QUICK_KEPT {
                shared.forget_quick(index);
            }
        }
    }

    /// What the fitting groups had in flight over time so far, in request-seconds, without the calls that hang at
    /// endpoints that have fallen silent: those are no work that the service does.
    fn work(
        &mut self,
        seconds: f64,
        fitting: u32,
        readings: &[GroupReading; GROUPS],
        parked: u32,
    ) -> f64 {
        let (mut more, mut in_flight, mut all) = (0.0, 0, 0);
        for (index, (group, reading)) in self.groups.iter_mut().zip(readings).enumerate() {
            all += reading.in_flight;
            if fitting & (1 << index) != 0 {
                more += (reading.in_flight_seconds - group.seen.in_flight_seconds).max(0.0);
                in_flight += reading.in_flight;
            }
            group.seen = *reading;
        }
        // Whose those are is not known.
        let share = f64::from(in_flight) / f64::from(all.max(1));
        self.working_seconds += (more - share * f64::from(parked) * seconds).max(0.0);
        self.working_seconds
    }

    fn update_rates(
        &mut self,
        seconds: f64,
        readings: &[GroupReading; GROUPS],
        shared: &AdmissionShared,
    ) {
        let part = 1.0 - libm::exp(-seconds / RATE_TIME);
        let completions: u64 = readings.iter().map(|it| it.completions).sum();
        let rate = completions.saturating_sub(self.completions) as f64 / seconds;
        self.completions = completions;
        self.rate += part * (rate - self.rate);
        shared.published.rate.set(self.rate);
        let kept = libm::exp(-seconds / MEAN_TIME);
        let held: f64 = readings.iter().map(|it| it.in_flight_seconds).sum();
        self.held = kept * self.held + (held - self.held_seen).max(0.0);
        self.held_seen = held;
        self.completed = kept * self.completed + rate * seconds;
        // The mean of fewer would be chance.
        if self.completed >= 3.0 {
            shared.published.mean.set(self.held / self.completed);
        }
        for class in Class::ALL {
            let index = class.index();
            let arrivals = shared.read_arrivals(class);
            if let (Some(before), Some(known), Some(published)) = (
                self.arrivals.get_mut(index),
                self.arrival_rates.get_mut(index),
                shared.published.arrivals.get(index),
            ) {
                let rate = arrivals.saturating_sub(*before) as f64 / seconds;
                *before = arrivals;
                *known += part * (rate - *known);
                published.set(*known);
            }
        }
    }

    fn wait_is_given(&self) -> bool {
        matches!(self.parameters.wait, QueueWait::Fixed(_))
    }

    fn watch_queue(&mut self, shared: &AdmissionShared) {
        if shared.waiting() > 0 {
            self.waiting_ticks += 1;
            self.empty_ticks = 0;
        } else {
            self.empty_ticks += 1;
            self.waiting_ticks = 0;
        }
        self.standing = match self.standing {
            false => self.waiting_ticks >= STANDING_TICKS,
            true => self.empty_ticks < EMPTY_TICKS,
        };
        shared.published.standing.store(
            u32::from(self.standing),
            crate::sync::atomic::Ordering::Relaxed,
        );
    }

    /// Learns each group's own latency where the limit does not bind, and with it which groups can meet the
    /// objective at all, and which objective is assumed.
    fn update_groups(
        &mut self,
        now: Instant,
        readings: &[GroupReading; GROUPS],
        shared: &AdmissionShared,
    ) {
        let seconds = (now - self.window.opened).as_secs_f64();
        let mut window_completions = 0;
        for (group, reading) in self.groups.iter_mut().zip(readings) {
            let completions = reading.completions.saturating_sub(group.base.completions);
            let held = (reading.in_flight_seconds - group.base.in_flight_seconds).max(0.0);
            window_completions += completions;
            if completions >= COMPLETIONS_MIN || (completions > 0 && seconds >= 5.0) {
                let latency = held / completions as f64;
                group.latency = if group.latency > 0.0 {
                    group.latency + 0.2 * (latency - group.latency)
                } else {
                    latency
                };
                group.base = *reading;
            } else if seconds >= 5.0 {
                group.base = *reading;
            }
        }
        if window_completions < COMPLETIONS_MIN && seconds < 5.0 {
            return;
        }
        let median = shared.median_seconds();
        if !self.window.bound && median > 0.0 && window_completions > 0 {
            self.median_unbound = if self.median_unbound > 0.0 {
                self.median_unbound + MEDIAN_STEP * (median - self.median_unbound)
            } else {
                median
            };
        }
        let wanted = self.wanted_theta();
        if (wanted / self.theta - 1.0).abs() > THETA_TOLERANCE {
            self.theta = wanted;
            shared.published.theta.set(wanted);
        }
        self.publish_fitting(shared);
        self.window = Window {
            opened: now,
            bound: false,
        };
    }

    /// A group whose calls take longer than the objective says nothing about whether too many are in flight, as
    /// long as another group's calls are quick: an overload slows all of them.
    fn publish_fitting(&self, shared: &AdmissionShared) {
        let mut fitting = 0_u32;
        let mut some = false;
        for (index, group) in self.groups.iter().enumerate() {
            if group.latency < self.theta {
                fitting |= 1 << index;
            }
            some |= group.latency > 0.0 && group.latency < crate::limiter::SHARE * self.theta;
        }
        let fitting = if some { fitting } else { ALL_GROUPS };
        shared
            .published
            .fitting
            .store(fitting, crate::sync::atomic::Ordering::Relaxed);
    }

    fn wanted_theta(&self) -> f64 {
        if let Some(declared) = self.parameters.objective {
            return declared.as_secs_f64().max(1e-3);
        }
        if self.median_unbound <= 0.0 {
            return THETA_UNKNOWN.as_secs_f64();
        }
        let most = (self.parameters.deadline.as_secs_f64() / 2.0).max(THETA_MIN);
        (THETA_MEDIANS * self.median_unbound).clamp(THETA_MIN, most)
    }

    fn publish_limit(&self, shared: &AdmissionShared) {
        shared.set_limit(match self.parameters.limiter {
            LimiterKind::Adaptive => {
                let limit = self.limiter.limit();
                let parked = self.parked.min(limit);
                (limit + parked).min(self.parameters.limit_max.max(limit))
            }
            LimiterKind::Fixed(limit) => limit,
            LimiterKind::Off => u32::MAX,
        });
    }

    fn publish_wait(&self, shared: &AdmissionShared) {
        if self.wait_is_given() {
            shared
                .published
                .standing
                .store(1, crate::sync::atomic::Ordering::Relaxed);
        }
        shared.published.wait_max.set(match self.parameters.wait {
            QueueWait::Objective => f64::MAX,
            QueueWait::Fixed(wait) => wait.as_secs_f64(),
            QueueWait::Auto => {
                (WAIT_MEDIANS * shared.median_seconds()).clamp(WAIT_BOUNDS.0, WAIT_BOUNDS.1)
            }
        });
    }
}
