//! Goal: what somebody sets of a service is in force at once, is seen with who, why and until, outlives a kill, a restart, an
//! upgrade and the loss of store or file, and ends by itself.
//!
//! Method: the command line and curl set it, requests show what it does; files are taken away, the process killed.

use std::process::Output;

use serde_json::Value;

use crate::access::curl;
use crate::child::{Home, Plimsoll, Service, config, get, metric, wait_until};
use crate::journal::is;

/// A service with an owner, half of whose routes are sheddable, and retries on 502.
fn started() -> (Service, Home, Plimsoll) {
    let service = Service::start();
    let home = Home::new();
    let more = "[[route]]\npath = \"/extra/*\"\nservice = \"app\"\nclass = \"sheddable\"\n\
                [service.app.protect]\nretry = { on = [\"502\"], attempts = 2, budget = \"100%\" }\n\
                breaker = { mode = \"off\" }\nejection = { mode = \"off\" }\n\
                [service.app.objective.availability]\ntarget = \"99%\"\n";
    let text = config(&[service.address], "", more);
    home.write(&text.replace("[service.app]\n", "[service.app]\nowner = \"payments\"\n"));
    let plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    (service, home, plimsoll)
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"", "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn entries(home: &Home) -> Vec<Value> {
    let listed = done(&home.ask(&["degrade", "list", "--json"]));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    listed["entries"].as_array().unwrap().clone()
}

fn is_shed(plimsoll: &Plimsoll) -> bool {
    let (status, answer) = get(plimsoll.address(), "/extra/x");
    assert!(matches!(status, 200 | 503), "{answer}");
    status == 503
}

const SHED: [&str; 4] = ["degrade", "app", "shed", "2"];

#[test]
fn what_is_shed_by_hand_is_refused_until_it_ends_by_itself() {
    let (_service, home, plimsoll) = started();
    assert!(!is_shed(&plimsoll));
    let args = [&SHED[..], &["--for", "1h", "--why", "the sale"]].concat();
    let said = done(&home.ask(&args));
    assert!(
        said.contains("state-folder set shed 2: class sheddable is refused, until"),
        "{said}"
    );
    assert!(is_shed(&plimsoll), "at once");
    assert_eq!(get(plimsoll.address(), "/").0, 200, "standard is let in");
    let record = home.wait_for_record("set", is("change", "set shed 2"));
    assert_eq!(record["subject"], "service/app/overlay/shed");
    let number = format!("#{}", record["sequence"].as_str().unwrap());
    assert!(said.contains(&number), "{said}");
    let status = done(&home.ask(&["status"]));
    for text in [
        "class sheddable is refused until",
        "set by state-folder: the sale",
    ] {
        assert!(status.contains(text), "{status}");
    }
    let listed = done(&home.ask(&["degrade", "list"]));
    assert!(
        listed.contains("set by state-folder until") && listed.contains("the sale"),
        "{listed}"
    );
    assert!(
        get(plimsoll.console(), "/")
            .1
            .contains("set by state-folder until")
    );
    let text = get(plimsoll.ops(), "/metrics").1;
    assert_eq!(
        metric(&text, "plimsoll_overlay_entries", &["service=\"app\""]),
        1.0
    );
    // In its place, for two seconds.
    let args = [&SHED[..], &["--for", "2s", "--why", "the sale"]].concat();
    done(&home.ask(&args));
    assert!(is_shed(&plimsoll));
    assert_eq!(entries(&home).len(), 1);
    wait_until("it ends by itself", || !is_shed(&plimsoll));
    let ended = home.wait_for_record("ended", is("change", "shed 2 ended by itself"));
    let records = home.records();
    let cited = records
        .iter()
        .find(|it| it["sequence"] == ended["cites"])
        .unwrap();
    assert!(
        cited["data"]["text"]
            .as_str()
            .unwrap()
            .contains("set shed 2"),
        "{cited}"
    );
    wait_until("it is not listed", || entries(&home).is_empty());
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn a_service_that_is_read_only_is_read_and_not_written() {
    let service = Service::start();
    let home = Home::new();
    let more = "[service.app.degrade]\nread_only = { retry_after = \"5m\" }\n";
    home.write(&config(&[service.address], "", more));
    let plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    let asked = |method: &str| {
        let url = format!("http://{}/", plimsoll.address());
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sS",
            "-i",
            "--max-time",
            "30",
            "-X",
            method,
            "-d",
            "x",
            &url,
        ]);
        done(&curl.output().unwrap())
    };
    assert!(asked("POST").contains(" 200 "));
    let args = "degrade app read-only --for 1h --why moving";
    let said = done(&home.ask(&args.split(' ').collect::<Vec<_>>()));
    assert!(said.contains("it is read-only"), "{said}");
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        let answer = asked(method).to_ascii_lowercase();
        let head = answer.split("\r\n\r\n").next().unwrap();
        assert!(head.starts_with("http/1.1 503 "), "{method}: {head}");
        assert!(head.contains("retry-after: 300"), "{head}");
        assert!(
            head.contains("plimsoll-decision: refused; reason=read-only"),
            "{head}"
        );
    }
    for method in ["GET", "OPTIONS"] {
        assert!(asked(method).contains(" 200 "), "{method}");
    }
    let text = get(plimsoll.ops(), "/metrics").1;
    let refused = metric(&text, "plimsoll_requests_total", &["cause=\"read-only\""]);
    assert_eq!(refused, 5.0);
    done(&home.ask(&["degrade", "app", "end", "read-only"]));
    assert!(asked("POST").contains(" 200 "));
}

