//! Who is called in the running process: what is open, and what receivers were told before a restart.
//!
//! What the governor has open is compared with what receivers know each second, so that nothing is told twice and nothing
//! stays open by a restart, a reload or a receiver that was away. What a receiver knows is kept in the store, with the
//! record of each message.
//! Elsewhere: how they are told (`plimsoll-console/src/notify`).

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_config::Config;
use plimsoll_console::notify::{
    Matter, Notification, NotifierError, Notifiers, Prepared, Quiet, Report, ReportResult, Stage,
    Told, key,
};
use plimsoll_core::Timestamp;
use plimsoll_governor::{Decision, What};
use plimsoll_measure::{Attention, Incidents, Urgency};
use serde_json::{Value, json};

use crate::exit::with_causes;
use crate::wiring;

/// Where the store keeps what receivers know, by name.
pub(crate) const PREFIX: &str = "notify/";
/// While the store can't say what receivers know, what a predecessor had open waits for so many ticks; then it is told,
/// maybe again.
const UNREAD_TICKS_MAX: u32 = 30;
/// After that it is asked again each so many ticks: what a predecessor told may have ended.
const READ_AGAIN_TICKS: u32 = 5;

/// Something that the governor has open.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenCall {
    pub(crate) service: String,
    pub(crate) objective: String,
    pub(crate) matter: Matter,
    pub(crate) urgency: Urgency,
}

/// A request for approval that people are told of.
pub(crate) struct Other {
    pub(crate) id: u64,
    /// What it needs was not waited for.
    pub(crate) is_broken: bool,
    /// The one service that it touches.
    pub(crate) service: Option<String>,
    /// The owner of all that it touches, where that is one.
    pub(crate) owner: Option<String>,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) at: Timestamp,
}

/// See the module's docs.
pub(crate) struct Notifying {
    pub(crate) notifiers: Notifiers,
    instance: String,
    /// Where people look.
    console: String,
    /// By key.
    open: BTreeMap<String, Notification>,
    /// Since the last tick.
    ended: Vec<Notification>,
    /// Of what is open, what a predecessor may have told.
    recalled: BTreeSet<String>,
    /// `None`: what receivers know is read.
    unread_ticks: Option<u32>,
    /// Receivers that could not be set up when the process began: each with why. Nobody tells them anything.
    not_set_up: Vec<String>,
    /// For so many ticks it is not known what people did about incidents.
    unread_incidents_ticks: u32,
    /// What people are told besides what the governor has open, by key: what waits for approval, what was done without.
    others: BTreeMap<String, Notification>,
}

impl Notifying {
    pub(crate) fn new(notifiers: Notifiers, instance: String, console: String) -> Self {
        Self {
            notifiers,
            instance,
            console,
            open: BTreeMap::new(),
            ended: Vec::new(),
            recalled: BTreeSet::new(),
            unread_ticks: Some(0),
            not_set_up: Vec::new(),
            unread_incidents_ticks: 0,
            others: BTreeMap::new(),
        }
    }

    /// The process begins: that somebody can't be called is no reason not to serve.
    pub(crate) fn begin(&mut self, config: &Config) {
        let (prepared, failed) = self
            .notifiers
            .prepare_those_that_can(wiring::notifiers(config));
        let _none_before = self.notifiers.apply(prepared);
        for error in failed {
            let why = with_causes(&error);
            tracing::error!(notifier = error.name, "{why}: it is told nothing");
            self.not_set_up.push(why);
        }
    }

