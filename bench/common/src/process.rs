//! What the kernel says about a process tree and about a core: CPU time and memory.
//!
//! Source: proc(5). Invariant: nothing here costs the measured process anything but the kernel's reading
//! of its own counters, at the start and the end of a window.

use std::fs;
use std::time::Duration;

use crate::failure::{Doing, Failure};

/// `root` and all its descendants.
pub fn tree(root: u32) -> Vec<u32> {
    let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            Some((
                pid,
                parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?,
            ))
        })
        .collect();
    let mut pids = vec![root];
    let mut next = 0;
    while let Some(&parent) = pids.get(next) {
        pids.extend(
            processes
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    pids
}

/// The parent's id in /proc/PID/stat.
fn parent_of(stat: &str) -> Option<u32> {
    fields_after_name(stat)?.nth(1)?.parse().ok()
}

/// The fields of /proc/PID/stat from the third, the state, on. The second, the name, may contain spaces
/// and parentheses.
fn fields_after_name(stat: &str) -> Option<std::str::Split<'_, char>> {
    Some(stat.rsplit_once(") ")?.1.split(' '))
}

/// CPU time that all threads of `pids` have used, in user and system mode.
pub fn cpu_time(pids: &[u32]) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).doing(|| format!("reading {path}"))?;
        ticks += ticks_of(&stat)
            .ok_or_else(|| Failure::unexpected(format!("{path} is not as expected")))?;
    }
    Ok(from_ticks(ticks))
}

/// utime + stime of /proc/PID/stat.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut fields = fields_after_name(stat)?.skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// CPU time that everything on `core` has used, in user and system mode.
pub fn core_time(core: usize) -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    from_ticks(core_ticks(&stat, core).unwrap_or(0))
}

/// user + nice + system of the line `cpuN`. Interrupts are left out: those on loopback are the work of
/// whoever sends.
fn core_ticks(stat: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core}");
    let line = stat
        .lines()
        .find(|line| line.split(' ').next() == Some(&name))?;
    line.split_whitespace()
        .skip(1)
        .take(3)
        .map(|field| field.parse::<u64>().ok())
        .sum()
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Memory of a process tree, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident: pages shared within the tree count once for each process.
    pub rss: u64,
    /// Resident, with shared pages divided among those who share them. For a tree the better figure.
    pub pss: u64,
}

/// Memory of `pids` together.
pub fn memory(pids: &[u32]) -> Result<Memory, Failure> {
    let mut sum = Memory::default();
    for pid in pids {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // It has ended since it was listed, and takes nothing: nginx's loader of its cache does so after a minute.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).doing(|| format!("reading {path}")),
        };
        sum.rss += bytes_of(&text, "Rss:");
        sum.pss += bytes_of(&text, "Pss:");
    }
    Ok(sum)
}

/// The value of a line such as `Pss:   1234 kB`.
fn bytes_of(rollup: &str, key: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    let kib = line
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

/// As many open files as the system lets us have; what we start inherits it.
pub fn raise_fd_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("bench: raising the limit of open files: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 11 22 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks_of(stat), Some(33));
        assert_eq!(parent_of(stat), Some(1));
        assert_eq!(ticks_of("7 (a"), None);
    }

    #[test]
    fn a_core_is_found_by_its_whole_name() {
        let stat = "cpu  9 9 9 9\ncpu1 1 2 3 100 5\ncpu10 7 7 7 7\n";
        assert_eq!(core_ticks(stat, 1), Some(6));
        assert_eq!(core_ticks(stat, 10), Some(21));
        assert_eq!(core_ticks(stat, 2), None);
    }

    #[test]
    fn own_memory_is_more_than_nothing() {
        let memory = memory(&tree(std::process::id())).expect("our own is readable");
        assert!(memory.pss > 0 && memory.rss >= memory.pss);
    }
}
