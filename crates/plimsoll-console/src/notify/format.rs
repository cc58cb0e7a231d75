//! How each kind of receiver is told.

mod alertmanager;
mod base64;
pub(super) mod mail;
mod pagerduty;
mod slack;
mod webhook;

use plimsoll_core::Timestamp;

use super::notification::{Matter, Notification, Stage, urgency};
use super::outbox::{Batch, OutboxParameters};

pub use base64::{decode, encode};

/// How often an Alertmanager is told again what lasts: as often as Prometheus does.
const REFRESH: std::time::Duration = std::time::Duration::from_secs(60);
/// So much goes into one message.
pub(super) const BATCH_MAX: usize = 64;

/// What a receiver takes over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub enum Format {
    /// JSON, signed after Standard Webhooks with this key, if there is one.
    Webhook {
        /// The key itself.
        key: Option<Vec<u8>>,
    },
    /// Alerts of Alertmanager's API, version 2.
    Alertmanager,
    /// Messages to an incoming webhook.
    Slack,
    /// Events of PagerDuty's Events API, version 2.
    PagerDuty {
        /// Which of its services is meant.
        routing_key: String,
    },
}

/// A request to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Names and values.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Format {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
            Self::PagerDuty { .. } => "pagerduty",
        }
    }

    /// What the outbox must know of it.
    pub const fn outbox(&self) -> OutboxParameters {
        let (batch_max, one_event, refresh) = match self {
            Self::Webhook { .. } => (BATCH_MAX, true, None),
            Self::Alertmanager => (512, false, Some(REFRESH)),
            Self::Slack => (BATCH_MAX, false, None),
            Self::PagerDuty { .. } => (1, false, None),
        };
        OutboxParameters {
            batch_max,
            one_event,
            refresh,
        }
    }

    /// The request that tells it, to a receiver at `path`.
    pub fn request(&self, path: &str, batch: &Batch, now: Timestamp) -> Request {
        let told = batch.notifications.as_slice();
        let (path, mut fields, body) = match self {
            Self::Webhook { key } => {
                let body = webhook::body(told).to_string();
                let fields = webhook::fields(key.as_deref(), body.as_bytes(), now);
                (path.to_owned(), fields, body)
            }
            Self::Alertmanager => {
                let alerts = alertmanager::alerts(told, now).to_string();
                (alertmanager::path(path), Vec::new(), alerts)
            }
            Self::Slack => {
                let message = slack::message(told).to_string();
                (path.to_owned(), Vec::new(), message)
            }
            Self::PagerDuty { routing_key } => {
                let event = told.first().map(|it| pagerduty::event(routing_key, it));
                let event = event.unwrap_or_default().to_string();
                (path.to_owned(), Vec::new(), event)
            }
        };
        fields.push(("Content-Type", "application/json".to_owned()));
        Request {
            path,
            fields,
            body: body.into_bytes(),
        }
    }

    /// The request that ends what was begun for a test.
    pub(crate) fn end_of(&self, path: &str, batch: &Batch) -> Request {
        let body = match self {
            Self::PagerDuty { routing_key } => {
                let event = batch.notifications.first();
                event.map(|it| pagerduty::end(routing_key, it))
            }
            _ => None,
        };
        Request {
            path: path.to_owned(),
            fields: vec![("Content-Type", "application/json".to_owned())],
            body: body.unwrap_or_default().to_string().into_bytes(),
        }
    }

    /// What must not be shown if a receiver says it.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Self::PagerDuty { routing_key } => Some(routing_key),
            _ => None,
        }
    }
}
