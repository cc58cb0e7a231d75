//! How much memory a run may need, as measured by `cargo xtask bench simulator`.

use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node};

use super::error;

/// The most that a run may need, in bytes, and all that go on at once together.
pub(crate) const MEMORY_MAX: f64 = 8.0 * GIB;
const GIB: f64 = 1_073_741_824.0;
/// Of each gateway, for each of its services.
const GATEWAY: f64 = 65_536.0;
/// Of each pair of gateway and endpoint...
const PAIR: f64 = 24.0;
/// ... for each thread of the gateway...
const PAIR_OF_THREAD: f64 = 40.0;
/// ... and once a request was sent from the one to the other.
const PAIR_USED: f64 = 2_000.0;
/// Of each request under way.
const UNDER_WAY: f64 = 1_000.0;
/// Of each request that an endpoint keeps though nobody waits for it: its attempt, its place, its event.
const KEPT: f64 = 100.0;
/// Of each user who pauses before another try: who it is, and the event.
const PAUSING: f64 = 100.0;
/// Of what became of a workload's users in a phase: mostly the histogram of their latencies.
const RESULT: f64 = 9_000.0;

/// What a run holds at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// Requests of the whole run.
    pub(super) requests: f64,
    /// Requests at a time.
    pub(super) under_way: f64,
    /// Requests that endpoints keep though their clients have gone.
    pub(super) kept: f64,
    /// Users who pause before another try.
    pub(super) pausing: f64,
    /// Workloads, in each phase.
    pub(super) results: f64,
}

/// The run fits in memory. Gives how much that is, in bytes.
pub(super) fn check(
    file: &Fields,
    services: &Fields,
    load: Load,
    diagnostics: &mut Vec<Diagnostic>,
) -> f64 {
    let count = |key| file.count::<u32>(key).map_or(1.0, f64::from);
    let (gateways, threads) = (count("gateways"), count("threads"));
    let tables = || services.iter().map(|(_, field)| &field.node);
    let endpoints = tables().filter_map(Node::as_table).filter_map(|service| {
        let endpoints = service.count::<u32>("endpoints")?;
        Some(f64::from(endpoints))
    });
    let pairs = gateways * endpoints.sum::<f64>();
    let of_pairs = pairs * (PAIR + threads * PAIR_OF_THREAD) + pairs.min(load.requests) * PAIR_USED;
    let of_gateways = gateways * tables().count() as f64 * GATEWAY;
    let mut parts = [
        (
            of_pairs + of_gateways,
            format!("for {pairs:.0} pairs of gateway and endpoint"),
            "fewer gateways, threads or endpoints",
            "gateways",
        ),
        (
            load.under_way * UNDER_WAY,
            format!("for {:.0} requests under way", load.under_way),
            "lower rates, less `patience`, or fewer `attempts`",
            "workload",
        ),
        (
            load.kept * KEPT,
            format!(
                "for {:.0} requests that endpoints keep though their clients have gone",
                load.kept
            ),
            "lower rates, shorter phases, more workers, or `cancels = true`",
            "workload",
        ),
        (
            load.pausing * PAUSING,
            format!("for {:.0} users who pause before another try", load.pausing),
            "lower rates, a shorter `pause`, or fewer `attempts`",
            "workload",
        ),
        (
            load.results * RESULT,
            format!(
                "for {:.0} results, of each workload in each phase",
                load.results
            ),
            "fewer workloads, or fewer phases",
            "phase",
        ),
    ];
    let all = parts.iter().map(|(bytes, ..)| bytes).sum();
    if all <= MEMORY_MAX {
        return all;
    }
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let gib = |bytes: f64| format!("{:.1} GiB", bytes / GIB);
    let [(bytes, what, help, key), (more, also, ..), ..] = &parts;
    let mut label = format!("{} are {what}", gib(*bytes));
    if *more > 0.05 * GIB {
        label.push_str(&format!(", {} {also}", gib(*more)));
    }
    let field = file.field(key).or_else(|| file.field("service"));
    diagnostics.extend(field.map(|field| {
        let message = format!("the run may need {} of memory", gib(all));
        error(&field.key_span, "too-large", message)
            .label(label)
            .help(format!("{help}: at most {} was expected", gib(MEMORY_MAX)))
    }));
    all
}
