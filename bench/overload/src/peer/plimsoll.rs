//! Plimsoll: what a user writes who gives no number, or one objective. All else has its default, the log included.

use std::path::Path;

use super::{Setting, write};
use crate::failure::Failure;

const OBJECTIVE: &str = "
[service.bench.objective.latency]
target = \"99%\"
below = \"250ms\"
";

/// Writes its configuration; the answer is what to call.
pub(super) fn prepare(
    setting: &Setting<'_>,
    binary: &Path,
    objective: bool,
) -> Result<(String, Vec<String>), Failure> {
    let here = setting.folder.display();
    let endpoints: Vec<String> = setting
        .upstreams
        .iter()
        .map(|upstream| format!("\"http://{upstream}\""))
        .collect();
    let tenant = if setting.shape.keys {
        "tenant = { header = \"x-api-key\" }\n"
    } else {
        ""
    };
    let critical = if setting.shape.classes {
        "\n[[route]]\nservice = \"bench\"\npath = \"/critical\"\nclass = \"critical\"\n"
    } else {
        ""
    };
    let text = format!(
        "\
[state]
path = \"{here}/state\"

[gateway]
listen = \"{}\"

[ops]
listen = \"127.0.0.1:0\"

[console]
listen = \"127.0.0.1:0\"

[service.bench]
endpoints = [{}]
{}{critical}
[[route]]
service = \"bench\"
{tenant}",
        setting.listen,
        endpoints.join(", "),
        if objective { OBJECTIVE } else { "" },
    );
    let path = write(&setting.folder.join("plimsoll.toml"), &text)?;
    let arguments = ["run".to_owned(), "--config".to_owned(), path];
    Ok((binary.to_string_lossy().into_owned(), arguments.to_vec()))
}
