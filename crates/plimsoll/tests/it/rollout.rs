//! Goal: a version that is worse is found and undone by itself, one that is not is promoted, and what people do about it is in
//! force at once; nothing of it is lost by a kill.
//!
//! Method: two services stand for two versions of one, one of which fails as a test says; the command line begins the rollout, a
//! load runs meanwhile. Batches and steps are short, so that a test ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::child::{Home, Plimsoll, ask, config, free_address, get, wait_until};
use crate::load::{Load, Offer};
use crate::script::{Link, Script};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbad";

/// A version that fails every so manieth request.
fn version(fails_each: u64) -> Script {
    let count = Arc::new(AtomicU64::new(0));
    Script::start(move |_, link| {
        while link.head().is_some() {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let fails = fails_each > 0 && number.is_multiple_of(fails_each);
            link.send(if fails { BAD } else { GOOD });
        }
    })
}

/// A Plimsoll that can move its requests from one to the other by these steps.
fn between(stable: SocketAddr, canary: SocketAddr, steps: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    let more = format!(
        "[service.app.protect]\nbreaker = {{ mode = \"off\" }}\nejection = {{ mode = \"off\" }}\n\
         [service.app.objective.availability]\ntarget = \"99%\"\n\
         [service.app.version.v2]\nendpoints = [\"http://{canary}\"]\n\
         [rollout.app-v2]\nservice = \"app\"\nversion = \"v2\"\nby = \"request\"\nsteps = [{steps}]\n\
         batch = \"1s\"\ncooldown = \"2s\"\nprice = \"100%\"\n"
    );
    home.write(&config(&[stable], "", &more));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

fn stands(home: &Home) -> Value {
    let said = home.ask(&["rollout", "status", "app-v2", "--json"]);
    assert!(said.status.success(), "{said:?}");
    serde_json::from_slice(&said.stdout).unwrap()
}

#[track_caller]
fn wait_for_state(home: &Home, state: &str) -> Value {
    let mut seen = Value::Null;
    wait_until(state, || {
        seen = stands(home);
        seen["state"] == state
    });
    seen
}

fn load(plimsoll: &Plimsoll) -> Load {
    Offer::to(plimsoll.address(), 8).start()
}

#[test]
fn a_version_that_fails_is_struck_and_then_undone_and_the_journal_tells_it() {
    let (stable, canary) = (version(0), version(3));
    let steps = "{ weight = \"20%\", for = \"10m\" }, { weight = \"100%\", for = \"10m\" }";
    let (home, plimsoll) = between(stable.address, canary.address, steps);
    let load = load(&plimsoll);
    let waited = home.ask(&[
        "rollout",
        "start",
        "app-v2",
        "--wait",
        "--timeout",
        "2m",
        "--why",
        "release 2",
    ]);
    // What a pipeline sees.
    assert_eq!(waited.status.code(), Some(1), "{waited:?}");
    let report = String::from_utf8(waited.stdout).unwrap();
    assert!(report.contains("strikes: 2 of 2"), "{report}");
    assert!(report.contains("rolled-back at 0 %"), "{report}");
    let view = stands(&home);
    assert_eq!(
        (&view["state"], &view["weight"]),
        (&"rolled-back".into(), &0.0.into())
    );
    let before = canary.heads().len();
    let tally = load.stop();
    assert!(tally.total() > 0);
    for _ in 0..50 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
    assert_eq!(canary.heads().len(), before, "it gets nothing any more");

    let records = home.records();
    let told: Vec<&str> = records
        .iter()
        .filter(|it| it["subject"] == "service/app/rollout/app-v2")
        .map(|it| it["data"]["text"].as_str().unwrap())
        .collect();
    let place = |text: &str| {
        let found = told.iter().position(|it| it.contains(text));
        found.unwrap_or_else(|| panic!("{text}: {told:#?}"))
    };
    let begun = place("started app-v2");
    let struck = place("gets nothing for a while, after 20.0 %");
    let again = place("gets 20.0 % again");
    let undone = place(
        "is undone and gets nothing, after 20.0 %: what it did was too bad to be chance, twice",
    );
    assert!(
        struck < again && again < undone && begun < struck,
        "{told:#?}"
    );
}

#[test]
fn a_version_that_is_no_worse_is_promoted_step_by_step() {
    let (stable, canary) = (version(0), version(0));
    let steps = "{ weight = \"20%\", for = \"1s\" }, { weight = \"50%\", for = \"1s\", gate = \"person\" }, { weight = \"80%\", for = \"1s\", gate = \"person\" }, { weight = \"100%\", for = \"1s\" }";
    let (home, plimsoll) = between(stable.address, canary.address, steps);
    let load = load(&plimsoll);
    let begun = home.ask(&["rollout", "start", "app-v2", "--why", "release 2"]);
    assert!(begun.status.success(), "{begun:?}");
    let again = home.ask(&["rollout", "start", "app-v2", "--why", "release 2"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    // A person lets it through the gate.
    let view = wait_for_state(&home, "asking");
    assert_eq!(view["weight"], 0.2);
    let stale = (view["revision"].as_u64().unwrap() - 1).to_string();
    let advance = |more: &[&str]| {
        let args = ["rollout", "advance", "app-v2", "--why", "looked at it"];
        home.ask(&[&args[..], more].concat())
    };
    let late = advance(&["--revision", &stale]);
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    let said = String::from_utf8_lossy(&late.stderr);
    assert!(said.contains("was changed since"), "{said}");
    assert!(advance(&[]).status.success());
    // The next gate holds it there, however long it takes to look.
    assert_eq!(stands(&home)["weight"], 0.5);
    assert!(advance(&[]).status.success());
    let waited = home.ask(&["rollout", "wait", "app-v2", "--timeout", "1m"]);
    assert_eq!(waited.status.code(), Some(0), "{waited:?}");
    assert_eq!(stands(&home)["state"], "promoted");
    load.stop().assert_all_ok();
    let before = stable.heads().len();
    for _ in 0..50 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
    assert_eq!(stable.heads().len(), before, "the version has all");
}

#[test]
fn a_kill_forgets_nothing_and_what_is_aborted_gets_nothing() {
    let (stable, canary) = (version(0), version(0));
    let steps = "{ weight = \"50%\", for = \"10m\" }";
    let (home, mut plimsoll) = between(stable.address, canary.address, steps);
    let begun = home.ask(&["rollout", "start", "app-v2", "--why", "release 2"]);
    assert!(begun.status.success(), "{begun:?}");
    assert_eq!(stands(&home)["weight"], 0.5);
    plimsoll.process.kill().unwrap();
    plimsoll.ended();
    let plimsoll = home.run(&[]);
    let view = stands(&home);
    assert_eq!(
        (&view["state"], &view["weight"]),
        (&"running".into(), &0.5.into())
    );
    assert_eq!(view["run"]["why"], "release 2");
    let before = canary.heads().len();
    wait_until("the version gets requests again", || {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
        canary.heads().len() > before
    });
    let ended = home.ask(&["rollout", "abort", "app-v2", "--why", "it looks odd"]);
    assert!(ended.status.success(), "{ended:?}");
    let before = canary.heads().len();
    for _ in 0..50 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
    assert_eq!(canary.heads().len(), before);
    assert_eq!(stands(&home)["state"], "aborted");
    let unknown = home.ask(&["rollout", "start", "app-v3", "--why", "release 3"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// What OFREP says of the flag for a user.
fn has_variant(flags: SocketAddr, user: &str) -> bool {
    let body = format!("{{\"context\":{{\"targetingKey\":\"{user}\"}}}}");
    let mut link = Link::connect(flags);
    let head = format!(
        "POST /ofrep/v1/evaluate/flags/new-cart HTTP/1.1\r\nHost: flags\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    link.send(head.as_bytes());
    let answer = link.rest();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let given: Value = serde_json::from_str(body).unwrap();
    given["variant"] == "on"
}

#[test]
fn a_variant_that_fails_its_users_is_taken_from_them_by_what_their_requests_came_to() {
    // The service asks OFREP what its user has, and the variant is bad.
    let listen = free_address();
    let service = Script::start(move |_, link| {
        while let Some(head) = link.head() {
            let user = head.lines().find_map(|line| line.strip_prefix("x-user: "));
            let is_bad = user.is_some_and(|user| has_variant(listen, user));
            link.send(if is_bad { BAD } else { GOOD });
        }
    });
    let home = Home::new();
    let flags = r#"{ "flags": { "new-cart": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off" } } }"#;
    std::fs::write(home.path("flags.json"), flags).unwrap();
    let more = format!(
        "[service.app.protect]\nbreaker = {{ mode = \"off\" }}\nejection = {{ mode = \"off\" }}\n\
         [service.app.objective.availability]\ntarget = \"99%\"\n\
         [flags]\nfile = \"flags.json\"\nlisten = \"{listen}\"\n\
         [rollout.cart]\nservice = \"app\"\nflag = {{ key = \"new-cart\", variant = \"on\" }}\nby = {{ header = \"x-user\" }}\n\
         steps = [{{ weight = \"30%\", for = \"10m\" }}]\nbatch = \"1s\"\ncooldown = \"2s\"\nprice = \"100%\"\n"
    );
    home.write(&config(&[service.address], "", &more));
    let plimsoll = home.run(&[]);
    let users: Vec<String> = (0..100).map(|number| format!("user-{number}")).collect();
    assert!(users.iter().all(|user| !has_variant(listen, user)));
    let begun = home.ask(&["rollout", "start", "cart", "--why", "a new cart"]);
    assert!(begun.status.success(), "{begun:?}");
    let chosen = users.iter().filter(|user| has_variant(listen, user));
    let chosen = chosen.count();
    assert!((10..60).contains(&chosen), "{chosen}");
    let stands = || -> Value {
        let said = home.ask(&["rollout", "status", "cart", "--json"]);
        serde_json::from_slice(&said.stdout).unwrap()
    };
    // Users come again and again.
    wait_until("the variant is undone", || {
        for user in &users {
            ask(
                plimsoll.address(),
                "GET",
                "/",
                &format!("x-user: {user}\r\n"),
            );
        }
        stands()["state"] == "rolled-back"
    });
    let view = stands();
    let run = &view["run"];
    // Both tell users apart in the same way; a request may be on its way while the share changes.
    let bad = |arm: &str| run[arm]["bad"].as_u64().unwrap();
    assert!(bad("canary") > 10 && bad("stable") <= 2, "{run}");
    assert!(
        users.iter().all(|user| !has_variant(listen, user)),
        "nobody has it any more"
    );
}
