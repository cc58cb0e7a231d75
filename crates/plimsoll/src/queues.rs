//! The queues of the process: the engine that keeps them, where it is served, and what the configuration says of each.
//!
//! They are opened on a thread of their own: much is to be read where much waits, and a predecessor may still have them. Until then
//! whoever asks waits at the listener.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use plimsoll_config::{Config, QueueConfig, QueueDurability, Queues as Configured};
use plimsoll_gateway::BindError;
use plimsoll_measure::{QueueView, QueuesDiskView, QueuesView};
use plimsoll_policy::queue::Millis;
use plimsoll_queue::engine::{
    Definition, Durability, Engine, EngineEvent, EngineOptions, EngineView, OpenError, Settings,
};
use plimsoll_queue::serve::{QueueService, ServeOptions};
use plimsoll_upstream::Clock;

use crate::exit::with_causes;
use crate::flags::{listen, plain};
use crate::state::StateFolder;

/// Where they are in the state folder.
const FOLDER: &str = "queues";
/// How often it is tried again to open what another process has.
const TRY_EVERY: Duration = Duration::from_millis(100);
/// The least time in which what was acknowledged is on disk, where it need not be at once.
const INTERVAL: Duration = Duration::from_millis(50);
/// How many queues are shown, and have metrics of their own: those with the most messages.
const SHOWN_MAX: usize = 200;

/// What of the configuration is about queues.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    queues: Configured,
    queue: BTreeMap<String, QueueConfig>,
}

impl Wanted {
    fn of(config: &Config) -> Option<Self> {
        Some(Self {
            queues: config.queues.clone()?,
            queue: config.queue.clone(),
        })
    }
}

/// See the module's docs.
pub(crate) struct Queues {
    folder: PathBuf,
    clock: Clock,
    seed: u64,
    wanted: Option<Wanted>,
    listener: Option<TcpListener>,
    /// Dropped, the thread that opens gives up.
    opening: Option<Opening>,
    service: Option<QueueService>,
    /// Why they are not served.
    failed: Option<String>,
    /// How they stood at the last tick.
    shown: QueuesView,
}

struct Opening {
    opened: mpsc::Receiver<Result<QueueService, String>>,
    _stop: mpsc::Sender<()>,
}

impl Queues {
    /// Begins to open what the configuration describes; `seed`: a number that nobody guesses.
    pub(crate) fn start(
        config: &Config,
        state: &StateFolder,
        clock: Clock,
        seed: u64,
    ) -> Result<Self, BindError> {
        let wanted = Wanted::of(config);
        let address = wanted.as_ref().and_then(|it| it.queues.listen);
        let mut queues = Self {
            folder: state.path().join(FOLDER),
            clock,
            seed,
            wanted,
            listener: address.map(listen).transpose()?,
            opening: None,
            service: None,
            failed: None,
            shown: QueuesView::default(),
        };
        queues.open();
        Ok(queues)
    }

