//! Evidence over time, for a plot: a bounded number of points.

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rollout::counts::Weight;

/// More points than this are thinned: every second one goes.
pub const POINTS_MAX: usize = 240;

/// What was known at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// How much traffic the canary had from then on.
    pub weight: Weight,
    /// The evidence for harm.
    pub harm: f64,
    /// That for another shape of latencies.
    pub ladder: f64,
    /// The share of the period's budget that it has cost.
    pub spent: f64,
}

/// Points, the first one first. The last is always the newest; those at which the weight changed are kept longest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    points: Vec<Point>,
    /// One of so many is kept.
    every: u32,
    /// How many came since the last one that is kept.
    skipped: u32,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            every: 1,
            skipped: 0,
        }
    }
}

impl Course {
    /// The points.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn push(&mut self, point: Point) {
        self.skipped += 1;
        let before_last = self.points.len().checked_sub(2);
        let before_last = before_last.and_then(|index| self.points.get(index));
        let last = self.points.last();
        let changed = last.is_some_and(|it| it.weight != point.weight)
            || before_last
                .zip(last)
                .is_some_and(|(a, b)| a.weight != b.weight);
        // The newest takes the place of the one before, unless that one is to be kept.
        if self.skipped < self.every
            && !changed
            && let Some(last) = self.points.last_mut()
        {
            *last = point;
            return;
        }
        self.skipped = 0;
        if self.points.len() >= POINTS_MAX {
            self.thin();
        }
        self.points.push(point);
    }

    fn thin(&mut self) {
        let mut index = 0;
        let mut weight = None;
        self.points.retain(|point| {
            index += 1;
            let changed = weight.replace(point.weight) != Some(point.weight);
            changed || index % 2 == 0
        });
        // Where the weight changed at every point, the oldest ones go.
        let surplus = self.points.len().saturating_sub(POINTS_MAX * 3 / 4);
        self.points.drain(..surplus);
        self.every = self.every.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(second: u64, weight: u16) -> Point {
        Point {
            at: Timestamp::from_seconds(second),
            weight: Weight::of_parts(weight),
            harm: 1.0,
            ladder: 1.0,
            spent: 0.0,
        }
    }

    #[test]
    fn a_long_course_stays_short_and_keeps_its_ends_and_its_steps() {
        let mut course = Course::default();
        for second in 0..100_000 {
            course.push(point(second, if second < 777 { 100 } else { 500 }));
            assert!(course.points().len() <= POINTS_MAX);
            assert_eq!(course.points().last().unwrap().at.as_seconds(), second);
        }
        assert_eq!(course.points()[0].at.as_seconds(), 0);
        assert!(course.points().is_sorted_by_key(|it| it.at));
        let step = course.points().iter().find(|it| it.weight.parts() == 500);
        assert_eq!(step.unwrap().at.as_seconds(), 777);
        assert!(course.points().len() > POINTS_MAX / 4);
    }

    #[test]
    fn a_weight_that_changes_all_the_time_does_not_make_it_grow() {
        let mut course = Course::default();
        for second in 0..10_000 {
            course.push(point(second, u16::try_from(second % 2).unwrap()));
            assert!(course.points().len() <= POINTS_MAX);
        }
    }
}
