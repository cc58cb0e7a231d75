//! What happened, on one time axis: changes and decisions with how the service stood, latency, what was bad, concurrency,
//! traffic. The same values stand in a table behind each plot.

use maud::{Markup, PreEscaped, html};
use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{CauseGroup, Condition, ServiceView, StandIn, Step, figure, row_upper};
use plimsoll_plot::{
    Chart, HeatMap, Layer, Mark, MarkKind, Marks, Promise, Scale, Series, Span, TimeAxis,
};

use super::Range;
use crate::page::Sight;
use crate::page::parts::{condition, day, since};
use crate::page::record::Record;
use crate::problem::Problem;

/// Rows of the heat map, at most.
const ROWS_MAX: usize = 24;
/// Decisions that are lines in the plots, at most; the latest.
const DRAWN_MAX: usize = 40;
/// What is a decision to whoever looks for what was done.
const DONE: [&str; 6] = ["move", "page", "defer", "helpless", "resolved", "rollout"];

pub(super) fn signals(
    sight: &Sight,
    service: &ServiceView,
    range: Range,
    records: &[Record],
) -> Markup {
    let (length, points) = (range.step(), range.points());
    let now = sight.snapshot.now.as_seconds();
    let past = match &sight.past {
        Some(Ok(past)) => Some(past.as_ref()),
        Some(Err(problem)) => return unreadable(range, problem),
        None => None,
    };
    let seen = past.map_or(&sight.steps, |it| &it.steps);
    let begin = (now / length + 1).saturating_sub(points) * length;
    let steps: Vec<Option<&Step>> = (0..points)
        .map(|place| {
            let start = begin + place * length;
            seen.iter().find(|step| step.start == start)
        })
        .collect();
    let decisions = decisions(records);
    // Each is a line in every plot.
    let drawn = decisions.get(decisions.len().saturating_sub(DRAWN_MAX)..);
    let drawn = drawn.unwrap_or_default();
    let seconds = |at: Timestamp| at.as_nanos() as f64 / 1e9;
    let onsets = service
        .governed
        .as_ref()
        .map_or(&[] as &[_], |it| it.onsets.as_slice());
    let inside = |at: &f64| *at >= begin as f64;
    let axis = TimeAxis {
        begin: begin as f64,
        step: length as f64,
        points: points as usize,
        cuts: drawn
            .iter()
            .map(|(_, it)| seconds(it.at))
            .filter(inside)
            .collect(),
        onsets: onsets
            .iter()
            .map(|it| seconds(it.at))
            .filter(inside)
            .collect(),
        faults: Vec::new(),
        format: match range {
            Range::TenMinutes => second,
            Range::Hour | Range::SixHours | Range::Day => minute,
            Range::FourWeeks => date,
        },
    };
    let is_known = steps.iter().any(Option::is_some);
    let uncertain = onsets
        .first()
        .map(|it| it.latest.since(it.earliest).as_secs() / 2);
    html! {
        section.panel aria-label="Signals on one time axis" {
            div.head {
                h2 { "What happened" }
                span.s.q {
                    (figure::duration(length as f64)) " steps; dotted lines are decisions"
                    @if let Some(uncertain) = uncertain { ", the red one is the onset found by change point (±" (uncertain) " s)" }
                }
                (tabs(range))
            }
            @if let (true, Some(past)) = (is_known, past) {
                div.stack {
                    div.crosshair {}
                    div { (PreEscaped(marks(sight, service, &axis, records, &decisions))) }
                    (past_latency(service, &axis, &steps))
                    (past_bad(&axis, &steps, past.objective.as_deref()))
                    (traffic(&axis, &steps))
                    (past_values(&axis, &steps))
                }
            } @else if is_known {
                div.stack {
                    div.crosshair {}
                    div { (PreEscaped(marks(sight, service, &axis, records, &decisions))) }
                    (latency(service, &axis, &steps))
                    (bad(&axis, &steps, false))
                    (stand_ins(&axis, &steps))
                    (concurrency(service, &axis, &steps))
                    (traffic(&axis, &steps))
                    (values(&axis, &steps))
                }
            } @else {
                p.pad.q {
                    @match past {
                        Some(past) if past.objective.is_none() => "Without an objective nothing is kept for longer than an hour.",
                        Some(_) => "Nothing was seen in this time, or it is not kept yet: it comes to the store within a minute.",
                        None => "No traffic was seen yet. What happens is drawn from the first requests on.",
                    }
                }
            }
        }
    }
}

