//! What the process shows of itself: to the console, to scrapers, to the command line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use plimsoll_console::{
    Answer, Answered, Applying, Caller, ChangePlan, Changed, ConfigurationText, Configurations,
    Control, FlagChange, FlagEvaluated, FlagList, FlagView, Freezing, How, IncidentRecords,
    JournalQuery, Past, PastView, PlanWanted, Problem, Purging, Records, RollbackWanted,
    RolloutDeed, Runbook, Setting, TokenCreated, TokenWanted, Tokens, Tried, Turns, Verb, Water,
    WithoutPlimsoll, WithoutQuery,
};
use plimsoll_core::{Class, Instant, Mode, Timestamp};
use plimsoll_gateway::{AccessLogSender, CacheCounts, CacheStats, GuardView, Plan, ServicePlan};
use plimsoll_lifecycle::Counter;
use plimsoll_measure::{
    ApprovalView, CacheDiskView, CacheStoreView, CacheView, ChangesView, Courses, Deed,
    EndpointInput, EndpointState, Format, GovernedView, Incidents, ProcessView, ProtectionCounter,
    ProtectionInput, Registry, RolloutView, ServiceInput, Snapshot, VersionView,
};
use plimsoll_policy::{AdmissionParameters, LimiterKind, Verdict, Would};
use plimsoll_upstream::{Clock, Cluster, Group};
use tokio::sync::mpsc;

use crate::access::TokenRegister;
use crate::asked::{Asked, ask};
use crate::flags::shown::FlagsShared;
use crate::journal::read::JournalReader;
use crate::kept;
use crate::past::Pasts;
use crate::planning::{self, InForce};
use crate::process::not_read;
use crate::state::StateFolder;
use crate::status::look::clean;
use crate::without::Estimates;

/// Shared between the control thread's loop and its servers.
pub(crate) struct View {
    pub(crate) registry: Arc<Registry>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Written each second, read where a page is drawn: never held for longer than a copy takes.
    pub(crate) courses: Arc<Mutex<Courses>>,
    /// Read again each minute.
    pub(crate) water: ArcSwap<Water>,
    /// Read when somebody looks.
    pub(crate) pasts: Pasts,
    /// `None`: not read yet.
    pub(crate) incidents: ArcSwapOption<Incidents>,
    /// How those of the configuration stand.
    pub(crate) rollouts: ArcSwap<Vec<RolloutView>>,
    /// What to do, as the people of services wrote it down.
    pub(crate) runbooks: ArcSwap<BTreeMap<String, Runbook>>,
    /// The text of the configuration in force, without what may be secret in it.
    pub(crate) configuration: ArcSwap<String>,
    /// What a plan is made against.
    pub(crate) in_force: ArcSwap<InForce>,
    /// What was in force, and how a change that is watched goes.
    pub(crate) configurations: ArcSwap<Configurations>,
    pub(crate) state: StateFolder,
    /// What waits for approval, and what came of others.
    pub(crate) approvals: ArcSwap<Vec<ApprovalView>>,
    pub(crate) access_log: AccessLogSender,
    pub(crate) started: Timestamp,
    /// Why no new requests are welcome.
    pub(crate) not_ready: Mutex<Option<String>>,
    pub(crate) clock: Clock,
    pub(crate) tokens: ArcSwap<TokenRegister>,
    pub(crate) journal: JournalReader,
    pub(crate) asks: mpsc::Sender<Asked>,
    pub(crate) estimates: Estimates,
    pub(crate) flags: Arc<FlagsShared>,
    /// What is read and drawn for people is, in turn.
    pub(crate) turns: Turns,
}

impl View {
    pub(crate) fn set_not_ready(&self, why: Option<&str>) {
        *self
            .not_ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = why.map(str::to_owned);
    }
}

