//! What one data-plane thread has for itself, and what all of them share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_core::{EndpointId, Instant, ServiceId, never};
use plimsoll_http1::{Fields, RequestHead};
use plimsoll_lifecycle::{Asked, AttemptEnd, Effects, Settlement, report_attempt_end};
use plimsoll_measure::{Cause, REFUSALS, Record};
use plimsoll_policy::flag::FlagsInForce;
use plimsoll_policy::retry::{Question, WhyNot};
use plimsoll_policy::rollout::split::{Arm, Variant};
use plimsoll_policy::{
    Arriving, Balancer, Choice, Finished, HedgeQuestion, KnownTenants, RateTable, RetryDecision,
    SelfShared, Ticket,
};
use plimsoll_upstream::{Clock, Endpoint, Group, Pools};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::admission::ThreadGuard;
use crate::cache::{Disk, Flights, Store};
use crate::exchange::Bytes;
use crate::flagged::Flagged;
use crate::log::{AccessLog, AccessLogSender};
use crate::plan::{Plan, ServicePlan};
use crate::protocol::is_safe;
use crate::rollout::{First, Judged, POOLED, RolloutPlan, client_key};

/// A head with its usual fields fits.
const BUFFER_BYTES: usize = 2 * 1024;
/// Write buffers that a thread keeps.
const BUFFERS_MAX: usize = 256;

/// What all data-plane threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: ArcSwap<Plan>,
    pub(crate) connections: AtomicUsize,
    pub(crate) connections_refused: AtomicU64,
    /// Only used where `connections_per_address_max` is set, and only when a connection opens or closes.
    per_address: Mutex<HashMap<IpAddr, usize>>,
    /// Requests that were sent to a service none of whose endpoints was up.
    pub(crate) panics: AtomicU64,
    /// Whether Plimsoll itself is near its bounds.
    pub(crate) protection: SelfShared,
    /// How late each thread's timers are, in nanoseconds.
    lags: Box<[AtomicU64]>,
    /// Meters of declared rates: in shards with a lock each, the one lock on the way of a request.
    pub(crate) rates: RateTable,
    /// Stored answers.
    pub(crate) cache: Store,
    /// What is being fetched to be stored.
    pub(crate) flights: Flights,
    /// Flags that are in force.
    pub(crate) flags: Arc<ArcSwap<FlagsInForce>>,
    /// By thread: another one freed a permit that goes to a request which waits there, or wants an idle connection
    /// closed.
    wakes: Box<[Notify]>,
}

impl Shared {
    pub(crate) fn new(plan: Arc<Plan>, threads: usize, disk: Option<Disk>) -> Self {
        Self {
            cache: Store::new(plan.config.gateway.cache.memory_max, disk),
            flights: Flights::new(),
            flags: Arc::default(),
            protection: SelfShared::new(),
            lags: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            rates: RateTable::new(RateTable::ENTRIES_MAX),
            wakes: (0..threads).map(|_| Notify::new()).collect(),
            plan: ArcSwap::new(plan),
            connections: AtomicUsize::new(0),
            connections_refused: AtomicU64::new(0),
            per_address: Mutex::default(),
            panics: AtomicU64::new(0),
        }
    }

    /// A thread's timer was this late.
    pub(crate) fn set_lag(&self, thread: usize, lag: Duration) {
        if let Some(known) = self.lags.get(thread) {
            let nanos = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
            known.store(nanos, Ordering::Relaxed);
        }
    }

    /// How late the timers of the thread are that is worst off.
    pub(crate) fn lag(&self) -> Duration {
        let lags = self.lags.iter().map(|lag| lag.load(Ordering::Relaxed));
        Duration::from_nanos(lags.max().unwrap_or(0))
    }

    /// Has a thread look at its queues and pools.
    pub(crate) fn wake(&self, thread: usize) {
        if let Some(wake) = self.wakes.get(thread) {
            wake.notify_one();
        }
    }

    /// Has all other threads look at their queues and pools.
    pub(crate) fn wake_others(&self, thread: usize) {
        for (_, wake) in self
            .wakes
            .iter()
            .enumerate()
            .filter(|(it, _)| *it != thread)
        {
            wake.notify_one();
        }
    }

