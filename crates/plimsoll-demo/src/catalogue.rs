//! The shop's services and their routes: what there is to ask for, and what an answer costs.
//!
//! Units: capacities are requests per second; work is `Duration` of one slot.
//! Invariant: a service's share of the load equals its share of the capacity, so that no service is the
//! bottleneck before the others, and "10x" is ten times for each.

use std::net::Ipv4Addr;
use std::time::Duration;

use plimsoll_core::Class;

/// One service of the shop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceModel {
    /// Its name in configuration and paths.
    pub(crate) name: &'static str,
    /// How many endpoints it has.
    pub(crate) endpoints: usize,
    /// Slots of one endpoint: requests it works on at once.
    pub(crate) slots: usize,
    /// The mean time a request holds a slot.
    pub(crate) work: Duration,
    /// One route per class, in the order of [`Class::ALL`].
    pub(crate) routes: [RouteModel; 3],
}

/// One route of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteModel {
    /// The second segment of the path: `/catalog/cart/17`.
    pub(crate) name: &'static str,
    /// Whether its page holds its slot while it waits for recommendations.
    pub(crate) asks_recommendations: bool,
    /// Whether its answers are for all, and may be stored as [`STORED`] says.
    pub(crate) is_stored: bool,
}

impl ServiceModel {
    /// Requests per second that all its endpoints carry together.
    pub(crate) fn capacity(&self) -> f64 {
        (self.endpoints * self.slots) as f64 / self.work.as_secs_f64()
    }

    /// The path prefix of the route with `class`.
    pub(crate) fn prefix(&self, class: Class) -> String {
        let [critical, standard, sheddable] = &self.routes;
        let route = match class {
            Class::Critical => critical,
            Class::Standard => standard,
            Class::Sheddable => sheddable,
        };
        format!("/{}/{}/", self.name, route.name)
    }
}

/// The place of the catalogue among [`SERVICES`].
pub(crate) const CATALOGUE: usize = 0;
/// What an answer of the catalogue that may be stored says of it.
pub(crate) const STORED: &str = "public, max-age=5";
/// How many products there are to read about.
const PRODUCTS: f64 = 40.0;

/// The name of the service that becomes slow.
pub(crate) const RECOMMENDATIONS: &str = "recommendations";
/// What asking for recommendations adds to a page, when they are well.
pub(crate) const RECOMMENDATIONS_TIME: Duration = Duration::from_millis(3);
/// What the slow dependency adds, to recommendations and to every page that asks for them. Under the
/// clients' patience, so that what is slow is seen as slow and not as an outage.
pub(crate) const SLOW_TIME: Duration = Duration::from_millis(1_500);
/// The same where it lasts: a good answer is possible still, but not for all that ask.
pub(crate) const SLOWER_TIME: Duration = Duration::from_millis(70);

const fn route(name: &'static str) -> RouteModel {
    RouteModel {
        name,
        asks_recommendations: false,
        is_stored: false,
    }
}

const fn page(name: &'static str) -> RouteModel {
    RouteModel {
        name,
        asks_recommendations: true,
        is_stored: false,
    }
}

const fn stored(route: RouteModel) -> RouteModel {
    RouteModel {
        is_stored: true,
        ..route
    }
}

/// The shop. 160 + 100 + 60 + 80 = 400 requests per second.
pub(crate) const SERVICES: [ServiceModel; 4] = [
    ServiceModel {
        name: "catalog",
        endpoints: 4,
        slots: 1,
        work: Duration::from_millis(25),
        routes: [route("cart"), stored(page("browse")), stored(route("feed"))],
    },
    ServiceModel {
        name: "search",
        endpoints: 2,
        slots: 2,
        work: Duration::from_millis(40),
        routes: [route("exact"), route("query"), route("suggest")],
    },
    ServiceModel {
        name: "checkout",
        endpoints: 2,
        slots: 1,
        work: Duration::from_micros(33_333),
        routes: [page("pay"), page("quote"), page("estimate")],
    },
    ServiceModel {
        name: RECOMMENDATIONS,
        endpoints: 2,
        slots: 2,
        work: Duration::from_millis(50),
        routes: [route("basket"), route("page"), route("mail")],
    },
];

