//! The plain API: what a shell with curl can do.
//!
//! | request | does |
//! |---|---|
//! | `GET /queues` | all queues, and how they stand |
//! | `PUT /queues/NAME`, `GET`, `DELETE` | makes one or changes its settings, tells of it, takes it away |
//! | `POST /queues/NAME/messages` | publishes the body; headers: `Content-Type`, `Idempotency-Key`, `Plimsoll-Delay`, `Plimsoll-Priority`, `Plimsoll-Tenant`, `Plimsoll-Group` |
//! | `GET /queues/NAME/messages?which=ready&skip=0&max=10` | looks, without taking |
//! | `POST /queues/NAME/receive?max=10&wait=20s&lease=30s` | takes |
//! | `DELETE /queues/NAME/messages/RECEIPT` | is done with it |
//! | `POST /queues/NAME/messages/RECEIPT/nack?delay=5s`, `/extend?lease=1m` | gives it back; keeps it longer |
//! | `POST /queues/NAME/purge`, `/pause`, `/resume`, `/redrive?to=NAME&max=100` | |

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use plimsoll_policy::queue::Which;
use serde_json::{Value, json};

use super::sqs::received;
use crate::engine::{
    CommitError, Definition, Engine, Head, Message, Receipt, Received, Refused, Settings,
};
use crate::sqs::to_base64;

/// How long whoever receives may wait.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a word of a header may be.
const WORD_MAX: usize = 128;

/// A request of the plain API.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// After `/queues`, as it was sent.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Whether clients may make and change queues.
    pub(super) creates: bool,
}

