//! What was decided and changed, and the parts of a service: endpoints, routes, protections.

use maud::{Markup, html};
use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{ActionView, EndpointView, ServiceView, Snapshot, figure};

use super::signals::{changes, decisions};
use super::{Range, remembered};
use crate::page::parts::{bad_share, time, unknown, what_and_why};
use crate::page::record::Record;
use crate::problem::Problem;

/// Decisions and changes that are listed.
const LISTED_MAX: usize = 14;
/// Endpoints and routes that are listed; of more, those with the most failures.
const PARTS_MAX: usize = 64;

pub(super) fn lists(
    snapshot: &Snapshot,
    service: &ServiceView,
    records: &[Record],
    range: Range,
    (failed, lacks): (Option<&Problem>, Option<&Problem>),
) -> Markup {
    let last = range.journal();
    html! {
        div.cols.g2 {
            div.cols {
                (decided(snapshot, service, records, last, failed))
                (changed(records, last, failed.or(lacks)))
            }
            div.cols {
                (protections(service))
                (endpoints(snapshot.now, service))
                (routes(service))
            }
        }
    }
}

fn decided(
    snapshot: &Snapshot,
    service: &ServiceView,
    records: &[Record],
    last: &str,
    failed: Option<&Problem>,
) -> Markup {
    let all = decisions(records);
    let outcomes: Vec<&Record> = records.iter().filter(|it| it.kind == "outcome").collect();
    html! {
        section.panel {
            div.head { h2 { "Decisions" } span.end.s.q { "last " (last) "; bad share before → after" } }
            @if let Some(failed) = failed {
                p.pad.tone.burning { (failed) ". What is decided goes on; this is what the process remembers:" }
                (remembered(snapshot, service))
            } @else if all.is_empty() {
                p.pad.q { "None in the last " (last) "." }
            }
            ol.declist {
                @for (number, record) in all.iter().rev().take(LISTED_MAX) {
                    @let (what, why) = what_and_why(&record.text);
                    @let outcome = outcomes.iter().find(|it| it.cites == Some(record.sequence));
                    li {
                        svg.no viewBox="0 0 18 18" aria-hidden="true" {
                            rect class=(if record.is_would() { "decision would-be" } else { "decision" }) x="1" y="1" width="16" height="16" rx="3" {}
                            text.dn x="9" y="13" text-anchor="middle" { (number) }
                        }
                        span.q { (time(record.at)) }
                        span { a href=(record.path()) { (what) } @if !why.is_empty() { br; span.s.q.why { (why) } } }
                        span.eff.s {
                            @if let Some((before, after)) = outcome.and_then(|it| it.before_and_after()) {
                                "bad " b { (figure::percent(Some(before), " ")) " → " (figure::percent(Some(after), " ")) } br;
                            }
                            span.qq { "#" (record.sequence) }
                        }
                    }
                }
            }
        }
    }
}

fn changed(records: &[Record], last: &str, lacks: Option<&Problem>) -> Markup {
    let all = changes(records);
    html! {
        section.panel {
            div.head { h2 { "Changes" } span.end.s.q { "last " (last) ", of this service and of the configuration" } }
            @if let Some(problem) = lacks { p.pad.tone.burning { (problem) ". There may be others than these." } }
            @else if all.is_empty() { p.pad.q { "None in the last " (last) "." } }
            ol.declist {
                @for (letter, record) in all.iter().rev().take(LISTED_MAX) {
                    li {
                        svg.no viewBox="0 0 18 18" aria-hidden="true" { path.change d="M2 4h14L9 16Z" {} }
                        span.q { (time(record.at)) }
                        span { b { (letter) " " } a href=(record.path()) { (record.text) } br; span.s.q { (record.subject) } }
                        span.eff.s.qq { "#" (record.sequence) }
                    }
                }
            }
        }
    }
}

fn protections(service: &ServiceView) -> Markup {
    let Some(protection) = &service.protection else {
        return html! { section.panel.pad { h2 { "Protections" } p.q { "unknown" } } };
    };
    let refused = figure::count(protection.refused_lately());
    let says = |action: &ActionView| format!("{} {}", action.policy, action.outcome);
    html! {
        section.panel {
            div.head { h2 { "Protections" } span.end.s.q { @if protection.mode == Mode::Enforce { "in force" } @else { "observing" } } }
            dl.pairs {
                div { dt { "Limit" } dd {
                    @match protection.limit {
                        Some(limit) if protection.limits() => { (figure::count(limit.into())) " " }
                        Some(limit) => { span.would { "would be " (figure::count(limit.into())) } " " }
                        None => "no limit ",
                    }
                    span.q { (protection.limit_reason.as_deref().unwrap_or_default()) }
                } }
                div { dt { "In flight" } dd { (figure::count(protection.in_flight)) } }
                div { dt { "Waiting" } dd { (figure::count(protection.queued())) @if let Some(wait) = protection.wait_max_seconds { span.q { ", for at most " (figure::latency(Some(wait), " ")) } } } }
                div { dt { "Worked for" } dd { (unknown(figure::latency(protection.objective_seconds, " "))) @if protection.objective_assumed { span.q { " assumed" } } } }
                div { dt { "Refused, 1 min" } dd { (refused) } }
            }
            div.scroll tabindex="0" role="region" aria-label="Requests by class" { table.tight {
                thead { tr { th scope="col" { "class, 1 min" } th.r scope="col" { "requests" } th.r scope="col" { "refused" } th.r scope="col" { "share" } th.r scope="col" { "waiting" } } }
                tbody { @for class in &protection.classes { tr {
                    th scope="row" { (class.class.name()) }
                    td.r { (figure::count(class.requests)) }
                    td.r { (figure::count(class.refused)) }
                    td.r { @match class.refused_share { Some(share) => (figure::percent(Some(share), " ")), None => span.qq { "none came" } } }
                    td.r { (figure::count(class.queued)) }
                } } }
            } }
            @let did: Vec<&ActionView> = protection.did.iter().filter(|it| it.count > 0).collect();
            @let would: Vec<&ActionView> = protection.would.iter().filter(|it| it.count > 0).collect();
            @if !did.is_empty() || !would.is_empty() {
                ul.pad.s {
                    @for action in did { li { (says(action)) " " (figure::count(action.count)) "×" } }
                    @for action in would {
                        li.q { span.would { "would have " (says(action)) } @if let Some(class) = action.class { " " (class.name()) } " " (figure::count(action.count)) "×"
                            @if let Some(saved) = action.saved { ", " (figure::count(saved)) " of them to good use" } }
                    }
                }
            }
        }
    }
}

