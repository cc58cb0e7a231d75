//! What was planned is put in force and watched; what harms is taken back. What was in force before can be again.
//!
//! The process watches, not the command line, which may be gone. It returns by the same way as it reloads, and remembers the
//! file as set aside: as it is, it comes into force neither with a reload nor with a restart, only if it is applied again.

use plimsoll_console::{Applying, Changed, Configurations, Problem, RollbackWanted, WatchView};
use plimsoll_policy::approval::Needed;
use serde_json::{Value, json};

use super::approvals::{Asking, Waiting};
use super::changes::{answer, changed};
use super::reloading::{self, NotReloaded, Refused};
use super::{Process, lock};
use crate::approvals::{Touching, Wanted};
use crate::asked::Tell;
use crate::configuration::{self, LoadError, Loaded, Source};
use crate::exit::{say, with_causes};
use crate::governing::configuration_changed;
use crate::journal;
use crate::kept::{self, How, Kept, Origin, SetAside, sha256};
use crate::planning::{self, InForce};
use crate::state::StateFolder;
use crate::touching::touched;
use crate::watching::{Begun, STARTS_MAX, Suffers, Unrouted, Watching};

/// For how many seconds a change is watched at least after a restart.
const WATCH_AFTER_START: u64 = 60;
/// What is said to have returned.
const SELF: &str = "Plimsoll";

/// What is known of changes of the configuration.
pub(super) struct Changing {
    kept: Kept,
    aside: Option<SetAside>,
    watch: Option<Watching>,
    /// The last watch that ended.
    ended: Option<WatchView>,
    unrouted: Unrouted,
}

impl Changing {
    pub(super) fn read(state: &StateFolder) -> Self {
        Self {
            kept: Kept::read(state),
            aside: SetAside::read(state),
            watch: None,
            ended: None,
            unrouted: Unrouted::default(),
        }
    }

    /// What whoever looks at the status should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let aside = self.aside.as_ref();
        let aside = aside.map(|it| format!("the file on disk is not in force: {}", it.says()));
        let failed = self.ended.as_ref().filter(|it| it.state == "failed");
        let failed = failed.map(|it| {
            format!(
                "services suffer from the last change, and it can't be taken back: {}",
                it.evidence
            )
        });
        aside.into_iter().chain(failed).collect()
    }
}

/// Nothing was put in force.
struct NotDone {
    /// To the one who asked.
    problem: Problem,
    /// To the journal, which must not hold lines of the file; `None`: what the one who asked is told.
    why: Option<String>,
}

/// What is not applied.
enum NotApplied {
    NotDone(NotDone),
    /// It waits for others.
    Waits(Waiting),
}

impl<T: Into<NotDone>> From<T> for NotApplied {
    fn from(not_done: T) -> Self {
        Self::NotDone(not_done.into())
    }
}

impl NotDone {
    fn loading(error: LoadError) -> Self {
        Self {
            problem: planning::refused(&error),
            why: Some(error.without_text_of_the_file()),
        }
    }
}

impl From<Problem> for NotDone {
    fn from(problem: Problem) -> Self {
        Self { problem, why: None }
    }
}

impl Process {
    /// What comes into force with the start is kept, and a watch that another process left is gone on with.
    pub(super) fn begin_changing(&mut self) {
        let text_hash = sha256(&self.loaded.text);
        let says = self.changing.aside.as_ref().map(SetAside::says);
        let is_aside = self.changing.aside.as_ref().is_some_and(|it| {
            let on_disk = std::fs::read_to_string(&it.file);
            on_disk.is_ok_and(|text| sha256(&text) == it.sha256) && text_hash != it.sha256
        });
        if let (true, Some(says)) = (is_aside, says) {
            tracing::warn!("{says}");
            let text = format!("started with what was in force before: {says}");
            let body = json!({ "text": text, "what": "set-aside", "after": self.loaded.hash });
            self.journal.write("refusal", "configuration", &body);
            self.note(None, text);
        } else {
            self.changing.aside = None;
            SetAside::remove(&self.state);
        }
        self.remember(How::Start, "start", None, None);
        let now = self.clock.timestamp();
        let Some(watch) = Watching::resume(&self.state, now, WATCH_AFTER_START) else {
            return;
        };
        if watch.watched.sha256 != text_hash {
            Watching::forget(&self.state);
            return;
        }
        watch.keep(&self.state);
        let text = format!(
            "goes on watching the change by {} after a restart, the {}. of at most {}",
            watch.watched.by,
            watch.watched.starts,
            STARTS_MAX - 1
        );
        let body = json!({ "text": text, "what": "watch", "plan": watch.watched.plan, "services": watch.services() });
        self.journal.write("change", "configuration", &body);
        tracing::info!("{text}");
        self.changing.watch = Some(watch);
        self.show_changing();
    }

