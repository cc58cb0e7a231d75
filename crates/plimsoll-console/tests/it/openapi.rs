//! Goal: the OpenAPI document says what the control API does.
//!
//! Method: each operation of the document is asked for as it says, over a real connection; status and answer are held
//! against what it says of them. The document in `docs/reference` is the one that is served.

use std::path::Path;

use serde_json::Value;

use crate::world::{Server, TOKEN};

/// For each operation, a request that is fine and one that is not.
const REQUESTS: &[(&str, Asked, Option<Asked>)] = &[
    ("openapi", ("GET /api/v1/openapi.json", ""), None),
    ("status", ("GET /api/v1/status", ""), None),
    (
        "request",
        ("GET /api/v1/requests/known", ""),
        Some(("GET /api/v1/requests/unknown", "")),
    ),
    (
        "without",
        (
            "GET /api/v1/services/checkout/without?from=30m&until=5m",
            "",
        ),
        Some(("GET /api/v1/services/nothing/without?from=30m", "")),
    ),
    ("reload", ("POST /api/v1/reload", ""), None),
    (
        "plan",
        ("POST /api/v1/plan", r#"{"text":"[service.shop]"}"#),
        Some(("POST /api/v1/plan", r#"{"path":"/etc/passwd"}"#)),
    ),
    (
        "apply",
        (
            "POST /api/v1/apply",
            r#"{"plan":"ab","why":"it is better","watch":"1m"}"#,
        ),
        Some(("POST /api/v1/apply", r#"{"plan":"ab","watch":"1s"}"#)),
    ),
    ("configurations", ("GET /api/v1/config", ""), None),
    (
        "configuration",
        ("GET /api/v1/config/1", ""),
        Some(("GET /api/v1/config/first", "")),
    ),
    (
        "rollBack",
        (
            "POST /api/v1/config/rollback",
            r#"{"number":1,"why":"it was better"}"#,
        ),
        Some(("POST /api/v1/config/rollback", r#"{"number":1,"why":""}"#)),
    ),
    (
        "journal",
        (
            "GET /api/v1/journal?kind=change&subject=service/a&since=1h&count=5",
            "",
        ),
        Some(("GET /api/v1/journal?count=0", "")),
    ),
    ("overlay", ("GET /api/v1/overlay", ""), None),
    (
        "set",
        (
            "PUT /api/v1/overlay/checkout/shed",
            r#"{"level":2,"for":"10m","why":"it melts"}"#,
        ),
        Some((
            "PUT /api/v1/overlay/checkout/shed",
            r#"{"level":9,"for":"10m","why":"it melts"}"#,
        )),
    ),
    (
        "end",
        ("DELETE /api/v1/overlay/checkout/shed", ""),
        Some(("DELETE /api/v1/overlay/nothing/shed", "")),
    ),
    ("flags", ("GET /api/v1/flags", ""), None),
    (
        "flag",
        ("GET /api/v1/flags/new-cart", ""),
        Some(("GET /api/v1/flags/nothing", "")),
    ),
    (
        "defineFlag",
        (
            "PUT /api/v1/flags/new-cart",
            r#"{"definition":{"variants":{"on":true}},"version":3,"why":"it begins"}"#,
        ),
        Some((
            "PUT /api/v1/flags/new-cart",
            r#"{"definition":7,"why":"it begins"}"#,
        )),
    ),
    (
        "deleteFlag",
        ("DELETE /api/v1/flags/new-cart", r#"{"why":"it is over"}"#),
        Some(("DELETE /api/v1/flags/nothing", r#"{"why":"it is over"}"#)),
    ),
    (
        "evaluateFlag",
        (
            "POST /api/v1/flags/new-cart/evaluate",
            r#"{"context":{"targetingKey":"u"}}"#,
        ),
        Some(("POST /api/v1/flags/nothing/evaluate", "{}")),
    ),
    (
        "actOnFlag",
        (
            "POST /api/v1/flags/new-cart/set",
            r#"{"variant":"on","for":"10m","why":"for all"}"#,
        ),
        Some(("POST /api/v1/flags/new-cart/set", r#"{"why":"for all"}"#)),
    ),
    ("incidents", ("GET /api/v1/incidents", ""), None),
    (
        "incident",
        ("GET /api/v1/incidents/1", ""),
        Some(("GET /api/v1/incidents/9", "")),
    ),
    (
        "purge",
        (
            "POST /api/v1/cache/checkout/purge",
            r#"{"key":"product-1","why":"it is wrong"}"#,
        ),
        Some((
            "POST /api/v1/cache/checkout/purge",
            r#"{"key":"product-1","all":true,"why":"it is wrong"}"#,
        )),
    ),
    (
        "act",
        (
            "POST /api/v1/incidents/1/silence",
            r#"{"for":"10m","why":"known"}"#,
        ),
        Some(("POST /api/v1/incidents/1/silence", r#"{"for":"10m"}"#)),
    ),
    ("rollouts", ("GET /api/v1/rollouts", ""), None),
    (
        "rollout",
        ("GET /api/v1/rollouts/shop-v2", ""),
        Some(("GET /api/v1/rollouts/shop-v3", "")),
    ),
    (
        "roll",
        (
            "POST /api/v1/rollouts/shop-v2/start",
            r#"{"why":"release 2","revision":0}"#,
        ),
        Some(("POST /api/v1/rollouts/shop-v2/start", "{}")),
    ),
    ("approvals", ("GET /api/v1/approvals", ""), None),
    (
        "approval",
        ("GET /api/v1/approvals/7", ""),
        Some(("GET /api/v1/approvals/8", "")),
    ),
    (
        "answerApproval",
        ("POST /api/v1/approvals/7/refuse", r#"{"why":"not now"}"#),
        Some(("POST /api/v1/approvals/7/refuse", "{}")),
    ),
    ("freezes", ("GET /api/v1/freezes", ""), None),
    (
        "freezeAll",
        ("PUT /api/v1/freezes", r#"{"for":"2d","why":"holidays"}"#),
        Some(("PUT /api/v1/freezes", r#"{"for":"93d","why":"holidays"}"#)),
    ),
    (
        "endFreezeOfAll",
        ("DELETE /api/v1/freezes", ""),
        Some(("DELETE /api/v1/freezes?break_glass=true", "")),
    ),
    (
        "freeze",
        (
            "PUT /api/v1/freezes/checkout",
            r#"{"for":"2d","why":"the sale"}"#,
        ),
        Some(("PUT /api/v1/freezes/checkout", r#"{"why":"the sale"}"#)),
    ),
    (
        "endFreeze",
        ("DELETE /api/v1/freezes/checkout?why=over", ""),
        Some(("DELETE /api/v1/freezes/nothing", "")),
    ),
    (
        "tryNotifiers",
        ("POST /api/v1/notify/test", r#"{"name":"oncall"}"#),
        Some(("POST /api/v1/notify/test", r#"{"names":[]}"#)),
    ),
    ("tokens", ("GET /api/v1/tokens", ""), None),
    (
        "createToken",
        (
            "POST /api/v1/tokens",
            r#"{"name":"bo","role":"operator","owners":["payments"],"for":"90d"}"#,
        ),
        Some(("POST /api/v1/tokens", r#"{"name":"b o","role":"viewer"}"#)),
    ),
    (
        "revokeToken",
        ("DELETE /api/v1/tokens/vi", ""),
        Some(("DELETE /api/v1/tokens/nobody", "")),
    ),
];

type Asked = (&'static str, &'static str);

fn ask(server: &Server, token: &str, (line, body): Asked) -> (u16, Value) {
    let (status, answer) = server.send_json(line, token, body);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn served(server: &Server) -> Value {
    ask(server, TOKEN, ("GET /api/v1/openapi.json", "")).1
}

#[test]
fn each_operation_answers_as_the_document_says() {
    let server = Server::console("127.0.0.1:0");
    let document = served(&server);
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            seen += 1;
            let id = operation["operationId"].as_str().unwrap();
            let found = REQUESTS.iter().find(|(name, ..)| *name == id);
            let (_, fine, wrong) = found.unwrap_or_else(|| panic!("no request for {id}"));
            // The request is of this operation.
            let (sent, target) = fine.0.split_once(' ').unwrap();
            assert_eq!(sent.to_lowercase(), *method, "{id}");
            let parts = |path: &str| path.split('?').next().unwrap().split('/').count();
            assert_eq!(parts(target), parts(path), "{id}");
            let check = |asked: Asked, token: &str, well: bool| {
                let (status, answer) = ask(&server, token, asked);
                assert_eq!(status < 300, well, "{id}: {status} {answer}");
                let said = &operation["responses"][status.to_string()];
                assert!(said.is_object(), "{id}: {status} is not documented");
                let kind = match well {
                    true => "application/json",
                    false => "application/problem+json",
                };
                validate(&document, &said["content"][kind]["schema"], &answer, id);
            };
            check(*fine, TOKEN, true);
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !body.is_null() {
                let sent = serde_json::from_str(fine.1).unwrap();
                validate(&document, body, &sent, id);
            }
            if let Some(wrong) = wrong {
                check(*wrong, TOKEN, false);
            }
            // What needs a token says so, and the other way round.
            let free = operation["security"][0].as_object().unwrap().is_empty();
            check(*fine, "wrong", free);
        }
    }
    assert_eq!(seen, REQUESTS.len());
}

/// Holds a value against a schema; a field that it does not have is an error too.
#[track_caller]
fn validate(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(&reference[1..]);
        let schema = schema.unwrap_or_else(|| panic!("{at}: no {reference}"));
        return validate(document, schema, value, at);
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: {other} is no type"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is(kind.as_str().unwrap())),
        other => panic!("{at}: {other} is no type"),
    };
    assert!(fits, "{at}: {value} is no {}", schema["type"]);
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is not of {words:?}");
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for value in values {
            validate(document, items, value, at);
        }
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object())
    {
        for name in schema["required"].as_array().unwrap() {
            assert!(
                fields.contains_key(name.as_str().unwrap()),
                "{at}: no {name}"
            );
        }
        for (name, value) in fields {
            let schema = properties.get(name);
            let schema = schema.unwrap_or_else(|| panic!("{at}: {name} has no schema"));
            validate(document, schema, value, &format!("{at}.{name}"));
        }
    }
}

#[test]
fn the_document_in_the_docs_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let text = format!("{:#}\n", served(&Server::console("127.0.0.1:0")));
    if std::env::var_os("PLIMSOLL_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).is_ok_and(|kept| kept == text),
        "run the tests with PLIMSOLL_WRITE_REFERENCE=1 to write docs/reference/openapi.json"
    );
}
