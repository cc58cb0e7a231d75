//! Host patterns: a name, every name under one, or all.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Which hosts a route matches. Names are in lower case, without port.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `shop.example.com`
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: any name under it, not itself.
    Suffix(String),
    /// Absent: all hosts.
    #[default]
    Any,
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// Nothing, or two dots in a row.
    #[error("has an empty label")]
    EmptyLabel,
    /// `*` alone.
    #[error("is every host")]
    Everything,
    /// `a.*.b` or `*a.b`.
    #[error("has a `*` that is not the whole first label")]
    Wildcard,
    /// `a.b:80`
    #[error("has a port")]
    Port,
    /// `http://a.b`
    #[error("has a scheme or a path")]
    Url,
    /// Not a character of a host name.
    #[error("has the character `{0}`, which a host name has not")]
    Character(char),
    /// Longer than DNS allows.
    #[error("is longer than a host name can be")]
    TooLong,
}

impl HostPattern {
    /// Whether it matches `host`: in any case, without port and trailing dot.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Suffix(suffix) => {
                let split = host.len().saturating_sub(suffix.len());
                split > 0
                    && host
                        .get(split..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            Self::Any => true,
        }
    }

    /// `Less` = more specific: a host, then the longest suffix, then all. Of two that match one host, the
    /// more specific one comes first.
    pub fn specificity(&self, other: &Self) -> Ordering {
        let rank = |pattern: &Self| match pattern {
            Self::Exact(_) => (0, 0),
            Self::Suffix(suffix) => (1, usize::MAX - suffix.len()),
            Self::Any => (2, 0),
        };
        rank(self).cmp(&rank(other))
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        if text == "*" {
            return Err(HostPatternError::Everything);
        }
        if text.contains('/') {
            return Err(HostPatternError::Url);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let Some((address, rest)) = inner.split_once(']') else {
                return Err(HostPatternError::Character('['));
            };
            if rest.starts_with(':') {
                return Err(HostPatternError::Port);
            }
            return match address.parse::<std::net::Ipv6Addr>() {
                Ok(address) if rest.is_empty() => Ok(Self::Exact(format!("[{address}]"))),
                _ => Err(HostPatternError::Character('[')),
            };
        }
        if text.contains(':') {
            return Err(HostPatternError::Port);
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(HostPatternError::Wildcard);
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        // RFC 1035, section 2.3.4: a name has at most 253 characters as text, a label 63.
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return Err(HostPatternError::TooLong);
        }
        if name.split('.').any(str::is_empty) {
            return Err(HostPatternError::EmptyLabel);
        }
        // The underscore is in no host name, but in many names of the inside.
        match name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        {
            Some(c) => Err(HostPatternError::Character(c)),
            None if wildcard => Ok(Self::Suffix(format!(".{}", name.to_ascii_lowercase()))),
            None => Ok(Self::Exact(name.to_ascii_lowercase())),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn host(text: &str, expected: Result<&str, HostPatternError>) {
        assert_eq!(
            text.parse::<HostPattern>().map(|host| host.to_string()),
            expected.map(str::to_owned)
        );
    }

    #[test]
    fn hosts_are_names_or_wildcards_in_any_case_without_a_port() {
        host("Shop.Example.com", Ok("shop.example.com"));
        host("shop.example.com.", Ok("shop.example.com"));
        host("*.Example.com", Ok("*.example.com"));
        host("[::1]", Ok("[::1]"));
        host("127.0.0.1", Ok("127.0.0.1"));
        host("*", Err(HostPatternError::Everything));
        host("", Err(HostPatternError::EmptyLabel));
        host("a..b", Err(HostPatternError::EmptyLabel));
        host("a.*.b", Err(HostPatternError::Wildcard));
        host("a.b:80", Err(HostPatternError::Port));
        host("[::1]:80", Err(HostPatternError::Port));
        host("http://a.b", Err(HostPatternError::Url));
        host("bücher.example", Err(HostPatternError::Character('ü')));
        host(&"a".repeat(64), Err(HostPatternError::TooLong));
    }

    #[test]
    fn a_wildcard_matches_names_under_it_at_any_depth_but_not_itself() {
        let pattern: HostPattern = "*.example.com".parse().unwrap();
        assert!(pattern.matches("a.example.com"));
        assert!(pattern.matches("A.B.EXAMPLE.com"));
        assert!(!pattern.matches("example.com"));
        assert!(!pattern.matches(".example.com"));
        assert!(!pattern.matches("badexample.com"));
    }
}
