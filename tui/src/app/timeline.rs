//! What stands in a conversation, in the order of time, and the lines that it takes on screen: messages, the lines of a
//! private channel, and cards of what is offered.

use shared::show::{show, show_text};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    Purpose, State,
    card::{self, Card},
    channel::{Channel, Heard, line_id},
    chat::{Room, Talk},
    field::Field,
    format,
};
use crate::engine::api::{ChannelLineRow, Connection, ItemRow, LineState, MessageRow, MessageState, RoomName};

/// Something in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unlike that of any other in the same conversation.
    pub id: String,
    pub at_ms: i64,
    pub mine: bool,
    /// Who said it, as it came.
    pub from: String,
    pub what: What,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Text {
        /// Cleaned; with its line breaks.
        text: String,
        /// How far it has come.
        state: String,
        tone: Tone,
        /// Whether the text says why it cannot be read.
        unreadable: bool,
    },
    Card(Card),
    /// Said by this program.
    Told(String),
}

/// What a word about a state looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Active,
    Warning,
    Bad,
}

/// A line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// What follows was said on this day.
    Day(String),
    /// What follows is new.
    New,
    /// Said by this program.
    Told(String),
    /// Part of a message.
    Text {
        /// In its first line.
        head: Option<Head>,
        text: String,
        unreadable: bool,
        /// How far the message has come, at the end of its last line.
        state: String,
        tone: Tone,
    },
    /// Part of a card.
    Card {
        id: String,
        head: Option<Head>,
        /// What moves is shown as a bar before the text, in percent.
        bar: Option<u8>,
        text: String,
        tone: Tone,
    },
}

/// Who said something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub at_ms: i64,
    pub mine: bool,
    /// As it came.
    pub from: String,
}

impl State {
    /// What stands in the conversation that is shown.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let Some(talk) = &self.chat.talk else { return Vec::new() };
        let mut entries = match &talk.room {
            Room::Private(call) => self.chat.channel(*call).map(|channel| self.of_channel(channel)).unwrap_or_default(),
            Room::Kept(room) => self.kept_entries(talk, room),
        };
        let me = self.me().map(|me| me.name.clone()).unwrap_or_default();
        let reading = self.calls.iter().filter_map(|(call, purpose)| match purpose {
            Purpose::Offering(reading) if reading.room == talk.room => Some(Entry {
                id: format!("reading {}", call.0),
                at_ms: reading.at_ms,
                mine: true,
                from: me.clone(),
                what: What::Card(card::of_reading(reading)),
            }),
            _ => None,
        });
        entries.extend(reading);
        entries
    }

    fn kept_entries(&self, talk: &Talk, room: &RoomName) -> Vec<Entry> {
        let offline = !matches!(self.connection, Connection::Online { .. });
        let mut entries: Vec<Entry> = talk.messages.iter().map(|message| of_message(message, offline)).collect();
        entries.extend(self.offers(talk, room).rev());
        // Messages stand in their order already.
        entries.sort_by_key(|entry| entry.at_ms);
        entries
    }

    /// What the two offered each other, newest first.
    fn offers(&self, talk: &Talk, room: &RoomName) -> impl DoubleEndedIterator<Item = Entry> {
        // What is older than the oldest message that was read comes when that is.
        let begins = match (talk.whole || talk.failure.is_some(), talk.messages.first()) {
            (true, _) => i64::MIN,
            (false, Some(first)) => first.at_ms,
            (false, None) => i64::MAX,
        };
        let between = move |item: &&ItemRow| match room {
            RoomName::Member(member) => item.created_ms >= begins && card::is_between(item, member),
            RoomName::Everyone => false,
        };
        self.inbox.all.iter().filter(between).map(|item| Entry {
            id: item.id.clone(),
            at_ms: item.created_ms,
            mine: !item.incoming,
            from: item.from.clone(),
            what: What::Card(card::of_item(item, self.transfers.all.values())),
        })
    }

    fn of_channel(&self, channel: &Channel) -> Vec<Entry> {
        let entries = channel.heard.iter().enumerate().map(|(at, heard)| match heard {
            Heard::Told { at_ms, text } => Entry {
                id: format!("told {at}"),
                at_ms: *at_ms,
                mine: false,
                from: String::new(),
                what: What::Told(text.clone()),
            },
            Heard::Line(line) => self.of_line(line, channel),
        });
        entries.collect()
    }

    fn of_line(&self, line: &ChannelLineRow, channel: &Channel) -> Entry {
        let what = match &line.file {
            Some(file) => What::Card(card::of_line(line, file, channel, self.transfers.all.values())),
            None => {
                let (state, tone) = match line.state {
                    LineState::Sent if !channel.is_live() => ("not known to have come", Tone::Warning),
                    LineState::Sent => ("sent", Tone::Plain),
                    LineState::Delivered => ("delivered", Tone::Good),
                    LineState::Received => ("", Tone::Plain),
                };
                What::Text { text: show_text(&line.text), state: state.to_owned(), tone, unreadable: false }
            }
        };
        Entry { id: line_id(line), at_ms: line.at_ms, mine: line.mine, from: line.from.clone(), what }
    }

    /// The cards of the conversation that is shown, oldest first, without those that are no more than being read.
    #[must_use]
    pub fn cards(&self) -> Vec<(String, Card)> {
        let Some(talk) = &self.chat.talk else { return Vec::new() };
        let entries: Vec<Entry> = match &talk.room {
            Room::Kept(room) => self.offers(talk, room).rev().collect(),
            Room::Private(call) => {
                let Some(channel) = self.chat.channel(*call) else { return Vec::new() };
                channel.lines().filter(|line| line.file.is_some()).map(|line| self.of_line(line, channel)).collect()
            }
        };
        let cards = entries.into_iter().filter_map(|entry| match entry.what {
            What::Card(card) => Some((entry.id, card)),
            What::Text { .. } | What::Told(_) => None,
        });
        cards.collect()
    }

    /// The lines of the conversation that is shown, in so many columns of text.
    #[must_use]
    pub fn talk_lines(&self, width: usize) -> Vec<Line> {
        let Some(talk) = &self.chat.talk else { return Vec::new() };
        let with = show(&self.chat.name(&talk.room));
        let mut lines = Vec::new();
        let mut day = String::new();
        for entry in self.entries() {
            let of = format::day(entry.at_ms, &self.setup.zone);
            if of != day {
                lines.push(Line::Day(of.clone()));
                day = of;
            }
            if talk.new_from.as_deref() == Some(entry.id.as_str()) {
                lines.push(Line::New);
            }
            lay_out(entry, &with, width, &mut lines);
        }
        lines
    }
}

