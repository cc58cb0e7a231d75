//! Goal: clients that others wrote use queues unchanged; what was acknowledged is there after a kill, and what was done is not.
//!
//! Method: the real program with a folder of its own; boto3, the AWS CLI and a worker of Celery; kills at any moment.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::child::{Home, Plimsoll, TIME_MAX, config, get, wait_until};
use crate::journal::is;
use crate::notify::python;

/// Where the scripts are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/queue");
const KEYS: &str = "# of the shop\nAKSHOP shop-secret\n";

fn start(home: &Home, queues: &str) -> (Plimsoll, SocketAddr) {
    let service: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let more = format!("[queues]\nlisten = \"127.0.0.1:0\"\n{queues}");
    home.write(&config(&[service], "", &more));
    let plimsoll = home.run(&[]);
    let address = plimsoll.queues();
    (plimsoll, address)
}

impl Plimsoll {
    fn queues(&self) -> SocketAddr {
        let said = self.said();
        let line = said
            .lines()
            .find_map(|it| it.strip_prefix("queues on http://"));
        line.unwrap_or_else(|| panic!("{said}")).parse().unwrap()
    }
}

/// A connection that asks one thing after the other.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIME_MAX))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, request: &str, fields: &str, body: &[u8]) -> std::io::Result<(u16, Value)> {
        let length = body.len();
        let head =
            format!("{request} HTTP/1.1\r\nHost: q\r\n{fields}Content-Length: {length}\r\n\r\n");
        let stream = self.0.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn ask(address: SocketAddr, request: &str, body: &str) -> (u16, Value) {
    let mut client = Client::new(address).unwrap();
    client.ask(request, "", body.as_bytes()).unwrap()
}

/// A script with the packages of tests, as a client with a key.
fn script(name: &str, key: (&str, &str)) -> Command {
    let mut command = Command::new(python());
    command.current_dir(FOLDER);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("AWS_ACCESS_KEY_ID", key.0);
    command.env("AWS_SECRET_ACCESS_KEY", key.1);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    if !name.is_empty() {
        command.arg(name);
    }
    command
}

#[track_caller]
fn is_well(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("well"),
        "{said}{more}"
    );
}

const SHOP: (&str, &str) = ("AKSHOP", "shop-secret");

fn with_keys(home: &Home) -> (Plimsoll, SocketAddr) {
    let file = home.path("keys");
    std::fs::write(&file, KEYS).unwrap();
    start(home, &format!("keys = \"{}\"\n", file.display()))
}

#[test]
fn boto3_makes_queues_sends_receives_and_is_told_of_its_mistakes() {
    let home = Home::new();
    let (_plimsoll, address) = with_keys(&home);
    let mut command = script("with_boto3.py", SHOP);
    is_well(&command.arg(format!("http://{address}")).output().unwrap());
    let dead = home.wait_for_record("dead", is("queue", "is a dead letter after 2 attempts"));
    assert_eq!(dead["subject"], "queue/boto");
}