/// Why nothing came of it (RFC 9457).
pub(super) fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "status": status.as_u16(), "title": title, "detail": detail });
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn refused(refused: &Refused) -> Response<Body> {
    let status = match refused {
        Refused::NoQueue(_) => StatusCode::NOT_FOUND,
        Refused::Invalid(_) => StatusCode::BAD_REQUEST,
        Refused::NotLeased => StatusCode::CONFLICT,
        Refused::Full(_) => StatusCode::TOO_MANY_REQUESTS,
        Refused::NotDurable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = problem(status, &refused.to_string());
    if matches!(refused, Refused::Full(_) | Refused::NotDurable(_)) {
        let soon = HeaderValue::from_static("1");
        answer.headers_mut().insert(header::RETRY_AFTER, soon);
    }
    answer
}

fn told(status: StatusCode, body: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn done() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// What a request is answered with.
pub(super) async fn answer(engine: &Engine, asked: &Asked<'_>) -> Response<Body> {
    match asked.act(engine).await {
        Ok(answer) => answer,
        Err(why) => refused(&why),
    }
}

impl Asked<'_> {
    async fn act(&self, engine: &Engine) -> Result<Response<Body>, Refused> {
        let parts: Vec<&str> = self.path.split('/').filter(|it| !it.is_empty()).collect();
        Ok(match (self.method.as_str(), parts.as_slice()) {
            ("GET", []) => {
                let all = engine.names().into_iter();
                let all = all.filter_map(|name| view(engine, &name).ok());
                told(
                    StatusCode::OK,
                    &json!({ "queues": all.collect::<Vec<_>>() }),
                )
            }
            ("GET", [name]) => told(StatusCode::OK, &view(engine, name)?),
            ("PUT", [name]) => self.define(engine, name).await?,
            ("DELETE", [name]) => {
                self.may_change(engine, name)?;
                durable(engine.remove(name)?.wait().await)?;
                done()
            }
            ("POST", [name, "messages"]) => self.publish(engine, name).await?,
            ("GET", [name, "messages"]) => {
                let which = match self.given("which") {
                    None | Some("ready") => Which::Ready,
                    Some("delayed") => Which::Delayed,
                    Some("leased") => Which::Leased,
                    Some(other) => {
                        return Err(invalid("which", other, "ready, delayed or leased"));
                    }
                };
                let (skip, max) = (self.number("skip", 0)?, self.number("max", 10)?);
                let all = engine.peek(name, which, skip, max)?;
                let all: Vec<Value> = all.iter().map(|it| message(it, false)).collect();
                told(StatusCode::OK, &json!({ "messages": all }))
            }
            ("POST", [name, "receive"]) => {
                let max = self.number("max", 1)?;
                let lease = self.length("lease")?;
                let wait = match self.length("wait")? {
                    Some(wait) => wait.min(WAIT_MAX),
                    None => engine.look(name)?.0.settings.wait,
                };
                let all = received(engine, name, max.max(1), lease, wait).await?;
                let all: Vec<Value> = all.iter().map(|it| message(it, true)).collect();
                told(StatusCode::OK, &json!({ "messages": all }))
            }
            ("DELETE", [name, "messages", receipt]) => {
                let receipt = read_receipt(engine, name, receipt)?;
                durable(engine.ack(receipt)?.wait().await)?;
                done()
            }
            ("POST", [name, "messages", receipt, "nack"]) => {
                let receipt = read_receipt(engine, name, receipt)?;
                engine.nack(receipt, self.length("delay")?)?;
                done()
            }
            ("POST", [name, "messages", receipt, "extend"]) => {
                let receipt = read_receipt(engine, name, receipt)?;
                let lease = self.length("lease")?;
                let lease =
                    lease.ok_or_else(|| invalid("lease", "", "a length of time, as 30s"))?;
                engine.extend(receipt, lease)?;
                done()
            }
            ("POST", [name, "purge"]) => {
                durable(engine.purge(name)?.wait().await)?;
                done()
            }
            ("POST", [name, verb @ ("pause" | "resume")]) => {
                durable(engine.pause(name, *verb == "pause")?.wait().await)?;
                done()
            }
            ("POST", [name, "redrive"]) => {
                let max = self.number("max", 100)?;
                let (moved, kept) = engine.redrive(name, self.given("to"), max)?;
                durable(kept.wait().await)?;
                told(StatusCode::OK, &json!({ "moved": moved }))
            }
            _ => problem(
                StatusCode::NOT_FOUND,
                "there is no such thing here: GET /queues lists them; POST /queues/NAME/messages publishes",
            ),
        })
    }

    async fn publish(&self, engine: &Engine, name: &str) -> Result<Response<Body>, Refused> {
        let priority = match self.word("plimsoll-priority")? {
            None => 0,
            Some(text) => text
                .parse()
                .map_err(|_| invalid("Plimsoll-Priority", &text, "0 to 9"))?,
        };
        let delay = match self.word("plimsoll-delay")? {
            None => None,
            Some(text) => Some(read_length("Plimsoll-Delay", &text)?),
        };
        let given = Message {
            body: self.body.to_vec(),
            head: Head {
                group: self.word("plimsoll-group")?,
                dedup: self.word("idempotency-key")?,
                content_type: self.word("content-type")?,
                ..Head::default()
            },
            delay,
            priority,
            tenant: self.word("plimsoll-tenant")?,
        };
        let taken = engine.publish(name, &given)?;
        durable(taken.durable.wait().await)?;
        let body = json!({ "id": taken.id, "sequence": taken.sequence });
        Ok(told(StatusCode::CREATED, &body))
    }

    async fn define(&self, engine: &Engine, name: &str) -> Result<Response<Body>, Refused> {
        self.may_change(engine, name)?;
        let known = engine.look(name).ok().map(|(it, _)| it);
        let mut definition = known.unwrap_or_else(|| Definition::new(name, engine.clock()));
        if !self.body.is_empty() {
            definition.settings = read_settings(self.body, &definition.settings)?;
        }
        durable(engine.define(definition)?.wait().await)?;
        Ok(told(StatusCode::OK, &view(engine, name)?))
    }

    fn may_change(&self, engine: &Engine, name: &str) -> Result<(), Refused> {
        let of_file = engine.look(name).is_ok_and(|(it, _)| it.of_file);
        match (of_file, self.creates) {
            (true, _) => Err(Refused::Invalid(format!(
                "`{name}` is described in Plimsoll's configuration: change it there"
            ))),
            (false, false) => Err(Refused::Invalid(
                "queues are not made by clients here (queues.create): describe it in Plimsoll's configuration"
                    .to_owned(),
            )),
            (false, true) => Ok(()),
        }
    }

    fn given(&self, key: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|it| it.split_once('='));
        let mut pairs = pairs.filter(|(name, _)| *name == key);
        pairs.next().map(|(_, value)| value)
    }

    fn number(&self, key: &str, usual: usize) -> Result<usize, Refused> {
        match self.given(key) {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| invalid(key, text, "a number")),
        }
    }

    fn length(&self, key: &str) -> Result<Option<Duration>, Refused> {
        self.given(key).map(|it| read_length(key, it)).transpose()
    }

    fn word(&self, name: &str) -> Result<Option<String>, Refused> {
        let Some(value) = self.headers.get(name) else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .ok()
            .filter(|it| it.len() <= WORD_MAX && !it.is_empty());
        let text = text.ok_or_else(|| {
            Refused::Invalid(format!(
                "`{name}`: expected 1 to {WORD_MAX} characters of ASCII"
            ))
        })?;
        Ok(Some(text.to_owned()))
    }
}

fn durable(told: Result<(), CommitError>) -> Result<(), Refused> {
    told.map_err(Refused::from)
}

