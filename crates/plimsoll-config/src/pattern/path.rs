//! Path patterns: segments that are text or parameters, and an end that is exact or open.
//!
//! A path is compared as RFC 3986, section 6.2.2, makes equivalent: `%7E` is `~`, and `%c3` is `%C3`; a
//! reserved character that is percent-encoded stays different from the plain one. Patterns are kept in
//! that normal form, so that a literal segment can be compared byte by byte with a request's.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Which paths a route matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// The segments before the end, in order. `/a/{id}/*` has two, `/` has one that is empty.
    pub segments: Vec<Segment>,
    /// Whether anything may follow (`/*`, or no path at all).
    pub open: bool,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// This text, in normal form. Empty only as the last: the path ends in a slash.
    Literal(String),
    /// `{name}`: any one segment that is not empty.
    Parameter(String),
}

/// Why a text is not a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathPatternError {
    /// Does not begin with a slash.
    #[error("does not begin with `/`")]
    NoSlash,
    /// `//` before the end.
    #[error("has an empty segment")]
    EmptySegment,
    /// `.` or `..`
    #[error("has the segment `{0}`, which no request that is served has")]
    DotSegment(String),
    /// `*` elsewhere than as the last segment.
    #[error("has a `*` that is not the whole last segment")]
    Wildcard,
    /// `{` or `}` elsewhere than around a whole segment.
    #[error("has a brace that is not around a whole segment")]
    Brace,
    /// `{}`
    #[error("has a parameter without a name")]
    Unnamed,
    /// The same name twice.
    #[error("has the parameter `{0}` twice")]
    Twice(String),
    /// `?` or `#`
    #[error("has a query or a fragment, which routes do not look at")]
    Query,
    /// A space, a control character, or a `%` without two hexadecimal digits.
    #[error("has the character `{0}`, which must be percent-encoded")]
    Character(char),
}

impl PathPattern {
    /// All paths.
    pub const ALL: Self = Self {
        segments: Vec::new(),
        open: true,
    };

    /// `Less` = more specific. Segment by segment from the left: a literal, then a parameter, then an
    /// exact end, then an open end. Of two that match one path, the more specific one comes first; two
    /// that are `Equal` and match one path are the same but for the names of parameters.
    pub fn specificity(&self, other: &Self) -> Ordering {
        let rank = |pattern: &Self, place: usize| match pattern.segments.get(place) {
            Some(Segment::Literal(_)) => 0,
            Some(Segment::Parameter(_)) => 1,
            None if !pattern.open => 2,
            None => 3,
        };
        (0..=self.segments.len().max(other.segments.len()))
            .map(|place| rank(self, place).cmp(&rank(other, place)))
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// Whether both match the same paths: equal but for the names of parameters.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.open == other.open
            && self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Literal(one), Segment::Literal(two)) => one == two,
                    (Segment::Parameter(_), Segment::Parameter(_)) => true,
                    _ => false,
                })
    }

    /// Whether it matches `path`, as a request has it, without its query.
    ///
    /// The plain reading, one pattern at a time; the router gives the same answers for many at once.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut segments = path_segments(path);
        for expected in &self.segments {
            let Some(segment) = segments.next() else {
                return false;
            };
            let fits = match expected {
                Segment::Literal(literal) => normal_form(segment).eq(literal.bytes()),
                Segment::Parameter(_) => !segment.is_empty(),
            };
            if !fits {
                return false;
            }
        }
        self.open || segments.next().is_none()
    }
}

/// The segments of a request's path. Empty ones before the end do not count: `//a` is as `/a`, because
/// many services read it so, and a route that protects `/a` must not be passed by.
pub fn path_segments(path: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let last = inner.iter().filter(|byte| **byte == b'/').count();
    inner
        .split(|byte| *byte == b'/')
        .enumerate()
        .filter(move |(place, segment)| *place == last || !segment.is_empty())
        .map(|(_, segment)| segment)
}

/// The bytes of a path segment in normal form: unreserved characters plain, all other percent-encoded
/// octets with upper-case digits, and everything outside ASCII percent-encoded.
pub fn normal_form(segment: &[u8]) -> impl Iterator<Item = u8> + Clone {
    let mut rest = segment;
    let mut pending: [Option<u8>; 2] = [None, None];
    std::iter::from_fn(move || {
        if let Some(byte) = pending[0].take() {
            pending.swap(0, 1);
            return Some(byte);
        }
        let (octet, encoded) = match rest {
            [b'%', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                rest = tail;
                (hex(*high)? << 4 | hex(*low)?, true)
            }
            [octet, tail @ ..] => {
                rest = tail;
                (*octet, false)
            }
            [] => return None,
        };
        let unreserved =
            octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~');
        if unreserved || (!encoded && octet.is_ascii()) {
            return Some(octet);
        }
        pending = [Some(digit(octet >> 4)), Some(digit(octet & 0xF))];
        Some(b'%')
    })
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 {
        b'0' + value
    } else {
        b'A' + value - 10
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, PathPatternError> {
        let Some(inner) = text.strip_prefix('/') else {
            return Err(PathPatternError::NoSlash);
        };
        if text.contains(['?', '#']) {
            return Err(PathPatternError::Query);
        }
        let mut segments: Vec<Segment> = Vec::new();
        let mut open = false;
        let mut parts = inner.split('/').peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            if part == "*" && is_last {
                open = true;
            } else if part.contains('*') {
                return Err(PathPatternError::Wildcard);
            } else if part.is_empty() && !is_last {
                return Err(PathPatternError::EmptySegment);
            } else {
                segments.push(part.parse()?);
            }
        }
        for (place, segment) in segments.iter().enumerate() {
            if let Segment::Parameter(name) = segment
                && segments
                    .iter()
                    .take(place)
                    .any(|earlier| earlier == segment)
            {
                return Err(PathPatternError::Twice(name.clone()));
            }
        }
        Ok(Self { segments, open })
    }
}

