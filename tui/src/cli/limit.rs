//! `swapmeet limit`: how fast bytes may go, and how many members are served at a time.

use clap::{Args, Subcommand};
use serde::Serialize;
use shared::limit::span::Span;

use super::{
    context::Context,
    out::{Cell, Column, Record},
    talk::Outcome,
};
use crate::engine::api::{Command, Direction, LimitChange, Limits, RateChange, RateRow, RateWish, Update, words};

#[derive(Debug, Args)]
pub(super) struct Limit {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How fast others may take from this device
    Up(Rate),
    /// How fast this device takes from others
    Down(Rate),
    /// How many members are served at a time; the others wait in line
    Slots(Slots),
}

#[derive(Debug, Args)]
struct Rate {
    /// Bytes per second, as 500k, 2M or 1.5MiB; 0 is no limit, `default` takes back what was said
    #[arg(value_name = "RATE", value_parser = words::rate)]
    rate: RateWish,
    /// Only for this member, beside the limit for everybody together
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// Only at this time of day, on these days: 08:00-18:00 or 22:00-06:00,mon-fri
    #[arg(long, value_name = "TIME", value_parser = words::span)]
    at: Option<Span>,
    /// On the same network too
    #[arg(long)]
    lan: bool,
}

#[derive(Debug, Args)]
struct Slots {
    /// Members served at a time; 0 is all
    #[arg(value_name = "N")]
    most: u32,
    /// Members on the same network need a slot too
    #[arg(long)]
    lan: bool,
}

impl Limit {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let change = self.what.map(LimitChange::from);
        let updates = context.ask(Command::Limit { change }).await?;
        let mut table = context.out.table::<LimitRecord>();
        for update in updates {
            if let Update::Limits(limits) = update {
                for record in records(limits) {
                    table.push(&record)?;
                }
            }
        }
        table.finish()
    }
}

impl From<What> for LimitChange {
    fn from(what: What) -> Self {
        let rate =
            |direction, Rate { rate, member, at, lan }| Self::Rate(RateChange { direction, member, at, rate, lan });
        match what {
            What::Up(change) => rate(Direction::Up, change),
            What::Down(change) => rate(Direction::Down, change),
            What::Slots(Slots { most, lan }) => Self::Slots { most: (most > 0).then_some(most), lan },
        }
    }
}

/// One line for each limit; those for everybody together always.
fn records(limits: Limits) -> Vec<LimitRecord> {
    let is_main = |row: &RateRow| row.member.is_none() && row.at.is_none();
    let mut rows = Vec::new();
    for direction in [Direction::Up, Direction::Down] {
        let of_it: Vec<&RateRow> = limits.rates.iter().filter(|row| row.direction == direction).collect();
        if !of_it.iter().any(|row| is_main(row)) {
            let in_force =
                limits.now(direction).is_none() && !of_it.iter().any(|row| row.member.is_none() && row.in_force);
            rows.push(RateRow { direction, member: None, at: None, rate: None, lan: false, in_force });
        }
        rows.extend(of_it.iter().filter(|row| is_main(row)).map(|row| (*row).clone()));
        rows.extend(of_it.iter().filter(|row| !is_main(row)).map(|row| (*row).clone()));
    }
    let mut records: Vec<LimitRecord> = rows.into_iter().map(LimitRecord::of_rate).collect();
    records.push(LimitRecord {
        what: "slots",
        member: None,
        at: None,
        rate: None,
        slots: limits.slots,
        lan: limits.slots_lan,
        in_force: true,
        served: Some(limits.served),
        waiting: Some(limits.waiting),
    });
    records
}

/// A limit.
#[derive(Debug, PartialEq, Serialize)]
struct LimitRecord {
    /// `up`, `down` or `slots`.
    what: &'static str,
    member: Option<String>,
    at: Option<String>,
    /// Bytes per second; `null`: no limit.
    rate: Option<u64>,
    /// Members served at a time; `null`: all, or not a line about slots.
    slots: Option<u32>,
    lan: bool,
    in_force: bool,
    served: Option<u32>,
    waiting: Option<u32>,
}

impl LimitRecord {
    fn of_rate(row: RateRow) -> Self {
        Self {
            what: match row.direction {
                Direction::Up => "up",
                Direction::Down => "down",
            },
            member: row.member,
            at: row.at.map(|at| at.to_string()),
            rate: row.rate,
            slots: None,
            lan: row.lan,
            in_force: row.in_force,
            served: None,
            waiting: None,
        }
    }
}

impl Record for LimitRecord {
    fn kind(&self) -> &'static str {
        "limit"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("WHAT"),
            Column::name("MEMBER"),
            Column::text("AT"),
            Column::number("RATE"),
            Column::number("SLOTS"),
            Column::text("LAN"),
            Column::text("IN_FORCE"),
            Column::number("SERVED"),
            Column::number("WAITING"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        let count = |number: Option<u32>| number.map_or(Cell::Empty, |number| Cell::Count(number.into()));
        let rate = match (self.rate, self.what) {
            (Some(rate), _) => Cell::Bytes(rate),
            (None, "slots") => Cell::Empty,
            (None, _) => "none".into(),
        };
        let slots = match (self.slots, self.what) {
            (None, "slots") => "all".into(),
            (slots, _) => count(slots),
        };
        vec![
            self.what.into(),
            self.member.clone().into(),
            self.at.clone().into(),
            rate,
            slots,
            Cell::Flag(self.lan),
            Cell::Flag(self.in_force),
            count(self.served),
            count(self.waiting),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_for_everybody_are_always_told_and_come_first() {
        let timed = |rate, in_force| RateRow {
            direction: Direction::Up,
            member: None,
            at: Some(Span::parse("08:00-18:00,mon-fri").unwrap()),
            rate,
            lan: false,
            in_force,
        };
        let limits = Limits { rates: vec![timed(Some(500_000), true)], slots: Some(8), ..Limits::default() };
        let records = records(limits);
        let told: Vec<_> = records.iter().map(|record| (record.what, record.rate, record.in_force)).collect();
        assert_eq!(
            told,
            [("up", None, false), ("up", Some(500_000), true), ("down", None, true), ("slots", None, true)]
        );
        assert_eq!(records[1].at.as_deref(), Some("08:00-18:00,mon-fri"));
    }
}
