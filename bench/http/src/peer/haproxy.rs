//! HAProxy, tuned as an operator would: one thread, kept connections on both sides, no log.

use super::{Setting, write};
use crate::failure::Failure;

/// Writes its configuration; the answer is what to call.
pub(super) fn prepare(setting: &Setting<'_>) -> Result<(String, Vec<String>), Failure> {
    let Setting {
        folder,
        cleartext,
        tls,
        upstream,
        certificate,
        ..
    } = setting;
    let both = certificate.both.display();
    let text = format!(
        "\
global
    nbthread 1
    maxconn 8000
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 1h
    maxconn 8000
    http-reuse always
    option forwardfor
frontend entrance
    bind {cleartext} backlog 4096
    bind {tls} backlog 4096 ssl crt {both} alpn h2,http/1.1
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
    default_backend service
backend service
    server one {upstream} pool-max-conn -1 pool-low-conn 1024
"
    );
    let path = folder.join("haproxy.cfg");
    write(&path, &text)?;
    Ok((
        "haproxy".to_owned(),
        vec!["-f".to_owned(), path.to_string_lossy().into_owned()],
    ))
}
