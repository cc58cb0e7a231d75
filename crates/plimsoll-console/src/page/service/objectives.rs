//! The objectives of a service: budget over its period, burn rates over all windows, how soon somebody is called.

use maud::{Markup, PreEscaped, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Condition, Forecast, Incident, ObjectiveView, ServiceView, figure};
use plimsoll_plot::{LoadLine, SpentMark, TimeAxis};

use crate::page::parts::{condition, day, lasts, period, target, unknown};
use crate::page::{Sight, incident_path};

/// Objectives that have a plot; the others have their rows.
const PLOTS_MAX: usize = 4;
/// Of the plot of a budget, the part that is still to come: what is to be expected is drawn there.
const TO_COME: f64 = 1.0 / 15.0;
/// Incidents that are marked in the plot of a budget and named below it, the latest.
const INCIDENTS_MAX: usize = 8;
/// What a rate over two windows says, as the console colours it: over 1 in the long one and the short one.
const OVER: f64 = 1.0;

pub(super) fn objectives(sight: &Sight, service: &ServiceView) -> Markup {
    if service.objectives.is_empty() {
        return html! {
            section.panel.pad aria-label="Objectives" {
                h2 { "No objective" }
                p { "Without one there is no budget to govern by. Two lines add one:" }
                pre { "[service." (service.name) ".objective.availability]\ntarget = \"99.9%\"" }
            }
        };
    }
    let columns = if service.objectives.len() == 1 {
        "cols g-one"
    } else {
        "cols g-obj"
    };
    html! {
        div class=(columns) {
            @for objective in service.objectives.iter().take(PLOTS_MAX) { (card(sight, service, objective)) }
            (burns(service))
        }
    }
}

fn card(sight: &Sight, service: &ServiceView, objective: &ObjectiveView) -> Markup {
    let now = sight.snapshot.now;
    let tone = tone(service, objective);
    let target = target(objective.target);
    let title = match objective.below_seconds {
        Some(below) => format!(
            "{} {target} below {}",
            objective.name,
            figure::latency(Some(below), " ")
        ),
        None => format!("{} {target}", objective.name),
    };
    let kind = if objective.calendar.is_some() {
        ""
    } else {
        "rolling "
    };
    let total = objective.good + objective.bad;
    html! {
        section class={ "panel " (tone) } {
            div.head { h2 { (title) } span.s.q { (kind) (objective.period()) } }
            div.obj {
                div.num {
                    span.fig { (unknown(figure::budget_left(objective.budget_left, " "))) }
                    @match objective.budget_left {
                        Some(_) => {
                            span { "budget left · " b { (lasts(objective, now)) } " at " (figure::burn(objective.burn_over("1h"))) }
                            span.q {
                                (figure::count(objective.bad)) " of " (figure::count(total)) " bad"
                                @if objective.bad_left > 0 { ", " (figure::count(objective.bad_left.unsigned_abs())) " more fit" }
                            }
                        }
                        None => { span { "no traffic yet" } }
                    }
                    span.q { "observed " (period(objective)) }
                }
                div.chart { (PreEscaped(water(sight, service, objective, tone))) }
            }
            @let incidents = incidents(sight, service, objective);
            @if !incidents.is_empty() {
                p.pad.s.q {
                    "People were called: "
                    @for (place, it) in incidents.iter().enumerate() {
                        @if place > 0 { ", " }
                        a href=(incident_path(it.id)) { "#" (it.id) } " " (day(it.called))
                        @if let Some(spent) = spent_by(it) { " (" (figure::percent(Some(spent), " ")) ")" }
                    }
                }
            }
        }
    }
}

/// Incidents within the period that people were first called for because of this objective, the oldest first.
fn incidents<'a>(
    sight: &'a Sight,
    service: &ServiceView,
    objective: &ObjectiveView,
) -> Vec<&'a Incident> {
    let Ok(known) = &sight.incidents else {
        return Vec::new();
    };
    let now = sight.snapshot.now;
    let is_one = |it: &&Incident| {
        let first = it.calls.first();
        it.service == service.name
            && first.is_some_and(|call| call.objective == objective.name && !call.is_absence())
            && now.since(it.called).as_secs_f64() <= objective.period_seconds
    };
    let mut all: Vec<&Incident> = known.open().chain(known.past()).filter(is_one).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.called));
    all.truncate(INCIDENTS_MAX);
    all.reverse();
    all
}

