//! `/`: all services, what needs attention first.
//!
//! Bound: so many services have a row of their own, the others a line, that a page with 200 of them stays under 150 KiB.

mod row;

pub(super) use row::acts;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Mode;
use plimsoll_measure::{Condition, EventView, ServiceView, Snapshot, figure};
use serde::Deserialize;

use super::parts::{
    chip, condition, segment, service_path, shape, since, target, time, urgency, what_and_why,
};
use super::{Page, Place, Section, Sight, TRAFFIC_POINTS, Traffic};

/// So many services have all a row.
const ROWS_MAX: usize = 40;
/// Of more services, so many of those that need attention have one.
const URGENT_ROWS_MAX: usize = 16;
/// Services that have a mark in the strip.
const MARKS_MAX: usize = 60;
/// Journeys that are listed.
const JOURNEYS_MAX: usize = 40;
/// Events in the strip.
const EVENTS_MAX: usize = 4;

/// Which services are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct FleetQuery {
    /// Part of a name or an owner.
    find: Option<String>,
    /// `attention`: only what needs it.
    show: Option<String>,
    tier: Option<u8>,
    owner: Option<String>,
}

pub(super) fn page(query: &FleetQuery, sight: &Sight) -> Page {
    let snapshot = sight.snapshot.as_ref();
    let traffic = &sight.traffic;
    let mut services: Vec<&ServiceView> = snapshot.services.iter().collect();
    services.sort_by(|a, b| {
        order(a)
            .partial_cmp(&order(b))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let sections = vec![
        Section {
            id: "warnings",
            markup: warnings(snapshot),
        },
        Section {
            id: "strip",
            markup: strip(snapshot, &services, traffic),
        },
        Section {
            id: "services",
            markup: fleet(query, sight, &services),
        },
        Section {
            id: "journeys",
            markup: journeys(snapshot),
        },
        Section {
            id: "legend",
            markup: legend(),
        },
    ];
    Page {
        status: StatusCode::OK,
        title: "Fleet".to_owned(),
        place: Place::Fleet,
        is_live: true,
        sections,
    }
}

/// By condition, then soonest out of budget: in whole percent, so that rows do not change places for nothing.
fn order(service: &ServiceView) -> (u8, f64, u8, &str) {
    let left = service
        .tightest()
        .and_then(|objective| objective.budget_left);
    let left = left.map_or(f64::INFINITY, |left| (100.0 * left).floor());
    (
        urgency(condition(service)),
        left,
        service.tier,
        &service.name,
    )
}

fn needs_attention(service: &ServiceView) -> bool {
    urgency(condition(service)) < urgency(Condition::Unknown)
}

impl FleetQuery {
    fn passes(&self, service: &ServiceView) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        let owner = service.owner.as_deref().unwrap_or_default();
        let finds = self
            .find
            .as_deref()
            .is_none_or(|part| has(&service.name, part) || has(owner, part));
        let shows = self.show.as_deref() != Some("attention") || needs_attention(service);
        let tier = self.tier.is_none_or(|tier| tier == service.tier);
        finds && shows && tier && self.owner.as_deref().is_none_or(|it| it == owner)
    }

    fn is_all(&self) -> bool {
        *self == Self::default()
            || (self.find.as_deref() == Some("")
                && self.show.is_none()
                && self.tier.is_none()
                && self.owner.is_none())
    }
}

/// What someone should look at, and what people hold.
pub(super) fn warnings(snapshot: &Snapshot) -> Markup {
    let mode = match snapshot.mode {
        Mode::Enforce => None,
        Mode::Observe => Some("Observing only: policies decide and count, nothing acts."),
        Mode::Off => Some("All policies are off."),
    };
    let is_calm = snapshot.warnings.is_empty()
        && snapshot.overlay.is_empty()
        && snapshot.freezes.is_empty()
        && mode.is_none();
    html! {
        @if !is_calm {
            section.panel.pad.warn aria-label="Warnings" { ul {
                @if let Some(mode) = mode { li { (mode) } }
                @for warning in &snapshot.warnings { li { (warning) } }
                @for freeze in &snapshot.freezes {
                    li {
                        @if freeze.all { "All services" }
                        @for (place, name) in freeze.services.iter().filter(|_| !freeze.all).enumerate() { @if place > 0 { ", " } a href=(service_path(name)) { (name) } }
                        ": " (freeze.sentence())
                    }
                }
                @for entry in &snapshot.overlay {
                    li { a href=(service_path(&entry.service)) { (entry.service) } ": " (entry.sentence()) }
                }
            } }
        }
    }
}

fn strip(snapshot: &Snapshot, services: &[&ServiceView], traffic: &Traffic) -> Markup {
    let count = |which: Condition| services.iter().filter(|it| condition(it) == which).count();
    let said = |which: &[Condition]| -> Vec<String> {
        let counts = which.iter().map(|it| (count(*it), it.name()));
        counts
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{count} {name}"))
            .collect()
    };
    let mut loud = said(&[Condition::Severe, Condition::Burning]);
    let mut quiet = said(&[Condition::Exhausted, Condition::Unknown, Condition::Healthy]);
    if loud.is_empty() && !quiet.is_empty() {
        loud.push(quiet.remove(0));
    }
    let loud = if loud.is_empty() {
        "No service".to_owned()
    } else {
        loud.join(", ")
    };
    let rates = services.iter().map(|it| it.traffic.requests_per_second);
    let total: Option<f64> = rates.sum();
    // What no request tells of is no good answer, and no bad one.
    let weighted = services
        .iter()
        .filter_map(|it| Some((it.traffic.requests_per_second?, it.traffic.bad_share?)));
    let (weights, bad) = weighted.fold((0.0, 0.0), |(weights, bad), (weight, share)| {
        (weights + weight, bad + weight * share)
    });
    let good = (weights > 0.0).then(|| 1.0 - bad / weights);
    let refused = services
        .iter()
        .filter_map(|it| it.protection.as_ref()?.refused_per_second);
    let refused: f64 = refused.sum();
    let refused = total
        .filter(|total| *total > 0.0)
        .map(|total| (refused / total).min(1.0));
    html! {
        section.panel.strip aria-label="State of the fleet" {
            div {
                h1.vh { "Fleet" }
                p.label { (services.len()) " service" @if services.len() != 1 { "s" } ", most urgent first" }
                div.marks {
                    @for service in services.iter().take(MARKS_MAX) {
                        @let name = format!("{}: {}", service.name, condition(service).name());
                        a class=(condition(service).name()) href=(service_path(&service.name)) aria-label=(name) title=(name) {
                            (shape(condition(service)))
                        }
                    }
                    @if services.len() > MARKS_MAX { span.s.q { "and " (services.len() - MARKS_MAX) " more" } }
                }
                p.big aria-live="polite" { (loud) }
                p.q { (quiet.join(" · ")) }
                dl.facts {
                    div { dt { "Good answers, 1 min" } dd { (known(figure::percent(good, " "))) } }
                    div { dt { "Traffic, 10 s" } dd { (figure::rate(total)) "/s" } }
                    div { dt { "Refused, 10 s" } dd { (known(figure::percent(refused, " "))) } }
                    div { dt { "Connections" } dd { (figure::count(snapshot.connections)) } }
                }
            }
            (attention(snapshot, services, traffic))
            div {
                p.label { "Recent events" }
                @if snapshot.recent_events.is_empty() { p.q { "None since the start, " (figure::duration(snapshot.uptime_seconds)) " ago." } }
                ol.dec aria-live="polite" {
                    @for event in snapshot.recent_events.iter().take(EVENTS_MAX) { (event_line(event, true)) }
                }
            }
        }
    }
}

/// The most pressing service with what is known of why, or that there is none.
fn attention(snapshot: &Snapshot, services: &[&ServiceView], traffic: &Traffic) -> Markup {
    let Some(service) = services.first().filter(|it| needs_attention(it)) else {
        let sum = sum(traffic);
        return html! {
            div {
                p.label { "Nothing needs attention" }
                p.q {
                    @match snapshot.recent_events.first() {
                        Some(event) => { "The last thing that happened was at " (since(event.at, snapshot.now)) " UTC." }
                        None => { "Nothing has happened since the start, " (figure::duration(snapshot.uptime_seconds)) " ago." }
                    }
                }
                (hour(&sum, "All traffic"))
            }
        };
    };
    let condition = condition(service);
    let governed = service.governed.as_ref();
    let began = governed.and_then(|it| it.since);
    let onset = governed.and_then(|it| it.onsets.first());
    let objective = service.tightest();
    let none = Vec::new();
    let mut incidents = snapshot.incidents.iter();
    let incident = incidents.find(|it| it.service == service.name);
    html! {
        div class={ "inc " (condition.name()) } {
            @if let Some(incident) = incident {
                p.s {
                    a.b href={ "/incidents/" (incident.id) } { "Incident #" (incident.id) }
                    " · "
                    @match &incident.acknowledged_by {
                        Some(by) => { (by) " works on it" }
                        None => span.tone.burning.b { "nobody has acknowledged it" },
                    }
                }
            }
            p.label {
                (chip(condition, ""))
                @if let Some(began) = began { span { "since " (since(began, snapshot.now)) " UTC, " (figure::duration(snapshot.now.since(began).as_secs_f64())) } }
                @if governed.is_some_and(|it| !it.paged.is_empty()) { span { "· somebody is called for" } }
            }
            p.big { a href=(service_path(&service.name)) { (service.name) } }
            p.q {
                @if let Some(other) = governed.and_then(|it| it.because_of.as_ref()) {
                    "It burns because " a href=(service_path(other)) { (other) } " does. "
                }
                @match onset {
                    Some(onset) => {
                        "Began at " (time(onset.at)) ". "
                        @match onset.changes.first() {
                            Some(change) => { "Most likely: " (change.what) ", " (change.seconds_before) " s before. " }
                            None => { "Nothing is known to have been changed before it. " }
                        }
                        @if let Some(split) = onset.split.first() {
                            (figure::percent(Some(split.of_bad), " ")) " of what fails is of " (split.kind) " " code { (split.name) } "."
                        }
                    }
                    None => {
                        @if let Some(objective) = objective {
                            "Of " (objective.name) ", " (figure::budget_left(objective.budget_left, " ")) " of the budget is left, "
                            "it burns at " (figure::burn(objective.burn_over("1h"))) " over 1h. "
                        }
                        @if let Some(error) = service.traffic.errors.first() {
                            "Most of what is not good: " code { (error.cause.name()) } "."
                        }
                    }
                }
            }
            (hour(traffic.get(&service.name).unwrap_or(&none), &service.name))
        }
    }
}

fn sum(traffic: &Traffic) -> Vec<Option<(f64, f64)>> {
    let mut all = vec![None; TRAFFIC_POINTS];
    for points in traffic.values() {
        for (all, point) in all.iter_mut().zip(points) {
            *all = match (*all, *point) {
                (Some((a, b)), Some((c, d))) => Some((a + c, b + d)),
                (one, other) => one.or(other),
            };
        }
    }
    all
}

/// Traffic of an hour, and of it what was bad.
fn hour(points: &[Option<(f64, f64)>], of: &str) -> Markup {
    const HEIGHT: f64 = 56.0;
    let max = points
        .iter()
        .flatten()
        .map(|(all, _)| *all)
        .fold(0.0, f64::max);
    if max <= 0.0 {
        return html! { p.s.q { "No traffic in the last hour." } };
    }
    let curve = |value: fn(&(f64, f64)) -> f64| {
        row::curve(points, 1_000.0, |point| {
            HEIGHT - (HEIGHT - 6.0) * value(point) / max
        })
    };
    let (all, good) = (curve(|it| it.0), curve(|it| (it.0 - it.1).max(0.0)));
    let bad: f64 = points.iter().flatten().map(|(_, bad)| *bad).sum();
    let sum: f64 = points.iter().flatten().map(|(all, _)| *all).sum();
    let finding = format!(
        "{of}: traffic of the last 60 minutes, {} of it bad",
        figure::percent(Some(bad / sum), " ")
    );
    html! {
        svg.plot height="56" role="img" aria-label=(finding) {
            svg width="100%" height="56" viewBox="0 0 1000 56" preserveAspectRatio="none" {
                @for run in &good { path class="inflight" d=(row::filled(run, HEIGHT)) {} }
                @for (above, below) in all.iter().zip(&good) { path class="bad-band" d=(row::between(above, below)) {} }
                @for run in &all { path class="ns sealine" d=(row::line(run)) {} }
            }
            line.axis x1="0" x2="100%" y1="56" y2="56" {}
            text x="0" y="70" { "60 min ago" } text x="100%" y="70" text-anchor="end" { "now" }
            text x="50%" y="70" text-anchor="middle" { "at most " (figure::rate(Some(max))) "/s" }
        }
    }
}

/// What happened, and below it the evidence, which is cut where it is long.
pub(super) fn event_line(event: &EventView, names: bool) -> Markup {
    let (what, why) = what_and_why(&event.text);
    html! {
        li {
            span.q { (time(event.at)) }
            span {
                @if let (Some(service), true) = (&event.service, names) {
                    a href=(service_path(service)) { (service) } " "
                }
                (what)
            }
            span {}
            @if !why.is_empty() { span.why.s.q title=(why) { (why) } }
        }
    }
}

fn fleet(query: &FleetQuery, sight: &Sight, all: &[&ServiceView]) -> Markup {
    if all.is_empty() {
        return html! {
            section.panel.pad aria-label="Services" {
                h2 { "No service yet" }
                p { "Two lines in the configuration add one:" }
                pre.code { "[service.shop]\nendpoints = [\"http://127.0.0.1:9001\"]" }
                p { "Then " code { "plimsoll check FILE" } " says whether it is right." }
            }
        };
    }
    let services: Vec<&ServiceView> = all.iter().copied().filter(|it| query.passes(it)).collect();
    let has_row = |place: usize, service: &ServiceView| {
        services.len() <= ROWS_MAX || (place < URGENT_ROWS_MAX && needs_attention(service))
    };
    let split = services
        .iter()
        .enumerate()
        .position(|(place, it)| !has_row(place, it));
    let (rows, lines) = services.split_at(split.unwrap_or(services.len()));
    let is_narrow = query.is_all();
    html! {
        section.panel aria-label="Services" {
            div.head {
                h2 { "Services" }
                (tabs(query, all))
                form.end role="search" action="/" method="get" {
                    label.vh for="find" { "Find a service by name or owner" }
                    input #find type="search" name="find" placeholder="name or owner" value=[query.find.as_deref()] maxlength="64";
                }
            }
            @if services.is_empty() {
                p.pad.q { "No service is like that. " a href="/" { "All of them" } }
            }
            @if !rows.is_empty() {
                table.fleet role="table" {
                    thead role="rowgroup" { tr role="row" {
                        th role="columnheader" scope="col" { "Service" }
                        th role="columnheader" scope="col" { "Condition" }
                        th role="columnheader" scope="col" { "Error budget against its load line" }
                        th.r role="columnheader" scope="col" { "Burn rate 1h" }
                        th role="columnheader" scope="col" { "Traffic, 60 min" }
                        th role="columnheader" scope="col" { "P99, 1 min / objective" }
                        th role="columnheader" scope="col" {
                            "Refused %, 1 min"
                            div.shedhead { abbr title="critical" { "crit" } abbr title="standard" { "std" } abbr title="sheddable" { "shed" } }
                        }
                        th.th-does role="columnheader" scope="col" { "What acts now" }
                    } }
                    tbody role="rowgroup" data-rows="" {
                        @for (place, service) in rows.iter().enumerate() {
                            @let is_first_quiet = place > 0 && condition(service) == Condition::Healthy
                                && rows.get(place - 1).is_some_and(|it| condition(it) != Condition::Healthy);
                            (row::row(sight, service, is_first_quiet))
                        }
                    }
                }
            }
            @if !lines.is_empty() { (folded(lines)) }
            p.s.q.pad.order { "Order: severe, burning, exhausted, unknown, healthy; then least budget left." @if !is_narrow { " " a href="/" { "All services" } } }
        }
    }
}

/// What users set out to do, over several services.
fn journeys(snapshot: &Snapshot) -> Markup {
    let known = |text: String| super::parts::unknown(text);
    html! {
        @if !snapshot.journeys.is_empty() {
            section.panel aria-label="Journeys" {
                div.head { h2 { "Journeys" } span.end.s.q { "what succeeds where each of its services does" } }
                div.scroll tabindex="0" role="region" aria-label="Journeys" { table {
                    thead { tr { th scope="col" { "Journey" } th scope="col" { "Services" } th.r scope="col" { "Succeeded" } th.r scope="col" { "Budget left" } th.r scope="col" { "Burn rate 1h" } th scope="col" { "Most is lost at" } } }
                    tbody { @for journey in snapshot.journeys.iter().take(JOURNEYS_MAX) { tr {
                        th scope="row" { (journey.name) @if let Some(owner) = &journey.owner { " " span.s.q { (owner) } } }
                        td { @for (place, step) in journey.steps.iter().enumerate() { @if place > 0 { " → " } a href=(service_path(&step.service)) { (step.service) } } }
                        td.r.n { (known(figure::percent(journey.good_share, " "))) span.s.q { " of " (target(journey.target)) } }
                        td.r.n { (known(figure::budget_left(journey.budget_left, " "))) span.s.q { ", " (journey.period) } }
                        td.r.n { (known(figure::burn(journey.burn_over("1h")))) }
                        td { @if let Some(worst) = journey.worst() { a href=(service_path(&worst.service)) { (worst.service) } " " span.s.q { (figure::percent(worst.of_bad, " ")) } } }
                    } } }
                } }
            }
        }
    }
}

fn tabs(query: &FleetQuery, all: &[&ServiceView]) -> Markup {
    let urgent = all.iter().filter(|it| needs_attention(it)).count();
    let mut tiers: BTreeMap<u8, usize> = BTreeMap::new();
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for service in all {
        *tiers.entry(service.tier).or_default() += 1;
        if let Some(owner) = &service.owner {
            *owners.entry(owner).or_default() += 1;
        }
    }
    let is_urgent = query.show.as_deref() == Some("attention");
    html! {
        nav.tabs aria-label="Filter" data-part="tabs" {
            a href="/" aria-current=[query.is_all().then_some("true")] { "All " (all.len()) }
            a href="/?show=attention" aria-current=[is_urgent.then_some("true")] { "Needs attention " (urgent) }
            @for (tier, count) in tiers.iter().take(4) {
                a href={ "/?tier=" (tier) } aria-current=[(query.tier == Some(*tier)).then_some("true")] { "Tier " (tier) " · " (count) }
            }
            @if owners.len() > 1 {
                details.owners {
                    summary { @match &query.owner { Some(owner) => { "Owner " (owner) } None => "Owner" } }
                    ul { @for (owner, count) in owners.iter().take(64) {
                        li { a href={ "/?owner=" (segment(owner)) } { (owner) " · " (count) } }
                    } }
                }
            }
        }
    }
}

/// Services without a row: one line of text each, by owner.
fn folded(services: &[&ServiceView]) -> Markup {
    let mut by_owner: BTreeMap<&str, Vec<&ServiceView>> = BTreeMap::new();
    for service in services {
        by_owner
            .entry(service.owner.as_deref().unwrap_or("nobody"))
            .or_default()
            .push(service);
    }
    html! {
        div.folded data-part="folded" {
            @for (owner, services) in by_owner {
                section aria-label=(owner) {
                    h3 { (owner) " " span.q { (services.len()) } }
                    ul { @for service in services { (line(service)) } }
                }
            }
        }
    }
}

fn line(service: &ServiceView) -> Markup {
    let left = service
        .tightest()
        .and_then(|objective| objective.budget_left);
    let name = condition(service).name();
    html! {
        li class=(name) {
            (shape(condition(service)))
            a href=(service_path(&service.name)) { (service.name) }
            span.q { (known(figure::budget_left(left, " "))) }
        }
    }
}

fn known(text: String) -> String {
    super::parts::unknown(text)
}

fn legend() -> Markup {
    let all = [
        (Condition::Healthy, "healthy"),
        (
            Condition::Burning,
            "burning: the budget would be gone long before the period's end",
        ),
        (Condition::Severe, "severe: within two days"),
        (Condition::Exhausted, "exhausted: none is left"),
        (Condition::Unknown, "unknown: no traffic, or no objective"),
    ];
    html! {
        section.legend aria-label="How to read this page" {
            @for (condition, means) in all { span class={ "tone " (condition.name()) } { (shape(condition)) (means) } }
            span.q { "Water is budget spent, the gap up to the load line is the budget left. Burn: dots are 5m, 1h, 6h, 3d; the line is 1×. \
                Traffic: red is what was bad. Hatched is what Plimsoll refused of a class." }
        }
    }
}
