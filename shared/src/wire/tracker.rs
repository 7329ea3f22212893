//! Messages between a device and the tracker. Variants are appended, never changed.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{
    Refusal,
    account::{DeviceEntry, InviteEntry, Recover},
    grant::SignedGrant,
    inbox::{InboxAnswer, InboxRequest},
    message::{MessageAnswer, MessageEvent, MessageRequest},
    people::{PeopleAnswer, PeopleEvent, PeopleRequest},
    protected::{ProtectedAnswer, ProtectedRequest},
    reach::{Attempt, Introduction, Token},
};
use crate::id::{AccountId, BlobHash, DeviceId, FileId, FolderId};

/// What a device asks. One per stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// First request of a connection. Answered with [`Answer::Welcome`].
    Hello {
        /// Name and version of the program, for logs.
        program: String,
    },
    /// A new account with this device. Answered with [`Answer::SignedIn`].
    Register(Register),
    /// An existing account on a new device. Answered with [`Answer::SignedIn`].
    SignInPassword(SignInPassword),
    /// An enrolled device. Answered with [`Answer::SignedIn`].
    SignInKey {
        /// Which device.
        device: DeviceId,
        /// 64 bytes: Ed25519 over [`super::SIGN_IN_CONTEXT`] and the exported bytes.
        proof: Vec<u8>,
    },
    /// Forgets this device: its certificate is not renewed and its key no longer signs in. Answered with `Done`.
    SignOut,
    /// A fresh certificate for the signed-in device. Answered with [`Answer::SignedIn`].
    Renew,
    /// Where this device can be reached, besides the address that the tracker sees. Answered with `Done`.
    Announce {
        /// Addresses of local interfaces with the port of the endpoint.
        addresses: Vec<SocketAddr>,
    },
    /// From here on this stream carries [`Event`]s. Answered with `Done`.
    Subscribe,
    /// Puts files into the index, or new versions of them. Answered with [`Answer::Published`].
    Publish {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`]; all or none.
        entries: Vec<PublishEntry>,
    },
    /// Takes own files out of the index, with their copies. Answered with [`Answer::Count`].
    Withdraw {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`].
        files: Vec<FileId>,
    },
    /// What happened in the index after `since` (0: everything). Answered with [`Answer::Changes`].
    Changes {
        /// The `next` of the page before.
        since: u64,
    },
    /// The members' files and folders at one place. Answered with [`Answer::Listing`].
    List(List),
    /// Finds files by parts of name, path, owner and note. Answered with [`Answer::Hits`].
    Search {
        /// Words; each must occur.
        query: String,
        /// Hits to skip.
        offset: u32,
    },
    /// Finds what a person typed. Answered with [`Answer::Listing`]: one item, or a refusal.
    Resolve(Reference),
    /// All files below a folder, by path. Answered with [`Answer::Listing`] (files only).
    FolderFiles {
        /// The folder.
        folder: FolderId,
        /// Goes on behind this path.
        after: Option<String>,
    },
    /// Everything about one file. Answered with [`Answer::Detail`].
    Inspect {
        /// The file.
        file: FileId,
    },
    /// Who has these files, and a grant to fetch them. Answered with [`Answer::Located`].
    Locate {
        /// At most [`crate::limits::GRANT_BLOBS_MAX`].
        files: Vec<FileId>,
    },
    /// The members and their presence. Answered with [`Answer::Members`].
    Members {
        /// Goes on behind this name.
        after: Option<String>,
    },
    /// The tracker shall fetch and keep copies of own files; ends are told as events. Answered with [`Answer::Count`].
    KeepCopy {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`].
        files: Vec<FileId>,
    },
    /// The tracker shall forget the copies of own files. Answered with [`Answer::Count`].
    DropCopy {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`].
        files: Vec<FileId>,
    },
    /// Numbers for `status`. Answered with [`Answer::Status`].
    Status,
    /// This stream becomes a fetch stream (see [`super::peer`]); no answer frame comes first.
    Fetch,
    /// These own files are gone from the owner's disk: takes them out of the index, except those of which the tracker
    /// has, or is to have, a copy, because it may be the last one. Answered with [`Answer::Kept`].
    Vanish {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`].
        files: Vec<FileId>,
    },
    /// Files of others whose content this device has, whole or in part, and serves to whoever has a grant. Takes the
    /// place of what it said before on this connection. Answered with [`Answer::Count`]: those that count.
    Hold {
        /// At most [`crate::limits::HELD_FILES_MAX`].
        files: Vec<FileId>,
    },
    /// A stream to a device that cannot be reached otherwise. After the answer, `Done` or a refusal, everything on this
    /// stream is for that device, and sealed for it (see [`super::peer`]).
    Relay {
        /// The device to reach.
        device: DeviceId,
    },
    /// What this device needs at the tracker's second port. Answered with [`Answer::Ticket`].
    Ticket,
    /// Another device cannot be dialled: both shall be told when and how to meet. Answered with
    /// [`Answer::Introduced`]; the other device hears [`Event::Introduced`].
    Introduce {
        /// The other device.
        device: DeviceId,
        /// Which try it is.
        attempt: Attempt,
    },
    /// Other ways to this tracker than the one that the join link names. Answered with [`Answer::Ways`].
    Ways,
    /// A new password for the signed-in account, whose devices stay signed in. Answered with `Done`.
    ChangePassword {
        /// The password so far.
        old: Password,
        /// The new one.
        new: Password,
    },
    /// Another e-mail address, or none. Answered with `Done`.
    ChangeEmail {
        /// The account's password.
        password: Password,
        /// The new address.
        email: Option<String>,
    },
    /// A new recovery code, which takes the place of the one before. Answered with [`Answer::Recovery`].
    NewRecovery {
        /// The account's password.
        password: Password,
    },
    /// An existing account whose password is forgotten, on a new device. Answered with [`Answer::SignedIn`].
    Recover(Recover),
    /// The account's enrolled devices. Answered with [`Answer::Devices`].
    Devices,
    /// Signs out devices of the account, wherever they are: their connections end, and other members let go of them.
    /// Answered with [`Answer::Count`].
    RevokeDevices {
        /// At most [`crate::limits::DEVICES_PER_ACCOUNT_MAX`].
        devices: Vec<DeviceId>,
    },
    /// An invitation code; for administrators. Answered with [`Answer::Invited`].
    Invite {
        /// Registrations that it allows, at most [`crate::limits::INVITE_USES_MAX`].
        uses: u32,
        /// When it ends, milliseconds since 1970; `None`: never.
        ends_ms: Option<i64>,
    },
    /// The invitations that can still be used; for administrators. Answered with [`Answer::Invites`].
    Invites,
    /// Makes an invitation worthless; for administrators. Answered with [`Answer::Count`].
    RevokeInvite {
        /// The code, or the beginning of it that lists show.
        code: String,
    },
    /// Something about requests and offers. Answered with [`Answer::Inbox`] or `Done`.
    Inbox(InboxRequest),
    /// Something about messages. Answered with [`Answer::Message`].
    Message(MessageRequest),
    /// Something about other members. Answered as it says.
    People(PeopleRequest),
    /// Something about protected files. Answered as it says.
    Protected(ProtectedRequest),
    /// Own files stand under other paths from now on, with the ids that they have. Answered with [`Answer::Published`]:
    /// those of them that are in the index.
    Rename {
        /// At most [`crate::limits::PUBLISH_ENTRIES_MAX`], each with its new path.
        files: Vec<(FileId, String)>,
    },
}

/// What the tracker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It was not done.
    Refused(Refusal),
    /// It was done; there is nothing to tell.
    Done,
    /// To `Hello`.
    Welcome(Welcome),
    /// To `Register`, `SignInPassword`, `SignInKey`, `Renew`, `Recover`.
    SignedIn(SignedIn),
    /// To `Publish` and `Rename`: the files in the order of the question.
    Published {
        /// The new state of each.
        files: Vec<FileEntry>,
    },
    /// How many were affected.
    Count(u64),
    /// To `Changes`.
    Changes(Changes),
    /// To `List`, `Resolve`, `FolderFiles`.
    Listing {
        /// What is there, in the order asked.
        items: Vec<Item>,
        /// Ask again with this to go on.
        next: Option<String>,
    },
    /// To `Search`.
    Hits {
        /// Best first.
        files: Vec<FileEntry>,
        /// Whether there are more.
        more: bool,
    },
    /// To `Inspect`.
    Detail(FileDetail),
    /// To `Locate`.
    Located(Located),
    /// To `Members`.
    Members {
        /// By name.
        members: Vec<MemberEntry>,
        /// Ask again with this to go on.
        next: Option<String>,
    },
    /// To `Status`.
    Status(TrackerStatus),
    /// To `Vanish`.
    Kept {
        /// Those that stay in the index.
        files: Vec<FileId>,
    },
    /// To `Ticket`.
    Ticket {
        /// The second port, at the addresses of the first; `None`: there is none.
        port: Option<u16>,
        /// For [`super::reach::ProbeRequest::Observe`], until the connection ends.
        ticket: Token,
    },
    /// To `Introduce`.
    Introduced(Introduction),
    /// To `Ways`.
    Ways(Ways),
    /// To `NewRecovery`.
    Recovery {
        /// Shown once; the tracker keeps only its hash.
        code: Password,
    },
    /// To `Devices`.
    Devices {
        /// The asking one first, then by when they were enrolled.
        devices: Vec<DeviceEntry>,
    },
    /// To `Invite`.
    Invited {
        /// The code, shown once.
        code: Password,
        /// What lists show of it.
        invite: InviteEntry,
    },
    /// To `Invites`.
    Invites {
        /// Oldest first.
        invites: Vec<InviteEntry>,
    },
    /// To whatever shows a password or a code: there were too many wrong ones, this one was not looked at.
    Wait {
        /// Until one is.
        seconds: u64,
    },
    /// To `Inbox`.
    Inbox(InboxAnswer),
    /// To `Message`.
    Message(MessageAnswer),
    /// To `People`.
    People(PeopleAnswer),
    /// To `Protected`.
    Protected(ProtectedAnswer),
}

/// What the tracker tells by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The index moved to this sequence number; ask for `Changes`.
    IndexMoved {
        /// Newest sequence number.
        seq: u64,
    },
    /// A member came, went or changed.
    Member(MemberEntry),
    /// These blobs may no longer be served under grants given before: stop running transfers of them.
    Revoked {
        /// The blobs that this device held a share of.
        blobs: Vec<BlobHash>,
    },
    /// A copy that was asked for is stored, verified and on disk.
    CopyStored {
        /// The file.
        file: FileId,
    },
    /// A copy that was asked for could not be stored; the tracker will not try by itself.
    CopyFailed {
        /// The file.
        file: FileId,
        /// Why.
        refusal: Refusal,
    },
    /// Events were lost because this reader was slow: ask for everything anew.
    Resync,
    /// This device is signed out; the connection will close.
    SignedOut {
        /// Why.
        refusal: Refusal,
    },
    /// Other devices have these contents now, which this device holds: ask again where they are.
    SourcesMoved {
        /// The blobs.
        blobs: Vec<BlobHash>,
    },
    /// Another device wants to meet this one.
    Introduced(Introduction),
    /// All devices whose certificates no longer count though they have not ended: connections with them end at once.
    /// Told after `Subscribe` and whenever it changes; a device that is not named any more counts again.
    DevicesRevoked {
        /// At most [`crate::limits::REVOKED_TOLD_MAX`].
        devices: Vec<DeviceId>,
    },
    /// Items of the member's inbox changed; ask for their changes.
    InboxMoved {
        /// Newest number of a change.
        seq: u64,
    },
    /// Something about messages.
    Message(MessageEvent),
    /// Something about other members.
    People(PeopleEvent),
    /// No grant counts that was given before this time: some were withdrawn since, perhaps while this device was away.
    /// Told after `Subscribe`, where that is not so long ago that they have ended by themselves.
    GrantsWithdrawn {
        /// Milliseconds since 1970 by the tracker's clock.
        before_ms: i64,
    },
    /// The tracker's clock was set: grants are dated by it from now on.
    ClockSet {
        /// Where it stands now, milliseconds since 1970.
        now_ms: i64,
    },
}

/// To [`Request::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Name and version of the tracker's program.
    pub program: String,
    /// Who may register.
    pub registration: Registration,
    /// The tracker's clock, milliseconds since 1970.
    pub time_ms: i64,
    /// The address that this connection comes from, as the tracker sees it.
    pub observed: SocketAddr,
}