    /// Reads what the receivers of a configuration need. Nothing changes yet.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Prepared, NotifierError> {
        self.notifiers.prepare(wiring::notifiers(config))
    }

    /// Puts the receivers of a configuration in force; names those that are gone.
    pub(crate) fn apply(&mut self, prepared: Prepared) -> Vec<String> {
        self.not_set_up.clear();
        self.notifiers.apply(prepared)
    }

    /// What someone should look at, beside how each receiver is.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        self.not_set_up
            .iter()
            .map(|why| format!("{why}: it is told nothing; mend it, then `plimsoll reload`"))
    }

    /// Whether it is known what receivers know.
    pub(crate) fn is_read(&self) -> bool {
        self.unread_ticks.is_none()
    }

    /// Whether the store is to be asked what receivers know.
    pub(crate) fn is_to_be_read(&self) -> bool {
        let often =
            |ticks: u32| ticks <= UNREAD_TICKS_MAX || ticks.is_multiple_of(READ_AGAIN_TICKS);
        self.unread_ticks.is_some_and(often)
    }

    /// What the store has of what receivers know.
    pub(crate) fn on_read(&mut self, kept: Vec<(String, Vec<u8>)>) {
        if self.unread_ticks.take().is_none() {
            return;
        }
        for (key, value) in kept {
            let name = key.strip_prefix(PREFIX).unwrap_or_default();
            match serde_json::from_slice::<Told>(&value) {
                Ok(told) => {
                    // It began when it was told, and with the words that it was told with.
                    for notification in &told.notifications {
                        if let Some(open) = self.open.get_mut(&notification.key())
                            && self.recalled.contains(&notification.key())
                        {
                            open.since = notification.since;
                            open.text.clone_from(&notification.text);
                        }
                    }
                    self.notifiers.recall(name, told);
                }
                Err(error) => {
                    tracing::warn!(name, %error, "what a notifier was told can't be read: it is told again");
                }
            }
        }
    }

    /// The governor has decided; `text` are its words.
    pub(crate) fn on_decision(
        &mut self,
        config: &Config,
        at: Timestamp,
        decision: &Decision,
        text: &str,
    ) {
        let evidence = decision.evidence.as_ref();
        let objective = evidence.map_or("", |it| it.objective.as_str());
        let (stage, matter, urgency) = match &decision.what {
            What::Page(page) => (Stage::Firing, Matter::Page, page.urgency),
            What::Resolved => (Stage::Resolved, Matter::Page, Urgency::Page),
            What::Absent(_) => (Stage::Firing, Matter::Absence, Urgency::Page),
            What::Returned => (Stage::Resolved, Matter::Absence, Urgency::Page),
            _ => return,
        };
        let call = OpenCall {
            service: decision.service.clone(),
            objective: objective.to_owned(),
            matter,
            urgency,
        };
        let key = key(&call.service, objective, matter.name());
        self.recalled.remove(&key);
        match stage {
            Stage::Firing => {
                let before = self.open.get(&key).and_then(|it| it.since);
                let since = before.unwrap_or(at);
                let notification = self.notification(config, &call, text, Some(since), at);
                self.open.insert(key, notification);
            }
            _ => {
                if let Some(begun) = self.open.remove(&key) {
                    self.ended.push(end(&begun, text, at));
                }
            }
        }
    }

    fn notification(
        &self,
        config: &Config,
        call: &OpenCall,
        text: &str,
        since: Option<Timestamp>,
        at: Timestamp,
    ) -> Notification {
        let service = config.services.get(&call.service);
        let (name, objective) = (&call.service, &call.objective);
        Notification {
            stage: Stage::Firing,
            matter: call.matter,
            urgency: call.urgency,
            urgency_before: None,
            service: name.clone(),
            owner: service.and_then(|it| it.owner.clone()),
            objective: objective.clone(),
            instance: self.instance.clone(),
            title: match call.matter {
                Matter::Absence => format!("{name} gets no requests any more"),
                _ => format!("{name} burns the error budget of {objective}"),
            },
            text: text.to_owned(),
            // A file is nothing that receivers could open.
            runbook: service
                .and_then(|it| it.runbook.as_ref()?.url())
                .map(str::to_owned),
            url: Some(self.console.clone()),
            since,
            at,
        }
        .cleaned()
    }

    /// A second is over, and this is what the governor has open; `remembers`: it knows what it had open before the start.
    /// `incidents` are what people know of it, `None` where that is not read yet. Says what somebody resolved.
    pub(crate) fn tick(
        &mut self,
        config: &Config,
        at: Timestamp,
        calls: &[OpenCall],
        remembers: bool,
        incidents: Option<&Incidents>,
    ) -> Vec<OpenCall> {
        let mut keys = BTreeSet::new();
        for call in calls {
            let key = key(&call.service, &call.objective, call.matter.name());
            if !self.open.contains_key(&key) {
                let text = match call.matter {
                    Matter::Absence => "they have stayed away since before Plimsoll's last start",
                    _ => "it has burnt since before Plimsoll's last start",
                };
                let notification = self.notification(config, call, text, None, at);
                self.open.insert(key.clone(), notification);
                self.recalled.insert(key.clone());
            }
            keys.insert(key);
        }
        self.open.retain(|key, _| keys.contains(key));
        self.recalled.retain(|key| keys.contains(key));
        let unwatched = |begun: &Notification| {
            let unwatched = || end(begun, "nobody watches it any more, or it ended unseen", at);
            // Nobody knows yet whether it lasts.
            remembers.then(unwatched)
        };
        let mut waits = false;
        if let Some(ticks) = &mut self.unread_ticks {
            *ticks = ticks.saturating_add(1);
            waits = *ticks <= UNREAD_TICKS_MAX;
        }
        if incidents.is_none() {
            self.unread_incidents_ticks = self.unread_incidents_ticks.saturating_add(1);
            waits |= self.unread_incidents_ticks <= UNREAD_TICKS_MAX;
        }
        let mut open = self.open.clone();
        if waits {
            open.retain(|key, _| !self.recalled.contains(key));
        }
        let mut dismissed = Vec::new();
        let quiet = match incidents {
            Some(incidents) => self.heed(incidents, &mut open, &mut dismissed, at),
            None => BTreeMap::new(),
        };
        if !waits {
            open.extend(self.others.clone());
        }
        let over = |begun: &Notification| end(begun, "it is over", at);
        let is_other =
            |it: &Notification| matches!(it.matter, Matter::Approval | Matter::BreakGlass);
        let passed_on = |begun: &Notification| {
            let now = open.get(&begun.key()).map(|it| &it.owner);
            let to = now.filter(|to| **to != begun.owner)?.as_ref()?;
            Some(end(begun, &format!("handed over to {to}"), at))
        };
        let ends = |begun: &Notification| match is_other(begun) {
            true => (!waits).then(|| over(begun)),
            false => passed_on(begun).or_else(|| unwatched(begun)),
        };
        self.notifiers.offer(&open, &self.ended, &quiet, ends);
        self.ended.clear();
        self.notifiers.tick();
        let is_dismissed = |call: &&OpenCall| {
            let key = key(&call.service, &call.objective, call.matter.name());
            dismissed.contains(&key)
        };
        calls.iter().filter(is_dismissed).cloned().collect()
    }

    /// What people did about incidents: whom they were handed over to, what has ended for them, and what is not to be told.
    fn heed(
        &mut self,
        incidents: &Incidents,
        open: &mut BTreeMap<String, Notification>,
        dismissed: &mut Vec<String>,
        now: Timestamp,
    ) -> BTreeMap<String, Quiet> {
        let mut quiet = BTreeMap::new();
        open.retain(|key, it| {
            // Where nobody is called for the new owner, those of the old one stay called.
            if let Some(to) = incidents.handed_over_to(&it.service)
                && self.notifiers.are_for(Some(to))
            {
                it.owner = Some(to.to_owned());
            }
            // What was said before somebody did something, in this process or an earlier one. What was said after it is news.
            let is_known = |did: Timestamp| it.at <= did || self.recalled.contains(key);
            let is_absence = it.matter == Matter::Absence;
            match incidents.attention(&it.service, &it.objective, is_absence, now) {
                Attention::Silent(since) if is_known(since) => {
                    quiet.insert(key.clone(), Quiet::Silenced);
                }
                Attention::Acknowledged(since) if is_known(since) => {
                    quiet.insert(key.clone(), Quiet::Acknowledged);
                }
                Attention::Dismissed { how, at } if is_known(at) => {
                    self.ended.push(end(it, &how, now));
                    dismissed.push(key.clone());
                    return false;
                }
                _ => (),
            }
            true
        });
        quiet
    }

    /// What people are told of requests for approval, from the next tick on.
    pub(crate) fn set_others(&mut self, others: Vec<Other>) {
        let others = others.into_iter().map(|it| {
            let matter = if it.is_broken {
                Matter::BreakGlass
            } else {
                Matter::Approval
            };
            let urgency = if it.is_broken {
                Urgency::Page
            } else {
                Urgency::Ticket
            };
            let service = it.service.unwrap_or_else(|| "all services".to_owned());
            let notification = Notification {
                stage: Stage::Firing,
                matter,
                urgency,
                urgency_before: None,
                objective: format!("request {}", it.id),
                service,
                owner: it.owner,
                instance: self.instance.clone(),
                title: it.title,
                text: it.text,
                runbook: None,
                url: Some(format!("{}approvals/{}", self.console, it.id)),
                since: Some(it.at),
                at: it.at,
            }
            .cleaned();
            (notification.key(), notification)
        });
        self.others = others.collect();
    }

    /// A test, as it is sent.
    pub(crate) fn test(&self, by: &str, at: Timestamp) -> Notification {
        Notification::test(&self.instance, by, Some(self.console.clone()), at)
    }
}

