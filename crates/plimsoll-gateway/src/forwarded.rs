//! Who the client is, behind trusted proxies; and what the service is told about it.
//!
//! Sources: RFC 7239 (`Forwarded`); the `X-Forwarded-*` fields as proxies write them.
//! Invariant: only what a trusted peer wrote is believed. Each proxy appends the address it saw, so the chain
//! is walked from its right end, from one trusted address to the next; the first that is not trusted is the
//! client, and what stands left of it is the client's own word.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use plimsoll_config::Network;
use plimsoll_http1::{Fields, Name};
use smallvec::SmallVec;

/// Addresses of a chain, left to right; `None` = an element without one (`unknown`, `_hidden`, malformed).
type Chain = SmallVec<[Option<IpAddr>; 8]>;

/// The client's address.
///
/// Where both `X-Forwarded-For` and `Forwarded` are there and lead to different clients, one of the two was
/// passed through unread by the trusted proxies: neither is believed, and the peer counts as the client.
pub(crate) fn client_address(peer: IpAddr, fields: &Fields, trusted: &[Network]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let listed = x_forwarded_for(fields).map(|chain| walk(peer, &chain, trusted));
    let standard = forwarded(fields).map(|chain| walk(peer, &chain, trusted));
    match (listed, standard) {
        (Some(listed), Some(standard)) if listed != standard => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// Whether this peer is believed about who is behind it.
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(peer))
}

