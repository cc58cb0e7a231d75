//! What two files differ in, and how much may go wrong: each change of one key is one entry, with its risk.

use std::fmt::Write as _;

use plimsoll_config::{Alteration, AlterationKind, Risk, difference};

const WHOLE: &str = include_str!("whole.toml");

/// One text for another in the file of all keys.
const EDITS: &[(&str, &str)] = &[
    // The file itself.
    ("    \"0.0.0.0:80\",\n", ""),
    ("\"0.0.0.0:80\"", "\"0.0.0.0:80\", \"0.0.0.0:81\""),
    ("tls = [{ certificate = \"a.pem\", key = \"a.key\" }], ", ""),
    ("proxy_protocol = true", "proxy_protocol = false"),
    ("\"10.0.0.0/8\", ", "\"10.0.0.0/7\", "),
    ("\"10.0.0.0/8\", ", "\"10.0.0.0/8\", \"0.0.0.0/0\", "),
    ("\"10.0.0.0/8\", ", ""),
    ("drain = \"10s\"", "drain = \"20s\""),
    ("headers_max = 200", "headers_max = 100"),
    ("body_bytes_max = \"1GiB\"", "body_bytes_max = \"none\""),
    ("head_time_max = \"5s\"", "head_time_max = \"1s\""),
    ("\"Authorization\", \"cookie\"", "\"cookie\""),
    ("slow = \"500ms\"", "slow = \"600ms\""),
    ("path = \"state\"", "path = \"state-2\""),
    ("listen = \"0.0.0.0:7677\"", "listen = \"0.0.0.0:7678\""),
    // A service.
    (
        "\"http://stock.internal:80\"\n",
        "\"http://stock.internal:80\"\nowner = \"stock\"\n",
    ),
    ("tier = 1\n", "tier = 2\n"),
    ("\"https://checkout-1.internal:8443\", ", ""),
    ("checkout-1.internal:8443\"", "checkout-3.internal:8443\""),
    (
        "\"https://checkout-1",
        "\"https://checkout-3.internal:8443\", \"https://checkout-1",
    ),
    (
        "\"https://checkout-1.internal:8443\"",
        "\"http://checkout-1.internal:8080\"",
    ),
    (
        "server_name = \"checkout.internal\"",
        "server_name = \"other.internal\"",
    ),
    ("failures_max = 2", "failures_max = 3"),
    ("deadline = { head = \"2s\"", "deadline = { head = \"1s\""),
    ("deadline = { head = \"2s\"", "deadline = { head = \"3s\""),
    (
        "kind = \"adaptive\", max = 500",
        "kind = \"adaptive\", max = 50",
    ),
    (
        "max = 500, mode = \"observe\"",
        "max = 500, mode = \"enforce\"",
    ),
    (
        "throttle = { mode = \"enforce\" }",
        "throttle = { mode = \"off\" }",
    ),
    ("connections_max = 200", "connections_max = 100"),
    ("connections_max = 200, ", ""),
    ("attempts = 3", "attempts = 4"),
    // Objectives.
    (
        "target = \"99.9%\"\nperiod = \"28d\"",
        "target = \"99%\"\nperiod = \"28d\"",
    ),
    (
        "target = \"99.9%\"\nperiod = \"28d\"",
        "target = \"99.99%\"\nperiod = \"28d\"",
    ),
    (
        "target = \"99.9%\"\nperiod = \"28d\"",
        "target = \"99.9%\"\nperiod = \"7d\"",
    ),
    ("below = \"250ms\"", "below = \"2s\""),
    (
        "[service.checkout.objective.latency]\ntarget = \"99%\"\nbelow = \"250ms\"\n",
        "",
    ),
    (
        "classes = [\"critical\", \"standard\"]",
        "classes = [\"critical\"]",
    ),
    // Routes.
    (
        "[[route]]\npath = \"/stock\"\nservice = \"stock\"\n",
        "[[route]]\npath = \"/stock\"\nservice = \"checkout\"\n",
    ),
    ("[[route]]\nredirect = \"https\"\n", ""),
    (
        "[[route]]\nredirect = \"https\"\n",
        "[[route]]\nredirect = \"https\"\n[[route]]\npath = \"/stock/new\"\nservice = \"stock\"\n",
    ),
    ("class = \"critical\"\n", "class = \"sheddable\"\n"),
    ("path = \"/orders/{id}/*\"", "path = \"/orders/{id}\""),
    (
        "headers = { X-Beta = \"1\", ",
        "headers = { X-Beta = \"2\", ",
    ),
    ("deadline = \"2s\"", "deadline = \"1s\""),
    ("    \"50/s\",\n", "    \"20/s\",\n"),
    ("limit = \"10/h\"", "limit = \"20/h\""),
    ("strip_prefix = \"/orders\"", "strip_prefix = \"/orders/a\""),
    // Queues.
    (
        "listen = \"0.0.0.0:7679\"\n",
        "listen = \"127.0.0.1:7679\"\n",
    ),
    ("folder = \"/srv/queues\"\n", ""),
    ("disk_max = \"64GiB\"", "disk_max = \"32GiB\""),
    ("durability = \"interval\"", "durability = \"sync\""),
    ("create = false\n", ""),
    (", { file = \"queue.token\" }", ""),
    ("{ env = \"QUEUE_TOKEN\" }", "{ env = \"OTHER_TOKEN\" }"),
    ("keys = { file = \"access.keys\" }\n", ""),
    ("\"access.keys\"", "\"other.keys\""),
    ("region = \"eu-central-1\"", "region = \"eu-west-1\""),
    ("url = \"https://queues.example/plimsoll/\"\n", ""),
    ("owner = \"shop\"\n", ""),
    ("lease = \"2m\"", "lease = \"1m\""),
    ("lease = \"2m\"", "lease = \"3m\""),
    ("attempts_max = 9\n", "attempts_max = 3\n"),
    ("attempts_max = 9\n", "attempts_max = 10\n"),
    ("attempts_max = 0\n", "attempts_max = 5\n"),
    ("max = \"10m\"", "max = \"20m\""),
    ("retention = \"14d\"", "retention = \"7d\""),
    ("retention = \"14d\"", "retention = \"21d\""),
    ("window = \"1h\"", "window = \"5m\""),
    (", by_body = true", ""),
    ("dead_letters = \"lost\"\n", ""),
    ("messages_max = 1_000_000\n", "messages_max = 1_000\n"),
    ("bytes_max = \"8GiB\"\n", ""),
    ("message_max = \"256KiB\"", "message_max = \"128KiB\""),
    ("[queue.\"orders.fifo\"]\n", ""),
    // What stands beside them.
    ("weight = 2.5", "weight = 2"),
    ("\"acme\", {", "\"hunter2\", {"),
    (
        "url = \"https://beat.example/a\"",
        "url = \"https://beat.example/hunter2\"",
    ),
    (
        "[notify.pager]\nkind = \"pagerduty\"\nsecret = { env = \"ROUTING_KEY\" }\n",
        "",
    ),
    ("every = \"sunday 02:00\"", "every = \"sunday 03:00\""),
    ("may = \"shed\"", "may = \"retry\""),
    (
        "[governor]\nmode = \"enforce\"",
        "[governor]\nmode = \"observe\"",
    ),
];

