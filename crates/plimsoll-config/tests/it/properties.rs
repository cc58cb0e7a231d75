//! Whatever stands in a file, reading it ends with a model or with diagnostics that can be shown.
//!
//! Method: valid files with random damage, and random text.

use plimsoll_config::{check_files, parse, render, to_json};
use proptest::prelude::*;

fn check(source: &str) {
    let diagnostics = match parse(source, "plimsoll.toml") {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            diagnostics
        }
    };
    for color in [false, true] {
        render(&diagnostics, source, "plimsoll.toml", color);
    }
    to_json(&diagnostics, source, "plimsoll.toml");
}

proptest! {
    #[test]
    fn a_damaged_file_never_panics(at in 0..4_000_usize, length in 0..40_usize, insert in "[\\PC\n\"{}\\[\\]=.]{0,12}") {
        let source = include_str!("whole.toml");
        let start = source.floor_char_boundary(at.min(source.len()));
        let end = source.ceil_char_boundary((start + length).min(source.len()));
        check(&format!("{}{insert}{}", &source[..start], &source[end..]));
    }

    #[test]
    fn random_text_never_panics(source in "[\\PC\n\t]{0,200}") {
        check(&source);
        check_files(&source, "plimsoll.toml");
    }

    #[test]
    fn any_value_of_any_type_is_shown_or_read(value in prop::sample::select(vec![
        "1", "-1", "0", "1.5", "nan", "true", "\"\"", "\"x\"", "\"1s\"", "\"none\"", "[]", "[[]]", "{}", "{ a = 1 }",
        "1979-05-27", "[\"a\", 1]", "0xFF", "99999999999999999999", "\"\u{0}\"", "'''\nx\n'''", "\"http://a@b\"", "\"0/s\"", "\"5/min\"", "\"off\"", "\"p95\"",
    ]), line in 0..120_usize) {
        let source = include_str!("whole.toml");
        let lines = source.lines().enumerate().map(|(place, text)| match text.split_once(" = ") {
            Some((key, _)) if place == line => format!("{key} = {value}"),
            _ => text.to_owned(),
        });
        check(&lines.collect::<Vec<_>>().join("\n"));
    }
}
