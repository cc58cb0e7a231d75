//! A client's conditions, judged on a stored answer (RFC 9111 section 4.3.2; RFC 9110 section 13).

use super::date;
use super::entity_tag::{NoneMatch, none_match};
use super::fields::{HeadFields, single};
use super::stored::Stored;

/// The fields of a client that a request which fills the store goes without: its answer must be whole.
pub const FIELDS: [&str; 4] = ["If-None-Match", "If-Modified-Since", "If-Range", "Range"];
/// The fields of a 304 (RFC 9110 section 15.4.5), beside those that each answer from the store has.
pub const FIELDS_OF_304: [&str; 7] = [
    "Cache-Control",
    "CDN-Cache-Control",
    "Content-Location",
    "Date",
    "ETag",
    "Expires",
    "Vary",
];

impl Stored {
    /// Whether the client has what is stored, so that the answer is 304. Only a 200 is judged (RFC 9111 section
    /// 4.3.2).
    pub fn is_not_modified(&self, request: &impl HeadFields) -> bool {
        if self.status != 200 {
            return false;
        }
        match none_match(request, self.entity_tag()) {
            NoneMatch::Given { matches } => matches,
            NoneMatch::Absent => {
                let since = single(request, "if-modified-since")
                    .and_then(|value| date::parse(value, self.received.date));
                // Without a date of its own, the one of the answer stands for it.
                let modified = self.last_modified.unwrap_or(self.date);
                since.is_some_and(|since| modified <= since)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::stored;

    const TAG: (&str, &str) = ("ETag", "\"a\"");
    const MODIFIED: (&str, &str) = ("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT");
    const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

    #[track_caller]
    fn check(answer: &[(&str, &str)], request: &[(&str, &str)], expected: bool) {
        let stored = stored(200, answer);
        assert_eq!(stored.is_not_modified(&request), expected, "{request:?}");
    }

    #[test]
    fn a_tag_is_compared_weakly() {
        check(&[TAG, FRESH], &[("If-None-Match", "W/\"a\", \"b\"")], true);
        check(&[TAG, FRESH], &[("If-None-Match", "\"b\"")], false);
        check(&[FRESH], &[("If-None-Match", "*")], true);
        check(&[FRESH], &[("If-None-Match", "\"a\"")], false);
    }

    #[test]
    fn a_date_counts_only_without_tags() {
        let since = ("If-Modified-Since", "Thu, 26 Nov 2026 00:00:00 GMT");
        check(&[TAG, MODIFIED, FRESH], &[since], true);
        check(
            &[TAG, MODIFIED, FRESH],
            &[since, ("If-None-Match", "\"b\"")],
            false,
        );
    }

    #[test]
    fn a_date_before_the_last_change_or_one_that_is_none_asks_for_the_answer() {
        let since = |value| [("If-Modified-Since", value)];
        check(
            &[MODIFIED, FRESH],
            &since("Wed, 25 Nov 2026 23:59:59 GMT"),
            false,
        );
        check(
            &[MODIFIED, FRESH],
            &since("Fri, 27 Nov 2026 00:00:00 GMT"),
            true,
        );
        check(&[MODIFIED, FRESH], &since("yesterday"), false);
        check(&[MODIFIED, FRESH], &[], false);
    }

    #[test]
    fn without_a_last_modified_the_date_of_the_answer_counts() {
        let date = ("Date", "Fri, 27 Nov 2026 00:00:00 GMT");
        let since = |value| [("If-Modified-Since", value)];
        check(
            &[date, FRESH],
            &since("Fri, 27 Nov 2026 00:00:00 GMT"),
            true,
        );
        check(
            &[date, FRESH],
            &since("Thu, 26 Nov 2026 23:59:59 GMT"),
            false,
        );
    }

    #[test]
    fn only_a_200_is_judged() {
        let gone = stored(404, &[TAG, FRESH]);
        assert!(!gone.is_not_modified(&[("If-None-Match", "\"a\"")]));
    }
}
