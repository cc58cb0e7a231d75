//! Where values lie over time: the darker, the more of them, on a logarithmic scale of six levels.
//!
//! Below what must hold it is one ramp, over it another. Equal cells that touch are one run of a path, so that an hour of
//! 24 rows is some 10 KiB.

use crate::axis::TimeAxis;
use crate::chart::{Promise, Series};
use crate::curve::{self, Points, WIDTH};
use crate::label::{EndLabel, end_labels};
use crate::scale::Scale;
use crate::svg::{At, Escaped, put};

/// Levels of density.
const LEVELS: usize = 6;

/// A heat map with lines over it.
#[derive(Clone, Debug)]
pub struct HeatMap<'a> {
    /// The time axis.
    pub axis: &'a TimeAxis,
    /// Height in pixels, without times.
    pub height: u32,
    /// What there is to see, in a sentence.
    pub finding: String,
    /// The smallest and the largest value that is drawn, both more than 0.
    pub range: (f64, f64),
    /// By the axis's points, how many values each row has, the smallest row first; `None`: not known. Rows divide the range
    /// evenly on a logarithmic scale.
    pub columns: Vec<Option<Vec<u32>>>,
    /// What values should stay below.
    pub promise: Option<Promise>,
    /// Quantiles, the most important first.
    pub lines: Vec<Series>,
    /// How a value is written, with its unit.
    pub format: fn(f64) -> String,
}

