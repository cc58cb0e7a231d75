//! One run of a scenario: clients, gateway and service over virtual time.
//!
//! Arrivals are Poisson, whatever is answered (open loop). Clients give up after their patience, counted from
//! arrival; the service goes on with what they gave up. Units: nanoseconds. Invariant: scenario, policy, threads
//! and seed determine a run to the last event.

use std::collections::VecDeque;

use plimsoll_core::Class;
use plimsoll_policy::Completion;

use crate::agenda::{Agenda, Event, NEVER, Nanos, SECOND, Work};
use crate::arena::{Arena, Request, Stage};
use crate::gateway::{Gateway, Happening, Policy};
use crate::random::Stream;
use crate::record::{Latencies, Record, Second};
use crate::scenario::{Phase, Scenario};
use crate::station::Station;

/// How often the control thread merges and decides.
const TICK: Nanos = 10_000_000;
/// Pauses of the service: how long, how often.
const PAUSE: (Nanos, Nanos) = (SECOND / 5, 5 * SECOND);
/// The mean time before a client tries again, exponential.
const BACKOFF: f64 = 100e6;
/// The share of connections that one thread has in an uneven run.
const UNEVEN: f64 = 0.9;

/// How a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Gateway threads.
    pub threads: usize,
    /// Everything random comes from it.
    pub seed: u64,
    /// Whether one thread gets nine of ten requests.
    pub uneven: bool,
}

/// Runs a scenario.
pub fn simulate(scenario: &Scenario, policy: &Policy, run: Run) -> Record {
    Simulation::new(scenario, policy, run).run()
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    run: Run,
    gateway: Gateway,
    station: Station,
    arena: Arena,
    agenda: Agenda,
    /// When who loses patience: in the order of arrival, since all have as much of it.
    patience: VecDeque<(Nanos, u32, u32)>,
    happenings: Vec<Happening>,
    arrivals: Stream,
    clients: Stream,
    phase: usize,
    phase_began: Nanos,
    phase_ends: Nanos,
    /// When the load changes inside a phase.
    load_changes: Nanos,
    pause: Nanos,
    tick: Nanos,
    arrival: Nanos,
    /// Mean time between arrivals.
    gap: f64,
    second: Second,
    second_ends: Nanos,
    record: Record,
}

impl<'a> Simulation<'a> {
    fn new(scenario: &'a Scenario, policy: &Policy, run: Run) -> Self {
        assert!(run.threads > 0, "someone has to take the requests");
        assert!(!scenario.phases.is_empty(), "a scenario has phases");
        let gateway = Gateway::new(scenario, policy, run.threads);
        let record = Record {
            limit: gateway.limit(),
            latencies: vec![Latencies::default(); scenario.phases.len()],
            ..Record::default()
        };
        Self {
            scenario,
            run,
            gateway,
            station: Station::new(&first(scenario).service, run.seed),
            arena: Arena::default(),
            agenda: Agenda::default(),
            patience: VecDeque::new(),
            happenings: Vec::new(),
            arrivals: Stream::new(run.seed, "arrivals"),
            clients: Stream::new(run.seed, "clients"),
            phase: 0,
            phase_began: 0,
            phase_ends: Nanos::from(first(scenario).seconds) * SECOND,
            load_changes: 0,
            pause: NEVER,
            tick: TICK,
            arrival: NEVER,
            gap: f64::INFINITY,
            second: Second::default(),
            second_ends: SECOND,
            record,
        }
    }

    fn run(mut self) -> Record {
        self.begin_phase(0);
        let end = Nanos::from(self.scenario.seconds()) * SECOND;
        loop {
            let patience = self.patience.front().map_or(NEVER, |(at, ..)| *at);
            let (agenda, shared) = (self.agenda.next(), self.station.shared_done());
            let changes = self.phase_ends.min(self.load_changes).min(self.pause);
            let now = agenda
                .min(shared)
                .min(patience)
                .min(self.arrival)
                .min(self.tick)
                .min(changes);
            while self.second_ends <= now.min(end) {
                self.close_second();
            }
            if now >= end {
                return self.record;
            }
            if changes == now {
                self.change(now);
            } else if agenda == now {
                self.happen(now);
            } else if shared == now {
                if let Some(id) = self.station.take_shared(now) {
                    self.answered(now, id, Completion::Success);
                }
            } else if patience == now {
                self.lose_patience(now);
            } else if self.tick == now {
                self.tick = now + TICK;
                let change = self.gateway.tick(now, &mut self.agenda);
                self.record.changes.extend(change);
            } else {
                self.arrival = now + self.arrivals.exponential(self.gap) as Nanos;
                let request = self.new_request(now);
                self.arrive(now, request);
            }
        }
    }

