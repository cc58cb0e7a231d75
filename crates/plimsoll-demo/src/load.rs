//! The load generator: one open loop that offers every request to both arms at the same moment.
//!
//! It speaks HTTP/2 in cleartext over a few connections, so that thousands of pending requests and their
//! cancellation cost neither descriptors nor handshakes.

mod connection;
mod tally;
mod users;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::MissedTickBehavior;

use crate::arrivals::{Arrival, Arrivals, Rates};
use crate::catalogue::{self, CLIENTS, FLOOD_CLIENT, SERVICES};
use crate::clock::Clock;
use crate::message::{LoadNews, LoadOrder, LoadSetup, orders, tell};
use crate::plan::{FLOOD_LOAD, PATIENCE, PhaseKind, RequestKind};
use connection::Connections;
use tally::{End, Request as Counted, Tally};
use users::Asks;

/// How often the director is told what clients see.
const LIVE_INTERVAL: Duration = Duration::from_millis(250);
/// What is due is sent at most this often, in one batch: wake-ups cost more than requests.
const BATCH_INTERVAL: Duration = Duration::from_millis(1);
/// The same from [`BUSY_RATE`] on, where twice as many share each wake-up of five processes.
const BATCH_INTERVAL_BUSY: Duration = Duration::from_millis(2);
/// Requests per second.
const BUSY_RATE: f64 = 1_000.0;
/// How long the proxies have to accept the generator's connections.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Runs the plan that comes on standard input.
pub(crate) async fn run() -> Result<(), String> {
    let mut lines = orders::<serde_json::Value>();
    let first = lines.recv().await.ok_or("no plan came")?;
    let setup: LoadSetup =
        serde_json::from_value(first).map_err(|error| format!("reading the plan: {error}"))?;
    let [without, with] = setup.arms;
    let arms = [ArmClients::start(without), ArmClients::start(with)];
    for (arm, address) in arms.iter().zip(setup.arms) {
        let ready = async {
            arm.ordinary.ready().await;
            arm.flooding.ready().await;
        };
        if tokio::time::timeout(CONNECT_TIME_MAX, ready).await.is_err() {
            let why = format!(
                "{address} did not take {} connections from 127.0.1.1 and others within {CONNECT_TIME_MAX:?}",
                connection::COUNT + connection::FLOOD_COUNT
            );
            tell(&LoadNews::Failed { why: why.clone() });
            return Err(why);
        }
    }
    Generator::new(setup, arms).run(lines).await;
    Ok(())
}

/// All that sends to one arm.
struct ArmClients {
    ordinary: Connections,
    flooding: Connections,
}

impl ArmClients {
    fn start(address: SocketAddr) -> Self {
        Self {
            ordinary: Connections::start(address, &CLIENTS, connection::COUNT),
            flooding: Connections::start(address, &[FLOOD_CLIENT], connection::FLOOD_COUNT),
        }
    }
}

struct Generator {
    setup: LoadSetup,
    arms: [ArmClients; 2],
    tally: Arc<Mutex<Tally>>,
    clock: Clock,
    arrivals: Arrivals,
    /// `None` during the warm-up.
    phase: Option<usize>,
    phase_end: Duration,
    factor: f64,
    flood: bool,
    prefixes: Vec<[String; 3]>,
}

impl Generator {
    fn new(setup: LoadSetup, arms: [ArmClients; 2]) -> Self {
        let calm = setup.plan.phases.first().map_or(0.0, |phase| phase.load);
        let arrivals = Arrivals::new(setup.seed, Rates::at_load(calm, 0.0, catalogue::capacity()));
        let prefixes = SERVICES
            .iter()
            .map(|model| plimsoll_core::Class::ALL.map(|class| model.prefix(class)))
            .collect();
        Self {
            tally: Arc::new(Mutex::new(Tally::new())),
            clock: Clock::start(),
            arrivals,
            phase: None,
            phase_end: setup.plan.warm_up,
            factor: 1.0,
            flood: false,
            prefixes,
            setup,
            arms,
        }
    }

