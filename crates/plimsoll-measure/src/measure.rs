//! Once a second, reads all counters and keeps their history; from it, builds the [`Snapshot`].
//!
//! Runs on the control thread. It never writes a counter, and the data plane never waits for it.
//! Units: `now` is monotonic and drives the windows; the timestamp is only shown.
//! Elsewhere: the counters (`series`), the history (`window`), the exposition (`prometheus`).

mod history;
mod protection;
#[cfg(test)]
mod protection_tests;
mod tracked;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Instant, Mode, Timestamp, never_count};

use crate::objective::{Counts, ObjectiveSpec};
use crate::registry::{Registry, SeriesKey};
use crate::snapshot::{
    ConfigView, EndpointState, EndpointView, EventView, GovernedView, JournalView, OverlayView,
    REFUSALS, RouteView, SCHEMA, ServiceView, Snapshot, TrafficView,
};

pub use history::History;
use history::Restored;
pub use protection::{ProtectionCounter, ProtectionInput};
pub use tracked::BURN_WINDOWS;
use tracked::{Tracked, TrackedObjective};

/// How many events are shown.
pub const EVENTS_MAX: usize = 50;

/// What the configuration in force has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// By name.
    pub services: Vec<ServiceLayout>,
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
    /// By the name of the service.
    pub services: BTreeMap<String, ServiceInput>,
    /// The newest first; those after [`EVENTS_MAX`] are not shown.
    pub events: Vec<EventView>,
    /// What else someone should look at.
    pub warnings: Vec<String>,
    /// What people have set for a while.
    pub overlay: Vec<OverlayView>,
    /// The journal and its store; `None` where that is not known.
    pub journal: Option<JournalView>,
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
    /// How the governor sees it.
    pub governed: Option<GovernedView>,
}

/// What is known of an endpoint now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointInput {
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
    /// Those that Plimsoll refused since not all fits.
    pub refused: u64,
    /// In the order of the configuration: what each objective counted, and the share of its budget that is left, `None`
    /// without traffic.
    pub objectives: Vec<(Counts, Option<f64>)>,
}

/// The history of all series.
#[derive(Debug)]
pub struct Measure {
    registry: Arc<Registry>,
    layout: Layout,
    tracked: BTreeMap<SeriesKey, Tracked>,
    ticked: Instant,
    restored: Restored,
}

impl Measure {
    /// Begins to observe now.
    pub fn new(registry: Arc<Registry>, layout: Layout, now: Instant) -> Self {
        Self {
            registry,
            layout,
            tracked: BTreeMap::new(),
            ticked: now,
            restored: Restored::default(),
        }
    }

    /// Another configuration is in force. History stays with the names.
    pub fn set_layout(&mut self, layout: Layout) {
        self.layout = layout;
    }

    /// What a successor needs so that budgets outlive the process; to be written now and then.
    pub fn history(&self, timestamp: Timestamp) -> History {
        History::of(&self.tracked, self.ticked, timestamp)
    }

    /// Takes over what a predecessor observed, before the first tick. An objective that is not the same any
    /// more starts empty; the time between the two was not observed.
    pub fn restore(&mut self, history: History, timestamp: Timestamp) {
        self.restored = Restored::new(history, timestamp);
    }

    /// Reads all counters; to be called each second. What was counted since the last call is taken to have
    /// come in the time since then.
    pub fn tick(&mut self, now: Instant) {
        let observed = now - self.ticked;
        self.ticked = now;
        for reading in self.registry.read() {
            let tracked = self
                .tracked
                .entry(reading.key.clone())
                .or_insert_with(Tracked::new);
            tracked.on_reading(now, observed, reading, &mut self.restored);
        }
    }

    /// What came to each service of the configuration with the last tick, with its name.
    pub fn latest(&self) -> impl Iterator<Item = (&str, Latest)> {
        let services = self.layout.services.iter();
        services.map(|layout| (layout.name.as_str(), self.latest_of(layout)))
    }

