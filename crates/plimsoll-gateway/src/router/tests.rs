//! The router against single cases, and against a plain reading of its rules, one route at a time.

use std::collections::BTreeMap;

use plimsoll_config::{DeadlineOverride, PathPattern, Rewrite, RouteAction};
use plimsoll_core::Class;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// `"GET,POST host.example /path x-beta=1 x-any"`, where `-` stands for all.
fn route(text: &str) -> Route {
    let mut parts = text.split(' ');
    let mut next = || parts.next().filter(|part| *part != "-");
    let methods = next()
        .map(|methods| methods.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    let host = next().map_or(HostPattern::Any, |host| host.parse().unwrap());
    let path = next().map_or(PathPattern::ALL, |path| path.parse().unwrap());
    let headers: BTreeMap<_, _> = parts
        .map(|condition| match condition.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (condition.to_owned(), None),
        })
        .collect();
    Route {
        name: text.to_owned(),
        host,
        path,
        methods,
        headers,
        flag: None,
        action: RouteAction::Service("app".into()),
        class: Class::Standard,
        tenant_header: None,
        deadline: DeadlineOverride::default(),
        rewrite: Rewrite::default(),
        rate: Vec::new(),
        cache: None,
        fallback: None,
        feature: None,
    }
}

/// `"GET host /path x-beta=1"`
fn find(router: &Router, request: &str) -> Match {
    let mut parts = request.split(' ');
    let mut next = || parts.next().unwrap_or_default().as_bytes();
    let (method, host, path) = (next(), next(), next());
    let headers: BTreeMap<&str, &[u8]> = parts
        .filter_map(|header| header.split_once('='))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    router.find(
        host,
        path,
        method,
        |name| headers.get(name).copied(),
        |_| false,
    )
}

/// What a request gets: the text of its route, `405 GET,HEAD` or `404`.
#[track_caller]
fn check(routes: &[&str], request: &str, expected: &str) {
    let parsed: Vec<Route> = routes.iter().map(|text| route(text)).collect();
    let found = match find(&Router::new(&parsed), request) {
        Match::Found(id) => routes[id.index()].to_owned(),
        Match::MethodNotAllowed(methods) => format!("405 {}", methods.join(",")),
        Match::NotFound => "404".to_owned(),
    };
    assert_eq!(found, expected, "{request}");
}

#[test]
fn a_route_by_a_flag_is_for_those_who_have_its_variant_and_the_next_one_for_the_others() {
    let by_flag = |text: &str| Route {
        flag: Some(plimsoll_config::FlagVariant {
            key: text.to_owned(),
            variant: "on".to_owned(),
        }),
        ..route(text)
    };
    let routes = [
        route("- - /search"),
        by_flag("GET - /search"),
        by_flag("POST - /buy"),
        route("- - /search x-beta"),
    ];
    let router = Router::new(&routes);
    let find = |method: &str, path: &str, beta: bool, has: bool| {
        let header = |name: &str| (name == "x-beta" && beta).then_some(&b"1"[..]);
        let flag = |id: RouteId| {
            assert!(routes[id.index()].flag.is_some(), "others are not asked");
            has
        };
        router.find(b"", path.as_bytes(), method.as_bytes(), header, flag)
    };
    let found = |place| Match::Found(RouteId(place));
    assert_eq!(find("GET", "/search", false, true), found(1));
    assert_eq!(find("GET", "/search", false, false), found(0));
    assert_eq!(find("PUT", "/search", true, true), found(3));
    assert_eq!(find("POST", "/buy", false, true), found(2));
    assert_eq!(find("POST", "/buy", false, false), Match::NotFound);
    let allowed = Match::MethodNotAllowed(vec!["POST".to_owned()]);
    assert_eq!(find("GET", "/buy", false, true), allowed);
}

#[test]
fn an_exact_host_beats_the_longest_suffix_which_beats_all() {
    let routes = [
        "- a.b.example -",
        "- *.b.example -",
        "- *.example -",
        "- - -",
    ];
    check(&routes, "GET a.b.example /", "- a.b.example -");
    check(&routes, "GET A.B.Example.:8080 /", "- a.b.example -");
    check(&routes, "GET x.b.example /", "- *.b.example -");
    check(&routes, "GET y.x.b.example /", "- *.b.example -");
    check(&routes, "GET b.example /", "- *.example -");
    check(&routes, "GET example /", "- - -");
    check(&routes, "GET .example /", "- - -");
    check(&routes, "GET [::1]:80 /", "- - -");
    check(&["- [::1] -"], "GET [::1]:80 /", "- [::1] -");
}

