//! The proxies under test, each with a store of [`STORE_BYTES`]: started for one cell, pinned, and stopped after it.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use plimsoll_bench_common::{nginx, plimsoll};

use crate::client::Client;
use crate::command::{first_line, free_address, system, write};
use crate::failure::{Doing, Failure};
use crate::proxy::{self, Call, Proxy};

/// The bound of each store, as each counts it.
pub(crate) const STORE_BYTES: u64 = 64 << 20;
const STORE_MIB: u64 = STORE_BYTES >> 20;

/// A proxy in one set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Without a log.
    Nginx,
    /// With a JSON access log of every request, unbuffered.
    NginxLog,
    /// Without a daemon that writes its log to a file.
    Varnish,
    /// As it comes: everything is measured, 1 % of the good and fast requests are logged.
    Plimsoll,
    /// Every request is logged, as in `NginxLog`.
    PlimsollLog,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [
        Self::Nginx,
        Self::NginxLog,
        Self::Varnish,
        Self::Plimsoll,
        Self::PlimsollLog,
    ];

    /// The word in `--peers` and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxLog => "nginx+log",
            Self::Varnish => "varnish",
            Self::Plimsoll => "plimsoll",
            Self::PlimsollLog => "plimsoll+log",
        }
    }

    /// Whether it differs from another one in its log only: a log changes what a hit costs, and nothing else here.
    pub(crate) fn is_for_its_log(self) -> bool {
        matches!(self, Self::NginxLog | Self::PlimsollLog)
    }

    /// What it says its version is; empty where it is not installed.
    pub(crate) fn version(self, plimsoll: &Path) -> String {
        match self {
            Self::Nginx | Self::NginxLog => first_line(system("nginx").arg("-v")),
            Self::Varnish => first_line(system("varnishd").arg("-V")),
            Self::Plimsoll | Self::PlimsollLog => {
                first_line(Command::new(plimsoll).arg("--version"))
            }
        }
    }
}

impl FromStr for Peer {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|peer| peer.name() == name);
        found.ok_or_else(|| Failure::usage(format!("there is no peer `{name}`")))
    }
}

/// What a proxy is given.
struct Setting<'a> {
    /// A folder of its own, empty.
    folder: PathBuf,
    listen: SocketAddr,
    /// Where it serves its metrics, if it does.
    ops: SocketAddr,
    origin: SocketAddr,
    /// Plimsoll's binary.
    plimsoll: &'a Path,
    /// Few objects are asked for again and again.
    is_for_hits: bool,
}

/// A proxy that serves. Dropping it stops it.
pub(crate) struct Running {
    proxy: Proxy,
    peer: Peer,
    folder: PathBuf,
    ops: SocketAddr,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts `peer`, and waits until it passes a request on.
    pub(crate) fn start(
        peer: Peer,
        origin: SocketAddr,
        plimsoll: &Path,
        folder: &Path,
        is_for_hits: bool,
    ) -> Result<Self, Failure> {
        let setting = Setting {
            folder: proxy::folder_in(folder)?,
            listen: free_address()?,
            ops: free_address()?,
            origin,
            plimsoll,
            is_for_hits,
        };
        let call = match peer {
            Peer::Nginx => prepare_nginx(&setting, false)?,
            Peer::NginxLog => prepare_nginx(&setting, true)?,
            Peer::Varnish => prepare_varnish(&setting)?,
            Peer::Plimsoll => prepare_plimsoll(&setting, "1%")?,
            Peer::PlimsollLog => prepare_plimsoll(&setting, "100%")?,
        };
        let address = setting.listen;
        let mut proxy = Proxy::start(peer.name(), call, &[address], &setting.folder)?;
        let status = Client::connect(address)?.ask("/ready")?;
        if status != 200 {
            return Err(Failure::unexpected(format!(
                "{} answers {status}",
                peer.name()
            )));
        }
        // Varnish listens before the process is there that answers.
        proxy.look_again();
        Ok(Self {
            proxy,
            peer,
            folder: setting.folder,
            ops: setting.ops,
            address,
        })
    }

