//! What faces ask about messages, and what they are told.

use serde::{Deserialize, Serialize};
use shared::id::AccountId;

/// What to do about messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatCommand {
    /// Sends a message: one [`super::Update::Message`] as soon as it is noted here; it is sent when the tracker is
    /// there, even if the face has left by then.
    Send { room: RoomName, text: String },
    /// Sends a failed message again: one [`super::Update::Message`].
    Retry { id: String },
    /// The rooms, as one [`super::Update::Rooms`].
    Rooms,
    /// Messages, oldest first, as [`super::Update::Message`]s: those of one room or of all, at most `limit` of the
    /// newest before the message `before`, if one is named.
    Read { room: Option<RoomName>, unread: bool, before: Option<String>, limit: u32 },
    /// A person has seen this room up to this message.
    Seen { room: RoomName, up_to: String },
    /// Whether a room makes itself noticed.
    Mute { room: RoomName, muted: bool },
    /// What a person has typed in a room and not sent yet; kept over restarts.
    Draft { room: RoomName, text: String },
    /// Every message from now on, as [`super::Update::Message`], also when its state changes. Ends when the face leaves.
    Follow,
    /// Waits until the tracker has a message, or it failed, or the tracker cannot be reached now: a
    /// [`super::Update::Message`] whenever something about it changes, the last one as it is then.
    Wait { id: String },
    /// Waits until what waits at the tracker is here, or the tracker cannot be reached now. Nothing is answered.
    Settle,
    /// Like [`ChatCommand::Send`], under an id of the face's choice (32 hexadecimal digits): however often it is asked, as
    /// over two engines of which one was killed, it is one message.
    SendOnce { id: String, room: RoomName, text: String },
}

/// A room, by what a person calls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomName {
    /// Every member: `#all`.
    Everyone,
    /// One member, by name.
    Member(String),
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRow {
    pub room: RoomName,
    /// `None` for everyone.
    pub account: Option<AccountId>,
    pub unread: u64,
    pub muted: bool,
    /// Milliseconds since 1970; `None` while nothing was said.
    pub last_ms: Option<i64>,
    /// What was typed and not sent.
    pub draft: String,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    /// 32 hexadecimal digits.
    pub id: String,
    pub room: RoomName,
    /// The sender's name.
    pub from: String,
    /// The receiver's name; `None` for everyone.
    pub to: Option<String>,
    /// Whether it is mine.
    pub mine: bool,
    /// As it was sent, line breaks included. Comes from another member: show it cleaned.
    pub text: String,
    /// When it was sent, by the tracker's clock; by this device's while it was not. Milliseconds since 1970.
    pub at_ms: i64,
    pub state: MessageState,
    /// Why it failed or waits, for people; may be empty.
    pub reason: String,
    /// Whether a person here has not seen it yet.
    pub unread: bool,
    /// The inbox item that this message is the card of.
    #[serde(default)]
    pub item: Option<String>,
    /// Whether the text says why this device cannot read the message, instead of what was said.
    #[serde(default)]
    pub unreadable: bool,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Noted here, not yet at the tracker.
    Waiting,
    /// The tracker keeps it for its receivers.
    Sent,
    /// A device of the receiver has it.
    Delivered,
    /// It was refused and will not be sent by itself.
    Failed,
    /// It is somebody else's.
    Received,
}
