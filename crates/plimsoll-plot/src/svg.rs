//! What all plots write: escaped text and coordinates.

use std::fmt::{self, Display, Write as _};

/// A text, safe in an element and in an attribute.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                // Not allowed in XML, and nothing to see.
                control if control.is_control() => out.write_char(' ')?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A coordinate: one decimal, and none where it is zero. What is no number becomes 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) f64);

impl Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = if self.0.is_finite() {
            libm::round(self.0 * 10.0).clamp(-1e7, 1e7) as i64
        } else {
            0
        };
        if tenths % 10 == 0 {
            write!(out, "{}", tenths / 10)
        } else {
            let sign = if tenths < 0 { "-" } else { "" };
            let tenths = tenths.abs();
            write!(out, "{sign}{}.{}", tenths / 10, tenths % 10)
        }
    }
}

/// Adds to a text. Writing to a `String` can't fail.
pub(crate) fn put(out: &mut String, arguments: fmt::Arguments<'_>) {
    let _always = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_an_attribute_or_open_an_element_is_escaped() {
        let text = Escaped("<b title=\"a\" id='b'>&\u{0}\n").to_string();
        assert_eq!(text, "&lt;b title=&quot;a&quot; id=&#39;b&#39;&gt;&amp;  ");
    }

    #[test]
    fn a_coordinate_has_at_most_one_decimal_and_is_always_a_number() {
        let text = |value| At(value).to_string();
        assert_eq!(text(12.0), "12");
        assert_eq!(text(12.34), "12.3");
        assert_eq!(text(-0.04), "0");
        assert_eq!(text(-0.26), "-0.3");
        assert_eq!(text(f64::NAN), "0");
        assert_eq!(text(f64::NEG_INFINITY), "0");
        assert_eq!(text(1e300), "1000000");
    }
}
