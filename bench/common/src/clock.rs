//! The one place that reads the clock and waits.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic, for latencies and windows.
#[expect(clippy::disallowed_methods, reason = "this shell's clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds since 1970, as `h2load` logs them.
#[expect(clippy::disallowed_methods, reason = "this shell's clock")]
pub fn epoch_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A measuring window lasts as long as it is asked to: there is no condition to wait for.
#[expect(clippy::disallowed_methods, reason = "this shell's clock")]
pub fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

/// Asks `condition` every 10 ms until it is true; false if `limit` passes first.
pub fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = now();
    while !condition() {
        if start.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    true
}