/// Requests per second that the whole shop carries.
pub(crate) fn capacity() -> f64 {
    SERVICES.iter().map(ServiceModel::capacity).sum()
}

/// How much longer everything takes while the shop is weak. An answer is then still possible in time: what is
/// lost is capacity, and ordinary load is more than what is left.
pub(crate) const WEAK_FACTOR: f64 = 2.5;
/// How much longer a slow endpoint takes.
pub(crate) const SLOW_ENDPOINT_FACTOR: f64 = 10.0;

/// Addresses that clients send from, in equal shares: proxies that keep fairness keep it between these.
pub(crate) const CLIENTS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(127, 0, 1, 1),
    Ipv4Addr::new(127, 0, 1, 2),
    Ipv4Addr::new(127, 0, 1, 3),
    Ipv4Addr::new(127, 0, 1, 4),
];
/// The address of the client that floods.
pub(crate) const FLOOD_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);

/// Whether the answer at a path may be stored.
pub(crate) fn is_stored(path: &str) -> bool {
    let route = parse_path(path)
        .and_then(|(service, class, _)| SERVICES.get(service)?.routes.get(class.index()));
    route.is_some_and(|route| route.is_stored)
}

/// The product that read `number` is about: the few that everybody looks at are asked for more often, each twice as much as
/// one that is twice as far down the list (Zipf's law).
pub(crate) fn product(seed: u64, number: u64) -> u64 {
    let share = (mix(seed ^ number) >> 11) as f64 / (1u64 << 53) as f64;
    libm::pow(PRODUCTS, share) as u64
}

/// The service and class that a request's path names, and the number at its end.
pub(crate) fn parse_path(path: &str) -> Option<(usize, Class, u64)> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let service = segments.next()?;
    let name = segments.next()?;
    let number = segments.next()?.parse().ok()?;
    let index = SERVICES.iter().position(|model| model.name == service)?;
    let class = SERVICES
        .get(index)?
        .routes
        .iter()
        .position(|route| route.name == name)?;
    Some((index, *Class::ALL.get(class)?, number))
}

/// The time that request `number` holds a slot: 0.5 to 1.5 of the mean, the same in both arms.
pub(crate) fn work(model: &ServiceModel, seed: u64, number: u64) -> Duration {
    let share = (mix(seed ^ mix(number)) >> 11) as f64 / (1u64 << 53) as f64;
    model.work.mul_f64(0.5 + share)
}

/// A 64-bit finaliser: every bit of the input moves every bit of the output.
///
/// Source: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators" (2014), the
/// variant of `mix64` named Mix13 by D. Stafford.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_carries_about_400_requests_per_second() {
        assert!((capacity() - 400.0).abs() < 1.0, "{}", capacity());
    }

    #[test]
    fn every_path_leads_back_to_its_service_and_class() {
        for (index, model) in SERVICES.iter().enumerate() {
            for class in Class::ALL {
                let path = format!("{}17", model.prefix(class));
                assert_eq!(parse_path(&path), Some((index, class, 17)), "{path}");
            }
        }
        assert_eq!(parse_path("/catalog/none/1"), None);
        assert_eq!(parse_path("/"), None);
    }

    #[test]
    fn products_are_asked_for_by_their_rank() {
        let count = |from: u64, to: u64| {
            let products = (0..10_000).map(|number| product(7, number));
            products.filter(|it| (from..=to).contains(it)).count()
        };
        assert_eq!(count(1, 39), 10_000);
        // sqrt(40) lies between six and seven.
        let (first, last) = (count(1, 6), count(7, 39));
        assert!((5_000..5_600).contains(&first), "{first} {last}");
    }

    #[test]
    fn work_has_its_mean_and_depends_on_seed_and_number_only() {
        let model = &SERVICES[0];
        let mean = (0..10_000)
            .map(|n| work(model, 7, n).as_secs_f64())
            .sum::<f64>()
            / 10_000.0;
        assert!(
            (mean / model.work.as_secs_f64() - 1.0).abs() < 0.02,
            "{mean}"
        );
        assert_eq!(work(model, 7, 3), work(model, 7, 3));
        assert_ne!(work(model, 7, 3), work(model, 8, 3));
    }
}
