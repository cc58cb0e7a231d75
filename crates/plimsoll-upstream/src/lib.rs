//! Outbound HTTP: resolver, pools, TLS, health checks.
