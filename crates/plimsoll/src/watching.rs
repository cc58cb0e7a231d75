//! A change that is watched: which services, what of them, and how far it has come.
//!
//! What is looked at are steps of 5 s of the services that the change is about: how many requests were bad, whoever's fault it
//! was, for a limit that is set too low shows as refusals of Plimsoll itself; and, where a latency is promised, how many
//! were slower. Beside them, how many requests no route led to a service, for a route may be gone. The step in which the change was made is left out: it is of both.

mod unrouted;

use std::collections::BTreeMap;

use plimsoll_config::{Config, ObjectiveKind};
use plimsoll_console::WatchView;
use plimsoll_core::Timestamp;
use plimsoll_governor::Scope;
use plimsoll_measure::{Courses, Step, StepLength, figure, row_upper};
use plimsoll_policy::{ChangeWatch, Suffering, WatchBatch, WatchEvidence};
use serde::{Deserialize, Serialize};

use crate::state::StateFolder;

pub(crate) use unrouted::Unrouted;

/// What may be bad where nothing is promised.
const ALLOWED: f64 = 0.01;
/// Stands for requests that are of no service: none has an empty name.
const NO_SERVICE: &str = "";
/// The file that a watch survives a restart by.
const FILE: &str = "watch.json";
/// How many services are watched at most: those that come first by name.
const SERVICES_MAX: usize = 1_000;
/// How often a process may begin anew under a watch: one that dies again and again under a change suffers from it.
pub(crate) const STARTS_MAX: u32 = 3;

/// What is watched of a service: bad requests, or those slower than an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    service: String,
    /// The objective; `None`: bad requests, whatever is promised.
    objective: Option<String>,
    below_seconds: Option<f64>,
    allowed: f64,
    /// Requests and bad ones of each step before.
    before: Vec<(u64, u64)>,
}

/// All that must outlive the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) plan: String,
    pub(crate) by: String,
    /// Seconds since the epoch.
    pub(crate) since: u64,
    pub(crate) until: u64,
    /// Of the text that is watched.
    pub(crate) sha256: String,
    pub(crate) file: String,
    /// What to return to.
    pub(crate) former: String,
    /// How often a process began under it.
    pub(crate) starts: u32,
    kept: Vec<Kept>,
}

/// A watch that is on.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) watched: Watched,
    watches: Vec<ChangeWatch>,
    /// The step that is looked at next begins at or after it.
    next: BTreeMap<String, u64>,
}

/// What is applied, by whom, and what was there before.
pub(crate) struct Begun {
    pub(crate) plan: String,
    pub(crate) by: String,
    pub(crate) sha256: String,
    pub(crate) file: String,
    pub(crate) former: String,
}

/// A service that suffers from a change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suffers {
    pub(crate) service: String,
    objective: Option<String>,
    pub(crate) evidence: WatchEvidence,
}

impl Suffers {
    /// In words, with the evidence.
    pub(crate) fn says(&self) -> String {
        let WatchEvidence {
            suffering,
            before,
            after,
            bad,
            requests,
            ..
        } = self.evidence;
        if self.service == NO_SERVICE {
            let before = before.map_or("unknown".to_owned(), |it| figure::percent(Some(it), ""));
            return format!(
                "{bad} of {requests} requests were led to no service by a route: {}, {before} before",
                figure::percent(Some(after), "")
            );
        }
        let what = match &self.objective {
            None => "were bad".to_owned(),
            Some(objective) => format!("were slower than its objective `{objective}` allows"),
        };
        let before = match before {
            Some(before) => format!("{} before", figure::percent(Some(before), "")),
            None => "too few requests before to tell".to_owned(),
        };
        let how = match suffering {
            Suffering::Plunge => "at once",
            Suffering::Drift => "more than by chance",
        };
        format!(
            "{bad} of {requests} requests of {} {what}: {}, {before}; {how}",
            self.service,
            figure::percent(Some(after), "")
        )
    }
}

