//! The machine and the programs: without them a figure means nothing.

use std::fs;
use std::process::Command;

use crate::options::Options;
use crate::peer::first_line;

/// Lines of Markdown.
pub(crate) fn describe(options: &Options) -> String {
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
    let cores = cpuinfo.matches("\nprocessor").count() + 1;
    let mut versions: Vec<String> = options
        .rows
        .iter()
        .map(|row| row.version(&options.plimsoll))
        .collect();
    versions.dedup();
    format!(
        "- Machine: {}{cores} cores of {}.\n\
         - System: {}, Linux {}.\n\
         - Programs: {}.\n\
         - Date: {}; load average at the start: {}.\n",
        if cpuinfo.contains("hypervisor") {
            "a virtual machine, "
        } else {
            ""
        },
        value(&cpuinfo, "model name", ':'),
        value(&read("/etc/os-release"), "PRETTY_NAME", '='),
        read("/proc/sys/kernel/osrelease").trim(),
        versions.join("; "),
        first_line(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        read("/proc/loadavg").split(' ').next().unwrap_or("unknown"),
    )
}
