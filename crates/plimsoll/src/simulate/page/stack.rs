//! The plots of a service, on one time axis.

use maud::{Markup, PreEscaped, html};
use plimsoll_config::scenario::{Fault, FaultKind, Scenario};
use plimsoll_core::Class;
use plimsoll_measure::figure::{self, budget_left, duration, percent};
use plimsoll_plot::{Chart, Lane, Layer, LoadLine, Promise, Scale, Series, Span, TimeAxis, lanes};

use super::super::Arm;
use super::super::report::{good_share, share, sum};
use super::Page;
use super::course::{Course, Grid, failed, gone, late, refused};

/// Phases and faults that are drawn, at most: those that last the longest. Each is on every plot.
const PHASES_MAX: usize = 20;
const FAULTS_MAX: usize = 10;

/// Its plots, each with its values as a table.
pub(super) fn service(page: &Page<'_>, service: usize, grid: &Grid, courses: &[Course]) -> Markup {
    let scenario = page.report.scenario;
    let Some(simulated) = scenario.services.get(service) else {
        return html! {};
    };
    let axis = axis(scenario, service, grid);
    let objective = simulated.objective.as_secs_f64();
    let runs = page.report.seeds.min(super::super::DRAWN_MAX);
    let mut plots = vec![
        in_time(&axis, courses),
        latencies(&axis, courses, objective),
    ];
    plots.extend(ends(&axis, courses));
    plots.extend(concurrency(&axis, courses));
    if let Some(last) = plots.last_mut() {
        last.chart.times = true;
    }
    let heading = format!("service-{service}");
    html! {
        section.panel aria-labelledby=(heading) {
            div.head {
                h2 id=(heading) { "Service " (simulated.name) }
                span.s.q {
                    "one point stands for " (duration(grid.step))
                    @if runs > 1 { ", mean of " (runs) " runs" }
                    "; shaded while a fault lasts, dotted where a phase begins"
                    @if scenario.phases.len() > PHASES_MAX || faults_there(scenario, service) > FAULTS_MAX {
                        "; of each the longest are drawn"
                    }
                }
            }
            div.stack {
                div { (PreEscaped(happened(scenario, service, &axis))) }
                @for plot in &plots { (plot.markup()) }
            }
            (budget(page, service, &axis, courses))
        }
    }
}

/// A plot with its heading.
struct Plot<'a> {
    title: String,
    about: String,
    chart: Chart<'a>,
}

impl Plot<'_> {
    fn markup(&self) -> Markup {
        html! {
            div.row {
                h3 { (self.title) " " span { (self.about) } }
                (PreEscaped(self.chart.key()))
                (PreEscaped(self.chart.svg()))
                details.values {
                    summary { "values" }
                    (PreEscaped(self.chart.table(&self.title)))
                }
            }
        }
    }
}

fn axis(scenario: &Scenario, service: usize, grid: &Grid) -> TimeAxis {
    let begins = phases(scenario).into_iter().map(|(span, _)| span.from);
    TimeAxis {
        begin: 0.0,
        step: grid.step,
        points: grid.points,
        cuts: begins.filter(|begin| *begin > 0.0).collect(),
        onsets: Vec::new(),
        faults: faults(scenario, service).into_iter().map(span).collect(),
        format: duration,
    }
}

/// Those that are drawn.
fn faults(scenario: &Scenario, service: usize) -> Vec<&Fault> {
    let all = scenario.faults.iter();
    let of_service = all.filter(|fault| fault.service == service).collect();
    longest(of_service, FAULTS_MAX, |fault| fault.lasts.as_secs_f64())
}

/// Those that are drawn, each with when it is and its name.
fn phases(scenario: &Scenario) -> Vec<(Span, &str)> {
    let mut from = 0.0;
    let all = scenario.phases.iter().map(|phase| {
        let to = from + phase.lasts.as_secs_f64();
        let span = Span { from, to };
        from = to;
        (span, phase.name.as_str())
    });
    longest(all.collect(), PHASES_MAX, |(span, _)| span.to - span.from)
}

/// At most so many: those that last the longest, in their order.
fn longest<T>(all: Vec<T>, most: usize, lasts: impl Fn(&T) -> f64) -> Vec<T> {
    let mut by_length: Vec<(usize, T)> = all.into_iter().enumerate().collect();
    by_length.sort_by(|(_, a), (_, b)| lasts(b).total_cmp(&lasts(a)));
    by_length.truncate(most);
    by_length.sort_by_key(|(place, _)| *place);
    by_length.into_iter().map(|(_, it)| it).collect()
}

