//! How much may go wrong because of a difference, and what.
//!
//! Whoever is not listed serves requests in another way: that is a low risk. Elsewhere: queues (`risk/queues.rs`).

mod queues;

use super::walk::File;
use super::{AlterationKind, Risk};
use crate::model::{Route, RouteAction};
use crate::node::{Node, Value};
use crate::pattern::{HostPattern, PathPattern, Segment};

/// What is different.
pub(super) struct About<'a> {
    /// `service`, `route`, ...; empty in the file itself.
    pub(super) noun: &'static str,
    /// From the thing on; empty: it is the thing itself.
    pub(super) key: &'a str,
    pub(super) before: Option<&'a Node>,
    pub(super) after: Option<&'a Node>,
    /// Of a list: the elements that are not there any more.
    pub(super) gone: &'a [&'a Node],
    /// Those that were not there.
    pub(super) new: &'a [&'a Node],
    /// How many stay.
    pub(super) left: usize,
}

/// How a value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Lower,
    Higher,
    /// There was a bound, and there is none now.
    Unbound,
    /// There was none.
    Bound,
    Other,
}

type Judged = (Risk, String);

pub(super) fn judge(
    about: &About<'_>,
    kind: AlterationKind,
    before: &File,
    after: &File,
) -> Judged {
    let key = without_places(about.key);
    let key = key.as_str();
    if key == "mode" || key.ends_with(".mode") {
        return mode(about);
    }
    match about.noun {
        "" => file(about, key, kind),
        "service" => service(about, key, kind),
        "objective" => objective(about, key, kind),
        "route" => route(about, key, kind, before, after),
        "tenant" => tenant(about, key, kind),
        "queue" => queues::queue(about, key, kind),
        "notifier" if kind == AlterationKind::Removed && key.is_empty() => {
            high("nobody is called by it any more")
        }
        "notifier" if !matches!(key, "owners" | "interval") => {
            low("who was called there may not be any more")
        }
        "notifier" | "journey" | "maintenance" => none("no request notices it"),
        "approval" if kind == AlterationKind::Added && key.is_empty() => {
            none("no request notices it")
        }
        "approval" => high("what needs the approval of others may need it no more, or of fewer"),
        "freeze" if kind == AlterationKind::Added && key.is_empty() => {
            none("no request notices it")
        }
        "freeze" if key == "why" => none("no request notices it"),
        "freeze" => high("what was frozen may not be any more"),
        _ if kind == AlterationKind::Removed && key.is_empty() => high("it is gone"),
        _ => low("requests are served in another way"),
    }
}

fn high(why: &str) -> Judged {
    (Risk::High, why.to_owned())
}

fn low(why: &str) -> Judged {
    (Risk::Low, why.to_owned())
}

fn none(why: &str) -> Judged {
    (Risk::None, why.to_owned())
}

/// `gateway.listen[127.0.0.1:80].tls` is `gateway.listen[].tls`.
fn without_places(key: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_u32;
    for char in key.chars() {
        match char {
            '[' => {
                depth += 1;
                out.push('[');
            }
            ']' => {
                depth = depth.saturating_sub(1);
                out.push(']');
            }
            _ if depth > 0 => (),
            char => out.push(char),
        }
    }
    out
}

fn word(node: Option<&Node>) -> Option<&'static str> {
    match node?.value {
        Value::Word(word) => Some(word),
        _ => None,
    }
}

fn number(node: Option<&Node>) -> Option<f64> {
    match &node?.value {
        Value::Duration(duration) => Some(duration.as_secs_f64()),
        Value::Size(count) | Value::Count(count) => Some(*count as f64),
        Value::Percent(share) => Some(share.get()),
        Value::Number(number) => Some(*number),
        Value::Rate(rate) => Some(rate.per_second()),
        _ => None,
    }
}

fn way(about: &About<'_>) -> Way {
    match (number(about.before), number(about.after)) {
        (Some(before), Some(after)) if after < before => Way::Lower,
        (Some(_), Some(_)) => Way::Higher,
        (Some(_), None) => Way::Unbound,
        (None, Some(_)) => Way::Bound,
        _ => Way::Other,
    }
}

/// Something that holds requests back where there are too many.
fn bound(about: &About<'_>) -> Judged {
    match way(about) {
        Way::Lower => high("the limit is lower: what is above it is refused"),
        Way::Bound => high("there was no such limit: what is above it is refused"),
        Way::Unbound => high("there is no such limit any more"),
        _ => low("more than before may be there at once"),
    }
}

/// How long something may take.
fn time(about: &About<'_>) -> Judged {
    match way(about) {
        Way::Lower | Way::Bound => high("what takes longer fails now"),
        _ => low("what is slow holds its place for longer"),
    }
}

fn mode(about: &About<'_>) -> Judged {
    let rank = |node| match word(node) {
        Some("enforce") => 2,
        Some("observe") => 1,
        _ => 0,
    };
    match rank(about.after) < rank(about.before) {
        true => high("it does not act any more"),
        false => low("it acts from now on, or decides and counts"),
    }
}

