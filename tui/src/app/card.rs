//! Cards in a conversation: files that one of the two offers to the other, and how far that has come. Built of what the
//! inbox and the transfers tell; nothing else travels for them.

use shared::show::{has_hidden, show};

use super::{channel::Channel, chat::Room, format, timeline::Tone, transfers::Transfer};
use crate::engine::api::{
    ChannelFileRow, ChannelFileState, ChannelLineRow, Direction, ItemKind, ItemRow, ItemState, TransferState,
};

/// Something offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// What it is called, cleaned.
    pub name: String,
    /// How many files; 0: not known yet.
    pub files: u64,
    pub size: u64,
    /// Whether a name in it holds what disguises something.
    pub hazard: bool,
    /// What was written with it, cleaned.
    pub note: String,
    pub stage: Stage,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It is read before it is offered; in percent.
    Reading(u8),
    /// The other one has not answered.
    Waiting,
    /// This member has not answered.
    ForMe,
    /// There was a yes, and nothing moves. Why; may be empty.
    Accepted(String),
    /// It moves: in percent, and bytes per second where they are known.
    Moving {
        percent: u8,
        speed: u64,
    },
    /// Whoever it was offered to has it.
    Done,
    /// Whoever it was offered to has a part of it: how much.
    Part(String),
    /// The answer was a no; with a word, or none.
    Declined(String),
    Cancelled,
    Expired,
    Failed(String),
    /// The channel in which it was offered is over.
    Over,
}

impl Card {
    /// What stands in its first line.
    #[must_use]
    pub fn title(&self) -> String {
        let mark = if self.hazard { "! " } else { "" };
        let (slash, many) = match self.files {
            0 | 1 => ("", String::new()),
            some => ("/", format!(" ({})", format::files(some))),
        };
        let size =
            if self.size > 0 || self.files == 1 { format!("  {}", format::bytes(self.size)) } else { String::new() };
        format!("{mark}{}{slash}{many}{size}", self.name)
    }

    /// How far it has come, in words; `mine`: this member offers it to `with`.
    #[must_use]
    pub fn words(&self, mine: bool, with: &str) -> String {
        match &self.stage {
            Stage::Reading(_) => "being read here".to_owned(),
            Stage::Waiting => format!("waiting: {with} has not answered"),
            Stage::ForMe => "waits for your answer (l, then Enter)".to_owned(),
            Stage::Accepted(why) if why.is_empty() => "accepted".to_owned(),
            Stage::Accepted(why) => why.clone(),
            Stage::Moving { percent, speed } => {
                let speed = if *speed > 0 { format!("  {}", format::speed(*speed)) } else { String::new() };
                format!("{percent}% {}{speed}", if mine { "sent" } else { "here" })
            }
            Stage::Done if mine => format!("done: {with} has it"),
            Stage::Done => "done: verified and here".to_owned(),
            Stage::Part(part) if mine => format!("done: {with} took {part}"),
            Stage::Part(part) => format!("done: {part}, verified and here"),
            Stage::Declined(word) => {
                let who = if mine { with } else { "you" };
                let word = if word.is_empty() { String::new() } else { format!(": \"{word}\"") };
                format!("declined by {who}{word}")
            }
            Stage::Cancelled => "cancelled".to_owned(),
            Stage::Expired => "expired".to_owned(),
            Stage::Failed(why) => format!("failed: {why}"),
            Stage::Over => "no longer offered: the channel has ended".to_owned(),
        }
    }

    /// What a bar shows of it, in percent.
    #[must_use]
    pub const fn bar(&self) -> Option<u8> {
        match &self.stage {
            Stage::Reading(percent) | Stage::Moving { percent, .. } => Some(*percent),
            Stage::Waiting
            | Stage::ForMe
            | Stage::Accepted(_)
            | Stage::Done
            | Stage::Part(_)
            | Stage::Declined(_)
            | Stage::Cancelled
            | Stage::Expired
            | Stage::Failed(_)
            | Stage::Over => None,
        }
    }

    /// What it looks like.
    #[must_use]
    pub const fn tone(&self) -> Tone {
        match &self.stage {
            Stage::ForMe | Stage::Reading(_) | Stage::Moving { .. } => Tone::Active,
            Stage::Done | Stage::Part(_) => Tone::Good,
            Stage::Declined(_) | Stage::Expired | Stage::Over => Tone::Warning,
            Stage::Failed(_) => Tone::Bad,
            Stage::Waiting | Stage::Accepted(_) | Stage::Cancelled => Tone::Plain,
        }
    }
}

