//! Cards of a conversation: choosing one, answering it, and offering something by dropping or naming it.

use std::path::PathBuf;

use shared::show::show;

use crate::{
    app::{
        Effect, Purpose, State, Tab,
        card::{Card, Reading, Stage},
        chat::Room,
        dropped::{self, Dropped},
        format, inbox,
        layer::{Act, Choice, Dialog, Layer, Page},
        list::Step,
        timeline::Line,
    },
    engine::api::{
        ChannelCommand, Command, Direction, InboxCommand, ItemRow, Offer, RoomName, TransferRow, TransferState,
    },
};

impl State {
    /// Whether keys are about a card.
    #[must_use]
    pub fn at_card(&self) -> bool {
        self.tab == Tab::Chat && self.chat.card.is_some() && !self.chat.writing
    }

    /// Goes to the cards of the conversation: to the newest that waits for an answer, else to the newest.
    pub(in crate::app) fn enter_cards(&mut self) {
        let cards = self.cards();
        let waits = cards.iter().rev().find(|(_, card)| card.stage == Stage::ForMe).or_else(|| cards.last());
        match waits.map(|(id, _)| id.clone()) {
            Some(id) => {
                (self.chat.card, self.chat.open) = (Some(id), true);
                self.show_card();
            }
            None => self.messages.warn(self.now, "nothing was offered here yet; o offers, or drop a file here"),
        }
    }

    /// Goes from card to card.
    pub(in crate::app) fn step_card(&mut self, step: Step) {
        let cards = self.cards();
        let at = cards.iter().position(|(id, _)| self.chat.card.as_ref() == Some(id));
        let last = cards.len().saturating_sub(1);
        let to = match (step, at) {
            (Step::Up, Some(at)) => at.saturating_sub(1),
            (Step::Down, Some(at)) => (at + 1).min(last),
            (Step::First | Step::PageUp, _) => 0,
            (Step::Last | Step::PageDown, _) | (Step::Up | Step::Down, None) => last,
        };
        self.chat.card = cards.get(to).map(|(id, _)| id.clone());
        self.show_card();
    }

    /// Scrolls the chosen card into view.
    pub(in crate::app) fn show_card(&mut self) {
        let (height, width) = self.talk_room();
        let lines = self.talk_lines(width);
        let chosen = |line: &Line| matches!(line, Line::Card { id, .. } if self.chat.card.as_ref() == Some(id));
        let (Some(first), Some(last)) = (lines.iter().position(chosen), lines.iter().rposition(chosen)) else { return };
        let Some(talk) = &mut self.chat.talk else { return };
        let end = lines.len().saturating_sub(talk.back);
        let most = lines.len().saturating_sub(height);
        if last >= end {
            talk.back = lines.len() - 1 - last;
        } else if first + height < end {
            talk.back = lines.len().saturating_sub(first + height);
        }
        talk.back = talk.back.min(most);
    }

    /// The chosen card.
    #[must_use]
    pub fn chosen_card(&self) -> Option<(String, Card)> {
        let chosen = self.chat.card.as_ref()?;
        self.cards().into_iter().find(|(id, _)| id == chosen)
    }

    /// The request, offer or invitation that keys are about.
    #[must_use]
    pub fn item_here(&self) -> Option<&ItemRow> {
        match self.tab {
            Tab::Chat => {
                let chosen = self.chat.card.as_ref()?;
                self.inbox.all.iter().find(|item| item.id == *chosen)
            }
            Tab::Files | Tab::Transfers | Tab::Inbox | Tab::Members => self.inbox.selected(),
        }
    }

    /// Shows what a card stands for: what waits for an answer is asked about, the rest has its details.
    pub(in crate::app) fn open_card(&mut self, effects: &mut Vec<Effect>) {
        let Some((id, card)) = self.chosen_card() else {
            self.chat.card = None;
            return;
        };
        if self.chat.shown_channel().is_some() {
            return self.ask_take_line(&id, &card.stage);
        }
        match self.item_here().cloned() {
            Some(item) if inbox::waits(&item) => self.open_taking(item, effects),
            Some(_) => self.layers.push(Layer::Page(Page::default())),
            None => {}
        }
    }

    /// Says yes, which for a file of a private channel means to take it.
    pub(in crate::app) fn accept_card(&mut self, effects: &mut Vec<Effect>) {
        match (self.chat.shown_channel().is_some(), self.chosen_card()) {
            (true, Some((id, card))) => self.ask_take_line(&id, &card.stage),
            (_, _) => self.say_yes(effects),
        }
    }

    /// Says no to what others offer, and takes back what this member does.
    pub(in crate::app) fn refuse_card(&mut self) {
        if self.chat.shown_channel().is_some() {
            self.messages.warn(self.now, "it is offered as long as the channel lasts: leave it, or Esc and x ends all");
        } else if self.item_here().is_some_and(|item| !item.incoming) {
            self.ask_take_back();
        } else {
            self.say_no();
        }
    }

