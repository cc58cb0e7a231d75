//! A run: what happens when, and what is done about it.
//!
//! Units: nanoseconds. Invariants: scenario, protections and seed determine a run to the last event; every request
//! is settled once, and at the end every permit is back.
//! An endpoint goes on with what a gateway has given up: the harsh case.

mod arrive;
mod call;
mod calls;
mod control;
mod observe;
mod send;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Fault, Scenario, Workload};
use plimsoll_core::{Instant, ServiceId};
use plimsoll_lifecycle::Call;
use plimsoll_measure::Courses;
use plimsoll_policy::QueueEvent;

use crate::agenda::{Agenda, NEVER, Nanos, SECOND};
use crate::fleet::clients::{Crowd, Recorded, User, nanos};
use crate::fleet::event::{Event, RequestId};
use crate::fleet::gateway::{Gateway, Protection, balancer};
use crate::fleet::known::Known;
use crate::fleet::ledger::Ledger;
use crate::fleet::memory::{Memory, Shared};
use crate::fleet::population::Member;
use crate::fleet::senders::{Need, Sender, needs, senders};
use crate::fleet::site::{Site, healthy};
use crate::fleet::slab::Slab;
use crate::fleet::thread::{Settled, Thread, ThreadEffects, ThreadService};
use crate::governing::{GivesUp, Governed};
use crate::random::Stream;
use calls::Progress;

/// How often guards are ticked, and views of endpoints: as in production.
const TICK: Nanos = 10_000_000;
const HEALTH_TICK: Nanos = 25_000_000;

/// Most events of one instant: far more than can be of all that a scenario may have. A run with more goes on for ever.
const EVENTS_MAX: u64 = 20_000_000;

/// A run of a scenario. See the module's docs.
#[derive(Debug)]
pub struct Simulation {
    clock: Rc<Cell<Nanos>>,
    agenda: Agenda<Event>,
    ledger: Rc<RefCell<Ledger>>,
    /// What became of requests, where somebody wants to hear it.
    settled: Settled,
    services: Known<Service>,
    sites: Known<Site>,
    gateways: Known<Gateway>,
    threads: Known<Rc<Thread>>,
    crowds: Known<Crowd>,
    senders: Known<Sender>,
    faults: Known<Fault>,
    phases: Vec<Nanos>,
    phase: usize,
    phase_began: Nanos,
    requests: Slab<Request>,
    attempts: Slab<Try>,
    users: Slab<User>,
    members: Slab<Member>,
    generation: u32,
    /// When who loses patience, by sender: in the order of arrival, since all have as much of it.
    patience: Known<VecDeque<(Nanos, RequestId)>>,
    /// The same for the deadlines of calls.
    deadlines: Known<VecDeque<(Nanos, RequestId)>>,
    routing: Stream,
    call_routing: Stream,
    /// Which requests need a call.
    needs: Stream,
    /// Which requests would change something, and for which there is a stale answer.
    giving: Stream,
    /// Emptied by each use; kept for its room.
    heard: Vec<QueueEvent>,
    events: u64,
    /// How many events there were before the present instant.
    events_before: u64,
    /// How often levels are kept.
    sampled: Nanos,
    memory: Option<Shared>,
}

#[derive(Debug)]
struct Service {
    /// Where its endpoints begin.
    first: usize,
    protection: Protection,
    /// What its endpoints call, in this order.
    calls: Vec<Need>,
    gives_up: GivesUp,
}

/// A request under way.
#[derive(Debug)]
struct Request {
    call: Call<ThreadEffects>,
    user: User,
    service: ServiceId,
    generation: u32,
    deadline: Instant,
    /// The attempt in flight.
    attempt: Option<u32>,
}

