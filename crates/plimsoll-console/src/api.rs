//! The control API: `/api/v1/...` on the console's address.
//!
//! One table says of each route what it is, who may ask and what it answers. The router is made from it, the checks
//! before each handler, and the OpenAPI document. A new route is a line there and a handler here.

mod openapi;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, RawPathParams, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Json, Router};
use plimsoll_measure::RolloutView;
use plimsoll_measure::incident::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::{Caller, Role};
use crate::act::may_change;
use crate::approval::{ApprovalList, ApprovalVerb, ApprovalWanted, HowWanted};
use crate::change::{ApplyWanted, PlanWanted, RollbackWanted, TEXT_BYTES_MAX};
use crate::control::{Answer, Control};
use crate::flag::{FlagActWanted, FlagContextWanted, FlagWanted};
use crate::freeze::{FreezeList, FreezeWanted};
use crate::incident::{DeedVerb, DeedWanted, IncidentList};
use crate::overlay::{Overlay, SettingWanted, Verb};
use crate::problem::Problem;
use crate::purge::PurgeWanted;
use crate::rollout::{RolloutList, RolloutVerb, RolloutWanted};
use crate::turns::Turns;
use crate::wire::{Changed, JournalQuery, TokenWanted, TryWanted, WithoutQuery, shown};

/// How long anything may take: a reload opens listeners and reads certificates.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How many records of the journal are given at most.
const RECORDS_MAX: u32 = 500;

type App = Arc<dyn Control>;

/// Who asks; a problem where that is unknown.
pub(crate) type Who = Result<Caller, Problem>;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Whoever may read at all.
    Nothing,
    /// Whoever has a role.
    Role(Role),
    /// An operator of the service that the path names.
    Service,
    /// An operator of the service of the incident that the path names.
    Incident,
    /// An operator of the service of the rollout that the path names.
    Rollout,
    /// An operator of whoever owns the flag that the path names; of a new one that is looked at with its definition.
    Flag,
    /// An operator of all services.
    AllServices,
}

/// One thing that can be asked.
pub(crate) struct Route {
    method: &'static str,
    path: &'static str,
    /// Its name in the OpenAPI document.
    id: &'static str,
    about: &'static str,
    needs: Needs,
    /// Name, type and meaning of each parameter of the query.
    query: &'static [(&'static str, &'static str, &'static str)],
    /// The schema of what is sent.
    body: Option<&'static str>,
    /// The status where all is well, and the schema of what comes.
    answer: (u16, &'static str),
    /// Further statuses, besides those that follow from what it needs and takes.
    refusals: &'static [u16],
    handler: fn() -> MethodRouter<App>,
}

/// How something is asked for that approvals or freezes may be in the way of.
const HOW: &[(&str, &str, &str)] = &[
    (
        "fix",
        "boolean",
        "Whether it is a fix: no freeze is in its way. It needs `why`.",
    ),
    (
        "break_glass",
        "boolean",
        "Whether it is done without the approval that it needs, loudly. It needs `why`.",
    ),
    ("why", "string", "Why, in 1 to 500 characters."),
];

