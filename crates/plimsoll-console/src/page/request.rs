//! `/requests/ID`: what became of one request, from the recorder that `plimsoll explain` asks.

use axum::http::StatusCode;
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{figure, wire};
use serde_json::{Map, Value};

use super::parts::{segment, service_path};
use super::record::Record;
use super::{Page, Place, Section, Sight};
use crate::problem::Problem;

/// What is said above; the others are in the list.
const SAID: [&str; 4] = ["method", "host", "path", "failed"];

pub(super) fn page(id: &str, sight: &Sight) -> Page {
    let line = sight
        .request
        .as_deref()
        .and_then(|line| serde_json::from_str::<Value>(line).ok());
    let Some(Value::Object(line)) = line else {
        return super::refusal(&Problem::not_found(
            "this request is not known: of those that went well only a sample is recorded, and the oldest are forgotten first",
        ));
    };
    Page {
        status: StatusCode::OK,
        title: format!("Request {}", id.chars().take(12).collect::<String>()),
        place: Place::None,
        is_live: false,
        sections: vec![Section {
            id: "request",
            markup: whole(id, &line, sight),
        }],
    }
}

fn whole(id: &str, line: &Map<String, Value>, sight: &Sight) -> Markup {
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| line.get(key).and_then(Value::as_f64);
    let status = number("status").filter(|status| *status > 0.0);
    let read = sight.told.records.as_ref();
    let records = read.map_or_else(|_| Vec::new(), |it| Record::all(&it.records));
    let ended: Option<Timestamp> = line.get("time").and_then(|it| wire::deserialize(it).ok());
    html! {
        header.title {
            h1.wrap { (text("method")) " " (text("host")) (text("path")) }
            span.q { @match status { Some(status) => (status), None => "no answer" } ", " (text("cause")) }
            div.btns { @if !text("service").is_empty() { a.btn href=(service_path(text("service"))) { (text("service")) } } }
        }
        div.cols.g2 {
            section.panel {
                div.head { h2 { "What happened" } }
                ol.dec.pad { @for (when, what) in steps(line) { li { span.q { (when) } span { (what) } } } }
                @if let Some(in_flight) = number("in_flight") {
                    p.s.q.pad { "At the service then: " (in_flight) " in flight, "
                        @match number("limit") { Some(limit) => { "limit " (limit) } None => "no limit" } ", " (number("waiting").unwrap_or(0.0)) " waited." }
                }
                @if let Some(share) = number("sample") { p.s.q.pad { "One of " (figure::count((1.0 / share).round() as u64)) " that went well: the others were not recorded." } }
            }
            section.panel {
                div.head { h2 { "Recorded" } }
                dl.pairs { @for (key, value) in line.iter().filter(|(key, _)| !SAID.contains(&key.as_str())) {
                    div { dt { (key) } dd.code { @match value { Value::String(text) => (text), other => (other.to_string()) } } }
                } }
            }
        }
        section.panel {
            div.head { h2 { "About the service before" } span.end.s.q { "in the ten minutes before it ended" } }
            @let before: Vec<&Record> = records.iter().filter(|it| ended.is_none_or(|ended| it.at <= ended)).collect();
            @if let Err(problem) = read { p.pad.tone.burning { (problem) } }
            @else if before.is_empty() { p.pad.q { "Nothing was decided or changed." } }
            ol.declist { @for record in before.into_iter().rev().take(10) {
                li { span {} span.q { (figure::clock(record.at, 8)) } span { a href=(record.path()) { (record.text) } } span.eff.s.qq { "#" (record.sequence) } }
            } }
        }
        div.cmd.panel { code { "plimsoll explain " (segment(id)) } span.s.q { "says the same on a terminal" } }
    }
}

/// What happened, in order: after how long, and what.
fn steps(line: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    let number = |key: &str| line.get(key).and_then(Value::as_f64);
    let time = |seconds: f64| figure::latency(Some(seconds), " ");
    let mut steps = Vec::new();
    if let Some(waited) = number("waited_seconds") {
        steps.push((
            String::new(),
            format!("waited {} for its turn", time(waited)),
        ));
    }
    let failed = line.get("failed").and_then(Value::as_array);
    for attempt in failed.into_iter().flatten() {
        let of = |key: &str| {
            attempt
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or("unknown")
        };
        let after = attempt.get("after_seconds").and_then(Value::as_f64);
        let status = attempt
            .get("status")
            .and_then(Value::as_u64)
            .map_or(String::new(), |it| format!(" {it}"));
        steps.push((
            after.map_or(String::new(), time),
            format!("{} failed: {}{status}", of("endpoint"), of("end")),
        ));
    }
    if let Some(reason) = text("reason").filter(|it| *it != "local") {
        steps.push((
            String::new(),
            format!("Plimsoll answered by itself: {reason}"),
        ));
    } else if let Some(endpoint) = text("endpoint") {
        steps.push((
            number("head_seconds").map_or(String::new(), time),
            format!("answered by {endpoint}"),
        ));
    }
    if let Some(duration) = number("duration_seconds") {
        let attempts = number("attempts").unwrap_or(0.0);
        let plural = if attempts == 1.0 { "" } else { "s" };
        steps.push((time(duration), format!("over, {attempts} attempt{plural}")));
    }
    steps
}
