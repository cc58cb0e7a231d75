//! Host and port, as in `Host` and in a request target.
//!
//! Source: RFC 3986 section 3.2.2, RFC 9110 section 7.2. Stricter than the grammar, for what no DNS name has
//! and parsers disagree on: percent-encoding and `!$&'()*+,;=` in a name, user information, an empty name, an
//! empty port, IPv6 zones.

use std::net::Ipv6Addr;

/// A host that is one, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name, an IPv4 address, or an IPv6 address in its brackets; in the case it came in.
    pub host: &'a [u8],
    /// The port, if one was given.
    pub port: Option<u16>,
}

/// The longest name in the DNS, with its final dot (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 255;

impl<'a> Authority<'a> {
    /// `None` if this is not a host with or without a port.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (host, rest) = if bytes.first() == Some(&b'[') {
            let close = memchr::memchr(b']', bytes)?;
            let (host, rest) = bytes.split_at_checked(close + 1)?;
            let address = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
            str::from_utf8(address).ok()?.parse::<Ipv6Addr>().ok()?;
            (host, rest)
        } else {
            let end = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
            let (host, rest) = bytes.split_at_checked(end)?;
            let valid = !host.is_empty()
                && host.len() <= HOST_BYTES_MAX
                && host.iter().all(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
                });
            if !valid {
                return None;
            }
            (host, rest)
        };
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both name the same place, where a port that is not given is `port_default`.
    pub fn is_same_as(&self, other: &Self, port_default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(port_default) == other.port.unwrap_or(port_default)
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let mut port: u32 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(byte - b'0');
    }
    u16::try_from(port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Option<(&str, Option<u16>)>) {
        let expected = expected.map(|(host, port)| Authority {
            host: host.as_bytes(),
            port,
        });
        assert_eq!(Authority::parse(input.as_bytes()), expected, "{input:?}");
    }

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        check("example.com", Some(("example.com", None)));
        check("Example.COM.:8080", Some(("Example.COM.", Some(8080))));
        check("my_service-1", Some(("my_service-1", None)));
        check("127.0.0.1:80", Some(("127.0.0.1", Some(80))));
        check("[::1]", Some(("[::1]", None)));
        check("[2001:db8::1]:65535", Some(("[2001:db8::1]", Some(65535))));
        check("[::ffff:1.2.3.4]:1", Some(("[::ffff:1.2.3.4]", Some(1))));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for input in [
            "",
            ":80",
            "a:",
            "a:65536",
            "a:000080",
            "a:8o",
            "a:+8",
            "a:80:80",
            "user@a",
            "user:1@a",
            "a/b",
            "a,b",
            "a b",
            "a\tb",
            "a?b",
            "a#b",
            "a%2eb",
            "a\\b",
            "\u{e4}.com",
            "a;b",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]x:80",
            "[fe80::1%25eth0]",
            "[1.2.3.4]",
            "[]",
            "[::1]]",
            "http://a",
        ] {
            check(input, None);
        }
        check(&"a".repeat(256), None);
    }

    #[test]
    fn the_default_port_is_the_same_as_none() {
        let same = |a: &str, b: &str| {
            let (a, b) = (
                Authority::parse(a.as_bytes()).unwrap(),
                Authority::parse(b.as_bytes()).unwrap(),
            );
            a.is_same_as(&b, 80)
        };
        assert!(same("A.example", "a.EXAMPLE:80"));
        assert!(!same("a.example", "a.example:81"));
        assert!(!same("a.example", "b.example"));
    }
}
