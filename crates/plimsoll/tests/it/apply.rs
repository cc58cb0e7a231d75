//! Goal: what is planned is what is applied; a change that harms is taken back by the process itself, one that does not is
//! kept; what was in force can be again.
//!
//! Method: a real process under a closed loop of clients, and files that send requests where nobody listens, or that let one
//! request at a time through to a slow service. What came of it is read from exit codes, answers, status and journal.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::child::{Home, Plimsoll, Service, config, free_address, get, wait_until};
use crate::load::{Load, Offer};

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr];
    let texts = texts.map(|it| String::from_utf8_lossy(it).into_owned());
    texts.concat()
}

#[track_caller]
fn ends_with(output: &Output, code: i32) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// A few clients that ask for this path without a pause.
fn load(plimsoll: &Plimsoll, path: &str, clients: usize) -> Load {
    let load = Offer {
        paths: vec![path.to_owned()],
        ..Offer::to(plimsoll.address(), clients)
    }
    .start();
    wait_until("requests come", || load.answered() > 50);
    load
}

fn journal(home: &Home) -> Vec<Value> {
    let output = home.ask(&["journal", "export"]);
    let text = ends_with(&output, 0);
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

/// Waits for what takes batches of 5 s: on a busy machine longer than other waits.
#[track_caller]
fn wait_long(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..240 {
        if condition() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "real processes are waited for")]
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("waited in vain until: {what}");
}

