//! From the configuration's model to the parameters of the shells.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_config::{
    Balance, Config, Endpoint, HealthCheck, Notifier, NotifierKind, Runbook, Scheme, Secret,
    Service, UpstreamProtocol, UpstreamTls, Url,
};
use plimsoll_console as console;
use plimsoll_console::notify::{self, Channel, Format, Mail, TargetConfig};
use plimsoll_gateway::{mode_of, objective_specs};
use plimsoll_measure::{JourneyLayout, Layout, ServiceLayout};
use plimsoll_policy::EndpointParameters;
use plimsoll_upstream as upstream;

use crate::exit::with_causes;

/// A receiver may be far away: longer than a service gets.
const RECEIVER_CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// The endpoints of all services.
pub(crate) fn clusters(config: &Config) -> Vec<upstream::ClusterConfig> {
    config
        .services
        .iter()
        .map(|(name, service)| cluster(config, name, service))
        .collect()
}

fn cluster(config: &Config, name: &str, service: &Service) -> upstream::ClusterConfig {
    let endpoint = |endpoint: &Endpoint| upstream::EndpointConfig {
        host: endpoint.host.clone(),
        port: endpoint.port,
        tls: endpoint.tls.then(|| tls(&service.tls)),
        protocol: match service.protocol {
            UpstreamProtocol::Auto => upstream::Protocol::Auto,
            UpstreamProtocol::Http1 => upstream::Protocol::Http1,
            UpstreamProtocol::Http2 => upstream::Protocol::Http2,
        },
        connect_time_max: service.protect.connect_time_max,
        idle_connections_max: service.protect.idle_connections_max,
        idle_connection_time_max: service.protect.idle_connection_time_max,
    };
    let versions = service.versions.iter().map(|(name, version)| {
        let endpoints = version.endpoints.iter().map(endpoint);
        (name.clone(), endpoints.collect())
    });
    upstream::ClusterConfig {
        name: name.to_owned(),
        endpoints: service.endpoints.iter().map(endpoint).collect(),
        versions: versions.collect(),
        balance: match service.balance {
            Balance::LeastLoaded => upstream::Balance::LeastLoaded,
            Balance::RoundRobin => upstream::Balance::RoundRobin,
            Balance::ConsistentHash(_) => upstream::Balance::ConsistentHash,
        },
        parameters: endpoint_parameters(config, service),
        health: service
            .health
            .as_ref()
            .map(|health| upstream::HealthConfig {
                check: match &health.check {
                    HealthCheck::Http { path } => {
                        upstream::HealthCheck::Http { path: path.clone() }
                    }
                    HealthCheck::Tcp => upstream::HealthCheck::Tcp,
                    HealthCheck::Grpc { service } => upstream::HealthCheck::Grpc {
                        service: service.clone(),
                    },
                },
                interval: health.interval,
                timeout: health.timeout,
            }),
    }
}

/// What to do, as the people of services wrote it down: read now, so that no page waits for a disk.
pub(crate) fn runbooks(config: &Config) -> BTreeMap<String, console::Runbook> {
    let named = config
        .services
        .iter()
        .filter_map(|(name, service)| Some((name, service.runbook.as_ref()?)));
    let read = named.map(|(name, runbook)| {
        let read = match runbook {
            Runbook::Url(url) => console::Runbook::Link(url.clone()),
            Runbook::File(path) => {
                let shown = path.file_name().unwrap_or(path.as_os_str());
                let shown = shown.to_string_lossy().into_owned();
                match plimsoll_config::read_runbook(path) {
                    Ok(text) => console::Runbook::Text { name: shown, text },
                    Err(error) => console::Runbook::Unreadable {
                        name: shown,
                        why: with_causes(&error),
                    },
                }
            }
        };
        (name.clone(), read)
    });
    read.collect()
}

/// When an endpoint of a service is taken out and brought back.
pub(crate) fn endpoint_parameters(config: &Config, service: &Service) -> EndpointParameters {
    let usual = EndpointParameters::default();
    let health = service.health.as_ref();
    EndpointParameters {
        breaker: mode_of(config, service, service.protect.breaker.mode),
        ejection: mode_of(config, service, service.protect.ejection.mode),
        failures_max: health.map_or(usual.failures_max, |health| health.failures_max),
        successes_min: health.map_or(usual.successes_min, |health| health.successes_min),
        ..usual
    }
}

