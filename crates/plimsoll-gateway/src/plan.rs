//! What the data plane reads: a configuration, made ready for requests. Immutable, swapped whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::{
    Config, DeadlineOverride, Fallback, FlagVariant, HashKey, RateBy, ReadOnly, Redirect, Rewrite,
    Route, RouteAction, Service,
};
use plimsoll_core::never;
use plimsoll_core::{Class, Mode, RouteId, ServiceId};
use plimsoll_http1::HeadLimits;
use plimsoll_lifecycle::{Bounds, GuardParameters, GuardShared};
use plimsoll_measure::{OBJECTIVES_MAX, ObjectiveSpec, Registry, Series, Sli};
use plimsoll_policy::cache::key::{KeyRules, QueryRule};
use plimsoll_policy::cache::{CacheParameters, SetCookie};
use plimsoll_policy::flag::DimmedFlag;
use plimsoll_policy::{
    AdmissionParameters, BulkheadParameters, ConfiguredTenant, GROUPS, HedgeAfter, HedgeParameters,
    LimiterKind, QueueWait, RateLimit, RetryOn, RetryParameters, Salt, Weight,
};
use plimsoll_upstream::{Cluster, Clusters};

use crate::cache::{CacheCounters, CacheCounts};
use crate::fallback::{FallbackPlan, PagesPlan};
use crate::rollout::{POOLED, RolloutPlan, Rollouts};
use crate::router::Router;

/// What all threads share about a service. One for each service name, for as long as the process lives.
#[derive(Debug)]
pub struct ServiceShared {
    /// Limit, queues, budgets.
    pub guard: Arc<GuardShared>,
    /// What the cache of its routes did.
    pub(crate) cache: CacheCounters,
    /// Its versions that requests are moved to.
    pub(crate) rollouts: Rollouts,
}

impl ServiceShared {
    fn new(threads: usize, parameters: &GuardParameters) -> Self {
        Self {
            guard: Arc::new(GuardShared::new(threads, parameters)),
            cache: CacheCounters::new(threads),
            rollouts: Rollouts::default(),
        }
    }

    /// What the cache of its routes did, over all threads.
    pub fn cache_counts(&self) -> CacheCounts {
        self.cache.sum()
    }

    /// Permits in use: requests in flight, without streams and tunnels.
    pub fn in_flight(&self) -> u32 {
        self.guard.admission.in_flight()
    }
}

/// A service of the plan.
#[derive(Debug)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// Its endpoints.
    pub cluster: Arc<Cluster>,
    /// Its counters.
    pub series: Arc<Series>,
    /// Those of its endpoints, in their order.
    pub endpoint_series: Vec<Arc<Series>>,
    /// What all threads share.
    pub shared: Arc<ServiceShared>,
    /// What its guard is set to.
    pub guard: Arc<GuardParameters>,
    /// How much of a body is kept in case it has to be sent again; zero where nothing that was sent is retried.
    pub keep_bytes_max: u64,
    /// Whether its policies act; if not, they decide and count, or do nothing.
    pub enforces: bool,
    /// What is answered while it is read-only.
    pub read_only: ReadOnly,
    /// Features that may be dimmed, the first to be dimmed first.
    pub features: Vec<String>,
    /// Those that a flag switches: their places and the flags.
    pub(crate) switches: Vec<(usize, String)>,
    /// Bounds of a call that no route has others for.
    pub bounds: Bounds,
    /// What a consistent hash is taken of.
    pub hash_key: Option<HashKey>,
    /// Its routes that store answers.
    pub cached: Vec<RouteId>,
    /// How its requests are moved to another version; `None` = they are not.
    pub rollout: Option<Box<RolloutPlan>>,
}

