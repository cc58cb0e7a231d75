//! The control thread's half of endpoint health: merges what was seen and decides.

use plimsoll_core::{Instant, Mode};

use super::breaker::{Breaker, Change};
use super::checks::Checks;
use super::connect::Connect;
use super::ejection::Ejection;
use super::reason::Reason;
use super::record::{Record, WINDOW};
use super::{DownCause, EndpointParameters, EndpointShared, SLOW_START, Verdict};

/// The verdict changed, or would have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// What is in force from then on. Probing (half-open) is part of being down by the breaker, and no news.
    pub verdict: Verdict,
    /// Why, where judgement decided; what facts decided is known to who brought them.
    pub reason: Option<Reason>,
    /// `false`: the verdict would be in force if the policy acted, or if fewer endpoints were out already.
    pub acted: bool,
}

/// What one part of judgement would have done, but only observes or had to leave undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Would {
    /// How often it would have taken the endpoint out.
    pub ejected: u64,
    /// Attempts that failed there while it would have been out because a policy only observes.
    pub failed: u64,
}

/// One endpoint's health. See the module's docs.
#[derive(Clone, Debug)]
pub struct EndpointControl {
    parameters: EndpointParameters,
    checks: Checks,
    connect: Connect,
    record: Record,
    breaker: Breaker,
    ejection: Ejection,
    slow_start: Option<Instant>,
    /// Until then its window holds calls of a time in which it had less to do than its peers.
    spared_until: Option<Instant>,
    published: Verdict,
    /// Why judgement took it out last.
    out_reason: Option<Reason>,
    /// Why judgement let it in, until that is told.
    in_reason: Option<Reason>,
    /// Judgement would take it out, and may not; that was told: by the breaker, by ejection.
    held_back: (bool, bool),
    would: [Would; 2],
}

impl EndpointControl {
    /// Up. With `slow_start`, as for an endpoint that joins others that serve already, it starts slowly.
    /// `seed` varies how long a breaker is open: each endpoint takes another.
    pub fn new(parameters: EndpointParameters, now: Instant, slow_start: bool, seed: u64) -> Self {
        parameters.assert_valid();
        Self {
            parameters,
            checks: Checks::new(),
            connect: Connect::new(now),
            record: Record::new(now),
            breaker: Breaker::new(now, seed),
            ejection: Ejection::new(now),
            slow_start: slow_start.then_some(now),
            spared_until: slow_start.then_some(now + SLOW_START + WINDOW),
            published: Verdict::Up { slow_start: None },
            out_reason: None,
            in_reason: None,
            held_back: (false, false),
            would: [Would::default(); 2],
        }
    }

    /// The verdict last published.
    pub fn verdict(&self) -> Verdict {
        self.published
    }

    /// What judgement would have done, but only observes or had to leave undone: the breaker, then ejection.
    pub fn would(&self) -> [Would; 2] {
        self.would
    }

    /// Takes over new parameters, as after a reload; the state stays, except that of a policy whose mode
    /// changes: what it decided under the other one has no meaning under this.
    pub fn set_parameters(&mut self, now: Instant, parameters: EndpointParameters) {
        let before = std::mem::replace(&mut self.parameters, parameters);
        if before.breaker != parameters.breaker && !self.breaker.is_closed() {
            self.breaker.close(now);
            self.record.forget(now);
        }
        if before.ejection != parameters.ejection && self.ejection.is_out() {
            self.ejection.let_in(now);
            self.record.forget(now);
        }
    }