    /// The listener of another configuration, where it is another.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Option<TcpListener>, BindError> {
        let address = |it: &Option<Wanted>| it.as_ref().and_then(|it| it.queues.listen);
        let (old, new) = (address(&self.wanted), address(&Wanted::of(config)));
        match new {
            Some(address) if old != new => listen(address).map(Some),
            _ => Ok(None),
        }
    }

    /// Goes on with another configuration, and the listener that was prepared for it.
    pub(crate) fn apply(&mut self, config: &Config, listener: Option<TcpListener>) {
        let wanted = Wanted::of(config);
        if wanted == self.wanted {
            return;
        }
        let of_all = |it: &Option<Wanted>| it.as_ref().map(|it| it.queues.clone());
        let is_kept_otherwise = of_all(&wanted) != of_all(&self.wanted);
        self.wanted = wanted;
        match self.service.as_ref().filter(|_| !is_kept_otherwise) {
            Some(service) => {
                if let Some(wanted) = &self.wanted {
                    define(service.engine(), &wanted.queue);
                }
            }
            None => {
                self.opening = None;
                // All that was taken is on disk, then.
                self.service = None;
                let address = self.wanted.as_ref().and_then(|it| it.queues.listen);
                match (listener, address) {
                    (Some(listener), _) => self.listener = Some(listener),
                    (None, None) => self.listener = None,
                    (None, Some(_)) => (),
                }
                self.open();
            }
        }
    }

    fn open(&mut self) {
        self.failed = None;
        self.shown = QueuesView::default();
        let Some(wanted) = self.wanted.clone() else {
            return;
        };
        let copy = self
            .listener
            .as_ref()
            .map(TcpListener::try_clone)
            .transpose();
        let listener = match copy {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "queues can't be served");
                return;
            }
        };
        let folder = match &wanted.queues.folder {
            Some(folder) => folder.clone(),
            None => self.folder.clone(),
        };
        let (send, opened) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let (clock, seed) = (self.clock, self.seed);
        let run = move || {
            let opened = loop {
                let tried = open(&folder, &wanted.queues, clock, seed);
                match tried {
                    Err(OpenError::InUse) => match stopped.recv_timeout(TRY_EVERY) {
                        Err(mpsc::RecvTimeoutError::Timeout) => (),
                        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    },
                    other => break other,
                }
            };
            let begun = opened.map_err(|error| with_causes(&error));
            let begun = begun.and_then(|engine| begin(engine, listener, &wanted));
            let _nobody_wants_it = send.send(begun);
        };
        let thread = std::thread::Builder::new().name("queue-open".to_owned());
        match thread.spawn(run) {
            Ok(_it_ends_by_itself) => {
                self.opening = Some(Opening {
                    opened,
                    _stop: stop,
                });
            }
            Err(error) => self.failed = Some(error.to_string()),
        }
    }

    /// Whether they have been opened since; what people should know. To be called each second.
    pub(crate) fn tick(&mut self) -> Vec<EngineEvent> {
        let opened = self.opening.as_ref().map(|it| it.opened.try_recv());
        match opened {
            None | Some(Err(mpsc::TryRecvError::Empty)) => (),
            Some(Err(mpsc::TryRecvError::Disconnected)) => self.opening = None,
            Some(Ok(Ok(service))) => {
                self.service = Some(service);
                self.opening = None;
            }
            Some(Ok(Err(why))) => {
                tracing::error!("queues can't be opened: {why}");
                self.failed = Some(why);
                self.opening = None;
            }
        }
        let Some(service) = &self.service else {
            return Vec::new();
        };
        let engine = service.engine();
        self.shown = shown(engine.view(SHOWN_MAX));
        engine.events()
    }

    /// How they stood at the last tick; `None`: none are configured.
    pub(crate) fn view(&self) -> Option<QueuesView> {
        self.wanted.as_ref().map(|_| self.shown.clone())
    }

    /// Where they are served.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// What somebody should look at.
    pub(crate) fn warning(&self) -> Option<String> {
        match &self.failed {
            Some(why) => Some(format!("queues are not served: {why}")),
            None => self.shown.warning(),
        }
    }

    /// All that was taken is on disk, and another process may have them.
    pub(crate) fn stop(&mut self) {
        self.opening = None;
        self.service = None;
        self.listener = None;
        self.shown = QueuesView::default();
    }
}

