//! Why a bench stopped.

use std::io;
use std::process::ExitCode;

/// What was being done, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The call was wrong.
    #[error("{0}; see --help")]
    Usage(String),
    /// The system refused something.
    #[error("{doing}")]
    Io {
        /// What.
        doing: String,
        /// Its reason.
        source: io::Error,
    },
    /// Something answered, but not as it must.
    #[error("{0}")]
    Unexpected(String),
}

impl Failure {
    /// The call was wrong, as `text` says.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// What answered did not do it as it must, as `text` says.
    pub fn unexpected(text: impl Into<String>) -> Self {
        Self::Unexpected(text.into())
    }

    /// The exit status that goes with it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Io { .. } | Self::Unexpected(_) => 1,
        }
    }

    /// The message with its reason.
    pub fn chain(&self) -> String {
        match self {
            Self::Io { doing, source } => format!("{doing}: {source}"),
            other => other.to_string(),
        }
    }
}

/// How a bench ends: with its failure said, if there is one.
pub fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {}", failure.chain());
            ExitCode::from(failure.status())
        }
    }
}

/// Says what was being done when the system refused.
pub trait Doing<T> {
    /// `what` goes before the reason.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io {
            doing: what(),
            source: error.into(),
        })
    }
}
