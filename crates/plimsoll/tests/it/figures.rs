//! Goal: what Plimsoll says of the traffic is what an independent generator sent.
//!
//! Method: loads with known counts of each outcome; `/metrics`, `status --json` and the full access log of
//! the same run are held against the generator and against each other.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::child::{Home, Plimsoll, Service, ask, config, free_address, get, metric, wait_until};
use crate::load::Offer;

/// The histogram's stated error.
const ERROR: f64 = 0.022;

#[test]
fn outcomes_add_up_to_what_was_sent_cause_by_cause() {
    let service = Service::start();
    let nobody = free_address();
    let home = Home::new();
    let more = format!(
        "path = \"/app/*\"\n[route.rewrite]\nstrip_prefix = \"/app\"\n\
         [[route]]\nname = \"gone\"\npath = \"/gone\"\nservice = \"gone\"\n[service.gone]\nendpoints = [\"http://{nobody}\"]\n",
    );
    let log = "[gateway.log]\nto = \"off\"";
    home.write(&config(&[service.address], log, &more));
    let plimsoll = home.run(&[]);
    let paths = [
        "/app/",
        "/app/status/500",
        "/app/status/404",
        "/nowhere",
        "/gone",
    ];
    let offer = Offer {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        ..Offer::to(plimsoll.address(), 4)
    };
    // Each of 4 + 4 clients sends each path 40 times.
    for http2 in [false, true] {
        let tally = Offer {
            http2,
            ..offer.clone()
        }
        .run(200);
        assert!(tally.failed.is_empty(), "{:?}", tally.failed);
        assert_eq!(
            [200, 404, 500].map(|status| tally.status(status)),
            [160, 320, 160],
            "{:?}",
            tally.answered
        );
        assert_eq!(tally.total(), 800);
    }
    // And 7 that are no HTTP.
    for _ in 0..7 {
        assert_eq!(
            ask(plimsoll.address(), "GET", "/", "Bad Field: x\r\n").0,
            400
        );
    }
    let (_, metrics) = get(plimsoll.ops(), "/metrics");
    let count = |cause: &str| {
        metric(
            &metrics,
            "plimsoll_requests_total",
            &[&format!("cause=\"{cause}\"")],
        )
    };
    let by_cause = [
        "answered",
        "upstream-5xx",
        "no-route",
        "connect",
        "bad-request",
    ];
    assert_eq!(
        by_cause.map(count),
        [640.0, 320.0, 320.0, 320.0, 7.0],
        "{metrics}"
    );
    assert_eq!(metric(&metrics, "plimsoll_requests_total", &[]), 1607.0);
    assert_eq!(
        metric(&metrics, "plimsoll_request_duration_seconds_count", &[]),
        1607.0
    );
    // What the service itself counted.
    assert_eq!(service.requests(), 960);
    let attempts = format!("endpoint=\"http://{}\"", service.address);
    assert_eq!(
        metric(&metrics, "plimsoll_endpoint_requests_total", &[&attempts]),
        960.0
    );
    // The gauges are as of the last second.
    wait_until("nothing is in flight", || {
        metric(
            &get(plimsoll.ops(), "/metrics").1,
            "plimsoll_in_flight",
            &[],
        ) == 0.0
    });
    wait_until("status shows them", || {
        let json: Value = serde_json::from_slice(&home.ask(&["status", "--json"]).stdout).unwrap();
        let total = |view: &Value| view["requests_total"].as_u64().unwrap();
        let services = json["services"].as_array().unwrap();
        services.iter().map(|it| total(&it["traffic"])).sum::<u64>() == 1280
            && total(&json["unrouted"]) == 327
    });
}

