//! Which services another configuration touches.

use std::collections::BTreeSet;

use plimsoll_config::{Config, RouteAction};

use crate::approvals::Touching;

/// What is touched where these keys change. A service is by its own keys, and by routes: those that change, and all after the
/// first of them, for their order decides. Any other key touches all services.
pub(crate) fn touched(before: &Config, after: &Config, keys: &[String]) -> Touching {
    let mut names = BTreeSet::new();
    let mut all = false;
    for key in keys {
        let mut parts = key.splitn(3, '.');
        match (parts.next(), parts.next()) {
            (Some("service"), Some(name)) => {
                names.insert(name.to_owned());
            }
            (Some(first), _) if first.starts_with("route") => {
                let place = first.strip_prefix("route[");
                let place = place.and_then(|it| it.strip_suffix(']')?.parse::<usize>().ok());
                // Counted from 1; where the list itself is new or gone, from the first on.
                let place = place.map_or(0, |it| it.saturating_sub(1));
                for config in [before, after] {
                    let routes = config.routes.iter().skip(place);
                    names.extend(routes.filter_map(|it| match &it.action {
                        RouteAction::Service(name) => Some(name.clone()),
                        RouteAction::Redirect(_) => None,
                    }));
                }
            }
            _ => all = true,
        }
    }
    if all {
        let services = before.services.keys().chain(after.services.keys());
        names.extend(services.cloned());
    }
    let tier = |name: &String| {
        let configs = [before, after].into_iter();
        let tiers = configs.filter_map(|config| Some(config.services.get(name)?.tier));
        // What matters more counts, where it is changed.
        tiers.min().unwrap_or(u8::MAX)
    };
    Touching {
        services: names
            .into_iter()
            .map(|name| (name.clone(), tier(&name)))
            .collect(),
        all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[service.a]\ntier = 1\nendpoints = [\"http://127.0.0.1:1\"]\n[service.b]\nendpoints = [\"http://127.0.0.1:2\"]\n\
        [[route]]\npath = \"/a\"\nservice = \"a\"\n[[route]]\nservice = \"b\"\n";

    #[track_caller]
    fn check(after: &str, expected: &[&str], all: bool) {
        let config = |text: &str| plimsoll_config::parse(text, "x.toml").unwrap().0;
        let keys = plimsoll_config::changed_keys(BASE, after);
        let touching = touched(&config(BASE), &config(after), &keys);
        let names: Vec<&str> = touching.services.keys().map(String::as_str).collect();
        assert_eq!(
            (names.as_slice(), touching.all),
            (expected, all),
            "{keys:?}"
        );
    }

    #[test]
    fn keys_of_a_service_touch_it_and_others_touch_all() {
        check(BASE, &[], false);
        check(&BASE.replace("tier = 1", "tier = 2"), &["a"], false);
        check(
            &format!("{BASE}[gateway]\ndrain = \"1s\"\n"),
            &["a", "b"],
            true,
        );
        check(
            &format!("{BASE}[service.c]\nendpoints = [\"http://127.0.0.1:3\"]\n"),
            &["c"],
            false,
        );
    }

    #[test]
    fn a_route_touches_its_service_and_those_of_all_routes_after_it() {
        let last = format!("{BASE}methods = [\"GET\"]\n");
        check(&last, &["b"], false);
        check(&BASE.replace("/a\"", "/a/*\""), &["a", "b"], false);
    }

    #[test]
    fn the_tier_that_matters_more_counts() {
        let config = |text: &str| plimsoll_config::parse(text, "x.toml").unwrap().0;
        let after = BASE.replace("tier = 1", "tier = 5");
        let keys = plimsoll_config::changed_keys(BASE, &after);
        assert_eq!(
            touched(&config(BASE), &config(&after), &keys).services["a"],
            1
        );
    }
}
