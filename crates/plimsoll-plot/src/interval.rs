//! Differences with their intervals, one under the other, around a line of no difference.
//!
//! Source: S. Lewis and M. Clarke, "Forest plots: trying to see the wood and the trees" (BMJ 2001).

use crate::scale::Scale;
use crate::svg::{At, Escaped, put};

/// Height of a row: its text, and its interval below.
const ROW: f64 = 40.0;
/// Room for the scale.
const FOOT: f64 = 20.0;

/// What an interval says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All of it is on the better side.
    Better,
    /// All of it is on the worse side.
    Worse,
    /// It covers no difference.
    NotShown,
}

impl Reading {
    fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotShown => "undecided",
        }
    }
}

/// A difference.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Of what.
    pub label: String,
    /// The best estimate.
    pub estimate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// What it says.
    pub reading: Reading,
    /// The same in words and figures.
    pub text: String,
}

/// Draws intervals of one unit. `finding` says what there is to see, `format` writes a value of the scale.
pub fn intervals(rows: &[Interval], finding: &str, format: fn(f64) -> String) -> String {
    let all = |row: &Interval| [row.estimate, row.low, row.high].map(f64::abs);
    let Scale::Linear(max) = Scale::linear(rows.iter().flat_map(all)) else {
        return String::new();
    };
    // Zero is in the middle: which side a difference is on is seen at once.
    let x = |value: f64| 50.0 + 50.0 * (value / max).clamp(-1.0, 1.0);
    let (mut out, foot) = (String::new(), ROW * rows.len() as f64);
    put(
        &mut out,
        format_args!(
            "<svg class=\"plot\" height=\"{}\" role=\"img\" aria-label=\"{}\">\
<line class=\"axis\" x1=\"50%\" x2=\"50%\" y1=\"0\" y2=\"{2}\"/>\
<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{2}\" y2=\"{2}\"/>",
            At(foot + FOOT),
            Escaped(finding),
            At(foot)
        ),
    );
    for (index, row) in rows.iter().enumerate() {
        let y = ROW * index as f64;
        let (label, text, class) = (Escaped(&row.label), Escaped(&row.text), row.reading.class());
        put(
            &mut out,
            format_args!(
                "<g class=\"{class}\"><title>{label}: {text}</title>\
<text class=\"i2 ht\" x=\"0\" y=\"{0}\">{label}</text><text class=\"i ht\" x=\"100%\" y=\"{0}\" text-anchor=\"end\">{text}</text>\
<line class=\"whisker\" x1=\"{2}%\" x2=\"{3}%\" y1=\"{1}\" y2=\"{1}\"/>\
<svg x=\"{2}%\" y=\"{1}\" overflow=\"visible\"><path class=\"whisker\" d=\"M0 -4V4\"/></svg>\
<svg x=\"{3}%\" y=\"{1}\" overflow=\"visible\"><path class=\"whisker\" d=\"M0 -4V4\"/></svg>\
<circle class=\"point\" cx=\"{4}%\" cy=\"{1}\" r=\"4\"/></g>",
                At(y + 14.0),
                At(y + 27.0),
                At(x(row.low)),
                At(x(row.high)),
                At(x(row.estimate)),
            ),
        );
    }
    let reach = Scale::Linear(max).ticks().last().copied().unwrap_or(max);
    for (value, text) in [
        (-reach, format(-reach)),
        (0.0, "no difference".to_owned()),
        (reach, format(reach)),
    ] {
        let anchor = crate::axis::anchor(x(value) / 100.0);
        put(
            &mut out,
            format_args!(
                "<text x=\"{}%\" y=\"{}\"{anchor}>{}</text>",
                At(x(value)),
                At(foot + 15.0),
                Escaped(&text)
            ),
        );
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(estimate: f64, half: f64, reading: Reading) -> Interval {
        Interval {
            label: "sale, <shoppers>".into(),
            estimate,
            low: estimate - half,
            high: estimate + half,
            reading,
            text: "+4 points".into(),
        }
    }

    #[test]
    fn no_difference_is_in_the_middle_and_better_to_the_right() {
        let rows = [
            interval(4.0, 1.0, Reading::Better),
            interval(-0.5, 1.0, Reading::NotShown),
        ];
        let svg = intervals(&rows, "A is better", |value| format!("{value:+.0}"));
        assert!(svg.contains("cx=\"87.7%\""), "{svg}");
        assert!(svg.contains("class=\"better\"") && svg.contains("class=\"undecided\""));
        assert!(svg.contains("&lt;shoppers&gt;") && !svg.contains("<shoppers>"));
    }

    #[test]
    fn no_rows_and_no_numbers_are_drawn_without_a_wrong_coordinate() {
        let strange = interval(f64::NAN, f64::INFINITY, Reading::Worse);
        for rows in [&[][..], &[strange]] {
            let svg = intervals(rows, "", |value| format!("{value}"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
