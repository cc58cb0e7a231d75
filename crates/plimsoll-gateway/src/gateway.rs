//! The threads of the data plane, and the handle that the control plane has on them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use plimsoll_config::Listener;
use plimsoll_policy::flag::FlagsInForce;
use plimsoll_upstream::Clock;
use rustls::ServerConfig;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::admission::{dispatch_when_woken, watch_lag};
use crate::cache::{self, CacheStats, Disk, Purge};
use crate::listener::BoundListener;
use crate::log::AccessLogSender;
use crate::plan::Plan;
use crate::protection::Protection;
use crate::server::accept;
use crate::thread::{Shared, Thread};
use crate::tls::{self, ServerTlsError};

/// The data plane can't be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A thread or its runtime.
    #[error("starting a data-plane thread")]
    Thread(#[source] io::Error),
    /// A certificate.
    #[error("setting up TLS for {address}")]
    Tls {
        /// The listener.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Box<ServerTlsError>,
    },
}

/// What a listener's accepted connections are treated with; changed by a reload.
#[derive(Debug)]
pub(crate) struct ListenerSettings {
    pub(crate) tls: Option<ArcSwap<ServerConfig>>,
    pub(crate) proxy_protocol: bool,
}

/// How an accept task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It goes on.
    No,
    /// The sockets are closed, once nobody waits in them.
    Close,
    /// Others accept from these sockets: a successor, or another task.
    Leave,
}

/// What a thread is told.
#[derive(Debug)]
enum Command {
    Listen {
        socket: std::net::TcpListener,
        settings: Arc<ListenerSettings>,
        stop: watch::Receiver<Stop>,
    },
    Drain {
        within: Duration,
    },
}

/// A listener that is open.
#[derive(Debug)]
struct Open {
    listener: Listener,
    address: SocketAddr,
    settings: Arc<ListenerSettings>,
    file_times: Vec<Option<SystemTime>>,
    stop: watch::Sender<Stop>,
    /// Copies, to hand to a successor.
    sockets: Vec<std::net::TcpListener>,
}

/// Figures of the data plane as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayStats {
    /// Client connections that are open.
    pub connections: usize,
    /// Client connections that were turned away at a limit.
    pub connections_refused: u64,
    /// Requests sent to a service none of whose endpoints was up.
    pub sent_to_all: u64,
    /// What is stored of answers.
    pub cache: CacheStats,
}

/// The running data plane.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    threads: Vec<(UnboundedSender<Command>, JoinHandle<()>)>,
    listeners: BTreeMap<SocketAddr, Open>,
}

impl Gateway {
    /// Starts `threads` threads that serve `plan`; they listen once [`Gateway::apply`] gives them sockets. Answers that are
    /// stored on disk, if the plan asks for that, are in `cache_folder`.
    pub fn start(
        plan: Arc<Plan>,
        threads: usize,
        clock: Clock,
        log: &AccessLogSender,
        seed: u64,
        cache_folder: &Path,
    ) -> Result<Self, GatewayError> {
        let bytes_max = plan.config.gateway.cache.disk_max;
        let disk = bytes_max.and_then(|bytes_max| {
            let disk = Disk::open(cache_folder, bytes_max, clock.timestamp());
            let folder = cache_folder.display();
            // Requests are served all the same.
            disk.inspect_err(
                |error| tracing::warn!(%error, %folder, "answers can't be stored on disk"),
            )
            .ok()
        });
        let shared = Arc::new(Shared::new(plan, threads, disk));
        let mut handles = Vec::with_capacity(threads);
        for index in 0..threads {
            let (sender, receiver) = unbounded_channel();
            let (shared, log) = (Arc::clone(&shared), log.clone());
            let seed = seed.wrapping_add(index as u64 * 0x9e37_79b9_7f4a_7c15);
            let handle = std::thread::Builder::new()
                .name(format!("gateway-{index}"))
                .spawn(move || run_thread(index, clock, shared, log, seed, receiver))
                .map_err(GatewayError::Thread)?;
            handles.push((sender, handle));
        }
        Ok(Self {
            shared,
            threads: handles,
            listeners: BTreeMap::new(),
        })
    }

    /// The flags that routes and features go by. What is stored there is in force with the next request.
    pub fn flags(&self) -> Arc<ArcSwap<FlagsInForce>> {
        Arc::clone(&self.shared.flags)
    }

