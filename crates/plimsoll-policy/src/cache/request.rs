//! What a cache has to know of a request.

use super::CacheParameters;
use super::directives::RequestDirectives;
use super::fields::{HeadFields, has};

/// What a method is to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodClass {
    /// `GET`: its answers are stored.
    Get,
    /// `HEAD`: answered from what `GET` stored.
    Head,
    /// Changes nothing, and is not for a cache: `OPTIONS`, `TRACE`, `QUERY`, `PROPFIND`, `REPORT`, `SEARCH`.
    Safe,
    /// May change what is stored: all others, unknown ones included (RFC 9111 section 4).
    Unsafe,
}

impl MethodClass {
    /// By the method's name, which is case-sensitive.
    pub fn of(method: &[u8]) -> Self {
        match method {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"OPTIONS" | b"TRACE" | b"QUERY" | b"PROPFIND" | b"REPORT" | b"SEARCH" => Self::Safe,
            _ => Self::Unsafe,
        }
    }
}

/// A request, as far as it concerns a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheRequest {
    /// Its method.
    pub method: MethodClass,
    /// Its `Cache-Control`, or `Pragma`.
    pub directives: RequestDirectives,
    /// It has `Authorization`.
    pub authorization: bool,
    /// It has `Cookie`.
    pub cookie: bool,
    /// It has a body. One of `GET` is not in the key, and some origins look at it.
    pub body: bool,
    /// It has a `Range`.
    pub range: bool,
    /// It has `If-Match` or `If-Unmodified-Since`, which only an origin can judge (RFC 9111 section 4.3.2).
    pub precondition: bool,
    /// It has `Upgrade`: what comes may be no answer but a connection.
    pub upgrade: bool,
}

impl CacheRequest {
    /// Reads a head; `body`: whether a body comes with it.
    pub fn read(method: &[u8], head: &impl HeadFields, body: bool) -> Self {
        Self {
            method: MethodClass::of(method),
            directives: RequestDirectives::read(head),
            authorization: has(head, "authorization"),
            cookie: has(head, "cookie"),
            body,
            range: has(head, "range"),
            precondition: has(head, "if-match") || has(head, "if-unmodified-since"),
            upgrade: has(head, "upgrade"),
        }
    }

    /// Whether it says who asks. What such requests fetch together must stand apart from what others do: the origin may
    /// have something of its own for each of them.
    pub const fn has_credentials(&self, parameters: &CacheParameters) -> bool {
        self.authorization || (self.cookie && parameters.cookies_are_credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_methods_and_other_cases_may_change_something() {
        assert_eq!(MethodClass::of(b"GET"), MethodClass::Get);
        for method in ["get", "POST", "PATCH", "FROB", ""] {
            assert_eq!(
                MethodClass::of(method.as_bytes()),
                MethodClass::Unsafe,
                "{method}"
            );
        }
    }

    #[test]
    fn cookies_are_credentials_unless_configured_otherwise() {
        let request = CacheRequest::read(b"GET", &[("cookie", "a=b")], false);
        let mut parameters = CacheParameters::default();
        assert!(request.has_credentials(&parameters));
        parameters.cookies_are_credentials = false;
        assert!(!request.has_credentials(&parameters));
        let request = CacheRequest::read(b"GET", &[("Authorization", "x")], false);
        assert!(request.has_credentials(&parameters));
    }
}
