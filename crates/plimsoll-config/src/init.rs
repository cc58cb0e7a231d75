//! Configurations to begin with: a commented starter file, and one for a single target without a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::address::EndpointError;
use crate::model::{Config, Endpoint};
use crate::parse::parse;

/// Why there is no configuration for the endpoints given on a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// None was given.
    #[error("no endpoint given: a starter file needs at least one, as in http://127.0.0.1:3000")]
    NoEndpoint,
    /// One of them is not the URL of an endpoint.
    #[error("the endpoint {text} {reason}")]
    Endpoint {
        /// As it was given; without the password where it has one.
        text: String,
        /// Why not.
        reason: EndpointError,
    },
    /// They are valid one by one, but not together.
    #[error("{0}")]
    Refused(String),
}

/// A commented starter file for `endpoints`. Those with the same host become one service.
///
/// A name of a few letters becomes the service's name (`shop` for `http://shop.internal:80`), an address
/// becomes `app`. The first service gets every request, each other one those under `/NAME/`.
pub fn init(endpoints: &[&str]) -> Result<String, InitError> {
    let services = group(endpoints)?;
    let mut text = String::from(HEAD);
    for (name, endpoints) in &services {
        let urls: Vec<String> = endpoints
            .iter()
            .map(|endpoint| format!("\"{endpoint}\""))
            .collect();
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "\n[service.{name}]\nendpoints = [{}]\n# owner = \"payments\"           # who is asked about it\n{HEALTH}",
            urls.join(", ")
        );
        let _ = write!(
            text,
            "\n[service.{name}.objective.availability]\n{AVAILABILITY}"
        );
        let _ = write!(text, "\n[service.{name}.objective.latency]\n{LATENCY}");
    }
    text.push_str(ROUTES);
    for (place, (name, _)) in services.iter().enumerate() {
        text.push_str("\n[[route]]\n");
        if place > 0 {
            let _ = writeln!(
                text,
                "path = \"/{name}/*\"             # or host = \"{name}.example.com\""
            );
        }
        let _ = writeln!(text, "service = \"{name}\"");
    }
    text.push_str(TAIL);
    Ok(text)
}

const HEAD: &str = "\
# Plimsoll, to begin with. `plimsoll check FILE` says what is wrong with a file, `plimsoll run --config FILE` serves it.
# Every key with its default is in docs/reference/config.md; `plimsoll schema` lets an editor complete them.

[gateway]
listen = \"127.0.0.1:8080\"        # 0.0.0.0:8080 to be reached from elsewhere
";

const HEALTH: &str = "\
# health = \"/healthz\"           # asked every 2s; without it only requests show what is down
";

const AVAILABILITY: &str = "\
target = \"99.9%\"                # the rest is the error budget: 40 minutes of 28 days
period = \"28d\"
";

const LATENCY: &str = "\
target = \"99%\"
below = \"500ms\"                 # from when on your users would call it slow
";

const ROUTES: &str = "
# Of the routes that match a request the most specific wins; their order does not matter.
";

const TAIL: &str = "
# More of a route:
#   host = \"shop.example.com\"     or \"*.example.com\"
#   path = \"/orders/{id}\"         `/a` alone, `/a/*` and all below it, `{id}` for one segment
#   methods = [\"GET\", \"POST\"]
#   deadline = \"2s\"               to the response's head; 30s unless it says so
#   class = \"critical\"            goes last when not all fits
";

/// Services in the order of their first endpoint.
fn group(texts: &[&str]) -> Result<Vec<(String, Vec<Endpoint>)>, InitError> {
    if texts.is_empty() {
        return Err(InitError::NoEndpoint);
    }
    let mut services: Vec<(String, Vec<Endpoint>)> = Vec::new();
    let mut by_host: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        let endpoint = endpoint(text)?;
        let base = name_of(&endpoint.host);
        // All addresses are one service, unless they are told apart by hand.
        let host = if base == "app" {
            String::new()
        } else {
            endpoint.host.clone()
        };
        let place = *by_host.entry(host).or_insert_with(|| {
            let taken = |name: &str| services.iter().any(|(other, _)| other == name);
            let numbered = (2..).map(|number| format!("{base}-{number}"));
            let name = std::iter::once(base.clone())
                .chain(numbered)
                .find(|name| !taken(name));
            services.push((name.unwrap_or_default(), Vec::new()));
            services.len() - 1
        });
        if let Some((_, endpoints)) = services.get_mut(place)
            && !endpoints.contains(&endpoint)
        {
            endpoints.push(endpoint);
        }
    }
    Ok(services)
}

