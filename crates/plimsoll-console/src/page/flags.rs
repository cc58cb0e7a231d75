//! `/flags`: what each flag is by default, what is set of it and by whom, what should go. `/flags/KEY`: one, with its
//! definition and its changes.

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Condition, figure};

use super::parts::{moment, segment, service_path, shape, since, until};
use super::record::Record;
use super::{Page, Place, Section, Sight};
use crate::api::no_flag;
use crate::flag::{FlagList, FlagView};
use crate::page::rollout_path;
use crate::problem::Problem;

/// Records that are listed.
const LISTED_MAX: usize = 20;

/// The path of a flag's page.
fn path(key: &str) -> String {
    format!("/flags/{}", segment(key))
}

pub(super) fn list(sight: &Sight) -> Page {
    let none = FlagList::default();
    let flags = sight.flags.as_ref().unwrap_or(&none);
    let mut all: Vec<&FlagView> = flags.flags.iter().collect();
    // What somebody set comes first, then what should go.
    all.sort_by_key(|it| (!is_moved(it), it.stale.is_none(), it.key.clone()));
    let markup = html! {
        section.panel aria-label="Flags" {
            @if all.is_empty() {
                p.pad.q { "There are no flags. In the configuration, " code { "[flags]" } " has a " code { "file" } " in flagd's format, or " code { "managed = true" } "." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Flags" { table {
                    thead { tr { th scope="col" { "Flag" } th scope="col" { "State" } th scope="col" { "By default" } th.r scope="col" { "Asked for" } th scope="col" { "What to know" } } }
                    tbody { @for it in all { tr {
                        th scope="row" { a href=(path(&it.key)) { (it.key) } @if let Some(owner) = &it.owner { br; span.s.q { (owner) } } }
                        td { (state(it)) }
                        td { (by_default(it)) }
                        td.r.n { (it.evaluations) }
                        td.q { (known(it, sight.snapshot.now)) }
                    } } }
                } }
            }
        }
    };
    Page {
        status: StatusCode::OK,
        title: "Flags".to_owned(),
        place: Place::Flags,
        is_live: true,
        sections: vec![
            Section {
                id: "head",
                markup: html! { header.title { h1 { "Flags" } span.q {
                    @match flags.source.as_str() {
                        "none" => "there are none",
                        "managed" => "kept by Plimsoll, changed with plimsoll flag",
                        file => { "read from " (file) }
                    }
                } } },
            },
            Section {
                id: "flags",
                markup,
            },
        ],
    }
}

pub(super) fn page(key: &str, sight: &Sight) -> Page {
    let Some(flag) = &sight.flag else {
        return super::refusal(&no_flag(key));
    };
    let now = sight.snapshot.now;
    let told = sight.told.as_ref();
    Page {
        status: StatusCode::OK,
        title: flag.key.clone(),
        place: Place::Flags,
        is_live: true,
        sections: vec![
            Section {
                id: "head",
                markup: head(flag, now),
            },
            Section {
                id: "definition",
                markup: definition(flag),
            },
            Section {
                id: "changes",
                markup: changes(
                    told.records.as_ref().map(|it| Record::all(&it.records)),
                    flag.version.is_some(),
                ),
            },
        ],
    }
}

/// Whether something stands above its definition.
fn is_moved(flag: &FlagView) -> bool {
    flag.set.is_some() || flag.rollout.is_some() || flag.dimmed.is_some()
}

/// Shape and word: what somebody or something has taken from users is not as it is defined.
fn state(flag: &FlagView) -> Markup {
    let (condition, word) = match flag.enabled {
        false => (Condition::Unknown, "disabled"),
        true if flag.dimmed.is_some() => (Condition::Burning, "dimmed"),
        true if flag.set.is_some() => (Condition::Healthy, "set"),
        true => (Condition::Healthy, "on"),
    };
    html! { span class={ "cond " (condition.name()) } { (shape(condition)) (word) } }
}

fn by_default(flag: &FlagView) -> Markup {
    html! {
        @match &flag.default {
            Some(variant) => code { (variant) },
            None => span.q { "the code's own" },
        }
        @if flag.targeting { span.s.q { ", after its rules" } }
    }
}

fn known(flag: &FlagView, now: Timestamp) -> Markup {
    html! {
        @if let Some(set) = &flag.set {
            (set.verb) @if let Some(variant) = &set.variant { " " code { (variant) } } " by " (set.by) ": " (set.why)
            @if let Some(end) = set.until { ", until " (until(end, now)) " UTC" }
            br;
        }
        @if let Some(rollout) = &flag.rollout { "rolled out by " a href=(rollout_path(rollout)) { (rollout) } br; }
        @if let Some(dimmed) = &flag.dimmed {
            "off for " (figure::percent(Some(dimmed.share), " ")) " of users, as " a href=(service_path(&dimmed.service)) { (dimmed.service) } " leaves it out" br;
        }
        @if let Some(stale) = &flag.stale { "stale: " (stale) }
    }
}

fn head(flag: &FlagView, now: Timestamp) -> Markup {
    html! {
        header.cols {
            div.title {
                h1 { (flag.key) }
                span aria-live="polite" { (state(flag)) }
                @if let Some(owner) = &flag.owner { span.q { (owner) } }
            }
            p.lead { (known(flag, now)) }
            dl.pairs {
                div { dt { "By default" } dd { (by_default(flag)) } }
                div { dt { "Variants" } dd { @for (place, variant) in flag.variants.iter().enumerate() { @if place > 0 { ", " } code { (variant) } } } }
                div { dt { "Asked for over OFREP" } dd { (flag.evaluations) " times since Plimsoll began" } }
                @if let Some(changed) = &flag.changed { div { dt { "Changed" } dd { (since(changed.at, now)) " UTC by " (changed.by) ": " (changed.why) } } }
            }
        }
    }
}

fn definition(flag: &FlagView) -> Markup {
    let text = flag.definition.as_ref().map(|it| format!("{it:#}"));
    html! {
        section.panel aria-labelledby="definition-title" {
            div.head { h2 #definition-title { "Definition" } }
            @match text {
                Some(text) => pre.pad tabindex="0" role="region" aria-labelledby="definition-title" { (text) },
                None => p.pad.q { "It is not known." },
            }
        }
    }
}

/// `is_managed`: else what has changed in the file is one record of all its flags.
fn changes(records: Result<Vec<Record>, &Problem>, is_managed: bool) -> Markup {
    html! {
        section.panel aria-labelledby="changes-title" {
            div.head { h2 #changes-title { "Changes" } span.q { "of seven days, the newest first" } }
            @match records {
                Err(problem) => p.pad.q { "The journal can't be read: " (problem) },
                Ok(records) if records.is_empty() && !is_managed => p.pad.q { "The file is journaled as a whole: " a href="/decisions?text=flags" { "changes of flags" } "." },
                Ok(records) if records.is_empty() => p.pad.q { "There were none." },
                Ok(records) => div.scroll tabindex="0" role="region" aria-labelledby="changes-title" { table {
                    thead { tr { th scope="col" { "Record" } th scope="col" { "Time (UTC)" } th scope="col" { "What" } } }
                    tbody { @for it in records.iter().rev().take(LISTED_MAX) { tr {
                        th scope="row" { a href=(it.path()) { "#" (it.sequence) } }
                        td.n { (moment(it.at)) }
                        td { (it.text) }
                    } } }
                } },
            }
        }
    }
}