fn span(fault: &Fault) -> Span {
    Span {
        from: fault.at.as_secs_f64(),
        to: (fault.at + fault.lasts).as_secs_f64(),
    }
}

/// Phases and faults.
fn happened(scenario: &Scenario, service: usize, axis: &TimeAxis) -> String {
    let phases = phases(scenario).into_iter();
    let phases = phases.map(|(span, name)| (span, name.to_owned()));
    let mut all = vec![Lane {
        label: "phase".into(),
        class: "phase",
        spans: phases.collect(),
    }];
    for fault in faults(scenario, service) {
        let endpoints = scenario.services.get(service).map_or(0, |it| it.endpoints);
        all.push(Lane {
            label: "fault".into(),
            class: "fault",
            spans: vec![(span(fault), fault_text(fault, endpoints))],
        });
    }
    let finding = format!(
        "{} of {} phases and {} of {} faults on the time axis",
        all.first().map_or(0, |lane| lane.spans.len()),
        scenario.phases.len(),
        all.len() - 1,
        faults_there(scenario, service)
    );
    lanes(axis, &all, &finding)
}

fn faults_there(scenario: &Scenario, service: usize) -> usize {
    let faults = scenario.faults.iter();
    faults.filter(|fault| fault.service == service).count()
}

fn fault_text(fault: &Fault, endpoints: usize) -> String {
    let what = match fault.kind {
        FaultKind::Slow(times) => format!("slow: {times} times as long"),
        FaultKind::Errors(share) => format!("errors: {}", percent(Some(share), " ")),
        FaultKind::Crash => "crash".to_owned(),
        FaultKind::Cold => "cold: the cache is emptied".to_owned(),
        FaultKind::Freeze => "freeze: accepts, works on nothing".to_owned(),
        FaultKind::Capacity(share) => {
            format!("capacity: {} of workers left", percent(Some(share), " "))
        }
        FaultKind::Loss(share) => {
            format!(
                "loss: {} of messages, sent again",
                percent(Some(share), " ")
            )
        }
        FaultKind::Partition(gateways) => format!("partition: {gateways} gateways cut off"),
    };
    let (first, last) = (fault.after + 1, fault.after + fault.endpoints);
    match fault.endpoints {
        all if all == endpoints => what,
        1 => format!("{what}, at endpoint {first} of {endpoints}"),
        _ => format!("{what}, at endpoints {first} to {last} of {endpoints}"),
    }
}

/// A line's class: two configurations differ in colour, what has no policies is grey.
fn line_class(arm: Arm, thin: bool) -> &'static str {
    match (arm, thin) {
        (Arm::Plimsoll | Arm::A, false) => "arm-a",
        (Arm::Plimsoll | Arm::A, true) => "arm-a thin",
        (Arm::B, false) => "arm-b",
        (Arm::B, true) => "arm-b thin",
        (Arm::Off, false) => "arm-off",
        (Arm::Off, true) => "arm-off thin",
    }
}

fn per_second(value: f64) -> String {
    format!("{}/s", figure::rate(Some(value)))
}

fn time(value: f64) -> String {
    figure::latency(Some(value), " ")
}

fn requests(value: f64) -> String {
    figure::rate(Some(value))
}

/// From what was left without policies to what has them: the latter is drawn last.
fn back_to_front(courses: &[Course]) -> impl Iterator<Item = &Course> {
    courses.iter().rev()
}

