//! Labels at the right end of a plot, in place of a legend.

use crate::svg::{At, Escaped, put};

/// Between the lines of two labels, in pixels.
const DISTANCE: f64 = 14.0;

/// What is said about a line where it ends.
#[derive(Clone, Debug)]
pub(crate) struct EndLabel {
    /// Where its line ends, in pixels from the top.
    pub(crate) y: f64,
    pub(crate) text: String,
    pub(crate) class: &'static str,
}

/// Writes labels, the most important first. They are moved apart; those for which there is no room are left out.
pub(crate) fn end_labels(out: &mut String, mut labels: Vec<EndLabel>, height: f64) {
    labels.truncate((height / DISTANCE) as usize + 1);
    labels.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut next = 0.0_f64;
    for label in &mut labels {
        label.y = label.y.max(next);
        next = label.y + DISTANCE;
    }
    let mut last = height;
    for label in labels.iter_mut().rev() {
        label.y = label.y.min(last);
        last = label.y - DISTANCE;
    }
    for EndLabel { y, text, class } in labels {
        put(
            out,
            format_args!(
                "<text class=\"lab-r {class}\" x=\"100%\" dx=\"10\" y=\"{}\">{}</text>",
                At(y + 4.0),
                Escaped(&text)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(ys: &[f64], height: f64) -> Vec<f64> {
        let label = |(index, y): (usize, &f64)| EndLabel {
            y: *y,
            text: format!("{index}"),
            class: "i2",
        };
        let mut out = String::new();
        end_labels(&mut out, ys.iter().enumerate().map(label).collect(), height);
        let parts = out.split("y=\"").skip(1);
        parts
            .map(|part| part.split('"').next().unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn labels_keep_apart_and_inside() {
        for ys in [
            vec![50.0, 50.0, 50.0],
            vec![100.0, 100.0],
            vec![0.0, 1.0, 99.0, 100.0],
        ] {
            let heights = heights(&ys, 100.0);
            assert_eq!(heights.len(), ys.len());
            for pair in heights.windows(2) {
                assert!(pair[1] - pair[0] >= DISTANCE, "{heights:?}");
            }
            assert!(
                heights.iter().all(|y| (4.0..=104.0).contains(y)),
                "{heights:?}"
            );
        }
    }

    #[test]
    fn the_least_important_is_left_out_where_there_is_no_room() {
        let mut out = String::new();
        let label = |text: &str| EndLabel {
            y: 5.0,
            text: text.into(),
            class: "i2",
        };
        end_labels(
            &mut out,
            ["first", "second", "third"].map(label).into(),
            20.0,
        );
        assert!(out.contains("first") && out.contains("second") && !out.contains("third"));
    }
}