fn of_message(message: &MessageRow, offline: bool) -> Entry {
    let tone = match message.state {
        MessageState::Failed => Tone::Bad,
        MessageState::Waiting => Tone::Warning,
        MessageState::Delivered => Tone::Good,
        MessageState::Sent | MessageState::Received => Tone::Plain,
    };
    Entry {
        id: message.id.clone(),
        at_ms: message.at_ms,
        mine: message.mine,
        from: message.from.clone(),
        what: What::Text {
            text: show_text(&message.text),
            state: state_words(message, offline),
            tone,
            unreadable: message.unreadable,
        },
    }
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

fn lay_out(entry: Entry, with: &str, width: usize, lines: &mut Vec<Line>) {
    let mut head = Some(Head { at_ms: entry.at_ms, mine: entry.mine, from: entry.from });
    match entry.what {
        What::Told(text) => lines.extend(wrap(&text, width).into_iter().map(Line::Told)),
        What::Text { text, state, tone, unreadable } => {
            let mut texts = wrap(&text, width);
            let last = texts.last().map_or(0, |text| format::width(text));
            if !state.is_empty() && last + 2 + format::width(&state) > width {
                texts.push(String::new());
            }
            let end = texts.len() - 1;
            lines.extend(texts.into_iter().enumerate().map(|(at, text)| {
                let state = if at == end { format::cut_end(&state, width, "…") } else { String::new() };
                Line::Text { head: head.take(), text, unreadable, state, tone }
            }));
        }
        What::Card(card) => {
            let mut push = |bar, text: String, tone| {
                lines.push(Line::Card { id: entry.id.clone(), head: head.take(), bar, text, tone });
            };
            push(None, format::cut_middle(&format!("[file] {}", card.title()), width, "…"), Tone::Plain);
            if !card.note.is_empty() {
                push(None, format::cut_end(&format!("\"{}\"", card.note), width, "…"), Tone::Plain);
            }
            let room = width.saturating_sub(card.bar().map_or(0, |_| BAR + 1));
            push(card.bar(), format::cut_end(&card.words(entry.mine, with), room, "…"), card.tone());
        }
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

/// Columns of the bar of what moves.
pub const BAR: usize = 10;

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
}