/// The end of what has begun.
fn end(begun: &Notification, text: &str, at: Timestamp) -> Notification {
    let (service, objective) = (&begun.service, &begun.objective);
    Notification {
        stage: Stage::Resolved,
        urgency_before: None,
        title: match begun.matter {
            Matter::Page => format!("{service} is within the error budget of {objective} again"),
            Matter::Absence => format!("{service} gets requests again"),
            Matter::Approval => format!("a request about {service} does not wait any more"),
            Matter::BreakGlass => format!("{}: a day is over", begun.title),
        },
        text: text.to_owned(),
        at,
        ..begun.clone()
    }
    .cleaned()
}

/// What there is to say of an attempt, and the journal's body; `None`: nothing that was not said before.
pub(crate) fn record(report: &Report) -> Option<(String, Value)> {
    let again = report.result == ReportResult::Failed && !report.is_turn;
    let silent = report.notifications.is_empty() && !report.is_turn;
    if again || silent {
        return None;
    }
    let target = &report.target;
    let about: Vec<String> = report
        .notifications
        .iter()
        .map(|it| format!("{} of {}/{}", it.event(), it.service, it.objective))
        .collect();
    let about = match about.as_slice() {
        [] => "what it is told regularly".to_owned(),
        about => about.join(", "),
    };
    let why = report.why.as_deref().unwrap_or_default();
    let text = match report.result {
        ReportResult::Delivered if report.why.is_some() => {
            format!("told {target}: {about}, but {why}")
        }
        ReportResult::Delivered => format!("told {target}: {about}"),
        ReportResult::Failed => format!("{target} is not told {about}, and will be: {why}"),
        ReportResult::Refused => format!("{target} refuses {about}: {why}"),
        ReportResult::GivenUp => format!("{target} was not told {about}, for hours: {why}"),
    };
    let keys: Vec<String> = report.notifications.iter().map(Notification::key).collect();
    let body = json!({
        "text": text, "target": target, "result": report.result.name(), "keys": keys, "why": report.why,
        "seconds": report.took.as_secs_f64(),
    });
    Some((text, body))
}

