//! Users who are there all the time: each thinks, wants something, waits for its answer, and thinks again.
//!
//! The closed loop: a service that is slow hears less of them. See B. Schroeder, A. Wierman, M. Harchol-Balter,
//! *Open versus closed: a cautionary tale* (NSDI 2006).
//! Invariant: a member has one thing before it: the end of a thought, or that of what it wants.

use plimsoll_config::scenario::Population;
use plimsoll_core::Class;

use crate::agenda::{Nanos, SECOND};
use crate::fleet::clients::{User, nanos};
use crate::fleet::slab::Slab;
use crate::random::Stream;

/// One of a population.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Who it is: the same each time it wants something.
    pub(super) user: User,
    /// Whether it goes as soon as it wants nothing.
    pub(super) goes: bool,
}

/// How the population of a workload thinks, and how many it is.
#[derive(Debug)]
pub(super) struct Habits {
    think: f64,
    leaves: f64,
    /// By phase.
    users: Vec<u32>,
    thoughts: Stream,
    leaving: Stream,
    /// Members that do not go.
    stay: u32,
}

/// Who comes when a phase begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newcomers {
    pub(super) count: u32,
    /// At the beginning of the run, they begin with a thought.
    pub(super) think: bool,
}

impl Habits {
    pub(super) fn new(
        population: &Population,
        users: Vec<u32>,
        thoughts: Stream,
        leaving: Stream,
    ) -> Self {
        Self {
            think: nanos(population.think) as f64,
            leaves: population.leaves,
            users,
            thoughts,
            leaving,
            stay: 0,
        }
    }

    /// A phase begins: who comes, and how many are to go.
    pub(super) fn change(&mut self, phase: usize) -> (Newcomers, u32) {
        let users = |phase: usize| self.users.get(phase).copied();
        let target = users(phase).unwrap_or(0);
        let before = phase.checked_sub(1).and_then(users);
        // Who left of itself is not replaced by a phase in which nothing changes.
        let count = match before {
            Some(before) if target <= before => 0,
            _ => target.saturating_sub(self.stay),
        };
        let go = self.stay.saturating_sub(target);
        self.stay = self.stay + count - go;
        let think = phase == 0;
        (Newcomers { count, think }, go)
    }

    /// How long one thinks.
    pub(super) fn thought(&mut self) -> Nanos {
        self.thoughts.exponential(self.think) as Nanos
    }

    /// How long it is until one comes of those who come at the beginning of a phase.
    pub(super) fn way(&mut self) -> Nanos {
        (self.thoughts.unit() * SECOND as f64) as Nanos
    }

    /// Whether one leaves that failed. Whoever leaves is counted out. Nobody leaves for want of what is the first to go.
    pub(super) fn leaves(&mut self, member: &Member) -> bool {
        let leaves = !member.goes
            && self.leaving.chance(self.leaves)
            && member.user.class != Class::Sheddable;
        self.stay -= u32::from(leaves);
        leaves
    }

    /// So many members of `workload` are to go, whoever they are.
    pub(super) fn send_away(&mut self, count: u32, workload: u16, members: &mut Slab<Member>) {
        let here = members.iter();
        let here = here.filter(|(_, member)| member.user.sender == workload && !member.goes);
        let mut here: Vec<u32> = here.map(|(id, _)| id).collect();
        for _ in 0..count {
            let chosen = self.leaving.below(here.len() as u32) as usize;
            if chosen < here.len()
                && let Some(member) = members.get_mut(here.swap_remove(chosen))
            {
                member.goes = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_core::Class;

    use super::*;

    fn habits(users: &[u32], leaves: f64) -> Habits {
        let population = Population {
            users: 0,
            think: Duration::from_secs(2),
            leaves,
        };
        let stream = |name| Stream::new(1, name);
        Habits::new(
            &population,
            users.to_vec(),
            stream("thoughts"),
            stream("leaving"),
        )
    }

    fn member(workload: u16) -> Member {
        let user = User {
            sender: workload,
            class: Class::Standard,
            tenant: 0,
            tries: 0,
            cell: 0,
            member: None,
            caller: None,
        };
        Member { user, goes: false }
    }

    #[test]
    fn nobody_leaves_for_want_of_what_is_sheddable() {
        let mut habits = habits(&[100], 1.0);
        habits.change(0);
        let mut member = member(0);
        member.user.class = Class::Sheddable;
        assert!(!habits.leaves(&member));
        member.user.class = Class::Critical;
        assert!(habits.leaves(&member));
    }

    #[test]
    fn who_leaves_is_replaced_only_by_growth() {
        let mut habits = habits(&[10_000, 10_000, 9_500, 10_000, 500], 0.1);
        let come = |count, think| Newcomers { count, think };
        assert_eq!(habits.change(0), (come(10_000, true), 0));
        let left = (0..10_000).filter(|_| habits.leaves(&member(0))).count() as u32;
        assert!((900..1_100).contains(&left), "{left}");
        assert_eq!(habits.change(1), (come(0, false), 0));
        assert_eq!(habits.change(2), (come(0, false), 0));
        assert_eq!(habits.change(3), (come(left, false), 0));
        assert_eq!(habits.change(4), (come(0, false), 9_500));
    }

    #[test]
    fn those_who_go_are_of_their_workload_and_anybody() {
        let mut habits = habits(&[10_000, 9_000], 0.0);
        let mut members = Slab::default();
        for index in 0..20_000 {
            members.insert(member(index % 2));
        }
        habits.send_away(1_000, 1, &mut members);
        let gone: Vec<u32> = members
            .iter()
            .filter(|(_, member)| member.goes)
            .map(|(id, _)| id)
            .collect();
        assert_eq!(gone.len(), 1_000);
        assert!(gone.iter().all(|id| id % 2 == 1));
        let first_half = gone.iter().filter(|id| **id < 10_000).count();
        assert!((400..600).contains(&first_half), "{first_half}");
    }
}
