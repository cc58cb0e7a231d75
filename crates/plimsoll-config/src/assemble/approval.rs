//! The values of `[approval.NAME]` and `[freeze.NAME]` to their models.

use plimsoll_core::Timestamp;
use plimsoll_measure::{Begins, Condition, Hours};
use plimsoll_policy::approval::{Kind, Rule};

use super::texts;
use crate::model::Freeze;
use crate::node::{Fields, Node, Value};

pub(super) fn rule(name: &str, fields: &Fields) -> Option<Rule> {
    Some(Rule {
        name: name.to_owned(),
        what: words(fields.list("what"), &Kind::ALL, Kind::name)?,
        tiers: tiers(fields)?,
        services: texts(fields.list("services"))?,
        conditions: words(fields.list("conditions"), &Condition::ALL, Condition::name)?,
        during: fields
            .list("during")
            .iter()
            .map(|node| Hours::parse(node.as_text()?))
            .collect::<Option<_>>()?,
        persons: fields.count("persons")?,
        lasts: fields.duration("lasts")?,
    })
}

pub(super) fn freeze(fields: &Fields) -> Option<Freeze> {
    Some(Freeze {
        services: texts(fields.list("services"))?,
        owners: texts(fields.list("owners"))?,
        tiers: tiers(fields)?,
        from: time(fields.text("from")?)?,
        until: time(fields.text("until")?)?,
        why: fields.text("why")?.to_owned(),
    })
}

/// Reads `2026-12-24T00:00Z`, or the same with seconds.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let whole = match (text.len(), text.strip_suffix('Z')) {
        (17, Some(minute)) => Begins::once(&format!("{minute}:00Z")),
        _ => Begins::once(text),
    };
    match whole? {
        Begins::Once(at) => Some(at),
        Begins::Weekly { .. } => None,
    }
}

fn tiers(fields: &Fields) -> Option<Vec<u8>> {
    let tier = |node: &Node| match node.value {
        Value::Count(tier) => u8::try_from(tier).ok(),
        _ => None,
    };
    fields.list("tiers").iter().map(tier).collect()
}

fn words<T: Copy>(nodes: &[Node], all: &[T], name: fn(T) -> &'static str) -> Option<Vec<T>> {
    let of = |node: &Node| match node.value {
        Value::Word(word) => all.iter().copied().find(|it| name(*it) == word),
        _ => None,
    };
    nodes.iter().map(of).collect()
}
