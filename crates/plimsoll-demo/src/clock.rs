//! The demo's one clock.

use std::time::Duration;

use tokio::time::Instant;

/// Time since the process's part in the demo began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Time since it began.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Returns once `at` has passed. The timer's grain is 1 ms.
    pub(crate) async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.origin + at).await;
    }
}
