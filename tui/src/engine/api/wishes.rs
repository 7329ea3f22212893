//! What faces ask about standing searches, and what they are told.

use serde::{Deserialize, Serialize};

use super::FileRow;

/// What to do about standing searches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WishCommand {
    /// All of them as [`super::Update::Wish`], oldest first.
    List,
    /// Adds one: one [`super::Update::Wish`]. With `fetch` its matches are fetched, those of at most `up_to` bytes.
    Add { query: String, fetch: bool, up_to: Option<u64> },
    /// One of them, by its id or a unique prefix: one [`super::Update::Wish`], then its matches as
    /// [`super::Update::File`], newest first. They count as told from then on.
    Show { wish: String },
    /// Removes one: one [`super::Update::Count`].
    Remove { wish: String },
}

/// A standing search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishRow {
    /// 16 hexadecimal digits.
    pub id: String,
    /// As typed.
    pub query: String,
    /// Whether matches are fetched.
    pub fetch: bool,
    /// Bytes that a match may have to be fetched.
    pub up_to: Option<u64>,
    pub created_ms: i64,
    /// Files that matched when it was made: those are in `search`, and never told.
    pub known: u64,
    /// Matches since then.
    pub matches: u64,
    /// Of these those that nobody was told of yet.
    pub new: u64,
    /// And those that are still to be fetched.
    pub wanted: u64,
    /// When the last match appeared.
    pub last_ms: Option<i64>,
}

/// A file that a standing search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishMatch {
    /// The id of the search.
    pub wish: String,
    pub query: String,
    pub file: FileRow,
    /// The transfer that it became, where it is fetched.
    pub transfer: Option<String>,
    /// Why it is not fetched, though it was to be; else empty.
    pub reason: String,
}
