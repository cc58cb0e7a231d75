//! A gateway's views of a service's endpoints.
//!
//! A thousand gateways before ten thousand endpoints are ten million views, of which few have something to do at any
//! time. So a view is made when it is first used, and a tick looks only at those where something may change. What
//! comes of it is the same as if each tick looked at all. Invariant: a view that is asleep is of an endpoint that is
//! up, not suspect, and has nothing in flight.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use plimsoll_core::Instant;
use plimsoll_policy::{
    Candidate, DownCause, EndpointControl, EndpointParameters, EndpointShared, Look, Peer,
    PeerControl, Verdict, parked,
};

/// What threads see of an endpoint that is asleep. Nothing is counted here.
static IDLE: EndpointShared = EndpointShared::new();

/// Never, for [`Watch::due`].
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The half that a gateway's threads share.
#[derive(Debug)]
pub(super) struct Views {
    views: Box<[View]>,
    /// Those that were asleep until the tick that comes.
    woken: RefCell<Vec<u32>>,
    /// Whether one is half-open.
    half_open: Cell<bool>,
}

/// Of one endpoint.
#[derive(Debug)]
pub(super) struct View {
    asleep: Cell<bool>,
    shared: OnceCell<Rc<EndpointShared>>,
}

impl Candidate for View {
    fn shared(&self) -> &EndpointShared {
        match self.shared.get() {
            Some(shared) if !self.asleep.get() => shared,
            _ => &IDLE,
        }
    }
}

impl Views {
    fn new(endpoints: usize) -> Self {
        let view = |_| View {
            asleep: Cell::new(true),
            shared: OnceCell::new(),
        };
        Self {
            views: (0..endpoints).map(view).collect(),
            woken: RefCell::default(),
            half_open: Cell::new(false),
        }
    }

    /// All of them, to choose from.
    pub(super) fn all(&self) -> &[View] {
        &self.views
    }

    /// Whether an endpoint is half-open.
    pub(super) fn half_open(&self) -> bool {
        self.half_open.get()
    }

    /// That of an endpoint at which an attempt is in flight.
    pub(super) fn get(&self, endpoint: usize) -> Option<&EndpointShared> {
        Some(self.views.get(endpoint)?.shared())
    }

    /// An attempt is begun: counts it, and gives what it is told by.
    pub(super) fn begin(&self, endpoint: usize) -> Option<u32> {
        let view = self.views.get(endpoint)?;
        if view.asleep.replace(false) {
            self.woken.borrow_mut().push(endpoint as u32);
        }
        Some(view.shared.get_or_init(Rc::default).begin())
    }
}

/// The control thread's half.
#[derive(Debug)]
pub(super) struct Watch {
    parameters: EndpointParameters,
    /// Of all endpoints.
    seeds: Vec<u64>,
    peers: PeerControl,
    /// The views that were ever used, by endpoint.
    #[expect(
        clippy::vec_box,
        reason = "they come in at any place: moves are of pointers, not of kilobytes"
    )]
    watched: Vec<Box<Watched>>,
    /// When a tick must look at each of these.
    due: Vec<Instant>,
    /// At which of them a tick looks: empty between ticks, kept for its room.
    awake: Vec<usize>,
    /// Those that the last tick left suspect.
    suspects: Vec<Rc<EndpointShared>>,
    views: Rc<Views>,
}

#[derive(Debug)]
struct Watched {
    endpoint: u32,
    control: EndpointControl,
    shared: Rc<EndpointShared>,
}

impl Peer for Box<Watched> {
    fn parts(&mut self) -> (&mut EndpointControl, &EndpointShared) {
        let Watched {
            control, shared, ..
        } = &mut **self;
        (control, shared)
    }
}

impl Watch {
    /// Of as many endpoints as there are seeds.
    pub(super) fn new(parameters: EndpointParameters, seeds: Vec<u64>) -> Self {
        Self {
            parameters,
            peers: PeerControl::new(Instant::ORIGIN),
            watched: Vec::new(),
            due: Vec::new(),
            awake: Vec::new(),
            suspects: Vec::new(),
            views: Rc::new(Views::new(seeds.len())),
            seeds,
        }
    }

