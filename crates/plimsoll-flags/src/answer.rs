//! What OFREP answers, as values and as JSON; it knows nothing of HTTP.

use plimsoll_core::Timestamp;
use plimsoll_policy::flag::{Evaluation, EvaluationError, FlagContext, NotAContext};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::store::{FlagStore, Served, hex};

/// Why there is no answer to a request.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) details: String,
}

impl Failure {
    /// `key` of a single flag; not there for many.
    pub(crate) fn to_json(&self, key: Option<&str>) -> Vec<u8> {
        let mut body = json!({ "errorCode": self.code, "errorDetails": self.details });
        if let (Some(key), Some(fields)) = (key, body.as_object_mut()) {
            fields.insert("key".to_owned(), key.into());
        }
        body.to_string().into_bytes()
    }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        Self {
            status: match error {
                EvaluationError::NotFound(_) => 404,
                _ => 400,
            },
            code: error.code(),
            details: error.to_string(),
        }
    }
}

impl From<NotAContext> for Failure {
    fn from(error: NotAContext) -> Self {
        Self {
            status: 400,
            code: "INVALID_CONTEXT",
            details: error.to_string(),
        }
    }
}

/// The context of a request's body; an empty body is a context of nothing.
pub(crate) fn context(body: &[u8]) -> Result<FlagContext, Failure> {
    if body.trim_ascii().is_empty() {
        return Ok(FlagContext::empty());
    }
    let parsed: Value = serde_json::from_slice(body).map_err(|error| Failure {
        status: 400,
        code: "PARSE_ERROR",
        details: format!("the body is no JSON: {error}"),
    })?;
    let Value::Object(mut fields) = parsed else {
        return Err(Failure {
            status: 400,
            code: "PARSE_ERROR",
            details: "the body is an object with `context`".to_owned(),
        });
    };
    match fields.remove("context") {
        None | Some(Value::Null) => Ok(FlagContext::empty()),
        Some(context) => Ok(FlagContext::new(context)?),
    }
}

#[derive(Serialize)]
struct Single<'a> {
    key: &'a str,
    /// Not there: the code's own default counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
    reason: &'static str,
    /// Empty where there is no value: clients look for it.
    variant: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
}

impl<'a> Single<'a> {
    fn new(key: &'a str, given: Evaluation<'a>) -> Self {
        Self {
            key,
            value: given.value,
            reason: given.reason.name(),
            variant: given.variant.unwrap_or_default(),
            metadata: given.metadata,
        }
    }
}

/// One flag.
pub(crate) fn single(
    store: &FlagStore,
    served: &Served,
    key: &str,
    context: &FlagContext,
    now: Timestamp,
) -> Result<Vec<u8>, Failure> {
    let given = store.evaluate(served, key, context, now)?;
    // It has no keys but texts: it can be written.
    Ok(serde_json::to_vec(&Single::new(key, given)).unwrap_or_default())
}

#[derive(Serialize)]
struct Failed<'a> {
    key: &'a str,
    #[serde(rename = "errorCode")]
    code: &'static str,
    #[serde(rename = "errorDetails")]
    details: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Either<'a> {
    Single(Single<'a>),
    Failed(Failed<'a>),
}

#[derive(Serialize)]
struct Bulk<'a> {
    flags: Vec<Either<'a>>,
    #[serde(rename = "eventStreams")]
    event_streams: Value,
}