#[track_caller]
fn between(before: &str, after: &str) -> Vec<Alteration> {
    for text in [before, after] {
        if let Err(errors) = plimsoll_config::parse(text, "/etc/plimsoll.toml") {
            let errors = plimsoll_config::render(&errors, text, "plimsoll.toml", false);
            panic!("{errors}");
        }
    }
    let found = difference(before, after, "/etc/plimsoll.toml");
    found.unwrap_or_else(|| panic!("one of the files is none"))
}

fn line(it: &Alteration) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{:<4} {:<7} [{}] {}: {} | {} -> {} | {}",
        it.risk.name(),
        it.kind.name(),
        it.service.as_deref().unwrap_or(""),
        it.thing,
        it.key,
        value(&it.before),
        value(&it.after),
        it.why,
    )
}

#[test]
fn each_change_of_one_key_is_one_entry_and_back_is_its_mirror() {
    let mut said = String::new();
    let is_valid = |text: &str| plimsoll_config::parse(text, "/etc/plimsoll.toml").is_ok();
    let invalid = EDITS.iter();
    let invalid = invalid.filter(|(from, to)| !is_valid(&WHOLE.replace(from, to)));
    assert_eq!(invalid.collect::<Vec<_>>(), Vec::<&(&str, &str)>::new());
    for (from, to) in EDITS {
        assert_eq!(WHOLE.matches(from).count(), 1, "{from}");
        let after = WHOLE.replace(from, to);
        let found = between(WHOLE, &after);
        let [it] = found.as_slice() else {
            panic!("{from} -> {to}: {found:#?}");
        };
        writeln!(said, "{}", line(it)).unwrap();
        let back = between(&after, WHOLE);
        let [mirror] = back.as_slice() else {
            panic!("{to} -> {from}: {back:#?}");
        };
        assert_eq!(
            (&mirror.before, &mirror.after),
            (&it.after, &it.before),
            "{from}"
        );
        let kind = match it.kind {
            AlterationKind::Added => AlterationKind::Removed,
            AlterationKind::Removed => AlterationKind::Added,
            AlterationKind::Changed => AlterationKind::Changed,
        };
        assert_eq!(mirror.kind, kind, "{from}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn what_means_the_same_is_no_difference() {
    assert_eq!(between(WHOLE, WHOLE), []);
    let app = "[service.app]\nendpoints = \"http://a:1\"\n";
    let route = "[[route]]\nservice = \"app\"\n[[route]]\npath = \"/x\"\nservice = \"app\"\n";
    let other = "# said in another way\n[[route]]\npath = \"/x\"\nservice = \"app\"\n[[route]]\nservice = 'app'\n\
                 [service.app]\nendpoints = [\"http://a:1\"]\nprotect.deadline.head = \"30000ms\"\n";
    assert_eq!(between(&format!("{app}{route}"), other), []);
}

#[test]
fn defaults_of_the_file_are_those_of_each_service() {
    let file = |head: &str| {
        format!(
            "[defaults.protect]\ndeadline = \"{head}\"\n[service.a]\nendpoints = \"http://a:1\"\n\
             [service.b]\nendpoints = \"http://b:1\"\nprotect.deadline = \"9s\"\n\
             [[route]]\nservice = \"a\"\n[[route]]\npath = \"/b\"\nservice = \"b\"\n"
        )
    };
    let found = between(&file("5s"), &file("4s"));
    let [it] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(it.service.as_deref(), Some("a"));
    assert_eq!(it.risk, Risk::High);
}

#[test]
fn a_route_that_goes_or_comes_says_who_takes_its_requests() {
    let app = "[service.app]\nendpoints = \"http://a:1\"\n[service.new]\nendpoints = \"http://n:1\"\n\
               [[route]]\nname = \"other\"\npath = \"/other\"\nservice = \"new\"\n";
    let all = "[[route]]\nname = \"all\"\nservice = \"app\"\n";
    let pay = "[[route]]\nname = \"pay\"\npath = \"/pay/{id}\"\nservice = \"new\"\n";
    let with = format!("{app}{all}{pay}");
    let why = |before: &str, after: &str| {
        let found = between(before, after);
        found
            .into_iter()
            .map(|it| (it.risk, it.why))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        why(&with, &format!("{app}{all}")),
        [(Risk::High, "its requests are taken by route all".to_owned())]
    );
    assert_eq!(
        why(&format!("{app}{all}"), &with),
        [(
            Risk::High,
            "it takes requests that route all took".to_owned()
        )]
    );
    let alone = format!(
        "{app}[[route]]\nname = \"shop\"\nhost = \"shop.example\"\nservice = \"app\"\n{pay}"
    );
    let without = alone.replace(pay, "");
    assert_eq!(
        why(&alone, &without),
        [(Risk::High, "its requests are answered 404".to_owned())]
    );
}

/// A bare number says two things: that the limit is fixed, and where.
#[test]
fn a_route_by_a_flag_is_another_route_and_what_it_goes_by_is_a_high_risk() {
    const FLAG: &str = "flag = { key = \"search\", variant = \"new\" }\n";
    let file = |user: &str, routes: &str| {
        format!(
            "[flags]\nmanaged = true\nuser = {{ header = \"{user}\" }}\n[service.app]\nendpoints = \"http://a:1\"\n\
             [service.new]\nendpoints = \"http://n:1\"\n{routes}"
        )
    };
    let plain = "[[route]]\npath = \"/search\"\nservice = \"app\"\n";
    let new = format!("[[route]]\npath = \"/search\"\nservice = \"new\"\n{FLAG}");
    let both = format!("{new}{plain}");
    let found = between(&file("x-user", plain), &file("x-user", &both));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].kind, AlterationKind::Added);
    // Without its flag it takes the requests of all.
    let named = |flag: &str| {
        file(
            "x-user",
            &format!("{new}name = \"n\"\n").replace(FLAG, flag),
        )
    };
    let found = between(&named(FLAG), &named(""));
    assert!(found.iter().all(|it| it.risk == Risk::High), "{found:?}");
    assert!(!found.is_empty());
    let found = between(&file("x-user", &both), &file("x-name", &both));
    assert!(found.iter().all(|it| it.risk == Risk::High), "{found:?}");
    assert!(!found.is_empty());
}