    fn latest_of(&self, layout: &ServiceLayout) -> Latest {
        let tracked = self.tracked.get(&SeriesKey::Service(layout.name.clone()));
        let objective = |spec: &ObjectiveSpec| {
            let all = &tracked?.objectives;
            let objective = all.iter().find(|it| it.spec == *spec)?;
            Some((objective.latest, objective.budget_left(self.ticked)))
        };
        let each = layout.objectives.iter();
        let causes = tracked.map(|tracked| tracked.latest).unwrap_or_default();
        Latest {
            requests: causes.total(),
            refused: REFUSALS.iter().map(|cause| causes.with_cause(*cause)).sum(),
            objectives: each
                .map(|spec| objective(spec).unwrap_or_default())
                .collect(),
        }
    }

    /// The picture as of the last tick.
    pub fn snapshot(&self, timestamp: Timestamp, inputs: &Inputs) -> Snapshot {
        let services: Vec<ServiceView> = self
            .layout
            .services
            .iter()
            .map(|layout| self.service(layout, timestamp, inputs))
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
            services,
            overlay: inputs.overlay.clone(),
            unrouted: self.traffic(&SeriesKey::Unrouted),
            recent_events: inputs.events.iter().take(EVENTS_MAX).cloned().collect(),
            journal: inputs.journal.clone(),
        }
    }

    fn service(
        &self,
        layout: &ServiceLayout,
        timestamp: Timestamp,
        inputs: &Inputs,
    ) -> ServiceView {
        let key = SeriesKey::Service(layout.name.clone());
        let input = inputs.services.get(&layout.name);
        let tracked = self.tracked.get(&key);
        let objectives = tracked.map_or(&[] as &[TrackedObjective], |tracked| &tracked.objectives);
        ServiceView {
            name: layout.name.clone(),
            owner: layout.owner.clone(),
            tier: layout.tier,
            mode: layout.mode,
            in_flight: input.and_then(|input| input.in_flight),
            serving_to_all: input.is_some_and(|input| input.serving_to_all),
            governed: input.and_then(|input| input.governed.clone()),
            protection: input
                .and_then(|input| input.protection.as_ref())
                .map(|protection| protection::view(protection, tracked, self.ticked)),
            traffic: self.traffic(&key),
            objectives: layout
                .objectives
                .iter()
                .map(|spec| {
                    let tracked = objectives.iter().find(|objective| objective.spec == *spec);
                    tracked.map_or_else(
                        || TrackedObjective::new(spec, 1).view(self.ticked, timestamp),
                        |tracked| tracked.view(self.ticked, timestamp),
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
    use plimsoll_core::{Class, Ratio};

    use super::*;
    use crate::objective::Sli;
    use crate::outcome::Cause;
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
    fn a_budget_outlives_the_process() {
        let mut world = World::new(availability(3_600));
        world.seconds(600, |series| {
            (0..9).for_each(|_| series.record(0, &answered(1)));
            series.record(
                0,
                &Record {
                    cause: Cause::Reset,
                    ..answered(1)
                },
            );
        });
        let at = Timestamp::from_seconds(10_000);
        let json = serde_json::to_string(&world.measure.history(at)).unwrap();

        let restored = |objective, later: u64| {
            let mut next = World::new(objective);
            let history = serde_json::from_str(&json).unwrap();
            next.measure
                .restore(history, Timestamp::from_seconds(10_000 + later));
            next.seconds(1, |series| series.record(0, &answered(1)));
            let objective = next.service().objectives.remove(0);
            (objective.good, objective.bad)
        };
        assert_eq!(restored(availability(3_600), 60), (5_401, 600));
        assert_eq!(
            restored(availability(3_600), 3_600),
            (1, 0),
            "all of it is older than the period"
        );
        assert_eq!(
            restored(availability(1_800), 60),
            (1, 0),
            "another period is another objective"
        );
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

    fn answered(millis: u64) -> Record {
        Record {
            class: Class::Standard,
            cause: Cause::Answered,
            latency: Duration::from_millis(millis),
            bytes_in: 0,
            bytes_out: 0,
            objectives: Record::ALL,
        }
    }

    fn availability(period_seconds: u64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: "availability".to_owned(),
            sli: Sli::Availability,
            target: Ratio::try_from(0.99).unwrap(),
            period: Duration::from_secs(period_seconds),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }
}