/// An attempt that an endpoint has, whether or not its request still waits for it.
#[derive(Clone, Copy, Debug)]
struct Try {
    request: RequestId,
    /// Whose request it is, who may have gone.
    user: User,
    service: u16,
    site: u32,
    progress: Progress,
    started: Nanos,
    state: TryState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TryState {
    /// The endpoint has it, or it is on its way to or from there.
    Sent,
    /// It has no connection, and will get none.
    Refused,
    /// The endpoint had it when it crashed; an event for it is still noted.
    Lost,
}

impl Simulation {
    /// At the beginning. There is a protection for each service of the scenario, in the same order.
    pub fn new(scenario: &Scenario, protections: &[Protection], seed: u64) -> Self {
        assert_eq!(
            scenario.services.len(),
            protections.len(),
            "each service has its protection"
        );
        let senders: Known<Sender> = senders(scenario).collect();
        let ledger = Ledger::new(
            scenario.phases.len(),
            scenario.workloads.len(),
            senders.len(),
        );
        let (clock, ledger) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(ledger)));
        let sizes = scenario.services.iter().map(|service| service.endpoints);
        let services: Vec<_> = sizes.zip(protections).collect();
        let mut seeds = Stream::new(seed, "endpoints");
        let sites = scenario
            .services
            .iter()
            .flat_map(|service| std::iter::repeat_n(service, service.endpoints));
        let sites = sites
            .map(|service| Site::new(healthy(service), service.start.as_ref(), seeds.bits()))
            .collect();
        let mut seeds = Stream::new(seed, "gateways");
        let gateways: Known<Gateway> = (0..scenario.gateways)
            .map(|_| Gateway::new(scenario.threads, &services, &mut seeds))
            .collect();
        let threads = threads(scenario, protections, &gateways, seed, &clock, &ledger);
        let mut first = 0;
        let service = |(&(endpoints, protection), calls): (&(usize, &Protection), Vec<Need>)| {
            let service = Service {
                first,
                protection: protection.clone(),
                calls,
                gives_up: GivesUp::default(),
            };
            first += endpoints;
            service
        };
        let mut simulation = Self {
            services: services.iter().zip(needs(scenario)).map(service).collect(),
            sites,
            patience: senders.iter().map(|_| VecDeque::new()).collect(),
            senders,
            deadlines: services.iter().map(|_| VecDeque::new()).collect(),
            threads,
            crowds: crowds(scenario, seed),
            faults: scenario.faults.iter().cloned().collect(),
            phases: scenario
                .phases
                .iter()
                .map(|phase| nanos(phase.lasts))
                .collect(),
            phase: 0,
            phase_began: 0,
            agenda: Agenda::default(),
            requests: Slab::default(),
            attempts: Slab::default(),
            users: Slab::default(),
            members: Slab::default(),
            generation: 0,
            routing: Stream::new(seed, "routing"),
            call_routing: Stream::new(seed, "routing of calls"),
            needs: Stream::new(seed, "calls"),
            giving: Stream::new(seed, "what can be given up"),
            heard: Vec::new(),
            events: 0,
            events_before: 0,
            sampled: NEVER,
            memory: None,
            gateways,
            clock,
            ledger,
            settled: Settled::default(),
        };
        simulation.note_first();
        simulation
    }

    /// Keeps what happens in each second ([`Ledger::timeline`]). To be asked for at the beginning.
    pub fn record(&mut self) {
        self.record_every(1);
    }

    /// The same by so many seconds at a time, which takes less memory.
    pub fn record_every(&mut self, seconds: u32) {
        self.sampled = Nanos::from(seconds.max(1)) * SECOND;
        self.ledger.borrow_mut().record(self.sampled);
        self.agenda.note(self.sampled, Event::Sample);
    }

    /// Each gateway has a governor. To be asked for at the beginning.
    pub fn govern(&mut self, governed: &Governed) {
        assert_eq!(
            governed.services.len(),
            self.services.len(),
            "each service has its objectives"
        );
        for index in 0..self.services.len() {
            self.services[index].gives_up = governed.gives_up(index);
        }
        self.ledger.borrow_mut().decisions_mut();
        let threads = self.threads.len() / self.gateways.len();
        for index in 0..self.gateways.len() {
            let counts = self.gateways[index].govern(governed);
            for thread in index * threads..(index + 1) * threads {
                self.threads[thread].count(Rc::clone(&counts));
            }
            let gateway = index as u32;
            let first = SECOND * (index as Nanos + 1) / self.gateways.len() as Nanos;
            self.agenda.note(first, Event::Govern { gateway });
        }
    }

    /// The first gateway's process remembers the courses of its services, as in production. To be asked for at the
    /// beginning.
    pub fn remember(&mut self, scenario: &Scenario) {
        let services = scenario.services.iter();
        let services = services.map(|it| (it.name.as_str(), it.endpoints));
        let memory = Rc::new(RefCell::new(Memory::new(services)));
        let threads = self.threads.len() / self.gateways.len();
        for thread in 0..threads {
            self.threads[thread].remember(Rc::clone(&memory));
        }
        self.memory = Some(memory);
        self.agenda.note(SECOND, Event::Remember);
    }

    /// What it remembers, which is taken out.
    pub fn courses(&mut self) -> Courses {
        let memory = self.memory.as_ref();
        memory.map_or_else(Courses::default, |it| it.borrow_mut().courses())
    }

    /// What the workload at a position replays, in the order of time. To be given at the beginning; without it
    /// nothing comes of that workload.
    pub fn replay(&mut self, workload: usize, requests: Arc<[Recorded]>) {
        self.crowds[workload].record(requests);
    }

    /// Goes on for so much of virtual time. Says whether there is more to come.
    pub fn advance(&mut self, by: Duration) -> bool {
        let until = self.clock.get().saturating_add(nanos(by));
        loop {
            if self.is_over() {
                return false;
            }
            let timer = self.next_timer();
            let now = self.agenda.next().min(timer.map_or(NEVER, |(at, _)| at));
            if now > until {
                self.clock.set(until);
                return true;
            }
            if self.clock.replace(now) != now {
                self.events_before = self.events;
            }
            self.events += 1;
            assert!(
                self.events - self.events_before <= EVENTS_MAX,
                "time stands still at {now} ns: more than {EVENTS_MAX} events in one instant"
            );
            match timer {
                // What was to happen comes before who waited for it goes.
                Some((at, queue)) if at < self.agenda.next() => self.time_out(now, queue),
                _ => self.happen(now),
            }
        }
    }

    /// How much of virtual time has passed.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.clock.get())
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What became of all requests. Those that are still under way are cut off, as if their clients went.
    pub fn finish(mut self) -> Ledger {
        let now = self.clock.get();
        let left = self.requests.iter().map(|(place, request)| RequestId {
            place,
            generation: request.generation,
        });
        for id in left.collect::<Vec<_>>() {
            if let Some((thread, service)) = self.home(id) {
                self.requests.clear(id.place);
                // What it held goes to others, which are cut off in their turn.
                self.listen_to(now, &thread, service);
            }
        }
        for gateway in self.gateways.iter() {
            assert_eq!(gateway.in_use(), 0, "every permit is back at the end");
        }
        let mut ledger = self.ledger.borrow().clone();
        ledger.cut(self.users.len() as u64);
        ledger
    }

    /// Nobody comes any more, and nobody waits.
    fn is_over(&self) -> bool {
        self.phase >= self.phases.len() && self.requests.len() == 0
    }

    fn note_first(&mut self) {
        self.agenda.note(0, Event::Phase { phase: 0 });
        for index in 0..self.gateways.len() {
            let gateway = index as u32;
            // Gateways are separate processes, whose ticks do not come in step.
            let part = |of: Nanos| of * (index as Nanos + 1) / self.gateways.len() as Nanos;
            self.agenda.note(part(TICK), Event::Tick { gateway });
            self.agenda
                .note(part(HEALTH_TICK), Event::Health { gateway });
        }
        for (index, fault) in self.faults.iter().enumerate() {
            let (begins, fault_id) = (nanos(fault.at), index as u32);
            self.agenda.note(begins, Event::Begin { fault: fault_id });
            let ends = begins.saturating_add(nanos(fault.lasts));
            self.agenda.note(ends, Event::End { fault: fault_id });
        }
    }

    fn happen(&mut self, now: Nanos) {
        match self.agenda.take() {
            None => (),
            Some(Event::Work(work)) => self.on_work(now, work),
            Some(Event::Shared { site }) => {
                if let Some(attempt) = self.sites[site as usize].take_shared(now) {
                    self.go_on(now, attempt);
                }
                self.sites[site as usize].watch(site, &mut self.agenda);
            }
            Some(Event::Refused { attempt }) => self.on_refused(now, attempt),
            Some(Event::Called { attempt, good }) => self.on_called(now, attempt, good),
            Some(Event::HangUp(id)) => self.hang_up(now, id),
            Some(Event::Deliver { attempt }) => self.on_delivered(now, attempt),
            Some(Event::Reply { attempt, good }) => self.on_reply(now, attempt, good),
            Some(Event::Kill { site }) => self.kill(now, site),
            Some(Event::Retry(id)) => {
                if let Some((thread, service)) = self.home(id) {
                    self.attempt(now, id.place);
                    self.listen_to(now, &thread, service);
                }
            }
            Some(Event::Wake { thread, service }) => {
                let thread = Rc::clone(&self.threads[thread as usize]);
                let service = ServiceId(u32::from(service));
                thread.dispatch(service);
                self.listen_to(now, &thread, service);
            }
            Some(Event::Expire { thread, service }) => {
                let thread = Rc::clone(&self.threads[thread as usize]);
                let service = ServiceId(u32::from(service));
                thread.expire(service);
                self.listen_to(now, &thread, service);
            }
            Some(Event::Arrive { workload, version }) => self.on_arrival(now, workload, version),
            Some(Event::Load { workload, version })
                if self.crowds[usize::from(workload)].version == version =>
            {
                self.change_load(now, workload);
            }
            Some(Event::Load { .. }) => (),
            Some(Event::Again { user }) => {
                // Who would come after the last phase stays here, and is counted as cut.
                if self.phase < self.phases.len()
                    && let Some(user) = self.users.remove(user)
                {
                    self.send(now, user);
                }
            }
            Some(Event::Want { member }) => self.on_want(now, member),
            Some(Event::Tick { gateway }) => self.tick(now, gateway),
            Some(Event::Health { gateway }) => self.watch(now, gateway),
            Some(Event::Govern { gateway }) => self.decide(now, gateway),
            Some(Event::Sample) => self.sample(now),
            Some(Event::Remember) => self.on_second(now),
            Some(Event::Begin { fault }) => self.begin_fault(now, fault),
            Some(Event::End { fault }) => self.end_fault(now, fault),
            Some(Event::Phase { phase }) => self.begin_phase(now, phase as usize),
        }
    }
}

