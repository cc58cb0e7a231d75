//! The set of flags in force, how often it was asked, and who is told that it has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use plimsoll_core::Timestamp;
use plimsoll_policy::flag::{
    DimmedFlag, Evaluation, EvaluationError, FlagContext, FlagReason, FlagSet, FlagsInForce,
    FractionalVersion, Guard,
};
use tokio::sync::watch;

/// How many flags are counted by name; what comes after is counted together.
const COUNTED_MAX: usize = 1_000;
/// What those are counted as.
const OTHERS: &str = "";

/// See the module's docs.
#[derive(Debug)]
pub struct FlagStore {
    served: ArcSwap<Served>,
    /// What of it others go by, too.
    in_force: Arc<ArcSwap<FlagsInForce>>,
    /// Held by whoever puts another in force: flags and what is rolled out come from two threads.
    changing: Mutex<()>,
    changes: watch::Sender<u64>,
    /// Held for a look-up and an addition.
    counts: Mutex<BTreeMap<String, Counts>>,
}

/// A set of flags, and where it stands among others.
#[derive(Debug, Default)]
pub struct Served {
    /// The flags, and what stands above them.
    pub flags: Arc<FlagsInForce>,
    /// Of the text that they were read from and of what stands above it, in hexadecimal: the same have the same.
    pub digest: String,
    /// That text; empty: there are no flags.
    pub text: String,
    /// Since when they are in force.
    pub since: Timestamp,
}

/// How often a flag was evaluated, by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the order of [`FlagReason::ALL`].
    pub by_reason: [u64; FlagReason::ALL.len()],
    /// There was no answer.
    pub errors: u64,
}

impl Default for FlagStore {
    fn default() -> Self {
        Self {
            served: ArcSwap::default(),
            in_force: Arc::default(),
            changing: Mutex::default(),
            changes: watch::Sender::new(0),
            counts: Mutex::default(),
        }
    }
}

impl FlagStore {
    /// Without flags yet. What is put in force is so where `in_force` is read, too.
    pub fn new(in_force: Arc<ArcSwap<FlagsInForce>>) -> Self {
        Self {
            in_force,
            ..Self::default()
        }
    }

    /// Puts a set in force that was read from `text`. The same text again changes nothing.
    pub fn replace(&self, set: FlagSet, text: &str, now: Timestamp) {
        let set = Arc::new(set);
        self.change(Some(text), now, |flags| flags.set = set);
    }

    /// Rolls these variants out, by flag, and no others. The same again change nothing.
    pub fn guard(&self, guards: BTreeMap<String, Guard>, now: Timestamp) {
        self.change(None, now, |flags| flags.guards = guards);
    }

    /// These are dimmed, by the flag that switches them, and no others. The same again change nothing.
    pub fn dim(&self, dimmed: BTreeMap<String, DimmedFlag>, now: Timestamp) {
        self.change(None, now, |flags| flags.dimmed = dimmed);
    }

    /// Takes all flags out of force.
    pub fn clear(&self, now: Timestamp) {
        self.change(Some(""), now, |flags| *flags = FlagsInForce::default());
    }

    fn change(&self, text: Option<&str>, now: Timestamp, change: impl FnOnce(&mut FlagsInForce)) {
        let _only_one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let served = self.served.load_full();
        let mut flags = (*served.flags).clone();
        change(&mut flags);
        let text = text.unwrap_or(&served.text);
        let is_same = served.text == text
            && served.flags.set.fractional() == flags.set.fractional()
            && served.flags.guards == flags.guards
            && served.flags.dimmed == flags.dimmed;
        if is_same {
            return;
        }
        let flags = Arc::new(flags);
        self.in_force.store(Arc::clone(&flags));
        self.served.store(Arc::new(Served {
            digest: digest_of(text, &flags),
            flags,
            text: text.to_owned(),
            since: now,
        }));
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// What is in force.
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Told of each change; those that come together may be told once.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Evaluates a flag of a set, and counts that.
    ///
    /// # Errors
    /// There is no answer.
    pub fn evaluate<'a>(
        &self,
        served: &'a Served,
        key: &str,
        context: &FlagContext,
        now: Timestamp,
    ) -> Result<Evaluation<'a>, EvaluationError> {
        let evaluated = served.flags.evaluate(key, context, now);
        // A flag that is not there is not counted by name: the name is the client's.
        if !matches!(evaluated, Err(EvaluationError::NotFound(_))) {
            self.count(key, evaluated.as_ref().ok().map(|given| given.reason));
        } else {
            self.count(OTHERS, None);
        }
        evaluated
    }

    fn count(&self, key: &str, reason: Option<FlagReason>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = counts.len() < COUNTED_MAX;
        let key = match counts.contains_key(key) || has_room {
            true => key,
            false => OTHERS,
        };
        let counted = match counts.get_mut(key) {
            Some(counted) => counted,
            None => counts.entry(key.to_owned()).or_default(),
        };
        let place = reason.and_then(|reason| FlagReason::ALL.iter().position(|it| *it == reason));
        match place.and_then(|place| counted.by_reason.get_mut(place)) {
            Some(count) => *count += 1,
            None => counted.errors += 1,
        }
    }

    /// How often flags were evaluated, by their names; those beyond a bound, and those that are not there, under no name.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn digest_of(text: &str, flags: &FlagsInForce) -> String {
    let mut covered = text.to_owned();
    if flags.set.fractional() == FractionalVersion::V1 {
        covered.push_str("\nv1");
    }
    for (key, guard) in &flags.guards {
        let Guard {
            rollout,
            variant,
            weight,
        } = guard;
        covered.push_str(&format!(
            "\n{key:?} {rollout:?} {variant:?} {}",
            weight.parts()
        ));
    }
    for (key, dimmed) in &flags.dimmed {
        // Who is dimmed is the same for as long as the process lives.
        let DimmedFlag {
            service,
            feature,
            level,
            salt: _,
        } = dimmed;
        covered.push_str(&format!("\n{key:?} dimmed {service:?} {feature} {level}"));
    }
    hex(covered.as_bytes())
}

