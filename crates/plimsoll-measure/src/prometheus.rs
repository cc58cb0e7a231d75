//! `/metrics`: the counters as Prometheus text (0.0.4) or OpenMetrics (1.0).
//!
//! Labels come from the configuration and from closed sets only, so there are as many series as the
//! registry's bound allows; durable queues, which clients may make, have a bound of their own. A sum over causes is the number of requests: each request is in the series of
//! its one route, or in the one without a route.
//! Units: seconds, bytes, ratios, as their names say.

mod changes;
mod exposition;
mod queues;

use plimsoll_core::{Class, never_count};

use crate::condition::Condition;
use crate::histogram::slot_at_power_of_two;
use crate::outcome::{Cause, Outcome};
use crate::registry::{Reading, SeriesKey};
use crate::snapshot::{CacheView, EndpointState, ProtectionView, Snapshot, refusing_policy};

pub use changes::{ChangesView, FlagCountsView};
pub use exposition::Format;
use exposition::{Exposition, Kind};

/// Bucket bounds of `plimsoll_request_duration_seconds` as powers of two: 122 us to 64 s. Each is a bound of
/// the histogram itself, so its counts are exact.
const BOUNDS: std::ops::RangeInclusive<i32> = -13..=6;

/// Causes that are given from the start, so that the first failure shows as a rise from zero.
const CAUSES_ALWAYS: [Cause; 4] = [
    Cause::Answered,
    Cause::UpstreamStatus,
    Cause::Timeout,
    Cause::Connect,
];

/// What the process knows of itself; what it can't find out is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessView {
    /// User and system time.
    pub cpu_seconds: Option<f64>,
    /// Memory in use.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many may be open.
    pub max_fds: Option<u64>,
    /// When it started, since the epoch.
    pub start_time_seconds: Option<f64>,
    /// Access log lines that were not written, because nobody took them fast enough.
    pub access_log_dropped: u64,
}

/// Writes all metrics. `readings` are those of [`Registry::read`](crate::Registry::read); gauges and
/// objectives are as of the snapshot.
pub fn render(
    format: Format,
    readings: &[Reading],
    snapshot: &Snapshot,
    process: &ProcessView,
    under_guard: &ChangesView<'_>,
) -> String {
    let mut out = Exposition::new(format);
    requests(&mut out, readings);
    gauges(&mut out, snapshot);
    protections(&mut out, snapshot);
    cache(&mut out, snapshot);
    endpoints(&mut out, readings, snapshot);
    objectives(&mut out, readings, snapshot);
    journeys(&mut out, snapshot);
    journal(&mut out, snapshot);
    changes::render(&mut out, under_guard);
    queues::render(&mut out, snapshot.queues.as_ref());
    notifiers(&mut out, snapshot);
    about(&mut out, snapshot, process);
    out.finish()
}

/// The service and route labels of what counts requests exactly once; `None` for all else.
fn route_labels(key: &SeriesKey) -> Option<(&str, &str)> {
    match key {
        SeriesKey::Route { service, route } => Some((service, route)),
        SeriesKey::Unrouted => Some(("", "")),
        SeriesKey::Other => Some(("other", "other")),
        SeriesKey::Service(_) | SeriesKey::Endpoint { .. } => None,
    }
}

fn requests(out: &mut Exposition, readings: &[Reading]) {
    let routes: Vec<_> = readings
        .iter()
        .filter_map(|reading| Some((route_labels(&reading.key)?, &reading.totals)))
        .collect();

    out.family(
        "plimsoll_requests",
        Kind::Counter,
        "Requests by how they ended; each has one cause.",
    );
    for ((service, route), totals) in &routes {
        let any = |class: Class| {
            Cause::ALL
                .iter()
                .any(|cause| totals.count(class, *cause) > 0)
        };
        let quiet = !Class::ALL.into_iter().any(any);
        for class in Class::ALL {
            let shown = any(class) || (quiet && class == Class::default() && !service.is_empty());
            for cause in Cause::ALL {
                let count = totals.count(class, *cause);
                if count > 0 || (shown && CAUSES_ALWAYS.contains(cause)) {
                    let labels = [
                        ("service", *service),
                        ("route", *route),
                        ("class", class.name()),
                        ("cause", cause.name()),
                        ("outcome", cause.outcome().name()),
                        ("origin", cause.origin().name()),
                    ];
                    out.sample("_total", &labels, count);
                }
            }
        }
    }

    out.family(
        "plimsoll_request_duration_seconds",
        Kind::Histogram,
        "From a request's arrival to the end of its latency SLI: the response's head for streams, else the last byte that the service wrote.",
    );
    for ((service, route), totals) in &routes {
        let labels = [("service", *service), ("route", *route)];
        // One reading of the buckets gives both, so that the count is that of the last bucket.
        let buckets = BOUNDS.map(|power| {
            (
                libm::ldexp(1.0, power),
                totals.latency.cumulative(slot_at_power_of_two(power)),
            )
        });
        out.histogram(
            &labels,
            buckets,
            totals.latency.sum_seconds(),
            totals.latency.count(),
        );
    }

    out.family(
        "plimsoll_request_body_bytes",
        Kind::Counter,
        "Body bytes from clients.",
    );
    for ((service, route), totals) in &routes {
        out.sample(
            "_total",
            &[("service", *service), ("route", *route)],
            totals.bytes_in,
        );
    }
    out.family(
        "plimsoll_response_body_bytes",
        Kind::Counter,
        "Body bytes to clients.",
    );
    for ((service, route), totals) in &routes {
        out.sample(
            "_total",
            &[("service", *service), ("route", *route)],
            totals.bytes_out,
        );
    }
}

