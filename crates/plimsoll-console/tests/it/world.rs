//! A made-up process, and a client that sends what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use plimsoll_console::{
    Answer, Answered, Applying, Caller, ChangePlan, Changed, ConfigurationText, Configurations,
    ConsoleOptions, Control, Estimate, FlagChange, FlagChanged, FlagEvaluated, FlagList,
    FlagSetting, FlagView, Freezing, How, IncidentRecords, JournalQuery, KeptConfiguration, Past,
    PastView, PlanWanted, PlannedChange, Problem, Purging, Records, Role, RollbackWanted,
    RolloutDeed, Runbook, Setting, TargetTried, TokenCreated, TokenView, TokenWanted, Tokens,
    Tried, Turns, Verb, WatchView, Water, WithoutPlimsoll, WithoutQuery, serve_console, serve_ops,
};
use plimsoll_core::{Instant, Timestamp};
use plimsoll_measure::{
    ApprovalView, ChangesView, Courses, Deed, Format, IncidentRecord, Incidents, Inputs, Layout,
    Measure, ProcessView, Registry, RolloutView, Snapshot, render_metrics,
};

pub(crate) const TOKEN: &str = "a-token-for-the-tests-only";
pub(crate) const VIEWER: &str = "a-token-that-only-reads";
/// The name of a service that would like to be markup.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>\"'&/..";
pub(crate) const PAYMENTS: &str = "a-token-for-services-of-payments";

#[derive(Default)]
pub(crate) struct Process {
    pub(crate) not_ready: AtomicBool,
    pub(crate) invalid: AtomicBool,
    pub(crate) reloads: AtomicUsize,
    /// The tokens that are not valid any more.
    pub(crate) revoked: Mutex<Vec<&'static str>>,
    /// Another process takes over from this one.
    pub(crate) handing_over: AtomicBool,
    /// What was set and ended.
    pub(crate) acted: Mutex<Vec<String>>,
    /// How often a page with the course of services was drawn.
    pub(crate) drawn: AtomicUsize,
    snapshot: OnceLock<Arc<Snapshot>>,
}

impl Process {
    fn act(&self, said: String) -> Answer<Changed> {
        if self.handing_over.load(Ordering::Relaxed) {
            return Box::pin(async { Err(Problem::unavailable("another process takes over")) });
        }
        let answer = changed(&said);
        self.acted.lock().unwrap().push(said);
        Box::pin(async { Ok(answer) })
    }
}

fn kept() -> KeptConfiguration {
    KeptConfiguration {
        number: 1,
        at: Timestamp::from_seconds(1_795_615_000),
        by: "ana".to_owned(),
        why: None,
        how: "reload".to_owned(),
        plan: None,
        sha256: "cd".to_owned(),
        bytes: 14,
        in_force: true,
    }
}

