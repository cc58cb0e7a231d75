//! What is wrong with which endpoints of each arm.

use super::Director;
use crate::catalogue::SERVICES;
use crate::deploy::{self, Faulty};
use crate::message::{Fault, ShopOrder};

impl Director<'_> {
    /// Each arm's. What an endpoint has already it keeps, without a moment in which it is well.
    pub(super) fn set_faults(&mut self, faults: [Vec<Faulty>; 2]) {
        let before = std::mem::replace(&mut self.faults, faults);
        let arms = self.arms.iter_mut().zip(before).zip(&self.faults);
        for ((arm, before), now) in arms {
            let gone = before.iter().filter(|it| !now.contains(it));
            let new = now.iter().filter(|it| !before.contains(it));
            let orders = gone
                .map(|&(service, endpoint, _)| (service, endpoint, None))
                .chain(new.map(|&(service, endpoint, fault)| (service, endpoint, Some(fault))));
            for (service, endpoint, fault) in orders {
                arm.tell(&ShopOrder::Endpoint {
                    service,
                    endpoint,
                    fault,
                });
            }
        }
    }

    /// What is wrong with which endpoints, in words and as a fault; where the arms differ, of both.
    pub(super) fn fault(&self) -> Option<(String, Fault)> {
        let [without, with] = &self.faults;
        let name = |service: usize| SERVICES.get(service).map_or("?", |model| model.name);
        Some(match (without.as_slice(), with.as_slice()) {
            (left, [(service, _, Fault::Bad)]) => {
                let (name, of) = (name(*service), deploy::endpoints());
                let text = format!(
                    "v2 of {name} ({} of {of} endpoints | a rollout)",
                    left.len()
                );
                (text, Fault::Bad)
            }
            ([(service, endpoint, fault)], _) => (self.endpoint_name(*service, *endpoint), *fault),
            ([(service, _, fault), ..], _) => (format!("all of {}", name(*service)), *fault),
            ([], _) => return None,
        })
    }

    fn endpoint_name(&self, service: usize, endpoint: usize) -> String {
        let name = SERVICES.get(service).map_or("?", |model| model.name);
        let [_, with] = &self.arms;
        let port = with
            .ports
            .get(service)
            .and_then(|ports| ports.get(endpoint))
            .copied()
            .unwrap_or(0);
        format!("{name} 127.0.0.1:{port}")
    }
}
