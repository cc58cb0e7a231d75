//! Once a second, reads all counters and keeps their history; from it, builds the [`Snapshot`].
//!
//! Runs on the control thread. It never writes a counter, and the data plane never waits for it.
//! Units: `now` is monotonic and drives the windows; the timestamp is only shown.
//! Elsewhere: the counters (`series`), the history (`window`), the exposition (`prometheus`).

mod clock;
mod history;
#[cfg(test)]
mod history_tests;
mod journey;
mod judged;
mod learnt;
mod protection;
#[cfg(test)]
mod protection_tests;
mod tracked;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Class, Instant, Mode, Timestamp, never_count};

use crate::histogram::SparseHistogram;
use crate::incident::IncidentView;
use crate::maintenance::{Maintenance, MaintenanceChange, Maintenances};
use crate::objective::{Counts, ObjectiveSpec};
use crate::registry::{Registry, SeriesKey};
use crate::series::CauseCounts;
use crate::snapshot::{ApprovalView, FreezeView, QueuesView};
use crate::snapshot::{
    CacheStoreView, CacheView, ConfigView, DOES_NOT_FIT, EndpointState, EndpointView, EventView,
    GovernedView, JournalView, MaintenanceView, NotifierView, OverlayView, RouteView, SCHEMA,
    ServiceView, Snapshot, TrafficView, VersionView,
};

use clock::BudgetClock;
use history::Replay;
pub use history::{LatencyOf, Loading, Second, Wanted, series_name};
pub use journey::JourneyLayout;
pub use judged::Judged;
pub use learnt::{Learnt, LearntStretch};
pub use protection::{ProtectionCounter, ProtectionInput};
pub use tracked::BURN_WINDOWS;
use tracked::{Tracked, TrackedObjective};
pub use versions::{VersionChange, Versions};

/// How many events are shown.
pub const EVENTS_MAX: usize = 50;

/// What the configuration in force has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// By name.
    pub services: Vec<ServiceLayout>,
    /// By name.
    pub journeys: Vec<JourneyLayout>,
}

/// A service of the configuration in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceLayout {
    /// Its name.
    pub name: String,
    /// Who is asked about it.
    pub owner: Option<String>,
    /// 1 is the most important.
    pub tier: u8,
    /// Names of the services that it depends on.
    pub depends_on: Vec<String>,
    /// Of its protections.
    pub mode: Mode,
    /// The same that its series was made with.
    pub objectives: Vec<ObjectiveSpec>,
    /// Names of its endpoints.
    pub endpoints: Vec<String>,
    /// Names of the routes that lead to it.
    pub routes: Vec<String>,
}

/// What the process knows and no counter holds: gauges, states, events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Of the program.
    pub version: String,
    /// The name of this process among others.
    pub instance: String,
    /// How long the process has been up.
    pub uptime: Duration,
    /// Over all services.
    pub mode: Mode,
    /// The configuration in force.
    pub config: ConfigView,
    /// Downstream connections now.
    pub connections: u64,
    /// What is stored of answers; `None` where nothing is.
    pub cache: Option<CacheStoreView>,
    /// By the name of the service.
    pub services: BTreeMap<String, ServiceInput>,
    /// The newest first; those after [`EVENTS_MAX`] are not shown.
    pub events: Vec<EventView>,
    /// What else someone should look at.
    pub warnings: Vec<String>,
    /// What people have set for a while.
    pub overlay: Vec<OverlayView>,
    /// What waits for the approval of others.
    pub approvals: Vec<ApprovalView>,
    /// Of which services nothing risky is changed now.
    pub freezes: Vec<FreezeView>,
    /// The journal and its store; `None` where that is not known.
    pub journal: Option<JournalView>,
    /// Those who are called, by name.
    pub notifiers: Vec<NotifierView>,
    /// What people were called for and has not ended, by service.
    pub incidents: Vec<IncidentView>,
    /// Durable queues; `None` where none are configured.
    pub queues: Option<QueuesView>,
}

