//! How long something lasts: `90s`, `10m`, `2h`, `7d`.

use std::time::Duration;

/// Reads a length in whole seconds, minutes, hours or days; `None` if it is none, or zero.
pub fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(parse(text).map(|it| it.as_secs()), seconds, "{text}");
    }

    #[test]
    fn it_is_a_number_and_a_unit() {
        check("90s", Some(90));
        check("10m", Some(600));
        check("2h", Some(7_200));
        check("7d", Some(604_800));
        for wrong in [
            "",
            "m",
            "10",
            "0s",
            "-1h",
            "+1h",
            "1.5h",
            "1w",
            "99999999999999999999d",
            "é",
        ] {
            check(wrong, None);
        }
    }
}