    fn close_second(&mut self) {
        self.second.limit = self.gateway.limit();
        self.second.in_flight = self.gateway.in_flight();
        self.second.queued = self.gateway.queued();
        self.record.close_second(&mut self.second);
        self.second_ends += SECOND;
    }

    fn change(&mut self, now: Nanos) {
        if self.phase_ends == now {
            self.phase += 1;
            self.phase_began = now;
            self.begin_phase(now);
        } else if self.load_changes == now {
            self.change_load(now);
        } else {
            self.station.freeze(now, PAUSE.0);
            self.pause = now + PAUSE.1;
        }
    }

    fn begin_phase(&mut self, now: Nanos) {
        let Some(phase) = self.scenario.phases.get(self.phase) else {
            self.phase_ends = NEVER;
            return;
        };
        let lasts = Nanos::from(phase.seconds) * SECOND;
        self.phase_ends = now + lasts;
        self.station.change(now, &phase.service, &mut self.agenda);
        if phase.service.stalled {
            self.station.freeze(now, lasts);
        }
        self.pause = if phase.service.pauses {
            now + PAUSE.1
        } else {
            NEVER
        };
        self.change_load(now);
    }

    fn change_load(&mut self, now: Nanos) {
        let Some(Phase { seconds, load, .. }) = self.scenario.phases.get(self.phase) else {
            return;
        };
        let lasts = Nanos::from(*seconds) * SECOND;
        let (load, until) = load.at(now - self.phase_began, lasts);
        self.load_changes = self.phase_began.saturating_add(until);
        self.gap = 1e9 / (load * self.scenario.nominal());
        // An exponential time remembers nothing: it may be drawn anew.
        self.arrival = now + self.arrivals.exponential(self.gap) as Nanos;
    }

    fn new_request(&mut self, now: Nanos) -> Request {
        let [critical, standard, _] = self.scenario.classes;
        let drawn = self.clients.unit();
        let class = if drawn <= critical {
            Class::Critical
        } else if drawn <= critical + standard {
            Class::Standard
        } else {
            Class::Sheddable
        };
        let group = u8::from(self.clients.chance(self.scenario.slow_share));
        let tenant = match self.scenario.flood {
            Some(flood) if !self.clients.chance(flood.share) => {
                1 + self.clients.below(flood.others)
            }
            _ => 0,
        };
        Request {
            arrived: now,
            started: now,
            stage: Stage::Settled,
            generation: 0,
            tenant,
            thread: self.thread(),
            class,
            group,
            tries: 0,
            in_service: false,
        }
    }

    fn thread(&mut self) -> u16 {
        let threads = self.run.threads as u32;
        if threads == 1 {
            return 0;
        }
        let thread = if !self.run.uneven {
            self.clients.below(threads)
        } else if self.clients.chance(UNEVEN) {
            0
        } else {
            1 + self.clients.below(threads - 1)
        };
        thread as u16
    }

    fn arrive(&mut self, now: Nanos, request: Request) {
        self.record.requests += 1;
        if let Some(offered) = self.second.offered.get_mut(request.class.index()) {
            *offered += 1;
        }
        self.second.offered_legitimate += u32::from(request.tenant > 0);
        let id = self.arena.insert(request);
        let generation = self.arena.at(id).generation;
        let patience = Nanos::from(self.scenario.patience) * 1_000_000;
        self.patience.push_back((now + patience, id, generation));
        self.gateway.arrive(
            now,
            id,
            &mut self.arena,
            &mut self.agenda,
            &mut self.happenings,
        );
        self.follow_up(now);
    }

    /// What the gateway decided is done.
    fn follow_up(&mut self, now: Nanos) {
        let mut happenings = std::mem::take(&mut self.happenings);
        for happening in happenings.drain(..) {
            match happening {
                Happening::Started(id) => {
                    let request = self.arena.at(id);
                    request.stage = Stage::InFlight;
                    request.started = now;
                    let group = request.group;
                    let in_service = self.station.enter(now, id, group, &mut self.agenda);
                    self.arena.at(id).in_service = in_service;
                }
                Happening::Refused(id) => {
                    self.second.refused += 1;
                    self.try_again(now, id);
                    self.settle(id);
                }
            }
        }
        self.happenings = happenings;
    }