/// What the journal has of the configuration, in words.
fn told(home: &Home) -> String {
    let all = journal(home).into_iter();
    let about = all.filter(|it| it["subject"] == "configuration");
    let texts = about.filter_map(|it| Some(it["data"]["text"].as_str()?.to_owned()));
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_says_what_would_change_and_is_all_that_is_applied() {
    let service = Service::start();
    let home = Home::new();
    let text = |head: &str| {
        let more = format!("[service.app.protect]\ndeadline = \"{head}\"\n");
        config(&[service.address], "", &more)
    };
    home.write(&text("5s"));
    let _plimsoll = home.run(&[]);
    let plan = |more: &[&str]| home.ask(&[&["plan"], more].concat());
    let same = ends_with(&plan(&[]), 0);
    assert!(same.contains("nothing to change"), "{same}");

    home.write(&text("4s"));
    let shown = ends_with(&plan(&[]), 4);
    for part in [
        "1 change, risk high",
        "app\n",
        "protect.deadline.head",
        "5s",
        "4s",
        "approvals: none",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let (saved, next) = (home.path("plan.json"), home.path("next.toml"));
    let saved = saved.display().to_string();
    ends_with(&plan(&["--out", &saved, "--json"]), 4);
    // Another file, as if it stood in its place; with an error, as `check` says it.
    std::fs::write(&next, text("3s")).unwrap();
    let next = next.display().to_string();
    assert!(ends_with(&plan(&[&next]), 4).contains("3s"));
    std::fs::write(&next, "[gateway]\ndrian = 1\n").unwrap();
    assert!(ends_with(&plan(&[&next]), 1).contains("drian"));
    ends_with(&plan(&["/nowhere.toml"]), 2);
    home.write("[gateway]\ndrian = 1\n");
    assert!(ends_with(&plan(&[]), 1).contains("drian"));
    assert!(ends_with(&home.ask(&["apply", "--yes"]), 1).contains("drian"));

    // The file has changed since.
    home.write(&text("2s"));
    let apply = |more: &[&str]| home.ask(&[&["apply", "--watch", "0s"], more].concat());
    let refused = ends_with(&apply(&[&saved, "--yes"]), 1);
    assert!(refused.contains("plan again"), "{refused}");
    // Nobody is there to say yes.
    let asked = ends_with(&apply(&[]), 2);
    assert!(asked.contains("--yes"), "{asked}");
    home.write(&text("4s"));
    let applied = ends_with(&apply(&[&saved, "--yes", "--why", "shorter is better"]), 0);
    assert!(applied.contains("applied: /"), "{applied}");
    // What is in force has changed since.
    let again = ends_with(&apply(&[&saved, "--yes"]), 1);
    assert!(again.contains("plan again"), "{again}");
    ends_with(&plan(&[]), 0);

    let plan: Value = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
    let records = journal(&home);
    let by_plan = records
        .iter()
        .find(|it| it["data"]["plan"] == plan["hash"] && it["data"]["watched"].is_string());
    let applied = &by_plan.expect("the journal has it")["data"];
    assert_eq!(applied["why"], "shorter is better");
    assert_eq!(applied["changed"][0], "service.app.protect.deadline");
}

/// The log is of what the configuration in force asks for; without one nothing is predicted.
#[test]
fn a_plan_predicts_on_traffic_that_was_recorded() {
    let service = Service::start();
    let home = Home::new();
    let log = home.path("access.log");
    let logged = format!("log = {{ to = \"{}\", sample = \"100%\" }}", log.display());
    home.write(&config(&[service.address], &logged, ""));
    let plimsoll = home.run(&[]);
    let load = load(&plimsoll, "/delay/50", 8);
    wait_until("the log has it", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().count() > 400
    });
    load.stop().assert_all_ok();
    let limited = "[service.app.protect]\nlimiter = 1\nqueue.wait = \"0s\"\n";
    home.write(&config(&[service.address], &logged, limited));
    let plan = ends_with(&home.ask(&["plan"]), 4);
    assert!(plan.contains("recorded traffic: "), "{plan}");
    assert!(
        plan.contains("app: good \u{2212}") && plan.contains("refused +"),
        "{plan}"
    );
    // Another log, named by hand.
    let few: Vec<String> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .take(2)
        .map(str::to_owned)
        .collect();
    let short = home.path("short.log").display().to_string();
    std::fs::write(&short, few.join("\n")).unwrap();
    let plan = ends_with(&home.ask(&["plan", "--traffic", &short]), 4);
    assert!(
        plan.contains("nothing is predicted: there are too few"),
        "{plan}"
    );
}

#[test]
fn a_route_that_is_gone_is_taken_back() {
    let service = Service::start();
    let home = Home::new();
    let text = config(&[service.address], "", "");
    home.write(&text);
    let plimsoll = home.run(&[]);
    let load = load(&plimsoll, "/", 4);
    let gone = text.replace("name = \"all\"\n", "name = \"all\"\npath = \"/other\"\n");
    assert_ne!(gone, text);
    home.write(&gone);
    let apply = home.ask(&["apply", "--yes", "--wait", "--watch", "2m"]);
    let text = ends_with(&apply, 5);
    assert!(text.contains("led to no service by a route"), "{text}");
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    assert!(load.stop().status(404) > 0);
}

#[test]
fn what_was_in_force_is_listed_and_can_be_again_and_the_file_is_set_aside() {
    let service = Service::start();
    let home = Home::new();
    let text = |version: u8| {
        let more =
            format!("[route.rewrite]\nrequest = {{ set = {{ X-Version = \"{version}\" }} }}\n");
        config(&[service.address], "", &more)
    };
    home.write(&text(1));
    let mut plimsoll = home.run(&[]);
    let serves = |plimsoll: &Plimsoll, version: u8| {
        let seen = format!("X-Seen: {version}\r\n");
        get(plimsoll.address(), "/").1.contains(&seen)
    };
    home.write(&text(2));
    ends_with(&home.ask(&["reload"]), 0);
    assert!(serves(&plimsoll, 2));
    let list = || ends_with(&home.ask(&["config", "list"]), 0);
    let listed = list();
    assert!(
        listed.contains("*    2 ") && listed.contains("     1 "),
        "{listed}"
    );
    let shown = ends_with(&home.ask(&["config", "show", "1"]), 0);
    assert!(shown.contains("X-Version = \"1\""), "{shown}");
    ends_with(&home.ask(&["config", "show", "7"]), 1);

    let back = home.ask(&["config", "rollback", "--why", "2 is wrong"]);
    assert!(ends_with(&back, 0).contains("rolled back to configuration 1"));
    assert!(serves(&plimsoll, 1));
    let listed = list();
    assert!(
        listed.contains("rollback by") && listed.contains("2 is wrong"),
        "{listed}"
    );
    // It is said, and the file is not in force by accident: neither with a reload nor with a restart.
    let status = || ends_with(&home.ask(&["status"]), 0);
    wait_until("status says it", || {
        status().contains("the file on disk is not in force")
    });
    let reload = ends_with(&home.ask(&["reload"]), 1);
    assert!(reload.contains("set aside"), "{reload}");
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    let mut plimsoll = home.run(&[]);
    plimsoll.wait_for("set aside");
    assert!(serves(&plimsoll, 1));
    // Whoever applies it wants it.
    let planned = ends_with(&home.ask(&["plan"]), 4);
    assert!(
        planned.contains("this very file was set aside"),
        "{planned}"
    );
    ends_with(&home.ask(&["apply", "--yes", "--watch", "0s"]), 0);
    assert!(serves(&plimsoll, 2));
    assert!(!status().contains("not in force"));
    // A watch ends where another configuration comes into force.
    home.write(&text(4));
    ends_with(&home.ask(&["apply", "--yes"]), 0);
    assert!(list().contains("watching until"), "{}", list());
    ends_with(&home.ask(&["config", "rollback"]), 0);
    assert!(list().contains("superseded"), "{}", list());
    // Another file is as any other.
    home.write(&text(3));
    ends_with(&home.ask(&["reload"]), 0);
    assert!(serves(&plimsoll, 3));
    ends_with(&home.ask(&["config", "rollback", "99"]), 1);
    plimsoll.assert_runs();
}

#[test]
fn a_change_that_sends_requests_where_nobody_listens_is_taken_back() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let mut plimsoll = home.run(&[]);
    let load = load(&plimsoll, "/", 4);
    home.write(&config(&[free_address()], "", ""));
    let apply = home.ask(&["apply", "--yes", "--wait", "--watch", "2m"]);
    let text = ends_with(&apply, 5);
    assert!(text.contains("requests of app were bad"), "{text}");
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    wait_until("the journal tells the story", || {
        let told = told(&home);
        told.contains("returned to the configuration before")
    });
    let tally = load.stop();
    assert!(tally.status(200) > 0 && tally.total() > tally.status(200));
    let records = journal(&home);
    let verdict = records
        .iter()
        .find(|it| it["data"]["verdict"] == "returned");
    let verdict = &verdict.expect("the journal has it")["data"];
    assert_eq!(verdict["suffers"], "app");
    assert!(
        verdict["evidence"]["share_after"].as_f64().unwrap() > 0.5,
        "{verdict}"
    );
    plimsoll.assert_runs();
}