/// Ways to a tracker besides QUIC over UDP at the address of the join link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// TCP port of the web port, on the host of the join link. `None`: there is none.
    pub web: Option<u16>,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// Anyone who has the join link.
    Open,
    /// Who has an invitation code.
    Invite,
    /// Nobody.
    Closed,
}

/// A device that wants to be enrolled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDevice {
    /// Ed25519 public key, 32 bytes.
    pub key: [u8; 32],
    /// 64 bytes: Ed25519 over [`super::ENROL_CONTEXT`] and the exported bytes.
    pub proof: Vec<u8>,
    /// A word for people, such as the host's name.
    pub label: String,
}

impl std::fmt::Debug for NewDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewDevice").field("label", &self.label).finish_non_exhaustive()
    }
}

/// A password or a code that stands for one, on its way: never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// To make an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The member's name, checked by [`crate::name::MemberName`].
    pub name: String,
    /// The new password.
    pub password: Password,
    /// For the administrator to reach the member; never shown to others.
    pub email: Option<String>,
    /// An invitation code, where registration needs one.
    pub invite: Option<String>,
    /// The device that registers.
    pub device: NewDevice,
}

/// To enrol a device into an existing account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInPassword {
    /// The member's name.
    pub name: String,
    /// The member's password.
    pub password: Password,
    /// The device.
    pub device: NewDevice,
}

