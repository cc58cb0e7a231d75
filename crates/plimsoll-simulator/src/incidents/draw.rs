//! Draws an incident: how large things are, what goes wrong, and what else is changed about then.

use std::fmt::Write as _;

use plimsoll_config::scenario::{Run, Scenario, parse_for};
use plimsoll_core::Timestamp;
use plimsoll_governor::{Change, Dose, PartKind, Place, Scope};
use plimsoll_measure::{Cause, SuspectKind, SuspectView};

use super::Kind;
use super::ears::EPOCH;
use crate::random::Stream;

/// How long it is quiet before.
const QUIET: u32 = 150;
/// How long it goes wrong: for as long as it takes until somebody is called, and a minute.
const LASTS: u32 = 150;
const ROUTES: [&str; 3] = ["browse", "search", "buy"];
const TENANTS: [&str; 3] = ["gold", "silver", "iron"];

/// What happens.
#[derive(Debug)]
pub(super) struct Incident {
    pub(super) scenario: Scenario,
    /// The second of the run in which it goes wrong.
    pub(super) begins: u64,
    /// What is changed, in the order of the draw.
    pub(super) changes: Vec<Change>,
    /// Requests that end otherwise than the service answers them.
    pub(super) marred: Option<Marred>,
    pub(super) truth: Truth,
    pub(super) seed: u64,
}

/// From its beginning on, so many of these requests to the shop end so.
#[derive(Debug)]
pub(super) struct Marred {
    /// The route or the tenant that they are of; `None`: any.
    pub(super) of: Option<&'static str>,
    pub(super) cause: Cause,
    /// From so many seconds after the beginning on: the share of them.
    pub(super) shares: Vec<(u64, f64)>,
}

/// The cause, and how it is told among suspects.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) what: String,
    kind: SuspectKind,
    /// What the suspect's words have.
    says: String,
}

impl Truth {
    pub(super) fn is(&self, suspect: &SuspectView) -> bool {
        suspect.kind == self.kind && suspect.what.contains(&self.says)
    }
}

/// The file of a scenario that grows.
struct Draft {
    random: Stream,
    begins: u64,
    faults: String,
    changes: Vec<Change>,
    /// How many times as much is sent since then, by a tenant or by all.
    more: (Option<&'static str>, f64),
    marred: Option<Marred>,
    /// How much of what fits is asked for.
    load: f64,
    endpoints: u32,
}

impl Draft {
    fn even(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.random.unit()
    }

    fn whole(&mut self, from: u32, to: u32) -> u32 {
        from + self.random.below(to - from + 1)
    }

    /// Something goes wrong from the beginning on.
    fn fault(&mut self, service: &str, lines: &str) {
        let at = self.begins;
        let _infallible = writeln!(
            self.faults,
            "[[fault]]\nservice = \"{service}\"\nat = \"{at}s\"\nlasts = \"{LASTS}s\"\n{lines}"
        );
    }

    /// So many seconds before the beginning; below zero after it.
    fn change(&mut self, before: i64, scope: Scope, what: &str) -> &mut Change {
        let at = (EPOCH + self.begins).saturating_add_signed(-before);
        let change = Change::made(Timestamp::from_seconds(at), scope, what);
        self.changes.push(change);
        let last = self.changes.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was just pushed")]
        &mut self.changes[last]
    }

    /// Changes that have nothing to do with it, anywhere within the hour before.
    fn decoys(&mut self, count: u32) {
        for number in 0..count {
            let before = self.even(5.0, 3_600.0) as i64;
            let scope = match self.random.below(4) {
                0 => Scope::All,
                1 => Scope::service("shop"),
                2 => Scope::service("other"),
                _ => Scope::OffPath,
            };
            self.change(before, scope, &format!("harmless change {number}"));
        }
    }

    fn fails(&mut self) -> String {
        format!(
            "kind = \"errors\"\nshare = \"{:.0}%\"",
            self.even(8.0, 60.0)
        )
    }

    fn slows(&mut self) -> String {
        format!("kind = \"slow\"\ntimes = {:.1}", self.even(6.0, 12.0))
    }

