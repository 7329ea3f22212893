//! Messages between members, and the keys that they are sealed to.
//!
//! A message is encrypted once, under a key of its own, and that key is sealed to each device that is to read it: those
//! of the receiver, and the sender's others. The tracker keeps the body once and a seal for each device, hands both out
//! and forgets the seal when that device has noted the message. It can read nothing, and forge nothing: the sender's
//! device signs the [`Header`] with the body ([`Header::statement`]), and the key that others seal to is signed by the
//! device that it belongs to ([`key_statement`]), whose id is the hash of its signing key.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, DeviceId, MessageId};

/// What a device signs when it tells the key that others seal to, before that key.
pub const MESSAGE_KEY_CONTEXT: &[u8] = b"swapmeet message key 1\0";
/// What a device signs when it sends a message, before header and body.
pub const MESSAGE_CONTEXT: &[u8] = b"swapmeet message 1\0";

/// What a device asks about messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageRequest {
    /// The X25519 key that others seal to for this device. Answered with [`MessageAnswer::Done`].
    PublishKey {
        /// The public key.
        key: [u8; 32],
        /// 64 bytes: Ed25519 by the device over [`key_statement`].
        proof: Vec<u8>,
    },
    /// The devices that a message is to be sealed to. Answered with [`MessageAnswer::Keys`].
    Keys {
        /// The receiver; `None`: everyone.
        to: Option<AccountId>,
        /// Goes on behind this device.
        after: Option<DeviceId>,
    },
    /// A message. The same one may be sent again: it stays one. Answered with [`MessageAnswer::Sent`],
    /// [`MessageAnswer::DevicesMissing`] or [`MessageAnswer::TooMany`].
    Send(Sending),
    /// What waits for this device, oldest first. Answered with [`MessageAnswer::Waiting`].
    Waiting {
        /// The [`Delivery::place`] to go on behind; 0 at first.
        after: u64,
    },
    /// This device has noted these messages for good. Answered with [`MessageAnswer::Done`].
    Acknowledge {
        /// At most [`crate::limits::MESSAGES_NAMED_MAX`].
        messages: Vec<MessageId>,
    },
    /// How far own messages have come. Answered with [`MessageAnswer::Delivered`].
    Delivered {
        /// At most [`crate::limits::MESSAGES_NAMED_MAX`].
        messages: Vec<MessageId>,
    },
}

/// What the tracker answers to a [`MessageRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageAnswer {
    /// It was done; there is nothing to tell.
    Done,
    /// To `Keys`.
    Keys {
        /// In the order of their ids; the asking device is not among them.
        keys: Vec<DeviceKeys>,
        /// Ask again with this to go on.
        next: Option<DeviceId>,
    },
    /// To `Send`: the tracker keeps it.
    Sent {
        /// When, milliseconds since 1970. No two messages have the same time.
        at_ms: i64,
    },
    /// To `Send` with `last`: devices came since the keys were asked for, and nothing was delivered yet. Ask for the
    /// keys again.
    DevicesMissing {
        /// How many.
        devices: u32,
    },
    /// To `Send` without `last`: the rest may come.
    More,
    /// To `Send`: this member sends too many messages; this one was not looked at.
    TooMany {
        /// Until one is.
        wait_ms: u64,
    },
    /// To `Waiting`.
    Waiting {
        /// Oldest first.
        messages: Vec<Delivery>,
        /// Whether there are more.
        more: bool,
    },
    /// To `Delivered`: those that a device of the receiver has.
    Delivered {
        /// In no order.
        messages: Vec<MessageId>,
    },
}

/// What the tracker tells about messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageEvent {
    /// A message for this device. It waits at the tracker too, until this device has acknowledged it.
    Arrived(Box<Delivery>),
    /// Devices of their receivers have these own messages now.
    Delivered {
        /// The messages.
        messages: Vec<MessageId>,
    },
}

