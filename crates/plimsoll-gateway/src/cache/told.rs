//! What a trusted peer says of scheme and host, as a key has it.
//!
//! It is not put in the place of the connection's own: the service sees both. So both tell keys apart, and a purge by URL
//! reads here what clients saw before a proxy that ends TLS.

use std::borrow::Cow;

use plimsoll_http1::Authority;
use plimsoll_policy::cache::key::CacheKey;

const PROTO: &[u8] = b"proto:";
const HOST: &[u8] = b"host:";

/// The part of a key that names service and route, with what is said by `X-Forwarded-Proto` and `X-Forwarded-Host`.
pub(super) fn space<'a>(space: &'a str, proto: Option<&[u8]>, host: Option<&[u8]>) -> Cow<'a, str> {
    let mut space = Cow::Borrowed(space);
    for (kind, said) in [(PROTO, proto), (HOST, host)] {
        if let Some(said) = said {
            // No name of a route or service has a space, and neither has what is escaped so.
            let kind = kind.escape_ascii();
            let said = said.escape_ascii().to_string().replace(' ', "\\x20");
            space = Cow::Owned(format!("{space} {kind}{said}"));
        }
    }
    space
}

/// The URL as clients saw it, if the peer's word made another of it; `rest` is what the key has behind `space`.
pub(super) fn url(space: &[u8], rest: &[u8]) -> Option<CacheKey> {
    let said = |kind: &[u8]| {
        let mut parts = space.split(|&byte| byte == b' ');
        parts.find_map(|part| part.strip_prefix(kind))
    };
    // What is neither is the service's business only.
    let proto = said(PROTO).and_then(|said| match said {
        said if said.eq_ignore_ascii_case(b"https") => Some(true),
        said if said.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    });
    let host = said(HOST).filter(|said| Authority::parse(said).is_some());
    if proto.is_none() && host.is_none() {
        return None;
    }
    let mut parts = rest.splitn(5, |&byte| byte == b'\n').skip(1);
    let (scheme, own, port, path) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let https = proto.unwrap_or(scheme == b"https");
    let authority = match host {
        Some(host) => Cow::Borrowed(host),
        // Nobody wrote this port: the other scheme has another.
        None if matches!((scheme, port), (b"http", b"80") | (b"https", b"443")) => {
            Cow::Borrowed(own)
        }
        None => Cow::Owned([own, b":", port].concat()),
    };
    Some(CacheKey::new("", https, &authority, path))
}