#[test]
fn the_aws_cli_and_a_worker_of_celery_use_it_unchanged_and_a_wrong_signature_is_refused() {
    let home = Home::new();
    let (_plimsoll, address) = with_keys(&home);
    let url = format!("http://{address}");
    let cli = |secret: &str, args: &[&str]| {
        let mut command = script("", (SHOP.0, secret));
        command.args([
            "-m",
            "awscli",
            "--endpoint-url",
            &url,
            "--region",
            "us-east-1",
            "sqs",
        ]);
        command.args(args).output().unwrap()
    };
    let made = cli(SHOP.1, &["create-queue", "--queue-name", "cli"]);
    assert!(made.status.success(), "{made:?}");
    let queue = format!("{url}/000000000000/cli");
    let sent = cli(
        SHOP.1,
        &[
            "send-message",
            "--queue-url",
            &queue,
            "--message-body",
            "hi",
        ],
    );
    assert!(sent.status.success(), "{sent:?}");
    let received = cli(SHOP.1, &["receive-message", "--queue-url", &queue]);
    let received: Value = serde_json::from_slice(&received.stdout).unwrap();
    assert_eq!(received["Messages"][0]["Body"], "hi");
    let refused = cli("another-secret", &["list-queues"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("SignatureDoesNotMatch"),
        "{said}"
    );

    let folder = home.path("celery");
    std::fs::create_dir(&folder).unwrap();
    let mut command = script("with_celery.py", SHOP);
    command.env("BROKER", format!("sqs://{}:{}@{address}", SHOP.0, SHOP.1));
    is_well(&command.arg(&folder).output().unwrap());
}

#[test]
fn the_plain_api_takes_gives_and_says_what_is_wrong() {
    let home = Home::new();
    std::fs::write(home.path("token"), "sesame").unwrap();
    let token = home.path("token").display().to_string();
    let more = format!(
        "tokens = [{{ file = \"{token}\" }}]\n[queue.mails]\nlease = \"1s\"\nattempts_max = 1\n"
    );
    let (plimsoll, address) = start(&home, &more);
    let mut client = Client::new(address).unwrap();
    let mut by = |request: &str, fields: &str, body: &str| {
        let fields = format!("Authorization: Bearer sesame\r\n{fields}");
        client.ask(request, &fields, body.as_bytes()).unwrap()
    };
    assert_eq!(ask(address, "GET /queues", "").0, 401);
    let listed = by("GET /queues", "", "").1;
    assert_eq!(listed["queues"][0]["name"], "mails");
    let first = by(
        "POST /queues/mails/messages",
        "Idempotency-Key: k1\r\nContent-Type: text/plain\r\n",
        "hello",
    );
    assert_eq!(first.0, 201);
    let again = by(
        "POST /queues/mails/messages",
        "Idempotency-Key: k1\r\n",
        "hello",
    );
    assert_eq!(again.1["id"], first.1["id"]);
    let taken = by("POST /queues/mails/receive?max=5", "", "").1;
    let (message, none) = (&taken["messages"][0], &taken["messages"][1]);
    assert_eq!((&message["body"], none), (&"hello".into(), &Value::Null));
    assert_eq!(message["content_type"], "text/plain");
    let receipt = message["receipt"].as_str().unwrap();
    let path = format!("DELETE /queues/mails/messages/{receipt}");
    assert_eq!(by(&path, "", "").0, 204);
    let twice = by(&path, "", "");
    assert_eq!(twice.0, 409, "{}", twice.1);
    // Nobody is done with it in time: a dead letter, driven back by a person.
    by(
        "POST /queues/mails/messages",
        "Plimsoll-Priority: 9\r\n",
        "lost",
    );
    let lost = by("POST /queues/mails/receive", "", "").1;
    assert_eq!(lost["messages"][0]["body"], "lost");
    wait_until("it is dead", || {
        by("GET /queues/mails-dead", "", "").1["ready"] == 1
    });
    let dead = by("GET /queues/mails-dead/messages", "", "").1;
    assert_eq!(dead["messages"][0]["dead"]["queue"], "mails");
    assert_eq!(by("POST /queues/mails-dead/redrive", "", "").1["moved"], 1);
    // What waits for a message has it as soon as it is there.
    let waited = by("POST /queues/mails/receive?wait=10s&lease=1m", "", "").1;
    assert_eq!(waited["messages"][0]["body"], "lost");
    for (request, status, part) in [
        ("GET /queues/none", 404, "there is no queue `none`"),
        ("PUT /queues/a%20b", 400, "is no name of a queue"),
        (
            "PUT /queues/mails",
            400,
            "is described in Plimsoll's configuration",
        ),
        (
            "DELETE /queues/mails",
            400,
            "is described in Plimsoll's configuration",
        ),
        (
            "DELETE /queues/mails/messages/zz",
            400,
            "the receipt is none of `mails`",
        ),
        (
            "POST /queues/mails/receive?wait=soon",
            400,
            "expected a length of time",
        ),
        (
            "GET /queues/mails/messages?which=all",
            400,
            "expected ready, delayed or leased",
        ),
        (
            "POST /queues/mails/nonsense",
            404,
            "there is no such thing here",
        ),
    ] {
        let (found, answer) = by(request, "", "");
        assert_eq!(found, status, "{request}: {answer}");
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(part), "{request}: {answer}");
    }
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(by("POST /queues/mails/messages", "", &large).0, 400);
    // What the file says of a queue is so after a reload, and who listens elsewhere is told so.
    let text = std::fs::read_to_string(home.path("plimsoll.toml")).unwrap();
    home.write(&text.replace("lease = \"1s\"", "lease = \"7s\""));
    assert!(home.ask(&["reload"]).status.success());
    wait_until("it is so", || {
        by("GET /queues/mails", "", "").1["settings"]["lease_seconds"] == 7.0
    });
    drop(plimsoll);
}

