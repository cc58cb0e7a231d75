//! `/decisions`: the journal, the newest first; and one record with its evidence and what came of it.

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Snapshot, figure};
use serde::Deserialize;

use super::parts::{clock, moment, segment, service_path, target, what_and_why};
use super::record::Record;
use super::{Page, Place, Section, Sight};
use crate::problem::Problem;
use crate::wire::JournalQuery;

/// Records of a page.
pub(super) const PAGE_RECORDS: u32 = 50;
/// The kinds that can be chosen.
const KINDS: [&str; 15] = [
    "decision",
    "outcome",
    "onset",
    "incident",
    "change",
    "overlay",
    "freeze",
    "approval",
    "break-glass",
    "endpoint",
    "maintenance",
    "refusal",
    "process",
    "token",
    "gap",
];
/// How much of a record's body is shown.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Which records are shown. What a form sends empty is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct DecisionsQuery {
    service: Option<String>,
    kind: Option<String>,
    text: Option<String>,
    since: Option<String>,
    until: Option<String>,
    before: Option<String>,
}

/// Which record is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct RecordQuery {
    writer: Option<String>,
}

impl DecisionsQuery {
    pub(super) fn asked(&self) -> JournalQuery {
        let given = |value: &Option<String>| value.clone().filter(|it| !it.is_empty());
        JournalQuery {
            kind: given(&self.kind),
            subject: given(&self.service).map(|service| format!("service/{service}")),
            since: given(&self.since),
            until: given(&self.until),
            text: given(&self.text),
            before: given(&self.before),
            count: Some(PAGE_RECORDS),
            ..JournalQuery::default()
        }
    }

    /// Whether what is new belongs on the page.
    pub(super) fn is_newest(&self) -> bool {
        self.before.is_none()
    }

    /// The same with another place.
    fn path(&self, before: Option<&str>) -> String {
        let mut path = "/decisions".to_owned();
        let given = [
            ("service", self.service.as_deref()),
            ("kind", self.kind.as_deref()),
            ("text", self.text.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("before", before),
        ];
        for (key, value) in given {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let mark = if path.contains('?') { '&' } else { '?' };
                path.push_str(&format!("{mark}{key}={}", segment(value)));
            }
        }
        path
    }
}

pub(super) fn page(query: &DecisionsQuery, sight: &Sight) -> Page {
    let snapshot = sight.snapshot.as_ref();
    let sections = vec![
        Section {
            id: "head",
            markup: html! { header.title { h1 { "Decisions" } span.q { "the journal: what was decided and changed, on which evidence, and what came of it" } } },
        },
        Section {
            id: "verified",
            markup: verified(snapshot),
        },
        Section {
            id: "filter",
            markup: filter(query, snapshot),
        },
        Section {
            id: "records",
            markup: records(query, sight),
        },
    ];
    Page {
        status: StatusCode::OK,
        title: "Decisions".to_owned(),
        place: Place::Decisions,
        is_live: query.is_newest(),
        sections,
    }
}

/// How the journal is, and how anybody can check it.
fn verified(snapshot: &Snapshot) -> Markup {
    let Some(journal) = &snapshot.journal else {
        return html! { section.panel.pad.unknown { p { "How the journal is is not known." } } };
    };
    html! {
        section.panel.pad aria-label="State of the journal" {
            @if let Some(failure) = &journal.failure {
                p.tone.burning.b {
                    "The journal can't be written since " (moment(failure.since)) " UTC: " (failure.why) ". Decisions go on and are kept in memory, "
                    (figure::count(journal.waiting)) " waiting."
                }
            }
            @if journal.lost_total > 0 { p.tone.severe.b { (figure::count(journal.lost_total)) " records were lost: see its gaps." } }
            dl.facts.first {
                div { dt { "Chain ends at" } dd { @match journal.last_sequence { Some(last) => { "#" (last) } None => "unknown" } } }
                div { dt { "Written since the start" } dd { (figure::count(journal.records_total)) } }
                div { dt { "Waiting" } dd { (figure::count(journal.waiting)) } }
                div { dt { "Its head is signed" } dd { "each minute" } }
            }
            div.cmd { code { "plimsoll journal verify" } span.s.q { "checks every hash, and the end against signed heads" } }
        }
    }
}

