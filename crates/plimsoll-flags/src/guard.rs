//! Who may ask: tokens, and the origins of pages in browsers.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::http::{HeaderMap, HeaderValue, Method, header};

/// Tokens and origins.
pub(crate) struct Guard {
    /// As digests: all of one length, so that comparing tells nothing.
    tokens: Vec<Digest>,
    origins: Vec<String>,
}

impl Guard {
    pub(crate) fn new(tokens: &[String], origins: Vec<String>) -> Self {
        let digests = tokens.iter().map(|it| digest(&SHA256, it.as_bytes()));
        Self {
            tokens: digests.collect(),
            origins,
        }
    }

    /// Whether it comes with a token, where one is needed.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        if self.tokens.is_empty() {
            return true;
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
            is_bearer.then(|| token.trim_ascii())
        });
        let key = headers.get("x-api-key").map(HeaderValue::as_bytes);
        let Some(token) = bearer.or(key) else {
            return false;
        };
        let given = digest(&SHA256, token);
        // All are compared, whichever it is.
        self.tokens.iter().fold(false, |admitted, token| {
            verify_slices_are_equal(token.as_ref(), given.as_ref()).is_ok() | admitted
        })
    }

    /// The origin that a page of a browser may use the answer under.
    fn origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let allowed = |known: &String| known == "*" || origin == known.as_str();
        self.origins.iter().any(allowed).then_some(origin)
    }

    /// What a browser is told: in `answer`, the fields of an answer to a request with `headers`.
    pub(crate) fn tell_browser(
        &self,
        method: &Method,
        headers: &HeaderMap,
        answer: &mut HeaderMap,
    ) {
        if self.origins.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.origin(headers) else {
            return;
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let field = HeaderValue::from_static;
        answer.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            field("ETag, Retry-After"),
        );
        if method == Method::OPTIONS {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, field("GET, POST"));
            let headers = "Authorization, Cache-Control, Content-Type, If-None-Match, Last-Event-ID, X-API-Key";
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, field(headers));
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, field("600"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_a_key() {
        let guard = Guard::new(&["one".to_owned(), "two".to_owned()], Vec::new());
        assert!(guard.admits(&headers("authorization", "Bearer two")));
        assert!(guard.admits(&headers("authorization", "bearer  one")));
        assert!(guard.admits(&headers("x-api-key", "one")));
        assert!(!guard.admits(&headers("x-api-key", "on")));
        assert!(!guard.admits(&headers("authorization", "Basic one")));
        assert!(!guard.admits(&headers("authorization", "Bearer ")));
        assert!(!guard.admits(&HeaderMap::new()));
        assert!(Guard::new(&[], Vec::new()).admits(&HeaderMap::new()));
    }

    #[track_caller]
    fn told(origins: &[&str], origin: &'static str) -> Option<String> {
        let origins = origins.iter().map(|it| (*it).to_owned()).collect();
        let mut answer = HeaderMap::new();
        Guard::new(&[], origins).tell_browser(
            &Method::POST,
            &headers("origin", origin),
            &mut answer,
        );
        let told = answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(told.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_pages_of_configured_origins_may_read_answers() {
        let shop = "https://shop.example";
        assert_eq!(told(&[shop], shop).as_deref(), Some(shop));
        assert_eq!(told(&["*"], shop).as_deref(), Some(shop));
        assert_eq!(told(&[shop], "https://evil.example"), None);
        assert_eq!(told(&[], shop), None);
    }
}
