use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{
    ApprovalView, BurnView, Condition, ConfigView, EndpointState, EndpointView, Forecast,
    GovernedView, IncidentRecord, IncidentView, Incidents, ObjectiveView, OverlayView,
    RolloutState, RolloutView, RouteView, SCHEMA, ServiceView, TrafficView,
};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::change::{KeptConfiguration, WatchView};

const EVIL: &str = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>";

/// The page at an address, in its frame.
fn shown(address: &str, snapshot: Snapshot) -> String {
    let sight = sight(snapshot);
    let page = draw(&Address::parse(address).unwrap(), &sight);
    frame::framed(&page, Some(&sight.snapshot), None, address)
}

fn sight(snapshot: Snapshot) -> Sight {
    Sight {
        snapshot: Arc::new(snapshot),
        who: None,
        traffic: Traffic::new(),
        steps: Vec::new(),
        past: None,
        without: None,
        water: Arc::default(),
        configuration: EVIL.into(),
        configurations: Arc::new(Configurations {
            configurations: vec![KeptConfiguration {
                number: 12,
                at: Timestamp::from_seconds(1_795_615_000),
                by: EVIL.to_owned(),
                why: Some(EVIL.to_owned()),
                how: "apply".to_owned(),
                plan: None,
                sha256: EVIL.to_owned(),
                bytes: 7,
                in_force: true,
            }],
            watch: Some(WatchView {
                plan: EVIL.to_owned(),
                by: EVIL.to_owned(),
                since: Timestamp::from_seconds(1_795_615_000),
                until: Timestamp::from_seconds(1_795_615_300),
                services: vec![EVIL.to_owned()],
                state: "watching".to_owned(),
                evidence: EVIL.to_owned(),
            }),
            set_aside: Some(EVIL.to_owned()),
        }),
        approvals: Arc::new(vec![approval(1, "waiting"), approval(2, "refused")]),
        incidents: Ok(Arc::new(incidents())),
        runbook: Some(Runbook::Text {
            name: EVIL.to_owned(),
            text: format!("# {EVIL}\n\n[a](javascript:alert(1))\n\n```\nplimsoll {EVIL}\n```\n"),
        }),
        request: Some(format!(
            r#"{{"path":{},"service":{}}}"#,
            json!(EVIL),
            json!(EVIL)
        )),
        rollouts: Arc::new(vec![rollout(EVIL)]),
        flags: Some(FlagList {
            source: EVIL.to_owned(),
            digest: EVIL.to_owned(),
            flags: vec![flag(EVIL)],
        }),
        flag: Some(flag(EVIL)),
        told: Arc::new(Told {
            records: Ok(Records {
                records: vec![event(EVIL)],
                next: Some(EVIL.to_owned()),
            }),
            ..Told::default()
        }),
    }
}

/// A request of somebody who would like to be markup.
fn approval(id: u64, state: &str) -> ApprovalView {
    let at = Timestamp::from_seconds(1_795_615_852);
    ApprovalView {
        id,
        kind: "degrade".to_owned(),
        subject: EVIL.to_owned(),
        says: EVIL.to_owned(),
        effect: vec![EVIL.to_owned()],
        services: vec![EVIL.to_owned()],
        by: EVIL.to_owned(),
        why: Some(EVIL.to_owned()),
        persons: 2,
        missing: 1,
        approved_by: vec![EVIL.to_owned()],
        rules: vec![EVIL.to_owned()],
        content: "a1b2".to_owned(),
        state: state.to_owned(),
        came: EVIL.to_owned(),
        since: at,
        until: at + Duration::from_secs(3_600),
        changed: at,
        journal: Some(7),
    }
}

/// A flag of somebody who would like to be markup.
fn flag(text: &str) -> FlagView {
    serde_json::from_value(json!({
        "key": text, "owner": text, "rollout": text, "dimmed": { "service": text, "share": 0.25 }, "enabled": true,
        "variants": [text], "default": text, "targeting": true, "stale": text, "evaluations": 7, "version": 1,
        "changed": { "by": text, "why": text, "at": "2026-11-25T14:10:52.000Z" },
        "set": { "verb": text, "variant": text, "by": text, "why": text, "until": "2026-11-25T15:10:52.000Z" },
        "definition": { "variants": { text: text } },
    }))
    .unwrap()
}

/// These records, and no more of them.
fn told(records: Vec<serde_json::Value>) -> Arc<Told> {
    Arc::new(Told {
        records: Ok(Records {
            records,
            next: None,
        }),
        ..Told::default()
    })
}

fn event(text: &str) -> serde_json::Value {
    json!({
        "type": format!("plimsoll.{text}"), "source": format!("/plimsoll/{text}"), "sequence": "7",
        "time": "2026-11-25T14:10:52.000Z", "subject": format!("service/{text}"), "hash": text, "previoushash": text,
        "data": { "text": text, "decision": { "what": "move", "mode": "enforce", "evidence": { "objective": text } } },
    })
}

