//! Goal: each command says what it did, ends with the documented code, and never panics.
//!
//! Method: the program with arguments, files and pipes as people give them.

use std::net::TcpListener;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::child::{Home, Plimsoll, Service, config, get, program, wait_until};

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

[[route]]
service = "chekout"
host = "shop.example.com:443"
"#;

fn plimsoll(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ends(output: &Output, code: i32, says: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = out(output) + &err(output);
    for words in says {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn check_shows_all_ten_mistakes_at_once() {
    let home = Home::new();
    let file = home.write(TEN_MISTAKES);
    let output = plimsoll(&["check", &file]);
    ends(
        &output,
        1,
        &[
            "10 errors in",
            "did you mean",
            "protocol",
            "checkout",
            "\"99.9%\"",
        ],
    );
    assert!(
        !out(&output).contains("hunter2"),
        "a password is not repeated"
    );
    let output = plimsoll(&["check", &file, "--json"]);
    ends(&output, 1, &[]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = json
        .as_array()
        .or_else(|| json.get("diagnostics")?.as_array())
        .unwrap();
    assert_eq!(list.len(), 10);
    ends(
        &plimsoll(&["check", &home.path("absent.toml").display().to_string()]),
        2,
        &["reading"],
    );
}

#[test]
fn what_init_writes_is_valid_and_the_schema_knows_its_keys() {
    let home = Home::new();
    let output = plimsoll(&["init", "http://127.0.0.1:3000", "http://127.0.0.1:3001"]);
    ends(&output, 0, &["endpoints"]);
    let file = home.write(&out(&output));
    ends(&plimsoll(&["check", &file]), 0, &["is valid"]);
    ends(&plimsoll(&["init", "nonsense://x"]), 2, &["error"]);
    let schema: Value = serde_json::from_slice(&plimsoll(&["schema"]).stdout).unwrap();
    for line in out(&output).lines() {
        if let Some(section) = line.trim_start_matches('[').strip_suffix(']')
            && line.starts_with('[')
        {
            let first = section.trim_end_matches(']').split('.').next().unwrap();
            assert!(
                schema["properties"].get(first).is_some(),
                "{first} is not in the schema"
            );
        }
    }
}

#[test]
fn help_and_version_are_no_errors() {
    ends(&plimsoll(&["--version"]), 0, &["plimsoll "]);
    ends(&plimsoll(&["--help"]), 0, &["Examples:", "Exit codes:"]);
    ends(&plimsoll(&["run", "--help"]), 0, &["Examples:", "Signals:"]);
    ends(&plimsoll(&["run"]), 2, &["--to"]);
    ends(&plimsoll(&["runn"]), 2, &["run"]);
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let home = Home::new();
    ends(
        &home.ask(&["run", "--config", "/absent.toml"]),
        2,
        &["reading /absent.toml"],
    );
    ends(
        &home.ask(&["run", "--to", "nonsense://x"]),
        2,
        &["nonsense"],
    );
    ends(
        &home.ask(&["run", "--last-good"]),
        2,
        &["no last good configuration"],
    );
    let file = home.write(TEN_MISTAKES);
    ends(&home.ask(&["run", "--config", &file]), 1, &["protcol"]);
}

#[test]
fn without_a_process_the_commands_say_how_to_find_one() {
    let home = Home::new();
    for command in ["status", "top", "reload"] {
        ends(
            &home.ask(&[command]),
            3,
            &["no running Plimsoll was found", "--at URL"],
        );
        ends(
            &home.ask(&[command, "--at", "http://127.0.0.1:1"]),
            3,
            &["127.0.0.1:1"],
        );
    }
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let service = Service::start();
    let (home, other) = (Home::new(), Home::new());
    let to = format!("http://{}", service.address);
    let any = "127.0.0.1:0";
    let run = |home: &Home, listen: &str, ops: &str, console: &str| {
        let args = [
            "run",
            "--to",
            &to,
            "--listen",
            listen,
            "--ops",
            ops,
            "--console",
            console,
        ];
        home.command(&args)
    };
    let mut command = run(&home, any, any, any);
    command.stdout(Stdio::null());
    let running = Plimsoll::start(command);
    // A Plimsoll shares its port with nobody, although its threads do.
    let address = running.address().to_string();
    let output = run(&other, &address, any, any).output().unwrap();
    ends(&output, 2, &[&address, "in use"]);
    let output = run(&home, any, any, any).output().unwrap();
    ends(
        &output,
        2,
        &["another Plimsoll runs", "--state", "--upgrade"],
    );
    let taken = TcpListener::bind(any).unwrap().local_addr().unwrap();
    let holder = TcpListener::bind(taken).unwrap();
    let taken = taken.to_string();
    ends(
        &run(&other, any, &taken, any).output().unwrap(),
        2,
        &[&taken, "ops", "in use"],
    );
    ends(
        &run(&other, any, any, &taken).output().unwrap(),
        2,
        &[&taken, "console", "in use"],
    );
    drop(holder);
    assert_eq!(get(running.address(), "/").0, 200);
}

#[test]
fn a_running_process_shows_its_status_and_its_metrics() {
    let service = Service::start();
    let home = Home::new();
    let mut command = home.command(&[
        "run",
        "--to",
        &format!("http://{}", service.address),
        "--observe",
        "--listen",
        "127.0.0.1:0",
        "--ops",
        "127.0.0.1:0",
        "--console",
        "127.0.0.1:0",
    ]);
    command.stdout(Stdio::null());
    let running = Plimsoll::start(command);
    assert_ne!(running.address().port(), 0);
    assert_eq!(get(running.address(), "/").0, 200);
    let status =
        || serde_json::from_slice::<Value>(&home.ask(&["status", "--json"]).stdout).unwrap();
    wait_until("the request is counted", || {
        status()["services"][0]["traffic"]["requests_total"] == 1
    });
    assert_eq!(status()["mode"], "observe");
    ends(&home.ask(&["status"]), 0, &["app", "observe"]);
    ends(&home.ask(&["reload"]), 0, &["nothing to reload"]);
    assert!(!out(&home.ask(&["reload"])).contains('{'));
    for address in [running.ops(), running.console()] {
        let (code, metrics) = get(address, "/metrics");
        assert_eq!(code, 200);
        assert!(metrics.contains("plimsoll_requests_total{"), "{metrics}");
    }
    let at = format!("http://{}", running.console());
    ends(&plimsoll(&["status", "--at", &at]), 0, &["app"]);
}

#[test]
fn a_reader_that_goes_ends_nothing_with_a_panic() {
    let mut child = program()
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    ends(&child.wait_with_output().unwrap(), 0, &[]);
    // A process whose messages nobody reads any more serves on, and reports failures to nobody.
    let service = Service::start();
    let home = Home::new();
    let file = home.write(&config(&[service.address], "", ""));
    let mut command = home.command(&["run", "--config", &file]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    drop((running.stdout.take(), running.stderr.take()));
    wait_until("it serves", || home.ask(&["status"]).status.success());
    home.write("nonsense");
    assert_eq!(home.ask(&["reload"]).status.code(), Some(1));
    home.write(&config(&[service.address], "", ""));
    assert!(home.ask(&["reload"]).status.success());
    assert_eq!(running.try_wait().unwrap(), None);
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(running.wait().unwrap().success());
}

#[test]
fn few_file_descriptors_bound_the_connections_and_nothing_dies() {
    use std::io::{Read, Write};
    let service = Service::start();
    let home = Home::new();
    let file = home.write(&config(&[service.address], "", ""));
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 256 && exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_plimsoll"),
    ]);
    command.args(["run", "--config", &file, "--state", &home.state()]);
    command.stdout(Stdio::null());
    let mut running = Plimsoll::start(command);
    running.wait_for("ulimit -n");
    let mut held = Vec::new();
    let mut turned_away = 0;
    for _ in 0..300 {
        let mut stream = std::net::TcpStream::connect(running.address()).unwrap();
        stream
            .set_read_timeout(Some(crate::child::TIME_MAX))
            .unwrap();
        let _closed = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut start = [0; 12];
        match stream.read_exact(&mut start) {
            Ok(()) if &start == b"HTTP/1.1 200" => held.push(stream),
            _ => turned_away += 1,
        }
    }
    assert_eq!((held.len(), turned_away), (96, 204));
    running.assert_runs();
    drop(held);
    wait_until("there is room again", || {
        std::net::TcpStream::connect(running.address()).is_ok_and(|mut stream| {
            let mut answer = String::new();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .is_ok()
                && stream.read_to_string(&mut answer).is_ok()
                && answer.starts_with("HTTP/1.1 200")
        })
    });
    running.terminate();
    assert!(running.ended().success());
}

#[test]
fn the_log_of_a_run_becomes_a_scenario_and_can_be_replayed() {
    const REQUESTS: usize = 120;
    let service = Service::start();
    let home = Home::new();
    let log = home.path("access.log");
    let settings = format!(
        "[gateway.log]\nto = \"{}\"\nsample = \"100%\"",
        log.display()
    );
    home.write(&config(&[service.address], &settings, ""));
    let mut running = home.run(&[]);
    for _ in 0..REQUESTS {
        assert_eq!(get(running.address(), "/delay/10").0, 200);
    }
    running.terminate();
    assert!(running.ended().success());

    let scenario = home.path("fitted.toml");
    let (log, scenario) = (log.to_str().unwrap(), scenario.to_str().unwrap());
    let fitted = plimsoll(&["simulate", "--from", log, "--out", scenario]);
    // One client that waits for each answer: nothing was seen of what more of them would do.
    let says = [
        "120 requests",
        "capacity   unknown: up to ",
        "too few to rely on P99",
    ];
    ends(&fitted, 0, &says);
    let text = std::fs::read_to_string(scenario).unwrap();
    assert!(
        text.contains("\n[service.app]\nendpoints = 1\nworkers = "),
        "{text}"
    );
    let [first, second] = [(); 2].map(|()| plimsoll(&["simulate", scenario, "--json"]));
    ends(&first, 0, &[]);
    assert_eq!(first.stdout, second.stdout);

    // The first phase has them all, and the second none.
    let replay = home.write(
        "[service.app]\nworkers = 8\ntime = \"5ms\"\n[workload.logged]\nreplay = \"access.log\"\n\
         [[phase]]\nname = \"all\"\nlasts = \"10m\"\n[[phase]]\nname = \"none\"\nlasts = \"1s\"\n",
    );
    let replayed = plimsoll(&["simulate", &replay, "--json"]);
    ends(&replayed, 0, &[]);
    let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    let users = |phase: usize| {
        let figures = &report["phases"][phase]["workloads"]["logged"]["plimsoll"];
        figures["users"]["standard"].as_u64()
    };
    assert_eq!((users(0), users(1)), (Some(REQUESTS as u64), Some(0)));

    let other = home.write("[service.shop]\nworkers = 8\ntime = \"5ms\"\n[workload.logged]\nreplay = \"access.log\"\n[[phase]]\nname = \"all\"\nlasts = \"1s\"\n");
    ends(
        &plimsoll(&["simulate", &other]),
        1,
        &["no request for the service `shop`", "`app`"],
    );
    ends(
        &plimsoll(&["simulate", "--from", &other]),
        1,
        &["is no access log of Plimsoll"],
    );
    ends(
        &plimsoll(&["simulate", "--from", "nowhere.log"]),
        2,
        &["nowhere.log"],
    );
}

#[test]
fn a_scenario_gives_the_same_bytes_each_time_and_its_mistakes_have_lines() {
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../scenarios/slow-dependency.toml"
    );
    let [first, second] = [(); 2].map(|()| plimsoll(&["simulate", shipped, "--json"]));
    ends(&first, 0, &[]);
    let report: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert!(report.is_object(), "{report}");
    assert_eq!(first.stdout, second.stdout);

    let home = Home::new();
    let file = home.write("[service.app]\nworkers = 8\ntmie = \"20ms\"\n");
    ends(
        &plimsoll(&["simulate", &file]),
        1,
        &["plimsoll.toml:3", "tmie", "time"],
    );
    ends(
        &plimsoll(&["simulate", "nowhere.toml"]),
        2,
        &["nowhere.toml"],
    );
}

#[test]
fn a_simulation_writes_over_nothing_that_it_reads_and_keeps_what_it_found() {
    let home = Home::new();
    let text = "[service.app]\nworkers = 8\ntime = \"20ms\"\n[workload.people]\nrate = \"20/s\"\n\
                [[phase]]\nname = \"all\"\nlasts = \"2s\"\n";
    let file = home.write(text);
    let folder = std::path::Path::new(&file).parent().unwrap();
    let spelled = folder.join("./plimsoll.toml").display().to_string();
    let over = plimsoll(&["simulate", &file, "--html", &spelled]);
    ends(&over, 2, &["would be written over"]);
    let over = plimsoll(&["simulate", "--from", &file, "--out", &spelled]);
    ends(&over, 2, &["would be written over"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // What could not be written is known before the run.
    let nowhere = home.path("nowhere/report.html").display().to_string();
    let unwritable = plimsoll(&["simulate", &file, "--html", &nowhere]);
    ends(&unwritable, 2, &["report.html"]);
    assert!(unwritable.stdout.is_empty());
    // A device that is always full can be opened.
    let full = plimsoll(&["simulate", &file, "--html", "/dev/full"]);
    ends(&full, 2, &["writing /dev/full"]);
    let table = String::from_utf8(full.stdout).unwrap();
    assert!(table.contains("people"), "{table}");
    // Options that would be ignored are refused.
    for ignored in [
        &["simulate", "--from", &file, "--html", "page.html"][..],
        &[
            "simulate", "--from", &file, "--config", &file, "--config", &file,
        ],
        &["simulate", "--from", &file, "--seed", "3"],
    ] {
        ends(&plimsoll(ignored), 2, &["--from"]);
    }
    // Other seeds are other runs, and the same ones wherever they are among others.
    let good = |more: &[&str]| {
        let report = plimsoll(&[&["simulate", &file, "--json"], more].concat());
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let figures = &report["phases"][0]["workloads"]["people"]["off"];
        (report["first_seed"].clone(), figures["users"].clone())
    };
    assert_ne!(good(&["--seed", "2"]).1, good(&[]).1);
    assert_eq!(good(&["--seed", "2"]).0, Value::from(2));
}

#[test]
fn two_configurations_are_compared_seed_by_seed() {
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../scenarios/slow-dependency.toml"
    );
    let scenario = std::fs::read_to_string(shipped).unwrap();
    let name = scenario.split("[service.").nth(1).unwrap();
    let (name, _) = name.split_once(']').unwrap();
    let home = Home::new();
    let text = format!(
        "[service.{name}]\nendpoints = [\"http://127.0.0.1:1\"]\n[[route]]\nservice = \"{name}\"\n"
    );
    let file = home.write(&text);
    let compare = |more: &[&str]| {
        let arguments = ["simulate", shipped, "--config", &file, "--config", &file];
        plimsoll(&[&arguments, more].concat())
    };
    ends(
        &compare(&["--seeds", "2"]),
        0,
        &["Difference: B less A", "none shown"],
    );
    ends(&compare(&[]), 0, &["at least two seeds: try --seeds 10"]);
    let report = compare(&["--seeds", "2", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let all = &report["differences"]["rows"][0]["figures"]["good_share"];
    assert_eq!((&all["mean"], &all["shown"]), (&0.0.into(), &false.into()));
    let third = compare(&["--config", &file]);
    ends(&third, 1, &["two configurations can be compared"]);
    ends(
        &compare(&["--fluid"]),
        1,
        &["compare two without `--fluid`"],
    );
    let nowhere = home.path("nowhere/report.html").display().to_string();
    ends(&compare(&["--html", &nowhere]), 2, &["report.html"]);
}
