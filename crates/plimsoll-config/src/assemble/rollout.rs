//! Versions and rollouts.

use std::time::Duration;

use plimsoll_core::Ratio;

use super::{endpoint, mode};
use crate::model::{FlagVariant, Rollout, RolloutKind, RolloutStep, SplitBy, Version};
use crate::node::{Fields, Value};

/// How long a `blue-green` rollout that does not say is watched.
const BLUE_GREEN_LASTS: Duration = Duration::from_secs(3_600);

pub(super) fn version(fields: &Fields) -> Option<Version> {
    let endpoints = fields.list("endpoints").iter().map(endpoint);
    Some(Version {
        endpoints: endpoints.collect::<Option<_>>()?,
    })
}

/// A header or a cookie.
pub(super) fn cohort(fields: &Fields) -> Option<SplitBy> {
    match (fields.text("header"), fields.text("cookie")) {
        (Some(header), None) => Some(SplitBy::Header(header.to_owned())),
        (None, Some(cookie)) => Some(SplitBy::Cookie(cookie.to_owned())),
        // It has been reported.
        _ => None,
    }
}

pub(super) fn flag_variant(fields: &Fields) -> Option<FlagVariant> {
    Some(FlagVariant {
        key: fields.text("key")?.to_owned(),
        variant: fields.text("variant")?.to_owned(),
    })
}

pub(super) fn rollout(fields: &Fields) -> Option<Rollout> {
    let kind = match fields.word("kind")? {
        "canary" => RolloutKind::Canary,
        "blue-green" => RolloutKind::BlueGreen,
        "mirror" => RolloutKind::Mirror,
        _ => return None,
    };
    let steps = match kind {
        RolloutKind::BlueGreen if fields.node("steps")?.is_default => vec![RolloutStep {
            weight: Ratio::ONE,
            lasts: BLUE_GREEN_LASTS,
            gate: false,
        }],
        _ => {
            let steps = fields.list("steps").iter();
            steps
                .map(|node| step(node.as_table()?))
                .collect::<Option<_>>()?
        }
    };
    let flag = match fields.table("flag") {
        Some(flag) => Some(flag_variant(flag)?),
        None => None,
    };
    let version = match &flag {
        Some(flag) => flag.name(),
        None => fields.text("version")?.to_owned(),
    };
    Some(Rollout {
        service: fields.text("service")?.to_owned(),
        version,
        flag,
        kind,
        steps,
        by: match &fields.node("by")?.value {
            Value::Word("client") => SplitBy::Client,
            Value::Word("tenant") => SplitBy::Tenant,
            Value::Word("request") => SplitBy::Request,
            Value::Table(fields) => cohort(fields)?,
            _ => return None,
        },
        header: match fields.table("header") {
            Some(header) => Some((
                header.text("name")?.to_owned(),
                header.text("value")?.to_owned(),
            )),
            None => None,
        },
        mirror_unsafe: fields.boolean("mirror_unsafe")?,
        price: fields.percent("price")?,
        alpha: fields.percent("alpha")?,
        tolerate: fields.number("tolerate")?,
        batch: fields.duration("batch")?,
        cooldown: fields.duration("cooldown")?,
        hold_max: fields.duration("hold_max")?,
        mode: mode(fields)?,
    })
}

fn step(fields: &Fields) -> Option<RolloutStep> {
    Some(RolloutStep {
        weight: fields.percent("weight")?,
        lasts: fields.duration("for")?,
        gate: fields.word("gate").is_some(),
    })
}