/// All flags, and the tag of the answer.
///
/// The tag covers the flags, the context and what came of them: a schedule or a ramp may change the answer while flags and
/// context stay.
pub(crate) fn bulk(
    store: &FlagStore,
    served: &Served,
    context: &FlagContext,
    now: Timestamp,
) -> (Vec<u8>, String) {
    let flags =
        served
            .flags
            .set
            .flags()
            .map(|(key, _)| match store.evaluate(served, key, context, now) {
                Ok(given) => Either::Single(Single::new(key, given)),
                Err(error) => Either::Failed(Failed {
                    key,
                    code: error.code(),
                    details: error.to_string(),
                }),
            });
    let body = Bulk {
        flags: flags.collect(),
        event_streams: json!([{
            "type": "sse",
            "endpoint": { "requestUri": EVENTS_PATH },
            "inactivityDelaySec": 120,
        }]),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut covered = served.digest.clone().into_bytes();
    covered.extend(context.as_value().to_string().bytes());
    covered.push(0);
    covered.extend(&body);
    let tag = format!("\"{}\"", hex(&covered));
    (body, tag)
}

/// Where changes are told.
pub(crate) const EVENTS_PATH: &str = "/ofrep/v1/events";

/// What is told of a change.
pub(crate) fn event(served: &Served) -> String {
    let data = json!({
        "type": "refetchEvaluation",
        "etag": served.digest,
        "lastModified": served.since.as_seconds(),
    });
    format!("data: {data}\n\n")
}

/// Whether a client has the answer of this tag: `If-None-Match`, RFC 9110, 13.1.2.
pub(crate) fn is_known(if_none_match: &str, tag: &str) -> bool {
    if_none_match
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use plimsoll_policy::flag::{FlagSet, FractionalVersion};

    use super::*;

    const FLAGS: &str = r#"{ "flags": {
        "bold": { "variants": { "on": true, "off": false }, "defaultVariant": "off", "targeting": { "if": [{ "var": "beta" }, "on"] } },
        "gone": { "state": "DISABLED", "variants": { "on": true }, "defaultVariant": "on" },
        "size": { "variants": { "big": 2.0 }, "defaultVariant": "big", "metadata": { "team": "ui" } },
        "split": { "variants": { "a": "A" }, "targeting": { "fractional": [["a", 1]] } }
    } }"#;

    fn store() -> FlagStore {
        let store = FlagStore::default();
        let set = FlagSet::parse(FLAGS, FractionalVersion::V2).unwrap();
        store.replace(set, FLAGS, Timestamp::from_seconds(1_795_615_852));
        store
    }

    #[track_caller]
    fn check(key: &str, body: &str, expected: &str) {
        let store = store();
        let served = store.served();
        let answer = context(body.as_bytes())
            .and_then(|context| single(&store, &served, key, &context, Timestamp::default()));
        let text = match answer {
            Ok(answer) => format!("200 {}", String::from_utf8(answer).unwrap()),
            Err(failure) => {
                let body = failure.to_json(Some(key));
                format!("{} {}", failure.status, String::from_utf8(body).unwrap())
            }
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn one_flag_is_answered_as_ofrep_says() {
        check(
            "bold",
            r#"{ "context": { "beta": true } }"#,
            r#"200 {"key":"bold","value":true,"reason":"TARGETING_MATCH","variant":"on"}"#,
        );
        check(
            "bold",
            "",
            r#"200 {"key":"bold","value":false,"reason":"DEFAULT","variant":"off"}"#,
        );
        check(
            "gone",
            "{}",
            r#"200 {"key":"gone","reason":"DISABLED","variant":""}"#,
        );
        check(
            "size",
            "{}",
            r#"200 {"key":"size","value":2.0,"reason":"STATIC","variant":"big","metadata":{"team":"ui"}}"#,
        );
    }

    #[test]
    fn what_cannot_be_answered_has_the_code_of_openfeature() {
        check(
            "none",
            "{}",
            r#"404 {"errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no flag `none`","key":"none"}"#,
        );
        check(
            "split",
            "{}",
            r#"400 {"errorCode":"TARGETING_KEY_MISSING","errorDetails":"flag `split` splits by `targetingKey`, which the context does not have","key":"split"}"#,
        );
        check(
            "bold",
            r#"{ "context": 7 }"#,
            r#"400 {"errorCode":"INVALID_CONTEXT","errorDetails":"the context is an object","key":"bold"}"#,
        );
        check(
            "bold",
            r#"{ "context": { "targetingKey": 7 } }"#,
            r#"400 {"errorCode":"INVALID_CONTEXT","errorDetails":"`targetingKey` of the context is a text","key":"bold"}"#,
        );
        check(
            "bold",
            "[]",
            r#"400 {"errorCode":"PARSE_ERROR","errorDetails":"the body is an object with `context`","key":"bold"}"#,
        );
        check(
            "bold",
            "{",
            r#"400 {"errorCode":"PARSE_ERROR","errorDetails":"the body is no JSON: EOF while parsing an object at line 1 column 1","key":"bold"}"#,
        );
    }

    #[test]
    fn the_tag_of_all_flags_covers_the_context_and_the_flags() {
        let store = store();
        let served = store.served();
        let tag = |context: &str| {
            let context = FlagContext::new(serde_json::from_str(context).unwrap()).unwrap();
            bulk(&store, &served, &context, Timestamp::default())
        };
        let (body, first) = tag(r#"{ "a": 1, "b": 2 }"#);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["flags"].as_array().unwrap().len(), 4);
        assert_eq!(body["flags"][3]["errorCode"], "TARGETING_KEY_MISSING");
        assert_eq!(
            body["eventStreams"][0]["endpoint"]["requestUri"],
            EVENTS_PATH
        );
        assert_eq!(tag(r#"{ "b": 2, "a": 1 }"#).1, first, "in any order");
        assert_ne!(tag(r#"{ "a": 1, "b": 3 }"#).1, first);
        let changed = FLAGS.replace("big", "large");
        let set = FlagSet::parse(&changed, FractionalVersion::V2).unwrap();
        store.replace(set, &changed, Timestamp::default());
        let served = store.served();
        let context = FlagContext::new(json!({ "a": 1, "b": 2 })).unwrap();
        assert_ne!(
            bulk(&store, &served, &context, Timestamp::default()).1,
            first
        );
    }

    #[test]
    fn a_known_tag_is_found_in_a_list() {
        assert!(is_known("\"a\", W/\"b\"", "\"b\""));
        assert!(is_known("*", "\"b\""));
        assert!(!is_known("\"a\"", "\"b\""));
    }
}
