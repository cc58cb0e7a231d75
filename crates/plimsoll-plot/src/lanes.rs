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
    /// Each with its text, which is cut where its bar ends.
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
            put(
                &mut out,
                format_args!(
                    "<svg x=\"{}%\" y=\"{}\" width=\"{}%\" height=\"18\"><title>{text}, {} to {}</title>\
<rect class=\"{class}\" width=\"100%\" height=\"18\"/><text class=\"i2\" x=\"5\" y=\"13\">{text}</text></svg>",
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
