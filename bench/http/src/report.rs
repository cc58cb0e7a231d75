//! The report: Markdown tables of medians with their ranges.

use crate::command::{LOAD_CORE, PROXY_CORE};
use crate::measured::Measured;
use crate::options::Options;
use crate::peer::Peer;
use crate::plan::Row;
use crate::run::{Cell, Idle};
use crate::summary::Spread;
use crate::table::{self, MIB, line, show};

const KIB: f64 = 1024.0;

/// Everything, ready to be put into a file.
pub(crate) fn write(
    options: &Options,
    machine: &str,
    rows: &[Row],
    cells: &[Cell],
    idle: &[Idle],
) -> String {
    let mut out = String::new();
    let parts = [
        head(options, machine, cells),
        cpu_table(options, rows, cells),
        ratio_table(options, rows, cells),
        detail_table(options, rows, cells),
        memory_table(options, idle),
    ];
    for part in parts {
        out.push_str(&part);
    }
    out
}

fn head(options: &Options, machine: &str, cells: &[Cell]) -> String {
    let disturbed = cells
        .iter()
        .filter(|cell| cell.measured.is_disturbed())
        .count();
    let errors: u64 = cells.iter().map(|cell| cell.measured.errors).sum();
    let title = table::title(
        "HTTP: nginx, HAProxy and Plimsoll side by side",
        options.quick,
        machine,
    );
    format!(
        "{title}\
         - Run: {} interleaved rounds, windows of {:.1} s after {:.1} s of warm-up; median (smallest-largest).\n\
         - The proxy alone on core {}, with one worker thread; load and upstream on core {}.\n\
         - Windows in which others used over 5 % of the proxy's core: {disturbed} of {}. Errors: {errors}.\n",
        options.rounds,
        options.window.as_secs_f64(),
        options.warm_up.as_secs_f64(),
        PROXY_CORE,
        LOAD_CORE,
        cells.len(),
    )
}

/// The figure to trust, a column for each peer.
fn cpu_table(options: &Options, rows: &[Row], cells: &[Cell]) -> String {
    let mut out = "\n## CPU time per request, in microseconds\n\n".to_owned();
    let names: Vec<&str> = options.peers.iter().map(|peer| peer.name()).collect();
    line(
        &mut out,
        std::iter::once("protocol, connections, body").chain(names.iter().copied()),
    );
    line(&mut out, std::iter::repeat_n("---", names.len() + 1));
    for row in rows {
        let figures = options
            .peers
            .iter()
            .map(|&peer| show(spread(cells, row, peer, Measured::cpu_per_request), 1));
        let figures: Vec<String> = std::iter::once(row.name()).chain(figures).collect();
        line(&mut out, figures.iter().map(String::as_str));
    }
    out
}

/// Plimsoll's medians over those of its peers: below 1 it needs less.
fn ratio_table(options: &Options, rows: &[Row], cells: &[Cell]) -> String {
    let pairs = [
        (Peer::Plimsoll, Peer::Nginx),
        (Peer::Plimsoll, Peer::NginxLog),
        (Peer::PlimsollLog, Peer::NginxLog),
        (Peer::Plimsoll, Peer::Haproxy),
        (Peer::Plimsoll, Peer::PlimsollOff),
        (Peer::PlimsollAll, Peer::PlimsollOff),
    ];
    let pairs: Vec<(Peer, Peer)> = pairs
        .into_iter()
        .filter(|(ours, theirs)| options.peers.contains(ours) && options.peers.contains(theirs))
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    let mut out = "\n## CPU time per request, as a ratio of medians\n\n\
        Below 1, Plimsoll needs less. \"overlap\" marks ranges that overlap: there the run does not tell the \
        two apart.\n\n"
        .to_owned();
    let names: Vec<String> = pairs
        .iter()
        .map(|(ours, theirs)| format!("{} / {}", ours.name(), theirs.name()))
        .collect();
    line(
        &mut out,
        std::iter::once("row").chain(names.iter().map(String::as_str)),
    );
    line(&mut out, std::iter::repeat_n("---", names.len() + 1));
    for row in rows {
        let ratios = pairs.iter().map(|&(ours, theirs)| {
            let ours = spread(cells, row, ours, Measured::cpu_per_request);
            let theirs = spread(cells, row, theirs, Measured::cpu_per_request);
            table::ratio(ours, theirs)
        });
        let ratios: Vec<String> = std::iter::once(row.name()).chain(ratios).collect();
        line(&mut out, ratios.iter().map(String::as_str));
    }
    out
}

