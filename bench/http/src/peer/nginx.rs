//! nginx, tuned as an operator would: one worker, kept connections on both sides.

use super::{Setting, write};
use crate::failure::Failure;

/// Fields comparable with those of Plimsoll's access log.
const LOG_FORMAT: &str = r#"log_format json escape=json '{"time":"$time_iso8601","client":"$remote_addr",'
        '"method":"$request_method","host":"$host","target":"$request_uri","protocol":"$server_protocol",'
        '"status":$status,"bytes_in":$request_length,"bytes_out":$bytes_sent,"duration":$request_time,'
        '"upstream":"$upstream_addr","upstream_status":"$upstream_status",'
        '"upstream_duration":"$upstream_response_time","request_id":"$request_id",'
        '"user_agent":"$http_user_agent","referer":"$http_referer"}';"#;

/// Writes its configuration; the answer is what to call.
pub(super) fn prepare(setting: &Setting<'_>, log: bool) -> Result<(String, Vec<String>), Failure> {
    let Setting {
        folder,
        cleartext,
        tls,
        upstream,
        certificate,
        ..
    } = setting;
    let here = folder.display();
    let (log_format, access_log) = if log {
        (LOG_FORMAT, format!("{here}/access.log json"))
    } else {
        ("", "off".to_owned())
    };
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
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
    upstream service {{
        server {upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 60s;
    }}
    server {{
        listen {cleartext} backlog=4096;
        listen {tls} ssl http2 backlog=4096;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    );
    let path = folder.join("nginx.conf");
    write(&path, &text)?;
    let path = path.to_string_lossy().into_owned();
    let errors = folder.join("error.log").to_string_lossy().into_owned();
    Ok((
        "nginx".to_owned(),
        vec!["-c".to_owned(), path, "-e".to_owned(), errors],
    ))
}