impl FromStr for Segment {
    type Err = PathPatternError;

    fn from_str(part: &str) -> Result<Self, PathPatternError> {
        if let Some(name) = part
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            return match name {
                "" => Err(PathPatternError::Unnamed),
                name if name.contains(['{', '}']) => Err(PathPatternError::Brace),
                name => Ok(Self::Parameter(name.to_owned())),
            };
        }
        if part.contains(['{', '}']) {
            return Err(PathPatternError::Brace);
        }
        let mut bytes = part.as_bytes();
        while let [first, tail @ ..] = bytes {
            let stray = *first == b'%'
                && !matches!(tail, [a, b, ..] if hex(*a).is_some() && hex(*b).is_some());
            if stray
                || first.is_ascii_control()
                || matches!(
                    first,
                    b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'|'
                )
            {
                return Err(PathPatternError::Character(char::from(*first)));
            }
            bytes = tail;
        }
        let literal: String = normal_form(part.as_bytes()).map(char::from).collect();
        if matches!(&*literal, "." | "..") {
            return Err(PathPatternError::DotSegment(part.to_owned()));
        }
        Ok(Self::Literal(literal))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{literal}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        if self.open { f.write_str("/*") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn path(text: &str, expected: Result<&str, PathPatternError>) {
        assert_eq!(
            text.parse::<PathPattern>().map(|path| path.to_string()),
            expected.map(str::to_owned)
        );
    }

    #[test]
    fn paths_are_literals_parameters_and_an_open_end() {
        path("/", Ok("/"));
        path("/*", Ok("/*"));
        path("/a", Ok("/a"));
        path("/a/", Ok("/a/"));
        path("/a/{id}/*", Ok("/a/{id}/*"));
        path("/caf\u{e9}/%7Euser/%2f", Ok("/caf%C3%A9/~user/%2F"));
        path("a", Err(PathPatternError::NoSlash));
        path("//a", Err(PathPatternError::EmptySegment));
        path("/*/a", Err(PathPatternError::Wildcard));
        path("/a*", Err(PathPatternError::Wildcard));
        path("/a{id}", Err(PathPatternError::Brace));
        path("/{}", Err(PathPatternError::Unnamed));
        path("/{a}/{a}", Err(PathPatternError::Twice("a".into())));
        path("/a?b", Err(PathPatternError::Query));
        path("/a b", Err(PathPatternError::Character(' ')));
        path("/%4", Err(PathPatternError::Character('%')));
        path(
            "/a/%2e./b",
            Err(PathPatternError::DotSegment("%2e.".into())),
        );
    }

    #[track_caller]
    fn matches(pattern: &str, path: &str, expected: bool) {
        let parsed: PathPattern = pattern.parse().unwrap();
        assert_eq!(
            parsed.matches(path.as_bytes()),
            expected,
            "{pattern} and {path}"
        );
    }

    #[test]
    fn a_prefix_matches_its_own_path_and_all_below() {
        matches("/a/*", "/a", true);
        matches("/a/*", "/a/", true);
        matches("/a/*", "/a/b/c", true);
        matches("/a/*", "/ab", false);
        matches("/*", "/", true);
        matches("/a", "/a/", false);
        matches("/a/", "/a/", true);
        matches("/", "/", true);
        matches("/", "/a", false);
    }

    #[test]
    fn a_parameter_is_one_segment_and_not_empty() {
        matches("/a/{id}", "/a/7", true);
        matches("/a/{id}", "/a/", false);
        matches("/a/{id}", "/a/7/8", false);
        matches("/a/{id}/*", "/a/7", true);
    }

    #[test]
    fn what_means_the_same_path_matches_the_same() {
        matches("/admin", "/%61dmin", true);
        matches("/admin/*", "//admin///x", true);
        matches("/caf\u{e9}", "/caf%c3%a9", true);
        matches("/a%2Fb", "/a%2fb", true);
        matches("/a%2Fb", "/a/b", false);
    }

    #[track_caller]
    fn more_specific(one: &str, two: &str) {
        let (a, b): (PathPattern, PathPattern) = (one.parse().unwrap(), two.parse().unwrap());
        assert_eq!(a.specificity(&b), Ordering::Less, "{one} and {two}");
        assert_eq!(b.specificity(&a), Ordering::Greater, "{two} and {one}");
    }

    #[test]
    fn the_more_specific_path_is_decided_at_the_first_segment_that_differs_in_kind() {
        more_specific("/a", "/{id}");
        more_specific("/{id}", "/*");
        more_specific("/a", "/a/*");
        more_specific("/a/*", "/{id}/b");
        more_specific("/a/{id}/c", "/a/{id}/*");
        more_specific("/{id}/b", "/{id}/{other}");
    }
}
