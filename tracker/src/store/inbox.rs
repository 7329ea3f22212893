//! Requests, offers and who may fetch what because of them, as use cases.

use async_trait::async_trait;
use shared::{
    id::{AccountId, FileId, ItemId, ParcelId},
    inbox::Act,
    wire::{
        inbox::{InboxAnswer, ItemEntry, PackEntry},
        tracker::FileEntry,
    },
};

use super::{Caller, Effects, StoreError};

/// What the tracker remembers of pending work between members. Ended items are remembered for a while.
#[async_trait]
pub trait InboxStore {
    /// The items that the caller sees and that changed after `since`, a page.
    async fn inbox_changes(&self, caller: &Caller, since: u64) -> Result<InboxAnswer, StoreError>;
    /// Begins a request for a file; where the caller has an open one for it, that one is given.
    async fn want_file(&self, caller: &Caller, file: FileId, new: NewItem) -> Result<Done, StoreError>;
    /// Begins a request in words, to the member with this key and name as typed, or to everyone.
    async fn want_text(&self, caller: &Caller, of: Option<Named>, new: NewItem) -> Result<Done, StoreError>;
    /// Puts files into a parcel. `fresh` holds a random id for each.
    async fn pack(
        &self,
        caller: &Caller,
        parcel: ParcelId,
        entries: Vec<(PackEntry, FileId)>,
        now_ms: i64,
    ) -> Result<(Vec<FileId>, Effects), StoreError>;
    /// Offers a parcel to members.
    async fn offer(
        &self,
        caller: &Caller,
        parcel: ParcelId,
        name: String,
        to: Vec<(Named, NewItem)>,
    ) -> Result<Done, StoreError>;
    /// Does something about an item.
    async fn act(&self, caller: &Caller, item: ItemId, deed: Deed, now_ms: i64) -> Result<Done, StoreError>;
    /// A page of the files of an offer that the caller made or got.
    async fn offered_files(
        &self,
        caller: &Caller,
        item: ItemId,
        after: Option<&str>,
    ) -> Result<(Vec<FileEntry>, Option<String>), StoreError>;
    /// Notes that a copy of the wanted file of the caller is wanted until the request ends.
    async fn leave_copy(&self, caller: &Caller, item: ItemId, now_ms: i64) -> Result<Done, StoreError>;
    /// Names of those whose requests the caller approves without being asked.
    async fn approved(&self, caller: &Caller) -> Result<Vec<String>, StoreError>;
    /// Approves a member's requests without being asked, or no longer.
    async fn approve(&self, caller: &Caller, member: Named, always: bool) -> Result<Effects, StoreError>;
    /// Takes back what the caller asks of this member or offers to them.
    async fn cancel_to(&self, caller: &Caller, member: AccountId, now_ms: i64) -> Result<Done, StoreError>;
    /// The caller and this member see each other again: what was begun between them meanwhile, and is open, is told anew.
    async fn show_again(&self, caller: &Caller, member: AccountId) -> Result<Done, StoreError>;
    /// Ends what is over by time and forgets what ended long ago. Tells when to look again, if that is known.
    async fn expire_items(&self, now_ms: i64) -> Result<(Done, Option<i64>), StoreError>;
}

/// A member as somebody named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What makes the name unique.
    pub key: String,
    /// As typed, for messages.
    pub typed: String,
}

/// An item that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its id.
    pub id: ItemId,
    /// What the one who begins it says.
    pub text: String,
    /// Now.
    pub now_ms: i64,
    /// When it ends by itself.
    pub expires_ms: i64,
}

/// What somebody does about an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub act: Act,
    /// With a yes to a request for a file: to later ones too.
    pub always: bool,
    /// With a yes to a request in words: the own file that answers it.
    pub with: Option<FileId>,
    /// A word with it.
    pub word: String,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// The items in question, as the caller sees them now.
    pub items: Vec<ItemEntry>,
    /// Who is to be told that their inbox changed.
    pub told: Told,
    /// What else follows from it.
    pub effects: Effects,
}

/// Who is to be told of changed items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Newest number of a change; `None`: nothing changed.
    pub seq: Option<u64>,
    /// Everyone.
    pub everyone: bool,
    /// Else these members.
    pub accounts: Vec<AccountId>,
}

impl Told {
    /// Both of them.
    pub(super) fn absorb(&mut self, other: Self) {
        self.seq = self.seq.max(other.seq);
        self.everyone |= other.everyone;
        self.accounts.extend(other.accounts);
    }
}
