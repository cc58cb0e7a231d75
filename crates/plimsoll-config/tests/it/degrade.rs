//! What services give up before they fail: what the file says becomes, and what people see of their mistakes.

use plimsoll_config::{Fallback, PageKind, parse};

use crate::golden::shown;

fn app(brownout: &str) -> String {
    format!(
        "[service.app]\nendpoints = \"http://10.0.0.1:9001\"\n[service.app.degrade]\nbrownout = {brownout}\n[[route]]\nservice = \"app\"\n"
    )
}

#[test]
fn features_keep_their_order() {
    let (config, warnings) = parse(&app("[\"reviews\", \"maps\"]"), "p.toml").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.services["app"].degrade.brownout, ["reviews", "maps"]);
}

#[test]
fn features() {
    let names: Vec<String> = (0..33).map(|it| format!("\"f{it}\"")).collect();
    insta::assert_snapshot!(shown(&[
        app("[\"reviews\", \"maps, all\", \"1st\"]"),
        app("[\"reviews\", \"maps\", \"reviews\"]"),
        app(&format!("[{}]", names.join(", "))),
    ]));
}

const LITE: &str = "[[route]]\nservice = \"lite\"\npath = \"/lite\"\n";

/// Two services, a route to the second, and one to the first with these lines.
fn route(lines: &str) -> String {
    format!(
        "[service.shop]\nendpoints = \"http://10.0.0.1:9001\"\n[service.lite]\nendpoints = \"http://10.0.0.1:9002\"\n{LITE}[[route]]\nservice = \"shop\"\n{lines}\n"
    )
}

#[test]
fn a_fallback_is_pages_in_the_order_they_are_written_in_or_a_service() {
    let fallback = |lines: &str| {
        let (config, warnings) = parse(&route(lines).replace(LITE, ""), "/etc/p.toml").unwrap();
        (config.routes[0].fallback.clone(), warnings.len())
    };
    let (pages, _) = fallback("fallback = { json = \"a.json\", html = \"a.html\", status = 200 }");
    let Some(Fallback::Page { pages, status }) = pages else {
        panic!("{pages:?}");
    };
    assert_eq!(status, Some(200));
    let kinds = |pages: &[plimsoll_config::FallbackPage]| {
        let kinds = pages.iter().map(|page| page.template.kind());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(kinds(&pages), [PageKind::Json, PageKind::Html]);
    assert_eq!(pages[0].path.to_str(), Some("/etc/a.json"));
    let (pages, _) = fallback("fallback = { html = \"a.html\", json = \"a.json\" }");
    let Some(Fallback::Page { pages, status }) = pages else {
        panic!("{pages:?}");
    };
    assert_eq!(status, None);
    assert_eq!(kinds(&pages), [PageKind::Html, PageKind::Json]);
    let (service, warnings) = fallback("fallback = { service = \"lite\" }");
    assert_eq!(service, Some(Fallback::Service("lite".to_owned())));
    assert_eq!(warnings, 0, "a service that only stands in is used");
}

#[test]
fn fallbacks() {
    insta::assert_snapshot!(shown(
        &[
            "fallback = {}",
            "fallback = { status = 200 }",
            "fallback = { html = \"a.html\", service = \"lite\" }",
            "fallback = { service = \"light\" }",
            "fallback = { service = \"shop\" }",
            "fallback = { html = \"a.html\", status = 304 }",
            "fallback = { html = \"a.html\", status = 20 }",
            "methods = [\"POST\"]\nfallback = { service = \"lite\" }",
            "methods = [\"POST\"]\nfallback = { html = \"a.html\" }",
            "fallback = { page = \"a.html\" }",
        ]
        .map(route)
    ));
    let redirect = "[[route]]\nredirect = \"https\"\nfallback = { html = \"a.html\" }\n";
    insta::assert_snapshot!("fallback_of_a_redirect", shown(&[redirect]));
}

#[test]
fn routes_that_are_features() {
    let page = "fallback = { html = \"a.html\", status = 200 }";
    let shop = "[service.shop.degrade]\nbrownout = [\"reviews\"]\n";
    let right = route(&format!("feature = \"reviews\"\n{page}\n{shop}"));
    let (config, _) = parse(&right, "p.toml").unwrap();
    assert_eq!(config.routes[1].feature.as_deref(), Some("reviews"));
    insta::assert_snapshot!(shown(&[
        route(&format!("feature = \"review\"\n{page}\n{shop}")),
        route(&format!("feature = \"reviews\"\n{page}\n")),
        route(&format!("feature = \"reviews\"\n{shop}")),
        route(&format!(
            "feature = \"reviews\"\nfallback = {{ html = \"a.html\" }}\n{shop}"
        )),
        route(&format!(
            "feature = \"reviews\"\nfallback = {{ service = \"lite\" }}\n{shop}"
        )),
    ]));
}
