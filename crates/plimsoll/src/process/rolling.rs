//! Drives the rollouts: begins them for people, ticks them, has the data plane go by their weights, and journals what happens.
//!
//! A weight is in force before it is asked whether the store works: who takes a bad version back must not wait for that.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_config::Config;
use plimsoll_console::{Changed, Problem, RolloutDeed, RolloutVerb};
use plimsoll_core::Timestamp;
use plimsoll_gateway::RolloutPlan;
use plimsoll_governor::{Change, ChangeKind, Dose, Scope};
use plimsoll_measure::{Condition, figure};
use plimsoll_policy::rollout::{Command, Event, Outcome, Person, What};
use serde_json::{Value, json};

use super::Process;
use super::approvals::{Asking, Passage};
use super::changes::{answer, changed};
use crate::approvals::Wanted;
use crate::asked::Tell;
use crate::exit::with_causes;
use crate::rollouts::{Around, Happened, No, hold, percent, reason};

impl Process {
    pub(super) fn roll(
        &mut self,
        asking: &Asking,
        name: &str,
        deed: RolloutDeed,
        tell: Tell<Changed>,
    ) {
        let may = self.can_change().and_then(|()| {
            let checked = self.rollouts.check(name, deed.revision);
            checked.map_err(problem)?;
            self.may_roll(asking, name, &deed)
        });
        let done = match may {
            Ok(Passage::Free) => self.try_to_roll(asking, name, &deed),
            Ok(Passage::Waits(waiting)) => return self.tell_waiting(waiting, tell),
            Err(problem) => Err(problem),
        };
        let (text, subject, body, happened) = match done {
            Ok(done) => done,
            Err(problem) => return answer(tell, Err(problem)),
        };
        let began = self.rollouts.began(name);
        let (later, name) = (self.later.clone(), name.to_owned());
        self.journal
            .write_then("change", &subject, &body, move |written| {
                let written = written.map(|record| record.sequence);
                let said = changed(text, written.clone().map(Some));
                later.go_on(move |process| {
                    if let (Ok(sequence), Some(began)) = (written, began) {
                        process.rollouts.on_written(&name, began, sequence);
                        process.keep_rollouts();
                    }
                    // Whoever looks next sees it.
                    process.show_rollouts();
                    answer(tell, Ok(said));
                });
            });
        // What comes of it stands after it.
        self.on_rolled(self.clock.timestamp(), happened, true);
    }

    /// What takes requests from a version is never in anybody's way.
    fn may_roll(
        &mut self,
        asking: &Asking,
        name: &str,
        deed: &RolloutDeed,
    ) -> Result<Passage, Problem> {
        let goes_up = matches!(
            deed.verb,
            RolloutVerb::Start | RolloutVerb::Resume | RolloutVerb::Advance | RolloutVerb::Promote
        );
        let described = self.loaded.config.rollouts.get(name);
        let Some(service) = described.filter(|_| goes_up).map(|it| it.service.clone()) else {
            return Ok(Passage::Free);
        };
        let touching = self.touching(&service);
        self.unfrozen(&touching, asking.is_fix)?;
        let wanted = Wanted::Rollout {
            service,
            rollout: name.to_owned(),
            verb: deed.verb.name().to_owned(),
            from: self.rollouts.would(&self.loaded.config, name),
            why: deed.why.clone(),
            is_fix: asking.is_fix,
        };
        self.pass(asking, wanted, &touching)
    }

