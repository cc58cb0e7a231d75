//! The pages, drawn on the server: complete as sent, and readable without script.
//!
//! In the console's visual language: position and word before colour; an unknown is hatched and says so; every figure
//! has its unit and window. No `style` attribute and no script in the text, so that the strict policy holds.
//! A page is sections with names. Whoever watches it is sent those that are others now (`events`).
//! Invariant: what comes from services, from the configuration or from people is escaped (`maud` does, and `plimsoll_plot`
//! where it draws); nothing of it stands in a script or decides where a link of ours leads, but as an escaped segment.

pub(crate) mod action;
mod approvals;
mod configuration;
mod decisions;
mod flags;
mod fleet;
pub(crate) mod frame;
mod incident;
mod incidents;
mod markdown;
mod parts;
mod past;
mod record;
mod request;
mod rollouts;
mod service;
pub(crate) mod sign_in;
mod topology;

pub(crate) use approvals::path as approval_path;
pub(crate) use incidents::path as incident_path;
pub(crate) use parts::{segment, service_path};
pub(crate) use rollouts::path as rollout_path;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{ApprovalView, Incidents, RolloutView, Snapshot, Step, StepLength};

use crate::access::Caller;
use crate::change::Configurations;
use crate::control::{Control, Runbook};
use crate::flag::{FlagList, FlagView};
use crate::problem::Problem;
use crate::turns::Turns;
use crate::wire::{IncidentRecords, JournalQuery, Records, WithoutPlimsoll, WithoutQuery};

pub use past::{Past, PastView};

use decisions::{DecisionsQuery, RecordQuery};
use fleet::FleetQuery;
use service::{ServiceQuery, Source};

/// Points of a row's traffic.
const TRAFFIC_POINTS: usize = 60;
/// Records of a service that its page looks at, and of changes of the configuration.
const SERVICE_RECORDS: u32 = 200;
const CHANGE_RECORDS: u32 = 20;
/// What would have been is estimated anew after so many seconds, while an incident is open.
const WITHOUT_EVERY: u64 = 60;
/// How long a page waits for it.
const WITHOUT_WAIT: Duration = Duration::from_millis(300);

/// Which page, as its address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `/`.
    Fleet(FleetQuery),
    /// `/services/NAME`.
    Service(String, ServiceQuery),
    /// `/decisions`.
    Decisions(DecisionsQuery),
    /// `/decisions/SEQUENCE`.
    Record(u64, RecordQuery),
    /// `/incidents`.
    Incidents,
    /// `/incidents/ID`.
    Incident(u64),
    /// `/rollouts`.
    Rollouts,
    /// `/rollouts/NAME`.
    Rollout(String),
    /// `/flags`.
    Flags,
    /// `/flags/KEY`.
    Flag(String),
    /// `/approvals`.
    Approvals,
    /// `/approvals/ID`.
    Approval(u64),
    /// `/topology`.
    Topology,
    /// `/configuration`.
    Configuration,
    /// `/requests/ID`.
    Request(String),
}

/// The paths of all pages, for the router.
pub(crate) const PATHS: [&str; 15] = [
    "/",
    "/services/{name}",
    "/decisions",
    "/decisions/{sequence}",
    "/incidents",
    "/incidents/{id}",
    "/rollouts",
    "/rollouts/{name}",
    "/flags",
    "/flags/{key}",
    "/approvals",
    "/approvals/{id}",
    "/topology",
    "/configuration",
    "/requests/{id}",
];

