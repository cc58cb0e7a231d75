//! What waits for the approval of others: who asks, who agrees, what is done then.
//!
//! Whatever may need approval is asked about by [`Process::pass`] just before it is done, with all that it would do; what was
//! approved comes by there again, and is held against what was approved. The rules that count are those in force.

mod keeping;

use std::time::Duration;

use plimsoll_console::{
    Answered, Applying, Caller, Changed, Exempt, FlagAct, FlagChange, Freezing, How, Problem,
    RolloutDeed, Setting,
};
use plimsoll_core::Timestamp;
use plimsoll_measure::Condition;
use plimsoll_policy::approval::{Action, Needed, Objection, Rule, Touched, needed};
use tokio::sync::oneshot;

use super::Process;
use super::changes::{answer, changed};
use super::mirror::Mirror;
use crate::access::STATE_FOLDER;
use crate::approvals::{Approvals, Kept, Touching, WAITING_MAX, Wanted};
use crate::asked::Tell;

/// Who reads the configuration again by a signal: nobody knows.
pub(super) const SIGHUP: &str = "SIGHUP";

/// The kind of records about requests, and of those about what was done without.
const KIND: &str = "approval";
const KIND_BROKEN: &str = "break-glass";

/// What was asked of a flag; `None`: it is nothing that can be.
fn flag_act(
    act: &str,
    definition: Option<serde_json::Value>,
    variant: Option<String>,
    seconds: Option<u64>,
) -> Option<FlagAct> {
    let lasts = seconds.map(Duration::from_secs);
    Some(match act {
        "define" => FlagAct::Define(definition?),
        "delete" => FlagAct::Delete,
        "enable" => FlagAct::Enable(lasts),
        "disable" => FlagAct::Disable(lasts),
        "end" => FlagAct::End,
        "set" => FlagAct::Set(variant?, lasts),
        _ => return None,
    })
}

/// What is known of requests besides what they are.
#[derive(Debug, Default)]
pub(crate) struct ApprovalState {
    pub(super) approvals: Approvals,
    mirror: Mirror,
}

impl ApprovalState {
    /// What the file of the state folder has.
    pub(super) fn read(file: Option<Result<Approvals, String>>) -> Self {
        let approvals = file.and_then(|read| {
            read.inspect_err(|error| {
                tracing::warn!(%error, "approvals.json can't be read: what the store has counts");
            })
            .ok()
        });
        Self {
            mirror: Mirror::new(approvals.is_some()),
            approvals: approvals.unwrap_or_default(),
        }
    }
}

/// Who wants something done, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    pub(super) by: String,
    /// Why, where they said so.
    pub(super) why: Option<String>,
    /// Whether it mends something: no freeze is in its way.
    pub(super) is_fix: bool,
    /// Why they do it without approval, where they do.
    pub(super) glass: Option<String>,
    /// The request that this is, once it is approved.
    pub(super) carries: Option<u64>,
    /// Of a configuration: the plan that is applied, and for how many seconds it is watched.
    pub(super) plan: Option<(String, u64)>,
}

impl Asking {
    pub(super) fn by(by: &str) -> Self {
        Self {
            by: by.to_owned(),
            ..Self::default()
        }
    }

    /// The same, by somebody who wants to be let past something, and why.
    pub(super) fn past(by: &str, exempt: Exempt, why: Option<&str>) -> Self {
        Self {
            is_fix: exempt.is_fix,
            glass: why.filter(|_| exempt.breaks_glass).map(str::to_owned),
            ..Self::by(by)
        }
    }
}

/// Whether something may be done now.
#[must_use]
pub(super) enum Passage {
    Free,
    /// It waits for others.
    Waits(Waiting),
}

/// Something that waits for others.
pub(super) struct Waiting {
    id: u64,
    text: String,
    is_new: bool,
}

/// What somebody said to a request.
enum Said {
    /// It ended, or waits on: what is recorded of that.
    This(&'static str, String),
    /// Enough others agree.
    Enough(String),
}

impl Process {
    /// Whether what somebody wants may be done now: yes, for it needs no approval, has it, or somebody breaks the glass; or else it
    /// waits as a request, or is refused.
    pub(super) fn pass(
        &mut self,
        asking: &Asking,
        wanted: Wanted,
        touching: &Touching,
    ) -> Result<Passage, Problem> {
        let rules = self.loaded.config.approvals.clone();
        self.pass_by(&rules, asking, wanted, touching)
    }

