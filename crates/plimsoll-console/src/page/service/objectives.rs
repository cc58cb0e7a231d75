//! The objectives of a service: budget over its period, burn rates over all windows, how soon somebody is called.

use maud::{Markup, PreEscaped, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Condition, ObjectiveView, ServiceView, figure};
use plimsoll_plot::{LoadLine, TimeAxis};

use crate::page::Sight;
use crate::page::parts::{condition, day, lasts, period, target, unknown};

/// Objectives that have a plot; the others have their rows.
const PLOTS_MAX: usize = 4;
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
        }
    }
}

/// The budget over the period, its newest point as of now.
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
    let axis = TimeAxis {
        begin: now - objective.period_seconds,
        step,
        points: spent.len(),
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
    LoadLine {
        axis: &axis,
        height: 150,
        finding: format!(
            "{} budget over {}: {} left",
            objective.name,
            objective.period(),
            unknown(left.clone())
        ),
        spent,
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
