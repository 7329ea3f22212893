//! Conversations: reading, writing, sending.

use ratatui::layout::Rect;
use shared::{
    limits::{CHANNEL_TEXT_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX, PASTED_LINES_MAX, TALK_MESSAGES_MAX, TALK_PAGE},
    show::show,
};

use crate::{
    app::{
        CallId, Effect, Purpose, State, Tab, chat,
        chat::{Room, Talk, room_name},
        inbox,
        index::Item,
        layer::{Act, Choice, Dialog, Layer},
        layout::{self, Shape},
        list::{List, Step},
        timeline,
    },
    engine::api::{ChatCommand, Command, Failure, MessageRow, MessageState, NoticeLevel, RoomName, RoomRow},
};

impl State {
    /// The engine tells of the rooms.
    pub(in crate::app) fn on_rooms(&mut self, rooms: Vec<RoomRow>) {
        self.chat.apply(rooms);
    }

    /// A message came, or came further.
    pub(in crate::app) fn on_message(&mut self, row: MessageRow, effects: &mut Vec<Effect>) {
        let room = Room::Kept(row.room.clone());
        let looking = self.looking_at(&room);
        if let Some(talk) = self.chat.talk.as_ref().filter(|talk| talk.room == room) {
            let is_new = row.unread && !talk.messages.iter().any(|message| message.id == row.id);
            let begins = is_new && !talk.has_unread() && !looking;
            let before = (talk.back > 0).then(|| self.talk_len());
            let id = row.id.clone();
            if let Some(talk) = &mut self.chat.talk {
                if begins {
                    talk.new_from = Some(id);
                }
                talk.put(row.clone());
            }
            // What is read stays where it is.
            let after = before.map(|before| self.talk_len().saturating_sub(before));
            if let (Some(more), Some(talk)) = (after, &mut self.chat.talk) {
                talk.back += more;
            }
        }
        if row.unread && row.state == MessageState::Received && !self.chat.is_muted(&row.room) {
            let to = if row.room == RoomName::Everyone { " to everyone" } else { "" };
            let text = format!("message from {}{to}", show(&row.from));
            if !looking {
                self.messages.say(self.now, NoticeLevel::Success, text.clone(), "5 shows it");
            }
            self.notify(&room_name(&row.room), text, effects);
        }
    }

    /// A part of the conversation that was asked for.
    pub(in crate::app) fn on_read(&mut self, call: CallId, row: MessageRow) {
        if let Some(talk) = self.chat.talk.as_mut().filter(|talk| talk.call == Some(call)) {
            talk.brought += 1;
            talk.put(row);
        }
    }

    pub(in crate::app) fn read_ended(&mut self, call: CallId, result: Result<(), Failure>) {
        let Some(talk) = self.chat.talk.as_mut().filter(|talk| talk.call == Some(call)) else { return };
        talk.call = None;
        match result {
            Ok(()) => {
                talk.whole = talk.brought < TALK_PAGE as usize;
                if talk.new_from.is_none() {
                    talk.new_from = talk.messages.iter().find(|message| message.unread).map(|row| row.id.clone());
                }
            }
            Err(failure) => talk.failure = Some(failure),
        }
    }

    /// What was said may have been missed: reads the conversation again.
    pub(in crate::app) fn read_again(&mut self) {
        let now = self.now;
        if let Some(talk) = self.chat.talk.as_mut().filter(|talk| matches!(talk.room, Room::Kept(_))) {
            talk.due = Some(now);
        }
    }

    /// Whether somebody sees the newest of this room now.
    pub(in crate::app) fn looking_at(&self, room: &Room) -> bool {
        let at_end = self.chat.talk.as_ref().is_some_and(|talk| talk.room == *room && talk.back == 0);
        at_end && self.focused && self.tab == Tab::Chat && self.talk_area().is_some() && self.is_bare()
    }

    /// Whether nothing lies over the panes.
    pub(in crate::app) fn is_bare(&self) -> bool {
        self.layers.is_empty() && self.gate.is_none()
    }

