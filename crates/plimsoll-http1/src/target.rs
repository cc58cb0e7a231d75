//! The request target: its form, and the parts of it that the proxy acts on (RFC 9112 section 3.2).

use std::ops::Range;

use crate::authority::Authority;
use crate::request::RequestError;

/// What kind of target a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `*`: the server as a whole. Also `OPTIONS http://host`, which means the same (RFC 9112 section
    /// 3.2.4); the host is then in [`RequestHead::authority`](crate::RequestHead::authority).
    Asterisk,
    /// `host:port`, of `CONNECT`
    Authority,
}

/// A target and its parts. Reusable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// As sent; for `http://host?query`, which has no path, followed by `/?query`.
    bytes: Vec<u8>,
    sent: usize,
    form: TargetForm,
    authority: Range<usize>,
    path: Range<usize>,
    port_default: u16,
}

impl Target {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.form = TargetForm::Origin;
        self.authority = 0..0;
        self.path = 0..0;
        self.port_default = 80;
    }

    pub(crate) fn set(&mut self, method: &[u8], sent: &[u8]) -> Result<(), RequestError> {
        self.clear();
        if !sent
            .iter()
            .all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#')
        {
            return Err(RequestError::TargetByte);
        }
        self.bytes.extend_from_slice(sent);
        self.sent = sent.len();
        if method == b"CONNECT" {
            self.form = TargetForm::Authority;
            self.authority = 0..sent.len();
            return match Authority::parse(sent) {
                Some(Authority { port: Some(_), .. }) => Ok(()),
                _ => Err(RequestError::Target),
            };
        }
        match sent {
            [b'/', ..] => {
                self.path = 0..sent.len();
                Ok(())
            }
            b"*" if method == b"OPTIONS" => {
                self.form = TargetForm::Asterisk;
                self.path = 0..1;
                Ok(())
            }
            _ => self.set_absolute(method, sent),
        }
    }

    fn set_absolute(&mut self, method: &[u8], sent: &[u8]) -> Result<(), RequestError> {
        let (scheme_len, port_default) = if starts_with(sent, b"http://") {
            (7, 80)
        } else if starts_with(sent, b"https://") {
            (8, 443)
        } else {
            return Err(RequestError::Target);
        };
        let after = sent.get(scheme_len..).unwrap_or_default();
        let authority_len = after
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?'))
            .unwrap_or(after.len());
        let (authority, rest) = after
            .split_at_checked(authority_len)
            .unwrap_or((after, &[]));
        if Authority::parse(authority).is_none() {
            return Err(RequestError::Target);
        }
        let path_start = scheme_len + authority_len;
        self.form = TargetForm::Absolute;
        self.port_default = port_default;
        self.authority = scheme_len..path_start;
        match rest {
            [b'/', ..] => self.path = path_start..sent.len(),
            [] if method == b"OPTIONS" => {
                self.form = TargetForm::Asterisk;
                self.bytes.push(b'*');
                self.path = sent.len()..self.bytes.len();
            }
            _ => {
                self.bytes.push(b'/');
                self.bytes.extend_from_slice(rest);
                self.path = sent.len()..self.bytes.len();
            }
        }
        Ok(())
    }

    pub(crate) fn sent(&self) -> &[u8] {
        self.bytes.get(..self.sent).unwrap_or_default()
    }

    pub(crate) fn form(&self) -> TargetForm {
        self.form
    }

    pub(crate) fn path_and_query(&self) -> &[u8] {
        self.bytes.get(self.path.clone()).unwrap_or_default()
    }

    pub(crate) fn authority(&self) -> Option<&[u8]> {
        self.bytes
            .get(self.authority.clone())
            .filter(|authority| !authority.is_empty())
    }

    /// The port that the scheme implies.
    pub(crate) fn port_default(&self) -> u16 {
        self.port_default
    }
}

fn starts_with(bytes: &[u8], scheme: &[u8]) -> bool {
    bytes
        .get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `method target -> form path authority`
    #[track_caller]
    fn check(method: &str, sent: &str, form: TargetForm, path: &str, authority: Option<&str>) {
        let mut target = Target::default();
        target.set(method.as_bytes(), sent.as_bytes()).unwrap();
        assert_eq!(target.sent(), sent.as_bytes());
        assert_eq!(target.form(), form, "{sent}");
        assert_eq!(target.path_and_query(), path.as_bytes(), "{sent}");
        assert_eq!(target.authority(), authority.map(str::as_bytes), "{sent}");
    }

    #[track_caller]
    fn check_refused(method: &str, sent: &str, expected: RequestError) {
        let refused = Target::default().set(method.as_bytes(), sent.as_bytes());
        assert_eq!(refused, Err(expected), "{method} {sent:?}");
    }

    #[test]
    fn the_four_forms_are_told_apart() {
        use TargetForm::{Absolute, Asterisk, Authority, Origin};
        check("GET", "/", Origin, "/", None);
        check("GET", "/a/b?c=http://d", Origin, "/a/b?c=http://d", None);
        check("GET", "http://a", Absolute, "/", Some("a"));
        check("GET", "http://a/", Absolute, "/", Some("a"));
        check(
            "GET",
            "HTTPS://a:8443/b?c",
            Absolute,
            "/b?c",
            Some("a:8443"),
        );
        check("GET", "http://a?b/c", Absolute, "/?b/c", Some("a"));
        check("OPTIONS", "*", Asterisk, "*", None);
        check("OPTIONS", "http://a", Asterisk, "*", Some("a"));
        check("OPTIONS", "http://a/", Absolute, "/", Some("a"));
        check("OPTIONS", "http://a?b", Absolute, "/?b", Some("a"));
        check("CONNECT", "a:443", Authority, "", Some("a:443"));
    }

    #[test]
    fn targets_of_no_form_are_refused() {
        for (method, sent) in [
            ("GET", ""),
            ("GET", "*"),
            ("OPTIONS", "**"),
            ("GET", "a"),
            ("GET", "a/b"),
            ("GET", "a:80"),
            ("GET", "?a"),
            ("GET", "http:/a"),
            ("GET", "http://"),
            ("GET", "http:///a"),
            ("GET", "http://user@a/"),
            ("GET", "http://a,b/"),
            ("GET", "ftp://a/"),
            ("GET", "ws://a/"),
            ("CONNECT", "a"),
            ("CONNECT", "/"),
            ("CONNECT", "http://a:80"),
        ] {
            check_refused(method, sent, RequestError::Target);
        }
    }

    #[test]
    fn bytes_that_no_uri_has_are_refused() {
        for sent in [
            "/a b",
            "/a\tb",
            "/a#b",
            "/a\0",
            "/a\u{7f}",
            "/\u{e4}",
            "http://a/#b",
        ] {
            check_refused("GET", sent, RequestError::TargetByte);
        }
    }
}