fn file(about: &About<'_>, key: &str, kind: AlterationKind) -> Judged {
    let is_removed = kind == AlterationKind::Removed;
    if let Some(key) = key.strip_prefix("queues.") {
        return queues::queues(about, key, kind);
    }
    match key {
        "flags.user" | "flags.file" | "flags.managed" | "flags.fractional" => high(
            "others have a variant: routes and features that go by flags, and clients, get another one",
        ),
        _ if key.starts_with("flags.user.") || key.starts_with("flags.attributes") => {
            high("others take routes by flags, and others have features off")
        }
        "gateway.listen[]" if is_removed => high("who connects there is refused"),
        "gateway.listen[]" => low("requests are accepted there too"),
        "gateway.listen[].tls[]" if is_removed => high(
            "clients are not shown this certificate any more; without any, they are spoken to in cleartext",
        ),
        "gateway.listen[].proxy_protocol" => {
            high("who does not connect in this way is turned away")
        }
        _ if key.starts_with("gateway.listen[].tls") => {
            low("clients are shown another certificate")
        }
        "gateway.trusted" if !about.new.is_empty() => {
            high("more peers are believed who a client is, its class and its deadline")
        }
        "gateway.trusted" => low("what these peers say of clients is not believed any more"),
        "gateway.drain" | "gateway.threads" => none("no request notices it before the end"),
        "gateway.limits.head_time_max" | "gateway.limits.idle_time_max" => time(about),
        _ if key.starts_with("gateway.limits.") => bound(about),
        "gateway.log.redact" if !about.gone.is_empty() => {
            high("values of these headers are written to the access log")
        }
        _ if key.starts_with("gateway.log.") => none("no request notices it"),
        "ops.listen" | "console.listen" => low("who asks there must ask elsewhere"),
        "state.path" => high(
            "it takes effect with the next start, which knows nothing of what was kept until then",
        ),
        "journal.keep" if way(about) == Way::Lower => high("older records are deleted for good"),
        "journal.keep" => none("no request notices it"),
        _ if key.starts_with("governor.") => low("other actuators may be moved, or at other times"),
        _ => low("requests are served in another way"),
    }
}

fn service(about: &About<'_>, key: &str, kind: AlterationKind) -> Judged {
    match key {
        "" if kind == AlterationKind::Removed => high("nothing is sent to it any more"),
        "" => low("it gets what routes send to it"),
        "owner" | "runbook" => none("no request notices it"),
        "freeze" => low("whether it is frozen when its budget is gone changes with it"),
        _ if key.starts_with("degrade.switches") => {
            high("a flag switches other features off, or none any more")
        }
        "tier" | "depends_on" => low("who is called and what may be moved changes with it"),
        "endpoints" => endpoints(about),
        "protocol" => high("an endpoint that does not speak it fails every request"),
        _ if key.starts_with("tls") => {
            high("an endpoint whose certificate does not fit fails every request")
        }
        "health" if kind == AlterationKind::Removed => {
            high("only requests that fail show that an endpoint is down")
        }
        "protect.limiter.kind" => limiter(about),
        "protect.limiter.max"
        | "protect.limiter.limit"
        | "protect.queue.requests_max"
        | "protect.queue.wait" => bound(about),
        _ if key.starts_with("protect.bulkhead.") => bound(about),
        _ if key.starts_with("protect.deadline.") => time(about),
        "protect.connect_time_max" => time(about),
        "protect.retry.attempts" | "protect.retry.budget" | "protect.retry.floor" => {
            match way(about) {
                Way::Lower => low("more failures reach clients"),
                _ => low("a service that fails gets more requests"),
            }
        }
        _ => low("requests are served in another way"),
    }
}

fn endpoints(about: &About<'_>) -> Judged {
    let speaks_tls = |node: &&&Node| matches!(&node.value, Value::Endpoint(it) if it.tls);
    let in_clear = |node: &&&Node| matches!(&node.value, Value::Endpoint(it) if !it.tls);
    if about.gone.iter().any(|it| speaks_tls(&it)) && about.new.iter().any(|it| in_clear(&it)) {
        return high("requests go to it in cleartext, without TLS");
    }
    match (about.gone.len(), about.left) {
        (0, _) => low("it gets its share of requests at once"),
        (_, 0) => high("no endpoint stays: all requests go to others"),
        _ => high("what these endpoints carried, others must"),
    }
}

fn limiter(about: &About<'_>) -> Judged {
    match (word(about.before), word(about.after), way(about)) {
        (_, Some("off"), _) => high("there is no limit any more"),
        (Some("off"), ..) => high("there was no limit: what is above it is refused"),
        (Some("adaptive"), _, _) => high("the limit does not follow what the service can do"),
        (_, _, Way::Lower) => high("the limit is lower: what is above it waits or is refused"),
        _ => low("more than before may be in flight"),
    }
}

