//! Goal: who is to be called is called within two seconds, once, and hears how it ended: whatever becomes of the receiver
//! and of Plimsoll in between.
//!
//! Method: a service that fails until it is told not to; a real Alertmanager; receivers that hang, redirect, refuse and
//! answer late; a library of others that checks signatures.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::child::{Home, Plimsoll, Service, config, free_address, get, metric, wait_until};
use crate::journal::is;
use crate::load::{Load, Offer};
use crate::script::{Link, Script};
use crate::tls::Authority;

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n";
/// Of a key that is used nowhere else: `plimsoll notifies with this`, in base64.
const SECRET: &str = "whsec_cGxpbXNvbGwgbm90aWZpZXMgd2l0aCB0aGlz";

/// A service that fails, slowly, until it is well.
pub(crate) struct Patient {
    service: Script,
    is_well: Arc<AtomicBool>,
}

impl Patient {
    pub(crate) fn start() -> Self {
        let is_well = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&is_well);
        let service = Script::start(move |_, link: &mut Link| {
            while link.head().is_some() {
                if state.load(Ordering::SeqCst) {
                    link.send(OK);
                    continue;
                }
                #[expect(clippy::disallowed_methods, reason = "a service takes its time")]
                std::thread::sleep(Duration::from_millis(250));
                link.send(BAD_GATEWAY);
            }
        });
        Self { service, is_well }
    }

    fn recovers(&self) {
        self.is_well.store(true, Ordering::SeqCst);
    }

    /// What Plimsoll is to do with it, and who is called.
    pub(crate) fn config(&self, target: &str, notifiers: &str) -> String {
        let more = format!(
            "[service.app.protect]\nbreaker = {{ mode = \"off\" }}\nejection = {{ mode = \"off\" }}\n\
             {}{notifiers}",
            objective(target)
        );
        let text = config(&[self.service.address], "", &more);
        text.replace("[service.app]\n", "[service.app]\nowner = \"payments\"\n")
    }
}

fn objective(target: &str) -> String {
    format!("[service.app.objective.availability]\ntarget = \"{target}\"\n")
}

/// Of this target a burn shows in three batches of six seconds.
pub(crate) const STRICT: &str = "99.99%";

/// Somebody who is called, and what they got.
pub(crate) struct Hook {
    script: Script,
    got: Arc<Mutex<Vec<Got>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Got {
    head: String,
    body: String,
}

impl Got {
    fn field(&self, name: &str) -> String {
        let mut lines = self.head.lines();
        let found = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found
            .unwrap_or_else(|| panic!("no {name} in {}", self.head))
            .to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

impl Hook {
    /// Answers each request by its number; nothing: never.
    fn start(answer: impl Fn(usize) -> Option<&'static [u8]> + Send + Sync + 'static) -> Self {
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let seen = Arc::clone(&got);
        let script = Script::start(move |_, link: &mut Link| {
            let Some(head) = link.head() else {
                return;
            };
            let length = head
                .lines()
                .find_map(|it| it.strip_prefix("Content-Length: "));
            let body = link.take(length.unwrap().parse().unwrap());
            let body = String::from_utf8(body).unwrap();
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(Got { head, body });
                seen.len() - 1
            };
            match answer(number) {
                Some(answer) => link.send(answer),
                None => drop(link.rest()),
            }
        });
        Self { script, got }
    }

    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |_| Some(answer))
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub(crate) fn of(&self, kind: &str) -> Vec<Got> {
        let mut got = self.got();
        got.retain(|it| it.kind() == kind);
        got
    }

    pub(crate) fn notifier(&self, name: &str, kind: &str, more: &str) -> String {
        let address = self.script.address;
        format!("[notify.{name}]\nkind = \"{kind}\"\nurl = \"http://{address}/{name}\"\n{more}\n")
    }
}

/// A real Alertmanager.
struct Alertmanager {
    process: Child,
    address: SocketAddr,
}

impl Alertmanager {
    fn start(home: &Home) -> Self {
        let address = free_address();
        let file = home.path("alertmanager.yml");
        std::fs::write(
            &file,
            "route: { receiver: none }\nreceivers: [{ name: none }]\n",
        )
        .unwrap();
        let log = std::fs::File::create(home.path("alertmanager.log")).unwrap();
        let process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", home.path("alerts").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Alertmanager is installed: `cargo xtask test` does");
        let started = Self { process, address };
        wait_until("Alertmanager is up", || started.alerts().is_some());
        started
    }