    /// Addresses that are listened on, as configured and as bound.
    pub fn addresses(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.listeners
            .iter()
            .map(|(configured, open)| (*configured, open.address))
    }

    /// The sockets of all listeners, for a successor: one entry for each address as configured.
    pub fn sockets(&self) -> impl Iterator<Item = (SocketAddr, &[std::net::TcpListener])> {
        self.listeners
            .iter()
            .map(|(configured, open)| (*configured, open.sockets.as_slice()))
    }

    /// Puts a plan in force. `bound` has sockets for the listeners of the plan that are not open yet; those
    /// that stay are kept, and those that the plan no longer has are closed once nobody waits in them.
    ///
    /// On an error nothing has changed.
    pub fn apply(
        &mut self,
        plan: Arc<Plan>,
        bound: Vec<BoundListener>,
    ) -> Result<(), GatewayError> {
        let wanted = plan.config.gateway.listen.clone();
        let mut tls_configs = BTreeMap::new();
        for listener in wanted.iter().filter(|listener| !listener.tls.is_empty()) {
            let config = tls::server_config(&listener.tls).map_err(|source| GatewayError::Tls {
                address: listener.address,
                source: Box::new(source),
            })?;
            tls_configs.insert(listener.address, config);
        }
        self.shared.plan.store(plan);
        let mut bound: BTreeMap<_, _> = bound.into_iter().map(|it| (it.configured, it)).collect();
        for listener in wanted.clone() {
            let tls = tls_configs.remove(&listener.address);
            let unchanged = self.listeners.get(&listener.address).is_some_and(|open| {
                open.listener.proxy_protocol == listener.proxy_protocol
                    && open.settings.tls.is_some() == tls.is_some()
            });
            if unchanged && let Some(open) = self.listeners.get_mut(&listener.address) {
                if let (Some(current), Some(new)) = (&open.settings.tls, tls) {
                    current.store(new);
                }
                open.file_times = tls::file_times(&listener.tls);
                open.listener = listener;
                continue;
            }
            let settings = Arc::new(ListenerSettings {
                tls: tls.map(ArcSwap::new),
                proxy_protocol: listener.proxy_protocol,
            });
            let (address, sockets) = match (
                bound.remove(&listener.address),
                self.listeners.remove(&listener.address),
            ) {
                (Some(bound), _) => (bound.address, bound.sockets),
                // The same address, spoken to differently: the sockets stay, those who serve them change.
                (None, Some(open)) => {
                    let _none_left = open.stop.send(Stop::Leave);
                    (open.address, open.sockets)
                }
                (None, None) => continue,
            };
            let (stop, stopped) = watch::channel(Stop::No);
            let mut kept = Vec::with_capacity(sockets.len());
            // A predecessor may have had more threads: each of its queues is served.
            for (socket, (thread, _)) in sockets.into_iter().zip(self.threads.iter().cycle()) {
                let Ok(copy) = socket.try_clone() else {
                    continue;
                };
                kept.push(socket);
                let command = Command::Listen {
                    socket: copy,
                    settings: Arc::clone(&settings),
                    stop: stopped.clone(),
                };
                // A thread that is gone serves nothing: `stopped` tells.
                let _gone = thread.send(command);
            }
            let file_times = tls::file_times(&listener.tls);
            self.listeners.insert(
                listener.address,
                Open {
                    listener,
                    address,
                    settings,
                    file_times,
                    stop,
                    sockets: kept,
                },
            );
        }
        self.listeners.retain(|address, open| {
            let stays = wanted.iter().any(|listener| listener.address == *address);
            if !stays {
                let _none_left = open.stop.send(Stop::Close);
            }
            stays
        });
        Ok(())
    }

    /// Reads certificates again whose files have changed. What can't be read leaves the old one in force.
    pub fn refresh_certificates(&mut self) -> Vec<Result<SocketAddr, GatewayError>> {
        let mut results = Vec::new();
        for (address, open) in &mut self.listeners {
            let Some(current) = &open.settings.tls else {
                continue;
            };
            let times = tls::file_times(&open.listener.tls);
            if times == open.file_times {
                continue;
            }
            open.file_times = times;
            results.push(match tls::server_config(&open.listener.tls) {
                Ok(config) => {
                    current.store(config);
                    Ok(*address)
                }
                Err(source) => Err(GatewayError::Tls {
                    address: *address,
                    source: Box::new(source),
                }),
            });
        }
        results
    }

