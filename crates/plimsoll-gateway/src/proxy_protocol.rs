//! The PROXY protocol, versions 1 and 2: who the client is, told by a load balancer ahead of the first byte.
//!
//! Source: W. Tarreau, "The PROXY protocol" (HAProxy, 2020/03/05). Its rule that a receiver must not guess
//! whether the header is there is kept by the configuration (`proxy_protocol = true`): a connection without a
//! header is refused.
//! Elsewhere: whether the peer may send one (`gateway.trusted`), and how long it may take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BytesMut};

/// What the header tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The client; `None` if the load balancer speaks for itself (a health check) or does not know: then the
    /// connection's own addresses count.
    pub(crate) source: Option<SocketAddr>,
    /// What the client connected to; `None` with `source`.
    pub(crate) destination: Option<SocketAddr>,
}

/// Why a header was refused. The connection is closed without an answer: who is behind it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyProtocolError {
    /// The listener is told to expect one.
    #[error("the connection does not start with a PROXY protocol header")]
    Missing,
    /// Longer than 107 bytes (version 1) or 536 (version 2).
    #[error("the PROXY protocol header is longer than the limit")]
    TooLong,
    /// A word, an address or a port of a version 1 line.
    #[error("the PROXY protocol line is malformed")]
    Line,
    /// Version, command, family or length of a version 2 header.
    #[error("the PROXY protocol header is malformed")]
    Binary,
}

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with CRLF.
const LINE_BYTES_MAX: usize = 107;
/// Version 2 up to and with its length field.
const FIXED_BYTES: usize = 16;
/// The length could say 65,535; this much fits into any first segment, as the protocol asks of senders.
const BINARY_BYTES_MAX: usize = 536;

/// Takes the header off the front of `buf`. `None`: more bytes are needed, and nothing was taken.
pub(crate) fn parse(buf: &mut BytesMut) -> Result<Option<Header>, ProxyProtocolError> {
    let parsed = if is_start_of(buf, SIGNATURE_V1) {
        parse_line(buf)?
    } else if is_start_of(buf, SIGNATURE_V2) {
        parse_binary(buf)?
    } else {
        return Err(ProxyProtocolError::Missing);
    };
    Ok(parsed.map(|(header, length)| {
        buf.advance(length);
        header
    }))
}

/// Whether `bytes` start with `signature`, as far as they have arrived.
fn is_start_of(bytes: &[u8], signature: &[u8]) -> bool {
    let known = bytes.len().min(signature.len());
    bytes.get(..known) == signature.get(..known)
}

fn parse_line(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyProtocolError> {
    let window = bytes.get(..LINE_BYTES_MAX).unwrap_or(bytes);
    let Some(line_feed) = memchr::memchr(b'\n', window) else {
        return if window.len() < LINE_BYTES_MAX {
            Ok(None)
        } else {
            Err(ProxyProtocolError::TooLong)
        };
    };
    let line = bytes
        .get(SIGNATURE_V1.len()..line_feed)
        .and_then(|line| line.strip_suffix(b"\r"))
        .and_then(|line| str::from_utf8(line).ok())
        .ok_or(ProxyProtocolError::Line)?;
    let header = if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        Header::default()
    } else {
        parse_words(line).ok_or(ProxyProtocolError::Line)?
    };
    Ok(Some((header, line_feed + 1)))
}

/// `TCP4 source destination source-port destination-port`
fn parse_words(line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |word| word.parse().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (source_port, destination_port) = (parse_port(words.next()?)?, parse_port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Header {
        source: Some(SocketAddr::new(source, source_port)),
        destination: Some(SocketAddr::new(destination, destination_port)),
    })
}

/// Digits alone; the protocol allows no leading zero.
fn parse_port(word: &str) -> Option<u16> {
    let plain =
        word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().ok() } else { None }
}

fn parse_binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProxyProtocolError> {
    let Some([version_command, family, high, low]) = bytes.get(SIGNATURE_V2.len()..FIXED_BYTES)
    else {
        return Ok(None);
    };
    let end = FIXED_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if end > BINARY_BYTES_MAX {
        return Err(ProxyProtocolError::TooLong);
    }
    let local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyProtocolError::Binary),
    };
    let Some(payload) = bytes.get(FIXED_BYTES..end) else {
        return Ok(None);
    };
    // What follows the addresses (type-length-value vectors) is not used.
    let header = match family {
        _ if local => Some(Header::default()),
        0x11 => binary_v4(payload),
        0x21 => binary_v6(payload),
        // Unspecified; datagrams; Unix sockets: nothing that could be this client's address.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Some(Header::default()),
        _ => None,
    };
    header
        .map(|header| Some((header, end)))
        .ok_or(ProxyProtocolError::Binary)
}

fn binary_v4(payload: &[u8]) -> Option<Header> {
    let (source, rest) = payload.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    binary_ports(
        Ipv4Addr::from(*source).into(),
        Ipv4Addr::from(*destination).into(),
        rest,
    )
}

fn binary_v6(payload: &[u8]) -> Option<Header> {
    let (source, rest) = payload.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    binary_ports(
        Ipv6Addr::from(*source).into(),
        Ipv6Addr::from(*destination).into(),
        rest,
    )
}

