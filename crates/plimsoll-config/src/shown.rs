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

/// Where the paths and queries of URLs stand that somebody is notified at: whoever knows one can write there. Also those of
/// keys that are misspelt, and of a file that is no TOML.
pub(crate) fn paths_of_urls(source: &str) -> Vec<Range<usize>> {
    let (table, errors) = DeTable::parse_recoverable(source);
    let mut spans = Vec::new();
    for (key, value) in table.get_ref().iter() {
        let is_notify = key.get_ref().as_ref() == "notify";
        find_urls(value.get_ref(), value.span(), is_notify, source, &mut spans);
    }
    if !errors.is_empty() {
        // What the parser did not get past is looked for in the lines.
        let mut start = 0;
        for line in source.split_inclusive('\n') {
            if line.contains("url") {
                let ends = |char: char| char.is_whitespace() || matches!(char, '"' | '\'');
                let path = path_of_url(line, ends);
                spans.extend(path.map(|path| start + path.start..start + path.end));
            }
            start += line.len();
        }
    }
    spans
}

fn find_urls(
    value: &DeValue<'_>,
    span: Range<usize>,
    is_url: bool,
    source: &str,
    spans: &mut Vec<Range<usize>>,
) {
    match value {
        DeValue::Array(all) => {
            for each in all.iter() {
                find_urls(each.get_ref(), each.span(), is_url, source, spans);
            }
        }
        DeValue::Table(table) => {
            for (key, each) in table.iter() {
                let is_url = is_url || key.get_ref().as_ref() == "url";
                find_urls(each.get_ref(), each.span(), is_url, source, spans);
            }
        }
        DeValue::String(text) if is_url && text.contains("://") => {
            let written = source.get(span.clone()).unwrap_or_default();
            let end = written.trim_end_matches(['"', '\'']).len();
            // Where it is written with escapes, all of it is hidden.
            let path = match written.contains(&**text) {
                true => path_of_url(written, |char| matches!(char, '"' | '\'')),
                false => Some(written.find("://").map_or(1, |at| at + 3)..end),
            };
            spans.extend(path.map(|path| span.start + path.start..span.start + path.end));
        }
        _ => {}
    }
}

/// Where the path or the query of the first URL of a text stands, after the character that begins it.
fn path_of_url(text: &str, ends: impl Fn(char) -> bool) -> Option<Range<usize>> {
    let host = text.find("://")? + 3;
    let rest = text.get(host..)?;
    let rest = rest.split(ends).next()?;
    let path = host + rest.find(['/', '?'])? + 1..host + rest.len();
    (!path.is_empty()).then_some(path)
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
    #[track_caller]
    fn check_paths(source: &str, expected: &[&str]) {
        let paths = paths_of_urls(source);
        let paths: Vec<&str> = paths.into_iter().map(|it| &source[it]).collect();
        assert_eq!(paths, expected, "{source}");
    }

    #[test]
    fn the_path_of_a_url_that_somebody_is_notified_at_is_found_however_it_is_written() {
        check_paths(
            "[notify.a]\nkind = 'slack' # chat\nurl = \"https://a.example/T00/hunter2?b=c\"\n",
            &["T00/hunter2?b=c"],
        );
        check_paths(
            "notify = { a = { urll = { value = 'https://a:1?hunter2' } } }\n",
            &["hunter2"],
        );
        check_paths(
            "notify.a.url = \"https://a/\\u0068unter2\"\n",
            &["a/\\u0068unter2"],
        );
        check_paths("[notify.a]\nurl = \"https://a\"\n", &[]);
        // A runbook is to be read.
        check_paths("[service.a]\nrunbook = \"https://wiki/a\"\n", &[]);
        let broken = "[notify.a]\nurl = \"https://a/hunter2\nkind = \"slack\"\n";
        assert!(!paths_of_urls(broken).is_empty());
    }
}
