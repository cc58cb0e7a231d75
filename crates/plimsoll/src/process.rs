//! The running process: the control thread's loop.

mod applying;
mod approvals;
mod changes;
mod flags;
mod freezing;
mod incidents;
mod managed;
mod mirror;
mod notices;
mod overlay;
mod purging;
mod queues;
mod reloading;
mod rolling;
mod saying;
mod server;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use plimsoll_console::notify::{Notifiers, Report};
use plimsoll_core::{Instant, Mode, Timestamp};
use plimsoll_gateway::{
    AccessLogWriter, Gateway, GuardView, PROTECTION_TICK, Plan, Protection, ServiceShared,
    objective_specs,
};
use plimsoll_governor::{Change, Look, PartKind, Place, Scope};
use plimsoll_lifecycle::held_for;
use plimsoll_measure::{
    ConfigView, EventView, Incident, Inputs, Measure, NotifierView, Registry, Snapshot, Standing,
    Turns, TurnsWatch,
};
use plimsoll_upstream::{Clock, Clusters, Health, HealthEvent, Resolver};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::access::TokenRegister;
use crate::approvals::Approvals;
use crate::asked::{Asked, Settled};
use crate::budgets::Budgets;
use crate::cli::Run;
use crate::configuration::{Loaded, Source};
use crate::exit::{Exit, say, with_causes};
use crate::flags::{Flags, News};
use crate::freezes::Freezes;
use crate::governing::{self, Contributions, Governing};
use crate::incidents::Register;
use crate::journal::read::JournalReader;
use crate::journal::{self, Addresses, Journal};
use crate::launch::LaunchError;
use crate::notifying::Notifying;
use crate::overlay::Overlay;
use crate::past::Pasts;
use crate::queues::Queues;
use crate::rollouts::Rollouts;
use crate::state::{APPROVALS, FREEZES, LastGood, StateFolder};
use crate::systemd;
use crate::upgrade::{self, Package, Predecessor};
use crate::view::{Since, View, cache_store, service_inputs};
use crate::water::{self, Kept};
use crate::wiring;
use crate::without::Estimates;
use applying::Changing;
use approvals::{ApprovalState, Asking, SIGHUP};
use changes::Later;
use freezing::FreezeState;
pub(crate) use incidents::not_read;
use overlay::{OverlayState, features};
use server::Server;

/// How often certificate files are looked at, and the addresses behind names.
const CHANGES_EVERY: u64 = 5;
/// How often what was learnt is kept: the limits that were found, what the governor remembers.
const LEARNT_EVERY: u64 = 60;
/// How often it is read how budgets were spent over their periods, in ticks.
const WATER_EVERY: u64 = 60;
/// For how long tenants' requests are counted, in ticks.
const HALF_MINUTE: u64 = 30;
/// How often it is kept what came to endpoints, routes and tenants, in ticks.
const MINUTE: u64 = 60;
/// What is asked for and may wait for its turn.
const ASKS_MAX: usize = 16;
/// What the store has done and the loop not gone on with: more than connections to the console.
const SETTLED_MAX: usize = 256;
/// How long the last lines of the access log may take to be written.
const LAST_LINES_TIME_MAX: Duration = Duration::from_secs(2);
/// Health transitions that may wait.
const HEALTH_EVENTS_MAX: usize = 1024;

/// Attempts at telling somebody that may wait to be journaled.
const NOTICES_MAX: usize = 256;
/// How long what is to be told may take to go out at the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(3);

/// What a process is made of.
pub(crate) struct Parts {
    pub(crate) run: Run,
    pub(crate) source: Source,
    pub(crate) loaded: Loaded,
    pub(crate) state: StateFolder,
    pub(crate) lock: File,
    pub(crate) token: String,
    pub(crate) clock: Clock,
    pub(crate) threads: usize,
    pub(crate) registry: Arc<Registry>,
    pub(crate) shared: BTreeMap<String, Arc<ServiceShared>>,
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) resolver: Resolver,
    pub(crate) plan: Arc<Plan>,
    pub(crate) gateway: Gateway,
    pub(crate) access_log: AccessLogWriter,
    pub(crate) ops: TcpListener,
    pub(crate) console: TcpListener,
    pub(crate) flags: (Flags, Option<News>),
    pub(crate) queues: Queues,
    pub(crate) rollouts: Rollouts,
    pub(crate) seed: u64,
}