#[test]
fn quantiles_are_those_of_the_full_access_log() {
    let service = Service::start();
    let home = Home::new();
    let file = home.path("access.log");
    let log = format!(
        "[gateway.log]\nto = \"{}\"\nsample = \"100%\"",
        file.display()
    );
    home.write(&config(&[service.address], &log, ""));
    let plimsoll = home.run(&[]);
    let paths = [
        "/",
        "/delay/1",
        "/delay/5",
        "/",
        "/delay/20",
        "/",
        "/",
        "/delay/60",
        "/",
        "/",
    ];
    let tally = Offer {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        ..Offer::to(plimsoll.address(), 8)
    }
    .run(100);
    tally.assert_all_ok();
    let lines = || std::fs::read_to_string(&file).unwrap();
    wait_until("all is in the log", || lines().lines().count() == 800);
    let mut durations: Vec<f64> = lines()
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["duration_seconds"]
                .as_f64()
                .unwrap()
        })
        .collect();
    durations.sort_by(f64::total_cmp);
    let status = || -> Value {
        let json: Value = serde_json::from_slice(&home.ask(&["status", "--json"]).stdout).unwrap();
        json["services"][0]["traffic"].clone()
    };
    wait_until("all is counted", || status()["requests_total"] == 800);
    let latency = status()["latency"].clone();
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
        let said = latency[format!("{name}_seconds")].as_f64().unwrap();
        // One rank either way: definitions of a quantile differ by as much.
        let rank = (share * durations.len() as f64) as usize;
        let low = durations[rank.saturating_sub(2)] * (1.0 - ERROR) - 1e-6;
        let high = durations[(rank + 1).min(durations.len() - 1)] * (1.0 + ERROR) + 1e-6;
        assert!(
            (low..=high).contains(&said),
            "{name}: {said} is not in {low}..{high}"
        );
    }
    // The buckets in /metrics hold what the log says, to the request.
    let (_, metrics) = get(plimsoll.ops(), "/metrics");
    let mut buckets = 0;
    for line in metrics.lines() {
        let Some((labels, count)) = line
            .strip_prefix("plimsoll_request_duration_seconds_bucket{")
            .filter(|labels| labels.contains("route=\"all\""))
            .and_then(|rest| rest.rsplit_once(' '))
        else {
            continue;
        };
        let bound = labels
            .split("le=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let bound = bound.parse::<f64>().unwrap_or(f64::INFINITY);
        // The log rounds to a microsecond.
        let at_most = |bound: f64| durations.iter().filter(|it| **it <= bound).count() as f64;
        let (low, high) = (at_most(bound - 1e-6), at_most(bound + 1e-6));
        let count: f64 = count.parse().unwrap();
        assert!(
            (low..=high).contains(&count),
            "le {bound}: {count}, {low}..{high}"
        );
        buckets += 1;
    }
    assert!(buckets > 10);
    let sum: f64 = durations.iter().sum();
    let said = metric(
        &metrics,
        "plimsoll_request_duration_seconds_sum",
        &["route=\"all\""],
    );
    assert!((said - sum).abs() <= sum * ERROR, "{said} for {sum}");
}

#[test]
fn the_log_has_every_bad_request_and_no_secret() {
    let service = Service::start();
    let home = Home::new();
    let file = home.path("access.log");
    let log = format!(
        "[gateway.log]\nto = \"{}\"\nsample = \"0%\"\nredact = [\"authorization\", \"cookie\", \"user-agent\"]",
        file.display()
    );
    home.write(&config(&[service.address], &log, ""));
    let mut plimsoll = home.run(&[]);
    let secret = "Authorization: Bearer hush\r\nCookie: id=hush\r\nUser-Agent: hush\r\n";
    assert_eq!(
        ask(plimsoll.address(), "GET", "/?token=hush", secret).0,
        200
    );
    assert_eq!(
        ask(plimsoll.address(), "GET", "/status/503?token=hush", secret).0,
        503
    );
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&line["status"], &line["cause"]),
        (&503.into(), &"upstream-5xx".into())
    );
    assert_eq!(line["path"], "/status/503");
    assert!(!text.contains("hush"), "{text}");
    assert!(!plimsoll.said().contains("hush"));
}

#[test]
fn a_log_that_nobody_reads_holds_no_request_no_reload_and_no_end() {
    let service = Service::start();
    let home = Home::new();
    let log = "[gateway.log]\nsample = \"100%\"";
    let file = home.write(&config(&[service.address], log, ""));
    let mut command = home.command(&["run", "--config", &file]);
    command.stdout(Stdio::piped());
    let mut plimsoll = Plimsoll::start(command);
    // A pipe takes 64 KiB, our buffer as much, the queue 8,192 lines: then lines are dropped.
    let load = Offer {
        paths: vec!["/".into()],
        ..Offer::to(plimsoll.address(), 8)
    }
    .start();
    let dropped = || {
        metric(
            &get(plimsoll.ops(), "/metrics").1,
            "plimsoll_access_log_dropped_total",
            &[],
        )
    };
    wait_until("lines are dropped", || dropped() > 100.0);
    home.write(&config(
        &[service.address],
        &format!("drain = \"5s\"\n{log}"),
        "",
    ));
    assert!(home.ask(&["reload"]).status.success());
    let tally = load.stop();
    tally.assert_all_ok();
    let (_, metrics) = get(plimsoll.ops(), "/metrics");
    assert_eq!(
        metric(&metrics, "plimsoll_requests_total", &[]),
        tally.total() as f64
    );
    let lost = dropped();
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    plimsoll.wait_for("nobody takes the access log");
    let mut written = String::new();
    plimsoll
        .process
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut written)
        .unwrap();
    assert!(written.lines().count() as f64 + lost <= tally.total() as f64);
}
