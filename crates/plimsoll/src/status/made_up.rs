//! A bad Tuesday, made up: what the tests of `status` and `top` draw.

use plimsoll_core::{Class, Mode, Timestamp};
use plimsoll_measure::{ActionView, ClassView, ProtectionView, RefusedView};
use plimsoll_measure::{
    BurnView, Cause, Condition, ConfigView, EndpointState, EndpointView, ErrorView, EventView,
    Forecast, GovernedView, JourneyView, LatencyView, MovedView, ObjectiveView, SCHEMA,
    ServiceView, Snapshot, StepView, TrafficView,
};

pub(crate) fn made_up() -> Snapshot {
    let now = Timestamp::from_seconds(1_795_615_852);
    let ago = |seconds: u64| Timestamp::from_seconds(now.as_seconds() - seconds);
    let event = |seconds, service: Option<&str>, text: &str| EventView {
        at: ago(seconds),
        service: service.map(str::to_owned),
        text: text.to_owned(),
    };
    let mut catalog = service("catalog", Some((0.91, 0.2)), 3_120.0, 0.044, Some(0.100));
    catalog.serving_to_all = true;
    catalog.endpoints = vec![endpoint(
        "http://127.0.0.1:9011",
        EndpointState::Down,
        ago(250),
    )];
    let mut checkout = service("checkout", Some((0.58, 6.8)), 212.0, 0.238, Some(0.250));
    checkout.endpoints.push(endpoint(
        "http://127.0.0.1:9003",
        EndpointState::Down,
        ago(95),
    ));
    checkout.governed = Some(GovernedView {
        condition: Condition::Severe,
        since: Some(ago(160)),
        mode: Mode::Enforce,
        because_of: None,
        paged: vec!["availability".to_owned()],
        moved: vec![MovedView {
            actuator: "retry".to_owned(),
            step: 1,
            says: "no retries".to_owned(),
        }],
        brownout: None,
        onsets: Vec::new(),
        page_delays: Vec::new(),
    });
    checkout.traffic.bad_share = Some(0.034);
    checkout.traffic.errors = vec![
        error(Cause::UpstreamStatus, 396, 0.031),
        error(Cause::Timeout, 38, 0.003),
    ];
    checkout.in_flight = Some(38);
    checkout.protection = Some(ProtectionView {
        limit: Some(38),
        limit_reason: Some("over the line".to_owned()),
        in_flight: 38,
        wait_max_seconds: Some(0.02),
        objective_seconds: Some(0.25),
        objective_assumed: false,
        refused_per_second: Some(52.4),
        classes: vec![
            class(Class::Critical, 0, 2_900, 0),
            class(Class::Standard, 9, 9_800, 1_205),
            class(Class::Sheddable, 3, 2_400, 2_112),
        ],
        refused: vec![
            refused(Class::Standard, Cause::Shed, 1_174, 1_602),
            refused(Class::Standard, Cause::QueueTimeout, 31, 40),
            refused(Class::Sheddable, Cause::Shed, 2_112, 30_275),
        ],
        ..protection()
    });
    let mut reports = service("reports", Some((-0.08, 1.4)), 3.1, 8.4, Some(5.0));
    reports.objectives[0].forecast = Forecast::Gone;
    let mut feed = service("partner-feed", None, 0.0, 0.0, Some(2.0));
    feed.traffic.latency = LatencyView::default();
    feed.protection = None;
    Snapshot {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        instance: "shop-eu-1".to_owned(),
        now,
        uptime_seconds: 183_600.0,
        mode: Mode::Enforce,
        config: ConfigView {
            path: Some("/etc/plimsoll.toml".to_owned()),
            hash: "5d41402abc4b2a76b9719d911017c592".to_owned(),
            loaded_at: ago(7_200),
        },
        warnings: vec!["no endpoint of catalog is healthy: serving to all of them".to_owned()],
        connections: 1_204,
        cache: None,
        services: vec![
            catalog,
            checkout,
            feed,
            reports,
            service("search", Some((0.71, 0.8)), 2_310.0, 0.148, Some(0.200)),
            service(
                "a-service-with-a-very-long-name",
                Some((1.0, 0.0)),
                0.02,
                0.000_64,
                None,
            ),
        ],
        journeys: vec![JourneyView {
            name: "buy".to_owned(),
            owner: Some("payments".to_owned()),
            objective: "availability".to_owned(),
            target: 0.995,
            period: "28d".to_owned(),
            good_share: Some(0.9968),
            budget_left: Some(0.36),
            burn: vec![BurnView {
                window: "1h".to_owned(),
                rate: Some(7.1),
                observed_seconds: 3_600.0,
            }],
            steps: [("search", 0.1), ("checkout", 0.9)]
                .map(|(name, of_bad)| StepView {
                    service: name.to_owned(),
                    bad_share: Some(0.0032 * of_bad),
                    of_bad: Some(of_bad),
                })
                .into(),
        }],
        overlay: vec![plimsoll_measure::OverlayView {
            id: "c0ffee".to_owned(),
            service: "checkout".to_owned(),
            verb: "shed".to_owned(),
            level: Some(1),
            mode: None,
            says: "half of class sheddable is refused".to_owned(),
            by: "ana".to_owned(),
            why: "the sale".to_owned(),
            since: ago(600),
            until: Timestamp::from_seconds(now.as_seconds() + 600),
            journal: Some(7),
        }],
        approvals: Vec::new(),
        freezes: vec![plimsoll_measure::FreezeView {
            name: "checkout".to_owned(),
            services: vec!["checkout".to_owned()],
            all: false,
            by: "bo".to_owned(),
            why: "the audit".to_owned(),
            since: Some(ago(600)),
            until: Some(Timestamp::from_seconds(now.as_seconds() + 600)),
            acts: true,
            journal: Some(8),
        }],
        unrouted: TrafficView {
            requests_total: 1_402,
            ..TrafficView::default()
        },
        recent_events: vec![
            event(
                95,
                Some("checkout"),
                "endpoint http://127.0.0.1:9003 up → down: 3 connects in a row failed",
            ),
            event(
                250,
                Some("catalog"),
                "endpoint http://127.0.0.1:9011 up → down: health check: 503",
            ),
            event(7_200, None, "configuration loaded"),
        ],
        journal: None,
        notifiers: Vec::new(),
        incidents: Vec::new(),
        queues: None,
    }
}

