//! What a run may need: time, and memory.

use std::collections::BTreeMap;
use std::time::Duration;

use super::calls::Graph;
use super::load::{self, Most};
use super::memory::{self, Load};
use super::{error, named_service};
use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node};
use crate::scenario::Run;

/// The most requests of one run: at a million in a few seconds, a run beyond this takes most of an hour.
const REQUESTS_MAX: f64 = 500e6;
/// The most requests that may be under way: each takes about a kilobyte.
pub(super) const UNDER_WAY_MAX: f64 = 2e6;
/// How often a gateway looks after its guards and its views of endpoints, each second.
const TICKS: f64 = 140.0;
/// The most of these, times services: fifty take as long as one request.
const TICKS_MAX: f64 = 50.0 * REQUESTS_MAX;
/// The most steps of a fluid run, a second of a workload or a service each: a microsecond each, for each arm.
const STEPS_MAX: f64 = 1e9;

/// The run takes neither for ever nor all memory. Gives how much of that it may need, in bytes.
pub(super) fn check<'a>(
    file: &Fields,
    run: Run,
    services: &'a Fields,
    workloads: &'a Fields,
    graph: Option<Graph<'a>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> f64 {
    let Some(graph) = graph else {
        // Calls go round in circles, which is reported: nobody knows how many there are.
        return 0.0;
    };
    let phases = file.list("phase").iter().filter_map(Node::as_table);
    let (all, mut load) = (lasts(file), Load::default());
    let [services_count, workloads_count] =
        [services, workloads].map(|it| it.iter().count() as f64);
    load.results = (workloads_count + graph.len() as f64) * phases.clone().count() as f64;
    let (steps, steps_max, what, help) = match run {
        Run::Fluid => (
            all * (services_count + workloads_count),
            STEPS_MAX,
            "seconds of workloads and services",
            "shorter phases, or fewer services and workloads",
        ),
        Run::ByRequest => (
            all * TICKS * services_count * file.count::<u32>("gateways").map_or(1.0, f64::from),
            TICKS_MAX,
            "ticks of gateways",
            "shorter phases, fewer gateways, or `--fluid`, which has no ticks",
        ),
    };
    if let (true, Some(field)) = (steps > steps_max, file.field("phase")) {
        let message = format!("the run may take {steps:.0} {what}");
        diagnostics.push(
            error(&field.key_span, "too-large", message)
                .label(format!(
                    "at most {steps_max:.0} was expected: it would take an hour"
                ))
                .help(help),
        );
    }
    if run == Run::ByRequest {
        let mut most_sent = BTreeMap::new();
        for phase in phases {
            let seconds = phase.duration("lasts").unwrap_or_default().as_secs_f64();
            let sent = check_phase(phase, all, services, workloads, &mut load, diagnostics);
            load.kept += kept(services, &graph.reach(&sent), seconds);
            load.requests += graph.calls_of(sent.clone()) * seconds;
            for (service, rate) in sent {
                let most = most_sent.entry(service).or_insert(rate);
                *most = rate.max(*most);
            }
        }
        load.under_way += graph.under_way(most_sent, diagnostics);
        load.kept += kept_in_faults(file, all, services, workloads);
        if check_requests(file, load.requests, diagnostics) {
            return 0.0;
        }
    }
    memory::check(file, services, load, diagnostics)
}

/// How long the run is, in seconds.
fn lasts(file: &Fields) -> f64 {
    let all: Duration = file.list("phase").iter().filter_map(super::lasts).sum();
    all.as_secs_f64()
}

