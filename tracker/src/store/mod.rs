//! What the tracker remembers, as use cases in domain words: each method is one transaction.
//!
//! Handlers see only [`Store`]; rows and SQL stay below it. A caller is checked against the database in every use case,
//! so a device that was signed out a moment ago can do nothing more.

use std::fmt;

use async_trait::async_trait;
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId, FolderId},
    wire::{
        account::DeviceEntry,
        protected::Lock,
        tracker::{Changes, FileDetail, FileEntry, Item, MemberEntry, TrackerStatus},
    },
};

mod attempts;
mod blocks;
mod channels;
#[cfg(test)]
mod conformance;
mod copies;
mod error;
mod holders;
mod inbox;
mod messages;
mod sqlite;

pub use attempts::AttemptStore;
pub use blocks::{Apart, Block, Moved, Parting};
pub use channels::ChannelStore;
pub use copies::{CopyEnd, CopyStore, Kept, PendingCopy};
pub use error::StoreError;
pub use holders::HolderStore;
pub use inbox::{Deed, Done, InboxStore, Named, NewItem, Told};
pub use messages::{Mail, Mailed, MessageStore, Posted};
pub use sqlite::SqliteStore;

/// The tracker's memory.
#[async_trait]
pub trait Store:
    AttemptStore + ChannelStore + CopyStore + HolderStore + InboxStore + MessageStore + fmt::Debug + Send + Sync
{
    /// Makes an account with its first device; consumes an invitation where one is needed.
    async fn create_account(&self, account: NewAccount, now_ms: i64) -> Result<Caller, StoreError>;
    /// What signing in by password needs.
    async fn find_login(&self, name_key: &str) -> Result<Option<Login>, StoreError>;
    /// Enrols a device into an account. A device that belonged to another account leaves that one.
    async fn enrol_device(&self, account: AccountId, device: DeviceKey, now_ms: i64) -> Result<Caller, StoreError>;
    /// What signing in by key needs.
    async fn find_device(&self, device: DeviceId) -> Result<Option<EnrolledDevice>, StoreError>;
    /// The keys of these devices of the caller's account no longer sign in. What they shared stays. Gives those that
    /// were enrolled.
    async fn revoke_devices(
        &self,
        caller: &Caller,
        devices: &[DeviceId],
        now_ms: i64,
    ) -> Result<Vec<DeviceId>, StoreError>;
    /// The newest devices that were signed out, or whose accounts were locked, at or after this time and are still.
    async fn revoked_devices(&self, since_ms: i64) -> Result<Vec<DeviceId>, StoreError>;
    /// Those of these devices that may be signed in.
    async fn enrolled_among(&self, devices: &[DeviceId]) -> Result<Vec<DeviceId>, StoreError>;
    /// The enrolled devices of the caller's account, by when they were enrolled, all as offline.
    async fn devices(&self, caller: &Caller) -> Result<Vec<DeviceEntry>, StoreError>;
    /// The enrolled devices of these accounts, and when each was connected last.
    async fn devices_of(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, DeviceId, Option<i64>)>, StoreError>;
    /// Gives the account another password. Only while `old_hash` is the one it has.
    async fn set_password(&self, caller: &Caller, old_hash: &str, new_hash: String) -> Result<(), StoreError>;
    /// Gives the account another e-mail address, or none.
    async fn set_email(&self, caller: &Caller, email: Option<String>) -> Result<(), StoreError>;
    /// Keeps the hash of the account's recovery code, in place of the one before.
    async fn set_recovery(&self, caller: &Caller, hash: [u8; 32]) -> Result<(), StoreError>;
    /// Uses up a recovery code: gives the account another password and enrols a device. `None`: name and code do not
    /// belong together, or the account is locked.
    async fn recover(&self, recovery: Recovery, now_ms: i64) -> Result<Option<Caller>, StoreError>;
    /// Whether the caller administers the tracker.
    async fn is_admin(&self, caller: &Caller) -> Result<bool, StoreError>;
    /// Every account, by name.
    async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError>;
    /// Changes what administration decides of an account; tells whether there is one.
    async fn administer(&self, name_key: &str, change: Administered, now_ms: i64) -> Result<bool, StoreError>;
    /// A number that is another one after every change by another process.
    async fn outside_changes(&self) -> Result<i64, StoreError>;
    /// These devices were connected until now.
    async fn note_seen(&self, devices: &[DeviceId], now_ms: i64) -> Result<(), StoreError>;

    /// Makes an invitation code valid. `hash` is of the code; `hint` its first characters, for lists.
    async fn create_invite(&self, invite: Invite, hash: [u8; 32], now_ms: i64) -> Result<(), StoreError>;
    /// The invitations that can still be used.
    async fn list_invites(&self, now_ms: i64) -> Result<Vec<Invite>, StoreError>;
    /// Makes codes worthless; tells how many there were. By a hint that several share, nothing is done.
    async fn revoke_invite(&self, which: &WhichInvite) -> Result<u64, StoreError>;

    /// Puts files into the index; all or none.
    async fn publish(&self, caller: &Caller, entries: Vec<Publication>, now_ms: i64) -> Result<Published, StoreError>;
    /// Gives the caller's files other paths; all or none. Ids of others and unknown ids are passed over.
    async fn rename(&self, caller: &Caller, files: Vec<Renaming>) -> Result<Published, StoreError>;
    /// Grants for what these devices share were withdrawn at this time.
    async fn note_narrowed(&self, devices: &[DeviceId], now_ms: i64) -> Result<(), StoreError>;
    /// When that was last, for a device.
    async fn narrowed(&self, device: DeviceId) -> Result<Option<i64>, StoreError>;
    /// Takes the caller's files out of the index. Ids of others and unknown ids are passed over.
    async fn withdraw(&self, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Withdrawn, StoreError>;
    /// Takes those of the caller's files out of the index that have no copy, neither stored nor wanted.
    async fn vanish(&self, caller: &Caller, files: &[FileId], now_ms: i64) -> Result<Vanished, StoreError>;
    /// What happened in the index after `since`, as far as the caller may see it.
    async fn changes(&self, caller: &Caller, since: u64) -> Result<Changes, StoreError>;
    /// One page of one place of the index.
    async fn list(&self, caller: &Caller, place: &Place, after: Option<&Cursor>) -> Result<Page, StoreError>;
    /// One page of matching files, best first, and whether there are more.
    async fn search(&self, caller: &Caller, query: &Words, offset: u32) -> Result<(Vec<FileEntry>, bool), StoreError>;
    /// The file with this id, hidden or not: knowing the id of a hidden file is the permission.
    async fn file(&self, caller: &Caller, file: FileId) -> Result<Option<FileEntry>, StoreError>;
    /// The folder with this id, when the caller sees something in it.
    async fn folder(&self, caller: &Caller, folder: FolderId) -> Result<Option<Item>, StoreError>;
    /// Listed files and folders whose id begins with these hexadecimal digits: at most two, and how many there are (up
    /// to a hundred).
    async fn by_prefix(&self, caller: &Caller, prefix: &str) -> Result<(Vec<Item>, u64), StoreError>;
    /// The listed file or folder at this path of a member.
    async fn by_path(&self, caller: &Caller, name_key: &str, fold: &str) -> Result<Option<Item>, StoreError>;
    /// One page of the files below a folder, by path, and where to go on. `None`: no such folder.
    async fn folder_files(
        &self,
        caller: &Caller,
        folder: FolderId,
        after: Option<&str>,
    ) -> Result<Option<(Vec<FileEntry>, Option<String>)>, StoreError>;
    /// Everything about a file except which of its sources are online (all are `online: false`).
    async fn inspect(&self, caller: &Caller, file: FileId) -> Result<Option<FileDetail>, StoreError>;
    /// For each file what the caller may do with it and which devices share its content.
    async fn locate(&self, caller: &Caller, files: &[FileId]) -> Result<Vec<Whereabouts>, StoreError>;
    /// For each file that the caller may fetch, but for passwords, what locks it, and whether that is open for the caller.
    async fn locks(&self, caller: &Caller, files: &[FileId]) -> Result<Vec<Vec<(Lock, bool)>>, StoreError>;
    /// The caller's device has proved that it knows the password of this lock.
    async fn open_lock(&self, caller: &Caller, lock: &Lock) -> Result<(), StoreError>;
    /// Names of accounts, for devices found by [`Self::locate`].
    async fn names(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, String)>, StoreError>;

    /// One page of members by name, all as offline, and where to go on.
    async fn members(&self, after: Option<&str>) -> Result<(Vec<MemberEntry>, Option<String>), StoreError>;
    /// These members, all as offline.
    async fn members_by_id(&self, accounts: &[AccountId]) -> Result<Vec<MemberEntry>, StoreError>;
    /// Counts. `program`, `uptime_s` and `online` are left empty.
    async fn status(&self) -> Result<TrackerStatus, StoreError>;

    /// The account of this name.
    async fn account_named(&self, name_key: &str) -> Result<Option<AccountId>, StoreError>;
    /// Hides the caller and another member from each other, until it is taken back. Who is hidden sees nothing of the
    /// other's files from now on, by whatever use case.
    async fn block(&self, caller: &Caller, block: Block) -> Result<Parting, StoreError>;
    /// Takes a block back. The two stay apart while the other one has blocked the caller.
    async fn unblock(&self, caller: &Caller, member: AccountId) -> Result<Parting, StoreError>;
    /// Whom a member has blocked, by name.
    async fn blocked(&self, account: AccountId) -> Result<Vec<AccountId>, StoreError>;
    /// For each of these members everybody who is hidden from it: those whom it blocked, and those who blocked it.
    async fn apart_from(&self, viewers: &[AccountId]) -> Result<Vec<Apart>, StoreError>;
    /// Whether two members are hidden from each other, whoever of them blocked the other. Whatever goes from one member
    /// to another asks this first, and where it is so does as if the other one were never there: it is said to neither.
    async fn are_apart(&self, one: AccountId, other: AccountId) -> Result<bool, StoreError>;

    /// Writes everything out and lets go of the files.
    async fn close(&self);
}

/// A signed-in device and its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The member.
    pub account: AccountId,
    /// The member's name as registered.
    pub name: String,
    /// The device.
    pub device: DeviceId,
}

