//! A file's text for whoever may read what is in force.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// What stands in the place of a secret.
const HIDDEN: &str = "\"…\"";

/// Tables of tables, and the key in each that may be a secret although it should not.
const SECRETS: [(&str, &str); 2] = [("tenant", "keys"), ("notify", "url")];

/// The text of a file with all left out that may be a secret: keys of tenants, and where notices are sent. References to
/// where one is kept stay. `None`: that is no TOML, so that it can't be told.
pub fn without_secrets(source: &str) -> Option<String> {
    let table = DeTable::parse(source).ok()?;
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (kind, secret) in SECRETS {
        let all = table.get_ref().get(kind);
        let all = all.and_then(|it| it.get_ref().as_table());
        for (_, one) in all.into_iter().flat_map(|it| it.iter()) {
            let value = one.get_ref().as_table().and_then(|table| table.get(secret));
            if let Some(value) = value {
                hide(value.get_ref(), value.span(), &mut spans);
            }
        }
    }
    spans.sort_by_key(|span| span.start);
    let mut out = String::with_capacity(source.len());
    let mut from = 0;
    for span in spans {
        out.push_str(source.get(from..span.start)?);
        out.push_str(HIDDEN);
        from = span.end;
    }
    out.push_str(source.get(from..)?);
    Some(out)
}

/// Where a secret itself stands; where it is kept is none.
fn hide(value: &DeValue<'_>, span: Range<usize>, spans: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Array(all) => {
            for each in all.iter() {
                hide(each.get_ref(), each.span(), spans);
            }
        }
        DeValue::Table(table) => {
            for (key, each) in table.iter() {
                if !matches!(key.get_ref().as_ref(), "env" | "file") {
                    hide(each.get_ref(), each.span(), spans);
                }
            }
        }
        _ => spans.push(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(without_secrets(source).as_deref(), Some(expected));
    }

    #[test]
    fn secrets_are_left_out_and_all_else_stays_as_it_was_written() {
        check(
            "# a comment\n[tenant.gold] # mine\nkeys = [\"s1\", { env = \"KEY\" },\n  { value = 's2' }]\nweight = 2\n",
            "# a comment\n[tenant.gold] # mine\nkeys = [\"…\", { env = \"KEY\" },\n  { value = \"…\" }]\nweight = 2\n",
        );
        check(
            "tenant.a.keys = \"s\"\ntenant.b = { keys = ['''s\nt'''] }\n",
            "tenant.a.keys = \"…\"\ntenant.b = { keys = [\"…\"] }\n",
        );
        check(
            "[service.keys]\nkeys = \"no tenant\"\n",
            "[service.keys]\nkeys = \"no tenant\"\n",
        );
        check(
            "[notify.chat]\nurl = \"https://hooks/secret\"\n[notify.mail]\nurl = { env = \"URL\" }\n",
            "[notify.chat]\nurl = \"…\"\n[notify.mail]\nurl = { env = \"URL\" }\n",
        );
        check("", "");
        assert_eq!(without_secrets("tenant = ["), None);
    }
}
