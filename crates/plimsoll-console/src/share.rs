//! A bound on how much of one core something takes, however much is asked of it: in turn, and no turn before the ones
//! before it are paid for.
//!
//! Serving people must cost the data plane next to nothing, also where somebody asks for pages without end. What does not
//! fit waits, in order: to refuse it would cost nearly as much, and whoever is refused asks again at once.
//!
//! Source: ITU-T I.371, "generic cell rate algorithm", with CPU time for cells.
//! Units: CPU time of a thread; a share of 0.1 is 100 ms of it in a second.
//! Invariant: over any time `t` the turns take at most `t * share + burst`, and the last one; and those that are under way beside
//! others (`turns` says how many may be).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// Cheap to clone; all clones are one share.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    share: f64,
    /// How far ahead of its share it may be.
    ahead_max: Duration,
    /// What this thread has used so far.
    used: fn() -> Duration,
    /// One at a time, in order.
    turn: Arc<Semaphore>,
    /// When all that was done would be done at that share.
    paid_at: Mutex<Instant>,
}

/// Not the time that passes: where others keep the cores busy, what is done here would seem to cost more.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

impl Share {
    /// `share` of one core, and `burst` at once after a pause.
    pub(crate) fn new(share: f64, burst: Duration) -> Self {
        Self::metered(share, burst, cpu_time)
    }

    pub(crate) fn metered(share: f64, burst: Duration, used: fn() -> Duration) -> Self {
        Self(Arc::new(Inner {
            share,
            ahead_max: burst.div_f64(share),
            used,
            turn: Arc::new(Semaphore::new(1)),
            paid_at: Mutex::new(Instant::now()),
        }))
    }

    /// Waits until those before have had their turns, and until there is time for another.
    pub(crate) async fn turn(&self) -> Turn {
        let turn = Turn {
            share: self.clone(),
            // The semaphore is never closed, so this only waits.
            _permit: Arc::clone(&self.0.turn).acquire_owned().await.ok(),
        };
        let at = self.free_at();
        if at > Instant::now() {
            sleep_until(at).await;
        }
        turn
    }

    /// A turn, if there is one now.
    fn turn_now(&self) -> Option<Turn> {
        let permit = Arc::clone(&self.0.turn).try_acquire_owned().ok()?;
        (self.free_at() <= Instant::now()).then(|| Turn {
            share: self.clone(),
            _permit: Some(permit),
        })
    }

    fn free_at(&self) -> Instant {
        let paid_at = *self.paid_at();
        paid_at.checked_sub(self.0.ahead_max).unwrap_or(paid_at)
    }

    fn paid_at(&self) -> MutexGuard<'_, Instant> {
        let paid_at = self.0.paid_at.lock();
        paid_at.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work now; the next one's begins when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    share: Share,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// The next one's turn may begin now; this work is charged when it is done.
    pub(crate) fn with_others(self) -> Self {
        Self {
            _permit: None,
            ..self
        }
    }

    /// Works, on this thread, and is charged for it.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        let Inner { share, used, .. } = *self.share.0;
        let before = used();
        let done = work();
        let took = used().saturating_sub(before);
        let mut paid_at = self.share.paid_at();
        *paid_at = (*paid_at).max(Instant::now()) + took.div_f64(share);
        done
    }
}

/// A future whose polls take turns, so that all that share one take no more than it together.
pub(crate) struct Paced<F> {
    future: Pin<Box<F>>,
    share: Share,
    waiting: Option<Pin<Box<dyn Future<Output = Turn> + Send>>>,
}

impl<F: Future> Paced<F> {
    pub(crate) fn new(share: &Share, future: F) -> Self {
        Self {
            future: Box::pin(future),
            share: share.clone(),
            waiting: None,
        }
    }
}

impl<F: Future> Future for Paced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let now = match self.waiting {
            Some(_) => None,
            None => self.share.turn_now(),
        };
        let turn = match now {
            Some(turn) => turn,
            None => {
                let share = self.share.clone();
                let waiting = self
                    .waiting
                    .get_or_insert_with(|| Box::pin(async move { share.turn().await }));
                let turn = ready!(waiting.as_mut().poll(context));
                self.waiting = None;
                turn
            }
        };
        turn.run(|| self.future.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static USED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// A tenth of a core, as far as work here says what it takes.
    fn tenth(burst: Duration) -> Share {
        Share::metered(0.1, burst, || USED.get())
    }

    fn take(long: Duration) {
        USED.set(USED.get() + long);
    }

    async fn work(share: &Share, long: Duration) {
        share.turn().await.run(|| take(long));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_without_end_gets_its_share() {
        let (share, began) = (tenth(ms(5)), Instant::now());
        for _ in 0..100 {
            work(&share, ms(2)).await;
        }
        // 200 ms of work at a tenth, but for the burst and the last turn.
        let took = began.elapsed();
        assert!(took >= ms(1_900) && took <= ms(2_000), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_some_of_it_goes_at_once_and_no_more_than_that() {
        let share = tenth(ms(5));
        for pause in [ms(0), Duration::from_secs(3_600)] {
            tokio::time::advance(pause).await;
            let began = Instant::now();
            for _ in 0..3 {
                work(&share, ms(2)).await;
            }
            assert_eq!(began.elapsed(), ms(0));
            work(&share, ms(2)).await;
            assert!(began.elapsed() >= ms(10));
            tokio::time::advance(ms(1_000)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_go_in_order() {
        let share = tenth(ms(0));
        let said = Arc::new(Mutex::new(Vec::new()));
        let all: Vec<_> = (0..8)
            .map(|number| {
                let (share, said) = (share.clone(), Arc::clone(&said));
                tokio::spawn(async move {
                    share.turn().await.run(|| {
                        take(ms(1));
                        said.lock().unwrap().push(number);
                    });
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(*said.lock().unwrap(), (0..8).collect::<Vec<u64>>());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_while_it_waits_keeps_nobody_waiting() {
        let share = tenth(ms(0));
        work(&share, ms(10)).await;
        let left = tokio::time::timeout(ms(1), share.turn()).await;
        assert!(left.is_err());
        let began = Instant::now();
        work(&share, ms(0)).await;
        assert!(began.elapsed() <= ms(100));
    }

    #[tokio::test(start_paused = true)]
    async fn polls_of_what_is_paced_are_paid_for() {
        let share = tenth(ms(5));
        let busy = |share: &Share| {
            Paced::new(share, async {
                for _ in 0..50 {
                    take(ms(1));
                    tokio::task::yield_now().await;
                }
            })
        };
        let began = Instant::now();
        tokio::join!(busy(&share), busy(&share));
        let took = began.elapsed();
        assert!(took >= ms(900), "{took:?}");
    }

    #[tokio::test]
    async fn what_a_thread_computes_is_what_is_charged() {
        let share = Share::new(0.1, ms(0));
        let began = Instant::now();
        share.turn().await.run(|| {
            let until = cpu_time() + ms(5);
            while cpu_time() < until {}
        });
        let _next = share.turn().await;
        assert!(began.elapsed() >= ms(50));
    }
}
