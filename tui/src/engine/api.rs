//! What a face (the screen, a command) and the engine say to each other: plain data, no handles.
//!
//! A face sends a [`Command`]; the engine answers with any number of [`Update`]s and then ends the call, well or with
//! a [`Failure`]. The same types travel inside one process and, as JSON lines, over the local socket; fields are only
//! ever added, each with a default.

mod account;
mod channel;
mod chat;
mod inbox;
mod limits;
mod people;
pub mod span;
mod wishes;
pub mod words;

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use shared::{
    id::{AccountId, BlobHash, DeviceId, FileId},
    wire::tracker::{Audience, CopyState, Registration},
};

pub use account::{AccountCommand, DeviceRow, Devices, InviteRow};
pub use channel::{
    ChannelCommand, ChannelFileRow, ChannelFileState, ChannelLineRow, ChannelRow, ChannelState, LineState,
};
pub use chat::{ChatCommand, MessageRow, MessageState, RoomName, RoomRow};
pub use inbox::{Accept, Act, InboxCommand, ItemKind, ItemRow, ItemState, Offer, OfferedRow, RuleKind, RuleRow};
pub use limits::{LimitChange, Limits, Priority, QueuePlace, Rank, RateChange, RateRow, RateWish, ordinal};
pub use people::{MemberDeviceRow, PeopleCommand};
pub use wishes::{WishCommand, WishMatch, WishRow};

/// A secret on its way to the engine: never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a face asks of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// One [`Update::Status`].
    Status,
    /// Looks at a tracker without signing in: one [`Update::Tracker`].
    Probe { tracker: String },
    /// Makes an account with this device: one [`Update::Account`], then one [`Update::Recovery`].
    Register { tracker: String, name: String, password: Secret, email: Option<String>, invite: Option<String> },
    /// Enrols this device into an account: one [`Update::Account`].
    Login { tracker: String, name: String, password: Secret },
    /// Enrols this device into an account whose password is forgotten, by its recovery code: one [`Update::Account`],
    /// then one [`Update::Recovery`] with a new code.
    Recover { tracker: String, name: String, code: Secret, password: Secret },
    /// Forgets the account on this device, here and on the tracker.
    Logout,
    /// Something about the account that is signed in.
    Account(AccountCommand),
    /// Publishes files and folders in place: [`Update::Hashing`] while it goes, then one [`Update::Folder`] for each
    /// folder given and one [`Update::File`] for each file published.
    Share(Share),
    /// Takes own files or folders out of the index: one [`Update::Count`].
    Unshare { items: Vec<String> },
    /// Changes who sees own files or folders, and the remark beside them: one [`Update::File`] for each file.
    Edit(Edit),
    /// Looks for changed, new and missing shared files: [`Update::Hashing`], then [`Update::Rescanned`].
    Rescan,
    /// Asks for copies on the tracker: one [`Update::File`] for each stored one (all of them when `wait`).
    Copy { items: Vec<String>, wait: bool },
    /// Drops copies on the tracker: one [`Update::Count`].
    Uncopy { items: Vec<String> },
    /// The files and folders at one place, as [`Update::Folder`] and [`Update::File`].
    List { member: Option<String>, mine: bool, path: String, filter: Option<String> },
    /// Matching files, best first, at most `limit`, as [`Update::File`].
    Search { query: String, limit: u32 },
    /// Everything about one file: one [`Update::Detail`], or one [`Update::Folder`].
    Info { item: String },
    /// Fetches files and folders: [`Update::Transfer`] while it goes and at the end of each.
    Get(Get),
    /// Fetches one file for somebody who reads it while it arrives: [`Update::Transfer`] and [`Update::Stream`] as it
    /// goes. Ends when its reader has told that it has all, or enough; the bytes are dropped then. A face that leaves
    /// before keeps them for the next call about the same file. A protected one comes as it is, for faces that say by
    /// `opens` that they know.
    Stream {
        item: String,
        from: From,
        wait: bool,
        #[serde(default)]
        opens: bool,
    },
    /// Proves to the tracker that a person knows the password of these protected files. With `hold` it is remembered
    /// until they are there, so that [`Command::Get`] can open them. Nothing is answered.
    Unlock { items: Vec<String>, password: Secret, hold: bool },
    /// The reader of a stream has handed on the first `at` bytes; with `enough` it wants no more. Nothing is answered.
    Reading { reader: u64, at: u64, enough: bool },
    /// What should lie at this place, as far as this device knows: one [`Update::Known`], or none.
    Known { path: PathBuf },
    /// Reads a file of this device and compares it with what it should be: one [`Update::Verified`].
    Verify(Verify),
    /// The transfers as [`Update::Transfer`]; with `watch` on and on until the face leaves.
    Transfers { watch: bool },
    /// Acts on transfers (ids or unique prefixes; empty: all it applies to): one [`Update::Transfer`] each.
    Steer { transfers: Vec<String>, how: Steer },
    /// Shows the limits, after this change: one [`Update::Limits`].
    Limit { change: Option<LimitChange> },
    /// The members as [`Update::Member`].
    Members,
    /// Something about another member.
    People(PeopleCommand),
    /// Everything a screen needs, now and whenever it changes: [`Update::Connection`], [`Update::Account`],
    /// [`Update::Index`], [`Update::Shares`], [`Update::Members`], [`Update::Transfers`], [`Update::Limits`],
    /// [`Update::Traffic`], [`Update::Inbox`] whenever an item changes, [`Update::Rooms`], [`Update::Message`] for every
    /// new or changed message, [`Update::Notice`]. Ends when the face leaves.
    Watch,
    /// What happens, as [`Update::Event`], until the face leaves.
    Events,
    /// Tries the tracker again now.
    Reconnect,
    /// Looks at network and tracker, at this one instead of the account's if given: [`Update::Finding`]s.
    Doctor { tracker: Option<String> },
    /// Stops the engine; transfers resume at the next start.
    Stop,
    /// Something about requests and offers.
    Inbox(InboxCommand),
    /// Something about messages.
    Chat(ChatCommand),
    /// Something about standing searches.
    Wish(WishCommand),
    /// Something about a private channel.
    Channel(ChannelCommand),
}

