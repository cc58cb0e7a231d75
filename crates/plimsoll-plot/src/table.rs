//! The same values as a table.

use crate::svg::{Escaped, put};

/// A table with a name for each row. Columns and names are texts of others: they are escaped.
pub(crate) fn table(
    caption: &str,
    first: &str,
    columns: &[&str],
    rows: impl Iterator<Item = (String, Vec<String>)>,
) -> String {
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"tight\"><thead><tr>\
<th scope=\"col\">{}</th>",
            Escaped(caption),
            Escaped(first)
        ),
    );
    for column in columns {
        let column = Escaped(column);
        put(
            &mut out,
            format_args!("<th scope=\"col\" class=\"r\">{column}</th>"),
        );
    }
    out.push_str("</tr></thead><tbody>");
    for (name, values) in rows {
        put(
            &mut out,
            format_args!("<tr><th scope=\"row\">{}</th>", Escaped(&name)),
        );
        for value in values {
            put(
                &mut out,
                format_args!("<td class=\"r\">{}</td>", Escaped(&value)),
            );
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}
