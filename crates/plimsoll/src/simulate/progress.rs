//! How far all runs are, on a terminal only: a bar, and how long it still takes.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use plimsoll_measure::figure::duration;

use crate::top::now;

/// Characters of the bar.
const WIDTH: u64 = 32;
/// Between two drawings.
const PERIOD: Duration = Duration::from_millis(100);
/// Nothing is said about what remains before so much has passed: the first steps say little.
const LEARNING: Duration = Duration::from_secs(1);

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Progress {
    doing: &'static str,
    shown: bool,
    steps: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Instant,
    drawn: Option<Instant>,
    done: u64,
}

impl Progress {
    /// Of so many steps of doing this.
    pub(super) fn new(doing: &'static str, steps: u64) -> Self {
        let state = State {
            began: now(),
            drawn: None,
            done: 0,
        };
        Self {
            doing,
            shown: std::io::stderr().is_terminal(),
            steps: steps.max(1),
            state: Mutex::new(state),
        }
    }

    /// One more is done.
    pub(super) fn step(&self) {
        // Poisoned only by a panic of another thread, which ends the program.
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        state.done += 1;
        if !self.shown {
            return;
        }
        let now = now();
        if state.drawn.is_none_or(|drawn| now - drawn >= PERIOD) {
            state.drawn = Some(now);
            let line = bar(self.doing, state.done, self.steps, now - state.began);
            let _nobody_looks = write!(std::io::stderr(), "\r{line}\x1b[K");
        }
    }

    /// Says what is done now, without a bar: nobody knows how long it takes.
    pub(super) fn say(&self, doing: &str) {
        if self.shown {
            let _nobody_looks = write!(std::io::stderr(), "\r{doing}\x1b[K");
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if self.shown {
            let _nobody_looks = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(doing: &str, done: u64, steps: u64, elapsed: Duration) -> String {
    let done = done.min(steps);
    let full = (WIDTH * done / steps) as usize;
    let rest = WIDTH as usize - full;
    let mut line = format!(
        "{doing} {}{} {:>2} %",
        "\u{2588}".repeat(full),
        "\u{b7}".repeat(rest),
        (100 * done / steps).min(99)
    );
    if elapsed >= LEARNING && done > 0 {
        let left = elapsed.as_secs_f64() * (steps - done) as f64 / done as f64;
        let _always = write!(line, ", {} left", duration(left.ceil()));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is_and_how_long_it_takes() {
        let text = |done, elapsed| bar("searching", done, 200, Duration::from_millis(elapsed));
        assert!(text(0, 0).starts_with("searching "));
        assert!(text(0, 0).ends_with("\u{b7}  0 %"));
        assert!(text(10, 900).ends_with(" 5 %"));
        assert!(text(50, 4_000).ends_with("25 %, 12s left"));
        assert!(text(150, 30_000).contains(&"\u{2588}".repeat(24)));
        // Runs may take longer than their phases.
        assert!(text(300, 60_000).ends_with("99 %, 0s left"));
    }
}