impl ServicePlan {
    /// Whether an endpoint of the version that it is moved to is up.
    pub fn canary_is_up(&self) -> bool {
        let group = (self.rollout.as_ref()).and_then(|it| self.cluster.groups.get(it.group));
        group.is_some_and(|group| {
            let mut endpoints = self.cluster.of(group).iter();
            endpoints.any(|it| it.shared.verdict().is_up())
        })
    }
}

/// A route of the plan.
#[derive(Debug)]
pub struct RoutePlan {
    /// Its name.
    pub name: String,
    /// Its counters.
    pub series: Arc<Series>,
    /// Where it leads; `None` = a redirect.
    pub service: Option<ServiceId>,
    /// What it answers by itself.
    pub redirect: Option<Redirect>,
    /// Its class.
    pub class: Class,
    /// The header that names the tenant.
    pub tenant_header: Option<String>,
    /// Which objectives of its service it is in, a bit each; see [`plimsoll_measure::Record`].
    pub objectives: u32,
    /// Its group among the routes of its service: the latencies of groups are kept apart.
    pub group: u8,
    /// Bounds of its calls.
    pub bounds: Bounds,
    /// Changes to heads; `None` = none.
    pub rewrite: Option<Box<Rewrite>>,
    /// Rates that its requests are held to.
    pub rates: Vec<RatePlan>,
    /// How its answers are stored; `None` = not at all.
    pub cache: Option<Box<CachePlan>>,
    /// What is answered where its service can't; `None` = problem details.
    pub(crate) fallback: Option<Box<FallbackPlan>>,
    /// The variant of a flag that whoever asks has.
    pub(crate) flag: Option<FlagVariant>,
    /// The feature that it is, by its place among its service's.
    pub feature: Option<usize>,
    /// Where what comes of it is counted while its service is rolled out.
    pub(crate) place: u16,
}

/// How a route's answers are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePlan {
    /// Decides.
    pub parameters: CacheParameters,
    /// How keys are made.
    pub rules: KeyRules,
    /// What stands for the service in keys. A route that rewrites has its own: what it stores answers another request.
    pub space: String,
}

/// A configuration, made ready.
#[derive(Debug)]
pub struct Plan {
    /// What it was made of.
    pub config: Arc<Config>,
    /// Finds routes.
    pub router: Router,
    /// By [`ServiceId`].
    pub services: Vec<ServicePlan>,
    /// By [`RouteId`].
    pub routes: Vec<RoutePlan>,
    /// Counters of what no route was found for.
    pub unrouted: Arc<Series>,
    /// Bounds on heads.
    pub head_limits: HeadLimits,
    /// Tenants that the configuration names, by their keys.
    pub tenants: Vec<ConfiguredTenant>,
    /// What keys and addresses are hashed with; another in each process.
    pub salt: Salt,
}

/// A rate of a route.
#[derive(Clone, Debug)]
pub struct RatePlan {
    /// Its name in `RateLimit` fields.
    pub name: String,
    /// The rate itself.
    pub limit: RateLimit,
    /// Tells its meters apart from those of others; the same across reloads.
    pub index: u32,
    /// What each has a meter of its own.
    pub by: RateBy,
    /// The header with what a request counts as, and the most that it may.
    pub cost: Option<(String, u32)>,
    /// Whether it acts.
    pub mode: Mode,
}

/// The objectives of a service in the form that is measured.
pub fn objective_specs(service: &Service) -> Vec<ObjectiveSpec> {
    let spec = |(name, objective): (&String, &plimsoll_config::Objective)| ObjectiveSpec {
        name: name.clone(),
        sli: match objective.kind {
            plimsoll_config::ObjectiveKind::Availability => Sli::Availability,
            plimsoll_config::ObjectiveKind::Latency { below } => Sli::Latency { below },
        },
        target: objective.target,
        period: objective.period,
        classes: objective.classes.clone(),
        routes: objective.routes.clone(),
    };
    service.objectives.iter().map(spec).collect()
}