/// Tells texts apart, also where somebody would like to make two the same.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let half = digest.as_ref().iter().take(16);
    half.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(flags: usize) -> String {
        let flag = |at| {
            format!(r#""f{at:04}": {{ "variants": {{ "on": true }}, "defaultVariant": "on" }}"#)
        };
        let flags: Vec<String> = (0..flags).map(flag).collect();
        format!("{{ \"flags\": {{ {} }} }}", flags.join(","))
    }

    fn put(store: &FlagStore, text: &str, seconds: u64) {
        let set = FlagSet::parse(text, FractionalVersion::V2).unwrap();
        store.replace(set, text, Timestamp::from_seconds(seconds));
    }

    #[test]
    fn who_waits_is_told_of_a_change_and_not_of_the_same_again() {
        let store = FlagStore::default();
        let mut told = store.subscribe();
        put(&store, &text(1), 1);
        assert!(told.has_changed().unwrap());
        told.mark_unchanged();
        put(&store, &text(1), 2);
        assert!(!told.has_changed().unwrap());
        assert_eq!(store.served().since, Timestamp::from_seconds(1));
        put(&store, &text(2), 3);
        assert!(told.has_changed().unwrap());
    }

    #[test]
    fn the_same_flags_split_in_another_way_are_told_as_a_change() {
        let store = FlagStore::default();
        put(&store, &text(1), 1);
        let before = store.served().digest.clone();
        let set = FlagSet::parse(&text(1), FractionalVersion::V1).unwrap();
        store.replace(set, &text(1), Timestamp::from_seconds(2));
        assert_ne!(store.served().digest, before);
    }

    #[test]
    fn what_is_put_in_force_is_so_for_all_who_go_by_it_and_what_is_dimmed_is_a_change() {
        let in_force = Arc::<ArcSwap<FlagsInForce>>::default();
        let store = FlagStore::new(Arc::clone(&in_force));
        put(&store, &text(3), 1);
        assert_eq!(in_force.load().set.len(), 3);
        let mut told = store.subscribe();
        let dimmed = DimmedFlag {
            service: "shop".to_owned(),
            feature: 0,
            level: 1,
            salt: plimsoll_policy::Salt::new(1, 2),
        };
        let dim = |level| {
            let dimmed = DimmedFlag {
                level,
                ..dimmed.clone()
            };
            store.dim(
                BTreeMap::from([("f0000".to_owned(), dimmed)]),
                Timestamp::from_seconds(2),
            );
        };
        dim(7);
        assert!(told.has_changed().unwrap() && in_force.load().dimmed["f0000"].level == 7);
        told.mark_unchanged();
        dim(7);
        assert!(!told.has_changed().unwrap());
        let before = store.served().digest.clone();
        dim(8);
        assert_ne!(store.served().digest, before);
        store.clear(Timestamp::from_seconds(3));
        assert!(in_force.load().set.is_empty());
    }

    #[test]
    fn what_is_rolled_out_is_told_like_a_change_and_outlives_other_flags() {
        let store = FlagStore::default();
        let guard = |percent: u16| {
            let guard = Guard {
                rollout: "cart-on".to_owned(),
                variant: "on".to_owned(),
                weight: plimsoll_policy::rollout::Weight::of_parts(100 * percent),
            };
            BTreeMap::from([("cart".to_owned(), guard)])
        };
        let flags = r#"{ "flags": { "cart": { "variants": { "on": true, "off": false }, "defaultVariant": "off" } } }"#;
        put(&store, flags, 1);
        let mut told = store.subscribe();
        let has = || {
            let served = store.served();
            let context = FlagContext::of("ana");
            let given = served
                .flags
                .evaluate("cart", &context, Timestamp::default());
            given.unwrap().variant == Some("on")
        };
        assert!(!has());
        store.guard(guard(100), Timestamp::from_seconds(2));
        assert!(has() && told.has_changed().unwrap());
        told.mark_unchanged();
        store.guard(guard(100), Timestamp::from_seconds(3));
        assert!(!told.has_changed().unwrap());
        put(&store, &flags.replace("flags\": {", "flags\":  {"), 4);
        assert!(has(), "other flags, the same rollout");
        store.guard(guard(0), Timestamp::from_seconds(5));
        assert!(!has());
    }

    #[test]
    fn flags_are_counted_by_name_up_to_a_bound_and_names_of_clients_never() {
        let store = FlagStore::default();
        put(&store, &text(1_200), 1);
        let served = store.served();
        let context = FlagContext::empty();
        let ask = |key: &str| {
            store
                .evaluate(&served, key, &context, Timestamp::default())
                .is_ok()
        };
        assert!(!ask("made-up"));
        for at in 0..1_200 {
            assert!(ask(&format!("f{at:04}")));
        }
        let counts = store.counts();
        assert_eq!(counts.len(), COUNTED_MAX);
        assert_eq!(counts["f0000"].by_reason, [1, 0, 0, 0, 0]);
        assert!(!counts.contains_key("made-up"));
        let others = counts[OTHERS];
        assert_eq!((others.errors, others.by_reason[0]), (1, 201));
    }
}
