//! `/rollouts`: new versions of services; what is on first. `/rollouts/NAME`: one, with its evidence over time.

use axum::http::StatusCode;
use maud::{Markup, PreEscaped, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{
    Condition, RolloutEvidenceView, RolloutPriceView, RolloutRunView, RolloutState, RolloutView,
    figure,
};
use plimsoll_plot::{Chart, Layer, Promise, Scale, Series, TimeAxis};

use super::parts::{at, segment, service_path, shape, since, time};
use super::record::Record;
use super::{Page, Place, Section, Sight};
use crate::access::Caller;
use crate::act::roll_path;
use crate::problem::Problem;
use crate::rollout::RolloutVerb;

/// Points of the plots over a run.
const POINTS: usize = 120;
/// Evidence is drawn between these at least.
const EVIDENCE_LEAST: f64 = 0.1;
/// Records that are listed.
const LISTED_MAX: usize = 20;

/// The path of a rollout's page.
pub(crate) fn path(name: &str) -> String {
    format!("/rollouts/{}", segment(name))
}

pub(super) fn list(sight: &Sight) -> Page {
    let mut all: Vec<&RolloutView> = sight.rollouts.iter().collect();
    all.sort_by_key(|it| (!it.state.is_on(), it.name.clone()));
    let markup = html! {
        section.panel aria-label="Rollouts" {
            @if all.is_empty() {
                p.pad.q { "No rollout is described. In the configuration, " code { "[service.NAME.version.V]" } " has the endpoints of a version, and " code { "[rollout.NAME]" } " the steps by which it gets requests." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Rollouts" { table {
                    thead { tr { th scope="col" { "Rollout" } th scope="col" { "State" } th.r scope="col" { "Share" } th scope="col" { "What is known" } } }
                    tbody { @for it in all { tr {
                        th scope="row" { a href=(path(&it.name)) { (it.name) } br; span.s.q { (it.version) " of " a href=(service_path(&it.service)) { (it.service) } } }
                        td { (state(it.state)) }
                        td.r.n { (figure::percent(Some(it.weight), " ")) }
                        td.q { (it.says) }
                    } } }
                } }
            }
        }
    };
    Page {
        status: StatusCode::OK,
        title: "Rollouts".to_owned(),
        place: Place::Rollouts,
        is_live: true,
        sections: vec![
            Section {
                id: "head",
                markup: html! { header.title { h1 { "Rollouts" } span.q { "each version is judged against the one that serves, at the same time, and undone when it is worse" } } },
            },
            Section {
                id: "rollouts",
                markup,
            },
        ],
    }
}

pub(super) fn page(name: &str, sight: &Sight) -> Page {
    let Some(rollout) = sight.rollouts.iter().find(|it| it.name == name) else {
        return super::refusal(&Problem::not_found(
            "there is no such rollout; it may have been taken out of the configuration",
        ));
    };
    let now = sight.snapshot.now;
    let told = sight.told.as_ref();
    Page {
        status: StatusCode::OK,
        title: rollout.name.clone(),
        place: Place::Rollouts,
        is_live: true,
        sections: vec![
            Section {
                id: "head",
                markup: head(rollout, now, sight.who.as_ref()),
            },
            Section {
                id: "steps",
                markup: steps(rollout, now),
            },
            Section {
                id: "evidence",
                markup: html! {
                    @match &rollout.run {
                        Some(run) => (evidence(rollout, run, now, told.records.as_ref().map(|it| Record::all(&it.records)))),
                        None => section.panel.pad aria-label="Evidence" { p.q { "It has not begun: there is nothing to judge yet." } },
                    }
                },
            },
        ],
    }
}

/// Shape and word: bad is what was undone, unknown what is not decided.
fn state(state: RolloutState) -> Markup {
    let condition = match state {
        RolloutState::Running | RolloutState::Promoted => Condition::Healthy,
        RolloutState::RolledBack => Condition::Severe,
        RolloutState::Struck => Condition::Burning,
        _ => Condition::Unknown,
    };
    html! { span class={ "cond " (condition.name()) } { (shape(condition)) (state.name()) } }
}

