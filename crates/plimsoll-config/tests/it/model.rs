//! What a valid file becomes: defaults, bare values, and what beats what.

use std::path::Path;
use std::time::Duration;

use plimsoll_config::{
    Balance, Config, HashKey, HealthCheck, LogTarget, ObjectiveKind, Redirect, RouteAction,
    UpstreamProtocol, parse, render,
};
use plimsoll_core::{Class, Mode};
use plimsoll_governor::{Actuator, Condition};
use plimsoll_measure::Period;

#[track_caller]
fn config(source: &str) -> Config {
    match parse(source, "/etc/plimsoll/plimsoll.toml") {
        Ok((config, warnings)) => {
            assert_eq!(
                warnings,
                [],
                "{}",
                render(&warnings, source, "p.toml", false)
            );
            config
        }
        Err(diagnostics) => panic!("{}", render(&diagnostics, source, "p.toml", false)),
    }
}

fn app(extra: &str) -> Config {
    config(&format!(
        "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n{extra}\n[[route]]\nservice = \"app\"\n"
    ))
}

#[test]
fn the_shortest_file_has_the_documented_defaults() {
    let config = app("");
    insta::assert_debug_snapshot!(config);
}

#[test]
fn the_whole_scheme_is_read() {
    let config = config(include_str!("whole.toml"));
    assert_eq!(
        config.state_path.as_deref(),
        Some(Path::new("/etc/plimsoll/state"))
    );
    assert_eq!(config.gateway.listen.len(), 2);
    assert_eq!(
        config.gateway.listen[1].tls[0].key,
        Path::new("/etc/plimsoll/a.key")
    );
    assert_eq!(
        config.gateway.log.to,
        LogTarget::File("/var/log/plimsoll/access.log".into())
    );
    assert_eq!(config.gateway.limits.body_bytes_max, Some(1 << 30));
    let checkout = &config.services["checkout"];
    assert_eq!(checkout.depends_on, ["stock"]);
    let fast = &checkout.objectives["fast-enough"];
    assert_eq!(fast.routes, ["buy"]);
    assert_eq!(fast.classes, [Class::Critical, Class::Standard]);
    let [risky] = config.approvals.as_slice() else {
        panic!("{:?}", config.approvals);
    };
    assert_eq!(
        (risky.what.len(), risky.during.len(), risky.persons),
        (6, 2, 2)
    );
    assert_eq!(risky.conditions, [Condition::Burning, Condition::Severe]);
    assert_eq!(risky.lasts, Duration::from_secs(900));
    let christmas = &config.freezes["christmas"];
    assert_eq!(
        christmas.until.since(christmas.from),
        Duration::from_secs(17 * 86_400 + 8 * 3_600)
    );
    // It is of services of all that it says.
    assert!(
        !config
            .services
            .iter()
            .any(|(name, it)| christmas.covers(name, it))
    );
    assert!(christmas.is_on(christmas.from) && !christmas.is_on(christmas.until));
    assert!(checkout.freeze && !config.services["stock"].freeze);
    assert_eq!(config.governor.mode, Mode::Enforce);
    let pairs = &config.governor.pairs;
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].budget_share.get(), 0.025);
    assert_eq!(pairs[0].long, Duration::from_secs(5_400));
    assert_eq!(pairs[0].short, Duration::from_secs(450));
    assert_eq!(pairs[0].urgency, plimsoll_measure::Urgency::Ticket);
    let [gently, hard] = config.governor.rules.as_slice() else {
        panic!("{:?}", config.governor.rules);
    };
    assert_eq!((gently.condition, gently.tier), (Condition::Burning, None));
    assert_eq!(gently.may, [Actuator::Hedge, Actuator::Retry]);
    assert_eq!((hard.condition, hard.tier), (Condition::Severe, Some(3)));
    assert_eq!(checkout.protocol, UpstreamProtocol::Http2);
    assert_eq!(
        checkout.balance,
        Balance::ConsistentHash(HashKey::Header("x-user".into()))
    );
    let latency = &checkout.objectives["latency"];
    assert_eq!(
        latency.kind,
        ObjectiveKind::Latency {
            below: Duration::from_millis(250)
        }
    );
    assert_eq!(
        checkout.objectives["fast-enough"].kind,
        ObjectiveKind::Latency {
            below: Duration::from_secs(1)
        }
    );
    let route = &config.routes[0];
    assert_eq!(route.name, "buy");
    assert_eq!(route.class, Class::Critical);
    assert_eq!(route.tenant_header.as_deref(), Some("x-api-key"));
    assert_eq!(route.headers["x-beta"], Some("1".to_owned()));
    assert_eq!(route.headers["x-debug"], None);
    assert_eq!(route.deadline.head, Some(Duration::from_secs(2)));
    assert_eq!(
        route.rewrite.request_set,
        [("x-from".to_owned(), "plimsoll".to_owned())]
    );
    assert_eq!(route.rewrite.response_remove, ["server"]);
    let to_tls = Redirect {
        scheme: Some("https".into()),
        host: None,
        path: None,
        status: 308,
    };
    assert_eq!(config.routes[2].action, RouteAction::Redirect(to_tls));
    assert_eq!(config.routes[2].name, "route-3");
}

