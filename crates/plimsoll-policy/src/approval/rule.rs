//! What needs approval.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::{Condition, Hours};

use super::Kind;

/// More persons than that are never asked for.
pub const PERSONS_MAX: u8 = 2;

/// `[approval.NAME]`: what it says is empty holds for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it is about; at least one.
    pub what: Vec<Kind>,
    /// Only where a service of one of these tiers is touched.
    pub tiers: Vec<u8>,
    /// Only where one of these services is.
    pub services: Vec<String>,
    /// Only where a service in one of these conditions is.
    pub conditions: Vec<Condition>,
    /// Only then.
    pub during: Vec<Hours>,
    /// How many others have to agree: 1 to [`PERSONS_MAX`].
    pub persons: u8,
    /// How long a request waits for them.
    pub lasts: Duration,
}

/// A service that an action touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its name.
    pub service: String,
    /// Its tier.
    pub tier: u8,
    /// How it stands now.
    pub condition: Condition,
}

/// Something that somebody wants to do now.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// What: a step of a runbook may be something else as well.
    pub kinds: &'a [Kind],
    /// What it touches.
    pub touched: &'a [Touched],
    /// When.
    pub at: Timestamp,
}

/// What an action needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// How many others have to agree.
    pub persons: u8,
    /// How long a request waits for them.
    pub lasts: Duration,
    /// The rules that say so.
    pub rules: Vec<String>,
}

impl Rule {
    fn holds(&self, action: &Action<'_>) -> bool {
        let is_about_some =
            !(self.tiers.is_empty() && self.services.is_empty() && self.conditions.is_empty());
        action.kinds.iter().any(|kind| self.what.contains(kind))
            && (self.during.is_empty() || self.during.iter().any(|it| it.contains(action.at)))
            && (!is_about_some || action.touched.iter().any(|it| self.is_about(it)))
    }

    fn is_about(&self, touched: &Touched) -> bool {
        let Touched {
            service,
            tier,
            condition,
        } = touched;
        (self.tiers.is_empty() || self.tiers.contains(tier))
            && (self.services.is_empty() || self.services.contains(service))
            && (self.conditions.is_empty() || self.conditions.contains(condition))
    }
}

/// What all rules together ask for: the most persons, the shortest time. `None`: nothing.
pub fn needed<'a>(
    rules: impl IntoIterator<Item = &'a Rule>,
    action: &Action<'_>,
) -> Option<Needed> {
    let rules = rules.into_iter().filter(|rule| rule.holds(action));
    rules.fold(None, |needed: Option<Needed>, rule| {
        let mut needed = needed.unwrap_or(Needed {
            persons: 0,
            lasts: rule.lasts,
            rules: Vec::new(),
        });
        needed.persons = needed.persons.max(rule.persons);
        needed.lasts = needed.lasts.min(rule.lasts);
        needed.rules.push(rule.name.clone());
        Some(needed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> Rule {
        Rule {
            name: name.to_owned(),
            what: vec![Kind::Config],
            tiers: Vec::new(),
            services: Vec::new(),
            conditions: Vec::new(),
            during: Vec::new(),
            persons: 1,
            lasts: Duration::from_secs(3_600),
        }
    }

    fn touched(service: &str, tier: u8, condition: Condition) -> Touched {
        Touched {
            service: service.to_owned(),
            tier,
            condition,
        }
    }

    #[track_caller]
    fn check(rule: &Rule, kind: Kind, touched: &[Touched], expected: bool) {
        let action = Action {
            kinds: &[kind],
            touched,
            // A Thursday, 00:00.
            at: Timestamp::of_date(2026, 11, 26),
        };
        assert_eq!(needed([rule], &action).is_some(), expected, "{rule:?}");
    }

    #[test]
    fn a_rule_holds_where_all_that_it_says_does() {
        use Condition::{Burning, Healthy};
        let shop = [touched("shop", 1, Healthy)];
        let both = [touched("shop", 1, Healthy), touched("mail", 3, Burning)];
        check(&rule("all"), Kind::Config, &[], true);
        check(&rule("all"), Kind::Degrade, &shop, false);
        let tier = Rule {
            tiers: vec![1, 2],
            ..rule("tier")
        };
        check(&tier, Kind::Config, &shop, true);
        check(&tier, Kind::Config, &both[1..], false);
        check(&tier, Kind::Config, &[], false);
        // One service has to be all that it asks for.
        let burning = Rule {
            conditions: vec![Burning],
            ..tier.clone()
        };
        check(&burning, Kind::Config, &both, false);
        let named = Rule {
            services: vec!["mail".to_owned()],
            ..rule("named")
        };
        check(&named, Kind::Config, &both, true);
        check(&named, Kind::Config, &shop, false);
        let hours = |text| Rule {
            during: vec![Hours::parse(text).unwrap()],
            ..rule("hours")
        };
        check(&hours("Wed 18:00-08:00"), Kind::Config, &shop, true);
        check(&hours("Thu 18:00-08:00"), Kind::Config, &shop, false);
    }

    #[test]
    fn of_several_rules_the_strictest_of_each_holds() {
        let two = Rule {
            persons: 2,
            ..rule("two")
        };
        let short = Rule {
            lasts: Duration::from_secs(60),
            ..rule("short")
        };
        let other = Rule {
            what: vec![Kind::Flag],
            ..rule("other")
        };
        let action = Action {
            kinds: &[Kind::Config],
            touched: &[],
            at: Timestamp::from_seconds(0),
        };
        let all = needed([&two, &short, &other], &action).unwrap();
        assert_eq!((all.persons, all.lasts.as_secs()), (2, 60));
        assert_eq!(all.rules, ["two", "short"]);
        assert_eq!(needed([&other], &action), None);
    }
}
