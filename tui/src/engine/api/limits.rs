//! Limits and order: what faces ask for and are told.

use serde::{Deserialize, Serialize};
use shared::limit::span::Span;

use super::Direction;

/// What to change about the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitChange {
    /// A rate.
    Rate(RateChange),
    /// How many members are served at a time.
    Slots {
        /// `None`: all.
        most: Option<u32>,
        /// Whether members on the same network count too.
        lan: bool,
    },
}

/// A rate for somebody, at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateChange {
    /// Which way.
    pub direction: Direction,
    /// Name or id of a member; `None`: everybody together.
    pub member: Option<String>,
    /// When; `None`: whenever no other time of the same holds.
    pub at: Option<Span>,
    /// What then holds.
    pub rate: RateWish,
    /// Whether it holds on the same network too.
    pub lan: bool,
}

/// What a rate shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateWish {
    /// Bytes per second.
    Bytes(u64),
    /// No limit.
    Unlimited,
    /// As if nothing had been said about this.
    Default,
}

/// The limits as they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Every rate that was set.
    pub rates: Vec<RateRow>,
    /// Members served at a time; `None`: all.
    pub slots: Option<u32>,
    /// Whether members on the same network need a slot too.
    pub slots_lan: bool,
    /// Members that hold a slot now.
    pub served: u32,
    /// Members that stand in line for one.
    pub waiting: u32,
}

/// A rate that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRow {
    pub direction: Direction,
    /// `None`: everybody together.
    pub member: Option<String>,
    /// `None`: whenever no other time holds.
    pub at: Option<Span>,
    /// Bytes per second; `None`: no limit.
    pub rate: Option<u64>,
    pub lan: bool,
    /// Whether it holds at this moment.
    pub in_force: bool,
}

impl Limits {
    /// The rate that holds for everybody together now, bytes per second.
    #[must_use]
    pub fn now(&self, direction: Direction) -> Option<u64> {
        let rates = self.rates.iter().filter(|row| row.direction == direction && row.member.is_none());
        rates.filter(|row| row.in_force).find_map(|row| row.rate)
    }
}

/// How much a transfer matters. Those that matter more begin first, and others make room for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

impl Priority {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// The next higher one.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Self::Low => Self::Normal,
            Self::Normal | Self::High => Self::High,
        }
    }

    /// The next lower one.
    #[must_use]
    pub const fn lowered(self) -> Self {
        match self {
            Self::High => Self::Normal,
            Self::Normal | Self::Low => Self::Low,
        }
    }
}

/// Another place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// This priority, in the order of coming among those that have it too.
    Priority(Priority),
    /// The next higher priority.
    Raise,
    /// The next lower one.
    Lower,
    /// Before all others.
    First,
    /// Behind all others.
    Last,
    /// So many places towards the front; negative: towards the end.
    Forward(i32),
}

impl Rank {
    /// Reads `high`, `normal`, `low`, `first`, `last`, `+2` or `-1`.
    ///
    /// # Errors
    /// A sentence about what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "high" => Self::Priority(Priority::High),
            "normal" => Self::Priority(Priority::Normal),
            "low" => Self::Priority(Priority::Low),
            "first" => Self::First,
            "last" => Self::Last,
            steps => match steps.parse() {
                Ok(places) if places != 0 && steps.starts_with(['+', '-']) => Self::Forward(places),
                _ => return Err(format!("{text:?} is no priority: write high, normal, low, first, last, +1 or -1")),
            },
        })
    }
}

/// Where this device stands in line at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePlace {
    /// 1 is the next one to be served.
    pub position: u32,
    /// How long that will take, seconds, as far as the source can tell.
    pub wait_s: Option<u64>,
}

impl QueuePlace {
    /// As a sentence about the source.
    #[must_use]
    pub fn sentence(&self) -> String {
        let wait = self.wait_s.map(|seconds| format!(", {}", about(seconds))).unwrap_or_default();
        format!("waiting for an upload slot, {} in line{wait}", ordinal(self.position))
    }
}

fn about(seconds: u64) -> String {
    match seconds {
        0..90 => format!("~{seconds} s"),
        90..5400 => format!("~{} min", (seconds + 30) / 60),
        _ => format!("~{} h", (seconds + 1800) / 3600),
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
#[must_use]
pub fn ordinal(number: u32) -> String {
    let suffix = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_as_people_say_them() {
        let told = |position, wait_s| QueuePlace { position, wait_s }.sentence();
        assert_eq!(told(2, Some(180)), "waiting for an upload slot, 2nd in line, ~3 min");
        assert_eq!(told(1, Some(20)), "waiting for an upload slot, 1st in line, ~20 s");
        assert_eq!(told(11, None), "waiting for an upload slot, 11th in line");
        assert_eq!([3, 13, 22, 101, 112].map(ordinal), ["3rd", "13th", "22nd", "101st", "112th"]);
    }

    #[test]
    fn a_rank_is_a_word_or_a_number_of_places() {
        assert_eq!(Rank::parse("high"), Ok(Rank::Priority(Priority::High)));
        assert_eq!(Rank::parse("first"), Ok(Rank::First));
        assert_eq!(Rank::parse("+3"), Ok(Rank::Forward(3)));
        assert_eq!(Rank::parse("-1"), Ok(Rank::Forward(-1)));
        for text in ["", "3", "+0", "highest", "+", "--1", "+99999999999"] {
            assert!(Rank::parse(text).is_err(), "{text}");
        }
    }
}
