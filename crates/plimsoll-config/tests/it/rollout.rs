//! Versions of services and rollouts: what the file says becomes, and what people see of their mistakes.

use std::time::Duration;

use plimsoll_config::{Rollout, RolloutKind, SplitBy, parse};
use plimsoll_core::Mode;

use crate::golden::shown;

const APP: &str =
    "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[[route]]\nservice = \"app\"\n";

/// A service with the version `v2`, and these lines of a rollout of it.
fn app(lines: &str) -> String {
    format!(
        "{APP}[service.app.version.v2]\nendpoints = [\"http://10.0.0.1:9002\"]\n\
         [rollout.next]\nservice = \"app\"\nversion = \"v2\"\n{lines}\n"
    )
}

fn rollout(lines: &str) -> (Rollout, usize) {
    let parsed = parse(&app(lines), "p.toml");
    let parsed = parsed.map(|(mut config, warnings)| {
        let rollout = config.rollouts.remove("next");
        (rollout, warnings.len())
    });
    match parsed {
        Ok((Some(rollout), warnings)) => (rollout, warnings),
        mistakes => panic!("{mistakes:?}"),
    }
}

/// In parts of 10,000, for how many seconds, and whether a person is asked.
fn steps(rollout: &Rollout) -> Vec<(u32, u64, bool)> {
    let step = |it: &plimsoll_config::RolloutStep| {
        let parts = (it.weight.get() * 10_000.0).round() as u32;
        (parts, it.lasts.as_secs(), it.gate)
    };
    rollout.steps.iter().map(step).collect()
}

#[test]
fn a_rollout_says_by_default_what_is_careful() {
    let (config, warnings) = parse(&app(""), "p.toml").unwrap();
    assert!(warnings.is_empty());
    let version = &config.services["app"].versions["v2"];
    assert_eq!(version.endpoints[0].to_string(), "http://10.0.0.1:9002");
    let rollout = &config.rollouts["next"];
    assert_eq!(
        (rollout.service.as_str(), rollout.version.as_str()),
        ("app", "v2")
    );
    assert_eq!(
        (rollout.kind, rollout.mode),
        (RolloutKind::Canary, Mode::Enforce)
    );
    assert_eq!((&rollout.by, &rollout.header), (&SplitBy::Client, &None));
    assert_eq!(
        steps(rollout),
        [
            (100, 300, false),
            (500, 600, false),
            (2_000, 1_200, false),
            (5_000, 1_200, false),
            (10_000, 3_600, false)
        ]
    );
    assert_eq!(
        (rollout.price.get(), rollout.alpha.get(), rollout.tolerate),
        (0.02, 0.01, 1.0)
    );
    assert_eq!(
        [rollout.batch, rollout.cooldown, rollout.hold_max],
        [10, 120, 86_400].map(Duration::from_secs)
    );
}

#[test]
fn steps_kinds_and_cohorts_are_read() {
    let (rollout, _) =
        rollout("steps = [\"5%\", { weight = \"100%\", for = \"1h\", gate = \"person\" }]");
    assert_eq!(steps(&rollout), [(500, 600, false), (10_000, 3_600, true)]);
    let kind = |lines: &str| {
        let (rollout, warnings) = self::rollout(lines);
        (rollout.kind, steps(&rollout).len(), warnings)
    };
    assert_eq!(
        kind("kind = \"blue-green\""),
        (RolloutKind::BlueGreen, 1, 0)
    );
    assert_eq!(kind("kind = \"mirror\""), (RolloutKind::Mirror, 5, 0));
    assert_eq!(
        kind("kind = \"mirror\"\nmirror_unsafe = true"),
        (RolloutKind::Mirror, 5, 1)
    );
    let by = |by: &str| self::rollout(&format!("by = {by}")).0.by;
    assert_eq!(by("\"request\""), SplitBy::Request);
    assert_eq!(by("\"tenant\""), SplitBy::Tenant);
    assert_eq!(
        by("{ header = \"X-User\" }"),
        SplitBy::Header("x-user".to_owned())
    );
    assert_eq!(
        by("{ cookie = \"SID\" }"),
        SplitBy::Cookie("SID".to_owned())
    );
    let (rollout, _) = self::rollout("header = { name = \"X-Canary\", value = \"Yes\" }");
    assert_eq!(
        rollout.header,
        Some(("x-canary".to_owned(), "Yes".to_owned()))
    );
}

#[test]
fn mistakes_in_rollouts_are_shown_with_their_lines() {
    let cases = [
        "steps = []",
        "steps = [\"5%\", \"20%\", \"20%\"]",
        "steps = [\"0%\", \"50%\"]",
        "kind = \"blue-green\"\nsteps = [\"50%\", \"100%\"]",
        "by = { header = \"x-user\", cookie = \"sid\" }",
        "by = {}",
        "by = { cookie = \"a b\" }",
        "by = \"user\"",
        "kind = \"mirror\"\nheader = { name = \"x\", value = \"1\" }\nmirror_unsafe = true",
        "mirror_unsafe = true",
        "alpha = \"50%\"\nprice = \"0%\"",
        "[rollout.other]\nservice = \"app\"\nversion = \"v2\"",
    ];
    insta::assert_snapshot!(shown(&cases.map(app)));
}

#[test]
fn mistakes_about_versions_are_shown_with_their_lines() {
    let rollout = |service: &str, version: &str| {
        app("").replace(
            "service = \"app\"\nversion = \"v2\"",
            &format!("service = \"{service}\"\nversion = \"{version}\""),
        )
    };
    let version = |lines: &str| format!("{APP}[service.app.version.v2]\n{lines}\n");
    insta::assert_snapshot!(shown(&[
        rollout("ap", "v2"),
        rollout("app", "v3"),
        format!("{APP}[rollout.next]\nservice = \"app\"\nversion = \"v2\"\n"),
        version("endpoints = []"),
        version("endpoints = [\"http://10.0.0.1:9001\"]"),
        version(
            "endpoints = \"http://10.0.0.1:9002\"\n[service.app.version.v3]\nendpoints = \"http://10.0.0.1:9002\""
        ),
        version("endpoints = \"http://127.0.0.1:8080\""),
        version("owner = \"me\""),
    ]));
}