    /// A file that was set aside is not reloaded as it is; the access log is opened again all the same, for who rotates logs
    /// asks in this way.
    pub(super) fn refuse_set_aside(&mut self, loaded: &Loaded) -> Result<(), Refused> {
        let Some(aside) = &self.changing.aside else {
            return Ok(());
        };
        if aside.sha256 != sha256(&loaded.text) {
            return Ok(());
        }
        let why = aside.says();
        self.reopen_access_log();
        let said = format!("error: {why}");
        Err(Refused { said, why })
    }

    /// The access log as it is in force, at the place that it has now.
    pub(super) fn reopen_access_log(&self) {
        if let Err(error) = (self.access_log).reopen(&self.loaded.config.gateway.log.to) {
            tracing::warn!(error = %with_causes(&error), "the access log stays where it was");
        }
    }

    /// The file was read again and is in force.
    pub(super) fn on_reloaded(&mut self, by: &str, before: &str) {
        if before != self.loaded.text {
            self.supersede(format!("{by} reloaded another configuration"));
        }
        self.set_aside(None);
        self.remember(How::Reload, by, None, None);
    }

    /// Applies exactly what was planned.
    pub(super) async fn apply_plan(
        &mut self,
        asking: &Asking,
        applying: Applying,
        tell: Tell<Changed>,
    ) {
        let (said, body) = match self.try_to_apply(asking, &applying).await {
            Ok(done) => done,
            Err(NotApplied::Waits(waiting)) => return self.tell_waiting(waiting, tell),
            Err(NotApplied::NotDone(NotDone { problem, why })) => {
                let why = why.unwrap_or_else(|| problem.to_string());
                let text = format!("apply refused: {why}");
                let body =
                    json!({ "text": text, "why": why, "by": asking.by, "plan": applying.plan });
                self.journal.write("refusal", "configuration", &body);
                return answer(tell, Err(problem));
            }
        };
        tracing::info!("{said}");
        self.journal
            .write_then("change", "configuration", &body, move |written| {
                let written = written.map(|record| Some(record.sequence));
                answer(tell, Ok(changed(said, written)));
            });
        self.tick();
    }

    async fn try_to_apply(
        &mut self,
        asking: &Asking,
        applying: &Applying,
    ) -> Result<(String, Value), NotApplied> {
        let by = asking.by.as_str();
        self.can_change()?;
        if let Some(watch) = &self.changing.watch {
            let problem = Problem::conflict(format!(
                "the change by {} is watched until {}: apply the next one then, or go back with `plimsoll config rollback`",
                watch.watched.by,
                watch.view("", String::new()).until.to_rfc3339()
            ));
            return Err(problem.into());
        }
        let in_force = self.view.in_force.load_full();
        let file = in_force.file()?;
        let source = Source::File(file.into());
        let loaded = configuration::load(&source, &self.run).map_err(NotDone::loading)?;
        let (former, after) = (self.loaded.text.clone(), sha256(&loaded.text));
        if planning::hash(&sha256(&former), &after) != applying.plan {
            let problem = Problem::conflict(format!(
                "this was planned for something else: what is in force has changed since, or {file} has; plan again"
            ));
            return Err(problem.into());
        }
        let planned = Asking {
            by: by.to_owned(),
            why: applying.how.why.clone(),
            is_fix: asking.is_fix,
            glass: asking.glass.clone(),
            carries: asking.carries,
            plan: Some((applying.plan.clone(), applying.watch.as_secs())),
        };
        match self.may_reload(&planned, &loaded) {
            Ok(()) => (),
            Err(NotReloaded::Waits(waiting)) => return Err(NotApplied::Waits(waiting)),
            Err(NotReloaded::Blocked(problem)) => return Err(problem.into()),
            Err(NotReloaded::Refused(refused)) => {
                return Err(NotDone {
                    problem: Problem::invalid(refused.said),
                    why: Some(refused.why),
                }
                .into());
            }
        }
        let (watch, watched) = self.watch_of(by, applying, &loaded, former, after);
        // First of all: a process that dies of it must know what it died of.
        if let Some(watch) = &watch {
            watch.keep(&self.state);
        }
        let before = match self.put_in_force(loaded, source).await {
            Ok(before) => before,
            Err(not_done) => {
                Watching::forget(&self.state);
                return Err(not_done.into());
            }
        };
        self.changing.ended = None;
        self.changing.watch = watch;
        self.set_aside(None);
        self.remember(
            How::Apply,
            by,
            applying.how.why.clone(),
            Some(&applying.plan),
        );
        let mut body = journal::configuration(Some(&before), &self.loaded);
        if let Some(body) = body.as_object_mut() {
            body.insert("by".to_owned(), by.into());
            body.insert("why".to_owned(), json!(applying.how.why));
            body.insert("plan".to_owned(), json!(applying.plan));
            body.insert("watched".to_owned(), json!(watched));
        }
        Ok((format!("applied: {file}; {watched}"), body))
    }