    /// What is firing now; `None` while it can't say.
    fn alerts(&self) -> Option<Vec<Value>> {
        let url = format!("http://{}/api/v2/alerts", self.address);
        let output = Command::new("curl").args(["--silent", &url]).output();
        serde_json::from_slice(&output.unwrap().stdout).ok()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Milliseconds of a day of a time such as `2026-11-25T14:10:52.123Z`.
fn milliseconds(time: &Value) -> i64 {
    let time = time.as_str().unwrap();
    let number = |from: usize, to: usize| time[from..to].parse::<i64>().unwrap();
    let seconds = (number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19);
    let fraction = time.get(20..23).and_then(|text| text.parse::<i64>().ok());
    seconds * 1_000 + fraction.unwrap_or(0)
}

pub(crate) fn burns(plimsoll: &Plimsoll) -> Load {
    Offer::to(plimsoll.address(), 1).start()
}

/// Waits for what takes minutes: a burn is no chance only after some batches of six seconds.
#[track_caller]
pub(crate) fn wait_long(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if condition() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "real processes are waited for")]
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited in vain until: {what}");
}

#[test]
fn an_alertmanager_shows_a_page_within_two_seconds_and_its_end() {
    let patient = Patient::start();
    let home = Home::new();
    let alertmanager = Alertmanager::start(&home);
    let notifier = format!(
        "[notify.alerts]\nkind = \"alertmanager\"\nurl = \"http://{}\"\n",
        alertmanager.address
    );
    home.write(&patient.config("99.9%", &notifier));
    let plimsoll = home.run(&["--observe"]);
    let load = burns(&plimsoll);
    let mut alert = Value::Null;
    wait_long("it is alerted", || {
        alert = alertmanager.alerts().unwrap().pop().unwrap_or_default();
        !alert.is_null()
    });
    let labels = &alert["labels"];
    assert_eq!(labels["alertname"], "PlimsollBurn", "{alert}");
    assert_eq!(labels["service"], "app");
    assert_eq!(labels["objective"], "availability");
    assert_eq!(labels["owner"], "payments");
    let page = |it: &Value| it["data"]["decision"]["what"] == "page";
    let decided = home.wait_for_record("a decision", page);
    let after = milliseconds(&alert["updatedAt"]) - milliseconds(&decided["time"]);
    assert!((0..2_000).contains(&after), "{after} ms: {alert} {decided}");
    home.wait_for_record(
        "told",
        is("notice", "told alerts: page.firing of app/availability"),
    );
    // So much good comes that the hour is within its budget again.
    patient.recovers();
    let more = Offer::to(plimsoll.address(), 6).start();
    wait_long("it is not alerted any more", || {
        alertmanager
            .alerts()
            .is_some_and(|alerts| alerts.is_empty())
    });
    home.wait_for_record(
        "told",
        is("notice", "told alerts: page.resolved of app/availability"),
    );
    more.stop();
    load.stop();
}

/// Where `cargo xtask test` has put the Python packages that tests use.
pub(crate) fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("python/bin/python3")
}

