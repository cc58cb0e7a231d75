//! The flags of the process: where they come from, what is in force, and where OFREP is served.
//!
//! A file that is not valid keeps the flags from before: those in force, and at the start those that were last valid, from the
//! state folder.

pub(crate) mod command;
pub(crate) mod managed;
pub(crate) mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};

use arc_swap::ArcSwap;
use plimsoll_config::{FlagSource, Flags as Configured, Secret};
use plimsoll_flags::{
    FlagEvent, FlagFile, FlagService, FlagServiceOptions, FlagStore, OfrepOptions,
};
use plimsoll_gateway::BindError;
use plimsoll_policy::flag::{DimmedFlag, FlagSet, FlagsInForce, FractionalVersion, Guard};
use plimsoll_upstream::Clock;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::exit::with_causes;
use crate::flags::managed::Managed;
use crate::flags::shown::{FlagsShared, Shown};
use crate::state::StateFolder;

/// How many flags a text names that says what changed.
const NAMED_MAX: usize = 10;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// See the module's docs.
pub(crate) struct Flags {
    store: Arc<FlagStore>,
    pub(crate) shared: Arc<FlagsShared>,
    /// What people made, where flags are managed.
    pub(crate) managed: Managed,
    configured: Configured,
    listener: Option<TcpListener>,
    service: Option<FlagService>,
    events: mpsc::Receiver<FlagEvent>,
    send: mpsc::Sender<FlagEvent>,
    clock: Clock,
    /// Why the file is not in force.
    refused: Option<String>,
    /// The text that was last told of.
    told: String,
}

/// What became of the file since it was last looked.
pub(crate) enum News {
    /// Other flags are in force.
    Changed {
        text: String,
        flags: usize,
        digest: String,
    },
    /// The file is not valid.
    Refused { text: String, why: Vec<String> },
}

impl Flags {
    /// Reads what there is, and begins to serve it. `in_force`: where the gateway finds it.
    pub(crate) fn start(
        configured: &Configured,
        state: &StateFolder,
        clock: Clock,
        in_force: Arc<ArcSwap<FlagsInForce>>,
    ) -> Result<(Self, Option<News>), BindError> {
        let (send, events) = mpsc::channel();
        let store = Arc::new(FlagStore::new(in_force));
        let mut flags = Self {
            shared: Arc::new(FlagsShared {
                store: Arc::clone(&store),
                shown: Shown {
                    source: configured.source.clone(),
                    managed: Managed::default(),
                }
                .into_shared(),
            }),
            store,
            managed: Managed::default(),
            configured: configured.clone(),
            listener: configured.listen.map(listen).transpose()?,
            service: None,
            events,
            send,
            clock,
            refused: None,
            told: String::new(),
        };
        let news = flags.begin(state, true);
        Ok((flags, news))
    }

    /// The listener of another configuration, where it is another.
    pub(crate) fn prepare(
        &self,
        configured: &Configured,
    ) -> Result<Option<TcpListener>, BindError> {
        match configured.listen {
            Some(address) if self.configured.listen != Some(address) => listen(address).map(Some),
            _ => Ok(None),
        }
    }

    /// Goes on with another configuration, and the listener that was prepared for it.
    pub(crate) fn apply(
        &mut self,
        configured: &Configured,
        listener: Option<TcpListener>,
        state: &StateFolder,
    ) -> Option<News> {
        if *configured == self.configured {
            return None;
        }
        let source_is_other = configured.source != self.configured.source
            || configured.fractional != self.configured.fractional;
        self.configured = configured.clone();
        // It has a copy of the listener.
        self.service = None;
        match (listener, configured.listen) {
            (Some(listener), _) => self.listener = Some(listener),
            (None, None) => self.listener = None,
            (None, Some(_)) => (),
        }
        if source_is_other && configured.source == FlagSource::None {
            self.store.clear(self.clock.timestamp());
        }
        self.begin(state, false)
    }