/// What is known of a service now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceInput {
    /// Requests in flight.
    pub in_flight: Option<u64>,
    /// Whether no endpoint is healthy, so that all are used.
    pub serving_to_all: bool,
    /// By the name of the endpoint.
    pub endpoints: BTreeMap<String, EndpointInput>,
    /// Requests in flight by the name of the route; may be left empty.
    pub routes_in_flight: BTreeMap<String, u64>,
    /// How its protections stand; `None` where that is not known.
    pub protection: Option<ProtectionInput>,
    /// What the cache of its routes did; `None` where none has one.
    pub cache: Option<CacheView>,
    /// Other versions of it.
    pub versions: Vec<VersionView>,
    /// How the governor sees it.
    pub governed: Option<GovernedView>,
}

/// What is known of an endpoint now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointInput {
    /// The other version of the service that it is of.
    pub version: Option<String>,
    /// Whether it gets requests.
    pub state: EndpointState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Attempts in flight.
    pub in_flight: Option<u64>,
}

/// What came to a service with one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latest {
    /// Requests that ended.
    pub requests: u64,
    /// Those that Plimsoll did not refuse, by class.
    pub let_in: [u64; Class::ALL.len()],
    /// Those that Plimsoll refused since not all fits: with a cause of [`DOES_NOT_FIT`].
    pub refused: u64,
    /// In the order of the configuration: what each objective counted, and the share of its budget that is left, `None`
    /// without traffic.
    pub objectives: Vec<(Counts, Option<f64>)>,
    /// Whether it is in a maintenance window, so that its objectives counted nothing.
    pub is_maintained: bool,
}

/// The history of all series.
#[derive(Debug)]
pub struct Measure {
    registry: Arc<Registry>,
    layout: Layout,
    tracked: BTreeMap<SeriesKey, Tracked>,
    ticked: Instant,
    clock: BudgetClock,
    /// What the last tick brought.
    second: Second,
    versions: Versions,
    /// What came since something is being loaded.
    replay: Option<Replay>,
    maintenances: Maintenances,
    /// What is not said yet.
    maintenance_changes: Vec<MaintenanceChange>,
}

impl Measure {
    /// Begins to observe now.
    pub fn new(registry: Arc<Registry>, layout: Layout, now: Instant) -> Self {
        Self {
            registry,
            layout,
            tracked: BTreeMap::new(),
            ticked: now,
            clock: BudgetClock::new(),
            second: Second::default(),
            versions: Versions::default(),
            replay: None,
            maintenances: Maintenances::default(),
            maintenance_changes: Vec::new(),
        }
    }

    /// These maintenance windows are planned now, by name; those that somebody began stay.
    pub fn plan_maintenance(&mut self, planned: BTreeMap<String, Maintenance>) {
        self.maintenances.plan(planned);
    }

    /// Begins a maintenance window with the next tick, or gives the one that was begun under this name another end.
    pub fn begin_maintenance(&mut self, name: String, services: Vec<String>, until: Timestamp) {
        self.maintenances.begin(name, services, until);
    }

    /// Ends a maintenance window that was begun before its time, with the next tick.
    pub fn end_maintenance(&mut self, name: &str) {
        self.maintenances.end(name);
    }

    /// Windows that began or ended since this was last asked for.
    pub fn maintenance_changes(&mut self) -> Vec<MaintenanceChange> {
        std::mem::take(&mut self.maintenance_changes)
    }

    /// Another configuration is in force. History stays with the names. Says which objectives have another version now.
    pub fn set_layout(&mut self, layout: Layout) -> Vec<VersionChange> {
        self.layout = layout;
        let now = self.clock.timestamp(self.ticked);
        self.versions.follow(&self.layout, now)
    }

    /// Has budgets follow the calendar; to be called with each tick, before it. Says how far ahead of the system's clock
    /// theirs is: it does not go back with it.
    pub fn follow_calendar(&mut self, now: Instant, system: Timestamp) -> Duration {
        self.clock.follow(now, system)
    }

    /// Reads all counters; to be called each second. What was counted since the last call is taken to have
    /// come in the time since then.
    pub fn tick(&mut self, now: Instant) {
        let observed = now - self.ticked;
        self.ticked = now;
        let budget_now = self.clock.at(now);
        let changes = self.maintenances.tick(self.clock.timestamp(now));
        self.maintenance_changes.extend(changes);
        let mut second = Second {
            at: budget_now.as_nanos() / 1_000_000_000,
            observed,
            ..Second::default()
        };
        for reading in self.registry.read() {
            let tracked = self
                .tracked
                .entry(reading.key.clone())
                .or_insert_with(Tracked::new);
            let is_maintained = match &reading.key {
                SeriesKey::Service(service) => self.maintenances.of(service).is_some(),
                _ => false,
            };
            tracked.on_reading(
                now,
                budget_now,
                observed,
                reading,
                is_maintained,
                &self.versions,
                &mut second.latencies,
            );
            let objectives = tracked.objectives.iter();
            let counted = objectives.filter(|it| it.latest != Counts::default());
            second
                .counts
                .extend(counted.map(|it| (Arc::clone(&it.series), it.latest)));
        }
        if let Some(replay) = &mut self.replay
            && !replay.on_tick(budget_now, &second)
        {
            self.replay = None;
        }
        self.second = second;
    }

