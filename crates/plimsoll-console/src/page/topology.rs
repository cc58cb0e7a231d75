//! `/topology`: which services depend on which, and how each stands.
//!
//! A service stands to the right of all that need it, so that causes are at the right of what they cause. Cycles are
//! allowed in a configuration: what closes one is drawn as a line back.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_measure::{Condition, ServiceView, Snapshot, figure};

use super::parts::{at, chip, condition, service_path, unknown, urgency};
use super::{Page, Place, Section, Sight};

/// Services that are drawn; all are in the table.
const DRAWN_MAX: usize = 80;
/// A box, and the room between.
const BOX: (f64, f64) = (196.0, 44.0);
const ROOM: (f64, f64) = (72.0, 16.0);
/// Characters of a name in a box.
const NAME_MAX: usize = 20;

pub(super) fn page(sight: &Sight) -> Page {
    let snapshot = sight.snapshot.as_ref();
    let sections = vec![
        Section {
            id: "head",
            markup: html! { header.title { h1 { "Topology" } span.q { "who needs whom: what fails at the right may be why it burns at the left" } } },
        },
        Section {
            id: "picture",
            markup: picture(snapshot),
        },
        Section {
            id: "table",
            markup: table(snapshot),
        },
    ];
    Page {
        status: StatusCode::OK,
        title: "Topology".to_owned(),
        place: Place::Topology,
        is_live: true,
        sections,
    }
}

