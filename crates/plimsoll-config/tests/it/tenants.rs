//! Tenants and rates: what the file says becomes, and what people see of their mistakes.

use std::path::PathBuf;

use plimsoll_config::{Config, Cost, Rate, RateBy, Secret, parse, render};
use plimsoll_core::Mode;

const HEAD: &str = "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n";

#[track_caller]
fn config(source: &str) -> Config {
    match parse(source, "/etc/plimsoll/plimsoll.toml") {
        Ok((config, warnings)) if warnings.is_empty() => config,
        Ok((_, diagnostics)) | Err(diagnostics) => {
            panic!("{}", render(&diagnostics, source, "p.toml", false))
        }
    }
}

#[track_caller]
#[expect(clippy::indexing_slicing, reason = "it is a part of a test")]
fn rates(keys: &str) -> Vec<Rate> {
    let source = format!("{HEAD}[[route]]\nservice = \"app\"\n{keys}\n");
    config(&source).routes[0].rate.clone()
}

#[test]
fn rates_are_read_with_names_and_bursts_of_their_own() {
    let config = config(include_str!("whole.toml"));
    let rate = |name: &str, per_second, burst, by| Rate {
        name: name.to_owned(),
        per_second,
        burst,
        by,
        cost: None,
        mode: Mode::Enforce,
    };
    let expected = [
        rate("rate-1", 50.0, 50, RateBy::Tenant),
        Rate {
            mode: Mode::Observe,
            ..rate("slow", 10.0 / 3_600.0, 3, RateBy::Address)
        },
        Rate {
            cost: Some(Cost {
                header: "x-batch-size".into(),
                max: 100,
            }),
            ..rate("rate-3", 1_000.0 / 60.0, 1_000, RateBy::Route)
        },
    ];
    assert_eq!(config.routes[0].rate, expected);
    assert_eq!(config.routes[1].rate, []);
}

#[test]
fn a_rate_may_stand_alone() {
    assert_eq!(rates("rate = \"50/s\"")[0].per_second, 50.0);
    assert_eq!(rates("rate = { limit = \"50/s\", burst = 7 }")[0].burst, 7);
    assert_eq!(rates("[[route.rate]]\nlimit = \"1/s\"")[0].burst, 1);
    assert_eq!(rates("rate = \"0.2/s\"")[0].burst, 1);
    assert_eq!(rates("rate = \"2.5/s\"")[0].burst, 3);
    let cost = rates("rate = { limit = \"5/s\", burst = 9, cost = \"X-Items\" }")[0]
        .cost
        .clone();
    let expected = Cost {
        header: "x-items".into(),
        max: 9,
    };
    assert_eq!(cost, Some(expected));
}

#[test]
fn tenants_have_keys_that_are_never_shown() {
    let config = config(include_str!("whole.toml"));
    let acme = &config.tenants["acme"];
    assert_eq!(
        acme.keys,
        [
            Secret::Plain("acme".into()),
            Secret::Env("ACME_KEY".into()),
            Secret::File(PathBuf::from("/etc/plimsoll/acme.key")),
        ]
    );
    assert_eq!(acme.weight, 2.5);
    let shown = format!("{:?}", Secret::Plain("hunter2".into()));
    assert_eq!(shown, "Plain(..)");
}

#[test]
fn a_tenant_may_be_its_key_alone() {
    let config = config(&format!(
        "{HEAD}[tenant]\nacme = \"a-key\"\n[[route]]\nservice = \"app\"\ntenant = \"x-api-key\"\n"
    ));
    let acme = &config.tenants["acme"];
    assert_eq!(acme.keys, [Secret::Plain("a-key".into())]);
    assert_eq!(acme.weight, 1.0);
}

/// Every diagnostic of a file whose route has each of these lines.
fn shown(cases: &[&str]) -> String {
    let sources = cases
        .iter()
        .map(|case| format!("{HEAD}[[route]]\nservice = \"app\"\n{case}\n"));
    crate::golden::shown(&sources.collect::<Vec<_>>())
}

#[test]
fn mistakes_in_rates() {
    insta::assert_snapshot!(shown(&[
        "rate = 50",
        "rate = \"50\"",
        "rate = \"50/m\"",
        "rate = \"0/s\"",
        "rate = \"1/week\"",
        "rate = \"5000000000/s\"",
        "rate = {}",
        "rate = { limit = \"5/s\", burst = 0 }",
        "rate = { limit = \"5/s\", by = \"client\" }",
        "rate = { limit = \"5/s\", cost = { header = \"x-n\", max = 10 } }",
        "rate = { limit = \"5/s\", burst = 9, cost = { header = \"x-n\", max = 10 } }",
        "rate = [{ limit = \"5/s\", name = \"a\" }, { limit = \"9/min\", name = \"a\" }]",
        "rate = [{ limit = \"5/s\", name = \"rate-2\" }, \"9/min\"]",
        "rate = { limit = \"5/s\", name = \"per second\" }",
        "[[route]]\npath = \"/old\"\nredirect = \"https\"\nrate = \"5/s\"",
    ]));
}

#[test]
fn mistakes_in_tenants() {
    insta::assert_snapshot!(shown(&[
        "[tenant.acme]\nkeys = \"a\"",
        "tenant = \"x-api-key\"\n[tenant.acme]",
        "tenant = \"x-api-key\"\n[tenant.acme]\nkeys = []",
        "tenant = \"x-api-key\"\n[tenant.acme]\nkeys = [\"\", {}, { env = \"A\", file = \"a\" }]",
        "tenant = \"x-api-key\"\n[tenant.acme]\nkeys = [\"a\", { env = \"A\" }]\n[tenant.b]\nkeys = [{ env = \"A\" }, \"a\"]",
        "tenant = \"x-api-key\"\n[tenant.acme]\nkeys = \"a\"\nweight = 0",
        "tenant = \"x-api-key\"\n[tenant.acme]\nkeys = \"a\"\nweight = \"2\"",
        "tenant = \"x-api-key\"\n[tenant.\"a b\"]\nkeys = \"a\"",
    ]));
}

#[test]
fn mistakes_in_the_memory_of_the_gateway() {
    insta::assert_snapshot!(shown(&[
        "[gateway.limits]\nmemory_max = \"1MiB\"",
        "[gateway.limits]\nmemory_max = 512",
    ]));
}