    /// Stops listening, lets what has begun finish within `within`, then cuts what is left. Returns when the
    /// threads are through; `poll` waits with [`Gateway::is_drained`].
    pub fn drain(&mut self, within: Duration, succeeded: bool) {
        let stop = if succeeded { Stop::Leave } else { Stop::Close };
        if succeeded {
            self.shared.cache.leave_disk();
        }
        for open in self.listeners.values() {
            let _none_left = open.stop.send(stop);
        }
        self.listeners.clear();
        for (thread, _) in &self.threads {
            let _gone = thread.send(Command::Drain { within });
        }
    }

    /// Ends a [`Gateway::drain`] now: what has not finished is cut.
    pub fn cut(&mut self) {
        self.drain(Duration::ZERO, true);
    }

    /// Whether all threads have ended.
    pub fn is_drained(&self) -> bool {
        self.threads.iter().all(|(_, handle)| handle.is_finished())
    }

    /// How many threads have died (a bug): the data plane is smaller than it should be.
    pub fn stopped(&self) -> usize {
        self.threads
            .iter()
            .filter(|(_, handle)| handle.is_finished())
            .count()
    }

    /// The control half of the guards of all services; [`Protection::apply`] gives it a plan.
    pub fn protection(&self) -> Protection {
        Protection::new(Arc::clone(&self.shared))
    }

    /// Takes out of a service's cache what is wrong; says how many answers that were. It looks at all that is stored: not
    /// for where requests are served.
    pub fn purge(&self, service: &str, what: &Purge) -> u64 {
        cache::purge(&self.shared, &self.shared.plan.load(), service, what)
    }

    /// Figures as of now.
    pub fn stats(&self) -> GatewayStats {
        GatewayStats {
            connections: self.shared.connections.load(Ordering::Relaxed),
            connections_refused: self.shared.connections_refused.load(Ordering::Relaxed),
            sent_to_all: self.shared.panics.load(Ordering::Relaxed),
            cache: self.shared.cache.stats(),
        }
    }
}

fn run_thread(
    index: usize,
    clock: Clock,
    shared: Arc<Shared>,
    log: AccessLogSender,
    seed: u64,
    commands: UnboundedReceiver<Command>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, index, "a data-plane thread can't start");
            return;
        }
    };
    let thread = Rc::new(Thread::new(index, clock, shared, log, seed));
    runtime.block_on(serve_commands(Rc::clone(&thread), commands));
    // What is left when the runtime goes is cut, and says so in its outcome.
    thread.cut.set(true);
    // A disk that hangs does not keep it.
    runtime.shutdown_background();
    thread.log.flush();
}

async fn serve_commands(thread: Rc<Thread>, mut commands: UnboundedReceiver<Command>) {
    let log = Rc::clone(&thread);
    tokio::task::spawn_local(async move { log.log.run().await });
    tokio::task::spawn_local(dispatch_when_woken(Rc::clone(&thread)));
    tokio::task::spawn_local(watch_lag(Rc::clone(&thread)));
    let mut sweep = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Listen { socket, settings, stop }) => {
                    tokio::task::spawn_local(accept(Rc::clone(&thread), socket, settings, stop));
                }
                Some(Command::Drain { within }) => return drain(&thread, within, &mut commands).await,
                None => return,
            },
            _ = sweep.tick() => thread.pools.sweep(),
        }
    }
}

async fn drain(thread: &Thread, within: Duration, commands: &mut UnboundedReceiver<Command>) {
    thread.begin_drain();
    let all_closed = async {
        // The accept tasks have to empty their queues first.
        while thread.connections.get() > 0 || thread.listeners.get() > 0 {
            thread.connection_closed.notified().await;
        }
    };
    let told_again = async {
        while let Some(command) = commands.recv().await {
            if matches!(command, Command::Drain { within } if within.is_zero()) {
                return;
            }
        }
    };
    tokio::select! {
        () = all_closed => return,
        () = tokio::time::sleep(within) => (),
        () = told_again => (),
    }
    tracing::warn!(
        thread = thread.index,
        connections = thread.connections.get(),
        "connections were still open at the end of `drain`: they are cut"
    );
}