impl Control for View {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    fn courses(&self, look: &mut dyn FnMut(&Courses)) {
        look(&self.courses.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn water(&self) -> Arc<Water> {
        self.water.load_full()
    }

    fn past(&self, service: &str, past: Past) -> Result<Arc<PastView>, Problem> {
        self.pasts.of(service, past, self.clock.timestamp())
    }

    fn configuration(&self) -> Arc<str> {
        self.configuration.load().as_str().into()
    }

    fn metrics(&self, format: Format) -> String {
        let process = process_view(self.started, self.access_log.dropped());
        plimsoll_measure::render_metrics(
            format,
            &self.registry.read(),
            &self.snapshot.load(),
            &process,
            &ChangesView {
                rollouts: &self.rollouts.load(),
                flags: &self.flags.counts(),
            },
        )
    }

    fn request(&self, id: &str) -> Option<String> {
        self.access_log.find(id)
    }

    fn ready(&self) -> Result<(), String> {
        match &*self
            .not_ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    fn caller(&self, secret: &[u8]) -> Result<Caller, Problem> {
        self.tokens.load().caller(secret, self.clock.timestamp())
    }

    fn holder(&self, token: &[u8; 32]) -> Result<Caller, Problem> {
        self.tokens.load().holder(token, self.clock.timestamp())
    }

    fn reload(&self, by: &Caller, how: How) -> Answer<Changed> {
        let by = by.name.clone();
        ask(&self.asks, |tell| Asked::Reload { by, how, tell })
    }

    fn approvals(&self) -> Arc<Vec<ApprovalView>> {
        self.approvals.load_full()
    }

    fn answer_approval(&self, by: &Caller, id: u64, answered: Answered) -> Answer<Changed> {
        let by = by.name.clone();
        ask(&self.asks, move |tell| Asked::AnswerApproval {
            by,
            id,
            answered,
            tell,
        })
    }

    fn freeze(&self, by: &Caller, service: Option<&str>, freezing: Freezing) -> Answer<Changed> {
        let (by, service) = (by.name.clone(), service.map(str::to_owned));
        ask(&self.asks, |tell| Asked::Freeze {
            by,
            service,
            freezing,
            tell,
        })
    }

    fn end_freeze(&self, by: &Caller, service: Option<&str>, how: How) -> Answer<Changed> {
        let (by, service) = (by.name.clone(), service.map(str::to_owned));
        ask(&self.asks, |tell| Asked::EndFreeze {
            by,
            service,
            how,
            tell,
        })
    }

    fn plan(&self, wanted: PlanWanted) -> Answer<ChangePlan> {
        let in_force = self.in_force.load_full();
        // Reads and compares files: not on the control thread.
        let planned = tokio::task::spawn_blocking(move || planning::plan(&in_force, wanted));
        Box::pin(async move {
            let failed = |_| Problem::unavailable("the plan could not be made: see the log");
            planned.await.map_err(failed)?
        })
    }

    fn apply(&self, by: &Caller, applying: Applying) -> Answer<Changed> {
        let by = by.name.clone();
        ask(&self.asks, |tell| Asked::Apply { by, applying, tell })
    }

    fn configurations(&self) -> Arc<Configurations> {
        self.configurations.load_full()
    }

    fn configuration_text(&self, number: u64) -> Answer<ConfigurationText> {
        let state = self.state.clone();
        let all = self.configurations.load();
        let is_latest = all.configurations.first().map(|it| it.number) == Some(number);
        let read = tokio::task::spawn_blocking(move || kept::text(&state, number, is_latest));
        Box::pin(async move {
            read.await.ok().flatten().ok_or_else(|| {
                Problem::not_found(format!(
                    "configuration {number} is not kept: see `plimsoll config list`"
                ))
            })
        })
    }

    fn roll_back(&self, by: &Caller, wanted: RollbackWanted) -> Answer<Changed> {
        let by = by.name.clone();
        ask(&self.asks, |tell| Asked::RollBack { by, wanted, tell })
    }

    fn journal(&self, asked: JournalQuery) -> Answer<Records> {
        self.journal.read(asked)
    }

    fn without(&self, service: &str, asked: WithoutQuery) -> Answer<WithoutPlimsoll> {
        // Says which services there are.
        if let Err(problem) = self.owner(service) {
            return Box::pin(async move { Err(problem) });
        }
        let snapshot = self.snapshot.load();
        let Some(found) = snapshot.services.iter().find(|it| it.name == service) else {
            return Box::pin(async { Err(Problem::not_found("there is no such service")) });
        };
        let (courses, name) = (Arc::clone(&self.courses), service.to_owned());
        let courses = move || {
            let courses = courses.lock().unwrap_or_else(PoisonError::into_inner);
            courses.only(&name)
        };
        self.estimates
            .ask(found, &asked, self.clock.timestamp(), courses)
    }

    fn tokens(&self) -> Result<Tokens, Problem> {
        self.tokens.load().list(self.clock.timestamp())
    }

    fn create_token(
        &self,
        by: &Caller,
        wanted: TokenWanted,
        lasts: Option<Duration>,
    ) -> Answer<TokenCreated> {
        let by = by.name.clone();
        ask(&self.asks, move |tell| Asked::CreateToken {
            by,
            wanted,
            lasts,
            tell,
        })
    }

    fn owner(&self, service: &str) -> Result<Option<String>, Problem> {
        let snapshot = self.snapshot.load();
        let mut services = snapshot.services.iter();
        if let Some(found) = services.find(|it| it.name == service) {
            return Ok(found.owner.clone());
        }
        let names = snapshot.services.iter().map(|it| it.name.as_str());
        let service = clean(service);
        let meant = plimsoll_config::nearest(&service, names);
        let meant = meant.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        Err(Problem::not_found(format!(
            "there is no service `{service}`{meant}"
        )))
    }

    fn set(&self, by: &Caller, service: &str, setting: Setting) -> Answer<Changed> {
        let (by, service) = (by.name.clone(), service.to_owned());
        ask(&self.asks, |tell| Asked::Set {
            by,
            service,
            setting,
            tell,
        })
    }

    fn end(&self, by: &Caller, service: &str, verb: Verb) -> Answer<Changed> {
        let (by, service) = (by.name.clone(), service.to_owned());
        ask(&self.asks, move |tell| Asked::End {
            by,
            service,
            verb,
            tell,
        })
    }

    fn purge(&self, by: &Caller, service: &str, purging: Purging) -> Answer<Changed> {
        let (by, service) = (by.name.clone(), service.to_owned());
        ask(&self.asks, |tell| Asked::Purge {
            by,
            service,
            purging,
            tell,
        })
    }

    fn rollouts(&self) -> Arc<Vec<RolloutView>> {
        self.rollouts.load_full()
    }

    fn roll(&self, by: &Caller, rollout: &str, deed: RolloutDeed) -> Answer<Changed> {
        let (by, rollout) = (by.name.clone(), rollout.to_owned());
        ask(&self.asks, |tell| Asked::Roll {
            by,
            rollout,
            deed,
            tell,
        })
    }
    fn flags(&self) -> FlagList {
        self.flags.list(self.clock.timestamp())
    }

    fn flag(&self, key: &str) -> Option<FlagView> {
        self.flags.one(key, self.clock.timestamp())
    }

    fn evaluate_flag(
        &self,
        key: &str,
        context: serde_json::Value,
    ) -> Result<FlagEvaluated, Problem> {
        self.flags.evaluate(key, context, self.clock.timestamp())
    }

    fn change_flag(&self, by: &Caller, key: &str, change: FlagChange) -> Answer<Changed> {
        let (by, key) = (by.name.clone(), key.to_owned());
        ask(&self.asks, move |tell| Asked::ChangeFlag {
            by,
            key,
            change,
            tell,
        })
    }

    fn try_notifiers(&self, by: &Caller, name: Option<String>) -> Answer<Tried> {
        let by = by.name.clone();
        ask(&self.asks, |tell| Asked::TryNotifiers { by, name, tell })
    }

    fn incidents(&self) -> Result<Arc<Incidents>, Problem> {
        self.incidents.load_full().ok_or_else(not_read)
    }

    fn runbook(&self, service: &str) -> Option<Runbook> {
        self.runbooks.load().get(service).cloned()
    }

    fn incident_records(&self, incident: u64) -> Answer<IncidentRecords> {
        match self.incidents() {
            Ok(known) => self.journal.incident(known, incident),
            Err(problem) => Box::pin(async { Err(problem) }),
        }
    }

    fn review(&self, incident: u64) -> Answer<String> {
        match self.incidents() {
            Ok(known) => self.journal.review(known, incident),
            Err(problem) => Box::pin(async { Err(problem) }),
        }
    }

    fn act(&self, by: &Caller, incident: u64, deed: Deed) -> Answer<Changed> {
        let by = by.name.clone();
        ask(&self.asks, move |tell| Asked::Act {
            by,
            incident,
            deed,
            tell,
        })
    }

    fn revoke_token(&self, by: &Caller, name: &str) -> Answer<Changed> {
        let (by, name) = (by.name.clone(), name.to_owned());
        ask(&self.asks, |tell| Asked::RevokeToken { by, name, tell })
    }
}

/// What Linux says of this process.
fn process_view(started: Timestamp, access_log_dropped: u64) -> ProcessView {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces: what follows it is counted.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let number = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok());
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    let page_bytes = rustix::param::page_size() as f64;
    ProcessView {
        cpu_seconds: number(11)
            .zip(number(12))
            .map(|(user, system)| (user + system) / ticks_per_second),
        resident_bytes: number(21).map(|pages| (pages * page_bytes) as u64),
        open_fds: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|list| list.count() as u64),
        max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        start_time_seconds: Some(started.as_nanos() as f64 / 1e9),
        access_log_dropped,
    }
}

/// When endpoints last went up or down.
pub(crate) type Since = BTreeMap<(String, String), Timestamp>;

/// The states of all services, as the data plane sees them now.
pub(crate) fn service_inputs(
    plan: &Plan,
    since: &Since,
    guards: &BTreeMap<String, GuardView>,
    governed: impl Fn(&str) -> Option<GovernedView>,
    now: Instant,
) -> BTreeMap<String, ServiceInput> {
    let mut inputs = BTreeMap::new();
    for service in &plan.services {
        let mut endpoints = BTreeMap::new();
        let mut up = 0;
        for (place, endpoint) in service.cluster.endpoints.iter().enumerate() {
            let version = service.cluster.version_at(place);
            let state = match endpoint.shared.verdict() {
                verdict @ Verdict::Up { .. } => {
                    up += u32::from(version.is_none());
                    if verdict.weight(now) < 1.0 {
                        EndpointState::SlowStart
                    } else {
                        EndpointState::Up
                    }
                }
                Verdict::HalfOpen => EndpointState::HalfOpen,
                Verdict::Down(_) => EndpointState::Down,
            };
            let key = (service.name.clone(), endpoint.name.clone());
            let input = EndpointInput {
                version: version.map(str::to_owned),
                state,
                since: since.get(&key).copied(),
                in_flight: Some(endpoint.shared.in_flight().into()),
            };
            endpoints.insert(endpoint.name.clone(), input);
        }
        let input = ServiceInput {
            in_flight: Some(service.shared.in_flight().into()),
            serving_to_all: up == 0,
            endpoints,
            routes_in_flight: BTreeMap::new(),
            protection: guards
                .get(&service.name)
                .map(|guard| protection_input(guard, &service.guard.admission, &service.cluster)),
            governed: governed(&service.name),
            cache: (!service.cached.is_empty()).then(|| cache_view(service.shared.cache_counts())),
            versions: versions(service),
        };
        inputs.insert(service.name.clone(), input);
    }
    inputs
}

/// The other versions of a service.
fn versions(service: &ServicePlan) -> Vec<VersionView> {
    let groups = service.cluster.groups.iter().enumerate();
    let view = |(place, group): (usize, &Group)| {
        let rollout = service.rollout.as_deref().filter(|it| it.group == place);
        Some(VersionView {
            name: group.version.clone()?,
            rollout: rollout.map(|it| it.shared.name.clone()),
            kind: rollout.map(|it| it.kind.name().to_owned()),
            weight: rollout.map_or(0.0, |it| it.shared.weight().share()),
            instead: rollout.map_or(0, |it| it.shared.counts().instead),
        })
    };
    groups.filter_map(view).collect()
}

fn cache_view(counts: CacheCounts) -> CacheView {
    let CacheCounts {
        hit,
        stale,
        miss,
        collapsed,
        revalidated,
        bypass,
    } = counts;
    CacheView {
        hit,
        stale,
        miss,
        collapsed,
        revalidated,
        bypass,
    }
}

/// What is stored of answers, if any route stores some.
pub(crate) fn cache_store(plan: &Plan, stats: CacheStats) -> Option<CacheStoreView> {
    let stores = plan.services.iter().any(|it| !it.cached.is_empty());
    stores.then_some(CacheStoreView {
        entries: stats.entries,
        bytes: stats.bytes,
        bytes_max: stats.bytes_max,
        filling_bytes: stats.filling_bytes,
        evictions_total: stats.evictions,
        disk: stats.disk.map(|disk| CacheDiskView {
            bytes: disk.bytes,
            bytes_max: disk.bytes_max,
            written_total: disk.written,
            read_total: disk.read,
            damaged_total: disk.damaged,
            missed_total: disk.missed,
        }),
    })
}

/// What a policy did, or would have done.
fn counted(&(counter, count): &(Counter, u64)) -> ProtectionCounter {
    ProtectionCounter {
        policy: counter.policy(),
        outcome: counter.what(),
        mode: if counter.acted() {
            Mode::Enforce
        } else {
            Mode::Observe
        },
        count,
        ..ProtectionCounter::default()
    }
}

/// What judgement of endpoints would have done where it only observes.
fn would_eject(cluster: &Cluster) -> impl Iterator<Item = ProtectionCounter> {
    let mut sums = [Would::default(); 2];
    for endpoint in &cluster.endpoints {
        for (sum, would) in sums.iter_mut().zip(endpoint.would()) {
            sum.ejected += would.ejected;
            sum.failed += would.failed;
        }
    }
    let parameters = &cluster.config.parameters;
    let policies = [
        ("breaker", parameters.breaker),
        ("ejection", parameters.ejection),
    ];
    policies
        .into_iter()
        .zip(sums)
        .filter(|((_, mode), _)| *mode == Mode::Observe)
        .map(|((policy, mode), would)| ProtectionCounter {
            policy,
            outcome: "ejected",
            mode,
            per_request: false,
            count: would.ejected,
            saved: Some(would.failed),
            ..ProtectionCounter::default()
        })
}

/// How a service's protections stand, and what they counted besides refusals that their causes count.
fn protection_input(
    guard: &GuardView,
    set: &AdmissionParameters,
    cluster: &Cluster,
) -> ProtectionInput {
    let (limit_max, limit_reason) = match set.limiter {
        LimiterKind::Adaptive => (Some(set.limit_max), guard.reason.name()),
        LimiterKind::Fixed(_) | LimiterKind::Off => (None, "fixed"),
    };
    let waits = guard.limit.is_some() && set.mode == Mode::Enforce;
    let observes = guard.limit.is_some() && set.mode == Mode::Observe;
    let would_shed = Class::ALL
        .into_iter()
        .zip(guard.would_refuse)
        .zip(guard.would_save)
        .map(|((class, count), saved)| ProtectionCounter {
            policy: "limiter",
            outcome: "shed",
            class: Some(class),
            mode: Mode::Observe,
            count,
            saved: Some(saved),
            ..ProtectionCounter::default()
        });
    ProtectionInput {
        mode: set.mode,
        limit: guard.limit,
        limit_max,
        limit_reason,
        in_flight: guard.in_flight.into(),
        queued: guard.queued.map(u64::from),
        wait_max: waits.then_some(guard.wait_max),
        objective: Some(guard.objective),
        objective_assumed: guard.objective_assumed,
        counters: would_shed
            .filter(|_| observes)
            .chain(guard.counters.iter().map(counted))
            .chain(would_eject(cluster))
            .collect(),
    }
}
