//! What faces ask about private channels, and what they are told. A channel lives as long as the call that began it:
//! a face that leaves, leaves its channels.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shared::id::BlobHash;

use super::{PathKind, Target};

/// What to do about a private channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelCommand {
    /// Invites a member, waits for the answer and holds the channel to its end: [`super::Update::Channel`] whenever
    /// something about it changes, [`super::Update::ChannelLine`] for every line that is said or changes. `id` is of the
    /// face's choice, 32 hexadecimal digits; it names the invitation and the channel.
    Open { id: String, member: String, life_s: Option<u64> },
    /// Accepts an invitation and holds the channel, as [`ChannelCommand::Open`] does.
    Join { item: String },
    /// Says something: one [`super::Update::ChannelLine`].
    Say { channel: String, text: String },
    /// Offers a file, once it is hashed: one [`super::Update::ChannelLine`].
    Offer { channel: String, path: PathBuf },
    /// Fetches the file of a line of the other side: one [`super::Update::ChannelLine`], and more in the call that holds
    /// the channel.
    Take { channel: String, number: u64, target: Target },
    /// Leaves, or takes back the invitation. The call that holds the channel ends then.
    Leave { channel: String },
}

/// A private channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRow {
    /// 32 hexadecimal digits, as of the invitation.
    pub id: String,
    /// The other member's name.
    pub with: String,
    pub state: ChannelState,
    /// To be compared with those that the other side shows; empty until the two have met.
    pub words: Vec<String>,
    /// How it runs; `None` until the two have met.
    pub path: Option<PathKind>,
    /// Why it ended; may be empty.
    pub reason: String,
    /// Whether the other member invited this one.
    pub incoming: bool,
}

/// Where a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelState {
    /// The other one has not answered.
    Inviting,
    /// There was a yes; the devices look for each other.
    Connecting,
    Open,
    Ended,
}

/// Something said in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelLineRow {
    /// The channel.
    pub channel: String,
    /// Each side counts its own lines from 1.
    pub number: u64,
    pub mine: bool,
    /// Who said it.
    pub from: String,
    /// Comes from another member: show it cleaned. Empty for a file.
    pub text: String,
    pub file: Option<ChannelFileRow>,
    /// When it was said or came, milliseconds since 1970.
    pub at_ms: i64,
    pub state: LineState,
}

/// How far a line has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// On its way.
    Sent,
    /// The other one's program has it.
    Delivered,
    /// It is the other one's.
    Received,
}

/// A file that is offered in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFileRow {
    /// Comes from another member: show it cleaned.
    pub name: String,
    pub size: u64,
    pub hash: BlobHash,
    pub state: ChannelFileState,
    /// Bytes of it that are here and verified.
    pub done: u64,
    /// Where it lies on this device.
    pub local: Option<PathBuf>,
    /// Why it failed; may be empty.
    pub reason: String,
}

/// Where a file of a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelFileState {
    Offered,
    Fetching,
    /// Whoever it was offered to has it, verified.
    Fetched,
    Failed,
}
