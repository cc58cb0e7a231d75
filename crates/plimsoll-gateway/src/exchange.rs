//! One request from its head to its last byte: chooses an endpoint, sends, waits, streams the answer back.
//!
//! Drives `plimsoll-lifecycle`, which decides; this file has the sockets and timers. Invariant: whatever
//! happens, also when the future is dropped or panics, the call is settled once ([`Exchange`]'s drop).

mod attempt;
mod relay;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use plimsoll_core::{Instant, ServiceId, never};
use plimsoll_http1::{Framing, Name, RequestHead, ResponseHead};
use plimsoll_lifecycle::{Arrival, Attempt, AttemptEnd, Call, Verdict};
use plimsoll_measure::Cause;
use plimsoll_policy::{Refusal, Ticket};
use plimsoll_upstream::{Endpoint, Http1Connection};

use crate::access;
use crate::admission::Ended;
use crate::answer::{self, Keep};
use crate::heads::Facts;
use crate::peer::Peer;
use crate::protocol::{ClientConnection, HttpRequest};
use crate::refusal::Answer;
use crate::thread::{Thread, ThreadEffects, ThreadPlan};
use crate::timer::Timer;
use crate::transfer::Transfer;

/// What a request's exchange says to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It can carry another request.
    Keep,
    /// It is to be closed, once what was written has arrived.
    Close,
    /// It is of no use any more: cut it.
    Cut,
}

/// A request on its way. Dropping it settles the call and writes its line.
pub(crate) struct Exchange<'a> {
    pub(crate) thread: &'a Rc<Thread>,
    pub(crate) plan: Rc<ThreadPlan>,
    pub(crate) head: &'a RequestHead,
    pub(crate) call: Call<ThreadEffects>,
    pub(crate) facts: Facts,
    pub(crate) status: u16,
}

/// What came of waiting for a permit.
enum Waited {
    Permit,
    Refused(Refusal),
    /// The client went.
    Gone,
}

/// Body bytes so far.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) up: Cell<u64>,
    pub(crate) down: Cell<u64>,
}