    /// Waits for [`Shared::wake`].
    pub(crate) async fn woken(&self, thread: usize) {
        match self.wakes.get(thread) {
            Some(wake) => wake.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Counts a connection, if the limits allow another. Whose it is: [`ConnectionSlot::count_for`].
    pub(crate) fn open(self: &Arc<Self>) -> Option<ConnectionSlot> {
        let limits = &self.plan.load().config.gateway.limits;
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let slot = ConnectionSlot {
            shared: Arc::clone(self),
            address: None,
        };
        let protects = self.protection.level().refuses_connections();
        if before >= limits.connections_max || protects {
            self.connections_refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(slot)
    }
}

/// A connection that counts for as long as this lives.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    shared: Arc<Shared>,
    address: Option<IpAddr>,
}

impl ConnectionSlot {
    /// Counts it as one of its client's; says whether the limits allow another one of that client.
    pub(crate) fn count_for(&mut self, client: IpAddr) -> bool {
        let limits = &self.shared.plan.load().config.gateway.limits;
        let Some(max) = limits.connections_per_address_max else {
            return true;
        };
        let address = counted_address(client);
        let mut counts = self
            .shared
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= max {
            let refused = &self.shared.connections_refused;
            refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }
}

/// What counts as one client: an IPv4 address, however it is written, or an IPv6 network of 64 bits, since a client
/// has all of it to itself (RFC 6177 section 2).
fn counted_address(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut counts = self
                .shared
                .per_address
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&address);
                }
            }
        }
    }
}

/// A plan with this thread's own half of its policies.
#[derive(Debug)]
pub(crate) struct ThreadPlan {
    pub(crate) plan: Arc<Plan>,
    pub(crate) balancers: Vec<RefCell<Balancer>>,
    /// By [`ServiceId`], among the endpoints of the version that a service is moved to.
    canaries: Vec<Option<RefCell<Balancer>>>,
    /// By [`ServiceId`]. They outlive the plan: who waits goes on waiting across a reload.
    pub(crate) guards: Vec<Rc<ThreadGuard>>,
    /// Of services that are in no plan any more, where somebody waited when they went.
    retired: Vec<Rc<ThreadGuard>>,
}

/// One data-plane thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pools: Pools,
    pub(crate) log: AccessLog,
    rng: RefCell<Xoshiro256PlusPlus>,
    /// Write buffers that the next attempts use again.
    buffers: RefCell<Vec<Vec<u8>>>,
    plan: RefCell<Rc<ThreadPlan>>,
    /// Whose keys are known here.
    pub(crate) tenants: RefCell<KnownTenants>,
    pub(crate) drain: Notify,
    draining_since: Cell<Option<Instant>>,
    pub(crate) cut: Cell<bool>,
    pub(crate) connections: Cell<usize>,
    pub(crate) listeners: Cell<usize>,
    pub(crate) connection_closed: Notify,
}

impl Thread {
    pub(crate) fn new(
        index: usize,
        clock: Clock,
        shared: Arc<Shared>,
        log: AccessLogSender,
        seed: u64,
    ) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let first = ThreadPlan::new(shared.plan.load_full(), index, None, &mut rng);
        let (salt, tenants) = (first.plan.salt, &first.plan.tenants);
        let tenants = KnownTenants::new(salt, tenants, KnownTenants::ENTRIES_MAX);
        let plan = RefCell::new(Rc::new(first));
        Self {
            index,
            clock,
            shared,
            pools: Pools::new(clock),
            log: AccessLog::new(log),
            rng: RefCell::new(rng),
            buffers: RefCell::default(),
            plan,
            tenants: RefCell::new(tenants),
            drain: Notify::new(),
            draining_since: Cell::new(None),
            cut: Cell::new(false),
            connections: Cell::new(0),
            listeners: Cell::new(0),
            connection_closed: Notify::new(),
        }
    }

    /// What flags say of whoever sends a request with these fields.
    pub(crate) fn flagged(&self, plan: &Plan, fields: &Fields) -> Flagged {
        let (flags, now) = (self.shared.flags.load_full(), self.clock.timestamp());
        Flagged::of(flags, &plan.config.flags, fields, now)
    }

    /// The plan in force.
    pub(crate) fn plan(&self) -> Rc<ThreadPlan> {
        let current = self.shared.plan.load();
        let mut plan = self.plan.borrow_mut();
        if !Arc::ptr_eq(&plan.plan, &current) {
            let next = ThreadPlan::new(
                Arc::clone(&current),
                self.index,
                Some(&plan),
                &mut self.rng.borrow_mut(),
            );
            self.tenants.borrow_mut().set_configured(&current.tenants);
            *plan = Rc::new(next);
        }
        Rc::clone(&plan)
    }

    pub(crate) fn random(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }

    /// A write buffer.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        let spare = self.buffers.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Keeps a write buffer for the next attempt, if it is of a usual size.
    pub(crate) fn put_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < BUFFERS_MAX
            && (BUFFER_BYTES..=4 * BUFFER_BYTES).contains(&buffer.capacity())
        {
            buffers.push(buffer);
        }
    }

    /// No new work after what has begun: connections are told so.
    pub(crate) fn begin_drain(&self) {
        if self.draining_since.get().is_none() {
            self.draining_since.set(Some(self.clock.now()));
        }
        self.drain.notify_waiters();
    }

    pub(crate) fn draining_since(&self) -> Option<Instant> {
        self.draining_since.get()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining_since.get().is_some()
    }
}

