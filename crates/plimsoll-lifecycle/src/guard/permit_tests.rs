//! What a shell may rely on: a permit comes back once, also where it is given at the moment its call goes.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::Class;
use plimsoll_policy::{Completion, LimiterKind};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant::from_nanos(1_000_000_000);

#[test]
fn a_call_that_goes_while_it_is_given_a_permit_gives_it_back_once() {
    let mut shell = Shell::new(1, 1);
    let first = shell.ask(0, Class::Standard);
    let second = shell.ask(0, Class::Standard);
    shell.end(first);
    assert_eq!(shell.calls[&second].state, State::Granted, "not yet told");
    shell.end(second);
    assert_eq!(shell.in_flight(), 0);
    let third = shell.ask(0, Class::Standard);
    assert_eq!(shell.calls[&third].state, State::Told);
}

#[test]
fn a_call_that_goes_while_it_waits_gives_nothing_back() {
    let mut shell = Shell::new(1, 1);
    let first = shell.ask(0, Class::Standard);
    let second = shell.ask(0, Class::Standard);
    shell.end(second);
    assert_eq!(shell.in_flight(), 1);
    shell.end(first);
    assert_eq!(shell.in_flight(), 0);
}

#[test]
fn the_permit_of_a_call_that_went_is_given_to_the_next_on_another_thread() {
    let mut shell = Shell::new(2, 1);
    let first = shell.ask(0, Class::Standard);
    let second = shell.ask(0, Class::Critical);
    let third = shell.ask(1, Class::Sheddable);
    shell.end(first);
    assert_eq!(shell.calls[&second].state, State::Granted);
    shell.end(second);
    shell.wake();
    assert_eq!(shell.calls[&third].state, State::Granted);
}

#[test]
fn each_refusal_has_its_cause() {
    for (reason, cause) in [
        (RefusalReason::OverCapacity, Cause::Shed),
        (RefusalReason::QueueFull, Cause::Shed),
        (RefusalReason::PendingFull, Cause::Bulkhead),
        (RefusalReason::QueueTimeout, Cause::QueueTimeout),
        (RefusalReason::Deadline, Cause::Deadline),
    ] {
        assert_eq!(refusal_cause(reason), cause);
    }
}

#[test]
fn a_call_with_no_time_left_is_refused_at_once_and_takes_nothing() {
    let mut shell = Shell::new(1, 1);
    let mut late = request(Class::Critical);
    late.time_left = Duration::ZERO;
    let mut events = Vec::new();
    let (asked, refusal) = shell.guards[0].ask(NOW, &late, 0, &mut events);
    assert_eq!(asked, Asked::Refuse(Cause::Deadline));
    assert_eq!(refusal.unwrap().reason, RefusalReason::Deadline);
    assert_eq!((shell.in_flight(), events.len()), (0, 0));
}