    async fn put_in_force(&mut self, loaded: Loaded, source: Source) -> Result<String, NotDone> {
        let taken = self.take_over(loaded, source).await;
        taken.map_err(|refused| NotDone {
            problem: Problem::invalid(refused.said),
            why: Some(refused.why),
        })
    }

    /// What is to be watched of a change, and that in words.
    fn watch_of(
        &self,
        by: &str,
        applying: &Applying,
        loaded: &Loaded,
        former: String,
        sha256: String,
    ) -> (Option<Watching>, String) {
        if applying.watch.is_zero() {
            return (None, "not watched, as asked for".to_owned());
        }
        let keys = plimsoll_config::changed_keys(&former, &loaded.text);
        let now = self.clock.timestamp();
        let (old, new) = (&self.loaded.config, &loaded.config);
        let change = configuration_changed(now, &keys, old, new, "");
        let begun = Begun {
            plan: applying.plan.clone(),
            by: by.to_owned(),
            sha256,
            file: loaded.path.clone().unwrap_or_default(),
            former,
        };
        let watch = change.and_then(|change| {
            let courses = lock(&self.view.courses);
            let seconds = applying.watch.as_secs();
            let seen = (&*courses, &self.changing.unrouted);
            Watching::begin(begun, &change.scope, new, seen, now, seconds)
        });
        let Some(watch) = watch else {
            let text = "nothing to watch: no request of a service notices it";
            return (None, text.to_owned());
        };
        let services = watch.services().len();
        let text = format!(
            "watched for {}: {services} service{}",
            plimsoll_config::show_duration(applying.watch),
            if services == 1 { "" } else { "s" }
        );
        (Some(watch), text)
    }

    /// Looks at what is watched; to be called each second.
    pub(super) async fn follow_watch(&mut self) {
        let served = self.measure.ended();
        let served = served.map(|(_, causes, _)| causes.total()).sum();
        let (at, none) = (self.measure.second().at, self.measure.ended_unrouted());
        self.changing.unrouted.on_second(at, served, none);
        // A successor goes on with it.
        if self.handing_over {
            return;
        }
        let Some(watch) = &mut self.changing.watch else {
            return;
        };
        let suffers = watch.look(&lock(&self.view.courses), &self.changing.unrouted);
        let died_often = watch.watched.starts >= STARTS_MAX;
        let is_over = self.clock.timestamp().as_seconds() >= watch.watched.until;
        let seen = watch.seen();
        match (suffers, died_often) {
            (Some(suffers), _) => self.return_to_former(suffers.says(), Some(&suffers)).await,
            (None, true) => {
                let why = format!("the process began {STARTS_MAX} times while it was watched");
                self.return_to_former(why, None).await;
            }
            (None, false) if is_over => {
                let text = format!("the change is kept: no service suffers; {seen}");
                self.journal_verdict("kept", &text, None);
                tracing::info!("{text}");
                self.end_watch("kept", seen);
            }
            (None, false) => self.show_changing(),
        }
    }

