//! The life of a request: it waits for others, until enough agree, somebody says no, or its time is over.

use std::fmt;

use plimsoll_core::Timestamp;
use plimsoll_measure::wire;
use serde::{Deserialize, Serialize};

use super::{Kind, Needed};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Who wants it.
    pub by: String,
    /// And why.
    pub why: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// What it is about: a service, a flag, the configuration.
    pub subject: String,
    /// A hash of all that it would do: others agree to this and nothing else.
    pub content: String,
}

/// Somebody agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When.
    #[serde(with = "wire")]
    pub at: Timestamp,
}

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// For others.
    Waiting,
    /// It is being done; whatever becomes of the process, it is not done again.
    Begun,
    /// It was done.
    Done,
    /// It could not be done: why.
    Failed(String),
    /// Somebody said no, and why.
    Refused(String, String),
    /// Whoever wanted it does not any more.
    Withdrawn,
    /// Too few agreed in time.
    Expired,
    /// Somebody did it all the same, and why.
    Broken(String, String),
}

/// A request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked for.
    pub wanted: Wanted,
    /// How many others have to agree.
    pub persons: u8,
    /// The rules that say so.
    pub rules: Vec<String>,
    /// Since when.
    #[serde(with = "wire")]
    pub since: Timestamp,
    /// It waits until then at most.
    #[serde(with = "wire")]
    pub until: Timestamp,
    /// Who agreed: others than whoever asks, each once.
    pub approvals: Vec<Approval>,
    /// How it stands.
    pub state: State,
    /// Since when it stands so.
    #[serde(with = "wire")]
    pub changed: Timestamp,
}

/// Why something can't be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It waits for nobody any more.
    Over(String),
    /// Whoever asks does not agree with themselves.
    Own,
    /// They agreed before.
    Already,
    /// What is agreed to is not what was asked for.
    OtherContent,
    /// Only whoever asked takes it back.
    NotTheirs(String),
    /// So many more have to agree.
    TooFew(u8),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(how) => write!(f, "it is over: {how}"),
            Self::Own => {
                f.write_str("whoever asks is not the one who approves: another person has to")
            }
            Self::Already => f.write_str("you approved it before: another person has to"),
            Self::OtherContent => {
                f.write_str("it is not what was asked for any more: it needs a request of its own")
            }
            Self::NotTheirs(by) => {
                write!(f, "only {by}, who asked, takes it back; you can refuse it")
            }
            Self::TooFew(missing) => write!(f, "{}", more_persons(*missing)),
        }
    }
}

/// "it needs 1 more person"
fn more_persons(missing: u8) -> String {
    let plural = if missing == 1 { "" } else { "s" };
    format!("it needs {missing} more person{plural} to approve it")
}

impl State {
    /// In words.
    pub fn says(&self) -> String {
        match self {
            Self::Waiting => "it waits".to_owned(),
            Self::Begun => "it is being carried out".to_owned(),
            Self::Done => "it was carried out".to_owned(),
            Self::Failed(why) => format!("it could not be carried out: {why}"),
            Self::Refused(by, why) => format!("{by} refused it: {why}"),
            Self::Withdrawn => "it was withdrawn".to_owned(),
            Self::Expired => "it expired: too few approved it in time".to_owned(),
            Self::Broken(by, why) => format!("{by} broke the glass: {why}"),
        }
    }

    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Refused(..) => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Broken(..) => "broken",
        }
    }
}

impl Request {
    /// Somebody asks.
    pub fn new(wanted: Wanted, needed: Needed, now: Timestamp) -> Self {
        Self {
            wanted,
            persons: needed.persons,
            rules: needed.rules,
            since: now,
            until: now + needed.lasts,
            approvals: Vec::new(),
            state: State::Waiting,
            changed: now,
        }
    }

    /// Whether it waits for others.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// Somebody who may agrees with `content`.
    pub fn on_approve(&mut self, now: Timestamp, by: &str, content: &str) -> Result<(), Objection> {
        self.still(now)?;
        if self.wanted.by == by {
            return Err(Objection::Own);
        }
        if self.wanted.content != content {
            return Err(Objection::OtherContent);
        }
        if self.approvals.iter().any(|it| it.by == by) {
            return Err(Objection::Already);
        }
        self.approvals.push(Approval {
            by: by.to_owned(),
            at: now,
        });
        Ok(())
    }

    /// Somebody who may says no: one is enough.
    pub fn on_refuse(&mut self, now: Timestamp, by: &str, why: &str) -> Result<(), Objection> {
        self.still(now)?;
        if self.wanted.by == by {
            return Err(Objection::Own);
        }
        self.enter(now, State::Refused(by.to_owned(), why.to_owned()));
        Ok(())
    }