fn gauges(out: &mut Exposition, snapshot: &Snapshot) {
    out.family("plimsoll_in_flight", Kind::Gauge, "Requests in flight.");
    for service in &snapshot.services {
        if let Some(in_flight) = service.in_flight {
            out.sample("", &[("service", &service.name)], in_flight);
        }
    }
    out.family(
        "plimsoll_serving_to_all",
        Kind::Gauge,
        "1 while no endpoint of the service is healthy, so that all are used.",
    );
    for service in &snapshot.services {
        out.sample(
            "",
            &[("service", &service.name)],
            u64::from(service.serving_to_all),
        );
    }
    out.family(
        "plimsoll_connections",
        Kind::Gauge,
        "Connections from clients.",
    );
    out.sample("", &[], snapshot.connections);
}

fn protections(out: &mut Exposition, snapshot: &Snapshot) {
    let known: Vec<(&str, &ProtectionView)> = snapshot
        .services
        .iter()
        .filter_map(|service| Some((service.name.as_str(), service.protection.as_ref()?)))
        .collect();
    out.family(
        "plimsoll_limit",
        Kind::Gauge,
        "How many requests may be in flight, or might if the limiter did not only observe; absent where there is no limit.",
    );
    for (service, protection) in &known {
        if let Some(limit) = protection.limit {
            out.sample("", &[("service", service)], u64::from(limit));
        }
    }
    out.family(
        "plimsoll_limit_reason",
        Kind::Gauge,
        "1 for why the limit is what it is.",
    );
    for (service, protection) in &known {
        if let Some(reason) = &protection.limit_reason {
            out.sample("", &[("service", service), ("reason", reason)], 1_u64);
        }
    }
    out.family(
        "plimsoll_queue_requests",
        Kind::Gauge,
        "Requests that wait for a permit.",
    );
    for (service, protection) in &known {
        for class in &protection.classes {
            let labels = [("service", *service), ("class", class.class.name())];
            out.sample("", &labels, class.queued);
        }
    }
    out.family(
        "plimsoll_queue_wait_max_seconds",
        Kind::Gauge,
        "How long a request may be predicted to wait; absent where none waits.",
    );
    for (service, protection) in &known {
        if let Some(wait) = protection.wait_max_seconds {
            out.sample("", &[("service", service)], wait);
        }
    }
    out.family(
        "plimsoll_latency_objective_seconds",
        Kind::Gauge,
        "The latency that the limiter works for, and whether it is assumed.",
    );
    for (service, protection) in &known {
        if let Some(objective) = protection.objective_seconds {
            let assumed = if protection.objective_assumed {
                "true"
            } else {
                "false"
            };
            out.sample("", &[("service", service), ("assumed", assumed)], objective);
        }
    }
    out.family(
        "plimsoll_protection",
        Kind::Counter,
        "What protections did (enforce), or would have done (observe).",
    );
    for (service, protection) in &known {
        actions(out, service, protection);
    }
}

