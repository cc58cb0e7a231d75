//! What happened at a service over time in one arm: the runs' seconds, taken together into the points of a plot.

use std::time::Duration;

use plimsoll_config::scenario::Scenario;
use plimsoll_core::Class;
use plimsoll_measure::{Cause, Origin, Outcome};
use plimsoll_simulator::fleet::{Cell, Ledger, Level};

use super::super::Arm;
use super::super::report::sum;

/// The points of all plots of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    /// How long the run is, in whole seconds: the last one is counted whole, with what ends in it.
    pub(super) lasts: f64,
    /// Whole seconds that a point stands for.
    pub(super) step: f64,
    /// How many there are.
    pub(super) points: usize,
}

impl Grid {
    /// Of at most so many points, each of whole steps of so many seconds: those by which it is known what happened.
    pub(super) fn new(lasts: Duration, points_max: usize, known: u64) -> Self {
        let (lasts, known) = (lasts.as_secs_f64().ceil(), known.max(1) as f64);
        let step = (lasts / points_max as f64 / known).ceil().max(1.0) * known;
        Self {
            lasts,
            step,
            points: (lasts / step).ceil() as usize,
        }
    }
}

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) arm: Arm,
    points: Vec<Point>,
}

#[derive(Clone, Debug, Default)]
struct Point {
    cell: Cell,
    /// Of all runs together.
    seconds: f64,
    levels: Vec<Level>,
    /// Requests under way at its end.
    open: u64,
}

impl Course {
    /// Of those runs that kept what happened when. What comes after the last phase is left out.
    pub(super) fn new(
        arm: Arm,
        ledgers: &[Ledger],
        scenario: &Scenario,
        service: usize,
        grid: &Grid,
    ) -> Self {
        let mut points = vec![Point::default(); grid.points];
        let senders = scenario.senders();
        for timeline in ledgers.iter().filter_map(Ledger::timeline) {
            for (index, point) in points.iter_mut().enumerate() {
                let begin = index as f64 * grid.step;
                point.seconds += (grid.lasts - begin).min(grid.step);
            }
            let known = timeline.step() as f64;
            for (index, second) in timeline.seconds().iter().enumerate() {
                let (begin, end) = (index as f64 * known, (index + 1) as f64 * known);
                let point = points.get_mut((begin / grid.step) as usize);
                let Some(point) = point.filter(|_| begin < grid.lasts) else {
                    break;
                };
                for (cell, sender) in second.cells.iter().zip(&senders) {
                    if sender.service == service {
                        point.cell.merge(cell);
                    }
                }
                let Some(level) = second.levels.get(service) else {
                    continue;
                };
                point.levels.push(*level);
                if end % grid.step == 0.0 || end >= grid.lasts {
                    point.open += level.in_flight + level.waiting;
                }
            }
        }
        Self { arm, points }
    }

    /// What `count` counts, for each second.
    pub(super) fn rate(&self, count: impl Fn(&Cell) -> u64) -> Vec<Option<f64>> {
        let rate = |point: &Point| {
            (point.seconds > 0.0).then(|| count(&point.cell) as f64 / point.seconds)
        };
        self.points.iter().map(rate).collect()
    }

    /// A quantile of what was answered, in seconds. `None` where nothing was.
    pub(super) fn latency(&self, q: f64) -> Vec<Option<f64>> {
        let latency = |point: &Point| Some(point.cell.latencies.quantile(q)?.as_secs_f64());
        self.points.iter().map(latency).collect()
    }

    /// The mean of what `level` picks, over the seconds of a point and over the runs.
    pub(super) fn level(&self, level: impl Fn(&Level) -> Option<u64>) -> Vec<Option<f64>> {
        let mean = |point: &Point| {
            let levels: Option<Vec<u64>> = point.levels.iter().map(&level).collect();
            let levels = levels.filter(|levels| !levels.is_empty())?;
            Some(sum(&levels) as f64 / levels.len() as f64)
        };
        self.points.iter().map(mean).collect()
    }

