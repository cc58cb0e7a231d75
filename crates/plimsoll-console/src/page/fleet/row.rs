//! One service in the fleet: a row, or a card where the screen is narrow.

use maud::{Markup, html};
use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{ClassView, Condition, ObjectiveView, ServiceView, Snapshot, figure};

use crate::page::Sight;
use crate::page::parts::{at, chip, condition, lasts, period, service_path, since, unknown};

/// Points of a quiet row's traffic.
const QUIET_POINTS: usize = 30;
/// Where the objective's tick is in all rows: the column reads as one plumb line.
const PLUMB: f64 = 50.3;

/// A run of points without a gap.
pub(super) type Run = Vec<(f64, f64)>;

pub(super) fn row(sight: &Sight, service: &ServiceView, is_first_quiet: bool) -> Markup {
    let snapshot = sight.snapshot.as_ref();
    let condition = condition(service);
    let name = condition.name();
    let is_quiet = condition == Condition::Healthy;
    let is_coarse = is_quiet || snapshot.services.len() > super::ROWS_MAX;
    let tightest = service.tightest();
    let spent = tightest.map_or(&[] as &[_], |it| sight.spent(&service.name, &it.name));
    let traffic = sight.traffic.get(&service.name);
    let traffic = traffic.map_or(&[] as &[_], Vec::as_slice);
    let class = format!(
        "{name}{}{}",
        if is_quiet { " quiet" } else { "" },
        if is_first_quiet { " sep" } else { "" }
    );
    let began = service.governed.as_ref().and_then(|it| it.since);
    html! {
        tr role="row" class=(class) data-key=(service.name) {
            th scope="row" role="rowheader" { div.two {
                a.name href=(service_path(&service.name)) { (service.name) }
                span.s.q { @if let Some(owner) = &service.owner { (owner) " · " } "tier " (service.tier) }
            } }
            td.td-cond role="cell" { div.two {
                (chip(condition, ""))
                @if let Some(began) = began.filter(|_| !is_quiet) { span.xs.q.n { "since " (since(began, snapshot.now)) } }
            } }
            td.td-gauge role="cell" { div.gauge { (gauge(tightest, spent, is_coarse, snapshot.now)) } }
            td.td-burn role="cell" { (burn(service, name, is_quiet)) }
            td.td-tr role="cell" { div.tr { (spark(traffic, is_coarse)) span.n { (figure::rate(service.traffic.requests_per_second)) "/s" } } }
            td.td-lat.lat role="cell" { (latency(service)) }
            td.td-shed role="cell" { (refused(service)) }
            td.does.s.q role="cell" { (acts(snapshot, service)) }
        }
    }
}

/// The load line: water is what is spent, the line is all of it.
fn gauge(
    objective: Option<&ObjectiveView>,
    spent: &[Option<f64>],
    is_coarse: bool,
    now: Timestamp,
) -> Markup {
    let known = objective.and_then(|objective| Some((objective, objective.budget_left?)));
    let Some((objective, left)) = known else {
        let why = if objective.is_some() {
            "no traffic yet"
        } else {
            "no objective"
        };
        return html! {
            svg viewBox="0 0 136 44" role="img" aria-label={ "budget left unknown: " (why) } {
                rect x="0" y="10" width="108" height="32" fill="url(#hatch-unknown)" {}
                use href="#mark" {}
            }
            div.two { span.left.n { "unknown" } span.xs.q.n { (why) } }
        };
    };
    // 32 px from the keel to the line; over it, 8 px more show that it is over, not by how much.
    let level = 42.0 - 32.0 * (1.0 - left).clamp(0.0, 1.25);
    let says = lasts(objective, now);
    let share = figure::budget_left(Some(left), " ");
    let y = at(level);
    let points = known_points(spent, level, is_coarse);
    let (first, run) = match points.as_slice() {
        [(first, _), .., _] => (*first, Some(points)),
        // Only how it stands is known: that much of the period was seen.
        _ => (
            108.0 * (1.0 - objective.observed_seconds / objective.period_seconds).clamp(0.0, 1.0),
            None,
        ),
    };
    let run = run.unwrap_or_else(|| vec![(first, level), (108.0, level)]);
    let under: Run = run.iter().map(|(x, y)| (*x, y.max(10.0))).collect();
    let is_over = run.iter().any(|(_, y)| *y < 10.0);
    html! {
        svg viewBox="0 0 136 44" role="img" aria-label={ "budget left " (share) ", " (says) } {
            path.room d="M0 10H108V42H0Z" {}
            // How it came there was not seen: the level now goes on to the left, dashed and pale.
            @if first > 1.0 {
                @let before = run.first().map_or(level, |it| it.1);
                path.water.guess d={ "M0 " (at(before.max(10.0))) "H" (at(first)) "V42H0Z" } {}
                path.waterline.guess d={ "M0 " (at(before)) "H" (at(first)) } {}
            }
            path.water d=(filled(&under, 42.0)) {}
            @if is_over { path.over d=(between(&run, &under)) {} }
            path.waterline d=(line(&run)) {}
            path.draft d="M111 34h4M111 26h6M111 18h4M111 42h6" {}
            use href="#mark" {}
            path.wedge d={ "M109 " (y) "l6 -3.5v7Z" } {}
        }
        div.two {
            span.left.n { (share) " " span.xs.qq.of { "left of " (objective.period()) } }
            span.xs.q.n title={ (objective.name) ", observed " (period(objective)) } { (says) }
        }
    }
}

