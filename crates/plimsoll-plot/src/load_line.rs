//! The load line: the budget spent over a period as water, under the line that it must not cross.

use crate::axis::TimeAxis;
use crate::curve::{self, Points, WIDTH};
use crate::label::{EndLabel, end_labels};
use crate::svg::{At, Escaped, put};

/// Where the line is, in pixels from the top: what is above is over it.
const LINE: f64 = 18.0;

/// What of a budget is spent.
#[derive(Clone, Debug)]
pub struct LoadLine<'a> {
    /// The time axis.
    pub axis: &'a TimeAxis,
    /// Height in pixels, without times.
    pub height: u32,
    /// What there is to see, in a sentence.
    pub finding: String,
    /// By the axis's points, what was spent by its end; 1 is all of it. `None`: not known.
    pub spent: Vec<Option<f64>>,
    /// The class that says how bad it is: `healthy`, `burning`, `severe`, `exhausted`.
    pub condition: &'static str,
    /// What is left at the end, in figures.
    pub left: String,
}

impl LoadLine<'_> {
    /// The plot.
    pub fn svg(&self) -> String {
        let height = f64::from(self.height);
        let mut out = String::new();
        put(
            &mut out,
            format_args!(
                "<svg class=\"plot {}\" height=\"{}\" role=\"img\" aria-label=\"{}\">\
<rect class=\"room\" x=\"0\" y=\"{LINE}\" width=\"100%\" height=\"{}\"/>",
                self.condition,
                At(height + 20.0),
                Escaped(&self.finding),
                At(height - LINE)
            ),
        );
        for quarter in [0.25, 0.5, 0.75] {
            let y = At(self.y(quarter));
            put(
                &mut out,
                format_args!("<line class=\"draft\" x1=\"0\" x2=\"6\" y1=\"{y}\" y2=\"{y}\"/>"),
            );
        }
        let last = self.spent.iter().rev().find_map(|spent| *spent);
        if last.is_some() {
            self.before(&mut out, height);
            self.water(&mut out);
        } else {
            put(
                &mut out,
                format_args!(
                    "<rect class=\"gap\" x=\"0\" y=\"{LINE}\" width=\"100%\" height=\"{}\"><title>unknown</title></rect>",
                    At(height - LINE)
                ),
            );
        }
        put(
            &mut out,
            format_args!(
                "<line class=\"promise\" x1=\"0\" x2=\"100%\" y1=\"{LINE}\" y2=\"{LINE}\"/>\
<svg x=\"100%\" y=\"{LINE}\" overflow=\"visible\"><path class=\"promise\" d=\"M-10 0H10\"/>\
<circle class=\"promise-bg\" r=\"5.5\"/></svg><line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"{0}\" y2=\"{0}\"/>",
                At(height)
            ),
        );
        let label = |y, text: String, class| EndLabel { y, text, class };
        let mut labels = vec![label(LINE, "\u{2003}all spent".into(), "i2")];
        if let Some(last) = last {
            let y = self.y(last);
            put(
                &mut out,
                format_args!(
                    "<svg x=\"100%\" y=\"{}\" overflow=\"visible\"><path class=\"wedge\" d=\"M1 0l7 -4v8Z\"/></svg>",
                    At(y)
                ),
            );
            labels.insert(0, label(y, self.left.clone(), "t"));
        }
        end_labels(&mut out, labels, height);
        self.axis.times(&mut out, height + 15.0);
        out.push_str("</svg>");
        out
    }

    /// What is far over the line is drawn at the top: its figure says how far.
    fn y(&self, spent: f64) -> f64 {
        let height = f64::from(self.height);
        (height - (height - LINE) * spent.max(0.0)).max(2.0)
    }

    /// What came before anything was known.
    fn before(&self, out: &mut String, height: f64) {
        let unknown = self.spent.iter().take_while(|it| it.is_none()).count();
        if unknown > 0 {
            let share = 100.0 * unknown as f64 / self.spent.len() as f64;
            put(
                out,
                format_args!(
                    "<rect class=\"gap\" x=\"0\" y=\"{LINE}\" width=\"{}%\" height=\"{}\"><title>unknown</title></rect>",
                    At(share),
                    At(height - LINE)
                ),
            );
        }
    }

    fn water(&self, out: &mut String) {
        let curve = |bound: &dyn Fn(f64) -> f64| -> Points {
            let at = |(point, spent): (usize, &Option<f64>)| {
                Some((WIDTH * self.axis.middle(point), bound(self.y((*spent)?))))
            };
            self.spent.iter().enumerate().map(at).collect()
        };
        let height = f64::from(self.height);
        let (top, under) = (curve(&|y| y), curve(&|y| y.max(LINE)));
        put(
            out,
            format_args!(
                "<svg width=\"100%\" height=\"{height}\" viewBox=\"0 0 1000 {height}\" preserveAspectRatio=\"none\">"
            ),
        );
        for (class, path) in [
            ("water", curve::area(&curve(&|_| height), &under)),
            ("over", curve::area(&under, &top)),
            ("waterline ns", curve::line(&top)),
        ] {
            if !path.is_empty() {
                put(out, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
            }
        }
        out.push_str("</svg>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_line(spent: Vec<Option<f64>>) -> String {
        let axis = TimeAxis {
            begin: 0.0,
            step: 1.0,
            points: spent.len(),
            cuts: Vec::new(),
            onsets: Vec::new(),
            faults: Vec::new(),
            format: |at| format!("{at:.0} s"),
        };
        let line = LoadLine {
            axis: &axis,
            height: 98,
            finding: "half of it is left".into(),
            spent,
            condition: "burning",
            left: "50 % left".into(),
        };
        line.svg()
    }

    #[test]
    fn water_rises_to_what_was_spent() {
        let svg = load_line(vec![Some(0.0), Some(0.5)]);
        assert!(
            svg.contains("class=\"water\" d=\"M250 98L750 58L750 98L250 98Z\""),
            "{svg}"
        );
        assert!(svg.contains(">50 % left<"));
        assert!(!svg.contains("class=\"over\""));
    }

    #[test]
    fn what_is_over_the_line_is_hatched_and_stays_in_the_plot() {
        let svg = load_line(vec![Some(0.5), Some(40.0)]);
        assert!(
            svg.contains("class=\"over\" d=\"M250 58L750 2L750 18L250 58Z\""),
            "{svg}"
        );
    }

    #[test]
    fn what_came_before_anything_was_known_is_hatched() {
        let svg = load_line(vec![None, Some(0.2), None, Some(0.5)]);
        assert!(
            svg.contains("class=\"gap\" x=\"0\" y=\"18\" width=\"25%\""),
            "{svg}"
        );
        assert!(!load_line(vec![Some(0.2)]).contains("class=\"gap\""));
    }

    #[test]
    fn a_budget_that_is_not_known_has_no_water_and_no_figure() {
        let svg = load_line(vec![None, None]);
        assert!(svg.contains("class=\"gap\"") && !svg.contains("waterline"));
        assert!(!svg.contains("50 % left"));
    }
}