    /// What was done, whose records it is among, and its record.
    fn try_to_roll(
        &mut self,
        asking: &Asking,
        name: &str,
        deed: &RolloutDeed,
    ) -> Result<(String, String, Value, Vec<Happened>), Problem> {
        let by = asking.by.as_str();
        let now = self.clock.timestamp();
        let config = Arc::clone(&self.plan.config);
        let described = config.rollouts.get(name);
        let person = Person {
            who: by.to_owned(),
            why: deed.why.clone(),
        };
        let command = match deed.verb {
            RolloutVerb::Start => None,
            RolloutVerb::Pause => Some(Command::Pause),
            RolloutVerb::Resume => Some(Command::Resume),
            RolloutVerb::Advance => Some(Command::Advance),
            RolloutVerb::StepBack => Some(Command::StepBack),
            RolloutVerb::Promote => Some(Command::Promote),
            RolloutVerb::Abort => Some(Command::Abort),
        };
        let mut happened = Vec::new();
        match command {
            Some(command) => {
                if asking.is_fix {
                    self.rollouts.mends(name);
                }
                let done = self.rollouts.command(name, command, person, now);
                happened = done.map_err(problem)?;
            }
            None => {
                let plan = Arc::clone(&self.plan);
                let Some((_, rollout)) = plan.rollout(name) else {
                    return Err(problem(No::Unknown(format!(
                        "there is no rollout `{name}` that may act: [rollout.NAME] in the configuration describes one"
                    ))));
                };
                let snapshot = self.view.snapshot.load();
                let mut services = snapshot.services.iter();
                let service = services.find(|it| it.name == rollout.shared.service);
                if !self.has_variant(&config, name) {
                    return Err(problem(No::Conflict(format!(
                        "the flag's variant that {name} is of is not there, or the flag is disabled: `plimsoll flag list`"
                    ))));
                }
                let counts = rollout.shared.counts();
                let begun = self
                    .rollouts
                    .begin(&config, name, person, service, &counts, now);
                begun.map_err(problem)?;
                if asking.is_fix {
                    self.rollouts.mends(name);
                }
                rollout.shared.begin();
            }
        }
        // The first step is taken at once where nothing speaks against it.
        happened.extend(self.look_at_rollouts(now));
        self.weigh();
        let weight = percent(self.rollouts.weight(&config, name));
        let (service, version) = described.map_or(("?", "?"), |it| (&it.service, &it.version));
        let text = format!(
            "{by} {} {name}, {version} of {service}: it has {weight} now: {}",
            deed.verb.past(),
            deed.why
        );
        let subject = subject(service, name);
        let body = json!({
            "text": text, "what": "rollout", "rollout": name, "version": version, "verb": deed.verb.name(), "by": by, "why": deed.why, "fix": asking.is_fix, "approval": asking.carries,
            "weight": self.rollouts.weight(&config, name).share(),
        });
        tracing::info!(service, "{text}");
        self.note(Some(service.to_owned()), text.clone());
        self.keep_rollouts();
        Ok((text, subject, body, happened))
    }

    /// Whether users can get what is rolled out, where that is a flag's variant.
    fn has_variant(&self, config: &Config, name: &str) -> bool {
        let described = config.rollouts.get(name);
        let Some(guarded) = described.and_then(|it| it.flag.as_ref()) else {
            return true;
        };
        let served = self.flags.shared.store.served();
        let flag = served.flags.set.flag(&guarded.key);
        flag.is_some_and(|it| it.is_enabled() && it.variants().contains_key(&guarded.variant))
    }

    /// Each second.
    pub(super) fn tick_rollouts(&mut self) {
        let now = self.clock.timestamp();
        let second = self.measure.second().at;
        let ended = self
            .measure
            .ended()
            .map(|(name, _, latency)| (name, latency));
        self.rollouts.on_second(&self.loaded.config, second, ended);
        // A successor decides, and says so.
        if !self.handing_over {
            for name in self.rollouts.undescribed(&self.loaded.config) {
                let person = Person {
                    who: "the configuration".to_owned(),
                    why: "it is not described there any more".to_owned(),
                };
                let ended = self.rollouts.command(&name, Command::Abort, person, now);
                self.on_rolled(now, ended.unwrap_or_default(), false);
            }
            let is_less = self.rollouts.forget(&self.loaded.config);
            let happened = self.look_at_rollouts(now);
            let is_new = !happened.is_empty() || is_less;
            self.weigh();
            self.on_rolled(now, happened, false);
            let is_due = self.ticks.is_multiple_of(super::LEARNT_EVERY);
            if is_new || is_due && self.rollouts.any_is_on() {
                self.keep_rollouts();
            }
        }
        self.show_rollouts();
    }

    fn look_at_rollouts(&mut self, now: Timestamp) -> Vec<Happened> {
        let plan = Arc::clone(&self.plan);
        let around = plan.rollouts().map(|(service, rollout)| {
            let name = rollout.shared.name.as_str();
            let view = self.governing.view(&service.name, now);
            let around = Around {
                burns: view.is_some_and(|it| {
                    matches!(it.condition, Condition::Burning | Condition::Severe)
                }),
                frozen: self.frozen(&service.name).is_some(),
                canary_up: service.canary_is_up() && self.has_variant(&plan.config, name),
            };
            (name, (rollout.shared.counts(), around))
        });
        let mut around: BTreeMap<&str, _> = around.collect();
        self.rollouts.tick(now, |name| around.remove(name))
    }

    /// The data plane goes by the weights; also of plans that came since.
    pub(super) fn weigh(&self) {
        self.rollouts.weigh(&self.plan);
        self.flags.guard(self.rollouts.guards(&self.plan.config));
    }

