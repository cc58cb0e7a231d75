//! A part of a stored answer (RFC 9110 section 14): a single range of bytes. All else gets the whole.

use std::time::Duration;

use super::date;
use super::entity_tag::EntityTag;
use super::fields::{HeadFields, has, single};
use super::stored::Stored;

/// A `Date` this much later than `Last-Modified` says that nothing changed within the second (RFC 9110 section 8.8.2.2).
const STRONG_AFTER: Duration = Duration::from_secs(1);

/// Which part of a stored body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// 206 with `Content-Range: bytes first-last/length`.
    Bytes {
        /// The first byte.
        first: u64,
        /// The last byte: at least `first`, below the length.
        last: u64,
    },
    /// 416 with `Content-Range: bytes */length`.
    Unsatisfiable,
}

impl Stored {
    /// What a `GET` asks for, of a body of so many bytes. Conditions are judged before: see
    /// [`Stored::is_not_modified`].
    pub fn part(&self, request: &impl HeadFields, length: u64) -> Part {
        if self.status != 200 || (has(request, "if-range") && !self.is_in_range(request)) {
            return Part::Whole;
        }
        let range = single(request, "range").and_then(|value| parse(value, length));
        range.unwrap_or(Part::Whole)
    }

    /// Whether `If-Range` means this one: by strong comparison.
    fn is_in_range(&self, request: &impl HeadFields) -> bool {
        let Some(value) = single(request, "if-range") else {
            return false;
        };
        if let Some(tag) = EntityTag::parse(value) {
            return self.entity_tag().is_some_and(|own| own.is_strongly(tag));
        }
        let asked = date::parse(value, self.received.date);
        self.last_modified.is_some_and(|modified| {
            asked == Some(modified) && self.date.since(modified) >= STRONG_AFTER
        })
    }
}

/// A single range of bytes; `None` = anything else, which is ignored (section 14.2).
fn parse(value: &[u8], length: u64) -> Option<Part> {
    let (unit, range) = split_once(value, b'=')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let (first, last) = split_once(range.trim_ascii(), b'-')?;
    let bytes = |first, last| Some(Part::Bytes { first, last });
    if first.is_empty() {
        return match number(last)? {
            0 => Some(Part::Unsatisfiable),
            _ if length == 0 => Some(Part::Unsatisfiable),
            suffix => bytes(length.saturating_sub(suffix), length - 1),
        };
    }
    let first = number(first)?;
    let last = match last {
        [] => u64::MAX,
        last => number(last)?,
    };
    if last < first {
        return None;
    }
    if first >= length {
        return Some(Part::Unsatisfiable);
    }
    bytes(first, last.min(length - 1))
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|&byte| byte == at)?;
    let (before, after) = bytes.split_at_checked(position)?;
    Some((before, after.get(1..)?))
}

/// Digits and nothing else; saturates.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::tests::stored;
    use super::*;

    const MODIFIED: (&str, &str) = ("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT");
    const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

    #[track_caller]
    fn check(range: &str, length: u64, expected: Part) {
        let stored = stored(200, &[FRESH]);
        assert_eq!(
            stored.part(&[("Range", range)], length),
            expected,
            "{range}"
        );
    }

    const fn bytes(first: u64, last: u64) -> Part {
        Part::Bytes { first, last }
    }

    #[test]
    fn a_single_range_is_a_part() {
        check("bytes=0-9", 100, bytes(0, 9));
        check("Bytes= 5-5 ", 100, bytes(5, 5));
        check("bytes=90-", 100, bytes(90, 99));
        check("bytes=90-500", 100, bytes(90, 99));
        check("bytes=-10", 100, bytes(90, 99));
        check("bytes=-500", 100, bytes(0, 99));
        check("bytes=0-99999999999999999999999", 100, bytes(0, 99));
    }

    #[test]
    fn what_lies_behind_the_end_is_unsatisfiable() {
        check("bytes=100-", 100, Part::Unsatisfiable);
        check("bytes=-0", 100, Part::Unsatisfiable);
        check("bytes=0-", 0, Part::Unsatisfiable);
        check("bytes=-1", 0, Part::Unsatisfiable);
        check("bytes=99999999999999999999999-", 100, Part::Unsatisfiable);
    }

    #[test]
    fn anything_else_gets_the_whole() {
        for range in [
            "bytes=0-1,5-6",
            "bytes=5-1",
            "lines=0-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "0-1",
            "bytes=0 - 1",
            "",
        ] {
            check(range, 100, Part::Whole);
        }
        let twice = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
        assert_eq!(stored(200, &[FRESH]).part(&twice, 100), Part::Whole);
        let of_404 = stored(404, &[FRESH]).part(&[("range", "bytes=0-1")], 100);
        assert_eq!(of_404, Part::Whole);
    }

    #[track_caller]
    fn check_if(answer: &[(&str, &str)], if_range: &str, expected: bool) {
        let request = [("range", "bytes=0-1"), ("If-Range", if_range)];
        let part = stored(200, answer).part(&request, 100);
        assert_eq!(part == bytes(0, 1), expected, "{if_range}");
    }

    #[test]
    fn if_range_compares_strongly() {
        check_if(&[("ETag", "\"a\""), FRESH], "\"a\"", true);
        check_if(&[("ETag", "\"a\""), FRESH], "\"b\"", false);
        check_if(&[("ETag", "W/\"a\""), FRESH], "W/\"a\"", false);
        check_if(&[("ETag", "\"a\""), FRESH], "a", false);
        check_if(&[FRESH], "\"a\"", false);
    }

    #[test]
    fn if_range_by_date_is_exact_and_only_where_the_answer_is_later() {
        check_if(&[MODIFIED, FRESH], MODIFIED.1, true);
        check_if(&[MODIFIED, FRESH], "Fri, 27 Nov 2026 00:00:00 GMT", false);
        check_if(&[MODIFIED, FRESH, ("Date", MODIFIED.1)], MODIFIED.1, false);
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_body(value in vec(any::<u8>(), 0..20), length in 0_u64..50) {
            if let Some(Part::Bytes { first, last }) = parse(&value, length) {
                prop_assert!(first <= last && last < length);
            }
        }

        #[test]
        fn every_range_is_within_the_body(first in "[0-9]{0,3}", last in "[0-9]{0,3}", length in 0_u64..500) {
            if let Some(Part::Bytes { first, last }) = parse(format!("bytes={first}-{last}").as_bytes(), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
