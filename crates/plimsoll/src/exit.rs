//! Exit codes, as documented in `docs/reference/exit-codes.md`.

use std::io::Write as _;
use std::process::ExitCode;

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It ran, and the answer is no: the configuration has errors, the reload was refused.
    Refused = 1,
    /// It could not run: a file that can't be read, a wrong option, a port in use.
    Failed = 2,
    /// There is no running Plimsoll to talk to.
    Unreachable = 3,
    /// It looked, and there is something to change. Not 2, as some have it: a mistyped option must not look like a change.
    Differs = 4,
    /// What it put in force was taken back, since services suffered.
    Returned = 5,
    /// It is asked for, and waits for the approval of others.
    Waits = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints a line to standard error; that nobody reads it (`plimsoll run 2>&1 | head`) is no reason to end.
pub(crate) fn say(line: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{line}");
}

/// Prints an error with its causes, one to a line.
pub(crate) fn report(error: &dyn std::error::Error) {
    say(&format!("error: {error}"));
    let mut source = error.source();
    while let Some(cause) = source {
        say(&format!("  because: {cause}"));
        source = cause.source();
    }
}

/// An error with its causes, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
