//! OFREP over HTTP: one flag, all flags, and who is told of changes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use plimsoll_core::Timestamp;
use tokio::sync::Semaphore;

use crate::answer::{EVENTS_PATH, Failure, bulk, context, event, is_known, single};
use crate::guard::Guard;
use crate::store::FlagStore;

/// A request's body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a request may take, its body included; an event stream is an answer that goes on.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// How many are told of changes at once.
pub(crate) const STREAMS_MAX: usize = 256;
/// How often a stream says that it is there.
const ALIVE: Duration = Duration::from_secs(25);
/// When who was turned away may come again.
const RETRY_AFTER: &str = "30";

type Seen = Result<Bytes, BytesRejection>;

/// What tells the time.
pub(crate) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Clone)]
struct Shared {
    store: Arc<FlagStore>,
    guard: Arc<Guard>,
    now: Now,
    streams: Arc<Semaphore>,
}

pub(crate) fn router(store: Arc<FlagStore>, guard: Guard, now: Now) -> Router {
    let shared = Shared {
        store,
        guard: Arc::new(guard),
        now,
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
    };
    Router::new()
        .route("/ofrep/v1/evaluate/flags", post(all))
        .route("/ofrep/v1/evaluate/flags/{*key}", post(one))
        .route(EVENTS_PATH, get(events))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

/// Before each: whether it may ask; after each: what a browser is told.
async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let mut response = if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else if shared.guard.admits(&headers) {
        match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
            Ok(response) => response,
            Err(_) => failed(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
        }
    } else {
        let mut refused = failed(
            StatusCode::UNAUTHORIZED,
            "a token is needed: `Authorization: Bearer`, or `X-API-Key`",
        );
        let bearer = HeaderValue::from_static("Bearer");
        refused
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, bearer);
        refused
    };
    let answer = response.headers_mut();
    shared.guard.tell_browser(&method, &headers, answer);
    // What one may see is not for another, and what it is now not for later: the tag says whether it still is.
    let no_cache = HeaderValue::from_static("no-cache, private");
    answer.entry(header::CACHE_CONTROL).or_insert(no_cache);
    response
}

fn failed(status: StatusCode, details: &str) -> Response {
    let body = serde_json::json!({ "errorDetails": details }).to_string();
    json(status, body.into_bytes())
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// `key`: of the flag that was asked for.
fn refused(failure: &Failure, key: Option<&str>) -> Response {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_REQUEST);
    json(status, failure.to_json(key))
}

fn taken(body: Seen) -> Result<Bytes, Failure> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure {
            status: 413,
            code: "INVALID_CONTEXT",
            details: "the body has over 64 KiB".to_owned(),
        },
        _ => Failure {
            status: 400,
            code: "PARSE_ERROR",
            details: "the body was not sent whole".to_owned(),
        },
    })
}

async fn one(State(shared): State<Shared>, Path(key): Path<String>, body: Seen) -> Response {
    let answered = taken(body)
        .and_then(|body| context(&body))
        .and_then(|context| {
            let served = shared.store.served();
            single(&shared.store, &served, &key, &context, (shared.now)())
        });
    match answered {
        Ok(body) => json(StatusCode::OK, body),
        Err(failure) => refused(&failure, Some(&key)),
    }
}

async fn all(State(shared): State<Shared>, headers: HeaderMap, body: Seen) -> Response {
    let context = match taken(body).and_then(|body| context(&body)) {
        Ok(context) => context,
        Err(failure) => return refused(&failure, None),
    };
    let served = shared.store.served();
    let (body, tag) = bulk(&shared.store, &served, &context, (shared.now)());
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|value| value.to_str().ok());
    let mut response = match known.is_some_and(|known| is_known(known, &tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => json(StatusCode::OK, body),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// One that does not take what it is told is cut by its connection; changes that come meanwhile are told once.
async fn events(State(shared): State<Shared>) -> Response {
    let Ok(place) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let mut full = failed(
            StatusCode::TOO_MANY_REQUESTS,
            "too many listen for changes: ask now and then instead",
        );
        let after = HeaderValue::from_static(RETRY_AFTER);
        full.headers_mut().insert(header::RETRY_AFTER, after);
        return full;
    };
    let store = Arc::clone(&shared.store);
    let begun = (store.subscribe(), store, place, true);
    let told = stream::unfold(begun, |(mut changes, store, place, first)| async move {
        let text = if first {
            // So that whoever waits for the head of the answer has it.
            ": flags\n\n".to_owned()
        } else {
            match tokio::time::timeout(ALIVE, changes.changed()).await {
                Ok(Ok(())) => event(&store.served()),
                Ok(Err(_)) => return None,
                Err(_) => ": alive\n\n".to_owned(),
            }
        };
        let piece = Ok::<_, Infallible>(Bytes::from(text));
        Some((piece, (changes, store, place, false)))
    });
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (fields, Body::from_stream(told)).into_response()
}