#[test]
fn receivers_that_hang_redirect_and_fail_hold_up_nobody_and_a_restart_tells_nothing_twice() {
    let patient = Patient::start();
    let flaky = Hook::start(|number| match number {
        0 | 1 => Some(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"),
        _ => Some(OK),
    });
    let fine = Hook::answering(OK);
    let hanging = Hook::start(|_| None);
    let elsewhere = Hook::answering(OK);
    let location = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/hunter2\r\nContent-Length: 0\r\n\r\n",
        elsewhere.script.address
    );
    let moved = Hook::answering(location.leak().as_bytes());
    let others = Hook::answering(OK);
    let home = Home::new();
    std::fs::write(home.path("hook.key"), SECRET).unwrap();
    let notifiers = [
        flaky.notifier(
            "flaky",
            "webhook",
            "secret = { file = \"hook.key\" }\nowners = \"payments\"",
        ),
        fine.notifier("fine", "slack", ""),
        hanging.notifier("hanging", "webhook", ""),
        moved.notifier("moved", "webhook", ""),
        others.notifier("others", "webhook", "owners = \"search\""),
    ];
    // Somebody owns what `others` is about.
    let search = "[service.search]\nowner = \"search\"\nendpoints = [\"http://127.0.0.1:9\"]\n[[route]]\nname = \"search\"\npath = \"/search\"\nservice = \"search\"\n";
    let file = patient.config(STRICT, &format!("{search}{}", notifiers.concat()));
    home.write(&file);
    let mut plimsoll = home.run(&[]);
    let load = burns(&plimsoll);
    wait_until("it was told", || {
        flaky.got().len() == 3 && fine.got().len() == 1
    });
    wait_until("the others were tried", || {
        !hanging.got().is_empty() && !moved.got().is_empty()
    });
    let told = flaky.of("page.firing");
    assert_eq!(told.len(), 3);
    let ids: Vec<String> = told.iter().map(|it| it.field("webhook-id")).collect();
    assert_eq!(ids, [ids[0].clone(), ids[0].clone(), ids[0].clone()]);
    verify(&told[2]);
    let text = fine.got()[0].json()["text"].to_string();
    assert!(
        text.contains("*app burns the error budget of availability*"),
        "{text}"
    );
    home.wait_for_record(
        "failed",
        is(
            "notice",
            "flaky is not told page.firing of app/availability",
        ),
    );
    home.wait_for_record(
        "told",
        is("notice", "told flaky: page.firing of app/availability"),
    );
    let count = |target: &str, result: &str| {
        let labels = [
            format!("target=\"{target}\""),
            format!("result=\"{result}\""),
        ];
        let labels = labels.each_ref().map(String::as_str);
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_notifications_total", &labels)
    };
    wait_until("it is counted", || count("flaky", "delivered") == 1.0);
    assert_eq!(count("flaky", "failed"), 2.0);
    assert!(count("moved", "failed") >= 1.0);
    let status = String::from_utf8(home.ask(&["status"]).stdout).unwrap();
    assert!(
        status.contains("notifier moved fails: it answered 302"),
        "{status}"
    );
    let failed = is("notice", "it answered 302, and redirects are not followed");
    home.wait_for_record("moved", failed);
    assert_eq!(others.got().len() + elsewhere.got().len(), 0);
    // What the governor knows is kept soon.
    wait_until("it is in the store", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        metric(&text, "plimsoll_journal_waiting", &[]) == 0.0
    });
    load.stop();
    plimsoll.process.kill().unwrap();
    plimsoll.ended();
    assert!(
        !plimsoll.said().contains(&SECRET[6..]),
        "a secret is logged"
    );
    assert!(!plimsoll.said().contains("/flaky"), "a path is logged");

    let plimsoll = home.run(&[]);
    let load = burns(&plimsoll);
    wait_until("it is paged and some seconds are over", || {
        let text = get(plimsoll.console(), "/api/v1/status").1;
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let status: Value = serde_json::from_str(body).unwrap();
        let paged = status["services"][0]["governed"]["paged"].as_array();
        paged.is_some_and(|it| !it.is_empty()) && status["uptime_seconds"].as_f64() > Some(5.0)
    });
    assert_eq!((flaky.got().len(), fine.got().len()), (3, 1));
    // What is not watched any more is not left open.
    home.write(&file.replace(&objective(STRICT), ""));
    assert!(home.ask(&["reload"]).status.success());
    wait_until("its end is told", || {
        flaky.of("page.resolved").len() == 1 && fine.got().len() == 2
    });
    let ended = &flaky.of("page.resolved")[0];
    verify(ended);
    let key = |got: &Got| got.json()["data"]["notifications"][0]["key"].clone();
    assert_eq!(key(ended), key(&told[0]));
    assert_eq!(flaky.got().len(), 4);
    load.stop();
}

/// Held against the specification's own library.
#[track_caller]
fn verify(got: &Got) {
    let script = "import json, sys\nfrom standardwebhooks.webhooks import Webhook\n\
                  got = json.load(sys.stdin)\nWebhook(got['secret']).verify(got['body'], got['fields'])\n\
                  print('verified')";
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let fields = names.map(|name| (name.to_owned(), Value::from(got.field(name))));
    let fields: serde_json::Map<_, _> = fields.into_iter().collect();
    let given = serde_json::json!({ "secret": SECRET, "body": got.body, "fields": fields });
    let mut process = Command::new(python())
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python has `standardwebhooks`: `cargo xtask test` installs it");
    serde_json::to_writer(process.stdin.take().unwrap(), &given).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "verified\n",
        "{output:?}"
    );
}

