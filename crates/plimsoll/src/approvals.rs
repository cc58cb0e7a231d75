//! What waits for the approval of others, and what came of it.
//!
//! It is kept twice, as what people set for a while is: as `approvals.json` in the state folder, and in the store's state under
//! `approval/NUMBER`. The file is written first and decides.
//!
//! Invariant: what is carried out is what was approved: a request holds all that it would do, or a hash of it, and begins once.

mod wanted;

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::ApprovalView;
use plimsoll_policy::approval::{self, Needed, Request, State};
use serde::{Deserialize, Serialize};

use crate::access::minute;
pub(crate) use wanted::{LINES_MAX, Wanted};

/// Where requests are in the store's state.
pub(crate) const PREFIX: &str = "approval/";
/// How many wait at most.
pub(crate) const WAITING_MAX: usize = 64;
/// How many are known that do not wait any more.
const ENDED_MAX: usize = 200;
/// For so long it is shown that somebody broke the glass.
const BROKEN_SHOWN: Duration = Duration::from_secs(86_400);
/// The form of `approvals.json`.
const VERSION: u32 = 1;

/// The key of a request in the store's state: in order, however many there are.
pub(crate) fn key(id: u64) -> String {
    format!("{PREFIX}{id:020}")
}

/// What something touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touching {
    /// Names of services, with their tiers.
    pub(crate) services: BTreeMap<String, u8>,
    /// Whether it is all of them: only who may act on all may approve it.
    pub(crate) all: bool,
}

/// A request, and what it would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) request: Request,
    pub(crate) wanted: Wanted,
    pub(crate) services: Vec<String>,
    pub(crate) all: bool,
    /// Its record.
    pub(crate) journal: Option<u64>,
}

impl Kept {
    /// What records about it are about: the one service that it touches, so that its page shows it.
    pub(crate) fn subject(&self) -> String {
        match (self.all, self.services.as_slice()) {
            (false, [service]) => format!("service/{service}/approval/{}", self.id),
            _ => format!("approval/{}", self.id),
        }
    }

    fn view(&self, counts: impl Fn(&Self, &str) -> bool) -> ApprovalView {
        let Self {
            request, wanted, ..
        } = self;
        let asked = &request.wanted;
        ApprovalView {
            id: self.id,
            kind: asked.kind.name().to_owned(),
            subject: asked.subject.clone(),
            says: wanted.says(),
            effect: wanted.effect(),
            services: self.services.clone(),
            by: asked.by.clone(),
            why: asked.why.clone(),
            persons: request.persons,
            missing: request.missing(|by| counts(self, by)),
            approved_by: request.approvals.iter().map(|it| it.by.clone()).collect(),
            rules: request.rules.clone(),
            content: asked.content.clone(),
            state: request.state.name().to_owned(),
            came: request.state.says(),
            since: request.since,
            until: request.until,
            changed: request.changed,
            journal: self.journal,
        }
    }
}

/// See the module's docs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Approvals {
    last: u64,
    kept: BTreeMap<u64, Kept>,
}

/// `approvals.json`
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// The last number that was given.
    last: u64,
    requests: Vec<Kept>,
}

impl Approvals {
    /// Somebody asks, or does it without asking (`state`). Gives its number.
    pub(crate) fn insert(
        &mut self,
        by: &str,
        wanted: Wanted,
        needed: Needed,
        touching: &Touching,
        now: Timestamp,
    ) -> u64 {
        self.last += 1;
        let asked = approval::Wanted {
            by: by.to_owned(),
            why: wanted.why().map(str::to_owned),
            kind: wanted.kind(),
            subject: wanted.subject(),
            content: wanted.content(),
        };
        let kept = Kept {
            id: self.last,
            request: Request::new(asked, needed, now),
            wanted,
            services: touching.services.keys().cloned().collect(),
            all: touching.all,
            journal: None,
        };
        self.kept.insert(self.last, kept);
        self.forget();
        self.last
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Kept> {
        self.kept.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Kept> {
        self.kept.get_mut(&id)
    }

    /// What waits, the oldest first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Kept> {
        self.kept.values().filter(|it| it.request.is_waiting())
    }

    /// What waits about a subject.
    pub(crate) fn open(&self, subject: &str) -> Option<&Kept> {
        self.waiting()
            .find(|it| it.request.wanted.subject == subject)
    }

    /// Ends what has waited too long; gives its numbers.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<u64> {
        let ended = |it: &mut Kept| it.request.is_waiting() && it.request.on_timeout(now);
        let all = self.kept.values_mut();
        all.filter_map(|it| ended(it).then_some(it.id)).collect()
    }

    /// What people are told of: what waits, and what was lately done without.
    pub(crate) fn to_tell(&self, now: Timestamp) -> impl Iterator<Item = &Kept> {
        let is_told = move |it: &&Kept| match it.request.state {
            State::Waiting => true,
            State::Broken(..) => now.since(it.request.changed) < BROKEN_SHOWN,
            _ => false,
        };
        self.kept.values().filter(is_told)
    }

    /// Who did something without approval lately, in sentences.
    pub(crate) fn broken(&self, now: Timestamp) -> Vec<String> {
        let said = |it: &Kept| match &it.request.state {
            State::Broken(by, why) if now.since(it.request.changed) < BROKEN_SHOWN => {
                Some(format!(
                    "{by} broke the glass at {} UTC: {} without approval (#{}): {why}",
                    minute(it.request.changed),
                    it.wanted.says(),
                    it.id
                ))
            }
            _ => None,
        };
        self.kept.values().filter_map(said).collect()
    }