fn cache(out: &mut Exposition, snapshot: &Snapshot) {
    out.family(
        "plimsoll_cache_requests",
        Kind::Counter,
        "Requests of routes with a cache by what it did; each has one result.",
    );
    for service in &snapshot.services {
        for (result, count) in service.cache.iter().flat_map(CacheView::results) {
            let labels = [("service", service.name.as_str()), ("result", result)];
            out.sample("_total", &labels, count);
        }
    }
    let Some(cache) = snapshot.cache else { return };
    let gauges = [
        (
            "plimsoll_cache_entries",
            "Answers that are stored.",
            cache.entries,
        ),
        (
            "plimsoll_cache_bytes",
            "What stored answers take.",
            cache.bytes,
        ),
        (
            "plimsoll_cache_max_bytes",
            "What stored answers may take.",
            cache.bytes_max,
        ),
        (
            "plimsoll_cache_filling_bytes",
            "What is being fetched to be stored takes.",
            cache.filling_bytes,
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, Kind::Gauge, help);
        out.sample("", &[], value);
    }
    out.family(
        "plimsoll_cache_evictions",
        Kind::Counter,
        "Stored answers that made room for others.",
    );
    out.sample("_total", &[], cache.evictions_total);
    let Some(disk) = cache.disk else { return };
    let gauges = [
        (
            "plimsoll_cache_disk_bytes",
            "What answers that are stored on disk take.",
            disk.bytes,
        ),
        (
            "plimsoll_cache_disk_max_bytes",
            "What answers that are stored on disk may take.",
            disk.bytes_max,
        ),
    ];
    for (name, help, value) in gauges {
        out.family(name, Kind::Gauge, help);
        out.sample("", &[], value);
    }
    out.family(
        "plimsoll_cache_disk_answers",
        Kind::Counter,
        "Answers that were written to disk or read from there, that were found damaged, and that were not written.",
    );
    let results = [
        ("written", disk.written_total),
        ("read", disk.read_total),
        ("damaged", disk.damaged_total),
        ("missed", disk.missed_total),
    ];
    for (result, count) in results {
        out.sample("_total", &[("result", result)], count);
    }
}

fn actions(out: &mut Exposition, service: &str, protection: &ProtectionView) {
    let mut sample = |policy: &str, outcome: &str, class: Option<Class>, mode: &str, count| {
        let labels = [
            ("service", service),
            ("policy", policy),
            ("outcome", outcome),
            ("class", class.map_or("", Class::name)),
            ("mode", mode),
        ];
        out.sample("_total", &labels, count);
    };
    for class in Class::ALL {
        for (cause, total) in protection.refused_of(class) {
            // What the limiter refuses is given from the start, for the reason of `CAUSES_ALWAYS`.
            let shown = cause == Cause::Shed && protection.limits();
            if let (Some(policy), true) = (refusing_policy(cause), shown || total > 0) {
                sample(policy, cause.name(), Some(class), "enforce", total);
            }
        }
    }
    for (mode, actions) in [("enforce", &protection.did), ("observe", &protection.would)] {
        for action in actions {
            sample(
                &action.policy,
                &action.outcome,
                action.class,
                mode,
                action.count,
            );
        }
    }
}

fn endpoints(out: &mut Exposition, readings: &[Reading], snapshot: &Snapshot) {
    out.family(
        "plimsoll_endpoint_up",
        Kind::Gauge,
        "1 if the endpoint gets requests, 0 if not; absent while nothing is known about it.",
    );
    for service in &snapshot.services {
        for endpoint in &service.endpoints {
            if endpoint.state != EndpointState::Unknown {
                let labels = [
                    ("service", service.name.as_str()),
                    ("endpoint", &endpoint.name),
                ];
                out.sample("", &labels, u64::from(endpoint.state.serves()));
            }
        }
    }
    out.family(
        "plimsoll_endpoint_requests",
        Kind::Counter,
        "Attempts at an endpoint by outcome.",
    );
    for reading in readings {
        let SeriesKey::Endpoint { service, endpoint } = &reading.key else {
            continue;
        };
        let causes = reading.totals.causes();
        for outcome in [Outcome::Good, Outcome::Bad, Outcome::Excluded] {
            let labels = [
                ("service", service.as_str()),
                ("endpoint", endpoint),
                ("outcome", outcome.name()),
            ];
            out.sample("_total", &labels, causes.with_outcome(outcome));
        }
    }
}

