//! What came of calling people is logged and journaled, and what receivers know is kept with it.

use plimsoll_console::notify::{Report, ReportResult};
use plimsoll_console::{Problem, Tried};
use plimsoll_store::{Change, NotChanged};
use serde_json::json;

use super::Process;
use super::changes::answer;
use crate::asked::Tell;
use crate::notifying::{self, PREFIX};

impl Process {
    /// Compares what is open with what receivers know.
    pub(super) fn tick_notifying(&mut self) {
        // A successor does; if it fails, the next tick finds what was missed.
        if self.handing_over {
            return;
        }
        if self.notifying.is_to_be_read() {
            self.read_told();
        }
        self.notifying.set_others(self.requests_to_tell());
        let calls = self.governing.open_calls();
        let at = self.clock.timestamp();
        let remembers = self.budgets.is_loaded();
        let incidents = self.incidents.incidents();
        let config = &self.loaded.config;
        let dismissed = self
            .notifying
            .tick(config, at, &calls, remembers, incidents);
        for call in &dismissed {
            self.governing.dismiss(call);
        }
    }

    fn read_told(&self) {
        let later = self.later.clone();
        self.journal.ask(move |store| {
            let values = store.values(PREFIX)?;
            later.go_on(move |process| {
                let kept = values.into_iter().map(|(key, kept)| (key, kept.value));
                process.notifying.on_read(kept.collect());
            });
            Ok(())
        });
    }

    /// A receiver was told, or was not.
    pub(super) fn on_notice(&mut self, report: &Report) {
        let Some((text, body)) = notifying::record(report) else {
            return;
        };
        let notifier = report.target.as_str();
        match report.result {
            ReportResult::Delivered if report.why.is_none() => tracing::info!(notifier, "{text}"),
            ReportResult::Delivered | ReportResult::Failed => tracing::warn!(notifier, "{text}"),
            ReportResult::Refused | ReportResult::GivenUp => tracing::error!(notifier, "{text}"),
        }
        self.note(None, text);
        let subject = format!("notifier/{notifier}");
        // What a predecessor told is not written over before it was read.
        let changes_nothing = report.notifications.is_empty()
            || report.result == ReportResult::Failed
            || !self.notifying.is_read();
        if changes_nothing {
            return self.journal.write("notice", &subject, &body);
        }
        let told = serde_json::to_vec(&report.told).ok();
        let entry = self.journal.entry("notice", &subject, &body);
        let change = Change {
            entry: entry.clone(),
            key: format!("{PREFIX}{notifier}"),
            expected: None,
            value: Box::new(move |_| told.clone()),
        };
        let later = self.later.clone();
        self.journal.change(change, move |said| {
            if let Err(NotChanged::Failed(_) | NotChanged::Conflict) = said {
                // Its record waits; after a restart before the next message it may be told again.
                later.go_on(move |process| process.journal.append(entry));
            }
        });
    }

    /// Receivers are gone: if they come again, they know nothing.
    pub(super) fn forget_notifiers(&self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        self.journal.ask(move |store| {
            for name in &names {
                let key = format!("{PREFIX}{name}");
                if let Some(kept) = store.value(&key)? {
                    store.compare_and_set(&key, kept.version, None)?;
                }
            }
            Ok(())
        });
    }

    /// Tries whether a test arrives, without waiting for it here.
    pub(super) fn try_notifiers(&mut self, by: String, name: Option<String>, tell: Tell<Tried>) {
        let names: Vec<&str> = self.notifying.notifiers.names().collect();
        if let Some(name) = name.as_deref().filter(|name| !names.contains(name)) {
            let meant = plimsoll_config::nearest(name, names.iter().copied());
            let meant = meant.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            let name = crate::status::look::clean(name);
            let text = format!("there is no notifier `{name}`{meant}");
            return answer(tell, Err(Problem::not_found(text)));
        }
        if names.is_empty() {
            let text = "nobody is called: the configuration has no [notify.NAME]";
            return answer(tell, Err(Problem::not_found(text)));
        }
        let test = self.notifying.test(&by, self.clock.timestamp());
        let tried = self.notifying.notifiers.test(name.as_deref(), &test);
        let later = self.later.clone();
        tokio::spawn(async move {
            let tried = tried.await;
            let said = tried.clone();
            later.go_on(move |process| process.on_tried(&by, &said));
            answer(tell, Ok(tried));
        });
    }

    fn on_tried(&mut self, by: &str, tried: &Tried) {
        for target in &tried.targets {
            let name = &target.name;
            let result = match target.arrived {
                true => "it arrived".to_owned(),
                false => target.why.clone().unwrap_or_default(),
            };
            let text = format!("{by} tried notifier {name}: {result}");
            tracing::info!(notifier = name, "{text}");
            self.note(None, text.clone());
            let body = json!({
                "text": text, "target": name, "by": by, "what": "test",
                "result": if target.arrived { "delivered" } else { "failed" },
                "why": target.why, "seconds": target.seconds,
            });
            self.journal
                .write("notice", &format!("notifier/{name}"), &body);
        }
    }
}
