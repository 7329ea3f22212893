//! Limits as people type them, after the word `limit`: `up 2M`, `down 500k --member bob --at 22:00-06:00`, `slots 4`.

use shared::limit::{rate, span::Span};

use super::{Direction, LimitChange, RateChange, RateWish};

/// Reads a rate, or `default`.
///
/// # Errors
/// A sentence about what was expected.
pub fn rate(text: &str) -> Result<RateWish, String> {
    if text == "default" {
        return Ok(RateWish::Default);
    }
    let rate = rate::parse(text).map_err(|error| error.to_string())?;
    Ok(rate.map_or(RateWish::Unlimited, RateWish::Bytes))
}

/// Reads a time of day.
///
/// # Errors
/// A sentence about what was expected.
pub fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| error.to_string())
}

/// Reads what follows the word `limit`. `None`: nothing, so they are only to be shown.
///
/// # Errors
/// A sentence about what was expected.
pub fn parse(text: &str) -> Result<Option<LimitChange>, String> {
    let (words, options) = split(text);
    let [what, value] = &words[..] else {
        return if words.is_empty() && options.is_empty() { Ok(None) } else { Err(EXPECTED.to_owned()) };
    };
    let (mut lan, mut member, mut at) = (false, None, None);
    for (name, value) in options {
        match (name.as_str(), value.as_str()) {
            ("lan", "") => lan = true,
            ("member", name) if !name.is_empty() => member = Some(name.to_owned()),
            ("at", time) if !time.is_empty() => at = Some(span(time)?),
            (other, _) => return Err(format!("--{other} is not understood here; {EXPECTED}")),
        }
    }
    let direction = match *what {
        "up" => Direction::Up,
        "down" => Direction::Down,
        "slots" if member.is_none() && at.is_none() => {
            let most: u32 = value.parse().map_err(|_| format!("{value:?} is no number of slots"))?;
            return Ok(Some(LimitChange::Slots { most: (most > 0).then_some(most), lan }));
        }
        _ => return Err(EXPECTED.to_owned()),
    };
    Ok(Some(LimitChange::Rate(RateChange { direction, member, at, rate: rate(value)?, lan })))
}

/// The words before the first option, and each option with what follows it.
fn split(text: &str) -> (Vec<&str>, Vec<(String, String)>) {
    let mut words = Vec::new();
    let mut options: Vec<(String, String)> = Vec::new();
    for word in text.split_whitespace() {
        match (word.strip_prefix("--"), options.last_mut()) {
            (Some(name), _) => options.push((name.to_owned(), String::new())),
            // Names may hold spaces.
            (None, Some((_, value))) => {
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(word);
            }
            (None, None) => words.push(word),
        }
    }
    (words, options)
}

const EXPECTED: &str = "write limit up 2M, limit down 0, limit slots 4; --member NAME, --at 08:00-18:00,mon-fri, --lan";

#[cfg(test)]
mod tests {
    use super::*;

    fn change(direction: Direction, rate: RateWish) -> RateChange {
        RateChange { direction, member: None, at: None, rate, lan: false }
    }

    #[test]
    fn what_people_type_is_understood() {
        let cases = [
            ("up 2M", change(Direction::Up, RateWish::Bytes(2_000_000))),
            ("down 0", change(Direction::Down, RateWish::Unlimited)),
            (
                "up 500k --member Bob the Builder --lan",
                RateChange {
                    member: Some("Bob the Builder".to_owned()),
                    lan: true,
                    ..change(Direction::Up, RateWish::Bytes(500_000))
                },
            ),
            (
                "down default --at 22:00-06:00,mon-fri",
                RateChange {
                    at: Some(Span::parse("22:00-06:00,mon-fri").unwrap()),
                    ..change(Direction::Down, RateWish::Default)
                },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(Some(LimitChange::Rate(expected))), "{text}");
        }
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("slots 4"), Ok(Some(LimitChange::Slots { most: Some(4), lan: false })));
        assert_eq!(parse("slots 0 --lan"), Ok(Some(LimitChange::Slots { most: None, lan: true })));
    }

    #[test]
    fn anything_else_is_answered_with_what_works() {
        for text in [
            "up",
            "2M",
            "up 2M extra",
            "sideways 2M",
            "up fast",
            "slots many",
            "up 2M --at noon",
            "up 2M --lan yes",
            "up 2M --member",
            "slots 3 --member bob",
            "--lan",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
