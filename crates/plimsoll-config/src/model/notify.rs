//! Who is called.

use std::time::Duration;

use super::{Secret, UpstreamTls};

/// `[notify.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Notifier {
    /// What is sent.
    pub kind: NotifierKind,
    /// Where to, as text: a [`crate::Url`] once it is in place.
    pub url: Secret,
    /// How the receiver is checked where TLS is spoken.
    pub tls: UpstreamTls,
    /// Whose services it is about; empty: all.
    pub owners: Vec<String>,
}

/// What a notifier sends.
#[derive(Clone, Debug, PartialEq)]
pub enum NotifierKind {
    /// JSON, signed after Standard Webhooks.
    Webhook {
        /// `whsec_` and base64; `None`: not signed.
        key: Option<Secret>,
    },
    /// Alerts of Alertmanager's API, version 2.
    Alertmanager,
    /// Messages to an incoming webhook.
    Slack,
    /// Events of PagerDuty's API, version 2.
    PagerDuty {
        /// Which of its services is meant.
        routing_key: Secret,
    },
    /// Mail.
    Smtp {
        /// The sender.
        from: String,
        /// At least one.
        to: Vec<String>,
        /// Who logs in, with which password.
        login: Option<(String, Secret)>,
    },
    /// A sign of life.
    Heartbeat {
        /// How often.
        interval: Duration,
    },
}

impl Notifier {
    /// Where PagerDuty takes events.
    pub const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

    /// What is to be read from the environment or from files, with words for it.
    pub fn secrets_mut(&mut self) -> Vec<(&'static str, &mut Secret)> {
        let mut secrets = vec![("url", &mut self.url)];
        match &mut self.kind {
            NotifierKind::Webhook { key: Some(secret) }
            | NotifierKind::PagerDuty {
                routing_key: secret,
            }
            | NotifierKind::Smtp {
                login: Some((_, secret)),
                ..
            } => secrets.push(("secret", secret)),
            _ => (),
        }
        secrets
    }
}

impl NotifierKind {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Smtp { .. } => "smtp",
            Self::Heartbeat { .. } => "heartbeat",
        }
    }

    /// Whether it is mail.
    pub const fn is_mail(&self) -> bool {
        matches!(self, Self::Smtp { .. })
    }
}
