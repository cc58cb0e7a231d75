//! `/events`: whoever watches a page is sent those of its sections that are others now, as server-sent events.
//!
//! Bounds: so many watch at once. Those who watch the same page share what is drawn of it (`watch`). Nothing is kept for a
//! viewer: a message is made when the one before it is on its way, so that whoever reads slowly sees fewer of them, and
//! whoever reads nothing loses the connection (`server`).
//! Source: WHATWG HTML, "Server-sent events".

use std::collections::HashMap;
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
use crate::page::Address;
use crate::problem::Problem;
use crate::turns::Turns;
use crate::visitor::Visitor;
use crate::watch::{Watch, Watches, event};

/// How many watch at once: a team and its screens, twice over; each is a connection of the console's (`server`).
const VIEWERS_MAX: usize = 64;
/// Between two messages. Also where nothing has changed: that shows that all goes on.
const EVERY: Duration = Duration::from_secs(2);
/// How long an address is at most.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// Those who watch, and what.
#[derive(Clone)]
pub(crate) struct Viewers {
    places: Arc<Semaphore>,
    watches: Watches,
}

impl Viewers {
    pub(crate) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(VIEWERS_MAX)),
            watches: Watches::new(),
        }
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
    turns: Turns,
    watches: Watches,
    visitor: Visitor,
    address: Address,
    /// What was shown last; while somebody has it, others share it.
    watch: Option<Arc<Watch>>,
    /// What was sent of each section, as a digest.
    sent: HashMap<&'static str, u64>,
    next: Instant,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn events(
    State(control): State<Arc<dyn Control>>,
    Extension(viewers): Extension<Viewers>,
    Extension(visitor): Extension<Visitor>,
    Extension(turns): Extension<Turns>,
    Query(watched): Query<Watched>,
) -> Result<Response, Problem> {
    let address = Some(watched.page)
        .filter(|page| page.len() <= ADDRESS_BYTES_MAX)
        .and_then(|page| Address::parse(&page))
        .ok_or_else(|| Problem::bad_request("`page` is the address of no page"))?;
    let place = viewers.places.try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{VIEWERS_MAX} watch already: load the page again to see what is new"),
        )
    })?;
    let viewer = Viewer {
        control,
        turns,
        watches: viewers.watches,
        visitor,
        address,
        watch: None,
        sent: HashMap::new(),
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
        // Taken anew each time: whoever has lost a role, or signed out, is shown what others are.
        let (control, address) = (&self.control, self.address.clone());
        let watch = self.watches.of(control, &self.turns, address, who.ok());
        let seen = watch.look().await?;
        self.watch = Some(watch);
        let mut message = event("now", &seen.snapshot.now.to_rfc3339());
        for part in &seen.sections {
            if self.sent.insert(part.id, part.digest) != Some(part.digest) {
                message.push_str(&part.event);
            }
        }
        Some(message)
    }
}