    /// The whole process tree.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.proxy.pids
    }

    /// What its store takes on the disk, where it is there.
    pub(crate) fn disk_bytes(&self) -> Result<Option<u64>, Failure> {
        match self.peer {
            Peer::Nginx | Peer::NginxLog => bytes_below(&store_folder(&self.folder)).map(Some),
            Peer::Varnish | Peer::Plimsoll | Peer::PlimsollLog => Ok(None),
        }
    }

    /// How many lines its access log has dropped, where it may drop some.
    pub(crate) fn log_lines_dropped(&self) -> Result<Option<u64>, Failure> {
        match self.peer {
            Peer::Nginx | Peer::NginxLog | Peer::Varnish => Ok(None),
            Peer::Plimsoll | Peer::PlimsollLog => plimsoll::log_lines_dropped(self.ops).map(Some),
        }
    }
}

/// Its store is in files, sent by `sendfile`, as in Debian's configuration. `tcp_nopush`, which is there too, is left out: over
/// loopback, whose segments are as large as the larger object, it holds the end of each answer until a delayed acknowledgement,
/// 40 ms. Kept descriptors spare it opening the file for each hit, but hold files that it has deleted: so only for hits.
fn prepare_nginx(setting: &Setting<'_>, log: bool) -> Result<Call, Failure> {
    let Setting { folder, listen, .. } = setting;
    let service = nginx::upstream(setting.origin);
    let store = store_folder(folder);
    let store = store.display();
    let open_files = match setting.is_for_hits {
        true => "    open_file_cache max=1000 inactive=1h;\n",
        false => "",
    };
    let pass = nginx::PASS;
    let http = format!(
        "    sendfile on;
{open_files}    proxy_cache_path {store} levels=1:2 keys_zone=bench:32m max_size={STORE_MIB}m inactive=1h use_temp_path=off;
{service}    server {{
        listen {listen} backlog=4096;
        location / {{
{pass}            proxy_cache bench;
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
        }}
    }}
"
    );
    nginx::prepare(folder, log, &http)
}

fn store_folder(folder: &Path) -> PathBuf {
    folder.join("store")
}

/// As it comes. It needs no sandbox here, and no address for its command line.
fn prepare_varnish(setting: &Setting<'_>) -> Result<Call, Failure> {
    let Setting { folder, origin, .. } = setting;
    let text = format!(
        "vcl 4.1;\nbackend default {{\n    .host = \"{}\";\n    .port = \"{}\";\n}}\n",
        origin.ip(),
        origin.port()
    );
    let path = write(&folder.join("bench.vcl"), &text)?;
    let arguments = [
        "-F".to_owned(),
        "-j".to_owned(),
        "none".to_owned(),
        "-T".to_owned(),
        "none".to_owned(),
        "-n".to_owned(),
        folder.join("varnish").to_string_lossy().into_owned(),
        "-a".to_owned(),
        setting.listen.to_string(),
        "-f".to_owned(),
        path,
        "-s".to_owned(),
        format!("malloc,{STORE_MIB}M"),
    ];
    Ok(("varnishd".to_owned(), arguments.to_vec()))
}

fn prepare_plimsoll(setting: &Setting<'_>, sample: &str) -> Result<Call, Failure> {
    let differs = plimsoll::Differs {
        listen: &format!("\"{}\"", setting.listen),
        sample,
        ops: setting.ops,
        upstream: setting.origin,
        protect: "",
        route: "cache = {}\n",
        tables: &format!("[gateway.cache]\nmemory_max = \"{STORE_MIB}MiB\"\n"),
    };
    plimsoll::prepare(&setting.folder, setting.plimsoll, &differs)
}

/// What the files below `folder` take, in whole blocks. One that is deleted meanwhile takes nothing.
fn bytes_below(folder: &Path) -> Result<u64, Failure> {
    /// Of `st_blocks`, stat(2).
    const BLOCK_BYTES: u64 = 512;
    let doing = || format!("reading {}", folder.display());
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).doing(doing)? {
        let entry = entry.doing(doing)?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += bytes_below(&entry.path())?,
            Ok(metadata) => sum += metadata.blocks() * BLOCK_BYTES,
            Err(_) => (),
        }
    }
    Ok(sum)
}