#[test]
fn the_path_is_decided_from_the_left() {
    let routes = ["- - /a/*", "- - /{x}/b", "- - /a/{x}", "- - /a", "- - /"];
    check(&routes, "GET h /a/b", "- - /a/{x}");
    check(&routes, "GET h /a/b/c", "- - /a/*");
    check(&routes, "GET h /z/b", "- - /{x}/b");
    check(&routes, "GET h /a", "- - /a");
    check(&routes, "GET h /a/", "- - /a/*");
    check(&routes, "GET h /", "- - /");
    check(&routes, "GET h /z", "404");
    check(&["- - /a/*"], "GET h /a", "- - /a/*");
    check(&["- - /a/*"], "GET h /ab", "404");
}

#[test]
fn a_less_specific_route_is_tried_where_the_method_or_a_header_does_not_match() {
    let routes = ["POST a.example /a", "- - /a x-beta=1", "GET - /*"];
    check(&routes, "POST a.example /a", "POST a.example /a");
    check(&routes, "GET a.example /a x-beta=1", "- - /a x-beta=1");
    check(&routes, "GET a.example /a", "GET - /*");
    check(&routes, "PUT a.example /a", "405 GET,HEAD,POST");
    check(&routes, "PUT b.example /a", "405 GET,HEAD");
    check(&["GET - /a x-beta"], "PUT h /a", "404");
}

#[test]
fn methods_beat_headers_and_more_conditions_beat_fewer() {
    let routes = ["GET - /", "- - / x-a", "- - / x-a=1", "- - / x-a=1 x-b"];
    check(&routes, "GET h / x-a=1 x-b=1", "GET - /");
    check(&routes, "PUT h / x-a=1 x-b=1", "- - / x-a=1 x-b");
    check(&routes, "PUT h / x-a=1", "- - / x-a=1");
    check(&routes, "PUT h / x-a=2", "- - / x-a");
    check(&routes, "PUT h /", "405 GET,HEAD");
}

#[test]
fn head_goes_where_get_goes_unless_a_route_lists_it() {
    check(&["GET - /", "- - /"], "HEAD h /", "GET - /");
    check(&["GET - / x-a=1", "HEAD - /"], "HEAD h / x-a=1", "HEAD - /");
    check(&["POST - /"], "HEAD h /", "405 POST");
}

#[test]
fn paths_that_mean_the_same_go_to_the_same_route() {
    let routes = ["- - /admin/*", "- - /caf\u{e9}", "- - /*"];
    check(&routes, "GET h /%61dmin/x", "- - /admin/*");
    check(&routes, "GET h //admin//x", "- - /admin/*");
    check(&routes, "GET h /caf%c3%a9", "- - /caf\u{e9}");
    check(&routes, "GET h /admin%2Fx", "- - /*");
    check(&routes, "GET h /Admin/x", "- - /*");
}

#[track_caller]
fn ambiguous(path: &str, expected: bool) {
    assert_eq!(path_is_ambiguous(path.as_bytes()), expected, "{path}");
}

#[test]
fn dot_segments_are_ambiguous_however_they_are_written() {
    for path in [
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/.",
        "/%2e%2E/a",
        "/.%2e",
        "/a%2f..%2Fb",
        "/a\\..\\b",
        "/a/..;x=1/b",
        "/%2e%3b/",
    ] {
        ambiguous(path, true);
    }
    for path in [
        "/",
        "*",
        "/a.b/c",
        "/...",
        "/.well-known/x",
        "/..a",
        "/a..",
        "/a;..",
        "/%",
        "/%2",
        "/a%2Fb",
        "/100%",
        "//",
    ] {
        ambiguous(path, false);
    }
}

#[test]
fn a_thousand_routes_are_searched_in_few_steps() {
    let routes: Vec<Route> = (0..1_000)
        .map(|n| route(&format!("GET h{}.example /s{n}/{{id}}/x", n % 50)))
        .collect();
    let router = Router::new(&routes);
    for n in 0..1_000_u32 {
        let request = format!("GET h{}.example /s{n}/7/x", n % 50);
        assert_eq!(find(&router, &request), Match::Found(RouteId(n)));
    }
}

