//! The queue in front of a service of known capacity: `slots` workers, a fixed service time, first come first
//! served, no bound, and no work is given up because its caller has gone.
//!
//! Units: microseconds. Invariant: while anything waits, every slot works, and a slot takes the next job at the very
//! moment at which it was through with the last one, however late the thread is that drives this. So the
//! capacity is exactly `slots / service_time`, also on a busy core.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Serving,
    /// Takes what comes and answers nothing, as a stopped process does: the work is done afterwards.
    Frozen,
    /// Answers 500 at once.
    Failing,
}

/// What becomes of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is worked on, or waits.
    Taken,
    /// It is answered 500 now.
    Failed,
}

/// A service. A job is whatever the caller needs to answer it.
#[derive(Debug)]
pub(crate) struct Station<J> {
    slots: usize,
    service_time: u64,
    mode: Mode,
    frozen_since: u64,
    /// Ends of the jobs in work, soonest first.
    busy: BinaryHeap<Reverse<(u64, J)>>,
    waiting: VecDeque<J>,
}

impl<J: Ord> Station<J> {
    pub(crate) fn new(slots: usize, service_time: u64) -> Self {
        assert!(slots > 0, "a service without workers serves nothing");
        Self {
            slots,
            service_time,
            mode: Mode::Serving,
            frozen_since: 0,
            busy: BinaryHeap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A request has arrived. `on_time(now)` comes first.
    pub(crate) fn on_arrival(&mut self, now: u64, job: J) -> Arrival {
        match self.mode {
            Mode::Failing => return Arrival::Failed,
            Mode::Frozen => self.waiting.push_back(job),
            Mode::Serving if self.busy.len() < self.slots => {
                self.busy.push(Reverse((now + self.service_time, job)));
            }
            Mode::Serving => self.waiting.push_back(job),
        }
        Arrival::Taken
    }

    /// Moves every job that is done by `now` to `done`, and starts what waited.
    pub(crate) fn on_time(&mut self, now: u64, done: &mut Vec<J>) {
        if self.mode == Mode::Frozen {
            return;
        }
        while let Some(Reverse((end, _))) = self.busy.peek() {
            let end = *end;
            if end > now {
                break;
            }
            if let Some(Reverse((_, job))) = self.busy.pop() {
                done.push(job);
            }
            if let Some(next) = self.waiting.pop_front() {
                self.busy.push(Reverse((end + self.service_time, next)));
            }
        }
    }

    /// When `on_time` has something to do next.
    pub(crate) fn next_timeout(&self) -> Option<u64> {
        match self.mode {
            Mode::Frozen => None,
            Mode::Serving | Mode::Failing => self.busy.peek().map(|Reverse((end, _))| *end),
        }
    }

    /// Counts for the jobs that start from now on.
    pub(crate) fn set_service_time(&mut self, service_time: u64) {
        self.service_time = service_time;
    }

    /// Changes the mode. `on_time(now)` comes first.
    pub(crate) fn set_mode(&mut self, now: u64, mode: Mode) {
        if self.mode == mode {
            return;
        }
        if mode == Mode::Frozen {
            self.frozen_since = now;
        }
        if self.mode == Mode::Frozen {
            let lost = now.saturating_sub(self.frozen_since);
            let busy = std::mem::take(&mut self.busy);
            self.busy = busy
                .into_iter()
                .map(|Reverse((end, job))| Reverse((end + lost, job)))
                .collect();
            while self.busy.len() < self.slots
                && let Some(job) = self.waiting.pop_front()
            {
                self.busy.push(Reverse((now + self.service_time, job)));
            }
        }
        self.mode = mode;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(station: &mut Station<u32>, now: u64) -> Vec<u32> {
        let mut jobs = Vec::new();
        station.on_time(now, &mut jobs);
        jobs
    }

    #[test]
    fn what_does_not_fit_waits_its_turn() {
        let mut station = Station::new(2, 10);
        for job in 0..5 {
            assert_eq!(station.on_arrival(0, job), Arrival::Taken);
        }
        assert!(done(&mut station, 9).is_empty());
        assert_eq!(done(&mut station, 10), [0, 1]);
        assert_eq!(station.next_timeout(), Some(20));
        assert_eq!(done(&mut station, 20), [2, 3]);
        assert_eq!(done(&mut station, 30), [4]);
        assert_eq!(station.next_timeout(), None);
    }

    #[test]
    fn a_late_thread_does_not_lower_the_capacity() {
        let mut station = Station::new(2, 10);
        for job in 0..100 {
            let _ = station.on_arrival(0, job);
        }
        assert_eq!(done(&mut station, 405).len(), 80);
    }

    #[test]
    fn what_came_while_it_was_frozen_is_worked_on_afterwards() {
        let mut station = Station::new(1, 10);
        let _ = station.on_arrival(0, 1);
        station.set_mode(4, Mode::Frozen);
        let _ = station.on_arrival(50, 2);
        assert!(done(&mut station, 90).is_empty());
        assert_eq!(station.next_timeout(), None);
        station.set_mode(100, Mode::Serving);
        assert_eq!(done(&mut station, 106), [1]);
        assert_eq!(done(&mut station, 116), [2]);
    }

    #[test]
    fn frozen_while_idle_it_fills_its_slots_at_the_thaw() {
        let mut station = Station::new(2, 10);
        station.set_mode(0, Mode::Frozen);
        for job in 0..3 {
            let _ = station.on_arrival(5, job);
        }
        station.set_mode(100, Mode::Serving);
        assert_eq!(done(&mut station, 110), [0, 1]);
        assert_eq!(done(&mut station, 120), [2]);
    }

    #[test]
    fn a_failing_service_still_ends_what_it_had_begun() {
        let mut station = Station::new(1, 10);
        let _ = station.on_arrival(0, 1);
        station.set_mode(1, Mode::Failing);
        assert_eq!(station.on_arrival(2, 2), Arrival::Failed);
        assert_eq!(done(&mut station, 10), [1]);
    }

    #[test]
    fn a_new_service_time_counts_from_the_next_job() {
        let mut station = Station::new(1, 10);
        let _ = station.on_arrival(0, 1);
        let _ = station.on_arrival(0, 2);
        station.set_service_time(40);
        assert_eq!(done(&mut station, 10), [1]);
        assert_eq!(station.next_timeout(), Some(50));
    }
}
