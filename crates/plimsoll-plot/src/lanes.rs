//! Lanes of what happened, above a stack of plots.

use crate::axis::{Span, TimeAxis};
use crate::svg::{At, Escaped, put};

/// Height of a lane, in pixels.
const HEIGHT: f64 = 20.0;

/// Things of one kind that happened, one beside the other.
#[derive(Clone, Debug)]
pub struct Lane {
    /// What they are, at the left.
    pub label: String,
    /// The class of their bars.
    pub class: &'static str,
    /// Each with its text, which is cut where its bar ends, unless it is alone.
    pub spans: Vec<(Span, String)>,
}

/// Draws lanes. `finding` says what there is to see.
pub fn lanes(axis: &TimeAxis, lanes: &[Lane], finding: &str) -> String {
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg class=\"plot\" height=\"{}\" role=\"img\" aria-label=\"{}\">",
            At(HEIGHT * lanes.len() as f64),
            Escaped(finding)
        ),
    );
    for (index, lane) in lanes.iter().enumerate() {
        let y = HEIGHT * index as f64;
        put(
            &mut out,
            format_args!(
                "<text class=\"lane-l\" x=\"-8\" y=\"{}\" text-anchor=\"end\">{}</text>",
                At(y + 13.0),
                Escaped(&lane.label)
            ),
        );
        for (span, text) in &lane.spans {
            let (from, to) = (100.0 * axis.place(span.from), 100.0 * axis.place(span.to));
            let (class, text) = (lane.class, Escaped(text));
            let overflow = match lane.spans.len() {
                1 => " overflow=\"visible\"",
                _ => "",
            };
            // What is alone and begins late has its room to the left.
            let place = match lane.spans.len() == 1 && from > 50.0 {
                true => "x=\"100%\" dx=\"-5\" text-anchor=\"end\"",
                false => "x=\"5\"",
            };
            put(
                &mut out,
                format_args!(
                    "<svg x=\"{}%\" y=\"{}\" width=\"{}%\" height=\"18\"{overflow}><title>{text}, {} to {}</title>\
<rect class=\"{class}\" width=\"100%\" height=\"18\"/><text class=\"i2\" {place} y=\"13\">{text}</text></svg>",
                    At(from),
                    At(y),
                    At(to - from),
                    (axis.format)(span.from),
                    (axis.format)(span.to),
                ),
            );
        }
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_only_where_another_may_follow() {
        let axis = TimeAxis {
            begin: 0.0,
            step: 1.0,
            points: 10,
            cuts: Vec::new(),
            onsets: Vec::new(),
            faults: Vec::new(),
            format: |at| format!("{at:.0} s"),
        };
        let span = |from, to, text: &str| (Span { from, to }, text.to_owned());
        let lane = |spans| Lane {
            label: "phase".into(),
            class: "phase",
            spans,
        };
        let two = lane(vec![span(0.0, 4.0, "a <b>"), span(4.0, 10.0, "c")]);
        let svg = lanes(&axis, &[two], "two phases");
        assert!(svg.contains("a &lt;b&gt;, 0 s to 4 s</title>"), "{svg}");
        assert!(!svg.contains("overflow"));
        let one = lanes(&axis, &[lane(vec![span(8.0, 9.0, "crash")])], "");
        assert!(
            one.contains("overflow=\"visible\"") && one.contains("text-anchor=\"end\" y=\"13\"")
        );
    }
}