    /// The same by these rules.
    pub(super) fn pass_by(
        &mut self,
        rules: &[Rule],
        asking: &Asking,
        wanted: Wanted,
        touching: &Touching,
    ) -> Result<Passage, Problem> {
        let now = self.clock.timestamp();
        let needed = self.approval_needed(rules, &wanted, touching);
        if let Some(id) = asking.carries {
            self.begin_approved(id, &wanted, needed.as_ref(), now)?;
            return Ok(Passage::Free);
        }
        let Some(needed) = needed else {
            return Ok(Passage::Free);
        };
        if let Some(why) = &asking.glass {
            self.break_glass(&asking.by, why, wanted, needed, touching);
            return Ok(Passage::Free);
        }
        let (by, needs) = (&asking.by, words(&needed));
        if by == STATE_FOLDER || by == SIGHUP {
            return Err(Problem::forbidden(format!(
                "this needs {needs}, and who asks must be known: ask with a token of your own (`plimsoll token create`, \
                 `PLIMSOLL_TOKEN`); in an emergency: --break-glass --why REASON"
            )));
        }
        let waiting = &self.approvals.approvals;
        if let Some(open) = waiting.open(&wanted.subject()) {
            let (id, asked) = (open.id, &open.request.wanted);
            if asked.by == *by && asked.content == wanted.content() {
                let text = format!("{by} asked for {} before: it needs {needs}", wanted.says());
                let is_new = false;
                return Ok(Passage::Waits(Waiting { id, text, is_new }));
            }
            return Err(Problem::conflict(format!(
                "{} was first and asked for {} as #{id}, which waits: `plimsoll approval show {id}`; ask again when it is over",
                asked.by,
                open.wanted.says(),
            )));
        }
        if waiting.waiting().count() >= WAITING_MAX {
            return Err(Problem::conflict(format!(
                "{WAITING_MAX} requests wait already: answer some first"
            )));
        }
        let says = wanted.says();
        let approvals = &mut self.approvals.approvals;
        let id = approvals.insert(by, wanted, needed, touching, now);
        let text = format!("{by} asks for {says}: it needs {needs}");
        let is_new = true;
        Ok(Passage::Waits(Waiting { id, text, is_new }))
    }

    /// What rules ask for.
    pub(super) fn approval_needed(
        &self,
        rules: &[Rule],
        wanted: &Wanted,
        touching: &Touching,
    ) -> Option<Needed> {
        let at = self.clock.timestamp();
        let condition = |service: &str| {
            let view = self.governing.view(service, at);
            view.map_or(Condition::Unknown, |it| it.condition)
        };
        let touched = touching.services.iter().map(|(service, tier)| Touched {
            service: service.clone(),
            tier: *tier,
            condition: condition(service),
        });
        let touched: Vec<Touched> = touched.collect();
        let action = Action {
            kinds: wanted.kinds(),
            touched: &touched,
            at,
        };
        needed(rules, &action)
    }

    /// One service.
    pub(super) fn touching(&self, service: &str) -> Touching {
        let known = self.loaded.config.services.get(service);
        let tier = known.map_or(u8::MAX, |it| it.tier);
        Touching {
            services: [(service.to_owned(), tier)].into(),
            all: false,
        }
    }

    /// All services.
    pub(super) fn touching_all(&self) -> Touching {
        let services = self.loaded.config.services.iter();
        Touching {
            services: services.map(|(name, it)| (name.clone(), it.tier)).collect(),
            all: true,
        }
    }

