//! The values of `[tenant.NAME]` and of a route's `rate` to their models.

use super::mode;
use crate::model::*;
use crate::node::{Fields, Node};

pub(super) fn tenant(fields: &Fields) -> Option<Tenant> {
    Some(Tenant {
        keys: fields
            .list("keys")
            .iter()
            .map(secret)
            .collect::<Option<_>>()?,
        weight: fields.number("weight")? as f32,
    })
}

pub(super) fn secret(node: &Node) -> Option<Secret> {
    let fields = node.as_table()?;
    match (
        fields.text("value"),
        fields.text("env"),
        fields.file("file"),
    ) {
        (Some(value), None, None) => Some(Secret::Plain(value.to_owned())),
        (None, Some(name), None) => Some(Secret::Env(name.to_owned())),
        (None, None, Some(path)) => Some(Secret::File(path)),
        _ => None,
    }
}

/// The rate at `place` of its route.
pub(super) fn rate(fields: &Fields, place: usize) -> Option<Rate> {
    let burst = rate_burst(fields)?;
    Some(Rate {
        name: rate_name(fields, place),
        per_second: fields.rate("limit")?.per_second(),
        burst,
        by: match fields.word("by")? {
            "tenant" => RateBy::Tenant,
            "address" => RateBy::Address,
            "route" => RateBy::Route,
            _ => return None,
        },
        cost: match fields.table("cost") {
            Some(cost) => Some(Cost {
                header: cost.text("header")?.to_owned(),
                max: cost.count("max").unwrap_or(burst),
            }),
            None => None,
        },
        mode: mode(fields)?,
    })
}

/// What messages and metrics call it.
pub(crate) fn rate_name(fields: &Fields, place: usize) -> String {
    fields
        .text("name")
        .map_or_else(|| format!("rate-{}", place + 1), str::to_owned)
}

/// As many at once as the limit counts, where the file does not say it; a part of one counts as one.
pub(crate) fn rate_burst(fields: &Fields) -> Option<u32> {
    if fields.has("burst") {
        return fields.count("burst");
    }
    // At most 1e9, by the bounds of rates.
    Some(fields.rate("limit")?.count.ceil().max(1.0) as u32)
}