/// What is known of how the level rose, the oldest first, and how it stands now.
fn known_points(spent: &[Option<f64>], level: f64, is_coarse: bool) -> Run {
    let every = spent.len().div_ceil(if is_coarse { 15 } else { 30 }).max(1);
    let step = 108.0 / spent.len().max(1) as f64;
    let last = spent.len().saturating_sub(1);
    let known = spent
        .iter()
        .enumerate()
        .filter_map(|(place, spent)| Some((place, (*spent)?)));
    let chosen = known.filter(|(place, _)| (last - place).is_multiple_of(every) && *place < last);
    let mut run: Run = chosen
        .map(|(place, spent)| {
            (
                (place + 1) as f64 * step,
                42.0 - 32.0 * spent.clamp(0.0, 1.25),
            )
        })
        .collect();
    if !run.is_empty() {
        run.push((108.0, level));
    }
    run
}

/// Burn rates over four windows, by their logarithm around 1.
fn burn(service: &ServiceView, tone: &str, is_quiet: bool) -> Markup {
    const LINE: f64 = 21.3;
    let over = |window| service.tightest().and_then(|it| it.burn_over(window));
    let hour = unknown(figure::burn(over("1h")));
    let tone = if is_quiet {
        "b".to_owned()
    } else {
        format!("b tone {tone}")
    };
    let dots = [
        ("5m", 7.0, 3.2),
        ("1h", 20.3, 3.2),
        ("6h", 33.6, 2.6),
        ("3d", 46.9, 2.6),
    ];
    let dots = dots.map(|(window, x, r)| {
        over(window).map(|rate| (x, r, LINE - 8.6 * rate.clamp(0.1, 30.0).log10(), rate > 1.0))
    });
    html! {
        div.burn {
            @if dots.iter().any(Option::is_some) {
                svg viewBox="0 0 54 36" aria-hidden="true" {
                    path.axis d={ "M0 " (at(LINE)) "h54" } {}
                    @for (x, r, y, is_over) in dots.into_iter().flatten() {
                        path.track d={ "M" (at(x)) " " (at(LINE)) "V" (at(y)) } {}
                        circle cx=(at(x)) cy=(at(y)) r=(at(r)) class=(if is_over { "dot" } else { "dot healthy" }) {}
                    }
                }
            }
            div.two.r { span class=(tone) { (hour) } span.xs.qq.n { "5m " (unknown(figure::burn(over("5m")))) } }
        }
    }
}

/// Traffic of an hour, with what was bad at its foot.
fn spark(traffic: &[Option<(f64, f64)>], is_coarse: bool) -> Markup {
    let points = if is_coarse {
        halved(traffic)
    } else {
        traffic.to_vec()
    };
    let max = points
        .iter()
        .flatten()
        .map(|(all, _)| *all)
        .fold(0.0, f64::max);
    if max <= 0.0 {
        return html! { svg viewBox="0 0 104 32" role="img" aria-label="no traffic in the last hour" { path.axis d="M0 30h104" {} } };
    }
    let all = curve(&points, 100.9, |(all, _)| 30.0 - 26.0 * all / max);
    let bad = curve(&points, 100.9, |(_, bad)| 30.0 - 26.0 * bad / max);
    let end = all.last().and_then(|run| run.last()).copied();
    let is_bad = points.iter().flatten().any(|(_, bad)| *bad > 0.0);
    html! {
        svg viewBox="0 0 104 32" aria-hidden="true" {
            path.axis d="M0 30h104" {}
            @for run in &all { path.spark-fill d=(filled(run, 30.0)) {} }
            @if is_bad { @for run in &bad { path.bad d=(filled(run, 30.0)) {} } }
            @for run in &all { path.spark d=(line(run)) {} }
            @if let Some((x, y)) = end { circle.end cx=(at(x)) cy=(at(y)) r="1.8" {} }
        }
    }
}

