//! What a receiver may repeat of what it was asked, and nobody is to see.

use super::format::encode;
use super::notification::clean;
use super::target::{Channel, TargetConfig};

/// So much of what a receiver says is shown.
const SAID_CHARS_MAX: usize = 200;
/// A piece of a path that is shorter is a word; no secret is so short.
const PIECE_CHARS_MIN: usize = 8;

/// The secrets of a receiver, each with what stands in its place. Longer ones first: a piece of one may be another.
pub(super) struct Secrets(Vec<(String, &'static str)>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    pub(super) fn of(config: &TargetConfig) -> Self {
        let mut secrets = Vec::new();
        let path = config.path.as_str();
        if path.len() > 1 {
            secrets.push((path.to_owned(), "/.."));
        }
        // It may repeat a part only, or write the slashes in another way.
        let pieces = path.split(['/', '?', '&', '=', ';']);
        let pieces = pieces.filter(|it| it.len() >= PIECE_CHARS_MIN);
        secrets.extend(pieces.map(|it| (it.to_owned(), "..")));
        match &config.channel {
            Channel::Http(format) => {
                secrets.extend(format.secret().map(|it| (it.to_owned(), "..")));
            }
            Channel::Mail(mail) => {
                if let Some((user, password)) = &mail.login {
                    secrets.push((password.clone(), ".."));
                    secrets.push((login(user, password), ".."));
                }
            }
            Channel::Heartbeat { .. } => {}
        }
        secrets.retain(|(secret, _)| !secret.is_empty());
        secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// What a receiver said, without its secrets and not longer than is shown: cut only then, for a piece of a secret would
    /// not be found.
    pub(super) fn said(&self, text: &str) -> String {
        let mut text = text.trim().to_owned();
        for (secret, instead) in &self.0 {
            text = text.replace(secret, instead);
        }
        clean(&text).chars().take(SAID_CHARS_MAX).collect()
    }
}

/// What is said to log in with a password: RFC 4616, section 2.
pub(super) fn login(user: &str, password: &str) -> String {
    encode(format!("\0{user}\0{password}").as_bytes())
}

#[cfg(test)]
mod tests {
    use plimsoll_upstream::{EndpointConfig, TlsConfig};

    use super::super::{Format, Mail};
    use super::*;

    fn secrets(channel: Channel, path: &str) -> Secrets {
        Secrets::of(&TargetConfig {
            name: "a".to_owned(),
            channel,
            owners: Vec::new(),
            endpoint: EndpointConfig::new("127.0.0.1", 1),
            path: path.to_owned(),
        })
    }

    #[test]
    fn a_receiver_that_repeats_its_secrets_does_not_have_them_shown() {
        let pager = Channel::Http(Format::PagerDuty {
            routing_key: "R0hunter2".to_owned(),
        });
        let pager = secrets(pager, "/T00/hunter2");
        assert_eq!(pager.said("no R0hunter2 at /T00/hunter2"), "no .. at /..");
        let hook = secrets(
            Channel::Http(Format::Slack),
            "/services/T0HUNTER2/a?token=hunter2hunter2&a=b",
        );
        assert_eq!(
            hook.said(r"no \/T0HUNTER2\/a, with hunter2hunter2 a"),
            r"no \/..\/a, with .. a"
        );
    }

    #[test]
    fn a_secret_is_not_shown_in_part_where_what_is_said_is_cut() {
        let hook = secrets(Channel::Http(Format::Slack), "/T00/hunter2hunter2");
        for before in 0..SAID_CHARS_MAX + 5 {
            let said = format!("{}/T00/hunter2hunter2", "a".repeat(before));
            assert!(!hook.said(&said).contains("hunt"), "{before}");
        }
    }

    #[test]
    fn a_mail_server_that_repeats_the_login_does_not_have_it_shown() {
        let mail = Channel::Mail(Mail {
            from: "a@shop.example".to_owned(),
            to: vec!["b@shop.example".to_owned()],
            login: Some(("plimsoll".to_owned(), "hunter2".to_owned())),
            is_tls: true,
            tls: TlsConfig::default(),
        });
        let said = secrets(mail, "/").said("no AUTH PLAIN AHBsaW1zb2xsAGh1bnRlcjI= nor hunter2");
        assert_eq!(said, "no AUTH PLAIN .. nor ..");
    }
}
