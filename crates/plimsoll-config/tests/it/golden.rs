//! What people see of their mistakes, word by word.
//!
//! Each case is a file with a mistake; the snapshot has every diagnostic of it, as `plimsoll check` shows
//! them. A change of wording is meant to show up here, and to be read.

use plimsoll_config::{parse, render, to_json};

/// Every diagnostic of every case.
pub(crate) fn shown<T: AsRef<str>>(cases: &[T]) -> String {
    let shown = cases.iter().map(|case| {
        let source = case.as_ref();
        let diagnostics = match parse(source, "plimsoll.toml") {
            Ok((_, warnings)) => warnings,
            Err(diagnostics) => diagnostics,
        };
        render(&diagnostics, source, "plimsoll.toml", false)
    });
    shown.collect::<Vec<_>>().join("\n----\n\n")
}

/// A file that is right but for `extra`.
fn app(extra: &str) -> String {
    format!(
        "[service.app]\nendpoints = [\"http://10.0.0.1:9001\"]\n{extra}\n[[route]]\nservice = \"app\"\n"
    )
}

fn apps(extras: &[&str]) -> String {
    let sources: Vec<String> = extras.iter().map(|extra| app(extra)).collect();
    shown(&sources)
}

/// A file whose one service has these routes, each the inside of a table.
fn routes(cases: &[&[&str]]) -> String {
    let sources: Vec<String> = cases
        .iter()
        .map(|routes| {
            let head = "[service.app]\nendpoints = [\"http://10.0.0.1:9001\"]\n";
            let routes = routes
                .iter()
                .map(|route| format!("[[route]]\nservice = \"app\"\n{route}\n"));
            format!("{head}{}", routes.collect::<String>())
        })
        .collect();
    shown(&sources)
}

const TEN_MISTAKES: &str = r#"[gateway]
listen = ["127.0.0.1:8080", "localhost:8443"]
drain = 30

[gateway.limits]
header_bytes_max = "64kb"

[service.checkout]
endpoints = ["http://me:hunter2@10.0.0.1:9001", "http://10.0.0.2:9001"]
protcol = "http1"
balance = "fastest"

[service.checkout.objective.availability]
target = 99.9

[service.checkout.protect]
deadline = "0s"
limiter = 0

[[route]]
service = "chekout"
"#;

#[test]
fn ten_mistakes_are_ten_diagnostics() {
    assert_eq!(
        parse(TEN_MISTAKES, "plimsoll.toml").map_err(|errors| errors.len()),
        Err(10)
    );
    insta::assert_snapshot!(shown(&[TEN_MISTAKES]));
}

