//! `CDN-Cache-Control`: directives for caches such as this one, in place of `Cache-Control` and `Expires` (RFC 9213).
//!
//! It is a dictionary of RFC 9651, read by its rules: one that breaks them is as if it were absent, a directive whose
//! value has the wrong type is ignored, of one that comes twice the last counts. Bound: [`MEMBERS_MAX`].

use super::directives::{Argument, ResponseDirectives, delta_seconds};
use super::fields::{HeadFields, is_token_byte, values};

/// "Parsers MUST support Dictionaries containing at least 1024 key/value pairs" (RFC 9651 section 3.2), of which a head
/// of bounded size may have more: then it is ignored.
const MEMBERS_MAX: usize = 1_024;

/// The directives of the field; `None` where it is absent, empty or malformed.
pub(super) fn read(head: &impl HeadFields) -> Option<ResponseDirectives> {
    let lines = values(head, "cdn-cache-control").collect::<Vec<_>>();
    let joined;
    let text = match lines.as_slice() {
        [] => return None,
        [line] => *line,
        lines => {
            joined = lines.join(&b", "[..]);
            &joined
        }
    };
    let members = Parser(text).dictionary()?;
    if members.is_empty() {
        return None;
    }
    let mut directives = ResponseDirectives::default();
    for (name, value) in members {
        directives.set(name, value);
    }
    directives.withheld.sort();
    Some(directives)
}

impl ResponseDirectives {
    /// Takes the place of what was read of this name before.
    fn set(&mut self, name: &[u8], value: Item<'_>) {
        let seconds = match value {
            Item::Integer(digits) => delta_seconds(digits),
            _ => None,
        };
        let yes = value == Item::Boolean(true);
        let whole = |listed: bool, value: Item<'_>| match value {
            Item::Boolean(yes) => yes,
            Item::String(_) => !listed,
            _ => false,
        };
        match name {
            b"no-store" => self.no_store = yes,
            b"private" => self.private = whole(self.withhold_item(value), value),
            b"no-cache" => self.no_cache = whole(self.withhold_item(value), value),
            b"must-revalidate" => self.must_revalidate = yes,
            b"proxy-revalidate" => self.proxy_revalidate = yes,
            b"must-understand" => self.must_understand = yes,
            b"public" => self.public = yes,
            b"immutable" => self.immutable = yes,
            b"s-maxage" => self.s_maxage = seconds,
            b"max-age" => self.max_age = seconds,
            b"stale-while-revalidate" => self.stale_while_revalidate = seconds,
            b"stale-if-error" => self.stale_if_error = seconds,
            _ => {}
        }
    }

    fn withhold_item(&mut self, value: Item<'_>) -> bool {
        matches!(value, Item::String(list) if self.withhold(Argument::Quoted(list)))
    }
}

