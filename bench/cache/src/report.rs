//! What was measured, as tables.

use crate::command::{LOAD_CORE, PROXY_CORE};
use crate::crowd::{self, Crowd};
use crate::hit::{self, Hit};
use crate::measured::Measured;
use crate::objects::{self, Zipf};
use crate::options::Options;
use crate::origin::SLOW_TIME;
use crate::peer::{Peer, STORE_BYTES};
use crate::popularity::{self, Popularity};
use crate::run::Results;
use crate::summary::Spread;
use crate::table::{self, MIB, line, show};

/// Everything, ready to be put into a file.
pub(crate) fn markdown(
    options: &Options,
    machine: &str,
    peers: &[Peer],
    results: &Results,
) -> String {
    let title = table::title(
        "Cache: nginx, Varnish and Plimsoll side by side",
        options.quick,
        machine,
    );
    let mut out = format!(
        "{title}\
         - Run: {} interleaved rounds; median (smallest-largest).\n\
         - The proxy alone on core {PROXY_CORE}; load and origin on core {LOAD_CORE}. Each store is bounded at {:.0} MiB, as each \
         proxy counts it; answers are fresh for an hour.\n",
        options.rounds,
        STORE_BYTES as f64 / MIB,
    );
    let rest: Vec<Peer> = peers
        .iter()
        .copied()
        .filter(|it| !it.is_for_its_log())
        .collect();
    out.push_str(&hits(options, peers, &results.hits));
    out.push_str(&popularities(options, &rest, &results.popularity));
    out.push_str(&crowds(&rest, &results.crowds));
    out
}

fn hits(options: &Options, peers: &[Peer], hits: &[Hit]) -> String {
    if hits.is_empty() {
        return String::new();
    }
    let disturbed = hits
        .iter()
        .filter(|hit| hit.measured.is_disturbed())
        .count();
    let mut out = format!(
        "\n## Hit: CPU time per request, in microseconds\n\n\
         One stored object, {} connections of HTTP/1.1, windows of {:.1} s after {:.1} s of warm-up. Windows in which others used over \
         5 % of the proxy's core: {disturbed} of {}. Aim: Plimsoll needs at most what nginx needs.\n\n",
        hit::CONNECTIONS,
        options.window.as_secs_f64(),
        options.warm_up.as_secs_f64(),
        hits.len(),
    );
    let of = |kib: usize, peer: Peer, figure: &dyn Fn(&Measured) -> f64| {
        let cells = hits.iter().filter(|it| it.kib == kib && it.peer == peer);
        Spread::of(cells.map(|hit| figure(&hit.measured)))
    };
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    let head: Vec<&str> = std::iter::once("object").chain(names).collect();
    table::head(&mut out, &head);
    for kib in hit::SIZES_KIB {
        let cells = peers
            .iter()
            .map(|&peer| show(of(kib, peer, &Measured::cpu_per_request), 1));
        let cells: Vec<String> = std::iter::once(format!("{kib}k")).chain(cells).collect();
        line(&mut out, cells.iter().map(String::as_str));
    }
    out.push_str(
        "\nRatios of medians: below 1, Plimsoll needs less. \"overlap\" marks ranges that overlap: there the run does not tell the \
         two apart.\n\n",
    );
    let pairs = [
        (Peer::Plimsoll, Peer::Nginx),
        (Peer::PlimsollLog, Peer::NginxLog),
        (Peer::Plimsoll, Peer::Varnish),
    ];
    let names = pairs.map(|(ours, theirs)| format!("{} / {}", ours.name(), theirs.name()));
    let head: Vec<&str> = std::iter::once("object")
        .chain(names.iter().map(String::as_str))
        .collect();
    table::head(&mut out, &head);
    for kib in hit::SIZES_KIB {
        let cost = |peer| of(kib, peer, &Measured::cpu_per_request);
        let ratios = pairs
            .iter()
            .map(|&(ours, theirs)| table::ratio(cost(ours), cost(theirs)));
        let ratios: Vec<String> = std::iter::once(format!("{kib}k")).chain(ratios).collect();
        line(&mut out, ratios.iter().map(String::as_str));
    }
    out.push_str(
        "\n\"core\" is the share of its core that the proxy used: well below 100 %, the load was the bottleneck, and requests/s and \
         latencies say nothing about the proxy. Sums over all rounds: errors; requests that reached the origin, which no hit does; \
         lines that the access log dropped, where the proxy may.\n\n",
    );
    table::head(
        &mut out,
        &[
            "object",
            "proxy",
            "requests/s",
            "P50 ms",
            "P99 ms",
            "core %",
            "RSS MiB",
            "PSS MiB",
            "errors",
            "to the origin",
            "log lines dropped",
        ],
    );
    for kib in hit::SIZES_KIB {
        for &peer in peers {
            let cells = || hits.iter().filter(|it| it.kib == kib && it.peer == peer);
            let dropped: Option<u64> = cells().map(|hit| hit.log_lines_dropped).sum();
            let of =
                |figure: &dyn Fn(&Measured) -> f64, digits| show(of(kib, peer, figure), digits);
            let figures = [
                format!("{kib}k"),
                peer.name().to_owned(),
                of(&Measured::requests_per_second, 0),
                of(&|it| it.latency_p50.as_secs_f64() * 1e3, 2),
                of(&|it| it.latency_p99.as_secs_f64() * 1e3, 2),
                of(&|it| it.busy() * 100.0, 0),
                of(&|it| it.memory.rss as f64 / MIB, 1),
                of(&|it| it.memory.pss as f64 / MIB, 1),
                cells()
                    .map(|hit| hit.measured.errors)
                    .sum::<u64>()
                    .to_string(),
                cells().map(|hit| hit.origin).sum::<u64>().to_string(),
                dropped.map_or_else(|| "-".to_owned(), |dropped| dropped.to_string()),
            ];
            line(&mut out, figures.iter().map(String::as_str));
        }
    }
    out
}