    /// `first`: the process begins.
    fn begin(&mut self, state: &StateFolder, first: bool) -> Option<News> {
        let fractional = self.configured.fractional;
        let (mut file, mut news) = (None, None);
        self.refused = None;
        if first && let Some(kept) = state.flags() {
            self.told = kept;
        }
        if self.configured.source == FlagSource::Managed {
            if first || self.shared.shown.load().source != FlagSource::Managed {
                self.managed = read_managed(state);
            }
            self.publish_managed(state);
        } else {
            self.managed = Managed::default();
            self.show();
        }
        if let FlagSource::File(path) = &self.configured.source {
            let mut read = FlagFile::new(path.clone(), fractional);
            news = match read.read() {
                Ok((set, text)) => {
                    self.put(set, &text);
                    self.changed()
                }
                Err(why) => {
                    if first && let Ok(set) = FlagSet::parse(&self.told, fractional) {
                        self.put(set, &self.told);
                    }
                    Some(self.refused(why))
                }
            };
            file = Some(read);
        }
        let listener = self.listener.as_ref().map(TcpListener::try_clone);
        let listener = listener.and_then(|copy| match copy {
            Ok(copy) => Some(copy),
            Err(error) => {
                tracing::error!(%error, "flags can't be served");
                None
            }
        });
        let ofrep = listener.map(|listener| OfrepOptions {
            listener,
            tokens: self.configured.tokens.iter().filter_map(plain).collect(),
            origins: self.configured.origins.clone(),
        });
        if file.is_none() && ofrep.is_none() {
            return news;
        }
        let (clock, send) = (self.clock, self.send.clone());
        let options = FlagServiceOptions { file, ofrep };
        let started = FlagService::start(
            Arc::clone(&self.store),
            options,
            move || clock.timestamp(),
            move |event| {
                let _process_is_gone = send.send(event);
            },
        );
        match started {
            Ok(service) => self.service = Some(service),
            Err(error) => tracing::error!(%error, "flags can't be served"),
        }
        news
    }

    fn put(&self, set: FlagSet, text: &str) {
        self.store.replace(set, text, self.clock.timestamp());
    }

    /// These variants are rolled out, by flag, and no others.
    pub(crate) fn guard(&self, guards: BTreeMap<String, Guard>) {
        self.store.guard(guards, self.clock.timestamp());
    }

    /// These are dimmed, by the flag that switches them, and no others.
    pub(crate) fn dim(&self, dimmed: BTreeMap<String, DimmedFlag>) {
        self.store.dim(dimmed, self.clock.timestamp());
    }

    /// Nobody is answered from here on: a successor is.
    pub(crate) fn stop(&mut self) {
        self.service = None;
        self.listener = None;
    }

    pub(crate) fn source(&self) -> &FlagSource {
        &self.configured.source
    }

    pub(crate) fn fractional(&self) -> FractionalVersion {
        self.configured.fractional
    }

    /// What people made is in force, and kept.
    pub(crate) fn publish_managed(&mut self, state: &StateFolder) {
        let text = self.managed.text();
        match FlagSet::parse(&text, self.configured.fractional) {
            Ok(set) => {
                self.put(set, &text);
                self.refused = None;
            }
            // What was changed here was looked at before: another version of the program made it.
            Err(problems) => {
                let why = problems.iter().map(ToString::to_string).collect();
                let News::Refused { text, .. } = self.refused(why) else {
                    return;
                };
                tracing::warn!("{text}");
            }
        }
        if let Err(error) = state.write_managed_flags(&self.managed.to_file()) {
            tracing::warn!(error = %with_causes(&error), "the flags can't be kept in the state folder");
        }
        self.show();
    }

