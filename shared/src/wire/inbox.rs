//! Pending work between members: requests, offers and invitations, as [`crate::inbox`] rules them.
//!
//! Ids are chosen by whoever begins, at random, so that a request whose answer was lost can be made again without
//! beginning a second one.

use serde::{Deserialize, Serialize};

use super::tracker::{FileEntry, PeerSource};
use crate::{
    id::{AccountId, BlobHash, DeviceId, FileId, ItemId, ParcelId},
    inbox::{Act, State, Wanted},
};

/// What a device asks about pending work. Inside [`super::tracker::Request::Inbox`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InboxRequest {
    /// The items that the member sees and that changed after `since` (0: all). Answered with [`InboxAnswer::Changes`].
    Changes {
        /// The `next` of the page before.
        since: u64,
    },
    /// "I want this file." Where the member has an open request for it, that one is answered. Answered with
    /// [`InboxAnswer::Items`].
    WantFile {
        /// The new item.
        item: ItemId,
        /// A file of somebody else that is listed for the member.
        file: FileId,
        /// A word with it, at most [`crate::limits::ITEM_TEXT_BYTES_MAX`].
        text: String,
        /// Seconds until it ends by itself; `None`: [`crate::limits::ITEM_LIFE`].
        life_s: Option<u64>,
    },
    /// "I want something that is not shared." Where the member has an open request to the same member in the same words,
    /// that one is answered. Answered with [`InboxAnswer::Items`].
    WantText {
        /// The new item.
        item: ItemId,
        /// The name of the member who is asked; `None`: everyone.
        of: Option<String>,
        /// What is wanted, at most [`crate::limits::ITEM_TEXT_BYTES_MAX`].
        text: String,
        /// Seconds until it ends by itself.
        life_s: Option<u64>,
    },
    /// Puts files into a parcel that is to be offered. What is in it under the same path and content stays.
    /// Answered with [`InboxAnswer::Packed`].
    Pack {
        /// The parcel; a new one where it is not known.
        parcel: ParcelId,
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`].
        entries: Vec<PackEntry>,
    },
    /// "This is for you." Answered with [`InboxAnswer::Items`], in the order of the receivers.
    Offer {
        /// What is offered.
        parcel: ParcelId,
        /// Its name: what its files have in common.
        name: String,
        /// At most [`crate::limits::PEOPLE_MAX`].
        to: Vec<Receiver>,
        /// A word with it.
        text: String,
        /// Seconds until it ends by itself.
        life_s: Option<u64>,
    },
    /// Does something about an item. Answered with [`InboxAnswer::Items`].
    Act {
        /// The item.
        item: ItemId,
        /// What to do.
        act: Act,
        /// With a yes to a request for a file: also to every later one of that member.
        always: bool,
        /// With a yes to a request in words: an own file to fulfil it with.
        with: Option<FileId>,
        /// A word for the other.
        word: String,
    },
    /// The files of an offer, by path. Answered with [`InboxAnswer::Files`].
    Files {
        /// The item.
        item: ItemId,
        /// Goes on behind this path.
        after: Option<String>,
    },
    /// The tracker shall keep a copy of the wanted own file until the request ends. Answered with
    /// [`InboxAnswer::Items`].
    LeaveCopy {
        /// The item.
        item: ItemId,
    },
    /// Whose requests for files are approved by themselves. Answered with [`InboxAnswer::Approved`].
    Approvals,
    /// Requests of this member are approved by themselves, or no longer. Answered with `Done`.
    Approve {
        /// The member's name.
        member: String,
        /// Whether they are.
        always: bool,
    },
    /// "Let us talk, from my device to yours." Earlier invitations from this device to the same member that are not
    /// answered yet are taken back. Answered with [`InboxAnswer::Items`].
    Invite {
        /// The new item.
        item: ItemId,
        /// The member's name.
        to: String,
        /// Seconds until it ends by itself, at most [`crate::limits::CHANNEL_INVITE_LIFE`], which is usual.
        life_s: Option<u64>,
    },
    /// Where the device that invited is. Asked by the member who accepted. Answered with [`InboxAnswer::Host`].
    Host {
        /// The invitation.
        item: ItemId,
    },
}

/// What the tracker answers. Inside [`super::tracker::Answer::Inbox`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InboxAnswer {
    /// To `Changes`, in the order in which they changed.
    Changes {
        /// The items, as they are now.
        items: Vec<ItemEntry>,
        /// Ask again with this.
        next: u64,
        /// Whether more is there already.
        more: bool,
    },
    /// The items in question, as they are now.
    Items {
        /// In the order asked.
        items: Vec<ItemEntry>,
    },
    /// To `Pack`: the files in the order of the entries.
    Packed {
        /// Their ids.
        files: Vec<FileId>,
    },
    /// To `Files`.
    Files {
        /// By path.
        files: Vec<FileEntry>,
        /// Ask again with this to go on.
        next: Option<String>,
    },
    /// To `Approvals`.
    Approved {
        /// Names, in order.
        members: Vec<String>,
    },
    /// To `Host`.
    Host {
        /// `None`: it is not connected.
        peer: Option<PeerSource>,
    },
}

/// A file of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Path in the parcel, checked by [`crate::name::IndexPath`].
    pub path: String,
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// Modification time, milliseconds since 1970.
    pub modified_ms: i64,
    /// Whether it may be executed.
    pub executable: bool,
}

/// Somebody to whom a parcel is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// The new item.
    pub item: ItemId,
    /// The member's name.
    pub name: String,
}

/// An item as a member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemEntry {
    /// The item.
    pub id: ItemId,
    /// What it is.
    pub what: What,
    /// Who began it.
    pub from: AccountId,
    /// The name of who began it.
    pub from_name: String,
    /// The device that it was begun on.
    pub from_device: DeviceId,
    /// To whom it is; `None`: to everyone.
    pub to: Option<AccountId>,
    /// The name of the one to whom it is, or who said yes.
    pub to_name: Option<String>,
    /// What the one who began it wrote.
    pub text: String,
    /// What the other wrote.
    pub word: String,
    /// Where it stands.
    pub state: State,
    /// When it was begun, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends by itself, milliseconds since 1970.
    pub expires_ms: i64,
    /// When it changed last, milliseconds since 1970.
    pub changed_ms: i64,
}

/// What an item is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A request.
    Request {
        /// What kind of thing is wanted.
        wanted: Wanted,
        /// The file that is wanted, or that it was answered with. Only the two that it is between are told.
        file: Option<FileId>,
        /// Its path among its owner's files; may be empty.
        path: String,
        /// Its bytes.
        size: u64,
        /// Its content when it was asked for.
        blob: Option<BlobHash>,
        /// Whether its owner has left a copy for it.
        copy: bool,
    },
    /// An offer.
    Offer {
        /// What is offered.
        parcel: ParcelId,
        /// Its name.
        name: String,
        /// How many files.
        files: u64,
        /// Their bytes.
        size: u64,
        /// The content of the only one.
        blob: Option<BlobHash>,
    },
    /// An invitation to a private channel with the device that began it.
    Channel,
}