/// The running process.
pub(crate) struct Process {
    run: Run,
    source: Source,
    loaded: Loaded,
    loaded_at: Timestamp,
    state: StateFolder,
    lock: File,
    clock: Clock,
    started: Instant,
    threads: usize,
    registry: Arc<Registry>,
    shared: BTreeMap<String, Arc<ServiceShared>>,
    clusters: watch::Sender<Arc<Clusters>>,
    plan: Arc<Plan>,
    gateway: Gateway,
    /// Only this thread takes it, and never across a wait.
    protection: Arc<Mutex<Protection>>,
    access_log: AccessLogWriter,
    measure: Measure,
    budgets: Budgets,
    governing: Governing,
    notifying: Notifying,
    notices: mpsc::Receiver<Report>,
    view: Arc<View>,
    events: VecDeque<EventView>,
    since: Since,
    journal: Journal,
    addresses: Addresses,
    ops: Server,
    console: Server,
    asks: mpsc::Receiver<Asked>,
    later: Later,
    settled: mpsc::Receiver<Settled>,
    /// Whose tokens were revoked while the store could not be told.
    revoked: BTreeSet<String>,
    overlay: OverlayState,
    changing: Changing,
    flags: Flags,
    queues: Queues,
    approvals: ApprovalState,
    freezing: FreezeState,
    incidents: Register,
    rollouts: Rollouts,
    /// Incidents that nobody watched when it was last looked.
    unwatched: BTreeSet<u64>,
    health: mpsc::Receiver<HealthEvent>,
    /// `None`: the state folder can't hold its socket, and no successor can take over.
    upgrades: Option<UnixListener>,
    ticks: u64,
    /// A successor has been given everything, and has not said yet that it serves.
    handing_over: bool,
    /// How far ahead of the system's clock that of budgets is.
    ahead: Duration,
    /// How the endpoints of each service do.
    turns: BTreeMap<String, TurnsWatch>,
}

/// What the loop woke up for.
enum Wake {
    Tick,
    Health(HealthEvent),
    Hangup,
    Stop,
    Asked(Asked),
    Settled(Settled),
    Notice(Report),
    Successor(UnixStream),
    HandedOver(std::io::Result<()>),
}

