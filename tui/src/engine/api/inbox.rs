//! What faces ask about requests and offers, and what they are told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shared::id::BlobHash;
pub use shared::inbox::{Act, Kind as ItemKind, State as ItemState};

use super::Target;

/// What to do about pending work between members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxCommand {
    /// The items as [`super::Update::Item`], newest first: those that are open, or all that are remembered.
    List { all: bool },
    /// Everything about one item: one [`super::Update::Item`], then the offered files as [`super::Update::Offered`].
    Show { item: String },
    /// Asks for files, and for those of folders that are not here: one [`super::Update::Item`] each. The engine fetches them as soon as it may and can.
    RequestFiles { items: Vec<String>, text: String, life_s: Option<u64> },
    /// Asks one member, or everyone, for something that is not shared: one [`super::Update::Item`].
    RequestText { of: Option<String>, text: String, life_s: Option<u64> },
    /// Offers files: [`super::Update::Hashing`] while it goes, then one [`super::Update::Item`] for each receiver.
    Offer(Offer),
    /// Says yes: one [`super::Update::Item`] each, and [`super::Update::Transfer`] while an offer is fetched.
    Accept(Accept),
    /// Says no, or takes back a yes, with a word for the other: one [`super::Update::Item`] each.
    Decline { items: Vec<String>, word: String },
    /// Takes back what this member asked or offered: one [`super::Update::Item`] each.
    Cancel { items: Vec<String> },
    /// The standing answers, as [`super::Update::Rule`]s.
    Rules,
    /// Adds a standing answer, or takes the place of the one for the same member: one [`super::Update::Rule`].
    SetRule(RuleRow),
    /// Removes the standing answers to a member: one [`super::Update::Count`].
    RemoveRule { member: String },
}

/// What to offer to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offer {
    /// Absolute paths of files and folders.
    pub paths: Vec<PathBuf>,
    /// Own shared files and folders, by id, prefix, path or link.
    pub items: Vec<String>,
    /// Names of members.
    pub to: Vec<String>,
    /// Every member instead.
    pub everyone: bool,
    /// A word with it.
    pub text: String,
    /// Also leave a copy on the tracker until it is fetched, and wait until it is there.
    pub copy: bool,
    /// Seconds until it ends by itself.
    pub life_s: Option<u64>,
}

/// A yes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accept {
    /// The items, by id or unique prefix.
    pub items: Vec<String>,
    /// To a request for a file: also to every later one of this member.
    pub always: bool,
    /// To an offer: only these of its files, by path. Empty: all.
    pub only: Vec<String>,
    /// To an offer: where its files go.
    pub target: Target,
    /// To a request for something that was not shared: the file to fulfil it with, an own shared one or a local path.
    pub with: Option<String>,
    /// To an offer: do not wait for its files.
    pub detach: bool,
}

/// A standing answer to a member's offers or requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRow {
    pub member: String,
    pub what: RuleKind,
}

/// What is answered by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Offers are accepted, up to this many bytes each.
    AcceptOffers { up_to: Option<u64> },
    /// Offers are declined.
    DeclineOffers,
    /// Requests for files that are shared as `ask` are approved.
    Approve,
}

/// A request, an offer or an invitation to a private channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRow {
    /// 32 hexadecimal digits.
    pub id: String,
    pub kind: ItemKind,
    /// Whether it came to this member.
    pub incoming: bool,
    pub from: String,
    /// `None`: to everyone.
    pub to: Option<String>,
    /// The file that it is about or that fulfilled it, if there is one: its id.
    pub file: Option<String>,
    /// What it is about: the name of the file or folder; empty for a request in words.
    pub name: String,
    /// Files, where it is about some.
    pub files: u64,
    /// Their bytes.
    pub size: u64,
    /// Of a single file.
    pub hash: Option<BlobHash>,
    /// What the asking or offering one wrote.
    pub text: String,
    /// What the answering one wrote.
    pub word: String,
    pub state: ItemState,
    /// What happens next or why it stands, in a sentence; may be empty.
    pub reason: String,
    /// What this member may do now.
    pub acts: Vec<Act>,
    pub created_ms: i64,
    pub expires_ms: i64,
    pub changed_ms: i64,
    /// The transfer that it became, if it runs on this device.
    #[serde(default)]
    pub transfer: Option<String>,
}

/// A file of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedRow {
    /// Path below the place where it will go. Comes from another member: show it cleaned.
    pub path: String,
    pub size: u64,
    pub hash: BlobHash,
}
