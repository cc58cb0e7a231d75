//! Refusals, and what they are called in each dialect.
//!
//! A current SDK finds the shape in `__type`; what it shows to code written for the Query dialect comes from a header that
//! carries the old name. So each code has both.

use std::borrow::Cow;

use crate::sqs::Dialect;

/// Why a request, or an entry of a batch, was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {message}", code.query_name())]
pub struct SqsError {
    /// What a program decides by.
    pub code: ErrorCode,
    /// What was expected, for a person.
    pub message: Cow<'static, str>,
}

impl SqsError {
    /// A refusal with its reason.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Whether the caller has to change something; otherwise it may retry.
    #[must_use]
    pub fn sender_fault(&self) -> bool {
        self.code.sender_fault()
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self, dialect: Dialect) -> u16 {
        self.code.status(dialect)
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            ErrorCode::MissingParameter,
            format!("The request must contain the parameter {parameter}."),
        )
    }

    pub(crate) fn invalid(parameter: &str, expected: &str) -> Self {
        Self::new(
            ErrorCode::InvalidParameterValue,
            format!("Value for parameter {parameter} is invalid. Reason: {expected}."),
        )
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident, $shape:literal, $query:literal;)+) => {
        /// The codes that callers see.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum ErrorCode { $($(#[doc = $doc])+ $code,)+ }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// What `__type` says, with its namespace.
            #[must_use]
            pub const fn shape(self) -> &'static str {
                match self { $(Self::$code => $shape,)+ }
            }

            /// The code of the Query dialect, and of entries of a batch in both.
            #[must_use]
            pub const fn query_name(self) -> &'static str {
                match self { $(Self::$code => $query,)+ }
            }
        }
    };
}

codes! {
    /// There is no queue of that name.
    QueueDoesNotExist, "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue";
    /// There is a queue of that name with other attributes.
    QueueNameExists, "com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists";
    /// A queue of that name was deleted moments ago.
    QueueDeletedRecently, "com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently";
    /// The receipt handle is not one of this queue's.
    ReceiptHandleIsInvalid, "com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid";
    /// A parameter has a value outside of what is allowed.
    InvalidParameterValue, "com.amazonaws.sqs#InvalidParameterValueException", "InvalidParameterValue";
    /// A parameter that the action needs is absent.
    MissingParameter, "com.amazonaws.sqs#MissingRequiredParameterException", "MissingParameter";
    /// There is no queue attribute of that name.
    InvalidAttributeName, "com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName";
    /// A queue attribute has a value outside of what is allowed.
    InvalidAttributeValue, "com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue";
    /// A batch has more than 10 entries.
    TooManyEntriesInBatchRequest, "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest";
    /// A batch has no entries.
    EmptyBatchRequest, "com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest";
    /// Two entries of a batch have the same id.
    BatchEntryIdsNotDistinct, "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct";
    /// The id of an entry has other characters than those allowed, or too many.
    InvalidBatchEntryId, "com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId";
    /// The messages of a batch are larger than allowed together.
    BatchRequestTooLong, "com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong";
    /// The message is visible, or gone: there is no timeout to change.
    MessageNotInflight, "com.amazonaws.sqs#MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight";
    /// Too many messages are in flight.
    OverLimit, "com.amazonaws.sqs#OverLimit", "OverLimit";
    /// The queue was purged less than a minute ago.
    PurgeQueueInProgress, "com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress";
    /// An action that is known, but not done here.
    UnsupportedOperation, "com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation";
    /// A body has characters that XML cannot carry.
    InvalidMessageContents, "com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents";
    /// A queue's URL has no queue's name in it.
    InvalidAddress, "com.amazonaws.sqs#InvalidAddress", "InvalidAddress";
    /// A task, or what it works on, does not exist.
    ResourceNotFound, "com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException";
    /// Too many requests: slow down and retry.
    RequestThrottled, "com.amazonaws.sqs#RequestThrottled", "RequestThrottled";
    /// There is no action of that name.
    InvalidAction, "com.amazon.coral.service#UnknownOperationException", "InvalidAction";
    /// The request names no action.
    MissingAction, "com.amazon.coral.service#MissingActionException", "MissingAction";
    /// The body could not be read at all.
    MalformedInput, "com.amazon.coral.service#SerializationException", "MalformedQueryString";
    /// The access key is not known.
    InvalidClientTokenId, "com.amazon.coral.service#UnrecognizedClientException", "InvalidClientTokenId";
    /// The signature is not the one that the secret gives for this request.
    SignatureDoesNotMatch, "com.amazon.coral.service#InvalidSignatureException", "SignatureDoesNotMatch";
    /// The signature was made too long ago, or by a clock that is ahead.
    RequestExpired, "com.amazon.coral.service#RequestExpired", "RequestExpired";
    /// The request is not signed.
    MissingAuthenticationToken, "com.amazon.coral.service#MissingAuthenticationTokenException", "MissingAuthenticationToken";
    /// The signature lacks a part, or a part cannot be read.
    IncompleteSignature, "com.amazon.coral.service#IncompleteSignatureException", "IncompleteSignature";
    /// The key is known but may not do this.
    AccessDenied, "com.amazon.coral.service#AccessDeniedException", "AccessDenied";
    /// The fault is here: the caller may retry.
    InternalError, "com.amazon.coral.service#InternalFailure", "InternalError";
    /// Not now: the caller may retry.
    ServiceUnavailable, "com.amazon.coral.service#ServiceUnavailableException", "ServiceUnavailable";
}

impl ErrorCode {
    /// Whether the caller has to change something; otherwise it may retry.
    #[must_use]
    pub const fn sender_fault(self) -> bool {
        !matches!(self, Self::InternalError | Self::ServiceUnavailable)
    }

    /// The HTTP status. The JSON dialect says 400 where Query tells refusals of several kinds apart.
    #[must_use]
    pub const fn status(self, dialect: Dialect) -> u16 {
        match (self, dialect) {
            (Self::InternalError, _) => 500,
            (Self::ServiceUnavailable, _) => 503,
            (
                Self::InvalidClientTokenId
                | Self::SignatureDoesNotMatch
                | Self::MissingAuthenticationToken
                | Self::AccessDenied
                | Self::OverLimit
                | Self::PurgeQueueInProgress
                | Self::RequestThrottled,
                Dialect::Query,
            ) => 403,
            _ => 400,
        }
    }
}