impl Watching {
    /// Begins after a change of these services. `None`: it is about none that serves requests.
    pub(crate) fn begin(
        begun: Begun,
        scope: &Scope,
        config: &Config,
        (courses, unrouted): (&Courses, &Unrouted),
        now: Timestamp,
        seconds: u64,
    ) -> Option<Self> {
        let since = now.as_seconds();
        let touched: Vec<&String> = match scope {
            Scope::All => config.services.keys().take(SERVICES_MAX).collect(),
            Scope::Services(names) => {
                let there = names.iter().filter(|it| config.services.contains_key(*it));
                there.take(SERVICES_MAX).collect()
            }
            Scope::OffPath => Vec::new(),
        };
        let mut kept = Vec::new();
        for name in touched {
            let steps = courses.steps(name, StepLength::Short);
            let over = |step: &&Step| step.start + StepLength::Short.seconds() <= since;
            let before: Vec<&Step> = steps.iter().filter(over).collect();
            let objectives = config.services.get(name).map(|it| &it.objectives);
            let objectives = objectives.into_iter().flatten();
            let mut allowed = f64::INFINITY;
            for (objective, it) in objectives {
                let leaves = 1.0 - it.target.get();
                let ObjectiveKind::Latency { below } = it.kind else {
                    allowed = allowed.min(leaves);
                    continue;
                };
                let below = below.as_secs_f64();
                let batches = before.iter().map(|step| slower(step, below));
                kept.push(Kept {
                    service: name.clone(),
                    objective: Some(objective.clone()),
                    below_seconds: Some(below),
                    allowed: leaves,
                    before: batches.map(|it| (it.requests, it.bad)).collect(),
                });
            }
            kept.push(Kept {
                service: name.clone(),
                objective: None,
                below_seconds: None,
                allowed: if allowed.is_finite() {
                    allowed
                } else {
                    ALLOWED
                },
                before: before
                    .iter()
                    .map(|step| failed(step))
                    .map(|it| (it.requests, it.bad))
                    .collect(),
            });
        }
        if kept.is_empty() {
            return None;
        }
        let over = |start: u64| start + StepLength::Short.seconds() <= since;
        let before = unrouted.ended_since(0).filter(|(start, _)| over(*start));
        kept.push(Kept {
            service: NO_SERVICE.to_owned(),
            objective: None,
            below_seconds: None,
            allowed: ALLOWED,
            before: before.map(|(_, it)| (it.requests, it.bad)).collect(),
        });
        let Begun {
            plan,
            by,
            sha256,
            file,
            former,
        } = begun;
        let watched = Watched {
            plan,
            by,
            since,
            until: since + seconds,
            sha256,
            file,
            former,
            starts: 0,
            kept,
        };
        Some(Self::of(watched, since))
    }

    /// Goes on from `from`, in seconds since the epoch.
    fn of(watched: Watched, from: u64) -> Self {
        let steps = watched.until.saturating_sub(from) / StepLength::Short.seconds();
        let window = u32::try_from(steps).unwrap_or(u32::MAX).max(1);
        // Each of several watches may find what is not there: together no more than one alone.
        let window = window.saturating_mul(u32::try_from(watched.kept.len()).unwrap_or(u32::MAX));
        let watches = watched.kept.iter().map(|kept| {
            let before = kept.before.iter();
            let before = before.map(|(requests, bad)| WatchBatch {
                requests: *requests,
                bad: *bad,
            });
            ChangeWatch::new(&before.collect::<Vec<_>>(), kept.allowed, window)
        });
        let watches = watches.collect();
        let next = watched.kept.iter().map(|it| (it.service.clone(), from));
        let next = next.collect();
        Self {
            watches,
            next,
            watched,
        }
    }