    fn scenario(&mut self) -> Result<Scenario, String> {
        let Self {
            endpoints, load, ..
        } = *self;
        // Workers of 30 ms each: what fits.
        let fits = f64::from(endpoints) * 2.0 / 0.03;
        let each = load * fits / (ROUTES.len() * TENANTS.len()) as f64;
        let mut text = format!(
            "[service.shop]\nendpoints = {endpoints}\nworkers = 2\ntime = \"30ms\"\nobjective = \"300ms\"\n\
             calls = {{ payments = {{ share = \"25%\", timeout = \"1s\" }} }}\n\
             [service.payments]\nendpoints = 3\nworkers = 4\ntime = \"15ms\"\nobjective = \"150ms\"\n\
             calls = {{ bank = {{ share = \"80%\", timeout = \"800ms\" }} }}\n\
             [service.bank]\nendpoints = 2\nworkers = 4\ntime = \"10ms\"\nobjective = \"100ms\"\n\
             [service.other]\nendpoints = 2\nworkers = 2\ntime = \"20ms\"\nobjective = \"200ms\"\n\
             [workload.z-other]\nservice = \"other\"\nrate = \"40/s\"\npatience = \"3s\"\n"
        );
        let mut rates = "z-other = \"40/s\"".to_owned();
        for route in ROUTES {
            for tenant in TENANTS {
                let name = workload(route, tenant);
                let (of, times) = self.more;
                let times = if of.is_none_or(|of| of == tenant) {
                    times
                } else {
                    1.0
                };
                let more = each * times;
                let _infallible = writeln!(
                    text,
                    "[workload.{name}]\nservice = \"shop\"\nrate = \"{each:.1}/s\"\npatience = \"3s\"\n\
                     classes = {{ critical = \"20%\", sheddable = \"40%\" }}"
                );
                let _infallible = write!(rates, ", {name} = \"{more:.1}/s\"");
            }
        }
        let begins = self.begins;
        let _infallible = write!(
            text,
            "[[phase]]\nname = \"quiet\"\nlasts = \"{begins}s\"\n\
             [[phase]]\nname = \"wrong\"\nlasts = \"{LASTS}s\"\nrate = {{ {rates} }}\n{}",
            self.faults
        );
        parse_for(&text, Run::ByRequest).map_err(|error| format!("{error:?}\n{text}"))
    }
}

/// How the workload of a route and a tenant is called.
pub(super) fn workload(route: &str, tenant: &str) -> String {
    format!("{route}-of-{tenant}")
}

impl Incident {
    pub(super) fn draw(kind: Kind, seed: u64) -> Self {
        let mut random = Stream::new(seed, kind.name());
        let begins = u64::from(QUIET + random.below(30));
        let mut draft = Draft {
            endpoints: 4 + random.below(3),
            load: 0.35 + 0.25 * random.unit(),
            random,
            begins,
            faults: String::new(),
            changes: Vec::new(),
            more: (None, 1.0),
            marred: None,
        };
        let decoys = draft.random.below(4);
        draft.decoys(decoys);
        let truth = goes_wrong(kind, &mut draft);
        let scenario = draft.scenario();
        #[expect(clippy::panic, reason = "the text is made here")]
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
        Self {
            scenario,
            begins,
            changes: draft.changes,
            marred: draft.marred,
            truth,
            seed,
        }
    }
}

/// How long before it shows a bad change was made.
fn shortly(draft: &mut Draft) -> i64 {
    i64::from(draft.random.below(4))
}

fn goes_wrong(kind: Kind, draft: &mut Draft) -> Truth {
    let truth = |kind, says: &str, what: &str| Truth {
        what: what.to_owned(),
        kind,
        says: says.to_owned(),
    };
    let bad = "the bad change";
    match kind {
        Kind::ConfigurationFails | Kind::ConfigurationSlows | Kind::ManyChanges => {
            let lines = match kind {
                Kind::ConfigurationSlows => draft.slows(),
                _ => draft.fails(),
            };
            draft.fault("shop", &lines);
            if kind == Kind::ManyChanges {
                for number in 0..6 {
                    let before = draft.even(30.0, 600.0) as i64;
                    let scope = if number % 2 == 0 {
                        Scope::All
                    } else {
                        Scope::service("shop")
                    };
                    draft.change(before, scope, &format!("harmless, near {number}"));
                }
                draft.change(1, Scope::OffPath, "harmless, off the path");
                draft.change(2, Scope::service("other"), "harmless, of another");
            }
            let before = shortly(draft);
            draft.change(before, Scope::service("shop"), bad);
            truth(SuspectKind::Change, bad, "a configuration of shop")
        }
        Kind::ConfigurationOfAll => {
            let lines = draft.fails();
            draft.fault("shop", &lines);
            draft.fault("other", &lines);
            let before = shortly(draft);
            draft.change(before, Scope::All, bad);
            truth(SuspectKind::Change, bad, "a configuration of the gateway")
        }
        Kind::ConfigurationOfRoute | Kind::RouteFails | Kind::TenantFails => {
            let of_tenant = kind == Kind::TenantFails;
            let names = if of_tenant { TENANTS } else { ROUTES };
            let place = draft.random.below(names.len() as u32) as usize;
            let name = names.get(place).copied().unwrap_or_default();
            let share = draft.even(0.2, 0.9);
            draft.marred = Some(Marred {
                of: Some(name),
                cause: Cause::UpstreamStatus,
                shares: vec![(0, share)],
            });
            if kind == Kind::ConfigurationOfRoute {
                let before = shortly(draft);
                let change = draft.change(before, Scope::service("shop"), bad);
                change.place = Some(Place {
                    kind: PartKind::Route,
                    names: vec![name.to_owned()],
                });
                return truth(SuspectKind::Change, bad, "a configuration of a route");
            }
            match of_tenant {
                true => truth(SuspectKind::Tenant, name, &format!("tenant {name}")),
                false => truth(SuspectKind::Route, name, &format!("route {name}")),
            }
        }
        Kind::ChangeAfter => {
            let lines = draft.slows();
            draft.fault("shop", &lines);
            let after = i64::from(draft.whole(8, 40));
            draft.change(-after, Scope::service("shop"), "what somebody did about it");
            truth(SuspectKind::Service, "itself", "shop itself")
        }
        Kind::ShedLevel => {
            let mut shares = Vec::new();
            let mut sum = 0.0;
            for step in 0..3_u32 {
                sum += draft.even(0.03, 0.1);
                let after = u64::from(step) * 12;
                shares.push((after, sum));
                let change =
                    draft.change(-(after as i64), Scope::service("shop"), "shed level is set");
                change.dose = Some(Dose {
                    name: "shed level".to_owned(),
                    from: f64::from(step),
                    to: f64::from(step + 1),
                });
            }
            draft.marred = Some(Marred {
                of: None,
                cause: Cause::Shed,
                shares,
            });
            truth(
                SuspectKind::Change,
                "shed level is set",
                "a person's shed level",
            )
        }
        Kind::TenantFlood => {
            let place = draft.random.below(TENANTS.len() as u32) as usize;
            let name = TENANTS.get(place).copied().unwrap_or_default();
            // About as much as fits; what the others ask for comes on top.
            let times = draft.even(2.2, 3.5) / draft.load;
            draft.more = (Some(name), times);
            truth(SuspectKind::Tenant, name, &format!("tenant {name}"))
        }
        Kind::Surge => {
            let times = draft.even(1.2, 2.0) / draft.load;
            draft.more = (None, times);
            truth(SuspectKind::Surge, "times as much is asked for", "a surge")
        }
        Kind::EndpointFails | Kind::EndpointSlow | Kind::AddressesChange => {
            let after = draft.random.below(draft.endpoints);
            let lines = match kind {
                Kind::EndpointSlow => {
                    format!("kind = \"slow\"\ntimes = {:.1}", draft.even(12.0, 30.0))
                }
                _ => format!(
                    "kind = \"errors\"\nshare = \"{:.0}%\"",
                    draft.even(30.0, 90.0)
                ),
            };
            draft.fault("shop", &format!("after = {after}\nendpoints = 1\n{lines}"));
            let name = endpoint(after as usize);
            if kind == Kind::AddressesChange {
                let noticed = i64::from(draft.random.below(6));
                let change = draft.change(-noticed, Scope::service("shop"), bad);
                change.noticed_within = 5;
                change.place = Some(Place {
                    kind: PartKind::Endpoint,
                    names: vec![name],
                });
                return truth(SuspectKind::Change, bad, "the addresses of an endpoint");
            }
            truth(SuspectKind::Endpoint, &name, &format!("endpoint {name}"))
        }
        Kind::DeployOnHalf => {
            let half = draft.endpoints / 2;
            let lines = draft.fails();
            draft.fault("shop", &format!("endpoints = {half}\n{lines}"));
            let at = draft.begins - 3;
            let _infallible = writeln!(
                draft.faults,
                "[[fault]]\nservice = \"shop\"\nkind = \"crash\"\nendpoints = {half}\nat = \"{at}s\"\nlasts = \"3s\""
            );
            truth(
                SuspectKind::EndpointSet,
                &endpoint(0),
                "endpoints that were started again",
            )
        }
        Kind::EndpointsGone => {
            draft.load = draft.even(0.7, 0.8);
            let gone = draft.endpoints / 2;
            draft.fault("shop", &format!("kind = \"crash\"\nendpoints = {gone}"));
            truth(
                SuspectKind::EndpointSet,
                &endpoint(0),
                "endpoints that are gone",
            )
        }
        Kind::CapacityLost => {
            let lines = format!("kind = \"slow\"\ntimes = {:.1}", draft.even(3.0, 6.0));
            draft.fault("shop", &lines);
            truth(SuspectKind::Service, "itself", "shop itself")
        }
        Kind::DependencyFails | Kind::DependencySlow | Kind::DependencyOfDependency => {
            let name = match kind {
                Kind::DependencyOfDependency => "bank",
                _ => "payments",
            };
            let lines = match kind {
                Kind::DependencySlow => {
                    format!("kind = \"slow\"\ntimes = {:.1}", draft.even(30.0, 60.0))
                }
                _ => format!(
                    "kind = \"errors\"\nshare = \"{:.0}%\"",
                    draft.even(25.0, 80.0)
                ),
            };
            draft.fault(name, &lines);
            let what = format!("{name}, which shop depends on");
            truth(SuspectKind::Dependency, &what, name)
        }
    }
}

/// How an endpoint is called.
pub(super) fn endpoint(place: usize) -> String {
    format!("shop-{place}")
}
