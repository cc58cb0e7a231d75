//! Which route a request takes: the most specific one of those that match.
//!
//! Compared in turn: host (a name, then the longest suffix, then all); path, segment by segment from the
//! left (text, then `{id}`, then an open end; an exact end before an open one); methods given before none;
//! more header conditions before fewer, and of as many, more exact values; by a flag before by none. Where a more specific
//! route does not match the method, the headers or the flag, the next one is tried.
//!
//! Invariant: [`Router::find`] itself allocates only for [`Match::MethodNotAllowed`]. Routes that this order cannot
//! tell apart are refused by `plimsoll-config`; should some come anyway, the first of them is taken.
//! Elsewhere: what patterns are (`plimsoll_config::PathPattern`); what is done with a match (`protocol`).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use plimsoll_config::{HostPattern, Route, Segment, normal_form, path_segments};
use plimsoll_core::RouteId;

/// The routes of a configuration, arranged to be searched.
#[derive(Debug, Default)]
pub struct Router {
    /// Exact hosts, sorted.
    hosts: Vec<(Box<[u8]>, Node)>,
    /// Suffixes with their first dot, sorted.
    suffixes: Vec<(Box<[u8]>, Node)>,
    /// Routes for all hosts.
    any: Node,
}

/// What a request matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This route.
    Found(RouteId),
    /// Some route matches all but the method (405). These methods would have been right, sorted.
    MethodNotAllowed(Vec<String>),
    /// No route (404).
    NotFound,
}

/// Paths that go on from here by their next segment.
#[derive(Debug, Default)]
struct Node {
    /// By text in normal form, sorted.
    literals: Vec<(Box<[u8]>, Node)>,
    /// Any one segment that is not empty.
    parameter: Option<Box<Node>>,
    /// Routes whose path ends here, the most specific first.
    exact: Vec<Leaf>,
    /// Routes whose path may go on from here, the most specific first.
    open: Vec<Leaf>,
}

/// What a route asks for beyond host and path.
#[derive(Debug)]
struct Leaf {
    route: RouteId,
    /// Empty: all.
    methods: Vec<String>,
    headers: Vec<(String, Option<Box<[u8]>>)>,
    /// Whoever asks must have its variant of a flag.
    by_flag: bool,
}

impl Router {
    /// Arranges the routes; a [`RouteId`] is a position in `routes`.
    pub fn new(routes: &[Route]) -> Self {
        let mut router = Self::default();
        for (id, route) in (0..).zip(routes) {
            let root = match &route.host {
                HostPattern::Exact(name) => child(&mut router.hosts, name.as_bytes()),
                HostPattern::Suffix(suffix) => child(&mut router.suffixes, suffix.as_bytes()),
                HostPattern::Any => &mut router.any,
            };
            root.insert(RouteId(id), route);
        }
        router
    }

    /// The route of a request: `host` as it was sent (any case, with or without port), `path` as it was
    /// sent without its query, `header` the value of a header by its name in lower case, `flag` whether whoever asks has the
    /// variant that a route is for; it is only asked of routes that are for one.
    ///
    /// A path that [is ambiguous](path_is_ambiguous) must not be asked for.
    pub fn find<'a>(
        &self,
        host: &[u8],
        path: &[u8],
        method: &[u8],
        header: impl Fn(&str) -> Option<&'a [u8]>,
        flag: impl Fn(RouteId) -> bool,
    ) -> Match {
        let host = bare_host(host);
        let mut request = Request {
            method,
            asks: &Asks {
                header: &header,
                flag: &flag,
            },
            wrong_method: false,
        };
        let segments = path_segments(path);
        for root in self.roots(host) {
            if let Some(route) = root.find(segments.clone(), &mut request) {
                return Match::Found(route);
            }
        }
        if !request.wrong_method {
            return Match::NotFound;
        }
        let mut allowed = BTreeSet::new();
        for root in self.roots(host) {
            root.allowed(segments.clone(), request.asks, &mut allowed);
        }
        Match::MethodNotAllowed(allowed.into_iter().map(str::to_owned).collect())
    }

    /// What may match the host, the most specific first.
    fn roots<'r>(&'r self, host: &'r [u8]) -> impl Iterator<Item = &'r Node> {
        let exact = find_ignoring_case(&self.hosts, host);
        // The leftmost dot begins the longest suffix. A suffix needs something before it.
        let dots = host
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, byte)| **byte == b'.');
        let suffixes = dots
            .filter(|_| !self.suffixes.is_empty())
            .filter_map(|(dot, _)| find_ignoring_case(&self.suffixes, host.get(dot..)?));
        exact.into_iter().chain(suffixes).chain([&self.any])
    }
}