/// Who says something to whom, and when: what the tracker must know, and the sender signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The message.
    pub id: MessageId,
    /// The sender.
    pub from: AccountId,
    /// The device that sends and signs.
    pub device: DeviceId,
    /// The receiver; `None`: everyone.
    pub to: Option<AccountId>,
    /// When it was written, by the sender's clock, milliseconds since 1970.
    pub written_ms: i64,
}

impl Header {
    /// These facts as the bytes that stand for them where they are authenticated: each has its length by its kind, so no
    /// two headers have the same bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 * 4 + 9);
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.from.as_bytes());
        bytes.extend(self.device.as_bytes());
        bytes.extend(self.written_ms.to_le_bytes());
        match &self.to {
            None => bytes.push(0),
            Some(to) => {
                bytes.push(1);
                bytes.extend(to.as_bytes());
            }
        }
        bytes
    }

    /// What the sender's device signs: these facts and the encrypted body.
    #[must_use]
    pub fn statement(&self, body: &[u8]) -> Vec<u8> {
        [MESSAGE_CONTEXT, blake3::hash(body).as_bytes(), &self.bytes()].concat()
    }
}

/// What a device signs to tell the key that others seal to.
#[must_use]
pub fn key_statement(key: &[u8; 32]) -> Vec<u8> {
    [MESSAGE_KEY_CONTEXT, key].concat()
}

/// A message on its way to the tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Who says it to whom.
    pub header: Header,
    /// The encrypted text, at most [`crate::limits::MESSAGE_BODY_BYTES_MAX`]. The same in every part.
    pub body: Vec<u8>,
    /// 64 bytes: Ed25519 by the sending device over [`Header::statement`].
    pub signature: Vec<u8>,
    /// At most [`crate::limits::MESSAGE_SEALS_MAX`].
    pub seals: Vec<Seal>,
    /// Whether all devices are sealed to with this part. Nothing is delivered before.
    pub last: bool,
}

/// The key of a message, sealed to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The device.
    pub device: DeviceId,
    /// [`crate::limits::MESSAGE_SEAL_BYTES`] bytes.
    pub sealed: Vec<u8>,
}

/// The keys of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKeys {
    /// Its member.
    pub account: AccountId,
    /// The Ed25519 key that its id is the hash of.
    pub signing: [u8; 32],
    /// The X25519 key that others seal to.
    pub sealing: [u8; 32],
    /// 64 bytes: Ed25519 by the device over [`key_statement`].
    pub proof: Vec<u8>,
}

/// A message on its way to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Where it stands among those that wait for this device.
    pub place: u64,
    /// Who says it to whom.
    pub header: Header,
    /// The sender's name.
    pub from_name: String,
    /// The receiver's name; `None`: everyone.
    pub to_name: Option<String>,
    /// The Ed25519 key of the sending device.
    pub signing: [u8; 32],
    /// When the tracker got it, milliseconds since 1970.
    pub at_ms: i64,
    /// The encrypted text.
    pub body: Vec<u8>,
    /// See [`Sending::signature`].
    pub signature: Vec<u8>,
    /// Its key, sealed to this device.
    pub sealed: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            id: MessageId([1; 16]),
            from: AccountId([2; 16]),
            device: DeviceId([3; 16]),
            to: Some(AccountId([4; 16])),
            written_ms: 5,
        }
    }

    #[test]
    fn whatever_changes_about_a_message_changes_what_was_signed() {
        let others = [
            Header { id: MessageId([9; 16]), ..header() },
            Header { from: AccountId([9; 16]), ..header() },
            Header { device: DeviceId([9; 16]), ..header() },
            Header { to: Some(AccountId([9; 16])), ..header() },
            Header { to: None, ..header() },
            Header { written_ms: 6, ..header() },
        ];
        let signed = header().statement(b"body");
        assert_ne!(signed, header().statement(b"another"));
        for other in others {
            assert_ne!(signed, other.statement(b"body"), "{other:?}");
        }
    }

    #[test]
    fn no_statement_about_a_key_is_one_about_a_message() {
        assert_ne!(key_statement(&[0; 32])[..19], header().statement(b"")[..19]);
    }
}