fn filter(query: &DecisionsQuery, snapshot: &Snapshot) -> Markup {
    let chosen = |value: &Option<String>, it: &str| value.as_deref() == Some(it);
    html! {
        form.panel.pad.filter action="/decisions" method="get" role="search" aria-label="Filter" {
            label { span { "Service" } select name="service" {
                option value="" { "all" }
                @for service in &snapshot.services { option value=(service.name) selected[chosen(&query.service, &service.name)] { (service.name) } }
            } }
            label { span { "Kind" } select name="kind" {
                option value="" { "all" }
                @for kind in KINDS { option value=(kind) selected[chosen(&query.kind, kind)] { (kind) } }
            } }
            label { span { "Text" } input #find type="search" name="text" maxlength="128" value=[query.text.as_deref()]; }
            label { span { "Since" } input type="text" name="since" size="12" maxlength="32" placeholder="1h, 2026-11-26" value=[query.since.as_deref()]; }
            label { span { "Until" } input type="text" name="until" size="12" maxlength="32" placeholder="UTC" value=[query.until.as_deref()]; }
            button.btn { "Filter" }
            @if query.path(None) != "/decisions" { a.btn href="/decisions" { "All" } }
        }
    }
}

fn records(query: &DecisionsQuery, sight: &Sight) -> Markup {
    let answer = match &sight.told.records {
        Ok(answer) => answer,
        Err(problem) => return failed(problem, &sight.snapshot),
    };
    let all = Record::all(&answer.records);
    let mut date = String::new();
    html! {
        section.panel aria-label="Records" {
            @if all.is_empty() { p.pad.q { "No record is like that." } }
            ol.journal {
                @for record in all.iter().rev() {
                    @let day: String = clock(record.at).chars().take(10).collect();
                    @if day != date { li.day { (day) } }
                    ({ date = day; "" })
                    (row(record))
                }
            }
            nav.pad.btns aria-label="Pages of the journal" {
                @if !query.is_newest() { a.btn href=(query.path(None)) { "Newest" } }
                @if let Some(next) = &answer.next { a.btn rel="next" href=(query.path(Some(next))) { "Older" } }
            }
        }
    }
}

/// In the place of what can't be shown: what failed, and what still works.
fn failed(problem: &Problem, snapshot: &Snapshot) -> Markup {
    let waiting = snapshot.journal.as_ref().map_or(0, |it| it.waiting);
    html! {
        section.panel.pad.warn aria-label="Records" {
            p.b { (problem) }
            p { "Decisions go on, " (figure::count(waiting)) " wait in memory. What the process remembers:" }
            ol.dec { @for event in &snapshot.recent_events { (super::fleet::event_line(event, true)) } }
        }
    }
}

fn row(record: &Record) -> Markup {
    let (what, why) = what_and_why(&record.text);
    html! {
        li class={ "k-" (record.kind.chars().filter(char::is_ascii_lowercase).collect::<String>()) } data-key={ (record.writer) "/" (record.sequence) } {
            (glyph(record))
            span.q { time datetime=(record.at.to_rfc3339()) { (figure::clock(record.at, 8)) } }
            span.kind.s.q { (record.kind) }
            span.about { (record.about()) }
            span.said { a href=(record.path()) { (what) } @if !why.is_empty() { " " span.s.q.why { (why) } } }
            span.eff.s.qq {
                "#" (record.sequence)
                @if let Some(cites) = record.cites { " of " a href={ "/decisions/" (cites) "?writer=" (segment(&record.writer)) } { "#" (cites) } }
            }
        }
    }
}

/// A filled square: decided; a hollow one: it would have been; a triangle: people did it.
fn glyph(record: &Record) -> Markup {
    html! {
        svg.no viewBox="0 0 18 18" aria-hidden="true" {
            @match record.kind.as_str() {
                "decision" => { rect class=(if record.is_would() { "decision would-be" } else { "decision" }) x="3" y="3" width="12" height="12" rx="3" {} }
                "outcome" => { path.ns d="M4 9h10M10 5l4 4-4 4" stroke="currentColor" stroke-width="1.4" {} }
                "onset" => { path.onset d="M9 1v16" {} }
                "change" | "overlay" | "token" | "maintenance" | "freeze" | "approval" | "break-glass" => { path.change d="M2 4h14L9 16Z" {} }
                _ => { circle cx="9" cy="9" r="3" fill="var(--line-strong)" {} }
            }
        }
    }
}

/// The record at a place, of one writer or of all.
pub(super) fn record(sequence: u64, query: &RecordQuery, sight: &Sight) -> Page {
    let answer = match &sight.told.records {
        Ok(answer) => answer,
        Err(problem) => return super::refusal(problem),
    };
    let all = Record::all(&answer.records);
    let mut found = all.iter().filter(|it| it.sequence == sequence);
    let mine = |it: &&Record| {
        query
            .writer
            .as_ref()
            .is_none_or(|writer| *writer == it.writer)
    };
    let Some(record) = found.rfind(mine) else {
        return super::refusal(&Problem::not_found(format!(
            "the journal has no record #{sequence} any more, or not yet: old ones are forgotten after `journal.keep`"
        )));
    };
    let mut citing = Record::all(&sight.told.citing);
    citing.retain(|it| it.writer == record.writer);
    Page {
        status: StatusCode::OK,
        title: format!("Record {sequence}"),
        place: Place::Decisions,
        is_live: false,
        sections: vec![Section {
            id: "record",
            markup: whole(
                record,
                &citing,
                sight.told.lacks.as_ref(),
                sight.snapshot.now,
            ),
        }],
    }
}

fn whole(record: &Record, citing: &[Record], lacks: Option<&Problem>, now: Timestamp) -> Markup {
    let (what, why) = what_and_why(&record.text);
    let mut body = serde_json::to_string_pretty(&record.body).unwrap_or_default();
    let whole = body.len();
    let mut end = BODY_BYTES_MAX.min(whole);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    body.truncate(end);
    let decision = record.body.get("decision");
    html! {
        header.title {
            h1 { "#" (record.sequence) " " (what) }
            span.q { (record.kind) " · " (record.about()) " · " (moment(record.at)) " UTC, " (figure::duration(now.since(record.at).as_secs_f64())) " ago" }
            div.btns {
                a.btn href="/decisions" { "All decisions" }
                @if let Some(service) = record.service() { a.btn href=(service_path(service)) { (service) } }
            }
        }
        div.cols.g2.record {
            div.cols {
                section.panel.pad {
                    h2 { "What" }
                    p.lead { (what) @if record.is_would() { span.would { " (observing: it was not done)" } } }
                    @if !why.is_empty() { p.q { (why) } }
                    @if let Some(cites) = record.cites { p { "It is what came of " a href={ "/decisions/" (cites) "?writer=" (segment(&record.writer)) } { "#" (cites) } "." } }
                }
                section.panel {
                    div.head { h2 { "What came of it" } }
                    @if let Some(problem) = lacks { p.pad.tone.burning { (problem) } }
                    @else if citing.is_empty() { p.pad.q { @if record.what() == Some("move") { "Not measured yet, or not done." } @else { "No record cites it." } } }
                    ol.journal { @for other in citing { (row(other)) } }
                }
                @if let Some(evidence) = decision.and_then(|it| it.get("evidence")).filter(|it| !it.is_null()) { (spans(evidence)) }
            }
            div.cols {
                section.panel.pad {
                    h2 { "In the chain" }
                    dl.pairs {
                        div { dt { "Writer" } dd.code { (record.writer) } }
                        div { dt { "Hash" } dd.code { (record.hash) } }
                        div { dt { "Of the one before" } dd.code { (record.previous) } }
                    }
                    div.cmd { code { "plimsoll journal verify" } span.s.q { "checks that it is what was written" } }
                }
            }
        }
        section.panel.pad {
            h2 { "All that it holds" }
            pre tabindex="0" { (body) @if whole > BODY_BYTES_MAX { "\n… and " (whole - BODY_BYTES_MAX) " bytes more: plimsoll journal export" } }
        }
    }
}

/// What a decision rests on, span by span.
fn spans(evidence: &serde_json::Value) -> Markup {
    let text = |key: &str| {
        evidence
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    let share = |key: &str| evidence.get(key).and_then(serde_json::Value::as_f64);
    let spans = evidence.get("spans").and_then(serde_json::Value::as_array);
    html! {
        section.panel {
            div.head { h2 { "Evidence" } span.end.s.q { (text("objective")) ", target " (share("target").map_or("unknown".to_owned(), target)) ", budget left " (figure::budget_left(share("budget_left"), " ")) } }
            div.scroll tabindex="0" role="region" aria-label="Evidence" { table.tight {
                thead { tr { th scope="col" { "over" } th.r scope="col" { "good" } th.r scope="col" { "bad" } th.r scope="col" { "of the service" } th.r scope="col" { "bad share" } } }
                tbody { @for span in spans.into_iter().flatten().take(12) {
                    @let count = |key: &str| span.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
                    @let all = count("good") + count("bad");
                    tr {
                        th scope="row" { (figure::duration(count("seconds") as f64)) }
                        td.r { (figure::count(count("good"))) } td.r { (figure::count(count("bad"))) } td.r { (figure::count(count("bad_service"))) }
                        td.r { @if all > 0 { (figure::percent(Some(count("bad") as f64 / all as f64), " ")) } @else { "no traffic" } }
                    }
                } }
            } }
        }
    }
}