    /// What happened is shown, logged and journaled; it is a change that may be behind what comes next.
    fn on_rolled(&mut self, now: Timestamp, happened: Vec<Happened>, by_person: bool) {
        for it in happened {
            let Happened {
                name,
                service,
                version,
                event,
            } = it;
            let text = said(&name, &service, &version, &event);
            if event.weight_before != event.weight_after {
                self.governing.on_change(Change {
                    kind: ChangeKind::Made,
                    dose: Some(Dose {
                        name: format!("requests of {service} to {version}"),
                        from: event.weight_before.share(),
                        to: event.weight_after.share(),
                    }),
                    ..Change::made(now, Scope::service(&service), &text)
                });
            }
            // What a person did has its record already.
            if by_person && by(&event.what).is_some() {
                continue;
            }
            match event.what {
                What::Struck | What::Asked { .. } => tracing::warn!(service, "{text}"),
                What::Finished {
                    outcome: Outcome::RolledBack,
                    ..
                } => tracing::warn!(service, "{text}"),
                _ => tracing::info!(service, "{text}"),
            }
            let body = json!({
                "text": text, "what": "rollout", "rollout": name, "version": version, "event": event,
            });
            self.journal
                .write("decision", &subject(&service, &name), &body);
            self.note(Some(service), text);
        }
    }

    /// A restart goes on with it.
    pub(super) fn keep_rollouts(&self) {
        if self.handing_over {
            return;
        }
        if let Err(error) = self.state.write_rollouts(&self.rollouts.to_file()) {
            tracing::warn!(error = %with_causes(&error), "rollouts can't be kept in the state folder");
        }
    }

    pub(super) fn show_rollouts(&self) {
        let config = &self.loaded.config;
        if config.rollouts.is_empty() && self.view.rollouts.load().is_empty() {
            return;
        }
        let plan = &self.plan;
        let arms = |service: &str| {
            let service = plan.services.iter().find(|it| it.name == service)?;
            let rollout: &RolloutPlan = service.rollout.as_deref()?;
            let group = service.cluster.groups.get(rollout.group)?;
            let count = |endpoints: &[Arc<plimsoll_upstream::Endpoint>]| {
                let up = endpoints.iter().filter(|it| it.shared.verdict().is_up());
                let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                (number(up.count()), number(endpoints.len()))
            };
            Some([
                count(service.cluster.own()),
                count(service.cluster.of(group)),
            ])
        };
        let views = self.rollouts.views(config, arms);
        self.view.rollouts.store(Arc::new(views));
    }
}

/// Beside the decisions and changes of its service.
fn subject(service: &str, name: &str) -> String {
    format!("service/{service}/rollout/{name}")
}

fn problem(no: No) -> Problem {
    match no {
        No::Unknown(text) => Problem::not_found(text),
        No::Conflict(text) => Problem::conflict(text),
        No::Invalid(text) => Problem::invalid(text),
    }
}

/// Who said so.
fn by(what: &What) -> Option<&Person> {
    match what {
        What::Stepped { by, .. } | What::Resumed { by } | What::Finished { by, .. } => by.as_ref(),
        What::Paused { by } | What::Unpaused { by } | What::SteppedBack { by } => Some(by),
        What::Held { .. } | What::Asked { .. } | What::Struck => None,
    }
}

/// What happened, in a sentence with its evidence.
fn said(name: &str, service: &str, version: &str, event: &Event) -> String {
    let (before, after) = (percent(event.weight_before), percent(event.weight_after));
    let figures = &event.figures;
    let (stable, canary) = (figures.arms.stable, figures.arms.canary);
    let share = |bad: u64, of: u64| match of {
        0 => "none came".to_owned(),
        of => format!("{} of {} bad", figure::count(bad), figure::count(of)),
    };
    let evidence = format!(
        "evidence {:.1}; {}, else {}; it cost {} of the budget",
        figures.scores.harm,
        share(canary.bad, canary.requests),
        share(stable.bad, stable.requests),
        figure::percent(Some(figures.spent), " "),
    );
    let who = by(&event.what).map(|it| format!(", as {} said: {}", it.who, it.why));
    let who = who.unwrap_or_default();
    let what = match &event.what {
        What::Stepped { .. } => format!("{version} of {service} gets {after}, after {before}{who}"),
        What::Held { why } => format!("{version} of {service} keeps {after}: {}", hold(*why)),
        What::Asked { why } => format!("a person is asked how {name} goes on: {}", hold(*why)),
        What::Struck => format!(
            "{version} of {service} gets nothing for a while, after {before}: what it did was too bad to be chance"
        ),
        What::Resumed { .. } => format!("{version} of {service} gets {after} again{who}"),
        What::Paused { .. } => format!("{name} is paused at {after}{who}"),
        What::Unpaused { .. } => format!("{name} goes on at {after}{who}"),
        What::SteppedBack { .. } => {
            format!("{version} of {service} goes back to {after}, after {before}{who}")
        }
        What::Finished {
            outcome,
            reason: why,
            ..
        } => {
            let why = reason(*why);
            match outcome {
                Outcome::Promoted => format!("{version} of {service} has all: {why}{who}"),
                Outcome::RolledBack => format!(
                    "{version} of {service} is undone and gets nothing, after {before}: {why}{who}"
                ),
                Outcome::Passed => {
                    format!("{version} of {service} is no worse, as far as copies show: {why}{who}")
                }
            }
        }
    };
    format!("{what} ({evidence})")
}