    /// Says that something waits, once that is recorded.
    pub(super) fn tell_waiting(&mut self, waiting: Waiting, tell: Tell<Changed>) {
        let Waiting { id, text, is_new } = waiting;
        let message = format!("not done yet: {text} (request #{id})");
        let then = move |process: &mut Self, written: Result<Option<u64>, String>| {
            process.show();
            let mut changed = changed(message, written);
            if changed.warning.is_some() {
                changed.warning = Some("the request is kept, and not recorded yet".to_owned());
            }
            changed.approval = Some(id);
            answer(tell, Ok(changed));
        };
        match is_new {
            true => self.record_request(id, KIND, "ask", text, then),
            false => {
                let kept = self.approvals.approvals.get(id);
                let journal = kept.and_then(|it| it.journal);
                then(self, Ok(journal));
            }
        }
    }

    /// Somebody approves a request, refuses it or takes it back. Once enough approve it, it is done.
    pub(super) async fn answer_approval(
        &mut self,
        by: &str,
        id: u64,
        answered: Answered,
        tell: Tell<Changed>,
    ) {
        let said = self
            .can_change()
            .and_then(|()| self.on_answered(by, id, answered));
        match said {
            Err(problem) => answer(tell, Err(problem)),
            Ok(Said::This(what, text)) => {
                let message = text.clone();
                self.record_request(id, KIND, what, text, move |process, written| {
                    process.show();
                    answer(tell, Ok(changed(message, written)));
                });
            }
            Ok(Said::Enough(text)) => {
                self.record_request(id, KIND, "approve", text, |_, _| ());
                self.carry_out(id, by, tell).await;
            }
        }
    }

    fn on_answered(&mut self, by: &str, id: u64, answered: Answered) -> Result<Said, Problem> {
        let now = self.clock.timestamp();
        let known = self.approvals.approvals.get(id).ok_or_else(|| {
            Problem::not_found(format!(
                "there is no request #{id}, or it is forgotten: see `plimsoll approval list`"
            ))
        })?;
        if !matches!(answered, Answered::Withdraw) {
            self.may_answer(known, by)?;
        }
        let says = format!(
            "#{id}, {} for {}",
            known.wanted.says(),
            known.request.wanted.by
        );
        let counting = self.counting(known, by);
        let request = match self.approvals.approvals.get_mut(id) {
            Some(kept) => &mut kept.request,
            None => return Err(Problem::not_found("it is forgotten")),
        };
        let content = request.wanted.content.clone();
        match answered {
            Answered::Approve(agreed) => {
                let agreed = agreed.unwrap_or(content);
                request.on_approve(now, by, &agreed).map_err(objection)?;
                let text = format!("{by} approved {says}");
                Ok(
                    match request.missing(|name| counting.iter().any(|it| it == name)) {
                        0 => Said::Enough(text),
                        missing => {
                            let plural = if missing == 1 { " is" } else { "s are" };
                            Said::This(
                                "approve",
                                format!("{text}: {missing} more person{plural} needed"),
                            )
                        }
                    },
                )
            }
            Answered::Refuse(why) => {
                request.on_refuse(now, by, &why).map_err(objection)?;
                Ok(Said::This("refuse", format!("{by} refused {says}: {why}")))
            }
            Answered::Withdraw => {
                request.on_withdraw(now, by).map_err(objection)?;
                Ok(Said::This("withdraw", format!("{by} withdrew {says}")))
            }
        }
    }

    /// Whose approval of it counts now: of those who approved it, and of `by`.
    fn counting(&self, kept: &Kept, by: &str) -> Vec<String> {
        let names = kept.request.approvals.iter().map(|it| it.by.as_str());
        let counting = names.chain([by]).filter(|name| self.counts(kept, name));
        counting.map(str::to_owned).collect()
    }

    /// Whether somebody may approve it now: their token may have been revoked since, or be another one.
    fn counts(&self, kept: &Kept, name: &str) -> bool {
        let owners = self.owners(kept);
        let standing = self.standing(name);
        standing.is_some_and(|caller| caller.may_approve(owners.as_deref()))
    }

    /// Refuses whoever may not approve it, nor refuse it.
    fn may_answer(&self, kept: &Kept, by: &str) -> Result<(), Problem> {
        if by == STATE_FOLDER {
            return Err(Problem::forbidden(
                "the token of the state folder is no person: approve with a token of your own (`PLIMSOLL_TOKEN`)",
            ));
        }
        if self.counts(kept, by) {
            return Ok(());
        }
        let touched = match (kept.all, kept.services.as_slice()) {
            (true, _) => "all services".to_owned(),
            (false, services) => services.join(", "),
        };
        Err(Problem::forbidden(format!(
            "this needs the role approver, for the owners of {touched}; {by} does not have that"
        )))
    }

