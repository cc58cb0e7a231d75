//! HAProxy, as it comes and as tuned by one who knows the capacity. It takes one thread by itself on one core.

use std::fmt::Write;

use super::{Setting, write};
use crate::failure::Failure;

/// What an endpoint works on, and half as much again, so that it never waits for the next request.
const IN_FLIGHT_MAX: usize = 12;
/// Requests per second of one address, over three times what those send that behave.
const RATE_PER_ADDRESS_MAX: usize = 200;

type Call = (String, Vec<String>);

/// The timeouts of Debian's haproxy.cfg, and nothing else.
pub(super) fn default(setting: &Setting<'_>) -> Result<Call, Failure> {
    let text = format!(
        "\
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
frontend entrance
    bind {}
    default_backend service
backend service
{}",
        setting.listen,
        servers(setting, "")
    );
    call(setting, &text)
}

/// A bound per endpoint and on the wait for it, kept connections and, with several endpoints, health checks active
/// and passive, short timeouts and a second try.
pub(super) fn tuned(setting: &Setting<'_>, per_address: bool) -> Result<Call, Failure> {
    let several = setting.upstreams.len() > 1;
    let (timeout, checks) = if several {
        (
            "1s",
            "    balance leastconn\n    option httpchk GET /health\n    option redispatch 1\n    retries 1\n    \
             retry-on conn-failure empty-response response-timeout 500\n    \
             default-server check inter 500ms fall 2 rise 2 observe layer7 error-limit 10 on-error mark-down\n",
        )
    } else {
        ("50s", "")
    };
    let priority = if setting.shape.classes {
        "    http-request set-priority-class int(-10) if { path /critical }\n"
    } else {
        ""
    };
    let address = if per_address {
        format!(
            "    stick-table type ip size 100k expire 10s store http_req_rate(1s)\n    \
             http-request track-sc0 src\n    \
             http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {RATE_PER_ADDRESS_MAX} }}\n"
        )
    } else {
        String::new()
    };
    let text = format!(
        "\
global
    maxconn 9000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server {timeout}
    timeout http-keep-alive 1h
    timeout queue 150ms
    maxconn 9000
    http-reuse always
frontend entrance
    bind {} backlog 4096
{address}    default_backend service
backend service
{priority}{checks}{}",
        setting.listen,
        servers(setting, &format!(" maxconn {IN_FLIGHT_MAX}"))
    );
    call(setting, &text)
}

fn servers(setting: &Setting<'_>, options: &str) -> String {
    let mut out = String::new();
    for (index, upstream) in setting.upstreams.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "    server s{index} {upstream}{options}");
    }
    out
}

fn call(setting: &Setting<'_>, text: &str) -> Result<Call, Failure> {
    let path = write(&setting.folder.join("haproxy.cfg"), text)?;
    Ok(("haproxy".to_owned(), vec!["-f".to_owned(), path]))
}