impl HeatMap<'_> {
    /// The plot.
    pub fn svg(&self) -> String {
        let (mut out, height) = (String::new(), f64::from(self.height));
        put(
            &mut out,
            format_args!(
                "<svg class=\"plot\" height=\"{height}\" role=\"img\" aria-label=\"{}\">",
                Escaped(&self.finding)
            ),
        );
        let nested = format!(
            "<svg width=\"100%\" height=\"{height}\" viewBox=\"0 0 1000 {height}\" preserveAspectRatio=\"none\">"
        );
        out.push_str(&nested);
        self.gaps(&mut out);
        self.cells(&mut out);
        out.push_str("</svg>");
        self.axis.cut(&mut out, height);
        out.push_str(&nested);
        for line in &self.lines {
            let path = curve::line(&self.points(line));
            if !path.is_empty() {
                let class = line.class;
                put(
                    &mut out,
                    format_args!(
                        "<path class=\"ns halo\" d=\"{path}\"/><path class=\"ns {class}\" d=\"{path}\"/>"
                    ),
                );
            }
        }
        out.push_str("</svg>");
        for tick in self.scale().ticks() {
            let y = At(self.y(tick) + 4.0);
            let text = (self.format)(tick);
            let text = Escaped(&text);
            put(
                &mut out,
                format_args!("<text x=\"-8\" y=\"{y}\" text-anchor=\"end\">{text}</text>"),
            );
        }
        self.labels(&mut out);
        out.push_str("</svg>");
        out
    }

    fn scale(&self) -> Scale {
        Scale::Log(self.range.0, self.range.1)
    }

    fn y(&self, value: f64) -> f64 {
        f64::from(self.height) * (1.0 - self.scale().height(value))
    }

    fn width(&self) -> f64 {
        WIDTH / self.axis.points.max(1) as f64
    }

    fn gaps(&self, out: &mut String) {
        let mut path = String::new();
        for (place, column) in self.columns.iter().enumerate() {
            if column.is_none() {
                let x = place as f64 * self.width();
                let (x, width) = (At(x), At(self.width()));
                put(
                    &mut path,
                    format_args!("M{x} 0h{width}V{}H{x}Z", self.height),
                );
            }
        }
        if !path.is_empty() {
            put(
                out,
                format_args!("<path class=\"gap\" d=\"{path}\"><title>unknown</title></path>"),
            );
        }
    }

    /// How dense a cell is, from 0 to [`LEVELS`].
    fn level(count: u32, max: u32) -> usize {
        if count == 0 {
            return 0;
        }
        let share = libm::log1p(f64::from(count)) / libm::log1p(f64::from(max));
        (libm::ceil(share * LEVELS as f64) as usize).clamp(1, LEVELS)
    }

    fn cells(&self, out: &mut String) {
        let columns = || self.columns.iter().flatten();
        let rows = columns().map(Vec::len).max().unwrap_or(0);
        let max = columns().flatten().copied().max().unwrap_or(0);
        let tall = f64::from(self.height) / rows.max(1) as f64;
        let ratio = self.range.1 / self.range.0;
        let mut paths: [[String; LEVELS]; 2] = Default::default();
        for row in 0..rows {
            // The middle of a row says which side of the promise it is on.
            let middle = self.range.0 * libm::pow(ratio, (row as f64 + 0.5) / rows as f64);
            let is_over = self.promise.as_ref().is_some_and(|it| middle > it.value);
            let level = |column: usize| {
                let column = self.columns.get(column).and_then(Option::as_ref);
                let count = column.and_then(|rows| rows.get(row)).copied();
                Self::level(count.unwrap_or(0), max)
            };
            let y = f64::from(self.height) - tall * (row + 1) as f64;
            let mut from = 0;
            while from < self.columns.len() {
                let of = level(from);
                let mut to = from + 1;
                while to < self.columns.len() && level(to) == of {
                    to += 1;
                }
                let ramp = paths.get_mut(usize::from(is_over));
                let path = of
                    .checked_sub(1)
                    .and_then(|of| ramp.and_then(|ramp| ramp.get_mut(of)));
                if let Some(path) = path {
                    let x = |place: usize| place as f64 * self.width();
                    put(
                        path,
                        format_args!(
                            "M{0} {1}H{2}v{3}H{0}z",
                            At(x(from)),
                            At(y),
                            At(x(to)),
                            At(tall)
                        ),
                    );
                }
                from = to;
            }
        }
        for (ramp, levels) in ["s", "h"].into_iter().zip(&paths) {
            for (level, path) in levels.iter().enumerate() {
                if !path.is_empty() {
                    let level = level + 1;
                    put(
                        out,
                        format_args!("<path class=\"{ramp}{level}\" d=\"{path}\"/>"),
                    );
                }
            }
        }
    }

    fn points(&self, series: &Series) -> Points {
        let at = |point: usize| {
            let value = series.value(point)?;
            Some((WIDTH * self.axis.middle(point), self.y(value)))
        };
        (0..self.axis.points).map(at).collect()
    }

    fn labels(&self, out: &mut String) {
        let mut labels = Vec::new();
        if let Some(promise) = &self.promise {
            let y = self.y(promise.value);
            put(
                out,
                format_args!(
                    "<line class=\"promise\" x1=\"0\" x2=\"100%\" y1=\"{0}\" y2=\"{0}\"/>\
<svg x=\"100%\" y=\"{0}\" overflow=\"visible\"><path class=\"promise\" d=\"M-8 0H8\"/>\
<circle class=\"promise-bg\" r=\"4.5\"/></svg>",
                    At(y)
                ),
            );
            labels.push(EndLabel {
                y,
                text: format!("\u{2002}{}", promise.label),
                class: "i",
            });
        }
        for (place, line) in self.lines.iter().enumerate() {
            if let Some(last) = line.known().last() {
                labels.push(EndLabel {
                    y: self.y(last),
                    text: format!("{} {}", line.label, (self.format)(last)),
                    class: if place == 0 { "i" } else { "i2" },
                });
            }
        }
        end_labels(out, labels, f64::from(self.height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(columns: Vec<Option<Vec<u32>>>) -> String {
        let axis = TimeAxis {
            begin: 0.0,
            step: 1.0,
            points: columns.len(),
            cuts: Vec::new(),
            onsets: vec![1.0],
            faults: Vec::new(),
            format: |at| format!("{at:.0} s"),
        };
        let map = HeatMap {
            axis: &axis,
            height: 100,
            finding: "slow & slower".into(),
            range: (0.001, 10.0),
            columns,
            promise: Some(Promise {
                value: 0.1,
                label: "100 ms".into(),
            }),
            lines: vec![Series::new("P99", "p99", [Some(0.1), None])],
            format: |value| format!("{value} s"),
        };
        map.svg()
    }

    #[test]
    fn cells_below_the_promise_are_of_one_ramp_and_those_over_it_of_the_other() {
        let svg = map(vec![Some(vec![100, 0]), Some(vec![100, 1])]);
        // Two equal cells that touch are one run; the row over it is light, with one value.
        assert!(svg.contains("class=\"s6\" d=\"M0 50H1000v50H0z\""), "{svg}");
        assert!(
            svg.contains("class=\"h1\" d=\"M500 0H1000v50H500z\""),
            "{svg}"
        );
        assert!(svg.contains("slow &amp; slower") && svg.contains("class=\"onset\""));
        assert!(svg.contains(">P99 0.1 s<"), "{svg}");
    }

    #[test]
    fn what_is_not_known_is_hatched_and_what_is_empty_is_not() {
        let svg = map(vec![None, Some(vec![0, 0])]);
        assert!(svg.contains("class=\"gap\" d=\"M0 0h500V100H0Z\""), "{svg}");
        assert!(
            !svg.contains("class=\"s") && !svg.contains("class=\"h1"),
            "{svg}"
        );
        let empty = map(Vec::new());
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