#[test]
fn a_call_beyond_the_pending_that_the_bulkhead_bounds_takes_no_permit() {
    let mut shell = Shell::new(1, 1);
    let parameters = GuardParameters {
        admission: AdmissionParameters {
            limiter: LimiterKind::Fixed(1),
            pending_max: Some(1),
            ..AdmissionParameters::default()
        },
        ..GuardParameters::default()
    };
    shell.guards[0].set_parameters(&Arc::new(parameters));
    let _runs = shell.ask(0, Class::Standard);
    let waits = shell.ask(0, Class::Standard);
    let mut events = Vec::new();
    let (asked, refusal) = shell.guards[0].ask(NOW, &request(Class::Sheddable), 0, &mut events);
    assert_eq!(asked, Asked::Refuse(Cause::Bulkhead));
    assert_eq!(refusal.unwrap().reason, RefusalReason::PendingFull);
    // What matters more gets the place of what matters less.
    let (asked, _) = shell.guards[0].ask(NOW, &request(Class::Critical), 0, &mut events);
    assert!(matches!(asked, Asked::Wait(_)), "{asked:?}");
    let [QueueEvent::Refused(_, refusal)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(refusal_cause(refusal.reason), Cause::Bulkhead);
    assert_eq!(shell.shared.admission.queued(), 1);
    let _ = waits;
}

#[test]
fn what_is_kept_over_a_restart_comes_back_as_it_was() {
    let parameters = GuardParameters::default();
    let kept = AdmissionMemory {
        limit: 64,
        median_unbound: 0.05,
        quantiles: (0.04, 0.08),
    };
    let shared = GuardShared::new(1, &parameters);
    let control = GuardControl::new(&parameters, Some(&kept), &shared, NOW);
    assert_eq!(shared.admission.limit(), Some(64));
    assert_eq!(control.memory(&shared), kept);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Ask(usize, usize),
    Tell(usize),
    End(usize),
    Client(usize),
    Wake,
    Expire(usize),
}

proptest! {
    /// Whichever way calls end, as many permits come back as were given, and then all are free.
    #[test]
    fn every_permit_comes_back_once(
        threads in 1_usize..4,
        limit in 1_u32..4,
        events in vec(event(), 0..120),
    ) {
        let mut shell = Shell::new(threads, limit);
        for event in events {
            let some = |shell: &Shell, index: usize| {
                let count = shell.calls.len().max(1);
                shell.calls.keys().copied().nth(index % count)
            };
            match event {
                Event::Ask(thread, class) => {
                    let _call = shell.ask(thread % threads, Class::ALL[class]);
                }
                Event::Tell(index) => {
                    if let Some(call) = some(&shell, index) {
                        shell.tell(call);
                    }
                }
                Event::End(index) => {
                    if let Some(call) = some(&shell, index) {
                        shell.end(call);
                    }
                }
                Event::Client(index) => {
                    if let Some(call) = some(&shell, index) {
                        shell.client(call);
                    }
                }
                Event::Wake => shell.wake(),
                Event::Expire(thread) => shell.expire(thread % threads),
            }
            let held = shell.calls.values().filter(|call| call.state.holds());
            let (again, held): (Vec<&Call>, Vec<&Call>) = held.partition(|call| call.again);
            prop_assert_eq!(shell.in_flight() as usize, held.len() + again.len());
            prop_assert!(held.len() <= limit as usize, "but for those that had one");
        }
        while let Some(call) = shell.calls.keys().next().copied() {
            shell.end(call);
            shell.wake();
        }
        prop_assert_eq!(shell.in_flight(), 0);
        prop_assert_eq!(shell.shared.admission.queued(), 0);
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_usize..4, 0..Class::ALL.len()).prop_map(|(thread, class)| Event::Ask(thread, class)),
        2 => (0_usize..32).prop_map(Event::Tell),
        3 => (0_usize..32).prop_map(Event::End),
        3 => (0_usize..32).prop_map(Event::Client),
        1 => Just(Event::Wake),
        1 => (0_usize..4).prop_map(Event::Expire),
    ]
}

/// Where a call stands, as a shell knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waits(Ticket),
    /// It was given a permit, and does not know yet.
    Granted,
    Told,
    /// Its client is waited for, and it has its permit still.
    Rests,
    Lent,
    Refused,
}

impl State {
    fn holds(self) -> bool {
        matches!(self, Self::Granted | Self::Told | Self::Rests)
    }
}

#[derive(Clone, Copy, Debug)]
struct Call {
    thread: usize,
    class: Class,
    ticket: Option<Ticket>,
    state: State,
    /// Its permit was lent, and taken again.
    again: bool,
}

/// What a shell does with the events, and no more.
struct Shell {
    shared: Arc<GuardShared>,
    guards: Vec<Guard>,
    calls: BTreeMap<u64, Call>,
    wakes: Vec<usize>,
    number: u64,
}

impl Shell {
    fn new(threads: usize, limit: u32) -> Self {
        let parameters = GuardParameters {
            admission: AdmissionParameters {
                limiter: LimiterKind::Fixed(limit),
                ..AdmissionParameters::default()
            },
            ..GuardParameters::default()
        };
        let parameters = Arc::new(parameters);
        let shared = Arc::new(GuardShared::new(threads, &parameters));
        let guard = |thread| Guard::new(Arc::clone(&shared), thread, &parameters);
        Self {
            guards: (0..threads).map(guard).collect(),
            shared,
            calls: BTreeMap::new(),
            wakes: Vec::new(),
            number: 0,
        }
    }

