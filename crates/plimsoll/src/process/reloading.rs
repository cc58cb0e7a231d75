//! Another configuration is taken over, or refused as a whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use plimsoll_config::{Alteration, AlterationKind, Config, Risk};
use plimsoll_console::Problem;
use plimsoll_gateway::{Plan, bind};
use plimsoll_policy::approval::{Kind, Rule};
use plimsoll_upstream::{Clusters, Resolver};

use super::approvals::{Asking, Passage, Waiting};
use super::server::Server;
use super::{Process, keep_running, lock, shown_text};
use crate::approvals::{LINES_MAX, Wanted};
use crate::configuration::{self, Loaded, Source};
use crate::exit::with_causes;
use crate::governing::configuration_changed;
use crate::journal;
use crate::kept::sha256;
use crate::launch::RESOLVE_TIME_MAX;
use crate::touching::touched;
use crate::wiring;

/// A configuration that can't be.
pub(super) struct Refused {
    /// To the one who asked, and to the log.
    pub(super) said: String,
    /// To the journal, which must not hold what may be secret.
    pub(super) why: String,
}

/// A reload that is not done.
pub(super) enum NotReloaded {
    /// The configuration can't be.
    Refused(Refused),
    /// It may not be: a freeze or an approval is in its way.
    Blocked(Problem),
    /// It waits for others.
    Waits(Waiting),
}

impl From<Refused> for NotReloaded {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Process {
    /// Says what came of it, and the text of the configuration before; `None` where there was nothing to read.
    pub(super) async fn try_to_reload(
        &mut self,
        asking: &Asking,
    ) -> Result<(String, Option<String>), NotReloaded> {
        let source = match &self.source {
            // What was last good is not read again: the file it came from is.
            Source::LastGood { file, .. } => Source::File(file.into()),
            other => other.clone(),
        };
        if source == Source::Target {
            let said = "nothing to reload: this process was started with --to, without a file";
            return Ok((said.to_owned(), None));
        }
        let loaded = configuration::load(&source, &self.run).map_err(|error| Refused {
            said: error.to_string(),
            why: error.without_text_of_the_file(),
        })?;
        self.refuse_set_aside(&loaded)?;
        if let Err(not_now) = self.may_reload(asking, &loaded) {
            // Who rotates logs asks in this way, and need not wait for others.
            self.reopen_access_log();
            return Err(not_now);
        }
        let before = self.take_over(loaded, source).await?;
        let path = self.loaded.path.clone().unwrap_or_default();
        Ok((format!("reloaded: {path}"), Some(before)))
    }

    /// Puts a configuration in force, or refuses it as a whole. Gives the text of the one before.
    pub(super) async fn take_over(
        &mut self,
        loaded: Loaded,
        source: Source,
    ) -> Result<String, Refused> {
        let refused = |why: String| Refused {
            said: format!("error: {why}"),
            why,
        };
        let old = Arc::clone(&self.clusters.borrow());
        let clusters = old
            .update(wiring::clusters(&loaded.config))
            .map_err(|error| refused(with_causes(&error)))?;
        // New names get their first addresses before a request is sent to them; the resolver's own loop
        // refreshes them.
        for problem in Resolver::new(self.clock)
            .resolve_all(&clusters, RESOLVE_TIME_MAX)
            .await
        {
            tracing::warn!("{problem}");
        }
        let before = self
            .apply(loaded, source, &old, clusters)
            .map_err(refused)?;
        self.loaded.warn();
        Ok(before)
    }

    /// Whether a configuration may come into force now: whoever puts one in force asks this first.
    pub(super) fn may_reload(
        &mut self,
        asking: &Asking,
        loaded: &Loaded,
    ) -> Result<(), NotReloaded> {
        let (before, after) = (&self.loaded, loaded);
        let keys = plimsoll_config::changed_keys(&before.text, &after.text);
        // The same again changes nothing; what was approved is looked at whatever has become of the file.
        if keys.is_empty() && asking.carries.is_none() {
            return Ok(());
        }
        let touching = touched(&before.config, &after.config, &keys);
        let wanted = wanted((&before.text, &after.text), asking);
        let rules = rules(&before.config, &after.config);
        let passage = self
            .unfrozen(&touching, asking.is_fix)
            .and_then(|()| self.pass_by(&rules, asking, wanted, &touching));
        match passage {
            Ok(Passage::Free) => Ok(()),
            Ok(Passage::Waits(waiting)) => Err(NotReloaded::Waits(waiting)),
            Err(problem) => Err(NotReloaded::Blocked(problem)),
        }
    }

    /// The process starts, after one with another configuration. A start takes the file as it is: where that needed an approval that
    /// it does not have, nobody overlooks it.
    pub(super) fn on_started(&mut self, before: Option<&str>) {
        let Some(before) = before else {
            return;
        };
        let keys = plimsoll_config::changed_keys(before, &self.loaded.text);
        let Ok((config, _)) = plimsoll_config::parse(before, "last-good.json") else {
            return;
        };
        if keys.is_empty() {
            return;
        }
        let touching = touched(&config, &self.loaded.config, &keys);
        let wanted = wanted((before, &self.loaded.text), &Asking::default());
        let rules = rules(&config, &self.loaded.config);
        if let Some(needed) = self.approval_needed(&rules, &wanted, &touching) {
            let why = "the process was started with a file that nobody approved";
            self.break_glass("a start", why, wanted, needed, &touching);
        }
    }

