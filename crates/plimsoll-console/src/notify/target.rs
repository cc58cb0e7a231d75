//! One receiver: how it is reached, and what its answers mean.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use plimsoll_core::Instant;
use plimsoll_upstream::{
    Clock, ConnectError, EndpointConfig, Receiver, ReceiverAnswer, ReceiverError, Resolver,
    TlsConfig, TlsError,
};

use tokio::time::timeout;

use super::format::{BATCH_MAX, Format, Request, mail};
use super::notification::{Notification, Stage, clean};
use super::outbox::{Batch, OutboxParameters, Refusal};
use super::secrets::Secrets;
use super::smtp::{self, NotTaken};

/// How long a receiver may take to answer, once it is connected; and to be connected.
const TIME_MAX: Duration = Duration::from_secs(10);
/// How long all of it may take, where there is more than one answer to wait for.
const SEND_TIME_MAX: Duration = Duration::from_secs(45);

/// How long a mail is sent again to those of its addresses that a server does not take now, while others were sent it: a
/// server that greets strangers with a refusal takes it after five minutes.
const IN_PART_TIME_MAX: Duration = Duration::from_secs(600);

/// What a receiver is, as the binary says it.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetConfig {
    /// Its name in the configuration.
    pub name: String,
    /// What it takes.
    pub channel: Channel,
    /// Whose services it is told about; empty: all.
    pub owners: Vec<String>,
    /// Where it is.
    pub endpoint: EndpointConfig,
    /// Path and query: they may be secret.
    pub path: String,
}

impl TargetConfig {
    /// Says who is reached, and nothing of where: if it is another than the last time, somebody else is. A key that only
    /// signs, or a certificate, may change.
    pub fn whereabouts(&self) -> String {
        let TargetConfig {
            channel,
            endpoint,
            path,
            ..
        } = self;
        let port = endpoint.port.to_string();
        let mut parts = vec![channel.name(), &endpoint.host, &port, path];
        match channel {
            Channel::Http(format) => parts.extend(format.secret()),
            Channel::Mail(mail) => parts.extend(mail.to.iter().map(String::as_str)),
            Channel::Heartbeat { .. } => {}
        }
        let digest = digest::digest(&digest::SHA256, parts.join("\0").as_bytes());
        let bytes = digest.as_ref().iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a receiver takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Notifications.
    Http(Format),
    /// Mail.
    Mail(Mail),
    /// That Plimsoll watches.
    Heartbeat {
        /// How often.
        interval: Duration,
    },
}

/// A mail server, and who is written to.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender's address.
    pub from: String,
    /// The addresses it goes to; at least one.
    pub to: Vec<String>,
    /// Who logs in, with which password.
    pub login: Option<(String, String)>,
    /// Whether TLS is spoken from the start.
    pub is_tls: bool,
    /// How it is.
    pub tls: TlsConfig,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Http(format) => format.name(),
            Self::Mail(_) => "smtp",
            Self::Heartbeat { .. } => "heartbeat",
        }
    }

    /// What the outbox must know of it.
    pub(crate) const fn outbox(&self) -> OutboxParameters {
        match self {
            Self::Http(format) => format.outbox(),
            Self::Mail(_) => OutboxParameters {
                batch_max: BATCH_MAX,
                one_event: false,
                refresh: None,
            },
            Self::Heartbeat { .. } => OutboxParameters {
                batch_max: 1,
                one_event: false,
                refresh: None,
            },
        }
    }
}

impl std::fmt::Debug for TargetConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetConfig")
            .field("name", &self.name)
            .field("channel", &self.channel)
            .field("endpoint", &self.endpoint.name())
            .finish_non_exhaustive()
    }
}

/// A receiver that can be reached.
#[derive(Debug)]
pub struct Target {
    pub(crate) config: TargetConfig,
    receiver: Receiver,
    secrets: Secrets,
    /// Of the last mail that not all were sent: who was. Held for moments, never across a wait.
    sent_in_part: Mutex<Option<SentInPart>>,
}

/// A mail that some of its addresses were sent.
#[derive(Debug)]
struct SentInPart {
    notifications: Vec<Notification>,
    to: BTreeSet<String>,
    since: Instant,
}

/// It was not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened.
    pub(crate) why: String,
    /// What to do about it.
    pub(crate) help: &'static str,
    /// What that means for what was sent.
    pub(crate) refusal: Refusal,
}

