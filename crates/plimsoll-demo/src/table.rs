//! The end of a run, for people: the table, what was done, what did not help, what to do next.

mod deploy;

use std::fmt::Write;
use std::io::IsTerminal;

use plimsoll_core::Class;

use crate::plan::PhaseKind;
use crate::report::{ClassFigures, PhaseFigures, PhaseReport, Report};
use crate::verdict::{Comparison, Finding, verdict};

/// How it is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Nothing outside ASCII.
    pub(crate) ascii: bool,
    /// Columns there are; fewer than [`WIDE`] leave P99 out.
    pub(crate) width: usize,
}

impl Style {
    /// As standard output and the locale ask for.
    pub(crate) fn of_output() -> Self {
        let set =
            ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).unwrap_or_default());
        let locale = set
            .into_iter()
            .find(|value| !value.is_empty())
            .unwrap_or_default();
        let locale = locale.to_ascii_uppercase();
        let ascii = !(locale.contains("UTF-8") || locale.contains("UTF8"));
        let size = crossterm::terminal::size()
            .ok()
            .filter(|_| std::io::stdout().is_terminal());
        Self {
            ascii,
            width: size.map_or(usize::MAX, |(columns, _)| usize::from(columns)),
        }
    }
}

/// From here on there is room for P99.
pub(crate) const WIDE: usize = 84;
/// The budget bar's cells up to the load line.
const BAR: usize = 10;

/// The whole text.
pub(crate) fn render(report: &Report, style: Style) -> String {
    let mut text = String::new();
    let out = &mut text;
    // Writing to a `String` can't fail, here and below.
    let _ = writeln!(
        out,
        "{}   {:.0} s of load   {} requests offered to each side, the same ones",
        report.command(),
        report.seconds(),
        count(report.offered()),
    );
    let [without, with] = &report.proxies;
    let _ = writeln!(out, "without: {without}   with: {with}\n");
    table(out, report, style);
    let _ = writeln!(out);
    origin(out, report);
    deploy::deploy(out, report);
    if report.void.is_empty() {
        findings(out, report, style);
    } else {
        let _ = writeln!(out, "THESE FIGURES ARE VOID:");
        for why in &report.void {
            let _ = writeln!(out, "  {why}");
        }
    }
    footer(out, report);
    wrap(&text, style.width)
}

fn table(out: &mut String, report: &Report, style: Style) {
    let wide = style.width >= WIDE;
    let title = report
        .phases
        .iter()
        .map(|phase| phase.title.chars().count())
        .max()
        .unwrap_or(0)
        .max(16);
    let p99 = |text: &str| if wide { text.to_owned() } else { String::new() };
    let _ = writeln!(
        out,
        "{:title$}        goodput/s critical in time{}    budget spent",
        "",
        p99("          P99    "),
    );
    let _ = writeln!(
        out,
        "{:title$}   without   with   without   with{}   without   with",
        "phase",
        p99("   without   with"),
    );
    for (phase, without, with) in report.rows() {
        let title = format!("{:title$}", phase.title);
        let rows = [row(phase, without), row(phase, with)];
        let [
            [good_a, critical_a, p99_a, spent_a],
            [good_b, critical_b, p99_b, spent_b],
        ] = &rows;
        let late = p99(&format!("   {p99_a:>7} {p99_b:>6}"));
        let _ = writeln!(
            out,
            "{title}   {good_a:>7} {good_b:>6}   {critical_a:>7} {critical_b:>6}{late}   {spent_a:>7} {spent_b:>6}"
        );
    }
    let before = title + if wide { 3 * 17 } else { 2 * 17 };
    let rule = if style.ascii { "-" } else { "─" };
    let _ = writeln!(out, "{:before$}   {}", "", rule.repeat(14));
    let left = report.budget_spent().map(|spent| 1.0 - spent);
    let [without, with] = left.map(|left| percent(left, style.ascii));
    let _ = writeln!(
        out,
        "{:before$}   {without:>7} {with:>6}",
        "budget left (of 1 h)"
    );
    let [without, with] = left.map(|left| bar(1.0 - left, style.ascii));
    // Each bar under its column would not fit: side by side, the plain one first.
    let width = before + 17;
    let _ = writeln!(
        out,
        "{:>width$}",
        format!("without {without}   with {with}")
    );
}