impl ThreadPlan {
    fn new(
        plan: Arc<Plan>,
        thread: usize,
        previous: Option<&Self>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let guard = |service: &ServicePlan| {
            let shared = &service.shared.guard;
            let kept = previous
                .into_iter()
                .flat_map(ThreadPlan::all_guards)
                .find(|guard| Arc::ptr_eq(&guard.shared, shared));
            match kept {
                Some(guard) => {
                    guard.set_parameters(&service.guard);
                    Rc::clone(guard)
                }
                None => Rc::new(ThreadGuard::new(shared, thread, &service.guard)),
            }
        };
        let guards: Vec<_> = plan.services.iter().map(guard).collect();
        let retired = previous
            .into_iter()
            .flat_map(ThreadPlan::all_guards)
            .filter(|guard| guard.has_waiters() && !guards.iter().any(|it| Rc::ptr_eq(it, guard)))
            .cloned()
            .collect();
        let balancers = plan
            .services
            .iter()
            .map(|service| {
                let balancer = service.cluster.balancer(rng.next_u64());
                heeding(service, balancer)
            })
            .collect();
        let canaries = plan.services.iter().map(|service| {
            let rollout = service.rollout.as_deref()?;
            let group = service.cluster.groups.get(rollout.group)?;
            Some(heeding(service, group.balancer(rng.next_u64())))
        });
        let canaries = canaries.collect();
        Self {
            plan,
            balancers,
            canaries,
            guards,
            retired,
        }
    }

    /// Where the next attempt of a call goes. One of the version that its service is moved to goes to an endpoint of that
    /// which is up and was not tried, and if there is none to the service itself: whoever asks has not asked for less.
    pub(crate) fn choose(
        &self,
        service: ServiceId,
        variant: Option<Variant>,
        now: Instant,
        key: Option<u64>,
        tried: &[EndpointId],
    ) -> Option<Choice> {
        let plan = self.plan.service(service)?;
        if variant.is_some_and(|it| it.arm == Arm::Canary)
            && let Some(endpoint) = self.choose_canary(service, now, key, tried)
        {
            let panic = false;
            return Some(Choice { endpoint, panic });
        }
        let mut balancer = self.balancers.get(service.index())?.borrow_mut();
        balancer.choose(now, plan.cluster.own(), key, tried)
    }

    /// An endpoint of the version that the service is moved to, if one is up that was not tried.
    pub(crate) fn choose_canary(
        &self,
        service: ServiceId,
        now: Instant,
        key: Option<u64>,
        tried: &[EndpointId],
    ) -> Option<EndpointId> {
        let (balancer, group) = self.canary(service)?;
        let from = group.range.start;
        let tried: SmallVec<[EndpointId; 8]> =
            tried.iter().filter_map(|it| moved(*it, from)).collect();
        let endpoints = self.plan.service(service)?.cluster.of(group);
        let chosen = balancer
            .borrow_mut()
            .choose_up(now, endpoints, key, &tried)?;
        u32::try_from(from + chosen.index()).ok().map(EndpointId)
    }