impl Process {
    /// Starts everything that runs beside the data plane. Inside the control thread's runtime.
    pub(crate) fn begin(parts: Parts) -> Result<Self, LaunchError> {
        let (ask_sender, asks) = mpsc::channel(ASKS_MAX);
        let (later, settled) = mpsc::channel(SETTLED_MAX);
        let (health_sender, health) = mpsc::channel(HEALTH_EVENTS_MAX);
        let now = parts.clock.now();
        let timestamp = parts.clock.timestamp();
        let mut measure = Measure::new(
            Arc::clone(&parts.registry),
            wiring::layout(&parts.loaded.config),
            now,
        );
        measure.plan_maintenance(parts.loaded.config.maintenances.clone());
        measure.follow_calendar(now, timestamp);
        measure.tick(now);
        let journal = Journal::start(&parts.state, parts.clock).map_err(LaunchError::Runtime)?;
        let (budgets, told) =
            Budgets::begin(&parts.state, parts.run.upgrade, &mut measure, &journal);
        let governing = Governing::new(&parts.loaded.config);
        let (reports, notices) = mpsc::channel(NOTICES_MAX);
        let notifiers = Notifiers::new(parts.clock, parts.seed, reports);
        let turns = plimsoll_console::Turns::default();
        let view = Arc::new(View {
            registry: Arc::clone(&parts.registry),
            snapshot: ArcSwap::from_pointee(measure.snapshot(timestamp, &Inputs::default())),
            courses: Arc::default(),
            water: ArcSwap::default(),
            pasts: Pasts::new(parts.state.store()),
            incidents: ArcSwapOption::empty(),
            rollouts: ArcSwap::default(),
            runbooks: ArcSwap::from_pointee(wiring::runbooks(&parts.loaded.config)),
            configuration: ArcSwap::from_pointee(shown_text(&parts.loaded)),
            in_force: ArcSwap::default(),
            configurations: ArcSwap::default(),
            state: parts.state.clone(),
            approvals: ArcSwap::default(),
            access_log: parts.access_log.sender(),
            started: timestamp,
            not_ready: Mutex::new(Some("starting".to_owned())),
            clock: parts.clock,
            tokens: ArcSwap::from_pointee(TokenRegister::new(&parts.token)),
            journal: JournalReader::new(parts.state.store(), parts.clock, turns.clone()),
            turns,
            asks: ask_sender,
            estimates: Estimates::new(),
            flags: Arc::clone(&parts.flags.0.shared),
        });
        let mut protection = parts.gateway.protection();
        protection.apply(&parts.plan, &parts.state.limits(), now);
        let protection = Arc::new(Mutex::new(protection));
        tokio::spawn(protect(parts.clock, Arc::clone(&protection)));
        let (clusters, receiver) = watch::channel(parts.clusters);
        tokio::spawn(Health::new(parts.clock, parts.seed, health_sender).run(receiver.clone()));
        tokio::spawn(parts.resolver.run(receiver));
        let config = &parts.loaded.config;
        let ops = Server::ops(config.ops_listen, parts.ops, &view).map_err(LaunchError::Runtime)?;
        let console = Server::console(config.console_listen, parts.console, &view)
            .map_err(LaunchError::Runtime)?;
        let url = format!("http://{}/", console.address());
        let mut notifying = Notifying::new(notifiers, instance_name(), url);
        notifying.begin(config);
        // A full disk is no reason not to serve.
        let upgrades = listen_for_successors(&parts.state);
        keep_running(&parts.state, console.address());
        let before = parts.state.last_good().map(|last_good| last_good.text);
        let overlay = parts.state.overlay().map(|read| {
            let bytes = read.map_err(|error| error.to_string())?;
            Overlay::from_file(&bytes, now, timestamp)
        });
        let changing = Changing::read(&parts.state);
        let (flags, news) = parts.flags;
        let kept = |name: &str| {
            let read = parts.state.kept(name);
            read.map(|read| read.map_err(|error| error.to_string()))
        };
        let approvals = kept(APPROVALS)
            .map(|read| read.and_then(|bytes| Approvals::from_file(&bytes, timestamp)));
        let freezes = kept(FREEZES).map(|read| read.and_then(|bytes| Freezes::from_file(&bytes)));
        let mut process = Self {
            run: parts.run,
            source: parts.source,
            loaded: parts.loaded,
            loaded_at: timestamp,
            state: parts.state,
            lock: parts.lock,
            clock: parts.clock,
            started: now,
            threads: parts.threads,
            registry: parts.registry,
            shared: parts.shared,
            clusters,
            plan: parts.plan,
            gateway: parts.gateway,
            protection,
            access_log: parts.access_log,
            measure,
            budgets,
            governing,
            notifying,
            notices,
            view,
            events: VecDeque::new(),
            since: BTreeMap::new(),
            journal,
            addresses: Addresses::default(),
            ops,
            console,
            asks,
            later: Later(later),
            settled,
            revoked: BTreeSet::new(),
            overlay: OverlayState::read(overlay),
            changing,
            flags,
            queues: parts.queues,
            approvals: ApprovalState::read(approvals),
            freezing: FreezeState::read(freezes),
            incidents: Register::default(),
            rollouts: parts.rollouts,
            unwatched: BTreeSet::new(),
            health,
            upgrades,
            ticks: 0,
            ahead: Duration::ZERO,
            turns: BTreeMap::new(),
            handing_over: false,
        };
        process.keep_last_good();
        let version = env!("CARGO_PKG_VERSION");
        process.journal_process(
            "start",
            &format!("Plimsoll {version} started"),
            &json!({ "version": version, "configuration": process.loaded.hash, "upgrade": process.run.upgrade }),
        );
        let body = journal::configuration(before.as_deref(), &process.loaded);
        process.journal.write("change", "configuration", &body);
        process.begin_changing();
        if let Some(news) = news {
            process.on_flags(news);
        }
        process.on_started(before.as_deref());
        process.read_tokens();
        process.on_told(&told);
        process.tick();
        Ok(process)
    }

