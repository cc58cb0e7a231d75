//! A simulation as one page: the answer first, then the figures, then what happened over time.
//!
//! Nothing is loaded from elsewhere and there is no script, so the file can be mailed and kept. What configurations say is not
//! on it, since keys of tenants may be in them: their paths and hashes are.
//! Bounds: so many services are drawn, with so many points each, that a page stays under 300 KiB.

mod answer;
mod course;
mod stack;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plimsoll_measure::Cause;
use plimsoll_measure::figure::{count, percent};
use plimsoll_plot::{COMPONENTS, Interval, Reading, SYMBOLS, TOKENS, intervals};

use super::difference::{Figure, points};
use super::report::{COLUMNS, HEADER, Report, Who, good_share, share, sum, total};
use super::{Arm, Setting, governed};
use course::{Course, Grid};

/// Services that are drawn, at most, and the same times arms.
const SERVICES_MAX: usize = 4;
const DRAWINGS_MAX: usize = 9;
/// Points of a plot, and of the plots of all arms and services of one kind together, at most.
const POINTS_MAX: usize = 120;
const POINTS_SUM_MAX: usize = 160;
/// Rows of workloads and phases, at most.
const ROWS_MAX: usize = 24;
/// Differences that are drawn, at most.
const INTERVALS_MAX: usize = 16;
/// Characters of the scenario that are shown, at most.
const LISTING_MAX: usize = 16 << 10;

const STYLE: &str = include_str!("page/page.css");

/// See the module's docs.
pub(super) struct Page<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) settings: &'a [Setting],
    /// What gives the same again.
    pub(super) command: &'a str,
    pub(super) scenario_text: &'a str,
}

