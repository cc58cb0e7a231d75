//! The key of a stored answer, and what of a request may reach an origin whose answers are stored.
//!
//! Sources: J. Kettle, "Practical Web Cache Poisoning" (2018) and "Web Cache Entanglement" (2020); H. Nguyen, L. Lo Iacono
//! and H. Federrath, "Your Cache Has Fallen: Cache-Poisoned Denial-of-Service Attack" (CCS 2019). Whatever an origin
//! looks at and the key leaves out lets one client choose what others get.
//! Invariants: what is sent to the origin of target and query is what is in the key, byte for byte
//! ([`KeyRules::path_and_query`]), except for the case of the host; two requests that differ in it have different keys.
//! Elsewhere: fields that an answer's `Vary` names (`vary`); a body of `GET`, which bypasses the cache (`lookup`).

use std::borrow::Cow;

/// Fields of requests that some frameworks act on and no cache has in its key: where answers are stored, they are not
/// passed on. Plimsoll's own `Forwarded` and `X-Forwarded-*` come after this and say what is true of the connection; the
/// key has host, scheme and port.
///
/// The first block makes origins write another host, scheme or port into links and redirects (Kettle 2018, with
/// the survey of fields in his "Param Miner"), the second makes them serve another path (the same, of Zend, Symfony and
/// IIS), the third another method (Nguyen et al. 2019, "HTTP Method Override").
pub const UNKEYED: [&str; 17] = [
    "Forwarded",
    "X-Forwarded-Host",
    "X-Forwarded-Server",
    "X-Forwarded-Scheme",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-SSL",
    "X-Host",
    "X-HTTP-Host-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-Host",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "Front-End-Https",
];

/// Whether a field of a request is one of [`UNKEYED`]. `name` in whatever case.
pub fn is_unkeyed(name: &[u8]) -> bool {
    UNKEYED
        .iter()
        .any(|unkeyed| unkeyed.as_bytes().eq_ignore_ascii_case(name))
}

/// Which parameters of a query count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryRule {
    /// All.
    #[default]
    All,
    /// These and no others.
    Only(Vec<Box<[u8]>>),
    /// All but these.
    Without(Vec<Box<[u8]>>),
}

/// How a route's keys are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// Which parameters of a query count. Names are compared as they are sent: one that is percent-encoded in another way
    /// is another. A name that ends in `*` stands for all that begin so.
    pub query: QueryRule,
    /// Whether their order is made the same, by name; those of one name stay in theirs.
    pub sorted: bool,
}

impl KeyRules {
    /// The path and query that the key has, and that must be sent on in place of the client's.
    pub fn path_and_query<'a>(&self, sent: &'a [u8]) -> Cow<'a, [u8]> {
        if self.query == QueryRule::All && !self.sorted {
            return Cow::Borrowed(sent);
        }
        let Some(end) = sent.iter().position(|&byte| byte == b'?') else {
            return Cow::Borrowed(sent);
        };
        let (path, query) = sent.split_at(end);
        let query = query.get(1..).unwrap_or_default();
        let mut parameters = query
            .split(|&byte| byte == b'&')
            .filter(|parameter| self.counts(name(parameter)))
            .collect::<Vec<_>>();
        if self.sorted {
            parameters.sort_by_key(|parameter| name(parameter));
        }
        if parameters.is_empty() {
            return Cow::Borrowed(path);
        }
        Cow::Owned([path, b"?", &parameters.join(&b'&')].concat())
    }

    fn counts(&self, name: &[u8]) -> bool {
        let is_in = |list: &[Box<[u8]>]| {
            list.iter().any(|listed| match listed.strip_suffix(b"*") {
                Some(prefix) => name.starts_with(prefix),
                None => **listed == *name,
            })
        };
        match &self.query {
            QueryRule::All => true,
            QueryRule::Only(list) => is_in(list),
            QueryRule::Without(list) => !is_in(list),
        }
    }
}

fn name(parameter: &[u8]) -> &[u8] {
    let end = parameter.iter().position(|&byte| byte == b'=');
    parameter
        .get(..end.unwrap_or(parameter.len()))
        .unwrap_or_default()
}

/// What an answer is stored under, beside what its `Vary` adds. `GET` and `HEAD` share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(Box<[u8]>);

impl CacheKey {
    /// Of a request to `service`: routes may lead the same target to different ones. `path_and_query` comes from
    /// [`KeyRules::path_and_query`], and is kept as it is: origins differ in what they take for the same path, and one that is
    /// made the same here but not there lets the answer to one stand for the other.
    pub fn new(service: &str, https: bool, authority: &[u8], path_and_query: &[u8]) -> Self {
        let (host, port) = host_and_port(https, authority);
        let scheme: &[u8] = match https {
            true => b"https",
            false => b"http",
        };
        // None of the parts before the last has a line feed.
        let parts = [service.as_bytes(), scheme, &host, &port, path_and_query];
        Self(parts.join(&b'\n').into())
    }

