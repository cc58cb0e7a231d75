//! `[governor]`, and what services and objectives have for it.

use plimsoll_governor::{Actuator, Condition, Rule};
use plimsoll_measure::{BurnPair, Urgency};

use super::mode;
use crate::model::Governor;
use crate::node::{Fields, Node, Value};

/// `[governor]`
pub(super) fn governor(fields: &Fields) -> Option<Governor> {
    let rules = fields.table("rule")?.iter();
    Some(Governor {
        mode: mode(fields)?,
        rules: rules
            .map(|(name, field)| rule(name, field.node.as_table()?))
            .collect::<Option<_>>()?,
        pairs: fields
            .list("pairs")
            .iter()
            .map(|node| pair(node.as_table()?))
            .collect::<Option<_>>()?,
    })
}

fn pair(fields: &Fields) -> Option<BurnPair> {
    Some(BurnPair {
        budget_share: fields.percent("budget")?,
        long: fields.duration("long")?,
        short: fields.duration("short")?,
        urgency: match fields.word("severity")? {
            "page" => Urgency::Page,
            "ticket" => Urgency::Ticket,
            _ => return None,
        },
    })
}

fn rule(name: &str, fields: &Fields) -> Option<Rule> {
    let when = fields.table("when")?;
    Some(Rule {
        name: name.to_owned(),
        condition: match when.word("condition")? {
            "burning" => Condition::Burning,
            "severe" => Condition::Severe,
            "exhausted" => Condition::Exhausted,
            _ => return None,
        },
        tier: when.count("tier"),
        may: fields
            .list("may")
            .iter()
            .map(actuator)
            .collect::<Option<_>>()?,
    })
}

fn actuator(node: &Node) -> Option<Actuator> {
    let Value::Word(word) = node.value else {
        return None;
    };
    Actuator::ALL.into_iter().find(|it| it.name() == word)
}

/// The name in `service.NAME`.
pub(crate) fn dependency(node: &Node) -> Option<&str> {
    node.as_text()?.strip_prefix("service.")
}
