//! The JSON dialect: the action in a header, the arguments in an object.

use serde_json::Value;

use crate::sqs::call::arguments::Arguments;
use crate::sqs::{ErrorCode, REQUEST_BYTES_MAX, SqsError, SqsRequest};

const TARGET: &str = "AmazonSQS.";

/// The action's name and its arguments.
pub(crate) fn read(request: &SqsRequest<'_>) -> Result<(String, Arguments), SqsError> {
    let malformed = |message: &'static str| SqsError::new(ErrorCode::MalformedInput, message);
    if request.method != "POST" {
        return Err(SqsError::new(
            ErrorCode::InvalidAction,
            "A request in JSON must be a POST.",
        ));
    }
    if request.body.len() > REQUEST_BYTES_MAX {
        return Err(malformed("The body must be at most 8 MiB."));
    }
    let target = request.header("x-amz-target").unwrap_or_default();
    let Some(action) = target.strip_prefix(TARGET) else {
        return Err(SqsError::new(
            ErrorCode::InvalidAction,
            "X-Amz-Target must be AmazonSQS.ACTION.",
        ));
    };
    // No body at all stands for no arguments.
    let body: &[u8] = if request.body.trim_ascii().is_empty() {
        b"{}"
    } else {
        request.body
    };
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok((action.to_owned(), Arguments::new(members))),
        Ok(_) => Err(malformed("The body must be a JSON object.")),
        Err(_) => Err(malformed("The body must be JSON.")),
    }
}
