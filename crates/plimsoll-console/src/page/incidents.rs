//! `/incidents`: what people were called for; what is open first, then what was, the latest first.

use std::time::Duration;

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Condition, Incident, Incidents, Snapshot, figure};

use super::parts::{clock, condition, shape, since};
use super::{Page, Place, Section, Sight};

/// Those that have ended and are listed; more are in the journal.
const PAST_MAX: usize = 100;
/// How long after it was resolved it may be said to burn on.
const BURNS_ON_MAX: Duration = Duration::from_secs(3_600);

pub(super) fn page(sight: &Sight) -> Page {
    let snapshot = sight.snapshot.as_ref();
    let markup = match &sight.incidents {
        Ok(known) => lists(snapshot, known),
        Err(problem) => html! {
            section.panel.pad.warn aria-label="Incidents" { p.b { (problem) } p { "Who is to be called is called all the same." } }
        },
    };
    Page {
        status: StatusCode::OK,
        title: "Incidents".to_owned(),
        place: Place::Incidents,
        is_live: true,
        sections: vec![
            Section {
                id: "head",
                markup: html! { header.title { h1 { "Incidents" } span.q { "what people were called for: from the first call until all have ended, or somebody resolved it" } } },
            },
            Section {
                id: "incidents",
                markup,
            },
        ],
    }
}

fn lists(snapshot: &Snapshot, known: &Incidents) -> Markup {
    let mut open: Vec<&Incident> = known.open().collect();
    open.sort_by_key(|it| std::cmp::Reverse((it.called, it.id)));
    let past: Vec<&Incident> = known.past().take(PAST_MAX).collect();
    html! {
        section.panel aria-label="Open incidents" {
            div.head { h2 { "Open" } span.end.s.q { (open.len()) " now" } }
            @if open.is_empty() {
                p.pad.q {
                    "Nobody is called for anything now. "
                    @match past.first().and_then(|it| it.ended) {
                        Some(ended) => { "The last incident ended " (figure::duration(snapshot.now.since(ended).as_secs_f64())) " ago." }
                        None => "An incident begins when a budget burns so that somebody is to look, or when requests stay away.",
                    }
                }
            }
            ol.incidents aria-live="polite" { @for it in open { (row(snapshot, it)) } }
        }
        @if !past.is_empty() {
            section.panel aria-label="Past incidents" {
                div.head { h2 { "Past" } span.end.s.q { "of the last four weeks" } }
                ol.incidents { @for it in past { (row(snapshot, it)) } }
            }
        }
    }
}

/// How the service of an incident stands now.
pub(super) fn stands(snapshot: &Snapshot, incident: &Incident) -> Condition {
    let mut services = snapshot.services.iter();
    let service = services.find(|it| it.name == incident.service);
    service.map_or(Condition::Unknown, condition)
}

/// The path of an incident's page.
pub(crate) fn path(id: u64) -> String {
    format!("/incidents/{id}")
}

/// How long it lasted, or lasts.
pub(super) fn lasts(incident: &Incident, now: Timestamp) -> String {
    let until = incident.ended.unwrap_or(now);
    figure::duration(until.since(incident.called).as_secs_f64())
}

fn row(snapshot: &Snapshot, incident: &Incident) -> Markup {
    let now = snapshot.now;
    let stands = stands(snapshot, incident);
    let class = match incident.is_open() {
        true => stands.name(),
        false => "past",
    };
    html! {
        li class=(class) data-key=(incident.id) {
            @if incident.is_open() { (shape(stands)) } @else { svg aria-hidden="true" { use href="#c-healthy" {} } }
            span.what {
                a.name href=(path(incident.id)) { "#" (incident.id) " " (incident.service) }
                br;
                span.s.q { (incident.about()) }
            }
            span.when {
                @if incident.is_open() { b { "open " (lasts(incident, now)) } } @else { "lasted " (lasts(incident, now)) }
                br;
                span.s.q { @if incident.is_open() { "since " (since(incident.called, now)) } @else { (clock(incident.called).chars().take(16).collect::<String>()) } " UTC" }
            }
            span.who.s { (who(incident, stands, now)) }
            span.why.s.q {
                @match &incident.suspect {
                    Some(suspect) => (suspect),
                    None => "no suspect",
                }
            }
        }
    }
}

/// What people did, in short.
fn who(incident: &Incident, stands: Condition, now: Timestamp) -> Markup {
    // Later it is another matter.
    let lately = incident
        .ended
        .is_some_and(|it| now.since(it) < BURNS_ON_MAX);
    let lasts = incident.calls.iter().any(|it| it.ended.is_none());
    let burns_on = lately && lasts && stands >= Condition::Burning;
    html! {
        @if let Some(to) = &incident.handed_over_to { "with " b { (to) } ", " }
        @match (&incident.resolved, &incident.acknowledged) {
            (Some(it), _) => { "resolved by " (it.by) @if burns_on { ", " span.tone.burning.b { "burns on" } } }
            (None, Some(it)) => { (it.by) @if incident.is_open() { " works on it" } @else { " worked on it" } }
            // Whoever works on the other one works on this.
            (None, None) if incident.group.is_some() => "worked on there",
            (None, None) if incident.is_open() => { span.tone.burning.b { "nobody has acknowledged it" } }
            (None, None) => "ended by itself",
        }
        @if incident.is_open() && incident.is_silent(now) { ", silent" }
        @if let Some(into) = incident.group { ", belongs to " a href=(path(into)) { "#" (into) } }
    }
}