impl Control for Process {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.get_or_init(made_up))
    }

    fn courses(&self, look: &mut dyn FnMut(&Courses)) {
        self.drawn.fetch_add(1, Ordering::Relaxed);
        look(&Courses::default());
    }

    fn water(&self) -> Arc<Water> {
        Arc::default()
    }

    fn past(&self, _: &str, _: Past) -> Result<Arc<PastView>, Problem> {
        Ok(Arc::default())
    }

    fn configuration(&self) -> Arc<str> {
        "[service.shop]".into()
    }

    fn metrics(&self, format: Format) -> String {
        render_metrics(
            format,
            &[],
            &self.snapshot(),
            &ProcessView::default(),
            &ChangesView::default(),
        )
    }

    fn request(&self, id: &str) -> Option<String> {
        (id == "known").then(|| r#"{"id":"known"}"#.to_owned())
    }

    fn ready(&self) -> Result<(), String> {
        if self.not_ready.load(Ordering::Relaxed) {
            Err("draining".to_owned())
        } else {
            Ok(())
        }
    }

    fn caller(&self, secret: &[u8]) -> Result<Caller, Problem> {
        let caller = |name: &str, role, owners: &[&str]| {
            Ok(Caller {
                name: name.to_owned(),
                role,
                owners: owners.iter().map(|it| (*it).to_owned()).collect(),
            })
        };
        let secret = std::str::from_utf8(secret).unwrap_or_default();
        match secret {
            secret if self.revoked.lock().unwrap().contains(&secret) => (),
            TOKEN => return caller("ana", Role::Admin, &[]),
            VIEWER => return caller("vi", Role::Viewer, &[]),
            PAYMENTS => return caller("pat", Role::Operator, &["payments"]),
            _ => (),
        }
        Err(Problem::unauthorized("this token is not valid"))
    }

    fn holder(&self, token: &[u8; 32]) -> Result<Caller, Problem> {
        let digest = |secret: &str| digest(&SHA256, secret.as_bytes());
        let mut secrets = [TOKEN, VIEWER, PAYMENTS].into_iter();
        let found = secrets.find(|secret| digest(secret).as_ref() == token);
        self.caller(found.unwrap_or_default().as_bytes())
    }

    fn approvals(&self) -> Arc<Vec<ApprovalView>> {
        Arc::new(vec![approval()])
    }

    fn answer_approval(&self, by: &Caller, id: u64, answered: Answered) -> Answer<Changed> {
        self.act(format!("{} {answered:?} {id}", by.name))
    }

    fn freeze(&self, by: &Caller, service: Option<&str>, freezing: Freezing) -> Answer<Changed> {
        let (service, why) = (service.unwrap_or("all"), freezing.why);
        self.act(format!("{} froze {service}: {why}", by.name))
    }

    fn end_freeze(&self, by: &Caller, service: Option<&str>, _: How) -> Answer<Changed> {
        let service = service.unwrap_or("all");
        self.act(format!("{} ended the freeze of {service}", by.name))
    }

    fn reload(&self, _: &Caller, _: How) -> Answer<Changed> {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        let invalid = self.invalid.load(Ordering::Relaxed);
        Box::pin(async move {
            if invalid {
                return Err(Problem::invalid("line 3: no such service"));
            }
            Ok(changed("2 services"))
        })
    }

    fn plan(&self, wanted: PlanWanted) -> Answer<ChangePlan> {
        let change = PlannedChange {
            service: Some("shop".to_owned()),
            thing: "service shop".to_owned(),
            key: "tier".to_owned(),
            kind: "changed".to_owned(),
            before: Some("1".to_owned()),
            after: None,
            risk: "low".to_owned(),
            why: "who is called changes with it".to_owned(),
        };
        Box::pin(async move {
            Ok(ChangePlan {
                hash: "ab".to_owned(),
                file: "/etc/plimsoll.toml".to_owned(),
                before: "cd".to_owned(),
                after: wanted.text.unwrap_or_default(),
                changes: vec![change],
                risk: "low".to_owned(),
                approvals: Vec::new(),
                set_aside: None,
            })
        })
    }

    fn apply(&self, by: &Caller, applying: Applying) -> Answer<Changed> {
        self.act(format!("{} applies {}", by.name, applying.plan))
    }

    fn configurations(&self) -> Arc<Configurations> {
        Arc::new(Configurations {
            configurations: vec![kept()],
            watch: Some(WatchView {
                plan: "ab".to_owned(),
                by: "ana".to_owned(),
                since: Timestamp::from_seconds(1_795_615_000),
                until: Timestamp::from_seconds(1_795_615_300),
                services: vec!["shop".to_owned()],
                state: "watching".to_owned(),
                evidence: String::new(),
            }),
            set_aside: None,
        })
    }

    fn configuration_text(&self, _: u64) -> Answer<ConfigurationText> {
        Box::pin(async {
            Ok(ConfigurationText {
                configuration: kept(),
                text: "[service.shop]".to_owned(),
            })
        })
    }

    fn roll_back(&self, by: &Caller, wanted: RollbackWanted) -> Answer<Changed> {
        self.act(format!("{} rolls back to {:?}", by.name, wanted.number))
    }

    fn journal(&self, asked: JournalQuery) -> Answer<Records> {
        let record = serde_json::json!({ "subject": asked.subject });
        Box::pin(async move {
            Ok(Records {
                records: vec![record],
                next: None,
            })
        })
    }

    fn incident_records(&self, _: u64) -> Answer<IncidentRecords> {
        Box::pin(async { Ok(IncidentRecords::default()) })
    }

    fn without(&self, service: &str, asked: WithoutQuery) -> Answer<WithoutPlimsoll> {
        let known = self.owner(service).map(|_| WithoutPlimsoll {
            service: service.to_owned(),
            from: Timestamp::from_seconds(1_795_615_000),
            until: Timestamp::from_seconds(1_795_615_852),
            estimate: (asked.from != "1h").then_some(Estimate {
                requests: 3_450_000,
                bad: 157_904,
                without: 690_000,
                least: 640_000,
                most: 750_000,
            }),
            unknown: (asked.from == "1h").then(|| "the record has a gap".to_owned()),
        });
        Box::pin(async move { known })
    }

    fn tokens(&self) -> Result<Tokens, Problem> {
        Ok(Tokens {
            tokens: vec![token("vi", Role::Viewer, Vec::new())],
        })
    }

    fn create_token(
        &self,
        _: &Caller,
        wanted: TokenWanted,
        _: Option<Duration>,
    ) -> Answer<TokenCreated> {
        Box::pin(async move {
            Ok(TokenCreated {
                secret: "plim_0".to_owned(),
                token: token(&wanted.name, wanted.role, wanted.owners),
                journal: 7,
            })
        })
    }

    fn owner(&self, service: &str) -> Result<Option<String>, Problem> {
        match service {
            "checkout" | HOSTILE => Ok(Some("payments".to_owned())),
            "mail" => Ok(None),
            _ => Err(Problem::not_found("there is no such service")),
        }
    }

    fn set(&self, by: &Caller, service: &str, setting: Setting) -> Answer<Changed> {
        let Setting {
            verb, level, why, ..
        } = setting;
        self.act(format!("{} {service} {verb} {level:?} {why}", by.name))
    }

    fn end(&self, by: &Caller, service: &str, verb: Verb) -> Answer<Changed> {
        self.act(format!("{} {service} end {verb}", by.name))
    }

    fn purge(&self, by: &Caller, service: &str, purging: Purging) -> Answer<Changed> {
        let Purging { of, why } = purging;
        self.act(format!("{} purges {service} {of:?} {why}", by.name))
    }

    fn rollouts(&self) -> Arc<Vec<RolloutView>> {
        let view = serde_json::json!({
            "name": "shop-v2", "service": "checkout", "owner": "payments", "version": "v2", "kind": "canary", "by": "client", "state": "idle",
            "says": "it has not begun", "weight": 0.0, "revision": 0, "step": null, "steps": [], "run": null,
        });
        Arc::new(vec![serde_json::from_value(view).unwrap()])
    }

    fn roll(&self, by: &Caller, rollout: &str, deed: RolloutDeed) -> Answer<Changed> {
        let RolloutDeed {
            verb,
            why,
            revision,
            ..
        } = deed;
        Process::act(
            self,
            format!("{} {verb} {rollout} {revision:?} {why}", by.name),
        )
    }
    fn flags(&self) -> FlagList {
        FlagList {
            source: "managed".to_owned(),
            digest: "00".to_owned(),
            flags: vec![made_up_flag()],
        }
    }

    fn flag(&self, key: &str) -> Option<FlagView> {
        (key == "new-cart").then(|| FlagView {
            definition: Some(serde_json::json!({ "variants": { "on": true } })),
            ..made_up_flag()
        })
    }

    fn evaluate_flag(
        &self,
        key: &str,
        context: serde_json::Value,
    ) -> Result<FlagEvaluated, Problem> {
        match key {
            "new-cart" => Ok(FlagEvaluated {
                key: key.to_owned(),
                variant: Some("on".to_owned()),
                value: context,
                reason: "STATIC".to_owned(),
            }),
            _ => Err(Problem::not_found("there is no such flag")),
        }
    }

    fn change_flag(&self, by: &Caller, key: &str, change: FlagChange) -> Answer<Changed> {
        let FlagChange { act, why, .. } = change;
        self.act(format!("{} changes {key} {act:?} {why}", by.name))
    }

    fn try_notifiers(&self, by: &Caller, name: Option<String>) -> Answer<Tried> {
        let tried = TargetTried {
            name: name.unwrap_or_else(|| "all".to_owned()),
            kind: "webhook".to_owned(),
            arrived: false,
            seconds: 0.5,
            why: Some(by.name.clone()),
            help: None,
        };
        Box::pin(async move {
            Ok(Tried {
                targets: vec![tried],
            })
        })
    }

    /// Somebody is called for the checkout, acknowledges it, and hands it over.
    fn incidents(&self) -> Result<Arc<Incidents>, Problem> {
        let page = r#"{"decision":{"what":"page","urgency":"page","evidence":{"objective":"latency","budget_left":0.5}}}"#;
        let acknowledged = r#"{"what":"acknowledge","by":"ana"}"#;
        let noted = r#"{"what":"note","by":"ana","note":"so it is"}"#;
        let records = [
            (1, "decision", "service/checkout", page),
            (2, "decision", "service/mail", page),
            (3, "incident", "incident/1", acknowledged),
            (4, "incident", "incident/1", noted),
        ];
        let record =
            |(sequence, kind, subject, body): (u64, &'static str, &'static str, &'static str)| {
                IncidentRecord {
                    sequence,
                    at: Timestamp::from_seconds(1_795_615_852 + sequence),
                    kind,
                    subject,
                    body: body.as_bytes(),
                }
            };
        Ok(Arc::new(Incidents::of(records.map(record))))
    }

    fn runbook(&self, _: &str) -> Option<Runbook> {
        None
    }

    fn review(&self, incident: u64) -> Answer<String> {
        Box::pin(async move { Ok(format!("# Review of {incident}: {HOSTILE}")) })
    }

    fn act(&self, by: &Caller, incident: u64, deed: Deed) -> Answer<Changed> {
        let done = match &deed {
            Deed::Note { note } => format!("note {note}"),
            other => other.name().to_owned(),
        };
        Process::act(self, format!("{} {incident} {done}", by.name))
    }

    fn revoke_token(&self, _: &Caller, name: &str) -> Answer<Changed> {
        let known = name == "vi";
        Box::pin(async move {
            match known {
                true => Ok(changed("revoked")),
                false => Err(Problem::not_found("there is no such token")),
            }
        })
    }
}