impl Address {
    /// Of a path with its query, as a browser has it; `None`: that is no page.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let mut segments = uri.path().strip_prefix('/')?.split('/');
        let (first, second) = (segments.next()?, segments.next());
        if segments.next().is_some() {
            return None;
        }
        match (first, second.map(decoded)) {
            ("", None) => Some(Self::Fleet(Query::try_from_uri(&uri).ok()?.0)),
            ("services", Some(name)) => {
                Some(Self::Service(name?, Query::try_from_uri(&uri).ok()?.0))
            }
            ("decisions", None) => Some(Self::Decisions(Query::try_from_uri(&uri).ok()?.0)),
            ("decisions", Some(sequence)) => Some(Self::Record(
                sequence?.parse().ok()?,
                Query::try_from_uri(&uri).ok()?.0,
            )),
            ("incidents", None) => Some(Self::Incidents),
            ("incidents", Some(id)) => Some(Self::Incident(id?.parse().ok()?)),
            ("rollouts", None) => Some(Self::Rollouts),
            ("rollouts", Some(name)) => Some(Self::Rollout(name?)),
            ("flags", None) => Some(Self::Flags),
            ("flags", Some(key)) => Some(Self::Flag(key?)),
            ("approvals", None) => Some(Self::Approvals),
            ("approvals", Some(id)) => Some(Self::Approval(id?.parse().ok()?)),
            ("topology", None) => Some(Self::Topology),
            ("configuration", None) => Some(Self::Configuration),
            ("requests", Some(id)) => Some(Self::Request(id?)),
            _ => None,
        }
    }

    /// Whether it offers what can be done to those who may.
    pub(crate) fn has_acts(&self) -> bool {
        matches!(
            self,
            Self::Service(..)
                | Self::Incident(_)
                | Self::Rollout(_)
                | Self::Approvals
                | Self::Approval(_)
                | Self::Configuration
        )
    }

    /// What the journal is asked for. A page of a service looks at changes of the configuration too.
    fn asked(&self) -> Option<JournalQuery> {
        match self {
            Self::Service(name, query) => Some(JournalQuery {
                subject: Some(format!("service/{name}")),
                since: Some(query.range.journal().to_owned()),
                count: Some(SERVICE_RECORDS),
                ..JournalQuery::default()
            }),
            Self::Decisions(query) => Some(query.asked()),
            Self::Record(sequence, _) => Some(JournalQuery {
                sequence: Some(*sequence),
                ..JournalQuery::default()
            }),
            Self::Flag(key) => Some(JournalQuery {
                subject: Some(format!("flag/{key}")),
                since: Some("7d".to_owned()),
                count: Some(SERVICE_RECORDS),
                ..JournalQuery::default()
            }),
            Self::Fleet(_)
            | Self::Flags
            | Self::Rollouts
            | Self::Rollout(_)
            | Self::Incidents
            | Self::Incident(_)
            | Self::Approvals
            | Self::Approval(_)
            | Self::Topology
            | Self::Configuration
            | Self::Request(_) => None,
        }
    }
}

/// A segment of a path as it was before it was escaped; `None`: it is no text.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

/// Where the navigation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Fleet,
    Decisions,
    Incidents,
    Rollouts,
    Flags,
    Approvals,
    Topology,
    Configuration,
    None,
}

/// A page without its frame.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    pub(crate) place: Place,
    /// Whether anything on it changes by itself.
    pub(crate) is_live: bool,
    pub(crate) sections: Vec<Section>,
}

/// A part of a page that is sent again where it is another now.
pub(crate) struct Section {
    /// Its id in the document.
    pub(crate) id: &'static str,
    pub(crate) markup: Markup,
}

/// Traffic of the last hour by service: requests and bad ones per second, `None` where nothing was observed.
type Traffic = BTreeMap<String, Vec<Option<(f64, f64)>>>;

/// What a page is drawn from, as of one moment.
pub(crate) struct Sight {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Who looks, where that is known: what they may do is offered.
    who: Option<Caller>,
    traffic: Traffic,
    steps: Vec<Step>,
    /// How a service did over a longer time than memory has.
    past: Option<Result<Arc<PastView>, Problem>>,
    /// What an incident would have been without Plimsoll; `None`: that is being computed.
    without: Option<Result<WithoutPlimsoll, Problem>>,
    water: Arc<Water>,
    configuration: Arc<str>,
    configurations: Arc<Configurations>,
    request: Option<String>,
    incidents: Result<Arc<Incidents>, Problem>,
    runbook: Option<Runbook>,
    rollouts: Arc<Vec<RolloutView>>,
    flags: Option<FlagList>,
    flag: Option<FlagView>,
    approvals: Arc<Vec<ApprovalView>>,
    told: Arc<Told>,
}

/// What the journal says to a page.
struct Told {
    records: Result<Records, Problem>,
    /// Why some that belong to them could not be read.
    lacks: Option<Problem>,
    /// Between which times of an incident not all of them are here.
    left_out: Vec<(Timestamp, Timestamp)>,
    /// Those that cite the record that is shown.
    citing: Vec<serde_json::Value>,
}

/// How much of each budget was spent over its period, at even distances, the oldest first; `None` where that is not known.
/// By service and objective.
#[derive(Clone, Debug, Default)]
pub struct Water(pub BTreeMap<(String, String), Vec<Option<f64>>>);

/// What the journal said to a page before, and when: it is asked again when it has more to say.
#[derive(Clone, Default)]
pub(crate) struct Kept(Option<(Option<u64>, Arc<Told>)>);

