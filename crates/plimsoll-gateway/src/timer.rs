//! A timer that is cheap to move: deadlines of requests move all the time, and hardly ever come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use plimsoll_core::Instant;
use plimsoll_upstream::Clock;
use tokio::time::Sleep;

/// One timer, reused for all the deadlines of a connection in turn.
///
/// The runtime's timer is only touched when a deadline comes closer than the one that is set. One that fires
/// too early is set anew, so a busy connection pays for it once a deadline's length.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    sleep: Option<Pin<Box<Sleep>>>,
    set_for: Instant,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            sleep: None,
            set_for: Instant::NEVER,
        }
    }

    /// Ready once `deadline` has passed.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let Some(at) = self.clock.timer(deadline) else {
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if deadline < self.set_for {
                    sleep.as_mut().reset(at);
                    self.set_for = deadline;
                }
                sleep
            }
            None => {
                self.set_for = deadline;
                self.sleep.insert(Box::pin(tokio::time::sleep_until(at)))
            }
        };
        while sleep.as_mut().poll(cx).is_ready() {
            if self.clock.now() >= deadline {
                // Elapsed: the next deadline sets it anew.
                self.set_for = Instant::NEVER;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
            self.set_for = deadline;
        }
        Poll::Pending
    }
}
