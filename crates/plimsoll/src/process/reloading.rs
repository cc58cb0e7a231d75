//! Another configuration is taken over, or refused as a whole.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use plimsoll_gateway::{Plan, bind};
use plimsoll_upstream::{Clusters, Resolver};

use super::server::Server;
use super::{Process, keep_running, lock, shown_text};
use crate::configuration::{self, Loaded, Source};
use crate::exit::with_causes;
use crate::governing::configuration_changed;
use crate::journal;
use crate::launch::RESOLVE_TIME_MAX;
use crate::wiring;

/// A reload that is refused.
pub(super) struct Refused {
    /// To the one who asked, and to the log.
    pub(super) said: String,
    /// To the journal, which must not hold what may be secret.
    pub(super) why: String,
}

impl Process {
    /// Says what came of it, and the text of the configuration before; `None` where there was nothing to read.
    pub(super) async fn try_to_reload(&mut self) -> Result<(String, Option<String>), Refused> {
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