/// Which file to verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// What was fetched to this place, or is shared from it.
    At(PathBuf),
    /// Wherever this device has this content.
    Content(BlobHash),
}

/// What to share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Share {
    /// Absolute paths of files and folders.
    pub paths: Vec<PathBuf>,
    /// Name in the index instead of the file's own; only with one path.
    pub as_name: Option<String>,
    /// Who shall see them; `None` keeps what was, or is public.
    pub audience: Option<Audience>,
    /// A remark; `None` keeps what was.
    pub note: Option<String>,
    /// Also leave a copy on the tracker and wait until it is there.
    pub copy: bool,
    /// Only say what would be shared.
    pub dry_run: bool,
    /// Encrypt them with this password.
    pub protect: Option<Secret>,
}

/// What to change about what is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edit {
    /// Ids, unique prefixes, `MEMBER/path` or links.
    pub items: Vec<String>,
    /// Who shall see them; `None` stays as it is.
    pub audience: Option<Audience>,
    /// The remark; `None` stays as it is.
    pub note: Option<String>,
    /// The name in the index of what was shared as a whole; `None` stays as it is.
    pub name: Option<String>,
}

/// What to fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Get {
    /// Ids, unique prefixes, `MEMBER/path` or links.
    pub items: Vec<String>,
    /// Where to put them.
    pub target: Target,
    /// From whom.
    pub from: From,
    /// Only queue; the engine goes on after the face has left.
    pub detach: bool,
    /// Wait for a source instead of giving up when there is none.
    pub wait: bool,
    /// Repair the file that lies at the target, which names a file: fetch only what is wrong in it. Without items, what
    /// was fetched to that place or is shared from it.
    pub repair: bool,
    /// Leave protected files as they are, encrypted.
    pub raw: bool,
}

impl Get {
    /// Whether it is about one file that is no part of a batch, however small.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.repair || self.target == Target::Stream
    }
}

/// Where fetched files go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The profile's download folder.
    #[default]
    Downloads,
    /// Into this folder, under their own names; it is made where it does not exist.
    Folder(PathBuf),
    /// As this file; only with one item that is a file.
    File(PathBuf),
    /// Into a hidden place, to be read from there while it arrives; of [`Command::Stream`] alone.
    Stream,
}

/// Which sources may serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Members first, the tracker's copy when none delivers.
    #[default]
    Any,
    /// Members only.
    Peer,
    /// The tracker's copy only.
    Copy,
}

/// What to do with transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Steer {
    /// Stop for now, keep what there is.
    Pause,
    /// Go on.
    Resume,
    /// Stop for good and remove the partial file. Finished files stay.
    Cancel,
    /// Try a failed one again.
    Retry,
    /// Forget finished, failed and cancelled ones.
    Clear,
    /// Give it another place in the queue.
    Rank(Rank),
}