fn governed(out: &mut Exposition, snapshot: &Snapshot) {
    let services = || {
        let services = snapshot.services.iter();
        services.filter_map(|it| Some((it.name.as_str(), it.governed.as_ref()?)))
    };
    out.family(
        "plimsoll_condition",
        Kind::Gauge,
        "1 for the condition that the service is in.",
    );
    for (service, governed) in services() {
        for condition in Condition::ALL {
            let labels = [("service", service), ("condition", condition.name())];
            let is = f64::from(u8::from(governed.condition == condition));
            out.sample("", &labels, is);
        }
    }
    out.family(
        "plimsoll_governor_step",
        Kind::Gauge,
        "How far an actuator is moved, or would be, in steps; absent where it is not.",
    );
    for (service, governed) in services() {
        let mode = governed.mode.name();
        for moved in &governed.moved {
            let labels = [
                ("service", service),
                ("actuator", moved.actuator.as_str()),
                ("mode", mode),
            ];
            out.sample("", &labels, f64::from(moved.step));
        }
    }
    out.family(
        "plimsoll_brownout_level",
        Kind::Gauge,
        "How many optional features are dimmed: at 1.25 the first for all, the second for a quarter of users; absent where there are none.",
    );
    for (service, governed) in services() {
        if let Some(brownout) = &governed.brownout {
            out.sample("", &[("service", service)], brownout.level);
        }
    }
    out.family(
        "plimsoll_overlay_entries",
        Kind::Gauge,
        "What people have set for a while, by service.",
    );
    for service in &snapshot.services {
        let entries = snapshot.overlay.iter();
        let count = entries.filter(|it| it.service == service.name).count();
        out.sample("", &[("service", service.name.as_str())], count as f64);
    }
    out.family(
        "plimsoll_frozen",
        Kind::Gauge,
        "Whether nothing risky is changed of a service: 1, else 0; what the governor would freeze is 0.",
    );
    for service in &snapshot.services {
        let mut freezes = snapshot.freezes.iter();
        let is_frozen = freezes.any(|it| it.acts && it.covers(&service.name));
        let labels = [("service", service.name.as_str())];
        out.sample("", &labels, f64::from(u8::from(is_frozen)));
    }
    out.family(
        "plimsoll_approvals_waiting",
        Kind::Gauge,
        "Requests that wait for the approval of others.",
    );
    out.sample("", &[], snapshot.approvals.len() as f64);
}

fn objectives(out: &mut Exposition, readings: &[Reading], snapshot: &Snapshot) {
    let counted: Vec<_> = readings
        .iter()
        .filter_map(|reading| match &reading.key {
            SeriesKey::Service(service) => Some((service, reading)),
            _ => None,
        })
        .flat_map(|(service, reading)| {
            let objectives = reading.objectives.iter().zip(&reading.totals.objectives);
            objectives.map(move |((spec, _), tally)| {
                (
                    [
                        ("service", service.as_str()),
                        ("objective", spec.name.as_str()),
                    ],
                    tally,
                )
            })
        })
        .collect();
    out.family(
        "plimsoll_objective_good",
        Kind::Counter,
        "Requests that were good for the objective.",
    );
    for (labels, tally) in &counted {
        out.sample("_total", labels, tally.good);
    }
    out.family(
        "plimsoll_objective_bad",
        Kind::Counter,
        "Requests that were bad for the objective.",
    );
    for (labels, tally) in &counted {
        out.sample("_total", labels, tally.bad);
    }

    governed(out, snapshot);

    let shown = || {
        snapshot.services.iter().flat_map(|service| {
            service
                .objectives
                .iter()
                .map(move |objective| (service.name.as_str(), objective))
        })
    };
    out.family(
        "plimsoll_objective_target_ratio",
        Kind::Gauge,
        "The share of requests that must be good.",
    );
    for (service, objective) in shown() {
        out.sample(
            "",
            &[("service", service), ("objective", &objective.name)],
            objective.target,
        );
    }
    out.family(
        "plimsoll_budget_left_ratio",
        Kind::Gauge,
        "The share of the period's error budget that is left, at the traffic so far; negative if overspent, absent without traffic.",
    );
    for (service, objective) in shown() {
        if let Some(left) = objective.budget_left {
            out.sample(
                "",
                &[("service", service), ("objective", &objective.name)],
                left,
            );
        }
    }
    out.family(
        "plimsoll_burn_rate",
        Kind::Gauge,
        "Error budget spent per budget granted over the window, as far as it was observed; absent without traffic.",
    );
    for (service, objective) in shown() {
        for burn in &objective.burn {
            if let Some(rate) = burn.rate {
                let labels = [
                    ("service", service),
                    ("objective", &objective.name),
                    ("window", &burn.window),
                ];
                out.sample("", &labels, rate);
            }
        }
    }
}

