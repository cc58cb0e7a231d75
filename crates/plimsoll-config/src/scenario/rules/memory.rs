//! How much memory a run may need, as measured by `cargo xtask bench simulator`.

use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node};

use super::error;

/// The most that a run may need, in bytes: a machine of 16 GiB runs two at once.
const MEMORY_MAX: f64 = 8.0 * GIB;
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

/// The run fits in memory. `requests` are all of it, `under_way` the most at a time.
pub(super) fn check(
    file: &Fields,
    services: &Fields,
    requests: f64,
    under_way: f64,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let count = |key| file.count::<u32>(key).map_or(1.0, f64::from);
    let (gateways, threads) = (count("gateways"), count("threads"));
    let tables = || services.iter().map(|(_, field)| &field.node);
    let endpoints = tables().filter_map(Node::as_table).filter_map(|service| {
        let endpoints = service.count::<u32>("endpoints")?;
        Some(f64::from(endpoints))
    });
    let pairs = gateways * endpoints.sum::<f64>();
    let of_pairs = pairs * (PAIR + threads * PAIR_OF_THREAD) + pairs.min(requests) * PAIR_USED;
    let of_gateways = gateways * tables().count() as f64 * GATEWAY;
    let all = of_pairs + of_gateways + under_way * UNDER_WAY;
    if all <= MEMORY_MAX {
        return;
    }
    let Some(field) = file.field("gateways").or_else(|| file.field("service")) else {
        return;
    };
    let gib = |bytes: f64| format!("{:.1} GiB", bytes / GIB);
    let message = format!("the run may need {} of memory", gib(all));
    diagnostics.push(
        error(&field.key_span, "too-large", message)
            .label(format!(
                "{} are for {pairs:.0} pairs of gateway and endpoint, {} for {under_way:.0} requests under way",
                gib(of_pairs),
                gib(under_way * UNDER_WAY)
            ))
            .help(format!(
                "fewer gateways, threads or endpoints: at most {} was expected",
                gib(MEMORY_MAX)
            )),
    );
}
