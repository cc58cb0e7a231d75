//! The values of `[notify.NAME]` to their model.

use super::{tenant, texts, upstream_tls};
use crate::model::*;
use crate::node::Fields;
use crate::scheme::keys::INTERVAL;

pub(super) fn notifier(fields: &Fields) -> Option<Notifier> {
    let secret = || match fields.node("secret") {
        Some(node) => Some(Some(tenant::secret(node)?)),
        None => Some(None),
    };
    Some(Notifier {
        kind: match fields.word("kind")? {
            "webhook" => NotifierKind::Webhook { key: secret()? },
            "alertmanager" => NotifierKind::Alertmanager,
            "slack" => NotifierKind::Slack,
            "pagerduty" => NotifierKind::PagerDuty {
                routing_key: secret()??,
            },
            "smtp" => NotifierKind::Smtp {
                from: fields.text("from")?.to_owned(),
                to: texts(fields.list("to"))?,
                login: match fields.text("user") {
                    Some(user) => Some((user.to_owned(), secret()??)),
                    None => None,
                },
            },
            "heartbeat" => NotifierKind::Heartbeat {
                interval: fields.duration("interval").unwrap_or(INTERVAL),
            },
            _ => return None,
        },
        url: match fields.node("url") {
            Some(node) => tenant::secret(node)?,
            None => Secret::Plain(Notifier::PAGERDUTY.to_owned()),
        },
        tls: upstream_tls(fields.table("tls")?)?,
        owners: texts(fields.list("owners"))?,
    })
}
