//! The machine and the programs: without them a figure means nothing.

use std::fs;
use std::process::Command;

/// Lines of Markdown; `programs` are those that were measured or helped, with their versions.
pub fn describe(programs: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str, separator: char| {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(separator));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().trim_matches('"').to_owned(),
        )
    };
    let cpuinfo = read("/proc/cpuinfo");
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
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map_or_else(|_| Vec::new(), |output| output.stdout);
    format!(
        "- Machine: {kind}{cores} cores of {}, {:.0} GiB of memory.\n\
         - System: {}, Linux {}.\n\
         - Programs: {programs}.\n\
         - Date: {}; load average at the start: {}.\n",
        value(&cpuinfo, "model name", ':'),
        memory_kib as f64 / f64::from(1 << 20),
        value(&read("/etc/os-release"), "PRETTY_NAME", '='),
        read("/proc/sys/kernel/osrelease").trim(),
        String::from_utf8_lossy(&date).trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("unknown"),
    )
}
