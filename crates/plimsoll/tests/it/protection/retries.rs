//! Goal: what failed is tried again where that is asked for and safe, within a budget, and not where someone else
//! decided.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::load::Offer;
use crate::script::{Link, Script};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n";
/// Retries without regard to a budget.
const RETRIES: &str = "[service.app.protect.retry]\non = [\"connect\", \"502\", \"503\"]\nattempts = 2\nfloor = \"100/s\"\n\
                       body_bytes_max = \"1KiB\"\n";

/// The endpoint, the head and the body of each.
type Attempts = Vec<(usize, String, Vec<u8>)>;

/// Two endpoints of one service, which answer its attempts in turn.
struct Pair {
    endpoints: [Script; 2],
    /// In the order of arrival.
    attempts: Arc<Mutex<Attempts>>,
}

impl Pair {
    /// The first attempt gets the first answer, each after them the last.
    fn answering(answers: &'static [&'static str]) -> Self {
        Self::answering_after(Duration::ZERO, answers)
    }

    fn answering_after(time: Duration, answers: &'static [&'static str]) -> Self {
        let attempts = Arc::<Mutex<Vec<_>>>::default();
        let next = Arc::<AtomicUsize>::default();
        let endpoints = [0, 1].map(|endpoint| {
            let (attempts, next) = (Arc::clone(&attempts), Arc::clone(&next));
            Script::start(move |_, link: &mut Link| {
                while let Some(head) = link.head() {
                    let length = field(&head, "content-length").map_or(0, |it| it.parse().unwrap());
                    let body = link.take(length);
                    attempts.lock().unwrap().push((endpoint, head, body));
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    #[expect(clippy::disallowed_methods, reason = "a service takes its time")]
                    std::thread::sleep(time);
                    link.send(answers[number.min(answers.len() - 1)].as_bytes());
                }
            })
        });
        Self {
            endpoints,
            attempts,
        }
    }

    fn before(&self, more: &str) -> (Home, Plimsoll) {
        before(&self.endpoints.each_ref().map(|it| it.address), TRUST, more)
    }

    fn attempts(&self) -> Vec<(usize, String, Vec<u8>)> {
        self.attempts.lock().unwrap().clone()
    }
}

/// Sends one request; says its status and how many attempts it took.
#[track_caller]
fn send(answers: &'static [&'static str], method: &str, fields: &str, body: &str) -> (u16, usize) {
    let service = Pair::answering(answers);
    let (_home, plimsoll) = service.before(RETRIES);
    let from = if fields.contains("No-Retry") {
        TRUSTED
    } else {
        STRANGER
    };
    let fields = format!("{fields}Content-Length: {}\r\n", body.len());
    let (status, _) = ask_from(from, plimsoll.address(), method, "/", &fields, body);
    settled(&plimsoll, 1);
    (status, service.attempts().len())
}

#[test]
fn what_one_endpoint_fails_the_other_answers() {
    let service = Pair::answering(&[BAD_GATEWAY, OK]);
    let (_home, plimsoll) = service.before(RETRIES);
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    let attempts = service.attempts();
    assert_eq!(attempts.len(), 2);
    assert_ne!(attempts[0].0, attempts[1].0, "another endpoint");
    assert_eq!(field(&attempts[1].1, "plimsoll-no-retry"), Some("1"));
    let text = settled(&plimsoll, 1);
    assert_eq!((caused(&text, "answered"), bad(&text)), (1, 0));
    let labels = [
        "policy=\"retry\"",
        "outcome=\"retried\"",
        "mode=\"enforce\"",
    ];
    wait_until("the retry is counted", || {
        protected(&metrics(&plimsoll), &labels) == Some(1)
    });
}

#[test]
fn a_connection_that_is_refused_is_tried_elsewhere_by_default() {
    let service = Pair::answering(&[OK]);
    let home = Home::new();
    let nobody = crate::child::free_address();
    home.write(&config(&[nobody, service.endpoints[0].address], "", ""));
    let plimsoll = home.run(&[]);
    Offer::to(plimsoll.address(), 2).run(20).assert_all_ok();
    // Nothing was sent: also what is not idempotent.
    for _ in 0..4 {
        let fields = "Content-Length: 2\r\n";
        assert_eq!(
            ask_from(STRANGER, plimsoll.address(), "POST", "/", fields, "hi").0,
            200
        );
    }
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    assert_eq!(send(&[BAD_GATEWAY, OK], "POST", "", "hello"), (502, 1));
    assert_eq!(send(&[BAD_GATEWAY, OK], "PATCH", "", "hello"), (502, 1));
    assert_eq!(send(&[BAD_GATEWAY, OK], "PUT", "", "hello"), (200, 2));
    let key = "Idempotency-Key: \"a\"\r\n";
    assert_eq!(send(&[BAD_GATEWAY, OK], "POST", key, "hello"), (200, 2));
}

#[test]
fn a_body_arrives_whole_the_second_time() {
    let service = Pair::answering(&[BAD_GATEWAY, OK]);
    let (_home, plimsoll) = service.before(RETRIES);
    let body: String = (0..1_000)
        .map(|it| char::from(b'a' + (it % 26) as u8))
        .collect();
    let fields = "Idempotency-Key: \"a\"\r\nContent-Length: 1000\r\n";
    let (status, _) = ask_from(STRANGER, plimsoll.address(), "POST", "/", fields, &body);
    assert_eq!(status, 200);
    let attempts = service.attempts();
    assert_eq!(attempts.len(), 2);
    for (_, head, arrived) in attempts {
        assert_eq!(String::from_utf8(arrived).unwrap(), body, "{head}");
    }
}

