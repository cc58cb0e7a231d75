//! Plimsoll, with the protections that are asked for.

use plimsoll_bench_common::plimsoll::{Differs, prepare as prepare_rest};
use plimsoll_bench_common::proxy::Call;

use super::Setting;
use crate::failure::Failure;

/// Which protections are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protect {
    /// None.
    Off,
    /// What is on without a word.
    Default,
    /// All that there are.
    All,
}

impl Protect {
    /// What the service's table says, and what the route's does. Bounds are so wide that nothing is refused.
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Off => ("mode = \"off\"\n", ""),
            Self::Default => ("", ""),
            Self::All => (
                "\
hedge = \"p99\"
throttle = \"enforce\"
retry = { on = [\"connect\", \"reset\", \"502\", \"503\", \"504\"] }
bulkhead = { connections_max = 100000, pending_max = 100000, streams_max = 100000 }
",
                "\
tenant = { header = \"x-api-key\" }
rate = [{ limit = \"1000000/s\", burst = 1000000, by = \"address\" }]
",
            ),
        }
    }
}

/// Writes its configuration; the answer is what to call. `sample` is the share of good and fast requests
/// that is logged.
pub(super) fn prepare(
    setting: &Setting<'_>,
    sample: &str,
    protect: Protect,
) -> Result<Call, Failure> {
    let Setting {
        cleartext,
        tls,
        certificate,
        ..
    } = setting;
    let (protect, route) = protect.keys();
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let listen = format!(
        "
    \"{cleartext}\",
    {{ address = \"{tls}\", tls = [{{ certificate = \"{chain}\", key = \"{key}\" }}] }},
"
    );
    let differs = Differs {
        listen: &listen,
        sample,
        ops: setting.ops,
        upstream: setting.upstream,
        protect,
        route,
        tables: "",
    };
    prepare_rest(&setting.folder, setting.plimsoll, &differs)
}