fn service(
    name: &str,
    budget: Option<(f64, f64)>,
    rate: f64,
    p99: f64,
    below: Option<f64>,
) -> ServiceView {
    let burn = |window: &str, factor: f64| BurnView {
        window: window.to_owned(),
        rate: budget.map(|(_, burn)| burn * factor),
        observed_seconds: 60.0,
    };
    ServiceView {
        name: name.to_owned(),
        owner: Some("shop".to_owned()),
        tier: 1,
        depends_on: Vec::new(),
        mode: Mode::Enforce,
        in_flight: Some(12),
        serving_to_all: false,
        governed: None,
        maintenance: None,
        protection: Some(protection()),
        cache: None,
        versions: Vec::new(),
        traffic: TrafficView {
            requests_total: 1_000_000,
            requests_per_second: Some(rate),
            bad_share: budget.map(|_| 0.0),
            errors: Vec::new(),
            latency: LatencyView {
                p50_seconds: Some(p99 / 10.0),
                p95_seconds: Some(p99 / 2.0),
                p99_seconds: Some(p99),
                p999_seconds: Some(p99 * 2.0),
            },
        },
        objectives: vec![ObjectiveView {
            name: "latency".to_owned(),
            kind: "latency".to_owned(),
            below_seconds: below,
            target: 0.99,
            period_seconds: 28.0 * 86_400.0,
            calendar: None,
            observed_seconds: 28.0 * 86_400.0,
            version: 1,
            good: 1,
            bad: 1,
            budget_left: budget.map(|(left, _)| left),
            bad_left: 0,
            forecast: match budget {
                None => Forecast::Unknown,
                Some((_, burn)) if burn <= 1.0 => Forecast::Lasts,
                Some(_) => Forecast::GoneAt {
                    at: Timestamp::from_seconds(1_795_831_200),
                },
            },
            burn: vec![burn("5m", 0.75), burn("1h", 1.0)],
        }],
        endpoints: vec![endpoint(
            "http://127.0.0.1:9001",
            EndpointState::Up,
            Timestamp::from_seconds(0),
        )],
        routes: Vec::new(),
    }
}

fn protection() -> ProtectionView {
    ProtectionView {
        mode: Mode::Enforce,
        limit: Some(20),
        limit_max: Some(1_000),
        limit_reason: Some("hold".to_owned()),
        in_flight: 12,
        wait_max_seconds: Some(0.02),
        objective_seconds: Some(0.25),
        objective_assumed: true,
        refused_per_second: Some(0.0),
        classes: Class::ALL.map(|it| class(it, 0, 0, 0)).to_vec(),
        refused: Vec::new(),
        did: Vec::new(),
        would: Vec::new(),
    }
}

fn class(class: Class, queued: u64, requests: u64, refused: u64) -> ClassView {
    ClassView {
        class,
        queued,
        requests,
        refused,
        refused_share: (requests > 0).then(|| refused as f64 / requests as f64),
    }
}

pub(crate) fn refused(class: Class, cause: Cause, count: u64, total: u64) -> RefusedView {
    RefusedView {
        class,
        cause,
        count,
        total,
    }
}

pub(crate) fn action(
    policy: &str,
    outcome: &str,
    class: Option<Class>,
    count: u64,
    share: Option<f64>,
) -> ActionView {
    ActionView {
        policy: policy.to_owned(),
        outcome: outcome.to_owned(),
        class,
        count,
        share,
        saved: None,
    }
}

fn endpoint(name: &str, state: EndpointState, since: Timestamp) -> EndpointView {
    let traffic = TrafficView::default();
    EndpointView {
        name: name.to_owned(),
        version: None,
        state,
        since: Some(since),
        in_flight: Some(3),
        traffic,
    }
}

fn error(cause: Cause, count: u64, share: f64) -> ErrorView {
    ErrorView {
        cause,
        outcome: cause.outcome(),
        origin: cause.origin(),
        count,
        share,
    }
}