/// `plimsoll 480 ms, off 1.0 s`, of what `pick` makes of each arm.
fn each_arm(courses: &[Course], pick: impl Fn(&Course) -> Option<String>) -> String {
    let texts = courses.iter().map(|course| {
        let text = pick(course).unwrap_or("unknown".to_owned());
        format!("{} {text}", course.arm.name())
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn known(values: &[Option<f64>]) -> impl Iterator<Item = f64> {
    values.iter().flatten().copied()
}

fn in_time<'a>(axis: &'a TimeAxis, courses: &[Course]) -> Plot<'a> {
    let good = |course: &Course| course.rate(|cell| sum(&cell.good));
    let users = courses
        .first()
        .map(|course| course.rate(|cell| sum(&cell.users)));
    let users = Series::new("new users", "offered", users.unwrap_or_default());
    let mut layers = vec![Layer::Area(users)];
    for course in back_to_front(courses) {
        let class = line_class(course.arm, false);
        layers.push(Layer::Line(Series::new(
            course.arm.name(),
            class,
            good(course),
        )));
    }
    let lowest = each_arm(courses, |course| {
        known(&good(course)).reduce(f64::min).map(per_second)
    });
    Plot {
        title: "Answered in time".into(),
        about: "users per second, beside how many came".into(),
        chart: Chart {
            axis,
            height: 128,
            finding: format!("Users answered in time per second, at the lowest: {lowest}"),
            scale: Scale::linear(values(&layers)),
            format: per_second,
            layers,
            promise: None,
            times: true,
        },
    }
}

fn values(layers: &[Layer]) -> Vec<f64> {
    let lines = layers.iter().filter_map(|layer| match layer {
        Layer::Line(series) | Layer::Area(series) | Layer::Bars(series) => Some(series),
        Layer::Stack(_) | Layer::Band { .. } => None,
    });
    lines.flat_map(Series::known).collect()
}

fn latencies<'a>(axis: &'a TimeAxis, courses: &[Course], objective: f64) -> Plot<'a> {
    let mut layers = Vec::new();
    for (q, name) in [(0.5, "P50"), (0.99, "P99")] {
        for course in back_to_front(courses) {
            let label = format!("{name} {}", course.arm.name());
            let class = line_class(course.arm, q < 0.9);
            layers.push(Layer::Line(Series::new(label, class, course.latency(q))));
        }
    }
    let highest = each_arm(courses, |course| {
        known(&course.latency(0.99)).reduce(f64::max).map(time)
    });
    Plot {
        title: "Latency".into(),
        about: "of what was answered: a line ends where nothing was; log scale, thin is P50".into(),
        chart: Chart {
            axis,
            height: 136,
            finding: format!(
                "P99 at its highest: {highest}; objective {}",
                time(objective)
            ),
            scale: Scale::log(values(&layers).into_iter().chain([objective])),
            format: time,
            layers,
            promise: Some(Promise {
                value: objective,
                label: format!("objective {}", time(objective)),
            }),
            times: false,
        },
    }
}

/// How requests ended, for each arm, on the same scale.
fn ends<'a>(axis: &'a TimeAxis, courses: &[Course]) -> Vec<Plot<'a>> {
    let all = courses
        .iter()
        .flat_map(|course| course.rate(|cell| sum(&cell.causes)));
    let scale = Scale::linear(all.flatten());
    let plot = |course: &Course| {
        let [critical, standard, sheddable] = [Class::Critical, Class::Standard, Class::Sheddable]
            .map(|class| course.rate(move |cell| refused(cell, class)));
        let parts = [
            ("in time", "e-good", course.rate(|cell| sum(&cell.good))),
            ("late", "e-late", course.rate(late)),
            ("failed", "e-failed", course.rate(failed)),
            ("client hung up", "e-gone", course.rate(gone)),
            ("refused critical", "e-critical", critical),
            ("refused standard", "e-standard", standard),
            ("refused sheddable", "e-sheddable", sheddable),
        ];
        let is_there = |values: &[Option<f64>]| known(values).any(|value| value > 0.0);
        let parts = parts.into_iter().filter(|(_, _, values)| is_there(values));
        let stack = parts.map(|(label, class, values)| Series::new(label, class, values));
        let total = course.total();
        let of_all = |part: u64| percent(share(part, sum(&total.causes)), " ");
        Plot {
            title: format!("Requests, {}", course.arm.name()),
            about: "how they ended, per second; hatched is what Plimsoll refused".into(),
            chart: Chart {
                axis,
                height: 104,
                finding: format!(
                    "Requests {}: {} in time, {} late, {} failed, {} given up by clients, {} refused",
                    course.arm.name(),
                    of_all(sum(&total.good)),
                    of_all(late(&total)),
                    of_all(failed(&total)),
                    of_all(gone(&total)),
                    of_all(sum(&total.refused)),
                ),
                scale,
                format: per_second,
                layers: vec![Layer::Stack(stack.collect())],
                promise: None,
                times: false,
            },
        }
    };
    courses.iter().map(plot).collect()
}