#[test]
fn diagnostics_for_machines_have_the_same_content() {
    let source =
        "[service.app]\nendpoints = [\"http://10.0.0.1\", \"http://10.0.0.1\"]\ntier = \"1\"\n";
    let diagnostics = parse(source, "plimsoll.toml").unwrap_err();
    let json = to_json(&diagnostics, source, "plimsoll.toml");
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn syntax() {
    insta::assert_snapshot!(shown(&[
        "[service.app\nendpoints = [\"http://10.0.0.1\"]\n",
        "[service.app]\nendpoints = http://10.0.0.1\ntier = = 1\nunknown = 1\n",
        "[service.app]\nendpoints = [\"http://10.0.0.1\"]\ntier = 1\ntier = 2\n",
        "[service.app]\nendpoints = [\"http://10.0.0.1\n",
    ]));
}

#[test]
fn keys() {
    insta::assert_snapshot!(apps(&[
        "[gatway]\n",
        "speed = 1\n",
        "[fleet]\nmode = \"observe\"\n",
        "contract = { file = \"api.yaml\" }\n",
        "[service.app.objective.latency]\nbelow = \"250ms\"\n",
        "[service.\"a b\"]\nendpoints = \"http://10.0.0.2\"\n",
        "[[gateway.listen]]\ntls = { certificate = \"a.pem\" }\n",
    ]));
}

#[test]
fn a_misspelt_key_is_not_also_missing() {
    insta::assert_snapshot!(shown(&[
        "[service.app]\nendpoint = \"http://10.0.0.1\"\n[[route]]\nservcie = \"app\"\n"
    ]));
}

#[test]
fn types() {
    insta::assert_snapshot!(apps(&[
        "tier = \"1\"\n",
        "tier = 0\n",
        "owner = 7\n",
        "protect = \"on\"\n",
        "protocol = 2\n",
        "health = true\n",
        "objective = []\n",
        "[gateway]\nlisten = 8080\n",
        "[gateway]\nthreads = \"al\"\n",
        "[gateway]\nlisten = [{ address = \"127.0.0.1:80\", proxy_protocol = \"true\" }]\n",
        "[gateway.log]\nto = \"stdot\"\n",
        "[gateway.limits]\nbody_bytes_max = \"nun\"\n",
    ]));
}

#[test]
fn units() {
    insta::assert_snapshot!(apps(&[
        "protect.deadline = \"2\"\n",
        "protect.deadline = \"2 seconds\"\n",
        "protect.deadline = \"2KiB\"\n",
        "protect.deadline = \"soon\"\n",
        "protect.deadline = \"400d\"\n",
        "protect.deadline.total = 5\n",
        "objective.availability = \"99.9\"\n",
        "objective.availability = 0.999\n",
        "objective.availability = \"120%\"\n",
        "[gateway.limits]\nheader_bytes_max = 65536\n",
        "[gateway.limits]\nheader_bytes_max = \"1MiB\"\n",
    ]));
}

#[test]
fn addresses() {
    insta::assert_snapshot!(apps(&[
        "[ops]\nlisten = \":7677\"\n",
        "[ops]\nlisten = \"10.0.0.1\"\n",
        "[gateway]\ntrusted = [\"10.0.0.1/8\", \"10.0.0.0/40\", \"proxy\"]\n",
        "[console]\nlisten = \"0.0.0.0:7676\"\n",
        "[service.b]\nendpoints = [\"10.0.0.1:80\", \"tcp://10.0.0.1\", \"http://a/b\", \"http://a:x\"]\n",
        "tls = { server_name = \"https://a\" }\n",
    ]));
}

#[test]
fn listeners_and_endpoints() {
    insta::assert_snapshot!(apps(&[
        "[gateway]\nlisten = [\"127.0.0.1:8080\", \"127.0.0.1:8080\"]\n",
        "[gateway]\nlisten = [\"0.0.0.0:8080\", \"127.0.0.1:8080\"]\n",
        "[gateway]\nlisten = \"0.0.0.0:7677\"\n",
        "[service.b]\nendpoints = []\n[[route]]\nservice = \"b\"\npath = \"/b\"\n",
        "[service.b]\nendpoints = [\"http://10.0.0.1\", \"http://10.0.0.1:80/\"]\n[[route]]\nservice = \"b\"\npath = \"/b\"\n",
        "[service.b]\nendpoints = \"http://localhost:8080\"\n[[route]]\nservice = \"b\"\npath = \"/b\"\n",
        "tls = { server_name = \"a\" }\n",
    ]));
}

#[test]
fn services() {
    insta::assert_snapshot!(apps(&[
        "balance = { by = \"path\" }\n",
        "health = { interval = \"1s\" }\n",
        "health = { kind = \"http\" }\n",
        "health = { path = \"/a\", service = \"b\" }\n",
        "health = { path = \"/a\", timeout = \"5s\" }\n",
        "protect.deadline = { head = \"5s\", total = \"1s\" }\n",
        "objective.speed = \"99%\"\n",
        "objective.latency = \"99%\"\n",
        "objective.availability = { target = \"99%\", below = \"1s\" }\n",
        "objective.availability = \"100%\"\n",
        "objective.availability = \"0%\"\n",
        "objective.availability = \"0.1%\"\n",
        "[gateway.limits]\nuri_bytes_max = \"64KiB\"\n",
    ]));
}

#[test]
fn references() {
    insta::assert_snapshot!(shown(&[
        "",
        "[service.app]\nendpoints = \"http://10.0.0.1\"\n",
        "[service.app]\nendpoints = \"http://10.0.0.1\"\n[[route]]\npath = \"/a\"\n",
        "[service.app]\nendpoints = \"http://10.0.0.1\"\n[[route]]\nservice = \"payments\"\n",
    ]));
}

#[test]
fn patterns_and_headers() {
    insta::assert_snapshot!(routes(&[
        &[
            "path = \"a\"",
            "path = \"/a/../b\"",
            "path = \"/{a}/{a}\"",
            "path = \"/*/a\""
        ],
        &[
            "host = \"*\"",
            "host = \"b\u{fc}cher.example\"",
            "host = \"http://a\""
        ],
        &[
            "headers = { x-a = false }",
            "headers = { \"x a\" = \"1\" }",
            "tenant = \"x-key:\"",
            "headers = { a = true, A = true }"
        ],
        &["methods = \"CONNECT\"", "methods = [\"G T\"]"],
        &[
            "rewrite.request.set = { Host = \"a\" }",
            "rewrite.response.remove = [\"content-length\"]"
        ],
        &["path = \"/a/*\"\nrewrite.strip_prefix = \"/b\""],
    ]));
}

#[test]
fn redirects() {
    insta::assert_snapshot!(routes(&[
        &["redirect = \"https\""],
        &["redirect = \"htps\""]
    ]));
    insta::assert_snapshot!(apps(&[
        "[[route]]\npath = \"/a\"\nredirect = {}\n",
        "[[route]]\npath = \"/a\"\nredirect = { scheme = \"https\", status = 304 }\n",
        "[[route]]\npath = \"/a\"\nredirect = \"https\"\ndeadline = \"1s\"\n",
    ]));
}

#[test]
fn routes_that_cannot_be_told_apart() {
    insta::assert_snapshot!(routes(&[
        &["", ""],
        &[
            "path = \"/a/{x}\"\nmethods = [\"GET\", \"POST\"]",
            "path = \"/a/{y}\"\nmethods = \"POST\""
        ],
        &["headers = { x-a = \"1\" }", "headers = { x-b = \"1\" }"],
        &["name = \"a\"\npath = \"/a\"", "name = \"a\"\npath = \"/b\""],
    ]));
}

#[test]
fn routes_that_can_be_told_apart_are_fine() {
    let fine = routes(&[
        &["methods = \"GET\"", ""],
        &[
            "methods = \"GET\"",
            "methods = \"HEAD\"",
            "methods = \"POST\"",
        ],
        &["headers = { x-a = \"1\" }", "headers = { x-a = \"2\" }", ""],
        &["headers = { x-a = \"1\" }", "headers = { x-a = true }"],
        &[
            "path = \"/a\"",
            "path = \"/a/\"",
            "path = \"/a/*\"",
            "path = \"/{x}\"",
        ],
        &["host = \"a.example\"", "host = \"*.example\"", ""],
    ]);
    assert_eq!(fine.replace("----", "").trim(), "");
}

#[test]
fn a_route_that_never_gets_a_request_is_a_warning() {
    insta::assert_snapshot!(routes(&[&[
        "path = \"/a\"",
        "path = \"/a/\"",
        "path = \"/a/{x}/*\"",
        "path = \"/a/*\""
    ]]));
}

#[test]
fn periods_are_durations_or_pieces_of_the_calendar_and_not_shorter_than_windows() {
    let period = |value: &str| {
        format!("[service.app.objective.availability]\ntarget = \"99%\"\nperiod = {value}")
    };
    let texts = [
        r#""year""#,
        r#""Month""#,
        r#""4w""#,
        "28",
        r#""365d""#,
        r#""12h""#,
        r#""week""#,
    ]
    .map(period);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(apps(&texts));
}

#[test]
fn maintenance_is_of_services_that_there_are_at_times_that_there_are() {
    insta::assert_snapshot!(apps(&[
        "[maintenance.upgrade]\nservices = [\"app\", \"ap\"]\nfor = \"2h\"",
        "[maintenance.upgrade]\nservices = \"app\"\nfrom = \"2026-12-01 02:00\"\nfor = \"30d\"",
        "[maintenance.upgrade]\nservices = \"app\"\nfrom = 2026-12-01T02:00:00Z\nfor = \"2h\"",
        "[maintenance.upgrade]\nservices = \"app\"\nfrom = \"2026-12-01T02:00:00Z\"\nevery = \"sun 02:00\"\nfor = \"2h\"",
        "[maintenance.upgrade]\nservices = \"app\"\nevery = \"sunday 02:00\"\nfor = \"2h\"",
    ]));
}

#[test]
fn approvals_and_freezes_are_of_what_there_is_at_times_that_there_are() {
    insta::assert_snapshot!(apps(&[
        "[approval.a]\nwhat = \"confg\"\nservices = \"ap\"\npersons = 3",
        "[approval.a]\nwhat = []\ntiers = [0, 1]\nlasts = \"30s\"",
        "[approval.a]\nwhat = \"config\"\nconditions = \"broken\"\nduring = [\"Mon-Fri 18:00-08:00\", \"nights\"]",
        "[freeze.f]\nservices = [\"app\", \"shop\"]\nfrom = \"2026-12-24\"\nuntil = \"2026-12-27T00:00Z\"",
        "[freeze.f]\nowners = \"nobody\"\nfrom = \"2026-12-27T00:00Z\"\nuntil = \"2026-12-24T00:00:00Z\"\nwhy = \"holidays\"",
        "[approval.a]\nwhat = \"config\"\nduring = \"Sat,Sun\"\n[freeze.f]\nfrom = \"2026-12-24T00:00Z\"\nuntil = \"2026-12-27T00:00Z\"\nwhy = \"holidays\"",
    ]));
}

#[test]
fn a_journey_is_of_services_that_promise_as_much_for_the_same_period() {
    let app = "[service.app.objective.availability]\ntarget = \"99%\"\n[service.shop]\nendpoints = \"http://b:1\"\n[[route]]\nservice = \"shop\"\npath = \"/shop\"\n";
    let journey = |shop: &str, journey: &str| format!("{app}{shop}\n[journey.buy]\n{journey}");
    let week = "[service.shop.objective.availability]\ntarget = \"99%\"\nperiod = \"7d\"";
    let month = "[service.shop.objective.availability]\ntarget = \"99.5%\"";
    let texts = [
        journey(month, "services = [\"app\", \"shp\"]\ntarget = \"95%\""),
        journey(month, "services = [\"app\", \"shop\"]\ntarget = \"99%\""),
        journey(month, "services = []\ntarget = \"100%\""),
        journey(week, "services = [\"app\", \"shop\"]\ntarget = \"98%\""),
        journey("", "services = [\"app\", \"shop\"]\ntarget = \"95%\""),
        journey(
            month,
            "services = \"app\"\nobjective = \"availabilty\"\ntarget = \"95%\"",
        ),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(apps(&texts));
}

#[test]
fn what_the_governor_is_told_must_refer_to_something_and_be_watchable() {
    insta::assert_snapshot!(apps(&[
        "depends_on = [\"service.ap\", \"service.app\", \"stock\", \"database.orders\"]",
        "[service.app.objective.availability]\ntarget = \"99%\"\nroutes = [\"buy\"]\nclasses = [\"criticl\"]",
        "[service.app.objective.availability]\ntarget = \"60%\"",
        "[governor]\nmode = \"on\"\n[governor.rule.a]\nwhen = \"healthy\"\nmay = [\"sched\"]\n[governor.rule.b]\nwhen = { tier = 0 }",
    ]));
}

#[test]
fn pairs_of_windows_are_two_windows_and_a_share() {
    let many = "{ budget = \"1%\", long = \"1h\", short = \"5m\" }, ".repeat(9);
    insta::assert_snapshot!(apps(&[
        "[governor]\npairs = [{ budget = \"2%\", long = \"5m\", short = \"1h\" }, { budget = \"2%\", long = \"5m\", short = \"5m\" }]",
        "[governor]\npairs = [{ budget = \"0%\", long = \"1h\", short = \"5m\" }, { budget = \"101%\", long = \"1h\", short = \"5m\" }]",
        "[governor]\npairs = [{ budget = \"2%\", long = \"1h\", short = \"90500ms\", severity = \"email\" }, { long = \"93d\" }]",
        &format!("[governor]\npairs = [{many}]"),
    ]));
}