fn tabs(range: Range) -> Markup {
    html! {
        nav.tabs.end aria-label="Time range" {
            @for each in Range::ALL {
                a href={ "?range=" (each.name()) } aria-current=[(each == range).then_some("true")] { (each.name()) }
            }
        }
    }
}

/// In the place of the plots.
fn unreadable(range: Range, problem: &Problem) -> Markup {
    html! {
        section.panel aria-label="Signals on one time axis" {
            div.head { h2 { "What happened" } (tabs(range)) }
            p.pad.q { "What is kept can't be read now: " (problem) " The last hour is in memory: " a href="?range=1h" { "1h" } "." }
        }
    }
}

fn date(at: f64) -> String {
    day(Timestamp::from_seconds(at.max(0.0) as u64))
}

/// How bad it was around an incident: from some time before it began until after its end, an hour at most, for memory has no
/// more. Where that has nothing it is hatched; what the journal knows is there all the same.
pub(in crate::page) fn around(
    sight: &Sight,
    service: &ServiceView,
    began: Timestamp,
    ended: Option<Timestamp>,
    records: &[Record],
) -> Markup {
    const BEFORE: u64 = 600;
    const AFTER: u64 = 300;
    let range = Range::Hour;
    let length = range.step();
    let now = sight.snapshot.now.as_seconds();
    let until = ended.map_or(now, |ended| (ended.as_seconds() + AFTER).min(now));
    let end = until / length + 1;
    let first = began.as_seconds().saturating_sub(BEFORE) / length;
    // Of what lasts for long the end is shown: that is what goes on.
    let points = end.saturating_sub(first).clamp(20, range.points());
    let begin = end.saturating_sub(points) * length;
    let steps: Vec<Option<&Step>> = (0..points)
        .map(|place| {
            let start = begin + place * length;
            sight.steps.iter().find(|step| step.start == start)
        })
        .collect();
    let decisions = decisions(records);
    let seconds = |at: Timestamp| at.as_nanos() as f64 / 1e9;
    let is_inside = |at: &f64| *at >= begin as f64 && *at <= ((begin + points * length) as f64);
    let latest = decisions.len().saturating_sub(DRAWN_MAX);
    let cuts = decisions.iter().skip(latest).map(|(_, it)| seconds(it.at));
    let axis = TimeAxis {
        begin: begin as f64,
        step: length as f64,
        points: points as usize,
        cuts: cuts.filter(is_inside).collect(),
        onsets: Some(seconds(began)).filter(is_inside).into_iter().collect(),
        faults: Vec::new(),
        format: minute,
    };
    html! {
        div.stack {
            div.crosshair {}
            div { (PreEscaped(marks(sight, service, &axis, records, &decisions))) }
            (bad(&axis, &steps, true))
        }
    }
}

fn minute(at: f64) -> String {
    figure::clock(Timestamp::from_seconds(at.max(0.0) as u64), 5)
}

fn second(at: f64) -> String {
    figure::clock(Timestamp::from_seconds(at.max(0.0) as u64), 8)
}

/// What was decided, the oldest first, each with its number here: on the plot and in the list.
pub(super) fn decisions(records: &[Record]) -> Vec<(usize, &Record)> {
    let decided = records.iter().filter(|it| it.kind == "decision");
    let done = decided.filter(|it| it.what().is_some_and(|what| DONE.contains(&what)));
    done.enumerate()
        .map(|(place, it)| (place + 1, it))
        .collect()
}

/// What people changed, the oldest first, each with its letter.
pub(super) fn changes(records: &[Record]) -> Vec<(String, &Record)> {
    let changed = records
        .iter()
        .filter(|it| ["change", "overlay", "maintenance"].contains(&it.kind.as_str()));
    let letter = |place: usize| match u8::try_from(place) {
        Ok(place @ 0..26) => char::from(b'A' + place).to_string(),
        _ => (place + 1).to_string(),
    };
    changed
        .enumerate()
        .map(|(place, it)| (letter(place), it))
        .collect()
}

