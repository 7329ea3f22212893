//! What the store remembers of messages: the keys that they are sealed to, and what waits for whom.

use async_trait::async_trait;
use shared::{
    id::{AccountId, DeviceId, MessageId},
    wire::message::{Delivery, DeviceKeys, Seal, Sending},
};

use super::{Caller, StoreError};

/// Messages, sealed: nothing here can be read.
#[async_trait]
pub trait MessageStore {
    /// The key that others seal to for the calling device, in place of the one before.
    async fn publish_message_key(&self, caller: &Caller, key: [u8; 32], proof: Vec<u8>) -> Result<(), StoreError>;
    /// The devices that a message from the caller to this member, or to everyone, is sealed to: one page by id, and where
    /// to go on.
    async fn message_keys(
        &self,
        caller: &Caller,
        to: Option<AccountId>,
        after: Option<DeviceId>,
    ) -> Result<(Vec<DeviceKeys>, Option<DeviceId>), StoreError>;
    /// Takes in what was sent and acknowledged, all of it in one transaction; what is refused leaves no trace and holds up
    /// nothing else. Gives one result for each, in the same order.
    async fn mail(&self, batch: Vec<Mail>, now_ms: i64) -> Result<Vec<Result<Mailed, StoreError>>, StoreError>;
    /// What waits for the calling device behind a place, oldest first, and whether there is more.
    async fn waiting_messages(&self, caller: &Caller, after: u64) -> Result<(Vec<Delivery>, bool), StoreError>;
    /// Those of the caller's messages that a device of the receiver has.
    async fn delivered_among(&self, caller: &Caller, messages: &[MessageId]) -> Result<Vec<MessageId>, StoreError>;
    /// Forgets every message from before this time, delivered or not. Gives how many.
    async fn forget_messages(&self, before_ms: i64) -> Result<u64, StoreError>;
}

/// Something to be written down about messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// A message, or a part of its seals.
    Send {
        /// Who sends it.
        caller: Caller,
        /// The message, checked as far as it can be without the database.
        sending: Sending,
    },
    /// A device has these messages.
    Acknowledge {
        /// Which device.
        caller: Caller,
        /// The messages.
        messages: Vec<MessageId>,
    },
}

/// What became of a [`Mail`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailed {
    /// The message is kept since this time.
    Kept {
        /// When it came.
        at_ms: i64,
        /// What is to be told to whom now; `None`: it was there before.
        news: Option<Box<Posted>>,
    },
    /// The rest of its seals may come.
    More,
    /// So many devices were not sealed to.
    DevicesMissing(u32),
    /// These messages, of these members, are delivered now and were not before.
    Delivered(Vec<(AccountId, MessageId)>),
}

/// A message that has just come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// As each device gets it, but for the seal.
    pub delivery: Delivery,
    /// The seals.
    pub seals: Vec<Seal>,
}
