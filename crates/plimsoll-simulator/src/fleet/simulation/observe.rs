//! What somebody would see who looked at the whole fleet at one moment.

use std::rc::Rc;

use plimsoll_lifecycle::Settlement;
use plimsoll_policy::Verdict;

use super::Simulation;
use crate::fleet::timeline::Level;

impl Simulation {
    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.requests.len()
    }

    /// How many attempts each endpoint has, those included that were given up, in the order of the services.
    pub fn load(&self) -> Vec<u32> {
        let mut load = vec![0; self.sites.len()];
        for (_, attempt) in self.attempts.iter() {
            if let Some(count) = load.get_mut(attempt.site as usize) {
                *count += 1;
            }
        }
        load
    }

    /// How many gateways hold each endpoint out (half-open included), in the same order.
    pub fn held_out(&self) -> Vec<u32> {
        let mut held_out = vec![0; self.sites.len()];
        for gateway in self.gateways.iter() {
            for (service, endpoint, verdict) in gateway.verdicts() {
                let site = self.services[service].first + endpoint;
                if let (false, Some(count)) = (verdict.is_up(), held_out.get_mut(site)) {
                    *count += 1;
                }
            }
        }
        held_out
    }

    /// From now on it is kept what becomes of each request, in the order of time. To be asked for at the beginning.
    pub(crate) fn hear(&mut self) {
        for thread in self.threads.iter() {
            thread.tell(Rc::clone(&self.settled));
        }
    }

    /// What became of requests since this was last asked for. A route is a sender.
    pub(crate) fn heard(&self) -> Vec<Settlement> {
        std::mem::take(&mut self.settled.borrow_mut())
    }

    /// What the first gateway says of each endpoint that was ever used, by service and position.
    pub(crate) fn verdicts(&self) -> Vec<(usize, usize, Verdict)> {
        let first = self.gateways.iter().next();
        first.map_or_else(Vec::new, |gateway| gateway.verdicts().collect())
    }

    /// Where the guards of each service are, by gateway.
    pub fn levels(&self) -> Vec<Vec<Level>> {
        let gateways = self.gateways.iter();
        gateways.map(|gateway| gateway.levels().collect()).collect()
    }
}
