//! A gateway with two threads, services that answer as they are told, and clients.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_config::{Config, LogTarget};
use plimsoll_gateway::{AccessLogWriter, Gateway, Plan, RolloutShared, bind};
use plimsoll_measure::{Cause, Registry, SeriesKey};
use plimsoll_policy::{DownCause, EndpointParameters, Salt, Verdict};
use plimsoll_upstream::{Balance, Clock, ClusterConfig, Clusters, EndpointConfig};

const THREADS: usize = 2;

/// A service that answers each request with its name.
pub(crate) struct Service {
    pub(crate) port: u16,
    told: Arc<Told>,
}

#[derive(Debug)]
struct Told {
    name: &'static str,
    status: AtomicU16,
    delay_millis: AtomicU64,
    hangs: AtomicBool,
    fields: &'static str,
    /// Requests, each with its body.
    seen: Mutex<Vec<String>>,
}

impl Service {
    pub(crate) fn start(name: &'static str) -> Self {
        Self::with_fields(name, "")
    }

    /// Its answers have these lines in their heads.
    pub(crate) fn with_fields(name: &'static str, fields: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Told {
            name,
            status: AtomicU16::new(200),
            delay_millis: AtomicU64::new(0),
            hangs: AtomicBool::new(false),
            fields,
            seen: Mutex::default(),
        });
        let telling = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&telling);
                std::thread::spawn(move || serve(stream, &told));
            }
        });
        Self { port, told }
    }

    pub(crate) fn answer_with(&self, status: u16) {
        self.told.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn answer_after(&self, delay: Duration) {
        let millis = delay.as_millis() as u64;
        self.told.delay_millis.store(millis, Ordering::SeqCst);
    }

    /// It takes requests and answers none.
    pub(crate) fn hang(&self) {
        self.told.hangs.store(true, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> usize {
        self.told.seen.lock().unwrap().len()
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.told.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, told: &Told) {
    let mut buffer = Vec::new();
    while let Some(request) = read_message(&mut stream, &mut buffer) {
        told.seen.lock().unwrap().push(request);
        if told.hangs.load(Ordering::SeqCst) {
            // Until the other side gives up.
            let _closed = stream.read(&mut [0; 64]);
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "a service takes its time")]
        std::thread::sleep(Duration::from_millis(
            told.delay_millis.load(Ordering::SeqCst),
        ));
        let (name, fields) = (told.name, told.fields);
        let status = told.status.load(Ordering::SeqCst);
        let answer = format!(
            "HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n{name}",
            name.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A head with a body of its length; `None` at the end.
fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some(head) = text.find("\r\n\r\n").map(|end| end + 4) {
            let lower = text[..head].to_lowercase();
            let length = lower.split("content-length:").nth(1).map_or(0, |rest| {
                let value = rest.split("\r\n").next().unwrap_or_default();
                value.trim().parse::<usize>().unwrap_or(0)
            });
            if buffer.len() >= head + length {
                buffer.drain(..head + length);
                return Some(text[..head + length].to_owned());
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(count) => buffer.extend_from_slice(&more[..count]),
        }
    }
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Which service said it.
    pub(crate) body: String,
}

/// A gateway before a service `app` with the version `v2`, which the rollout `next` is of.
pub(crate) struct Running {
    gateway: Gateway,
    address: SocketAddr,
    registry: Registry,
    plan: Arc<Plan>,
}

impl Running {
    /// `app`: lines of the service; `route`: of its route; `rollout`: of the rollout.
    pub(crate) fn start(
        stable: &[&Service],
        canary: &[&Service],
        [app, route, rollout]: [&str; 3],
    ) -> Self {
        let urls = |services: &[&Service]| {
            let urls = services
                .iter()
                .map(|it| format!("\"http://127.0.0.1:{}\"", it.port));
            urls.collect::<Vec<_>>().join(", ")
        };
        let text = format!(
            "[gateway]\nlisten = [\"127.0.0.1:0\"]\n[service.app]\nendpoints = [{}]\n{app}\n\
             [service.app.version.v2]\nendpoints = [{}]\n[rollout.next]\nservice = \"app\"\nversion = \"v2\"\n{rollout}\n\
             [[route]]\nname = \"all\"\nservice = \"app\"\n{route}\n",
            urls(stable),
            urls(canary),
        );
        let (config, _) = plimsoll_config::parse(&text, "test.toml").unwrap();
        let endpoints = |services: &[&Service]| {
            let endpoints = services.iter();
            let endpoints = endpoints.map(|it| EndpointConfig::new("127.0.0.1", it.port));
            endpoints.collect::<Vec<_>>()
        };
        let clusters = Clusters::new()
            .update(vec![ClusterConfig {
                name: "app".to_owned(),
                endpoints: endpoints(stable),
                versions: vec![("v2".to_owned(), endpoints(canary))],
                balance: Balance::RoundRobin,
                parameters: EndpointParameters::default(),
                health: None,
            }])
            .unwrap();
        Self::serve(config, &clusters)
    }

    fn serve(config: Config, clusters: &Clusters) -> Self {
        let registry = Registry::new(THREADS, 100);
        let plan = Arc::new(Plan::new(
            Arc::new(config),
            clusters,
            &registry,
            &mut BTreeMap::new(),
            Salt::new(1, 2),
        ));
        let log = AccessLogWriter::start(&LogTarget::Off).unwrap();
        let mut gateway = Gateway::start(
            Arc::clone(&plan),
            THREADS,
            Clock::new(),
            &log.sender(),
            1,
            Path::new(""),
        )
        .unwrap();
        let bound = bind("127.0.0.1:0".parse().unwrap(), THREADS).unwrap();
        let address = bound.address;
        gateway.apply(Arc::clone(&plan), vec![bound]).unwrap();
        Self {
            gateway,
            address,
            registry,
            plan,
        }
    }

    pub(crate) fn rollout(&self) -> &RolloutShared {
        let (_, rollout) = self.plan.rollout("next").unwrap();
        &rollout.shared
    }

    /// All endpoints of the version are down, or up again.
    pub(crate) fn set_canary_up(&self, up: bool) {
        let (service, rollout) = self.plan.rollout("next").unwrap();
        let group = &service.cluster.groups[rollout.group];
        for endpoint in service.cluster.of(group) {
            endpoint.shared.publish(match up {
                true => Verdict::Up { slow_start: None },
                false => Verdict::Down(DownCause::Connect),
            });
        }
        assert_eq!(service.canary_is_up(), up);
    }

    /// Asks over a connection of its own.
    pub(crate) fn get(&self, fields: &str) -> Answer {
        self.ask("GET", fields, "")
    }

    pub(crate) fn ask(&self, method: &str, fields: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let request = format!(
            "{method} /a HTTP/1.1\r\nHost: app\r\nConnection: close\r\n{length}{fields}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: body.to_owned(),
        }
    }

    /// How many requests ended so at the service.
    pub(crate) fn ended(&self, cause: Cause) -> u64 {
        let readings = self.registry.read();
        let service = SeriesKey::Service("app".to_owned());
        let reading = readings.iter().find(|it| it.key == service).unwrap();
        reading.totals.causes().count(cause)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gateway.drain(Duration::from_secs(5), false);
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..4_000 {
        if is_so() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "real services are waited for")]
        std::thread::sleep(STEP);
    }
    panic!("it never came to this: {what}");
}
