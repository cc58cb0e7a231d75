//! One cell: one proxy under one load for one window.

use std::path::Path;
use std::process::Stdio;

use crate::command::{LOAD_CORE, own_program, pinned};
use crate::failure::{Doing, Failure};
use crate::h2load::{self, Load};
use crate::measured::Measured;
use crate::options::Options;
use crate::peer::Running;
use crate::plan::{self, Protocol, Row};

/// Measures `proxy` once under the load of `row`.
pub(crate) fn measure(
    row: &Row,
    proxy: &Running,
    options: &Options,
    folder: &Path,
) -> Result<Measured, Failure> {
    let Protocol::Http2 { streams } = row.protocol else {
        return http1(row, proxy, options);
    };
    let load = Load {
        url: format!("https://{}{}", proxy.tls, row.path()),
        body: None,
        streams: Some(streams),
        connections: row.connections,
        warm_up: options.warm_up,
        window: options.window,
    };
    h2load::measure(&load, proxy.pids(), folder)
}

fn http1(row: &Row, proxy: &Running, options: &Options) -> Result<Measured, Failure> {
    let output = pinned(LOAD_CORE, &own_program()?)
        .args(["load", "--path", &row.path()])
        .args(["--address", &proxy.cleartext.to_string()])
        .args(["--connections", &row.connections.to_string()])
        .args(["--warm-up", &options.warm_up.as_micros().to_string()])
        .args(["--window", &options.window.as_micros().to_string()])
        .args(["--pids", &plan::pids_to(proxy.pids())])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .doing(|| "starting the load".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Measured::from_line(&text)
        .filter(|_| output.status.success())
        .ok_or_else(|| Failure::unexpected(format!("the load failed ({}): {text}", output.status)))
}