#[test]
fn a_limiter_that_is_off_or_fixed_is_a_high_risk() {
    let app = |limiter: &str| {
        format!(
            "[service.a]\nendpoints = \"http://a:1\"\nprotect.limiter = {limiter}\n[[route]]\nservice = \"a\"\n"
        )
    };
    let keys = |before: &str, after: &str| {
        let found = between(&app(before), &app(after));
        let found = found.into_iter();
        let found = found.map(|it| (it.key, it.risk, it.before, it.after));
        found.collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    let key = |key: &str| format!("protect.limiter.{key}");
    assert_eq!(
        keys("\"adaptive\"", "1"),
        [
            (key("kind"), Risk::High, some("adaptive"), some("fixed")),
            (key("limit"), Risk::High, None, some("1")),
        ]
    );
    assert_eq!(
        keys("8", "4"),
        [(key("limit"), Risk::High, some("8"), some("4"))]
    );
    let off = keys("\"adaptive\"", "\"off\"");
    assert!(off.iter().all(|it| it.1 == Risk::High), "{off:?}");
}

#[test]
fn what_loses_messages_or_shuts_clients_out_of_queues_is_a_high_risk() {
    let file = |lines: &str| {
        format!(
            "[service.a]\nendpoints = \"http://a:1\"\n[[route]]\nservice = \"a\"\n[queues]\n{lines}\n"
        )
    };
    let risk = |before: &str, after: &str| {
        let found = between(&file(before), &file(after));
        let [it] = found.as_slice() else {
            panic!("{before} -> {after}: {found:#?}");
        };
        it.risk
    };
    for (before, after, there, back) in [
        ("", "durability = \"interval\"", Risk::High, Risk::Low),
        ("", "create = false", Risk::High, Risk::Low),
        ("", "tokens = [{ env = \"A\" }]", Risk::High, Risk::High),
        (
            "tokens = [{ env = \"A\" }]",
            "tokens = [{ env = \"A\" }, { env = \"B\" }]",
            Risk::Low,
            Risk::High,
        ),
        ("", "keys = \"a.keys\"", Risk::High, Risk::High),
        ("", "listen = \"127.0.0.1:7679\"", Risk::Low, Risk::High),
        ("", "[queue.a]", Risk::Low, Risk::High),
        (
            "[queue.a]",
            "[queue.a]\nattempts_max = 0",
            Risk::Low,
            Risk::High,
        ),
        (
            "[queue.a]",
            "[queue.a]\ndedup.by_body = true",
            Risk::High,
            Risk::High,
        ),
        (
            "[queue.a]",
            "[queue.a]\nbytes_max = \"1GiB\"",
            Risk::High,
            Risk::High,
        ),
    ] {
        assert_eq!(
            (risk(before, after), risk(after, before)),
            (there, back),
            "{before} -> {after}"
        );
    }
}

#[test]
fn of_what_is_no_file_nothing_is_said() {
    assert_eq!(difference("", WHOLE, "a.toml"), None);
    assert_eq!(difference(WHOLE, "[gateway", "a.toml"), None);
}
