//! What is recorded of changes: of the configuration, of the addresses behind names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use plimsoll_gateway::Plan;
use serde_json::{Value, json};

use crate::configuration::{self, Loaded};

/// How many keys and addresses a record names; the rest is counted.
const NAMED_MAX: usize = 100;

/// A configuration comes into force, after another that is known by its text, in words, and which keys that changes. Names what
/// changed, never its values: one of them may be a tenant's key.
pub(crate) fn changed(before: Option<&str>, after: &Loaded) -> (String, Vec<String>) {
    let hash = before.map(configuration::hash);
    let is_same = hash.as_ref() == Some(&after.hash);
    let keys = match before {
        Some(before) if !is_same => plimsoll_config::changed_keys(before, &after.text),
        _ => Vec::new(),
    };
    let what = match (is_same, keys.as_slice()) {
        (true, _) => "the same as before".to_owned(),
        (_, []) if before.is_some() => "no key changed".to_owned(),
        (_, []) => String::new(),
        (_, few @ ([_] | [_, _] | [_, _, _])) => few.join(", ") + " changed",
        (_, [first, second, ..]) => {
            format!("{first}, {second} and {} more changed", keys.len() - 2)
        }
    };
    let separator = if what.is_empty() { "" } else { ": " };
    let text = format!("configuration {} in force{separator}{what}", after.hash);
    (text, keys)
}

/// The same, to be recorded.
pub(crate) fn configuration(before: Option<&str>, after: &Loaded) -> Value {
    let (text, keys) = changed(before, after);
    let (shown, more) = keys.split_at(keys.len().min(NAMED_MAX));
    json!({
        "text": text,
        "path": after.path,
        "before": before.map(configuration::hash),
        "after": after.hash,
        "changed": shown,
        "changed_more": more.len(),
    })
}

/// The addresses that names had when they were last looked at, by service and endpoint.
#[derive(Debug, Default)]
pub(crate) struct Addresses(BTreeMap<(String, String), Arc<Vec<SocketAddr>>>);

impl Addresses {
    /// Looks again. Says for each endpoint whose addresses are others now what to record, and about what.
    pub(crate) fn look(&mut self, plan: &Plan) -> Vec<(String, Value)> {
        let mut changes = Vec::new();
        let mut now = BTreeMap::new();
        for service in &plan.services {
            let endpoints = service.cluster.endpoints.iter();
            for endpoint in endpoints.filter(|it| it.needs_resolving()) {
                let key = (service.name.clone(), endpoint.name.clone());
                let addresses = endpoint.addresses();
                if let Some(before) = self.0.get(&key)
                    && *before != addresses
                {
                    let subject = endpoint_subject(&service.name, &endpoint.name);
                    changes.push((subject, addresses_changed(before, &addresses)));
                }
                now.insert(key, addresses);
            }
        }
        self.0 = now;
        changes
    }
}

/// What a record about an endpoint is about.
pub(crate) fn endpoint_subject(service: &str, endpoint: &str) -> String {
    format!("service/{service}/endpoint/{endpoint}")
}

fn addresses_changed(before: &[SocketAddr], after: &[SocketAddr]) -> Value {
    let named = |addresses: &[SocketAddr]| -> Vec<String> {
        let few = addresses.iter().take(NAMED_MAX);
        few.map(SocketAddr::to_string).collect()
    };
    let text = match after {
        [] => "its name has no address".to_owned(),
        [address] => format!("its name leads to {address}"),
        [address, more @ ..] => format!("its name leads to {address} and {} more", more.len()),
    };
    json!({ "text": text, "what": "addresses", "before": named(before), "after": named(after) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        configuration::from_file(file.path()).unwrap()
    }

    #[test]
    fn a_change_names_keys_and_no_values() {
        let text = |secret: &str, drain: &str| {
            format!(
                "[gateway]\ndrain = \"{drain}\"\n[service.app]\nendpoints = [\"http://127.0.0.1:1\"]\n\
                 [tenant.gold]\nkeys = [\"{secret}\"]\n[[route]]\nservice = \"app\"\n"
            )
        };
        let before = text("a-secret-of-somebody-1", "10s");
        let after = loaded(&text("a-secret-of-somebody-2", "20s"));
        let body = configuration(Some(&before), &after);
        assert_eq!(
            body["changed"],
            json!(["gateway.drain", "tenant.gold.keys"])
        );
        assert_eq!(body["before"], configuration::hash(&before));
        assert!(!body.to_string().contains("secret"), "{body}");
        let again = configuration(Some(&after.text), &after);
        assert!(
            again["text"]
                .as_str()
                .unwrap()
                .ends_with("the same as before")
        );
    }

    #[test]
    fn addresses_are_named_up_to_a_bound() {
        let address = |last: u8| SocketAddr::from(([127, 0, 0, last], 80));
        let many: Vec<_> = (1..=200).map(address).collect();
        let body = addresses_changed(&[], &many);
        assert_eq!(body["text"], "its name leads to 127.0.0.1:80 and 199 more");
        assert_eq!(body["after"].as_array().unwrap().len(), NAMED_MAX);
    }
}