/// An account to be made.
#[derive(Clone)]
pub struct NewAccount {
    /// A fresh random id.
    pub id: AccountId,
    /// The name as typed.
    pub name: String,
    /// What makes the name unique.
    pub name_key: String,
    /// What names that look alike share.
    pub skeleton: String,
    /// For the administrator.
    pub email: Option<String>,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// Hash of the invitation code to consume.
    pub invite: Option<[u8; 32]>,
    /// The first device.
    pub device: DeviceKey,
}

impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAccount").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A device to be enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKey {
    /// Derived from the key.
    pub id: DeviceId,
    /// Ed25519 public key.
    pub key: [u8; 32],
    /// A word for people.
    pub label: String,
}

/// What signing in by password needs.
#[derive(Clone)]
pub struct Login {
    /// The account.
    pub account: AccountId,
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// Whether an administrator locked it.
    pub locked: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("account", &self.account).field("locked", &self.locked).finish_non_exhaustive()
    }
}

/// A device whose key signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledDevice {
    /// Its member.
    pub caller: Caller,
    /// Ed25519 public key.
    pub key: [u8; 32],
    /// Whether an administrator locked the account.
    pub locked: bool,
    /// When it was connected last, or enrolled.
    pub seen_ms: i64,
}

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// First characters of the code.
    pub hint: String,
    /// Registrations left.
    pub uses_left: u32,
    /// When it ends, if ever.
    pub ends_ms: Option<i64>,
}