/// What the engine tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    Status(Box<Status>),
    Tracker(TrackerInfo),
    /// `None`: signed out.
    Account(Option<Account>),
    Connection(Connection),
    Hashing(Hashing),
    Rescanned(Rescanned),
    File(FileRow),
    Folder(FolderRow),
    Detail(Box<Detail>),
    Count(u64),
    Transfer(Box<TransferRow>),
    Stream(StreamRow),
    Known(KnownRow),
    Verified(Verified),
    Member(MemberRow),
    Index(IndexPage),
    Shares(Vec<ShareRow>),
    Members(Vec<MemberRow>),
    Transfers(TransferPage),
    Limits(Limits),
    Traffic(Traffic),
    Notice(Notice),
    Event(Event),
    Finding(Finding),
    /// A recovery code, shown once.
    Recovery(Secret),
    Device(DeviceRow),
    Invite(InviteRow),
    /// An inbox item, as it is now.
    Item(Box<ItemRow>),
    Offered(OfferedRow),
    Rule(RuleRow),
    /// Every item that is remembered, newest first.
    Inbox(Vec<ItemRow>),
    Message(Box<MessageRow>),
    /// Every conversation: those with something unread first, then by when something was said last.
    Rooms(Vec<RoomRow>),
    Wish(WishRow),
    /// A private channel, as it is now.
    Channel(ChannelRow),
    ChannelLine(Box<ChannelLineRow>),
    /// Files of the index whose content this device has from now on.
    Fetched(Vec<FileId>),
}

/// Why a call ended badly: what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure; decides the exit code.
    pub kind: FailureKind,
    /// For programs, in snake case.
    pub code: String,
    /// What happened, for people; cleaned already.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
    /// Seconds until it is worth trying again, where that is known.
    #[serde(default)]
    pub wait_s: Option<u64>,
}

/// Kinds of failures, each with its exit code in CLI.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// 1
    Unexpected,
    /// 2
    Usage,
    /// 3
    SignIn,
    /// 4
    NotFound,
    /// 5
    Timeout,
    /// 6
    Transfer,
    /// 7
    Unreachable,
    /// 8
    Refused,
    /// 9
    Conflict,
    /// 130
    Interrupted,
}

impl FailureKind {
    /// The exit code of a command that ends so.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::SignIn => 3,
            Self::NotFound => 4,
            Self::Timeout => 5,
            Self::Transfer => 6,
            Self::Unreachable => 7,
            Self::Refused => 8,
            Self::Conflict => 9,
            Self::Interrupted => 130,
        }
    }
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), message: message.into(), hint: hint.into(), wait_s: None }
    }
}

/// The engine and its connection, for `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// Process that runs the engine.
    pub pid: u32,
    pub account: Option<Account>,
    pub connection: Connection,
    /// UDP port of the endpoint.
    pub port: u16,
    /// Own files in the index.
    pub shares: u64,
    /// Transfers running or waiting.
    pub active: u64,
    /// What the tracker says of itself, when connected.
    pub tracker: Option<TrackerInfo>,
    pub downloads: PathBuf,
}

/// A tracker, seen without signing in or by a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerInfo {
    pub address: String,
    pub fingerprint: String,
    pub program: String,
    pub registration: Registration,
    #[serde(default)]
    pub members: Option<u64>,
    #[serde(default)]
    pub online: Option<u64>,
    #[serde(default)]
    pub files: Option<u64>,
    #[serde(default)]
    pub bytes: Option<u64>,
    #[serde(default)]
    pub copies: Option<u64>,
    #[serde(default)]
    pub copy_bytes: Option<u64>,
}

/// Who is signed in on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub device: DeviceId,
    /// The tracker's join link.
    pub tracker: String,
}

/// The connection to the tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Connection {
    /// No account: nothing to connect to.
    SignedOut,
    /// Trying for the first time.
    Connecting,
    /// Signed in.
    Online {
        /// Milliseconds.
        rtt_ms: u32,
        /// Over HTTPS, because UDP is blocked: members are relayed.
        #[serde(default)]
        https: bool,
    },
    /// Lost, or never reached.
    Offline {
        /// Why, for people.
        cause: String,
        /// When it is tried again, milliseconds since 1970. `None`: not by itself.
        retry_ms: Option<i64>,
        /// How many times it was tried.
        tries: u32,
    },
}

/// Progress of hashing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    pub files_done: u64,
    pub files: u64,
    pub bytes_done: u64,
    pub bytes: u64,
    /// The file being hashed, for people; may be empty.
    pub current: String,
}

/// What a rescan found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescanned {
    pub added: u64,
    pub changed: u64,
    pub missing: u64,
    pub unchanged: u64,
}

