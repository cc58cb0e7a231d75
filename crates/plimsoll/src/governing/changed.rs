//! What a configuration that comes into force changes for whom.
//!
//! Keys say it: `service.NAME.` is about one service, `route[N]` about that of the route, a few are on no request's way.

use std::collections::BTreeSet;

use plimsoll_config::{Config, RouteAction, Service};
use plimsoll_core::Timestamp;
use plimsoll_governor::{Change, PartKind, Place, Scope};

/// Tables that no request passes: who is called, what is written and where, what is promised.
const OFF_PATH: [&str; 8] = [
    "state",
    "ops",
    "console",
    "journal",
    "governor",
    "maintenance",
    "journey",
    "notify",
];
/// The same of a service.
const OFF_PATH_OF_SERVICE: [&str; 5] = ["owner", "tier", "runbook", "objective", "depends_on"];
/// A configuration that changes this many keys is about all of them.
const KEYS_MAX: usize = 1_000;

/// A change of the configuration, as one that may be why a service burns; `None`: nothing was changed. `text` says what.
pub(crate) fn configuration(
    at: Timestamp,
    keys: &[String],
    before: &Config,
    after: &Config,
    text: &str,
) -> Option<Change> {
    if keys.is_empty() {
        return None;
    }
    let mut about = About::default();
    for key in keys.iter().take(KEYS_MAX) {
        about.add(key, before, after);
    }
    let is_all = about.all || keys.len() > KEYS_MAX;
    let place = about.place();
    let scope = match about.services.len() {
        _ if is_all => Scope::All,
        0 => Scope::OffPath,
        _ => Scope::Services(about.services.into_iter().collect()),
    };
    Some(Change {
        place: place.filter(|_| !is_all),
        ..Change::made(at, scope, text)
    })
}

#[derive(Debug, Default)]
struct About {
    all: bool,
    services: BTreeSet<String>,
    endpoints: BTreeSet<String>,
    routes: BTreeSet<String>,
    /// Something is about all of a service.
    whole: bool,
}

impl About {
    fn add(&mut self, key: &str, before: &Config, after: &Config) {
        let mut parts = key.splitn(3, '.');
        let (table, name) = (parts.next().unwrap_or_default(), parts.next());
        match (table, name, parts.next()) {
            ("service", Some(name), rest) => self.service(name, rest, before, after),
            ("rollout", name, _) => self.rollout(name, before, after),
            ("gateway", Some("log"), _) => (),
            (table, ..) if OFF_PATH.contains(&table) => (),
            (table, ..) => match route_number(table) {
                Some(number) => self.route(number, before, after),
                None => self.all = true,
            },
        }
    }

    fn service(&mut self, name: &str, rest: Option<&str>, before: &Config, after: &Config) {
        let key = rest.map(|rest| rest.split('.').next().unwrap_or(rest));
        if key.is_some_and(|key| OFF_PATH_OF_SERVICE.contains(&key)) {
            return;
        }
        self.services.insert(name.to_owned());
        if !matches!(key, Some("endpoints" | "version")) {
            self.whole = true;
            return;
        }
        let endpoints = |config: &Config| -> BTreeSet<String> {
            let service = config.services.get(name);
            let all = service.into_iter().flat_map(Service::all_endpoints);
            all.map(ToString::to_string).collect()
        };
        let (before, after) = (endpoints(before), endpoints(after));
        let changed = before.symmetric_difference(&after).cloned();
        self.endpoints.extend(changed);
    }

    /// Whose version it is of; without a name, of all: there were none before, or there are none any more.
    fn rollout(&mut self, name: Option<&str>, before: &Config, after: &Config) {
        let rollouts = before.rollouts.iter().chain(&after.rollouts);
        let rollouts = rollouts.filter(|(it, _)| name.is_none_or(|name| name == *it));
        self.services
            .extend(rollouts.map(|(_, rollout)| rollout.service.clone()));
        self.whole = true;
    }

    fn route(&mut self, number: usize, before: &Config, after: &Config) {
        let place = number.saturating_sub(1);
        for config in [before, after] {
            let Some(route) = config.routes.get(place) else {
                continue;
            };
            self.routes.insert(route.name.clone());
            if let RouteAction::Service(service) = &route.action {
                self.services.insert(service.clone());
            }
        }
    }

    /// The parts that it is about, if they are all of one kind.
    fn place(&self) -> Option<Place> {
        let place = |kind, names: &BTreeSet<String>| Place {
            kind,
            names: names.iter().cloned().collect(),
        };
        match (self.whole, self.endpoints.len(), self.routes.len()) {
            (true, ..) => None,
            (_, 1.., 0) => Some(place(PartKind::Endpoint, &self.endpoints)),
            (_, 0, 1..) => Some(place(PartKind::Route, &self.routes)),
            _ => None,
        }
    }
}

/// `7` of `route[7]`.
fn route_number(table: &str) -> Option<usize> {
    let number = table.strip_prefix("route[")?;
    number.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(drain: &str, shop: &str, owner: &str, path: &str) -> String {
        format!(
            "[gateway]\ndrain = \"{drain}\"\n\
             [service.shop]\nowner = \"{owner}\"\nendpoints = [\"http://127.0.0.1:1\"{shop}]\n\
             [service.cart]\nendpoints = [\"http://127.0.0.1:3\"]\n\
             [[route]]\nname = \"buy\"\npath = \"{path}\"\nservice = \"cart\"\n\
             [[route]]\nname = \"all\"\nservice = \"shop\"\n"
        )
    }

    #[track_caller]
    fn check(after: &str, expected: Option<(Scope, Option<(PartKind, &str)>)>) {
        let before = text("10s", "", "a", "/buy");
        let parse = |text: &str| plimsoll_config::parse(text, "test").unwrap().0;
        let keys = plimsoll_config::changed_keys(&before, after);
        let at = Timestamp::from_seconds(1);
        let change = configuration(at, &keys, &parse(&before), &parse(after), "it");
        let found = change.map(|it| {
            let place = it.place.map(|it| (it.kind, it.names.join(" ")));
            (it.scope, place)
        });
        let expected = expected.map(|(scope, place)| {
            let place = place.map(|(kind, names)| (kind, names.to_owned()));
            (scope, place)
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn keys_say_whose_requests_a_configuration_is_about() {
        check(&text("10s", "", "a", "/buy"), None);
        check(&text("20s", "", "a", "/buy"), Some((Scope::All, None)));
        let owner = text("10s", "", "b", "/buy");
        check(&owner, Some((Scope::OffPath, None)));
        let endpoint = text("10s", ", \"http://127.0.0.1:2\"", "b", "/buy");
        let place = Some((PartKind::Endpoint, "http://127.0.0.1:2"));
        check(&endpoint, Some((Scope::service("shop"), place)));
        let next = "[service.shop.version.next]\nendpoints = [\"http://127.0.0.1:4\"]\n";
        let version = text("10s", "", "a", "/buy") + next;
        let place = Some((PartKind::Endpoint, "http://127.0.0.1:4"));
        check(&version, Some((Scope::service("shop"), place)));
        let rollout = "[rollout.shop]\nservice = \"shop\"\nversion = \"next\"\n";
        check(&(version + rollout), Some((Scope::service("shop"), None)));
        let route = text("10s", "", "a", "/pay");
        let place = Some((PartKind::Route, "buy"));
        check(&route, Some((Scope::service("cart"), place)));
    }
}