fn head(rollout: &RolloutView, now: Timestamp, who: Option<&Caller>) -> Markup {
    html! {
        header.cols {
            div.title {
                h1 { (rollout.name) }
                span aria-live="polite" { span.chip { (state(rollout.state)) @if rollout.state.is_on() { " at " (figure::percent(Some(rollout.weight), " ")) } } }
                span.q {
                    (rollout.version) " of " a href=(service_path(&rollout.service)) { (rollout.service) }
                    @if let Some(owner) = &rollout.owner { " · " (owner) }
                    " · " (rollout.kind) " by " (rollout.by)
                    @if let Some(run) = &rollout.run { " · started " (since(run.began, now)) " UTC by " (run.by) }
                }
                (acts(rollout, who))
            }
            p.lead { (rollout.says) }
            @if let Some(run) = &rollout.run { p.s.q { "Why: " (run.why) } }
        }
    }
}

/// A button for each thing that can be done now, for whoever may.
fn acts(rollout: &RolloutView, who: Option<&Caller>) -> Markup {
    let Some(who) = who.filter(|who| who.operates()) else {
        return html! {};
    };
    let verbs: &[(RolloutVerb, &str)] = match rollout.state {
        RolloutState::Promoted => &[
            (RolloutVerb::Start, "Start…"),
            (RolloutVerb::Abort, "Undo now…"),
        ],
        state if !state.is_on() => &[(RolloutVerb::Start, "Start…")],
        RolloutState::Paused => &[
            (RolloutVerb::Resume, "Go on…"),
            (RolloutVerb::StepBack, "Step back…"),
            (RolloutVerb::Promote, "Promote…"),
            (RolloutVerb::Abort, "Undo now…"),
        ],
        RolloutState::Asking | RolloutState::Held => &[
            (RolloutVerb::Advance, "Next step…"),
            (RolloutVerb::Pause, "Pause…"),
            (RolloutVerb::Promote, "Promote…"),
            (RolloutVerb::Abort, "Undo now…"),
        ],
        _ => &[
            (RolloutVerb::Pause, "Pause…"),
            (RolloutVerb::Promote, "Promote…"),
            (RolloutVerb::Abort, "Undo now…"),
        ],
    };
    let refused = who.may_change(&rollout.service, rollout.owner.as_deref());
    html! {
        div.btns {
            @for (verb, word) in verbs {
                @match &refused {
                    Ok(()) => a.btn href=(roll_path(&rollout.name, *verb)) { (word) },
                    Err(problem) => button.btn type="button" disabled title=(problem) { (word) },
                }
            }
        }
    }
}

fn steps(rollout: &RolloutView, now: Timestamp) -> Markup {
    let is_on = rollout.state.is_on();
    html! {
        section.panel {
            div.head { h2 { "Steps" } span.end.s.q { "a step ends when its time is over and what is known allows the next one" } }
            ol.steps {
                @for (place, step) in rollout.steps.iter().enumerate() {
                    @let is_now = is_on && rollout.step == Some(place);
                    @let is_past = step.began.is_some() && !is_now;
                    li class=(if is_now { "now" } else if is_past { "past" } else { "" }) aria-current=[is_now.then_some("step")] {
                        b { (figure::percent(Some(step.weight), " ")) } @if is_past { " " span.qq { "✓" } } br;
                        span.s.q {
                            @match step.began {
                                Some(began) => { @if is_now { "since " } (since(began, now)) " UTC" }
                                None if !is_on && rollout.run.is_some() => "not reached",
                                None if step.gate => "when a person allows it",
                                None => "to come",
                            }
                        } br;
                        span.s.q { "at least " (figure::duration(step.seconds)) }
                    }
                }
            }
        }
    }
}

fn evidence(
    rollout: &RolloutView,
    run: &RolloutRunView,
    now: Timestamp,
    records: Result<Vec<Record>, &Problem>,
) -> Markup {
    let end = run.ended.unwrap_or(now);
    let length = (end.since(run.began).as_secs_f64() / POINTS as f64).max(1.0);
    let begin = run.began.as_nanos() as f64 / 1e9;
    let axis = TimeAxis {
        begin,
        step: length,
        points: POINTS,
        cuts: Vec::new(),
        onsets: Vec::new(),
        faults: Vec::new(),
        format: clock,
    };
    // What was known at the end of each step.
    let points: Vec<_> = (1..=POINTS)
        .map(|place| {
            let until = begin + length * place as f64;
            let known = run.course.iter();
            known
                .take_while(|it| it.at.as_nanos() as f64 / 1e9 <= until)
                .last()
        })
        .collect();
    html! {
        div.cols.g-evid {
            div.cols {
                section.panel {
                    div.head { h2 { "Evidence that it is worse" } span.s.q { "log scale; 1 is none, valid at every look" } }
                    div.stack.plotpad {
                        div.crosshair {}
                        (PreEscaped(grown(run, &axis, points.iter().map(|it| it.map(|it| it.e)))))
                        (PreEscaped(cost(run, &axis, &points)))
                    }
                }
                (decides(run))
                (lately(records))
            }
            div.cols {
                (now_known(rollout, run))
                @if let Some(price) = &run.price { (spent(price)) }
                (arms(rollout, run))
            }
        }
    }
}

