//! For people and the command line: the page, the status, changes.
//!
//! Reading is free on loopback; off loopback everything needs the token, and there is no `/metrics` (the
//! ops address has it). Changing always needs the token.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tracing::warn;

use crate::control::Control;
use crate::guard::{self, Token};
use crate::problem::Problem;
use crate::{ops, page, server};

/// No style or script but our own files, no frame around us, no form to elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// How long a reload may take: it opens listeners and reads certificates.
const RELOAD_TIME_MAX: Duration = Duration::from_secs(60);
/// No call so far has a body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Who may use the console.
#[derive(Clone, Debug)]
pub struct ConsoleOptions {
    /// What changes need.
    pub token: Token,
    /// Names that the console answers to, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

#[derive(Clone)]
struct Guard {
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
        warn!("the console listens off loopback without TLS: everything on it needs the token");
    }
    let guard = Guard {
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
        .route("/api/status", get(status))
        .route("/api/v1/requests/{id}", get(request))
        .route("/api/reload", post(reload));
    if loopback {
        router = router.route("/metrics", get(ops::metrics));
    }
    let router = router
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing here") })
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
async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
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
    fn check(&self, request: &Request) -> Result<(), Problem> {
        guard::check_host(request.headers(), &self.options.hosts)?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads {
            guard::check_origin(request.headers())?;
        }
        if !reads || self.reads_need_token {
            self.options.token.check(request.headers())?;
        }
        Ok(())
    }
}

async fn index(State(control): State<Arc<dyn Control>>) -> Html<String> {
    Html(page::render(&control.snapshot()))
}

async fn style(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], text).into_response()
}

async fn status(State(control): State<Arc<dyn Control>>) -> Response {
    Json(control.snapshot().as_ref()).into_response()
}

async fn request(State(control): State<Arc<dyn Control>>, Path(id): Path<String>) -> Response {
    // It is searched for: the control thread has better things to do.
    let found = tokio::task::spawn_blocking(move || control.request(&id)).await;
    match found {
        Ok(Some(line)) => ([(header::CONTENT_TYPE, "application/json")], line).into_response(),
        _ => {
            let detail = "this request is not known: of those that went well only a sample is recorded, and the oldest are forgotten first";
            Problem::new(StatusCode::NOT_FOUND, detail).into_response()
        }
    }
}

async fn reload(State(control): State<Arc<dyn Control>>) -> Response {
    match tokio::time::timeout(RELOAD_TIME_MAX, control.reload()).await {
        Ok(Ok(message)) => Json(serde_json::json!({ "message": message })).into_response(),
        Ok(Err(reason)) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason).into_response(),
        Err(_) => {
            let detail = "the reload goes on, but it takes long: see the log for how it ends";
            Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
        }
    }
}
