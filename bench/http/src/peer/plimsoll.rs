//! Plimsoll: one data plane thread; all of its measuring stays on, two objectives included. Kept upstream
//! connections are bounded as for nginx; all else has its default.

use super::{Setting, write};
use crate::failure::Failure;

/// Writes its configuration; the answer is what to call. `sample` is the share of good and fast requests
/// that is logged.
pub(super) fn prepare(
    setting: &Setting<'_>,
    sample: &str,
) -> Result<(String, Vec<String>), Failure> {
    let Setting {
        folder,
        cleartext,
        tls,
        upstream,
        certificate,
        plimsoll,
    } = setting;
    let here = folder.display();
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let text = format!(
        "\
[state]
path = \"{here}/state\"

[gateway]
listen = [
    \"{cleartext}\",
    {{ address = \"{tls}\", tls = [{{ certificate = \"{chain}\", key = \"{key}\" }}] }},
]
threads = 1

[gateway.log]
to = \"{here}/access.log\"
sample = \"{sample}\"

[ops]
listen = \"127.0.0.1:0\"

[console]
listen = \"127.0.0.1:0\"

[service.bench]
endpoints = [\"http://{upstream}\"]

[service.bench.protect]
idle_connections_max = 1024

[service.bench.objective.availability]
target = \"99.9%\"
period = \"28d\"

[service.bench.objective.latency]
target = \"99%\"
below = \"250ms\"
period = \"28d\"

[[route]]
service = \"bench\"
"
    );
    let path = folder.join("plimsoll.toml");
    write(&path, &text)?;
    let arguments = [
        "run".to_owned(),
        "--config".to_owned(),
        path.to_string_lossy().into_owned(),
    ];
    Ok((plimsoll.to_string_lossy().into_owned(), arguments.to_vec()))
}
