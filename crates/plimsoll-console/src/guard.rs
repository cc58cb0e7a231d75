//! Who may ask: the checks on `Host`, `Origin` and the token.
//!
//! A browser on the operator's machine reaches a loopback address as easily as the operator does. The check
//! on `Host` stops a site that points its own name at the loopback address (DNS rebinding); the checks on
//! `Origin` and `Sec-Fetch-Site` stop a site that sends requests to ours; the token stops everyone else.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::problem::Problem;

/// The secret that a change needs. It shows nothing of itself, not even when printed for debugging.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// From the text that clients send after `Bearer`.
    pub fn new(token: &str) -> Self {
        assert!(
            token.len() >= 16,
            "a token shorter than 16 bytes can be guessed"
        );
        Self(token.as_bytes().to_vec())
    }

    /// Whether `sent` is this token. The time it takes does not depend on where they differ.
    fn is(&self, sent: &[u8]) -> bool {
        let same_length = sent.len() == self.0.len();
        let difference = self
            .0
            .iter()
            .zip(sent)
            .fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        same_length & (std::hint::black_box(difference) == 0)
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(authorization) = headers.get(header::AUTHORIZATION) else {
            return Err(Problem::unauthorized(
                "this needs the token: send `Authorization: Bearer TOKEN`",
            ));
        };
        let bytes = authorization.as_bytes();
        let sent = bytes
            .split_at_checked(7)
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map_or(&[] as &[u8], |(_, token)| token.trim_ascii());
        if self.is(sent) {
            Ok(())
        } else {
            Err(Problem::unauthorized("this is not the token"))
        }
    }
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
    fn token(authorization: &str, expected: bool) {
        let token = Token::new("0123456789abcdef");
        let sent = headers(&[("authorization", authorization)]);
        assert_eq!(token.check(&sent).is_ok(), expected, "{authorization}");
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        token("Bearer 0123456789abcdef", true);
        token("bearer  0123456789abcdef", true);
        token("Bearer 0123456789abcdeg", false);
        token("Bearer 0123456789abcde", false);
        token("Bearer 0123456789abcdef0", false);
        token("Bearer ", false);
        token("Bearer", false);
        token("Basic 0123456789abcdef", false);
        token("0123456789abcdef", false);
        assert!(Token::new("0123456789abcdef").check(&headers(&[])).is_err());
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef")), "Token(..)");
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
