//! Paths of curves and areas, in a box that is 1000 wide.

use crate::svg::{At, put};

/// The width of the box that curves are drawn in.
pub(crate) const WIDTH: f64 = 1_000.0;

/// Points of a curve, from left to right; `None` where it is not known.
pub(crate) type Points = Vec<Option<(f64, f64)>>;

/// Lines through what is known. A point on its own is a short dash.
pub(crate) fn line(points: &Points) -> String {
    let mut path = String::new();
    for run in runs(points) {
        if let [(x, y)] = run.as_slice() {
            put(&mut path, format_args!("M{} {}h4", At(x - 2.0), At(*y)));
        } else {
            follow(&mut path, 'M', &thinned(&run));
        }
    }
    path
}

/// The areas between two curves, which are known at the same points.
pub(crate) fn area(lower: &Points, upper: &Points) -> String {
    let both = |(lower, upper): (&Option<_>, &Option<_>)| lower.and(*upper);
    let top: Points = lower.iter().zip(upper).map(both).collect();
    let both = |(lower, upper): (&Option<_>, &Option<_>)| upper.and(*lower);
    let bottom: Points = lower.iter().zip(upper).map(both).collect();
    let mut path = String::new();
    for (top, mut bottom) in runs(&top).into_iter().zip(runs(&bottom)) {
        if top
            .iter()
            .zip(&bottom)
            .all(|(top, bottom)| top.1 == bottom.1)
        {
            continue;
        }
        follow(&mut path, 'M', &thinned(&wide(top)));
        bottom = wide(bottom);
        bottom.reverse();
        follow(&mut path, 'L', &thinned(&bottom));
        path.push('Z');
    }
    path
}

/// A single point gets a width.
fn wide(run: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    match run.as_slice() {
        [(x, y)] => vec![(x - 2.0, *y), (x + 2.0, *y)],
        _ => run,
    }
}

fn follow(path: &mut String, first: char, points: &[(f64, f64)]) {
    let mut command = first;
    for (x, y) in points {
        put(path, format_args!("{command}{} {}", At(*x), At(*y)));
        command = 'L';
    }
}

/// Parts without a gap.
fn runs(points: &Points) -> Vec<Vec<(f64, f64)>> {
    let parts = points.split(Option::is_none).filter(|run| !run.is_empty());
    parts
        .map(|run| run.iter().flatten().copied().collect())
        .collect()
}

/// Without points in the middle of what is level.
fn thinned(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let tenths = |y: f64| libm::round(10.0 * y);
    let is_level = |(index, point): (usize, &(f64, f64))| {
        let before = index.checked_sub(1).and_then(|index| run.get(index));
        let around = before.zip(run.get(index + 1));
        around.is_some_and(|(before, after)| {
            tenths(before.1) == tenths(point.1) && tenths(point.1) == tenths(after.1)
        })
    };
    let points = run.iter().enumerate().filter(|point| !is_level(*point));
    points.map(|(_, point)| *point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stops_at_a_gap_and_does_not_cross_it() {
        let points = vec![
            Some((0.0, 5.0)),
            Some((10.0, 6.0)),
            None,
            Some((30.0, 7.0)),
            None,
            Some((50.0, 1.0)),
            Some((60.0, 2.0)),
        ];
        assert_eq!(line(&points), "M0 5L10 6M28 7h4M50 1L60 2");
        assert_eq!(line(&vec![None, None]), "");
        assert_eq!(line(&Vec::new()), "");
    }

    #[test]
    fn what_is_level_needs_two_points() {
        let points = (0..9).map(|x| Some((f64::from(x), 3.0))).collect();
        assert_eq!(line(&points), "M0 3L8 3");
    }

    #[test]
    fn an_area_of_no_height_is_not_drawn() {
        let flat = vec![Some((0.0, 9.0)), Some((5.0, 9.0))];
        let high = vec![Some((0.0, 1.0)), Some((5.0, 2.0))];
        assert_eq!(area(&flat, &flat), "");
        assert_eq!(area(&flat, &high), "M0 1L5 2L5 9L0 9Z");
        assert_eq!(area(&vec![None, None], &high), "");
    }
}
