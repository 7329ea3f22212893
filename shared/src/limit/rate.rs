//! Rates as people write them: `500k`, `2M`, `1.5MiB`, in bytes per second; `0` and `none` are no limit.

use crate::limits::RATE_BYTES_MIN;

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It is not written like one.
    #[error("{0:?} is not a rate: write bytes per second as 500k, 2M or 1.5MiB, or 0 for no limit")]
    Unreadable(String),
    /// Receivers would take this device for a silent one.
    #[error("less than {RATE_BYTES_MIN} bytes per second looks like silence to the other side; 0 is no limit")]
    TooLow,
}

/// Reads a rate in bytes per second. `None`: no limit.
///
/// # Errors
/// When it is not written like one, or so low that nothing useful would move.
pub fn parse(text: &str) -> Result<Option<u64>, RateError> {
    let unreadable = || RateError::Unreadable(text.chars().take(40).collect());
    let word = text.trim();
    let word = word.strip_suffix("/s").unwrap_or(word);
    if word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let digits_end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(digits_end);
    let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(unreadable)?.1;
    let bytes = scaled(number, unit).ok_or_else(unreadable)?;
    match bytes {
        0 => Ok(None),
        1..RATE_BYTES_MIN => Err(RateError::TooLow),
        _ => Ok(Some(bytes)),
    }
}

/// A decimal number times a unit, rounded down.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && part.is_empty()) || part.contains('.') || part.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part = if part.is_empty() {
        0
    } else {
        part.parse::<u64>().ok()?.checked_mul(unit)? / 10_u64.pow(u32::try_from(part.len()).ok()?)
    };
    whole.checked_mul(unit)?.checked_add(part)
}

const UNITS: [(&str, u64); 13] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [
            ("0", None),
            ("none", None),
            ("0M", None),
            ("500k", Some(500_000)),
            ("2M", Some(2_000_000)),
            ("2m", Some(2_000_000)),
            ("2MB/s", Some(2_000_000)),
            ("1.5MiB", Some(1_572_864)),
            ("0.25g", Some(250_000_000)),
            ("64KiB", Some(65_536)),
            ("100000", Some(100_000)),
        ] {
            assert_eq!(parse(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_that_work() {
        for text in ["", "M", "-1M", "2 M", "1..5M", "1.M", ".5M", "2Mbit", "two", "99999999999999999999", "1e6", "٣M"]
        {
            assert!(matches!(parse(text), Err(RateError::Unreadable(_))), "{text}");
        }
        assert_eq!(parse("100"), Err(RateError::TooLow));
    }
}