#[test]
fn a_reload_sends_what_waits_to_where_the_receiver_is_now() {
    let patient = Patient::start();
    let home = Home::new();
    let nobody = format!(
        "[notify.oncall]\nkind = \"webhook\"\nurl = \"http://{}/a\"\n",
        free_address()
    );
    home.write(&patient.config(STRICT, &nobody));
    let plimsoll = home.run(&[]);
    let load = burns(&plimsoll);
    wait_long("it is tried", || {
        plimsoll.said().contains("oncall is not told page.firing")
    });
    let hook = Hook::answering(OK);
    home.write(&patient.config(STRICT, &hook.notifier("oncall", "webhook", "")));
    let reloaded = home.ask(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    wait_until("it is told", || !hook.of("page.firing").is_empty());
    load.stop();
}

#[test]
fn a_test_says_of_each_notifier_whether_it_arrived() {
    let service = Service::start();
    let home = Home::new();
    let (fine, gone) = (
        Hook::answering(OK),
        Hook::answering(b"HTTP/1.1 404 Gone\r\nContent-Length: 13\r\n\r\nno such hook\n"),
    );
    let pager = Hook::answering(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    std::fs::write(home.path("routing.key"), "R0hunter2").unwrap();
    let notifiers = [
        fine.notifier("fine", "webhook", ""),
        gone.notifier("gone", "webhook", ""),
        pager.notifier("pager", "pagerduty", "secret = { file = \"routing.key\" }"),
    ];
    home.write(&config(&[service.address], "", &notifiers.concat()));
    let plimsoll = home.run(&[]);
    let all = home.ask(&["notify", "test"]);
    assert_eq!(all.status.code(), Some(1), "{all:?}");
    let said = String::from_utf8(all.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("fine ") && lines[0].contains("arrived in "),
        "{said}"
    );
    assert!(lines[1].contains("it answered 404: no such hook"), "{said}");
    assert!(String::from_utf8_lossy(&all.stderr).contains("help: see whether the path"));
    assert_eq!(fine.of("test").len(), 1);
    let actions: Vec<Value> = pager
        .got()
        .iter()
        .map(|it| it.json()["event_action"].clone())
        .collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    let one = home.ask(&["notify", "test", "fine", "--json"]);
    assert!(one.status.success(), "{one:?}");
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one["targets"][0]["arrived"], true);
    let none = home.ask(&["notify", "test", "fin"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&none.stderr).contains("did you mean `fine`?"),
        "{none:?}"
    );
    let record = home.wait_for_record("tried", is("notice", "tried notifier gone"));
    assert_eq!(record["data"]["result"], "failed");
    assert!(!plimsoll.said().contains("hunter2"), "a secret is logged");
}

#[test]
fn signs_of_life_come_while_plimsoll_watches() {
    let service = Service::start();
    let home = Home::new();
    let hook = Hook::answering(OK);
    let beat = hook.notifier("alive", "heartbeat", "interval = \"1s\"");
    home.write(&config(&[service.address], "", &beat));
    let plimsoll = home.run(&[]);
    wait_until("it beats", || hook.got().len() >= 3);
    assert_eq!(hook.got()[0].body, "");
    assert!(!plimsoll.said().contains("/alive"), "a path is logged");
}

#[test]
fn a_secret_that_is_not_there_is_said_at_the_start_and_so_is_one_that_is_none() {
    let service = Service::start();
    let home = Home::new();
    let started = |url: &str, secret: Option<&str>| {
        let more = "[notify.oncall]\nkind = \"webhook\"\nurl = { env = \"NOTIFY_URL\" }\nsecret = { env = \"NOTIFY_KEY\" }\n";
        let file = home.write(&config(&[service.address], "", more));
        let mut command = home.command(&["run", "--config", &file]);
        command.env_remove("NOTIFY_KEY").env("NOTIFY_URL", url);
        if let Some(secret) = secret {
            command.env("NOTIFY_KEY", secret);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = started("https://a.example/", None);
    let expected = "`secret` of notifier `oncall` in the variable NOTIFY_KEY: it is not set";
    assert!(said.contains(expected), "{said}");
    let said = started("https://me:hunter2@a.example/", Some(SECRET));
    assert!(
        said.contains("`url` of notifier `oncall` has a user or a password in it"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let said = started("https://a.example/", Some("whsec_hunter2"));
    assert!(
        said.contains("`whsec_` and the base64 of 24 to 64 bytes"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

/// A mail server of others, which logs people in over TLS only.
struct MailServer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl MailServer {
    fn start(home: &Home, how: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mail_server.py");
        let mut process = Command::new(python())
            .arg(script)
            .args([home.path("mail.pem"), home.path("mail.key")])
            .args(["hunter2", how])
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python has `aiosmtpd`: `cargo xtask test` installs it");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self {
            process,
            lines,
            port,
        }
    }

    /// The next mail.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn mails_go_over_tls_with_a_login_and_say_what_it_is() {
    let service = Service::start();
    let home = Home::new();
    let authority = Authority::new();
    authority.issue(&home, "mail", &["localhost"], 1);
    std::fs::write(home.path("ca.pem"), &authority.pem).unwrap();
    std::fs::write(home.path("mail.password"), "hunter2").unwrap();
    let mut servers = ["starttls", "tls"].map(|how| MailServer::start(&home, how));
    let notifier = |name: &str, url: String, more: &str| {
        format!(
            "[notify.{name}]\nkind = \"smtp\"\nurl = \"{url}\"\nfrom = \"plimsoll@shop.example\"\n\
             to = [\"oncall@shop.example\", \"nobody@shop.example\"]\ntls = {{ ca = \"ca.pem\" }}\n{more}\n"
        )
    };
    let login = "user = \"plimsoll\"\nsecret = { file = \"mail.password\" }";
    let ports = servers.each_ref().map(|it| it.port);
    let text = |login: &str| {
        let within = notifier("within", format!("smtp://localhost:{}", ports[0]), login);
        let around = notifier("around", format!("smtps://localhost:{}", ports[1]), "");
        config(&[service.address], "", &format!("{within}{around}"))
    };
    home.write(&text(login));
    let plimsoll = home.run(&[]);
    let tried = home.ask(&["notify", "test"]);
    // One of the two addresses is none: that is said, and the other is written to.
    assert_eq!(tried.status.code(), Some(1), "{tried:?}");
    let said = String::from_utf8(tried.stdout).unwrap();
    assert!(
        said.contains("not for nobody@shop.example: it answered 550"),
        "{said}"
    );
    for (server, login) in servers.iter_mut().zip([true, false]) {
        let mail = server.next();
        assert_eq!(mail["tls"], true, "{mail}");
        assert_eq!(mail["login"], login, "{mail}");
        assert_eq!(mail["from"], "plimsoll@shop.example");
        assert_eq!(mail["to"], serde_json::json!(["oncall@shop.example"]));
        assert_eq!(mail["defects"], serde_json::json!([]), "{mail}");
        assert_eq!(mail["subject"], "[test] a test of Plimsoll's notifications");
        let text = mail["text"].as_str().unwrap();
        assert!(text.contains("nothing is to be done"), "{mail}");
    }
    assert!(!plimsoll.said().contains("hunter2"), "a secret is logged");
    // Without the password it is not taken, and that is said.
    home.write(&text(""));
    assert!(home.ask(&["reload"]).status.success());
    let refused = home.ask(&["notify", "test", "within"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stdout).unwrap();
    assert!(said.contains("it answered 530"), "{said}");
    // Nor is one that is of another authority.
    home.write(&text(login).replace("tls = { ca = \"ca.pem\" }", ""));
    assert!(home.ask(&["reload"]).status.success());
    let refused = home.ask(&["notify", "test", "within"]);
    let said = String::from_utf8(refused.stdout).unwrap();
    assert!(said.contains("agreeing on TLS"), "{said}");
}

#[test]
fn a_notifier_that_can_not_be_set_up_refuses_a_reload_as_a_whole_and_never_a_start() {
    let (before, after) = (Service::start(), Service::start());
    let home = Home::new();
    let authority = Authority::new();
    authority.issue(&home, "one", &["one.example"], 1);
    authority.issue(&home, "other", &["other.example"], 2);
    home.write(&config(&[before.address], "", ""));
    let mut plimsoll = home.run(&[]);
    // A key of another certificate: only who sets it up finds that.
    let broken = format!(
        "[notify.broken]\nkind = \"webhook\"\nurl = \"https://127.0.0.1:9/hunter2\"\n\
         tls = {{ client = {{ certificate = \"{}\", key = \"{}\" }} }}\n",
        home.path("one.pem").display(),
        home.path("other.key").display()
    );
    let fine = Hook::answering(OK);
    let notifiers = format!("{broken}{}", fine.notifier("fine", "webhook", ""));
    home.write(&config(&[after.address], "", &notifiers));
    let reloaded = home.ask(&["reload"]);
    let said = String::from_utf8_lossy(&reloaded.stderr).into_owned();
    assert!(!reloaded.status.success(), "{reloaded:?}");
    assert!(said.contains("setting up notifier `broken`"), "{said}");
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    assert_eq!((before.requests(), after.requests()), (1, 0));
    plimsoll.terminate();
    plimsoll.ended();

    let plimsoll = home.run(&[]);
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    assert_eq!(after.requests(), 1);
    let status = String::from_utf8(home.ask(&["status"]).stdout).unwrap();
    assert!(status.contains("setting up notifier `broken`"), "{status}");
    assert!(home.ask(&["notify", "test", "fine"]).status.success());
    assert!(!plimsoll.said().contains("hunter2"), "a path is logged");
}
