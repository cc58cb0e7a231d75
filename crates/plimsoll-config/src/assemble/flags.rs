//! The values of `[flags]` to their model.

use plimsoll_policy::flag::FractionalVersion;

use super::{rollout, tenant, text_map, texts};
use crate::model::*;
use crate::node::Fields;

pub(super) fn flags(fields: &Fields) -> Option<Flags> {
    Some(Flags {
        source: match (fields.file("file"), fields.boolean("managed")?) {
            (None, false) => FlagSource::None,
            (Some(path), false) => FlagSource::File(path),
            (None, true) => FlagSource::Managed,
            // It has been reported.
            (Some(_), true) => return None,
        },
        listen: fields.address("listen"),
        tokens: fields
            .list("tokens")
            .iter()
            .map(tenant::secret)
            .collect::<Option<_>>()?,
        origins: texts(fields.list("origins"))?,
        fractional: match fields.word("fractional")? {
            "v1" => FractionalVersion::V1,
            _ => FractionalVersion::V2,
        },
        user: match fields.table("user") {
            Some(user) => Some(rollout::cohort(user)?),
            None => None,
        },
        attributes: text_map(fields.table("attributes")?)?,
    })
}
