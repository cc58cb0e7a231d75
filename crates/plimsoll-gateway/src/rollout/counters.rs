//! What came of requests at the two arms of a rollout: counted by each thread for itself, added up elsewhere.
//!
//! Of a request counts what came of its first attempt, as far as that was the service's doing. Routes are kept apart, up to
//! a bound; the others are counted together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plimsoll_policy::rollout::split::Arm;
use plimsoll_policy::rollout::{ArmCounts, Arms, ROUTES_MAX, RUNGS};

use super::first::Came;

/// Where the routes are counted that are not kept apart.
pub(crate) const POOLED: u16 = ROUTES_MAX as u16;
/// Clients with bad answers of the version that are told apart: a few are enough to know that it is not one alone.
const CLIENTS_MAX: usize = 64;
/// Requests, bad, slow, and slower than each rung.
const FIGURES: usize = 3 + RUNGS;

/// The two arms of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteArms {
    /// Its name.
    pub route: String,
    /// What came of its requests.
    pub arms: Arms,
}

/// What came of the requests of a service that is rolled out. Only grows, as long as the process lives and the rollout is in
/// the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutCounts {
    /// By route: always in the same order, new ones at the end.
    pub routes: Vec<RouteArms>,
    /// Of all routes beyond the first [`ROUTES_MAX`].
    pub rest: Arms,
    /// How many clients got bad answers of the version, up to 64.
    pub bad_clients: u32,
    /// Requests for the version that the service itself served, since no endpoint of the version was up.
    pub instead: u64,
    /// Requests that chose the version by themselves.
    pub chosen: u64,
    /// Copies that were sent to the version.
    pub copies: u64,
    /// Copies that were not sent: too many were in flight, or the body was too long.
    pub left_out: u64,
}

impl RolloutCounts {
    /// For [`plimsoll_policy::rollout::Observed::routes`]: the rest first, so that what is where stays so.
    pub fn arms(&self) -> Vec<Arms> {
        let routes = self.routes.iter().map(|route| route.arms);
        std::iter::once(self.rest).chain(routes).collect()
    }

    /// All routes together.
    pub fn total(&self) -> Arms {
        self.arms().iter().fold(Arms::default(), |mut all, arms| {
            all.add(arms);
            all
        })
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) arm: Arm,
    /// The route's place, see [`Counters::place`].
    pub(crate) place: u16,
    pub(crate) came: Came,
    pub(crate) objective: Option<Duration>,
    /// Who got it.
    pub(crate) client: u64,
}

#[derive(Debug, Default)]
struct Figures([AtomicU64; FIGURES]);

/// Of one thread. On lines of its own, so that threads do not take them from each other.
#[derive(Debug)]
#[repr(align(128))]
struct OfThread {
    /// By the route's place, then by arm.
    routes: Box<[[Figures; 2]]>,
    instead: AtomicU64,
    chosen: AtomicU64,
    copies: AtomicU64,
    left_out: AtomicU64,
}

/// The counters of one rollout.
#[derive(Debug)]
pub(crate) struct Counters {
    threads: Box<[OfThread]>,
    /// The routes by their places. They stay, whatever the configuration becomes: counters only grow.
    places: Mutex<Vec<String>>,
    /// In nanoseconds.
    edges: [AtomicU64; RUNGS],
    /// Hashes of clients; zero = none.
    clients: Box<[AtomicU64]>,
}