fn endpoints(now: Timestamp, service: &ServiceView) -> Markup {
    let serving = service
        .endpoints
        .iter()
        .filter(|it| it.state.serves())
        .count();
    let mut all: Vec<&EndpointView> = service.endpoints.iter().collect();
    all.sort_by_key(|it| it.state.serves());
    let rates = all.iter().map(|it| it.traffic.requests_per_second);
    let rate: f64 = rates.flatten().sum();
    // What gets nothing while others get something has none of it; where nothing comes at all, there are no shares.
    let share = |it: &EndpointView| {
        let mine = it.traffic.requests_per_second?;
        (rate > 0.0).then(|| mine / rate)
    };
    html! {
        section.panel {
            div.head { h2 { "Endpoints" } span.end.s.q { (serving) " of " (service.endpoints.len()) " serve" } }
            div.scroll tabindex="0" role="region" aria-label="Endpoints" { table.tight {
                thead { tr { th scope="col" { "Address" } th scope="col" { "State" } th.r.opt scope="col" { "In flight" } th.r.opt scope="col" { "Traffic, 10 s" } th.r.opt scope="col" { "Share" } th.r scope="col" { "Bad, 1 min" } th.r scope="col" { "P99, 1 min" } } }
                tbody { @for endpoint in all.iter().take(PARTS_MAX) { tr {
                    th.code scope="row" { (endpoint.name) }
                    td {
                        span class=(if endpoint.state.serves() { "q" } else { "b tone severe" }) { (endpoint.state.name()) }
                        @if let Some(since) = endpoint.since { span.qq.s { " for " (figure::duration(now.since(since).as_secs_f64())) } }
                    }
                    td.r.opt { (endpoint.in_flight.map_or_else(|| "unknown".to_owned(), figure::count)) }
                    td.r.opt.n { (figure::rate(endpoint.traffic.requests_per_second)) "/s" }
                    td.r.opt.n { @match share(endpoint) { Some(share) => (figure::percent(Some(share), " ")), None => span.qq { "none came" } } }
                    td.r.n { (bad_share(&endpoint.traffic)) }
                    td.r.n { (unknown(figure::latency(endpoint.traffic.latency.p99_seconds, " "))) }
                } } }
            } }
            @if all.len() > PARTS_MAX { p.pad.s.q { "and " (all.len() - PARTS_MAX) " more" } }
        }
    }
}

fn routes(service: &ServiceView) -> Markup {
    let over = service.latency_objective_seconds();
    let mut all: Vec<_> = service.routes.iter().collect();
    all.sort_by(|a, b| {
        b.traffic
            .bad_share
            .unwrap_or(0.0)
            .total_cmp(&a.traffic.bad_share.unwrap_or(0.0))
    });
    html! {
        section.panel {
            div.head { h2 { "Routes" } span.end.s.q { "most failures first" } }
            @if all.is_empty() { p.pad.q { "No route leads to it." } }
            @else { div.scroll tabindex="0" role="region" aria-label="Routes" { table.tight {
                thead { tr { th scope="col" { "Route" } th.r scope="col" { "Traffic, 10 s" } th.r scope="col" { "Bad, 1 min" } th.r scope="col" { "P99, 1 min" } } }
                tbody { @for route in all.iter().take(PARTS_MAX) { tr {
                    @let latency = route.traffic.latency.p99_seconds;
                    @let is_over = latency.zip(over).is_some_and(|(latency, over)| latency > over);
                    th.code scope="row" { (route.name) }
                    td.r.n { (figure::rate(route.traffic.requests_per_second)) "/s" }
                    td.r.n { (bad_share(&route.traffic)) }
                    td.r.n.b[is_over] { (unknown(figure::latency(latency, " "))) }
                } } }
            } } }
            @if all.len() > PARTS_MAX { p.pad.s.q { "and " (all.len() - PARTS_MAX) " more" } }
        }
    }
}