/// What clients know, whenever the process is killed.
#[derive(Default)]
struct Known {
    /// Publishers were told that they are there.
    there: Mutex<BTreeSet<String>>,
    /// Consumers asked for their end.
    ending: Mutex<BTreeSet<String>>,
    /// Consumers were told that they are gone.
    gone: Mutex<BTreeSet<String>>,
}

impl Known {
    fn publish(&self, address: SocketAddr, name: &str, stop: &AtomicBool) {
        let Ok(mut client) = Client::new(address) else {
            return;
        };
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let body = format!("{name}-{number}");
            match client.ask("POST /queues/work/messages", "", body.as_bytes()) {
                Ok((201, _)) => {
                    self.there.lock().unwrap().insert(body);
                }
                Ok((status, answer)) => panic!("{status}: {answer}"),
                Err(_killed) => return,
            }
        }
    }

    /// Until there is nothing more, or it is killed. Says how many there were.
    fn consume(&self, address: SocketAddr, wait: &str, stop: &AtomicBool) -> usize {
        let mut count = 0;
        let Ok(mut client) = Client::new(address) else {
            return count;
        };
        while !stop.load(Ordering::Relaxed) {
            let request = format!("POST /queues/work/receive?max=10&lease=1s&wait={wait}");
            let Ok((200, answer)) = client.ask(&request, "", b"") else {
                return count;
            };
            let messages = answer["messages"].as_array().unwrap();
            if messages.is_empty() {
                return count;
            }
            for it in messages {
                count += 1;
                let body = it["body"].as_str().unwrap().to_owned();
                assert!(
                    !self.gone.lock().unwrap().contains(&body),
                    "{body} was done with"
                );
                self.ending.lock().unwrap().insert(body.clone());
                let receipt = it["receipt"].as_str().unwrap();
                let path = format!("DELETE /queues/work/messages/{receipt}");
                match client.ask(&path, "", b"") {
                    Ok((204, _)) => {
                        self.gone.lock().unwrap().insert(body);
                    }
                    // Its second is over.
                    Ok((409, _)) => (),
                    Ok((status, answer)) => panic!("{status}: {answer}"),
                    Err(_killed) => return count,
                }
            }
        }
        count
    }
}

/// Kills the process in the middle of its work so often.
fn kills(rounds: usize) {
    const QUEUE: &str = "disk_max = \"256MiB\"\n[queue.work]\nattempts_max = 0\n";
    let home = Home::new();
    let known = Known::default();
    for round in 0..rounds {
        let (mut plimsoll, address) = start(&home, QUEUE);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for each in 0..3 {
                let (known, stop) = (&known, &stop);
                scope.spawn(move || known.publish(address, &format!("{round}-{each}"), stop));
            }
            scope.spawn(|| known.consume(address, "1s", &stop));
            let wanted = known.there.lock().unwrap().len() + 20 + (round * 37) % 150;
            wait_until("there is something to lose", || {
                known.there.lock().unwrap().len() >= wanted
            });
            plimsoll.process.kill().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
        let _status = plimsoll.process.wait();
    }
    let (_plimsoll, address) = start(&home, QUEUE);
    let stop = AtomicBool::new(false);
    wait_until("all is delivered", || {
        known.consume(address, "0s", &stop);
        let figures = ask(address, "GET /queues/work", "").1;
        figures["ready"] == 0 && figures["in_flight"] == 0
    });
    let there = known.there.lock().unwrap();
    let ending = known.ending.lock().unwrap();
    let lost: Vec<&String> = there.difference(&ending).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(there.len() > rounds * 20);
}