    /// The share of the whole run's budget that is spent by the end of each point, if this share of users may have no
    /// answer in time. Who is still being served has spent nothing yet. `None` where nobody came.
    pub(super) fn spent(&self, may_be_bad: f64) -> Vec<Option<f64>> {
        let (mut users, mut good) = (0, 0);
        let unanswered = self.points.iter().map(|point| {
            users += sum(&point.cell.users);
            good += sum(&point.cell.good);
            users.saturating_sub(good + point.open)
        });
        let unanswered: Vec<u64> = unanswered.collect();
        let budget = may_be_bad * users as f64;
        // Who tries again may yet be answered: what is spent is what never comes back.
        let mut least = u64::MAX;
        let mut spent: Vec<Option<f64>> = unanswered
            .iter()
            .rev()
            .map(|unanswered| {
                least = least.min(*unanswered);
                (budget > 0.0).then(|| least as f64 / budget)
            })
            .collect();
        spent.reverse();
        spent
    }

    /// All of it.
    pub(super) fn total(&self) -> Cell {
        let mut all = Cell::default();
        for point in &self.points {
            all.merge(&point.cell);
        }
        all
    }
}

/// Requests that ended with a cause of which `is` holds.
fn ended(cell: &Cell, is: impl Fn(Cause) -> bool) -> u64 {
    let causes = Cause::ALL.iter().zip(&cell.causes);
    let counted = causes.filter(|(cause, _)| is(**cause));
    counted.map(|(_, count)| count).sum()
}

/// Answered, and not within the objective.
pub(super) fn late(cell: &Cell) -> u64 {
    let answered = ended(cell, |cause| cause.outcome() == Outcome::Good);
    answered.saturating_sub(sum(&cell.good))
}

/// Failed at the service.
pub(super) fn failed(cell: &Cell) -> u64 {
    ended(cell, |cause| {
        cause.outcome() == Outcome::Bad && cause.origin() == Origin::Service
    })
}

/// The client hung up.
pub(super) fn gone(cell: &Cell) -> u64 {
    ended(cell, |cause| cause.origin() == Origin::Client)
}

/// Refused by Plimsoll, of one class.
pub(super) fn refused(cell: &Cell, class: Class) -> u64 {
    cell.refused.get(class.index()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_config::scenario::parse;

    #[test]
    fn points_are_whole_seconds_and_end_with_the_run() {
        let grid = |millis, points, known| {
            let grid = Grid::new(Duration::from_millis(millis), points, known);
            (grid.lasts, grid.step, grid.points)
        };
        assert_eq!(grid(65_000, 100, 1), (65.0, 1.0, 65));
        assert_eq!(grid(395_500, 50, 1), (396.0, 8.0, 50));
        assert_eq!(grid(395_500, 50, 3), (396.0, 9.0, 44));
        assert_eq!(grid(500, 50, 1), (1.0, 1.0, 1));
        assert_eq!(grid(500, 50, 10), (1.0, 10.0, 1));
    }

    #[test]
    fn what_ends_after_the_run_is_not_in_its_last_point() {
        // One worker, and ten times as many requests as it can do: most end long after they came.
        let text = "[service.shop]\nworkers = 1\ntime = \"100ms\"\nobjective = \"1s\"\n\
                    [workload.people]\nrate = \"100/s\"\npatience = \"5s\"\n\
                    [[phase]]\nname = \"all\"\nlasts = \"5s\"\n";
        let scenario = parse(text).unwrap();
        let settings = super::super::super::settings(&scenario, &[]).unwrap();
        let runs = super::super::super::run_all(&scenario, &[], &settings, 1, 1);
        let off = runs.last().unwrap();
        // Three points stand for two seconds each, the last for one only.
        let grid = Grid::new(scenario.lasts(), 3, 1);
        let course = Course::new(Arm::Off, off, &scenario, 0, &grid);
        let ends = course.rate(|cell| sum(&cell.causes));
        assert_eq!(ends.len(), 3);
        // Ten a second are answered until the end, and nobody gives up before it.
        assert!(ends.iter().flatten().all(|rate| *rate < 20.0), "{ends:?}");
        let all = course.rate(|cell| sum(&cell.users));
        assert!(all.iter().flatten().all(|rate| *rate > 70.0), "{all:?}");
        // Of a budget of half of the users, more is spent with each point.
        let spent: Vec<f64> = course.spent(0.5).into_iter().flatten().collect();
        assert!(spent.is_sorted() && spent.len() == 3, "{spent:?}");
    }
}