/// Serves one request.
pub(crate) async fn serve(
    thread: &Rc<Thread>,
    connection: &ClientConnection,
    down: &mut Peer,
    head: &RequestHead,
    arrived: Instant,
    timer: &mut Timer,
    response: &mut ResponseHead,
) -> Served {
    let plan = thread.plan();
    let effects = ThreadEffects {
        thread: Rc::clone(thread),
        plan: Rc::clone(&plan),
        bytes: Bytes::default(),
    };
    let mut call = Call::arrive(effects, arrived);
    let mut request = HttpRequest {
        thread,
        plan: &plan,
        connection,
        head,
        trusted: false,
        answer: None,
        max_forwards: None,
    };
    let arrival = call.admit(thread.clock.now(), &mut request);
    let facts = request.facts(down.is_http2());
    let answer = request.answer.take();
    let mut exchange = Exchange {
        thread,
        plan: Rc::clone(&plan),
        head,
        call,
        facts,
        status: 0,
    };
    let service = match arrival {
        Arrival::Proceed(service) => service,
        Arrival::Wait(service, ticket) => {
            match exchange.wait_for_permit(down, service, ticket, timer).await {
                Waited::Permit => service,
                Waited::Refused(refusal) => {
                    let answer = Answer::of_refusal(&refusal);
                    return exchange.answer(down, answer, timer).await;
                }
                Waited::Gone => return exchange.gone(),
            }
        }
        Arrival::Answer(cause) => {
            let refusal = exchange.refusal();
            let answer = answer.unwrap_or_else(|| match refusal {
                Some(refusal) => Answer::of_refusal(&refusal),
                None => Answer::of_cause(cause),
            });
            return exchange.answer(down, answer, timer).await;
        }
    };
    let Some(service) = plan.plan.service(service) else {
        let answer = Answer::of_cause(Cause::NoEndpoint);
        return exchange.answer(down, answer, timer).await;
    };
    #[cfg(test)]
    tests::panic_if_asked(head);
    let balancer = plan.balancers.get(
        exchange
            .call
            .settlement()
            .service
            .map_or(0, |id| id.index()),
    );
    let key = exchange.hash_key(service);
    let mut upload = match head.framing() {
        Framing::None => Transfer::done(),
        _ => Transfer {
            bytes_max: plan.plan.config.gateway.limits.body_bytes_max,
            ..Transfer::default()
        },
    };
    let mut again = false;
    // One bound for all attempts together; a body that is under way moves it.
    let began = thread.clock.now();
    let deadline = exchange.deadline_total(began + exchange.call.bounds().head);
    loop {
        let now = thread.clock.now();
        let attempt = if again {
            exchange.call.again(now)
        } else {
            exchange.call.next_attempt(now, |tried| {
                let choice =
                    balancer?
                        .borrow_mut()
                        .choose(now, &service.cluster.endpoints, key, tried)?;
                if choice.panic {
                    thread
                        .shared
                        .panics
                        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                Some(choice.endpoint)
            })
        };
        let endpoint = match attempt {
            Attempt::Try(id) => service.cluster.endpoints.get(id.index()),
            Attempt::GiveUp(cause) => {
                let answer = Answer::of_cause(cause);
                return exchange.answer(down, answer, timer).await;
            }
        };
        let Some(endpoint) = endpoint else {
            let answer = Answer::of_cause(Cause::NoEndpoint);
            return exchange.answer(down, answer, timer).await;
        };
        let checkout = match exchange
            .checkout(endpoint, again, down, &upload, deadline, timer)
            .await
        {
            attempt::Connecting::Ready(checkout) => checkout,
            attempt::Connecting::Failed(error) => {
                tracing::debug!(%error, endpoint = %endpoint.name, "connecting failed");
                match exchange.call.on_connect_failed() {
                    Verdict::Retry => {
                        again = false;
                        continue;
                    }
                    Verdict::GiveUp(cause) => {
                        let answer = Answer::of_cause(cause);
                        return exchange.answer(down, answer, timer).await;
                    }
                }
            }
            attempt::Connecting::Late => {
                exchange.call.on_failed(Cause::Timeout);
                let answer = Answer::of_cause(Cause::Timeout);
                return exchange.answer(down, answer, timer).await;
            }
            attempt::Connecting::Gone => return exchange.gone(),
        };
        let sent_at = thread.clock.now();
        let mut up = match exchange.send(endpoint, checkout) {
            Ok(up) => up,
            Err(attempt::Unsent::Closed) => match exchange.call.on_stale(true) {
                Verdict::Retry => {
                    again = true;
                    continue;
                }
                Verdict::GiveUp(cause) => {
                    let answer = Answer::of_cause(cause);
                    return exchange.answer(down, answer, timer).await;
                }
            },
            Err(attempt::Unsent::Malformed) => {
                exchange.call.end_attempt(AttemptEnd::Cancelled);
                let answer = Answer::of_cause(Cause::BadRequest);
                return exchange.answer(down, answer, timer).await;
            }
        };
        match exchange
            .wait(down, &mut up, &mut upload, response, began, timer)
            .await
        {
            relay::Waited::Head => {
                return exchange
                    .relay(down, up, upload, response, endpoint, sent_at, timer)
                    .await;
            }
            relay::Waited::Unseen { certain } => {
                match exchange.call.on_stale(certain || exchange.is_idempotent()) {
                    Verdict::Retry => again = true,
                    Verdict::GiveUp(cause) => {
                        let answer = Answer::of_cause(cause);
                        return exchange.answer(down, answer, timer).await;
                    }
                }
            }
            relay::Waited::Failed(cause, why) => {
                tracing::debug!(cause = cause.name(), why, endpoint = %endpoint.name, "the attempt failed");
                exchange.call.on_failed(cause);
                drop(up);
                let answer = Answer::of_cause(cause);
                return exchange.answer(down, answer, timer).await;
            }
            relay::Waited::Refused(answer) => {
                drop(up);
                return exchange.answer(down, answer, timer).await;
            }
            relay::Waited::Gone => return exchange.gone(),
        }
    }
}

/// Counts a request that is too malformed to be answered.
pub(crate) fn count_malformed(thread: &Rc<Thread>, arrived: Instant) {
    let effects = ThreadEffects {
        thread: Rc::clone(thread),
        plan: thread.plan(),
        bytes: Bytes::default(),
    };
    Call::arrive(effects, arrived).settle(thread.clock.now(), Cause::BadRequest);
}

impl Exchange<'_> {
    /// Body bytes so far.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.call.effects().bytes
    }

    /// Whether doing it twice does what doing it once does (RFC 9110 section 9.2.2).
    fn is_idempotent(&self) -> bool {
        matches!(
            self.head.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        )
    }

    /// Why admission refused the call, if it just did.
    fn refusal(&self) -> Option<Refusal> {
        let service = self.call.settlement().service?;
        self.plan.guards.get(service.index())?.take_refusal()
    }

    /// Waits for a permit, for as long as the queue lets it.
    async fn wait_for_permit(
        &mut self,
        down: &mut Peer,
        service: ServiceId,
        ticket: Ticket,
        timer: &mut Timer,
    ) -> Waited {
        let Some(guard) = self.plan.guards.get(service.index()) else {
            never!(self.plan.guards.len() <= service.index());
            return Waited::Gone;
        };
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = guard.poll_ended(ticket, cx) {
                    return Poll::Ready(Some(ended));
                }
                if self.head.framing() == Framing::None && down.poll_gone(cx).is_ready() {
                    return Poll::Ready(None);
                }
                let Some(expiry) = guard.next_expiry() else {
                    return Poll::Pending;
                };
                if timer.poll_at(cx, expiry).is_pending() {
                    return Poll::Pending;
                }
                guard.expire(self.thread, self.thread.clock.now());
            }
        })
        .await;
        let now = self.thread.clock.now();
        match ended {
            Some(Ended::Go) => {
                self.call.on_permit(now);
                Waited::Permit
            }
            Some(Ended::Refused(refusal)) => {
                self.call.on_refused(now);
                Waited::Refused(refusal)
            }
            None => Waited::Gone,
        }
    }

    /// The client went away: nothing is to be answered.
    fn gone(&mut self) -> Served {
        let now = self.thread.clock.now();
        self.call.settle(now, Cause::ClientGone);
        Served::Cut
    }

    /// Whether a kept connection can carry another request, as far as is known before the answer.
    fn keep(&self) -> Keep {
        if self.head.keep_alive() && !self.thread.is_draining() {
            Keep::Alive
        } else {
            Keep::Close
        }
    }

    /// Answers without a service.
    async fn answer(&mut self, down: &mut Peer, answer: Answer, timer: &mut Timer) -> Served {
        // What is left of the request's body would be read as the next request.
        let keep = if self.head.framing() == Framing::None {
            self.keep()
        } else {
            Keep::Close
        };
        self.status = answer.status;
        let sent = answer::send_own(down, self.head, &answer, &self.facts.request_id, keep);
        let now = self.thread.clock.now();
        self.call.settle(now, answer.cause);
        match sent {
            Ok(keep) => self.flush(down, keep, timer).await,
            Err(_) => Served::Cut,
        }
    }

    /// Writes what is left to the client, within the idle time.
    async fn flush(&self, down: &mut Peer, keep: Keep, timer: &mut Timer) -> Served {
        let deadline = self.thread.clock.now() + self.plan.plan.config.gateway.limits.idle_time_max;
        let flushed = poll_fn(|cx| {
            if let Poll::Ready(result) = down.poll_flush(cx) {
                return Poll::Ready(result.is_ok());
            }
            timer.poll_at(cx, deadline).map(|()| false)
        })
        .await;
        match (flushed, keep) {
            (true, Keep::Alive) => Served::Keep,
            (true, Keep::Close) => Served::Close,
            (false, _) => Served::Cut,
        }
    }

    fn hash_key(&self, service: &crate::plan::ServicePlan) -> Option<u64> {
        use plimsoll_config::HashKey;
        let client = || match self.facts.client {
            std::net::IpAddr::V4(address) => plimsoll_policy::hash_key(&address.octets()),
            std::net::IpAddr::V6(address) => plimsoll_policy::hash_key(&address.octets()),
        };
        Some(match service.hash_key.as_ref()? {
            HashKey::Address => client(),
            HashKey::Path => {
                plimsoll_policy::hash_key(crate::protocol::path_of(self.head.path_and_query()))
            }
            HashKey::Header(name) => self
                .head
                .fields
                .get_named(name.as_bytes())
                .map_or_else(client, plimsoll_policy::hash_key),
        })
    }

    /// Gives a connection back, if it can carry another request.
    fn give_back(&self, endpoint: &std::sync::Arc<Endpoint>, up: Peer) {
        if let Peer::Http1(peer) = up
            && peer.buf.is_empty()
            && !peer.eof
            && peer.out.is_empty()
        {
            self.thread.put_buffer(peer.out.into_buffer());
            let connection = Http1Connection {
                io: peer.io,
                buf: peer.buf,
                reused: true,
            };
            self.thread.pools.give_back(endpoint, connection);
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.call.is_settled() {
            // The future was dropped: the call knows what that means.
            self.call.abandon();
        }
        access::write(self);
    }
}