#[test]
fn whenever_it_is_killed_nothing_acknowledged_is_lost_and_nothing_done_comes_again() {
    kills(50);
}

#[test]
fn a_successor_goes_on_with_the_queues() {
    let home = Home::new();
    let (plimsoll, address) = start(&home, "[queue.work]\n");
    assert_eq!(ask(address, "POST /queues/work/messages", "kept").0, 201);
    let successor = home.run(&["--upgrade"]);
    let address = successor.queues();
    let taken = ask(address, "POST /queues/work/receive?wait=10s", "").1;
    assert_eq!(taken["messages"][0]["body"], "kept");
    drop(plimsoll);
}

#[test]
fn metrics_and_status_say_how_queues_stand_and_what_became_of_messages() {
    let home = Home::new();
    let more = "[queue.mails]\nlease = \"10m\"\nattempts_max = 1\n[queue.idle]\n";
    let (plimsoll, address) = start(&home, more);
    for body in ["done", "held", "dead", "waits", "waits too"] {
        assert_eq!(ask(address, "POST /queues/mails/messages", body).0, 201);
    }
    let taken = ask(address, "POST /queues/mails/receive?max=3", "").1;
    let receipts = taken["messages"].as_array().unwrap().iter();
    let receipts: Vec<&str> = receipts.map(|it| it["receipt"].as_str().unwrap()).collect();
    let settle = |request: String| ask(address, &request, "").0;
    let done = format!("DELETE /queues/mails/messages/{}", receipts[0]);
    assert_eq!(settle(done), 204);
    let dead = format!("POST /queues/mails/messages/{}/nack", receipts[2]);
    assert_eq!(settle(dead), 204);
    let expected = [
        r#"plimsoll_queue_messages{queue="mails",state="ready"} 2"#,
        r#"plimsoll_queue_messages{queue="mails",state="in_flight"} 1"#,
        r#"plimsoll_queue_messages{queue="mails-dead",state="ready"} 1"#,
        r#"plimsoll_queue_messages{queue="idle",state="ready"} 0"#,
        r#"plimsoll_queue_published_total{queue="mails"} 5"#,
        r#"plimsoll_queue_published_total{queue="mails-dead"} 0"#,
        r#"plimsoll_queue_delivered_total{queue="mails"} 3"#,
        r#"plimsoll_queue_acknowledged_total{queue="mails"} 1"#,
        r#"plimsoll_queue_returned_total{queue="mails"} 0"#,
        r#"plimsoll_queue_dead_letters_total{queue="mails"} 1"#,
        "plimsoll_queue_labels_dropped 0",
        "plimsoll_queues_up 1",
    ];
    wait_until("metrics say so", || {
        let text = get(plimsoll.ops(), "/metrics").1;
        let has = |line: &&str| text.lines().any(|it| it == *line);
        expected.iter().all(has)
    });
    let text = get(plimsoll.ops(), "/metrics").1;
    for name in [
        "plimsoll_queue_oldest_age_seconds{queue=\"mails\"} ",
        "plimsoll_queues_disk_bytes ",
        "plimsoll_queues_disk_max_bytes ",
    ] {
        assert!(text.lines().any(|it| it.starts_with(name)), "{name}{text}");
    }
    let said = home.ask(&["status"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = |start: &str| said.lines().any(|it| it.trim_start().starts_with(start));
    assert!(
        line("queue mails: 2 ready, 1 in flight, 0 delayed, the oldest for "),
        "{said}"
    );
    assert!(line("queue mails-dead (dead letters): 1 ready"), "{said}");
    assert!(!said.contains("queue idle"), "{said}");
    let json = home.ask(&["status", "--json"]).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    let shown = json["queues"]["queues"].as_array().unwrap();
    let shown = shown.iter().find(|it| it["name"] == "mails").unwrap();
    assert_eq!(
        (&shown["ready"], &shown["dead_letters"]),
        (&2.into(), &false.into())
    );
}
