//! An error with its reasons, in one line for a log.

use std::error::Error;
use std::fmt;

/// Shows an error and all its sources, as in `connecting to x: connection refused`.
pub(crate) fn chain(error: &dyn Error) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        write!(f, "{error}")?;
        let mut source = error.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    })
}
