//! What the processes of the demo tell each other: one JSON value per line, over standard input and output.
//!
//! Input that ends is the order to stop: a process that outlived its parent would go on sending.

use std::io::{BufRead, Write};
use std::net::SocketAddr;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::plan::Plan;
use crate::report::ArmFigures;

/// What the director tells a shop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum ShopOrder {
    /// What is wrong with an endpoint from now on; `None` = nothing.
    Endpoint {
        service: usize,
        endpoint: usize,
        fault: Option<Fault>,
    },
    /// Recommendations take so much longer; zero: they are well again.
    Slow { by: Duration },
    /// Everything takes longer, or as long as ever.
    Weak { on: bool },
}

/// What can be wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Listener closed, connections reset, work lost.
    Crashed,
    /// It takes connections and requests, and answers none.
    Frozen,
    /// It takes ten times as long.
    Slow,
    /// It answers 500 at once.
    Failing,
    /// It answers 500 to a share of requests, at once, and is well otherwise: a bad version.
    Bad,
}

/// What a shop tells the director.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "kebab-case")]
pub(crate) enum ShopNews {
    /// All endpoints listen: ports by service and endpoint.
    Ready { ports: Vec<Vec<u16>> },
    /// How it is, a few times a second.
    State(ShopState),
}

/// How a shop is. Counts are since it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShopState {
    /// When this was so, since it began: it is read later.
    pub(crate) at: Duration,
    /// Requests that reached it.
    pub(crate) arrived: u64,
    /// Requests whose client was gone before their work began.
    pub(crate) dropped: u64,
    pub(crate) services: Vec<ServiceState>,
}

/// How one service of a shop is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceState {
    /// Requests that wait for a slot.
    pub(crate) waiting: usize,
    /// Requests that reached it since it began.
    #[serde(default)]
    pub(crate) arrived: u64,
    /// Of these, requests that a bad version got.
    #[serde(default)]
    pub(crate) bad_version: u64,
    /// What is wrong with each endpoint; `None` = nothing.
    pub(crate) faults: Vec<Option<Fault>>,
}

/// The first line to the generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadSetup {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    /// Where the proxy of each arm listens.
    pub(crate) arms: [SocketAddr; 2],
}

/// What the director tells the generator afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum LoadOrder {
    /// Multiplies what the plan says.
    Load { factor: f64 },
    /// One client floods, or stops.
    Flood { on: bool },
    /// The rest of the plan is left out.
    End,
}

/// What the generator tells the director.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "kebab-case")]
pub(crate) enum LoadNews {
    /// All connections are made; the warm-up begins.
    Ready,
    /// This phase begins.
    Phase { index: usize },
    /// What clients saw lately, a few times a second.
    Live(Box<LoadLive>),
    /// All phases are over and every request is settled.
    Done(Box<LoadDone>),
    /// It can't go on.
    Failed { why: String },
}

/// What clients saw lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadLive {
    /// Seconds since the first phase began.
    pub(crate) at: f64,
    /// Offered per second, to each arm, over the last second.
    pub(crate) offered: f64,
    /// The same by class, in the order of `Class::ALL`.
    pub(crate) offered_by_class: [f64; 3],
    /// By how much the generator itself was late in that second, at worst. Seconds.
    pub(crate) lag_max: f64,
    pub(crate) arms: [ArmLive; 2],
}

/// What clients of one arm saw in the last second that is settled enough to be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArmLive {
    /// Good answers per second, by class.
    pub(crate) good: [f64; 3],
    /// Requests that ended, per second, by class.
    pub(crate) ended: [f64; 3],
    /// Good, but too late; per second.
    pub(crate) late: f64,
    /// 5xx, resets; per second.
    pub(crate) failed: f64,
    /// Refused by the proxy; per second, by class.
    pub(crate) refused: [f64; 3],
    /// Clients that gave up; per second.
    pub(crate) gave_up: f64,
    /// Seconds; `None` = nothing was answered.
    pub(crate) p50: Option<f64>,
    /// Seconds.
    pub(crate) p99: Option<f64>,
    /// Sent and not yet ended.
    pub(crate) pending: usize,
    /// Of the budget of the whole period.
    pub(crate) budget_spent: f64,
}

/// The generator's account of the run, by kind of phase in the order of `PhaseKind::ALL`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadDone {
    /// Requests that were due, whether or not they could be sent.
    pub(crate) due: Vec<u64>,
    /// Seconds that it really lasted.
    pub(crate) lasted: Vec<f64>,
    /// The 99th percentile of how late the generator itself sent. Seconds.
    pub(crate) lag_p99: Vec<f64>,
    pub(crate) arms: [ArmFigures; 2],
}

/// Writes one line and sends it off. Nobody reads any more: there is nobody left to tell.
pub(crate) fn tell(news: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(news) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }
}

/// The orders that come on standard input, from a thread of their own because reading it blocks. When
/// it ends, so does the process.
pub(crate) fn orders<T: DeserializeOwned + Send + 'static>() -> UnboundedReceiver<T> {
    let (send, receive) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(order) => {
                    if send.send(order).is_err() {
                        break;
                    }
                }
                Err(error) => eprintln!("an order that can't be read: {error}"),
            }
        }
        std::process::exit(0);
    });
    receive
}
