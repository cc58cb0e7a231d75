//! What an incident would have been without Plimsoll, on request: the simulator is handed to the console.
//!
//! It takes up to seconds of a core, so it runs on a thread of its own, one at a time: whoever asks meanwhile waits. What came of
//! the last questions is kept. Elsewhere: the estimate itself (`plimsoll-simulator`, `without`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_console::{Answer, Estimate, Problem, WithoutPlimsoll, WithoutQuery};
use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::{Courses, ServiceView};
use plimsoll_simulator::without::{Asked, without};
use tokio::sync::Mutex;

use crate::journal::Since;

/// Answers that are kept: a few incidents that somebody looks at.
const KEPT_MAX: usize = 16;
/// What ends now ends at such a whole multiple of seconds, so that who looks again finds the same answer.
const GRAIN: u64 = 30;

/// What was asked, and what came of it.
#[derive(Default)]
pub(crate) struct Estimates(Arc<Mutex<VecDeque<(Question, WithoutPlimsoll)>>>);

#[derive(Clone, Debug, PartialEq)]
struct Question {
    service: String,
    /// `None`: it has no objective for latency.
    asked: Option<Asked>,
}

impl Estimates {
    /// `courses` are those of the service.
    pub(crate) fn ask(
        &self,
        service: &ServiceView,
        query: &WithoutQuery,
        now: Timestamp,
        courses: Courses,
    ) -> Answer<WithoutPlimsoll> {
        let question = question(service, query, now);
        let known = Arc::clone(&self.0);
        Box::pin(async move {
            let (question, from, until) = question?;
            // Held while it is computed: one at a time.
            let mut known = known.lock().await;
            if let Some((_, answer)) = known.iter().find(|(it, _)| *it == question) {
                return Ok(answer.clone());
            }
            let (service, asked) = (question.service.clone(), question.asked);
            let computed = tokio::task::spawn_blocking(move || estimate(&courses, &service, asked));
            let (estimate, unknown) = match computed.await {
                Ok(Ok(estimate)) => (Some(estimate), None),
                Ok(Err(why)) => (None, Some(why)),
                Err(_) => return Err(Problem::unavailable("the estimate failed: see the log")),
            };
            let answer = WithoutPlimsoll {
                service: question.service.clone(),
                from,
                until,
                estimate,
                unknown,
            };
            if known.len() == KEPT_MAX {
                known.pop_front();
            }
            known.push_back((question, answer.clone()));
            Ok(answer)
        })
    }
}

fn question(
    service: &ServiceView,
    query: &WithoutQuery,
    now: Timestamp,
) -> Result<(Question, Timestamp, Timestamp), Problem> {
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
    let acts = service.mode == Mode::Enforce
        && service
            .protection
            .as_ref()
            .is_some_and(|it| it.mode == Mode::Enforce);
    let asked = late.map(|late| Asked {
        from,
        until,
        late: Duration::try_from_secs_f64(late).unwrap_or_default(),
        acts,
    });
    let service = service.name.clone();
    let times = (
        Timestamp::from_seconds(from),
        Timestamp::from_seconds(until),
    );
    Ok((Question { service, asked }, times.0, times.1))
}

fn estimate(courses: &Courses, service: &str, asked: Option<Asked>) -> Result<Estimate, String> {
    let asked =
        asked.ok_or("the service has no objective for latency: what is late is not known")?;
    let said = without(courses, service, &asked).map_err(|why| why.to_string())?;
    Ok(Estimate {
        requests: said.requests,
        bad: said.bad,
        without: said.without,
        least: said.least,
        most: said.most,
    })
}