impl Target {
    /// Reads the TLS files.
    ///
    /// # Errors
    /// They can't be used.
    pub(crate) fn new(config: TargetConfig, resolver: Resolver) -> Result<Self, TlsError> {
        let receiver = Receiver::new(config.endpoint.clone(), resolver)?;
        let secrets = Secrets::of(&config);
        Ok(Self {
            config,
            receiver,
            secrets,
            sent_in_part: Mutex::default(),
        })
    }

    /// Whether it is told about a service of this owner.
    pub(crate) fn is_for(&self, owner: Option<&str>) -> bool {
        let owners = &self.config.owners;
        let tells = !matches!(self.config.channel, Channel::Heartbeat { .. });
        tells && (owners.is_empty() || owner.is_some_and(|it| owners.iter().any(|of| of == it)))
    }

    /// Tells it.
    pub(crate) async fn send(&self, batch: &Batch, clock: Clock) -> Result<(), Failure> {
        match timeout(SEND_TIME_MAX, self.try_to_send(batch, clock)).await {
            Ok(sent) => sent,
            Err(_) => Err(unanswered(&ReceiverError::Timeout(SEND_TIME_MAX))),
        }
    }

    async fn try_to_send(&self, batch: &Batch, clock: Clock) -> Result<(), Failure> {
        match &self.config.channel {
            Channel::Http(format) => {
                let request = format.request(&self.config.path, batch, clock.timestamp());
                self.post(&request).await?;
                let is_test = batch.notifications.iter().any(|it| it.stage == Stage::Test);
                if let (Format::PagerDuty { .. }, true) = (format, is_test) {
                    // Somebody was called for a test: it is over.
                    let request = format.end_of(&self.config.path, batch);
                    self.post(&request).await?;
                }
                Ok(())
            }
            Channel::Mail(mail) => self.mail(mail, batch, clock).await,
            Channel::Heartbeat { .. } => self.beat().await,
        }
    }

