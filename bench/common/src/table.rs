//! Tables in Markdown.

use std::fmt::Write;

use crate::summary::Spread;

/// Bytes, as tables show them.
pub const MIB: f64 = (1 << 20) as f64;

/// One line.
pub fn line<'a>(out: &mut String, fields: impl Iterator<Item = &'a str>) {
    for field in fields {
        // Writing into a string cannot fail.
        let _ = write!(out, "| {field} ");
    }
    out.push_str("|\n");
}

/// The line of names, and the one below it.
pub fn head(out: &mut String, columns: &[&str]) {
    line(out, columns.iter().copied());
    line(out, columns.iter().map(|_| "---"));
}

/// Median and range, or that there are none.
pub fn show(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(|| "-".to_owned(), |spread| spread.show(digits))
}

/// The ratio of two medians, and whether the ranges overlap: there the run does not tell the two apart.
pub fn ratio(ours: Option<Spread>, theirs: Option<Spread>) -> String {
    let Some((ours, theirs)) = ours.zip(theirs) else {
        return "-".to_owned();
    };
    let overlap = ours.min <= theirs.max && theirs.min <= ours.max;
    let word = if overlap { " overlap" } else { "" };
    format!("{:.2}{word}", ours.median / theirs.median)
}

/// A run's title, its warning if it was quick, and its machine.
pub fn title(title: &str, quick: bool, machine: &str) -> String {
    let quick = if quick {
        "\n**A quick run: it shows that the bench works; do not quote it.**\n"
    } else {
        ""
    };
    format!("# {title}\n{quick}\n{machine}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_overlap() {
        let of = |values: [f64; 3]| Spread::of(values.into_iter());
        assert_eq!(ratio(of([1.0, 2.0, 3.0]), of([4.0, 4.0, 5.0])), "0.50");
        assert_eq!(
            ratio(of([1.0, 2.0, 4.0]), of([4.0, 4.0, 5.0])),
            "0.50 overlap"
        );
        assert_eq!(ratio(None, of([4.0, 4.0, 5.0])), "-");
    }
}
