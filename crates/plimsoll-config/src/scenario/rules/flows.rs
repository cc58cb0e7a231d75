//! What a fluid run has no model of is refused, so that nobody reads its figures as if it had.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::node::Fields;

use super::error;

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for (name, field) in services.iter() {
        if let Some(memory) = field.node.as_table().and_then(|it| it.field("memory")) {
            let what = format!("the memory of service `{name}`");
            refuse(&memory.key_span, &what, diagnostics);
        }
    }
    for fault in file.list("fault") {
        let kind = fault.as_table().and_then(|fields| fields.node("kind"));
        let word = fault.as_table().and_then(|fields| fields.word("kind"));
        if let (Some(node), Some("loss" | "partition")) = (kind, word) {
            let what = format!("the fault `{}`", word.unwrap_or_default());
            refuse(&node.span, &what, diagnostics);
        }
    }
}

fn refuse(span: &Range<usize>, what: &str, diagnostics: &mut Vec<Diagnostic>) {
    let message = format!("a fluid run has no model of {what}");
    diagnostics.push(
        error(span, "not-fluid", message)
            .label("what it does depends on single requests")
            .help("run it without `--fluid`, or leave this out"),
    );
}
