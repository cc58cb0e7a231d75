//! From the configuration's model to the parameters of the shells.

use plimsoll_config::{Balance, Config, HealthCheck, Service, UpstreamProtocol};
use plimsoll_gateway::{mode_of, objective_specs};
use plimsoll_measure::{JourneyLayout, Layout, ServiceLayout};
use plimsoll_policy::EndpointParameters;
use plimsoll_upstream as upstream;

/// The endpoints of all services.
pub(crate) fn clusters(config: &Config) -> Vec<upstream::ClusterConfig> {
    config
        .services
        .iter()
        .map(|(name, service)| cluster(config, name, service))
        .collect()
}

fn cluster(config: &Config, name: &str, service: &Service) -> upstream::ClusterConfig {
    let endpoints = service
        .endpoints
        .iter()
        .map(|endpoint| upstream::EndpointConfig {
            host: endpoint.host.clone(),
            port: endpoint.port,
            tls: endpoint.tls.then(|| upstream::TlsConfig {
                ca: service.tls.ca.clone(),
                server_name: service.tls.server_name.clone(),
                client: service
                    .tls
                    .client
                    .as_ref()
                    .map(|client| upstream::ClientCertificate {
                        certificate: client.certificate.clone(),
                        key: client.key.clone(),
                    }),
            }),
            protocol: match service.protocol {
                UpstreamProtocol::Auto => upstream::Protocol::Auto,
                UpstreamProtocol::Http1 => upstream::Protocol::Http1,
                UpstreamProtocol::Http2 => upstream::Protocol::Http2,
            },
            connect_time_max: service.protect.connect_time_max,
            idle_connections_max: service.protect.idle_connections_max,
            idle_connection_time_max: service.protect.idle_connection_time_max,
        });
    upstream::ClusterConfig {
        name: name.to_owned(),
        endpoints: endpoints.collect(),
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

/// What is measured.
pub(crate) fn layout(config: &Config) -> Layout {
    let services = config.services.iter().map(|(name, service)| ServiceLayout {
        name: name.clone(),
        owner: service.owner.clone(),
        tier: service.tier,
        mode: service.protect.mode,
        objectives: objective_specs(service),
        endpoints: service.endpoints.iter().map(ToString::to_string).collect(),
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