/// Goodput, critical requests in time, P99 and budget of one arm in one phase.
fn row(phase: &PhaseReport, figures: &PhaseFigures) -> [String; 4] {
    if figures.offered == 0 {
        return ["-", "-", "-", "-"].map(str::to_owned);
    }
    [
        figures
            .goodput(phase.seconds)
            .map_or_else(|| "-".to_owned(), |goodput| format!("{goodput:.0}")),
        share_in_time(figures.critical()),
        duration(figures.latency_p99),
        format!("{:.1}%", figures.budget_spent(phase.seconds) * 100.0),
    ]
}

/// What readers and writers of the service that was gone saw, and what came to it afterwards.
fn origin(out: &mut String, report: &Report) {
    let gone = report
        .rows()
        .find(|(phase, _, _)| phase.kind == PhaseKind::OriginDown);
    let (Some(origin), Some((phase, without, with))) = (report.origin, gone) else {
        return;
    };
    let title = format!("The catalogue gone for {:.0} s", phase.seconds);
    let _ = writeln!(out, "{title:<46}   without   with");
    let mut line = |what: &str, seen: [bool; 2], of: &dyn Fn(&PhaseFigures) -> (u64, u64)| {
        let [seen_a, seen_b] = seen;
        let [a, b] = [(without, seen_a), (with, seen_b)].map(|(figures, seen)| match of(figures) {
            (part, whole @ 1..) if seen => format!("{:.1}%", part as f64 / whole as f64 * 100.0),
            _ => "-".to_owned(),
        });
        let _ = writeln!(out, "  {what:<44}   {a:>7} {b:>6}");
    };
    line("reads answered in time", [true; 2], &|it| {
        (it.reads.good, it.reads.offered)
    });
    let stored = "of these, with what was stored, past its time";
    line(stored, origin.tells, &|it| (it.reads.stale, it.reads.good));
    let why = "writes that failed, with the reason given";
    line(why, origin.tells, &|it| (it.writes.told, it.writes.lost));
    let [a, b] = origin.most.map(|most| format!("{most:.0}"));
    let after = format!(
        "once it is back, most requests/s ({:.0} fit)",
        origin.capacity
    );
    let _ = writeln!(out, "  {after:<44}   {a:>7} {b:>6}\n");
}

/// From this share on, of all that was offered, what was refused is worth a line.
const REFUSED_MIN: f64 = 0.000_5;

/// What the right arm refused, by class and as clients saw it.
fn refused(out: &mut String, report: &Report) {
    let mut lines = Vec::new();
    for (phase, _, with) in report.rows() {
        if with.refused as f64 > with.offered as f64 * REFUSED_MIN {
            let shares = with
                .classes
                .map(|class| format!("{:>11}", format!("{:.1}%", class.refused_share() * 100.0)));
            lines.push(format!("  {:<22}{}", phase.title, shares.concat()));
        }
    }
    if lines.is_empty() {
        return;
    }
    let names = Class::ALL.map(|class| format!("{:>11}", class.name()));
    let _ = writeln!(out, "{:<24}{}", "What Plimsoll refused", names.concat());
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
}

fn findings(out: &mut String, report: &Report, style: Style) {
    refused(out, report);
    if report.events.is_empty() {
        let _ = writeln!(out, "What Plimsoll did: nothing that it reports.");
    } else {
        let by = report.journal.as_deref().unwrap_or_default();
        let by = by
            .strip_prefix("whole: ")
            .map_or_else(String::new, |it| format!(", by its journal ({it})"));
        let _ = writeln!(out, "What Plimsoll did{by}");
        for event in &report.events {
            let _ = writeln!(
                out,
                " {:5.1} s  {:<16} {}",
                event.at, event.service, event.what
            );
        }
    }
    if report.interactive {
        let _ = writeln!(
            out,
            "Interactive: no verdict. Somebody's keys changed the phases; the figures are what clients saw."
        );
        return;
    }
    let findings = verdict(report);
    let better: Vec<String> = findings
        .iter()
        .filter_map(|finding| better(report, finding, style))
        .collect();
    list(
        out,
        "What it helped",
        &better,
        "nothing by more than noise.",
    );
    let worse: Vec<String> = findings
        .iter()
        .flat_map(|finding| worse(report, finding, style))
        .collect();
    list(
        out,
        "What it did not help or did worse",
        &worse,
        "nothing by more than noise.",
    );
}

