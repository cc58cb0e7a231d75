//! Which version of its service a request goes to.

use std::rc::Rc;

use plimsoll_config::RolloutKind;
use plimsoll_policy::rollout::split::Arm;

use super::Exchange;
use crate::rollout::{Asking, RolloutPlan};

impl Exchange<'_> {
    /// Its service is rolled out: says where the request goes. Whether a copy of it goes to the version.
    pub(super) fn choose_variant(&mut self, rollout: &RolloutPlan) -> bool {
        let mirrors = rollout.kind == RolloutKind::Mirror;
        // What nobody waits for is renewed as most get it. What is never copied is not compared with what is.
        let effects = self.call.effects();
        if effects.renews && (mirrors || !rollout.has_all())
            || mirrors && (effects.stands_in || !self.is_copyable(rollout))
        {
            return false;
        }
        let plan = Rc::clone(&self.plan);
        let route = self.call.settlement().route;
        let route = route.and_then(|id| plan.plan.route(id));
        let asking = Asking {
            fields: &self.head.fields,
            tenant_header: route.and_then(|route| route.tenant_header.as_deref()),
            client: self.facts.client,
            random: self.thread.random(),
        };
        let variant = rollout.variant(&asking);
        let copies = mirrors && rollout.draw(&asking) == Arm::Canary;
        self.call.effects().client.set(Some(self.facts.client));
        self.call.on_variant(variant);
        if variant.arm == Arm::Canary && !rollout.has_all() {
            self.keep_from_others();
        }
        copies
    }

    /// While a version is on trial, those who did not get it don't get its answers from the store.
    fn keep_from_others(&mut self) {
        let Some(caching) = self.caching.as_deref_mut() else {
            return;
        };
        caching.pass_through();
        self.facts.fills = false;
        if let Some(lead) = caching.lead.take() {
            // Whoever waits for it fetches it by himself, and so does the next one.
            lead.release(false);
        }
    }
}