/// Whether an item is an offer between this member and that one.
#[must_use]
pub fn is_between(item: &ItemRow, member: &str) -> bool {
    item.kind == ItemKind::Offer && super::inbox::other(item) == Some(member)
}

/// The card of an offer; `transfers` are those that this device knows.
#[must_use]
pub fn of_item<'t>(item: &ItemRow, transfers: impl Iterator<Item = &'t Transfer>) -> Card {
    Card {
        name: show(&item.name),
        files: item.files,
        size: item.size,
        hazard: super::inbox::is_hazard(item),
        note: show(&item.text),
        stage: stage(item, transfers),
    }
}

fn stage<'t>(item: &ItemRow, mut transfers: impl Iterator<Item = &'t Transfer>) -> Stage {
    match (item.state, item.incoming) {
        (ItemState::Waiting, true) => Stage::ForMe,
        (ItemState::Waiting, false) => Stage::Waiting,
        (ItemState::Accepted, true) => {
            let own = transfers.find(|transfer| item.transfer.as_ref() == Some(&transfer.row.id));
            own.map_or_else(|| Stage::Accepted(show(&item.reason)), fetched)
        }
        (ItemState::Accepted, false) => {
            let takes = |transfer: &&Transfer| transfer.row.direction == Direction::Up && serves(transfer, item);
            transfers
                .find(takes)
                .map_or_else(|| Stage::Accepted(show(&item.reason)), |transfer| sent(transfer, item.size))
        }
        (ItemState::Fulfilled, _) if item.reason.is_empty() => Stage::Done,
        (ItemState::Fulfilled, _) => Stage::Part(show(&item.reason)),
        (ItemState::Declined, _) => Stage::Declined(show(&item.word)),
        (ItemState::Cancelled, _) => Stage::Cancelled,
        (ItemState::Expired, _) => Stage::Expired,
    }
}

fn fetched(transfer: &Transfer) -> Stage {
    let row = &transfer.row;
    match row.state {
        TransferState::Running | TransferState::Finishing => {
            Stage::Moving { percent: transfer.percent(), speed: row.speed }
        }
        TransferState::Done => Stage::Done,
        TransferState::Failed => Stage::Failed(show(&row.reason)),
        TransferState::Cancelled => Stage::Cancelled,
        TransferState::Queued | TransferState::Waiting | TransferState::Paused => {
            Stage::Accepted(if row.reason.is_empty() { "queued".to_owned() } else { show(&row.reason) })
        }
    }
}

/// Whether the other one takes this offer here.
fn serves(transfer: &Transfer, item: &ItemRow) -> bool {
    let row = &transfer.row;
    let path = row.path.to_string_lossy();
    let inside = path.strip_prefix(&item.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    item.to.as_ref() == Some(&row.owner) && inside
}

/// What was sent of so many bytes: no more than all of them, also where some were sent twice.
fn sent(transfer: &Transfer, size: u64) -> Stage {
    let percent = (u128::from(transfer.row.done) * 100).checked_div(u128::from(size)).unwrap_or(0);
    Stage::Moving { percent: u8::try_from(percent.min(99)).unwrap_or(99), speed: transfer.row.speed }
}

/// The card of a file that is offered in a private channel; `transfers` are those that this device knows.
#[must_use]
pub fn of_line<'t>(
    line: &ChannelLineRow,
    file: &ChannelFileRow,
    channel: &Channel,
    mut transfers: impl Iterator<Item = &'t Transfer>,
) -> Card {
    let percent = (u128::from(file.done) * 100).checked_div(u128::from(file.size)).unwrap_or(0);
    let stage = match file.state {
        ChannelFileState::Offered if !channel.is_live() => Stage::Over,
        ChannelFileState::Offered if line.mine => {
            let takes = |transfer: &&Transfer| {
                let row = &transfer.row;
                let is_this = row.path.as_os_str() == file.name.as_str();
                row.direction == Direction::Up && row.owner == channel.row.with && is_this
            };
            transfers.find(takes).map_or(Stage::Waiting, |transfer| sent(transfer, file.size))
        }
        ChannelFileState::Offered => Stage::ForMe,
        ChannelFileState::Fetching => {
            Stage::Moving { percent: u8::try_from(percent.min(100)).unwrap_or(100), speed: 0 }
        }
        ChannelFileState::Fetched => Stage::Done,
        ChannelFileState::Failed => Stage::Failed(show(&file.reason)),
    };
    Card {
        name: show(&file.name),
        files: 1,
        size: file.size,
        hazard: has_hidden(&file.name),
        note: String::new(),
        stage,
    }
}

