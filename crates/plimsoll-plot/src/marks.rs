//! What people changed and what was decided, on the time axis of a stack, with a ribbon of how the service stood.

use crate::axis::{Span, TimeAxis};
use crate::svg::{At, Escaped, put};

/// Height in pixels.
const HEIGHT: f64 = 58.0;
/// Marks of one kind that are drawn, at most; the latest.
const MARKS_MAX: usize = 40;

/// What a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Something was decided and done.
    Decision,
    /// Something would have been.
    Would,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When, in seconds.
    pub at: f64,
    /// What stands at it: a letter or a number.
    pub sign: String,
    /// What it was.
    pub title: String,
}

/// See the module's docs.
#[derive(Clone, Debug)]
pub struct Marks<'a> {
    /// The time axis.
    pub axis: &'a TimeAxis,
    /// What people changed, the oldest first.
    pub changes: Vec<Mark>,
    /// What was decided, the oldest first.
    pub decisions: Vec<(MarkKind, Mark)>,
    /// From when to when it stood how: the class, which is the word.
    pub ribbon: Vec<(Span, &'static str)>,
    /// How it stands at the end, in words.
    pub now: String,
}

impl Marks<'_> {
    /// The plot.
    pub fn svg(&self) -> String {
        let mut out = String::new();
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let (changed, decided) = (
            count(self.changes.len(), "change"),
            count(self.decisions.len(), "decision"),
        );
        put(
            &mut out,
            format_args!(
                "<svg class=\"plot\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{changed}, {decided}; {}\">",
                Escaped(&self.now)
            ),
        );
        for (span, class) in &self.ribbon {
            let (from, to) = (
                100.0 * self.axis.place(span.from),
                100.0 * self.axis.place(span.to),
            );
            let opacity = if *class == "healthy" { "0.35" } else { "1" };
            put(
                &mut out,
                format_args!(
                    "<svg x=\"{}%\" y=\"46\" width=\"{}%\" height=\"6\" class=\"{class}\">\
<rect width=\"100%\" height=\"6\" fill=\"var(--c)\" opacity=\"{opacity}\"><title>{class}</title></rect></svg>",
                    At(from),
                    At(to - from)
                ),
            );
        }
        out.push_str(
            "<text class=\"lane-l\" x=\"-8\" y=\"15\" text-anchor=\"end\">change</text>\
<text class=\"lane-l\" x=\"-8\" y=\"36\" text-anchor=\"end\">decided</text>",
        );
        self.axis.cut(&mut out, HEIGHT);
        for mark in latest(&self.changes) {
            put(
                &mut out,
                format_args!(
                    "<svg x=\"{}%\" y=\"2\" overflow=\"visible\"><title>{} {}</title>\
<path class=\"change\" d=\"M-7 1h14L0 13Z\"/><text class=\"i\" x=\"11\" y=\"11\">{}</text></svg>",
                    At(100.0 * self.axis.place(mark.at)),
                    (self.axis.format)(mark.at),
                    Escaped(&mark.title),
                    Escaped(&mark.sign)
                ),
            );
        }
        for (kind, mark) in latest(&self.decisions) {
            let class = match kind {
                MarkKind::Decision => "decision",
                MarkKind::Would => "decision would-be",
            };
            put(
                &mut out,
                format_args!(
                    "<svg x=\"{}%\" y=\"24\" overflow=\"visible\"><title>{} {}</title>\
<rect class=\"{class}\" x=\"-7.5\" y=\"0\" width=\"15\" height=\"15\" rx=\"3\"/>\
<text x=\"0\" y=\"11.5\" text-anchor=\"middle\" class=\"dn\">{}</text></svg>",
                    At(100.0 * self.axis.place(mark.at)),
                    (self.axis.format)(mark.at),
                    Escaped(&mark.title),
                    Escaped(&mark.sign)
                ),
            );
        }
        let tone = self.ribbon.last().map_or("unknown", |(_, class)| class);
        put(
            &mut out,
            format_args!(
                "<text class=\"lab-r t {tone}\" x=\"100%\" dx=\"10\" y=\"53\">{}</text>\
<text class=\"lab-r i2\" x=\"100%\" dx=\"10\" y=\"36\">{decided}</text>\
<text class=\"lab-r i2\" x=\"100%\" dx=\"10\" y=\"15\">{changed}</text></svg>",
                Escaped(&self.now)
            ),
        );
        out
    }
}

fn latest<T>(marks: &[T]) -> &[T] {
    marks
        .get(marks.len().saturating_sub(MARKS_MAX)..)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_bounded_escaped_and_counted() {
        let axis = TimeAxis {
            begin: 0.0,
            step: 1.0,
            points: 10,
            cuts: Vec::new(),
            onsets: Vec::new(),
            faults: Vec::new(),
            format: |at| format!("{at:.0} s"),
        };
        let mark = |sign: usize| Mark {
            at: 5.0,
            sign: sign.to_string(),
            title: "no <retries>".into(),
        };
        let marks = Marks {
            axis: &axis,
            changes: vec![mark(0)],
            decisions: (0..200).map(|it| (MarkKind::Would, mark(it))).collect(),
            ribbon: vec![(
                Span {
                    from: 0.0,
                    to: 10.0,
                },
                "burning",
            )],
            now: "burning since 5 s".into(),
        };
        let svg = marks.svg();
        assert!(
            svg.contains("1 change, 200 decisions; burning since 5 s"),
            "{svg}"
        );
        assert_eq!(svg.matches("would-be").count(), MARKS_MAX);
        assert!(svg.contains("5 s no &lt;retries&gt;") && !svg.contains("<retries>"));
        assert!(
            svg.contains(">199</text>") && !svg.contains(">9</text>"),
            "{svg}"
        );
    }
}
