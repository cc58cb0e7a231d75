//! Rules about what services give up before they fail.

use crate::diagnostic::Diagnostic;
use crate::model::Degrade;
use crate::node::Fields;

pub(super) fn check(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(degrade) = service.table("degrade") else {
        return;
    };
    let features = degrade.list("brownout");
    if let Some(node) = features.get(Degrade::FEATURES_MAX) {
        let message = format!("service `{name}` has more features than can be dimmed");
        diagnostics.push(
            Diagnostic::error("too-many-features", node.span.clone(), message)
                .label(format!("{} are the most", Degrade::FEATURES_MAX))
                .help("let one name stand for several"),
        );
    }
    for (place, node) in features.iter().enumerate() {
        let Some(feature) = node.as_text() else {
            continue;
        };
        let mut before = features.iter().take(place);
        if let Some(first) = before.find(|it| it.as_text() == Some(feature)) {
            let message = format!("service `{name}` has the feature `{feature}` twice");
            diagnostics.push(
                Diagnostic::error("duplicate-name", node.span.clone(), message)
                    .label("again here")
                    .related(first.span.clone(), "first here")
                    .help("leave it out: a feature is dimmed at its first place"),
            );
        }
    }
}
