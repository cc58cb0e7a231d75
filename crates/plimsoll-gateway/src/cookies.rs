//! The cookies of a request, as they go to a service: without the session of the console.
//!
//! A browser sends that to every server at the console's host, whatever its port. Whoever answers here has no use for it, and
//! could act in the console with it.
//!
//! Source: RFC 6265, 4.2.1 (`name=value` pairs, with `;` between them; quotes mean nothing).

use plimsoll_core::is_session_cookie;
use plimsoll_http1::{Fields, Name};

/// The value of a `Cookie` field without sessions of the console.
pub(crate) enum Kept {
    /// As it came.
    Whole,
    /// What is left.
    Part(Vec<u8>),
    /// There was nothing else.
    Nothing,
}

/// What a service gets of a `Cookie` field.
pub(crate) fn kept(value: &[u8]) -> Kept {
    let pairs = || value.split(|byte| *byte == b';');
    if !pairs().any(is_session) {
        return Kept::Whole;
    }
    let others: Vec<&[u8]> = pairs()
        .filter(|pair| !is_session(pair))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .collect();
    match others.is_empty() {
        true => Kept::Nothing,
        false => Kept::Part(others.join(b"; ".as_slice())),
    }
}

/// The value of the cookie of this name; the first, where there are several.
pub(crate) fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let cookies = fields.iter().filter(|field| field.known == Name::Cookie);
    let mut pairs = cookies.flat_map(|field| field.value.split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let place = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at_checked(place)?;
        (key.trim_ascii() == name.as_bytes())
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

fn is_session(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    is_session_cookie(name.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(value: &str) -> Option<String> {
        match kept(value.as_bytes()) {
            Kept::Whole => Some(value.to_owned()),
            Kept::Part(part) => Some(String::from_utf8(part).unwrap()),
            Kept::Nothing => None,
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_name_in_whichever_field_it_is() {
        let mut fields = Fields::default();
        fields.push(b"cookie", b"a=1; sid = x=y ;b=2");
        fields.push(b"accept", b"sid=no");
        fields.push(b"cookie", b"c=3; sid=later; d");
        let is = |name: &str, found: Option<&str>| {
            assert_eq!(value(&fields, name), found.map(str::as_bytes), "{name}");
        };
        is("a", Some("1"));
        is("sid", Some("x=y"));
        is("c", Some("3"));
        is("SID", None);
        is("d", None);
        is("id", None);
    }

    #[test]
    fn the_session_of_a_console_is_taken_out_and_nothing_else() {
        let is = |value: &str, sent_on: &str| {
            assert_eq!(sent(value).as_deref(), Some(sent_on), "{value}");
        };
        is("a=1; plimsoll-7676=x; b=2", "a=1; b=2");
        is("plimsoll-7676=x; a=1", "a=1");
        is("a=1;plimsoll-7676=x", "a=1");
        is("a=1; plimsoll-1=x; plimsoll-65535=y; b==;", "a=1; b==");
        is("a=\"x y\"; plimsoll-7676 = x; b=é", "a=\"x y\"; b=é");
        for value in [
            "",
            ";;",
            "a=plimsoll-7676=x",
            "plimsoll-theme=dark;  b=2;",
            "xplimsoll-7676=x",
        ] {
            is(value, value);
        }
        for value in ["plimsoll-7676=x", " plimsoll-7676=; ;", "plimsoll-7676"] {
            assert_eq!(sent(value), None, "{value}");
        }
    }
}