/// What an incident that has ended spent of the budget since its first call.
fn spent_by(incident: &Incident) -> Option<f64> {
    let (before, after) = incident.budget_left;
    Some((before? - after?).max(0.0))
}

/// The budget over the period, its newest point as of now, and what is to be expected.
fn water(
    sight: &Sight,
    service: &ServiceView,
    objective: &ObjectiveView,
    tone: &'static str,
) -> String {
    let mut spent = sight.spent(&service.name, &objective.name).to_vec();
    if spent.is_empty() {
        spent = vec![None; 2];
    }
    if let Some(last) = spent.last_mut() {
        *last = objective.budget_left.map(|left| 1.0 - left);
    }
    let now = sight.snapshot.now.as_seconds() as f64;
    let step = objective.period_seconds / spent.len().max(1) as f64;
    let known = spent.len() as f64;
    let to_come = (known * TO_COME / (1.0 - TO_COME)).round().max(1.0) as usize;
    let axis = TimeAxis {
        begin: now - objective.period_seconds,
        step,
        points: spent.len() + to_come,
        cuts: Vec::new(),
        onsets: Vec::new(),
        faults: Vec::new(),
        format: if objective.period_seconds > 2.0 * 86_400.0 {
            date
        } else {
            clock
        },
    };
    let left = figure::budget_left(objective.budget_left, " ");
    let marks = incidents(sight, service, objective).into_iter();
    let marks = marks.map(|it| SpentMark {
        at: it.called.as_seconds() as f64,
        text: format!("#{}", it.id),
    });
    LoadLine {
        axis: &axis,
        height: 150,
        finding: format!(
            "{} budget over {}: {} left, {}",
            objective.name,
            objective.period(),
            unknown(left.clone()),
            lasts(objective, sight.snapshot.now)
        ),
        spent,
        gone: match objective.forecast {
            Forecast::GoneAt { at } => Some(at.as_seconds() as f64),
            Forecast::Unknown | Forecast::Gone | Forecast::Lasts => None,
        },
        marks: marks.collect(),
        condition: tone,
        left: format!("{left} left"),
    }
    .svg()
}

/// As the service, where this objective is why; else as its own figures.
fn tone(service: &ServiceView, objective: &ObjectiveView) -> &'static str {
    match objective.budget_left {
        None => Condition::Unknown.name(),
        Some(left) if left <= 0.0 => Condition::Exhausted.name(),
        Some(_) => {
            let over = |window| objective.burn_over(window).is_some_and(|rate| rate > OVER);
            match over("5m") && over("1h") {
                true if condition(service) == Condition::Severe => Condition::Severe.name(),
                true => Condition::Burning.name(),
                false => Condition::Healthy.name(),
            }
        }
    }
}

fn burns(service: &ServiceView) -> Markup {
    let windows: Vec<&str> = service.objectives.first().map_or(Vec::new(), |it| {
        it.burn.iter().map(|burn| burn.window.as_str()).collect()
    });
    let delays = service
        .governed
        .as_ref()
        .map_or(&[] as &[_], |it| it.page_delays.as_slice());
    html! {
        section.panel {
            div.head { h2 { "Burn rates" } span.end.s.q { "1× lasts the period" } }
            div.scroll tabindex="0" role="region" aria-label="Burn rates" { table.tight {
                thead { tr { th scope="col" { "window" } @for objective in &service.objectives { th.r scope="col" { (objective.name) } } } }
                tbody { @for window in windows { tr {
                    th.n scope="row" { (window) }
                    @for objective in &service.objectives {
                        @let rate = objective.burn_over(window);
                        td.r.n.b[rate.is_some_and(|rate| rate > OVER)] { (unknown(figure::burn(rate))) }
                    }
                } } }
            } }
            @if !delays.is_empty() {
                p.s.q.pad {
                    "At the traffic of the last hour somebody is called: "
                    @for (place, delay) in delays.iter().take(8).enumerate() {
                        @if place > 0 { "; " }
                        (delay.objective) " at " (figure::burn(Some(delay.burn))) " "
                        @match delay.seconds { Some(seconds) => { "after " (figure::duration(seconds)) } None => "never" }
                    }
                    "."
                }
            }
        }
    }
}

fn date(at: f64) -> String {
    day(Timestamp::from_seconds(at.max(0.0) as u64))
}

fn clock(at: f64) -> String {
    figure::clock(Timestamp::from_seconds(at.max(0.0) as u64), 5)
}
