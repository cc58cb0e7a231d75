//! What is measured: a cell is one kind of run, in a process of its own.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::failure::{Doing, Failure};
use crate::{fleet, hold};

/// A cell.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    work: Work,
    /// Left out of `--quick`.
    pub(crate) long: bool,
}

#[derive(Clone, Copy)]
enum Work {
    /// Events alone, with so many noted.
    Hold(hold::Queue, u32),
    /// A scenario.
    Fleet(&'static str),
    /// A scenario with so many gateways.
    Alone(u32),
    /// A scenario without a limit on what is under way.
    Unlimited(&'static str),
}

macro_rules! scenario {
    ($name:literal) => {
        include_str!(concat!("../scenarios/", $name, ".toml"))
    };
}

/// All of them, in the order of the table.
pub(crate) const CELLS: [Cell; 17] = [
    hold("hold-100", hold::Queue::Calendar, 100),
    hold("hold-10k", hold::Queue::Calendar, 10_000),
    hold("hold-1m", hold::Queue::Calendar, 1_000_000),
    hold("heap-100", hold::Queue::Heap, 100),
    hold("heap-10k", hold::Queue::Heap, 10_000),
    hold("heap-1m", hold::Queue::Heap, 1_000_000),
    Cell {
        name: "shop",
        about: "2 gateways, 8 endpoints, 4,000/s: below capacity",
        work: Work::Fleet(scenario!("shop")),
        long: false,
    },
    Cell {
        name: "overload",
        about: "the same at three times the capacity, clients come again",
        work: Work::Fleet(scenario!("overload")),
        long: false,
    },
    under_way("under-way-10k", scenario!("under-way-10000")),
    under_way("under-way-100k", scenario!("under-way-100000")),
    under_way("under-way-1m", scenario!("under-way-1000000")),
    alone("alone-1", 1),
    alone("alone-3", 3),
    alone("alone-10", 10),
    alone("alone-100", 100),
    Cell {
        name: "large",
        about: "100 gateways, 1,000 endpoints, 100,000/s for 30 s, two faults",
        work: Work::Fleet(scenario!("large")),
        long: true,
    },
    Cell {
        name: "vast",
        about: "1,000 gateways, 10,000 endpoints, 100,000/s for 10 s, one fault",
        work: Work::Fleet(scenario!("vast")),
        long: true,
    },
];

const fn hold(name: &'static str, queue: hold::Queue, pending: u32) -> Cell {
    Cell {
        name,
        about: match queue {
            hold::Queue::Calendar => "take an event, note the next: the simulator's calendar",
            hold::Queue::Heap => "the same with a binary heap, for comparison",
        },
        work: Work::Hold(queue, pending),
        long: false,
    }
}

const fn alone(name: &'static str, gateways: u32) -> Cell {
    Cell {
        name,
        about: "so many gateways at 1.5 times the capacity for a minute: at best, 0.667 are good",
        work: Work::Alone(gateways),
        long: false,
    }
}

const fn under_way(name: &'static str, scenario: &'static str) -> Cell {
    Cell {
        name,
        about: "requests that take 10 s each: memory",
        work: Work::Unlimited(scenario),
        long: false,
    }
}

/// The cell of this name.
pub(crate) fn named(name: &str) -> Result<Cell, Failure> {
    let found = CELLS.into_iter().find(|cell| cell.name == name);
    found.ok_or_else(|| Failure::usage(format!("there is no cell `{name}`")))
}

/// Runs a scenario of the caller's own: a way to look into one.
pub(crate) fn measure_file(path: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(path).doing(|| format!("reading {path}"))?;
    print_all(&fleet::measure(&text, true)?)
}

fn print_all(figures: &fleet::Figures) -> Result<(), Failure> {
    for (name, value) in figures {
        println!("{name} {value}");
    }
    println!("memory_mib {:.1}", memory_peak()? as f64 / 1024.0);
    Ok(())
}

impl Cell {
    /// Runs it and prints its figures, each a line of name and number.
    pub(crate) fn measure(self) -> Result<(), Failure> {
        let figures = match self.work {
            Work::Hold(queue, pending) => hold::measure(queue, pending),
            Work::Fleet(scenario) => fleet::measure(scenario, true)?,
            Work::Alone(gateways) => {
                let text = scenario!("alone").replace("GATEWAYS", &gateways.to_string());
                fleet::measure(&text, true)?
            }
            Work::Unlimited(scenario) => fleet::measure(scenario, false)?,
        };
        print_all(&figures)
    }
}

/// CPU time of this process so far.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The most memory that this process has had, in KiB.
pub(crate) fn memory_peak() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status").doing(|| "reading its memory".into())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .ok_or_else(|| Failure::unexpected("/proc/self/status has no VmHWM"))
}