    /// Which arm an endpoint is of, while its service is rolled out.
    pub(crate) fn arm_at(&self, service: ServiceId, endpoint: EndpointId) -> Option<Arm> {
        let (_, group) = self.canary(service)?;
        Some(match group.range.contains(&endpoint.index()) {
            true => Arm::Canary,
            false => Arm::Stable,
        })
    }

    fn canary(&self, service: ServiceId) -> Option<(&RefCell<Balancer>, &Group)> {
        let balancer = self.canaries.get(service.index())?.as_ref()?;
        let plan = self.plan.service(service)?;
        let group = plan.cluster.groups.get(plan.rollout.as_ref()?.group)?;
        Some((balancer, group))
    }

    /// What chose an endpoint, and what it calls it.
    fn chooser(
        &self,
        service: ServiceId,
        endpoint: EndpointId,
    ) -> Option<(&RefCell<Balancer>, EndpointId)> {
        if let Some((balancer, group)) = self.canary(service)
            && group.range.contains(&endpoint.index())
        {
            return Some((balancer, moved(endpoint, group.range.start)?));
        }
        Some((self.balancers.get(service.index())?, endpoint))
    }

    /// Where somebody may wait.
    pub(crate) fn all_guards(&self) -> impl Iterator<Item = &Rc<ThreadGuard>> {
        self.guards.iter().chain(&self.retired)
    }
}

fn heeding(service: &ServicePlan, balancer: Balancer) -> RefCell<Balancer> {
    RefCell::new(if service.enforces {
        balancer
    } else {
        balancer.without_health()
    })
}

/// An endpoint by its place from `start` on.
fn moved(endpoint: EndpointId, start: usize) -> Option<EndpointId> {
    let place = endpoint.index().checked_sub(start)?;
    u32::try_from(place).ok().map(EndpointId)
}

/// Applies what a call does.
#[derive(Debug)]
pub(crate) struct ThreadEffects {
    pub(crate) thread: Rc<Thread>,
    pub(crate) plan: Rc<ThreadPlan>,
    pub(crate) bytes: Bytes,
    /// Whether the request would change something.
    writes: bool,
    /// Nobody asks: what is stored is renewed. It is no request, and in no record.
    pub(crate) renews: bool,
    /// It is a copy of a request, which is in no record but its rollout's.
    pub(crate) mirrors: bool,
    /// The call goes to another service in place of one that is counted by its route.
    pub(crate) stands_in: bool,
    /// Attempts in flight, by endpoint, with its generation when they began: what comes of an attempt from before a
    /// change says nothing. Two at most, and never at the same endpoint.
    generations: [Cell<Option<(EndpointId, u32)>>; 2],
    /// The first attempt, where the service is rolled out.
    first: Cell<Option<First>>,
    /// Who asks, where the service is rolled out.
    pub(crate) client: Cell<Option<IpAddr>>,
    /// Attempts that did not become the answer, for whoever asks what became of the request.
    pub(crate) failed: RefCell<Vec<FailedAttempt>>,
}

/// An attempt that did not become the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) endpoint: EndpointId,
    pub(crate) end: AttemptEnd,
}

/// Failed attempts that are remembered of a request.
const FAILED_MAX: usize = 8;

impl ThreadEffects {
    pub(crate) fn new(thread: &Rc<Thread>, plan: &Rc<ThreadPlan>) -> Self {
        Self {
            thread: Rc::clone(thread),
            plan: Rc::clone(plan),
            bytes: Bytes::default(),
            writes: false,
            renews: false,
            mirrors: false,
            stands_in: false,
            generations: [Cell::new(None), Cell::new(None)],
            first: Cell::new(None),
            client: Cell::new(None),
            failed: RefCell::default(),
        }
    }

    /// Of the request with this head.
    pub(crate) fn of(mut self, head: &RequestHead) -> Self {
        self.writes = !is_safe(head);
        self
    }

    /// Of a call that goes to another service in place of this one's.
    pub(crate) fn stand_in(&self) -> Self {
        Self {
            stands_in: true,
            ..Self::new(&self.thread, &self.plan)
        }
    }

    /// The generation that the attempt at this endpoint began in; it is over.
    fn take_generation(&self, id: EndpointId) -> u32 {
        let taken = self
            .generations
            .iter()
            .find(|cell| cell.get().is_some_and(|(at, _)| at == id))
            .and_then(Cell::take);
        never!(taken.is_none());
        taken.map_or(0, |(_, generation)| generation)
    }

