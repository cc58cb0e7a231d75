//! `/sign-in` and `/sign-out`: a token that is typed once becomes a session of that browser.
//!
//! A token that is not valid is answered late, and always the same. So few are answered at once that guessing gets nowhere,
//! and the rest of the console has connections left; one that is valid never waits.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::act::{Sealed, read, see};
use crate::console::framed;
use crate::control::Control;
use crate::page;
use crate::problem::Problem;
use crate::session::digest_of;
use crate::visitor::Visitor;

/// How late the answer to a wrong token is.
const WRONG_PAUSE: Duration = Duration::from_millis(500);
/// How many wait for one at once: an eighth of the connections that there are.
const WRONG_MAX: usize = 16;

pub(crate) fn routes() -> Router<Arc<dyn Control>> {
    Router::new()
        .route("/sign-in", get(form).post(sign_in))
        .route("/sign-out", post(sign_out))
        .layer(Extension(Wrong(Arc::new(Semaphore::new(WRONG_MAX)))))
}

#[derive(Clone)]
struct Wrong(Arc<Semaphore>);

#[derive(Debug, Deserialize)]
struct Next {
    next: Option<String>,
}

async fn form(
    Extension(visitor): Extension<Visitor>,
    query: Result<Query<Next>, QueryRejection>,
) -> Response {
    if let Ok((caller, key)) = visitor.session() {
        return framed(&visitor, &page::sign_in::signed_in(caller, key), "/");
    }
    let next = query.ok().and_then(|Query(query)| query.next);
    framed(&visitor, &page::sign_in::form(&ours(next), None), "/")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    token: String,
    next: Option<String>,
}

async fn sign_in(
    State(control): State<Arc<dyn Control>>,
    Extension(visitor): Extension<Visitor>,
    Extension(wrong): Extension<Wrong>,
    headers: HeaderMap,
    typed: Result<Form<Typed>, FormRejection>,
) -> Response {
    let typed = match read(typed) {
        Ok(typed) => typed,
        Err(problem) => return framed(&visitor, &page::refusal(&problem), "/"),
    };
    let (token, next) = (typed.token.trim().as_bytes(), ours(typed.next));
    let begun = control.caller(token).and_then(|caller| {
        let sessions = visitor.sessions();
        let cookie = sessions.begin(digest_of(token), Instant::now());
        let cookie = cookie.ok_or_else(|| Problem::unavailable("there are no random bytes"))?;
        let is_tls = headers
            .get(header::ORIGIN)
            .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
        Ok((caller, sessions.keep(&cookie, is_tls)))
    });
    match begun {
        Ok((caller, cookie)) => {
            // The browser knows one at a time.
            if let Ok((_, key)) = visitor.session() {
                visitor.sessions().end(key);
            }
            info!(name = caller.name, role = %caller.role, "signed in to the console");
            with_cookie(see(&next), &cookie)
        }
        Err(problem) => {
            let problem = late(&wrong, problem).await;
            framed(&visitor, &page::sign_in::form(&next, Some(&problem)), "/")
        }
    }
}

/// A refusal, after a while; another one where too many wait for theirs.
async fn late(wrong: &Wrong, problem: Problem) -> Problem {
    let Ok(_place) = wrong.0.try_acquire() else {
        return Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many tokens that are not valid: try again in a second",
        );
    };
    debug!("a token that is not valid was typed");
    tokio::time::sleep(WRONG_PAUSE).await;
    problem
}

async fn sign_out(
    Extension(visitor): Extension<Visitor>,
    sent: Result<Form<Sealed>, FormRejection>,
) -> Response {
    let ended = read(sent).and_then(|sent| {
        visitor.sealed(&sent.seal)?;
        let (_, key) = visitor.session()?;
        visitor.sessions().end(key);
        Ok(())
    });
    match ended {
        Ok(()) => with_cookie(see("/sign-in"), &visitor.sessions().forget()),
        Err(problem) => framed(&visitor, &page::refusal(&problem), "/"),
    }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.into_response()
}

/// A path of ours, and nothing that a browser takes for another site.
fn ours(next: Option<String>) -> String {
    let is_ours = |next: &String| {
        next.starts_with('/')
            && !next.starts_with("//")
            && next
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(is_ours).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_to_pages_of_ours_only() {
        let check = |next: &str, expected: &str| {
            assert_eq!(ours(Some(next.to_owned())), expected, "{next}");
        };
        check("/services/a?range=10m", "/services/a?range=10m");
        for elsewhere in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x=y",
            "/ä",
        ] {
            check(elsewhere, "/");
        }
        assert_eq!(ours(None), "/");
    }
}
