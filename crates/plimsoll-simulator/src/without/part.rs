//! The course of a service as one row of steps: the short ones where they are kept, the long ones before.

use std::time::Duration;

use plimsoll_measure::{CauseGroup, Courses, Step, StepLength, row_upper};

/// A step, and how long it is.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) step: Step,
    pub(super) seconds: u64,
}

/// The latest steps of a service that have no gap between them, the oldest first.
pub(super) fn parts(courses: &Courses, service: &str) -> Vec<Part> {
    let of = |length: StepLength| {
        let mut steps = courses.steps(service, length);
        // The one that is on is not known to its end.
        steps.pop();
        let part = |step| Part {
            step,
            seconds: length.seconds(),
        };
        steps.into_iter().map(part).collect::<Vec<_>>()
    };
    let (mut parts, short) = (of(StepLength::Long), of(StepLength::Short));
    let begins = |part: &Part| part.step.start.is_multiple_of(StepLength::Long.seconds());
    let joint = match parts.first() {
        // Where all that is remembered is in short steps, none of it is better told by a long one.
        Some(long)
            if short
                .first()
                .is_some_and(|it| it.step.start > long.step.start) =>
        {
            short.iter().position(begins).unwrap_or(short.len())
        }
        _ => 0,
    };
    if let Some(first) = short.get(joint) {
        parts.retain(|long| long.step.start < first.step.start);
        parts.extend(short.into_iter().skip(joint));
    }
    parts
}

impl Part {
    pub(super) fn end(&self) -> u64 {
        self.step.start + self.seconds
    }

    /// Requests that came, without those that ended soon for what their clients did.
    pub(super) fn came(&self, late: Duration) -> f64 {
        let step = &self.step;
        let excluded = step.requests.saturating_sub(step.good + step.bad) as f64;
        (step.good + step.bad) as f64 + excluded.min(above(step, late))
    }

    /// Requests refused, and as many in use as may be, or some that wait.
    pub(super) fn is_full(&self) -> bool {
        let standing = &self.step.standing;
        let in_use = |limit| u64::from(standing.in_flight) * 10 >= u64::from(limit) * 9;
        self.step.of_cause(CauseGroup::Refused) > 0 && standing.limit.is_some_and(in_use)
    }

    /// Nothing was refused, and no endpoint passed over.
    pub(super) fn is_quiet(&self) -> bool {
        self.step.of_cause(CauseGroup::Refused) == 0 && self.step.standing.turns.out <= 0.0
    }

    /// Good answers and late ones, for each second.
    pub(super) fn worked(&self) -> f64 {
        self.step.good as f64 / self.step.observed.as_secs_f64().max(1.0)
    }

    /// Of those that were let in, the share that failed before it was late.
    pub(super) fn fails(&self, late: Duration) -> f64 {
        let groups = [CauseGroup::Answered, CauseGroup::Connect, CauseGroup::Other];
        let failed: u64 = groups.iter().map(|group| self.step.of_cause(*group)).sum();
        let refused = self.step.of_cause(CauseGroup::Refused) as f64;
        (failed as f64 / (self.came(late) - refused).max(1.0)).min(1.0)
    }
}

/// Requests of a step that were bad: failed, refused, or longer than `late`.
pub fn bad(step: &Step, late: Duration) -> f64 {
    let soon = step.bad.saturating_sub(step.of_cause(CauseGroup::Timeout));
    (soon as f64 + above(step, late)).min(step.requests as f64)
}

/// How many took longer. Within its row, latencies are taken to be even.
fn above(step: &Step, late: Duration) -> f64 {
    let late = late.as_secs_f64();
    let longer = step.rows.iter().map(|(row, count)| {
        let upper = row_upper(*row);
        let lower = row.checked_sub(1).map_or(0.0, row_upper);
        let share = ((upper - late) / (upper - lower)).clamp(0.0, 1.0);
        f64::from(*count) * share
    });
    longer.sum()
}