/// What a request says beyond host, path and method.
struct Asks<'r, H, F> {
    header: &'r H,
    flag: &'r F,
}

/// A request, as far as leaves look at it.
struct Request<'r, H, F> {
    method: &'r [u8],
    asks: &'r Asks<'r, H, F>,
    /// Whether a leaf was met that matches all but the method.
    wrong_method: bool,
}

impl Node {
    fn insert(&mut self, id: RouteId, route: &Route) {
        let mut node = self;
        for segment in &route.path.segments {
            node = match segment {
                Segment::Literal(text) => child(&mut node.literals, text.as_bytes()),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        let leaf = Leaf {
            route: id,
            methods: route.methods.clone(),
            headers: route
                .headers
                .iter()
                .map(|(name, value)| {
                    (
                        name.clone(),
                        value.as_ref().map(|value| value.as_bytes().into()),
                    )
                })
                .collect(),
            by_flag: route.flag.is_some(),
        };
        let leaves = if route.path.open {
            &mut node.open
        } else {
            &mut node.exact
        };
        let place = leaves.partition_point(|other| other.specificity(&leaf).is_le());
        leaves.insert(place, leaf);
    }

    /// The most specific route below, tried in the order of specificity with a step back where one fails.
    /// As deep as the deepest pattern, and no more steps than there are nodes.
    fn find<'s, 'a, H: Fn(&str) -> Option<&'a [u8]>, F: Fn(RouteId) -> bool>(
        &self,
        mut segments: impl Iterator<Item = &'s [u8]> + Clone,
        request: &mut Request<'_, H, F>,
    ) -> Option<RouteId> {
        let Some(segment) = segments.next() else {
            return pick(&self.exact, request).or_else(|| pick(&self.open, request));
        };
        self.literal(segment)
            .and_then(|node| node.find(segments.clone(), request))
            .or_else(|| self.parameter(segment)?.find(segments, request))
            .or_else(|| pick(&self.open, request))
    }

    fn literal(&self, segment: &[u8]) -> Option<&Self> {
        // Almost every segment is in normal form already.
        let plain = segment.iter().all(|byte| byte.is_ascii() && *byte != b'%');
        let place = if plain {
            self.literals
                .binary_search_by(|(text, _)| (**text).cmp(segment))
        } else {
            self.literals
                .binary_search_by(|(text, _)| text.iter().copied().cmp(normal_form(segment)))
        };
        self.literals.get(place.ok()?).map(|(_, node)| node)
    }

    fn parameter(&self, segment: &[u8]) -> Option<&Self> {
        self.parameter.as_deref().filter(|_| !segment.is_empty())
    }

    /// Collects the methods of every leaf that matches but for the method.
    fn allowed<'n, 's, 'a, H: Fn(&str) -> Option<&'a [u8]>, F: Fn(RouteId) -> bool>(
        &'n self,
        mut segments: impl Iterator<Item = &'s [u8]> + Clone,
        asks: &Asks<'_, H, F>,
        allowed: &mut BTreeSet<&'n str>,
    ) {
        let mut add = |leaves: &'n [Leaf]| {
            for leaf in leaves.iter().filter(|leaf| leaf.fits(asks)) {
                allowed.extend(leaf.methods.iter().map(String::as_str));
                if leaf.methods.iter().any(|method| method == "GET") {
                    allowed.insert("HEAD");
                }
            }
        };
        add(&self.open);
        let Some(segment) = segments.next() else {
            add(&self.exact);
            return;
        };
        if let Some(node) = self.literal(segment) {
            node.allowed(segments.clone(), asks, allowed);
        }
        if let Some(node) = self.parameter(segment) {
            node.allowed(segments, asks, allowed);
        }
    }
}

impl Leaf {
    /// `Less` = more specific.
    fn specificity(&self, other: &Self) -> Ordering {
        let rank = |leaf: &Self| {
            let exact = leaf
                .headers
                .iter()
                .filter(|(_, value)| value.is_some())
                .count();
            (
                leaf.methods.is_empty(),
                usize::MAX - leaf.headers.len(),
                usize::MAX - exact,
                !leaf.by_flag,
            )
        };
        rank(self).cmp(&rank(other))
    }

