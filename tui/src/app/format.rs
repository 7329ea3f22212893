//! Numbers, times and names as text. Pure: the time and the time zone come in.

use jiff::{Timestamp, tz::TimeZone};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Bytes in three digits and a binary unit: `5.80 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    scaled(count, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// Two amounts of bytes, the unit said once where it is the same: `3.94 of 5.80 GiB`.
#[must_use]
pub fn bytes_of(part: u64, whole: u64) -> String {
    let (part, whole) = (bytes(part), bytes(whole));
    match (part.split_once(' '), whole.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} of {whole}"),
        _ => format!("{part} of {whole}"),
    }
}

/// Bytes per second in three digits and a decimal unit: `11.2 MB/s`; `-` for none.
#[must_use]
pub fn speed(per_second: u64) -> String {
    match per_second {
        0 => "-".to_owned(),
        some => scaled(some, 1000, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s", "EB/s"]),
    }
}

/// Bytes per second without unit words for the top row: `18.4M`.
#[must_use]
pub fn speed_short(per_second: u64) -> String {
    scaled(per_second, 1000, &["B", "k", "M", "G", "T", "P", "E"]).replace(' ', "")
}

fn scaled(count: u64, base: u64, units: &[&str]) -> String {
    if count < base.min(1000) {
        return format!("{count} {}", units[0]);
    }
    let (mut value, mut unit) = (count as f64, 0);
    // 999.5 would print as 1000, four digits.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= base as f64;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", units[unit])
}

/// A whole number with its thousands set apart: `128,431`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `31 files`.
#[must_use]
pub fn files(number: u64) -> String {
    plural(number, "file", "files")
}

/// A number with the right form of its noun.
#[must_use]
pub fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A length of time in its two largest units: `2m41s`.
#[must_use]
pub fn seconds(total: u64) -> String {
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3_600 % 24, total / 60 % 60, total % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{seconds:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        (1..100, ..) => format!("{days}d{hours:02}h"),
        _ => "> 99d".to_owned(),
    }
}

/// A past moment, as short as it can be told: `14:07` today, `2 Oct` this year, else the year.
#[must_use]
pub fn moment(at_ms: i64, now_ms: i64, zone: &TimeZone) -> String {
    let (Some(at), Some(now)) = (zoned(at_ms, zone), zoned(now_ms, zone)) else { return "-".to_owned() };
    if at.date() == now.date() {
        format!("{:02}:{:02}", at.hour(), at.minute())
    } else if at.year() == now.year() {
        format!("{} {}", at.day(), MONTHS[at.month().unsigned_abs() as usize - 1])
    } else {
        at.year().to_string()
    }
}

/// A moment in full: `2 Oct 2025 14:07`.
#[must_use]
pub fn moment_full(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).map_or_else(
        || "-".to_owned(),
        |at| {
            let month = MONTHS[at.month().unsigned_abs() as usize - 1];
            format!("{} {month} {} {:02}:{:02}", at.day(), at.year(), at.hour(), at.minute())
        },
    )
}

/// The day of a moment: `2 Oct 2026`.
#[must_use]
pub fn day(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).map_or_else(
        || "-".to_owned(),
        |at| format!("{} {} {}", at.day(), MONTHS[at.month().unsigned_abs() as usize - 1], at.year()),
    )
}

/// The time of day: `14:07`.
#[must_use]
pub fn clock(at_ms: i64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).map_or_else(|| "--:--".to_owned(), |at| format!("{:02}:{:02}", at.hour(), at.minute()))
}

fn zoned(at_ms: i64, zone: &TimeZone) -> Option<jiff::Zoned> {
    Some(Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone()))
}

/// Columns that a text takes on screen.
#[must_use]
pub fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// The text, or as much of its start as fits, ending in `cut`.
#[must_use]
pub fn cut_end(text: &str, columns: usize, cut: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = take(text.graphemes(true), columns.saturating_sub(width(cut)));
    if width(cut) <= columns {
        kept.push_str(cut);
    }
    kept
}

/// The name, or its start and its end with the extension, with `cut` between them.
#[must_use]
pub fn cut_middle(text: &str, columns: usize, cut: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(width(cut));
    if room < 4 {
        return cut_end(text, columns, cut);
    }
    // The extension and a little of what stands before it identify a file best.
    let extension = text.rfind('.').map_or(0, |at| width(&text[at..]));
    let tail_room = if (1..=room / 2).contains(&extension) { (extension + 4).min(room / 2) } else { room / 3 };
    let tail: Vec<&str> = {
        let mut taken = 0;
        let fits = |grapheme: &&str| {
            taken += UnicodeWidthStr::width(*grapheme);
            taken <= tail_room
        };
        text.graphemes(true).rev().take_while(fits).collect()
    };
    let tail: String = tail.into_iter().rev().collect();
    let head = take(text.graphemes(true), room - width(&tail));
    format!("{head}{cut}{tail}")
}

fn take<'a>(graphemes: impl Iterator<Item = &'a str>, columns: usize) -> String {
    let mut taken = 0;
    let fits = |grapheme: &&str| {
        taken += UnicodeWidthStr::width(*grapheme);
        taken <= columns
    };
    graphemes.take_while(fits).collect()
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes_in, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_023, "1.00 KiB"),
            (4_404_019, "4.20 MiB"),
            (956_301_312, "912 MiB"),
            (6_227_702_579, "5.80 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(bytes_in), text);
        }
        assert_eq!(bytes_of(4 << 30, 6_227_702_579), "4.00 of 5.80 GiB");
        assert_eq!(bytes_of(5 << 20, 6_227_702_579), "5.00 MiB of 5.80 GiB");
        assert_eq!(speed(11_200_000), "11.2 MB/s");
        assert_eq!(speed_short(18_400_000), "18.4M");
    }

    #[test]
    fn numbers_and_times_read_easily() {
        assert_eq!(count(128_431), "128,431");
        assert_eq!(count(12), "12");
        assert_eq!(seconds(161), "2m41s");
        assert_eq!(seconds(90_000), "1d01h");
    }

    #[test]
    fn a_moment_is_told_as_short_as_it_can_be() {
        let now = 1_760_000_000_000;
        assert_eq!(moment(now - 60_000, now, &TimeZone::UTC), "08:52");
        assert_eq!(moment(now - 7 * 86_400_000, now, &TimeZone::UTC), "2 Oct");
        assert_eq!(moment(0, now, &TimeZone::UTC), "1970");
    }

    #[test]
    fn a_name_is_cut_in_its_middle_and_keeps_its_extension() {
        assert_eq!(cut_middle("ubuntu-26.04-desktop-amd64.iso", 20, "…"), "ubuntu-26.0…md64.iso");
        assert_eq!(cut_middle("日本語のファイル名.flac", 14, "…"), "日本語の….flac");
        assert_eq!(cut_middle("short", 20, "…"), "short");
    }

    proptest! {
        #[test]
        fn a_cut_name_always_fits(text in "\\PC{0,40}", columns in 0_usize..30) {
            prop_assert!(width(&cut_middle(&text, columns, "…")) <= columns);
            prop_assert!(width(&cut_end(&text, columns, "…")) <= columns);
        }
    }
}
