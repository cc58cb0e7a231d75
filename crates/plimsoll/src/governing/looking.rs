//! How a service stands now as one of its objectives judges it: what "what changed?" is told.

use plimsoll_core::Class;
use plimsoll_gateway::TenantTally;
use plimsoll_governor::{Look, Part, PartKind};
use plimsoll_measure::{Measure, ObjectiveSpec, SeriesKey, ServiceView, SplitView, Tally};

/// Endpoints, routes and tenants of a service that are looked at, of each kind.
const PARTS_MAX: usize = 100;

/// All that is known within the last minute; of tenants within half a minute to a whole one, and whether they failed, not
/// whether they were late.
pub(crate) fn look(
    measure: &Measure,
    service: &ServiceView,
    spec: &ObjectiveSpec,
    tenants: &[TenantTally],
    split: Vec<SplitView>,
) -> Look {
    Look {
        judged: measure.judged(&SeriesKey::Service(service.name.clone()), &spec.sli),
        parts: parts(measure, service, spec, tenants),
        split,
    }
}

/// What came to each part of a service.
pub(crate) fn parts(
    measure: &Measure,
    service: &ServiceView,
    spec: &ObjectiveSpec,
    tenants: &[TenantTally],
) -> Vec<Part> {
    let part = |kind, name: &str, key: &SeriesKey| Part {
        kind,
        name: name.to_owned(),
        tally: measure.judged(key, &spec.sli).tally,
    };
    let endpoints = service.endpoints.iter().take(PARTS_MAX).map(|it| {
        let key = SeriesKey::Endpoint {
            service: service.name.clone(),
            endpoint: it.name.clone(),
        };
        part(PartKind::Endpoint, &it.name, &key)
    });
    let is_in = |route: &String| spec.routes.is_empty() || spec.routes.contains(route);
    let routes = service.routes.iter().filter(|it| is_in(&it.name));
    let routes = routes.take(PARTS_MAX).map(|it| {
        let key = SeriesKey::Route {
            service: service.name.clone(),
            route: it.name.clone(),
        };
        part(PartKind::Route, &it.name, &key)
    });
    // Of an objective of single classes it is not known which tenants' requests are of these.
    let is_of_all = spec.classes.is_empty() || spec.classes.len() == Class::ALL.len();
    let tenants = tenants
        .iter()
        .filter(|_| is_of_all)
        .take(PARTS_MAX)
        .map(|it| {
            let all = it.requests as u64;
            Part {
                kind: PartKind::Tenant,
                name: it.tenant.clone(),
                tally: Tally {
                    good: all.saturating_sub(it.bad),
                    bad: it.bad,
                },
            }
        });
    endpoints.chain(routes).chain(tenants).collect()
}
