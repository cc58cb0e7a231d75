//! All receivers of a running process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_measure::NotifierView;
use plimsoll_upstream::{Clock, Resolver, TlsError};
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::line::{Line, Report, Told};
use super::notification::Notification;
use super::outbox::{Batch, Outbox};
use super::target::{Target, TargetConfig};
use crate::wire::{TargetTried, Tried};

/// See the module's docs. A task for each, ended when it goes.
pub struct Notifiers {
    clock: Clock,
    resolver: Resolver,
    seed: u64,
    lines: BTreeMap<String, Running>,
    reports: mpsc::Sender<Report>,
}

#[derive(Debug)]
struct Running {
    line: Arc<Line>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why nobody is told that something began, who was not told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Somebody works on it.
    Acknowledged,
    /// Somebody wants nobody to be told.
    Silenced,
}

/// Receivers that are ready to be put in force.
#[derive(Debug)]
pub struct Prepared(Vec<Target>);

/// A receiver can't be reached as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("setting up notifier `{name}`")]
pub struct NotifierError {
    /// Its name.
    pub name: String,
    /// Why it failed.
    #[source]
    pub source: Box<TlsError>,
}

impl Notifiers {
    /// None yet. What comes of attempts goes to `reports`. Inside the control thread's runtime.
    pub fn new(clock: Clock, seed: u64, reports: mpsc::Sender<Report>) -> Self {
        Self {
            clock,
            resolver: Resolver::new(clock),
            seed,
            lines: BTreeMap::new(),
            reports,
        }
    }

    /// Reads what receivers need. Nothing changes yet.
    ///
    /// # Errors
    /// A TLS file can't be used.
    pub fn prepare(&self, configs: Vec<TargetConfig>) -> Result<Prepared, NotifierError> {
        let targets = configs.into_iter().map(|config| self.target(config));
        targets.collect::<Result<_, _>>().map(Prepared)
    }

    /// The same, without those that can't be set up.
    pub fn prepare_those_that_can(
        &self,
        configs: Vec<TargetConfig>,
    ) -> (Prepared, Vec<NotifierError>) {
        let (mut targets, mut failed) = (Vec::new(), Vec::new());
        for config in configs {
            match self.target(config) {
                Ok(target) => targets.push(target),
                Err(error) => failed.push(error),
            }
        }
        (Prepared(targets), failed)
    }

    fn target(&self, config: TargetConfig) -> Result<Target, NotifierError> {
        let name = config.name.clone();
        let target = Target::new(config, self.resolver.clone());
        target.map_err(|source| NotifierError {
            name,
            source: Box::new(source),
        })
    }

    /// Puts receivers in force. Of those that stay, what waits and what they know is kept; names those that are gone.
    pub fn apply(&mut self, prepared: Prepared) -> Vec<String> {
        let now = self.clock.now();
        let mut before = std::mem::take(&mut self.lines);
        for (place, target) in prepared.0.into_iter().enumerate() {
            let (name, target) = (target.config.name.clone(), Arc::new(target));
            let stays = before.remove(&name).filter(|running| {
                running.line.target().config.channel.name() == target.config.channel.name()
            });
            let running = match stays {
                Some(running) => {
                    running.line.set_target(now, target);
                    running
                }
                None => {
                    let seed = self.seed.wrapping_add(place as u64);
                    let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
                    let outbox = Outbox::new(target.config.channel.outbox(), rng);
                    let line = Line::new(target, outbox, now);
                    let task = Arc::clone(&line).run(self.clock, self.reports.clone());
                    let task = tokio::spawn(task);
                    Running { line, task }
                }
            };
            self.lines.insert(name, running);
        }
        before.into_keys().collect()
    }

    /// What a predecessor had told a receiver.
    pub fn recall(&self, name: &str, told: Told) {
        if let Some(running) = self.lines.get(name) {
            running.line.recall(self.clock.now(), told);
        }
    }

