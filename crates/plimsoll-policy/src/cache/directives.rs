//! `Cache-Control` of requests and responses (RFC 9111 section 5.2), and `Pragma`.
//!
//! Where a field is malformed or contradicts itself, the most restrictive reading counts: the smallest of several
//! numbers, a number that is none as zero (section 4.2.1), a directive that forbids whatever stands behind it; one
//! that allows only if nothing does. A quotation without an end hides nothing of what follows it.
//! Invariant: neither the order of directives nor how they are spread over lines changes what is read.

use std::time::Duration;

use super::fields::{HeadFields, has, is_token_byte, members, values};

/// "2147483648 (2^31) or the greatest positive integer that it can conveniently represent" (section 1.2.2).
const DELTA_SECONDS_MAX: u64 = 1 << 31;
/// Names that `private` and `no-cache` may list; with more, they count as if they listed none, which is stricter.
const WITHHELD_MAX: usize = 16;

/// What a response says of its being stored and used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// Not to be stored.
    pub no_store: bool,
    /// Not for a shared cache.
    pub private: bool,
    /// Not to be used without asking the origin.
    pub no_cache: bool,
    /// Never to be used stale.
    pub must_revalidate: bool,
    /// The same, for shared caches.
    pub proxy_revalidate: bool,
    /// To be stored only by who knows the status; then `no_store` does not count.
    pub must_understand: bool,
    /// For a shared cache, whatever else would forbid it.
    pub public: bool,
    /// Doesn't change while it is fresh (RFC 8246).
    pub immutable: bool,
    /// Fresh for so long, in a shared cache.
    pub s_maxage: Option<Duration>,
    /// Fresh for so long.
    pub max_age: Option<Duration>,
    /// To be used stale for so long, while a new one is fetched (RFC 5861 section 3).
    pub stale_while_revalidate: Option<Duration>,
    /// To be used stale for so long, where the origin fails (RFC 5861 section 4).
    pub stale_if_error: Option<Duration>,
    /// Fields that are not to be stored, in lower case, sorted: what `private` and `no-cache` list. Those of `no-cache`
    /// might be stored, but not be sent on without asking; without them the rest needs no asking.
    pub withheld: Vec<Box<[u8]>>,
}

/// What a request says. `max-stale`, `min-fresh` and `no-transform` are advice that is not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// The answer is not to be stored.
    pub no_store: bool,
    /// Ask the origin first.
    pub no_cache: bool,
    /// From the store, or not at all.
    pub only_if_cached: bool,
    /// Nothing older.
    pub max_age: Option<Duration>,
}

impl ResponseDirectives {
    /// Reads all lines of a response's `Cache-Control`.
    pub fn read(head: &impl HeadFields) -> Self {
        let mut directives = Self::default();
        for directive in values(head, "cache-control").flat_map(Directives) {
            directives.add(directive);
        }
        directives.withheld.sort();
        directives
    }

    fn add(&mut self, Directive { name, argument }: Directive<'_>) {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let bare = argument == Argument::None;
        if is("no-store") {
            self.no_store = true;
        } else if is("private") {
            self.private |= !self.withhold(argument);
        } else if is("no-cache") {
            self.no_cache |= !self.withhold(argument);
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand |= bare;
        } else if is("public") {
            self.public |= bare;
        } else if is("immutable") {
            self.immutable |= bare;
        } else if is("s-maxage") {
            self.s_maxage = smaller(self.s_maxage, argument);
        } else if is("max-age") {
            self.max_age = smaller(self.max_age, argument);
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate = smaller(self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            self.stale_if_error = smaller(self.stale_if_error, argument);
        }
    }

    /// Adds the fields of a list; `false` if there is none, or not a list of names, or more than fit.
    pub(super) fn withhold(&mut self, argument: Argument<'_>) -> bool {
        let (Argument::Token(list) | Argument::Quoted(list)) = argument else {
            return false;
        };
        let mut found = false;
        for name in list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if name.is_empty() {
                continue;
            }
            let name = name.to_ascii_lowercase().into_boxed_slice();
            let valid = name.iter().copied().all(is_token_byte);
            if self.withheld.contains(&name) {
                found = true;
            } else if valid && self.withheld.len() < WITHHELD_MAX {
                self.withheld.push(name);
                found = true;
            } else {
                return false;
            }
        }
        found
    }
}