/// The one picture there is.
fn made_up() -> Arc<Snapshot> {
    let registry = Arc::new(Registry::new(1, 10));
    let measure = Measure::new(registry, Layout::default(), Instant::ORIGIN);
    let inputs = Inputs {
        instance: "made-up".to_owned(),
        ..Inputs::default()
    };
    Arc::new(measure.snapshot(Timestamp::from_seconds(1_795_615_852), &inputs))
}

fn changed(message: &str) -> Changed {
    Changed {
        message: message.to_owned(),
        journal: Some(7),
        warning: None,
        approval: None,
    }
}

/// A request for approval by somebody who would like to be markup.
fn approval() -> ApprovalView {
    let at = Timestamp::from_seconds(1_795_615_852);
    ApprovalView {
        id: 7,
        kind: "degrade".to_owned(),
        subject: HOSTILE.to_owned(),
        says: format!("shed 2 of {HOSTILE}"),
        effect: vec![HOSTILE.to_owned()],
        services: vec![HOSTILE.to_owned()],
        by: "bo".to_owned(),
        why: Some(HOSTILE.to_owned()),
        persons: 2,
        missing: 1,
        approved_by: vec!["cy".to_owned()],
        rules: vec!["tier-1".to_owned()],
        content: "a1b2".to_owned(),
        state: "waiting".to_owned(),
        came: "it waits".to_owned(),
        since: at,
        until: at + Duration::from_secs(3_600),
        changed: at,
        journal: Some(7),
    }
}