    /// The watch that another process left, to be gone on with; it lasts for `least` seconds from now on at least.
    pub(crate) fn resume(state: &StateFolder, now: Timestamp, least: u64) -> Option<Self> {
        let bytes = std::fs::read(state.path().join(FILE)).ok()?;
        let read: Result<Watched, _> = serde_json::from_slice(&bytes);
        let mut watched = read
            .inspect_err(
                |error| tracing::warn!(%error, file = FILE, "a watch can't be gone on with"),
            )
            .ok()?;
        let now = now.as_seconds();
        watched.starts = watched.starts.saturating_add(1);
        watched.until = watched.until.max(now + least);
        Some(Self::of(watched, now))
    }

    pub(crate) fn keep(&self, state: &StateFolder) {
        crate::kept::write(state, FILE, &self.watched);
    }

    pub(crate) fn forget(state: &StateFolder) {
        state.remove(FILE);
    }

    /// Looks at what is over since it last looked.
    pub(crate) fn look(&mut self, courses: &Courses, unrouted: &Unrouted) -> Option<Suffers> {
        let mut found = None;
        let mut seen = BTreeMap::new();
        for (kept, watch) in self.watched.kept.iter().zip(&mut self.watches) {
            let from = self.next.get(&kept.service).copied().unwrap_or(0);
            let judged = |step: &Step| {
                let batch = match kept.below_seconds {
                    Some(below) => slower(step, below),
                    None => failed(step),
                };
                (step.start, batch)
            };
            let batches: Vec<(u64, WatchBatch)> = match kept.service.as_str() {
                NO_SERVICE => unrouted.ended_since(from).collect(),
                service => courses.ended_since(service, from).map(judged).collect(),
            };
            for (start, batch) in batches {
                seen.insert(kept.service.clone(), start + 1);
                if let Some(evidence) = watch.on_batch(batch)
                    && found.is_none()
                {
                    found = Some(Suffers {
                        service: kept.service.clone(),
                        objective: kept.objective.clone(),
                        evidence,
                    });
                }
            }
        }
        self.next.extend(seen);
        found
    }

    /// The services that are watched.
    pub(crate) fn services(&self) -> Vec<String> {
        let names = self.next.keys().filter(|it| *it != NO_SERVICE);
        names.cloned().collect()
    }

    /// What was seen so far, in words.
    pub(crate) fn seen(&self) -> String {
        let whole = self.watched.kept.iter().zip(&self.watches);
        let whole =
            whole.filter(|(kept, _)| kept.objective.is_none() && kept.service != NO_SERVICE);
        let sum = whole.fold(WatchBatch::default(), |sum, (_, watch)| WatchBatch {
            requests: sum.requests + watch.after().requests,
            bad: sum.bad + watch.after().bad,
        });
        match sum.requests {
            0 => "too few requests to tell".to_owned(),
            requests => format!("{} of {requests} requests were bad", sum.bad),
        }
    }

    pub(crate) fn view(&self, state: &str, evidence: String) -> WatchView {
        let Watched {
            plan,
            by,
            since,
            until,
            ..
        } = &self.watched;
        WatchView {
            plan: plan.clone(),
            by: by.clone(),
            since: Timestamp::from_seconds(*since),
            until: Timestamp::from_seconds(*until),
            services: self.services(),
            state: state.to_owned(),
            evidence,
        }
    }
}

fn failed(step: &Step) -> WatchBatch {
    WatchBatch {
        requests: step.good + step.bad,
        bad: step.bad,
    }
}

/// To the row of the histogram, which is a fifth wide: the same before and after.
fn slower(step: &Step, below: f64) -> WatchBatch {
    let count =
        |rows: &mut dyn Iterator<Item = &(u8, u32)>| rows.map(|(_, count)| u64::from(*count)).sum();
    WatchBatch {
        requests: count(&mut step.rows.iter()),
        bad: count(&mut step.rows.iter().filter(|(row, _)| row_upper(*row) > below)),
    }
}
