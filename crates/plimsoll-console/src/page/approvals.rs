//! `/approvals`: what waits for the approval of others, then what came of earlier requests; and one of them.

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::ApprovalView;

use super::parts::{moment, service_path, since, until};
use super::{Page, Place, Section, Sight};
use crate::access::{Caller, Role};
use crate::act::approval_path;
use crate::api::no_approval;
use crate::approval::ApprovalVerb;

/// Those that do not wait any more and are listed; more are in the journal.
const ENDED_MAX: usize = 50;

/// A link to a request.
pub(crate) fn path(id: u64) -> String {
    format!("/approvals/{id}")
}

pub(super) fn page(sight: &Sight) -> Page {
    let now = sight.snapshot.now;
    let (waiting, ended): (Vec<&ApprovalView>, Vec<&ApprovalView>) =
        sight.approvals.iter().partition(|it| it.state == "waiting");
    let sections = vec![
        Section {
            id: "head",
            markup: html! { header.title { h1 { "Approvals" } span.q { "what others are to agree to before it is done" } } },
        },
        Section {
            id: "waiting",
            markup: html! {
                @if waiting.is_empty() { section.panel.pad aria-label="Waiting" { p.q { "Nothing waits for approval." } } }
                @for it in &waiting { (card(it, now, sight.who.as_ref(), false)) }
            },
        },
        Section {
            id: "ended",
            markup: past(&ended, now),
        },
    ];
    Page {
        status: StatusCode::OK,
        title: "Approvals".to_owned(),
        place: Place::Approvals,
        is_live: true,
        sections,
    }
}

/// `/approvals/ID`
pub(super) fn one(id: u64, sight: &Sight) -> Page {
    let Some(it) = sight.approvals.iter().find(|it| it.id == id) else {
        return super::refusal(&no_approval(id));
    };
    Page {
        status: StatusCode::OK,
        title: format!("#{id}: {}", it.says),
        place: Place::Approvals,
        is_live: true,
        sections: vec![Section {
            id: "request",
            markup: card(it, sight.snapshot.now, sight.who.as_ref(), true),
        }],
    }
}

/// One request with all that whoever approves it must know. `alone`: it is all of its page.
fn card(it: &ApprovalView, now: Timestamp, who: Option<&Caller>, alone: bool) -> Markup {
    let title = format!("request-{}", it.id);
    let waits = it.state == "waiting";
    html! {
        section.panel.pad aria-labelledby=(title) {
            @if alone { h1.wrap #(title) { "#" (it.id) ": " (it.says) } }
            @else { h2.wrap #(title) { a href=(path(it.id)) { "#" (it.id) } ": " (it.says) } }
            p.lead {
                b { (it.by) } " asked " (since(it.since, now)) " UTC"
                @if let Some(why) = &it.why { ": " (why) } @else { ", without saying why" }
            }
            dl.pairs {
                @if waits {
                    div { dt { "Needs" } dd { (it.needs()) } }
                    div { dt { "Waits until" } dd { (until(it.until, now)) " UTC, then it expires" } }
                } @else {
                    div { dt { "What came of it" } dd { (it.came) ", " (since(it.changed, now)) " UTC" } }
                }
                @if !it.approved_by.is_empty() { div { dt { "Approved by" } dd { (it.approved_by.join(", ")) } } }
                @if !it.services.is_empty() {
                    div { dt { "Touches" } dd.wrap { @for (place, name) in it.services.iter().enumerate() { @if place > 0 { ", " } a href=(service_path(name)) { (name) } } } }
                }
                div { dt { "Hash" } dd.code.wrap { (it.content) } }
                @if let Some(record) = it.journal { div { dt { "Record" } dd { a href={ "/decisions/" (record) } { "#" (record) } } } }
            }
            h3 { "What would be done" }
            ul.effect { @for line in &it.effect { li { (line) } } }
            @if waits { (buttons(it, who)) }
        }
    }
}

/// What may be said to it, for whoever may.
fn buttons(it: &ApprovalView, who: Option<&Caller>) -> Markup {
    let Some(who) = who.filter(|who| who.operates()) else {
        return html! {};
    };
    let is_own = who.name == it.by;
    let agreed = it.approved_by.contains(&who.name);
    let why_not = match who.needs(Role::Approver) {
        _ if is_own => Some("another person has to approve what you asked for".to_owned()),
        Err(problem) => Some(problem.to_string()),
        Ok(()) => None,
    };
    let already = agreed.then(|| "you approved it".to_owned());
    html! {
        div.btns {
            @match why_not.clone().or(already) {
                Some(why) => button.btn type="button" disabled title=(why) { "Approve…" },
                None => a.btn.go href=(approval_path(it.id, ApprovalVerb::Approve)) { "Approve…" },
            }
            @if is_own {
                a.btn href=(approval_path(it.id, ApprovalVerb::Withdraw)) { "Withdraw…" }
            } @else {
                @match why_not {
                    Some(why) => button.btn type="button" disabled title=(why) { "Refuse…" },
                    None => a.btn href=(approval_path(it.id, ApprovalVerb::Refuse)) { "Refuse…" },
                }
            }
        }
    }
}

fn past(ended: &[&ApprovalView], now: Timestamp) -> Markup {
    html! {
        section.panel aria-label="Earlier requests" {
            div.head { h2 { "Earlier" } span.end.s.q { "the latest first; all of them are in the journal" } }
            @if ended.is_empty() { p.pad.q { "There were none." } }
            @else { div.scroll tabindex="0" role="region" aria-label="Earlier requests" { table {
                thead { tr { th scope="col" { "Request" } th scope="col" { "What" } th scope="col" { "Who asked" } th scope="col" { "What came of it" } th scope="col" { "When, UTC" } } }
                tbody { @for it in ended.iter().take(ENDED_MAX) { tr {
                    th scope="row" { a href=(path(it.id)) { "#" (it.id) } }
                    td.wrap { (it.says) }
                    td.wrap { (it.by) }
                    td.wrap { (it.came) }
                    td.n title=(since(it.changed, now)) { (moment(it.changed)) }
                } } }
            } } }
        }
    }
}