fn binary_ports(source: IpAddr, destination: IpAddr, rest: &[u8]) -> Option<Header> {
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Header {
        source: Some(SocketAddr::new(source, u16::from_be_bytes(*source_port))),
        destination: Some(SocketAddr::new(
            destination,
            u16::from_be_bytes(*destination_port),
        )),
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn header(source: &str, destination: &str) -> Header {
        Header {
            source: Some(source.parse().unwrap()),
            destination: Some(destination.parse().unwrap()),
        }
    }

    fn binary(version_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE_V2, &[version_command, family], &length, payload].concat()
    }

    /// In one piece and byte by byte; what follows stays.
    #[track_caller]
    fn check(input: &[u8], expected: Header) {
        let mut buf = BytesMut::new();
        for byte in input {
            assert_eq!(parse(&mut buf), Ok(None));
            buf.extend_from_slice(&[*byte]);
        }
        buf.extend_from_slice(b"GET");
        assert_eq!(parse(&mut buf), Ok(Some(expected)));
        assert_eq!(buf, "GET");
    }

    #[track_caller]
    fn check_refused(input: &[u8], expected: ProxyProtocolError) {
        assert_eq!(
            parse(&mut BytesMut::from(input)),
            Err(expected),
            "{}",
            input.escape_ascii()
        );
    }

    #[test]
    fn a_line_tells_both_addresses() {
        check(
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            header("192.0.2.1:56324", "198.51.100.2:443"),
        );
        check(
            b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
            header("[2001:db8::1]:0", "[::1]:65535"),
        );
        check(b"PROXY UNKNOWN\r\n", Header::default());
        check(
            b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
            Header::default(),
        );
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "",
            "TCP4",
            "TCP5 1.2.3.4 1.2.3.4 1 2",
            "TCP4 ::1 ::2 1 2",
            "TCP6 1.2.3.4 1.2.3.4 1 2",
            "TCP4 1.2.3.4  1.2.3.4 1 2",
            "TCP4 1.2.3.4 1.2.3.4 1",
            "TCP4 1.2.3.4 1.2.3.4 1 2 3",
            "TCP4 1.2.3.4 1.2.3.4 01 2",
            "TCP4 1.2.3.4 1.2.3.4 +1 2",
            "TCP4 1.2.3.4 1.2.3.4 1 65536",
            "TCP4 1.2.3.4 1.2.3.4  2",
            "TCP4 1.2.3 1.2.3.4 1 2",
            "UNKNOWNX",
            "tcp4 1.2.3.4 1.2.3.4 1 2",
        ] {
            check_refused(
                format!("PROXY {line}\r\n").as_bytes(),
                ProxyProtocolError::Line,
            );
        }
        check_refused(
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            ProxyProtocolError::Line,
        );
        check_refused(
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat(),
            ProxyProtocolError::TooLong,
        );
    }

    #[test]
    fn a_binary_header_tells_both_addresses() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
        check(
            &binary(0x21, 0x11, &v4),
            header("192.0.2.1:56324", "198.51.100.2:443"),
        );
        let with_vectors = [&v4[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
        check(
            &binary(0x21, 0x11, &with_vectors),
            header("192.0.2.1:56324", "198.51.100.2:443"),
        );
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
        check(&binary(0x21, 0x21, &v6), header("[::1]:3", "[::2]:4"));
    }

    #[test]
    fn a_load_balancer_may_speak_for_itself() {
        check(&binary(0x20, 0x00, &[]), Header::default());
        check(&binary(0x20, 0x11, &[0; 12]), Header::default());
        check(&binary(0x21, 0x00, &[1, 2, 3]), Header::default());
        check(&binary(0x21, 0x31, &[0; 216]), Header::default());
        check(&binary(0x21, 0x12, &[0; 12]), Header::default());
    }

    #[test]
    fn malformed_binary_headers_are_refused() {
        check_refused(&binary(0x11, 0x11, &[0; 12]), ProxyProtocolError::Binary);
        check_refused(&binary(0x22, 0x11, &[0; 12]), ProxyProtocolError::Binary);
        check_refused(&binary(0x21, 0x13, &[0; 12]), ProxyProtocolError::Binary);
        check_refused(&binary(0x21, 0x41, &[0; 12]), ProxyProtocolError::Binary);
        check_refused(&binary(0x21, 0x11, &[0; 11]), ProxyProtocolError::Binary);
        check_refused(&binary(0x21, 0x21, &[0; 35]), ProxyProtocolError::Binary);
        check_refused(&binary(0x21, 0x11, &[0; 521]), ProxyProtocolError::TooLong);
        check(&binary(0x20, 0x11, &[0; 520]), Header::default());
    }

    #[test]
    fn a_connection_without_a_header_is_refused_at_its_first_bytes() {
        for input in [
            &b"G"[..],
            b"PROXX",
            b"proxy",
            b"\r\n\r\nG",
            b"\x16\x03\x01",
            b"\0",
        ] {
            check_refused(input, ProxyProtocolError::Missing);
        }
        for input in [&b""[..], b"P", b"PROXY", b"\r", b"\r\n\r\n\0"] {
            assert_eq!(parse(&mut BytesMut::from(input)), Ok(None));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(
            start in prop_oneof![Just(SIGNATURE_V1), Just(SIGNATURE_V2), Just(&b""[..])],
            rest in vec(any::<u8>(), 0..600),
        ) {
            let mut buf = BytesMut::from([start, &rest].concat().as_slice());
            let length = buf.len();
            match parse(&mut buf) {
                Ok(Some(_)) => prop_assert!(length - buf.len() <= BINARY_BYTES_MAX),
                Ok(None) | Err(_) => prop_assert_eq!(buf.len(), length),
            }
        }
    }
}