    /// Counts a call for the version that it was sent to.
    fn judge(&self, rollout: &RolloutPlan, settlement: &Settlement) {
        let (Some(variant), Some(first)) = (settlement.variant, self.first.get()) else {
            return;
        };
        let (counters, thread) = (&rollout.shared.counters, self.thread.index);
        let service = settlement.service;
        // Both variants of a flag are at the same endpoints.
        let served = match rollout.is_flag {
            true => Some(variant.arm),
            false => service.and_then(|service| self.plan.arm_at(service, first.endpoint)),
        };
        if !variant.judged {
            counters.count_chosen(thread);
        } else if served != Some(variant.arm) {
            counters.count_instead(thread);
        } else if let Some(came) = first.came(settlement) {
            let route = settlement.route.and_then(|id| self.plan.plan.route(id));
            let client = self.client.get();
            counters.count(
                thread,
                &Judged {
                    arm: variant.arm,
                    place: route.map_or(POOLED, |route| route.place),
                    came,
                    objective: rollout.objective,
                    client: client.map_or(0, client_key),
                },
            );
        }
    }

    fn guard(&self, service: ServiceId) -> Option<&Rc<ThreadGuard>> {
        self.plan.guards.get(service.index())
    }

    fn endpoint(&self, service: ServiceId, endpoint: EndpointId) -> Option<&Arc<Endpoint>> {
        let service = self.plan.plan.service(service)?;
        service.cluster.endpoints.get(endpoint.index())
    }
}

impl Effects for ThreadEffects {
    fn now(&self) -> Instant {
        self.thread.clock.now()
    }

    fn ask(&self, service: ServiceId, request: &Arriving) -> Asked {
        let Some(guard) = self.plan.guards.get(service.index()) else {
            return Asked::Go;
        };
        if self.thread.shared.protection.sheds(request.class) {
            return Asked::Refuse(Cause::Overloaded);
        }
        guard.ask(&self.thread, self.thread.clock.now(), request)
    }

    fn leave_queue(&self, service: ServiceId, ticket: Ticket, unused: &Finished) {
        if let Some(guard) = self.plan.guards.get(service.index()) {
            guard.leave(&self.thread, ticket, unused);
        }
    }

    fn return_permit(&self, service: ServiceId, finished: &Finished) {
        if let Some(guard) = self.plan.guards.get(service.index()) {
            guard.finish(&self.thread, finished);
        }
    }

    fn rest_permit(&self, service: ServiceId, group: u8, rests: bool) {
        if let Some(guard) = self.guard(service) {
            guard.rest(&self.thread, group, rests);
        }
    }

    fn lend_permit(&self, service: ServiceId) {
        if let Some(guard) = self.guard(service) {
            guard.lend(&self.thread);
        }
    }

    fn take_again(&self, service: ServiceId, group: u8) {
        if let Some(guard) = self.guard(service) {
            guard.take_again(&self.thread, group);
        }
    }

    fn begin_attempts(&self, service: ServiceId) {
        if let Some(guard) = self.guard(service).filter(|_| !self.mirrors) {
            guard.on_first_attempt();
        }
    }

    fn hedge(&self, service: ServiceId, question: &HedgeQuestion, unused: &Finished) -> bool {
        self.guard(service)
            .is_some_and(|guard| guard.hedge(&self.thread, question, unused))
    }

    fn hedge_won(&self, service: ServiceId) {
        if let Some(guard) = self.guard(service) {
            guard.on_hedge_won();
        }
    }

    fn observe_first(&self, service: ServiceId, latency: Duration) {
        if let Some(guard) = self.guard(service) {
            guard.observe_first(latency);
        }
    }

    fn retry(&self, service: ServiceId, question: &Question) -> RetryDecision {
        match self.plan.guards.get(service.index()) {
            Some(guard) => guard.retry(question, self.thread.random()),
            None => RetryDecision::GiveUp(WhyNot::NotConfigured),
        }
    }

    fn start_attempt(&self, service: ServiceId, id: EndpointId) {
        if let Some(endpoint) = self.endpoint(service, id) {
            if self.client.get().is_some() && self.first.get().is_none() {
                let (endpoint, end) = (id, None);
                self.first.set(Some(First { endpoint, end }));
            }
            let generation = endpoint.shared.begin();
            let free = self.generations.iter().find(|cell| cell.get().is_none());
            match free {
                Some(cell) => cell.set(Some((id, generation))),
                None => _ = never!(free.is_none()),
            }
        }
    }

