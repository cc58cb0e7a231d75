//! `plimsoll run`: from the command line to a process that serves.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_gateway::{
    AccessLogError, AccessLogWriter, BindError, BoundListener, Gateway, GatewayError, Plan, bind,
};
use plimsoll_measure::{Registry, SERIES_MAX};
use plimsoll_upstream::{Clock, ClusterError, Clusters, Resolver};

use crate::cli::Run;
use crate::configuration::{self, Source};
use crate::descriptors;
use crate::exit::{Exit, report, say};
use crate::flags::Flags;
use crate::kept::{SetAside, sha256};
use crate::process::{Parts, Process};
use crate::queues::Queues;
use crate::rollouts::Rollouts;
use crate::state::{StateError, StateFolder};
use crate::upgrade::{self, Package, Predecessor};
use crate::wiring;

/// How long names may take to be resolved before we serve without those that are not.
pub(crate) const RESOLVE_TIME_MAX: Duration = Duration::from_secs(3);

/// The process can't be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("starting the ops endpoints; `[ops] listen` or --ops gives them another address")]
    Ops(#[source] BindError),
    #[error("starting the console; `[console] listen` or --console gives it another address")]
    Console(#[source] BindError),
    #[error("serving flags; `[flags] listen` gives them another address")]
    Flags(#[source] BindError),
    #[error("serving queues; `[queues] listen` gives them another address")]
    Queues(#[source] BindError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    #[error("starting the control thread's runtime")]
    Runtime(#[source] std::io::Error),
    #[error("taking over from the running process")]
    TakeOver(#[source] std::io::Error),
    #[error("there is no last good configuration in {0}")]
    NoLastGood(String),
}

pub(crate) fn run(run: &Run) -> Exit {
    descriptors::raise();
    let first = match source_of(run) {
        Ok(source) => source,
        Err(error) => {
            report(&error);
            return Exit::Failed;
        }
    };
    let loaded = match configuration::load(&first, run) {
        Ok(loaded) => loaded,
        Err(error) => {
            say(&error.to_string());
            return error.exit();
        }
    };
    loaded.warn();
    match start(run, first, loaded) {
        Ok(exit) => exit,
        Err(error) => {
            report(&error);
            Exit::Failed
        }
    }
}

fn source_of(run: &Run) -> Result<Source, LaunchError> {
    if !run.last_good {
        return Ok(Source::of(run));
    }
    let folder = StateFolder::locate(run.state.as_deref());
    match folder.last_good() {
        Some(last_good) => {
            say(&format!(
                "starting with the configuration of {} as of {}",
                last_good.file, last_good.loaded_at
            ));
            Ok(Source::LastGood {
                text: last_good.text,
                file: last_good.file,
            })
        }
        None => Err(LaunchError::NoLastGood(folder.path().display().to_string())),
    }
}

fn start(run: &Run, source: Source, loaded: configuration::Loaded) -> Result<Exit, LaunchError> {
    let clock = Clock::new();
    let folder = run.state.as_deref();
    let folder = folder.or(loaded.config.state_path.as_deref());
    let state = StateFolder::locate(folder);
    state.create()?;
    let loaded = without_set_aside(run, &state, loaded);
    let config = &loaded.config;
    let (mut inherited, predecessor) = if run.upgrade {
        match upgrade::take_over(&state.upgrade_socket()).map_err(LaunchError::TakeOver)? {
            Some((package, predecessor)) => (Some(package), Some(predecessor)),
            None => {
                say("no running process to take over from: starting as usual");
                (None, None)
            }
        }
    } else {
        (None, None)
    };
    let lock = match &inherited {
        Some(package) => package.lock.try_clone().map_err(|source| StateError::Io {
            folder: state.path().to_owned(),
            source,
        })?,
        None => state.lock()?,
    };
    let token = state.make_token()?;
    let threads = config
        .gateway
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let ops = side_listener(
        config.ops_listen,
        inherited.as_mut().map(|package| &mut package.ops),
    )
    .map_err(LaunchError::Ops)?;
    let console = side_listener(
        config.console_listen,
        inherited.as_mut().map(|package| &mut package.console),
    )
    .map_err(LaunchError::Console)?;
    let bound = listeners(config, threads, inherited.as_mut())?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(LaunchError::Runtime)?;
    let clusters = Clusters::new().update(wiring::clusters(config))?;
    let resolver = {
        let _inside = runtime.enter();
        Resolver::new(clock)
    };
    for unresolved in runtime.block_on(resolver.resolve_all(&clusters, RESOLVE_TIME_MAX)) {
        tracing::warn!("{unresolved}");
    }
    let registry = Arc::new(Registry::new(threads, SERIES_MAX));
    let mut shared = BTreeMap::new();
    let plan = Arc::new(Plan::new(
        Arc::new(config.clone()),
        &clusters,
        &registry,
        &mut shared,
        plimsoll_policy::Salt::new(random_seed(), random_seed()),
    ));
    let access_log = AccessLogWriter::start(&config.gateway.log.to)?;
    let mut gateway = Gateway::start(
        Arc::clone(&plan),
        threads,
        clock,
        &access_log.sender(),
        random_seed(),
        &state.path().join("cache"),
    )?;
    // Before anybody is served: what was promoted has all from the first request on.
    let rollouts = Rollouts::read(&state, clock.timestamp());
    rollouts.weigh(&plan);
    let flags =
        Flags::start(&config.flags, &state, clock, gateway.flags()).map_err(LaunchError::Flags)?;
    flags.0.guard(rollouts.guards(config));
    let queues =
        Queues::start(config, &state, clock, random_seed()).map_err(LaunchError::Queues)?;
    gateway.apply(Arc::clone(&plan), bound)?;
    let parts = Parts {
        run: run.clone(),
        source,
        loaded,
        state,
        lock,
        token,
        clock,
        threads,
        registry,
        shared,
        clusters: Arc::new(clusters),
        resolver,
        plan,
        gateway,
        access_log,
        ops,
        console,
        flags,
        queues,
        rollouts,
        seed: random_seed(),
    };
    Ok(runtime.block_on(serve(parts, predecessor)))
}

/// In place of a file that was set aside as it is: what was in force instead. Whoever wants the file applies it again.
fn without_set_aside(
    run: &Run,
    state: &StateFolder,
    loaded: configuration::Loaded,
) -> configuration::Loaded {
    let Some(aside) = SetAside::read(state).filter(|it| it.sha256 == sha256(&loaded.text)) else {
        return loaded;
    };
    let instead = Source::LastGood {
        text: aside.instead.clone(),
        file: aside.file.clone(),
    };
    match configuration::load(&instead, run) {
        Ok(instead) => {
            say(&format!("warning: {}", aside.says()));
            say("warning: starting with the configuration that was in force instead");
            instead
        }
        Err(error) => {
            say(&error.to_string());
            say(
                "warning: the configuration that was in force instead can't be used: starting with the file that was set aside",
            );
            loaded
        }
    }
}

async fn serve(parts: Parts, predecessor: Option<Predecessor>) -> Exit {
    match Process::begin(parts) {
        Ok(process) => process.run(predecessor).await,
        Err(error) => {
            report(&error);
            Exit::Failed
        }
    }
}

/// A listener for ops or console: the predecessor's, if it has the same address.
pub(crate) fn side_listener(
    configured: SocketAddr,
    inherited: Option<&mut (SocketAddr, TcpListener)>,
) -> Result<TcpListener, BindError> {
    if let Some((address, listener)) = inherited
        && *address == configured
        && let Ok(copy) = listener.try_clone()
    {
        return Ok(copy);
    }
    let failed = |source| BindError {
        address: configured,
        source,
    };
    let listener = TcpListener::bind(configured).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Sockets for all listeners of `config`: the predecessor's where it has them.
fn listeners(
    config: &plimsoll_config::Config,
    threads: usize,
    mut inherited: Option<&mut Package>,
) -> Result<Vec<BoundListener>, BindError> {
    let mut bound = Vec::new();
    for listener in &config.gateway.listen {
        let taken = inherited
            .as_mut()
            .and_then(|package| package.listeners.remove(&listener.address));
        bound.push(match taken {
            Some(sockets) => BoundListener {
                configured: listener.address,
                address: sockets
                    .first()
                    .and_then(|socket| socket.local_addr().ok())
                    .unwrap_or(listener.address),
                sockets,
            },
            None => bind(listener.address, threads)?,
        });
    }
    Ok(bound)
}

/// From the system's random source; a fixed one only if there is none.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
