//! What somebody would see who looked at the whole fleet at one moment.

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

    /// Where the guards of each service are, by gateway.
    pub fn levels(&self) -> Vec<Vec<Level>> {
        let gateways = self.gateways.iter();
        gateways.map(|gateway| gateway.levels().collect()).collect()
    }
}