/// One that is open and one that somebody resolved, of the same hostile service.
fn incidents() -> Incidents {
    let decision = |what: &str| json!({ "decision": { "what": what, "urgency": "page", "evidence": { "objective": EVIL, "budget_left": 0.5 } } });
    let subject = format!("service/{EVIL}");
    let by = |mut deed: serde_json::Value| {
        deed["by"] = EVIL.into();
        deed
    };
    let note = by(json!({ "what": "note", "note": EVIL }));
    let resolve = by(json!({ "what": "resolve", "why": EVIL }));
    let onset = json!({ "onset": { "objective": EVIL, "at": "2026-11-25T14:10:00.000Z", "changes": [{ "what": EVIL }] } });
    let records = [
        (3, "decision", subject.as_str(), decision("page")),
        (4, "onset", subject.as_str(), onset),
        (5, "incident", "incident/3", note),
        (6, "incident", "incident/3", resolve),
        (7, "decision", subject.as_str(), decision("page")),
    ];
    let mut all = Incidents::default();
    for (sequence, kind, subject, body) in records {
        all.on_record(IncidentRecord {
            sequence,
            at: Timestamp::from_seconds(1_795_615_840 + sequence),
            kind,
            subject,
            body: body.to_string().as_bytes(),
        });
    }
    all
}

/// A rollout that was struck once and is on again.
fn rollout(name: &str) -> RolloutView {
    let arm = json!({ "requests": 1_000, "bad": 4, "slow": 9, "up": 1, "endpoints": 2 });
    serde_json::from_value(json!({
        "name": name, "service": name, "owner": name, "version": name, "kind": "canary", "by": name, "state": "running",
        "says": name, "weight": 0.05, "revision": 4, "step": 1,
        "steps": [
            { "weight": 0.01, "seconds": 300.0, "gate": false, "began": "2026-11-25T14:00:00.000Z" },
            { "weight": 0.05, "seconds": 600.0, "gate": false, "began": "2026-11-25T14:05:00.000Z" },
            { "weight": 1.0, "seconds": 3600.0, "gate": true, "began": null },
        ],
        "run": {
            "began": "2026-11-25T14:00:00.000Z", "ended": null, "by": name, "why": name, "journal": 7, "strikes": 1, "strikes_max": 2,
            "evidence": [{ "of": name, "e": 3.5, "strikes_at": 10.0, "ratio_least": 0.8, "ratio_most": null }],
            "price": { "spent": 0.0004, "limit": 0.02, "requests": 1e8, "period_seconds": 2_419_200.0, "worst": 0.013, "more": 210.0 },
            "stable": arm, "canary": arm,
            "course": [
                { "at": "2026-11-25T14:00:10.000Z", "weight": 0.01, "e": 1.0, "ladder": 1.0, "spent": 0.0 },
                { "at": "2026-11-25T14:07:00.000Z", "weight": 0.05, "e": 3.5, "ladder": 0.7, "spent": 0.0004 },
            ],
        },
    }))
    .unwrap()
}

/// The addresses of all pages.
fn addresses() -> Vec<String> {
    let name = segment(EVIL);
    let mut all: Vec<String> = [
        "/",
        "/decisions",
        "/decisions/7",
        "/incidents",
        "/incidents/3",
        "/incidents/7",
        "/rollouts",
        "/flags",
        "/topology",
        "/configuration",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("/services/{name}?range=10m"));
    all.push(format!("/requests/{name}"));
    all.push(format!("/rollouts/{name}"));
    all.push(format!("/flags/{name}"));
    all.push(format!(
        "/decisions?service={name}&text={name}&kind={name}&since={name}&before={name}"
    ));
    all.push(format!("/?owner={name}&find={name}"));
    all
}

