//! What the process offers to whoever asks from outside.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_measure::{ApprovalView, Courses, Deed, Format, Incidents, RolloutView, Snapshot};
use serde_json::Value;

use crate::access::Caller;
use crate::approval::{Answered, How};
use crate::change::{
    Applying, ChangePlan, ConfigurationText, Configurations, PlanWanted, RollbackWanted,
};
use crate::flag::{FlagChange, FlagEvaluated, FlagList, FlagView};
use crate::freeze::Freezing;
use crate::overlay::{Setting, Verb};
use crate::page::{Past, PastView, Water};
use crate::problem::Problem;
use crate::purge::Purging;
use crate::rollout::RolloutDeed;
use crate::wire::{
    Changed, IncidentRecords, JournalQuery, Records, TokenCreated, TokenWanted, Tokens, Tried,
    WithoutPlimsoll, WithoutQuery,
};

/// What comes of something that takes a while.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send>>;

/// Where the people of a service wrote down what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runbook {
    /// On a page elsewhere.
    Link(String),
    /// Here, in Markdown.
    Text {
        /// As the configuration names it.
        name: String,
        /// At most 64 KiB.
        text: String,
    },
    /// Here, but it can't be read.
    Unreadable {
        /// As the configuration names it.
        name: String,
        /// Why.
        why: String,
    },
}

/// The process, as seen by the servers of this crate. Called on the control thread: none of it may block. Who may ask
/// for what was checked before.
pub trait Control: Send + Sync + 'static {
    /// The latest picture.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// What services did lately. The control thread waits for whoever looks: to copy, and nothing else.
    fn courses(&self, look: &mut dyn FnMut(&Courses));

    /// How budgets were spent over their periods.
    fn water(&self) -> Arc<Water>;

    /// How a service did over a long time, from the store: takes a while.
    ///
    /// # Errors
    /// Why it can't be told now.
    fn past(&self, service: &str, past: Past) -> Result<Arc<PastView>, Problem>;

    /// The text of the configuration in force, without what may be a key; empty where there is no file.
    fn configuration(&self) -> Arc<str>;

    /// All metrics, as of now.
    fn metrics(&self, format: Format) -> String;

    /// What is known of a request by its id or its trace's, as JSON; of the latest that were bad or slow, and of a sample.
    /// Reads up to 16 MiB: not to be called where a wait matters.
    fn request(&self, id: &str) -> Option<String>;

    /// Whether new requests are welcome; if not, why.
    ///
    /// # Errors
    /// The reason, for the operator.
    fn ready(&self) -> Result<(), String>;

    /// Whose token this is. The time that it takes tells nothing of the tokens that there are.
    ///
    /// # Errors
    /// It is nobody's, or that can't be told now.
    fn caller(&self, secret: &[u8]) -> Result<Caller, Problem>;

    /// Whose token it is that has this SHA-256: of a session only that is kept. As [`Self::caller`] otherwise.
    ///
    /// # Errors
    /// It is nobody's, or not any more.
    fn holder(&self, token: &[u8; 32]) -> Result<Caller, Problem>;

    /// Reads the configuration again and puts it in force. An invalid one is refused, and the old one stays.
    fn reload(&self, by: &Caller, how: How) -> Answer<Changed>;

    /// What waits for approval, the oldest first; then what came of others, the latest first.
    fn approvals(&self) -> Arc<Vec<ApprovalView>>;

    /// Somebody approves a request, refuses it or takes it back.
    fn answer_approval(&self, by: &Caller, id: u64, answered: Answered) -> Answer<Changed>;

    /// Freezes a service for a while; `None`: all.
    fn freeze(&self, by: &Caller, service: Option<&str>, freezing: Freezing) -> Answer<Changed>;

    /// Ends what somebody froze.
    fn end_freeze(&self, by: &Caller, service: Option<&str>, how: How) -> Answer<Changed>;

    /// What a file would change of what is in force.
    fn plan(&self, wanted: PlanWanted) -> Answer<ChangePlan>;

    /// Puts exactly what was planned in force, and watches what comes of it.
    fn apply(&self, by: &Caller, applying: Applying) -> Answer<Changed>;

    /// The configurations that were in force, and how a change that is watched goes.
    fn configurations(&self) -> Arc<Configurations>;

    /// One of them, with its text.
    fn configuration_text(&self, number: u64) -> Answer<ConfigurationText>;

    /// Puts one of them in force again.
    fn roll_back(&self, by: &Caller, wanted: RollbackWanted) -> Answer<Changed>;

    /// Records of the journal.
    fn journal(&self, asked: JournalQuery) -> Answer<Records>;

    /// What the journal has of an incident's time: of its service, of the configuration and the process, and of what people did.
    fn incident_records(&self, incident: u64) -> Answer<IncidentRecords>;

    /// What a time would have been without Plimsoll. It is computed off the control thread, one at a time, and kept.
    fn without(&self, service: &str, asked: WithoutQuery) -> Answer<WithoutPlimsoll>;

    /// The tokens that people have; never their secrets.
    ///
    /// # Errors
    /// They can't be read now.
    fn tokens(&self) -> Result<Tokens, Problem>;

    /// Makes a token that is valid for so long, or until it is revoked. Its secret is told this once.
    fn create_token(
        &self,
        by: &Caller,
        wanted: TokenWanted,
        lasts: Option<Duration>,
    ) -> Answer<TokenCreated>;

    /// Who owns a service; `None`: nobody is said to.
    ///
    /// # Errors
    /// There is no such service.
    fn owner(&self, service: &str) -> Result<Option<String>, Problem>;

    /// Sets something of a service for a while.
    fn set(&self, by: &Caller, service: &str, setting: Setting) -> Answer<Changed>;

    /// Ends what is set of a service.
    fn end(&self, by: &Caller, service: &str, verb: Verb) -> Answer<Changed>;

    /// Takes out of a service's cache what is wrong.
    fn purge(&self, by: &Caller, service: &str, purging: Purging) -> Answer<Changed>;

    /// All rollouts of the configuration, by name.
    fn rollouts(&self) -> Arc<Vec<RolloutView>>;

    /// Does something about a rollout.
    fn roll(&self, by: &Caller, rollout: &str, deed: RolloutDeed) -> Answer<Changed>;
    /// All flags.
    fn flags(&self) -> FlagList;

    /// One flag, with its definition; `None`: there is none.
    fn flag(&self, key: &str) -> Option<FlagView>;

    /// What a flag is for a context, as a client of OFREP sends one. It is not counted.
    ///
    /// # Errors
    /// There is no answer.
    fn evaluate_flag(&self, key: &str, context: Value) -> Result<FlagEvaluated, Problem>;

    /// Changes a flag.
    fn change_flag(&self, by: &Caller, key: &str, change: FlagChange) -> Answer<Changed>;

    /// Sends a test to a notifier, or to all.
    fn try_notifiers(&self, by: &Caller, name: Option<String>) -> Answer<Tried>;

    /// What people were called for.
    ///
    /// # Errors
    /// It is not read yet from the journal, or can't be.
    fn incidents(&self) -> Result<Arc<Incidents>, Problem>;

    /// What to do, as the people of a service wrote it down; `None`: they did not.
    fn runbook(&self, service: &str) -> Option<Runbook>;

    /// A draft of the review after an incident, in Markdown. It is read from the journal: takes a while.
    fn review(&self, incident: u64) -> Answer<String>;

    /// Does something about an incident.
    fn act(&self, by: &Caller, incident: u64, deed: Deed) -> Answer<Changed>;

    /// Ends a token.
    fn revoke_token(&self, by: &Caller, name: &str) -> Answer<Changed>;
}
