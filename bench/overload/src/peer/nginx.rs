//! nginx, as it comes and as tuned by one who knows the capacity. One worker in both: it has one core.

use std::fmt::Write;

use super::{Setting, write};
use crate::failure::Failure;

/// Four times the slots of an endpoint: always enough to keep it busy, 20 ms of queue at most.
const IN_FLIGHT_MAX: usize = 32;
/// Of one address: eight that behave fit side by side, with room.
const IN_FLIGHT_PER_ADDRESS_MAX: usize = 8;

type Call = (String, Vec<String>);

/// Debian's nginx.conf, with a location that names the service.
pub(super) fn default(setting: &Setting<'_>) -> Result<Call, Failure> {
    let here = setting.folder.display();
    let servers = servers(setting, "");
    let listen = setting.listen;
    let text = format!(
        "\
daemon off;
worker_processes 1;
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{
    worker_connections 768;
}}
http {{
    sendfile on;
    tcp_nopush on;
    access_log {here}/access.log;
{}
    upstream service {{
{servers}    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://service;
        }}
    }}
}}
",
        folders(setting)
    );
    call(setting, &text)
}

/// Kept connections, a bound on what is in flight and, with several endpoints, short timeouts and a second try.
pub(super) fn tuned(setting: &Setting<'_>, per_address: bool) -> Result<Call, Failure> {
    let here = setting.folder.display();
    let listen = setting.listen;
    let count = setting.upstreams.len();
    let servers = servers(setting, " max_fails=5 fail_timeout=2s");
    let several = if count > 1 {
        "proxy_connect_timeout 1s;
            proxy_read_timeout 1s;
            proxy_next_upstream error timeout http_500;
            proxy_next_upstream_tries 2;"
    } else {
        ""
    };
    let balance = if count > 1 { "least_conn;" } else { "" };
    let in_flight = IN_FLIGHT_MAX * count;
    let address = if per_address {
        format!("limit_conn address {IN_FLIGHT_PER_ADDRESS_MAX};")
    } else {
        String::new()
    };
    let location = |path: &str, zone: &str| {
        format!(
            "        location {path} {{
            limit_conn {zone} {in_flight};
            {address}
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            {several}
        }}
"
        )
    };
    let mut locations = location("/", "service");
    // nginx has no priorities: a bulkhead for each class is the nearest.
    if setting.shape.classes {
        locations.push_str(&location("= /critical", "critical"));
    }
    let text = format!(
        "\
daemon off;
worker_processes 1;
pid {here}/nginx.pid;
error_log {here}/error.log crit;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
{}
    limit_conn_zone $server_port zone=service:1m;
    limit_conn_zone $server_port zone=critical:1m;
    limit_conn_zone $binary_remote_addr zone=address:10m;
    limit_conn_status 503;
    upstream service {{
        {balance}
{servers}        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} backlog=4096;
{locations}    }}
}}
",
        folders(setting)
    );
    call(setting, &text)
}

fn servers(setting: &Setting<'_>, options: &str) -> String {
    let mut out = String::new();
    for upstream in setting.upstreams {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "        server {upstream}{options};");
    }
    out
}

/// Else nginx wants the system's folders.
fn folders(setting: &Setting<'_>) -> String {
    let here = setting.folder.display();
    format!(
        "    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;"
    )
}

fn call(setting: &Setting<'_>, text: &str) -> Result<Call, Failure> {
    let path = write(&setting.folder.join("nginx.conf"), text)?;
    let errors = setting.folder.join("error.log");
    let errors = errors.to_string_lossy().into_owned();
    let arguments = ["-c".to_owned(), path, "-e".to_owned(), errors];
    Ok(("nginx".to_owned(), arguments.to_vec()))
}
