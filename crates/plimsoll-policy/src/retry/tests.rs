//! Tests of the decision: which reason is given, which delay, and what the budget loses by it.

use proptest::prelude::*;

use super::*;

const IN_TIME: Duration = Duration::from_secs(1);

#[test]
fn a_failure_that_is_named_is_retried_within_the_backoff() {
    let retry = Fixture::new();
    let question = retry.question(status(502));
    assert_eq!(retry.decide(&question, 0), again(Duration::ZERO));
    assert_eq!(
        retry.decide(&question, u64::MAX),
        again(Duration::from_millis(25))
    );
}

#[test]
fn each_reason_is_given_for_its_case() {
    let retry = Fixture::new();
    let good = retry.question(status(502));
    retry.gives_up(
        good,
        |question| question.failure = status(500),
        WhyNot::NotConfigured,
    );
    retry.gives_up(
        good,
        |question| question.forbidden = true,
        WhyNot::Forbidden,
    );
    retry.gives_up(good, |question| question.attempts = 3, WhyNot::AttemptsUsed);
    retry.gives_up(
        good,
        |question| question.idempotent = false,
        WhyNot::NotIdempotent,
    );
    retry.gives_up(
        good,
        |question| question.replayable = false,
        WhyNot::NotReplayable,
    );
    retry.gives_up(
        good,
        |question| question.time_left = Duration::ZERO,
        WhyNot::NoTime,
    );
    assert_eq!(retry.shared.withdrawn(), 0, "none of them costs a token");
}

#[test]
fn an_empty_budget_is_the_last_reason() {
    let retry = Fixture::new();
    let question = retry.question(status(502));
    while retry.shared.try_withdraw() {}
    assert_eq!(
        retry.decide(&question, 0),
        RetryDecision::GiveUp(WhyNot::Budget)
    );
    retry.gives_up(
        question,
        |question| question.forbidden = true,
        WhyNot::Forbidden,
    );
}

#[test]
fn a_connect_failure_is_retried_at_once_whatever_the_method_but_costs_a_token() {
    let retry = Fixture::new();
    let mut question = retry.question(Failure::Connect);
    question.idempotent = false;
    let before = retry.shared.tokens();
    assert_eq!(retry.decide(&question, u64::MAX), again(Duration::ZERO));
    assert!((before - retry.shared.tokens() - 1.0).abs() < 1e-9);
    question.attempts = 2;
    assert_eq!(
        retry.decide(&question, u64::MAX),
        again(Duration::from_millis(50)),
        "the second one waits: by now it may be the network"
    );
    retry.gives_up(
        question,
        |question| question.replayable = false,
        WhyNot::NotReplayable,
    );
    retry.gives_up(
        question,
        |question| question.time_left = Duration::ZERO,
        WhyNot::NoTime,
    );
}

#[test]
fn a_refusal_on_purpose_is_final() {
    let retry = Fixture::new();
    let refusal = |status, retry_after, decision| Failure::Status {
        status,
        retry_after,
        decision,
    };
    let soon = Some(Duration::from_millis(1));
    for failure in [
        refusal(503, soon, false),
        refusal(503, None, true),
        refusal(502, None, true),
    ] {
        retry.gives_up(retry.question(failure), |_| (), WhyNot::ServiceSaysNo);
    }
    let question = retry.question(refusal(503, None, false));
    assert!(matches!(
        retry.decide(&question, 0),
        RetryDecision::Retry { .. }
    ));
}

#[test]
fn another_status_is_retried_when_the_service_asks_for_it_if_that_is_in_time() {
    let retry = Fixture::new();
    let limited = |after| Failure::Status {
        status: 429,
        retry_after: Some(after),
        decision: false,
    };
    let mut question = retry.question(limited(Duration::from_millis(400)));
    assert_eq!(
        retry.decide(&question, 0),
        again(Duration::from_millis(400))
    );
    assert_eq!(
        retry.decide(&question, u64::MAX),
        again(Duration::from_millis(425)),
        "not all at the same moment"
    );
    question.time_left = Duration::from_millis(400);
    assert_eq!(
        retry.decide(&question, 0),
        RetryDecision::GiveUp(WhyNot::NoTime)
    );
    question = retry.question(limited(Duration::from_secs(25)));
    question.time_left = Duration::from_secs(60);
    assert_eq!(
        retry.decide(&question, 0),
        RetryDecision::GiveUp(WhyNot::ServiceSaysNo),
        "a request that waits that long would hold its permit"
    );
}

#[test]
fn the_backoff_doubles_up_to_its_bound() {
    let parameters = RetryParameters {
        attempts_max: u32::MAX,
        ..RetryParameters::default()
    };
    let longest = |attempts| backoff(attempts, &parameters, u64::MAX).as_millis();
    assert_eq!(
        [1, 2, 3, 4, 5, 6].map(longest),
        [25, 50, 100, 200, 250, 250]
    );
    assert_eq!([0, 32, 33, u32::MAX].map(longest), [25, 250, 250, 250]);
}