fn halved(points: &[Option<(f64, f64)>]) -> Vec<Option<(f64, f64)>> {
    let every = points.len().div_ceil(QUIET_POINTS).max(1);
    let mean = |part: &[Option<(f64, f64)>]| {
        let known = part.iter().flatten().count() as f64;
        let sum = part
            .iter()
            .flatten()
            .fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        (known > 0.0).then(|| (sum.0 / known, sum.1 / known))
    };
    points.chunks(every).map(mean).collect()
}

/// Runs of points over a width; `y` of each.
pub(super) fn curve(
    points: &[Option<(f64, f64)>],
    width: f64,
    y: impl Fn(&(f64, f64)) -> f64,
) -> Vec<Run> {
    let step = width / points.len().saturating_sub(1).max(1) as f64;
    let placed: Vec<Option<(f64, f64)>> = points
        .iter()
        .enumerate()
        .map(|(place, point)| point.as_ref().map(|point| (place as f64 * step, y(point))))
        .collect();
    let runs = placed.split(Option::is_none).filter(|run| !run.is_empty());
    runs.map(|run| run.iter().flatten().copied().collect())
        .collect()
}

/// A line through a run. Of what is level, its ends.
pub(super) fn line(run: &Run) -> String {
    let mut path = String::with_capacity(10 * run.len());
    if let [(x, y)] = run.as_slice() {
        return format!("M{} {}h1", at(*x), at(*y));
    }
    let mut command = 'M';
    for (place, (x, y)) in run.iter().enumerate() {
        let same = |other: Option<&(f64, f64)>| other.is_some_and(|other| at(other.1) == at(*y));
        if place > 0 && same(run.get(place - 1)) && same(run.get(place + 1)) {
            continue;
        }
        path.push(command);
        path.push_str(&at(*x));
        path.push(' ');
        path.push_str(&at(*y));
        command = 'L';
    }
    path
}

/// From a run down to the floor.
pub(super) fn filled(run: &Run, floor: f64) -> String {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return String::new();
    };
    format!(
        "{}L{} {}L{} {}Z",
        line(run),
        at(last.0),
        at(floor),
        at(first.0),
        at(floor)
    )
}

/// Between two runs of the same points.
pub(super) fn between(above: &Run, below: &Run) -> String {
    let mut back = below.clone();
    back.reverse();
    format!("{}{}Z", line(above), line(&back).replacen('M', "L", 1))
}

/// P99 on a scale of ratios around the objective.
fn latency(service: &ServiceView) -> Markup {
    let p99 = service.traffic.latency.p99_seconds;
    let below = service.latency_objective_seconds();
    let ratio = p99.zip(below).map(|(p99, below)| p99 / below);
    let is_over = ratio.is_some_and(|ratio| ratio > 1.0);
    let tone = if condition(service) == Condition::Healthy {
        "burning"
    } else {
        condition(service).name()
    };
    html! {
        div.two {
            span.n {
                span class=[is_over.then(|| format!("b tone {tone}"))] { (unknown(figure::latency(p99, " "))) }
                @if let Some(below) = below { " " span.qq { "/ " (figure::latency(Some(below), " ")) } }
            }
            @match ratio {
                Some(ratio) => {
                    @let x = (PLUMB + 64.0 * ratio.max(1e-3).log10()).clamp(4.0, 112.0);
                    svg viewBox="0 0 116 14" aria-hidden="true" {
                        path.track d="M0 7h116" {}
                        @if is_over { path class={ "over-bar " (tone) } d={ "M" (at(PLUMB)) " 7H" (at(x)) } {} }
                        path.promise d={ "M" (at(PLUMB)) " 1v12" } {}
                        circle class={ "dot " (if is_over { tone } else { "healthy" }) } cx=(at(x)) cy="7" r="3.6" {}
                    }
                }
                None => { span.xs.qq.n { "P50 " (unknown(figure::latency(service.traffic.latency.p50_seconds, " "))) } }
            }
        }
    }
}

