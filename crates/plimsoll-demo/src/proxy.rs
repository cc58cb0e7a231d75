//! The proxies under test: their configuration files and how they are started.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use plimsoll_core::Class;

use crate::catalogue::{CATALOGUE, RECOMMENDATIONS, SERVICES, ServiceModel, is_stored};
use crate::deploy::{self, Deploy, FIRST_STEP, ROLLOUT, USER_HEADER, VERSION};
use crate::options::{Against, Scene};
use crate::plan::Plan;

/// What stands between clients and a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    /// Our gateway with all policies off.
    Plain,
    /// Plimsoll with its defaults.
    Plimsoll,
    /// Another proxy.
    Peer(Against),
}

impl ProxyKind {
    /// The words in the header.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Plain => "plain round robin, 30 s timeout".to_owned(),
            Self::Plimsoll => "Plimsoll, its defaults, and its governor may act".to_owned(),
            Self::Peer(peer) => format!("{}, 30 s timeout, HTTP/1.1 to the shop", peer.name()),
        }
    }

    /// The words in the drawing.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "a plain round-robin proxy",
            Self::Plimsoll => "Plimsoll",
            Self::Peer(peer) => peer.name(),
        }
    }

    /// Whether it says what it did about a request: by `Plimsoll-Decision`.
    pub(crate) fn tells(self) -> bool {
        match self {
            Self::Plain | Self::Plimsoll => true,
            Self::Peer(_) => false,
        }
    }

    /// How many descriptors a pending request takes in the proxy or the shop.
    pub(crate) fn descriptors_per_request(self) -> f64 {
        match self {
            // 20 streams to a connection is what even a cautious HTTP/2 peer takes.
            Self::Plain | Self::Plimsoll => 0.05,
            Self::Peer(_) => 1.0,
        }
    }
}

/// Where a proxy listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) front: SocketAddr,
    pub(crate) console: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Addresses {
    /// Nowhere yet.
    pub(crate) const NONE: Self = {
        let none = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            front: none,
            console: none,
            ops: none,
        }
    };

    /// For two proxies, ports that are free now. To be asked for when all else listens that takes any port, or it
    /// takes one of these.
    pub(crate) fn free() -> io::Result<[Self; 2]> {
        // All are held until all are known, so that they differ.
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [
            [listen()?, listen()?, listen()?],
            [listen()?, listen()?, listen()?],
        ];
        let addresses = |[front, console, ops]: &[TcpListener; 3]| {
            io::Result::Ok(Self {
                front: front.local_addr()?,
                console: console.local_addr()?,
                ops: ops.local_addr()?,
            })
        };
        let [one, other] = &held;
        Ok([addresses(one)?, addresses(other)?])
    }
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}

/// Writes the configuration of `kind` for a shop on `ports` into `folder`, and says how to start it.
/// `plimsoll` is the program that is Plimsoll.
pub(crate) fn prepare(
    kind: ProxyKind,
    plimsoll: &Path,
    folder: &Path,
    addresses: Addresses,
    ports: &[Vec<u16>],
    plan: &Plan,
) -> io::Result<Launch> {
    let write = |name: &str, text: String| -> io::Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    Ok(match kind {
        ProxyKind::Plain | ProxyKind::Plimsoll => {
            let plain = kind == ProxyKind::Plain;
            let name = if plain { "plain" } else { "plimsoll" };
            let text = plimsoll_config(plain, &state_of(folder, kind), addresses, ports, plan);
            let path = write(&format!("{name}.toml"), text)?;
            Launch {
                program: plimsoll.to_owned(),
                args: vec!["run".into(), "--config".into(), path],
            }
        }
        ProxyKind::Peer(Against::Nginx) => {
            let path = write("nginx.conf", nginx_config(folder, addresses.front, ports))?;
            let folder = folder.to_string_lossy().into_owned();
            Launch {
                program: installed("nginx"),
                args: vec!["-p".into(), folder, "-c".into(), path],
            }
        }
        ProxyKind::Peer(Against::Haproxy) => {
            let path = write("haproxy.cfg", haproxy_config(addresses.front, ports))?;
            Launch {
                program: installed("haproxy"),
                args: vec!["-db".into(), "-f".into(), path],
            }
        }
    })
}

/// The state folder of a proxy that is Plimsoll.
pub(crate) fn state_of(folder: &Path, kind: ProxyKind) -> PathBuf {
    folder.join(if kind == ProxyKind::Plain {
        "plain"
    } else {
        "plimsoll"
    })
}

/// Where Debian puts servers, which is not on everybody's search path.
fn installed(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    if path.exists() {
        path
    } else {
        PathBuf::from(name)
    }
}

/// Streams that a proxy takes on each of the generator's connections: twice what a full flash sale needs.
const STREAMS_MAX: u32 = 1_024;

