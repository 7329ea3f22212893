//! Conversations as the screen keeps them: the rooms, the one that is shown, and what is being written.

use std::collections::{BTreeMap, BTreeSet};

use shared::limits::{MESSAGE_DRAFT_BYTES_MAX, TALK_MESSAGES_MAX};

use super::{
    CallId,
    channel::Channel,
    field::Field,
    filter::{FilterMatcher, Subject},
    index::SortBy,
    list::List,
    pane::Pane,
};
use crate::engine::api::{Failure, MessageRow, RoomName, RoomRow};

/// A conversation, by what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// A private channel, by the call that holds it.
    Private(CallId),
    /// One that the engine keeps.
    Kept(RoomName),
}

impl Room {
    /// The room of a member.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::Kept(RoomName::Member(name.to_owned()))
    }
}

/// All conversations.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// In the engine's order: those with something unread first, then the newest.
    pub rooms: Vec<RoomRow>,
    /// Private channels, the newest first. They are kept nowhere else.
    pub channels: Vec<Channel>,
    pub view: View,
    pub pane: Pane<String>,
    /// Lines of the list of rooms.
    pub order: Vec<Room>,
    /// The conversation that is shown.
    pub talk: Option<Talk>,
    /// Whether a small window shows the conversation instead of the rooms.
    pub open: bool,
    /// Whether keys go to the message that is being written.
    pub writing: bool,
    /// What was typed and not sent, by room.
    drafts: BTreeMap<Room, Field>,
    /// When the draft of the shown room is to be kept.
    pub draft_due: Option<i64>,
    /// The card of the conversation that keys are about.
    pub card: Option<String>,
    /// A member with whom nothing was said yet, whose room is shown all the same.
    begun: Option<String>,
    /// Ids of the offers that waited when the rooms were looked at last.
    offers_seen: BTreeSet<String>,
    /// Members with whom something was offered, the newest first. Their rooms are shown too.
    offered: Vec<String>,
}

/// A conversation, its newest part first known.
#[derive(Debug, Clone, PartialEq)]
pub struct Talk {
    pub room: Room,
    /// Oldest first.
    pub messages: Vec<MessageRow>,
    /// When it is to be read.
    pub due: Option<i64>,
    pub call: Option<CallId>,
    /// Messages that the running call has brought.
    pub brought: usize,
    pub failure: Option<Failure>,
    /// The first message that was new when the room was opened, or came while nobody looked.
    pub new_from: Option<String>,
    /// Lines between the end of the conversation and the end of what is shown.
    pub back: usize,
    /// Whether nothing older is to be had.
    pub whole: bool,
    /// When what is shown counts as read.
    pub seen_due: Option<i64>,
}

impl Talk {
    /// A conversation that is yet to be read.
    #[must_use]
    pub const fn new(room: Room, due: i64) -> Self {
        let private = matches!(room, Room::Private(_));
        Self {
            room,
            messages: Vec::new(),
            // What was said in a private channel is nowhere to be read from.
            due: if private { None } else { Some(due) },
            call: None,
            brought: 0,
            failure: None,
            new_from: None,
            back: 0,
            whole: private,
            seen_due: None,
        }
    }

    /// Whether something in it was not read yet.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.messages.iter().any(|message| message.unread)
    }

    /// Notes a message, or how far a known one has come.
    pub fn put(&mut self, row: MessageRow) {
        self.messages.retain(|message| message.id != row.id);
        let after = (row.at_ms, row.id.clone());
        let at = self.messages.partition_point(|message| (message.at_ms, &message.id) < (after.0, &after.1));
        self.messages.insert(at, row);
        if self.messages.len() > TALK_MESSAGES_MAX {
            self.messages.remove(0);
            self.whole = false;
        }
    }
}

/// The views of the rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    All,
    Unread,
}

impl View {
    /// In the order of the views row.
    pub const ALL: [Self; 2] = [Self::All, Self::Unread];

    /// As written in the views row.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::Unread => "Unread",
        }
    }
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            rooms: Vec::new(),
            channels: Vec::new(),
            view: View::default(),
            pane: Pane::new(SortBy::Added),
            order: Vec::new(),
            talk: None,
            open: false,
            writing: false,
            drafts: BTreeMap::new(),
            draft_due: None,
            card: None,
            begun: None,
            offers_seen: BTreeSet::new(),
            offered: Vec::new(),
        }
    }
}

impl Chat {
    /// Takes in the rooms.
    pub fn apply(&mut self, rooms: Vec<RoomRow>) {
        let selected = self.selected().cloned();
        self.rooms = rooms;
        self.add_others();
        self.arrange_around(selected);
    }

    /// Takes in with whom something was offered, the newest first.
    pub fn apply_offered(&mut self, members: Vec<String>) {
        if self.offered != members {
            let selected = self.selected().cloned();
            self.offered = members;
            self.add_others();
            self.arrange_around(selected);
        }
    }

