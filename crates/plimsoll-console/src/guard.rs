//! Who may ask: the checks on `Host`, `Origin` and the token.
//!
//! A browser on the operator's machine reaches a loopback address as easily as the operator does. The check
//! on `Host` stops a site that points its own name at the loopback address (DNS rebinding); the checks on
//! `Origin` and `Sec-Fetch-Site` stop a site that sends requests to ours; the token stops everyone else.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::problem::Problem;

/// The secret that came as `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let needs = "this needs a token: send `Authorization: Bearer TOKEN`";
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Err(Problem::unauthorized(needs));
    };
    let split = authorization.as_bytes().split_at_checked(7);
    let secret = split
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, secret)| secret.trim_ascii())
        .filter(|secret| !secret.is_empty());
    secret.ok_or_else(|| Problem::unauthorized(needs))
}

/// The password that came as `Authorization: Basic`, as a browser asks a person for it.
pub(crate) fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let authorization = headers.get(header::AUTHORIZATION)?;
    let (scheme, coded) = authorization.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut pair = base64(coded.trim_ascii())?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair.split_off(colon + 1))
}

/// Undoes RFC 4648, 4: what a browser writes, with its padding.
fn base64(coded: &[u8]) -> Option<Vec<u8>> {
    let digits = coded
        .strip_suffix(b"==")
        .or(coded.strip_suffix(b"="))
        .unwrap_or(coded);
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// The host that a request is for must be one that no other site can make its own: an address, `localhost`,
/// or a name that the operator configured.
pub(crate) fn check_host(headers: &HeaderMap, hosts: &[String]) -> Result<(), Problem> {
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::bad_request("a request needs exactly one Host"));
    };
    let host = value
        .to_str()
        .ok()
        .and_then(host_of)
        .ok_or_else(|| Problem::bad_request("the Host is no host"))?;
    let trimmed = host.trim_start_matches('[').trim_end_matches(']');
    let known = trimmed.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
    if known {
        Ok(())
    } else {
        Err(Problem::misdirected(
            "the console answers to addresses, `localhost` and its configured names only",
        ))
    }
}

/// A change must come from a page of the console itself, or from no page at all.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let refusal = || {
        Err(Problem::forbidden(
            "a change must not come from a page of another site",
        ))
    };
    if let Some(site) = headers.get("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return refusal();
    }
    for origin in headers.get_all(header::ORIGIN) {
        let authority = origin.to_str().ok().and_then(|origin| {
            origin
                .strip_prefix("http://")
                .or(origin.strip_prefix("https://"))
        });
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        match (authority, host) {
            (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => (),
            _ => return refusal(),
        }
    }
    Ok(())
}

/// The host of `host:port`, brackets kept.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = if authority.starts_with('[') {
        authority.split_at_checked(authority.find(']')? + 1)?
    } else {
        authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?
    };
    let port_is_fine = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok());
    (!host.is_empty() && port_is_fine).then_some(host)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn host(host: &str, expected: bool) {
        let hosts = ["ops.example".to_owned()];
        assert_eq!(
            check_host(&headers(&[("host", host)]), &hosts).is_ok(),
            expected,
            "{host}"
        );
    }

    #[test]
    fn only_hosts_that_no_other_site_can_take_are_answered() {
        host("127.0.0.1:7676", true);
        host("127.0.0.1", true);
        host("[::1]:7676", true);
        host("localhost:7676", true);
        host("LOCALHOST", true);
        host("ops.example:7676", true);
        host("10.0.0.1:7676", true);
        host("evil.example:7676", false);
        host("localhost.evil.example", false);
        host("127.0.0.1.evil.example", false);
        host("127.0.0.1:port", false);
        host("[::1", false);
        host("", false);
        assert!(check_host(&headers(&[]), &[]).is_err());
        assert!(
            check_host(
                &headers(&[("host", "localhost"), ("host", "localhost")]),
                &[]
            )
            .is_err()
        );
    }

    #[track_caller]
    fn origin(sent: &[(&str, &str)], expected: bool) {
        let mut all = vec![("host", "localhost:7676")];
        all.extend_from_slice(sent);
        assert_eq!(check_origin(&headers(&all)).is_ok(), expected, "{sent:?}");
    }

    #[test]
    fn changes_come_from_our_page_or_from_none() {
        origin(&[], true);
        origin(&[("origin", "http://localhost:7676")], true);
        origin(
            &[
                ("origin", "https://localhost:7676"),
                ("sec-fetch-site", "same-origin"),
            ],
            true,
        );
        origin(&[("sec-fetch-site", "none")], true);
        origin(&[("origin", "http://localhost:9999")], false);
        origin(&[("origin", "http://evil.example")], false);
        origin(&[("origin", "null")], false);
        origin(&[("sec-fetch-site", "cross-site")], false);
        origin(
            &[
                ("origin", "http://localhost:7676"),
                ("origin", "http://evil.example"),
            ],
            false,
        );
    }

    #[track_caller]
    fn secret(authorization: &str, expected: Option<&str>) {
        let sent = headers(&[("authorization", authorization)]);
        let read = bearer(&sent).ok();
        assert_eq!(read, expected.map(str::as_bytes), "{authorization}");
    }

    #[test]
    fn a_token_comes_as_bearer() {
        secret("Bearer 0123456789abcdef", Some("0123456789abcdef"));
        secret("bearer  0123456789abcdef", Some("0123456789abcdef"));
        secret("Bearer ", None);
        secret("Bearer", None);
        secret("Basic 0123456789abcdef", None);
        secret("0123456789abcdef", None);
        assert!(bearer(&headers(&[])).is_err());
    }

    #[track_caller]
    fn typed(authorization: &str, expected: Option<&str>) {
        let sent = headers(&[("authorization", authorization)]);
        let read = password(&sent);
        assert_eq!(
            read.as_deref(),
            expected.map(str::as_bytes),
            "{authorization}"
        );
    }

    #[test]
    fn a_browser_sends_it_as_a_password_under_any_name() {
        typed("Basic YW5hOnRva2Vu", Some("token"));
        typed("basic OnRva2VuMQ==", Some("token1"));
        typed("Basic YW5hOnRvOmtlbg==", Some("to:ken"));
        typed("Basic YW5hOg==", Some(""));
        typed("Basic YW5h", None);
        typed("Basic ?", None);
        typed("Bearer YW5hOnRva2Vu", None);
        typed("Basic", None);
    }

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }
}