impl Page<'_> {
    /// All of it.
    pub(super) fn html(&self) -> String {
        let report = self.report;
        let title = format!("{} · plimsoll simulate", report.name);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta http-equiv="Content-Security-Policy"
                        content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
                    title { (title) }
                    style { (PreEscaped(TOKENS)) (PreEscaped(COMPONENTS)) (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#main" { "To the report" }
                    (PreEscaped(SYMBOLS))
                    header.top { div {
                        span.brand {
                            svg viewBox="0 0 34 20" aria-hidden="true" {
                                circle cx="17" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="2" {}
                                path d="M1 10h32" stroke="currentColor" stroke-width="2" {}
                            }
                            "Plimsoll"
                        }
                        span.meta.q { "simulation" }
                    } }
                    main id="main" {
                        (answer::answer(self))
                        (self.table())
                        @if report.seeds > 1 || report.is_comparison() { (self.differences()) }
                        (self.services())
                        (self.causes())
                        (self.decisions())
                        (self.origin())
                    }
                    footer.foot {
                        span { "plimsoll " (env!("CARGO_PKG_VERSION")) }
                        span { (report.setup()) }
                    }
                }
            }
        };
        page.into_string()
    }

    fn table(&self) -> Markup {
        let (report, scenario) = (self.report, self.report.scenario);
        let (everyone, left_out) = self.everyone();
        let rows: Vec<[String; COLUMNS]> = everyone
            .into_iter()
            .flat_map(|who| report.rows(who))
            .collect();
        let arms = report.arms.len().max(1);
        html! {
            section.panel aria-labelledby="figures" {
                div.head {
                    h2 id="figures" { "By phase" }
                    span.s.q { "users are counted in the phase in which they came, with all that they tried again" }
                }
                div.scroll tabindex="0" role="region" aria-label="Figures by phase" {
                    table.tight {
                        thead { tr {
                            @for (index, column) in HEADER.iter().enumerate() {
                                th scope="col" .r[index >= 3] { (column) }
                            }
                        } }
                        tbody {
                            @for (index, row) in rows.iter().enumerate() {
                                tr .(if index % arms == 0 { "first" } else { "more" }) {
                                    @for (column, field) in row.iter().enumerate() {
                                        @if column == 2 { th scope="row" { (field) } }
                                        @else { td .r[column >= 3] .b[column == 4] .rep[column < 2] { (field) } }
                                    }
                                }
                            }
                        }
                    }
                }
                p.s.q.pad {
                    "good: users with an answer within the objective; critical: the same of class critical. P50, P99: of requests that \
                     were answered. Refused: of all requests, and by class (critical/standard/sheddable). Attempts: at endpoints, for each user."
                    @if scenario.senders().len() > scenario.workloads.len() {
                        " a \u{2192} b: calls of service a to service b, each as if it were a user."
                    }
                    @if left_out > 0 { " " (left_out) " more rows, which differ less, are printed in the terminal." }
                    @if let Some(note) = report.cut_note() { " In these figures: " (note) "." }
                }
            }
        }
    }

    /// What governors decided.
    fn decisions(&self) -> Markup {
        let (report, gateways) = (self.report, self.report.scenario.gateways);
        html! {
            @for (index, said) in governed::said(&report.arms, gateways).into_iter().enumerate() {
                section.panel aria-labelledby={ "decisions-" (index) } {
                    div.head { h2 id={ "decisions-" (index) } { (said.heading) } }
                    div.scroll tabindex="0" role="region" aria-label="Decisions" { table.tight { tbody {
                        @for [at, service, what] in said.lines {
                            tr { td.r.n { (at) } th scope="row" { (service) } td.rep { (what) } }
                        }
                    } } }
                }
            }
        }
    }

    /// Everybody, and where the arms differ the most, in the order of the run; how many were left out.
    fn everyone(&self) -> (Vec<Who>, usize) {
        let all = self.report.everyone();
        let left_out = all.len().saturating_sub(ROWS_MAX);
        if left_out == 0 {
            return (all, 0);
        }
        let size = |who: Who| match (who, self.report.difference(Figure::Good, who)) {
            (Who::Everybody, _) => f64::INFINITY,
            (_, difference) => difference.map_or(0.0, |it| it.mean.abs()),
        };
        let mut by_size: Vec<(f64, usize, Who)> = all
            .into_iter()
            .enumerate()
            .map(|(place, who)| (size(who), place, who))
            .collect();
        by_size.sort_by(|a, b| b.0.total_cmp(&a.0));
        by_size.truncate(ROWS_MAX);
        by_size.sort_by_key(|(_, place, _)| *place);
        (
            by_size.into_iter().map(|(_, _, who)| who).collect(),
            left_out,
        )
    }

    fn differences(&self) -> Markup {
        let report = self.report;
        let [of, from] = report.compared().map(Arm::name);
        let (rows, left_out) = self.intervals();
        let shown = rows.iter().filter(|row| row.reading != Reading::NotShown);
        let finding = format!(
            "{of} less {from}: {} of {} intervals show a difference",
            shown.count(),
            rows.len()
        );
        let (everyone, _) = self.everyone();
        html! {
            section.panel aria-labelledby="differences" {
                div.head {
                    h2 id="differences" { "Difference: " (of) " less " (from) }
                    span.s.q { "percentage points of users answered in time; right is better" }
                }
                @if report.seeds < 2 {
                    p.pad.q { "One run of each says nothing of chance: " code { "--seeds 10" } " gives each difference an interval." }
                } @else {
                    div.pad.forest { (PreEscaped(intervals(&rows, &finding, points))) }
                    p.s.q.pad {
                        "The line covers the true difference with 95 % confidence (" (report.seeds) " pairs of runs with the same seed). \
                         Hollow: no difference shown. Of twenty intervals where nothing differs, one is expected to miss."
                        @if left_out > 0 { " " (left_out) " more, which differ less or not at all, are in the table only." }
                    }
                }
                details.pad {
                    summary { "All differences" }
                    div.scroll tabindex="0" role="region" aria-label="All differences" { table.tight {
                        thead { tr {
                            th scope="col" { "phase" } th scope="col" { "workload" }
                            @for figure in Figure::ALL { th.r scope="col" { (figure.name()) } }
                        } }
                        tbody { @for who in everyone { tr {
                            @for name in report.names(who) { th scope="row" { (name) } }
                            @for figure in Figure::ALL {
                                td.r.n { @match report.difference(figure, who) {
                                    Some(difference) => (difference.text(figure, " ")),
                                    None => "none to compare",
                                } }
                            }
                        } } }
                    } }
                    p.s.q { "good, critical and refused in percentage points" }
                }
            }
        }
    }

    /// The largest differences of users answered in time, in the order of the run; how many were left out.
    fn intervals(&self) -> (Vec<Interval>, usize) {
        let (mut rows, mut level) = (Vec::new(), 0);
        for who in self.report.everyone() {
            for figure in [Figure::Good, Figure::Critical] {
                let Some(difference) = self.report.difference(figure, who) else {
                    continue;
                };
                let Some([low, high]) = difference.ends(figure) else {
                    continue;
                };
                // Nothing, once it is rounded to tenths of a percentage point.
                if low.abs().max(high.abs()) < 0.000_5 {
                    level += 1;
                    continue;
                }
                let reading = match (difference.is_shown(), difference.mean > 0.0) {
                    (Some(true), true) => Reading::Better,
                    (Some(true), false) => Reading::Worse,
                    _ => Reading::NotShown,
                };
                let [phase, workload] = self.report.names(who);
                let whose = match who {
                    Who::Everybody => "whole run".to_owned(),
                    Who::Of { .. } => format!("{phase}, {workload}"),
                };
                let label = match figure {
                    Figure::Critical => format!("{whose}: critical only"),
                    _ => whose,
                };
                rows.push(Interval {
                    label,
                    estimate: difference.mean,
                    low,
                    high,
                    reading,
                    text: difference.text(figure, " "),
                });
            }
        }
        let mut sizes: Vec<f64> = rows.iter().map(|row| row.estimate.abs()).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let smallest = sizes.get(INTERVALS_MAX - 1).copied().unwrap_or(0.0);
        let all = rows.len();
        rows.retain(|row| row.estimate.abs() >= smallest);
        rows.truncate(INTERVALS_MAX);
        let left_out = all - rows.len() + level;
        (rows, left_out)
    }

    fn services(&self) -> Markup {
        let scenario = self.report.scenario;
        let drawn = self.services_drawn();
        let sharing = drawn.len().max(1) * self.settings.len().max(1);
        let points = (POINTS_SUM_MAX / sharing).min(POINTS_MAX);
        let recorded = self.report.arms.iter().flat_map(|(_, ledgers)| ledgers);
        let steps = recorded.filter_map(|ledger| Some(ledger.timeline()?.step()));
        let grid = Grid::new(scenario.lasts(), points, steps.max().unwrap_or(1));
        html! {
            @for service in &drawn {
                @let courses = self.courses(*service, &grid);
                (stack::service(self, *service, &grid, &courses))
            }
            @if drawn.len() < scenario.services.len() {
                p.q {
                    "Drawn are the " (drawn.len()) " services where good answers differ the most, of "
                    (scenario.services.len()) "."
                }
            }
        }
    }

    /// Those where the arms differ the most, if not all; in the scenario's order.
    fn services_drawn(&self) -> Vec<usize> {
        let services = 0..self.report.scenario.services.len();
        let arms = self.report.compared();
        let mut by_difference: Vec<(f64, usize)> = services
            .map(|service| {
                let [of, from] = arms.map(|arm| good_share(&self.of_service(arm, service)));
                let difference = of.zip(from).map_or(0.0, |(of, from)| (of - from).abs());
                (difference, service)
            })
            .collect();
        by_difference.sort_by(|a, b| b.0.total_cmp(&a.0));
        let fit = DRAWINGS_MAX / self.settings.len().max(1);
        by_difference.truncate(fit.clamp(1, SERVICES_MAX));
        let mut drawn: Vec<usize> = by_difference
            .into_iter()
            .map(|(_, service)| service)
            .collect();
        drawn.sort_unstable();
        drawn
    }

    fn courses(&self, service: usize, grid: &Grid) -> Vec<Course> {
        let arms = self.report.arms.iter();
        let course = |(arm, ledgers): &(Arm, Vec<_>)| {
            Course::new(*arm, ledgers, self.report.scenario, service, grid)
        };
        arms.map(course).collect()
    }

    /// All that was sent to a service in an arm.
    fn of_service(&self, arm: Arm, service: usize) -> plimsoll_simulator::fleet::Cell {
        let scenario = self.report.scenario;
        let senders = scenario.senders();
        let mut all = plimsoll_simulator::fleet::Cell::default();
        for ledger in self.report.ledgers(arm) {
            for phase in 0..scenario.phases.len() {
                for (index, sender) in senders.iter().enumerate() {
                    if let Some(cell) = ledger
                        .cell(phase, index)
                        .filter(|_| sender.service == service)
                    {
                        all.merge(cell);
                    }
                }
            }
        }
        all
    }

    fn causes(&self) -> Markup {
        let arms: Vec<_> = self
            .report
            .arms
            .iter()
            .map(|(arm, ledgers)| (*arm, total(ledgers)))
            .collect();
        let counted = |cause: Cause| {
            arms.iter().map(move |(_, cell)| {
                let of_cause = cell.causes.get(cause.index()).copied().unwrap_or(0);
                (of_cause, share(of_cause, sum(&cell.causes)))
            })
        };
        let there = Cause::ALL
            .iter()
            .filter(|cause| counted(**cause).any(|(count, _)| count > 0));
        html! {
            section.panel aria-labelledby="causes" {
                div.head {
                    h2 id="causes" { "How requests ended" }
                    span.s.q { "all services, whole run; each request has one cause" }
                }
                div.scroll tabindex="0" role="region" aria-label="Causes" { table {
                    thead { tr {
                        th scope="col" { "cause" } th.opt scope="col" { "counts against" }
                        @for (arm, _) in &arms { th.r scope="col" { (arm.name()) } }
                    } }
                    tbody { @for cause in there { tr {
                        th scope="row" { code { (cause.name()) } }
                        td.opt.q { (cause.origin().name()) }
                        @for (of_cause, share) in counted(*cause) {
                            td.r.n {
                                (count(of_cause))
                                @if of_cause > 0 { " " span.q { (percent(share, " ")) } }
                            }
                        }
                    } } }
                } }
            }
        }
    }

    fn origin(&self) -> Markup {
        let cut = self.scenario_text.char_indices().nth(LISTING_MAX);
        let listing = match cut {
            Some((end, _)) => self.scenario_text.get(..end).unwrap_or_default(),
            None => self.scenario_text,
        };
        html! {
            section.panel aria-labelledby="again" {
                div.head {
                    h2 id="again" { "The same again" }
                    span.s.q { "the same scenario, configuration and seeds give the same page, to the byte" }
                }
                div.pad {
                    div.cmd { code { (self.command) } }
                    ul.given {
                        @for setting in self.settings { li {
                            b { (setting.arm.name()) } ": "
                            @match &setting.file {
                                Some((path, hash)) => { code { (path) } " (hash " code { (hash) } ")" },
                                None => "Plimsoll's defaults, with the scenario's objectives",
                            }
                            @if setting.arm == Arm::Off { ", with all policies off: each endpoint in its turn, whatever it does" }
                        } }
                        li {
                            "seeds " (self.report.first_seed) " to "
                            (self.report.first_seed.wrapping_add(self.report.seeds - 1))
                        }
                    }
                    details {
                        summary { "The scenario" }
                        pre.listing tabindex="0" { (listing) }
                        @if cut.is_some() { p.q { "Cut here: the file is longer." } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
