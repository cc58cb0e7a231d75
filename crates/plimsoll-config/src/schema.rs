//! The JSON Schema of the file, so that editors complete and explain keys.
//!
//! Source: JSON Schema draft 2020-12. It says less than `check`: an editor helps to write, `check` decides.

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use crate::scheme::keys::FILE;
use crate::scheme::{Key, Kind, NameKind, Presence, Table};

/// The JSON Schema of the configuration file.
pub fn schema() -> Value {
    let mut schema = table(&FILE);
    if let Value::Object(schema) = &mut schema {
        schema.insert(
            "$schema".into(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        schema.insert("title".into(), json!("Plimsoll configuration"));
    }
    schema
}

fn table(table: &'static Table) -> Value {
    let keys = || table.keys().filter(|key| key.is_available());
    let properties: Map<String, Value> = keys()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys()
        .filter(|key| matches!(key.presence, Presence::Required))
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Value::Object(schema), false) = (&mut schema, required.is_empty()) {
        schema.insert("required".into(), json!(required));
    }
    schema
}

fn property(key: &'static Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), json!(key.doc));
        if let Presence::Default(toml) = key.presence
            && let Ok(value) = DeValue::parse(toml)
            && let Some(value) = to_json(value.get_ref()).filter(|value| !value.is_object())
        {
            schema.insert("default".into(), value);
        }
    }
    schema
}

fn to_json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(integer) => json!(integer.as_str().parse::<u64>().ok()?),
        DeValue::Boolean(value) => json!(value),
        DeValue::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| to_json(value.get_ref()))
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(_) => json!({}),
        DeValue::Float(float) => json!(float.as_str().parse::<f64>().ok()?),
        DeValue::Datetime(_) => return None,
    })
}

fn text(pattern: &str, example: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "examples": [example] })
}

fn kind(of: &'static Kind) -> Value {
    match of {
        Kind::Duration { .. } => text(r"^([0-9]+(\.[0-9]+)?(d|h|m|s|ms|us|ns))+$", "250ms"),
        Kind::Size { .. } => text(r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB)$", "64KiB"),
        Kind::Percent => text(r"^[0-9]+(\.[0-9]+)?%$", "99.9%"),
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Rate { .. } => text(r"^[0-9]+(\.[0-9]+)?/(s|min|h|d)$", "50/s"),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Address => text(r"^.+:[0-9]+$", "127.0.0.1:8080"),
        Kind::Network => text(r"^[0-9a-fA-F.:]+(/[0-9]+)?$", "10.0.0.0/8"),
        Kind::Endpoint => text(
            r"^[hH][tT][tT][pP][sS]?://[^/@]+/?$",
            "http://10.0.0.1:9001",
        ),
        Kind::Url => text(
            r"^([hH][tT][tT][pP]|[sS][mM][tT][pP])[sS]?://[^@]+$",
            "https://hooks.example.com/a",
        ),
        Kind::BaseUrl => text(
            r"^[hH][tT][tT][pP][sS]?://[^@?#]+$",
            "https://queues.example.com",
        ),
        Kind::Host => text(r"^(\*\.)?[^*/]+$", "*.example.com"),
        Kind::Authority => text(r"^[^/@]+$", "shop.example.com"),
        Kind::PathPattern => text(r"^/[^?#]*$", "/orders/{id}"),
        Kind::UriPath => text(r"^/[^#]*$", "/healthz"),
        Kind::HeaderName => text(HEADER_NAME, "x-api-key"),
        Kind::HeaderValue => json!({ "type": "string" }),
        Kind::HeaderCondition => json!({ "anyOf": [{ "type": "string" }, { "const": true }] }),
        Kind::Method => text(HEADER_NAME, "GET"),
        Kind::Feature => text("^[A-Za-z][A-Za-z0-9_-]{0,63}$", "recommendations"),
        Kind::File(_) => json!({ "type": "string", "minLength": 1 }),
        Kind::Either { words, other } => {
            let mut choices: Vec<Value> = words
                .iter()
                .map(|word| json!({ "const": word.word, "description": word.doc }))
                .collect();
            choices.extend(other.map(kind));
            json!({ "anyOf": choices })
        }
        Kind::List { of, bare } => {
            let element = kind(of);
            let array = json!({ "type": "array", "items": element });
            if *bare {
                json!({ "anyOf": [array, element] })
            } else {
                array
            }
        }
        Kind::Table(inner) => match inner.main.and_then(|main| inner.key(main)) {
            Some(main) => json!({ "anyOf": [table(inner), kind(&main.kind)] }),
            None => table(inner),
        },
        Kind::Map { names, of, .. } => {
            let pattern = match names {
                NameKind::Identifier => "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
                NameKind::Header => HEADER_NAME,
                NameKind::Queue => "^([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\\.fifo)$",
            };
            json!({
                "type": "object",
                "propertyNames": { "pattern": pattern },
                "additionalProperties": kind(of),
            })
        }
        Kind::Later => Value::Bool(false),
    }
}

const HEADER_NAME: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_keys_docs_defaults_and_words_and_nothing_of_later() {
        let schema = schema();
        let gateway = &schema["properties"]["gateway"];
        assert_eq!(gateway["properties"]["drain"]["default"], "30s");
        assert_eq!(
            gateway["properties"]["limits"]["properties"]["headers_max"]["maximum"],
            256
        );
        assert!(schema["properties"].get("fleet").is_none());
        let service = &schema["properties"]["service"]["additionalProperties"];
        assert_eq!(service["required"], json!(["endpoints"]));
        assert_eq!(service["additionalProperties"], false);
        assert_eq!(
            service["properties"]["protocol"]["anyOf"][1]["const"],
            "http1"
        );
        assert!(schema["properties"]["defaults"].get("required").is_none());
        let protect = &service["properties"]["protect"]["properties"];
        let limiter = &protect["limiter"]["anyOf"][0]["properties"];
        assert_eq!(limiter["kind"]["anyOf"][0]["const"], "adaptive");
        assert_eq!(limiter["max"]["default"], 1000);
        assert!(limiter["limit"].get("default").is_none());
        let tenant = &schema["properties"]["tenant"]["additionalProperties"]["anyOf"][0];
        assert_eq!(tenant["properties"]["weight"]["default"], 1.0);
    }
}
