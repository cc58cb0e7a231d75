//! Waiting for a call's client: one that sends or reads slowly may not hold a service's permit.
//!
//! The shell says when it is the client that is waited for: the service has been sent all that came of the body, or our
//! buffer is full and the client does not read. The attempt then rests: its time is not the service's, and that
//! nothing comes of it says nothing about the endpoint. Once the grace is used up, the permit is lent to others, which
//! is no end of the call and no measurement. As soon as the service is waited for again, the call has its permit
//! again, at once, if need be over the limit: the limiter is to see what is in flight.
//!
//! The grace is a leaky sum, so that many short pauses are one long one. Units: durations. Invariants: a call rests
//! only while its client is waited for; a permit is lent only while the call rests, and taken again before the
//! call's next attempt. Elsewhere: what is told (`plimsoll-gateway`, `exchange`); what a lent permit means
//! (`plimsoll-policy`, `admission`).

use std::time::Duration;

use plimsoll_core::Instant;
use plimsoll_policy::Completion;

use super::{Call, Effects, Permit};

/// How long a call may hold its permit while its client is waited for, in all: longer than a packet that was lost and
/// is sent again (RFC 6298: 200 ms at the least, as it is built), short beside any deadline.
const CLIENT_GRACE: Duration = Duration::from_millis(250);

/// While the service is waited for, this part of the time is given back to the grace: a call whose client pauses again
/// and again holds a permit in vain for at most a tenth of the time.
const LEAK: u32 = 10;

/// How a call stands with its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Since when the client is waited for.
    since: Option<Instant>,
    /// How much of the grace is used...
    used: Duration,
    /// ...as of then.
    at: Instant,
    /// How long it was waited for in this attempt, and up to its head.
    waited: Duration,
    waited_to_head: Duration,
    /// The attempt in flight rests at its endpoint.
    rests: bool,
    /// Its permit went back at the head: the service is waited for no longer, whatever it does.
    streams: bool,
}

impl Client {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: None,
            used: Duration::ZERO,
            at: now,
            waited: Duration::ZERO,
            waited_to_head: Duration::ZERO,
            rests: false,
            streams: false,
        }
    }
}

impl<E: Effects> Call<E> {
    /// Whether it is the client that is waited for, from now on. To be said after each step, and when
    /// [`Call::client_timeout`] has passed.
    pub fn on_client(&mut self, now: Instant, awaited: bool) {
        if self.client.streams {
            return;
        }
        match awaited {
            true => self.rest(now),
            false => self.resume(now),
        }
        if let Permit::Held(started) = self.permit
            && let (Some(until), Some(service)) = (self.client_timeout(), self.settlement.service)
            && now >= until
        {
            self.permit = Permit::Lent(started);
            self.effects.lend_permit(service);
        }
    }

    /// Whether its client is waited for.
    pub fn awaits_client(&self) -> bool {
        self.client.since.is_some()
    }

    /// When its permit is lent to others, if nothing changes until then.
    pub fn client_timeout(&self) -> Option<Instant> {
        let since = self.client.since?;
        matches!(self.permit, Permit::Held(_))
            .then(|| since + CLIENT_GRACE.saturating_sub(self.client.used))
    }

    /// What follows is a stream (an upgrade, an event stream): the permit goes back as of the head, since how long it
    /// streams says nothing about how long the service needs.
    pub fn on_stream(&mut self, now: Instant) {
        if let Permit::Held(_) = self.permit {
            self.resume(now);
        }
        let through = match self.permit {
            Permit::Held(started) => started + self.head_took,
            _ => now,
        };
        self.return_permit(through, Completion::Success);
        self.rest(now);
        self.client.streams = true;
    }

    /// How long the endpoint took to its head, which was sent the request then: without what its client was waited for.
    pub fn head_after(&self, sent_at: Instant) -> Duration {
        let head_at = self.settlement.head_at.unwrap_or(sent_at);
        (head_at - sent_at).saturating_sub(self.client.waited_to_head)
    }

    /// An attempt begins: while a connection is made, nobody waits for the client.
    pub(super) fn begin_client(&mut self, now: Instant) {
        self.resume(now);
        (self.client.waited, self.client.waited_to_head) = Default::default();
    }