    /// The other half.
    pub(super) fn views(&self) -> &Rc<Views> {
        &self.views
    }

    /// Ticks. `connects` says whether an endpoint accepts connections.
    pub(super) fn tick(&mut self, now: Instant, connects: impl Fn(usize) -> bool) {
        self.wake();
        let due = self.due.iter().enumerate();
        self.awake
            .extend(due.filter_map(|(index, at)| (*at <= now).then_some(index)));
        let never_used = self.seeds.len() - self.watched.len();
        let mut transitions = Vec::new();
        self.peers.tick_some(
            now,
            &mut self.watched,
            &self.awake,
            never_used,
            &mut transitions,
        );
        self.suspects.clear();
        let mut half_open = false;
        for index in self.awake.drain(..) {
            let (Some(watched), Some(due)) = (self.watched.get_mut(index), self.due.get_mut(index))
            else {
                continue;
            };
            let endpoint = watched.endpoint as usize;
            if watched.control.take_probe(now) {
                watched.control.on_probe(now, connects(endpoint));
            }
            half_open |= watched.control.verdict() == Verdict::HalfOpen;
            if watched.shared.is_suspect() {
                self.suspects.push(Rc::clone(&watched.shared));
            }
            let look = self.peers.next_look(now, watched);
            *due = match look {
                Look::EachTick => Instant::ORIGIN,
                Look::At(at) => at,
                Look::OnNews => NEVER,
            };
            if let Some(view) = self.views.views.get(endpoint) {
                view.asleep.set(look != Look::EachTick);
            }
        }
        self.views.half_open.set(half_open);
        if !transitions.is_empty() {
            self.check();
        }
    }

    /// Of the endpoints that facts do not hold down, judgement holds out at most half.
    fn check(&self) {
        let count = |causes: [DownCause; 2]| {
            let out = self
                .verdicts()
                .filter_map(|(_, verdict)| verdict.cause())
                .filter(|cause| causes.contains(cause));
            out.count()
        };
        let able = self.seeds.len() - count([DownCause::Checks, DownCause::Connect]);
        assert!(
            count([DownCause::Breaker, DownCause::Ejection]) <= able / 2,
            "judgement holds out more than half of the endpoints"
        );
    }

    /// Attempts that hang at endpoints that have fallen silent.
    pub(super) fn parked(&self) -> u32 {
        parked(self.suspects.iter().map(|shared| &**shared))
    }

    /// What is in force for those that were ever used.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (usize, Verdict)> {
        let watched = self.watched.iter();
        watched.map(|it| (it.endpoint as usize, it.control.verdict()))
    }

    /// Attempts in flight.
    pub(super) fn in_flight(&self) -> u64 {
        let used = self.views.views.iter().filter_map(|it| it.shared.get());
        used.map(|it| u64::from(it.in_flight())).sum()
    }

    /// The next tick looks at those that were used.
    fn wake(&mut self) {
        for endpoint in self.views.woken.borrow_mut().drain(..) {
            let place = self
                .watched
                .binary_search_by_key(&endpoint, |it| it.endpoint);
            let place = place.unwrap_or_else(|place| {
                let endpoint = endpoint as usize;
                let view = self.views.views.get(endpoint);
                let shared = view.map(|view| Rc::clone(view.shared.get_or_init(Rc::default)));
                let seed = self.seeds.get(endpoint).copied();
                let watched = Watched {
                    endpoint: endpoint as u32,
                    control: EndpointControl::new(
                        self.parameters,
                        Instant::ORIGIN,
                        false,
                        seed.unwrap_or_default(),
                    ),
                    shared: shared.unwrap_or_default(),
                };
                self.watched.insert(place, Box::new(watched));
                self.due.insert(place, NEVER);
                self.peers.on_insert(place);
                place
            });
            if let Some(due) = self.due.get_mut(place) {
                *due = Instant::ORIGIN;
            }
        }
    }
}
