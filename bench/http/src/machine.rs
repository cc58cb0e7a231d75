//! The machine and the programs: without them a figure means nothing.

use std::fs;
use std::process::Command;

use crate::cell::first_line;
use crate::options::Options;

/// Lines of Markdown.
pub(crate) fn describe(options: &Options) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |text: &str, key: &str, separator: char| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(separator))
            .map_or_else(
                || "unknown".to_owned(),
                |(_, value)| value.trim().trim_matches('"').to_owned(),
            )
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kind = if cpuinfo.contains("hypervisor") {
        "a virtual machine, "
    } else {
        ""
    };
    let memory_kib: u64 = value(&read("/proc/meminfo"), "MemTotal", ':')
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0);
    let mut versions: Vec<String> = options
        .peers
        .iter()
        .map(|peer| peer.version(&options.plimsoll))
        .collect();
    versions.push(first_line(Command::new("h2load").arg("--version")));
    versions.push(first_line(Command::new("openssl").arg("version")));
    versions.retain(|version| !version.is_empty());
    versions.dedup();
    format!(
        "- Machine: {kind}{cores} cores of {}, {:.0} GiB of memory.\n\
         - System: {}, Linux {}.\n\
         - Programs: {}.\n\
         - Date: {}; load average at the start: {}.\n",
        value(&cpuinfo, "model name", ':'),
        memory_kib as f64 / f64::from(1 << 20),
        value(&read("/etc/os-release"), "PRETTY_NAME", '='),
        read("/proc/sys/kernel/osrelease").trim(),
        versions.join("; "),
        first_line(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        read("/proc/loadavg").split(' ').next().unwrap_or("unknown"),
    )
}