impl Plan {
    /// Makes `config` ready. `clusters` has a cluster for each of its services; `shared` is kept across
    /// plans.
    pub fn new(
        config: Arc<Config>,
        clusters: &Clusters,
        registry: &Registry,
        shared: &mut BTreeMap<String, Arc<ServiceShared>>,
        salt: Salt,
    ) -> Self {
        let mut services = Vec::new();
        for (name, service) in &config.services {
            let Some(cluster) = clusters.cluster(name) else {
                never!(clusters.cluster(name).is_none());
                continue;
            };
            let guard = Arc::new(guard_parameters(&config, name, service));
            // A connection that was not made has sent nothing.
            let resends = guard.retry.attempts_max > 1
                && guard.retried.on.iter().any(|on| *on != RetryOn::Connect);
            let made = || Arc::new(ServiceShared::new(registry.threads(), &guard));
            let shared = Arc::clone(shared.entry(name.clone()).or_insert_with(made));
            cluster.set_bulkhead(&shared.guard.bulkhead);
            services.push(ServicePlan {
                name: name.clone(),
                cluster: Arc::clone(cluster),
                series: registry.service(name, &objective_specs(service)),
                endpoint_series: cluster
                    .endpoints
                    .iter()
                    .map(|endpoint| registry.endpoint(name, &endpoint.name))
                    .collect(),
                keep_bytes_max: if resends {
                    service.protect.retry.body_bytes_max
                } else {
                    0
                },
                guard,
                enforces: enforces(&config, service),
                read_only: service.degrade.read_only,
                features: service.degrade.features().cloned().collect(),
                switches: switches(service),
                bounds: call_bounds(service, &DeadlineOverride::default()),
                hash_key: match &service.balance {
                    plimsoll_config::Balance::ConsistentHash(key) => Some(key.clone()),
                    _ => None,
                },
                cached: Vec::new(),
                rollout: RolloutPlan::new(
                    &config,
                    name,
                    cluster,
                    &shared.rollouts,
                    registry.threads(),
                    latency_objective(service),
                ),
                shared,
            });
        }
        let mut routes: Vec<RoutePlan> = Vec::new();
        for route in &config.routes {
            let mut plan = route_plan(&config, route, &services, registry);
            // The last group is for all that are left.
            let before = routes
                .iter()
                .filter(|it| it.service == plan.service)
                .count();
            plan.group = u8::try_from(before.min(GROUPS - 1)).unwrap_or(0);
            if let (Some(service), Some(_), Ok(id)) =
                (plan.service, &plan.cache, u32::try_from(routes.len()))
                && let Some(service) = services.get_mut(service.index())
            {
                service.cached.push(RouteId(id));
            }
            routes.push(plan);
        }
        Self {
            router: Router::new(&config.routes),
            services,
            routes,
            unrouted: registry.unrouted(),
            tenants: tenants(&config, &salt),
            salt,
            head_limits: HeadLimits {
                head_bytes_max: config.gateway.limits.header_bytes_max,
                headers_max: config.gateway.limits.headers_max,
                uri_bytes_max: config.gateway.limits.uri_bytes_max,
            },
            config,
        }
    }

    /// What is dimmed of services, by the flags that switch it. Of two features of one flag, the one that is dimmed for more.
    pub fn dimmed_flags(&self) -> BTreeMap<String, DimmedFlag> {
        let mut dimmed = BTreeMap::<String, DimmedFlag>::new();
        for service in &self.services {
            let level = service.shared.guard.brownout.level_parts();
            for (feature, flag) in &service.switches {
                let new = DimmedFlag {
                    service: service.name.clone(),
                    feature: *feature,
                    level,
                    salt: self.salt,
                };
                let known = dimmed.get(flag).map_or(0, DimmedFlag::share);
                if new.share() > known {
                    dimmed.insert(flag.clone(), new);
                }
            }
        }
        dimmed
    }