    fn in_flight(&self) -> u32 {
        self.shared.admission.in_flight()
    }

    fn ask(&mut self, thread: usize, class: Class) -> u64 {
        let mut events = Vec::new();
        let (asked, refusal) = self.guards[thread].ask(NOW, &request(class), 0, &mut events);
        assert_eq!(refusal.is_some(), matches!(asked, Asked::Refuse(_)));
        let (ticket, state) = match asked {
            Asked::Go => (None, State::Told),
            Asked::Wait(ticket) => (Some(ticket), State::Waits(ticket)),
            Asked::Refuse(_) => (None, State::Refused),
        };
        self.number += 1;
        let call = Call {
            thread,
            class,
            ticket,
            state,
            again: false,
        };
        self.calls.insert(self.number, call);
        self.follow(thread, events);
        self.number
    }

    /// A call learns that it has a permit.
    fn tell(&mut self, call: u64) {
        if let Some(call) = self.calls.get_mut(&call)
            && call.state == State::Granted
        {
            call.state = State::Told;
        }
    }

    /// The next step of a call whose client is waited for: it rests, lends its permit, and takes it again.
    fn client(&mut self, call: u64) {
        let call = self.calls.get_mut(&call).unwrap();
        let (thread, guard) = (call.thread, &mut self.guards[call.thread]);
        let mut events = Vec::new();
        match call.state {
            State::Told => {
                guard.rest(NOW, 0);
                call.state = State::Rests;
            }
            State::Rests => {
                guard.lend(NOW, &mut events);
                call.state = State::Lent;
            }
            State::Lent => {
                guard.take_again(NOW, 0);
                (call.state, call.again) = (State::Told, true);
            }
            State::Waits(_) | State::Granted | State::Refused => (),
        }
        self.follow(thread, events);
    }

    /// A call ends, or its client goes: whatever it has is given back.
    fn end(&mut self, call: u64) {
        let call = self.calls.remove(&call).unwrap();
        let guard = &mut self.guards[call.thread];
        let waited = call.ticket.is_some_and(|ticket| guard.leave(ticket));
        assert_eq!(waited, matches!(call.state, State::Waits(_)));
        let mut events = Vec::new();
        if call.state == State::Rests {
            guard.resume(NOW, 0);
        }
        if call.state.holds() {
            let finished = Finished {
                class: call.class,
                tenant: 1,
                weight: 1.0,
                group: 0,
                started: NOW,
                ended: NOW,
                head_after: None,
                end: Completion::Cancelled,
            };
            guard.finish(NOW, &finished, &mut events);
        }
        self.follow(call.thread, events);
    }

    fn expire(&mut self, thread: usize) {
        let mut events = Vec::new();
        self.guards[thread].expire(NOW, &mut events);
        self.follow(thread, events);
    }

    /// All wake-ups come through.
    fn wake(&mut self) {
        while let Some(thread) = self.wakes.pop() {
            let mut events = Vec::new();
            self.guards[thread].dispatch(NOW, &mut events);
            self.follow(thread, events);
        }
    }

    fn follow(&mut self, thread: usize, events: Vec<QueueEvent>) {
        for event in events {
            let (ticket, state) = match event {
                QueueEvent::Go(ticket) => (ticket, State::Granted),
                QueueEvent::Refused(ticket, _) => (ticket, State::Refused),
                QueueEvent::Wake(other) => {
                    self.wakes.push(other);
                    continue;
                }
            };
            let waits =
                |call: &&mut Call| call.thread == thread && call.state == State::Waits(ticket);
            let call = self.calls.values_mut().find(waits);
            call.expect("it waits on this thread").state = state;
        }
    }
}

fn request(class: Class) -> Arriving {
    Arriving {
        class,
        tenant: 1,
        weight: 1.0,
        group: 0,
        time_left: Duration::from_secs(30),
    }
}