#[test]
fn a_body_that_is_too_large_to_keep_is_sent_once() {
    let key = "Idempotency-Key: \"a\"\r\n";
    let body = "x".repeat(1_024);
    assert_eq!(
        send(&[BAD_GATEWAY, OK], "POST", key, &body),
        (200, 2),
        "the bound itself fits"
    );
    let body = "x".repeat(5_000);
    assert_eq!(send(&[BAD_GATEWAY, OK], "POST", key, &body), (502, 1));
}

#[test]
fn attempts_end_where_the_configuration_says() {
    assert_eq!(
        send(&[BAD_GATEWAY, BAD_GATEWAY, OK], "GET", "", ""),
        (502, 2)
    );
}

#[test]
fn who_says_when_to_come_back_is_not_asked_before() {
    const FULL: &str = "HTTP/1.1 503 Full\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    const FAILS: &str = "HTTP/1.1 503 Fails\r\nContent-Length: 0\r\n\r\n";
    const SHED: &str = "HTTP/1.1 503 Shed\r\nPlimsoll-Decision: shed; reason=over-capacity; id=\"a\"\r\nContent-Length: 0\r\n\r\n";
    const FAILED: &str = "HTTP/1.1 502 Failed\r\nPlimsoll-Decision: failed; reason=reset; id=\"a\"\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(send(&[FAILS, OK], "GET", "", ""), (200, 2));
    assert_eq!(send(&[FULL, OK], "GET", "", ""), (503, 1));
    assert_eq!(send(&[SHED, OK], "GET", "", ""), (503, 1));
    assert_eq!(send(&[FAILED, OK], "GET", "", ""), (502, 1));
}

#[test]
fn a_refusal_is_passed_on_as_the_service_gave_it() {
    const FULL: &str = "HTTP/1.1 503 Full\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nfull";
    let service = Pair::answering(&[FULL]);
    let (_home, plimsoll) = service.before(RETRIES);
    let (status, answer) = get(plimsoll.address(), "/");
    assert_eq!((status, field(&answer, "retry-after")), (503, Some("7")));
    assert!(answer.ends_with("full"), "{answer}");
    assert_eq!(field(&answer, "plimsoll-decision"), None, "it is not ours");
}

#[test]
fn a_trusted_caller_that_retries_itself_is_left_to_it() {
    let no_retry = "Plimsoll-No-Retry: 1\r\n";
    assert_eq!(send(&[BAD_GATEWAY, OK], "GET", no_retry, ""), (502, 1));
    let service = Pair::answering(&[BAD_GATEWAY, OK]);
    let (_home, plimsoll) = service.before(RETRIES);
    assert_eq!(
        get_from(STRANGER, &plimsoll, no_retry).0,
        200,
        "from a stranger it says nothing"
    );
}

#[test]
fn the_deadline_of_the_second_attempt_is_what_the_first_has_left() {
    let time = Duration::from_millis(150);
    let service = Pair::answering_after(time, &[BAD_GATEWAY, OK]);
    let (_home, plimsoll) = service.before(RETRIES);
    assert_eq!(
        get_from(TRUSTED, &plimsoll, "Plimsoll-Deadline: 20000\r\n").0,
        200
    );
    let left: Vec<u64> = service
        .attempts()
        .iter()
        .map(|(_, head, _)| field(head, "plimsoll-deadline").unwrap().parse().unwrap())
        .collect();
    assert_eq!(left.len(), 2);
    assert!(left[1] + 150 <= left[0], "{left:?}");
}

#[test]
fn a_service_that_fails_everything_is_not_sent_much_more() {
    let service = Pair::answering(&[BAD_GATEWAY]);
    let retries = "[service.app.protect.retry]\non = [\"502\"]\nattempts = 3\nbudget = \"10%\"\nfloor = \"1/s\"\n";
    let (_home, plimsoll) = service.before(retries);
    let began = Instant::now();
    let tally = Offer::to(plimsoll.address(), 4).run(150);
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(
        tally.status(502),
        600,
        "{:?} {:?}",
        tally.answered,
        tally.failed
    );
    let attempts = service.attempts().len() as f64;
    // The floor saves up ten seconds.
    let most = 600.0 * 1.1 + (10.0 + seconds) + 1.0;
    assert!(
        (601.0..=most).contains(&attempts),
        "{attempts} attempts, at most {most}"
    );
    let text = settled(&plimsoll, 600);
    assert_eq!(caused(&text, "upstream-5xx"), 600);
}

#[test]
fn by_default_a_failed_answer_is_passed_on_and_counted_as_one_that_would_be_tried_again() {
    let service = Pair::answering(&[BAD_GATEWAY, OK]);
    let (_home, plimsoll) = service.before("");
    assert_eq!(get(plimsoll.address(), "/").0, 502);
    assert_eq!(service.attempts().len(), 1);
    settled(&plimsoll, 1);
    let labels = [
        "policy=\"retry\"",
        "outcome=\"retried\"",
        "mode=\"observe\"",
    ];
    wait_until("it is counted", || {
        protected(&metrics(&plimsoll), &labels).is_none_or(|count| count == 1)
    });
}
