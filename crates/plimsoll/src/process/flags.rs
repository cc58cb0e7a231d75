//! What becomes of the flags while the process runs: to log, journal and those who look for causes.

use plimsoll_governor::{Change, Scope};
use serde_json::json;

use super::Process;
use crate::flags::News;

/// What a record of flags is about.
const SUBJECT: &str = "flags";

impl Process {
    /// To be called each second.
    pub(super) fn tick_flags(&mut self) {
        for news in self.flags.news() {
            self.on_flags(news);
        }
        self.tick_managed();
    }

    pub(super) fn on_flags(&mut self, news: News) {
        match news {
            News::Changed {
                text,
                flags,
                digest,
            } => {
                tracing::info!("{text}");
                let body =
                    json!({ "text": text, "what": "flags", "flags": flags, "digest": digest });
                self.journal.write("change", SUBJECT, &body);
                let at = self.clock.timestamp();
                self.governing
                    .on_change(Change::made(at, Scope::All, &text));
                self.note(None, text);
                self.flags.keep(&self.state);
            }
            News::Refused { text, why } => {
                tracing::warn!("{text}");
                let body = json!({ "text": text, "what": "flags", "why": why });
                self.journal.write("refusal", SUBJECT, &body);
                self.note(None, text);
            }
        }
    }
}