#[cfg(test)]
mod tests {
    use plimsoll_upstream::Clock;
    use tokio::sync::mpsc;

    use super::*;

    const FILE: &str = "[service.shop]\nendpoints = \"http://127.0.0.1:9\"\n\
        [[route]]\nservice = \"shop\"\n\
        [notify.oncall]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/a\"\n";
    const AT: Timestamp = Timestamp::from_seconds(1_795_615_852);

    /// A process that has just begun. What it tells is not sent: the test never waits.
    struct World {
        config: Config,
        notifying: Notifying,
        incidents: Option<Incidents>,
        now: Timestamp,
        sequence: u64,
        /// By the last tick.
        dismissed: Vec<OpenCall>,
    }

    impl World {
        fn new() -> Self {
            let (config, _) = plimsoll_config::parse(FILE, "plimsoll.toml").unwrap();
            let notifiers = Notifiers::new(Clock::new(), 7, mpsc::channel(8).0);
            let mut notifying = Notifying::new(notifiers, "edge-1".into(), "http://a/".into());
            notifying.begin(&config);
            Self {
                config,
                notifying,
                incidents: Some(Incidents::default()),
                now: AT,
                sequence: 0,
                dismissed: Vec::new(),
            }
        }

        /// What the store has of a predecessor that told of a page.
        fn kept(&self) -> Vec<(String, Vec<u8>)> {
            let begun = Some(AT);
            let page = self
                .notifying
                .notification(&self.config, &call(), "it burns", begun, AT);
            let [target] = wiring::notifiers(&self.config).try_into().unwrap();
            let told = Told {
                whereabouts: target.whereabouts(),
                notifications: vec![page],
            };
            vec![(
                format!("{PREFIX}oncall"),
                serde_json::to_vec(&told).unwrap(),
            )]
        }