    /// Where the file of the chosen card lies, once it is whole.
    #[must_use]
    pub fn card_path(&self) -> Option<PathBuf> {
        if let Some(channel) = self.chat.shown_channel() {
            return channel.line(self.chat.card.as_ref()?)?.file.as_ref()?.local.clone();
        }
        let item = self.item_here().filter(|item| item.incoming)?;
        let is_whole = |row: &TransferRow| {
            let same = (row.size, row.name.as_str(), row.owner.as_str()) == (item.size, &item.name, &item.from);
            let done = (row.direction, row.state) == (Direction::Down, TransferState::Done);
            done && (item.transfer.as_ref() == Some(&row.id) || same)
        };
        let found = self.transfers.all.values().find(|transfer| is_whole(&transfer.row));
        found.map(|transfer| transfer.row.path.clone())
    }

    /// Looks whether a paste into a conversation is something that was dropped there. Says whether it may be.
    pub(in crate::app) fn weigh_paste(&mut self, text: &str, effects: &mut Vec<Effect>) -> bool {
        let room = match self.chat.talk.as_ref().map(|talk| &talk.room) {
            Some(room @ (Room::Private(_) | Room::Kept(RoomName::Member(_)))) if self.tab == Tab::Chat => room.clone(),
            Some(_) | None => return false,
        };
        if !self.is_bare() || self.finder().editing {
            return false;
        }
        let Some(paths) = dropped::paths(text) else { return false };
        effects.push(Effect::Weigh { room, text: text.to_owned(), paths });
        true
    }

    /// What was pasted is there, or not, in which case it is text.
    pub(in crate::app) fn on_weighed(
        &mut self,
        room: Room,
        text: &str,
        found: Option<Vec<Dropped>>,
        effects: &mut Vec<Effect>,
    ) {
        let here = self.tab == Tab::Chat && self.chat.talk.as_ref().is_some_and(|talk| talk.room == room);
        match found {
            Some(found) if here && self.is_bare() => self.ask_offer(room, text, found),
            Some(_) => self.messages.warn(self.now, "what was dropped is not offered: you went elsewhere meanwhile"),
            None if here && self.writing() => self.paste_into_message(text, effects),
            None => self.messages.warn(self.now, "there is nothing at that path; i writes, and then it is text"),
        }
    }

    /// Asks whether to offer this, before anything is read.
    fn ask_offer(&mut self, room: Room, text: &str, found: Vec<Dropped>) {
        let with = show(&self.chat.name(&room));
        let private = matches!(room, Room::Private(_));
        if private && found.iter().any(|dropped| dropped.folder) {
            self.messages.warn(self.now, "a private channel takes files alone: offer the folder in the other room");
            return;
        }
        if let Room::Private(call) = room
            && let Some(why) = self.not_open(call)
        {
            self.messages.warn(self.now, why);
            return;
        }
        let name = |dropped: &Dropped| match dropped.folder {
            true => format!("{}/", named(dropped)),
            false => format!("{} ({})", named(dropped), format::bytes(dropped.size)),
        };
        let title = match &found[..] {
            [one] => format!("Offer {} to {with}?", format::cut_middle(&name(one), NAME_SHOWN, "…")),
            all => format!("Offer {} things to {with}?", all.len()),
        };
        let mut lines: Vec<String> = found.iter().take(DROPPED_SHOWN).map(name).collect();
        if found.len() > DROPPED_SHOWN {
            lines.push(format!("… and {} more", found.len() - DROPPED_SHOWN));
        }
        lines.push(String::new());
        lines.push(match private {
            true => format!("{with} sees name and size, and takes it straight from this device."),
            false => format!("{with} sees names and sizes first. Nothing is copied or moved here."),
        });
        let paths = found.into_iter().map(|dropped| dropped.path).collect();
        let mut choices =
            vec![Choice::new('n', "do not", Act::Close), Choice::new('y', "offer", Act::Offer { room, paths })];
        if self.writing() {
            choices.push(Choice::new('t', "paste it as text", Act::Paste(text.to_owned())));
        }
        self.layers.push(Layer::Dialog(Dialog::new(title, lines, choices)));
    }

    /// Offers these in a conversation.
    pub(in crate::app) fn offer_in(&mut self, room: &Room, paths: Vec<PathBuf>, effects: &mut Vec<Effect>) {
        let at_ms = self.now;
        for path in paths {
            let name = path.file_name().map(|name| show(&name.to_string_lossy())).unwrap_or_default();
            let reading = Reading { room: room.clone(), name, at_ms, bytes: 0, bytes_done: 0 };
            let command = match room {
                Room::Private(call) => {
                    let channel = self.chat.channel(*call).map(|channel| channel.row.id.clone()).unwrap_or_default();
                    Command::Channel(ChannelCommand::Offer { channel, path })
                }
                Room::Kept(RoomName::Member(name)) => {
                    let to = vec![name.clone()];
                    Command::Inbox(InboxCommand::Offer(Offer { paths: vec![path], to, ..Offer::default() }))
                }
                Room::Kept(RoomName::Everyone) => return,
            };
            self.call(command, Purpose::Offering(Box::new(reading)), effects);
        }
        if let Some(talk) = self.chat.talk.as_mut().filter(|talk| talk.room == *room) {
            talk.back = 0;
        }
    }
}

fn named(dropped: &Dropped) -> String {
    dropped.path.file_name().map(|name| show(&name.to_string_lossy())).unwrap_or_default()
}

/// What was dropped, by name, in the question.
const DROPPED_SHOWN: usize = 5;
/// Columns of a name in the title of the question.
const NAME_SHOWN: usize = 40;