/// The device is signed in on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// The member.
    pub account: AccountId,
    /// The member's name as registered.
    pub name: String,
    /// The device.
    pub device: DeviceId,
    /// The device's certificate (DER) for connections to other members.
    pub certificate: Vec<u8>,
    /// The authority's certificate (DER) that other members' certificates come from.
    pub authority: Vec<u8>,
    /// End of the certificate, milliseconds since 1970.
    pub certificate_ends_ms: i64,
    /// Ed25519 public key that grants are signed with.
    pub grant_key: [u8; 32],
}

/// Who sees a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Visibility {
    /// Every member lists and fetches it.
    Public,
    /// Every member lists it, the owner approves who fetches it.
    Ask,
    /// The named members list and fetch it.
    People(Vec<AccountId>),
    /// Nobody lists it; whoever knows its id fetches it.
    Hidden,
}

/// Who shall see a file, by names as typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Audience {
    /// See [`Visibility::Public`].
    Public,
    /// See [`Visibility::Ask`].
    Ask,
    /// Names of members; an unknown name refuses the request.
    People(Vec<String>),
    /// See [`Visibility::Hidden`].
    Hidden,
}

/// One file to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishEntry {
    /// Path in the index: `name` or `folder/…/name`, checked by [`crate::name::IndexPath`].
    pub path: String,
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// Modification time, milliseconds since 1970.
    pub modified_ms: i64,
    /// Whether it may be executed.
    pub executable: bool,
    /// Who shall see it; `None` keeps what a file at this path has, or is public for a new one.
    pub audience: Option<Audience>,
    /// A remark; `None` keeps the one there is.
    pub note: Option<String>,
}

