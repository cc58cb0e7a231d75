//! `Vary`: which requests an answer is for beside the one that it answered (RFC 9111 section 4.1).
//!
//! The secondary key holds the fields that an answer's `Vary` names, as the request has them, and no others: equal
//! keys are equal requests in these fields. White space and the spread over lines don't count; an absent field is
//! another than an empty one. Of `Accept-Encoding` only which codings are accepted counts, not how they are weighed:
//! browsers write it in a dozen ways, and whoever accepts the stored one can read it.
//! Bounds: [`NAMES_MAX`], [`KEY_BYTES_MAX`].

use super::fields::{HeadFields, is_token_byte, members, values};

/// Answers differ by a handful of fields; one that names more would hardly ever be used again.
const NAMES_MAX: usize = 16;
/// A page's worth of fields. A longer key would cost more than the answers that it tells apart.
const KEY_BYTES_MAX: usize = 4 * 1024;

/// What an answer differs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// By fields of the request: their names in lower case, sorted, each once. None, if it is for all requests.
    Fields(Vec<Box<[u8]>>),
    /// By what no cache can see: `*`, a malformed field, or more names than are taken.
    Unknown,
}

impl Vary {
    /// Reads all lines of a response's `Vary`.
    pub fn read(head: &impl HeadFields) -> Self {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in members(head, "vary") {
            let valid = name != b"*" && name.iter().copied().all(is_token_byte);
            if !valid || names.len() > NAMES_MAX {
                return Self::Unknown;
            }
            let name = name.to_ascii_lowercase().into_boxed_slice();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > NAMES_MAX {
            return Self::Unknown;
        }
        names.sort();
        Self::Fields(names)
    }

    /// The secondary key of a request; `None` where there is none, so that nothing stored is for it.
    pub fn key(&self, request: &impl HeadFields) -> Option<Box<[u8]>> {
        let Self::Fields(names) = self else {
            return None;
        };
        let mut key = Vec::new();
        for name in names {
            key.extend_from_slice(name);
            let value = match &**name {
                b"accept-encoding" => codings(request),
                name => lines(request, str::from_utf8(name).ok()?),
            };
            match value {
                None => key.push(b'\n'),
                // A value has no line feed (RFC 9110 section 5.5), so that no value can look like the next name.
                Some(value) => {
                    key.push(b':');
                    key.extend(value.iter().filter(|&&byte| byte != b'\n'));
                    key.push(b'\n');
                }
            }
            if key.len() > KEY_BYTES_MAX {
                return None;
            }
        }
        Some(key.into())
    }
}

/// The members of all lines, white space around them left out.
fn lines(request: &impl HeadFields, name: &str) -> Option<Vec<u8>> {
    let mut joined: Option<Vec<u8>> = None;
    for value in values(request, name) {
        match &mut joined {
            Some(joined) => joined.push(b','),
            None => joined = Some(Vec::new()),
        }
        if let Some(joined) = &mut joined {
            // White space inside quotes counts: then all of it is kept.
            if value.contains(&b'"') {
                joined.extend_from_slice(value);
            } else {
                let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                joined.extend(members.collect::<Vec<_>>().join(&b','));
            }
        }
    }
    joined
}

/// The codings that are accepted, sorted, and those that are refused with `!` before them.
fn codings(request: &impl HeadFields) -> Option<Vec<u8>> {
    values(request, "accept-encoding").next()?;
    let mut codings = members(request, "accept-encoding")
        .map(|member| {
            let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let mut coding = parts.next().unwrap_or_default().to_ascii_lowercase();
            // "x-gzip" is gzip (RFC 9110 section 8.4.1.3).
            if coding == b"x-gzip" {
                coding = b"gzip".to_vec();
            }
            if parts.any(is_zero) {
                coding.insert(0, b'!');
            }
            coding
        })
        .collect::<Vec<_>>();
    codings.sort();
    codings.dedup();
    Some(codings.join(&b','))
}

/// `q=0`, `q=0.000` and the like.
fn is_zero(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0', rest @ ..] => rest.iter().all(|byte| b".0".contains(byte)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vary(value: &str) -> Vary {
        Vary::read(&[("Vary", value)])
    }

    #[track_caller]
    fn check(value: &str, one: &[(&str, &str)], other: &[(&str, &str)], same: bool) {
        let vary = vary(value);
        let keys = [vary.key(&one).unwrap(), vary.key(&other).unwrap()];
        assert_eq!(keys[0] == keys[1], same, "{one:?} {other:?}");
    }

    #[test]
    fn names_are_a_set_whatever_their_case_order_and_lines() {
        let one = Vary::read(&[("vary", "Accept, Origin"), ("vary", "accept")]);
        assert_eq!(one, vary("origin,ACCEPT"));
        assert_eq!(Vary::read(&[("date", "x")]), Vary::Fields(Vec::new()));
    }

    #[test]
    fn a_star_and_what_is_malformed_or_too_much_match_nothing() {
        for value in ["*", "accept, *", "a b", "a:b"] {
            assert_eq!(vary(value), Vary::Unknown, "{value}");
        }
        let names = |count| {
            (0..count)
                .map(|name| format!("f{name},"))
                .collect::<String>()
        };
        assert_eq!(vary(&names(17)), Vary::Unknown);
        assert!(vary(&names(16)).key(&[("f1", "x")]).is_some());
        assert_eq!(Vary::Unknown.key(&[("a", "b")]), None);
        let long = "x".repeat(5_000);
        assert_eq!(vary("a").key(&[("a", long.as_str())]), None);
    }

    #[test]
    fn only_the_named_fields_count() {
        check(
            "accept",
            &[("accept", "a"), ("x", "1")],
            &[("accept", "a")],
            true,
        );
        check("accept", &[("accept", "a")], &[("accept", "b")], false);
        check("", &[("accept", "a")], &[("accept", "b")], true);
    }

    #[test]
    fn white_space_and_lines_don_t_count_and_absent_is_not_empty() {
        check("a", &[("a", "x , y")], &[("A", "x"), ("a", "y")], true);
        check("a", &[("a", "")], &[("b", "")], false);
        check("a", &[("a", "\"x , y\"")], &[("a", "\"x,y\"")], false);
    }

    #[test]
    fn no_value_passes_for_two_fields() {
        check("a, b", &[("a", "1"), ("b", "2")], &[("a", "1\nb:2")], false);
        check(
            "a, ab",
            &[("a", "b:"), ("ab", "")],
            &[("a", ""), ("ab", "b:")],
            false,
        );
    }

    #[test]
    fn accept_encoding_is_the_set_of_what_is_accepted() {
        let encoding = |value| [("Accept-Encoding", value)];
        let same = |one: &'static str, other: &'static str, same| {
            check("accept-encoding", &encoding(one), &encoding(other), same);
        };
        same("gzip, deflate, br", "br;q=1.0, X-GZIP;q=0.5,deflate", true);
        same("gzip", "gzip;q=0", false);
        same("gzip;q=0", "gzip; q=0.000", true);
        same("gzip", "gzip, identity;q=0", false);
        same("gzip", "gzip, br", false);
        same("", "gzip", false);
        check("accept-encoding", &[], &encoding(""), false);
    }

    proptest! {
        #[test]
        fn equal_keys_are_equal_fields(
            one in proptest::collection::vec("[ab]{0,2}", 2), other in proptest::collection::vec("[ab]{0,2}", 2),
        ) {
            let key = |values: &[String]| {
                vary("x, y").key(&[("x", values[0].as_str()), ("y", values[1].as_str())]).unwrap()
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }
}
