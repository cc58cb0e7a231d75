//! For machines: `/metrics`, `/livez`, `/readyz`. Read-only, and without tenant or client data, so that it
//! may listen where Prometheus and a kubelet reach it. There is nothing here to guard.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use plimsoll_measure::Format;

use crate::control::Control;
use crate::server;

/// Serves the operations endpoints until it is dropped.
///
/// # Errors
/// The listener cannot be used by this runtime.
pub async fn serve_ops(
    listener: std::net::TcpListener,
    control: Arc<dyn Control>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(control);
    server::serve(listener, router).await
}

pub(crate) async fn metrics(
    State(control): State<Arc<dyn Control>>,
    headers: HeaderMap,
) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let format = Format::from_accept(accept);
    (
        [(header::CONTENT_TYPE, format.content_type())],
        control.metrics(format),
    )
        .into_response()
}

/// An answer is the proof: the control thread takes its turns.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

pub(crate) async fn readyz(State(control): State<Arc<dyn Control>>) -> (StatusCode, String) {
    match control.ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
