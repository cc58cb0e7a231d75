//! Entity tags: reading, and the two ways of comparing (RFC 9110 section 8.8.3).

use super::fields::{HeadFields, values};

/// An entity tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// The whole of a field's value; `None` if it is none.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        match take(value)? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// Weak comparison: for conditions on what to send again.
    pub fn is_weakly(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// Strong comparison: for ranges.
    pub fn is_strongly(self, other: Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Whether it is a strong one.
    pub const fn is_strong(self) -> bool {
        !self.weak
    }
}

/// What `If-None-Match` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoneMatch {
    /// No such field.
    Absent,
    /// Whether the tag is among them, by weak comparison, or `*` is there.
    Given { matches: bool },
}

/// Reads all lines of `If-None-Match`. Reading a line ends where it is malformed: what can't be read matches nothing.
pub(super) fn none_match(head: &impl HeadFields, tag: Option<EntityTag<'_>>) -> NoneMatch {
    let mut found = NoneMatch::Absent;
    for line in values(head, "if-none-match") {
        let matches =
            line == b"*" || tag.is_some_and(|tag| Tags(line).any(|listed| listed.is_weakly(tag)));
        found = match found {
            NoneMatch::Given { matches: true } => found,
            _ => NoneMatch::Given { matches },
        };
    }
    found
}

/// The tags of one line.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = EntityTag<'a>;

    fn next(&mut self) -> Option<EntityTag<'a>> {
        let start = self.0.iter().position(|byte| !b" \t,".contains(byte))?;
        let Some((tag, rest)) = self.0.get(start..).and_then(take) else {
            self.0 = &[];
            return None;
        };
        // Tags stand apart by commas; one that does not is no list.
        self.0 = match rest.trim_ascii_start() {
            [b',', rest @ ..] => rest,
            _ => &[],
        };
        Some(tag)
    }
}

/// Takes a tag off the front.
fn take(bytes: &[u8]) -> Option<(EntityTag<'_>, &[u8])> {
    let (weak, bytes) = match bytes {
        [b'W', b'/', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let [b'"', inside @ ..] = bytes else {
        return None;
    };
    let end = inside.iter().position(|&byte| byte == b'"')?;
    let (opaque, rest) = bytes.split_at_checked(end + 2)?;
    let valid = inside
        .get(..end)?
        .iter()
        .all(|&byte| byte > b' ' && byte != 0x7f);
    valid.then_some((EntityTag { weak, opaque }, rest))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, strongly: bool, weakly: bool) {
        let tags = [one, other].map(|tag| EntityTag::parse(tag.as_bytes()).unwrap());
        assert_eq!(tags[0].is_strongly(tags[1]), strongly, "{one} {other}");
        assert_eq!(tags[0].is_weakly(tags[1]), weakly, "{one} {other}");
    }

    #[test]
    fn tags_compare_as_in_the_rfcs_table() {
        check("W/\"1\"", "W/\"1\"", false, true);
        check("W/\"1\"", "W/\"2\"", false, false);
        check("W/\"1\"", "\"1\"", false, true);
        check("\"1\"", "\"1\"", true, true);
    }

    #[test]
    fn what_is_no_tag_is_none() {
        for value in [
            "", "a", "\"a", "a\"", "w/\"a\"", "\"a b\"", "\"a\" ", "W/", "\"a\"\"", "*",
        ] {
            assert_eq!(EntityTag::parse(value.as_bytes()), None, "{value}");
        }
        assert!(EntityTag::parse(b"\"\"").unwrap().is_strong());
    }

    #[track_caller]
    fn check_list(lines: &[&str], expected: Option<bool>) {
        let head = lines
            .iter()
            .map(|line| ("if-none-match", *line))
            .collect::<Vec<_>>();
        let expected = expected.map_or(NoneMatch::Absent, |matches| NoneMatch::Given { matches });
        let tag = EntityTag::parse(b"\"x,y\"");
        assert_eq!(none_match(&head.as_slice(), tag), expected, "{lines:?}");
    }

    #[test]
    fn a_list_matches_if_one_of_it_does_on_whatever_line() {
        check_list(&[], None);
        check_list(&["\"x\", \"y\""], Some(false));
        check_list(&["\"a\"", " ,W/\"x,y\" , \"b\""], Some(true));
        check_list(&["\"x,y\"", "\"a\""], Some(true));
        check_list(&["*"], Some(true));
        check_list(&["\"a\" \"x,y\""], Some(false));
        check_list(&["a, \"x,y\""], Some(false));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in vec(any::<u8>(), 0..40)) {
            let _ = Tags(&value).count();
            let _ = EntityTag::parse(&value);
        }
    }
}