impl Counters {
    pub(super) fn new(threads: usize) -> Self {
        let of_thread = |_| OfThread {
            routes: (0..=ROUTES_MAX).map(|_| Default::default()).collect(),
            instead: AtomicU64::new(0),
            chosen: AtomicU64::new(0),
            copies: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        };
        Self {
            threads: (0..threads).map(of_thread).collect(),
            places: Mutex::default(),
            edges: std::array::from_fn(|_| AtomicU64::new(u64::MAX)),
            clients: (0..CLIENTS_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(super) fn set_edges(&self, edges: &[Duration]) {
        let edges = edges.iter().map(|edge| nanos(*edge));
        // Nothing is slower than what nobody set.
        for (own, edge) in self
            .edges
            .iter()
            .zip(edges.chain(std::iter::repeat(u64::MAX)))
        {
            own.store(edge, Ordering::Relaxed);
        }
    }

    /// Where a route is counted: the same place as long as this lives.
    pub(crate) fn place(&self, route: &str) -> u16 {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.iter().position(|it| it == route);
        let place = place.unwrap_or_else(|| {
            if places.len() < ROUTES_MAX {
                places.push(route.to_owned());
                places.len() - 1
            } else {
                ROUTES_MAX
            }
        });
        u16::try_from(place).unwrap_or(POOLED)
    }

    /// Counts a request. Only a thread itself counts as it.
    pub(crate) fn count(&self, thread: usize, judged: &Judged) {
        let routes = self.threads.get(thread).map(|it| &it.routes);
        let route = routes.and_then(|it| it.get(usize::from(judged.place)));
        let figures = route.and_then(|arms| arms.get(judged.arm as usize));
        let Some(Figures([requests, bad, slow, slower @ ..])) = figures else {
            return;
        };
        add(requests);
        let latency = match judged.came {
            Came::Good(latency) => latency,
            Came::Bad => {
                add(bad);
                if judged.arm == Arm::Canary {
                    self.note_client(judged.client);
                }
                return;
            }
        };
        if judged.objective.is_some_and(|below| latency > below) {
            add(slow);
        }
        let latency = nanos(latency);
        for (count, edge) in slower.iter().zip(&self.edges) {
            if latency > edge.load(Ordering::Relaxed) {
                add(count);
            }
        }
    }

    /// The service itself served a request for the version.
    pub(crate) fn count_instead(&self, thread: usize) {
        if let Some(own) = self.threads.get(thread) {
            add(&own.instead);
        }
    }

    /// A request chose the version by itself.
    pub(crate) fn count_chosen(&self, thread: usize) {
        if let Some(own) = self.threads.get(thread) {
            add(&own.chosen);
        }
    }

    /// A copy of a request was sent.
    pub(crate) fn count_copy(&self, thread: usize) {
        if let Some(own) = self.threads.get(thread) {
            add(&own.copies);
        }
    }

    /// A copy of a request was not sent.
    pub(crate) fn count_left_out(&self, thread: usize) {
        if let Some(own) = self.threads.get(thread) {
            add(&own.left_out);
        }
    }

    /// Clients with bad answers are told apart anew.
    pub(super) fn forget_clients(&self) {
        for slot in &self.clients {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// Adds a client to those with bad answers, if there is room.
    fn note_client(&self, client: u64) {
        let client = client.max(1);
        for slot in &self.clients {
            let known = slot.load(Ordering::Relaxed);
            if known == client {
                return;
            }
            if known == 0 {
                let taken = slot.compare_exchange(0, client, Ordering::Relaxed, Ordering::Relaxed);
                match taken {
                    Ok(_) => return,
                    // Another thread was first, perhaps with the same client.
                    Err(now) if now == client => return,
                    Err(_) => (),
                }
            }
        }
    }

    /// Over all threads.
    pub(super) fn read(&self) -> RolloutCounts {
        let names = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.clone();
        let arm = |place: usize, arm: Arm| {
            let mut sum = ArmCounts::default();
            for thread in &self.threads {
                if let Some(figures) = thread.routes.get(place).and_then(|it| it.get(arm as usize))
                {
                    sum.add(&figures.read());
                }
            }
            sum
        };
        let arms = |place| Arms {
            stable: arm(place, Arm::Stable),
            canary: arm(place, Arm::Canary),
        };
        let routes = names
            .into_iter()
            .enumerate()
            .map(|(place, route)| RouteArms {
                route,
                arms: arms(place),
            });
        let sum = |of: fn(&OfThread) -> &AtomicU64| {
            let threads = self.threads.iter();
            threads.map(|it| of(it).load(Ordering::Relaxed)).sum()
        };
        let clients = self.clients.iter();
        let clients = clients.filter(|it| it.load(Ordering::Relaxed) != 0);
        RolloutCounts {
            routes: routes.collect(),
            rest: arms(ROUTES_MAX),
            bad_clients: u32::try_from(clients.count()).unwrap_or(u32::MAX),
            instead: sum(|it| &it.instead),
            chosen: sum(|it| &it.chosen),
            copies: sum(|it| &it.copies),
            left_out: sum(|it| &it.left_out),
        }
    }
}

impl Figures {
    fn read(&self) -> ArmCounts {
        let [requests, bad, slow, slower @ ..] = &self.0;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // What is a part of the requests is read before them, so that it never is more.
        let (bad, slow, slower) = (load(bad), load(slow), slower.each_ref().map(load));
        ArmCounts {
            requests: load(requests),
            bad,
            slow,
            slower,
        }
    }
}

/// One writer each.
fn add(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(arm: Arm, bad: bool, millis: u64, client: u64) -> Judged {
        Judged {
            arm,
            place: 0,
            came: match bad {
                true => Came::Bad,
                false => Came::Good(Duration::from_millis(millis)),
            },
            objective: Some(Duration::from_millis(250)),
            client,
        }
    }

    #[test]
    fn arms_threads_and_routes_are_kept_apart_and_added_up() {
        let counters = Counters::new(2);
        assert_eq!(counters.place("a"), 0);
        assert_eq!(counters.place("b"), 1);
        counters.set_edges(&[10, 20, 50, 100, 300].map(Duration::from_millis));
        counters.count(0, &judged(Arm::Stable, false, 60, 1));
        counters.count(1, &judged(Arm::Stable, false, 400, 1));
        counters.count(1, &judged(Arm::Canary, true, 400, 1));
        let other = Judged {
            place: counters.place("b"),
            ..judged(Arm::Canary, false, 10, 1)
        };
        counters.count(0, &other);
        let counts = counters.read();
        let [a, b] = &counts.routes[..] else {
            panic!("{counts:?}");
        };
        let stable = ArmCounts {
            requests: 2,
            bad: 0,
            slow: 1,
            slower: [2, 2, 2, 1, 1, 0],
        };
        assert_eq!((a.route.as_str(), a.arms.stable), ("a", stable));
        // A failure is no measure of how fast good answers are.
        let canary = ArmCounts {
            requests: 1,
            bad: 1,
            ..ArmCounts::default()
        };
        assert_eq!(a.arms.canary, canary);
        assert_eq!((b.arms.stable.requests, b.arms.canary.requests), (0, 1));
        assert_eq!(b.arms.canary.slower, [0; RUNGS]);
        assert_eq!(counts.total().canary.requests, 2);
        assert_eq!(counts.arms(), [Arms::default(), a.arms, b.arms]);
    }

    #[test]
    fn routes_beyond_the_bound_are_counted_together() {
        let counters = Counters::new(1);
        for route in 0..ROUTES_MAX + 5 {
            let place = counters.place(&format!("route-{route}"));
            let judged = Judged {
                place,
                ..judged(Arm::Stable, false, 1, 1)
            };
            counters.count(0, &judged);
        }
        assert_eq!(counters.place("route-3"), 3, "a place stays");
        let counts = counters.read();
        assert_eq!(counts.routes.len(), ROUTES_MAX);
        assert_eq!(
            (counts.rest.stable.requests, counts.arms().len()),
            (5, ROUTES_MAX + 1)
        );
    }

    #[test]
    fn clients_of_the_version_with_bad_answers_are_told_apart_up_to_a_bound() {
        let counters = Counters::new(1);
        for client in [7, 7, 0, 9, 0] {
            counters.count(0, &judged(Arm::Canary, true, 1, client));
        }
        counters.count(0, &judged(Arm::Stable, true, 1, 100));
        counters.count(0, &judged(Arm::Canary, false, 1, 101));
        assert_eq!(counters.read().bad_clients, 3);
        for client in 1_000..1_200 {
            counters.count(0, &judged(Arm::Canary, true, 1, client));
        }
        assert_eq!(counters.read().bad_clients, 64);
        counters.forget_clients();
        assert_eq!(counters.read().bad_clients, 0);
    }
}