    /// What waits, the oldest first; then what came of others, the latest first. `counts`: whether somebody's approval counts.
    pub(crate) fn views(&self, counts: impl Fn(&Kept, &str) -> bool + Copy) -> Vec<ApprovalView> {
        let waiting = self.waiting().map(|it| it.view(counts));
        let ended = self.kept.values().rev();
        let ended = ended.filter(|it| !it.request.is_waiting());
        waiting.chain(ended.map(|it| it.view(counts))).collect()
    }

    /// What the store's state must have.
    pub(crate) fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let value = |kept: &Kept| (key(kept.id), serde_json::to_vec(kept).unwrap_or_default());
        self.kept.values().map(value).collect()
    }

    pub(crate) fn to_file(&self) -> Vec<u8> {
        let file = File {
            version: VERSION,
            last: self.last,
            requests: self.kept.values().cloned().collect(),
        };
        serde_json::to_vec_pretty(&file).unwrap_or_default()
    }

    /// What an earlier process wrote.
    pub(crate) fn from_file(bytes: &[u8], now: Timestamp) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("its form {} is not known", file.version));
        }
        let mut approvals = Self::of(file.requests, now);
        approvals.last = approvals.last.max(file.last);
        Ok(approvals)
    }

    /// Goes on with what was kept. What had begun may have been done, or not: it is not done again.
    pub(crate) fn of(kept: impl IntoIterator<Item = Kept>, now: Timestamp) -> Self {
        let mut approvals = Self::default();
        for mut kept in kept.into_iter().take(WAITING_MAX + ENDED_MAX) {
            // What was changed since is another request.
            if kept.request.wanted.content != kept.wanted.content() {
                tracing::warn!(
                    id = kept.id,
                    "a request is not what it says: it is left out"
                );
                continue;
            }
            if kept.request.state == State::Begun {
                let why = "the process ended meanwhile: look whether it was done, and ask again";
                kept.request.on_end(now, Err(why.to_owned()));
            }
            approvals.last = approvals.last.max(kept.id);
            approvals.kept.insert(kept.id, kept);
        }
        approvals
    }

    /// Takes over what is not known here.
    pub(crate) fn add(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        for (id, kept) in other.kept {
            self.kept.entry(id).or_insert(kept);
        }
    }

    fn forget(&mut self) {
        let ended = self.kept.values().filter(|it| !it.request.is_waiting());
        let ended: Vec<u64> = ended.map(|it| it.id).collect();
        let more = ended.len().saturating_sub(ENDED_MAX);
        for id in ended.into_iter().take(more) {
            self.kept.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_615_852 + second)
    }

    fn wanted(seconds: u64) -> Wanted {
        Wanted::Freeze {
            service: Some("shop".to_owned()),
            seconds,
            why: "holidays".to_owned(),
        }
    }

    fn needed() -> Needed {
        Needed {
            persons: 1,
            lasts: Duration::from_secs(100),
            rules: vec!["all".to_owned()],
        }
    }

    fn touching() -> Touching {
        Touching {
            services: BTreeMap::from([("shop".to_owned(), 1)]),
            all: false,
        }
    }

    #[test]
    fn a_request_outlives_the_process_and_its_number_is_not_given_twice() {
        let mut approvals = Approvals::default();
        let id = approvals.insert("ana", wanted(60), needed(), &touching(), at(0));
        assert_eq!(
            approvals.get(id).unwrap().subject(),
            "service/shop/approval/1"
        );
        let read = Approvals::from_file(&approvals.to_file(), at(1)).unwrap();
        assert_eq!(read.get(id), approvals.get(id));
        assert_eq!(read.open("service/shop/freeze").unwrap().id, id);
        let mut read = read;
        assert_eq!(read.expire(at(100)), [id]);
        assert_eq!(read.expire(at(101)), [0_u64; 0]);
        let next = read.insert("bo", wanted(61), needed(), &touching(), at(101));
        assert_eq!(next, 2);
    }

    #[test]
    fn what_had_begun_is_not_done_again_and_what_was_changed_is_left_out() {
        let mut approvals = Approvals::default();
        let id = approvals.insert("ana", wanted(60), needed(), &touching(), at(0));
        let request = &mut approvals.get_mut(id).unwrap().request;
        let content = request.wanted.content.clone();
        request.on_approve(at(1), "bo", &content).unwrap();
        request.begin(at(1), &content, |_| true).unwrap();
        let read = Approvals::from_file(&approvals.to_file(), at(2)).unwrap();
        assert_eq!(read.get(id).unwrap().request.state.name(), "failed");
        let text = String::from_utf8(approvals.to_file()).unwrap();
        let changed = text.replace("\"seconds\": 60", "\"seconds\": 6000");
        assert_ne!(text, changed);
        let read = Approvals::from_file(changed.as_bytes(), at(2)).unwrap();
        assert_eq!(read.get(id), None);
        assert!(Approvals::from_file(b"{", at(2)).is_err());
    }

    #[test]
    fn what_would_be_done_has_a_hash_of_its_own_and_words() {
        assert_ne!(wanted(60).content(), wanted(61).content());
        let other = Wanted::Freeze {
            service: Some("shop".to_owned()),
            seconds: 60,
            why: "an audit".to_owned(),
        };
        assert!(wanted(60).does_as(&other) && !wanted(61).does_as(&other));
        assert_ne!(wanted(60).content(), other.content());
        assert_eq!(wanted(7_200).says(), "a freeze of shop for 2h");
        assert_eq!(wanted(90).says(), "a freeze of shop for 90s");
        assert_eq!(wanted(172_800).says(), "a freeze of shop for 2d");
    }
}