/// The rules read plainly: of all routes that match, the most specific; the first of equals.
fn naive(
    routes: &[Route],
    host: &str,
    path: &str,
    method: &str,
    headers: &BTreeMap<String, String>,
) -> Match {
    let but_for_method: Vec<(usize, &Route)> = routes
        .iter()
        .enumerate()
        .filter(|(_, route)| route.host.matches(host) && route.path.matches(path.as_bytes()))
        .filter(|(_, route)| {
            route
                .headers
                .iter()
                .all(|(name, expected)| match (headers.get(name), expected) {
                    (Some(value), Some(expected)) => value == expected,
                    (Some(_), None) => true,
                    (None, _) => false,
                })
        })
        .collect();
    let lists = |route: &Route, method: &str| route.methods.iter().any(|listed| listed == method);
    let mut matching: Vec<_> = but_for_method
        .iter()
        .filter(|(_, route)| {
            route.methods.is_empty()
                || lists(route, method)
                || (method == "HEAD" && lists(route, "GET"))
        })
        .collect();
    matching.sort_by(|(_, one), (_, two)| {
        let rank = |route: &Route| {
            let exact = route
                .headers
                .values()
                .filter(|value| value.is_some())
                .count();
            let conditions = (usize::MAX - route.headers.len(), usize::MAX - exact);
            (
                method == "HEAD" && !lists(route, "HEAD"),
                route.methods.is_empty(),
                conditions,
            )
        };
        let host = one.host.specificity(&two.host);
        host.then(one.path.specificity(&two.path))
            .then(rank(one).cmp(&rank(two)))
    });
    if let Some((place, _)) = matching.first() {
        return Match::Found(RouteId(u32::try_from(*place).unwrap()));
    }
    let mut allowed: BTreeSet<String> = but_for_method
        .iter()
        .flat_map(|(_, route)| route.methods.clone())
        .collect();
    if allowed.contains("GET") {
        allowed.insert("HEAD".into());
    }
    if allowed.is_empty() {
        Match::NotFound
    } else {
        Match::MethodNotAllowed(allowed.into_iter().collect())
    }
}

fn any_route() -> impl Strategy<Value = Route> {
    let host = prop::sample::select(vec!["-", "a.x", "b.a.x", "*.x", "*.a.x"]);
    let segment = prop::sample::select(vec!["a", "b", "{p}", "%2F"]);
    let end = prop::sample::select(vec!["", "/", "/*"]);
    let methods = prop::sample::select(vec!["-", "GET", "HEAD", "POST", "GET,POST"]);
    let headers = prop::sample::subsequence(vec!["x-a=1", "x-b", "x-c=2"], 0..3);
    (host, vec(segment, 0..4), end, methods, headers).prop_map(
        |(host, segments, end, methods, headers)| {
            let mut path = String::new();
            for (place, segment) in segments.iter().enumerate() {
                path.push('/');
                path.push_str(&segment.replace("{p}", &format!("{{p{place}}}")));
            }
            path.push_str(end);
            let path = if path.is_empty() { "-" } else { &path };
            route(
                [methods, host, path]
                    .into_iter()
                    .chain(headers)
                    .collect::<Vec<_>>()
                    .join(" ")
                    .as_str(),
            )
        },
    )
}

fn any_path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "c", "", "%61", "%2f", "%2F"]);
    vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #[test]
    fn the_router_agrees_with_a_plain_reading_of_the_rules(
        routes in vec(any_route(), 0..24),
        host in prop::sample::select(vec!["a.x", "b.a.x", "c.a.x", "x", "d.x", "B.A.X"]),
        path in any_path(),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT"]),
        headers in prop::sample::subsequence(vec![("x-a", "1"), ("x-b", "1"), ("x-c", "2")], 0..=3),
    ) {
        let headers: BTreeMap<String, String> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let found = Router::new(&routes).find(host.as_bytes(), path.as_bytes(), method.as_bytes(), |name| {
            headers.get(name).map(String::as_bytes)
        }, |_| false);
        prop_assert_eq!(found, naive(&routes, host, &path, method, &headers));
    }

    #[test]
    fn no_path_or_host_panics(host in vec(any::<u8>(), 0..24), path in vec(any::<u8>(), 0..48)) {
        let routes = [route("- *.x /{a}/%2F/*"), route("- - -")];
        path_is_ambiguous(&path);
        let _ = Router::new(&routes).find(&host, &path, b"GET", |_| None, |_| true);
    }
}
