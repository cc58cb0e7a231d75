//! A made-up process, and a client that sends what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use plimsoll_console::{ConsoleOptions, Control, ReloadFuture, Token, serve_console, serve_ops};
use plimsoll_core::{Instant, Timestamp};
use plimsoll_measure::{
    Format, Inputs, Layout, Measure, ProcessView, Registry, Snapshot, render_metrics,
};

pub(crate) const TOKEN: &str = "a-token-for-the-tests-only";

#[derive(Default)]
pub(crate) struct Process {
    pub(crate) not_ready: AtomicBool,
    pub(crate) invalid: AtomicBool,
    pub(crate) reloads: AtomicUsize,
}

impl Control for Process {
    fn snapshot(&self) -> Arc<Snapshot> {
        let registry = Arc::new(Registry::new(1, 10));
        let measure = Measure::new(registry, Layout::default(), Instant::ORIGIN);
        let inputs = Inputs {
            instance: "made-up".to_owned(),
            ..Inputs::default()
        };
        Arc::new(measure.snapshot(Timestamp::from_seconds(1_795_615_852), &inputs))
    }

    fn metrics(&self, format: Format) -> String {
        render_metrics(format, &[], &self.snapshot(), &ProcessView::default())
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

    fn reload(&self) -> ReloadFuture {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        let invalid = self.invalid.load(Ordering::Relaxed);
        Box::pin(async move {
            if invalid {
                Err("line 3: no such service".to_owned())
            } else {
                Ok("2 services".to_owned())
            }
        })
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
        let options = ConsoleOptions {
            token: Token::new(TOKEN),
            hosts: vec!["ops.example".to_owned()],
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