/// A file of the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its id.
    pub id: FileId,
    /// The owner.
    pub owner: AccountId,
    /// The owner's name.
    pub owner_name: String,
    /// Its path among the owner's files.
    pub path: String,
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// Modification time, milliseconds since 1970.
    pub modified_ms: i64,
    /// Whether it may be executed.
    pub executable: bool,
    /// Who sees it. To others than the owner the list of people is empty.
    pub visibility: Visibility,
    /// Whether the content is encrypted with a password.
    pub protected: bool,
    /// Counts the contents that this path has had, from 1.
    pub version: u32,
    /// The owner's remark.
    pub note: String,
    /// When this version was shared, milliseconds since 1970.
    pub shared_ms: i64,
    /// The tracker's copy.
    pub copy: CopyState,
}

/// Whether the tracker holds a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CopyState {
    /// None, and none is wanted.
    Absent,
    /// Asked for, not yet stored.
    Pending,
    /// Stored and verified.
    Stored,
}

/// A folder of the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FolderEntry {
    /// Its id.
    pub id: FolderId,
    /// The owner.
    pub owner: AccountId,
    /// The owner's name.
    pub owner_name: String,
    /// Its path among the owner's files.
    pub path: String,
    /// Files below it that the asker sees, at any depth.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A row of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// A file.
    File(FileEntry),
    /// A folder.
    Folder(FolderEntry),
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Only this member's files, by name. `None`: everyone's.
    pub member: Option<String>,
    /// Only the asker's own files, hidden ones on this device included.
    pub mine: bool,
    /// The folder to list, empty for the top.
    pub path: String,
    /// Go on behind this (the `next` of the page before).
    pub after: Option<String>,
}

/// What a person typed to name a file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reference {
    /// A whole id of a file. The only way to a hidden file.
    File(FileId),
    /// A whole id of a folder.
    Folder(FolderId),
    /// At least 4 hexadecimal digits that begin one id of a listed file or folder.
    Prefix(String),
    /// `member/path`.
    Path {
        /// The member's name.
        member: String,
        /// The path of a file or folder.
        path: String,
    },
}

/// A page of what happened in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// In order.
    pub changes: Vec<Change>,
    /// Ask again with this.
    pub next: u64,
    /// Whether more is there already.
    pub more: bool,
    /// The asker's `since` is unknown here: forget everything and start with 0.
    pub restart: bool,
}

/// One thing that happened in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The file is there, like this.
    Present(FileEntry),
    /// The file is gone, or no longer for the asker.
    Gone(FileId),
}

/// Everything about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDetail {
    /// The file.
    pub entry: FileEntry,
    /// Who has its content.
    pub sources: Vec<SourceEntry>,
    /// Its contents so far, newest first.
    pub versions: Vec<VersionEntry>,
}