#[test]
fn a_limit_that_refuses_what_was_served_is_taken_back() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    let load = load(&plimsoll, "/delay/100", 16);
    home.write(&config(
        &[service.address],
        "",
        "[service.app.protect]\nlimiter = 1\nqueue.wait = \"0s\"\n",
    ));
    let apply = home.ask(&["apply", "--yes", "--wait", "--watch", "2m"]);
    let text = ends_with(&apply, 5);
    assert!(text.contains("requests of app were bad"), "{text}");
    let before = load.answered();
    wait_until("requests go on", || load.answered() > before + 50);
    drop(load.stop());
    let list = ends_with(&home.ask(&["config", "list"]), 0);
    assert!(list.contains("return by Plimsoll"), "{list}");
}

#[test]
fn a_change_that_harms_nobody_is_kept() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    let load = load(&plimsoll, "/", 2);
    let harmless = "[service.app.protect]\ndeadline = \"20s\"\n";
    home.write(&config(&[service.address], "", harmless));
    let apply = home.ask(&["apply", "--yes", "--wait", "--watch", "30s"]);
    let text = ends_with(&apply, 0);
    assert!(text.contains("kept: 0 of "), "{text}");
    ends_with(&home.ask(&["plan"]), 0);
    load.stop().assert_all_ok();
    wait_until("the journal has it", || {
        told(&home).contains("the change is kept")
    });
}

#[test]
fn a_process_that_is_killed_while_it_watches_goes_on_watching() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    drop(load(&plimsoll, "/", 2).stop());
    let harmful = config(&[free_address()], "", "");
    home.write(&harmful);
    ends_with(&home.ask(&["apply", "--yes", "--watch", "2m"]), 0);
    // A second change has to wait.
    home.write(&config(&[service.address], "drain = \"9s\"", ""));
    let refused = ends_with(&home.ask(&["apply", "--yes"]), 1);
    assert!(refused.contains("is watched until"), "{refused}");
    home.write(&harmful);
    // Killed, not asked to end.
    drop(plimsoll);
    let plimsoll = home.run(&[]);
    plimsoll.wait_for("goes on watching");
    let load = Offer::to(plimsoll.address(), 4).start();
    let state = || {
        let output = home.ask(&["config", "list", "--json"]);
        // A machine that stands still for a moment has no answer.
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        all["watch"]["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    wait_long("it returns", || state() == "returned");
    drop(load.stop());
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    // The harmful file is still there: the next start knows better.
    drop(plimsoll);
    let plimsoll = home.run(&[]);
    plimsoll.wait_for("set aside");
    assert_eq!(get(plimsoll.address(), "/").0, 200);
}
