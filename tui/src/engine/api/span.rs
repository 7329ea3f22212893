//! Spans of time as people type them: `30s`, `15m`, `1h`, `7d`.

use std::time::Duration;

/// Reads a whole number with one of the units `s`, `m`, `h`, `d`.
///
/// # Errors
/// A sentence about what was expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is not a time: write 30s, 15m, 1h or 7d");
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let seconds_each: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(expected()),
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    let count: u64 = digits.parse().map_err(|_| expected())?;
    count
        .checked_mul(seconds_each)
        .filter(|seconds| *seconds <= SECONDS_MAX)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is longer than a hundred years"))
}

/// A hundred years: more is a typing error, and clocks can still add it.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_understood() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("15m", 900), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_that_work() {
        for text in
            ["", "s", "30", "-1s", "+1s", "1.5h", "1h30m", "5 m", "1w", "٣s", "99999999999999999999d", "1000000d"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