    /// The last tick by the clock of budgets: since the epoch, and never back.
    pub fn budget_now(&self) -> Instant {
        self.clock.at(self.ticked)
    }

    /// What the last tick brought that is to outlive the process.
    pub fn second(&self) -> &Second {
        &self.second
    }

    /// The latency of the minute and the hour that are on, to be kept where the process ends.
    pub fn last_latencies(&self) -> Vec<LatencyOf> {
        let tracked = self.tracked.values();
        tracked.flat_map(Tracked::latencies).collect()
    }

    /// Begins to load what was kept, up to and with the last tick: that must be kept before it is read. What comes until
    /// [`Measure::adopt`] is counted on top of it.
    pub fn load(&mut self) -> Loading {
        self.replay = Some(Replay::default());
        let at = self.clock.at(self.ticked);
        Loading::new(self.layout.clone(), self.versions.clone(), at)
    }

    /// What was loaded takes the place of what is known, if it knows as much. Says which objectives have another version
    /// than was kept; `None`: it came too late, and should be loaded again.
    pub fn adopt(&mut self, mut loading: Loading) -> Option<Vec<VersionChange>> {
        let replay = self.replay.take()?;
        let (versions, mut changes) = loading.take_versions();
        self.versions = versions;
        // Another configuration may have come into force meanwhile.
        let now = self.clock.timestamp(self.ticked);
        changes.extend(self.versions.follow(&self.layout, now));
        for (key, tracked) in &mut self.tracked {
            if let SeriesKey::Service(service) = key {
                for objective in &mut tracked.objectives {
                    replay.give(&mut loading, service, objective);
                }
            }
        }
        Some(changes)
    }

    /// The versions in force, to be kept.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// What came to each service of the configuration with the last tick, with its name.
    pub fn latest(&self) -> impl Iterator<Item = (&str, Latest)> {
        let services = self.layout.services.iter();
        services.map(|layout| (layout.name.as_str(), self.latest_of(layout)))
    }

    /// The objectives that are counted, each with its service and the name under which what it counts is kept.
    pub fn kept_as(&self) -> impl Iterator<Item = (&str, &ObjectiveSpec, &str)> {
        self.tracked.iter().flat_map(|(key, tracked)| {
            let service = match key {
                SeriesKey::Service(service) => service.as_str(),
                _ => "",
            };
            let objectives = tracked.objectives.iter();
            objectives.map(move |it| (service, &it.spec, it.series.as_ref()))
        })
    }

    /// How the requests of each service of the configuration ended that came with the last tick, and how long they took.
    pub fn ended(&self) -> impl Iterator<Item = (&str, &CauseCounts, &SparseHistogram)> {
        self.layout.services.iter().filter_map(|layout| {
            let tracked = self.tracked.get(&SeriesKey::Service(layout.name.clone()))?;
            Some((
                layout.name.as_str(),
                &tracked.latest,
                &tracked.latest_latency,
            ))
        })
    }

    /// How many requests came with the last tick that no route led to a service.
    pub fn ended_unrouted(&self) -> u64 {
        let tracked = self.tracked.get(&SeriesKey::Unrouted);
        tracked.map_or(0, |tracked| tracked.latest.total())
    }

    /// The same at an endpoint of a service; `None`: nothing is known of it.
    pub fn ended_at(
        &self,
        service: &str,
        endpoint: &str,
    ) -> Option<(&CauseCounts, &SparseHistogram)> {
        let tracked = self.tracked.get(&SeriesKey::Endpoint {
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
        })?;
        Some((&tracked.latest, &tracked.latest_latency))
    }

