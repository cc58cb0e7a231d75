//! `/services/NAME`: how one service stands, since when, why, and what acts; then all that happened on one time axis.

mod acts;
mod lists;
mod objectives;
mod signals;

pub(super) use signals::around;

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Mode;
use plimsoll_measure::{Condition, ServiceView, Snapshot, StepLength, figure};
use serde::Deserialize;

use super::fleet::{acts, event_line};
use super::parts::{chip, condition, segment, service_path, since, time};
use super::past::Past;
use super::record::Record;
use super::{Page, Place, Section, Sight, approval_path};
use crate::problem::Problem;

/// How far back the time axis goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Range {
    #[serde(rename = "10m")]
    TenMinutes,
    #[default]
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "1d")]
    Day,
    #[serde(rename = "28d")]
    FourWeeks,
}

/// Where what is drawn over a range comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// All that is told apart, with this step.
    Memory(StepLength),
    /// What outlives the process.
    Store(Past),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ServiceQuery {
    #[serde(default)]
    pub(super) range: Range,
}

impl Range {
    const ALL: [Self; 5] = [
        Self::TenMinutes,
        Self::Hour,
        Self::SixHours,
        Self::Day,
        Self::FourWeeks,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TenMinutes => "10m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "1d",
            Self::FourWeeks => "28d",
        }
    }

    /// How far back decisions and changes are listed: an hour at least.
    pub(super) fn journal(self) -> &'static str {
        match self {
            Self::TenMinutes => Self::Hour.name(),
            other => other.name(),
        }
    }

    pub(super) fn source(self) -> Source {
        match self {
            Self::TenMinutes => Source::Memory(StepLength::Short),
            Self::Hour => Source::Memory(StepLength::Long),
            Self::SixHours => Source::Store(Past::SixHours),
            Self::Day => Source::Store(Past::Day),
            Self::FourWeeks => Source::Store(Past::FourWeeks),
        }
    }

    /// The length of a step in seconds.
    fn step(self) -> u64 {
        match self.source() {
            Source::Memory(length) => length.seconds(),
            Source::Store(past) => past.step(),
        }
    }

    fn points(self) -> u64 {
        match self {
            Self::TenMinutes | Self::Hour => 120,
            Self::SixHours => Past::SixHours.points(),
            Self::Day => Past::Day.points(),
            Self::FourWeeks => Past::FourWeeks.points(),
        }
    }
}

pub(super) fn page(name: &str, query: ServiceQuery, sight: &Sight) -> Page {
    let snapshot = sight.snapshot.as_ref();
    let Some(service) = snapshot.services.iter().find(|it| it.name == name) else {
        let problem = Problem::not_found(
            "there is no such service; it may have been taken out of the configuration",
        );
        return super::refusal(&problem);
    };
    let told = sight.told.as_ref();
    let read = told.records.as_ref();
    let records = read.map(|records| Record::all(&records.records));
    let known = records.as_deref().unwrap_or_default();
    let sections = vec![
        Section {
            id: "warnings",
            markup: bars(snapshot, service),
        },
        Section {
            id: "head",
            markup: head(snapshot, service),
        },
        Section {
            id: "acts",
            markup: acts::acts(snapshot, service, sight.who.as_ref()),
        },
        Section {
            id: "objectives",
            markup: objectives::objectives(sight, service),
        },
        Section {
            id: "signals",
            markup: signals::signals(sight, service, query.range, known),
        },
        Section {
            id: "lists",
            markup: lists::lists(
                snapshot,
                service,
                known,
                query.range,
                (read.err(), told.lacks.as_ref()),
            ),
        },
    ];
    Page {
        status: StatusCode::OK,
        title: service.name.clone(),
        place: Place::Fleet,
        is_live: true,
        sections,
    }
}

/// What holds for all that follows: observing, maintenance, what people hold.
fn bars(snapshot: &Snapshot, service: &ServiceView) -> Markup {
    let mut said: Vec<Markup> = Vec::new();
    if snapshot.mode != Mode::Enforce || service.mode != Mode::Enforce {
        let text = match (snapshot.mode, service.mode) {
            (Mode::Off, _) | (_, Mode::Off) => "Protections are off: nothing acts.",
            _ => {
                "Observing: protections decide and count, and nothing acts. What is shown would have happened."
            }
        };
        said.push(html! { (text) });
    } else if service
        .governed
        .as_ref()
        .is_some_and(|it| it.mode == Mode::Observe)
    {
        said.push(
            html! { "The governor observes: it says what it would move, and moves nothing." },
        );
    }
    if let Some(maintenance) = &service.maintenance {
        said.push(html! { "Maintenance " (maintenance.name) " until " (since(maintenance.until, snapshot.now)) " UTC: nothing counts in budgets." });
    }
    for entry in snapshot
        .overlay
        .iter()
        .filter(|it| it.service == service.name)
    {
        said.push(html! { (entry.sentence()) });
    }
    for freeze in snapshot
        .freezes
        .iter()
        .filter(|it| it.covers(&service.name))
    {
        said.push(html! { b { (upper(&freeze.sentence())) } ". " @if freeze.acts { "Fixes that are marked as such, degrading and the end of what people hold go on." } @else { "Nothing is refused." } });
    }
    for it in snapshot
        .approvals
        .iter()
        .filter(|it| it.services.contains(&service.name))
    {
        said.push(html! { a href=(approval_path(it.id)) { "Request #" (it.id) } " waits: " (it.says) ", for " (it.by) });
    }
    if service.serving_to_all {
        said.push(html! { "No endpoint is healthy: requests are sent to all of them." });
    }
    if let Some(failure) = snapshot.journal.as_ref().and_then(|it| it.failure.as_ref()) {
        said.push(html! { "The store fails since " (since(failure.since, snapshot.now)) " UTC: what is decided is kept in memory." });
    }
    html! {
        @if !said.is_empty() {
            section.panel.pad.warn aria-label="What holds now" { ul { @for said in said { li { (said) } } } }
        }
    }
}

