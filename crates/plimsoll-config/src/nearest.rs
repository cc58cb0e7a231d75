//! What may have been meant by a name that is not known.

/// The name most like `text`, if any is like it.
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase().replace('-', "_")),
                name,
            )
        })
        .filter(|(distance, name)| *distance <= (name.chars().count().max(3) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["deadline", "retry", "mode", "idle_connections_max"];
        assert_eq!(nearest("dedline", names), Some("deadline"));
        assert_eq!(nearest("Retry", names), Some("retry"));
        assert_eq!(
            nearest("idle-connections-max", names),
            Some("idle_connections_max")
        );
        assert_eq!(nearest("speed", names), None);
        assert_eq!(nearest("", names), None);
    }
}
