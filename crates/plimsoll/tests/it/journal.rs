//! Goal: what changed and what was decided can be read afterwards, whatever became of the process or was done to the file;
//! and nothing of it stands in the way of serving.
//!
//! Method: real processes; the database is read as the command line does, and changed behind their backs with SQL.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::child::{Home, Service, config, free_address, get, metric, wait_until};

impl Home {
    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.path("state/plimsoll.db")
    }

    /// All records, as `journal export` gives them; none before the database was made.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        let output = self.ask(&["journal", "export"]);
        let said = String::from_utf8(output.stderr).unwrap();
        let not_yet = ["there is no journal in", "has nothing in it yet"];
        assert!(
            output.status.success() || not_yet.iter().any(|it| said.contains(it)),
            "{said}"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits for a record that holds.
    #[track_caller]
    pub(crate) fn wait_for_record(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until(what, || {
            found = self.records().into_iter().find(&holds);
            found.is_some()
        });
        found.unwrap()
    }

    /// Changes the database behind everybody's back.
    fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.database()).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// What `journal verify` says, and its exit code.
    pub(crate) fn verify(&self, more: &[&str]) -> (i32, String) {
        let output = self.ask(&[&["journal", "verify"], more].concat());
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        (output.status.code().unwrap(), said)
    }
}

pub(crate) fn is(kind: &'static str, text: &'static str) -> impl Fn(&Value) -> bool {
    move |it| {
        it["type"] == format!("plimsoll.{kind}")
            && it["data"]["text"].as_str().unwrap().contains(text)
    }
}

/// A process that ran, was reloaded, and ended.
fn ran() -> Home {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let mut plimsoll = home.run(&[]);
    home.write(&config(&[service.address], "drain = \"2s\"", ""));
    assert!(home.ask(&["reload"]).status.success());
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    home
}