/// An endpoint from a command line, where the scheme may be left out.
fn endpoint(text: &str) -> Result<Endpoint, InitError> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    with_scheme.parse().map_err(|reason| InitError::Endpoint {
        text: if reason == EndpointError::Credentials {
            "with the password".into()
        } else {
            text.to_owned()
        },
        reason,
    })
}

/// The first label of a host's name, where it can be a service's; else `app`.
fn name_of(host: &str) -> String {
    let label = host.split('.').next().unwrap_or_default();
    let is_name = host.parse::<IpAddr>().is_err()
        && host != "localhost"
        && label.starts_with(|c: char| c.is_ascii_alphanumeric())
        && label.len() <= 32;
    if is_name {
        label.to_owned()
    } else {
        "app".to_owned()
    }
}

impl Config {
    /// The configuration of `run --to TARGET`, without a file: one service `app`, one route that takes all,
    /// and what is not given as in an empty file.
    ///
    /// ```
    /// # use plimsoll_config::Config;
    /// let config = Config::for_target("http://127.0.0.1:3000", None, None, None)?;
    /// assert_eq!(config.services.len(), 1);
    /// # Ok::<(), plimsoll_config::InitError>(())
    /// ```
    pub fn for_target(
        target: &str,
        listen: Option<SocketAddr>,
        console: Option<SocketAddr>,
        ops: Option<SocketAddr>,
    ) -> Result<Self, InitError> {
        let endpoint = endpoint(target)?;
        let mut source =
            format!("[service.app]\nendpoints = [\"{endpoint}\"]\n[[route]]\nservice = \"app\"\n");
        for (table, address) in [("gateway", listen), ("console", console), ("ops", ops)] {
            if let Some(address) = address {
                let _ = write!(source, "[{table}]\nlisten = \"{address}\"\n");
            }
        }
        parse(&source, "")
            .map(|(config, _)| config)
            .map_err(|diagnostics| {
                let sentences = diagnostics.iter().map(|diagnostic| match &diagnostic.help {
                    Some(help) => format!("{}: {help}", diagnostic.message),
                    None => diagnostic.message.clone(),
                });
                InitError::Refused(sentences.collect::<Vec<_>>().join("; "))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RouteAction;

    #[track_caller]
    fn check(endpoints: &[&str], services: &[&str]) -> String {
        let text = init(endpoints).unwrap();
        let (config, warnings) = parse(&text, "plimsoll.toml").unwrap();
        assert_eq!(warnings, []);
        assert_eq!(
            config
                .services
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>(),
            services
        );
        assert_eq!(config.routes.len(), services.len());
        text
    }

    #[test]
    fn a_starter_file_is_valid_and_names_its_services_after_their_hosts() {
        check(&["http://127.0.0.1:3000"], &["app"]);
        check(
            &["127.0.0.1:9001", "127.0.0.1:9002", "http://127.0.0.1:9001"],
            &["app"],
        );
        check(
            &["http://shop.internal", "https://search.internal:8443"],
            &["search", "shop"],
        );
        check(&["http://shop.a", "http://shop.b"], &["shop", "shop-2"]);
        check(
            &["http://_x.a", "http://[::1]:80", "http://localhost"],
            &["app"],
        );
    }

    #[test]
    fn what_the_comments_of_a_starter_file_offer_is_valid_too() {
        let text = init(&["http://127.0.0.1:3000"]).unwrap();
        let text = text
            .replace("# owner", "owner")
            .replace("# health", "health");
        assert_eq!(
            parse(&text, "plimsoll.toml").map(|(_, warnings)| warnings),
            Ok(vec![])
        );
    }

    #[test]
    fn a_bad_endpoint_is_named_and_its_password_is_not() {
        assert_eq!(init(&[]), Err(InitError::NoEndpoint));
        let message = init(&["http://a/b"]).unwrap_err().to_string();
        assert_eq!(
            message,
            "the endpoint http://a/b has a path, a query or a fragment"
        );
        let message = init(&["http://me:hunter2@a"]).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_target_becomes_one_service_that_takes_all() {
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let config = Config::for_target("127.0.0.1:3000", listen, None, None).unwrap();
        assert_eq!(config.gateway.listen[0].address.port(), 0);
        assert_eq!(config.ops_listen, "127.0.0.1:7677".parse().unwrap());
        assert_eq!(config.routes[0].action, RouteAction::Service("app".into()));
        assert!(config.routes[0].path.open);
        assert_eq!(
            config.services["app"].endpoints[0].to_string(),
            "http://127.0.0.1:3000"
        );
        assert!(config.services["app"].objectives.is_empty());
    }

    #[test]
    fn a_target_that_is_plimsoll_itself_is_refused() {
        let error = Config::for_target("http://127.0.0.1:8080", None, None, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("Plimsoll itself"), "{error}");
    }
}
