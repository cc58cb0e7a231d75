//! One arm's shop: endpoints on ports of their own, whose workers are timers.
//!
//! A request waits first come, first served for a slot of its endpoint, as before a pool of workers. Work
//! that has begun goes on when its client is gone; work that has not is dropped.

mod endpoint;
mod http1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::catalogue::{
    CATALOGUE, RECOMMENDATIONS, RECOMMENDATIONS_TIME, SERVICES, WEAK_FACTOR, parse_path, work,
};
use crate::clock::Clock;
use crate::deploy;
use crate::message::{Fault, ServiceState, ShopNews, ShopOrder, ShopState, orders, tell};
use endpoint::Endpoint;

/// What all endpoints share.
pub(crate) struct Shop {
    clock: Clock,
    seed: u64,
    /// What a slow dependency adds, in microseconds.
    slow: AtomicU64,
    weak: AtomicBool,
    arrived: AtomicU64,
    dropped: AtomicU64,
}

/// How often a shop says how it is.
const STATE_INTERVAL: Duration = Duration::from_millis(250);

/// Serves until standard input ends. With a `spare`, the catalogue has an endpoint more than it serves from, which could take all.
pub(crate) async fn run(seed: u64, spare: bool) -> Result<(), String> {
    let shop = Arc::new(Shop {
        clock: Clock::start(),
        seed,
        slow: AtomicU64::new(0),
        weak: AtomicBool::new(false),
        arrived: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    let mut orders = orders::<ShopOrder>();
    let mut services: Vec<Vec<Handle>> = Vec::new();
    for (index, model) in SERVICES.iter().enumerate() {
        let mut handles = Vec::new();
        let spare = (spare && index == CATALOGUE).then_some(model.endpoints * model.slots);
        let slots = std::iter::repeat_n(model.slots, model.endpoints).chain(spare);
        for slots in slots {
            let (endpoint, listener) =
                Endpoint::listen(index, slots).map_err(|error| format!("listening: {error}"))?;
            let endpoint = Arc::new(endpoint);
            let (send, receive) = tokio::sync::mpsc::unbounded_channel();
            tokio::spawn(endpoint::run(
                Arc::clone(&shop),
                Arc::clone(&endpoint),
                listener,
                receive,
            ));
            handles.push(Handle { endpoint, send });
        }
        services.push(handles);
    }
    let ports = |handles: &Vec<Handle>| {
        handles
            .iter()
            .map(|handle| handle.endpoint.port())
            .collect()
    };
    tell(&ShopNews::Ready {
        ports: services.iter().map(ports).collect(),
    });

    let mut tick = tokio::time::interval(STATE_INTERVAL);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(ShopOrder::Slow { by }) => {
                    shop.slow.store(by.as_micros() as u64, Ordering::Relaxed);
                }
                Some(ShopOrder::Weak { on }) => shop.weak.store(on, Ordering::Relaxed),
                Some(ShopOrder::Endpoint { service, endpoint, fault }) => {
                    send(&services, service, endpoint, fault);
                }
                None => return Ok(()),
            },
            _ = tick.tick() => tell(&ShopNews::State(shop.state(&services))),
        }
    }
}

struct Handle {
    endpoint: Arc<Endpoint>,
    send: UnboundedSender<Option<Fault>>,
}

fn send(services: &[Vec<Handle>], service: usize, endpoint: usize, fault: Option<Fault>) {
    if let Some(handle) = services
        .get(service)
        .and_then(|handles| handles.get(endpoint))
    {
        // The endpoint's task ends with the process only.
        let _ = handle.send.send(fault);
    }
}

impl Shop {
    /// How long the request for `path` holds its slot; `None` where nothing is at that path.
    fn holds(&self, service: usize, path: &str) -> Option<Duration> {
        let (named, class, number) = parse_path(path)?;
        let model = SERVICES.get(named).filter(|_| named == service)?;
        let route = model.routes.get(class.index())?;
        let slow = Duration::from_micros(self.slow.load(Ordering::Relaxed));
        let waits = match (route.asks_recommendations, model.name) {
            (true, _) => RECOMMENDATIONS_TIME + slow,
            (false, RECOMMENDATIONS) => slow,
            (false, _) => Duration::ZERO,
        };
        let factor = if self.weak.load(Ordering::Relaxed) {
            WEAK_FACTOR
        } else {
            1.0
        };
        Some(work(model, self.seed, number).mul_f64(factor) + waits)
    }

    /// Whether a bad version fails the request for `path`.
    fn fails(&self, path: &str) -> bool {
        parse_path(path).is_some_and(|(_, _, number)| deploy::fails(self.seed, number))
    }

    fn state(&self, services: &[Vec<Handle>]) -> ShopState {
        let service = |handles: &Vec<Handle>| ServiceState {
            waiting: handles.iter().map(|handle| handle.endpoint.waiting()).sum(),
            arrived: handles.iter().map(|handle| handle.endpoint.arrived()).sum(),
            bad_version: handles
                .iter()
                .map(|handle| handle.endpoint.bad_version())
                .sum(),
            faults: handles
                .iter()
                .map(|handle| handle.endpoint.fault())
                .collect(),
        };
        ShopState {
            at: self.clock.now(),
            arrived: self.arrived.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            services: services.iter().map(service).collect(),
        }
    }
}