    /// Where the conversation is, when it is on screen.
    #[must_use]
    pub fn talk_area(&self) -> Option<Rect> {
        let areas = self.areas();
        match areas.shape {
            Shape::TooSmall => None,
            Shape::Pocket => self.chat.open.then_some(areas.list),
            Shape::Narrow | Shape::Strip | Shape::Split => Some(layout::beside(&areas, self.size.0)),
        }
    }

    /// The lines that have room in the conversation, and the columns of its text.
    pub(in crate::app) fn talk_room(&self) -> (usize, usize) {
        let area = self.talk_area().unwrap_or_default();
        let typed = usize::from(self.composer_height(area));
        let titled = usize::from(self.areas().shape == Shape::Pocket);
        let pinned = self.pinned(area).len();
        (usize::from(area.height).saturating_sub(typed + titled + pinned), text_width(area))
    }

    /// What stays above the conversation however far back it is read: the key words of a private channel.
    #[must_use]
    pub fn pinned(&self, area: Rect) -> Vec<String> {
        match self.chat.shown_channel() {
            Some(channel) if !channel.row.words.is_empty() => {
                let words = format!("key words: {}", show(&channel.row.words.join(" ")));
                timeline::wrap(&words, usize::from(area.width).saturating_sub(2))
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Lines of what is being written.
    #[must_use]
    pub fn composer_height(&self, area: Rect) -> u16 {
        let draft = self.chat.draft().filter(|field| self.chat.writing || !field.is_empty());
        let Some(field) = draft else { return u16::from(self.chat.writing) };
        let width = usize::from(area.width).saturating_sub(layout::TALK_INDENT + 2);
        let lines = timeline::typed_lines(field, width).0.len();
        u16::try_from(lines.clamp(1, COMPOSER_LINES)).unwrap_or(1).min(area.height.saturating_sub(1))
    }

    pub(in crate::app) fn talk_len(&self) -> usize {
        self.talk_lines(self.talk_room().1).len()
    }

    /// Scrolls the conversation, and asks for what is older at its beginning.
    pub(in crate::app) fn scroll_talk(&mut self, lines: isize, effects: &mut Vec<Effect>) {
        let (height, _) = self.talk_room();
        let most = self.talk_len().saturating_sub(height);
        let now = self.now;
        let Some(talk) = &mut self.chat.talk else { return };
        let (before, back) = (talk.back, talk.back.saturating_add_signed(-lines));
        talk.back = back.min(most);
        if lines > 0 {
            if before == 0 {
                self.messages.warn(now, "this is the newest");
            }
            return;
        }
        if back <= most || talk.call.is_some() {
            return;
        }
        match talk.messages.first().map(|message| message.id.clone()) {
            Some(before) if !talk.whole && talk.messages.len() < TALK_MESSAGES_MAX => self.read(Some(before), effects),
            Some(_) if !talk.whole => {
                self.messages.warn(now, "what is older is told by `swapmeet chat read NAME --last 2000`");
            }
            Some(_) | None => self.messages.warn(now, "this is the beginning"),
        }
    }

    /// Pages through the conversation. Says whether this step is one.
    pub(in crate::app) fn page_talk(&mut self, step: Step, effects: &mut Vec<Effect>) -> bool {
        if self.tab != Tab::Chat || !self.is_bare() {
            return false;
        }
        if self.at_card() && !matches!(step, Step::PageDown | Step::PageUp) {
            self.step_card(step);
            return true;
        }
        let page = isize::try_from(self.talk_room().0.saturating_sub(1).max(1)).unwrap_or(1);
        let reading = self.chat.writing || self.talk_area() == Some(self.areas().list);
        match step {
            Step::PageDown => self.scroll_talk(page, effects),
            Step::PageUp => self.scroll_talk(-page, effects),
            Step::Down if reading => self.scroll_talk(1, effects),
            Step::Up if reading => self.scroll_talk(-1, effects),
            Step::First if reading => self.scroll_talk(isize::MIN / 2, effects),
            Step::Last if reading => self.scroll_talk(isize::MAX / 2, effects),
            Step::Down | Step::Up | Step::First | Step::Last => return false,
        }
        true
    }

    fn read(&mut self, before: Option<String>, effects: &mut Vec<Effect>) {
        let Some(Room::Kept(room)) = self.chat.talk.as_ref().map(|talk| talk.room.clone()) else { return };
        let command = ChatCommand::Read { room: Some(room), unread: false, before, limit: TALK_PAGE };
        let call = self.call(Command::Chat(command), Purpose::Read, effects);
        if let Some(talk) = &mut self.chat.talk {
            (talk.due, talk.call, talk.brought, talk.failure) = (None, Some(call), 0, None);
        }
    }

    /// After every event: reads what is shown, keeps what is typed, and notes what was seen.
    pub(in crate::app) fn settle_chat(&mut self, effects: &mut Vec<Effect>) {
        if self.tab == Tab::Chat {
            let wanted = self.chat.selected().cloned();
            if self.chat.talk.as_ref().map(|talk| &talk.room) != wanted.as_ref() && !self.chat.writing {
                self.keep_draft(effects);
                if let Some(call) = self.chat.talk.take().and_then(|talk| talk.call) {
                    self.forget_call(call, effects);
                }
                let due = self.now + READ_AFTER_MS;
                self.chat.talk = wanted.map(|room| Talk::new(room, due));
                self.chat.card = None;
                self.chat.draft_mut();
            }
        }
        if self.chat.draft_due.is_some_and(|due| due <= self.now) {
            self.keep_draft(effects);
        }
        if self.chat.talk.as_ref().is_some_and(|talk| talk.due.is_some_and(|due| due <= self.now)) {
            if let Some(call) = self.chat.talk.as_mut().and_then(|talk| talk.call.take()) {
                self.forget_call(call, effects);
            }
            self.read(None, effects);
        }
        self.settle_seen(effects);
    }

    /// What was at the end of the conversation, on a screen that somebody looks at, for long enough was seen.
    fn settle_seen(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Some(room) = self.chat.talk.as_ref().map(|talk| talk.room.clone()) else { return };
        let looking = self.looking_at(&room);
        let unread = match &room {
            Room::Kept(_) => self.chat.talk.as_ref().is_some_and(Talk::has_unread),
            Room::Private(call) => self.chat.channel(*call).is_some_and(|channel| channel.unread > 0),
        };
        let Some(talk) = &mut self.chat.talk else { return };
        let due = match (looking && talk.call.is_none() && unread, talk.seen_due) {
            (false, _) => {
                talk.seen_due = None;
                return;
            }
            (true, None) => {
                talk.seen_due = Some(now + SEEN_AFTER_MS);
                return;
            }
            (true, Some(due)) => due,
        };
        if due > now {
            return;
        }
        talk.seen_due = None;
        match room {
            Room::Private(call) => {
                if let Some(channel) = self.chat.channel_mut(call) {
                    channel.unread = 0;
                }
            }
            Room::Kept(room) => {
                let Some(up_to) = talk.messages.last().map(|message| message.id.clone()) else { return };
                for message in &mut talk.messages {
                    message.unread = false;
                }
                self.call(Command::Chat(ChatCommand::Seen { room, up_to }), Purpose::Seen, effects);
            }
        }
    }

    /// Keeps what is typed over restarts.
    fn keep_draft(&mut self, effects: &mut Vec<Effect>) {
        if self.chat.draft_due.take().is_none() {
            return;
        }
        // What is typed for a private channel is kept nowhere.
        let Some(Room::Kept(room)) = self.chat.talk.as_ref().map(|talk| talk.room.clone()) else { return };
        let text = self.chat.draft().map(|field| field.text().to_owned()).unwrap_or_default();
        self.call(Command::Chat(ChatCommand::Draft { room, text }), Purpose::Draft, effects);
    }

    /// Goes into the room under the cursor: to read where only one of both has room, else to write.
    pub(in crate::app) fn open_room(&mut self) {
        if self.areas().shape == Shape::Pocket && !self.chat.open {
            self.chat.open = true;
        } else {
            self.write();
        }
    }

    /// Lets keys go to the message.
    pub(in crate::app) fn write(&mut self) {
        if self.chat.talk.is_none() {
            self.messages.warn(self.now, "there is no room here to write in; m on a member opens one");
            return;
        }
        if self.chat.shown_channel().is_some_and(|channel| !channel.is_live()) {
            self.messages.warn(self.now, CHANNEL_OVER);
            return;
        }
        self.chat.draft_mut();
        (self.chat.writing, self.chat.open, self.chat.card) = (true, true, None);
        if let Some(talk) = &mut self.chat.talk {
            talk.back = 0;
        }
    }

    /// Takes the keys back; what is typed stays.
    pub(in crate::app) fn stop_writing(&mut self) {
        if self.chat.writing {
            self.chat.writing = false;
            self.chat.draft_due = Some(self.now);
        }
    }

    /// The message that is being written has changed.
    pub(in crate::app) fn message_typed(&mut self) {
        self.chat.draft_due = Some(self.now + DRAFT_AFTER_MS);
    }

    /// Sends what is typed.
    pub(in crate::app) fn send(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Some(room) = self.chat.talk.as_ref().map(|talk| talk.room.clone()) else { return };
        let Some(field) = self.chat.draft_mut() else { return };
        let text = field.text().trim().to_owned();
        if text.is_empty() {
            self.messages.warn(now, "there is nothing written yet; Esc goes back");
            return;
        }
        let most = match room {
            Room::Kept(_) => MESSAGE_TEXT_BYTES_MAX,
            Room::Private(_) => CHANNEL_TEXT_BYTES_MAX,
        };
        if text.len() > most {
            let has = text.len();
            self.messages
                .warn(now, format!("it has {has} bytes, a message up to {most}: send it in parts, or as a file"));
            return;
        }
        if let Room::Private(call) = room
            && let Some(why) = self.not_open(call)
        {
            self.messages.warn(now, why);
            return;
        }
        if let Some(field) = self.chat.draft_mut() {
            field.clear();
        }
        if let Some(talk) = &mut self.chat.talk {
            (talk.back, talk.new_from) = (0, None);
        }
        self.chat.draft_due = Some(now);
        let purpose = Purpose::Say { room: room.clone(), text: text.clone() };
        match room {
            Room::Kept(room) => self.call(Command::Chat(ChatCommand::Send { room, text }), purpose, effects),
            Room::Private(call) => self.call(Command::Channel(self.saying(call, text)), purpose, effects),
        };
    }

    /// It could not be sent: it is there to be written again.
    pub(in crate::app) fn not_sent(&mut self, room: &Room, text: &str, failure: &Failure) {
        self.chat.put_back(room, text);
        self.chat.draft_due = Some(self.now);
        self.messages.fail(self.now, "send the message", failure);
    }

    /// Sends the newest message again that failed.
    pub(in crate::app) fn resend(&mut self, effects: &mut Vec<Effect>) {
        let failed = |message: &&MessageRow| message.mine && message.state == MessageState::Failed;
        let talk = self.chat.talk.as_ref();
        match talk.and_then(|talk| talk.messages.iter().rev().find(failed)).map(|message| message.id.clone()) {
            Some(id) => {
                let says = "sending it again".to_owned();
                self.call(Command::Chat(ChatCommand::Retry { id }), Purpose::People { says }, effects);
            }
            None => self.messages.warn(self.now, "no message here has failed"),
        }
    }

    /// Lets a room keep quiet, or be heard again.
    pub(in crate::app) fn mute(&mut self, effects: &mut Vec<Effect>) {
        let row = match self.chat.selected() {
            Some(Room::Kept(room)) => self.chat.row(room),
            Some(Room::Private(_)) => {
                self.messages.warn(self.now, "a private channel is heard as long as it lasts; x leaves it");
                return;
            }
            None => None,
        };
        let Some(row) = row else {
            self.messages.warn(self.now, "there is no room under the cursor");
            return;
        };
        let (room, muted) = (row.room.clone(), !row.muted);
        let name = show(&room_name(&room));
        let says = match muted {
            true => format!("{name} keeps quiet: no notice, and no count"),
            false => format!("{name} is heard again"),
        };
        self.call(Command::Chat(ChatCommand::Mute { room, muted }), Purpose::People { says }, effects);
    }

    /// Begins a message to whom the row under the cursor is about.
    pub(in crate::app) fn write_to(&mut self) {
        let name = match self.tab {
            Tab::Files if self.files.at_shares() => self.me().map(|me| me.name.clone()),
            Tab::Files => self.files.selected().map(|item| match item {
                Item::File(row) => row.owner.to_string(),
                Item::Folder(folder) => folder.owner.to_string(),
            }),
            Tab::Transfers => self.transfers.selected().map(|transfer| transfer.row.owner.clone()),
            Tab::Inbox => self.inbox.selected().and_then(inbox::other).map(str::to_owned),
            Tab::Members => self.members.selected().map(|member| member.name.clone()),
            Tab::Chat => return self.write(),
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            self.messages.warn(self.now, "there is nobody under the cursor to write to");
            return;
        };
        if self.me().is_some_and(|me| me.name == name) {
            self.messages.warn(self.now, "this is yours: there is nobody else to write to");
            return;
        }
        self.stop_writing();
        self.layers.retain(|layer| !matches!(layer, Layer::Page(_)));
        self.show_tab(Tab::Chat);
        self.chat.enter(&name);
        let room = Room::of(&name);
        if self.chat.talk.as_ref().is_none_or(|talk| talk.room != room) {
            self.chat.talk = Some(Talk::new(room, self.now));
            self.chat.card = None;
        }
        self.write();
    }

    /// Completes the name of a member that is begun.
    pub(in crate::app) fn complete_name(&mut self) {
        let now = self.now;
        let Some(before) = self.chat.draft().map(|field| field.before_cursor().to_owned()) else { return };
        let begun = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let bare = begun.strip_prefix('@').unwrap_or(begun).to_lowercase();
        let fits = |name: &str| name.len() > bare.len() && name.to_lowercase().starts_with(&bare);
        let name =
            self.members.all.iter().filter(|member| !member.me).map(|member| &member.name).find(|name| fits(name));
        match (name.cloned(), self.chat.draft_mut()) {
            (Some(name), Some(field)) if !bare.is_empty() => {
                for _ in 0..bare.chars().count() {
                    field.erase_back();
                }
                field.insert(&format!("{name} "));
                self.message_typed();
            }
            _ => self.messages.warn(now, "no member's name begins so"),
        }
    }

    /// A paste into the message. A long one is asked about first; a line break in it never sends.
    pub(in crate::app) fn paste_into_message(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines = text.trim_end_matches('\n').split('\n').count();
        if lines <= PASTED_LINES_MAX {
            self.type_text(&text, effects);
            return;
        }
        let shown = text.lines().take(3).map(show);
        let mut about: Vec<String> = shown.collect();
        about.push(format!("… {lines} lines in all. Nothing is sent before Enter."));
        let choices = vec![
            Choice::new('n', "not now", Act::Close),
            Choice::new('y', "paste them into the message", Act::Paste(text)),
        ];
        self.layers.push(Layer::Dialog(Dialog::new(format!("Paste {lines} lines?"), about, choices)));
    }

    pub(in crate::app) fn show_rooms(&mut self, view: chat::View) {
        self.stop_writing();
        self.chat.show(view);
        self.chat.pane.list = List::default();
    }
}

/// Columns of the text of a conversation.
#[must_use]
pub fn text_width(area: Rect) -> usize {
    usize::from(area.width).saturating_sub(layout::TALK_INDENT + 1).max(8)
}

/// Why nothing is said in a private channel any more.
pub(in crate::app) const CHANNEL_OVER: &str = "this channel is over; c invites again, x closes the room";
/// Time that the cursor rests on a room before it is read, milliseconds.
const READ_AFTER_MS: i64 = 80;
/// Time after which what is shown counts as read, milliseconds.
const SEEN_AFTER_MS: i64 = 1_500;
/// Quiet time after typing before it is kept over restarts, milliseconds.
const DRAFT_AFTER_MS: i64 = 1_000;
/// Lines of a message being written that are shown at a time.
const COMPOSER_LINES: usize = 5;