fn token(name: &str, role: Role, owners: Vec<String>) -> TokenView {
    TokenView {
        name: name.to_owned(),
        role,
        owners,
        created_at: Timestamp::from_seconds(1_795_615_852),
        created_by: "ana".to_owned(),
        expires_at: None,
        expired: false,
    }
}

/// A server on a port of its own; it ends with the test's process.
pub(crate) struct Server {
    pub(crate) process: Arc<Process>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn ops() -> Self {
        Self::start("127.0.0.1:0", |listener, process| async move {
            serve_ops(listener, process).await.unwrap();
        })
    }

    pub(crate) fn console(listen: &str) -> Self {
        Self::console_within(listen, Turns::default())
    }

    pub(crate) fn console_within(listen: &str, turns: Turns) -> Self {
        let options = ConsoleOptions {
            hosts: vec!["ops.example".to_owned()],
            turns,
        };
        Self::start(listen, |listener, process| async move {
            serve_console(listener, process, options).await.unwrap();
        })
    }

    fn start<F: Future<Output = ()>>(
        listen: &str,
        serve: impl FnOnce(TcpListener, Arc<Process>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(listen).unwrap();
        let address = listener.local_addr().unwrap();
        let process = Arc::new(Process::default());
        let shared = Arc::clone(&process);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(listener, shared));
        });
        Self { process, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let port = self.address.port();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    /// Sends a request with these further header lines, and returns status and whole answer.
    pub(crate) fn send(&self, request_line: &str, headers: &[&str]) -> (u16, String) {
        let mut request = format!("{request_line} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request.push_str("Host: localhost\r\n");
        }
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.send_raw(request.as_bytes())
    }

    /// Sends a body as JSON, with a token.
    pub(crate) fn send_json(&self, request_line: &str, token: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.send_raw(
            format!(
                "{request_line} HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )
    }

    /// Sends a form as a browser does, with these further header lines.
    pub(crate) fn send_form(&self, path: &str, body: &str, headers: &[&str]) -> (u16, String) {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nConnection: close\r\nAccept: text/html\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            request.push_str("Host: localhost\r\n");
        }
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        self.send_raw(format!("{request}\r\n{body}").as_bytes())
    }

    pub(crate) fn send_raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        (status, answer)
    }
}

fn made_up_flag() -> FlagView {
    FlagView {
        key: "new-cart".to_owned(),
        owner: Some("payments".to_owned()),
        rollout: None,
        dimmed: None,
        enabled: true,
        variants: vec!["on".to_owned()],
        default: Some("on".to_owned()),
        targeting: false,
        stale: None,
        evaluations: 7,
        version: Some(3),
        changed: Some(FlagChanged {
            by: "ana".to_owned(),
            why: "it begins".to_owned(),
            at: Timestamp::from_seconds(1_795_615_852),
        }),
        set: Some(FlagSetting {
            verb: "set".to_owned(),
            variant: Some("on".to_owned()),
            by: "ana".to_owned(),
            why: "for all".to_owned(),
            until: None,
        }),
        definition: None,
    }
}