fn popularities(options: &Options, peers: &[Peer], runs: &[Popularity]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let zipf = Zipf::new(objects::COUNT, objects::EXPONENT);
    let mut out = format!(
        "\n## Popularity: hit ratio of a bounded store\n\n\
         {} objects of 1 to 16 KiB, asked for as Zipf({}) has it: {} requests after {} that fill the store, the same for each proxy \
         (seed {}). Hit ratio: 1 - requests at the origin / requests. A store that knew beforehand how popular each object is, and \
         counted bodies only, would have {:.1} %. Memory is of the whole process tree, and has no page cache: that holds what is on \
         the disk. Aim: Plimsoll's hit ratio is at least Varnish's.\n\n",
        objects::COUNT,
        objects::EXPONENT,
        options.requests,
        popularity::before(options.requests),
        options.seed,
        zipf.best_ratio(STORE_BYTES) * 100.0,
    );
    table::head(
        &mut out,
        &[
            "proxy",
            "hit ratio %",
            "PSS at start MiB",
            "PSS at the end MiB",
            "RSS at the end MiB",
            "on the disk MiB",
            "errors",
        ],
    );
    for &peer in peers {
        let cells = || runs.iter().filter(|it| it.peer == peer);
        let of = |figure: &dyn Fn(&Popularity) -> Option<f64>, digits| {
            show(Spread::of(cells().filter_map(figure)), digits)
        };
        let figures = [
            peer.name().to_owned(),
            of(&|it| Some(it.hit_ratio() * 100.0), 2),
            of(&|it| Some(it.start.pss as f64 / MIB), 1),
            of(&|it| Some(it.end.pss as f64 / MIB), 1),
            of(&|it| Some(it.end.rss as f64 / MIB), 1),
            of(&|it| it.disk.map(|bytes| bytes as f64 / MIB), 1),
            cells().map(|it| it.errors).sum::<u64>().to_string(),
        ];
        line(&mut out, figures.iter().map(String::as_str));
    }
    out
}

fn crowds(peers: &[Peer], runs: &[Crowd]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "\n## Crowd: misses on one key\n\n\
         {} clients ask at once for an object that is not stored; the origin takes {} ms. Aim: one request reaches it. \"last answer\" \
         is counted from the first request.\n\n",
        crowd::CLIENTS,
        SLOW_TIME.as_millis(),
    );
    table::head(
        &mut out,
        &[
            "proxy",
            "to the origin",
            "not answered with 200",
            "last answer s",
        ],
    );
    for &peer in peers {
        let of = |figure: &dyn Fn(&Crowd) -> f64, digits| {
            let cells = runs.iter().filter(|it| it.peer == peer);
            show(Spread::of(cells.map(figure)), digits)
        };
        let figures = [
            peer.name().to_owned(),
            of(&|it| it.origin as f64, 0),
            of(&|it| it.failed as f64, 0),
            of(&|it| it.elapsed.as_secs_f64(), 2),
        ];
        line(&mut out, figures.iter().map(String::as_str));
    }
    out
}