fn marks(
    sight: &Sight,
    service: &ServiceView,
    axis: &TimeAxis,
    records: &[Record],
    decisions: &[(usize, &Record)],
) -> String {
    let seconds = |at: Timestamp| at.as_nanos() as f64 / 1e9;
    let mark = |sign: String, record: &Record| Mark {
        at: seconds(record.at),
        sign,
        title: record.text.clone(),
    };
    let inside = |record: &Record| {
        let at = seconds(record.at);
        at >= axis.begin && at <= axis.end()
    };
    let decisions = decisions
        .iter()
        .filter(|(_, it)| inside(it))
        .map(|(number, record)| {
            let kind = if record.is_would() {
                MarkKind::Would
            } else {
                MarkKind::Decision
            };
            (kind, mark(number.to_string(), record))
        });
    let changes = changes(records).into_iter().filter(|(_, it)| inside(it));
    let began = service.governed.as_ref().and_then(|it| it.since);
    let name = condition(service).name();
    Marks {
        axis,
        changes: changes
            .map(|(letter, record)| mark(letter, record))
            .collect(),
        decisions: decisions.collect(),
        ribbon: ribbon(axis, condition(service), records),
        now: match began {
            Some(began) => format!("{name} since {}", since(began, sight.snapshot.now)),
            None => name.to_owned(),
        },
    }
    .svg()
}

/// How it stood, from what the journal says of changes of its condition.
fn ribbon(axis: &TimeAxis, now: Condition, records: &[Record]) -> Vec<(Span, &'static str)> {
    let word = |name: &str| {
        Condition::ALL
            .into_iter()
            .find(|it| it.name() == name)
            .map(Condition::name)
    };
    let changes = records.iter().filter(|it| it.what() == Some("condition"));
    let changes: Vec<(f64, &'static str, &'static str)> = changes
        .filter_map(|it| {
            let at = it.at.as_nanos() as f64 / 1e9;
            Some((at, word(it.decided("from")?)?, word(it.decided("to")?)?))
        })
        .collect();
    let mut from = axis.begin;
    let mut stood = changes.first().map_or(now.name(), |(_, before, _)| before);
    let mut spans = Vec::new();
    for (at, _, after) in changes {
        if at > from {
            spans.push((Span { from, to: at }, stood));
            from = at;
        }
        stood = after;
    }
    spans.push((
        Span {
            from,
            to: axis.end(),
        },
        stood,
    ));
    spans
}

fn latency(service: &ServiceView, axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    let rows = || {
        steps
            .iter()
            .flatten()
            .flat_map(|step| step.rows.iter().map(|(row, _)| *row))
    };
    let (Some(first), Some(last)) = (rows().min(), rows().max()) else {
        return html! { div.row { h3 { "Latency" } p.q { "No request ended in this time." } } };
    };
    let objective = service.latency_objective_seconds();
    // The objective is on the plot, with a little room around all.
    let row_of = |seconds: f64| {
        (0..u8::MAX)
            .find(|row| row_upper(*row) >= seconds)
            .unwrap_or(u8::MAX)
    };
    let first = objective
        .map_or(first, |it| first.min(row_of(it).saturating_sub(1)))
        .saturating_sub(1);
    let last = objective.map_or(last, |it| last.max(row_of(it) + 1));
    let merged = (usize::from(last - first) + 1).div_ceil(ROWS_MAX).max(1);
    let count = (usize::from(last - first) + 1).div_ceil(merged);
    let top = usize::from(first) + merged * count - 1;
    let low = if first == 0 {
        row_upper(0) / 1.2
    } else {
        row_upper(first - 1)
    };
    let high = row_upper(u8::try_from(top).unwrap_or(u8::MAX)).max(low * 2.0);
    let column = |step: &Option<&Step>| {
        let step = (*step)?;
        let mut cells = vec![0_u32; count];
        for (row, values) in &step.rows {
            let place = usize::from(row - first) / merged;
            if let Some(cell) = cells.get_mut(place) {
                *cell = cell.saturating_add(*values);
            }
        }
        Some(cells)
    };
    let of = |quantile: fn(&Step) -> Option<std::time::Duration>| {
        steps
            .iter()
            .map(move |step| quantile((*step)?).map(|it| it.as_secs_f64()))
    };
    let (p99, p50) = (
        Series::new("P99", "p99", of(|it| it.p99)),
        Series::new("P50", "p50", of(|it| it.p50)),
    );
    let now = service.traffic.latency;
    let said = |seconds| figure::latency(seconds, " ");
    let finding = format!(
        "Latency over time; in the last minute P99 {}, P50 {}{}",
        said(now.p99_seconds),
        said(now.p50_seconds),
        objective.map_or(String::new(), |it| format!(
            ", objective {}",
            said(Some(it))
        ))
    );
    let map = HeatMap {
        axis,
        height: 176,
        finding,
        range: (low, high),
        columns: steps.iter().map(column).collect(),
        promise: objective.map(|value| Promise {
            value,
            label: said(Some(value)),
        }),
        lines: vec![p99, p50],
        format: seconds,
    };
    row(
        "Latency",
        "of all requests, log scale; the darker, the more; below the objective blue, over it red",
        "",
        map.svg(),
    )
}