    /// The rollout of this name, with the service that it is of.
    pub fn rollout(&self, name: &str) -> Option<(&ServicePlan, &RolloutPlan)> {
        self.rollouts().find(|(_, it)| it.shared.name == name)
    }

    /// All rollouts, each with the service that it is of.
    pub fn rollouts(&self) -> impl Iterator<Item = (&ServicePlan, &RolloutPlan)> {
        let services = self.services.iter();
        services.filter_map(|service| Some((service, service.rollout.as_deref()?)))
    }

    pub(crate) fn service(&self, id: ServiceId) -> Option<&ServicePlan> {
        self.services.get(id.index())
    }

    pub(crate) fn route(&self, id: RouteId) -> Option<&RoutePlan> {
        self.routes.get(id.index())
    }
}

/// The first latency objective: what the limiter works for.
fn latency_objective(service: &Service) -> Option<Duration> {
    let below = |objective: &plimsoll_config::Objective| match objective.kind {
        plimsoll_config::ObjectiveKind::Latency { below } => Some(below),
        plimsoll_config::ObjectiveKind::Availability => None,
    };
    service.objectives.values().filter_map(below).min()
}

/// What a policy does: nothing that its service or the whole gateway may not.
pub fn mode_of(config: &Config, service: &Service, policy: Mode) -> Mode {
    [config.gateway.mode, service.protect.mode, policy]
        .into_iter()
        .max_by_key(|mode| match mode {
            Mode::Enforce => 0,
            Mode::Observe => 1,
            Mode::Off => 2,
        })
        .unwrap_or_default()
}

fn retry_on(failure: plimsoll_config::RetryOn) -> RetryOn {
    match failure {
        plimsoll_config::RetryOn::Connect => RetryOn::Connect,
        plimsoll_config::RetryOn::Reset => RetryOn::Reset,
        plimsoll_config::RetryOn::Status(status) => RetryOn::Status(status),
    }
}

/// What the guard of the service `name` is set to.
pub fn guard_parameters(config: &Config, name: &str, service: &Service) -> GuardParameters {
    let protect = &service.protect;
    let limiter = mode_of(config, service, protect.limiter.mode);
    let admission = AdmissionParameters {
        limiter: match (limiter, protect.limiter.kind) {
            (Mode::Off, _) => LimiterKind::Off,
            (_, plimsoll_config::LimiterKind::Adaptive) => LimiterKind::Adaptive,
            (_, plimsoll_config::LimiterKind::Fixed(limit)) => LimiterKind::Fixed(limit),
        },
        limit_max: protect.limiter.max,
        mode: limiter,
        objective: latency_objective(service),
        deadline: protect.deadline.head,
        wait: match protect.queue.wait {
            plimsoll_config::QueueWait::Auto => QueueWait::Auto,
            plimsoll_config::QueueWait::Objective => QueueWait::Objective,
            plimsoll_config::QueueWait::Fixed(wait) => QueueWait::Fixed(wait),
        },
        requests_max: protect.queue.requests_max,
        pending_max: protect.bulkhead.pending_max,
        groups: route_groups(config, name),
        ..AdmissionParameters::default()
    };
    let retry = mode_of(config, service, protect.retry.mode);
    let named = |failures: &[plimsoll_config::RetryOn]| -> Vec<RetryOn> {
        failures.iter().copied().map(retry_on).collect()
    };
    let (mut retried, mut observed) = (named(&protect.retry.on), named(&protect.retry.observed));
    match retry {
        Mode::Enforce => (),
        Mode::Observe => observed.append(&mut retried),
        Mode::Off => {
            retried.clear();
            observed.clear();
        }
    }
    let bulkhead = match mode_of(config, service, Mode::Enforce) {
        Mode::Enforce => BulkheadParameters {
            connections_max: protect.bulkhead.connections_max,
            streams_max: protect.bulkhead.streams_max,
        },
        Mode::Observe | Mode::Off => BulkheadParameters::default(),
    };
    GuardParameters {
        admission,
        retry: RetryParameters {
            attempts_max: protect.retry.attempts,
            budget: protect.retry.budget,
            floor_per_second: protect.retry.floor_per_second,
            ..RetryParameters::default()
        },
        retried: retried.into_iter().collect(),
        retry_observed: observed.into_iter().collect(),
        hedge: HedgeParameters {
            after: match protect.hedge.after {
                plimsoll_config::HedgeAfter::Quantile(share) => HedgeAfter::Quantile(share),
                plimsoll_config::HedgeAfter::Time(time) => HedgeAfter::Time(time),
            },
            budget: protect.hedge.budget,
            ..HedgeParameters::default()
        },
        hedge_mode: mode_of(config, service, protect.hedge.mode),
        throttle: mode_of(config, service, protect.throttle.mode),
        bulkhead,
    }
}

