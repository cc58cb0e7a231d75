//! nginx, tuned as an operator would: one worker, kept connections on both sides.

use plimsoll_bench_common::nginx::{PASS, prepare as prepare_http, upstream};
use plimsoll_bench_common::proxy::Call;

use super::Setting;
use crate::failure::Failure;

/// Writes its configuration; the answer is what to call.
pub(super) fn prepare(setting: &Setting<'_>, log: bool) -> Result<Call, Failure> {
    let Setting {
        folder,
        cleartext,
        tls,
        certificate,
        ..
    } = setting;
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let service = upstream(setting.upstream);
    let http = format!(
        "\
{service}    server {{
        listen {cleartext} backlog=4096;
        listen {tls} ssl http2 backlog=4096;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        location / {{
{PASS}            proxy_max_temp_file_size 0;
        }}
    }}
"
    );
    prepare_http(folder, log, &http)
}