    /// As bytes: for an index, and for its size.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The host in lower case without a final dot, and the port, the scheme's own where none is given.
pub(super) fn host_and_port(https: bool, authority: &[u8]) -> (Vec<u8>, Vec<u8>) {
    // An IPv6 address has colons of its own, inside its brackets.
    let host_end = authority
        .iter()
        .rposition(|&byte| byte == b']')
        .unwrap_or(0);
    let after = authority.get(host_end..).unwrap_or_default();
    let colon = (after.iter().position(|&byte| byte == b':')).map(|colon| colon + host_end);
    let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
    let host = host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase();
    let port = match (port.strip_prefix(b":").unwrap_or_default(), https) {
        (b"", true) => b"443",
        (b"", false) => b"80".as_slice(),
        (port, _) => port,
    };
    // "0443" is 443.
    let digits = port.iter().position(|&byte| byte != b'0');
    let port = digits
        .and_then(|start| port.get(start..))
        .unwrap_or_default();
    (host, port.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(https: bool, authority: &str, path: &str) -> CacheKey {
        CacheKey::new("shop", https, authority.as_bytes(), path.as_bytes())
    }

    #[test]
    fn a_host_is_the_same_in_any_case_with_its_dot_and_with_its_port() {
        let usual = key(true, "shop.example", "/");
        for authority in [
            "SHOP.example",
            "shop.example.",
            "shop.example:443",
            "shop.example:0443",
        ] {
            assert_eq!(key(true, authority, "/"), usual, "{authority}");
        }
        assert_eq!(key(false, "[::A]", "/"), key(false, "[::a]:80", "/"));
    }

    #[test]
    fn another_service_scheme_host_port_path_or_query_is_another_key() {
        let usual = key(true, "shop.example", "/a");
        for other in [
            CacheKey::new("other", true, b"shop.example", b"/a"),
            key(false, "shop.example", "/a"),
            key(false, "shop.example:443", "/a"),
            key(true, "shop.example:80", "/a"),
            key(true, "shop.example2", "/a"),
            key(true, "shop.example", "/A"),
            key(true, "shop.example", "/%61"),
            key(true, "shop.example", "/a?"),
            key(true, "shop.example", "/a/"),
            key(true, "[::1]", "/a"),
        ] {
            assert_ne!(other, usual);
        }
    }

    #[track_caller]
    fn check(rules: &KeyRules, sent: &str, expected: &str) {
        let kept = rules.path_and_query(sent.as_bytes());
        assert_eq!(str::from_utf8(&kept), Ok(expected), "{sent}");
    }

    fn names(list: &[&str]) -> Vec<Box<[u8]>> {
        list.iter().map(|name| name.as_bytes().into()).collect()
    }

    #[test]
    fn all_parameters_count_in_their_order_by_default() {
        let rules = KeyRules::default();
        check(&rules, "/a?b=2&a=1&&b", "/a?b=2&a=1&&b");
        check(&rules, "/a?", "/a?");
    }

    #[test]
    fn what_does_not_count_is_not_sent_on_either() {
        let only = KeyRules {
            query: QueryRule::Only(names(&["page", "size"])),
            sorted: false,
        };
        check(
            &only,
            "/a?x=1&size=9&page=2&page=3",
            "/a?size=9&page=2&page=3",
        );
        check(&only, "/a?p%61ge=2&Page=3", "/a");
        check(&only, "/a", "/a");
        let without = KeyRules {
            query: QueryRule::Without(names(&["utm_*", "fbclid"])),
            sorted: false,
        };
        check(
            &without,
            "/a?utm_source=x;page=9&page=1&fbclid=2",
            "/a?page=1",
        );
        check(&without, "/a?fbclid", "/a");
        check(&without, "/a?fbclids=1", "/a?fbclids=1");
    }

    #[test]
    fn order_can_be_made_the_same_but_for_those_of_one_name() {
        let sorted = KeyRules {
            query: QueryRule::All,
            sorted: true,
        };
        check(&sorted, "/a?b=1&c&a=9&b=0", "/a?a=9&b=1&b=0&c");
    }

    #[test]
    fn fields_that_choose_another_host_path_or_method_are_unkeyed() {
        for name in [
            "x-forwarded-host",
            "X-ORIGINAL-URL",
            "x-http-method-override",
        ] {
            assert!(is_unkeyed(name.as_bytes()), "{name}");
        }
        assert!(!is_unkeyed(b"accept") && !is_unkeyed(b"host"));
    }

    proptest! {
        #[test]
        fn what_is_sent_on_is_found_again_under_the_same_key(query in "[ab=&;?]{0,12}", sorted: bool) {
            let rules = KeyRules { query: QueryRule::Without(names(&["a"])), sorted };
            let sent = format!("/p?{query}");
            let once = rules.path_and_query(sent.as_bytes()).into_owned();
            prop_assert_eq!(&*rules.path_and_query(&once), once.as_slice());
        }

        #[test]
        fn no_authority_makes_it_panic(authority in proptest::collection::vec(any::<u8>(), 0..12), https: bool) {
            let _ = host_and_port(https, &authority);
        }
    }
}
