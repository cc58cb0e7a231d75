//! nginx, tuned as an operator would: one worker, kept connections on both sides.

use std::path::Path;

use crate::command::write;
use crate::failure::Failure;
use crate::proxy::Call;

/// Fields comparable with those of Plimsoll's access log.
const LOG_FORMAT: &str = r#"log_format json escape=json '{"time":"$time_iso8601","client":"$remote_addr",'
        '"method":"$request_method","host":"$host","target":"$request_uri","protocol":"$server_protocol",'
        '"status":$status,"bytes_in":$request_length,"bytes_out":$bytes_sent,"duration":$request_time,'
        '"upstream":"$upstream_addr","upstream_status":"$upstream_status",'
        '"upstream_duration":"$upstream_response_time","request_id":"$request_id",'
        '"user_agent":"$http_user_agent","referer":"$http_referer"}';"#;

/// Writes its configuration to `folder`, with `http` in the block of that name, and with a JSON access log of every request, unbuffered,
/// or none. The answer is what to call.
pub fn prepare(folder: &Path, log: bool, http: &str) -> Result<Call, Failure> {
    let here = folder.display();
    let (log_format, access_log) = if log {
        (LOG_FORMAT, format!("{here}/access.log json"))
    } else {
        ("", "off".to_owned())
    };
    let text = format!(
        "\
daemon off;
worker_processes 1;
pid {here}/nginx.pid;
error_log {here}/error.log error;
events {{
    worker_connections 8192;
}}
http {{
    {log_format}
    access_log {access_log};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
{http}}}
"
    );
    let path = write(&folder.join("nginx.conf"), &text)?;
    let errors = folder.join("error.log").to_string_lossy().into_owned();
    let arguments = ["-c".to_owned(), path, "-e".to_owned(), errors];
    Ok(("nginx".to_owned(), arguments.to_vec()))
}

/// Its upstream, with kept connections, under the name `service`.
pub fn upstream(address: std::net::SocketAddr) -> String {
    format!(
        "    upstream service {{
        server {address};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 60s;
    }}
"
    )
}

/// What a location needs to pass requests on to it.
pub const PASS: &str = "\
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
";