fn invalid(key: &str, value: &str, expected: &str) -> Refused {
    let value: String = value.chars().take(40).collect();
    Refused::Invalid(format!("`{key}` is `{value}`: expected {expected}"))
}

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
fn read_length(key: &str, text: &str) -> Result<Duration, Refused> {
    let expected = || invalid(key, text, "a length of time, as 500ms, 30s, 5m or 2h");
    let at = text.find(|it: char| !it.is_ascii_digit());
    let (number, unit) = text.split_at(at.ok_or_else(expected)?);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

fn read_receipt(engine: &Engine, name: &str, text: &str) -> Result<Receipt, Refused> {
    let receipt = Receipt::parse(text).filter(|it| engine.queue_of(*it).as_deref() == Some(name));
    receipt.ok_or_else(|| Refused::Invalid(format!("the receipt is none of `{name}`")))
}

/// Settings as JSON, with lengths as in the configuration; what is not said stays.
fn read_settings(body: &[u8], known: &Settings) -> Result<Settings, Refused> {
    let wanted: serde_json::Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Refused::Invalid(format!("the settings are no JSON object: {error}")))?;
    let mut settings = known.clone();
    for (key, value) in &wanted {
        let text = || {
            let text = value.as_str();
            text.ok_or_else(|| invalid(key, &value.to_string(), "a text"))
        };
        let number = || {
            let number = value.as_u64();
            number.ok_or_else(|| invalid(key, &value.to_string(), "a whole number"))
        };
        let length = || read_length(key, text()?);
        match key.as_str() {
            "lease" => settings.lease = length()?,
            "attempts_max" => settings.attempts_max = u32::try_from(number()?).unwrap_or(u32::MAX),
            "backoff_min" => settings.backoff_min = length()?,
            "backoff_max" => settings.backoff_max = length()?,
            "retention" => settings.retention = length()?,
            "delay" => settings.delay = length()?,
            "wait" => settings.wait = length()?.min(WAIT_MAX),
            "dedup_window" => settings.dedup_window = length()?,
            "dedup_by_body" => {
                let is = value.as_bool();
                settings.dedup_by_body =
                    is.ok_or_else(|| invalid(key, &value.to_string(), "true or false"))?;
            }
            "raise_after" => settings.raise_after = length()?,
            "dead_letters" => settings.dead_letters = Some(text()?.to_owned()),
            "messages_max" => settings.messages_max = number()?,
            "bytes_max" => settings.bytes_max = number()?,
            "message_bytes_max" => {
                settings.message_bytes_max = u32::try_from(number()?).unwrap_or(u32::MAX);
            }
            other => {
                return Err(Refused::Invalid(format!(
                    "`{other}` is no setting of a queue"
                )));
            }
        }
    }
    Ok(settings)
}

fn view(engine: &Engine, name: &str) -> Result<Value, Refused> {
    let (it, figures) = engine.look(name)?;
    let now = engine.clock();
    let age = figures.oldest.map(|at| now.since(at).as_secs_f64());
    let settings = &it.settings;
    let seconds = |it: Duration| it.as_secs_f64();
    Ok(json!({
        "name": it.name,
        "ready": figures.ready,
        "delayed": figures.delayed,
        "in_flight": figures.in_flight,
        "bytes": figures.bytes,
        "oldest_seconds": age,
        "paused": figures.paused,
        "groups": figures.groups,
        "tenants": figures.tenants,
        "dead_letters": it.dead_letters(),
        "settings": {
            "lease_seconds": seconds(settings.lease),
            "attempts_max": settings.attempts_max,
            "backoff_min_seconds": seconds(settings.backoff_min),
            "backoff_max_seconds": seconds(settings.backoff_max),
            "retention_seconds": seconds(settings.retention),
            "delay_seconds": seconds(settings.delay),
            "wait_seconds": seconds(settings.wait),
            "dedup_window_seconds": seconds(settings.dedup_window),
            "dedup_by_body": settings.dedup_by_body,
            "raise_after_seconds": seconds(settings.raise_after),
            "messages_max": settings.messages_max,
            "message_bytes_max": settings.message_bytes_max,
        },
    }))
}

fn message(it: &Received, is_taken: bool) -> Value {
    let mut view = json!({
        "id": it.id,
        "sequence": it.sequence,
        "attempt": it.attempt,
        "published_at": it.at.0,
        "group": it.head.group,
        "content_type": it.head.content_type,
        "dead": it.head.dead,
    });
    // What is no text is base64, and says so.
    let (key, body) = match std::str::from_utf8(&it.body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", to_base64(&it.body)),
    };
    if let Some(view) = view.as_object_mut() {
        view.retain(|_, value| !value.is_null());
        view.insert(key.to_owned(), body.into());
        if is_taken {
            view.insert("receipt".to_owned(), it.receipt.to_string().into());
            view.insert("leased_until".to_owned(), it.until.0.into());
        }
    }
    view
}