fn list(out: &mut String, title: &str, lines: &[String], none: &str) {
    if lines.is_empty() {
        let _ = writeln!(out, "{title}: {none}");
        return;
    }
    let _ = writeln!(out, "{title}");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

fn better(report: &Report, finding: &Finding, style: Style) -> Option<String> {
    let (phase, a, b) = report.rows().nth(finding.phase)?;
    let arrow = arrow(style);
    let mut parts = Vec::new();
    if finding.good == Comparison::Better {
        let [without, with] = finding.bad.map(|bad| format!("{:.1}%", bad * 100.0));
        parts.push(format!("bad {without} {arrow} {with}"));
    }
    if finding.critical == Comparison::Better {
        parts.push(critical(finding, arrow));
    }
    if finding.latency_p99 == Comparison::Better {
        parts.push(format!(
            "P99 {} {arrow} {}",
            duration(a.latency_p99),
            duration(b.latency_p99)
        ));
    }
    if finding.latency_p50 == Comparison::Better {
        parts.push(format!(
            "P50 {} {arrow} {}",
            duration(a.latency_p50),
            duration(b.latency_p50)
        ));
    }
    (!parts.is_empty()).then(|| format!("{}: {}", phase.title, parts.join(", ")))
}

fn worse(report: &Report, finding: &Finding, style: Style) -> Vec<String> {
    let Some((phase, a, b)) = report.rows().nth(finding.phase) else {
        return Vec::new();
    };
    let arrow = arrow(style);
    let title = &phase.title;
    let mut lines = Vec::new();
    let [without, with] = finding.bad.map(|bad| format!("{:.1}%", bad * 100.0));
    if finding.good == Comparison::Worse {
        lines.push(format!("{title}: worse, bad {without} {arrow} {with}"));
    }
    if finding.critical == Comparison::Worse {
        lines.push(format!("{title}: worse, {}", critical(finding, arrow)));
    }
    if finding.latency_p99 == Comparison::Worse {
        lines.push(format!(
            "{title}: worse, P99 {} {arrow} {}",
            duration(a.latency_p99),
            duration(b.latency_p99)
        ));
    }
    if finding.latency_p50 == Comparison::Worse {
        lines.push(format!(
            "{title}: worse, P50 {} {arrow} {}",
            duration(a.latency_p50),
            duration(b.latency_p50)
        ));
    }
    if finding.is_no_help() {
        lines.push(format!(
            "{title}: not helped, bad {without} {arrow} {with}; {}",
            missing(phase.kind)
        ));
    }
    lines
}

fn share_in_time(class: ClassFigures) -> String {
    if class.offered == 0 {
        return "-".to_owned();
    }
    format!("{:.1}%", (1.0 - class.bad_share()) * 100.0)
}

fn critical(finding: &Finding, arrow: &str) -> String {
    let [without, with] = finding
        .critical_bad
        .map(|bad| format!("{:.1}%", (1.0 - bad) * 100.0));
    format!("critical in time {without} {arrow} {with}")
}

/// Why it was not helped.
fn missing(kind: PhaseKind) -> &'static str {
    match kind {
        PhaseKind::FlashSale | PhaseKind::LessCapacity => {
            "what does not fit is bad, whoever refuses it"
        }
        PhaseKind::SlowDependency => "a page that waits for what is slow is late behind any proxy",
        PhaseKind::Calm
        | PhaseKind::Flood
        | PhaseKind::FrozenEndpoint
        | PhaseKind::SlowEndpoint
        | PhaseKind::FailingEndpoint
        | PhaseKind::CrashedEndpoint
        | PhaseKind::OriginDown
        | PhaseKind::BadDeploy
        | PhaseKind::Recovery => "and it should have been",
    }
}

fn footer(out: &mut String, report: &Report) {
    let has_flood = report.phases.iter().any(|it| it.kind == PhaseKind::Flood);
    let floods = match has_flood {
        true => " One floods: figures of the others, without what the one sends.",
        false => "",
    };
    let _ = writeln!(
        out,
        "Goodput: good answers within 250 ms of the intended send time. Critical in time: that, of all critical \
         requests. P50, P99: of all answered or given up (2 s). Recovery: the seconds after each trouble.{floods}\n\
         Budget: 1% of an hour in which every second weighs the same, so 36 s in which all fail; counted by \
         the clients."
    );
    if let Some(deploy) = &report.deploy {
        let _ = writeln!(out, "{}", deploy::shortened(deploy));
    }
    for note in &report.notes {
        let _ = writeln!(out, "{note}");
    }
    let cpu = |cpu: Option<f64>| {
        cpu.map_or_else(
            || "unknown".to_owned(),
            |cpu| format!("{:.0}%", cpu * 100.0),
        )
    };
    let lag = report
        .phases
        .iter()
        .map(|phase| phase.lag_p99)
        .fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "The demo used {} of one core ({} in its busiest phase); the generator was at most {} late (P99 of a phase).",
        cpu(report.cpu),
        cpu(report.cpu_max),
        duration(Some(lag)),
    );
}

