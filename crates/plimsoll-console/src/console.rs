//! For people and the command line: the page, the status, changes.
//!
//! Reading is free on loopback; off loopback everything needs a token, and there is no `/metrics` (the
//! ops address has it). Changing always needs a token, of somebody who may.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tracing::warn;

use crate::api::{self, Who};
use crate::control::Control;
use crate::problem::Problem;
use crate::{guard, ops, page, server};

/// No style or script but our own files, no frame around us, no form to elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// No call has a larger body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Who may use the console.
#[derive(Clone, Debug)]
pub struct ConsoleOptions {
    /// Names that the console answers to, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

#[derive(Clone)]
struct Guard {
    control: Arc<dyn Control>,
    options: Arc<ConsoleOptions>,
    reads_need_token: bool,
}

/// Serves the console until it is dropped.
///
/// # Errors
/// The listener cannot be used by this runtime.
pub async fn serve_console(
    listener: std::net::TcpListener,
    control: Arc<dyn Control>,
    options: ConsoleOptions,
) -> io::Result<()> {
    let loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
    if !loopback {
        warn!("the console listens off loopback without TLS: everything on it needs a token");
    }
    let guard = Guard {
        control: Arc::clone(&control),
        options: Arc::new(options),
        reads_need_token: !loopback,
    };
    let mut router = Router::new()
        .route("/", get(index))
        .route("/tokens.css", get(|| style(plimsoll_plot::TOKENS)))
        .route("/console.css", get(|| style(plimsoll_plot::COMPONENTS)))
        .route(
            "/page.css",
            get(|| style(include_str!("../assets/page.css"))),
        )
        .merge(api::router(&control));
    if loopback {
        router = router.route("/metrics", get(ops::metrics));
    }
    let router = router
        .fallback(|| async { Problem::not_found("there is nothing here") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this does not have that method",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(guard, check))
        .with_state(control);
    server::serve(listener, router).await
}

/// Runs before everything: nothing is answered that was not checked, and every answer has the headers.
async fn check(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let mut response = match guard.check(&request) {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

impl Guard {
    fn check(&self, request: &Request) -> Result<Who, Problem> {
        let headers = request.headers();
        guard::check_host(headers, &self.options.hosts)?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads {
            guard::check_origin(headers)?;
        }
        let who = guard::bearer(headers).and_then(|secret| self.control.caller(secret));
        match who {
            Err(problem) if !reads || self.reads_need_token => Err(problem),
            who => Ok(who),
        }
    }
}

async fn index(State(control): State<Arc<dyn Control>>) -> Html<String> {
    Html(page::render(&control.snapshot()))
}

async fn style(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], text).into_response()
}