/// An invitation as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichInvite {
    /// By the hash of its code.
    Hash([u8; 32]),
    /// By the beginning of its code.
    Hint(String),
}

/// A password to be set by a recovery code.
#[derive(Clone)]
pub struct Recovery {
    /// What makes the name unique.
    pub name_key: String,
    /// Hash of the code.
    pub code: [u8; 32],
    /// Argon2id in PHC form.
    pub password_hash: String,
    /// The device to enrol.
    pub device: DeviceKey,
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("device", &self.device).finish_non_exhaustive()
    }
}

/// An account as administration sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// For the administrator.
    pub email: Option<String>,
    /// Whether it administers the tracker.
    pub admin: bool,
    /// Whether it is locked.
    pub locked: bool,
    /// Enrolled devices.
    pub devices: u64,
    /// Files of its in the index.
    pub files: u64,
    /// When it was made.
    pub created_ms: i64,
    /// When a device of its was last connected.
    pub last_seen_ms: Option<i64>,
}

/// What administration decides of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administered {
    /// Nobody signs in to it, or somebody may again.
    Locked(bool),
    /// It administers the tracker, or no longer.
    Admin(bool),
}

/// Who shall see a published file; names are keys of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// See [`shared::wire::tracker::Visibility`].
    Public,
    /// See [`shared::wire::tracker::Visibility`].
    Ask,
    /// Keys of names, and the names as typed for messages.
    People(Vec<(String, String)>),
    /// See [`shared::wire::tracker::Visibility`].
    Hidden,
}

