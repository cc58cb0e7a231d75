//! The control thread's half of endpoint health: merges what was seen and decides.

use std::time::Duration;

use plimsoll_core::Instant;

use super::{DownCause, EndpointShared, SLOW_START, Verdict};

/// How long after a connect failure an endpoint is probed that nobody else tries: three in a row are complete
/// within a second, and a stutter of the network is not.
const DOUBT_PROBE_AFTER: Duration = Duration::from_millis(250);

/// Units: counts are in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointParameters {
    /// Active checks that fail in a row take it out.
    pub failures_max: u32,
    /// Active checks that succeed in a row bring it back.
    pub successes_min: u32,
    /// Connect failures in a row, with no success between, take it out.
    pub connect_failures_max: u32,
    /// Connect failures further apart than this are not in a row.
    pub connect_window: Duration,
    /// How long it stays out by connect failures before it is probed; doubles with each failed probe.
    pub backoff_min: Duration,
    /// The longest such time.
    pub backoff_max: Duration,
    /// How long a probe may take before it counts as failed.
    pub probe_time_max: Duration,
}

impl Default for EndpointParameters {
    fn default() -> Self {
        Self {
            failures_max: 3,
            successes_min: 2,
            connect_failures_max: 3,
            connect_window: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            probe_time_max: Duration::from_secs(5),
        }
    }
}

/// The verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// What is in force from then on.
    pub verdict: Verdict,
}

/// What the active checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    Passing { failures: u32 },
    Failing { successes: u32 },
}

/// What the data plane's connections say. `round` counts how often the backoff was entered without a
/// quiet time between: it sets the backoff's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connect {
    Open {
        failures: u32,
        last: Instant,
        round: u32,
        since: Instant,
    },
    Backoff {
        until: Instant,
        round: u32,
    },
    Probing {
        until: Instant,
        round: u32,
    },
}

/// One endpoint's health. See the module's docs.
#[derive(Clone, Debug)]
pub struct EndpointControl {
    parameters: EndpointParameters,
    checks: Checks,
    connect: Connect,
    slow_start: Option<Instant>,
    published: Verdict,
}

impl EndpointControl {
    /// Up. With `slow_start`, as for an endpoint that joins others that serve already, it starts slowly.
    pub fn new(parameters: EndpointParameters, now: Instant, slow_start: bool) -> Self {
        assert!(
            parameters.failures_max > 0 && parameters.successes_min > 0,
            "counts are above zero"
        );
        assert!(parameters.connect_failures_max > 0, "counts are above zero");
        assert!(
            !parameters.backoff_min.is_zero(),
            "a probe without a pause would be a flood"
        );
        assert!(
            parameters.backoff_min <= parameters.backoff_max,
            "the backoff's bounds are in order"
        );
        Self {
            parameters,
            checks: Checks::Passing { failures: 0 },
            connect: Connect::Open {
                failures: 0,
                last: now,
                round: 0,
                since: now,
            },
            slow_start: slow_start.then_some(now),
            published: Verdict::Up { slow_start: None },
        }
    }

    /// The verdict last published by [`EndpointControl::tick`].
    pub fn verdict(&self) -> Verdict {
        self.published
    }

    /// Takes over new parameters, as after a reload; the state stays.
    pub fn set_parameters(&mut self, parameters: EndpointParameters) {
        self.parameters = parameters;
    }

    /// Active checks were taken out of the configuration: what they said last no longer counts.
    pub fn on_checks_removed(&mut self, now: Instant) {
        if let Checks::Failing { .. } = self.checks {
            self.checks = Checks::Passing { failures: 0 };
            self.begin_slow_start(now);
        }
    }

    /// An active check ended.
    pub fn on_check(&mut self, now: Instant, ok: bool) {
        self.checks = match (self.checks, ok) {
            (Checks::Passing { .. }, true) => Checks::Passing { failures: 0 },
            (Checks::Passing { failures }, false)
                if failures + 1 >= self.parameters.failures_max =>
            {
                Checks::Failing { successes: 0 }
            }
            (Checks::Passing { failures }, false) => Checks::Passing {
                failures: failures + 1,
            },
            (Checks::Failing { successes }, true)
                if successes + 1 >= self.parameters.successes_min =>
            {
                self.begin_slow_start(now);
                Checks::Passing { failures: 0 }
            }
            (Checks::Failing { successes }, true) => Checks::Failing {
                successes: successes + 1,
            },
            (Checks::Failing { .. }, false) => Checks::Failing { successes: 0 },
        };
        if ok {
            // A check makes its own connection: one that passes shows that connections can be made.
            self.on_connected(now);
        }
    }

