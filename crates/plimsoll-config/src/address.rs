//! Addresses in the file: endpoints, listening addresses, address ranges, hosts to send to others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::model::{Endpoint, Network};
use crate::pattern::HostPattern;

/// Why a text is not the URL of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// `10.0.0.1:9001`
    #[error("has no scheme")]
    NoScheme,
    /// `ftp://…`
    #[error("has the scheme `{0}`, which Plimsoll does not speak")]
    Scheme(String),
    /// `http://:9001`
    #[error("has no host")]
    NoHost,
    /// The host is neither a name nor an address.
    #[error("has the host `{0}`, which is neither a name nor an address")]
    Host(String),
    /// Not a port number above zero.
    #[error("has the port `{0}`, which is not a number from 1 to 65535")]
    Port(String),
    /// `http://user:password@…`
    #[error("has a user or a password in it")]
    Credentials,
    /// `http://host/path`
    #[error("has a path, a query or a fragment")]
    Path,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = text.split_once("://").ok_or(EndpointError::NoScheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(EndpointError::Scheme(scheme.to_owned())),
        };
        // A password may itself have a slash or an `@`: credentials are looked for first, in all of it.
        if rest.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '\\']) {
            return Err(EndpointError::Path);
        }
        let (host, port) =
            split_port(authority).ok_or_else(|| EndpointError::Host(authority.to_owned()))?;
        if host.is_empty() {
            return Err(EndpointError::NoHost);
        }
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(text) => match text.parse::<u16>() {
                Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
                _ => return Err(EndpointError::Port(text.to_owned())),
            },
        };
        let host = plain_host(host).ok_or_else(|| EndpointError::Host(host.to_owned()))?;
        Ok(Self { tls, host, port })
    }
}

/// A password or user name inside a URL, as `(start, end)` in bytes of `text`.
pub(crate) fn credentials(text: &str) -> Option<(usize, usize)> {
    let start = text.find("://")? + 3;
    let end = text.rfind('@')?;
    let user = text.get(start..end)?;
    let start = user.find(':').map_or(start, |colon| start + colon + 1);
    (start < end).then_some((start, end))
}

/// Host (with the brackets of an IPv6 address) and port.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        let (host, rest) = authority.split_at_checked(end)?;
        return match rest {
            "" => Some((host, None)),
            _ => rest.strip_prefix(':').map(|port| (host, Some(port))),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

/// A name in lower case, or an address literal without brackets.
pub(crate) fn plain_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        return Some(
            inner
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()?
                .to_string(),
        );
    }
    // Digits and dots are an address or nothing: `10.0.0.256` is not a name.
    if host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Some(host.parse::<std::net::Ipv4Addr>().ok()?.to_string());
    }
    match host.parse::<HostPattern>().ok()? {
        HostPattern::Exact(name) => Some(name),
        HostPattern::Suffix(_) | HostPattern::Any => None,
    }
}

/// A host with or without a port, as a `Host` header has it; in lower case.
pub(crate) fn authority(text: &str) -> Option<String> {
    let (host, port) = split_port(text)?;
    let name = plain_host(host)?;
    let name = if name.contains(':') {
        format!("[{name}]")
    } else {
        name
    };
    match port {
        None => Some(name),
        Some(port) => port
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .map(|port| format!("{name}:{port}")),
    }
}

/// What may have been meant by something that is not a listening address.
pub(crate) fn address_meant(text: &str) -> Option<SocketAddr> {
    let port = text
        .strip_prefix("*:")
        .or_else(|| text.strip_prefix(':'))
        .unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        let host = if text.starts_with('*') || text.starts_with(':') {
            [0, 0, 0, 0]
        } else {
            [127, 0, 0, 1]
        };
        return Some(SocketAddr::from((host, port)));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)));
    }
    None
}

/// Why a text is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkError {
    /// Not an address before the slash.
    #[error("is not an address range")]
    Address,
    /// More bits than an address has.
    #[error("has a prefix longer than {0} bits")]
    Prefix(u8),
    /// `10.0.0.1/8`
    #[error("has bits set after its prefix")]
    HostBits(Network),
}

/// `"10.0.0.0/8"`, or one address.
pub(crate) fn network(text: &str) -> Result<Network, NetworkError> {
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(text) => text
            .parse::<u8>()
            .ok()
            .filter(|prefix| *prefix <= bits)
            .ok_or(NetworkError::Prefix(bits))?,
    };
    let first = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    };
    let network = Network {
        address: first,
        prefix,
    };
    if first == address {
        Ok(network)
    } else {
        Err(NetworkError::HostBits(network))
    }
}

/// Whether listening on both fails: the same port, and the same address or one that covers the other.
pub(crate) fn overlap(one: SocketAddr, two: SocketAddr) -> bool {
    let covers = |all: SocketAddr, other: SocketAddr| {
        all.ip().is_unspecified() && all.is_ipv4() == other.is_ipv4()
    };
    one.port() != 0
        && one.port() == two.port()
        && (one.ip() == two.ip() || covers(one, two) || covers(two, one))
}