/// As it is shown.
fn shown(view: EngineView) -> QueuesView {
    let EngineView {
        now,
        queues,
        left_out,
        disk,
    } = view;
    let queues = queues.into_iter().map(|it| {
        let (figures, counts) = (it.figures, it.counts);
        let age = |oldest| now.since(oldest).as_secs_f64();
        QueueView {
            name: it.name,
            dead_letters: it.of_dead_letters,
            paused: figures.paused,
            ready: figures.ready,
            delayed: figures.delayed,
            in_flight: figures.in_flight,
            bytes: figures.bytes,
            oldest_age_seconds: figures.oldest.map(age),
            published_total: counts.published,
            duplicates_total: counts.duplicates,
            delivered_total: counts.delivered,
            acknowledged_total: counts.acknowledged,
            returned_total: counts.returned,
            dead_letters_total: counts.dead,
            expired_total: counts.expired,
        }
    });
    QueuesView {
        up: disk.failed.is_none(),
        queues: queues.collect(),
        left_out: left_out as u64,
        disk: Some(QueuesDiskView {
            bytes: disk.bytes,
            bytes_max: disk.bytes_max,
            segments_used: disk.segments_used,
            segments_free: disk.segments_free,
            full: disk.is_full,
            failure: disk.failed,
        }),
    }
}

fn open(
    folder: &std::path::Path,
    wanted: &Configured,
    clock: Clock,
    seed: u64,
) -> Result<Engine, OpenError> {
    let options = EngineOptions {
        disk_max: wanted.disk_max,
        durability: match wanted.durability {
            QueueDurability::Sync => Durability::Sync,
            QueueDurability::Interval => Durability::Interval(INTERVAL),
        },
        seed,
        ..EngineOptions::default()
    };
    Engine::open(folder, options, seed, move || {
        Millis(clock.timestamp().as_nanos() / 1_000_000)
    })
}

fn begin(
    engine: Engine,
    listener: Option<TcpListener>,
    wanted: &Wanted,
) -> Result<QueueService, String> {
    let engine = Arc::new(engine);
    define(&engine, &wanted.queue);
    let queues = &wanted.queues;
    let options = listener.map(|listener| {
        let address = listener.local_addr().map(|it| format!("http://{it}"));
        let keys = queues.keys.iter().flat_map(|it| &it.secrets);
        let keys = keys.filter_map(|(key, secret)| Some((key.clone(), plain(secret)?)));
        ServeOptions {
            tokens: queues.tokens.iter().filter_map(plain).collect(),
            keys: keys.collect(),
            url: queues.url.clone().or(address.ok()).unwrap_or_default(),
            region: queues.region.clone(),
            creates: queues.create,
            listener,
        }
    });
    QueueService::start(engine, options).map_err(|error| with_causes(&error))
}

/// What the file describes is so; what it described before is everybody's from then on.
fn define(engine: &Engine, queues: &BTreeMap<String, QueueConfig>) {
    let now = engine.clock();
    for name in engine.names() {
        if let Ok((mut definition, _)) = engine.look(&name)
            && definition.of_file
            && !queues.contains_key(&name)
        {
            definition.of_file = false;
            tell(&name, engine.define(definition));
        }
    }
    for (name, described) in queues {
        let known = engine.look(name).ok().map(|(it, _)| it);
        let mut definition = known.clone().unwrap_or_else(|| Definition::new(name, now));
        definition.settings = settings(described);
        definition.of_file = true;
        if known.as_ref() != Some(&definition) {
            tell(name, engine.define(definition));
        }
    }
}

fn tell<T, E: std::error::Error>(name: &str, defined: Result<T, E>) {
    if let Err(error) = defined {
        tracing::error!(queue = name, error = %with_causes(&error), "the queue can't be as the configuration describes it");
    }
}

fn settings(it: &QueueConfig) -> Settings {
    Settings {
        lease: it.lease,
        attempts_max: it.attempts_max,
        backoff_min: it.backoff_min,
        backoff_max: it.backoff_max,
        retention: it.retention,
        delay: it.delay,
        wait: it.wait,
        dedup_window: it.dedup_window,
        dedup_by_body: it.dedup_by_body,
        raise_after: it.raise_after,
        dead_letters: it.dead_letters.clone(),
        messages_max: it.messages_max,
        bytes_max: it.bytes_max.unwrap_or(u64::MAX),
        message_bytes_max: u32::try_from(it.message_max).unwrap_or(u32::MAX),
    }
}