impl RequestDirectives {
    /// Reads all lines of a request's `Cache-Control`, or `Pragma` where there is none (section 5.4).
    pub fn read(head: &impl HeadFields) -> Self {
        let mut directives = Self::default();
        for Directive { name, argument } in values(head, "cache-control").flat_map(Directives) {
            let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
            if is("no-store") {
                directives.no_store = true;
            } else if is("no-cache") {
                directives.no_cache = true;
            } else if is("only-if-cached") {
                directives.only_if_cached = true;
            } else if is("max-age") {
                directives.max_age = smaller(directives.max_age, argument);
            }
        }
        if !has(head, "cache-control") {
            directives.no_cache =
                members(head, "pragma").any(|member| member.eq_ignore_ascii_case(b"no-cache"));
        }
        directives
    }
}

/// A number of seconds; what is none is zero.
fn smaller(before: Option<Duration>, argument: Argument<'_>) -> Option<Duration> {
    let new = match argument {
        Argument::Token(value) | Argument::Quoted(value) => delta_seconds(value),
        Argument::None | Argument::Malformed => None,
    }
    .unwrap_or_default();
    Some(before.map_or(new, |before| before.min(new)))
}

/// Digits and nothing else (section 1.2.2); what is too large counts as the largest.
pub(super) fn delta_seconds(value: &[u8]) -> Option<Duration> {
    if value.is_empty() {
        return None;
    }
    let seconds = value.iter().try_fold(0_u64, |seconds, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some((seconds * 10 + digit).min(DELTA_SECONDS_MAX))
    })?;
    Some(Duration::from_secs(seconds))
}

/// One directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Directive<'a> {
    name: &'a [u8],
    argument: Argument<'a>,
}

/// What stands behind a directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// Between the quotes, with backslashes as they came: neither numbers nor names have any.
    Quoted(&'a [u8]),
    Malformed,
}

/// The directives of one line.
struct Directives<'a>(&'a [u8]);

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        // Whatever else separates directives hides none of them.
        let start = self.0.iter().position(|&byte| is_token_byte(byte))?;
        self.0 = self.0.get(start..)?;
        let name = self.token();
        let mut argument = match self.0 {
            [b'=', b'"', rest @ ..] => {
                self.0 = rest;
                self.quoted()
            }
            [b'=', rest @ ..] => {
                self.0 = rest;
                match self.token() {
                    [] => Argument::Malformed,
                    token => Argument::Token(token),
                }
            }
            _ => Argument::None,
        };
        if !matches!(self.0.trim_ascii_start(), [] | [b',', ..]) {
            argument = Argument::Malformed;
        }
        Some(Directive { name, argument })
    }
}

