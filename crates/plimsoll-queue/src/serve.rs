//! Queues over HTTP: the plain API, and the SQS protocol, on one listener.

mod api;
mod connection;
mod sqs;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::engine::Engine;

/// How often time passes for queues, and segments are prepared.
const CARE_EVERY: Duration = Duration::from_millis(20);

/// Where and for whom queues are served.
#[derive(Debug)]
pub struct ServeOptions {
    /// Where.
    pub listener: TcpListener,
    /// One of which whoever uses the plain API must have; empty: none.
    pub tokens: Vec<String>,
    /// By access key: the secret that requests by SQS are signed with; empty: they need not be.
    pub keys: BTreeMap<String, String>,
    /// What URLs of queues begin with.
    pub url: String,
    /// What ARNs say.
    pub region: String,
    /// Whether clients may make and change queues.
    pub creates: bool,
}

/// Runs an engine until it is dropped: writes its log, passes its time, and answers for it.
#[derive(Debug)]
pub struct QueueService {
    engine: Arc<Engine>,
    stop_care: Option<mpsc::Sender<()>>,
    stop_serving: Option<oneshot::Sender<()>>,
    care: Option<JoinHandle<()>>,
    log: Option<JoinHandle<()>>,
    serving: Option<JoinHandle<()>>,
}

impl QueueService {
    /// Begins it. `options`: where it is served; `None`: nowhere.
    ///
    /// # Errors
    /// There can't be other threads, or the listener can't be used.
    pub fn start(engine: Arc<Engine>, options: Option<ServeOptions>) -> io::Result<Self> {
        let mut service = Self {
            engine: Arc::clone(&engine),
            stop_care: None,
            stop_serving: None,
            care: None,
            log: None,
            serving: None,
        };
        let of_log = Arc::clone(&engine);
        service.log = Some(named("queue-log", move || of_log.run())?);
        let (stop, stopped) = mpsc::channel();
        service.stop_care = Some(stop);
        let of_care = Arc::clone(&engine);
        service.care = Some(named("queue-care", move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(CARE_EVERY) {
                let _next = of_care.tick();
                of_care.prepare();
            }
        })?);
        if let Some(options) = options {
            service.serve(engine, options)?;
        }
        Ok(service)
    }

    fn serve(&mut self, engine: Arc<Engine>, options: ServeOptions) -> io::Result<()> {
        options.listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        self.stop_serving = Some(stop);
        self.serving = Some(named("queue", move || {
            runtime.block_on(async {
                let serving = tokio::spawn(connection::serve(engine, options));
                // Whether it is told or nobody is left to tell it: it ends.
                let _told = stopped.await;
                serving.abort();
            });
        })?);
        Ok(())
    }

    /// The queues.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

impl Drop for QueueService {
    fn drop(&mut self) {
        drop(self.stop_serving.take());
        drop(self.stop_care.take());
        self.engine.close();
        let threads = [self.serving.take(), self.care.take(), self.log.take()];
        for thread in threads.into_iter().flatten() {
            // A thread that panicked was reported where it did.
            let _ended = thread.join();
        }
    }
}
