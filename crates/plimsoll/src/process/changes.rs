//! What people change at run time, by the control API: each change has its record in the journal, and whoever asked is
//! told once that is durable.
//!
//! While the store fails, no token is made: nothing would be known of it after a restart. What makes things safer is done
//! all the same, and it is said that its record waits: a configuration is read again, a token is revoked. What is set for a while: `overlay`.

use std::time::Duration;

use plimsoll_console::{Changed, Problem, TokenCreated, TokenWanted};
use plimsoll_store::{Change, NotChanged, Record, StoreError};
use serde_json::json;
use tokio::sync::mpsc;

use super::Process;
use super::approvals::Asking;
use super::reloading::{NotReloaded, Refused};
use crate::access::{KeptToken, PREFIX, SECRET_PREFIX, TokenRegister};
use crate::asked::{Asked, Settled, Tell};
use crate::exit::say;
use crate::state;

/// What the store's thread has done comes back on this.
#[derive(Clone)]
pub(crate) struct Later(pub(super) mpsc::Sender<Settled>);

impl Later {
    /// There is room for more than connections can ask for at once; without it whoever asked hears that it was lost.
    pub(super) fn go_on(&self, with: impl FnOnce(&mut Process) + Send + 'static) {
        let _process_is_gone = self.0.try_send(Box::new(with));
    }
}

pub(super) fn answer<T>(tell: Tell<T>, said: Result<T, Problem>) {
    let _asker_is_gone = tell.send(said);
}

impl Process {
    pub(super) async fn on_asked(&mut self, asked: Asked) {
        match asked {
            Asked::Apply { by, applying, tell } => {
                let how = &applying.how;
                let asking = Asking::past(&by, how.exempt, how.why.as_deref());
                self.apply_plan(&asking, applying, tell).await;
            }
            Asked::RollBack { by, wanted, tell } => self.roll_back(&by, wanted, tell).await,
            Asked::Reload { by, how, tell } => {
                let asking = Asking {
                    why: how.why.clone(),
                    ..Asking::past(&by, how.exempt, how.why.as_deref())
                };
                self.reload(&asking, Some(tell)).await;
            }
            Asked::AnswerApproval {
                by,
                id,
                answered,
                tell,
            } => self.answer_approval(&by, id, answered, tell).await,
            Asked::Freeze {
                by,
                service,
                freezing,
                tell,
            } => {
                let glass = freezing.breaks_glass.then(|| freezing.why.clone());
                let asking = Asking {
                    glass,
                    ..Asking::by(&by)
                };
                self.freeze(&asking, service.as_deref(), &freezing, tell);
            }
            Asked::EndFreeze {
                by,
                service,
                how,
                tell,
            } => {
                let asking = Asking::past(&by, how.exempt, how.why.as_deref());
                self.end_freeze(&asking, service.as_deref(), how.why, tell);
            }
            Asked::CreateToken {
                by,
                wanted,
                lasts,
                tell,
            } => self.create_token(by, wanted, lasts, tell),
            Asked::Set {
                by,
                service,
                setting,
                tell,
            } => {
                let glass = setting.breaks_glass.then(|| setting.why.clone());
                let asking = Asking {
                    glass,
                    ..Asking::by(&by)
                };
                self.set(&asking, &service, &setting, tell);
            }
            Asked::End {
                by,
                service,
                verb,
                tell,
            } => self.end(&by, &service, verb, tell),
            Asked::Purge {
                by,
                service,
                purging,
                tell,
            } => self.purge(&by, &service, purging, tell),
            Asked::Roll {
                by,
                rollout,
                deed,
                tell,
            } => {
                let asking = Asking::past(&by, deed.exempt, Some(&deed.why));
                self.roll(&asking, &rollout, deed, tell);
            }
            Asked::Act {
                by,
                incident,
                deed,
                tell,
            } => self.act(&by, incident, deed, tell),
            Asked::TryNotifiers { by, name, tell } => self.try_notifiers(by, name, tell),
            Asked::ChangeFlag {
                by,
                key,
                change,
                tell,
            } => {
                let asking = Asking::past(&by, change.exempt, Some(&change.why));
                self.change_flag(&asking, &key, change, tell);
            }
            Asked::RevokeToken { by, name, tell } => self.revoke_token(&by, name, tell),
        }
    }

