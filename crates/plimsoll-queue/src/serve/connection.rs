//! Connections: how many, how patient with each, and whom a request is for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_upstream::Impatient;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::ServeOptions;
use super::api;
use super::sqs::Sqs;
use crate::engine::Engine;
use crate::sqs::{
    Dialect, REQUEST_BYTES_MAX, SqsRequest, Written, read, verify, write, write_error,
};

/// Connections at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// A request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// From the end of an answer, or the beginning of a connection, to the end of the next head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a peer may take nothing of what it is sent.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Before accepting again, if accepting fails (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Where the plain API is.
const API: &str = "/queues";

/// What is served.
struct Served {
    sqs: Arc<Sqs>,
    engine: Arc<Engine>,
    /// As digests: all of one length, so that comparing tells nothing.
    tokens: Vec<Digest>,
    keys: BTreeMap<String, String>,
    creates: bool,
    requests: AtomicU64,
}

/// Serves until it is dropped.
pub(super) async fn serve(engine: Arc<Engine>, options: ServeOptions) {
    let ServeOptions {
        listener,
        tokens,
        keys,
        url,
        region,
        creates,
    } = options;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "queues can't be served");
            return;
        }
    };
    let digests = tokens.iter().map(|it| digest(&SHA256, it.as_bytes()));
    let served = Arc::new(Served {
        sqs: Arc::new(Sqs::new(Arc::clone(&engine), url, region, creates)),
        engine,
        tokens: digests.collect(),
        keys,
        creates,
        requests: AtomicU64::new(1),
    });
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed, so this only waits.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    connection(stream, peer, served).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection for queues failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, served: Arc<Served>) {
    // If it can't be set, answers are only slower.
    let _slower = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let served = Arc::clone(&served);
        async move { Ok::<_, std::convert::Infallible>(served.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Impatient::new(stream, WRITE_TIME_MAX)), answer);
    if let Err(error) = served.await {
        tracing::debug!(%error, %peer, "a connection for queues ended early");
    }
}

impl Served {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let collected =
            tokio::time::timeout(BODY_TIME_MAX, to_bytes(Body::new(body), REQUEST_BYTES_MAX));
        let body = match collected.await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => {
                return api::problem(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    &format!("the body can't be read, or has more than {REQUEST_BYTES_MAX} bytes"),
                );
            }
            Err(_) => {
                return api::problem(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
            }
        };
        let path = head.uri.path();
        let is_plain = path
            .strip_prefix(API)
            .is_some_and(|it| it.is_empty() || it.starts_with('/'));
        if is_plain {
            if !self.admits(&head.headers) {
                let mut refused = api::problem(
                    StatusCode::UNAUTHORIZED,
                    "a token is needed: `Authorization: Bearer TOKEN`",
                );
                refused
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                return refused;
            }
            let rest = path.get(API.len()..).unwrap_or_default();
            let query = head.uri.query().unwrap_or_default();
            let asked = api::Asked {
                method: &head.method,
                path: rest,
                query,
                headers: &head.headers,
                body: &body,
                creates: self.creates,
            };
            return api::answer(&self.engine, &asked).await;
        }
        self.answer_sqs(head.method.as_str(), &head.uri, &head.headers, &body)
            .await
    }

    async fn answer_sqs(
        &self,
        method: &str,
        uri: &axum::http::Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response<Body> {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let request = SqsRequest {
            method,
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &headers,
            body,
        };
        let now = self.engine.wall().0 / 1_000;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016x}{number:016x}", self.engine.wall().0);
        let keys = &self.keys;
        if !keys.is_empty()
            && let Err(error) = verify(&request, |key| keys.get(key).cloned(), now)
        {
            return written(write_error(&error, Dialect::of(&request), &id));
        }
        let answer = match read(&request) {
            Err((error, dialect)) => write_error(&error, dialect, &id),
            Ok((call, dialect)) => match self.sqs.answer(call).await {
                Ok(reply) => write(&reply, dialect, &id),
                Err(error) => write_error(&error, dialect, &id),
            },
        };
        written(answer)
    }

    /// Whether it comes with a token, where one is needed.
    fn admits(&self, headers: &HeaderMap) -> bool {
        if self.tokens.is_empty() {
            return true;
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
            is_bearer.then(|| digest(&SHA256, token.trim_ascii()))
        });
        let Some(given) = given else {
            return false;
        };
        // All are compared, whichever it is.
        self.tokens.iter().fold(false, |admitted, token| {
            verify_slices_are_equal(token.as_ref(), given.as_ref()).is_ok() | admitted
        })
    }
}

fn written(written: Written) -> Response<Body> {
    let mut answer = Response::new(Body::from(written.body));
    *answer.status_mut() =
        StatusCode::from_u16(written.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(written.content_type),
    );
    for (name, value) in written.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    answer
}
