//! Request heads.

mod error;
mod parse;

pub use error::RequestError;
pub use parse::parse_request;

use crate::authority::Authority;
use crate::connection::ConnectionOptions;
use crate::fields::{Fields, is_token};
use crate::framing::{self, Framing};
use crate::head::{self, HeadLimits, Search, Version};
use crate::name::Name;
use crate::target::{Target, TargetForm};

/// The longest method. The longest registered one has 17 bytes (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 32;

/// A request's head. Reusable: parsing into it again keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The fields, to be read and changed at will. What the head itself tells (framing, keep-alive, ...) was
    /// taken from them when it was parsed, and stays; only [`RequestHead::authority`] looks again.
    pub fields: Fields,
    method: Vec<u8>,
    target: Target,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
    upgrade: Vec<u8>,
    progress: Progress,
}

/// What is known of a head that has not arrived whole.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    search: Search,
    /// An empty line before the request was dropped.
    line_dropped: bool,
}

impl RequestHead {
    /// A head to parse into, or to build.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties it, and forgets what was seen of a head that has not arrived whole.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method.clear();
        self.target.clear();
        self.version = Version::Http11;
        self.framing = Framing::None;
        self.keep_alive = false;
        self.expect_continue = false;
        self.upgrade.clear();
        self.progress = Progress::default();
    }

    /// Begins a head that did not come as HTTP/1: push its fields next. HTTP/1.1, without a body
    /// ([`RequestHead::set_framing`]) and without `Connection`.
    pub fn set_from_parts(&mut self, method: &[u8], target: &[u8]) -> Result<(), RequestError> {
        self.clear();
        if !is_token(method) {
            return Err(RequestError::RequestLine);
        }
        if method.len() > METHOD_BYTES_MAX {
            return Err(RequestError::MethodTooLong);
        }
        self.method.extend_from_slice(method);
        self.keep_alive = true;
        self.target.set(method, target)
    }

    /// How the body is told from what follows.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Whether the client waits for `100 Continue`.
    pub fn set_expect_continue(&mut self, expect_continue: bool) {
        self.expect_continue = expect_continue;
    }

    /// The method, as sent: methods differ by case.
    pub fn method(&self) -> &[u8] {
        &self.method
    }

    /// The target, as sent.
    pub fn target(&self) -> &[u8] {
        self.target.sent()
    }

    /// What kind of target it is.
    pub fn form(&self) -> TargetForm {
        self.target.form()
    }

    /// Path and query: `/` if there is no path, `*` for [`TargetForm::Asterisk`], empty for
    /// [`TargetForm::Authority`].
    pub fn path_and_query(&self) -> &[u8] {
        self.target.path_and_query()
    }

    /// The host asked for, with its port if one was given: the target's, else the `Host` field's. It is an
    /// [`Authority`].
    pub fn authority(&self) -> Option<&[u8]> {
        self.target
            .authority()
            .or_else(|| self.fields.get(Name::Host))
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body is told from what follows.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client will send another request on this connection (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The protocol that a `GET` without a body asks to change to (RFC 9110 section 7.8), as `websocket`.
    ///
    /// One protocol only: a list could be read differently by the service.
    pub fn upgrade(&self) -> Option<&[u8]> {
        Some(self.upgrade.as_slice()).filter(|protocol| !protocol.is_empty())
    }

    /// Whether the client waits for `100 Continue` before it sends its body (RFC 9110 section 10.1.1).
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    fn fill(
        &mut self,
        bytes: &[u8],
        parsed: &httparse::Request<'_, '_>,
        limits: &HeadLimits,
    ) -> Result<(), RequestError> {
        let method = parsed.method.unwrap_or_default().as_bytes();
        let target = parsed.path.unwrap_or_default().as_bytes();
        if method.len() > METHOD_BYTES_MAX {
            return Err(RequestError::MethodTooLong);
        }
        if target.len() > limits.uri_bytes_max {
            return Err(RequestError::TargetTooLong);
        }
        self.method.extend_from_slice(method);
        self.target.set(method, target)?;
        self.version = if parsed.version == Some(0) {
            Version::Http10
        } else {
            Version::Http11
        };
        head::copy_fields(bytes, parsed.headers, &mut self.fields);
        self.framing = framing::declared(&self.fields, self.version)?;
        self.check_host()?;
        self.read_connection()
    }

    /// RFC 9112 section 3.2 and 3.2.2.
    fn check_host(&self) -> Result<(), RequestError> {
        let mut hosts = self.fields.get_all(Name::Host);
        let Some(host) = hosts.next() else {
            return match self.version {
                Version::Http10 => Ok(()),
                Version::Http11 => Err(RequestError::HostMissing),
            };
        };
        if hosts.next().is_some() {
            return Err(RequestError::HostRepeated);
        }
        let host = Authority::parse(host).ok_or(RequestError::Host)?;
        match self.target.authority().map(Authority::parse) {
            None => Ok(()),
            Some(Some(named)) if named.is_same_as(&host, self.target.port_default()) => Ok(()),
            Some(_) => Err(RequestError::HostDiffers),
        }
    }

    fn read_connection(&mut self) -> Result<(), RequestError> {
        let options = ConnectionOptions::of(&self.fields);
        if options.names_framing {
            return Err(RequestError::Connection);
        }
        let newer = self.version == Version::Http11;
        self.keep_alive = !options.close && (newer || options.keep_alive);
        self.expect_continue = newer
            && !self.framing.is_empty()
            && self
                .fields
                .get(Name::Expect)
                .is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue"));
        if newer && options.upgrade && self.method == b"GET" && self.framing.is_empty() {
            let mut protocols = self.fields.get_all(Name::Upgrade);
            if let (Some(protocol), None) = (protocols.next(), protocols.next())
                && is_protocol(protocol)
            {
                self.upgrade.extend_from_slice(protocol);
            }
        }
        Ok(())
    }
}

/// `token` or `token/token` (RFC 9110 section 7.8).
fn is_protocol(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |byte| *byte == b'/');
    parts.next().is_some_and(is_token) && parts.next().is_none_or(is_token)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::framing::FramingError;
    use crate::head::HeadError;

    pub(super) const LIMITS: HeadLimits = HeadLimits {
        head_bytes_max: 1024,
        headers_max: 8,
        uri_bytes_max: 64,
    };

    fn parse(input: &str) -> Result<Option<RequestHead>, RequestError> {
        let mut head = RequestHead::new();
        let complete = parse_request(&mut BytesMut::from(input), &LIMITS, &mut head)?;
        Ok(complete.then_some(head))
    }

    #[track_caller]
    pub(super) fn parsed(input: &str) -> RequestHead {
        parse(input)
            .unwrap()
            .unwrap_or_else(|| panic!("{input:?} is not complete"))
    }

    #[track_caller]
    pub(super) fn check(input: &str, expected: RequestError) {
        match parse(input) {
            Err(error) => assert_eq!(error, expected, "{input:?}"),
            Ok(_) => panic!("{input:?} was not refused"),
        }
    }

    /// With a good request line and `Host`.
    #[track_caller]
    pub(super) fn check_fields(fields: &str, expected: impl Into<RequestError>) {
        check(
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"),
            expected.into(),
        );
    }

    #[test]
    fn a_kept_connection_is_the_default_from_1_1_on() {
        for (version, connection, expected) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x , CLOSE\r\n", false),
            (
                "1.1",
                "Connection: keep-alive\r\nConnection: close\r\n",
                false,
            ),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = parsed(&format!(
                "GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n"
            ));
            assert_eq!(head.keep_alive(), expected, "{version} {connection}");
        }
    }

    #[test]
    fn an_upgrade_is_one_protocol_asked_for_by_a_get_without_body() {
        let upgrade = |start: &str, fields: &str| {
            let head = parsed(&format!("{start}\r\nHost: a\r\n{fields}\r\n\r\n"));
            head.upgrade().map(<[u8]>::to_vec)
        };
        let get = "GET / HTTP/1.1";
        let asked = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket";
        assert_eq!(upgrade(get, asked).as_deref(), Some(&b"websocket"[..]));
        assert_eq!(
            upgrade(get, "Connection: upgrade\r\nUpgrade: a/1").as_deref(),
            Some(&b"a/1"[..])
        );
        assert_eq!(upgrade("POST / HTTP/1.1", asked), None);
        assert_eq!(upgrade("GET / HTTP/1.0", asked), None);
        assert_eq!(upgrade(get, "Upgrade: websocket"), None);
        assert_eq!(upgrade(get, "Connection: upgrade"), None);
        assert_eq!(
            upgrade(get, "Connection: upgrade\r\nUpgrade: websocket, h2c"),
            None
        );
        assert_eq!(
            upgrade(get, "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: h2c"),
            None
        );
        assert_eq!(upgrade(get, &format!("{asked}\r\nContent-Length: 1")), None);
    }

    #[test]
    fn only_who_has_a_body_to_send_waits_for_continue() {
        let expects = |start: &str, rest: &str| {
            parsed(&format!(
                "{start}\r\nHost: a\r\nExpect: 100-Continue\r\n{rest}\r\n"
            ))
            .expect_continue()
        };
        assert!(expects("PUT / HTTP/1.1", "Content-Length: 1\r\n"));
        assert!(expects("PUT / HTTP/1.1", "Transfer-Encoding: chunked\r\n"));
        assert!(!expects("PUT / HTTP/1.1", "Content-Length: 0\r\n"));
        assert!(!expects("PUT / HTTP/1.1", ""));
        assert!(!expects("PUT / HTTP/1.0", "Content-Length: 1\r\n"));
    }

    #[test]
    fn the_host_is_one_and_agrees_with_the_target() {
        check("GET / HTTP/1.1\r\n\r\n", RequestError::HostMissing);
        check("GET http://a/ HTTP/1.1\r\n\r\n", RequestError::HostMissing);
        check_fields("Host: a", RequestError::HostRepeated);
        check_fields("hOST: b", RequestError::HostRepeated);
        for host in ["", "a b", "a,b", "u@a", "a/b", "[::1", "a:b"] {
            check(
                &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
                RequestError::Host,
            );
        }
        check("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", RequestError::Host);
        check(
            "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
            RequestError::HostDiffers,
        );
        check(
            "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
            RequestError::HostDiffers,
        );
        check(
            "CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n",
            RequestError::HostDiffers,
        );
        let head = parsed("GET https://A:443/b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(head.authority(), Some(&b"A:443"[..]));
        assert_eq!(head.path_and_query(), b"/b");
        assert_eq!(parsed("GET / HTTP/1.0\r\n\r\n").authority(), None);
    }

    #[test]
    fn statuses_tell_what_was_wrong() {
        assert_eq!(RequestError::TargetTooLong.status(), 414);
        assert_eq!(RequestError::Head(HeadError::TooLarge).status(), 431);
        assert_eq!(
            RequestError::Framing(FramingError::CodingUnknown).status(),
            501
        );
        assert_eq!(
            RequestError::Framing(FramingError::LengthAndCoding).status(),
            400
        );
        assert_eq!(RequestError::Version.status(), 505);
    }

    #[test]
    fn a_head_can_be_built_from_parts() {
        let mut head = parsed("GET /old HTTP/1.0\r\nX: y\r\n\r\n");
        head.set_from_parts(b"POST", b"/new?a").unwrap();
        head.fields.push(b"host", b"a");
        head.set_framing(Framing::Chunked);
        assert_eq!(
            (head.method(), head.path_and_query()),
            (&b"POST"[..], &b"/new?a"[..])
        );
        assert_eq!((head.authority(), head.fields.len()), (Some(&b"a"[..]), 1));
        assert_eq!(
            (head.version(), head.framing()),
            (Version::Http11, Framing::Chunked)
        );
        assert_eq!(
            head.set_from_parts(b"GET", b"/a b"),
            Err(RequestError::TargetByte)
        );
        assert_eq!(
            head.set_from_parts(b"G T", b"/"),
            Err(RequestError::RequestLine)
        );
    }
}