/// Who is called. What is not readable as it should be was refused when the configuration was loaded.
pub(crate) fn notifiers(config: &Config) -> Vec<TargetConfig> {
    let notifiers = config.notifiers.iter();
    notifiers
        .filter_map(|(name, notifier)| target(name, notifier))
        .collect()
}

fn target(name: &str, notifier: &Notifier) -> Option<TargetConfig> {
    let url: Url = plain(&notifier.url)?.parse().ok()?;
    let channel = match &notifier.kind {
        NotifierKind::Webhook { key } => Channel::Http(Format::Webhook {
            key: match key {
                Some(key) => Some(signing_key(plain(key)?)?),
                None => None,
            },
        }),
        NotifierKind::Alertmanager => Channel::Http(Format::Alertmanager),
        NotifierKind::Slack => Channel::Http(Format::Slack),
        NotifierKind::PagerDuty { routing_key } => Channel::Http(Format::PagerDuty {
            routing_key: plain(routing_key)?.to_owned(),
        }),
        NotifierKind::Heartbeat { interval } => Channel::Heartbeat {
            interval: *interval,
        },
        NotifierKind::Smtp { from, to, login } => Channel::Mail(Mail {
            from: from.clone(),
            to: to.clone(),
            login: match login {
                Some((user, password)) => Some((user.clone(), plain(password)?.to_owned())),
                None => None,
            },
            is_tls: url.scheme.is_tls(),
            tls: tls(&notifier.tls),
        }),
    };
    Some(TargetConfig {
        name: name.to_owned(),
        channel,
        owners: notifier.owners.clone(),
        endpoint: upstream::EndpointConfig {
            // Mail begins TLS by itself.
            tls: (url.scheme == Scheme::Https).then(|| tls(&notifier.tls)),
            connect_time_max: RECEIVER_CONNECT_TIME_MAX,
            ..upstream::EndpointConfig::new(url.host, url.port)
        },
        path: url.path,
    })
}

/// The key in what Standard Webhooks writes as `whsec_` and base64; `None`: it is none.
pub(crate) fn signing_key(text: &str) -> Option<Vec<u8>> {
    let key = notify::decode(text.strip_prefix("whsec_")?)?;
    // As the specification has it.
    (24..=64).contains(&key.len()).then_some(key)
}

fn plain(secret: &Secret) -> Option<&str> {
    match secret {
        Secret::Plain(value) => Some(value),
        Secret::Env(_) | Secret::File(_) => None,
    }
}

fn tls(tls: &UpstreamTls) -> upstream::TlsConfig {
    upstream::TlsConfig {
        ca: tls.ca.clone(),
        server_name: tls.server_name.clone(),
        client: tls
            .client
            .as_ref()
            .map(|client| upstream::ClientCertificate {
                certificate: client.certificate.clone(),
                key: client.key.clone(),
            }),
    }
}

/// What is measured.
pub(crate) fn layout(config: &Config) -> Layout {
    let services = config.services.iter().map(|(name, service)| ServiceLayout {
        name: name.clone(),
        owner: service.owner.clone(),
        tier: service.tier,
        depends_on: service.depends_on.clone(),
        mode: service.protect.mode,
        objectives: objective_specs(service),
        endpoints: service.all_endpoints().map(ToString::to_string).collect(),
        routes: config
            .routes
            .iter()
            .filter(|route| route.action == plimsoll_config::RouteAction::Service(name.clone()))
            .map(|route| route.name.clone())
            .collect(),
    });
    let journeys = config.journeys.iter().map(|(name, journey)| JourneyLayout {
        name: name.clone(),
        owner: journey.owner.clone(),
        services: journey.services.clone(),
        objective: journey.objective.clone(),
        target: journey.target,
    });
    Layout {
        services: services.collect(),
        journeys: journeys.collect(),
    }
}