/// Whether an answer is a stream: its permit and its latency end at its head.
fn is_event_stream(response: &ResponseHead) -> bool {
    response
        .fields
        .get(Name::ContentType)
        .is_some_and(|value| value.starts_with(b"text/event-stream"))
}

/// How an attempt that was answered ended.
fn answered(call: &Call<ThreadEffects>, sent_at: Instant, status: u16) -> AttemptEnd {
    let head_at = call.settlement().head_at.unwrap_or(sent_at);
    AttemptEnd::Answered {
        head_after: head_at - sent_at,
        status,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    use plimsoll_config::LogTarget;
    use plimsoll_http1::RequestHead;
    use plimsoll_measure::{Cause, Registry};
    use plimsoll_upstream::{Clock, ClusterConfig, Clusters, EndpointConfig};

    use crate::{AccessLogWriter, Gateway, Plan, bind};

    /// Stands for the bug that nobody has found yet.
    pub(super) fn panic_if_asked(head: &RequestHead) {
        assert!(
            head.fields.get_named(b"x-panic").is_none(),
            "asked to panic"
        );
    }

    fn ask(address: SocketAddr, field: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        // A connection that is cut has said all that it will.
        let _cut = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn a_panic_costs_one_request() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in service.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 1024];
                while stream.read(&mut head).is_ok_and(|count| count > 0) {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .unwrap();
                }
            }
        });
        let text = format!(
            "[gateway]\nlisten = [\"127.0.0.1:0\"]\nthreads = 1\n[service.app]\nendpoints = [\"http://127.0.0.1:{port}\"]\n\
             [[route]]\nservice = \"app\"\n"
        );
        let (config, _) = plimsoll_config::parse(&text, "test.toml").unwrap();
        let clusters = Clusters::new()
            .update(vec![ClusterConfig {
                name: "app".to_owned(),
                endpoints: vec![EndpointConfig::new("127.0.0.1", port)],
                balance: plimsoll_upstream::Balance::default(),
                parameters: plimsoll_policy::EndpointParameters::default(),
                health: None,
            }])
            .unwrap();
        let registry = Registry::new(1, 100);
        let mut shared = BTreeMap::new();
        let plan = Arc::new(Plan::new(
            Arc::new(config),
            &clusters,
            &registry,
            &mut shared,
        ));
        let log = AccessLogWriter::start(&LogTarget::Off).unwrap();
        let mut gateway =
            Gateway::start(Arc::clone(&plan), 1, Clock::new(), &log.sender(), 1).unwrap();
        let bound = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = bound.address;
        gateway.apply(plan, vec![bound]).unwrap();

        assert!(ask(address, "").ends_with("ok"));
        assert_eq!(ask(address, "X-Panic: 1\r\n"), "", "its connection is gone");
        assert!(ask(address, "").ends_with("ok"), "and nothing else");
        let readings = registry.read();
        let causes = readings
            .iter()
            .find(|it| it.key == plimsoll_measure::SeriesKey::Service("app".to_owned()))
            .unwrap()
            .totals
            .causes();
        assert_eq!(causes.count(Cause::Panic), 1);
        assert_eq!(causes.total(), 3);
        assert_eq!(shared["app"].in_flight(), 0);
        gateway.drain(Duration::from_secs(5), false);
    }
}
