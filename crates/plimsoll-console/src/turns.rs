//! The turns that work for people is done in: on threads of their own, for the one that asks has others waiting, and no more of
//! it than a share of one core, for the data plane needs the cores.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::problem::Problem;
use crate::share::{Share, Turn};

/// Of one core, for the drawing of pages and what is read for them and for the API: some 40 pages a second with 200 services.
const SHARE: f64 = 0.1;
/// So much of it at once, after a pause: whoever opens some pages waits for none of them.
const BURST: Duration = Duration::from_millis(250);
/// How many read at once: who waits for the disk keeps nobody from the cores.
const READERS: usize = 2;

/// Cheap to clone; all clones share.
#[derive(Clone, Debug)]
pub struct Turns {
    share: Share,
    readers: Arc<Semaphore>,
}

impl Default for Turns {
    /// Those of the pages.
    fn default() -> Self {
        Self::new(SHARE, BURST)
    }
}

impl Turns {
    /// `share` of one core, and `burst` of it at once after a pause.
    pub fn new(share: f64, burst: Duration) -> Self {
        Self::of(Share::new(share, burst))
    }

    fn of(share: Share) -> Self {
        Self {
            share,
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Works once it is its turn, and alone.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        aside(self.share.turn().await, work).await
    }

    /// Reads once it is its turn; the next begins while this one waits for the disk. What it computes is paid for all the same.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        // Never closed, so this only waits.
        let place = Arc::clone(&self.readers).acquire_owned().await;
        let turn = self.share.turn().await.with_others();
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        aside(turn, work).await
    }
}

/// The turn lasts as long as the work, also where nobody waits for it any more.
async fn aside<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(move || turn.run(work))
        .await
        .map_err(|_| Problem::unavailable("it was broken off: see the log"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use tokio::time::Instant;

    use super::*;

    /// Of which each piece of work takes 10 ms, whatever it does.
    fn tenth() -> Turns {
        static USED: AtomicU64 = AtomicU64::new(0);
        let used = || Duration::from_millis(10 * USED.fetch_add(1, Ordering::Relaxed));
        Turns::of(Share::metered(0.1, Duration::from_millis(50), used))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_is_paid_for_as_what_is_drawn() {
        let (turns, began) = (tenth(), Instant::now());
        for place in 0..20 {
            match place % 2 {
                0 => turns.run(|| ()).await.unwrap(),
                _ => turns.read(|| ()).await.unwrap(),
            }
        }
        // 200 ms of work at a tenth, but for the burst and the last.
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(1_400), "{took:?}");
    }

    #[tokio::test]
    async fn whoever_waits_for_the_disk_keeps_nobody_from_drawing() {
        let turns = Turns::new(1.0, Duration::from_secs(60));
        let (tell, told) = mpsc::channel::<()>();
        let reads = tokio::spawn({
            let turns = turns.clone();
            async move { turns.read(move || told.recv().is_ok()).await }
        });
        // Drawn while the other is not done: else this would wait for ever.
        for _ in 0..3 {
            turns.run(|| ()).await.unwrap();
            tokio::task::yield_now().await;
        }
        tell.send(()).unwrap();
        assert!(reads.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn work_that_panics_is_a_problem_and_ends_its_turn() {
        let turns = Turns::default();
        assert!(turns.run(|| panic!("in a test")).await.is_err());
        assert!(turns.read(|| panic!("in a test")).await.is_err());
        assert_eq!(turns.run(|| 1).await.unwrap(), 1);
    }
}