    /// Active checks were taken out of the configuration: what they said last no longer counts.
    pub fn on_checks_removed(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.checks, Checks::new()).is_passing() {
            self.begin_slow_start(now);
        }
    }

    /// An active check ended.
    pub fn on_check(&mut self, now: Instant, ok: bool) {
        if self.checks.on_check(ok, &self.parameters) {
            self.begin_slow_start(now);
        }
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
        } else if connect_failures > 0 {
            self.connect
                .on_failures(now, connect_failures, &self.parameters);
        }
    }

    /// The probe that [`EndpointControl::take_probe`] asked for ended.
    pub fn on_probe(&mut self, now: Instant, ok: bool) {
        if ok {
            self.on_connected(now);
        } else {
            self.connect.on_probe_failed(now, &self.parameters);
        }
    }

    /// Whether one connection is to be tried now: to see whether an endpoint that is down is back, or whether
    /// one in doubt is down. The balancer shuns an endpoint that failed, so without a probe the row of
    /// failures that takes it out might never be complete.
    pub fn take_probe(&mut self, now: Instant) -> bool {
        self.connect.take_probe(now, &self.parameters)
    }

    /// Merges the data plane's counters, lets time act, and publishes the verdict; says if it changed. For an
    /// endpoint on its own, that nothing judges: see [`PeerControl::tick`](super::PeerControl::tick).
    pub fn tick(&mut self, now: Instant, shared: &EndpointShared) -> Option<Transition> {
        self.observe(now, shared);
        if self.is_judged(true) {
            self.release(now);
        }
        self.publish(now, shared)
    }

    /// When the answer of a tick or of [`EndpointControl::take_probe`] may change with no new event; `None`
    /// while nothing is pending.
    pub fn next_timeout(&self) -> Option<Instant> {
        let waits = [
            self.connect.next_timeout(),
            self.slow_start.map(|start| start + SLOW_START),
            self.judged_until(),
        ];
        waits.into_iter().flatten().min()
    }

    /// Nothing is in flight there, nothing said of it and nothing waited for: until an attempt is begun, it does
    /// nothing but forget its calls.
    pub(super) fn is_calm(&self, now: Instant, shared: &EndpointShared) -> bool {
        shared.in_flight() == 0
            && !shared.is_suspect()
            && self.published == Verdict::Up { slow_start: None }
            && self.next_timeout().is_none()
            && self.record.silence().is_none()
            && self.held_back == (false, false)
            && self.breaker_wish(now).is_none()
    }

    pub(super) fn parameters(&self) -> &EndpointParameters {
        &self.parameters
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Whether its answers took as long as they do under its whole share of the load.
    pub(super) fn is_loaded(&self, now: Instant) -> bool {
        self.spared_until.is_none_or(|until| until <= now)
    }

    /// The first half of a tick: merges what was counted, and lets time act.
    pub(super) fn observe(&mut self, now: Instant, shared: &EndpointShared) {
        let (failures, successes) = shared.take_connects();
        self.on_passive(now, failures, successes);
        self.connect.tick(now, &self.parameters);
        if self
            .slow_start
            .is_some_and(|start| now.since(start) >= SLOW_START)
        {
            self.slow_start = None;
        }
        let taken = shared.take();
        self.count_saved(taken.counts.failures().into());
        self.record.observe(now, &taken, self.breaker.is_closed());
        // Nobody sends it a probe while something else holds it down: its time does not run then.
        let paused = self.breaker.is_half_open() && self.breaker_acts() && !self.is_probing();
        if !paused {
            match self
                .breaker
                .tick(now, &taken, &self.record, &self.parameters)
            {
                Change::None => (),
                Change::Grant(probes) if self.is_probing() => shared.grant(probes),
                Change::Grant(_) => (),
                Change::Moved => self.record.forget(now),
                Change::Closed(reason, start) => {
                    self.record.forget(now);
                    if self.breaker_acts() {
                        self.in_reason = Some(reason);
                        self.begin_slow_start(start);
                    }
                }
            }
        }
        if let Some(reason) = self.ejection.tick(now) {
            self.record.forget(now);
            if self.ejection_acts() {
                self.in_reason = Some(reason);
                self.begin_slow_start(now);
            }
        }
    }

    /// Attempts that failed where an endpoint would have been out would have gone elsewhere.
    fn count_saved(&mut self, failed: u64) {
        let [breaker, ejection] = &mut self.would;
        if self.parameters.breaker == Mode::Observe && !self.breaker.is_closed() {
            breaker.failed += failed;
        } else if self.parameters.ejection == Mode::Observe && self.ejection.is_out() {
            ejection.failed += failed;
        }
    }

    /// Facts do not hold it down.
    pub(super) fn is_able(&self) -> bool {
        self.connect.is_open() && self.checks.is_passing()
    }

    /// Judgement holds it out; or, unless `acts`, would do so.
    pub(super) fn is_judged(&self, acts: bool) -> bool {
        let breaker = !self.breaker.is_closed() && (!acts || self.breaker_acts());
        let ejection = self.ejection.is_out() && (!acts || self.ejection_acts());
        breaker || ejection
    }

    /// When judgement looks again.
    pub(super) fn judged_until(&self) -> Option<Instant> {
        let waits = [self.breaker.next_timeout(), self.ejection.next_timeout()];
        waits.into_iter().flatten().max()
    }

    /// Why the breaker would open now.
    pub(super) fn breaker_wish(&self, now: Instant) -> Option<Reason> {
        let judges = self.parameters.breaker != Mode::Off && self.is_able();
        if !judges || self.is_judged(true) {
            return None;
        }
        self.breaker.wish(now, &self.record)
    }

    /// Returns what is to be told now: nothing if the verdict follows, which is told when it is published.
    pub(super) fn open_breaker(&mut self, now: Instant, reason: Reason) -> Option<Transition> {
        let acts = self.breaker_acts();
        self.breaker
            .open(now, reason, &self.record, &self.parameters, acts);
        self.record.forget(now);
        self.judged(now, DownCause::Breaker, reason, acts)
    }

    /// See [`EndpointControl::open_breaker`].
    pub(super) fn eject(&mut self, now: Instant, reason: Reason) -> Option<Transition> {
        self.ejection.eject(now);
        self.record.forget(now);
        self.judged(now, DownCause::Ejection, reason, self.ejection_acts())
    }

    fn judged(
        &mut self,
        at: Instant,
        cause: DownCause,
        reason: Reason,
        acts: bool,
    ) -> Option<Transition> {
        self.on_no_wish(cause);
        if acts {
            self.out_reason = Some(reason);
            self.in_reason = None;
            return None;
        }
        Some(self.would_have(at, cause, reason))
    }

    /// Judgement would take it out, but enough are out: told once, until the reason is gone.
    pub(super) fn hold_back(
        &mut self,
        at: Instant,
        cause: DownCause,
        reason: Reason,
    ) -> Option<Transition> {
        (!std::mem::replace(self.is_held_back(cause), true))
            .then(|| self.would_have(at, cause, reason))
    }

    fn would_have(&mut self, at: Instant, cause: DownCause, reason: Reason) -> Transition {
        let [breaker, ejection] = &mut self.would;
        match cause {
            DownCause::Ejection => ejection.ejected += 1,
            _ => breaker.ejected += 1,
        }
        Transition {
            at,
            verdict: Verdict::Down(cause),
            reason: Some(reason),
            acted: false,
        }
    }

    /// That part of judgement would not take it out.
    pub(super) fn on_no_wish(&mut self, cause: DownCause) {
        *self.is_held_back(cause) = false;
    }

    fn is_held_back(&mut self, cause: DownCause) -> &mut bool {
        match cause {
            DownCause::Ejection => &mut self.held_back.1,
            _ => &mut self.held_back.0,
        }
    }

    /// Judgement lets it in, since it is needed.
    pub(super) fn release(&mut self, now: Instant) {
        if self.breaker_acts() && !self.breaker.is_closed() {
            self.breaker.close(now);
        }
        if self.ejection_acts() && self.ejection.is_out() {
            self.ejection.let_in(now);
        }
        self.record.forget(now);
        self.in_reason = Some(Reason::Needed);
    }

    /// The second half of a tick: decides, and puts in force.
    pub(super) fn publish(&mut self, now: Instant, shared: &EndpointShared) -> Option<Transition> {
        let verdict = self.decide();
        let before = std::mem::replace(&mut self.published, verdict);
        if std::mem::discriminant(&verdict) != std::mem::discriminant(&before)
            || verdict.cause() != before.cause()
        {
            shared.transit(verdict);
            if verdict == Verdict::HalfOpen {
                self.breaker.begin_probing(now, &self.record);
                shared.grant(1);
            }
        } else if verdict != before {
            shared.publish(verdict);
        }
        // The end of a slow start is no news, nor is a probe.
        if verdict.cause() == before.cause() {
            return None;
        }
        let reason = match verdict {
            Verdict::Up { .. } => self.in_reason.take(),
            Verdict::HalfOpen | Verdict::Down(DownCause::Breaker | DownCause::Ejection) => {
                self.out_reason
            }
            Verdict::Down(DownCause::Checks | DownCause::Connect) => None,
        };
        Some(Transition {
            at: now,
            verdict,
            reason,
            acted: true,
        })
    }

    fn decide(&self) -> Verdict {
        if !self.connect.is_open() {
            Verdict::Down(DownCause::Connect)
        } else if !self.checks.is_passing() {
            Verdict::Down(DownCause::Checks)
        } else if self.ejection_acts() && self.ejection.is_out() {
            Verdict::Down(DownCause::Ejection)
        } else if self.breaker_acts() && self.breaker.is_half_open() {
            Verdict::HalfOpen
        } else if self.breaker_acts() && !self.breaker.is_closed() {
            Verdict::Down(DownCause::Breaker)
        } else {
            Verdict::Up {
                slow_start: self.slow_start,
            }
        }
    }

    fn is_probing(&self) -> bool {
        self.published == Verdict::HalfOpen
    }

    fn breaker_acts(&self) -> bool {
        self.parameters.breaker == Mode::Enforce
    }

    fn ejection_acts(&self) -> bool {
        self.parameters.ejection == Mode::Enforce
    }

    fn on_connected(&mut self, now: Instant) {
        if self.connect.on_connected(now) {
            self.begin_slow_start(now);
        }
    }

    /// The later of two slow starts counts.
    fn begin_slow_start(&mut self, start: Instant) {
        self.slow_start = self.slow_start.max(Some(start));
        self.spared_until = self.spared_until.max(Some(start + SLOW_START + WINDOW));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

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
                if !endpoint.control.checks.is_passing() {
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

    /// One endpoint on its own, both halves.
    pub(in crate::endpoint) struct Fixture {
        pub(in crate::endpoint) control: EndpointControl,
        pub(in crate::endpoint) shared: EndpointShared,
        pub(in crate::endpoint) now: Instant,
    }

    impl Fixture {
        pub(in crate::endpoint) fn new() -> Self {
            let control = EndpointControl::new(EndpointParameters::default(), START, false, 1);
            Self {
                control,
                shared: EndpointShared::new(),
                now: START,
            }
        }

        pub(in crate::endpoint) fn fails_to_connect(&mut self, times: u32) {
            for _ in 0..times {
                self.shared.on_connect_failure();
            }
        }

        pub(in crate::endpoint) fn wait(&mut self, time: Duration) {
            self.now += time;
        }

        pub(in crate::endpoint) fn tick(&mut self) -> Option<Verdict> {
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