    fn show(&self) {
        self.shared.shown.store(Arc::new(Shown {
            source: self.configured.source.clone(),
            managed: self.managed.clone(),
        }));
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// What became of the file since this was last asked.
    pub(crate) fn news(&mut self) -> Vec<News> {
        let events: Vec<FlagEvent> = self.events.try_iter().collect();
        let news = events.into_iter().filter_map(|event| match event {
            FlagEvent::Read { .. } => {
                self.refused = None;
                self.changed()
            }
            FlagEvent::Refused { why } => Some(self.refused(why)),
        });
        news.collect()
    }

    fn changed(&mut self) -> Option<News> {
        let served = self.store.served();
        if served.text == self.told {
            return None;
        }
        let what = difference(&self.told, &served.text);
        self.told.clone_from(&served.text);
        let flags = served.flags.set.len();
        Some(News::Changed {
            text: format!("flags were read from {}: {flags}; {what}", self.place()),
            flags,
            digest: served.digest.clone(),
        })
    }

    fn refused(&mut self, why: Vec<String>) -> News {
        let first = why.first().cloned().unwrap_or_default();
        let more = match why.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let text = format!(
            "the flags of {} are not valid, those from before stay: {first}{more}",
            self.place()
        );
        self.refused = Some(text.clone());
        News::Refused { text, why }
    }

    fn place(&self) -> String {
        match &self.configured.source {
            FlagSource::File(path) => path.display().to_string(),
            FlagSource::Managed => "the store".to_owned(),
            FlagSource::None => "nowhere".to_owned(),
        }
    }

    /// What somebody should look at.
    pub(crate) fn warning(&self) -> Option<String> {
        self.refused.clone()
    }

    /// Keeps what is in force in the state folder.
    pub(crate) fn keep(&self, state: &StateFolder) {
        if let Err(error) = state.write_flags(&self.store.served().text) {
            tracing::warn!(error = %with_causes(&error), "the flags in force can't be kept in the state folder");
        }
    }
}

/// What an earlier process kept.
fn read_managed(state: &StateFolder) -> Managed {
    match state
        .managed_flags()
        .map(|bytes| Managed::from_file(&bytes))
    {
        None => Managed::default(),
        Some(Ok(managed)) => managed,
        Some(Err(error)) => {
            tracing::warn!(
                error,
                "managed-flags.json can't be read: what the store has is in force"
            );
            Managed::default()
        }
    }
}

/// A secret that was read.
pub(crate) fn plain(secret: &Secret) -> Option<String> {
    match secret {
        Secret::Plain(value) => Some(value.clone()),
        // They are in place by now.
        Secret::Env(_) | Secret::File(_) => None,
    }
}

/// A successor listens beside its predecessor until that ends.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|source| BindError { address, source })
}

/// Which flags are new, gone or other, by name.
fn difference(before: &str, after: &str) -> String {
    let read = |text: &str| -> Value { serde_json::from_str(text).unwrap_or_default() };
    let (before, after) = (read(before), read(after));
    let flags = |set: &Value| set.get("flags").and_then(Value::as_object).cloned();
    let common = |set: &Value| {
        let mut set = set.clone();
        if let Some(fields) = set.as_object_mut() {
            fields.remove("flags");
        }
        set
    };
    let (old, new) = (
        flags(&before).unwrap_or_default(),
        flags(&after).unwrap_or_default(),
    );
    if old.is_empty() {
        return "there were none before".to_owned();
    }
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        Some(match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(_), Some(_)) => format!("{name} is another"),
            (None, _) => format!("{name} is new"),
            (_, None) => format!("{name} is gone"),
        })
    });
    let mut changed: Vec<String> = changed.collect();
    if common(&before) != common(&after) {
        changed.push("evaluators or metadata are others".to_owned());
    }
    let more = changed.len().saturating_sub(NAMED_MAX);
    changed.truncate(NAMED_MAX);
    if more > 0 {
        changed.push(format!("and {more} more"));
    }
    match changed.is_empty() {
        true => "nothing is other".to_owned(),
        false => changed.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_new_gone_or_other_are_named() {
        let before = r#"{ "flags": { "a": 1, "b": 2, "c": 3 } }"#;
        let after = r#"{ "flags": { "a": 1, "b": 7, "d": 4 }, "metadata": { "x": 1 } }"#;
        assert_eq!(
            difference(before, after),
            "b is another, c is gone, d is new, evaluators or metadata are others"
        );
        assert_eq!(difference("", after), "there were none before");
        assert_eq!(difference(before, before), "nothing is other");
        let many: Vec<String> = (10..30).map(|at| format!("\"f{at}\": 1")).collect();
        let many = format!("{{ \"flags\": {{ {} }} }}", many.join(","));
        assert!(difference(before, &many).ends_with(", and 13 more"));
    }
}