/// The next thing to try, in front of somebody's own service.
pub(crate) const NEXT: &str = "With --keep the right side stays up, with its console.\nNext, in front of a service of your own:\n  plimsoll run --to http://127.0.0.1:3000";

/// Breaks lines that are longer than `width` between words; what follows is indented by two.
fn wrap(text: &str, width: usize) -> String {
    let width = width.clamp(60, 100);
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut length = 0;
        for word in line.split_inclusive(' ') {
            let size = word.trim_end().chars().count();
            // A table is never broken: no line of it is longer than the narrowest width there is for it.
            if length + size > width && length > 0 {
                let kept = wrapped.trim_end().len();
                wrapped.truncate(kept);
                wrapped.push_str("\n  ");
                length = 2;
            }
            wrapped.push_str(word);
            length += word.chars().count();
        }
        wrapped.push('\n');
    }
    wrapped
}

fn arrow(style: Style) -> &'static str {
    if style.ascii { "->" } else { "→" }
}

/// The budget as a bar against the load line `o`: what is over it is over the line.
pub(crate) fn bar(spent: f64, ascii: bool) -> String {
    let (full, empty, parts) = if ascii {
        ("#", ".", [""; 8])
    } else {
        ("▆", "·", ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"])
    };
    if spent > 1.0 {
        let over = (((spent - 1.0) * BAR as f64).ceil() as usize).clamp(1, 3);
        return format!("{}o{}", full.repeat(BAR), full.repeat(over));
    }
    let eighths = (spent.max(0.0) * BAR as f64 * 8.0).round() as usize;
    let (whole, part) = (
        eighths / 8,
        parts.get(eighths % 8).copied().unwrap_or_default(),
    );
    let rest = BAR.saturating_sub(whole + part.chars().count());
    format!("{}{part}{}o", full.repeat(whole), empty.repeat(rest))
}

fn percent(share: f64, ascii: bool) -> String {
    let minus = if ascii { "-" } else { "−" };
    let sign = if share < -0.000_5 { minus } else { "" };
    format!("{sign}{:.1}%", share.abs() * 100.0)
}

/// `9ms`, `1.6s`
pub(crate) fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds >= 0.999_5 => format!("{seconds:.1}s"),
        Some(seconds) if seconds >= 0.000_95 => format!("{:.0}ms", seconds * 1e3),
        Some(seconds) => format!("{:.1}ms", seconds * 1e3),
    }
}

