//! Goal: objectives that are exported mean elsewhere what they mean here: the same burn rates, and alerts at the same time.
//!
//! Method: Debian's Prometheus, which scrapes a Plimsoll that is used; and `promtool test rules`, which replays counters
//! through the exported rules, beside our own judgement of the same pairs over the same counters. Of a run that was scraped: [`recorded`].

mod recorded;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use plimsoll_core::Ratio;
use plimsoll_measure::{BurnPair, Tally, Urgency};
use serde_json::Value;

use crate::child::{Home, config, free_address, get, metric, program, wait_until};
use crate::governor::failing;
use crate::load::Offer;

const HOUR: usize = 60;

fn plimsoll(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// The rules for a configuration file, in a file that promtool has checked.
fn exported_rules(home: &Home, file: &str) -> String {
    let output = plimsoll(&["slo", "export", "--config", file, "--as", "prometheus"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let rules = home.path("rules.yml");
    std::fs::write(&rules, output.stdout).unwrap();
    promtool(&["check", "rules"], &rules);
    rules.display().to_string()
}

#[track_caller]
fn promtool(args: &[&str], file: &Path) {
    let output = Command::new("promtool").args(args).arg(file).output();
    let output = output.expect("promtool is installed: `cargo xtask test` does");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn an_alertmanager_routes_alerts_to_the_owner_of_their_service() {
    let home = Home::new();
    let owner = r#"a \"b\": {c}, #\\ d"#;
    let text = format!(
        "[service.shop]\nowner = \"{owner}\"\nendpoints = \"http://127.0.0.1:1\"\n\
         [service.stock]\nowner = \"supply\"\nendpoints = \"http://127.0.0.1:1\"\n\
         [[route]]\nservice = \"stock\"\npath = \"/stock\"\n[[route]]\nservice = \"shop\"\n"
    );
    let file = home.path("plimsoll.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let output = plimsoll(&["slo", "export", "--config", &file, "--as", "alertmanager"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let exported = home.path("alertmanager.yml");
    std::fs::write(&exported, output.stdout).unwrap();
    let amtool = |args: &[&str]| {
        let output = Command::new("amtool").args(args).output();
        let output = output.expect("amtool is installed: `cargo xtask test` does");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    amtool(&["check-config", &exported.display().to_string()]);
    let config = format!("--config.file={}", exported.display());
    let hears = |label: &str| amtool(&["config", "routes", "test", &config, label]);
    assert_eq!(hears("owner=supply"), "supply");
    assert_eq!(hears("service=shop"), "everybody");
    assert_eq!(hears(&format!("owner=\"{owner}\"")), r#"a "b": {c}, #\ d"#);
}

/// A Prometheus that scrapes and judges each second.
struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(home: &Home, rules: &str, target: SocketAddr) -> Self {
        let address = free_address();
        let file = home.path("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{rules}\"]\n\
             scrape_configs: [{{ job_name: plimsoll, static_configs: [{{ targets: [\"{target}\"] }}] }}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(home.path("prometheus.log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                home.path("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is installed: `cargo xtask test` does");
        Self { process, address }
    }

    /// What it answers; `None` while it can't.
    fn ask(&self, path: &str, query: Option<&str>) -> Option<Value> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--get"]);
        if let Some(query) = query {
            command.args(["--data-urlencode", &format!("query={query}")]);
        }
        command.arg(format!("http://{}/api/v1/{path}", self.address));
        let answer: Value = serde_json::from_slice(&command.output().unwrap().stdout).ok()?;
        Some(answer["data"].clone())
    }

    /// The one value of an expression.
    fn value(&self, expression: &str) -> Option<f64> {
        let data = self.ask("query", Some(expression))?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn a_prometheus_that_scrapes_us_has_the_burn_rate_that_we_have_and_alerts() {
    let services = [failing(), failing()];
    let home = Home::new();
    // Two of five fail: a burn of 4. The pair's factor is 10 % x 60 / 2 = 3.
    let more = "[service.app.protect]\nbreaker = { mode = \"off\" }\nejection = { mode = \"off\" }\n\
         [service.app.objective.availability]\ntarget = \"90%\"\nperiod = \"1h\"\n\
         [governor]\npairs = [{ budget = \"10%\", long = \"2m\", short = \"1m\" }]\n";
    let addresses = services.each_ref().map(|it| it.address);
    let file = home.write(&config(&addresses, "", more));
    let plimsoll = home.run(&[]);
    let load = Offer::to(plimsoll.address(), 4).start();
    let rules = exported_rules(&home, &file);
    let prometheus = Prometheus::start(&home, &rules, plimsoll.ops());
    wait_until("all rules are healthy", || {
        let Some(data) = prometheus.ask("rules", None) else {
            return false;
        };
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<&Value> = groups
            .iter()
            .filter_map(|group| group["rules"].as_array())
            .flatten()
            .collect();
        // The windows of an hour or less, those of the pair, and its alert.
        rules.len() == 6 && rules.iter().all(|it| it["health"] == "ok")
    });
    wait_until("the burn rates agree", || {
        let ours = get(plimsoll.ops(), "/metrics").1;
        let ours = metric(&ours, "plimsoll_burn_rate", &["window=\"5m\""]);
        let theirs = prometheus.value("objective:plimsoll_burn:rate5m{objective=\"availability\"}");
        theirs.is_some_and(|theirs| ours > 3.0 && (theirs / ours - 1.0).abs() < 0.05)
    });
    wait_until("it alerts", || {
        let firing =
            prometheus.value("ALERTS{severity=\"page\", alertstate=\"firing\", service=\"app\"}");
        firing == Some(1.0)
    });
    load.stop();
}

/// Requests in each minute, and how many of them are bad.
struct Series {
    name: &'static str,
    /// Counters at the end of each minute, the first at zero.
    counters: Vec<Tally>,
}

impl Series {
    /// `burn` says the burn rate of a minute, for a target of 99.9 %.
    fn new(name: &'static str, per_minute: u64, burn: impl Fn(usize) -> f64) -> Self {
        let mut tally = Tally::default();
        let mut counters = vec![tally];
        let mut owed = 0.0;
        for minute in 0..MINUTES {
            owed += per_minute as f64 * (burn(minute) * 0.001).min(1.0);
            let bad = owed as u64;
            owed -= bad as f64;
            tally += Tally {
                good: per_minute - bad.min(per_minute),
                bad: bad.min(per_minute),
            };
            counters.push(tally);
        }
        Self { name, counters }
    }

    /// Whether somebody is called at the end of a minute.
    fn fires(&self, urgency: Urgency, minute: usize) -> bool {
        let target = Ratio::try_from(0.999).unwrap();
        let within = |window: Duration| {
            let minutes = usize::try_from(window.as_secs() / 60).unwrap();
            let start = minute.saturating_sub(minutes);
            self.counters[minute].since(self.counters[start])
        };
        default_pairs()
            .iter()
            .filter(|pair| pair.urgency == urgency)
            .any(|pair| pair.fires(target, PERIOD, within(pair.long), within(pair.short)))
    }

    fn values(&self, of: impl Fn(&Tally) -> u64) -> String {
        let values: Vec<String> = self.counters.iter().map(|it| of(it).to_string()).collect();
        values.join(" ")
    }
}

/// What Prometheus needs for it grows with the square.
const MINUTES: usize = 13 * HOUR;
const PERIOD: Duration = Duration::from_secs(28 * 86_400);

/// Those of a configuration that says nothing of them.
fn default_pairs() -> [BurnPair; 4] {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let pair = |percent, long, short, urgency| BurnPair {
        budget_share: Ratio::of(percent, 100).unwrap(),
        long,
        short,
        urgency,
    };
    [
        pair(2, hours(1), hours(1) / 12, Urgency::Page),
        pair(5, hours(6), hours(1) / 2, Urgency::Page),
        pair(10, hours(24), hours(2), Urgency::Ticket),
        pair(10, hours(72), hours(6), Urgency::Ticket),
    ]
}

#[test]
fn exported_alerts_fire_and_end_when_our_own_judgement_of_the_pairs_does() {
    let between = |from: usize, to: usize| move |minute: usize| (from..to).contains(&minute);
    let all = [
        // The lowest factor is 0.93.
        Series::new("below", 50_000, |_| 0.84),
        Series::new("above", 50_000, |_| 1.03),
        Series::new("page", 50_000, |minute| {
            if between(2 * HOUR, 4 * HOUR)(minute) {
                15.0
            } else {
                0.1
            }
        }),
        Series::new("slowly", 50_000, |minute| {
            if between(4 * HOUR, 10 * HOUR)(minute) {
                6.5
            } else {
                0.1
            }
        }),
        Series::new("outage", 50_000, |minute| {
            if between(5 * HOUR, 5 * HOUR + 10)(minute) {
                1_000.0
            } else {
                0.0
            }
        }),
        Series::new("returns", 50_000, |minute| {
            if minute % (3 * HOUR) < 45 { 40.0 } else { 0.5 }
        }),
        // One bad request each half hour, of 90: a burn of 11 between pages.
        Series::new("few", 3, |_| 11.0),
    ];
    let home = Home::new();
    let mut text = String::new();
    for (number, series) in all.iter().enumerate() {
        text.push_str(&format!(
            "[service.{0}]\nendpoints = [\"http://10.0.0.1:{1}\"]\nobjective.availability = \"99.9%\"\n\
             [[route]]\nservice = \"{0}\"\npath = \"/{0}\"\n",
            series.name,
            number + 1
        ));
    }
    let rules = exported_rules(&home, &home.write(&text));

    let mut input = String::new();
    let mut expected = String::new();
    let mut transitions = 0;
    for series in &all {
        let values = [
            ("good", series.values(|it| it.good)),
            ("bad", series.values(|it| it.bad)),
        ];
        for (outcome, values) in values {
            input.push_str(&format!(
                "      - series: 'plimsoll_objective_{outcome}_total{{service=\"{}\", objective=\"availability\"}}'\n        values: '{}'\n",
                series.name, values
            ));
        }
        for (urgency, severity) in [(Urgency::Page, "page"), (Urgency::Ticket, "ticket")] {
            let ours: Vec<bool> = (0..=MINUTES).map(|it| series.fires(urgency, it)).collect();
            transitions += ours.windows(2).filter(|it| it[0] != it[1]).count();
            // Where it was the same the minute before and is the same the minute after, theirs must be so as well.
            for minute in (2..MINUTES - 1).filter(|minute| {
                let near = &ours[minute - 1..=minute + 1];
                let changes = &ours[minute - 2..=minute + 2];
                near.iter().all(|it| *it == ours[*minute])
                    && (minute % 60 == 0 || changes.iter().any(|it| *it != ours[*minute]))
            }) {
                expected.push_str(&format!(
                    "      - expr: 'count(ALERTS{{alertstate=\"firing\", severity=\"{severity}\", service=\"{}\"}}) or vector(0)'\n        eval_time: {minute}m\n        exp_samples: [{{ value: {} }}]\n",
                    series.name,
                    u8::from(ours[minute])
                ));
            }
        }
    }
    assert!(transitions > 20, "{transitions}: nothing to compare");
    let [below, above, page, ..] = &all;
    let ever = |series: &Series, urgency| (0..=MINUTES).any(|it| series.fires(urgency, it));
    assert!(!ever(below, Urgency::Ticket) && ever(above, Urgency::Ticket));
    assert!(!ever(above, Urgency::Page) && ever(page, Urgency::Page));

    let test = home.path("test.yml");
    let text = format!(
        "rule_files: [\"{rules}\"]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{input}    promql_expr_test:\n{expected}"
    );
    std::fs::write(&test, text).unwrap();
    promtool(&["test", "rules"], &test);
}

#[test]
fn what_is_exported_is_imported_again_and_what_cannot_be_is_said_with_its_line() {
    let home = Home::new();
    let more = "[service.app.objective.latency]\ntarget = \"99.5%\"\nbelow = \"250ms\"\n";
    let file = home.write(&config(&[free_address()], "", more));
    let exported = plimsoll(&["slo", "export", "--config", &file]);
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
    let yaml = home.path("slo.yaml").display().to_string();
    std::fs::write(&yaml, &exported.stdout).unwrap();
    let imported = plimsoll(&["slo", "import", &yaml]);
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    let imported = String::from_utf8(imported.stdout).unwrap();
    let tables = "[service.app.objective.latency]\nkind = \"latency\"\nbelow = \"250ms\"\ntarget = \"99.5%\"\nperiod = \"28d\"\n";
    assert!(imported.ends_with(tables), "{imported}");

    let text = String::from_utf8(exported.stdout).unwrap();
    std::fs::write(&yaml, text.replace("Occurrences", "Timeslices")).unwrap();
    let refused = plimsoll(&["slo", "import", &yaml]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stdout.is_empty());
    let said = String::from_utf8(refused.stderr).unwrap();
    for words in [
        "slo.yaml:",
        "`Timeslices`",
        "1 error: nothing is taken over",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }

    home.write("[service.app]\n");
    let invalid = plimsoll(&["slo", "export", "--config", &file]);
    assert_eq!(invalid.status.code(), Some(1), "{invalid:?}");
    let large = home.path("large.yaml");
    std::fs::write(&large, vec![b'#'; (4 << 20) + 1]).unwrap();
    for file in [large.as_path(), &home.path("gone.yaml")] {
        let output = plimsoll(&["slo", "import", &file.display().to_string()]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
