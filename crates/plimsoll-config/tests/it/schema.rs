//! The schema that editors use agrees with what is read.
//!
//! Method: a small validator of the words of JSON Schema that the schema uses, except patterns of texts.

use plimsoll_config::{parse, schema};
use serde_json::{Map, Value, json};

/// Why `value` does not fit `schema`; none where it does.
fn misfit(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let Some(schema) = schema.as_object() else {
        return (schema == &json!(false)).then(|| format!("{path} is not allowed"));
    };
    for (word, of) in schema {
        let fits = match word.as_str() {
            "$schema" | "title" | "description" | "default" | "examples" | "pattern"
            | "properties" | "propertyNames" | "minLength" => true,
            "type" => match of.as_str() {
                Some("object") => value.is_object(),
                Some("array") => value.is_array(),
                Some("string") => value.is_string(),
                Some("boolean") => value.is_boolean(),
                Some("integer") => value.is_u64(),
                Some("number") => value.is_number(),
                other => panic!("a type {other:?}"),
            },
            "const" => of == value,
            "minimum" => value.as_f64() >= of.as_f64(),
            "maximum" => value.as_f64() <= of.as_f64(),
            "required" => of.as_array().is_some_and(|keys| {
                keys.iter()
                    .all(|key| value.get(key.as_str().unwrap_or_default()).is_some())
            }),
            "anyOf" => of
                .as_array()
                .is_some_and(|any| any.iter().any(|of| misfit(of, value, path).is_none())),
            "items" => {
                let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
                if let Some(why) = elements.iter().find_map(|value| misfit(of, value, path)) {
                    return Some(why);
                }
                true
            }
            "additionalProperties" => {
                let none = Map::new();
                let known = schema.get("properties").and_then(Value::as_object);
                let entries = value.as_object().unwrap_or(&none);
                for (key, value) in entries {
                    let of = known.and_then(|known| known.get(key)).unwrap_or(of);
                    if let Some(why) = misfit(of, value, &format!("{path}.{key}")) {
                        return Some(why);
                    }
                }
                true
            }
            other => panic!("a word {other}"),
        };
        if !fits {
            return Some(format!("{path}: {word}"));
        }
    }
    None
}

fn read(source: &str) -> Option<Value> {
    let table: toml::Table = source.parse().ok()?;
    serde_json::to_value(table).ok()
}

#[test]
fn a_file_with_every_key_fits_the_schema() {
    let whole = read(include_str!("whole.toml")).unwrap();
    assert_eq!(misfit(&schema(), &whole, ""), None);
}

#[test]
fn the_schema_takes_and_refuses_what_the_parser_does() {
    let schema = schema();
    let check = |line: &str, fits: bool| {
        let source = format!(
            "[service.app]\nendpoints = \"http://10.0.0.1\"\n[service.app.protect]\n{line}\n[[route]]\nservice = \"app\"\n"
        );
        let value = read(&source).unwrap();
        let why = misfit(&schema, &value, "");
        assert_eq!(why.is_none(), fits, "{line}: {why:?}");
        assert_eq!(parse(&source, "p.toml").is_ok(), fits, "{line}");
    };
    for line in [
        "limiter = 32",
        "limiter = \"off\"",
        "limiter = { limit = 9, mode = \"observe\" }",
        "queue = \"objective\"",
        "bulkhead.streams_max = \"none\"",
        "retry = { attempts = 8, on = [\"504\"], floor = \"1/min\" }",
        "retry.on = \"reset\"",
        "hedge = \"p99\"",
        "breaker = \"observe\"",
        "throttle = {}",
    ] {
        check(line, true);
    }
    for line in [
        "limiter = 0",
        "limiter = 1.5",
        "limiter.max = 1",
        "limiter.limt = 3",
        "queue.requests_max = 0",
        "retry = 9",
        "retry.on = [502]",
        "retry.on = \"500\"",
        "breaker = true",
        "ejection = { share_max = 1 }",
    ] {
        check(line, false);
    }
}