    fn fits<'a, H: Fn(&str) -> Option<&'a [u8]>, F: Fn(RouteId) -> bool>(
        &self,
        asks: &Asks<'_, H, F>,
    ) -> bool {
        let mut headers = self.headers.iter();
        headers.all(|(name, expected)| match ((asks.header)(name), expected) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(value), Some(expected)) => value == &**expected,
        }) && (!self.by_flag || (asks.flag)(self.route))
    }

    fn lists(&self, method: &[u8]) -> bool {
        self.methods
            .iter()
            .any(|listed| listed.as_bytes() == method)
    }
}

/// The first leaf that matches. For HEAD, one that lists it comes before one that only lists GET.
fn pick<'a, H: Fn(&str) -> Option<&'a [u8]>, F: Fn(RouteId) -> bool>(
    leaves: &[Leaf],
    request: &mut Request<'_, H, F>,
) -> Option<RouteId> {
    let first = |fits: &dyn Fn(&Leaf) -> bool| {
        leaves
            .iter()
            .find(|leaf| fits(leaf) && leaf.fits(request.asks))
            .map(|leaf| leaf.route)
    };
    let found = if request.method == b"HEAD" {
        first(&|leaf| leaf.lists(b"HEAD"))
            .or_else(|| first(&|leaf| leaf.methods.is_empty() || leaf.lists(b"GET")))
    } else {
        first(&|leaf| leaf.methods.is_empty() || leaf.lists(request.method))
    };
    if found.is_none() && !request.wrong_method {
        request.wrong_method = first(&|_| true).is_some();
    }
    found
}

/// The node at `key`, made where it is missing.
fn child<'n>(nodes: &'n mut Vec<(Box<[u8]>, Node)>, key: &[u8]) -> &'n mut Node {
    let place = match nodes.binary_search_by(|(other, _)| (**other).cmp(key)) {
        Ok(place) => place,
        Err(place) => {
            nodes.insert(place, (key.into(), Node::default()));
            place
        }
    };
    #[expect(clippy::indexing_slicing, reason = "it was found or inserted there")]
    &mut nodes[place].1
}

/// Keys are in lower case.
fn find_ignoring_case<'n>(nodes: &'n [(Box<[u8]>, Node)], name: &[u8]) -> Option<&'n Node> {
    let compare = |key: &[u8]| {
        key.iter()
            .copied()
            .cmp(name.iter().map(u8::to_ascii_lowercase))
    };
    let place = nodes.binary_search_by(|(key, _)| compare(key)).ok()?;
    nodes.get(place).map(|(_, node)| node)
}

/// A host without its port and without the dot at its end.
fn bare_host(host: &[u8]) -> &[u8] {
    let end = match host {
        [b'[', ..] => host
            .iter()
            .position(|byte| *byte == b']')
            .map_or(host.len(), |end| end + 1),
        _ => host
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(host.len()),
    };
    let host = host.get(..end).unwrap_or(host);
    host.strip_suffix(b".").unwrap_or(host)
}

/// Whether services may read the path as another one than the router does: it has a dot segment, plain,
/// percent-encoded, behind an encoded slash or a backslash, or in front of parameters (`..;x`).
///
/// Such a request is answered with 400 and reaches no service: no client that follows RFC 3986, section
/// 5.2.4, sends one, and `/public/../admin` must not pass by the route of `/admin`.
pub fn path_is_ambiguous(path: &[u8]) -> bool {
    // Dots make a dot segment only where there is nothing else: without a dot there is none.
    let has_dot = path.iter().any(|byte| matches!(byte, b'.' | b'%'));
    has_dot && {
        let mut dots = 0_usize;
        let mut other = false;
        let mut parameters = false;
        let mut found = false;
        for octet in decoded(path).chain([b'/']) {
            match octet {
                b'/' | b'\\' => {
                    found |= !other && (dots == 1 || dots == 2);
                    (dots, other, parameters) = (0, false, false);
                }
                b';' => parameters = true,
                _ if parameters => {}
                b'.' => dots += 1,
                _ => other = true,
            }
        }
        found
    }
}

/// The octets of a path with percent-encoded ones decoded, once.
fn decoded(path: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let hex = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        match rest {
            [b'%', high, low, tail @ ..]
                if let (Some(high), Some(low)) = (hex(*high), hex(*low)) =>
            {
                rest = tail;
                Some(high << 4 | low)
            }
            [octet, tail @ ..] => {
                rest = tail;
                Some(*octet)
            }
            [] => None,
        }
    })
}

#[cfg(test)]
mod tests;