#[test]
fn an_acknowledged_entry_outlives_a_kill_and_an_upgrade() {
    let (_service, home, mut plimsoll) = started();
    let args = [&SHED[..], &["--for", "1h", "--why", "the sale"]].concat();
    let said = done(&home.ask(&args));
    plimsoll.process.kill().unwrap();
    plimsoll.ended();
    let number = said.trim().rsplit('#').next().unwrap();
    let record = |it: &Value| it["sequence"] == number;
    let records = home.records();
    let record = records.iter().find(|it| record(it)).unwrap();
    assert!(is("change", "set shed 2")(record), "{record}");
    assert_eq!(home.verify(&[]).0, 0);
    // Whatever the mode is.
    let before = home.run(&["--observe"]);
    assert!(is_shed(&before));
    assert_eq!(entries(&home)[0]["why"], "the sale");
    assert_eq!(entries(&home)[0]["journal"].to_string(), number);
    let after = home.run(&["--upgrade"]);
    assert!({ before }.ended().success());
    assert!(is_shed(&after));
    done(&home.ask(&["degrade", "app", "end"]));
    assert!(!is_shed(&after));
    // Ended is ended after a kill, too.
    { after }.process.kill().unwrap();
    let again = home.run(&[]);
    assert!(!is_shed(&again));
    assert_eq!(entries(&home), Vec::<Value>::new());
}

#[test]
fn either_copy_is_enough_and_what_ran_out_meanwhile_is_ended() {
    let (_service, home, plimsoll) = started();
    let mut args = [&SHED[..], &["--for", "1h", "--why", "the sale"]].concat();
    done(&home.ask(&args));
    let (file, store) = (
        home.path("state/overlay.json"),
        home.path("state/plimsoll.db"),
    );
    let restart = |mut plimsoll: Plimsoll, gone: &[&std::path::Path]| {
        plimsoll.terminate();
        assert!(plimsoll.ended().success());
        for path in gone {
            std::fs::remove_file(path).unwrap();
        }
        home.run(&[])
    };
    let plimsoll = restart(plimsoll, &[&store]);
    assert!(is_shed(&plimsoll), "from the file, at once");
    // The new store hears of it.
    let kept = || {
        let connection = rusqlite::Connection::open(home.database()).unwrap();
        let text =
            "SELECT count(*) FROM state WHERE key = 'overlay/app/shed' AND value IS NOT NULL";
        connection
            .query_row(text, [], |row| row.get::<_, u32>(0))
            .unwrap_or(0)
    };
    wait_until("the store has it", || kept() == 1);
    let plimsoll = restart(plimsoll, &[&file]);
    wait_until("it is in force from the store", || is_shed(&plimsoll));
    // A file that can't be read is no better than none.
    let plimsoll = restart(plimsoll, &[]);
    assert!(is_shed(&plimsoll));
    std::fs::write(&file, "{").unwrap();
    let plimsoll = restart(plimsoll, &[]);
    wait_until("it is in force from the store", || is_shed(&plimsoll));
    args[5] = "1s";
    done(&home.ask(&args));
    let plimsoll = restart(plimsoll, &[]);
    home.wait_for_record("ended", is("change", "shed 2 ended by itself"));
    assert!(!is_shed(&plimsoll));
    wait_until("the store has it no more", || kept() == 0);
}