/// A file of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    pub id: FileId,
    /// Last component of the path. Comes from another member: show it cleaned.
    pub name: String,
    /// Path among the owner's files.
    pub path: String,
    pub size: u64,
    pub hash: BlobHash,
    /// `public`, `ask`, `people` or `hidden`.
    pub visibility: String,
    pub protected: bool,
    pub version: u32,
    pub owner: String,
    pub note: String,
    pub copy: CopyState,
    pub modified_ms: i64,
    pub shared_ms: i64,
    /// Whether it is one of mine.
    pub mine: bool,
    /// Whether this device has its content, complete and verified.
    pub have: bool,
    /// Whether a source for it is known to be there now.
    pub available: bool,
    /// `swapmeet://…` link to this file.
    pub link: String,
}

/// A folder of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRow {
    /// Hexadecimal id, accepted wherever an item is named.
    pub id: String,
    pub name: String,
    pub path: String,
    pub owner: String,
    pub files: u64,
    pub size: u64,
    pub mine: bool,
    pub link: String,
}

/// Everything about one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    pub file: FileRow,
    pub sources: Vec<SourceRow>,
    pub versions: Vec<VersionRow>,
}

/// Someone who has a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// `None` for the tracker's copy.
    pub member: Option<String>,
    pub device: Option<DeviceId>,
    pub kind: SourceKind,
    pub online: bool,
    /// Bytes; 0 where that is not known.
    pub have: u64,
    /// Whether it has all or part of the file without sharing it.
    #[serde(default)]
    pub holder: bool,
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    Peer,
    Copy,
}

/// A content that a path had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    pub version: u32,
    pub hash: BlobHash,
    pub size: u64,
    pub shared_ms: i64,
}

/// A shared file or folder of this device, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRow {
    /// Path in the index: the name it was shared under.
    pub name: String,
    /// Where it lies.
    pub local: PathBuf,
    pub folder: bool,
    pub files: u64,
    pub size: u64,
    pub state: ShareState,
}

/// How a share stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareState {
    /// In the index and served.
    Ready,
    /// Being hashed.
    Hashing,
    /// The path is not there now (a drive that is not plugged in, a moved folder).
    Missing,
    /// Some files could not be read; says which and why.
    Trouble(String),
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferRow {
    /// 16 hexadecimal digits.
    pub id: String,
    pub direction: Direction,
    pub name: String,
    /// The file or folder in the index.
    pub item: String,
    pub owner: String,
    pub folder: bool,
    pub files: u64,
    pub files_done: u64,
    pub state: TransferState,
    /// One sentence: why it stands where it stands, or what happens next. May be empty.
    pub reason: String,
    pub size: u64,
    /// Verified and on disk.
    pub done: u64,
    /// Bytes per second over the last seconds.
    pub speed: u64,
    pub eta_s: Option<u64>,
    /// Where it lies or will lie.
    pub path: PathBuf,
    pub hash: Option<BlobHash>,
    pub bytes_peer: u64,
    pub bytes_copy: u64,
    pub bytes_relay: u64,
    pub bytes_local: u64,
    pub sources: Vec<TransferSource>,
    /// The file in equal parts, for a map: 0 (nothing) to 8 (all verified), [`IN_FLIGHT`], [`NOBODY_HAS`]. Empty for
    /// folders.
    pub map: Vec<u8>,
    pub log: Vec<LogLine>,
    pub created_ms: i64,
    pub finished_ms: Option<i64>,
    pub elapsed_ms: u64,
    pub failure: Option<Failure>,
    #[serde(default)]
    pub priority: Priority,
    /// Among those of its priority in the queue: the lower, the sooner.
    #[serde(default)]
    pub place: i64,
    /// After a repair: where the damaged file lies now.
    #[serde(default)]
    pub damaged: Option<PathBuf>,
}

/// What was fetched to a place of this device, or is shared from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRow {
    pub hash: BlobHash,
    pub size: u64,
    /// A file of the index with this content, if there is one.
    pub item: Option<String>,
}

/// A file of this device that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    pub hash: BlobHash,
    /// What it should be.
    pub expected: KnownRow,
    /// Ranges of bytes that are wrong, missing or too much, whole groups each; `None` when not known.
    pub bad: Option<Vec<[u64; 2]>>,
}

impl Verified {
    /// Whether it is as it should be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.hash == self.expected.hash
    }
}