    /// What is open, by key, and what has just ended: to be called each second, and never waits. A receiver is told what it
    /// does not know yet; of what it knows and is not open, that it has ended, as `end` says it, or nothing. Of what is
    /// `quiet`, nobody is told that it began.
    pub fn offer(
        &self,
        open: &BTreeMap<String, Notification>,
        ended: &[Notification],
        quiet: &BTreeMap<String, Quiet>,
        end: impl Fn(&Notification) -> Option<Notification>,
    ) {
        let now = self.clock.now();
        for running in self.lines.values() {
            let loud = open.iter().filter(|(key, _)| !quiet.contains_key(*key));
            let told = ended.iter().chain(loud.map(|(_, it)| it));
            let silenced = quiet.iter().filter(|(_, it)| **it == Quiet::Silenced);
            let silenced = silenced.map(|(key, _)| key.as_str());
            // For somebody else by now is over for this one.
            let is_open = |key: &str, target: &Target| {
                let open = open.get(key);
                open.is_some_and(|it| target.is_for(it.owner.as_deref()))
            };
            running.line.offer(now, told, silenced, is_open, &end);
        }
    }

    /// The control thread ticks.
    pub fn tick(&self) {
        let now = self.clock.now();
        for running in self.lines.values() {
            running.line.tick(now);
        }
    }

    /// Waits until all that waits went out, but not for long: the process ends.
    pub async fn flush(&self, longest: Duration) {
        let now = self.clock.now();
        for running in self.lines.values() {
            running.line.hurry(now);
        }
        let flushed = async {
            let mut polls = tokio::time::interval(Duration::from_millis(20));
            while self.lines.values().any(|it| it.line.waiting() > 0) {
                polls.tick().await;
            }
        };
        let _late = tokio::time::timeout(longest, flushed).await;
    }

    /// Nobody is told anything more: another process does.
    pub fn stop(&mut self) {
        self.lines.clear();
    }

    /// How each is.
    pub fn views(&self) -> Vec<NotifierView> {
        self.lines.values().map(|it| it.line.view()).collect()
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// Whether anybody is told about a service of this owner.
    pub fn are_for(&self, owner: Option<&str>) -> bool {
        let mut lines = self.lines.values();
        lines.any(|it| it.line.target().is_for(owner))
    }

    /// Tries whether a test arrives: at one receiver, or at all. Not in the queue: whoever tries wants to see it now.
    pub fn test(
        &self,
        name: Option<&str>,
        notification: &Notification,
    ) -> impl Future<Output = Tried> + Send + use<> {
        let lines = self.lines.iter();
        let lines = lines.filter(|(it, _)| name.is_none_or(|name| name == *it));
        let lines: Vec<Arc<Line>> = lines.map(|(_, it)| Arc::clone(&it.line)).collect();
        let batch = Batch {
            notifications: vec![notification.clone()],
            is_refresh: false,
        };
        let clock = self.clock;
        async move {
            let mut tries = JoinSet::new();
            for line in lines {
                tries.spawn(try_one(line, batch.clone(), clock));
            }
            let mut targets: Vec<TargetTried> = Vec::new();
            while let Some(tried) = tries.join_next().await {
                targets.extend(tried);
            }
            targets.sort_by(|a, b| a.name.cmp(&b.name));
            Tried { targets }
        }
    }
}

async fn try_one(line: Arc<Line>, batch: Batch, clock: Clock) -> TargetTried {
    let (target, began) = (line.target(), clock.now());
    let result = target.send(&batch, clock).await;
    let now = clock.now();
    line.on_tried(now, clock.timestamp(), result.as_ref().copied());
    let failure = result.err();
    TargetTried {
        name: target.config.name.clone(),
        kind: target.config.channel.name().to_owned(),
        arrived: failure.is_none(),
        seconds: (now - began).as_secs_f64(),
        why: failure.as_ref().map(|it| it.why.clone()),
        help: failure.map(|it| it.help.to_owned()),
    }
}
