//! Conversations as the screen keeps them: the rooms, the one that is shown, and what is being written.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use shared::{
    limits::{MESSAGE_DRAFT_BYTES_MAX, TALK_MESSAGES_MAX},
    show::{show, show_text},
};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    CallId,
    field::Field,
    filter::{FilterMatcher, Subject},
    format,
    index::SortBy,
    list::List,
    pane::Pane,
};
use crate::engine::api::{Failure, MessageRow, MessageState, RoomName, RoomRow};

/// All conversations.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// In the engine's order: those with something unread first, then the newest.
    pub rooms: Vec<RoomRow>,
    pub view: View,
    pub pane: Pane<String>,
    /// Lines of the list of rooms.
    pub order: Vec<usize>,
    /// The conversation that is shown.
    pub talk: Option<Talk>,
    /// Whether a small window shows the conversation instead of the rooms.
    pub open: bool,
    /// Whether keys go to the message that is being written.
    pub writing: bool,
    /// What was typed and not sent, by room.
    drafts: BTreeMap<RoomName, Field>,
    /// When the draft of the shown room is to be kept.
    pub draft_due: Option<i64>,
    /// A member with whom nothing was said yet, whose room is shown all the same.
    begun: Option<String>,
}

/// A conversation, its newest part first known.
#[derive(Debug, Clone, PartialEq)]
pub struct Talk {
    pub room: RoomName,
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
    pub const fn new(room: RoomName, due: i64) -> Self {
        Self {
            room,
            messages: Vec::new(),
            due: Some(due),
            call: None,
            brought: 0,
            failure: None,
            new_from: None,
            back: 0,
            whole: false,
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

    /// The lines of the conversation in so many columns of text.
    #[must_use]
    pub fn lines(&self, width: usize, offline: bool, zone: &TimeZone) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        let mut day = String::new();
        for message in &self.messages {
            let of = format::day(message.at_ms, zone);
            if of != day {
                lines.push(Line::Day(of.clone()));
                day = of;
            }
            if self.new_from.as_deref() == Some(message.id.as_str()) {
                lines.push(Line::New);
            }
            text_lines(message, width, offline, &mut lines);
        }
        lines
    }
}

/// A line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// What follows was said on this day.
    Day(String),
    /// What follows is new.
    New,
    /// Part of a message.
    Text {
        message: &'a MessageRow,
        /// Whether it is the message's first line.
        first: bool,
        text: String,
        /// How far the message has come, at the end of its last line.
        state: String,
    },
}

fn text_lines<'a>(message: &'a MessageRow, width: usize, offline: bool, lines: &mut Vec<Line<'a>>) {
    let state = state_words(message, offline);
    let mut texts = wrap(&show_text(&message.text), width);
    let last = texts.last().map_or(0, |text| format::width(text));
    if !state.is_empty() && last + 2 + format::width(&state) > width {
        texts.push(String::new());
    }
    let end = texts.len() - 1;
    lines.extend(texts.into_iter().enumerate().map(|(at, text)| {
        let state = if at == end { format::cut_end(&state, width, "…") } else { String::new() };
        Line::Text { message, first: at == 0, text, state }
    }));
}

/// How far an own message has come, in words.
fn state_words(message: &MessageRow, offline: bool) -> String {
    let reason = show(&message.reason);
    match (message.state, message.mine) {
        (_, false) | (MessageState::Received, true) => String::new(),
        (MessageState::Waiting, true) if offline => "waiting: offline".to_owned(),
        (MessageState::Waiting, true) if reason.is_empty() => "waiting".to_owned(),
        (MessageState::Waiting, true) => format!("waiting: {reason}"),
        (MessageState::Sent, true) => "sent".to_owned(),
        (MessageState::Delivered, true) => "delivered".to_owned(),
        (MessageState::Failed, true) => format!("failed: {reason} (r sends it again)"),
    }
}

/// Lines of at most `width` columns: line breaks stay, longer lines are broken at blanks, longer words anywhere.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(2);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let paragraph = paragraph.replace('\t', "    ");
        let (mut line, mut columns) = (String::new(), 0);
        for word in paragraph.split_word_bounds() {
            let wide = format::width(word);
            if columns + wide > width && columns > 0 {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                columns = 0;
                if word.trim().is_empty() {
                    continue;
                }
            }
            for grapheme in word.graphemes(true) {
                let wide = format::width(grapheme);
                if columns + wide > width {
                    lines.push(std::mem::take(&mut line));
                    columns = 0;
                }
                line.push_str(grapheme);
                columns += wide;
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// What is typed, in lines of at most `width` columns, and the line and column of the cursor.
#[must_use]
pub fn typed_lines(field: &Field, width: usize) -> (Vec<String>, (usize, usize)) {
    let width = width.max(2);
    let at = field.before_cursor().len();
    let (mut lines, mut columns, mut cursor) = (vec![String::new()], 0, (0, 0));
    for (start, grapheme) in field.text().grapheme_indices(true) {
        let wide = format::width(grapheme);
        if grapheme != "\n" && columns + wide > width {
            lines.push(String::new());
            columns = 0;
        }
        if start == at {
            cursor = (lines.len() - 1, columns);
        }
        if grapheme == "\n" {
            lines.push(String::new());
            columns = 0;
        } else if let Some(line) = lines.last_mut() {
            line.push_str(grapheme);
            columns += wide;
        }
    }
    if at == field.text().len() {
        cursor = (lines.len() - 1, columns);
    }
    (lines, cursor)
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
            view: View::default(),
            pane: Pane::new(SortBy::Added),
            order: Vec::new(),
            talk: None,
            open: false,
            writing: false,
            drafts: BTreeMap::new(),
            draft_due: None,
            begun: None,
        }
    }
}