impl<'a> Directives<'a> {
    fn token(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !is_token_byte(byte));
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        token
    }

    /// Behind the opening quote. Without a closing one, nothing is taken.
    fn quoted(&mut self) -> Argument<'a> {
        let mut escaped = false;
        let end = self.0.iter().position(|&byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        });
        let Some((text, [_, rest @ ..])) = end.and_then(|end| self.0.split_at_checked(end)) else {
            return Argument::Malformed;
        };
        self.0 = rest;
        Argument::Quoted(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn read(value: &str) -> ResponseDirectives {
        ResponseDirectives::read(&[("Cache-Control", value)])
    }

    #[track_caller]
    fn check_max_age(value: &str, expected: Option<u64>) {
        let expected = expected.map(Duration::from_secs);
        assert_eq!(read(value).max_age, expected, "{value}");
    }

    #[test]
    fn numbers_are_read_in_both_forms_and_names_in_any_case() {
        check_max_age("max-age=60", Some(60));
        check_max_age("public , MAX-AGE=\"60\"", Some(60));
        check_max_age("max-age=007", Some(7));
        check_max_age("x-max-age=60", None);
    }

    #[test]
    fn a_number_that_is_none_is_zero_so_that_the_answer_is_stale() {
        for value in [
            "max-age",
            "max-age=",
            "max-age=x",
            "max-age=-1",
            "max-age=1.5",
            "max-age= 5",
            "max-age=\"5",
            "max-age=5 6",
            "max-age=+5",
            "max-age=\"\"",
            "max-age=5;private",
        ] {
            check_max_age(value, Some(0));
        }
    }

    #[test]
    fn a_number_too_large_is_the_largest() {
        check_max_age("max-age=99999999999999999999999999", Some(1 << 31));
        check_max_age("max-age=2147483649", Some(1 << 31));
    }

    #[test]
    fn of_several_numbers_the_smallest_counts() {
        check_max_age("max-age=60, max-age=5, max-age=10", Some(5));
    }

    #[test]
    fn what_forbids_counts_with_any_argument_and_what_allows_with_none_only() {
        let directives =
            read("no-store=0, must-revalidate=\"x\", public=1, immutable=x, must-understand=0");
        assert!(directives.no_store && directives.must_revalidate);
        assert!(!directives.public && !directives.immutable && !directives.must_understand);
    }

    #[test]
    fn no_separator_and_no_open_quotation_hides_what_forbids() {
        for value in [
            "private; max-age=60",
            "max-age=60; private",
            "max-age=60 private",
            "x=\"y, private",
            "x=\"y\\\", private",
            "x=\"y\"private",
            ",,private,,",
            "\u{e4}, private",
            "=, private",
            "\"private",
        ] {
            assert!(read(value).private, "{value}");
        }
    }

    #[test]
    fn a_quotation_that_ends_is_text() {
        let directives = read(r#"x="no-store, \", private", max-age=9"#);
        assert!(!directives.no_store && !directives.private);
        assert_eq!(directives.max_age, Some(Duration::from_secs(9)));
    }

    #[test]
    fn listed_fields_are_withheld_and_the_rest_is_not_private() {
        let directives = read(r#"private="Set-Cookie, x-user", no-cache=X-Token"#);
        assert!(!directives.private && !directives.no_cache);
        let names: [&[u8]; 3] = [b"set-cookie", b"x-token", b"x-user"];
        assert!(directives.withheld.iter().map(|name| &**name).eq(names));
    }

    #[test]
    fn a_list_that_names_nothing_or_too_much_counts_as_the_whole() {
        for value in [
            "private=\"\"",
            "private=\" , \"",
            "private=\"a b\"",
            "private=\"",
            "private, private=\"a\"",
        ] {
            assert!(read(value).private, "{value}");
        }
        let many = (0..17)
            .map(|index| format!("f{index},"))
            .collect::<String>();
        assert!(read(&format!("no-cache=\"{many}\"")).no_cache);
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        let read = |head: &[(&str, &str)]| RequestDirectives::read(&head).no_cache;
        assert!(read(&[("Pragma", "x, No-Cache")]));
        assert!(!read(&[
            ("Pragma", "no-cache"),
            ("Cache-Control", "max-age=60")
        ]));
        assert!(read(&[("Cache-Control", "no-cache")]));
    }

    #[test]
    fn requests_have_their_own_directives() {
        let directives =
            RequestDirectives::read(&[("cache-control", "no-store, only-if-cached, max-age=0")]);
        assert!(directives.no_store && directives.only_if_cached && !directives.no_cache);
        assert_eq!(directives.max_age, Some(Duration::ZERO));
    }

    fn any_directive() -> impl Strategy<Value = String> {
        const NAMES: &[&str] = &[
            "no-store",
            "private",
            "no-cache",
            "public",
            "max-age",
            "s-maxage",
            "must-revalidate",
            "stale-if-error",
            "stale-while-revalidate",
            "immutable",
            "must-understand",
            "X-Other",
        ];
        const ARGUMENTS: &[&str] = &[
            "",
            "",
            "=1",
            "=60",
            "=\"5\"",
            "=x",
            "=",
            "=\"a,b\"",
            "=\"a, \\\" b\"",
            "=A",
        ];
        (select(NAMES), select(ARGUMENTS)).prop_map(|(name, argument)| format!("{name}{argument}"))
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in vec(any::<u8>(), 0..60)) {
            for directive in Directives(&value) {
                ResponseDirectives::default().add(directive);
            }
        }

        #[test]
        fn order_and_lines_change_nothing(
            list in vec(any_directive(), 0..8).prop_shuffle(),
            cuts in vec(any::<bool>(), 8),
        ) {
            let whole = read(&list.join(","));
            let mut reversed = list.clone();
            reversed.reverse();
            prop_assert_eq!(&read(&reversed.join(" ,\t")), &whole);
            let mut lines = vec![("cache-control".to_owned(), String::new())];
            for (directive, cut) in list.iter().zip(cuts) {
                if cut {
                    lines.push(("Cache-Control".to_owned(), String::new()));
                }
                let (_, line) = lines.last_mut().unwrap();
                line.push_str(directive);
                line.push(',');
            }
            prop_assert_eq!(&ResponseDirectives::read(&lines), &whole);
        }

        #[test]
        fn what_is_added_never_makes_an_answer_more_storable(
            list in vec(any_directive(), 0..6), before in ".{0,20}", forbids in select(&["private", "no-store"][..]),
        ) {
            let directives = read(&format!("{before},{}", list.join(",")));
            let with = read(&format!("{before},{},{forbids}", list.join(",")));
            prop_assert!(with.private || with.no_store || before.contains('"'));
            prop_assert!(!directives.private || with.private);
        }
    }
}