/// From the right, past trusted addresses. An element without an address ends the walk at the last one known.
fn walk(peer: IpAddr, chain: &[Option<IpAddr>], trusted: &[Network]) -> IpAddr {
    let mut client = peer;
    for address in chain.iter().rev() {
        let Some(address) = address else { break };
        client = *address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// `None` if there is no such field.
fn x_forwarded_for(fields: &Fields) -> Option<Chain> {
    let mut values = fields.get_all(Name::XForwardedFor).peekable();
    values.peek()?;
    Some(
        values
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(parse_node)
            .collect(),
    )
}

/// `None` if there is no such field. A line with a malformed element counts as one element without an address:
/// where its elements begin and end is anyone's guess.
fn forwarded(fields: &Fields) -> Option<Chain> {
    let mut values = fields.get_all(Name::Forwarded).peekable();
    values.peek()?;
    let mut chain = Chain::new();
    for value in values {
        let start = chain.len();
        if parse_forwarded(value, &mut chain).is_none() {
            chain.truncate(start);
            chain.push(None);
        }
    }
    Some(chain)
}

/// `element *( "," element )`, an element being `[ pair ] *( ";" [ pair ] )` and a pair
/// `token "=" ( token / quoted-string )` (RFC 7239 section 4).
fn parse_forwarded(value: &[u8], chain: &mut Chain) -> Option<()> {
    let mut rest = value;
    let mut address = None;
    let mut seen = false;
    loop {
        rest = rest.trim_ascii_start();
        if !matches!(rest, [] | [b',' | b';', ..]) {
            let equals = memchr::memchr(b'=', rest)?;
            let (name, after) = rest.split_at_checked(equals)?;
            if name.is_empty()
                || !name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            {
                return None;
            }
            let (text, after) = parse_value(after.get(1..)?)?;
            if name.eq_ignore_ascii_case(b"for") {
                if seen {
                    return None;
                }
                seen = true;
                address = parse_node(text);
            }
            rest = after.trim_ascii_start();
        }
        match rest {
            [b';', after @ ..] => rest = after,
            [b',', after @ ..] => {
                chain.push(address.take());
                seen = false;
                rest = after;
            }
            [] => {
                chain.push(address);
                return Some(());
            }
            _ => return None,
        }
    }
}

/// A token or the inside of a quoted string, and what follows it. Escapes are left in: no address has one, so
/// such a string is no address.
fn parse_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(quoted) = bytes.strip_prefix(b"\"") {
        let mut end = 0;
        loop {
            match quoted.get(end)? {
                b'"' => return Some((quoted.get(..end)?, quoted.get(end + 1..)?)),
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
    }
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t' | b'"'));
    let (text, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len()))?;
    (!text.is_empty()).then_some((text, rest))
}

/// An address, with or without a port; IPv6 with or without brackets.
fn parse_node(bytes: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(bytes.trim_ascii()).ok()?;
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
        {
            Some(inner) => IpAddr::V6(inner.parse().ok()?),
            None => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

/// What this proxy saw of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop<'a> {
    /// Who sent it: the peer, not the client behind it.
    pub(crate) peer: IpAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    /// The host asked for.
    pub(crate) host: Option<&'a [u8]>,
}

/// Calls `emit` with `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded`, which take the place of those in
/// `fields`.
///
/// If the peer is trusted, its own chain is continued, and its word on scheme and host is kept; else they are
/// begun anew. `fills`: the answer may be for others. Then `Forwarded` has nothing of earlier ones, whose hosts and schemes
/// are not in the key.
pub(crate) fn emit_all(
    fields: &Fields,
    peer_is_trusted: bool,
    fills: bool,
    hop: &Hop<'_>,
    emit: &mut impl FnMut(&[u8], &[u8]),
) {
    let earlier = peer_is_trusted.then_some(fields);
    let said = |name| earlier.and_then(|fields| fields.get(name));
    emit(
        b"X-Forwarded-For",
        &x_forwarded_for_value(earlier, hop.peer),
    );
    emit(
        b"X-Forwarded-Proto",
        said(Name::XForwardedProto).unwrap_or(hop.scheme.as_bytes()),
    );
    if let Some(host) = said(Name::XForwardedHost).or(hop.host) {
        emit(b"X-Forwarded-Host", host);
    }
    emit(
        b"Forwarded",
        &forwarded_value(earlier.filter(|_| !fills), hop),
    );
}

/// `earlier, peer`
pub(crate) fn x_forwarded_for_value(earlier: Option<&Fields>, peer: IpAddr) -> SmallBytes {
    let mut value = chain_so_far(earlier, Name::XForwardedFor);
    push_address(&mut value, peer.to_canonical());
    value
}

/// `earlier, for=192.0.2.1;host=example.com;proto=https`
pub(crate) fn forwarded_value(earlier: Option<&Fields>, hop: &Hop<'_>) -> SmallBytes {
    let mut value = chain_so_far(earlier, Name::Forwarded);
    value.extend_from_slice(b"for=");
    match hop.peer.to_canonical() {
        address @ IpAddr::V4(_) => push_address(&mut value, address),
        address @ IpAddr::V6(_) => {
            value.extend_from_slice(b"\"[");
            push_address(&mut value, address);
            value.extend_from_slice(b"]\"");
        }
    }
    if let Some(host) = hop.host {
        value.extend_from_slice(b";host=");
        push_value(&mut value, host);
    }
    value.extend_from_slice(b";proto=");
    value.extend_from_slice(hop.scheme.as_bytes());
    value
}

/// The values so far, as one list that goes on.
fn chain_so_far(earlier: Option<&Fields>, name: Name) -> SmallBytes {
    let mut value = SmallBytes::new();
    for said in earlier.into_iter().flat_map(|fields| fields.get_all(name)) {
        if !said.is_empty() {
            value.extend_from_slice(said);
            value.extend_from_slice(b", ");
        }
    }
    value
}

/// A value that is built; on the stack unless it is a long one.
pub(crate) type SmallBytes = SmallVec<[u8; 128]>;

fn push_address(value: &mut SmallBytes, address: IpAddr) {
    // As long as the longest IPv6 address, so that writing does not fail.
    let mut text = [0; 45];
    let mut rest = text.as_mut_slice();
    let _ = write!(rest, "{address}");
    let length = 45 - rest.len();
    value.extend_from_slice(text.get(..length).unwrap_or_default());
}

/// As a token if it is one, else quoted.
fn push_value(value: &mut SmallBytes, text: &[u8]) {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if !text.is_empty() && text.iter().all(plain) {
        value.extend_from_slice(text);
        return;
    }
    value.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            value.push(b'\\');
        }
        value.push(*byte);
    }
    value.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> Vec<Network> {
        vec![
            Network {
                address: "10.0.0.0".parse().unwrap(),
                prefix: 8,
            },
            Network {
                address: "fd00::".parse().unwrap(),
                prefix: 8,
            },
        ]
    }

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[track_caller]
    fn check(peer: &str, list: &[(&str, &str)], expected: &str) {
        let client = client_address(peer.parse().unwrap(), &fields(list), &trusted());
        assert_eq!(
            client,
            expected.parse::<IpAddr>().unwrap(),
            "{peer} {list:?}"
        );
    }

    /// From a trusted peer.
    #[track_caller]
    fn check_listed(value: &str, expected: &str) {
        check("10.0.0.1", &[("X-Forwarded-For", value)], expected);
    }

    #[track_caller]
    fn check_standard(value: &str, expected: &str) {
        check("10.0.0.1", &[("Forwarded", value)], expected);
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        check(
            "192.0.2.1",
            &[("X-Forwarded-For", "198.51.100.7")],
            "192.0.2.1",
        );
        check(
            "192.0.2.1",
            &[("Forwarded", "for=198.51.100.7")],
            "192.0.2.1",
        );
        check("10.0.0.1", &[], "10.0.0.1");
        check(
            "10.0.0.1",
            &[("X-Forwarded-For", "198.51.100.7")],
            "198.51.100.7",
        );
        check(
            "::ffff:10.0.0.1",
            &[("X-Forwarded-For", "198.51.100.7")],
            "198.51.100.7",
        );
        check("::ffff:192.0.2.1", &[], "192.0.2.1");
    }

    #[test]
    fn the_chain_is_walked_from_the_right_past_trusted_addresses() {
        check_listed("1.1.1.1, 198.51.100.7", "198.51.100.7");
        check_listed("1.1.1.1, 198.51.100.7, 10.9.9.9", "198.51.100.7");
        check_listed("10.0.0.3 ,10.0.0.2", "10.0.0.3");
        check_listed("1.1.1.1, unknown, 10.0.0.2", "10.0.0.2");
        check_listed("1.1.1.1,, 10.0.0.2", "10.0.0.2");
        check_listed("junk", "10.0.0.1");
        check_listed("", "10.0.0.1");
        let lines = [
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-For", "2.2.2.2, 10.0.0.2"),
        ];
        check("10.0.0.1", &lines, "2.2.2.2");
    }

    #[test]
    fn addresses_come_with_and_without_ports_and_brackets() {
        check_listed("198.51.100.7:1234", "198.51.100.7");
        check_listed("2001:db8::1", "2001:db8::1");
        check_listed("[2001:db8::1]", "2001:db8::1");
        check_listed("[2001:db8::1]:1234", "2001:db8::1");
        check_listed("::ffff:198.51.100.7", "198.51.100.7");
        check_listed("[198.51.100.7]", "10.0.0.1");
        check_listed("198.51.100.7:", "10.0.0.1");
        check_listed("198.51.100.07", "10.0.0.1");
    }

    #[test]
    fn the_standard_field_is_read_with_its_quotes() {
        check_standard("for=198.51.100.7", "198.51.100.7");
        check_standard("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17");
        check_standard(
            "proto=http; for=\"198.51.100.7:80\" ;by=10.0.0.1",
            "198.51.100.7",
        );
        check_standard(
            "for=1.1.1.1, for=198.51.100.7;host=\"a,b;for=2.2.2.2\"",
            "198.51.100.7",
        );
        check_standard(
            "for=1.1.1.1,for=198.51.100.7,for=\"[fd00::1]\"",
            "198.51.100.7",
        );
        check_standard("for=198.51.100.7;host=\"a\\\"b\"", "198.51.100.7");
        check_standard("for=1.1.1.1, for=_hidden", "10.0.0.1");
        check_standard("for=1.1.1.1, for=unknown, for=10.0.0.9", "10.0.0.9");
        check_standard("for=1.1.1.1, proto=http", "10.0.0.1");
    }

    #[test]
    fn a_malformed_line_tells_nothing() {
        for value in [
            "for=\"x, for=198.51.100.7",
            "for=198.51.100.7;for=1.1.1.1",
            "for=198.51.100.7 x",
            "for",
            "for=",
            "=198.51.100.7",
            "for=198.51.100.7\"",
            "fo r=198.51.100.7",
            "for=\"198.51.100.7\\",
        ] {
            check_standard(value, "10.0.0.1");
        }
        let lines = [
            ("Forwarded", "for=\"x"),
            ("Forwarded", "for=198.51.100.7, for=10.0.0.2"),
        ];
        check("10.0.0.1", &lines, "198.51.100.7");
    }

    #[test]
    fn two_chains_that_disagree_are_both_not_believed() {
        let listed = ("X-Forwarded-For", "198.51.100.7");
        check(
            "10.0.0.1",
            &[listed, ("Forwarded", "for=198.51.100.7")],
            "198.51.100.7",
        );
        check(
            "10.0.0.1",
            &[listed, ("Forwarded", "for=1.1.1.1")],
            "10.0.0.1",
        );
    }

    #[track_caller]
    fn check_written(
        peer: &str,
        trusted: bool,
        list: &[(&str, &str)],
        host: Option<&str>,
        expected: &str,
    ) {
        let hop = Hop {
            peer: peer.parse().unwrap(),
            scheme: "https",
            host: host.map(str::as_bytes),
        };
        let mut out = String::new();
        emit_all(&fields(list), trusted, false, &hop, &mut |name, value| {
            out += &format!(
                "{}: {}\n",
                name.escape_ascii(),
                String::from_utf8_lossy(value)
            );
        });
        assert_eq!(out, expected);
    }

    #[test]
    fn the_service_is_told_what_this_proxy_saw() {
        check_written(
            "192.0.2.1",
            false,
            &[
                ("X-Forwarded-For", "1.1.1.1"),
                ("X-Forwarded-Proto", "gopher"),
                ("Forwarded", "for=1.1.1.1"),
            ],
            Some("example.com"),
            "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: example.com\n\
             Forwarded: for=192.0.2.1;host=example.com;proto=https\n",
        );
        check_written(
            "2001:db8::1",
            false,
            &[],
            Some("[::1]:80"),
            "X-Forwarded-For: 2001:db8::1\nX-Forwarded-Proto: https\nX-Forwarded-Host: [::1]:80\n\
             Forwarded: for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=https\n",
        );
    }

    #[test]
    fn what_a_trusted_peer_said_is_continued() {
        check_written(
            "10.0.0.1",
            true,
            &[
                ("X-Forwarded-For", "1.1.1.1"),
                ("X-Forwarded-For", "10.0.0.2"),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "outer"),
                ("Forwarded", "for=1.1.1.1"),
            ],
            Some("inner"),
            "X-Forwarded-For: 1.1.1.1, 10.0.0.2, 10.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: outer\n\
             Forwarded: for=1.1.1.1, for=10.0.0.1;host=inner;proto=https\n",
        );
    }

    proptest! {
        #[test]
        fn whatever_the_client_wrote_the_next_proxy_reads_what_we_saw(said in "[ -~]{0,60}") {
            // The client is not trusted, so what it said is dropped; a proxy that trusts us reads the rest.
            let peer: IpAddr = "192.0.2.1".parse().unwrap();
            let hop = Hop { peer, scheme: "http", host: None };
            let mut again = Fields::new();
            let said = fields(&[("X-Forwarded-For", &said), ("Forwarded", &said)]);
            emit_all(&said, false, false, &hop, &mut |name, value| again.push(name, value));
            prop_assert_eq!(client_address("10.0.0.1".parse().unwrap(), &again, &trusted()), peer);
        }

        #[test]
        fn an_appended_chain_leads_to_the_last_address_that_is_not_trusted(said in "[ -~]{0,60}") {
            // A trusted proxy that appends to whatever it was given, as most do.
            let listed = format!("{said}, 198.51.100.7");
            let client = client_address(
                "10.0.0.1".parse().unwrap(), &fields(&[("X-Forwarded-For", &listed)]), &trusted(),
            );
            prop_assert_eq!(client, "198.51.100.7".parse::<IpAddr>().unwrap());
        }
    }
}