    /// Services suffer: what was in force before is so again.
    async fn return_to_former(&mut self, why: String, suffers: Option<&Suffers>) {
        let Some(watch) = &self.changing.watch else {
            return;
        };
        let watched = watch.watched.clone();
        let now = self.clock.timestamp();
        // First of all: a process that is killed now must not begin with the file that harms.
        self.set_aside(Some(SetAside {
            sha256: watched.sha256,
            file: watched.file.clone(),
            at: now.to_rfc3339(),
            by: SELF.to_owned(),
            why: why.clone(),
            instead: watched.former.clone(),
        }));
        let former = Source::LastGood {
            text: watched.former,
            file: watched.file.clone(),
        };
        let loaded = configuration::load(&former, &self.run).map_err(|error| error.to_string());
        let returned = match loaded {
            Ok(loaded) => {
                let source = Source::File(watched.file.into());
                let taken = self.take_over(loaded, source).await;
                taken.map_err(|refused| refused.said)
            }
            Err(said) => Err(said),
        };
        match returned {
            Ok(before) => {
                let text = format!("returned to the configuration before: {why}");
                tracing::warn!("{text}");
                self.journal_verdict("returned", &text, suffers);
                let mut body = journal::configuration(Some(&before), &self.loaded);
                if let Some(body) = body.as_object_mut() {
                    body.insert("by".to_owned(), SELF.into());
                    body.insert("why".to_owned(), why.clone().into());
                }
                self.journal.write("change", "configuration", &body);
                self.remember(How::Return, SELF, Some(why.clone()), None);
                self.end_watch("returned", why);
            }
            Err(said) => {
                let text = format!(
                    "services suffer, and the configuration before can't be in force again: {why}"
                );
                tracing::error!("{text}");
                say(&said);
                self.journal_verdict("failed", &text, suffers);
                self.set_aside(None);
                self.end_watch("failed", why);
            }
        }
    }

    fn journal_verdict(&self, verdict: &str, text: &str, suffers: Option<&Suffers>) {
        let Some(watch) = &self.changing.watch else {
            return;
        };
        let evidence = suffers.map(|it| {
            let it = it.evidence;
            json!({
                "share_before": it.before,
                "share_after": it.after,
                "bad": it.bad,
                "requests": it.requests,
                "bets": it.bets,
            })
        });
        let body = json!({
            "text": text,
            "what": "watch",
            "verdict": verdict,
            "plan": watch.watched.plan,
            "by": watch.watched.by,
            "services": watch.services(),
            "suffers": suffers.map(|it| it.service.as_str()).filter(|it| !it.is_empty()),
            "evidence": evidence,
        });
        self.journal.write("decision", "configuration", &body);
    }

    /// Another configuration is in force than the one that is watched.
    fn supersede(&mut self, why: String) {
        let text = format!("the change is watched no longer: {why}");
        self.journal_verdict("superseded", &text, None);
        self.end_watch("superseded", why);
    }

    fn end_watch(&mut self, state: &str, evidence: String) {
        if let Some(watch) = self.changing.watch.take() {
            self.changing.ended = Some(watch.view(state, evidence));
            Watching::forget(&self.state);
        }
        self.show_changing();
    }

    fn set_aside(&mut self, aside: Option<SetAside>) {
        match &aside {
            Some(aside) => aside.write(&self.state),
            None => SetAside::remove(&self.state),
        }
        self.changing.aside = aside;
    }

    /// What is in force now is kept, if it is another than before.
    fn remember(&mut self, how: How, by: &str, why: Option<String>, plan: Option<&str>) {
        if let Some(file) = self.loaded.path.clone() {
            let is_new = self.changing.kept.latest() != Some(&sha256(&self.loaded.text));
            if is_new {
                let origin = Origin {
                    how,
                    by: by.to_owned(),
                    why,
                    plan: plan.map(str::to_owned),
                };
                let now = self.clock.timestamp();
                self.changing
                    .kept
                    .add(now, origin, &file, &self.loaded.text);
            }
        }
        self.show_changing();
    }

    /// Whoever asks sees how it stands now.
    fn show_changing(&self) {
        let changing = &self.changing;
        self.view.in_force.store(
            InForce {
                text: self.loaded.text.clone(),
                file: self.loaded.path.clone(),
                set_aside: changing.aside.clone(),
                approvals: self.loaded.config.approvals.clone(),
            }
            .into(),
        );
        let watching = changing.watch.as_ref();
        let watching = watching.map(|it| it.view("watching", it.seen()));
        self.view.configurations.store(
            Configurations {
                configurations: changing.kept.views(),
                watch: watching.or_else(|| changing.ended.clone()),
                set_aside: changing.aside.as_ref().map(SetAside::says),
            }
            .into(),
        );
    }