/// Something that is read before it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub room: Room,
    /// What it is called, cleaned.
    pub name: String,
    /// Since when.
    pub at_ms: i64,
    pub bytes: u64,
    pub bytes_done: u64,
}

/// Its card.
#[must_use]
pub fn of_reading(reading: &Reading) -> Card {
    let percent = (u128::from(reading.bytes_done) * 100).checked_div(u128::from(reading.bytes)).unwrap_or(0);
    Card {
        name: reading.name.clone(),
        files: 0,
        size: reading.bytes,
        hazard: false,
        note: String::new(),
        stage: Stage::Reading(u8::try_from(percent.min(100)).unwrap_or(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{sample, transfers::Transfers};
    use crate::engine::api::{TransferPage, TransferRow};

    fn offer(incoming: bool, state: ItemState) -> ItemRow {
        let item = sample::items().remove(0);
        let (from, to) = if incoming { ("bob", "alice") } else { ("alice", "bob") };
        ItemRow { incoming, from: from.to_owned(), to: Some(to.to_owned()), state, ..item }
    }

    fn with(row: TransferRow) -> Transfers {
        let mut transfers = Transfers::default();
        transfers.apply(TransferPage { restart: true, changed: vec![row], removed: Vec::new() });
        transfers
    }

    fn stage_of(item: &ItemRow, transfers: &Transfers) -> Stage {
        of_item(item, transfers.all.values()).stage
    }

    #[test]
    fn an_offer_says_whose_turn_it_is_and_how_it_ended() {
        let none = Transfers::default();
        assert_eq!(stage_of(&offer(true, ItemState::Waiting), &none), Stage::ForMe);
        assert_eq!(stage_of(&offer(false, ItemState::Waiting), &none), Stage::Waiting);
        assert_eq!(stage_of(&offer(false, ItemState::Fulfilled), &none), Stage::Done);
        let part = ItemRow { reason: "3 of 5 files".to_owned(), ..offer(false, ItemState::Fulfilled) };
        let card = of_item(&part, none.all.values());
        assert_eq!(card.words(true, "bob"), "done: bob took 3 of 5 files");
        assert_eq!(card.words(false, "bob"), "done: 3 of 5 files, verified and here");
        let declined = ItemRow { word: "no room".to_owned(), ..offer(false, ItemState::Declined) };
        let card = of_item(&declined, none.all.values());
        assert_eq!(card.words(true, "bob"), "declined by bob: \"no room\"");
        assert_eq!(card.words(false, "bob"), "declined by you: \"no room\"");
    }

    #[test]
    fn what_is_fetched_moves_with_its_transfer() {
        let row = TransferRow { size: 200, done: 50, speed: 7, ..sample::transfers().remove(0) };
        let item = ItemRow { transfer: Some(row.id.clone()), ..offer(true, ItemState::Accepted) };
        assert_eq!(stage_of(&item, &with(row.clone())), Stage::Moving { percent: 25, speed: 7 });
        let paused = TransferRow { state: TransferState::Paused, reason: "paused by you".to_owned(), ..row };
        assert_eq!(stage_of(&item, &with(paused)), Stage::Accepted("paused by you".to_owned()));
    }

    #[test]
    fn what_is_sent_is_that_of_the_same_name_to_the_same_member() {
        let item = ItemRow { size: 1000, ..offer(false, ItemState::Accepted) };
        let up = TransferRow {
            direction: Direction::Up,
            owner: "bob".to_owned(),
            path: "holiday-photos/beach.jpg".into(),
            done: 400,
            speed: 9,
            ..sample::transfers().remove(0)
        };
        assert_eq!(stage_of(&item, &with(up.clone())), Stage::Moving { percent: 40, speed: 9 });
        let again = TransferRow { done: 4000, ..up.clone() };
        assert_eq!(stage_of(&item, &with(again)), Stage::Moving { percent: 99, speed: 9 });
        for other in [
            TransferRow { owner: "eve".to_owned(), ..up.clone() },
            TransferRow { path: "holiday-photos-2/beach.jpg".into(), ..up },
        ] {
            assert_eq!(stage_of(&item, &with(other)), Stage::Accepted(String::new()));
        }
    }
}