    /// Adds the rooms in which nothing was said yet.
    fn add_others(&mut self) {
        let row = |room| RoomRow { room, account: None, unread: 0, muted: false, last_ms: None, draft: String::new() };
        let is_known = |rooms: &[RoomRow], room: &RoomName| rooms.iter().any(|row| row.room == *room);
        for room in self.offered.iter().map(|name| RoomName::Member(name.clone())) {
            if !is_known(&self.rooms, &room) {
                self.rooms.push(row(room));
            }
        }
        if let Some(room) = self.begun.clone().map(RoomName::Member) {
            match is_known(&self.rooms, &room) {
                true => self.begun = None,
                false => self.rooms.insert(0, row(room)),
            }
        }
    }

    /// Goes to the first room with something unread or with one of these offers, unless there is something in the one
    /// under the cursor. An offer is news once.
    pub fn show_news(&mut self, offers: Vec<(String, Room)>) {
        let seen = std::mem::replace(&mut self.offers_seen, offers.iter().map(|(id, _)| id.clone()).collect());
        let new: Vec<Room> = offers.into_iter().filter(|(id, _)| !seen.contains(id)).map(|(_, room)| room).collect();
        let is_news = |chat: &Self, room: &Room| chat.news_in(room) > 0 || new.contains(room);
        let unread = |chat: &Self, room: Option<&Room>| room.is_some_and(|room| is_news(chat, room));
        if !unread(self, self.selected())
            && let Some(at) = (0..self.order.len()).find(|at| unread(self, self.get(*at)))
        {
            self.pane.list.follow(at);
        }
    }

    /// Who is signed in here is somebody else now, or nobody.
    pub fn forget(&mut self) {
        let view = self.view;
        *self = Self { view, ..Self::default() };
    }

    /// Goes to the room of a member, which may not be one yet.
    pub fn enter(&mut self, name: &str) {
        let room = RoomName::Member(name.to_owned());
        if !self.rooms.iter().any(|row| row.room == room) {
            self.begun = Some(name.to_owned());
            self.add_others();
        }
        self.go_to(Room::Kept(room));
    }

    /// Goes to a room.
    pub fn go_to(&mut self, room: Room) {
        self.view = View::All;
        self.pane.finder.field.clear();
        self.pane.finder.filter = super::filter::Filter::default();
        self.arrange_around(Some(room));
    }

    /// The room in line `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Room> {
        self.order.get(at)
    }

    /// The room under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&Room> {
        self.get(self.pane.list.cursor)
    }

    /// What the engine tells of a room that it keeps.
    #[must_use]
    pub fn row(&self, room: &RoomName) -> Option<&RoomRow> {
        self.rooms.iter().find(|row| row.room == *room)
    }

    /// The private channel that this call holds.
    #[must_use]
    pub fn channel(&self, call: CallId) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.call == call)
    }

    /// The same, to be changed.
    pub fn channel_mut(&mut self, call: CallId) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.call == call)
    }

    /// The private channel that is shown.
    #[must_use]
    pub fn shown_channel(&self) -> Option<&Channel> {
        match self.talk.as_ref()?.room {
            Room::Private(call) => self.channel(call),
            Room::Kept(_) => None,
        }
    }

    /// Takes a private channel off the list, with everything that was said in it.
    pub fn close_channel(&mut self, call: CallId) {
        self.channels.retain(|channel| channel.call != call);
        self.drafts.remove(&Room::Private(call));
        if self.talk.as_ref().is_some_and(|talk| talk.room == Room::Private(call)) {
            (self.talk, self.writing, self.card, self.open) = (None, false, None, false);
        }
        self.arrange();
    }

    /// What a room is called, as it came; names of members never begin with a `#`.
    #[must_use]
    pub fn name(&self, room: &Room) -> String {
        match room {
            Room::Kept(room) => room_name(room),
            Room::Private(call) => self.channel(*call).map(|channel| channel.row.with.clone()).unwrap_or_default(),
        }
    }

    /// What was not read in a room, unless it keeps quiet.
    #[must_use]
    pub fn news_in(&self, room: &Room) -> u64 {
        match room {
            Room::Kept(room) => self.row(room).filter(|row| !row.muted).map_or(0, |row| row.unread),
            Room::Private(call) => self.channel(*call).map_or(0, |channel| channel.unread),
        }
    }

    /// How many rooms a view has.
    #[must_use]
    pub fn count(&self, view: View) -> usize {
        match view {
            View::All => self.rooms.len() + self.channels.len(),
            View::Unread => {
                let kept = self.rooms.iter().filter(|room| room.unread > 0).count();
                kept + self.channels.iter().filter(|channel| channel.unread > 0).count()
            }
        }
    }

    /// Messages that were not read, in rooms that may make themselves noticed.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let kept: u64 = self.rooms.iter().filter(|room| !room.muted).map(|room| room.unread).sum();
        kept + self.channels.iter().map(|channel| channel.unread).sum::<u64>()
    }

    /// Whether a room keeps quiet.
    #[must_use]
    pub fn is_muted(&self, room: &RoomName) -> bool {
        self.rooms.iter().any(|row| row.room == *room && row.muted)
    }

    /// Goes to another view.
    pub fn show(&mut self, view: View) {
        if self.view != view {
            self.view = view;
            self.pane.list = List::default();
            self.arrange();
        }
    }

    /// Makes the order again; the cursor follows its room.
    pub fn arrange(&mut self) {
        let selected = self.selected().cloned();
        self.arrange_around(selected);
    }

    fn arrange_around(&mut self, selected: Option<Room>) {
        let mut matcher = FilterMatcher::new();
        let shown = self.talk.as_ref().map(|talk| &talk.room);
        let keep = |room: &Room| {
            let name = self.name(room);
            let subject = Subject { text: &name, name: &name, size: 0, owner: &name, have: None, online: false };
            let unread = match room {
                Room::Kept(room) => self.row(room).map_or(0, |row| row.unread),
                Room::Private(_) => self.news_in(room),
            };
            // A room does not vanish under the eyes of whoever reads it.
            let in_view = self.view == View::All || unread > 0 || shown == Some(room);
            in_view && self.pane.finder.filter.score(&subject, &mut matcher).is_some()
        };
        let private = self.channels.iter().map(|channel| Room::Private(channel.call));
        let all = private.chain(self.rooms.iter().map(|row| Room::Kept(row.room.clone())));
        self.order = all.filter(keep).collect();
        let again = selected.and_then(|room| self.order.iter().position(|other| *other == room));
        if let Some(at) = again {
            self.pane.list.follow(at);
        }
    }

    /// What is typed in the room that is shown.
    #[must_use]
    pub fn draft(&self) -> Option<&Field> {
        self.drafts.get(&self.talk.as_ref()?.room)
    }

    /// The same, to be typed into; begins with what was kept.
    pub fn draft_mut(&mut self) -> Option<&mut Field> {
        let room = self.talk.as_ref()?.room.clone();
        let kept = match &room {
            Room::Kept(room) => self.row(room).map(|row| row.draft.clone()).unwrap_or_default(),
            Room::Private(_) => String::new(),
        };
        Some(self.drafts.entry(room).or_insert_with(|| {
            let mut field = Field::lines(MESSAGE_DRAFT_BYTES_MAX);
            field.set(&kept);
            field
        }))
    }

    /// Puts a text back that could not be sent, where nothing else was typed meanwhile.
    pub fn put_back(&mut self, room: &Room, text: &str) {
        let field = self.drafts.entry(room.clone()).or_insert_with(|| Field::lines(MESSAGE_DRAFT_BYTES_MAX));
        if field.is_empty() {
            field.set(text);
        }
    }
}

