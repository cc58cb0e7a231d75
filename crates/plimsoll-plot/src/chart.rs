//! One plot on a time axis: lines, areas, bands and bars of one unit.

use crate::axis::TimeAxis;
use crate::curve::{self, Points, WIDTH};
use crate::label::{EndLabel, end_labels};
use crate::scale::Scale;
use crate::svg::{At, Escaped, put};
use crate::table::table;

/// Columns that say their values under a pointer, at most: each is an element.
const HITS_MAX: usize = 60;
/// Room for times under a plot, in pixels.
const TIMES: f64 = 20.0;

/// Values over time, by the axis's points.
#[derive(Clone, Debug)]
pub struct Series {
    pub(crate) label: String,
    pub(crate) class: &'static str,
    values: Vec<Option<f64>>,
}

impl Series {
    /// What is called `label` and drawn with the CSS class `class`. What is `None`, or no number, is not known.
    pub fn new(
        label: impl Into<String>,
        class: &'static str,
        values: impl IntoIterator<Item = Option<f64>>,
    ) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self {
            label: label.into(),
            class,
            values: values.into_iter().map(finite).collect(),
        }
    }

    /// Its values that are known.
    pub fn known(&self) -> impl Iterator<Item = f64> {
        self.values.iter().flatten().copied()
    }

    pub(crate) fn value(&self, point: usize) -> Option<f64> {
        self.values.get(point).copied().flatten()
    }
}

/// What is drawn over what was drawn before.
#[derive(Clone, Debug)]
pub enum Layer {
    /// A line.
    Line(Series),
    /// From the bottom up to a line.
    Area(Series),
    /// One on top of the other, the first at the bottom.
    Stack(Vec<Series>),
    /// Between two, such as quantiles.
    Band {
        /// The lower edge, whose class is drawn.
        low: Series,
        /// The upper edge.
        high: Series,
    },
    /// A bar for each point.
    Bars(Series),
}

impl Layer {
    fn series(&self) -> Vec<&Series> {
        match self {
            Self::Line(series) | Self::Area(series) | Self::Bars(series) => vec![series],
            Self::Stack(all) => all.iter().collect(),
            Self::Band { low, high } => vec![low, high],
        }
    }
}

/// What must hold: an objective or a bound. The line ends in the Plimsoll mark.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Where it is.
    pub value: f64,
    /// What it is.
    pub label: String,
}

/// One plot.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// The time axis.
    pub axis: &'a TimeAxis,
    /// Its height in pixels, without times.
    pub height: u32,
    /// What there is to see, in a sentence.
    pub finding: String,
    /// From values to heights.
    pub scale: Scale,
    /// How a value is written, with its unit.
    pub format: fn(f64) -> String,
    /// From the back to the front.
    pub layers: Vec<Layer>,
    /// What must hold.
    pub promise: Option<Promise>,
    /// Whether times stand under it.
    pub times: bool,
}