fn grown(
    run: &RolloutRunView,
    axis: &TimeAxis,
    points: impl Iterator<Item = Option<f64>>,
) -> String {
    let strikes = run.evidence.iter().find_map(|it| it.strikes_at);
    let known = Series::new(
        "evidence",
        "est",
        points.map(|it| it.map(|e| e.max(EVIDENCE_LEAST))),
    );
    let most = known.known().fold(1.0, f64::max);
    let chart = Chart {
        axis,
        height: 160,
        finding: format!(
            "Evidence that the version is worse, at most {most:.1}{}",
            strikes.map_or(String::new(), |at| format!("; it strikes at {at:.0}"))
        ),
        scale: Scale::log(known.known().chain(strikes).chain([EVIDENCE_LEAST, 20.0])),
        format: times,
        promise: strikes.map(|value| Promise {
            value,
            label: format!("strikes at {value:.0}"),
        }),
        layers: vec![Layer::Line(known)],
        times: false,
    };
    chart.svg()
}

fn cost(
    run: &RolloutRunView,
    axis: &TimeAxis,
    points: &[Option<&plimsoll_measure::RolloutPointView>],
) -> String {
    let spent = points.iter().map(|it| it.map(|it| it.spent));
    let spent = Series::new("budget spent", "est", spent);
    let limit = run.price.as_ref().map(|it| it.limit);
    let most = spent.known().fold(0.0, f64::max);
    let chart = Chart {
        axis,
        height: 110,
        finding: format!(
            "Budget that the version has spent, {}",
            figure::percent(Some(most), " ")
        ),
        scale: Scale::linear([limit.unwrap_or(0.0).max(most).max(0.000_1)]),
        format: share,
        promise: limit.map(|value| Promise {
            value,
            label: format!("stop at {}", figure::percent(Some(value), " ")),
        }),
        layers: vec![Layer::Line(spent)],
        times: true,
    };
    format!("{}{}", chart.key(), chart.svg())
}

fn decides(run: &RolloutRunView) -> Markup {
    html! {
        section.panel {
            div.head { h2 { "What decides" } }
            div.pad.lead {
                p { b { "Goes on" } " when the worst that goes with what came would cost no more of the budget than is left for it." }
                p { b { "Is stopped" } " when the evidence is too strong to be chance: once, and it gets nothing for a while; " (run.strikes_max) " times, and it is undone. Also when it has spent what it may of the budget." }
                p { b { "Waits" } " while too little came to tell. Waiting is not passing." }
            }
        }
    }
}

fn now_known(rollout: &RolloutView, run: &RolloutRunView) -> Markup {
    html! {
        section.panel.pad {
            h2 { "Evidence now" }
            @for it in &run.evidence { (verdict(it)) }
            div.verdict {
                span { b { "Strikes " } (run.strikes) " of " (run.strikes_max)
                    @if rollout.state == RolloutState::Struck { br; span.s.q { "it gets nothing until it may be tried again" } } }
            }
        }
    }
}

/// Over its bound, inside it, or not decided: that is drawn as unknown, not as good.
fn verdict(it: &RolloutEvidenceView) -> Markup {
    let condition = if it.strikes_at.is_some_and(|at| it.e >= at) {
        Condition::Severe
    } else if it.ratio_most.is_some_and(|most| most <= 2.0) {
        Condition::Healthy
    } else {
        Condition::Unknown
    };
    let says = match (condition, it.strikes_at) {
        (Condition::Severe, _) => "worse than chance explains",
        (Condition::Healthy, _) => "surely no worse than twice the other's",
        (_, Some(_)) => "not decided",
        (_, None) => "",
    };
    html! {
        div.verdict {
            span class={ "cond " (condition.name()) } { (shape(condition)) }
            span {
                b { (it.of) } " " (says) br;
                span.s.q {
                    "evidence " (format!("{:.2}", it.e))
                    @if let Some(at) = it.strikes_at { ", strikes at " (format!("{at:.0}")) }
                    @if let Some(ratio) = it.ratio() { "; its rate is " (ratio) }
                }
            }
        }
    }
}