    /// The data plane made this many connections, and failed to make this many, since the last call.
    ///
    /// Their order is not known: one success among them ends the row of failures, so that doubt serves.
    pub fn on_passive(&mut self, now: Instant, connect_failures: u32, connect_successes: u32) {
        if connect_successes > 0 {
            self.on_connected(now);
        } else if connect_failures > 0
            && let Connect::Open {
                failures,
                last,
                round,
                since,
            } = self.connect
        {
            let in_a_row = now.since(last) <= self.parameters.connect_window;
            let failures = if in_a_row { failures } else { 0 }.saturating_add(connect_failures);
            if failures >= self.parameters.connect_failures_max {
                // Up for as long as the longest backoff: what was before is another story.
                let round = if now.since(since) >= self.parameters.backoff_max {
                    0
                } else {
                    round
                };
                self.enter_backoff(now, round);
            } else {
                self.connect = Connect::Open {
                    failures,
                    last: now,
                    round,
                    since,
                };
            }
        }
    }

    /// The probe that [`EndpointControl::take_probe`] asked for ended.
    pub fn on_probe(&mut self, now: Instant, ok: bool) {
        if ok {
            self.on_connected(now);
        } else if let Connect::Probing { round, .. } = self.connect {
            self.enter_backoff(now, round.saturating_add(1));
        }
    }

    /// Whether one connection is to be tried now: to see whether an endpoint that is down is back (half-open),
    /// or whether one in doubt is down. The balancer shuns an endpoint that failed, so without a probe the row
    /// of failures that takes it out might never be complete.
    pub fn take_probe(&mut self, now: Instant) -> bool {
        match &mut self.connect {
            Connect::Backoff { until, round } if *until <= now => {
                self.connect = Connect::Probing {
                    until: now + self.parameters.probe_time_max,
                    round: *round,
                };
                true
            }
            Connect::Open { failures, last, .. }
                if *failures > 0 && now.since(*last) >= DOUBT_PROBE_AFTER =>
            {
                *last = now;
                true
            }
            _ => false,
        }
    }

    /// Merges the data plane's counters, lets time act, and publishes the verdict; says if it changed.
    pub fn tick(&mut self, now: Instant, shared: &EndpointShared) -> Option<Transition> {
        let (failures, successes) = shared.take_connects();
        self.on_passive(now, failures, successes);
        if let Connect::Probing { until, round } = self.connect
            && until <= now
        {
            self.enter_backoff(now, round.saturating_add(1));
        }
        if self
            .slow_start
            .is_some_and(|start| now.since(start) >= SLOW_START)
        {
            self.slow_start = None;
        }
        let verdict = match (self.checks, self.connect) {
            (_, Connect::Backoff { .. } | Connect::Probing { .. }) => {
                Verdict::Down(DownCause::Connect)
            }
            (Checks::Failing { .. }, _) => Verdict::Down(DownCause::Checks),
            (Checks::Passing { .. }, Connect::Open { .. }) => Verdict::Up {
                slow_start: self.slow_start,
            },
        };
        let before = std::mem::replace(&mut self.published, verdict);
        if verdict != before {
            shared.publish(verdict);
        }
        // The end of a slow start is no news.
        let news = verdict.is_up() != before.is_up() || (!verdict.is_up() && verdict != before);
        news.then_some(Transition { at: now, verdict })
    }

