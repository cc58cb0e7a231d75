//! For people and the command line: the page, the status, changes.
//!
//! Reading is free on loopback; off loopback everything needs a token but the page to sign in with one, and there is no
//! `/metrics` (the ops address has it). Changing always needs a token, of somebody who may: in the head of a request of the
//! API, or for forms of pages in the session of the browser.

use std::io;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use plimsoll_measure::Snapshot;
use tracing::warn;

use crate::access::Caller;
use crate::api;
use crate::control::Control;
use crate::events::{self, Viewers};
use crate::page::{self, Address, Kept, Page};
use crate::problem::Problem;
use crate::session::Sessions;
use crate::turns::Turns;
use crate::visitor::Visitor;
use crate::{act, assets, guard, ops, server};

/// No style or script but our own files, no frame around us, no form or connection to elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// No call has a larger body.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Who may use the console.
#[derive(Clone, Debug)]
pub struct ConsoleOptions {
    /// Names that the console answers to, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What pages are drawn in, and what is read for them.
    pub turns: Turns,
}

#[derive(Clone)]
struct Guard {
    control: Arc<dyn Control>,
    sessions: Arc<Sessions>,
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
    let address = listener.local_addr()?;
    let loopback = address.ip().to_canonical().is_loopback();
    if !loopback {
        warn!("the console listens off loopback without TLS: everything on it needs a token");
    }
    let turns = options.turns.clone();
    let guard = Guard {
        control: Arc::clone(&control),
        sessions: Arc::new(Sessions::new(address.port())),
        options: Arc::new(options),
        reads_need_token: !loopback,
    };
    let mut router = Router::new()
        .route("/assets/{name}", get(assets::asset))
        .route("/favicon.ico", get(assets::favicon))
        .route("/events", get(events::events))
        .layer(Extension(Viewers::new()))
        .merge(pages())
        .merge(act::routes())
        .merge(api::router(&control))
        .layer(Extension(turns));
    if loopback {
        router = router.route("/metrics", get(ops::metrics));
    }
    let router = router
        .fallback(nothing)
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
        Ok(visitor) => {
            request.extensions_mut().insert(visitor.who.clone());
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(problem) if wants_page(&request) => refused(&problem, &request),
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without any referrer a browser sends `Origin: null` with our own forms (Fetch, "append a request `Origin` header").
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Files with a digest in their names say for themselves.
    if !headers.contains_key(header::CACHE_CONTROL) {
        let no_store = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

impl Guard {
    fn check(&self, request: &Request) -> Result<Visitor, Problem> {
        let headers = request.headers();
        guard::check_host(headers, &self.options.hosts)?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads {
            guard::check_origin(headers)?;
        }
        let path = request.uri().path();
        let visitor = Visitor::of(
            headers,
            (&self.control, &self.sessions),
            (reads, !path.starts_with("/api/")),
            self.reads_need_token,
        );
        match &visitor.who {
            Err(problem) if (!reads || self.reads_need_token) && !is_open(path) => {
                Err(problem.clone())
            }
            _ => Ok(visitor),
        }
    }
}

/// What is for everybody: to sign in, what that page is made of, and to be led to another page. It shows and changes nothing.
fn is_open(path: &str) -> bool {
    matches!(path, "/sign-in" | "/run" | "/favicon.ico") || path.starts_with("/assets/")
}

/// A page for whoever may not see the one that was asked for. Nothing of the process is on it.
fn refused(problem: &Problem, request: &Request) -> Response {
    if !problem.is_unauthorized() {
        return written(&page::refusal(problem), None, None, "/");
    }
    let next = request.uri().path_and_query();
    let next = next.map_or("/", |next| next.as_str());
    written(&page::sign_in::form(next, Some(problem)), None, None, "/")
}

/// The pages, each at its path.
fn pages() -> Router<Arc<dyn Control>> {
    let pages = page::PATHS.into_iter();
    pages.fold(Router::new(), |router, path| router.route(path, get(shown)))
}

/// Shows the page that the address names.
async fn shown(
    State(control): State<Arc<dyn Control>>,
    Extension(visitor): Extension<Visitor>,
    Extension(turns): Extension<Turns>,
    uri: Uri,
) -> Response {
    let watch = uri.path_and_query().map_or("/", |it| it.as_str());
    let who = visitor.who.as_ref().ok();
    let looked = match Address::parse(watch) {
        Some(address) => page::look(&control, &turns, &address, who, &mut Kept::default()).await,
        None => Err(Problem::bad_request("that is the address of no page")),
    };
    match looked {
        Ok((page, snapshot)) => written(&page, Some(&snapshot), who, watch),
        Err(problem) => framed(&visitor, &page::refusal(&problem), watch),
    }
}

/// Whoever reads pages is told on a page; everybody else as from the API.
async fn nothing(Extension(visitor): Extension<Visitor>, request: Request) -> Response {
    let problem = Problem::not_found("there is nothing here");
    match wants_page(&request) {
        true => framed(&visitor, &page::refusal(&problem), "/"),
        false => problem.into_response(),
    }
}

/// A page in its frame, with as much of the process around it as whoever asks may see. `watch`: where to go once signed in.
pub(crate) fn framed(visitor: &Visitor, page: &Page, watch: &str) -> Response {
    let who = visitor.who.as_ref().ok();
    let may_see = who.is_some() || !visitor.reads_need_token;
    let snapshot = may_see.then(|| visitor.snapshot());
    written(page, snapshot.as_deref(), who, watch)
}

fn written(
    page: &Page,
    snapshot: Option<&Snapshot>,
    who: Option<&Caller>,
    watch: &str,
) -> Response {
    let html = page::frame::framed(page, snapshot, who, watch);
    let mut response = (page.status, Html(html)).into_response();
    if page.status == StatusCode::UNAUTHORIZED {
        // No scheme that a browser would ask for a password by: the page itself asks.
        let challenge = HeaderValue::from_static("Bearer realm=\"plimsoll\"");
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A browser that goes to an address, as against a program or a script.
fn wants_page(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    !request.uri().path().starts_with("/api/")
        && accept.is_some_and(|accept| accept.contains("text/html"))
}