impl Default for Told {
    fn default() -> Self {
        Self {
            records: Ok(Records::default()),
            lacks: None,
            left_out: Vec::new(),
            citing: Vec::new(),
        }
    }
}

impl Sight {
    /// What needs no wait.
    fn of(control: &dyn Control, address: &Address, who: Option<Caller>) -> Self {
        let snapshot = control.snapshot();
        let (mut traffic, mut steps, mut past) = (Traffic::new(), Vec::new(), None);
        let incidents = control.incidents();
        let service = match (address, &incidents) {
            (Address::Incident(id), Ok(known)) => known.get(*id).map(|it| it.service.clone()),
            _ => None,
        };
        if let Some(service) = &service {
            control.courses(&mut |courses| steps = courses.steps(service, StepLength::Long));
        }
        match address {
            Address::Fleet(_) => control.courses(&mut |courses| {
                let now = snapshot.now.as_seconds();
                for service in &snapshot.services {
                    let points = courses.traffic(&service.name, now, TRAFFIC_POINTS);
                    traffic.insert(service.name.clone(), points);
                }
            }),
            Address::Service(name, query) => match query.range.source() {
                Source::Memory(length) => control.courses(&mut |courses| {
                    steps = courses.steps(name, length);
                }),
                Source::Store(length) => past = Some(control.past(name, length)),
            },
            _ => (),
        }
        Self {
            snapshot,
            who,
            traffic,
            steps,
            past,
            without: None,
            water: control.water(),
            configuration: match address {
                Address::Configuration => control.configuration(),
                _ => "".into(),
            },
            configurations: match address {
                Address::Configuration => control.configurations(),
                _ => Arc::default(),
            },
            request: match address {
                Address::Request(id) => control.request(id),
                _ => None,
            },
            runbook: service.and_then(|it| control.runbook(&it)),
            approvals: control.approvals(),
            incidents,
            rollouts: control.rollouts(),
            flags: matches!(address, Address::Flags).then(|| control.flags()),
            flag: match address {
                Address::Flag(key) => control.flag(key),
                _ => None,
            },
            told: Arc::default(),
        }
    }