fn bad(axis: &TimeAxis, steps: &[Option<&Step>], times: bool) -> Markup {
    let of = |group: CauseGroup| {
        steps
            .iter()
            .map(move |step| step.and_then(|step| step.share(step.of_cause(group))))
    };
    let series = |group: CauseGroup| {
        let class = match group {
            CauseGroup::Answered => "c-5xx",
            CauseGroup::Timeout => "c-timeout",
            CauseGroup::Connect => "c-connect",
            CauseGroup::Other => "c-other",
            CauseGroup::Refused => "c-refused",
        };
        Series::new(group.name(), class, of(group))
    };
    let is_there = |group: &CauseGroup| of(*group).flatten().any(|share| share > 0.0);
    let mut groups: Vec<CauseGroup> = CauseGroup::ALL.into_iter().filter(is_there).collect();
    if groups.is_empty() {
        groups.push(CauseGroup::Answered);
    }
    let sums = steps.iter().flatten().map(|step| {
        let all: u64 = step.causes.iter().sum();
        step.share(all).unwrap_or(0.0)
    });
    let most = sums.fold(0.0, f64::max);
    let chart = Chart {
        axis,
        height: 104,
        finding: format!(
            "Bad and refused requests by cause; at most {} of all",
            figure::percent(Some(most), " ")
        ),
        scale: Scale::linear([most.max(0.001)]),
        format: share,
        layers: vec![Layer::Stack(groups.into_iter().map(series).collect())],
        promise: None,
        times,
    };
    row(
        "Bad and refused",
        "share of requests by cause; hatched is what Plimsoll refused",
        &chart.key(),
        chart.svg(),
    )
}

/// Steps that are drawn as one where the page would become large otherwise.
const MERGED: usize = 3;

/// What answered in place of the service; nothing where nothing did.
fn stand_ins(axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    let axis = TimeAxis {
        begin: axis.begin,
        step: axis.step * MERGED as f64,
        points: axis.points.div_ceil(MERGED),
        cuts: axis.cuts.clone(),
        onsets: axis.onsets.clone(),
        faults: axis.faults.clone(),
        format: axis.format,
    };
    let share_of = |steps: &[Option<&Step>], count: &dyn Fn(&Step) -> u64| {
        let known = || steps.iter().flatten();
        let all: u64 = known().map(|it| it.requests).sum();
        let counted: u64 = known().map(|it| count(it)).sum();
        (all > 0).then(|| counted as f64 / all as f64)
    };
    let of = |stand_in: StandIn| {
        let count = move |step: &Step| step.of_stand_in(stand_in);
        steps.chunks(MERGED).map(move |some| share_of(some, &count))
    };
    let series = |stand_in: StandIn| {
        let class = match stand_in {
            StandIn::Fresh => "c-fresh",
            StandIn::Stale => "c-stale",
            StandIn::Fallback => "c-fallback",
        };
        Series::new(stand_in.name(), class, of(stand_in))
    };
    let is_there = |it: &StandIn| of(*it).flatten().any(|share| share > 0.0);
    let there: Vec<StandIn> = StandIn::ALL.into_iter().filter(is_there).collect();
    if there.is_empty() {
        return html! {};
    }
    let all = |step: &Step| step.stand_ins.iter().sum();
    let last = steps
        .chunks(MERGED)
        .rev()
        .find_map(|some| share_of(some, &all));
    let chart = Chart {
        axis: &axis,
        height: 80,
        finding: format!(
            "Requests that were answered in place of the service; {} lately",
            figure::percent(last, " ")
        ),
        scale: Scale::linear([1.0]),
        format: share,
        layers: vec![Layer::Stack(there.into_iter().map(series).collect())],
        promise: None,
        times: false,
    };
    row(
        "Answered in its place",
        "share of requests: fresh and stale from the cache, by a fallback; the rest reached it or was refused",
        &chart.key(),
        chart.svg(),
    )
}

