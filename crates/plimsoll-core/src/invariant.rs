//! Invariants of the data plane: a bug panics in tests; in production it is counted, logged and survived.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many invariants were found broken since the process started. The one global counter there is: a
/// broken invariant may be found where nothing else is at hand.
static NEVER: AtomicU64 = AtomicU64::new(0);

/// How many times [`never!`](crate::never) was true since the process started.
pub fn never_count() -> u64 {
    NEVER.load(Ordering::Relaxed)
}

/// Called by [`never!`](crate::never); not for other use.
#[cold]
pub fn record_never(condition: &str, file: &str, line: u32) {
    NEVER.fetch_add(1, Ordering::Relaxed);
    tracing::error!(
        condition,
        file,
        line,
        "an invariant does not hold; going on with the fallback"
    );
    if cfg!(debug_assertions) {
        panic!("an invariant does not hold: {condition} at {file}:{line}");
    }
}

/// `if never!(condition) { fallback }`: true if what must never be, is.
///
/// Panics where debug assertions are on; logs and counts (see [`never_count`]) where they are off.
#[macro_export]
macro_rules! never {
    ($condition:expr) => {{
        let broken = $condition;
        if broken {
            $crate::record_never(stringify!($condition), file!(), line!());
        }
        broken
    }};
}
