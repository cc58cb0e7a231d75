//! The load line: the budget spent over a period as water, under the line that it must not cross.

use crate::axis::TimeAxis;
use crate::curve::{self, Points, WIDTH};
use crate::label::{EndLabel, end_labels};
use crate::svg::{At, Escaped, put};

/// Where the line is, in pixels from the top: what is above is over it.
const LINE: f64 = 18.0;

/// Where the text of a mark is at least, in pixels from the top.
const MARK_TOP: f64 = 9.0;

/// What of a budget is spent.
#[derive(Clone, Debug)]
pub struct LoadLine<'a> {
    /// The time axis. What of it is beyond `spent` is still to come.
    pub axis: &'a TimeAxis,
    /// Height in pixels, without times.
    pub height: u32,
    /// What there is to see, in a sentence.
    pub finding: String,
    /// By the axis's points up to now, what was spent by its end; 1 is all of it. `None`: not known.
    pub spent: Vec<Option<f64>>,
    /// When all of it will be spent at the rate of now, in seconds of the axis; `None`: that is not to be expected.
    pub gone: Option<f64>,
    /// What happened meanwhile, the oldest first.
    pub marks: Vec<SpentMark>,
    /// The class that says how bad it is: `healthy`, `burning`, `severe`, `exhausted`.
    pub condition: &'static str,
    /// What is left at the end, in figures.
    pub left: String,
}

/// Something that happened to a budget.
#[derive(Clone, Debug)]
pub struct SpentMark {
    /// When, in seconds of the axis.
    pub at: f64,
    /// What, in a word.
    pub text: String,
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
            self.mark(&mut out);
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
                    "<svg x=\"{}%\" y=\"{}\" overflow=\"visible\"><path class=\"wedge\" d=\"M1 0l7 -4v8Z\"/></svg>",
                    At(100.0 * self.now()),
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
            let share = 100.0 * unknown as f64 / self.axis.points.max(1) as f64;
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
        if let Some(path) = self.forecast() {
            put(
                out,
                format_args!("<path class=\"ns forecast\" d=\"{path}\"/>"),
            );
        }
        out.push_str("</svg>");
    }

    /// Where now is, from 0 to 1.
    fn now(&self) -> f64 {
        self.spent.len() as f64 / self.axis.points.max(1) as f64
    }

    /// From what is spent now to all of it, as far as the axis goes.
    fn forecast(&self) -> Option<String> {
        let last = self.spent.iter().rposition(Option::is_some)?;
        let spent = self.spent.get(last).copied().flatten()?;
        let now = self.axis.begin + self.axis.step * self.spent.len() as f64;
        let (gone, end) = (self.gone?, self.axis.end());
        if spent >= 1.0 || gone <= now || end <= now {
            return None;
        }
        let until = gone.min(end);
        let by_then = spent + (1.0 - spent) * (until - now) / (gone - now);
        Some(format!(
            "M{} {}L{} {}",
            At(WIDTH * self.axis.middle(last)),
            At(self.y(spent)),
            At(WIDTH * self.axis.place(until)),
            At(self.y(by_then))
        ))
    }

    /// Where the water is highest near a place of the axis, in pixels from the top.
    fn top(&self, place: f64, near: f64) -> f64 {
        let last = self.spent.len().saturating_sub(1);
        let point = |place: f64| ((place * self.axis.points as f64) as usize).min(last);
        let points = point((place - near).max(0.0))..=point(place + near);
        let spent = points.filter_map(|it| self.spent.get(it).copied().flatten());
        self.y(spent.fold(0.0, f64::max))
    }

    /// A stroke over the water and a word. Where there is no room for a word there is a stroke.
    fn mark(&self, out: &mut String) {
        const APART: f64 = 0.12;
        let mut free = 0.0;
        let marks = self.marks.iter();
        for mark in marks.filter(|it| it.at >= self.axis.begin && it.at <= self.axis.end()) {
            let place = self.axis.place(mark.at);
            let y = self.top(place, 0.0);
            // Above the water beside it, too: a word is as wide as that.
            let word = (self.top(place, APART / 2.0) - 14.0).max(MARK_TOP) - y;
            put(
                out,
                format_args!(
                    "<svg x=\"{}%\" y=\"{}\" overflow=\"visible\"><path class=\"stroke\" d=\"M0 -3V{}\"/>",
                    At(100.0 * place),
                    At(y),
                    At((word + 3.0).min(-6.0))
                ),
            );
            if place >= free {
                let (x, anchor) = match place {
                    place if place < APART => (-2, "start"),
                    place if place > 1.0 - APART => (2, "end"),
                    _ => (0, "middle"),
                };
                put(
                    out,
                    format_args!(
                        "<text class=\"i2\" x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                        At(word),
                        Escaped(&mark.text)
                    ),
                );
                free = place + APART;
            }
            out.push_str("</svg>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_line(spent: Vec<Option<f64>>) -> String {
        let points = spent.len();
        drawn(spent, points, None, &[])
    }

    fn drawn(
        spent: Vec<Option<f64>>,
        points: usize,
        gone: Option<f64>,
        marks: &[(f64, &str)],
    ) -> String {
        let axis = TimeAxis {
            begin: 0.0,
            step: 1.0,
            points,
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
            gone,
            marks: marks
                .iter()
                .map(|(at, text)| SpentMark {
                    at: *at,
                    text: (*text).to_owned(),
                })
                .collect(),
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
    fn what_is_to_be_expected_is_dashed_to_the_line_or_to_the_end_of_the_plot() {
        let half = || vec![Some(0.5); 4];
        // Four seconds are known, four are to come: it is gone after two of them.
        let svg = drawn(half(), 8, Some(6.0), &[]);
        assert!(
            svg.contains("class=\"ns forecast\" d=\"M437.5 58L750 18\""),
            "{svg}"
        );
        // Where that is later, only the beginning of it is in the plot: here half of the way.
        let svg = drawn(half(), 8, Some(12.0), &[]);
        assert!(svg.contains("d=\"M437.5 58L1000 38\""), "{svg}");
        for (spent, gone) in [
            (half(), None),
            (half(), Some(1.0)),
            (vec![Some(1.2); 4], Some(6.0)),
            (vec![None; 4], Some(6.0)),
        ] {
            assert!(!drawn(spent, 8, gone, &[]).contains("forecast"));
        }
        // Now is in the midst of the plot, and what is to come is not unknown.
        let svg = drawn(vec![None, Some(0.5)], 4, None, &[]);
        assert!(svg.contains("x=\"50%\" y=\"58\""), "{svg}");
        assert!(
            svg.contains("class=\"gap\" x=\"0\" y=\"18\" width=\"25%\""),
            "{svg}"
        );
    }

    #[test]
    fn marks_stand_on_the_water_and_words_not_on_each_other() {
        let marks = [(-1.0, "before"), (1.0, "#1<"), (1.2, "#2"), (6.0, "#3")];
        let svg = drawn(vec![Some(0.5); 8], 8, None, &marks);
        assert_eq!(svg.matches("class=\"stroke\"").count(), 3, "{svg}");
        assert!(svg.contains(">#1&lt;</text>") && svg.contains(">#3</text>"));
        assert!(!svg.contains("#2") && !svg.contains("before"), "{svg}");
        assert!(svg.contains("x=\"12.5%\" y=\"58\""), "{svg}");
    }

    #[test]
    fn a_budget_that_is_not_known_has_no_water_and_no_figure() {
        let svg = load_line(vec![None, None]);
        assert!(svg.contains("class=\"gap\"") && !svg.contains("waterline"));
        assert!(!svg.contains("50 % left"));
    }
}