    async fn run(mut self, mut orders: UnboundedReceiver<serde_json::Value>) {
        tell(&LoadNews::Ready);
        let mut live = tokio::time::interval(LIVE_INTERVAL);
        live.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.clock.now();
            self.send_due(now.min(self.phase_end));
            if now >= self.phase_end {
                if !self.next_phase() {
                    break;
                }
                continue;
            }
            let busy = self.rates().total() > BUSY_RATE;
            let batch = if busy {
                BATCH_INTERVAL_BUSY
            } else {
                BATCH_INTERVAL
            };
            let due = self
                .arrivals
                .next_timeout()
                .max(now + batch)
                .min(self.phase_end);
            tokio::select! {
                () = self.clock.sleep_until(due) => (),
                _ = live.tick() => self.tell_live(),
                order = orders.recv() => match order.map(serde_json::from_value) {
                    Some(Ok(LoadOrder::Load { factor })) => self.on_rates(|generator| generator.factor = factor),
                    Some(Ok(LoadOrder::Flood { on })) => self.on_rates(|generator| generator.flood = on),
                    Some(Ok(LoadOrder::End)) | None => break,
                    Some(Err(error)) => eprintln!("an order that can't be read: {error}"),
                },
            }
        }
        let ended = self.clock.now();
        while self.lock().pending() > 0 && self.clock.now() < ended + PATIENCE + LIVE_INTERVAL {
            tokio::time::sleep(BATCH_INTERVAL * 10).await;
        }
        let began = self.setup.plan.warm_up;
        let done = self
            .lock()
            .done(&self.setup.plan, ended.saturating_sub(began));
        tell(&LoadNews::Done(Box::new(done)));
    }

    /// False where there is none.
    fn next_phase(&mut self) -> bool {
        let index = self.phase.map_or(0, |index| index + 1);
        let Some(length) = self.setup.plan.phases.get(index).map(|phase| phase.length) else {
            return false;
        };
        let begin = self.phase_end;
        self.phase = Some(index);
        self.phase_end = begin + length;
        self.arrivals.on_rates(begin, self.rates());
        tell(&LoadNews::Phase { index });
        true
    }

    fn on_rates(&mut self, change: impl FnOnce(&mut Self)) {
        let now = self.clock.now().min(self.phase_end);
        self.send_due(now);
        change(self);
        let rates = self.rates();
        self.arrivals.on_rates(now, rates);
    }

    /// What the phase is about; `None` during the warm-up.
    fn kind(&self) -> Option<PhaseKind> {
        self.setup
            .plan
            .phases
            .get(self.phase?)
            .map(|phase| phase.kind)
    }

    fn rates(&self) -> Rates {
        let capacity = catalogue::capacity();
        let phase = self.setup.plan.phases.get(self.phase.unwrap_or(0));
        let (load, planned) = phase.map_or((0.0, 0.0), |phase| (phase.load, phase.flood));
        let by_hand = if self.flood { FLOOD_LOAD } else { 0.0 };
        let reads = phase.map_or(0.0, |phase| phase.reads);
        Rates {
            reads: reads * capacity,
            ..Rates::at_load(load * self.factor, planned.max(by_hand), capacity)
        }
    }

    fn send_due(&mut self, until: Duration) {
        let mut sent = false;
        while let Some(arrival) = self.arrivals.next_before(until) {
            self.send(&arrival, until + PATIENCE);
            sent = true;
        }
        if sent {
            // The whole batch went to one connection of each arm (and to one of the client that floods), in one
            // write; the next goes to another.
            for arm in &mut self.arms {
                arm.ordinary.turn();
                arm.flooding.turn();
            }
        }
    }

    /// All of one batch give up at the same moment, up to one interval late: their cancellations are then one
    /// write, as their requests were.
    fn send(&mut self, arrival: &Arrival, gives_up: Duration) {
        let lag = self.clock.now().saturating_sub(arrival.at);
        let phase = self.kind();
        self.lock().on_due(phase, arrival.class, arrival.flood, lag);
        let Some(prefix) = self
            .prefixes
            .get(arrival.service)
            .and_then(|by_class| by_class.get(arrival.class.index()))
        else {
            return;
        };
        let kind = self.setup.plan.kind_of(arrival.service, arrival.class);
        let number = match kind {
            Some(RequestKind::Read) => catalogue::product(self.setup.seed, arrival.number),
            _ => arrival.number,
        };
        let path = Bytes::from(format!("{prefix}{number}"));
        let (plan, seed) = (&self.setup.plan, self.setup.seed);
        let user = plan.user_of(arrival.service, seed, arrival.number);
        for (arm, clients) in self.arms.iter().enumerate() {
            let connections = if arrival.flood {
                &clients.flooding
            } else {
                &clients.ordinary
            };
            let counted = Counted {
                arm,
                phase,
                class: arrival.class,
                flood: arrival.flood,
                kind,
                asks: user.map(|user| Asks::new(user, arrival.at)),
            };
            let method = match kind {
                Some(RequestKind::Write) => Method::POST,
                _ => Method::GET,
            };
            let Some(request) = connections.request(method, path.clone(), user) else {
                continue;
            };
            self.lock().on_sent(counted);
            match connections.send(request) {
                Some(response) => {
                    let (tally, clock, intended) =
                        (Arc::clone(&self.tally), self.clock, arrival.at);
                    tokio::spawn(settle(response, tally, clock, counted, intended, gives_up));
                }
                None => self.lock().on_end(counted, FAILED, lag),
            }
        }
    }

    fn tell_live(&self) {
        let began = self.setup.plan.warm_up;
        let at = self.clock.now().as_secs_f64() - began.as_secs_f64();
        let live = self.lock().live(&self.setup.plan, at, LIVE_INTERVAL);
        tell(&LoadNews::Live(Box::new(live)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one request to its end. Latency counts from the intended send time; what is dropped before its
/// answer is cancelled on the wire.
async fn settle(
    response: h2::client::ResponseFuture,
    tally: Arc<Mutex<Tally>>,
    clock: Clock,
    counted: Counted,
    intended: Duration,
    gives_up: Duration,
) {
    let answered = tokio::select! {
        biased;
        answered = read(response) => Some(answered),
        () = clock.sleep_until(gives_up) => None,
    };
    let latency = clock.now().saturating_sub(intended);
    let end = match answered {
        None => End::GaveUp,
        Some(Err(_)) => FAILED,
        Some(Ok(answer)) => answer,
    };
    tally
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .on_end(counted, end, latency);
}

async fn read(response: h2::client::ResponseFuture) -> Result<End, h2::Error> {
    let response = response.await?;
    let refused = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => response.headers().contains_key("plimsoll-decision"),
        _ => false,
    };
    let good = response.status().is_success();
    let decision = response.headers().get("plimsoll-decision").cloned();
    let stale = decision
        .as_ref()
        .is_some_and(|decision| decision.as_bytes().starts_with(b"stale"));
    let mut body = response.into_body();
    while let Some(chunk) = body.data().await {
        let size = chunk?.len();
        body.flow_control().release_capacity(size)?;
    }
    Ok(match (good, refused) {
        (true, _) => End::Answered { stale },
        (false, true) => End::Refused,
        (false, false) => End::Failed {
            told: decision.is_some(),
        },
    })
}

/// No answer, so no reason.
const FAILED: End = End::Failed { told: false };

/// What a request looks like on the wire.
type Wire = Request<()>;