        /// How much waits to be told after a second.
        fn tick(&mut self, calls: &[OpenCall], remembers: bool) -> u64 {
            let incidents = self.incidents.as_ref();
            let now = self.now;
            self.dismissed = self
                .notifying
                .tick(&self.config, now, calls, remembers, incidents);
            self.notifying.notifiers.views()[0].waiting
        }

        /// The governor calls.
        fn page(&mut self) {
            self.notifying
                .on_decision(&self.config, self.now, &page(), "it burns");
            let body = json!({ "decision": page() }).to_string();
            self.record("decision", "service/shop", &body);
        }

        fn record(&mut self, kind: &str, subject: &str, body: &str) {
            self.sequence += 1;
            let record = plimsoll_measure::IncidentRecord {
                sequence: self.sequence,
                at: self.now,
                kind,
                subject,
                body: body.as_bytes(),
            };
            self.incidents.as_mut().unwrap().on_record(record);
        }

        /// Somebody does something about the first incident.
        fn does(&mut self, mut deed: Value) {
            deed["by"] = "ana".into();
            self.record("incident", "incident/1", &deed.to_string());
        }

        fn later(&mut self, seconds: u64) {
            self.now = self.now + std::time::Duration::from_secs(seconds);
        }
    }

    fn page() -> Decision {
        Decision {
            service: "shop".into(),
            mode: plimsoll_core::Mode::Enforce,
            what: What::Page(plimsoll_governor::Page {
                urgency: Urgency::Page,
                burn: 14.4,
                evidence: 1e6,
                bar: 1e5,
            }),
            evidence: Some(plimsoll_governor::Evidence {
                objective: "availability".into(),
                target: plimsoll_core::Ratio::try_from(0.999).unwrap(),
                budget_left: None,
                spans: Vec::new(),
            }),
        }
    }

    fn call() -> OpenCall {
        OpenCall {
            service: "shop".into(),
            objective: "availability".into(),
            matter: Matter::Page,
            urgency: Urgency::Page,
        }
    }

    #[tokio::test]
    async fn no_end_is_told_before_the_governor_knows_what_it_had_open() {
        let mut world = World::new();
        world.notifying.on_read(world.kept());
        assert_eq!(world.tick(&[], false), 0);
        assert_eq!(world.tick(&[call()], true), 0, "it lasts, and is known");
        assert_eq!(world.tick(&[], true), 1, "it has ended");
    }

    #[tokio::test]
    async fn what_is_read_late_is_still_told_to_have_ended() {
        let mut world = World::new();
        for _ in 0..=UNREAD_TICKS_MAX {
            assert_eq!(world.tick(&[], true), 0);
        }
        let asked = (0..READ_AGAIN_TICKS).filter(|_| {
            world.tick(&[], true);
            world.notifying.is_to_be_read()
        });
        assert_eq!(asked.count(), 1);
        world.notifying.on_read(world.kept());
        assert_eq!(world.tick(&[], true), 1);
    }

    #[tokio::test]
    async fn what_may_have_been_told_waits_for_the_store_and_not_for_ever() {
        let mut world = World::new();
        for _ in 0..UNREAD_TICKS_MAX {
            assert_eq!(world.tick(&[call()], true), 0);
        }
        assert_eq!(world.tick(&[call()], true), 1);
    }