/// Where single latencies are not kept.
fn past_latency(service: &ServiceView, axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    let of = |quantile: fn(&Step) -> Option<std::time::Duration>| {
        steps
            .iter()
            .map(move |step| quantile((*step)?).map(|it| it.as_secs_f64()))
    };
    let (p99, p50) = (
        Series::new("P99", "p99", of(|it| it.p99)),
        Series::new("P50", "p50", of(|it| it.p50)),
    );
    let objective = service.latency_objective_seconds();
    let chart = Chart {
        axis,
        height: 140,
        finding: format!(
            "Latency over time: P99 at most {}",
            figure::latency(p99.known().reduce(f64::max), " ")
        ),
        scale: Scale::log(p99.known().chain(p50.known()).chain(objective)),
        format: seconds,
        promise: objective.map(|value| Promise {
            value,
            label: figure::latency(Some(value), " "),
        }),
        layers: vec![Layer::Line(p99), Layer::Line(p50)],
        times: false,
    };
    row(
        "Latency",
        "P99 and P50 of the worst minute or hour of each step, log scale",
        &chart.key(),
        chart.svg(),
    )
}

/// Where causes are not kept.
fn past_bad(axis: &TimeAxis, steps: &[Option<&Step>], objective: Option<&str>) -> Markup {
    let of = |group: CauseGroup| {
        steps
            .iter()
            .map(move |step| step.and_then(|step| step.share(step.of_cause(group))))
    };
    let most = steps
        .iter()
        .flatten()
        .filter_map(|step| step.share(step.bad));
    let most = most.fold(0.0, f64::max);
    let chart = Chart {
        axis,
        height: 104,
        finding: format!(
            "Bad and refused requests; at most {} of all",
            figure::percent(Some(most), " ")
        ),
        scale: Scale::linear([most.max(0.001)]),
        format: share,
        layers: vec![Layer::Stack(vec![
            Series::new("failed", "c-5xx", of(CauseGroup::Answered)),
            Series::new("refused", "c-refused", of(CauseGroup::Refused)),
        ])],
        promise: None,
        times: false,
    };
    let about = format!(
        "share of requests, as objective {} counts; hatched is what Plimsoll refused",
        objective.unwrap_or_default()
    );
    row("Bad and refused", &about, &chart.key(), chart.svg())
}

fn concurrency(service: &ServiceView, axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    let of = |value: fn(&Step) -> Option<u32>| {
        steps.iter().map(move |step| value((*step)?).map(f64::from))
    };
    let limit = of(|step| step.standing.limit);
    let protection = service.protection.as_ref();
    let observes = protection.is_some_and(|it| it.mode == Mode::Observe);
    let reason = protection
        .and_then(|it| it.limit_reason.as_deref())
        .unwrap_or("none");
    let mut layers = vec![
        Layer::Area(Series::new(
            "in flight",
            "inflight",
            of(|step| Some(step.standing.in_flight)),
        )),
        Layer::Bars(Series::new(
            "waiting",
            "queue-l",
            of(|step| Some(step.standing.queued)),
        )),
    ];
    if limit.clone().flatten().next().is_some() {
        let (name, class) = if observes {
            ("would limit", "limit-l would-limit")
        } else {
            ("limit", "limit-l")
        };
        layers.push(Layer::Line(Series::new(name, class, limit.clone())));
    }
    let most = of(|step| Some(step.standing.in_flight.max(step.standing.queued)))
        .flatten()
        .fold(1.0, f64::max);
    // A limit far over what is in flight would press that to the floor.
    let limits = limit.flatten().fold(0.0, f64::max);
    let chart = Chart {
        axis,
        height: 96,
        finding: format!(
            "Concurrency: limit, in flight and waiting; the limit is what it is by: {reason}"
        ),
        scale: Scale::linear([most.max(limits.min(8.0 * most))]),
        format: whole,
        layers,
        promise: None,
        times: false,
    };
    let about = format!("limit ({reason}), in flight, waiting; the most of each step");
    row("Concurrency", &about, &chart.key(), chart.svg())
}

fn traffic(axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    let of = |count: fn(&Step) -> u64| {
        steps
            .iter()
            .map(move |step| step.and_then(|step| step.per_second(count(step))))
    };
    let offered = Series::new("offered", "spark", of(|step| step.requests));
    let good = Series::new("good", "inflight", of(|step| step.good));
    let chart = Chart {
        axis,
        height: 64,
        finding: "Requests offered and answered well".to_owned(),
        scale: Scale::linear(offered.known()),
        format: rate,
        layers: vec![Layer::Area(good), Layer::Line(offered)],
        promise: None,
        times: true,
    };
    row("Traffic", "offered, answered well", "", chart.svg())
}

