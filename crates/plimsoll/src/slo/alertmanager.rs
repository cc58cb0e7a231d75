//! Who hears of which alert, as the configuration of an Alertmanager: a receiver for each owner.
//!
//! For alerts of Plimsoll itself (`[notify.NAME] kind = "alertmanager"`) and for those of the exported rules: both have the
//! labels `owner`, `severity`, `service` and `objective`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use plimsoll_config::Config;

use super::yaml::scalar;

/// Who has no owner is heard by this one.
const NOBODY: &str = "everybody";

/// The routes of all owners. Receivers have no integrations: those are not in Plimsoll's file.
pub(super) fn write(config: &Config) -> String {
    let owners = config
        .services
        .values()
        .filter_map(|it| it.owner.as_deref());
    let owners: BTreeSet<&str> = owners.collect();
    let mut out = format!(
        "# Who hears of a Plimsoll's alerts, by `plimsoll slo export --as alertmanager`.
# Add to each receiver how it is reached, as in `slack_configs`.
route:
  receiver: {NOBODY}
  group_by: [service, objective]
  group_wait: 5s
  group_interval: 1m
  repeat_interval: 4h
"
    );
    if !owners.is_empty() {
        out.push_str("  routes:\n");
    }
    for owner in &owners {
        let (matcher, receiver) = (scalar(&matcher(owner)), scalar(owner));
        let _infallible = write!(
            out,
            "    - matchers:\n        - {matcher}\n      receiver: {receiver}\n"
        );
    }
    out.push_str(
        "inhibit_rules:
  # Who is called now is not told as well that it has time.
  - source_matchers: ['severity=\"page\"']
    target_matchers: ['severity=\"ticket\"']
    equal: [service, objective]
receivers:
",
    );
    let all = owners.iter().copied().filter(|it| *it != NOBODY);
    for name in all.chain([NOBODY]) {
        let _infallible = writeln!(out, "  - name: {}", scalar(name));
    }
    out
}

/// In Alertmanager's language a value is quoted, with backslashes before quotes and backslashes.
fn matcher(owner: &str) -> String {
    let escaped = owner.replace('\\', "\\\\").replace('"', "\\\"");
    format!("owner=\"{escaped}\"")
}