/// Whether sending to the endpoint arrives at the listener, as far as can be said without a resolver.
pub(crate) fn reaches(endpoint: &Endpoint, listener: SocketAddr) -> bool {
    if endpoint.port != listener.port() {
        return false;
    }
    let Ok(address) = endpoint.host.parse::<IpAddr>() else {
        return endpoint.host == "localhost"
            && (listener.ip().is_loopback() || listener.ip().is_unspecified());
    };
    address == listener.ip() || (address.is_loopback() && listener.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn endpoint(text: &str, expected: Result<&str, EndpointError>) {
        let parsed = text
            .parse::<Endpoint>()
            .map(|endpoint| endpoint.to_string());
        assert_eq!(parsed, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn endpoints_are_a_scheme_a_host_and_a_port() {
        endpoint("http://127.0.0.1:9001", Ok("http://127.0.0.1:9001"));
        endpoint("HTTPS://Shop.Internal/", Ok("https://shop.internal:443"));
        endpoint("http://[::1]:80", Ok("http://[::1]:80"));
        endpoint("http://[::1]", Ok("http://[::1]:80"));
        endpoint("127.0.0.1:9001", Err(EndpointError::NoScheme));
        endpoint("ftp://a", Err(EndpointError::Scheme("ftp".into())));
        endpoint("http://", Err(EndpointError::NoHost));
        endpoint("http://:80", Err(EndpointError::NoHost));
        endpoint("http://a:0", Err(EndpointError::Port("0".into())));
        endpoint("http://a:+1", Err(EndpointError::Port("+1".into())));
        endpoint("http://a:65536", Err(EndpointError::Port("65536".into())));
        endpoint(
            "http://10.0.0.256",
            Err(EndpointError::Host("10.0.0.256".into())),
        );
        endpoint("http://::1", Err(EndpointError::Host("::1".into())));
        endpoint("http://*.a", Err(EndpointError::Host("*.a".into())));
        endpoint("http://a/b", Err(EndpointError::Path));
        endpoint("http://me:secret@a", Err(EndpointError::Credentials));
        endpoint("http://me:se/cret@a", Err(EndpointError::Credentials));
    }

    #[test]
    fn the_secret_part_of_credentials_is_found() {
        let secret =
            |text: &'static str| credentials(text).and_then(|(start, end)| text.get(start..end));
        assert_eq!(secret("http://me:hunter2@a"), Some("hunter2"));
        assert_eq!(secret("http://me:hun@ter2@a"), Some("hun@ter2"));
        assert_eq!(secret("http://token@a"), Some("token"));
        assert_eq!(secret("http://a"), None);
    }

    #[test]
    fn address_ranges_have_no_bits_after_their_prefix() {
        let range = |address: &str, prefix| Network {
            address: address.parse().unwrap(),
            prefix,
        };
        assert_eq!(network("10.0.0.0/8"), Ok(range("10.0.0.0", 8)));
        assert_eq!(network("10.0.0.1"), Ok(range("10.0.0.1", 32)));
        assert_eq!(network("::/0"), Ok(range("::", 0)));
        assert_eq!(
            network("10.0.0.1/8"),
            Err(NetworkError::HostBits(range("10.0.0.0", 8)))
        );
        assert_eq!(network("10.0.0.0/33"), Err(NetworkError::Prefix(32)));
        assert_eq!(network("here"), Err(NetworkError::Address));
    }

    #[track_caller]
    fn overlaps(one: &str, two: &str, expected: bool) {
        let (one, two) = (one.parse().unwrap(), two.parse().unwrap());
        assert_eq!(overlap(one, two), expected, "{one} and {two}");
        assert_eq!(overlap(two, one), expected, "{two} and {one}");
    }

    #[test]
    fn listeners_overlap_where_a_bind_would_fail() {
        overlaps("127.0.0.1:80", "127.0.0.1:80", true);
        overlaps("0.0.0.0:80", "127.0.0.1:80", true);
        overlaps("127.0.0.1:80", "127.0.0.2:80", false);
        overlaps("127.0.0.1:80", "127.0.0.1:81", false);
        overlaps("127.0.0.1:0", "127.0.0.1:0", false);
    }

    #[test]
    fn a_host_to_send_to_others_may_have_a_port() {
        assert_eq!(
            authority("Shop.example:8443").as_deref(),
            Some("shop.example:8443")
        );
        assert_eq!(authority("[::1]:80").as_deref(), Some("[::1]:80"));
        assert_eq!(authority("shop").as_deref(), Some("shop"));
        assert_eq!(authority("http://shop"), None);
        assert_eq!(authority(""), None);
    }
}