/// Someone who has a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceEntry {
    /// A device of a member.
    Device {
        /// The member's name.
        member: String,
        /// The device.
        device: DeviceId,
        /// Whether it is connected now.
        online: bool,
        /// Bytes that it has.
        have: u64,
    },
    /// The tracker's copy.
    Copy {
        /// Bytes that it has.
        have: u64,
    },
    /// A connected device that has all or part of it without sharing it, as one that is fetching it.
    Holder {
        /// The member's name.
        member: String,
        /// The device.
        device: DeviceId,
    },
}

/// A content that a path had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// Its number.
    pub version: u32,
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// When it was shared, milliseconds since 1970.
    pub shared_ms: i64,
}

/// Where files can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// Devices that are online now and have one of the files; `LocatedFile` points into this.
    pub peers: Vec<PeerSource>,
    /// One for each file asked, in order.
    pub files: Vec<LocatedFile>,
    /// Allows the asking device all files that were not refused.
    pub grant: SignedGrant,
}

/// A device that can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSource {
    /// The device, to be checked against its certificate.
    pub device: DeviceId,
    /// Its member.
    pub account: AccountId,
    /// Its member's name.
    pub member: String,
    /// Where to dial: the addresses that the tracker sees, the one of its connection first; then, if asker and device
    /// are on one network, the local ones that the device announced. None where UDP is blocked for one of the two.
    pub addresses: Vec<SocketAddr>,
}

/// Where one file can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocatedFile {
    /// It may be fetched.
    Found {
        /// The file.
        file: FileId,
        /// The content.
        blob: BlobHash,
        /// Bytes.
        size: u64,
        /// Positions in [`Located::peers`].
        peers: Vec<u16>,
        /// Whether the tracker has a copy.
        copy: bool,
    },
    /// It may not, or it is not there.
    Refused {
        /// The file.
        file: FileId,
        /// Why.
        refusal: Refusal,
    },
    /// As `Found`, where devices besides those that share it hold some of it.
    Spread {
        /// The file.
        file: FileId,
        /// The content.
        blob: BlobHash,
        /// Bytes.
        size: u64,
        /// Positions in [`Located::peers`] of those that share it.
        peers: Vec<u16>,
        /// Positions in [`Located::peers`] of those that hold it, whole or in part; what they have, they tell.
        holders: Vec<u16>,
        /// Whether the tracker has a copy.
        copy: bool,
    },
}

/// A file that may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundFile<'a> {
    /// The content.
    pub blob: BlobHash,
    /// Bytes.
    pub size: u64,
    /// Positions in [`Located::peers`] of those that share it.
    pub peers: &'a [u16],
    /// Of those that hold some of it.
    pub holders: &'a [u16],
    /// Whether the tracker has a copy.
    pub copy: bool,
}

impl LocatedFile {
    /// The file.
    #[must_use]
    pub const fn file(&self) -> FileId {
        match self {
            Self::Found { file, .. } | Self::Refused { file, .. } | Self::Spread { file, .. } => *file,
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// Why it may not be fetched.
    pub fn found(&self) -> Result<FoundFile<'_>, &Refusal> {
        match self {
            Self::Found { blob, size, peers, copy, .. } => {
                Ok(FoundFile { blob: *blob, size: *size, peers, holders: &[], copy: *copy })
            }
            Self::Spread { blob, size, peers, holders, copy, .. } => {
                Ok(FoundFile { blob: *blob, size: *size, peers, holders, copy: *copy })
            }
            Self::Refused { refusal, .. } => Err(refusal),
        }
    }
}

/// A member as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEntry {
    /// The member.
    pub account: AccountId,
    /// The member's name.
    pub name: String,
    /// Whether a device of theirs is connected, with somebody at its keyboard.
    pub presence: Presence,
    /// When a device of theirs was last connected, milliseconds since 1970. While they are away: when somebody was last
    /// at a keyboard of theirs, if that is known.
    pub last_seen_ms: Option<i64>,
    /// Files of theirs that every member sees.
    pub shares: u64,
    /// Devices connected now.
    pub devices: u32,
}

/// Whether someone is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Presence {
    /// Connected.
    Online,
    /// Connected, but nobody is at the keyboard.
    Away,
    /// Not connected.
    Offline,
}

/// Numbers about a tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// Name and version of the program.
    pub program: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Accounts.
    pub members: u64,
    /// Members with a device connected.
    pub online: u64,
    /// Files in the index.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Stored copies.
    pub copies: u64,
    /// Their bytes.
    pub copy_bytes: u64,
}
