//! Records about messages.

use serde::Serialize;

use crate::{
    cli::out::{Cell, Column, Moment, Record},
    engine::api::{MessageRow, MessageState, RoomName},
};

/// A message.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct MessageRecord {
    id: String,
    pub(in crate::cli) from: String,
    /// `null`: everyone.
    to: Option<String>,
    /// The other member, or `#all`.
    room: String,
    text: String,
    at: Moment,
    /// `waiting`, `sent`, `delivered`, `failed` or `received`.
    state: &'static str,
    /// Why it waits or failed.
    reason: Option<String>,
    mine: bool,
    unread: bool,
    unreadable: bool,
}

impl From<MessageRow> for MessageRecord {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            from: row.from,
            to: row.to,
            room: room_word(&row.room).to_owned(),
            text: row.text,
            at: Moment(row.at_ms),
            state: message_word(row.state),
            reason: Some(row.reason).filter(|reason| !reason.is_empty()),
            mine: row.mine,
            unread: row.unread,
            unreadable: row.unreadable,
        }
    }
}

impl Record for MessageRecord {
    fn kind(&self) -> &'static str {
        "message"
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::text("AT"),
            Column::text("ROOM"),
            Column::text("FROM"),
            Column::text("TEXT"),
            Column::text("STATE"),
            Column::text("REASON").optional(),
            Column::hidden("ID"),
        ];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Time(self.at),
            self.room.as_str().into(),
            self.from.as_str().into(),
            self.text.as_str().into(),
            self.state.into(),
            self.reason.clone().into(),
            Cell::Id(self.id.clone()),
        ]
    }
}

/// What a room is called; names of members never begin so.
pub(in crate::cli) fn room_word(room: &RoomName) -> &str {
    match room {
        RoomName::Everyone => EVERYONE,
        RoomName::Member(name) => name,
    }
}

/// The room of everyone.
pub(in crate::cli) const EVERYONE: &str = "#all";

const fn message_word(state: MessageState) -> &'static str {
    match state {
        MessageState::Waiting => "waiting",
        MessageState::Sent => "sent",
        MessageState::Delivered => "delivered",
        MessageState::Failed => "failed",
        MessageState::Received => "received",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::json_line;

    #[test]
    fn a_message_for_programs_is_one_line_whatever_it_says() {
        let record = MessageRecord::from(MessageRow {
            id: "ab".repeat(16),
            room: RoomName::Everyone,
            from: "bob".to_owned(),
            to: None,
            mine: false,
            text: "two\nlines \u{1b}[31m \u{202e}".to_owned(),
            at_ms: 0,
            state: MessageState::Received,
            reason: String::new(),
            unread: true,
            item: None,
            unreadable: false,
        });
        let line = json_line(record.kind(), &record);
        assert_eq!(
            line,
            format!(
                concat!(
                    r##"{{"v":1,"type":"message","id":"{}","from":"bob","to":null,"room":"#all","##,
                    r#""text":"two\nlines \u001b[31m \u202e","at":"1970-01-01T00:00:00.000Z","state":"received","#,
                    r#""reason":null,"mine":false,"unread":true,"unreadable":false}}"#
                ),
                "ab".repeat(16)
            )
        );
    }
}