    /// Serves until it is told to end.
    pub(crate) async fn run(mut self, predecessor: Option<Predecessor>) -> Exit {
        let signals = [
            SignalKind::hangup(),
            SignalKind::terminate(),
            SignalKind::interrupt(),
        ]
        .map(signal);
        let [Ok(mut hangup), Ok(mut terminate), Ok(mut interrupt)] = signals else {
            say("error: signals can't be received");
            return Exit::Failed;
        };
        self.announce();
        self.view.set_not_ready(None);
        systemd::notify(&format!("READY=1\nMAINPID={}", std::process::id()));
        if let Some(predecessor) = predecessor
            && let Err(error) = predecessor.release()
        {
            // It goes on: two that serve side by side would halve every count.
            eprintln!("error: the running process can't be told that this one serves: {error}");
            return Exit::Failed;
        }
        let second = Duration::from_secs(1);
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + second, second);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (handover_sender, mut handovers) = mpsc::channel(1);
        let mut succeeded = false;
        loop {
            let wake = tokio::select! {
                _ = ticks.tick() => Wake::Tick,
                Some(event) = self.health.recv() => Wake::Health(event),
                _ = hangup.recv() => Wake::Hangup,
                _ = terminate.recv() => Wake::Stop,
                _ = interrupt.recv() => Wake::Stop,
                Some(asked) = self.asks.recv() => Wake::Asked(asked),
                Some(settled) = self.settled.recv() => Wake::Settled(settled),
                Some(report) = self.notices.recv() => Wake::Notice(report),
                Ok((stream, _)) = accept(self.upgrades.as_ref()) => match stream.into_std() {
                    Ok(stream) => Wake::Successor(stream),
                    Err(_) => continue,
                },
                Some(result) = handovers.recv() => Wake::HandedOver(result),
            };
            match wake {
                Wake::Tick => {
                    self.tick();
                    self.follow_watch().await;
                }
                Wake::Health(event) => self.on_health(&event),
                Wake::Hangup => self.reload(&Asking::by(SIGHUP), None).await,
                Wake::Asked(asked) => self.on_asked(asked).await,
                Wake::Settled(settled) => settled(&mut self),
                Wake::Notice(report) => self.on_notice(&report),
                Wake::Stop => break,
                Wake::Successor(stream) => self.hand_over(stream, handover_sender.clone()),
                Wake::HandedOver(Ok(())) => {
                    tracing::info!("a successor serves: this process drains");
                    self.journal_process("hand-over", "a successor serves", &json!({}));
                    self.ops.task.abort();
                    self.console.task.abort();
                    self.flags.stop();
                    // A successor opens them as soon as they are let go.
                    self.queues.stop();
                    // It has what receivers know, and tells them the rest.
                    self.notifying.notifiers.stop();
                    succeeded = true;
                    break;
                }
                Wake::HandedOver(Err(error)) => {
                    tracing::warn!(%error, "the take-over failed: this process goes on");
                    self.remain();
                }
            }
        }
        self.end_asking();
        if !succeeded {
            systemd::notify("STOPPING=1");
        }
        self.view.set_not_ready(Some("draining"));
        let within = self.loaded.config.gateway.drain;
        let connections = self.gateway.stats().connections;
        self.journal_process(
            "drain",
            &format!("draining {connections} connections"),
            &json!({ "connections": connections, "within_seconds": within.as_secs_f64() }),
        );
        tracing::info!(?within, connections, "draining");
        self.gateway.drain(within, succeeded);
        let mut polls = tokio::time::interval(Duration::from_millis(10));
        while !self.gateway.is_drained() {
            tokio::select! {
                _ = polls.tick() => (),
                _ = ticks.tick() => self.tick(),
                Some(settled) = self.settled.recv() => settled(&mut self),
                Some(report) = self.notices.recv() => self.on_notice(&report),
                _ = terminate.recv() => self.cut(),
                _ = interrupt.recv() => self.cut(),
            }
        }
        if !succeeded {
            self.notifying.notifiers.flush(FLUSH_TIME_MAX).await;
        }
        while let Ok(report) = self.notices.try_recv() {
            self.on_notice(&report);
        }
        self.measure.tick(self.clock.now());
        self.keep_learnt();
        self.keep_rollouts();
        self.budgets.end(&self.measure, &self.journal);
        self.journal_process("stop", "ended", &json!({}));
        self.journal.sign();
        drop(self.gateway);
        self.access_log.close(LAST_LINES_TIME_MAX);
        // What waits is written, once more.
        drop(self.journal);
        tracing::info!("ended");
        Exit::Done
    }

    /// Told to end while it drains.
    fn cut(&mut self) {
        tracing::warn!("told to end again: cutting what is left");
        self.gateway.cut();
    }

    /// A successor may have been near enough to take our place in the state folder: takes it again.
    fn remain(&mut self) {
        self.handing_over = false;
        if let Some(listener) = listen_for_successors(&self.state) {
            self.upgrades = Some(listener);
        }
        keep_running(&self.state, self.console.address());
    }

    /// The lines a person sees first.
    fn announce(&self) {
        for (_, address) in self.gateway.addresses() {
            say(&format!("listening on {address}"));
        }
        say(&format!("console on http://{}", self.console.address()));
        if let Some(address) = self.flags.address() {
            say(&format!("flags on http://{address}"));
        }
        if let Some(address) = self.queues.address() {
            say(&format!("queues on http://{address}"));
        }
        say(&format!("metrics on http://{}/metrics", self.ops.address()));
        let services: Vec<&str> = self
            .loaded
            .config
            .services
            .keys()
            .map(String::as_str)
            .collect();
        let observing = self.loaded.config.gateway.mode == Mode::Observe;
        tracing::info!(
            services = services.join(","),
            threads = self.threads,
            observing,
            state = %self.state.path().display(),
            "serving"
        );
    }

    fn tick(&mut self) {
        self.ticks += 1;
        let (now, timestamp) = (self.clock.now(), self.clock.timestamp());
        self.ahead = self.measure.follow_calendar(now, timestamp);
        self.measure.tick(now);
        // At once: what was refused and what the shed level refused are compared, and must be of the same second.
        let guards = lock(&self.protection).views();
        let told = self.budgets.tick(&mut self.measure, &self.journal);
        self.on_told(&told);
        for change in self.measure.maintenance_changes() {
            self.on_maintenance(&change);
        }
        self.flags.dim(self.plan.dimmed_flags());
        if self.ticks.is_multiple_of(CHANGES_EVERY) {
            for result in self.gateway.refresh_certificates() {
                match result {
                    Ok(address) => {
                        let text = format!("certificates of {address} were read again");
                        let change = Change::made(timestamp, Scope::All, &text);
                        self.governing.on_change(Change {
                            noticed_within: CHANGES_EVERY,
                            ..change
                        });
                        let body = json!({ "text": text, "what": "certificates" });
                        let subject = format!("listener/{address}");
                        self.journal.write("change", &subject, &body);
                        self.note(None, text);
                    }
                    Err(error) => {
                        let why = with_causes(&error);
                        tracing::warn!(
                            error = why,
                            "certificates have changed and can't be used: the old ones stay"
                        );
                        let text = format!("certificates refused: {why}");
                        let body = json!({ "text": text, "what": "certificates", "why": why });
                        self.journal.write("refusal", "listener", &body);
                    }
                }
            }
            for (subject, body) in self.addresses.look(&self.plan) {
                let text = body.get("text").and_then(serde_json::Value::as_str);
                // `service/NAME/endpoint/ENDPOINT`
                let mut parts = subject.splitn(4, '/').skip(1);
                if let (Some(service), Some(endpoint)) = (parts.next(), parts.nth(1)) {
                    let what = format!("{endpoint}: {}", text.unwrap_or_default());
                    let change = Change::made(timestamp, Scope::service(service), &what);
                    self.governing.on_change(Change {
                        noticed_within: CHANGES_EVERY,
                        place: Some(Place {
                            kind: PartKind::Endpoint,
                            names: vec![endpoint.to_owned()],
                        }),
                        ..change
                    });
                }
                self.journal.write("change", &subject, &body);
            }
        }
        self.journal
            .tick(self.ticks, self.loaded.config.journal_keep);
        self.keep_up_with_store();
        self.tick_overlay();
        self.tick_rollouts();
        self.tick_flags();
        self.tick_queues();
        self.tick_approvals();
        self.tick_freezes();
        self.tick_incidents();
        if self.ticks.is_multiple_of(LEARNT_EVERY) {
            self.keep_learnt();
        }
        self.follow_courses(&guards);
        if self.ticks % WATER_EVERY == 1 {
            self.read_water();
        }
        let (decided, outcomes) = self.governing.tick(&self.measure, &guards, &self.shared);
        let snapshot = self.snapshot(&guards);
        let log = self.access_log.sender();
        if self.ticks.is_multiple_of(HALF_MINUTE) {
            log.on_half_minute();
        }
        let contributions = |name: &str| {
            let mut services = snapshot.services.iter();
            let service = services.find(|it| it.name == name)?;
            Some(Contributions::of(service, &log.tenants(name)))
        };
        for decided in &decided {
            let contributions = contributions(&decided.basis.service);
            self.on_decided(decided, contributions.as_ref());
        }
        for outcome in &outcomes {
            self.on_outcome(outcome);
        }
        self.tick_notifying();
        self.tell_onsets(timestamp, &snapshot);
        self.publish(snapshot);
    }

    /// Says when what somebody is called for began, and what may have caused it.
    fn tell_onsets(&mut self, now: Timestamp, snapshot: &Snapshot) {
        let log = self.access_log.sender();
        let (config, measure) = (&self.loaded.config, &self.measure);
        let known = |name: &str, objective: &str| {
            let service = snapshot.services.iter().find(|it| it.name == name)?;
            let mut specs = objective_specs(config.services.get(name)?).into_iter();
            Some((service, specs.find(|it| it.name == objective)?))
        };
        if self.ticks.is_multiple_of(MINUTE) {
            self.governing.on_minute(|name, objective| {
                let known = known(name, objective);
                known.map_or(Vec::new(), |(service, spec)| {
                    governing::parts(measure, service, &spec, &log.tenants(name))
                })
            });
        }
        let look = |name: &str, objective: &str| {
            let known = known(name, objective);
            known.map_or_else(Look::default, |(service, spec)| {
                let tenants = log.tenants(name);
                let split = Contributions::of(service, &tenants).split;
                governing::look(measure, service, &spec, &tenants, split)
            })
        };
        for (service, onset) in self.governing.onsets(now, look) {
            self.on_onset(&service, &onset);
        }
    }

    /// Has it read how budgets were spent, off this thread. Where that fails, what was read before stays.
    fn read_water(&self) {
        let kept = self.measure.kept_as();
        let kept = kept.map(|(service, spec, series)| Kept {
            service: service.to_owned(),
            spec: spec.clone(),
            series: series.to_owned(),
        });
        let kept: Vec<Kept> = kept.collect();
        let (path, now) = (self.state.store(), self.clock.timestamp());
        let view = Arc::clone(&self.view);
        view.pasts.measured.store(Arc::new(kept.clone()));
        tokio::task::spawn_blocking(move || match water::read(&path, &kept, now) {
            Ok(water) => view.water.store(Arc::new(water)),
            Err(error) => {
                tracing::debug!(error = %with_causes(&error), "the history of budgets can't be drawn");
            }
        });
    }

    /// What the last second brought goes into what is drawn over time.
    fn follow_courses(&mut self, guards: &BTreeMap<String, GuardView>) {
        self.follow_endpoints();
        let second = self.measure.second();
        let services = self.plan.services.iter();
        let acting: BTreeSet<&str> = services
            .filter(|it| it.guard.admission.mode == Mode::Enforce)
            .map(|it| it.name.as_str())
            .collect();
        let mut courses = lock(&self.view.courses);
        courses.retain(|name| self.loaded.config.services.contains_key(name));
        for (name, causes, latency) in self.measure.ended() {
            let guard = guards.get(name);
            let standing = Standing {
                limit: guard.and_then(|guard| guard.limit),
                in_flight: guard.map_or(0, |guard| guard.in_flight),
                queued: guard.map_or(0, |guard| guard.queued.iter().sum()),
                turns: self
                    .turns
                    .get(name)
                    .map_or(Turns::default(), TurnsWatch::turns),
                acts: acting.contains(name),
            };
            courses.on_second(name, second.at, second.observed, causes, latency, standing);
        }
    }

    /// What the last second brought at each endpoint.
    fn follow_endpoints(&mut self) {
        let (plan, turns) = (&self.plan, &mut self.turns);
        turns.retain(|name, _| plan.services.iter().any(|it| it.name == *name));
        for service in &plan.services {
            let watch = turns.entry(service.name.clone()).or_default();
            let endpoints = &service.cluster.endpoints;
            watch.retain(|name| endpoints.iter().any(|it| it.name == name));
            for endpoint in endpoints {
                let held = held_for(endpoint.shared.verdict().cause());
                let ended = self.measure.ended_at(&service.name, &endpoint.name);
                if let Some((causes, latency)) = ended {
                    watch.on_second(&endpoint.name, held, causes, latency);
                }
            }
        }
    }

    /// What there is to see, as of the last tick; without events, since those of this second are still to come.
    fn snapshot(&self, guards: &BTreeMap<String, GuardView>) -> Snapshot {
        let (now, timestamp) = (self.clock.now(), self.clock.timestamp());
        let stats = self.gateway.stats();
        let mut warnings = self.journal.warnings();
        warnings.extend(self.budgets.warnings(self.ahead));
        let notifiers = self.notifying.notifiers.views();
        warnings.extend(notifiers.iter().filter_map(NotifierView::warning));
        warnings.extend(self.notifying.warnings());
        warnings.extend(self.changing.warnings());
        warnings.extend(self.flags.warning());
        warnings.extend(self.queues.warning());
        warnings.extend(self.broken_glass());
        if stats.connections_refused > 0 {
            warnings.push(format!(
                "{} connections were turned away at a limit of [gateway.limits]",
                stats.connections_refused
            ));
        }
        let dead = self.gateway.stopped();
        if dead > 0 {
            warnings.push(format!(
                "{dead} of {} data-plane threads have died: restart the process",
                self.threads
            ));
        }
        let governed = |name: &str| self.governing.view(name, timestamp);
        let inputs = Inputs {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: instance_name(),
            uptime: now - self.started,
            mode: self.loaded.config.gateway.mode,
            config: ConfigView {
                path: self.loaded.path.clone(),
                hash: self.loaded.hash.clone(),
                loaded_at: self.loaded_at,
            },
            connections: stats.connections as u64,
            cache: cache_store(&self.plan, stats.cache),
            services: service_inputs(&self.plan, &self.since, guards, governed, now),
            events: Vec::new(),
            warnings,
            overlay: self
                .overlay
                .overlay
                .views(now, timestamp, |it| features(&self.loaded.config, it).len()),
            approvals: self.waiting_views(),
            freezes: self.freeze_views(),
            journal: Some(self.journal.view()),
            notifiers,
            incidents: self
                .incidents
                .incidents()
                .map_or_else(Vec::new, |it| it.open().map(Incident::view).collect()),
            queues: self.queues.view(),
        };
        self.measure.snapshot(timestamp, &inputs)
    }

    /// Something was changed between two ticks, and whoever looks next sees it. Nothing is counted or decided: a second
    /// is not over.
    fn show(&self) {
        let guards = lock(&self.protection).views();
        self.publish(self.snapshot(&guards));
    }

    fn publish(&self, mut snapshot: Snapshot) {
        snapshot.recent_events = self.events.iter().cloned().collect();
        self.view.approvals.store(Arc::new(self.approval_views()));
        self.view.snapshot.store(Arc::new(snapshot));
    }

    fn keep_last_good(&self) {
        let Some(file) = &self.loaded.path else {
            return;
        };
        let last_good = LastGood {
            version: 1,
            file: file.clone(),
            text: self.loaded.text.clone(),
            loaded_at: self.loaded_at.to_rfc3339(),
        };
        if let Err(error) = self.state.write_last_good(&last_good) {
            tracing::warn!(error = %with_causes(&error), "the configuration in force can't be kept in the state folder");
        }
    }

    fn keep_learnt(&self) {
        // A successor knows better.
        if self.handing_over {
            return;
        }
        self.budgets.keep_memory(&self.governing.memory());
        if let Err(error) = self.state.write_limits(&lock(&self.protection).memories()) {
            tracing::warn!(error = %with_causes(&error), "the limits that were found can't be kept in the state folder");
        }
    }

    /// Gives a successor what it asks for, on a thread of its own; the loop hears how it went.
    fn hand_over(&mut self, stream: UnixStream, done: mpsc::Sender<std::io::Result<()>>) {
        if self.handing_over {
            tracing::warn!("a second successor asks while the first one starts: it is turned away");
            return;
        }
        // The successor goes on from what is known now.
        self.keep_learnt();
        self.keep_rollouts();
        self.budgets.write(&self.journal);
        self.handing_over = true;
        let package = self.package();
        let spawned = std::thread::Builder::new()
            .name("hand-over".to_owned())
            .spawn(move || {
                let result = package.and_then(|package| upgrade::hand_over(stream, &package));
                let _process_is_gone = done.blocking_send(result);
            });
        if let Err(error) = spawned {
            self.handing_over = false;
            tracing::warn!(%error, "a successor can't be served");
        }
    }

    fn package(&self) -> std::io::Result<Package> {
        let mut listeners = BTreeMap::new();
        for (configured, sockets) in self.gateway.sockets() {
            let copies = sockets
                .iter()
                .map(TcpListener::try_clone)
                .collect::<std::io::Result<_>>()?;
            listeners.insert(configured, copies);
        }
        Ok(Package {
            lock: self.lock.try_clone()?,
            ops: (self.ops.configured, self.ops.listener.try_clone()?),
            console: (self.console.configured, self.console.listener.try_clone()?),
            listeners,
        })
    }
}

