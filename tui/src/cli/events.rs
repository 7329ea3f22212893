//! `swapmeet events`: everything that happens, one record each, until interrupted.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    context::Context,
    out::{Cell, Column, Moment, Record},
    record::{FileRecord, ItemRecord, MemberRecord, MessageRecord, TransferRecord, state_word},
    status::{connection_word, via_word},
    talk::{Ended, Outcome},
};
use crate::engine::{
    api::{Command, Connection, Event, EventKind, NoticeLevel, Update, WishMatch},
    client::engine_gone,
};

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Only events of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    types: Vec<Type>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Type {
    Connection,
    MemberChanged,
    FileShared,
    FileGone,
    TransferChanged,
    CopyStored,
    CopyFailed,
    Notice,
    ItemChanged,
    MessageReceived,
    WishMatched,
}

impl Events {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let mut updates = context.client().await?.call(Command::Events).await;
        while let Some(update) = updates.next().await? {
            let Update::Event(event) = update else { continue };
            let record = EventRecord::from(event);
            if self.types.is_empty() || self.types.contains(&record.what) {
                context.out.line(&record)?;
            }
        }
        Err(Ended::from(engine_gone()))
    }
}

/// An event; its `type` says what happened.
#[derive(Debug, Serialize)]
struct EventRecord {
    #[serde(skip)]
    what: Type,
    #[serde(skip)]
    sentence: String,
    at: Moment,
    #[serde(flatten)]
    body: Body,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Connection {
        state: &'static str,
        rtt_ms: Option<u32>,
        cause: Option<String>,
        retry: Option<Moment>,
        via: Option<&'static str>,
    },
    Member {
        member: MemberRecord,
    },
    File {
        file: Box<FileRecord>,
    },
    Transfer {
        transfer: Box<TransferRecord>,
    },
    Id {
        id: String,
    },
    Failed {
        id: String,
        message: String,
    },
    Notice {
        level: &'static str,
        text: String,
    },
    Item {
        item: Box<ItemRecord>,
    },
    Message {
        message: Box<MessageRecord>,
    },
    Wish {
        wish: String,
        query: String,
        file: Box<FileRecord>,
        transfer: Option<String>,
        reason: String,
    },
}

impl From<Event> for EventRecord {
    fn from(event: Event) -> Self {
        let (what, sentence, body) = match event.what {
            EventKind::Connection { connection } => {
                let (state, via) = (connection_word(&connection), via_word(&connection));
                let (rtt_ms, cause, retry) = match connection {
                    Connection::Online { rtt_ms, .. } => (Some(rtt_ms), None, None),
                    Connection::Offline { cause, retry_ms, .. } => (None, Some(cause), retry_ms.map(Moment)),
                    Connection::SignedOut | Connection::Connecting => (None, None, None),
                };
                let sentence = cause.as_ref().map_or_else(|| state.to_owned(), |cause| format!("{state}: {cause}"));
                (Type::Connection, sentence, Body::Connection { state, rtt_ms, cause, retry, via })
            }
            EventKind::MemberChanged { member } => {
                let sentence = format!("{} {:?}", member.name, member.status).to_lowercase();
                (Type::MemberChanged, sentence, Body::Member { member: member.into() })
            }
            EventKind::FileShared { file } => {
                let sentence = format!("{}/{}", file.owner, file.path);
                (Type::FileShared, sentence, Body::File { file: Box::new((*file).into()) })
            }
            EventKind::FileGone { id } => (Type::FileGone, id.to_string(), Body::Id { id: id.to_string() }),
            EventKind::TransferChanged { transfer } => {
                let sentence = format!("{} {}", transfer.name, state_word(transfer.state));
                (Type::TransferChanged, sentence, Body::Transfer { transfer: Box::new((*transfer).into()) })
            }
            EventKind::CopyStored { id } => (Type::CopyStored, id.to_string(), Body::Id { id: id.to_string() }),
            EventKind::CopyFailed { id, message } => {
                (Type::CopyFailed, format!("{id} {message}"), Body::Failed { id: id.to_string(), message })
            }
            EventKind::Notice { level, text } => {
                (Type::Notice, text.clone(), Body::Notice { level: level_word(level), text })
            }
            EventKind::ItemChanged { item } => {
                let about = if item.name.is_empty() { &item.text } else { &item.name };
                let sentence = format!("{} {}: {about}", item.from, item.state.word());
                (Type::ItemChanged, sentence, Body::Item { item: Box::new((*item).into()) })
            }
            EventKind::MessageReceived { message } => {
                let record = MessageRecord::from(*message);
                let sentence = format!("a message from {}", record.from);
                (Type::MessageReceived, sentence, Body::Message { message: Box::new(record) })
            }
            EventKind::WishMatched { found } => {
                let WishMatch { wish, query, file, transfer, reason } = *found;
                let sentence = format!("{query}: {}/{}", file.owner, file.path);
                let file = Box::new(file.into());
                (Type::WishMatched, sentence, Body::Wish { wish, query, file, transfer, reason })
            }
        };
        Self { what, sentence, at: Moment(event.at_ms), body }
    }
}

impl Record for EventRecord {
    fn kind(&self) -> &'static str {
        match self.what {
            Type::Connection => "connection",
            Type::MemberChanged => "member_changed",
            Type::FileShared => "file_shared",
            Type::FileGone => "file_gone",
            Type::TransferChanged => "transfer_changed",
            Type::CopyStored => "copy_stored",
            Type::CopyFailed => "copy_failed",
            Type::Notice => "notice",
            Type::ItemChanged => "item_changed",
            Type::MessageReceived => "message_received",
            Type::WishMatched => "wish_matched",
        }
    }

    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[Column::text("AT"), Column::text("TYPE"), Column::text("WHAT")];
        COLUMNS
    }

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::Time(self.at), self.kind().into(), self.sentence.as_str().into()]
    }
}

fn level_word(level: NoticeLevel) -> &'static str {
    match level {
        NoticeLevel::Success => "success",
        NoticeLevel::Warning => "warning",
        NoticeLevel::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use shared::id::FileId;

    use super::*;
    use crate::cli::out::json_line;

    #[test]
    fn the_type_of_the_record_is_what_the_filter_names() {
        let event = Event { at_ms: 0, what: EventKind::FileGone { id: FileId([0xab; 16]) } };
        let record = EventRecord::from(event);
        assert_eq!(
            json_line(record.kind(), &record),
            format!(r#"{{"v":1,"type":"file_gone","at":"1970-01-01T00:00:00.000Z","id":"{}"}}"#, "ab".repeat(16))
        );
        for kind in Type::value_variants() {
            let name = kind.to_possible_value().unwrap();
            let record = EventRecord {
                what: *kind,
                sentence: String::new(),
                at: Moment(0),
                body: Body::Id { id: String::new() },
            };
            assert_eq!(name.get_name(), record.kind());
        }
    }

    #[test]
    fn a_lost_connection_says_why_and_when_it_is_tried_again() {
        let connection = Connection::Offline { cause: "no route".to_owned(), retry_ms: Some(1000), tries: 2 };
        let record = EventRecord::from(Event { at_ms: 0, what: EventKind::Connection { connection } });
        let line = json_line(record.kind(), &record);
        assert!(
            line.contains(r#""state":"offline","rtt_ms":null,"cause":"no route","retry":"1970-01-01T00:00:01.000Z""#),
            "{line}"
        );
    }
}