/// How far to the right each service stands: one more than the furthest that needs it.
fn columns<'a>(services: &[&'a ServiceView]) -> BTreeMap<&'a str, usize> {
    let names: BTreeSet<&str> = services.iter().map(|it| it.name.as_str()).collect();
    let mut columns: BTreeMap<&str, usize> =
        services.iter().map(|it| (it.name.as_str(), 0)).collect();
    // Each round lengthens chains by one; a cycle ends with the rounds.
    for _ in 0..services.len().min(12) {
        let mut moved = false;
        for service in services {
            let mine = columns.get(service.name.as_str()).copied().unwrap_or(0);
            for other in service.depends_on.iter().filter(|it| **it != service.name) {
                let Some(name) = names.get(other.as_str()) else {
                    continue;
                };
                let theirs = columns.entry(name).or_default();
                if *theirs < mine + 1 && mine < services.len().min(8) {
                    *theirs = mine + 1;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    columns
}

fn picture(snapshot: &Snapshot) -> Markup {
    let is_needed = |name: &String| {
        snapshot
            .services
            .iter()
            .any(|it| it.depends_on.contains(name))
    };
    let linked = snapshot
        .services
        .iter()
        .filter(|it| !it.depends_on.is_empty() || is_needed(&it.name));
    let linked: Vec<&ServiceView> = linked.take(DRAWN_MAX).collect();
    if linked.is_empty() {
        return html! {
            section.panel.pad {
                p { "No service says what it depends on. One line does, and the governor looks for causes along it:" }
                pre { "[service.checkout]\ndepends_on = [\"service.inventory\"]" }
            }
        };
    }
    let columns = columns(&linked);
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    let mut ordered = linked.clone();
    ordered.sort_by_key(|it| (urgency(condition(it)), it.name.as_str()));
    let mut places: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for service in &ordered {
        let column = columns.get(service.name.as_str()).copied().unwrap_or(0);
        let row = next.entry(column).or_default();
        places.insert(
            &service.name,
            (
                column as f64 * (BOX.0 + ROOM.0),
                *row as f64 * (BOX.1 + ROOM.1),
            ),
        );
        *row += 1;
    }
    let width = (next.keys().max().copied().unwrap_or(0) + 1) as f64 * (BOX.0 + ROOM.0) - ROOM.0;
    let height = next.values().max().copied().unwrap_or(1) as f64 * (BOX.1 + ROOM.1);
    let view = format!("-2 -2 {} {}", at(width + 4.0), at(height + 4.0));
    html! {
        section.panel aria-label="Picture" {
            div.scroll.pad tabindex="0" role="region" aria-label="Services and what they depend on" {
                svg.topology viewBox=(view) width=(at(width + 4.0)) height=(at(height + 4.0)) role="group" aria-label="Services and what they depend on; the same stands in the table below" {
                    @for service in &linked { @for other in &service.depends_on {
                        @if let (Some(from), Some(to)) = (places.get(service.name.as_str()), places.get(other.as_str())) {
                            @let cause = service.governed.as_ref().is_some_and(|it| it.because_of.as_ref() == Some(other));
                            path class=(if cause { "ns edge cause" } else { "ns edge" }) d=(edge(*from, *to)) {}
                        }
                    } }
                    @for service in &ordered {
                        @let (x, y) = places.get(service.name.as_str()).copied().unwrap_or_default();
                        @let name = condition(service).name();
                        a href=(service_path(&service.name)) aria-label={ (service.name) ": " (name) } {
                            g class={ "node " (name) } transform={ "translate(" (at(x)) " " (at(y)) ")" } {
                                title { (service.name) ": " (name) }
                                rect width=(at(BOX.0)) height=(at(BOX.1)) rx="6" {}
                                use href={ "#c-" (name) } x="10" y="14" width="16" height="16" {}
                                text.i x="34" y="19" { (short(&service.name)) }
                                text x="34" y="34" { (says(service)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn short(name: &str) -> String {
    match name.chars().count() > NAME_MAX {
        true => name.chars().take(NAME_MAX - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

fn says(service: &ServiceView) -> String {
    let left = service.tightest().and_then(|it| it.budget_left);
    let rate = figure::rate(service.traffic.requests_per_second);
    match condition(service) {
        Condition::Unknown => "unknown".to_owned(),
        condition => format!(
            "{}, {} left, {rate}/s",
            condition.name(),
            figure::budget_left(left, " ")
        ),
    }
}

/// From the right of one to the left of the other.
fn edge(from: (f64, f64), to: (f64, f64)) -> String {
    let (x, y) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0);
    let (end, last) = (to.0, to.1 + BOX.1 / 2.0);
    let bend = ROOM.0 / 2.0;
    format!(
        "M{} {}C{} {} {} {} {} {}",
        at(x),
        at(y),
        at(x + bend),
        at(y),
        at(end - bend),
        at(last),
        at(end),
        at(last)
    )
}

fn table(snapshot: &Snapshot) -> Markup {
    let mut all: Vec<&ServiceView> = snapshot.services.iter().collect();
    all.sort_by_key(|it| (urgency(condition(it)), it.name.as_str()));
    let needed = |name: &String| -> Vec<&str> {
        let needs = snapshot
            .services
            .iter()
            .filter(|it| it.depends_on.contains(name));
        needs.map(|it| it.name.as_str()).collect()
    };
    html! {
        section.panel aria-label="Services" {
            div.scroll tabindex="0" role="region" aria-label="Services and what they depend on" { table {
                thead { tr { th scope="col" { "Service" } th scope="col" { "Condition" } th scope="col" { "Depends on" } th scope="col" { "Needed by" } th scope="col" { "Burns because of" } th.r scope="col" { "Budget left" } } }
                tbody { @for service in all { tr data-key=(service.name) {
                    th scope="row" { a href=(service_path(&service.name)) { (service.name) } }
                    td { (chip(condition(service), "")) }
                    td { (names(service.depends_on.iter().map(String::as_str))) }
                    td { (names(needed(&service.name).into_iter())) }
                    td { @if let Some(other) = service.governed.as_ref().and_then(|it| it.because_of.as_ref()) { a href=(service_path(other)) { (other) } } }
                    td.r { (unknown(figure::budget_left(service.tightest().and_then(|it| it.budget_left), " "))) }
                } } }
            } }
        }
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Markup {
    html! { @for (place, name) in names.enumerate() { @if place > 0 { ", " } a href=(service_path(name)) { (name) } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::service;

    #[test]
    fn who_is_needed_stands_to_the_right_also_where_there_is_a_cycle() {
        let made = |name: &str, needs: &[&str]| {
            let mut service = service(name, Condition::Healthy);
            service.depends_on = needs.iter().map(|it| (*it).to_owned()).collect();
            service
        };
        let all = [
            made("a", &["b", "gone"]),
            made("b", &["c"]),
            made("c", &[]),
            made("d", &["c", "d"]),
        ];
        let all: Vec<&ServiceView> = all.iter().collect();
        let columns = columns(&all);
        assert_eq!(["a", "b", "c", "d"].map(|it| columns[it]), [0, 1, 2, 0]);
        let cycle = [made("a", &["b"]), made("b", &["a"])];
        let cycle: Vec<&ServiceView> = cycle.iter().collect();
        assert!(super::columns(&cycle).values().all(|it| *it <= 12));
    }
}
