//! Who asks, and what they may do.

use std::fmt;
use std::str::FromStr;

use plimsoll_measure::Incident;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// What a token allows. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes services of its owners.
    Operator,
    /// Approves changes of others.
    Approver,
    /// Makes and revokes tokens.
    Admin,
}

impl Role {
    /// The weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| {
            format!("`{text}` is no role; expected viewer, operator, approver or admin")
        })
    }
}

/// Whoever asks, by their token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whose services they may change. None: all.
    pub owners: Vec<String>,
}

impl Caller {
    /// Whether they may approve what others want to do with services of these owners; `None`: of all.
    pub fn may_approve(&self, owners: Option<&[Option<String>]>) -> bool {
        self.role >= Role::Approver && self.covers(owners)
    }

    /// Whether they may do something with services of these owners; `None`: with all.
    pub fn may_operate(&self, owners: Option<&[Option<String>]>) -> bool {
        self.role >= Role::Operator && self.covers(owners)
    }

    fn covers(&self, owners: Option<&[Option<String>]>) -> bool {
        let covers = |owner: &Option<String>| {
            let owner = owner.as_ref();
            owner.is_some_and(|owner| self.owners.contains(owner))
        };
        self.owners.is_empty() || owners.is_some_and(|all| all.iter().all(covers))
    }

    /// Refuses whoever has a weaker role.
    pub(crate) fn needs(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let Self {
            name, role: has, ..
        } = self;
        Err(Problem::forbidden(format!(
            "this needs the role {role}; {name} has {has}"
        )))
    }

    /// Refuses whoever may not change this service.
    pub(crate) fn may_change(&self, service: &str, owner: Option<&str>) -> Result<(), Problem> {
        self.needs(Role::Operator)?;
        let name = &self.name;
        match owner {
            _ if self.owners.is_empty() => Ok(()),
            Some(owner) if self.owners.iter().any(|it| it == owner) => Ok(()),
            Some(owner) => Err(Problem::forbidden(format!(
                "{service} belongs to {owner}: this needs a token for that owner; that of {name} is for {}",
                self.owners.join(", ")
            ))),
            None => Err(Problem::forbidden(format!(
                "{service} has no owner: this needs a token for all owners; that of {name} is for {}",
                self.owners.join(", ")
            ))),
        }
    }

    /// Refuses whoever may do nothing about an incident: it is for those whom it was handed over to, and for those who may change
    /// its service. `service` is the owner of that; `None`: it is in no configuration any more, and so belongs to all.
    pub(crate) fn may_act(
        &self,
        incident: &Incident,
        service: Option<Option<&str>>,
    ) -> Result<(), Problem> {
        let to = incident.handed_over_to.as_deref();
        if to.is_some() && self.may_change(&incident.service, to).is_ok() {
            return Ok(());
        }
        match service {
            Some(owner) => self.may_change(&incident.service, owner),
            None => self.may_change_all(),
        }
    }

    /// Whether there is anything that they may change: others are shown the same, whoever they are.
    pub(crate) fn operates(&self) -> bool {
        self.needs(Role::Operator).is_ok()
    }

    /// Refuses whoever may not change what belongs to all.
    pub(crate) fn may_change_all(&self) -> Result<(), Problem> {
        self.needs(Role::Operator)?;
        if self.owners.is_empty() {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this changes all services: it needs a token for all owners; that of {} is for {}",
            self.name,
            self.owners.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, owners: &[&str]) -> Caller {
        Caller {
            name: "ana".to_owned(),
            role,
            owners: owners.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn each_role_may_do_what_the_weaker_ones_may() {
        for (place, has) in Role::ALL.into_iter().enumerate() {
            for (needed, role) in Role::ALL.into_iter().enumerate() {
                let allowed = caller(has, &[]).needs(role).is_ok();
                assert_eq!(allowed, place >= needed, "{has} {role}");
            }
            assert_eq!(has.name().parse(), Ok(has));
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn a_token_for_owners_changes_their_services_only() {
        let payments = caller(Role::Operator, &["payments", "search"]);
        assert!(payments.may_change("checkout", Some("payments")).is_ok());
        let refused = |result: Result<(), Problem>| result.unwrap_err().to_string();
        let other = refused(payments.may_change("mail", Some("ops")));
        assert!(other.contains("belongs to ops"), "{other}");
        let none = refused(payments.may_change("mail", None));
        assert!(none.contains("has no owner"), "{none}");
        let all = refused(payments.may_change_all());
        assert!(all.contains("payments, search"), "{all}");
        let viewer = refused(caller(Role::Viewer, &[]).may_change("mail", None));
        assert_eq!(viewer, "this needs the role operator; ana has viewer");
        let all = caller(Role::Operator, &[]);
        assert!(all.may_change("mail", None).is_ok() && all.may_change_all().is_ok());
        // A stronger role does not widen whose services they are.
        let admin = caller(Role::Admin, &["payments"]);
        assert!(admin.may_change("mail", Some("ops")).is_err());
    }

    #[test]
    fn an_approver_approves_what_touches_services_of_their_owners_only() {
        let of = |owners: &[&str]| -> Vec<Option<String>> {
            owners.iter().map(|it| Some((*it).to_owned())).collect()
        };
        let all = caller(Role::Approver, &[]);
        assert!(all.may_approve(None) && all.may_approve(Some(&[None])));
        let payments = caller(Role::Admin, &["payments"]);
        assert!(payments.may_approve(Some(&of(&["payments"]))));
        assert!(!payments.may_approve(Some(&of(&["payments", "search"]))));
        assert!(!payments.may_approve(Some(&[None])));
        assert!(!payments.may_approve(None));
        assert!(!caller(Role::Operator, &[]).may_approve(Some(&of(&["payments"]))));
    }

    #[test]
    fn whom_an_incident_was_handed_over_to_works_on_it_and_does_not_change_its_service() {
        let page = r#"{"decision":{"what":"page","evidence":{"objective":"latency"}}}"#;
        let handed = r#"{"what":"hand-over","to":"supply","why":null,"by":"ana"}"#;
        let records = [
            (1, "decision", "service/shop", page),
            (2, "incident", "incident/1", handed),
        ];
        let record =
            |(sequence, kind, subject, body): (u64, &'static str, &'static str, &'static str)| {
                plimsoll_measure::IncidentRecord {
                    sequence,
                    at: plimsoll_core::Timestamp::from_seconds(1_795_615_852),
                    kind,
                    subject,
                    body: body.as_bytes(),
                }
            };
        let of =
            |count| plimsoll_measure::Incidents::of(records.into_iter().take(count).map(record));
        let supply = caller(Role::Operator, &["supply"]);
        let shop = Some(Some("payments"));
        let before = of(1);
        let refused = supply.may_act(before.get(1).unwrap(), shop);
        assert!(refused.is_err(), "nobody handed it over");
        let known = of(2);
        let handed = known.get(1).unwrap();
        assert!(supply.may_act(handed, shop).is_ok());
        assert!(supply.may_change("shop", Some("payments")).is_err());
        let others = caller(Role::Operator, &["search"]);
        assert!(others.may_act(handed, shop).is_err());
        assert!(others.may_act(handed, Some(Some("search"))).is_ok());
        assert!(
            caller(Role::Viewer, &["supply"])
                .may_act(handed, shop)
                .is_err()
        );
        // Of a service that is in no configuration any more.
        assert!(others.may_act(handed, None).is_err());
        assert!(supply.may_act(handed, None).is_ok());
        assert!(caller(Role::Operator, &[]).may_act(handed, None).is_ok());
    }
}