    fn happen(&mut self, now: Nanos) {
        let Some(event) = self.agenda.take() else {
            return;
        };
        match event {
            Event::Work(Work::Served(id)) => {
                if self.station.served(now, id, &mut self.agenda) {
                    self.answered(now, id, Completion::Success);
                }
            }
            Event::Work(Work::Answered(id)) => self.answered(now, id, Completion::Success),
            Event::Work(work @ Work::Failed(id)) => {
                if !self.station.put_off(now, work, &mut self.agenda) {
                    self.answered(now, id, Completion::Failed);
                }
            }
            Event::Wake(thread) => {
                self.gateway
                    .woken(now, thread as usize, &mut self.agenda, &mut self.happenings);
                self.follow_up(now);
            }
            Event::Expire(thread) => {
                self.gateway
                    .expire(now, thread as usize, &mut self.agenda, &mut self.happenings);
                self.follow_up(now);
            }
            Event::Again(who) => {
                let mut request = self.new_request(now);
                unpack(who, &mut request);
                self.arrive(now, request);
            }
        }
    }

    /// The service is through with a request.
    fn answered(&mut self, now: Nanos, id: u32, end: Completion) {
        let request = self.arena.at(id);
        request.in_service = false;
        let request = *request;
        if request.stage != Stage::InFlight {
            self.arena.release(id);
            return;
        }
        if end == Completion::Success {
            self.count_answer(now, &request);
        } else {
            self.second.failed += 1;
            self.try_again(now, id);
        }
        self.settle(id);
        self.gateway
            .finish(now, &request, end, &mut self.agenda, &mut self.happenings);
        self.follow_up(now);
    }

    fn count_answer(&mut self, now: Nanos, request: &Request) {
        let latency = now - request.arrived;
        let objective = Nanos::from(self.scenario.objective) * 1_000_000;
        if latency <= objective {
            if let Some(good) = self.second.good.get_mut(request.class.index()) {
                *good += 1;
            }
            self.second.good_legitimate += u32::from(request.tenant > 0);
        } else {
            self.second.late += 1;
        }
        let warm_up = Nanos::from(self.scenario.warm_up) * SECOND;
        if now >= self.phase_began + warm_up
            && let Some(latencies) = self.record.latencies.get_mut(self.phase)
        {
            latencies.add(latency, objective);
        }
    }

    fn lose_patience(&mut self, now: Nanos) {
        let Some((_, id, generation)) = self.patience.pop_front() else {
            return;
        };
        let request = *self.arena.at(id);
        if request.generation != generation || request.stage == Stage::Settled {
            return;
        }
        self.second.timed_out += 1;
        self.try_again(now, id);
        self.settle(id);
        match request.stage {
            Stage::Waiting(ticket) => self.gateway.leave(&request, ticket),
            _ => {
                let end = if self.scenario.patience < self.scenario.objective {
                    Completion::Cancelled
                } else {
                    Completion::TimedOut
                };
                self.gateway
                    .finish(now, &request, end, &mut self.agenda, &mut self.happenings);
                self.follow_up(now);
            }
        }
    }

    fn settle(&mut self, id: u32) {
        self.arena.at(id).stage = Stage::Settled;
        self.arena.release(id);
    }

    fn try_again(&mut self, now: Nanos, id: u32) {
        let request = self.arena.at(id);
        if request.tries < self.scenario.retries {
            let who = pack(request);
            let after = self.clients.exponential(BACKOFF) as Nanos;
            self.agenda.note(now + after, Event::Again(who));
        }
    }
}

fn first(scenario: &Scenario) -> &Phase {
    #[expect(clippy::indexing_slicing, reason = "checked at the start of a run")]
    &scenario.phases[0]
}

/// Who tries again: class, route group, how often before, tenant.
fn pack(request: &Request) -> u32 {
    let class = request.class.index() as u32;
    class | u32::from(request.group & 1) << 2 | u32::from(request.tries) << 3 | request.tenant << 11
}

fn unpack(who: u32, request: &mut Request) {
    request.class = match who & 3 {
        0 => Class::Critical,
        1 => Class::Standard,
        _ => Class::Sheddable,
    };
    request.group = (who >> 2 & 1) as u8;
    request.tries = (who >> 3) as u8 + 1;
    request.tenant = who >> 11;
}