/// Stands for which routes of a service are in which group.
fn route_groups(config: &Config, service: &str) -> u64 {
    let mut names = String::new();
    for route in &config.routes {
        if matches!(&route.action, RouteAction::Service(name) if name == service) {
            names.push_str(&route.name);
            names.push('\n');
        }
    }
    plimsoll_policy::hash_key(names.as_bytes())
}

/// Whether a service's policies act.
pub fn enforces(config: &Config, service: &Service) -> bool {
    config.gateway.mode == Mode::Enforce && service.protect.mode == Mode::Enforce
}

/// Bounds of the calls of a route to a service.
pub fn call_bounds(service: &Service, route: &DeadlineOverride) -> Bounds {
    let (retry, deadline) = (&service.protect.retry, &service.protect.deadline);
    Bounds {
        head: route.head.unwrap_or(deadline.head),
        idle: route.idle.unwrap_or(deadline.idle),
        total: route.total.or(deadline.total),
        // Where retries are only observed, the guard is asked, and says no.
        attempts_max: retry.attempts.max(1),
    }
}

fn route_plan(
    config: &Config,
    route: &Route,
    services: &[ServicePlan],
    registry: &Registry,
) -> RoutePlan {
    let (name, redirect) = match &route.action {
        RouteAction::Service(name) => (name.as_str(), None),
        RouteAction::Redirect(redirect) => ("", Some(redirect.clone())),
    };
    let configured = config.services.get(name);
    let bounds = match configured {
        Some(service) => call_bounds(service, &route.deadline),
        None => Bounds {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: None,
            attempts_max: 1,
        },
    };
    let service = service_id(services, name);
    let rollout = service.and_then(|id| services.get(id.index())?.rollout.as_deref());
    RoutePlan {
        name: route.name.clone(),
        place: rollout.map_or(POOLED, |it| it.shared.counters.place(&route.name)),
        series: registry.route(name, &route.name),
        service,
        redirect,
        flag: route.flag.clone(),
        class: route.class,
        tenant_header: route.tenant_header.clone(),
        objectives: objectives_of(route, configured),
        group: 0,
        bounds,
        rewrite: (route.rewrite != Rewrite::default()).then(|| Box::new(route.rewrite.clone())),
        rates: rates(config, route, configured),
        cache: (route.cache.as_ref()).map(|cache| {
            let stale = configured.map(|service| service.degrade.stale);
            let stale = cache.stale.or(stale).unwrap_or_default();
            Box::new(cache_plan(route, name, cache, stale))
        }),
        fallback: (route.fallback.as_ref())
            .and_then(|fallback| Some(Box::new(fallback_plan(fallback, services)?))),
        feature: (route.feature.as_ref()).and_then(|feature| {
            let mut features = configured?.degrade.features();
            features.position(|it| it == feature)
        }),
    }
}

fn switches(service: &Service) -> Vec<(usize, String)> {
    let features = service.degrade.features().enumerate();
    let switched = |(place, feature)| Some((place, service.degrade.switches.get(feature)?.clone()));
    features.filter_map(switched).collect()
}

