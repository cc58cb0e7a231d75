//! What every cell shares: the capacity, the objective and the client's patience.

use std::time::Duration;

/// Requests that one endpoint works on at a time.
pub(crate) const SLOTS: usize = 8;
/// What each of them takes.
pub(crate) const SERVICE_TIME: Duration = Duration::from_millis(5);
/// Requests per second that one endpoint can serve: slots over service time. All else waits in its queue,
/// which has no bound.
pub(crate) const CAPACITY: f64 = 1_600.0;

/// An answer is good if it is 2xx and complete so long after the request was meant to be sent.
pub(crate) const OBJECTIVE: Duration = Duration::from_millis(250);
/// So long after that moment a client gives up and closes its connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Before each cell's load: half the capacity, so that pools and limits are those of a service that runs.
pub(crate) const LEAD: Duration = Duration::from_secs(2);
/// After a step of the load: shown by itself, and not part of the steady figures.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);
/// The bins over which recovery is judged.
pub(crate) const BIN: Duration = Duration::from_millis(500);

/// Connections that one stream of requests may have open: ten times what the capacity answers within the objective. More, and
/// closing and opening them after each give-up takes all of the load's core: 7,000 were tried.
pub(crate) const CONNECTIONS_MAX: usize = 4_000;

/// The load's and the harness's unit: microseconds since the start of a run.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