fn plimsoll_config(
    plain: bool,
    state: &Path,
    addresses: Addresses,
    ports: &[Vec<u16>],
    plan: &Plan,
) -> String {
    let mut text = String::new();
    let Addresses {
        front,
        console,
        ops,
    } = addresses;
    // Writing to a `String` can't fail, here and below.
    let _ = write!(
        text,
        "[state]\npath = {state:?}\n\n\
         # One thread: the demo is to leave most of the machine alone.\n\
         [gateway]\nlisten = [\"{front}\"]\nthreads = 1\n\n\
         [gateway.limits]\nstreams_max = {STREAMS_MAX}\n\n\
         [gateway.log]\nto = \"off\"\n\n\
         [ops]\nlisten = \"{ops}\"\n\n\
         [console]\nlisten = \"{console}\"\n",
        state = state.to_string_lossy(),
    );
    if !plain {
        text.push_str("\n[governor]\nmode = \"enforce\"\n");
    }
    for (model, ports) in SERVICES.iter().zip(ports) {
        // Those beyond are spare.
        let endpoints: Vec<String> = ports
            .iter()
            .take(model.endpoints)
            .map(|port| format!("\"http://127.0.0.1:{port}\""))
            .collect();
        let name = model.name;
        let _ = write!(
            text,
            "\n[service.{name}]\nowner = \"shop\"\nendpoints = [{}]\nprotocol = \"http2\"\n",
            endpoints.join(", ")
        );
        if model.routes.iter().any(|route| route.asks_recommendations) {
            let _ = writeln!(text, "depends_on = [\"service.{RECOMMENDATIONS}\"]");
        }
        if plain {
            let _ = write!(
                text,
                "balance = \"round-robin\"\n\n[service.{name}.protect]\nmode = \"off\"\ndeadline = {{ head = \"30s\" }}\n"
            );
        }
        let _ = write!(
            text,
            "\n[service.{name}.objective.availability]\ntarget = \"99.9%\"\nperiod = \"1h\"\n\n\
             [service.{name}.objective.latency]\ntarget = \"99%\"\nbelow = \"250ms\"\nperiod = \"1h\"\n"
        );
    }
    for model in &SERVICES {
        for class in Class::ALL {
            let _ = write!(
                text,
                "\n[[route]]\nname = \"{route}\"\npath = \"{prefix}*\"\nservice = \"{name}\"\nclass = \"{class}\"\n",
                route = route_name(model, class),
                prefix = model.prefix(class),
                name = model.name,
                class = class.name(),
            );
            let stores = plan.scene == Scene::OriginDown && !plain;
            if stores && is_stored(&format!("{}1", model.prefix(class))) {
                text.push_str("cache = { stale = \"1h\" }\n");
            }
        }
    }
    let spare = ports
        .get(CATALOGUE)
        .and_then(|it| it.get(deploy::endpoints()));
    if let (Some(deploy), Some(port), false) = (plan.deploy, spare, plain) {
        text.push_str(&rollout(deploy, *port));
    }
    text
}

/// Another version of the catalogue, and how users are moved to it.
fn rollout(deploy: Deploy, port: u16) -> String {
    let name = SERVICES.get(CATALOGUE).map_or("?", |model| model.name);
    // The hour's budget is small: what two strikes need is more than 2 % of it, and the price would end it at the first.
    format!(
        "\n[service.{name}.version.{VERSION}]\nendpoints = [\"http://127.0.0.1:{port}\"]\n\n\
         [rollout.{ROLLOUT}]\nservice = \"{name}\"\nversion = \"{VERSION}\"\nby = {{ header = \"{USER_HEADER}\" }}\n\
         steps = [{{ weight = \"{FIRST_STEP}%\", for = \"10m\" }}, {{ weight = \"100%\", for = \"10m\" }}]\n\
         batch = \"{batch}s\"\ncooldown = \"{cooldown}s\"\nprice = \"100%\"\n",
        batch = deploy.batch.as_secs(),
        cooldown = deploy.cooldown.as_secs(),
    )
}

/// `catalog-cart`
fn route_name(model: &ServiceModel, class: Class) -> String {
    model.prefix(class).trim_matches('/').replace('/', "-")
}