#[test]
fn a_service_beats_the_defaults_key_by_key() {
    let config = config(
        r#"
        [defaults]
        health = { path = "/up", interval = "9s" }
        objective.availability = { target = "99%", period = "7d" }
        [defaults.protect]
        deadline = { head = "5s", total = "9s" }
        [service.a]
        endpoints = "http://10.0.0.1"
        [service.b]
        endpoints = "http://10.0.0.2"
        health = "/healthz"
        objective.availability = "99.9%"
        protect.deadline = "1s"
        [service.c]
        endpoints = "http://10.0.0.3"
        health.kind = "tcp"
        protect.deadline.total = "none"
        [service.d]
        endpoints = "http://10.0.0.4"
        health.kind = "none"
        [[route]]
        service = "a"
        [[route]]
        service = "b"
        path = "/b"
        [[route]]
        service = "c"
        path = "/c"
        [[route]]
        service = "d"
        path = "/d"
        "#,
    );
    let health = |name: &str| {
        config.services[name]
            .health
            .as_ref()
            .map(|health| (health.check.clone(), health.interval))
    };
    let nine = Duration::from_secs(9);
    assert_eq!(
        health("a"),
        Some((HealthCheck::Http { path: "/up".into() }, nine))
    );
    assert_eq!(
        health("b"),
        Some((
            HealthCheck::Http {
                path: "/healthz".into()
            },
            nine
        ))
    );
    assert_eq!(health("c"), Some((HealthCheck::Tcp, nine)));
    assert_eq!(health("d"), None);
    let availability = &config.services["b"].objectives["availability"];
    assert_eq!(
        (availability.target.get(), availability.period),
        (0.999, Period::Rolling(Duration::from_secs(7 * 86_400)))
    );
    let deadline = |name: &str| config.services[name].protect.deadline;
    assert_eq!(
        (deadline("b").head, deadline("b").total),
        (Duration::from_secs(1), Some(nine))
    );
    assert_eq!(
        (deadline("c").head, deadline("c").total),
        (Duration::from_secs(5), None)
    );
}

#[test]
fn a_bare_value_is_the_main_key() {
    let config = app(
        "health = \"/healthz\"\nprotect.retry = 3\nprotect.deadline = \"2s\"\nbalance = \"round-robin\"\n[gateway]\nlisten = \"0.0.0.0:80\"\nmode = \"observe\"\n",
    );
    let app = &config.services["app"];
    assert_eq!(app.protect.retry.attempts, 3);
    assert_eq!(app.protect.deadline.head, Duration::from_secs(2));
    assert_eq!(app.protect.deadline.idle, Duration::from_secs(60));
    assert_eq!(app.balance, Balance::RoundRobin);
    assert_eq!(
        config.gateway.listen[0].address,
        "0.0.0.0:80".parse().unwrap()
    );
    assert_eq!(config.gateway.mode, Mode::Observe);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_read() {
    config(
        "\u{feff}[service.app]\r\nendpoints = \"http://10.0.0.1\"\r\n[[route]]\r\nservice = \"app\"\r\n",
    );
}