    /// Puts a configuration in force again that was before.
    pub(super) async fn roll_back(
        &mut self,
        by: &str,
        wanted: RollbackWanted,
        tell: Tell<Changed>,
    ) {
        let (said, body) = match self.try_to_roll_back(by, wanted).await {
            Ok(done) => done,
            Err(not_done) => return answer(tell, Err(not_done.problem)),
        };
        tracing::info!("{said}");
        self.journal
            .write_then("change", "configuration", &body, move |written| {
                let written = written.map(|record| Some(record.sequence));
                answer(tell, Ok(changed(said, written)));
            });
        self.tick();
    }

    /// Going back waits for nobody, for something may be on fire; where others would have to agree, it is said as loudly as what is
    /// done without them. What would take a rule out on the way is refused.
    fn needed_to_go_back(
        &self,
        by: &str,
        wanted: &RollbackWanted,
        loaded: &Loaded,
    ) -> Result<Option<(Wanted, Needed, Touching)>, Problem> {
        let (before, after) = (&self.loaded, loaded);
        let rules = reloading::rules(&before.config, &after.config);
        let mut in_force = before.config.approvals.iter();
        if !in_force.all(|rule| after.config.approvals.contains(rule)) {
            return Err(Problem::forbidden(
                "that configuration lacks an approval rule that is in force, or has another: put it in the file, and reload or apply it",
            ));
        }
        let keys = plimsoll_config::changed_keys(&before.text, &after.text);
        let touching = touched(&before.config, &after.config, &keys);
        let asking = Asking {
            why: wanted.why.clone(),
            ..Asking::by(by)
        };
        let what = reloading::wanted((&before.text, &after.text), &asking);
        let needed = self.approval_needed(&rules, &what, &touching);
        Ok(needed.map(|needed| (what, needed, touching)))
    }

    async fn try_to_roll_back(
        &mut self,
        by: &str,
        wanted: RollbackWanted,
    ) -> Result<(String, Value), NotDone> {
        self.can_change()?;
        let in_force = sha256(&self.loaded.text);
        let number = match wanted.number {
            Some(number) => number,
            None => self.changing.kept.before(&in_force).ok_or_else(|| {
                Problem::not_found("no other configuration is kept to go back to")
            })?,
        };
        let kept = kept::read(&self.state, number).ok_or_else(|| {
            Problem::not_found(format!(
                "configuration {number} is not kept: see `plimsoll config list`"
            ))
        })?;
        if kept.sha256 == in_force {
            let text = format!("configuration {number} is in force already");
            return Err(Problem::conflict(text).into());
        }
        let former = Source::LastGood {
            text: kept.text,
            file: kept.file.clone(),
        };
        let loaded = configuration::load(&former, &self.run).map_err(NotDone::loading)?;
        let source = Source::File(kept.file.clone().into());
        let needed = self.needed_to_go_back(by, &wanted, &loaded)?;
        let before = self.put_in_force(loaded, source).await?;
        if let Some((what, needed, touching)) = needed {
            let why = wanted.why.as_deref().unwrap_or("went back");
            self.break_glass(by, why, what, needed, &touching);
        }
        self.supersede(format!("{by} went back to configuration {number}"));
        // What the file says now is not what is wanted; where it says the same, or nothing, there is nothing to set aside.
        let on_disk = std::fs::read_to_string(&kept.file).ok();
        let aside = on_disk.map(|text| sha256(&text));
        let aside = aside
            .filter(|it| *it != kept.sha256)
            .map(|sha256| SetAside {
                sha256,
                file: kept.file.clone(),
                at: self.clock.timestamp().to_rfc3339(),
                by: by.to_owned(),
                why: wanted
                    .why
                    .clone()
                    .unwrap_or_else(|| format!("went back to configuration {number}")),
                instead: self.loaded.text.clone(),
            });
        self.set_aside(aside);
        self.remember(How::Rollback, by, wanted.why.clone(), None);
        let mut body = journal::configuration(Some(&before), &self.loaded);
        if let Some(body) = body.as_object_mut() {
            body.insert("by".to_owned(), by.into());
            body.insert("why".to_owned(), json!(wanted.why));
            body.insert("rolled_back_to".to_owned(), number.into());
        }
        Ok((format!("rolled back to configuration {number}"), body))
    }
}
