//! What Plimsoll answers by itself: refusals that explain themselves, redirects, `OPTIONS *`.
//!
//! Sources: RFC 9457 (problem details), RFC 9651 (the syntax of `Plimsoll-Decision`).

use bytes::Bytes;
use plimsoll_config::ReadOnly;
use plimsoll_measure::Cause;
use plimsoll_policy::{Refusal, RefusalReason};

/// An answer of Plimsoll's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) cause: Cause,
    /// What went wrong, for people; empty where nothing did.
    pub(crate) detail: Cow,
    /// The short word in `Plimsoll-Decision`.
    pub(crate) reason: &'static str,
    /// When it may be worth asking again, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// Further fields, with names in lower case.
    pub(crate) fields: Vec<(Cow, String)>,
    /// What is sent in place of problem details.
    pub(crate) page: Option<Box<Page>>,
}

/// A page of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

type Cow = std::borrow::Cow<'static, str>;

impl Answer {
    pub(crate) fn refuse(
        status: u16,
        cause: Cause,
        reason: &'static str,
        detail: impl Into<Cow>,
    ) -> Self {
        Self {
            status,
            cause,
            detail: detail.into(),
            reason,
            retry_after: None,
            fields: Vec::new(),
            page: None,
        }
    }

    /// An answer that is no refusal.
    pub(crate) fn local(status: u16) -> Self {
        Self::refuse(status, Cause::Local, "local", "")
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.fields.push((name.into(), value));
        self
    }

    /// What a cause looks like to a client: no names and no numbers of the inside.
    pub(crate) fn of_cause(cause: Cause) -> Self {
        let (status, detail) = match cause {
            Cause::Timeout => (504, "The service did not answer within its deadline."),
            Cause::Connect => (502, "The service could not be connected to."),
            Cause::BadResponse => (502, "The answer of the service is not valid HTTP."),
            Cause::NoEndpoint => (503, "The service has no endpoint that can be addressed."),
            Cause::Shed => (
                503,
                "More asks for the service than it can carry: try again later.",
            ),
            Cause::QueueTimeout => (503, "The service did not become free in time."),
            Cause::Deadline => (
                504,
                "The time that is left does not suffice for the service.",
            ),
            Cause::Throttled => (
                503,
                "The service refuses or fails too much of what it is sent.",
            ),
            Cause::Bulkhead => (503, "As much of this service is open or waiting as may be."),
            Cause::Overloaded => (503, "Plimsoll itself is at its bounds."),
            Cause::BadRequest => (400, "The request can't be sent on to the service."),
            _ => (502, "The service closed the connection before it answered."),
        };
        let mut answer = Self::refuse(status, cause, cause.name(), detail);
        // So that nobody between takes it for a failure that is worth a second try at once.
        let refused = [
            Cause::Shed,
            Cause::Throttled,
            Cause::Bulkhead,
            Cause::Overloaded,
        ];
        answer.retry_after = refused.contains(&cause).then_some(1);
        answer
    }

    /// What a request is answered that waited for what another one fetched in vain.
    pub(crate) fn of_fetch(cause: Cause) -> Self {
        if cause != Cause::UpstreamStatus {
            return Self::of_cause(cause);
        }
        let detail = "The service failed to answer the same request of another client.";
        let mut answer = Self::refuse(503, cause, cause.name(), detail);
        answer.retry_after = Some(1);
        answer
    }

    /// What stands for an answer of the service's own that says that it failed, where something else is given.
    pub(crate) fn of_status(status: u16, retry_after: Option<u64>) -> Self {
        let cause = Cause::UpstreamStatus;
        let mut answer = Self::refuse(status, cause, cause.name(), "The service failed.");
        answer.retry_after = retry_after;
        answer
    }

    /// What stands for an optional part that is left out, where its fallback can't be given either.
    pub(crate) fn dimmed(by: &'static str) -> Self {
        let detail = "This part of the service is left out for now.";
        let mut answer = Self::refuse(503, Cause::Dimmed, by, detail);
        answer.retry_after = Some(1);
        answer
    }

    /// What a request is answered for a part that is switched off, where its fallback is not for such a request.
    pub(crate) fn switched_off() -> Self {
        Self {
            cause: Cause::Shed,
            ..Self::dimmed("flag")
        }
    }

    /// What a request is answered that would change something of a service that is read-only.
    pub(crate) fn read_only(set: &ReadOnly) -> Self {
        let detail = "The service can be read only for now: nothing was changed.";
        let mut answer = Self::refuse(set.status, Cause::ReadOnly, "read-only", detail);
        answer.retry_after = Some(set.retry_after.as_secs().max(1));
        answer
    }

    /// What a request is answered that admission refused.
    pub(crate) fn of_refusal(refusal: &Refusal) -> Self {
        let cause = plimsoll_lifecycle::refusal_cause(refusal.reason);
        let mut answer = Self::of_cause(cause);
        // Whole seconds (RFC 9110 section 10.2.3); less than one is said as one.
        let retry = refusal.retry_after.as_secs_f64().ceil().clamp(1.0, 60.0) as u64;
        answer.retry_after = Some(retry);
        answer.reason = match refusal.reason {
            RefusalReason::OverCapacity => "over-capacity",
            RefusalReason::QueueFull => "queue-full",
            RefusalReason::PendingFull => "pending-full",
            RefusalReason::QueueTimeout => "queue-timeout",
            RefusalReason::Deadline => "deadline",
        };
        answer
    }

    /// The value of `Plimsoll-Decision` in its public form.
    pub(crate) fn decision(&self, request_id: &str) -> String {
        let word = match self.cause {
            Cause::Dimmed => "dimmed",
            _ if self.page.is_some() => "fallback",
            Cause::Local => "answered",
            Cause::Shed | Cause::QueueTimeout | Cause::Throttled | Cause::Overloaded => "shed",
            Cause::Deadline | Cause::Bulkhead | Cause::RateLimited | Cause::ReadOnly => "refused",
            _ if self.status >= 502 => "failed",
            _ => "refused",
        };
        decision(word, self.reason, self.retry_after, request_id)
    }

    /// The value of `Content-Type` where there is a body.
    pub(crate) fn content_type(&self) -> &'static str {
        (self.page.as_ref()).map_or("application/problem+json", |page| page.content_type)
    }

    /// Its page or the problem details, or nothing where nothing is wrong.
    pub(crate) fn body(&self, request_id: &str) -> Bytes {
        if let Some(page) = &self.page {
            return page.body.clone();
        }
        if self.cause == Cause::Local {
            return Bytes::new();
        }
        let title = plimsoll_http1::reason_phrase(self.status);
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "id": request_id,
        });
        let mut body = problem.to_string().into_bytes();
        body.push(b'\n');
        body.into()
    }
}

/// The value of `Plimsoll-Decision`: what was decided, why, and when it may be worth asking again.
pub(crate) fn decision(
    word: &str,
    reason: &str,
    retry_after: Option<u64>,
    request_id: &str,
) -> String {
    let retry = retry_after.map_or_else(String::new, |seconds| format!("; retry={seconds}"));
    format!("{word}; reason={reason}{retry}; id=\"{request_id}\"")
}