impl Chat {
    /// Takes in the rooms.
    pub fn apply(&mut self, rooms: Vec<RoomRow>) {
        let selected = self.selected().map(|room| room.room.clone());
        self.rooms = rooms;
        self.add_begun();
        self.arrange_around(selected);
    }

    fn add_begun(&mut self) {
        let Some(name) = &self.begun else { return };
        let room = RoomName::Member(name.clone());
        if self.rooms.iter().any(|row| row.room == room) {
            self.begun = None;
            return;
        }
        let row = RoomRow { room, account: None, unread: 0, muted: false, last_ms: None, draft: String::new() };
        self.rooms.insert(0, row);
    }

    /// Goes to the first room with something unread, unless there is something in the one under the cursor.
    pub fn show_news(&mut self) {
        let unread = |room: Option<&RoomRow>| room.is_some_and(|room| room.unread > 0 && !room.muted);
        if !unread(self.selected())
            && let Some(at) = (0..self.order.len()).find(|at| unread(self.get(*at)))
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
            self.add_begun();
        }
        self.view = View::All;
        self.pane.finder.field.clear();
        self.pane.finder.filter = super::filter::Filter::default();
        self.arrange_around(Some(room));
    }

    /// The room in line `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&RoomRow> {
        self.rooms.get(*self.order.get(at)?)
    }

    /// The room under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&RoomRow> {
        self.get(self.pane.list.cursor)
    }

    /// How many rooms a view has.
    #[must_use]
    pub fn count(&self, view: View) -> usize {
        match view {
            View::All => self.rooms.len(),
            View::Unread => self.rooms.iter().filter(|room| room.unread > 0).count(),
        }
    }

    /// Messages that were not read, in rooms that may make themselves noticed.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.rooms.iter().filter(|room| !room.muted).map(|room| room.unread).sum()
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
        let selected = self.selected().map(|room| room.room.clone());
        self.arrange_around(selected);
    }

    fn arrange_around(&mut self, selected: Option<RoomName>) {
        let mut matcher = FilterMatcher::new();
        let shown = self.talk.as_ref().map(|talk| &talk.room);
        let keep = |at: &usize| {
            let room = &self.rooms[*at];
            let name = room_name(&room.room);
            let subject = Subject { text: &name, name: &name, size: 0, owner: &name, have: None, online: false };
            // A room does not vanish under the eyes of whoever reads it.
            let in_view = self.view == View::All || room.unread > 0 || shown == Some(&room.room);
            in_view && self.pane.finder.filter.score(&subject, &mut matcher).is_some()
        };
        self.order = (0..self.rooms.len()).filter(keep).collect();
        let again = selected.and_then(|room| self.order.iter().position(|at| self.rooms[*at].room == room));
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
        let kept = self.rooms.iter().find(|row| row.room == room).map(|row| row.draft.clone()).unwrap_or_default();
        Some(self.drafts.entry(room).or_insert_with(|| {
            let mut field = Field::lines(MESSAGE_DRAFT_BYTES_MAX);
            field.set(&kept);
            field
        }))
    }

    /// Puts a text back that could not be sent, where nothing else was typed meanwhile.
    pub fn put_back(&mut self, room: &RoomName, text: &str) {
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

    #[test]
    fn long_lines_break_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("a\n\n  b\tc", 10), ["a", "", "  b    c"]);
        assert_eq!(wrap("日本語日本語", 5), ["日本", "語日", "本語"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn the_cursor_is_where_typing_goes_on() {
        let mut field = Field::lines(100);
        field.insert("abc\ndef");
        assert_eq!(typed_lines(&field, 10), (vec!["abc".to_owned(), "def".to_owned()], (1, 3)));
        field.start();
        assert_eq!(typed_lines(&field, 2).1, (0, 0));
        field.end();
        assert_eq!(typed_lines(&field, 2), (["ab", "c", "de", "f"].map(str::to_owned).to_vec(), (3, 1)));
    }

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
    fn a_message_stands_once_where_its_time_puts_it() {
        let mut talk = Talk::new(RoomName::Everyone, 0);
        for (id, at) in [("b", 2), ("a", 1), ("c", 3)] {
            talk.put(message(id, at, MessageState::Received));
        }
        talk.put(message("b", 4, MessageState::Sent));
        let ids: Vec<&str> = talk.messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["a", "c", "b"]);
    }

    #[test]
    fn what_is_remembered_on_screen_is_bounded() {
        let mut talk = Talk { whole: true, ..Talk::new(RoomName::Everyone, 0) };
        for at in 0..=TALK_MESSAGES_MAX {
            talk.put(message(&format!("{at:08}"), i64::try_from(at).unwrap(), MessageState::Received));
        }
        assert_eq!((talk.messages.len(), talk.messages[0].at_ms, talk.whole), (TALK_MESSAGES_MAX, 1, false));
    }
}