fn detail_table(options: &Options, rows: &[Row], cells: &[Cell]) -> String {
    let mut out = "\n## All figures\n\n\
        \"core\" is the share of its core that the proxy used: well below 100 %, the load was the bottleneck, \
        and requests/s and latencies say nothing about the proxy. \"log lines dropped\" is the sum over all rounds: a \
        log that drops lines costs less than one that does not.\n\n"
        .to_owned();
    let columns = [
        "row",
        "proxy",
        "CPU us/request",
        "requests/s",
        "P50 ms",
        "P99 ms",
        "core %",
        "RSS MiB",
        "PSS MiB",
        "errors",
        "log lines dropped",
    ];
    table::head(&mut out, &columns);
    for row in rows {
        for &peer in &options.peers {
            let of = |figure: &dyn Fn(&Measured) -> f64, digits| {
                show(spread(cells, row, peer, figure), digits)
            };
            let errors: u64 = select(cells, row, peer)
                .map(|measured| measured.errors)
                .sum();
            let dropped: Option<u64> = cells
                .iter()
                .filter(|cell| cell.row == *row && cell.peer == peer)
                .map(|cell| cell.log_lines_dropped)
                .sum();
            let figures = [
                row.name(),
                peer.name().to_owned(),
                of(&Measured::cpu_per_request, 1),
                of(&Measured::requests_per_second, 0),
                of(&|measured| measured.latency_p50.as_secs_f64() * 1e3, 2),
                of(&|measured| measured.latency_p99.as_secs_f64() * 1e3, 2),
                of(&|measured| measured.busy() * 100.0, 0),
                of(&|measured| measured.memory.rss as f64 / MIB, 1),
                of(&|measured| measured.memory.pss as f64 / MIB, 1),
                errors.to_string(),
                dropped.map_or_else(|| "-".to_owned(), |dropped| dropped.to_string()),
            ];
            line(&mut out, figures.iter().map(String::as_str));
        }
    }
    out
}

fn memory_table(options: &Options, idle: &[Idle]) -> String {
    if idle.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "\n## Memory\n\nOf the whole process tree; per idle connection by PSS, over {} kept HTTP/1.1 connections that \
         each asked once.\n\n",
        options.idle_connections
    );
    let columns = [
        "proxy",
        "RSS at start MiB",
        "PSS at start MiB",
        "KiB per idle connection",
    ];
    table::head(&mut out, &columns);
    for &peer in &options.peers {
        let of = |figure: &dyn Fn(&Idle) -> f64| {
            show(
                Spread::of(idle.iter().filter(|idle| idle.peer == peer).map(figure)),
                1,
            )
        };
        let figures = [
            peer.name().to_owned(),
            of(&|idle| idle.start.rss as f64 / MIB),
            of(&|idle| idle.start.pss as f64 / MIB),
            of(&|idle| idle.per_connection / KIB),
        ];
        line(&mut out, figures.iter().map(String::as_str));
    }
    out
}

fn select<'a>(cells: &'a [Cell], row: &Row, peer: Peer) -> impl Iterator<Item = &'a Measured> {
    let row = *row;
    cells
        .iter()
        .filter(move |cell| cell.row == row && cell.peer == peer)
        .map(|cell| &cell.measured)
}

fn spread(
    cells: &[Cell],
    row: &Row,
    peer: Peer,
    figure: impl Fn(&Measured) -> f64,
) -> Option<Spread> {
    Spread::of(select(cells, row, peer).map(figure))
}
