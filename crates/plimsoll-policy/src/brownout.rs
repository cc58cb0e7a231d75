//! Brownout: optional features are dimmed while a service is slower than its objective, and come back as it recovers.
//!
//! Source: C. Klein, M. Maggio, K.-E. Årzén and F. Hernández-Rodriguez, "Brownout: Building More Robust Cloud
//! Applications" (ICSE 2014): a dimmer, the share of optional content that is served, is set so that latency stays at a
//! setpoint; how much latency the content costs is estimated as one goes. Three changes: what is dimmed is an ordered
//! list of features, for a growing share of users, always the same ones; steps are bounded in both directions, and larger
//! down than up, as a queue that has built up must drain first; upwards the latency of now counts and not the estimate, which
//! remembers an overload for longer than it lasts.
//! Units: the level counts features: at 1.25 the first is dimmed for all, and the second for a quarter of users.
//! People may hold the level up: what is dimmed is then what they ask for, or the controller, whichever is more.
//! Invariants: the controller's level stays within zero and the number of features, and below the ceiling; without data there is no
//! decision; it is the level in force that is moved, so that no error adds up while it can't move (no windup).
//! Elsewhere: how services learn of it (gateway); when it may be used at all (governor).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core::{Instant, Ratio};

/// How often the level may move: a change has to show in what is measured.
const INTERVAL: Duration = Duration::from_secs(1);
/// Fewer answers than this say nothing of a quantile.
const COMPLETIONS_MIN: u64 = 20;
/// The part of the objective that is aimed at, so that it is kept in spite of noise.
const SETPOINT: f64 = 0.8;
/// The part of the error that one step takes away: at a fifth it settles in some ten steps, and does not swing where
/// latency grows five times as fast as what is served.
const GAIN: f64 = 0.2;
/// The weight of the newest estimate of what content costs.
const NEWEST: f64 = 0.2;
/// The largest steps of the share that is served.
const STEP_DOWN: f64 = 0.25;
const STEP_UP: f64 = 0.05;
/// Below this share, latency says nothing of what content costs.
const SERVED_MIN: f64 = 0.05;
/// One feature, in the units of the shared word.
const FEATURE: u64 = 1 << 32;
/// No list is longer; the level fits its word.
const FEATURES_MAX: usize = 1_024;

/// What is dimmed, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrownoutParameters {
    /// How many features there are, the first to be dimmed first. At most 1,024.
    pub features: usize,
    /// What the latency objective asks for.
    pub below: Duration,
}

/// What was measured since the reading that was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrownoutReading {
    /// Answers, and calls that were given up.
    pub completions: u64,
    /// Their latency, at the quantile of the objective's target; one that was given up took at least what it took.
    pub latency: Duration,
}

/// What all threads read.
#[derive(Debug, Default)]
pub struct BrownoutShared {
    /// What the controller has set.
    level: AtomicU64,
    /// What people have set: it is not dimmed less.
    floor: AtomicU64,
}

impl BrownoutShared {
    /// At level 0: nothing is dimmed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a feature, by its place in the list, is dimmed for a user. `user` is a keyed hash of who asks, uniform over
    /// all of `u64`: the same for each of his requests, so that his pages do not flicker.
    pub fn dims(&self, feature: usize, user: u64) -> bool {
        dims_at(self.in_force(), feature, user)
    }

    /// So many features are dimmed for all, whatever the controller says; zero leaves it to that.
    pub fn set_floor(&self, features: u8) {
        self.floor
            .store(u64::from(features) * FEATURE, Ordering::Relaxed);
    }

    /// Whether nothing is dimmed for anybody.
    #[inline]
    pub fn is_off(&self) -> bool {
        self.in_force() == 0
    }

    /// The level in force.
    pub fn level(&self) -> f64 {
        self.in_force() as f64 / FEATURE as f64
    }

    /// The same in parts of a feature, 2^32 of them each; see [`crate::flag::DimmedFlag`].
    pub fn level_parts(&self) -> u64 {
        self.in_force()
    }

