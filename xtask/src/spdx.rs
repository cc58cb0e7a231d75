//! SPDX licence expressions: whether one can be satisfied with licences we accept.
//!
//! Source: SPDX 2.3, Annex D. `WITH` binds tighter than `AND`, which binds tighter than `OR`; the `/` that
//! old manifests use is read as `OR`.

use std::iter::Peekable;

/// Whether `expression` can be met with licences for which `accepted` is true; `None` if it cannot be read.
///
/// A licence with an exception is given to `accepted` as one word: `Apache-2.0 WITH LLVM-exception`.
pub(crate) fn satisfied(expression: &str, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    let result = any(&mut tokens, accepted)?;
    tokens.next().is_none().then_some(result)
}

type Tokens<'a, 'b> = &'a mut Peekable<std::str::SplitWhitespace<'b>>;

fn any(tokens: Tokens<'_, '_>, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut result = all(tokens, accepted)?;
    while tokens.next_if_eq(&"OR").is_some() {
        result |= all(tokens, accepted)?;
    }
    Some(result)
}

fn all(tokens: Tokens<'_, '_>, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut result = one(tokens, accepted)?;
    while tokens.next_if_eq(&"AND").is_some() {
        result &= one(tokens, accepted)?;
    }
    Some(result)
}

fn one(tokens: Tokens<'_, '_>, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    match tokens.next()? {
        "(" => {
            let result = any(tokens, accepted)?;
            tokens.next_if_eq(&")")?;
            Some(result)
        }
        "AND" | "OR" | "WITH" | ")" => None,
        licence => match tokens.next_if_eq(&"WITH") {
            Some(_) => Some(accepted(&format!("{licence} WITH {}", tokens.next()?))),
            None => Some(accepted(licence)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: Option<bool>) {
        let accepted =
            |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
        assert_eq!(satisfied(expression, &accepted), expected, "{expression}");
    }

    #[test]
    fn one_accepted_alternative_is_enough_and_every_part_is_needed() {
        check("MIT", Some(true));
        check("GPL-3.0-only", Some(false));
        check("GPL-3.0-only OR MIT", Some(true));
        check("GPL-3.0-only/MIT", Some(true));
        check("GPL-3.0-only AND MIT", Some(false));
        check("MIT AND (GPL-3.0-only OR ISC)", Some(true));
        check("(MIT OR GPL-3.0-only) AND GPL-3.0-only", Some(false));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        check("MIT OR MIT AND GPL-3.0-only", Some(true));
        check("GPL-3.0-only AND MIT OR ISC", Some(true));
    }

    #[test]
    fn a_licence_with_an_exception_is_a_licence_of_its_own() {
        check("Apache-2.0 WITH LLVM-exception", Some(true));
        check("Apache-2.0", Some(false));
        check("MIT WITH LLVM-exception", Some(false));
    }

    #[test]
    fn what_is_no_expression_is_not_read_as_one() {
        check("", None);
        check("MIT OR", None);
        check("(MIT", None);
        check("MIT ISC", None);
        check("AND MIT", None);
        check("MIT)", None);
    }
}