    pub(super) fn apply(
        &mut self,
        loaded: Loaded,
        source: Source,
        old: &Clusters,
        clusters: Clusters,
    ) -> Result<String, String> {
        let config = &loaded.config;
        let open: Vec<SocketAddr> = self
            .gateway
            .addresses()
            .map(|(configured, _)| configured)
            .collect();
        let mut bound = Vec::new();
        for listener in &config.gateway.listen {
            if !open.contains(&listener.address) {
                bound.push(
                    bind(listener.address, self.threads).map_err(|error| with_causes(&error))?,
                );
            }
        }
        let ops = self.ops.changed(config.ops_listen)?;
        let console = self.console.changed(config.console_listen)?;
        let flags = self
            .flags
            .prepare(&config.flags)
            .map_err(|error| with_causes(&error))?;
        let queues = self
            .queues
            .prepare(config)
            .map_err(|error| with_causes(&error))?;
        let notifiers = self
            .notifying
            .prepare(config)
            .map_err(|error| with_causes(&error))?;
        let mut shared = self.shared.clone();
        let plan = Arc::new(Plan::new(
            Arc::new(config.clone()),
            &clusters,
            &self.registry,
            &mut shared,
            self.plan.salt,
        ));
        self.gateway
            .apply(Arc::clone(&plan), bound)
            .map_err(|error| with_causes(&error))?;
        // The new plan serves: from here on nothing fails.
        if let Err(error) = self.access_log.reopen(&config.gateway.log.to) {
            tracing::warn!(error = %with_causes(&error), "the access log stays where it was");
        }
        let news = self.flags.apply(&config.flags, flags, &self.state);
        self.queues.apply(config, queues);
        let gone = self.notifying.apply(notifiers);
        self.forget_notifiers(gone);
        clusters.supersede(old);
        self.clusters.send_replace(Arc::new(clusters));
        let changes = self.measure.set_layout(wiring::layout(config));
        self.measure.plan_maintenance(config.maintenances.clone());
        self.governing.apply(config);
        if config
            .gateway
            .threads
            .is_some_and(|threads| threads != self.threads)
        {
            tracing::warn!("`gateway.threads` takes effect with the next start or upgrade");
        }
        let (ops_address, console_address) = (config.ops_listen, config.console_listen);
        lock(&self.protection).apply(&plan, &BTreeMap::new(), self.clock.now());
        self.shared = shared;
        self.plan = plan;
        self.weigh();
        let before = std::mem::replace(&mut self.loaded, loaded);
        self.loaded_at = self.clock.timestamp();
        self.source = source;
        if let Some(listener) = ops {
            self.ops.task.abort();
            match Server::ops(ops_address, listener, &self.view) {
                Ok(server) => self.ops = server,
                Err(error) => tracing::error!(%error, "the ops endpoints can't be served"),
            }
        }
        if let Some(listener) = console {
            self.console.task.abort();
            match Server::console(console_address, listener, &self.view) {
                Ok(server) => self.console = server,
                Err(error) => tracing::error!(%error, "the console can't be served"),
            }
            keep_running(&self.state, self.console.address());
        }
        self.view
            .configuration
            .store(Arc::new(shown_text(&self.loaded)));
        let runbooks = wiring::runbooks(&self.loaded.config);
        self.view.runbooks.store(Arc::new(runbooks));
        self.keep_last_good();
        let (text, keys) = journal::changed(Some(&before.text), &self.loaded);
        let (old, new) = (&before.config, &self.loaded.config);
        let change = configuration_changed(self.loaded_at, &keys, old, new, &text);
        // The same file again changes nothing.
        if let Some(change) = change {
            self.governing.on_change(change);
        }
        self.note(None, text);
        if let Some(news) = news {
            self.on_flags(news);
        }
        self.warn_of_features(&before.config);
        self.budgets.on_versions(&self.measure, &changes);
        self.on_versions(&changes);
        Ok(before.text)
    }
}

/// The rules that a change of the configuration needs to obey: those in force, and of those that it alters or takes out the
/// number of others, whatever they are about and whenever.
pub(super) fn rules(before: &Config, after: &Config) -> Vec<Rule> {
    let rules = before.approvals.iter();
    let rules = rules.map(|rule| match after.approvals.contains(rule) {
        true => rule.clone(),
        false => Rule {
            what: vec![Kind::Config],
            tiers: Vec::new(),
            services: Vec::new(),
            conditions: Vec::new(),
            during: Vec::new(),
            ..rule.clone()
        },
    });
    rules.collect()
}

/// What a reload from one text to another does.
pub(super) fn wanted((before, after): (&str, &str), asking: &Asking) -> Wanted {
    let differences = plimsoll_config::difference(before, after, "plimsoll.toml");
    let mut lines: Vec<String> = differences.iter().flatten().map(line).collect();
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    Wanted::Config {
        before: sha256(before),
        after: sha256(after),
        lines,
        more,
        why: asking.why.clone(),
        is_fix: asking.is_fix,
        plan: asking.plan.clone(),
    }
}

/// A difference, as somebody would say it.
fn line(it: &Alteration) -> String {
    let what = [it.thing.as_str(), it.key.as_str()];
    let what: Vec<&str> = what.into_iter().filter(|it| !it.is_empty()).collect();
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let change = match it.kind {
        AlterationKind::Added => match &it.after {
            Some(after) => format!("new: {after}"),
            None => "new".to_owned(),
        },
        AlterationKind::Removed => match &it.before {
            Some(before) => format!("gone, was {before}"),
            None => "gone".to_owned(),
        },
        AlterationKind::Changed => format!("{} → {}", value(&it.before), value(&it.after)),
    };
    let risk = match it.risk {
        Risk::None => String::new(),
        risk => format!(" (risk {}: {})", risk.name(), it.why),
    };
    format!("{}: {change}{risk}", what.join(" "))
}
