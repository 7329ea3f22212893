//! What two devices say to each other in a private channel.
//!
//! The invitation is an [inbox item](super::inbox::InboxRequest::Invite). Whoever accepted it opens a stream to the
//! device that invited ([`super::peer::Open::Channel`]), on a connection between the two or relayed; the certificates
//! of that connection say who the two are. Frames follow in both directions, each at most
//! [`crate::limits::PEER_FRAME_BYTES_MAX`]:
//!
//! 1. The opener's first frame holds a commitment to its nonce. The host checks that it waits for this member under
//!    this item, and answers [`ChannelFrame::Welcome`] with its own, or [`ChannelFrame::Refused`].
//! 2. The opener answers [`ChannelFrame::Reveal`]. From both nonces and both devices come the key words
//!    ([`crate::words`]).
//! 3. Then both say what they like: lines (texts and files), numbered from 1 by each side without gaps, and
//!    [`ChannelFrame::Got`] for those of the other. A side that has nothing to say sends [`ChannelFrame::Ping`] every
//!    [`crate::limits::CHANNEL_PING`].
//! 4. [`ChannelFrame::Bye`] ends it: the other side answers with its own, and both finish the stream.
//!
//! A file that is offered is fetched on a fetch stream like every file ([`super::peer`]), for which no grant is needed:
//! the offering device itself lets this blob go to this device while the channel lasts.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::{
    id::{BlobHash, ItemId},
    words::Nonce,
};

/// How a channel is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChannel {
    /// The invitation.
    pub item: ItemId,
    /// What the opener's nonce will fit.
    pub commitment: [u8; 32],
}

/// A frame in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelFrame {
    /// The host's answer to the opening.
    Welcome {
        /// The host's.
        nonce: Nonce,
    },
    /// No such channel, or not with this device. Nothing follows.
    Refused(Refusal),
    /// The opener shows what it committed to.
    Reveal {
        /// The opener's.
        nonce: Nonce,
    },
    /// Something said.
    Text {
        /// One more than that of the last line of this side.
        number: u64,
        /// At most [`crate::limits::CHANNEL_TEXT_BYTES_MAX`] bytes.
        text: String,
    },
    /// A file that may be fetched.
    File {
        /// As for a text.
        number: u64,
        /// What is offered.
        file: ChannelFile,
    },
    /// The lines of the other side up to this one were handed to the person's program.
    Got {
        /// The last of them.
        number: u64,
    },
    /// This file of the other side is here whole.
    Fetched {
        /// Its line.
        number: u64,
    },
    /// Still there.
    Ping,
    /// This side leaves.
    Bye,
}

/// A file that is offered in a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFile {
    /// Its name, checked by [`crate::name::FileName`].
    pub name: String,
    /// Its content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// Modification time, milliseconds since 1970.
    pub modified_ms: i64,
    /// Whether it may be executed.
    pub executable: bool,
}