fn crowds(scenario: &Scenario, seed: u64) -> Known<Crowd> {
    let crowd =
        |(index, workload): (usize, &Workload)| Crowd::new(index, workload, &scenario.phases, seed);
    scenario.workloads.iter().enumerate().map(crowd).collect()
}

fn threads(
    scenario: &Scenario,
    protections: &[Protection],
    gateways: &Known<Gateway>,
    seed: u64,
    clock: &Rc<Cell<Nanos>>,
    ledger: &Rc<RefCell<Ledger>>,
) -> Known<Rc<Thread>> {
    let mut threads = Vec::new();
    let mut seeds = Stream::new(seed, "balancers");
    for gateway in gateways.iter() {
        let first = threads.len() as u32;
        for thread in 0..scenario.threads {
            let known = scenario.services.iter().zip(protections);
            let services = known.zip(gateway.shared());
            let services = services.map(|((service, protection), (shared, endpoints))| {
                let balancer = balancer(protection, service.endpoints, seeds.bits());
                ThreadService::new(
                    shared,
                    thread,
                    &protection.guard,
                    balancer,
                    endpoints,
                    service.objective,
                )
            });
            let services = services.collect();
            let index = threads.len() as u32;
            let random = Stream::new(seed, &format!("thread {index}"));
            threads.push(Rc::new(Thread::new(
                clock, ledger, index, first, random, services,
            )));
        }
    }
    threads.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "time stands still")]
    fn a_run_that_goes_on_for_ever_in_one_instant_is_stopped() {
        let text = "[service.shop]\nworkers = 1\ntime = \"1ms\"\n[workload.people]\nrate = \"1/s\"\n\
                    [[phase]]\nname = \"all\"\nlasts = \"1s\"\n";
        let scenario = plimsoll_config::scenario::parse(text).unwrap();
        let setting = crate::search::Setting { retries: false };
        let mut simulation = Simulation::new(&scenario, &setting.protections(&scenario), 1);
        // As if so many events had been in this instant: that the first phase begins is one more.
        simulation.events = EVENTS_MAX;
        simulation.advance(Duration::from_secs(1));
    }
}
