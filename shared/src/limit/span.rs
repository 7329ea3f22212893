//! Times of day and week as people write them: `08:00-18:00`, `22:00-06:00,mon-fri`, `00:00-24:00,sat,sun`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stretch of the day on some days of the week. One that runs over midnight belongs to the day on which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First minute of the day, 0 to 1439.
    from: u16,
    /// The minute at which it is over, 1 to 1440; not after `from` where it runs over midnight.
    to: u16,
    /// Bit 0 is Monday. Not zero.
    days: u8,
}

/// A moment of the week by the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallTime {
    /// 0 is Monday, 6 is Sunday.
    pub day: u8,
    /// Minutes since midnight.
    pub minute: u16,
}

/// Why a text is no time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of day: write 08:00-18:00, or 22:00-06:00,mon-fri")]
pub struct SpanError(String);

impl Span {
    /// Reads `HH:MM-HH:MM`, optionally followed by days: `,mon-fri` or `,sat,sun`.
    ///
    /// # Errors
    /// When it is not written so.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        read(text).ok_or_else(|| SpanError(text.chars().take(60).collect()))
    }

    /// Whether a moment lies in it.
    #[must_use]
    pub const fn contains(&self, at: WallTime) -> bool {
        let today = self.days & (1 << at.day) != 0;
        if self.from < self.to {
            return today && self.from <= at.minute && at.minute < self.to;
        }
        let yesterday = self.days & (1 << ((at.day + 6) % 7)) != 0;
        (today && self.from <= at.minute) || (yesterday && at.minute < self.to)
    }
}

fn read(text: &str) -> Option<Span> {
    let mut parts = text.trim().split(',').map(str::trim);
    let (from, to) = parts.next()?.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    if from == END_OF_DAY || to == 0 && from == 0 {
        return None;
    }
    let mut days = 0;
    for part in parts {
        days |= day_range(part)?;
    }
    // "00:00" as an end is the end of the day.
    let to = if to == 0 { END_OF_DAY } else { to };
    Some(Span { from, to, days: if days == 0 { EVERY_DAY } else { days } })
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u16>().ok())?
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= END_OF_DAY).then_some(minute)
}

/// The bits of `mon` or of `fri-mon`.
fn day_range(text: &str) -> Option<u8> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let place = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name.trim()));
    let (mut day, last) = (place(first)?, place(last)?);
    let mut bits = 1 << day;
    while day != last {
        day = (day + 1) % DAYS.len();
        bits |= 1 << day;
    }
    Some(bits)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        if self.days == EVERY_DAY {
            return Ok(());
        }
        let is_in = |day: usize| self.days & (1 << day) != 0;
        let mut day = 0;
        while day < DAYS.len() {
            if !is_in(day) {
                day += 1;
                continue;
            }
            let first = day;
            while day + 1 < DAYS.len() && is_in(day + 1) {
                day += 1;
            }
            write!(f, ",{}", DAYS[first])?;
            if day > first {
                write!(f, "-{}", DAYS[day])?;
            }
            day += 1;
        }
        Ok(())
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0b111_1111;
const END_OF_DAY: u16 = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether 'mon 08:00' and the like lie in a span.
    fn holds(span: &str, moment: &str) -> bool {
        let (day, time) = moment.split_once(' ').unwrap();
        let day = DAYS.iter().position(|known| *known == day).unwrap();
        Span::parse(span).unwrap().contains(WallTime { day: day as u8, minute: minute(time).unwrap() })
    }

    #[test]
    fn a_span_holds_from_its_first_minute_to_the_one_before_its_end() {
        for (moment, is_in) in [("mon 07:59", false), ("mon 08:00", true), ("sun 17:59", true), ("wed 18:00", false)] {
            assert_eq!(holds("08:00-18:00", moment), is_in, "{moment}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let cases = [
            ("fri 21:59", false),
            ("fri 22:00", true),
            ("sat 05:59", true),
            ("sat 06:00", false),
            ("sat 22:00", false),
            ("mon 03:00", false),
            ("tue 03:00", true),
        ];
        for (moment, is_in) in cases {
            assert_eq!(holds("22:00-06:00,mon-fri", moment), is_in, "{moment}");
        }
        assert!(holds("22:00-00:00", "mon 23:59") && !holds("22:00-00:00", "mon 00:00"));
        assert!(holds("12:00-12:00,sun", "mon 11:59"), "a whole day from noon to noon");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cases = [
            ("08:00-18:00", "08:00-18:00"),
            ("08:00-18:00,mon-fri", "08:00-18:00,mon-fri"),
            ("22:00-06:00, sat ,SUN", "22:00-06:00,sat-sun"),
            ("00:00-24:00,fri-mon", "00:00-24:00,mon,fri-sun"),
            ("09:30-10:00,mon-sun", "09:30-10:00"),
        ];
        for (text, shown) in cases {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.to_string(), shown);
            assert_eq!(Span::parse(shown), Ok(span));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "8-18", "08:00", "08:00-25:00", "08:60-09:00", "08:00-18:00,", "08:00-18:00,monday", "24:00-08:00"]
        {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }
}