/// A file to publish, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// A fresh random id, used when the file is new (or becomes hidden).
    pub fresh_id: FileId,
    /// The path as shown.
    pub path: String,
    /// What makes the path unique.
    pub fold: String,
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// Modification time.
    pub modified_ms: i64,
    /// Whether it may be executed.
    pub executable: bool,
    /// `None` keeps.
    pub audience: Option<Audience>,
    /// `None` keeps.
    pub note: Option<String>,
    /// Folded path, owner and given note, to be searched.
    pub search_text: String,
    /// What is to be proved for a protected file. `None` keeps it while the content stays.
    pub lock: Option<Lock>,
}

/// A file's new place in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renaming {
    /// The file.
    pub file: FileId,
    /// The path as it shall be shown.
    pub path: String,
    /// Key that makes the path unique for its owner.
    pub fold: String,
    /// Folded path and owner, to search in.
    pub search_text: String,
}

/// What publishing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// In the order of the entries.
    pub files: Vec<FileEntry>,
    /// What else follows from it.
    pub effects: Effects,
}

/// What withdrawing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// How many files were affected.
    pub count: u64,
    /// What else follows from it.
    pub effects: Effects,
}

/// What became of files that are gone from their owner's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vanished {
    /// Those that stay in the index, for their copies.
    pub kept: Vec<FileId>,
    /// What else follows from it.
    pub effects: Effects,
}

/// What the rest of the tracker has to do after a change of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Newest sequence number, when listed files changed.
    pub seq: Option<u64>,
    /// Whether the caller's number of shares changed.
    pub shares_changed: bool,
    /// Devices that must stop serving blobs under grants given before.
    pub revoked: Vec<(DeviceId, BlobHash)>,
    /// Copies that must not be served under grants given before.
    pub narrowed: Vec<BlobHash>,
    /// Copies that nobody wants any more.
    pub released: Vec<BlobHash>,
    /// Contents to which a claim ended before it counted.
    pub unclaimed: Vec<BlobHash>,
    /// Whether there are copies to fetch.
    pub copies_wanted: bool,
    /// Who is to be told that their inbox changed.
    pub told: Told,
}

impl Effects {
    /// What follows from both.
    pub fn absorb(&mut self, other: Self) {
        self.seq = self.seq.max(other.seq);
        self.shares_changed |= other.shares_changed;
        self.revoked.extend(other.revoked);
        self.narrowed.extend(other.narrowed);
        self.released.extend(other.released);
        self.unclaimed.extend(other.unclaimed);
        self.copies_wanted |= other.copies_wanted;
        self.told.absorb(other.told);
    }
}

/// A place of the index, as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose files.
    pub whose: Whose,
    /// Key of the folder, empty for the top.
    pub fold: String,
}

/// Whose files are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of every member.
    Everyones,
    /// Those of the member with this key.
    Member(String),
    /// The caller's own, with the hidden ones of this device.
    Mine,
}

/// Where a listing goes on: folders come before files, both by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Whether the folders are through.
    pub in_files: bool,
    /// Key of the last one.
    pub fold: String,
    /// Number of the last one.
    pub no: i64,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Whether the place exists for the caller.
    pub found: bool,
    /// Its rows.
    pub items: Vec<Item>,
    /// Where to go on.
    pub next: Option<Cursor>,
}

/// A search query, folded: every word must occur.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Words of three characters and more.
    pub long: Vec<String>,
    /// Words of one or two characters.
    pub short: Vec<String>,
}

impl Words {
    /// The words of folded text.
    #[must_use]
    pub fn of(folded: &str) -> Self {
        let (long, short) =
            folded.split_whitespace().map(str::to_owned).partition(|word| word.chars().nth(2).is_some());
        Self { long, short }
    }

    /// Whether there is no word at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.long.is_empty() && self.short.is_empty()
    }
}

/// What a caller may do with a file, and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// It may be fetched.
    Allowed {
        /// The file.
        file: FileId,
        /// The content.
        blob: BlobHash,
        /// Bytes.
        size: u64,
        /// Devices that share the content, with their accounts.
        devices: Vec<(DeviceId, AccountId)>,
        /// Whether a copy is stored.
        copy: bool,
    },
    /// The owner must approve.
    MustAsk(FileId),
    /// Its password is to be proved first.
    Closed(FileId),
    /// There is none that the caller may see.
    Unknown(FileId),
}
