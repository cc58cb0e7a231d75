//! The pages, drawn on the server: complete as sent, and readable without script.
//!
//! In the console's visual language: position and word before colour; an unknown is hatched and says so; every figure
//! has its unit and window. No `style` attribute and no script in the text, so that the strict policy holds.
//! A page is sections with names. Whoever watches it is sent those that are others now (`events`).
//! Invariant: what comes from services, from the configuration or from people is escaped (`maud` does, and `plimsoll_plot`
//! where it draws); nothing of it stands in a script or decides where a link of ours leads, but as an escaped segment.

mod fleet;
pub(crate) mod frame;
mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use maud::{Markup, html};
use plimsoll_measure::Snapshot;

use crate::control::Control;
use crate::problem::Problem;

pub(crate) use fleet::FleetQuery;

/// Points of a row's traffic.
const TRAFFIC_POINTS: usize = 60;

/// Which page, as its address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `/`.
    Fleet(FleetQuery),
}

impl Address {
    /// Of a path with its query, as a browser has it; `None`: that is no page.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        match uri.path() {
            "/" => Some(Self::Fleet(Query::try_from_uri(&uri).ok()?.0)),
            _ => None,
        }
    }
}

/// Where the navigation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Fleet,
    None,
}

/// A page without its frame.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    pub(crate) place: Place,
    /// Whether anything on it changes by itself.
    pub(crate) is_live: bool,
    pub(crate) sections: Vec<Section>,
}

/// A part of a page that is sent again where it is another now.
pub(crate) struct Section {
    /// Its id in the document.
    pub(crate) id: &'static str,
    pub(crate) markup: Markup,
}

/// Traffic of the last hour by service: requests and bad ones per second, `None` where nothing was observed.
type Traffic = BTreeMap<String, Vec<Option<(f64, f64)>>>;

/// What a page is drawn from, as of one moment.
pub(crate) struct Sight {
    pub(crate) snapshot: Arc<Snapshot>,
    traffic: Traffic,
}

impl Sight {
    fn of(control: &dyn Control, address: &Address) -> Self {
        let snapshot = control.snapshot();
        let mut traffic = Traffic::new();
        match address {
            Address::Fleet(_) => control.courses(&mut |courses| {
                let now = snapshot.now.as_seconds();
                for service in &snapshot.services {
                    let points = courses.traffic(&service.name, now, TRAFFIC_POINTS);
                    traffic.insert(service.name.clone(), points);
                }
            }),
        }
        Self { snapshot, traffic }
    }
}

/// Draws a page as of now, and says as of when that is. On a thread of its own: the one that asks has others waiting.
pub(crate) async fn look(
    control: &Arc<dyn Control>,
    address: &Address,
) -> Result<(Page, Arc<Snapshot>), Problem> {
    let (control, address) = (Arc::clone(control), address.clone());
    let drawn = tokio::task::spawn_blocking(move || {
        let sight = Sight::of(control.as_ref(), &address);
        let page = draw(&address, &sight);
        (page, sight.snapshot)
    });
    drawn
        .await
        .map_err(|_| Problem::unavailable("drawing the page was broken off"))
}

fn draw(address: &Address, sight: &Sight) -> Page {
    match address {
        Address::Fleet(query) => fleet::page(query, sight),
    }
}

/// What is shown where something can't be.
pub(crate) fn refusal(problem: &Problem) -> Page {
    let status = problem.status();
    let title = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "Not permitted",
        StatusCode::NOT_FOUND => "Not found",
        _ => "It can't be shown",
    };
    let markup = html! {
        section.panel.pad aria-label=(title) {
            h1 { (title) }
            p.lead { (problem) }
            @if status == StatusCode::UNAUTHORIZED {
                p { "This console listens off loopback, so even reading needs a token: a browser asks for it as a password, \
                     under any name. An administrator makes one with " code { "plimsoll token create NAME --role viewer" } "." }
            } @else {
                p { a href="/" { "To the fleet" } }
            }
        }
    };
    Page {
        status,
        title: title.to_owned(),
        place: Place::None,
        is_live: false,
        sections: vec![Section {
            id: "refusal",
            markup,
        }],
    }
}

#[cfg(test)]
mod tests;