fn fallback_plan(fallback: &Fallback, services: &[ServicePlan]) -> Option<FallbackPlan> {
    Some(match fallback {
        Fallback::Page { pages, status } => FallbackPlan::Pages(PagesPlan::new(pages, *status)),
        Fallback::Service(name) => FallbackPlan::Service(service_id(services, name)?),
    })
}

fn service_id(services: &[ServicePlan], name: &str) -> Option<ServiceId> {
    let place = services.iter().position(|service| service.name == name)?;
    u32::try_from(place).ok().map(ServiceId)
}

fn cache_plan(
    route: &Route,
    service: &str,
    cache: &plimsoll_config::Cache,
    stale: Duration,
) -> CachePlan {
    use plimsoll_config::CacheQuery;
    let names = |names: &[String]| names.iter().map(|name| name.as_bytes().into()).collect();
    CachePlan {
        parameters: CacheParameters {
            heuristic_max: cache.heuristic_max,
            negative: cache.negative,
            stale,
            body_bytes_max: cache.bytes_max,
            set_cookie: match cache.strips_set_cookie {
                true => SetCookie::StoreWithout,
                false => SetCookie::Refuse,
            },
            ..CacheParameters::default()
        },
        rules: KeyRules {
            query: match &cache.query {
                CacheQuery::All => QueryRule::All,
                CacheQuery::Only(only) => QueryRule::Only(names(only)),
                CacheQuery::Without(without) => QueryRule::Without(names(without)),
            },
            sorted: cache.query_sorted,
        },
        // Names of services have no slash.
        space: match route.rewrite == Rewrite::default() {
            true => service.to_owned(),
            false => format!("{service}/{}", route.name),
        },
    }
}

/// A bit for each objective of the service that the route is in, in the order of [`objective_specs`].
fn objectives_of(route: &Route, service: Option<&Service>) -> u32 {
    let objectives = service.into_iter().flat_map(|it| it.objectives.values());
    let is_in =
        |it: &plimsoll_config::Objective| it.routes.is_empty() || it.routes.contains(&route.name);
    objectives
        .zip(0..OBJECTIVES_MAX)
        .filter(|(objective, _)| is_in(objective))
        .fold(0, |bits, (_, place)| bits | 1 << place)
}

fn rates(config: &Config, route: &Route, service: Option<&Service>) -> Vec<RatePlan> {
    let Some(service) = service else {
        return Vec::new();
    };
    let rate = |rate: &plimsoll_config::Rate| {
        let mode = mode_of(config, service, rate.mode);
        let limit = RateLimit::new(rate.per_second, rate.burst).ok()?;
        let name = format!("{}/{}", route.name, rate.name);
        // 32 bits of a hash: two meters would have to share both these and their key's hash to be one.
        let index = plimsoll_policy::hash_key(name.as_bytes()) as u32;
        (mode != Mode::Off).then(|| RatePlan {
            name: rate.name.clone(),
            limit,
            index,
            by: rate.by,
            cost: rate
                .cost
                .as_ref()
                .map(|cost| (cost.header.clone(), cost.max)),
            mode,
        })
    };
    route.rate.iter().filter_map(rate).collect()
}

fn tenants(config: &Config, salt: &Salt) -> Vec<ConfiguredTenant> {
    let mut tenants = Vec::new();
    for (name, (text, tenant)) in (0..).zip(&config.tenants) {
        for key in &tenant.keys {
            // Keys from elsewhere were read when the configuration was loaded.
            if let plimsoll_config::Secret::Plain(key) = key {
                tenants.push(ConfiguredTenant {
                    key: salt.key(key.as_bytes()),
                    name,
                    tenant: salt.name(text),
                    weight: Weight::try_from(tenant.weight).unwrap_or_default(),
                });
            }
        }
    }
    tenants
}