/// What of a stream can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRow {
    /// By which this reader tells how far it is. Another number means another engine, or another file at `path`.
    pub reader: u64,
    /// The content. Bytes of two contents are never to be mixed.
    pub hash: BlobHash,
    pub size: u64,
    /// The file that the bytes lie in.
    pub path: PathBuf,
    /// Bytes from the beginning that are verified. What lies behind them may be anything.
    pub ready: u64,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Down,
    /// Somebody fetches from this device.
    Up,
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// Waits for its turn.
    Queued,
    /// Waits for a source.
    Waiting,
    Running,
    /// All there; being made durable.
    Finishing,
    Paused,
    Done,
    Failed,
    Cancelled,
}

/// A source of a running transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferSource {
    /// `None` for the tracker's copy.
    pub member: Option<String>,
    pub device: Option<DeviceId>,
    pub kind: SourceKind,
    pub path: PathKind,
    pub bytes: u64,
    pub speed: u64,
    pub rtt_ms: Option<u32>,
    /// What it is doing, or in a sentence why it is idle.
    pub doing: String,
    /// Where this device stands in line there, if it does.
    #[serde(default)]
    pub queue: Option<QueuePlace>,
}

/// In the map of a transfer: somebody was asked for a part.
pub const IN_FLIGHT: u8 = 9;
/// In the map of a transfer: of those who are here, nobody has some of a part.
pub const NOBODY_HAS: u8 = 10;

/// How a source is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    Direct,
    Lan,
    Punched,
    Relay,
    Copy,
}

impl PathKind {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Lan => "lan",
            Self::Punched => "punched",
            Self::Relay => "relay",
            Self::Copy => "copy",
        }
    }
}

/// A line of a transfer's own log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at_ms: i64,
    pub text: String,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    pub id: AccountId,
    pub name: String,
    pub status: MemberStatus,
    pub last_seen_ms: Option<i64>,
    pub shares: u64,
    pub devices: u32,
    pub blocked: bool,
    /// Whether it is the signed-in member.
    pub me: bool,
    /// Bytes fetched from them by this device.
    pub from_them: u64,
    /// Bytes that this device served them.
    pub to_them: u64,
    /// Their devices, where they were asked for.
    #[serde(default)]
    pub device_list: Vec<MemberDeviceRow>,
}

/// Whether a member is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    Online,
    Away,
    Offline,
}

/// Part of the local replica of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPage {
    /// Forget what was known before this page.
    pub restart: bool,
    pub present: Vec<FileRow>,
    pub gone: Vec<FileId>,
    /// More pages follow at once.
    pub more: bool,
    /// When the replica last agreed with the tracker, milliseconds since 1970.
    pub as_of_ms: Option<i64>,
}

/// Transfers that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferPage {
    /// Forget what was known before this page.
    pub restart: bool,
    pub changed: Vec<TransferRow>,
    pub removed: Vec<String>,
}

/// Bytes per second now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub down: u64,
    pub up: u64,
}

/// Something that the doctor looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: a word for programs.
    pub id: String,
    pub state: Health,
    /// What is so; cleaned already.
    pub text: String,
    /// What to do about it; empty where there is nothing to do.
    pub hint: String,
}

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    /// It could not be looked at.
    Unknown,
    /// Something works worse than it could.
    Warn,
    /// Something does not work.
    Bad,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub level: NoticeLevel,
    pub at_ms: i64,
    /// What happened; cleaned already.
    pub text: String,
    /// What to do next; may be empty.
    pub hint: String,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    Success,
    Warning,
    Error,
}

/// Something that happened, for `events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at_ms: i64,
    #[serde(flatten)]
    pub what: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventKind {
    Connection { connection: Connection },
    MemberChanged { member: MemberRow },
    FileShared { file: Box<FileRow> },
    FileGone { id: FileId },
    TransferChanged { transfer: Box<TransferRow> },
    CopyStored { id: FileId },
    CopyFailed { id: FileId, message: String },
    Notice { level: NoticeLevel, text: String },
    ItemChanged { item: Box<ItemRow> },
    MessageReceived { message: Box<MessageRow> },
    WishMatched { found: Box<WishMatch> },
}

/// One line from a face to the engine on the local socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaceLine {
    /// Begins a call under a number of the face's choice.
    Call { call: u64, command: Command },
    /// The face is no longer interested in this call.
    Drop { call: u64 },
}

/// One line from the engine to a face on the local socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineLine {
    /// First line of a connection.
    Hello {
        version: String,
    },
    Update {
        call: u64,
        update: Update,
    },
    /// The call is over.
    Done {
        call: u64,
        failure: Option<Failure>,
    },
}