#[test]
fn with_the_store_gone_it_is_in_force_and_its_record_waits() {
    let (_service, home, plimsoll) = started();
    let aside = home.path("aside.db");
    std::fs::rename(home.database(), &aside).unwrap();
    std::fs::create_dir(home.database()).unwrap();
    let args = [&SHED[..], &["--for", "1h", "--why", "the sale"]].concat();
    let output = home.ask(&args);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("it is done, and not recorded yet"), "{said}");
    assert!(is_shed(&plimsoll));
    assert_eq!(entries(&home)[0]["journal"], Value::Null);
    std::fs::remove_dir(home.database()).unwrap();
    std::fs::rename(&aside, home.database()).unwrap();
    home.wait_for_record("set", is("change", "set shed 2"));
    let kept = || {
        let connection = rusqlite::Connection::open(home.database()).unwrap();
        let text =
            "SELECT count(*) FROM state WHERE key = 'overlay/app/shed' AND value IS NOT NULL";
        connection
            .query_row(text, [], |row| row.get::<_, u32>(0))
            .unwrap_or(0)
    };
    wait_until("the store has it", || kept() == 1);
    // A kill takes what waited with it: the next process says what it found in force.
    std::fs::rename(home.database(), &aside).unwrap();
    std::fs::create_dir(home.database()).unwrap();
    assert!(home.ask(&args).status.success());
    { plimsoll }.process.kill().unwrap();
    std::fs::remove_dir(home.database()).unwrap();
    std::fs::rename(&aside, home.database()).unwrap();
    let plimsoll = home.run(&[]);
    assert!(is_shed(&plimsoll));
    let found = home.wait_for_record(
        "found",
        is("change", "shed 2 is in force, set by state-folder"),
    );
    let number: u64 = found["sequence"].as_str().unwrap().parse().unwrap();
    wait_until("its number is known", || {
        entries(&home)[0]["journal"].as_u64() == Some(number)
    });
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn retries_end_by_hand_and_the_governors_mode_is_set() {
    let (service, home, plimsoll) = started();
    let requests = || {
        let before = service.requests();
        assert_eq!(get(plimsoll.address(), "/status/502").0, 502);
        service.requests() - before
    };
    assert_eq!(requests(), 2);
    let reason = ["--for", "1h", "--why", "the database"];
    done(&home.ask(&[&["degrade", "app", "no-retries"][..], &reason].concat()));
    assert_eq!(requests(), 1);
    done(&home.ask(&[&["degrade", "app", "no-hedges"][..], &reason].concat()));
    assert_eq!(entries(&home).len(), 2);
    let mode = || {
        let status = done(&home.ask(&["status", "--json"]));
        let status: Value = serde_json::from_str(&status).unwrap();
        status["services"][0]["governed"]["mode"].clone()
    };
    assert_eq!(mode(), "observe");
    let governor = ["governor", "mode", "app"];
    done(&home.ask(&[&governor[..], &["enforce"], &reason].concat()));
    assert_eq!(mode(), "enforce");
    done(&home.ask(&[&governor[..], &["off"], &reason].concat()));
    assert_eq!(mode(), "off");
    // Without saying what, all that degrades it ends, and nothing else.
    done(&home.ask(&["degrade", "app", "end"]));
    assert_eq!(requests(), 2);
    assert_eq!(mode(), "off");
    done(&home.ask(&[&governor[..], &["end"]].concat()));
    assert_eq!(mode(), "observe");
    let output = home.ask(&["degrade", "app", "end", "shed"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // A reload leaves it as it is.
    done(&home.ask(&[&["degrade", "app", "no-retries"][..], &reason].concat()));
    done(&home.ask(&["reload"]));
    assert_eq!(requests(), 1);
}

#[test]
fn what_cannot_be_is_refused_with_the_same_words_by_command_and_api() {
    let (_service, home, plimsoll) = started();
    let token = std::fs::read_to_string(home.path("state/token")).unwrap();
    let check = |args: &[&str], path: &str, body: &str, status: u16, part: &str| {
        let output = home.ask(&[&["degrade"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(part), "{said}");
        let path = format!("/api/v1/overlay/{path}");
        let json = ["-H", "Content-Type: application/json", "-d", body];
        let (answered, answer) = curl(&plimsoll, "PUT", &path, &token, &json);
        assert_eq!(
            (answered, answer["detail"].as_str()),
            (status, Some(said.trim_end()))
        );
    };
    let ok = ["--for", "1m", "--why", "x"];
    let with = |args: &[&'static str]| [args, &ok].concat();
    let level = |level: &str| format!(r#"{{"level":{level},"for":"1m","why":"x"}}"#);
    check(
        &with(&["ap", "shed", "2"]),
        "ap/shed",
        &level("2"),
        404,
        "did you mean `app`?",
    );
    check(
        &with(&["app", "shed", "9"]),
        "app/shed",
        &level("9"),
        422,
        "`9` is no level of shed; expected 1 to 4",
    );
    check(
        &with(&["app", "shed", "all"]),
        "app/shed",
        &level("\"all\""),
        422,
        "`all` is no level",
    );
    check(
        &with(&["app", "shed"]),
        "app/shed",
        r#"{"for":"1m","why":"x"}"#,
        422,
        "needs a level",
    );
    check(
        &with(&["app", "stop"]),
        "app/stop",
        r#"{"for":"1m","why":"x"}"#,
        404,
        "`stop` can't be set",
    );
    check(
        &["app", "shed", "2", "--why", "x"],
        "app/shed",
        r#"{"level":2,"why":"x"}"#,
        422,
        "say for how long",
    );
    check(
        &["app", "shed", "2", "--why", "x", "--for", "8d"],
        "app/shed",
        r#"{"level":2,"why":"x","for":"8d"}"#,
        422,
        "at most 7d",
    );
    check(
        &["app", "shed", "2", "--for", "1m"],
        "app/shed",
        r#"{"level":2,"for":"1m"}"#,
        422,
        "say why",
    );
    check(
        &["app", "shed", "2", "--for", "1m", "--why", "a\tb"],
        "app/shed",
        r#"{"level":2,"for":"1m","why":"a\tb"}"#,
        422,
        "control characters",
    );
    let long = "a".repeat(501);
    let body = format!(r#"{{"level":2,"for":"1m","why":"{long}"}}"#);
    check(
        &["app", "shed", "2", "--for", "1m", "--why", &long],
        "app/shed",
        &body,
        422,
        "501 characters",
    );
    assert!(entries(&home).is_empty());
    assert!(!is_shed(&plimsoll));
}

#[test]
fn a_token_changes_the_services_of_its_owners_and_no_page_of_another_site_any() {
    let (_service, home, plimsoll) = started();
    let payments = home.token(&["pat", "--role", "operator", "--owner", "payments"]);
    let search = home.token(&["sam", "--role", "operator", "--owner", "search"]);
    let wanted = r#"{"level":2,"for":"1h","why":"it melts"}"#;
    let json = ["-H", "Content-Type: application/json", "-d", wanted];
    let set = |token: &str, more: &[&str]| {
        let args = [&json[..], more].concat();
        curl(&plimsoll, "PUT", "/api/v1/overlay/app/shed", token, &args)
    };
    assert_eq!(
        set(&payments, &["-H", "Origin: http://evil.example"]).0,
        403
    );
    assert_eq!(set(&payments, &["-H", "Host: evil.example"]).0, 421);
    let (status, answer) = set(&search, &[]);
    assert_eq!(status, 403);
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains("app belongs to payments"), "{detail}");
    assert!(!is_shed(&plimsoll));
    let (status, answer) = set(&payments, &[]);
    assert_eq!(status, 200, "{answer}");
    assert!(is_shed(&plimsoll));
    let record = home.wait_for_record("set", is("change", "pat set shed 2"));
    assert_eq!(record["sequence"], answer["journal"].to_string());
    let end = |token: &str| curl(&plimsoll, "DELETE", "/api/v1/overlay/app/shed", token, &[]);
    assert_eq!(end(&search).0, 403);
    assert_eq!(end(&payments).0, 200);
    assert_eq!(end(&payments).0, 404);
    assert!(!is_shed(&plimsoll));
}