    /// The head is there.
    pub(super) fn note_head(&mut self, now: Instant) {
        self.head_took = self.took(now);
        let waits = self
            .client
            .since
            .map_or(Duration::ZERO, |since| now - since);
        self.client.waited_to_head = self.client.waited + waits;
    }

    /// What the service took of the time since the permit was taken.
    fn took(&self, now: Instant) -> Duration {
        match self.permit {
            Permit::Held(started) | Permit::Lent(started) => {
                self.client.since.unwrap_or(now) - started
            }
            _ => Duration::ZERO,
        }
    }

    /// Beside a hedge nothing is waited for: such a request has no body, and an answer ends it.
    fn rest(&mut self, now: Instant) {
        if self.client.since.is_some() || self.second.is_some() || !self.in_flight {
            return;
        }
        let Some(service) = self.settlement.service else {
            return;
        };
        let leaked = (now - self.client.at) / LEAK;
        self.client.used = self.client.used.saturating_sub(leaked);
        self.client.since = Some(now);
        if let Permit::Held(_) = self.permit {
            self.effects.rest_permit(service, self.group, true);
        }
        if let Some(endpoint) = self.settlement.endpoint {
            self.client.rests = true;
            self.effects.rest_attempt(service, endpoint, true);
        }
    }

    /// The service is waited for, and the permit is there.
    pub(super) fn resume(&mut self, now: Instant) {
        let (Some(since), Some(service)) = (self.client.since.take(), self.settlement.service)
        else {
            return;
        };
        let waited = now - since;
        self.client.used = (self.client.used + waited).min(CLIENT_GRACE);
        self.client.at = now;
        self.client.waited += waited;
        self.wake_attempt();
        match self.permit {
            Permit::Held(started) => {
                self.effects.rest_permit(service, self.group, false);
                self.permit = Permit::Held(started + waited);
            }
            Permit::Lent(started) => {
                self.effects.take_again(service, self.group);
                self.permit = Permit::Held(started + waited);
            }
            Permit::None | Permit::Waiting(_) | Permit::Returned => (),
        }
    }

