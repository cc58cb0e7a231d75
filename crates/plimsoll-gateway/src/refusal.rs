//! What Plimsoll answers by itself: refusals that explain themselves, redirects, `OPTIONS *`.
//!
//! Sources: RFC 9457 (problem details), RFC 9651 (the syntax of `Plimsoll-Decision`).

use plimsoll_measure::Cause;

/// An answer of Plimsoll's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) cause: Cause,
    /// What went wrong, for people; empty where nothing did.
    pub(crate) detail: Cow,
    /// The short word in `Plimsoll-Decision`.
    pub(crate) reason: &'static str,
    /// Further fields, with names in lower case.
    pub(crate) fields: Vec<(&'static str, String)>,
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
            fields: Vec::new(),
        }
    }

    /// An answer that is no refusal.
    pub(crate) fn local(status: u16, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            status,
            cause: Cause::Local,
            detail: Cow::Borrowed(""),
            reason: "local",
            fields,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    /// What a cause looks like to a client: no names and no numbers of the inside.
    pub(crate) fn of_cause(cause: Cause) -> Self {
        let (status, detail) = match cause {
            Cause::Timeout => (504, "The service did not answer within its deadline."),
            Cause::Connect => (502, "The service could not be connected to."),
            Cause::BadResponse => (502, "The answer of the service is not valid HTTP."),
            Cause::NoEndpoint => (503, "The service has no endpoint that can be addressed."),
            Cause::BadRequest => (400, "The request can't be sent on to the service."),
            _ => (502, "The service closed the connection before it answered."),
        };
        Self::refuse(status, cause, cause.name(), detail)
    }

    /// The value of `Plimsoll-Decision` in its public form.
    pub(crate) fn decision(&self, request_id: &str) -> String {
        let word = match self.cause {
            Cause::Local => "answered",
            _ if self.status >= 502 => "failed",
            _ => "refused",
        };
        format!("{word}; reason={}; id=\"{request_id}\"", self.reason)
    }

    /// The problem details, or nothing where nothing is wrong.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        if self.cause == Cause::Local {
            return Vec::new();
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
        body
    }
}
