//! What happened, from the journal, the newest first: signals, decisions, changes, and what people did.

use maud::{Markup, PreEscaped, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Condition, figure, incident, wire};

use super::View;
use crate::page::parts::{clock, segment, what_and_why};
use crate::page::record::Record;

/// Records that are listed: the newest, and the first, which say how it began. The journal has them all.
const NEWEST_MAX: usize = 90;
const FIRST_MAX: usize = 30;

pub(super) fn timeline(view: &View<'_>) -> Markup {
    let outcomes: Vec<&Record> = view
        .records
        .iter()
        .filter(|it| it.kind == "outcome")
        .collect();
    let told: Vec<&Record> = view
        .records
        .iter()
        .filter(|it| it.kind != "outcome")
        .collect();
    let today = day(view.sight.snapshot.now);
    let rows = rows(&told, &view.sight.told.left_out, today);
    html! {
        section.panel aria-labelledby="timeline-title" {
            div.head { h2 #timeline-title { "Timeline" } span.end.s.q { "from the journal, newest first" } }
            @if told.is_empty() { p.pad.q { "Nothing of its time is in the journal that can be read now." } }
            ol.tl aria-live="polite" {
                @for row in rows {
                    @match row {
                        Row::Day(day) => li.day { (day) },
                        Row::LeftOut(from, until) => li.day {
                            "more between " (clock(from)) " and " (clock(until)) ": "
                            a href={ "/decisions?service=" (segment(&view.incident.service)) } { "in the journal" }
                        },
                        Row::Record(record) => {
                            @let outcome = outcomes.iter().find(|it| it.cites == Some(record.sequence) && it.writer == record.writer);
                            (line(record, outcome.copied()))
                        }
                    }
                }
            }
        }
    }
}

/// A line of it.
enum Row<'a> {
    Record(&'a Record),
    /// What follows is of this day.
    Day(String),
    /// There are more between these times.
    LeftOut(Timestamp, Timestamp),
}

/// The newest first, of `today` without its date.
fn rows<'a>(
    told: &[&'a Record],
    left_out: &[(Timestamp, Timestamp)],
    today: String,
) -> Vec<Row<'a>> {
    let mut left_out = left_out.to_vec();
    let mut shown: Vec<&Record> = told.to_vec();
    if told.len() > NEWEST_MAX + FIRST_MAX {
        let (first, rest) = told.split_at(FIRST_MAX);
        let (_, newest) = rest.split_at(rest.len().saturating_sub(NEWEST_MAX));
        if let (Some(last), Some(next)) = (first.last(), newest.first()) {
            left_out.retain(|(from, until)| *from < last.at || *until > next.at);
            left_out.push((last.at, next.at));
        }
        shown = [first, newest].concat();
    }
    // Each gap once, at its later end.
    left_out.sort_unstable_by_key(|(_, until)| *until);
    let (mut rows, mut date) = (Vec::new(), today);
    for record in shown.into_iter().rev() {
        while let Some((from, until)) = left_out.pop_if(|(_, until)| *until > record.at) {
            rows.push(Row::LeftOut(from, until));
        }
        let day = day(record.at);
        if day != date {
            rows.push(Row::Day(day.clone()));
            date = day;
        }
        rows.push(Row::Record(record));
    }
    rows.extend(left_out.into_iter().rev().map(|(a, b)| Row::LeftOut(a, b)));
    rows
}

fn day(at: Timestamp) -> String {
    clock(at).chars().take(10).collect()
}

fn line(record: &Record, outcome: Option<&Record>) -> Markup {
    let (what, why) = what_and_why(&record.text);
    let is_person = record.kind == incident::KIND;
    html! {
        li {
            a.q href=(record.path()) title={ "record #" (record.sequence) } { time datetime=(record.at.to_rfc3339()) { (figure::clock(record.at, 8)) } }
            (glyph(record))
            span {
                @if is_person { span.note { (record.text) } }
                @else if let Some((objective, from, to)) = first_bad(record) {
                    b { "First bad signal" } ": " (objective) ", between " (figure::clock(from, 8)) " and " (figure::clock(to, 8))
                }
                @else if record.what().is_some() { b { (what) } @if !why.is_empty() { " " span.s.q.why { (why) } } }
                @else { (record.text) }
                @if let Some((before, after)) = outcome.and_then(Record::before_and_after) {
                    ": bad " (figure::percent(Some(before), " ")) " → " (figure::percent(Some(after), " "))
                }
                @if record.is_would() { span.q { " (observing)" } }
            }
        }
    }
}

/// Of an onset: of which objective, and between which times.
fn first_bad(record: &Record) -> Option<(&str, Timestamp, Timestamp)> {
    let onset = record.body.get("onset")?;
    let at = |key: &str| wire::deserialize(onset.get(key)?).ok();
    let objective = onset.get("objective")?.as_str()?;
    Some((objective, at("earliest")?, at("latest")?))
}

/// What it is, as a shape: each kind has one of its own.
fn glyph(record: &Record) -> Markup {
    const DECISION: &str = r#"<rect class="decision" x="2" y="2" width="14" height="14" rx="3"/><path d="M5.5 9.2l2.4 2.4 4.6-5" fill="none" stroke="var(--action-ink)" stroke-width="1.6"/>"#;
    const WOULD: &str =
        r#"<rect class="decision would-be" x="2" y="2" width="14" height="14" rx="3"/>"#;
    const CHANGE: &str = r#"<path class="change" d="M2 3.5h14L9 15.5Z"/>"#;
    const PERSON: &str = r#"<circle cx="9" cy="6" r="3" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M3 15.5c.6-3.4 3-5 6-5s5.4 1.600 6 5" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round"/>"#;
    const ONSET: &str = r#"<path d="M9 1v16" stroke="var(--severe-mark)" stroke-width="1.6"/><path d="M9 2h7l-2 3 2 3H9Z" fill="var(--severe-mark)"/>"#;
    const BELL: &str = r#"<path d="M3.5 13.5c1.2-1.2 1.5-2.6 1.5-5a4 4 0 0 1 8 0c0 2.4.3 3.800 1.500 5ZM7.500 16h3" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linejoin="round" stroke-linecap="round"/>"#;
    const DOT: &str = r#"<circle cx="9" cy="9" r="3" fill="var(--line-strong)"/>"#;
    if let Some(to) = record.decided("to").and_then(condition) {
        return html! { svg class={ "g " (to.name()) } aria-hidden="true" { use href={ "#c-" (to.name()) } {} } };
    }
    let shape = match (record.kind.as_str(), record.what()) {
        ("decision", Some("page" | "absent" | "resolved" | "returned")) => BELL,
        ("decision", _) if record.is_would() => WOULD,
        ("decision", _) => DECISION,
        ("onset", _) => ONSET,
        ("change" | "overlay" | "maintenance", _) => CHANGE,
        (kind, _) if kind == incident::KIND => PERSON,
        _ => DOT,
    };
    html! { svg.g viewBox="0 0 18 18" aria-hidden="true" { (PreEscaped(shape)) } }
}

fn condition(word: &str) -> Option<Condition> {
    Condition::ALL.into_iter().find(|it| it.name() == word)
}