/// Gives what is sent to each service in a second at most, apart from what services send.
fn check_phase<'a>(
    phase: &Fields,
    all: f64,
    services: &'a Fields,
    workloads: &'a Fields,
    load: &mut Load,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<&'a str, f64> {
    let (mut under_way, mut pausing) = (0.0, 0.0);
    let mut rates = BTreeMap::<&str, f64>::new();
    let seconds = phase.duration("lasts").unwrap_or_default().as_secs_f64();
    for (name, field) in workloads.iter() {
        let Some(workload) = field.node.as_table() else {
            continue;
        };
        let Some(most) = load::most(name, workload, phase) else {
            continue;
        };
        let tries = tries(workload);
        let patience = workload.duration("patience").unwrap_or_default();
        // Who waits for an answer has no second request under way.
        let waiting = most.rate * tries * patience.as_secs_f64();
        let mine = most.users.unwrap_or(waiting);
        if mine > UNDER_WAY_MAX {
            diagnostics.push(too_many_under_way(name, mine, &most));
        }
        let pause = workload.table("retry").and_then(|it| it.duration("pause"));
        let pause = pause.unwrap_or_default().as_secs_f64().min(all);
        pausing += most.users.unwrap_or(most.rate * (tries - 1.0) * pause);
        under_way += mine;
        let sent = most.rate * tries;
        load.requests += sent * seconds;
        if let Some(service) = named_service(workload, services) {
            // One of a population gives up one request at a time.
            let given_up = most.users.map(|users| users / patience.as_secs_f64());
            *rates.entry(service).or_default() += given_up.map_or(sent, |it| it.min(sent));
        }
    }
    load.under_way = under_way.max(load.under_way);
    load.pausing = pausing.max(load.pausing);
    rates
}

/// What endpoints keep of what is sent to them and is more than they can be through with.
fn kept(services: &Fields, rates: &BTreeMap<&str, [f64; 2]>, seconds: f64) -> f64 {
    let kept = |(name, [sent, given_up]): (&&str, &[f64; 2])| {
        let service = services.table(name)?;
        let cancels = service.boolean("cancels")?;
        let too_much = (sent - capacity(service)).clamp(0.0, *given_up);
        (!cancels).then_some(too_much * seconds)
    };
    rates.iter().filter_map(kept).sum()
}

fn tries(workload: &Fields) -> f64 {
    let attempts = workload.table("retry").and_then(|it| it.count("attempts"));
    f64::from(attempts.unwrap_or(1_u8))
}

fn too_many_under_way(name: &str, under_way: f64, most: &Most) -> Diagnostic {
    let message = format!("workload `{name}` may have {under_way:.0} requests under way");
    error(&most.span, "too-large", message)
        .label(format!(
            "at most {UNDER_WAY_MAX:.0} was expected: they would not fit in memory"
        ))
        .help("a lower rate, less `patience`, or fewer `attempts`")
}

/// Says whether there are too many.
fn check_requests(file: &Fields, requests: f64, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let too_many = requests > REQUESTS_MAX;
    if let (true, Some(field)) = (too_many, file.field("phase")) {
        let message = format!("the run may take {requests:.0} requests");
        diagnostics.push(
            error(&field.key_span, "too-large", message)
                .label(format!(
                    "at most {REQUESTS_MAX:.0} was expected: it would take an hour"
                ))
                .help("shorter phases, lower rates, or `--fluid`, which has no single requests"),
        );
    }
    too_many
}

/// What a service can be through with each second, while nothing goes wrong.
fn capacity(service: &Fields) -> f64 {
    let count = |key| service.count::<u32>(key).map(f64::from);
    let time = service.duration("time").unwrap_or_default().as_secs_f64();
    // All at once is never less than one by one would be.
    count("endpoints").unwrap_or(1.0) * count("workers").unwrap_or(1.0) / time
}

/// What endpoints keep of what is sent to them while a fault makes them slower.
fn kept_in_faults(file: &Fields, all: f64, services: &Fields, workloads: &Fields) -> f64 {
    let faults = file.list("fault").iter().filter_map(Node::as_table);
    let faults =
        faults.filter(|it| matches!(it.word("kind"), Some("slow" | "freeze" | "capacity")));
    let phases = || file.list("phase").iter().filter_map(Node::as_table);
    let most = |fault: &Fields| {
        let service = named_service(fault, services)?;
        let mine =
            |(_, workload): &(&str, &Fields)| named_service(workload, services) == Some(service);
        let workloads = workloads
            .iter()
            .filter_map(|(name, it)| Some((name, it.node.as_table()?)));
        let rates = workloads.filter(mine).map(|(name, workload)| {
            let rates = phases().filter_map(|phase| load::most(name, workload, phase));
            rates.map(|most| most.rate).fold(0.0, f64::max) * tries(workload)
        });
        let cancels = services.table(service)?.boolean("cancels")?;
        let lasts = fault.duration("lasts")?.as_secs_f64().min(all);
        (!cancels).then(|| rates.sum::<f64>() * lasts)
    };
    faults.filter_map(most).sum()
}