#[test]
fn what_comes_from_a_snapshot_cannot_become_markup() {
    let mut snapshot = fleet(1);
    snapshot.instance = EVIL.to_owned();
    snapshot.warnings.push(EVIL.to_owned());
    snapshot.services.push(service(EVIL, Condition::Severe));
    for address in addresses() {
        let page = shown(&address, snapshot.clone());
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, 1, "one, of our own: {page}");
        assert!(!page.contains("<img") && !page.contains("\"'&<"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{address}: {page}");
    }
}

#[test]
fn names_of_all_kinds_stay_text_and_are_found_again() {
    let names = [
        "n".repeat(200),
        "\u{202e}gnp.exe\u{202c}".to_owned(),
        "مرحبا".to_owned(),
        "it's \"quoted\"".to_owned(),
        "one\ntwo\r\nthree".to_owned(),
        "a/b?c#d%2F".to_owned(),
        "</section><section id=\"services\">".to_owned(),
    ];
    for name in names {
        let mut snapshot = fleet(1);
        snapshot.services.push(service(&name, Condition::Severe));
        let link = format!("/services/{}", segment(&name));
        for address in ["/", "/topology", &link] {
            let page = shown(address, snapshot.clone());
            assert!(page.contains(&link), "{address}: {page}");
            assert_eq!(
                page.matches("id=\"services\"").count(),
                usize::from(address == "/")
            );
            assert!(!page.contains("\"quoted\""), "{page}");
        }
        let found = Address::parse(&link);
        assert_eq!(found, Some(Address::Service(name, ServiceQuery::default())));
    }
}

proptest! {
    #[test]
    fn any_address_is_a_page_or_none(path in "(/|/services/|/decisions/?|/topology|/requests/)[ -~]{0,12}", query in "[ -~]{0,24}") {
        let address = format!("{path}?{query}");
        if let Some(address) = Address::parse(&address) {
            let page = draw(&address, &sight(fleet(3)));
            prop_assert!(page.status.is_success() || page.status.is_client_error());
        }
    }

    #[test]
    fn any_name_is_found_again_by_its_link(name in "\\PC{1,40}") {
        let link = format!("/services/{}", segment(&name));
        prop_assert_eq!(Address::parse(&link), Some(Address::Service(name, ServiceQuery::default())));
    }
}

#[test]
fn there_is_nothing_that_the_policy_forbids() {
    for address in addresses() {
        let page = shown(&address, fleet(50));
        assert!(
            !page.contains("style=") && !page.contains("<style"),
            "{page}"
        );
        assert!(page.contains("<script src=\"/assets/console-"), "{page}");
        for handler in [" onload", " onclick", "javascript:"] {
            assert!(!page.contains(handler), "{handler}");
        }
    }
}

#[test]
fn what_is_unknown_is_never_shown_as_zero() {
    let mut snapshot = fleet(0);
    let mut service = service("shop", Condition::Unknown);
    service.objectives.clear();
    service.traffic = TrafficView::default();
    service.governed = None;
    snapshot.services.push(service);
    let page = shown("/", snapshot);
    assert!(
        page.contains("hatch-unknown") && page.contains("no objective"),
        "{page}"
    );
    assert!(!page.contains(">0.0") && !page.contains(">0 %"), "{page}");
}

#[test]
fn an_empty_fleet_says_how_to_add_a_service() {
    let page = shown("/", fleet(0));
    assert!(
        page.contains("[service.shop]") && page.contains("plimsoll check"),
        "{page}"
    );
    assert!(
        page.contains("No service") && !page.contains("<table"),
        "{page}"
    );
}

#[test]
fn what_needs_attention_comes_first() {
    let mut snapshot = fleet(0);
    for (name, condition) in [
        ("calm", Condition::Healthy),
        ("dark", Condition::Unknown),
        ("spent", Condition::Exhausted),
        ("hot", Condition::Burning),
        ("worst", Condition::Severe),
    ] {
        snapshot.services.push(service(name, condition));
    }
    let mut tighter = service("tighter", Condition::Burning);
    tighter.objectives[0].budget_left = Some(0.1);
    snapshot.services.push(tighter);
    let page = shown("/", snapshot);
    let rows: Vec<&str> = page
        .split("data-key=\"")
        .skip(1)
        .filter_map(|it| it.split('"').next())
        .collect();
    assert_eq!(rows, ["worst", "tighter", "hot", "spent", "dark", "calm"]);
    let strip = "1 severe, 2 burning";
    assert!(
        page.contains(strip) && page.contains("1 exhausted · 1 unknown · 1 healthy"),
        "{page}"
    );
}

#[test]
fn a_filter_shows_what_is_like_it() {
    let names = |address: &str| {
        let page = shown(address, fleet(30));
        page.matches("data-key=").count()
    };
    assert_eq!(names("/"), 30);
    assert_eq!(names("/?find=SERVICE-17"), 1);
    assert_eq!(names("/?show=attention"), 10);
    assert_eq!(names("/?tier=1&find="), 30);
    assert_eq!(names("/?tier=9"), 0);
    assert_eq!(Address::parse("/?tier=x"), None);
    for wrong in [
        "/api/v1/status",
        "/services",
        "/services/",
        "/services/a/b",
        "/services/%ff",
        "/decisions/x",
        "/incidents/x",
        "/incidents/7/note",
        "/x",
    ] {
        assert_eq!(Address::parse(wrong), None, "{wrong}");
    }
    let named = Address::parse("/services/a%2Fb%20c").unwrap();
    assert_eq!(
        named,
        Address::Service("a/b c".to_owned(), ServiceQuery::default())
    );
}

#[test]
fn two_hundred_services_fit_whatever_their_condition() {
    let style = plimsoll_plot::TOKENS.len() + plimsoll_plot::COMPONENTS.len();
    for all in [Condition::Healthy, Condition::Severe] {
        let mut snapshot = fleet(0);
        for number in 0..200 {
            let mut service = service(&format!("a-service-with-a-name-{number}"), all);
            service.owner = Some(format!("team-{}", number % 20));
            service.depends_on.clear();
            snapshot.services.push(service);
        }
        // Curves as long as they get.
        let wave = |place: usize| {
            Some((
                900.0 + 17.3 * ((place * 7919) % 41) as f64,
                3.7 * (place % 5) as f64,
            ))
        };
        let traffic = snapshot
            .services
            .iter()
            .map(|it| (it.name.clone(), (0..TRAFFIC_POINTS).map(wave).collect()));
        let traffic = traffic.collect();
        let sight = Sight {
            traffic,
            ..sight(snapshot)
        };
        let page = draw(&Address::Fleet(FleetQuery::default()), &sight);
        let page = frame::framed(&page, Some(&sight.snapshot), None, "/");
        let size = page.len() + style;
        assert!(size < 150 << 10, "{all:?}: {size}");
        let named = (0..200).filter(|it| page.contains(&format!("a-service-with-a-name-{it}<")));
        assert_eq!(named.count(), 200);
    }
}

#[test]
fn a_busy_hour_of_a_service_fits() {
    let style = plimsoll_plot::TOKENS.len() + plimsoll_plot::COMPONENTS.len();
    let mut snapshot = fleet(0);
    let mut service = service("shop", Condition::Severe);
    service.depends_on.clear();
    for name in ["latency", "reads"] {
        let mut objective = service.objectives[0].clone();
        objective.name = name.to_owned();
        objective.below_seconds = Some(0.12);
        service.objectives.push(objective);
    }
    let now = snapshot.now.as_seconds();
    snapshot.services.push(service);
    // As many latencies are near the middle as there are of a busy service, and one cell in eight is another than the one
    // beside it.
    let bell = |place: u64, row: u8| {
        let off = (f64::from(row) - 40.0) / 6.0;
        let noise = 1.0 + 0.2 * ((place * 7_919 + u64::from(row) * 104_729) % 11) as f64 / 11.0;
        1 + (9_000.0 * noise * (-off * off).exp()) as u32
    };
    let step = |place: u64| Step {
        start: (now / 30 + 1 - 120 + place) * 30,
        observed: Duration::from_secs(30),
        requests: 40_000 + 977 * (place % 7),
        good: 38_000 + 613 * (place % 5),
        bad: 1_700 + 31 * (place % 11),
        causes: [700, 400, 300, 10, 290 + place],
        stand_ins: [9_000 + 37 * (place % 9), 700, 41],
        standing: plimsoll_measure::Standing {
            limit: Some(200 + (place % 13) as u32),
            in_flight: 150 + (place % 17) as u32,
            queued: (place % 9) as u32,
            ..plimsoll_measure::Standing::default()
        },
        p50: Some(Duration::from_micros(22_000 + 731 * (place % 6))),
        p99: Some(Duration::from_micros(412_000 + 7_310 * (place % 23))),
        rows: (20..68).map(|row| (row, bell(place, row))).collect(),
    };
    let records = (0..200).map(|sequence| {
        let mut event = event("shop");
        event["type"] = json!("plimsoll.decision");
        event["sequence"] = json!(sequence.to_string());
        event["data"]["text"] = json!("half of class sheddable is refused: 19.7 % of what is let in fails (latency, 43.4x over 10 s, 42.0x over 30 s)");
        event
    });
    let sight = Sight {
        steps: (0..120).map(step).collect(),
        told: told(records.collect()),
        ..sight(snapshot)
    };
    let page = draw(
        &Address::Service("shop".to_owned(), ServiceQuery::default()),
        &sight,
    );
    let page = frame::framed(&page, Some(&sight.snapshot), None, "/");
    let size = page.len() + style;
    assert!(size < 150 << 10, "{size}");
}

#[test]
fn what_answered_in_place_of_a_service_is_drawn_where_something_did() {
    let mut snapshot = fleet(0);
    snapshot.services.push(service("shop", Condition::Burning));
    let now = snapshot.now.as_seconds();
    let drawn = |stand_ins: [u64; 3]| {
        let step = Step {
            start: now - now % 30,
            observed: Duration::from_secs(30),
            requests: 1_000,
            good: 1_000,
            stand_ins,
            ..Step::default()
        };
        let sight = Sight {
            steps: vec![step],
            ..sight(snapshot.clone())
        };
        let page = draw(&Address::parse("/services/shop").unwrap(), &sight);
        frame::framed(&page, Some(&sight.snapshot), None, "/services/shop")
    };
    let page = drawn([200, 0, 50]);
    assert!(page.contains("25.0 % lately"), "{page}");
    assert!(page.contains("</svg>fresh<"), "{page}");
    assert!(page.contains("</svg>fallback<"), "{page}");
    assert!(!page.contains("</svg>stale<"), "{page}");
    assert!(!drawn([0; 3]).contains("Answered in its place"));
}

#[test]
fn what_is_longer_than_an_hour_is_drawn_from_the_store_and_says_where_that_fails() {
    let mut snapshot = fleet(0);
    snapshot.services.push(service("shop", Condition::Burning));
    let now = snapshot.now.as_seconds();
    let drawn = |past: Result<Arc<PastView>, Problem>| {
        let mut sight = sight(snapshot.clone());
        sight.past = Some(past);
        let address = "/services/shop?range=28d";
        let page = draw(&Address::parse(address).unwrap(), &sight);
        frame::framed(&page, Some(&sight.snapshot), None, address)
    };
    let step = Step {
        start: now - now % Past::FourWeeks.step(),
        observed: Duration::from_secs(3_600),
        requests: 7_200,
        good: 7_000,
        bad: 200,
        causes: [150, 0, 0, 0, 50],
        p99: Some(Duration::from_millis(70)),
        ..Step::default()
    };
    let view = PastView {
        objective: Some("availability".to_owned()),
        steps: vec![step],
    };
    let page = drawn(Ok(Arc::new(view)));
    assert!(page.contains("as objective availability counts"), "{page}");
    assert!(page.contains("at most 2.8 % of all"), "{page}");
    // What is not kept is not shown as nothing.
    assert!(!page.contains("Concurrency"), "{page}");
    let page = drawn(Ok(Arc::default()));
    assert!(
        page.contains("Without an objective nothing is kept"),
        "{page}"
    );
    let page = drawn(Err(Problem::unavailable("the store: disk I/O error")));
    assert!(
        page.contains("can't be read now: the store: disk I/O error"),
        "{page}"
    );
}

#[test]
fn what_people_have_set_is_said_with_who_why_and_until() {
    let mut snapshot = fleet(1);
    snapshot.overlay.push(OverlayView {
        id: "1".to_owned(),
        service: "service-0".to_owned(),
        verb: "shed".to_owned(),
        level: Some(2),
        mode: None,
        says: "class sheddable is refused".to_owned(),
        by: "ana".to_owned(),
        why: "<it> melts".to_owned(),
        since: Timestamp::from_seconds(1_795_615_852),
        until: Timestamp::from_seconds(1_795_616_452),
        journal: Some(7),
    });
    let page = shown("/", snapshot);
    let said =
        "class sheddable is refused, set by ana until 2026-11-25 14:20 UTC: &lt;it&gt; melts";
    assert!(
        page.contains(said) && page.contains("held by ana"),
        "{page}"
    );
}

#[test]
fn actions_are_offered_to_those_who_may_and_named_to_operators_of_others() {
    use crate::access::Role;
    let mut snapshot = fleet(1);
    for (verb, level) in [("shed", Some(2)), ("no-retries", None)] {
        snapshot.overlay.push(OverlayView {
            id: verb.to_owned(),
            service: "service-0".to_owned(),
            verb: verb.to_owned(),
            level,
            mode: None,
            says: verb.to_owned(),
            by: "ana".to_owned(),
            why: "it melts".to_owned(),
            since: snapshot.now,
            until: snapshot.now,
            journal: Some(7),
        });
    }
    let seen = |address: &str, who: Option<(Role, &str)>| {
        let who = who.map(|(role, owner)| Caller {
            name: "ana".to_owned(),
            role,
            owners: vec![owner.to_owned()],
        });
        let sight = Sight {
            who,
            ..sight(snapshot.clone())
        };
        let page = draw(&Address::parse(address).unwrap(), &sight);
        frame::framed(&page, Some(&sight.snapshot), sight.who.as_ref(), address)
    };
    let mine = "owner of service-0";
    for address in ["/services/service-0", "/configuration"] {
        for who in [None, Some((Role::Viewer, mine))] {
            let page = seen(address, who);
            assert!(
                !page.contains("/end/") && !page.contains("disabled"),
                "{page}"
            );
            assert!(!page.contains("Shed…"), "{page}");
        }
        let page = seen(address, Some((Role::Operator, "others")));
        assert!(!page.contains("/end/") && !page.contains("/set/"), "{page}");
        assert!(
            page.contains("disabled") && page.contains("belongs to owner of service-0"),
            "{page}"
        );
        let page = seen(address, Some((Role::Operator, mine)));
        assert!(
            page.contains("href=\"/services/service-0/end/shed\""),
            "{page}"
        );
        assert!(!page.contains("disabled"), "{page}");
    }
    let page = seen("/services/service-0", Some((Role::Operator, mine)));
    for expected in [
        "/set/shed\">Shed…",
        "/set/governor-mode",
        "End shed 2…",
        "End no-retries…",
        "/end/all",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(seen("/", None).contains("href=\"/sign-in?next=%2F\">Sign in"));
}

#[test]
fn an_open_incident_is_in_the_navigation_and_in_the_strip() {
    let mut snapshot = fleet(1);
    assert!(!shown("/", snapshot.clone()).contains("class=\"pip\""));
    snapshot.incidents.push(IncidentView {
        id: 42,
        service: "service-0".to_owned(),
        called: Timestamp::from_seconds(1_795_615_000),
        acknowledged_by: None,
        group: None,
        suspect: None,
    });
    let page = shown("/", snapshot);
    for text in [
        "aria-label=\"1 open\"",
        "href=\"/incidents/42\"",
        "nobody has acknowledged it",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn an_incident_says_what_is_known_and_what_is_not() {
    let mut snapshot = fleet(0);
    snapshot.services.push(service(EVIL, Condition::Severe));
    let page = shown("/incidents/7", snapshot.clone());
    for text in [
        "#7 open",
        "nobody has acknowledged it",
        "When it began is not found",
        "href=\"/incidents/3\"",
        "memory has the last hour",
        "<div class=\"cmd\"><code>plimsoll &lt;script&gt;",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let page = shown("/incidents/3", snapshot.clone());
    for text in ["#3 ended", "resolved by", "plimsoll incident review 3"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(shown("/incidents/9", snapshot).contains("there is no incident #9"));
}

#[test]
fn a_long_incident_shows_its_beginning_and_says_what_is_left_out() {
    let at = |seconds: u64| Timestamp::from_seconds(1_795_615_847 + seconds);
    let record = |sequence: u64, kind: &str, data: serde_json::Value| {
        json!({
            "type": format!("plimsoll.{kind}"), "source": "/plimsoll/a", "sequence": sequence.to_string(),
            "time": at(sequence).to_rfc3339(), "subject": format!("service/{EVIL}"), "data": data,
        })
    };
    let suspect = json!({ "what": "the new configuration", "strength": "very-likely" });
    let onset = json!({ "objective": EVIL, "at": at(0).to_rfc3339(), "earliest": at(0).to_rfc3339(), "latest": at(1).to_rfc3339(), "suspects": [suspect] });
    let onset = json!({ "text": "onset", "onset": onset });
    let moved =
        json!({ "text": "shed sheddable", "decision": { "what": "move", "mode": "enforce" } });
    let mut records = vec![record(1, "onset", onset), record(2, "decision", moved)];
    let noise = |sequence| {
        record(
            sequence,
            "endpoint",
            json!({ "text": format!("down-{sequence}.") }),
        )
    };
    records.extend((3..150).map(noise));
    records.extend((1_000..1_100).map(noise));
    let mut snapshot = fleet(1);
    snapshot.services.push(service(EVIL, Condition::Severe));
    let seen = |told| {
        let sight = Sight {
            told: Arc::new(told),
            ..sight(snapshot.clone())
        };
        let page = draw(&Address::Incident(7), &sight);
        frame::framed(&page, Some(&sight.snapshot), None, "/incidents/7")
    };
    let long = Told {
        records: Ok(Records {
            records,
            next: None,
        }),
        left_out: vec![(at(149), at(1_000))],
        ..Told::default()
    };
    let page = seen(long);
    for text in [
        "the new configuration",
        "shed sheddable",
        "down-30.",
        "down-1099.",
        "more between 2026-11-25 14:11:1",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("down-40."), "{page}");
    assert_eq!(page.matches("more between").count(), 1, "{page}");
    assert!(!page.contains("nothing was moved"), "{page}");
}

#[test]
fn a_budget_has_what_is_to_be_expected_and_what_people_were_called_for() {
    let mut snapshot = fleet(1);
    let (now, name) = (snapshot.now, snapshot.services[0].name.clone());
    let seen = |snapshot: &Snapshot| {
        let mut known = Incidents::default();
        let call = |what: &str, objective: &str, left: f64| json!({ "decision": { "what": what, "urgency": "page", "evidence": { "objective": objective, "budget_left": left } } });
        let ago = |days: u64| Timestamp::from_seconds(now.as_seconds() - 86_400 * days);
        for (sequence, at, body) in [
            (1, ago(40), call("page", &name, 0.9)),
            (2, ago(39), call("resolved", &name, 0.8)),
            (10, ago(7), call("page", &name, 0.75)),
            (11, ago(6), call("resolved", &name, 0.5)),
            (20, ago(5), call("page", "another", 0.75)),
        ] {
            known.on_record(IncidentRecord {
                sequence,
                at,
                kind: "decision",
                subject: &format!("service/{name}"),
                body: body.to_string().as_bytes(),
            });
        }
        let sight = Sight {
            incidents: Ok(Arc::new(known)),
            water: Arc::new(Water(
                [((name.clone(), name.clone()), vec![Some(0.2); 112])].into(),
            )),
            ..sight(snapshot.clone())
        };
        let address = Address::parse(&format!("/services/{name}")).unwrap();
        draw(&address, &sight).sections.remove(3).markup.0
    };
    let page = seen(&snapshot);
    assert!(!page.contains("forecast"), "{page}");
    assert!(page.contains("lasts the period"), "{page}");
    assert!(page.contains(">#10</text>"), "{page}");
    assert!(
        page.contains("href=\"/incidents/10\">#10</a> 18 Nov (25.0 %)"),
        "{page}"
    );
    assert!(!page.contains("#20") && !page.contains("#1<"), "{page}");
    let at = Timestamp::from_seconds(now.as_seconds() + 7_200);
    snapshot.services[0].objectives[0].forecast = Forecast::GoneAt { at };
    let page = seen(&snapshot);
    assert!(page.contains("class=\"ns forecast\" d=\"M"), "{page}");
}

#[test]
fn shares_of_few_requests_say_of_how_many_and_endpoints_what_they_get() {
    let mut snapshot = fleet(1);
    let name = snapshot.services[0].name.clone();
    let traffic = |rate: f64, bad: u64, of: u64| TrafficView {
        requests_per_second: Some(rate),
        bad_share: Some(bad as f64 / of as f64),
        errors: vec![plimsoll_measure::ErrorView {
            cause: plimsoll_measure::Cause::Timeout,
            outcome: plimsoll_measure::Outcome::Bad,
            origin: plimsoll_measure::Origin::Service,
            count: bad,
            share: bad as f64 / of as f64,
        }],
        ..TrafficView::default()
    };
    let endpoint = |name: &str, traffic: TrafficView| EndpointView {
        name: name.to_owned(),
        version: None,
        state: EndpointState::Up,
        since: None,
        in_flight: None,
        traffic,
    };
    snapshot.services[0].endpoints = vec![
        endpoint("few", traffic(6.0, 3, 365)),
        endpoint("many", traffic(18.0, 7, 1_080)),
        endpoint("unseen", TrafficView::default()),
    ];
    let page = shown(&format!("/services/{name}"), snapshot);
    for text in ["3 of 365", "25.0 %", "75.0 %", "none came"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("7 of"), "{page}");
}

#[test]
fn what_could_not_be_read_of_a_page_is_said() {
    let lacks = |records: Vec<serde_json::Value>| {
        Arc::new(Told {
            records: Ok(Records {
                records,
                next: None,
            }),
            lacks: Some(Problem::unavailable(
                "the journal can't be read: it is busy",
            )),
            ..Told::default()
        })
    };
    let seen = |address: &str, told| {
        let sight = Sight {
            told,
            ..sight(fleet(1))
        };
        let page = draw(&Address::parse(address).unwrap(), &sight);
        frame::framed(&page, Some(&sight.snapshot), None, address)
    };
    let name = &fleet(1).services[0].name;
    for address in [format!("/services/{name}"), "/decisions/7".to_owned()] {
        let page = seen(&address, lacks(vec![event("x")]));
        assert!(page.contains("read: it is busy"), "{address}: {page}");
        let page = seen(&address, told(vec![event("x")]));
        assert!(!page.contains("it is busy"), "{address}: {page}");
    }
}

#[test]
fn what_can_be_done_about_an_incident_is_offered_to_those_who_may() {
    use crate::access::Role;
    let mut snapshot = fleet(1);
    // As far as the subject of a record goes.
    let name = EVIL.split('/').next().unwrap();
    snapshot.services.push(service(name, Condition::Severe));
    let seen = |address: &str, who: Option<(Role, &str)>| {
        let who = who.map(|(role, owner)| Caller {
            name: "ana".to_owned(),
            role,
            owners: vec![owner.to_owned()],
        });
        let steps = [
            "status",
            "degrade service-0 shed 1",
            "incident note 7",
            "incident ack 99",
            "token list",
        ];
        let steps = steps.map(|it| format!("    plimsoll {it}\n"));
        let sight = Sight {
            who,
            runbook: Some(Runbook::Text {
                name: "x".to_owned(),
                text: steps.concat(),
            }),
            ..sight(snapshot.clone())
        };
        let page = draw(&Address::parse(address).unwrap(), &sight);
        frame::framed(&page, Some(&sight.snapshot), sight.who.as_ref(), address)
    };
    let buttons = |page: &str| page.matches(">Run…<").count();
    let mine = format!("owner of {name}");
    // Reading is for everybody, the reason why something can't be run here too.
    for who in [None, Some((Role::Viewer, mine.as_str()))] {
        let page = seen("/incidents/7", who);
        assert_eq!(page.matches(">Run<").count(), 1, "{page}");
        assert!(
            page.contains("not from here: `plimsoll token` can't"),
            "{page}"
        );
        assert!(page.contains("there is no incident #99"), "{page}");
        assert_eq!(buttons(&page), 0, "{page}");
        assert!(
            !page.contains("Acknowledge…") && !page.contains("disabled"),
            "{page}"
        );
    }
    let page = seen("/incidents/7", Some((Role::Operator, "others")));
    assert!(!page.contains("href=\"/incidents/7/"), "{page}");
    assert_eq!(page.matches("disabled").count(), 8, "{page}");
    assert!(page.contains("belongs to owner of &lt;script"), "{page}");
    let page = seen("/incidents/7", Some((Role::Operator, mine.as_str())));
    for deed in [
        "acknowledge",
        "note",
        "hand-over",
        "silence",
        "group",
        "resolve",
    ] {
        assert!(
            page.contains(&format!("href=\"/incidents/7/{deed}\"")),
            "{deed}: {page}"
        );
    }
    let step = "name=\"command\" value=\"plimsoll incident note 7\"><input type=\"hidden\" name=\"incident\" value=\"7\">";
    assert!(page.contains(step), "{page}");
    // That of another's service can't be pressed.
    assert_eq!(
        (buttons(&page), page.matches("disabled").count()),
        (2, 1),
        "{page}"
    );
    assert_eq!(page.matches("btn go").count(), 1, "{page}");
    // Of what has ended only notes are taken; its review is for everybody.
    let page = seen("/incidents/3", Some((Role::Operator, mine.as_str())));
    assert!(
        page.contains("/incidents/3/note") && !page.contains("/incidents/3/resolve"),
        "{page}"
    );
    assert!(seen("/incidents/3", None).contains("btn go\" href=\"/incidents/3/review\""));
}

#[test]
fn what_changed_is_told_from_records_of_any_version() {
    let body = json!({ "onset": {
        "objective": EVIL,
        "at": "2026-11-25T14:10:00.000Z", "earliest": "2026-11-25T14:09:58.000Z", "latest": "2026-11-25T14:10:01.000Z",
        "changes": [{ "at": "2026-11-25T14:09:50.000Z", "what": "configuration b", "within": true, "seconds_before": 10 }],
        "split": [{ "kind": "endpoint", "name": "http://b:1", "of_bad": 0.98, "of_requests": 0.5 }],
    } });
    let mut record = event("x");
    record["type"] = json!("plimsoll.onset");
    let page = |body: serde_json::Value| {
        record["data"] = body;
        let sight = Sight {
            told: told(vec![record.clone()]),
            ..sight(fleet(1))
        };
        draw(&Address::Incident(7), &sight)
            .sections
            .into_iter()
            .map(|it| it.markup.into_string())
            .collect::<String>()
    };
    let mut page = page;
    let by_time = page(body.clone());
    for text in [
        "take back what was changed: <code>configuration b</code>",
        "10s before the onset",
        "98.0 % of what fails",
        ">possible<",
    ] {
        assert!(by_time.contains(text), "{text}: {by_time}");
    }
    let mut ranked = body;
    ranked["onset"]["suspects"] = json!([{
        "rank": 1, "kind": "change", "what": "limit of shop 100 → 5", "strength": "very-likely", "follows": null,
        "split": { "inside_bad": 20, "inside": 100, "outside_bad": 1, "outside": 100 },
        "evidence": [{ "kind": "dose", "supports": true, "says": "the lower, the more failed" }],
    }]);
    ranked["onset"]["even"] = json!(["endpoints: 1.7 to 1.9 %"]);
    ranked["onset"]["unseen"] = json!(["tenants: none is known"]);
    let ranked = page(ranked);
    for text in [
        ">very likely<",
        "with it 20.0 %, without it 1.0 %",
        "<dt>Dose</dt><dd>the lower, the more failed</dd>",
        "endpoints: 1.7 to 1.9 %",
        "not looked at: tenants: none is known",
    ] {
        assert!(ranked.contains(text), "{text}: {ranked}");
    }
}

/// So many services, a third of which burn.
pub(super) fn fleet(services: usize) -> Snapshot {
    let condition = |number| match number % 3 {
        0 => Condition::Burning,
        _ => Condition::Healthy,
    };
    let services =
        (0..services).map(|number| service(&format!("service-{number}"), condition(number)));
    Snapshot {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        instance: "test".to_owned(),
        now: Timestamp::from_seconds(1_795_615_852),
        uptime_seconds: 60.0,
        mode: Mode::Enforce,
        config: ConfigView::default(),
        warnings: Vec::new(),
        connections: 0,
        cache: None,
        services: services.collect(),
        journeys: Vec::new(),
        overlay: Vec::new(),
        approvals: Vec::new(),
        freezes: Vec::new(),
        unrouted: TrafficView::default(),
        recent_events: Vec::new(),
        journal: None,
        notifiers: Vec::new(),
        incidents: Vec::new(),
        queues: None,
    }
}

pub(super) fn service(name: &str, condition: Condition) -> ServiceView {
    let burn = |window: &str| BurnView {
        window: window.to_owned(),
        rate: Some(1.3),
        observed_seconds: 60.0,
    };
    ServiceView {
        name: name.to_owned(),
        owner: Some(format!("owner of {name}")),
        tier: 1,
        depends_on: vec![name.to_owned()],
        mode: Mode::Enforce,
        in_flight: None,
        serving_to_all: false,
        governed: Some(GovernedView {
            condition,
            since: Some(Timestamp::from_seconds(1_795_615_000)),
            mode: Mode::Enforce,
            because_of: Some(name.to_owned()),
            paged: Vec::new(),
            moved: Vec::new(),
            brownout: None,
            onsets: Vec::new(),
            page_delays: Vec::new(),
        }),
        maintenance: None,
        protection: None,
        cache: None,
        versions: Vec::new(),
        traffic: TrafficView::default(),
        objectives: vec![ObjectiveView {
            name: name.to_owned(),
            kind: "availability".to_owned(),
            below_seconds: None,
            target: 0.999,
            period_seconds: 2_419_200.0,
            calendar: None,
            observed_seconds: 2_419_200.0,
            version: 1,
            good: 1_000,
            bad: 1,
            budget_left: Some(0.5),
            bad_left: 10,
            forecast: Forecast::Lasts,
            burn: ["5m", "1h", "6h", "3d"].map(burn).into(),
        }],
        endpoints: vec![EndpointView {
            name: name.to_owned(),
            version: None,
            state: EndpointState::Down,
            since: None,
            in_flight: None,
            traffic: TrafficView::default(),
        }],
        routes: vec![RouteView {
            name: name.to_owned(),
            in_flight: None,
            traffic: TrafficView::default(),
        }],
    }
}

#[test]
fn a_rollout_says_what_is_known_and_offers_what_can_be_done_now() {
    use crate::access::Role;
    let seen = |state: RolloutState, who: Option<(Role, &str)>| {
        let mut rollout = rollout("shop-v2");
        rollout.state = state;
        let who = who.map(|(role, owner)| Caller {
            name: "ana".to_owned(),
            role,
            owners: vec![owner.to_owned()],
        });
        let sight = Sight {
            who,
            rollouts: Arc::new(vec![rollout]),
            ..sight(fleet(1))
        };
        let page = draw(&Address::parse("/rollouts/shop-v2").unwrap(), &sight);
        frame::framed(&page, Some(&sight.snapshot), sight.who.as_ref(), "/")
    };
    let mine = Some((Role::Operator, "shop-v2"));
    let page = seen(RolloutState::Running, mine);
    for expected in [
        "Pause…",
        "Undo now…",
        "strikes at 10",
        "1 of 2",
        "210",
        "not decided",
        "when a person allows it",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("Start…"), "{page}");
    assert!(seen(RolloutState::Asking, mine).contains("Next step…"));
    assert!(seen(RolloutState::Paused, mine).contains("Go on…"));
    let ended = seen(RolloutState::RolledBack, mine);
    assert!(ended.contains("Start…") && !ended.contains("Pause…"));
    let others = seen(RolloutState::Running, Some((Role::Operator, "others")));
    assert!(others.contains("disabled") && !others.contains("/rollouts/shop-v2/abort"));
    assert!(!seen(RolloutState::Running, None).contains("Undo now…"));
}
