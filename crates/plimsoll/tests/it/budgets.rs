//! Goal: a budget goes on whatever becomes of the process: at most the last second is lost, and nothing is counted twice. A
//! store that fails stands in nobody's way.
//!
//! Method: real processes that are killed, replaced and started again on one state folder; `status --json` says what they
//! know.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::child::{Home, Service, config, get, metric, wait_until};

const OBJECTIVE: &str = "[service.app.objective.availability]\ntarget = \"99%\"\n";

impl Home {
    fn status(&self) -> Value {
        let output = self.ask(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn objective(&self) -> Value {
        self.status()["services"][0]["objectives"][0].clone()
    }

    fn good(&self) -> u64 {
        self.objective()["good"].as_u64().unwrap()
    }

    #[track_caller]
    fn wait_for_good(&self, good: u64) {
        wait_until(&format!("{good} are counted"), || self.good() >= good);
        assert_eq!(self.good(), good);
    }

    /// What is in the store by now, over all hours.
    fn kept(&self) -> u64 {
        let path = self.path("state/plimsoll.db");
        let Ok(mut store) = plimsoll_store::SqliteStore::open_to_read(&path) else {
            return 0;
        };
        let mut good = 0;
        let all = plimsoll_store::Store::visit_history(&mut store, 3_600, 0, u64::MAX, &mut |it| {
            good += it.amounts.values().map(|amount| amount.good).sum::<u64>();
        });
        all.map_or(0, |()| good)
    }
}

fn ask_times(address: std::net::SocketAddr, times: u64) {
    for _ in 0..times {
        assert_eq!(get(address, "/").0, 200);
    }
}

#[test]
fn killed_restarted_and_replaced_it_goes_on_with_its_budget() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", OBJECTIVE));
    let mut running = home.run(&[]);
    ask_times(running.address(), 30);
    home.wait_for_good(30);
    wait_until("they are kept", || home.kept() == 30);
    // SIGKILL, as the last thing that it hears.
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    let mut running = home.run(&[]);
    assert_eq!(home.good(), 30);
    ask_times(running.address(), 10);
    home.wait_for_good(40);
    ask_times(running.address(), 2);
    // What came in the last second before an orderly end is kept.
    running.terminate();
    assert!(running.ended().success());
    assert_eq!(home.kept(), 42);
    let mut running = home.run(&[]);
    assert_eq!(home.good(), 42);
    // What calls people is remembered as well: at the traffic so far it is known how soon that would be.
    let governed = home.status()["services"][0]["governed"].clone();
    assert!(
        governed["page_delays"][0]["seconds"].is_number(),
        "{governed}"
    );
    ask_times(running.address(), 8);
    home.wait_for_good(50);
    let successor = home.run(&["--upgrade"]);
    assert!(running.ended().success(), "{}", running.said());
    ask_times(successor.address(), 5);
    home.wait_for_good(55);
    let observed = home.objective()["observed_seconds"].as_f64().unwrap();
    assert!(observed > 1.0, "{observed}");
}

#[test]
fn another_target_is_a_version_with_the_same_counts_and_another_threshold_begins_anew() {
    let service = Service::start();
    let home = Home::new();
    let both = |target: &str, below: &str| {
        let objectives = format!(
            "[service.app.objective.availability]\ntarget = \"{target}\"\n\
             [service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"{below}\"\n"
        );
        config(&[service.address], "", &objectives)
    };
    home.write(&both("99%", "10s"));
    let mut running = home.run(&[]);
    ask_times(running.address(), 20);
    home.wait_for_good(20);
    home.write(&both("99.9%", "10s"));
    assert!(home.ask(&["reload"]).status.success());
    let said = "objective availability is version 2 (target changed): its budget is recomputed from the same counts";
    running.wait_for(said);
    let status = home.status();
    let objectives = &status["services"][0]["objectives"];
    assert_eq!(
        (&objectives[0]["version"], &objectives[0]["good"]),
        (&2.into(), &20.into())
    );
    assert_eq!(
        (&objectives[1]["version"], &objectives[1]["good"]),
        (&1.into(), &20.into())
    );
    let events = status["recent_events"].as_array().unwrap();
    assert!(events.iter().any(|it| it["text"] == said), "{events:?}");
    // The other one changes while nothing runs.
    running.terminate();
    assert!(running.ended().success());
    home.write(&both("99.9%", "5s"));
    let running = home.run(&[]);
    running.wait_for("objective latency is version 2 (below changed): its budget begins anew");
    ask_times(running.address(), 1);
    home.wait_for_good(21);
    let objectives = home.status()["services"][0]["objectives"].clone();
    assert_eq!(objectives[1]["good"], 1);
    wait_until("it is recorded", || {
        let output = home.ask(&["journal", "export"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let about = "\"subject\":\"service/app/objective/latency\"";
        text.lines()
            .any(|line| line.contains(about) && line.contains("\"budget\":\"anew\""))
    });
}

#[test]
fn while_the_store_fails_budgets_go_on_in_memory_and_are_kept_once_it_works() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", OBJECTIVE));
    // Nobody can make a store there.
    std::fs::create_dir_all(home.path("state/plimsoll.db")).unwrap();
    let mut running = home.run(&[]);
    ask_times(running.address(), 15);
    home.wait_for_good(15);
    let warnings = home.status()["warnings"].to_string();
    assert!(
        warnings.contains("the history of budgets is not read yet"),
        "{warnings}"
    );
    std::fs::remove_dir(home.path("state/plimsoll.db")).unwrap();
    wait_until("they are kept", || home.kept() == 15);
    wait_until("it was read", || {
        let warnings = home.status()["warnings"].to_string();
        !warnings.contains("the history of budgets")
    });
    ask_times(running.address(), 3);
    home.wait_for_good(18);
    running.terminate();
    assert!(running.ended().success());
    let running = home.run(&[]);
    assert_eq!(home.good(), 18);
    drop(running);
}

#[test]
fn in_a_maintenance_window_nothing_is_held_against_a_service_and_that_is_said() {
    let service = Service::start();
    let home = Home::new();
    let now = plimsoll_upstream::Clock::new().timestamp();
    let hour_ago = plimsoll_core::Timestamp::from_seconds(now.as_seconds() - 3_600).to_rfc3339();
    let from = format!("{}Z", hour_ago.split('.').next().unwrap());
    let window = format!(
        "{OBJECTIVE}[maintenance.upgrade]\nservices = \"app\"\nfrom = \"{from}\"\nfor = \"2h\"\n"
    );
    home.write(&config(&[service.address], "", &window));
    let running = home.run(&[]);
    assert_eq!(get(running.address(), "/status/500").0, 500);
    wait_until("it is counted", || {
        home.status()["services"][0]["traffic"]["requests_total"] == 1
    });
    assert_eq!(home.objective()["bad"], 0);
    let said = String::from_utf8(home.ask(&["status"]).stdout).unwrap();
    assert!(said.contains("maintenance upgrade for another"), "{said}");
    // Without the window it counts from now on.
    home.write(&config(&[service.address], "", OBJECTIVE));
    assert!(home.ask(&["reload"]).status.success());
    running.wait_for("maintenance upgrade is over");
    assert_eq!(get(running.address(), "/status/500").0, 500);
    wait_until("it is counted", || home.objective()["bad"] == 1);
    wait_until("it is recorded", || {
        let output = home.ask(&["journal", "list", "--kind", "maintenance"]);
        String::from_utf8_lossy(&output.stdout).lines().count() == 2
    });
}

#[test]
fn what_an_earlier_version_left_is_taken_over_once() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", OBJECTIVE));
    std::fs::create_dir_all(home.path("state")).unwrap();
    std::fs::set_permissions(home.path("state"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let now = plimsoll_upstream::Clock::new().timestamp();
    let learnt = serde_json::json!({
        "schema": 1,
        "at": now.as_nanos(),
        "objectives": [{
            "service": "app",
            "objective": {
                "name": "availability", "sli": "availability", "target": 0.99,
                "period": { "secs": 28 * 86_400, "nanos": 0 }, "classes": [], "routes": [],
            },
            "rings": [{ "step_nanos": 3_600_000_000_000_u64, "slots": [
                [2, 3_600_000_000_000_u64, { "good": 700, "bad": 7 }],
                [300, 3_600_000_000_000_u64, { "good": 300, "bad": 3 }],
            ] }],
        }],
    });
    let file = home.path("state/learnt.json");
    std::fs::write(&file, learnt.to_string()).unwrap();
    let mut running = home.run(&[]);
    let objective = home.objective();
    assert_eq!(
        (&objective["good"], &objective["bad"]),
        (&1_000.into(), &10.into())
    );
    assert!(!file.exists());
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    // A file from who knows where does not change a history that is there.
    std::fs::write(&file, learnt.to_string()).unwrap();
    let running = home.run(&[]);
    assert_eq!(home.good(), 1_000);
    let metrics = get(running.ops(), "/metrics").1;
    assert_eq!(metric(&metrics, "plimsoll_never_total", &[]), 0.0);
}