#[test]
fn the_jitter_is_uniform_over_all_of_the_range() {
    let parameters = RetryParameters::default();
    let nanos = |random| backoff(1, &parameters, random).as_nanos();
    assert_eq!(nanos(0), 0);
    assert_eq!(nanos(1 << 62), 6_250_000);
    assert_eq!(nanos(1 << 63), 12_500_000);
    assert_eq!(nanos(u64::MAX), 25_000_000);
}

#[test]
fn one_attempt_means_no_retries_and_zero_means_one() {
    for attempts_max in [0, 1] {
        let mut retry = Fixture::new();
        retry.parameters.attempts_max = attempts_max;
        retry.gives_up(
            retry.question(Failure::Connect),
            |_| (),
            WhyNot::AttemptsUsed,
        );
    }
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names = std::collections::BTreeSet::from(WhyNot::ALL.map(WhyNot::name));
    assert_eq!(names.len(), WhyNot::ALL.len());
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let millis = proptest::option::of((0_u64..2_000).prop_map(Duration::from_millis));
    prop_oneof![
        Just(Failure::Connect),
        Just(Failure::Reset),
        Just(Failure::Timeout),
        (400_u16..600, millis.clone(), any::<bool>()).prop_map(any_status),
        // The ones that the rules name, or nothing else would be tried.
        (
            prop::sample::select(vec![429_u16, 502, 503, 504]),
            millis,
            any::<bool>()
        )
            .prop_map(any_status),
    ]
}

fn any_status((status, retry_after, decision): (u16, Option<Duration>, bool)) -> Failure {
    Failure::Status {
        status,
        retry_after,
        decision,
    }
}

prop_compose! {
    fn any_question()(
        idempotent in any::<bool>(),
        replayable in prop::bool::weighted(0.8),
        attempts in 0_u32..6,
        failure in any_failure(),
        forbidden in prop::bool::weighted(0.2),
        millis in 0_u64..2_000,
    ) -> Question {
        let time_left = Duration::from_millis(millis);
        Question { idempotent, replayable, attempts, failure, forbidden, time_left }
    }
}

proptest! {
    /// Safety: whatever is asked, what is retried is safe to retry, fits the time, and costs exactly one token.
    #[test]
    fn a_retry_is_always_safe_in_time_and_paid_for(question in any_question(), random in any::<u64>(), empty in any::<bool>()) {
        let retry = Fixture::new();
        while empty && retry.shared.try_withdraw() {}
        let before = retry.shared.withdrawn();
        let decision = retry.decide(&question, random);
        match decision {
            RetryDecision::Retry { after } => {
                prop_assert!(!empty);
                prop_assert!(!question.forbidden && question.replayable);
                prop_assert!(question.idempotent || question.failure == Failure::Connect);
                prop_assert!(question.attempts < retry.parameters.attempts_max);
                prop_assert!(after < question.time_left);
                if let Failure::Status { status, retry_after, decision } = question.failure {
                    prop_assert!(!decision);
                    prop_assert!(status != 503 || retry_after.is_none());
                    prop_assert!(retry_after.is_none_or(|asked| after >= asked));
                } else {
                    prop_assert!(after <= retry.parameters.backoff_max);
                }
                prop_assert_eq!(retry.shared.withdrawn(), before + 1);
            }
            RetryDecision::GiveUp(_) => prop_assert_eq!(retry.shared.withdrawn(), before),
        }
    }

    /// No parameters, however absurd, make it panic.
    #[test]
    fn no_parameters_make_it_panic(
        question in any_question(),
        attempts in any::<u32>(),
        backoff_min in any::<Duration>(),
        backoff_max in any::<Duration>(),
        random in any::<u64>(),
    ) {
        let mut retry = Fixture::new();
        retry.parameters = RetryParameters { attempts_max: u32::MAX, backoff_min, backoff_max, ..retry.parameters };
        let question = Question { attempts, time_left: Duration::MAX, ..question };
        let _decision = retry.decide(&question, random);
    }
}

struct Fixture {
    rules: RetryRules,
    parameters: RetryParameters,
    shared: RetryShared,
}

impl Fixture {
    fn new() -> Self {
        let words = ["connect", "reset", "429", "502", "503", "504"];
        let parameters = RetryParameters {
            attempts_max: 3,
            ..RetryParameters::default()
        };
        Self {
            rules: words.iter().map(|word| word.parse().unwrap()).collect(),
            shared: RetryShared::new(parameters.grant()),
            parameters,
        }
    }

    /// One for which all is well, but for the failure.
    fn question(&self, failure: Failure) -> Question {
        Question {
            idempotent: true,
            replayable: true,
            attempts: 1,
            failure,
            forbidden: false,
            time_left: IN_TIME,
        }
    }

    fn decide(&self, question: &Question, random: u64) -> RetryDecision {
        decide(
            question,
            &self.rules,
            &self.parameters,
            &self.shared,
            random,
        )
    }

    #[track_caller]
    fn gives_up(&self, mut question: Question, change: impl FnOnce(&mut Question), why: WhyNot) {
        change(&mut question);
        assert_eq!(self.decide(&question, 0), RetryDecision::GiveUp(why));
    }
}

fn again(after: Duration) -> RetryDecision {
    RetryDecision::Retry { after }
}

fn status(status: u16) -> Failure {
    Failure::Status {
        status,
        retry_after: None,
        decision: false,
    }
}