/// Where a successor may ask to take over.
fn listen_for_successors(state: &StateFolder) -> Option<UnixListener> {
    let listening = upgrade::listen(&state.upgrade_socket()).and_then(UnixListener::from_std);
    listening
        .inspect_err(|error| tracing::warn!(%error, "no successor can take over from this process"))
        .ok()
}

/// The next successor; never, where none can ask.
async fn accept(
    listener: Option<&UnixListener>,
) -> std::io::Result<(tokio::net::UnixStream, tokio::net::unix::SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Says in the state folder where this process can be asked.
fn keep_running(state: &StateFolder, console: SocketAddr) {
    if let Err(error) = state.write_running(console) {
        tracing::warn!(error = %with_causes(&error), "the command line won't find this process");
    }
}

/// Ticks the guards for as long as the control thread lives.
async fn protect(clock: Clock, protection: Arc<Mutex<Protection>>) {
    let mut ticks = tokio::time::interval(PROTECTION_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        lock(&protection).tick(clock.now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of a configuration for people to read: what may be secret is left out.
fn shown_text(loaded: &Loaded) -> String {
    plimsoll_config::without_secrets(&loaded.text).unwrap_or_else(|| {
        "# the file can't be shown: it can't be told what in it is secret".to_owned()
    })
}

fn instance_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "plimsoll".to_owned(), |name| name.trim().to_owned())
}