    /// Whoever asked does not want it any more.
    pub fn on_withdraw(&mut self, now: Timestamp, by: &str) -> Result<(), Objection> {
        self.still(now)?;
        if self.wanted.by != by {
            return Err(Objection::NotTheirs(self.wanted.by.clone()));
        }
        self.enter(now, State::Withdrawn);
        Ok(())
    }

    /// Somebody does it without the others.
    pub fn on_break(&mut self, now: Timestamp, by: &str, why: &str) -> Result<(), Objection> {
        self.still(now)?;
        self.enter(now, State::Broken(by.to_owned(), why.to_owned()));
        Ok(())
    }

    /// When it changes by itself.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.is_waiting().then_some(self.until)
    }

    /// Time has passed. Says whether that ended it.
    pub fn on_timeout(&mut self, now: Timestamp) -> bool {
        self.still(now).is_err() && self.state == State::Expired && self.changed == now
    }

    /// How many more have to agree. `counts`: whether somebody may agree still.
    pub fn missing(&self, counts: impl Fn(&str) -> bool) -> u8 {
        let agreed = self.approvals.iter().filter(|it| counts(&it.by)).count();
        self.persons
            .saturating_sub(u8::try_from(agreed).unwrap_or(u8::MAX))
    }

    /// It is to be done now: `content` is what would be. Once at most, whatever comes of it.
    pub fn begin(
        &mut self,
        now: Timestamp,
        content: &str,
        counts: impl Fn(&str) -> bool,
    ) -> Result<(), Objection> {
        self.still(now)?;
        if self.wanted.content != content {
            return Err(Objection::OtherContent);
        }
        match self.missing(counts) {
            0 => self.enter(now, State::Begun),
            missing => return Err(Objection::TooFew(missing)),
        }
        Ok(())
    }

    /// What came of it. What could not even begin ends too.
    pub fn on_end(&mut self, now: Timestamp, came: Result<(), String>) {
        match (&self.state, came) {
            (State::Begun, Ok(())) => self.enter(now, State::Done),
            (State::Begun | State::Waiting, Err(why)) => self.enter(now, State::Failed(why)),
            _ => (),
        }
    }

    /// Refuses what comes too late.
    fn still(&mut self, now: Timestamp) -> Result<(), Objection> {
        if self.is_waiting() && now >= self.until {
            self.enter(now, State::Expired);
        }
        match self.is_waiting() {
            true => Ok(()),
            false => Err(Objection::Over(self.state.says())),
        }
    }

    fn enter(&mut self, now: Timestamp, state: State) {
        self.state = state;
        self.changed = now;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_615_852 + second)
    }

    fn request(persons: u8) -> Request {
        let wanted = Wanted {
            by: "ana".to_owned(),
            why: None,
            kind: Kind::Config,
            subject: "configuration".to_owned(),
            content: "a1".to_owned(),
        };
        let needed = Needed {
            persons,
            lasts: Duration::from_secs(100),
            rules: vec!["tier-1".to_owned()],
        };
        Request::new(wanted, needed, at(0))
    }

    fn everybody(_: &str) -> bool {
        true
    }

    #[test]
    fn another_person_agrees_and_it_is_done_once() {
        let mut it = request(1);
        assert_eq!(it.on_approve(at(1), "ana", "a1"), Err(Objection::Own));
        assert_eq!(it.begin(at(1), "a1", everybody), Err(Objection::TooFew(1)));
        assert_eq!(it.on_approve(at(1), "bo", "a1"), Ok(()));
        assert_eq!(it.on_approve(at(2), "bo", "a1"), Err(Objection::Already));
        assert_eq!(it.begin(at(2), "a1", everybody), Ok(()));
        assert!(it.begin(at(2), "a1", everybody).is_err(), "once");
        it.on_end(at(3), Ok(()));
        assert_eq!(it.state, State::Done);
        it.on_end(at(4), Err("x".to_owned()));
        assert_eq!(it.state, State::Done);
        assert!(it.on_refuse(at(4), "cy", "late").is_err());
    }

    #[test]
    fn two_persons_are_two_who_may_at_that_moment() {
        let mut it = request(2);
        it.on_approve(at(1), "bo", "a1").unwrap();
        it.on_approve(at(2), "cy", "a1").unwrap();
        // That of bo was revoked.
        let cy_alone = |name: &str| name == "cy";
        assert_eq!(it.begin(at(3), "a1", cy_alone), Err(Objection::TooFew(1)));
        assert!(it.is_waiting());
        it.on_approve(at(4), "di", "a1").unwrap();
        assert_eq!(it.begin(at(5), "a1", |name| name != "bo"), Ok(()));
    }

    #[test]
    fn what_is_another_now_needs_a_request_of_its_own() {
        let mut it = request(1);
        assert_eq!(
            it.on_approve(at(1), "bo", "b2"),
            Err(Objection::OtherContent)
        );
        it.on_approve(at(1), "bo", "a1").unwrap();
        assert_eq!(
            it.begin(at(2), "b2", everybody),
            Err(Objection::OtherContent)
        );
        assert!(it.is_waiting());
    }

    #[test]
    fn one_no_a_withdrawal_and_time_end_it() {
        let ended = |end: fn(&mut Request)| {
            let mut it = request(1);
            end(&mut it);
            assert!(it.on_approve(at(50), "bo", "a1").is_err(), "{it:?}");
            it.state
        };
        let refused = ended(|it| it.on_refuse(at(1), "bo", "not today").unwrap());
        assert_eq!(refused.says(), "bo refused it: not today");
        assert_eq!(
            ended(|it| it.on_withdraw(at(1), "ana").unwrap()),
            State::Withdrawn
        );
        let broken = ended(|it| it.on_break(at(1), "ana", "it burns").unwrap());
        assert_eq!(broken.says(), "ana broke the glass: it burns");
        let mut it = request(1);
        assert!(it.on_refuse(at(1), "ana", "x").is_err());
        assert!(it.on_withdraw(at(1), "bo").is_err());
        assert!(!it.on_timeout(at(99)));
        assert_eq!(it.next_timeout(), Some(at(100)));
        assert!(it.on_timeout(at(100)));
        assert!(!it.on_timeout(at(101)), "once");
        assert_eq!((it.state, it.changed), (State::Expired, at(100)));
    }

    const NAMES: [&str; 4] = ["ana", "bo", "cy", "di"];

    #[derive(Clone, Debug)]
    enum Event {
        Approve(usize, bool),
        Refuse(usize),
        Withdraw(usize),
        Begin(bool),
        Revoke(usize),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..4_usize, proptest::bool::weighted(0.9)).prop_map(|(who, same)| Event::Approve(who, same)),
            1 => (0..4_usize).prop_map(Event::Refuse),
            1 => (0..4_usize).prop_map(Event::Withdraw),
            4 => proptest::bool::weighted(0.9).prop_map(Event::Begin),
            1 => (0..4_usize).prop_map(Event::Revoke),
            2 => (0..30_u64).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #[test]
        fn nothing_begins_without_enough_others_who_may_nor_twice_nor_late(
            persons in 1_u8..=2, events in vec(event(), 0..60),
        ) {
            let mut it = request(persons);
            let (mut second, mut begun, mut over) = (0, 0, false);
            let (mut agreed, mut revoked) = (BTreeSet::new(), BTreeSet::new());
            let content = |same: bool| if same { "a1" } else { "b2" };
            for event in events {
                match event {
                    Event::Approve(who, same) => {
                        if it.on_approve(at(second), NAMES[who], content(same)).is_ok() {
                            prop_assert!(who != 0 && same && !over);
                            prop_assert!(agreed.insert(NAMES[who]), "each once");
                        }
                    }
                    Event::Refuse(who) => over |= it.on_refuse(at(second), NAMES[who], "no").is_ok(),
                    Event::Withdraw(who) => over |= it.on_withdraw(at(second), NAMES[who]).is_ok(),
                    Event::Begin(same) => {
                        let counts = |name: &str| !revoked.contains(name);
                        if it.begin(at(second), content(same), counts).is_ok() {
                            let who = agreed.iter().filter(|it| !revoked.contains(*it) && **it != "ana");
                            prop_assert!(who.count() >= usize::from(persons));
                            prop_assert!(same && !over && second < 100);
                            begun += 1;
                        }
                    }
                    Event::Revoke(who) => { revoked.insert(NAMES[who]); }
                    Event::Pass(more) => second += more,
                }
            }
            prop_assert!(begun <= 1);
            // Whatever came, nothing waits for ever.
            let _ended = it.on_timeout(at(1_000));
            prop_assert!(it.next_timeout().is_none());
        }

        #[test]
        fn where_enough_agree_in_time_it_begins(persons in 1_u8..=2) {
            let mut it = request(persons);
            for who in 0..usize::from(persons) {
                it.on_approve(at(99), NAMES[who + 1], "a1").unwrap();
            }
            prop_assert_eq!(it.begin(at(99), "a1", everybody), Ok(()));
        }
    }
}
