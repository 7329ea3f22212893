//! Invitations to private channels, as use cases. Of the channels themselves nothing is known here.

use async_trait::async_trait;
use shared::id::{AccountId, DeviceId, ItemId};

use super::{Caller, Done, Named, NewItem, StoreError};

/// What the tracker remembers of invitations beyond what it does of every item.
#[async_trait]
pub trait ChannelStore {
    /// Invites a member to a channel with the caller's device. What this device asked of the same member before and is
    /// not answered is taken back.
    async fn invite_to_channel(&self, caller: &Caller, to: Named, new: NewItem) -> Result<Done, StoreError>;
    /// The device that invited the caller, who has accepted, and whose it is.
    async fn channel_host(&self, caller: &Caller, item: ItemId) -> Result<(DeviceId, AccountId), StoreError>;
}
