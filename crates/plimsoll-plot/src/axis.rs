//! The time axis that all plots of a stack share.

use crate::svg::{At, put};

/// Ticks at most.
const TICKS_MAX: f64 = 7.0;
/// Distances of ticks that people read easily, in seconds.
const STEPS: [f64; 20] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
    7_200.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0,
];

/// Points in time at even distances, and what happened meanwhile.
#[derive(Clone, Debug)]
pub struct TimeAxis {
    /// When the first point begins, in seconds.
    pub begin: f64,
    /// Seconds that a point stands for; more than 0.
    pub step: f64,
    /// How many points there are.
    pub points: usize,
    /// Where one part ends and the next begins, in seconds: a dotted line in each plot.
    pub cuts: Vec<f64>,
    /// When something began to go wrong, in seconds: a line in each plot.
    pub onsets: Vec<f64>,
    /// What was wrong meanwhile: shaded in each plot.
    pub faults: Vec<Span>,
    /// How a time is written.
    pub format: fn(f64) -> String,
}

/// From when to when, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its beginning.
    pub from: f64,
    /// Its end.
    pub to: f64,
}

impl TimeAxis {
    /// When the last point ends.
    pub fn end(&self) -> f64 {
        self.begin + self.step * self.points as f64
    }

    /// Where a time is, from 0 to 1.
    pub(crate) fn place(&self, at: f64) -> f64 {
        let whole = self.step * self.points as f64;
        if whole > 0.0 {
            ((at - self.begin) / whole).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Where the middle of a point is, from 0 to 1.
    pub(crate) fn middle(&self, point: usize) -> f64 {
        (point as f64 + 0.5) / self.points.max(1) as f64
    }

    /// When a point begins.
    pub(crate) fn time(&self, point: usize) -> f64 {
        self.begin + self.step * point as f64
    }

    /// Faults behind the curves.
    pub(crate) fn shade(&self, out: &mut String, height: f64) {
        for span in &self.faults {
            let (from, to) = (100.0 * self.place(span.from), 100.0 * self.place(span.to));
            put(
                out,
                format_args!(
                    "<rect class=\"zone-bad\" x=\"{}%\" y=\"0\" width=\"{}%\" height=\"{}\"/>",
                    At(from),
                    At(to - from),
                    At(height)
                ),
            );
        }
    }

    /// Cuts before the curves.
    pub(crate) fn cut(&self, out: &mut String, height: f64) {
        let cuts = self.cuts.iter().map(|at| ("hair", at));
        let onsets = self.onsets.iter().map(|at| ("onset", at));
        for (class, at) in cuts.chain(onsets) {
            let x = At(100.0 * self.place(*at));
            put(
                out,
                format_args!(
                    "<line class=\"{class}\" x1=\"{x}%\" x2=\"{x}%\" y1=\"0\" y2=\"{}\"/>",
                    At(height)
                ),
            );
        }
    }

    /// Times under a plot. `y` is the line that they stand on.
    pub(crate) fn times(&self, out: &mut String, y: f64) {
        for (index, time) in self.ticks().into_iter().enumerate() {
            let place = self.place(time);
            let (x, anchor) = (At(100.0 * place), anchor(place));
            let time = (self.format)(time);
            // Where there is little room, every second one is enough.
            let class = match index % 2 {
                0 => "",
                _ => " class=\"tick-2\"",
            };
            put(
                out,
                format_args!(
                    "<text{class} x=\"{x}%\" y=\"{}\"{anchor}>{time}</text>",
                    At(y)
                ),
            );
        }
    }

    fn ticks(&self) -> Vec<f64> {
        let whole = self.end() - self.begin;
        let fits = |step: &&f64| whole / **step < TICKS_MAX;
        let Some(step) = STEPS.iter().find(fits).filter(|_| whole > 0.0) else {
            return Vec::new();
        };
        let first = libm::ceil(self.begin / step - 1e-9);
        let ticks = (0..TICKS_MAX as u32).map(|index| (first + f64::from(index)) * step);
        ticks
            .take_while(|tick| *tick <= self.end() + 1e-9)
            .collect()
    }
}

/// Text at the edges does not leave the plot.
pub(crate) fn anchor(place: f64) -> &'static str {
    if place < 0.02 {
        ""
    } else if place > 0.98 {
        " text-anchor=\"end\""
    } else {
        " text-anchor=\"middle\""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(begin: f64, step: f64, points: usize) -> TimeAxis {
        TimeAxis {
            begin,
            step,
            points,
            cuts: Vec::new(),
            onsets: Vec::new(),
            faults: Vec::new(),
            format: |at| format!("{at}"),
        }
    }

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(
            axis(0.0, 1.0, 65).ticks(),
            [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
        );
        assert_eq!(axis(7.0, 1.0, 10).ticks(), [8.0, 10.0, 12.0, 14.0, 16.0]);
        assert_eq!(axis(0.0, 60.0, 60).ticks().len(), 7);
        assert_eq!(axis(0.0, 1.0, 0).ticks(), [] as [f64; 0]);
    }

    #[test]
    fn what_lies_outside_is_at_the_edge() {
        let (axis, empty) = (axis(10.0, 1.0, 10), axis(0.0, 1.0, 0));
        assert_eq!(axis.place(0.0), 0.0);
        assert_eq!(axis.place(15.0), 0.5);
        assert_eq!(axis.place(99.0), 1.0);
        assert_eq!(empty.place(3.0), 0.0);
    }
}