    fn latest_of(&self, layout: &ServiceLayout) -> Latest {
        let tracked = self.tracked.get(&SeriesKey::Service(layout.name.clone()));
        let objective = |spec: &ObjectiveSpec| {
            let all = &tracked?.objectives;
            let objective = all.iter().find(|it| it.spec == *spec)?;
            Some((
                objective.latest,
                objective.budget_left(self.clock.at(self.ticked)),
            ))
        };
        let each = layout.objectives.iter();
        let causes = tracked.map(|tracked| tracked.latest).unwrap_or_default();
        Latest {
            requests: causes.total(),
            let_in: tracked.map(|tracked| tracked.let_in).unwrap_or_default(),
            refused: DOES_NOT_FIT
                .iter()
                .map(|cause| causes.with_cause(*cause))
                .sum(),
            objectives: each
                .map(|spec| objective(spec).unwrap_or_default())
                .collect(),
            is_maintained: self.maintenances.of(&layout.name).is_some(),
        }
    }

    /// The picture as of the last tick.
    pub fn snapshot(&self, timestamp: Timestamp, inputs: &Inputs) -> Snapshot {
        let services: Vec<ServiceView> = self
            .layout
            .services
            .iter()
            .map(|layout| self.service(layout, inputs))
            .collect();
        Snapshot {
            schema: SCHEMA,
            version: inputs.version.clone(),
            instance: inputs.instance.clone(),
            now: timestamp,
            uptime_seconds: inputs.uptime.as_secs_f64(),
            mode: inputs.mode,
            config: inputs.config.clone(),
            warnings: self.warnings(&services, inputs),
            connections: inputs.connections,
            cache: inputs.cache,
            journeys: self
                .layout
                .journeys
                .iter()
                .map(|layout| journey::view(layout, &services))
                .collect(),
            services,
            overlay: inputs.overlay.clone(),
            approvals: inputs.approvals.clone(),
            freezes: inputs.freezes.clone(),
            unrouted: self.traffic(&SeriesKey::Unrouted),
            recent_events: inputs.events.iter().take(EVENTS_MAX).cloned().collect(),
            journal: inputs.journal.clone(),
            notifiers: inputs.notifiers.clone(),
            incidents: inputs.incidents.clone(),
            queues: inputs.queues.clone(),
        }
    }

    fn service(&self, layout: &ServiceLayout, inputs: &Inputs) -> ServiceView {
        let key = SeriesKey::Service(layout.name.clone());
        let input = inputs.services.get(&layout.name);
        let tracked = self.tracked.get(&key);
        let objectives = tracked.map_or(&[] as &[TrackedObjective], |tracked| &tracked.objectives);
        ServiceView {
            name: layout.name.clone(),
            owner: layout.owner.clone(),
            tier: layout.tier,
            depends_on: layout.depends_on.clone(),
            mode: layout.mode,
            in_flight: input.and_then(|input| input.in_flight),
            serving_to_all: input.is_some_and(|input| input.serving_to_all),
            governed: input.and_then(|input| input.governed.clone()),
            maintenance: self
                .maintenances
                .of(&layout.name)
                .map(|(name, until)| MaintenanceView {
                    name: name.to_owned(),
                    until,
                }),
            protection: input
                .and_then(|input| input.protection.as_ref())
                .map(|protection| protection::view(protection, tracked, self.ticked)),
            cache: input.and_then(|input| input.cache),
            versions: input.map_or_else(Vec::new, |input| input.versions.clone()),
            traffic: self.traffic(&key),
            objectives: layout
                .objectives
                .iter()
                .map(|spec| {
                    let tracked = objectives.iter().find(|objective| objective.spec == *spec);
                    let version = self.versions.number(&layout.name, &spec.name);
                    let now = self.clock.at(self.ticked);
                    tracked.map_or_else(
                        || TrackedObjective::new(spec, 1, "".into()).view(now, version),
                        |tracked| tracked.view(now, version),
                    )
                })
                .collect(),
            endpoints: layout
                .endpoints
                .iter()
                .map(|name| self.endpoint(&layout.name, name, input))
                .collect(),
            routes: layout
                .routes
                .iter()
                .map(|name| self.route(&layout.name, name, input))
                .collect(),
        }
    }

