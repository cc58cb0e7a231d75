//! What others approve, or refuse, before it is done; and how something is done in spite of rules.

use std::fmt;
use std::str::FromStr;

use plimsoll_measure::ApprovalView;
use serde::{Deserialize, Serialize};

use crate::overlay::why_of;
use crate::problem::Problem;
use crate::wire::shown;

/// What can be said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalVerb {
    /// Somebody agrees.
    Approve,
    /// Somebody does not: that ends it.
    Refuse,
    /// Whoever asked does not want it any more.
    Withdraw,
}

impl ApprovalVerb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Approve, Self::Refuse, Self::Withdraw];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse => "refuse",
            Self::Withdraw => "withdraw",
        }
    }
}

impl fmt::Display for ApprovalVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ApprovalVerb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let verb = Self::ALL.into_iter().find(|verb| verb.name() == text);
        verb.ok_or_else(|| {
            let text = shown(text);
            format!("`{text}` can't be said to a request; expected approve, refuse or withdraw")
        })
    }
}

/// What is said to a request, as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalWanted {
    /// What is approved, by the hash that the request has; without it whatever it has now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Why it is refused: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is said to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Somebody agrees with what has this hash; `None`: with what there is.
    Approve(Option<String>),
    /// Somebody does not, and why.
    Refuse(String),
    /// Whoever asked does not want it any more.
    Withdraw,
}

impl ApprovalWanted {
    /// Refuses what can't be.
    pub(crate) fn check(self, verb: ApprovalVerb) -> Result<Answered, Problem> {
        match verb {
            ApprovalVerb::Approve => Ok(Answered::Approve(self.content)),
            ApprovalVerb::Refuse => Ok(Answered::Refuse(why_of(self.why)?)),
            ApprovalVerb::Withdraw => Ok(Answered::Withdraw),
        }
    }
}

/// Requests for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalList {
    /// What waits, the oldest first; then what came of others, the latest first.
    pub approvals: Vec<ApprovalView>,
}

/// How something is asked for, as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HowWanted {
    /// Whether it is a fix: no freeze is in its way.
    #[serde(default)]
    pub fix: bool,
    /// Whether it is done without the approval that it needs.
    #[serde(default)]
    pub break_glass: bool,
    /// Why: 1 to 500 characters. It may go without saying where it is neither.
    #[serde(default)]
    pub why: Option<String>,
}

/// How something is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Why; always there where it is a fix, or breaks the glass.
    pub why: Option<String>,
    /// What it is let past.
    pub exempt: Exempt,
}

/// What somebody wants to be let past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exempt {
    /// No freeze is in its way: it mends something.
    pub is_fix: bool,
    /// It is done without the approval that it needs.
    pub breaks_glass: bool,
}

impl HowWanted {
    /// Refuses what can't be.
    pub(crate) fn check(self) -> Result<How, Problem> {
        let needs_why = self.fix || self.break_glass || self.why.is_some();
        Ok(How {
            why: needs_why.then(|| why_of(self.why)).transpose()?,
            exempt: Exempt {
                is_fix: self.fix,
                breaks_glass: self.break_glass,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_refuses_marks_a_fix_or_breaks_the_glass_says_why() {
        let wanted = ApprovalWanted::default;
        assert_eq!(
            wanted().check(ApprovalVerb::Withdraw),
            Ok(Answered::Withdraw)
        );
        let refused = wanted().check(ApprovalVerb::Refuse).unwrap_err();
        assert!(refused.to_string().contains("say why"), "{refused}");
        assert_eq!(HowWanted::default().check(), Ok(How::default()));
        for (fix, break_glass) in [(true, false), (false, true)] {
            let how = HowWanted {
                fix,
                break_glass,
                why: None,
            };
            assert!(how.clone().check().is_err());
            let why = Some("it burns".to_owned());
            assert!(HowWanted { why, ..how }.check().is_ok());
        }
        assert!("allow".parse::<ApprovalVerb>().is_err());
    }
}