const ROUTES: &[Route] = &[
    Route {
        method: "get",
        path: "/api/v1/openapi.json",
        id: "openapi",
        about: "This document.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Document"),
        refusals: &[],
        handler: || get(document),
    },
    Route {
        method: "get",
        path: "/api/v1/status",
        id: "status",
        about: "The latest picture of all services.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Snapshot"),
        refusals: &[],
        handler: || get(status),
    },
    Route {
        method: "get",
        path: "/api/v1/requests/{id}",
        id: "request",
        about: "What is known of one request, by its id or its trace's: a line of the access log.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "RequestLine"),
        refusals: &[404],
        handler: || get(request),
    },
    Route {
        method: "get",
        path: "/api/v1/services/{service}/without",
        id: "without",
        about: "How many requests of a service would have been bad without Plimsoll, estimated by replay in the simulator.",
        needs: Needs::Nothing,
        query: &[
            (
                "from",
                "string",
                "Since when, within the last hour: how long ago, as `30m`, or a time in UTC.",
            ),
            (
                "until",
                "string",
                "Until when, in the same way; without it until now.",
            ),
        ],
        body: None,
        answer: (200, "WithoutPlimsoll"),
        refusals: &[400, 404, 422, 503, 504],
        handler: || get(without),
    },
    Route {
        method: "post",
        path: "/api/v1/reload",
        id: "reload",
        about: "Reads the configuration again; an invalid one is refused, and the old one stays.",
        needs: Needs::AllServices,
        query: HOW,
        body: None,
        answer: (200, "Changed"),
        refusals: &[202, 409, 422, 503, 504],
        handler: || post(reload),
    },
    Route {
        method: "get",
        path: "/api/v1/config",
        id: "configurations",
        about: "The configurations that were in force, and how a change that is watched goes.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Configurations"),
        refusals: &[],
        handler: || get(configurations),
    },
    Route {
        method: "get",
        path: "/api/v1/config/{number}",
        id: "configuration",
        about: "One of them, with its text, without what may be secret in it.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "ConfigurationText"),
        refusals: &[404, 503],
        handler: || get(configuration),
    },
    Route {
        method: "post",
        path: "/api/v1/plan",
        id: "plan",
        about: "What a file would change of what is in force, how much may go wrong, and the hash to apply it by.",
        needs: Needs::AllServices,
        query: &[],
        body: Some("PlanWanted"),
        answer: (200, "ChangePlan"),
        refusals: &[422, 503, 504],
        handler: || post(plan).layer(DefaultBodyLimit::max(2 * TEXT_BYTES_MAX)),
    },
    Route {
        method: "post",
        path: "/api/v1/apply",
        id: "apply",
        about: "Puts exactly what was planned in force, watches what comes of it, and returns to what was before where services suffer.",
        needs: Needs::AllServices,
        query: &[],
        body: Some("ApplyWanted"),
        answer: (200, "Changed"),
        refusals: &[409, 422, 503, 504],
        handler: || post(apply),
    },
    Route {
        method: "post",
        path: "/api/v1/config/rollback",
        id: "rollBack",
        about: "Puts a configuration in force again that was before.",
        needs: Needs::AllServices,
        query: &[],
        body: Some("RollbackWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 409, 422, 503, 504],
        handler: || post(roll_back),
    },
    Route {
        method: "get",
        path: "/api/v1/journal",
        id: "journal",
        about: "Records of the journal, the latest, in the order of their times.",
        needs: Needs::Nothing,
        query: &[
            ("kind", "string", "Of this kind: `change`, `decision`, ..."),
            (
                "subject",
                "string",
                "About this or a part of it, as `service/checkout`.",
            ),
            (
                "since",
                "string",
                "Not before: how long ago, as `1h`, or a time in UTC.",
            ),
            (
                "until",
                "string",
                "Not after: how long ago, as `1h`, or a time in UTC.",
            ),
            (
                "text",
                "string",
                "With this in its text, its subject or its kind.",
            ),
            (
                "before",
                "string",
                "Before the place that an answer gave as `next`.",
            ),
            (
                "sequence",
                "integer",
                "At this place of its writer's chain.",
            ),
            ("cites", "integer", "What came of the one at this place."),
            ("count", "integer", "At most so many: 50, or up to 500."),
        ],
        body: None,
        answer: (200, "Records"),
        refusals: &[400, 422, 503],
        handler: || get(journal),
    },
    Route {
        method: "get",
        path: "/api/v1/overlay",
        id: "overlay",
        about: "What people have set of services for a while.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Overlay"),
        refusals: &[],
        handler: || get(overlay),
    },
    Route {
        method: "put",
        path: "/api/v1/overlay/{service}/{verb}",
        id: "set",
        about: "Sets `shed`, `no-retries`, `no-hedges`, `read-only`, `brownout` or `governor-mode` of a service, for a while.",
        needs: Needs::Service,
        query: &[],
        body: Some("SettingWanted"),
        answer: (200, "Changed"),
        refusals: &[202, 404, 409, 422, 503, 504],
        handler: || put(set),
    },
    Route {
        method: "delete",
        path: "/api/v1/overlay/{service}/{verb}",
        id: "end",
        about: "Ends what is set of a service.",
        needs: Needs::Service,
        query: &[],
        body: None,
        answer: (200, "Changed"),
        refusals: &[404, 503, 504],
        handler: || delete(end),
    },
    Route {
        method: "post",
        path: "/api/v1/cache/{service}/purge",
        id: "purge",
        about: "Takes out of a service's cache what answers a URL, all that begin so, what the service gave a key, or all.",
        needs: Needs::Service,
        query: &[],
        body: Some("PurgeWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 422, 503, 504],
        handler: || post(purge),
    },
    Route {
        method: "get",
        path: "/api/v1/incidents",
        id: "incidents",
        about: "What people were called for: what is open, then what has ended, the latest first.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Incidents"),
        refusals: &[503],
        handler: || get(incidents),
    },
    Route {
        method: "get",
        path: "/api/v1/incidents/{id}",
        id: "incident",
        about: "One incident, by the place of its first call in the journal, with what people did about it.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Incident"),
        refusals: &[404, 503],
        handler: || get(incident),
    },
    Route {
        method: "post",
        path: "/api/v1/incidents/{id}/{deed}",
        id: "act",
        about: "Acknowledges an incident, hands it over, notes something, resolves it, says that it belongs to another, or silences it.",
        needs: Needs::Incident,
        query: &[],
        body: Some("DeedWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 409, 422, 503, 504],
        handler: || post(act),
    },
    Route {
        method: "get",
        path: "/api/v1/rollouts",
        id: "rollouts",
        about: "All rollouts of the configuration, and how they stand.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Rollouts"),
        refusals: &[],
        handler: || get(rollouts),
    },
    Route {
        method: "get",
        path: "/api/v1/rollouts/{rollout}",
        id: "rollout",
        about: "One rollout, with its evidence.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Rollout"),
        refusals: &[404],
        handler: || get(rollout),
    },
    Route {
        method: "post",
        path: "/api/v1/rollouts/{rollout}/{step}",
        id: "roll",
        about: "Starts, pauses, resumes, promotes or aborts a rollout.",
        needs: Needs::Rollout,
        query: &[],
        body: Some("RolloutWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 409, 422, 503, 504],
        handler: || post(roll),
    },
    Route {
        method: "get",
        path: "/api/v1/flags",
        id: "flags",
        about: "All flags: what they are by default, what is set of them, which are stale.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Flags"),
        refusals: &[],
        handler: || get(flags),
    },
    Route {
        method: "get",
        path: "/api/v1/flags/{key}",
        id: "flag",
        about: "One flag, with its definition and the version that a change may name.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Flag"),
        refusals: &[404],
        handler: || get(flag),
    },
    Route {
        method: "put",
        path: "/api/v1/flags/{key}",
        id: "defineFlag",
        about: "Gives a flag a definition, in flagd's format. Only where flags are managed.",
        needs: Needs::Flag,
        query: &[],
        body: Some("FlagWanted"),
        answer: (200, "Changed"),
        refusals: &[409, 422, 503, 504],
        handler: || put(define_flag),
    },
    Route {
        method: "delete",
        path: "/api/v1/flags/{key}",
        id: "deleteFlag",
        about: "Takes a flag away: clients get their code's own default. Only where flags are managed.",
        needs: Needs::Flag,
        query: &[],
        body: Some("FlagActWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 409, 422, 503, 504],
        handler: || delete(delete_flag),
    },
    Route {
        method: "post",
        path: "/api/v1/flags/{key}/evaluate",
        id: "evaluateFlag",
        about: "What a flag is for a context. It is not counted.",
        needs: Needs::Role(Role::Viewer),
        query: &[],
        body: Some("FlagContextWanted"),
        answer: (200, "FlagEvaluated"),
        refusals: &[404, 422],
        handler: || post(evaluate_flag),
    },
    Route {
        method: "post",
        path: "/api/v1/flags/{key}/{act}",
        id: "actOnFlag",
        about: "Enables or disables a flag, sets a variant for all, for a while or until that is ended. Only where flags are managed.",
        needs: Needs::Flag,
        query: &[],
        body: Some("FlagActWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 409, 422, 503, 504],
        handler: || post(act_on_flag),
    },
    Route {
        method: "get",
        path: "/api/v1/approvals",
        id: "approvals",
        about: "What waits for the approval of others, the oldest first; then what came of earlier requests, the latest first.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Approvals"),
        refusals: &[],
        handler: || get(approvals),
    },
    Route {
        method: "get",
        path: "/api/v1/approvals/{id}",
        id: "approval",
        about: "One request, by its number.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Approval"),
        refusals: &[404],
        handler: || get(approval),
    },
    Route {
        method: "post",
        path: "/api/v1/approvals/{id}/{answer}",
        id: "answerApproval",
        about: "Approves a request, refuses it (both: role approver, for the owners of all that it touches, and never whoever asked), or takes it back (whoever asked). Once enough approved it, it is done.",
        needs: Needs::Role(Role::Operator),
        query: &[],
        body: Some("ApprovalWanted"),
        answer: (200, "Changed"),
        refusals: &[404, 409, 422, 503, 504],
        handler: || post(answer_approval),
    },
    Route {
        method: "get",
        path: "/api/v1/freezes",
        id: "freezes",
        about: "Of which services nothing risky is changed now: by people, by the configuration, by the governor.",
        needs: Needs::Nothing,
        query: &[],
        body: None,
        answer: (200, "Freezes"),
        refusals: &[],
        handler: || get(freezes),
    },
    Route {
        method: "put",
        path: "/api/v1/freezes",
        id: "freezeAll",
        about: "Freezes all services for a while.",
        needs: Needs::AllServices,
        query: &[],
        body: Some("FreezeWanted"),
        answer: (200, "Changed"),
        refusals: &[202, 409, 422, 503, 504],
        handler: || put(freeze_all),
    },
    Route {
        method: "delete",
        path: "/api/v1/freezes",
        id: "endFreezeOfAll",
        about: "Ends what somebody froze of all services.",
        needs: Needs::AllServices,
        query: HOW,
        body: None,
        answer: (200, "Changed"),
        refusals: &[202, 404, 409, 422, 503, 504],
        handler: || delete(end_freeze_of_all),
    },
    Route {
        method: "put",
        path: "/api/v1/freezes/{service}",
        id: "freeze",
        about: "Freezes a service for a while.",
        needs: Needs::Service,
        query: &[],
        body: Some("FreezeWanted"),
        answer: (200, "Changed"),
        refusals: &[202, 404, 409, 422, 503, 504],
        handler: || put(freeze),
    },
    Route {
        method: "delete",
        path: "/api/v1/freezes/{service}",
        id: "endFreeze",
        about: "Ends what somebody froze of a service.",
        needs: Needs::Service,
        query: HOW,
        body: None,
        answer: (200, "Changed"),
        refusals: &[202, 404, 409, 422, 503, 504],
        handler: || delete(end_freeze),
    },
    Route {
        method: "post",
        path: "/api/v1/notify/test",
        id: "tryNotifiers",
        about: "Sends a test to a notifier, or to all, and says whether it arrived.",
        needs: Needs::Role(Role::Operator),
        query: &[],
        body: Some("TryWanted"),
        answer: (200, "Tried"),
        refusals: &[404, 503, 504],
        handler: || post(try_notifiers),
    },
    Route {
        method: "get",
        path: "/api/v1/tokens",
        id: "tokens",
        about: "The tokens that people have; never their secrets.",
        needs: Needs::Role(Role::Admin),
        query: &[],
        body: None,
        answer: (200, "Tokens"),
        refusals: &[503],
        handler: || get(tokens),
    },
    Route {
        method: "post",
        path: "/api/v1/tokens",
        id: "createToken",
        about: "Makes a token. Its secret is told this once.",
        needs: Needs::Role(Role::Admin),
        query: &[],
        body: Some("TokenWanted"),
        answer: (201, "TokenCreated"),
        refusals: &[409, 422, 503, 504],
        handler: || post(create_token),
    },
    Route {
        method: "delete",
        path: "/api/v1/tokens/{name}",
        id: "revokeToken",
        about: "Ends a token.",
        needs: Needs::Role(Role::Admin),
        query: &[],
        body: None,
        answer: (200, "Changed"),
        refusals: &[404, 503, 504],
        handler: || delete(revoke_token),
    },
];