    fn endpoint(&self, service: &str, name: &str, input: Option<&ServiceInput>) -> EndpointView {
        let input = input.and_then(|input| input.endpoints.get(name));
        EndpointView {
            name: name.to_owned(),
            version: input.and_then(|input| input.version.clone()),
            state: input.map_or_else(EndpointState::default, |input| input.state),
            since: input.and_then(|input| input.since),
            in_flight: input.and_then(|input| input.in_flight),
            traffic: self.traffic(&SeriesKey::Endpoint {
                service: service.to_owned(),
                endpoint: name.to_owned(),
            }),
        }
    }

    fn route(&self, service: &str, name: &str, input: Option<&ServiceInput>) -> RouteView {
        RouteView {
            name: name.to_owned(),
            in_flight: input.and_then(|input| input.routes_in_flight.get(name).copied()),
            traffic: self.traffic(&SeriesKey::Route {
                service: service.to_owned(),
                route: name.to_owned(),
            }),
        }
    }

    fn traffic(&self, key: &SeriesKey) -> TrafficView {
        self.tracked
            .get(key)
            .map_or_else(TrafficView::default, |tracked| tracked.traffic(self.ticked))
    }

    fn warnings(&self, services: &[ServiceView], inputs: &Inputs) -> Vec<String> {
        let mut warnings = Vec::new();
        for service in services {
            if service.serving_to_all {
                warnings.push(format!(
                    "no endpoint of {} is healthy: serving to all of them",
                    service.name
                ));
            }
        }
        let broken = never_count();
        if broken > 0 {
            warnings.push(format!(
                "{broken} invariants did not hold since the start: see the log, and report it"
            ));
        }
        let overflowed = self.registry.overflowed();
        if overflowed > 0 {
            warnings.push(format!(
                "{overflowed} names did not fit and are counted together as `other`"
            ));
        }
        warnings.extend(inputs.warnings.iter().cloned());
        warnings
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Ratio;

    use super::*;
    use crate::objective::Sli;
    use crate::outcome::Cause;
    use crate::period::Period;
    use crate::series::{Record, Series};
    use crate::snapshot::LatencyView;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_traffic_everything_is_unknown_and_nothing_is_zero() {
        let mut world = World::new(availability(3_600));
        world.seconds(30, |_| ());
        let service = world.service();
        assert_eq!(
            service.traffic.requests_per_second,
            Some(0.0),
            "that nobody came was observed"
        );
        assert_eq!(service.traffic.bad_share, None);
        assert_eq!(service.traffic.latency, LatencyView::default());
        let objective = service.objectives.first().unwrap();
        assert_eq!(objective.budget_left, None);
        assert!(objective.burn.iter().all(|burn| burn.rate.is_none()));
    }

    #[test]
    fn before_the_first_tick_not_even_the_rate_is_known() {
        let service = World::new(availability(3_600)).service();
        assert_eq!(service.traffic.requests_per_second, None);
        assert_eq!(service.objectives.len(), 1);
    }

    #[test]
    fn rates_errors_and_latency_are_those_of_their_windows() {
        let mut world = World::new(availability(3_600));
        world.seconds(120, |series| {
            (0..9).for_each(|_| series.record(0, &answered(10)));
            series.record(
                0,
                &Record {
                    cause: Cause::Timeout,
                    ..answered(1_000)
                },
            );
        });
        let traffic = world.service().traffic;
        assert_eq!(traffic.requests_total, 1_200);
        assert_eq!(traffic.requests_per_second, Some(10.0));
        assert_eq!(traffic.bad_share, Some(0.1));
        assert_eq!(traffic.bad_of(), Some((56, 560)));
        let timeouts = traffic.errors.first().unwrap();
        // The minute is counted in steps of 5 s, of which the last has just begun.
        assert_eq!(
            (timeouts.cause, timeouts.count, timeouts.share),
            (Cause::Timeout, 56, 0.1)
        );
        assert!((traffic.latency.p50_seconds.unwrap() / 0.010 - 1.0).abs() < 0.022);
        assert!((traffic.latency.p99_seconds.unwrap() / 1.000 - 1.0).abs() < 0.022);
    }

    #[test]
    fn budget_and_burn_follow_what_failed() {
        let mut world = World::new(availability(3_600));
        // Half an hour at 1 % bad against a target of 99 %: burning at 1.0; then five minutes clean.
        world.seconds(1_800, |series| {
            (0..99).for_each(|_| series.record(0, &answered(1)));
            series.record(
                0,
                &Record {
                    cause: Cause::UpstreamStatus,
                    ..answered(1)
                },
            );
        });
        let objective = world.service().objectives.remove(0);
        assert!((objective.burn_over("5m").unwrap() - 1.0).abs() < 1e-9);
        assert!((objective.budget_left.unwrap() - 0.5).abs() < 1e-9);
        world.seconds(300, |series| {
            (0..100).for_each(|_| series.record(0, &answered(1)))
        });
        let objective = world.service().objectives.remove(0);
        assert_eq!(objective.burn_over("5m"), Some(0.0));
        assert!((objective.budget_left.unwrap() - 0.5).abs() < 1e-9);
        assert_eq!((objective.bad, objective.bad_left), (1_800, 300));
        assert_eq!(objective.observed_seconds, 2_100.0);
    }

    #[test]
    fn what_is_older_than_the_period_is_forgotten() {
        let mut world = World::new(availability(60));
        world.seconds(1, |series| {
            series.record(
                0,
                &Record {
                    cause: Cause::Reset,
                    ..answered(1)
                },
            )
        });
        world.seconds(59, |series| series.record(0, &answered(1)));
        assert_eq!(world.service().objectives.first().unwrap().bad, 1);
        world.seconds(1, |series| series.record(0, &answered(1)));
        let objective = world.service().objectives.remove(0);
        assert_eq!((objective.good, objective.bad), (60, 0));
        assert_eq!(objective.budget_left, Some(1.0));
    }

    #[test]
    fn a_service_that_serves_to_all_is_warned_of() {
        let mut world = World::new(availability(60));
        world.seconds(1, |_| ());
        let input = ServiceInput {
            serving_to_all: true,
            ..ServiceInput::default()
        };
        let inputs = Inputs {
            services: BTreeMap::from([("shop".to_owned(), input)]),
            ..Inputs::default()
        };
        let snapshot = world.measure.snapshot(Timestamp::default(), &inputs);
        assert_eq!(
            snapshot.warnings,
            ["no endpoint of shop is healthy: serving to all of them"]
        );
    }

    #[test]
    fn a_snapshot_survives_json() {
        let mut world = World::new(availability(60));
        world.seconds(3, |series| {
            series.record(
                0,
                &Record {
                    cause: Cause::Connect,
                    ..answered(1)
                },
            )
        });
        let at = Timestamp::from_seconds(1_795_615_852);
        let mut inputs = Inputs::default();
        inputs.events.push(EventView {
            at,
            service: None,
            text: "started".to_owned(),
        });
        let snapshot = world.measure.snapshot(at, &inputs);
        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    }

    struct World {
        registry: Arc<Registry>,
        series: Arc<Series>,
        measure: Measure,
        now: Instant,
    }

    impl World {
        fn new(objective: ObjectiveSpec) -> Self {
            let registry = Arc::new(Registry::new(1, 10));
            let objectives = vec![objective];
            let series = registry.service("shop", &objectives);
            let service = ServiceLayout {
                name: "shop".to_owned(),
                objectives,
                ..ServiceLayout::default()
            };
            let now = Instant::from_nanos(500_000_000);
            let measure = Measure::new(
                Arc::clone(&registry),
                Layout {
                    services: vec![service],
                    ..Layout::default()
                },
                now,
            );
            Self {
                registry,
                series,
                measure,
                now,
            }
        }

        fn seconds(&mut self, seconds: u64, each: impl Fn(&Series)) {
            for _ in 0..seconds {
                each(&self.series);
                self.now += SECOND;
                self.measure.tick(self.now);
            }
            assert_eq!(self.registry.overflowed(), 0);
        }

        fn service(&self) -> ServiceView {
            self.measure
                .snapshot(Timestamp::default(), &Inputs::default())
                .services
                .remove(0)
        }
    }

    pub(super) fn answered(millis: u64) -> Record {
        Record {
            class: Class::Standard,
            cause: Cause::Answered,
            latency: Duration::from_millis(millis),
            bytes_in: 0,
            bytes_out: 0,
            objectives: Record::ALL,
        }
    }

    pub(super) fn availability(period_seconds: u64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: "availability".to_owned(),
            sli: Sli::Availability,
            target: Ratio::try_from(0.99).unwrap(),
            period: Period::Rolling(Duration::from_secs(period_seconds)),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }
}