/// A member's value, as far as directives have such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item<'a> {
    Boolean(bool),
    /// Its digits: no directive has a negative one, which is [`Item::Other`].
    Integer(&'a [u8]),
    /// Between the quotes, escapes as they came.
    String(&'a [u8]),
    Other,
}

/// RFC 9651 section 4.2. Each method takes what it reads off the front; `None` = malformed.
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    fn dictionary(mut self) -> Option<Vec<(&'a [u8], Item<'a>)>> {
        let mut members = Vec::new();
        self.skip(b" ");
        self.0 = self.0.trim_ascii_end();
        while !self.0.is_empty() {
            if members.len() == MEMBERS_MAX {
                return None;
            }
            let key = self.key()?;
            let value = if self.take(b'=') {
                match self.0 {
                    [b'(', ..] => self.inner_list()?,
                    _ => self.bare_item()?,
                }
            } else {
                Item::Boolean(true)
            };
            self.parameters()?;
            members.push((key, value));
            self.skip(b" \t");
            if self.0.is_empty() {
                break;
            }
            if !self.take(b',') {
                return None;
            }
            self.skip(b" \t");
            if self.0.is_empty() {
                return None;
            }
        }
        Some(members)
    }

    fn inner_list(&mut self) -> Option<Item<'a>> {
        self.take(b'(');
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        matches!(self.0.first(), Some(b'a'..=b'z' | b'*')).then_some(())?;
        Some(self.while_in(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'_' | b'-' | b'.' | b'*')
        }))
    }

    fn bare_item(&mut self) -> Option<Item<'a>> {
        match self.0 {
            [b'?', flag @ (b'0' | b'1'), rest @ ..] => {
                self.0 = rest;
                Some(Item::Boolean(*flag == b'1'))
            }
            [b'"', rest @ ..] => {
                self.0 = rest;
                self.string()
            }
            [b'-' | b'0'..=b'9', ..] => self.number(),
            [b'@', rest @ ..] => {
                self.0 = rest;
                let digits = self.0.strip_prefix(b"-").unwrap_or(self.0);
                self.number()?;
                // A date has no fraction.
                let read = digits.get(..digits.len().saturating_sub(self.0.len()))?;
                (!read.contains(&b'.')).then_some(Item::Other)
            }
            [b':', rest @ ..] => {
                self.0 = rest;
                self.while_in(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
                });
                self.take(b':').then_some(Item::Other)
            }
            [b'%', b'"', rest @ ..] => {
                self.0 = rest;
                self.while_in(|byte| matches!(byte, b' '..=b'~') && byte != b'"');
                self.take(b'"').then_some(Item::Other)
            }
            [first, ..] if first.is_ascii_alphabetic() || *first == b'*' => {
                self.while_in(|byte| is_token_byte(byte) || matches!(byte, b':' | b'/'));
                Some(Item::Other)
            }
            _ => None,
        }
    }

    /// Behind the opening quote.
    fn string(&mut self) -> Option<Item<'a>> {
        let all = self.0;
        let mut length = 0;
        loop {
            match self.0 {
                [b'\\', b'"' | b'\\', rest @ ..] => {
                    self.0 = rest;
                    length += 2;
                }
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return Some(Item::String(all.get(..length)?));
                }
                [b' '..=b'[' | b']'..=b'~', rest @ ..] => {
                    self.0 = rest;
                    length += 1;
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Item<'a>> {
        let negative = self.take(b'-');
        let digits = self.while_in(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.while_in(|byte| byte.is_ascii_digit());
            let fits = digits.len() <= 12 && (1..=3).contains(&fraction.len());
            return fits.then_some(Item::Other);
        }
        let integer = if negative {
            Item::Other
        } else {
            Item::Integer(digits)
        };
        (digits.len() <= 15).then_some(integer)
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.while_in(|byte| bytes.contains(&byte));
    }

    fn while_in(&mut self, is_in: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !is_in(byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn max_age(value: &str) -> Option<Duration> {
        read(&[("CDN-Cache-Control", value)])?.max_age
    }

    #[test]
    fn directives_are_members_of_a_dictionary() {
        let directives = read(&[
            (
                "CDN-Cache-Control",
                "max-age=600;x=1, must-revalidate, a=(b \"c\");d",
            ),
            (
                "cdn-cache-control",
                "stale-if-error=9,private=\"X-A\",public=?0",
            ),
        ])
        .unwrap();
        assert_eq!(directives.max_age, Some(Duration::from_secs(600)));
        assert_eq!(directives.stale_if_error, Some(Duration::from_secs(9)));
        assert!(directives.must_revalidate && !directives.public && !directives.private);
        assert_eq!(directives.withheld, [b"x-a".to_vec().into_boxed_slice()]);
    }

    #[test]
    fn of_one_that_comes_twice_the_last_counts() {
        assert_eq!(
            max_age("max-age=1, max-age=5"),
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_ignored_and_the_rest_is_not() {
        let directives = read(&[(
            "cdn-cache-control",
            "max-age=\"5\", s-maxage=-5, stale-if-error=5.0, no-store=1, private",
        )])
        .unwrap();
        assert_eq!((directives.max_age, directives.s_maxage), (None, None));
        assert!(directives.stale_if_error.is_none() && !directives.no_store && directives.private);
    }

    #[test]
    fn a_field_that_is_no_dictionary_is_as_if_it_were_absent() {
        for value in [
            "",
            "  ",
            "max-age=5,",
            "Max-Age=5",
            "max-age=5 private",
            "max-age=",
            "a=\"b",
            "a=(b",
            "max-age=1234567890123456",
            "a=1.2345",
            "a=?2",
            "=5",
            "a=@1.5",
            "a=:b",
            "a=%\"b",
            "a=\"\u{e4}\"",
            "a;=1",
            "a=(b\"c\")",
        ] {
            let read = read(&[("cdn-cache-control", value)]);
            assert_eq!(read, None, "{value}");
        }
        assert_eq!(read(&[("cache-control", "private")]), None);
    }

    #[test]
    fn items_of_every_type_are_read() {
        let all = "a=?1, b=-1.5, c=@-9, d=:YQ==:, e=%\"f%c3\", g=t/x:y, h=\"\\\"\", i=(1 2);j=k, max-age=7";
        assert_eq!(max_age(all), Some(Duration::from_secs(7)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in vec(any::<u8>(), 0..60)) {
            let _ = Parser(&value).dictionary();
        }

        #[test]
        fn nothing_that_looks_like_one_makes_it_panic(value in "[a=?01;,() \"@:%.-]{0,30}") {
            let _ = read(&[("cdn-cache-control", value.as_str())]);
        }
    }
}