#[test]
fn start_reload_refusal_and_end_are_recorded() {
    let service = Service::start();
    let home = Home::new();
    let tenant = "[tenant.gold]\nkeys = [\"a-key-that-nobody-may-see\"]\n";
    let file = home.write(&config(&[service.address], "", tenant));
    let mut plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    let tenant = "[tenant.gold]\nkeys = [\"another-key-of-somebody\"]\n";
    home.write(&config(&[service.address], "drain = \"2s\"", tenant));
    assert!(home.ask(&["reload"]).status.success());
    let change = home.wait_for_record(
        "change",
        is("change", "gateway.drain, tenant.gold.keys changed"),
    );
    assert_eq!(change["data"]["path"], file);
    assert_ne!(change["data"]["before"], change["data"]["after"]);
    home.write("[tenant.gold]\nkeys = [\"a-broken-key\"\n");
    assert_eq!(home.ask(&["reload"]).status.code(), Some(1));
    let refusal = home.wait_for_record("refusal", is("refusal", "reload refused"));
    assert_eq!(refusal["subject"], "configuration");
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    let records = home.records();
    let texts: Vec<_> = records
        .iter()
        .map(|it| it["data"]["what"].clone())
        .collect();
    assert_eq!(texts.last().unwrap(), "stop", "{records:?}");
    assert!(texts.contains(&"drain".into()), "{records:?}");
    let whole = format!("{records:?}");
    assert!(
        !whole.contains("key-") && !whole.contains("-key"),
        "{whole}"
    );
    // A start with what was in force before says so.
    home.write(&config(&[service.address], "drain = \"2s\"", tenant));
    let _again = home.run(&[]);
    home.wait_for_record("the same", is("change", "the same as before"));
    let (code, said) = home.verify(&[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn an_endpoint_that_goes_down_is_recorded() {
    let (one, nobody) = (Service::start(), free_address());
    let home = Home::new();
    let text = config(&[one.address, nobody], "", "");
    home.write(&text.replace(
        "[[route]]",
        "health = { kind = \"tcp\", interval = \"50ms\", timeout = \"50ms\" }\n[[route]]",
    ));
    let plimsoll = home.run(&[]);
    let down = home.wait_for_record("down", is("endpoint", "down"));
    assert_eq!(
        down["subject"],
        format!("service/app/endpoint/http://{nobody}")
    );
    assert_eq!(down["data"]["state"], "down");
    // About the service is about its endpoints too.
    let output = home.ask(&[
        "journal",
        "list",
        "--subject",
        "service/app",
        "--kind",
        "endpoint",
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains(&nobody.to_string()) && said.contains("down: connecting to"),
        "{said}"
    );
    wait_until("it is counted", || {
        let (_, metrics) = get(plimsoll.ops(), "/metrics");
        metric(&metrics, "plimsoll_store_up", &[]) == 1.0
            && metric(&metrics, "plimsoll_journal_records_total", &[]) >= 3.0
    });
}

#[test]
fn a_store_that_cannot_be_opened_stops_nothing_and_is_said() {
    let service = Service::start();
    for what in ["a folder", "a newer form"] {
        let home = Home::new();
        home.write(&config(&[service.address], "", ""));
        std::fs::create_dir(home.path("state")).unwrap();
        if what == "a folder" {
            std::fs::create_dir(home.database()).unwrap();
        } else {
            home.tamper("PRAGMA user_version = 99");
        }
        let plimsoll = home.run(&[]);
        assert_eq!(get(plimsoll.address(), "/").0, 200, "{what}");
        plimsoll.wait_for("the store fails; serving goes on");
        let status = || String::from_utf8(home.ask(&["status"]).stdout).unwrap();
        wait_until("it is shown", || status().contains("the store fails since"));
        wait_until("it is counted", || {
            let (_, metrics) = get(plimsoll.ops(), "/metrics");
            metrics.contains("plimsoll_store_up 0\n")
                && metric(&metrics, "plimsoll_journal_waiting", &[]) >= 2.0
        });
        // Once it can be opened, all that waited is written.
        if what == "a folder" {
            std::fs::remove_dir(home.database()).unwrap();
            home.wait_for_record("start", is("process", "started"));
            wait_until("it is well", || !status().contains("the store fails"));
        }
    }
}

#[test]
fn a_damaged_database_is_kept_and_begun_anew() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    std::fs::create_dir(home.path("state")).unwrap();
    std::fs::write(
        home.database(),
        "this was somebody's shopping list ".repeat(200),
    )
    .unwrap();
    let plimsoll = home.run(&[]);
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    plimsoll.wait_for("the store was damaged");
    let damage = home.wait_for_record("damage", is("damage", "begun anew"));
    let kept = std::fs::read_to_string(damage["data"]["kept"].as_str().unwrap()).unwrap();
    assert!(kept.starts_with("this was"));
    wait_until("it is shown", || {
        let output = home.ask(&["status"]);
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("the store was damaged")
    });
}

#[test]
fn what_was_done_to_the_file_is_found() {
    let home = ran();
    let (code, said) = home.verify(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("whole"), "{said}");
    home.tamper("UPDATE journal SET body = x'7b7d' WHERE sequence = 2");
    let (code, said) = home.verify(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/2 is not what was written"), "{said}");

    let home = ran();
    home.tamper("DELETE FROM journal WHERE sequence = 2");
    let (code, said) = home.verify(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("are missing"), "{said}");
}

#[test]
fn an_end_that_was_cut_off_is_found_by_a_head_that_was_kept() {
    let home = ran();
    let head = std::fs::read_to_string(home.path("state/journal.head")).unwrap();
    let kept = home.path("kept.head");
    std::fs::write(&kept, &head).unwrap();
    let kept = kept.display().to_string();
    assert_eq!(home.verify(&["--head", &kept]).0, 0);
    home.tamper("DELETE FROM journal WHERE sequence >= 4");
    // Whoever cut the end took the head beside it too.
    std::fs::remove_file(home.path("state/journal.head")).unwrap();
    assert_eq!(home.verify(&[]).0, 0);
    let (code, said) = home.verify(&["--head", &kept]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the end was cut off"), "{said}");
    // A head that was changed is not believed.
    std::fs::write(&kept, head.replace("\"sequence\":", "\"sequence\":1")).unwrap();
    let (code, said) = home.verify(&["--head", &kept]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("signature"), "{said}");
    std::fs::write(&kept, "no head\n").unwrap();
    assert_eq!(home.verify(&["--head", &kept]).0, 2);
}

#[test]
fn whoever_follows_sees_what_is_written() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let _plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    let mut command = home.command(&["journal", "follow"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut until = |text: &str| {
        lines
            .by_ref()
            .map(|line| line.unwrap())
            .find(|line| line.contains(text))
            .unwrap()
    };
    until("started");
    home.write(&config(&[service.address], "drain = \"2s\"", ""));
    assert!(home.ask(&["reload"]).status.success());
    let line = until("gateway.drain changed");
    assert!(line.contains("configuration"), "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_process_that_takes_over_goes_on_with_the_chain() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let mut first = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    let mut second = home.run(&["--upgrade"]);
    assert!(first.ended().success());
    second.terminate();
    assert!(second.ended().success());
    let records = home.records();
    let of = |what: &str| {
        let all = records.iter().filter(|it| it["data"]["what"] == what);
        all.count()
    };
    let counts = ["start", "hand-over", "drain", "stop"].map(of);
    assert_eq!(counts, [2, 1, 2, 2], "{records:?}");
    let sources: std::collections::BTreeSet<_> =
        records.iter().map(|it| it["source"].to_string()).collect();
    assert_eq!(sources.len(), 1);
    let (code, said) = home.verify(&[]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_was_recorded_before_a_kill_is_there() {
    let service = Service::start();
    let home = Home::new();
    let mut seen = 0;
    for round in 1..=3 {
        home.write(&config(
            &[service.address],
            &format!("drain = \"{round}s\""),
            "",
        ));
        let mut plimsoll = home.run(&[]);
        wait_until("it has recorded", || home.records().len() >= seen + 2);
        seen = home.records().len();
        plimsoll.process.kill().unwrap();
        plimsoll.ended();
        assert!(home.records().len() >= seen);
        let (code, said) = home.verify(&[]);
        assert_eq!(code, 0, "{said}");
    }
}