/// What a room is called, as it came; names of members never begin so.
#[must_use]
pub fn room_name(room: &RoomName) -> String {
    match room {
        RoomName::Everyone => "#all".to_owned(),
        RoomName::Member(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::api::MessageState;

    fn message(id: &str, at_ms: i64, state: MessageState) -> MessageRow {
        MessageRow {
            id: id.to_owned(),
            room: RoomName::Everyone,
            from: "bob".to_owned(),
            to: None,
            mine: state != MessageState::Received,
            text: "text".to_owned(),
            at_ms,
            state,
            reason: String::new(),
            unread: false,
            item: None,
            unreadable: false,
        }
    }

    #[test]
    fn an_offer_leads_to_its_room_once() {
        let mut chat = Chat::default();
        chat.enter("carol");
        chat.apply_offered(vec!["bob".to_owned()]);
        let (bob, carol) = (Room::of("bob"), Room::of("carol"));
        let first = ("1".to_owned(), bob.clone());
        chat.show_news(vec![first.clone()]);
        assert_eq!(chat.selected(), Some(&bob));
        chat.go_to(carol.clone());
        chat.show_news(vec![first.clone()]);
        assert_eq!(chat.selected(), Some(&carol), "it waits, and is known");
        chat.show_news(vec![first, ("2".to_owned(), bob.clone())]);
        assert_eq!(chat.selected(), Some(&bob));
    }

    #[test]
    fn a_message_stands_once_where_its_time_puts_it() {
        let mut talk = Talk::new(Room::Kept(RoomName::Everyone), 0);
        for (id, at) in [("b", 2), ("a", 1), ("c", 3)] {
            talk.put(message(id, at, MessageState::Received));
        }
        talk.put(message("b", 4, MessageState::Sent));
        let ids: Vec<&str> = talk.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["a", "c", "b"]);
    }

    #[test]
    fn what_is_remembered_on_screen_is_bounded() {
        let mut talk = Talk { whole: true, ..Talk::new(Room::Kept(RoomName::Everyone), 0) };
        for at in 0..=TALK_MESSAGES_MAX {
            talk.put(message(&format!("{at:08}"), i64::try_from(at).unwrap(), MessageState::Received));
        }
        assert_eq!((talk.messages.len(), talk.messages[0].at_ms, talk.whole), (TALK_MESSAGES_MAX, 1, false));
    }
}