fn spent(price: &RolloutPriceView) -> Markup {
    let full = price.limit.max(price.spent).max(f64::MIN_POSITIVE) / 0.877;
    let part = |value: f64| format!("{}%", at(100.0 * (value / full).clamp(0.0, 1.0)));
    let percent = |share: f64| figure::percent(Some(share), " ");
    html! {
        section.panel.pad {
            h2 { "Budget spent by this version" }
            p.s.q { "the stop is " (percent(price.limit)) " of the budget of " (figure::duration(price.period_seconds)) "; " (figure::count(price.requests.max(0.0).round() as u64)) " requests are expected in it" }
            svg.budgetline role="img" aria-label={ "Spent " (percent(price.spent)) " of the budget, stop at " (percent(price.limit)) } {
                rect.room x="0" y="16" width=(part(price.limit)) height="22" {}
                rect.canary-fill x="0" y="16" width=(part(price.spent)) height="22" {}
                line.canary-line x1=(part(price.spent)) x2=(part(price.spent)) y1="16" y2="38" {}
                line.axis x1="0" x2="100%" y1="38" y2="38" {}
                line.promise x1=(part(price.limit)) x2=(part(price.limit)) y1="8" y2="44" {}
                text x="0" y="10" { (percent(price.spent)) " spent" }
                text x=(part(price.limit)) y="58" text-anchor="middle" { "stop at " (percent(price.limit)) }
            }
            @if let Some(worst) = price.worst { p.s.q { "at worst " (percent(worst)) " of its answers are bad, by what came" } }
            @if let Some(more) = price.more { p { "The next step is allowed after about " b { (figure::count(more.max(0.0).ceil() as u64)) } " more good answers." } }
        }
    }
}

fn arms(rollout: &RolloutView, run: &RolloutRunView) -> Markup {
    let (stable, canary) = (run.stable, run.canary);
    let of = |count: u64, all: u64| (all > 0).then(|| count as f64 / all as f64);
    let percent = |share: Option<f64>| match share {
        Some(share) => figure::percent(Some(share), " "),
        None => "none came".to_owned(),
    };
    let up = |arm: plimsoll_measure::ArmView| match arm.up {
        Some(up) => format!("{up} of {}", arm.endpoints),
        None => format!("? of {}", arm.endpoints),
    };
    let rows = [
        ("Endpoints that serve", up(stable), up(canary)),
        (
            "Requests judged",
            figure::count(stable.requests),
            figure::count(canary.requests),
        ),
        (
            "Bad answers",
            figure::count(stable.bad),
            figure::count(canary.bad),
        ),
        (
            "Bad share",
            percent(of(stable.bad, stable.requests)),
            percent(of(canary.bad, canary.requests)),
        ),
        (
            "Slower than the objective",
            percent(of(stable.slow, stable.requests)),
            percent(of(canary.slow, canary.requests)),
        ),
    ];
    html! {
        section.panel {
            div.head { h2 { "Same time" } span.end.s.q { "since it began; first attempts only" } }
            div.scroll tabindex="0" role="region" aria-label="Both sides" { table.tight {
                thead { tr { td {} th.r scope="col" { "stable" } th.r scope="col" { (rollout.version) } } }
                tbody { @for (name, stable, canary) in rows { tr { th.q scope="row" { (name) } td.r { (stable) } td.r.b { (canary) } } } }
            } }
        }
    }
}

fn lately(records: Result<Vec<Record>, &Problem>) -> Markup {
    html! {
        section.panel {
            div.head { h2 { "What happened" } span.end.s.q { "of the last week" } }
            @match &records {
                Err(problem) => p.pad.tone.burning { (problem) },
                Ok(records) if records.is_empty() => p.pad.q { "Nothing is recorded." },
                Ok(records) => ol.declist {
                    @for record in records.iter().rev().take(LISTED_MAX) { li {
                        svg.no viewBox="0 0 18 18" aria-hidden="true" {
                            @if record.kind == "decision" { rect.decision x="1" y="1" width="16" height="16" rx="3" {} }
                            @else { path.change d="M2 4h14L9 16Z" {} }
                        }
                        span.q { (time(record.at)) }
                        span { a href=(record.path()) { (record.text) } }
                        span.eff.s.qq { "#" (record.sequence) }
                    } }
                },
            }
        }
    }
}

fn clock(at: f64) -> String {
    figure::clock(Timestamp::from_seconds(at.max(0.0) as u64), 8)
}

fn times(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn share(value: f64) -> String {
    figure::percent(Some(value), " ")
}
