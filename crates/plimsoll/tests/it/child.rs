//! A Plimsoll as a user runs it: a process with a folder of its own, and the service behind it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything may take on a busy machine.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(30);

/// The folder of one test: configuration, state.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn state(&self) -> String {
        self.path("state").display().to_string()
    }

    /// Writes the configuration, whole.
    pub(crate) fn write(&self, text: &str) -> String {
        let (aside, file) = (self.path("aside.toml"), self.path("plimsoll.toml"));
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        file.display().to_string()
    }

    /// A command of the program, on this folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).args(["--state", &self.state()]);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts `run` with the configuration that was written.
    pub(crate) fn run(&self, more: &[&str]) -> Plimsoll {
        let file = self.path("plimsoll.toml").display().to_string();
        let mut args = vec!["run", "--config", &file];
        args.extend(more);
        let mut command = self.command(&args);
        command.stdout(Stdio::null());
        Plimsoll::start(command)
    }
}

/// The program, without what the environment would tell it.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    for name in [
        "PLIMSOLL_AT",
        "PLIMSOLL_CONFIG",
        "PLIMSOLL_LOG",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A running process; killed when it goes out of scope.
pub(crate) struct Plimsoll {
    pub(crate) process: std::process::Child,
    said: Arc<Mutex<String>>,
}

impl Plimsoll {
    /// Starts it, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(command: Command) -> Self {
        let mut started = Self::spawn(command);
        wait_until("it serves", || {
            if let Some(status) = started.process.try_wait().unwrap() {
                panic!("it ended with {status}: {}", started.said());
            }
            let said = started.said();
            said.contains("metrics on ") && said.contains("serving")
        });
        started
    }

    /// Starts it.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = process.stderr.take().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..count]);
                heard.lock().unwrap().push_str(&text);
            }
        });
        Self { process, said }
    }

    /// What it said on standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(text, || self.said().contains(text));
    }

    #[track_caller]
    fn after(&self, words: &str) -> SocketAddr {
        let said = self.said();
        let line = said.lines().find_map(|line| line.strip_prefix(words));
        let line = line.unwrap_or_else(|| panic!("`{words}` is not in: {said}"));
        line.trim_end_matches("/metrics").parse().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.after("listening on ")
    }

    pub(crate) fn console(&self) -> SocketAddr {
        self.after("console on http://")
    }

    pub(crate) fn ops(&self) -> SocketAddr {
        self.after("metrics on http://")
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("it ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_runs(&mut self) {
        assert_eq!(self.process.try_wait().unwrap(), None, "{}", self.said());
    }
}

impl Drop for Plimsoll {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- it said:\n{}", self.said());
        }
    }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..TIME_MAX.as_millis() / STEP.as_millis() {
        if condition() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "real processes are waited for")]
        std::thread::sleep(STEP);
    }
    panic!("waited in vain until: {what}");
}

/// Asks by hand; the connection is closed after the answer.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, fields: &str) -> (u16, String) {
    ask_from(Ipv4Addr::LOCALHOST, address, method, path, fields, "")
}

/// Asks by hand from one of this machine's own addresses, 127.0.0.0/8; `fields` say how long `body` is.
pub(crate) fn ask_from(
    from: Ipv4Addr,
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &str,
    body: &str,
) -> (u16, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIME_MAX)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.get(9..12).and_then(|text| text.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (status, answer)
}

pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, "GET", path, "")
}

/// A port that nobody listens on now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A configuration with one service and one route; `more` is put at its end.
pub(crate) fn config(endpoints: &[SocketAddr], gateway: &str, more: &str) -> String {
    let endpoints: Vec<_> = endpoints
        .iter()
        .map(|it| format!("\"http://{it}\""))
        .collect();
    format!(
        "[gateway]\nlisten = [\"127.0.0.1:0\"]\nthreads = 2\n{gateway}\n[ops]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n\
         [service.app]\nendpoints = [{}]\n[[route]]\nname = \"all\"\nservice = \"app\"\n{more}",
        endpoints.join(", ")
    )
}

/// The values of a metric whose labels contain all of `labels`, added up.
pub(crate) fn metric(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))
        .filter(|line| matches!(line.as_bytes().get(name.len()), Some(b'{' | b' ')))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// A service: `/status/500` answers with that, `/delay/50` after as many milliseconds, `/stream` for ever,
/// anything else at once.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let requests = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&counter)));
                }
            });
        });
        Self { address, requests }
    }

    /// Requests whose heads have arrived.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: tokio::net::TcpStream, requests: Arc<AtomicU64>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = received.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        received.drain(..end);
        requests.fetch_add(1, Ordering::Relaxed);
        let path = head.split([' ', '?']).nth(1).unwrap_or_default();
        let mut status = 200;
        if let Some(asked) = path.strip_prefix("/status/") {
            status = asked.parse().unwrap();
        } else if let Some(delay) = path.strip_prefix("/delay/") {
            tokio::time::sleep(Duration::from_millis(delay.parse().unwrap())).await;
        } else if path == "/stream" {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b"5\r\nhello\r\n").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let seen = head
            .lines()
            .find_map(|line| line.strip_prefix("x-version: "))
            .unwrap_or("none");
        let answer =
            format!("HTTP/1.1 {status} Said\r\nContent-Length: 6\r\nX-Seen: {seen}\r\n\r\nhello\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}
