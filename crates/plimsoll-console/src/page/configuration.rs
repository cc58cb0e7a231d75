//! `/configuration`: what is in force: the file as it was read, and what people hold on top of it.
//!
//! Where a value is kept elsewhere (`{ env = ... }`, `{ file = ... }`), the reference is shown and never the value; what
//! may be secret in the file itself is left out.

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_measure::{Snapshot, figure};

use super::parts::{Ending, ending, moment, service_path};
use super::{Page, Place, Section, Sight};
use crate::access::Caller;
use crate::change::{Configurations, WatchView};

/// How many versions are shown; the others are listed by the command.
const VERSIONS_MAX: usize = 10;
/// How much of the file is shown.
const TEXT_BYTES_MAX: usize = 100 << 10;

pub(super) fn page(sight: &Sight) -> Page {
    let snapshot = sight.snapshot.as_ref();
    let sections = vec![
        Section {
            id: "head",
            markup: html! { header.title { h1 { "Configuration" } span.q { "in force: the file, then what people hold" } } },
        },
        Section {
            id: "version",
            markup: version(snapshot),
        },
        Section {
            id: "versions",
            markup: versions(&sight.configurations),
        },
        Section {
            id: "overlay",
            markup: overlay(snapshot, sight.who.as_ref()),
        },
        Section {
            id: "file",
            markup: file(sight),
        },
    ];
    Page {
        status: StatusCode::OK,
        title: "Configuration".to_owned(),
        place: Place::Configuration,
        is_live: true,
        sections,
    }
}

fn version(snapshot: &Snapshot) -> Markup {
    let config = &snapshot.config;
    html! {
        section.panel.pad aria-label="Version" {
            dl.facts.first {
                div { dt { "File" } dd.code { (config.path.as_deref().unwrap_or("none: run --to")) } }
                div { dt { "Hash" } dd.code { (config.hash) } }
                div { dt { "In force since" } dd { (moment(config.loaded_at)) " UTC" } }
                div { dt { "Mode" } dd { (snapshot.mode.name()) } }
                div { dt { "Services" } dd { (snapshot.services.len()) } }
                div { dt { "Plimsoll" } dd { (snapshot.version) ", up " (figure::duration(snapshot.uptime_seconds - snapshot.uptime_seconds % 60.0)) } }
            }
            div.cmd { code { "plimsoll plan" } span.s.q { "what the file would change; " code { "plimsoll apply" } " puts that in force and watches it" } }
            div.cmd { code { "plimsoll reload" } span.s.q { "reads the file again; an invalid one is refused and this one stays" } }
            p.s { a href="/decisions?kind=change" { "What was changed, and when" } }
        }
    }
}

/// What was in force, and how the last change goes.
fn versions(all: &Configurations) -> Markup {
    html! {
        section.panel aria-label="Versions" {
            div.head { h2 { "Versions" } span.end.s.q { "what was in force, the latest first" } }
            @if let Some(aside) = &all.set_aside { p.pad { strong { "The file on disk is not in force: " } (aside) } }
            @if let Some(watch) = &all.watch { p.pad { (watched(watch)) } }
            @if all.configurations.is_empty() { p.pad.q { "None is kept." } }
            @else { div.scroll tabindex="0" role="region" aria-label="Versions" { table {
                thead { tr { th.r scope="col" { "Number" } th scope="col" { "Since, UTC" } th scope="col" { "How" } th scope="col" { "Who" } th scope="col" { "Why" } th scope="col" { "SHA-256" } } }
                tbody { @for kept in all.configurations.iter().take(VERSIONS_MAX) { tr {
                    th.r scope="row" { (kept.number) @if kept.in_force { span.q { " in force" } } }
                    td.n { (moment(kept.at)) }
                    td { (kept.how) }
                    td.wrap { (kept.by) }
                    td.wrap { (kept.why.as_deref().unwrap_or("")) }
                    td.code { (kept.sha256.chars().take(12).collect::<String>()) }
                } } }
            } } }
            div.cmd.pad { code { "plimsoll config rollback NUMBER" } span.s.q { "puts one in force again" } }
        }
    }
}

fn watched(watch: &WatchView) -> Markup {
    let services = match watch.services.as_slice() {
        [only] => only.clone(),
        all => format!("{} services", all.len()),
    };
    html! {
        "The change by " (watch.by) " of " (moment(watch.since)) " UTC: " strong { (watch.state) }
        @if watch.state == "watching" { " until " (moment(watch.until)) " UTC" }
        ", " (services) "; " (watch.evidence)
    }
}

fn overlay(snapshot: &Snapshot, who: Option<&Caller>) -> Markup {
    let who = who.filter(|who| who.operates());
    let owner = |name: &str| {
        let mut services = snapshot.services.iter();
        services.find(|it| it.name == name)?.owner.as_deref()
    };
    html! {
        section.panel aria-label="Overlay" {
            div.head { h2 { "Overlay" } span.end.s.q { "what people hold for a while; it survives restarts" } }
            @if snapshot.overlay.is_empty() { p.pad.q { "Nothing is held." } }
            @else { div.scroll tabindex="0" role="region" aria-label="Overlay" { table {
                thead { tr { th scope="col" { "Service" } th scope="col" { "What" } th scope="col" { "Who" } th scope="col" { "Why" } th scope="col" { "Since, UTC" } th scope="col" { "Until, UTC" } th.r scope="col" { "Record" } @if who.is_some() { th scope="col" { "Early" } } } }
                tbody { @for entry in &snapshot.overlay { tr {
                    th scope="row" { a href=(service_path(&entry.service)) { (entry.service) } }
                    td { (entry.says) }
                    td.wrap { (entry.by) }
                    td.wrap { (entry.why) }
                    td.n { (moment(entry.since)) }
                    td.n { (moment(entry.until)) }
                    td.r { @match entry.journal { Some(record) => a href={ "/decisions/" (record) } { "#" (record) }, None => span.q { "waiting" } } }
                    @if who.is_some() { td { (ending(entry, who, owner(&entry.service), Ending::Short)) } }
                } } }
            } } }
        }
    }
}

fn file(sight: &Sight) -> Markup {
    let text = sight.configuration.as_ref();
    let mut end = TEXT_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown = text.get(..end).unwrap_or_default();
    html! {
        section.panel.pad aria-label="File" {
            h2 { "File" }
            p.s.q { "As it was read. What it refers to is not looked up; keys of tenants and addresses of notifiers are left out." }
            @if text.is_empty() { p { "There is none: the process was started with " code { "--to" } "." } }
            @else { pre tabindex="0" { (shown) @if end < text.len() { "\n… and " (text.len() - end) " bytes more" } } }
        }
    }
}
