//! What an unsafe request makes invalid (RFC 9111 section 4.4): its own target, and what `Location` and
//! `Content-Location` name on the same host, in every variant.
//!
//! Invariant: no other host's answers are made invalid, so that one service can't empty another's cache.

use super::fields::{HeadFields, single};
use super::request::MethodClass;

/// Where a request went: what references are read against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port, as the client sent them.
    pub authority: &'a [u8],
    /// Path and query, as the client sent them.
    pub path_and_query: &'a [u8],
}

/// Whether an answer makes something invalid: the method may have changed something, and it did not fail.
pub const fn invalidates(method: MethodClass, status: u16) -> bool {
    matches!(method, MethodClass::Unsafe) && matches!(status, 200..400)
}

/// The paths with queries that become invalid, each for the target's own host.
pub fn invalidated(target: &Target<'_>, answer: &impl HeadFields) -> Vec<Box<[u8]>> {
    let mut paths: Vec<Box<[u8]>> = vec![target.path_and_query.into()];
    for name in ["location", "content-location"] {
        let path = single(answer, name).and_then(|reference| resolve(target, reference));
        if let Some(path) = path.filter(|path| !paths.contains(path)) {
            paths.push(path);
        }
    }
    paths
}

/// The path and query that a reference means (RFC 3986 section 5.2); `None` if it is not on the target's host.
fn resolve(target: &Target<'_>, reference: &[u8]) -> Option<Box<[u8]>> {
    let end = reference.iter().position(|&byte| byte == b'#');
    let reference = reference.get(..end.unwrap_or(reference.len()))?;
    let (base, _) = split_query(target.path_and_query);
    match reference {
        [] => Some(target.path_and_query.into()),
        [b'/', b'/', rest @ ..] => on_same_host(target, target.scheme, rest),
        [b'/', ..] => Some(normal(reference)),
        [b'?', ..] => Some([base, reference].concat().into()),
        _ => match scheme(reference) {
            Some((scheme, rest)) => on_same_host(target, scheme, rest.strip_prefix(b"//")?),
            None => {
                let folder = base.iter().rposition(|&byte| byte == b'/')?;
                Some(normal(&[base.get(..=folder)?, reference].concat()))
            }
        },
    }
}

/// Behind `scheme://`.
fn on_same_host(target: &Target<'_>, scheme: &str, rest: &[u8]) -> Option<Box<[u8]>> {
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    let (authority, path) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
    let own = place(target.scheme, target.authority);
    if !scheme.eq_ignore_ascii_case(target.scheme) || place(scheme, authority) != own {
        return None;
    }
    match path {
        [b'/', ..] => Some(normal(path)),
        path => Some(normal(&[b"/", path].concat())),
    }
}

/// Host in lower case and port, the scheme's where none is given.
fn place(scheme: &str, authority: &[u8]) -> (Vec<u8>, Vec<u8>) {
    super::key::host_and_port(scheme.eq_ignore_ascii_case("https"), authority)
}

/// A scheme and what is behind its colon.
fn scheme(reference: &[u8]) -> Option<(&str, &[u8])> {
    let end = reference
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))?;
    let (scheme, rest) = reference.split_at_checked(end)?;
    let rest = rest.strip_prefix(b":")?;
    Some((str::from_utf8(scheme).ok()?, rest))
}

/// Without dot segments (RFC 3986 section 5.2.4): no request with such reaches a service.
fn normal(path_and_query: &[u8]) -> Box<[u8]> {
    let (path, query) = split_query(path_and_query);
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => {
                kept.pop();
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push(b"");
        }
    }
    let mut normal = Vec::with_capacity(path_and_query.len());
    for segment in kept {
        normal.push(b'/');
        normal.extend_from_slice(segment);
    }
    normal.extend_from_slice(query);
    normal.into()
}

/// The path, and the query with its question mark.
fn split_query(path_and_query: &[u8]) -> (&[u8], &[u8]) {
    let end = path_and_query.iter().position(|&byte| byte == b'?');
    path_and_query.split_at(end.unwrap_or(path_and_query.len()))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TARGET: Target<'_> = Target {
        scheme: "https",
        authority: b"Shop.example",
        path_and_query: b"/a/b?c=d",
    };

    #[track_caller]
    fn check(location: &str, expected: Option<&str>) {
        let paths = invalidated(&TARGET, &[("Location", location)]);
        let other = paths.get(1).map(|path| str::from_utf8(path).unwrap());
        assert_eq!(&*paths[0], TARGET.path_and_query);
        assert_eq!(other, expected, "{location}");
    }

    #[test]
    fn only_an_unsafe_request_that_did_not_fail_invalidates() {
        for (status, expected) in [
            (199, false),
            (200, true),
            (303, true),
            (399, true),
            (400, false),
            (500, false),
        ] {
            assert_eq!(
                invalidates(MethodClass::Unsafe, status),
                expected,
                "{status}"
            );
            assert!(
                !invalidates(MethodClass::Get, status) && !invalidates(MethodClass::Safe, status)
            );
        }
    }

    #[test]
    fn references_are_read_against_the_target() {
        check("/x/y", Some("/x/y"));
        check("y?z", Some("/a/y?z"));
        check("../y", Some("/y"));
        check("../../../y/.", Some("/y/"));
        check("./", Some("/a/"));
        check("?z", Some("/a/b?z"));
        check("/x#part", Some("/x"));
        check("x:y/../..", None);
        check("", None);
    }

    #[test]
    fn the_same_host_is_the_same_with_its_port_and_case() {
        check("https://shop.EXAMPLE:443/x", Some("/x"));
        check("//shop.example?x", Some("/?x"));
        check("HTTPS://shop.example.", Some("/"));
    }

    #[test]
    fn another_host_scheme_or_port_is_left_alone() {
        for location in [
            "https://other.example/x",
            "http://shop.example/x",
            "https://shop.example:8443/x",
            "//other/x",
            "https://shop.example@other/x",
            "https:/x",
            "mailto:a@b",
        ] {
            check(location, None);
        }
    }

    #[test]
    fn both_fields_count_and_each_path_once() {
        let answer = [("location", "/x"), ("content-location", "/y")];
        assert_eq!(invalidated(&TARGET, &answer).len(), 3);
        let answer = [("location", "/a/b?c=d"), ("content-location", "b?c=d")];
        assert_eq!(invalidated(&TARGET, &answer).len(), 1);
    }

    proptest! {
        #[test]
        fn no_reference_makes_it_panic(reference in vec(any::<u8>(), 0..30)) {
            let _ = resolve(&TARGET, &reference);
        }

        #[test]
        fn a_path_has_no_dot_segments(reference in "[./a?]{0,12}") {
            if let Some(path) = resolve(&TARGET, reference.as_bytes()) {
                let (path, _) = split_query(&path);
                prop_assert!(path.starts_with(b"/"));
                prop_assert!(!path.split(|&byte| byte == b'/').any(|segment| segment == b"." || segment == b".."));
            }
        }
    }
}