    /// What waits to be asked gets no answer: whoever asked hears that the process ends.
    pub(super) fn end_asking(&mut self) {
        self.asks.close();
        while self.asks.try_recv().is_ok() {}
    }

    /// A successor has read what is set: what is set after that would be lost.
    pub(super) fn can_change(&self) -> Result<(), Problem> {
        if self.handing_over {
            return Err(Problem::unavailable(
                "another process takes over from this one: ask again in a moment",
            ));
        }
        Ok(())
    }

    /// Reads the configuration again. On an error nothing has changed.
    pub(super) async fn reload(&mut self, asking: &Asking, tell: Option<Tell<Changed>>) {
        let (kind, mut body, said) = match self.try_to_reload(asking).await {
            Ok((said, None)) => {
                tracing::info!("{said}");
                if let Some(tell) = tell {
                    answer(tell, Ok(changed(said, Ok(None))));
                }
                return;
            }
            Ok((said, Some(before))) => {
                tracing::info!("{said}");
                self.on_reloaded(&asking.by, &before);
                let body = crate::journal::configuration(Some(&before), &self.loaded);
                ("change", body, Ok(said))
            }
            Err(NotReloaded::Waits(waiting)) => {
                if let Some(tell) = tell {
                    self.tell_waiting(waiting, tell);
                }
                return;
            }
            Err(NotReloaded::Blocked(problem)) => {
                let why = problem.to_string();
                say(&format!(
                    "{why}\nreload refused: the configuration in force stays"
                ));
                let text = format!("reload refused: {why}");
                let body = json!({ "text": text, "why": why, "by": asking.by });
                let entry = self.journal.entry("refusal", "configuration", &body);
                self.journal.append_then(entry, move |_| {
                    if let Some(tell) = tell {
                        answer(tell, Err(problem));
                    }
                });
                return;
            }
            Err(NotReloaded::Refused(Refused { said, why })) => {
                let said = format!("{said}\nreload refused: the configuration in force stays");
                say(&said);
                let body = json!({ "text": format!("reload refused: {why}"), "why": why });
                // What becomes of a request is journaled, where lines of the file do not belong.
                let told = if asking.carries.is_some() { why } else { said };
                ("refusal", body, Err(told))
            }
        };
        if let Some(body) = body.as_object_mut() {
            body.insert("by".to_owned(), asking.by.as_str().into());
            if let Some(id) = asking.carries {
                body.insert("approval".to_owned(), id.into());
            }
            if let Some(why) = &asking.why {
                let key = if asking.is_fix { "fix" } else { "why" };
                body.entry(key).or_insert_with(|| why.as_str().into());
            }
        }
        let is_done = said.is_ok();
        self.journal
            .write_then(kind, "configuration", &body, move |written| {
                let Some(tell) = tell else {
                    return;
                };
                let written = written.map(|record| Some(record.sequence));
                let said = said.map(|said| changed(said, written));
                answer(tell, said.map_err(Problem::invalid));
            });
        if is_done {
            // Budgets that are recomputed from what is kept are so with a tick.
            self.tick();
        }
    }

    fn create_token(
        &mut self,
        by: String,
        wanted: TokenWanted,
        lasts: Option<Duration>,
        tell: Tell<TokenCreated>,
    ) {
        let now = self.clock.timestamp();
        let begun = self.can_change().and_then(|()| {
            let version = self.view.tokens.load().room_for(&wanted.name, now)?;
            let random = state::random_hex::<32>()
                .map_err(|error| Problem::unavailable(format!("no random bytes: {error}")))?;
            Ok((version, format!("{SECRET_PREFIX}{random}")))
        });
        let (version, secret) = match begun {
            Ok(begun) => begun,
            Err(problem) => return answer(tell, Err(problem)),
        };
        let token = KeptToken::new(wanted, &secret, by, now, lasts);
        let value = serde_json::to_vec(&token).ok();
        let change = Change {
            entry: self
                .journal
                .entry("change", &subject(&token.name), &token.made()),
            key: format!("{PREFIX}{}", token.name),
            expected: Some(version),
            value: Box::new(move |_| value.clone()),
        };
        let later = self.later.clone();
        self.journal.change(change, move |said| {
            later.go_on(move |process| process.token_created(token, secret, said, tell));
        });
    }