/// Limit, in flight and queue of the arms that have policies.
fn concurrency<'a>(axis: &'a TimeAxis, courses: &[Course]) -> Vec<Plot<'a>> {
    let with_policies = || courses.iter().filter(|course| course.arm != Arm::Off);
    let limit = |course: &Course| course.level(|level| level.limit);
    let in_flight = |course: &Course| course.level(|level| Some(level.in_flight));
    let waiting = |course: &Course| course.level(|level| Some(level.waiting));
    let all =
        with_policies().flat_map(|course| [limit(course), in_flight(course), waiting(course)]);
    let scale = Scale::linear(all.flatten().flatten());
    let plot = |course: &Course| {
        let limit = limit(course);
        let range = known(&limit).fold(None, |range: Option<(f64, f64)>, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let of_limit = match range {
            Some((low, high)) => format!("limit between {} and {}", requests(low), requests(high)),
            None => "no limit".to_owned(),
        };
        let at_most = known(&in_flight(course)).fold(0.0, f64::max);
        Plot {
            title: format!("Concurrency, {}", course.arm.name()),
            about: "requests in flight and in the queue, under the limit; all gateways".into(),
            chart: Chart {
                axis,
                height: 88,
                finding: format!("{of_limit}; at most {} in flight", requests(at_most)),
                scale,
                format: requests,
                layers: vec![
                    Layer::Area(Series::new("in flight", "inflight", in_flight(course))),
                    Layer::Bars(Series::new("queue", "queue-l", waiting(course))),
                    Layer::Line(Series::new("limit", "limit-l", limit)),
                ],
                promise: None,
                times: false,
            },
        }
    };
    with_policies().map(plot).collect()
}

/// What of the budget each arm spent, if the run were the objective's period.
fn budget(page: &Page<'_>, service: usize, axis: &TimeAxis, courses: &[Course]) -> Markup {
    let scenario = page.report.scenario;
    // Configurations may promise differently.
    let target = |arm: Arm| {
        let mut settings = page.settings.iter();
        let setting = settings.find(|it| it.arm == arm);
        let objective = setting.and_then(|it| it.objectives.get(service));
        objective.map_or(0.99, |(target, _)| target.get())
    };
    let below = scenario
        .services
        .get(service)
        .map_or(0.0, |it| it.objective.as_secs_f64());
    let promise = |arm: Arm| {
        let share = percent(Some(target(arm)), " ");
        format!("{share} of users within {}", time(below))
    };
    let mut promises: Vec<String> = courses.iter().map(|it| promise(it.arm)).collect();
    promises.dedup();
    let promised = match promises.as_slice() {
        [one] => one.clone(),
        _ => "Each as it is configured".to_owned(),
    };
    html! {
        div.head {
            h3 { "Error budget" }
            span.s.q {
                (promised) ", as if the run were the period. Who was not answered in time spends it, however often they tried."
            }
        }
        div.cols.budgets {
            @for course in courses {
                @let target = target(course.arm);
                @let spent = course.spent(1.0 - target);
                @let bad = good_share(&page.of_service(course.arm, service)).map(|good| 1.0 - good);
                @let last = bad.filter(|_| target < 1.0).map(|bad| bad / (1.0 - target));
                @let left = budget_left(last.map(|last| 1.0 - last), " ");
                @let promise = promise(course.arm);
                div.obj {
                    p.num {
                        span.b { (course.arm.name()) }
                        span class={ "b tone " (condition(last)) } { (left) " left" }
                        span.s.q {
                            "burn rate " (figure::burn(last))
                            @if promises.len() > 1 { ", of " (promise) }
                        }
                    }
                    div.chart {
                        (PreEscaped(LoadLine {
                            axis,
                            height: 78,
                            finding: format!("Budget of {promise}, {}: {left} left", course.arm.name()),
                            spent,
                            gone: None,
                            marks: Vec::new(),
                            condition: condition(last),
                            left: left.clone(),
                        }.svg()))
                    }
                }
            }
        }
    }
}

/// Of what is spent at the end. Over a period as long as the run, that is the burn rate.
fn condition(spent: Option<f64>) -> &'static str {
    match spent {
        None => "unknown",
        Some(spent) if spent > 1.0 => "exhausted",
        Some(spent) if spent > 0.75 => "burning",
        Some(_) => "healthy",
    }
}
