//! How long a connection without a request is kept.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use plimsoll_core::Instant;

use crate::thread::Thread;
use crate::timer::Timer;

/// How long, where connections come near their bound.
const CROWDED_IDLE: Duration = Duration::from_secs(5);
/// How long while we drain: a request may be on its way, and would be lost if we closed first.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// A connection that has no request since some time. What it is granted may become less meanwhile, so that is asked anew
/// at each poll, and every [`CROWDED_IDLE`] at the latest.
#[derive(Debug)]
pub(super) struct Patience {
    since: Instant,
    idle_max: Duration,
    look_at: Instant,
}

impl Patience {
    /// It has none from now on.
    pub(super) fn new(now: Instant, idle_max: Duration) -> Self {
        Self {
            since: now,
            idle_max,
            look_at: now + CROWDED_IDLE,
        }
    }

    /// Ready once the connection is to be closed. `draining_since`: if that is to hurry it.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        thread: &Thread,
        draining_since: Option<Instant>,
        timer: &mut Timer,
    ) -> Poll<()> {
        loop {
            let until = self.until(thread, draining_since);
            let next = until.min(self.look_at);
            ready!(timer.poll_at(cx, next));
            if next == until {
                return Poll::Ready(());
            }
            self.look_at = thread.clock.now() + CROWDED_IDLE;
        }
    }

    /// When the connection is to be closed, as things are now.
    pub(super) fn until(&self, thread: &Thread, draining_since: Option<Instant>) -> Instant {
        self.granted(thread.shared.protection.is_crowded(), draining_since)
    }

    fn granted(&self, crowded: bool, draining_since: Option<Instant>) -> Instant {
        let idle_max = match crowded {
            true => self.idle_max.min(CROWDED_IDLE),
            false => self.idle_max,
        };
        let until = self.since + idle_max;
        draining_since.map_or(until, |since| until.min(since + DRAIN_IDLE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_or_a_drain_shortens_what_an_idle_connection_is_granted() {
        let seconds = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);
        let patience = |idle| Patience::new(seconds(100), Duration::from_secs(idle));
        assert_eq!(patience(60).granted(false, None), seconds(160));
        assert_eq!(patience(60).granted(true, None), seconds(105));
        assert_eq!(patience(3).granted(true, None), seconds(103));
        assert_eq!(
            patience(60).granted(false, Some(seconds(120))),
            seconds(121)
        );
        assert_eq!(patience(60).granted(true, Some(seconds(120))), seconds(105));
        assert_eq!(
            patience(60).granted(false, Some(seconds(190))),
            seconds(160)
        );
    }
}
