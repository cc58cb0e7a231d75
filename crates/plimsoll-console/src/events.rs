//! `/events`: whoever watches a page is sent those of its sections that are others now, as server-sent events.
//!
//! Bounds: so many watch at once. Nothing is kept for a viewer: a message is drawn when the one before it is on its way, so
//! that whoever reads slowly sees fewer of them, and whoever reads nothing loses the connection (`server`).
//! Source: WHATWG HTML, "Server-sent events".

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::control::Control;
use crate::page::{self, Address, Kept};
use crate::problem::Problem;
use crate::visitor::Visitor;

/// How many watch at once.
const VIEWERS_MAX: usize = 32;
/// Between two messages. Also where nothing has changed: that shows that all goes on.
const EVERY: Duration = Duration::from_secs(2);
/// How long an address is at most.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// Those who watch.
#[derive(Clone)]
pub(crate) struct Viewers(Arc<Semaphore>);

impl Viewers {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(VIEWERS_MAX)))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Watched {
    /// The address of the page, with its query.
    page: String,
}

/// One who watches.
struct Viewer {
    control: Arc<dyn Control>,
    visitor: Visitor,
    address: Address,
    /// What was sent of each section, as a digest.
    sent: HashMap<&'static str, u64>,
    kept: Kept,
    next: Instant,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn events(
    State(control): State<Arc<dyn Control>>,
    Extension(viewers): Extension<Viewers>,
    Extension(visitor): Extension<Visitor>,
    Query(watched): Query<Watched>,
) -> Result<Response, Problem> {
    let address = Some(watched.page)
        .filter(|page| page.len() <= ADDRESS_BYTES_MAX)
        .and_then(|page| Address::parse(&page))
        .ok_or_else(|| Problem::bad_request("`page` is the address of no page"))?;
    let place = viewers.0.try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{VIEWERS_MAX} watch already: load the page again to see what is new"),
        )
    })?;
    let viewer = Viewer {
        control,
        visitor,
        address,
        sent: HashMap::new(),
        kept: Kept::default(),
        next: Instant::now(),
        _place: place,
    };
    let messages = stream::unfold(viewer, |mut viewer| async {
        sleep_until(viewer.next).await;
        viewer.next = Instant::now() + EVERY;
        let message = viewer.message().await?;
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(message)),
            viewer,
        ))
    });
    let mut response = Body::from_stream(messages).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    Ok(response)
}

impl Viewer {
    /// What is new; `None` where there is nothing to watch any more, or whoever watches may not by now.
    async fn message(&mut self) -> Option<String> {
        let who = self.visitor.still();
        if who.is_err() && self.visitor.reads_need_token {
            return None;
        }
        let who = who.as_ref().ok();
        let looked = page::look(&self.control, &self.address, who, &mut self.kept).await;
        let (page, snapshot) = looked.ok()?;
        let mut message = String::new();
        event(&mut message, "now", &snapshot.now.to_rfc3339());
        for section in page.sections {
            let text = section.markup.into_string();
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            let digest = hasher.finish();
            if self.sent.insert(section.id, digest) != Some(digest) {
                event(&mut message, "section", &format!("{}\n{text}", section.id));
            }
        }
        Some(message)
    }
}

fn event(out: &mut String, name: &str, data: &str) {
    out.push_str("event: ");
    out.push_str(name);
    // A carriage return would end a line too.
    for line in data.split(['\n', '\r']) {
        out.push_str("\ndata: ");
        out.push_str(line);
    }
    out.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_message_early() {
        let mut out = String::new();
        event(&mut out, "section", "a\n<b>\r\n\nevent: now\ndata: x</b>");
        assert_eq!(
            out,
            "event: section\ndata: a\ndata: <b>\ndata: \ndata: \ndata: event: now\ndata: data: x</b>\n\n"
        );
    }
}
