//! What a file would change of what is in force: compared off the control thread, and given a hash that is approved and applied.

use std::path::Path;

use plimsoll_config::{Alteration, Risk, difference};
use plimsoll_console::{ChangePlan, PlanWanted, PlannedChange, Problem};
use plimsoll_policy::approval::{Kind, Rule};

use crate::configuration::{self, LoadError};
use crate::kept::{SetAside, sha256};

/// What is in force, as far as a plan needs it.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce {
    pub(crate) text: String,
    /// The file that is read on reload; `None`: the process was started with `--to`.
    pub(crate) file: Option<String>,
    pub(crate) set_aside: Option<SetAside>,
    /// What needs the approval of others.
    pub(crate) approvals: Vec<Rule>,
}

impl InForce {
    /// The file; without one there is nothing to plan.
    pub(crate) fn file(&self) -> Result<&str, Problem> {
        self.file.as_deref().ok_or_else(|| {
            Problem::invalid("this process was started with --to, without a file: nothing to plan")
        })
    }
}

/// Holds a text, or the process's own file, against what is in force.
pub(crate) fn plan(in_force: &InForce, wanted: PlanWanted) -> Result<ChangePlan, Problem> {
    let file = in_force.file()?;
    let loaded = match wanted.text {
        Some(text) => configuration::from_text(text, file),
        None => configuration::from_file(Path::new(file)),
    };
    let loaded = loaded.map_err(|error| refused(&error))?;
    let changes = difference(&in_force.text, &loaded.text, file).ok_or_else(|| {
        Problem::unavailable("what is in force can't be read again by this version")
    })?;
    let (before, after) = (sha256(&in_force.text), sha256(&loaded.text));
    let risk = changes.iter().map(|it| it.risk).max();
    let aside = in_force.set_aside.as_ref();
    let aside = aside.filter(|it| it.sha256 == after);
    Ok(ChangePlan {
        hash: hash(&before, &after),
        file: file.to_owned(),
        approvals: approvals_needed(&in_force.approvals),
        changes: changes.into_iter().map(planned).collect(),
        risk: risk.unwrap_or(Risk::None).name().to_owned(),
        set_aside: aside.map(|it| format!("set aside at {} by {}: {}", it.at, it.by, it.why)),
        before,
        after,
    })
}

/// What is approved and applied: of a text that follows on another.
pub(crate) fn hash(before: &str, after: &str) -> String {
    sha256(&format!("plimsoll plan 1\n{before}\n{after}\n"))
}

/// Who may have to agree before another configuration is in force. Which rules hold is known when it is asked for: they go by the
/// time, and by how services stand then.
fn approvals_needed(rules: &[Rule]) -> Vec<String> {
    let rules = rules.iter().filter(|it| it.what.contains(&Kind::Config));
    let says = |rule: &Rule| {
        let others = match rule.persons {
            1 => "one other".to_owned(),
            persons => format!("{persons} others"),
        };
        format!("{}: {others}", rule.name)
    };
    rules.map(says).collect()
}

/// A file that can't be planned.
pub(crate) fn refused(error: &LoadError) -> Problem {
    Problem::invalid(error.to_string().trim_end())
}

fn planned(it: Alteration) -> PlannedChange {
    PlannedChange {
        service: it.service,
        thing: it.thing,
        key: it.key,
        kind: it.kind.name().to_owned(),
        before: it.before,
        after: it.after,
        risk: it.risk.name().to_owned(),
        why: it.why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(target: &str) -> String {
        format!(
            "[service.app]\nendpoints = [\"http://127.0.0.1:1\"]\nobjective.availability = \"{target}\"\n\
             [[route]]\nservice = \"app\"\n"
        )
    }

    fn planned_to(after: &str) -> ChangePlan {
        let in_force = InForce {
            text: text("99.9%"),
            file: Some("/etc/plimsoll.toml".to_owned()),
            set_aside: None,
            approvals: Vec::new(),
        };
        let wanted = PlanWanted {
            text: Some(after.to_owned()),
        };
        plan(&in_force, wanted).unwrap()
    }

    #[test]
    fn the_hash_is_of_both_texts_and_the_risk_is_the_highest() {
        let one = planned_to(&text("99%"));
        assert_eq!(one, planned_to(&text("99%")));
        assert_eq!((one.risk.as_str(), one.changes.len()), ("high", 1));
        let spaced = planned_to(&format!("{}\n", text("99%")));
        assert_eq!(spaced.changes, one.changes);
        assert_ne!(spaced.hash, one.hash);
        let same = planned_to(&text("99.9%"));
        assert_eq!((same.changes.len(), same.before), (0, same.after));
    }

    #[test]
    fn a_process_without_a_file_has_nothing_to_plan() {
        let problem = plan(&InForce::default(), PlanWanted::default()).unwrap_err();
        assert!(problem.to_string().contains("--to"), "{problem}");
    }
}