/// All routes, each behind its checks.
pub(crate) fn router(control: &App) -> Router<App> {
    let document = Document(openapi::document(ROUTES).to_string().into());
    let router = ROUTES.iter().fold(Router::new(), |router, route| {
        let gate = Gate(Arc::clone(control), route.needs);
        let gate = middleware::from_fn_with_state(gate, enforce);
        router.route(route.path, (route.handler)().route_layer(gate))
    });
    router.layer(Extension(document))
}

/// The OpenAPI document, as it is sent.
#[derive(Clone)]
struct Document(Bytes);

#[derive(Clone)]
struct Gate(App, Needs);

/// Before each handler: whoever gets there may do what it does.
async fn enforce(
    State(Gate(control, needs)): State<Gate>,
    Extension(who): Extension<Who>,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let named = |wanted: &str| {
        let mut parameters = parameters.iter();
        let found = parameters.find(|(name, _)| *name == wanted);
        found.map_or("", |(_, value)| value)
    };
    let allowed = match needs {
        Needs::Nothing => return next.run(request).await,
        Needs::Role(role) => who.and_then(|caller| caller.needs(role).map(|()| caller)),
        Needs::Service => {
            let service = named("service");
            who.and_then(|caller| may_change(control.as_ref(), &caller, service).map(|()| caller))
        }
        Needs::Incident => {
            let id = named("id");
            who.and_then(|caller| {
                caller.needs(Role::Operator)?;
                may_act(control.as_ref(), &caller, incident_id(id)?)?;
                Ok(caller)
            })
        }
        Needs::Rollout => {
            let name = named("rollout");
            who.and_then(|caller| {
                caller.needs(Role::Operator)?;
                let service = found_rollout(control.as_ref(), name)?.service;
                may_change(control.as_ref(), &caller, &service).map(|()| caller)
            })
        }
        Needs::Flag => {
            let key = named("key");
            who.and_then(|caller| {
                caller.needs(Role::Operator)?;
                if let Some(flag) = control.flag(key) {
                    may_change_flag(&caller, key, flag.owner.as_deref())?;
                }
                Ok(caller)
            })
        }
        Needs::AllServices => who.and_then(|caller| caller.may_change_all().map(|()| caller)),
    };
    match allowed {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn document(Extension(Document(text)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn status(State(control): State<App>) -> Response {
    Json(control.snapshot().as_ref()).into_response()
}

async fn request(
    State(control): State<App>,
    Extension(turns): Extension<Turns>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    // It is searched for: the control thread has better things to do.
    match turns.read(move || control.request(&id)).await {
        Ok(Some(line)) => Ok(([(header::CONTENT_TYPE, "application/json")], line).into_response()),
        _ => Err(Problem::not_found(
            "this request is not known: of those that went well only a sample is recorded, and the oldest are forgotten first",
        )),
    }
}

async fn without(
    State(control): State<App>,
    Path(service): Path<String>,
    query: Result<Query<WithoutQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    answer(control.without(&service, query)).await
}

async fn reload(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    how: Result<Query<HowWanted>, QueryRejection>,
) -> Result<Response, Problem> {
    changed(control.reload(&by, asked_how(how)?.check()?)).await
}

fn asked_how(how: Result<Query<HowWanted>, QueryRejection>) -> Result<HowWanted, Problem> {
    let Query(how) = how.map_err(|error| Problem::bad_request(error.body_text()))?;
    Ok(how)
}

/// The number of a request, as a path has it.
pub(crate) fn approval_id(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| {
        let id = shown(id);
        Problem::not_found(format!("`{id}` is no request: expected its number"))
    })
}

async fn approvals(State(control): State<App>) -> Response {
    let approvals = control.approvals().to_vec();
    Json(ApprovalList { approvals }).into_response()
}

async fn approval(State(control): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let (known, id) = (control.approvals(), approval_id(&id)?);
    let found = known.iter().find(|it| it.id == id);
    let found = found.ok_or_else(|| no_approval(id))?;
    Ok(Json(found).into_response())
}

pub(crate) fn no_approval(id: u64) -> Problem {
    Problem::not_found(format!(
        "there is no request #{id}, or it is forgotten: see `plimsoll approval list`"
    ))
}

async fn answer_approval(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let verb = verb.parse::<ApprovalVerb>().map_err(Problem::not_found)?;
    let wanted: ApprovalWanted = read(&headers, body)?;
    if verb != ApprovalVerb::Withdraw {
        by.needs(Role::Approver)?;
    }
    changed(control.answer_approval(&by, approval_id(&id)?, wanted.check(verb)?)).await
}

async fn freezes(State(control): State<App>) -> Response {
    let freezes = control.snapshot().freezes.clone();
    Json(FreezeList { freezes }).into_response()
}

async fn freeze_all(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: FreezeWanted = read(&headers, body)?;
    changed(control.freeze(&by, None, wanted.check()?)).await
}

async fn freeze(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: FreezeWanted = read(&headers, body)?;
    changed(control.freeze(&by, Some(&service), wanted.check()?)).await
}

async fn end_freeze_of_all(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    how: Result<Query<HowWanted>, QueryRejection>,
) -> Result<Response, Problem> {
    changed(control.end_freeze(&by, None, asked_how(how)?.check()?)).await
}

async fn end_freeze(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path(service): Path<String>,
    how: Result<Query<HowWanted>, QueryRejection>,
) -> Result<Response, Problem> {
    changed(control.end_freeze(&by, Some(&service), asked_how(how)?.check()?)).await
}

async fn configurations(State(control): State<App>) -> Response {
    Json(control.configurations().as_ref()).into_response()
}

async fn configuration(
    State(control): State<App>,
    Path(number): Path<String>,
) -> Result<Response, Problem> {
    let number = number.parse().map_err(|_| {
        let number = shown(&number);
        Problem::not_found(format!(
            "`{number}` is no configuration: expected its number"
        ))
    })?;
    answer(control.configuration_text(number)).await
}

async fn plan(
    State(control): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: PlanWanted = read(&headers, body)?;
    let length = wanted.text.as_ref().map_or(0, String::len);
    if length > TEXT_BYTES_MAX {
        let text = format!("a configuration has at most {TEXT_BYTES_MAX} bytes");
        return Err(Problem::invalid(text));
    }
    answer(control.plan(wanted)).await
}

async fn apply(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: ApplyWanted = read(&headers, body)?;
    answer(control.apply(&by, wanted.check()?)).await
}

async fn roll_back(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: RollbackWanted = read(&headers, body)?;
    answer(control.roll_back(&by, wanted.check()?)).await
}

async fn journal(
    State(control): State<App>,
    query: Result<Query<JournalQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    if query
        .count
        .is_some_and(|count| !(1..=RECORDS_MAX).contains(&count))
    {
        return Err(Problem::bad_request(format!(
            "`count` is 1 to {RECORDS_MAX}; all of the journal: `plimsoll journal export`"
        )));
    }
    answer(control.journal(query)).await
}

async fn overlay(State(control): State<App>) -> Response {
    let entries = control.snapshot().overlay.clone();
    Json(Overlay { entries }).into_response()
}

async fn set(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path((service, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let verb = verb.parse::<Verb>().map_err(Problem::not_found)?;
    let wanted: SettingWanted = read(&headers, body)?;
    changed(control.set(&by, &service, wanted.check(verb)?)).await
}

async fn end(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path((service, verb)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let verb = verb.parse::<Verb>().map_err(Problem::not_found)?;
    answer(control.end(&by, &service, verb)).await
}

async fn purge(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: PurgeWanted = read(&headers, body)?;
    answer(control.purge(&by, &service, wanted.check()?)).await
}

async fn flags(State(control): State<App>) -> Response {
    Json(control.flags()).into_response()
}

async fn flag(State(control): State<App>, Path(key): Path<String>) -> Result<Response, Problem> {
    let found = control.flag(&key).ok_or_else(|| no_flag(&key))?;
    Ok(Json(found).into_response())
}

/// There is none.
pub(crate) fn no_flag(key: &str) -> Problem {
    Problem::not_found(format!("there is no flag `{}`", shown(key)))
}

fn may_change_flag(by: &Caller, key: &str, owner: Option<&str>) -> Result<(), Problem> {
    by.may_change(&format!("flag {}", shown(key)), owner)
}

async fn define_flag(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: FlagWanted = read(&headers, body)?;
    // Whoever gives it away may do that; but nobody takes it for an owner that is not theirs.
    let owner = wanted.definition.pointer("/metadata/plimsoll/owner");
    let owner = owner.and_then(serde_json::Value::as_str).map(str::to_owned);
    may_change_flag(&by, &key, owner.as_deref())?;
    answer(control.change_flag(&by, &key, wanted.check()?)).await
}

async fn delete_flag(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    change_flag(&control, &by, &key, "delete", &headers, body).await
}

async fn act_on_flag(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path((key, act)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if act == "delete" {
        return Err(Problem::not_found("a flag is deleted with `DELETE`"));
    }
    change_flag(&control, &by, &key, &act, &headers, body).await
}

async fn change_flag(
    control: &App,
    by: &Caller,
    key: &str,
    act: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: FlagActWanted = read(headers, body)?;
    let change = wanted.check(act)?;
    if control.flag(key).is_none() {
        return Err(no_flag(key));
    }
    answer(control.change_flag(by, key, change)).await
}

async fn evaluate_flag(
    State(control): State<App>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: FlagContextWanted = read(&headers, body)?;
    let context = wanted.context.unwrap_or_else(|| serde_json::json!({}));
    Ok(Json(control.evaluate_flag(&key, context)?).into_response())
}

/// The number of an incident, as a path has it.
pub(crate) fn incident_id(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| {
        let id = shown(id);
        Problem::not_found(format!("`{id}` is no incident: expected its number"))
    })
}

/// Refuses whoever may do nothing about an incident.
pub(crate) fn may_act(control: &dyn Control, by: &Caller, id: u64) -> Result<(), Problem> {
    let incidents = control.incidents()?;
    let incident = incidents.get(id).ok_or_else(|| unknown(id))?;
    let owner = control.owner(&incident.service).ok();
    by.may_act(incident, owner.as_ref().map(Option::as_deref))
}

fn unknown(id: u64) -> Problem {
    Problem::not_found(Refusal::Unknown(id).to_string())
}

async fn incidents(State(control): State<App>) -> Result<Response, Problem> {
    let known = control.incidents()?;
    let incidents = known.open().chain(known.past()).cloned().collect();
    Ok(Json(IncidentList { incidents }).into_response())
}

async fn incident(State(control): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let (known, id) = (control.incidents()?, incident_id(&id)?);
    let found = known.get(id).ok_or_else(|| unknown(id))?;
    Ok(Json(found).into_response())
}

async fn act(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path((id, deed)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let verb = deed.parse::<DeedVerb>().map_err(Problem::not_found)?;
    let wanted: DeedWanted = read(&headers, body)?;
    let deed = wanted.check(verb, control.snapshot().now)?;
    answer(control.act(&by, incident_id(&id)?, deed)).await
}

/// A rollout of the configuration.
pub(crate) fn found_rollout(control: &dyn Control, name: &str) -> Result<RolloutView, Problem> {
    let known = control.rollouts();
    let found = known.iter().find(|it| it.name == name);
    found.cloned().ok_or_else(|| {
        let name = shown(name);
        Problem::not_found(format!(
            "there is no rollout `{name}`: `plimsoll rollout list` has those of the configuration"
        ))
    })
}

async fn rollouts(State(control): State<App>) -> Response {
    let rollouts = control.rollouts().as_ref().clone();
    Json(RolloutList { rollouts }).into_response()
}

async fn rollout(
    State(control): State<App>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    Ok(Json(found_rollout(control.as_ref(), &name)?).into_response())
}

async fn roll(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path((name, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let verb = verb.parse::<RolloutVerb>().map_err(Problem::not_found)?;
    let wanted: RolloutWanted = read(&headers, body)?;
    answer(control.roll(&by, &name, wanted.check(verb)?)).await
}

async fn try_notifiers(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: TryWanted = read(&headers, body)?;
    answer(control.try_notifiers(&by, wanted.name)).await
}

async fn tokens(State(control): State<App>) -> Result<Response, Problem> {
    Ok(Json(control.tokens()?).into_response())
}

async fn create_token(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wanted: TokenWanted = read(&headers, body)?;
    let lasts = wanted.check()?;
    let made = answer(control.create_token(&by, wanted, lasts)).await?;
    Ok((StatusCode::CREATED, made).into_response())
}

async fn revoke_token(
    State(control): State<App>,
    Extension(by): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    answer(control.revoke_token(&by, &name)).await
}

/// What was changed; or, where it waits for others, that it is only asked for.
async fn changed(answer: Answer<Changed>) -> Result<Response, Problem> {
    let changed = in_time(answer).await?;
    let status = match changed.approval {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    Ok((status, Json(changed)).into_response())
}

/// An answer, as JSON.
async fn answer<T: Serialize>(answer: Answer<T>) -> Result<Response, Problem> {
    Ok(Json(in_time(answer).await?).into_response())
}

/// Waits for what comes of something, but not for ever.
pub(crate) async fn in_time<T>(answer: Answer<T>) -> Result<T, Problem> {
    match tokio::time::timeout(TIME_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "it goes on, but it takes long: see the log for how it ends",
        )),
    }
}

/// A body as it came; too large a one is none.
type Body = Result<Bytes, BytesRejection>;

/// Reads a body. A page of another site can't send one that says it is JSON without being asked about first.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this needs a body in JSON: send `Content-Type: application/json`",
        ));
    }
    let body = body.map_err(|error| Problem::new(error.status(), "the body is too large"))?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(format!(
            "the body can't be read: {}",
            shown(&error.to_string())
        ))
    })
}
