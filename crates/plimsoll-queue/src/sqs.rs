//! The wire protocol of Amazon SQS, in both dialects that its SDKs speak: AWS JSON 1.0, and Query with its answers in XML.
//!
//! [`verify`] says whose request it is, [`read`] what it asks for, [`write()`] turns the answer into bytes and [`write_error`] a
//! refusal.
//!
//! Source: the Amazon SQS API Reference, version 2012-11-05; the AWS Signature Version 4 guide.
//! Units: delays, waits and timeouts are whole seconds, timestamps milliseconds or seconds since the epoch, as named.
//! Invariant: bytes of any kind give a [`Call`] whose values are within the limits of SQS, or an [`SqsError`]; never a panic.
//! Elsewhere: whether a queue exists, what its own limits are, and everything that is kept.

mod encoding;

mod error;
mod name;

mod attributes;
mod queue_attributes;

mod answer;
mod call;
mod json;
mod query;
mod sign;

pub use answer::{
    BatchAnswer, MoveTask, ReceivedMessage, Reply, SentMessage, Written, write, write_error,
};
pub use attributes::{
    AttributeValue, MESSAGE_BYTES_MAX, MessageAttribute, MessageAttributeFilter, MessageAttributes,
    SystemAttribute, SystemAttributeFilter, TRACE_HEADER, check_characters,
    content_deduplication_id, md5_of_attributes, md5_of_body, md5_of_system_attributes,
};
pub use call::{BatchEntry, Call, Message, Receive, VisibilityChange};
pub(crate) use encoding::{base64 as to_base64, from_base64};
pub use error::{ErrorCode, SqsError};
pub use name::{ACCOUNT, QueueArn, QueueName};
pub use query::REQUEST_BYTES_MAX;
pub use queue_attributes::{
    QueueAttribute, QueueAttributeChanges, QueueAttributeFilter, QueueAttributes, QueueFacts,
    RedrivePolicy,
};
pub use sign::{SIGNATURE_AGE_SECONDS_MAX, Signer, verify};

/// A request as it came over HTTP. Header names may be in any case; the body is as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct SqsRequest<'a> {
    /// `POST`, or `GET` for the Query dialect.
    pub method: &'a str,
    /// The path as it was sent, still percent-encoded.
    pub path: &'a str,
    /// What follows the `?`, as it was sent; empty if there is none.
    pub query: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, whole.
    pub body: &'a [u8],
}

impl<'a> SqsRequest<'a> {
    /// The value of the first header of that name.
    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|&(_, value)| value.trim())
    }
}

/// Which of the two protocols a caller speaks, and is answered in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// AWS JSON 1.0: current SDKs.
    Json,
    /// AWS Query, with answers in XML: SDKs from before the end of 2023.
    Query,
}

impl Dialect {
    /// The dialect of a request, for errors that are found before it is read. Only JSON names a target.
    #[must_use]
    pub fn of(request: &SqsRequest<'_>) -> Self {
        let json = request.header("x-amz-target").is_some()
            || request
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("application/x-amz-json"));
        if json { Self::Json } else { Self::Query }
    }
}

/// What the request asks for. An error comes with the dialect to write it in.
pub fn read(request: &SqsRequest<'_>) -> Result<(Call, Dialect), (SqsError, Dialect)> {
    let dialect = Dialect::of(request);
    let arguments = match dialect {
        Dialect::Json => json::read(request),
        Dialect::Query => query::read(request),
    };
    match arguments.and_then(|(action, arguments)| Call::read(&action, arguments, request.path)) {
        Ok(call) => Ok((call, dialect)),
        Err(error) => Err((error, dialect)),
    }
}

#[cfg(test)]
mod tests;