    /// The attempt no longer rests at its endpoint: it goes on, or is over.
    pub(super) fn wake_attempt(&mut self) {
        if !std::mem::take(&mut self.client.rests) {
            return;
        }
        if let (Some(service), Some(endpoint)) = (self.settlement.service, self.settlement.endpoint)
        {
            self.effects.rest_attempt(service, endpoint, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::EndpointId;
    use plimsoll_measure::Cause;

    use super::super::tests::{SAFE, Shared, admitted};
    use super::super::{AttemptEnd, Verdict};
    use super::*;

    const ENDPOINT: EndpointId = EndpointId(1);

    #[test]
    fn a_slow_upload_holds_no_permit_until_it_is_complete_and_is_measured_without_its_waits() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(10), true);
        assert_eq!(call.client_timeout(), Some(at(260)));
        assert_eq!(seen(&world), (1, 0, 1), "it rests, with its permit");
        call.on_client(at(259), true);
        assert_eq!(seen(&world), (1, 0, 1));
        call.on_client(at(260), true);
        assert_eq!(seen(&world), (0, 0, 1), "its permit is lent");
        assert_eq!(call.client_timeout(), None);
        assert_eq!(world.borrow().completions, [], "which is no measurement");
        call.on_client(at(5_000), false);
        assert_eq!(seen(&world), (1, 1, 0), "the service has work");
        call.on_head(at(5_020));
        assert_eq!(call.head_after(at(5)), millis(25), "5 before, 20 after");
        call.return_permit(at(5_030), Completion::Success);
        call.settle(at(5_030), Cause::Answered);
        let world = world.borrow();
        assert_eq!(world.completions, [Completion::Success]);
        assert_eq!(world.took, [millis(40)], "10 before, 30 after");
        assert_eq!((world.permits, world.at_work), (0, 0));
    }

    #[test]
    fn pauses_below_the_grace_add_up_and_the_next_one_lends_at_once() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(0), true);
        call.on_client(at(240), false);
        call.on_client(at(241), true);
        assert!(call.client_timeout().is_some_and(|until| until < at(252)));
        call.on_client(at(252), true);
        assert_eq!(world.borrow().lent, 1);
        call.on_client(at(300), false);
        assert_eq!(seen(&world), (1, 1, 0));
        call.on_client(at(301), true);
        assert_eq!(call.client_timeout(), Some(at(301) + millis(1) / LEAK));
    }

    #[test]
    fn what_the_service_works_gives_back_a_tenth_of_the_grace() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(0), true);
        call.on_client(at(300), false);
        call.on_client(at(1_300), true);
        assert_eq!(call.client_timeout(), Some(at(1_400)));
        call.on_client(at(1_300), false);
        call.on_client(at(60_000), true);
        assert_eq!(call.client_timeout(), Some(at(60_000) + CLIENT_GRACE));
    }

    #[test]
    fn a_reader_that_is_too_slow_is_no_measurement_and_one_that_is_not_leaves_its_waits_out() {
        for (paused, measured) in [(200, vec![millis(40)]), (400, vec![])] {
            let world = Shared::default();
            let mut call = trying(&world);
            call.on_head(at(20));
            call.on_client(at(40), true);
            call.on_client(at(40 + paused), true);
            // The reader took the last of it, which the service had written.
            call.return_permit(at(40 + paused), Completion::Success);
            assert_eq!(world.borrow().took, measured);
            // It has yet to read what is left in our buffer.
            call.on_client(at(50 + paused), true);
            assert_eq!(seen(&world), (0, 0, 1));
            call.settle(at(60_000), Cause::ClientGone);
            assert_eq!(seen(&world), (0, 0, 0));
            assert_eq!(world.borrow().took, measured);
        }
    }

    #[test]
    fn a_client_that_leaves_a_download_says_what_the_service_took_to_the_head() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(0), true);
        call.on_client(at(100), false);
        call.on_head(at(120));
        call.on_client(at(130), true);
        call.settle(at(300), Cause::ClientGone);
        let world = world.borrow();
        assert_eq!(world.completions, [Completion::Success]);
        assert_eq!(world.took, [millis(20)]);
    }

    #[test]
    fn a_call_whose_permit_is_lent_gives_none_back_at_its_end() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(0), true);
        call.on_client(at(300), true);
        assert_eq!(seen(&world), (0, 0, 1));
        drop(call);
        let world = world.borrow();
        assert_eq!((world.permits, world.at_work, world.in_flight), (0, 0, 0));
        assert_eq!(world.completions, []);
        assert_eq!(world.settlements.len(), 1);
    }

    #[test]
    fn the_next_attempt_has_a_permit_again() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(0), true);
        call.on_client(at(300), true);
        let verdict = call.on_connect_failed(at(310), SAFE);
        assert!(matches!(verdict, Verdict::Retry { .. }));
        assert_eq!(seen(&world), (0, 0, 0), "nothing rests at an endpoint");
        let _ = call.next_attempt(at(320), |_| Some(EndpointId(2)));
        assert_eq!(seen(&world), (1, 1, 0));
        call.end_attempt(AttemptEnd::Cancelled);
        call.settle(at(330), Cause::Reset);
        assert_eq!(world.borrow().permits, 0);
    }

    #[test]
    fn a_stream_rests_until_its_end_whoever_is_waited_for() {
        let world = Shared::default();
        let mut call = trying(&world);
        call.on_client(at(5), true);
        call.on_client(at(15), false);
        call.on_head(at(20));
        call.on_stream(at(25));
        for awaited in [false, true, false] {
            call.on_client(at(1_000), awaited);
            assert_eq!(seen(&world), (0, 0, 1));
        }
        call.settle(at(2_000), Cause::Answered);
        let world = world.borrow();
        assert_eq!(world.took, [millis(10)], "up to its head");
        assert_eq!(world.resting, []);
    }

    /// Permits, those whose time is the service's, and attempts that rest.
    fn seen(world: &Shared) -> (i64, i64, usize) {
        let world = world.borrow();
        (world.permits, world.at_work, world.resting.len())
    }

    fn trying(world: &Shared) -> Call<Shared> {
        let mut call = admitted(world, 3);
        let _ = call.next_attempt(at(0), |_| Some(ENDPOINT));
        call
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