fn nginx_config(folder: &Path, front: SocketAddr, ports: &[Vec<u16>]) -> String {
    let folder = folder.to_string_lossy();
    let mut text = format!(
        "daemon off;\nmaster_process off;\nerror_log {folder}/nginx-error.log crit;\npid {folder}/nginx.pid;\n\
         events {{ worker_connections 19000; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  http2_max_concurrent_streams {STREAMS_MAX};\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {folder}/nginx-{kind};");
    }
    text.push_str(
        "  proxy_http_version 1.1;\n  proxy_set_header Connection \"\";\n  proxy_read_timeout 30s;\n  \
         proxy_connect_timeout 30s;\n  proxy_send_timeout 30s;\n",
    );
    for (model, ports) in SERVICES.iter().zip(ports) {
        let _ = writeln!(text, "  upstream {} {{", model.name);
        for port in ports.iter().take(model.endpoints) {
            let _ = writeln!(text, "    server 127.0.0.1:{port};");
        }
        text.push_str("    keepalive 64;\n    keepalive_requests 1000000000;\n  }\n");
    }
    let _ = writeln!(text, "  server {{\n    listen {front} http2;");
    for model in &SERVICES {
        let _ = writeln!(
            text,
            "    location /{0}/ {{ proxy_pass http://{0}; }}",
            model.name
        );
    }
    text.push_str("  }\n}\n");
    text
}

fn haproxy_config(front: SocketAddr, ports: &[Vec<u16>]) -> String {
    let mut text = format!(
        "global\n  maxconn 9000\n  tune.h2.max-concurrent-streams {STREAMS_MAX}\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
         frontend shop\n  bind {front} proto h2\n"
    );
    for model in &SERVICES {
        let _ = writeln!(
            text,
            "  use_backend {0} if {{ path_beg /{0}/ }}",
            model.name
        );
    }
    for (model, ports) in SERVICES.iter().zip(ports) {
        let _ = writeln!(text, "backend {}\n  balance roundrobin", model.name);
        for (index, port) in ports.iter().take(model.endpoints).enumerate() {
            let _ = writeln!(text, "  server e{index} 127.0.0.1:{port}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Length;

    #[test]
    fn the_plain_proxy_differs_in_its_policies_only() {
        let with = config(false, Scene::Day);
        let without = config(true, Scene::Day);
        let extra: Vec<&str> = without
            .lines()
            .filter(|line| !with.contains(line))
            .collect();
        let mut kinds: Vec<&str> = extra
            .iter()
            .map(|line| line.split_once(' ').map_or(*line, |(key, _)| key))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(
            kinds,
            [
                "[service.catalog.protect]",
                "[service.checkout.protect]",
                "[service.recommendations.protect]",
                "[service.search.protect]",
                "balance",
                "deadline",
                "mode"
            ]
        );
        let more: Vec<&str> = with
            .lines()
            .filter(|line| !without.contains(line))
            .collect();
        assert_eq!(more, ["[governor]", "mode = \"enforce\""]);
    }

    #[test]
    fn what_may_be_stored_is_so_where_the_origin_goes_down() {
        let text = |plain, scene| config(plain, scene).matches("cache = ").count();
        assert_eq!(text(false, Scene::OriginDown), 2);
        assert_eq!(text(true, Scene::OriginDown), 0);
        assert_eq!(text(false, Scene::Day), 0);
    }

    #[test]
    fn every_route_and_endpoint_is_in_the_file() {
        let text = config(false, Scene::Day);
        assert!(
            text.contains("name = \"catalog-cart\"\npath = \"/catalog/cart/*\""),
            "{text}"
        );
        assert_eq!(text.matches("[[route]]").count(), 12);
        assert_eq!(text.matches("http://127.0.0.1:").count(), 10);
    }

    #[test]
    fn a_spare_endpoint_is_another_version_where_one_is_rolled_out_and_nobodys_else() {
        let mut ports = ports();
        ports[CATALOGUE].push(9_999);
        let text = |plain, scene| {
            let plan = Plan::new(scene, Length::Full, 10.0);
            plimsoll_config(plain, Path::new("/s"), addresses(), &ports, &plan)
        };
        let with = text(false, Scene::BadDeploy);
        let version = "[service.catalog.version.v2]\nendpoints = [\"http://127.0.0.1:9999\"]\n";
        assert!(with.contains(version), "{with}");
        assert!(
            with.contains("batch = \"2s\"\ncooldown = \"8s\"\n"),
            "{with}"
        );
        for other in [text(true, Scene::BadDeploy), text(false, Scene::Day)] {
            assert!(!other.contains("9999"), "{other}");
        }
        assert_eq!(
            nginx_config(Path::new("/s"), addresses().front, &ports)
                .matches(":9999")
                .count(),
            0
        );
        assert_eq!(
            haproxy_config(addresses().front, &ports)
                .matches(":9999")
                .count(),
            0
        );
    }

    fn config(plain: bool, scene: Scene) -> String {
        let plan = Plan::new(scene, Length::Full, 10.0);
        plimsoll_config(plain, Path::new("/s"), addresses(), &ports(), &plan)
    }

    fn addresses() -> Addresses {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Addresses {
            front: any,
            console: any,
            ops: any,
        }
    }

    fn ports() -> Vec<Vec<u16>> {
        SERVICES
            .iter()
            .map(|model| {
                (0..model.endpoints as u16)
                    .map(|index| 9_000 + index)
                    .collect()
            })
            .collect()
    }
}