fn objective(about: &About<'_>, key: &str, kind: AlterationKind) -> Judged {
    match (key, kind, way(about)) {
        ("", AlterationKind::Removed, _) => high("nobody is called for it any more"),
        ("", ..) => low("its budget counts from now on, and somebody may be called"),
        ("target", _, Way::Lower) => {
            high("less is promised: more may be bad before anybody is called")
        }
        ("below", _, Way::Higher) => high("less is promised: slower answers are good"),
        ("period", _, Way::Lower) => high("a bad day is forgotten sooner"),
        ("target" | "below", ..) => low("more is promised: the budget is spent sooner"),
        ("period", ..) => low("the budget is for another time"),
        _ => high("it counts other requests"),
    }
}

fn tenant(about: &About<'_>, key: &str, kind: AlterationKind) -> Judged {
    match (key, kind) {
        ("", AlterationKind::Removed) => high("its callers share what is left to unknown ones"),
        _ if key.starts_with("keys") && about.before.is_some() => {
            high("callers with a key that is gone are not known any more")
        }
        _ => low("shares between callers change with it"),
    }
}

fn route(
    about: &About<'_>,
    key: &str,
    kind: AlterationKind,
    before: &File,
    after: &File,
) -> Judged {
    match key {
        "" => whole_route(about, kind, before, after),
        "name" => none("no request notices it"),
        "host" | "path" | "methods" => high("it takes other requests"),
        "service" | "redirect" => high("its requests go elsewhere"),
        _ if key.starts_with("headers") || key.starts_with("flag") => {
            high("it takes other requests")
        }
        _ if key.starts_with("redirect.") => high("its requests go elsewhere"),
        "class" => class(about),
        "rate[]" if kind == AlterationKind::Added => high("what is above it is refused"),
        "rate[]" => high("nothing holds callers back to it any more"),
        "rate[].limit" | "rate[].burst" => bound(about),
        _ if key.starts_with("deadline") => time(about),
        "cache" if kind == AlterationKind::Removed => {
            high("its service must answer what stored answers did")
        }
        _ => low("requests are served in another way"),
    }
}

fn class(about: &About<'_>) -> Judged {
    let rank = |node| match word(node) {
        Some("critical") => 2,
        Some("standard") => 1,
        _ => 0,
    };
    match rank(about.after) < rank(about.before) {
        true => high("its requests are refused earlier where not all fit"),
        false => low("its requests go before others where not all fit"),
    }
}

fn whole_route(about: &About<'_>, kind: AlterationKind, before: &File, after: &File) -> Judged {
    let node = about.before.or(about.after);
    let Some(it) = node.and_then(|node| crate::assemble::route(node, 0)) else {
        return high("its requests go elsewhere");
    };
    let others = if kind == AlterationKind::Removed {
        &after.routes
    } else {
        &before.routes
    };
    let taker = taker(others, &it);
    match (kind, taker) {
        (AlterationKind::Removed, Some(taker)) => (
            Risk::High,
            format!("its requests are taken by route {}", taker.name),
        ),
        (AlterationKind::Removed, None) => high("its requests are answered 404"),
        (_, Some(taker)) if target(taker) != target(&it) => (
            Risk::High,
            format!("it takes requests that route {} took", taker.name),
        ),
        (_, Some(taker)) => (
            Risk::Low,
            format!(
                "it takes requests that route {} took, for the same service",
                taker.name
            ),
        ),
        (_, None) => low("requests that were answered 404 are served"),
    }
}

fn target(route: &Route) -> Option<&str> {
    match &route.action {
        RouteAction::Service(service) => Some(service),
        RouteAction::Redirect(_) => None,
    }
}

/// Which of these routes takes a request that `route` would take: the most specific that matches one made up for it.
fn taker<'a>(others: &'a [Route], route: &Route) -> Option<&'a Route> {
    let host = match &route.host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("x{suffix}"),
        HostPattern::Any => "x.invalid".to_owned(),
    };
    let path = example(&route.path);
    let methods = |other: &Route| {
        other.methods.is_empty()
            || route.methods.is_empty()
            || route.methods.iter().any(|it| other.methods.contains(it))
    };
    let fits = |other: &&Route| {
        other.host.matches(&host)
            && other.path.matches(path.as_bytes())
            && methods(other)
            && other
                .headers
                .iter()
                .all(|(name, _)| route.headers.contains_key(name))
            // What is only for some does not take what is for all.
            && (other.flag.is_none() || other.flag == route.flag)
    };
    let taking = others.iter().filter(fits);
    taking.min_by(|one, two| {
        let host = one.host.specificity(&two.host);
        host.then_with(|| one.path.specificity(&two.path))
    })
}

fn example(path: &PathPattern) -> String {
    let mut out = String::new();
    for segment in &path.segments {
        out.push('/');
        match segment {
            Segment::Literal(literal) => out.push_str(literal),
            Segment::Parameter(_) => out.push('x'),
        }
    }
    if path.open {
        out.push_str("/x");
    }
    if out.is_empty() { "/".to_owned() } else { out }
}