/// With thousands separators.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ArmFigures, Event, KindFigures, OriginFigures};

    #[test]
    fn the_end_of_a_run_says_what_helped_and_what_did_not() {
        let mut report = report();
        report.events.push(Event {
            at: 51.96,
            service: "catalog".to_owned(),
            what: "endpoint http://127.0.0.1:9012 is down".to_owned(),
        });
        insta::assert_snapshot!(render(
            &report,
            Style {
                ascii: false,
                width: 96
            }
        ));
    }

    #[test]
    fn a_narrow_terminal_loses_p99_and_ascii_loses_nothing() {
        let text = render(
            &report(),
            Style {
                ascii: true,
                width: 78,
            },
        );
        assert!(text.is_ascii(), "{text}");
        assert!(!text.contains("P99        budget"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        assert!(text.contains("budget left (of 1 h)"), "{text}");
    }

    #[test]
    fn what_a_proxy_cannot_say_is_left_blank() {
        let writes = KindFigures {
            offered: 10,
            good: 2,
            lost: 4,
            told: 3,
            ..KindFigures::default()
        };
        let figures = PhaseFigures {
            writes,
            ..PhaseFigures::default()
        };
        let gone = PhaseReport {
            kind: PhaseKind::OriginDown,
            title: "catalogue gone".to_owned(),
            seconds: 20.0,
            lag_p99: 0.0,
        };
        let arm = ArmFigures {
            phases: vec![figures],
        };
        let mut report = Report {
            phases: vec![gone],
            arms: [arm.clone(), arm],
            origin: Some(OriginFigures {
                tells: [false, true],
                ..OriginFigures::default()
            }),
            ..Report::default()
        };
        let columns = |report: &Report| {
            let mut out = String::new();
            origin(&mut out, report);
            let line = out.lines().find(|line| line.contains("writes")).unwrap();
            let columns = line.rsplit(' ').filter(|column| !column.is_empty());
            columns.take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(columns(&report), ["75.0%", "-"]);
        if let Some(origin) = &mut report.origin {
            origin.tells = [true, false];
        }
        assert_eq!(columns(&report), ["-", "75.0%"]);
    }

    #[test]
    fn void_figures_get_no_verdict() {
        let void = vec!["calm: the generator sent up to 80ms late (P99).".to_owned()];
        let text = render(
            &Report { void, ..report() },
            Style {
                ascii: false,
                width: 96,
            },
        );
        assert!(text.contains("THESE FIGURES ARE VOID"), "{text}");
        assert!(!text.contains("What it helped"), "{text}");
    }

    #[test]
    fn what_people_changed_by_hand_gets_no_verdict() {
        let report = Report {
            interactive: true,
            ..report()
        };
        let text = render(
            &report,
            Style {
                ascii: false,
                width: 96,
            },
        );
        assert!(text.contains("Interactive: no verdict"), "{text}");
        assert!(!text.contains("What it helped"), "{text}");
    }

    #[test]
    fn the_bar_is_over_its_line_where_the_budget_is_overspent() {
        assert_eq!(bar(0.0, false), "··········o");
        assert_eq!(bar(0.64, false), "▆▆▆▆▆▆▍···o");
        assert_eq!(bar(1.0, false), "▆▆▆▆▆▆▆▆▆▆o");
        assert_eq!(bar(1.01, false), "▆▆▆▆▆▆▆▆▆▆o▆");
        assert_eq!(bar(0.5, true), "#####.....o");
    }

    #[test]
    fn figures_are_as_short_as_they_may_be() {
        let duration = |seconds| duration(Some(seconds));
        assert_eq!(
            [duration(0.0004), duration(0.009), duration(1.62)],
            ["0.4ms", "9ms", "1.6s"]
        );
        assert_eq!(
            [count(7), count(96_000), count(1_234_567)],
            ["7", "96,000", "1,234,567"]
        );
    }

    fn report() -> Report {
        let kinds = [
            (PhaseKind::Calm, 8.0),
            (PhaseKind::FlashSale, 18.0),
            (PhaseKind::SlowDependency, 14.0),
            (PhaseKind::CrashedEndpoint, 10.0),
            (PhaseKind::Recovery, 14.0),
        ];
        let phases = kinds.into_iter().map(|(kind, seconds)| PhaseReport {
            kind,
            title: kind.name().to_owned(),
            seconds,
            lag_p99: 0.003,
        });
        let figures = |offered, good, p50, p99| PhaseFigures {
            offered,
            good,
            late: offered - good,
            latency_p50: Some(p50),
            latency_p99: Some(p99),
            ..PhaseFigures::default()
        };
        let mut arms = [
            ArmFigures {
                phases: vec![
                    figures(1_920, 1_918, 0.040, 0.109),
                    figures(72_000, 90, 2.0, 2.0),
                    figures(3_360, 882, 2.0, 2.0),
                    figures(2_400, 2_160, 0.043, 0.117),
                    figures(3_360, 1_638, 0.344, 2.0),
                ],
            },
            ArmFigures {
                phases: vec![
                    figures(1_920, 1_918, 0.040, 0.109),
                    figures(72_000, 6_900, 0.1, 0.2),
                    figures(3_360, 882, 2.0, 2.0),
                    figures(2_400, 2_399, 0.046, 0.119),
                    figures(3_360, 1_200, 0.344, 2.0),
                ],
            },
        ];
        let class = |offered, good, refused| ClassFigures {
            offered,
            good,
            refused,
        };
        arms[0].phases[1].classes = [
            class(2_160, 2, 0),
            class(46_560, 58, 0),
            class(23_280, 30, 0),
        ];
        arms[1].phases[1].refused = 65_000;
        arms[1].phases[1].classes = [
            class(2_160, 2_158, 2),
            class(46_560, 4_742, 41_718),
            class(23_280, 0, 23_280),
        ];
        Report {
            seed: 7,
            proxies: ["plain round robin".to_owned(), "Plimsoll".to_owned()],
            phases: phases.collect(),
            arms,
            cpu: Some(0.41),
            cpu_max: Some(0.83),
            ..Report::default()
        }
    }
}