fn row(title: &str, about: &str, key: &str, plot: String) -> Markup {
    html! {
        div.row {
            h3 { (title) span { (about) } }
            (PreEscaped(key)) (PreEscaped(plot))
        }
    }
}

/// The values of all plots of a longer time.
fn past_values(axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    let time = |it: Option<std::time::Duration>| {
        it.map_or("none".to_owned(), |it| seconds(it.as_secs_f64()))
    };
    let part = |step: &Step, group| figure::percent(step.share(step.of_cause(group)), "");
    html! {
        details.values {
            summary { "The values of all plots, " (figure::duration(axis.step)) " apart" }
            div.scroll tabindex="0" role="region" aria-label="Values of all plots" { table.tight {
                thead { tr {
                    th scope="col" { "from, UTC" }
                    @for head in ["offered/s", "good/s", "P50", "P99", "failed", "refused"] { th.r scope="col" { (head) } }
                } }
                tbody.rs { @for (place, step) in steps.iter().enumerate() { tr {
                    th scope="row" { ((axis.format)(axis.begin + axis.step * place as f64)) }
                    @match step {
                        Some(step) => {
                            td { (figure::rate(step.per_second(step.requests))) }
                            td { (figure::rate(step.per_second(step.good))) }
                            td { (time(step.p50)) }
                            td { (time(step.p99)) }
                            td { (part(step, CauseGroup::Answered)) }
                            td { (part(step, CauseGroup::Refused)) }
                        }
                        None => { td colspan="6" { "unknown" } }
                    }
                } } }
            } }
        }
    }
}

/// The values of all plots; of two steps the later one, so that the page stays small.
fn values(axis: &TimeAxis, steps: &[Option<&Step>]) -> Markup {
    // Columns that have something to say, so that the page stays small.
    let answers = steps.iter().flatten().any(|it| it.stand_ins != [0; 3]);
    let written = |step: &Step| {
        let time = |it: Option<std::time::Duration>| {
            it.map_or("none".to_owned(), |it| seconds(it.as_secs_f64()))
        };
        let whole = |it: Option<u32>| it.map_or("none".to_owned(), |it| figure::count(it.into()));
        let mut cells = vec![
            figure::rate(step.per_second(step.requests)),
            figure::rate(step.per_second(step.good)),
            time(step.p50),
            time(step.p99),
            whole(step.standing.limit),
            whole(Some(step.standing.in_flight)),
            whole(Some(step.standing.queued)),
        ];
        let shares = CauseGroup::ALL.map(|group| match step.share(step.of_cause(group)) {
            Some(share) => figure::percent(Some(share), ""),
            None => "none".to_owned(),
        });
        cells.extend(shares);
        if answers {
            let shares = StandIn::ALL.map(|it| match step.share(step.of_stand_in(it)) {
                Some(share) => figure::percent(Some(share), ""),
                None => "none".to_owned(),
            });
            cells.extend(shares);
        }
        cells
    };
    let heads = [
        "offered/s",
        "good/s",
        "P50",
        "P99",
        "limit",
        "in flight",
        "waiting",
    ];
    let mut heads = heads.to_vec();
    heads.extend(CauseGroup::ALL.map(CauseGroup::name));
    if answers {
        heads.extend(StandIn::ALL.map(StandIn::name));
    }
    let rows = steps.iter().enumerate().skip(1).step_by(2);
    html! {
        details.values {
            summary { "The values of all plots, " (2.0 * axis.step) " s apart" }
            div.scroll tabindex="0" role="region" aria-label="Values of all plots" { table.tight {
                thead { tr {
                    th scope="col" { "from, UTC" }
                    @for head in &heads { th.r scope="col" { (head) } }
                } }
                tbody.rs { @for (place, step) in rows { tr {
                    th scope="row" { ((axis.format)(axis.begin + axis.step * place as f64)) }
                    @match step {
                        Some(step) => { @for cell in written(step) { td { (cell) } } }
                        None => { td colspan=(heads.len()) { "unknown" } }
                    }
                } } }
            } }
        }
    }
}

fn seconds(value: f64) -> String {
    figure::latency(Some(value), " ")
}

fn share(value: f64) -> String {
    figure::percent(Some(value), " ")
}

fn whole(value: f64) -> String {
    figure::count(value.max(0.0).round() as u64)
}

fn rate(value: f64) -> String {
    format!("{}/s", figure::rate(Some(value)))
}
