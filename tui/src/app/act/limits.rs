//! Limits, and the order of the queue.

use shared::show::show;

use crate::{
    app::{
        Effect, Purpose, State, format,
        layer::{Layer, Palette},
        transfers::Transfer,
    },
    engine::api::{Command, Direction, Limits, Priority, Rank, Steer, words},
};

impl State {
    /// Gives the chosen transfers another place in the queue.
    pub(in crate::app) fn rank(&mut self, rank: Rank, effects: &mut Vec<Effect>) {
        let mut ids = self.chosen_transfers();
        let name = self.named(&ids);
        let before = ids.first().and_then(|id| self.transfers.all.get(id)).map(|transfer| transfer.row.priority);
        let says = match rank {
            Rank::Raise => says(&name, ids.len(), before.map(Priority::raised), "higher"),
            Rank::Lower => says(&name, ids.len(), before.map(Priority::lowered), "lower"),
            Rank::Forward(1..) => format!("{name} moved towards the front"),
            Rank::Priority(_) | Rank::First | Rank::Last | Rank::Forward(_) => format!("{name} moved towards the end"),
        };
        // Those that go one place back together go from the last to the first, or they would only change places.
        ids.sort_by_key(|id| self.transfers.all.get(id).map(Transfer::queue_key));
        if matches!(rank, Rank::Forward(..0)) {
            ids.reverse();
        }
        self.steer(ids, Steer::Rank(rank), says, None, effects);
    }

    /// Opens the line of commands where a limit can be typed, and says what holds.
    pub(in crate::app) fn type_limit(&mut self) {
        let mut palette = Palette::new(false, self.contexts());
        palette.field.set("limit ");
        self.layers.push(Layer::Palette(palette));
        self.messages.success(self.now, sentence(&self.limits));
    }

    /// Carries out a limit that was typed.
    pub(in crate::app) fn set_limit(&mut self, typed: &str, effects: &mut Vec<Effect>) {
        match words::parse(typed) {
            Ok(Some(change)) => {
                self.layers.pop();
                self.call(Command::Limit { change: Some(change) }, Purpose::Limit, effects);
            }
            Ok(None) => {
                self.layers.pop();
                self.type_limit();
            }
            Err(why) => self.messages.warn(self.now, why),
        }
    }
}

fn says(name: &str, count: usize, priority: Option<Priority>, otherwise: &str) -> String {
    match (count, priority) {
        (1, Some(priority)) => format!("{name} has {} priority", priority.word()),
        _ => format!("{name} have a {otherwise} priority"),
    }
}

/// What holds now, in a sentence.
#[must_use]
pub fn sentence(limits: &Limits) -> String {
    let rate = |direction| limits.now(direction).map_or_else(|| "no limit".to_owned(), format::speed);
    let slots = match limits.slots {
        Some(slots) => format!("{} of {slots} upload slots in use", limits.served),
        None => "no upload slots".to_owned(),
    };
    let waiting = match limits.waiting {
        0 => String::new(),
        some => format!(", {some} in line"),
    };
    let others = limits.rates.iter().filter(|row| row.in_force && row.rate.is_some()).filter_map(|row| {
        let way = match row.direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        Some(format!("; {} {way} {}", show(row.member.as_ref()?), format::speed(row.rate?)))
    });
    format!(
        "up {}, down {}, {slots}{waiting}{}",
        rate(Direction::Up),
        rate(Direction::Down),
        others.collect::<String>()
    )
}