    /// When the answer of [`EndpointControl::tick`] or [`EndpointControl::take_probe`] may change with no
    /// new event; `None` while nothing is pending.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.connect {
            Connect::Backoff { until, .. } | Connect::Probing { until, .. } => Some(until),
            Connect::Open { failures, last, .. } => {
                let probe = (failures > 0).then(|| last + DOUBT_PROBE_AFTER);
                let full = self.slow_start.map(|start| start + SLOW_START);
                probe.into_iter().chain(full).min()
            }
        }
    }

    fn on_connected(&mut self, now: Instant) {
        match self.connect {
            Connect::Open { round, since, .. } => {
                self.connect = Connect::Open {
                    failures: 0,
                    last: now,
                    round,
                    since,
                };
            }
            Connect::Backoff { round, .. } | Connect::Probing { round, .. } => {
                let round = round.saturating_add(1);
                self.connect = Connect::Open {
                    failures: 0,
                    last: now,
                    round,
                    since: now,
                };
                self.begin_slow_start(now);
            }
        }
    }

    fn enter_backoff(&mut self, now: Instant, round: u32) {
        let doubled = 2_u32
            .checked_pow(round)
            .and_then(|factor| self.parameters.backoff_min.checked_mul(factor));
        let wait = doubled.map_or(self.parameters.backoff_max, |wait| {
            wait.min(self.parameters.backoff_max)
        });
        self.connect = Connect::Backoff {
            until: now + wait,
            round,
        };
    }

    fn begin_slow_start(&mut self, now: Instant) {
        self.slow_start = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn an_endpoint_in_doubt_is_probed_until_it_is_known() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(1);
        assert_eq!(endpoint.tick(), None);
        for _ in 0..2 {
            assert!(!endpoint.control.take_probe(endpoint.now));
            endpoint.wait(DOUBT_PROBE_AFTER);
            assert!(endpoint.control.take_probe(endpoint.now));
            // The probe fails, and is counted like any other connection.
            endpoint.fails_to_connect(1);
            endpoint.control.on_probe(endpoint.now, false);
            let _transition = endpoint.tick();
        }
        assert_eq!(
            endpoint.control.verdict(),
            Verdict::Down(DownCause::Connect)
        );
    }

    #[test]
    fn three_connect_failures_in_a_row_take_it_out_for_a_second() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(2);
        assert_eq!(endpoint.tick(), None);
        endpoint.fails_to_connect(1);
        assert_eq!(endpoint.tick(), Some(Verdict::Down(DownCause::Connect)));
        assert!(
            !endpoint.control.take_probe(endpoint.now),
            "a probe waits for the backoff"
        );
        endpoint.wait(Duration::from_secs(1));
        assert!(endpoint.control.take_probe(endpoint.now));
        assert!(
            !endpoint.control.take_probe(endpoint.now),
            "one probe at a time"
        );
    }

    #[test]
    fn a_success_between_ends_the_row() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(2);
        endpoint.tick();
        endpoint.shared.on_connect_success();
        endpoint.tick();
        endpoint.fails_to_connect(2);
        assert_eq!(endpoint.tick(), None);
    }

    #[test]
    fn failures_far_apart_are_not_in_a_row() {
        let mut endpoint = Fixture::new();
        for _ in 0..10 {
            endpoint.fails_to_connect(1);
            assert_eq!(endpoint.tick(), None);
            endpoint.wait(Duration::from_secs(11));
        }
    }

    #[test]
    fn a_probe_that_succeeds_brings_it_back_slowly() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(3);
        endpoint.tick();
        endpoint.wait(Duration::from_secs(1));
        assert!(endpoint.control.take_probe(endpoint.now));
        endpoint.control.on_probe(endpoint.now, true);
        let verdict = Verdict::Up {
            slow_start: Some(endpoint.now),
        };
        assert_eq!(endpoint.tick(), Some(verdict));
        assert_eq!(endpoint.shared.verdict(), verdict);
        endpoint.wait(SLOW_START);
        assert_eq!(endpoint.tick(), None, "the end of a slow start is no news");
        assert_eq!(endpoint.shared.verdict(), Verdict::Up { slow_start: None });
    }

    #[test]
    fn the_backoff_doubles_up_to_its_bound() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(3);
        endpoint.tick();
        let mut waits = Vec::new();
        for _ in 0..7 {
            let before = endpoint.now;
            endpoint.now = endpoint.control.next_timeout().unwrap();
            waits.push((endpoint.now - before).as_secs());
            assert!(endpoint.control.take_probe(endpoint.now));
            endpoint.control.on_probe(endpoint.now, false);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn one_that_flaps_stays_out_longer_each_time() {
        let mut endpoint = Fixture::new();
        let mut waits = Vec::new();
        for _ in 0..3 {
            endpoint.fails_to_connect(3);
            endpoint.tick();
            let before = endpoint.now;
            endpoint.now = endpoint.control.next_timeout().unwrap();
            waits.push((endpoint.now - before).as_secs());
            assert!(endpoint.control.take_probe(endpoint.now));
            endpoint.control.on_probe(endpoint.now, true);
            endpoint.tick();
        }
        assert_eq!(waits, [1, 2, 4]);
        endpoint.wait(Duration::from_secs(60));
        endpoint.fails_to_connect(3);
        endpoint.tick();
        let next = endpoint.control.next_timeout().unwrap();
        assert_eq!(
            next - endpoint.now,
            Duration::from_secs(1),
            "a quiet minute forgives"
        );
    }

    #[test]
    fn a_probe_that_never_answers_counts_as_failed() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(3);
        endpoint.tick();
        endpoint.wait(Duration::from_secs(1));
        assert!(endpoint.control.take_probe(endpoint.now));
        endpoint.now = endpoint.control.next_timeout().unwrap();
        endpoint.tick();
        assert!(!endpoint.control.take_probe(endpoint.now));
        endpoint.now = endpoint.control.next_timeout().unwrap();
        assert!(endpoint.control.take_probe(endpoint.now));
    }

    #[test]
    fn checks_take_it_out_and_bring_it_back_by_rows() {
        let mut endpoint = Fixture::new();
        for ok in [false, false, true, false, false] {
            endpoint.control.on_check(endpoint.now, ok);
            assert_eq!(endpoint.tick(), None);
        }
        endpoint.control.on_check(endpoint.now, false);
        assert_eq!(endpoint.tick(), Some(Verdict::Down(DownCause::Checks)));
        for ok in [true, false, true] {
            endpoint.control.on_check(endpoint.now, ok);
            assert_eq!(endpoint.tick(), None);
        }
        endpoint.control.on_check(endpoint.now, true);
        assert_eq!(
            endpoint.tick(),
            Some(Verdict::Up {
                slow_start: Some(endpoint.now)
            })
        );
    }

    #[test]
    fn a_connection_does_not_overrule_the_checks() {
        let mut endpoint = Fixture::new();
        for _ in 0..3 {
            endpoint.control.on_check(endpoint.now, false);
        }
        endpoint.tick();
        endpoint.shared.on_connect_success();
        assert_eq!(endpoint.tick(), None);
        assert!(!endpoint.shared.verdict().is_up());
        endpoint.control.on_checks_removed(endpoint.now);
        assert!(
            endpoint.tick().is_some_and(Verdict::is_up),
            "but their removal does"
        );
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Wait(u64),
        Fail(u32),
        Succeed,
        Check(bool),
        Probe(bool),
        TakeProbe,
        Tick,
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0_u64..40_000).prop_map(Event::Wait),
            (1_u32..5).prop_map(Event::Fail),
            Just(Event::Succeed),
            any::<bool>().prop_map(Event::Check),
            any::<bool>().prop_map(Event::Probe),
            Just(Event::TakeProbe),
            Just(Event::Tick),
        ]
    }

    proptest! {
        /// Liveness: once faults stop, an endpoint comes back within the longest backoff and a probe's time.
        #[test]
        fn an_endpoint_is_never_stuck_down(events in vec(any_event(), 0..200)) {
            let mut endpoint = Fixture::new();
            for event in events {
                endpoint.apply(event);
            }
            let healthy_from = endpoint.now;
            while !endpoint.shared.verdict().is_up() {
                endpoint.wait(Duration::from_millis(25));
                if endpoint.control.take_probe(endpoint.now) {
                    endpoint.control.on_probe(endpoint.now, true);
                }
                if let Checks::Failing { .. } = endpoint.control.checks {
                    endpoint.control.on_check(endpoint.now, true);
                }
                endpoint.tick();
                prop_assert!(endpoint.now - healthy_from <= Duration::from_secs(36));
            }
        }

        /// Safety: what waits has a deadline, what is published is what was decided, and a probe is never
        /// asked for while one is out.
        #[test]
        fn whatever_happens_the_state_is_sound(events in vec(any_event(), 0..200)) {
            let mut endpoint = Fixture::new();
            let mut probing = false;
            for event in events {
                let taken = endpoint.apply(event);
                prop_assert!(!(taken && probing), "a second probe");
                probing = matches!(endpoint.control.connect, Connect::Probing { .. });
                endpoint.tick();
                probing &= matches!(endpoint.control.connect, Connect::Probing { .. });
                prop_assert_eq!(endpoint.shared.verdict(), endpoint.control.verdict());
                if endpoint.shared.verdict() == Verdict::Down(DownCause::Connect) {
                    let timeout = endpoint.control.next_timeout();
                    prop_assert!(timeout.is_some_and(|at| at - endpoint.now <= Duration::from_secs(30)));
                }
            }
        }
    }

    struct Fixture {
        control: EndpointControl,
        shared: EndpointShared,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let control = EndpointControl::new(EndpointParameters::default(), START, false);
            Self {
                control,
                shared: EndpointShared::new(),
                now: START,
            }
        }

        fn fails_to_connect(&mut self, times: u32) {
            for _ in 0..times {
                self.shared.on_connect_failure();
            }
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }

        fn tick(&mut self) -> Option<Verdict> {
            self.control
                .tick(self.now, &self.shared)
                .map(|transition| transition.verdict)
        }

        /// Says whether a probe was asked for.
        fn apply(&mut self, event: Event) -> bool {
            match event {
                Event::Wait(millis) => self.wait(Duration::from_millis(millis)),
                Event::Fail(times) => self.fails_to_connect(times),
                Event::Succeed => self.shared.on_connect_success(),
                Event::Check(ok) => self.control.on_check(self.now, ok),
                Event::Probe(ok) => self.control.on_probe(self.now, ok),
                Event::TakeProbe => return self.control.take_probe(self.now),
                Event::Tick => {
                    self.tick();
                }
            }
            false
        }
    }
}