/// With a capital letter first.
fn upper(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or((text, ""));
    format!("{}{rest}", first.to_uppercase())
}

fn head(snapshot: &Snapshot, service: &ServiceView) -> Markup {
    let needed: Vec<&str> = snapshot
        .services
        .iter()
        .filter(|it| it.depends_on.contains(&service.name))
        .map(|it| it.name.as_str())
        .collect();
    html! {
        header.cols {
            div.title {
                h1 { (service.name) }
                span aria-live="polite" { (chip(condition(service), "chip")) }
                @if snapshot.freezes.iter().any(|it| it.acts && it.covers(&service.name)) { span.chip { "frozen" } }
                span.q {
                    @if let Some(owner) = &service.owner { (owner) " · " } "tier " (service.tier)
                    (links(" · depends on ", service.depends_on.iter().map(String::as_str)))
                    (links(" · needed by ", needed.into_iter()))
                }
                div.btns {
                    a.btn href={ "/decisions?service=" (segment(&service.name)) } { "Decisions" }
                    a.btn href="/topology" { "Topology" }
                }
            }
            p.lead { (lead(snapshot, service)) }
        }
    }
}

fn links<'a>(words: &str, names: impl Iterator<Item = &'a str>) -> Markup {
    const LINKS_MAX: usize = 12;
    let names: Vec<&str> = names.collect();
    html! {
        @if !names.is_empty() {
            (words)
            @for (place, name) in names.iter().take(LINKS_MAX).enumerate() {
                @if place > 0 { ", " } a href=(service_path(name)) { (name) }
            }
            @if names.len() > LINKS_MAX { " and " (names.len() - LINKS_MAX) " more" }
        }
    }
}

/// What a person who was called needs: what, since when, why, what already acts.
fn lead(snapshot: &Snapshot, service: &ServiceView) -> Markup {
    let governed = service.governed.as_ref();
    let condition = condition(service);
    let began = governed.and_then(|it| it.since);
    let onset = governed.and_then(|it| it.onsets.first());
    let error = service.traffic.errors.first();
    html! {
        @match condition {
            Condition::Unknown => { "Nothing can be said: " @if service.objectives.is_empty() { "it has no objective" } @else { "no traffic came for long" } "." }
            condition => {
                @let name = condition.name();
                (name.get(..1).unwrap_or_default().to_uppercase()) (name.get(1..).unwrap_or_default())
                @if let Some(began) = began { " since " b { (since(began, snapshot.now)) } " UTC" }
                "."
            }
        }
        @if let Some(other) = governed.and_then(|it| it.because_of.as_ref()) {
            " It burns because " a href=(service_path(other)) { (other) } " does: what is to be done is done there."
        }
        @if let Some(onset) = onset {
            " The burn of " (onset.objective) " began at " b { (time(onset.at)) }
            " (" (time(onset.earliest)) " to " (time(onset.latest)) ")."
            @match onset.changes.first() {
                Some(change) => { " Most likely because of: " b { (change.what) } ", " (change.seconds_before) " s before" @if change.within { ", as near as can be told" } "." }
                None => { " Nothing is known to have been changed before it." }
            }
        }
        @if let Some(error) = error.filter(|_| condition != Condition::Healthy) {
            " Of all requests in the last minute, " (figure::percent(Some(error.share), " ")) " ended as " code { (error.cause.name()) }
            @if let Some(split) = onset.and_then(|it| it.split.first()) {
                "; " (split.kind) " " code { (split.name) } " has " (figure::percent(Some(split.of_bad), " ")) " of what fails, and "
                (figure::percent(Some(split.of_requests), " ")) " of the requests"
            }
            "."
        }
        @let acting = acts(snapshot, service);
        @if condition != Condition::Healthy {
            @if governed.is_some_and(|it| !it.moved.is_empty()) { " What acts: " (acting) "." }
            @else if governed.is_some() { " Nothing is moved." }
        }
        @if let Some(dimmed) = governed.and_then(|it| it.brownout.as_ref()).filter(|it| it.level > 0.0) { " " (dimmed.says) "." }
        @if governed.is_some_and(|it| !it.paged.is_empty()) { " Somebody is called for." }
    }
}

/// What lately happened, from memory: where the journal can't be read.
fn remembered(snapshot: &Snapshot, service: &ServiceView) -> Markup {
    let events = snapshot.recent_events.iter();
    let mine = events.filter(|it| it.service.as_ref() == Some(&service.name));
    html! { ol.dec.pad { @for event in mine.take(12) { (event_line(event, false)) } } }
}