fn journeys(out: &mut Exposition, snapshot: &Snapshot) {
    let journeys = &snapshot.journeys;
    if journeys.is_empty() {
        return;
    }
    out.family(
        "plimsoll_journey_target_ratio",
        Kind::Gauge,
        "The share of journeys that must succeed.",
    );
    for journey in journeys {
        out.sample("", &[("journey", &journey.name)], journey.target);
    }
    out.family(
        "plimsoll_journey_budget_left_ratio",
        Kind::Gauge,
        "The share of the period's error budget that is left to the journey; negative if overspent, absent while a step has no traffic.",
    );
    for journey in journeys {
        if let Some(left) = journey.budget_left {
            out.sample("", &[("journey", &journey.name)], left);
        }
    }
    out.family(
        "plimsoll_journey_burn_rate",
        Kind::Gauge,
        "Error budget of the journey spent per budget granted over the window; absent while a step has no traffic.",
    );
    for journey in journeys {
        for burn in &journey.burn {
            if let Some(rate) = burn.rate {
                let labels = [("journey", journey.name.as_str()), ("window", &burn.window)];
                out.sample("", &labels, rate);
            }
        }
    }
}

fn journal(out: &mut Exposition, snapshot: &Snapshot) {
    let Some(journal) = &snapshot.journal else {
        return;
    };
    out.family(
        "plimsoll_store_up",
        Kind::Gauge,
        "1 while the store is open and takes what is written, 0 if not.",
    );
    let up = journal.open && journal.failure.is_none();
    out.sample("", &[], u64::from(up));
    out.family(
        "plimsoll_journal_records",
        Kind::Counter,
        "Records of the journal that were written.",
    );
    out.sample("_total", &[], journal.records_total);
    out.family(
        "plimsoll_journal_waiting",
        Kind::Gauge,
        "Records of the journal that wait in memory for the store.",
    );
    out.sample("", &[], journal.waiting);
    out.family(
        "plimsoll_journal_lost",
        Kind::Counter,
        "Records of the journal that were lost.",
    );
    out.sample("_total", &[], journal.lost_total);
}

fn notifiers(out: &mut Exposition, snapshot: &Snapshot) {
    if snapshot.notifiers.is_empty() {
        return;
    }
    out.family(
        "plimsoll_notifications",
        Kind::Counter,
        "Messages to those who are called, by what came of each attempt.",
    );
    for notifier in &snapshot.notifiers {
        for (result, total) in [
            ("delivered", notifier.delivered_total),
            ("failed", notifier.failed_total),
            ("refused", notifier.refused_total),
            ("given-up", notifier.given_up_total),
        ] {
            let labels = [("target", notifier.name.as_str()), ("result", result)];
            out.sample("_total", &labels, total);
        }
    }
    out.family(
        "plimsoll_notifications_waiting",
        Kind::Gauge,
        "What waits to be told.",
    );
    for notifier in &snapshot.notifiers {
        out.sample("", &[("target", &notifier.name)], notifier.waiting);
    }
    out.family(
        "plimsoll_notifier_up",
        Kind::Gauge,
        "0 while the last attempt failed, else 1.",
    );
    for notifier in &snapshot.notifiers {
        let up = u64::from(notifier.failing.is_none());
        out.sample("", &[("target", &notifier.name)], up);
    }
}

fn about(out: &mut Exposition, snapshot: &Snapshot, process: &ProcessView) {
    out.family("plimsoll_build", Kind::Info, "The program.");
    out.sample(
        "_info",
        &[
            ("version", &snapshot.version),
            ("instance", &snapshot.instance),
        ],
        1_u64,
    );
    out.family(
        "plimsoll_config_loaded_timestamp_seconds",
        Kind::Gauge,
        "When the configuration in force was loaded.",
    );
    out.sample("", &[], snapshot.config.loaded_at.as_seconds());
    out.family(
        "plimsoll_access_log_dropped",
        Kind::Counter,
        "Access log lines that were not written.",
    );
    out.sample("_total", &[], process.access_log_dropped);
    out.family(
        "plimsoll_never",
        Kind::Counter,
        "Invariants that did not hold: each is a bug.",
    );
    out.sample("_total", &[], never_count());

    if let Some(seconds) = process.cpu_seconds {
        out.family(
            "process_cpu_seconds",
            Kind::Counter,
            "User and system time.",
        );
        out.sample("_total", &[], seconds);
    }
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Memory in use.",
            process.resident_bytes,
        ),
        (
            "process_open_fds",
            "Open file descriptors.",
            process.open_fds,
        ),
        (
            "process_max_fds",
            "How many file descriptors may be open.",
            process.max_fds,
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            out.family(name, Kind::Gauge, help);
            out.sample("", &[], value);
        }
    }
    if let Some(seconds) = process.start_time_seconds {
        out.family(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the process started, since the epoch.",
        );
        out.sample("", &[], seconds);
    }
}

#[cfg(test)]
mod tests;