    fn rest_attempt(&self, service: ServiceId, id: EndpointId, rests: bool) {
        if let Some(endpoint) = self.endpoint(service, id) {
            endpoint.shared.rest(rests);
        }
    }

    fn end_attempt(&self, service: ServiceId, id: EndpointId, end: AttemptEnd) {
        let now = self.thread.clock.now();
        let Some(endpoint) = self.endpoint(service, id) else {
            return;
        };
        endpoint.shared.end();
        if let Some(first) = self.first.get()
            && first.endpoint == id
            && first.end.is_none()
            && end != AttemptEnd::Stale
        {
            let end = Some(end);
            self.first.set(Some(First { end, ..first }));
        }
        let failed = match end {
            AttemptEnd::Answered { status, .. } => status >= 500,
            AttemptEnd::Cancelled => false,
            AttemptEnd::ConnectFailed | AttemptEnd::Stale | AttemptEnd::Failed { .. } => true,
        };
        let mut attempts = self.failed.borrow_mut();
        if failed && attempts.len() < FAILED_MAX {
            let endpoint = id;
            attempts.push(FailedAttempt { endpoint, end });
        }
        let generation = self.take_generation(id);
        if let Some((balancer, id)) = self.plan.chooser(service, id) {
            let mut balancer = balancer.borrow_mut();
            report_attempt_end(now, id, &endpoint.shared, &mut balancer, generation, end);
        }
    }

    fn abandoned(&self) -> Cause {
        if self.thread.cut.get() {
            Cause::Draining
        } else {
            Cause::ClientGone
        }
    }

    fn settle(&self, settlement: &Settlement) {
        if self.mirrors {
            let service = settlement.service.and_then(|id| self.plan.plan.service(id));
            if let Some(rollout) = service.and_then(|service| service.rollout.as_deref()) {
                self.judge(rollout, settlement);
            }
            return;
        }
        let guard = settlement
            .service
            .and_then(|id| self.plan.guards.get(id.index()));
        // What another one's fetch came to was counted there.
        if let Some(guard) = guard.filter(|_| settlement.attempts > 0) {
            guard.on_settled(settlement.class, settlement.cause_at_the_service());
        }
        if self.renews {
            return;
        }
        let (plan, thread) = (&self.plan.plan, self.thread.index);
        let route = settlement.route.and_then(|route| plan.route(route));
        let record = Record {
            class: settlement.class,
            cause: settlement.cause,
            latency: settlement.latency(),
            bytes_in: self.bytes.up.get(),
            bytes_out: self.bytes.down.get(),
            // Which objectives count a route is known of its own service only.
            objectives: route
                .filter(|_| !self.stands_in)
                .map_or(Record::ALL, |route| route.objectives),
        };
        match route {
            _ if self.stands_in => (),
            Some(route) => route.series.record(thread, &record),
            None => plan.unrouted.record(thread, &record),
        }
        let Some(service) = settlement.service.and_then(|service| plan.service(service)) else {
            return;
        };
        service.series.record(thread, &record);
        if let Some(rollout) = service.rollout.as_deref().filter(|_| !self.stands_in) {
            self.judge(rollout, settlement);
        }
        if self.writes && !REFUSALS.contains(&settlement.cause) {
            service.shared.guard.counters.add_write(settlement.class);
        }
        let endpoint = settlement
            .endpoint
            .and_then(|id| service.endpoint_series.get(id.index()));
        if let Some(endpoint) = endpoint {
            endpoint.record(thread, &record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::counted_address;

    #[track_caller]
    fn assert_counted(client: &str, counted: &str) {
        let address = counted_address(client.parse().unwrap());
        assert_eq!(address.to_string(), counted, "{client}");
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        assert_counted("192.0.2.1", "192.0.2.1");
        assert_counted("::ffff:192.0.2.1", "192.0.2.1");
        assert_counted("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        assert_counted("2001:db8:1:2:ffff::1", "2001:db8:1:2::");
        assert_counted("2001:db8:1:3::1", "2001:db8:1:3::");
    }
}