    /// The owners of what it touches; `None`: of all.
    fn owners(&self, kept: &Kept) -> Option<Vec<Option<String>>> {
        let services = &self.loaded.config.services;
        let owner = |name: &String| services.get(name)?.owner.clone();
        (!kept.all).then(|| kept.services.iter().map(owner).collect())
    }

    fn standing(&self, name: &str) -> Option<Caller> {
        let tokens = self.view.tokens.load();
        tokens.standing(name, self.clock.timestamp())
    }

    /// What was approved is to be done now: it must be that, and enough must agree still.
    fn begin_approved(
        &mut self,
        id: u64,
        wanted: &Wanted,
        needed: Option<&Needed>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let Some(kept) = self.approvals.approvals.get(id) else {
            return Err(Problem::not_found("the request is forgotten"));
        };
        let asked = kept.request.wanted.by.clone();
        let owners = self.owners(kept);
        let may = self
            .standing(&asked)
            .is_some_and(|caller| caller.may_operate(owners.as_deref()));
        if !may {
            return Err(Problem::conflict(format!(
                "{asked}, who asked, may not do it any more"
            )));
        }
        let agreed = kept.request.persons;
        if let Some(more) = needed.filter(|it| it.persons > agreed) {
            return Err(Problem::conflict(format!(
                "by now this needs {}, when it was asked for it was {agreed}: ask again",
                words(more)
            )));
        }
        let counting = self.counting(kept, "");
        if let Some(kept) = self.approvals.approvals.get_mut(id) {
            let counts = |name: &str| counting.iter().any(|it| it == name);
            let begun = kept.request.begin(now, &wanted.content(), counts);
            begun.map_err(objection)?;
        }
        // Whatever becomes of the process, it is not done again.
        self.approvals.mirror.on_change();
        let _warned = self.keep_approvals();
        Ok(())
    }

    /// Does what was approved, in the name of whoever asked.
    async fn carry_out(&mut self, id: u64, approver: &str, tell: Tell<Changed>) {
        let Some(kept) = self.approvals.approvals.get(id).cloned() else {
            return answer(tell, Err(Problem::not_found("the request is forgotten")));
        };
        let mut asking = Asking {
            by: kept.request.wanted.by.clone(),
            carries: Some(id),
            ..Asking::default()
        };
        let (inner, told) = oneshot::channel();
        match kept.wanted {
            Wanted::Config {
                why, is_fix, plan, ..
            } => {
                (asking.why, asking.is_fix) = (why, is_fix);
                match plan {
                    Some((plan, seconds)) => {
                        let applying = Applying {
                            plan,
                            watch: Duration::from_secs(seconds),
                            how: How {
                                why: asking.why.clone(),
                                ..How::default()
                            },
                        };
                        self.apply_plan(&asking, applying, inner).await;
                    }
                    None => self.reload(&asking, Some(inner)).await,
                }
            }
            Wanted::Rollout {
                rollout,
                verb,
                why,
                is_fix,
                ..
            } => match verb.parse() {
                Ok(verb) => {
                    asking.is_fix = is_fix;
                    let deed = RolloutDeed {
                        verb,
                        why,
                        revision: None,
                        exempt: Exempt::default(),
                    };
                    self.roll(&asking, &rollout, deed, inner);
                }
                Err(why) => answer(inner, Err(Problem::invalid(why))),
            },
            Wanted::Flag {
                key,
                act,
                definition,
                variant,
                seconds,
                version,
                why,
                is_fix,
            } => match flag_act(&act, definition, variant, seconds) {
                Some(act) => {
                    asking.is_fix = is_fix;
                    let change = FlagChange {
                        act,
                        version,
                        why,
                        exempt: Exempt::default(),
                    };
                    self.change_flag(&asking, &key, change, inner);
                }
                None => {
                    let problem = Problem::invalid(format!("`{act}` is nothing to do with a flag"));
                    answer(inner, Err(problem));
                }
            },
            Wanted::Degrade {
                service,
                verb,
                level,
                mode,
                seconds,
                why,
                runbook,
            } => match verb.parse() {
                Ok(verb) => {
                    let setting = Setting {
                        verb,
                        level,
                        mode,
                        lasts: Duration::from_secs(seconds),
                        why,
                        breaks_glass: false,
                        from_runbook: runbook,
                    };
                    self.set(&asking, &service, &setting, inner);
                }
                Err(why) => answer(inner, Err(Problem::invalid(why))),
            },
            Wanted::Freeze {
                service,
                seconds,
                why,
            } => {
                let freezing = Freezing {
                    lasts: Duration::from_secs(seconds),
                    why,
                    breaks_glass: false,
                };
                self.freeze(&asking, service.as_deref(), &freezing, inner);
            }
            Wanted::EndFreeze { service, why } => {
                self.end_freeze(&asking, service.as_deref(), why, inner);
            }
        }
        let (later, approver) = (self.later.clone(), approver.to_owned());
        tokio::spawn(async move {
            let lost = |_| Err(Problem::unavailable("what came of it was lost"));
            let came = told.await.unwrap_or_else(lost);
            later.go_on(move |process| process.on_carried_out(id, &approver, came, tell));
        });
    }

