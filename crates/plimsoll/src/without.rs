//! What an incident would have been without Plimsoll, on request: the simulator is handed to the console.
//!
//! It takes up to seconds of a core, so it runs on a thread of its own, one at a time and within a share of a core: whoever asks
//! meanwhile waits. What came of the last questions is kept, and given to whoever asks the same without a wait.
//! Elsewhere: the estimate itself (`plimsoll-simulator`, `without`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plimsoll_console::{Answer, Estimate, Problem, Turns, WithoutPlimsoll, WithoutQuery};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Courses, ServiceView};
use plimsoll_simulator::without::{Asked, without};
use tokio::sync::OnceCell;

use crate::journal::Since;

/// Of one core. Not the share of the pages: those would wait for as long as one estimate has to be paid for.
const SHARE: f64 = 0.1;
/// So much of it at once, after a pause: an estimate or a few.
const BURST: Duration = Duration::from_secs(3);
/// Answers that are kept: a few incidents that somebody looks at.
const KEPT_MAX: usize = 16;
/// What ends now ends at such a whole multiple of seconds, so that who looks again finds the same answer.
const GRAIN: u64 = 30;

/// What was asked, and what came of it, once that is known: those who ask the same meanwhile wait for one computation.
type Kept = (Question, Arc<OnceCell<WithoutPlimsoll>>);

/// See the module's docs.
pub(crate) struct Estimates {
    turns: Turns,
    known: Mutex<VecDeque<Kept>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Question {
    service: String,
    from: u64,
    until: u64,
    /// `None`: it has no objective for latency.
    late: Option<Duration>,
}

impl Estimates {
    pub(crate) fn new() -> Self {
        Self::within(Turns::new(SHARE, BURST))
    }

    fn within(turns: Turns) -> Self {
        Self {
            turns,
            known: Mutex::default(),
        }
    }

    /// `courses` gives those of the service: it is asked once they are needed, where a wait harms nobody.
    pub(crate) fn ask(
        &self,
        service: &ServiceView,
        query: &WithoutQuery,
        now: Timestamp,
        courses: impl FnOnce() -> Courses + Send + 'static,
    ) -> Answer<WithoutPlimsoll> {
        let question = match question(service, query, now) {
            Ok(question) => question,
            Err(problem) => return Box::pin(async { Err(problem) }),
        };
        let answer = self.answer(&question);
        let turns = self.turns.clone();
        Box::pin(async move {
            let compute = || async move {
                let asked = question.clone();
                let computed = turns.run(move || estimate(&courses(), &asked)).await;
                let (estimate, unknown) = match computed {
                    Ok(Ok(estimate)) => (Some(estimate), None),
                    Ok(Err(why)) => (None, Some(why)),
                    Err(_) => return Err(Problem::unavailable("the estimate failed: see the log")),
                };
                Ok(WithoutPlimsoll {
                    service: question.service,
                    from: Timestamp::from_seconds(question.from),
                    until: Timestamp::from_seconds(question.until),
                    estimate,
                    unknown,
                })
            };
            answer.get_or_try_init(compute).await.cloned()
        })
    }

    /// Where the answer to a question is, or will be.
    fn answer(&self, question: &Question) -> Arc<OnceCell<WithoutPlimsoll>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, answer)) = known.iter().find(|(it, _)| it == question) {
            return Arc::clone(answer);
        }
        if known.len() == KEPT_MAX {
            known.pop_front();
        }
        let answer = Arc::default();
        known.push_back((question.clone(), Arc::clone(&answer)));
        answer
    }
}

fn question(
    service: &ServiceView,
    query: &WithoutQuery,
    now: Timestamp,
) -> Result<Question, Problem> {
    let time = |key: &str, text: &str| {
        let since = text.parse::<Since>();
        let since = since.map_err(|why| Problem::invalid(format!("`{key}`: {why}")))?;
        Ok(since.as_of(now).as_seconds())
    };
    let from = time("from", &query.from)?;
    let until = match &query.until {
        Some(text) => time("until", text)?,
        None => now.as_seconds() / GRAIN * GRAIN,
    };
    if from >= until {
        return Err(Problem::invalid("`from` is to be before `until`"));
    }
    let below = service.objectives.iter().filter_map(|it| it.below_seconds);
    let late = below.reduce(f64::min);
    Ok(Question {
        service: service.name.clone(),
        from,
        until,
        late: late.map(|late| Duration::try_from_secs_f64(late).unwrap_or_default()),
    })
}

fn estimate(courses: &Courses, question: &Question) -> Result<Estimate, String> {
    let late = question.late;
    let asked = Asked {
        from: question.from,
        until: question.until,
        late: late.ok_or("the service has no objective for latency: what is late is not known")?,
    };
    let said = without(courses, &question.service, &asked).map_err(|why| why.to_string())?;
    Ok(Estimate {
        requests: said.requests,
        bad: said.bad,
        without: said.without,
        least: said.least,
        most: said.most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A service without an objective for latency: why nothing can be told is found at once.
    fn service() -> ServiceView {
        let mut snapshot = crate::status::made_up::made_up();
        let mut service = snapshot.services.remove(0);
        service.objectives.clear();
        service
    }

    #[tokio::test]
    async fn what_was_computed_is_given_at_once_and_what_was_not_waits_for_its_share() {
        // Of next to nothing of a core: another turn is minutes away, however little the first one took.
        let estimates = Estimates::within(Turns::new(1e-9, Duration::ZERO));
        let service = service();
        let now = Timestamp::from_seconds(1_795_615_852);
        let ask = |from: &str| {
            let query = WithoutQuery {
                from: from.to_owned(),
                until: None,
            };
            estimates.ask(&service, &query, now, Courses::default)
        };
        let first = ask("30m").await.unwrap();
        assert!(first.unknown.is_some_and(|why| why.contains("objective")));
        for _ in 0..3 {
            let again = tokio::time::timeout(30 * SECOND, ask("30m")).await;
            assert!(again.is_ok_and(|it| it.is_ok()));
        }
        let other = tokio::time::timeout(SECOND / 10, ask("20m")).await;
        assert!(other.is_err());
    }

    #[tokio::test]
    async fn what_many_ask_at_once_is_computed_once() {
        let estimates = Estimates::new();
        let service = service();
        let now = Timestamp::from_seconds(1_795_615_852);
        let query = WithoutQuery {
            from: "30m".to_owned(),
            until: None,
        };
        let (tell, told) = std::sync::mpsc::channel();
        let ask = || {
            let tell = tell.clone();
            estimates.ask(&service, &query, now, move || {
                let _nobody_listens = tell.send(());
                Courses::default()
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert!(a.is_ok() && a.as_ref().ok() == b.as_ref().ok() && b.ok() == c.ok());
        assert_eq!(told.try_iter().count(), 1);
    }
}