    /// Mails it to all whom it was not sent yet.
    async fn mail(&self, mail: &Mail, batch: &Batch, clock: Clock) -> Result<(), Failure> {
        let told = &batch.notifications;
        let before = self.take_sent_in_part(told);
        let mut sent = before.unwrap_or_else(|| SentInPart {
            notifications: told.clone(),
            to: BTreeSet::new(),
            since: clock.now(),
        });
        let to = mail.to.iter().map(String::as_str);
        let to: Vec<&str> = to.filter(|it| !sent.to.contains(*it)).collect();
        let message = mail::message(&mail.from, &mail.to, told, clock.timestamp());
        let result = smtp::send(&self.receiver, mail, &to, &message, &self.secrets).await;
        let not_taken = match result {
            Ok(not_taken) => not_taken,
            // Nobody was sent it yet: it is as with every receiver.
            Err(failure) if sent.to.is_empty() => return Err(failure),
            Err(failure) => {
                let not_taken = |it: &&str| NotTaken {
                    address: (*it).to_owned(),
                    failure: failure.clone(),
                };
                to.iter().map(not_taken).collect()
            }
        };
        let is_taken = |it: &&str| !not_taken.iter().any(|not| not.address == **it);
        let taken = to.into_iter().filter(is_taken).map(str::to_owned);
        sent.to.extend(taken);
        let is_test = told.iter().any(|it| it.stage == Stage::Test);
        // What comes next waits meanwhile, also for those who were sent this: not for long.
        let is_late = clock.now() - sent.since >= IN_PART_TIME_MAX;
        let failure = in_part(&not_taken, is_test || is_late);
        let is_temporary = |it: &Failure| it.refusal != Refusal::InPart;
        if failure.as_ref().is_some_and(is_temporary) {
            *self.sent_in_part() = Some(sent);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Who was sent this mail already.
    fn take_sent_in_part(&self, told: &[Notification]) -> Option<SentInPart> {
        let mut sent = self.sent_in_part();
        sent.take_if(|it| it.notifications == told)
    }

    fn sent_in_part(&self) -> MutexGuard<'_, Option<SentInPart>> {
        let sent = self.sent_in_part.lock();
        sent.unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that Plimsoll watches.
    pub(crate) async fn beat(&self) -> Result<(), Failure> {
        self.post(&Request {
            path: self.config.path.clone(),
            fields: Vec::new(),
            body: Vec::new(),
        })
        .await
    }

    async fn post(&self, request: &Request) -> Result<(), Failure> {
        let Request { path, fields, body } = request;
        let answer = self.receiver.post(path, fields, body, TIME_MAX).await;
        judge(answer, &self.secrets)
    }
}

/// What it means that some addresses were not taken; `None`: all were. `is_last`: it is not sent again.
fn in_part(not_taken: &[NotTaken], is_last: bool) -> Option<Failure> {
    let first = not_taken.first()?;
    let why: Vec<String> = not_taken
        .iter()
        .map(|it| format!("not for {}: {}", it.address, it.failure.why))
        .collect();
    let is_temporary = |it: &NotTaken| matches!(it.failure.refusal, Refusal::Temporary { .. });
    let refusal = match !is_last && not_taken.iter().any(is_temporary) {
        true => Refusal::Temporary {
            retry_after: None,
            may_have_arrived: true,
        },
        false => Refusal::InPart,
    };
    let help = match refusal {
        Refusal::InPart => "see whether these addresses are right; the others were sent it",
        _ => first.failure.help,
    };
    Some(Failure {
        why: why.join("; "),
        help,
        refusal,
    })
}

/// What an answer means.
fn judge(answer: Result<ReceiverAnswer, ReceiverError>, secrets: &Secrets) -> Result<(), Failure> {
    let answer = answer.map_err(|error| unanswered(&error))?;
    let status = answer.status;
    let retry_after = answer.retry_after;
    let temporary = Refusal::Temporary {
        retry_after,
        may_have_arrived: false,
    };
    let (refusal, help) = match status {
        200..=299 => return Ok(()),
        300..=399 => (temporary, "write the URL that it points to"),
        401 | 403 => (Refusal::Final, "see whether its key or URL is still valid"),
        404 | 410 => (Refusal::Final, "see whether the path of its URL is right"),
        408 | 429 => (temporary, "it is sent again"),
        400..=499 => (Refusal::Final, "see what the receiver expects"),
        _ => (
            Refusal::Temporary {
                retry_after,
                may_have_arrived: true,
            },
            "see how the receiver is; it is sent again",
        ),
    };
    let said = secrets.said(&String::from_utf8_lossy(&answer.body));
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    let redirects = match status {
        300..=399 => ", and redirects are not followed",
        _ => "",
    };
    Err(Failure {
        why: format!("it answered {status}{redirects}{said}"),
        help,
        refusal,
    })
}

pub(super) fn unanswered(error: &ReceiverError) -> Failure {
    let help = match error {
        ReceiverError::Resolve { .. } => "see whether the name in its URL is right",
        ReceiverError::Connect(ConnectError::Tls { .. }) | ReceiverError::Tls(_) => {
            "see whether `tls.ca` is its authority, and the name in its URL that of its certificate"
        }
        ReceiverError::Connect(_) => "see whether it is up, and can be reached from here",
        ReceiverError::Answer(_) => "see whether its URL is that of an HTTP server",
        _ => "see how the receiver is; it is sent again",
    };
    Failure {
        why: clean(&with_causes(error)),
        help,
        refusal: Refusal::Temporary {
            retry_after: None,
            may_have_arrived: error.may_have_arrived(),
        },
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
    use tokio::net::TcpListener;

    use super::*;
    use crate::notify::notification::tests::page;

    #[track_caller]
    fn check(status: u16, retry_after: Option<u64>, expected: Option<Refusal>) {
        let answer = ReceiverAnswer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: b"no".to_vec(),
        };
        let refusal = judge(Ok(answer), &target("/").secrets)
            .err()
            .map(|failure| failure.refusal);
        assert_eq!(refusal, expected, "{status}");
    }

    #[test]
    fn what_a_receiver_refuses_for_good_is_not_sent_again_and_the_rest_is() {
        let temporary = |retry_after: Option<u64>, may_have_arrived| {
            Some(Refusal::Temporary {
                retry_after: retry_after.map(Duration::from_secs),
                may_have_arrived,
            })
        };
        check(202, None, None);
        check(302, None, temporary(None, false));
        check(400, None, Some(Refusal::Final));
        check(404, Some(3), Some(Refusal::Final));
        check(408, None, temporary(None, false));
        check(429, Some(7), temporary(Some(7), false));
        check(503, Some(7), temporary(Some(7), true));
    }

    #[test]
    fn of_a_receiver_neither_path_nor_key_is_shown() {
        let target = target("/T00/hunter2");
        assert!(!format!("{target:?}").contains("hunter2"));
    }

    fn target(path: &str) -> Target {
        let config = TargetConfig {
            name: "a".to_owned(),
            channel: Channel::Http(Format::PagerDuty {
                routing_key: "R0hunter2".to_owned(),
            }),
            owners: Vec::new(),
            endpoint: EndpointConfig::new("127.0.0.1", 1),
            path: path.to_owned(),
        };
        Target::new(config, Resolver::new(Clock::new())).unwrap()
    }
    /// A mail server for some connections: each has what it says to each address, and tells whom it took a mail for.
    async fn serve(listener: TcpListener, connections: &[&[(&str, &str)]]) -> Vec<Vec<String>> {
        let mut mails = Vec::new();
        for said in connections {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufStream::new(stream);
            let (mut to, mut in_text) = (Vec::new(), false);
            let mut answer = "220 hello".to_owned();
            loop {
                if !answer.is_empty() {
                    let answer = format!("{answer}\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                let line = line.trim_end();
                answer = match line.split_once(':') {
                    _ if in_text && line != "." => String::new(),
                    _ if line == "." => {
                        in_text = false;
                        mails.push(std::mem::take(&mut to));
                        "250 taken".to_owned()
                    }
                    _ if line == "DATA" => {
                        in_text = true;
                        "354 go on".to_owned()
                    }
                    Some(("RCPT TO", address)) => {
                        let address = address.trim_matches(['<', '>']).to_owned();
                        let (_, said) = said.iter().find(|(of, _)| *of == address).unwrap();
                        if said.starts_with('2') {
                            to.push(address);
                        }
                        (*said).to_owned()
                    }
                    _ => "250 fine".to_owned(),
                };
            }
        }
        mails
    }

    /// Sends the same to a mail server once for each connection; what came of each, and whom it took mails for.
    async fn mailed(
        stage: Stage,
        connections: &[&[(&str, &str)]],
    ) -> (Vec<Result<(), Failure>>, Vec<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = TargetConfig {
            name: "a".to_owned(),
            channel: Channel::Mail(Mail {
                from: "plimsoll@a".to_owned(),
                to: vec!["one@a".to_owned(), "other@a".to_owned()],
                login: None,
                is_tls: false,
                tls: TlsConfig::default(),
            }),
            owners: Vec::new(),
            endpoint: EndpointConfig::new("127.0.0.1", listener.local_addr().unwrap().port()),
            path: "/".to_owned(),
        };
        let target = Target::new(config, Resolver::new(Clock::new())).unwrap();
        let batch = Batch {
            notifications: vec![page("checkout", stage, 0)],
            is_refresh: false,
        };
        let send = async {
            let mut results = Vec::new();
            for _ in connections {
                results.push(target.send(&batch, Clock::new()).await);
            }
            results
        };
        tokio::join!(send, serve(listener, connections))
    }

    #[tokio::test]
    async fn a_mail_is_sent_again_only_to_those_whose_server_did_not_take_it() {
        let (results, mails) = mailed(
            Stage::Firing,
            &[
                &[("one@a", "250 fine"), ("other@a", "450 later")],
                &[("other@a", "450 later")],
                &[("other@a", "250 fine")],
                &[("one@a", "250 fine"), ("other@a", "250 fine")],
            ],
        )
        .await;
        let again = Refusal::Temporary {
            retry_after: None,
            may_have_arrived: true,
        };
        for result in &results[..2] {
            let failure = result.as_ref().unwrap_err();
            assert_eq!(failure.why, "not for other@a: it answered 450 later");
            assert_eq!(failure.refusal, again);
        }
        assert_eq!(results[2..], [Ok(()), Ok(())]);
        let both = vec!["one@a".to_owned(), "other@a".to_owned()];
        assert_eq!(
            mails,
            [vec!["one@a".to_owned()], vec!["other@a".to_owned()], both]
        );
    }

    #[tokio::test]
    async fn an_address_that_is_refused_for_good_is_said_and_holds_up_nobody() {
        let refused = [("one@a", "250 fine"), ("other@a", "550 nobody")];
        let (results, _) = mailed(Stage::Firing, &[&refused]).await;
        let failure = results[0].as_ref().unwrap_err();
        assert_eq!(failure.why, "not for other@a: it answered 550 nobody");
        assert_eq!(failure.refusal, Refusal::InPart);
        // A test is sent once.
        let later = [("one@a", "250 fine"), ("other@a", "450 later")];
        let (results, _) = mailed(Stage::Test, &[&later]).await;
        assert_eq!(results[0].as_ref().unwrap_err().refusal, Refusal::InPart);
        // Where nobody is sent it, it is as with every receiver.
        let none = [("one@a", "550 nobody"), ("other@a", "450 later")];
        let (results, mails) = mailed(Stage::Firing, &[&none]).await;
        let failure = results[0].as_ref().unwrap_err();
        assert_eq!(failure.why, "it answered 450 later");
        assert!(matches!(failure.refusal, Refusal::Temporary { .. }) && mails.is_empty());
    }
}
