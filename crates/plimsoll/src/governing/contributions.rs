//! Where the failures of a service are: by cause, by endpoint, by route, by tenant.

use plimsoll_gateway::TenantTally;
use plimsoll_measure::{Outcome, ServiceView, SplitView, TrafficView};
use serde::Serialize;

/// Causes that are named.
const CAUSES_MAX: usize = 3;
/// Parts that are named.
const PARTS_MAX: usize = 6;

/// What failed within the last minute, by what. Of tenants: within the last half minute, or up to a whole one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Contributions {
    /// The most frequent first.
    causes: Vec<CauseShare>,
    /// What has more than its part first.
    pub(crate) split: Vec<SplitView>,
}

/// The share that a cause has in the failures.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct CauseShare {
    cause: &'static str,
    origin: &'static str,
    /// Requests.
    bad: u64,
    of_bad: f64,
}

impl Contributions {
    pub(crate) fn of(service: &ServiceView, tenants: &[TenantTally]) -> Self {
        let errors = service.traffic.errors.iter();
        let bad: Vec<_> = errors.filter(|it| it.outcome == Outcome::Bad).collect();
        let all: u64 = bad.iter().map(|it| it.count).sum();
        let causes = bad.iter().take(CAUSES_MAX).map(|it| CauseShare {
            cause: it.cause.name(),
            origin: it.origin.name(),
            bad: it.count,
            of_bad: it.count as f64 / all as f64,
        });
        Self {
            causes: causes.collect(),
            split: split(service, tenants),
        }
    }

    /// In a few words: the most frequent cause, and what has the most of the failures beyond its part.
    pub(crate) fn sentence(&self) -> Option<String> {
        let cause = self.causes.first()?;
        let mut text = format!(
            "{:.0} % of the failures are {}",
            100.0 * cause.of_bad,
            cause.cause
        );
        if let Some(most) = most(&self.split) {
            text.push_str(&format!("; {most}"));
        }
        Some(text)
    }
}

/// How much more of the failures than of the requests something has that is worth a word.
const UNEVEN: f64 = 0.15;

/// What has the most of the failures beyond its part, if anything has.
pub(super) fn most(split: &[SplitView]) -> Option<String> {
    let first = split
        .first()
        .filter(|it| it.of_bad - it.of_requests >= UNEVEN)?;
    Some(format!(
        "{:.0} % of the failures are of {} {}, which has {:.0} % of the requests",
        100.0 * first.of_bad,
        first.kind,
        first.name,
        100.0 * first.of_requests
    ))
}

/// Among what had any traffic; where there is but one of a kind, it says nothing.
fn split(service: &ServiceView, tenants: &[TenantTally]) -> Vec<SplitView> {
    let endpoints = service.endpoints.iter();
    let endpoints = endpoints.map(|it| Part::of("endpoint", &it.name, &it.traffic));
    let routes = service.routes.iter();
    let routes = routes.map(|it| Part::of("route", &it.name, &it.traffic));
    let tenants = tenants.iter().map(|it| Part {
        kind: "tenant",
        name: &it.tenant,
        bad: it.bad as f64,
        all: it.requests,
    });
    let mut split = Vec::new();
    for kind in [
        endpoints.collect(),
        routes.collect(),
        tenants.collect::<Vec<_>>(),
    ] {
        let bad: f64 = kind.iter().map(|part| part.bad).sum();
        let all: f64 = kind.iter().map(|part| part.all).sum();
        if kind.len() < 2 || bad <= 0.0 || all <= 0.0 {
            continue;
        }
        split.extend(kind.iter().map(|part| SplitView {
            kind: part.kind.to_owned(),
            name: part.name.to_owned(),
            of_bad: part.bad / bad,
            of_requests: part.all / all,
        }));
    }
    let lift = |it: &SplitView| it.of_bad - it.of_requests;
    split.sort_by(|a, b| lift(b).total_cmp(&lift(a)));
    split.truncate(PARTS_MAX);
    split
}

/// Requests that are in the SLI.
#[derive(Clone, Copy)]
struct Part<'a> {
    kind: &'static str,
    name: &'a str,
    bad: f64,
    all: f64,
}

impl<'a> Part<'a> {
    fn of(kind: &'static str, name: &'a str, traffic: &TrafficView) -> Self {
        let bad = traffic
            .errors
            .iter()
            .filter(|it| it.outcome == Outcome::Bad);
        let bad = bad.map(|it| it.count).sum::<u64>() as f64;
        let all = match traffic.bad_share {
            Some(share) if share > 0.0 => bad / share,
            // All are good: how many is in the rate of the last ten seconds.
            _ => traffic.requests_per_second.unwrap_or(0.0) * 60.0,
        };
        Self {
            kind,
            name,
            bad,
            all,
        }
    }
}