/// A box for each class, filled from the bottom by what was refused; without requests it is empty.
pub(crate) fn refused(service: &ServiceView) -> Markup {
    let Some(protection) = &service.protection else {
        return html! { span.q { "unknown" } };
    };
    let would: u64 = protection.would.iter().map(|action| action.count).sum();
    let is_none = protection.classes.iter().all(|class| class.refused == 0);
    html! {
        @if is_none {
            div.shed.none role="img" aria-label="nothing refused" {
                @for class in &protection.classes { span { @if class.requests > 0 { "0" } @else { "–" } } }
            }
        } @else {
            div.shed { @for class in &protection.classes { (share(class)) } }
        }
        @if would > 0 {
            span.xs.qq.n.would { "would have acted " (figure::count(would)) "×" }
        } @else if protection.mode == Mode::Observe {
            span.xs.qq.would { "observing" }
        }
    }
}

fn share(class: &ClassView) -> Markup {
    let name = class.class.name();
    let says = class
        .refused_share
        .map_or("no request".to_owned(), |share| {
            format!("{} refused", figure::percent(Some(share), " "))
        });
    // 22 px from the bottom to the top, at least one so that little is told from nothing.
    let top = |share: f64| 23.0 - (22.0 * share.clamp(0.0, 1.0)).max(1.0);
    html! {
        svg viewBox="0 0 34 24" role="img" aria-label={ (name) ": " (says) } {
            title { (name) ": " (says) }
            rect x=".5" y=".5" width="33" height="23" rx="3" fill="var(--sunk)" {}
            @if let Some(share) = class.refused_share {
                @if share > 0.0 {
                    path fill="url(#hatch-refused)" d={ "M1 23V" (at(top(share))) "h32V23Z" } {}
                    rect x="5" y="4.5" width="24" height="15" rx="2" fill="var(--panel)" {}
                }
                text x="17" y="16" text-anchor="middle" class=[(share > 0.0).then_some("on")] { (short(share)) }
            }
        }
    }
}

/// Percent in at most three characters, told from none and from all.
fn short(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0".to_owned(),
        percent if percent < 1.0 => "<1".to_owned(),
        percent if percent < 100.0 => format!("{:.0}", percent.clamp(1.0, 99.0)),
        _ => "100".to_owned(),
    }
}

/// What is moved now, by whom; and where nothing is, what was not good.
pub(crate) fn acts(snapshot: &Snapshot, service: &ServiceView) -> Markup {
    let governed = service.governed.as_ref();
    let would = governed.is_some_and(|it| it.mode != Mode::Enforce);
    let moved: Vec<&str> = governed.map_or(Vec::new(), |it| {
        it.moved.iter().map(|moved| moved.says.as_str()).collect()
    });
    let held = snapshot
        .overlay
        .iter()
        .filter(|it| it.service == service.name);
    let held: Vec<String> = held
        .map(|it| format!("{}, held by {}", it.says, it.by))
        .collect();
    let limit = service
        .protection
        .as_ref()
        .filter(|it| it.limits() && it.queued() > 0);
    let mut parts: Vec<Markup> = Vec::new();
    if let Some(other) = governed.and_then(|it| it.because_of.as_ref()) {
        parts
            .push(html! { "because of " a href=(service_path(other)) { (other) } ": acted there" });
    }
    if !moved.is_empty() {
        parts.push(html! { @if would { span.would { "would be: " (moved.join(", ")) } } @else { (moved.join(", ")) } });
    }
    for held in held {
        parts.push(html! { (held) });
    }
    if let Some(maintenance) = &service.maintenance {
        parts.push(html! { "maintenance " (maintenance.name) " until " (since(maintenance.until, snapshot.now)) });
    }
    if let Some(protection) = limit {
        parts.push(html! { "limit " (protection.limit.unwrap_or(0)) ", " (figure::count(protection.queued())) " wait" });
    }
    if service.serving_to_all {
        parts.push(html! { "no endpoint is healthy: sent to all" });
    }
    if parts.is_empty() && condition(service) != Condition::Healthy {
        let errors = service.traffic.errors.iter().take(2);
        for error in errors {
            parts.push(html! { code { (error.cause.name()) } " " (figure::percent(Some(error.share), " ")) });
        }
    }
    html! { @for (place, part) in parts.iter().enumerate() { @if place > 0 { "; " } (part) } }
}