    fn token_created(
        &mut self,
        token: KeptToken,
        secret: String,
        said: Result<(Record, u64), NotChanged>,
        tell: Tell<TokenCreated>,
    ) {
        let now = self.clock.timestamp();
        answer(
            tell,
            match said {
                Ok((record, version)) => {
                    let view = token.view(now);
                    self.note(None, token.text());
                    self.change_tokens(|tokens| tokens.insert(token, version));
                    Ok(TokenCreated {
                        secret,
                        token: view,
                        journal: record.sequence,
                    })
                }
                Err(NotChanged::Conflict) => Err(Problem::conflict(format!(
                    "somebody else made a token of {} at the same time",
                    token.name
                ))),
                Err(NotChanged::Failed(why)) => Err(Problem::unavailable(format!(
                    "no token was made, for the store fails: {why}"
                ))),
            },
        );
    }

    fn revoke_token(&mut self, by: &str, name: String, tell: Tell<Changed>) {
        if let Err(problem) = self.can_change() {
            return answer(tell, Err(problem));
        }
        // From here on nobody comes in with it, whatever the store says.
        if let Err(problem) = self.view.tokens.load().list(self.clock.timestamp()) {
            return answer(tell, Err(problem));
        }
        if self.change_tokens(|tokens| tokens.remove(&name)).is_none() {
            let text = format!("there is no token of `{name}`: see `plimsoll token list`");
            return answer(tell, Err(Problem::not_found(text)));
        }
        let text = format!("{by} revoked the token of {name}");
        self.note(None, text.clone());
        let body = json!({ "text": text, "what": "token", "by": by, "name": name });
        let entry = self.journal.entry("change", &subject(&name), &body);
        let change = Change {
            entry: entry.clone(),
            key: format!("{PREFIX}{name}"),
            expected: None,
            value: Box::new(|_| None),
        };
        let later = self.later.clone();
        self.journal.change(change, move |said| {
            later.go_on(move |process| {
                let why = match said {
                    Ok((record, _)) => {
                        return answer(tell, Ok(changed(text, Ok(Some(record.sequence)))));
                    }
                    Err(NotChanged::Failed(why)) => why,
                    Err(NotChanged::Conflict) => "it was changed at the same time".to_owned(),
                };
                process.journal.append(entry);
                process.revoked.insert(name);
                let why = format!("{why}; a restart before it works would know the token again");
                answer(tell, Ok(changed(text, Err(why))));
            });
        });
    }

    fn change_tokens<T>(&self, change: impl FnOnce(&mut TokenRegister) -> T) -> T {
        let mut tokens = TokenRegister::clone(&self.view.tokens.load());
        let changed = change(&mut tokens);
        self.view.tokens.store(tokens.into());
        changed
    }

    /// Reads what the store has, where that is not known yet, and writes what it could not take; to be called each second.
    pub(super) fn keep_up_with_store(&mut self) {
        if !self.view.tokens.load().is_read() {
            self.read_tokens();
        }
        if !self.revoked.is_empty() && self.journal.works() {
            let (names, later) = (self.revoked.clone(), self.later.clone());
            self.journal.ask(move |store| {
                for name in &names {
                    let key = format!("{PREFIX}{name}");
                    if let Some(kept) = store.value(&key)? {
                        store.compare_and_set(&key, kept.version, None)?;
                    }
                }
                later.go_on(move |process| process.revoked.retain(|name| !names.contains(name)));
                Ok(())
            });
        }
    }

    pub(super) fn read_tokens(&self) {
        let later = self.later.clone();
        self.journal.ask(move |store| -> Result<(), StoreError> {
            let values = store.values(PREFIX)?;
            later.go_on(move |process| {
                if !process.view.tokens.load().is_read() {
                    process.change_tokens(|tokens| tokens.read(values));
                }
            });
            Ok(())
        });
    }
}

fn subject(name: &str) -> String {
    format!("token/{name}")
}

/// What was done, and what became of its record.
pub(super) fn changed(message: String, written: Result<Option<u64>, String>) -> Changed {
    let (journal, failed) = match written {
        Ok(sequence) => (sequence, None),
        Err(why) => (None, Some(why)),
    };
    Changed {
        message,
        journal,
        warning: failed.map(|why| format!("it is done, and not recorded yet: {why}")),
        approval: None,
    }
}
