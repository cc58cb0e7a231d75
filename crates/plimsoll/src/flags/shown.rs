//! What is shown of flags: to the control API, and to whoever scrapes.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_config::FlagSource;
use plimsoll_console::{
    FlagChanged, FlagDimmed, FlagEvaluated, FlagList, FlagSetting, FlagView, Problem,
};
use plimsoll_core::Timestamp;
use plimsoll_flags::{Counts, FlagStore, Served};
use plimsoll_measure::FlagCountsView;
use plimsoll_policy::flag::{FlagReason, FlagSet, Stale};
use serde_json::Value;

use super::command::evaluated;
use super::managed::{Managed, ManagedFlag};
use crate::access::minute;

/// A flag of which all have had the same for so long should go.
const SAME_FOR_ALL: Duration = Duration::from_secs(30 * 86_400);

/// What others than the control thread's loop see of the flags.
pub(crate) struct FlagsShared {
    pub(crate) store: Arc<FlagStore>,
    pub(crate) shown: ArcSwap<Shown>,
}

/// Where the flags come from, and what people made of them.
pub(crate) struct Shown {
    pub(crate) source: FlagSource,
    pub(crate) managed: Managed,
}

impl Shown {
    pub(crate) fn into_shared(self) -> ArcSwap<Self> {
        ArcSwap::from_pointee(self)
    }
}

impl FlagsShared {
    pub(crate) fn list(&self, now: Timestamp) -> FlagList {
        let (served, shown, counts) = (self.store.served(), self.shown.load(), self.store.counts());
        let stale = stale(&served.flags.set, &shown.managed, now);
        let evaluations = |key: &str| counts.get(key).map_or(0, total);
        let flags = served.flags.set.flags().map(|(key, _)| {
            let stale = stale.iter().find(|(stale, _)| *stale == key);
            let stale = stale.map(|(_, why)| says(why));
            view(&served, &shown, key, stale, evaluations(key), now)
        });
        FlagList {
            source: match &shown.source {
                FlagSource::None => "none".to_owned(),
                FlagSource::File(path) => path.display().to_string(),
                FlagSource::Managed => "managed".to_owned(),
            },
            digest: served.digest.clone(),
            flags: flags.flatten().collect(),
        }
    }

    pub(crate) fn one(&self, key: &str, now: Timestamp) -> Option<FlagView> {
        let (served, shown) = (self.store.served(), self.shown.load());
        let stale = stale(&served.flags.set, &shown.managed, now);
        let stale = stale.iter().find(|(stale, _)| *stale == key);
        let stale = stale.map(|(_, why)| says(why));
        let evaluations = self.store.counts().get(key).map_or(0, total);
        let mut view = view(&served, &shown, key, stale, evaluations, now)?;
        view.definition = match shown.managed.get(key) {
            Some((flag, _)) => Some(flag.definition.clone()),
            None => {
                let all: Value = serde_json::from_str(&served.text).unwrap_or_default();
                all.get("flags").and_then(|flags| flags.get(key)).cloned()
            }
        };
        Some(view)
    }

    /// How often they were evaluated, for whoever scrapes.
    pub(crate) fn counts(&self) -> Vec<FlagCountsView> {
        let counts = self.store.counts().into_iter();
        let view = |(flag, counts): (String, Counts)| {
            let reasons = FlagReason::ALL.map(FlagReason::name).into_iter();
            let reasons = reasons
                .zip(counts.by_reason)
                .chain([("ERROR", counts.errors)]);
            FlagCountsView {
                flag,
                reasons: reasons.filter(|(_, count)| *count > 0).collect(),
            }
        };
        counts.map(view).collect()
    }

    pub(crate) fn evaluate(
        &self,
        key: &str,
        context: Value,
        now: Timestamp,
    ) -> Result<FlagEvaluated, Problem> {
        let served = self.store.served();
        if served.flags.set.flag(key).is_none() {
            return Err(Problem::not_found("there is no such flag"));
        }
        let given = evaluated(key, context, |context| {
            served.flags.evaluate(key, context, now)
        });
        given.map_err(Problem::invalid)
    }
}

fn total(counts: &Counts) -> u64 {
    counts.by_reason.iter().sum::<u64>() + counts.errors
}

fn stale<'a>(set: &'a FlagSet, managed: &Managed, now: Timestamp) -> Vec<(&'a str, Stale)> {
    // When the flags of a file were changed, nobody knows.
    let changed = |key: &str| Some(managed.get(key)?.0.changed_at());
    set.stale(now, now.before(SAME_FOR_ALL), changed)
}

fn says(stale: &Stale) -> String {
    match stale {
        Stale::Expired(at) => {
            let at = minute(*at);
            format!("it was to be gone by {}", at.get(..10).unwrap_or(&at))
        }
        Stale::SameForAll(variant) => format!("all have had `{variant}` for over 30 days"),
    }
}

fn view(
    served: &Served,
    shown: &Shown,
    key: &str,
    stale: Option<String>,
    evaluations: u64,
    now: Timestamp,
) -> Option<FlagView> {
    let flag = served.flags.set.flag(key)?;
    let managed = shown.managed.get(key);
    let setting = |flag: &ManagedFlag| {
        let set = flag.set.as_ref()?;
        Some(FlagSetting {
            verb: set.what.verb().to_owned(),
            variant: set.what.variant().map(str::to_owned),
            by: set.by.clone(),
            why: set.why.clone(),
            until: set.until,
        })
    };
    Some(FlagView {
        key: key.to_owned(),
        owner: flag.settings().owner.clone(),
        rollout: served.flags.guards.get(key).map(|it| it.rollout.clone()),
        dimmed: served.flags.dimmed.get(key).map(|it| FlagDimmed {
            service: it.service.clone(),
            share: it.share_of_users(),
        }),
        enabled: flag.is_enabled(),
        variants: flag.variants().keys().cloned().collect(),
        default: flag.default_variant(now).map(str::to_owned),
        targeting: flag.has_targeting(),
        stale,
        evaluations,
        version: managed.map(|(_, version)| version),
        changed: managed.map(|(flag, _)| FlagChanged {
            by: flag.by.clone(),
            why: flag.why.clone(),
            at: flag.at,
        }),
        set: managed.and_then(|(flag, _)| setting(flag)),
        definition: None,
    })
}