    fn on_carried_out(
        &mut self,
        id: u64,
        approver: &str,
        came: Result<Changed, Problem>,
        tell: Tell<Changed>,
    ) {
        let now = self.clock.timestamp();
        let ended = match &came {
            Ok(_) => Ok(()),
            Err(problem) => Err(problem.to_string()),
        };
        let what = if ended.is_ok() { "done" } else { "failed" };
        if let Some(kept) = self.approvals.approvals.get_mut(id) {
            kept.request.on_end(now, ended);
        }
        let text = match &came {
            Ok(done) => format!(
                "#{id} is carried out, approved by {approver}: {}",
                done.message
            ),
            Err(problem) => {
                format!("#{id} was approved by {approver} and is not carried out: {problem}")
            }
        };
        let message = text.clone();
        self.record_request(id, KIND, what, text, move |process, written| {
            process.show();
            answer(
                tell,
                match came {
                    Ok(done) => Ok(Changed { message, ..done }),
                    Err(_) => {
                        let _recorded_or_waits = written;
                        Err(Problem::conflict(message))
                    }
                },
            );
        });
    }

    /// Somebody does something that needs approval without it: that is done, and nobody overlooks it.
    pub(super) fn break_glass(
        &mut self,
        by: &str,
        why: &str,
        wanted: Wanted,
        needed: Needed,
        touching: &Touching,
    ) {
        let now = self.clock.timestamp();
        let (says, needs) = (wanted.says(), words(&needed));
        let approvals = &mut self.approvals.approvals;
        let open = approvals.open(&wanted.subject());
        let open = open.filter(|it| it.wanted.does_as(&wanted));
        let id = match open.map(|it| it.id) {
            Some(id) => id,
            None => approvals.insert(by, wanted, needed, touching, now),
        };
        if let Some(kept) = approvals.get_mut(id) {
            let _it_waited = kept.request.on_break(now, by, why);
        }
        let text = format!("{by} broke the glass: {says} without {needs}: {why}");
        tracing::error!(id, "{text}");
        self.record_request(id, KIND_BROKEN, "break-glass", text, |process, _| {
            process.show()
        });
    }
}

/// "the approval of 1 other person until 15:10 (rule tier-1)"
fn words(needed: &Needed) -> String {
    let Needed {
        persons,
        lasts,
        rules,
    } = needed;
    let plural = if *persons == 1 { "" } else { "s" };
    let within = plimsoll_config::show_duration(*lasts);
    format!(
        "the approval of {persons} other person{plural} within {within} (rule {})",
        rules.join(", ")
    )
}

fn objection(objection: Objection) -> Problem {
    match objection {
        Objection::Own | Objection::NotTheirs(_) => Problem::forbidden(objection.to_string()),
        _ => Problem::conflict(objection.to_string()),
    }
}