impl Chart<'_> {
    /// The plot.
    pub fn svg(&self) -> String {
        let (mut out, height) = (String::new(), f64::from(self.height));
        let room = if self.times { TIMES } else { 0.0 };
        put(
            &mut out,
            format_args!(
                "<svg class=\"plot\" height=\"{}\" role=\"img\" aria-label=\"{}\">",
                At(height + room),
                Escaped(&self.finding)
            ),
        );
        self.axis.shade(&mut out, height);
        self.grid(&mut out);
        self.gaps(&mut out);
        put(
            &mut out,
            format_args!(
                "<svg width=\"100%\" height=\"{height}\" viewBox=\"0 0 1000 {height}\" preserveAspectRatio=\"none\">"
            ),
        );
        for layer in &self.layers {
            self.layer(&mut out, layer);
        }
        out.push_str("</svg>");
        put(
            &mut out,
            format_args!(
                "<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"{height}\" y2=\"{height}\"/>"
            ),
        );
        self.axis.cut(&mut out, height);
        self.promise(&mut out);
        end_labels(&mut out, self.labels(), height);
        if self.times {
            self.axis.times(&mut out, height + 15.0);
        }
        self.hits(&mut out);
        out.push_str("</svg>");
        out
    }

    /// What is what, for screens that have no room for labels at the end of lines. What is stacked has no such labels:
    /// its key is for all screens.
    pub fn key(&self) -> String {
        let stacked = self
            .layers
            .iter()
            .any(|layer| matches!(layer, Layer::Stack(_)));
        let mut out = format!("<div class=\"key{}\">", if stacked { " all" } else { "" });
        for layer in &self.layers {
            let is_line = matches!(layer, Layer::Line(_));
            for series in layer.series() {
                let (class, label) = (series.class, Escaped(&series.label));
                put(
                    &mut out,
                    format_args!("<span><svg width=\"12\" height=\"10\" aria-hidden=\"true\">"),
                );
                if is_line {
                    put(
                        &mut out,
                        format_args!("<path class=\"{class}\" d=\"M0 5h12\"/>"),
                    );
                } else {
                    put(
                        &mut out,
                        format_args!("<rect class=\"{class}\" width=\"12\" height=\"10\"/>"),
                    );
                }
                put(&mut out, format_args!("</svg>{label}</span>"));
            }
        }
        if let Some(promise) = &self.promise {
            put(
                &mut out,
                format_args!(
                    "<span><svg width=\"20\" height=\"10\" aria-hidden=\"true\"><path class=\"promise\" d=\"M0 5h20\"/>\
<circle class=\"promise-bg\" cx=\"10\" cy=\"5\" r=\"4\"/></svg>{}</span>",
                    Escaped(&promise.label)
                ),
            );
        }
        out.push_str("</div>");
        out
    }

    /// The same values as a table, called `caption`.
    pub fn table(&self, caption: &str) -> String {
        let series: Vec<&Series> = self.layers.iter().flat_map(Layer::series).collect();
        let columns: Vec<&str> = series.iter().map(|series| series.label.as_str()).collect();
        let row = |point: usize| {
            let values = series.iter().map(|series| self.written(series, point));
            ((self.axis.format)(self.axis.time(point)), values.collect())
        };
        table(caption, "from", &columns, (0..self.axis.points).map(row))
    }

    fn written(&self, series: &Series, point: usize) -> String {
        series
            .value(point)
            .map_or("unknown".to_owned(), self.format)
    }

    /// The height of a value, in pixels from the top.
    fn y(&self, value: f64) -> f64 {
        f64::from(self.height) * (1.0 - self.scale.height(value))
    }

    fn grid(&self, out: &mut String) {
        for tick in self.scale.ticks() {
            let y = self.y(tick);
            put(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{0}\" y2=\"{0}\"/>\
<text x=\"-8\" y=\"{1}\" text-anchor=\"end\">{2}</text>",
                    At(y),
                    At(y + 4.0),
                    Escaped(&(self.format)(tick))
                ),
            );
        }
    }

    /// Hatched where nothing is known.
    fn gaps(&self, out: &mut String) {
        let series: Vec<&Series> = self.layers.iter().flat_map(Layer::series).collect();
        let points = self.axis.points;
        let is_gap = |point: usize| series.iter().all(|series| series.value(point).is_none());
        let mut point = 0;
        while point < points {
            let from = point;
            while point < points && is_gap(point) {
                point += 1;
            }
            if point > from {
                let share = |point: usize| 100.0 * point as f64 / points as f64;
                put(
                    out,
                    format_args!(
                        "<rect class=\"gap\" x=\"{}%\" y=\"0\" width=\"{}%\" height=\"{}\"><title>unknown</title></rect>",
                        At(share(from)),
                        At(share(point - from)),
                        self.height
                    ),
                );
            }
            point += 1;
        }
    }

    fn points(&self, series: &Series) -> Points {
        let at = |point: usize| {
            let value = series.value(point)?;
            Some((WIDTH * self.axis.middle(point), self.y(value)))
        };
        (0..self.axis.points).map(at).collect()
    }

    fn layer(&self, out: &mut String, layer: &Layer) {
        let floor = |points: &Points| -> Points {
            let bottom = f64::from(self.height);
            let down = |point: &Option<(f64, f64)>| point.map(|(x, _)| (x, bottom));
            points.iter().map(down).collect()
        };
        match layer {
            Layer::Line(series) => {
                let path = curve::line(&self.points(series));
                self.path(out, &format!("{} ns", series.class), &path);
            }
            Layer::Area(series) => {
                let points = self.points(series);
                self.path(out, series.class, &curve::area(&floor(&points), &points));
            }
            Layer::Band { low, high } => {
                let path = curve::area(&self.points(low), &self.points(high));
                self.path(out, low.class, &path);
            }
            Layer::Stack(all) => {
                let mut below = vec![Some(0.0); self.axis.points];
                for series in all {
                    let sum = |(point, below): (usize, &Option<f64>)| {
                        Some((*below)? + series.value(point)?.max(0.0))
                    };
                    let upper: Vec<_> = below.iter().enumerate().map(sum).collect();
                    let curve = |values: &[Option<f64>]| {
                        self.points(&Series::new("", "", values.iter().copied()))
                    };
                    let path = curve::area(&curve(&below), &curve(&upper));
                    self.path(out, series.class, &path);
                    below = upper;
                }
            }
            Layer::Bars(series) => {
                let width = 0.6 * WIDTH / self.axis.points.max(1) as f64;
                let bars = self.points(series).into_iter().flatten();
                let bars = bars.filter(|(_, y)| *y < f64::from(self.height) - 0.05);
                let mut path = String::new();
                for (x, y) in bars {
                    let (x, y, w) = (At(x - width / 2.0), At(y), At(width));
                    put(&mut path, format_args!("M{x} {}V{y}h{w}V{0}Z", self.height));
                }
                self.path(out, series.class, &path);
            }
        }
    }

    fn path(&self, out: &mut String, class: &str, path: &str) {
        if !path.is_empty() {
            put(out, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    fn promise(&self, out: &mut String) {
        let Some(promise) = &self.promise else {
            return;
        };
        let y = At(self.y(promise.value));
        put(
            out,
            format_args!(
                "<line class=\"promise\" x1=\"0\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>\
<svg x=\"100%\" y=\"{y}\" overflow=\"visible\"><path class=\"promise\" d=\"M-8 0H8\"/>\
<circle class=\"promise-bg\" r=\"4.5\"/></svg>"
            ),
        );
    }

    /// What stands at the right end: the promise, then lines in the order in which they were given.
    fn labels(&self) -> Vec<EndLabel> {
        let promise = self.promise.iter().map(|promise| EndLabel {
            y: self.y(promise.value),
            // Beside the mark.
            text: format!("\u{2002}{}", promise.label),
            class: "i",
        });
        let ends = self.layers.iter().filter_map(|layer| match layer {
            Layer::Line(series) | Layer::Area(series) | Layer::Bars(series) => Some(series),
            Layer::Band { high, .. } => Some(high),
            Layer::Stack(_) => None,
        });
        let ends = ends.filter_map(|series| {
            let last = series.value(self.axis.points.checked_sub(1)?)?;
            Some(EndLabel {
                y: self.y(last),
                text: format!("{} {}", series.label, (self.format)(last)),
                class: "i2",
            })
        });
        promise.chain(ends).collect()
    }

    fn hits(&self, out: &mut String) {
        let points = self.axis.points;
        let series: Vec<&Series> = self.layers.iter().flat_map(Layer::series).collect();
        let every = points.div_ceil(HITS_MAX).max(1);
        for first in (0..points).step_by(every) {
            // What stands for several points is the one in the middle.
            let point = (first + every / 2).min(points - 1);
            let width = every.min(points - first);
            let share = |points: usize| At(100.0 * points as f64 / self.axis.points as f64);
            put(
                out,
                format_args!(
                    "<rect class=\"hit\" x=\"{}%\" y=\"0\" width=\"{}%\" height=\"{}\"><title>{}",
                    share(first),
                    share(width),
                    self.height,
                    Escaped(&(self.axis.format)(self.axis.time(point)))
                ),
            );
            for (index, series) in series.iter().enumerate() {
                let before = if index == 0 { ':' } else { ',' };
                let value = self.written(series, point);
                put(
                    out,
                    format_args!("{before} {} {}", Escaped(&series.label), Escaped(&value)),
                );
            }
            out.push_str("</title></rect>");
        }
    }
}

#[cfg(test)]
mod tests;
