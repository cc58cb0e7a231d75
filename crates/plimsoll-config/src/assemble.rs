//! Values of the scheme to the model.
//!
//! Everything returns `None` where a value is missing or was wrong, which has been reported before: a
//! whole [`Config`] comes out only where nothing was.

mod approval;
mod flags;
mod governor;
mod notify;
mod protect;
mod queue;
mod rollout;
mod tenant;

use std::collections::BTreeMap;

use plimsoll_core::{Class, Mode};
use plimsoll_measure::{Begins, Calendar, Maintenance, Period};

use crate::model::*;
use crate::node::{Fields, Node, Value};
use crate::page::Template;
use crate::pattern::{HostPattern, PathPattern};
use crate::scheme::FileKind;

pub(crate) use approval::time;
pub(crate) use governor::dependency;
pub(crate) use protect::{hedge_mode, is_tried_again};
pub(crate) use queue::dead_letters;
pub(crate) use tenant::{rate_burst, rate_name};

/// The whole file.
pub(crate) fn config(file: &Fields) -> Option<Config> {
    let gateway = file.table("gateway")?;
    let listen = gateway
        .list("listen")
        .iter()
        .map(|node| listener(node.as_table()?))
        .collect::<Option<_>>()?;
    let services = file.table("service")?.iter();
    let routes = file.list("route");
    let queue: BTreeMap<String, QueueConfig> = file
        .table("queue")?
        .iter()
        .map(|(name, field)| Some((name.to_owned(), queue::queue(field.node.as_table()?)?)))
        .collect::<Option<_>>()?;
    Some(Config {
        state_path: file.table("state")?.file("path"),
        gateway: Gateway {
            listen,
            trusted: gateway
                .list("trusted")
                .iter()
                .map(network)
                .collect::<Option<_>>()?,
            mode: mode(gateway)?,
            drain: gateway.duration("drain")?,
            threads: gateway.count("threads"),
            limits: limits(gateway.table("limits")?)?,
            cache: cache_store(gateway.table("cache")?)?,
            log: log(gateway.table("log")?)?,
        },
        ops_listen: file.table("ops")?.address("listen")?,
        console_listen: file.table("console")?.address("listen")?,
        journal_keep: file.table("journal")?.duration("keep")?,
        governor: governor::governor(file.table("governor")?)?,
        maintenances: file
            .table("maintenance")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), maintenance(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        journeys: file
            .table("journey")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), journey(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        rollouts: file
            .table("rollout")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), rollout::rollout(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        flags: flags::flags(file.table("flags")?)?,
        approvals: file
            .table("approval")?
            .iter()
            .map(|(name, field)| approval::rule(name, field.node.as_table()?))
            .collect::<Option<_>>()?,
        freezes: file
            .table("freeze")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), approval::freeze(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        queues: queue::queues(file.node("queues")?, !queue.is_empty())?,
        queue,
        notifiers: file
            .table("notify")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), notify::notifier(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        services: services
            .map(|(name, field)| Some((name.to_owned(), service(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        tenants: file
            .table("tenant")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), tenant::tenant(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        routes: routes
            .iter()
            .enumerate()
            .map(|(place, node)| route(node, place))
            .collect::<Option<_>>()?,
    })
}

fn mode(fields: &Fields) -> Option<Mode> {
    Some(match fields.word("mode")? {
        "enforce" => Mode::Enforce,
        "observe" => Mode::Observe,
        "off" => Mode::Off,
        _ => return None,
    })
}

fn class(node: &Node) -> Option<Class> {
    let Value::Word(word) = node.value else {
        return None;
    };
    Class::ALL.into_iter().find(|it| it.name() == word)
}

fn network(node: &Node) -> Option<Network> {
    match node.value {
        Value::Network(network) => Some(network),
        _ => None,
    }
}

fn texts(nodes: &[Node]) -> Option<Vec<String>> {
    nodes
        .iter()
        .map(|node| node.as_text().map(str::to_owned))
        .collect()
}

fn text_map(fields: &Fields) -> Option<BTreeMap<String, String>> {
    fields
        .iter()
        .map(|(name, field)| Some((name.to_owned(), field.node.as_text()?.to_owned())))
        .collect()
}

fn listener(fields: &Fields) -> Option<Listener> {
    Some(Listener {
        address: fields.address("address")?,
        tls: fields
            .list("tls")
            .iter()
            .map(|node| certificate(node.as_table()?))
            .collect::<Option<_>>()?,
        proxy_protocol: fields.boolean("proxy_protocol")?,
    })
}

fn certificate(fields: &Fields) -> Option<Certificate> {
    Some(Certificate {
        certificate: fields.file("certificate")?,
        key: fields.file("key")?,
    })
}

fn limits(fields: &Fields) -> Option<Limits> {
    Some(Limits {
        header_bytes_max: usize::try_from(fields.size("header_bytes_max")?).ok()?,
        headers_max: fields.count("headers_max")?,
        uri_bytes_max: usize::try_from(fields.size("uri_bytes_max")?).ok()?,
        body_bytes_max: fields.size("body_bytes_max"),
        head_time_max: fields.duration("head_time_max")?,
        idle_time_max: fields.duration("idle_time_max")?,
        connections_max: fields.count("connections_max")?,
        connections_per_address_max: fields.count("connections_per_address_max"),
        streams_max: fields.count("streams_max")?,
        memory_max: fields.size("memory_max"),
    })
}

fn cache_store(fields: &Fields) -> Option<CacheStore> {
    Some(CacheStore {
        memory_max: fields.size("memory_max")?,
        disk_max: fields.size("disk_max"),
    })
}

fn log(fields: &Fields) -> Option<AccessLog> {
    let to = match &fields.node("to")?.value {
        Value::Word("stdout") => LogTarget::Stdout,
        Value::Word("off") => LogTarget::Off,
        Value::File(path, _) => LogTarget::File(path.clone()),
        _ => return None,
    };
    Some(AccessLog {
        to,
        sample: fields.percent("sample")?,
        slow: fields.duration("slow")?,
        redact: texts(fields.list("redact"))?,
    })
}

fn service(fields: &Fields) -> Option<Service> {
    let objectives = fields.table("objective")?.iter();
    Some(Service {
        owner: fields.text("owner").map(str::to_owned),
        runbook: match fields.file("runbook") {
            Some(path) => Some(Runbook::File(path)),
            None => fields
                .text("runbook")
                .map(|url| Runbook::Url(url.to_owned())),
        },
        tier: fields.count("tier")?,
        endpoints: fields
            .list("endpoints")
            .iter()
            .map(endpoint)
            .collect::<Option<_>>()?,
        versions: fields
            .table("version")?
            .iter()
            .map(|(name, field)| Some((name.to_owned(), rollout::version(field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        tls: upstream_tls(fields.table("tls")?)?,
        protocol: match fields.word("protocol")? {
            "auto" => UpstreamProtocol::Auto,
            "http1" => UpstreamProtocol::Http1,
            "http2" => UpstreamProtocol::Http2,
            _ => return None,
        },
        balance: balance(fields.table("balance")?)?,
        health: match fields.table("health") {
            Some(fields) => health(fields)?,
            None => None,
        },
        objectives: objectives
            .map(|(name, field)| Some((name.to_owned(), objective(name, field.node.as_table()?)?)))
            .collect::<Option<_>>()?,
        depends_on: fields
            .list("depends_on")
            .iter()
            .map(|node| dependency(node).map(str::to_owned))
            .collect::<Option<_>>()?,
        protect: protect::protect(fields.table("protect")?)?,
        degrade: degrade(fields.table("degrade")?)?,
        freeze: fields.boolean("freeze")?,
    })
}

fn degrade(fields: &Fields) -> Option<Degrade> {
    let read_only = fields.table("read_only")?;
    Some(Degrade {
        read_only: ReadOnly {
            status: read_only.count("status")?,
            retry_after: read_only.duration("retry_after")?,
            governor: read_only.boolean("governor")?,
        },
        brownout: texts(fields.list("brownout"))?,
        switches: text_map(fields.table("switches")?)?,
        stale: fields.duration("stale")?,
    })
}

fn upstream_tls(fields: &Fields) -> Option<UpstreamTls> {
    Some(UpstreamTls {
        ca: fields.file("ca"),
        server_name: fields.text("server_name").map(str::to_owned),
        client: match fields.table("client") {
            Some(client) => Some(certificate(client)?),
            None => None,
        },
    })
}

pub(crate) fn endpoint(node: &Node) -> Option<Endpoint> {
    match &node.value {
        Value::Endpoint(endpoint) => Some(endpoint.clone()),
        _ => None,
    }
}

fn balance(fields: &Fields) -> Option<Balance> {
    Some(match fields.word("kind")? {
        "least-loaded" => Balance::LeastLoaded,
        "round-robin" => Balance::RoundRobin,
        "consistent-hash" => {
            Balance::ConsistentHash(match fields.node("by").map(|node| &node.value) {
                None | Some(Value::Word("address")) => HashKey::Address,
                Some(Value::Word("path")) => HashKey::Path,
                Some(Value::Table(header)) => HashKey::Header(header.text("header")?.to_owned()),
                Some(_) => return None,
            })
        }
        _ => return None,
    })
}

fn health(fields: &Fields) -> Option<Option<Health>> {
    let check = match fields.word("kind")? {
        "http" => HealthCheck::Http {
            path: fields.text("path")?.to_owned(),
        },
        "tcp" => HealthCheck::Tcp,
        "grpc" => HealthCheck::Grpc {
            service: fields.text("service").unwrap_or_default().to_owned(),
        },
        "none" => return Some(None),
        _ => return None,
    };
    Some(Some(Health {
        check,
        interval: fields.duration("interval")?,
        timeout: fields.duration("timeout")?,
        failures_max: fields.count("failures_max")?,
        successes_min: fields.count("successes_min")?,
    }))
}

/// The kind of the objective called `name`; `None` where neither says it.
pub(crate) fn objective_kind<'a>(name: &'a str, fields: &Fields) -> Option<&'a str> {
    fields
        .word("kind")
        .or_else(|| matches!(name, "availability" | "latency").then_some(name))
}

fn objective(name: &str, fields: &Fields) -> Option<Objective> {
    Some(Objective {
        kind: match objective_kind(name, fields)? {
            "availability" => ObjectiveKind::Availability,
            "latency" => ObjectiveKind::Latency {
                below: fields.duration("below")?,
            },
            _ => return None,
        },
        target: fields.percent("target")?,
        period: period(fields)?,
        routes: texts(fields.list("routes"))?,
        classes: fields
            .list("classes")
            .iter()
            .map(class)
            .collect::<Option<_>>()?,
    })
}

fn maintenance(fields: &Fields) -> Option<Maintenance> {
    Some(Maintenance {
        services: texts(fields.list("services"))?,
        begins: match (fields.text("from"), fields.text("every")) {
            (Some(from), None) => Begins::once(from)?,
            (None, Some(every)) => Begins::weekly(every)?,
            _ => return None,
        },
        lasts: fields.duration("for")?,
    })
}

fn journey(fields: &Fields) -> Option<Journey> {
    Some(Journey {
        owner: fields.text("owner").map(str::to_owned),
        services: texts(fields.list("services"))?,
        objective: fields.text("objective")?.to_owned(),
        target: fields.percent("target")?,
    })
}

/// What an objective's budget is for.
pub(crate) fn period(objective: &Fields) -> Option<Period> {
    match objective.node("period")?.value {
        Value::Duration(length) => Some(Period::Rolling(length)),
        Value::Word(word) => {
            let mut all = Calendar::ALL.into_iter();
            all.find(|it| it.name() == word).map(Period::Calendar)
        }
        _ => None,
    }
}

/// The name of the route at `place` in the file: its own, or one by its place.
pub(crate) fn route_name(route: &Fields, place: usize) -> String {
    route
        .text("name")
        .map_or_else(|| format!("route-{}", place + 1), str::to_owned)
}

/// The route at `place` in the file.
pub(crate) fn route(node: &Node, place: usize) -> Option<Route> {
    let fields = node.as_table()?;
    let headers = fields.table("headers")?.iter();
    let deadline = fields.table("deadline")?;
    Some(Route {
        name: route_name(fields, place),
        host: match fields.node("host").map(|node| &node.value) {
            None => HostPattern::Any,
            Some(Value::Host(host)) => host.clone(),
            Some(_) => return None,
        },
        path: match fields.node("path").map(|node| &node.value) {
            None => PathPattern::ALL,
            Some(Value::Path(path)) => path.clone(),
            Some(_) => return None,
        },
        methods: texts(fields.list("methods"))?,
        headers: headers
            .map(|(name, field)| match &field.node.value {
                Value::Text(value) => Some((name.to_owned(), Some(value.clone()))),
                Value::Present => Some((name.to_owned(), None)),
                _ => None,
            })
            .collect::<Option<BTreeMap<_, _>>>()?,
        flag: match fields.table("flag") {
            Some(flag) => Some(rollout::flag_variant(flag)?),
            None => None,
        },
        action: match (fields.text("service"), fields.table("redirect")) {
            (Some(service), None) => RouteAction::Service(service.to_owned()),
            (None, Some(fields)) => RouteAction::Redirect(redirect(fields)?),
            _ => return None,
        },
        class: class(fields.node("class")?)?,
        tenant_header: match fields.table("tenant") {
            Some(tenant) => Some(tenant.text("header")?.to_owned()),
            None => None,
        },
        rate: fields
            .list("rate")
            .iter()
            .enumerate()
            .map(|(place, node)| tenant::rate(node.as_table()?, place))
            .collect::<Option<_>>()?,
        deadline: DeadlineOverride {
            head: deadline.duration("head"),
            idle: deadline.duration("idle"),
            total: deadline.duration("total"),
        },
        rewrite: rewrite(fields.table("rewrite")?)?,
        cache: match fields.table("cache") {
            Some(fields) => Some(cache(fields)?),
            None => None,
        },
        fallback: match fields.table("fallback") {
            Some(fields) => Some(fallback(fields)?),
            None => None,
        },
        feature: fields.text("feature").map(str::to_owned),
    })
}

fn fallback(fields: &Fields) -> Option<Fallback> {
    let mut pages = fields
        .iter()
        .filter_map(|(_, field)| match &field.node.value {
            Value::File(path, FileKind::Page(kind)) => Some((field.key_span.start, path, *kind)),
            _ => None,
        })
        .collect::<Vec<_>>();
    // As they are written.
    pages.sort_by_key(|(start, ..)| *start);
    let pages: Vec<FallbackPage> = pages
        .into_iter()
        .map(|(_, path, kind)| FallbackPage {
            path: path.clone(),
            template: Template::empty(kind),
        })
        .collect();
    match (fields.text("service"), pages.is_empty()) {
        (Some(service), true) => Some(Fallback::Service(service.to_owned())),
        (None, false) => Some(Fallback::Page {
            pages,
            status: fields.count("status"),
        }),
        // It has been reported.
        _ => None,
    }
}

fn cache(fields: &Fields) -> Option<Cache> {
    let query = fields.table("query")?;
    Some(Cache {
        bytes_max: fields.size("bytes_max")?,
        stale: fields.duration("stale"),
        negative: fields.duration("negative")?,
        heuristic_max: fields.duration("heuristic_max")?,
        query: match (query.has("only"), query.has("without")) {
            (false, false) => CacheQuery::All,
            (true, false) => CacheQuery::Only(texts(query.list("only"))?),
            (false, true) => CacheQuery::Without(texts(query.list("without"))?),
            // It has been reported.
            (true, true) => return None,
        },
        query_sorted: query.boolean("sorted")?,
        strips_set_cookie: match fields.word("set_cookie")? {
            "refuse" => false,
            "without" => true,
            _ => return None,
        },
    })
}

fn redirect(fields: &Fields) -> Option<Redirect> {
    Some(Redirect {
        scheme: fields.word("scheme").map(str::to_owned),
        host: fields.text("host").map(str::to_owned),
        path: fields.text("path").map(str::to_owned),
        status: fields.count("status")?,
    })
}

fn rewrite(fields: &Fields) -> Option<Rewrite> {
    let request = fields.table("request")?;
    let response = fields.table("response")?;
    let pairs = |fields: &Fields| -> Option<Vec<(String, String)>> {
        fields
            .iter()
            .map(|(name, field)| Some((name.to_owned(), field.node.as_text()?.to_owned())))
            .collect()
    };
    Some(Rewrite {
        strip_prefix: fields.text("strip_prefix").map(str::to_owned),
        host: fields.text("host").map(str::to_owned),
        request_set: pairs(request.table("set")?)?,
        request_add: pairs(request.table("add")?)?,
        request_remove: texts(request.list("remove"))?,
        response_set: pairs(response.table("set")?)?,
        response_add: pairs(response.table("add")?)?,
        response_remove: texts(response.list("remove"))?,
    })
}