    #[tokio::test]
    async fn what_is_silenced_is_told_to_nobody_until_the_silence_is_over() {
        let mut world = World::new();
        world.page();
        assert_eq!(world.tick(&[call()], true), 1, "it waits to be told");
        let until = (AT + std::time::Duration::from_secs(60)).to_rfc3339();
        world.does(json!({ "what": "silence", "until": until, "why": "known" }));
        assert_eq!(world.tick(&[call()], true), 0, "it is taken back");
        world.later(59);
        assert_eq!(world.tick(&[call()], true), 0);
        world.later(1);
        assert_eq!(world.tick(&[call()], true), 1);
    }

    #[tokio::test]
    async fn what_is_silenced_is_told_to_have_ended_to_whom_it_was_told() {
        let mut world = World::new();
        world.notifying.on_read(world.kept());
        world.page();
        let until = (AT + std::time::Duration::from_secs(60)).to_rfc3339();
        world.does(json!({ "what": "silence", "until": until, "why": "known" }));
        assert_eq!(world.tick(&[call()], true), 0);
        assert_eq!(world.tick(&[], true), 1);
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_not_told_again_and_what_gets_worse_is() {
        let mut world = World::new();
        world.page();
        world.does(json!({ "what": "acknowledge" }));
        assert_eq!(world.tick(&[call()], true), 0);
        world.later(9);
        world.page();
        assert_eq!(world.tick(&[call()], true), 1);
    }

    #[tokio::test]
    async fn what_somebody_resolved_is_told_to_have_ended_though_it_burns_on() {
        let mut world = World::new();
        world.notifying.on_read(world.kept());
        world.page();
        assert_eq!(world.tick(&[call()], true), 0, "it is known");
        world.does(json!({ "what": "resolve", "why": "a drill" }));
        assert_eq!(world.tick(&[call()], true), 1);
        assert_eq!(world.dismissed, [call()], "the governor hears of it");
        assert_eq!(world.tick(&[call()], true), 1, "once");
    }

    #[tokio::test]
    async fn a_page_after_a_resolution_is_told_while_its_record_waits() {
        let mut world = World::new();
        world.page();
        world.does(json!({ "what": "resolve", "why": "a drill" }));
        assert_eq!(world.tick(&[call()], true), 0);
        assert_eq!(world.tick(&[], true), 0);
        world.later(9);
        let (config, now) = (&world.config, world.now);
        world
            .notifying
            .on_decision(config, now, &page(), "it burns again");
        assert_eq!(world.tick(&[call()], true), 1);
        assert_eq!(world.dismissed, []);
    }

    #[tokio::test]
    async fn what_comes_after_a_silence_began_is_told() {
        let mut world = World::new();
        world.page();
        let until = (AT + std::time::Duration::from_secs(60)).to_rfc3339();
        world.does(json!({ "what": "silence", "until": until, "why": "known" }));
        assert_eq!(world.tick(&[call()], true), 0);
        world.later(9);
        world.page();
        assert_eq!(world.tick(&[call()], true), 1, "it got louder");
    }

    #[tokio::test]
    async fn what_is_handed_to_somebody_whom_nobody_calls_stays_with_those_who_were_called() {
        let mut world = World::new();
        let file = format!("{FILE}owners = [\"shop\"]\n")
            .replace("[[route]]", "owner = \"shop\"\n[[route]]");
        world.config = plimsoll_config::parse(&file, "plimsoll.toml").unwrap().0;
        world.notifying.begin(&world.config);
        world.notifying.on_read(world.kept());
        world.page();
        assert_eq!(world.tick(&[call()], true), 0, "it is known");
        world.does(json!({ "what": "hand-over", "to": "supply", "why": null }));
        assert!(!world.notifying.notifiers.are_for(Some("supply")));
        assert_eq!(world.tick(&[call()], true), 0, "no end is told");
    }

    #[tokio::test]
    async fn after_a_restart_nothing_is_told_before_it_is_known_what_people_did() {
        let mut world = World::new();
        world.notifying.on_read(Vec::new());
        world.page();
        let incidents = world.incidents.take();
        world.notifying.open.clear();
        for _ in 0..UNREAD_TICKS_MAX {
            assert_eq!(world.tick(&[call()], true), 0);
        }
        world.incidents = incidents;
        world.does(json!({ "what": "acknowledge" }));
        assert_eq!(world.tick(&[call()], true), 0);
    }
}