    fn in_force(&self) -> u64 {
        let (level, floor) = (&self.level, &self.floor);
        level
            .load(Ordering::Relaxed)
            .max(floor.load(Ordering::Relaxed))
    }
}

/// Whether a feature is dimmed for a user at a level; see [`BrownoutShared::dims`].
pub(crate) fn dims_at(level: u64, feature: usize, user: u64) -> bool {
    (user >> 32) < share_at(level, feature)
}

/// For how many users a feature is dimmed at a level, in parts of 2^32; more than all of them where the next one is, too.
pub(crate) fn share_at(level: u64, feature: usize) -> u64 {
    let before = u64::try_from(feature).map_or(u64::MAX, |feature| feature.saturating_mul(FEATURE));
    level.saturating_sub(before)
}

/// The control thread's half.
#[derive(Clone, Debug)]
pub struct BrownoutControl {
    parameters: BrownoutParameters,
    /// The share of all optional content that is served.
    served: f64,
    /// The largest part of the content that may be dimmed.
    ceiling: Ratio,
    /// Latency per content served, in seconds. `None` = nothing was measured yet.
    cost: Option<f64>,
    moved: Instant,
}

impl BrownoutControl {
    /// Dims nothing yet.
    pub fn new(parameters: BrownoutParameters, now: Instant) -> Self {
        Self {
            parameters,
            served: 1.0,
            ceiling: Ratio::ONE,
            cost: None,
            moved: now,
        }
    }

    /// Takes over new parameters, as after a reload; the share that is dimmed stays.
    pub fn set_parameters(&mut self, parameters: BrownoutParameters) {
        self.parameters = parameters;
    }

    /// The largest part of the content that may be dimmed, from the next tick on; zero ends it.
    pub fn set_ceiling(&mut self, ceiling: Ratio) {
        self.ceiling = ceiling;
    }

    /// The level last published.
    pub fn level(&self) -> f64 {
        self.features() as f64 * (1.0 - self.served)
    }

    /// Decides, once a second and if there is enough to go by; and publishes the level. `true`: the reading was used, and
    /// the next one begins now.
    #[must_use]
    pub fn tick(
        &mut self,
        now: Instant,
        reading: &BrownoutReading,
        shared: &BrownoutShared,
    ) -> bool {
        // A clock that was set back starts the interval again.
        self.moved = self.moved.min(now);
        let decides = now.since(self.moved) >= INTERVAL && reading.completions >= COMPLETIONS_MIN;
        if decides {
            self.moved = now;
            self.step(reading.latency.as_secs_f64());
        }
        self.served = self.served.clamp(1.0 - self.ceiling.get(), 1.0);
        self.publish(shared);
        decides
    }

    /// In place of a tick, where latency is not what is failing: as much is dimmed as may be.
    pub fn dim_to_ceiling(&mut self, shared: &BrownoutShared) {
        self.served = 1.0 - self.ceiling.get();
        self.publish(shared);
    }

    fn publish(&self, shared: &BrownoutShared) {
        let level = (self.level() * FEATURE as f64) as u64;
        shared.level.store(level, Ordering::Relaxed);
    }

    fn step(&mut self, latency: f64) {
        let newest = latency / self.served.max(SERVED_MIN);
        let cost = self
            .cost
            .map_or(newest, |cost| cost + NEWEST * (newest - cost));
        self.cost = Some(cost);
        let error = SETPOINT * self.parameters.below.as_secs_f64() - latency;
        let cost = if error > 0.0 { newest.min(cost) } else { cost };
        let step = GAIN * error / cost;
        // Zero over zero is no reason to move; anything over zero is bounded.
        if !step.is_nan() {
            self.served = (self.served + step.clamp(-STEP_DOWN, STEP_UP)).clamp(0.0, 1.0);
        }
    }

    fn features(&self) -> usize {
        self.parameters.features.min(FEATURES_MAX)
    }
}

#[cfg(test)]
mod tests;