    /// What was spent of a budget over its period; nothing, where that is not known.
    fn spent(&self, service: &str, objective: &str) -> &[Option<f64>] {
        let key = (service.to_owned(), objective.to_owned());
        self.water.0.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// Draws a page as of now, and says as of when that is.
pub(crate) async fn look(
    control: &Arc<dyn Control>,
    turns: &Turns,
    address: &Address,
    who: Option<&Caller>,
    kept: &mut Kept,
) -> Result<(Page, Arc<Snapshot>), Problem> {
    let (asked, of, who) = (Arc::clone(control), address.clone(), who.cloned());
    let seen = turns.run(move || Sight::of(asked.as_ref(), &of, who));
    let mut sight = seen.await?;
    ask(control, address, &mut sight, kept).await;
    if let Address::Incident(id) = address {
        sight.without = without(control, *id, &sight).await;
    }
    let address = address.clone();
    let drawn = turns.run(move || {
        let page = draw(&address, &sight);
        (page, sight.snapshot)
    });
    drawn.await
}

/// Estimates what an incident would have been, and waits a little for that. It goes on where nobody waits, and is kept.
async fn without(
    control: &Arc<dyn Control>,
    id: u64,
    sight: &Sight,
) -> Option<Result<WithoutPlimsoll, Problem>> {
    let incident = sight.incidents.as_ref().ok()?.get(id)?;
    let from = incident.began.unwrap_or(incident.called);
    let until = incident.ended.unwrap_or(sight.snapshot.now).as_seconds();
    let until = Timestamp::from_seconds(until / WITHOUT_EVERY * WITHOUT_EVERY);
    if until <= from {
        return None;
    }
    let asked = WithoutQuery {
        from: from.to_rfc3339(),
        until: Some(until.to_rfc3339()),
    };
    let computed = tokio::spawn(control.without(&incident.service, asked));
    tokio::time::timeout(WITHOUT_WAIT, computed)
        .await
        .ok()?
        .ok()
}

/// Asks the journal for what the page needs of it.
async fn ask(control: &Arc<dyn Control>, address: &Address, sight: &mut Sight, kept: &mut Kept) {
    let written = sight.snapshot.journal.as_ref().map(|it| it.records_total);
    if let Some((then, told)) = &kept.0
        && *then == written
        && told.records.is_ok()
        && told.lacks.is_none()
    {
        sight.told = Arc::clone(told);
        return;
    }
    if let Some(told) = told(control, address, sight).await {
        sight.told = Arc::new(told);
        kept.0 = Some((written, Arc::clone(&sight.told)));
    }
}

/// What the journal says; `None`: the page asks nothing.
async fn told(control: &Arc<dyn Control>, address: &Address, sight: &Sight) -> Option<Told> {
    let asked = match (address, &sight.request) {
        (Address::Incident(id), _) => {
            sight.incidents.as_ref().ok()?.get(*id)?;
            return Some(of_incident(control.incident_records(*id).await));
        }
        (Address::Rollout(name), _) => {
            let rollout = sight.rollouts.iter().find(|it| it.name == *name)?;
            JournalQuery {
                subject: Some(format!("service/{}/rollout/{name}", rollout.service)),
                since: Some("7d".to_owned()),
                count: Some(SERVICE_RECORDS),
                ..JournalQuery::default()
            }
        }
        (Address::Request(_), Some(line)) => before_request(line)?,
        _ => address.asked()?,
    };
    let mut told = Told {
        records: control.journal(asked).await,
        ..Told::default()
    };
    // What can't be read at all is said once.
    let Ok(known) = &mut told.records else {
        return Some(told);
    };
    let also = match address {
        Address::Service(_, query) => JournalQuery {
            kind: Some("change".to_owned()),
            subject: Some("configuration".to_owned()),
            since: Some(query.range.journal().to_owned()),
            count: Some(CHANGE_RECORDS),
            ..JournalQuery::default()
        },
        Address::Record(sequence, _) => JournalQuery {
            cites: Some(*sequence),
            ..JournalQuery::default()
        },
        _ => return Some(told),
    };
    match (control.journal(also).await, address) {
        (Ok(citing), Address::Record(..)) => told.citing = citing.records,
        (Ok(changes), _) => {
            known.records.extend(changes.records);
            in_order(&mut known.records);
        }
        (Err(problem), _) => told.lacks = Some(problem),
    }
    Some(told)
}

fn of_incident(read: Result<IncidentRecords, Problem>) -> Told {
    let (records, left_out) = match read {
        Ok(it) => (Ok(it.records), it.left_out),
        Err(problem) => (Err(problem), Vec::new()),
    };
    Told {
        records: records.map(|records| Records {
            records,
            next: None,
        }),
        left_out,
        ..Told::default()
    }
}

/// By their times.
fn in_order(records: &mut [serde_json::Value]) {
    records.sort_by_key(|it| it.get("time").map(ToString::to_string));
}

/// What was decided about the service of a request before it ended.
fn before_request(line: &str) -> Option<JournalQuery> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| line.get(key)?.as_str().map(str::to_owned);
    Some(JournalQuery {
        subject: Some(format!("service/{}", text("service")?)),
        until: Some(text("time")?),
        count: Some(10),
        ..JournalQuery::default()
    })
}

fn draw(address: &Address, sight: &Sight) -> Page {
    match address {
        Address::Fleet(query) => fleet::page(query, sight),
        Address::Service(name, query) => service::page(name, *query, sight),
        Address::Decisions(query) => decisions::page(query, sight),
        Address::Record(sequence, query) => decisions::record(*sequence, query, sight),
        Address::Incidents => incidents::page(sight),
        Address::Incident(id) => incident::page(*id, sight),
        Address::Rollouts => rollouts::list(sight),
        Address::Rollout(name) => rollouts::page(name, sight),
        Address::Flags => flags::list(sight),
        Address::Flag(key) => flags::page(key, sight),
        Address::Approvals => approvals::page(sight),
        Address::Approval(id) => approvals::one(*id, sight),
        Address::Topology => topology::page(sight),
        Address::Configuration => configuration::page(sight),
        Address::Request(id) => request::page(id, sight),
    }
}

/// What is shown where something can't be.
pub(crate) fn refusal(problem: &Problem) -> Page {
    let status = problem.status();
    let title = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "Not permitted",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => "It can't be read",
        _ => "It can't be shown",
    };
    let markup = html! {
        section.panel.pad aria-label=(title) {
            h1 { (title) }
            p.lead { (problem) }
            p { a href="/" { "To the fleet" } }
        }
    };
    Page {
        status,
        title: title.to_owned(),
        place: Place::None,
        is_live: false,
        sections: vec![Section {
            id: "refusal",
            markup,
        }],
    }
}

#[cfg(test)]
mod tests;
